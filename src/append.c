/*
 * append.c
 *		Appends rows to a table of ours, below SPI.
 *
 * PURPOSE
 *		The row that a call writes is the price of the call, so it goes to the
 *		table and its indexes directly, by what is remembered of them
 *		(shape.c).  Rows with a key are inserted as INSERT
 *		... ON CONFLICT does it: speculatively, and taken back at once if
 *		somebody was faster.
 *
 * LOCKING
 *		RowExclusiveLock on the table and on its indexes, to the end of the
 *		transaction: who wants more of an index waits for the table anyway, and
 *		to take a lock that one has costs a tenth of taking it anew.  While a
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
#include "shape.h"
#include "spi.h"

/* The indexes of a shape; their locks stay to the end of the transaction. */
static void
open_indexes(GovAppend *append)
{
	const GovShape *shape = append->shape;

	append->indexes = palloc(sizeof(Relation) * (shape->nindexes + 1));
	for (int i = 0; i < shape->nindexes; i++)
	{
		append->indexes[i] = index_open(shape->indexes[i].id, RowExclusiveLock);
		shape->indexes[i].info->ii_Context = CurrentMemoryContext;
		shape->indexes[i].info->ii_AmCache = NULL;	/* a row that failed has left it */
	}
}

/* What an index has kept for the next row refers to its relation, and to our memory. */
static void
close_indexes(GovAppend *append)
{
	const GovShape *shape = append->shape;

	for (int i = 0; i < shape->nindexes; i++)
	{
		gov_index_insert_cleanup(append->indexes[i], shape->indexes[i].info);
		index_close(append->indexes[i], NoLock);
	}
}

/* What ExecInsertIndexTuples() does where nothing has to be evaluated or checked. */
static void
insert_index_tuples(GovAppend *append)
{
	const GovShape *shape = append->shape;
	TupleTableSlot *slot = append->slot;
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	for (int i = 0; i < shape->nindexes; i++)
	{
		IndexInfo  *info = shape->indexes[i].info;
		Relation	index = append->indexes[i];

		FormIndexDatum(info, slot, NULL, values, nulls);
		index_insert(index, values, nulls, &slot->tts_tid, append->rel,
					 index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO,
					 false, info);
	}
}

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

/* Open what the executor needs. */
static void
open_executor(GovAppend *append, Oid key_index, bool has_key)
{
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

/*
 * Open a table that has so many columns of ours, or more that somebody added,
 * for rows that all have a key or all have none.  Without a key nothing has to
 * be evaluated, unless somebody has added an index for which it must.
 */
void
gov_append_open(GovAppend *append, Oid table, int ncolumns, Oid key_index, bool has_key)
{
	const GovShape *shape;

	Assert(!gov_spi_is_writing_row());
	gov_spi_enter_row();		/* expressions of users' indexes may call us */
	memset(append, 0, sizeof(*append));
	append->rel = try_table_open(table, RowExclusiveLock);
	if (append->rel == NULL)
		gov_raise_dropped();
	shape = gov_shape(append->rel, key_index, ncolumns);
	if (has_key || !shape->is_simple)
	{
		open_executor(append, key_index, has_key);
		return;
	}
	append->shape = shape;
	append->slot = shape->slot;
	open_indexes(append);
}

void
gov_append_close(GovAppend *append)
{
	if (append->shape != NULL)
	{
		ExecClearTuple(append->slot);
		close_indexes(append);
	}
	else
	{
		ExecDropSingleTupleTableSlot(append->slot);
		ExecCloseIndices(append->result_rel);
		FreeExecutorState(append->estate);
	}
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
	if (append->shape != NULL)
		insert_index_tuples(append);
	else
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
