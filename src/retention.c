/*
 * retention.c
 *		Deletes what is older than its retention.
 *
 * PURPOSE
 *		governance.event_retention bounds the ledger, and the holds that have
 *		ended.  What an event added to gov_usage stays there, and its part is
 *		noted, so that gov_verify still adds up.
 *
 * PROTOCOL
 *		A batch in each transaction, until one finds nothing.
 *
 * LOCKING
 *		ShareUpdateExclusiveLock on gov_rollup_state, as a round of the rollup
 *		(rollup.c): the watermark stands still, nobody else changes gov_usage,
 *		and no budget is being deleted.  A lock that is not to be had at once
 *		ends the batch.  The holds need none of that: no load sums those that
 *		have ended, so no counter has to be pinned.
 *
 * INVARIANTS
 *		An event that is not rolled up stays, however old.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "clock.h"
#include "guc.h"
#include "retention.h"
#include "spi.h"

#define GOV_PRUNE_BATCH		10000	/* rows in one transaction */

static GovQuery prune_query = {
	.sql =
	"with doomed as materialized ("
	" select o.id"
	" from (select e.id, e.recorded_at from @gov_events e"
	"       where e.id <= coalesce((select r.watermark from @gov_rollup_state r), 0)"
	"       order by e.id limit $2) o"
	" where o.recorded_at < $1),"
	" deleted as ("
	" delete from @gov_events e"
	" where e.id = any (array(select d.id from doomed d))"
	" returning e.amount, e.counter_ids, e.window_starts),"
	" pruned as ("
	" select x.counter_id, x.window_start, sum(d.amount) as amount, count(*) as event_count"
	" from deleted d,"
	"  lateral unnest(d.counter_ids, d.window_starts) as x(counter_id, window_start)"
	" group by x.counter_id, x.window_start),"
	" noted as ("
	" update @gov_usage u"
	" set pruned_amount = trim_scale(u.pruned_amount + p.amount),"
	"  pruned_count = u.pruned_count + p.event_count"
	" from pruned p,"
	"  lateral (select g.ctid from @gov_usage g"
	"           where g.counter_id = p.counter_id and g.window_start = p.window_start"
	"           offset 0) found"
	" where u.ctid = found.ctid)"
	"select count(*) from deleted",
	.nargs = 2,
	.argtypes = {TIMESTAMPTZOID, INT8OID}
};

static GovQuery prune_holds_query = {
	.sql =
	"with doomed as materialized ("
	" select v.id from @gov_reservations v"
	" where v.state <> 'open' and v.updated_at < $1"
	" order by v.updated_at limit $2 for update skip locked)"
	"delete from @gov_reservations r"
	" where r.id = any (array(select d.id from doomed d))",
	.nargs = 2,
	.argtypes = {TIMESTAMPTZOID, INT8OID}
};

/* Lock what a batch of events works on, without waiting. */
static bool
try_lock(void)
{
	const GovCatalog *catalog = gov_catalog();

	return ConditionalLockRelationOid(catalog->rollup_state, ShareUpdateExclusiveLock) &&
		ConditionalLockRelationOid(catalog->events, RowExclusiveLock) &&
		ConditionalLockRelationOid(catalog->usage, RowExclusiveLock);
}

static TimestampTz
retention_begin(void)
{
	return gov_clock() - gov_event_retention_s * USECS_PER_SEC;
}

/*
 * Delete a batch of holds that ended before governance.event_retention.  No
 * load sums them, so no counter has to be pinned.
 */
uint64
gov_retention_prune_holds(void)
{
	Datum		args[2] = {TimestampTzGetDatum(retention_begin()), Int64GetDatum(GOV_PRUNE_BATCH)};
	GovSpi		spi;
	uint64		ndeleted;

	if (gov_event_retention_s == 0 ||
		!ConditionalLockRelationOid(gov_catalog()->reservations, RowExclusiveLock))
		return 0;
	gov_spi_begin(&spi);
	ndeleted = gov_spi_modify(&prune_holds_query, args, NULL);
	gov_spi_end(&spi);
	return ndeleted;
}

/* Delete a batch of rolled-up events past governance.event_retention. */
uint64
gov_retention_prune_events(void)
{
	GovSpi		spi;
	Datum		args[2] = {TimestampTzGetDatum(retention_begin()), Int64GetDatum(GOV_PRUNE_BATCH)};
	uint64		ndeleted;
	bool		isnull;

	if (gov_event_retention_s == 0 || !try_lock())
		return 0;
	gov_spi_begin(&spi);
	gov_spi_modify(&prune_query, args, NULL);
	ndeleted = DatumGetInt64(gov_spi_value(0, 1, &isnull));
	gov_spi_end(&spi);
	return ndeleted;
}
