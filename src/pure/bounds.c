/*
 * bounds.c
 *		What bounds hardly any budget: a largest single use, and a limit that
 *		changes with time.
 *
 * PURPOSE
 *		A boost adds to a limit from one time to another.  Nothing runs when it
 *		begins or ends: a budget that has boosts carries its limit as a function
 *		of time, one step for each moment at which that changes, and whoever
 *		decides looks up the step of its own time.
 *
 * INVARIANTS
 *		The first step has no beginning, so that every time has one.  A limit is
 *		not negative, however much was taken off it; where something is carried
 *		over, that is added first.
 *
 * FAILURE
 *		None; arguments in, answer out.  Runs under a stripe's lock.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "pure/bounds.h"

/* The limit that is in force at a time. */
GovAmount
gov_bounds_at(const GovBounds *bounds, TimestampTz at)
{
	uint32		step = bounds->nsteps - 1;

	Assert(bounds->nsteps > 0 && TIMESTAMP_IS_NOBEGIN(bounds->steps[0].from));
	while (bounds->steps[step].from > at)
		step--;
	Assert(bounds->steps[step].limit >= 0 || bounds->carries);
	return bounds->steps[step].limit;
}

/* The first time after another at which the limit rises to an amount; DT_NOEND if it never does. */
TimestampTz
gov_bounds_reach(const GovBounds *bounds, GovAmount wanted, TimestampTz after)
{
	for (uint32 i = 0; i < bounds->nsteps; i++)
	{
		if (bounds->steps[i].from > after && bounds->steps[i].limit >= wanted)
			return bounds->steps[i].from;
	}
	return DT_NOEND;
}
