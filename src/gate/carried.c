/*
 * carried.c
 *		What budgets carry over from the window before.
 *
 * PURPOSE
 *		The limit of a window is the budget's own, with its boosts, and what is
 *		carried over from the window before: what that has left unused of its own
 *		limit, or less what it went over (pure/carry.c).  It is computed at each call
 *		from the count of that window, so a late use of it, a correction, a reversal
 *		and a rollback change the limit of the present one at once.
 *
 * LAYOUT
 *		A budget that carries over has a second count, of the window before, which
 *		stands among those of its entity under a capability that nothing is used of,
 *		as the counts of a pool do (entity.h).  Its counter_id is the budget's: what
 *		the ledger has of that window is of that counter.  In it total is what was
 *		used, held what the window had of its own, and covered what was carried into
 *		it.  Other budgets have nothing of this.
 *
 * TURN
 *		When a counter turns, the window that is over becomes the window before, with
 *		what is in flight of it: whoever is writing into the old window has its
 *		usage in that count, so it is in nobody's headroom twice.  Its entry in the
 *		list of pending charges has pins on both counts, and finds the second when it
 *		ends (pending.c).  Where windows have passed of which nothing was used, the
 *		node is loaded instead (cache/load_carry.c).
 *
 *		The limit that the old window had is that of the node: no change to it has
 *		been committed since it was loaded, or the node would be stale.
 *
 * OLDER WINDOWS
 *		What was carried into the window before changes by a late use of one before
 *		that.  That is of no count in memory: the commit says that what was carried is
 *		outdated, and the next call has the node loaded.
 *
 * LOCKING
 *		As in resolve.c and charge.c: the caller has the stripe's lock, nothing
 *		here allocates, raises or waits.
 *
 * RACES ACCEPTED
 *		A transaction that has used a window and is open over two turns is not in the
 *		tables, if in the meantime the node is loaded: until it commits, its usage
 *		makes nothing smaller that is carried into the window before.  The same holds
 *		for one that has used the window before when carrying over begins.  A late
 *		use of a window that is older still counts from its commit, for its own
 *		transaction too; so does what a transaction has given back to a window that
 *		two turns have made older.
 */
#include "postgres.h"

#include "cache/pending.h"
#include "gate/carried.h"

/* The count of the window before, of a budget by whose rule its counter turns; NULL if it has none. */
static GovSharedCounter *
find_before(const GovResolvedEntity *resolved, const GovRuled *ruled, bool is_shared)
{
	const GovCarry *carry = gov_budget_carry(ruled->entity, ruled->budget);
	pg_uuid_t	id;

	if (!is_shared)
		return &resolved->loaded->counters[carry->before];
	if (ruled->entity == gov_node_content(resolved->node))
		return gov_node_counter(resolved->node, carry->before);
	id = gov_carry_before_id(&ruled->budget->id);
	return gov_node_find_kept(resolved->node, &id);
}

/* What is carried over from a window before. */
static GovAmount
carried_from(const GovCarryRule *rule, GovAmount own, GovAmount carried, GovAmount used)
{
	return own == GOV_CARRIES_NOTHING ? 0 : gov_carry_next(rule, own, carried, used);
}

/*
 * A counter is about to turn to a window that starts then: its own becomes the window
 * before.  False if that takes a load.
 */
bool
gov_carried_turn(const GovResolvedEntity *resolved, const GovRuled *ruled,
				 const GovSharedCounter *counter, bool is_shared, TimestampTz start)
{
	const GovCarry *carry = gov_budget_carry(ruled->entity, ruled->budget);
	GovSharedCounter *before = find_before(resolved, ruled, is_shared);
	GovAmount	carried;

	if (before == NULL || before->is_outdated || before->id != counter->id ||
		counter->window.end < start || before->window.end != counter->window.start)
		return false;
	carried = carried_from(&carry->rule, before->held, before->covered, before->total);
	before->window.start = counter->window.start;
	before->window.end = start;
	before->total = counter->total;
	before->booked = counter->booked;
	before->last_event = Max(before->last_event, counter->last_event);
	before->covered = carried;
	if (carry->made_at >= start)
		before->held = GOV_CARRIES_NOTHING;
	else if (start > carry->since)
		before->held = ruled->budget->has_limit ? ruled->budget->limit : GOV_CARRIES_NOTHING;
	else
		before->held = carry->had_limit ? carry->limit_before : GOV_CARRIES_NOTHING;
	return true;
}

/*
 * Read what is carried into the present window, and add it to the limit.  False if the
 * node is to be loaded first.
 */
bool
gov_carried_read(GovWalk *walk, const GovResolvedEntity *resolved, GovResolvedBudget *budget,
				 GovBudgetState *state)
{
	const GovCarry *carry = gov_budget_carry(resolved->entity, budget->budget);
	const GovSharedCounter *known;
	GovAmount	used;

	if (!gov_resolve_counter(walk, resolved, carry->before, &budget->before, &budget->before_is_shared))
		return false;
	if (budget->before->is_outdated || budget->before->id != budget->counter->id ||
		budget->before->window.end != budget->counter->window.start)
		return walk->is_outdated;

	known = budget->before;
	if (budget->before_is_shared && resolved->loaded != NULL)
	{
		/* a private view has the limits that the transaction sees */
		const GovSharedCounter *loaded = &resolved->loaded->counters[carry->before];

		if (loaded->window.end < known->window.end)
			return walk->is_outdated;
		if (loaded->window.end == known->window.end)
			known = loaded;
	}
	used = budget->before->total;
	if (budget->before_is_shared)
		used += gov_pending_relief(budget->before).usage;
	state->carried = carried_from(&carry->rule, known->held, known->covered, used);
	state->limit = Max(state->limit + state->carried, 0);
	return true;
}

/* What a late use does to the count of the window before; false if it is of the present one. */
static bool
charge_of(const GovResolution *resolution, int number, GovCharge *charge)
{
	const GovResolvedBudget *budget = &resolution->budgets[number];

	if (resolution->is_of_now || resolution->occurred_at >= budget->window.start)
		return false;
	*charge = (GovCharge) {.before = budget->before};
	if (resolution->occurred_at >= budget->before->window.start)
		charge->usage = resolution->states[number].wanted;
	else
		charge->is_older = true;
	return true;
}

/* Charge a late use to the count of the window before, if it is of that or an older one. */
void
gov_carried_charge(GovSharedStripe *stripe, GovResolution *resolution, int number)
{
	GovResolvedBudget *budget = &resolution->budgets[number];
	GovCharge	charge;

	if (!charge_of(resolution, number, &charge))
		return;
	if (budget->before_is_shared)
		budget->before_charged = gov_pending_charge(stripe, budget->before, &charge);
	else
		budget->before->total += charge.usage;
}

/* Take back what gov_carried_charge() has charged. */
void
gov_carried_undo(GovResolution *resolution, int number)
{
	GovResolvedBudget *budget = &resolution->budgets[number];
	GovCharge	charge;

	if (!charge_of(resolution, number, &charge))
		return;
	if (budget->before_is_shared)
		gov_pending_uncharge(budget->before_charged, &charge);
	else
		budget->before->total -= charge.usage;
}

/* What a reversal does to the count of the window before; false if the event is of the present one. */
static bool
reversal_of(const GovReversed *reversed, GovCharge *charge)
{
	if (reversed->window.start >= reversed->counter->window.start)
		return false;
	*charge = (GovCharge) {.before = reversed->before};
	if (reversed->window.start >= reversed->before->window.start)
		charge->usage = reversed->amount;
	else
		charge->is_older = true;
	return true;
}

/* Give back to the count of the window before what was used of it. */
void
gov_carried_reverse(GovSharedStripe *stripe, GovReversed *reversed)
{
	GovCharge	charge;

	if (reversal_of(reversed, &charge))
		reversed->before_charged = gov_pending_charge(stripe, reversed->before, &charge);
}

/* Take back what gov_carried_reverse() has given. */
void
gov_carried_reverse_undo(GovReversed *reversed)
{
	GovCharge	charge;

	if (reversal_of(reversed, &charge))
		gov_pending_uncharge(reversed->before_charged, &charge);
}
