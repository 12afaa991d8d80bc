/*
 * usage.c
 *		Deleting a budget deletes its usage, its alerts and its boosts.
 *
 * PURPOSE
 *		Done in C, under the latest snapshot, because at REPEATABLE READ the
 *		transaction's own does not see the rows that the rollup has written
 *		since it began, and nobody would ever delete those.  Its earlier limits
 *		go for a whole statement at once (history_limit.c), but for TRUNCATE.
 *
 * LOCKING
 *		ShareLock on gov_rollup_state, to the end of the transaction: a round
 *		of the rollup that runs is waited for, and none starts that could bring
 *		the usage back (rollup.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "storage/lmgr.h"

#include "base/catalog.h"
#include "base/lookup.h"
#include "base/spi.h"
#include "cache/load_steps.h"
#include "rules/trigger.h"

PG_FUNCTION_INFO_V1(gov_forget_budget_1_0);

static GovQuery forget_usage_query = {
	.sql = "delete from @gov_usage u where u.owner_id = $1 and u.assignment_id = $2",
	.nargs = 2,
	.argtypes = {TEXTOID, UUIDOID}
};

/* The count of a budget by a default, which the deleted one has gone on with, comes back with that. */
#define GOV_COMES_BACK(t) \
	"exists (select from @gov_default_counts n where n.assignment_id = " t ".assignment_id and not n.retired)"

static GovQuery forget_own_usage_query = {
	.sql =
	"delete from @gov_usage u where u.owner_id = $1 and u.assignment_id = $2"
	" and not " GOV_COMES_BACK("u"),
	.nargs = 2,
	.argtypes = {TEXTOID, UUIDOID}
};

static GovQuery forget_own_alerts_query = {
	.sql = "delete from @gov_alerts a where a.assignment_id = $1 and not " GOV_COMES_BACK("a"),
	.nargs = 1,
	.argtypes = {UUIDOID}
};

static GovQuery forget_alerts_query = {
	.sql = "delete from @gov_alerts a where a.assignment_id = $1",
	.nargs = 1,
	.argtypes = {UUIDOID}
};

static GovQuery forget_recounts_query = {
	.sql = "delete from @gov_recounts r where r.owner_id = $1 and r.assignment_id = $2",
	.nargs = 2,
	.argtypes = {TEXTOID, UUIDOID}
};

static GovQuery forget_own_recounts_query = {
	.sql =
	"delete from @gov_recounts r where r.owner_id = $1 and r.assignment_id = $2 and not " GOV_COMES_BACK("r"),
	.nargs = 2,
	.argtypes = {TEXTOID, UUIDOID}
};

static GovQuery forget_boosts_query = {
	.sql =
	"delete from @gov_boosts b where b.owner_id = $1 and b.entity_id = $2"
	" and b.capability_id = $3 and b.scope_entity_ids = $4 and b.name = $5",
	.nargs = 5,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID}
};

static GovQuery forget_all_boosts_query = {.sql = "delete from @gov_boosts"};
static GovQuery forget_all_limits_query = {
	.sql =
	"delete from @gov_limit_history h"
	" where not exists (select from @gov_default_assignments d where d.id = h.assignment_id)"
};
static GovQuery forget_all_recounts_query = {.sql = "delete from @gov_recounts"};
static GovQuery forget_all_own_recounts_query = {
	.sql = "delete from @gov_recounts r where not " GOV_COMES_BACK("r")
};
static GovQuery forget_all_usage_query = {.sql = "delete from @gov_usage"};
static GovQuery forget_all_alerts_query = {.sql = "delete from @gov_alerts"};
static GovQuery forget_all_own_usage_query = {
	.sql = "delete from @gov_usage u where not " GOV_COMES_BACK("u")
};
static GovQuery forget_all_own_alerts_query = {
	.sql = "delete from @gov_alerts a where not " GOV_COMES_BACK("a")
};

static void
forget_boosts(const TriggerData *trigger)
{
	static const char *const key[] = {
		"owner_id", "entity_id", "capability_id", "scope_entity_ids", "name"
	};
	Datum		args[lengthof(key)];

	for (int i = 0; i < lengthof(key); i++)
		args[i] = gov_trigger_key(trigger, trigger->tg_trigtuple, key[i]);
	gov_spi_modify(&forget_boosts_query, args, NULL);
}

static void
forget_one(const TriggerData *trigger)
{
	HeapTuple	row = trigger->tg_trigtuple;
	Datum		owner = gov_trigger_key(trigger, row, "owner_id");
	Datum		id = gov_trigger_key(trigger, row, "id");
	Datum		usage_args[2] = {owner, id};
	bool		has_counts = gov_lookup_is_filled(gov_catalog()->default_counts);

	gov_spi_modify(has_counts ? &forget_own_usage_query : &forget_usage_query, usage_args, NULL);
	gov_spi_modify(has_counts ? &forget_own_alerts_query : &forget_alerts_query, &id, NULL);
	if (gov_lookup_has_rows(gov_catalog()->recounts))
		gov_spi_modify(has_counts ? &forget_own_recounts_query : &forget_recounts_query, usage_args, NULL);
	if (gov_load_has_boosts())
		forget_boosts(trigger);
}

static void
forget_all(void)
{
	bool		has_counts = gov_lookup_is_filled(gov_catalog()->default_counts);

	gov_spi_modify(has_counts ? &forget_all_own_usage_query : &forget_all_usage_query, NULL, NULL);
	gov_spi_modify(has_counts ? &forget_all_own_alerts_query : &forget_all_alerts_query, NULL, NULL);
	if (gov_load_has_boosts())
		gov_spi_modify(&forget_all_boosts_query, NULL, NULL);
	if (gov_lookup_has_rows(gov_catalog()->recounts))
		gov_spi_modify(has_counts ? &forget_all_own_recounts_query : &forget_all_recounts_query, NULL, NULL);
	if (OidIsValid(gov_catalog()->limit_history))
		gov_spi_modify(&forget_all_limits_query, NULL, NULL);
}

/* AFTER DELETE of gov_assignments, for each row, and AFTER TRUNCATE. */
Datum
gov_forget_budget_1_0(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger =
	gov_trigger_data_of(fcinfo,
						GOV_FIRES(TRIGGER_EVENT_DELETE | TRIGGER_EVENT_ROW) |
						GOV_FIRES(TRIGGER_EVENT_TRUNCATE), gov_catalog()->assignments);
	GovSpi		spi;

	/* gov_delete_owner deletes all of an owner's itself */
	if (gov_spi_is_engine())
		return PointerGetDatum(NULL);

	LockRelationOid(gov_catalog()->rollup_state, ShareLock);
	gov_spi_begin(&spi);
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		forget_all();
	else
		forget_one(trigger);
	gov_spi_end(&spi);
	return PointerGetDatum(NULL);
}
