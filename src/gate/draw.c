/*
 * draw.c
 *		What a call draws from the grants of pools.
 *
 * PURPOSE
 *		A pool is decided like any budget: its limit is what its live grants come
 *		to, its usage what of that is used up or owed.  A use that is charged to
 *		it draws from the grants (pure/pool.c), and the row of the use says how
 *		much from which.  A reversal first has paid what a use would: what it gives
 *		back does not depend on whether there was one meanwhile.
 *
 * LAYOUT
 *		The counters of a pool's grants, and of what it owes, stand among those
 *		of its entity (entity.h).  The resolution has a GovDraw for each, of one
 *		pool after the other.
 *
 * LOCKING
 *		As in resolve.c and charge.c: the caller has the stripe's lock, nothing
 *		here allocates, raises or waits.
 *
 * ESCROW
 *		What a use takes from a grant is in its counter at once, and goes off it
 *		if the transaction aborts: back to just that grant.  What is given back
 *		waits for the commit.  What a grant pays of a debt goes off the one
 *		counter and into the other at once: their sum, and so what is left of the
 *		pool, is the same before and after, and after an abort.  What others have
 *		in flight of a debt is not paid: it may never have been.
 *
 * RACES ACCEPTED
 *		If a use that has paid an earlier debt from a grant is rolled back when
 *		the grant has expired and more debt was made meanwhile, that grant has
 *		not paid.  If a commit fails after it has booked a debt that somebody has
 *		paid by then, what was paid is credit.
 */
#include "postgres.h"

#include "cache/own_counts.h"
#include "cache/pending.h"
#include "cache/threshold.h"
#include "gate/draw.h"

/* Find the counter of a grant, or of what the pool owes, and read it. */
static bool
read_draw(GovWalk *walk, const GovResolvedEntity *resolved, uint32 number, GovDraw *draw)
{
	draw->count = &resolved->entity->budgets[number];
	draw->counter_id = draw->count->counter_id;
	draw->pays = draw->takes = 0;
	if (!gov_resolve_counter(walk, resolved, number, &draw->counter, &draw->is_shared))
		return false;
	draw->drawn = draw->counter->total;
	if (draw->is_shared)
		draw->drawn += gov_pending_relief(draw->counter).usage;
	return true;
}

/* When the debt of a pool last grew. */
static TimestampTz
owed_at(const GovPool *pool, const GovDraw *draws)
{
	return draws[pool->ngrants].counter->window.end;
}

/* When it will have enough for a call that it does not allow. */
static TimestampTz
find_retry(const GovWalk *walk, const GovPool *pool, const GovDraw *draws,
		   const GovBudgetState *state)
{
	GovAmount	wanted = state->held + state->wanted - state->bounds->debt_limit;

	if (state->limit - state->usage >= wanted)
		return DT_NOEND;
	return gov_pool_reach(pool, draws, owed_at(pool, draws), wanted, walk->out->now);
}

/* Read the counters of a pool; false if somebody else has made a grant since its node was loaded. */
static bool
read_draws(GovWalk *walk, const GovResolvedEntity *resolved, const GovPool *pool, int *first_draw)
{
	GovResolution *out = walk->out;
	GovDraw    *draws;

	*first_draw = out->ndraws;
	out->ndraws += pool->ngrants + 1;
	if (out->ndraws > out->draws_capacity)
	{
		walk->is_full = true;
		return true;
	}
	draws = &out->draws[*first_draw];
	for (uint32 i = 0; i < pool->ngrants; i++)
	{
		if (!read_draw(walk, resolved, pool->grants[i].count, &draws[i]))
			return false;
	}
	return read_draw(walk, resolved, pool->debt, &draws[pool->ngrants]);
}

/*
 * Read what the pool has left that an event has drawn from which the request reverses:
 * what is owed is paid before anything is given back.  False as of read_draws().
 */
bool
gov_draw_read_reversed(GovWalk *walk, const GovResolvedEntity *resolved, const GovBudget *budget,
					   GovReversed *reversed)
{
	reversed->pool = gov_budget_pool(resolved->entity, budget);
	return read_draws(walk, resolved, reversed->pool, &reversed->first_draw);
}

/*
 * Read what a pool has left: its state says what is granted, and what is used of
 * that.  False as of read_draws().
 */
bool
gov_draw_read(GovWalk *walk, const GovResolvedEntity *resolved, GovResolvedBudget *budget,
			  GovBudgetState *state)
{
	GovResolution *out = walk->out;
	const GovPool *pool = gov_budget_pool(resolved->entity, budget->budget);
	GovDraw    *draws;

	budget->pool = pool;
	budget->ndraws = pool->ngrants;
	if (!read_draws(walk, resolved, pool, &budget->first_draw))
		return false;
	if (walk->is_full)
		return true;
	draws = &out->draws[budget->first_draw];
	gov_pool_at(pool, draws, owed_at(pool, draws), out->now, &state->limit, &state->usage);
	state->window_end = find_retry(walk, pool, draws, state);
	return true;
}

/* Charge a counter, and note what grows a debt. */
static void
charge_draw(GovSharedStripe *stripe, const GovRequest *request, GovDraw *draw, TimestampTz now)
{
	GovCharge	charge = {.usage = draw->takes, .moved = draw->pays};

	if (draw->takes == 0 && draw->pays == 0)
		return;
	if (draw->count->counts == GOV_COUNTS_DEBT && draw->takes > 0)
		charge.owed_at = now;
	if (!draw->is_shared)
	{
		gov_own_charge(&request->owner, draw->counter, &draw->count->id, 0,
					   draw->takes + draw->pays, 0);
		return;
	}
	draw->counter->alert_at = gov_alert_pack(GOV_ALERT_NEVER);
	draw->charged = gov_pending_charge(stripe, draw->counter, &charge);
}

/* When the next of the grants of a pool takes effect or ends. */
static TimestampTz
next_moment(const GovPool *pool, TimestampTz now)
{
	TimestampTz next = DT_NOEND;

	for (uint32 i = 0; i < pool->ngrants; i++)
	{
		const GovGrant *grant = &pool->grants[i];

		if (grant->from > now)
			next = Min(next, grant->from);
		else if (grant->until > now)
			next = Min(next, grant->until);
	}
	return next;
}

/* What is used of a pool that has committed, or is about to. */
static GovAmount
booked_usage(const GovPool *pool, const GovDraw *draws, const GovBudgetState *state, TimestampTz now)
{
	const GovSharedCounter *debt = draws[pool->ngrants].counter;
	GovAmount	in_flight = debt->total - debt->booked;

	for (uint32 i = 0; i < pool->ngrants; i++)
	{
		if (pool->grants[i].from <= now && now < pool->grants[i].until)
			in_flight += draws[i].counter->total - draws[i].counter->booked;
	}
	return state->usage - in_flight;
}

/*
 * Say from which usage on a pool that was charged must be looked at, if that is not
 * known.  When a grant has taken effect or ended it must in any case.
 */
static void
set_alert(const GovResolution *resolution, const GovResolvedBudget *budget, const GovDraw *draws,
		  const GovBudgetState *state)
{
	const GovResolvedEntity *resolved = &resolution->entities[budget->entity];
	GovPool    *pool = unconstify(GovPool *, budget->pool);
	GovSharedCounter *counter = budget->counter;
	GovAmount	ahead;

	if (resolved->loaded != NULL || gov_budget_more(resolved->entity, budget->budget)->nalerts == 0)
		return;
	if (resolution->now >= pool->alert_until)
	{
		pool->alert_until = next_moment(pool, resolution->now);
		counter->alert_at = gov_alert_pack(GOV_ALERT_ANY);
	}
	if (gov_alert_unpack(counter->alert_at) != GOV_ALERT_UNKNOWN)
		return;
	ahead = gov_threshold_ahead(resolved->entity, budget->budget, state->limit,
								booked_usage(pool, draws, state, resolution->now));
	counter->alert_at = gov_alert_pack(ahead == GOV_ALERT_NEVER ? ahead :
									   Max(counter->booked + ahead, GOV_ALERT_ANY));
}

/*
 * How much of a pool's debt may be paid: what is sure to be owed.  What this
 * transaction has made of it is, for it is not undone without what pays it.
 */
static GovAmount
payable(const GovDraw *debt)
{
	return debt->is_shared ?
		Min(debt->drawn, debt->counter->booked + gov_pending_unbooked(debt->counter)) : 0;
}

/* Draw a use from the grants of the pools that it is charged to. */
void
gov_draw_charge(GovSharedStripe *stripe, const GovRequest *request, GovResolution *resolution)
{
	for (int i = 0; i < resolution->nbudgets; i++)
	{
		const GovResolvedBudget *budget = &resolution->budgets[i];
		GovDraw    *draws = &resolution->draws[budget->first_draw];

		if (budget->pool == NULL)
			continue;
		gov_pool_choose(budget->pool, draws, owed_at(budget->pool, draws),
						payable(&draws[budget->pool->ngrants]), resolution->states[i].wanted,
						resolution->now);
		for (uint32 d = 0; d <= budget->pool->ngrants; d++)
			charge_draw(stripe, request, &draws[d], resolution->now);
		set_alert(resolution, budget, draws, &resolution->states[i]);
	}
}

/* Have the grants of the pools that the request gives back to pay what is owed, as a use would. */
void
gov_draw_pay_reversed(GovSharedStripe *stripe, const GovRequest *request, GovResolution *resolution)
{
	for (int i = 0; i < request->nreversed; i++)
	{
		const GovReversed *reversed = &request->reversed[i];
		GovDraw    *draws = &resolution->draws[reversed->first_draw];

		if (reversed->pool == NULL)
			continue;
		gov_pool_pay(reversed->pool, draws, owed_at(reversed->pool, draws),
					 payable(&draws[reversed->pool->ngrants]), resolution->now);
		for (uint32 d = 0; d <= reversed->pool->ngrants; d++)
			charge_draw(stripe, request, &draws[d], resolution->now);
	}
}

/* Take back what this very call has drawn. */
void
gov_draw_undo(const GovRequest *request, GovResolution *resolution)
{
	for (int i = 0; i < resolution->ndraws; i++)
	{
		const GovDraw *draw = &resolution->draws[i];
		GovCharge	charge = {.usage = draw->takes, .moved = draw->pays};

		if (draw->takes == 0 && draw->pays == 0)
			continue;
		if (draw->is_shared)
			gov_pending_uncharge(draw->charged, &charge);
		else
			gov_own_charge(&request->owner, draw->counter, &draw->count->id, 0,
						   -draw->takes - draw->pays, 0);
	}
}
