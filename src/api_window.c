/*
 * api_window.c
 *		SQL functions about windows: gov_window, gov_is_timezone, and what reports
 *		need of anchors that entities' metadata hold.
 *
 * PURPOSE
 *		Show the arithmetic of window.c as it is: these functions read no table,
 *		no setting and no shared memory, and so answer alike on a standby and
 *		where the library is not preloaded.
 *
 * FAILURE
 *		A bad argument is an error that names the argument and says what to
 *		write; an argument is judged even where another makes it irrelevant.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/errors.h"
#include "pure/anchor.h"
#include "pure/window.h"

PG_FUNCTION_INFO_V1(gov_window_1_0);
PG_FUNCTION_INFO_V1(gov_is_timezone_1_0);
PG_FUNCTION_INFO_V1(gov_anchor_1_1);
PG_FUNCTION_INFO_V1(gov_sliding_window_1_1);

/* the arguments of gov_window, by position */
enum
{
	ARG_CADENCE,
	ARG_ANCHOR_AT,
	ARG_TIMEZONE,
	ARG_AT
};

/* Read a cadence; null is one that never resets. */
static GovCadence
cadence_argument(FunctionCallInfo fcinfo)
{
	GovCadence	cadence = {GOV_CADENCE_NONE, 0};
	char	   *value;

	if (PG_ARGISNULL(ARG_CADENCE))
		return cadence;

	value = text_to_cstring(PG_GETARG_TEXT_PP(ARG_CADENCE));
	if (!gov_cadence_parse(value, &cadence))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"cadence\": \"%s\"", gov_error_shown(value)),
				 errhint("Write an ISO 8601 duration of one unit, 1 to 9999, such as P1M, P1W, P30D or PT1H; null never resets.")));

	return cadence;
}

/* Read a point in time that must be finite.  The argument is not null. */
static TimestampTz
finite_argument(FunctionCallInfo fcinfo, int argno, const char *name)
{
	TimestampTz value = PG_GETARG_TIMESTAMPTZ(argno);

	if (TIMESTAMP_NOT_FINITE(value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must not be infinite", name),
				 errhint("Write a point in time, such as 2027-01-31 00:00:00+00.")));

	return value;
}

/* Read the name of a time zone. */
static pg_tz *
timezone_argument(FunctionCallInfo fcinfo)
{
	char	   *name;
	pg_tz	   *tz;

	if (PG_ARGISNULL(ARG_TIMEZONE))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"timezone\" must not be null"),
				 errhint("Write a name of pg_timezone_names, or leave it out for UTC.")));

	name = text_to_cstring(PG_GETARG_TEXT_PP(ARG_TIMEZONE));
	tz = gov_window_timezone(name);
	if (tz == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"timezone\": \"%s\"", gov_error_shown(name)),
				 errhint("Write a name of pg_timezone_names, such as UTC or Europe/Berlin.")));

	return tz;
}

/* Read the time to be placed. */
static TimestampTz
at_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(ARG_AT))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"at\" must not be null"),
				 errhint("Write a point in time, or leave it out for now.")));

	return finite_argument(fcinfo, ARG_AT, "at");
}

/* A window as a row; null for one without ends. */
static Datum
window_row(FunctionCallInfo fcinfo, const GovCadence *cadence,
		   const GovWindow *window)
{
	TupleDesc	tupdesc;
	Datum		values[2];
	bool		nulls[2];

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	Assert(tupdesc->natts == lengthof(values));

	values[0] = TimestampTzGetDatum(window->start);
	values[1] = TimestampTzGetDatum(window->end);
	nulls[0] = nulls[1] = (cadence->unit == GOV_CADENCE_NONE);

	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc),
											 values, nulls));
}

/*
 * gov_window(cadence text, anchor_at timestamptz, timezone text, at timestamptz)
 * returns (window_start timestamptz, window_end timestamptz)
 */
Datum
gov_window_1_0(PG_FUNCTION_ARGS)
{
	GovCadence	cadence = cadence_argument(fcinfo);
	bool		has_anchor = !PG_ARGISNULL(ARG_ANCHOR_AT);
	TimestampTz anchor = has_anchor ?
	finite_argument(fcinfo, ARG_ANCHOR_AT, "anchor_at") : 0;
	pg_tz	   *tz = timezone_argument(fcinfo);
	TimestampTz at = at_argument(fcinfo);
	GovWindow	window;

	if (!gov_window_at(&cadence, has_anchor, anchor, tz, at, &window))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"at\" is out of range"),
				 errdetail("Its window would reach past what timestamp with time zone can hold."),
				 errhint("Write a time farther from the ends of the calendar, or a shorter cadence.")));

	return window_row(fcinfo, &cadence, &window);
}

/* gov_is_timezone(name text) returns boolean */
Datum
gov_is_timezone_1_0(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));

	PG_RETURN_BOOL(gov_window_timezone(name) != NULL);
}

/*
 * _gov_anchor(anchor text, cadence text, timezone text, at timestamptz) returns
 * timestamptz
 *
 * Where the windows of a budget by a default are counted from; null for the
 * calendar, as in load_defaults.c.
 */
Datum
gov_anchor_1_1(PG_FUNCTION_ARGS)
{
	GovCadence	cadence = {GOV_CADENCE_NONE, 0};
	text	   *anchor;
	pg_tz	   *tz;
	TimestampTz result;
	GovWindow	window;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(2) || PG_ARGISNULL(3))
		PG_RETURN_NULL();
	anchor = PG_GETARG_TEXT_PP(0);
	tz = gov_window_timezone(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	if (tz == NULL ||
		!gov_anchor_read(VARDATA_ANY(anchor), VARSIZE_ANY_EXHDR(anchor), tz, &result))
		PG_RETURN_NULL();
	if (!PG_ARGISNULL(1) &&
		(!gov_cadence_parse(text_to_cstring(PG_GETARG_TEXT_PP(1)), &cadence) ||
		 !gov_window_at(&cadence, true, result, tz, PG_GETARG_TIMESTAMPTZ(3), &window)))
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(result);
}

/*
 * _gov_sliding_window(cadence text, at timestamptz)
 * returns (window_start timestamptz, last_start timestamptz)
 */
Datum
gov_sliding_window_1_1(PG_FUNCTION_ARGS)
{
	GovCadence	cadence = cadence_argument(fcinfo);
	TimestampTz at = finite_argument(fcinfo, 1, "at");
	GovWindow	grain;
	GovWindow	starts;

	cadence.kind = GOV_WINDOW_SLIDING;
	if (gov_window_span(&cadence) == 0 || !gov_window_at(&cadence, false, 0, NULL, at, &grain))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("no window that slides has this cadence at that time"),
				 errhint("Write a cadence of weeks, days, hours, minutes or seconds.")));
	starts.start = grain.start - gov_window_span(&cadence);
	starts.end = grain.start;
	return window_row(fcinfo, &cadence, &starts);
}
