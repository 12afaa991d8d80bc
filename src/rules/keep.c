/*
 * keep.c
 *		Triggers that keep rows of the catalog in form, before they are written.
 *
 * PURPOSE
 *		Whether a row comes by a function, in plain SQL or by COPY: lists become
 *		sorted and distinct, numbers are rounded to 9 decimals, a time zone must
 *		exist, an id is drawn where none is given, the counter is drawn here and
 *		nowhere else, and the times of a row say when it was made and when it last
 *		changed.  A statement may write a hundred thousand rows, so this is in C.
 *		The parts are keep_form.c (values), keep_window.c (windows),
 *		keep_counter.c (ids and counters), keep_inherited.c (in the place of a
 *		default) and keep_row.c (rows and their times).
 *
 * COUNTERS
 *		A change of cadence, anchor or time zone draws another counter, and so
 *		starts the count afresh, unless the window of the present time is the
 *		same before and after it.  Then the counter goes on: in the windows to
 *		come by the new rule, and what it has recorded in earlier ones stays.
 *
 * FAILURE
 *		23514 for what no check constraint can judge, with the name that such a
 *		constraint would have; 55000 and 42501 for a counter that is not the
 *		row's.  A null in a column that is NOT NULL is left to the constraint.
 *		The triggers do not fire for rows that replication applies.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "rules/keep_columns.h"
#include "rules/keep_counter.h"
#include "rules/keep_form.h"
#include "rules/keep_inherited.h"
#include "rules/keep_pool.h"
#include "rules/keep_window.h"
#include "rules/trigger.h"

PG_FUNCTION_INFO_V1(gov_keep_assignment_1_1);
PG_FUNCTION_INFO_V1(gov_keep_default_1_1);

static const char *const columns[GOV_KEEP_NCOLUMNS] = {
	"created_at", "updated_at", "scope_entity_ids", "usage_limit", "call_limit", "alert_thresholds",
	"cadence", "anchor_at", "timezone", "window_kind", "counter_id", "id", "capability_id", "carry_unused_max",
	"carry_from", "owner_id", "entity_id", "name", "is_pool", "debt_limit", "debt_counter_id"
};

/* What a default has in the same place. */
static const char *const default_columns[GOV_KEEP_NDEFAULT_COLUMNS] = {
	"created_at", "updated_at", "scope_type_ids", "usage_limit", "call_limit", "alert_thresholds",
	"cadence", "anchor_at", "timezone", "window_kind", "seed", "id", "capability_id", "carry_unused_max",
	"carry_from", "anchor_from"
};

/*
 * What a row says of the windows that carry over: none that had ended when its count was
 * begun afresh.
 */
static void
keep_carry_from(GovKeptRow *row, const GovKeptRow *before, bool is_afresh)
{
	*gov_keep_row_value(row, GOV_KEEP_CARRY_FROM) = is_afresh ? TimestampTzGetDatum(gov_clock()) :
		*gov_keep_row_value(before, GOV_KEEP_CARRY_FROM);
	*gov_keep_row_null(row, GOV_KEEP_CARRY_FROM) = !is_afresh && *gov_keep_row_null(before, GOV_KEEP_CARRY_FROM);
}

/* ---------------------------------------------------------------- budgets */

static void
keep_new(GovKeptRow *row, Relation table)
{
	gov_keep_check_windows(row, table);
	if (gov_keep_goes_on(row, table))
		return;
	if (gov_keep_wants_id(row))
		gov_keep_draw_id(row);
	if (gov_keep_wants_counter(row))
		gov_keep_draw_counter(row);
	else
		gov_keep_check_counter(row, table);
}

static void
keep_changed(GovKeptRow *row, const GovKeptRow *before, Relation table)
{
	TupleDesc	desc = RelationGetDescr(table);
	bool		has_rule = gov_keep_windows_differ(row, before, table);
	bool		is_afresh;

	if (gov_keep_may_draw() && gov_keep_wants_counter(row))
	{
		if (DatumGetInt64(*gov_keep_row_value(before, GOV_KEEP_COUNTER_ID)) < 0)
			*gov_keep_row_value(row, GOV_KEEP_COUNTER_ID) =
				Int64GetDatum(gov_keep_draw_inherited(DatumGetUUIDP(*gov_keep_row_value(row, GOV_KEEP_ID))));
		else
			gov_keep_draw_counter(row);
	}
	else if (gov_keep_row_differs(row, before, desc, GOV_KEEP_COUNTER_ID))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"counter_id\" of \"gov_assignments\" is kept by the extension"),
				 errhint("Change cadence, anchor_at, timezone or window_kind so that the present window is another, to start the usage of a budget afresh."),
				 errtablecol(table, row->places[GOV_KEEP_COUNTER_ID] + 1)));
	/* who goes on with the count of a default has its windows */
	is_afresh = has_rule &&
		(DatumGetInt64(*gov_keep_row_value(before, GOV_KEEP_COUNTER_ID)) < 0 || !gov_keep_has_same_window(row, before));
	if (is_afresh)
		gov_keep_draw_counter(row);
	keep_carry_from(row, before, is_afresh);
	gov_keep_row_times(row, before, desc);
}

/* BEFORE INSERT OR UPDATE of gov_assignments, for each row. */
Datum
gov_keep_assignment_1_1(PG_FUNCTION_ARGS)
{
	TriggerData *trigger =
	gov_trigger_data_of(fcinfo, GOV_FIRES(TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW | TRIGGER_EVENT_BEFORE) |
						GOV_FIRES(TRIGGER_EVENT_UPDATE | TRIGGER_EVENT_ROW | TRIGGER_EVENT_BEFORE),
						gov_catalog()->assignments);
	Relation	table = trigger->tg_relation;
	TupleDesc	desc = RelationGetDescr(table);
	bool		is_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	HeapTuple	tuple = is_update ? trigger->tg_newtuple : trigger->tg_trigtuple;
	const int  *places = gov_keep_row_places(fcinfo, table, columns, GOV_KEEP_NCOLUMNS);
	GovKeptRow	row;
	GovKeptRow	before;

	gov_keep_row_read(&row, tuple, desc, places);
	gov_keep_in_form(&row, table);
	if (is_update)
	{
		gov_keep_row_read(&before, trigger->tg_trigtuple, desc, places);
		keep_changed(&row, &before, table);
	}
	else
		keep_new(&row, table);
	gov_keep_pool(&row, is_update ? &before : NULL, table);
	return PointerGetDatum(gov_keep_row_make(&row, tuple, desc));
}

/* As for a budget.  What its counters are named after is drawn where a budget's counter is. */
static void
keep_default(GovKeptRow *row, const GovKeptRow *before, Relation table)
{
	TupleDesc	desc = RelationGetDescr(table);
	bool		is_afresh;

	if (before == NULL)
	{
		gov_keep_check_windows(row, table);
		if (gov_keep_wants_id(row))
			gov_keep_draw_id(row);
		if (gov_keep_wants_counter(row))
			gov_keep_draw_counter(row);
		return;
	}
	is_afresh = gov_keep_windows_differ(row, before, table) || gov_keep_row_differs(row, before, desc, GOV_KEEP_ANCHOR_FROM);
	keep_carry_from(row, before, is_afresh);
	if (is_afresh)
		gov_keep_draw_counter(row);
	else
	{
		*gov_keep_row_value(row, GOV_KEEP_COUNTER_ID) = *gov_keep_row_value(before, GOV_KEEP_COUNTER_ID);
		*gov_keep_row_null(row, GOV_KEEP_COUNTER_ID) = false;
	}
	gov_keep_row_times(row, before, desc);
}

/* BEFORE INSERT OR UPDATE of gov_default_assignments, for each row. */
Datum
gov_keep_default_1_1(PG_FUNCTION_ARGS)
{
	TriggerData *trigger =
	gov_trigger_data_of(fcinfo, GOV_FIRES(TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW | TRIGGER_EVENT_BEFORE) |
						GOV_FIRES(TRIGGER_EVENT_UPDATE | TRIGGER_EVENT_ROW | TRIGGER_EVENT_BEFORE),
						gov_catalog()->default_assignments);
	Relation	table = trigger->tg_relation;
	TupleDesc	desc = RelationGetDescr(table);
	bool		is_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	HeapTuple	tuple = is_update ? trigger->tg_newtuple : trigger->tg_trigtuple;
	const int  *places = gov_keep_row_places(fcinfo, table, default_columns, GOV_KEEP_NDEFAULT_COLUMNS);
	GovKeptRow	row;
	GovKeptRow	before;

	gov_keep_row_read(&row, tuple, desc, places);
	gov_keep_in_form(&row, table);
	if (is_update)
		gov_keep_row_read(&before, trigger->tg_trigtuple, desc, places);
	keep_default(&row, is_update ? &before : NULL, table);
	return PointerGetDatum(gov_keep_row_make(&row, tuple, desc));
}
