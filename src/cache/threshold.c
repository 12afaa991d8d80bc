/*
 * threshold.c
 *		The amounts of usage at which a budget raises alerts.
 *
 * PURPOSE
 *		A threshold is a percentage of the limit; what a node keeps of a budget
 *		is the least amount that reaches it, so that whether a use crosses one
 *		is a comparison.  Which percentage it was, and of which limit, is read
 *		from the tables by whoever has crossed (alert.c).
 *
 * ALERT_AT
 *		Of a counter, and its window: all thresholds below that amount have
 *		been dealt with, and usage that reaches it must be looked at.  It is
 *		unknown after it was reached, and in a new window, until the next
 *		charge that has the budget at hand; meanwhile every rise of the usage
 *		is looked at.  When the budget changes, or its node is loaded, nothing
 *		counts as dealt with, so that the next use finds what a lowered limit
 *		has passed.  It only ever errs on the side of looking: usage that falls
 *		and rises again need not be looked at, but may.
 *
 *		A budget whose limit changes with time is looked at whenever it is used:
 *		what was dealt with under one limit is not under a lower one.
 *
 * LIMITS
 *		No threshold of a budget is 0: of a limit of 0 it is the smallest
 *		amount that there is.
 *
 * FAILURE
 *		None; arguments in, answer out.
 */
#include "postgres.h"

#include "cache/threshold.h"

/* The least amount above the usage at which the budget raises an alert. */
GovAmount
gov_threshold_above(const GovEntity *entity, const GovBudget *budget, GovAmount usage)
{
	const GovBudgetMore *more = gov_budget_more(entity, budget);
	const GovAmount *amounts = (const GovAmount *) ((const char *) entity + more->alerts);
	const GovBounds *bounds = gov_budget_bounds(entity, budget);

	if (more->nalerts > 0 && bounds != NULL && (bounds->nsteps > 0 || bounds->carries))
		return GOV_ALERT_ANY;
	for (uint32 i = 0; i < more->nalerts; i++)
	{
		Assert(amounts[i] > 0 && (i == 0 || amounts[i] >= amounts[i - 1]));
		if (amounts[i] > usage)
			return amounts[i];
	}
	return GOV_ALERT_NEVER;
}

/*
 * Must usage that goes from one amount to another be looked at?  If so, it may
 * have crossed thresholds above *above, up to after.
 */
bool
gov_threshold_crossed(GovAmount alert_at, GovAmount before, GovAmount after,
					  GovAmount *above)
{
	*above = alert_at == GOV_ALERT_UNKNOWN ? Max(before, 0) : alert_at - 1;
	return after > *above;
}
