/*
 * default_rows.c
 *		Tidies up which budgets by defaults were used.
 *
 * PURPOSE
 *		All who use a budget by a default first, at the same time, write a row of
 *		gov_default_counts (first_use.c).  One of them is left here.  The rows of
 *		a default that was deleted are deleted with the usage, the alerts
 *		and the recounts of its budgets.  Those of one that was given other windows stay, as the usage
 *		does of the counters that it had.
 *
 * PROTOCOL
 *		A batch in each transaction.  New rows are marked as such.  Of defaults
 *		the present ones are compared with those that have rows, by steps through
 *		an index, so that the rows themselves are not read.
 *
 * LOCKING
 *		As in usage_retention.c.  A row that somebody has locked is passed over.
 *
 * INVARIANTS
 *		Of a counter with committed rows one is left, which whoever knows that
 *		there is one (wants_row) relies on.  It is one that is retired if there is
 *		such a row.  What an assignment goes on with stays.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/uuid.h"

#include "base/catalog.h"
#include "base/lookup.h"
#include "base/spi.h"
#include "rollup/default_rows.h"

#define GOV_NEW_BATCH		1000	/* counters in one transaction */
#define GOV_DEFAULTS_BATCH	1000	/* defaults that are looked at */
#define GOV_DELETED_BATCH	500 /* rows of one that are deleted */

/* The default that was looked at last. */
static pg_uuid_t last_id;
static int64 last_seed = PG_INT64_MIN;

static GovQuery collapse_query = {
	.sql =
	"with batch as materialized ("
	" select n.counter_id from @gov_default_counts n where n.is_new order by n.counter_id limit $1),"
	" found as materialized ("
	" select n.ctid as tid, n.counter_id, n.retired, n.is_new from @gov_default_counts n"
	" where n.counter_id in (select b.counter_id from batch b) for update skip locked),"
	" ranked as materialized ("
	" select f.*, row_number() over (partition by f.counter_id order by f.retired desc, f.is_new, f.tid) as n"
	" from found f),"
	" deleted as ("
	" delete from @gov_default_counts d where d.ctid = any (array(select r.tid from ranked r where r.n > 1))"
	" returning 1),"
	" kept as ("
	" update @gov_default_counts d set is_new = false"
	" where d.ctid = any (array(select r.tid from ranked r where r.n = 1 and r.is_new))"
	" returning 1)"
	"select (select count(*) from deleted) + (select count(*) from kept), (select count(*) from batch)",
	.nargs = 1,
	.argtypes = {INT8OID}
};

/* The defaults after one that have rows, and whether they are gone. */
static GovQuery defaults_query = {
	.sql =
	"with recursive seen as ("
	" (select n.default_id, n.seed, 1 as n from @gov_default_counts n"
	"  where (n.default_id, n.seed) > ($1, $2) order by n.default_id, n.seed limit 1)"
	" union all"
	" select x.default_id, x.seed, s.n + 1 from seen s,"
	"  lateral (select n.default_id, n.seed from @gov_default_counts n"
	"           where (n.default_id, n.seed) > (s.default_id, s.seed)"
	"           order by n.default_id, n.seed limit 1) x"
	" where s.n < $3)"
	"select s.default_id, s.seed, d.id is null"
	" from seen s left join @gov_default_assignments d on d.id = s.default_id"
	" order by s.n",
	.nargs = 3,
	.argtypes = {UUIDOID, INT8OID, INT4OID}
};

static GovQuery delete_query = {
	.sql =
	"with batch as materialized ("
	" select n.ctid as tid, n.owner_id, n.assignment_id from @gov_default_counts n"
	" where n.default_id = $1 and n.seed = $2 limit $3 for update skip locked),"
	" deleted as ("
	" delete from @gov_default_counts d where d.ctid = any (array(select b.tid from batch b)) returning 1),"
	" gone as materialized ("
	" select distinct b.owner_id, b.assignment_id from batch b"
	" where not exists (select from @gov_assignments a where a.id = b.assignment_id)),"
	" usage as ("
	" delete from @gov_usage u using gone g"
	" where u.owner_id = g.owner_id and u.assignment_id = g.assignment_id),"
	" recounts as ("
	" delete from @gov_recounts r using gone g"
	" where r.owner_id = g.owner_id and r.assignment_id = g.assignment_id),"
	" alerts as ("
	" delete from @gov_alerts a using gone g where a.assignment_id = g.assignment_id)"
	"select count(*) from deleted",
	.nargs = 3,
	.argtypes = {UUIDOID, INT8OID, INT8OID}
};

static bool
try_lock(void)
{
	const GovCatalog *catalog = gov_catalog();

	return ConditionalLockRelationOid(catalog->rollup_state, ShareUpdateExclusiveLock) &&
		ConditionalLockRelationOid(catalog->default_assignments, AccessShareLock) &&
		ConditionalLockRelationOid(catalog->assignments, AccessShareLock) &&
		ConditionalLockRelationOid(catalog->default_counts, RowExclusiveLock) &&
		ConditionalLockRelationOid(catalog->usage, RowExclusiveLock) &&
		ConditionalLockRelationOid(catalog->recounts, RowExclusiveLock) &&
		ConditionalLockRelationOid(catalog->alerts, RowExclusiveLock);
}

/* Leave one row of each counter that has new ones; returns whether there may be more. */
static bool
collapse_new(uint64 *ndone)
{
	Datum		args[1] = {Int64GetDatum(GOV_NEW_BATCH)};
	bool		isnull;
	int64		nworked;

	gov_spi_modify(&collapse_query, args, NULL);
	nworked = DatumGetInt64(gov_spi_value(0, 1, &isnull));
	*ndone += nworked;
	return nworked > 0 && DatumGetInt64(gov_spi_value(0, 2, &isnull)) == GOV_NEW_BATCH;
}

/* Delete rows of a default that is gone; returns whether there may be more. */
static bool
delete_rows(Datum id, Datum seed, uint64 *ndone)
{
	Datum		args[3] = {id, seed, Int64GetDatum(GOV_DELETED_BATCH)};
	bool		isnull;
	int64		ndeleted;

	gov_spi_modify(&delete_query, args, NULL);
	ndeleted = DatumGetInt64(gov_spi_value(0, 1, &isnull));
	*ndone += ndeleted;
	return ndeleted > 0;
}

/* The next default that has rows and is gone; false if there is none among those that are looked at. */
static bool
find_gone(Datum *id, Datum *seed)
{
	Datum		args[3] = {UUIDPGetDatum(&last_id), Int64GetDatum(last_seed), Int32GetDatum(GOV_DEFAULTS_BATCH)};
	uint64		count = gov_spi_select(&defaults_query, args, NULL);
	bool		isnull;

	for (uint64 row = 0; row < count; row++)
	{
		*id = gov_spi_value(row, 1, &isnull);
		*seed = gov_spi_value(row, 2, &isnull);
		if (DatumGetBool(gov_spi_value(row, 3, &isnull)))
			return true;
		last_id = *DatumGetUUIDP(*id);
		last_seed = DatumGetInt64(*seed);
	}
	if (count < GOV_DEFAULTS_BATCH)
	{
		memset(&last_id, 0, sizeof(last_id));
		last_seed = PG_INT64_MIN;
	}
	return false;
}

/* Do a batch; returns whether there may be more. */
bool
gov_default_rows_tidy(uint64 *ndone)
{
	Datum		id;
	Datum		seed;
	GovSpi		spi;
	bool		has_more;

	if (!OidIsValid(gov_catalog()->default_counts) || !gov_lookup_is_filled(gov_catalog()->default_counts) ||
		!try_lock())
		return false;
	gov_spi_begin(&spi);
	has_more = collapse_new(ndone);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	if (find_gone(&id, &seed))
		has_more |= delete_rows(id, seed, ndone);
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
	return has_more;
}
