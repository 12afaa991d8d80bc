/*
 * api_ingest.c
 *		gov_ingest and gov_ingest_all: record what was used.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "call/answer.h"
#include "call/record.h"

PG_FUNCTION_INFO_V1(gov_ingest_1_0);
PG_FUNCTION_INFO_V1(gov_ingest_all_1_1);

Datum
gov_ingest_1_0(PG_FUNCTION_ARGS)
{
	static GovRowType type;
	GovArguments arguments;
	GovDecision decision;
	GovResolution *resolution;
	GovRecorded recorded;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	gov_request_arguments(fcinfo, &arguments);
	arguments.key = PG_ARGISNULL(5) ? NULL : PG_GETARG_TEXT_PP(5);
	arguments.has_occurred_at = !PG_ARGISNULL(6);
	if (arguments.has_occurred_at)
		arguments.occurred_at = PG_GETARG_TIMESTAMPTZ(6);

	recorded = gov_record("gov_ingest()", GOV_USE_RECORD, &arguments, &decision, &resolution);
	values[0] = Int64GetDatum(recorded.event_id);
	values[1] = BoolGetDatum(recorded.is_duplicate);
	return gov_answer_row(fcinfo, &type, values, nulls);
}

Datum
gov_ingest_all_1_1(PG_FUNCTION_ARGS)
{
	static GovRowType type;
	GovArguments arguments;
	GovDecision decision;
	GovResolution *resolution;
	GovRecorded recorded;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	gov_request_arguments_all(fcinfo, true, &arguments);
	arguments.key = PG_ARGISNULL(4) ? NULL : PG_GETARG_TEXT_PP(4);
	arguments.has_occurred_at = !PG_ARGISNULL(5);
	if (arguments.has_occurred_at)
		arguments.occurred_at = PG_GETARG_TIMESTAMPTZ(5);

	recorded = gov_record("gov_ingest_all()", GOV_USE_RECORD, &arguments, &decision, &resolution);
	values[0] = JsonbPGetDatum(gov_answer_event_ids(&recorded, arguments.amounts));
	values[1] = BoolGetDatum(recorded.is_duplicate);
	return gov_answer_row(fcinfo, &type, values, nulls);
}
