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
 * POOLS
 *		The thresholds of a pool are of what its live grants come to, and what
 *		reaches them is what of that is used up or owed: its counter counts more.
 *		alert_at is put so that the counter reaches it when the threshold is
 *		reached, which holds until a grant takes effect or ends (alert_until).
 *
 * LIMITS
 *		No threshold of a budget is 0: of a limit of 0 it is the smallest
 *		amount that there is.
 *
 * FAILURE
 *		None; arguments in, answer out.
 */
#include "postgres.h"

#include <float.h>

#include "cache/threshold.h"

#define ROUNDING	(8 * DBL_EPSILON)	/* of a product of amounts that were
										 * rounded */

/* The least amount above the usage at which the budget raises an alert. */
GovAmount
gov_threshold_above(const GovEntity *entity, const GovBudget *budget, GovAmount usage)
{
	const GovBudgetMore *more = gov_budget_more(entity, budget);
	const GovAmount *amounts = (const GovAmount *) ((const char *) entity + more->alerts);
	const GovBounds *bounds = gov_budget_bounds(entity, budget);

	if (more->nalerts > 0 && bounds != NULL &&
		(bounds->nsteps > 0 || bounds->is_pool || bounds->carries))
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
 * How much more must be used of a pool to raise an alert; rounded down.  Of what is
 * granted that much is used by now.
 */
GovAmount
gov_threshold_ahead(const GovEntity *entity, const GovBudget *budget, GovAmount granted, GovAmount used)
{
	const GovBudgetMore *more = gov_budget_more(entity, budget);
	const GovAmount *amounts = (const GovAmount *) ((const char *) entity + more->alerts);
	double		of_one = (double) granted / ((double) GOV_THRESHOLD_OF_POOL * GOV_AMOUNT_UNIT);

	for (uint32 i = 0; i < more->nalerts; i++)
	{
		double		amount = of_one * (double) amounts[i];

		if (amount * (1 + ROUNDING) + 1 > (double) used)
			return Max((GovAmount) (amount * (1 - ROUNDING)) - used, 0);
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
