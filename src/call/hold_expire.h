/*
 * hold_expire.h
 *		Ends holds, and those whose time has passed.
 */
#ifndef GOV_HOLD_EXPIRE_H
#define GOV_HOLD_EXPIRE_H

#include "gate/resolve.h"
#include "ledger/hold_row.h"

extern void gov_hold_give_back(GovRequest *request, const GovHold *hold);
extern bool gov_hold_take_off(const GovHold *hold);
extern bool gov_hold_end(const GovHold *hold, GovHoldState state);
extern bool gov_hold_expire_try_lock(void);
extern int	gov_hold_expire_owners(const char *owner, TimestampTz now);
extern bool gov_hold_expire_next(TimestampTz *after, TimestampTz now, uint64 *ndone);

#endif							/* GOV_HOLD_EXPIRE_H */
