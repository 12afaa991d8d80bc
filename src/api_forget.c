/*
 * api_forget.c
 *		gov_forget_entity: a person asks to be erased.
 *
 * PURPOSE
 *		The id goes from the catalog, the holds, the changes and the denials at
 *		once (rules/rename.c), and what was recorded is left to the worker
 *		(rollup/forget.c), from the first event to the last that there is; those
 *		that came from another server have ids below 0.
 *
 * PROTOCOL
 *		No call of the owner is in flight while that is done (barrier.c): so all
 *		events of the id are up to the last id drawn, and what is recorded under
 *		it after that is another's.  The budgets' counters come to another node,
 *		for which they are read anew (rules/invalidate.c).
 *
 *		Whoever has a row of the catalog open that is to be renamed, has placed
 *		entities or has used the owner, is waited for before, while calls go on.
 *		When calls are kept out it is seen whether somebody has such a row, or came
 *		in between; then they are let in, and the waiting begins, or begins again.
 *
 *		The transaction itself calls for the owner no more, because its private
 *		view takes these budgets for new ones.
 *
 * FAILURE
 *		22004 and 22023 for arguments, 23505 for an id that is taken, 42501 for
 *		another owner than the session's, 55000 in a transaction that has used
 *		the owner.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "base/attempt.h"
#include "base/catalog.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/lookup.h"
#include "base/owner.h"
#include "base/spi.h"
#include "base/worker_slots.h"
#include "cache/barrier.h"
#include "cache/changes.h"
#include "cache/frozen.h"
#include "cache/tail.h"
#include "call/request.h"
#include "call/write.h"
#include "pure/bytes.h"
#include "rules/hierarchy.h"
#include "rules/history_json.h"
#include "rules/history_row.h"
#include "rules/rename.h"

PG_FUNCTION_INFO_V1(gov_forget_entity_1_1);

#define GOV_AWAITED_AT_MOST	20	/* times, before calls wait, too */

static GovQuery leave_query = {
	.sql =
	"insert into @gov_forgotten (owner_id, entity_id, replacement, attribution_keys, last_event_id, forgotten_at, events_done_until)"
	" select $1, $2, $3, $4, case when s.is_called then s.last_value else 0 end, $5, $6"
	" from @gov_events_id_seq s",
	.nargs = 6,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TIMESTAMPTZOID, INT8OID}
};

static GovQuery imported_query = {
	.sql = "select i.first_event_id - 1 from @gov_imports i where i.owner_id = $1",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

static text *
id_argument(FunctionCallInfo fcinfo, int number, const char *name)
{
	text	   *value;

	if (PG_ARGISNULL(number))
		gov_error_null_argument(name);
	value = PG_GETARG_TEXT_PP(number);
	gov_request_check_key(name, value);
	return value;
}

static text *
random_id(void)
{
	Datum		uuid = DirectFunctionCall1(gen_random_uuid, (Datum) 0);

	return cstring_to_text(psprintf("forgotten-%s", DatumGetCString(DirectFunctionCall1(uuid_out, uuid))));
}

/* The id that takes the place of the old one. */
static text *
replacement_argument(FunctionCallInfo fcinfo, const text *id)
{
	text	   *replacement = PG_ARGISNULL(2) ? random_id() : id_argument(fcinfo, 2, "replacement");

	if (gov_bytes_equal(VARDATA_ANY(replacement), VARSIZE_ANY_EXHDR(replacement),
						VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"replacement\" is the id that is to be forgotten"),
				 errhint("Leave it out for a random one.")));
	return replacement;
}

static void
refuse_taken(const GovRename *rename)
{
	if (gov_rename_exists(rename->owner, rename->replacement))
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("entity \"%s\" exists already",
						gov_error_shown(text_to_cstring(rename->replacement))),
				 errhint("Leave replacement out for a random id.")));
}

static void
log_forgetting(const GovRename *rename)
{
	GovHistoryRows rows;
	GovHistoryRow row = {
		.owner = PointerGetDatum(rename->owner),
		.key = gov_history_json_pair("id", text_to_cstring(rename->replacement))
	};

	gov_history_row_begin(&rows, "gov_entities", "FORGET");
	gov_history_row_add(&rows, &row);
	gov_history_row_end(&rows);
}

/* Calls are to be kept out, and nobody waited for meanwhile. */
typedef struct GovKeepingOut
{
	const GovRename *rename;
	const GovOwnerKey *key;
	bool		waits;			/* for whoever comes in between */
	bool		is_done;
} GovKeepingOut;

/* Keep calls out; raises an error, to let them in again, if somebody is in the way. */
static void
keep_calls_out(void *arg)
{
	GovKeepingOut *keeping = arg;

	gov_barrier_raise(keeping->key);
	if (keeping->waits)
		gov_hierarchy_lock(keeping->rename->owner, ExclusiveLock);
	else if (!gov_hierarchy_lock_free(keeping->rename->owner) || gov_rename_is_taken(keeping->rename))
	{
		keeping->is_done = false;
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("somebody has changed what is to be renamed")));
	}
	keeping->is_done = true;
}

/*
 * Wait for those who are in the way, and then keep calls out, to the end of the
 * transaction.
 */
static void
await_and_keep_calls_out(const GovRename *rename, const GovOwnerKey *key)
{
	GovKeepingOut keeping = {.rename = rename, .key = key};

	for (int i = 0; !keeping.is_done; i++)
	{
		ErrorData  *error;

		/* rows are seldom open: that is seen when calls are kept out, at first */
		if (i > 0)
			gov_rename_await(rename);
		gov_hierarchy_await(rename->owner);
		gov_barrier_await_calls(key);
		GOV_FAULT(GOV_FAULT_WAIT);
		keeping.waits = i >= GOV_AWAITED_AT_MOST;
		keeping.is_done = true;
		error = gov_attempt(keep_calls_out, &keeping);
		if (error != NULL && keeping.is_done)
			ReThrowError(error);
	}
}

/* Behind which event the rewriting begins: imported ones have ids below 0. */
static int64
begin_of_events(Datum *owner)
{
	bool		isnull = true;
	int64		begin = 0;

	/* asked only where there are some, for to plan and to look reads more than that */
	if (gov_lookup_has_rows(gov_catalog()->imports) && gov_spi_select(&imported_query, owner, NULL) > 0)
		begin = DatumGetInt64(gov_spi_value(0, 1, &isnull));
	return isnull ? 0 : begin;
}

/* Do at once what is done at once, and leave the rest to the worker. */
static void
forget_entity(GovRename *rename)
{
	Datum		args[6];
	GovSpi		spi;

	gov_spi_begin(&spi);
	refuse_taken(rename);
	rename->attribution_keys = gov_rename_attribution_keys(rename->owner, rename->id);
	gov_rename_entity(rename);
	args[0] = PointerGetDatum(rename->owner);
	args[1] = PointerGetDatum(rename->id);
	args[2] = PointerGetDatum(rename->replacement);
	args[3] = rename->attribution_keys;
	args[4] = TimestampTzGetDatum(gov_clock());
	args[5] = Int64GetDatum(begin_of_events(args));
	gov_spi_modify(&leave_query, args, NULL);
	gov_spi_end(&spi);
}

/*
 * Budgets by defaults come to another node, and those whose scope names the entity
 * have another scope: their counts are read anew.
 */
static void
note_counts_move(const char *owner)
{
	gov_tail_note_writer();
	gov_changes_note_owner(owner, strlen(owner));
	gov_changes_note_deleted(owner, strlen(owner));
}

/* gov_forget_entity(owner_id text, id text, replacement text) returns text */
Datum
gov_forget_entity_1_1(PG_FUNCTION_ARGS)
{
	GovRename	rename = {.owner = id_argument(fcinfo, 0, "owner_id"), .id = id_argument(fcinfo, 1, "id")};
	GovOwnerKey key;
	char	   *owner = text_to_cstring(rename.owner);

	rename.replacement = replacement_argument(fcinfo, rename.id);
	gov_owner_require(owner);
	gov_write_begin("gov_forget_entity()");
	gov_node_owner_key_init(&key, MyDatabaseId, gov_catalog()->extension, owner, strlen(owner));
	LockRelationOid(gov_catalog()->forgotten, RowExclusiveLock);	/* first, as in recount.c */
	gov_rename_lock_tables();
	gov_barrier_require_unused(&key);
	await_and_keep_calls_out(&rename, &key);
	gov_frozen_require_open(owner, strlen(owner));
	forget_entity(&rename);
	gov_barrier_note_renamed(&key);
	note_counts_move(owner);
	log_forgetting(&rename);
	gov_worker_wanted();
	PG_RETURN_TEXT_P(rename.replacement);
}
