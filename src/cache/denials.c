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
 *		of them.  What a part is like inside is in denials_part.c.
 *
 * LOCKING
 *		The part's lock protects all of it.  It is held to find and change an
 *		entry, or to go over the part; nothing is allocated, raised or waited for
 *		under it, and no other lock is taken but the part's mutex.  A call takes it
 *		when it holds no stripe.  A denial like one that the process has counted
 *		before takes only the mutex, a spinlock: denials_again.c.
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
 *		A denial for which a part has no room is counted in denials_unkept and
 *		forgotten.  A crash or a stop of the server loses what was not written.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"

#include "base/catalog.h"
#include "base/shmem.h"
#include "cache/denials.h"
#include "cache/denials_again.h"
#include "cache/denials_part.h"

/* This process has taken some. */
static bool has_taken = false;
static uint32 last_take = 0;

static GovSharedDenials *
denials_part(int part)
{
	return &gov_shared->denials[part].denials;
}

/* Lock a part and close it: nobody else counts in it. */
static void
lock_part(GovSharedDenials *part)
{
	LWLockAcquire(&part->lock, LW_EXCLUSIVE);
	SpinLockAcquire(&part->mutex);
	part->open_layout = 0;
	SpinLockRelease(&part->mutex);
}

static void
unlock_part(GovSharedDenials *part)
{
	Assert(part->open_layout == 0 && part->layout > 0);
	SpinLockAcquire(&part->mutex);
	part->open_layout = part->layout;
	SpinLockRelease(&part->mutex);
	LWLockRelease(&part->lock);
}

/* Has nobody been called for lately to write it? */
static bool
must_ask(GovSharedDenial *entry, TimestampTz now)
{
	if (gov_denials_part_is_asked(entry, now))
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
	uint32		hash;
	GovSharedDenials *part;
	GovSharedDenial *entry;
	GovDeniedPlace place;
	bool		is_kept;
	bool		wants_worker;

	if (gov_denials_count_again(denied))
		return false;
	hash = gov_denials_part_hash(denied);
	part = denials_part(hash % GOV_DENIAL_PARTS);
	lock_part(part);
	entry = gov_denials_part_entry(part, hash, denied);
	is_kept = entry != NULL && gov_denials_part_count(part, entry, denied);
	wants_worker = is_kept && must_ask(entry, denied->last_at);
	if (is_kept)
		place = gov_denials_part_place(part, entry, denied);
	unlock_part(part);
	if (is_kept)
		gov_denials_remember(denied, &place);
	else
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
		for (uint32 at = 0; at < part->used && !result; at += gov_denials_part_at(part, at)->size)
			result = is_ours(gov_denials_part_at(part, at), extension);
		LWLockRelease(&part->lock);
	}
	return result;
}

static bool
is_owners(const GovSharedDenial *entry, const char *owner)
{
	uint32		length = gov_denials_part_length(entry, GOV_DENIED_OWNER);

	return strlen(owner) == length && memcmp(entry->texts, owner, length) == 0;
}

/* Take what may be taken of a part, of an owner or of all; returns how many entries. */
static int
take_entries(GovSharedDenials *part, Oid extension, const char *owner)
{
	int			count = 0;

	for (uint32 at = 0; at < part->used; at += gov_denials_part_at(part, at)->size)
	{
		GovSharedDenial *entry = gov_denials_part_at(part, at);

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
		denied->lengths[which] = gov_denials_part_length(entry, which);
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
	lock_part(part);
	ntaken = take_entries(part, extension, NULL);
	copy->used = part->used;
	memcpy(copy->bytes, part->bytes, part->used);
	unlock_part(part);

	*denied = palloc(sizeof(GovDenied) * Max(ntaken, 1));
	for (uint32 at = 0; at < copy->used && count < ntaken; at += gov_denials_part_at(copy, at)->size)
	{
		const GovSharedDenial *entry = gov_denials_part_at(copy, at);

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

		lock_part(part);
		take_entries(part, extension, owner);
		unlock_part(part);
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
		gov_denials_part_kill(part, entry);
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
		lock_part(part);
		for (uint32 at = 0; at < part->used; at += gov_denials_part_at(part, at)->size)
		{
			GovSharedDenial *entry = gov_denials_part_at(part, at);

			if (entry->is_live && entry->taker == MyProcPid && entry->taken_level >= level)
				end_entry(part, entry);
		}
		if (part->nentries == 0)
			gov_denials_part_squeeze(part);
		unlock_part(part);
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
