/*
 * gate.c
 *		Check, and charge: the engine's two operations.
 *
 * PURPOSE
 *		Resolve a request, decide, and charge, all under one lock, so that no
 *		two calls ever pass on the same headroom.
 *
 * SOURCES, LOCKING
 *		README.md.  Whatever is in the way ends the attempt (gate_attempt.c), is
 *		mended without the lock, and the attempt is made again.
 *
 * FAILURE
 *		Attempts are bounded.  Past the bound a check goes to the tables and a
 *		charge raises 55P03.  A cache that is full is for the caller to judge.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/errors.h"
#include "base/guc.h"
#include "base/spi.h"
#include "base/worker_slots.h"
#include "cache/barrier.h"
#include "cache/cycle.h"
#include "cache/frozen.h"
#include "cache/load.h"
#include "cache/own_counts.h"
#include "cache/pending.h"
#include "gate/denied.h"
#include "gate/first_use.h"
#include "gate/gate.h"
#include "gate/gate_call.h"
#include "gate/hold_overdue.h"

#define GOV_ATTEMPTS_MAX	100

/* The working space of the call at hand; see refuse_nesting. */
static GovResolution work;

/* What the call at hand has found too many budgets for. */
static const GovMeter *full;

static void
give_up(GovGate *gate)
{
	if (gov_gate_charges(gate->use))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("could not load the budgets of owner \"%s\" in time",
						gov_error_shown(gate->request->owner.owner)),
				 errdetail("Other sessions were loading or evicting them all the time."),
				 errhint("Retry the call.")));
	gov_gate_turn_to_tables(gate);
}

/* Raise an error: an entity would have too many budgets for a capability. */
pg_noreturn static void
refuse_budgets(const GovMeter *meter)
{
	gov_load_refuse_budgets(pnstrdup(work.other_id, work.other_id_length),
							pnstrdup(meter->capability_id, meter->capability_length));
}

/*
 * Must holds past their time, which are still in the counters, be left out of
 * the answer?  For display they are tolerable while a worker is at work, which
 * takes them out within a second.  But an expired hold must never cause a
 * denial.
 */
static bool
must_leave_out_overdue(const GovGate *gate)
{
	if (gov_gate_charges(gate->use) || !gate->source.uses_shared)
		return false;
	return gov_hold_overdue_may_deny(&work, gate->decision) ||
		(gate->want_details && gov_hold_overdue_is_possible(&work) && !gov_worker_is_at_work());
}

/* The attempts are over: the rest needs no lock. */
static GovGateStatus
finish_attempts(GovGate *gate)
{
	if (gate->is_too_far_ahead)
		return GOV_GATE_TOO_FAR_AHEAD;
	if (unlikely(gate->is_frozen) && gov_gate_charges(gate->use))
		return GOV_GATE_FROZEN;
	/* where something is created, that comes first: see creation.c */
	if (unlikely(work.wants_rows) && work.nunknown == 0 && gov_gate_charges(gate->use) &&
		(gate->use == GOV_USE_RECORD || gate->decision->is_granted))
		gov_first_use_write(gate->request, &work);
	if (must_leave_out_overdue(gate) &&
		gov_hold_overdue_leave_out(gate->request->owner.owner, &work))
	{
		gov_worker_wanted();
		gov_gate_decide(gate);
	}
	if (gov_gate_judges(gate->use) && gate->decision->denial == GOV_DENIAL_UNGOVERNED &&
		gov_on_ungoverned == GOV_ON_UNGOVERNED_ERROR)
		return GOV_GATE_UNGOVERNED;
	if (unlikely(work.denies_unknown) && work.knows_room && !work.has_room &&
		gov_gate_charges(gate->use))
		pg_atomic_fetch_add_u64(&gov_shared->creations_refused, 1);
	/* a call that charges may yet be granted, and says so itself */
	if (gate->use == GOV_USE_CHECK && !gate->decision->is_granted)
		gov_denied_note(gate->request, true, &work, gate->decision);
	return GOV_GATE_ANSWERED;
}

/*
 * Refuse a call that is made while a row is written.  Users' code may call us
 * in the middle of a call: from a trigger on the holds or the alerts, when the
 * outer call needs the working space no more.  But while a row is written
 * below SPI, expressions of users' indexes are evaluated, and the outer call
 * still needs what is resolved, to answer or to take its charge back.
 */
static void
refuse_nesting(void)
{
	if (gov_spi_is_writing_row())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("governance cannot be called while it writes a row"),
				 errdetail("An expression of an index on one of its tables has called it."),
				 errhint("Drop that index.")));
}

/* Empty the working space, and choose where the call is answered from. */
static void
begin_call(GovGate *gate)
{
	Assert(!gov_stripe_is_held() && !gov_load_has_claims());
	refuse_nesting();
	work.now = 0;
	work.nturns = work.nsorted = 0;
	work.copy_wanted = 0;
	work.nbuilt = 0;
	work.knows_room = false;
	work.opens = gov_gate_charges(gate->use) && gov_gate_charge_kind(gate->use) == GOV_CHARGE_USAGE;
	gov_frozen_refresh(gate->request->owner.owner);
	gov_gate_choose_source(gate);
}

/* Make room for what the attempt may charge, so that nothing is allocated in it. */
static void
make_room(const GovGate *gate)
{
	int			ncharges = 2 * work.budgets_capacity + work.draws_capacity + gate->request->nheld +
	2 * gate->request->nreversed;	/* with windows before */

	Assert(!gov_stripe_is_held());
	gov_pending_make_room(ncharges);
	if (gate->source.uses_private || work.nbuilt > 0 || gate->request->nreversed > 0)
		gov_own_make_room(ncharges);
}

/*
 * May windows that are to be computed be out of range?  Those of budgets are that have
 * an anchor.
 */
static bool
turns_may_raise(void)
{
	for (int i = 0; i < work.nturns; i++)
	{
		if (work.turns[i].cadence.kind == GOV_WINDOW_CALENDAR)
			return true;
	}
	return false;
}

/*
 * Is what is in the way mended by reading tables or computing windows?  That may
 * raise an error about what the request names.
 */
static bool
mending_may_raise(GovOutcome outcome)
{
	switch (outcome)
	{
		case GOV_OUTCOME_LOAD:
		case GOV_OUTCOME_OUTDATED:
		case GOV_OUTCOME_CYCLE:
		case GOV_OUTCOME_UNKNOWN:
		case GOV_OUTCOME_COMBINE:
			return true;
		case GOV_OUTCOME_TURN:
			return turns_may_raise();
		default:
			return false;
	}
}

/* Make attempts, and mend what is in their way, until the request is answered. */
static GovGateStatus
answer(GovGate *gate)
{
	const GovRequest *request = gate->request;

	begin_call(gate);
	for (;; gate->attempts++)
	{
		GovOutcome	outcome;

		CHECK_FOR_INTERRUPTS();
		if (gov_gate_charges(gate->use))
			make_room(gate);
		outcome = gov_gate_attempt(gate);
		if (!gate->mends && mending_may_raise(outcome))
			return GOV_GATE_UNREADY;
		switch (outcome)
		{
			case GOV_OUTCOME_DONE:
				return finish_attempts(gate);
			case GOV_OUTCOME_OVERFLOW:
				return GOV_GATE_OVERFLOW;
			case GOV_OUTCOME_GROW:
				gov_gate_grow(gate);
				break;
			case GOV_OUTCOME_COMBINE:
				gov_gate_make_combinations(gate);
				break;
			case GOV_OUTCOME_FULL:
				full = gate->full;
				return GOV_GATE_FULL;
			case GOV_OUTCOME_LOCK:
				gov_first_use_lock();
				gate->has_locked = true;
				break;
			case GOV_OUTCOME_TURN:
				gov_resolve_compute_turns(request, &work);
				gate->is_exclusive = true;
				break;
			case GOV_OUTCOME_UNKNOWN:
				gov_resolve_build_unknown(&request->owner, gate->met, &work);
				break;
			case GOV_OUTCOME_WAIT:
				gov_node_wait(&request->owner, work.other_id, work.other_id_length);
				break;
			case GOV_OUTCOME_BARRIER:
				gov_barrier_wait(&request->owner);
				break;
			case GOV_OUTCOME_FROZEN:
				gov_frozen_refresh(request->owner.owner);
				break;
			case GOV_OUTCOME_OUTDATED:
				gov_gate_begin_again(gate);
				break;
			case GOV_OUTCOME_CYCLE:
				gov_cycle_refuse(request->owner.owner, work.other_id, work.other_id_length);
				gate->source.ends_cycles = true;
				break;
			case GOV_OUTCOME_LOAD:
				if (!gov_gate_load_missing(gate))
					return GOV_GATE_CACHE_FULL;
				break;
		}
		if (gate->attempts >= GOV_ATTEMPTS_MAX && !gate->is_private)
			give_up(gate);
	}
}

/* Raise what the gate has found wrong with a request. */
void
gov_gate_raise(GovGateStatus status, const GovRequest *request, const GovDecision *decision)
{
	if (status == GOV_GATE_FROZEN)
		gov_frozen_raise(request->owner.owner);
	if (status == GOV_GATE_OVERFLOW)
		gov_error_overflow();
	if (status == GOV_GATE_FULL)
		refuse_budgets(full);
	if (status == GOV_GATE_UNGOVERNED)
	{
		const GovMeter *meter = &request->meters[decision->denied];

		ereport(ERROR,
				(errcode(GOV_ERRCODE_UNGOVERNED),
				 errmsg("no budget governs this use of \"%s\"",
						gov_error_shown_bytes(meter->capability_id, meter->capability_length)),
				 errhint("Assign a budget with gov_upsert_assignments, or set governance.on_ungoverned.")));
	}
}

/*
 * Answer a request, and charge it if that is its use.  The resolution is valid
 * until the next call; its budgets can be read only if want_details.
 */
GovGateStatus
gov_gate(const GovRequest *request, GovUse use, bool want_details,
		 GovResolution **resolution, GovDecision *decision)
{
	GovGate		gate = {
		.request = request,
		.use = use,
		.want_details = want_details,
		.mends = true,
		.is_exclusive = gov_gate_charges(use),
		.work = &work,
		.decision = decision
	};
	GovGateStatus status = answer(&gate);

	*resolution = &work;
	if (unlikely(status != GOV_GATE_ANSWERED))
		gov_gate_raise(status, request, decision);
	return status;
}

/*
 * The same with all details, for one of many requests: what is wrong with it is
 * returned, and not raised.  Where something has to be read or computed first, which
 * may raise an error about it, that is left undone unless mends; then nothing is
 * charged.
 */
GovGateStatus
gov_gate_try(const GovRequest *request, GovUse use, bool mends,
			 GovResolution **resolution, GovDecision *decision)
{
	GovGate		gate = {
		.request = request,
		.use = use,
		.want_details = true,
		.mends = mends,
		.is_exclusive = gov_gate_charges(use),
		.work = &work,
		.decision = decision
	};

	*resolution = &work;
	return answer(&gate);
}

/* Undo the charge of the call at hand, because its row was not written. */
void
gov_gate_take_back(const GovRequest *request, GovUse use, GovResolution *resolution)
{
	GovSharedStripe *stripe = gov_stripe(request->owner.stripe);

	Assert(resolution == &work && gov_gate_charges(use));
	gov_stripe_lock(stripe, LW_EXCLUSIVE);
	gov_charge_undo(stripe, request, gov_gate_charge_kind(use), resolution);
	gov_stripe_unlock(stripe);
}
