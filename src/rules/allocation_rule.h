/*
 * allocation_rule.h
 *		The rule of strict budgets.
 */
#ifndef GOV_ALLOCATION_RULE_H
#define GOV_ALLOCATION_RULE_H

#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/rel.h"

/* What a row that was written may have broken. */
typedef struct GovAllocationChange
{
	Datum		owner;
	Datum		entity;
	Datum		capability;
	bool		every_capability;
	bool		is_child;		/* the strict budgets of its parent */
	bool		is_parent;		/* its own */
	bool		is_newly_strict;
} GovAllocationChange;

/* What has been judged of a statement. */
typedef struct GovAllocation
{
	Relation	entities;
	Relation	assignments;
	MemoryContext context;		/* of what follows */
	MemoryContext row_context;	/* what looking at one row takes */
	HTAB	   *judged;			/* ids of strict budgets */
	struct GovStrictBudget *outgrown;	/* the first of them in order, or NULL */
	Datum		allocated;		/* below it */
} GovAllocation;

extern void gov_allocation_begin(GovAllocation *allocation, Relation assignments);
extern void gov_allocation_judge(GovAllocation *allocation, const GovAllocationChange *change);
extern void gov_allocation_raise(GovAllocation *allocation, Relation written);
extern void gov_allocation_end(GovAllocation *allocation);

#endif							/* GOV_ALLOCATION_RULE_H */
