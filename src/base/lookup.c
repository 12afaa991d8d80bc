/*
 * lookup.c
 *		Rows of the catalog by their key, through the index that is made for it.
 *
 * PURPOSE
 *		The rules between catalog rows are judged for each row that is written,
 *		a hundred thousand in a statement.  A plan that was made while the
 *		tables were empty may choose another index, and then each look-up reads
 *		the whole table; and to begin a statement costs more than such a look-up.
 *		So no statement is run here, and no planner chooses.
 *
 *		Where an upper bound is enough, the entries of an index are counted and
 *		no row is read: there are at least as many entries as visible rows.
 *
 * SNAPSHOTS
 *		The active one, which the caller has pushed (gov_spi_push_snapshot), or
 *		one that it passes.
 *
 * LOCKING
 *		The caller has opened the table, with a lock that it keeps.  A row is
 *		locked as by SELECT ... FOR KEY SHARE and the like: its newest version,
 *		after waiting for whoever is changing it.  Above READ COMMITTED a row
 *		that was changed since the transaction's snapshot raises 40001.
 *
 * FAILURE
 *		Where the schema's owner has dropped the index, the table is read
 *		through; gov_lookup_last() then says that there is no index, and entries
 *		count as too many.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "executor/spi.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/errors.h"
#include "base/lookup.h"

static int
number_of(Relation table, const char *column)
{
	int			number = SPI_fnumber(RelationGetDescr(table), column);

	if (number <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist", column,
						RelationGetRelationName(table))));
	return number;
}

/* Begin to look rows up, under another snapshot than the active one. */
void
gov_lookup_begin_at(GovLookup *lookup, Relation table, Oid index, const GovLookupKey *keys,
					int nkeys, Snapshot snapshot)
{
	ScanKeyData scankeys[GOV_LOOKUP_KEYS];

	Assert(nkeys <= GOV_LOOKUP_KEYS);
	for (int i = 0; i < nkeys; i++)
		ScanKeyEntryInitialize(&scankeys[i], 0, number_of(table, keys[i].column),
							   BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID,
							   F_TEXTEQ, keys[i].value);
	lookup->table = table;
	lookup->scan = systable_beginscan(table, index, OidIsValid(index),
									  snapshot, nkeys, scankeys);
}

void
gov_lookup_begin(GovLookup *lookup, Relation table, Oid index, const GovLookupKey *keys,
				 int nkeys)
{
	gov_lookup_begin_at(lookup, table, index, keys, nkeys, GetActiveSnapshot());
}

/* The next row, valid until the next call; NULL at the end. */
HeapTuple
gov_lookup_next(GovLookup *lookup)
{
	return systable_getnext(lookup->scan);
}

void
gov_lookup_end(GovLookup *lookup)
{
	systable_endscan(lookup->scan);
}

Datum
gov_lookup_column(const GovLookup *lookup, HeapTuple row, const char *column, bool *isnull)
{
	return heap_getattr(row, number_of(lookup->table, column),
						RelationGetDescr(lookup->table), isnull);
}

/* Lock a row that a scan has found, as ExecLockRows() does; false if it is gone. */
static bool
lock_found(Relation table, HeapTuple row, LockTupleMode mode)
{
	TupleTableSlot *slot = table_slot_create(table, NULL);
	ItemPointerData tid = row->t_self;
	uint8		flags = TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS;
	TM_FailureData failure;
	TM_Result	result;

	if (!IsolationUsesXactSnapshot())
		flags |= TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
	result = table_tuple_lock(table, &tid, GetActiveSnapshot(), slot,
							  GetCurrentCommandId(false), mode, LockWaitBlock, flags, &failure);
	ExecDropSingleTupleTableSlot(slot);
	if (IsolationUsesXactSnapshot() && (result == TM_Updated || result == TM_Deleted))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update")));
	return result == TM_Ok;
}

/* Lock the row of a key to the end of the transaction; false if there is none. */
bool
gov_lookup_lock(Relation table, Oid index, const GovLookupKey *keys, int nkeys,
				LockTupleMode mode)
{
	GovLookup	lookup;
	HeapTuple	row;
	bool		is_locked;

	gov_lookup_begin(&lookup, table, index, keys, nkeys);
	row = gov_lookup_next(&lookup);
	is_locked = HeapTupleIsValid(row) && lock_found(table, row, mode);
	gov_lookup_end(&lookup);
	return is_locked;
}

/*
 * Open a table for a scan; NULL if it has no row that the active snapshot could
 * see, because whatever that sees is in a block by now, or if the extension does
 * not have the table yet.
 */
Relation
gov_lookup_open_filled(Oid table)
{
	Relation	rel;

	if (!OidIsValid(table))
		return NULL;
	rel = try_table_open(table, AccessShareLock);
	if (rel == NULL)
		gov_error_dropped();
	if (RelationGetNumberOfBlocks(rel) > 0)
		return rel;
	table_close(rel, NoLock);
	return NULL;
}

/* Has a table rows, in the sense above? */
bool
gov_lookup_is_filled(Oid table)
{
	Relation	rel = gov_lookup_open_filled(table);

	if (rel == NULL)
		return false;
	table_close(rel, NoLock);
	return true;
}

/*
 * Read a column of the last row in the order of an index. *isnull if the table
 * has no row; false if there is no index.
 */
bool
gov_lookup_last(Relation table, Oid index, AttrNumber column, Datum *value, bool *isnull)
{
	Relation	rel = OidIsValid(index) ? try_index_open(index, AccessShareLock) : NULL;
	SysScanDesc scan;
	HeapTuple	row;

	if (rel == NULL)
		return false;
	scan = systable_beginscan_ordered(table, rel, GetActiveSnapshot(), 0, NULL);
	row = systable_getnext_ordered(scan, BackwardScanDirection);
	*isnull = true;
	if (HeapTupleIsValid(row))
		*value = heap_getattr(row, column, RelationGetDescr(table), isnull);
	systable_endscan_ordered(scan);
	index_close(rel, NoLock);
	return true;
}

/* ---------------------------------------------------------------- entries of an index */

/*
 * Begin to count an index's entries that have some values in the leading
 * columns, which are text.
 */
void
gov_lookup_entries_begin(GovEntries *entries, Relation table, Oid index, int nkeys)
{
	Assert(nkeys <= GOV_LOOKUP_KEYS);
	entries->nkeys = nkeys;
	entries->index = OidIsValid(index) ? try_index_open(index, AccessShareLock) : NULL;
	if (entries->index != NULL)
		entries->scan = gov_index_beginscan(table, entries->index, SnapshotAny, nkeys);
}

/* Has the index at most so many entries with these values? */
bool
gov_lookup_entries_are_at_most(GovEntries *entries, const Datum *values, int most)
{
	ScanKeyData keys[GOV_LOOKUP_KEYS];
	int			count = 0;

	if (entries->index == NULL)
		return false;
	for (int i = 0; i < entries->nkeys; i++)
		ScanKeyEntryInitialize(&keys[i], 0, i + 1, BTEqualStrategyNumber, InvalidOid,
							   C_COLLATION_OID, F_TEXTEQ, values[i]);
	index_rescan(entries->scan, keys, entries->nkeys, NULL, 0);
	while (count <= most && index_getnext_tid(entries->scan, ForwardScanDirection) != NULL)
		count++;
	return count <= most;
}

/* Has the index none that meets the keys, however many there are of them? */
bool
gov_lookup_entries_are_none(GovEntries *entries, ScanKey keys)
{
	if (entries->index == NULL)
		return false;
	index_rescan(entries->scan, keys, entries->nkeys, NULL, 0);
	return index_getnext_tid(entries->scan, ForwardScanDirection) == NULL;
}

void
gov_lookup_entries_end(GovEntries *entries)
{
	if (entries->index == NULL)
		return;
	index_endscan(entries->scan);
	index_close(entries->index, NoLock);
}

/*
 * May a table have rows?  One that is not there has none.  What a snapshot sees is
 * in a block by now.
 */
bool
gov_lookup_has_rows(Oid relid)
{
	Relation	rel;
	bool		result;

	if (!OidIsValid(relid))
		return false;
	rel = try_table_open(relid, AccessShareLock);
	if (rel == NULL)
		gov_error_dropped();
	result = RelationGetNumberOfBlocks(rel) > 0;
	table_close(rel, NoLock);
	return result;
}
