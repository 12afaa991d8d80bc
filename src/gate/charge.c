/*
 * charge.c
 *		Charges the budgets of a resolution.
 *
 * PURPOSE
 *		Adds a call's amounts to every budget that it resolved to, as usage or
 *		as a hold, and takes a hold that it ends off the budgets that this was
 *		held against; both in one step.  What a call reverses goes to the
 *		budgets that the event was charged to.
 *
 * LOCKING
 *		The caller has the owner's stripe locked, exclusive, from before the
 *		resolution on.
 *
 * INVARIANTS
 *		What is charged in shared memory is in the pending list before the lock
 *		is released.  Where a budget has usage in place of a hold, no more than
 *		the larger of the two is taken from others at any moment (pending.c).
 *
 * FAILURE
 *		None: what could fail was done before (gov_pending_make_room), and each
 *		function is a critical section.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "cache/own_counts.h"
#include "cache/pending.h"
#include "cache/ring.h"
#include "cache/threshold.h"
#include "gate/carried.h"
#include "gate/charge.h"
#include "gate/draw.h"
#include "gate/opening.h"
#include "gate/sliding.h"

/*
 * What the call adds to a budget's present window: nothing if it occurred
 * before that.
 */
static inline GovAmount
present_amount(const GovResolution *resolution, int number)
{
	const GovResolvedBudget *budget = &resolution->budgets[number];

	if (gov_budget_is_timed(budget->budget))
		return budget->counts == GOV_COUNTS_HERE ? resolution->states[number].wanted : 0;
	return resolution->is_of_now || resolution->occurred_at >= budget->window.start ?
		resolution->states[number].wanted : 0;
}

/* What the call does to one of the budgets of its resolution. */
static GovCharge
charge_of(GovChargeKind kind, const GovResolution *resolution, int number)
{
	GovAmount	ended = resolution->budgets[number].ended;
	GovCharge	charge = {0};

	if (unlikely(resolution->budgets[number].before != NULL) &&
		resolution->budgets[number].before_is_shared)
		charge.before = resolution->budgets[number].before;
	if (kind == GOV_CHARGE_HOLD)
		charge.held = resolution->states[number].wanted;
	else
		charge.usage = present_amount(resolution, number);
	if (gov_budget_slides(resolution->budgets[number].budget))
		charge.grain = resolution->budgets[number].charged_window.start;
	if (ended != 0)
	{
		charge.held -= ended;
		charge.covered = Min(Max(charge.usage, 0), ended);
	}
	return charge;
}

/*
 * What a charge to a private counter changes in the shared counter of the same
 * budget's holds.
 */
static GovCharge
shared_part(const GovCharge *charge)
{
	GovAmount	ended = Max(-charge->held, 0);

	return (GovCharge) {.held = charge->held, .withheld = Max(charge->usage - ended, 0)};
}

/*
 * Say from which usage on the counter must be looked at, if that is not known.
 * A private view, and what would be created, have thresholds that may never be in
 * force.  Of a pool draw.c says it.
 */
static void
set_alert(const GovResolvedEntity *resolved, const GovResolvedBudget *budget)
{
	GovSharedCounter *counter = budget->counter;

	if (unlikely(counter->ring != 0) && resolved->loaded == NULL)
		gov_sliding_begin_alerts(resolved->entity, budget);
	if (resolved->loaded == NULL && gov_alert_unpack(counter->alert_at) == GOV_ALERT_UNKNOWN &&
		budget->pool == NULL)
		counter->alert_at = gov_alert_pack(gov_threshold_above(resolved->entity, budget->budget,
															   counter->booked));
}

/*
 * Charge one budget: in shared memory, or, where its counter is this
 * transaction's alone, in the private view.  Then others see only what is
 * held.
 */
static void
charge_budget(GovSharedStripe *stripe, const GovOwnerKey *owner,
			  GovResolvedBudget *budget, GovCharge charge)
{
	if (!budget->is_shared)
	{
		gov_own_charge(owner, budget->counter, &budget->budget->id, charge.grain, charge.usage,
					   budget->holds_are_shared ? 0 : charge.held);
		charge = shared_part(&charge);
	}
	if (budget->holds_are_shared)
		budget->charged = gov_pending_charge(stripe, budget->holds, &charge);
}

/* Take back what charge_budget() has charged. */
static void
uncharge_budget(const GovOwnerKey *owner, GovResolvedBudget *budget, GovCharge charge)
{
	if (!budget->is_shared)
	{
		gov_own_charge(owner, budget->counter, &budget->budget->id, charge.grain, -charge.usage,
					   budget->holds_are_shared ? 0 : -charge.held);
		charge = shared_part(&charge);
	}
	if (budget->holds_are_shared)
		gov_pending_uncharge(budget->charged, &charge);
}

/* The budget of the resolution that a hold is held against; NULL if none is. */
static GovResolvedBudget *
find_budget(GovResolution *resolution, const GovHeld *held, int guess)
{
	for (int i = 0; i < resolution->nbudgets; i++)
	{
		GovResolvedBudget *budget =
		&resolution->budgets[(guess + i) % resolution->nbudgets];

		if (budget->holds == held->counter)
			return budget;
	}
	return NULL;
}

/* Take the hold off the budgets that nothing else happens to. */
static void
end_hold(GovSharedStripe *stripe, const GovRequest *request, GovResolution *resolution)
{
	int			guess = 0;

	for (int i = 0; i < request->nheld; i++)
	{
		const GovHeld *held = &request->held[i];
		GovCharge	charge = {.held = -held->amount};
		GovResolvedBudget *budget;

		Assert(held->amount >= 0);
		if (held->counter == NULL)
			continue;
		budget = find_budget(resolution, held, guess);
		if (budget != NULL)
		{
			budget->ended = held->amount;
			guess = budget - resolution->budgets + 1;
		}
		else if (held->is_shared)
			gov_pending_charge(stripe, held->counter, &charge);
		else
			gov_own_charge(&request->owner, held->counter, &held->budget_id, 0, 0, charge.held);
	}
}

/*
 * What a reversal does to a counter.  What was used in an earlier window is
 * given back there, by the row alone.
 */
static GovCharge
reversal_of(const GovReversed *reversed)
{
	const GovSharedCounter *counter = reversed->counter;
	bool		is_present = counter->ring != 0 ? gov_ring_has(counter, reversed->window.start) :
	counter->window.start == reversed->window.start;

	return (GovCharge) {
		.usage = is_present ? reversed->amount : 0,
		.grain = reversed->window.start,
		.before = reversed->before
	};
}

/*
 * Say how much each gets back of what the request reverses.  Where a pool owes
 * something, what a live grant would get makes that smaller instead: so none has
 * anything left while something is owed.
 */
static void
share_reversed(const GovRequest *request)
{
	for (int i = 0; i < request->nreversed; i++)
		request->reversed[i].amount = request->reversed[i].wanted;
	for (int i = 0; i < request->nreversed; i++)
	{
		GovReversed *reversed = &request->reversed[i];
		GovReversed *debt = &request->reversed[reversed->debt];
		GovAmount	shared;

		if (!reversed->is_drawn || !reversed->is_live || debt->counter == NULL || !debt->is_shared)
			continue;
		shared = Min(debt->counter->total + gov_pending_relief(debt->counter).usage + debt->amount,
					 -reversed->amount);
		if (shared <= 0)
			continue;
		reversed->amount += shared;
		debt->amount -= shared;
	}
}

/* Give back to the budgets that the event was charged to which the request reverses. */
static void
reverse_event(GovSharedStripe *stripe, const GovRequest *request, GovResolution *resolution)
{
	gov_draw_pay_reversed(stripe, request, resolution);
	share_reversed(request);
	for (int i = 0; i < request->nreversed; i++)
	{
		GovReversed *reversed = &request->reversed[i];
		GovCharge	charge;

		if (reversed->counter == NULL)
			continue;
		charge = reversal_of(reversed);
		if (reversed->is_shared)
			reversed->charged = gov_pending_charge(stripe, reversed->counter, &charge);
		if (reversed->is_shared && unlikely(reversed->before != NULL))
			gov_carried_reverse(stripe, reversed);
		else if (!reversed->is_shared)
			gov_own_charge(&request->owner, reversed->counter, &reversed->budget_id, charge.grain, charge.usage, 0);
	}
}

/* Take back what reverse_event() has given. */
static void
reverse_undo(const GovRequest *request)
{
	for (int i = 0; i < request->nreversed; i++)
	{
		GovReversed *reversed = &request->reversed[i];
		GovCharge	charge;

		if (reversed->counter == NULL)
			continue;
		charge = reversal_of(reversed);
		if (reversed->is_shared)
			gov_pending_uncharge(reversed->charged, &charge);
		if (reversed->is_shared && unlikely(reversed->before != NULL))
			gov_carried_reverse_undo(reversed);
		else if (!reversed->is_shared)
			gov_own_charge(&request->owner, reversed->counter, &reversed->budget_id, charge.grain, -charge.usage, 0);
	}
}

/* Choose where usage counts that is charged to a budget whose windows no calendar says. */
static void
choose_window(GovResolution *resolution, int number)
{
	if (gov_budget_slides(resolution->budgets[number].budget))
		gov_sliding_choose(resolution, number);
	else
		gov_opening_choose(resolution, number);
}

/* Charge every budget, end the request's hold, and give back what it reverses. */
void
gov_charge(GovSharedStripe *stripe, const GovRequest *request, GovChargeKind kind,
		   GovResolution *resolution)
{
	Assert(LWLockHeldByMeInMode(&stripe->lock, LW_EXCLUSIVE));
	START_CRIT_SECTION();
	end_hold(stripe, request, resolution);
	if (unlikely(request->nreversed > 0))
		reverse_event(stripe, request, resolution);
	for (int i = 0; i < resolution->nbudgets; i++)
	{
		GovResolvedBudget *budget = &resolution->budgets[i];
		bool		is_timed = gov_budget_is_timed(budget->budget);
		GovCharge	charge;

		if (is_timed)
			choose_window(resolution, i);
		charge = charge_of(kind, resolution, i);
		Assert(is_timed || budget->window.start == budget->counter->window.start);
		set_alert(&resolution->entities[budget->entity], budget);
		charge_budget(stripe, &request->owner, budget, charge);
		if (unlikely(budget->before != NULL) && kind == GOV_CHARGE_USAGE)
			gov_carried_charge(stripe, resolution, i);
		if (!is_timed || budget->is_open)
			resolution->states[i].usage += charge.usage;
		resolution->states[i].held += charge.held;
	}
	if (unlikely(resolution->ndraws > 0) && kind == GOV_CHARGE_USAGE)
		gov_draw_charge(stripe, request, resolution);
	END_CRIT_SECTION();
}

/* Undo the charge of this very call, because its row was not written. */
void
gov_charge_undo(GovSharedStripe *stripe, const GovRequest *request, GovChargeKind kind,
				GovResolution *resolution)
{
	Assert(LWLockHeldByMeInMode(&stripe->lock, LW_EXCLUSIVE));
	Assert(request->nheld == 0);
	START_CRIT_SECTION();
	reverse_undo(request);
	for (int i = 0; i < resolution->nbudgets; i++)
	{
		uncharge_budget(&request->owner, &resolution->budgets[i],
						charge_of(kind, resolution, i));
		if (unlikely(resolution->budgets[i].before != NULL) && kind == GOV_CHARGE_USAGE)
			gov_carried_undo(resolution, i);
	}
	if (unlikely(resolution->ndraws > 0))
		gov_draw_undo(request, resolution);
	END_CRIT_SECTION();
}

/*
 * Would a count leave the range of amounts?  That takes very many of the
 * largest.
 */
bool
gov_charge_would_overflow(const GovRequest *request, const GovResolution *resolution)
{
	GovAmount	sum;

	for (int i = 0; i < resolution->nbudgets; i++)
	{
		const GovBudgetState *state = &resolution->states[i];

		if (!gov_amount_add(state->usage, state->held, &sum) ||
			!gov_amount_add(sum, state->wanted, &sum))
			return true;
	}
	for (int i = 0; i < request->nreversed; i++)
	{
		const GovSharedCounter *counter = request->reversed[i].counter;

		if (counter != NULL && !gov_amount_add(counter->total, request->reversed_amount, &sum))
			return true;
	}
	return false;
}
