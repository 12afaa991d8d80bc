/*
 * reset.c
 *		Ends what a jump of the clock has left of one owner.
 *
 * PURPOSE
 *		Counters whose windows are ahead of the clock (clock.c) are taken out of
 *		memory.  The next call loads them with the window of the present time,
 *		from what was recorded in it.
 *
 * PROTOCOL
 *		A counter with something in flight must stay: the tables do not show
 *		that yet.  So its node is draining: a call that would charge it waits as
 *		for one that is being loaded (gov_resolve_find_node), unless its
 *		transaction has charged something already, for then we may be waiting
 *		for it.  When the last pin is gone the node goes too (node_memory.c).
 *
 *		Nodes that others are loading as we begin may be given the time before
 *		the clock went back; they are waited for, and looked at then.
 *
 * FAILURE
 *		A transaction that stays open is not waited for longer than those who
 *		wait for us would wait (GOV_ATTEMPTS_MAX in gate.c): 55P03, and the nodes
 *		drain no longer.  What has been taken out by then is right.  A transaction
 *		that has charged something itself would wait for itself: 25001.  However
 *		we end, gov_reset_abandon() lets the others go on.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

#include "base/clock.h"
#include "base/errors.h"
#include "cache/node_memory.h"
#include "cache/pending.h"
#include "cache/reset.h"

#define GOV_DRAIN_MAX_MS		5000	/* half of what a call waits */
#define GOV_DRAIN_STEP_MAX_MS	20

/* Whose nodes this session drains; the name must outlive an error. */
static GovOwnerKey draining;
static char draining_owner[255 * 4 + 1];	/* an id has at most 255
											 * characters */
static bool is_draining = false;

/* Nobody waits for us any more.  Called at the end of transactions: cannot fail. */
void
gov_reset_abandon(void)
{
	if (!is_draining)
		return;
	is_draining = false;
	gov_node_end_drain(&draining);
}

static void
require_nothing_in_flight(void)
{
	if (gov_pending_is_empty())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
			 errmsg("gov_reset_clock() cannot run in a transaction that has used a budget"),
			 errhint("Call it in a transaction of its own.")));
}

static void
raise_not_drained(const GovOwnerKey *key, int nleft)
{
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("could not reset the clock of owner \"%s\" in time", gov_error_shown(key->owner)),
			 errdetail("Open transactions have used budgets of %d of its entities.", nleft),
			 errhint("End them (gov_stats names their processes in rollup_waits_for), and call gov_reset_clock again.")));
}

/*
 * Wait a moment; returns how many milliseconds have passed since the start.
 */
static int
wait_since(instr_time start, int step_ms)
{
	instr_time	passed;

	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, step_ms,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	INSTR_TIME_SET_CURRENT(passed);
	INSTR_TIME_SUBTRACT(passed, start);
	return (int) INSTR_TIME_GET_MILLISEC(passed);
}

/* Take the owner's counters that are ahead of the clock out of memory. */
void
gov_reset_owner(const GovOwnerKey *key)
{
	int			step_ms = 1;
	bool		is_first = true;
	instr_time	start;
	int			nleft;

	require_nothing_in_flight();
	Assert(key->owner_length < sizeof(draining_owner) && !is_draining);
	memcpy(draining_owner, key->owner, key->owner_length);
	draining = *key;
	draining.owner = draining_owner;
	is_draining = true;
	INSTR_TIME_SET_CURRENT(start);
	while ((nleft = gov_node_drain(key, gov_clock(), is_first)) > 0)
	{
		if (wait_since(start, step_ms) > GOV_DRAIN_MAX_MS)
			raise_not_drained(key, nleft);
		step_ms = Min(2 * step_ms, GOV_DRAIN_STEP_MAX_MS);
		is_first = false;
	}
	gov_reset_abandon();		/* wakes those who have waited */
}
