/*
 * carry.c
 *		What a budget carries over from one window to the next.
 *
 * PURPOSE
 *		The limit of a window is the budget's own, and what was carried over from
 *		the window before.  What was carried is used first; so what is left at the
 *		end of a window is of its own limit as far as it is no more than that, and
 *		only that is carried again, at most unused_max of it.
 *
 *		What a window has used past its limit is a debt, which makes the limit of
 *		the next one smaller.  One that is larger than a whole limit goes on until
 *		it is paid: a window whose limit it has used up goes over by the rest,
 *		whatever is used of it.
 *
 * FAILURE
 *		None; arguments in, answer out.  Runs under a stripe's lock.  Sums stay in
 *		the range of amounts as long as each of the arguments is one that a limit
 *		or a count can have.
 */
#include "postgres.h"

#include "pure/carry.h"

/* The largest that is told apart, so that no sum of two leaves the range. */
#define GOV_CARRY_MAX	((GovAmount) (~(uint128) 0 >> 3))

static GovAmount
within_range(GovAmount amount)
{
	return Max(Min(amount, GOV_CARRY_MAX), -GOV_CARRY_MAX);
}

/*
 * What is carried into the window after one that had so much of its own, into which
 * so much was carried, and of which so much was used; below 0 for a debt.
 */
GovAmount
gov_carry_next(const GovCarryRule *rule, GovAmount own, GovAmount carried, GovAmount used)
{
	GovAmount	left = within_range(own) + within_range(carried) - within_range(used);

	Assert(own >= 0 && rule->unused_max >= 0);
	if (left < 0)
		return rule->carries_debt ? within_range(left) : 0;
	return Min(Min(left, own), rule->unused_max);
}

/*
 * The same for some windows in a row with one limit, of which nothing was used.  A
 * debt is paid by each of them; once there is none, each carries the same.
 */
GovAmount
gov_carry_silent(const GovCarryRule *rule, GovAmount own, GovAmount carried, int64 nwindows)
{
	Assert(nwindows >= 0);
	if (carried < 0 && own > 0 && nwindows > 0)
	{
		GovAmount	paying = Min(-carried / own, (GovAmount) nwindows - 1);

		carried += paying * own;
		nwindows -= (int64) paying;
	}
	for (int64 i = 0; i < Min(nwindows, 2); i++)
		carried = gov_carry_next(rule, own, carried, 0);
	return carried;
}

/*
 * The id by which the count of the window before is found, where the budget's is
 * known: no id that is drawn has these bits.
 */
pg_uuid_t
gov_carry_before_id(const pg_uuid_t *budget)
{
	pg_uuid_t	id = *budget;

	id.data[8] ^= 0xC0;
	id.data[0] ^= 0x55;
	return id;
}
