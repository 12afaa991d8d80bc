/*
 * own_counts.c
 *		What a transaction has charged to budgets that only it has.
 *
 * PURPOSE
 *		The counter of a budget that this transaction has made, or given a new
 *		counter, stands in its private view, which goes with every further
 *		change of the catalog.  The sums stay here, so that the next view takes
 *		them over and nobody has to add up the transaction's own rows again.
 *
 * LAYOUT
 *		As in pending.c: an array of entries, one per (nesting level, what it
 *		counts), in the order made, so that an abort cuts its tail off and a
 *		commit merges it into the level above.  Entries with the same hash are
 *		linked, newest first.
 *
 * INVARIANTS
 *		Usage belongs to a counter and a window, holds to a budget, whichever
 *		counter that has.  An abort cuts off nothing that has been announced:
 *		every subtransaction that began before has ended.
 *
 * FAILURE
 *		gov_own_make_room() and gov_own_note_recount() are the only functions that
 *		allocate and may raise.
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "base/fault.h"
#include "cache/own_counts.h"
#include "cache/ring.h"
#include "cache/tail.h"

#define GOV_OWN_KEPT	1024	/* room for entries, from one transaction to
								 * the next */

/* What an entry counts: the usage of a counter in a window, or a budget's holds. */
typedef struct GovOwnKey
{
	int64		parts[2];
	bool		is_held;
} GovOwnKey;

typedef struct GovOwnEntry
{
	GovOwnKey	key;
	GovAmount	amount;
	int			stripe;			/* of the owner */
	int			slot;
	int			level;			/* of the (sub)transaction */
	int			next;			/* older entry in the bucket, or -1 */
} GovOwnEntry;

static GovOwnEntry *entries = NULL;
static int	nentries = 0;
static int	nannounced = 0;
static int	capacity = 0;		/* a power of two, also the number of buckets */
static int *buckets = NULL;
static List *recounted = NIL;	/* counters, as int64; see gov_own_note_recount */

static GovOwnKey
usage_key(const GovSharedCounter *counter, TimestampTz start)
{
	GovOwnKey	key = {{counter->id, start}, false};

	return key;
}

static GovOwnKey
held_key(const pg_uuid_t *budget_id)
{
	GovOwnKey	key = {{0, 0}, true};

	memcpy(key.parts, budget_id->data, UUID_LEN);
	return key;
}

static bool
is_key(const GovOwnKey *a, const GovOwnKey *b)
{
	return a->parts[0] == b->parts[0] && a->parts[1] == b->parts[1] &&
		a->is_held == b->is_held;
}

static int *
bucket_of(const GovOwnKey *key)
{
	return &buckets[hash_bytes((const unsigned char *) key->parts, sizeof(key->parts)) &
					(capacity - 1)];
}

static GovOwnEntry *
find_own(const GovOwnKey *key, int level)
{
	for (int i = *bucket_of(key); i >= 0 && entries[i].level >= level; i = entries[i].next)
	{
		if (is_key(&entries[i].key, key))
			return &entries[i];
	}
	return NULL;
}

static void
link_entry(int i)
{
	int		   *bucket = bucket_of(&entries[i].key);

	entries[i].next = *bucket;
	*bucket = i;
}

static void
unlink_newest(int i)
{
	int		   *bucket = bucket_of(&entries[i].key);

	Assert(*bucket == i);
	*bucket = entries[i].next;
}

/* Make room for charges to so many counters. */
void
gov_own_make_room(int ncharges)
{
	int			wanted = pg_nextpower2_32(Max(nentries + 2 * ncharges, 64));
	int		   *new_buckets;

	Assert(!gov_stripe_is_held());
	if (wanted <= capacity)
		return;

	/* allocating may raise: until both are there, all stays as it is */
	GOV_FAULT(GOV_FAULT_MEMORY);
	if (entries == NULL)
		entries = MemoryContextAllocHuge(TopMemoryContext, wanted * sizeof(*entries));
	else
		entries = repalloc_huge(entries, wanted * sizeof(*entries));
	GOV_FAULT(GOV_FAULT_MEMORY);
	new_buckets = MemoryContextAllocHuge(TopMemoryContext, wanted * sizeof(*buckets));

	if (buckets != NULL)
		pfree(buckets);
	buckets = new_buckets;
	capacity = wanted;
	memset(buckets, -1, capacity * sizeof(*buckets));
	for (int i = 0; i < nentries; i++)
		link_entry(i);
}

static void
note_own(const GovOwnerKey *owner, GovOwnKey key, GovAmount amount)
{
	int			level = GetCurrentTransactionNestLevel();
	GovOwnEntry *entry = find_own(&key, level);

	if (amount == 0)
		return;
	if (entry == NULL)
	{
		Assert(nentries < capacity);
		Assert(nentries == 0 || entries[nentries - 1].level <= level);
		entry = &entries[nentries];
		*entry = (GovOwnEntry) {.key = key, .stripe = owner->stripe, .slot = owner->slot, .level = level};
		link_entry(nentries++);
	}
	entry->amount += amount;
}

/*
 * Charge a counter of the private view; usage where its window slides in the grain
 * that begins then, else in its window.  After gov_own_make_room().
 */
void
gov_own_charge(const GovOwnerKey *owner, GovSharedCounter *counter,
			   const pg_uuid_t *budget_id, TimestampTz start, GovAmount usage, GovAmount held)
{
	if (likely(counter->ring == 0))
	{
		start = counter->window.start;
		counter->total += usage;
	}
	else if (gov_ring_has(counter, start))
		gov_ring_add(counter, start, usage);
	counter->held += held;
	note_own(owner, usage_key(counter, start), usage);
	note_own(owner, held_key(budget_id), held);
}

static GovAmount
sum_own(GovOwnKey key)
{
	GovAmount	amount = 0;

	if (nentries == 0)
		return 0;
	for (int i = *bucket_of(&key); i >= 0; i = entries[i].next)
		amount += is_key(&entries[i].key, &key) ? entries[i].amount : 0;
	return amount;
}

/* Add what has been charged to a counter whose window slides. */
static void
add_own_grains(GovSharedCounter *counter)
{
	for (int i = 0; i < nentries; i++)
	{
		const GovOwnKey *key = &entries[i].key;

		if (!key->is_held && key->parts[0] == counter->id && gov_ring_has(counter, key->parts[1]))
			gov_ring_add(counter, key->parts[1], entries[i].amount);
	}
}

/* Add to a counter of a new view, in its window, what has been charged to it. */
void
gov_own_counts(GovSharedCounter *counter, const pg_uuid_t *budget_id)
{
	if (counter->ring != 0)
		add_own_grains(counter);
	else
		counter->total += sum_own(usage_key(counter, counter->window.start));
	counter->held += sum_own(held_key(budget_id));
}

/* The last window in which something was charged to a counter; false: there is none. */
bool
gov_own_last_window(int64 counter_id, TimestampTz *start)
{
	bool		is_found = false;

	for (int i = 0; i < nentries; i++)
	{
		const GovOwnKey *key = &entries[i].key;

		if (key->is_held || key->parts[0] != counter_id || entries[i].amount == 0 ||
			(is_found && key->parts[1] <= *start))
			continue;
		*start = key->parts[1];
		is_found = true;
	}
	return is_found;
}

/*
 * This transaction has recounted a budget: gov_usage has rows for a counter that
 * only it has.
 */
void
gov_own_note_recount(int64 counter_id)
{
	MemoryContext caller = MemoryContextSwitchTo(TopTransactionContext);
	int64	   *noted = palloc(sizeof(int64));

	*noted = counter_id;
	recounted = lappend(recounted, noted);
	MemoryContextSwitchTo(caller);
}

bool
gov_own_has_recounted(void)
{
	return recounted != NIL;
}

/* Was it drawn by a recount of this transaction?  One that was rolled back is no budget's. */
bool
gov_own_was_recounted(int64 counter_id)
{
	ListCell   *cell;

	foreach(cell, recounted)
	{
		if (*(int64 *) lfirst(cell) == counter_id)
			return true;
	}
	return false;
}

/*
 * The transaction is about to commit: others will see rows of counters that they
 * do not have (tail.c).
 */
void
gov_own_announce(void)
{
	while (nannounced < nentries)
	{
		gov_tail_announce(gov_stripe(entries[nannounced].stripe), entries[nannounced].slot);
		nannounced++;
	}
}

/* The transaction is over. */
void
gov_own_end(void)
{
	recounted = NIL;			/* its memory goes with the transaction */
	while (nannounced > 0)
	{
		nannounced--;
		gov_tail_withdraw(gov_stripe(entries[nannounced].stripe), entries[nannounced].slot,
						  gov_tail_recorded());
	}
	while (nentries > 0)
	{
		unlink_newest(nentries - 1);
		nentries--;
	}
	if (capacity <= GOV_OWN_KEPT)
		return;
	pfree(entries);
	pfree(buckets);
	entries = NULL;
	buckets = NULL;
	capacity = 0;
}

/* A subtransaction has aborted: forget what it and its children have charged. */
void
gov_own_abort(int level)
{
	while (nentries > 0 && entries[nentries - 1].level >= level)
	{
		unlink_newest(nentries - 1);
		nentries--;
	}
	Assert(nentries >= nannounced);
}

/* A subtransaction has committed: its charges are now those of its parent. */
void
gov_own_merge(int level)
{
	int			from = nentries;
	int			end = nentries;

	while (from > 0 && entries[from - 1].level >= level)
		unlink_newest(--from);

	Assert(from >= nannounced);
	nentries = from;
	for (int i = from; i < end; i++)
	{
		GovOwnEntry child = entries[i];
		GovOwnEntry *entry = find_own(&child.key, level - 1);

		Assert(child.level == level);
		if (entry != NULL)
		{
			entry->amount += child.amount;
			continue;
		}
		entries[nentries] = child;
		entries[nentries].level = level - 1;
		link_entry(nentries++);
	}
}
