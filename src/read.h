/*
 * read.h
 *		The steps of a load that read the tables.
 */
#ifndef GOV_READ_H
#define GOV_READ_H

#include "load.h"

/* What a load is about, shared by its steps. */
typedef struct GovLoad
{
	const GovOwnerKey *key;
	Datum		owner;			/* text */
	MemoryContext context;		/* what is loaded is built here */
	TimestampTz now;
	GovLoaded  *items;
	GovClaim   *claims;			/* parallel to items; NULL in a private load */
	int			count;
	bool		counts_overdue; /* holds past their time too */
	bool		holds_met;		/* there were holds */
} GovLoad;

/* read_catalog.c */
extern void gov_read_ancestors(GovLoad *load, const GovLoaded *ids, int nids);
extern void gov_read_entities(GovLoad *load);

/* read_counts.c */
extern void gov_read_own_budgets(GovLoad *load);
extern void gov_read_counters(GovLoad *load);
extern GovAmount gov_read_amount(uint64 row, int column, bool *isnull);

#endif							/* GOV_READ_H */
