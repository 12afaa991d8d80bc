/*
 * sheet_counts.c
 *		Reads what the tables say of the budgets of a sheet.
 *
 * PURPOSE
 *		The same sums as a load makes (load_counts.c): usage rolled up, the
 *		ledger's tail, open holds; but of any number of budgets at once.  The
 *		owner's tail and holds are read whole, and budgets looked up in them
 *		here: no join has to be planned for numbers that are not known.
 *
 * HOLDS
 *		As in load_holds.c: beside shared memory every open hold counts,
 *		whatever its time; without it those past their time do not.
 *
 * CLOCK
 *		Usage in a window after the present one counts when that comes: the
 *		sheet is told when the first of them starts (sheet_open.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "cache/load_steps.h"
#include "ledger/statements.h"
#include "query/sheet_read.h"

static GovQuery usage_query = {
	.sql =
	"select w.n, u.window_start, u.amount, u.window_end"
	" from unnest($1, $2) with ordinality as w(id, window_start, n),"
	"  lateral (select g.window_start, g.amount, g.window_end from @gov_usage g"
	"   where g.counter_id = w.id and g.window_start >= w.window_start offset 0) u",
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, TIMESTAMPTZARRAYOID}
};

static GovQuery tail_query = {
	.sql =
	"select x.counter_id, x.window_start, sum(e.amount), max(x.window_end)"
	" from (select v.amount, v.counter_ids, v.window_starts, v.window_ends"
	"       from @gov_events v"
	"       where " GOV_SQL_PAST("v", "$1", "id", GOV_SQL_WATERMARK) " offset 0) e,"
	"  lateral unnest(e.counter_ids, e.window_starts, e.window_ends) as x(counter_id, window_start, window_end)"
	" group by 1, 2",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

#define HOLDS_QUERY(assignment_amounts) \
	{ \
		.sql = \
		"select x.budget_id, sum(coalesce(x.amount, r.amount))" \
		" from (select v.amount, v.assignment_ids, " assignment_amounts " as assignment_amounts" \
		"       from @gov_reservations v" \
		"       where v.state = 'open'" \
		"        and " GOV_SQL_PAST("v", "$1", "expires_at", "$2") " offset 0) r," \
		"  lateral unnest(r.assignment_ids, r.assignment_amounts) as x(budget_id, amount)" \
		" group by 1", \
		.nargs = 2, \
		.argtypes = {TEXTOID, TIMESTAMPTZOID} \
	}

static GovQuery holds_query = HOLDS_QUERY("v.assignment_amounts");
static GovQuery holds_1_0_query = HOLDS_QUERY("null::numeric[]");

/* The rows to be read, in two orders. */
typedef struct GovSheetWanted
{
	GovSheet   *sheet;
	uint32		count;
	uint32	   *by_counter;
	uint32	   *by_budget;
} GovSheetWanted;

static int
compare_counters(const void *left, const void *right, void *arg)
{
	const GovSheetRow *rows = arg;
	int64		a = rows[*(const uint32 *) left].counter_id;
	int64		b = rows[*(const uint32 *) right].counter_id;

	return (a > b) - (a < b);
}

static int
compare_budgets(const void *left, const void *right, void *arg)
{
	const GovSheetBudget *budgets = arg;

	return memcmp(&budgets[*(const uint32 *) left].id,
				  &budgets[*(const uint32 *) right].id, UUID_LEN);
}

static void
list_wanted(GovSheetWanted *wanted)
{
	GovSheet   *sheet = wanted->sheet;

	wanted->by_counter = palloc_extended(sizeof(uint32) * ((Size) sheet->nrows + 1),
										 MCXT_ALLOC_HUGE);
	wanted->by_budget = palloc_extended(sizeof(uint32) * ((Size) sheet->nrows + 1),
										MCXT_ALLOC_HUGE);
	for (uint32 i = 0; i < sheet->nrows; i++)
	{
		if (sheet->rows[i].needs_read)
			wanted->by_counter[wanted->count++] = i;
	}
	memcpy(wanted->by_budget, wanted->by_counter, sizeof(uint32) * wanted->count);
	qsort_arg(wanted->by_counter, wanted->count, sizeof(uint32), compare_counters,
			  sheet->rows);
	qsort_arg(wanted->by_budget, wanted->count, sizeof(uint32), compare_budgets,
			  sheet->budgets);
}

/*
 * Where the sheet stores what the tables say of a counter; NULL if that is not
 * wanted.
 */
static GovSheetStored *
find_counter(const GovSheetWanted *wanted, int64 id)
{
	uint32		low = 0;
	uint32		high = wanted->count;

	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;
		uint32		row = wanted->by_counter[middle];

		if (wanted->sheet->rows[row].counter_id == id)
			return &wanted->sheet->stored[row];
		if (wanted->sheet->rows[row].counter_id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static GovSheetStored *
find_budget(const GovSheetWanted *wanted, const pg_uuid_t *id)
{
	uint32		low = 0;
	uint32		high = wanted->count;

	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;
		uint32		row = wanted->by_budget[middle];
		int			order = memcmp(&wanted->sheet->budgets[row].id, id, UUID_LEN);

		if (order == 0)
			return &wanted->sheet->stored[row];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/*
 * Count the amount of a row of SPI if it is of a window that a first use has opened,
 * and that is open still; as a load does (load_usage.c).
 */
static void
count_opened(const GovSheet *sheet, GovSheetStored *stored, TimestampTz start, uint64 row)
{
	bool		isnull;
	TimestampTz end = DatumGetTimestampTz(gov_spi_value(row, 4, &isnull));

	if (end <= sheet->now || start > sheet->now + GOV_OPENED_AHEAD ||
		(stored->end > sheet->now && start < stored->start))
		return;
	if (stored->end <= sheet->now || start > stored->start)
	{
		stored->start = start;
		stored->end = end;
		stored->usage = 0;
	}
	stored->usage += gov_load_amount(row, 3, &isnull);
}

/*
 * Count the amount of a row of SPI if its grain counts in a window that slides; note
 * when it leaves, or when a later one comes.
 */
static void
count_grain(GovSheet *sheet, const GovSheetWindow *window, GovSheetStored *stored, TimestampTz start,
			uint64 row)
{
	int64		grain = window->present.end - window->present.start;
	bool		isnull;

	if (start > window->present.start)
		sheet->next_recorded = Min(sheet->next_recorded, start);
	if (start > window->present.start || start < stored->start)
		return;
	stored->usage += gov_load_amount(row, 3, &isnull);
	sheet->next_recorded = Min(sheet->next_recorded, start + grain + gov_window_span(&window->cadence));
}

/*
 * Count the amount of a row of SPI if it is of the present window; note a
 * later window.
 */
static void
count_usage(GovSheet *sheet, GovSheetStored *stored, uint64 row)
{
	uint32		number = stored - sheet->stored;
	bool		isnull;
	TimestampTz start = DatumGetTimestampTz(gov_spi_value(row, 2, &isnull));

	if (gov_sheet_slides(&sheet->windows[sheet->rows[number].window]))
		count_grain(sheet, &sheet->windows[sheet->rows[number].window], stored, start, row);
	else if (gov_sheet_opens(&sheet->windows[sheet->rows[number].window]))
		count_opened(sheet, stored, start, row);
	else if (start == stored->start)
		stored->usage += gov_load_amount(row, 3, &isnull);
	else if (start > stored->start)
		sheet->next_recorded = Min(sheet->next_recorded, start);
}

static void
read_usage(GovSheetWanted *wanted)
{
	GovSheet   *sheet = wanted->sheet;
	Datum	   *ids = palloc_extended(sizeof(Datum) * ((Size) wanted->count + 1),
									  MCXT_ALLOC_HUGE);
	Datum	   *starts = palloc_extended(sizeof(Datum) * ((Size) wanted->count + 1),
										 MCXT_ALLOC_HUGE);
	Datum		args[2];
	uint64		nrows;

	for (uint32 i = 0; i < wanted->count; i++)
	{
		uint32		row = wanted->by_counter[i];

		ids[i] = Int64GetDatum(sheet->rows[row].counter_id);
		starts[i] = TimestampTzGetDatum(sheet->stored[row].start);
	}
	args[0] = PointerGetDatum(construct_array(ids, wanted->count, INT8OID, 8,
											  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	args[1] = PointerGetDatum(construct_array(starts, wanted->count, TIMESTAMPTZOID, 8,
											  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	nrows = gov_spi_select(&usage_query, args, NULL);
	for (uint64 row = 0; row < nrows; row++)
	{
		bool		isnull;
		int64		n = DatumGetInt64(gov_spi_value(row, 1, &isnull));

		count_usage(sheet, &sheet->stored[wanted->by_counter[n - 1]], row);
	}
	SPI_freetuptable(SPI_tuptable);
}

static void
read_tail(GovSheetWanted *wanted, Datum owner)
{
	uint64		nrows = gov_spi_select(&tail_query, &owner, NULL);

	for (uint64 row = 0; row < nrows; row++)
	{
		bool		isnull;
		int64		id = DatumGetInt64(gov_spi_value(row, 1, &isnull));
		GovSheetStored *stored = find_counter(wanted, id);

		if (stored != NULL)
			count_usage(wanted->sheet, stored, row);
	}
	SPI_freetuptable(SPI_tuptable);
}

static void
read_holds(GovSheetWanted *wanted, Datum owner)
{
	Datum		args[2];
	uint64		nrows;

	args[0] = owner;
	args[1] = TimestampTzGetDatum(wanted->sheet->is_live ? DT_NOBEGIN : wanted->sheet->now);
	nrows = gov_spi_select(AttributeNumberIsValid(gov_catalog()->reservations_assignment_amounts) ?
						   &holds_query : &holds_1_0_query, args, NULL);
	for (uint64 row = 0; row < nrows; row++)
	{
		bool		isnull;
		Datum		id = gov_spi_value(row, 1, &isnull);
		GovSheetStored *stored = find_budget(wanted, DatumGetUUIDP(id));

		if (stored != NULL)
			stored->held = gov_load_amount(row, 2, &isnull);
	}
	SPI_freetuptable(SPI_tuptable);
}

/* From where on the rows of a counter may count. */
static TimestampTz
first_start(const GovSheet *sheet, uint32 row)
{
	const GovSheetWindow *window = &sheet->windows[sheet->rows[row].window];

	if (gov_sheet_slides(window))
		return gov_sheet_span(window, window->present.start).start;
	return gov_sheet_opens(window) ? gov_window_reach(&window->cadence, sheet->now) :
		window->present.start;
}

/*
 * Read the counts that are needed, in the present windows and under the active
 * snapshot.
 */
void
gov_sheet_read_counts(GovSheet *sheet)
{
	GovSheetWanted wanted = {.sheet = sheet};
	Datum		owner = PointerGetDatum(cstring_to_text_with_len(sheet->owner.owner,
																 sheet->owner.owner_length));

	list_wanted(&wanted);
	for (uint32 i = 0; i < wanted.count; i++)
	{
		uint32		row = wanted.by_counter[i];

		sheet->stored[row].usage = 0;
		sheet->stored[row].held = 0;
		sheet->stored[row].start = first_start(sheet, row);
		sheet->stored[row].end = DT_NOBEGIN;
	}
	if (wanted.count > 0)
	{
		read_usage(&wanted);
		read_tail(&wanted, owner);
		read_holds(&wanted, owner);
		if (sheet->has_pools)
			gov_sheet_read_drawn(sheet);
	}
	pfree(wanted.by_counter);
	pfree(wanted.by_budget);
}
