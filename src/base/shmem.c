/*
 * shmem.c
 *		The shared memory of the engine.
 *
 * PURPOSE
 *		Reserves governance.cache_size at server start and hands it out.
 *
 * LAYOUT
 *		A fixed head (GovShared: the stripes with their locks, the worker
 *		slots, the counts that gov_stats shows, what was denied (denials.c));
 *		what each backend has charged (barrier.c); then governance.cache_size,
 *		which is divided once and for all, so that nothing grows at another's
 *		expense:
 *
 *		directories	of the stripes' hash tables, for the largest that can be
 *		segments	of the hash tables: enough for all nodes that fit
 *		names		strings that many nodes have, and their table (names.c)
 *		arena		the nodes (arena.c)
 *
 * LOCKING
 *		A stripe's lock protects what hangs on the stripe (see node.c).  The
 *		arena has a lock of its own, and no stripe is waited for with it held
 *		(node_memory.c).  Free segments are linked under a spinlock, which may be
 *		taken with a stripe locked.  workers_lock protects the worker slots.
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
#include "port/pg_bitutils.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#include "base/guc.h"
#include "base/shmem.h"

GovShared  *gov_shared = NULL;

#ifdef USE_ASSERT_CHECKING
GovSharedStripe *gov_stripe_last_locked = NULL;
#endif

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

GovSegment *gov_segments = NULL;
GovSharedEntered *gov_shared_entered = NULL;

/* There are enough buckets for nodes of so many bytes, and a third more. */
#define BYTES_PER_BUCKET	256

/*
 * The names have this part of the memory, and a bucket for every so many of
 * its bytes.
 */
#define NAMES_SHARE			16
#define BYTES_PER_NAME		128

/* How the memory is divided. */
typedef struct GovMemoryDivision
{
	Size		size;
	uint32		ndirectories;	/* of each stripe */
	uint32		nsegments;
	Size		segments_at;
	uint32		nname_buckets;
	Size		name_buckets_at;
	Size		names_at;
	Size		arena_at;
} GovMemoryDivision;

static Size
entered_size(void)
{
	return CACHELINEALIGN(mul_size(sizeof(GovSharedEntered), MaxBackends));
}

static Size
head_size(void)
{
	return add_size(CACHELINEALIGN(sizeof(GovShared)), entered_size());
}

static Size
memory_size(void)
{
	return (Size) gov_cache_size_kb * 1024;
}

static GovMemoryDivision
divide_memory(void)
{
	GovMemoryDivision division = {.size = memory_size()};
	Size		nbuckets = division.size / BYTES_PER_BUCKET * 4 / 3;

	division.nsegments = nbuckets / GOV_SEGMENT_BUCKETS * (GOV_SEGMENT_BUCKETS + 1) /
		GOV_SEGMENT_BUCKETS + 2 * GOV_STRIPES;
	division.ndirectories = division.nsegments / GOV_SEGMENT_BUCKETS + 1;
	division.segments_at = CACHELINEALIGN(sizeof(uint32) * division.ndirectories * GOV_STRIPES);
	division.name_buckets_at = division.segments_at + sizeof(GovSegment) * division.nsegments;
	division.nname_buckets = pg_prevpower2_size_t(division.size / NAMES_SHARE / BYTES_PER_NAME);
	division.names_at = division.name_buckets_at + sizeof(GovRef) * division.nname_buckets;
	division.arena_at = division.names_at +
		TYPEALIGN_DOWN(GOV_GRANULE, division.size / NAMES_SHARE);
	return division;
}

static void
request_shmem(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(add_size(head_size(), memory_size()));
}

/* Find the parts of the memory.  Every process finds the same. */
static void
find_memory(void)
{
	gov_shared_entered = (GovSharedEntered *) ((char *) gov_shared + CACHELINEALIGN(sizeof(GovShared)));
	gov_memory = (char *) gov_shared + head_size();
	gov_segments = (GovSegment *) (gov_memory + divide_memory().segments_at) - 1;
}

/* Each stripe begins with a segment and the directory that it is in. */
static void
init_stripe(GovSharedStripe *stripe, uint32 *directories)
{
	LWLockInitialize(&stripe->lock, gov_shared->stripe_tranche);
	pg_atomic_init_u64(&stripe->hits, 0);
	pg_atomic_init_u64(&stripe->denials, 0);
	ConditionVariableInit(&stripe->loaded);
	stripe->directories = directories;
	stripe->directories[0] = gov_shmem_take_segment();
	gov_segments[stripe->directories[0]][0] = gov_shmem_take_segment();
	stripe->nbuckets = GOV_SEGMENT_BUCKETS;
}

static void
init_shared(void)
{
	GovMemoryDivision division = divide_memory();

	memset(gov_shared, 0, sizeof(GovShared));
	gov_shared->stripe_tranche = LWLockNewTrancheId();
	gov_shared->memory_tranche = LWLockNewTrancheId();
	gov_shared->memory_size = memory_size();
	pg_atomic_init_u64(&gov_shared->loads, 0);
	pg_atomic_init_u64(&gov_shared->evictions, 0);
	pg_atomic_init_u64(&gov_shared->events, 0);
	pg_atomic_init_u64(&gov_shared->alerts_untold, 0);
	pg_atomic_init_u64(&gov_shared->untold_logged_at, 0);
	pg_atomic_init_u64(&gov_shared->denials_unkept, 0);
	pg_atomic_init_u64(&gov_shared->creations_refused, 0);
	LWLockInitialize(&gov_shared->created_lock, gov_shared->memory_tranche);
	pg_atomic_init_u64(&gov_shared->own_generations, 0);
	for (int i = 0; i < GOV_GENERATIONS; i++)
	{
		pg_atomic_init_u64(&gov_shared->generations[i], 1);
		pg_atomic_init_u64(&gov_shared->type_generations[i], 1);
		pg_atomic_init_u64(&gov_shared->price_generations[i], 1);
		pg_atomic_init_u64(&gov_shared->frozen_generations[i], 1);
		pg_atomic_init_u64(&gov_shared->price_commits[i], 0);
		pg_atomic_init_u64(&gov_shared->merged_until[i], (uint64) DT_NOBEGIN);
		SpinLockInit(&gov_shared->tails[i].lock);
	}
	for (int i = 0; i < GOV_DENIAL_PARTS; i++)
	{
		GovSharedDenials *part = &gov_shared->denials[i].denials;

		LWLockInitialize(&part->lock, gov_shared->memory_tranche);
		SpinLockInit(&part->mutex);
		part->layout = part->open_layout = 1;
	}
	LWLockInitialize(&gov_shared->workers_lock, gov_shared->stripe_tranche);
	for (int i = 0; i < GOV_WORKER_SLOTS; i++)
		ConditionVariableInit(&gov_shared->workers[i].swept);
	find_memory();
	memset(gov_shared_entered, 0, entered_size());
	memset(gov_memory, 0, division.segments_at);
	SpinLockInit(&gov_shared->segments_lock);
	gov_shared->nsegments = division.nsegments;
	for (int i = 0; i < GOV_STRIPES; i++)
		init_stripe(gov_stripe(i), (uint32 *) gov_memory + (Size) i * division.ndirectories);
	LWLockInitialize(&gov_shared->names_lock, gov_shared->memory_tranche);
	gov_shared->name_buckets = division.name_buckets_at / GOV_GRANULE;
	gov_shared->nname_buckets = division.nname_buckets;
	memset(gov_address(gov_shared->name_buckets), 0,
		   sizeof(GovRef) * division.nname_buckets);
	gov_arena_init(&gov_shared->names, division.names_at / GOV_GRANULE,
				   division.arena_at / GOV_GRANULE, gov_shared->memory_tranche);
	gov_arena_init(&gov_shared->arena, division.arena_at / GOV_GRANULE,
				   division.size / GOV_GRANULE, gov_shared->memory_tranche);
}

static void
startup_shmem(void)
{
	bool		found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	gov_shared = ShmemInitStruct("governance",
								 add_size(head_size(), memory_size()), &found);
	if (!found)
		init_shared();
	find_memory();
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

/* Take a segment of a hash table, zeroed; 0 when all are in use. */
uint32
gov_shmem_take_segment(void)
{
	uint32		number;

	SpinLockAcquire(&gov_shared->segments_lock);
	number = gov_shared->free_segment;
	if (number != 0)
		gov_shared->free_segment = gov_segments[number][0];
	else if (gov_shared->nsegments_begun < gov_shared->nsegments)
		number = ++gov_shared->nsegments_begun;
	gov_shared->nsegments_used += number != 0;
	SpinLockRelease(&gov_shared->segments_lock);
	if (number != 0)
		memset(gov_segments[number], 0, sizeof(GovSegment));
	return number;
}

void
gov_shmem_give_segment(uint32 number)
{
	SpinLockAcquire(&gov_shared->segments_lock);
	gov_segments[number][0] = gov_shared->free_segment;
	gov_shared->free_segment = number;
	gov_shared->nsegments_used--;
	SpinLockRelease(&gov_shared->segments_lock);
}

/*
 * The bytes that the cached nodes take, with names and tables; 0 when nothing
 * is cached.
 */
Size
gov_shmem_memory_used(void)
{
	return pg_atomic_read_u64(&gov_shared->arena.used) +
		pg_atomic_read_u64(&gov_shared->names.used) +
		(Size) (gov_shared->nsegments_used - 2 * GOV_STRIPES) * sizeof(GovSegment);
}

/*
 * The slot of a database.  Databases may share one: then a change in one of
 * them costs the other a reload.
 */
static uint32
generation_slot(Oid database)
{
	return murmurhash32(database) % GOV_GENERATIONS;
}

/*
 * The number of changes to entities and budgets that concerned the whole
 * database.
 */
pg_atomic_uint64 *
gov_shmem_generation(Oid database)
{
	return &gov_shared->generations[generation_slot(database)];
}

/* The number of changes to entity types and capabilities. */
pg_atomic_uint64 *
gov_shmem_type_generation(Oid database)
{
	return &gov_shared->type_generations[generation_slot(database)];
}

/* The number of changes to prices. */
pg_atomic_uint64 *
gov_shmem_price_generation(Oid database)
{
	return &gov_shared->price_generations[generation_slot(database)];
}

/* The number of transactions that are committing such changes. */
pg_atomic_uint64 *
gov_shmem_price_commits(Oid database)
{
	return &gov_shared->price_commits[generation_slot(database)];
}

/* The number of changes to which owners are frozen. */
pg_atomic_uint64 *
gov_shmem_frozen_generation(Oid database)
{
	return &gov_shared->frozen_generations[generation_slot(database)];
}

/* The latest end of the windows that were merged since the server started. */
pg_atomic_uint64 *
gov_shmem_merged_until(Oid database)
{
	return &gov_shared->merged_until[generation_slot(database)];
}
