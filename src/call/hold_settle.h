/*
 * hold_settle.h
 *		Settles holds.
 */
#ifndef GOV_HOLD_SETTLE_H
#define GOV_HOLD_SETTLE_H

#include "call/record.h"
#include "ledger/hold_row.h"

/* What a call of gov_settle_all() has come to. */
typedef struct GovSettled
{
	Jsonb	   *event_ids;		/* by capability */
	bool		is_duplicate;
} GovSettled;

extern void gov_hold_read_settlement(const GovHold *hold, Numeric amount,
									 GovArguments *arguments, GovRequest *request);
extern void gov_hold_settle_concurrency(const GovHold *hold);
extern GovRecorded gov_hold_settle(const pg_uuid_t *id, Numeric amount);
extern GovSettled gov_hold_settle_all(const pg_uuid_t *id, Jsonb *amounts);

#endif							/* GOV_HOLD_SETTLE_H */
