/*
 * shmem.h
 *		The shared memory of the engine: stripes, memory for nodes, workers.
 */
#ifndef GOV_SHMEM_H
#define GOV_SHMEM_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/spin.h"

#include "base/arena.h"

#define GOV_STRIPES					128
#define GOV_SEGMENT_BUCKETS			64	/* of hash tables; see node_table.c */
#define GOV_OWNER_SLOTS				32	/* of a stripe, by hash of the owner */
#define GOV_GENERATIONS				1024
#define GOV_WORKER_SLOTS			256
#define GOV_CREATED_SETS			256 /* by hash of the owner */
#define GOV_CREATED_WAYS			4	/* owners in each */
#define GOV_DENIAL_PARTS			128
#define GOV_DENIAL_BYTES			(32 * 1024) /* of each */
#define GOV_DENIAL_BUCKETS			128

/*
 * What has happened to the owners of one slot, so that a backend can tell
 * whether what it remembers of them still holds.
 */
typedef struct GovSharedOwners
{
	uint64		changes;		/* catalog changes */
	uint64		installs;		/* nodes that got new content */
	uint64		unlinks;		/* counters taken out of nodes, or nodes out */
	uint64		losses;			/* counters that left memory with rows in the
								 * tail; tail.c */
	int64		lost_event;		/* the last event that those may have */
	uint32		announced;		/* losses of transactions that are about to
								 * commit */
	uint32		first_uses;		/* commits that have used a budget by a
								 * default first */
} GovSharedOwners;

/*
 * A stripe, with all nodes of its owners.  The lock protects the fields that
 * follow, except the atomics, and every node and counter of the stripe.
 */
typedef struct GovSharedStripe
{
	LWLock		lock;
	pg_atomic_uint64 hits;		/* calls answered from the nodes at hand */
	pg_atomic_uint64 denials;
	ConditionVariable loaded;	/* a node of the stripe ceased to be loading */
	uint64		changes;		/* catalog changes to owners of this stripe */
	uint32		nbarriers;		/* raised for owners of this stripe; barrier.c */
	uint32		nnodes;
	uint32		nabsent;		/* of them, ids that are no entity */
	uint32		nbuckets;
	uint32		nwalks;			/* under way over the buckets; node_table.c */
	uint32		sweep;			/* bucket at which the eviction of absent ids
								 * goes on */
	uint32	   *directories;	/* segments that have the numbers of segments */
	GovSharedOwners owners[GOV_OWNER_SLOTS];
} GovSharedStripe;

typedef union GovSharedStripePadded
{
	GovSharedStripe stripe;
	char		pad[TYPEALIGN(PG_CACHE_LINE_SIZE, sizeof(GovSharedStripe))];
} GovSharedStripePadded;

/*
 * The owners that the transaction of a backend has charged, as a bit for each
 * slot of each stripe; see barrier.c.
 */
typedef struct GovSharedEntered
{
	uint64		slots[GOV_STRIPES * GOV_OWNER_SLOTS / 64];
	LocalTransactionId transaction;
	bool		changes_rows;	/* of one of them that there were before */
} GovSharedEntered;

/* How many entities an owner has that its uses have created; created_room.c. */
typedef struct GovSharedCreated
{
	uint64		hash;			/* of database, extension and owner; 0: free */
	int64		count;
	TimestampTz counted_at;		/* in the table */
	TimestampTz used_at;
} GovSharedCreated;

/* A part of what was denied and is not written yet; see denials.c. */
typedef struct GovSharedDenials
{
	LWLock		lock;			/* protects the rest */
	slock_t		mutex;			/* protects open_layout, and the counts while
								 * that is not 0 */
	uint64		open_layout;	/* layout, or 0 while somebody has the lock
								 * exclusively */
	uint64		layout;			/* from 1; another one whenever an entry has
								 * gone from its place */
	uint64		lasts;			/* drawn so far; GovSharedDenial.last */
	uint32		used;			/* of bytes */
	uint32		dead;			/* of those */
	uint32		nentries;		/* that are not */
	TimestampTz swept_at;
	uint32		buckets[GOV_DENIAL_BUCKETS];
	char		bytes[GOV_DENIAL_BYTES] pg_attribute_aligned(MAXIMUM_ALIGNOF);
} GovSharedDenials;

typedef union GovSharedDenialsPadded
{
	GovSharedDenials denials;
	char		pad[TYPEALIGN(PG_CACHE_LINE_SIZE, sizeof(GovSharedDenials))];
} GovSharedDenialsPadded;

/* What a worker does; one step may fail without the others (step.c). */
typedef enum GovStep
{
	GOV_STEP_EXPIRY,
	GOV_STEP_ROLLUP,
	GOV_STEP_DENIALS,
	GOV_STEP_DEFAULTS,
	GOV_STEP_EVENT_RETENTION,
	GOV_STEP_HOLD_RETENTION,
	GOV_STEP_USAGE_MERGE,
	GOV_STEP_USAGE_RETENTION,
	GOV_STEP_ALERT_RETENTION,
	GOV_STEP_CHANGE_RETENTION,
	GOV_STEP_DENIAL_RETENTION,
	GOV_STEP_FORGETTING
} GovStep;

#define GOV_STEPS					(GOV_STEP_FORGETTING + 1)
#define GOV_FAILURE_MESSAGE			200

/* What stops a step at present. */
typedef struct GovSharedFailure
{
	int			sqlerrcode;		/* 0: nothing does */
	uint32		count;			/* of tries in a row */
	TimestampTz since;			/* with this code */
	TimestampTz last_at;
	char		message[GOV_FAILURE_MESSAGE];
} GovSharedFailure;

/* One background worker; protected by workers_lock. */
typedef struct GovSharedWorker
{
	Oid			database;		/* InvalidOid: the slot is free */
	Oid			extension;
	pid_t		pid;			/* 0 while it is starting */
	TimestampTz started_at;
	Latch	   *latch;			/* of the process */
	uint64		sweeps_begun;	/* of holds past their time */
	uint64		sweeps_done;	/* the last one that is over */
	ConditionVariable swept;	/* sweeps_done has moved, or the worker left */
	GovSharedFailure failures[GOV_STEPS];
} GovSharedWorker;

/* How far the ledger of a database is rolled up, as far as is known; tail.c. */
typedef struct GovSharedTail
{
	slock_t		lock;
	Oid			database;		/* InvalidOid: none has asked */
	Oid			extension;
	int64		first_id;		/* the last one drawn before we knew anything */
	int64		rolled_up;
	int			writers;		/* transactions that write the ledger without
								 * the engine */
} GovSharedTail;

typedef struct GovShared
{
	int			stripe_tranche;
	int			memory_tranche;
	Size		memory_size;
	GovArena	arena;			/* of the nodes */
	LWLock		names_lock;
	GovArena	names;			/* see names.c */
	GovRef		name_buckets;
	uint32		nname_buckets;	/* a power of two */
	slock_t		segments_lock;
	uint32		nsegments;
	uint32		nsegments_begun;	/* the others have never been used */
	uint32		nsegments_used;
	uint32		free_segment;	/* the first of those given back, which are
								 * linked */
	pg_atomic_uint64 loads;
	pg_atomic_uint64 evictions;
	pg_atomic_uint64 events;
	pg_atomic_uint64 alerts_untold; /* the NOTIFY queue was nearly full */
	pg_atomic_uint64 untold_logged_at;	/* TimestampTz */
	pg_atomic_uint64 denials_unkept;	/* that gov_denials will not have */
	pg_atomic_uint64 creations_refused; /* uses that could create no entity,
										 * for want of room */
	LWLock		created_lock;	/* protects created */
	GovSharedCreated created[GOV_CREATED_SETS][GOV_CREATED_WAYS];
	pg_atomic_uint64 own_generations;	/* drawn so far; own_nodes.c */
	/* by hash of the database */
	pg_atomic_uint64 generations[GOV_GENERATIONS];
	pg_atomic_uint64 type_generations[GOV_GENERATIONS];
	pg_atomic_uint64 price_generations[GOV_GENERATIONS];
	pg_atomic_uint64 frozen_generations[GOV_GENERATIONS];
	pg_atomic_uint64 price_commits[GOV_GENERATIONS];	/* under way */
	pg_atomic_uint64 merged_until[GOV_GENERATIONS]; /* TimestampTz;
													 * load_usage.c */
	GovSharedTail tails[GOV_GENERATIONS];
	LWLock		workers_lock;
	GovSharedWorker workers[GOV_WORKER_SLOTS];
	GovSharedStripePadded stripes[GOV_STRIPES];
	GovSharedDenialsPadded denials[GOV_DENIAL_PARTS];
} GovShared;

/* A piece of a hash table. */
typedef uint32 GovSegment[GOV_SEGMENT_BUCKETS];

extern GovShared *gov_shared;
extern GovSegment *gov_segments;	/* numbered from 1 */
extern GovSharedEntered *gov_shared_entered;	/* MaxBackends of them */

extern void gov_shmem_init(void);
extern bool gov_shmem_is_available(void);
extern Size gov_shmem_memory_used(void);
extern uint32 gov_shmem_take_segment(void);
extern void gov_shmem_give_segment(uint32 number);
extern pg_atomic_uint64 *gov_shmem_generation(Oid database);
extern pg_atomic_uint64 *gov_shmem_type_generation(Oid database);
extern pg_atomic_uint64 *gov_shmem_price_generation(Oid database);
extern pg_atomic_uint64 *gov_shmem_price_commits(Oid database);
extern pg_atomic_uint64 *gov_shmem_frozen_generation(Oid database);
extern pg_atomic_uint64 *gov_shmem_merged_until(Oid database);

static inline GovSharedStripe *
gov_stripe(int index)
{
	return &gov_shared->stripes[index].stripe;
}

#ifdef USE_ASSERT_CHECKING
extern GovSharedStripe *gov_stripe_last_locked; /* by this backend */

/*
 * Has this backend a stripe locked?  Then it must not allocate, wait, raise an
 * error, or lock another stripe.  LWLockHeldByMe() is asked because an error
 * releases the lock without gov_stripe_unlock().
 */
static inline bool
gov_stripe_is_held(void)
{
	return gov_stripe_last_locked != NULL && LWLockHeldByMe(&gov_stripe_last_locked->lock);
}
#endif

/* Remember which stripe is locked, for assertions. */
static inline void
gov_stripe_note_locked(GovSharedStripe *stripe)
{
#ifdef USE_ASSERT_CHECKING
	gov_stripe_last_locked = stripe;
#endif
}

static inline void
gov_stripe_lock(GovSharedStripe *stripe, LWLockMode mode)
{
	Assert(!gov_stripe_is_held());
	LWLockAcquire(&stripe->lock, mode);
	gov_stripe_note_locked(stripe);
}

/* Lock a stripe if nobody has it, for a caller that must not wait. */
static inline bool
gov_stripe_lock_if_free(GovSharedStripe *stripe)
{
	Assert(!gov_stripe_is_held());
	if (!LWLockConditionalAcquire(&stripe->lock, LW_EXCLUSIVE))
		return false;
	gov_stripe_note_locked(stripe);
	return true;
}

static inline void
gov_stripe_unlock(GovSharedStripe *stripe)
{
	LWLockRelease(&stripe->lock);
}

#endif							/* GOV_SHMEM_H */
