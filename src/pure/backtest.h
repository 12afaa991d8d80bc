/*
 * backtest.h
 *		What would budgets have denied?  A replay of uses against them.
 */
#ifndef GOV_BACKTEST_H
#define GOV_BACKTEST_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "pgtime.h"

#include "pure/cadence.h"
#include "pure/carry.h"
#include "pure/decide.h"
#include "pure/pool.h"
#include "pure/window.h"

/* What was used of a window that slides, by grains; see cache/ring.c. */
typedef struct GovTrialRing
{
	int64		grain;			/* length of one */
	int64		number;			/* of the present one */
	GovAmount	used[GOV_SLIDING_GRAINS + 1];	/* by number, modulo */
} GovTrialRing;

/* A budget on trial.  What comes first is given, the rest is the replay's. */
typedef struct GovTrial
{
	GovCadence	cadence;
	bool		has_anchor;
	TimestampTz anchor;
	pg_tz	   *tz;
	TimestampTz suspended_from; /* DT_NOEND: never */
	GovBudgetState state;		/* given: limit, has_limit, is_soft, bounds */
	bool		carries;		/* something over to the next window, */
	GovCarryRule carry;			/* so; */
	GovAmount	own;			/* what is its own of the limit */
	const GovPool *pool;		/* NULL: it is none */
	int			capability;		/* a number of gov_backtest_name(), as ... */
	int			entity;
	int			nscope;
	int		   *scope;

	int64		denied_count;
	GovAmount	denied_amount;
	TimestampTz first_denied_at;	/* meaningful only when something was
									 * denied */
	GovTrialRing *ring;			/* NULL: it does not slide */
	uint32		step;			/* of its bounds, in force at the last call */
	uint64		call;			/* the last call that it is concerned by */
	GovAmount	wanted;			/* of it by that */
	GovDraw    *draws;			/* of the pool's grants, and of what it owes;
								 * takes: of the last call, and not in drawn */
	TimestampTz owed_at;		/* when that last grew */
	int			next;			/* the next of the same entity, or -1 */
} GovTrial;

typedef enum GovBacktestStatus
{
	GOV_BACKTEST_OK,
	GOV_BACKTEST_NO_WINDOW,		/* past what timestamptz can hold */
	GOV_BACKTEST_OVERFLOW
} GovBacktestStatus;

typedef struct GovBacktest GovBacktest;

extern GovBacktest *gov_backtest_create(int max_trials, int max_names);
extern int	gov_backtest_name(GovBacktest *backtest, const char *name, uint32 length);
extern void gov_backtest_add(GovBacktest *backtest, const GovTrial *trial);
extern const GovTrial *gov_backtest_trial(const GovBacktest *backtest, int number);

extern void gov_backtest_begin_call(GovBacktest *backtest, TimestampTz occurred_at);
extern void gov_backtest_gives_back(GovBacktest *backtest);
extern void gov_backtest_begin_use(GovBacktest *backtest);
extern void gov_backtest_entity(GovBacktest *backtest, const char *id, uint32 length);
extern GovBacktestStatus gov_backtest_end_use(GovBacktest *backtest,
											  const char *capability, uint32 length,
											  GovAmount amount);
extern GovBacktestStatus gov_backtest_end_call(GovBacktest *backtest, bool is_judged,
											   bool *is_granted);

#endif							/* GOV_BACKTEST_H */
