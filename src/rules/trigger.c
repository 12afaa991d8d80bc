/*
 * trigger.c
 *		What the trigger functions in C have in common.
 *
 * INVARIANTS
 *		A function looks at no row before it knows that there is one, and that
 *		it is of a table of ours: another table may have a column of that name
 *		and another type.
 *
 * FAILURE
 *		39P01 when a function is called in another way than by the triggers of
 *		its tables: somebody has made a trigger of their own with it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/spi.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "rules/trigger.h"

#define HOW_IT_FIRES \
	(TRIGGER_EVENT_OPMASK | TRIGGER_EVENT_ROW | TRIGGER_EVENT_TIMINGMASK)

StaticAssertDecl(HOW_IT_FIRES < 32, "ways to fire must fit into an uint32");

/*
 * Raise an error: a function was called in another way than by the triggers
 * that it is for.
 */
void
gov_trigger_refuse(FunctionCallInfo fcinfo)
{
	char	   *function = get_func_name(fcinfo->flinfo->fn_oid);

	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("function \"%s\" was not called by a trigger that it is for",
					function ? function : "?"),
			 errhint("It is for the triggers that the extension makes on its own tables: drop yours.")));
}

/* The trigger's data; it must have fired in one of these ways. */
TriggerData *
gov_trigger_data(FunctionCallInfo fcinfo, uint32 fires)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		(GOV_FIRES(trigger->tg_event & HOW_IT_FIRES) & fires) == 0)
		gov_trigger_refuse(fcinfo);
	return trigger;
}

/*
 * The trigger's data; it must have fired in one of these ways, for this table.
 */
TriggerData *
gov_trigger_data_of(FunctionCallInfo fcinfo, uint32 fires, Oid relid)
{
	TriggerData *trigger = gov_trigger_data(fcinfo, fires);

	if (RelationGetRelid(trigger->tg_relation) != relid)
		gov_trigger_refuse(fcinfo);
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

/* The value of a column that is NOT NULL. */
Datum
gov_trigger_key(const TriggerData *trigger, HeapTuple row, const char *name)
{
	bool		isnull;
	Datum		value = gov_trigger_column(trigger, row, name, &isnull);

	Assert(!isnull);
	return value;
}

/*
 * As "is distinct from", for a column of two rows; what has no equality differs
 * when its bytes do.
 */
bool
gov_trigger_value_differs(Form_pg_attribute column, Datum one, bool one_is_null,
						  Datum other, bool other_is_null)
{
	TypeCacheEntry *type;

	/* a generated column follows from others */
	if (column->attisdropped || column->attgenerated != '\0')
		return false;
	if (one_is_null || other_is_null)
		return one_is_null != other_is_null;
	if (datum_image_eq(one, other, column->attbyval, column->attlen))
		return false;
	type = lookup_type_cache(column->atttypid, TYPECACHE_EQ_OPR_FINFO);
	return !OidIsValid(type->eq_opr_finfo.fn_oid) ||
		!DatumGetBool(FunctionCall2Coll(&type->eq_opr_finfo, column->attcollation, one, other));
}
