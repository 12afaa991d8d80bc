/*
 * shmem.c
 *		The shared memory of the engine.
 *
 * PURPOSE
 *		Reserves governance.cache_size at server start and hands it out.
 *
 * LAYOUT
 *		A fixed head (GovShared: the stripes with their locks, the worker
 *		slots, the counts that gov_stats shows), then one dynamic shared area
 *		made in place over the rest, with its size limit at its size: nodes and
 *		counters are allocated there and nothing grows into /dev/shm.
 *
 * LOCKING
 *		A stripe's lock protects what hangs on the stripe (see node.c); the
 *		area has locks of its own, so memory is allocated and freed with no
 *		stripe locked.  workers_lock protects the worker slots.
 *
 * FAILURE
 *		A library that is not preloaded has no shared memory: gov_shared stays
 *		NULL and gov_shmem_is_available() is false; the call decides what that
 *		means.  After a crash the postmaster makes the memory anew and runs the
 *		hook again, so the statics are set there and nowhere else.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

#include "guc.h"
#include "shmem.h"

GovShared  *gov_shared = NULL;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;
static dsa_area *memory = NULL;

static Size
head_size(void)
{
	return CACHELINEALIGN(sizeof(GovShared));
}

static Size
memory_size(void)
{
	return Max((Size) gov_cache_size_kb * 1024, dsa_minimum_size());
}

static void *
memory_place(void)
{
	return (char *) gov_shared + head_size();
}

static void
request_shmem(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(add_size(head_size(), memory_size()));
}

static void
init_stripe(GovSharedStripe *stripe)
{
	LWLockInitialize(&stripe->lock, gov_shared->stripe_tranche);
	pg_atomic_init_u64(&stripe->hits, 0);
	pg_atomic_init_u64(&stripe->denials, 0);
	ConditionVariableInit(&stripe->loaded);
}

static void
init_shared(void)
{
	dsa_area   *area;

	memset(gov_shared, 0, sizeof(GovShared));
	gov_shared->stripe_tranche = LWLockNewTrancheId();
	gov_shared->memory_tranche = LWLockNewTrancheId();
	gov_shared->memory_size = memory_size();
	pg_atomic_init_u64(&gov_shared->loads, 0);
	pg_atomic_init_u64(&gov_shared->evictions, 0);
	pg_atomic_init_u64(&gov_shared->memory_used, 0);
	pg_atomic_init_u64(&gov_shared->events, 0);
	pg_atomic_init_u64(&gov_shared->alerts_untold, 0);
	pg_atomic_init_u64(&gov_shared->untold_logged_at, 0);
	pg_atomic_init_u32(&gov_shared->sweep_stripe, 0);
	for (int i = 0; i < GOV_GENERATIONS; i++)
	{
		pg_atomic_init_u64(&gov_shared->generations[i], 1);
		pg_atomic_init_u64(&gov_shared->type_generations[i], 1);
		SpinLockInit(&gov_shared->tails[i].lock);
	}
	LWLockInitialize(&gov_shared->workers_lock, gov_shared->stripe_tranche);
	for (int i = 0; i < GOV_WORKER_SLOTS; i++)
		ConditionVariableInit(&gov_shared->workers[i].swept);
	for (int i = 0; i < GOV_STRIPES; i++)
		init_stripe(gov_stripe(i));

	area = dsa_create_in_place(memory_place(), gov_shared->memory_size,
							   gov_shared->memory_tranche, NULL);
	dsa_pin(area);
	dsa_set_size_limit(area, gov_shared->memory_size);
	dsa_detach(area);
}

static void
startup_shmem(void)
{
	bool		found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	memory = NULL;
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	gov_shared = ShmemInitStruct("governance",
								 add_size(head_size(), memory_size()), &found);
	if (!found)
		init_shared();
	LWLockRelease(AddinShmemInitLock);

	LWLockRegisterTranche(gov_shared->stripe_tranche, "GovernanceStripe");
	LWLockRegisterTranche(gov_shared->memory_tranche, "GovernanceMemory");
}

void
gov_shmem_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}

bool
gov_shmem_is_available(void)
{
	return gov_shared != NULL;
}

static void
release_memory(int code, Datum arg)
{
	memory = NULL;
	dsa_on_shmem_exit_release_in_place(code, arg);
}

/* The area that nodes and counters are allocated in, attached at first use. */
dsa_area *
gov_shmem_memory(void)
{
	if (memory == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		memory = dsa_attach_in_place(memory_place(), NULL);
		dsa_pin_mapping(memory);
		MemoryContextSwitchTo(old);
		on_shmem_exit(release_memory, PointerGetDatum(memory_place()));
	}
	return memory;
}

/* Databases share the slots: a neighbour's change costs a reload. */
static uint32
generation_slot(Oid database)
{
	return murmurhash32(database) % GOV_GENERATIONS;
}

/* Counts the changes to entities and budgets that are not told one by one. */
pg_atomic_uint64 *
gov_shmem_generation(Oid database)
{
	return &gov_shared->generations[generation_slot(database)];
}

/* Counts the changes to entity types and capabilities. */
pg_atomic_uint64 *
gov_shmem_type_generation(Oid database)
{
	return &gov_shared->type_generations[generation_slot(database)];
}
