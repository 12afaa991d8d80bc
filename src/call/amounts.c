/*
 * amounts.c
 *		What a call wants of several capabilities: its argument "amounts".
 *
 * PURPOSE
 *		Reads an object such as {"requests": 1, "ai-tokens": 900}, or with quantities
 *		that are yet to be priced (priced.c) in place of an amount, and writes such
 *		objects: what is held, what was recorded, what remains.  Whether there are
 *		such capabilities is asked where all arguments are read (request.c).
 *
 * ORDER
 *		Capabilities are in byte order, whatever the order in the argument, so that
 *		the same call is the same, and its first event, which has the key, is known.
 *		An object of type jsonb has its keys by length first.
 *
 * FAILURE
 *		22004 for a null, 22023 for what is no object of 1 to 16 numbers, 22003 for
 *		an amount out of range, 54000 for more capabilities.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/numeric.h"

#include "base/errors.h"
#include "call/amounts.h"
#include "call/priced.h"
#include "pure/bytes.h"
#include "pure/json.h"

#define GOV_AMOUNTS_HINT	"Write it like {\"requests\": 1, \"ai-tokens\": 900}."

static const char *
shown(const JsonbValue *key)
{
	return gov_error_shown_bytes(key->val.string.val, key->val.string.len);
}

pg_noreturn static void
raise_null(const JsonbValue *key)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("amount of \"%s\" in argument \"amounts\" must not be null", shown(key)),
			 errhint("Leave the capability out if nothing of it is used.")));
}

pg_noreturn static void
raise_no_number(const JsonbValue *key)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("amount of \"%s\" in argument \"amounts\" must be a number, or an object of quantities",
					shown(key)),
			 errhint(GOV_AMOUNTS_HINT)));
}

static GovAmount
read_number(const JsonbValue *key, Numeric number)
{
	GovAmount	amount = 0;

	/* a number of JSON is finite */
	if (gov_amount_from_numeric(number, &amount) != GOV_AMOUNT_OK)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("amount of \"%s\" in argument \"amounts\" is out of range", shown(key)),
				 errhint("Pass a number with at most 18 digits before the decimal point.")));
	return amount;
}

static GovAmount
read_amount(const JsonbValue *key, const JsonbValue *value, bool may_be_negative)
{
	GovAmount	amount = read_number(key, value->val.numeric);

	if (amount < 0 && !may_be_negative)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("amount of \"%s\" in argument \"amounts\" must not be negative", shown(key)),
				 errhint("Pass 0 or more; corrections are recorded with gov_ingest_all.")));
	return amount;
}

/* How much of a capability: what stands in the place of its amount. */
static void
read_item(GovAmounts *amounts, GovAmountOf *item, const JsonbValue *key, JsonbValue *value)
{
	if (value->type == jbvNull)
		raise_null(key);
	if (value->type == jbvNumeric)
	{
		item->amount = read_amount(key, value, amounts->may_be_negative);
		return;
	}
	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		raise_no_number(key);
	item->quantities = JsonbValueToJsonb(value);
	gov_priced_check(item->quantities);
	amounts->nquantities++;
}

static int
compare_capabilities(const void *left, const void *right)
{
	const text *a = ((const GovAmountOf *) left)->capability;
	const text *b = ((const GovAmountOf *) right)->capability;

	return gov_bytes_compare(VARDATA_ANY(a), VARSIZE_ANY_EXHDR(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(b));
}

pg_noreturn static void
raise_too_many(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("too many capabilities in one call"),
			 errhint("Use at most %d.", GOV_METERS_MAX)));
}

static void
require_object(const Jsonb *amounts)
{
	if (amounts == NULL)
		gov_error_null_argument("amounts");
	if (!JB_ROOT_IS_OBJECT(amounts) || JB_ROOT_COUNT(amounts) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"amounts\" must be an object with at least one capability"),
				 errhint(GOV_AMOUNTS_HINT)));
	if (JB_ROOT_COUNT(amounts) > GOV_METERS_MAX)
		raise_too_many();
}

/* Read the argument. */
GovAmounts *
gov_amounts_read(Jsonb *amounts, bool may_be_negative)
{
	GovAmounts *result = palloc0(sizeof(GovAmounts));
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	require_object(amounts);
	result->may_be_negative = may_be_negative;
	iterator = JsonbIteratorInit(&amounts->root);
	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		GovAmountOf *item = &result->items[result->count];

		if (token != WJB_KEY)
			continue;
		JsonbIteratorNext(&iterator, &value, true);
		item->capability = cstring_to_text_with_len(key.val.string.val, key.val.string.len);
		read_item(result, item, &key, &value);
		result->count++;
	}
	qsort(result->items, result->count, sizeof(GovAmountOf), compare_capabilities);
	return result;
}

/*
 * What a hold is settled for: what was used, and nothing of what was held and is
 * not among it.
 */
GovAmounts *
gov_amounts_settled(const GovAmounts *held, const GovAmounts *used)
{
	GovAmounts *result = palloc(sizeof(GovAmounts));

	*result = *used;
	for (int i = 0; i < held->count; i++)
	{
		GovAmountOf item = {.capability = held->items[i].capability};

		if (bsearch(&item, used->items, used->count, sizeof(GovAmountOf), compare_capabilities) != NULL)
			continue;
		if (result->count == GOV_METERS_MAX)
			raise_too_many();
		result->items[result->count++] = item;
	}
	qsort(result->items, result->count, sizeof(GovAmountOf), compare_capabilities);
	return result;
}

/* The order of jsonb's keys. */
static int
compare_keys(const void *left, const void *right, void *arg)
{
	const GovAmountOf *items = arg;
	const text *a = items[*(const int *) left].capability;
	const text *b = items[*(const int *) right].capability;
	uint32		a_length = VARSIZE_ANY_EXHDR(a);
	uint32		b_length = VARSIZE_ANY_EXHDR(b);

	if (a_length != b_length)
		return a_length < b_length ? -1 : 1;
	return memcmp(VARDATA_ANY(a), VARDATA_ANY(b), a_length);
}

/* An object with a value for each capability, which put writes. */
Jsonb *
gov_amounts_object(const GovAmounts *amounts, GovAmountsPut put, const void *arg)
{
	int			order[GOV_METERS_MAX];
	GovJsonContainer object;
	StringInfoData json;

	for (int i = 0; i < amounts->count; i++)
		order[i] = i;
	qsort_arg(order, amounts->count, sizeof(int), compare_keys, unconstify(GovAmounts *, amounts)->items);
	gov_json_init(&json, 64 * (Size) amounts->count);
	gov_json_begin_object(&json, &object, amounts->count);
	for (int i = 0; i < amounts->count; i++)
	{
		const text *capability = amounts->items[order[i]].capability;

		gov_json_put_string(&json, &object, VARDATA_ANY(capability), VARSIZE_ANY_EXHDR(capability));
	}
	for (int i = 0; i < amounts->count; i++)
		put(&json, &object, order[i], arg);
	gov_json_end(&json, &object, NULL);
	return DatumGetJsonbP(gov_json_done(&json));
}

static void
put_amount(StringInfo json, GovJsonContainer *in, int number, const void *arg)
{
	gov_json_put_amount(json, in, false, ((const GovAmounts *) arg)->items[number].amount);
}

/* The amounts, as an argument would say them. */
Jsonb *
gov_amounts_json(const GovAmounts *amounts)
{
	return gov_amounts_object(amounts, put_amount, amounts);
}

static void
put_quantities(StringInfo json, GovJsonContainer *in, int number, const void *arg)
{
	gov_json_put_jsonb(json, in, ((const GovAmounts *) arg)->items[number].quantities);
}

/* The quantities by which some of the amounts were given; NULL if none was. */
Jsonb *
gov_amounts_quantities_json(const GovAmounts *amounts)
{
	GovAmounts *given = palloc0(sizeof(GovAmounts));

	for (int i = 0; i < amounts->count; i++)
	{
		if (amounts->items[i].quantities != NULL)
			given->items[given->count++] = amounts->items[i];
	}
	return given->count == 0 ? NULL : gov_amounts_object(given, put_quantities, given);
}

/* Have amounts be given by quantities again, which gov_amounts_quantities_json() has written. */
void
gov_amounts_set_quantities(GovAmounts *amounts, Jsonb *quantities)
{
	for (int i = 0; i < amounts->count; i++)
	{
		const text *capability = amounts->items[i].capability;
		JsonbValue	value;

		if (getKeyJsonValueFromContainer(&quantities->root, VARDATA_ANY(capability),
										 VARSIZE_ANY_EXHDR(capability), &value) == NULL)
			continue;
		amounts->items[i].quantities = JsonbValueToJsonb(&value);
		amounts->nquantities++;
	}
}

static void
put_id(StringInfo json, GovJsonContainer *in, int number, const void *arg)
{
	int64		id = ((const int64 *) arg)[number];

	if (id == 0)
		gov_json_put_null(json, in);
	else
		gov_json_put_numeric(json, in, int64_to_numeric(id));
}

/* The ids of events, one for each of the capabilities; 0 is none. */
Jsonb *
gov_amounts_ids_json(const GovAmounts *amounts, const int64 *ids)
{
	return gov_amounts_object(amounts, put_id, ids);
}
