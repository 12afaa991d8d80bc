/*
 * ledger.c
 *		The ledger: one row of gov_events per recorded use.
 *
 * PURPOSE
 *		Inserts the row in the caller's transaction.  This insert is the price
 *		of every call, so it goes below SPI, to the table and its indexes.
 *
 * IDEMPOTENCY
 *		As INSERT ... ON CONFLICT does: look for the key in the unique index,
 *		waiting for whoever is inserting it; insert speculatively; and if
 *		somebody was faster after all, take the row back and look again.
 *
 * LOCKING
 *		RowExclusiveLock on the table, and on the sequence, which is held to
 *		the end of the transaction: that is how the rollup knows which ids are
 *		still in flight (rollup.c).
 *
 * FAILURE
 *		Raises what an INSERT would; the abort undoes the charge.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/table.h"
#include "access/xact.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "catalog.h"
#include "compat.h"
#include "errors.h"
#include "guc.h"
#include "ledger.h"

/* Columns of gov_events, in order. */
enum
{
	GOV_EVENT_ID,
	GOV_EVENT_OWNER_ID,
	GOV_EVENT_CAPABILITY_ID,
	GOV_EVENT_AMOUNT,
	GOV_EVENT_ENTITY_IDS,
	GOV_EVENT_DIMENSIONS,
	GOV_EVENT_IDEMPOTENCY_KEY,
	GOV_EVENT_REQUEST_HASH,
	GOV_EVENT_CALLER,
	GOV_EVENT_OCCURRED_AT,
	GOV_EVENT_RECORDED_AT,
	GOV_EVENT_COUNTER_IDS,
	GOV_EVENT_WINDOW_STARTS,
	GOV_EVENT_WINDOW_ENDS,
	GOV_EVENT_COLUMNS
};

void
gov_ledger_open(GovLedger *ledger, bool has_key)
{
	const GovCatalog *catalog = gov_catalog();

	ledger->rel = try_table_open(catalog->events, RowExclusiveLock);
	if (ledger->rel == NULL)
		gov_raise_dropped();
	if (RelationGetDescr(ledger->rel)->natts < GOV_EVENT_COLUMNS)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"gov_events\" does not have the columns of this version"),
				 errhint("Run ALTER EXTENSION governance UPDATE.")));
	ledger->estate = CreateExecutorState();
	ledger->result_rel = makeNode(ResultRelInfo);
	InitResultRelInfo(ledger->result_rel, ledger->rel, 0, NULL, 0);
	ExecOpenIndices(ledger->result_rel, has_key);
	ledger->slot = table_slot_create(ledger->rel, NULL);
	ledger->has_key = has_key;
	ledger->key_index = has_key ? list_make1_oid(catalog->events_key) : NIL;
}

void
gov_ledger_close(GovLedger *ledger)
{
	ExecDropSingleTupleTableSlot(ledger->slot);
	ExecCloseIndices(ledger->result_rel);
	FreeExecutorState(ledger->estate);
	table_close(ledger->rel, NoLock);
}

/* All columns null, also those that somebody may have added to the table. */
static void
clear(TupleTableSlot *slot)
{
	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, sizeof(bool) * slot->tts_tupleDescriptor->natts);
}

static void
set_null(TupleTableSlot *slot, int column, bool isnull)
{
	slot->tts_isnull[column] = isnull;
}

/* Read the row that has the key. */
static void
read_conflict(GovLedger *ledger, ItemPointer tid, int64 *id, bytea **request_hash)
{
	TupleTableSlot *slot = table_slot_create(ledger->rel, NULL);
	bool		isnull;
	Datum		hash;

	if (!table_tuple_fetch_row_version(ledger->rel, tid, SnapshotAny, slot))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("event with the same idempotency key was deleted concurrently"),
				 errhint("Retry the transaction.")));
	*id = DatumGetInt64(slot_getattr(slot, GOV_EVENT_ID + 1, &isnull));
	hash = slot_getattr(slot, GOV_EVENT_REQUEST_HASH + 1, &isnull);
	*request_hash = isnull ? NULL : DatumGetByteaPCopy(hash);
	ExecDropSingleTupleTableSlot(slot);
}

/*
 * Find the event with a key; waits for a transaction that is inserting it.
 * False when there is none.
 */
bool
gov_ledger_find(GovLedger *ledger, const char *owner, text *key,
				int64 *id, bytea **request_hash)
{
	TupleTableSlot *slot = ledger->slot;
	ItemPointerData conflict;

	Assert(ledger->has_key);
	clear(slot);
	slot->tts_values[GOV_EVENT_OWNER_ID] = CStringGetTextDatum(owner);
	set_null(slot, GOV_EVENT_OWNER_ID, false);
	slot->tts_values[GOV_EVENT_IDEMPOTENCY_KEY] = PointerGetDatum(key);
	set_null(slot, GOV_EVENT_IDEMPOTENCY_KEY, false);
	ExecStoreVirtualTuple(slot);
	ItemPointerSetInvalid(&slot->tts_tid);

	if (gov_check_index_constraints(ledger->result_rel, slot, ledger->estate,
									&conflict, ledger->key_index))
		return false;
	read_conflict(ledger, &conflict, id, request_hash);
	return true;
}

static const char *
caller(void)
{
	if (gov_caller != NULL && gov_caller[0] != '\0')
		return gov_caller;
	return application_name ? application_name : "";
}

static Datum
empty_object(void)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

static void
store(TupleTableSlot *slot, const GovEvent *event, int64 id)
{
	Datum	   *values = slot->tts_values;

	clear(slot);
	memset(slot->tts_isnull, false, sizeof(bool) * GOV_EVENT_COLUMNS);
	values[GOV_EVENT_ID] = Int64GetDatum(id);
	values[GOV_EVENT_OWNER_ID] = CStringGetTextDatum(event->owner);
	values[GOV_EVENT_CAPABILITY_ID] = PointerGetDatum(event->capability);
	values[GOV_EVENT_AMOUNT] = NumericGetDatum(gov_amount_to_numeric(event->amount));
	values[GOV_EVENT_ENTITY_IDS] = PointerGetDatum(event->entity_ids);
	values[GOV_EVENT_DIMENSIONS] = event->dimensions ?
		JsonbPGetDatum(event->dimensions) : empty_object();
	values[GOV_EVENT_IDEMPOTENCY_KEY] = PointerGetDatum(event->key);
	set_null(slot, GOV_EVENT_IDEMPOTENCY_KEY, event->key == NULL);
	values[GOV_EVENT_REQUEST_HASH] = PointerGetDatum(event->request_hash);
	set_null(slot, GOV_EVENT_REQUEST_HASH, event->request_hash == NULL);
	values[GOV_EVENT_CALLER] = CStringGetTextDatum(caller());
	values[GOV_EVENT_OCCURRED_AT] = TimestampTzGetDatum(event->occurred_at);
	values[GOV_EVENT_RECORDED_AT] = TimestampTzGetDatum(event->recorded_at);
	values[GOV_EVENT_COUNTER_IDS] = PointerGetDatum(event->counter_ids);
	values[GOV_EVENT_WINDOW_STARTS] = PointerGetDatum(event->window_starts);
	values[GOV_EVENT_WINDOW_ENDS] = PointerGetDatum(event->window_ends);
	ExecStoreVirtualTuple(slot);
}

/* Insert a row whose key nobody else has, or take it back and return false. */
static bool
insert_speculatively(GovLedger *ledger)
{
	TransactionId xid = GetCurrentTransactionId();
	uint32		token = SpeculativeInsertionLockAcquire(xid);
	bool		conflict = false;

	table_tuple_insert_speculative(ledger->rel, ledger->slot,
								   GetCurrentCommandId(true), 0, NULL, token);
	gov_insert_index_tuples(ledger->result_rel, ledger->slot, ledger->estate,
							true, &conflict, ledger->key_index);
	table_tuple_complete_speculative(ledger->rel, ledger->slot, token, !conflict);
	SpeculativeInsertionLockRelease(xid);
	return !conflict;
}

/*
 * Append an event.  False when another transaction has just inserted its key:
 * nothing was written then, and gov_ledger_find() will wait for that one.
 */
bool
gov_ledger_insert(GovLedger *ledger, const GovEvent *event, int64 *id)
{
	Assert(ledger->has_key == (event->key != NULL));
	*id = nextval_internal(gov_catalog()->events_id_seq, false);
	store(ledger->slot, event, *id);
	if (ledger->has_key)
		return insert_speculatively(ledger);

	table_tuple_insert(ledger->rel, ledger->slot, GetCurrentCommandId(true), 0, NULL);
	gov_insert_index_tuples(ledger->result_rel, ledger->slot, ledger->estate,
							false, NULL, NIL);
	return true;
}
