/*
 * rollup.c
 *		Moves the ledger's sums into gov_usage and gov_usage_hourly.
 *
 * PURPOSE
 *		A load reads the rolled-up usage and the ledger's tail behind the
 *		watermark; rolling up keeps the tail short.  It never touches the
 *		cache: usage plus tail is the same sum before and after.
 *
 * PROTOCOL
 *		Ids are drawn before they are committed, and not committed in order.
 *		But whoever has drawn one holds RowExclusiveLock on the ledger's
 *		sequence to the end of its transaction.  So a round notes the last id
 *		drawn and then who holds such a lock (the fence), and, now or in a
 *		later round, when each of those transactions has ended, every id up to
 *		the noted one is committed or never will be.  Nobody is waited for: an
 *		idle transaction delays the rollup and nothing else.
 *
 * LOCKING
 *		ShareUpdateExclusiveLock on gov_rollup_state, so that there is one round
 *		at a time in a database, then the tables; a lock that is not to be had
 *		at once ends the round.  Whoever deletes a budget takes ShareLock on
 *		gov_rollup_state, so that no round brings back the usage that the
 *		deletion has removed.
 *
 * INVARIANTS
 *		Rows and watermark move in one transaction, and with them the alerts for
 *		what a batch makes of a budget's usage that nobody has raised yet
 *		(alert.c): judged by all that is committed, because a batch may end in
 *		the midst of a transaction.  A charge to a counter that
 *		no budget has any more (deleted, or drawn again for another cadence) is
 *		dropped: nothing will ever ask for it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "alert.h"
#include "catalog.h"
#include "clock.h"
#include "fault.h"
#include "notify.h"
#include "rollup.h"
#include "spi.h"
#include "tail.h"

#define GOV_ROLLUP_BATCH	20000	/* ids in one transaction */

/* Up to which id the ledger is complete once these transactions have ended. */
typedef struct GovFence
{
	bool		is_set;
	Oid			sequence;
	int64		last_id;
	TimestampTz set_at;			/* ids drawn before that are up to last_id */
	int			ntransactions;
	VirtualTransactionId *transactions;
} GovFence;

static GovFence fence;
static TimestampTz complete_until = DT_NOBEGIN;

static GovQuery positions_query = {
	.sql = "select coalesce((select r.watermark from @gov_rollup_state r), 0),"
	" (select case when s.is_called then s.last_value else 0 end from @gov_events_id_seq s)"
};

/*
 * Events of the same chain are added up first: there are many of a busy agent
 * in a batch, and taking each one's arrays apart is what costs.
 */
static GovQuery rollup_query = {
	.sql =
	"with batch as materialized ("
	" select e.owner_id, e.capability_id, e.entity_ids,"
	"  date_trunc('hour', e.occurred_at, 'UTC') as hour,"
	"  e.counter_ids, e.window_starts, e.window_ends,"
	"  sum(e.amount) as amount, count(*) as event_count"
	" from @gov_events e"
	" where e.id > $1 and e.id <= $2"
	" group by 1, 2, 3, 4, 5, 6, 7),"
	" charges as materialized ("
	" select b.owner_id, x.counter_id, x.window_start, max(x.window_end) as window_end,"
	"  sum(b.amount) as amount, sum(b.event_count)::bigint as event_count"
	" from batch b,"
	"  lateral unnest(b.counter_ids, b.window_starts, b.window_ends)"
	"   as x(counter_id, window_start, window_end)"
	" group by b.owner_id, x.counter_id, x.window_start),"
	" budgets as materialized ("
	" select c.*, a.id, a.usage_limit, a.alert_thresholds"
	" from charges c,"
	"  lateral (select g.id, g.owner_id, g.usage_limit, g.alert_thresholds"
	"           from @gov_assignments g where g.counter_id = c.counter_id offset 0) a"
	" where a.owner_id = c.owner_id),"
	" used as ("
	" insert into @gov_usage as u"
	"  (owner_id, assignment_id, counter_id, window_start, window_end, amount, event_count)"
	" select c.owner_id, c.id, c.counter_id, c.window_start, c.window_end,"
	"  trim_scale(c.amount), c.event_count"
	" from budgets c"
	" order by c.counter_id, c.window_start"
	" on conflict (counter_id, window_start) do update"
	" set amount = trim_scale(u.amount + excluded.amount),"
	"  event_count = u.event_count + excluded.event_count),"
	" attributed as ("
	" insert into @gov_usage_hourly as h"
	"  (owner_id, capability_id, entity_id, hour, amount, event_count)"
	" select b.owner_id, b.capability_id, coalesce(x.entity_id, ''), b.hour,"
	"  trim_scale(sum(b.amount)), sum(b.event_count)::bigint"
	" from batch b"
	" left join lateral unnest(b.entity_ids) as x(entity_id) on true"
	" group by 1, 2, 3, 4"
	" order by 1, 4, 2, 3"
	" on conflict (owner_id, hour, md5(capability_id || chr(1) || entity_id)) do update"
	" set amount = trim_scale(h.amount + excluded.amount),"
	"  event_count = h.event_count + excluded.event_count),"
	" watched as materialized ("
	" select w.*"
	" from (select b.*, " GOV_ALERT_THRESHOLDS("b") " as thresholds"
	"       from budgets b where b.usage_limit is not null offset 0) w"
	" where cardinality(w.thresholds) > 0),"
	" counted as materialized ("
	" select w.*, coalesce(u.amount, 0) as before, coalesce(u.amount, 0) + w.amount as after"
	" from watched w"
	" left join lateral (select g.amount from @gov_usage g"
	"  where g.counter_id = w.counter_id and g.window_start = w.window_start offset 0) u"
	"  on true),"
	" crossed as materialized ("
	" select c.*, t.threshold, r.amount as reached"
	" from counted c,"
	"  lateral unnest(c.thresholds) as t(threshold),"
	"  lateral (select " GOV_ALERT_AMOUNT("c", "t") " as amount offset 0) r"
	" where r.amount <= c.after and not exists ("
	"  select from @gov_alerts k where k.assignment_id = c.id"
	"  and k.window_start = c.window_start and k.threshold = t.threshold offset 0)),"
	" concerned as materialized ("
	" select distinct c.owner_id from crossed c),"
	" marks as materialized ("
	" select c.id, c.owner_id, c.counter_id, c.window_start, c.before, c.after, c.usage_limit,"
	"  c.threshold, c.reached, c.reached - c.before as usage,"
	"  null::bigint as event_id, 0 as later"
	" from crossed c"
	" union all"
	" select null, null, x.counter_id, x.window_start, null, null, null, null, null,"
	"  sum(v.amount) over (partition by x.counter_id, x.window_start order by v.id), v.id, 0"
	" from concerned o,"
	"  lateral (select e.id, e.amount, e.counter_ids, e.window_starts"
	"           from @gov_events e"
	"           where e.owner_id <= o.owner_id and (e.owner_id, e.id) > (o.owner_id, $1)"
	"            and (e.owner_id, e.id) <= (o.owner_id, $2) offset 0) v,"
	"  lateral unnest(v.counter_ids, v.window_starts) as x(counter_id, window_start)"
	" union all"
	" select null, null, x.counter_id, x.window_start, null, null, null, null, null,"
	"  null, null, v.amount"
	" from concerned o,"
	"  lateral (select e.amount, e.counter_ids, e.window_starts"
	"           from @gov_events e"
	"           where e.owner_id <= o.owner_id and (e.owner_id, e.id) > (o.owner_id, $2)"
	"           offset 0) v,"
	"  lateral unnest(v.counter_ids, v.window_starts) as x(counter_id, window_start)),"
	" judged as materialized ("
	" select m.*,"
	"  min(m.event_id) over (w order by m.usage desc) as first_id,"
	"  m.after + sum(m.later) over w as usage_now"
	" from marks m"
	" window w as (partition by m.counter_id, m.window_start)),"
	" alerted as ("
	" insert into @gov_alerts"
	"  (owner_id, assignment_id, threshold, window_start, usage, usage_limit, event_id, raised_at)"
	" select c.owner_id, c.id, c.threshold, c.window_start, trim_scale(c.usage_now), c.usage_limit,"
	"  case when c.before < c.reached then c.first_id end, $3"
	" from judged c"
	" where c.id is not null and c.reached <= c.usage_now"
	" order by c.id, c.window_start, c.threshold"
	" on conflict (assignment_id, window_start, threshold) do nothing"
	" returning id),"
	" moved as ("
	" insert into @gov_rollup_state as r (id, watermark, updated_at)"
	" values (1, $2, $3)"
	" on conflict (id) do update"
	" set watermark = excluded.watermark, updated_at = excluded.updated_at)"
	"select coalesce(sum(b.event_count), 0)::bigint,"
	" (select array_agg(n.id order by n.id) from alerted n) from batch b",
	.nargs = 3,
	.argtypes = {INT8OID, INT8OID, TIMESTAMPTZOID}
};

/* Set the fence at an id that was the last one drawn, at a time or later. */
static void
set_fence(int64 last_id, TimestampTz at)
{
	LOCKTAG		tag;
	VirtualTransactionId *holders;
	VirtualTransactionId *kept;
	int			count;

	Oid			sequence = gov_catalog()->events_id_seq;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, sequence);
	holders = GetLockConflicts(&tag, ShareLock, &count);
	GOV_FAULT(GOV_FAULT_MEMORY);
	kept = MemoryContextAlloc(TopMemoryContext,
							  sizeof(VirtualTransactionId) * (count + 1));
	memcpy(kept, holders, sizeof(VirtualTransactionId) * count);

	if (fence.transactions != NULL)
		pfree(fence.transactions);
	fence.transactions = kept;
	fence.sequence = sequence;
	fence.ntransactions = count;
	fence.last_id = last_id;
	fence.set_at = at;
	fence.is_set = true;
}

/* Have all the transactions of the fence ended? */
static bool
fence_is_open(void)
{
	int			left = 0;

	for (int i = 0; i < fence.ntransactions; i++)
	{
		if (!VirtualXactLock(fence.transactions[i], false))
			fence.transactions[left++] = fence.transactions[i];
	}
	fence.ntransactions = left;
	return left == 0;
}

static void
read_positions(int64 *watermark, int64 *last_id)
{
	bool		isnull;

	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	gov_spi_select(&positions_query, NULL, NULL);
	*watermark = DatumGetInt64(gov_spi_value(0, 1, &isnull));
	*last_id = DatumGetInt64(gov_spi_value(0, 2, &isnull));
	gov_spi_pop_snapshot();
}

/* Tell of the alerts that a batch has raised. */
static void
notify(ArrayType *alerts)
{
	gov_notify_alerts((const int64 *) ARR_DATA_PTR(alerts),
					  ArrayGetNItems(ARR_NDIM(alerts), ARR_DIMS(alerts)));
}

static uint64
move_watermark(int64 from, int64 to)
{
	Datum		args[3] = {
		Int64GetDatum(from), Int64GetDatum(to), TimestampTzGetDatum(gov_clock())
	};
	Datum		alerts;
	bool		isnull;

	gov_spi_modify(&rollup_query, args, NULL);
	gov_tail_note_rolled_up(to);
	alerts = gov_spi_value(0, 2, &isnull);
	if (!isnull)
		notify(DatumGetArrayTypeP(alerts));
	return DatumGetInt64(gov_spi_value(0, 1, &isnull));
}

static GovRollupResult
roll_up(uint64 *nevents)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		watermark;
	int64		last_id;
	int64		end;

	read_positions(&watermark, &last_id);
	gov_tail_note_rolled_up(watermark);
	if (!fence.is_set || fence.sequence != gov_catalog()->events_id_seq ||
		fence.last_id <= watermark)
		set_fence(last_id, now);
	if (fence.last_id <= watermark)
	{
		complete_until = fence.set_at;
		return GOV_ROLLUP_NOTHING;
	}
	if (!fence_is_open())
		return GOV_ROLLUP_BLOCKED;
	end = Min(fence.last_id, watermark + GOV_ROLLUP_BATCH);
	*nevents = move_watermark(watermark, end);
	if (end == fence.last_id)
		complete_until = fence.set_at;
	return GOV_ROLLUP_MOVED;
}

/* What was recorded before this time is rolled up, as far as this process knows. */
TimestampTz
gov_rollup_complete_until(void)
{
	return complete_until;
}

/*
 * Lock what a round works on, without waiting: only one at a time in a
 * database, and not while a budget is being deleted.
 */
static bool
try_lock(void)
{
	const GovCatalog *catalog = gov_catalog();

	return ConditionalLockRelationOid(catalog->rollup_state, ShareUpdateExclusiveLock) &&
		ConditionalLockRelationOid(catalog->rollup_state, RowExclusiveLock) &&
		ConditionalLockRelationOid(catalog->assignments, AccessShareLock) &&
		ConditionalLockRelationOid(catalog->events, RowExclusiveLock) &&
		ConditionalLockRelationOid(catalog->usage, RowExclusiveLock) &&
		ConditionalLockRelationOid(catalog->alerts, RowExclusiveLock) &&
		ConditionalLockRelationOid(catalog->alert_policies, AccessShareLock) &&
		ConditionalLockRelationOid(catalog->usage_hourly, RowExclusiveLock);
}

/* Roll up one batch, as far as that goes without waiting. */
GovRollupResult
gov_rollup_round(uint64 *nevents)
{
	GovSpi		spi;
	GovRollupResult result;

	*nevents = 0;
	if (!try_lock())
		return GOV_ROLLUP_BLOCKED;
	gov_spi_begin(&spi);
	result = roll_up(nevents);
	gov_spi_end(&spi);
	return result;
}
