/*
 * pool_alert.h
 *		Raises the alerts of pools.
 */
#ifndef GOV_POOL_ALERT_H
#define GOV_POOL_ALERT_H

#include "postgres.h"

#include "utils/palloc.h"

/* What the alerts of a transaction are judged by; arguments of statements. */
typedef struct GovPoolAlerts
{
	Datum		counter_ids;	/* what it has crossed, int8[] */
	Datum		after;			/* what was booked of each then, numeric[] */
	Datum		first_event;
	Datum		last_event;
	Datum		xids;			/* its own, and its subtransactions' */
} GovPoolAlerts;

extern int	gov_pool_alert_raise(const GovPoolAlerts *by, MemoryContext context, int64 **ids);
extern void gov_pool_alert_raise_late(Datum counter_ids, Datum used_at);

#endif							/* GOV_POOL_ALERT_H */
