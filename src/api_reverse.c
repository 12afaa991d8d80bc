/*
 * api_reverse.c
 *		gov_reverse: give back what an event has used.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "base/errors.h"
#include "call/answer.h"
#include "call/reverse.h"

PG_FUNCTION_INFO_V1(gov_reverse_1_1);

Datum
gov_reverse_1_1(PG_FUNCTION_ARGS)
{
	static GovRowType type;
	GovRecorded recorded;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (PG_ARGISNULL(0))
		gov_error_null_argument("event_id");
	recorded = gov_reverse(PG_GETARG_INT64(0),
						   PG_ARGISNULL(1) ? NULL : PG_GETARG_NUMERIC(1),
						   PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2));
	values[0] = Int64GetDatum(recorded.event_id);
	values[1] = BoolGetDatum(recorded.is_duplicate);
	return gov_answer_row(fcinfo, &type, values, nulls);
}
