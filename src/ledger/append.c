/*
 * append.c
 *		Appends rows to a table of ours, below SPI.
 *
 * PURPOSE
 *		Most of the time of a call goes into the row that it writes.  So the row
 *		goes to the table and its indexes directly, by what is remembered of
 *		them (shape.c).  Rows with a key are inserted as INSERT ... ON CONFLICT
 *		does it: speculatively, and taken back at once if somebody was faster.
 *		The rows of a batch are put into the table together, a page at a time.
 *		Where users have added something that concerns the row, the executor
 *		inserts it (additions.c).
 *
 * LOCKING
 *		RowExclusiveLock on the table and on its indexes, to the end of the
 *		transaction.  That keeps nobody waiting longer, because whoever wants a
 *		stronger lock on an index wants one on the table too; and taking a lock
 *		that one has costs a tenth of taking it anew.  While a row is inserted
 *		speculatively its token is held, and others wait for that: keys.c says
 *		who may wait for whom then.
 *
 * FAILURE
 *		Raises what an INSERT would.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "storage/lmgr.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "base/compat.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/spi.h"
#include "ledger/append.h"
#include "ledger/shape.h"

/*
 * Open the indexes of a shape.  Their locks stay to the end of the
 * transaction.
 */
static void
open_indexes(GovAppend *append, bool has_key)
{
	const GovShape *shape = append->shape;

	append->nindexes = shape->nindexes + (has_key ? 1 : 0);
	append->indexes = palloc(sizeof(Relation) * (append->nindexes + 1));
	for (int i = 0; i < append->nindexes; i++)
	{
		append->indexes[i] = index_open(shape->indexes[i].id, RowExclusiveLock);
		shape->indexes[i].info->ii_Context = CurrentMemoryContext;
		shape->indexes[i].info->ii_AmCache = NULL;	/* a row that failed has
													 * left it */
	}
}

/*
 * Close the indexes, and drop what they have cached for the next row, because
 * that refers to the relation and to our memory.
 */
static void
close_indexes(GovAppend *append)
{
	for (int i = 0; i < append->nindexes; i++)
	{
		gov_index_insert_cleanup(append->indexes[i], append->shape->indexes[i].info);
		index_close(append->indexes[i], NoLock);
	}
}

/*
 * How an index checks that a key is unique: that of the keys reports a
 * possible duplicate and raises no error.
 */
static IndexUniqueCheck
unique_check(const GovAppend *append, int i)
{
	if (i >= append->shape->nindexes)
		return UNIQUE_CHECK_PARTIAL;
	return append->indexes[i]->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO;
}

/*
 * What ExecInsertIndexTuples() does where nothing has to be evaluated; false if
 * the row's key may be taken.
 */
static bool
insert_index_tuples(GovAppend *append, TupleTableSlot *slot)
{
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	bool		is_free = true;

	for (int i = 0; i < append->nindexes; i++)
	{
		IndexInfo  *info = append->shape->indexes[i].info;
		IndexUniqueCheck check = unique_check(append, i);
		bool		is_unique;

		FormIndexDatum(info, slot, NULL, values, nulls);
		if (check == UNIQUE_CHECK_PARTIAL && nulls[1])
			continue;			/* the predicate of the index of the keys */
		is_unique = index_insert(append->indexes[i], values, nulls, &slot->tts_tid,
								 append->rel, check, false, info);
		is_free &= check != UNIQUE_CHECK_PARTIAL || is_unique;
	}
	return is_free;
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

/* Open what the executor needs, for a table with so many columns of ours. */
static pg_noinline void
open_executor(GovAppend *append, Oid key_index, bool has_key, const GovShape *shape,
			  int ncolumns)
{
	append->estate = CreateExecutorState();
	append->has_key = has_key;
	append->result_rel = makeNode(ResultRelInfo);
	InitResultRelInfo(append->result_rel, append->rel, 0, NULL, 0);
	if (has_key)
		ExecOpenIndices(append->result_rel, true);
	else
		open_other_indexes(append, key_index);
	append->slot = table_slot_create(append->rel, NULL);
	append->key_index = has_key ? list_make1_oid(key_index) : NIL;
	if (shape->has_additions)
		append->additions = gov_additions_open(append->result_rel, append->estate, ncolumns);
}

/* Run what is due after the statement, then close the table. */
static pg_noinline void
close_executor(GovAppend *append)
{
	if (append->additions != NULL)
		gov_additions_close(append->additions);
	ExecDropSingleTupleTableSlot(append->slot);
	ExecResetTupleTable(append->estate->es_tupleTable, false);
	ExecCloseResultRelations(append->estate);
	if (append->additions == NULL)
		ExecCloseIndices(append->result_rel);
	FreeExecutorState(append->estate);
}

static const GovShape *
open_table(GovAppend *append, Oid table, int ncolumns, Oid key_index)
{
	Assert(!gov_spi_is_writing_row());
	gov_spi_enter_row();		/* expressions of users' indexes may call us */
	memset(append, 0, sizeof(*append));
	append->rel = try_table_open(table, RowExclusiveLock);
	if (append->rel == NULL)
		gov_error_dropped();
	return gov_shape(append->rel, key_index, ncolumns);
}

/*
 * Open a table for rows without a key, or for a row with one and others behind it
 * without.  The table has ncolumns columns of ours, and maybe some that users have added.  The
 * executor is not needed, unless somebody has added an index or something else
 * for which an expression must be evaluated.
 */
void
gov_append_open(GovAppend *append, Oid table, int ncolumns, Oid key_index, bool has_key)
{
	const GovShape *shape = open_table(append, table, ncolumns, key_index);

	if (!shape->is_simple || (has_key && !shape->has_simple_key))
	{
		open_executor(append, key_index, has_key, shape, ncolumns);
		return;
	}
	append->shape = shape;
	append->slot = shape->slot;
	append->has_key = has_key;
	open_indexes(append, has_key);
}

/*
 * Open a table for rows that belong into each of its indexes, including those
 * that a shape leaves out.
 */
void
gov_append_open_all(GovAppend *append, Oid table, int ncolumns, Oid key_index, bool has_key)
{
	const GovShape *shape = open_table(append, table, ncolumns, key_index);

	open_executor(append, key_index, has_key, shape, ncolumns);
}

void
gov_append_close(GovAppend *append)
{
	for (int i = 0; i < append->nslots; i++)
		ExecDropSingleTupleTableSlot(append->rows[i]);
	if (append->shape != NULL)
	{
		ExecClearTuple(append->slot);
		ExecClearTuple(append->shape->row);
		close_indexes(append);
	}
	else
		close_executor(append);
	table_close(append->rel, NoLock);
	gov_spi_leave_row();
}

/* Begin a row: all columns are null, including those that users have added. */
void
gov_append_clear(GovAppend *append)
{
	TupleTableSlot *slot = append->slot;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, sizeof(bool) * slot->tts_tupleDescriptor->natts);
}

/* Form the slot's row, completed by what users have added to the table. */
static pg_noinline TupleTableSlot *
form_executor_row(GovAppend *append)
{
	TupleTableSlot *slot = append->slot;
	MemoryContext caller = MemoryContextSwitchTo(slot->tts_mcxt);

	ExecStoreVirtualTuple(slot);
	if (append->additions != NULL)
		gov_additions_before_row(append->additions, slot);
	MemoryContextSwitchTo(caller);
	return slot;
}

/*
 * Form the slot's row as the table takes it: as one tuple, which is not copied
 * again.
 */
static TupleTableSlot *
form_row(GovAppend *append)
{
	TupleTableSlot *slot = append->slot;
	TupleTableSlot *row;
	MemoryContext caller;

	if (append->shape == NULL)
		return form_executor_row(append);
	row = append->shape->row;
	caller = MemoryContextSwitchTo(row->tts_mcxt);
	ExecStoreVirtualTuple(slot);
	ExecStoreHeapTuple(heap_form_tuple(slot->tts_tupleDescriptor, slot->tts_values,
									   slot->tts_isnull), row, true);
	MemoryContextSwitchTo(caller);
	return row;
}

/* Put a row that is in the table into its indexes, and do what comes after it. */
static pg_noinline void
complete_row(GovAppend *append)
{
	List	   *recheck = gov_insert_index_tuples(append->result_rel, append->slot,
												  append->estate, false, NULL, NIL);

	if (append->additions != NULL)
		gov_additions_after_row(append->additions, append->slot, recheck);
}

/* Insert the slot's row, which has no key; the table may have been opened for one that has. */
void
gov_append_row(GovAppend *append)
{
	TupleTableSlot *row;

	GOV_FAULT(GOV_FAULT_ROW);
	row = form_row(append);
	table_tuple_insert(append->rel, row, GetCurrentCommandId(true), 0, NULL);
	append->slot->tts_tid = row->tts_tid;
	GOV_FAULT(GOV_FAULT_ROW);
	if (append->shape != NULL)
		insert_index_tuples(append, append->slot);
	else
		complete_row(append);
	GOV_FAULT(GOV_FAULT_ROW);
}

/*
 * Insert the slot's row, which has no key, together with those that follow it
 * until gov_append_flush().  Its values must stay until then. nleft rows are
 * left, including this one.
 */
void
gov_append_later(GovAppend *append, int nleft)
{
	TupleTableSlot **rows = append->rows;

	if (append->shape == NULL)
	{
		gov_append_row(append);
		return;
	}
	if (rows == NULL)
	{
		append->rows = rows = palloc(sizeof(TupleTableSlot *) * nleft);
		append->nrows = 0;
	}
	if (append->nrows == append->nslots)
		rows[append->nslots++] = MakeSingleTupleTableSlot(append->slot->tts_tupleDescriptor,
														  &TTSOpsHeapTuple);
	ExecStoreHeapTuple(heap_form_tuple(append->slot->tts_tupleDescriptor,
									   append->slot->tts_values,
									   append->slot->tts_isnull),
					   rows[append->nrows], true);
	append->nrows++;
}

/* Insert the rows that were left for later. */
void
gov_append_flush(GovAppend *append)
{
	if (append->nrows == 0)
		return;
	GOV_FAULT(GOV_FAULT_ROW);
	table_multi_insert(append->rel, append->rows, append->nrows,
					   GetCurrentCommandId(true), 0, NULL);
	for (int i = 0; i < append->nrows; i++)
	{
		GOV_FAULT(GOV_FAULT_ROW);
		insert_index_tuples(append, append->rows[i]);
		ExecClearTuple(append->rows[i]);
	}
	append->nrows = 0;
}

/* Put a row into its indexes; true if its key may be taken. */
static pg_noinline bool
complete_key_row(GovAppend *append, List **recheck)
{
	bool		conflict = false;

	*recheck = gov_insert_index_tuples(append->result_rel, append->slot, append->estate,
									   true, &conflict, append->key_index);
	return conflict;
}

/* Insert the slot's row, or take it back and return false if its key is taken. */
bool
gov_append_key_row(GovAppend *append, GovIsTaken is_taken, const void *key)
{
	TupleTableSlot *row = form_row(append);
	TransactionId xid = GetCurrentTransactionId();
	uint32		token = SpeculativeInsertionLockAcquire(xid);
	List	   *recheck;
	bool		conflict;

	Assert(append->has_key);
	table_tuple_insert_speculative(append->rel, row, GetCurrentCommandId(true), 0, NULL,
								   token);
	append->slot->tts_tid = row->tts_tid;
	GOV_FAULT(GOV_FAULT_ROW);
	if (append->shape != NULL)
		conflict = !insert_index_tuples(append, append->slot);
	else
		conflict = complete_key_row(append, &recheck);
	GOV_FAULT(GOV_FAULT_ROW);
	conflict = conflict || is_taken(key);
	table_tuple_complete_speculative(append->rel, row, token, !conflict);
	SpeculativeInsertionLockRelease(xid);
	if (append->additions != NULL && !conflict)
		gov_additions_after_row(append->additions, append->slot, recheck);
	GOV_FAULT(GOV_FAULT_ROW);
	return !conflict;
}
