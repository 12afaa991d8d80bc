/*
 * priced.c
 *		What the quantities of a call cost.
 *
 * PURPOSE
 *		A use may be given by its quantities, such as so many tokens in and out,
 *		which have prices.  Its amount is the sum of quantities times prices,
 *		exact and then rounded once.
 *
 * WHICH PRICE
 *		For each quantity that which price_list.c finds among the owner's, or
 *		else among everybody's.
 *
 * LOCKS
 *		None.  It may read tables (prices.c), so it is called before anything is
 *		locked or charged.
 *
 * FAILURE
 *		22023 for what is no object of quantities, and for a quantity without a
 *		price; 54000 for too many; 22003 for a sum that is no amount.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/errors.h"
#include "base/guc.h"
#include "cache/prices.h"
#include "call/dimensions.h"
#include "call/priced.h"
#include "pure/json.h"
#include "pure/pricing.h"

#define GOV_QUANTITIES_MAX	32

/* A call that is being priced. */
typedef struct GovPricing
{
	const GovPricedCall *call;
	GovPriceBook book;
	const GovPriceText *values[GOV_PRICE_SHELVES];	/* see
													 * gov_price_list_find() */
	const GovPrice *prices[GOV_QUANTITIES_MAX];
	GovPriceText quantities[GOV_QUANTITIES_MAX];
	uint32		count;
} GovPricing;

static void
refuse_quantities(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("quantities must be a JSON object of numbers"),
			 errdetail("%s", detail),
			 errhint("Write them like {\"input\": 900, \"output\": 300}.")));
}

/* Each event keeps its quantities, so they may be as large as dimensions. */
static void
check_size(const Jsonb *quantities)
{
	if (!JB_ROOT_IS_OBJECT(quantities))
		refuse_quantities("They are not an object.");
	if (JB_ROOT_COUNT(quantities) == 0)
		refuse_quantities("There is none.");
	if (JB_ROOT_COUNT(quantities) > GOV_QUANTITIES_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many quantities in one call"),
				 errdetail("There are %u, at most %d are allowed.", JB_ROOT_COUNT(quantities),
						   GOV_QUANTITIES_MAX),
				 errhint("Add up those that have one price.")));
	if (VARSIZE(quantities) > (Size) gov_dimensions_max_kb * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("quantities are too large"),
				 errdetail("They take %zu bytes as jsonb, and governance.dimensions_max allows %d kB.",
						   (Size) VARSIZE(quantities), gov_dimensions_max_kb),
				 errhint("Give them short names.")));
}

/* Refuse what is no object of quantities. */
void
gov_priced_check(const Jsonb *quantities)
{
	JsonbIterator *iterator;
	JsonbValue	key;
	JsonbValue	value;

	check_size(quantities);
	iterator = JsonbIteratorInit(unconstify(JsonbContainer *, &quantities->root));
	while (gov_dimensions_next(&iterator, &key, &value))
	{
		if (value.type != jbvNumeric)
			refuse_quantities("A value is not a number.");
	}
}

/* What the dimensions of the call say under the keys of a list. */
static const GovPriceText *
read_values(const GovPricedCall *call, const GovPriceList *list)
{
	GovPriceText *values = palloc0(sizeof(GovPriceText) * Max(list->nkeys, 1));

	for (uint32 i = 0; i < list->nkeys && call->dimensions != NULL; i++)
	{
		JsonbValue	value;

		if (getKeyJsonValueFromContainer(&call->dimensions->root, list->keys[i].bytes,
										 list->keys[i].length, &value) != NULL)
			gov_dimensions_text(&value, &values[i].bytes, &values[i].length);
	}
	return values;
}

pg_noreturn static void
raise_no_price(const GovPricedCall *call, GovPriceText quantity)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("quantity \"%s\" of capability \"%s\" has no price",
					gov_error_shown_bytes(quantity.bytes, quantity.length),
					gov_error_shown_bytes(call->capability.bytes, call->capability.length)),
			 errdetail("None was in force for these dimensions at %s.", timestamptz_to_str(call->at)),
			 errhint("Make one with gov_upsert_prices; what costs nothing has a price of 0.")));
}

static const GovPrice *
find_price(const GovPricing *pricing, GovPriceText quantity)
{
	const GovPricedCall *call = pricing->call;

	for (int i = 0; i < GOV_PRICE_SHELVES; i++)
	{
		const GovPrice *price = gov_price_list_find(pricing->book.lists[i], quantity,
													pricing->values[i], call->at);

		if (price != NULL)
			return price;
	}
	raise_no_price(call, quantity);
}

static void
add_quantities(GovPricing *pricing, GovPriceSum *sum)
{
	JsonbIterator *iterator = JsonbIteratorInit(&pricing->call->quantities->root);
	JsonbValue	key;
	JsonbValue	value;

	while (gov_dimensions_next(&iterator, &key, &value))
	{
		GovPriceText quantity = {key.val.string.val, key.val.string.len};
		const GovPrice *price = find_price(pricing, quantity);

		gov_pricing_add(sum, value.val.numeric, &price->unit);
		pricing->quantities[pricing->count] = quantity;
		pricing->prices[pricing->count++] = price;
	}
}

/* The prices as an event keeps them, under the names of the quantities. */
static Jsonb *
prices_used(const GovPricing *pricing)
{
	GovJsonContainer object;
	StringInfoData json;

	gov_json_init(&json, 64 * (pricing->count + 1));
	gov_json_begin_object(&json, &object, pricing->count);
	for (uint32 i = 0; i < pricing->count; i++)
		gov_json_put_string(&json, &object, pricing->quantities[i].bytes,
							pricing->quantities[i].length);
	for (uint32 i = 0; i < pricing->count; i++)
		gov_json_put_jsonb(&json, &object, pricing->prices[i]->shown);
	gov_json_end(&json, &object, NULL);
	return DatumGetJsonbP(gov_json_done(&json));
}

static GovAmount
rounded_amount(const GovPriceSum *sum)
{
	GovAmount	amount = 0;

	if (gov_pricing_amount(sum, &amount) != GOV_AMOUNT_OK)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("what the quantities cost is out of range"),
				 errhint("It may have at most 18 digits before the decimal point.")));
	return amount;
}

/*
 * What quantities cost, which gov_priced_check() has let pass.  *prices are those
 * that were used, by quantity, unless prices is NULL.
 */
GovAmount
gov_priced_amount(const GovPricedCall *call, Jsonb **prices)
{
	GovPricing	pricing = {.call = call};
	GovPriceSum sum;

	gov_prices_open(&pricing.book, call->owner, call->capability);
	for (int i = 0; i < GOV_PRICE_SHELVES; i++)
		pricing.values[i] = read_values(call, pricing.book.lists[i]);
	gov_pricing_begin(&sum);
	add_quantities(&pricing, &sum);
	if (prices != NULL)
		*prices = prices_used(&pricing);
	return rounded_amount(&sum);
}

/* The time of a call, by which its prices are chosen: a use ahead of the clock is one of now. */
static TimestampTz
request_time(const GovRequest *request)
{
	TimestampTz now = gov_clock();

	return request->has_occurred_at && request->occurred_at < now ? request->occurred_at : now;
}

static void
price_item(GovRequest *request, GovAmounts *amounts, int number, Jsonb *dimensions,
		   bool keeps_prices)
{
	GovAmountOf *item = &amounts->items[number];
	GovMeter   *meter = &request->meters[number];
	GovPricedCall call = {
		.owner = {request->owner.owner, strlen(request->owner.owner)},
		.capability = {meter->capability_id, meter->capability_length},
		.quantities = item->quantities,
		.dimensions = dimensions,
		.at = request_time(request)
	};

	item->amount = gov_priced_amount(&call, keeps_prices ? &item->prices : NULL);
	if (item->amount < 0 && !amounts->may_be_negative)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("what the quantities of \"%s\" cost must not be negative",
						gov_error_shown_bytes(meter->capability_id, meter->capability_length)),
				 errhint("Pass quantities that cost 0 or more; corrections are recorded with gov_ingest_all.")));
	meter->amount = item->amount;
}

/*
 * Price what a call gives by quantities, and note by which prices if an event will
 * keep them.  A call that gives amounts alone pays for a look at a number.
 */
void
gov_priced_request(GovRequest *request, GovAmounts *amounts, Jsonb *dimensions,
				   bool keeps_prices)
{
	if (amounts == NULL || amounts->nquantities == 0)
		return;
	for (int i = 0; i < amounts->count; i++)
	{
		if (amounts->items[i].quantities != NULL)
			price_item(request, amounts, i, dimensions, keeps_prices);
	}
}
