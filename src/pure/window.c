/*
 * window.c
 *		The window of a budget that a point in time falls into.
 *
 * PURPOSE
 *		A window is a pure function of cadence, anchor, time zone and time, so
 *		nothing has to run for one to turn over.  Window n starts at
 *		anchor + n * cadence and ends where window n + 1 starts.
 *
 *		Windows of the kind first_use are not: such a one begins with a use.  But
 *		where it ends is arithmetic too: it is window 0 of an anchor where it
 *		begins (gov_window_opened).
 *
 *		A window of the kind sliding has what was used in the last cadence, which is
 *		counted in grains of 1/64 of it.  The window of a time is then its grain.
 *		Grains begin at multiples of their length since 2000-01-01 00:00 UTC; a day
 *		has 24 hours, a week 7 days, and neither anchor nor time zone matter.
 *
 * TIME
 *		Hours, minutes and seconds are elapsed time.  Years, months, weeks and
 *		days are calendar arithmetic on the anchor's local time: every window
 *		starts at the anchor's time of day, and months clamp from the anchor's
 *		day (31 January, 28 February, 31 March).  A local time that a clock
 *		change skips or repeats means what it means to AT TIME ZONE: a time in
 *		a gap is read with the offset from before the gap, and of two equal
 *		times the second counts.  Window 0 starts at the anchor itself, even
 *		where that is the first of two equal times.
 *
 * INVARIANTS
 *		start <= at < end, always.  The windows of a budget tile time: asking
 *		about a window's end gives the next window, about the microsecond
 *		before its end the same one.  Starts never run backwards, because those
 *		of two windows are a day or more apart in local time and no clock ever
 *		moved by more.  Where one moved by exactly a day (Samoa left out 30
 *		December 2011), the day that did not happen has no window.
 *
 * COST
 *		Constant: the index of the window is a division away from the local
 *		date; clock changes and the time of day move it by very few.
 *
 * FAILURE
 *		False when the window reaches past what timestamptz can hold, or when a
 *		zone's clock was changed by more than any ever was (see COST), because
 *		every loop has a bound.  gov_window_timezone() may allocate;
 *		gov_window_at() does not.
 */
#include "postgres.h"

#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "pure/window.h"

/* the anchor of budgets that name none: a Monday, midnight local time */
#define DEFAULT_ANCHOR_YEAR		2001
#define DEFAULT_ANCHOR_MONTH	1
#define DEFAULT_ANCHOR_DAY		1

/* how far the estimated index can be off: see COST */
#define MAX_CORRECTIONS			3

/* Windows made by calendar arithmetic. */
typedef struct GovCalendar
{
	TimestampTz anchor;			/* where window 0 starts */
	struct pg_tm local;			/* the anchor's local time */
	fsec_t		fsec;
	pg_tz	   *tz;
	int64		months;			/* length of a window: either months ... */
	int64		days;			/* ... or days; the other is 0 */
} GovCalendar;

/* Division that rounds down, also for what lies before the anchor. */
static inline int64
floor_div(int64 dividend, int64 divisor)
{
	int64		quotient = dividend / divisor;

	Assert(divisor > 0);
	return quotient * divisor > dividend ? quotient - 1 : quotient;
}

/* Months since the year 0. */
static inline int64
month_number(const struct pg_tm *tm)
{
	return (int64) tm->tm_year * MONTHS_PER_YEAR + tm->tm_mon - 1;
}

/* The point in time that a local time means. */
static bool
local_to_timestamptz(struct pg_tm *local, fsec_t fsec, pg_tz *tz,
					 TimestampTz *result)
{
	int			offset = DetermineTimeZoneOffset(local, tz);

	return tm2timestamp(local, fsec, &offset, result) == 0;
}

/* The anchor of a budget that names none. */
static bool
default_anchor(pg_tz *tz, TimestampTz *result)
{
	struct pg_tm local = {0};

	local.tm_year = DEFAULT_ANCHOR_YEAR;
	local.tm_mon = DEFAULT_ANCHOR_MONTH;
	local.tm_mday = DEFAULT_ANCHOR_DAY;
	return local_to_timestamptz(&local, 0, tz, result);
}

/* Where window n of a calendar starts; false when out of range. */
static bool
calendar_start(const GovCalendar *calendar, int64 n, TimestampTz *result)
{
	struct pg_tm local = calendar->local;

	if (n == 0)
	{
		*result = calendar->anchor;
		return true;
	}

	if (calendar->months > 0)
	{
		int64		month = month_number(&local) + n * calendar->months;
		int			last_day;

		local.tm_year = (int) floor_div(month, MONTHS_PER_YEAR);
		local.tm_mon = (int) (month - (int64) local.tm_year * MONTHS_PER_YEAR) + 1;
		last_day = day_tab[isleap(local.tm_year)][local.tm_mon - 1];
		local.tm_mday = Min(local.tm_mday, last_day);
	}
	else
	{
		int64		day = date2j(local.tm_year, local.tm_mon, local.tm_mday) +
		n * calendar->days;

		if (day < DATETIME_MIN_JULIAN || day > TIMESTAMP_END_JULIAN)
			return false;
		j2date((int) day, &local.tm_year, &local.tm_mon, &local.tm_mday);
	}

	return local_to_timestamptz(&local, calendar->fsec, calendar->tz, result);
}

/* The window of a calendar that a local date falls into, give or take one. */
static int64
calendar_estimate(const GovCalendar *calendar, const struct pg_tm *at)
{
	const struct pg_tm *anchor = &calendar->local;

	if (calendar->months > 0)
		return floor_div(month_number(at) - month_number(anchor),
						 calendar->months);

	return floor_div((int64) date2j(at->tm_year, at->tm_mon, at->tm_mday) -
					 date2j(anchor->tm_year, anchor->tm_mon, anchor->tm_mday),
					 calendar->days);
}

/*
 * Count that the estimate was off by one more; true when that is more than it
 * can be.
 */
static bool
is_too_far(int *ncorrections)
{
	bool		result = ++*ncorrections > MAX_CORRECTIONS;

	Assert(!result);
	return result;
}

/* The window of a calendar that a point in time falls into. */
static bool
calendar_window(const GovCalendar *calendar, TimestampTz at, GovWindow *result)
{
	struct pg_tm local;
	fsec_t		fsec;
	int			offset;
	int64		n;
	int			ncorrections = 0;

	if (timestamp2tm(at, &offset, &local, &fsec, NULL, calendar->tz) != 0)
		return false;
	n = calendar_estimate(calendar, &local);

	/* Back to a window that has started. */
	for (;; n--)
	{
		if (!calendar_start(calendar, n, &result->start))
			return false;
		if (result->start <= at)
			break;
		if (is_too_far(&ncorrections))
			return false;
	}

	/* Forward to the one that has not ended. */
	for (;; n++)
	{
		if (!calendar_start(calendar, n + 1, &result->end))
			return false;
		if (result->end > at)
			break;
		result->start = result->end;
		if (is_too_far(&ncorrections))
			return false;
	}

	return true;
}

/*
 * The window that a point in time falls into, where windows have a fixed
 * length in microseconds.
 */
static bool
elapsed_window(int64 length, TimestampTz anchor, TimestampTz at,
			   GovWindow *result)
{
	/* The anchor's place within a window is all that matters of it. */
	int64		phase = anchor - floor_div(anchor, length) * length;

	result->start = phase + floor_div(at - phase, length) * length;
	if (result->start < MIN_TIMESTAMP ||
		result->start >= END_TIMESTAMP - length)
		return false;

	result->end = result->start + length;
	return true;
}

/* Windows of years, months, weeks or days. */
static bool
calendar_window_at(const GovCadence *cadence, TimestampTz anchor, pg_tz *tz,
				   TimestampTz at, GovWindow *result)
{
	GovCalendar calendar = {0};
	int			offset;

	calendar.anchor = anchor;
	calendar.tz = tz;
	if (timestamp2tm(anchor, &offset, &calendar.local, &calendar.fsec,
					 NULL, tz) != 0)
		return false;

	switch (cadence->unit)
	{
		case GOV_CADENCE_YEAR:
			calendar.months = (int64) cadence->count * MONTHS_PER_YEAR;
			break;
		case GOV_CADENCE_MONTH:
			calendar.months = cadence->count;
			break;
		case GOV_CADENCE_WEEK:
			calendar.days = (int64) cadence->count * 7;
			break;
		default:
			Assert(cadence->unit == GOV_CADENCE_DAY);
			calendar.days = cadence->count;
			break;
	}

	return calendar_window(&calendar, at, result);
}

/*
 * The window that a point in time falls into; false when it, or the time, or
 * the anchor is out of the range of timestamptz.
 */
bool
gov_window_at(const GovCadence *cadence, bool has_anchor, TimestampTz anchor,
			  pg_tz *tz, TimestampTz at, GovWindow *result)
{
	bool		is_found;

	Assert((cadence->count > 0) == (cadence->unit != GOV_CADENCE_NONE));

	if (!IS_VALID_TIMESTAMP(at))
		return false;
	if (cadence->kind == GOV_WINDOW_SLIDING)
		return elapsed_window(gov_window_span(cadence) / GOV_SLIDING_GRAINS, 0, at, result);
	Assert(tz != NULL);
	if (!has_anchor && !default_anchor(tz, &anchor))
		return false;
	if (!IS_VALID_TIMESTAMP(anchor))
		return false;

	switch (cadence->unit)
	{
		case GOV_CADENCE_NONE:
			TIMESTAMP_NOBEGIN(result->start);
			TIMESTAMP_NOEND(result->end);
			is_found = true;
			break;
		case GOV_CADENCE_HOUR:
			is_found = elapsed_window(cadence->count * USECS_PER_HOUR,
									  anchor, at, result);
			break;
		case GOV_CADENCE_MINUTE:
			is_found = elapsed_window(cadence->count * USECS_PER_MINUTE,
									  anchor, at, result);
			break;
		case GOV_CADENCE_SECOND:
			is_found = elapsed_window(cadence->count * USECS_PER_SEC,
									  anchor, at, result);
			break;
		default:
			is_found = calendar_window_at(cadence, anchor, tz, at, result);
			break;
	}

	Assert(!is_found || (result->start <= at && at < result->end));
	return is_found;
}

/*
 * The window that a first use opens at a time; false when it is out of the range
 * of timestamptz.
 */
bool
gov_window_opened(const GovCadence *cadence, pg_tz *tz, TimestampTz at, GovWindow *result)
{
	Assert(cadence->unit != GOV_CADENCE_NONE);
	return gov_window_at(cadence, true, at, tz, at, result) && result->start == at;
}

/* The length of a window that slides, in microseconds; 0 if none can be so long. */
int64
gov_window_span(const GovCadence *cadence)
{
	static const int64 units[] = {
		[GOV_CADENCE_WEEK] = 7 * USECS_PER_DAY,
		[GOV_CADENCE_DAY] = USECS_PER_DAY,
		[GOV_CADENCE_HOUR] = USECS_PER_HOUR,
		[GOV_CADENCE_MINUTE] = USECS_PER_MINUTE,
		[GOV_CADENCE_SECOND] = USECS_PER_SEC
	};

	return units[cadence->unit] * cadence->count;
}

/* A time before which no window has begun that holds a time or a later one. */
TimestampTz
gov_window_reach(const GovCadence *cadence, TimestampTz at)
{
	static const int64 longest[] = {
		[GOV_CADENCE_YEAR] = 367 * USECS_PER_DAY,
		[GOV_CADENCE_MONTH] = 32 * USECS_PER_DAY,
		[GOV_CADENCE_WEEK] = 8 * USECS_PER_DAY,
		[GOV_CADENCE_DAY] = 2 * USECS_PER_DAY,
		[GOV_CADENCE_HOUR] = USECS_PER_HOUR,
		[GOV_CADENCE_MINUTE] = USECS_PER_MINUTE,
		[GOV_CADENCE_SECOND] = USECS_PER_SEC
	};
	int64		length = longest[cadence->unit] * cadence->count;

	Assert(cadence->unit != GOV_CADENCE_NONE);
	return at - MIN_TIMESTAMP > length ? at - length : MIN_TIMESTAMP;
}

/* Does the time zone database have a zone of exactly this name? */
static bool
is_database_zone(const char *name)
{
	pg_tzenum  *zones = pg_tzenumerate_start();
	pg_tz	   *zone;
	bool		is_found = false;

	while (!is_found && (zone = pg_tzenumerate_next(zones)) != NULL)
		is_found = strcmp(pg_get_timezone_name(zone), name) == 0;
	pg_tzenumerate_end(zones);

	return is_found;
}

/*
 * The time zone of a name that pg_timezone_names lists, in upper or lower
 * case; NULL when there is none.
 *
 * pg_tzset() also takes POSIX specifications, in which a typing error makes
 * another zone instead of a failure ("America/New_York5").  These can be told
 * by their form: they have a digit, and pg_tzset() turns them into capitals.
 * Few zones look like that (EST5EDT), and only for them is the database
 * searched, which takes milliseconds.  So the last one found is remembered; a
 * pg_tz lives as long as the backend.
 */
pg_tz *
gov_window_timezone(const char *name)
{
	static pg_tz *found = NULL;
	pg_tz	   *tz = pg_tzset(name);
	bool		has_digit = false;

	if (tz == NULL || !pg_tz_acceptable(tz))
		return NULL;

	name = pg_get_timezone_name(tz);
	for (const char *p = name; *p != '\0'; p++)
	{
		if (*p >= 'a' && *p <= 'z')
			return tz;
		has_digit |= *p >= '0' && *p <= '9';
	}

	if (has_digit && tz != found)
	{
		if (!is_database_zone(name))
			return NULL;
		found = tz;
	}
	return tz;
}
