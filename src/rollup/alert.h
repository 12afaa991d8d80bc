/*
 * alert.h
 *		Raises alerts.
 */
#ifndef GOV_ALERT_H
#define GOV_ALERT_H

#include "postgres.h"

#include "utils/array.h"

/* In a statement: the thresholds of a budget, in per cent; null or empty: none. */
#define GOV_ALERT_THRESHOLDS(a) \
	"coalesce(" a ".alert_thresholds," \
	" (select p.thresholds from @gov_alert_policies p where p.owner_id = " a ".owner_id)," \
	" (select p.thresholds from @gov_alert_policies p where p.owner_id is null))"

/*
 * In a statement: the usage that reaches a threshold; of a limit of 0 any
 * usage does.  The counters have the least amount that is no less
 * (gov_amount_from_share).
 */
#define GOV_ALERT_AMOUNT(a, t) \
	"greatest(" a ".usage_limit * " t ".threshold * 0.01, 1e-9)"

extern void gov_alert_note_event(int64 id);
extern void gov_alert_before_commit(void);
extern void gov_alert_forget(void);

#endif							/* GOV_ALERT_H */
