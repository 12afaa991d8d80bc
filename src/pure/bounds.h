/*
 * bounds.h
 *		What bounds hardly any budget: a largest single use, a limit that changes
 *		with time, and grants.
 */
#ifndef GOV_BOUNDS_H
#define GOV_BOUNDS_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "pure/amount.h"

/* A limit that is in force from a time on, until the next step. */
typedef struct GovLimitStep
{
	TimestampTz from;			/* of the first DT_NOBEGIN */
	GovAmount	limit;
} GovLimitStep;

typedef struct GovBounds
{
	GovAmount	call_limit;		/* meaningful only when has_call_limit */
	bool		has_call_limit;
	bool		is_pool;		/* its limit is what grants grant; pool.h */
	bool		carries;		/* something is carried over to its limit; steps
								 * may be below 0 */
	GovAmount	debt_limit;		/* how far a pool may go past that */
	uint32		nsteps;			/* 0: the limit never changes */
	GovLimitStep steps[FLEXIBLE_ARRAY_MEMBER];	/* by their times */
} GovBounds;

/* May so much be used at once, whatever is left? */
static inline bool
gov_bounds_allow_call(const GovBounds *bounds, GovAmount amount)
{
	return !bounds->has_call_limit || amount <= bounds->call_limit;
}

extern GovAmount gov_bounds_at(const GovBounds *bounds, TimestampTz at);
extern TimestampTz gov_bounds_reach(const GovBounds *bounds, GovAmount wanted, TimestampTz after);

#endif							/* GOV_BOUNDS_H */
