/*
 * rollup_write.c
 *		Writes what a batch of the ledger comes to.
 *
 * PURPOSE
 *		Each row of gov_usage and gov_usage_by_time that the batch concerns is
 *		written once, by one statement for each table, so that users' triggers
 *		and their own columns are honoured.  They are written in the order of
 *		their keys: rows of one page come one after the other.
 *
 * BLOAT
 *		The columns that change are in no index, and the tables' fillfactor
 *		leaves room on each page for another version of its rows: so updates are
 *		HOT, and what they leave is taken by the next one.
 *
 * INVARIANTS
 *		A charge to a counter that no budget has any more (deleted, or drawn
 *		again for another cadence) is dropped: nothing will ever ask for it.  So
 *		is one of an owner to a budget of another, which the engine never makes.
 *
 * GRAIN
 *		Rows of gov_usage_by_time remember how many minutes they are of, but for
 *		those of whole hours.  After governance.usage_grain has changed, rows of
 *		both lengths lie side by side.  Where two begin at the same minute they
 *		are one row, which has the longer length: a sum is of that time or of a
 *		part of it, and nothing is counted twice.
 *
 * LOCKING
 *		The round's (rollup.c): nobody else writes to these tables meanwhile.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/guc.h"
#include "base/spi.h"
#include "cache/load_steps.h"
#include "pure/window.h"
#include "rollup/alert.h"
#include "rollup/rollup_write.h"

/*
 * Select the budgets of these counters, and the usage that reaches the first
 * threshold of each.
 */
#define BUDGETS_SQL(of, limit, slides) \
	"select c.n, a.id, case when a.usage_limit is not null then" \
	" (select least(" GOV_ALERT_AMOUNT("a", "t") ", 1e27)" \
	"  from unnest((" GOV_ALERT_THRESHOLDS("a") ")[1:1]) as t(threshold)) end," \
	" a.slides" \
	" from unnest($1, $2) with ordinality as c(counter_id, owner_id, n)," \
	"  lateral (select g.id, g.owner_id, " limit " as usage_limit, g.alert_thresholds," \
	"            " slides " as slides" \
	"           from " of("c.counter_id") " offset 0) a" \
	" where a.owner_id = c.owner_id" \
	" order by c.n"

#define BUDGETS_QUERY(of, limit, slides) \
	{ \
		.sql = BUDGETS_SQL(of, limit, slides), \
		.nargs = 3, \
		.argtypes = {INT8ARRAYOID, TEXTARRAYOID, TIMESTAMPTZOID} \
	}

#define GOV_SLIDES	"g.window_kind = 'sliding'"

/* Where there are defaults, and where there are boosts. */
static GovQuery budgets_queries[2][2] = {
	{
		BUDGETS_QUERY(GOV_ASSIGNMENT_OF, "g.usage_limit", GOV_SLIDES),
		BUDGETS_QUERY(GOV_ASSIGNMENT_OF, GOV_BOOSTED_LIMIT("g", "$3"), GOV_SLIDES)
	},
	{
		BUDGETS_QUERY(GOV_BUDGET_OF, "g.usage_limit", GOV_SLIDES),
		BUDGETS_QUERY(GOV_BUDGET_OF, GOV_BOOSTED_LIMIT("g", "$3"), GOV_SLIDES)
	}
};

/* In an extension that is not updated yet. */
static GovQuery budgets_1_0_query = BUDGETS_QUERY(GOV_ASSIGNMENT_OF, "g.usage_limit", "false");

#define USAGE_QUERY(leaves_at) \
	{ \
		.sql = \
		"insert into @gov_usage as u" \
		" (owner_id, assignment_id, counter_id, window_start, window_end, amount, event_count" leaves_at ")" \
		" select c.owner_id, c.id, c.counter_id, c.window_start, c.window_end, c.amount, c.event_count" leaves_at \
		" from unnest($1, $2, $3, $4, $5, $6, $7, $8)" \
		"  as c(owner_id, id, counter_id, window_start, window_end, amount, event_count, leaves_at)" \
		" on conflict (counter_id, window_start) do update" \
		" set amount = trim_scale(u.amount + excluded.amount)," \
		"  event_count = u.event_count + excluded.event_count" \
		" returning u.counter_id, u.window_start, u.amount, u.window_end", \
		.nargs = 8, \
		.argtypes = {TEXTARRAYOID, UUIDARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, \
		TIMESTAMPTZARRAYOID, NUMERICARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID} \
	}

/* Without windows that slide, and with some, whose rows are of grains (usage_slide.c). */
static GovQuery usage_query = USAGE_QUERY("");
static GovQuery usage_of_grains_query = USAGE_QUERY(", leaves_at");

/* What counted in the last cadence, of windows that slide. */
static GovQuery spans_query = {
	.sql =
	"select c.n, (select sum(u.amount) from @gov_usage u"
	"  where u.counter_id = c.counter_id and u.window_start >= c.first_start"
	"   and u.window_start <= c.last_start)"
	" from unnest($1, $2, $3) with ordinality as c(counter_id, first_start, last_start, n)",
	.nargs = 3,
	.argtypes = {INT8ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID}
};

/* What was drawn from grants that there are, and what pools owe that there are. */
static GovQuery draws_query = {
	.sql =
	"insert into @gov_grant_usage as u (counter_id, owner_id, amount, last_at)"
	" select c.counter_id, c.owner_id, c.amount, c.last_at"
	" from unnest($1, $2, $3, $4) as c(counter_id, owner_id, amount, last_at)"
	" where exists (select from @gov_grants g where g.counter_id = c.counter_id and g.owner_id = c.owner_id)"
	"  or exists (select from @gov_assignments a where a.debt_counter_id = c.counter_id and a.owner_id = c.owner_id)"
	" order by c.counter_id"
	" on conflict (counter_id) do update"
	" set amount = trim_scale(u.amount + excluded.amount),"
	"  last_at = greatest(u.last_at, excluded.last_at)",
	.nargs = 4,
	.argtypes = {INT8ARRAYOID, TEXTARRAYOID, NUMERICARRAYOID, TIMESTAMPTZARRAYOID}
};

/* Rows of whole hours: where one begins that was of a part of the hour, it is of all of it. */
static GovQuery hours_query = {
	.sql =
	"insert into @gov_usage_by_time as h"
	" (owner_id, capability_id, entity_id, hour, amount, event_count)"
	" select s.owner_id, s.capability_id, s.entity_id, s.hour, s.amount, s.event_count"
	" from unnest($1, $2, $3, $4, $5, $6)"
	"  as s(owner_id, capability_id, entity_id, hour, amount, event_count)"
	" on conflict (owner_id, hour, md5(capability_id || chr(1) || entity_id), coalesce(minute, '0'::smallint))"
	" do update"
	" set amount = trim_scale(h.amount + excluded.amount),"
	"  event_count = h.event_count + excluded.event_count,"
	"  minute = null,"
	"  grain_minutes = null",
	.nargs = 6,
	.argtypes = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID,
	NUMERICARRAYOID, INT8ARRAYOID}
};

/* Rows of parts of an hour: where one begins that is longer, it stays as long. */
static GovQuery parts_query = {
	.sql =
	"insert into @gov_usage_by_time as h"
	" (owner_id, capability_id, entity_id, hour, amount, event_count, minute, grain_minutes)"
	" select s.owner_id, s.capability_id, s.entity_id, s.hour, s.amount, s.event_count, s.minute, $8"
	" from unnest($1, $2, $3, $4, $5, $6, $7)"
	"  as s(owner_id, capability_id, entity_id, hour, amount, event_count, minute)"
	" on conflict (owner_id, hour, md5(capability_id || chr(1) || entity_id), coalesce(minute, '0'::smallint))"
	" do update"
	" set amount = trim_scale(h.amount + excluded.amount),"
	"  event_count = h.event_count + excluded.event_count,"
	"  grain_minutes = case when h.grain_minutes is not null"
	"   then greatest(h.grain_minutes, excluded.grain_minutes) end",
	.nargs = 8,
	.argtypes = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID,
	NUMERICARRAYOID, INT8ARRAYOID, INT2ARRAYOID, INT2OID}
};

/* Rows of whole hours in an extension that is not updated yet. */
static GovQuery hours_1_0_query = {
	.sql =
	"insert into @gov_usage_hourly as h"
	" (owner_id, capability_id, entity_id, hour, amount, event_count)"
	" select s.owner_id, s.capability_id, s.entity_id, s.hour, s.amount, s.event_count"
	" from unnest($1, $2, $3, $4, $5, $6)"
	"  as s(owner_id, capability_id, entity_id, hour, amount, event_count)"
	" on conflict (owner_id, hour, md5(capability_id || chr(1) || entity_id)) do update"
	" set amount = trim_scale(h.amount + excluded.amount),"
	"  event_count = h.event_count + excluded.event_count",
	.nargs = 6,
	.argtypes = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID,
	NUMERICARRAYOID, INT8ARRAYOID}
};

/* The charges of a batch to a budget's counter in one window. */
typedef struct GovRollupCharge
{
	const GovTallied *tallied;
	Datum		budget_id;
	GovAmount	alert_from;		/* usage that reaches its first threshold */
	bool		is_watched;		/* it has one */
	bool		slides;
} GovRollupCharge;

static int
compare_charges(const void *a, const void *b)
{
	const GovTallyKey *left = &((const GovRollupCharge *) a)->tallied->key;
	const GovTallyKey *right = &((const GovRollupCharge *) b)->tallied->key;

	if (left->counter_id != right->counter_id)
		return left->counter_id < right->counter_id ? -1 : 1;
	if (left->window_start != right->window_start)
		return left->window_start < right->window_start ? -1 : 1;
	return 0;
}

static GovRollupCharge *
sorted_charges(const GovTally *tally)
{
	GovRollupCharge *charges = palloc(sizeof(GovRollupCharge) * (gov_tally_count(tally) + 1));
	const GovTallied *tallied;
	uint32		position = 0;
	int			count = 0;

	while ((tallied = gov_tally_next(tally, &position)) != NULL)
		charges[count++].tallied = tallied;
	qsort(charges, count, sizeof(GovRollupCharge), compare_charges);
	return charges;
}

/* An argument of a statement: a column of a batch's rows. */
Datum
gov_rollup_array(Datum *elements, int count, Oid type)
{
	int16		length;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	return PointerGetDatum(construct_array(elements, count, type, length, by_value, align));
}

/* Find the budgets of the charges; keep those that have one, and say how many. */
static int
find_budgets(GovRollupCharge *charges, int count)
{
	Datum	   *counters = palloc(sizeof(Datum) * count);
	Datum	   *owners = palloc(sizeof(Datum) * count);
	Datum		args[3];
	uint64		nfound;

	for (int i = 0; i < count; i++)
	{
		counters[i] = Int64GetDatum(charges[i].tallied->key.counter_id);
		owners[i] = PointerGetDatum(charges[i].tallied->key.owner);
	}
	args[0] = gov_rollup_array(counters, count, INT8OID);
	args[1] = gov_rollup_array(owners, count, TEXTOID);
	args[2] = TimestampTzGetDatum(gov_clock());
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	nfound = gov_spi_select(!gov_catalog()->has_1_1_tables ? &budgets_1_0_query :
							&budgets_queries[gov_load_has_defaults()][gov_load_has_boosts()],
							args, NULL);
	for (uint64 row = 0; row < nfound; row++)
	{
		bool		isnull;
		int64		n = DatumGetInt64(gov_spi_value(row, 1, &isnull));
		GovRollupCharge *charge = &charges[row];

		charge->tallied = charges[n - 1].tallied;
		charge->budget_id = gov_spi_value(row, 2, &isnull);
		charge->alert_from = gov_load_amount(row, 3, &isnull);
		charge->is_watched = !isnull;
		charge->slides = DatumGetBool(gov_spi_value(row, 4, &isnull));
	}
	gov_spi_pop_snapshot();
	return (int) nfound;
}

/*
 * Write the charges; SPI returns the rows, in the order of the charges.
 * Returns how many they are.
 */
static uint64
write_usage(const GovRollupCharge *charges, int count)
{
	static const Oid types[] = {
		TEXTOID, UUIDOID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, NUMERICOID, INT8OID
	};
	Datum	   *columns[lengthof(types)];
	Datum		args[lengthof(types) + 1];
	Datum	   *leave = palloc(sizeof(Datum) * count);
	bool	   *never_leave = palloc(sizeof(bool) * count);
	bool		has_grains = false;
	int			one = 1;

	for (int column = 0; column < lengthof(types); column++)
		columns[column] = palloc(sizeof(Datum) * count);
	for (int i = 0; i < count; i++)
	{
		const GovTallied *tallied = charges[i].tallied;

		columns[0][i] = PointerGetDatum(tallied->key.owner);
		columns[1][i] = charges[i].budget_id;
		columns[2][i] = Int64GetDatum(tallied->key.counter_id);
		columns[3][i] = TimestampTzGetDatum(tallied->key.window_start);
		columns[4][i] = TimestampTzGetDatum(tallied->window_end);
		columns[5][i] = NumericGetDatum(gov_amount_to_numeric(tallied->amount));
		columns[6][i] = Int64GetDatum(tallied->event_count);
		leave[i] = TimestampTzGetDatum(tallied->window_end + GOV_SLIDING_GRAINS *
									   (tallied->window_end - tallied->key.window_start));
		never_leave[i] = !charges[i].slides;
		has_grains |= charges[i].slides;
	}
	for (int column = 0; column < lengthof(types); column++)
		args[column] = gov_rollup_array(columns[column], count, types[column]);
	args[lengthof(types)] = PointerGetDatum(construct_md_array(leave, never_leave, 1, &count, &one,
															   TIMESTAMPTZOID, 8, FLOAT8PASSBYVAL,
															   TYPALIGN_DOUBLE));
	return gov_spi_modify(has_grains ? &usage_of_grains_query : &usage_query, args, NULL);
}

/*
 * Add what a batch has drawn from grants to gov_grant_usage.  Returns the counters
 * that it concerns and when they were last used, arrays; false if there are none.
 */
bool
gov_rollup_write_draws(const GovTally *tally, Datum *counter_ids, Datum *used_at)
{
	static const Oid types[] = {INT8OID, TEXTOID, NUMERICOID, TIMESTAMPTZOID};
	int			most = gov_tally_count(tally);
	Datum	   *columns[lengthof(types)];
	Datum		args[lengthof(types)];
	const GovTallied *tallied;
	uint32		position = 0;
	int			count = 0;

	for (int column = 0; column < lengthof(types); column++)
		columns[column] = palloc(sizeof(Datum) * Max(most, 1));
	while ((tallied = gov_tally_next(tally, &position)) != NULL)
	{
		if (!tallied->is_drawn)
			continue;
		columns[0][count] = Int64GetDatum(tallied->key.counter_id);
		columns[1][count] = PointerGetDatum(tallied->key.owner);
		columns[2][count] = NumericGetDatum(gov_amount_to_numeric(tallied->amount));
		columns[3][count++] = TimestampTzGetDatum(tallied->window_end);
	}
	if (count == 0)
		return false;
	for (int column = 0; column < lengthof(types); column++)
		args[column] = gov_rollup_array(columns[column], count, types[column]);
	gov_spi_modify(&draws_query, args, NULL);
	*counter_ids = args[0];
	*used_at = args[3];
	return true;
}

/*
 * Find which of the rows just written have reached a threshold, or may have because
 * they are of a grain; *nspans says how many such there are.  Left out are
 * rows that a user's trigger has kept from being written, and merged rows,
 * which say nothing of one window alone (usage_merge.c).
 */
static int
find_reached(const GovRollupCharge *charges, int count, uint64 nrows, GovReached *reached,
			 int *nspans)
{
	int			nreached = 0;
	uint64		row = 0;

	*nspans = 0;
	for (int i = 0; i < count && row < nrows; i++)
	{
		const GovTallied *tallied = charges[i].tallied;
		GovReached *item = &reached[nreached];
		bool		isnull;

		item->counter_id = DatumGetInt64(gov_spi_value(row, 1, &isnull));
		item->window_start = DatumGetTimestampTz(gov_spi_value(row, 2, &isnull));
		if (item->counter_id != tallied->key.counter_id ||
			item->window_start != tallied->key.window_start)
			continue;
		if (charges[i].is_watched)
		{
			item->after = gov_load_amount(row, 3, &isnull);
			item->before = item->after - tallied->amount;
			item->alert_start = item->window_start;
			item->alert_from = charges[i].alert_from;
			item->grain = charges[i].slides ? tallied->window_end - item->window_start : 0;
			if ((item->after >= charges[i].alert_from || charges[i].slides) &&
				DatumGetTimestampTz(gov_spi_value(row, 4, &isnull)) <= tallied->window_end)
			{
				*nspans += charges[i].slides ? 1 : 0;
				nreached++;
			}
		}
		row++;
	}
	return nreached;
}

/*
 * Where windows slide, a threshold is reached by what counts in the last cadence, and
 * an alert is of the window of a cadence that holds the grain.  Returns how many are
 * left of what may have reached one.
 */
static int
judge_spans(GovReached *reached, int nreached)
{
	Datum	   *columns[3];
	Datum		args[3];
	int			nleft = 0;

	for (int column = 0; column < lengthof(columns); column++)
		columns[column] = palloc(sizeof(Datum) * nreached);
	for (int i = 0; i < nreached; i++)
	{
		int64		span = GOV_SLIDING_GRAINS * reached[i].grain;

		columns[0][i] = Int64GetDatum(reached[i].counter_id);
		columns[1][i] = TimestampTzGetDatum(reached[i].window_start - span);
		columns[2][i] = TimestampTzGetDatum(reached[i].window_start);
	}
	args[0] = gov_rollup_array(columns[0], nreached, INT8OID);
	args[1] = gov_rollup_array(columns[1], nreached, TIMESTAMPTZOID);
	args[2] = gov_rollup_array(columns[2], nreached, TIMESTAMPTZOID);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	gov_spi_select(&spans_query, args, NULL);
	for (int i = 0; i < nreached; i++)
	{
		GovReached	item = reached[i];
		int64		span = GOV_SLIDING_GRAINS * item.grain;
		bool		isnull;

		if (span > 0)
		{
			item.after = gov_load_amount(i, 2, &isnull);
			item.before = item.after - (reached[i].after - reached[i].before);
			item.alert_start -= ((item.window_start % span) + span) % span;
		}
		if (item.after >= item.alert_from)
			reached[nleft++] = item;
	}
	gov_spi_pop_snapshot();
	return nleft;
}

/*
 * Add a batch's charges to gov_usage.  Returns how many of the rows have
 * reached a threshold, and which.
 */
int
gov_rollup_write_usage(const GovTally *tally, GovReached **reached)
{
	GovRollupCharge *charges = sorted_charges(tally);
	int			count = gov_tally_count(tally);
	int			nreached;
	int			nspans;

	if (count > 0)
		count = find_budgets(charges, count);
	*reached = NULL;
	if (count == 0)
		return 0;
	*reached = palloc(sizeof(GovReached) * count);
	nreached = find_reached(charges, count, write_usage(charges, count), *reached, &nspans);
	return nspans == 0 ? nreached : judge_spans(*reached, nreached);
}

/* The length of the rows to come; an extension that is not updated yet knows hours alone. */
int
gov_rollup_grain(void)
{
	return gov_catalog()->has_1_1_tables ? gov_usage_grain_minutes : GOV_USAGE_GRAIN_HOUR;
}

/* The statement that writes rows of so many minutes. */
static GovQuery *
by_time_query(int grain_minutes)
{
	if (!gov_catalog()->has_1_1_tables)
		return &hours_1_0_query;
	return grain_minutes == GOV_USAGE_GRAIN_HOUR ? &hours_query : &parts_query;
}

/* Add what a batch attributes to gov_usage_by_time. */
void
gov_rollup_write_hourly(const GovHourly *hourly)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, NUMERICOID, INT8OID, INT2OID};
	const GovHourlySum **sums = gov_hourly_sorted(hourly);
	int			count = gov_hourly_count(hourly);
	GovQuery   *query = by_time_query(gov_hourly_grain(hourly));
	int			ncolumns = Min(query->nargs, lengthof(types));
	Datum	   *columns[lengthof(types)];
	Datum		args[lengthof(types) + 1];

	if (count == 0)
		return;
	for (int column = 0; column < lengthof(types); column++)
		columns[column] = palloc(sizeof(Datum) * count);
	for (int i = 0; i < count; i++)
	{
		TimestampTz starts_at = sums[i]->key.starts_at;
		TimestampTz hour = gov_hourly_start(starts_at, GOV_USAGE_GRAIN_HOUR);

		columns[0][i] = PointerGetDatum(sums[i]->key.owner);
		columns[1][i] = PointerGetDatum(sums[i]->key.capability);
		columns[2][i] = PointerGetDatum(sums[i]->key.entity);
		columns[3][i] = TimestampTzGetDatum(hour);
		columns[4][i] = NumericGetDatum(gov_amount_to_numeric(sums[i]->amount));
		columns[5][i] = Int64GetDatum(sums[i]->event_count);
		columns[6][i] = Int16GetDatum((starts_at - hour) / USECS_PER_MINUTE);
	}
	for (int column = 0; column < ncolumns; column++)
		args[column] = gov_rollup_array(columns[column], count, types[column]);
	args[lengthof(types)] = Int16GetDatum(gov_hourly_grain(hourly));
	gov_spi_modify(query, args, NULL);
}
