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
 * In a statement: the budget g of a counter, among the assignments or, for
 * statements that are run only where there are defaults (gov_load_has_defaults),
 * also among the budgets by those.  A counter whose default has another seed by
 * now is that of no budget.
 */
#define GOV_ASSIGNMENT_OF(counter) \
	"@gov_assignments g where g.counter_id = " counter

#define GOV_BUDGET_OF(counter) \
	"(select o.id, o.owner_id, o.entity_id, o.capability_id, o.scope_entity_ids, o.name," \
	"  o.usage_limit, o.alert_thresholds, o.window_kind, o.carry_unused_max, o.carry_debt" \
	" from @gov_assignments o where o.counter_id = " counter \
	" union all" \
	" select n.assignment_id, n.owner_id, n.entity_id, d.capability_id, n.scope_entity_ids, d.name," \
	"  d.usage_limit, d.alert_thresholds, d.window_kind, d.carry_unused_max, d.carry_debt" \
	" from @gov_default_counts n" \
	" join @gov_default_assignments d on d.id = n.default_id and d.seed = n.seed" \
	" where n.counter_id = " counter " and not n.retired" \
	" limit 1) g where true"

/* In a statement: a row if that can be locked at once, so that it stays. */
#define GOV_ASSIGNMENT_STAYS(counter) \
	"select from @gov_assignments g where g.counter_id = " counter " for key share skip locked"

#define GOV_BUDGET_STAYS(counter) \
	"select 1 from (" GOV_ASSIGNMENT_STAYS(counter) ") o" \
	" union all" \
	" select 1 from (select from @gov_default_assignments d" \
	"  where d.id = (select n.default_id from @gov_default_counts n" \
	"                where n.counter_id = " counter " and not n.retired limit 1)" \
	"  and not exists (select from @gov_assignments g where g.counter_id = " counter ")" \
	"  for key share skip locked) x" \
	" limit 1"

/*
 * In a statement: the limit of a budget at a time, with its boosts.  For
 * statements that are run only where there are boosts (gov_load_has_boosts);
 * others use the column itself.
 */
#define GOV_BOOSTED_LIMIT(a, at) \
	"case when " a ".usage_limit is not null then trim_scale(greatest(" a ".usage_limit + coalesce((select sum(x.amount) from (" \
	GOV_OPEN_BOOSTS(a, at, "b.valid_until > " at) " union all " GOV_OPEN_BOOSTS(a, at, "b.valid_until is null") \
	") x), 0), 0)) end"

/*
 * In a statement: the same with what is carried over into a window.  For statements
 * that are run only where there are such columns (gov_load_limit_kind).
 */
#define GOV_CARRYING_LIMIT(a, at, window_start) \
	"case when " a ".carry_unused_max is null and not " a ".carry_debt then " GOV_BOOSTED_LIMIT(a, at) \
	" else trim_scale(greatest(" a ".usage_limit + coalesce((select sum(x.amount) from (" \
	GOV_OPEN_BOOSTS(a, at, "b.valid_until > " at) " union all " GOV_OPEN_BOOSTS(a, at, "b.valid_until is null") \
	") x), 0) + coalesce((select y.carried from @_gov_carried(" a ".owner_id, " window_start ", array[" a ".entity_id]) y" \
	" where y.assignment_id = " a ".id), 0), 0)) end"

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
extern void gov_alert_note_drawn(void);
extern void gov_alert_before_commit(void);
extern void gov_alert_forget(void);

#endif							/* GOV_ALERT_H */
