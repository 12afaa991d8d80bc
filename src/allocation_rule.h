/*
 * allocation_rule.h
 *		The rule of strict budgets.
 */
#ifndef GOV_ALLOCATION_RULE_H
#define GOV_ALLOCATION_RULE_H

#include "postgres.h"

#include "utils/rel.h"

#define GOV_ALLOCATION_BATCH	1000

/* What a statement may have broken. */
typedef struct GovAllocation
{
	int			count;
	Datum		owners[GOV_ALLOCATION_BATCH];
	Datum		entities[GOV_ALLOCATION_BATCH];
	Datum		capabilities[GOV_ALLOCATION_BATCH];
	bool		every_capability[GOV_ALLOCATION_BATCH];
	Datum		are_children[GOV_ALLOCATION_BATCH]; /* booleans: the strict budgets of the parent */
	Datum		are_parents[GOV_ALLOCATION_BATCH];	/* its own */
} GovAllocation;

extern void gov_allocation_judge(GovAllocation *allocation, Relation written);

#endif							/* GOV_ALLOCATION_RULE_H */
