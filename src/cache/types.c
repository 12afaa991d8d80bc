/*
 * types.c
 *		The vendor's entity types and capabilities.
 *
 * PURPOSE
 *		They are few, shared by all owners, and change when the vendor's
 *		product does.  So each backend keeps its own copy of what a call asks:
 *		is there such a capability, does it count what is under way, which
 *		dimension keys name entities of which type, and what those do whose value
 *		is no entity of it.
 *
 * INVARIANTS
 *		gov_types_refresh() runs once per call, with no lock held; after it the
 *		look-ups allocate nothing and may be made under a stripe's lock.  The
 *		generation is read before the snapshot, so a change that the snapshot
 *		missed is seen at the next call.
 *
 * FAILURE
 *		A copy that this transaction's own changes went into is dropped at the
 *		end of the (sub)transaction.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/catalog.h"
#include "base/fault.h"
#include "base/shmem.h"
#include "base/spi.h"
#include "cache/changes.h"
#include "cache/entity.h"
#include "cache/types.h"

/* A capability and what is special of its kind, or a dimension key and a type that has it. */
typedef struct GovPair
{
	const char *first;
	const char *second;
	uint32		first_length;
	uint32		second_length;
} GovPair;

typedef struct GovPairs
{
	GovPair    *pairs;			/* in byte order */
	int			count;
} GovPairs;

/* The keys that do not ignore what they do not know. */
typedef struct GovUnknownRules
{
	GovUnknownRule *rules;
	int			count;			/* nearly always 0 */
} GovUnknownRules;

static MemoryContext context = NULL;
static GovPairs capabilities;
static bool has_concurrency;	/* is one of them of that kind? */
static GovPairs keys;
static GovUnknownRules unknown;
static bool is_loaded = false;
static bool has_own_changes = false;
static uint64 loaded_generation;
static uint64 loaded_catalog;
static uint64 loaded_changes;

static GovQuery capabilities_query = {
	.sql = "select c.id, case c.kind when 'concurrency' then c.kind else '' end from @gov_capabilities c"
};

static GovQuery keys_query = {
	.sql =
	"select k.key, t.id, nullif(t.on_unknown, 'ignore'), t.parent_key"
	" from @gov_entity_types t, lateral unnest(t.attribution_keys) as k(key)"
};

/* In an extension that is not updated yet. */
static GovQuery keys_query_1_0 = {
	.sql =
	"select k.key, t.id, null::text, null::text"
	" from @gov_entity_types t, lateral unnest(t.attribution_keys) as k(key)"
};

static int
compare_pairs(const void *left, const void *right)
{
	const GovPair *a = left;
	const GovPair *b = right;
	int			order = gov_bytes_compare(a->first, a->first_length,
										  b->first, b->first_length);

	return order != 0 ? order : gov_bytes_compare(a->second, a->second_length,
												  b->second, b->second_length);
}

/* A text of the query's result, kept with the copy; NULL for null. */
static const char *
keep_text(int row, int column)
{
	const char *value = gov_spi_text(row, column);

	return value == NULL ? NULL : MemoryContextStrdup(context, value);
}

/* Run a query, and read the first two columns of its result. */
static void
read_pairs(GovQuery *query, GovPairs *result)
{
	int			count = (int) gov_spi_select(query, NULL, NULL);

	GOV_FAULT(GOV_FAULT_MEMORY);
	result->pairs = MemoryContextAlloc(context, sizeof(GovPair) * Max(count, 1));
	result->count = count;
	for (int i = 0; i < count; i++)
	{
		GovPair    *pair = &result->pairs[i];

		pair->first = keep_text(i, 1);
		pair->first_length = strlen(pair->first);
		pair->second = keep_text(i, 2);
		pair->second_length = strlen(pair->second);
	}
	qsort(result->pairs, count, sizeof(GovPair), compare_pairs);
}

static int
compare_rules(const void *left, const void *right)
{
	const GovUnknownRule *a = left;
	const GovUnknownRule *b = right;
	int			order = strcmp(a->key, b->key);

	return order != 0 ? order : strcmp(a->type_id, b->type_id);
}

/*
 * Read what keys do with what they do not know, from the result of a query of
 * keys.  A trigger sees to it that each has one type that does not ignore it;
 * if replication has brought two, the first one by id counts.
 */
static void
read_rules(int nkeys, GovUnknownRules *result)
{
	result->rules = MemoryContextAlloc(context, sizeof(GovUnknownRule) * Max(nkeys, 1));
	result->count = 0;
	for (int i = 0; i < nkeys; i++)
	{
		const char *on_unknown = gov_spi_text(i, 3);

		if (on_unknown == NULL)
			continue;
		result->rules[result->count++] = (GovUnknownRule) {.key = keep_text(i, 1), .type_id = keep_text(i, 2), .parent_key = keep_text(i, 4), .creates = strcmp(on_unknown, "create") == 0};
	}
	qsort(result->rules, result->count, sizeof(GovUnknownRule), compare_rules);
}

static bool
is_current(uint64 generation)
{
	return is_loaded &&
		loaded_generation == generation &&
		loaded_catalog == gov_catalog()->generation &&
		has_own_changes == gov_changes_has_types() &&
		(!has_own_changes || loaded_changes == gov_changes_count());
}

/*
 * Make the copy current.  Without shared memory, and on a standby, nobody
 * tells this backend of changes: there it reads the tables at every call.
 */
void
gov_types_refresh(void)
{
	bool		is_told = gov_shmem_is_available() && !RecoveryInProgress();
	uint64		generation = is_told ?
	pg_atomic_read_u64(gov_shmem_type_generation(MyDatabaseId)) : 0;
	GovSpi		spi;

	if (is_told && is_current(generation))
		return;

	is_loaded = false;
	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "governance types",
										ALLOCSET_SMALL_SIZES);
	MemoryContextReset(context);
	gov_spi_begin(&spi);
	loaded_generation = generation;
	loaded_catalog = gov_catalog()->generation;
	loaded_changes = gov_changes_count();
	has_own_changes = gov_changes_has_types();
	gov_spi_push_snapshot(has_own_changes ? GOV_SNAPSHOT_LATEST :
						  GOV_SNAPSHOT_COMMITTED);
	read_pairs(&capabilities_query, &capabilities);
	has_concurrency = false;
	for (int i = 0; i < capabilities.count; i++)
		has_concurrency |= capabilities.pairs[i].second_length > 0;
	SPI_freetuptable(SPI_tuptable);
	read_pairs(gov_catalog()->has_unknown_rules ? &keys_query : &keys_query_1_0, &keys);
	read_rules(keys.count, &unknown);
	SPI_freetuptable(SPI_tuptable);
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
	is_loaded = true;
}

/* Is there a pair of these two texts?  A NULL second stands for any. */
static bool
contains_pair(const GovPairs *list, const char *first, uint32 first_length,
			  const char *second, uint32 second_length)
{
	int			low = 0;
	int			high = list->count;

	Assert(is_loaded);			/* gov_types_refresh() was called */
	while (low < high)
	{
		int			middle = low + (high - low) / 2;
		const GovPair *pair = &list->pairs[middle];
		int			order = gov_bytes_compare(pair->first, pair->first_length,
											  first, first_length);

		if (order == 0 && second != NULL)
			order = gov_bytes_compare(pair->second, pair->second_length,
									  second, second_length);
		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

bool
gov_types_is_capability(const char *id, uint32 length)
{
	return contains_pair(&capabilities, id, length, NULL, 0);
}

/* Does it count what is under way, rather than what has been used? */
bool
gov_types_is_concurrency(const char *id, uint32 length)
{
	static const char kind[] = "concurrency";

	Assert(is_loaded);
	return has_concurrency && contains_pair(&capabilities, id, length, kind, sizeof(kind) - 1);
}

bool
gov_types_is_attribution_key(const char *key, uint32 key_length)
{
	return contains_pair(&keys, key, key_length, NULL, 0);
}

bool
gov_types_has_attribution_key(const char *type_id, uint32 type_length,
							  const char *key, uint32 key_length)
{
	return contains_pair(&keys, key, key_length, type_id, type_length);
}

/* Is there a key that does not ignore what it does not know? */
bool
gov_types_have_unknown_rules(void)
{
	Assert(is_loaded);
	return unknown.count > 0;
}

/*
 * What a key does whose value is no entity; NULL if it ignores that.  It stays
 * until the next gov_types_refresh().
 */
const GovUnknownRule *
gov_types_unknown_rule(const char *key, uint32 length)
{
	Assert(is_loaded);
	for (int i = 0; i < unknown.count; i++)
	{
		if (gov_bytes_equal(unknown.rules[i].key, strlen(unknown.rules[i].key), key, length))
			return &unknown.rules[i];
	}
	return NULL;
}

/*
 * Drop a copy that has this transaction's own changes.  Called when the
 * transaction ends, and when a part of it aborts.
 */
void
gov_types_forget_own_changes(void)
{
	if (has_own_changes)
		is_loaded = false;
}
