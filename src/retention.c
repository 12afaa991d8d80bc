/*
 * retention.c
 *		Deletes events and holds that are older than their retention.
 *
 * PURPOSE
 *		governance.event_retention bounds the ledger, and the holds that have
 *		ended.  What an event added to gov_usage stays there, and its part is
 *		noted in the row that has it, so that gov_verify still adds up.
 *
 * PROTOCOL
 *		A batch in each transaction, going on where the last one stopped
 *		(pass.c).  Events go in the order of their ids, in which they were
 *		recorded, up to the first that is not due.  One that was recorded in
 *		the future, because the clock was ahead, is passed over, and looked at
 *		again when its time has come.
 *
 *		gov_rollup_state knows an id up to which no event is left, so that a
 *		new process finds the beginning without walking over what was deleted.
 *
 * LOCKING
 *		ShareUpdateExclusiveLock on gov_rollup_state, as a round of the rollup
 *		(rollup.c): the watermark stands still, nobody else changes gov_usage,
 *		and no budget is being deleted.  A lock that is not to be had at once
 *		ends the batch.  The holds need none of that: no load sums those that
 *		have ended, so no counter has to be pinned.
 *
 * INVARIANTS
 *		An event that is not rolled up stays, however old.  No event is left up
 *		to gov_rollup_state.events_deleted_until.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "clock.h"
#include "guc.h"
#include "pass.h"
#include "retention.h"
#include "spi.h"

static GovPass events_pass;
static GovPass holds_pass;

/* Of the events that this pass has passed over. */
static int64 first_left_id;		/* PG_INT64_MAX: it has left none */
static TimestampTz left_until;	/* when the first of them was recorded */

static GovQuery deleted_until_query = {
	.sql = "select r.events_deleted_until from @gov_rollup_state r"
};

static GovQuery note_deleted_query = {
	.sql = "update @gov_rollup_state r set events_deleted_until = $1",
	.nargs = 1,
	.argtypes = {INT8OID}
};

/*
 * A use whose window was merged (usage_merge.c) is noted in the row that covers
 * it: the last one that starts no later, and one of its own comes before that.
 */
static GovQuery prune_query = {
	.sql =
	"with batch as materialized ("
	" select e.id, e.recorded_at, e.recorded_at < $2 as is_due,"
	"  e.recorded_at between $2 and $3 as ends"
	" from @gov_events e"
	" where e.id > $1 and e.id <= coalesce((select r.watermark from @gov_rollup_state r), 0)"
	" order by e.id limit $4),"
	" seen as materialized ("
	" select b.id, b.recorded_at, b.is_due from batch b"
	" where b.id < coalesce((select min(s.id) from batch s where s.ends), b.id + 1)),"
	" deleted as ("
	" delete from @gov_events e"
	" where e.id = any (array(select s.id from seen s where s.is_due))"
	" returning e.amount, e.counter_ids, e.window_starts),"
	" pruned as ("
	" select x.counter_id, x.window_start, sum(d.amount) as amount, count(*) as event_count"
	" from deleted d,"
	"  lateral unnest(d.counter_ids, d.window_starts) as x(counter_id, window_start)"
	" group by x.counter_id, x.window_start),"
	" found as materialized ("
	" select u.row_id, sum(p.amount) as amount, sum(p.event_count) as event_count"
	" from pruned p,"
	"  lateral (select g.ctid as row_id, g.window_end from @gov_usage g"
	"           where g.counter_id = p.counter_id and g.window_start <= p.window_start"
	"            and g.window_end > p.window_start"
	"           order by g.window_start desc limit 1) u"
	" group by u.row_id),"
	" noted as ("
	" update @gov_usage u"
	" set pruned_amount = trim_scale(u.pruned_amount + f.amount),"
	"  pruned_count = u.pruned_count + f.event_count"
	" from found f"
	" where u.ctid = f.row_id)"
	"select (select count(*) from deleted), count(*), max(s.id),"
	" min(s.id) filter (where not s.is_due), min(s.recorded_at) filter (where not s.is_due)"
	" from seen s",
	.nargs = 4,
	.argtypes = {INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID}
};

/* With ties, so that a batch ends between two times.  Locked ones are for the next pass. */
static GovQuery prune_holds_query = {
	.sql =
	"with ended as materialized ("
	" select v.id, v.updated_at from @gov_reservations v"
	" where v.state <> 'open' and v.updated_at > $1 and v.updated_at < $2"
	" order by v.updated_at fetch first ($3) rows with ties),"
	" doomed as materialized ("
	" select v.id from @gov_reservations v"
	" where v.id = any (array(select e.id from ended e)) and v.state <> 'open'"
	"  and v.updated_at + interval '0' < $2 for update skip locked),"
	" deleted as ("
	" delete from @gov_reservations r"
	" where r.id = any (array(select d.id from doomed d))"
	" returning 1)"
	"select (select count(*) from deleted), count(*), max(e.updated_at) from ended e",
	.nargs = 3,
	.argtypes = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID}
};

/* Lock what a batch of events works on, without waiting. */
static bool
try_lock(void)
{
	const GovCatalog *catalog = gov_catalog();

	return ConditionalLockRelationOid(catalog->rollup_state, ShareUpdateExclusiveLock) &&
		ConditionalLockRelationOid(catalog->rollup_state, RowExclusiveLock) &&
		ConditionalLockRelationOid(catalog->events, RowExclusiveLock) &&
		ConditionalLockRelationOid(catalog->usage, RowExclusiveLock);
}

static TimestampTz
retention_begin(void)
{
	return gov_clock() - gov_event_retention_s * USECS_PER_SEC;
}

/* Up to which id no event is left, as far as the tables know. */
static int64
deleted_until(void)
{
	bool		isnull;

	if (!gov_catalog()->has_1_1_tables || gov_spi_select(&deleted_until_query, NULL, NULL) == 0)
		return PG_INT64_MIN;
	return DatumGetInt64(gov_spi_value(0, 1, &isnull));
}

/* Note it, unless an older extension has no place for it. */
static void
note_deleted_until(int64 id)
{
	Datum		args[1] = {Int64GetDatum(id)};

	if (gov_catalog()->has_1_1_tables)
		gov_spi_modify(&note_deleted_query, args, NULL);
}

/* Go on where the last batch stopped, or where the tables say that there is something. */
static void
continue_events(TimestampTz due_before)
{
	if (!gov_pass_continue(&events_pass) && left_until >= due_before)
		return;
	first_left_id = PG_INT64_MAX;
	left_until = DT_NOEND;
	events_pass.id = deleted_until();
}

/* Move on past what a batch has seen; true when there may be more. */
static bool
note_events(void)
{
	bool		isnull;
	int64		nseen = DatumGetInt64(gov_spi_value(0, 2, &isnull));
	int64		last_id = DatumGetInt64(gov_spi_value(0, 3, &isnull));
	int64		left_id = DatumGetInt64(gov_spi_value(0, 4, &isnull));

	if (!isnull)
	{
		first_left_id = Min(first_left_id, left_id);
		left_until = Min(left_until, DatumGetTimestampTz(gov_spi_value(0, 5, &isnull)));
	}
	if (nseen > 0)
	{
		events_pass.id = last_id;
		note_deleted_until(Min(last_id, first_left_id - 1));
	}
	return gov_pass_note(&events_pass, nseen, nseen);
}

/* Delete a batch of rolled-up events past governance.event_retention. */
bool
gov_retention_prune_events(uint64 *ndeleted)
{
	TimestampTz due_before = retention_begin();
	Datum		args[4];
	GovSpi		spi;
	bool		isnull;
	bool		has_more;

	if (gov_event_retention_s == 0 || !try_lock())
		return false;
	gov_spi_begin(&spi);
	continue_events(due_before);
	args[0] = Int64GetDatum(events_pass.id);
	args[1] = TimestampTzGetDatum(due_before);
	args[2] = TimestampTzGetDatum(gov_clock());
	args[3] = Int64GetDatum(events_pass.limit);
	gov_spi_modify(&prune_query, args, NULL);
	*ndeleted += DatumGetInt64(gov_spi_value(0, 1, &isnull));
	has_more = note_events();
	gov_spi_end(&spi);
	return has_more;
}

/* Delete a batch of holds that ended before governance.event_retention. */
bool
gov_retention_prune_holds(uint64 *ndeleted)
{
	Datum		args[3];
	GovSpi		spi;
	int64		nread;
	bool		isnull;

	if (gov_event_retention_s == 0 ||
		!ConditionalLockRelationOid(gov_catalog()->reservations, RowExclusiveLock))
		return false;
	gov_pass_continue(&holds_pass);
	args[0] = TimestampTzGetDatum(holds_pass.at);
	args[1] = TimestampTzGetDatum(retention_begin());
	args[2] = Int64GetDatum(holds_pass.limit);
	gov_spi_begin(&spi);
	gov_spi_modify(&prune_holds_query, args, NULL);
	*ndeleted += DatumGetInt64(gov_spi_value(0, 1, &isnull));
	nread = DatumGetInt64(gov_spi_value(0, 2, &isnull));
	if (nread > 0)
		holds_pass.at = DatumGetTimestampTz(gov_spi_value(0, 3, &isnull));
	gov_spi_end(&spi);
	return gov_pass_note(&holds_pass, nread, nread);
}
