/*
 * load_pools.c
 *		Reads the grants of pools, for a load.
 *
 * PURPOSE
 *		What a pool may use is what its grants grant.  A load reads those that are
 *		not closed: that may be drawn from now or later, or have ended so lately
 *		that they may have to pay a debt.  Where an entity has no pool nothing is
 *		read.
 *
 * COUNTS
 *		What was drawn from a grant is counted as the usage of a budget is: there
 *		is a row like one of gov_assignments for each grant, and one for what the
 *		pool owes, with a counter of its own, behind the rows of budgets.
 *
 * READING
 *		As in load_catalog.c.
 *
 * INVARIANTS
 *		A grant that is made, changed or closed makes its entity's node stale, as
 *		any row of the catalog does.
 *
 * FAILURE
 *		Where the schema's owner has dropped the index the table is read through.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "cache/load_steps.h"
#include "ledger/columns.h"

#define GOV_GRANTS_AT_FIRST		8

/* A grant, as its row has it. */
typedef struct GovGrantRow
{
	pg_uuid_t  *id;
	int32		priority;
	TimestampTz expires_at;		/* DT_NOEND: never */
	GovGrant	grant;
} GovGrantRow;

typedef struct GovGrantRows
{
	int			count;
	int			capacity;
	GovGrantRow *items;
} GovGrantRows;

/* Is a budget a pool? */
static bool
is_pool(const GovRow *budget)
{
	AttrNumber	column = gov_catalog()->assignments_is_pool;

	return AttributeNumberIsValid(column) && !budget->nulls[column - 1] &&
		DatumGetBool(budget->values[column - 1]);
}

/* A time, or when there is none the end of all. */
static TimestampTz
time_or_never(const Datum *values, const bool *nulls, int column)
{
	return nulls[column] ? DT_NOEND : DatumGetTimestampTz(values[column]);
}

static void
keep_grant(Relation rel, HeapTuple tuple, GovGrantRows *rows)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	GovGrantRow *row;

	heap_deform_tuple(heap_copytuple(tuple), desc, values, nulls);
	if (!nulls[GOV_GRANT_CLOSED_AT])
		return;
	if (rows->count >= rows->capacity)
	{
		rows->capacity = Max(2 * rows->capacity, GOV_GRANTS_AT_FIRST);
		rows->items = rows->items == NULL ? palloc(sizeof(GovGrantRow) * rows->capacity) :
			repalloc_huge(rows->items, sizeof(GovGrantRow) * rows->capacity);
	}
	row = &rows->items[rows->count++];
	memset(row, 0, sizeof(*row));
	row->id = DatumGetUUIDP(values[GOV_GRANT_ID]);
	row->priority = DatumGetInt32(values[GOV_GRANT_PRIORITY]);
	row->expires_at = time_or_never(values, nulls, GOV_GRANT_EXPIRES_AT);
	row->grant.amount = gov_load_sum(values[GOV_GRANT_AMOUNT]);
	row->grant.counter_id = DatumGetInt64(values[GOV_GRANT_COUNTER_ID]);
	row->grant.from = DatumGetTimestampTz(values[GOV_GRANT_EFFECTIVE_AT]);
	row->grant.until = Min(row->expires_at, time_or_never(values, nulls, GOV_GRANT_VOIDED_AT));
}

/* Read the grants of a pool that are not closed. */
static void
read_grants(Datum pool, GovGrantRows *rows)
{
	Oid			index = gov_catalog()->grants_open;
	Relation	rel = try_table_open(gov_catalog()->grants, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (rel == NULL)
		gov_error_dropped();
	ScanKeyInit(&key, GOV_GRANT_ASSIGNMENT_ID + 1, BTEqualStrategyNumber, F_UUID_EQ, pool);
	scan = systable_beginscan(rel, index, OidIsValid(index), GetActiveSnapshot(), 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		keep_grant(rel, tuple, rows);
	systable_endscan(scan);
	table_close(rel, NoLock);
}

/* The order in which uses draw. */
static int
compare_burns(const void *left, const void *right)
{
	const GovGrantRow *a = left;
	const GovGrantRow *b = right;

	if (a->priority != b->priority)
		return a->priority < b->priority ? -1 : 1;
	if (a->expires_at != b->expires_at)
		return a->expires_at < b->expires_at ? -1 : 1;
	if (a->grant.from != b->grant.from)
		return a->grant.from < b->grant.from ? -1 : 1;
	return memcmp(a->id->data, b->id->data, UUID_LEN);
}

/* Add a row that counts something else, like one of gov_assignments; returns its place. */
uint32
gov_load_add_count(GovEntityRows *rows, TupleDesc desc, pg_uuid_t *id, int64 counter_id, GovCountKind counts)
{
	Datum	   *values = palloc0((sizeof(Datum) + sizeof(bool)) * desc->natts);
	bool	   *nulls = (bool *) (values + desc->natts);

	memset(nulls, true, sizeof(bool) * desc->natts);
	values[GOV_ASSIGNMENT_ID] = UUIDPGetDatum(id);
	values[GOV_ASSIGNMENT_CAPABILITY_ID] = CStringGetTextDatum(GOV_GRANTS_CAPABILITY);
	values[GOV_ASSIGNMENT_SCOPE_ENTITY_IDS] = PointerGetDatum(construct_empty_array(TEXTOID));
	values[GOV_ASSIGNMENT_NAME] = CStringGetTextDatum("");
	values[GOV_ASSIGNMENT_TIMEZONE] = CStringGetTextDatum("UTC");
	values[GOV_ASSIGNMENT_ENFORCEMENT] = CStringGetTextDatum("soft");
	values[GOV_ASSIGNMENT_COUNTER_ID] = Int64GetDatum(counter_id);
	nulls[GOV_ASSIGNMENT_ID] = nulls[GOV_ASSIGNMENT_CAPABILITY_ID] =
		nulls[GOV_ASSIGNMENT_SCOPE_ENTITY_IDS] = nulls[GOV_ASSIGNMENT_NAME] =
		nulls[GOV_ASSIGNMENT_TIMEZONE] = nulls[GOV_ASSIGNMENT_ENFORCEMENT] =
		nulls[GOV_ASSIGNMENT_COUNTER_ID] = false;
	gov_load_append_row(rows, &(GovRow) {.values = values, .nulls = nulls, .counts = counts});
	return rows->nbudgets - 1;
}

/* Make the pool of a row, whose grants were read. */
static GovPool *
make_pool(GovEntityRows *rows, TupleDesc desc, uint32 budget, const GovGrantRows *grants)
{
	Size		size = offsetof(GovPool, grants) + sizeof(GovGrant) * grants->count;
	GovPool    *pool = palloc0(size);
	GovRow		row = rows->budgets[budget];
	pg_uuid_t  *debt_id = palloc(sizeof(pg_uuid_t));

	pool->ngrants = grants->count;
	pool->debt_counter_id = DatumGetInt64(row.values[gov_catalog()->assignments_debt_counter_id - 1]);
	for (int i = 0; i < grants->count; i++)
	{
		pool->grants[i] = grants->items[i].grant;
		pool->grants[i].count = gov_load_add_count(rows, desc, grants->items[i].id,
										  pool->grants[i].counter_id, GOV_COUNTS_DRAWN);
	}
	*debt_id = gov_pool_debt_id(DatumGetUUIDP(row.values[GOV_ASSIGNMENT_ID]));
	pool->debt = gov_load_add_count(rows, desc, debt_id, pool->debt_counter_id, GOV_COUNTS_DEBT);
	gov_pool_set_payers(pool);
	return pool;
}

/* Read the grants of an entity's pools. */
void
gov_load_pools(GovLoad *load, TupleDesc desc, GovEntityRows *rows)
{
	uint32		nbudgets = rows->nbudgets;

	for (uint32 i = 0; i < nbudgets; i++)
	{
		GovGrantRows grants = {0};
		GovPool    *pool;

		if (likely(!is_pool(&rows->budgets[i])))
			continue;
		load->has_pools = true;
		read_grants(rows->budgets[i].values[GOV_ASSIGNMENT_ID], &grants);
		if (grants.count > 1)
			qsort(grants.items, grants.count, sizeof(GovGrantRow), compare_burns);
		pool = make_pool(rows, desc, i, &grants);
		rows->budgets[i].pool = pool;	/* the array may have moved */
	}
}

/* How far a pool may go past what is granted. */
GovAmount
gov_load_debt_limit(const GovRow *budget)
{
	return gov_load_sum(budget->values[gov_catalog()->assignments_debt_limit - 1]);
}
