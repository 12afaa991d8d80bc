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

#define GOV_METERS_MAX		16	/* capabilities that one call may use */

typedef struct GovBudgetState
{
	GovAmount	usage;
	GovAmount	held;
	GovAmount	limit;			/* in force now; meaningful only when
								 * has_limit */
	bool		has_limit;
	bool		is_soft;
	bool		allows;			/* what is wanted of it; set by gov_decide() */
	uint8		meter;			/* whose it is: one of the call's */
	GovAmount	wanted;			/* by the call, of that meter */
	GovAmount	carried;		/* of the limit: over from the window before, below 0
								 * for a debt */
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
	GOV_DENIAL_FROZEN,
	GOV_DENIAL_UNAVAILABLE
} GovDenial;

/* A set of meters has a bit for each. */
typedef struct GovDecision
{
	bool		is_granted;
	GovDenial	denial;
	int			denied;			/* the first meter that is, for that reason;
								 * -1: none more than another */
	uint32		governed;		/* the meters that have a budget */
	uint32		has_remaining;	/* and those that have a hard one */
	bool		has_retry_at;
	TimestampTz retry_at;		/* when all that denies will have ended */
	GovAmount	remaining[GOV_METERS_MAX];	/* least headroom of the hard
											 * budgets */
} GovDecision;

/* Has the decision anything to say of what remains of a meter? */
static inline bool
gov_decide_has_remaining(const GovDecision *decision, int meter)
{
	return (decision->has_remaining & (UINT32_C(1) << meter)) != 0;
}

extern bool gov_decide_allows(const GovBudgetState *budget, GovAmount amount);
extern void gov_decide(GovBudgetState *budgets, int nbudgets, TimestampTz now,
					   GovDecision *decision);
extern void gov_decide_ungoverned(int nmeters, GovDecision *decision);
extern void gov_decide_unknown(GovDecision *decision);
extern void gov_decide_frozen(GovDecision *decision);
extern void gov_decide_blocked(TimestampTz until, GovDecision *decision);
extern const char *gov_decide_reason(GovDenial denial);

#endif							/* GOV_DECIDE_H */
