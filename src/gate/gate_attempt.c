/*
 * gate_attempt.c
 *		One attempt of a call: resolve, decide and charge, under one lock.
 *
 * LOCKING
 *		The attempt takes the owner's stripe, and holds it to its end: nothing in it
 *		allocates, raises or waits.  What is in the way ends it with no change, and
 *		is its outcome.
 *
 * INVARIANTS
 *		What is charged is in the pending list before the lock is released.
 *		Budgets of the answer point to copies, or to the private view: they
 *		stay readable without the lock until the next call.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/guc.h"
#include "cache/barrier.h"
#include "cache/frozen.h"
#include "gate/combine.h"
#include "gate/gate_call.h"

/* Determine the time of the call; false when the event is too far ahead. */
static bool
set_time(GovGate *gate)
{
	const GovRequest *request = gate->request;
	GovResolution *work = gate->work;

	work->now = gov_clock();
	work->is_of_now = !request->has_occurred_at || request->occurred_at >= work->now;
	work->occurred_at = work->is_of_now ? work->now : request->occurred_at;
	return !request->has_occurred_at ||
		request->occurred_at <= work->now + GOV_AHEAD_MAX_S * USECS_PER_SEC;
}

/*
 * Must what was found be readable once the lock is released?  Limits may have
 * to be, to decide again without holds past their time, and whose a budget is
 * that was not used yet.  Entities of a private view stay where they are.
 */
static bool
must_copy(const GovGate *gate)
{
	const GovResolution *work = gate->work;

	return (gate->want_details || work->has_bounds || work->wants_rows) && !gate->source.uses_private;
}

static Size
copy_size(const GovResolution *work)
{
	Size		size = 0;

	for (int i = 0; i < work->nentities; i++)
		size += MAXALIGN(work->entities[i].entity->size);
	return size;
}

/* Point the answer to copies of the entities, which others may replace. */
static void
copy_entities(GovResolution *work)
{
	char	   *place = work->copy;

	for (int i = 0; i < work->nentities; i++)
	{
		GovResolvedEntity *resolved = &work->entities[i];
		const GovEntity *entity = resolved->entity;

		memcpy(place, entity, entity->size);
		for (int b = 0; b < resolved->nbudgets; b++)
		{
			int			number = resolved->first_budget + b;
			GovResolvedBudget *budget = &work->budgets[number];

			budget->budget = (const GovBudget *)
				(place + ((const char *) budget->budget - (const char *) entity));
			work->states[number].bounds = gov_budget_bounds((const GovEntity *) place, budget->budget);
		}
		resolved->entity = (const GovEntity *) place;
		place += MAXALIGN(entity->size);
		Assert(place <= work->copy + work->copy_capacity);
	}
}

/* Decide what was resolved. */
void
gov_gate_decide(GovGate *gate)
{
	GovResolution *work = gate->work;

	gov_decide(work->states, work->nbudgets, work->now, gate->decision);
	for (int i = 0; i < work->nbudgets; i++)
		work->budgets[i].allows = work->states[i].allows;
	if (gov_on_ungoverned != GOV_ON_UNGOVERNED_GRANT && gov_gate_judges(gate->use) &&
		!work->denies_unknown && work->blocked < 0)
		gov_decide_ungoverned(gate->request->nmeters, gate->decision);
	if (unlikely(work->denies_unknown))
		gov_decide_unknown(gate->decision);
	if (unlikely(work->blocked >= 0))
		gov_decide_blocked(work->blocked_until, gate->decision);
	if (unlikely(gate->is_frozen) && gov_gate_judges(gate->use))
		gov_decide_frozen(gate->decision);
}

#ifdef USE_ASSERT_CHECKING
/* After a charge that the decision has granted: is no limit exceeded by it? */
static bool
keeps_limits(const GovResolution *work)
{
	for (int i = 0; i < work->nbudgets; i++)
	{
		if (work->states[i].wanted > 0 && !gov_decide_allows(&work->states[i], 0))
			return false;
	}
	return true;
}
#endif

/* Who is blocked is asked when the lock is gone (denied.c). */
static void
copy_blocked_id(GovResolution *work)
{
	const GovChars *id = gov_entity_id(work->entities[work->blocked].entity);

	memcpy(work->other_id, id->bytes, id->length);
	work->other_id_length = id->length;
}

/* Copy who was met, for budgets to be made of it. */
static GovOutcome
copy_met(GovResolution *work)
{
	work->copy_wanted = gov_combine_size(work);
	if (work->copy_wanted > work->copy_capacity)
		return GOV_OUTCOME_GROW;
	gov_combine_copy(work);
	return GOV_OUTCOME_COMBINE;
}

/* One attempt; everything in it is under the lock. */
static GovOutcome
attempt_locked(GovGate *gate)
{
	GovResolution *work = gate->work;
	GovOutcome	outcome;

	Assert(gate->stripe == NULL || LWLockHeldByMe(&gate->stripe->lock));
	Assert(!gov_gate_charges(gate->use) || gate->is_exclusive);
	gate->is_too_far_ahead = !set_time(gate);
	if (gate->is_too_far_ahead)
		return GOV_OUTCOME_DONE;
	if (!gate->knows_since && gate->stripe != NULL && !gate->source.uses_private)
	{
		if (!gov_gate_enter_owner(gate))
			return GOV_OUTCOME_BARRIER;
		gate->knows_since = true;
	}
	Assert(!gov_gate_charges(gate->use) || gov_barrier_has_entered(&gate->request->owner));
	if (gate->stripe != NULL && unlikely(gov_frozen_is_outdated()))
		return GOV_OUTCOME_FROZEN;
	gate->is_frozen = gov_frozen_has(gate->request->owner.owner, gate->request->owner.owner_length) &&
		!gate->request->is_of_engine;
	if (unlikely(gate->is_frozen) && gov_gate_charges(gate->use))
		return GOV_OUTCOME_DONE;
	outcome = gov_resolve(gate->request, &gate->source, gate->is_exclusive, work);
	if (unlikely(outcome == GOV_OUTCOME_COMBINE))
		return copy_met(work);
	if (outcome != GOV_OUTCOME_DONE)
		return outcome;
	if (must_copy(gate))
	{
		work->copy_wanted = copy_size(work);
		if (work->copy_wanted > work->copy_capacity)
			return GOV_OUTCOME_GROW;
	}

	if (gate->use != GOV_USE_RECORD)
	{
		gov_gate_decide(gate);
		if (unlikely(work->blocked >= 0))
			copy_blocked_id(work);
	}
	if (gov_gate_charges(gate->use) &&
		(gate->use == GOV_USE_RECORD || gate->decision->is_granted))
	{
		if (gov_charge_would_overflow(gate->request, work))
			return GOV_OUTCOME_OVERFLOW;
		if (unlikely(work->wants_rows) && !gate->has_locked)
			return GOV_OUTCOME_LOCK;
		if (unlikely(work->wants_rows))
		{
			gate->full = gov_combine_full_meter(work, gate->request);
			if (gate->full != NULL)
				return GOV_OUTCOME_FULL;
		}
		gov_charge(gate->stripe, gate->request, gov_gate_charge_kind(gate->use), work);
		Assert(gate->use == GOV_USE_RECORD || keeps_limits(work));
		for (int m = 0; m < gate->request->nmeters && gate->use != GOV_USE_RECORD; m++)
			gate->decision->remaining[m] -= gate->request->meters[m].amount;
	}
	if (must_copy(gate))
		copy_entities(work);
	return GOV_OUTCOME_DONE;
}

/* Make an attempt, under the stripe's lock unless the answer comes from the tables. */
GovOutcome
gov_gate_attempt(GovGate *gate)
{
	GovOutcome	outcome;

	if (gate->stripe == NULL)
		return attempt_locked(gate);

	gov_stripe_lock(gate->stripe, gate->is_exclusive ? LW_EXCLUSIVE : LW_SHARED);
	outcome = attempt_locked(gate);
	if (outcome == GOV_OUTCOME_DONE && gate->attempts == 0)
		pg_atomic_fetch_add_u64(&gate->stripe->hits, 1);
	gov_stripe_unlock(gate->stripe);
	return outcome;
}

/* Make the arrays that are full larger, and the copy if it was too small.  No lock is held. */
void
gov_gate_grow(GovGate *gate)
{
	GovResolution *work = gate->work;

	gov_resolve_grow(work);
	if (work->copy_wanted <= work->copy_capacity)
		return;
	gov_resolve_keep_bounded(work, 2 * work->copy_wanted);
	if (work->copy != NULL)
		pfree(work->copy);
	work->copy = NULL;
	work->copy_capacity = 0;
	GOV_FAULT(GOV_FAULT_MEMORY);
	work->copy = MemoryContextAllocHuge(TopMemoryContext, 2 * work->copy_wanted);
	work->copy_capacity = 2 * work->copy_wanted;
}
