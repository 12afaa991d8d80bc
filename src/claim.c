/*
 * claim.c
 *		One backend loads a node; the others wait for it.
 *
 * PURPOSE
 *		Between gov_node_claim() and gov_claim_install() a backend reads the
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
 *		by their budget when budgets are loaded anew, among the orphans too;
 *		one that has got another id starts its usage afresh and keeps its
 *		holds.
 *
 * FAILURE
 *		gov_claim_abandon() undoes a claim and cannot fail; it is called when
 *		the transaction of a load aborts (load.c).
 */
#include "postgres.h"

#include "miscadmin.h"

#include "claim.h"
#include "evict.h"
#include "nodetable.h"
#include "tail.h"
#include "threshold.h"

/*
 * Ids that are no entity may take a quarter of a stripe's nodes, or so many;
 * more than the 1,000 that one call may name, so that a call does not evict
 * what it is about to use.
 */
#define GOV_ABSENT_PER_STRIPE_MIN	2048

/* Make the table ready for one more node; to be looked at again under the lock. */
static void
grow_table(GovSharedStripe *stripe)
{
	Size		size = 0;
	Size		wanted;
	dsa_pointer segment;

	gov_stripe_lock(stripe, LW_SHARED);
	if (!gov_nodetable_wants_segment(stripe, &size))
		size = 0;
	gov_stripe_unlock(stripe);
	if (size == 0)
		return;

	segment = gov_node_allocate(size);
	if (!DsaPointerIsValid(segment))
		return;

	/* others may have added this one, and want the next, larger one by now */
	gov_stripe_lock(stripe, LW_EXCLUSIVE);
	if (gov_nodetable_wants_segment(stripe, &wanted) && wanted == size)
	{
		gov_nodetable_add_segment(stripe, segment);
		segment = InvalidDsaPointer;
	}
	gov_stripe_unlock(stripe);
	if (DsaPointerIsValid(segment))
		gov_node_free(segment, size);
}

/* An empty node, not linked anywhere yet; invalid when there is no room. */
static dsa_pointer
make_node(const GovOwnerKey *key, const char *id, uint32 id_length)
{
	dsa_pointer pointer = gov_node_allocate(gov_node_size(key->owner_length, id_length));
	GovSharedNode *node;

	if (!DsaPointerIsValid(pointer))
		return pointer;
	node = dsa_get_address(gov_shmem_memory(), pointer);
	node->entity = InvalidDsaPointer;
	node->counters = InvalidDsaPointer;
	node->hash = gov_node_hash(key, id, id_length);
	node->database = key->database;
	node->extension = key->extension;
	node->owner_length = key->owner_length;
	node->id_length = id_length;
	node->slot = key->slot;
	memcpy(node->key, key->owner, key->owner_length);
	memcpy(node->key + key->owner_length, id, id_length);
	return pointer;
}

/* Under the lock: claim the node if it is there and nobody else has. */
static GovNodeStatus
claim_locked(GovSharedStripe *stripe, dsa_pointer pointer,
			 const GovFreshness *since, GovClaim *claim)
{
	GovSharedNode *node = dsa_get_address(gov_shmem_memory(), pointer);
	GovNodeStatus status = gov_node_status(node, since);

	if (status != GOV_NODE_MISSING)
		return status;
	node->is_loading = true;
	claim->node = pointer;
	claim->stripe = stripe;
	claim->changes = stripe->changes;
	claim->orphans_freed = stripe->orphans_freed;
	claim->was_pinned = gov_node_is_pinned(node);
	claim->generation = pg_atomic_read_u64(gov_shmem_generation(node->database));
	return GOV_NODE_MISSING;
}

/*
 * Claim a node for loading, made if it is not there.  GOV_NODE_MISSING says
 * that the claim is ours; otherwise somebody else has loaded it or is.
 */
GovNodeStatus
gov_node_claim(const GovOwnerKey *key, const char *id, uint32 id_length,
			   const GovFreshness *since, GovClaim *claim)
{
	GovSharedStripe *stripe = gov_stripe(key->stripe);
	GovNodeStatus status = GOV_NODE_FULL;
	dsa_pointer made;
	dsa_pointer pointer;

	grow_table(stripe);
	made = make_node(key, id, id_length);

	gov_stripe_lock(stripe, LW_EXCLUSIVE);
	pointer = gov_node_find_pointer(key, id, id_length);
	if (!DsaPointerIsValid(pointer) && DsaPointerIsValid(made) &&
		stripe->nbuckets > 0)
	{
		gov_nodetable_insert(stripe, made);
		pointer = made;
		made = InvalidDsaPointer;
	}
	if (DsaPointerIsValid(pointer))
		status = claim_locked(stripe, pointer, since, claim);
	gov_stripe_unlock(stripe);

	if (DsaPointerIsValid(made))
		gov_node_free(made, gov_node_size(key->owner_length, id_length));
	return status;
}

static GovSharedNode *
claimed_node(const GovClaim *claim)
{
	GovSharedNode *node = dsa_get_address(gov_shmem_memory(), claim->node);

	Assert(node->is_loading);
	return node;
}

/* Is the budget's counter kept from before, so that it need not be loaded? */
GovKept
gov_claim_has_counter(const GovClaim *claim, const GovBudget *budget, uint32 guess,
					  TimestampTz now)
{
	GovSharedNode *node;
	uint32		number;
	dsa_pointer pointer;
	GovKept		result = GOV_KEPT_NOT;

	gov_stripe_lock(claim->stripe, LW_SHARED);
	node = claimed_node(claim);
	if (gov_node_find_budget(node, &budget->id, guess, &number))
	{
		const GovSharedCounter *counter = gov_node_counter(node, number, &pointer);

		if (counter->id == budget->counter_id)
			result = gov_counter_must_load(counter, now) ? GOV_KEPT_TO_RENEW : GOV_KEPT;
	}
	gov_stripe_unlock(claim->stripe);
	return result;
}

/* Take an orphan back, because its budget has come back. */
static dsa_pointer
adopt_orphan(GovSharedStripe *stripe, const GovSharedNode *node, const pg_uuid_t *budget_id)
{
	dsa_pointer *link = &stripe->orphans;

	while (DsaPointerIsValid(*link))
	{
		dsa_pointer pointer = *link;
		GovSharedCounter *counter = dsa_get_address(gov_shmem_memory(), pointer);

		if (counter->database == node->database &&
			counter->extension == node->extension &&
			gov_uuid_is(&counter->budget_id, budget_id))
		{
			*link = counter->next;
			return pointer;
		}
		link = &counter->next;
	}
	return InvalidDsaPointer;
}

/*
 * A counter that stays is given the loaded id and window if it has another id:
 * the budget's usage starts afresh, its holds go on.  What was loaded of them
 * is exact if nobody had any in flight, for nobody can since the claim.
 *
 * And if it was loaded for a later window (gov_counter_must_load).  Nobody has
 * usage of that in flight: who had when the counter went back to an earlier one
 * has ended, because only a counter without pins leaves memory.
 */
static void
renew_counter(dsa_pointer kept, dsa_pointer loaded, bool was_pinned)
{
	GovSharedCounter *counter = dsa_get_address(gov_shmem_memory(), kept);
	const GovSharedCounter *anew = dsa_get_address(gov_shmem_memory(), loaded);
	bool		is_other = counter->id != anew->id;

	counter->alert_at = anew->alert_at;
	if (!is_other && anew->window.start <= counter->window.start)
		return;
	counter->id = anew->id;
	counter->window = anew->window;
	counter->recorded_start = anew->recorded_start;
	counter->total = anew->total;
	counter->covered = 0;
	counter->settled = anew->settled;
	counter->last_event = Max(counter->last_event, anew->last_event);
	if (is_other && !was_pinned)
		counter->held = anew->held;
}

/*
 * Choose a counter for each new budget: the one at hand, or the loaded one,
 * which stands in counters[].  What is not used is left for the caller to free:
 * old counters that have no budget any more in the node's own array, unless
 * they are pinned and become orphans, and loaded ones in spare[].
 */
static void
match_counters(const GovClaim *claim, GovSharedNode *node,
			   const GovEntity *entity, dsa_pointer *counters, dsa_pointer *spare)
{
	GovSharedStripe *stripe = claim->stripe;
	GovEntity  *old = gov_node_entity(node);
	dsa_pointer *old_counters = old && old->nbudgets > 0 ?
		dsa_get_address(gov_shmem_memory(), node->counters) : NULL;

	for (uint32 i = 0; i < (entity ? entity->nbudgets : 0); i++)
	{
		dsa_pointer kept = InvalidDsaPointer;
		bool		was_pinned = claim->was_pinned;
		uint32		budget;

		if (gov_node_find_budget(node, &entity->budgets[i].id, i, &budget))
		{
			kept = old_counters[budget];
			old_counters[budget] = InvalidDsaPointer;
		}
		else
		{
			kept = adopt_orphan(stripe, node, &entity->budgets[i].id);
			was_pinned = true;
		}
		if (DsaPointerIsValid(kept))
		{
			renew_counter(kept, counters[i], was_pinned);
			spare[i] = counters[i];
			counters[i] = kept;
		}
	}
	for (uint32 i = 0; i < (old ? old->nbudgets : 0); i++)
	{
		GovSharedCounter *counter;

		if (!DsaPointerIsValid(old_counters[i]))
			continue;
		stripe->owners[node->slot].unlinks++;
		counter = dsa_get_address(gov_shmem_memory(), old_counters[i]);
		if (pg_atomic_read_u32(&counter->pins) == 0)
		{
			gov_tail_lose_orphan(stripe, counter);
			continue;
		}
		counter->next = stripe->orphans;
		stripe->orphans = old_counters[i];
		old_counters[i] = InvalidDsaPointer;
	}
}

static void
free_counters(const dsa_pointer *counters, uint32 ncounters)
{
	for (uint32 i = 0; i < ncounters; i++)
	{
		if (DsaPointerIsValid(counters[i]))
			gov_node_free(counters[i], sizeof(GovSharedCounter));
	}
}

/* Free a node's former content, with the counters left in its array. */
static void
free_replaced(dsa_pointer entity, dsa_pointer counters)
{
	GovEntity  *old;

	if (!DsaPointerIsValid(entity))
		return;
	old = dsa_get_address(gov_shmem_memory(), entity);
	if (DsaPointerIsValid(counters))
		free_counters(dsa_get_address(gov_shmem_memory(), counters), old->nbudgets);
	gov_node_free_content(entity, counters);
}

static void
make_room_for_absent(GovSharedStripe *stripe)
{
	if (stripe->nabsent >= GOV_ABSENT_PER_STRIPE_MIN &&
		stripe->nabsent >= stripe->nnodes / 4)
		gov_node_evict_absent(stripe);
}

/* Copies in shared memory of what was loaded; false when there is no room. */
static bool
copy_to_shared(const GovSharedNode *node, const GovEntity *entity,
			   const GovSharedCounter *loaded, dsa_pointer *block, dsa_pointer *array)
{
	dsa_pointer *counters;

	*array = InvalidDsaPointer;
	*block = gov_node_allocate(entity->size);
	if (!DsaPointerIsValid(*block))
		return false;
	memcpy(dsa_get_address(gov_shmem_memory(), *block), entity, entity->size);
	if (entity->nbudgets == 0)
		return true;

	*array = gov_node_allocate(entity->nbudgets * sizeof(dsa_pointer));
	if (!DsaPointerIsValid(*array))
		return false;
	counters = dsa_get_address(gov_shmem_memory(), *array);
	for (uint32 i = 0; i < entity->nbudgets; i++)
	{
		GovSharedCounter *counter;

		counters[i] = gov_node_allocate(sizeof(GovSharedCounter));
		if (!DsaPointerIsValid(counters[i]))
			return false;
		counter = dsa_get_address(gov_shmem_memory(), counters[i]);
		memcpy(counter, &loaded[i], sizeof(GovSharedCounter));
		counter->database = node->database;
		counter->extension = node->extension;
		counter->budget_id = entity->budgets[i].id;
		counter->alert_at = gov_threshold_above(entity, &entity->budgets[i], 0);
		pg_atomic_init_u32(&counter->pins, 0);
	}
	return true;
}

/* Put new content into the claimed node; what it replaces goes to old_*. */
static void
swap_content(GovClaim *claim, const GovEntity *entity,
			 dsa_pointer *block, dsa_pointer *array, dsa_pointer *spare)
{
	GovSharedNode *node = claimed_node(claim);
	dsa_pointer old_block = node->entity;
	dsa_pointer old_array = node->counters;
	bool		was_absent = node->is_loaded && !DsaPointerIsValid(old_block);

	match_counters(claim, node, entity,
				   DsaPointerIsValid(*array) ?
				   dsa_get_address(gov_shmem_memory(), *array) : NULL, spare);
	claim->stripe->owners[node->slot].installs++;
	node->entity = *block;
	node->counters = *array;
	node->loaded_changes = claim->changes;
	node->generation = claim->generation;
	node->is_loaded = true;
	node->is_loading = false;
	node->was_used = true;
	claim->stripe->nabsent += (entity == NULL) - was_absent;
	*block = old_block;
	*array = old_array;
}

/*
 * Install what was loaded for a claimed node: an entity with a counter for each
 * budget (those that the claim had already are not looked at), or NULL for an
 * id that is no entity.  GOV_INSTALL_DONE ends the claim.
 */
GovInstall
gov_claim_install(GovClaim *claim, const GovEntity *entity,
				  const GovSharedCounter *loaded)
{
	GovSharedStripe *stripe = claim->stripe;
	dsa_pointer block = InvalidDsaPointer;
	dsa_pointer array = InvalidDsaPointer;
	dsa_pointer *spare = NULL;
	bool		is_current;

	if (entity == NULL)
		make_room_for_absent(stripe);
	else
	{
		spare = palloc0(sizeof(dsa_pointer) * Max(entity->nbudgets, 1));
		if (!copy_to_shared(claimed_node(claim), entity, loaded, &block, &array))
		{
			free_replaced(block, array);
			return GOV_INSTALL_FULL;
		}
	}

	/*
	 * An orphan freed since the claim may have been one of ours, with a count
	 * that our snapshot was too early to see.
	 */
	gov_stripe_lock(stripe, LW_EXCLUSIVE);
	is_current = stripe->orphans_freed == claim->orphans_freed;
	if (is_current)
	{
		START_CRIT_SECTION();
		swap_content(claim, entity, &block, &array, spare);
		END_CRIT_SECTION();
	}
	claim->orphans_freed = stripe->orphans_freed;
	gov_stripe_unlock(stripe);

	/* what was replaced, or, if we must load once more, what we have copied */
	free_replaced(block, array);
	if (!is_current)
		return GOV_INSTALL_REDO;
	if (entity != NULL)
		free_counters(spare, entity->nbudgets);
	claim->node = InvalidDsaPointer;
	ConditionVariableBroadcast(&stripe->loaded);
	pg_atomic_fetch_add_u64(&gov_shared->loads, 1);
	return GOV_INSTALL_DONE;
}

/* Give a claim up; the node is as before, and stale if it was loaded. */
void
gov_claim_abandon(GovClaim *claim)
{
	if (!DsaPointerIsValid(claim->node))
		return;
	gov_stripe_lock(claim->stripe, LW_EXCLUSIVE);
	claimed_node(claim)->is_loading = false;
	gov_stripe_unlock(claim->stripe);
	claim->node = InvalidDsaPointer;
	ConditionVariableBroadcast(&claim->stripe->loaded);
}
