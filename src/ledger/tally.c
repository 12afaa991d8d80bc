/*
 * tally.c
 *		Adds up what ledger rows charge to counters.
 *
 * PURPOSE
 *		A row names every counter that it was charged to.  SQL takes the arrays
 *		of each row apart, sorts and groups; here a row costs a fetch and a
 *		look-up per counter, so that half a million rows are read in less than
 *		half a second, whatever counters they were charged to.
 *
 * LAYOUT
 *		A hash table, one entry per counter and window.  Amounts are exact.
 *
 * LOCKING
 *		AccessShareLock on the ledger, to the end of the transaction.
 *
 * FAILURE
 *		XX001 for a row that the engine cannot have written.  Without the index
 *		that serves a range, which its owner may have dropped, the whole ledger
 *		is read.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "ledger/columns.h"
#include "ledger/tally.h"

static inline uint32
hash_key(GovTallyKey key)
{
	uint64		start = (uint64) key.window_start;

	return hash_combine(murmurhash32((uint32) key.counter_id ^ (uint32) (key.counter_id >> 32)),
						murmurhash32((uint32) start ^ (uint32) (start >> 32)));
}

#define SH_PREFIX tallied
#define SH_ELEMENT_TYPE GovTallied
#define SH_KEY_TYPE GovTallyKey
#define SH_KEY key
#define SH_HASH_KEY(tb, key) hash_key(key)
#define SH_EQUAL(tb, a, b) \
	((a).counter_id == (b).counter_id && (a).window_start == (b).window_start && \
	 (a).owner == (b).owner)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) (a)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct GovTally
{
	int64		last_id;
	tallied_hash *table;
};

/* Make an empty tally. */
GovTally *
gov_tally_create(MemoryContext context)
{
	GovTally   *tally = MemoryContextAlloc(context, sizeof(GovTally));

	tally->last_id = 0;
	tally->table = tallied_create(context, 64, NULL);
	return tally;
}

/*
 * One column of a row's charges: the counters, or the starts or ends of their
 * windows.
 */
static const int64 *
charge_column(const Datum *values, const bool *nulls, int column, int *count)
{
	ArrayType  *array = nulls[column] ? NULL : DatumGetArrayTypeP(values[column]);

	if (array == NULL || ARR_HASNULL(array) || ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("charges of event " INT64_FORMAT " are malformed",
						DatumGetInt64(values[GOV_EVENT_ID]))));
	*count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	return (const int64 *) ARR_DATA_PTR(array);
}

static GovTallied *
add_charge(GovTally *tally, GovTallyKey key, TimestampTz window_end, GovAmount amount)
{
	bool		found;
	GovTallied *entry = tallied_insert(tally->table, key, &found);

	if (!found)
	{
		entry->amount = 0;
		entry->event_count = 0;
		entry->window_end = window_end;
		entry->is_drawn = false;
	}
	if (!gov_amount_add(entry->amount, amount, &entry->amount))
		gov_error_stored_amount();
	entry->event_count++;
	entry->window_end = Max(entry->window_end, window_end);
	return entry;
}

pg_noreturn static void
raise_malformed_draws(const Datum *values)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("draws of event " INT64_FORMAT " are malformed",
					DatumGetInt64(values[GOV_EVENT_ID]))));
}

/* Add what a row has drawn from grants: pairs of a counter and an amount. */
static void
add_draws(GovTally *tally, const void *owner, const Datum *values, Datum draws)
{
	ArrayType  *array = DatumGetArrayTypeP(draws);
	TimestampTz recorded_at = DatumGetTimestampTz(values[GOV_EVENT_RECORDED_AT]);
	Datum	   *elements;
	int			nelements;

	if (ARR_HASNULL(array) || (ARR_NDIM(array) > 0 && (ARR_NDIM(array) != 2 || ARR_DIMS(array)[1] != 2)))
		raise_malformed_draws(values);
	deconstruct_array(array, NUMERICOID, -1, false, TYPALIGN_INT, &elements, NULL, &nelements);
	for (int i = 0; i < nelements; i += 2)
	{
		GovTallyKey key = {
			DatumGetInt64(DirectFunctionCall1(numeric_int8, elements[i])), DT_NOBEGIN, owner
		};
		GovAmount	amount;

		if (gov_amount_from_sum(DatumGetNumeric(elements[i + 1]), &amount) != GOV_AMOUNT_OK)
			gov_error_stored_amount();
		add_charge(tally, key, amount > 0 ? recorded_at : DT_NOBEGIN, amount)->is_drawn = true;
	}
}

static void
add_row(GovTally *tally, const void *owner, const Datum *values, const bool *nulls)
{
	int			nids;
	int			nstarts;
	int			nends;
	const int64 *ids = charge_column(values, nulls, GOV_EVENT_COUNTER_IDS, &nids);
	const int64 *starts = charge_column(values, nulls, GOV_EVENT_WINDOW_STARTS, &nstarts);
	const int64 *ends = charge_column(values, nulls, GOV_EVENT_WINDOW_ENDS, &nends);
	AttrNumber	draws = gov_catalog()->events_draws;
	GovAmount	amount;

	tally->last_id = Max(tally->last_id, DatumGetInt64(values[GOV_EVENT_ID]));
	if (draws != InvalidAttrNumber && unlikely(!nulls[draws - 1]))
		add_draws(tally, owner, values, values[draws - 1]);
	if (nids == 0)
		return;
	if (nulls[GOV_EVENT_AMOUNT] || nstarts != nids || nends != nids ||
		gov_amount_from_numeric(DatumGetNumeric(values[GOV_EVENT_AMOUNT]),
								&amount) != GOV_AMOUNT_OK)
		gov_error_stored_amount();
	for (int i = 0; i < nids; i++)
	{
		GovTallyKey key = {ids[i], starts[i], owner};

		add_charge(tally, key, ends[i], amount);
	}
}

/* The conditions of a range, and the index that serves them. */
static Oid
range_keys(const GovTallyRange *range, ScanKeyData *keys, int *nkeys)
{
	*nkeys = 0;
	if (range->owner != NULL)
		ScanKeyEntryInitialize(&keys[(*nkeys)++], 0, GOV_EVENT_OWNER_ID + 1,
							   BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID, F_TEXTEQ,
							   PointerGetDatum(cstring_to_text_with_len(range->owner,
																		range->owner_length)));
	ScanKeyInit(&keys[(*nkeys)++], GOV_EVENT_ID + 1, BTGreaterStrategyNumber, F_INT8GT,
				Int64GetDatum(range->after));
	if (range->upto < PG_INT64_MAX)
		ScanKeyInit(&keys[(*nkeys)++], GOV_EVENT_ID + 1, BTLessEqualStrategyNumber, F_INT8LE,
					Int64GetDatum(range->upto));
	return range->owner != NULL ? gov_catalog()->events_owner : gov_catalog()->events_pkey;
}

/*
 * Show a callback a range of rows, in the order of their ids unless the index is
 * missing, until it ends that.
 */
void
gov_tally_scan(const GovTallyRange *range, GovTallyVisit visit, void *state)
{
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext,
													  "governance tally row",
													  ALLOCSET_DEFAULT_SIZES);
	Relation	rel = try_table_open(gov_catalog()->events, AccessShareLock);
	ScanKeyData keys[3];
	int			nkeys;
	Oid			index = range_keys(range, keys, &nkeys);
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		goes_on = true;
	Datum	   *values;
	bool	   *nulls;

	if (rel == NULL)
		gov_error_dropped();
	values = palloc(sizeof(Datum) * RelationGetDescr(rel)->natts);
	nulls = palloc(sizeof(bool) * RelationGetDescr(rel)->natts);
	scan = systable_beginscan(rel, index, OidIsValid(index), range->snapshot, nkeys, keys);
	while (goes_on && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		MemoryContext caller = MemoryContextSwitchTo(row_context);

		CHECK_FOR_INTERRUPTS();
		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		goes_on = visit(values, nulls, state);
		MemoryContextSwitchTo(caller);	/* what the scan keeps outlives the
										 * row */
		MemoryContextReset(row_context);
	}
	systable_endscan(scan);
	table_close(rel, NoLock);
	MemoryContextDelete(row_context);
}

/* A tally that rows are added to, and who is shown them before. */
typedef struct GovAdding
{
	GovTally   *tally;
	GovTallyRow row;
	void	   *state;
} GovAdding;

static bool
add_visited(const Datum *values, const bool *nulls, void *state)
{
	const GovAdding *adding = state;
	const void *owner = NULL;

	if (adding->row != NULL && (owner = adding->row(values, nulls, adding->state)) == NULL)
		return false;
	add_row(adding->tally, owner, values, nulls);
	return true;
}

/*
 * Add the charges of a range of rows.  If a callback is given, it is shown each
 * row before, and may end the scan.
 */
void
gov_tally_add(GovTally *tally, const GovTallyRange *range, GovTallyRow row, void *state)
{
	GovAdding	adding = {tally, row, state};

	gov_tally_scan(range, add_visited, &adding);
}

/* How many entries has the tally, one for each counter and window? */
uint32
gov_tally_count(const GovTally *tally)
{
	return tally->table->members;
}

/* The last event that was added; 0 for none. */
int64
gov_tally_last_id(const GovTally *tally)
{
	return tally->last_id;
}

/* The entry of a counter and window; NULL if nothing was charged to it. */
const GovTallied *
gov_tally_find(const GovTally *tally, int64 counter_id, TimestampTz window_start)
{
	GovTallyKey key = {counter_id, window_start};

	return tallied_lookup(tally->table, key);
}

/*
 * The next entry from a position on, which is 0 at first; NULL after the last.
 */
const GovTallied *
gov_tally_next(const GovTally *tally, uint32 *position)
{
	while (*position < tally->table->size)
	{
		const GovTallied *entry = &tally->table->data[(*position)++];

		if (entry->status == tallied_SH_IN_USE)
			return entry;
	}
	return NULL;
}
