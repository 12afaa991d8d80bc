/*
 * node_memory.c
 *		Memory for nodes, made free by eviction when it is short.
 *
 * PURPOSE
 *		The arena has a fixed size.  When an allocation does not fit, the arena's
 *		hand goes over the blocks as they lie in memory, and nodes are evicted
 *		that have not been used since it last came by, until what is free in one
 *		place is enough.  So an allocation evicts about as many bytes as it
 *		brings in, and never what lies elsewhere.  What has ledger rows that are
 *		not rolled up (tail.c) is spared one more time: whoever loads that again
 *		has to read them.
 *
 *		A node that is larger than others needs several neighbours at once, and
 *		one of them may be in use.  When twice its size has been evicted in vain,
 *		or SPARED_MAX nodes were spared, the hand takes what may be taken.  So an
 *		allocation ends soon and evicts three times its size at most, unless
 *		pinned nodes are in the way.
 *
 *		Nodes leave for other reasons too.  Those of an owner that was deleted
 *		go, because nobody will ask for them again; when gov_reset_clock() says
 *		so (reset.c), those of an owner that are ahead of the clock; and ids that
 *		are no entity make room for each other (node_claim.c).
 *
 * LOCKING
 *		The hand moves with the arena locked, and takes the lock of a node's
 *		stripe only if nobody has it: otherwise the node stays, and the stripe is
 *		waited for when the arena's lock is free again.  The others lock
 *		one stripe at a time, exclusive, for at most GOV_BUCKETS_PER_HOLD buckets;
 *		there nodes are unlinked under the lock and freed after it.  The caller
 *		has no stripe locked.
 *
 * INVARIANTS
 *		A node that is being loaded, or one of whose counters is pinned, is
 *		never evicted: what it counts is not in the tables yet.  That goes for
 *		the counters in its attic (node_block.c).
 */
#include "postgres.h"

#include "base/fault.h"
#include "cache/node_block.h"
#include "cache/node_memory.h"
#include "cache/node_table.h"
#include "cache/tail.h"

#define SPARED_MAX			128
#define ABSENT_AT_ONCE		2
#define WAITS_MAX			1000

/* The eviction of what is in the way of one allocation. */
typedef struct GovReclaim
{
	Size		size;			/* of the allocation */
	Size		freed;			/* bytes */
	uint32		nspared;		/* nodes that may go the next time */
	uint32		evicted;
	GovSharedStripe *busy;		/* one that somebody else had locked */
	GovRef		attics;			/* of evicted nodes: to be freed */
} GovReclaim;

typedef struct GovSweep
{
	bool		only_absent;	/* ids that are no entity */
	const GovOwnerKey *owner;	/* only his, even those just used; NULL:
								 * anybody's */
	bool		drains;			/* only those ahead of a time, of an owner */
	bool		is_first;		/* the first round of a drain */
	TimestampTz now;
	int			nleft;			/* nodes that could not go */
	uint32		most;			/* to evict while the lock is held once; 0:
								 * all */
	GovRef		nodes;			/* taken out of the table, linked by next */
	uint32		evicted;
} GovSweep;

static bool
is_ahead(const GovSharedNode *node, TimestampTz now)
{
	const GovEntity *entity = gov_node_entity(node);

	for (uint32 i = 0; i < (entity ? entity->nbudgets : 0); i++)
	{
		if (gov_node_counter(node, i)->window.start > now)
			return true;
	}
	return false;
}

/*
 * Mark a node that has to drain, and say whether it has: it is ahead of the
 * clock, or somebody is loading it who may have read the clock before it was
 * set back.
 */
static bool
drain_node(GovSharedNode *node, const GovSweep *sweep)
{
	node->is_draining = is_ahead(node, sweep->now) ||
		(node->is_loading && (sweep->is_first || node->is_draining));
	return node->is_draining;
}

/* Is it one of those that the sweep is for? */
static bool
is_looked_for(GovSharedNode *node, bool is_absent, const GovSweep *sweep)
{
	if (sweep->owner != NULL)
		return gov_node_is_of_owner(node, sweep->owner) && (!sweep->drains || drain_node(node, sweep));
	return is_absent || !sweep->only_absent;
}

static bool
may_go(const GovSharedNode *node)
{
	return !node->is_loading && !gov_node_is_pinned(node);
}

/* Take a node out of its table.  Then it is the caller's alone. */
static void
unlink_node(GovSharedStripe *stripe, GovRef *link)
{
	GovRef		ref = *link;
	GovSharedNode *node = gov_address(ref);

	Assert(LWLockHeldByMeInMode(&stripe->lock, LW_EXCLUSIVE));
	Assert(may_go(node));
	Assert(stripe->nnodes > 0 && stripe->nabsent <= stripe->nnodes);
	*link = node->next;
	gov_arena_offer(ref, false);
	stripe->nnodes--;
	stripe->nabsent -= node->is_loaded && node->is_absent;
	if (gov_node_content(node)->nbudgets > 0)
		stripe->owners[node->slot].unlinks++;
	gov_tail_lose_node(stripe, node);
}

/*
 * Is the node to be spared this time, because it was used lately or has rows
 * in the tail?  It will not be spared for the same reason the next time.
 */
static bool
spare_node(GovSharedNode *node)
{
	if (node->was_used)
	{
		node->was_used = node->was_spared = false;
		return true;
	}
	if (node->was_spared || !gov_tail_has_rows(node))
		return false;
	node->was_spared = true;
	return true;
}

/* Unlink the nodes of one bucket that may go. */
static void
sweep_bucket(GovSharedStripe *stripe, GovRef *link, void *arg)
{
	GovSweep   *sweep = arg;

	while (*link != 0)
	{
		GovRef		ref = *link;
		GovSharedNode *node = gov_address(ref);
		bool		is_absent = node->is_loaded && node->is_absent;

		if (!is_looked_for(node, is_absent, sweep))
		{
			link = &node->next;
			continue;
		}
		if (!may_go(node) || (sweep->owner == NULL && spare_node(node)) ||
			(sweep->most > 0 && sweep->evicted >= sweep->most))
		{
			node->was_used = false;
			sweep->nleft++;
			link = &node->next;
			continue;
		}
		unlink_node(stripe, link);
		node->next = sweep->nodes;
		sweep->nodes = ref;
		sweep->evicted++;
	}
}

/* Free what a sweep has unlinked; nobody else can reach it any more. */
static void
free_swept(GovSweep *sweep)
{
	while (sweep->nodes != 0)
	{
		GovRef		ref = sweep->nodes;

		sweep->nodes = ((GovSharedNode *) gov_address(ref))->next;
		gov_node_block_free(ref);
	}
	if (sweep->evicted > 0 && sweep->owner == NULL)
		pg_atomic_fetch_add_u64(&gov_shared->evictions, sweep->evicted);
	sweep->evicted = 0;
}

/*
 * Remember the blocks in a node's attic, to be freed later.  The arena frees
 * the node's own block.
 */
static void
put_attic_aside(GovSharedNode *node, GovReclaim *reclaim)
{
	GovRef	   *link = &node->attic;

	while (*link != 0)
		link = &((GovSharedNode *) gov_address(*link))->attic;
	*link = reclaim->attics;
	reclaim->attics = node->attic;
}

/* Evict the node that a block is, if it may go. */
static bool
evict_node(GovRef ref, void *arg)
{
	GovReclaim *reclaim = arg;
	GovSharedNode *node = gov_address(ref);
	GovSharedStripe *stripe = gov_stripe(node->stripe);
	bool		goes;

	if (!gov_stripe_lock_if_free(stripe))
	{
		reclaim->busy = stripe;
		return false;
	}
	goes = gov_arena_is_offered(ref) && may_go(node);
	if (goes && reclaim->nspared < SPARED_MAX && reclaim->freed <= 2 * reclaim->size &&
		spare_node(node))
	{
		goes = false;
		reclaim->nspared++;
	}
	if (goes)
	{
		unlink_node(stripe, gov_node_table_link(stripe, ref));
		gov_node_table_shrink(stripe);
	}
	gov_stripe_unlock(stripe);
	if (!goes)
		return false;

	/* nobody else can reach it any more */
	gov_node_block_give_names(node);
	put_attic_aside(node, reclaim);
	reclaim->evicted++;
	reclaim->freed += gov_arena_size_of(ref);
	return true;
}

/* Wait until whoever has the stripe's lock lets go of it. */
static void
wait_for(GovSharedStripe *stripe)
{
	gov_stripe_lock(stripe, LW_EXCLUSIVE);
	gov_stripe_unlock(stripe);
}

/*
 * Evict until there is room for a block, and allocate it; 0 when nothing more
 * can be evicted.  The nodes of a stripe that is locked are passed over, and
 * they may be all that there are: so that part of the way does not count.
 */
static GovRef
evict_for(Size size)
{
	GovReclaim	reclaim = {.size = size};
	uint64		passed = 0;
	GovRef		block = 0;
	int			nwaits = 0;
	bool		has_more = true;

	while (has_more && block == 0)
	{
		uint64		before = passed;

		reclaim.busy = NULL;
		has_more = gov_arena_reclaim(&gov_shared->arena, size, evict_node, &reclaim, &passed, &block);
		if (block == 0 && reclaim.busy != NULL && nwaits++ < WAITS_MAX)
		{
			wait_for(reclaim.busy);
			passed = before;
			has_more = true;
		}
	}
	gov_node_block_free(reclaim.attics);
	if (reclaim.evicted > 0)
		pg_atomic_fetch_add_u64(&gov_shared->evictions, reclaim.evicted);
	return block;
}

/* Allocate memory; 0 when it is full of what may not go. */
GovRef
gov_node_allocate(Size size)
{
	GovRef		block;

	Assert(!gov_stripe_is_held());
	if (size > gov_shared->memory_size || GOV_FAULT_IS_DUE(GOV_FAULT_CACHE))
		return 0;
	block = gov_arena_allocate(&gov_shared->arena, size);
	return block != 0 ? block : evict_for(size);
}

void
gov_node_free(GovRef block)
{
	Assert(!gov_stripe_is_held());
	gov_arena_free(&gov_shared->arena, block);
}

/* Evict ids that are no entity from the next few buckets of a stripe. */
static uint32
sweep_absent(GovSharedStripe *stripe)
{
	GovSweep	sweep = {.only_absent = true, .most = ABSENT_AT_ONCE};
	uint32		evicted;

	gov_stripe_lock(stripe, LW_EXCLUSIVE);
	for (int i = 0; i < GOV_BUCKETS_PER_HOLD && sweep.evicted < sweep.most; i++)
	{
		stripe->sweep = (stripe->sweep + 1) % stripe->nbuckets;
		sweep_bucket(stripe, gov_node_table_bucket_number(stripe, stripe->sweep), &sweep);
	}
	gov_node_table_shrink(stripe);
	gov_stripe_unlock(stripe);
	evicted = sweep.evicted;
	free_swept(&sweep);
	return evicted;
}

/* Make room among the ids that are no entity: for the next one, and a little more. */
void
gov_node_evict_absent(GovSharedStripe *stripe)
{
	uint32		nbuckets = 2 * stripe->nbuckets;	/* a stale value will do */

	for (uint32 done = 0; done < nbuckets; done += GOV_BUCKETS_PER_HOLD)
	{
		if (sweep_absent(stripe) > 0)
			return;
	}
}

/* Go once through the nodes of a stripe.  Cannot fail. */
static void
sweep_stripe(GovSharedStripe *stripe, GovSweep *sweep)
{
	uint32		next = 0;
	bool		has_more = true;

	while (has_more)
	{
		has_more = gov_node_table_walk(stripe, &next, sweep_bucket, sweep);
		free_swept(sweep);
	}
}

/* Give back the buckets of what was swept. */
static void
shrink_table(GovSharedStripe *stripe)
{
	bool		has_more = true;

	while (has_more)
	{
		gov_stripe_lock(stripe, LW_EXCLUSIVE);
		has_more = gov_node_table_shrink(stripe);
		gov_stripe_unlock(stripe);
	}
}

static void
sweep_owner(GovSweep *sweep)
{
	GovSharedStripe *stripe = gov_stripe(sweep->owner->stripe);

	sweep_stripe(stripe, sweep);
	shrink_table(stripe);
}

/* Drop the nodes of one owner, but for those in use.  Called after commit. */
void
gov_node_evict_owner(const GovOwnerKey *key)
{
	GovSweep	sweep = {.owner = key};

	sweep_owner(&sweep);
}

/*
 * Drop those of an owner's nodes that are ahead of a time.  Those in use
 * drain; returns how many these are.  To be called until there are none.
 */
int
gov_node_drain(const GovOwnerKey *key, TimestampTz now, bool is_first)
{
	GovSweep	sweep = {.owner = key, .drains = true, .now = now, .is_first = is_first};

	sweep_owner(&sweep);
	return sweep.nleft;
}

/* The nodes of an owner in a bucket do not drain any more. */
static void
end_drain_in_bucket(GovSharedStripe *stripe, GovRef *bucket, void *arg)
{
	const GovOwnerKey *key = arg;

	for (GovRef ref = *bucket; ref != 0;)
	{
		GovSharedNode *node = gov_address(ref);

		if (gov_node_is_of_owner(node, key))
			node->is_draining = false;
		ref = node->next;
	}
}

/* No node of an owner drains any more; those who waited go on.  Cannot fail. */
void
gov_node_end_drain(const GovOwnerKey *key)
{
	GovSharedStripe *stripe = gov_stripe(key->stripe);
	uint32		next = 0;

	while (gov_node_table_walk(stripe, &next, end_drain_in_bucket, unconstify(GovOwnerKey *, key)))
		;
	ConditionVariableBroadcast(&stripe->loaded);
}

/* Drop all that may go, of every database: the next calls load afresh. */
void
gov_node_evict_everything(void)
{
	for (int i = 0; i < GOV_STRIPES; i++)
	{
		GovSweep	sweep = {0};

		/*
		 * the first round may only clear was_used, the second spare what has
		 * rows in the tail
		 */
		sweep_stripe(gov_stripe(i), &sweep);
		sweep_stripe(gov_stripe(i), &sweep);
		sweep_stripe(gov_stripe(i), &sweep);
		shrink_table(gov_stripe(i));
	}
}
