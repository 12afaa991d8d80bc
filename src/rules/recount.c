/*
 * recount.c
 *		Counts a budget again from the ledger.
 *
 * PURPOSE
 *		A budget that is made in mid-month has not seen the month, and one whose
 *		entity has got another below it not what that has used.  Here its usage is
 *		added up again from the ledger, by the rule of today, and written to
 *		gov_usage under a counter of its own: for past windows and the present
 *		one.  Later events, late ones too, are charged to that counter.
 *
 * PROTOCOL
 *		1. Lock the budget's row, so that nobody else changes or recounts it
 *		   (recount_lock.c).
 *		2. Add up what is rolled up: no more events come with such ids.  This
 *		   takes long, and calls go on meanwhile.
 *		3. Keep rollup and retention away, and then calls of the owner
 *		   (cache/barrier.c), to the end of the transaction.
 *		4. Add up the rest, under a snapshot that sees all that there is.
 *		5. Draw another counter for the budget, and write its windows.  What the
 *		   former counter was charged is dropped by the rollup from now on.
 *
 *		If retention has deleted of what was added up between 2 and 3, all is
 *		added up again, this time with retention kept away.
 *
 * BASE
 *		A row of gov_recounts says by what an event of the ledger was counted, and
 *		up to which id; so gov_verify adds up the same again, and retention notes
 *		what it deletes of that.
 *
 * HOLDS
 *		Open holds stay held against the budgets that they were made on.
 *
 * FAILURE
 *		42704 for a budget that there is not, or that the session may not see;
 *		55000 where retention has deleted what is needed, while somebody of the
 *		owner is being forgotten, and in a transaction that has used the owner
 *		itself; 54000 for a scope of more than 63
 *		entities.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/owner.h"
#include "base/spi.h"
#include "cache/barrier.h"
#include "cache/frozen.h"
#include "cache/load_steps.h"
#include "ledger/statements.h"
#include "rules/recount.h"
#include "rules/recount_lock.h"
#include "rules/recount_write.h"

#define GOV_SETS_MAX		64	/* the entity, and those of the scope */
#define GOV_BULK_ROUNDS		10	/* in which the bulk is read */
#define GOV_BULK_REST		1000	/* ids that are left to the tail */

/* An entity with all that is below it now. */
static GovQuery below_query = {
	.sql =
	"with recursive below as ("
	" select $2 collate \"C\" as id"
	" union"
	" select e.id from below b, lateral (select c.id from @gov_entities c"
	"  where c.owner_id = $1 and c.parent_id = b.id offset 0) e)"
	"select b.id from below b",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID}
};

static GovQuery positions_query = {
	.sql =
	"select " GOV_SQL_WATERMARK ","
	" (select case when s.is_called then s.last_value else 0 end from @gov_events_id_seq s),"
	" greatest((select r.events_deleted_to from @gov_rollup_state r),"
	"  (select i.events_deleted_to from @gov_imports i where i.owner_id = $1))",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

static GovQuery forgotten_query = {
	.sql = "select from @gov_forgotten f where f.owner_id = $1",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

static GovQuery former_query = {
	.sql = "select u.amount from @gov_usage u where u.counter_id = $1 and u.window_start = $2",
	.nargs = 2,
	.argtypes = {INT8OID, TIMESTAMPTZOID}
};

/* ---------------------------------------------------------------- what is recounted */

/* One set: an entity, and with the tree all that is below it. */
static void
read_set(GovRecount *recount, text *id, int set)
{
	Datum		args[2] = {CStringGetTextDatum(recount->owner), PointerGetDatum(id)};
	uint64		nrows;

	gov_recount_sum_add_member(recount->sum, VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id), set);
	if (!recount->is_by_tree)
		return;
	nrows = gov_spi_select(&below_query, args, NULL);
	for (uint64 row = 0; row < nrows; row++)
	{
		char	   *below = gov_spi_text(row, 1);

		gov_recount_sum_add_member(recount->sum, below, strlen(below), set);
	}
	SPI_freetuptable(SPI_tuptable);
}

/* Begin to count: read which entities an event must have. */
static void
begin_sum(GovRecount *recount)
{
	MemoryContext caller = MemoryContextSwitchTo(recount->context);
	Datum	   *scope;
	int			nscope;
	GovSpi		spi;

	deconstruct_array(recount->scope, TEXTOID, -1, false, TYPALIGN_INT, &scope, NULL, &nscope);
	if (nscope >= GOV_SETS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("cannot recount a budget with a scope of more than %d entities",
						GOV_SETS_MAX - 1)));
	recount->sum = gov_recount_sum_begin(&recount->rule, recount->capability, recount->since);
	recount->counted_until = PG_INT64_MIN;
	MemoryContextSwitchTo(caller);

	gov_spi_begin(&spi);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	read_set(recount, recount->entity, 0);
	for (int i = 0; i < nscope; i++)
		read_set(recount, DatumGetTextPP(scope[i]), i + 1);
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
}

/* ---------------------------------------------------------------- the ledger */

/* How far things are, as of one snapshot. */
typedef struct GovPositions
{
	int64		watermark;
	int64		last_id;
	TimestampTz deleted_to;		/* DT_NOBEGIN: nothing was */
} GovPositions;

/* The active snapshot serves. */
static GovPositions
read_positions(const GovRecount *recount)
{
	Datum		args[1] = {CStringGetTextDatum(recount->owner)};
	GovPositions positions;
	GovSpi		spi;
	bool		isnull;

	gov_spi_begin(&spi);
	gov_spi_select(&positions_query, args, NULL);
	positions.watermark = DatumGetInt64(gov_spi_value(0, 1, &isnull));
	positions.last_id = DatumGetInt64(gov_spi_value(0, 2, &isnull));
	positions.deleted_to = DatumGetTimestampTz(gov_spi_value(0, 3, &isnull));
	if (isnull)
		TIMESTAMP_NOBEGIN(positions.deleted_to);
	gov_spi_end(&spi);
	return positions;
}

static GovPositions
present_positions(const GovRecount *recount)
{
	GovPositions positions;

	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	positions = read_positions(recount);
	gov_spi_pop_snapshot();
	return positions;
}

pg_noreturn static void
raise_deleted(TimestampTz deleted_to)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the events to recount from have been deleted"),
			 errdetail("governance.event_retention has deleted events up to %s.",
					   timestamptz_to_str(deleted_to)),
			 errhint("Pass a later time as since.")));
}

/*
 * Determine from when on is counted.  As far as the ledger goes means from the first
 * window that it has as a whole.
 */
static void
choose_since(GovRecount *recount, TimestampTz deleted_to)
{
	recount->since = recount->asked_since;
	if (TIMESTAMP_IS_NOBEGIN(deleted_to))
		return;
	if (TIMESTAMP_IS_NOBEGIN(recount->asked_since))
		recount->since = gov_recount_window(&recount->rule, deleted_to).end;
	if (recount->since <= deleted_to ||
		(TIMESTAMP_IS_NOBEGIN(recount->asked_since) && recount->since > recount->present.start))
		raise_deleted(deleted_to);
}

/* Add up to an id, as the active snapshot has it. */
static void
count_range(GovRecount *recount, int64 upto)
{
	GovTallyRange range = {
		.owner = recount->owner,
		.owner_length = strlen(recount->owner),
		.after = recount->counted_until,
		.upto = upto,
		.snapshot = GetActiveSnapshot()
	};

	gov_recount_sum_add(recount->sum, &range);
	recount->counted_until = upto;
}

/* Add up what is rolled up, while calls go on. */
static void
count_bulk(GovRecount *recount)
{
	for (int round = 0; round < GOV_BULK_ROUNDS; round++)
	{
		GovPositions positions;

		gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
		positions = read_positions(recount);
		if (positions.watermark > recount->counted_until)
			count_range(recount, positions.watermark);
		gov_spi_pop_snapshot();
		if (present_positions(recount).watermark <= recount->counted_until + GOV_BULK_REST)
			break;
	}
}

/* Count all that there was before calls are kept out. */
static void
count_before(GovRecount *recount)
{
	recount->present = gov_recount_window(&recount->rule, gov_clock());
	choose_since(recount, present_positions(recount).deleted_to);
	begin_sum(recount);
	count_bulk(recount);
}

/*
 * Keep the rollup away, and retention.  What this has deleted meanwhile may have
 * been counted: then all is counted anew.
 */
static void
keep_rollup_away(GovRecount *recount)
{
	TimestampTz deleted_to;

	LockRelationOid(gov_catalog()->rollup_state, ShareLock);
	deleted_to = present_positions(recount).deleted_to;
	if (!TIMESTAMP_IS_NOBEGIN(deleted_to) && deleted_to >= recount->since)
		count_before(recount);
}

/* Add up the rest: no call is in flight, and the snapshot sees all. */
static void
count_rest(GovRecount *recount, GovRecountResult *result)
{
	Datum		args[2] = {
		Int64GetDatum(recount->former_counter), TimestampTzGetDatum(recount->present.start)
	};
	GovPositions positions;
	GovSpi		spi;
	bool		isnull;

	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	positions = read_positions(recount);
	if (positions.watermark > recount->counted_until)
		count_range(recount, positions.watermark);
	gov_recount_sum_watch(recount->sum, recount->former_counter, recount->present.start);
	count_range(recount, PG_INT64_MAX);
	recount->through_id = positions.last_id;
	result->former_usage = gov_recount_sum_watched(recount->sum);

	gov_spi_begin(&spi);
	if (gov_spi_select(&former_query, args, NULL) > 0)
		result->former_usage += gov_load_amount(0, 1, &isnull);
	gov_spi_end(&spi);
	gov_spi_pop_snapshot();
}

/* ---------------------------------------------------------------- all of it */

/*
 * What is recorded of somebody who was forgotten has the former id until the worker
 * has rewritten it: then events do not say whom they count for.
 */
static void
require_nobody_forgotten(GovRecount *recount)
{
	Datum		args[1] = {CStringGetTextDatum(recount->owner)};
	GovSpi		spi;
	uint64		count;

	gov_spi_begin(&spi);
	count = gov_spi_modify(&forgotten_query, args, NULL);
	gov_spi_end(&spi);
	if (count > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("somebody of owner \"%s\" is being forgotten", gov_error_shown(recount->owner)),
				 errdetail("What was recorded is still being rewritten."),
				 errhint("Try again when gov_forgotten has no row of the owner.")));
}

/* Lock what will be written, so that no table is waited for while calls are kept out. */
static void
lock_tables(void)
{
	LockRelationOid(gov_catalog()->assignments, RowExclusiveLock);
	LockRelationOid(gov_catalog()->usage, RowExclusiveLock);
	LockRelationOid(gov_catalog()->recounts, RowExclusiveLock);
	LockRelationOid(gov_catalog()->default_counts, RowExclusiveLock);
	LockRelationOid(gov_catalog()->changes, RowExclusiveLock);
}

/* Count a budget again, from a time on; DT_NOBEGIN: as far as the ledger goes. */
void
gov_recount(const pg_uuid_t *assignment_id, TimestampTz since, bool is_by_tree,
			GovRecountResult *result)
{
	GovRecount	recount = {
		.id = *assignment_id,
		.asked_since = since,
		.is_by_tree = is_by_tree,
		.context = CurrentMemoryContext
	};
	const GovRecounted *present;

	memset(result, 0, sizeof(*result));
	LockRelationOid(gov_catalog()->forgotten, ShareLock);	/* nobody is forgotten
															 * meanwhile */
	gov_recount_lock(&recount);
	require_nobody_forgotten(&recount);
	gov_barrier_require_unused(&recount.owner_key);
	count_before(&recount);
	lock_tables();
	gov_barrier_await_calls(&recount.owner_key);
	keep_rollup_away(&recount);
	gov_barrier_raise(&recount.owner_key);
	gov_frozen_require_open(recount.owner_key.owner, recount.owner_key.owner_length);
	count_rest(&recount, result);
	gov_recount_write(&recount);

	present = gov_recount_sum_find(recount.sum, recount.present.start);
	result->present = recount.present;
	result->usage = present != NULL ? present->amount : 0;
	result->since = recount.since;
	result->nwindows = gov_recount_sum_count(recount.sum);
	result->nevents = gov_recount_sum_events(recount.sum);
}
