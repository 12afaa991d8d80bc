/*
 * boost.c
 *		Which boosts a budget may have, and which requests for more an owner.
 *
 * PURPOSE
 *		A boost is of a budget that exists and has a limit, and a budget has at
 *		most 16 that have not ended.  A budget whose limit is taken away has none
 *		any more.  An owner has at most 100 open requests.  A tenant's request is
 *		about a budget that a boost could be of; who may answer requests may also
 *		restore those whose budget is gone.
 *
 *		Judged after the row is written, so that row-level security and the
 *		constraints have judged it before: nobody learns from here what another
 *		owner has.  pg_dump writes boosts before defaults, so a session that checks no
 *		function bodies, as the one that restores a dump, may add boosts of budgets
 *		that are not there yet.  Judged under the latest snapshot, because at REPEATABLE READ
 *		the transaction's own does not see what others have added since it began.
 *
 * LOCKING
 *		The budget of a boost is locked FOR NO KEY UPDATE; in the place of one by
 *		a default, which has no row, its entity is.  Two boosts that are
 *		made at once are counted one after the other, and a budget that is being
 *		deleted is waited for.  No foreign key says so: then TRUNCATE of the
 *		budgets would need CASCADE.  The oldest open request of an owner is locked
 *		alike, while the next one is counted.
 *
 * FAILURE
 *		23503, 23514 and 54000; the statement is undone.  The triggers do not
 *		fire for rows that replication applies.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/owner.h"
#include "base/spi.h"
#include "cache/load_steps.h"
#include "pure/bytes.h"
#include "rules/trigger.h"

#define MAX_BOOSTS			16
#define MAX_OPEN_REQUESTS	100

PG_FUNCTION_INFO_V1(gov_boost_bounded_1_1);
PG_FUNCTION_INFO_V1(gov_request_bounded_1_1);
PG_FUNCTION_INFO_V1(gov_end_boosts_1_1);

enum
{
	OWNER_ID,
	ENTITY_ID,
	CAPABILITY_ID,
	SCOPE_ENTITY_IDS,
	NAME,
	MOMENT,
	NARGS
};

/* The columns that name a budget, in every table that does. */
static const char *const key_columns[] = {
	"owner_id", "entity_id", "capability_id", "scope_entity_ids", "name"
};

#define OF_BUDGET(t) \
	t ".owner_id = $1 and " t ".entity_id = $2 and " t ".capability_id = $3" \
	" and " t ".scope_entity_ids = $4 and " t ".name = $5"

/* A budget by a default: its entity is locked in its place. */
#define INHERITED_SQL \
	"select b.usage_limit is not null from @gov_entities e," \
	" lateral (select * from @_gov_inherited_budgets($1, $2) a where " OF_BUDGET("a") " offset 0) b" \
	" where e.owner_id = $1 and e.id = $2"

#define BUDGET_SQL "select a.usage_limit is not null from @gov_assignments a where " OF_BUDGET("a")

static GovQuery budget_query = {
	.sql = BUDGET_SQL,
	.nargs = 5,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID}
};

static GovQuery inherited_query = {
	.sql = INHERITED_SQL,
	.nargs = 5,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID}
};

static GovQuery locked_inherited_query = {
	.sql = INHERITED_SQL " for no key update of e",
	.nargs = 5,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID}
};

static GovQuery locked_budget_query = {
	.sql = BUDGET_SQL " for no key update",
	.nargs = 5,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID}
};

/* Two conditions that the index serves: of those that have ended there may be many. */
static GovQuery open_boosts_query = {
	.sql =
	"select from @gov_boosts b where " OF_BUDGET("b") " and b.valid_until > $6"
	" union all"
	" select from @gov_boosts b where " OF_BUDGET("b") " and b.valid_until is null",
	.nargs = NARGS,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID, TIMESTAMPTZOID}
};

static GovQuery delete_boosts_query = {
	.sql = "delete from @gov_boosts b where " OF_BUDGET("b") " and b.valid_from >= $6",
	.nargs = NARGS,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID, TIMESTAMPTZOID}
};

static GovQuery end_boosts_query = {
	.sql =
	"update @gov_boosts b set valid_until = $6 where " OF_BUDGET("b")
	" and (b.valid_until > $6 or b.valid_until is null)",
	.nargs = NARGS,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID, TIMESTAMPTZOID}
};

static GovQuery oldest_request_query = {
	.sql =
	"select from @gov_increase_requests r where r.owner_id = $1 and r.state = 'open'"
	" order by r.created_at, r.id limit 1 for no key update",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

static GovQuery open_requests_query = {
	.sql = "select from @gov_increase_requests r where r.owner_id = $1 and r.state = 'open'",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

static void
read_key(const TriggerData *trigger, HeapTuple row, Datum *args)
{
	for (int i = 0; i < lengthof(key_columns); i++)
		args[i] = gov_trigger_key(trigger, row, key_columns[i]);
	args[MOMENT] = TimestampTzGetDatum(gov_clock());
}

static char *
shown(Datum value)
{
	return gov_error_shown(TextDatumGetCString(value));
}

/* When a boost ends; DT_NOEND: never. */
static TimestampTz
end_of(const TriggerData *trigger, HeapTuple row)
{
	bool		isnull;
	Datum		until = gov_trigger_column(trigger, row, "valid_until", &isnull);

	return isnull ? DT_NOEND : DatumGetTimestampTz(until);
}

/* ---------------------------------------------------------------- the budget */

pg_noreturn static void
raise_no_budget(const TriggerData *trigger, Datum *args)
{
	ereport(ERROR,
			(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
			 errmsg("entity \"%s\" has no such budget for capability \"%s\"",
					shown(args[ENTITY_ID]), shown(args[CAPABILITY_ID])),
			 errdetail("Owner \"%s\" has none with the name \"%s\" and that scope.",
					   shown(args[OWNER_ID]), shown(args[NAME])),
			 errhint("gov_list_assignments() shows what there is; gov_upsert_assignments() creates one."),
			 errtable(trigger->tg_relation)));
}

pg_noreturn static void
raise_no_limit(const TriggerData *trigger, Datum *args)
{
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("a budget without a limit cannot be boosted"),
			 errdetail("The usage_limit of the budget of entity \"%s\" for capability \"%s\" is null.",
					   shown(args[ENTITY_ID]), shown(args[CAPABILITY_ID])),
			 errhint("Give the budget a limit first."),
			 errtable(trigger->tg_relation)));
}

/* Find the budget that a row names; false if there is none. */
static bool
is_there(GovQuery *query, GovQuery *or_inherited, Datum *args)
{
	return gov_spi_modify(query, args, NULL) > 0 ||
		(gov_load_has_defaults() && gov_spi_modify(or_inherited, args, NULL) > 0);
}

/* The same; refuses one that is not there.  Has it a limit? */
static bool
find_budget(const TriggerData *trigger, GovQuery *query, GovQuery *or_inherited, Datum *args)
{
	bool		isnull;

	if (!is_there(query, or_inherited, args))
		raise_no_budget(trigger, args);
	return DatumGetBool(gov_spi_value(0, 1, &isnull));
}

/* ---------------------------------------------------------------- boosts */

static void
count_boosts(const TriggerData *trigger, Datum *args)
{
	uint64		count;

	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	count = gov_spi_select(&open_boosts_query, args, NULL);
	gov_spi_pop_snapshot();
	if (count > MAX_BOOSTS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a budget has at most %d boosts that have not ended", MAX_BOOSTS),
				 errdetail("The budget of entity \"%s\" for capability \"%s\" has them.",
						   shown(args[ENTITY_ID]), shown(args[CAPABILITY_ID])),
				 errhint("Delete boosts that are not needed, or change the limit."),
				 errtable(trigger->tg_relation)));
}

/* AFTER INSERT OR UPDATE of gov_boosts, for each row. */
Datum
gov_boost_bounded_1_1(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger =
	gov_trigger_data_of(fcinfo,
						GOV_FIRES(TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW) |
						GOV_FIRES(TRIGGER_EVENT_UPDATE | TRIGGER_EVENT_ROW), gov_catalog()->boosts);
	bool		is_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	HeapTuple	row = is_update ? trigger->tg_newtuple : trigger->tg_trigtuple;
	Datum		args[NARGS];
	GovSpi		spi;
	bool		has_limit;

	/* one that ends no later is no more than there was */
	if (is_update && end_of(trigger, row) <= end_of(trigger, trigger->tg_trigtuple))
		return PointerGetDatum(NULL);
	read_key(trigger, row, args);
	gov_spi_begin(&spi);
	if (!check_function_bodies && !is_there(&budget_query, &inherited_query, args))
	{
		/* a dump has boosts before the defaults that their budgets are by */
		gov_spi_end(&spi);
		return PointerGetDatum(NULL);
	}
	has_limit = find_budget(trigger, &locked_budget_query, &locked_inherited_query, args);
	if (end_of(trigger, row) > DatumGetTimestampTz(args[MOMENT]))
	{
		if (!has_limit)
			raise_no_limit(trigger, args);
		count_boosts(trigger, args);
	}
	gov_spi_end(&spi);
	return PointerGetDatum(NULL);
}

/* AFTER UPDATE of gov_assignments, for each row whose limit was taken away. */
Datum
gov_end_boosts_1_1(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger =
	gov_trigger_data_of(fcinfo, GOV_FIRES(TRIGGER_EVENT_UPDATE | TRIGGER_EVENT_ROW),
						gov_catalog()->assignments);
	Datum		args[NARGS];
	GovSpi		spi;

	read_key(trigger, trigger->tg_newtuple, args);
	gov_spi_begin(&spi);
	gov_spi_modify(&delete_boosts_query, args, NULL);
	gov_spi_modify(&end_boosts_query, args, NULL);
	gov_spi_end(&spi);
	return PointerGetDatum(NULL);
}

/* ---------------------------------------------------------------- requests */

static void
count_requests(const TriggerData *trigger, Datum *args)
{
	uint64		count;

	gov_spi_modify(&oldest_request_query, args, NULL);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	count = gov_spi_select(&open_requests_query, args, NULL);
	gov_spi_pop_snapshot();
	if (count > MAX_OPEN_REQUESTS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("owner \"%s\" has too many open requests", shown(args[OWNER_ID])),
				 errdetail("At most %d may wait for an answer.", MAX_OPEN_REQUESTS),
				 errhint("Withdraw some, or answer them."),
				 errtable(trigger->tg_relation)));
}

/* AFTER INSERT of gov_increase_requests, for each row. */
Datum
gov_request_bounded_1_1(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger =
	gov_trigger_data_of(fcinfo, GOV_FIRES(TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW),
						gov_catalog()->increase_requests);
	bool		is_tenant = !gov_owner_changes_every();
	Datum		args[NARGS];
	GovSpi		spi;

	if (!gov_bytes_are(DatumGetTextPP(gov_trigger_key(trigger, trigger->tg_trigtuple, "state")),
					   "open", strlen("open")))
		return PointerGetDatum(NULL);
	read_key(trigger, trigger->tg_trigtuple, args);
	gov_spi_begin(&spi);
	if (is_tenant && !find_budget(trigger, &budget_query, &inherited_query, args))
		raise_no_limit(trigger, args);
	count_requests(trigger, args);
	gov_spi_end(&spi);
	return PointerGetDatum(NULL);
}
