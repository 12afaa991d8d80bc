/*
 * batch_settle.h
 *		Settles many holds in one call.
 */
#ifndef GOV_BATCH_SETTLE_H
#define GOV_BATCH_SETTLE_H

#include "call/hold_call.h"
#include "call/item.h"

/* One settlement, and what became of it. */
typedef struct GovSettlement
{
	JsonbValue	json;
	pg_uuid_t	id;
	Numeric		amount;			/* NULL: the amount held */
	GovHold    *hold;			/* locked; NULL: there is none */
	GovArguments arguments;
	GovPrepared prepared;
	bool		is_read;		/* the hold can be settled */
	GovRecorded recorded;
	char	   *error;			/* what is wrong with it, or NULL */
} GovSettlement;

extern void gov_batch_settle(GovSettlement *items, int nitems);

#endif							/* GOV_BATCH_SETTLE_H */
