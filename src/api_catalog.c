/*
 * api_catalog.c
 *		gov_delete_owner(): the one catalog function that plain SQL cannot be.
 *
 * PURPOSE
 *		It deletes from the ledger and the holds, which take no DELETE from
 *		users; so it works as the extension's owner, for whoever may call it.
 *		The other catalog functions are in sql/45-types.sql and the two after it.
 *
 * CONCURRENCY
 *		Before anything is locked, those are waited for who have a row of the
 *		catalog open (await.c), or one of a hold or an event (barrier.c): the
 *		rollup, and calls that create entities, go on meanwhile.
 *
 *		First comes the lock that keeps rounds of the rollup away (rollup.c): a
 *		round that runs has committed by then, and none starts before we have.  So
 *		no round puts usage back, or waits for a row of ours.  The owner's lock on
 *		the shape of its trees keeps others from placing entities.  The locks on
 *		the entities keep others from giving them budgets, and wait for those who
 *		just have; these budgets are deleted, too.  Budgets and entities are
 *		deleted before the ledger: a use that commits meanwhile still finds them,
 *		and is deleted by the later statements, each of which has a fresh
 *		snapshot.
 *
 *		Accepted: a use whose transaction is still open when the ledger is deleted
 *		from stays there, as a use of an owner without budgets.  To prevent it
 *		would take a lock on the ledger that stops the traffic of every owner; the
 *		documentation says to stop the owner's own traffic before.
 *
 * FAILURE
 *		All in the caller's transaction: an error or a rollback brings back
 *		everything.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "base/owner.h"
#include "base/shmem.h"
#include "base/spi.h"
#include "cache/barrier.h"
#include "cache/changes.h"
#include "cache/denials.h"
#include "rules/await.h"
#include "rules/hierarchy.h"
#include "rules/history_row.h"

PG_FUNCTION_INFO_V1(gov_delete_owner_1_0);

#define DELETE_FROM_WHERE(table, condition) \
	{ \
		.sql = "delete from @" table " where owner_id = $1" condition, \
		.nargs = 1, \
		.argtypes = {TEXTOID} \
	}
#define DELETE_FROM(table) DELETE_FROM_WHERE(table, "")

/* Who has one of these open is waited for before anything is locked. */
static GovAwaited awaited[] = {
	GOV_AWAITED("gov_assignments", "v.owner_id = $1", false),
	GOV_AWAITED("gov_entities", "v.owner_id = $1", false),
	GOV_AWAITED("gov_alert_policies", "v.owner_id = $1", false)
};
static GovAwaited awaited_1_1[] = {
	GOV_AWAITED("gov_default_assignments", "v.owner_id = $1", false),
	GOV_AWAITED("gov_boosts", "v.owner_id = $1", false),
	GOV_AWAITED("gov_increase_requests", "v.owner_id = $1", false),
	GOV_AWAITED("gov_prices", "v.owner_id = $1", false),
	GOV_AWAITED("gov_grants", "v.owner_id = $1", false)
};

static GovQuery delete_assignments_query = DELETE_FROM("gov_assignments");

static GovQuery lock_entities_query = {
	.sql = "select count(*) "
	"from (select from @gov_entities where owner_id = $1 for update) e",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

/*
 * The deletions, in an order in which what refers to a row is deleted before
 * it.  Open holds and those that have ended are in an index each: a hold that
 * ends meanwhile is missed by the first of their statements, and found by the
 * second.
 */
static GovQuery delete_queries[] = {
	DELETE_FROM("gov_assignments"),
	DELETE_FROM("gov_entities"),
	DELETE_FROM_WHERE("gov_reservations", " and state = 'open'"),
	DELETE_FROM_WHERE("gov_reservations", " and state <> 'open'"),
	DELETE_FROM("gov_events"),
	DELETE_FROM("gov_usage"),
	DELETE_FROM("gov_alerts"),
	DELETE_FROM("gov_alert_policies")
};

/* What 1.1 has, and what an extension that is not updated yet has in its place. */
static GovQuery delete_1_1_queries[] = {
	DELETE_FROM("gov_recounts"),
	DELETE_FROM("gov_usage_by_time"),
	DELETE_FROM("gov_default_assignments"),
	DELETE_FROM("gov_default_counts"),
	DELETE_FROM("gov_boosts"),
	DELETE_FROM("gov_increase_requests"),
	DELETE_FROM("gov_grants"),
	DELETE_FROM("gov_grant_usage"),
	DELETE_FROM("gov_prices"),
	DELETE_FROM("gov_changes"),
	DELETE_FROM("gov_limit_history"),
	DELETE_FROM("gov_denials"),
	DELETE_FROM("gov_forgotten"),
	DELETE_FROM("gov_imports")
};
static GovQuery delete_hourly_1_0_query = DELETE_FROM("gov_usage_hourly");

/* What was denied the owner and is not written yet. */
static void
forget_denials(Datum owner)
{
	if (OidIsValid(gov_catalog()->denials) && gov_shmem_is_available())
		gov_denials_take_owners(TextDatumGetCString(owner));
}

/* Returns how many rows are gone. */
static uint64
delete_rows(Datum *owner)
{
	uint64		ndeleted = gov_spi_modify(&delete_assignments_query, owner, NULL);

	gov_spi_modify(&lock_entities_query, owner, NULL);
	for (int i = 0; i < lengthof(delete_queries); i++)
		ndeleted += gov_spi_modify(&delete_queries[i], owner, NULL);
	if (!gov_catalog()->has_1_1_tables)
		return ndeleted + gov_spi_modify(&delete_hourly_1_0_query, owner, NULL);
	forget_denials(owner[0]);
	for (int i = 0; i < lengthof(delete_1_1_queries); i++)
		ndeleted += gov_spi_modify(&delete_1_1_queries[i], owner, NULL);
	return ndeleted;
}

/* Wait for those who have rows open that are to be deleted. */
static void
await_rows(Datum *owner)
{
	char	   *id = TextDatumGetCString(owner[0]);
	GovOwnerKey key;

	gov_await_rows(awaited, lengthof(awaited), owner, 1);
	if (gov_catalog()->has_1_1_tables)
		gov_await_rows(awaited_1_1, lengthof(awaited_1_1), owner, 1);
	if (!gov_shmem_is_available())
		return;
	gov_node_owner_key_init(&key, MyDatabaseId, gov_catalog()->extension, id, strlen(id));
	gov_barrier_await_changes(&key);
}

/* gov_delete_owner(owner_id text) returns void */
Datum
gov_delete_owner_1_0(PG_FUNCTION_ARGS)
{
	Datum		args[1];
	GovSpi		spi;
	uint64		ndeleted;

	if (PG_ARGISNULL(0))
		gov_error_null_argument("owner_id");
	args[0] = PointerGetDatum(PG_GETARG_TEXT_PP(0));
	gov_owner_require(TextDatumGetCString(args[0]));
	PreventCommandIfReadOnly("gov_delete_owner()");

	await_rows(args);
	LockRelationOid(gov_catalog()->rollup_state, ShareLock);
	gov_changes_note_deleted(VARDATA_ANY(DatumGetTextPP(args[0])),
							 VARSIZE_ANY_EXHDR(DatumGetTextPP(args[0])));
	gov_spi_begin(&spi);
	gov_hierarchy_lock(DatumGetTextPP(args[0]), ExclusiveLock);
	ndeleted = delete_rows(args);
	gov_spi_end(&spi);
	if (ndeleted > 0 && gov_catalog()->has_1_1_tables)
		gov_history_row_write("DELETE OWNER", "owner_id", TextDatumGetCString(args[0]), NULL, NULL);
	PG_RETURN_VOID();
}
