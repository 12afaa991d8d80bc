/*
 * worker.c
 *		The background worker of a database.
 *
 * PURPOSE
 *		Makes things small and tidy: rolls up the ledger and applies its
 *		retention.  Never needed for a right answer.
 *
 * LIFE
 *		There is no list of databases to configure: the first call that writes
 *		starts the database's worker, which leaves when it has been idle for
 *		GOV_WORKER_IDLE_S, and the next such call starts it again.  It is never
 *		restarted by the postmaster, so an error ends it until then.
 *
 * IN NOBODY'S WAY
 *		At most a second apart it tries, without waiting, for the lock on its
 *		own database that DROP DATABASE, ALTER DATABASE ... RENAME and CREATE
 *		DATABASE ... TEMPLATE take, and leaves if they have it: they refuse
 *		while a session stays, and wait a few seconds for it to go.  It is
 *		never in a transaction while it sleeps.
 *
 * LOCKING
 *		workers_lock protects the slots in shared memory.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "catalog.h"
#include "guc.h"
#include "rollup.h"
#include "shmem.h"
#include "worker.h"

#define GOV_WORKER_IDLE_S			5
#define GOV_WORKER_LOOP_MAX_MS		1000
#define GOV_WORKER_START_TIMEOUT_MS	10000	/* a slot of one that never started */
#define GOV_WORKER_RETRY_MS			1000

PGDLLEXPORT void gov_worker_main(Datum arg);

/* Is the slot's worker at work, or about to be? */
static bool
is_taken(const GovSharedWorker *slot, TimestampTz now)
{
	return OidIsValid(slot->database) &&
		(slot->pid != 0 ||
		 !TimestampDifferenceExceeds(slot->started_at, now, GOV_WORKER_START_TIMEOUT_MS));
}

/* Take a free slot for this database; -1 if it has one, or there is none. */
static int
take_slot(Oid extension, pid_t pid)
{
	TimestampTz now = GetCurrentTimestamp();
	int			free_slot = -1;

	LWLockAcquire(&gov_shared->workers_lock, LW_EXCLUSIVE);
	for (int i = 0; i < GOV_WORKER_SLOTS; i++)
	{
		GovSharedWorker *slot = &gov_shared->workers[i];

		if (!is_taken(slot, now))
			free_slot = free_slot < 0 ? i : free_slot;
		else if (slot->database == MyDatabaseId && slot->extension == extension)
		{
			free_slot = -1;
			break;
		}
	}
	if (free_slot >= 0)
	{
		gov_shared->workers[free_slot].database = MyDatabaseId;
		gov_shared->workers[free_slot].extension = extension;
		gov_shared->workers[free_slot].pid = pid;
		gov_shared->workers[free_slot].started_at = now;
	}
	LWLockRelease(&gov_shared->workers_lock);
	return free_slot;
}

static void
free_slot(int number)
{
	LWLockAcquire(&gov_shared->workers_lock, LW_EXCLUSIVE);
	memset(&gov_shared->workers[number], 0, sizeof(GovSharedWorker));
	LWLockRelease(&gov_shared->workers_lock);
}

/* False when the server has no process to spare (max_worker_processes). */
static bool
start(int slot)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = Int32GetDatum(slot);
	strlcpy(worker.bgw_library_name, "governance", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "gov_worker_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_type, "governance worker", sizeof(worker.bgw_type));
	snprintf(worker.bgw_name, sizeof(worker.bgw_name),
			 "governance worker for database %u", MyDatabaseId);
	if (RegisterDynamicBackgroundWorker(&worker, NULL))
		return true;
	free_slot(slot);
	return false;
}

/* A look without the lock: wrong by a moment at worst. */
static bool
is_at_work(int slot, Oid extension)
{
	const GovSharedWorker *worker = &gov_shared->workers[slot];

	return worker->database == MyDatabaseId && worker->extension == extension &&
		worker->pid != 0;
}

/* The process of this database's worker, 0 when it has none. */
pid_t
gov_worker_pid(void)
{
	Oid			extension = gov_catalog()->extension;

	for (int slot = 0; slot < GOV_WORKER_SLOTS; slot++)
	{
		if (is_at_work(slot, extension))
			return gov_shared->workers[slot].pid;
	}
	return 0;
}

/* Something was written that a worker should roll up: see that there is one. */
void
gov_worker_wanted(void)
{
	static int	known_slot = 0;
	static TimestampTz failed_at = 0;
	Oid			extension = gov_catalog()->extension;
	TimestampTz now;
	int			slot;

	if (is_at_work(known_slot, extension))
		return;
	for (slot = 0; slot < GOV_WORKER_SLOTS; slot++)
	{
		if (is_at_work(slot, extension))
		{
			known_slot = slot;
			return;
		}
	}
	now = GetCurrentTimestamp();
	if (!TimestampDifferenceExceeds(failed_at, now, GOV_WORKER_RETRY_MS))
		return;
	slot = take_slot(extension, 0);
	if (slot >= 0 && !start(slot))
		failed_at = now;
}

/* The slot of this process, if it is a worker and has one. */
static int	own_slot = -1;

static void
leave_slot(int code, Datum arg)
{
	if (own_slot >= 0)
		free_slot(own_slot);
	own_slot = -1;
}

/* Enter the slot that was taken for this worker; false if it was taken away. */
static bool
enter_slot(int number, GovSharedWorker *entered)
{
	GovSharedWorker *slot = &gov_shared->workers[number];
	bool		is_ours;

	LWLockAcquire(&gov_shared->workers_lock, LW_EXCLUSIVE);
	is_ours = OidIsValid(slot->database) && slot->pid == 0;
	if (is_ours)
	{
		slot->pid = MyProcPid;
		*entered = *slot;
	}
	LWLockRelease(&gov_shared->workers_lock);
	if (is_ours)
	{
		own_slot = number;
		before_shmem_exit(leave_slot, (Datum) 0);
	}
	return is_ours;
}

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
begin(const char *activity)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, activity);
}

static void
end(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/*
 * One round: batches, each in a transaction, until there is nothing left to do
 * without waiting.  False when the worker has to leave; is_idle tells whether
 * there was nothing to do.
 */
static bool
work(Oid extension, bool *is_idle)
{
	GovRollupResult result = GOV_ROLLUP_NOTHING;
	uint64		ndone;

	*is_idle = true;
	do
	{
		bool		may;

		CHECK_FOR_INTERRUPTS();
		begin("rolling up the ledger");
		may = may_work(extension);
		if (may)
			result = gov_rollup_round(&ndone);
		end();
		if (!may)
			return false;
		if (result != GOV_ROLLUP_NOTHING)
			*is_idle = false;
	} while (result == GOV_ROLLUP_MOVED);

	do
	{
		CHECK_FOR_INTERRUPTS();
		begin("applying the retention of events");
		ndone = may_work(extension) ? gov_rollup_prune() : 0;
		end();
	} while (ndone > 0);
	return true;
}

static void
sleep_until_due(void)
{
	int			timeout_ms = Min(gov_rollup_interval_ms, GOV_WORKER_LOOP_MAX_MS);

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

static bool
still_wanted(Oid extension)
{
	bool		may;

	begin("looking after the database");
	may = may_work(extension);
	end();
	return may;
}

/*
 * Nothing to do for long: leave the slot, so that the next write starts a
 * worker, and then look once more for what was written while it seemed that
 * there was one.  True if this worker has to go on.
 */
static bool
leave_unless_needed(Oid extension)
{
	bool		is_idle;

	leave_slot(0, (Datum) 0);
	if (!work(extension, &is_idle) || is_idle)
		return false;
	own_slot = take_slot(extension, MyProcPid);
	return own_slot >= 0;
}

/* Work until nobody wants us. */
static void
run(Oid extension)
{
	TimestampTz busy_at = GetCurrentTimestamp();
	TimestampTz round_at = 0;

	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();
		bool		is_idle;

		if (!TimestampDifferenceExceeds(round_at, now, gov_rollup_interval_ms))
		{
			if (!still_wanted(extension))
				return;
			sleep_until_due();
			continue;
		}
		round_at = now;
		if (!work(extension, &is_idle))
			return;
		if (!is_idle)
			busy_at = now;
		else if (TimestampDifferenceExceeds(busy_at, now, GOV_WORKER_IDLE_S * 1000))
		{
			if (!leave_unless_needed(extension))
				return;
			busy_at = now;
		}
		sleep_until_due();
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
	if (gov_shared == NULL || !enter_slot(DatumGetInt32(arg), &slot))
		return;
	BackgroundWorkerInitializeConnectionByOid(slot.database, InvalidOid, 0);
	override_settings();
	run(slot.extension);
}
