/*
 * api_consume.c
 *		gov_consume and gov_require, and the same of several capabilities: check and
 *		record in one atomic step.
 *
 * FAILURE
 *		A denial is a result of gov_consume and an error of gov_require; either
 *		way nothing is recorded and no key is used.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/errors.h"
#include "call/answer.h"
#include "call/record.h"
#include "call/wanted.h"
#include "call/write.h"

#define CHAINS	7				/* the column of gov_consume */

/* columns of gov_consume_all */
#define REMAINING_ALL	4
#define CHAINS_ALL		6

PG_FUNCTION_INFO_V1(gov_consume_1_0);
PG_FUNCTION_INFO_V1(gov_require_1_0);
PG_FUNCTION_INFO_V1(gov_consume_all_1_1);
PG_FUNCTION_INFO_V1(gov_require_all_1_1);

static GovRecorded
record_consume(FunctionCallInfo fcinfo, const char *call, GovArguments *arguments,
			   GovDecision *decision, GovResolution **resolution)
{
	gov_request_arguments(fcinfo, arguments);
	arguments->key = PG_ARGISNULL(5) ? NULL : PG_GETARG_TEXT_PP(5);
	return gov_record(call, GOV_USE_CONSUME, arguments, decision, resolution);
}

Datum
gov_consume_1_0(PG_FUNCTION_ARGS)
{
	static GovRowType type;
	GovArguments arguments;
	GovDecision decision;
	GovResolution *resolution;
	GovRecorded recorded = record_consume(fcinfo, "gov_consume()", &arguments,
										  &decision, &resolution);
	Datum		values[7];
	bool		nulls[7];

	if (recorded.is_duplicate)
		gov_write_look_again(&arguments, &resolution, &decision);
	gov_answer_decision(&decision, values, nulls);
	nulls[4] = !recorded.is_recorded && !recorded.is_duplicate;
	values[4] = Int64GetDatum(recorded.event_id);
	nulls[5] = false;
	values[5] = BoolGetDatum(recorded.is_duplicate);
	nulls[6] = !gov_wanted_any(fcinfo, GOV_COLUMN(CHAINS));
	values[6] = nulls[6] ? (Datum) 0 : gov_answer_chains(resolution, false);
	return gov_answer_row(fcinfo, &type, values, nulls);
}

/* What the caller can do about a denial. */
static const char *
denial_hint(const GovDecision *decision)
{
	if (decision->denial == GOV_DENIAL_UNGOVERNED)
		return "Assign a budget with gov_upsert_assignments.";
	if (decision->denial == GOV_DENIAL_EXCEEDING_LIMIT)
		return "Use less at a time, or raise the limit.";
	if (decision->denial == GOV_DENIAL_BLOCKED)
		return "End the block with gov_unblock.";
	if (decision->denial == GOV_DENIAL_UNKNOWN_ENTITY)
		return "Create the entity with gov_upsert_entities, or change on_unknown of its type.";
	if (!decision->has_retry_at)
		return "Raise the limit.";
	return psprintf("Retry after %s, or raise the limit.",
					timestamptz_to_str(decision->retry_at));
}

static const char *
denial_detail(const GovArguments *arguments, const GovDecision *decision,
			  const GovResolution *resolution)
{
	if (decision->denial == GOV_DENIAL_BLOCKED)
		return gov_answer_block(resolution);
	if (decision->denial == GOV_DENIAL_UNKNOWN_ENTITY)
		return gov_answer_unknown(resolution);
	return psprintf("Failing budgets: %s", gov_answer_failing(resolution, arguments->amounts != NULL));
}

/* What is denied: the capability, or all of them, quoted. */
static const char *
denied_use(const GovArguments *arguments, const GovDecision *decision)
{
	const GovAmounts *amounts = arguments->amounts;
	StringInfoData use;

	if (amounts == NULL)
		return psprintf("\"%s\"", gov_error_shown(text_to_cstring(arguments->capability)));
	initStringInfo(&use);
	for (int i = 0; i < amounts->count; i++)
	{
		if (decision->denied >= 0 && decision->denied != i)
			continue;
		appendStringInfo(&use, "%s\"%s\"", use.len == 0 ? "" : ", ",
						 gov_error_shown(text_to_cstring(amounts->items[i].capability)));
	}
	return use.data;
}

static void
raise_denied(const GovArguments *arguments, const GovDecision *decision,
			 const GovResolution *resolution)
{
	ereport(ERROR,
			(errcode(GOV_ERRCODE_DENIED),
			 errmsg("use of %s denied: %s", denied_use(arguments, decision),
					gov_decide_reason(decision->denial)),
			 errdetail("%s", denial_detail(arguments, decision, resolution)),
			 errhint("%s", denial_hint(decision))));
}

Datum
gov_require_1_0(PG_FUNCTION_ARGS)
{
	GovArguments arguments;
	GovDecision decision;
	GovResolution *resolution;
	GovRecorded recorded = record_consume(fcinfo, "gov_require()", &arguments,
										  &decision, &resolution);

	if (!recorded.is_recorded && !recorded.is_duplicate)
		raise_denied(&arguments, &decision, resolution);
	PG_RETURN_INT64(recorded.event_id);
}

static GovRecorded
record_consume_all(FunctionCallInfo fcinfo, const char *call, GovArguments *arguments,
				   GovDecision *decision, GovResolution **resolution)
{
	gov_request_arguments_all(fcinfo, false, arguments);
	arguments->key = PG_ARGISNULL(4) ? NULL : PG_GETARG_TEXT_PP(4);
	return gov_record(call, GOV_USE_CONSUME, arguments, decision, resolution);
}

Datum
gov_consume_all_1_1(PG_FUNCTION_ARGS)
{
	static GovRowType type;
	GovArguments arguments;
	GovDecision decision;
	GovResolution *resolution;
	GovRecorded recorded = record_consume_all(fcinfo, "gov_consume_all()", &arguments,
											  &decision, &resolution);
	Datum		values[8];
	bool		nulls[8];

	if (recorded.is_duplicate)
		gov_write_look_again(&arguments, &resolution, &decision);
	gov_answer_decision_all(&decision, arguments.amounts,
							gov_wanted_any(fcinfo, GOV_COLUMN(REMAINING_ALL)), values, nulls);
	nulls[5] = !gov_wanted_any(fcinfo, GOV_COLUMN(CHAINS_ALL));
	values[5] = nulls[5] ? (Datum) 0 : gov_answer_chains(resolution, true);
	nulls[6] = !recorded.is_recorded && !recorded.is_duplicate;
	values[6] = nulls[6] ? (Datum) 0 :
		JsonbPGetDatum(gov_answer_event_ids(&recorded, arguments.amounts));
	nulls[7] = false;
	values[7] = BoolGetDatum(recorded.is_duplicate);
	return gov_answer_row(fcinfo, &type, values, nulls);
}

Datum
gov_require_all_1_1(PG_FUNCTION_ARGS)
{
	GovArguments arguments;
	GovDecision decision;
	GovResolution *resolution;
	GovRecorded recorded = record_consume_all(fcinfo, "gov_require_all()", &arguments,
											  &decision, &resolution);

	if (!recorded.is_recorded && !recorded.is_duplicate)
		raise_denied(&arguments, &decision, resolution);
	PG_RETURN_JSONB_P(gov_answer_event_ids(&recorded, arguments.amounts));
}
