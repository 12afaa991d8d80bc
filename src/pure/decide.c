/*
 * decide.c
 *		May this much be used?  The decision over a set of budgets.
 *
 * PURPOSE
 *		The one rule of the engine, in one place: a use is granted when every
 *		budget of its set allows it, and a budget allows it when it has no
 *		limit, is soft, or usage + held + amount <= limit.  Whether budgets come
 *		from shared memory, a private view or the tables, it is decided here.
 *
 * INVARIANTS
 *		Runs under a stripe's lock: no allocation, no error, no clock, no loop
 *		but the one over the budgets.  Sums saturate instead of overflowing,
 *		which never turns a denial into a grant: held and amount are not
 *		negative, so a sum can only be cut at the top, and no limit is there.
 */
#include "postgres.h"


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

/* Does one budget allow the amount? */
bool
gov_decide_allows(const GovBudgetState *budget, GovAmount amount)
{
	Assert(!budget->has_limit || budget->limit >= 0);

	if (!is_hard(budget))
		return true;
	return saturating_add(saturating_add(budget->usage, budget->held),
						  amount) <= budget->limit;
}

/* Note a budget that does not allow the amount. */
static void
note_denial(const GovBudgetState *budget, GovDecision *decision)
{
	/* The last window to end decides when it is worth trying again. */
	if (decision->is_granted || budget->window_end > decision->retry_at)
		decision->retry_at = budget->window_end;
	decision->is_granted = false;
}

/*
 * Decide about an amount over the distinct budgets of a set.  An empty set
 * grants; the caller decides whether that is wanted.
 */
void
gov_decide(const GovBudgetState *budgets, int nbudgets, GovAmount amount,
		   GovDecision *decision)
{
	bool		exceeds_limit = false;

	Assert(nbudgets >= 0);
	Assert(amount >= 0);

	memset(decision, 0, sizeof(GovDecision));
	decision->is_granted = true;

	for (int i = 0; i < nbudgets; i++)
	{
		const GovBudgetState *budget = &budgets[i];
		GovAmount	left;

		if (!gov_decide_allows(budget, amount))
			note_denial(budget, decision);
		if (!is_hard(budget))
			continue;

		left = headroom_of(budget);
		if (!decision->has_remaining || left < decision->remaining)
			decision->remaining = left;
		decision->has_remaining = true;
		exceeds_limit |= amount > budget->limit;
	}

	if (decision->is_granted)
		return;

	Assert(decision->has_remaining);
	decision->denial = exceeds_limit ? GOV_DENIAL_EXCEEDING_LIMIT :
		GOV_DENIAL_BUDGET_EXCEEDED;
	decision->has_retry_at = !TIMESTAMP_IS_NOEND(decision->retry_at);
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
		case GOV_DENIAL_UNAVAILABLE:
			return "Unavailable";
	}

	Assert(false);				/* every value has its case */
	return NULL;
}
