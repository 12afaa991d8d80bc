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
 * LOCKING
 *		A row that goes on with the count of a default locks the rows that say
 *		so (gov_default_counts) FOR SHARE: a recount may be about to give the
 *		budget another counter.
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
#include "cache/inherited.h"
#include "cache/inherited_find.h"
#include "cache/load_steps.h"
#include "cache/types.h"
#include "ledger/columns.h"
#include "pure/bytes.h"
#include "pure/window.h"
#include "rules/drawn.h"
#include "rules/keep.h"
#include "rules/keep_row.h"
#include "rules/trigger.h"

#define DECIMALS	9

PG_FUNCTION_INFO_V1(gov_keep_assignment_1_1);
PG_FUNCTION_INFO_V1(gov_keep_default_1_1);

enum
{
	SCOPE = GOV_KEEP_TIMES,
	USAGE_LIMIT,
	CALL_LIMIT,
	THRESHOLDS,
	CADENCE,
	ANCHOR_AT,
	TIMEZONE,
	WINDOW_KIND,
	COUNTER_ID,
	ID,
	CAPABILITY,
	NSHARED,

	/* of assignments only */
	OWNER = NSHARED,
	ENTITY,
	NAME,
	NCOLUMNS,

	/* of defaults only */
	ANCHOR_FROM = NSHARED,
	NDEFAULT_COLUMNS
};

static const char *const columns[NCOLUMNS] = {
	"created_at", "updated_at", "scope_entity_ids", "usage_limit", "call_limit", "alert_thresholds",
	"cadence", "anchor_at", "timezone", "window_kind", "counter_id", "id", "capability_id", "owner_id", "entity_id", "name"
};

/* What a default has in the same place. */
static const char *const default_columns[NDEFAULT_COLUMNS] = {
	"created_at", "updated_at", "scope_type_ids", "usage_limit", "call_limit", "alert_thresholds",
	"cadence", "anchor_at", "timezone", "window_kind", "seed", "id", "capability_id", "anchor_from"
};

/* A counter that has been drawn. */
static GovQuery drawn_query = {
	.sql = "select from @gov_counter_seq q where q.is_called and q.last_value >= $1",
	.nargs = 1,
	.argtypes = {INT8OID}
};

/* The rows of a budget by a default that was used, which a recount changes. */
static GovQuery stay_query = {
	.sql = "select from @gov_default_counts n where n.assignment_id = $1 and not n.retired for share",
	.nargs = 1,
	.argtypes = {UUIDOID}
};

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

/* The check constraint on a column, which raises what no constraint can judge. */
static const char *
check_of(Relation table, const char *column)
{
	return psprintf("%s_%s_check", RelationGetRelationName(table), column);
}

static void
put_in_form(GovKeptRow *row, Relation table)
{
	if (!*gov_keep_row_null(row, THRESHOLDS) &&
		ARR_NDIM(DatumGetArrayTypeP(*gov_keep_row_value(row, THRESHOLDS))) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("column \"alert_thresholds\" of \"%s\" must be a one-dimensional array",
						RelationGetRelationName(table)),
				 errhint("Write it like {80,100}."),
				 errtablecol(table, row->places[THRESHOLDS] + 1),
				 errtableconstraint(table, check_of(table, "alert_thresholds"))));
	if (!*gov_keep_row_null(row, SCOPE))
		*gov_keep_row_value(row, SCOPE) = sort_list(*gov_keep_row_value(row, SCOPE), TEXTOID);
	if (!*gov_keep_row_null(row, USAGE_LIMIT))
		*gov_keep_row_value(row, USAGE_LIMIT) = round_number(*gov_keep_row_value(row, USAGE_LIMIT));
	if (!*gov_keep_row_null(row, CALL_LIMIT))
		*gov_keep_row_value(row, CALL_LIMIT) = round_number(*gov_keep_row_value(row, CALL_LIMIT));
	if (!*gov_keep_row_null(row, THRESHOLDS))
		*gov_keep_row_value(row, THRESHOLDS) = sort_list(*gov_keep_row_value(row, THRESHOLDS), NUMERICOID);
}

/* ---------------------------------------------------------------- windows */

/*
 * The time zone of a row; NULL when there is no such zone, or none is given.
 */
static pg_tz *
timezone_of(const GovKeptRow *row)
{
	return *gov_keep_row_null(row, TIMEZONE) ? NULL :
		gov_window_timezone(TextDatumGetCString(*gov_keep_row_value(row, TIMEZONE)));
}

static void
check_timezone(const GovKeptRow *row, Relation table)
{
	if (*gov_keep_row_null(row, TIMEZONE) || timezone_of(row) != NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("time zone \"%s\" is not recognized",
					gov_error_shown(TextDatumGetCString(*gov_keep_row_value(row, TIMEZONE)))),
			 errhint("A time zone is a name of pg_timezone_names, such as UTC or Europe/Berlin."),
			 errtablecol(table, row->places[TIMEZONE] + 1),
			 errtableconstraint(table, check_of(table, "timezone"))));
}

/* The window of a row that holds a time; false if there is none. */
static bool
window_of(const GovKeptRow *row, TimestampTz at, GovWindow *window)
{
	bool		has_anchor = !*gov_keep_row_null(row, ANCHOR_AT);
	TimestampTz anchor = has_anchor ? DatumGetTimestampTz(*gov_keep_row_value(row, ANCHOR_AT)) : 0;
	GovCadence	cadence = {GOV_CADENCE_NONE};
	pg_tz	   *tz = timezone_of(row);

	return tz != NULL && !TIMESTAMP_NOT_FINITE(anchor) &&
		(*gov_keep_row_null(row, CADENCE) ||
		 gov_cadence_parse(TextDatumGetCString(*gov_keep_row_value(row, CADENCE)), &cadence)) &&
		gov_window_at(&cadence, has_anchor, anchor, tz, at, window);
}

/* Do the windows of a row begin where the calendar or its anchor says? */
static bool
is_calendar(const GovKeptRow *row)
{
	return *gov_keep_row_null(row, WINDOW_KIND) ||
		gov_bytes_are(DatumGetTextPP(*gov_keep_row_value(row, WINDOW_KIND)), "calendar",
					  strlen("calendar"));
}

/*
 * Is the window of the present time the same in both rows?  One that a use has opened
 * is so under one rule only.
 */
static bool
has_same_window(const GovKeptRow *one, const GovKeptRow *other)
{
	TimestampTz now = gov_clock();
	GovWindow	first;
	GovWindow	second;

	return is_calendar(one) && is_calendar(other) &&
		window_of(one, now, &first) && window_of(other, now, &second) &&
		first.start == second.start && first.end == second.end;
}

/* Raise unless a budget with an anchor has a present window. */
static void
check_window(const GovKeptRow *row, Relation table)
{
	TimestampTz anchor = DatumGetTimestampTz(*gov_keep_row_value(row, ANCHOR_AT));
	GovWindow	window;

	if (*gov_keep_row_null(row, CADENCE) || *gov_keep_row_null(row, ANCHOR_AT) || TIMESTAMP_NOT_FINITE(anchor) ||
		*gov_keep_row_null(row, TIMEZONE) || window_of(row, GetCurrentTransactionStartTimestamp(), &window))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("the present window is out of range"),
			 errdetail("No window of cadence %s that is counted from %s holds the present time.",
					   TextDatumGetCString(*gov_keep_row_value(row, CADENCE)), timestamptz_to_str(anchor)),
			 errhint("Choose an anchor_at nearer to now, or a shorter cadence."),
			 errtablecol(table, row->places[ANCHOR_AT] + 1),
			 errtableconstraint(table, check_of(table, "anchor_at"))));
}

/*
 * What is under way does not begin afresh, so a budget for it has no cadence.  The
 * kind of a capability that has budgets does not become this one (kind.c).
 */
static void
check_concurrency(const GovKeptRow *row, Relation table)
{
	text	   *capability;

	if (*gov_keep_row_null(row, CADENCE) || *gov_keep_row_null(row, CAPABILITY))
		return;
	gov_types_refresh();
	capability = DatumGetTextPP(*gov_keep_row_value(row, CAPABILITY));
	if (!gov_types_is_concurrency(VARDATA_ANY(capability), VARSIZE_ANY_EXHDR(capability)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("a budget for what is under way at once has no cadence"),
			 errdetail("Capability \"%s\" is of kind \"concurrency\".",
					   gov_error_shown(TextDatumGetCString(*gov_keep_row_value(row, CAPABILITY)))),
			 errhint("Leave cadence null: holds take from such a budget, and give back when they end."),
			 errtablecol(table, row->places[CADENCE] + 1),
			 errtableconstraint(table, psprintf("%s_concurrency", RelationGetRelationName(table)))));
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

	return *gov_keep_row_null(row, ID) ||
		memcmp(DatumGetUUIDP(*gov_keep_row_value(row, ID)), &nil, UUID_LEN) == 0;
}

static void
draw_id(GovKeptRow *row)
{
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));

	gov_drawn_id(id);
	*gov_keep_row_value(row, ID) = UUIDPGetDatum(id);
	*gov_keep_row_null(row, ID) = false;
}

static void
draw_counter(GovKeptRow *row)
{
	*gov_keep_row_value(row, COUNTER_ID) = Int64GetDatum(nextval_internal(gov_catalog()->counter_seq, false));
	*gov_keep_row_null(row, COUNTER_ID) = false;
}

/*
 * Another counter for a budget that goes on with the count of a default, or has
 * it by one.  It is below 0, as all of those, and comes from a number that is
 * drawn, as a default's seed does: so it never was a counter before.
 */
int64
gov_keep_draw_inherited(const pg_uuid_t *id)
{
	return gov_inherited_counter(id, nextval_internal(gov_catalog()->counter_seq, false));
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
	if (was_drawn(*gov_keep_row_value(row, COUNTER_ID)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("counter_id " INT64_FORMAT " has been drawn before",
						DatumGetInt64(*gov_keep_row_value(row, COUNTER_ID))),
				 errhint("Leave counter_id out: the extension draws it. To restore rows, set session_replication_role to replica."),
				 errtablecol(table, row->places[COUNTER_ID] + 1)));
}

/*
 * ---------------------------------------------------------------- in the place of a default
 */

/* Has a row the same windows as the budget that its entity has by a default? */
static bool
has_same_windows(const GovKeptRow *row, const GovInheritedBudget *budget, TupleDesc desc)
{
	const int	windows[][2] = {
		{CADENCE, GOV_ASSIGNMENT_CADENCE},
		{ANCHOR_AT, GOV_ASSIGNMENT_ANCHOR_AT},
		{TIMEZONE, GOV_ASSIGNMENT_TIMEZONE},
		{WINDOW_KIND, gov_catalog()->assignments_window_kind - 1}
	};

	for (int i = 0; i < lengthof(windows); i++)
	{
		int			place = row->places[windows[i][0]];
		int			column = windows[i][1];

		if (gov_trigger_value_differs(TupleDescAttr(desc, place), row->values[place], row->nulls[place],
									  budget->values[column], budget->nulls[column]))
			return false;
	}
	return true;
}

static bool
find_inherited(const GovKeptRow *row, GovInheritedBudget *budget)
{
	GovBudgetName name = {
		.owner = *gov_keep_row_value(row, OWNER),
		.entity = *gov_keep_row_value(row, ENTITY),
		.capability = *gov_keep_row_value(row, CAPABILITY),
		.scope = *gov_keep_row_value(row, SCOPE),
		.name = *gov_keep_row_value(row, NAME)
	};
	bool		is_found;

	for (int column = OWNER; column < NCOLUMNS; column++)
	{
		if (*gov_keep_row_null(row, column) || *gov_keep_row_null(row, SCOPE))
			return false;
	}
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	is_found = gov_inherited_find(&name, budget);
	gov_spi_pop_snapshot();
	return is_found;
}

/*
 * Keep who recounts the budget away, and find which counter it has then.  Who
 * recounts an assignment locks the same first.
 */
static bool
find_inherited_to_stay(const GovKeptRow *row, GovInheritedBudget *budget)
{
	GovSpi		spi;
	Datum		id;

	if (!find_inherited(row, budget))
		return false;
	if (budget->made_of->wants_row)
		return true;			/* nobody recounts what has no row */
	id = budget->values[GOV_ASSIGNMENT_ID];
	gov_spi_begin(&spi);
	gov_spi_modify(&stay_query, &id, NULL);
	gov_spi_end(&spi);
	return find_inherited(row, budget);
}

pg_noreturn static void
raise_other_windows(const GovKeptRow *row, Relation table)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("id \"%s\" is that of a budget by a default with other windows",
					DatumGetCString(DirectFunctionCall1(uuid_out, *gov_keep_row_value(row, ID)))),
			 errhint("Leave id out: the extension draws it."),
			 errtablecol(table, row->places[ID] + 1)));
}

/*
 * A budget that takes the place of one by a default goes on with its count, if
 * it has the same windows and no id or counter of its own.
 */
static bool
goes_on(GovKeptRow *row, Relation table)
{
	GovInheritedBudget budget;
	Datum		id;

	if ((!*gov_keep_row_null(row, COUNTER_ID) &&
		 DatumGetInt64(*gov_keep_row_value(row, COUNTER_ID)) != GOV_COUNTER_TO_DRAW) ||
		!gov_load_has_defaults() || !find_inherited_to_stay(row, &budget))
		return false;
	id = budget.values[GOV_ASSIGNMENT_ID];
	if (!is_to_be_drawn(row) &&
		!gov_uuid_is(DatumGetUUIDP(*gov_keep_row_value(row, ID)), DatumGetUUIDP(id)))
		return false;
	if (!has_same_windows(row, &budget, RelationGetDescr(table)))
	{
		if (!is_to_be_drawn(row))
			raise_other_windows(row, table);
		return false;
	}
	*gov_keep_row_value(row, ID) = id;
	*gov_keep_row_value(row, COUNTER_ID) = budget.values[GOV_ASSIGNMENT_COUNTER_ID];
	*gov_keep_row_null(row, ID) = *gov_keep_row_null(row, COUNTER_ID) = false;
	return true;
}

/* ---------------------------------------------------------------- triggers */

static void
keep_new(GovKeptRow *row, Relation table)
{
	check_timezone(row, table);
	check_window(row, table);
	check_concurrency(row, table);
	if (goes_on(row, table))
		return;
	if (is_to_be_drawn(row))
		draw_id(row);
	if (*gov_keep_row_null(row, COUNTER_ID) || DatumGetInt64(*gov_keep_row_value(row, COUNTER_ID)) == GOV_COUNTER_TO_DRAW)
		draw_counter(row);
	else
		check_counter(row, table);
}

/* Has an UPDATE given a budget other windows?  Then they are judged. */
static bool
windows_differ(const GovKeptRow *row, const GovKeptRow *before, Relation table)
{
	TupleDesc	desc = RelationGetDescr(table);
	bool		has_zone = gov_keep_row_differs(row, before, desc, TIMEZONE);
	bool		differ = has_zone || gov_keep_row_differs(row, before, desc, CADENCE) ||
	gov_keep_row_differs(row, before, desc, ANCHOR_AT) ||
	gov_keep_row_differs(row, before, desc, WINDOW_KIND);

	if (has_zone)
		check_timezone(row, table);
	if (differ)
	{
		check_window(row, table);
		check_concurrency(row, table);
	}
	return differ;
}

static void
keep_changed(GovKeptRow *row, const GovKeptRow *before, Relation table)
{
	TupleDesc	desc = RelationGetDescr(table);
	bool		has_rule = windows_differ(row, before, table);

	if (may_draw && DatumGetInt64(*gov_keep_row_value(row, COUNTER_ID)) == GOV_COUNTER_TO_DRAW)
	{
		if (DatumGetInt64(*gov_keep_row_value(before, COUNTER_ID)) < 0)
			*gov_keep_row_value(row, COUNTER_ID) =
				Int64GetDatum(gov_keep_draw_inherited(DatumGetUUIDP(*gov_keep_row_value(row, ID))));
		else
			draw_counter(row);
	}
	else if (gov_keep_row_differs(row, before, desc, COUNTER_ID))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"counter_id\" of \"gov_assignments\" is kept by the extension"),
				 errhint("Change cadence, anchor_at, timezone or window_kind so that the present window is another, to start the usage of a budget afresh."),
				 errtablecol(table, row->places[COUNTER_ID] + 1)));
	/* who goes on with the count of a default has its windows */
	if (has_rule &&
		(DatumGetInt64(*gov_keep_row_value(before, COUNTER_ID)) < 0 || !has_same_window(row, before)))
		draw_counter(row);
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
	const int  *places = gov_keep_row_places(fcinfo, table, columns, NCOLUMNS);
	GovKeptRow	row;
	GovKeptRow	before;

	gov_keep_row_read(&row, tuple, desc, places);
	put_in_form(&row, table);
	if (is_update)
	{
		gov_keep_row_read(&before, trigger->tg_trigtuple, desc, places);
		keep_changed(&row, &before, table);
	}
	else
		keep_new(&row, table);
	return PointerGetDatum(gov_keep_row_make(&row, tuple, desc));
}

/* As for a budget.  What its counters are named after is drawn where a budget's counter is. */
static void
keep_default(GovKeptRow *row, const GovKeptRow *before, Relation table)
{
	TupleDesc	desc = RelationGetDescr(table);

	if (before == NULL)
	{
		check_timezone(row, table);
		check_window(row, table);
		check_concurrency(row, table);
		if (is_to_be_drawn(row))
			draw_id(row);
		if (*gov_keep_row_null(row, COUNTER_ID) ||
			DatumGetInt64(*gov_keep_row_value(row, COUNTER_ID)) == GOV_COUNTER_TO_DRAW)
			draw_counter(row);
		return;
	}
	if (windows_differ(row, before, table) || gov_keep_row_differs(row, before, desc, ANCHOR_FROM))
		draw_counter(row);
	else
	{
		*gov_keep_row_value(row, COUNTER_ID) = *gov_keep_row_value(before, COUNTER_ID);
		*gov_keep_row_null(row, COUNTER_ID) = false;
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
	const int  *places = gov_keep_row_places(fcinfo, table, default_columns, NDEFAULT_COLUMNS);
	GovKeptRow	row;
	GovKeptRow	before;

	gov_keep_row_read(&row, tuple, desc, places);
	put_in_form(&row, table);
	if (is_update)
		gov_keep_row_read(&before, trigger->tg_trigtuple, desc, places);
	keep_default(&row, is_update ? &before : NULL, table);
	return PointerGetDatum(gov_keep_row_make(&row, tuple, desc));
}
