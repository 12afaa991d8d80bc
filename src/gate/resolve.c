/*
 * resolve.c
 *		Which entities a call concerns.
 *
 * PURPOSE
 *		One walk from what a call names up to the roots, over shared nodes or
 *		a private view or both, makes the resolved set; resolve_budgets.c then finds
 *		the budgets that count, and resolve_held.c those of a hold that ends.
 *
 *		What this transaction has created by its uses is no shared node yet
 *		(created.c).  It is found all the same, and so is, if all else is known,
 *		what the call would create (resolve_unknown.c).
 *
 * LOCKING
 *		The caller has the stripe's lock (gate_attempt.c), shared or exclusive.  So
 *		nothing here allocates, raises or waits: what stands in the way is
 *		noted in the resolution and returned as the outcome, the caller mends
 *		it without the lock, and the walk is made again from the start.
 *
 * INVARIANTS
 *		An entity stands once in the set, whichever way it is reached.
 */
#include "postgres.h"

#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "base/fault.h"
#include "cache/created.h"
#include "cache/pending.h"
#include "cache/private_view.h"
#include "cache/types.h"
#include "gate/resolve.h"
#include "gate/resolve_walk.h"

#define GOV_ARRAYS_KEPT		((Size) 1024 * 1024)	/* bytes, from one
													 * transaction to the next */

/* What an id was found to be. */
typedef struct GovFound
{
	const GovEntity *entity;	/* NULL: no entity, or not known yet */
	GovSharedNode *node;
	GovLoaded  *loaded;
} GovFound;

/*
 * Note that an id must be loaded.  In a walk over shared nodes alone the name
 * being resolved is noted in its place, and is loaded with all its ancestors:
 * the id of an ancestor is in memory that may be gone once the lock is.  Above
 * what the tables do not have yet, it is the lowest ancestor that they may.  In a
 * private view an id stays, and its ancestors are not the shared ones.
 */
void
gov_resolve_note_missing(GovWalk *walk, const char *id, uint32 id_length)
{
	GovResolution *out = walk->out;

	if (!walk->source->uses_private)
	{
		id = walk->load_id;
		id_length = walk->load_length;
	}
	if (out->nmissing >= out->missing_capacity)
	{
		walk->is_full = true;
		return;
	}
	out->missing[out->nmissing].id = id;
	out->missing[out->nmissing++].id_length = id_length;
}

/* Look an id up in shared memory; NULL when it is not there to be used. */
GovSharedNode *
gov_resolve_find_node(GovWalk *walk, const char *id, uint32 id_length)
{
	GovSharedNode *node = gov_node_find(&walk->request->owner, id, id_length);

	GovNodeStatus status = gov_node_status(node, &walk->source->since);

	if (unlikely(status == GOV_NODE_READY && node->is_draining) &&
		walk->is_exclusive && gov_pending_is_empty())
		status = GOV_NODE_LOADING;	/* or nearly; see reset.c */
	switch (status)
	{
		case GOV_NODE_READY:
			break;
		case GOV_NODE_LOADING:
			gov_resolve_note_other(walk, id, id_length);
			walk->must_wait = true;
			return NULL;
		default:
			gov_resolve_note_missing(walk, id, id_length);
			return NULL;
	}
	if (!node->was_used)
		node->was_used = true;	/* a hint: who writes it last does not matter */
	return node;
}

/* The private view decides what there is; shared memory only counts. */
static void
find_private(GovWalk *walk, const char *id, uint32 id_length, GovFound *found)
{
	found->entity = NULL;
	found->loaded = gov_private_find(id, id_length);
	if (found->loaded == NULL)
		gov_resolve_note_missing(walk, id, id_length);
	else
		found->entity = found->loaded->entity;
}

/*
 * What this transaction has created.  If others' node of the id, which says that
 * there is none, was loaded after that, somebody may have made a default meanwhile.
 */
static void
find_created(GovWalk *walk, const char *id, uint32 id_length, GovFound *found)
{
	const GovOwnerKey *owner = &walk->request->owner;
	GovFreshness since;

	found->entity = gov_created_find(owner->owner, owner->owner_length, id, id_length, &since);
	if (found->entity == NULL ||
		(found->node->loaded_changes <= since.changes && found->node->generation <= since.generation))
		return;
	gov_resolve_note_other(walk, id, id_length);
	walk->is_outdated = true;
}

/* What would be created takes the place of what is not there. */
static void
find_would_be(GovWalk *walk, const char *id, uint32 id_length, GovFound *found)
{
	GovLoaded  *loaded = gov_resolve_would_be(walk, id, id_length);

	if (loaded != NULL)
		*found = (GovFound) {.entity = loaded->entity, .loaded = loaded};
}

static void
find_known(GovWalk *walk, const char *id, uint32 id_length, GovFound *found)
{
	memset(found, 0, sizeof(*found));
	if (walk->source->uses_shared)
	{
		found->node = gov_resolve_find_node(walk, id, id_length);
		if (found->node == NULL)
			return;
		found->entity = gov_node_entity(found->node);
	}
	if (walk->source->uses_private)
		find_private(walk, id, id_length, found);
	else if (found->entity == NULL && gov_created_is_any())
		find_created(walk, id, id_length, found);
	if (found->entity == NULL && walk->has_would_be)
		find_would_be(walk, id, id_length, found);
}

static int
append_entity(GovWalk *walk, const GovFound *found)
{
	int			index = gov_resolve_set_add(walk->out, found->entity);

	if (index < 0)
	{
		walk->is_full = true;
		return -1;
	}
	walk->out->entities[index].node = found->node;
	walk->out->entities[index].loaded = found->loaded;
	return index;
}

/*
 * The chain has come back to where it was.  The tables are asked whether that
 * is so, unless they were.
 */
static void
note_cycle(GovWalk *walk)
{
	if (walk->source->ends_cycles)
		return;
	gov_resolve_note_other(walk, walk->name->id, walk->name->id_length);
	walk->is_cyclic = true;
}

/* Find the parent of an entity that was found. */
static void
climb(GovWalk *walk, const GovEntity *entity, GovFound *found)
{
	const char *parent = gov_entity_string(entity, entity->parent_id);
	uint32		length = gov_entity_length(entity, entity->parent_id);

	if (unlikely(gov_created_is_any() || walk->has_would_be) &&
		(found->node == NULL || gov_node_entity(found->node) != entity))
	{
		/* it is not in shared memory, and its block is this backend's */
		walk->load_id = parent;
		walk->load_length = length;
	}
	find_known(walk, parent, length, found);
}

/* Add an entity and its ancestors to the set; returns its index, or -1. */
static int
add_with_ancestors(GovWalk *walk, GovFound *found)
{
	GovResolution *out = walk->out;
	int			first = out->nentities;
	int			named = -1;
	int			child = -1;

	while (found->entity != NULL)
	{
		const GovEntity *entity = found->entity;
		const GovChars *id = gov_entity_id(entity);
		int			index = gov_resolve_set_find(out, id->bytes, id->length, entity->id_hash);
		bool		is_known = index >= 0;

		if (is_known && index >= first)
		{
			note_cycle(walk);
			break;
		}
		if (!is_known)
			index = append_entity(walk, found);
		if (index < 0)
			break;
		if (child >= 0)
			out->entities[child].parent = index;
		else
			named = index;
		if (is_known || entity->parent_id == 0)
			break;
		child = index;
		climb(walk, entity, found);
	}
	return named;
}

static void
add_chain(GovWalk *walk, int entity)
{
	GovResolution *out = walk->out;

	if (out->entities[entity].name != NULL)
		return;
	if (out->nchains >= out->chains_capacity)
	{
		walk->is_full = true;
		return;
	}
	Assert(entity < out->nentities);
	out->entities[entity].name = walk->name;
	out->chains[out->nchains++] = entity;
}

/* Is this what the name's rule calls unknown?  Nearly no name has one. */
static inline bool
is_unknown(const GovName *name, const GovEntity *entity)
{
	return unlikely(name->rule != NULL) &&
		(entity == NULL ||
		 !gov_chars_are(gov_chars(entity, entity->type_id), name->rule->of_key.type_id, strlen(name->rule->of_key.type_id)));
}

void
gov_resolve_entities(GovWalk *walk)
{
	for (int i = 0; i < walk->request->nnames; i++)
	{
		const GovName *name = &walk->request->names[i];
		GovFound	found;
		int			entity;

		gov_resolve_begin_name(walk, name);
		if (unlikely(name->rule != NULL) && name->rule->is_no_id)
			found.entity = NULL;
		else
			find_known(walk, name->id, name->id_length, &found);
		if (is_unknown(name, found.entity))
			gov_resolve_note_unknown(walk, found.entity);
		if (found.entity == NULL || !gov_resolve_key_fits(name, found.entity))
			continue;
		entity = add_with_ancestors(walk, &found);
		if (entity >= 0)
			add_chain(walk, entity);
	}
}

/*
 * Resolve a request.  The caller has set the time of the call.  Counters turn
 * to the windows that were computed after an earlier walk.  On any outcome but
 * DONE only what the outcome speaks of is meaningful.
 */
GovOutcome
gov_resolve(const GovRequest *request, const GovSource *source,
			bool is_exclusive, GovResolution *resolution)
{
	GovWalk		walk = {
		.request = request,
		.source = source,
		.is_exclusive = is_exclusive,
		.out = resolution
	};
	GovOutcome	outcome;
	bool		are_current;

	Assert(!source->uses_shared ||
		   LWLockHeldByMeInMode(&gov_stripe(request->owner.stripe)->lock,
								is_exclusive ? LW_EXCLUSIVE : LW_SHARED));
	gov_resolve_set_clear(resolution);
	resolution->nchains = 0;
	resolution->nbudgets = 0;
	resolution->ndraws = 0;
	resolution->nmissing = 0;
	resolution->nunknown = 0;
	resolution->denies_unknown = false;
	resolution->nturns = resolution->nsorted;	/* what was noted in vain is
												 * noted again */

	gov_resolve_entities(&walk);
	gov_resolve_held(&walk);
	gov_resolve_reversed(&walk);
	outcome = gov_resolve_walk_outcome(&walk);
	if (outcome == GOV_OUTCOME_DONE && unlikely(resolution->nunknown > 0))
		outcome = gov_resolve_unknown(&walk);
	if (outcome != GOV_OUTCOME_DONE)
		return outcome;

	are_current = gov_resolve_budgets(&walk);
	if (walk.is_full)
		return GOV_OUTCOME_GROW;
	if (walk.is_outdated)
		return GOV_OUTCOME_OUTDATED;
	if (unlikely(resolution->lacks_scopes))
		return GOV_OUTCOME_COMBINE;
	return are_current ? GOV_OUTCOME_DONE : GOV_OUTCOME_TURN;
}

static void
grow_array(void *array, int *capacity, int used, Size element)
{
	void	  **place = array;
	int			wanted = Max(16, 2 * *capacity);

	if (*capacity > used)
		return;
	GOV_FAULT(GOV_FAULT_MEMORY);
	*place = *place ? repalloc_huge(*place, wanted * element) :
		MemoryContextAllocHuge(TopMemoryContext, wanted * element);
	*capacity = wanted;			/* not before: allocating may raise */
}

/*
 * Make the set larger if it is full.  That empties it, and the next walk fills
 * it again.
 */
static void
grow_set(GovResolution *resolution)
{
	uint32		wanted;
	int		   *slots;

	if (resolution->entities_capacity > resolution->nentities)
		return;
	GOV_FAULT(GOV_FAULT_MEMORY);
	wanted = pg_nextpower2_32(4 * Max(16, resolution->entities_capacity));
	slots = MemoryContextAllocExtended(TopMemoryContext, wanted * sizeof(int),
									   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	resolution->nentities = 0;
	if (resolution->slots != NULL)
		pfree(resolution->slots);
	resolution->slots = slots;
	resolution->nslots = wanted;
	grow_array(&resolution->entities, &resolution->entities_capacity,
			   resolution->entities_capacity, sizeof(GovResolvedEntity));
	Assert(resolution->nslots >= 2 * (uint32) resolution->entities_capacity);
}

static void
free_array(void *array)
{
	void	  **place = array;

	if (*place != NULL)
		pfree(*place);
	*place = NULL;
}

/* The transaction that made the arrays large is over: free them. */
static void
free_arrays(void *arg)
{
	GovResolution *resolution = arg;

	free_array(&resolution->entities);
	free_array(&resolution->slots);
	free_array(&resolution->chains);
	free_array(&resolution->budgets);
	free_array(&resolution->states);
	free_array(&resolution->draws);
	free_array(&resolution->missing);
	free_array(&resolution->unknown);
	free_array(&resolution->built);
	free_array(&resolution->turns);
	free_array(&resolution->turn_order);
	free_array(&resolution->copy);
	memset(resolution, 0, sizeof(*resolution));
}

static Size
arrays_size(const GovResolution *resolution)
{
	return resolution->entities_capacity * sizeof(GovResolvedEntity) +
		resolution->nslots * sizeof(int) +
		resolution->chains_capacity * sizeof(int) +
		resolution->budgets_capacity * (sizeof(GovResolvedBudget) + sizeof(GovBudgetState)) +
		resolution->draws_capacity * sizeof(GovDraw) +
		resolution->missing_capacity * sizeof(GovLoaded) +
		(resolution->unknown_capacity + resolution->built_capacity) * sizeof(GovUnknown) +
		resolution->turns_capacity * (sizeof(GovTurn) + sizeof(int)) +
		resolution->copy_capacity;
}

/*
 * Called before the arrays grow by so many bytes.  If a backend should not
 * keep that for ever, have them freed with the transaction.
 */
void
gov_resolve_keep_bounded(GovResolution *resolution, Size more)
{
	MemoryContextCallback *callback;

	if (resolution->is_bounded || arrays_size(resolution) + more <= GOV_ARRAYS_KEPT)
		return;
	callback = MemoryContextAlloc(TopTransactionContext, sizeof(*callback));
	callback->func = free_arrays;
	callback->arg = resolution;
	MemoryContextRegisterResetCallback(TopTransactionContext, callback);
	resolution->is_bounded = true;
}

/* Make room for the blocks of what is unknown. */
void
gov_resolve_grow_built(GovResolution *resolution)
{
	Assert(!gov_stripe_is_held());
	while (resolution->built_capacity < resolution->nunknown)
		grow_array(&resolution->built, &resolution->built_capacity,
				   resolution->built_capacity, sizeof(GovUnknown));
}

/* Make every array that is full twice as large.  No lock is held. */
void
gov_resolve_grow(GovResolution *resolution)
{
	int			states_capacity = resolution->budgets_capacity;
	int			order_capacity = resolution->turns_capacity;

	Assert(!gov_stripe_is_held());
	/* at most all of them double */
	gov_resolve_keep_bounded(resolution, arrays_size(resolution));

	grow_set(resolution);
	grow_array(&resolution->chains, &resolution->chains_capacity,
			   resolution->nchains, sizeof(int));
	grow_array(&resolution->states, &states_capacity,
			   resolution->nbudgets, sizeof(GovBudgetState));
	grow_array(&resolution->budgets, &resolution->budgets_capacity,
			   resolution->nbudgets, sizeof(GovResolvedBudget));
	grow_array(&resolution->draws, &resolution->draws_capacity,
			   resolution->ndraws - 1, sizeof(GovDraw));
	grow_array(&resolution->missing, &resolution->missing_capacity,
			   resolution->nmissing, sizeof(GovLoaded));
	if (resolution->wants_unknown)
		grow_array(&resolution->unknown, &resolution->unknown_capacity,
				   resolution->nunknown, sizeof(GovUnknown));
	resolution->wants_unknown = false;
	grow_array(&resolution->turn_order, &order_capacity, resolution->nturns, sizeof(int));
	grow_array(&resolution->turns, &resolution->turns_capacity,
			   resolution->nturns, sizeof(GovTurn));
}
