/*
 * invalidate.c
 *		Triggers that tell the engine what DML has changed.
 *
 * PURPOSE
 *		The catalog is plain tables, and plain SQL is a first-class way to
 *		manage them.  Row triggers note what each row concerned, so that COPY,
 *		logical replication and the catalog functions are all the same; they
 *		are ENABLE ALWAYS and not statement triggers, which do not fire when
 *		changes are applied by replication.  A third trigger keeps the ledger
 *		append-only.
 *
 * FAILURE
 *		Triggers disabled by an administrator, or turned into ordinary ones by
 *		ENABLE TRIGGER ALL, tell nothing: gov_refresh() repairs both.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "catalog.h"
#include "changes.h"
#include "spi.h"

PG_FUNCTION_INFO_V1(gov_note_change_1_0);
PG_FUNCTION_INFO_V1(gov_note_truncate_1_0);
PG_FUNCTION_INFO_V1(gov_ledger_guard_1_0);

static TriggerData *
trigger_data(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function was not called as a trigger")));
	return (TriggerData *) fcinfo->context;
}

static text *
column(HeapTuple tuple, TupleDesc tupdesc, const char *name)
{
	int			number = SPI_fnumber(tupdesc, name);
	bool		isnull;
	Datum		value;

	if (number <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" does not exist", name)));
	value = heap_getattr(tuple, number, tupdesc, &isnull);
	Assert(!isnull);			/* all are NOT NULL */
	return DatumGetTextPP(value);
}

static void
note_row(const TriggerData *trigger, HeapTuple tuple, const char *id_column)
{
	TupleDesc	tupdesc = RelationGetDescr(trigger->tg_relation);
	text	   *owner = column(tuple, tupdesc, "owner_id");
	text	   *id = column(tuple, tupdesc, id_column);

	gov_changes_note_entity(VARDATA_ANY(owner), VARSIZE_ANY_EXHDR(owner),
							VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id));
}

/* AFTER INSERT OR UPDATE OR DELETE, for each row of a catalog table. */
Datum
gov_note_change_1_0(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = trigger_data(fcinfo);
	const GovCatalog *catalog = gov_catalog();
	Oid			relid = RelationGetRelid(trigger->tg_relation);
	const char *id_column;

	if (relid == catalog->entities)
		id_column = "id";
	else if (relid == catalog->assignments)
		id_column = "entity_id";
	else
	{
		gov_changes_note_types();
		return PointerGetDatum(NULL);
	}

	note_row(trigger, trigger->tg_trigtuple, id_column);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		note_row(trigger, trigger->tg_newtuple, id_column);
	return PointerGetDatum(NULL);
}

/*
 * AFTER TRUNCATE of a table that nodes are loaded from.  They are loaded again;
 * counters at hand stay as they are.
 */
Datum
gov_note_truncate_1_0(PG_FUNCTION_ARGS)
{
	trigger_data(fcinfo);
	gov_changes_note_everything(true);
	return PointerGetDatum(NULL);
}

/* BEFORE UPDATE, DELETE or TRUNCATE of the ledger and the holds. */
Datum
gov_ledger_guard_1_0(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = trigger_data(fcinfo);

	if (!gov_spi_is_engine())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("table \"%s\" is changed by the functions of governance only",
						RelationGetRelationName(trigger->tg_relation)),
				 errhint("Record a correction with gov_ingest and a negative amount.")));
	return PointerGetDatum(NULL);
}
