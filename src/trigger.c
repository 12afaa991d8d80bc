/*
 * trigger.c
 *		What the trigger functions in C have in common.
 *
 * FAILURE
 *		39P01 when a function is called in another way than by a trigger of its
 *		table: somebody has made a trigger of their own with it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/spi.h"
#include "utils/rel.h"

#include "trigger.h"

/* The trigger's data; it must be a trigger on relid, if that is given. */
TriggerData *
gov_trigger_data(FunctionCallInfo fcinfo, Oid relid)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		(OidIsValid(relid) && RelationGetRelid(trigger->tg_relation) != relid))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function was not called as a trigger of its table")));
	return trigger;
}

Datum
gov_trigger_column(const TriggerData *trigger, HeapTuple row, const char *name,
				   bool *isnull)
{
	TupleDesc	tupdesc = RelationGetDescr(trigger->tg_relation);
	int			number = SPI_fnumber(tupdesc, name);

	if (number <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist", name,
						RelationGetRelationName(trigger->tg_relation))));
	return heap_getattr(row, number, tupdesc, isnull);
}

/* A column that is NOT NULL. */
Datum
gov_trigger_key(const TriggerData *trigger, HeapTuple row, const char *name)
{
	bool		isnull;
	Datum		value = gov_trigger_column(trigger, row, name, &isnull);

	Assert(!isnull);
	return value;
}
