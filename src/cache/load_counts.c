/*
 * load_counts.c
 *		Reads the counts of budgets: usage, the ledger's tail, open holds.
 *
 * PURPOSE
 *		Runs inside a load (load.c), under the last of its snapshots, and makes a
 *		counter for each budget that has none in memory.
 *
 * READING
 *		Below SPI, as in load_catalog.c.  Rolled-up usage is read by load_usage.c,
 *		open holds by load_holds.c.  Of the ledger an owner's tail is read
 *		(tally.c), whoever of it is asked for.
 *
 * OWN CHANGES
 *		A view of those needs counts only of the budgets that nobody else sees;
 *		own_counts.c knows what was charged to them, and gov_usage what was
 *		recounted.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "base/spi.h"
#include "cache/load_steps.h"
#include "cache/own_counts.h"
#include "cache/ring.h"
#include "cache/tail.h"
#include "ledger/columns.h"

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

/* The same, where some budgets count what pools draw from grants, and owe. */
static GovQuery visible_pools_query = {
	.sql =
	"select c.n"
	" from unnest($1) with ordinality as c(id, n),"
	"  lateral (select from @gov_assignments a where a.counter_id = c.id"
	"           union all"
	"           select from @gov_assignments a where a.debt_counter_id = c.id"
	"           union all"
	"           select from @gov_grants g where g.counter_id = c.id"
	"           limit 1) b"
	" order by c.n",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID}
};

/* A stored amount, or a sum of amounts. */
GovAmount
gov_load_sum(Datum numeric)
{
	GovAmount	amount = 0;

	if (gov_amount_from_sum(DatumGetNumeric(numeric), &amount) != GOV_AMOUNT_OK)
		gov_error_stored_amount();
	return amount;
}

/* A stored amount in a column of SPI's result; 0 for null. */
GovAmount
gov_load_amount(uint64 row, int column, bool *isnull)
{
	Datum		value = gov_spi_value(row, column, isnull);

	return *isnull ? 0 : gov_load_sum(value);
}

/*
 * Give a counter its window at the load's time; none where the rows must say
 * whether one was opened.
 */
static void
set_window(const GovLoad *load, const GovEntity *entity, const GovBudget *budget,
		   GovSharedCounter *counter)
{
	if (gov_budget_opens(budget))
		counter->window = gov_counter_no_window();
	else if (!gov_entity_budget_window(entity, budget, load->now, &counter->window))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("cannot compute the window of budget \"%s\" of entity \"%s\"",
						gov_error_shown(gov_entity_string(entity, budget->name)),
						gov_error_shown(gov_entity_id(entity)->bytes)),
				 errdetail("Its time zone is \"%s\".",
						   gov_error_shown(gov_budget_timezone(entity, budget))),
				 errhint("Change the cadence, anchor_at or timezone of that budget.")));
}

/*
 * Give a counter the window that this transaction alone has opened, if it is the last
 * one, and open still.
 */
static void
set_own_window(const GovLoad *load, const GovEntity *entity, const GovBudget *budget,
			   GovSharedCounter *counter)
{
	TimestampTz start;
	GovWindow	window;

	if (!gov_budget_opens(budget) || !gov_own_last_window(counter->id, &start) ||
		start <= counter->window.start ||
		!gov_entity_opened_window(entity, budget, start, &window) || window.end <= load->now)
		return;
	counter->window = window;
	counter->total = 0;
}

/* Begin a counter of a budget; must its counts be read? */
static bool
begin_counter(GovLoad *load, int number, uint32 b)
{
	GovLoaded  *item = &load->items[number];
	const GovBudget *budget = &item->entity->budgets[b];
	GovSharedCounter *counter = &item->counters[b];
	const GovInherited *inherited = gov_budget_inherited(item->entity, budget);
	const GovCarry *carry = gov_budget_carry(item->entity, budget);
	GovKept		kept = GOV_KEPT_NOT;
	TimestampTz kept_start;

	if (unlikely(gov_budget_is_before(budget)))
		return false;			/* gov_load_carried() makes it */
	counter->id = budget->counter_id;
	counter->wants_row = inherited != NULL && inherited->wants_row;
	counter->stays = !gov_budget_opens(budget);
	counter->window.start = counter->window.end = DT_NOBEGIN;
	if (load->claims != NULL)
		kept = gov_node_claim_has_counter(&load->claims[number], item->entity, b, load->now,
										  carry == NULL ? DT_NOBEGIN : carry->since, &kept_start);
	if (unlikely(carry != NULL) && kept == GOV_KEPT)
	{
		item->counters[carry->before].is_before = true;
		item->counters[carry->before].window.end = kept_start;
	}
	if (kept == GOV_KEPT)
		return false;			/* the loaded window is before every other: it
								 * is not taken for a later one */
	load->renews |= kept == GOV_KEPT_TO_RENEW;
	if (item->is_own != NULL && !item->is_own[b])
		return false;			/* shared memory has it */
	set_window(load, item->entity, budget, counter);
	if (budget->counts == GOV_COUNTS_DEBT)
		counter->window.end = GOV_NEVER_OWED;
	Assert(counter->window.start < counter->window.end);
	if (item->is_own == NULL || inherited != NULL)
		return true;			/* one that has come back may have been used
								 * by others, see add_own() */
	set_own_window(load, item->entity, budget, counter);
	gov_own_counts(counter, &budget->id);
	if (budget->counts == GOV_COUNTS_DEBT && counter->total > 0)
		counter->window.end = load->now;
	return false;
}

/* Counters for the budgets of an entity, all zero. */
static GovSharedCounter *
make_counters(const GovLoad *load, const GovEntity *entity)
{
	Size		size = entity == NULL ? 0 : gov_ring_array_size(entity);
	GovSharedCounter *counters = MemoryContextAllocZero(load->context, Max(size, 1));

	if (entity != NULL)
		gov_ring_lay_out(entity, counters);
	return counters;
}

static void
list_counters(GovReading *reading)
{
	GovLoad    *load = reading->load;
	int			most = 0;

	for (int i = 0; i < load->count; i++)
		most += load->items[i].entity ? load->items[i].entity->nbudgets : 0;
	reading->list = palloc(sizeof(GovWanted) * Max(most, 1));
	load->renews = false;

	for (int i = 0; i < load->count; i++)
	{
		GovLoaded  *item = &load->items[i];
		uint32		nbudgets = item->entity ? item->entity->nbudgets : 0;

		item->counters = make_counters(load, item->entity);
		for (uint32 b = 0; b < nbudgets; b++)
		{
			if (begin_counter(load, i, b))
				reading->list[reading->count++] = (GovWanted) {&item->counters[b], &item->entity->budgets[b]};
		}
	}
}

/* Up to which event the ledger is rolled up, for the active snapshot. */
int64
gov_load_watermark(void)
{
	Oid			index = gov_catalog()->rollup_state_pkey;
	Relation	rel = try_table_open(gov_catalog()->rollup_state, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;
	int64		watermark = 0;
	bool		isnull;

	if (rel == NULL)
		gov_error_dropped();
	ScanKeyInit(&key, GOV_STATE_ID + 1, BTEqualStrategyNumber, F_INT2EQ, Int16GetDatum(1));
	scan = systable_beginscan(rel, index, OidIsValid(index), GetActiveSnapshot(), 1, &key);
	row = systable_getnext(scan);
	if (HeapTupleIsValid(row))
		watermark = DatumGetInt64(heap_getattr(row, GOV_STATE_WATERMARK + 1,
											   RelationGetDescr(rel), &isnull));
	systable_endscan(scan);
	table_close(rel, NoLock);
	return watermark;
}

/* The charges of an owner's tail, as the active snapshot has it. */
GovTally *
gov_load_tail(const GovOwnerKey *key, int64 watermark, MemoryContext context)
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
	int64		a = ((const GovWanted *) left)->counter->id;
	int64		b = ((const GovWanted *) right)->counter->id;

	return (a > b) - (a < b);
}

/* Count what a tail has of the counters. */
static void
add_tail(const GovReading *reading, const GovTally *tail)
{
	GovWanted  *sorted = palloc(sizeof(GovWanted) * reading->count);
	uint32		position = 0;
	const GovTallied *entry;

	memcpy(sorted, reading->list, sizeof(GovWanted) * reading->count);
	qsort(sorted, reading->count, sizeof(GovWanted), compare_counters);
	while ((entry = gov_tally_next(tail, &position)) != NULL)
	{
		GovSharedCounter key = {.id = entry->key.counter_id};
		GovWanted	sought = {.counter = &key};
		GovWanted  *found = bsearch(&sought, sorted, reading->count, sizeof(GovWanted),
									compare_counters);
		GovWindow	window;

		if (found == NULL)
			continue;
		window = (GovWindow) {entry->key.window_start, entry->window_end};
		gov_load_count_usage(reading->load, found, &window, entry->amount);
		if (found->budget->counts == GOV_COUNTS_DEBT)
			found->counter->window.end = Max(found->counter->window.end, entry->window_end);
		found->counter->last_event = gov_tally_last_id(tail);
	}
	pfree(sorted);
}

/*
 * Count the tail, unless it is known that the counters have nothing in it; see
 * tail.c.  What was read of it before the claims serves if nothing was lost
 * since: then counters that have more rows by now are in memory.  What is
 * known says nothing of counters that are in memory and must be read again.
 */
static void
read_tail(const GovReading *reading)
{
	const GovLoad *load = reading->load;
	bool		is_shared = load->claims != NULL;
	int64		watermark;

	if (is_shared && !load->renews && gov_tail_is_known(load->key, load->rolled_up))
		return;
	watermark = gov_load_watermark();
	if (is_shared && load->tail != NULL && load->tail->watermark == watermark &&
		gov_tail_is_unchanged(load->key, load->tail->losses))
		add_tail(reading, load->tail->tally);
	else
		add_tail(reading, gov_load_tail(load->key, watermark, CurrentMemoryContext));
}

/* Add what this transaction has recounted of budgets that nobody else sees. */
static void
read_recounted(GovLoad *load)
{
	GovReading	reading = {.load = load};

	for (int i = 0; i < load->count; i++)
	{
		GovLoaded  *item = &load->items[i];
		uint32		nbudgets = item->entity && item->is_own ? item->entity->nbudgets : 0;

		reading.list = palloc(sizeof(GovWanted) * Max(nbudgets, 1));
		reading.count = 0;
		for (uint32 b = 0; b < nbudgets; b++)
		{
			if (item->is_own[b] &&
				(gov_budget_inherited(item->entity, &item->entity->budgets[b]) == NULL ||
				 gov_own_was_recounted(item->counters[b].id)))
				reading.list[reading.count++] = (GovWanted) {&item->counters[b], &item->entity->budgets[b]};
		}
		gov_load_usage(&reading);
	}
}

/*
 * Add what this transaction has charged to budgets by defaults that only it sees,
 * which may have been others' before.
 */
static void
add_own(const GovLoad *load)
{
	for (int i = 0; i < load->count; i++)
	{
		GovLoaded  *item = &load->items[i];

		for (uint32 b = 0; b < (item->entity ? item->entity->nbudgets : 0); b++)
		{
			const GovBudget *budget = &item->entity->budgets[b];
			GovSharedCounter *counter = &item->counters[b];

			if (!item->is_own[b] || gov_budget_inherited(item->entity, budget) == NULL)
				continue;
			set_own_window(load, item->entity, budget, counter);
			gov_own_counts(counter, &budget->id);
		}
	}
}

/* Fill in the counters of each item. */
void
gov_load_counters(GovLoad *load)
{
	GovReading	reading = {.load = load};

	list_counters(&reading);
	if (unlikely(load->carries))
		gov_load_carried(load);
	if (unlikely(load->has_own && gov_own_has_recounted()))
	{
		gov_spi_set_snapshot(GOV_SNAPSHOT_LATEST);	/* with its own rows */
		read_recounted(load);
		gov_spi_set_snapshot(GOV_SNAPSHOT_COMMITTED);
	}
	if (reading.count == 0)
		return;
	gov_load_usage(&reading);
	read_tail(&reading);
	gov_load_holds(&reading);
	for (int i = 0; i < reading.count; i++)
		reading.list[i].counter->booked = reading.list[i].counter->total;
	if (load->has_own)
		add_own(load);
}

/*
 * Give an entity that nobody has yet its counters: they have what this transaction
 * has charged to them.
 */
void
gov_load_own_counters(const GovLoad *load, GovLoaded *item)
{
	const GovEntity *entity = item->entity;
	Size		count = Max(entity->nbudgets, 1);

	item->counters = make_counters(load, entity);
	item->is_own = MemoryContextAlloc(load->context, sizeof(bool) * count);
	for (uint32 b = 0; b < entity->nbudgets; b++)
	{
		const GovBudget *budget = &entity->budgets[b];
		GovSharedCounter *counter = &item->counters[b];

		counter->id = budget->counter_id;
		counter->wants_row = gov_budget_inherited(entity, budget)->wants_row;
		counter->stays = !gov_budget_opens(budget);
		set_window(load, entity, budget, counter);
		set_own_window(load, entity, budget, counter);
		gov_own_counts(counter, &budget->id);
		item->is_own[b] = true;
	}
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

/* Ask which of the budgets' counters are visible in gov_assignments. */
static void
find_own_assignments(GovLoad *load)
{
	Datum		args[1] = {counter_id_array(load)};
	GovSpi		spi;
	uint64		nvisible;
	int64		n = 0;
	uint64		row = 0;

	gov_spi_begin(&spi);
	nvisible = gov_spi_select(load->has_pools ? &visible_pools_query : &visible_query, args, NULL);

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
			/* where the others do not carry over, shared memory has none */
			item->is_own[b] |= gov_budget_is_before(&item->entity->budgets[b]);
		}
	}
	Assert(row == nvisible);
	gov_spi_end(&spi);
}

static bool
has_counter(const GovEntity *entity, int64 counter_id)
{
	for (uint32 b = 0; b < (entity ? entity->nbudgets : 0); b++)
	{
		if (entity->budgets[b].counter_id == counter_id)
			return true;
	}
	return false;
}

/*
 * A budget by a default has no row to be seen or not: others have it if the
 * entity has it in what they see.
 */
static void
find_own_inherited(GovLoad *load)
{
	GovLoad		others = *load;

	others.policy.is_read = others.defaults.is_read = false;
	others.items = palloc(sizeof(GovLoaded) * load->count);
	memcpy(others.items, load->items, sizeof(GovLoaded) * load->count);
	gov_load_entities(&others, 0);
	for (int i = 0; i < load->count; i++)
	{
		const GovEntity *entity = load->items[i].entity;

		for (uint32 b = 0; b < (entity ? entity->nbudgets : 0); b++)
		{
			if (entity->budgets[b].counter_id < 0 && !gov_budget_is_before(&entity->budgets[b]))
				load->items[i].is_own[b] = !has_counter(others.items[i].entity,
														entity->budgets[b].counter_id);
		}
	}
	pfree(others.items);
}

/*
 * Find the budgets that this transaction has made, or given a new counter: they
 * are invisible to the same snapshot without our own rows, which is active.
 */
void
gov_load_own_budgets(GovLoad *load)
{
	find_own_assignments(load);
	if (gov_load_has_defaults())
		find_own_inherited(load);
}
