/*
 * load_defaults.c
 *		Reads defaults, and which budgets by them were used, for a load.
 *
 * PURPOSE
 *		What load_inherited.c makes budgets of.  Where there is no default nothing
 *		is read.
 *
 * READING
 *		As in load_catalog.c.  The defaults of a type are read once for a round of
 *		a load.  Those of an owner go before everybody's of the same type,
 *		capability, scope and name.
 *
 * FAILURE
 *		Where the schema's owner has dropped an index the table is read through.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/lookup.h"
#include "cache/load_steps.h"
#include "ledger/columns.h"
#include "pure/bytes.h"

#define GOV_DEFAULTS_AT_FIRST	8

/* Has any entity a budget by a default? */
bool
gov_load_has_defaults(void)
{
	return gov_lookup_is_filled(gov_catalog()->default_assignments);
}

/* Open the tables; false if there is no default. */
bool
gov_load_open_defaults(GovDefaultTables *tables)
{
	tables->counts = NULL;
	tables->defaults = gov_lookup_open_filled(gov_catalog()->default_assignments);
	if (tables->defaults == NULL)
		return false;
	tables->counts = gov_lookup_open_filled(gov_catalog()->default_counts);
	return true;
}

void
gov_load_close_defaults(GovDefaultTables *tables)
{
	if (tables->counts != NULL)
		table_close(tables->counts, NoLock);
	if (tables->defaults != NULL)
		table_close(tables->defaults, NoLock);
}

/* ---------------------------------------------------------------- defaults */

static void
keep_default(GovLoad *load, Relation rel, HeapTuple tuple)
{
	GovDefaultsRead *read = &load->defaults;
	TupleDesc	desc = RelationGetDescr(rel);
	MemoryContext caller = MemoryContextSwitchTo(load->context);
	Datum	   *values = palloc((sizeof(Datum) + sizeof(bool)) * desc->natts);
	bool	   *nulls = (bool *) (values + desc->natts);

	heap_deform_tuple(heap_copytuple(tuple), desc, values, nulls);
	if (read->count >= read->capacity)
	{
		read->capacity = Max(2 * read->capacity, GOV_DEFAULTS_AT_FIRST);
		read->items = read->items == NULL ? palloc(sizeof(GovDefault) * read->capacity) :
			repalloc_huge(read->items, sizeof(GovDefault) * read->capacity);
	}
	read->items[read->count++] = (GovDefault) {.values = values, .nulls = nulls};
	MemoryContextSwitchTo(caller);
}

/* Is a row of this owner, or of everybody where that is asked for? */
static bool
is_whose(Relation rel, HeapTuple tuple, Datum owner, bool is_everybodys)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, GOV_DEFAULT_OWNER_ID + 1, RelationGetDescr(rel), &isnull);

	return isnull ? is_everybodys : !is_everybodys && gov_load_are_same_texts(value, owner);
}

/* Read the defaults of a type that are the owner's, or everybody's. */
static void
scan_defaults(GovLoad *load, Relation rel, Datum type, bool is_everybodys)
{
	Oid			index = gov_catalog()->default_assignments_key;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	if (is_everybodys)
		ScanKeyEntryInitialize(&keys[0], SK_ISNULL | SK_SEARCHNULL, GOV_DEFAULT_OWNER_ID + 1,
							   InvalidStrategy, InvalidOid, InvalidOid, InvalidOid, (Datum) 0);
	else
		ScanKeyEntryInitialize(&keys[0], 0, GOV_DEFAULT_OWNER_ID + 1, BTEqualStrategyNumber,
							   InvalidOid, C_COLLATION_OID, F_TEXTEQ, load->owner);
	ScanKeyEntryInitialize(&keys[1], 0, GOV_DEFAULT_TYPE_ID + 1, BTEqualStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_TEXTEQ, type);

	/*
	 * a scan of the table cannot ask for nulls: there the owner is compared
	 * below
	 */
	if (OidIsValid(index))
		scan = systable_beginscan(rel, index, true, GetActiveSnapshot(), 2, keys);
	else
		scan = systable_beginscan(rel, InvalidOid, false, GetActiveSnapshot(), 1, &keys[1]);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (is_whose(rel, tuple, load->owner, is_everybodys))
			keep_default(load, rel, tuple);
	}
	systable_endscan(scan);
}

static bool
are_for_the_same(const GovDefault *one, const GovDefault *other)
{
	return gov_load_are_same_texts(one->values[GOV_DEFAULT_CAPABILITY_ID], other->values[GOV_DEFAULT_CAPABILITY_ID]) &&
		gov_load_are_same_texts(one->values[GOV_DEFAULT_NAME], other->values[GOV_DEFAULT_NAME]) &&
		gov_load_are_same_lists(one->values[GOV_DEFAULT_SCOPE_TYPE_IDS], other->values[GOV_DEFAULT_SCOPE_TYPE_IDS]);
}

/* Read the defaults of a type, unless they were read last. */
void
gov_load_read_defaults(GovLoad *load, Relation rel, Datum type)
{
	GovDefaultsRead *read = &load->defaults;
	int			nowners;
	MemoryContext caller;

	if (read->is_read && gov_load_are_same_texts(PointerGetDatum(read->type), type))
		return;
	caller = MemoryContextSwitchTo(load->context);
	read->type = DatumGetTextPCopy(type);
	MemoryContextSwitchTo(caller);
	read->count = 0;
	scan_defaults(load, rel, type, false);
	nowners = read->count;
	scan_defaults(load, rel, type, true);
	for (int i = nowners; i < read->count; i++)
	{
		for (int o = 0; o < nowners && !read->items[i].is_shadowed; o++)
			read->items[i].is_shadowed = are_for_the_same(&read->items[i], &read->items[o]);
	}
	read->is_read = true;
}

/* ---------------------------------------------------------------- what was used, and what was retired */

static void
keep_count(GovCountRows *counts, Relation rel, HeapTuple tuple)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);

	heap_deform_tuple(heap_copytuple(tuple), desc, values, nulls);
	if (counts->count >= counts->capacity)
	{
		counts->capacity = Max(2 * counts->capacity, GOV_DEFAULTS_AT_FIRST);
		counts->items = counts->items == NULL ? palloc(sizeof(GovCountRow) * counts->capacity) :
			repalloc_huge(counts->items, sizeof(GovCountRow) * counts->capacity);
	}
	counts->items[counts->count++] = (GovCountRow) {
		.default_id = *DatumGetUUIDP(values[GOV_COUNT_DEFAULT_ID]),
		.scope = PointerGetDatum(DatumGetArrayTypeP(values[GOV_COUNT_SCOPE_ENTITY_IDS])),
		.seed = DatumGetInt64(values[GOV_COUNT_SEED]),
		.anchor = nulls[GOV_COUNT_ANCHOR] ? NULL : DatumGetTextPP(values[GOV_COUNT_ANCHOR]),
		.salt = DatumGetInt32(values[GOV_COUNT_SALT]),
		.assignment_id = *DatumGetUUIDP(values[GOV_COUNT_ASSIGNMENT_ID]),
		.counter_id = DatumGetInt64(values[GOV_COUNT_COUNTER_ID]),
		.is_retired = DatumGetBool(values[GOV_COUNT_RETIRED])
	};
}

/* Read the rows of an entity; rel may be NULL. */
void
gov_load_read_counts(const GovLoad *load, Relation rel, Datum id, GovCountRows *counts)
{
	Oid			index = gov_catalog()->default_counts_entity;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	memset(counts, 0, sizeof(*counts));
	if (rel == NULL)
		return;
	ScanKeyEntryInitialize(&keys[0], 0, GOV_COUNT_OWNER_ID + 1, BTEqualStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_TEXTEQ, load->owner);
	ScanKeyEntryInitialize(&keys[1], 0, GOV_COUNT_ENTITY_ID + 1, BTEqualStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_TEXTEQ, id);
	scan = systable_beginscan(rel, index, OidIsValid(index), GetActiveSnapshot(), 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		keep_count(counts, rel, tuple);
	systable_endscan(scan);
}

/* Has some budget that was used this id? */
bool
gov_load_is_name_taken(const pg_uuid_t *id)
{
	Relation	rel = table_open(gov_catalog()->default_counts, AccessShareLock);
	Oid			index = gov_catalog()->default_counts_assignment;
	ScanKeyData key;
	SysScanDesc scan;
	bool		is_taken;

	ScanKeyInit(&key, GOV_COUNT_ASSIGNMENT_ID + 1, BTEqualStrategyNumber, F_UUID_EQ,
				UUIDPGetDatum(id));
	scan = systable_beginscan(rel, index, OidIsValid(index), GetActiveSnapshot(), 1, &key);
	is_taken = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(rel, NoLock);
	return is_taken;
}
