/*
 * carried.h
 *		What budgets carry over from the window before.
 */
#ifndef GOV_CARRIED_H
#define GOV_CARRIED_H

#include "gate/resolve_walk.h"

extern bool gov_carried_turn(const GovResolvedEntity *resolved, const GovRuled *ruled,
							 const GovSharedCounter *counter, bool is_shared, TimestampTz start);
extern bool gov_carried_read(GovWalk *walk, const GovResolvedEntity *resolved,
							 GovResolvedBudget *budget, GovBudgetState *state);
extern void gov_carried_charge(GovSharedStripe *stripe, GovResolution *resolution, int number);
extern void gov_carried_undo(GovResolution *resolution, int number);
extern void gov_carried_reverse(GovSharedStripe *stripe, GovReversed *reversed);
extern void gov_carried_reverse_undo(GovReversed *reversed);

#endif							/* GOV_CARRIED_H */
