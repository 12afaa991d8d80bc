/*
 * alert.c
 *		Raises alerts.
 *
 * PURPOSE
 *		The transaction whose usage carries a budget to a threshold writes a row
 *		of gov_alerts and tells whoever listens (notify.c); both become visible,
 *		or not, with the usage itself.  The counters alone tell at every commit
 *		whether a threshold was crossed (pending.c).  Only then are tables read,
 *		by one statement for all that was crossed.
 *
 * PROTOCOL
 *		README.md says what is looked at when a transaction is about to commit,
 *		and what is left to the rollup.  A window whose row was merged with
 *		others (usage_merge.c) is not judged any more.
 *
 * SLIDING WINDOWS
 *		An alert of a window that slides is of the window of a cadence that holds
 *		the time, as if they began one after the other; its usage is what counted in
 *		the last cadence.  The event that crossed is looked for in the grain that
 *		the usage was charged to.  A transaction that has changed the catalog leaves
 *		what slides to the rollup.
 *
 * EXACTLY ONCE
 *		The key of gov_alerts makes each alert unique.  Whoever finds its row
 *		there, even after waiting for somebody to write it, does nothing.  Rows
 *		are written in the order of the key, so that transactions that wait for
 *		each other's rows do so in one order.
 *
 * LOCKING
 *		The rows of the budgets FOR KEY SHARE: deleting a budget deletes its
 *		alerts, and none may come after that.  A budget that somebody is
 *		deleting, or giving another counter, is skipped without waiting; if that
 *		is rolled back, the rollup finds the crossing.
 *
 * RACES ACCEPTED
 *		What others have booked counts, although their commit may still fail (a
 *		serialization failure, a full disk).  Then an alert was raised that the
 *		next use would have raised.
 *
 * FAILURE
 *		An error fails the transaction, which was about to commit.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/spi.h"
#include "cache/changes.h"
#include "cache/load_steps.h"
#include "cache/pending.h"
#include "ledger/statements.h"
#include "rollup/alert.h"
#include "rollup/notify.h"
#include "rollup/pool_alert.h"

#define GOV_CROSSINGS_MAX		500 /* budgets that one commit raises alerts
									 * of */

/* Of the events that this transaction has recorded; 0: it has not. */
static int64 first_event = 0;
static int64 last_event = 0;
static bool has_drawn = false;	/* some of them from grants of pools */
static Oid	extension = InvalidOid;

/*
 * The condition that an event is between two ids and of one of these
 * transactions, which are ours.  They are looked up in a hash, because there
 * is one for each savepoint.
 */
#define GOV_OWN_EVENTS(first, last, xids) \
	" e.id >= " first " and e.id <= " last \
	" and (e.xmin in (select o.xid from unnest(" xids ") as o(xid))) is true"

/* All that this transaction was charged, as the tables and its own rows say. */
#define CHARGED_SQL(of, is_wanted) \
	"with recorded as materialized (" \
	" select x.counter_id, x.window_start, max(x.window_end) as window_end, sum(v.amount) as amount" \
	" from (select e.amount, e.counter_ids, e.window_starts, e.window_ends from @gov_events e" \
	"       where" GOV_OWN_EVENTS("$1", "$2", "$3") " offset 0) v," \
	"  lateral unnest(v.counter_ids, v.window_starts, v.window_ends)" \
	"   as x(counter_id, window_start, window_end)" \
	" group by 1, 2)," \
	" wanted as materialized (" \
	" select a.owner_id, r.*" \
	" from recorded r," \
	"  lateral (select g.owner_id, g.usage_limit, g.alert_thresholds" \
	"           from " of("r.counter_id") " and " is_wanted " offset 0) a" \
	" where a.usage_limit is not null and cardinality(" GOV_ALERT_THRESHOLDS("a") ") > 0)," \
	" tail as materialized (" \
	" select x.counter_id, x.window_start, sum(e.amount) as amount" \
	" from (select distinct w.owner_id from wanted w) o," \
	"  lateral (select v.amount, v.counter_ids, v.window_starts from @gov_events v" \
	"           where " GOV_SQL_PAST("v", "o.owner_id", "id", GOV_SQL_WATERMARK) \
	"           offset 0) e," \
	"  lateral unnest(e.counter_ids, e.window_starts) as x(counter_id, window_start)" \
	" where x.counter_id in (select w.counter_id from wanted w)" \
	" group by 1, 2)" \
	"select w.counter_id, w.window_start," \
	" t.amount + coalesce(u.amount, 0) - w.amount, t.amount + coalesce(u.amount, 0)" \
	" from wanted w" \
	" join tail t on t.counter_id = w.counter_id and t.window_start = w.window_start" \
	" left join lateral (select g.amount, g.window_end from @gov_usage g" \
	"  where g.counter_id = w.counter_id and g.window_start = w.window_start offset 0) u" \
	"  on true" \
	" where (u.window_end > w.window_end) is not true"

#define CHARGED_QUERY(of, is_wanted) \
	{ \
		.sql = CHARGED_SQL(of, is_wanted), \
		.nargs = 3, \
		.argtypes = {INT8OID, INT8OID, XIDARRAYOID} \
	}

/* For an extension that is not updated yet; without budgets by defaults; with them. */
static GovQuery charged_queries[3] = {
	CHARGED_QUERY(GOV_ASSIGNMENT_OF, "true"),
	CHARGED_QUERY(GOV_ASSIGNMENT_OF, "g.window_kind <> 'sliding'"),
	CHARGED_QUERY(GOV_BUDGET_OF, "g.window_kind <> 'sliding'")
};

/*
 * Raise alerts for what was crossed.  The event that crossed a threshold is
 * the first of ours, in the order of ids, to reach it.  One sort finds it for
 * all that was crossed: of the events of a budget, with the usage that each
 * leads to, the first among those above the threshold.
 */
#define RAISE_SQL(of, stays, limit) \
	"with crossed as materialized (" \
	" select c.*, a.id, a.owner_id, a.usage_limit, t.threshold, r.amount" \
	" from unnest($1, $2, $3, $4, $5, $10) as c(counter_id, window_start, before, after, above, alert_start)," \
	"  lateral (select g.id, g.owner_id, " limit " as usage_limit, g.alert_thresholds" \
	"           from " of("c.counter_id") " and g.usage_limit is not null offset 0) a," \
	"  lateral unnest(" GOV_ALERT_THRESHOLDS("a") ") as t(threshold)," \
	"  lateral (select " GOV_ALERT_AMOUNT("a", "t") " as amount offset 0) r" \
	" where r.amount > c.above and r.amount <= c.after and not exists (" \
	"  select from @gov_alerts k where k.assignment_id = a.id" \
	"  and k.window_start = c.alert_start and k.threshold = t.threshold offset 0))," \
	" marks as materialized (" \
	" select c.id, c.owner_id, c.counter_id, c.window_start, c.alert_start, c.after, c.usage_limit," \
	"  c.threshold, c.amount - c.before as usage, null::bigint as event_id" \
	" from crossed c" \
	" union all" \
	" select null, null, x.counter_id, x.window_start, null, null, null, null," \
	"  sum(v.amount) over (partition by x.counter_id, x.window_start order by v.id), v.id" \
	" from (select distinct c.owner_id from crossed c where $6 <> $7) o," \
	"  lateral (select e.id, e.amount, e.counter_ids, e.window_starts" \
	"           from @gov_events e where e.owner_id = o.owner_id and" \
	GOV_OWN_EVENTS("$6", "$7", "$8") " offset 0) v," \
	"  lateral unnest(v.counter_ids, v.window_starts) as x(counter_id, window_start)" \
	" where (x.counter_id in (select c.counter_id from crossed c)) is true)," \
	" judged as materialized (" \
	" select m.*, min(m.event_id) over" \
	"  (partition by m.counter_id, m.window_start order by m.usage desc) as first_id" \
	" from marks m)" \
	"insert into @gov_alerts" \
	" (owner_id, assignment_id, threshold, window_start, usage, usage_limit, event_id, raised_at)" \
	" select c.owner_id, c.id, c.threshold, c.alert_start, trim_scale(c.after), c.usage_limit," \
	"  case when $6 = $7 then $6 else c.first_id end, $9" \
	" from judged c," \
	"  lateral (" stays("c.counter_id") ") l" \
	" where c.id is not null" \
	" order by c.id, c.alert_start, c.threshold" \
	" on conflict (assignment_id, window_start, threshold) do nothing" \
	" returning id"

#define RAISE_QUERY(of, stays, limit) \
	{ \
		.sql = RAISE_SQL(of, stays, limit), \
		.nargs = 10, \
		.argtypes = {INT8ARRAYOID, TIMESTAMPTZARRAYOID, NUMERICARRAYOID, NUMERICARRAYOID, \
		NUMERICARRAYOID, INT8OID, INT8OID, XIDARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZARRAYOID} \
	}

/* Where there are defaults, and by what limits may be made of (gov_load_limit_kind). */
static GovQuery raise_queries[2][3] = {
	{
		RAISE_QUERY(GOV_ASSIGNMENT_OF, GOV_ASSIGNMENT_STAYS, "g.usage_limit"),
		RAISE_QUERY(GOV_ASSIGNMENT_OF, GOV_ASSIGNMENT_STAYS, GOV_BOOSTED_LIMIT("g", "$9")),
		RAISE_QUERY(GOV_ASSIGNMENT_OF, GOV_ASSIGNMENT_STAYS, GOV_CARRYING_LIMIT("g", "$9", "c.window_start"))
	},
	{
		RAISE_QUERY(GOV_BUDGET_OF, GOV_BUDGET_STAYS, "g.usage_limit"),
		RAISE_QUERY(GOV_BUDGET_OF, GOV_BUDGET_STAYS, GOV_BOOSTED_LIMIT("g", "$9")),
		RAISE_QUERY(GOV_BUDGET_OF, GOV_BUDGET_STAYS, GOV_CARRYING_LIMIT("g", "$9", "c.window_start"))
	}
};

/* What a transaction has crossed, or may have crossed. */
typedef struct GovCrossings
{
	int			count;
	GovCrossing *items;
} GovCrossings;

/* Note an event that was recorded.  Ids are drawn in ascending order. */
void
gov_alert_note_event(int64 id)
{
	if (first_event == 0)
		first_event = id;
	last_event = id;
	extension = gov_catalog()->extension;
}

/* An event draws from the grants of a pool. */
void
gov_alert_note_drawn(void)
{
	has_drawn = true;
}

/* The transaction has ended. */
void
gov_alert_forget(void)
{
	first_event = 0;
	last_event = 0;
	has_drawn = false;
}

/* This transaction's ids: its own, and those of its subtransactions. */
static Datum
own_transactions(void)
{
	TransactionId *children;
	int			nchildren = xactGetCommittedChildren(&children);
	Datum	   *ids;

	GOV_FAULT(GOV_FAULT_MEMORY);
	ids = palloc(sizeof(Datum) * (nchildren + 1));
	ids[0] = TransactionIdGetDatum(GetTopTransactionIdIfAny());
	for (int i = 0; i < nchildren; i++)
		ids[i + 1] = TransactionIdGetDatum(children[i]);
	return PointerGetDatum(construct_array(ids, nchildren + 1, XIDOID, 4, true,
										   TYPALIGN_INT));
}

/* Add all that this transaction's events were charged to. */
static void
add_charged(Datum xids, GovCrossings *crossings)
{
	Datum		args[3] = {Int64GetDatum(first_event), Int64GetDatum(last_event), xids};
	int			which = gov_load_has_defaults() ? 2 : gov_catalog()->has_1_1_tables ? 1 : 0;
	uint64		nrows;

	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	nrows = gov_spi_select(&charged_queries[which], args, NULL);
	crossings->items = repalloc_huge(crossings->items,
									 sizeof(GovCrossing) * (crossings->count + nrows + 1));
	for (uint64 row = 0; row < nrows; row++)
	{
		GovCrossing *crossing = &crossings->items[crossings->count++];
		bool		isnull;

		crossing->counter_id = DatumGetInt64(gov_spi_value(row, 1, &isnull));
		crossing->window_start = DatumGetTimestampTz(gov_spi_value(row, 2, &isnull));
		crossing->before = gov_load_amount(row, 3, &isnull);
		crossing->after = gov_load_amount(row, 4, &isnull);
		crossing->alert_start = crossing->window_start;
		crossing->above = 0;
	}
	SPI_freetuptable(SPI_tuptable);
	gov_spi_pop_snapshot();
}

static Datum
amount_array(const GovCrossings *crossings, Size field)
{
	Datum	   *amounts = palloc(sizeof(Datum) * crossings->count);

	for (int i = 0; i < crossings->count; i++)
	{
		const GovAmount *amount = (const GovAmount *)
		((const char *) &crossings->items[i] + field);

		amounts[i] = NumericGetDatum(gov_amount_to_numeric(*amount));
	}
	return PointerGetDatum(construct_array(amounts, crossings->count, NUMERICOID, -1,
										   false, TYPALIGN_INT));
}

static void
set_crossings(Datum *args, const GovCrossings *crossings)
{
	Datum	   *ids = palloc(sizeof(Datum) * crossings->count);
	Datum	   *starts = palloc(sizeof(Datum) * crossings->count);
	Datum	   *alert_starts = palloc(sizeof(Datum) * crossings->count);

	for (int i = 0; i < crossings->count; i++)
	{
		ids[i] = Int64GetDatum(crossings->items[i].counter_id);
		starts[i] = TimestampTzGetDatum(crossings->items[i].window_start);
		alert_starts[i] = TimestampTzGetDatum(crossings->items[i].alert_start);
	}
	args[0] = PointerGetDatum(construct_array(ids, crossings->count, INT8OID, 8,
											  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	args[1] = PointerGetDatum(construct_array(starts, crossings->count, TIMESTAMPTZOID, 8,
											  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	args[2] = amount_array(crossings, offsetof(GovCrossing, before));
	args[3] = amount_array(crossings, offsetof(GovCrossing, after));
	args[4] = amount_array(crossings, offsetof(GovCrossing, above));
	args[9] = PointerGetDatum(construct_array(alert_starts, crossings->count, TIMESTAMPTZOID, 8,
											  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* Write the alerts of pools, behind those that there are ids of; returns how many they all are. */
static int
add_pool_alerts(const GovPoolAlerts *by, MemoryContext context, int64 **ids, int nids)
{
	int64	   *more;
	int			count = gov_pool_alert_raise(by, context, &more);

	*ids = repalloc_huge(*ids, sizeof(int64) * (nids + count + 1));
	memcpy(*ids + nids, more, sizeof(int64) * count);
	return nids + count;
}

/* Write the alerts; returns their ids in the caller's memory. */
static int
write_alerts(const GovCrossings *crossings, Datum xids, MemoryContext context, int64 **ids)
{
	Datum		args[10];
	int			count;

	set_crossings(args, crossings);
	args[5] = Int64GetDatum(first_event);
	args[6] = Int64GetDatum(last_event);
	args[7] = xids;
	args[8] = TimestampTzGetDatum(gov_clock());
	CommandCounterIncrement();
	count = (int) gov_spi_modify(&raise_queries[gov_load_has_defaults()][gov_load_limit_kind()],
								 args, NULL);
	*ids = MemoryContextAllocHuge(context, sizeof(int64) * (count + 1));
	for (int i = 0; i < count; i++)
	{
		bool		isnull;

		(*ids)[i] = DatumGetInt64(gov_spi_value(i, 1, &isnull));
	}
	SPI_freetuptable(SPI_tuptable);
	if (has_drawn)
		count = add_pool_alerts(&(GovPoolAlerts) {args[0], args[3], args[5], args[6], xids}, context, ids, count);
	return count;
}

/* Look at what was crossed, and raise the alerts that there are. */
static void
raise_alerts(int ncrossings)
{
	MemoryContext context = CurrentMemoryContext;
	GovCrossings crossings = {ncrossings};
	GovSpi		spi;
	Datum		xids;
	int64	   *ids = NULL;
	int			nids = 0;

	GOV_FAULT(GOV_FAULT_MEMORY);
	crossings.items = MemoryContextAllocHuge(context,
											 sizeof(GovCrossing) * (ncrossings + 1));
	gov_pending_crossings(crossings.items, ncrossings);

	gov_spi_begin_before_commit(&spi);
	xids = own_transactions();
	if (!gov_changes_is_empty())
		add_charged(xids, &crossings);
	if (crossings.count > 0 || has_drawn)
		nids = write_alerts(&crossings, xids, context, &ids);
	gov_spi_end(&spi);
	gov_notify_alerts(ids, nids);
}

/*
 * Is the extension that the transaction used still installed?  It may be gone,
 * or be another one.
 */
static bool
is_installed(void)
{
	const GovCatalog *catalog;

	CommandCounterIncrement();
	catalog = gov_catalog_if_installed();
	return catalog != NULL && catalog->extension == extension;
}

/* The transaction is about to commit. */
void
gov_alert_before_commit(void)
{
	int			ncrossings = gov_pending_book();
	bool		was_read_only = XactReadOnly;
	MemoryContext context;
	MemoryContext caller;

	if (first_event == 0 || (ncrossings == 0 && gov_changes_is_empty()) ||
		!is_installed())
		return;
	context = AllocSetContextCreate(TopTransactionContext, "governance alerts",
									ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(context);

	/* it has written, so it was made read-only after that */
	XactReadOnly = false;
	raise_alerts(Min(ncrossings, GOV_CROSSINGS_MAX));
	XactReadOnly = was_read_only;

	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}
