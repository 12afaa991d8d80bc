/*
 * rollup_write.h
 *		Writes what a batch of the ledger comes to, and raises its alerts.
 */
#ifndef GOV_ROLLUP_WRITE_H
#define GOV_ROLLUP_WRITE_H

#include "postgres.h"

#include "ledger/tally.h"
#include "rollup/hourly.h"

/* What a batch has made of a budget's usage that may raise an alert. */
typedef struct GovReached
{
	int64		counter_id;
	TimestampTz window_start;
	TimestampTz alert_start;	/* of the window that has an alert once */
	GovAmount	before;
	GovAmount	after;
	GovAmount	alert_from;		/* what reaches the first threshold */
	int64		grain;			/* the length of one; 0: it does not slide */
} GovReached;

/* rollup_write.c */
extern Datum gov_rollup_array(Datum *elements, int count, Oid type);
extern bool gov_rollup_write_draws(const GovTally *tally, Datum *counter_ids, Datum *used_at);
extern int	gov_rollup_write_usage(const GovTally *tally, GovReached **reached);
extern int	gov_rollup_grain(void);
extern void gov_rollup_write_hourly(const GovHourly *hourly);

/* rollup_alert.c */
extern void gov_rollup_raise_alerts(const GovReached *reached, int count, int64 after_id,
									int64 last_id);

#endif							/* GOV_ROLLUP_WRITE_H */
