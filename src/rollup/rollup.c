/*
 * rollup.c
 *		Moves the ledger's sums into gov_usage and gov_usage_by_time.
 *
 * PURPOSE
 *		A load reads the rolled-up usage and the ledger's tail behind the
 *		watermark; rolling up keeps the tail short.  It never touches the
 *		cache: usage plus tail is the same sum before and after.
 *
 * PROTOCOL
 *		README.md explains the fence.  A batch is read in the order of ids and
 *		added up in memory (tally.c, hourly.c); then each row of both tables that
 *		it concerns is written once (rollup_write.c), alerts are raised that no
 *		commit has raised (rollup_alert.c), and the watermark moves to the last id
 *		that was read.  The cost of a batch is mostly that of the rows which it
 *		writes, so events are cheaper when many are of one row: therefore the
 *		worker lets them gather (worker.c).
 *
 * LIMITS
 *		A batch ends after GOV_BATCH_EVENTS events or with GOV_BATCH_SUMS sums,
 *		whichever comes first, so that its memory is bounded whatever the events
 *		were charged to, and whoever waits for its locks waits a moment.  Gaps
 *		between ids cost nothing.
 *
 * LOCKING
 *		ShareUpdateExclusiveLock on gov_rollup_state, so that there is one round
 *		at a time in a database, then the tables; a lock that cannot be had at
 *		once ends the round.  Whoever deletes a budget takes ShareLock on
 *		gov_rollup_state, so that no round brings back the usage that the
 *		deletion has removed.
 *
 * INVARIANTS
 *		Rows, alerts and watermark move in one transaction.
 *
 * FAILURE
 *		An error leaves everything as it was; the round is tried again later.
 *		Without the ledger's primary key, which its owner may drop, rows come in
 *		no order, and a batch is all that is up to the fence.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/spi.h"
#include "cache/tail.h"
#include "ledger/columns.h"
#include "ledger/statements.h"
#include "ledger/tally.h"
#include "rollup/forget.h"
#include "rollup/hourly.h"
#include "rollup/pool_alert.h"
#include "rollup/rollup.h"
#include "rollup/rollup_write.h"

/* What one transaction rolls up at most, in about half a second. */
#define GOV_BATCH_EVENTS	200000	/* rows of the ledger */
#define GOV_BATCH_SUMS		60000	/* what they come to, in rows of both
									 * tables */

/* Up to which id the ledger is complete once these transactions have ended. */
typedef struct GovFence
{
	bool		is_set;
	Oid			sequence;
	int64		last_id;
	TimestampTz set_at;			/* ids drawn before that are up to last_id */
	int			ntransactions;
	VirtualTransactionId *transactions;
} GovFence;

static GovFence fence;
static TimestampTz complete_until = DT_NOBEGIN;

static GovQuery positions_query = {
	.sql =
	"select " GOV_SQL_WATERMARK ","
	" (select case when s.is_called then s.last_value else 0 end from @gov_events_id_seq s)"
};

static GovQuery move_query = {
	.sql =
	"insert into @gov_rollup_state as r (id, watermark, updated_at)"
	" values (1, $1, $2)"
	" on conflict (id) do update"
	" set watermark = excluded.watermark, updated_at = excluded.updated_at",
	.nargs = 2,
	.argtypes = {INT8OID, TIMESTAMPTZOID}
};

/* Set the fence at an id that was the last one drawn, at a time or later. */
static void
set_fence(int64 last_id, TimestampTz at)
{
	LOCKTAG		tag;
	VirtualTransactionId *holders;
	VirtualTransactionId *kept;
	int			count;

	Oid			sequence = gov_catalog()->events_id_seq;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, sequence);
	holders = GetLockConflicts(&tag, ShareLock, &count);
	GOV_FAULT(GOV_FAULT_MEMORY);
	kept = MemoryContextAlloc(TopMemoryContext,
							  sizeof(VirtualTransactionId) * (count + 1));
	memcpy(kept, holders, sizeof(VirtualTransactionId) * count);

	if (fence.transactions != NULL)
		pfree(fence.transactions);
	fence.transactions = kept;
	fence.sequence = sequence;
	fence.ntransactions = count;
	fence.last_id = last_id;
	fence.set_at = at;
	fence.is_set = true;
}

/* Have all the transactions of the fence ended? */
static bool
fence_is_open(void)
{
	int			left = 0;

	for (int i = 0; i < fence.ntransactions; i++)
	{
		if (!VirtualXactLock(fence.transactions[i], false))
			fence.transactions[left++] = fence.transactions[i];
	}
	fence.ntransactions = left;
	return left == 0;
}

static void
read_positions(int64 *watermark, int64 *last_id)
{
	bool		isnull;

	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	gov_spi_select(&positions_query, NULL, NULL);
	*watermark = DatumGetInt64(gov_spi_value(0, 1, &isnull));
	*last_id = DatumGetInt64(gov_spi_value(0, 2, &isnull));
	gov_spi_pop_snapshot();
}

/* A batch of the ledger, added up. */
typedef struct GovRollupBatch
{
	GovTally   *tally;
	GovHourly  *hourly;
	GovForgetting *forgetting;	/* NULL: nobody is being forgotten */
	int64		last_id;		/* of the rows added */
	int64		nevents;
	bool		may_end;		/* its rows come in the order of their ids */
	bool		is_full;
} GovRollupBatch;

/* Add a row of the ledger to the batch, if there is room. */
static const void *
add_event(const Datum *values, const bool *nulls, void *state)
{
	GovRollupBatch *batch = state;

	if (batch->may_end &&
		((batch->forgetting != NULL && gov_forget_is_later(batch->forgetting, values)) ||
		 batch->nevents >= GOV_BATCH_EVENTS ||
		 gov_tally_count(batch->tally) + gov_hourly_count(batch->hourly) >= GOV_BATCH_SUMS))
	{
		batch->is_full = true;
		return NULL;
	}
	batch->nevents++;
	batch->last_id = DatumGetInt64(values[GOV_EVENT_ID]);
	return gov_hourly_add(batch->hourly, values, nulls);
}

/*
 * Add up the events after one id and up to another, at most a batch of them.
 */
static void
read_batch(GovRollupBatch *batch, int64 from, int64 to)
{
	GovTallyRange range = {.after = from, .upto = to};

	memset(batch, 0, sizeof(*batch));
	batch->tally = gov_tally_create(CurrentMemoryContext);
	batch->hourly = gov_hourly_create(CurrentMemoryContext, gov_rollup_grain());
	batch->forgetting = gov_forget_list();
	batch->last_id = from;
	batch->may_end = OidIsValid(gov_catalog()->events_pkey) && !IgnoreSystemIndexes;
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	range.snapshot = GetActiveSnapshot();
	gov_tally_add(batch->tally, &range, add_event, batch);
	gov_spi_pop_snapshot();
	if (!batch->is_full)
		batch->last_id = to;
}

/*
 * Roll up the events after one id and up to another, at most a batch of them;
 * returns the id up to which that was.
 */
static int64
move_watermark(int64 from, int64 to, uint64 *nevents)
{
	GovRollupBatch batch;
	Datum		args[2];
	GovReached *reached;
	int			nreached;
	Datum		drawn_from;
	Datum		drawn_at;
	bool		has_draws;

	read_batch(&batch, from, to);
	has_draws = gov_rollup_write_draws(batch.tally, &drawn_from, &drawn_at);
	nreached = gov_rollup_write_usage(batch.tally, &reached);
	gov_rollup_write_hourly(batch.hourly);
	gov_rollup_raise_alerts(reached, nreached, from, batch.last_id);
	args[0] = Int64GetDatum(batch.last_id);
	args[1] = TimestampTzGetDatum(gov_clock());
	gov_spi_modify(&move_query, args, NULL);
	if (has_draws)
		gov_pool_alert_raise_late(drawn_from, drawn_at);
	gov_tail_note_rolled_up(batch.last_id);
	*nevents = batch.nevents;
	return batch.last_id;
}

static GovRollupResult
roll_up(uint64 *nevents)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		watermark;
	int64		last_id;
	int64		moved;

	read_positions(&watermark, &last_id);
	gov_tail_note_rolled_up(watermark);
	if (!fence.is_set || fence.sequence != gov_catalog()->events_id_seq ||
		fence.last_id <= watermark)
		set_fence(last_id, now);
	if (fence.last_id <= watermark)
	{
		complete_until = fence.set_at;
		return GOV_ROLLUP_NOTHING;
	}
	if (!fence_is_open())
		return GOV_ROLLUP_BLOCKED;
	moved = move_watermark(watermark, fence.last_id, nevents);
	if (moved == fence.last_id)
		complete_until = fence.set_at;
	return moved > watermark ? GOV_ROLLUP_MOVED : GOV_ROLLUP_BLOCKED;
}

/*
 * The time before which everything recorded is rolled up, as far as this
 * process knows.
 */
TimestampTz
gov_rollup_complete_until(void)
{
	return complete_until;
}

/*
 * Lock what a round works on, without waiting; false if that cannot be had.
 * There is one round at a time in a database, and none while a budget is being
 * deleted.
 */
static bool
try_lock(void)
{
	const GovCatalog *catalog = gov_catalog();

	return ConditionalLockRelationOid(catalog->rollup_state, ShareUpdateExclusiveLock) &&
		ConditionalLockRelationOid(catalog->rollup_state, RowExclusiveLock) &&
		ConditionalLockRelationOid(catalog->assignments, AccessShareLock) &&
		ConditionalLockRelationOid(catalog->events, RowExclusiveLock) &&
		ConditionalLockRelationOid(catalog->usage, RowExclusiveLock) &&
		(!OidIsValid(catalog->grant_usage) ||
		 (ConditionalLockRelationOid(catalog->grants, AccessShareLock) &&
		  ConditionalLockRelationOid(catalog->grant_usage, RowExclusiveLock))) &&
		ConditionalLockRelationOid(catalog->alerts, RowExclusiveLock) &&
		ConditionalLockRelationOid(catalog->alert_policies, AccessShareLock) &&
		ConditionalLockRelationOid(catalog->usage_by_time, RowExclusiveLock);
}

/* Roll up one batch, as far as that goes without waiting. */
GovRollupResult
gov_rollup_round(uint64 *nevents)
{
	GovSpi		spi;
	GovRollupResult result;

	*nevents = 0;
	if (!try_lock())
		return GOV_ROLLUP_BLOCKED;
	gov_spi_begin(&spi);
	result = roll_up(nevents);
	gov_spi_end(&spi);
	return result;
}
