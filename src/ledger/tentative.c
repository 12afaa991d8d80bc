/*
 * tentative.c
 *		Inserts rows that have a key, all or none.
 *
 * PURPOSE
 *		INSERT ... ON CONFLICT inserts a row speculatively, and takes it back if
 *		its key is taken.  Here that is done with several rows together: if the
 *		key of one is taken, those before it are taken back as well, and it is as
 *		if nothing had been inserted.  A subtransaction would do the same, and
 *		would throw away what the transaction knows of the catalog.
 *
 * PROTOCOL
 *		gov_tentative_begin(); then for each row store it in the slot of the
 *		table, and call gov_tentative_row().  Then gov_tentative_keep(), or
 *		gov_tentative_undo() when that was false.  AFTER triggers are queued when
 *		the rows are kept.
 *
 * LOCKING
 *		One token is held for all rows.  Others who want one of the keys wait for
 *		that.  Nobody is waited for but by BEFORE triggers of users, and
 *		by unique indexes of theirs.  Who inserts rows in the order of their keys
 *		does not make another, who does too, take its rows back in vain.
 *
 * FAILURE
 *		Raises what an INSERT would; the abort takes the rows back.
 */
#include "postgres.h"

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
	tentative->xid = GetCurrentTransactionId();
	tentative->token = SpeculativeInsertionLockAcquire(tentative->xid);
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
	int			number = tentative->nrows;
	bool		is_taken = false;

	complete_values(append);
	table_tuple_insert_speculative(append->rel, slot, GetCurrentCommandId(true), 0, NULL,
								   tentative->token);
	GOV_FAULT(GOV_FAULT_ROW);
	tentative->rechecks[number] = gov_insert_index_tuples(append->result_rel, slot, append->estate,
														  true, &is_taken, append->key_index);
	GOV_FAULT(GOV_FAULT_ROW);
	tentative->slots[number] = slot;
	tentative->nrows++;
	append->slot = table_slot_create(append->rel, NULL);
	return !is_taken;
}

/* The rows stay, or go. */
static void
settle_rows(GovTentative *tentative, bool stay)
{
	for (int i = tentative->nrows - 1; i >= 0; i--)
		table_tuple_complete_speculative(tentative->append->rel, tentative->slots[i],
										 tentative->token, stay);
	SpeculativeInsertionLockRelease(tentative->xid);
	GOV_FAULT(GOV_FAULT_ROW);
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

	settle_rows(tentative, true);
	for (int i = 0; append->additions != NULL && i < tentative->nrows; i++)
		gov_additions_after_row(append->additions, tentative->slots[i], tentative->rechecks[i]);
	drop_slots(tentative);
}

/* Take the rows back. */
void
gov_tentative_undo(GovTentative *tentative)
{
	settle_rows(tentative, false);
	drop_slots(tentative);
}
