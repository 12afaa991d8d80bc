/*
 * retention_holds.c
 *		Deletes holds that have ended longer ago than the retention of events.
 *
 * PROTOCOL
 *		As of events (retention.c): a batch in each transaction, going on where the
 *		last one stopped (pass.c), by the time at which a hold last changed.  What a
 *		user's foreign key refers to is kept (referred.c).
 *
 * LOCKING
 *		Of rows only, without waiting.  No load counts holds that have ended, so no
 *		counter has to be pinned.
 *
 * FAILURE
 *		A deletion that a foreign key refuses after all (23503) undoes the batch,
 *		which is tried again.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/guc.h"
#include "base/spi.h"
#include "rollup/pass.h"
#include "rollup/referred.h"
#include "rollup/retention.h"

static GovPass holds_pass;

/*
 * Holds that have ended.  With ties, so that a batch ends between two times.
 */
#define GOV_ENDED_HOLDS \
	"with ended as materialized (" \
	" select v.id, v.updated_at from @gov_reservations v" \
	" where v.state <> 'open' and v.updated_at > $1 and v.updated_at < $2" \
	" order by v.updated_at fetch first ($3) rows with ties)"

static GovQuery ended_holds_query = {
	.sql = GOV_ENDED_HOLDS " select array_agg(e.id) from ended e",
	.nargs = 3,
	.argtypes = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID}
};

/* Delete holds that have ended.  Locked ones are for the next pass. */
static GovQuery prune_holds_query = {
	.sql =
	GOV_ENDED_HOLDS ","
	" doomed as materialized ("
	" select v.id from @gov_reservations v"
	" where v.id = any (array(select e.id from ended e)) and v.state <> 'open'"
	"  and v.updated_at + interval '0' < $2"
	"  and ($4 is null or v.id in (select f.id from unnest($4) f(id)))"
	" for update skip locked),"
	" deleted as ("
	" delete from @gov_reservations r"
	" where r.id = any (array(select d.id from doomed d))"
	" returning 1)"
	"select (select count(*) from deleted), count(*), max(e.updated_at) from ended e",
	.nargs = 4,
	.argtypes = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, UUIDARRAYOID}
};

/*
 * Move the pass over holds on past what a batch has read; true when there may
 * be more.
 */
static bool
note_holds(void)
{
	bool		isnull;
	int64		nread = DatumGetInt64(gov_spi_value(0, 2, &isnull));

	if (nread > 0)
		holds_pass.at = DatumGetTimestampTz(gov_spi_value(0, 3, &isnull));
	return gov_pass_note(&holds_pass, nread, nread);
}

/* Delete a batch of holds that ended before governance.event_retention. */
bool
gov_retention_prune_holds(uint64 *ndeleted)
{
	Datum		args[4];
	GovSpi		spi;
	int64		nkept;
	bool		isnull;
	bool		is_new;
	bool		has_more = false;

	if (gov_event_retention_s == 0 ||
		!ConditionalLockRelationOid(gov_catalog()->reservations, RowExclusiveLock))
		return false;
	is_new = gov_pass_continue(&holds_pass);
	args[0] = TimestampTzGetDatum(holds_pass.at);
	args[1] = TimestampTzGetDatum(gov_retention_begin());
	args[2] = Int64GetDatum(holds_pass.limit);
	gov_spi_begin(&spi);
	if (gov_referred_find_free(GOV_REFERRED_HOLDS, &ended_holds_query, args, &args[3], &nkept))
	{
		gov_spi_modify(&prune_holds_query, args, args[3] == (Datum) 0 ? "   n" : NULL);
		*ndeleted += DatumGetInt64(gov_spi_value(0, 1, &isnull));
		has_more = note_holds();
		gov_referred_note_kept(GOV_REFERRED_HOLDS, is_new, nkept, has_more);
	}
	gov_spi_end(&spi);
	return has_more;
}
