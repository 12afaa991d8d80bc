/*
 * clock.h
 *		The engine's clock.
 */
#ifndef GOV_CLOCK_H
#define GOV_CLOCK_H

#include "postgres.h"

#include "datatype/timestamp.h"

extern TimestampTz gov_clock(void);

/*
 * The start of the day in UTC that a finite time is in.  A timestamptz counts
 * from the start of such a day.
 */
static inline TimestampTz
gov_clock_day(TimestampTz at)
{
	TimestampTz of_day = at % USECS_PER_DAY;

	return at - (of_day < 0 ? of_day + USECS_PER_DAY : of_day);
}

#endif							/* GOV_CLOCK_H */
