/*
 * shape.c
 *		What a row needs of the table it is appended to.
 *
 * PURPOSE
 *		To open a table for one row takes the executor a quarter of the time
 *		that the row takes: its state, a description of each index, a slot.  All
 *		that depends on the catalog alone, and is kept from one transaction to the
 *		next.  Relations are opened and closed by each call, so nothing here
 *		belongs to a resource owner, a portal or a subtransaction.
 *
 * INVARIANTS
 *		A shape belongs to a generation of the catalog (catalog.c).  Whatever
 *		changes the columns, constraints, triggers or indexes of a table
 *		invalidates the table, and with it the generation: in the transaction
 *		that did it from the next command on, again when that is rolled back, and
 *		in others when they lock the table.  So a shape is as fresh as the list
 *		of indexes in the relation cache.  The slots have a copy of the table's
 *		row type, and the descriptions of indexes refer to no relation; what an
 *		index caches in its description during a call is dropped at the end of
 *		the call (append.c).
 *
 * FAILURE
 *		55000 when the table lacks columns of this version.  A shape that could
 *		not be completed is made again by the next call.
 */
#include "postgres.h"

#include "access/genam.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "nodes/primnodes.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "base/catalog.h"
#include "base/fault.h"
#include "ledger/additions.h"
#include "ledger/shape.h"

/*
 * One for each of our tables that rows are appended to: the ledger, the holds, the changes, the limits, the
 * entities and the counts of defaults.
 */
static GovShape shapes[6];

static void
require_columns(Relation rel, int ncolumns)
{
	if (RelationGetDescr(rel)->natts < ncolumns)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" does not have the columns of this version",
						RelationGetRelationName(rel)),
				 errhint("Run ALTER EXTENSION governance UPDATE.")));
}

/* Can a row be put into the index without evaluating or checking anything? */
static bool
is_simple(Relation index, const IndexInfo *info)
{
	return info->ii_Expressions == NIL && info->ii_Predicate == NIL &&
		info->ii_ExclusionOps == NULL &&
		(!index->rd_index->indisunique || index->rd_index->indimmediate);
}

/*
 * The column of which the index has only rows where it is not null; invalid if
 * its predicate is another one, or if it has none.
 */
static AttrNumber
column_not_null(const IndexInfo *info)
{
	const NullTest *test;

	if (list_length(info->ii_Predicate) != 1)
		return InvalidAttrNumber;
	test = linitial(info->ii_Predicate);
	if (!IsA(test, NullTest) || test->nulltesttype != IS_NOT_NULL || test->argisrow ||
		!IsA(test->arg, Var))
		return InvalidAttrNumber;
	return ((const Var *) test->arg)->varattno;
}

/* Has the index two columns, and only rows whose second one is not null? */
static bool
is_of_second_column(const IndexInfo *info)
{
	return info->ii_NumIndexAttrs == 2 &&
		AttributeNumberIsValid(column_not_null(info)) &&
		column_not_null(info) == info->ii_IndexAttrNumbers[1];
}

/* Can a row with a key be put into the index of the keys without the executor? */
static bool
is_simple_key(Relation index, const IndexInfo *info)
{
	return info->ii_ReadyForInserts && info->ii_Expressions == NIL &&
		info->ii_ExclusionOps == NULL && is_of_second_column(info) &&
		index->rd_index->indisunique && index->rd_index->indimmediate;
}

/*
 * Has the index only rows of reversals?  Those are put into it by the executor,
 * and no other row has to look at it.
 */
static bool
is_of_reversals(Relation rel, const IndexInfo *info)
{
	const GovCatalog *catalog = gov_catalog();

	return RelationGetRelid(rel) == catalog->events &&
		AttributeNumberIsValid(catalog->events_reverses) &&
		column_not_null(info) == catalog->events_reverses;
}

static void
add_index(GovShape *shape, Relation rel, Oid id)
{
	Relation	index = index_open(id, RowExclusiveLock);
	IndexInfo  *info = BuildIndexInfo(index);

	if (info->ii_ReadyForInserts && !is_of_reversals(rel, info))
	{
		shape->indexes[shape->nindexes++] = (GovShapeIndex) {id, info};
		shape->is_simple &= is_simple(index, info);
	}
	index_close(index, NoLock);
}

/* The index of the keys stands after the others, and is not counted. */
static void
add_key_index(GovShape *shape, Oid id)
{
	Relation	index = index_open(id, RowExclusiveLock);
	IndexInfo  *info = BuildIndexInfo(index);

	shape->has_simple_key = is_simple_key(index, info);
	shape->indexes[shape->nindexes] = (GovShapeIndex) {id, info};
	index_close(index, NoLock);
}

/* Fill in a shape that has a memory context and nothing in it. */
static void
build_shape(GovShape *shape, Relation rel, Oid key_index, int ncolumns)
{
	List	   *indexes = RelationGetIndexList(rel);
	TupleDesc	columns;
	ListCell   *cell;

	GOV_FAULT(GOV_FAULT_MEMORY);
	shape->has_additions = gov_additions_are_any(rel, ncolumns);
	shape->is_simple = !shape->has_additions;
	shape->has_simple_key = false;
	shape->nindexes = 0;
	shape->indexes = palloc(sizeof(GovShapeIndex) * (list_length(indexes) + 1));
	foreach(cell, indexes)
	{
		if (lfirst_oid(cell) != key_index)
			add_index(shape, rel, lfirst_oid(cell));
	}
	if (list_member_oid(indexes, key_index))
		add_key_index(shape, key_index);
	columns = CreateTupleDescCopy(RelationGetDescr(rel));
	shape->slot = MakeSingleTupleTableSlot(columns, &TTSOpsVirtual);
	shape->row = MakeSingleTupleTableSlot(columns, &TTSOpsHeapTuple);
}

static GovShape *
find_place(Oid table)
{
	for (int i = 0; i < lengthof(shapes); i++)
	{
		if (shapes[i].table == table)
			return &shapes[i];
	}
	for (int i = 0; i < lengthof(shapes); i++)
	{
		if (!OidIsValid(shapes[i].table) || shapes[i].generation != gov_catalog()->generation)
			return &shapes[i];
	}
	return &shapes[0];
}

/*
 * The shape of a table of ours, which the caller has locked; made if need be.
 */
const GovShape *
gov_shape(Relation rel, Oid key_index, int ncolumns)
{
	uint64		generation = gov_catalog()->generation;
	GovShape   *shape = find_place(RelationGetRelid(rel));
	MemoryContext caller;

	if (shape->table == RelationGetRelid(rel) && shape->key_index == key_index &&
		shape->generation == generation)
		return shape;

	shape->table = InvalidOid;
	require_columns(rel, ncolumns);
	if (shape->context == NULL)
		shape->context = AllocSetContextCreate(TopMemoryContext, "governance table",
											   ALLOCSET_SMALL_SIZES);
	MemoryContextReset(shape->context);
	caller = MemoryContextSwitchTo(shape->context);
	build_shape(shape, rel, key_index, ncolumns);
	MemoryContextSwitchTo(caller);
	shape->key_index = key_index;
	shape->generation = generation;
	shape->table = RelationGetRelid(rel);
	return shape;
}
