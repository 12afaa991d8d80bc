/*
 * change_retention.c
 *		Deletes changes that are older than their retention.
 *
 * PURPOSE
 *		governance.change_retention bounds gov_changes, and of the requests for
 *		more those that were answered or withdrawn so long ago: a tenant may make
 *		any number of them, if not at once.  The limits that budgets have had are
 *		a table of their own, which has no retention.
 *
 * PROTOCOL
 *		A batch in each transaction, in the order of ids, going on where the
 *		last one stopped (pass.c).  Ids are drawn in the order of time but for
 *		what runs at once: the first row that is not due ends the batch, and
 *		those that it hides are for a later pass.  A row of the future, written
 *		while the clock was ahead, hides nothing.
 *
 * LOCKING
 *		RowExclusiveLock on the tables, without waiting.
 *
 * FAILURE
 *		What users have put on the table may refuse a deletion: a failing step
 *		(step.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/guc.h"
#include "base/spi.h"
#include "rollup/change_retention.h"
#include "rollup/pass.h"

#define GOV_REQUESTS_BATCH	1000

static GovPass changes_pass;

static GovQuery prune_query = {
	.sql =
	"with batch as materialized ("
	" select c.id, c.at < $2 as is_due, c.at between $2 and $3 as ends"
	" from @gov_changes c where c.id > $1 order by c.id limit $4),"
	" seen as materialized ("
	" select b.id, b.is_due from batch b"
	" where b.id < coalesce((select min(s.id) from batch s where s.ends), b.id + 1)),"
	" deleted as ("
	" delete from @gov_changes c"
	" where c.id = any (array(select s.id from seen s where s.is_due))"
	" returning 1)"
	"select (select count(*) from deleted), count(*), max(s.id) from seen s",
	.nargs = 4,
	.argtypes = {INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID}
};

static GovQuery prune_requests_query = {
	.sql =
	"delete from @gov_increase_requests r where r.id = any (array("
	" select o.id from @gov_increase_requests o where o.state <> 'open' and o.decided_at < $1"
	" order by o.decided_at limit $2))",
	.nargs = 2,
	.argtypes = {TIMESTAMPTZOID, INT8OID}
};

/* Delete a batch of requests that were decided before a time; false when there are no more. */
static bool
prune_requests(TimestampTz before, uint64 *ndeleted)
{
	Datum		args[2];
	uint64		count;
	GovSpi		spi;

	if (!OidIsValid(gov_catalog()->increase_requests) ||
		!ConditionalLockRelationOid(gov_catalog()->increase_requests, RowExclusiveLock))
		return false;
	args[0] = TimestampTzGetDatum(before);
	args[1] = Int64GetDatum(GOV_REQUESTS_BATCH);
	gov_spi_begin(&spi);
	count = gov_spi_modify(&prune_requests_query, args, NULL);
	gov_spi_end(&spi);
	*ndeleted += count;
	return count == GOV_REQUESTS_BATCH;
}

/* Delete a batch of changes, and of requests, past governance.change_retention. */
bool
gov_change_retention_prune(uint64 *ndeleted)
{
	TimestampTz now = gov_clock();
	TimestampTz before = now - gov_change_retention_s * USECS_PER_SEC;
	bool		has_more;
	Datum		args[4];
	GovSpi		spi;
	int64		nread;
	bool		isnull;

	if (gov_change_retention_s == 0 || !OidIsValid(gov_catalog()->changes) ||
		!ConditionalLockRelationOid(gov_catalog()->changes, RowExclusiveLock))
		return false;
	gov_pass_continue(&changes_pass);
	args[0] = Int64GetDatum(changes_pass.id);
	args[1] = TimestampTzGetDatum(before);
	args[2] = TimestampTzGetDatum(now);
	args[3] = Int64GetDatum(changes_pass.limit);
	gov_spi_begin(&spi);
	gov_spi_modify(&prune_query, args, NULL);
	*ndeleted += DatumGetInt64(gov_spi_value(0, 1, &isnull));
	nread = DatumGetInt64(gov_spi_value(0, 2, &isnull));
	if (nread > 0)
		changes_pass.id = DatumGetInt64(gov_spi_value(0, 3, &isnull));
	gov_spi_end(&spi);
	has_more = gov_pass_note(&changes_pass, nread, nread);
	return prune_requests(before, ndeleted) || has_more;
}
