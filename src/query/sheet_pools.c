/*
 * sheet_pools.c
 *		The pools among the budgets of a sheet.
 *
 * PURPOSE
 *		The limit of a pool is what its live grants come to, so a sheet is right
 *		until the next of them takes effect or ends.  What is used up of them is
 *		in the counters of the pool's node, where it has one that is not stale
 *		(live.c), and else what the tables say.
 *
 * FAILURE
 *		An owner without pools has them looked for once, by their index.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/spi.h"
#include "cache/load_steps.h"
#include "query/sheet_read.h"

static GovQuery pools_query = {
	.sql =
	"select p.assignment_id, p.granted, p.used, g.next_at, g.count"
	" from @_gov_pools_at($1, $2) p,"
	"  lateral (select min(m.moment) filter (where m.moment > $2) as next_at, count(distinct g.id) as count"
	"           from @gov_grants g, lateral unnest(array[g.effective_at, g.expires_at, g.voided_at]) m(moment)"
	"           where g.assignment_id = p.assignment_id and g.closed_at is null) g"
	" order by p.assignment_id",
	.nargs = 2,
	.argtypes = {TEXTOID, TIMESTAMPTZOID}
};

/* The row of SPI that has a budget; -1 if it is no pool.  They are in the order of their ids. */
static int64
find_pool(const pg_uuid_t *id, uint64 npools)
{
	uint64		low = 0;
	uint64		high = npools;

	while (low < high)
	{
		uint64		middle = low + (high - low) / 2;
		bool		isnull;
		int			order = memcmp(DatumGetUUIDP(gov_spi_value(middle, 1, &isnull))->data, id->data,
								   UUID_LEN);

		if (order == 0)
			return (int64) middle;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return -1;
}

/* What a pool's limit is, and until when. */
static void
read_limit(GovSheet *sheet, uint32 number, uint64 pool)
{
	GovSheetRow *row = &sheet->rows[number];
	GovSheetBudget *budget = &sheet->budgets[number];
	bool		isnull;
	Datum		next_at;

	row->is_pool = budget->is_pool = budget->has_limit = true;
	budget->limit = gov_load_amount(pool, 2, &isnull);
	row->per_unit = budget->limit == 0 ? 0 : 1.0 / (double) budget->limit;
	next_at = gov_spi_value(pool, 4, &isnull);
	if (!isnull)
		sheet->next_boost = Min(sheet->next_boost, DatumGetTimestampTz(next_at));
	sheet->most_grants = Max(sheet->most_grants, DatumGetInt64(gov_spi_value(pool, 5, &isnull)));
}

static uint64
select_pools(const GovSheet *sheet)
{
	Datum		args[2] = {
		PointerGetDatum(cstring_to_text_with_len(sheet->owner.owner, sheet->owner.owner_length)),
		TimestampTzGetDatum(sheet->now)
	};

	return gov_spi_select(&pools_query, args, NULL);
}

/* Find the pools among the budgets, under the active snapshot. */
void
gov_sheet_read_pools(GovSheet *sheet)
{
	uint64		npools;

	if (!AttributeNumberIsValid(gov_catalog()->assignments_is_pool))
		return;
	npools = select_pools(sheet);
	for (uint32 i = 0; i < sheet->nrows && npools > 0; i++)
	{
		int64		pool = find_pool(&sheet->budgets[i].id, npools);

		if (pool >= 0)
			read_limit(sheet, i, pool);
	}
	SPI_freetuptable(SPI_tuptable);
	sheet->has_pools = npools > 0;
	if (sheet->has_pools)
		sheet->draws = MemoryContextAlloc(sheet->context, sizeof(GovDraw) * (sheet->most_grants + 1));
}

/* What is used of the pools that must be read from the tables, under the active snapshot. */
void
gov_sheet_read_drawn(GovSheet *sheet)
{
	uint64		npools = select_pools(sheet);
	bool		isnull;

	for (uint32 i = 0; i < sheet->nrows; i++)
	{
		int64		pool;

		if (!sheet->rows[i].is_pool || !sheet->rows[i].needs_read)
			continue;
		pool = find_pool(&sheet->budgets[i].id, npools);
		sheet->stored[i].usage = pool < 0 ? 0 : gov_load_amount(pool, 3, &isnull);
	}
	SPI_freetuptable(SPI_tuptable);
}
