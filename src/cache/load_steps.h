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

#define GOV_BUDGETS_AT_FIRST	8	/* room for so many of an entity */

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

/* A default, as its row was copied. */
typedef struct GovDefault
{
	const Datum *values;
	const bool *nulls;
	bool		is_shadowed;	/* the owner has one of its own in its place */
} GovDefault;

/* The defaults of a type that apply to the load's owner. */
typedef struct GovDefaultsRead
{
	bool		is_read;
	text	   *type;
	int			count;
	int			capacity;
	GovDefault *items;
} GovDefaultsRead;

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
	const GovMet *met;			/* by the call; or NULL */
	bool		counts_overdue; /* holds past their time too */
	bool		has_own;		/* counts only what this transaction alone
								 * has; own_counts.c */
	bool		is_by_name;		/* looks for budgets by defaults in the scope
								 * that was met, also where an assignment has
								 * taken their place */
	GovPolicyRead policy;		/* under the active snapshot */
	GovDefaultsRead defaults;	/* likewise */
	bool		is_own;			/* for this transaction alone; own_nodes.c */
	int64		rolled_up;		/* so much was, before the snapshot */
	const GovTailRead *tail;	/* read before; NULL if it was not */
	bool		has_pools;		/* some entity has one */
	bool		carries;		/* some entity has a budget that carries over */
	bool		holds_met;		/* there were holds */
	bool		renews;			/* there were counters in memory that must be
								 * read again */
} GovLoad;

/* What a budget by a default is made of; see GovInherited. */
typedef struct GovInheritedRow
{
	pg_uuid_t	default_id;
	int64		seed;
	text	   *anchor;			/* or NULL */
	int32		salt;
	bool		wants_row;
} GovInheritedRow;

/* A row that was copied out of its table, or one of a budget by a default. */
typedef struct GovRow
{
	const Datum *values;
	const bool *nulls;
	const GovInheritedRow *inherited;	/* NULL: it has a row */
	GovPool    *pool;			/* NULL: it is none */
	GovCarry   *carry;			/* NULL: it carries nothing over */
	GovCountKind	counts;
} GovRow;

/* What gov_default_counts says of an entity. */
typedef struct GovCountRow
{
	pg_uuid_t	default_id;
	Datum		scope;
	int64		seed;
	text	   *anchor;			/* NULL: nothing */
	int32		salt;
	pg_uuid_t	assignment_id;
	int64		counter_id;
	bool		is_retired;
} GovCountRow;

typedef struct GovCountRows
{
	int			count;
	int			capacity;
	GovCountRow *items;
} GovCountRows;

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
	uint32		capacity;		/* of budgets */
	uint32		nown;			/* of them, the first: the entity's own, where
								 * there are defaults */
	GovBoosts	boosts;
	const GovDefault **templates;	/* those with a scope */
	uint32		ntemplates;
} GovEntityRows;

/* The tables that budgets by defaults come from. */
typedef struct GovDefaultTables
{
	Relation	defaults;		/* NULL: there are none */
	Relation	counts;			/* NULL: none was used */
	TupleDesc	budget;			/* what a row of gov_assignments looks like */
} GovDefaultTables;

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
extern const GovEntity *gov_load_former(const GovLoad *load, const GovLoaded *item, const bool **has_pins);
extern GovNodeStatus gov_load_more(const GovLoad *from, const GovLoaded *ids, int nids,
								   const GovFreshness *since);

/* load_catalog.c */
extern void gov_load_entities(GovLoad *load, int first);
extern bool gov_load_rows(GovLoad *load, const GovLoaded *item, GovEntityRows *rows);
extern void gov_load_append_row(GovEntityRows *rows, const GovRow *row);
extern void gov_load_add_budget(GovLoad *load, GovEntityRows *rows, const GovRow *row);

/* load_build.c */
extern GovEntity *gov_load_build_entity(const GovLoad *load, const GovLoaded *item,
										const GovEntityRows *rows);
extern GovEntity *gov_load_build_bare(const GovWouldBe *of);

/* load_defaults.c */
extern bool gov_load_has_defaults(void);
extern bool gov_load_open_defaults(GovDefaultTables *tables);
extern void gov_load_close_defaults(GovDefaultTables *tables);
extern void gov_load_read_defaults(GovLoad *load, Relation rel, Datum type);
extern void gov_load_read_counts(const GovLoad *load, Relation rel, Datum id, GovCountRows *counts);
extern bool gov_load_is_name_taken(const pg_uuid_t *id);

/* load_inherited.c */
extern void gov_load_inherited(GovLoad *load, const GovDefaultTables *tables,
							   const GovLoaded *item, Datum id, GovEntityRows *rows);

/* load_scopes.c */
typedef struct GovScopes
{
	int			count;
	int			nmet;			/* of them, the first: they are wanted */
	int			capacity;
	Datum	   *items;			/* text[], sorted */
} GovScopes;

extern void gov_load_scopes_met(const GovLoad *load, const GovDefault *from, GovScopes *scopes);
extern void gov_load_scopes_kept(const GovEntity *former, const bool *has_pins, const GovDefault *from,
								 GovScopes *scopes);
extern bool gov_load_scopes_add(GovScopes *scopes, Datum scope);
extern bool gov_load_are_same_texts(Datum left, Datum right);
extern bool gov_load_are_same_lists(Datum left, Datum right);

/* load_boosts.c */
extern Relation gov_load_open_boosts(void);
extern bool gov_load_has_boosts(void);
extern void gov_load_boosts(const GovLoad *load, Relation rel, Datum id, GovBoosts *boosts);
extern uint32 gov_load_limit_steps(const GovLoad *load, const GovBoosts *boosts,
								   const GovRow *budget, GovLimitStep **steps);

/* load_pools.c */
extern void gov_load_pools(GovLoad *load, TupleDesc desc, GovEntityRows *rows);
extern GovAmount gov_load_debt_limit(const GovRow *budget);
extern uint32 gov_load_add_count(GovEntityRows *rows, TupleDesc desc, pg_uuid_t *id, int64 counter_id,
								 GovCountKind counts);

/* load_carry.c */
extern void gov_load_carries(GovLoad *load, TupleDesc desc, GovEntityRows *rows);
extern void gov_load_carried(GovLoad *load);
extern int	gov_load_limit_kind(void);

/* load_counts.c */
extern void gov_load_own_budgets(GovLoad *load);
extern void gov_load_counters(GovLoad *load);
extern void gov_load_own_counters(const GovLoad *load, GovLoaded *item);
extern int64 gov_load_watermark(void);
extern GovTally *gov_load_tail(const GovOwnerKey *key, int64 watermark,
							   MemoryContext context);
extern GovAmount gov_load_sum(Datum numeric);
extern GovAmount gov_load_amount(uint64 row, int column, bool *isnull);

/* load_usage.c */
extern void gov_load_usage(const GovReading *reading);
extern void gov_load_count_usage(const GovLoad *load, const GovWanted *wanted,
								 const GovWindow *window, GovAmount amount);

/* load_holds.c */
extern void gov_load_holds(GovReading *reading);

#endif							/* GOV_LOAD_STEPS_H */
