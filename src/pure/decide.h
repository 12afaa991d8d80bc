/*
 * decide.h
 *		May this much be used?  The decision over a set of budgets.
 */
#ifndef GOV_DECIDE_H
#define GOV_DECIDE_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "pure/amount.h"
#include "pure/bounds.h"

typedef struct GovBudgetState
{
	GovAmount	usage;
	GovAmount	held;
	GovAmount	limit;			/* in force now; meaningful only when
								 * has_limit */
	bool		has_limit;
	bool		is_soft;
	bool		allows;			/* what gov_decide() was asked for */
	const GovBounds *bounds;	/* what else bounds it; NULL: nothing */
	TimestampTz window_end;		/* DT_NOEND when it never resets */
} GovBudgetState;

typedef enum GovDenial
{
	GOV_DENIAL_NONE,
	GOV_DENIAL_EXCEEDING_LIMIT,
	GOV_DENIAL_BUDGET_EXCEEDED,
	GOV_DENIAL_UNGOVERNED,
	GOV_DENIAL_BLOCKED,
	GOV_DENIAL_UNKNOWN_ENTITY,
	GOV_DENIAL_UNAVAILABLE
} GovDenial;

typedef struct GovDecision
{
	bool		is_granted;
	GovDenial	denial;
	bool		has_remaining;
	GovAmount	remaining;		/* least headroom of the hard budgets */
	bool		has_retry_at;
	TimestampTz retry_at;		/* when all that denies will have ended */
} GovDecision;

extern bool gov_decide_allows(const GovBudgetState *budget, GovAmount amount);
extern void gov_decide(GovBudgetState *budgets, int nbudgets,
					   GovAmount amount, TimestampTz now, GovDecision *decision);
extern void gov_decide_unknown(GovDecision *decision);
extern void gov_decide_blocked(TimestampTz until, GovDecision *decision);
extern const char *gov_decide_reason(GovDenial denial);

#endif							/* GOV_DECIDE_H */
