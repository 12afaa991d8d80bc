/*
 * evict.c
 *		Memory for nodes and counters, made free by eviction when it is short.
 *
 * PURPOSE
 *		The area has a fixed size.  When an allocation does not fit, a clock
 *		hand goes round the stripes, bucket by bucket, and takes out nodes that
 *		have not been used since it last came by, until the allocation fits or
 *		three rounds have found nothing to take.  It spares one more time what
 *		has ledger rows that are not rolled up (tail.c): whoever loads that again
 *		has to read them.
 *
 *		Besides, all of an owner that was deleted is taken out, for nobody will
 *		ask for it again; and those of its nodes that are ahead of the clock,
 *		when gov_reset_clock() says so (reset.c).
 *
 * LOCKING
 *		One stripe at a time, exclusive, for at most GOV_BUCKETS_PER_HOLD buckets.
 *		Nodes are unlinked under the lock and freed after it.  The caller holds
 *		no stripe.
 *
 * INVARIANTS
 *		A node that is being loaded, or one of whose counters is pinned, is
 *		never evicted: what it counts is not in the tables yet.  An orphan (a
 *		counter whose budget is gone) is freed once it has no pin, and the
 *		stripe's orphans_freed counts that (see gov_claim_install).
 */
#include "postgres.h"

#include "evict.h"
#include "fault.h"
#include "nodetable.h"
#include "tail.h"

typedef struct GovSweep
{
	bool		only_absent;	/* ids that are no entity */
	const GovOwnerKey *owner;	/* only his, also those just used; NULL: anybody's */
	bool		drains;			/* of them, only those ahead of a time */
	bool		is_first;		/* of the rounds of a drain */
	TimestampTz now;
	int			nleft;			/* that must drain first */
	dsa_pointer nodes;			/* unlinked, chained by next */
	dsa_pointer orphans;		/* unlinked, chained by next */
	uint32		evicted;
} GovSweep;

Size
gov_node_size(uint32 owner_length, uint32 id_length)
{
	return offsetof(GovSharedNode, key) + owner_length + id_length;
}

void
gov_node_free(dsa_pointer pointer, Size size)
{
	dsa_free(gov_shmem_memory(), pointer);
	pg_atomic_fetch_sub_u64(&gov_shared->memory_used, size);
}

/* Free a node's entity and the array of its counters, not the counters. */
void
gov_node_free_content(dsa_pointer entity, dsa_pointer counters)
{
	GovEntity  *block;

	if (!DsaPointerIsValid(entity))
		return;
	block = dsa_get_address(gov_shmem_memory(), entity);
	if (DsaPointerIsValid(counters))
		gov_node_free(counters, block->nbudgets * sizeof(dsa_pointer));
	gov_node_free(entity, block->size);
}

static bool
is_of_owner(const GovSharedNode *node, const GovOwnerKey *owner)
{
	return node->database == owner->database &&
		node->extension == owner->extension &&
		node->owner_length == owner->owner_length &&
		memcmp(node->key, owner->owner, owner->owner_length) == 0;
}

static bool
is_ahead(const GovSharedNode *node, TimestampTz now)
{
	uint32		nbudgets = 0;
	dsa_pointer pointer;

	if (DsaPointerIsValid(node->entity))
		nbudgets = gov_node_entity(node)->nbudgets;
	for (uint32 i = 0; i < nbudgets; i++)
	{
		if (gov_node_counter(node, i, &pointer)->window.start > now)
			return true;
	}
	return false;
}

/* Does the node have to drain?  Who was loading it may have given it another time. */
static bool
drain(GovSharedNode *node, const GovSweep *sweep)
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
		return is_of_owner(node, sweep->owner) && (!sweep->drains || drain(node, sweep));
	return is_absent || !sweep->only_absent;
}

/* Unlink the nodes of one bucket that may go. */
static void
sweep_bucket(GovSharedStripe *stripe, dsa_pointer *link, GovSweep *sweep)
{
	while (DsaPointerIsValid(*link))
	{
		dsa_pointer pointer = *link;
		GovSharedNode *node = dsa_get_address(gov_shmem_memory(), pointer);
		bool		is_absent = node->is_loaded && !DsaPointerIsValid(node->entity);

		if (!is_looked_for(node, is_absent, sweep))
		{
			link = &node->next;
			continue;
		}
		if (node->is_loading || gov_node_is_pinned(node) ||
			(node->was_used && sweep->owner == NULL))
		{
			node->was_used = node->was_spared = false;
			sweep->nleft++;
			link = &node->next;
			continue;
		}
		if (!node->was_spared && sweep->owner == NULL && gov_tail_has_rows(node))
		{
			node->was_spared = true;
			link = &node->next;
			continue;
		}
		*link = node->next;
		node->next = sweep->nodes;
		sweep->nodes = pointer;
		stripe->nnodes--;
		stripe->nabsent -= is_absent ? 1 : 0;
		if (DsaPointerIsValid(node->counters))
			stripe->owners[node->slot].unlinks++;
		gov_tail_lose_node(stripe, node);
		sweep->evicted++;
	}
}

static void
sweep_orphans(GovSharedStripe *stripe, GovSweep *sweep)
{
	dsa_pointer *link = &stripe->orphans;

	while (DsaPointerIsValid(*link))
	{
		dsa_pointer pointer = *link;
		GovSharedCounter *counter = dsa_get_address(gov_shmem_memory(), pointer);

		if (pg_atomic_read_u32(&counter->pins) > 0)
		{
			link = &counter->next;
			continue;
		}
		*link = counter->next;
		counter->next = sweep->orphans;
		sweep->orphans = pointer;
		stripe->orphans_freed++;
		gov_tail_lose_orphan(stripe, counter);
	}
}

/* Free what a sweep has unlinked; nobody else can reach it any more. */
static void
free_swept(GovSweep *sweep)
{
	dsa_area   *memory = gov_shmem_memory();

	while (DsaPointerIsValid(sweep->nodes))
	{
		GovSharedNode *node = dsa_get_address(memory, sweep->nodes);
		dsa_pointer next = node->next;
		uint32		nbudgets = 0;
		dsa_pointer pointer;

		if (DsaPointerIsValid(node->entity))
			nbudgets = gov_node_entity(node)->nbudgets;
		for (uint32 i = 0; i < nbudgets; i++)
		{
			gov_node_counter(node, i, &pointer);
			gov_node_free(pointer, sizeof(GovSharedCounter));
		}
		gov_node_free_content(node->entity, node->counters);
		gov_node_free(sweep->nodes, gov_node_size(node->owner_length, node->id_length));
		sweep->nodes = next;
	}
	while (DsaPointerIsValid(sweep->orphans))
	{
		GovSharedCounter *counter = dsa_get_address(memory, sweep->orphans);
		dsa_pointer next = counter->next;

		gov_node_free(sweep->orphans, sizeof(GovSharedCounter));
		sweep->orphans = next;
	}
	if (sweep->evicted > 0 && sweep->owner == NULL)
		pg_atomic_fetch_add_u64(&gov_shared->evictions, sweep->evicted);
}

/* Evict what may go from the next few buckets of a stripe. */
static uint32
sweep_some_buckets(GovSharedStripe *stripe, bool only_absent)
{
	GovSweep	sweep = {.only_absent = only_absent};
	uint32		nbuckets;

	gov_stripe_lock(stripe, LW_EXCLUSIVE);
	nbuckets = Min(GOV_BUCKETS_PER_HOLD, stripe->nbuckets);
	for (uint32 i = 0; i < nbuckets; i++)
	{
		stripe->sweep = (stripe->sweep + 1) % stripe->nbuckets;
		sweep_bucket(stripe, gov_nodetable_bucket_number(stripe, stripe->sweep),
					 &sweep);
	}
	sweep_orphans(stripe, &sweep);
	gov_stripe_unlock(stripe);
	free_swept(&sweep);
	return sweep.evicted;
}

/* Advance the hand until it has evicted something; false after three rounds. */
static bool
evict_some(void)
{
	uint32		number = pg_atomic_read_u32(&gov_shared->sweep_stripe) % GOV_STRIPES;

	for (int passed = 0; passed <= 3 * GOV_STRIPES; passed++)
	{
		GovSharedStripe *stripe = gov_stripe((number + passed) % GOV_STRIPES);
		uint32		nbuckets = stripe->nbuckets;	/* a stale value will do */

		for (uint32 done = 0; done < nbuckets; done += GOV_BUCKETS_PER_HOLD)
		{
			if (sweep_some_buckets(stripe, false) == 0)
				continue;
			pg_atomic_write_u32(&gov_shared->sweep_stripe, number + passed);
			return true;
		}
	}
	return false;
}

/* Allocate zeroed memory; invalid when it is full of what may not go. */
dsa_pointer
gov_node_allocate(Size size)
{
	dsa_pointer pointer;

	if (GOV_FAULT_IS_DUE(GOV_FAULT_CACHE))
		return InvalidDsaPointer;
	do
	{
		pointer = dsa_allocate_extended(gov_shmem_memory(), size,
										DSA_ALLOC_NO_OOM | DSA_ALLOC_ZERO);
	} while (!DsaPointerIsValid(pointer) && evict_some());

	if (DsaPointerIsValid(pointer))
		pg_atomic_fetch_add_u64(&gov_shared->memory_used, size);
	return pointer;
}

/* Go once round a stripe. */
static void
sweep_stripe(GovSharedStripe *stripe, bool only_absent)
{
	uint32		nbuckets = stripe->nbuckets;	/* a stale value will do */

	for (uint32 done = 0; done < nbuckets; done += GOV_BUCKETS_PER_HOLD)
		sweep_some_buckets(stripe, only_absent);
}

/* Make room among the ids that are no entity. */
void
gov_node_evict_absent(GovSharedStripe *stripe)
{
	sweep_stripe(stripe, true);
}

/*
 * Go once through an owner's nodes.  A bucket that is split meanwhile moves nodes
 * to one that is still to come.  Cannot fail.
 */
static void
sweep_owner(GovSweep *sweep)
{
	GovSharedStripe *stripe = gov_stripe(sweep->owner->stripe);
	uint32		bucket = 0;
	bool		is_done = false;

	while (!is_done)
	{
		gov_stripe_lock(stripe, LW_EXCLUSIVE);
		for (int i = 0; i < GOV_BUCKETS_PER_HOLD && bucket < stripe->nbuckets; i++)
			sweep_bucket(stripe, gov_nodetable_bucket_number(stripe, bucket++), sweep);
		is_done = bucket >= stripe->nbuckets;
		gov_stripe_unlock(stripe);
		free_swept(sweep);
	}
}

/* Drop what may go of one owner.  Called after commit. */
void
gov_node_evict_owner(const GovOwnerKey *key)
{
	GovSweep	sweep = {.owner = key};

	sweep_owner(&sweep);
}

/*
 * Drop what may go of an owner's nodes that are ahead of a time, and let those
 * that may not drain; how many are they?  To be called until there are none.
 */
int
gov_node_drain(const GovOwnerKey *key, TimestampTz now, bool is_first)
{
	GovSweep	sweep = {.owner = key, .drains = true, .now = now, .is_first = is_first};

	sweep_owner(&sweep);
	return sweep.nleft;
}

static void
forget_drain(dsa_pointer pointer, const GovOwnerKey *key)
{
	while (DsaPointerIsValid(pointer))
	{
		GovSharedNode *node = dsa_get_address(gov_shmem_memory(), pointer);

		if (is_of_owner(node, key))
			node->is_draining = false;
		pointer = node->next;
	}
}

/* Nothing of an owner drains any more.  Called after the fact: cannot fail. */
void
gov_node_end_drain(const GovOwnerKey *key)
{
	GovSharedStripe *stripe = gov_stripe(key->stripe);
	uint32		bucket = 0;
	bool		is_done = false;

	while (!is_done)
	{
		gov_stripe_lock(stripe, LW_EXCLUSIVE);
		for (int i = 0; i < GOV_BUCKETS_PER_HOLD && bucket < stripe->nbuckets; i++)
			forget_drain(*gov_nodetable_bucket_number(stripe, bucket++), key);
		is_done = bucket >= stripe->nbuckets;
		gov_stripe_unlock(stripe);
	}
	ConditionVariableBroadcast(&stripe->loaded);
}

/* Drop all that may go, of every database: the next calls load afresh. */
void
gov_node_evict_everything(void)
{
	for (int i = 0; i < GOV_STRIPES; i++)
	{
		/* the first round may only clear was_used, the second spare what has rows in the tail */
		sweep_stripe(gov_stripe(i), false);
		sweep_stripe(gov_stripe(i), false);
		sweep_stripe(gov_stripe(i), false);
	}
}
