/*
 * kind.c
 *		A trigger that keeps the kind of a capability with budgets.
 *
 * PURPOSE
 *		What is used up and what is under way at once are counted by different
 *		calls, and a budget for the latter has no cadence (keep_window.c).  So the
 *		kind of a capability does not change to or from concurrency while it has
 *		budgets, or defaults.
 *
 * LOCKS
 *		Both tables, to the end of the transaction, against whoever changes them:
 *		he has asked for the kind that there was, and is waited for; or he waits,
 *		and asks for the new one.  Such changes are rare.
 *
 * FAILURE
 *		55000.  It does not fire for rows that replication applies.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "base/spi.h"
#include "rules/trigger.h"

PG_FUNCTION_INFO_V1(gov_kind_kept_1_1);

static GovQuery budgets_query = {
	.sql =
	"select where exists (select from @gov_assignments a where a.capability_id = $1)"
	" or exists (select from @gov_default_assignments d where d.capability_id = $1)",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

/* AFTER UPDATE of gov_capabilities, for each row that turns from one into the other. */
Datum
gov_kind_kept_1_1(PG_FUNCTION_ARGS)
{
	const GovCatalog *catalog = gov_catalog();
	TriggerData *trigger =
	gov_trigger_data_of(fcinfo, GOV_FIRES(TRIGGER_EVENT_UPDATE | TRIGGER_EVENT_ROW), catalog->capabilities);
	Datum		id = gov_trigger_key(trigger, trigger->tg_newtuple, "id");
	GovSpi		spi;

	LockRelationOid(catalog->assignments, ShareRowExclusiveLock);
	LockRelationOid(catalog->default_assignments, ShareRowExclusiveLock);
	gov_spi_begin(&spi);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	if (gov_spi_select(&budgets_query, &id, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("capability \"%s\" has budgets", gov_error_shown(TextDatumGetCString(id))),
				 errdetail("Its kind does not change to or from \"concurrency\" meanwhile."),
				 errhint("Delete its budgets and defaults first, or make another capability."),
				 errtable(trigger->tg_relation)));
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
	return PointerGetDatum(NULL);
}
