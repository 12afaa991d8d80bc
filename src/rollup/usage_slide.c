/*
 * usage_slide.c
 *		Merges the grains of windows that slide, when they have left.
 *
 * PURPOSE
 *		A window that slides is counted in grains of 1/64 of its cadence, and each
 *		that was used is a row of gov_usage: for a cadence of a second 64 in each
 *		second.  A row is needed until the grain has left the window.  A
 *		minute after that it is merged with those of its day, so a budget has no
 *		more rows than grains that count, those of the last minute, and one a day.
 *
 * LAYOUT
 *		leaves_at of a row says when its grain leaves, and is the order of the
 *		index gov_usage_grains; of a merged row it is -infinity.  What such a row
 *		covers, and what becomes of late uses, is as for merged windows
 *		(usage_merge.c), which in the end takes each for one window of its day.
 *		Grains that are longer than half a day stay as they are.
 *
 * LOCKING
 *		As in usage_merge.c.
 *
 * INVARIANTS
 *		No load needs a merged row, unless the clock was set back by more than a
 *		minute.  Where such a row covers what counts then, all of it does
 *		(load_usage.c): too much rather than nothing.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/spi.h"
#include "rollup/pass.h"
#include "rollup/usage_slide.h"

#define GOV_GRAIN_KEPT_S	60	/* after it has left: a clock may be set back */

static GovPass slide_pass;

static GovQuery slide_query = {
	.sql =
	"with due as materialized ("
	" select u.counter_id, u.window_start, u.leaves_at"
	" from @gov_usage u"
	" where u.leaves_at > '-infinity'"
	"  and (u.leaves_at, u.counter_id) > ($1, $2) and u.leaves_at <= $3"
	" order by u.leaves_at, u.counter_id limit $4),"
	" day as materialized ("
	" select distinct d.counter_id, date_trunc('day', d.window_start, 'UTC') as start"
	" from due d),"
	" lying as materialized ("
	" select r.*, d.start as day"
	" from day d,"
	"  lateral (select u.ctid as row_id, u.*"
	"           from @gov_usage u"
	"           where u.counter_id = d.counter_id and u.window_start >= d.start"
	"            and u.window_start < d.start + interval '24 hours' and u.leaves_at <= $3"
	"           offset 0) r),"
	" placed as materialized ("
	" select l.*,"
	"  case when l.leaves_at = '-infinity' or l.window_end - l.window_start <= interval '12 hours'"
	"   then l.day else l.window_start end as place"
	" from lying l),"
	" member as materialized ("
	" select p.*, row_number() over (partition by p.counter_id, p.place order by p.window_start) as n"
	" from placed p),"
	" merged as materialized ("
	" select max(m.row_id) filter (where m.n = 1) as row_id, max(m.window_end) as window_end,"
	"  sum(m.amount) as amount, sum(m.event_count) as event_count,"
	"  sum(m.pruned_amount) as pruned_amount, sum(m.pruned_count) as pruned_count,"
	"  sum(m.merged_windows) as windows"
	" from member m"
	" group by m.counter_id, m.place"
	" having bool_or(m.leaves_at > '-infinity')),"
	" removed as ("
	" delete from @gov_usage u"
	" where u.ctid = any (array(select m.row_id from member m where m.n > 1))),"
	" kept as ("
	" update @gov_usage u"
	" set window_end = m.window_end, amount = trim_scale(m.amount), event_count = m.event_count,"
	"  pruned_amount = trim_scale(m.pruned_amount), pruned_count = m.pruned_count,"
	"  merged_windows = m.windows, leaves_at = '-infinity'"
	" from merged m"
	" where u.ctid = m.row_id)"
	"select count(*), max(d.leaves_at),"
	" (select l.counter_id from due l order by l.leaves_at desc, l.counter_id desc limit 1),"
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

/* Merge a batch of grains. */
bool
gov_usage_slide(uint64 *nmerged)
{
	Datum		args[4];
	GovSpi		spi;
	int64		nread;
	int64		nworked;
	bool		isnull;

	if (!gov_catalog()->has_1_1_tables || !try_lock())
		return false;
	gov_pass_continue(&slide_pass);
	args[0] = TimestampTzGetDatum(slide_pass.at);
	args[1] = Int64GetDatum(slide_pass.id);
	args[2] = TimestampTzGetDatum(gov_clock() - GOV_GRAIN_KEPT_S * USECS_PER_SEC);
	args[3] = Int64GetDatum(slide_pass.limit);
	gov_spi_begin(&spi);
	gov_spi_modify(&slide_query, args, NULL);
	nread = DatumGetInt64(gov_spi_value(0, 1, &isnull));
	if (nread > 0)
	{
		slide_pass.at = DatumGetTimestampTz(gov_spi_value(0, 2, &isnull));
		slide_pass.id = DatumGetInt64(gov_spi_value(0, 3, &isnull));
	}
	nworked = DatumGetInt64(gov_spi_value(0, 4, &isnull));
	*nmerged += nworked;
	gov_spi_end(&spi);
	return gov_pass_note(&slide_pass, nread, nworked);
}
