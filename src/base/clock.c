/*
 * clock.c
 *		The engine's clock: the server's, shifted.
 *
 * PURPOSE
 *		The time of a call is that of the server's clock plus
 *		governance.clock_offset.  It is what the ledger records, and what the
 *		time of a hold is compared with.
 *
 * STEPS BACK
 *		A clock may be set back.  A counter's window must not go back with it,
 *		because the engine would then give again what it has given in a window
 *		that has turned.  So the window of a counter only moves forward, and a
 *		call at an earlier time is charged to the window that the counter has
 *		(turn_window in resolve_budgets.c).  That goes for a step of a second at
 *		midnight and for one of twenty days.  It concerns only the budgets that
 *		were used while the clock was ahead.
 *
 *		The ledger has each use under the window that it was charged to.  So a
 *		counter that is not in memory is loaded with the window of the present
 *		time and all that was charged to that window, even where later windows
 *		have usage already: nothing is given twice.  Therefore a restart ends
 *		what a jump ahead has left.  gov_reset_clock() (reset.c) ends it for one
 *		owner, by taking the counters that are ahead out of memory once nothing
 *		of them is in flight.  The engine does not do so by itself, because it
 *		cannot know which of two times is wrong.
 *
 *		A counter that is loaded while later windows have usage notes that
 *		(has_later).  It does not turn into one of these windows, but is loaded
 *		again (gov_counter_must_load).
 *
 * LOCKING
 *		None.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/guc.h"

TimestampTz
gov_clock(void)
{
#ifdef GOV_FAULTS
	if (gov_fault_clock != 0)
		return (TimestampTz) gov_fault_clock;
#endif
	return GetCurrentTimestamp() + gov_clock_offset_s * USECS_PER_SEC;
}
