/*
 * test_pure.c
 *		The pure parts of governance as SQL functions, for their tests.
 *
 * PURPOSE
 *		What those parts take and return, and nothing else: no defaults, no
 *		checks.  An amount is shown raw, as the integer number of billionths, in
 *		a numeric; so the tests can reach every 128-bit value and compare with
 *		what numeric itself computes.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "pure/amount.h"
#include "pure/cadence.h"
#include "pure/decide.h"
#include "pure/window.h"

PG_MODULE_MAGIC;

#define RAW_TEXT_SIZE	42
#define MAX_BUDGETS		16

PG_FUNCTION_INFO_V1(test_amount_from_numeric);
PG_FUNCTION_INFO_V1(test_amount_status);
PG_FUNCTION_INFO_V1(test_amount_to_numeric);
PG_FUNCTION_INFO_V1(test_amount_add);
PG_FUNCTION_INFO_V1(test_amount_from_share);
PG_FUNCTION_INFO_V1(test_cadence_parse);
PG_FUNCTION_INFO_V1(test_window_at);
PG_FUNCTION_INFO_V1(test_timezone_lookup);
PG_FUNCTION_INFO_V1(test_budget_allows);
PG_FUNCTION_INFO_V1(test_decide);
PG_FUNCTION_INFO_V1(test_denial_reason);
PG_FUNCTION_INFO_V1(test_bounds_at);
PG_FUNCTION_INFO_V1(test_bounds_reach);

/* Read a 128-bit integer. */
static GovAmount
raw_in(Datum value)
{
	char	   *text = DatumGetCString(DirectFunctionCall1(numeric_out, value));
	bool		is_negative = (*text == '-');
	GovAmount	raw = 0;

	for (char *p = text + is_negative; *p != '\0'; p++)
	{
		int			digit = is_negative ? '0' - *p : *p - '0';

		if (*p < '0' || *p > '9' ||
			__builtin_mul_overflow(raw, 10, &raw) ||
			__builtin_add_overflow(raw, digit, &raw))
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("not a 128-bit integer: %s", text)));
	}

	return raw;
}

/* Print a 128-bit integer. */
static Datum
raw_out(GovAmount raw)
{
	char		text[RAW_TEXT_SIZE];
	char	   *p = text + RAW_TEXT_SIZE;
	bool		is_negative = raw < 0;

	*--p = '\0';
	do
	{
		int			digit = (int) (raw % 10);

		*--p = '0' + abs(digit);
		raw /= 10;
	} while (raw != 0);
	if (is_negative)
		*--p = '-';

	return DirectFunctionCall3(numeric_in, CStringGetDatum(p),
							   ObjectIdGetDatum(InvalidOid),
							   Int32GetDatum(-1));
}

/* The descriptor of a function's composite result. */
static TupleDesc
result_descriptor(FunctionCallInfo fcinfo)
{
	TupleDesc	tupdesc;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return BlessTupleDesc(tupdesc);
}

/* test_amount_from_numeric(numeric) returns numeric: raw, null if refused */
Datum
test_amount_from_numeric(PG_FUNCTION_ARGS)
{
	GovAmount	amount;

	if (gov_amount_from_numeric(PG_GETARG_NUMERIC(0), &amount) != GOV_AMOUNT_OK)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(raw_out(amount));
}

/* test_amount_status(numeric) returns text */
Datum
test_amount_status(PG_FUNCTION_ARGS)
{
	GovAmount	amount;
	const char *status = NULL;

	switch (gov_amount_from_numeric(PG_GETARG_NUMERIC(0), &amount))
	{
		case GOV_AMOUNT_OK:
			status = "ok";
			break;
		case GOV_AMOUNT_NOT_FINITE:
			status = "not finite";
			break;
		case GOV_AMOUNT_TOO_LARGE:
			status = "too large";
			break;
	}
	PG_RETURN_TEXT_P(cstring_to_text(status));
}

/* test_amount_to_numeric(raw numeric) returns numeric */
Datum
test_amount_to_numeric(PG_FUNCTION_ARGS)
{
	PG_RETURN_NUMERIC(gov_amount_to_numeric(raw_in(PG_GETARG_DATUM(0))));
}

/* test_amount_add(raw numeric, raw numeric) returns numeric: null on overflow */
Datum
test_amount_add(PG_FUNCTION_ARGS)
{
	GovAmount	sum;

	if (!gov_amount_add(raw_in(PG_GETARG_DATUM(0)), raw_in(PG_GETARG_DATUM(1)),
						&sum))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(raw_out(sum));
}

/* test_amount_from_share(usage_limit numeric, percentage numeric) returns numeric: raw, null for none */
Datum
test_amount_from_share(PG_FUNCTION_ARGS)
{
	GovAmount	amount;

	if (gov_amount_from_share(PG_GETARG_NUMERIC(0), PG_GETARG_NUMERIC(1),
							  &amount) != GOV_AMOUNT_OK)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(raw_out(amount));
}

/* test_cadence_parse(text) returns text: unit and count, null if refused */
Datum
test_cadence_parse(PG_FUNCTION_ARGS)
{
	static const char *const units[] = {
		"none", "year", "month", "week", "day", "hour", "minute", "second"
	};
	GovCadence	cadence;

	if (!gov_cadence_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), &cadence))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%s %d", units[cadence.unit],
											  cadence.count)));
}

/*
 * test_window_at(cadence text, anchor timestamptz, timezone text,
 * at timestamptz) returns (timestamptz, timestamptz): nulls if out of range
 */
Datum
test_window_at(PG_FUNCTION_ARGS)
{
	GovCadence	cadence = {GOV_CADENCE_NONE, 0};
	GovWindow	window;
	pg_tz	   *tz = gov_window_timezone(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (tz == NULL)
		elog(ERROR, "no such time zone");
	if (!PG_ARGISNULL(0) &&
		!gov_cadence_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), &cadence))
		elog(ERROR, "no such cadence");

	if (gov_window_at(&cadence, !PG_ARGISNULL(1),
					  PG_ARGISNULL(1) ? 0 : PG_GETARG_TIMESTAMPTZ(1),
					  tz, PG_GETARG_TIMESTAMPTZ(3), &window))
	{
		values[0] = TimestampTzGetDatum(window.start);
		values[1] = TimestampTzGetDatum(window.end);
	}
	else
		nulls[0] = nulls[1] = true;

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(result_descriptor(fcinfo),
													  values, nulls)));
}

/* test_timezone_lookup(text) returns text: its own name, null if refused */
Datum
test_timezone_lookup(PG_FUNCTION_ARGS)
{
	pg_tz	   *tz = gov_window_timezone(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	if (tz == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(pg_get_timezone_name(tz)));
}

/* One column of a set of budgets, given as an array. */
static int
budget_column(FunctionCallInfo fcinfo, int argno, Oid type, int16 length,
			  bool by_value, char align, Datum **values, bool **nulls)
{
	int			nvalues;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(argno), type, length, by_value,
					  align, values, nulls, &nvalues);
	if (nvalues > MAX_BUDGETS)
		elog(ERROR, "too many budgets");
	return nvalues;
}

/*
 * Budgets from arrays: usage, held, limit (raw numerics; a null limit is none),
 * soft, window_end.
 */
static int
read_budgets(FunctionCallInfo fcinfo, GovBudgetState *budgets)
{
	Datum	   *usage,
			   *held,
			   *limit,
			   *soft,
			   *window_end;
	bool	   *nulls,
			   *no_limit;
	int			n = budget_column(fcinfo, 0, NUMERICOID, -1, false, 'i',
								  &usage, &nulls);

	if (budget_column(fcinfo, 1, NUMERICOID, -1, false, 'i', &held, &nulls) != n ||
		budget_column(fcinfo, 2, NUMERICOID, -1, false, 'i', &limit, &no_limit) != n ||
		budget_column(fcinfo, 3, BOOLOID, 1, true, 'c', &soft, &nulls) != n ||
		budget_column(fcinfo, 4, TIMESTAMPTZOID, 8, true, 'd', &window_end, &nulls) != n)
		elog(ERROR, "arrays of different lengths");

	for (int i = 0; i < n; i++)
	{
		budgets[i].usage = raw_in(usage[i]);
		budgets[i].held = raw_in(held[i]);
		budgets[i].has_limit = !no_limit[i];
		budgets[i].limit = no_limit[i] ? 0 : raw_in(limit[i]);
		budgets[i].is_soft = DatumGetBool(soft[i]);
		budgets[i].bounds = NULL;
		budgets[i].window_end = DatumGetTimestampTz(window_end[i]);
	}
	return n;
}

/* test_budget_allows(five arrays of one element, amount) returns boolean */
Datum
test_budget_allows(PG_FUNCTION_ARGS)
{
	GovBudgetState budgets[MAX_BUDGETS];

	if (read_budgets(fcinfo, budgets) != 1)
		elog(ERROR, "one budget wanted");
	PG_RETURN_BOOL(gov_decide_allows(&budgets[0], raw_in(PG_GETARG_DATUM(5))));
}

/*
 * test_decide(five arrays, amount) returns
 * (is_granted boolean, reason text, remaining numeric, retry_at timestamptz)
 */
Datum
test_decide(PG_FUNCTION_ARGS)
{
	GovBudgetState budgets[MAX_BUDGETS];
	int			nbudgets = read_budgets(fcinfo, budgets);
	GovDecision decision;
	const char *reason;
	Datum		values[4] = {0};
	bool		nulls[4];

	for (int i = 0; i < nbudgets; i++)
	{
		budgets[i].meter = 0;
		budgets[i].wanted = raw_in(PG_GETARG_DATUM(5));
	}
	gov_decide(budgets, nbudgets, DT_NOBEGIN, &decision);
	reason = gov_decide_reason(decision.denial);

	nulls[0] = false;
	nulls[1] = (reason == NULL);
	nulls[2] = !gov_decide_has_remaining(&decision, 0);
	nulls[3] = !decision.has_retry_at;
	values[0] = BoolGetDatum(decision.is_granted);
	if (!nulls[1])
		values[1] = CStringGetTextDatum(reason);
	if (!nulls[2])
		values[2] = raw_out(decision.remaining[0]);
	if (!nulls[3])
		values[3] = TimestampTzGetDatum(decision.retry_at);

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(result_descriptor(fcinfo),
													  values, nulls)));
}

/* test_denial_reason(int) returns text */
Datum
test_denial_reason(PG_FUNCTION_ARGS)
{
	const char *reason = gov_decide_reason((GovDenial) PG_GETARG_INT32(0));

	if (reason == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(reason));
}

/* The steps of a limit from arrays: when each begins, and how much it is. */
static GovBounds *
read_steps(FunctionCallInfo fcinfo)
{
	Datum	   *from,
			   *limit;
	bool	   *nulls;
	int			n = budget_column(fcinfo, 0, TIMESTAMPTZOID, 8, true, 'd', &from, &nulls);
	GovBounds  *bounds = palloc0(offsetof(GovBounds, steps) + n * sizeof(GovLimitStep));

	if (budget_column(fcinfo, 1, NUMERICOID, -1, false, 'i', &limit, &nulls) != n)
		elog(ERROR, "arrays of different lengths");
	bounds->nsteps = n;
	for (int i = 0; i < n; i++)
	{
		bounds->steps[i].from = DatumGetTimestampTz(from[i]);
		bounds->steps[i].limit = raw_in(limit[i]);
	}
	return bounds;
}

/* test_bounds_at(two arrays, at timestamptz) returns numeric */
Datum
test_bounds_at(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(raw_out(gov_bounds_at(read_steps(fcinfo), PG_GETARG_TIMESTAMPTZ(2))));
}

/* test_bounds_reach(two arrays, wanted numeric, after timestamptz) returns timestamptz */
Datum
test_bounds_reach(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(gov_bounds_reach(read_steps(fcinfo), raw_in(PG_GETARG_DATUM(2)),
										   PG_GETARG_TIMESTAMPTZ(3)));
}
