/*
 * tentative.c
 *		Inserts rows that have a key, all or none.
 *
 * PURPOSE
 *		INSERT ... ON CONFLICT inserts a row speculatively, and takes it back if
 *		its key is taken.  Here that is done with several rows: if the key of one
 *		is taken, those before it are taken back as well.  A subtransaction would
 *		do the same, and would throw away what the transaction knows of the
 *		catalog.
 *
 * PROTOCOL
 *		gov_tentative_begin(); then for each row store it in the slot of the
 *		table, and call gov_tentative_row().  Then gov_tentative_keep(), or
 *		gov_tentative_undo() when that was false.  AFTER triggers are queued when
 *		the rows are kept.
 *
 * WHOEVER FOLLOWS THE TABLE
 *		Each row is complete before the next one is inserted: logical decoding
 *		knows of one speculative row in a transaction at a time, and fails for
 *		ever on one that is completed behind another.  So rows that are complete
 *		are taken back by deleting them, which triggers and rules do not hear of;
 *		a follower sees them come and go within the transaction.
 *
 * LOCKING
 *		Others who want one of the keys wait for the row's token while it is
 *		inserted, and then for the transaction, also for one that was taken back.
 *		Nobody is waited for but by BEFORE triggers of users, and by unique indexes
 *		of theirs.  Who inserts rows in the order of their keys does not make
 *		another, who does too, take its rows back in vain.
 *
 * FAILURE
 *		Raises what an INSERT would; the abort takes the rows back.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "storage/lmgr.h"

#include "base/compat.h"
#include "base/fault.h"
#include "ledger/tentative.h"

/* Begin to insert so many rows into a table that gov_append_open_all() has opened. */
void
gov_tentative_begin(GovTentative *tentative, GovAppend *append, int nrows)
{
	Assert(append->has_key && append->shape == NULL);
	tentative->append = append;
	tentative->slots = palloc(sizeof(TupleTableSlot *) * nrows);
	tentative->rechecks = palloc(sizeof(List *) * nrows);
	tentative->nrows = 0;
}

/* Complete and check the row in the table's slot. */
static void
complete_values(GovAppend *append)
{
	MemoryContext caller = MemoryContextSwitchTo(append->slot->tts_mcxt);

	ExecStoreVirtualTuple(append->slot);
	if (append->additions != NULL)
		gov_additions_before_row(append->additions, append->slot);
	MemoryContextSwitchTo(caller);
}

/* Insert the row in the table's slot; false if its key is taken. */
bool
gov_tentative_row(GovTentative *tentative)
{
	GovAppend  *append = tentative->append;
	TupleTableSlot *slot = append->slot;
	TransactionId xid = GetCurrentTransactionId();
	int			number = tentative->nrows;
	bool		is_taken = false;
	uint32		token;

	complete_values(append);
	token = SpeculativeInsertionLockAcquire(xid);
	table_tuple_insert_speculative(append->rel, slot, GetCurrentCommandId(true), 0, NULL,
								   token);
	GOV_FAULT(GOV_FAULT_ROW);
	tentative->rechecks[number] = gov_insert_index_tuples(append->result_rel, slot, append->estate,
														  true, &is_taken, append->key_index);
	GOV_FAULT(GOV_FAULT_ROW);
	table_tuple_complete_speculative(append->rel, slot, token, !is_taken);
	SpeculativeInsertionLockRelease(xid);
	GOV_FAULT(GOV_FAULT_ROW);
	tentative->slots[number] = slot;
	tentative->nrows++;
	append->slot = table_slot_create(append->rel, NULL);
	return !is_taken;
}

static void
drop_slots(GovTentative *tentative)
{
	for (int i = 0; i < tentative->nrows; i++)
		ExecDropSingleTupleTableSlot(tentative->slots[i]);
	tentative->nrows = 0;
}

/* Keep the rows. */
void
gov_tentative_keep(GovTentative *tentative)
{
	GovAppend  *append = tentative->append;

	for (int i = 0; append->additions != NULL && i < tentative->nrows; i++)
		gov_additions_after_row(append->additions, tentative->slots[i], tentative->rechecks[i]);
	drop_slots(tentative);
}

/* Take the rows back.  The last one, whose key is taken, is gone already. */
void
gov_tentative_undo(GovTentative *tentative)
{
	Relation	rel = tentative->append->rel;

	CommandCounterIncrement();	/* to see them */
	for (int i = 0; i < tentative->nrows - 1; i++)
		simple_heap_delete(rel, &tentative->slots[i]->tts_tid);
	GOV_FAULT(GOV_FAULT_ROW);
	drop_slots(tentative);
}
