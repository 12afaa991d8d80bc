/*
 * load_catalog.c
 *		Reads entities and budgets from their tables.
 *
 * PURPOSE
 *		Runs inside a load (load.c), under its snapshot, and fills in the entity
 *		of each item.
 *
 * READING
 *		Each row is read once, by the index of its key, below SPI: to begin a
 *		statement costs more than all that a load reads, and no plan can go
 *		wrong.  No right is asked for and no policy of rows applies: whose rows
 *		a call may touch is judged before (owner.c), as where statements run as
 *		the extension's owner.
 *
 * POLICIES
 *		The thresholds that apply to budgets without their own are read with the
 *		first such budget, under the same snapshot.
 *
 * FAILURE
 *		Where the schema's owner has dropped an index the table is read through.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "base/fault.h"
#include "cache/load_steps.h"
#include "ledger/columns.h"


/* The tables while a load reads them. */
typedef struct GovCatalogTables
{
	Relation	entities;
	Relation	assignments;
	Relation	boosts;			/* NULL: there are none */
	GovDefaultTables defaults;
	GovEntityRows rows;			/* of the entity at hand */
} GovCatalogTables;

static Relation
open_table(Oid relid)
{
	Relation	rel = try_table_open(relid, AccessShareLock);

	if (rel == NULL)
		gov_error_dropped();
	return rel;
}

static void
text_key(ScanKey key, AttrNumber column, Datum value)
{
	ScanKeyEntryInitialize(key, 0, column, BTEqualStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_TEXTEQ, value);
}

/* Copy a row, and take it apart; the scan goes on. */
static GovRow
keep_row(Relation rel, HeapTuple tuple)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Datum	   *values = palloc((sizeof(Datum) + sizeof(bool)) * desc->natts);
	bool	   *nulls = (bool *) (values + desc->natts);

	heap_deform_tuple(heap_copytuple(tuple), desc, values, nulls);
	return (GovRow) {.values = values, .nulls = nulls};
}

/* The thresholds of a policy that a condition finds; 0 if there is none. */
static Datum
find_policy(Relation rel, ScanKey key)
{
	SysScanDesc scan = systable_beginscan(rel, gov_catalog()->alert_policies_key, true,
										  GetActiveSnapshot(), 1, key);
	HeapTuple	tuple = systable_getnext(scan);
	Datum		result = HeapTupleIsValid(tuple) ?
	keep_row(rel, tuple).values[GOV_POLICY_THRESHOLDS] : (Datum) 0;

	systable_endscan(scan);
	return result;
}

/*
 * The thresholds of the owner's policy, or else of everybody's; 0 if there is
 * neither.  Found by two look-ups.
 */
static Datum
look_policy_up(Relation rel, Datum owner)
{
	ScanKeyData key;
	Datum		result;

	text_key(&key, GOV_POLICY_OWNER_ID + 1, owner);
	result = find_policy(rel, &key);
	if (result != (Datum) 0)
		return result;
	ScanKeyEntryInitialize(&key, SK_ISNULL | SK_SEARCHNULL, GOV_POLICY_OWNER_ID + 1,
						   InvalidStrategy, InvalidOid, InvalidOid, InvalidOid, (Datum) 0);
	return find_policy(rel, &key);
}

/*
 * The thresholds of the owner's policy, or else of everybody's; 0 if there is
 * neither.  Found by reading all policies.
 */
static Datum
search_policies(Relation rel, Datum owner)
{
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, GetActiveSnapshot(), 0, NULL);
	HeapTuple	tuple;
	Datum		result = (Datum) 0;
	bool		is_owners = false;

	while (!is_owners && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		GovRow		row = keep_row(rel, tuple);
		bool		is_everybodys = row.nulls[GOV_POLICY_OWNER_ID];

		is_owners = !is_everybodys &&
			DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, owner,
												 row.values[GOV_POLICY_OWNER_ID]));
		if (is_owners || is_everybodys)
			result = row.values[GOV_POLICY_THRESHOLDS];
	}
	systable_endscan(scan);
	return result;
}

/*
 * Read the policy that applies to the load's owner.  Most installations have
 * none, or one.
 */
static void
read_policy(GovLoad *load)
{
	Relation	rel = open_table(gov_catalog()->alert_policies);
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	Datum		thresholds = (Datum) 0;

	if (nblocks == 1 || !OidIsValid(gov_catalog()->alert_policies_key))
		thresholds = search_policies(rel, load->owner);
	else if (nblocks > 1)
		thresholds = look_policy_up(rel, load->owner);
	if (thresholds != (Datum) 0)
	{
		MemoryContext caller = MemoryContextSwitchTo(load->context);

		thresholds = PointerGetDatum(DatumGetArrayTypePCopy(thresholds));
		MemoryContextSwitchTo(caller);
	}
	load->policy = (GovPolicyRead) {true, thresholds};
	table_close(rel, NoLock);
}

/* Add a row to those of an entity. */
void
gov_load_append_row(GovEntityRows *rows, const GovRow *row)
{
	if (rows->nbudgets >= rows->capacity)
	{
		rows->capacity *= 2;
		rows->budgets = repalloc_huge(rows->budgets, sizeof(GovRow) * rows->capacity);
	}
	rows->budgets[rows->nbudgets++] = *row;
}

/* Add a budget to those of an entity. */
void
gov_load_add_budget(GovLoad *load, GovEntityRows *rows, const GovRow *row)
{
	gov_load_append_row(rows, row);
	if (!load->policy.is_read && row->nulls[GOV_ASSIGNMENT_ALERT_THRESHOLDS])
		read_policy(load);
}

/* Read the budgets of an entity. */
static void
read_budgets(GovLoad *load, GovCatalogTables *tables, Datum id)
{
	Oid			index = gov_catalog()->assignments_key;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	tables->rows.nbudgets = 0;
	text_key(&keys[0], GOV_ASSIGNMENT_OWNER_ID + 1, load->owner);
	text_key(&keys[1], GOV_ASSIGNMENT_ENTITY_ID + 1, id);
	scan = systable_beginscan(tables->assignments, index, OidIsValid(index),
							  GetActiveSnapshot(), 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		GovRow		row = keep_row(tables->assignments, tuple);

		gov_load_add_budget(load, &tables->rows, &row);
	}
	systable_endscan(scan);
}

/* Read an entity with its budgets; false if there is none. */
static bool
read_entity(GovLoad *load, GovCatalogTables *tables, const GovLoaded *item)
{
	Oid			index = gov_catalog()->entities_pkey;
	Datum		id = PointerGetDatum(cstring_to_text_with_len(item->id, item->id_length));
	GovEntityRows *rows = &tables->rows;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	text_key(&keys[0], GOV_ENTITY_OWNER_ID + 1, load->owner);
	text_key(&keys[1], GOV_ENTITY_ID + 1, id);
	scan = systable_beginscan(tables->entities, index, OidIsValid(index),
							  GetActiveSnapshot(), 2, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		rows->entity = keep_row(tables->entities, tuple);
		read_budgets(load, tables, id);
		rows->ntemplates = 0;
		if (tables->defaults.defaults != NULL)
			gov_load_inherited(load, &tables->defaults, item, id, rows);
		memset(&rows->boosts, 0, sizeof(rows->boosts));
		if (tables->boosts != NULL && rows->nbudgets > 0)
			gov_load_boosts(load, tables->boosts, id, &rows->boosts);
		gov_load_pools(load, RelationGetDescr(tables->assignments), rows);
		gov_load_carries(load, RelationGetDescr(tables->assignments), rows);
	}
	systable_endscan(scan);
	return HeapTupleIsValid(tuple);
}

static void
open_tables(GovCatalogTables *tables)
{
	const GovCatalog *catalog = gov_catalog();

	memset(tables, 0, sizeof(*tables));
	tables->entities = open_table(catalog->entities);
	tables->assignments = open_table(catalog->assignments);
	tables->boosts = gov_load_open_boosts();
	tables->defaults.budget = RelationGetDescr(tables->assignments);
	gov_load_open_defaults(&tables->defaults);
	tables->rows.capacity = GOV_BUDGETS_AT_FIRST;
	tables->rows.budgets = palloc(sizeof(GovRow) * tables->rows.capacity);
}

static void
close_tables(GovCatalogTables *tables)
{
	gov_load_close_defaults(&tables->defaults);
	if (tables->boosts != NULL)
		table_close(tables->boosts, NoLock);
	table_close(tables->assignments, NoLock);
	table_close(tables->entities, NoLock);
}

/* Fill in the entity of each item from the first on, under the active snapshot. */
void
gov_load_entities(GovLoad *load, int first)
{
	MemoryContext rows = AllocSetContextCreate(CurrentMemoryContext, "governance load rows",
											   ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = CurrentMemoryContext;
	GovCatalogTables tables;

	Assert(first < load->count);
	GOV_FAULT(GOV_FAULT_STATEMENT);
	open_tables(&tables);
	MemoryContextSwitchTo(rows);
	for (int i = first; i < load->count; i++)
	{
		GovLoaded  *item = &load->items[i];

		CHECK_FOR_INTERRUPTS();
		item->entity = read_entity(load, &tables, item) ?
			gov_load_build_entity(load, item, &tables.rows) : NULL;
		MemoryContextReset(rows);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(rows);
	pfree(tables.rows.budgets);
	close_tables(&tables);
}

/*
 * Read the rows of an entity and its budgets, for who needs no node, under the
 * active snapshot; false if there is no such entity.
 */
bool
gov_load_rows(GovLoad *load, const GovLoaded *item, GovEntityRows *rows)
{
	GovCatalogTables tables;
	bool		is_there;

	open_tables(&tables);
	is_there = read_entity(load, &tables, item);
	*rows = tables.rows;
	close_tables(&tables);
	return is_there;
}
