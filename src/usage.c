/*
 * usage.c
 *		Deleting a budget deletes its usage and its alerts.
 *
 * PURPOSE
 *		Done in C, under the latest snapshot, because at REPEATABLE READ the
 *		transaction's own does not see the rows that the rollup has written
 *		since it began, and nobody would ever delete those.
 *
 * LOCKING
 *		ShareLock on gov_rollup_state, to the end of the transaction: a round
 *		of the rollup that runs is waited for, and none starts that could bring
 *		the usage back (rollup.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/rel.h"

#include "catalog.h"
#include "spi.h"

PG_FUNCTION_INFO_V1(gov_forget_budget_1_0);

static GovQuery forget_usage_query = {
	.sql = "delete from @gov_usage u where u.owner_id = $1 and u.assignment_id = $2",
	.nargs = 2,
	.argtypes = {TEXTOID, UUIDOID}
};

static GovQuery forget_alerts_query = {
	.sql = "delete from @gov_alerts a where a.assignment_id = $1",
	.nargs = 1,
	.argtypes = {UUIDOID}
};

static GovQuery forget_all_usage_query = {.sql = "delete from @gov_usage"};
static GovQuery forget_all_alerts_query = {.sql = "delete from @gov_alerts"};

static Datum
column(const TriggerData *trigger, const char *name)
{
	TupleDesc	tupdesc = RelationGetDescr(trigger->tg_relation);
	bool		isnull;

	return heap_getattr(trigger->tg_trigtuple, SPI_fnumber(tupdesc, name),
						tupdesc, &isnull);
}

static void
forget_one(const TriggerData *trigger)
{
	Datum		usage_args[2] = {column(trigger, "owner_id"), column(trigger, "id")};
	Datum		alerts_args[1] = {usage_args[1]};

	gov_spi_modify(&forget_usage_query, usage_args, NULL);
	gov_spi_modify(&forget_alerts_query, alerts_args, NULL);
}

/* AFTER DELETE of gov_assignments, for each row, and AFTER TRUNCATE. */
Datum
gov_forget_budget_1_0(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger = (const TriggerData *) fcinfo->context;
	GovSpi		spi;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		RelationGetRelid(trigger->tg_relation) != gov_catalog()->assignments)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function was not called as a trigger of its table")));

	/* gov_delete_owner deletes all of an owner's itself */
	if (gov_spi_is_engine())
		return PointerGetDatum(NULL);

	LockRelationOid(gov_catalog()->rollup_state, ShareLock);
	gov_spi_begin(&spi);
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
	{
		gov_spi_modify(&forget_all_usage_query, NULL, NULL);
		gov_spi_modify(&forget_all_alerts_query, NULL, NULL);
	}
	else
		forget_one(trigger);
	gov_spi_end(&spi);
	return PointerGetDatum(NULL);
}
