/*
 * hold_locked.h
 *		A hold that a call ends or extends, and what its row says.
 */
#ifndef GOV_HOLD_LOCKED_H
#define GOV_HOLD_LOCKED_H

#include "call/amounts.h"
#include "call/request.h"
#include "ledger/hold_row.h"

extern void gov_hold_enter_owners(const pg_uuid_t *ids, int count);
pg_noreturn extern void gov_hold_raise_unknown(const pg_uuid_t *id);
extern void gov_hold_lock(const char *call, const pg_uuid_t *id, GovHold *hold);
extern GovHoldState gov_hold_present_state(const GovHold *hold);
extern int	gov_hold_errmsg_ended(const GovHold *hold);
extern void gov_hold_arguments(const GovHold *hold, GovArguments *arguments);
extern GovAmounts *gov_hold_amounts(const GovHold *hold);

#endif							/* GOV_HOLD_LOCKED_H */
