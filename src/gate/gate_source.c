/*
 * gate_source.c
 *		Where a call of the gate is answered from.
 *
 * PURPOSE
 *		Chooses between the shared nodes, a private view with shared counters, and
 *		the tables alone (README.md); and has nodes loaded that an attempt has
 *		found missing or out of date.
 *
 * LOCKING
 *		No stripe is locked, but by gov_gate_enter_owner(), whose caller has it.
 *
 * INVARIANTS
 *		A call that charges has entered its owner (barrier.c) before it notes how
 *		fresh the nodes must be.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"

#include "base/errors.h"
#include "base/guc.h"
#include "cache/barrier.h"
#include "cache/changes.h"
#include "cache/created.h"
#include "cache/private_view.h"
#include "gate/combine.h"
#include "gate/gate_call.h"

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
void
gov_gate_turn_to_tables(GovGate *gate)
{
	GovFreshness since = {0, 0};

	Assert(!gov_gate_charges(gate->use));
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
bool
gov_gate_enter_owner(GovGate *gate)
{
	if (gov_gate_charges(gate->use) && !gov_barrier_enter(&gate->request->owner))
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
	if (gov_barrier_has_renamed(owner))
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

		gov_stripe_lock(gate->stripe, gov_gate_charges(gate->use) ? LW_EXCLUSIVE : LW_SHARED);
		is_in = gov_gate_enter_owner(gate);
		gov_stripe_unlock(gate->stripe);
		if (is_in)
			break;
		gov_barrier_wait(owner);
	}
	gov_private_begin(owner, GOV_PRIVATE_OWN_CHANGES, &gate->source.since);
}

/* Choose where the call is answered from, at its beginning or anew. */
void
gov_gate_choose_source(GovGate *gate)
{
	const GovOwnerKey *owner = &gate->request->owner;

	if (!gov_gate_charges(gate->use) && !gate->request->has_unwritten &&
		(!gov_shmem_is_available() || !gov_use_cache || RecoveryInProgress()))
	{
		gov_gate_turn_to_tables(gate);
		return;
	}
	gate->stripe = gov_stripe(owner->stripe);
	gate->source.uses_shared = true;
	gate->source.uses_private = gov_changes_has_owner(owner->owner, owner->owner_length);
	if (gate->source.uses_private)
		begin_private(gate);
}

/* Load what an attempt found missing; false when the cache is full. */
bool
gov_gate_load_missing(GovGate *gate)
{
	const GovOwnerKey *owner = &gate->request->owner;

	if (gate->source.uses_shared &&
		gov_load_shared(owner, gate->work->missing, gate->work->nmissing, gate->met,
						&gate->source.since) == GOV_NODE_FULL)
		return false;
	if (gate->source.uses_private)
		gov_private_load(owner, gate->work->missing, gate->work->nmissing, gate->met, gate->work->now);
	return true;
}

/*
 * A node is out of date: the private view shows a budget that somebody else
 * has just committed, and the node does not; or a counter must not be turned
 * but loaded.  Or what this transaction has created may have budgets by now.
 * Have the node loaded again, and the private view read again.
 */
void
gov_gate_begin_again(GovGate *gate)
{
	const GovOwnerKey *owner = &gate->request->owner;

	if (gate->is_private)
	{
		gov_gate_turn_to_tables(gate);
		return;
	}
	if (gov_created_is_any() &&
		gov_created_find(owner->owner, owner->owner_length, gate->work->other_id, gate->work->other_id_length, NULL) != NULL)
		gov_changes_note_entity(owner->owner, owner->owner_length, gate->work->other_id, gate->work->other_id_length);
	gov_node_invalidate(owner, gate->work->other_id, gate->work->other_id_length);
	gate->knows_since = false;
	gov_gate_choose_source(gate);
}

/*
 * Some entities have no budgets yet for what the call meets.  Have them loaded
 * again, and the private view read again.
 */
void
gov_gate_make_combinations(GovGate *gate)
{
	gate->met = gov_combine_met(gate->work);
	gate->work->nbuilt = 0;
	gov_private_drop();
	if (gate->is_private)
	{
		gov_gate_turn_to_tables(gate);
		return;
	}
	for (int i = 0; i < gate->met->count; i++)
	{
		if (gate->work->entities[i].lacks_scope)
			gov_node_invalidate(&gate->request->owner, gate->met->items[i].id,
								gate->met->items[i].id_length);
	}
	gate->knows_since = false;
	gov_gate_choose_source(gate);
}
