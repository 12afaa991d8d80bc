/*
 * denial_rows.c
 *		Writes gov_denials, and applies its retention.
 *
 * PURPOSE
 *		Adds what was denied, and is counted in shared memory (denials.c), to the
 *		rows of gov_denials: one row per budget, window, reason and kind, or per
 *		blocked entity or dimension key and day.  So the table grows with what
 *		denies, not with how often.
 *
 * PROTOCOL
 *		A batch in each transaction: what some parts of shared memory have, taken
 *		and written by one statement, in the order of the rows' key.  Shared memory
 *		forgets it when the transaction has committed.  gov_maintain() does the
 *		same: what one transaction has taken no other takes, so that no two write
 *		one row at once.
 *
 * LOCKING
 *		RowExclusiveLock on gov_rollup_state and on gov_denials, and AccessShareLock
 *		on gov_assignments, without waiting.  The first conflicts with who deletes
 *		an owner, whose denials are not to come back; who truncates budgets has
 *		the last and comes for the first.
 *
 * FAILURE
 *		An error, such as one of a user's trigger, leaves the counts where they
 *		were.  Where a lock is not to be had they wait in memory, which is bounded:
 *		denials.c says what becomes of those that do not fit.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/guc.h"
#include "base/shmem.h"
#include "base/spi.h"
#include "cache/denials.h"
#include "rollup/denial_rows.h"

#define GOV_DENIALS_BATCH	1000	/* counts that end a batch */
#define GOV_PRUNE_BATCH		1000

/* The columns of a batch. */
typedef enum GovDenialColumn
{
	OWNER,
	BUDGET,
	ENTITY,
	CAPABILITY,
	REASON,
	DIMENSION,
	WINDOW_START,
	WINDOW_END,
	IS_CHECK,
	COUNT,
	AMOUNT,
	FIRST_AT,
	LAST_AT,
	CALLER,
	LAST_ENTITY
} GovDenialColumn;

#define COLUMNS		(LAST_ENTITY + 1)

static const Oid types[COLUMNS] = {
	TEXTOID, UUIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
	BOOLOID, INT8OID, NUMERICOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID
};

/* What a row is found by; of the unique index gov_denials_key. */
#define GOV_DENIAL_KEY \
	"owner_id, window_start, md5(coalesce(assignment_id::text, entity_id, '') || chr(1) || capability_id" \
	" || chr(1) || reason || chr(1) || is_check::text || chr(1) || coalesce('=' || dimension_key, ''))"

/*
 * A budget says whose it is, unless it has gone meanwhile.  One by a default says
 * so once it was used; before, whoever counted the denial did, so that there may
 * be two counts for one row.
 */
static GovQuery write_query = {
	.sql =
	"insert into @gov_denials as d"
	" (owner_id, assignment_id, entity_id, capability_id, reason, dimension_key, window_start, window_end,"
	"  is_check, denied_count, amount, first_at, last_at, last_caller, last_entity_id)"
	" select n.owner_id, n.assignment_id, max(coalesce(n.entity_id, a.entity_id)), n.capability_id, n.reason,"
	"  n.dimension_key, nullif(n.window_start, '-infinity'), nullif(max(n.window_end), 'infinity'),"
	"  n.is_check, sum(n.denied_count), sum(n.amount), min(n.first_at), max(n.last_at),"
	"  (array_agg(n.last_caller order by n.last_at desc))[1],"
	"  (array_agg(n.last_entity_id order by n.last_at desc))[1]"
	" from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
	"  as n(owner_id, assignment_id, entity_id, capability_id, reason, dimension_key, window_start,"
	"   window_end, is_check, denied_count, amount, first_at, last_at, last_caller, last_entity_id)"
	" left join lateral ("
	"  select g.entity_id from @gov_assignments g where g.id = n.assignment_id"
	"  union all"
	"  select c.entity_id from @gov_default_counts c where c.assignment_id = n.assignment_id"
	"  limit 1) a on true"
	" group by n.owner_id, n.assignment_id, case when n.assignment_id is null then n.entity_id end,"
	"  n.capability_id, n.reason, n.dimension_key, n.window_start, n.is_check"
	" order by n.owner_id collate \"C\", n.assignment_id, n.window_start"
	" on conflict (" GOV_DENIAL_KEY ") do update"
	" set denied_count = d.denied_count + excluded.denied_count,"
	"  amount = trim_scale(d.amount + excluded.amount),"
	"  window_end = excluded.window_end,"
	"  first_at = least(d.first_at, excluded.first_at),"
	"  last_at = excluded.last_at,"
	"  last_caller = excluded.last_caller,"
	"  last_entity_id = excluded.last_entity_id",
	.nargs = COLUMNS,
	.argtypes = {TEXTARRAYOID, UUIDARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, BOOLARRAYOID, INT8ARRAYOID, NUMERICARRAYOID,
	TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, TEXTARRAYOID}
};

/* One that was denied in the future, because the clock was ahead, waits for its time. */
static GovQuery prune_query = {
	.sql =
	"delete from @gov_denials d"
	" where d.ctid = any (array("
	"  select o.ctid from @gov_denials o where o.last_at < $1 order by o.last_at limit $2))",
	.nargs = 2,
	.argtypes = {TIMESTAMPTZOID, INT8OID}
};

/* The counts of a batch, as columns. */
typedef struct GovDenialBatch
{
	int			count;
	int			capacity;
	Datum	   *values[COLUMNS];
	bool	   *nulls[COLUMNS];
} GovDenialBatch;

/* Lock what the statement works on, without waiting. */
static bool
try_lock(void)
{
	const GovCatalog *catalog = gov_catalog();

	return OidIsValid(catalog->denials) &&
		ConditionalLockRelationOid(catalog->rollup_state, RowExclusiveLock) &&
		ConditionalLockRelationOid(catalog->assignments, AccessShareLock) &&
		ConditionalLockRelationOid(catalog->denials, RowExclusiveLock);
}

static void
make_room(GovDenialBatch *batch, int more)
{
	if (batch->count + more <= batch->capacity)
		return;
	batch->capacity = 2 * (batch->count + more);
	for (int column = 0; column < COLUMNS; column++)
	{
		Size		nvalues = sizeof(Datum) * batch->capacity;

		batch->values[column] = batch->values[column] == NULL ? palloc(nvalues) :
			repalloc(batch->values[column], nvalues);
		batch->nulls[column] = batch->nulls[column] == NULL ? palloc(batch->capacity) :
			repalloc(batch->nulls[column], batch->capacity);
	}
}

static void
set_value(GovDenialBatch *batch, GovDenialColumn column, Datum value)
{
	batch->values[column][batch->count] = value;
	batch->nulls[column][batch->count] = false;
}

static void
set_text(GovDenialBatch *batch, GovDenialColumn column, const GovDenied *denied, GovDeniedText which)
{
	bool		isnull = denied->texts[which] == NULL;

	batch->nulls[column][batch->count] = isnull;
	batch->values[column][batch->count] = isnull ? (Datum) 0 :
		PointerGetDatum(cstring_to_text_with_len(denied->texts[which], denied->lengths[which]));
}

/* Add a count; there is room for it. */
static void
add_denied(GovDenialBatch *batch, const GovDenied *denied)
{
	pg_uuid_t  *budget = palloc(sizeof(pg_uuid_t));

	*budget = denied->budget_id;
	set_text(batch, OWNER, denied, GOV_DENIED_OWNER);
	set_value(batch, BUDGET, UUIDPGetDatum(budget));
	batch->nulls[BUDGET][batch->count] = !denied->has_budget;
	set_text(batch, ENTITY, denied, GOV_DENIED_ENTITY);
	set_text(batch, CAPABILITY, denied, GOV_DENIED_CAPABILITY);
	set_value(batch, REASON, CStringGetTextDatum(gov_decide_reason(denied->reason)));
	set_text(batch, DIMENSION, denied, GOV_DENIED_DIMENSION);
	set_value(batch, WINDOW_START, TimestampTzGetDatum(denied->window.start));
	set_value(batch, WINDOW_END, TimestampTzGetDatum(denied->window.end));
	set_value(batch, IS_CHECK, BoolGetDatum(denied->is_check));
	set_value(batch, COUNT, Int64GetDatum(denied->count));
	set_value(batch, AMOUNT, NumericGetDatum(gov_amount_to_numeric(denied->amount)));
	set_value(batch, FIRST_AT, TimestampTzGetDatum(denied->first_at));
	set_value(batch, LAST_AT, TimestampTzGetDatum(denied->last_at));
	set_text(batch, CALLER, denied, GOV_DENIED_CALLER);
	set_text(batch, LAST_ENTITY, denied, GOV_DENIED_LAST_ENTITY);
	batch->count++;
}

/* Take counts until the batch is full; true when there may be more. */
static bool
fill_batch(GovDenialBatch *batch)
{
	for (int part = 0; part < GOV_DENIAL_PARTS; part++)
	{
		GovDenied  *denied;
		int			count = gov_denials_take(part, &denied);

		make_room(batch, count);
		for (int i = 0; i < count; i++)
			add_denied(batch, &denied[i]);
		if (batch->count >= GOV_DENIALS_BATCH)
			return true;
	}
	return false;
}

/* A column of the batch, as an argument of the statement. */
static Datum
column_array(const GovDenialBatch *batch, GovDenialColumn column)
{
	int			dims[1] = {batch->count};
	int			bounds[1] = {1};
	int16		length;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(types[column], &length, &by_value, &align);
	return PointerGetDatum(construct_md_array(batch->values[column], batch->nulls[column], 1, dims, bounds,
											  types[column], length, by_value, align));
}

/* Write a batch of what was denied.  True when there may be more. */
bool
gov_denial_rows_write(uint64 *ndone)
{
	GovDenialBatch batch = {0};
	Datum		args[COLUMNS];
	GovSpi		spi;
	bool		has_more;

	if (!gov_shmem_is_available() || !try_lock())
		return false;
	has_more = fill_batch(&batch);
	if (batch.count == 0)
		return has_more;
	for (int column = 0; column < COLUMNS; column++)
		args[column] = column_array(&batch, column);
	gov_spi_begin(&spi);
	gov_spi_modify(&write_query, args, NULL);
	gov_spi_end(&spi);
	*ndone += batch.count;
	return has_more;
}

/* Delete a batch of rows past governance.denial_retention. */
bool
gov_denial_rows_prune(uint64 *ndeleted)
{
	Datum		args[2];
	GovSpi		spi;
	uint64		count;

	if (gov_denial_retention_s == 0 || !try_lock())
		return false;
	args[0] = TimestampTzGetDatum(gov_clock() - gov_denial_retention_s * USECS_PER_SEC);
	args[1] = Int64GetDatum(GOV_PRUNE_BATCH);
	gov_spi_begin(&spi);
	count = gov_spi_modify(&prune_query, args, NULL);
	gov_spi_end(&spi);
	*ndeleted += count;
	return count == GOV_PRUNE_BATCH;
}
