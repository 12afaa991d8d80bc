/*
 * api_recount.c
 *		gov_recount, and what gov_verify asks of recounts; _gov_raise_barrier.
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
#include "base/clock.h"
#include "base/errors.h"
#include "base/owner.h"
#include "cache/barrier.h"
#include "call/answer.h"
#include "call/request.h"
#include "call/write.h"
#include "pure/bytes.h"
#include "rules/recount.h"
#include "rules/recount_sum.h"

PG_FUNCTION_INFO_V1(gov_recount_1_1);
PG_FUNCTION_INFO_V1(gov_recount_window_start_1_1);
PG_FUNCTION_INFO_V1(gov_recounted_1_1);
PG_FUNCTION_INFO_V1(gov_raise_barrier_1_1);

/* the columns of gov_recount's row */
enum
{
	WINDOW_START,
	WINDOW_END,
	USAGE,
	FORMER_USAGE,
	SINCE,
	WINDOWS,
	EVENTS,
	NCOLUMNS
};

/* From when on; null is as far as the ledger goes. */
static TimestampTz
since_argument(FunctionCallInfo fcinfo)
{
	TimestampTz since;

	if (PG_ARGISNULL(1))
		return DT_NOBEGIN;
	since = PG_GETARG_TIMESTAMPTZ(1);
	if (TIMESTAMP_NOT_FINITE(since))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"since\" must be a finite time"),
				 errhint("Leave it out to count as far as the ledger goes.")));
	if (since > gov_clock())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"since\" is in the future"),
				 errhint("Leave it out to count as far as the ledger goes.")));
	return since;
}

static bool
by_tree_argument(FunctionCallInfo fcinfo)
{
	text	   *by;

	if (PG_ARGISNULL(2))
		gov_error_null_argument("by");
	by = PG_GETARG_TEXT_PP(2);
	if (gov_bytes_are(by, "tree", strlen("tree")))
		return true;
	if (!gov_bytes_are(by, "recorded", strlen("recorded")))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"by\": \"%s\"", gov_error_shown(text_to_cstring(by))),
				 errhint("Write 'recorded' or 'tree'.")));
	return false;
}

/* A time, unless there is none. */
static void
put_time(TimestampTz time, Datum *value, bool *isnull)
{
	*value = TimestampTzGetDatum(time);
	*isnull = TIMESTAMP_NOT_FINITE(time);
}

/* Count a budget again from the ledger. */
Datum
gov_recount_1_1(PG_FUNCTION_ARGS)
{
	static GovRowType type;
	GovRecountResult result;
	TimestampTz since;
	bool		is_by_tree;
	Datum		values[NCOLUMNS];
	bool		nulls[NCOLUMNS] = {false};

	gov_write_begin("gov_recount()");
	if (PG_ARGISNULL(0))
		gov_error_null_argument("assignment_id");
	since = since_argument(fcinfo);
	is_by_tree = by_tree_argument(fcinfo);
	gov_recount(PG_GETARG_UUID_P(0), since, is_by_tree, &result);

	put_time(result.present.start, &values[WINDOW_START], &nulls[WINDOW_START]);
	put_time(result.present.end, &values[WINDOW_END], &nulls[WINDOW_END]);
	put_time(result.since, &values[SINCE], &nulls[SINCE]);
	values[USAGE] = NumericGetDatum(gov_amount_to_numeric(result.usage));
	values[FORMER_USAGE] = NumericGetDatum(gov_amount_to_numeric(result.former_usage));
	values[WINDOWS] = Int64GetDatum(result.nwindows);
	values[EVENTS] = Int64GetDatum(result.nevents);
	return gov_answer_row(fcinfo, &type, values, nulls);
}

/*
 * The rule that three arguments make, from one on: the columns of a row of
 * gov_recounts, or what somebody has written in their place.
 */
static void
rule_arguments(FunctionCallInfo fcinfo, int first, GovRecountRule *rule)
{
	Datum		cadence = PG_ARGISNULL(first) ? (Datum) 0 : PG_GETARG_DATUM(first);
	Datum		anchor = PG_ARGISNULL(first + 1) ? (Datum) 0 : PG_GETARG_DATUM(first + 1);
	GovCadence	parsed;

	if (cadence != (Datum) 0 && !gov_cadence_parse(TextDatumGetCString(cadence), &parsed))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"cadence\" is malformed: \"%s\"", gov_error_shown(TextDatumGetCString(cadence))),
				 errhint("Write one ISO 8601 duration of one unit, such as P1M.")));
	if (!PG_ARGISNULL(first + 1) && TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(anchor)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"anchor_at\" must be a finite time"),
				 errhint("Write null for the calendar.")));
	gov_recount_rule(rule, cadence, !PG_ARGISNULL(first + 1), anchor, PG_GETARG_DATUM(first + 2));
}

/* The start of the window that a recount by a rule counts a time in. */
Datum
gov_recount_window_start_1_1(PG_FUNCTION_ARGS)
{
	GovRecountRule rule;

	if (PG_ARGISNULL(2) || PG_ARGISNULL(3))
		PG_RETURN_NULL();
	rule_arguments(fcinfo, 0, &rule);
	PG_RETURN_TIMESTAMPTZ(gov_recount_window(&rule, PG_GETARG_TIMESTAMPTZ(3)).start);
}

/* the arguments of _gov_recounted */
enum
{
	ARG_OWNER,
	ARG_CAPABILITY,
	ARG_SINCE,
	ARG_THROUGH,
	ARG_CADENCE,
	ARG_ANCHOR,
	ARG_TIMEZONE,
	ARG_MEMBERS,
	ARG_MEMBER_SETS,
	ARG_SETS
};

static void
require_arguments(FunctionCallInfo fcinfo)
{
	for (int i = ARG_OWNER; i <= ARG_SETS; i++)
	{
		if (PG_ARGISNULL(i) && i != ARG_CADENCE && i != ARG_ANCHOR)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument %d of _gov_recounted() must not be null", i + 1)));
	}
}

/* Add the members of a recount. */
static void
add_members(FunctionCallInfo fcinfo, GovRecountSum *sum)
{
	int			nsets = PG_GETARG_INT32(ARG_SETS);
	Datum	   *ids;
	Datum	   *sets;
	int			nids;
	int			nmember_sets;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(ARG_MEMBERS), TEXTOID, -1, false, TYPALIGN_INT,
					  &ids, NULL, &nids);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(ARG_MEMBER_SETS), INT4OID, 4, true, TYPALIGN_INT,
					  &sets, NULL, &nmember_sets);
	for (int i = 0; i < Min(nids, nmember_sets); i++)
	{
		text	   *id = DatumGetTextPP(ids[i]);
		int			set = DatumGetInt32(sets[i]) - 1;

		if (set >= 0 && set < nsets && nsets <= 64)
			gov_recount_sum_add_member(sum, VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id), set);
	}
	gov_recount_sum_require_sets(sum, Max(1, Min(nsets, 64)));
}

/* Count again what a recount has counted, with the caller's snapshot. */
Datum
gov_recounted_1_1(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	GovRecountRule rule;
	GovRecountSum *sum;
	GovTallyRange range = {.after = PG_INT64_MIN};
	uint32		position = 0;
	const GovRecounted *window;

	require_arguments(fcinfo);
	range.owner = text_to_cstring(PG_GETARG_TEXT_PP(ARG_OWNER));
	range.owner_length = strlen(range.owner);
	gov_owner_require(range.owner);
	rule_arguments(fcinfo, ARG_CADENCE, &rule);
	InitMaterializedSRF(fcinfo, 0);
	sum = gov_recount_sum_begin(&rule, PG_GETARG_TEXT_PP(ARG_CAPABILITY),
								PG_GETARG_TIMESTAMPTZ(ARG_SINCE));
	add_members(fcinfo, sum);
	range.upto = PG_GETARG_INT64(ARG_THROUGH);
	range.snapshot = GetActiveSnapshot();
	gov_recount_sum_add(sum, &range);
	while ((window = gov_recount_sum_next(sum, &position)) != NULL)
	{
		Datum		values[3] = {
			TimestampTzGetDatum(window->start), NumericGetDatum(gov_amount_to_numeric(window->amount)),
			Int64GetDatum(window->event_count)
		};
		bool		nulls[3] = {false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* Keep calls of an owner out to the end of the transaction. */
Datum
gov_raise_barrier_1_1(PG_FUNCTION_ARGS)
{
	GovOwnerKey key;
	text	   *owner;
	char	   *name;

	gov_owner_require_unpinned("_gov_raise_barrier()");
	gov_write_begin("_gov_raise_barrier()");
	if (PG_ARGISNULL(0))
		gov_error_null_argument("owner_id");
	owner = PG_GETARG_TEXT_PP(0);
	gov_request_check_key("owner_id", owner);
	name = text_to_cstring(owner);
	gov_node_owner_key_init(&key, MyDatabaseId, gov_catalog()->extension, name, strlen(name));
	gov_barrier_raise(&key);
	PG_RETURN_VOID();
}
