/*
 * denials_part.c
 *		Entries that count denials, in one part of shared memory.
 *
 * LAYOUT
 *		Entries stand one behind the other, each with its texts, and with room for
 *		a caller and an entity somewhat longer than the present ones.  One that
 *		needs more room is made anew behind the others; dead ones are squeezed
 *		out when their space is wanted.  Buckets of lists find them by their hash.
 *
 * LOCKING
 *		The caller has locked the part, exclusively.  Nothing is allocated, raised
 *		or waited for.  While nobody has, the part is open: under its mutex alone
 *		a process may add to the counts of an entry that it has found before
 *		(denials_again.c).  Whoever locks the part closes it, and opens it again
 *		when all is in its place: under another layout, if an entry has gone
 *		from its own.
 *
 * FAILURE
 *		A part that is full makes room by dropping what nobody has written for a
 *		minute: the entries of a database that was dropped, or has no worker.  If
 *		that is not enough there is no entry to be had.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"

#include "cache/denials_part.h"

#define GOV_DENIALS_SLACK			24	/* bytes for longer callers and
										 * entities */
#define GOV_DENIALS_STALE_S			60
#define GOV_DENIALS_SWEEP_S			1	/* between two drops of what is stale */

StaticAssertDecl(offsetof(GovSharedDenial, texts) + 6 * (255 * 4) + 2 * GOV_DENIALS_SLACK <
				 GOV_DENIAL_BYTES / 4, "the largest entry is a small part of a part");

#ifdef USE_ASSERT_CHECKING
static bool
is_locked(GovSharedDenials *part)
{
	return LWLockHeldByMeInMode(&part->lock, LW_EXCLUSIVE) && part->open_layout == 0;
}
#endif

static uint32
offset_of(const GovSharedDenials *part, const GovSharedDenial *entry)
{
	return (const char *) entry - part->bytes;
}

void
gov_denials_count_unkept(uint64 count)
{
	pg_atomic_fetch_add_u64(&gov_shared->denials_unkept, count);
}

/* Ids that the extension draws differ in their ends, those that others give anywhere. */
static uint32
budget_hash(const pg_uuid_t *id)
{
	uint32		words[UUID_LEN / sizeof(uint32)];

	memcpy(words, id, UUID_LEN);
	return murmurhash32(murmurhash32(words[0] + words[1]) ^ (words[2] + words[3]));
}

uint32
gov_denials_part_hash(const GovDenied *denied)
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
			(length > 0 && memcmp(at, denied->texts[which], length) != 0))
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
		GovSharedDenial *entry = gov_denials_part_at(part, next - 1);

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
void
gov_denials_part_kill(GovSharedDenials *part, GovSharedDenial *entry)
{
	uint32	   *link = &part->buckets[entry->hash / GOV_DENIAL_PARTS % GOV_DENIAL_BUCKETS];

	Assert(entry->is_live && is_locked(part));
	while (*link != offset_of(part, entry) + 1)
		link = &gov_denials_part_at(part, *link - 1)->next;
	*link = entry->next;
	entry->is_live = false;
	part->dead += entry->size;
	part->nentries--;
	part->layout++;
}

/* Squeeze out what is dead. */
void
gov_denials_part_squeeze(GovSharedDenials *part)
{
	uint32		to = 0;
	uint32		size;

	Assert(is_locked(part));
	memset(part->buckets, 0, sizeof(part->buckets));
	for (uint32 from = 0; from < part->used; from += size)
	{
		size = gov_denials_part_at(part, from)->size;
		if (!gov_denials_part_at(part, from)->is_live)
			continue;
		memmove(part->bytes + to, part->bytes + from, size);
		link_entry(part, gov_denials_part_at(part, to));
		to += size;
	}
	part->used = to;
	part->dead = 0;
	part->layout++;
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
		GovSharedDenial *entry = gov_denials_part_at(part, at);

		size = entry->size;
		if (!entry->is_live || entry->taker != 0 ||
			now < entry->first_at + GOV_DENIALS_STALE_S * USECS_PER_SEC)
			continue;
		gov_denials_count_unkept(entry->count);
		gov_denials_part_kill(part, entry);
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
	gov_denials_part_squeeze(part);
	return true;
}

/* Put a new entry behind the others, which counts nothing yet. */
static GovSharedDenial *
append_entry(GovSharedDenials *part, uint32 size, uint32 room, uint32 hash, const GovDenied *denied)
{
	GovSharedDenial *entry = gov_denials_part_at(part, part->used);
	char	   *at = entry->texts;

	Assert(size == MAXALIGN(size) && part->used + size <= GOV_DENIAL_BYTES);
	Assert(is_locked(part));
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
GovSharedDenial *
gov_denials_part_entry(GovSharedDenials *part, uint32 hash, const GovDenied *denied)
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
		gov_denials_part_kill(part, former);
	}
	return entry;
}

/* Does the entry say already who was denied last? */
static bool
last_is_same(const GovSharedDenial *entry, const GovDenied *denied, const char *at)
{
	for (int which = GOV_DENIED_KEY_TEXTS; which < GOV_DENIED_TEXTS; which++)
	{
		uint32		length = denied->lengths[which];

		if (entry->lengths[which] != (denied->texts[which] == NULL ? 0 : length + 1) ||
			(length > 0 && memcmp(at, denied->texts[which], length) != 0))
			return false;
		at += length;
	}
	return entry->last > 0;
}

/* Put down who was denied last. */
static void
set_last(GovSharedDenials *part, GovSharedDenial *entry, const GovDenied *denied)
{
	char	   *at = entry->texts + key_bytes(denied);

	if (last_is_same(entry, denied, at))
		return;
	for (int which = GOV_DENIED_KEY_TEXTS; which < GOV_DENIED_TEXTS; which++)
	{
		entry->lengths[which] = denied->texts[which] == NULL ? 0 : denied->lengths[which] + 1;
		if (denied->texts[which] == NULL)
			continue;
		memcpy(at, denied->texts[which], denied->lengths[which]);
		at += denied->lengths[which];
	}
	entry->last = ++part->lasts;
	Assert(at - entry->texts <= key_bytes(denied) + entry->room);
}

/* Count a denial in its entry; false when the sum would leave the range of amounts. */
bool
gov_denials_part_count(GovSharedDenials *part, GovSharedDenial *entry, const GovDenied *denied)
{
	GovAmount	sum;

	Assert(is_locked(part));
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
	set_last(part, entry, denied);
	return true;
}

/* Where a denial was counted. */
GovDeniedPlace
gov_denials_part_place(GovSharedDenials *part, GovSharedDenial *entry, const GovDenied *denied)
{
	GovDeniedPlace place = {
		.part = part,
		.entry = entry,
		.layout = part->layout,
		.last = entry->last_at == denied->last_at ? entry->last : 0
	};

	Assert(is_locked(part) && part->layout > 0);
	return place;
}
