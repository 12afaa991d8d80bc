/*
 * hold_rows.h
 *		The rows of many holds, in one statement.
 */
#ifndef GOV_HOLD_ROWS_H
#define GOV_HOLD_ROWS_H

#include "ledger/hold_row.h"

/* A hold that has come to something. */
typedef struct GovHoldSettled
{
	pg_uuid_t	id;
	GovAmount	amount;
	int64		event_id;
} GovHoldSettled;

extern int	gov_hold_rows_lock(const pg_uuid_t *ids, int count, const char *owner, GovHold **holds);
extern void gov_hold_rows_settle(const GovHoldSettled *settled, int count);

#endif							/* GOV_HOLD_ROWS_H */
