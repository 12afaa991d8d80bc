/*
 * resolve_budgets.c
 *		Which budgets of the resolved set count, and how much each has used.
 *
 * PURPOSE
 *		Those for the call's capabilities, on an entity of the set that is not
 *		archived, whose whole scope lies in the set; each with its counter, turned to the
 *		window of the present time.
 *
 * LOCKING
 *		As in resolve.c: the caller has the stripe's lock, nothing here
 *		allocates, raises or waits.  gov_resolve_compute_turns(), which looks
 *		up time zones, is called without it.
 *
 * INVARIANTS
 *		A budget stands once in the answer.  A counter's window moves only
 *		forward, and only under the exclusive lock.
 */
#include "postgres.h"

#include "base/errors.h"
#include "base/fault.h"
#include "cache/pending.h"
#include "cache/threshold.h"
#include "gate/carried.h"
#include "gate/combine.h"
#include "gate/draw.h"
#include "gate/opening.h"
#include "gate/resolve_walk.h"
#include "gate/sliding.h"

/* Copy an id that the caller has to do something about. */
void
gov_resolve_note_other(GovWalk *walk, const char *id, uint32 id_length)
{
	Assert(id_length <= sizeof(walk->out->other_id));
	memcpy(walk->out->other_id, id, id_length);
	walk->out->other_id_length = id_length;
}

static bool
scope_holds(const GovResolution *out, const GovEntity *entity, const GovBudget *budget)
{
	const GovText *scope = gov_budget_scope(entity, budget);

	for (uint32 i = 0; i < gov_budget_more(entity, budget)->nscope; i++)
	{
		const GovChars *id = gov_chars(entity, scope[i]);

		if (gov_resolve_set_find(out, id->bytes, id->length, gov_entity_text_hash(id->bytes, id->length)) < 0)
			return false;
	}
	return gov_combine_fits(out, entity, budget);
}

/*
 * The counter that shared memory has for a budget of a private view, and what it
 * says of the budget; or NULL.
 */
static GovSharedCounter *
find_shared_counter(const GovSource *source, const GovResolvedEntity *resolved,
					uint32 number, GovRuled *ruled)
{
	const GovBudget *budget = &resolved->entity->budgets[number];
	uint32		shared_number;

	if (!source->uses_shared || resolved->node == NULL)
		return NULL;
	if (gov_node_find_budget(resolved->node, &budget->id, number, &shared_number))
	{
		ruled->entity = gov_node_content(resolved->node);
		ruled->budget = &ruled->entity->budgets[shared_number];
		return gov_node_counter(resolved->node, shared_number);
	}

	/* one by a default that comes back may be in use still */
	return gov_budget_inherited(resolved->entity, budget) == NULL ? NULL :
		gov_node_find_orphan(resolved->node, &budget->id);
}

/* Find the counters of a budget of a shared node, which are those of the node. */
static inline void
find_shared_counters(const GovResolvedEntity *resolved, uint32 number, GovResolvedBudget *budget)
{
	budget->counter = gov_node_counter(resolved->node, number);
	budget->holds = budget->counter;
	budget->is_shared = budget->holds_are_shared = true;
	Assert(budget->counter->id == budget->budget->counter_id);
}

/*
 * Find the counters of a budget of something else.  In a private view they are shared memory's
 * whenever that has them, so that others see what we take.  It has none for a
 * budget that this transaction has made, and if we have given a budget a new
 * counter only that of its holds.  A shared counter turns by the rule that
 * everybody sees.  False if it lacks what somebody else has made since the shared
 * node was loaded.  What would be created has counters of this call alone.
 */
static bool
find_counters(const GovSource *source, const GovResolvedEntity *resolved, uint32 number,
			  GovResolvedBudget *budget, GovRuled *ruled)
{
	GovRuled	own = {resolved->entity, budget->budget};
	GovSharedCounter *shared;

	Assert(resolved->loaded != NULL);
	*ruled = own;
	shared = find_shared_counter(source, resolved, number, ruled);
	budget->holds_are_shared = shared != NULL;
	budget->is_shared = shared != NULL && shared->id == budget->budget->counter_id;
	if (!budget->is_shared)
		*ruled = own;
	if (source->uses_shared && !budget->is_shared && !resolved->loaded->is_own[number])
		return false;
	budget->counter = budget->is_shared ? shared : &resolved->loaded->counters[number];
	budget->holds = shared != NULL ? shared : budget->counter;
	return true;
}

/*
 * Find the counter of a grant, or of what a pool owes.  False if it lacks what
 * somebody else has made since the shared node was loaded.
 */
bool
gov_resolve_counter(GovWalk *walk, const GovResolvedEntity *resolved, uint32 number,
					GovSharedCounter **counter, bool *is_shared)
{
	GovResolvedBudget found = {.budget = &resolved->entity->budgets[number]};
	GovRuled	ruled;

	if (likely(resolved->loaded == NULL))
	{
		*counter = gov_node_counter(resolved->node, number);
		*is_shared = true;
		return true;
	}
	if (!find_counters(walk->source, resolved, number, &found, &ruled))
		return false;
	*counter = found.counter;
	*is_shared = found.is_shared;
	return true;
}

/* Note that the node of an entity must be loaded again. */
static void
note_outdated(GovWalk *walk, const GovEntity *entity)
{
	gov_resolve_note_other(walk, gov_entity_id(entity)->bytes, gov_entity_id(entity)->length);
	walk->is_outdated = true;
}

/*
 * The turn of a counter that was computed after an earlier walk; NULL if none
 * was.
 */
static GovTurn *
find_turn(GovResolution *out, int64 counter_id)
{
	int			low = 0;
	int			high = out->nsorted;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;
		GovTurn    *turn = &out->turns[out->turn_order[middle]];

		if (turn->counter_id == counter_id)
			return turn;
		if (turn->counter_id < counter_id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/*
 * Note that a counter's window is over, with what it takes to compute the
 * next.  A walk notes each counter once, because a budget stands once in the
 * set.
 */
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
	turn->cadence = budget->cadence;
	turn->anchor = gov_budget_more(entity, budget)->anchor;
	turn->has_anchor = gov_budget_more(entity, budget)->has_anchor;
	strlcpy(turn->timezone, gov_budget_timezone(entity, budget), sizeof(turn->timezone));
	turn->is_computed = false;
	turn->is_late = !out->is_of_now;
}

/*
 * Find out whether a window of a budget is open that begins with a first use; false
 * if one may have to be opened, and what that takes is to be computed first.  Only a
 * charge opens it (opening.c).
 */
static bool
find_opening(GovWalk *walk, const GovRuled *ruled, GovResolvedBudget *resolved, GovAmount amount)
{
	const GovResolution *out = walk->out;
	const GovTurn *turn;

	resolved->is_open = gov_counter_is_open(resolved->counter, out->now);
	if (resolved->is_open)
		resolved->window = resolved->counter->window;
	else
	{
		TIMESTAMP_NOBEGIN(resolved->window.start);
		TIMESTAMP_NOEND(resolved->window.end);
	}
	if (!out->opens || amount == 0 || (out->is_of_now && (resolved->is_open || amount < 0)))
		return true;
	turn = find_turn(walk->out, ruled->budget->counter_id);
	if (turn == NULL || !turn->is_computed || turn->is_late == out->is_of_now)
	{
		note_turn(walk, ruled->entity, ruled->budget);
		return false;
	}
	resolved->opening = turn->window;
	resolved->is_known = turn->is_known;
	return turn->is_late ||
		gov_window_opened(&turn->cadence, turn->tz, out->now, &resolved->opening);
}

/*
 * Turn a counter whose window is over to the present one; false if that is to be computed
 * first, or takes the exclusive lock.  A counter that has a later window keeps
 * it: see clock.c.
 */
static bool
turn_window(GovWalk *walk, const GovResolvedEntity *resolved, const GovRuled *ruled,
			GovSharedCounter *counter, bool is_shared)
{
	const GovEntity *entity = ruled->entity;
	const GovBudget *budget = ruled->budget;
	TimestampTz now = walk->out->now;
	GovTurn    *turn;

	Assert(now >= counter->window.end);
	if (gov_counter_must_load(counter, now))
	{
		note_outdated(walk, entity);
		return true;
	}
	turn = find_turn(walk->out, budget->counter_id);
	if (turn == NULL || !turn->is_computed ||
		now < turn->window.start || now >= turn->window.end)
	{
		note_turn(walk, entity, budget);
		return false;
	}
	if (is_shared && !walk->is_exclusive)
		return false;
	Assert(!is_shared || LWLockHeldByMeInMode(&gov_stripe(walk->request->owner.stripe)->lock,
											  LW_EXCLUSIVE));
	if (turn->window.start <= counter->window.start)
	{
		/* the rule was changed while the counter was ahead of the clock */
		counter->window.end = turn->window.end;
		return true;
	}
	if (unlikely(gov_budget_carry(entity, budget) != NULL) &&
		!gov_carried_turn(resolved, ruled, counter, is_shared, turn->window.start))
	{
		note_outdated(walk, entity);
		return true;
	}
	counter->window = turn->window;
	counter->total = 0;
	counter->covered = 0;
	counter->booked = 0;
	counter->alert_at = gov_alert_pack(GOV_ALERT_UNKNOWN);
	return true;
}

/* Add what this transaction gives back when it commits. */
static void
add_relief(const GovResolvedBudget *resolved, bool counts, GovBudgetState *state)
{
	GovCharge	relief = gov_pending_relief(resolved->holds);

	state->held += relief.held;
	if (!resolved->is_shared || !counts)
		return;
	state->usage += relief.usage;
	state->held += relief.covered;
}

/*
 * What is used and held of a budget, as this transaction sees it: without what
 * it gives back when it commits.
 */
static inline void
read_state(const GovWalk *walk, const GovResolvedBudget *resolved, GovBudgetState *state)
{
	const GovBudget *budget = resolved->budget;
	bool		counts = !gov_budget_opens(budget) || resolved->is_open;

	state->usage = counts ? resolved->counter->total : 0;
	state->held = resolved->holds->held;
	/* else usage is counted anew, and nothing of it is covered */
	if (resolved->is_shared && counts)
		state->held -= resolved->holds->covered;
	if (unlikely(walk->has_pending) && resolved->holds_are_shared)
		add_relief(resolved, counts, state);
	state->limit = budget->limit;
	state->has_limit = budget->has_limit;
	state->is_soft = budget->is_soft;
	state->bounds = NULL;
	state->window_end = resolved->window.end;
}

/*
 * Must be written that the budget is used?  Not by the transaction that has done
 * so, or has put an assignment in its place, which says so itself.
 */
static bool
wants_row(const GovResolvedBudget *budget)
{
	return (budget->budget->special & GOV_BUDGET_INHERITED) != 0 && budget->counter->wants_row &&
		!(budget->is_shared && gov_pending_has_row(budget->counter));
}

/*
 * Find the window of a budget that slides, which is never to be computed first; note
 * that its node is to be loaded again if the counter lacks something.
 */
static bool
find_sliding(GovWalk *walk, GovResolvedBudget *budget)
{
	const GovResolvedEntity *resolved = &walk->out->entities[budget->entity];

	if (gov_sliding_must_load(resolved->node, budget, walk->out->now))
		note_outdated(walk, resolved->entity);
	else
		gov_sliding_turn(budget, walk->out->now, walk->is_exclusive);
	return true;
}

/* Read what few budgets have. */
static void
read_special(GovWalk *walk, const GovResolvedEntity *resolved, GovResolvedBudget *budget,
			 GovBudgetState *state)
{
	GovResolution *out = walk->out;

	budget->wants_row = wants_row(budget);
	out->wants_rows |= budget->wants_row;
	if ((budget->budget->special & GOV_BUDGET_BOUNDED) != 0)
	{
		out->has_bounds = true;
		state->bounds = gov_budget_bounds(resolved->entity, budget->budget);
		if (state->bounds->nsteps > 0)
			state->limit = gov_bounds_at(state->bounds, out->now);
		state->carried = 0;
		if (unlikely(state->bounds->carries) && !gov_carried_read(walk, resolved, budget, state))
			note_outdated(walk, resolved->entity);
		if (state->bounds->is_pool && !gov_draw_read(walk, resolved, budget, state))
			note_outdated(walk, resolved->entity);
	}
	if (gov_budget_slides(budget->budget))
		gov_sliding_read(budget, out->now, state);
}

/* Find the window of a budget that the call is about; false if it has to be computed first. */
static inline bool
find_window(GovWalk *walk, const GovResolvedEntity *resolved, const GovRuled *ruled,
			GovResolvedBudget *budget, GovAmount amount)
{
	if (gov_budget_is_timed(budget->budget))
		return gov_budget_slides(budget->budget) ? find_sliding(walk, budget) :
			find_opening(walk, ruled, budget, amount);
	if (unlikely(walk->out->now >= budget->counter->window.end) &&
		!turn_window(walk, resolved, ruled, budget->counter, budget->is_shared))
		return false;
	budget->window = budget->counter->window;
	return true;
}

static bool
append_budget(GovWalk *walk, int entity, int meter, uint32 number)
{
	GovResolution *out = walk->out;
	const GovResolvedEntity *resolved = &out->entities[entity];
	GovResolvedBudget *budget = &out->budgets[out->nbudgets];
	GovBudgetState *state = &out->states[out->nbudgets];
	GovRuled	ruled = {resolved->entity, &resolved->entity->budgets[number]};

	if (out->nbudgets >= out->budgets_capacity)
	{
		walk->is_full = true;
		return true;
	}
	budget->entity = entity;
	budget->budget = ruled.budget;
	budget->id = budget->budget->id;
	budget->ended = 0;
	budget->wants_row = false;
	budget->pool = NULL;
	budget->before = NULL;
	if (likely(resolved->loaded == NULL))
		find_shared_counters(resolved, number, budget);
	else if (!find_counters(walk->source, resolved, number, budget, &ruled))
	{
		note_outdated(walk, resolved->entity);
		return true;
	}
	state->meter = meter;
	state->wanted = walk->request->meters[meter].amount;
	if (!find_window(walk, resolved, &ruled, budget, state->wanted))
		return false;
	Assert(walk->is_outdated || out->now < budget->window.end);
	read_state(walk, budget, state);
	if (unlikely(budget->budget->special != 0))
		read_special(walk, resolved, budget, state);
	out->nbudgets++;
	return true;
}

/* Note that an entity is blocked, unless another one is for longer. */
static void
note_block(GovResolution *out, int entity, TimestampTz until)
{
	if (out->blocked >= 0 && out->blocked_until >= until)
		return;
	out->blocked = entity;
	out->blocked_until = until;
}

/*
 * Find the budgets of an entity that count for a meter; false if a counter has not
 * got the present window.
 */
static bool
append_budgets(GovWalk *walk, int number, int meter_number)
{
	GovResolution *out = walk->out;
	const GovEntity *entity = out->entities[number].entity;
	const GovMeter *meter = &walk->request->meters[meter_number];
	bool		are_current = true;
	uint32		first = 0;
	uint32		count = 0;

	gov_entity_budgets_of(entity, meter->capability_id, meter->capability_length,
						  meter->capability_hash, &first, &count);
	for (uint32 b = first; b < first + count; b++)
	{
		if (likely(!(entity->budgets[b].special & GOV_BUDGET_SCOPED)) ||
			scope_holds(out, entity, &entity->budgets[b]))
			are_current &= append_budget(walk, number, meter_number, b);
	}
	if (unlikely(entity->has_templates))
		gov_combine_look(out, number, meter, first, count);
	return are_current;
}

/*
 * Find the budgets that count; false if a counter has not got the present
 * window.
 */
bool
gov_resolve_budgets(GovWalk *walk)
{
	GovResolution *out = walk->out;
	bool		are_current = true;

	walk->has_pending = !gov_pending_is_empty();
	out->blocked = -1;
	out->has_bounds = false;
	out->wants_rows = out->lacks_scopes = false;
	for (int i = 0; i < out->nentities; i++)
	{
		const GovEntity *entity = out->entities[i].entity;
		TimestampTz until;

		if (gov_entity_is_blocked(entity, out->now, &until))
			note_block(out, i, until);
		out->entities[i].first_budget = out->nbudgets;
		for (int m = 0; m < walk->request->nmeters && !entity->is_archived; m++)
			are_current &= append_budgets(walk, i, m);
		out->entities[i].nbudgets = out->nbudgets - out->entities[i].first_budget;
	}
	return are_current;
}

static int
compare_turns(const void *left, const void *right, void *arg)
{
	const GovTurn *turns = arg;
	int64		a = turns[*(const int *) left].counter_id;
	int64		b = turns[*(const int *) right].counter_id;

	return (a > b) - (a < b);
}

/*
 * Sort the turns by counter, so that the next walk, under the lock, finds each
 * at once.
 */
static void
sort_turns(GovResolution *resolution)
{
	for (int i = 0; i < resolution->nturns; i++)
		resolution->turn_order[i] = i;
	qsort_arg(resolution->turn_order, resolution->nturns, sizeof(int), compare_turns,
			  resolution->turns);
	resolution->nsorted = resolution->nturns;
}

/*
 * Compute the windows that were found to be over, and those that the call may open.
 * No lock is held.
 */
void
gov_resolve_compute_turns(const GovRequest *request, GovResolution *resolution)
{
	Assert(!gov_stripe_is_held());
	for (int i = 0; i < resolution->nturns; i++)
	{
		GovTurn    *turn = &resolution->turns[i];
		pg_tz	   *tz;

		if (turn->is_computed)
			continue;
		turn->is_computed = true;
		if (turn->cadence.kind == GOV_WINDOW_FIRST_USE)
		{
			gov_opening_compute(request, resolution->occurred_at, turn);
			continue;
		}
		tz = gov_window_timezone(turn->timezone);
		GOV_FAULT(GOV_FAULT_MEMORY);
		if (tz == NULL ||
			!gov_window_at(&turn->cadence, turn->has_anchor, turn->anchor, tz,
						   resolution->now, &turn->window))
			ereport(ERROR,
					(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
					 errmsg("cannot compute the present window of a budget"),
					 errdetail("Its time zone is \"%s\".", gov_error_shown(turn->timezone)),
					 errhint("Change the cadence, anchor_at or timezone of that budget.")));
		Assert(turn->window.start <= resolution->now && resolution->now < turn->window.end);
	}
	sort_turns(resolution);
}
