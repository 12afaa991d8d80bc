/*
 * keep_window.c
 *		Rules for the windows of budgets and defaults.
 *
 * PURPOSE
 *		A time zone must exist, the present window must be in range, and a budget
 *		for what is under way at once has none.  An UPDATE is judged by these if it
 *		gives the row other windows: what was valid when it was written, and is no
 *		more, is no reason to refuse another limit.
 *
 * FAILURE
 *		23514, with the name that a check constraint would have.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/errors.h"
#include "cache/types.h"
#include "pure/bytes.h"
#include "pure/window.h"
#include "rules/keep_columns.h"
#include "rules/keep_window.h"

/*
 * The time zone of a row; NULL when there is no such zone, or none is given.
 */
static pg_tz *
timezone_of(const GovKeptRow *row)
{
	return *gov_keep_row_null(row, GOV_KEEP_TIMEZONE) ? NULL :
		gov_window_timezone(TextDatumGetCString(*gov_keep_row_value(row, GOV_KEEP_TIMEZONE)));
}

static void
check_timezone(const GovKeptRow *row, Relation table)
{
	if (*gov_keep_row_null(row, GOV_KEEP_TIMEZONE) || timezone_of(row) != NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("time zone \"%s\" is not recognized",
					gov_error_shown(TextDatumGetCString(*gov_keep_row_value(row, GOV_KEEP_TIMEZONE)))),
			 errhint("A time zone is a name of pg_timezone_names, such as UTC or Europe/Berlin."),
			 errtablecol(table, row->places[GOV_KEEP_TIMEZONE] + 1),
			 errtableconstraint(table, gov_keep_row_check(table, "timezone"))));
}

/* The window of a row that holds a time; false if there is none. */
static bool
window_of(const GovKeptRow *row, TimestampTz at, GovWindow *window)
{
	bool		has_anchor = !*gov_keep_row_null(row, GOV_KEEP_ANCHOR_AT);
	TimestampTz anchor = has_anchor ? DatumGetTimestampTz(*gov_keep_row_value(row, GOV_KEEP_ANCHOR_AT)) : 0;
	GovCadence	cadence = {GOV_CADENCE_NONE};
	pg_tz	   *tz = timezone_of(row);

	return tz != NULL && !TIMESTAMP_NOT_FINITE(anchor) &&
		(*gov_keep_row_null(row, GOV_KEEP_CADENCE) ||
		 gov_cadence_parse(TextDatumGetCString(*gov_keep_row_value(row, GOV_KEEP_CADENCE)), &cadence)) &&
		gov_window_at(&cadence, has_anchor, anchor, tz, at, window);
}

/* Do the windows of a row begin where the calendar or its anchor says? */
static bool
is_calendar(const GovKeptRow *row)
{
	return *gov_keep_row_null(row, GOV_KEEP_WINDOW_KIND) ||
		gov_bytes_are(DatumGetTextPP(*gov_keep_row_value(row, GOV_KEEP_WINDOW_KIND)), "calendar",
					  strlen("calendar"));
}

/* How long the window of a row is that slides; 0 if it does not. */
static int64
sliding_span(const GovKeptRow *row)
{
	GovCadence	cadence;

	if (*gov_keep_row_null(row, GOV_KEEP_WINDOW_KIND) || *gov_keep_row_null(row, GOV_KEEP_CADENCE) ||
		!gov_bytes_are(DatumGetTextPP(*gov_keep_row_value(row, GOV_KEEP_WINDOW_KIND)), "sliding",
					   strlen("sliding")) ||
		!gov_cadence_parse(TextDatumGetCString(*gov_keep_row_value(row, GOV_KEEP_CADENCE)), &cadence))
		return 0;
	return gov_window_span(&cadence);
}

/*
 * Is the window of the present time the same in both rows?  One that a use has opened
 * is so under one rule only; one that slides, if both are as long.
 */
bool
gov_keep_has_same_window(const GovKeptRow *one, const GovKeptRow *other)
{
	TimestampTz now = gov_clock();
	GovWindow	first;
	GovWindow	second;

	if (sliding_span(one) != 0)
		return sliding_span(one) == sliding_span(other);
	return is_calendar(one) && is_calendar(other) &&
		window_of(one, now, &first) && window_of(other, now, &second) &&
		first.start == second.start && first.end == second.end;
}

/* Raise unless a budget with an anchor has a present window. */
static void
check_window(const GovKeptRow *row, Relation table)
{
	TimestampTz anchor = DatumGetTimestampTz(*gov_keep_row_value(row, GOV_KEEP_ANCHOR_AT));
	GovWindow	window;

	if (*gov_keep_row_null(row, GOV_KEEP_CADENCE) || *gov_keep_row_null(row, GOV_KEEP_ANCHOR_AT) || TIMESTAMP_NOT_FINITE(anchor) ||
		*gov_keep_row_null(row, GOV_KEEP_TIMEZONE) || window_of(row, GetCurrentTransactionStartTimestamp(), &window))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("the present window is out of range"),
			 errdetail("No window of cadence %s that is counted from %s holds the present time.",
					   TextDatumGetCString(*gov_keep_row_value(row, GOV_KEEP_CADENCE)), timestamptz_to_str(anchor)),
			 errhint("Choose an anchor_at nearer to now, or a shorter cadence."),
			 errtablecol(table, row->places[GOV_KEEP_ANCHOR_AT] + 1),
			 errtableconstraint(table, gov_keep_row_check(table, "anchor_at"))));
}

/*
 * What is under way does not begin afresh, so a budget for it has no cadence.  The
 * kind of a capability that has budgets does not become this one (kind.c).
 */
static void
check_concurrency(const GovKeptRow *row, Relation table)
{
	text	   *capability;

	if (*gov_keep_row_null(row, GOV_KEEP_CADENCE) || *gov_keep_row_null(row, GOV_KEEP_CAPABILITY))
		return;
	gov_types_refresh();
	capability = DatumGetTextPP(*gov_keep_row_value(row, GOV_KEEP_CAPABILITY));
	if (!gov_types_is_concurrency(VARDATA_ANY(capability), VARSIZE_ANY_EXHDR(capability)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("a budget for what is under way at once has no cadence"),
			 errdetail("Capability \"%s\" is of kind \"concurrency\".",
					   gov_error_shown(TextDatumGetCString(*gov_keep_row_value(row, GOV_KEEP_CAPABILITY)))),
			 errhint("Leave cadence null: holds take from such a budget, and give back when they end."),
			 errtablecol(table, row->places[GOV_KEEP_CADENCE] + 1),
			 errtableconstraint(table, psprintf("%s_concurrency", RelationGetRelationName(table)))));
}

/* Raise unless the windows of a row are such as a budget may have. */
void
gov_keep_check_windows(const GovKeptRow *row, Relation table)
{
	check_timezone(row, table);
	check_window(row, table);
	check_concurrency(row, table);
}

/* Has an UPDATE given a budget other windows?  Then they are judged. */
bool
gov_keep_windows_differ(const GovKeptRow *row, const GovKeptRow *before, Relation table)
{
	TupleDesc	desc = RelationGetDescr(table);
	bool		has_zone = gov_keep_row_differs(row, before, desc, GOV_KEEP_TIMEZONE);
	bool		differ = has_zone || gov_keep_row_differs(row, before, desc, GOV_KEEP_CADENCE) ||
	gov_keep_row_differs(row, before, desc, GOV_KEEP_ANCHOR_AT) ||
	gov_keep_row_differs(row, before, desc, GOV_KEEP_WINDOW_KIND);

	if (has_zone)
		check_timezone(row, table);
	if (differ)
	{
		check_window(row, table);
		check_concurrency(row, table);
	}
	return differ;
}
