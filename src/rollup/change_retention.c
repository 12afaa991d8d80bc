/*
 * change_retention.c
 *		Deletes changes that are older than their retention.
 *
 * PURPOSE
 *		governance.change_retention bounds gov_changes.  The limits that
 *		budgets have had are a table of their own, which has no retention.
 *
 * PROTOCOL
 *		A batch in each transaction, in the order of ids, going on where the
 *		last one stopped (pass.c).  Ids are drawn in the order of time but for
 *		what runs at once: the first row that is not due ends the batch, and
 *		those that it hides are for a later pass.  A row of the future, written
 *		while the clock was ahead, hides nothing.
 *
 * LOCKING
 *		RowExclusiveLock on the table, without waiting.
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

/* Delete a batch of changes past governance.change_retention. */
bool
gov_change_retention_prune(uint64 *ndeleted)
{
	TimestampTz now = gov_clock();
	Datum		args[4];
	GovSpi		spi;
	int64		nread;
	bool		isnull;

	if (gov_change_retention_s == 0 || !OidIsValid(gov_catalog()->changes) ||
		!ConditionalLockRelationOid(gov_catalog()->changes, RowExclusiveLock))
		return false;
	gov_pass_continue(&changes_pass);
	args[0] = Int64GetDatum(changes_pass.id);
	args[1] = TimestampTzGetDatum(now - gov_change_retention_s * USECS_PER_SEC);
	args[2] = TimestampTzGetDatum(now);
	args[3] = Int64GetDatum(changes_pass.limit);
	gov_spi_begin(&spi);
	gov_spi_modify(&prune_query, args, NULL);
	*ndeleted += DatumGetInt64(gov_spi_value(0, 1, &isnull));
	nread = DatumGetInt64(gov_spi_value(0, 2, &isnull));
	if (nread > 0)
		changes_pass.id = DatumGetInt64(gov_spi_value(0, 3, &isnull));
	gov_spi_end(&spi);
	return gov_pass_note(&changes_pass, nread, nread);
}
