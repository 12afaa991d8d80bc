/*
 * gate.c
 *		Check, and charge: the engine's two operations.
 *
 * PURPOSE
 *		Resolve a request, decide, and charge, all under one lock, so that no
 *		two calls ever pass on the same headroom.
 *
 * SOURCES, LOCKING
 *		README.md.  Whatever is in the way ends the attempt, is mended without the
 *		lock, and the attempt is made again.
 *
 * INVARIANTS
 *		A call that charges has entered its owner (barrier.c) before it notes how
 *		fresh the nodes must be.
 *		What is charged is in the pending list before the lock is released.
 *		Budgets of the answer point to copies, or to the private view: they
 *		stay readable without the lock until the next call.
 *
 * FAILURE
 *		Attempts are bounded.  Past the bound a check goes to the tables and a
 *		charge raises 55P03.  A cache that is full is for the caller to judge.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/guc.h"
#include "base/spi.h"
#include "base/worker_slots.h"
#include "cache/barrier.h"
#include "cache/changes.h"
#include "cache/created.h"
#include "cache/cycle.h"
#include "cache/own_counts.h"
#include "cache/pending.h"
#include "cache/private_view.h"
#include "gate/charge.h"
#include "gate/combine.h"
#include "gate/denied.h"
#include "gate/first_use.h"
#include "gate/gate.h"
#include "gate/hold_overdue.h"

#define GOV_ATTEMPTS_MAX	100

/* The working space of the call at hand; see refuse_nesting. */
static GovResolution work;

typedef struct GovGate
{
	const GovRequest *request;
	GovUse		use;
	bool		want_details;
	bool		is_private;		/* no shared memory in it at all */
	bool		knows_since;	/* of the source, where it has no private view */
	bool		has_locked;		/* what a first use is written to */
	GovMet	   *met;			/* by the call, once that matters; or NULL */
	GovSharedStripe *stripe;	/* NULL if is_private */
	GovSource	source;
	bool		is_exclusive;
	bool		is_too_far_ahead;
	int			attempts;
	GovDecision *decision;
} GovGate;

static bool
use_charges(GovUse use)
{
	return use >= GOV_USE_RECORD;
}

static bool
use_judges(GovUse use)
{
	return use == GOV_USE_CHECK || use == GOV_USE_CONSUME || use == GOV_USE_RESERVE;
}

static GovChargeKind
charge_kind(GovUse use)
{
	return use == GOV_USE_RESERVE ? GOV_CHARGE_HOLD : GOV_CHARGE_USAGE;
}

/*
 * How fresh the nodes must be: the answer knows all that was told by now.  The
 * stripe is locked.
 */
static GovFreshness
freshness_wanted(const GovSharedStripe *stripe)
{
	GovFreshness since;

	since.changes = stripe->changes;
	since.generation = pg_atomic_read_u64(gov_shmem_generation(MyDatabaseId));
	return since;
}

/* From now on answer from the tables. */
static void
turn_to_tables(GovGate *gate)
{
	GovFreshness since = {0, 0};

	Assert(!use_charges(gate->use));
	gate->is_private = true;
	gate->stripe = NULL;
	gate->source.uses_shared = false;
	gate->source.uses_private = true;
	gov_private_begin(&gate->request->owner, GOV_PRIVATE_TABLES, &since);
}

/*
 * Enter the owner, if the call charges, and note how fresh the nodes must be; false
 * if calls of the owner are kept out.  The stripe is locked.
 */
static bool
enter_owner(GovGate *gate)
{
	if (use_charges(gate->use) && !gov_barrier_enter(&gate->request->owner))
		return false;
	gate->source.since = freshness_wanted(gate->stripe);
	return true;
}

/*
 * Refuse a call of an owner one of whose entities this transaction has given
 * another id: its view takes the budgets of that for new ones.
 */
static void
refuse_renamed(const GovOwnerKey *owner)
{
	if (gov_changes_are_renamed())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this transaction has forgotten an entity of owner \"%s\"", gov_error_shown(owner->owner)),
				 errhint("Commit first.")));
}

static void
begin_private(GovGate *gate)
{
	const GovOwnerKey *owner = &gate->request->owner;

	refuse_renamed(owner);

	for (;;)
	{
		bool		is_in;

		gov_stripe_lock(gate->stripe, use_charges(gate->use) ? LW_EXCLUSIVE : LW_SHARED);
		is_in = enter_owner(gate);
		gov_stripe_unlock(gate->stripe);
		if (is_in)
			break;
		gov_barrier_wait(owner);
	}
	gov_private_begin(owner, GOV_PRIVATE_OWN_CHANGES, &gate->source.since);
}

static void
choose_source(GovGate *gate)
{
	const GovOwnerKey *owner = &gate->request->owner;

	if (!use_charges(gate->use) &&
		(!gov_shmem_is_available() || !gov_use_cache || RecoveryInProgress()))
	{
		turn_to_tables(gate);
		return;
	}
	gate->stripe = gov_stripe(owner->stripe);
	gate->source.uses_shared = true;
	gate->source.uses_private = gov_changes_has_owner(owner->owner, owner->owner_length);
	if (gate->source.uses_private)
		begin_private(gate);
}

/* Determine the time of the call; false when the event is too far ahead. */
static bool
set_time(GovGate *gate)
{
	const GovRequest *request = gate->request;

	work.now = gov_clock();
	work.is_of_now = !request->has_occurred_at || request->occurred_at >= work.now;
	work.occurred_at = work.is_of_now ? work.now : request->occurred_at;
	return !request->has_occurred_at ||
		request->occurred_at <= work.now + GOV_AHEAD_MAX_S * USECS_PER_SEC;
}

/*
 * Must what was found be readable once the lock is released?  Limits may have
 * to be, to decide again without holds past their time, and whose a budget is
 * that was not used yet.  Entities of a private
 * view stay where they are.
 */
static bool
must_copy(const GovGate *gate)
{
	return (gate->want_details || work.has_bounds || work.wants_rows) && !gate->source.uses_private;
}

static Size
copy_size(void)
{
	Size		size = 0;

	for (int i = 0; i < work.nentities; i++)
		size += MAXALIGN(work.entities[i].entity->size);
	return size;
}

/* Point the answer to copies of the entities, which others may replace. */
static void
copy_entities(void)
{
	char	   *place = work.copy;

	for (int i = 0; i < work.nentities; i++)
	{
		GovResolvedEntity *resolved = &work.entities[i];
		const GovEntity *entity = resolved->entity;

		memcpy(place, entity, entity->size);
		for (int b = 0; b < resolved->nbudgets; b++)
		{
			int			number = resolved->first_budget + b;
			GovResolvedBudget *budget = &work.budgets[number];

			budget->budget = (const GovBudget *)
				(place + ((const char *) budget->budget - (const char *) entity));
			work.states[number].bounds = gov_budget_bounds((const GovEntity *) place, budget->budget);
		}
		resolved->entity = (const GovEntity *) place;
		place += MAXALIGN(entity->size);
		Assert(place <= work.copy + work.copy_capacity);
	}
}

static void
decide_attempt(GovGate *gate)
{
	gov_decide(work.states, work.nbudgets, gate->request->amount, work.now, gate->decision);
	for (int i = 0; i < work.nbudgets; i++)
		work.budgets[i].allows = work.states[i].allows;
	if (unlikely(work.denies_unknown))
		gov_decide_unknown(gate->decision);
	if (unlikely(work.blocked >= 0))
		gov_decide_blocked(work.blocked_until, gate->decision);
}

#ifdef USE_ASSERT_CHECKING
/* After a charge that the decision has granted: is no limit exceeded by it? */
static bool
keeps_limits(const GovRequest *request)
{
	for (int i = 0; i < work.nbudgets; i++)
	{
		if (request->amount > 0 && !gov_decide_allows(&work.states[i], 0))
			return false;
	}
	return true;
}
#endif

/* Who is blocked is asked when the lock is gone (denied.c). */
static void
copy_blocked_id(void)
{
	const GovChars *id = gov_entity_id(work.entities[work.blocked].entity);

	memcpy(work.other_id, id->bytes, id->length);
	work.other_id_length = id->length;
}

/* Copy who was met, for budgets to be made of it. */
static GovOutcome
copy_met(void)
{
	work.copy_wanted = gov_combine_size(&work);
	if (work.copy_wanted > work.copy_capacity)
		return GOV_OUTCOME_GROW;
	gov_combine_copy(&work);
	return GOV_OUTCOME_COMBINE;
}

/* One attempt; everything in it is under the lock. */
static GovOutcome
attempt_locked(GovGate *gate)
{
	GovOutcome	outcome;

	Assert(gate->stripe == NULL || LWLockHeldByMe(&gate->stripe->lock));
	Assert(!use_charges(gate->use) || gate->is_exclusive);
	gate->is_too_far_ahead = !set_time(gate);
	if (gate->is_too_far_ahead)
		return GOV_OUTCOME_DONE;
	if (!gate->knows_since && gate->stripe != NULL && !gate->source.uses_private)
	{
		if (!enter_owner(gate))
			return GOV_OUTCOME_BARRIER;
		gate->knows_since = true;
	}
	Assert(!use_charges(gate->use) || gov_barrier_has_entered(&gate->request->owner));
	outcome = gov_resolve(gate->request, &gate->source, gate->is_exclusive, &work);
	if (unlikely(outcome == GOV_OUTCOME_COMBINE))
		return copy_met();
	if (outcome != GOV_OUTCOME_DONE)
		return outcome;
	if (must_copy(gate))
	{
		work.copy_wanted = copy_size();
		if (work.copy_wanted > work.copy_capacity)
			return GOV_OUTCOME_GROW;
	}

	if (gate->use != GOV_USE_RECORD)
	{
		decide_attempt(gate);
		if (unlikely(work.blocked >= 0))
			copy_blocked_id();
	}
	if (use_charges(gate->use) &&
		(gate->use == GOV_USE_RECORD || gate->decision->is_granted))
	{
		if (gov_charge_would_overflow(gate->request, &work))
			return GOV_OUTCOME_OVERFLOW;
		if (unlikely(work.wants_rows) && !gate->has_locked)
			return GOV_OUTCOME_LOCK;
		gov_charge(gate->stripe, gate->request, charge_kind(gate->use), &work);
		Assert(gate->use == GOV_USE_RECORD || keeps_limits(gate->request));
		if (gate->use != GOV_USE_RECORD)
			gate->decision->remaining -= gate->request->amount;
	}
	if (must_copy(gate))
		copy_entities();
	return GOV_OUTCOME_DONE;
}

static GovOutcome
make_attempt(GovGate *gate)
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

static void
grow_resolution(void)
{
	gov_resolve_grow(&work);
	if (work.copy_wanted <= work.copy_capacity)
		return;
	gov_resolve_keep_bounded(&work, 2 * work.copy_wanted);
	if (work.copy != NULL)
		pfree(work.copy);
	work.copy = NULL;
	work.copy_capacity = 0;
	GOV_FAULT(GOV_FAULT_MEMORY);
	work.copy = MemoryContextAllocHuge(TopMemoryContext, 2 * work.copy_wanted);
	work.copy_capacity = 2 * work.copy_wanted;
}

/* Load what an attempt found missing; false when the cache is full. */
static bool
load_missing(GovGate *gate)
{
	const GovOwnerKey *owner = &gate->request->owner;

	if (gate->source.uses_shared &&
		gov_load_shared(owner, work.missing, work.nmissing, gate->met,
						&gate->source.since) == GOV_NODE_FULL)
		return false;
	if (gate->source.uses_private)
		gov_private_load(owner, work.missing, work.nmissing, gate->met, work.now);
	return true;
}

/*
 * A node is out of date: the private view shows a budget that somebody else
 * has just committed, and the node does not; or a counter must not be turned
 * but loaded.  Or what this transaction has created may have budgets by now.
 * Have the node loaded again, and the private view read again.
 */
static void
begin_again(GovGate *gate)
{
	const GovOwnerKey *owner = &gate->request->owner;

	if (gate->is_private)
	{
		turn_to_tables(gate);
		return;
	}
	if (gov_created_is_any() &&
		gov_created_find(owner->owner, owner->owner_length, work.other_id, work.other_id_length, NULL) != NULL)
		gov_changes_note_entity(owner->owner, owner->owner_length, work.other_id, work.other_id_length);
	gov_node_invalidate(owner, work.other_id, work.other_id_length);
	gate->knows_since = false;
	choose_source(gate);
}

/*
 * Some entities have no budgets yet for what the call meets.  Have them loaded
 * again, and the private view read again.
 */
static void
make_combinations(GovGate *gate)
{
	gate->met = gov_combine_met(&work);
	work.nbuilt = 0;
	gov_private_drop();
	if (gate->is_private)
	{
		turn_to_tables(gate);
		return;
	}
	for (int i = 0; i < gate->met->count; i++)
	{
		if (work.entities[i].lacks_scope)
			gov_node_invalidate(&gate->request->owner, gate->met->items[i].id,
								gate->met->items[i].id_length);
	}
	gate->knows_since = false;
	choose_source(gate);
}

static void
give_up(GovGate *gate)
{
	if (use_charges(gate->use))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("could not load the budgets of owner \"%s\" in time",
						gov_error_shown(gate->request->owner.owner)),
				 errdetail("Other sessions were loading or evicting them all the time."),
				 errhint("Retry the call.")));
	turn_to_tables(gate);
}

/*
 * Decide as governance.on_ungoverned says, because no budget governs the call.
 */
static void
decide_ungoverned(const GovRequest *request, GovDecision *decision)
{
	if (gov_on_ungoverned == GOV_ON_UNGOVERNED_GRANT)
		return;
	if (gov_on_ungoverned == GOV_ON_UNGOVERNED_ERROR)
		ereport(ERROR,
				(errcode(GOV_ERRCODE_UNGOVERNED),
				 errmsg("no budget governs this use of \"%s\"",
						gov_error_shown_bytes(request->capability_id, request->capability_length)),
				 errhint("Assign a budget with gov_upsert_assignments, or set governance.on_ungoverned.")));
	decision->is_granted = false;
	decision->denial = GOV_DENIAL_UNGOVERNED;
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
	if (use_charges(gate->use) || !gate->source.uses_shared)
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
	/* where something is created, that comes first: see creation.c */
	if (unlikely(work.wants_rows) && work.nunknown == 0 && use_charges(gate->use) &&
		(gate->use == GOV_USE_RECORD || gate->decision->is_granted))
		gov_first_use_write(gate->request, &work);
	if (must_leave_out_overdue(gate) &&
		gov_hold_overdue_leave_out(gate->request->owner.owner, &work))
	{
		gov_worker_wanted();
		decide_attempt(gate);
	}
	if (work.nbudgets == 0 && use_judges(gate->use) && gate->decision->is_granted)
		decide_ungoverned(gate->request, gate->decision);
	if (unlikely(work.denies_unknown) && work.knows_room && !work.has_room &&
		use_charges(gate->use))
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
	work.opens = use_charges(gate->use) && charge_kind(gate->use) == GOV_CHARGE_USAGE &&
		gate->request->amount != 0;
	choose_source(gate);
}

/* Make room for what the attempt may charge, so that nothing is allocated in it. */
static void
make_room(const GovGate *gate)
{
	int			ncharges = work.budgets_capacity + gate->request->nheld + gate->request->nreversed;

	Assert(!gov_stripe_is_held());
	gov_pending_make_room(ncharges);
	if (gate->source.uses_private || work.nbuilt > 0)
		gov_own_make_room(ncharges);
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
		.is_exclusive = use_charges(use),
		.decision = decision
	};

	begin_call(&gate);
	for (;; gate.attempts++)
	{
		CHECK_FOR_INTERRUPTS();
		if (use_charges(use))
			make_room(&gate);
		switch (make_attempt(&gate))
		{
			case GOV_OUTCOME_DONE:
				*resolution = &work;
				return finish_attempts(&gate);
			case GOV_OUTCOME_OVERFLOW:
				gov_error_overflow();
				break;
			case GOV_OUTCOME_GROW:
				grow_resolution();
				break;
			case GOV_OUTCOME_COMBINE:
				make_combinations(&gate);
				break;
			case GOV_OUTCOME_LOCK:
				gov_first_use_lock();
				gate.has_locked = true;
				break;
			case GOV_OUTCOME_TURN:
				gov_resolve_compute_turns(request, &work);
				gate.is_exclusive = true;
				break;
			case GOV_OUTCOME_UNKNOWN:
				gov_resolve_build_unknown(&request->owner, gate.met, &work);
				break;
			case GOV_OUTCOME_WAIT:
				gov_node_wait(&request->owner, work.other_id, work.other_id_length);
				break;
			case GOV_OUTCOME_BARRIER:
				gov_barrier_wait(&request->owner);
				break;
			case GOV_OUTCOME_OUTDATED:
				begin_again(&gate);
				break;
			case GOV_OUTCOME_CYCLE:
				gov_cycle_refuse(request->owner.owner, work.other_id, work.other_id_length);
				gate.source.ends_cycles = true;
				break;
			case GOV_OUTCOME_LOAD:
				if (!load_missing(&gate))
					return GOV_GATE_CACHE_FULL;
				break;
		}
		if (gate.attempts >= GOV_ATTEMPTS_MAX && !gate.is_private)
			give_up(&gate);
	}
}

/* Undo the charge of the call at hand, because its row was not written. */
void
gov_gate_take_back(const GovRequest *request, GovUse use, GovResolution *resolution)
{
	GovSharedStripe *stripe = gov_stripe(request->owner.stripe);

	Assert(resolution == &work && use_charges(use));
	gov_stripe_lock(stripe, LW_EXCLUSIVE);
	gov_charge_undo(stripe, request, charge_kind(use), resolution);
	gov_stripe_unlock(stripe);
}
