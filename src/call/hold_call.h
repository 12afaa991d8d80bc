/*
 * hold_call.h
 *		Makes holds and ends them.
 */
#ifndef GOV_HOLD_CALL_H
#define GOV_HOLD_CALL_H

#include "base/compat.h"
#include "call/record.h"
#include "ledger/hold_row.h"

/* What a call of gov_reserve() has come to. */
typedef struct GovReserved
{
	bool		is_held;		/* false: denied */
	bool		is_duplicate;
	pg_uuid_t	id;
	GovHoldState state;
	TimestampTz expires_at;
} GovReserved;

extern GovReserved gov_hold_reserve(GovArguments *arguments, Interval *ttl,
									GovDecision *decision, GovResolution **resolution);
extern void gov_hold_enter_owners(const pg_uuid_t *ids, int count);
pg_noreturn extern void gov_hold_raise_unknown(const pg_uuid_t *id);
extern void gov_hold_read_settlement(const GovHold *hold, Numeric amount,
									 GovArguments *arguments, GovRequest *request);
extern void gov_hold_settle_concurrency(const GovHold *hold);
extern GovRecorded gov_hold_settle(const pg_uuid_t *id, Numeric amount);
extern bool gov_hold_release(const pg_uuid_t *id);
extern TimestampTz gov_hold_extend(const pg_uuid_t *id, Interval *ttl);

#endif							/* GOV_HOLD_CALL_H */
