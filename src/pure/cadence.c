/*
 * cadence.c
 *		How often a budget starts afresh: one ISO 8601 duration of one unit.
 *
 * PURPOSE
 *		Read, and write, "P1Y", "P1M", "P30D", "P1W", "PT1H", "PT5M", "PT10S".  Anything
 *		more general (two units, fractions, signs, lower case) is refused: a
 *		budget that resets after "a month and two hours" is a mistake, and one
 *		cadence should have one spelling, since changing the string starts the
 *		budget's usage afresh.
 *
 * FAILURE
 *		False, and the caller says which argument it was.  No state.
 */
#include "postgres.h"

#include "pure/cadence.h"

#define CADENCE_MAX_COUNT	9999

/* What a designator means; 'M' is a month in a date and a minute in a time. */
static GovCadenceUnit
cadence_unit(char designator, bool is_time)
{
	switch (designator)
	{
		case 'Y':
			return is_time ? GOV_CADENCE_NONE : GOV_CADENCE_YEAR;
		case 'M':
			return is_time ? GOV_CADENCE_MINUTE : GOV_CADENCE_MONTH;
		case 'W':
			return is_time ? GOV_CADENCE_NONE : GOV_CADENCE_WEEK;
		case 'D':
			return is_time ? GOV_CADENCE_NONE : GOV_CADENCE_DAY;
		case 'H':
			return is_time ? GOV_CADENCE_HOUR : GOV_CADENCE_NONE;
		case 'S':
			return is_time ? GOV_CADENCE_SECOND : GOV_CADENCE_NONE;
		default:
			return GOV_CADENCE_NONE;
	}
}

/* Read a cadence of calendar windows.  *result is set only when the string is one. */
bool
gov_cadence_parse(const char *string, GovCadence *result)
{
	bool		is_time;
	int32		count = 0;
	GovCadenceUnit unit;

	Assert(string != NULL);

	if (*string++ != 'P')
		return false;
	is_time = (*string == 'T');
	if (is_time)
		string++;

	/* The number: 1 to 9999, written in one way only. */
	if (*string == '0')
		return false;
	for (; *string >= '0' && *string <= '9'; string++)
	{
		count = count * 10 + (*string - '0');
		if (count > CADENCE_MAX_COUNT)
			return false;
	}
	if (count == 0)
		return false;

	/* One unit, and nothing after it. */
	unit = cadence_unit(*string, is_time);
	if (unit == GOV_CADENCE_NONE || string[1] != '\0')
		return false;

	Assert(count >= 1 && count <= CADENCE_MAX_COUNT);
	result->unit = unit;
	result->kind = GOV_WINDOW_CALENDAR;
	result->count = count;
	return true;
}

/* Read where windows begin.  *kind is set only when the string says it. */
bool
gov_cadence_kind_parse(const char *string, uint8 *kind)
{
	if (strcmp(string, "calendar") == 0)
		*kind = GOV_WINDOW_CALENDAR;
	else if (strcmp(string, "first_use") == 0)
		*kind = GOV_WINDOW_FIRST_USE;
	else if (strcmp(string, "sliding") == 0)
		*kind = GOV_WINDOW_SLIDING;
	else
		return false;
	return true;
}

/* Write a cadence, which must be one that resets, as it was read; returns the length. */
int
gov_cadence_text(const GovCadence *cadence, char *string)
{
	static const char designators[] = {
		[GOV_CADENCE_YEAR] = 'Y', [GOV_CADENCE_MONTH] = 'M', [GOV_CADENCE_WEEK] = 'W',
		[GOV_CADENCE_DAY] = 'D', [GOV_CADENCE_HOUR] = 'H', [GOV_CADENCE_MINUTE] = 'M',
		[GOV_CADENCE_SECOND] = 'S'
	};

	char		digits[4];
	int			ndigits = 0;
	char	   *end = string;

	Assert(cadence->unit != GOV_CADENCE_NONE && cadence->count <= CADENCE_MAX_COUNT);
	*end++ = 'P';
	if (cadence->unit >= GOV_CADENCE_HOUR)
		*end++ = 'T';
	for (uint32 rest = cadence->count; rest > 0; rest /= 10)
		digits[ndigits++] = '0' + rest % 10;
	while (ndigits > 0)
		*end++ = digits[--ndigits];
	*end++ = designators[cadence->unit];
	*end = '\0';
	return end - string;
}
