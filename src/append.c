/*
 * append.c
 *		Appends rows to a table of ours, below SPI.
 *
 * PURPOSE
 *		The row that a call writes is the price of the call, so it goes to the
 *		table and its indexes directly.  Rows with a key are inserted as INSERT
 *		... ON CONFLICT does it: speculatively, and taken back at once if
 *		somebody was faster.
 *
 * LOCKING
 *		RowExclusiveLock on the table, to the end of the transaction.  While a
 *		row is inserted speculatively its token is held, which others wait for:
 *		see keys.c for who may then wait for whom.
 *
 * FAILURE
 *		Raises what an INSERT would.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "append.h"
#include "compat.h"
#include "errors.h"
#include "fault.h"
#include "spi.h"

/* What ExecOpenIndices() does, but for the partial index of the keys. */
static void
open_other_indexes(GovAppend *append, Oid key_index)
{
	ResultRelInfo *result_rel = append->result_rel;
	List	   *indexes = RelationGetIndexList(append->rel);
	ListCell   *cell;

	result_rel->ri_IndexRelationDescs = palloc(sizeof(Relation) * (list_length(indexes) + 1));
	result_rel->ri_IndexRelationInfo = palloc(sizeof(IndexInfo *) * (list_length(indexes) + 1));
	foreach(cell, indexes)
	{
		Relation	index;

		if (lfirst_oid(cell) == key_index)
			continue;
		index = index_open(lfirst_oid(cell), RowExclusiveLock);
		result_rel->ri_IndexRelationDescs[result_rel->ri_NumIndices] = index;
		result_rel->ri_IndexRelationInfo[result_rel->ri_NumIndices++] = BuildIndexInfo(index);
	}
	list_free(indexes);
}

/*
 * Open a table that has so many columns of ours, or more that somebody added,
 * for rows that all have a key or all have none.  Preparing and evaluating the
 * predicate of the keys' index, only to find that a row is not for it, would be
 * a tenth of the cost of the row.
 */
void
gov_append_open(GovAppend *append, Oid table, int ncolumns, Oid key_index, bool has_key)
{
	gov_spi_enter_row();		/* expressions of users' indexes may call us */
	append->rel = try_table_open(table, RowExclusiveLock);
	if (append->rel == NULL)
		gov_raise_dropped();
	if (RelationGetDescr(append->rel)->natts < ncolumns)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" does not have the columns of this version",
						RelationGetRelationName(append->rel)),
				 errhint("Run ALTER EXTENSION governance UPDATE.")));
	append->estate = CreateExecutorState();
	append->result_rel = makeNode(ResultRelInfo);
	InitResultRelInfo(append->result_rel, append->rel, 0, NULL, 0);
	if (has_key)
		ExecOpenIndices(append->result_rel, true);
	else
		open_other_indexes(append, key_index);
	append->slot = table_slot_create(append->rel, NULL);
	append->key_index = has_key ? list_make1_oid(key_index) : NIL;
}

void
gov_append_close(GovAppend *append)
{
	ExecDropSingleTupleTableSlot(append->slot);
	ExecCloseIndices(append->result_rel);
	FreeExecutorState(append->estate);
	table_close(append->rel, NoLock);
	gov_spi_leave_row();
}

/* Begin a row: all columns null, also those that somebody may have added. */
void
gov_append_clear(GovAppend *append)
{
	TupleTableSlot *slot = append->slot;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, sizeof(bool) * slot->tts_tupleDescriptor->natts);
}

/* Insert the slot's row, which has no key. */
void
gov_append_row(GovAppend *append)
{
	Assert(append->key_index == NIL);
	GOV_FAULT(GOV_FAULT_ROW);
	ExecStoreVirtualTuple(append->slot);
	table_tuple_insert(append->rel, append->slot, GetCurrentCommandId(true), 0, NULL);
	GOV_FAULT(GOV_FAULT_ROW);
	gov_insert_index_tuples(append->result_rel, append->slot, append->estate,
							false, NULL, NIL);
	GOV_FAULT(GOV_FAULT_ROW);
}

/* Insert the slot's row, or take it back and return false if its key is taken. */
bool
gov_append_key_row(GovAppend *append, GovIsTaken is_taken, const void *key)
{
	TransactionId xid = GetCurrentTransactionId();
	uint32		token = SpeculativeInsertionLockAcquire(xid);
	bool		conflict = false;

	Assert(append->key_index != NIL);
	ExecStoreVirtualTuple(append->slot);
	table_tuple_insert_speculative(append->rel, append->slot,
								   GetCurrentCommandId(true), 0, NULL, token);
	GOV_FAULT(GOV_FAULT_ROW);
	gov_insert_index_tuples(append->result_rel, append->slot, append->estate,
							true, &conflict, append->key_index);
	GOV_FAULT(GOV_FAULT_ROW);
	conflict = conflict || is_taken(key);
	table_tuple_complete_speculative(append->rel, append->slot, token, !conflict);
	SpeculativeInsertionLockRelease(xid);
	GOV_FAULT(GOV_FAULT_ROW);
	return !conflict;
}
