/*
 * charge.h
 *		Charges the budgets of a resolution.
 */
#ifndef GOV_CHARGE_H
#define GOV_CHARGE_H

#include "gate/resolve.h"

/* What is done to the budgets, and to those of a hold that ends. */
typedef enum GovChargeKind
{
	GOV_CHARGE_USAGE,
	GOV_CHARGE_HOLD
} GovChargeKind;

extern void gov_charge(GovSharedStripe *stripe, const GovRequest *request,
					   GovChargeKind kind, GovResolution *resolution);
extern void gov_charge_undo(GovSharedStripe *stripe, const GovRequest *request,
							GovChargeKind kind, GovResolution *resolution);
extern bool gov_charge_would_overflow(const GovRequest *request,
									  const GovResolution *resolution);

#endif							/* GOV_CHARGE_H */
