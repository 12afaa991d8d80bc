/*
 * fault.c
 *		Makes the engine fail where a test says, in a build with -DGOV_FAULTS.
 *
 * PURPOSE
 *		What fails once in a year must leave nothing broken.  A fault point is a
 *		place where something can really fail: an allocation, a statement, a
 *		row, a wait.  A backend with governance.fault_at = n passes n - 1 points
 *		and fails at the n-th.  So a test that runs the same statements with
 *		n = 1, 2, ... until they pass has tried all points (test/t/031_faults.pl).
 *
 * SETTINGS
 *		governance.fault_point		only points of this kind count, or all
 *		governance.fault_at			counted down at each point; 0: no fault.
 *									SHOW tells a test whether the fault came
 *		governance.fault_action		error, fatal, crash, pause, queue: wait for the
 *									advisory lock 1, which a test has, and go on
 *		governance.fault_clock		stops the clock, so that a test can stand on
 *									the very microsecond at which something ends
 *
 * INVARIANTS
 *		A point stands where an error may be raised: not in a critical section,
 *		and not under a lock of shared memory.
 */
#include "postgres.h"

#ifdef GOV_FAULTS

#include <signal.h>

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/fmgrprotos.h"
#include "utils/wait_event.h"

#include "base/fault.h"
#include "base/guc.h"

static void
terminate_self(void)
{
	ereport(FATAL,
			(errcode(ERRCODE_ADMIN_SHUTDOWN),
			 errmsg("terminating connection at a fault point")));
}

static void
pause_here(void)
{
	for (;;)
	{
		WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Go on when the test has let go of its lock. */
static void
queue_here(void)
{
	Datum		lock = Int64GetDatum(1);

	DirectFunctionCall1(pg_advisory_lock_shared_int8, lock);
	DirectFunctionCall1(pg_advisory_unlock_shared_int8, lock);
}

/*
 * Can the point fail in the way that is asked for?  An allocation may raise an
 * error, but it handles no interrupts, so no session ends in it.  A full queue
 * of NOTIFY fails nothing, so it counts only when it is asked for by name.
 */
static bool
is_possible(GovFaultPoint point)
{
	if (point == GOV_FAULT_NOTIFY)
		return gov_fault_point == point;
	return gov_fault_action == GOV_FAULT_ERROR || gov_fault_action == GOV_FAULT_CRASH ||
		(point != GOV_FAULT_CACHE && point != GOV_FAULT_MEMORY);
}

/* Count a point.  True when it is to fail, unless the session ends here or waits. */
bool
gov_fault_is_due(GovFaultPoint point)
{
	Assert(CritSectionCount == 0 && InterruptHoldoffCount == 0);
	if (gov_fault_at == 0 || !is_possible(point) ||
		(gov_fault_point != GOV_FAULT_ALL && gov_fault_point != point) ||
		--gov_fault_at > 0)
		return false;
	switch (gov_fault_action)
	{
		case GOV_FAULT_FATAL:
			terminate_self();
			break;
		case GOV_FAULT_CRASH:
			raise(SIGKILL);
			break;
		case GOV_FAULT_PAUSE:
			pause_here();
			break;
		case GOV_FAULT_QUEUE:
			queue_here();
			return false;
	}
	return true;
}

static int
code_of(GovFaultPoint point)
{
	switch (point)
	{
		case GOV_FAULT_MEMORY:
		case GOV_FAULT_CACHE:
			return ERRCODE_OUT_OF_MEMORY;
		case GOV_FAULT_ROW:
			return ERRCODE_DISK_FULL;
		case GOV_FAULT_WAIT:
			return ERRCODE_T_R_DEADLOCK_DETECTED;
		default:
			return ERRCODE_IO_ERROR;
	}
}

void
gov_fault(GovFaultPoint point)
{
	if (gov_fault_is_due(point))
		ereport(ERROR,
				(errcode(code_of(point)),
				 errmsg("fault point")));
}

#endif
