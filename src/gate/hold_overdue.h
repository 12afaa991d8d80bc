/*
 * hold_overdue.h
 *		What holds past their time do to a decision.
 */
#ifndef GOV_HOLD_OVERDUE_H
#define GOV_HOLD_OVERDUE_H

#include "gate/resolve.h"

extern bool gov_has_holds(const GovResolution *resolution);
extern bool gov_is_denied_with_holds(const GovResolution *resolution,
									 const GovDecision *decision);
extern bool gov_has_overdue(const char *owner, TimestampTz now);
extern bool gov_leave_out_overdue(const char *owner, GovResolution *resolution);

#endif							/* GOV_HOLD_OVERDUE_H */
