/*
 * rollup_alert.c
 *		Raises the alerts that no commit has raised.
 *
 * PURPOSE
 *		A budget may reach a threshold without a commit that raises the alert
 *		(alert.c): by a late event, or one in flight when its window ended, when a
 *		limit was lowered or a threshold added, or when the transaction that
 *		crossed it failed at its very end.  The rollup finds that when it passes
 *		an event of that budget and window.
 *
 * PROTOCOL
 *		A round knows what the usage of each budget has become, and asks here
 *		only for budgets that have reached their first threshold.  Most of their
 *		alerts were raised before, as a look into gov_alerts for each threshold
 *		shows; only for the others is the ledger read again.  They are judged by
 *		all that is committed, because a batch may end in the midst of a
 *		transaction.
 *
 * EXACTLY ONCE
 *		The key of gov_alerts makes each alert unique, as in alert.c.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/spi.h"
#include "cache/load_steps.h"
#include "ledger/statements.h"
#include "rollup/alert.h"
#include "rollup/notify.h"
#include "rollup/rollup_write.h"

/*
 * Raise alerts for budgets that have reached a threshold.  The event that
 * crossed it is the first of the batch, in the order of ids, to reach it; one
 * sort finds it for all, as in alert.c.  What comes after the batch counts
 * too, but no event there has crossed yet.
 */
#define RAISE_SQL(of, limit) \
	"with crossed as materialized (" \
	" select c.*, a.id, a.owner_id, a.usage_limit, t.threshold, r.amount as reached" \
	" from unnest($1, $2, $3, $4, $8) as c(counter_id, window_start, before, after, alert_start)," \
	"  lateral (select g.id, g.owner_id, " limit " as usage_limit, g.alert_thresholds" \
	"           from " of("c.counter_id") " and g.usage_limit is not null offset 0) a," \
	"  lateral unnest(" GOV_ALERT_THRESHOLDS("a") ") as t(threshold)," \
	"  lateral (select " GOV_ALERT_AMOUNT("a", "t") " as amount offset 0) r" \
	" where r.amount <= c.after and not exists (" \
	"  select from @gov_alerts k where k.assignment_id = a.id" \
	"  and k.window_start = c.alert_start and k.threshold = t.threshold offset 0))," \
	" concerned as materialized (" \
	" select distinct c.owner_id from crossed c)," \
	" marks as materialized (" \
	" select c.id, c.owner_id, c.counter_id, c.window_start, c.alert_start, c.before, c.after, c.usage_limit," \
	"  c.threshold, c.reached, c.reached - c.before as usage," \
	"  null::bigint as event_id, 0 as later" \
	" from crossed c" \
	" union all" \
	" select null, null, x.counter_id, x.window_start, null, null, null, null, null, null," \
	"  sum(v.amount) over (partition by x.counter_id, x.window_start order by v.id), v.id, 0" \
	" from concerned o," \
	"  lateral (select e.id, e.amount, e.counter_ids, e.window_starts" \
	"           from @gov_events e" \
	"           where " GOV_SQL_PAST("e", "o.owner_id", "id", "$5") \
	"            and (e.owner_id, e.id) <= (o.owner_id, $6) offset 0) v," \
	"  lateral unnest(v.counter_ids, v.window_starts) as x(counter_id, window_start)" \
	" where (x.counter_id in (select c.counter_id from crossed c)) is true" \
	" union all" \
	" select null, null, x.counter_id, x.window_start, null, null, null, null, null, null," \
	"  null, null, v.amount" \
	" from concerned o," \
	"  lateral (select e.amount, e.counter_ids, e.window_starts" \
	"           from @gov_events e" \
	"           where " GOV_SQL_PAST("e", "o.owner_id", "id", "$6") \
	"           offset 0) v," \
	"  lateral unnest(v.counter_ids, v.window_starts) as x(counter_id, window_start)" \
	" where (x.counter_id in (select c.counter_id from crossed c)) is true)," \
	" judged as materialized (" \
	" select m.*," \
	"  min(m.event_id) over (w order by m.usage desc) as first_id," \
	"  m.after + sum(m.later) over w as usage_now" \
	" from marks m" \
	" window w as (partition by m.counter_id, m.window_start))" \
	"insert into @gov_alerts" \
	" (owner_id, assignment_id, threshold, window_start, usage, usage_limit, event_id, raised_at)" \
	" select c.owner_id, c.id, c.threshold, c.alert_start, trim_scale(c.usage_now), c.usage_limit," \
	"  case when c.before < c.reached then c.first_id end, $7" \
	" from judged c" \
	" where c.id is not null and c.reached <= c.usage_now" \
	" order by c.id, c.alert_start, c.threshold" \
	" on conflict (assignment_id, window_start, threshold) do nothing" \
	" returning id"

#define RAISE_QUERY(of, limit) \
	{ \
		.sql = RAISE_SQL(of, limit), \
		.nargs = 8, \
		.argtypes = {INT8ARRAYOID, TIMESTAMPTZARRAYOID, NUMERICARRAYOID, NUMERICARRAYOID, \
		INT8OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZARRAYOID} \
	}

/* Where there are defaults, and by what limits may be made of (gov_load_limit_kind). */
static GovQuery raise_queries[2][3] = {
	{
		RAISE_QUERY(GOV_ASSIGNMENT_OF, "g.usage_limit"),
		RAISE_QUERY(GOV_ASSIGNMENT_OF, GOV_BOOSTED_LIMIT("g", "$7")),
		RAISE_QUERY(GOV_ASSIGNMENT_OF, GOV_CARRYING_LIMIT("g", "$7", "c.window_start"))
	},
	{
		RAISE_QUERY(GOV_BUDGET_OF, "g.usage_limit"),
		RAISE_QUERY(GOV_BUDGET_OF, GOV_BOOSTED_LIMIT("g", "$7")),
		RAISE_QUERY(GOV_BUDGET_OF, GOV_CARRYING_LIMIT("g", "$7", "c.window_start"))
	}
};

static void
set_reached(Datum *args, const GovReached *reached, int count)
{
	Datum	   *columns[5];

	for (int column = 0; column < lengthof(columns); column++)
		columns[column] = palloc(sizeof(Datum) * count);
	for (int i = 0; i < count; i++)
	{
		columns[0][i] = Int64GetDatum(reached[i].counter_id);
		columns[1][i] = TimestampTzGetDatum(reached[i].window_start);
		columns[2][i] = NumericGetDatum(gov_amount_to_numeric(reached[i].before));
		columns[3][i] = NumericGetDatum(gov_amount_to_numeric(reached[i].after));
		columns[4][i] = TimestampTzGetDatum(reached[i].alert_start);
	}
	args[0] = gov_rollup_array(columns[0], count, INT8OID);
	args[1] = gov_rollup_array(columns[1], count, TIMESTAMPTZOID);
	args[2] = gov_rollup_array(columns[2], count, NUMERICOID);
	args[3] = gov_rollup_array(columns[3], count, NUMERICOID);
	args[7] = gov_rollup_array(columns[4], count, TIMESTAMPTZOID);
}

/*
 * Raise the alerts that the commits have left to a batch, which has the events
 * after one id and up to another, for the budgets that have reached a
 * threshold.
 */
void
gov_rollup_raise_alerts(const GovReached *reached, int count, int64 after_id, int64 last_id)
{
	Datum		args[8];
	int64	   *ids;
	int			nids;

	if (count == 0)
		return;
	set_reached(args, reached, count);
	args[4] = Int64GetDatum(after_id);
	args[5] = Int64GetDatum(last_id);
	args[6] = TimestampTzGetDatum(gov_clock());
	nids = (int) gov_spi_modify(&raise_queries[gov_load_has_defaults()][gov_load_limit_kind()],
								args, NULL);
	ids = palloc(sizeof(int64) * (nids + 1));
	for (int i = 0; i < nids; i++)
	{
		bool		isnull;

		ids[i] = DatumGetInt64(gov_spi_value(i, 1, &isnull));
	}
	gov_notify_alerts(ids, nids);
}
