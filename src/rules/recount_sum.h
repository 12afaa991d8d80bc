/*
 * recount_sum.h
 *		Adds the ledger up again for one budget.
 */
#ifndef GOV_RECOUNT_SUM_H
#define GOV_RECOUNT_SUM_H

#include "postgres.h"

#include "utils/array.h"

#include "ledger/tally.h"
#include "pure/amount.h"
#include "pure/window.h"

/* The rule of a budget for its windows. */
typedef struct GovRecountRule
{
	GovCadence	cadence;
	bool		has_anchor;
	TimestampTz anchor;
	pg_tz	   *tz;				/* NULL: there is no such zone any more */
} GovRecountRule;

/* What a window comes to. */
typedef struct GovRecounted
{
	TimestampTz start;
	TimestampTz end;
	GovAmount	amount;
	int64		event_count;
	char		status;			/* the table's */
} GovRecounted;

typedef struct GovRecountSum GovRecountSum;

extern void gov_recount_rule(GovRecountRule *rule, Datum cadence, bool has_anchor, Datum anchor,
							 Datum timezone);
extern GovWindow gov_recount_window(const GovRecountRule *rule, TimestampTz at);
extern GovRecountSum *gov_recount_sum_begin(const GovRecountRule *rule, text *capability,
											TimestampTz since);
extern void gov_recount_sum_add_member(GovRecountSum *sum, const char *id, uint32 length, int set);
extern void gov_recount_sum_require_sets(GovRecountSum *sum, int nsets);
extern void gov_recount_sum_watch(GovRecountSum *sum, int64 counter_id, TimestampTz start);
extern GovAmount gov_recount_sum_watched(const GovRecountSum *sum);
extern void gov_recount_sum_add(GovRecountSum *sum, const GovTallyRange *range);
extern void gov_recount_sum_members(const GovRecountSum *sum, ArrayType **ids, ArrayType **sets);
extern uint32 gov_recount_sum_count(const GovRecountSum *sum);
extern int64 gov_recount_sum_events(const GovRecountSum *sum);
extern const GovRecounted *gov_recount_sum_next(const GovRecountSum *sum, uint32 *position);
extern const GovRecounted *gov_recount_sum_find(const GovRecountSum *sum, TimestampTz start);

#endif							/* GOV_RECOUNT_SUM_H */
