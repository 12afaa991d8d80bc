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
	Jsonb	   *amounts;		/* held of each capability, of an earlier call */
} GovReserved;

extern GovReserved gov_hold_reserve(GovArguments *arguments, Interval *ttl,
									GovDecision *decision, GovResolution **resolution);
extern bool gov_hold_release(const pg_uuid_t *id);
extern TimestampTz gov_hold_extend(const pg_uuid_t *id, Interval *ttl);

#endif							/* GOV_HOLD_CALL_H */
