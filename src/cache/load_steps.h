/*
 * load_steps.h
 *		The steps of a load that read the tables.
 */
#ifndef GOV_LOAD_STEPS_H
#define GOV_LOAD_STEPS_H

#include "access/htup.h"
#include "utils/relcache.h"

#include "cache/load.h"
#include "ledger/tally.h"

/* An owner's tail, as it was when so many counters of it had been lost. */
typedef struct GovTailRead
{
	GovTally   *tally;
	int64		watermark;
	uint64		losses;
} GovTailRead;

/* The thresholds that apply to budgets without their own. */
typedef struct GovPolicyRead
{
	bool		is_read;
	Datum		thresholds;		/* numeric[], or 0 */
} GovPolicyRead;

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
	int			capacity;		/* of items */
	const GovFreshness *since;	/* what must be in memory; not in a private
								 * load */
	bool		counts_overdue; /* holds past their time too */
	bool		has_own;		/* counts only what this transaction alone
								 * has; own_counts.c */
	GovPolicyRead policy;		/* under the active snapshot */
	bool		is_own;			/* for this transaction alone; own_nodes.c */
	int64		rolled_up;		/* so much was, before the snapshot */
	const GovTailRead *tail;	/* read before; NULL if it was not */
	bool		holds_met;		/* there were holds */
	bool		renews;			/* there were counters in memory that must be
								 * read again */
} GovLoad;

/* A row that was copied out of its table. */
typedef struct GovRow
{
	const Datum *values;
	const bool *nulls;
} GovRow;

/* What is added to the limit of a budget for a time. */
typedef struct GovBoost
{
	Datum		capability_id;
	Datum		scope_entity_ids;
	Datum		name;
	GovAmount	amount;
	TimestampTz from;
	TimestampTz until;			/* DT_NOEND: for ever */
} GovBoost;

/* All that has not ended of an entity's budgets. */
typedef struct GovBoosts
{
	int			count;
	int			capacity;
	GovBoost   *items;
} GovBoosts;

/* What the tables say of an entity. */
typedef struct GovEntityRows
{
	GovRow		entity;
	GovRow	   *budgets;
	uint32		nbudgets;
	GovBoosts	boosts;
} GovEntityRows;

/* A counter to be read. */
typedef struct GovWanted
{
	GovSharedCounter *counter;
	const GovBudget *budget;
} GovWanted;

/* The counters to be read. */
typedef struct GovReading
{
	GovLoad    *load;
	int			count;
	GovWanted  *list;
} GovReading;

/* load.c */
extern void gov_load_begin(GovLoad *load, const GovOwnerKey *key);
extern void gov_load_make_room(GovLoad *load);
extern void gov_load_add(GovLoad *load, const char *id, uint32 id_length);
extern const char *gov_load_copy(const GovLoad *load, const char *id, uint32 id_length);
extern GovNodeStatus gov_load_more(const GovLoad *from, const GovLoaded *ids, int nids,
								   const GovFreshness *since);

/* load_catalog.c */
extern void gov_load_entities(GovLoad *load, int first);

/* load_build.c */
extern GovEntity *gov_load_build_entity(const GovLoad *load, const GovLoaded *item,
										const GovEntityRows *rows);

/* load_boosts.c */
extern Relation gov_load_open_boosts(void);
extern bool gov_load_has_boosts(void);
extern void gov_load_boosts(const GovLoad *load, Relation rel, Datum id, GovBoosts *boosts);
extern uint32 gov_load_limit_steps(const GovLoad *load, const GovBoosts *boosts,
								   const GovRow *budget, GovLimitStep **steps);

/* load_counts.c */
extern void gov_load_own_budgets(GovLoad *load);
extern void gov_load_counters(GovLoad *load);
extern int64 gov_load_watermark(void);
extern GovTally *gov_load_tail(const GovOwnerKey *key, int64 watermark,
							   MemoryContext context);
extern GovAmount gov_load_sum(Datum numeric);
extern GovAmount gov_load_amount(uint64 row, int column, bool *isnull);

/* load_usage.c */
extern void gov_load_usage(const GovReading *reading);
extern void gov_load_count_usage(GovSharedCounter *counter, TimestampTz start, GovAmount amount);

/* load_holds.c */
extern void gov_load_holds(GovReading *reading);

#endif							/* GOV_LOAD_STEPS_H */
