/*
 * worker.c
 *		The background worker of a database.
 *
 * PURPOSE
 *		Expires holds, writes what was denied, and makes things small and tidy:
 *		rolls up the ledger and applies its retention.  Never needed for a right answer: a call that
 *		holds past their time would deny looks after them itself.
 *
 * LIFE
 *		There is no list of databases to configure: the first call that writes
 *		or is denied starts the database's worker, which leaves when it has been idle for
 *		GOV_WORKER_IDLE_S and no hold is open, and the next such call starts it
 *		again.  It is never restarted by the postmaster.  An error ends the step
 *		that it is in, which is tried again later, and no other (step.c); while
 *		one fails the worker stays.
 *
 * ROUNDS
 *		A round writes each row once that the events since the last one concern,
 *		so the fewer rounds the less they cost; but loads read what is not rolled
 *		up, and users read what is.  Unless governance.rollup_interval says
 *		otherwise a round begins when GOV_ROLLUP_EVENTS more events were
 *		recorded, or GOV_ROLLUP_AGE_MS after the last one began.  How many were
 *		recorded is known from shared memory, for all databases together: where
 *		there are several, a round may come early.
 *
 * IN NOBODY'S WAY
 *		At most half a second apart it tries, without waiting, for the lock on
 *		its own database that DROP DATABASE, ALTER DATABASE ... RENAME and CREATE
 *		DATABASE ... TEMPLATE take, and leaves if they have it: they refuse
 *		while a session stays, and wait a few seconds for it to go.  It is
 *		never in a transaction while it sleeps.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/guc.h"
#include "base/shmem.h"
#include "base/worker_slots.h"
#include "cache/denials.h"
#include "call/hold_expire.h"
#include "rollup/pass.h"
#include "rollup/rollup.h"
#include "rollup/step.h"
#include "rollup/tidy.h"
#include "rollup/waits.h"

#define GOV_ROLLUP_EVENTS			50000
#define GOV_ROLLUP_AGE_MS			5000
#define GOV_WORKER_IDLE_S			5
#define GOV_WORKER_LOOP_MAX_MS		500
#define GOV_DENIALS_AGE_MS			1000
#define GOV_WORKER_RETRY_MS			10	/* the first time; twice as long each
										 * time */
#define GOV_SWEEP_ANEW_MS			60000
#define GOV_SWEEP_MARGIN_S			10	/* between a call's time and its row */
#define GOV_TIDY_MAX_MS				500 /* of a step in a round */

PGDLLEXPORT void gov_worker_main(Datum arg);

/* What the last sweep of the holds has found. */
static TimestampTz next_expiry = DT_NOEND;	/* the first time of those left */
static TimestampTz swept_until = DT_NOBEGIN;	/* none is left with such a
												 * time */
static bool holds_may_come = false; /* some were being made, or it could not
									 * look */

static bool
try_object_lock(Oid database, Oid class, Oid object, LOCKMODE mode)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, database, class, object, 0);
	return LockAcquire(&tag, mode, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

/* Nobody wants our database, and the extension that we serve is there. */
static bool
may_work(Oid extension)
{
	const GovCatalog *catalog;

	if (!try_object_lock(InvalidOid, DatabaseRelationId, MyDatabaseId, RowExclusiveLock) ||
		!try_object_lock(MyDatabaseId, ExtensionRelationId, extension, AccessShareLock))
		return false;
	catalog = gov_catalog_if_installed();
	return catalog != NULL && catalog->extension == extension;
}

static void
begin_step_transaction(const char *activity)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, activity);
}

static void
end_step_transaction(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/*
 * Holds are made with a time in the future: once all up to a time are expired
 * and none was being made, none with such a time will come.  Past it nothing is
 * looked for, because what ended stays in the index until it is vacuumed.  But
 * restored and replicated rows may have any time: so we begin anew now and then.
 */
static void
forget_or_note(TimestampTz now)
{
	static TimestampTz forgot_at = 0;

	if (!holds_may_come && next_expiry > now)
		swept_until = now - GOV_SWEEP_MARGIN_S * USECS_PER_SEC;
	if (!TimestampDifferenceExceeds(forgot_at, now, GOV_SWEEP_ANEW_MS))
		return;
	forgot_at = now;
	swept_until = DT_NOBEGIN;
}

/* What a round works for, and what it has come to. */
typedef struct Round
{
	Oid			extension;
	TimestampTz began_at;
	uint64		events;			/* recorded when it began */
	GovRollupResult result;
	bool		must_leave;		/* somebody wants our database, or the
								 * extension is gone */
	bool		is_idle;		/* there was nothing to do */
	const GovTidying *tidying;	/* the step that is under way */
	bool		in_batch;		/* of that, and its transaction is not over */
} Round;

/*
 * Expire the holds whose time has come, a batch in each transaction, and see
 * when the next one's will.
 */
static void
sweep_holds(void *arg)
{
	Round	   *round = arg;
	TimestampTz now = gov_clock();
	TimestampTz after = swept_until;
	uint64		ndone = 0;
	bool		is_in_flight;
	bool		is_locked;
	bool		has_more = false;

	do
	{
		CHECK_FOR_INTERRUPTS();
		begin_step_transaction("expiring holds");
		if (!may_work(round->extension))
		{
			end_step_transaction();
			round->must_leave = true;
			return;
		}
		is_in_flight = gov_hold_row_is_in_flight();
		is_locked = gov_hold_expire_try_lock();
		if (is_locked)
		{
			has_more = gov_hold_expire_next(&after, now, &ndone);

			/*
			 * once: it reads what this sweep has ended, as long as an old
			 * snapshot keeps that
			 */
			if (!has_more && !gov_hold_row_next_expiry(swept_until, &next_expiry))
				next_expiry = DT_NOEND;
		}
		end_step_transaction();
	} while (is_locked && has_more);
	holds_may_come = is_in_flight || !is_locked;
	forget_or_note(now);
}

/* A sweep of the holds.  False when the worker has to leave. */
static bool
run_sweep(Round *round)
{
	gov_worker_begin_sweep();
	if (!gov_step_run(GOV_STEP_EXPIRY, sweep_holds, round))
		holds_may_come = true;
	if (round->must_leave)
		return false;			/* leaving the slot wakes whoever waits for
								 * the sweep */
	gov_worker_end_sweep();
	return true;
}

/* Roll up a batch; or see who is in the way. */
static void
roll_up(void *arg)
{
	Round	   *round = arg;
	uint64		ndone;

	begin_step_transaction("rolling up the ledger");
	if (may_work(round->extension))
	{
		round->result = gov_rollup_round(&ndone);
		gov_waits_note(round->result == GOV_ROLLUP_BLOCKED);
	}
	else
		round->must_leave = true;
	end_step_transaction();
}

/*
 * Make something small, a batch in each transaction; the next round goes on
 * with what takes longer, so that holds expire and the ledger is rolled up.
 */
static void
tidy_tables(void *arg)
{
	Round	   *round = arg;
	TimestampTz began_at = GetCurrentTimestamp();
	uint64		ndone = 0;
	bool		has_more;

	do
	{
		CHECK_FOR_INTERRUPTS();
		begin_step_transaction(round->tidying->activity);
		round->in_batch = true;
		has_more = may_work(round->extension) && round->tidying->batch(&ndone);
		end_step_transaction();
		round->in_batch = false;
	} while (has_more && !TimestampDifferenceExceeds(began_at, GetCurrentTimestamp(),
													 GOV_TIDY_MAX_MS));
	if (has_more)
		round->is_idle = false;
}

static void
run_tidying(Round *round, const GovTidying *tidying)
{
	round->tidying = tidying;
	gov_step_run(tidying->step, tidy_tables, round);
	if (round->in_batch)
		gov_pass_forget_all();	/* what it had done is undone */
	round->in_batch = false;
}

static void
tidy_all(Round *round)
{
	for (int i = 0; i < GOV_TIDYINGS; i++)
		run_tidying(round, &gov_tidyings[i]);
}

/*
 * Between two rounds, write what was denied if there is any; not at each call,
 * so that many denials of one budget are one update.
 */
static bool
write_denials(Round *round)
{
	static TimestampTz looked_at = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (looked_at <= now && !TimestampDifferenceExceeds(looked_at, now, GOV_DENIALS_AGE_MS))
		return false;
	looked_at = now;
	if (!gov_denials_exist(round->extension))
		return false;
	run_tidying(round, &gov_tidyings[GOV_TIDYING_DENIALS]);
	return true;
}

/*
 * One round, or another try of it: batches, each in a transaction, until what
 * was recorded before it began is rolled up, or something is in the way.  Not
 * until nothing is left: under load there always is, and small batches cost
 * more.  False when the worker has to leave.
 */
static bool
work_round(Round *round)
{
	round->is_idle = true;
	do
	{
		round->result = GOV_ROLLUP_NOTHING;
		if (!run_sweep(round))
			return false;
		if (!gov_step_run(GOV_STEP_ROLLUP, roll_up, round))
			break;
		if (round->must_leave)
			return false;
		if (round->result != GOV_ROLLUP_NOTHING)
			round->is_idle = false;
	} while (round->result == GOV_ROLLUP_MOVED && gov_rollup_complete_until() < round->began_at);

	if (gov_denials_exist(round->extension))
		round->is_idle = false;
	tidy_all(round);
	if (gov_step_is_any_failing())
		round->is_idle = false;
	return true;
}

static void
sleep_until_due(int timeout_ms)
{
	TimestampTz now = gov_clock();

	timeout_ms = Min(timeout_ms, GOV_WORKER_LOOP_MAX_MS);

	/* one past its time could not be expired: not before the next round */
	if (next_expiry > now && next_expiry != DT_NOEND)
		timeout_ms = Min(timeout_ms, TimestampDifferenceMilliseconds(now, next_expiry));
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 timeout_ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/*
 * Nothing to do for long: leave the slot, so that the next write starts a
 * worker, and then look once more for what was written while it seemed that
 * there was one.  True if this worker has to go on.
 */
static bool
leave_unless_needed(Oid extension)
{
	Round		round = {.extension = extension, .began_at = GetCurrentTimestamp()};

	gov_worker_leave();
	if (!work_round(&round))
		return false;
	if (round.is_idle && next_expiry == DT_NOEND && !holds_may_come)
		return false;
	return gov_worker_enter_again(extension);
}

/* How long after a round began the next one is due. */
static int
interval_ms(const Round *last)
{
	if (gov_rollup_interval_ms >= 0)
		return gov_rollup_interval_ms;
	return pg_atomic_read_u64(&gov_shared->events) - last->events >= GOV_ROLLUP_EVENTS ?
		0 : GOV_ROLLUP_AGE_MS;
}

/*
 * How long until work is due: the next round an interval after the last one
 * began, another try sooner, because what is in the way is mostly a transaction
 * of a few milliseconds.
 */
static int
due_in_ms(const Round *last, TimestampTz last_at, int retry_ms)
{
	TimestampTz now = GetCurrentTimestamp();
	int			wait_ms = interval_ms(last);
	long		passed_ms = TimestampDifferenceMilliseconds(last_at, now);

	if (now < last_at)
		return 0;				/* the clock was set back */
	if (retry_ms > 0)
		wait_ms = gov_rollup_interval_ms >= 0 ? Min(wait_ms, retry_ms) : retry_ms;
	return passed_ms >= wait_ms ? 0 : wait_ms - passed_ms;
}

/* Work until nobody wants us. */
static void
work_until_unwanted(Oid extension)
{
	Round		round = {.extension = extension};
	TimestampTz busy_at = GetCurrentTimestamp();
	TimestampTz last_at = 0;	/* when the round began, or its last try */
	int			retry_ms = 0;	/* 0 once the round is done */

	for (;;)
	{
		TimestampTz now;

		if (due_in_ms(&round, last_at, retry_ms) > 0)
		{
			if (!run_sweep(&round))
				return;
			if (write_denials(&round))
				busy_at = GetCurrentTimestamp();
			sleep_until_due(due_in_ms(&round, last_at, retry_ms));
			continue;
		}
		now = last_at = GetCurrentTimestamp();
		if (retry_ms == 0)
		{
			round.began_at = now;
			round.events = pg_atomic_read_u64(&gov_shared->events);
		}
		if (!work_round(&round))
			return;
		if (gov_rollup_complete_until() >= round.began_at)
		{
			last_at = round.began_at;
			retry_ms = 0;
		}
		else
			retry_ms = retry_ms == 0 ? GOV_WORKER_RETRY_MS :
				Min(2 * retry_ms, GOV_WORKER_LOOP_MAX_MS);
		if (!round.is_idle || next_expiry != DT_NOEND)
			busy_at = now;
		else if (TimestampDifferenceExceeds(busy_at, now, GOV_WORKER_IDLE_S * 1000))
		{
			if (!leave_unless_needed(extension))
				return;
			busy_at = now;
		}
		sleep_until_due(due_in_ms(&round, last_at, retry_ms));
	}
}

/* What a database or role sets for its sessions is not meant for this one. */
static void
override_settings(void)
{
	static const char *const settings[][2] = {
		{"default_transaction_read_only", "off"},
		{"default_transaction_isolation", "read committed"},
		{"session_replication_role", "origin"},
		{"statement_timeout", "0"},
		{"lock_timeout", "0"},
		{"transaction_timeout", "0"}	/* since PostgreSQL 17 */
	};

	for (int i = 0; i < lengthof(settings); i++)
		if (GetConfigOption(settings[i][0], true, false) != NULL)
			SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

void
gov_worker_main(Datum arg)
{
	GovSharedWorker slot;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	if (gov_shared == NULL || !gov_worker_enter(DatumGetInt32(arg), &slot))
		return;
	BackgroundWorkerInitializeConnectionByOid(slot.database, InvalidOid, 0);
	override_settings();
	work_until_unwanted(slot.extension);
}
