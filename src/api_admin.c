/*
 * api_admin.c
 *		gov_maintain, gov_drop_cache, gov_reset_clock, gov_now, and what gov_stats,
 *		gov_setup_check and gov_verify look at.
 *
 * FAILURE
 *		A step of gov_maintain() that fails is undone and a warning; the others'
 *		work stays.
 */
#include "postgres.h"

#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/attempt.h"
#include "base/catalog.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/owner.h"
#include "base/shmem.h"
#include "base/spi.h"
#include "base/worker_slots.h"
#include "cache/changes.h"
#include "cache/inspect.h"
#include "cache/node_memory.h"
#include "cache/reset.h"
#include "cache/tail.h"
#include "call/answer.h"
#include "call/hold_expire.h"
#include "call/request.h"
#include "ledger/statements.h"
#include "rollup/pass.h"
#include "rollup/rollup.h"
#include "rollup/step.h"
#include "rollup/tidy.h"
#include "rollup/waits.h"

PG_FUNCTION_INFO_V1(gov_cached_counters_1_0);
PG_FUNCTION_INFO_V1(gov_cached_counters_1_1);
PG_FUNCTION_INFO_V1(gov_engine_facts_1_0);
PG_FUNCTION_INFO_V1(gov_worker_failures_1_1);
PG_FUNCTION_INFO_V1(gov_maintain_1_0);
PG_FUNCTION_INFO_V1(gov_drop_cache_1_0);
PG_FUNCTION_INFO_V1(gov_now_1_0);
PG_FUNCTION_INFO_V1(gov_reset_clock_1_1);
PG_FUNCTION_INFO_V1(gov_library_version_1_1);

/*
 * How many events are left at most, as gov_stats says it; and who is in the
 * rollup's way.
 */
static GovQuery left_query = {
	.sql =
	"select (select coalesce(1 + max(e.id) - min(e.id), 0) from @gov_events e"
	"  where e.id > " GOV_SQL_WATERMARK "),"
	" (select string_agg(" GOV_ROLLUP_WAITER("w") ", ', ' order by w.pid) from @gov_rollup_waits w)"
};

static void
put_counters(ReturnSetInfo *result, const GovCounterCopy *copies, int count)
{
	for (int i = 0; i < count; i++)
	{
		const GovCounterCopy *copy = &copies[i];
		Datum		values[7];
		bool		nulls[7] = {false};

		values[0] = Int64GetDatum(copy->id);
		values[1] = TimestampTzGetDatum(copy->window.start);
		/* of a debt, when it last grew; what stands for never is no time to show */
		values[2] = TimestampTzGetDatum(copy->window.end == GOV_NEVER_OWED ? DT_NOBEGIN :
										copy->window.end);
		values[3] = NumericGetDatum(gov_amount_to_numeric(copy->total));
		values[4] = NumericGetDatum(gov_amount_to_numeric(copy->held));
		values[5] = BoolGetDatum(copy->is_pinned);
		values[6] = NumericGetDatum(gov_amount_to_numeric(copy->carried));	/* since 1.1 */
		nulls[4] = copy->is_before;
		nulls[6] = !copy->is_before;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/* The counters of one owner, which are all on one stripe, or of every owner. */
static void
put_counters_of(FunctionCallInfo fcinfo, const char *owner)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			extension = gov_catalog()->extension;
	GovOwnerKey key = {0};

	InitMaterializedSRF(fcinfo, 0);
	if (owner != NULL)
		gov_node_owner_key_init(&key, MyDatabaseId, extension, owner, strlen(owner));
	for (int s = 0; gov_shmem_is_available() && s < GOV_STRIPES; s++)
	{
		GovCounterCopy *copies;
		int			count;

		if (owner != NULL && s != key.stripe)
			continue;
		count = gov_inspect_counters(s, extension, owner, &copies, NULL);
		put_counters(result, copies, count);
		pfree(copies);
	}
}

Datum
gov_cached_counters_1_0(PG_FUNCTION_ARGS)
{
	put_counters_of(fcinfo, gov_owner_pin());
	return (Datum) 0;
}

Datum
gov_cached_counters_1_1(PG_FUNCTION_ARGS)
{
	char	   *owner;

	if (PG_ARGISNULL(0))
		return gov_cached_counters_1_0(fcinfo);
	owner = text_to_cstring(PG_GETARG_TEXT_PP(0));
	gov_owner_require(owner);
	put_counters_of(fcinfo, owner);
	return (Datum) 0;
}

Datum
gov_now_1_0(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(gov_clock());
}

/* The version that the library was built as. */
Datum
gov_library_version_1_1(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(GOV_VERSION));
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

Datum
gov_engine_facts_1_0(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	uint64		hits = 0;
	uint64		denials = 0;
	uint64		nodes = 0;

	gov_owner_require_unpinned("gov_engine_facts()");
	InitMaterializedSRF(fcinfo, 0);
	if (!gov_shmem_is_available())
		return (Datum) 0;
	gov_catalog();				/* look it up with no lock held */
	for (int i = 0; i < GOV_STRIPES; i++)
	{
		hits += pg_atomic_read_u64(&gov_stripe(i)->hits);
		denials += pg_atomic_read_u64(&gov_stripe(i)->denials);
		nodes += gov_stripe(i)->nnodes; /* a stale value will do */
	}
	put_fact(result, "cache_hits", hits);
	put_fact(result, "cache_loads", pg_atomic_read_u64(&gov_shared->loads));
	put_fact(result, "cache_evictions", pg_atomic_read_u64(&gov_shared->evictions));
	put_fact(result, "cache_nodes", nodes);
	put_fact(result, "cache_used_bytes", gov_shmem_memory_used());
	put_fact(result, "cache_size_bytes", gov_shared->memory_size);
	put_fact(result, "events", pg_atomic_read_u64(&gov_shared->events));
	put_fact(result, "denials", denials);
	put_fact(result, "denials_not_kept", pg_atomic_read_u64(&gov_shared->denials_unkept));
	put_fact(result, "creations_refused", pg_atomic_read_u64(&gov_shared->creations_refused));
	put_fact(result, "alerts_not_told", pg_atomic_read_u64(&gov_shared->alerts_untold));
	put_fact(result, "worker_pid", gov_worker_pid());
	return (Datum) 0;
}

Datum
gov_worker_failures_1_1(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	gov_owner_require_unpinned("gov_worker_failures()");
	gov_catalog();				/* look it up with no lock held */
	InitMaterializedSRF(fcinfo, 0);
	for (int step = 0; step < GOV_STEPS; step++)
	{
		GovSharedFailure failure = gov_step_failure(step);
		bool		is_well = failure.sqlerrcode == 0;
		Datum		values[6];
		bool		nulls[6] = {false, false, is_well, is_well, is_well, is_well};

		values[0] = CStringGetTextDatum(gov_step_name(step));
		values[1] = Int64GetDatum(failure.count);
		values[2] = CStringGetTextDatum(unpack_sql_state(failure.sqlerrcode));
		values[3] = TimestampTzGetDatum(failure.since);
		values[4] = TimestampTzGetDatum(failure.last_at);
		values[5] = CStringGetTextDatum(failure.message);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* ---------------------------------------------------------------- gov_maintain */

/* What a step does, and has done. */
typedef struct GovStepWork
{
	const GovTidying *tidying;
	uint64		done;
} GovStepWork;

/* Expire the holds whose time has passed and that nobody has locked. */
static void
expire_all(void *arg)
{
	GovStepWork *work = arg;
	TimestampTz now = gov_clock();
	TimestampTz after = DT_NOBEGIN;

	if (!gov_shmem_is_available() || !gov_hold_expire_try_lock())
		return;
	while (gov_hold_expire_next(&after, now, &work->done))
		CHECK_FOR_INTERRUPTS();
}

/* Roll up until there is nothing left, or something is in the way. */
static void
roll_up(void *arg)
{
	GovStepWork *work = arg;
	uint64		nevents;

	while (gov_rollup_round(&nevents) == GOV_ROLLUP_MOVED)
		work->done += nevents;
}

static void
tidy_database(void *arg)
{
	GovStepWork *work = arg;

	while (work->tidying->batch(&work->done))
		CHECK_FOR_INTERRUPTS();
}

/*
 * Is an error not the step's fault, but the server's, its administrator's, or
 * one that another try may not meet?
 */
static bool
is_no_steps_fault(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
		case ERRCODE_INTERNAL_ERROR:
			return true;
		default:
			return false;
	}
}

/*
 * Run a step in a subtransaction, so that one which fails takes nothing from the
 * others; returns what it has done.
 */
static uint64
try_step(GovStep step, void (*body) (void *arg), const GovTidying *tidying, StringInfo failures)
{
	GovStepWork work = {.tidying = tidying};
	ErrorData  *error = gov_attempt(body, &work);

	if (error == NULL)
		return work.done;
	if (is_no_steps_fault(error->sqlerrcode))
		ReThrowError(error);
	appendStringInfo(failures, "%s%s (%s)", failures->len > 0 ? ", " : "",
					 gov_step_name(step), unpack_sql_state(error->sqlerrcode));
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("step \"%s\" of gov_maintain() failed: %s", gov_step_name(step),
					error->message),
			 error->detail ? errdetail_internal("%s", error->detail) : 0,
			 error->hint ? errhint("%s", error->hint) : 0));
	return 0;
}

/*
 * Run all steps that make things small; returns how many rows have been
 * deleted.
 */
static uint64
tidy_all(StringInfo failures)
{
	uint64		ndeleted = 0;

	for (int i = 0; i < GOV_TIDYINGS; i++)
	{
		const GovTidying *tidying = &gov_tidyings[i];
		uint64		ndone = try_step(tidying->step, tidy_database, tidying, failures);

		ndeleted += tidying->deletes ? ndone : 0;
	}
	return ndeleted;
}

/* How much is left; what it waits for is added to the failures. */
static int64
look_at_the_rest(StringInfo failures)
{
	GovSpi		spi;
	int64		nleft;
	char	   *pids;
	bool		isnull;

	gov_spi_begin(&spi);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	gov_spi_select(&left_query, NULL, NULL);
	nleft = DatumGetInt64(gov_spi_value(0, 1, &isnull));
	pids = gov_spi_text(0, 2);
	gov_spi_pop_snapshot();
	if (pids != NULL || (nleft > 0 && failures->len == 0))
		appendStringInfo(failures, "%s%s", failures->len > 0 ? ", " : "",
						 pids ? pids : "another round");
	gov_spi_end(&spi);
	return nleft;
}

Datum
gov_maintain_1_0(PG_FUNCTION_ARGS)
{
	static GovRowType type;
	StringInfoData waits_for;
	Datum		values[5];
	bool		nulls[5] = {false};

	gov_owner_require_unpinned("gov_maintain()");
	PreventCommandIfReadOnly("gov_maintain()");
	PreventCommandDuringRecovery("gov_maintain()");
	initStringInfo(&waits_for);
	gov_pass_forget_all();		/* an earlier call may have been rolled back */
	values[0] = Int64GetDatum(try_step(GOV_STEP_EXPIRY, expire_all, NULL, &waits_for));
	values[1] = Int64GetDatum(try_step(GOV_STEP_ROLLUP, roll_up, NULL, &waits_for));
	values[2] = Int64GetDatum(tidy_all(&waits_for));
	values[3] = Int64GetDatum(look_at_the_rest(&waits_for));
	nulls[4] = waits_for.len == 0;
	values[4] = CStringGetTextDatum(waits_for.data);
	return gov_answer_row(fcinfo, &type, values, nulls);
}

/*
 * Drop what may be dropped.  If this transaction has changed something without
 * our triggers, others are told at its commit, and it sees the change itself
 * until then.
 */
Datum
gov_drop_cache_1_0(PG_FUNCTION_ARGS)
{
	gov_owner_require_unpinned("gov_drop_cache()");
	gov_changes_note_everything();
	if (gov_shmem_is_available())
	{
		pg_atomic_fetch_add_u64(gov_shmem_generation(MyDatabaseId), 1);
		pg_atomic_fetch_add_u64(gov_shmem_type_generation(MyDatabaseId), 1);
		pg_atomic_fetch_add_u64(gov_shmem_price_generation(MyDatabaseId), 1);
		gov_node_evict_everything();
		gov_tail_lose_all();
	}
	PG_RETURN_VOID();
}

/*
 * Take an owner's counters that are ahead of the clock out of memory.  Without
 * shared memory there are none.
 */
Datum
gov_reset_clock_1_1(PG_FUNCTION_ARGS)
{
	GovOwnerKey key;
	text	   *owner;
	char	   *name;

	if (PG_ARGISNULL(0))
		gov_error_null_argument("owner_id");
	owner = PG_GETARG_TEXT_PP(0);
	gov_request_check_key("owner_id", owner);
	gov_owner_require_visible(owner);
	if (!gov_shmem_is_available())
		PG_RETURN_VOID();
	name = text_to_cstring(owner);
	gov_node_owner_key_init(&key, MyDatabaseId, gov_catalog()->extension, name, strlen(name));
	gov_reset_owner(&key);
	PG_RETURN_VOID();
}
