/*
 * api_prices.c
 *		gov_price, and _gov_repriced for gov_reprice: what quantities cost.
 *
 * FAILURE
 *		22004 for a null where a value is wanted, 22023 for a malformed argument
 *		and for a quantity without a price, 42704 for an unknown capability,
 *		42501 for another owner than the session's.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/errors.h"
#include "base/owner.h"
#include "cache/types.h"
#include "call/dimensions.h"
#include "call/priced.h"
#include "call/request.h"

PG_FUNCTION_INFO_V1(gov_price_1_1);
PG_FUNCTION_INFO_V1(gov_repriced_1_1);

/* the arguments of gov_price, by position */
enum
{
	ARG_OWNER,
	ARG_CAPABILITY,
	ARG_QUANTITIES,
	ARG_DIMENSIONS,
	ARG_AT
};

static const char *const argument_names[] = {"owner_id", "capability_id", "quantities"};

static GovPriceText
text_argument(FunctionCallInfo fcinfo, int argno)
{
	text	   *value = PG_GETARG_TEXT_PP(argno);

	return (GovPriceText)
	{
		VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)
	};
}

/* The dimensions; a flat object, as the other calls take it. */
static Jsonb *
dimensions_argument(FunctionCallInfo fcinfo)
{
	Jsonb	   *dimensions = PG_ARGISNULL(ARG_DIMENSIONS) ? NULL : PG_GETARG_JSONB_P(ARG_DIMENSIONS);
	JsonbIterator *iterator;
	JsonbValue	key;
	JsonbValue	value;

	if (dimensions == NULL)
		return NULL;
	gov_dimensions_check_size(dimensions);
	if (!JB_ROOT_IS_OBJECT(dimensions))
		gov_dimensions_refuse("It is not an object.");
	iterator = JsonbIteratorInit(&dimensions->root);
	while (gov_dimensions_next(&iterator, &key, &value))
	{
		const char *bytes;
		uint32		length;

		gov_dimensions_text(&value, &bytes, &length);
	}
	return dimensions;
}

static TimestampTz
at_argument(FunctionCallInfo fcinfo)
{
	TimestampTz at = PG_ARGISNULL(ARG_AT) ? gov_clock() : PG_GETARG_TIMESTAMPTZ(ARG_AT);

	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"at\" must not be infinite"),
				 errhint("Write a point in time, or leave it out for now.")));
	return at;
}

/*
 * gov_price(owner_id text, capability_id text, quantities jsonb, dimensions jsonb, at timestamptz) returns numeric
 *
 * Only dimensions and at may be null.
 */
Datum
gov_price_1_1(PG_FUNCTION_ARGS)
{
	GovPricedCall call;

	for (int i = 0; i < lengthof(argument_names); i++)
	{
		if (PG_ARGISNULL(i))
			gov_error_null_argument(argument_names[i]);
	}
	gov_request_check_key("owner_id", PG_GETARG_TEXT_PP(ARG_OWNER));
	gov_owner_require(text_to_cstring(PG_GETARG_TEXT_PP(ARG_OWNER)));
	call.owner = text_argument(fcinfo, ARG_OWNER);
	call.capability = text_argument(fcinfo, ARG_CAPABILITY);
	call.quantities = PG_GETARG_JSONB_P(ARG_QUANTITIES);
	call.dimensions = dimensions_argument(fcinfo);
	call.at = at_argument(fcinfo);
	gov_priced_check(call.quantities);
	gov_types_refresh();
	gov_request_require_capability(call.capability.bytes, call.capability.length);
	PG_RETURN_NUMERIC(gov_amount_to_numeric(gov_priced_amount(&call, NULL)));
}

/* What is being priced is an event of the past. */
static void
add_event(void *event_id)
{
	errcontext("event %lld", (long long) *(int64 *) event_id);
}

/*
 * _gov_repriced(owner_id text, capability_id text, quantities jsonb, dimensions jsonb, at timestamptz, event_id bigint,
 *				 out amount numeric, out prices jsonb)
 *
 * What an event says of itself was judged when it was recorded.
 */
Datum
gov_repriced_1_1(PG_FUNCTION_ARGS)
{
	int64		event_id = PG_GETARG_INT64(5);
	ErrorContextCallback context = {error_context_stack, add_event, &event_id};
	GovPricedCall call;
	Jsonb	   *prices;
	Datum		values[2];
	bool		nulls[2] = {false, false};
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	gov_owner_require_visible(PG_GETARG_TEXT_PP(ARG_OWNER));
	call.owner = text_argument(fcinfo, ARG_OWNER);
	call.capability = text_argument(fcinfo, ARG_CAPABILITY);
	call.quantities = PG_GETARG_JSONB_P(ARG_QUANTITIES);
	call.dimensions = PG_GETARG_JSONB_P(ARG_DIMENSIONS);
	call.at = PG_GETARG_TIMESTAMPTZ(ARG_AT);
	error_context_stack = &context;
	gov_priced_check(call.quantities);
	gov_types_refresh();
	gov_request_require_capability(call.capability.bytes, call.capability.length);
	values[0] = NumericGetDatum(gov_amount_to_numeric(gov_priced_amount(&call, &prices)));
	values[1] = JsonbPGetDatum(prices);
	error_context_stack = context.previous;
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
