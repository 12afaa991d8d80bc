/*
 * step.c
 *		Runs the steps of the worker, each of which may fail without the others.
 *
 * PURPOSE
 *		What stops a step is mostly something that users have put on our tables:
 *		a trigger on the ledger stops its retention, one on the alerts
 *		the rollup.  The other steps must go on, the worker must stay, and
 *		whoever looks must see what it is.
 *
 * PROTOCOL
 *		A step that fails is not tried again at once: after GOV_RETRY_MS, twice
 *		as long each time, at most GOV_RETRY_MAX_MS.  Its error goes to the log
 *		when its SQLSTATE differs from the last time, and so does the end of the
 *		failures.  Meanwhile the error is in the worker's slot, where gov_stats
 *		finds it.
 *
 * LOCKING
 *		workers_lock protects what is in the slot; the rest is this process's.
 *
 * FAILURE
 *		An error ends the step's transaction, as it does in a session.  What is
 *		FATAL ends the worker, and frees the slot with what is in it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/worker_slots.h"
#include "rollup/step.h"

#define GOV_RETRY_MS		1000
#define GOV_RETRY_MAX_MS	60000

static const char *const names[GOV_STEPS] = {
	[GOV_STEP_EXPIRY] = "expiry",
	[GOV_STEP_ROLLUP] = "rollup",
	[GOV_STEP_DENIALS] = "denials",
	[GOV_STEP_DEFAULTS] = "defaults",
	[GOV_STEP_EVENT_RETENTION] = "event_retention",
	[GOV_STEP_HOLD_RETENTION] = "hold_retention",
	[GOV_STEP_USAGE_MERGE] = "usage_merge",
	[GOV_STEP_USAGE_RETENTION] = "usage_retention",
	[GOV_STEP_ALERT_RETENTION] = "alert_retention",
	[GOV_STEP_CHANGE_RETENTION] = "change_retention",
	[GOV_STEP_DENIAL_RETENTION] = "denial_retention",
	[GOV_STEP_FORGETTING] = "forgetting"
};

/* How this process's steps do; sqlerrcode is 0 while one does well. */
static GovSharedFailure failures[GOV_STEPS];
static int	retry_ms[GOV_STEPS];

const char *
gov_step_name(GovStep step)
{
	return names[step];
}

/* How a step of this database's worker does. */
GovSharedFailure
gov_step_failure(GovStep step)
{
	GovSharedFailure result = {0};
	GovSharedWorker *slot = gov_worker_slot();

	if (slot == NULL)
		return result;
	LWLockAcquire(&gov_shared->workers_lock, LW_SHARED);
	if (slot->database == MyDatabaseId)
		result = slot->failures[step];
	LWLockRelease(&gov_shared->workers_lock);
	return result;
}

/* Has a step of this worker failed when it was run last? */
bool
gov_step_is_failing(GovStep step)
{
	return failures[step].sqlerrcode != 0;
}

/* Must the worker stay, to try again? */
bool
gov_step_is_any_failing(void)
{
	for (int step = 0; step < GOV_STEPS; step++)
	{
		if (gov_step_is_failing(step))
			return true;
	}
	return false;
}

static void
publish_step(GovStep step)
{
	GovSharedWorker *slot = gov_worker_own_slot();

	if (slot == NULL)
		return;
	LWLockAcquire(&gov_shared->workers_lock, LW_EXCLUSIVE);
	slot->failures[step] = failures[step];
	LWLockRelease(&gov_shared->workers_lock);
}

static void
note_failure(GovStep step, const ErrorData *error)
{
	GovSharedFailure *failure = &failures[step];
	TimestampTz now = GetCurrentTimestamp();
	int			length = pg_mbcliplen(error->message, strlen(error->message),
									  sizeof(failure->message) - 1);

	if (failure->sqlerrcode != error->sqlerrcode)
		failure->since = now;
	failure->sqlerrcode = error->sqlerrcode;
	failure->last_at = now;
	failure->count++;
	memcpy(failure->message, error->message, length);
	failure->message[length] = '\0';
	retry_ms[step] = retry_ms[step] == 0 ? GOV_RETRY_MS :
		Min(2 * retry_ms[step], GOV_RETRY_MAX_MS);
	publish_step(step);
}

static void
note_success(GovStep step)
{
	if (failures[step].sqlerrcode == 0)
		return;
	ereport(LOG,
			(errmsg("step \"%s\" of the governance worker works again after %u failures",
					names[step], failures[step].count)));
	memset(&failures[step], 0, sizeof(GovSharedFailure));
	retry_ms[step] = 0;
	publish_step(step);
}

/* Has the step failed so short a time ago that it is not to be tried yet? */
static bool
is_waiting(GovStep step)
{
	TimestampTz now = GetCurrentTimestamp();

	/* the clock may have been set back */
	return failures[step].sqlerrcode != 0 && now >= failures[step].last_at &&
		!TimestampDifferenceExceeds(failures[step].last_at, now, retry_ms[step]);
}

/* After an error: end its transaction, and note the error. */
static void
recover_step(GovStep step)
{
	ErrorData  *error;

	HOLD_INTERRUPTS();
	QueryCancelPending = false;
	errcontext("step \"%s\" of the governance worker", names[step]);
	if (geterrcode() != failures[step].sqlerrcode)
		EmitErrorReport();
	MemoryContextSwitchTo(TopMemoryContext);
	error = CopyErrorData();
	FlushErrorState();
	AbortCurrentTransaction();
	MemoryContextSwitchTo(TopMemoryContext);
	note_failure(step, error);
	FreeErrorData(error);
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
	RESUME_INTERRUPTS();
}

/*
 * Run a step, which begins and ends its transactions itself.  False when it has
 * failed, or is not to be tried yet.
 */
bool
gov_step_run(GovStep step, void (*body) (void *arg), void *arg)
{
	volatile bool is_done = false;

	Assert(!IsTransactionState());
	if (is_waiting(step))
		return false;
	PG_TRY();
	{
		body(arg);
		is_done = true;
	}
	PG_CATCH();
	{
		recover_step(step);
	}
	PG_END_TRY();
	if (is_done)
		note_success(step);
	return is_done;
}
