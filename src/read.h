/*
 * read.h
 *		The steps of a load that read the tables.
 */
#ifndef GOV_READ_H
#define GOV_READ_H

#include "load.h"
#include "tally.h"

/* An owner's tail, as it was when so many counters of it had been lost. */
typedef struct GovTailRead
{
	GovTally   *tally;
	int64		watermark;
	uint64		losses;
} GovTailRead;

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
	bool		has_own;		/* counts only what this transaction alone has; own.c */
	int64		rolled_up;		/* so much was, before the snapshot */
	const GovTailRead *tail;	/* read before; NULL if it was not */
	bool		holds_met;		/* there were holds */
	bool		renews;			/* there were counters in memory that must be read again */
} GovLoad;

/* load.c */
extern GovNodeStatus gov_load_more(const GovLoad *from, const GovLoaded *ids, int nids,
								   const GovFreshness *since);

/* read_catalog.c */
extern void gov_read_ancestors(GovLoad *load, const GovLoaded *ids, int nids);
extern void gov_read_entities(GovLoad *load);

/* read_counts.c */
extern void gov_read_own_budgets(GovLoad *load);
extern void gov_read_counters(GovLoad *load);
extern int64 gov_read_watermark(void);
extern GovTally *gov_read_tail(const GovOwnerKey *key, int64 watermark,
							   MemoryContext context);
extern GovAmount gov_read_amount(uint64 row, int column, bool *isnull);

#endif							/* GOV_READ_H */
