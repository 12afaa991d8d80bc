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
 *		As in read_catalog.c.  Of the ledger, an owner's tail is read through
 *		the index on owner and id, which alone can serve a comparison of both,
 *		whatever share of the ledger is the owner's; of the holds, all open ones
 *		of the owner, likewise.
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
 *		which the counter notes when the last such window starts (clock.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "read.h"

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

static GovQuery counters_query = {
	.sql =
	"with wanted as materialized ("
	" select w.id, w.window_start, w.budget_id, w.n"
	" from unnest($1, $2, $4) with ordinality as w(id, window_start, budget_id, n)),"
	" tail as materialized ("
	" select x.counter_id, x.window_start, sum(e.amount) as amount"
	" from (select v.amount, v.counter_ids, v.window_starts"
	"       from @gov_events v"
	"       where v.owner_id <= $3 and (v.owner_id, v.id) >"
	"        ($3, coalesce((select r.watermark from @gov_rollup_state r), 0)) offset 0) e,"
	"  lateral unnest(e.counter_ids, e.window_starts) as x(counter_id, window_start)"
	" where x.counter_id in (select w.id from wanted w)"
	" group by 1, 2),"
	" holds as materialized ("
	" select x.budget_id, sum(r.amount) as amount"
	" from (select v.amount, v.assignment_ids"
	"       from @gov_reservations v"
	"       where v.owner_id <= $3 and v.state = 'open'"
	"        and (v.owner_id, v.expires_at) > ($3, $5) offset 0) r,"
	"  lateral unnest(r.assignment_ids) as x(budget_id)"
	" where x.budget_id in (select w.budget_id from wanted w)"
	" group by 1)"
	"select c.n, coalesce(u.amount, 0) + coalesce(t.amount, 0), coalesce(h.amount, 0),"
	" greatest(l.window_start, k.window_start)"
	" from wanted c"
	" left join lateral (select g.owner_id, g.amount from @gov_usage g"
	"  where g.counter_id = c.id and g.window_start = c.window_start offset 0) u"
	"  on u.owner_id = $3"
	" left join lateral (select g.owner_id, g.window_start from @gov_usage g"
	"  where g.counter_id = c.id order by g.window_start desc limit 1) l"
	"  on l.owner_id = $3"
	" left join tail t on t.counter_id = c.id and t.window_start = c.window_start"
	" left join (select m.counter_id, max(m.window_start) as window_start from tail m"
	"            group by 1) k on k.counter_id = c.id"
	" left join holds h on h.budget_id = c.budget_id",
	.nargs = 5,
	.argtypes = {INT8ARRAYOID, TIMESTAMPTZARRAYOID, TEXTOID, UUIDARRAYOID, TIMESTAMPTZOID}
};

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
						gov_shown(gov_entity_string(entity, entity->id))),
				 errdetail("Its time zone is \"%s\".",
						   gov_shown(gov_entity_string(entity, budget->timezone))),
				 errhint("Change the cadence, anchor_at or timezone of that budget.")));
}

/* Collect the counters that have to be read. */
static int
list_counters(GovLoad *load, GovSharedCounter ***list)
{
	int			count = 0;
	int			most = 0;

	for (int i = 0; i < load->count; i++)
		most += load->items[i].entity ? load->items[i].entity->nbudgets : 0;
	*list = palloc(sizeof(GovSharedCounter *) * Max(most, 1));

	for (int i = 0; i < load->count; i++)
	{
		GovLoaded  *item = &load->items[i];
		uint32		nbudgets = item->entity ? item->entity->nbudgets : 0;

		item->counters = MemoryContextAllocZero(load->context,
												sizeof(GovSharedCounter) * Max(nbudgets, 1));
		for (uint32 b = 0; b < nbudgets; b++)
		{
			const GovBudget *budget = &item->entity->budgets[b];
			GovSharedCounter *counter = &item->counters[b];

			counter->budget_id = budget->id;
			counter->id = budget->counter_id;
			counter->recorded_start = DT_NOBEGIN;
			if (load->claims != NULL &&
				gov_claim_has_counter(&load->claims[i], budget, b, load->now))
			{
				/* not loaded: renew_counter in claim.c sees no later window */
				counter->window.start = counter->window.end = DT_NOBEGIN;
				continue;
			}
			set_window(load, item->entity, budget, counter);
			(*list)[count++] = counter;
		}
	}
	return count;
}

static void
read_counts(GovLoad *load, GovSharedCounter **list, int count)
{
	Datum	   *ids = palloc(sizeof(Datum) * count);
	Datum	   *starts = palloc(sizeof(Datum) * count);
	Datum	   *budgets = palloc(sizeof(Datum) * count);
	Datum		args[5];
	uint64		nrows;

	for (int i = 0; i < count; i++)
	{
		ids[i] = Int64GetDatum(list[i]->id);
		starts[i] = TimestampTzGetDatum(list[i]->window.start);
		budgets[i] = UUIDPGetDatum(&list[i]->budget_id);
	}
	args[0] = PointerGetDatum(construct_array(ids, count, INT8OID, 8,
											  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	args[1] = PointerGetDatum(construct_array(starts, count, TIMESTAMPTZOID, 8,
											  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	args[2] = load->owner;
	args[3] = PointerGetDatum(construct_array(budgets, count, UUIDOID, UUID_LEN, false,
											  TYPALIGN_CHAR));
	args[4] = TimestampTzGetDatum(load->counts_overdue ? DT_NOBEGIN : load->now);
	nrows = gov_spi_select(&counters_query, args, NULL);
	for (uint64 row = 0; row < nrows; row++)
	{
		bool		isnull;
		int64		n = DatumGetInt64(gov_spi_value(row, 1, &isnull));
		GovSharedCounter *counter = list[n - 1];
		TimestampTz start;

		counter->total = gov_read_amount(row, 2, &isnull);
		counter->settled = counter->total;
		counter->held = gov_read_amount(row, 3, &isnull);
		load->holds_met |= counter->held != 0;
		start = DatumGetTimestampTz(gov_spi_value(row, 4, &isnull));
		if (!isnull && start > counter->window.start)
			counter->recorded_start = start;
	}
	SPI_freetuptable(SPI_tuptable);
}

/* Fill in the counters of each item. */
void
gov_read_counters(GovLoad *load)
{
	GovSharedCounter **list;
	int			count = list_counters(load, &list);

	if (count > 0)
		read_counts(load, list, count);
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
