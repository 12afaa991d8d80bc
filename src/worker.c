/*
 * worker.c
 *		The background worker of a database.
 *
 * PURPOSE
 *		Expires holds, writes what was denied, and makes things small and tidy:
 *		rolls up the ledger and applies its retention.  No right answer depends on
 *		it: a call that would be denied because of holds past their time expires
 *		them itself.
 *
 * LIFE
 *		There is no list of databases to configure.  The first call that writes or
 *		is denied starts the database's worker.  It leaves when it has been idle for
 *		GOV_WORKER_IDLE_S and no hold is open, and the next such call starts it
 *		again.  The postmaster never restarts it.  An error ends only the step that
 *		raises it, which is tried again later (step.c); while a step fails the
 *		worker stays.
 *
 * ROUNDS
 *		A round writes each row once that the events since the last round concern,
 *		so few rounds cost less than many.  But loads have to read what is not
 *		rolled up, and users read what is.  Unless governance.rollup_interval says
 *		otherwise, a round begins when GOV_ROLLUP_EVENTS more events were
 *		recorded, or GOV_ROLLUP_AGE_MS after the last one began.  Shared memory
 *		counts the events of all databases together, so where there are several a
 *		round may begin early.
 *
 * IN NOBODY'S WAY
 *		At least every half second the worker tries, without waiting, the lock on
 *		its own database that DROP DATABASE, ALTER DATABASE ... RENAME and CREATE
 *		DATABASE ... TEMPLATE take, and leaves if somebody has it.  These commands
 *		wait a few seconds for sessions to go, and then fail.  The worker is never
 *		in a transaction while it sleeps.
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
#define GOV_ROUND_RETRY_MS			10	/* the first time; twice as long each
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

/*
 * May the worker go on?  Not if somebody wants its database, nor if its
 * extension is gone.
 */
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
 * Note how far holds are expired, or begin anew.  Holds are made with a time
 * in the future.  Once all up to a time are expired and none was being made,
 * no hold with such a time will come, and only later ones need to be looked
 * for: what has ended stays in the index until it is vacuumed.  But restored
 * and replicated rows may have any time, so now and then everything is looked
 * at again.
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

/* The state of a round. */
typedef struct GovRound
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
} GovRound;

/*
 * Expire the holds whose time has come, a batch in each transaction, and look
 * when the next one expires.
 */
static void
sweep_holds(void *arg)
{
	GovRound   *round = arg;
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

/* Run a sweep of the holds.  False when the worker has to leave. */
static bool
run_sweep(GovRound *round)
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

/* Roll up a batch, or note that somebody is in the way. */
static void
roll_up(void *arg)
{
	GovRound   *round = arg;
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
 * Run one step that makes things small, a batch in each transaction.  What
 * takes longer than GOV_TIDY_MAX_MS goes on in the next round, so that holds
 * expire and the ledger is rolled up in between.
 */
static void
tidy_tables(void *arg)
{
	GovRound   *round = arg;
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
run_tidying(GovRound *round, const GovTidying *tidying)
{
	round->tidying = tidying;
	gov_step_run(tidying->step, tidy_tables, round);
	if (round->in_batch)
		gov_pass_forget_all();	/* what it had done is undone */
	round->in_batch = false;
}

/* May there be something to do?  To find that out in the step takes a transaction. */
static bool
is_wanted(const GovRound *round, const GovTidying *tidying)
{
	if (gov_step_is_failing(tidying->step))
		return true;			/* it is to be seen that it does not any more */
	if (tidying == &gov_tidyings[GOV_TIDYING_DENIALS])
		return gov_denials_exist(round->extension);
	if (tidying == &gov_tidyings[GOV_TIDYING_DEFAULTS])
		return !round->is_idle; /* they are used by what is rolled up */
	return tidying->setting == NULL || *tidying->setting != 0;
}

static void
tidy_all(GovRound *round)
{
	for (int i = 0; i < GOV_TIDYINGS; i++)
	{
		if (is_wanted(round, &gov_tidyings[i]))
			run_tidying(round, &gov_tidyings[i]);
	}
}

/*
 * Between two rounds, write what was denied if there is any; not at each call,
 * so that many denials of one budget are one update.
 */
static bool
write_denials(GovRound *round)
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
 * Run a round, or try it again: batches, each in a transaction, until what was
 * recorded before the round began is rolled up, or something is in the way.
 * It does not go on until nothing is left: under load there always is
 * something, and small batches cost more.  False when the worker has to leave.
 */
static bool
work_round(GovRound *round)
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
 * There has been nothing to do for long: leave the slot, so that the next
 * write starts a worker.  Then look once more for what was written while this
 * one still seemed to be there.  True if this worker has to go on.
 */
static bool
leave_unless_needed(Oid extension)
{
	GovRound	round = {.extension = extension, .began_at = GetCurrentTimestamp()};

	gov_worker_leave();
	if (!work_round(&round))
		return false;
	if (round.is_idle && next_expiry == DT_NOEND && !holds_may_come)
		return false;
	return gov_worker_enter_again(extension);
}

/* How long after the last round began the next one is due. */
static int
interval_ms(const GovRound *last)
{
	if (gov_rollup_interval_ms >= 0)
		return gov_rollup_interval_ms;
	return pg_atomic_read_u64(&gov_shared->events) - last->events >= GOV_ROLLUP_EVENTS ?
		0 : GOV_ROLLUP_AGE_MS;
}

/*
 * How long until work is due: the next round an interval after the last one
 * began; another try of it sooner, because what is in the way is mostly a
 * transaction of a few milliseconds.
 */
static int
due_in_ms(const GovRound *last, TimestampTz last_at, int retry_ms)
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

/* Work until the worker is not needed any more. */
static void
work_until_unwanted(Oid extension)
{
	GovRound	round = {.extension = extension};
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
			retry_ms = retry_ms == 0 ? GOV_ROUND_RETRY_MS :
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

/*
 * Override settings that a database or role has for its sessions, and that
 * would break the worker.
 */
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
