/*
 * api_freeze.c
 *		gov_freeze_owner, gov_thaw_owner: an owner that is being moved takes no
 *		calls.
 *
 * PURPOSE
 *		An owner is moved to another server by copying all it has.  What is
 *		recorded after the copy would be lost, and two servers that both grant
 *		would exceed a limit.  So the owner is frozen first, and thawed where it is
 *		from then on.
 *
 * PROTOCOL
 *		No call of the owner is in flight when it becomes frozen: its barrier is
 *		raised, to the end of the transaction (cache/barrier.c).  Nobody is
 *		changing its catalog either (rules/freeze.c).  Both are waited for before,
 *		while calls go on; if somebody came in between when calls are kept out,
 *		they are let in again, and the waiting begins anew.  The row that says that
 *		the owner is frozen is committed with the barrier raised, so that whoever
 *		waits for it finds the row.
 *
 *		Being frozen outlives gov_delete_owner(): whoever still calls the server
 *		that the owner has left is refused, instead of being granted what no
 *		budget governs any more.
 *
 *		What the engine does by itself goes on: the rollup, retention, holds whose
 *		time has come.  None of it takes headroom.
 *
 * FAILURE
 *		22004 and 22023 for arguments, 42501 for another owner than the
 *		session's, 55000 in a transaction that has used the owner, and to thaw one
 *		that is not imported to the end (api_import.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/attempt.h"
#include "base/catalog.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/owner.h"
#include "base/spi.h"
#include "cache/barrier.h"
#include "call/request.h"
#include "call/write.h"
#include "rules/freeze.h"
#include "rules/history_json.h"
#include "rules/history_row.h"

PG_FUNCTION_INFO_V1(gov_freeze_owner_1_1);
PG_FUNCTION_INFO_V1(gov_thaw_owner_1_1);

#define GOV_AWAITED_AT_MOST	20	/* times, before calls wait, too */

static GovQuery freeze_query = {
	.sql =
	"insert into @gov_frozen_owners (owner_id, frozen_at, frozen_by) values ($1, $2, $3)"
	" on conflict (owner_id) do nothing",
	.nargs = 3,
	.argtypes = {TEXTOID, TIMESTAMPTZOID, TEXTOID}
};

static GovQuery thaw_query = {
	.sql = "delete from @gov_frozen_owners where owner_id = $1",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

static GovQuery incomplete_query = {
	.sql = "select i.chunks_done from @gov_imports i where i.owner_id = $1 and i.completed_at is null",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

static text *
owner_argument(FunctionCallInfo fcinfo)
{
	text	   *owner;

	if (PG_ARGISNULL(0))
		gov_error_null_argument("owner_id");
	owner = PG_GETARG_TEXT_PP(0);
	gov_request_check_key("owner_id", owner);
	gov_owner_require(text_to_cstring(owner));
	return owner;
}

/* Calls and changes are to be kept out. */
typedef struct GovKeepingOut
{
	const text *owner;
	const GovOwnerKey *key;
	bool		waits;			/* for whoever comes in between */
	bool		is_done;
} GovKeepingOut;

/* Keep them out; raises an error, to let them in again, if somebody is in the way. */
static void
keep_out(void *arg)
{
	GovKeepingOut *keeping = arg;

	gov_barrier_raise(keeping->key);
	keeping->is_done = gov_freeze_lock(keeping->owner, keeping->waits);
	if (!keeping->is_done)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("somebody has changed the catalog of the owner")));
}

/* Wait for those who are in the way, and then keep others out, to the end of the transaction. */
static void
await_and_keep_out(const text *owner, const GovOwnerKey *key)
{
	GovKeepingOut keeping = {.owner = owner, .key = key};

	for (int i = 0; !keeping.is_done; i++)
	{
		ErrorData  *error;

		gov_freeze_await_changes(owner);
		gov_barrier_await_calls(key);
		GOV_FAULT(GOV_FAULT_WAIT);
		keeping.waits = i >= GOV_AWAITED_AT_MOST;
		keeping.is_done = true;
		error = gov_attempt(keep_out, &keeping);
		if (error != NULL && keeping.is_done)
			ReThrowError(error);
	}
}

static bool
write_state(GovQuery *query, Datum *args)
{
	GovSpi		spi;
	uint64		nrows;

	gov_spi_begin(&spi);
	nrows = gov_spi_modify(query, args, NULL);
	gov_spi_end(&spi);
	return nrows > 0;
}

/* An owner of whom only a part is here would be granted what it has used already. */
static void
require_complete(text *owner)
{
	Datum		args[1] = {PointerGetDatum(owner)};
	GovSpi		spi;
	bool		isnull;

	gov_spi_begin(&spi);
	if (gov_spi_modify(&incomplete_query, args, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("owner \"%s\" has not been imported to the end",
						gov_error_shown(text_to_cstring(owner))),
				 errdetail("Chunks up to number " INT64_FORMAT " have been.",
						   DatumGetInt64(gov_spi_value(0, 1, &isnull))),
				 errhint("Pass the rest of them to gov_import_owner, or delete what there is with gov_delete_owner.")));
	gov_spi_end(&spi);
}

static void
log_state(const text *owner, const char *action)
{
	GovHistoryRows rows;
	GovHistoryColumns none = {0};
	GovHistoryRow row = {
		.owner = PointerGetDatum(owner),
		.key = gov_history_json(&none, NULL, NULL)
	};

	gov_history_row_begin(&rows, "gov_frozen_owners", action);
	gov_history_row_add(&rows, &row);
	gov_history_row_end(&rows);
}

/* gov_freeze_owner(owner_id text) returns boolean */
Datum
gov_freeze_owner_1_1(PG_FUNCTION_ARGS)
{
	text	   *owner = owner_argument(fcinfo);
	char	   *name = text_to_cstring(owner);
	Datum		args[3];
	GovOwnerKey key;
	bool		is_changed;

	gov_write_begin("gov_freeze_owner()");
	gov_node_owner_key_init(&key, MyDatabaseId, gov_catalog()->extension, name, strlen(name));
	LockRelationOid(gov_catalog()->frozen_owners, RowExclusiveLock);
	gov_barrier_require_unused(&key);
	await_and_keep_out(owner, &key);
	args[0] = PointerGetDatum(owner);
	args[1] = TimestampTzGetDatum(GetCurrentTimestamp());
	args[2] = CStringGetTextDatum(GetUserNameFromId(GetSessionUserId(), false));
	is_changed = write_state(&freeze_query, args);
	if (is_changed)
		log_state(owner, "FREEZE");
	PG_RETURN_BOOL(is_changed);
}

/* gov_thaw_owner(owner_id text) returns boolean */
Datum
gov_thaw_owner_1_1(PG_FUNCTION_ARGS)
{
	text	   *owner = owner_argument(fcinfo);
	Datum		args[1] = {PointerGetDatum(owner)};
	bool		is_changed;

	gov_write_begin("gov_thaw_owner()");
	require_complete(owner);
	is_changed = write_state(&thaw_query, args);
	if (is_changed)
		log_state(owner, "THAW");
	PG_RETURN_BOOL(is_changed);
}
