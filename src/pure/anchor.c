/*
 * anchor.c
 *		Where windows are counted from, as text that says when somebody is billed.
 *
 * PURPOSE
 *		The metadata of an entity may hold its billing day: a day of the month, a
 *		date, or a time in ISO 8601.  What has no zone is local to the budget's
 *		time zone, so that one text means the same whatever the settings of a
 *		session are.
 *
 *		A day of the month is that of January 2001, which has them all: months
 *		that are shorter end on their last day (window.c).
 *
 * FAILURE
 *		False for any other text, and where there is no such date.
 */
#include "postgres.h"

#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "pure/anchor.h"

#define DAY_YEAR	2001
#define DAY_MONTH	1

/* What is left of the text. */
typedef struct GovReader
{
	const char *at;
	const char *end;
} GovReader;

static bool
is_at_end(const GovReader *reader)
{
	return reader->at == reader->end;
}

static bool
skip_char(GovReader *reader, char wanted)
{
	if (is_at_end(reader) || *reader->at != wanted)
		return false;
	reader->at++;
	return true;
}

/* Read a number of so many digits; returns how many there were, or 0. */
static int
read_number(GovReader *reader, int least, int most, int *value)
{
	int			ndigits = 0;

	*value = 0;
	while (ndigits < most && !is_at_end(reader) && *reader->at >= '0' && *reader->at <= '9')
	{
		*value = *value * 10 + (*reader->at++ - '0');
		ndigits++;
	}
	return ndigits >= least ? ndigits : 0;
}

/* The fraction of a second, of which there may be none. */
static bool
read_fraction(GovReader *reader, fsec_t *fsec)
{
	int			value;
	int			ndigits;

	*fsec = 0;
	if (!skip_char(reader, '.'))
		return true;
	ndigits = read_number(reader, 1, 6, &value);
	if (ndigits == 0)
		return false;
	for (int i = ndigits; i < 6; i++)
		value *= 10;
	*fsec = value;
	return true;
}

/* A time of the day, behind a T or a blank; none is midnight. */
static bool
read_time(GovReader *reader, struct pg_tm *tm, fsec_t *fsec)
{
	*fsec = 0;
	if (is_at_end(reader))
		return true;
	if (!skip_char(reader, 'T') && !skip_char(reader, ' '))
		return false;
	if (read_number(reader, 2, 2, &tm->tm_hour) == 0 || !skip_char(reader, ':') ||
		read_number(reader, 2, 2, &tm->tm_min) == 0)
		return false;
	if (skip_char(reader, ':') &&
		(read_number(reader, 2, 2, &tm->tm_sec) == 0 || !read_fraction(reader, fsec)))
		return false;
	return tm->tm_hour < HOURS_PER_DAY && tm->tm_min < MINS_PER_HOUR && tm->tm_sec < SECS_PER_MINUTE;
}

/* How far west of UTC the text is, in seconds; of one without a zone the budget's says that. */
static bool
read_zone(GovReader *reader, struct pg_tm *tm, pg_tz *tz, int *offset)
{
	int			hours;
	int			minutes = 0;
	bool		is_west;

	if (is_at_end(reader))
	{
		*offset = DetermineTimeZoneOffset(tm, tz);
		return true;
	}
	*offset = 0;
	if (skip_char(reader, 'Z'))
		return true;
	is_west = skip_char(reader, '-');
	if ((!is_west && !skip_char(reader, '+')) || read_number(reader, 2, 2, &hours) == 0)
		return false;
	if (!is_at_end(reader))
	{
		skip_char(reader, ':');
		if (read_number(reader, 2, 2, &minutes) == 0)
			return false;
	}
	*offset = (hours * MINS_PER_HOUR + minutes) * SECS_PER_MINUTE * (is_west ? 1 : -1);
	return hours < HOURS_PER_DAY && minutes < MINS_PER_HOUR;
}

static bool
read_date(GovReader *reader, struct pg_tm *tm)
{
	if (read_number(reader, 4, 4, &tm->tm_year) == 0 || !skip_char(reader, '-') ||
		read_number(reader, 2, 2, &tm->tm_mon) == 0 || !skip_char(reader, '-') ||
		read_number(reader, 2, 2, &tm->tm_mday) == 0)
		return false;
	return tm->tm_year >= 1 && tm->tm_mon >= 1 && tm->tm_mon <= MONTHS_PER_YEAR &&
		tm->tm_mday >= 1 && tm->tm_mday <= day_tab[isleap(tm->tm_year)][tm->tm_mon - 1];
}

/* A day of the month. */
static bool
read_day(GovReader *reader, struct pg_tm *tm)
{
	tm->tm_year = DAY_YEAR;
	tm->tm_mon = DAY_MONTH;
	return read_number(reader, 1, 2, &tm->tm_mday) > 0 &&
		tm->tm_mday >= 1 && tm->tm_mday <= day_tab[false][DAY_MONTH - 1];
}

/* Read a billing day; false if the text is none. */
bool
gov_anchor_read(const char *string, uint32 length, pg_tz *tz, TimestampTz *anchor)
{
	GovReader	reader = {string, string + length};
	struct pg_tm tm = {0};
	fsec_t		fsec = 0;
	int			offset = 0;
	bool		is_read;

	if (length <= 2)
		is_read = read_day(&reader, &tm);
	else
		is_read = read_date(&reader, &tm) && read_time(&reader, &tm, &fsec);
	return is_read && read_zone(&reader, &tm, tz, &offset) && is_at_end(&reader) &&
		tm2timestamp(&tm, fsec, &offset, anchor) == 0;
}
