/*
 * sliding.c
 *		Windows that slide.
 *
 * PURPOSE
 *		A budget of the kind sliding has used, at every moment, what was used in the
 *		last cadence (cache/ring.c).  What a call does to it counts in a grain:
 *		in the present one, or, if the use is late, in that of its time, if that has
 *		not left.  The ledger has the grain as the window that the use was charged
 *		to.
 *
 * CORRECTIONS
 *		What is given back must not leave later than what it is taken off: a budget
 *		would have room left over from a use that has left.  So it goes to the last
 *		grain from which on as much was used, and not given back yet.  A late correction goes to the grain
 *		of its time, and a reversal to that of the use.
 *
 * LOCKING
 *		As in resolve.c and charge.c: the caller has the stripe's lock, nothing
 *		here allocates, raises or waits.  A check, which shares it, turns no shared
 *		counter, and subtracts what has left.
 */
#include "postgres.h"

#include "cache/pending.h"
#include "cache/ring.h"
#include "cache/threshold.h"
#include "gate/sliding.h"

/*
 * Does a budget's counter lack something?  Usage of grains that have come now, or a
 * ring, if it can have one.
 */
bool
gov_sliding_must_load(const GovSharedNode *node, const GovResolvedBudget *budget, TimestampTz now)
{
	const GovSharedCounter *counter = budget->counter;

	if (gov_ring_must_load(counter, now))
		return true;
	return unlikely(counter->ring == 0) && budget->is_shared && !gov_node_is_pinned(node);
}

/* How far the present grain is after the counter's, if that was not turned. */
static int64
distance(const GovSharedCounter *counter, TimestampTz now)
{
	int64		grain = gov_ring_grain(counter);

	return now < counter->window.end ? 0 : (now - counter->window.start) / grain * grain;
}

/* Turn the counter of a budget to the present grain, if that may be, and say what its window is. */
void
gov_sliding_turn(GovResolvedBudget *budget, TimestampTz now, bool is_exclusive)
{
	GovSharedCounter *counter = budget->counter;
	int64		span = GOV_SLIDING_GRAINS * gov_ring_grain(counter);
	TimestampTz start;

	if (now >= counter->window.end && (is_exclusive || !budget->is_shared))
		gov_ring_turn(counter, now);
	start = counter->window.start + distance(counter, now);
	budget->is_open = true;
	budget->window.start = start - span;
	TIMESTAMP_NOEND(budget->window.end);
	budget->charged_window.start = gov_ring_alert_start(counter, start);
	budget->charged_window.end = budget->charged_window.start + span;
}

/* What counts of a budget, and, if it does not allow what is wanted, when it may. */
void
gov_sliding_read(const GovResolvedBudget *budget, TimestampTz now, GovBudgetState *state)
{
	const GovSharedCounter *counter = budget->counter;

	state->usage += gov_ring_usage(counter, now) - counter->total;
	if (budget->is_shared && now >= counter->window.end)
		state->usage -= gov_pending_left(counter, budget->window.start);
	state->window_end = DT_NOEND;
	if (state->has_limit && !state->is_soft && !gov_decide_allows(state, state->wanted))
		state->window_end = gov_ring_reach(counter, now, state->usage, state->held + state->wanted,
										   state->limit, state->bounds);
}

/*
 * Alerts are raised once in each of the windows of a cadence that begin one after the
 * other (gov_ring_alert_start).  In the next one what was used before it may have
 * reached a threshold: so usage that reaches the first one is looked at.
 */
void
gov_sliding_begin_alerts(const GovEntity *entity, const GovResolvedBudget *budget)
{
	GovSharedCounter *counter = budget->counter;
	TimestampTz start = gov_ring_alert_start(counter, counter->window.start);

	if (gov_ring_of(counter)->alerts_from == start)
		return;
	gov_ring_of(counter)->alerts_from = start;
	counter->alert_at = gov_alert_pack(gov_threshold_above(entity, budget->budget, 0));
}

/* Choose the grain that usage counts in which is charged to a budget. */
void
gov_sliding_choose(GovResolution *resolution, int number)
{
	GovResolvedBudget *budget = &resolution->budgets[number];
	const GovSharedCounter *counter = budget->counter;
	GovAmount	amount = resolution->states[number].wanted;
	TimestampTz start = counter->window.start + distance(counter, resolution->now);

	if (!resolution->is_of_now)
		start = Min(start, gov_ring_grain_at(counter, resolution->occurred_at));
	else if (amount < 0)
		start = gov_ring_find_used(counter, -amount);
	budget->charged_window = (GovWindow) {start, start + gov_ring_grain(counter)};
	if (!resolution->opens)
		budget->counts = GOV_COUNTS_NOWHERE;
	else
		budget->counts = counter->ring == 0 || gov_ring_has(counter, start) ?
			GOV_COUNTS_HERE : GOV_COUNTS_EARLIER;
}
