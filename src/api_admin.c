/*
 * api_admin.c
 *		gov_maintain, gov_drop_cache, and what gov_stats and gov_verify look at.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "answer.h"
#include "catalog.h"
#include "evict.h"
#include "nodetable.h"
#include "rollup.h"
#include "shmem.h"
#include "spi.h"

PG_FUNCTION_INFO_V1(gov_cached_counters_1_0);
PG_FUNCTION_INFO_V1(gov_engine_facts_1_0);
PG_FUNCTION_INFO_V1(gov_maintain_1_0);
PG_FUNCTION_INFO_V1(gov_drop_cache_1_0);

static GovQuery left_query = {
	.sql =
	"select (select count(*) from @gov_events e"
	"  where e.id > coalesce((select r.watermark from @gov_rollup_state r), 0)),"
	" (select string_agg('process ' || w.pid, ', ' order by w.pid) from @gov_rollup_waits w)"
};

/* The counters of one stripe, copied out from under its lock. */
typedef struct GovCounterCopy
{
	int64		id;
	GovWindow	window;
	GovAmount	total;
	GovAmount	held;
	bool		is_pinned;
} GovCounterCopy;

typedef struct GovCounterCopies
{
	GovCounterCopy *items;
	int			count;
	int			capacity;
	int			wanted;
} GovCounterCopies;

static void
copy_node_counters(const GovSharedNode *node, GovCounterCopies *copies)
{
	const GovEntity *entity = gov_node_entity(node);

	for (uint32 i = 0; i < (entity ? entity->nbudgets : 0); i++)
	{
		dsa_pointer pointer;
		const GovSharedCounter *counter = gov_node_counter(node, i, &pointer);
		GovCounterCopy *copy;

		if (copies->wanted++ >= copies->capacity)
			continue;
		copy = &copies->items[copies->count++];
		copy->id = counter->id;
		copy->window = counter->window;
		copy->total = counter->total;
		copy->held = counter->held;
		copy->is_pinned = pg_atomic_read_u32(unconstify(pg_atomic_uint32 *, &counter->pins)) > 0;
	}
}

/* Copy what fits; wanted tells how much there was. */
static void
copy_stripe_counters(GovSharedStripe *stripe, Oid extension, GovCounterCopies *copies)
{
	copies->count = 0;
	copies->wanted = 0;
	gov_stripe_lock(stripe, LW_SHARED);
	for (uint32 b = 0; b < stripe->nbuckets; b++)
	{
		dsa_pointer pointer = *gov_nodetable_bucket_number(stripe, b);

		while (DsaPointerIsValid(pointer))
		{
			const GovSharedNode *node = dsa_get_address(gov_shmem_memory(), pointer);

			if (node->database == MyDatabaseId && node->extension == extension)
				copy_node_counters(node, copies);
			pointer = node->next;
		}
	}
	gov_stripe_unlock(stripe);
}

static void
put_counters(ReturnSetInfo *result, const GovCounterCopies *copies)
{
	for (int i = 0; i < copies->count; i++)
	{
		const GovCounterCopy *copy = &copies->items[i];
		Datum		values[6];
		bool		nulls[6] = {false};

		values[0] = Int64GetDatum(copy->id);
		values[1] = TimestampTzGetDatum(copy->window.start);
		values[2] = TimestampTzGetDatum(copy->window.end);
		values[3] = NumericGetDatum(gov_amount_to_numeric(copy->total));
		values[4] = NumericGetDatum(gov_amount_to_numeric(copy->held));
		values[5] = BoolGetDatum(copy->is_pinned);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

Datum
gov_cached_counters_1_0(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			extension = gov_catalog()->extension;
	GovCounterCopies copies = {NULL, 0, 0, 0};

	InitMaterializedSRF(fcinfo, 0);
	for (int s = 0; gov_shmem_is_available() && s < GOV_STRIPES; s++)
	{
		gov_shmem_memory();
		copy_stripe_counters(gov_stripe(s), extension, &copies);
		while (copies.wanted > copies.capacity)
		{
			if (copies.items != NULL)
				pfree(copies.items);
			copies.capacity = 2 * copies.wanted;
			copies.items = palloc_extended(sizeof(GovCounterCopy) * copies.capacity,
										   MCXT_ALLOC_HUGE);
			copy_stripe_counters(gov_stripe(s), extension, &copies);
		}
		put_counters(result, &copies);
	}
	return (Datum) 0;
}

static void
put_fact(ReturnSetInfo *result, const char *name, uint64 value)
{
	Datum		values[2];
	bool		nulls[2] = {false, false};

	values[0] = CStringGetTextDatum(name);
	values[1] = NumericGetDatum(int64_to_numeric((int64) value));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* The process of this database's worker, 0 when it has none. */
static pid_t
worker_pid(void)
{
	pid_t		pid = 0;

	LWLockAcquire(&gov_shared->workers_lock, LW_SHARED);
	for (int i = 0; i < GOV_WORKER_SLOTS; i++)
	{
		if (gov_shared->workers[i].database == MyDatabaseId &&
			gov_shared->workers[i].extension == gov_catalog()->extension)
			pid = gov_shared->workers[i].pid;
	}
	LWLockRelease(&gov_shared->workers_lock);
	return pid;
}

Datum
gov_engine_facts_1_0(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	uint64		hits = 0;
	uint64		denials = 0;
	uint64		nodes = 0;

	InitMaterializedSRF(fcinfo, 0);
	if (!gov_shmem_is_available())
		return (Datum) 0;
	gov_catalog();				/* look it up with no lock held */
	for (int i = 0; i < GOV_STRIPES; i++)
	{
		hits += pg_atomic_read_u64(&gov_stripe(i)->hits);
		denials += pg_atomic_read_u64(&gov_stripe(i)->denials);
		nodes += gov_stripe(i)->nnodes;
	}
	put_fact(result, "cache_hits", hits);
	put_fact(result, "cache_loads", pg_atomic_read_u64(&gov_shared->loads));
	put_fact(result, "cache_evictions", pg_atomic_read_u64(&gov_shared->evictions));
	put_fact(result, "cache_nodes", nodes);
	put_fact(result, "cache_used_bytes", pg_atomic_read_u64(&gov_shared->memory_used));
	put_fact(result, "cache_size_bytes", gov_shared->memory_size);
	put_fact(result, "events", pg_atomic_read_u64(&gov_shared->events));
	put_fact(result, "denials", denials);
	put_fact(result, "worker_pid", worker_pid());
	return (Datum) 0;
}

/* Roll up until there is nothing left, or something is in the way. */
static uint64
roll_up(void)
{
	uint64		total = 0;
	uint64		nevents;

	while (gov_rollup_round(&nevents) == GOV_ROLLUP_MOVED)
		total += nevents;
	return total;
}

static uint64
prune(void)
{
	uint64		total = 0;
	uint64		ndeleted;

	while ((ndeleted = gov_rollup_prune()) > 0)
		total += ndeleted;
	return total;
}

Datum
gov_maintain_1_0(PG_FUNCTION_ARGS)
{
	static GovRowType type;
	GovSpi		spi;
	Datum		values[4];
	bool		nulls[4] = {false};
	int64		nleft;
	char	   *pids;
	bool		isnull;
	MemoryContext caller = CurrentMemoryContext;

	PreventCommandIfReadOnly("gov_maintain()");
	PreventCommandDuringRecovery("gov_maintain()");
	values[0] = Int64GetDatum(roll_up());
	values[1] = Int64GetDatum(prune());

	gov_spi_begin(&spi);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	gov_spi_select(&left_query, NULL, NULL);
	nleft = DatumGetInt64(gov_spi_value(0, 1, &isnull));
	pids = gov_spi_text(0, 2);
	gov_spi_pop_snapshot();
	values[2] = Int64GetDatum(nleft);
	nulls[3] = nleft == 0 && pids == NULL;
	values[3] = (Datum) 0;
	if (!nulls[3])
	{
		MemoryContext old = MemoryContextSwitchTo(caller);

		values[3] = CStringGetTextDatum(pids ? pids : "another round");
		MemoryContextSwitchTo(old);
	}
	gov_spi_end(&spi);
	return gov_answer_row(fcinfo, &type, values, nulls);
}

Datum
gov_drop_cache_1_0(PG_FUNCTION_ARGS)
{
	if (gov_shmem_is_available())
	{
		gov_shmem_memory();
		pg_atomic_fetch_add_u64(gov_shmem_generation(MyDatabaseId), 1);
		pg_atomic_fetch_add_u64(gov_shmem_type_generation(MyDatabaseId), 1);
		gov_node_evict_everything();
	}
	PG_RETURN_VOID();
}
