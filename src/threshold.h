/*
 * threshold.h
 *		The amounts of usage at which a budget raises alerts.
 */
#ifndef GOV_THRESHOLD_H
#define GOV_THRESHOLD_H

#include "entity.h"

/* What a counter's alert_at says but for an amount, which is always positive. */
#define GOV_ALERT_UNKNOWN	((GovAmount) 0)
#define GOV_ALERT_ANY		((GovAmount) 1)
#define GOV_ALERT_NEVER		((GovAmount) (((uint128) 1 << 127) - 1))

extern GovAmount gov_threshold_above(const GovEntity *entity, const GovBudget *budget,
									 GovAmount usage);
extern bool gov_threshold_crossed(GovAmount alert_at, GovAmount before, GovAmount after,
								  GovAmount *above);

#endif							/* GOV_THRESHOLD_H */
