/*
 * combine.h
 *		Budgets for the combinations that a call meets.
 */
#ifndef GOV_COMBINE_H
#define GOV_COMBINE_H

#include "gate/resolve.h"

/* with the stripe locked */
extern void gov_combine_look(GovResolution *resolution, int entity, const GovMeter *meter,
							 uint32 first, uint32 count);
extern bool gov_combine_fits(const GovResolution *resolution, const GovEntity *entity,
							 const GovBudget *budget);
extern Size gov_combine_size(const GovResolution *resolution);
extern void gov_combine_copy(GovResolution *resolution);
extern const GovMeter *gov_combine_full_meter(GovResolution *resolution, const GovRequest *request);

/* without */
extern GovMet *gov_combine_met(const GovResolution *resolution);

#endif							/* GOV_COMBINE_H */
