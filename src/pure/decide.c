/*
 * decide.c
 *		May this much be used?  The decision over a set of budgets.
 *
 * PURPOSE
 *		The one rule of the engine, in one place: a use is granted when every
 *		budget of its set allows it, and a budget allows it when it is soft, or
 *		else amount <= call limit and usage + held + amount <= limit, as far as
 *		it has these limits.  Whether budgets come from shared memory, a private
 *		view or the tables, it is decided here.
 *		A call may use several capabilities, its meters: all or none.  Each has its
 *		amount, which is what is wanted of its budgets, and what remains of it.  The
 *		reason of a denial is the first one, as GovDenial's users rank them, that
 *		denies any of the meters.
 *
 * INVARIANTS
 *		Runs under a stripe's lock: no allocation, no error, no clock, no loop
 *		but the one over the budgets.  Sums saturate instead of overflowing,
 *		which never turns a denial into a grant: held and amount are not
 *		negative, so a sum can only be cut at the top, and no limit is there.
 */
#include "postgres.h"

#include "port/pg_bitutils.h"

#include "pure/decide.h"

/* the largest and the smallest 128-bit integers; c.h has no names for them */
#define AMOUNT_MAX	((GovAmount) (~(uint128) 0 >> 1))
#define AMOUNT_MIN	(-AMOUNT_MAX - 1)

/* a + b, or the end of the range that it passes */
static inline GovAmount
saturating_add(GovAmount a, GovAmount b)
{
	GovAmount	sum;

	if (gov_amount_add(a, b, &sum))
		return sum;
	return b > 0 ? AMOUNT_MAX : AMOUNT_MIN;
}

/* a - b, or the end of the range that it passes */
static inline GovAmount
saturating_subtract(GovAmount a, GovAmount b)
{
	GovAmount	difference;

	if (!__builtin_sub_overflow(a, b, &difference))
		return difference;
	return b < 0 ? AMOUNT_MAX : AMOUNT_MIN;
}

/* Does this budget ever deny? */
static inline bool
is_hard(const GovBudgetState *budget)
{
	return budget->has_limit && !budget->is_soft;
}

/* What is left of a budget with a limit; negative when it is over. */
static inline GovAmount
headroom_of(const GovBudgetState *budget)
{
	return saturating_subtract(saturating_subtract(budget->limit, budget->usage),
							   budget->held);
}

/* Is the amount larger than the budget allows at once, however much is left? */
static inline bool
exceeds_call_limit(const GovBudgetState *budget, GovAmount amount)
{
	return unlikely(budget->bounds != NULL) && !budget->is_soft &&
		!gov_bounds_allow_call(budget->bounds, amount);
}

/* Up to where usage may go: a pool may go into debt. */
static inline GovAmount
allowed_limit(const GovBudgetState *budget)
{
	return likely(budget->bounds == NULL) ? budget->limit :
		saturating_add(budget->limit, budget->bounds->debt_limit);
}

/* What the limit would have to be for the amount to fit under it. */
static inline GovAmount
wanted_limit(const GovBudgetState *budget, GovAmount amount)
{
	return saturating_add(saturating_add(budget->usage, budget->held), amount);
}

static inline bool
allows(const GovBudgetState *budget, GovAmount amount)
{
	if (exceeds_call_limit(budget, amount))
		return false;
	return !is_hard(budget) || wanted_limit(budget, amount) <= allowed_limit(budget);
}

/* Does one budget allow the amount? */
bool
gov_decide_allows(const GovBudgetState *budget, GovAmount amount)
{
	Assert(!budget->has_limit || budget->limit >= 0);

	return allows(budget, amount);
}

/* When a budget that does not allow the amount may do so; DT_NOEND: never. */
static TimestampTz
retry_at(const GovBudgetState *budget, GovAmount amount, TimestampTz now)
{
	if (likely(budget->bounds == NULL))
		return budget->window_end;
	if (exceeds_call_limit(budget, amount))
		return DT_NOEND;
	return Min(budget->window_end,
			   gov_bounds_reach(budget->bounds,
								saturating_subtract(wanted_limit(budget, amount), budget->carried), now));
}

/* Note a budget that does not allow the amount. */
static void
note_denial(TimestampTz may_allow_at, GovDecision *decision)
{
	/* The last one to allow it decides when it is worth trying again. */
	if (decision->is_granted || may_allow_at > decision->retry_at)
		decision->retry_at = may_allow_at;
	decision->is_granted = false;
}

/* Note how much is left of a hard budget. */
static void
note_remaining(const GovBudgetState *budget, GovDecision *decision)
{
	GovAmount	left = headroom_of(budget);
	GovAmount  *remaining = &decision->remaining[budget->meter];

	if (!gov_decide_has_remaining(decision, budget->meter) || left < *remaining)
		*remaining = left;
	decision->has_remaining |= UINT32_C(1) << budget->meter;
}

/*
 * The meters of which some budget would not allow what is wanted even if nothing of
 * it were used.
 */
static uint32
find_exceeding(const GovBudgetState *budgets, int nbudgets)
{
	uint32		exceeding = 0;

	for (int i = 0; i < nbudgets; i++)
	{
		const GovBudgetState *budget = &budgets[i];

		if (exceeds_call_limit(budget, budget->wanted) ||
			(is_hard(budget) && budget->wanted > allowed_limit(budget)))
			exceeding |= UINT32_C(1) << budget->meter;
	}
	return exceeding;
}

static void
init_decision(GovDecision *decision)
{
	decision->is_granted = true;
	decision->denial = GOV_DENIAL_NONE;
	decision->denied = -1;
	decision->governed = decision->has_remaining = 0;
	decision->has_retry_at = false;
	decision->retry_at = 0;
}

/*
 * Decide about what is wanted of the distinct budgets of a set, and say of each
 * whether it allows that.  An empty set grants; the caller decides whether that
 * is wanted.
 */
void
gov_decide(GovBudgetState *budgets, int nbudgets, TimestampTz now, GovDecision *decision)
{
	uint32		failing = 0;
	uint32		exceeding;

	Assert(nbudgets >= 0);
	init_decision(decision);
	for (int i = 0; i < nbudgets; i++)
	{
		GovBudgetState *budget = &budgets[i];
		uint32		meter = UINT32_C(1) << budget->meter;

		Assert(budget->wanted >= 0 && budget->meter < GOV_METERS_MAX);
		decision->governed |= meter;
		budget->allows = allows(budget, budget->wanted);
		if (!budget->allows)
		{
			note_denial(retry_at(budget, budget->wanted, now), decision);
			failing |= meter;
		}
		if (is_hard(budget))
			note_remaining(budget, decision);
	}

	if (decision->is_granted)
		return;

	exceeding = find_exceeding(budgets, nbudgets) & failing;
	decision->denial = exceeding != 0 ? GOV_DENIAL_EXCEEDING_LIMIT :
		GOV_DENIAL_BUDGET_EXCEEDED;
	decision->denied = pg_rightmost_one_pos32(exceeding != 0 ? exceeding : failing);
	decision->has_retry_at = !TIMESTAMP_IS_NOEND(decision->retry_at);
}

/*
 * Every meter must be governed: one that no budget governs is denied, whatever the
 * budgets of the others say, and no time will change that.
 */
void
gov_decide_ungoverned(int nmeters, GovDecision *decision)
{
	uint32		ungoverned = ((UINT32_C(1) << nmeters) - 1) & ~decision->governed;

	Assert(nmeters <= GOV_METERS_MAX);
	if (ungoverned == 0)
		return;
	decision->is_granted = false;
	decision->has_retry_at = false;
	decision->denial = GOV_DENIAL_UNGOVERNED;
	decision->denied = pg_rightmost_one_pos32(ungoverned);
}

/*
 * A name stands for no entity where it must: whatever the budgets say, the answer
 * is no, and no time will change that.
 */
void
gov_decide_unknown(GovDecision *decision)
{
	decision->is_granted = false;
	decision->has_retry_at = false;
	decision->denial = GOV_DENIAL_UNKNOWN_ENTITY;
	decision->denied = -1;
}

/*
 * An entity of the set is blocked until a time: whatever the budgets say, the
 * answer is no.  What they deny as well has to end too.
 */
void
gov_decide_blocked(TimestampTz until, GovDecision *decision)
{
	decision->has_retry_at = (decision->is_granted || decision->has_retry_at) &&
		!TIMESTAMP_IS_NOEND(until);
	decision->retry_at = decision->is_granted ? until : Max(until, decision->retry_at);
	decision->is_granted = false;
	decision->denial = GOV_DENIAL_BLOCKED;
	decision->denied = -1;
}

/* The owner is frozen: whatever else holds, the answer is no, and no time will change that. */
void
gov_decide_frozen(GovDecision *decision)
{
	decision->is_granted = false;
	decision->has_retry_at = false;
	decision->denial = GOV_DENIAL_FROZEN;
	decision->denied = -1;
}

/* The reason as callers see it; NULL when nothing was denied. */
const char *
gov_decide_reason(GovDenial denial)
{
	switch (denial)
	{
		case GOV_DENIAL_NONE:
			return NULL;
		case GOV_DENIAL_EXCEEDING_LIMIT:
			return "RequestedUsageExceedingLimit";
		case GOV_DENIAL_BUDGET_EXCEEDED:
			return "BudgetExceeded";
		case GOV_DENIAL_UNGOVERNED:
			return "Ungoverned";
		case GOV_DENIAL_BLOCKED:
			return "Blocked";
		case GOV_DENIAL_UNKNOWN_ENTITY:
			return "UnknownEntity";
		case GOV_DENIAL_FROZEN:
			return "Frozen";
		case GOV_DENIAL_UNAVAILABLE:
			return "Unavailable";
	}

	Assert(false);				/* every value has its case */
	return NULL;
}
