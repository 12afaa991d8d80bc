/*
 * denials.c
 *		What was denied and is not in gov_denials yet.
 *
 * PURPOSE
 *		A denial is written by nobody's transaction: the call changes nothing, and
 *		may be rolled back or stand in a read-only transaction.  It is counted here
 *		instead, and the worker writes the counts (denial_rows.c).
 *
 * LAYOUT
 *		GOV_DENIAL_PARTS parts of GOV_DENIAL_BYTES each, reserved at server start
 *		in the fixed head of shared memory.  An entry counts the denials of one
 *		budget, window, reason and kind (checks, or uses and holds); or, where no
 *		budget denies, of one blocked entity or one dimension key, and day.  Its
 *		hash chooses the part, whoever the owner is, so that one owner may use all
 *		of them.  Entries stand one behind the other, each with its texts, and with
 *		room for a caller and an entity somewhat longer than the present ones.  One
 *		that needs more room is made anew behind the others; dead ones are
 *		squeezed out when their space is wanted.
 *
 * LOCKING
 *		The part's lock protects all of it.  It is held to find and change an
 *		entry, or to go over the part; nothing is allocated, raised or waited for
 *		under it, and no other lock is taken.  A call takes it when it holds no
 *		stripe.
 *
 * PROTOCOL
 *		Whoever writes takes entries first: how much they had then is noted in
 *		them, and they stay, and go on counting.  If the transaction commits what
 *		was taken goes off, and an entry with nothing left is dead; if it aborts
 *		nothing was taken.  A taken entry is nobody else's to take: so no two
 *		transactions write one row of gov_denials at once.
 *
 * INVARIANTS
 *		A denial that was noted is in an entry or in a committed row, once, or is
 *		counted in denials_unkept.  What is taken of an entry is at most what it
 *		has.
 *
 * FAILURE
 *		A part that is full makes room by dropping what nobody has written for a
 *		minute: the entries of a database that was dropped, or has no worker.  If
 *		that is not enough the denial is counted in denials_unkept and forgotten.
 *		A crash or a stop of the server loses what was not written.
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"

#include "base/catalog.h"
#include "base/shmem.h"
#include "cache/denials.h"

#define GOV_DENIALS_SLACK			24	/* bytes for longer callers and
										 * entities */
#define GOV_DENIALS_STALE_S			60
#define GOV_DENIALS_SWEEP_S			1	/* between two drops of what is stale */
#define GOV_DENIALS_ASK_S			2	/* between two calls for a worker */

typedef struct GovSharedDenial
{
	uint32		size;			/* with its texts */
	uint32		hash;
	uint32		next;			/* offset in the part, plus 1, of the next one
								 * in the bucket; or 0 */
	uint32		room;			/* for the texts that are not of the key */
	Oid			database;
	Oid			extension;
	int			taker;			/* process that has taken it; or 0 */
	int			taken_level;	/* of its (sub)transaction */
	uint32		take;			/* in which of the process's takes */
	bool		is_live;
	bool		is_check;
	bool		has_budget;
	uint8		reason;			/* GovDenial */
	uint16		lengths[GOV_DENIED_TEXTS];	/* plus 1; 0: null */
	pg_uuid_t	budget_id;
	GovWindow	window;
	int64		count;
	int64		taken_count;
	GovAmount	amount;
	GovAmount	taken_amount;
	TimestampTz first_at;
	TimestampTz last_at;
	TimestampTz asked_at;		/* when a worker was called for */
	char		texts[FLEXIBLE_ARRAY_MEMBER];
} GovSharedDenial;

StaticAssertDecl(offsetof(GovSharedDenial, texts) + 6 * (255 * 4) + 2 * GOV_DENIALS_SLACK <
				 GOV_DENIAL_BYTES / 4, "the largest entry is a small part of a part");

/* This process has taken some. */
static bool has_taken = false;
static uint32 last_take = 0;

static GovSharedDenials *
denials_part(int part)
{
	return &gov_shared->denials[part].denials;
}

static GovSharedDenial *
entry_at(GovSharedDenials *part, uint32 offset)
{
	return (GovSharedDenial *) (part->bytes + offset);
}

static uint32
offset_of(const GovSharedDenials *part, const GovSharedDenial *entry)
{
	return (const char *) entry - part->bytes;
}

static uint32
text_length(const GovSharedDenial *entry, int which)
{
	return entry->lengths[which] == 0 ? 0 : entry->lengths[which] - 1;
}

void
gov_denials_count_unkept(uint64 count)
{
	pg_atomic_fetch_add_u64(&gov_shared->denials_unkept, count);
}

/* ---------------------------------------------------------------- one part, with its lock */

/* Ids that the extension draws differ in their ends, those that others give anywhere. */
static uint32
budget_hash(const pg_uuid_t *id)
{
	uint32		words[UUID_LEN / sizeof(uint32)];

	memcpy(words, id, UUID_LEN);
	return murmurhash32(murmurhash32(words[0] + words[1]) ^ (words[2] + words[3]));
}

static uint32
key_hash(const GovDenied *denied)
{
	uint32		hash = denied->owner_hash ^ ((uint32) denied->reason << 1 | denied->is_check);

	if (denied->has_budget)
		return hash_combine(hash, budget_hash(&denied->budget_id));
	for (int which = GOV_DENIED_ENTITY; which < GOV_DENIED_KEY_TEXTS; which++)
	{
		if (denied->texts[which] != NULL)
			hash = hash_combine(hash, hash_bytes((const unsigned char *) denied->texts[which],
												 denied->lengths[which]));
	}
	return hash;
}

/* Has the entry the texts that the denial is counted under? */
static bool
texts_are_same(const GovSharedDenial *entry, const GovDenied *denied)
{
	const char *at = entry->texts;

	for (int which = 0; which < GOV_DENIED_KEY_TEXTS; which++)
	{
		uint32		length = denied->lengths[which];

		if (entry->lengths[which] != (denied->texts[which] == NULL ? 0 : length + 1) ||
			memcmp(at, denied->texts[which], length) != 0)
			return false;
		at += length;
	}
	return true;
}

static bool
is_entry_of(const GovSharedDenial *entry, const GovDenied *denied)
{
	return entry->database == MyDatabaseId && entry->extension == denied->extension &&
		entry->reason == denied->reason && entry->is_check == denied->is_check &&
		entry->has_budget == denied->has_budget &&
		memcmp(&entry->budget_id, &denied->budget_id, UUID_LEN) == 0 &&
		entry->window.start == denied->window.start && texts_are_same(entry, denied);
}

static GovSharedDenial *
find_entry(GovSharedDenials *part, uint32 hash, const GovDenied *denied)
{
	uint32		next = part->buckets[hash / GOV_DENIAL_PARTS % GOV_DENIAL_BUCKETS];

	while (next != 0)
	{
		GovSharedDenial *entry = entry_at(part, next - 1);

		if (entry->hash == hash && is_entry_of(entry, denied))
			return entry;
		next = entry->next;
	}
	return NULL;
}

static void
link_entry(GovSharedDenials *part, GovSharedDenial *entry)
{
	uint32	   *bucket = &part->buckets[entry->hash / GOV_DENIAL_PARTS % GOV_DENIAL_BUCKETS];

	entry->next = *bucket;
	*bucket = offset_of(part, entry) + 1;
}

/* The entry is dead: nobody finds it, and its space may be used again. */
static void
kill_entry(GovSharedDenials *part, GovSharedDenial *entry)
{
	uint32	   *link = &part->buckets[entry->hash / GOV_DENIAL_PARTS % GOV_DENIAL_BUCKETS];

	Assert(entry->is_live && LWLockHeldByMeInMode(&part->lock, LW_EXCLUSIVE));
	while (*link != offset_of(part, entry) + 1)
		link = &entry_at(part, *link - 1)->next;
	*link = entry->next;
	entry->is_live = false;
	part->dead += entry->size;
	part->nentries--;
}

/* Squeeze out what is dead. */
static void
squeeze_part(GovSharedDenials *part)
{
	uint32		to = 0;
	uint32		size;

	memset(part->buckets, 0, sizeof(part->buckets));
	for (uint32 from = 0; from < part->used; from += size)
	{
		size = entry_at(part, from)->size;
		if (!entry_at(part, from)->is_live)
			continue;
		memmove(part->bytes + to, part->bytes + from, size);
		link_entry(part, entry_at(part, to));
		to += size;
	}
	part->used = to;
	part->dead = 0;
}

/* Drop what should have been written long ago: nobody does. */
static void
drop_stale(GovSharedDenials *part, TimestampTz now)
{
	uint32		size;

	if (part->swept_at <= now && now < part->swept_at + GOV_DENIALS_SWEEP_S * USECS_PER_SEC)
		return;
	part->swept_at = now;
	for (uint32 at = 0; at < part->used; at += size)
	{
		GovSharedDenial *entry = entry_at(part, at);

		size = entry->size;
		if (!entry->is_live || entry->taker != 0 ||
			now < entry->first_at + GOV_DENIALS_STALE_S * USECS_PER_SEC)
			continue;
		gov_denials_count_unkept(entry->count);
		kill_entry(part, entry);
	}
}

/* Entries may move.  False when there is none. */
static bool
make_room(GovSharedDenials *part, uint32 size, TimestampTz now)
{
	if (part->used + size <= GOV_DENIAL_BYTES)
		return true;
	if (part->used - part->dead + size > GOV_DENIAL_BYTES)
		drop_stale(part, now);
	if (part->used - part->dead + size > GOV_DENIAL_BYTES)
		return false;
	squeeze_part(part);
	return true;
}

/* Put a new entry behind the others, which counts nothing yet. */
static GovSharedDenial *
append_entry(GovSharedDenials *part, uint32 size, uint32 room, uint32 hash, const GovDenied *denied)
{
	GovSharedDenial *entry = entry_at(part, part->used);
	char	   *at = entry->texts;

	Assert(size == MAXALIGN(size) && part->used + size <= GOV_DENIAL_BYTES);
	Assert(LWLockHeldByMeInMode(&part->lock, LW_EXCLUSIVE));
	memset(entry, 0, offsetof(GovSharedDenial, texts));
	entry->size = size;
	entry->hash = hash;
	entry->room = room;
	entry->database = MyDatabaseId;
	entry->extension = denied->extension;
	entry->is_live = true;
	entry->is_check = denied->is_check;
	entry->has_budget = denied->has_budget;
	entry->reason = denied->reason;
	entry->budget_id = denied->budget_id;
	entry->window = denied->window;
	entry->first_at = denied->first_at;
	entry->last_at = DT_NOBEGIN;
	for (int which = 0; which < GOV_DENIED_KEY_TEXTS; which++)
	{
		if (denied->texts[which] == NULL)
			continue;
		memcpy(at, denied->texts[which], denied->lengths[which]);
		at += denied->lengths[which];
		entry->lengths[which] = denied->lengths[which] + 1;
	}
	part->used += size;
	part->nentries++;
	link_entry(part, entry);
	return entry;
}

/* What an entry has counted goes on in another one. */
static void
move_counts(const GovSharedDenial *from, GovSharedDenial *to)
{
	to->taker = from->taker;
	to->taken_level = from->taken_level;
	to->take = from->take;
	to->count = from->count;
	to->taken_count = from->taken_count;
	to->amount = from->amount;
	to->taken_amount = from->taken_amount;
	to->first_at = from->first_at;
	to->asked_at = from->asked_at;
}

static uint32
key_bytes(const GovDenied *denied)
{
	uint32		bytes = 0;

	for (int which = 0; which < GOV_DENIED_KEY_TEXTS; which++)
		bytes += denied->lengths[which];
	return bytes;
}

/* Find or make the entry that a denial is counted in; NULL when there is no room. */
static GovSharedDenial *
entry_for(GovSharedDenials *part, uint32 hash, const GovDenied *denied)
{
	uint32		wanted = denied->lengths[GOV_DENIED_CALLER] + denied->lengths[GOV_DENIED_LAST_ENTITY];
	GovSharedDenial *entry = find_entry(part, hash, denied);
	GovSharedDenial *former;
	uint32		size;

	if (likely(entry != NULL && wanted <= entry->room))
		return entry;
	wanted += GOV_DENIALS_SLACK;
	size = MAXALIGN(offsetof(GovSharedDenial, texts) + key_bytes(denied) + wanted);
	if (!make_room(part, size, denied->last_at))
		return NULL;
	former = entry == NULL ? NULL : find_entry(part, hash, denied);
	entry = append_entry(part, size, wanted, hash, denied);
	if (former != NULL)
	{
		move_counts(former, entry);
		kill_entry(part, former);
	}
	return entry;
}

/* Put down who was denied last. */
static void
set_last(GovSharedDenial *entry, const GovDenied *denied)
{
	char	   *at = entry->texts + key_bytes(denied);

	for (int which = GOV_DENIED_KEY_TEXTS; which < GOV_DENIED_TEXTS; which++)
	{
		entry->lengths[which] = denied->texts[which] == NULL ? 0 : denied->lengths[which] + 1;
		if (denied->texts[which] == NULL)
			continue;
		memcpy(at, denied->texts[which], denied->lengths[which]);
		at += denied->lengths[which];
	}
	Assert(at - entry->texts <= key_bytes(denied) + entry->room);
}

/* Count a denial in its entry; false when the sum would leave the range of amounts. */
static bool
count_denial(GovSharedDenial *entry, const GovDenied *denied)
{
	GovAmount	sum;

	if (!gov_amount_add(entry->amount, denied->amount, &sum))
		return false;
	entry->amount = sum;
	entry->count += denied->count;
	entry->window.end = denied->window.end;

	/* a call takes its time before it comes here: others may overtake it */
	entry->first_at = Min(entry->first_at, denied->first_at);
	if (denied->last_at < entry->last_at)
		return true;
	entry->last_at = denied->last_at;
	set_last(entry, denied);
	return true;
}

/* Has nobody been called for lately to write it? */
static bool
must_ask(GovSharedDenial *entry, TimestampTz now)
{
	if (entry->asked_at <= now && now < entry->asked_at + GOV_DENIALS_ASK_S * USECS_PER_SEC)
		return false;
	entry->asked_at = now;
	return true;
}

/* ---------------------------------------------------------------- counting */

/*
 * Count a denial.  True when a worker should be called for: one that is there
 * finds it by itself, so a flood of denials asks once in GOV_DENIALS_ASK_S.
 */
bool
gov_denials_note(const GovDenied *denied)
{
	uint32		hash = key_hash(denied);
	GovSharedDenials *part = denials_part(hash % GOV_DENIAL_PARTS);
	GovSharedDenial *entry;
	bool		is_kept;
	bool		wants_worker;

	LWLockAcquire(&part->lock, LW_EXCLUSIVE);
	entry = entry_for(part, hash, denied);
	is_kept = entry != NULL && count_denial(entry, denied);
	wants_worker = is_kept && must_ask(entry, denied->last_at);
	LWLockRelease(&part->lock);
	if (!is_kept)
		gov_denials_count_unkept(denied->count);
	return wants_worker;
}

/* ---------------------------------------------------------------- taking */

static bool
is_ours(const GovSharedDenial *entry, Oid extension)
{
	return entry->is_live && entry->database == MyDatabaseId && entry->extension == extension;
}

/* Is any of this database not written yet? */
bool
gov_denials_exist(Oid extension)
{
	bool		result = false;

	for (int number = 0; number < GOV_DENIAL_PARTS && !result; number++)
	{
		GovSharedDenials *part = denials_part(number);

		if (part->nentries == 0)
			continue;			/* a stale value will do */
		LWLockAcquire(&part->lock, LW_SHARED);
		for (uint32 at = 0; at < part->used && !result; at += entry_at(part, at)->size)
			result = is_ours(entry_at(part, at), extension);
		LWLockRelease(&part->lock);
	}
	return result;
}

static bool
is_owners(const GovSharedDenial *entry, const char *owner)
{
	uint32		length = text_length(entry, GOV_DENIED_OWNER);

	return strlen(owner) == length && memcmp(entry->texts, owner, length) == 0;
}

/* Take what may be taken of a part, of an owner or of all; returns how many entries. */
static int
take_entries(GovSharedDenials *part, Oid extension, const char *owner)
{
	int			count = 0;

	for (uint32 at = 0; at < part->used; at += entry_at(part, at)->size)
	{
		GovSharedDenial *entry = entry_at(part, at);

		if (!is_ours(entry, extension) || entry->taker != 0 || (owner != NULL && !is_owners(entry, owner)))
			continue;
		entry->taker = MyProcPid;
		entry->taken_level = GetCurrentTransactionNestLevel();
		entry->take = last_take;
		entry->taken_count = entry->count;
		entry->taken_amount = entry->amount;
		count++;
	}
	return count;
}

/* What was taken, from a copy of the entry, which it goes on pointing to. */
static void
read_taken(const GovSharedDenial *entry, GovDenied *denied)
{
	const char *at = entry->texts;

	memset(denied, 0, sizeof(*denied));
	denied->reason = (GovDenial) entry->reason;
	denied->is_check = entry->is_check;
	denied->has_budget = entry->has_budget;
	denied->budget_id = entry->budget_id;
	denied->window = entry->window;
	for (int which = 0; which < GOV_DENIED_TEXTS; which++)
	{
		denied->lengths[which] = text_length(entry, which);
		denied->texts[which] = entry->lengths[which] == 0 ? NULL : at;
		at += denied->lengths[which];
	}
	denied->count = entry->taken_count;
	denied->amount = entry->taken_amount;
	denied->first_at = entry->first_at;
	denied->last_at = entry->last_at;
}

/*
 * Take what a part has of this database.  Returns how many counts that is; they
 * are in memory of this transaction.
 */
int
gov_denials_take(int number, GovDenied **denied)
{
	GovSharedDenials *part = denials_part(number);
	Oid			extension = gov_catalog()->extension;
	GovSharedDenials *copy;
	int			ntaken;
	int			count = 0;

	*denied = NULL;
	if (part->nentries == 0)
		return 0;				/* a stale value will do */
	copy = palloc(sizeof(GovSharedDenials));
	has_taken = true;
	last_take++;
	LWLockAcquire(&part->lock, LW_EXCLUSIVE);
	ntaken = take_entries(part, extension, NULL);
	copy->used = part->used;
	memcpy(copy->bytes, part->bytes, part->used);
	LWLockRelease(&part->lock);

	*denied = palloc(sizeof(GovDenied) * Max(ntaken, 1));
	for (uint32 at = 0; at < copy->used && count < ntaken; at += entry_at(copy, at)->size)
	{
		const GovSharedDenial *entry = entry_at(copy, at);

		if (entry->is_live && entry->taker == MyProcPid && entry->take == last_take)
			read_taken(entry, &(*denied)[count++]);
	}
	return count;
}

/* An owner is deleted: nobody is to write what was denied it, if that commits. */
void
gov_denials_take_owners(const char *owner)
{
	Oid			extension = gov_catalog()->extension;

	has_taken = true;
	for (int number = 0; number < GOV_DENIAL_PARTS; number++)
	{
		GovSharedDenials *part = denials_part(number);

		LWLockAcquire(&part->lock, LW_EXCLUSIVE);
		take_entries(part, extension, owner);
		LWLockRelease(&part->lock);
	}
}

/* ---------------------------------------------------------------- the end of a transaction */

bool
gov_denials_are_taken(void)
{
	return has_taken;
}

/* What was taken is written: what came since is left. */
static void
settle_entry(GovSharedDenials *part, GovSharedDenial *entry)
{
	Assert(entry->taken_count <= entry->count);
	entry->count -= entry->taken_count;
	entry->amount -= entry->taken_amount;
	entry->first_at = entry->last_at;
	entry->taker = 0;
	if (entry->count == 0)
		kill_entry(part, entry);
}

static void
release_entry(GovSharedDenials *part, GovSharedDenial *entry)
{
	entry->taker = 0;
}

static void
merge_entry(GovSharedDenials *part, GovSharedDenial *entry)
{
	entry->taken_level--;
}

/* Do something to all that this process has taken at a nesting level and deeper. */
static void
end_taken(int level, void (*end_entry) (GovSharedDenials *part, GovSharedDenial *entry))
{
	for (int number = 0; number < GOV_DENIAL_PARTS; number++)
	{
		GovSharedDenials *part = denials_part(number);

		if (part->nentries == 0)
			continue;			/* none of ours, which nobody else kills */
		LWLockAcquire(&part->lock, LW_EXCLUSIVE);
		for (uint32 at = 0; at < part->used; at += entry_at(part, at)->size)
		{
			GovSharedDenial *entry = entry_at(part, at);

			if (entry->is_live && entry->taker == MyProcPid && entry->taken_level >= level)
				end_entry(part, entry);
		}
		if (part->nentries == 0)
			squeeze_part(part);
		LWLockRelease(&part->lock);
	}
}

/* The transaction has committed. */
void
gov_denials_commit(void)
{
	if (!has_taken)
		return;
	end_taken(0, settle_entry);
	has_taken = false;
}

/* A (sub)transaction has aborted; level 0 is the whole transaction. */
void
gov_denials_abort(int level)
{
	if (!has_taken)
		return;
	end_taken(level, release_entry);
	has_taken = level > 0;
}

/* A subtransaction has ended well: what it has taken is its parent's. */
void
gov_denials_merge(int level)
{
	if (has_taken)
		end_taken(level, merge_entry);
}
