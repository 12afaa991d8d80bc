/*
 * api_backtest.c
 *		_gov_replay: the ledger against proposed budgets, for gov_backtest.
 *
 * PURPOSE
 *		gov_backtest, in SQL, makes rows of gov_assignments of what was
 *		proposed and judges them as an upsert would.  They become trials
 *		(call/trial.c), and the ledger's part between two times goes past them,
 *		sorted by the executor and handed over row by row: the events of a call
 *		together, then what was given back of them, and their corrections by
 *		gov_reprice.
 *
 * SNAPSHOT
 *		That of the calling statement, so that it is one answer and sees what
 *		its own transaction has recorded.  No shared memory is read: a standby
 *		and a server without the library preloaded answer too.
 *
 * RIGHTS
 *		The ledger is read with the engine's rights, of an owner that the
 *		session may see.
 *
 * FAILURE
 *		A budget that cannot be, or has no window at the time of a use, ends the
 *		call; so does a sum that 128 bits cannot hold.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "base/owner.h"
#include "base/spi.h"
#include "call/trial.h"

PG_FUNCTION_INFO_V1(gov_replay_1_0);
PG_FUNCTION_INFO_V1(gov_replay_1_1);

/*
 * Up to so many entities it pays to ask each event whether it names one of
 * them.
 */
#define FILTER_MAX_ENTITIES	4

/* the arguments, by position */
enum
{
	ARG_OWNER_ID,
	ARG_BUDGETS,
	ARG_SUSPENDED_FROM,
	ARG_FROM_TIME,
	ARG_TO_TIME,
	ARG_STEP_BUDGETS,			/* since 1.1 */
	ARG_STEP_TIMES,
	ARG_STEP_LIMITS,
	ARG_DIMENSION_KEYS,
	ARG_TYPE_IDS,
	ARG_GRANT_BUDGETS,
	ARG_GRANT_AMOUNTS,
	ARG_GRANT_TIMES,
	ARG_GRANT_ENDS
};

/* the columns of the query, by position */
enum
{
	USE_CAPABILITY_ID,
	USE_AMOUNT,
	USE_ENTITY_IDS,
	USE_OCCURRED_AT,
	USE_CALL,					/* the first event of its call, or of the call
								 * that it amends */
	USE_AMENDS,
	USE_IS_GIVEN_BACK			/* of a use, not of a correction */
};

/*
 * What amends a use has its time, and comes right after its call.
 */
#define USES_SQL(events, reverses, amends, call, ids) \
	"select e.capability_id, e.amount, " ids ", e.occurred_at, c.call," \
	" e.amends is not null, coalesce(" reverses " = e.amends, false)" \
	" from (select x.*, " amends " as amends from " events " x" \
	" where x.owner_id = $1 and x.capability_id = any ($2)" \
	" and ($3 is null or x.entity_ids && $3)" \
	" and x.occurred_at >= $4 and x.occurred_at < $5) e," \
	" lateral (select " call " as call) c" \
	" order by e.occurred_at, c.call, e.amends is not null, e.id"

/* The use that gov_reprice says that an event corrects. */
#define CORRECTED(event) \
	"case when " event ".idempotency_key like 'gov_reprice/%'" \
	" then substring(" event ".idempotency_key from '^gov_reprice/([0-9]{1,18})/')::bigint end"

/* The use that another event gives back of, or corrects, or of whose correction it gives back. */
#define AMENDED \
	"case when x.reverses is null then " CORRECTED("x") \
	" else coalesce((select " CORRECTED("a") " from @gov_events a" \
	" where a.id = x.reverses and a.owner_id = $1), x.reverses) end"

#define CALL \
	"case when e.amends is null then coalesce(e.call_event_ids[1], e.id)" \
	" else coalesce((select a.call_event_ids[1] from @gov_events a" \
	" where a.id = e.amends and a.owner_id = $1), e.amends) end"

/* With what dimensions say of ids that may be no entities. */
#define NAMED_IDS \
	"e.entity_ids || array(" \
	"select @_gov_unknown_entity(k.type_id, x.value)" \
	" from jsonb_each_text(e.dimensions) x, unnest($6, $7) k (key, type_id)" \
	" where k.key = x.key)"

static const GovQuery uses_query = {
	.sql = USES_SQL("@gov_events", "e.reverses", AMENDED, CALL, "e.entity_ids"),
	.nargs = 5,
	.argtypes = {TEXTOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID}
};

/* for an extension that is not updated yet */
static const GovQuery uses_1_0_query = {
	.sql = USES_SQL("@gov_events", "null::bigint", "null::bigint", "e.id", "e.entity_ids"),
	.nargs = 5,
	.argtypes = {TEXTOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID}
};

/* while somebody is being forgotten */
static const GovQuery shown_uses_query = {
	.sql = USES_SQL("@gov_event_log", "e.reverses", AMENDED, CALL, "e.entity_ids"),
	.nargs = 5,
	.argtypes = {TEXTOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID}
};

static const GovQuery named_uses_query = {
	.sql = USES_SQL("@gov_events", "e.reverses", AMENDED, CALL, NAMED_IDS),
	.nargs = 7,
	.argtypes = {TEXTOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
	TEXTARRAYOID, TEXTARRAYOID}
};

static const GovQuery shown_named_uses_query = {
	.sql = USES_SQL("@gov_event_log", "e.reverses", AMENDED, CALL, NAMED_IDS),
	.nargs = 7,
	.argtypes = {TEXTOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
	TEXTARRAYOID, TEXTARRAYOID}
};

static GovQuery forgetting_query = {
	.sql = "select from @gov_forgotten f where f.owner_id = $1",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

typedef struct GovReplay
{
	GovBacktest *backtest;
	bool		is_open;		/* a call has begun, and more of it may follow */
	int64		call;			/* the last one, as USE_CALL */
	TimestampTz at;
	bool		is_granted;
	MemoryContext use_context;	/* reset with each use */
} GovReplay;

/* The distinct values of entity_id, or of capability_id, of the budgets: a text[]. */
static ArrayType *
distinct_values(const GovBacktest *backtest, Datum *budgets, int count, bool is_entity)
{
	const char *column = is_entity ? "entity_id" : "capability_id";
	Datum	   *values = palloc(sizeof(Datum) * count);
	int			nvalues = 0;
	Bitmapset  *seen = NULL;

	for (int i = 0; i < count; i++)
	{
		const GovTrial *trial = gov_backtest_trial(backtest, i);
		int			number = is_entity ? trial->entity : trial->capability;

		if (bms_is_member(number, seen))
			continue;
		seen = bms_add_member(seen, number);
		values[nvalues++] = gov_trial_column(DatumGetHeapTupleHeader(budgets[i]), column);
	}
	return construct_array(values, nvalues, TEXTOID, -1, false, TYPALIGN_INT);
}

static void
raise_failure(GovBacktestStatus status, TimestampTz at)
{
	if (status == GOV_BACKTEST_NO_WINDOW)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("cannot compute the window of a proposed budget at %s",
						timestamptz_to_str(at)),
				 errhint("Choose another cadence or anchorAt, or other times to replay.")));
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("usage of a proposed budget would be out of range"),
			 errhint("Choose a shorter time to replay.")));
}

/* Have the use at hand its entities. */
static void
begin_use(GovBacktest *backtest, Datum entity_ids)
{
	Datum	   *ids;
	int			nids = gov_trial_texts(entity_ids, "entity_ids", &ids);

	gov_backtest_begin_use(backtest);
	for (int i = 0; i < nids; i++)
		gov_backtest_entity(backtest, VARDATA_ANY(ids[i]), VARSIZE_ANY_EXHDR(ids[i]));
}

/* Add an event to the call that has begun. */
static void
replay_amount(GovReplay *replay, Datum *values)
{
	text	   *capability = DatumGetTextPP(values[USE_CAPABILITY_ID]);
	GovAmount	amount;
	GovBacktestStatus status;

	if (gov_amount_from_sum(DatumGetNumeric(values[USE_AMOUNT]), &amount) != GOV_AMOUNT_OK)
		raise_failure(GOV_BACKTEST_OVERFLOW, replay->at);
	begin_use(replay->backtest, values[USE_ENTITY_IDS]);
	status = gov_backtest_end_use(replay->backtest, VARDATA_ANY(capability),
								  VARSIZE_ANY_EXHDR(capability), amount);
	if (status != GOV_BACKTEST_OK)
		raise_failure(status, replay->at);
}

/* Decide about the call that has begun, if one has: all of it has been read. */
static void
end_call(GovReplay *replay)
{
	GovBacktestStatus status;

	if (!replay->is_open)
		return;
	status = gov_backtest_end_call(replay->backtest, true, &replay->is_granted);
	if (status != GOV_BACKTEST_OK)
		raise_failure(status, replay->at);
	replay->is_open = false;
}

static void
replay_part(GovReplay *replay, Datum *values, bool is_same_call)
{
	if (!is_same_call || !replay->is_open)
	{
		end_call(replay);
		replay->call = DatumGetInt64(values[USE_CALL]);
		replay->at = DatumGetTimestampTz(values[USE_OCCURRED_AT]);
		replay->is_open = true;
		gov_backtest_begin_call(replay->backtest, replay->at);
	}
	replay_amount(replay, values);
}

/*
 * What gives back of a use, or corrects its price, counts as it is; nowhere, if the
 * call was denied.  A call that was not read names none of the entities, so that a
 * correction counts; or it is not in the ledger any more.
 */
static void
replay_amendment(GovReplay *replay, Datum *values, bool is_same_call)
{
	TimestampTz at = DatumGetTimestampTz(values[USE_OCCURRED_AT]);
	bool		is_granted;
	GovBacktestStatus status;

	end_call(replay);
	if (is_same_call ? !replay->is_granted : DatumGetBool(values[USE_IS_GIVEN_BACK]))
		return;
	gov_backtest_begin_call(replay->backtest, at);
	if (DatumGetBool(values[USE_IS_GIVEN_BACK]))
		gov_backtest_gives_back(replay->backtest);
	replay_amount(replay, values);
	status = gov_backtest_end_call(replay->backtest, false, &is_granted);
	if (status != GOV_BACKTEST_OK)
		raise_failure(status, at);
}

/* One event of the ledger. */
static void
replay_use(TupleTableSlot *row, void *state)
{
	GovReplay  *replay = state;
	Datum	   *values = row->tts_values;
	bool		is_same_call = replay->call == DatumGetInt64(values[USE_CALL]) &&
		replay->at == DatumGetTimestampTz(values[USE_OCCURRED_AT]);
	MemoryContext old;

	CHECK_FOR_INTERRUPTS();
	old = MemoryContextSwitchTo(replay->use_context);
	if (DatumGetBool(values[USE_AMENDS]))
		replay_amendment(replay, values, is_same_call);
	else
		replay_part(replay, values, is_same_call);
	MemoryContextSwitchTo(old);
	MemoryContextReset(replay->use_context);
}

/* Are there dimensions whose values count as entities?  Not for 1.0. */
static bool
has_keys(FunctionCallInfo fcinfo)
{
	return PG_NARGS() > ARG_TYPE_IDS &&
		ARR_NDIM(PG_GETARG_ARRAYTYPE_P(ARG_DIMENSION_KEYS)) > 0;
}

/* Which uses are read; args[0] is the owner. */
static const GovQuery *
choose_query(Datum *args, bool is_named)
{
	if (!AttributeNumberIsValid(gov_catalog()->events_reverses))
		return &uses_1_0_query;
	if (gov_spi_select(&forgetting_query, args, NULL) > 0)
		return is_named ? &shown_named_uses_query : &shown_uses_query;
	return is_named ? &named_uses_query : &uses_query;
}

static void
replay_ledger(FunctionCallInfo fcinfo, GovBacktest *backtest, Datum *budgets, int count)
{
	GovReplay	replay = {.backtest = backtest, .at = DT_NOBEGIN};
	ArrayType  *entities = distinct_values(backtest, budgets, count, true);
	Datum		args[] = {
		PG_GETARG_DATUM(ARG_OWNER_ID),
		PointerGetDatum(distinct_values(backtest, budgets, count, false)),
		PointerGetDatum(entities),
		PG_GETARG_DATUM(ARG_FROM_TIME),
		PG_GETARG_DATUM(ARG_TO_TIME),
		(Datum) 0,
		(Datum) 0
	};
	char		nulls[] = "       ";
	bool		is_named = has_keys(fcinfo);
	GovSpi		spi;

	if (is_named || ArrayGetNItems(ARR_NDIM(entities), ARR_DIMS(entities)) > FILTER_MAX_ENTITIES)
		nulls[2] = 'n';
	if (is_named)
	{
		args[5] = PG_GETARG_DATUM(ARG_DIMENSION_KEYS);
		args[6] = PG_GETARG_DATUM(ARG_TYPE_IDS);
	}
	replay.use_context = AllocSetContextCreate(CurrentMemoryContext, "gov_backtest use",
											   ALLOCSET_DEFAULT_SIZES);
	gov_spi_begin(&spi);
	gov_spi_scan(choose_query(args, is_named), args, nulls, replay_use, &replay);
	end_call(&replay);
	gov_spi_end(&spi);
}

static void
put_trial(ReturnSetInfo *result, int number, const GovTrial *trial)
{
	Datum		values[4];
	bool		nulls[4] = {false};

	values[0] = Int32GetDatum(number);
	values[1] = Int64GetDatum(trial->denied_count);
	values[2] = NumericGetDatum(gov_amount_to_numeric(trial->denied_amount));
	values[3] = TimestampTzGetDatum(trial->first_denied_at);
	nulls[3] = trial->denied_count == 0;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static Datum
replay_budgets(FunctionCallInfo fcinfo, GovTrialSteps *steps, GovTrialGrants *grants)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	GovBacktest *backtest;
	Datum	   *budgets;
	int			count;

	gov_owner_require_visible(PG_GETARG_TEXT_PP(ARG_OWNER_ID));
	InitMaterializedSRF(fcinfo, 0);
	backtest = gov_trial_read(PG_GETARG_ARRAYTYPE_P(ARG_BUDGETS),
							  PG_GETARG_ARRAYTYPE_P(ARG_SUSPENDED_FROM), steps, grants,
							  &budgets, &count);
	if (count == 0)
		return (Datum) 0;
	replay_ledger(fcinfo, backtest, budgets, count);
	for (int i = 0; i < count; i++)
		put_trial(result, i + 1, gov_backtest_trial(backtest, i));
	return (Datum) 0;
}

/*
 * _gov_replay(owner_id text, budgets gov_assignments[],
 *		suspended_from timestamptz[], from_time timestamptz, to_time timestamptz)
 * returns setof (n integer, denied_count bigint, denied_amount numeric,
 *		first_denied_at timestamptz)
 */
Datum
gov_replay_1_0(PG_FUNCTION_ARGS)
{
	GovTrialSteps no_steps = {0};
	GovTrialGrants no_grants = {0};

	return replay_budgets(fcinfo, &no_steps, &no_grants);
}

/*
 * The same with (step_budgets integer[], step_times timestamptz[],
 *		step_limits numeric[]): how the limits of some changed;
 *		(dimension_keys text[], type_ids text[]): what dimensions say of the
 *		ids of some types; and (grant_budgets integer[], grant_amounts numeric[],
 *		grant_times timestamptz[], grant_ends timestamptz[]): the grants of
 *		pools, in the order in which uses draw.
 */
Datum
gov_replay_1_1(PG_FUNCTION_ARGS)
{
	GovTrialSteps steps;
	GovTrialGrants grants;

	gov_trial_read_steps(PG_GETARG_DATUM(ARG_STEP_BUDGETS), PG_GETARG_DATUM(ARG_STEP_TIMES),
						 PG_GETARG_DATUM(ARG_STEP_LIMITS), &steps);
	gov_trial_read_grants(PG_GETARG_DATUM(ARG_GRANT_BUDGETS), PG_GETARG_DATUM(ARG_GRANT_AMOUNTS),
						  PG_GETARG_DATUM(ARG_GRANT_TIMES), PG_GETARG_DATUM(ARG_GRANT_ENDS), &grants);
	return replay_budgets(fcinfo, &steps, &grants);
}
