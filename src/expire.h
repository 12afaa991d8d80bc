/*
 * expire.h
 *		Ends holds, and those whose time has passed.
 */
#ifndef GOV_EXPIRE_H
#define GOV_EXPIRE_H

#include "hold.h"
#include "resolve.h"

#define GOV_EXPIRE_BATCH	1000	/* holds that are expired at a time */

extern void gov_request_end_hold(GovRequest *request, const GovHold *hold);
extern bool gov_hold_end(const GovHold *hold, GovHoldState state);
extern bool gov_expire_try_lock(void);
extern int	gov_expire(const char *owner, TimestampTz now, int most);

#endif							/* GOV_EXPIRE_H */
