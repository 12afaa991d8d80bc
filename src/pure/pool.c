/*
 * pool.c
 *		What the grants of a pool have left, and which of them a use draws from.
 *
 * PURPOSE
 *		A use draws from the grants that are live when it is recorded, in the
 *		order in which the pool has them, and what they do not have is debt.  A
 *		debt is paid by the grants that become effective after it was made, in
 *		the order in which they do.  Nothing runs when one does: that it has paid
 *		is computed here, and written down by the next use or reversal.
 *
 * DEBT
 *		What is owed is counted apart from the grants, with the time at which it
 *		last grew.  Then nothing live had anything left.  So of the grants that
 *		have ended those have paid that became effective since; those that had
 *		ended before have nothing to do with it.  Of the live ones each
 *		that has something left pays.
 *
 *		Below 0 it is credit: what was given back, and belongs to no grant.  It
 *		does not expire, and is used before everything else.
 *
 * INVARIANTS
 *		What a call takes of the grants, the debt and the credit is its amount,
 *		and what it pays comes to 0.  No grant is drawn from past its amount, but
 *		by a transaction that gives back to it at its commit.
 *
 * FAILURE
 *		None; arguments in, answer out.  Runs under a stripe's lock, but for
 *		what makes a pool.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "pure/pool.h"

/* What names the count of a pool's debt among the budgets of its entity: no other id is like it. */
pg_uuid_t
gov_pool_debt_id(const pg_uuid_t *pool)
{
	pg_uuid_t	id;

	for (int i = 0; i < UUID_LEN; i++)
		id.data[i] = ~pool->data[i];
	return id;
}

/* The order in which debts are paid: that in which they take effect, and then that of uses. */
static int
compare_payers(const void *left, const void *right, void *arg)
{
	const GovGrant *grants = arg;
	uint32		a = *(const uint32 *) left;
	uint32		b = *(const uint32 *) right;

	if (grants[a].from != grants[b].from)
		return grants[a].from < grants[b].from ? -1 : 1;
	return (a > b) - (a < b);
}

/* Find the order in which the grants of a pool pay debts; they are in that of uses. */
void
gov_pool_set_payers(GovPool *pool)
{
	uint32	   *payers = palloc(sizeof(uint32) * Max(pool->ngrants, 1));

	for (uint32 i = 0; i < pool->ngrants; i++)
		payers[i] = i;
	qsort_arg(payers, pool->ngrants, sizeof(uint32), compare_payers, pool->grants);
	for (uint32 i = 0; i < pool->ngrants; i++)
		pool->grants[i].payer = payers[i];
	pfree(payers);
}

/* What is left of a grant, live or not. */
static GovAmount
left_of(const GovGrant *grant, const GovDraw *draw)
{
	return Max(grant->amount - draw->drawn - draw->pays - draw->takes, 0);
}

static bool
is_live(const GovGrant *grant, TimestampTz at)
{
	return grant->from <= at && at < grant->until;
}

/*
 * May a grant pay what was owed at a time, as of another time?  One that was
 * voided before it took effect pays nothing.
 */
static bool
may_pay(const GovGrant *grant, TimestampTz owed_at, TimestampTz at)
{
	return is_live(grant, at) ||
		(grant->from <= at && grant->from < grant->until && grant->from >= owed_at);
}

/* What grants that have ended have paid of the debt. */
static GovAmount
paid_by_ended(const GovPool *pool, const GovDraw *draws, TimestampTz owed_at, TimestampTz at)
{
	GovAmount	owed = draws[pool->ngrants].drawn;
	GovAmount	paid = 0;

	for (uint32 i = 0; i < pool->ngrants && owed > 0; i++)
	{
		uint32		number = pool->grants[i].payer;
		const GovGrant *grant = &pool->grants[number];
		GovAmount	pays;

		if (!may_pay(grant, owed_at, at))
			continue;
		pays = Min(left_of(grant, &draws[number]), owed);
		owed -= pays;
		if (at >= grant->until)
			paid += pays;
	}
	return paid;
}

/*
 * What the live grants of a pool come to at a time, and what of that is used up
 * or owed.
 */
void
gov_pool_at(const GovPool *pool, const GovDraw *draws, TimestampTz owed_at,
			TimestampTz at, GovAmount *granted, GovAmount *used)
{
	*granted = 0;
	*used = draws[pool->ngrants].drawn - paid_by_ended(pool, draws, owed_at, at);
	for (uint32 i = 0; i < pool->ngrants; i++)
	{
		if (!is_live(&pool->grants[i], at))
			continue;
		*granted += pool->grants[i].amount;
		*used += draws[i].drawn;
	}
}

/*
 * The first time after another at which the pool has so much left, if nothing is
 * used until then; DT_NOEND if it never has.
 */
TimestampTz
gov_pool_reach(const GovPool *pool, const GovDraw *draws, TimestampTz owed_at,
			   GovAmount wanted, TimestampTz after)
{
	for (uint32 i = 0; i < pool->ngrants; i++)
	{
		TimestampTz from = pool->grants[pool->grants[i].payer].from;
		GovAmount	granted;
		GovAmount	used;

		if (from <= after)
			continue;
		gov_pool_at(pool, draws, owed_at, from, &granted, &used);
		if (granted - used >= wanted)
			return from;
	}
	return DT_NOEND;
}

/*
 * Have grants pay what they can of a debt, and nothing be taken.  One that others do
 * not see pays none that they do: they would take it for paid.
 */
void
gov_pool_pay(const GovPool *pool, GovDraw *draws, TimestampTz owed_at, GovAmount payable, TimestampTz at)
{
	GovDraw    *debt = &draws[pool->ngrants];

	for (uint32 i = 0; i <= pool->ngrants; i++)
		draws[i].pays = draws[i].takes = 0;
	for (uint32 i = 0; i < pool->ngrants && payable > 0; i++)
	{
		uint32		number = pool->grants[i].payer;
		const GovGrant *grant = &pool->grants[number];
		GovAmount	pays;

		if (!may_pay(grant, owed_at, at) || draws[number].is_shared != debt->is_shared)
			continue;
		pays = Min(left_of(grant, &draws[number]), payable);
		draws[number].pays += pays;
		debt->pays -= pays;
		payable -= pays;
	}
}

/*
 * Choose what a use draws: it has what may be paid of the debt paid, and then
 * takes its amount.  What is given back without saying of what, a negative
 * amount, makes the debt smaller.
 */
void
gov_pool_choose(const GovPool *pool, GovDraw *draws, TimestampTz owed_at,
				GovAmount payable, GovAmount amount, TimestampTz at)
{
	GovDraw    *debt = &draws[pool->ngrants];
	GovAmount	left = amount;

	gov_pool_pay(pool, draws, owed_at, payable, at);
	if (unlikely(debt->drawn < 0 && left > 0))
	{
		debt->takes = Min(left, -debt->drawn);
		left -= debt->takes;
	}
	for (uint32 i = 0; i < pool->ngrants && left > 0; i++)
	{
		if (!is_live(&pool->grants[i], at))
			continue;
		draws[i].takes = Min(left_of(&pool->grants[i], &draws[i]), left);
		left -= draws[i].takes;
	}
	debt->takes += left;
}

/*
 * Give back of what a use was chosen to take: the last first.  More than that is
 * credit.
 */
void
gov_pool_give_back(const GovPool *pool, GovDraw *draws, GovAmount amount)
{
	for (uint32 i = pool->ngrants + 1; i-- > 0 && amount > 0;)
	{
		GovAmount	gives = Min(amount, Max(draws[i].takes, 0));

		draws[i].takes -= gives;
		amount -= gives;
	}
	draws[pool->ngrants].drawn -= amount;
}
