/*
 * pool.h
 *		A pool: what its grants have left, and which of them a use draws from.
 */
#ifndef GOV_POOL_H
#define GOV_POOL_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/uuid.h"

#include "pure/amount.h"

/* A grant that may be drawn from now or later, or that may yet pay a debt. */
typedef struct GovGrant
{
	GovAmount	amount;
	int64		counter_id;		/* of what was drawn from it */
	TimestampTz from;
	TimestampTz until;			/* it expires, or was voided; DT_NOEND: neither */
	uint32		count;			/* which of the entity's budgets counts that */
	uint32		payer;			/* the grant in this place of the order in which
								 * debts are paid */
} GovGrant;

/* The grants of a pool, in the order in which uses draw from them. */
typedef struct GovPool
{
	int64		debt_counter_id;
	uint32		debt;			/* which of the entity's budgets counts what no
								 * grant has paid */
	uint32		ngrants;
	TimestampTz alert_until;	/* in shared memory, changed with the stripe
								 * locked: so long its counter's alert_at
								 * holds; threshold.c */
	GovGrant	grants[FLEXIBLE_ARRAY_MEMBER];
} GovPool;

/*
 * What was drawn from a grant, and what a call draws.  A pool has one for each
 * of its grants, in their order, and then one for its debt.
 */
typedef struct GovDraw
{
	GovAmount	drawn;			/* as the call sees it; of the debt: what is
								 * owed, below 0 for credit */
	GovAmount	pays;			/* of what was owed; of the debt, what is paid,
								 * below 0 */
	GovAmount	takes;			/* of the call's amount */
	int64		counter_id;
	struct GovSharedCounter *counter;
	const struct GovBudget *count;	/* what counts it */
	bool		is_shared;		/* the counter is in shared memory */
	int			charged;		/* the pending entry, if is_shared */
} GovDraw;

extern pg_uuid_t gov_pool_debt_id(const pg_uuid_t *pool);
extern void gov_pool_set_payers(GovPool *pool);
extern void gov_pool_at(const GovPool *pool, const GovDraw *draws, TimestampTz owed_at,
						TimestampTz at, GovAmount *granted, GovAmount *used);
extern TimestampTz gov_pool_reach(const GovPool *pool, const GovDraw *draws,
								  TimestampTz owed_at, GovAmount wanted, TimestampTz after);
extern void gov_pool_pay(const GovPool *pool, GovDraw *draws, TimestampTz owed_at,
						 GovAmount payable, TimestampTz at);
extern void gov_pool_choose(const GovPool *pool, GovDraw *draws, TimestampTz owed_at,
							GovAmount payable, GovAmount amount, TimestampTz at);
extern void gov_pool_give_back(const GovPool *pool, GovDraw *draws, GovAmount amount);

#endif							/* GOV_POOL_H */
