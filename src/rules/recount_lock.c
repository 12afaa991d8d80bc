/*
 * recount_lock.c
 *		Locks the budget that is recounted, and reads it.
 *
 * PURPOSE
 *		An assignment has a row.  A budget by a default has rows of
 *		gov_default_counts, which say that it was used, and else what the default
 *		and its entity say.  One that nobody has used has neither, and its id
 *		leads nowhere: it is not known here.
 *
 *		An assignment may have taken the place of a budget by a default, and have
 *		its id.  Then the assignment is what is recounted, and its counter is that
 *		of both (override.c).
 *
 * LOCKING
 *		The rows of gov_default_counts FOR NO KEY UPDATE, before the assignment,
 *		and before them the entity and those of the scope FOR KEY SHARE, whose
 *		deletion retires the count: so locks them whoever puts an assignment in
 *		the place (keep_inherited.c), and whoever deletes an entity (override.c).
 *		Of a budget by a default also the default FOR SHARE, which must not draw
 *		another seed.
 *
 *		Accepted: who gives such an assignment other windows locks it first, and
 *		so can deadlock with its recount.
 *
 * FAILURE
 *		42704 for a budget that there is not, or that the session may not see;
 *		55000 for a pool, and for one whose windows begin with a first use.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/catalog.h"
#include "base/lookup.h"
#include "base/owner.h"
#include "base/spi.h"
#include "cache/inherited.h"
#include "cache/inherited_find.h"
#include "cache/load_steps.h"
#include "cache/types.h"
#include "ledger/columns.h"
#include "pure/bytes.h"
#include "rules/recount_lock.h"

static GovQuery lock_query = {
	.sql =
	"select a.owner_id, a.entity_id, a.capability_id, a.scope_entity_ids, a.cadence, a.anchor_at,"
	" a.timezone, a.counter_id, jsonb_build_object('id', a.id, 'entity_id', a.entity_id, 'capability_id',"
	"  a.capability_id, 'scope_entity_ids', a.scope_entity_ids, 'name', a.name),"
	" a.window_kind <> 'calendar', a.is_pool"
	" from @gov_assignments a"
	" where a.id = $1 and a.owner_id = coalesce($2, a.owner_id) for no key update",
	.nargs = 2,
	.argtypes = {UUIDOID, TEXTOID}
};

#define COUNTS_OF_BUDGET \
	" from @gov_default_counts n" \
	" where n.assignment_id = $1 and n.owner_id = coalesce($2, n.owner_id) and not n.retired"

/* Whoever deletes an entity of these retires the counts; an id that is gone is not found. */
static GovQuery lock_entities_query = {
	.sql =
	"select from @gov_entities e,"
	" (select distinct n.owner_id, unnest(n.entity_id || n.scope_entity_ids) as id" COUNTS_OF_BUDGET " offset 0) n"
	" where e.owner_id = n.owner_id and e.id = n.id"
	" order by e.id for key share of e",
	.nargs = 2,
	.argtypes = {UUIDOID, TEXTOID}
};

static GovQuery lock_counts_query = {
	.sql = "select n.owner_id, n.entity_id, n.default_id" COUNTS_OF_BUDGET " for no key update",
	.nargs = 2,
	.argtypes = {UUIDOID, TEXTOID}
};

static GovQuery lock_default_query = {
	.sql = "select from @gov_default_assignments d where d.id = $1 for share",
	.nargs = 1,
	.argtypes = {UUIDOID}
};

/* What gov_changes names a budget by a default by. */
static GovQuery key_query = {
	.sql =
	"select jsonb_build_object('id', $1, 'assignment_id', $2, 'entity_id', $3, 'capability_id', $4,"
	" 'scope_entity_ids', $5, 'name', $6)",
	.nargs = 6,
	.argtypes = {UUIDOID, UUIDOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID}
};

pg_noreturn static void
raise_unknown(const pg_uuid_t *id)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("budget \"%s\" does not exist",
					DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)))),
			 errhint("The ids of budgets are in gov_used_assignments.")));
}

/*
 * The ledger does not say what some budgets count.  Windows that begin with a first
 * use are what they were, and no rule makes them again; where one slides, the same
 * goes for the grains of corrections; of what is under way nothing is used up.
 */
static void
require_countable(const GovRecount *recount)
{
	bool		is_concurrency;

	gov_types_refresh();
	is_concurrency = gov_types_is_concurrency(VARDATA_ANY(recount->capability),
											  VARSIZE_ANY_EXHDR(recount->capability));
	if (!recount->opens && !is_concurrency)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("budget \"%s\" cannot be counted again",
					DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&recount->id)))),
			 is_concurrency ? errdetail("It counts the holds that are open.") :
			 errdetail("Its windows are not those of a calendar: only the ledger says what counts in them."),
			 errhint("Only budgets of window_kind calendar for what is used up can be recounted.")));
}

/* ---------------------------------------------------------------- assignments */

/* What a pool has drawn from its grants are facts: there is nothing to be counted again.  SPI has the budget. */
static void
require_no_pool(void)
{
	bool		isnull;

	if (DatumGetBool(gov_spi_value(0, 11, &isnull)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a pool cannot be recounted"),
				 errdetail("What its uses have drawn from grants does not change."),
				 errhint("Grant it more with gov_grant_credits, or correct a use with gov_reverse.")));
}

/* Copy the row of an assignment, which SPI has, in the recount's memory. */
static void
read_assignment(GovRecount *recount)
{
	MemoryContext caller = MemoryContextSwitchTo(recount->context);
	bool		isnull;

	require_no_pool();
	recount->owner = gov_spi_text(0, 1);
	recount->entity = DatumGetTextPCopy(gov_spi_value(0, 2, &isnull));
	recount->capability = DatumGetTextPCopy(gov_spi_value(0, 3, &isnull));
	recount->scope = DatumGetArrayTypePCopy(gov_spi_value(0, 4, &isnull));
	recount->cadence = gov_spi_value(0, 5, &isnull);
	recount->cadence = isnull ? (Datum) 0 : PointerGetDatum(DatumGetTextPCopy(recount->cadence));
	recount->anchor = gov_spi_value(0, 6, &isnull);
	recount->has_anchor = !isnull;
	recount->timezone = PointerGetDatum(DatumGetTextPCopy(gov_spi_value(0, 7, &isnull)));
	recount->former_counter = DatumGetInt64(gov_spi_value(0, 8, &isnull));
	recount->key = PointerGetDatum(DatumGetJsonbPCopy(gov_spi_value(0, 9, &isnull)));
	recount->opens = DatumGetBool(gov_spi_value(0, 10, &isnull));
	MemoryContextSwitchTo(caller);
}

/* ---------------------------------------------------------------- budgets by defaults */

/* Whose rows of gov_default_counts were locked. */
typedef struct GovCounted
{
	Datum		owner;
	Datum		entity;
	pg_uuid_t	default_id;
} GovCounted;

/* Lock what says that the budget was used, and its entities before; false if nothing does. */
static bool
lock_counts(const GovRecount *recount, Datum *args, const char *nulls, GovCounted *counted)
{
	bool		isnull;

	if (!gov_lookup_is_filled(gov_catalog()->default_counts) ||
		gov_spi_modify(&lock_entities_query, args, nulls) == 0 ||
		gov_spi_modify(&lock_counts_query, args, nulls) == 0)
		return false;
	counted->owner = PointerGetDatum(cstring_to_text(gov_spi_text(0, 1)));
	counted->entity = PointerGetDatum(cstring_to_text(gov_spi_text(0, 2)));
	counted->default_id = *DatumGetUUIDP(gov_spi_value(0, 3, &isnull));
	return true;
}

/* Lock the default of a budget; false if it is gone. */
static bool
lock_default(const GovCounted *counted)
{
	Datum		id = UUIDPGetDatum(&counted->default_id);

	return gov_spi_modify(&lock_default_query, &id, NULL) > 0;
}

static Datum
make_key(const GovRecount *recount, const GovInheritedBudget *budget)
{
	Datum		args[6] = {
		UUIDPGetDatum(&budget->made_of->default_id), UUIDPGetDatum(&recount->id),
		budget->values[GOV_ASSIGNMENT_ENTITY_ID], budget->values[GOV_ASSIGNMENT_CAPABILITY_ID],
		budget->values[GOV_ASSIGNMENT_SCOPE_ENTITY_IDS], budget->values[GOV_ASSIGNMENT_NAME]
	};
	MemoryContext caller;
	Datum		key;
	bool		isnull;

	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	gov_spi_select(&key_query, args, NULL);
	key = gov_spi_value(0, 1, &isnull);
	caller = MemoryContextSwitchTo(recount->context);
	key = PointerGetDatum(DatumGetJsonbPCopy(key));
	MemoryContextSwitchTo(caller);
	gov_spi_pop_snapshot();
	return key;
}

/* Copy a budget by a default in the recount's memory. */
static void
read_inherited(GovRecount *recount, const GovInheritedBudget *budget)
{
	const Datum *values = budget->values;
	MemoryContext caller = MemoryContextSwitchTo(recount->context);

	recount->is_inherited = true;
	recount->seed = budget->made_of->seed;
	recount->owner = TextDatumGetCString(values[GOV_ASSIGNMENT_OWNER_ID]);
	recount->entity = DatumGetTextPCopy(values[GOV_ASSIGNMENT_ENTITY_ID]);
	recount->capability = DatumGetTextPCopy(values[GOV_ASSIGNMENT_CAPABILITY_ID]);
	recount->scope = DatumGetArrayTypePCopy(values[GOV_ASSIGNMENT_SCOPE_ENTITY_IDS]);
	if (!budget->nulls[GOV_ASSIGNMENT_CADENCE])
		recount->cadence = PointerGetDatum(DatumGetTextPCopy(values[GOV_ASSIGNMENT_CADENCE]));
	recount->anchor = values[GOV_ASSIGNMENT_ANCHOR_AT];
	recount->has_anchor = !budget->nulls[GOV_ASSIGNMENT_ANCHOR_AT];
	recount->timezone = PointerGetDatum(DatumGetTextPCopy(values[GOV_ASSIGNMENT_TIMEZONE]));
	recount->former_counter = DatumGetInt64(values[GOV_ASSIGNMENT_COUNTER_ID]);
	recount->opens = !gov_bytes_are(DatumGetTextPP(values[gov_catalog()->assignments_window_kind - 1]),
									"calendar", strlen("calendar"));
	MemoryContextSwitchTo(caller);
	recount->key = make_key(recount, budget);
}

/* Read a budget that its entity has by a default now; false if it does not. */
static bool
find_inherited(GovRecount *recount, const GovCounted *counted)
{
	GovInheritedBudget *budgets;
	int			count;
	bool		is_found = false;

	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	count = gov_inherited_find_all(counted->owner, counted->entity, &budgets);
	for (int i = 0; i < count && !is_found; i++)
	{
		is_found = gov_uuid_is(DatumGetUUIDP(budgets[i].values[GOV_ASSIGNMENT_ID]), &recount->id);
		if (is_found)
			read_inherited(recount, &budgets[i]);
	}
	gov_spi_pop_snapshot();
	return is_found;
}

/* ---------------------------------------------------------------- which it is */

/* Lock the budget, so that nobody else changes it, and read it. */
void
gov_recount_lock(GovRecount *recount)
{
	const char *pin = gov_owner_pin();
	char		nulls[2] = {' ', pin != NULL ? ' ' : 'n'};
	Datum		args[2] = {UUIDPGetDatum(&recount->id), (Datum) 0};
	GovCounted	counted;
	bool		was_used;
	GovSpi		spi;

	gov_spi_begin(&spi);
	CommandCounterIncrement();	/* the running command may have made it */
	if (pin != NULL)
		args[1] = CStringGetTextDatum(pin);
	was_used = lock_counts(recount, args, nulls, &counted);
	if (gov_spi_modify(&lock_query, args, nulls) > 0)
		read_assignment(recount);
	else if (!was_used || !lock_default(&counted) || !find_inherited(recount, &counted))
		raise_unknown(&recount->id);
	gov_spi_end(&spi);
	require_countable(recount);
	gov_recount_rule(&recount->rule, recount->cadence, recount->has_anchor, recount->anchor,
					 recount->timezone);
	gov_node_owner_key_init(&recount->owner_key, MyDatabaseId, gov_catalog()->extension,
							recount->owner, strlen(recount->owner));
}
