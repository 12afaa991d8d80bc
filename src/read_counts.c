/*
 * read_counts.c
 *		Reads the counts of budgets: usage, the ledger's tail, open holds.
 *
 * PURPOSE
 *		Runs inside a load (load.c), under the same snapshot that the budgets
 *		were read with, and makes a counter for each budget that has none in
 *		memory.
 *
 * STATEMENTS
 *		As in read_catalog.c.  Of the ledger an owner's tail is read (tally.c),
 *		whoever of it is asked for.  The open holds of a budget are found by an
 *		index of their budgets, whose condition is written as no other index has
 *		it, so that no other can serve the statement.
 *
 * OWN CHANGES
 *		A view of those needs counts only of the budgets that nobody else sees;
 *		own.c knows them.
 *
 * HOLDS
 *		Of shared memory every open hold is a part, whatever its time: only the
 *		change of its state ends it, for all at once.  A check that answers
 *		from the tables leaves out those past their time.
 *
 * CLOCK
 *		A counter gets the window of the present time.  Usage in a later one
 *		means that the clock was ahead when it was recorded, or another
 *		machine's was, before a promotion; it counts when that window comes, for
 *		which the counter notes that there is one (clock.c).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "columns.h"
#include "errors.h"
#include "own.h"
#include "read.h"
#include "tail.h"

/* Which of these counters have a budget?  Asked of what others can see. */
static GovQuery visible_query = {
	.sql =
	"select c.n"
	" from unnest($1) with ordinality as c(id, n),"
	"  lateral (select from @gov_assignments a where a.counter_id = c.id offset 0) b"
	" order by c.n",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID}
};

static GovQuery holds_query = {
	.sql =
	"select v.amount, v.assignment_ids from @gov_reservations v"
	" where v.assignment_ids && $1 and v.state >= 'open' and v.state <= 'open'"
	"  and v.owner_id = $2 and v.expires_at > $3",
	.uses_bitmap = true,
	.nargs = 3,
	.argtypes = {UUIDARRAYOID, TEXTOID, TIMESTAMPTZOID}
};

static GovQuery watermark_query = {
	.sql = "select r.watermark from @gov_rollup_state r where r.id = 1"
};

/* A counter to be read. */
typedef struct Wanted
{
	GovSharedCounter *counter;
	const GovBudget *budget;
} Wanted;

/* A column of amounts or sums of them. */
GovAmount
gov_read_amount(uint64 row, int column, bool *isnull)
{
	Datum		value = gov_spi_value(row, column, isnull);
	GovAmount	amount = 0;

	if (!*isnull &&
		gov_amount_from_sum(DatumGetNumeric(value), &amount) != GOV_AMOUNT_OK)
		gov_raise_stored_amount();
	return amount;
}

/* Give a counter its window at the load's time. */
static void
set_window(const GovLoad *load, const GovEntity *entity, const GovBudget *budget,
		   GovSharedCounter *counter)
{
	if (!gov_budget_window(entity, budget, load->now, &counter->window))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("cannot compute the window of budget \"%s\" of entity \"%s\"",
						gov_shown(gov_entity_string(entity, budget->name)),
						gov_shown(gov_entity_id(entity)->bytes)),
				 errdetail("Its time zone is \"%s\".",
						   gov_shown(gov_budget_timezone(entity, budget))),
				 errhint("Change the cadence, anchor_at or timezone of that budget.")));
}

/* The counters to be read. */
typedef struct Reading
{
	GovLoad    *load;
	int			count;
	Wanted	   *list;
} Reading;

/* Begin a counter of a budget; must its counts be read? */
static bool
begin_counter(GovLoad *load, int number, uint32 b)
{
	GovLoaded  *item = &load->items[number];
	const GovBudget *budget = &item->entity->budgets[b];
	GovSharedCounter *counter = &item->counters[b];
	GovKept		kept = GOV_KEPT_NOT;

	counter->id = budget->counter_id;
	counter->window.start = counter->window.end = DT_NOBEGIN;
	if (load->claims != NULL)
		kept = gov_claim_has_counter(&load->claims[number], budget, b, load->now);
	if (kept == GOV_KEPT)
		return false;			/* renew_counter in claim.c sees no later window */
	load->renews |= kept == GOV_KEPT_TO_RENEW;
	if (item->is_own != NULL && !item->is_own[b])
		return false;			/* shared memory has it */
	set_window(load, item->entity, budget, counter);
	if (item->is_own == NULL)
		return true;
	gov_own_counts(counter, &budget->id);
	return false;
}

static void
list_counters(Reading *reading)
{
	GovLoad    *load = reading->load;
	int			most = 0;

	for (int i = 0; i < load->count; i++)
		most += load->items[i].entity ? load->items[i].entity->nbudgets : 0;
	reading->list = palloc(sizeof(Wanted) * Max(most, 1));
	load->renews = false;

	for (int i = 0; i < load->count; i++)
	{
		GovLoaded  *item = &load->items[i];
		uint32		nbudgets = item->entity ? item->entity->nbudgets : 0;

		item->counters = MemoryContextAllocZero(load->context,
												sizeof(GovSharedCounter) * Max(nbudgets, 1));
		for (uint32 b = 0; b < nbudgets; b++)
		{
			if (begin_counter(load, i, b))
				reading->list[reading->count++] = (Wanted) {&item->counters[b],
					&item->entity->budgets[b]};
		}
	}
}

static Datum
budget_array(const Reading *reading)
{
	Datum	   *elements = palloc(sizeof(Datum) * reading->count);

	for (int i = 0; i < reading->count; i++)
		elements[i] = UUIDPGetDatum(&reading->list[i].budget->id);
	return PointerGetDatum(construct_array(elements, reading->count, UUIDOID, UUID_LEN, false,
										   TYPALIGN_CHAR));
}

/* Count usage that is of the counter's window; note whether there is a later one. */
static void
count_usage(GovSharedCounter *counter, TimestampTz start, GovAmount amount)
{
	if (start == counter->window.start &&
		!gov_amount_add(counter->total, amount, &counter->total))
		gov_raise_stored_amount();
	if (start > counter->window.start)
		counter->has_later = true;
}

/* Read the usage of a counter in its window, and in later ones. */
static void
read_usage_of(Relation rel, const GovLoad *load, GovSharedCounter *counter)
{
	Oid			index = gov_catalog()->usage_pkey;
	ScanKeyData keys[3];
	SysScanDesc scan;
	HeapTuple	row;

	ScanKeyInit(&keys[0], GOV_USAGE_COUNTER_ID + 1, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(counter->id));
	ScanKeyInit(&keys[1], GOV_USAGE_WINDOW_START + 1, BTGreaterEqualStrategyNumber,
				F_TIMESTAMPTZ_GE, TimestampTzGetDatum(counter->window.start));
	scan = systable_beginscan(rel, index, OidIsValid(index), GetActiveSnapshot(), 2, keys);
	while (HeapTupleIsValid(row = systable_getnext(scan)))
	{
		TupleDesc	desc = RelationGetDescr(rel);
		GovAmount	amount = 0;
		bool		isnull;
		Datum		start = heap_getattr(row, GOV_USAGE_WINDOW_START + 1, desc, &isnull);
		Datum		sum = heap_getattr(row, GOV_USAGE_AMOUNT + 1, desc, &isnull);
		Datum		owner = heap_getattr(row, GOV_USAGE_OWNER_ID + 1, desc, &isnull);

		if (!DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, owner, load->owner)))
			continue;
		if (gov_amount_from_sum(DatumGetNumeric(sum), &amount) != GOV_AMOUNT_OK)
			gov_raise_stored_amount();
		count_usage(counter, DatumGetTimestampTz(start), amount);
	}
	systable_endscan(scan);
}

static void
read_usage(const Reading *reading)
{
	Relation	rel = try_table_open(gov_catalog()->usage, AccessShareLock);

	if (rel == NULL)
		gov_raise_dropped();
	for (int i = 0; i < reading->count; i++)
		read_usage_of(rel, reading->load, reading->list[i].counter);
	table_close(rel, NoLock);
}

static int
compare_budgets(const void *left, const void *right)
{
	return memcmp(((const Wanted *) left)->budget->id.data,
				  ((const Wanted *) right)->budget->id.data, UUID_LEN);
}

/* Count a hold on those of its budgets that are wanted, sorted by budget. */
static void
count_hold(TupleTableSlot *row, void *state)
{
	const Reading *reading = state;
	GovAmount	amount = 0;
	Datum	   *ids;
	int			nids;

	if (gov_amount_from_sum(DatumGetNumeric(row->tts_values[0]), &amount) != GOV_AMOUNT_OK)
		gov_raise_stored_amount();
	deconstruct_array(DatumGetArrayTypeP(row->tts_values[1]), UUIDOID, UUID_LEN, false,
					  TYPALIGN_CHAR, &ids, NULL, &nids);
	for (int i = 0; i < nids; i++)
	{
		GovBudget	key = {.id = *DatumGetUUIDP(ids[i])};
		Wanted		sought = {.budget = &key};
		Wanted	   *found = bsearch(&sought, reading->list, reading->count, sizeof(Wanted),
									compare_budgets);

		if (found != NULL &&
			!gov_amount_add(found->counter->held, amount, &found->counter->held))
			gov_raise_stored_amount();
	}
	reading->load->holds_met = true;
}

/* The list is sorted by budget afterwards. */
static void
read_holds(Reading *reading)
{
	GovLoad    *load = reading->load;
	Datum		args[3] = {budget_array(reading), load->owner};

	args[2] = TimestampTzGetDatum(load->counts_overdue ? DT_NOBEGIN : load->now);
	qsort(reading->list, reading->count, sizeof(Wanted), compare_budgets);
	gov_spi_each(&holds_query, args, NULL, count_hold, reading);
}

/* Up to which event the ledger is rolled up, for the active snapshot. */
int64
gov_read_watermark(void)
{
	int64		watermark = 0;
	bool		isnull;

	if (gov_spi_select(&watermark_query, NULL, NULL) > 0)
		watermark = DatumGetInt64(gov_spi_value(0, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return watermark;
}

/* The charges of an owner's tail, as the active snapshot has it. */
GovTally *
gov_read_tail(const GovOwnerKey *key, int64 watermark, MemoryContext context)
{
	GovTally   *tail = gov_tally_create(context);
	GovTallyRange range = {
		.owner = key->owner,
		.owner_length = key->owner_length,
		.after = watermark,
		.upto = PG_INT64_MAX,
		.snapshot = GetActiveSnapshot()
	};

	gov_tally_add(tail, &range, NULL, NULL);
	return tail;
}

static int
compare_counters(const void *left, const void *right)
{
	int64		a = ((const Wanted *) left)->counter->id;
	int64		b = ((const Wanted *) right)->counter->id;

	return (a > b) - (a < b);
}

/* Count what a tail has of the counters. */
static void
add_tail(const Reading *reading, const GovTally *tail)
{
	Wanted	   *sorted = palloc(sizeof(Wanted) * reading->count);
	uint32		position = 0;
	const GovTallied *entry;

	memcpy(sorted, reading->list, sizeof(Wanted) * reading->count);
	qsort(sorted, reading->count, sizeof(Wanted), compare_counters);
	while ((entry = gov_tally_next(tail, &position)) != NULL)
	{
		GovSharedCounter key = {.id = entry->key.counter_id};
		Wanted		sought = {.counter = &key};
		Wanted	   *found = bsearch(&sought, sorted, reading->count, sizeof(Wanted),
									compare_counters);

		if (found == NULL)
			continue;
		count_usage(found->counter, entry->key.window_start, entry->amount);
		found->counter->last_event = gov_tally_last_id(tail);
	}
	pfree(sorted);
}

/*
 * Count the tail, unless it is known that the counters have nothing in it; see
 * tail.c.  What was read of it before the claims serves if nothing was lost since:
 * then counters that have more by now are in memory.  And those in memory that
 * the tables know more of are not what is known of.
 */
static void
read_tail(const Reading *reading)
{
	const GovLoad *load = reading->load;
	bool		is_shared = load->claims != NULL;
	int64		watermark;

	if (is_shared && !load->renews && gov_tail_is_known(load->key, load->rolled_up))
		return;
	watermark = gov_read_watermark();
	if (is_shared && load->tail != NULL && load->tail->watermark == watermark &&
		gov_tail_is_unchanged(load->key, load->tail->losses))
		add_tail(reading, load->tail->tally);
	else
		add_tail(reading, gov_read_tail(load->key, watermark, CurrentMemoryContext));
}

/* Fill in the counters of each item. */
void
gov_read_counters(GovLoad *load)
{
	Reading		reading = {.load = load};

	list_counters(&reading);
	if (reading.count == 0)
		return;
	read_usage(&reading);
	read_tail(&reading);
	read_holds(&reading);
	for (int i = 0; i < reading.count; i++)
		reading.list[i].counter->settled = reading.list[i].counter->total;
}

static Datum
counter_id_array(const GovLoad *load)
{
	Datum	   *ids;
	int			count = 0;

	for (int i = 0; i < load->count; i++)
		count += load->items[i].entity ? load->items[i].entity->nbudgets : 0;
	ids = palloc(sizeof(Datum) * Max(count, 1));
	count = 0;
	for (int i = 0; i < load->count; i++)
	{
		const GovEntity *entity = load->items[i].entity;

		for (uint32 b = 0; b < (entity ? entity->nbudgets : 0); b++)
			ids[count++] = Int64GetDatum(entity->budgets[b].counter_id);
	}
	return PointerGetDatum(construct_array(ids, count, INT8OID, 8, FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

/*
 * Find the budgets that this transaction has made, or given a new counter: they
 * are invisible to the same snapshot without our own rows.
 */
void
gov_read_own_budgets(GovLoad *load)
{
	Datum		args[1] = {counter_id_array(load)};
	uint64		nvisible = gov_spi_select(&visible_query, args, NULL);
	int64		n = 0;
	uint64		row = 0;

	for (int i = 0; i < load->count; i++)
	{
		GovLoaded  *item = &load->items[i];
		uint32		nbudgets = item->entity ? item->entity->nbudgets : 0;

		item->is_own = MemoryContextAlloc(load->context, sizeof(bool) * Max(nbudgets, 1));
		for (uint32 b = 0; b < nbudgets; b++)
		{
			bool		isnull;

			n++;
			item->is_own[b] = row >= nvisible ||
				DatumGetInt64(gov_spi_value(row, 1, &isnull)) != n;
			row += item->is_own[b] ? 0 : 1;
		}
	}
	SPI_freetuptable(SPI_tuptable);
}
