/*
 * budgets.c
 *		Which budgets of the resolved set count, and how much each has used.
 *
 * PURPOSE
 *		Those for the capability, on an entity of the set that is not archived,
 *		whose whole scope lies in the set; each with its counter, turned to the
 *		window of the present time.
 *
 * LOCKING
 *		As in resolve.c: the caller holds the stripe's lock, nothing here
 *		allocates, raises or waits.  gov_resolution_compute_turns(), which looks
 *		up time zones, is called without it.
 *
 * INVARIANTS
 *		A budget stands once in the answer.  A counter's window moves only
 *		forward, and only under the exclusive lock.
 */
#include "postgres.h"

#include "pending.h"
#include "walk.h"

/* Copy an id that the caller has to do something about. */
void
gov_walk_note_other(GovWalk *walk, const char *id, uint32 id_length)
{
	Assert(id_length <= sizeof(walk->out->other_id));
	memcpy(walk->out->other_id, id, id_length);
	walk->out->other_id_length = id_length;
}

static bool
scope_holds(const GovResolution *out, const GovEntity *entity, const GovBudget *budget)
{
	const GovString *scope = gov_budget_scope(entity, budget);

	for (uint32 i = 0; i < budget->nscope; i++)
	{
		const char *id = gov_entity_string(entity, scope[i]);

		if (gov_set_find(out, id, scope[i].length,
						 gov_text_hash(id, scope[i].length)) < 0)
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
		gov_walk_note_other(walk, gov_entity_string(resolved->entity, resolved->entity->id),
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
bool
gov_walk_budgets(GovWalk *walk)
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
