/*
 * usage_merge.c
 *		Merges the short windows of a day into one row of gov_usage.
 *
 * PURPOSE
 *		A budget with a cadence of a minute has 1,440 windows a day.  Each is
 *		needed while it is the present one, and of interest for some days more;
 *		after that one row for the day says enough.  usage_retention.c deletes
 *		only rows that this has looked at.
 *
 * LAYOUT
 *		merged_windows of a row is null until the row has been looked at here;
 *		the index gov_usage_unmerged is the queue of such rows.  Windows of more
 *		than half a day stay as they are, and get a 1; a day can have two of
 *		them, when its clock was set forward.  The others become one row per
 *		counter and day, from the start of the first to the end of the last window
 *		that was used, and merged_windows says of how many rows it was made.
 *
 *		A day is one of UTC, as the hours of gov_usage_by_time are: a window
 *		belongs to the day that it starts in.  So rows of a counter do not
 *		overlap, but for the case that follows.
 *
 *		A late use, or a correction, is added to the merged row if its window is
 *		the first one of that row.  Otherwise the rollup makes a row for its
 *		window, which lies in the span of the merged row until the next pass
 *		merges it.  Whoever compares with the ledger (gov_verify, retention.c)
 *		adds up all rows that lie in the span of a merged one.
 *
 *		Grains of windows that slide are merged as soon as they have left
 *		(usage_slide.c); what that makes of a day is taken for one window here.
 *
 * PROTOCOL
 *		A batch takes counters from the queue, and of each the whole day.  What
 *		is due ended governance.usage_merge_after before the present day began,
 *		so that a day is merged once.  See pass.c for how it goes on.
 *
 * LOCKING
 *		ShareUpdateExclusiveLock on gov_rollup_state, as a round of the rollup
 *		(rollup.c): nobody else changes gov_usage.  A lock that is not to be had
 *		at once ends the batch.
 *
 * INVARIANTS
 *		A merged row has windows that have ended, so no load needs it, unless the
 *		clock was ahead by more than governance.usage_merge_after when the row
 *		was made, and was then set back.  For that case loads are told up to which
 *		end windows are merged, before the merged rows can be seen.  In a window
 *		that such a row covers, all of its usage counts (load_usage.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/guc.h"
#include "base/shmem.h"
#include "base/spi.h"
#include "rollup/pass.h"
#include "rollup/usage_merge.h"
#include "rollup/usage_slide.h"

static GovPass merge_pass;

static GovQuery merge_query = {
	.sql =
	"with due as materialized ("
	" select u.counter_id, u.window_start, u.window_end"
	" from @gov_usage u"
	" where u.merged_windows is null and (u.leaves_at = '-infinity') is not false"
	"  and (u.window_end, u.counter_id) > ($1, $2) and u.window_end <= $3"
	" order by u.window_end, u.counter_id limit $4),"
	" day as materialized ("
	" select distinct d.counter_id, date_trunc('day', d.window_start, 'UTC') as start"
	" from due d),"
	" lying as materialized ("
	" select r.*, d.start as day"
	" from day d,"
	"  lateral (select u.ctid as row_id, u.*"
	"           from @gov_usage u"
	"           where u.counter_id = d.counter_id and u.window_start >= d.start"
	"            and u.window_start < d.start + interval '24 hours' and u.window_end <= $3"
	"            and (u.leaves_at = '-infinity') is not false"
	"           offset 0) r),"
	" placed as materialized ("
	" select l.*,"
	"  case when l.merged_windows > 1 or l.leaves_at = '-infinity' or l.window_end - l.window_start <= interval '12 hours'"
	"   then l.day else l.window_start end as place"
	" from lying l),"
	" member as materialized ("
	" select p.*, row_number() over (partition by p.counter_id, p.place order by p.window_start) as n"
	" from placed p),"
	" merged as materialized ("
	" select max(m.row_id) filter (where m.n = 1) as row_id, max(m.window_end) as window_end,"
	"  sum(m.amount) as amount, sum(m.event_count) as event_count,"
	"  sum(m.pruned_amount) as pruned_amount, sum(m.pruned_count) as pruned_count,"
	"  sum(coalesce(m.merged_windows, 1)) as windows"
	" from member m"
	" group by m.counter_id, m.place"
	" having bool_or(m.merged_windows is null)),"
	" removed as ("
	" delete from @gov_usage u"
	" where u.ctid = any (array(select m.row_id from member m where m.n > 1))),"
	" kept as ("
	" update @gov_usage u"
	" set window_end = m.window_end, amount = trim_scale(m.amount), event_count = m.event_count,"
	"  pruned_amount = trim_scale(m.pruned_amount), pruned_count = m.pruned_count,"
	"  merged_windows = m.windows"
	" from merged m"
	" where u.ctid = m.row_id)"
	"select count(*), max(d.window_end),"
	" (select l.counter_id from due l order by l.window_end desc, l.counter_id desc limit 1),"
	" (select count(*) from member)"
	" from due d",
	.nargs = 4,
	.argtypes = {TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID, INT8OID}
};

/* Lock what a batch works on, without waiting. */
static bool
try_lock(void)
{
	const GovCatalog *catalog = gov_catalog();

	return ConditionalLockRelationOid(catalog->rollup_state, ShareUpdateExclusiveLock) &&
		ConditionalLockRelationOid(catalog->usage, RowExclusiveLock);
}

/* The time up to which windows that end are due. */
static TimestampTz
due_until(int age_s)
{
	return gov_clock_day(gov_clock() - age_s * USECS_PER_SEC);
}

/* Tell loads that windows which end by a time may be merged. */
static void
tell_loads(TimestampTz until)
{
	pg_atomic_uint64 *merged_until = gov_shmem_merged_until(MyDatabaseId);
	uint64		told = pg_atomic_read_u64(merged_until);

	while (until > (TimestampTz) told &&
		   !pg_atomic_compare_exchange_u64(merged_until, &told, (uint64) until))
		;
}

/*
 * Merge a batch of windows.  If windows are never to be merged but usage is to
 * be deleted, they are merged when they are due to be deleted.
 */
static bool
merge_windows(uint64 *nmerged)
{
	int			age_s = gov_usage_merge_after_s != 0 ? gov_usage_merge_after_s : gov_usage_retention_s;
	Datum		args[4];
	GovSpi		spi;
	TimestampTz until;
	int64		nread;
	int64		nworked;
	bool		isnull;

	if (age_s == 0 || !gov_catalog()->has_1_1_tables || !try_lock())
		return false;
	gov_pass_continue(&merge_pass);
	args[0] = TimestampTzGetDatum(merge_pass.at);
	args[1] = Int64GetDatum(merge_pass.id);
	until = due_until(age_s);
	tell_loads(until);
	args[2] = TimestampTzGetDatum(until);
	args[3] = Int64GetDatum(merge_pass.limit);
	gov_spi_begin(&spi);
	gov_spi_modify(&merge_query, args, NULL);
	nread = DatumGetInt64(gov_spi_value(0, 1, &isnull));
	if (nread > 0)
	{
		merge_pass.at = DatumGetTimestampTz(gov_spi_value(0, 2, &isnull));
		merge_pass.id = DatumGetInt64(gov_spi_value(0, 3, &isnull));
	}
	nworked = DatumGetInt64(gov_spi_value(0, 4, &isnull));
	*nmerged += nworked;
	gov_spi_end(&spi);
	return gov_pass_note(&merge_pass, nread, nworked);
}

/*
 * Merge a batch of windows, and one of grains that have left; true when there may be
 * more.
 */
bool
gov_usage_merge(uint64 *nmerged)
{
	bool		has_more = gov_usage_slide(nmerged);

	return merge_windows(nmerged) || has_more;
}
