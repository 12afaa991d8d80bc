/*
 * pool_alert.c
 *		Raises the alerts of pools.
 *
 * PURPOSE
 *		The thresholds of a pool are percentages of what its live grants come to,
 *		and what reaches them is what of that is used up or owed.  Both change
 *		with the time, and with every grant, so they are read from the tables by
 *		whoever must look (gate/draw.c says when): the transaction that is about to
 *		commit, or the rollup for what no commit has seen.
 *
 * ONCE
 *		In the place of a window an alert has the time at which the newest of the
 *		live grants took effect: so the thresholds of a pool are armed again by
 *		each grant that takes effect, and by that alone.  The key of gov_alerts
 *		does the rest, as in alert.c.
 *
 * IN FLIGHT
 *		What others have booked, and not committed, cannot be read.  It is what the
 *		pool's counter has more than the tables, and is taken for used of what is
 *		live.
 *
 * LOCKING
 *		That of alert.c, which comes first: its rows are written before these.
 *
 * FAILURE
 *		An error fails the transaction, which was about to commit, or the round.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/spi.h"
#include "ledger/statements.h"
#include "rollup/alert.h"
#include "rollup/notify.h"
#include "rollup/pool_alert.h"

/* In a statement: what of pool a is granted and used at a time, and since when its newest live grant is. */
#define POOL_STATE(at) \
	" cross join lateral (select p.granted as usage_limit, p.used from @_gov_pools_at(a.owner_id, " at ") p" \
	"  where p.assignment_id = a.id offset 0) s" \
	" cross join lateral (select coalesce(max(g.effective_at), '-infinity') as window_start" \
	"  from @gov_grants g where g.assignment_id = a.id and g.closed_at is null" \
	"  and g.effective_at <= " at " and (least(g.expires_at, g.voided_at) > " at ") is not false) w"

/* In a statement: the thresholds that pool c has reached, and that no alert was raised for. */
#define POOL_CROSSED \
	" cross join lateral unnest(" GOV_ALERT_THRESHOLDS("c") ") as t(threshold)" \
	" cross join lateral (select " GOV_ALERT_AMOUNT("c", "t") " as amount offset 0) r" \
	" cross join lateral (" GOV_ASSIGNMENT_STAYS("c.counter_id") ") l" \
	" where r.amount <= c.usage and not exists (" \
	"  select from @gov_alerts k where k.assignment_id = c.id" \
	"  and k.window_start = c.window_start and k.threshold = t.threshold offset 0)" \
	" order by c.id, c.window_start, t.threshold" \
	" on conflict (assignment_id, window_start, threshold) do nothing" \
	" returning id"

#define POOL_ALERT_INTO \
	"insert into @gov_alerts" \
	" (owner_id, assignment_id, threshold, window_start, usage, usage_limit, event_id, raised_at)"

/*
 * Of the pools that the transaction has drawn from.  The event that crossed a
 * threshold is the first of its own to reach it.
 */
static GovQuery raise_query = {
	.sql =
	"with own as materialized ("
	" select v.id, v.amount, x.counter_id"
	" from (select e.id, e.amount, e.counter_ids from @gov_events e"
	"       where e.id >= $3 and e.id <= $4"
	"        and (e.xmin in (select o.xid from unnest($5) as o(xid))) is true"
	"        and e.draws is not null offset 0) v,"
	"  lateral unnest(v.counter_ids) as x(counter_id)),"
	" pool as materialized ("
	" select a.id, a.owner_id, a.counter_id, a.alert_thresholds, o.amount as own, s.usage_limit, w.window_start,"
	"  s.used + coalesce(greatest(k.after - n.amount, 0), 0) as usage"
	" from (select v.counter_id, sum(v.amount) as amount from own v group by v.counter_id) o"
	" join @gov_assignments a on a.counter_id = o.counter_id and a.is_pool"
	POOL_STATE("$6")
	" left join lateral unnest($1, $2) as k(counter_id, after) on k.counter_id = a.counter_id"
	" cross join lateral (select coalesce((select sum(u.amount) from @gov_usage u where u.counter_id = a.counter_id), 0)"
	"  + coalesce((select sum(e.amount) from @gov_events e, lateral unnest(e.counter_ids) as x(counter_id)"
	"              where " GOV_SQL_PAST("e", "a.owner_id", "id", GOV_SQL_WATERMARK)
	"               and x.counter_id = a.counter_id), 0) as amount) n)"
	POOL_ALERT_INTO
	" select c.owner_id, c.id, t.threshold, c.window_start, trim_scale(c.usage), c.usage_limit,"
	"  (select min(m.id)"
	"   from (select o.id, sum(o.amount) over (order by o.id) as used from own o where o.counter_id = c.counter_id) m"
	"   where c.usage - c.own + m.used >= r.amount), $6"
	" from pool c"
	POOL_CROSSED,
	.nargs = 6,
	.argtypes = {INT8ARRAYOID, NUMERICARRAYOID, INT8OID, INT8OID, XIDARRAYOID, TIMESTAMPTZOID}
};

/*
 * Of the pools that have the grants, or the debts, of these counters, which were used
 * last at these times.  Where a grant has taken effect or ended since, it is left to
 * the next use.
 */
static GovQuery raise_late_query = {
	.sql =
	"with pool as materialized ("
	" select a.id, a.owner_id, a.counter_id, a.alert_thresholds, s.usage_limit, w.window_start, s.used as usage"
	" from (select x.id, max(c.used_at) as used_at"
	"       from unnest($1, $2) as c(counter_id, used_at),"
	"        lateral (select g.assignment_id from @gov_grants g where g.counter_id = c.counter_id"
	"                 union all"
	"                 select d.id from @gov_assignments d where d.debt_counter_id = c.counter_id) x(id)"
	"       group by x.id) o"
	" join @gov_assignments a on a.id = o.id"
	POOL_STATE("$3")
	" where not exists (select from @gov_grants g"
	"  where g.assignment_id = o.id and g.closed_at is null"
	"  and (g.effective_at > o.used_at and g.effective_at <= $3"
	"   or least(g.expires_at, g.voided_at) > o.used_at and least(g.expires_at, g.voided_at) <= $3)))"
	POOL_ALERT_INTO
	" select c.owner_id, c.id, t.threshold, c.window_start, trim_scale(c.usage), c.usage_limit, null, $3"
	" from pool c"
	POOL_CROSSED,
	.nargs = 3,
	.argtypes = {INT8ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZOID}
};

/* The ids that SPI returns, in a memory context. */
static int
copy_ids(uint64 count, MemoryContext context, int64 **ids)
{
	*ids = MemoryContextAllocHuge(context, sizeof(int64) * (count + 1));
	for (uint64 row = 0; row < count; row++)
	{
		bool		isnull;

		(*ids)[row] = DatumGetInt64(gov_spi_value(row, 1, &isnull));
	}
	SPI_freetuptable(SPI_tuptable);
	return (int) count;
}

/*
 * Raise the alerts of the pools that this transaction, which is about to commit, has
 * drawn from.  Returns how many, and their ids.
 */
int
gov_pool_alert_raise(const GovPoolAlerts *by, MemoryContext context, int64 **ids)
{
	Datum		args[6] = {
		by->counter_ids, by->after, by->first_event, by->last_event, by->xids, TimestampTzGetDatum(gov_clock())
	};

	return copy_ids(gov_spi_modify(&raise_query, args, NULL), context, ids);
}

/*
 * Raise the alerts that the commits have left of pools, of which a batch has these
 * counters of grants and debts, used last at these times.  What the batch has drawn
 * is rolled up.
 */
void
gov_pool_alert_raise_late(Datum counter_ids, Datum used_at)
{
	Datum		args[3] = {counter_ids, used_at, TimestampTzGetDatum(gov_clock())};
	int64	   *ids;
	int			nids = copy_ids(gov_spi_modify(&raise_late_query, args, NULL), CurrentMemoryContext, &ids);

	gov_notify_alerts(ids, nids);
}
