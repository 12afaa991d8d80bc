/*
 * usage_retention.c
 *		Deletes usage and alerts that are older than their retention.
 *
 * PURPOSE
 *		governance.usage_retention bounds gov_usage and gov_usage_by_time,
 *		governance.alert_retention bounds gov_alerts.
 *
 * WHAT STAYS
 *		Usage stays while the ledger has events of it, because gov_verify compares
 *		the two, and reports add up hours instead of events.  So without
 *		governance.event_retention no usage is ever deleted.  A late event is
 *		counted in a new row, which goes when the event has gone.
 *
 *		Alerts of the present window of a budget, and of later ones, stay however
 *		old they are: without the row the next use would raise the alert again.
 *		Where a use opens windows those stay that it may be.
 *		Alerts that a user's foreign key refers to stay, too (referred.c).
 *
 * PROTOCOL
 *		A batch in each transaction, going on where the last one stopped
 *		(pass.c).  Windows are deleted in the order of their ends, once they have
 *		been merged (usage_merge.c), and alerts in that of their ids.  The hours
 *		have an index that begins with owner and hour, so that an owner whose
 *		first hour is not due costs one look-up.  One hour's rows go together,
 *		whatever parts of it they are of.  No hour becomes due within one, so a
 *		pass over all owners is made once for each that the clock shows.
 *
 * LOCKING
 *		ShareUpdateExclusiveLock on gov_rollup_state, as in usage_merge.c: neither
 *		a round of the rollup nor the deletion of a budget is under way.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/guc.h"
#include "base/lookup.h"
#include "base/spi.h"
#include "pure/bytes.h"
#include "rollup/pass.h"
#include "rollup/referred.h"
#include "rollup/usage_retention.h"

#define GOV_HOURS_BATCH		256 /* of an owner each, in one transaction */

static GovPass windows_pass;
static GovPass alerts_pass;

/* Where the pass over the hours is: after this hour of this owner. */
static GovPass hours_pass;
static char *hours_owner = NULL;	/* NULL at the start */
static TimestampTz hours_done_until = DT_NOBEGIN;	/* earlier ones are done
													 * with */

/*
 * Delete windows.  A merged row waits while a late use has a row of its own in
 * its span.
 */
static GovQuery windows_query = {
	.sql =
	"with due as materialized ("
	" select u.ctid as row_id, u.counter_id, u.window_start, u.window_end,"
	"  u.pruned_count >= u.event_count as is_free"
	" from @gov_usage u"
	" where u.merged_windows is not null"
	"  and (u.window_end, u.counter_id) > ($1, $2) and u.window_end < $3"
	" order by u.window_end, u.counter_id limit $4),"
	" doomed as materialized ("
	" select d.row_id from due d"
	" where d.is_free and not exists ("
	"  select from @gov_usage o"
	"  where o.counter_id = d.counter_id and o.window_start > d.window_start"
	"   and o.window_start < d.window_end offset 0)),"
	" deleted as ("
	" delete from @gov_usage u"
	" where u.ctid = any (array(select d.row_id from doomed d))"
	" returning 1)"
	"select (select count(*) from deleted), count(*), max(d.window_end),"
	" (select l.counter_id from due l order by l.window_end desc, l.counter_id desc limit 1)"
	" from due d",
	.nargs = 4,
	.argtypes = {TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID, INT8OID}
};

static GovQuery next_hour_query = {
	.sql =
	"select h.owner_id, h.hour from @gov_usage_by_time h"
	" where (h.owner_id, h.hour) > ($1, $2) order by h.owner_id, h.hour limit 1",
	.nargs = 2,
	.argtypes = {TEXTOID, TIMESTAMPTZOID}
};

/* Select the hours that the ledger has events of. */
static const GovQuery recorded_query = {
	.sql =
	"select distinct e.owner_id, date_trunc('hour', e.occurred_at, 'UTC')"
	" from @gov_events e"
	" where e.occurred_at >= $1 and e.occurred_at < $2 + interval '1 hour'",
	.nargs = 2,
	.argtypes = {TIMESTAMPTZOID, TIMESTAMPTZOID}
};

static GovQuery delete_hours_query = {
	.sql =
	"delete from @gov_usage_by_time h"
	" using unnest($1, $2) as w(owner_id, hour)"
	" where h.owner_id = w.owner_id and h.hour = w.hour",
	.nargs = 2,
	.argtypes = {TEXTARRAYOID, TIMESTAMPTZARRAYOID}
};

/*
 * The alerts of a batch that are to be deleted.  One that was raised in the
 * future, because the clock was ahead, is passed over.
 */
#define GOV_DOOMED_ALERTS(kind, others) \
	"with batch as materialized (" \
	" select l.id, l.assignment_id, l.window_start, l.raised_at < $2 as is_old," \
	"  l.raised_at between $2 and $3 as ends" \
	" from @gov_alerts l where l.id > $1 order by l.id limit $4)," \
	" seen as materialized (" \
	" select b.* from batch b" \
	" where b.id < coalesce((select min(s.id) from batch s where s.ends), b.id + 1))," \
	" doomed as materialized (" \
	" select s.id" \
	" from seen s" \
	" left join lateral (" \
	"  select a.cadence, a.anchor_at, a.timezone, a.window_kind, @gov_is_timezone(a.timezone) as is_known" \
	"  from (select o.cadence, o.anchor_at, o.timezone, " kind " as window_kind" \
	"        from @gov_assignments o where o.id = s.assignment_id" others ") a offset 0) a on true" \
	" where s.is_old and case" \
	"  when a.is_known is null then true" \
	"  when a.window_kind <> 'calendar' then" \
	"   s.window_start <= $3 and s.window_start + a.cadence::interval + interval '2 days' < $3" \
	"  when a.is_known then s.window_start <= $3 and s.window_start <> (" \
	"   select w.window_start from @gov_window(a.cadence, a.anchor_at, a.timezone, $3) w)" \
	" end)"

/* Where there are budgets by defaults: each may have several rows. */
#define GOV_OF_DEFAULTS \
	" union all" \
	" select d.cadence, n.anchor_at, d.timezone, d.window_kind from @gov_default_counts n" \
	" join @gov_default_assignments d on d.id = n.default_id" \
	" where n.assignment_id = s.assignment_id limit 1"

#define DOOMED_ALERTS_QUERY(kind, others) \
	{ \
		.sql = GOV_DOOMED_ALERTS(kind, others) " select array_agg(d.id) from doomed d", \
		.nargs = 4, \
		.argtypes = {INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID} \
	}

#define ALERTS_QUERY(kind, others) \
	{ \
		.sql = \
		GOV_DOOMED_ALERTS(kind, others) "," \
		" deleted as (" \
		" delete from @gov_alerts l" \
		" where l.id = any (array(select d.id from doomed d))" \
		"  and ($5 is null or l.id in (select f.id from unnest($5) f(id)))" \
		" returning 1)" \
		"select (select count(*) from deleted), count(*), max(s.id) from seen s", \
		.nargs = 5, \
		.argtypes = {INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, INT8ARRAYOID} \
	}

/* For an extension that is not updated yet; without budgets by defaults; with them. */
static GovQuery doomed_alerts_queries[3] = {
	DOOMED_ALERTS_QUERY("'calendar'", ""), DOOMED_ALERTS_QUERY("o.window_kind", ""),
	DOOMED_ALERTS_QUERY("o.window_kind", GOV_OF_DEFAULTS)
};

static GovQuery alerts_queries[3] = {
	ALERTS_QUERY("'calendar'", ""), ALERTS_QUERY("o.window_kind", ""),
	ALERTS_QUERY("o.window_kind", GOV_OF_DEFAULTS)
};

/*
 * Lock a table, and keep the rollup away, without waiting; false if that
 * cannot be had.
 */
static bool
try_lock(Oid table)
{
	return ConditionalLockRelationOid(gov_catalog()->rollup_state, ShareUpdateExclusiveLock) &&
		ConditionalLockRelationOid(table, RowExclusiveLock);
}

/* The time before which usage may go; false when none may. */
static bool
usage_due_before(TimestampTz *result)
{
	if (gov_usage_retention_s == 0 || gov_event_retention_s == 0)
		return false;
	*result = gov_clock() - Max(gov_usage_retention_s, gov_event_retention_s) * USECS_PER_SEC;
	return true;
}

/* ---------------------------------------------------------------- windows */

/* Delete a batch of windows. */
static bool
prune_windows(TimestampTz due_before, uint64 *ndeleted)
{
	Datum		args[4];
	GovSpi		spi;
	int64		nread;
	bool		isnull;

	if (!gov_catalog()->has_1_1_tables || !try_lock(gov_catalog()->usage))
		return false;
	gov_pass_continue(&windows_pass);
	args[0] = TimestampTzGetDatum(windows_pass.at);
	args[1] = Int64GetDatum(windows_pass.id);
	args[2] = TimestampTzGetDatum(due_before);
	args[3] = Int64GetDatum(windows_pass.limit);
	gov_spi_begin(&spi);
	gov_spi_modify(&windows_query, args, NULL);
	*ndeleted += DatumGetInt64(gov_spi_value(0, 1, &isnull));
	nread = DatumGetInt64(gov_spi_value(0, 2, &isnull));
	if (nread > 0)
	{
		windows_pass.at = DatumGetTimestampTz(gov_spi_value(0, 3, &isnull));
		windows_pass.id = DatumGetInt64(gov_spi_value(0, 4, &isnull));
	}
	gov_spi_end(&spi);
	return gov_pass_note(&windows_pass, nread, nread);
}

/* ---------------------------------------------------------------- hours */

/* The hours of a batch, in order. */
typedef struct GovHours
{
	MemoryContext context;
	int			count;
	Datum		owners[GOV_HOURS_BATCH];
	Datum		hours[GOV_HOURS_BATCH];
	bool		is_recorded[GOV_HOURS_BATCH];
} GovHours;

static void
move_to(const char *owner, TimestampTz hour)
{
	char	   *copy = owner ? MemoryContextStrdup(TopMemoryContext, owner) : NULL;

	if (hours_owner != NULL)
		pfree(hours_owner);
	hours_owner = copy;
	hours_pass.at = hour;
}

/* Find the next hours that are due; false when there are no more. */
static bool
find_due(GovHours *hours, TimestampTz due_before)
{
	for (int nsteps = 0; nsteps < GOV_HOURS_BATCH; nsteps++)
	{
		Datum		args[2] = {CStringGetTextDatum(hours_owner ? hours_owner : ""),
		TimestampTzGetDatum(hours_pass.at)};
		MemoryContext caller;
		TimestampTz hour;
		char	   *owner;
		bool		isnull;

		if (gov_spi_modify(&next_hour_query, args, NULL) == 0)
			return false;
		owner = gov_spi_text(0, 1);
		hour = DatumGetTimestampTz(gov_spi_value(0, 2, &isnull));
		SPI_freetuptable(SPI_tuptable);
		if (hour >= due_before)
		{
			move_to(owner, DT_NOEND);
			continue;
		}
		move_to(owner, hour);
		caller = MemoryContextSwitchTo(hours->context);
		hours->owners[hours->count] = CStringGetTextDatum(owner);
		MemoryContextSwitchTo(caller);
		hours->hours[hours->count++] = TimestampTzGetDatum(hour);
	}
	return true;
}

/*
 * Note an hour that the ledger has events of: it stays if it is in the batch.
 */
static void
keep_recorded(TupleTableSlot *row, void *state)
{
	GovHours   *hours = state;
	text	   *owner = DatumGetTextPP(row->tts_values[0]);
	TimestampTz hour = DatumGetTimestampTz(row->tts_values[1]);

	for (int i = 0; i < hours->count; i++)
	{
		text	   *other = DatumGetTextPP(hours->owners[i]);

		if (DatumGetTimestampTz(hours->hours[i]) == hour &&
			gov_bytes_same(other, owner))
			hours->is_recorded[i] = true;
	}
}

/*
 * Find which hours of a batch the ledger has events of.  In a scope of its
 * own, because other statements must not be planned with the scans that are
 * allowed here.
 */
static void
look_into_ledger(GovHours *hours)
{
	TimestampTz first = DatumGetTimestampTz(hours->hours[0]);
	TimestampTz last = first;
	Datum		args[2];
	GovSpi		spi;

	for (int i = 1; i < hours->count; i++)
	{
		first = Min(first, DatumGetTimestampTz(hours->hours[i]));
		last = Max(last, DatumGetTimestampTz(hours->hours[i]));
	}
	args[0] = TimestampTzGetDatum(first);
	args[1] = TimestampTzGetDatum(last);
	gov_spi_begin(&spi);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	gov_spi_scan(&recorded_query, args, NULL, keep_recorded, hours);
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
}

static uint64
delete_hours(const GovHours *hours)
{
	Datum		owners[GOV_HOURS_BATCH];
	Datum		starts[GOV_HOURS_BATCH];
	Datum		args[2];
	int			count = 0;

	for (int i = 0; i < hours->count; i++)
	{
		if (hours->is_recorded[i])
			continue;
		owners[count] = hours->owners[i];
		starts[count++] = hours->hours[i];
	}
	if (count == 0)
		return 0;
	args[0] = PointerGetDatum(construct_array(owners, count, TEXTOID, -1, false, TYPALIGN_INT));
	args[1] = PointerGetDatum(construct_array(starts, count, TIMESTAMPTZOID, 8,
											  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	return gov_spi_modify(&delete_hours_query, args, NULL);
}

static bool
find_hours(GovHours *hours, TimestampTz due_before)
{
	GovSpi		spi;
	bool		has_more;

	gov_spi_begin(&spi);
	has_more = find_due(hours, due_before);
	gov_spi_end(&spi);
	return has_more;
}

/* Delete those hours of a batch that the ledger has no events of. */
static bool
prune_hours(TimestampTz due_before, uint64 *ndeleted)
{
	GovHours   *hours;
	GovSpi		spi;
	bool		has_more;

	due_before -= due_before % USECS_PER_HOUR;
	if (gov_pass_continue(&hours_pass))
	{
		move_to(NULL, DT_NOBEGIN);
		hours_done_until = DT_NOBEGIN;
	}
	if (due_before <= hours_done_until || !gov_catalog()->has_1_1_tables ||
		!try_lock(gov_catalog()->usage_by_time) ||
		!ConditionalLockRelationOid(gov_catalog()->events, AccessShareLock))
		return false;
	hours = palloc0(sizeof(GovHours));
	hours->context = CurrentMemoryContext;
	has_more = find_hours(hours, due_before);
	if (hours->count > 0)
	{
		look_into_ledger(hours);
		gov_spi_begin(&spi);
		*ndeleted += delete_hours(hours);
		gov_spi_end(&spi);
	}
	if (!has_more)
	{
		move_to(NULL, DT_NOBEGIN);
		hours_done_until = due_before;
	}
	return has_more;
}

/* Delete a batch of what is past governance.usage_retention. */
bool
gov_usage_retention_prune_usage(uint64 *ndeleted)
{
	TimestampTz due_before;
	bool		has_more;

	if (!usage_due_before(&due_before))
		return false;
	has_more = prune_windows(due_before, ndeleted);
	return prune_hours(due_before, ndeleted) || has_more;
}

/* ---------------------------------------------------------------- alerts */

/*
 * Move the pass over alerts on past what a batch has seen; true when there may
 * be more.
 */
static bool
note_alerts(void)
{
	bool		isnull;
	int64		nread = DatumGetInt64(gov_spi_value(0, 2, &isnull));

	if (nread > 0)
		alerts_pass.id = DatumGetInt64(gov_spi_value(0, 3, &isnull));
	return gov_pass_note(&alerts_pass, nread, nread);
}

/* Delete a batch of alerts past governance.alert_retention. */
bool
gov_usage_retention_prune_alerts(uint64 *ndeleted)
{
	TimestampTz now = gov_clock();
	Datum		args[5];
	GovSpi		spi;
	int64		nkept;
	bool		isnull;
	bool		is_new;
	bool		has_more = false;
	int			which;

	if (gov_alert_retention_s == 0 || !try_lock(gov_catalog()->alerts))
		return false;
	which = !AttributeNumberIsValid(gov_catalog()->assignments_window_kind) ? 0 :
		gov_lookup_is_filled(gov_catalog()->default_counts) ? 2 : 1;
	is_new = gov_pass_continue(&alerts_pass);
	args[0] = Int64GetDatum(alerts_pass.id);
	args[1] = TimestampTzGetDatum(now - gov_alert_retention_s * USECS_PER_SEC);
	args[2] = TimestampTzGetDatum(now);
	args[3] = Int64GetDatum(alerts_pass.limit);
	gov_spi_begin(&spi);
	if (gov_referred_find_free(GOV_REFERRED_ALERTS, &doomed_alerts_queries[which], args,
							   &args[4], &nkept))
	{
		gov_spi_modify(&alerts_queries[which], args, args[4] == (Datum) 0 ? "    n" : NULL);
		*ndeleted += DatumGetInt64(gov_spi_value(0, 1, &isnull));
		has_more = note_alerts();
		gov_referred_note_kept(GOV_REFERRED_ALERTS, is_new, nkept, has_more);
	}
	gov_spi_end(&spi);
	return has_more;
}
