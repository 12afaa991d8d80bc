/*
 * keep_row.c
 *		Rows that triggers put in form before they are written, and their times.
 *
 * PURPOSE
 *		A row says when it was made and when it last changed, by whatever way it
 *		comes.  For tables whose rows need more than that see keep.c.
 *
 * FAILURE
 *		42703 where the schema's owner has renamed a column.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/spi.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "rules/keep_row.h"
#include "rules/trigger.h"

PG_FUNCTION_INFO_V1(gov_keep_row_1_1);

static const char *const times[GOV_KEEP_TIMES] = {"created_at", "updated_at"};

/*
 * The places of a table's columns, looked up once for each FmgrInfo of the
 * trigger.
 */
const int *
gov_keep_row_places(FunctionCallInfo fcinfo, Relation table, const char *const *columns,
					int ncolumns)
{
	int		   *places = fcinfo->flinfo->fn_extra;

	if (places != NULL)
		return places;
	places = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, ncolumns * sizeof(int));
	for (int i = 0; i < ncolumns; i++)
	{
		places[i] = SPI_fnumber(RelationGetDescr(table), columns[i]) - 1;
		if (places[i] < 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of table \"%s\" does not exist", columns[i],
							RelationGetRelationName(table))));
	}
	fcinfo->flinfo->fn_extra = places;
	return places;
}

void
gov_keep_row_read(GovKeptRow *row, HeapTuple tuple, TupleDesc desc, const int *places)
{
	row->values = palloc(desc->natts * sizeof(Datum));
	row->nulls = palloc(desc->natts * sizeof(bool));
	row->places = places;
	heap_deform_tuple(tuple, desc, row->values, row->nulls);
}

HeapTuple
gov_keep_row_make(const GovKeptRow *row, HeapTuple from, TupleDesc desc)
{
	HeapTuple	tuple = heap_form_tuple(desc, row->values, row->nulls);

	tuple->t_data->t_ctid = from->t_data->t_ctid;
	tuple->t_self = from->t_self;
	tuple->t_tableOid = from->t_tableOid;
	return tuple;
}

/* Do two rows differ in a column, as by "is distinct from"? */
static bool
value_differs(const GovKeptRow *one, const GovKeptRow *other, TupleDesc desc, int place)
{
	return gov_trigger_value_differs(TupleDescAttr(desc, place), one->values[place],
									 one->nulls[place], other->values[place],
									 other->nulls[place]);
}

bool
gov_keep_row_differs(const GovKeptRow *one, const GovKeptRow *other, TupleDesc desc, int column)
{
	return value_differs(one, other, desc, one->places[column]);
}

/* An UPDATE moves updated_at when it changes a value, and created_at never. */
void
gov_keep_row_times(GovKeptRow *row, const GovKeptRow *before, TupleDesc desc)
{
	*gov_keep_row_value(row, GOV_KEEP_CREATED_AT) = *gov_keep_row_value(before, GOV_KEEP_CREATED_AT);
	*gov_keep_row_null(row, GOV_KEEP_CREATED_AT) = *gov_keep_row_null(before, GOV_KEEP_CREATED_AT);
	*gov_keep_row_value(row, GOV_KEEP_UPDATED_AT) = *gov_keep_row_value(before, GOV_KEEP_UPDATED_AT);
	*gov_keep_row_null(row, GOV_KEEP_UPDATED_AT) = *gov_keep_row_null(before, GOV_KEEP_UPDATED_AT);
	for (int place = 0; place < desc->natts; place++)
	{
		if (value_differs(row, before, desc, place))
		{
			/*
			 * the clock's time, not the transaction's: it moves with every
			 * change
			 */
			*gov_keep_row_value(row, GOV_KEEP_UPDATED_AT) = TimestampTzGetDatum(GetCurrentTimestamp());
			*gov_keep_row_null(row, GOV_KEEP_UPDATED_AT) = false;
			return;
		}
	}
}

/* The check constraint on a column, which raises what no constraint can judge. */
const char *
gov_keep_row_check(Relation table, const char *column)
{
	return psprintf("%s_%s_check", RelationGetRelationName(table), column);
}

/* BEFORE UPDATE of gov_entities and gov_capabilities, for each row. */
Datum
gov_keep_row_1_1(PG_FUNCTION_ARGS)
{
	TriggerData *trigger =
	gov_trigger_data(fcinfo, GOV_FIRES(TRIGGER_EVENT_UPDATE | TRIGGER_EVENT_ROW | TRIGGER_EVENT_BEFORE));
	Relation	table = trigger->tg_relation;
	TupleDesc	desc = RelationGetDescr(table);
	const int  *places;
	GovKeptRow	row;
	GovKeptRow	before;

	if (RelationGetRelid(table) != gov_catalog()->entities &&
		RelationGetRelid(table) != gov_catalog()->capabilities)
		gov_trigger_refuse(fcinfo);
	places = gov_keep_row_places(fcinfo, table, times, GOV_KEEP_TIMES);
	gov_keep_row_read(&row, trigger->tg_newtuple, desc, places);
	gov_keep_row_read(&before, trigger->tg_trigtuple, desc, places);
	gov_keep_row_times(&row, &before, desc);
	return PointerGetDatum(gov_keep_row_make(&row, trigger->tg_newtuple, desc));
}
