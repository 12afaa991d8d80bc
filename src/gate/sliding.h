/*
 * sliding.h
 *		Windows that slide.
 */
#ifndef GOV_SLIDING_H
#define GOV_SLIDING_H

#include "gate/resolve.h"

extern bool gov_sliding_must_load(const GovSharedNode *node, const GovResolvedBudget *budget,
								  TimestampTz now);
extern void gov_sliding_turn(GovResolvedBudget *budget, TimestampTz now, bool is_exclusive);
extern void gov_sliding_read(const GovResolvedBudget *budget, TimestampTz now,
							 GovBudgetState *state);
extern void gov_sliding_begin_alerts(const GovEntity *entity, const GovResolvedBudget *budget);
extern void gov_sliding_choose(GovResolution *resolution, int number);

#endif							/* GOV_SLIDING_H */
