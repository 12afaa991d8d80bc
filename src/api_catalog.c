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
 *		The lock that keeps rounds of the rollup out comes first (see rollup.c):
 *		one that runs has committed by then and none starts before we have, so
 *		none puts usage back, or waits for a row of ours.  The owner's lock on
 *		the shape of its trees keeps others from placing entities; the locks on
 *		the entities keep them from giving these budgets, and wait for those
 *		who just have, whose budgets go too.  Budgets and entities go before
 *		the ledger: a use that commits meanwhile finds them, is seen by the
 *		later statements, each of which has a fresh snapshot, and goes too.
 *
 *		Accepted: a use whose transaction is still open when the ledger is
 *		deleted from stays there, as a use of an owner of whom nothing is
 *		governed.  To exclude it would take a lock on the ledger that stops
 *		every owner's traffic; the documentation says to stop the owner's own.
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
#include "tcop/utility.h"
#include "utils/builtins.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "base/owner.h"
#include "base/shmem.h"
#include "base/spi.h"
#include "cache/changes.h"
#include "cache/denials.h"
#include "rules/hierarchy.h"

PG_FUNCTION_INFO_V1(gov_delete_owner_1_0);

#define DELETE_FROM_WHERE(table, condition) \
	{ \
		.sql = "delete from @" table " where owner_id = $1" condition, \
		.nargs = 1, \
		.argtypes = {TEXTOID} \
	}
#define DELETE_FROM(table) DELETE_FROM_WHERE(table, "")

/*
 * In this order: what refers to a row goes before it.  Holds that are open and
 * those that have ended are in an index each; one that ends meanwhile is left
 * by the first statement and found by the second.
 */
static GovQuery delete_queries[] = {
	DELETE_FROM("gov_assignments"),
	{
		.sql = "select count(*) "
		"from (select from @gov_entities where owner_id = $1 for update) e",
		.nargs = 1,
		.argtypes = {TEXTOID}
	},
	DELETE_FROM("gov_assignments"),
	DELETE_FROM("gov_entities"),
	DELETE_FROM_WHERE("gov_reservations", " and state = 'open'"),
	DELETE_FROM_WHERE("gov_reservations", " and state <> 'open'"),
	DELETE_FROM("gov_events"),
	DELETE_FROM("gov_usage"),
	DELETE_FROM("gov_usage_hourly"),
	DELETE_FROM("gov_alerts"),
	DELETE_FROM("gov_alert_policies")
};

/* Since 1.1.0. */
static GovQuery delete_denials_query = DELETE_FROM("gov_denials");

/* What was denied the owner, written or not. */
static void
delete_denials(Datum *args)
{
	if (!OidIsValid(gov_catalog()->denials))
		return;
	if (gov_shmem_is_available())
		gov_denials_take_owners(TextDatumGetCString(args[0]));
	gov_spi_modify(&delete_denials_query, args, NULL);
}

/* gov_delete_owner(owner_id text) returns void */
Datum
gov_delete_owner_1_0(PG_FUNCTION_ARGS)
{
	Datum		args[1];
	GovSpi		spi;

	if (PG_ARGISNULL(0))
		gov_error_null_argument("owner_id");
	args[0] = PointerGetDatum(PG_GETARG_TEXT_PP(0));
	gov_owner_require(TextDatumGetCString(args[0]));
	PreventCommandIfReadOnly("gov_delete_owner()");

	LockRelationOid(gov_catalog()->rollup_state, ShareLock);
	gov_changes_note_deleted(VARDATA_ANY(DatumGetTextPP(args[0])),
							 VARSIZE_ANY_EXHDR(DatumGetTextPP(args[0])));
	gov_spi_begin(&spi);
	gov_hierarchy_lock(DatumGetTextPP(args[0]), ExclusiveLock);
	for (int i = 0; i < lengthof(delete_queries); i++)
		gov_spi_modify(&delete_queries[i], args, NULL);
	delete_denials(args);
	gov_spi_end(&spi);
	PG_RETURN_VOID();
}
