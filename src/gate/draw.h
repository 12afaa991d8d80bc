/*
 * draw.h
 *		What a call draws from the grants of pools.
 */
#ifndef GOV_DRAW_H
#define GOV_DRAW_H

#include "gate/resolve_walk.h"

extern bool gov_draw_read(GovWalk *walk, const GovResolvedEntity *resolved,
						  GovResolvedBudget *budget, GovBudgetState *state);
extern void gov_draw_charge(GovSharedStripe *stripe, const GovRequest *request,
							GovResolution *resolution);
extern bool gov_draw_read_reversed(GovWalk *walk, const GovResolvedEntity *resolved,
								   const GovBudget *budget, GovReversed *reversed);
extern void gov_draw_pay_reversed(GovSharedStripe *stripe, const GovRequest *request,
								  GovResolution *resolution);
extern void gov_draw_undo(const GovRequest *request, GovResolution *resolution);

#endif							/* GOV_DRAW_H */
