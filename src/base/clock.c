/*
 * clock.c
 *		The engine's clock: the server's, shifted.
 *
 * PURPOSE
 *		The time of a call is the wall clock's plus governance.clock_offset, and
 *		nobody else's: that is what the record shows, and by it holds end.
 *
 * STEPS BACK
 *		What must not go back is a counter's window, for else the engine would
 *		give again what it has given in a window that has turned.  So it is the
 *		counter that remembers: it has its window, which only moves on, and a
 *		call at a time before that window is charged to it (turn_window in
 *		resolve_budgets.c).  A step back of a second at midnight and one of twenty days
 *		are the same in this, and concern the budgets that were used meanwhile:
 *		no other budget, no other owner, and no time.
 *
 *		What was recorded stands in the ledger under the window that it was
 *		charged to.  So a counter that is not in memory is loaded with the
 *		window of the present time and with all that was charged to that, also
 *		where later windows have usage already: nothing is given twice.  Thereby
 *		a restart ends what a jump ahead has left, and gov_reset_clock()
 *		(reset.c) does for one owner, taking out the counters that are ahead
 *		when nothing of them is in flight.  The engine does not do so by itself:
 *		which of two times is wrong it cannot know.
 *
 *		A counter loaded before windows that have usage already knows that
 *		(has_later), and does not turn into another window: it is loaded again
 *		(gov_counter_must_load).
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
