/*
 * recount_write.c
 *		Writes what a recount has counted.
 *
 * PURPOSE
 *		Another counter for the budget, a row of gov_usage for each window, a row
 *		of gov_recounts that says by what was counted, and one of gov_changes that
 *		says who has recounted it.  Rows of former counters go as far as their
 *		windows were counted again.
 *
 *		Another counter of a budget by a default is written to the rows that say
 *		that it was used, which makes its entity's node stale (invalidate.c).  An assignment that goes on with the count of one has
 *		them written by a trigger (override.c).
 *
 * LOCKING
 *		The recount's (recount.c): the budget's row, gov_rollup_state, and the
 *		owner's barrier.
 *
 * FAILURE
 *		Raises what the statements do, and the recount fails as a whole.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/spi.h"
#include "cache/own_counts.h"
#include "rules/history_row.h"
#include "rules/keep_counter.h"
#include "rules/recount_write.h"

static GovQuery draw_query = {
	.sql = "update @gov_assignments set counter_id = 0 where id = $1 returning counter_id",
	.nargs = 1,
	.argtypes = {UUIDOID}
};

/*
 * Give a budget by a default another counter.  Where its default has another seed
 * than when it was used last, no row has the counter that it had.
 */
static GovQuery count_query = {
	.sql =
	"update @gov_default_counts set counter_id = $3 where assignment_id = $1 and counter_id = $2",
	.nargs = 3,
	.argtypes = {UUIDOID, INT8OID, INT8OID}
};

static GovQuery first_count_query = {
	.sql =
	"insert into @gov_default_counts"
	" (owner_id, entity_id, default_id, scope_entity_ids, seed, anchor, anchor_at, salt,"
	"  assignment_id, counter_id)"
	" select n.owner_id, n.entity_id, n.default_id, n.scope_entity_ids, $2, n.anchor, $3, n.salt, $1, $4"
	" from @gov_default_counts n where n.assignment_id = $1 and not n.retired limit 1",
	.nargs = 4,
	.argtypes = {UUIDOID, INT8OID, TIMESTAMPTZOID, INT8OID}
};

static GovQuery forget_query = {
	.sql =
	"delete from @gov_usage u where u.owner_id = $1 and u.assignment_id = $2 and u.window_end > $3",
	.nargs = 3,
	.argtypes = {TEXTOID, UUIDOID, TIMESTAMPTZOID}
};

/* Former recounts of the budget, of which nothing is left. */
static GovQuery forget_recounts_query = {
	.sql =
	"delete from @gov_recounts r where r.owner_id = $1 and r.assignment_id = $2 and not exists ("
	" select from @gov_usage u where u.counter_id = r.counter_id offset 0)",
	.nargs = 2,
	.argtypes = {TEXTOID, UUIDOID}
};

static GovQuery usage_query = {
	.sql =
	"insert into @gov_usage"
	" (owner_id, assignment_id, counter_id, window_start, window_end, amount, event_count)"
	" select $1, $2, $3, w.start, w.end, w.amount, w.event_count"
	" from unnest($4, $5, $6, $7) as w(start, \"end\", amount, event_count)"
	" order by w.start",
	.nargs = 7,
	.argtypes = {TEXTOID, UUIDOID, INT8OID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID,
	NUMERICARRAYOID, INT8ARRAYOID}
};

static GovQuery recount_query = {
	.sql =
	"insert into @gov_recounts"
	" (owner_id, assignment_id, counter_id, recounted_at, counted_by, since, through_id,"
	"  capability_id, cadence, anchor_at, timezone, member_ids, member_sets, sets)"
	" values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
	.nargs = 14,
	.argtypes = {TEXTOID, UUIDOID, INT8OID, TIMESTAMPTZOID, TEXTOID, TIMESTAMPTZOID, INT8OID,
	TEXTOID, TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTARRAYOID, INT4ARRAYOID, INT4OID}
};

static GovQuery log_query = {
	.sql = "select jsonb_strip_nulls(jsonb_build_object('by', $1, 'since', nullif($2, '-infinity')))",
	.nargs = 2,
	.argtypes = {TEXTOID, TIMESTAMPTZOID}
};

static Datum
owner_datum(const GovRecount *recount)
{
	return CStringGetTextDatum(recount->owner);
}

static Datum
by_datum(const GovRecount *recount)
{
	return CStringGetTextDatum(recount->is_by_tree ? "tree" : "recorded");
}

/* Give the budget another counter. */
static int64
draw_counter(const GovRecount *recount)
{
	Datum		args[1] = {UUIDPGetDatum(&recount->id)};
	volatile uint64 nrows = 0;
	bool		isnull;

	gov_keep_allow_drawing(true);
	PG_TRY();
	{
		nrows = gov_spi_modify(&draw_query, args, NULL);
	}
	PG_FINALLY();
	{
		gov_keep_allow_drawing(false);
	}
	PG_END_TRY();
	if (nrows != 1)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("budget was not changed"),
				 errdetail("A trigger or rule on \"gov_assignments\" has prevented it."),
				 errhint("Drop that trigger or rule.")));
	return DatumGetInt64(gov_spi_value(0, 1, &isnull));
}

/* Give a budget by a default another counter. */
static int64
draw_inherited(const GovRecount *recount)
{
	int64		counter = gov_keep_draw_inherited(&recount->id);
	Datum		args[3] = {
		UUIDPGetDatum(&recount->id), Int64GetDatum(recount->former_counter), Int64GetDatum(counter)
	};
	Datum		first[4] = {
		UUIDPGetDatum(&recount->id), Int64GetDatum(recount->seed), recount->anchor,
		Int64GetDatum(recount->former_counter)
	};
	char		nulls[4] = {' ', ' ', recount->has_anchor ? ' ' : 'n', ' '};

	if (gov_spi_modify(&count_query, args, NULL) == 0)
	{
		gov_spi_modify(&first_count_query, first, nulls);
		gov_spi_modify(&count_query, args, NULL);
	}
	return counter;
}

/* Write a row for each window. */
static void
write_windows(const GovRecount *recount, int64 counter)
{
	uint32		count = gov_recount_sum_count(recount->sum);
	Datum	   *columns[4];
	uint32		position = 0;
	Datum		args[7] = {
		owner_datum(recount), UUIDPGetDatum(&recount->id), Int64GetDatum(counter)
	};

	for (int column = 0; column < lengthof(columns); column++)
		columns[column] = palloc(sizeof(Datum) * Max(count, 1));
	for (uint32 i = 0; i < count; i++)
	{
		const GovRecounted *window = gov_recount_sum_next(recount->sum, &position);

		columns[0][i] = TimestampTzGetDatum(window->start);
		columns[1][i] = TimestampTzGetDatum(window->end);
		columns[2][i] = NumericGetDatum(gov_amount_to_numeric(window->amount));
		columns[3][i] = Int64GetDatum(window->event_count);
	}
	args[3] = PointerGetDatum(construct_array(columns[0], count, TIMESTAMPTZOID, 8,
											  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	args[4] = PointerGetDatum(construct_array(columns[1], count, TIMESTAMPTZOID, 8,
											  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	args[5] = PointerGetDatum(construct_array(columns[2], count, NUMERICOID, -1, false,
											  TYPALIGN_INT));
	args[6] = PointerGetDatum(construct_array(columns[3], count, INT8OID, 8,
											  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	gov_spi_modify(&usage_query, args, NULL);
}

/* Write by what was counted, so that it can be counted again. */
static void
write_recount(const GovRecount *recount, int64 counter)
{
	ArrayType  *ids;
	ArrayType  *sets;
	char		nulls[14];
	Datum		args[14] = {
		owner_datum(recount), UUIDPGetDatum(&recount->id), Int64GetDatum(counter),
		TimestampTzGetDatum(gov_clock()),
		by_datum(recount),
		TimestampTzGetDatum(recount->since), Int64GetDatum(recount->through_id),
		PointerGetDatum(recount->capability), recount->cadence, recount->anchor,
		recount->timezone
	};

	memset(nulls, ' ', sizeof(nulls));
	nulls[8] = recount->cadence == (Datum) 0 ? 'n' : ' ';
	nulls[9] = recount->has_anchor ? ' ' : 'n';
	gov_recount_sum_members(recount->sum, &ids, &sets);
	args[11] = PointerGetDatum(ids);
	args[12] = PointerGetDatum(sets);
	args[13] = Int32GetDatum(1 + ArrayGetNItems(ARR_NDIM(recount->scope), ARR_DIMS(recount->scope)));
	gov_spi_modify(&recount_query, args, nulls);
}

/* Write what was counted, under another counter. */
static void
write_count(const GovRecount *recount)
{
	Datum		args[3] = {
		owner_datum(recount), UUIDPGetDatum(&recount->id), TimestampTzGetDatum(recount->since)
	};
	GovSpi		spi;
	int64		counter;

	gov_spi_begin(&spi);
	counter = recount->is_inherited ? draw_inherited(recount) : draw_counter(recount);
	gov_spi_modify(&forget_query, args, NULL);
	gov_spi_modify(&forget_recounts_query, args, NULL);
	write_windows(recount, counter);
	write_recount(recount, counter);
	gov_spi_end(&spi);
	gov_own_note_recount(counter);
}

/* What gov_changes says of the recount. */
static Datum
arguments_json(const GovRecount *recount)
{
	Datum		args[2] = {by_datum(recount), TimestampTzGetDatum(recount->since)};
	MemoryContext caller = CurrentMemoryContext;
	GovSpi		spi;
	Datum		json;
	bool		isnull;

	gov_spi_begin(&spi);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	gov_spi_select(&log_query, args, NULL);
	json = gov_spi_value(0, 1, &isnull);
	MemoryContextSwitchTo(caller);
	json = PointerGetDatum(DatumGetJsonbPCopy(json));
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
	return json;
}

/* Write down that somebody has recounted it. */
static void
write_history(const GovRecount *recount)
{
	GovHistoryRows rows;
	GovHistoryRow row = {
		.owner = owner_datum(recount),
		.key = recount->key,
		.new = arguments_json(recount)
	};

	gov_history_row_begin(&rows, recount->is_inherited ? "gov_default_assignments" : "gov_assignments", "RECOUNT");
	gov_history_row_add(&rows, &row);
	gov_history_row_end(&rows);
}

/* Write what was counted, and that it was. */
void
gov_recount_write(const GovRecount *recount)
{
	write_count(recount);
	write_history(recount);
}
