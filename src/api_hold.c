/*
 * api_hold.c
 *		gov_reserve, gov_settle, and the same of several capabilities; gov_release,
 *		gov_extend.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "call/answer.h"
#include "call/hold_call.h"
#include "call/hold_settle.h"
#include "call/wanted.h"
#include "call/write.h"

#define CHAINS	9				/* the column of gov_reserve */

/* columns of gov_reserve_all */
#define REMAINING_ALL	4
#define CHAINS_ALL		10

PG_FUNCTION_INFO_V1(gov_reserve_1_0);
PG_FUNCTION_INFO_V1(gov_settle_1_0);
PG_FUNCTION_INFO_V1(gov_reserve_all_1_1);
PG_FUNCTION_INFO_V1(gov_settle_all_1_1);
PG_FUNCTION_INFO_V1(gov_release_1_0);
PG_FUNCTION_INFO_V1(gov_extend_1_0);

static const pg_uuid_t *
hold_argument(FunctionCallInfo fcinfo)
{
	return PG_ARGISNULL(0) ? NULL : PG_GETARG_UUID_P(0);
}

Datum
gov_reserve_1_0(PG_FUNCTION_ARGS)
{
	static GovRowType type;
	GovArguments arguments;
	GovDecision decision;
	GovResolution *resolution;
	GovReserved reserved;
	Datum		values[9];
	bool		nulls[9] = {false};
	bool		is_denied;

	gov_request_arguments(fcinfo, &arguments);
	arguments.key = PG_ARGISNULL(5) ? NULL : PG_GETARG_TEXT_PP(5);
	reserved = gov_hold_reserve(&arguments, PG_ARGISNULL(6) ? NULL : PG_GETARG_INTERVAL_P(6),
								&decision, &resolution);
	if (reserved.is_duplicate)
		gov_write_look_again(&arguments, &resolution, &decision);
	is_denied = !reserved.is_held && !reserved.is_duplicate;

	gov_answer_decision(&decision, values, nulls);
	nulls[4] = nulls[5] = nulls[7] = is_denied;
	values[4] = UUIDPGetDatum(&reserved.id);
	values[5] = TimestampTzGetDatum(reserved.expires_at);
	values[6] = BoolGetDatum(reserved.is_duplicate);
	values[7] = CStringGetTextDatum(gov_hold_row_state_name(reserved.state));
	nulls[8] = !gov_wanted_any(fcinfo, GOV_COLUMN(CHAINS));
	values[8] = nulls[8] ? (Datum) 0 : gov_answer_chains(resolution, false);
	return gov_answer_row(fcinfo, &type, values, nulls);
}

Datum
gov_reserve_all_1_1(PG_FUNCTION_ARGS)
{
	static GovRowType type;
	GovArguments arguments;
	GovDecision decision;
	GovResolution *resolution;
	GovReserved reserved;
	Datum		values[11];
	bool		nulls[11] = {false};
	bool		is_denied;

	gov_request_arguments_all(fcinfo, false, &arguments);
	arguments.key = PG_ARGISNULL(4) ? NULL : PG_GETARG_TEXT_PP(4);
	reserved = gov_hold_reserve(&arguments, PG_ARGISNULL(5) ? NULL : PG_GETARG_INTERVAL_P(5),
								&decision, &resolution);
	if (reserved.is_duplicate)
		gov_write_look_again(&arguments, &resolution, &decision);
	is_denied = !reserved.is_held && !reserved.is_duplicate;

	gov_answer_decision_all(&decision, arguments.amounts,
							gov_wanted_any(fcinfo, GOV_COLUMN(REMAINING_ALL)), values, nulls);
	nulls[5] = nulls[6] = nulls[8] = nulls[10] = is_denied;
	values[5] = UUIDPGetDatum(&reserved.id);
	values[6] = TimestampTzGetDatum(reserved.expires_at);
	values[7] = BoolGetDatum(reserved.is_duplicate);
	values[8] = CStringGetTextDatum(gov_hold_row_state_name(reserved.state));
	nulls[9] = !gov_wanted_any(fcinfo, GOV_COLUMN(CHAINS_ALL));
	values[9] = nulls[9] ? (Datum) 0 : gov_answer_chains(resolution, true);
	values[10] = JsonbPGetDatum(reserved.is_duplicate ? reserved.amounts :
								gov_amounts_json(arguments.amounts));
	return gov_answer_row(fcinfo, &type, values, nulls);
}

Datum
gov_settle_1_0(PG_FUNCTION_ARGS)
{
	static GovRowType type;
	GovRecorded recorded = gov_hold_settle(hold_argument(fcinfo),
										   PG_ARGISNULL(1) ? NULL : PG_GETARG_NUMERIC(1));
	Datum		values[2] = {
		Int64GetDatum(recorded.event_id), BoolGetDatum(recorded.is_duplicate)
	};
	bool		nulls[2] = {recorded.event_id == 0, false};

	return gov_answer_row(fcinfo, &type, values, nulls);
}

Datum
gov_settle_all_1_1(PG_FUNCTION_ARGS)
{
	static GovRowType type;
	GovSettled	settled = gov_hold_settle_all(hold_argument(fcinfo),
											  PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1));
	Datum		values[2] = {
		JsonbPGetDatum(settled.event_ids), BoolGetDatum(settled.is_duplicate)
	};
	bool		nulls[2] = {false, false};

	return gov_answer_row(fcinfo, &type, values, nulls);
}

Datum
gov_release_1_0(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(gov_hold_release(hold_argument(fcinfo)));
}

Datum
gov_extend_1_0(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(gov_hold_extend(hold_argument(fcinfo),
										  PG_ARGISNULL(1) ? NULL : PG_GETARG_INTERVAL_P(1)));
}
