/*
 * resolve.c
 *		Which entities a call concerns, and which budgets.
 *
 * PURPOSE
 *		One walk from what a call names up to the roots, over shared nodes or
 *		a private view or both, that ends with every budget that counts: those
 *		for the capability, on an entity of the resolved set that is not
 *		archived, whose whole scope lies in the set.
 *
 * LOCKING
 *		The caller holds the stripe's lock (gate.c), shared or exclusive.  So
 *		nothing here allocates, raises or waits: what stands in the way is
 *		noted in the resolution and returned as the outcome, the caller mends
 *		it without the lock, and the walk is made again from the start.
 *
 * INVARIANTS
 *		An entity stands once in the set, whichever way it is reached, and so
 *		does each of its budgets.  A counter's window moves only forward, and
 *		only under the exclusive lock.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "pending.h"
#include "private.h"
#include "resolve.h"
#include "types.h"

/* One walk. */
typedef struct GovWalk
{
	const GovRequest *request;
	const GovSource *source;
	const GovName *name;		/* being resolved */
	bool		is_exclusive;
	bool		is_full;		/* some array was too small */
	bool		must_wait;
	bool		is_outdated;
	GovResolution *out;
} GovWalk;

/* What an id was found to be. */
typedef struct GovFound
{
	const GovEntity *entity;	/* NULL: no entity, or not known yet */
	GovSharedNode *node;
	GovLoaded  *loaded;
} GovFound;

/*
 * Note that an id must be loaded.  In a walk over shared nodes alone that is
 * said of the name being resolved, which is loaded with all its ancestors: the
 * id of an ancestor stands in memory that may be gone once the lock is.  In a
 * private view it stays, and the view's ancestors are not the shared ones.
 */
static void
note_missing(GovWalk *walk, const char *id, uint32 id_length)
{
	GovResolution *out = walk->out;

	if (!walk->source->uses_private)
	{
		id = walk->name->id;
		id_length = walk->name->id_length;
	}
	if (out->nmissing >= out->missing_capacity)
	{
		walk->is_full = true;
		return;
	}
	out->missing[out->nmissing].id = id;
	out->missing[out->nmissing++].id_length = id_length;
}

/* Copy an id that the caller has to do something about. */
static void
note_other(GovWalk *walk, const char *id, uint32 id_length)
{
	Assert(id_length <= sizeof(walk->out->other_id));
	memcpy(walk->out->other_id, id, id_length);
	walk->out->other_id_length = id_length;
}

/* Look an id up in shared memory; false when it is not there to be used. */
static bool
find_shared(GovWalk *walk, const char *id, uint32 id_length, GovFound *found)
{
	GovSharedNode *node = gov_node_find(&walk->request->owner, id, id_length);

	switch (gov_node_status(node, &walk->source->since))
	{
		case GOV_NODE_READY:
			break;
		case GOV_NODE_LOADING:
			note_other(walk, id, id_length);
			walk->must_wait = true;
			return false;
		default:
			note_missing(walk, id, id_length);
			return false;
	}
	if (!node->was_used)
		node->was_used = true;	/* a hint: who writes it last does not matter */
	found->node = node;
	found->entity = gov_node_entity(node);
	return true;
}

static void
find(GovWalk *walk, const char *id, uint32 id_length, GovFound *found)
{
	memset(found, 0, sizeof(*found));
	if (walk->source->uses_shared && !find_shared(walk, id, id_length, found))
		return;
	if (!walk->source->uses_private)
		return;

	/* the private view decides what there is; shared memory only counts */
	found->entity = NULL;
	found->loaded = gov_private_find(id, id_length);
	if (found->loaded == NULL)
		note_missing(walk, id, id_length);
	else
		found->entity = found->loaded->entity;
}

static int
index_of(const GovResolution *out, const GovEntity *entity)
{
	for (int i = 0; i < out->nentities; i++)
	{
		if (out->entities[i].entity == entity)
			return i;
	}
	return -1;
}

static int
append_entity(GovWalk *walk, const GovFound *found)
{
	GovResolution *out = walk->out;
	GovResolvedEntity *resolved;

	if (out->nentities >= out->entities_capacity)
	{
		walk->is_full = true;
		return -1;
	}
	resolved = &out->entities[out->nentities];
	resolved->entity = found->entity;
	resolved->node = found->node;
	resolved->loaded = found->loaded;
	resolved->parent = -1;
	return out->nentities++;
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
		int			index = index_of(out, entity);
		bool		is_known = index >= 0;

		/* nodes of different age can show a cycle that never was: end there */
		if (is_known && index >= first)
			break;
		if (!is_known)
			index = append_entity(walk, found);
		if (index < 0)
			break;
		if (child >= 0)
			out->entities[child].parent = index;
		else
			named = index;
		if (is_known || entity->parent_id.offset == 0)
			break;
		child = index;
		find(walk, gov_entity_string(entity, entity->parent_id),
			 entity->parent_id.length, found);
	}
	return named;
}

/* A dimension names an entity only if its key is one of the type's. */
static bool
key_fits(const GovName *name, const GovEntity *entity)
{
	return name->key == NULL ||
		gov_types_has_attribution_key(gov_entity_string(entity, entity->type_id),
									  entity->type_id.length,
									  name->key, name->key_length);
}

static void
add_chain(GovWalk *walk, int entity)
{
	GovResolution *out = walk->out;

	for (int i = 0; i < out->nchains; i++)
	{
		if (out->chains[i] == entity)
			return;
	}
	if (out->nchains >= out->chains_capacity)
		walk->is_full = true;
	else
		out->chains[out->nchains++] = entity;
}

static void
resolve_entities(GovWalk *walk)
{
	for (int i = 0; i < walk->request->nnames; i++)
	{
		const GovName *name = &walk->request->names[i];
		GovFound	found;
		int			entity;

		walk->name = name;
		find(walk, name->id, name->id_length, &found);
		if (found.entity == NULL || !key_fits(name, found.entity))
			continue;
		entity = add_with_ancestors(walk, &found);
		if (entity >= 0)
			add_chain(walk, entity);
	}
}

static bool
is_in_set(const GovResolution *out, const char *id, uint32 id_length)
{
	for (int i = 0; i < out->nentities; i++)
	{
		const GovEntity *entity = out->entities[i].entity;

		if (gov_string_is(entity, entity->id, id, id_length))
			return true;
	}
	return false;
}

static bool
scope_holds(const GovResolution *out, const GovEntity *entity, const GovBudget *budget)
{
	const GovString *scope = gov_budget_scope(entity, budget);

	for (uint32 i = 0; i < budget->nscope; i++)
	{
		if (!is_in_set(out, gov_entity_string(entity, scope[i]), scope[i].length))
			return false;
	}
	return true;
}

/*
 * The counter of a budget.  In a private view it is shared memory's whenever
 * that has one with the same id, so that others see what we take.  It has none
 * for a budget that this transaction has made; and none, though it must, if
 * somebody else has made it since the shared node was loaded: NULL then.
 */
static GovSharedCounter *
find_counter(const GovSource *source, const GovResolvedEntity *resolved, uint32 number,
			 bool *is_shared)
{
	dsa_pointer pointer;
	uint32		shared_number = number;

	*is_shared = source->uses_shared;
	if (!source->uses_private)
		return gov_node_counter(resolved->node, number, &pointer);
	if (source->uses_shared &&
		gov_node_find_counter(resolved->node,
							  resolved->entity->budgets[number].counter_id,
							  &shared_number))
		return gov_node_counter(resolved->node, shared_number, &pointer);
	*is_shared = false;
	if (source->uses_shared && !resolved->loaded->is_own[number])
		return NULL;
	return &resolved->loaded->counters[number];
}

static GovTurn *
find_turn(GovResolution *out, int64 counter_id)
{
	for (int i = 0; i < out->nturns; i++)
	{
		if (out->turns[i].counter_id == counter_id)
			return &out->turns[i];
	}
	return NULL;
}

/* Note that a counter's window is over, with what it takes to compute the next. */
static void
note_turn(GovWalk *walk, const GovEntity *entity, const GovBudget *budget)
{
	GovResolution *out = walk->out;
	GovTurn    *turn = find_turn(out, budget->counter_id);

	if (turn == NULL && out->nturns >= out->turns_capacity)
	{
		walk->is_full = true;
		return;
	}
	if (turn == NULL)
		turn = &out->turns[out->nturns++];
	turn->counter_id = budget->counter_id;
	turn->budget = *budget;
	strlcpy(turn->timezone, gov_entity_string(entity, budget->timezone),
			sizeof(turn->timezone));
	turn->is_computed = false;
}

/* Has the counter a window that the present time lies in, or can it be given one? */
static bool
turn_window(GovWalk *walk, const GovEntity *entity, const GovBudget *budget,
			GovSharedCounter *counter, bool is_shared)
{
	TimestampTz now = walk->out->now;
	GovTurn    *turn;

	if (now < counter->window.end)
		return true;
	turn = find_turn(walk->out, budget->counter_id);
	if (turn == NULL || !turn->is_computed || now >= turn->window.end)
	{
		note_turn(walk, entity, budget);
		return false;
	}
	if (is_shared && !walk->is_exclusive)
		return false;
	Assert(turn->window.start >= counter->window.end);
	counter->window = turn->window;
	counter->total = 0;
	return true;
}

static void
read_state(GovResolution *out, const GovBudget *budget, GovSharedCounter *counter,
		   bool is_shared, GovBudgetState *state)
{
	GovAmount	usage = 0;
	GovAmount	held = 0;

	if (is_shared)
		gov_pending_relief(counter, &usage, &held);
	state->usage = counter->total + usage;
	state->held = counter->held + held;
	state->limit = budget->limit;
	state->has_limit = budget->has_limit;
	state->is_soft = budget->is_soft;
	state->window_end = counter->window.end;
}

static bool
append_budget(GovWalk *walk, int entity, uint32 number)
{
	GovResolution *out = walk->out;
	const GovResolvedEntity *resolved = &out->entities[entity];
	GovResolvedBudget *budget;

	if (out->nbudgets >= out->budgets_capacity)
	{
		walk->is_full = true;
		return true;
	}
	budget = &out->budgets[out->nbudgets];
	budget->entity = entity;
	budget->budget = &resolved->entity->budgets[number];
	budget->counter = find_counter(walk->source, resolved, number, &budget->is_shared);
	if (budget->counter == NULL)
	{
		note_other(walk, gov_entity_string(resolved->entity, resolved->entity->id),
				   resolved->entity->id.length);
		walk->is_outdated = true;
		return true;
	}
	if (!turn_window(walk, resolved->entity, budget->budget, budget->counter,
					 budget->is_shared))
		return false;
	budget->window = budget->counter->window;
	read_state(out, budget->budget, budget->counter, budget->is_shared,
			   &out->states[out->nbudgets]);
	out->nbudgets++;
	return true;
}

/* Returns whether every counter has the window of the present time. */
static bool
resolve_budgets(GovWalk *walk)
{
	const GovRequest *request = walk->request;
	GovResolution *out = walk->out;
	bool		are_current = true;

	for (int i = 0; i < out->nentities; i++)
	{
		const GovEntity *entity = out->entities[i].entity;
		uint32		first = 0;
		uint32		count = 0;

		if (!entity->is_archived)
			gov_entity_budgets_of(entity, request->capability_id,
								  request->capability_length,
								  request->capability_hash, &first, &count);
		out->entities[i].first_budget = out->nbudgets;
		for (uint32 b = first; b < first + count; b++)
		{
			if (scope_holds(out, entity, &entity->budgets[b]))
				are_current &= append_budget(walk, i, b);
		}
		out->entities[i].nbudgets = out->nbudgets - out->entities[i].first_budget;
	}
	return are_current;
}

/*
 * Walk.  The caller has set now; turns that have been computed are made.  On
 * any outcome but DONE only what the outcome speaks of is meaningful.
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
	bool		are_current;

	resolution->nentities = 0;
	resolution->nchains = 0;
	resolution->nbudgets = 0;
	resolution->nmissing = 0;

	resolve_entities(&walk);
	if (walk.is_full)
		return GOV_OUTCOME_GROW;
	if (walk.must_wait)
		return GOV_OUTCOME_WAIT;
	if (resolution->nmissing > 0)
		return GOV_OUTCOME_LOAD;

	are_current = resolve_budgets(&walk);
	if (walk.is_full)
		return GOV_OUTCOME_GROW;
	if (walk.is_outdated)
		return GOV_OUTCOME_OUTDATED;
	return are_current ? GOV_OUTCOME_DONE : GOV_OUTCOME_TURN;
}

static void
grow(void *array, int *capacity, int used, Size element)
{
	void	  **place = array;
	int			wanted = Max(16, 2 * *capacity);

	if (*capacity > used)
		return;
	*place = *place ? repalloc_huge(*place, wanted * element) :
		MemoryContextAllocHuge(TopMemoryContext, wanted * element);
	*capacity = wanted;			/* not before: allocating may raise */
}

/* Make every array that is full twice as large.  No lock is held. */
void
gov_resolution_grow(GovResolution *resolution)
{
	int			states_capacity = resolution->budgets_capacity;

	grow(&resolution->entities, &resolution->entities_capacity,
		 resolution->nentities, sizeof(GovResolvedEntity));
	grow(&resolution->chains, &resolution->chains_capacity,
		 resolution->nchains, sizeof(int));
	grow(&resolution->states, &states_capacity,
		 resolution->nbudgets, sizeof(GovBudgetState));
	grow(&resolution->budgets, &resolution->budgets_capacity,
		 resolution->nbudgets, sizeof(GovResolvedBudget));
	grow(&resolution->missing, &resolution->missing_capacity,
		 resolution->nmissing, sizeof(GovLoaded));
	grow(&resolution->turns, &resolution->turns_capacity,
		 resolution->nturns, sizeof(GovTurn));
}

/* Compute the windows that were found to be over.  No lock is held. */
void
gov_resolution_compute_turns(GovResolution *resolution)
{
	for (int i = 0; i < resolution->nturns; i++)
	{
		GovTurn    *turn = &resolution->turns[i];
		pg_tz	   *tz = gov_timezone_lookup(turn->timezone);

		if (turn->is_computed)
			continue;
		if (tz == NULL ||
			!gov_window_at(&turn->budget.cadence, turn->budget.has_anchor,
						   turn->budget.anchor, tz, resolution->now, &turn->window))
			ereport(ERROR,
					(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
					 errmsg("cannot compute the present window of a budget"),
					 errdetail("Its time zone is \"%s\".", turn->timezone),
					 errhint("Change the cadence, anchor_at or timezone of that budget.")));
		turn->is_computed = true;
	}
}
