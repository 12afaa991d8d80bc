/*
 * arena.c
 *		Blocks of any size in memory of a fixed size.
 *
 * PURPOSE
 *		Memory for nodes.  A free block is found by its size, at once.  When none
 *		fits, a hand goes over the blocks in the order in which they lie in
 *		memory, and has those evicted that may be; free neighbours become one
 *		block.  So room for a block takes the eviction of about as many bytes,
 *		whatever the sizes of the blocks: there are no size classes whose pages
 *		would have to become free as a whole.
 *
 * LAYOUT
 *		The blocks lie side by side, each behind a head of 8 bytes that has its
 *		size and that of the one before.  A free block has, where others have
 *		their content, its neighbours in the list of its bin.  Up to EXACT_BINS
 *		granules each size has a bin; above that a bin has an eighth of the
 *		sizes between two powers of two.
 *
 * LOCKING
 *		The arena's lock is held for some dozens of instructions, and in
 *		reclaiming for at most STEPS_PER_HOLD blocks.  The function that evicts
 *		is called with it held, and must wait for nothing.  A block in use
 *		belongs to its user, who also says whether it may be evicted
 *		(gov_arena_offer), under whatever lock protects it.
 *
 * INVARIANTS
 *		No two free blocks are neighbours, unless one would be too large.  The
 *		hand is at the beginning of a block.
 *
 * FAILURE
 *		No memory is an answer, not an error.  What a process that is terminated
 *		had allocated and not published is lost until the server restarts; a
 *		process that crashes takes the server along.
 */
#include "postgres.h"

#include "port/pg_bitutils.h"

#include "base/arena.h"

#define STEPS_PER_HOLD		256
#define EXACT_BINS			128
#define EXACT_BITS			7
#define FITS_TRIED			16	/* blocks of a bin that may be too small */
#define SIZE_MAX_GRANULES	((uint32) 1 << 30)

typedef struct GovBlockHead
{
	uint32		size:30;		/* granules, with this head */
	uint32		is_free:1;
	uint32		is_offered:1;	/* written by the user of a block in use */
	uint32		previous_size;	/* of the block before; 0: there is none */
} GovBlockHead;

typedef struct GovFreeLinks
{
	GovRef		next;
	GovRef		previous;
} GovFreeLinks;

StaticAssertDecl(sizeof(GovBlockHead) + sizeof(GovFreeLinks) <= GOV_GRANULE,
				 "the smallest block can be free");

char	   *gov_memory = NULL;

static GovBlockHead *
head_of(GovRef block)
{
	return (GovBlockHead *) ((char *) gov_address(block) - sizeof(GovBlockHead));
}

static GovFreeLinks *
links_of(GovRef block)
{
	return (GovFreeLinks *) gov_address(block);
}

static uint32
granules_for(Size size)
{
	return (size + sizeof(GovBlockHead) + GOV_GRANULE - 1) / GOV_GRANULE;
}

/* The memory that a block takes altogether, given the size of its content. */
Size
gov_arena_block_size(Size size)
{
	return (Size) granules_for(size) * GOV_GRANULE;
}

/* The bytes of a block that is in use. */
Size
gov_arena_size_of(GovRef block)
{
	return (Size) head_of(block)->size * GOV_GRANULE;
}

static int
bin_of(uint32 size)
{
	int			power;

	if (size < EXACT_BINS)
		return size;
	power = pg_leftmost_one_pos32(size);
	return EXACT_BINS + (power - EXACT_BITS) * 8 + ((size >> (power - 3)) & 7);
}

/* Describe a block, and tell the next one where it begins. */
static void
set_block(GovRef block, uint32 size, bool is_free)
{
	GovBlockHead *head = head_of(block);

	head->size = size;
	head->is_free = is_free;
	head->is_offered = false;
	head_of(block + size)->previous_size = size;
}

static void
add_to_bin(GovArena *arena, GovRef block)
{
	int			bin = bin_of(head_of(block)->size);

	links_of(block)->previous = 0;
	links_of(block)->next = arena->bins[bin];
	if (arena->bins[bin] != 0)
		links_of(arena->bins[bin])->previous = block;
	arena->bins[bin] = block;
	arena->has_free[bin / 64] |= UINT64CONST(1) << (bin % 64);
}

static void
remove_from_bin(GovArena *arena, GovRef block)
{
	int			bin = bin_of(head_of(block)->size);
	GovFreeLinks links = *links_of(block);

	if (links.next != 0)
		links_of(links.next)->previous = links.previous;
	if (links.previous != 0)
		links_of(links.previous)->next = links.next;
	else
		arena->bins[bin] = links.next;
	if (arena->bins[bin] == 0)
		arena->has_free[bin / 64] &= ~(UINT64CONST(1) << (bin % 64));
}

/*
 * Make an arena of the memory from one granule to another.  Its last block, of
 * one granule, is in use for ever, so that every other block has a neighbour
 * behind it.
 */
void
gov_arena_init(GovArena *arena, GovRef from, GovRef to, int tranche)
{
	memset(arena, 0, sizeof(*arena));
	LWLockInitialize(&arena->lock, tranche);
	pg_atomic_init_u64(&arena->used, 0);

	/* a block begins 8 bytes before its content, which is aligned to granules */
	arena->first = from + 1;
	arena->end = to - 1;
	arena->hand = arena->first;
	head_of(arena->first)->previous_size = 0;
	for (GovRef block = arena->first; block < arena->end;)
	{
		uint32		size = Min(arena->end - block, SIZE_MAX_GRANULES - 1);

		set_block(block, size, true);
		add_to_bin(arena, block);
		block += size;
	}
	head_of(arena->end)->size = 1;
	head_of(arena->end)->is_free = false;
	head_of(arena->end)->is_offered = false;
}

/* A free block of a size at least, or 0. */
static GovRef
find_free(const GovArena *arena, uint32 size)
{
	int			bin = bin_of(size);
	GovRef		block = arena->bins[bin];

	for (int i = 0; i < FITS_TRIED && block != 0; i++)
	{
		if (head_of(block)->size >= size)
			return block;
		block = links_of(block)->next;
	}

	/* all in the bins above are large enough */
	bin++;
	for (int word = bin / 64; word < lengthof(arena->has_free); word++)
	{
		uint64		bits = arena->has_free[word];

		if (word == bin / 64)
			bits &= ~UINT64CONST(0) << (bin % 64);
		if (bits != 0)
			return arena->bins[word * 64 + pg_rightmost_one_pos64(bits)];
	}
	return 0;
}

/* Take a block from the beginning of a free one, and leave the rest free. */
static void
take_block(GovArena *arena, GovRef block, uint32 size)
{
	uint32		rest = head_of(block)->size - size;

	remove_from_bin(arena, block);
	set_block(block, size, false);
	if (rest > 0)
	{
		set_block(block + size, rest, true);
		add_to_bin(arena, block + size);
	}
	pg_atomic_fetch_add_u64(&arena->used, (uint64) size * GOV_GRANULE);
}

/* Allocate a block; 0 when no free block is large enough. */
GovRef
gov_arena_allocate(GovArena *arena, Size size)
{
	GovRef		block;

	if (size >= (Size) (SIZE_MAX_GRANULES - 1) * GOV_GRANULE)
		return 0;
	LWLockAcquire(&arena->lock, LW_EXCLUSIVE);
	block = find_free(arena, granules_for(size));
	if (block != 0)
		take_block(arena, block, granules_for(size));
	LWLockRelease(&arena->lock);
	return block;
}

/*
 * Make one block of two free neighbours, which are in no bin; false if it
 * would be too large.
 */
static bool
join_blocks(GovArena *arena, GovRef block, GovRef next)
{
	uint32		size = head_of(block)->size + head_of(next)->size;

	if (size >= SIZE_MAX_GRANULES)
		return false;
	set_block(block, size, true);
	if (arena->hand == next)
		arena->hand = block;
	return true;
}

/* Free a block; returns the free block that it is part of now. */
static GovRef
free_block(GovArena *arena, GovRef block)
{
	uint32		size = head_of(block)->size;
	uint32		previous_size = head_of(block)->previous_size;
	GovRef		next = block + size;
	GovRef		previous = block - previous_size;

	Assert(!head_of(block)->is_free);
	Assert(LWLockHeldByMeInMode(&arena->lock, LW_EXCLUSIVE));
	pg_atomic_fetch_sub_u64(&arena->used, (uint64) size * GOV_GRANULE);
	set_block(block, size, true);
	if (head_of(next)->is_free)
	{
		remove_from_bin(arena, next);
		if (!join_blocks(arena, block, next))
			add_to_bin(arena, next);
	}
	if (previous_size > 0 && head_of(previous)->is_free)
	{
		remove_from_bin(arena, previous);
		if (join_blocks(arena, previous, block))
			block = previous;
		else
			add_to_bin(arena, previous);
	}
	add_to_bin(arena, block);
	return block;
}

void
gov_arena_free(GovArena *arena, GovRef block)
{
	LWLockAcquire(&arena->lock, LW_EXCLUSIVE);
	free_block(arena, block);
	LWLockRelease(&arena->lock);
}

/* Say whether reclaiming may ask for a block's eviction. */
void
gov_arena_offer(GovRef block, bool may_evict)
{
	pg_write_barrier();			/* its content is written before */
	head_of(block)->is_offered = may_evict;
}

bool
gov_arena_is_offered(GovRef block)
{
	return head_of(block)->is_offered;
}

/*
 * Move the hand on, over a few blocks at most, until it comes to a free block
 * of the size or has had one evicted, which is then allocated.  The way it has
 * gone, in granules, is added to *passed.  False when it has gone around three
 * times without success: then nothing can be evicted, not even what its user
 * spares twice.
 */
bool
gov_arena_reclaim(GovArena *arena, Size size, GovArenaEvict evict, void *arg,
				  uint64 *passed, GovRef *block)
{
	uint32		wanted = granules_for(size);
	uint64		most;

	*block = 0;
	LWLockAcquire(&arena->lock, LW_EXCLUSIVE);
	most = 3 * (uint64) (arena->end - arena->first) + wanted;
	for (int i = 0; i < STEPS_PER_HOLD && *passed < most && *block == 0; i++)
	{
		GovRef		at = arena->hand == arena->end ? arena->first : arena->hand;

		*passed += head_of(at)->size;
		arena->hand = at + head_of(at)->size;
		if (!head_of(at)->is_free && head_of(at)->is_offered)
		{
			pg_read_barrier();
			if (evict(at, arg))
				at = free_block(arena, at);
		}
		if (head_of(at)->is_free)
			arena->hand = at + head_of(at)->size;
		if (head_of(at)->is_free && head_of(at)->size >= wanted)
		{
			take_block(arena, at, wanted);
			arena->hand = at + wanted;
			*block = at;
		}
	}
	LWLockRelease(&arena->lock);
	return *passed < most || *block != 0;
}
