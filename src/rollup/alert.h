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
 * In a statement: the limit of a budget at a time, with its boosts.  For
 * statements that are run only where there are boosts (gov_load_has_boosts);
 * others use the column itself.
 */
#define GOV_BOOSTED_LIMIT(a, at) \
	"case when " a ".usage_limit is not null then trim_scale(greatest(" a ".usage_limit + coalesce((select sum(x.amount) from (" \
	GOV_OPEN_BOOSTS(a, at, "b.valid_until > " at) " union all " GOV_OPEN_BOOSTS(a, at, "b.valid_until is null") \
	") x), 0), 0)) end"

/* Of those that have ended there may be many: these are found by the index. */
#define GOV_OPEN_BOOSTS(a, at, is_open) \
	"select b.amount from @gov_boosts b" \
	" where b.owner_id = " a ".owner_id and b.entity_id = " a ".entity_id" \
	" and b.capability_id = " a ".capability_id and b.scope_entity_ids = " a ".scope_entity_ids" \
	" and b.name = " a ".name and b.valid_from <= " at " and " is_open

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
