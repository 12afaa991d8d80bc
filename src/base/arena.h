/*
 * arena.h
 *		Blocks of any size in memory of a fixed size.
 */
#ifndef GOV_ARENA_H
#define GOV_ARENA_H

#include "postgres.h"

#include "port/atomics.h"
#include "storage/lwlock.h"

#define GOV_GRANULE			16	/* bytes; sizes and places are counted in them */
#define GOV_ARENA_BINS		320

/* Where something is in the shared memory for nodes, in granules; 0: nowhere. */
typedef uint32 GovRef;

/* The lock protects all but used. */
typedef struct GovArena
{
	LWLock		lock;
	pg_atomic_uint64 used;		/* bytes, with what the blocks take for
								 * themselves */
	GovRef		first;
	GovRef		end;			/* after the last block: one that is never
								 * free */
	GovRef		hand;			/* at which reclaiming goes on */
	uint64		has_free[GOV_ARENA_BINS / 64];	/* a bit for each bin */
	GovRef		bins[GOV_ARENA_BINS];	/* free blocks by size */
} GovArena;

/*
 * Take out of use what a block is part of, if that may be; then the block is
 * freed.
 */
typedef bool (*GovArenaEvict) (GovRef block, void *arg);

/* The memory that a GovRef counts from; set by shmem.c. */
extern char *gov_memory;

static inline void *
gov_address(GovRef ref)
{
	return gov_memory + (Size) ref * GOV_GRANULE;
}

extern void gov_arena_init(GovArena *arena, GovRef from, GovRef to, int tranche);
extern Size gov_arena_block_size(Size size);
extern Size gov_arena_size_of(GovRef block);
extern GovRef gov_arena_allocate(GovArena *arena, Size size);
extern void gov_arena_free(GovArena *arena, GovRef block);
extern void gov_arena_offer(GovRef block, bool may_evict);
extern bool gov_arena_is_offered(GovRef block);
extern bool gov_arena_reclaim(GovArena *arena, Size size, GovArenaEvict evict,
							  void *arg, uint64 *passed, GovRef *block);

#endif							/* GOV_ARENA_H */
