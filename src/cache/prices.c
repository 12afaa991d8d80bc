/*
 * prices.c
 *		What prices there are, as a backend remembers them.
 *
 * PURPOSE
 *		A call that is charged by prices reads no table.  Each backend keeps the
 *		lists that its calls have asked for: of a capability those of an owner,
 *		and those of everybody.  Prices are many and change seldom, so a change of
 *		any makes all lists be read again when they are asked for.
 *
 * LAYOUT
 *		Two shelves, of the owners' lists and of everybody's, each a hash table
 *		in a memory context of its own.  An owner without prices has an empty list.
 *		Past GOV_PRICES_KB_MAX the owners' lists are dropped, and what is asked for
 *		is read again.
 *
 * CURRENCY
 *		All lists that a backend has show one state of the table, whenever they
 *		were read: that after the generation that the backend has noted.  Else a
 *		call could miss a price that a transaction has moved from one list to
 *		the other.  A transaction that has changed prices is counted as being
 *		committed before others can see its rows, until the generation has moved
 *		(changes.c).  So a snapshot after which none is being committed, and the
 *		generation has not moved, shows that state.  What is read under another
 *		one serves its own call, for which both lists are read, and is forgotten.
 *
 *		Without shared memory, and on a standby, nobody tells this backend of
 *		changes: there it reads the tables at every call, and where
 *		governance.use_cache is off.
 *
 * INVARIANTS
 *		What gov_prices_open() returns stays until its next call.  It is called
 *		with no lock held; looking prices up allocates nothing.
 *
 * FAILURE
 *		An error while a list is read leaves the lists that were there.  What this
 *		transaction's own changes went into is dropped at the end of the
 *		(sub)transaction.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "base/catalog.h"
#include "base/fault.h"
#include "base/guc.h"
#include "base/shmem.h"
#include "base/spi.h"
#include "cache/changes.h"
#include "cache/prices.h"
#include "pure/bytes.h"

#define GOV_PRICES_KB_MAX	16384	/* of the owners' lists of a backend */

/* Whose list, of everybody with an empty owner, and of which capability. */
typedef struct GovPriceKey
{
	GovPriceText owner;
	GovPriceText capability;
} GovPriceKey;

typedef struct GovPriceEntry
{
	GovPriceKey key;
	GovPriceList *list;
} GovPriceEntry;

typedef struct GovPriceLists
{
	MemoryContext context;		/* NULL before the first list */
	HTAB	   *entries;
} GovPriceLists;

static GovPriceLists shelves[GOV_PRICE_SHELVES];
static bool is_kept = false;	/* what the shelves have is of this state: */
static bool has_own_changes;
static uint64 kept_generation;
static uint64 kept_catalog;
static uint64 kept_changes;

#define SELECT_PRICES \
	"select p.quantity, p.match, p.match::text, p.price, p.per, p.valid_from from @gov_prices p" \
	" where p.capability_id = $1 and p.owner_id"

static GovQuery queries[GOV_PRICE_SHELVES] = {
	[GOV_PRICES_OWN] = {
		.sql = SELECT_PRICES " = $2",
		.nargs = 2,
		.argtypes = {TEXTOID, TEXTOID}
	},
	[GOV_PRICES_OF_ALL] = {
		.sql = SELECT_PRICES " is null",
		.nargs = 1,
		.argtypes = {TEXTOID}
	}
};

/* ---------------------------------------------------------------- the state that is kept */

static void
drop_lists(GovPriceLists *shelf)
{
	if (shelf->context != NULL)
		MemoryContextReset(shelf->context);
	shelf->entries = NULL;
}

static void
drop_all(void)
{
	for (int i = 0; i < GOV_PRICE_SHELVES; i++)
		drop_lists(&shelves[i]);
	is_kept = false;
}

/* Is this backend told of changes? */
static bool
is_told(void)
{
	return gov_shmem_is_available() && gov_use_cache && !RecoveryInProgress();
}

static bool
is_current(uint64 generation)
{
	return is_kept &&
		kept_generation == generation &&
		kept_catalog == gov_catalog()->generation &&
		has_own_changes == gov_changes_has_prices() &&
		(!has_own_changes || kept_changes == gov_changes_count());
}

/* Keep no list that is not of the present state. */
static void
refresh_lists(void)
{
	uint64		generation = is_told() ?
	pg_atomic_read_u64(gov_shmem_price_generation(MyDatabaseId)) : 0;

	if (is_told() && is_current(generation))
		return;
	drop_all();
	kept_generation = generation;
	kept_catalog = gov_catalog()->generation;
	kept_changes = gov_changes_count();
	has_own_changes = gov_changes_has_prices();
}

/*
 * Does the snapshot that was just taken show the state of kept_generation?  Who
 * commits moves the generation before it is counted off.
 */
static bool
is_settled(void)
{
	if (!is_told() || pg_atomic_read_u64(gov_shmem_price_commits(MyDatabaseId)) != 0)
		return false;
	pg_read_barrier();
	return pg_atomic_read_u64(gov_shmem_price_generation(MyDatabaseId)) == kept_generation;
}

/* ---------------------------------------------------------------- lists */

static uint32
hash_key(const void *key, Size size)
{
	const GovPriceKey *of = key;

	return hash_combine(hash_bytes((const unsigned char *) of->owner.bytes, of->owner.length),
						hash_bytes((const unsigned char *) of->capability.bytes, of->capability.length));
}

/* As memcmp(): 0 when they are the same. */
static int
compare_keys(const void *key1, const void *key2, Size size)
{
	const GovPriceKey *a = key1;
	const GovPriceKey *b = key2;

	return !gov_bytes_equal(a->owner.bytes, a->owner.length, b->owner.bytes, b->owner.length) ||
		!gov_bytes_equal(a->capability.bytes, a->capability.length,
						 b->capability.bytes, b->capability.length);
}

static void
make_entries(GovPriceLists *shelf)
{
	HASHCTL		ctl = {0};

	GOV_FAULT(GOV_FAULT_MEMORY);
	if (shelf->context == NULL)
		shelf->context = AllocSetContextCreate(TopMemoryContext, "governance prices",
											   ALLOCSET_SMALL_SIZES);
	ctl.keysize = sizeof(GovPriceKey);
	ctl.entrysize = sizeof(GovPriceEntry);
	ctl.hash = hash_key;
	ctl.match = compare_keys;
	ctl.hcxt = shelf->context;
	shelf->entries = hash_create("governance prices", 64, &ctl,
								 HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
}

static const GovPriceList *
find_list(const GovPriceLists *shelf, const GovPriceKey *key)
{
	GovPriceEntry *entry = shelf->entries == NULL ? NULL :
		hash_search(shelf->entries, key, HASH_FIND, NULL);

	return entry == NULL ? NULL : entry->list;
}

static Datum
value_of(int row, int column)
{
	bool		isnull;
	Datum		value = gov_spi_value(row, column, &isnull);

	Assert(!isnull);
	return value;
}

static void
read_row(int number, GovPriceRow *row)
{
	row->quantity = DatumGetTextPP(value_of(number, 1));
	row->match = DatumGetJsonbP(value_of(number, 2));
	row->match_text = DatumGetTextPP(value_of(number, 3));
	row->price = DatumGetNumeric(value_of(number, 4));
	row->per = DatumGetInt64(value_of(number, 5));
	row->valid_from = DatumGetTimestampTz(value_of(number, 6));
	gov_pricing_unit(row->price, row->per, &row->unit);
}

/* Make a list of the rows that a query has found, in the memory of its shelf. */
static GovPriceList *
read_rows(uint32 nrows, MemoryContext context)
{
	MemoryContext caller = MemoryContextSwitchTo(context);
	GovPriceList *list = gov_price_list_make(nrows);

	for (uint32 i = 0; i < nrows; i++)
	{
		GovPriceRow row;

		MemoryContextSwitchTo(caller);
		read_row(i, &row);
		MemoryContextSwitchTo(context);
		gov_price_list_add(list, &row);
	}
	gov_price_list_complete(list);
	MemoryContextSwitchTo(caller);
	return list;
}

static GovPriceText
copy_text(MemoryContext context, GovPriceText from)
{
	char	   *bytes = MemoryContextAlloc(context, from.length + 1);

	memcpy(bytes, from.bytes, from.length);
	return (GovPriceText)
	{
		bytes, from.length
	};
}

/* Read a list under the active snapshot, and put it on its shelf. */
static const GovPriceList *
load_list(GovPriceShelf number, const GovPriceKey *key)
{
	GovPriceLists *shelf = &shelves[number];
	Datum		args[2] = {
		PointerGetDatum(cstring_to_text_with_len(key->capability.bytes, key->capability.length)),
		PointerGetDatum(cstring_to_text_with_len(key->owner.bytes, key->owner.length))
	};
	uint32		nrows = (uint32) gov_spi_select(&queries[number], args, NULL);
	GovPriceKey copy;
	GovPriceList *list;
	GovPriceEntry *entry;

	if (shelf->entries == NULL)
		make_entries(shelf);
	GOV_FAULT(GOV_FAULT_MEMORY);
	list = read_rows(nrows, shelf->context);
	SPI_freetuptable(SPI_tuptable);
	copy.owner = copy_text(shelf->context, key->owner);
	copy.capability = copy_text(shelf->context, key->capability);
	entry = hash_search(shelf->entries, &copy, HASH_ENTER, NULL);
	entry->list = list;
	return list;
}

/* Read the lists that are not there. */
static pg_noinline void
load_lists(GovPriceBook *book, const GovPriceKey *keys)
{
	GovPriceLists *own = &shelves[GOV_PRICES_OWN];
	GovSpi		spi;
	bool		settled;

	if (own->context != NULL &&
		MemoryContextMemAllocated(own->context, true) > (Size) GOV_PRICES_KB_MAX * 1024)
		drop_lists(own);
	gov_spi_begin(&spi);
	gov_spi_push_snapshot(has_own_changes ? GOV_SNAPSHOT_LATEST : GOV_SNAPSHOT_COMMITTED);
	settled = is_settled();
	if (!settled)
		drop_all();
	for (int i = 0; i < GOV_PRICE_SHELVES; i++)
	{
		book->lists[i] = find_list(&shelves[i], &keys[i]);
		if (book->lists[i] == NULL)
			book->lists[i] = load_list(i, &keys[i]);
	}
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
	is_kept = settled;
}

/* The prices of a capability that an owner may be charged by. */
void
gov_prices_open(GovPriceBook *book, GovPriceText owner, GovPriceText capability)
{
	GovPriceKey keys[GOV_PRICE_SHELVES] = {
		[GOV_PRICES_OWN] = {owner, capability},
		[GOV_PRICES_OF_ALL] = {{"", 0}, capability}
	};

	refresh_lists();
	for (int i = 0; i < GOV_PRICE_SHELVES; i++)
		book->lists[i] = find_list(&shelves[i], &keys[i]);
	if (book->lists[GOV_PRICES_OWN] == NULL || book->lists[GOV_PRICES_OF_ALL] == NULL)
		load_lists(book, keys);
}

/*
 * Drop lists that this transaction's own changes went into.  Called when the
 * transaction ends, and when a part of it aborts.
 */
void
gov_prices_forget_own_changes(void)
{
	if (has_own_changes)
		is_kept = false;
}
