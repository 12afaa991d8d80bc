/*
 * clock.c
 *		The engine's clock: the server's, shifted, and never backwards.
 *
 * PURPOSE
 *		A window that has turned must not turn back, whatever NTP or an
 *		administrator does to the clock; otherwise the same headroom would be
 *		given twice.
 *
 * LAYOUT
 *		gov_clock() is the wall clock plus governance.clock_offset, but not
 *		below clock_floor: a session that sees the offset lowered raises the
 *		floor to the time it has answered last.  gov_clock_at_stripe() makes it monotonic for the owners
 *		of one stripe: the stripe remembers the latest time it has answered.
 *		That field shares the cache line of the stripe's lock, which every call
 *		writes anyway.
 *
 * LOCKING
 *		Atomics alone.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "clock.h"
#include "guc.h"

/* Raise an atomic timestamp to at least now; returns what it then holds. */
static TimestampTz
raise_to(pg_atomic_uint64 *at_least, TimestampTz now)
{
	uint64		seen = pg_atomic_read_u64(at_least);

	while ((TimestampTz) seen < now)
	{
		if (pg_atomic_compare_exchange_u64(at_least, &seen, (uint64) now))
			return now;
	}
	return (TimestampTz) seen;
}

TimestampTz
gov_clock(void)
{
	static int	offset_seen_s = 0;
	static TimestampTz answered = 0;
	TimestampTz now;

	now = GetCurrentTimestamp() + gov_clock_offset_s * USECS_PER_SEC;
	if (gov_shared != NULL)
	{
		if (gov_clock_offset_s < offset_seen_s)
			raise_to(&gov_shared->clock_floor, answered);
		offset_seen_s = gov_clock_offset_s;
		now = Max(now, (TimestampTz) pg_atomic_read_u64(&gov_shared->clock_floor));
	}
	answered = now;
	return now;
}

TimestampTz
gov_clock_at_stripe(GovSharedStripe *stripe, TimestampTz now)
{
	return raise_to(&stripe->latest, now);
}
