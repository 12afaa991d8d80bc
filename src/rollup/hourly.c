/*
 * hourly.c
 *		Adds up what ledger rows attribute to entities, by time.
 *
 * PURPOSE
 *		A row counts for every entity that it was resolved to.  What a batch of
 *		rows comes to is written once for each owner, capability, entity and
 *		grain, however many rows there are (rollup_write.c).
 *
 *		A grain is an hour, a half or a quarter of one, as
 *		governance.usage_grain says.  Grains begin with the hours of UTC, so
 *		those of each length lie within those of every longer one.
 *
 * LAYOUT
 *		Two hash tables: the texts, each kept once, so that keys are compared by
 *		their pointers; and the sums.  Amounts are exact.  All of it is in the
 *		memory context that it was created in.
 *
 * FAILURE
 *		An error for a row that the engine cannot have written.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/errors.h"
#include "ledger/columns.h"
#include "pure/bytes.h"
#include "rollup/hourly.h"

typedef struct GovKnownText
{
	const text *key;
	uint32		hash;
	char		status;
} GovKnownText;

static inline uint32
hash_text(const text *key)
{
	return hash_bytes((const unsigned char *) VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key));
}

#define SH_PREFIX texts
#define SH_ELEMENT_TYPE GovKnownText
#define SH_KEY_TYPE const text *
#define SH_KEY key
#define SH_HASH_KEY(tb, key) hash_text(key)
#define SH_EQUAL(tb, a, b) gov_bytes_same(a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) (a)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

static inline uint32
hash_sum_key(GovHourlyKey key)
{
	return hash_bytes((const unsigned char *) &key, sizeof(key));
}

#define SH_PREFIX sums
#define SH_ELEMENT_TYPE GovHourlySum
#define SH_KEY_TYPE GovHourlyKey
#define SH_KEY key
#define SH_HASH_KEY(tb, key) hash_sum_key(key)
#define SH_EQUAL(tb, a, b) (memcmp(&(a), &(b), sizeof(GovHourlyKey)) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) (a)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct GovHourly
{
	MemoryContext context;
	texts_hash *texts;
	sums_hash  *sums;
	int			grain_minutes;
};

StaticAssertDecl(sizeof(GovHourlyKey) == 3 * sizeof(void *) + sizeof(TimestampTz),
				 "a key is compared and hashed whole");

/* Make an empty one, for grains of so many minutes. */
GovHourly *
gov_hourly_create(MemoryContext context, int grain_minutes)
{
	GovHourly  *hourly = MemoryContextAlloc(context, sizeof(GovHourly));

	hourly->context = context;
	hourly->texts = texts_create(context, 64, NULL);
	hourly->sums = sums_create(context, 64, NULL);
	hourly->grain_minutes = grain_minutes;
	return hourly;
}

/* The one copy of a text that is kept; made if need be. */
static const text *
known_text(GovHourly *hourly, const text *spelled)
{
	bool		found;
	GovKnownText *known = texts_insert(hourly->texts, spelled, &found);

	if (!found)
	{
		Size		length = VARSIZE_ANY_EXHDR(spelled);
		text	   *copy = MemoryContextAlloc(hourly->context, VARHDRSZ + length);

		SET_VARSIZE(copy, VARHDRSZ + length);
		memcpy(VARDATA(copy), VARDATA_ANY(spelled), length);
		known->key = copy;
	}
	return known->key;
}

/* When the grain of so many minutes begins that a time falls into. */
TimestampTz
gov_hourly_start(TimestampTz time, int grain_minutes)
{
	int64		grain = grain_minutes * USECS_PER_MINUTE;
	TimestampTz past = time % grain;

	Assert(USECS_PER_HOUR % grain == 0);
	if (TIMESTAMP_NOT_FINITE(time))
		return time;
	return time - (past < 0 ? past + grain : past);
}

/* How many minutes its grains have. */
int
gov_hourly_grain(const GovHourly *hourly)
{
	return hourly->grain_minutes;
}

static void
add_sum(GovHourly *hourly, GovHourlyKey key, GovAmount amount)
{
	bool		found;
	GovHourlySum *sum = sums_insert(hourly->sums, key, &found);

	if (!found)
	{
		sum->amount = 0;
		sum->event_count = 0;
	}
	if (!gov_amount_add(sum->amount, amount, &sum->amount))
		gov_error_stored_amount();
	sum->event_count++;
}

/* Add a row of the ledger, columns as in columns.h; returns its owner. */
const text *
gov_hourly_add(GovHourly *hourly, const Datum *values, const bool *nulls)
{
	GovHourlyKey key;
	GovAmount	amount;
	Datum	   *entities;
	int			count;

	if (gov_amount_from_numeric(DatumGetNumeric(values[GOV_EVENT_AMOUNT]), &amount) != GOV_AMOUNT_OK)
		gov_error_stored_amount();
	key.owner = known_text(hourly, DatumGetTextPP(values[GOV_EVENT_OWNER_ID]));
	key.capability = known_text(hourly, DatumGetTextPP(values[GOV_EVENT_CAPABILITY_ID]));
	key.starts_at = gov_hourly_start(DatumGetTimestampTz(values[GOV_EVENT_OCCURRED_AT]),
									 hourly->grain_minutes);
	deconstruct_array(DatumGetArrayTypeP(values[GOV_EVENT_ENTITY_IDS]), TEXTOID, -1, false,
					  TYPALIGN_INT, &entities, NULL, &count);
	for (int i = 0; i < Max(count, 1); i++)
	{
		key.entity = known_text(hourly, count > 0 ? DatumGetTextPP(entities[i]) : cstring_to_text(""));
		add_sum(hourly, key, amount);
	}
	return key.owner;
}

/* How many sums are there, one for each owner, capability, entity and hour? */
uint32
gov_hourly_count(const GovHourly *hourly)
{
	return hourly->sums->members;
}

static int
compare_texts(const text *a, const text *b)
{
	return a == b ? 0 : gov_bytes_compare(VARDATA_ANY(a), VARSIZE_ANY_EXHDR(a),
										  VARDATA_ANY(b), VARSIZE_ANY_EXHDR(b));
}

static int
compare_sums(const void *a, const void *b)
{
	const GovHourlyKey *left = &(*(GovHourlySum *const *) a)->key;
	const GovHourlyKey *right = &(*(GovHourlySum *const *) b)->key;
	int			result = compare_texts(left->owner, right->owner);

	if (result == 0 && left->starts_at != right->starts_at)
		result = left->starts_at < right->starts_at ? -1 : 1;
	if (result == 0)
		result = compare_texts(left->capability, right->capability);
	return result != 0 ? result : compare_texts(left->entity, right->entity);
}

/* The sums by owner, time, capability and entity, as rows are to be written. */
const GovHourlySum **
gov_hourly_sorted(const GovHourly *hourly)
{
	const GovHourlySum **sorted = palloc(sizeof(GovHourlySum *) * (hourly->sums->members + 1));
	sums_iterator position;
	GovHourlySum *sum;
	int			count = 0;

	sums_start_iterate(hourly->sums, &position);
	while ((sum = sums_iterate(hourly->sums, &position)) != NULL)
		sorted[count++] = sum;
	qsort(sorted, count, sizeof(GovHourlySum *), compare_sums);
	return sorted;
}
