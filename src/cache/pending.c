/*
 * pending.c
 *		What this transaction has taken from counters and will give back.
 *
 * PURPOSE
 *		Escrow: what takes headroom is in the shared counter at once, and is taken
 *		off by an abort; what gives headroom back is queued here until commit.
 *		README.md says what is covered, withheld and booked, and why.
 *
 * LAYOUT
 *		An array of entries, one per (nesting level, counter, id, window), in the
 *		order made: those of the innermost subtransaction are its tail, so that
 *		an abort cuts the tail off and a commit merges it into the level above.
 *		Entries with the same hash of counter are chained, newest first.  A
 *		million charges in a transaction to the same counters stay few entries.
 *
 * LOCKING
 *		The array is the backend's own.  Counters are changed with their stripe
 *		locked, exclusive.  Each entry has one pin on its counter, taken under
 *		the lock and given back without.
 *
 * INVARIANTS
 *		taken and held_taken are >= 0 and contained in the counter, taken while
 *		its id and window are the entry's; relief and held_relief are <= 0 and
 *		not yet in it; moved is in it, and in what is booked of it.
 *		covered <= taken, covered <= -held_relief.  booked is
 *		contained in the counter's, which is never more than its total.
 *
 * SLIDING WINDOWS
 *		An entry is about one grain (ring.c), as about a window elsewhere.  There
 *		what covers a hold is not taken but queued: it takes the hold's place when
 *		both are applied, in one step, and an abort has nothing to take off.  A
 *		grain that leaves while the entry is under way takes what was taken off the
 *		counter, and off what is booked of it, whoever had that booked; the end of the
 *		entry puts the latter right.
 *
 * FAILURE
 *		gov_pending_make_room() is the only function that allocates and may
 *		raise; it is called before the stripe is locked.  What runs at the end
 *		of a transaction cannot fail.
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "base/fault.h"
#include "cache/pending.h"
#include "cache/ring.h"
#include "cache/tail.h"
#include "cache/threshold.h"

#define GOV_SETTLE_BATCH	64	/* entries at a time with the stripe locked */
#define GOV_ENTRIES_KEPT	1024	/* room for them, from one transaction to
									 * the next */

typedef struct GovPendingEntry
{
	GovSharedStripe *stripe;
	GovSharedCounter *counter;
	int64		counter_id;
	TimestampTz window_start;
	GovAmount	taken;
	GovAmount	relief;
	GovAmount	held_taken;
	GovAmount	held_relief;
	GovAmount	covered;
	GovAmount	moved;			/* contained in the counter, and booked */
	TimestampTz owed_before;	/* the end of a debt's window before it grew */
	TimestampTz owed_at;		/* and since; 0: it did not */
	GovSharedCounter *before;	/* pinned too; NULL: nothing is carried over */
	bool		is_older;		/* there is usage of a window before that */
	GovAmount	booked;			/* of taken and relief */
	GovCrossing crossing;
	bool		is_crossing;
	bool		has_row;		/* it has written that its budget is used */
	uint8		slot;			/* of the owner, if it has */
	int			level;			/* of the (sub)transaction */
	int			next;			/* older entry in the chain, or -1 */
} GovPendingEntry;

static GovPendingEntry *entries = NULL;
static int	nentries = 0;
static int	capacity = 0;		/* a power of two, also the number of chains */
static int *chains = NULL;
static bool has_written = false;	/* a writing call was made */
static uint64 generation = 0;	/* the database's, at the first entry */

static int *
chain_of(const GovSharedCounter *counter)
{
	return &chains[murmurhash32((uint32) ((uintptr_t) counter >> 4)) & (capacity - 1)];
}

#ifdef USE_ASSERT_CHECKING
/* What holds of every entry; see INVARIANTS. */
static bool
is_sound(const GovPendingEntry *entry)
{
	return entry->taken >= 0 && entry->relief <= 0 &&
		entry->held_taken >= 0 && entry->held_relief <= 0 &&
		entry->covered >= 0 && (entry->covered <= entry->taken || entry->counter->ring != 0 ||
									entry->counter->id != entry->counter_id) &&
		entry->covered <= -entry->held_relief &&
		pg_atomic_read_u32(&entry->counter->pins) > 0;
}
#endif

/* Is the counter still counting what the entry is about? */
static bool
is_current(const GovPendingEntry *entry)
{
	if (entry->counter->id != entry->counter_id)
		return false;
	return likely(entry->counter->ring == 0) ? entry->counter->window.start == entry->window_start :
		gov_ring_has(entry->counter, entry->window_start);
}

/* What of the entry's usage is in the place of holds, and queued as their end is. */
static GovAmount
queued_usage(const GovPendingEntry *entry)
{
	return unlikely(entry->counter->ring != 0) ? entry->covered : 0;
}

/* What the entry has used that is not booked yet. */
static GovAmount
unbooked_usage(const GovPendingEntry *entry)
{
	return entry->taken + entry->relief + queued_usage(entry) - entry->booked;
}

static GovPendingEntry *
find_pending(const GovSharedCounter *counter, int64 counter_id, TimestampTz window_start,
			 int level)
{
	for (int i = *chain_of(counter); i >= 0; i = entries[i].next)
	{
		GovPendingEntry *entry = &entries[i];

		if (entry->level < level)
			break;				/* older entries are of outer levels only */
		if (entry->counter == counter && entry->counter_id == counter_id &&
			entry->window_start == window_start)
			return entry;
	}
	return NULL;
}

static void
link_entry(int i)
{
	int		   *chain = chain_of(entries[i].counter);

	entries[i].next = *chain;
	*chain = i;
}

static void
unlink_newest(int i)
{
	int		   *chain = chain_of(entries[i].counter);

	Assert(*chain == i);
	*chain = entries[i].next;
}

/* A writing call begins. */
void
gov_pending_note_write(void)
{
	has_written = true;
}

/* Make room for charges to so many counters. */
void
gov_pending_make_room(int ncharges)
{
	int			wanted = pg_nextpower2_32(Max(nentries + ncharges, 64));
	int		   *new_chains;

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
	new_chains = MemoryContextAllocHuge(TopMemoryContext, wanted * sizeof(*chains));

	if (chains != NULL)
		pfree(chains);
	chains = new_chains;
	capacity = wanted;
	memset(chains, -1, capacity * sizeof(*chains));
	for (int i = 0; i < nentries; i++)
		link_entry(i);
}

static GovPendingEntry *
append_pending(GovSharedStripe *stripe, GovSharedCounter *counter, TimestampTz window_start,
			   int level)
{
	GovPendingEntry *entry = &entries[nentries];

	Assert(nentries < capacity);
	Assert(nentries == 0 || entries[nentries - 1].level <= level);
	memset(entry, 0, sizeof(*entry));
	entry->stripe = stripe;
	entry->counter = counter;
	entry->counter_id = counter->id;
	entry->window_start = window_start;
	entry->level = level;
	if (nentries == 0)
		generation = pg_atomic_read_u64(gov_shmem_generation(MyDatabaseId));
	link_entry(nentries++);
	pg_atomic_fetch_add_u32(&counter->pins, 1);
	return entry;
}

/* The entry may outlast its window: then it is in the count of the window before. */
static void
pin_before(GovPendingEntry *entry, GovSharedCounter *before)
{
	entry->before = before;
	pg_atomic_fetch_add_u32(&before->pins, 1);
}

/* Move an amount to the counter of an entry, or from it. */
static void
move(GovPendingEntry *entry, GovAmount amount)
{
	entry->moved += amount;
	if (!is_current(entry))
		return;
	entry->counter->total += amount;
	entry->counter->booked += amount;
}

/* A debt grows: that is where its window ends. */
static void
grow_debt(GovPendingEntry *entry, TimestampTz at)
{
	if (entry->owed_at == 0)
		entry->owed_before = entry->counter->window.end;
	entry->owed_at = entry->counter->window.end = Max(entry->counter->window.end, at);
}

/* It has not grown after all, unless it has grown by somebody else since. */
static void
shrink_debt(const GovPendingEntry *entry)
{
	if (is_current(entry) && entry->counter->window.end == entry->owed_at)
		entry->counter->window.end = entry->owed_before;
}

/* Which window, or grain, of a counter a charge is about. */
static TimestampTz
charged_start(const GovSharedCounter *counter, const GovCharge *charge)
{
	return unlikely(counter->ring != 0) && gov_ring_has(counter, charge->grain) ?
		charge->grain : counter->window.start;
}

/*
 * Take usage where the window slides, or take it back, but for what covers holds; and
 * say how much is about to be given back.
 */
static void
take_grain(GovPendingEntry *entry, GovAmount taken, GovAmount covered, GovAmount queued)
{
	entry->taken += taken;
	entry->covered += covered;
	gov_ring_of(entry->counter)->queued += queued;
	if (is_current(entry))
		gov_ring_add(entry->counter, entry->window_start, taken);
	else
		entry->counter->booked -= taken;	/* it has left meanwhile; see ring.c */
}

/*
 * Charge a counter, in its current window: what takes headroom at once, what
 * gives it back at commit.  With the stripe locked exclusive, after
 * gov_pending_make_room().  A charge of nothing still pins the counter.  Returns
 * the entry, for gov_pending_uncharge().
 */
int
gov_pending_charge(GovSharedStripe *stripe, GovSharedCounter *counter,
				   const GovCharge *charge)
{
	int			level = GetCurrentTransactionNestLevel();
	TimestampTz start = charged_start(counter, charge);
	GovPendingEntry *entry = find_pending(counter, counter->id, start, level);

	Assert(LWLockHeldByMeInMode(&stripe->lock, LW_EXCLUSIVE));
	Assert(charge->covered >= 0 && charge->covered <= Max(charge->usage, 0) &&
		   charge->covered <= Max(-charge->held, 0) && charge->withheld >= 0);
	if (entry == NULL)
		entry = append_pending(stripe, counter, start, level);
	entry->relief += Min(charge->usage, 0);
	entry->held_taken += Max(charge->held, 0) + charge->withheld;
	entry->held_relief += Min(charge->held, 0) - charge->withheld;
	counter->held += Max(charge->held, 0) + charge->withheld;
	if (likely(counter->ring == 0))
	{
		entry->taken += Max(charge->usage, 0);
		entry->covered += charge->covered;
		counter->total += Max(charge->usage, 0);
		counter->covered += charge->covered;
	}
	else
		take_grain(entry, Max(charge->usage, 0) - charge->covered, charge->covered,
				   -Min(charge->usage, 0));
	if (unlikely(charge->moved != 0))
		move(entry, charge->moved);
	if (unlikely(charge->owed_at != 0))
		grow_debt(entry, charge->owed_at);
	if (unlikely(charge->before != NULL) && entry->before == NULL)
		pin_before(entry, charge->before);
	entry->is_older |= charge->is_older;
	Assert(is_sound(entry) && gov_counter_is_sound(counter));
	return entry - entries;
}

/*
 * Take a charge of this very call back, because the row it stood for was not
 * written.  Same lock, same charge, same subtransaction.
 */
void
gov_pending_uncharge(int number, const GovCharge *charge)
{
	GovPendingEntry *entry = &entries[number];

	Assert(LWLockHeldByMeInMode(&entry->stripe->lock, LW_EXCLUSIVE));
	Assert(number < nentries && entry->level == GetCurrentTransactionNestLevel());
	entry->relief -= Min(charge->usage, 0);
	entry->held_taken -= Max(charge->held, 0) + charge->withheld;
	entry->held_relief -= Min(charge->held, 0) - charge->withheld;
	entry->counter->held -= Max(charge->held, 0) + charge->withheld;
	if (unlikely(entry->counter->ring != 0))
	{
		take_grain(entry, charge->covered - Max(charge->usage, 0), -charge->covered,
				   Min(charge->usage, 0));
		return;
	}
	entry->taken -= Max(charge->usage, 0);
	entry->covered -= charge->covered;
	if (unlikely(charge->moved != 0))
		move(entry, -charge->moved);
	Assert(is_sound(entry));
	if (!is_current(entry))
		return;
	entry->counter->total -= Max(charge->usage, 0);
	entry->counter->covered -= charge->covered;
	Assert(gov_counter_is_sound(entry->counter));
}

/* Has the transaction written that the counter's budget is used? */
bool
gov_pending_has_row(const GovSharedCounter *counter)
{
	if (nentries == 0)
		return false;
	for (int i = *chain_of(counter); i >= 0; i = entries[i].next)
	{
		if (entries[i].counter == counter && entries[i].counter_id == counter->id &&
			entries[i].has_row)
			return true;
	}
	return false;
}

/* Has the transaction written that of any budget? */
bool
gov_pending_has_rows(void)
{
	for (int i = 0; i < nentries; i++)
	{
		if (entries[i].has_row)
			return true;
	}
	return false;
}

/* It has, in the (sub)transaction of this entry, of an owner of this slot. */
void
gov_pending_note_row(int number, uint8 slot)
{
	Assert(number < nentries && entries[number].level == GetCurrentTransactionNestLevel());
	entries[number].has_row = true;
	entries[number].slot = slot;
}

/*
 * What this transaction gives back to a counter and others do not see yet: to
 * its usage and to its holds, and how much of those is what covers usage.
 */
GovCharge
gov_pending_relief(const GovSharedCounter *counter)
{
	GovCharge	relief = {0};

	Assert(gov_stripe_is_held());
	if (nentries == 0)
		return relief;
	for (int i = *chain_of(counter); i >= 0; i = entries[i].next)
	{
		const GovPendingEntry *entry = &entries[i];

		if (entry->counter != counter)
			continue;
		relief.held += entry->held_relief;
		if (!is_current(entry))
			continue;
		relief.usage += entry->relief + queued_usage(entry);
		relief.covered += entry->covered - queued_usage(entry);
	}
	return relief;
}

/* What of its relief would come too late where a window slides: to grains before the oldest that counts. */
GovAmount
gov_pending_left(const GovSharedCounter *counter, TimestampTz oldest)
{
	GovAmount	left = 0;

	Assert(gov_stripe_is_held());
	if (nentries == 0)
		return 0;
	for (int i = *chain_of(counter); i >= 0; i = entries[i].next)
	{
		const GovPendingEntry *entry = &entries[i];

		if (entry->counter == counter && entry->window_start < oldest && is_current(entry))
			left += entry->relief + queued_usage(entry);
	}
	return left;
}

/* What this transaction has used of a counter and not booked yet. */
GovAmount
gov_pending_unbooked(const GovSharedCounter *counter)
{
	GovAmount	unbooked = 0;

	Assert(gov_stripe_is_held());
	if (nentries == 0)
		return 0;
	for (int i = *chain_of(counter); i >= 0; i = entries[i].next)
	{
		if (entries[i].counter == counter && is_current(&entries[i]))
			unbooked += unbooked_usage(&entries[i]);
	}
	return unbooked;
}

/* Has the transaction made a writing call, whether it charged anything or not? */
bool
gov_pending_has_written(void)
{
	return has_written || nentries > 0;
}

/* Has the transaction nothing in flight? */
bool
gov_pending_is_empty(void)
{
	return nentries == 0;
}

static void
unpin_counter(GovSharedCounter *counter)
{
	uint32		before PG_USED_FOR_ASSERTS_ONLY;

	before = pg_atomic_fetch_sub_u32(&counter->pins, 1);
	Assert(before > 0);
}

/* The counter has rows up to the last that we have recorded.  The stripe is locked. */
static void
note_event(GovSharedCounter *counter)
{
	counter->last_event = Max(counter->last_event, gov_tail_recorded());
}

/*
 * Book the usage of an entry; true if it may have crossed a threshold.  The
 * stripe is locked.
 */
static bool
book_entry(GovPendingEntry *entry, bool looks_at_any)
{
	GovSharedCounter *counter = entry->counter;
	GovAmount	before = counter->booked;
	GovAmount	usage = unbooked_usage(entry);
	GovAmount	above;

	Assert(LWLockHeldByMeInMode(&entry->stripe->lock, LW_EXCLUSIVE));
	Assert(is_sound(entry));
	note_event(counter);
	entry->is_crossing = false;
	if (unlikely(counter->ring != 0) && !is_current(entry))
		usage = entry->taken - entry->booked;
	else if (usage == 0 || !is_current(entry))
		return false;
	counter->booked += usage;
	entry->booked += usage;
	Assert(gov_counter_is_sound(counter));
	if (!is_current(entry))
		return false;
	if (!gov_threshold_crossed(looks_at_any ? GOV_ALERT_ANY :
							   gov_alert_unpack(counter->alert_at), before,
							   counter->booked, &above))
		return false;
	counter->alert_at = gov_alert_pack(GOV_ALERT_UNKNOWN);
	entry->crossing = (GovCrossing) {
		entry->counter_id, entry->window_start,
		unlikely(counter->ring != 0) ? gov_ring_alert_start(counter, counter->window.start) : entry->window_start,
		before, counter->booked, above
	};
	return entry->is_crossing = true;
}

/*
 * Book the transaction's usage, because it is about to commit; returns how
 * many entries may have crossed a threshold.  If everything in the database
 * has changed since the first charge, the counters have not been told: then
 * every entry is looked at.
 */
int
gov_pending_book(void)
{
	int			count = 0;
	int			i = 0;
	bool		looks_at_any = nentries > 0 &&
	generation != pg_atomic_read_u64(gov_shmem_generation(MyDatabaseId));

	while (i < nentries)
	{
		GovSharedStripe *stripe = entries[i].stripe;
		int			end = Min(nentries, i + GOV_SETTLE_BATCH);

		gov_stripe_lock(stripe, LW_EXCLUSIVE);
		while (i < end && entries[i].stripe == stripe)
			count += book_entry(&entries[i++], looks_at_any) ? 1 : 0;
		gov_stripe_unlock(stripe);
	}
	return count;
}

/*
 * Copy what gov_pending_book() has found, at most max of it; returns how many.
 */
int
gov_pending_crossings(GovCrossing *crossings, int max)
{
	int			count = 0;

	for (int i = 0; i < nentries && count < max; i++)
	{
		if (entries[i].is_crossing)
			crossings[count++] = entries[i].crossing;
	}
	return count;
}

/*
 * The counter of an entry has got another window.  What the entry has used is in the
 * count of the window before, or in one before that: then something else was carried
 * into that window.  The stripe is locked.
 */
static void
apply_before(const GovPendingEntry *entry, GovAmount usage, GovAmount booked)
{
	GovSharedCounter *before = entry->before;

	if (before->id != entry->counter_id)
		return;
	if (before->window.start == entry->window_start)
	{
		before->total += usage;
		before->booked += booked;
	}
	else if (usage != 0 && entry->window_start < before->window.start)
		before->is_outdated = true;
}

/*
 * The same where the window slides: what is queued is applied to its grain if that
 * counts still.
 */
static void
apply_grain(GovPendingEntry *entry, bool has_committed)
{
	GovSharedCounter *counter = entry->counter;
	GovAmount	usage = has_committed ? entry->relief + entry->covered : -entry->taken;
	GovAmount	unbooked = unbooked_usage(entry);

	gov_stripe_lock(entry->stripe, LW_EXCLUSIVE);
	counter->held += has_committed ? entry->held_relief : -entry->held_taken;
	if (counter->id == entry->counter_id)
		gov_ring_of(counter)->queued += entry->relief;
	if (is_current(entry))
	{
		gov_ring_add(counter, entry->window_start, usage);
		counter->booked += has_committed ? unbooked : -entry->booked;
		if (entry->booked != 0 && !has_committed)
			counter->alert_at = gov_alert_pack(GOV_ALERT_UNKNOWN);
	}
	else if (counter->id == entry->counter_id)
		counter->booked += entry->taken - entry->booked;
	Assert(gov_counter_is_sound(counter));
	gov_stripe_unlock(entry->stripe);
	unpin_counter(counter);
}

/*
 * Change the counter of an entry by some amounts, end what the entry covers,
 * and unpin the counter.  Where booked usage is taken back, a threshold may
 * have to be crossed again.  A window that was opened stays from the first commit
 * of usage on.
 */
static void
apply_entry(GovPendingEntry *entry, bool has_committed, GovAmount usage, GovAmount held,
			GovAmount booked)
{
	GovSharedCounter *counter = entry->counter;
	bool		is_undone = !has_committed && (entry->moved != 0 || entry->owed_at != 0);

	if (unlikely(counter->ring != 0))
	{
		apply_grain(entry, has_committed);
		if (entry->before != NULL)
			unpin_counter(entry->before);
		return;
	}
	if (usage != 0 || held != 0 || booked != 0 || is_undone || entry->covered != 0 ||
		(unlikely(!counter->stays) && has_committed) || unlikely(entry->is_older))
	{
		gov_stripe_lock(entry->stripe, LW_EXCLUSIVE);
		if (is_current(entry))
		{
			counter->stays |= has_committed && (entry->taken != 0 || entry->relief != 0);
			counter->total += usage;
			counter->covered -= entry->covered;
			counter->booked += booked;
			if (entry->booked != 0 && booked == -entry->booked)
				counter->alert_at = gov_alert_pack(GOV_ALERT_UNKNOWN);
		}
		else if (unlikely(entry->before != NULL))
			apply_before(entry, usage, booked);
		if (unlikely(entry->is_older) && has_committed)
			entry->before->is_outdated = true;
		counter->held += held;
		if (is_undone && entry->moved != 0)
			move(entry, -entry->moved);
		if (is_undone && entry->owed_at != 0)
			shrink_debt(entry);
		Assert(gov_counter_is_sound(counter));
		gov_stripe_unlock(entry->stripe);
	}
	unpin_counter(counter);
	if (unlikely(entry->before != NULL))
		unpin_counter(entry->before);
}

/* Nothing is in flight: what a large transaction needed is not kept for ever. */
static void
trim_pending(void)
{
	Assert(nentries == 0);
	has_written = false;
	if (capacity <= GOV_ENTRIES_KEPT)
		return;
	pfree(entries);
	pfree(chains);
	entries = NULL;
	chains = NULL;
	capacity = 0;
}

/*
 * Note on the counter what triggers on the alerts have recorded since the
 * entry was booked.
 */
static void
note_later_event(const GovPendingEntry *entry)
{
	if (entry->counter->last_event >= gov_tail_recorded())
		return;					/* nobody takes that back while we have a pin */
	gov_stripe_lock(entry->stripe, LW_EXCLUSIVE);
	note_event(entry->counter);
	gov_stripe_unlock(entry->stripe);
}

/* Everybody sees by now that the counter's budget is used. */
static void
publish_row(const GovPendingEntry *entry)
{
	gov_stripe_lock(entry->stripe, LW_EXCLUSIVE);
	if (entry->counter->id == entry->counter_id)
		entry->counter->wants_row = false;
	entry->stripe->owners[entry->slot].first_uses++;
	gov_stripe_unlock(entry->stripe);
}

/* The transaction has committed: give back what it queued. */
void
gov_pending_commit(void)
{
	while (nentries > 0)
	{
		GovPendingEntry *entry = &entries[nentries - 1];

		unlink_newest(nentries - 1);
		note_later_event(entry);
		if (entry->has_row)
			publish_row(entry);
		apply_entry(entry, true, entry->relief, entry->held_relief, unbooked_usage(entry));
		nentries--;
	}
	trim_pending();
}

/* A (sub)transaction has aborted: undo what it and its children have taken. */
void
gov_pending_abort(int level)
{
	while (nentries > 0 && entries[nentries - 1].level >= level)
	{
		GovPendingEntry *entry = &entries[nentries - 1];

		unlink_newest(nentries - 1);
		apply_entry(entry, false, -entry->taken, -entry->held_taken, -entry->booked);
		nentries--;
	}
	if (level == 0)
		trim_pending();
}

/* A subtransaction has committed: its charges are now those of its parent. */
void
gov_pending_merge(int level)
{
	int			from = nentries;
	int			end = nentries;

	while (from > 0 && entries[from - 1].level >= level)
		unlink_newest(--from);

	nentries = from;
	for (int i = from; i < end; i++)
	{
		GovPendingEntry child = entries[i];
		GovPendingEntry *entry = find_pending(child.counter, child.counter_id,
											  child.window_start, level - 1);

		Assert(child.level == level && is_sound(&child));
		if (entry == NULL)
		{
			entries[nentries] = child;
			entries[nentries].level = level - 1;
			link_entry(nentries++);
			continue;
		}
		entry->taken += child.taken;
		entry->relief += child.relief;
		entry->held_taken += child.held_taken;
		entry->held_relief += child.held_relief;
		entry->covered += child.covered;
		entry->moved += child.moved;
		if (child.owed_at != 0)
		{
			if (entry->owed_at == 0)
				entry->owed_before = child.owed_before;
			entry->owed_at = child.owed_at;
		}
		entry->booked += child.booked;
		if (child.has_row)
		{
			entry->has_row = true;
			entry->slot = child.slot;
		}
		entry->is_older |= child.is_older;
		if (child.before != NULL && entry->before == NULL)
			pin_before(entry, child.before);
		if (child.before != NULL)
			unpin_counter(child.before);
		Assert(is_sound(entry));
		unpin_counter(child.counter);
	}
}
