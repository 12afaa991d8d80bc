/*
 * worker_slots.c
 *		Which databases have a background worker, and starting one.
 *
 * PURPOSE
 *		There is no list of databases to configure: a call that writes, meets an
 *		open hold, or is denied, starts the worker of its database (worker.c).
 *
 * LAYOUT
 *		A slot in shared memory for each worker, taken before the postmaster is
 *		asked to start it, so that two sessions do not start two.
 *
 * SWEEPS
 *		A call that would be denied because of holds past their time asks the
 *		worker to expire them, and waits for it.  What the worker gives back is
 *		everybody's at once; what the caller gave back would be only after its
 *		own commit.
 *
 * LOCKING
 *		workers_lock protects the slots.
 *
 * FAILURE
 *		A server without a process to spare is asked again a second later; a
 *		slot whose worker never came is free after GOV_WORKER_START_TIMEOUT_MS.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "base/catalog.h"
#include "base/shmem.h"
#include "base/worker_slots.h"

#define GOV_WORKER_START_TIMEOUT_MS	10000	/* a slot of one that never
											 * started */
#define GOV_WORKER_START_RETRY_MS	1000
#define GOV_SWEEP_WAIT_MS			1000

/* The slot of this process, if it is a worker and has one. */
static int	own_slot = -1;

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
		gov_shared->workers[free_slot].latch = pid == MyProcPid ? MyLatch : NULL;
		gov_shared->workers[free_slot].started_at = now;
	}
	LWLockRelease(&gov_shared->workers_lock);
	return free_slot;
}

static void
free_slot(int number)
{
	GovSharedWorker *slot = &gov_shared->workers[number];

	LWLockAcquire(&gov_shared->workers_lock, LW_EXCLUSIVE);
	slot->database = InvalidOid;
	slot->extension = InvalidOid;
	slot->pid = 0;
	slot->latch = NULL;
	memset(slot->failures, 0, sizeof(slot->failures));
	LWLockRelease(&gov_shared->workers_lock);
	ConditionVariableBroadcast(&slot->swept);
}

/*
 * Start the worker of a slot; false when the server has no process to spare
 * (max_worker_processes).
 */
static bool
start_worker(int slot)
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

/*
 * Is the worker of a slot at work for this extension?  Read without the lock,
 * so it may be a moment out of date.
 */
static bool
is_at_work(int slot, Oid extension)
{
	const GovSharedWorker *worker = &gov_shared->workers[slot];

	return worker->database == MyDatabaseId && worker->extension == extension &&
		worker->pid != 0;
}

/* The slot of this database's worker; -1 when it has none. */
static int
find_slot(void)
{
	static int	known_slot = 0;
	Oid			extension = gov_catalog()->extension;

	if (is_at_work(known_slot, extension))
		return known_slot;
	for (int slot = 0; slot < GOV_WORKER_SLOTS; slot++)
	{
		if (is_at_work(slot, extension))
			return known_slot = slot;
	}
	return -1;
}

bool
gov_worker_is_at_work(void)
{
	return find_slot() >= 0;
}

/* The process of this database's worker, 0 when it has none. */
pid_t
gov_worker_pid(void)
{
	int			slot = find_slot();

	return slot < 0 ? 0 : gov_shared->workers[slot].pid;
}

/*
 * The slot of this process if it is a worker, otherwise that of this
 * database's worker; NULL if there is none.
 */
GovSharedWorker *
gov_worker_slot(void)
{
	int			slot = gov_shared != NULL ? find_slot() : -1;

	return slot < 0 ? NULL : &gov_shared->workers[slot];
}

GovSharedWorker *
gov_worker_own_slot(void)
{
	return own_slot < 0 ? NULL : &gov_shared->workers[own_slot];
}

/* Is the sweep over, or has the worker left, so that it never will be? */
static bool
is_swept(int number, uint64 sweep)
{
	GovSharedWorker *slot = &gov_shared->workers[number];
	bool		result;

	LWLockAcquire(&gov_shared->workers_lock, LW_SHARED);
	result = slot->latch == NULL || slot->sweeps_done >= sweep;
	LWLockRelease(&gov_shared->workers_lock);
	return result;
}

/*
 * Have the worker expire the holds past their time, and wait until it has
 * tried them all, for GOV_SWEEP_WAIT_MS at most.  False when there is no
 * worker, or it did not finish.
 */
bool
gov_worker_sweep(void)
{
	int			number = find_slot();
	GovSharedWorker *slot = &gov_shared->workers[Max(number, 0)];
	uint64		sweep;
	bool		is_failing;

	if (number < 0)
		return false;
	LWLockAcquire(&gov_shared->workers_lock, LW_SHARED);
	sweep = slot->sweeps_begun + 1;
	is_failing = slot->failures[GOV_STEP_EXPIRY].sqlerrcode != 0;
	if (slot->latch != NULL)
		SetLatch(slot->latch);
	LWLockRelease(&gov_shared->workers_lock);
	if (is_failing)
		return false;

	ConditionVariablePrepareToSleep(&slot->swept);
	while (!is_swept(number, sweep))
	{
		if (ConditionVariableTimedSleep(&slot->swept, GOV_SWEEP_WAIT_MS,
										PG_WAIT_EXTENSION))
			break;
	}
	ConditionVariableCancelSleep();
	return true;
}

/*
 * The worker begins a sweep.  Whoever asks from now on waits for the next one.
 */
void
gov_worker_begin_sweep(void)
{
	LWLockAcquire(&gov_shared->workers_lock, LW_EXCLUSIVE);
	if (own_slot >= 0)
		gov_shared->workers[own_slot].sweeps_begun++;
	LWLockRelease(&gov_shared->workers_lock);
}

void
gov_worker_end_sweep(void)
{
	GovSharedWorker *slot = &gov_shared->workers[Max(own_slot, 0)];

	if (own_slot < 0)
		return;
	LWLockAcquire(&gov_shared->workers_lock, LW_EXCLUSIVE);
	slot->sweeps_done = slot->sweeps_begun;
	LWLockRelease(&gov_shared->workers_lock);
	ConditionVariableBroadcast(&slot->swept);
}

/*
 * There is something for a worker to do: start one if this database has none.
 */
void
gov_worker_wanted(void)
{
	static TimestampTz failed_at = 0;
	TimestampTz now;
	int			slot;

	if (gov_worker_is_at_work())
		return;
	now = GetCurrentTimestamp();
	if (!TimestampDifferenceExceeds(failed_at, now, GOV_WORKER_START_RETRY_MS))
		return;
	slot = take_slot(gov_catalog()->extension, 0);
	if (slot >= 0 && !start_worker(slot))
		failed_at = now;
}

void
gov_worker_leave(void)
{
	if (own_slot >= 0)
		free_slot(own_slot);
	own_slot = -1;
}

static void
leave_at_exit(int code, Datum arg)
{
	gov_worker_leave();
}

/* Enter the slot that was taken for this worker; false if it was taken away. */
bool
gov_worker_enter(int number, GovSharedWorker *entered)
{
	GovSharedWorker *slot = &gov_shared->workers[number];
	bool		is_ours;

	LWLockAcquire(&gov_shared->workers_lock, LW_EXCLUSIVE);
	is_ours = OidIsValid(slot->database) && slot->pid == 0;
	if (is_ours)
	{
		slot->pid = MyProcPid;
		slot->latch = MyLatch;
		*entered = *slot;
	}
	LWLockRelease(&gov_shared->workers_lock);
	if (is_ours)
	{
		own_slot = number;
		before_shmem_exit(leave_at_exit, (Datum) 0);
	}
	return is_ours;
}

/* Take a slot again after leaving it; false if another worker has come. */
bool
gov_worker_enter_again(Oid extension)
{
	own_slot = take_slot(extension, MyProcPid);
	return own_slot >= 0;
}
