/*
 * api_verify.c
 *		_gov_verify_owner: the counts of one owner against the ledger, for
 *		gov_verify.
 *
 * PURPOSE
 *		_gov_differences, in SQL, compares counters that it is given with the
 *		rows that it reads.  Here it is given those of one owner, which are all
 *		on one stripe, and reads with the snapshot that was taken while that
 *		stripe was locked (inspect.c).  So nothing that commits meanwhile looks
 *		like a difference.
 *
 * SNAPSHOT
 *		The latest, at every isolation level.  What the own transaction has in
 *		flight is pinned, and left out as that of others is.  A server without
 *		the library preloaded has no counters; what is rolled up is compared.
 *
 * RIGHTS
 *		The tables are read with the engine's rights, of an owner that the
 *		session may see.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/owner.h"
#include "base/shmem.h"
#include "base/spi.h"
#include "cache/inspect.h"

PG_FUNCTION_INFO_V1(gov_verify_owner_1_1);

static GovQuery differences_query = {
	.sql = "select d.* from @_gov_differences($1, $2, $3, $4, $5, $6, $7) d",
	.nargs = 7,
	.argtypes = {TEXTOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID,
	NUMERICARRAYOID, NUMERICARRAYOID, NUMERICARRAYOID}
};

/* The arguments that follow the owner, an array each. */
typedef struct GovVerifyCounters
{
	Datum	   *ids;
	Datum	   *window_starts;
	Datum	   *window_ends;
	Datum	   *amounts;
	Datum	   *held;
	Datum	   *carried;
	bool	   *are_before;		/* of these it is asked what was carried into their
								 * windows, of the others what is held */
	bool	   *are_present;
	int			count;
} GovVerifyCounters;

static void
add_counter(GovVerifyCounters *counters, const GovCounterCopy *copy)
{
	int			i = counters->count++;

	counters->ids[i] = Int64GetDatum(copy->id);
	counters->window_starts[i] = TimestampTzGetDatum(copy->window.start);
	counters->window_ends[i] = TimestampTzGetDatum(copy->window.end);
	counters->amounts[i] = NumericGetDatum(gov_amount_to_numeric(copy->total));
	counters->held[i] = NumericGetDatum(gov_amount_to_numeric(copy->held));
	counters->carried[i] = NumericGetDatum(gov_amount_to_numeric(copy->carried));
	counters->are_before[i] = copy->is_before;
	counters->are_present[i] = !copy->is_before;
}

/* Those that have nothing in flight. */
static GovVerifyCounters
settled_counters(const GovCounterCopy *copies, int ncopies)
{
	Size		size = sizeof(Datum) * Max(ncopies, 1);
	GovVerifyCounters counters = {
		.ids = palloc(size),
		.window_starts = palloc(size),
		.window_ends = palloc(size),
		.amounts = palloc(size),
		.held = palloc(size),
		.carried = palloc(size),
		.are_before = palloc(size),
		.are_present = palloc(size)
	};

	for (int i = 0; i < ncopies; i++)
	{
		if (!copies[i].is_pinned)
			add_counter(&counters, &copies[i]);
	}
	return counters;
}

static Datum
array_of_eight_bytes(Datum *values, int count, Oid type)
{
	return PointerGetDatum(construct_array(values, count, type, 8, FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

static Datum
array_of_numerics(Datum *values, bool *nulls, int count)
{
	int			lower = 1;

	return PointerGetDatum(construct_md_array(values, nulls, 1, &count, &lower, NUMERICOID, -1, false,
											  TYPALIGN_INT));
}

static void
put_difference(TupleTableSlot *row, void *state)
{
	ReturnSetInfo *result = state;

	tuplestore_putvalues(result->setResult, result->setDesc, row->tts_values,
						 row->tts_isnull);
}

/* Compare, under the active snapshot. */
static void
put_differences(ReturnSetInfo *result, text *owner, const GovVerifyCounters *counters)
{
	int			count = counters->count;
	Datum		args[] = {
		PointerGetDatum(owner),
		array_of_eight_bytes(counters->ids, count, INT8OID),
		array_of_eight_bytes(counters->window_starts, count, TIMESTAMPTZOID),
		array_of_eight_bytes(counters->window_ends, count, TIMESTAMPTZOID),
		array_of_numerics(counters->amounts, NULL, count),
		array_of_numerics(counters->held, counters->are_before, count),
		array_of_numerics(counters->carried, counters->are_present, count)
	};

	gov_spi_scan(&differences_query, args, NULL, put_difference, result);
}

/* Copy the counters of an owner, and take the snapshot that goes with them. */
static int
look_at(const char *owner, GovCounterCopy **copies, Snapshot *snapshot)
{
	Oid			extension = gov_catalog()->extension;
	GovOwnerKey key = {0};

	if (!gov_shmem_is_available())
	{
		*snapshot = GetLatestSnapshot();
		return 0;
	}
	gov_node_owner_key_init(&key, MyDatabaseId, extension, owner, strlen(owner));
	return gov_inspect_counters(key.stripe, extension, owner, copies, snapshot);
}

/* _gov_verify_owner(owner_id text) returns what _gov_differences does */
Datum
gov_verify_owner_1_1(PG_FUNCTION_ARGS)
{
	text	   *owner = PG_GETARG_TEXT_PP(0);
	GovCounterCopy *copies = NULL;
	GovVerifyCounters counters;
	Snapshot	snapshot;
	int			ncopies;
	GovSpi		spi;

	gov_owner_require_visible(owner);
	InitMaterializedSRF(fcinfo, 0);
	gov_spi_begin(&spi);
	ncopies = look_at(text_to_cstring(owner), &copies, &snapshot);
	PushCopiedSnapshot(snapshot);
	counters = settled_counters(copies, ncopies);
	put_differences((ReturnSetInfo *) fcinfo->resultinfo, owner, &counters);
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
	return (Datum) 0;
}
