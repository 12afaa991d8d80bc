/*
 * threshold.h
 *		The amounts of usage at which a budget raises alerts.
 */
#ifndef GOV_THRESHOLD_H
#define GOV_THRESHOLD_H

#include <math.h>

#include "cache/entity.h"

/* What a counter's alert_at says but for an amount, which is always positive. */
#define GOV_ALERT_UNKNOWN	((GovAmount) 0)
#define GOV_ALERT_ANY		((GovAmount) 1)
#define GOV_ALERT_NEVER		((GovAmount) (((uint128) 1 << 127) - 1))

/*
 * The amounts at which a pool raises alerts are those of one that has granted so
 * much.
 */
#define GOV_THRESHOLD_OF_POOL	1000000000

static inline GovAmount
gov_alert_unpack(double packed)
{
	return packed < (double) GOV_ALERT_NEVER ? (GovAmount) packed : GOV_ALERT_NEVER;
}

/* How a counter keeps an amount to be looked at: rounded down, if at all. */
static inline double
gov_alert_pack(GovAmount amount)
{
	double		packed = (double) amount;

	Assert(amount >= 0);
	if (packed < (double) GOV_ALERT_NEVER && (GovAmount) packed > amount)
		packed = nextafter(packed, 0);
	Assert(amount == GOV_ALERT_NEVER || gov_alert_unpack(packed) <= amount);
	return packed;
}

extern GovAmount gov_threshold_above(const GovEntity *entity, const GovBudget *budget,
									 GovAmount usage);
extern GovAmount gov_threshold_ahead(const GovEntity *entity, const GovBudget *budget,
									 GovAmount granted, GovAmount used);
extern bool gov_threshold_crossed(GovAmount alert_at, GovAmount before, GovAmount after,
								  GovAmount *above);

#endif							/* GOV_THRESHOLD_H */
