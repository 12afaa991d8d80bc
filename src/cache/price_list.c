/*
 * price_list.c
 *		The prices of one capability, for one owner or for everybody.
 *
 * PURPOSE
 *		Finds the price of a quantity for the dimensions of a call: of the prices
 *		whose match the dimensions have, that with most keys in its match, then
 *		the first by the bytes of its match, then the latest that is in force.
 *		A list may have a price for each of a thousand models, and a call asks
 *		for a few quantities, so a list is not searched from end to end.
 *
 * LAYOUT
 *		The matches of a list have few different sets of keys, such as none,
 *		{model}, and {batch, model}.  For each of these sets the dimensions of a
 *		call can have one match at most.  So what a price is found by, its
 *		quantity, its set and the values of the set's keys, is hashed; prices are
 *		in order of the hash, and prices of one hash in order of their time.
 *
 * LOCKS
 *		None: a list is private to a backend, and does not change once it is
 *		complete.  Only making it allocates, in the current memory context.
 *
 * FAILURE
 *		Running out of memory.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/datum.h"

#include "cache/price_list.h"
#include "pure/bytes.h"
#include "pure/json.h"

/* A list to which so many rows will be added. */
GovPriceList *
gov_price_list_make(uint32 nrows)
{
	GovPriceList *list = palloc0(sizeof(GovPriceList));

	list->prices = palloc(sizeof(GovPrice) * Max(nrows, 1));
	return list;
}

static bool
are_equal(GovPriceText a, GovPriceText b)
{
	return gov_bytes_equal(a.bytes, a.length, b.bytes, b.length);
}

/* The index of a key of dimensions, which becomes one of the list's if need be. */
static uint32
place_key(GovPriceList *list, GovPriceText key)
{
	uint32		i;

	for (i = 0; i < list->nkeys; i++)
	{
		if (are_equal(list->keys[i], key))
			return i;
	}
	if (i == 0)
		list->keys = palloc(sizeof(GovPriceText));
	else
		list->keys = repalloc(list->keys, sizeof(GovPriceText) * (i + 1));
	list->keys[i] = key;
	list->nkeys++;
	return i;
}

/* The index of a set of keys, likewise.  All matches have their keys in one order, jsonb's. */
static uint32
place_set(GovPriceList *list, const uint32 *keys, uint32 count)
{
	uint32		i;

	for (i = 0; i < list->nsets; i++)
	{
		if (list->sets[i].count == count &&
			memcmp(list->sets[i].keys, keys, sizeof(uint32) * count) == 0)
			return i;
	}
	if (i == 0)
		list->sets = palloc(sizeof(GovPriceKeys));
	else
		list->sets = repalloc(list->sets, sizeof(GovPriceKeys) * (i + 1));
	list->sets[i].count = count;
	list->sets[i].keys = palloc(sizeof(uint32) * Max(count, 1));
	memcpy(list->sets[i].keys, keys, sizeof(uint32) * count);
	list->nsets++;
	return i;
}

/* The hash by which a price is found, where the n-th value is that of the set's n-th key. */
static uint32
begin_hash(GovPriceText quantity, uint32 set)
{
	return hash_combine(hash_bytes((const unsigned char *) quantity.bytes, quantity.length), set);
}

static uint32
add_to_hash(uint32 hash, GovPriceText value)
{
	return hash_combine(hash, hash_bytes((const unsigned char *) value.bytes, value.length));
}

static GovPriceText
copy_text(const text *value)
{
	return (GovPriceText)
	{
		text_to_cstring(value), VARSIZE_ANY_EXHDR(value)
	};
}

/* Take a match apart, which has strings alone; what it is made of stays in the copy. */
static void
read_match(GovPriceList *list, GovPrice *price, Jsonb *match)
{
	Jsonb	   *copy = (Jsonb *) DatumGetPointer(datumCopy(JsonbPGetDatum(match), false, -1));
	JsonbIterator *iterator = JsonbIteratorInit(&copy->root);
	uint32	   *keys = palloc(sizeof(uint32) * (JB_ROOT_COUNT(copy) + 1));
	uint32		count = 0;
	JsonbValue	part;
	JsonbIteratorToken token;

	price->values = palloc(sizeof(GovPriceText) * (JB_ROOT_COUNT(copy) + 1));
	while ((token = JsonbIteratorNext(&iterator, &part, true)) != WJB_DONE)
	{
		GovPriceText read = {part.val.string.val, part.val.string.len};

		if (token == WJB_KEY)
			keys[count] = place_key(list, read);
		else if (token == WJB_VALUE)
			price->values[count++] = read;
	}
	price->set = place_set(list, keys, count);
	pfree(keys);
}

/* A price as an event keeps it. */
static Jsonb *
shown_price(const GovPriceRow *row)
{
	static const char *const names[] = {"per", "price"};
	static GovJsonKeys keys = {.names = names, .count = lengthof(names)};
	GovJsonContainer object;
	StringInfoData json;

	gov_json_init(&json, 64);
	gov_json_begin_values(&json, &object, &keys);
	gov_json_put_numeric(&json, &object, int64_to_numeric(row->per));
	gov_json_put_numeric(&json, &object, row->price);
	gov_json_end(&json, &object, NULL);
	return DatumGetJsonbP(gov_json_done(&json));
}

/* Add a row, of which nothing is needed any more afterwards. */
void
gov_price_list_add(GovPriceList *list, const GovPriceRow *row)
{
	GovPrice   *price = &list->prices[list->nprices++];

	price->quantity = copy_text(row->quantity);
	price->match = copy_text(row->match_text);
	price->valid_from = row->valid_from;
	read_match(list, price, row->match);
	price->hash = begin_hash(price->quantity, price->set);
	for (uint32 i = 0; i < list->sets[price->set].count; i++)
		price->hash = add_to_hash(price->hash, price->values[i]);
	price->unit = row->unit;
	price->unit.decimal = DatumGetNumeric(datumCopy(NumericGetDatum(row->unit.decimal), false, -1));
	price->shown = shown_price(row);
}

static int
compare_prices(const void *left, const void *right)
{
	const GovPrice *a = left;
	const GovPrice *b = right;

	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	return (a->valid_from < b->valid_from) - (a->valid_from > b->valid_from);
}

static int
compare_sets(const void *left, const void *right, void *list)
{
	const GovPriceKeys *sets = ((const GovPriceList *) list)->sets;
	uint32		a = sets[*(const uint32 *) left].count;
	uint32		b = sets[*(const uint32 *) right].count;

	return (a < b) - (a > b);
}

/* All rows have been added. */
void
gov_price_list_complete(GovPriceList *list)
{
	list->order = palloc(sizeof(uint32) * Max(list->nsets, 1));
	for (uint32 i = 0; i < list->nsets; i++)
		list->order[i] = i;
	qsort_arg(list->order, list->nsets, sizeof(uint32), compare_sets, list);
	qsort(list->prices, list->nprices, sizeof(GovPrice), compare_prices);
}

/* The first price with this hash, or where it would stand. */
static const GovPrice *
first_of_hash(const GovPriceList *list, uint32 hash)
{
	uint32		low = 0;
	uint32		high = list->nprices;

	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;

		if (list->prices[middle].hash < hash)
			low = middle + 1;
		else
			high = middle;
	}
	return &list->prices[low];
}

/* Has a price this quantity, and these values of its keys? */
static bool
is_for(const GovPrice *price, GovPriceText quantity, const GovPriceKeys *set,
	   const GovPriceText *values)
{
	if (!are_equal(price->quantity, quantity))
		return false;
	for (uint32 i = 0; i < set->count; i++)
	{
		if (!are_equal(price->values[i], values[set->keys[i]]))
			return false;
	}
	return true;
}

/* The latest price that is in force, of those whose match has these keys. */
static const GovPrice *
find_in_set(const GovPriceList *list, uint32 number, GovPriceText quantity,
			const GovPriceText *values, TimestampTz at)
{
	const GovPriceKeys *set = &list->sets[number];
	uint32		hash = begin_hash(quantity, number);

	for (uint32 i = 0; i < set->count; i++)
	{
		if (values[set->keys[i]].bytes == NULL)
			return NULL;
		hash = add_to_hash(hash, values[set->keys[i]]);
	}
	for (const GovPrice *price = first_of_hash(list, hash);
		 price < list->prices + list->nprices && price->hash == hash; price++)
	{
		if (price->set == number && price->valid_from <= at && is_for(price, quantity, set, values))
			return price;
	}
	return NULL;
}

/*
 * The price of a quantity that counts at a time; NULL if there is none.  values
 * are those that the dimensions of the call have for the keys of the list.
 */
const GovPrice *
gov_price_list_find(const GovPriceList *list, GovPriceText quantity, const GovPriceText *values,
					TimestampTz at)
{
	const GovPrice *best = NULL;

	for (uint32 i = 0; i < list->nsets; i++)
	{
		uint32		number = list->order[i];
		const GovPrice *price;

		if (best != NULL && list->sets[number].count < list->sets[best->set].count)
			break;
		price = find_in_set(list, number, quantity, values, at);
		if (price != NULL &&
			(best == NULL || gov_bytes_compare(price->match.bytes, price->match.length,
											   best->match.bytes, best->match.length) < 0))
			best = price;
	}
	return best;
}
