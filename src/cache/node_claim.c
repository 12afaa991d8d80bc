/*
 * node_claim.c
 *		One backend loads a node; the others wait for it.
 *
 * PURPOSE
 *		Between gov_node_claim() and gov_node_claim_install() a backend reads the
 *		tables for a node.  A claim is not a lock but a flag that others wait
 *		for, so that no lock is held meanwhile.  A backend that holds claims
 *		waits for nobody.
 *
 * LOCKING
 *		The stripe's lock, for the moment that it takes to set the flag or to
 *		swap in what was read.  Memory is allocated before and freed after.
 *
 * INVARIANTS
 *		A counter with pins is not freed, and what its transactions have in
 *		flight, which is in no table, stays in it.  Counters are found again
 *		by their budget when budgets are loaded anew, even if it was gone in
 *		between (node_block.c); one that has got another id starts its usage afresh
 *		and keeps its holds.
 *
 * FAILURE
 *		gov_node_claim_abandon() undoes a claim and cannot fail; it is called when
 *		the transaction of a load aborts (load.c).
 */
#include "postgres.h"

#include "miscadmin.h"

#include "cache/node_block.h"
#include "cache/node_claim.h"
#include "cache/node_memory.h"
#include "cache/node_table.h"
#include "cache/own_nodes.h"
#include "cache/tail.h"

/*
 * Ids that are no entity may take a quarter of a stripe's nodes, and always
 * this many.  That is more than the 1,000 that one call may name, so that a
 * call does not evict what it is about to use.
 */
#define GOV_ABSENT_PER_STRIPE_MIN	2048

/*
 * Claim a node that is neither fresh nor claimed.  The stripe is locked,
 * exclusive.
 */
static GovNodeStatus
claim_locked(const GovOwnerKey *key, GovRef ref, const GovFreshness *since, GovClaim *claim)
{
	GovSharedStripe *stripe = gov_stripe(key->stripe);
	GovSharedNode *node = gov_address(ref);
	GovNodeStatus status = gov_node_status(node, since);

	Assert(LWLockHeldByMeInMode(&stripe->lock, LW_EXCLUSIVE));
	if (status != GOV_NODE_MISSING)
		return status;
	node->is_loading = true;
	node->is_stale = false;
	claim->node = ref;
	claim->key = key;
	claim->stripe = stripe;
	claim->changes = stripe->changes;
	claim->was_pinned = gov_node_is_pinned(node);
	claim->is_void = gov_node_is_own(node) && !claim->was_pinned &&
		node->generation != gov_own_nodes_generation();
	claim->generation = pg_atomic_read_u64(gov_shmem_generation(node->database));
	return GOV_NODE_MISSING;
}

/*
 * Claim the node of an id for loading, and make the node if there is none.
 * GOV_NODE_MISSING says that the claim is ours.  READY and LOADING say that
 * somebody else has loaded the node, or is loading it; FULL, that there is no
 * memory.
 */
GovNodeStatus
gov_node_claim(const GovOwnerKey *key, const char *id, uint32 id_length,
			   const GovFreshness *since, GovClaim *claim)
{
	GovSharedStripe *stripe = gov_stripe(key->stripe);
	GovNodeStatus status = GOV_NODE_FULL;
	GovRef		made = gov_node_block_make_empty(key, id, id_length);
	GovRef		ref;

	gov_stripe_lock(stripe, LW_EXCLUSIVE);
	ref = gov_node_find_ref(key, id, id_length);
	if (ref == 0 && made != 0)
	{
		gov_node_table_insert(stripe, made);
		gov_arena_offer(made, true);
		ref = made;
		made = 0;
	}
	if (ref != 0)
		status = claim_locked(key, ref, since, claim);
	gov_stripe_unlock(stripe);

	if (made != 0)
		gov_node_block_free(made);
	return status;
}

static GovSharedNode *
claimed_node(const GovClaim *claim)
{
	GovSharedNode *node = gov_address(claim->node);

	Assert(LWLockHeldByMe(&claim->stripe->lock));
	Assert(node->is_loading);
	return node;
}

/*
 * Has the claimed node a counter of the budget that it will keep, so that it
 * need not be loaded?  Not one whose window was over at last_end.  *start is when the
 * window begins of one that is kept.
 */
GovKept
gov_node_claim_has_counter(const GovClaim *claim, const GovEntity *entity, uint32 b,
						   TimestampTz now, TimestampTz last_end, TimestampTz *start)
{
	const GovBudget *budget = &entity->budgets[b];
	GovSharedNode *node;
	uint32		number;
	GovKept		result = GOV_KEPT_NOT;

	gov_stripe_lock(claim->stripe, LW_SHARED);
	node = claimed_node(claim);
	if (gov_node_find_budget(node, &budget->id, b, &number))
	{
		const GovSharedCounter *counter = gov_node_counter(node, number);
		const GovEntity *former = gov_node_content(node);

		*start = counter->window.start;
		if (counter->id == budget->counter_id)
			result = gov_counter_must_load(counter, now) || claim->is_void ||
				counter->window.end < last_end ||
				(gov_budget_slides(budget) && counter->ring == 0) ||
				!gov_entity_same_windows(entity, budget, former, &former->budgets[number]) ?
				GOV_KEPT_TO_RENEW : GOV_KEPT;
	}
	else if ((node->is_absent || node->attic != 0) && gov_tail_has_rows(node))
		result = GOV_KEPT_TO_RENEW; /* it may have been, with more of a later
									 * window */
	gov_stripe_unlock(claim->stripe);
	return result;
}

/*
 * A copy of what the claimed node says, but for its outer strings; NULL unless
 * it has templates.  And which of its budgets have something in flight: others
 * may not, until it is installed.
 */
GovEntity *
gov_node_claim_copy(const GovClaim *claim, const bool **has_pins)
{
	GovEntity  *copy = NULL;
	bool	   *pins = NULL;
	Size		capacity = 0;

	for (;;)
	{
		const GovEntity *entity;
		Size		size;

		gov_stripe_lock(claim->stripe, LW_SHARED);
		entity = gov_node_content(claimed_node(claim));
		size = entity->has_templates ? entity->size : 0;
		if (size > 0 && size <= capacity)
		{
			memcpy(copy, entity, size);
			for (uint32 i = 0; i < entity->nbudgets; i++)
				pins[i] = pg_atomic_read_u32(&gov_node_counter(claimed_node(claim), i)->pins) > 0;
		}
		gov_stripe_unlock(claim->stripe);
		*has_pins = pins;
		if (size <= capacity)
			return size == 0 ? NULL : copy;
		copy = palloc(size);
		pins = palloc(size);	/* more than one for each budget */
		capacity = size;
	}
}

static void
make_room_for_absent(GovSharedStripe *stripe)
{
	if (stripe->nabsent >= GOV_ABSENT_PER_STRIPE_MIN &&
		stripe->nabsent >= stripe->nnodes / 4)
		gov_node_evict_absent(stripe);
}

#ifdef USE_ASSERT_CHECKING
/* Has every budget of the node a counter of its own, which is as it must be? */
static bool
has_sound_counters(const GovSharedNode *node)
{
	const GovEntity *entity = gov_node_entity(node);

	for (uint32 i = 0; i < (entity ? entity->nbudgets : 0); i++)
	{
		const GovSharedCounter *counter = gov_node_counter(node, i);

		if (counter->id != entity->budgets[i].counter_id || !gov_counter_is_sound(counter))
			return false;
	}
	return true;
}
#endif

/* What was read is now what the node says.  Ends the claim. */
static void
finish_claim(GovClaim *claim, GovSharedNode *node, bool was_absent)
{
	Assert(LWLockHeldByMeInMode(&claim->stripe->lock, LW_EXCLUSIVE));
	Assert(claim->changes <= claim->stripe->changes);
	Assert(claim->stripe->nabsent <= claim->stripe->nnodes);
	Assert(has_sound_counters(node));
	claim->stripe->owners[node->slot].installs++;
	claim->stripe->nabsent += node->is_absent - was_absent;
	node->loaded_changes = claim->changes;
	node->generation = claim->generation;
	node->is_loaded = true;
	node->is_loading = false;
	node->was_used = true;
}

/*
 * Let a block take the place of the claimed node; returns the former blocks
 * that are to be freed.
 */
static GovRef
replace_claimed(GovClaim *claim, GovRef made)
{
	GovSharedNode *former = claimed_node(claim);
	GovSharedNode *node = gov_address(made);
	GovRef		unneeded;
	bool		was_absent = former->is_loaded && former->is_absent;

	Assert(former->loaded_changes <= claim->changes);
	Assert(node->hash == former->hash && gov_node_is_of_owner(node, claim->key));
	*gov_node_table_link(claim->stripe, claim->node) = made;
	node->next = former->next;
	node->is_stale = former->is_stale;
	node->is_draining = former->is_draining;
	gov_arena_offer(claim->node, false);
	gov_arena_offer(made, true);
	if (gov_node_content(former)->nbudgets > 0)
		claim->stripe->owners[node->slot].unlinks++;
	unneeded = gov_node_block_carry_over(claim, node);
	finish_claim(claim, node, was_absent);
	return unneeded;
}

/*
 * Note that the id is no entity.  The block keeps what it said before, because
 * the counters may be pinned.
 */
static void
make_absent(GovClaim *claim)
{
	GovSharedNode *node = claimed_node(claim);
	bool		was_absent = node->is_loaded && node->is_absent;

	if (!node->is_absent && gov_node_content(node)->nbudgets > 0)
		claim->stripe->owners[node->slot].unlinks++;
	node->is_absent = true;
	finish_claim(claim, node, was_absent);
}

/*
 * Install what was loaded for a claimed node: an entity with a counter for
 * each budget, or NULL for an id that is no entity.  Counters that the node
 * keeps are ignored.  Ends the claim, unless there is no room: then false.
 */
bool
gov_node_claim_install(GovClaim *claim, const GovEntity *entity,
					   const GovSharedCounter *loaded)
{
	GovSharedStripe *stripe = claim->stripe;
	GovRef		made = 0;
	GovRef		unneeded = 0;

	Assert(claim->node != 0);
	if (entity == NULL)
		make_room_for_absent(stripe);
	else if ((made = gov_node_block_make(claim->key, entity, loaded)) == 0)
		return false;

	gov_stripe_lock(stripe, LW_EXCLUSIVE);
	START_CRIT_SECTION();
	if (entity == NULL)
		make_absent(claim);
	else
		unneeded = replace_claimed(claim, made);
	END_CRIT_SECTION();
	gov_stripe_unlock(stripe);

	gov_node_block_free(unneeded);
	claim->node = 0;
	ConditionVariableBroadcast(&stripe->loaded);
	pg_atomic_fetch_add_u64(&gov_shared->loads, 1);
	return true;
}

/* Give a claim up.  The node says what it said before, but is stale. */
void
gov_node_claim_abandon(GovClaim *claim)
{
	if (claim->node == 0)
		return;
	gov_stripe_lock(claim->stripe, LW_EXCLUSIVE);
	claimed_node(claim)->is_stale = true;
	claimed_node(claim)->is_loading = false;
	gov_stripe_unlock(claim->stripe);
	claim->node = 0;
	ConditionVariableBroadcast(&claim->stripe->loaded);
}
