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

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "utils/uuid.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/owner.h"
#include "base/spi.h"
#include "pure/window.h"
#include "rules/drawn.h"
#include "rules/keep.h"
#include "rules/trigger.h"

#define DECIMALS	9

PG_FUNCTION_INFO_V1(gov_keep_assignment_1_1);
PG_FUNCTION_INFO_V1(gov_keep_row_1_1);

enum
{
	CREATED_AT,
	UPDATED_AT,
	SCOPE,
	USAGE_LIMIT,
	CALL_LIMIT,
	THRESHOLDS,
	CADENCE,
	ANCHOR_AT,
	TIMEZONE,
	COUNTER_ID,
	ID,
	NCOLUMNS
};

static const char *const columns[NCOLUMNS] = {
	"created_at", "updated_at", "scope_entity_ids", "usage_limit", "call_limit", "alert_thresholds",
	"cadence", "anchor_at", "timezone", "counter_id", "id"
};

#define NTIMES		(UPDATED_AT + 1)	/* columns that every table has */

/* All columns of a row, and the places of those that are named above. */
typedef struct GovKeptRow
{
	Datum	   *values;
	bool	   *nulls;
	const int  *places;
} GovKeptRow;

/* A counter that has been drawn. */
static GovQuery drawn_query = {
	.sql = "select from @gov_counter_seq q where q.is_called and q.last_value >= $1",
	.nargs = 1,
	.argtypes = {INT8OID}
};

/* ---------------------------------------------------------------- rows */

/*
 * The places of a table's columns, looked up once for each FmgrInfo of the
 * trigger.
 */
static const int *
places_of(FunctionCallInfo fcinfo, Relation table, int ncolumns)
{
	int		   *places = fcinfo->flinfo->fn_extra;

	if (places != NULL)
		return places;
	places = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, NCOLUMNS * sizeof(int));
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

static void
read_row(GovKeptRow *row, HeapTuple tuple, TupleDesc desc, const int *places)
{
	row->values = palloc(desc->natts * sizeof(Datum));
	row->nulls = palloc(desc->natts * sizeof(bool));
	row->places = places;
	heap_deform_tuple(tuple, desc, row->values, row->nulls);
}

static HeapTuple
make_row(const GovKeptRow *row, HeapTuple from, TupleDesc desc)
{
	HeapTuple	tuple = heap_form_tuple(desc, row->values, row->nulls);

	tuple->t_data->t_ctid = from->t_data->t_ctid;
	tuple->t_self = from->t_self;
	tuple->t_tableOid = from->t_tableOid;
	return tuple;
}

static Datum *
value_of(const GovKeptRow *row, int column)
{
	return &row->values[row->places[column]];
}

static bool *
null_of(const GovKeptRow *row, int column)
{
	return &row->nulls[row->places[column]];
}

/* Do two rows differ in a column, as by "is distinct from"? */
static bool
value_differs(const GovKeptRow *one, const GovKeptRow *other, TupleDesc desc, int place)
{
	return gov_trigger_value_differs(TupleDescAttr(desc, place), one->values[place],
									 one->nulls[place], other->values[place],
									 other->nulls[place]);
}

static bool
column_differs(const GovKeptRow *one, const GovKeptRow *other, TupleDesc desc, int column)
{
	return value_differs(one, other, desc, one->places[column]);
}

/* An UPDATE moves updated_at when it changes a value, and created_at never. */
static void
keep_times(GovKeptRow *row, const GovKeptRow *before, TupleDesc desc)
{
	*value_of(row, CREATED_AT) = *value_of(before, CREATED_AT);
	*null_of(row, CREATED_AT) = *null_of(before, CREATED_AT);
	*value_of(row, UPDATED_AT) = *value_of(before, UPDATED_AT);
	*null_of(row, UPDATED_AT) = *null_of(before, UPDATED_AT);
	for (int place = 0; place < desc->natts; place++)
	{
		if (value_differs(row, before, desc, place))
		{
			/*
			 * the clock's time, not the transaction's: it moves with every
			 * change
			 */
			*value_of(row, UPDATED_AT) = TimestampTzGetDatum(GetCurrentTimestamp());
			*null_of(row, UPDATED_AT) = false;
			return;
		}
	}
}

/* ---------------------------------------------------------------- values in form */

static Datum
round_number(Datum number)
{
	return DirectFunctionCall1(numeric_trim_scale,
							   DirectFunctionCall2(numeric_round, number, Int32GetDatum(DECIMALS)));
}

static int
compare_texts(const void *one, const void *other)
{
	return DatumGetInt32(DirectFunctionCall2Coll(bttextcmp, C_COLLATION_OID,
												 *(const Datum *) one, *(const Datum *) other));
}

static int
compare_numbers(const void *one, const void *other)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp,
											 *(const Datum *) one, *(const Datum *) other));
}

/*
 * The distinct items of a list, in order, null as the last.  A list of more
 * dimensions is left as it is, for the check constraint to refuse.
 */
static Datum
sort_list(Datum list, Oid type)
{
	ArrayType  *array = DatumGetArrayTypeP(list);
	int			(*compare) (const void *, const void *) =
	type == TEXTOID ? compare_texts : compare_numbers;
	Datum	   *items;
	bool	   *nulls;
	int			nitems;
	int			count = 0;
	int			lower = 1;
	bool		has_null = false;

	if (ARR_NDIM(array) != 1)
		return list;
	deconstruct_array(array, type, -1, false, TYPALIGN_INT, &items, &nulls, &nitems);
	for (int i = 0; i < nitems; i++)
	{
		has_null |= nulls[i];
		if (!nulls[i])
			items[count++] = type == TEXTOID ? items[i] : round_number(items[i]);
	}
	qsort(items, count, sizeof(Datum), compare);
	nitems = count;
	count = Min(nitems, 1);
	for (int i = 1; i < nitems; i++)
	{
		if (compare(&items[count - 1], &items[i]) != 0)
			items[count++] = items[i];
	}
	memset(nulls, false, count * sizeof(bool));
	if (has_null)
		nulls[count++] = true;
	return PointerGetDatum(construct_md_array(items, nulls, 1, &count, &lower, type, -1,
											  false, TYPALIGN_INT));
}

static void
put_in_form(GovKeptRow *row, Relation table)
{
	if (!*null_of(row, THRESHOLDS) &&
		ARR_NDIM(DatumGetArrayTypeP(*value_of(row, THRESHOLDS))) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("column \"alert_thresholds\" of \"%s\" must be a one-dimensional array",
						RelationGetRelationName(table)),
				 errhint("Write it like {80,100}."),
				 errtablecol(table, row->places[THRESHOLDS] + 1),
				 errtableconstraint(table, "gov_assignments_alert_thresholds_check")));
	if (!*null_of(row, SCOPE))
		*value_of(row, SCOPE) = sort_list(*value_of(row, SCOPE), TEXTOID);
	if (!*null_of(row, USAGE_LIMIT))
		*value_of(row, USAGE_LIMIT) = round_number(*value_of(row, USAGE_LIMIT));
	if (!*null_of(row, CALL_LIMIT))
		*value_of(row, CALL_LIMIT) = round_number(*value_of(row, CALL_LIMIT));
	if (!*null_of(row, THRESHOLDS))
		*value_of(row, THRESHOLDS) = sort_list(*value_of(row, THRESHOLDS), NUMERICOID);
}

/* ---------------------------------------------------------------- windows */

/*
 * The time zone of a row; NULL when there is no such zone, or none is given.
 */
static pg_tz *
timezone_of(const GovKeptRow *row)
{
	return *null_of(row, TIMEZONE) ? NULL :
		gov_window_timezone(TextDatumGetCString(*value_of(row, TIMEZONE)));
}

static void
check_timezone(const GovKeptRow *row, Relation table)
{
	if (*null_of(row, TIMEZONE) || timezone_of(row) != NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("time zone \"%s\" is not recognized",
					gov_error_shown(TextDatumGetCString(*value_of(row, TIMEZONE)))),
			 errhint("A time zone is a name of pg_timezone_names, such as UTC or Europe/Berlin."),
			 errtablecol(table, row->places[TIMEZONE] + 1),
			 errtableconstraint(table, "gov_assignments_timezone_check")));
}

/* The window of a row that holds a time; false if there is none. */
static bool
window_of(const GovKeptRow *row, TimestampTz at, GovWindow *window)
{
	bool		has_anchor = !*null_of(row, ANCHOR_AT);
	TimestampTz anchor = has_anchor ? DatumGetTimestampTz(*value_of(row, ANCHOR_AT)) : 0;
	GovCadence	cadence = {GOV_CADENCE_NONE};
	pg_tz	   *tz = timezone_of(row);

	return tz != NULL && !TIMESTAMP_NOT_FINITE(anchor) &&
		(*null_of(row, CADENCE) ||
		 gov_cadence_parse(TextDatumGetCString(*value_of(row, CADENCE)), &cadence)) &&
		gov_window_at(&cadence, has_anchor, anchor, tz, at, window);
}

/* Is the window of the present time the same in both rows? */
static bool
has_same_window(const GovKeptRow *one, const GovKeptRow *other)
{
	TimestampTz now = gov_clock();
	GovWindow	first;
	GovWindow	second;

	return window_of(one, now, &first) && window_of(other, now, &second) &&
		first.start == second.start && first.end == second.end;
}

/* Raise unless a budget with an anchor has a present window. */
static void
check_window(const GovKeptRow *row, Relation table)
{
	TimestampTz anchor = DatumGetTimestampTz(*value_of(row, ANCHOR_AT));
	GovWindow	window;

	if (*null_of(row, CADENCE) || *null_of(row, ANCHOR_AT) || TIMESTAMP_NOT_FINITE(anchor) ||
		*null_of(row, TIMEZONE) || window_of(row, GetCurrentTransactionStartTimestamp(), &window))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("the present window is out of range"),
			 errdetail("No window of cadence %s that is counted from %s holds the present time.",
					   TextDatumGetCString(*value_of(row, CADENCE)), timestamptz_to_str(anchor)),
			 errhint("Choose an anchor_at nearer to now, or a shorter cadence."),
			 errtablecol(table, row->places[ANCHOR_AT] + 1),
			 errtableconstraint(table, "gov_assignments_anchor_at_check")));
}

/*
 * ---------------------------------------------------------------- ids and counters
 *
 * Their defaults are the nil UUID and 0, so that clients that know types need not
 * give them.  No budget has either.
 */
#define GOV_COUNTER_TO_DRAW	0	/* the sequence starts at 1 */

static bool may_draw = false;	/* for an UPDATE to 0 */

/* Let an UPDATE to 0 draw another counter, or no longer. */
void
gov_keep_allow_drawing(bool is_allowed)
{
	may_draw = is_allowed;
}

static bool
is_to_be_drawn(GovKeptRow *row)
{
	static const pg_uuid_t nil = {0};

	return *null_of(row, ID) ||
		memcmp(DatumGetUUIDP(*value_of(row, ID)), &nil, UUID_LEN) == 0;
}

static void
draw_id(GovKeptRow *row)
{
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));

	gov_drawn_id(id);
	*value_of(row, ID) = UUIDPGetDatum(id);
	*null_of(row, ID) = false;
}

static void
draw_counter(GovKeptRow *row)
{
	*value_of(row, COUNTER_ID) = Int64GetDatum(nextval_internal(gov_catalog()->counter_seq, false));
	*null_of(row, COUNTER_ID) = false;
}

static bool
was_drawn(Datum counter)
{
	GovSpi		spi;
	bool		found;

	gov_spi_begin(&spi);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	found = gov_spi_select(&drawn_query, &counter, NULL) > 0;
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
	return found;
}

/*
 * Judge a counter that a new budget brings with it.  A restore gives a budget
 * the counter that it had.  A counter that was drawn here has counted for
 * another budget, or for one that is gone together with its usage.
 */
static void
check_counter(const GovKeptRow *row, Relation table)
{
	/*
	 * a number that is still to be drawn would be taken from another owner's
	 * budget
	 */
	if (gov_owner_pin() != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for column \"counter_id\""),
				 errdetail("The session is pinned to one owner by governance.owner, and counters are numbered over all."),
				 errhint("Leave counter_id out: the extension draws it."),
				 errtablecol(table, row->places[COUNTER_ID] + 1)));
	if (was_drawn(*value_of(row, COUNTER_ID)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("counter_id " INT64_FORMAT " has been drawn before",
						DatumGetInt64(*value_of(row, COUNTER_ID))),
				 errhint("Leave counter_id out: the extension draws it. To restore rows, set session_replication_role to replica."),
				 errtablecol(table, row->places[COUNTER_ID] + 1)));
}

/* ---------------------------------------------------------------- triggers */

static void
keep_new(GovKeptRow *row, Relation table)
{
	check_timezone(row, table);
	check_window(row, table);
	if (is_to_be_drawn(row))
		draw_id(row);
	if (*null_of(row, COUNTER_ID) || DatumGetInt64(*value_of(row, COUNTER_ID)) == GOV_COUNTER_TO_DRAW)
		draw_counter(row);
	else
		check_counter(row, table);
}

static void
keep_changed(GovKeptRow *row, const GovKeptRow *before, Relation table)
{
	TupleDesc	desc = RelationGetDescr(table);
	bool		has_zone = column_differs(row, before, desc, TIMEZONE);
	bool		has_rule = has_zone || column_differs(row, before, desc, CADENCE) ||
	column_differs(row, before, desc, ANCHOR_AT);

	if (has_zone)
		check_timezone(row, table);
	if (has_rule)
		check_window(row, table);
	if (may_draw && DatumGetInt64(*value_of(row, COUNTER_ID)) == GOV_COUNTER_TO_DRAW)
		draw_counter(row);
	else if (column_differs(row, before, desc, COUNTER_ID))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"counter_id\" of \"gov_assignments\" is kept by the extension"),
				 errhint("Change cadence, anchor_at or timezone so that the present window is another, to start the usage of a budget afresh."),
				 errtablecol(table, row->places[COUNTER_ID] + 1)));
	if (has_rule && !has_same_window(row, before))
		draw_counter(row);
	keep_times(row, before, desc);
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
	const int  *places = places_of(fcinfo, table, NCOLUMNS);
	GovKeptRow	row;
	GovKeptRow	before;

	read_row(&row, tuple, desc, places);
	put_in_form(&row, table);
	if (is_update)
	{
		read_row(&before, trigger->tg_trigtuple, desc, places);
		keep_changed(&row, &before, table);
	}
	else
		keep_new(&row, table);
	return PointerGetDatum(make_row(&row, tuple, desc));
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
	places = places_of(fcinfo, table, NTIMES);
	read_row(&row, trigger->tg_newtuple, desc, places);
	read_row(&before, trigger->tg_trigtuple, desc, places);
	keep_times(&row, &before, desc);
	return PointerGetDatum(make_row(&row, trigger->tg_newtuple, desc));
}
