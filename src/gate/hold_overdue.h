/*
 * hold_overdue.h
 *		What holds past their time do to a decision.
 */
#ifndef GOV_HOLD_OVERDUE_H
#define GOV_HOLD_OVERDUE_H

#include "gate/resolve.h"

extern bool gov_hold_overdue_is_possible(const GovResolution *resolution);
extern bool gov_hold_overdue_may_deny(const GovResolution *resolution,
									  const GovDecision *decision);
extern bool gov_hold_overdue_exists(const char *owner, TimestampTz now);
extern bool gov_hold_overdue_leave_out(const char *owner, GovResolution *resolution);

#endif							/* GOV_HOLD_OVERDUE_H */
