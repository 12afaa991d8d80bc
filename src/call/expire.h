/*
 * expire.h
 *		Ends holds, and those whose time has passed.
 */
#ifndef GOV_EXPIRE_H
#define GOV_EXPIRE_H

#include "gate/resolve.h"
#include "ledger/hold.h"

extern void gov_request_end_hold(GovRequest *request, const GovHold *hold);
extern bool gov_hold_end(const GovHold *hold, GovHoldState state);
extern bool gov_expire_try_lock(void);
extern int	gov_expire_owners(const char *owner, TimestampTz now);
extern bool gov_expire_next(TimestampTz *after, TimestampTz now, uint64 *ndone);

#endif							/* GOV_EXPIRE_H */
