/*
 * created_room.c
 *		How many entities an owner has that uses have created.
 *
 * PURPOSE
 *		governance.created_entities_max keeps a request id that is mistaken for a
 *		user from filling the catalog.  The table is counted once for an owner;
 *		from then on shared memory counts along what is created, and what of it is
 *		rolled back.
 *
 * ACCURACY
 *		About: a count of the table misses what others have not committed yet, and
 *		what somebody deletes is noticed when the owner has reached the bound, and
 *		then every GOV_CREATED_RECOUNT_S.  On a standby nothing counts along, so
 *		the table is counted as often.
 *
 * LAYOUT
 *		GOV_CREATED_SETS sets of GOV_CREATED_WAYS owners in the fixed head of
 *		shared memory, by a hash of 64 bits; whoever was not used for longest
 *		makes way, and is counted anew.
 *
 * LOCKING
 *		created_lock, for a few instructions; nothing is allocated, raised or
 *		waited for under it.  Two sessions may count the same table.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/spi.h"
#include "cache/created.h"

#define GOV_CREATED_RECOUNT_S	10

static GovQuery count_query = {
	.sql =
	"select count(*)"
	" from (select from @gov_entities e where e.owner_id = $1 and e.created_by_use limit $2) c",
	.nargs = 2,
	.argtypes = {TEXTOID, INT8OID}
};

static uint64
hash_of(const GovOwnerKey *owner)
{
	uint64		seed = ((uint64) owner->database << 32) | owner->extension;

	return Max(1, hash_bytes_extended((const unsigned char *) owner->owner,
									  owner->owner_length, seed));
}

/* The entry of an owner, or NULL.  created_lock is held. */
static GovSharedCreated *
find_entry(uint64 hash)
{
	GovSharedCreated *set = gov_shared->created[hash % GOV_CREATED_SETS];

	for (int i = 0; i < GOV_CREATED_WAYS; i++)
	{
		if (set[i].hash == hash)
			return &set[i];
	}
	return NULL;
}

/* The entry that an owner gets.  created_lock is held exclusively. */
static GovSharedCreated *
take_entry(uint64 hash)
{
	GovSharedCreated *set = gov_shared->created[hash % GOV_CREATED_SETS];
	GovSharedCreated *entry = find_entry(hash);

	for (int i = 0; entry == NULL && i < GOV_CREATED_WAYS; i++)
	{
		if (set[i].hash == 0)
			entry = &set[i];
	}
	if (entry == NULL)
	{
		entry = &set[0];
		for (int i = 1; i < GOV_CREATED_WAYS; i++)
		{
			if (set[i].used_at < entry->used_at)
				entry = &set[i];
		}
	}
	entry->hash = hash;
	return entry;
}

static int64
count_created(const GovOwnerKey *owner)
{
	Datum		args[] = {
		PointerGetDatum(cstring_to_text_with_len(owner->owner, owner->owner_length)),
		Int64GetDatum(gov_created_entities_max)
	};
	int64		count;
	bool		isnull;
	GovSpi		spi;

	gov_spi_begin(&spi);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	(void) gov_spi_select(&count_query, args, NULL);
	count = DatumGetInt64(gov_spi_value(0, 1, &isnull));
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
	return count;
}

static bool
is_recent(TimestampTz counted_at, TimestampTz now)
{
	return counted_at <= now && now < counted_at + GOV_CREATED_RECOUNT_S * USECS_PER_SEC;
}

/* Is what shared memory has of an owner good enough?  Then its count is given. */
static bool
knows_count(uint64 hash, TimestampTz now, int64 *count)
{
	bool		is_known = false;
	GovSharedCreated *entry;

	LWLockAcquire(&gov_shared->created_lock, LW_EXCLUSIVE);
	entry = find_entry(hash);
	if (entry != NULL)
	{
		entry->used_at = now;
		*count = entry->count;
		is_known = is_recent(entry->counted_at, now) ||
			(entry->count < gov_created_entities_max && !RecoveryInProgress());
	}
	LWLockRelease(&gov_shared->created_lock);
	return is_known;
}

/* May a use create one more entity of the owner? */
bool
gov_created_has_room(const GovOwnerKey *owner)
{
	TimestampTz now = GetCurrentTimestamp();
	uint64		hash = hash_of(owner);
	int64		count;
	GovSharedCreated *entry;

	Assert(!gov_stripe_is_held());
	if (gov_created_entities_max == 0)
		return false;
	if (gov_shared == NULL)
		return count_created(owner) < gov_created_entities_max;
	if (!knows_count(hash, now, &count))
	{
		count = count_created(owner);
		LWLockAcquire(&gov_shared->created_lock, LW_EXCLUSIVE);
		entry = take_entry(hash);
		entry->count = count;
		entry->counted_at = entry->used_at = now;
		LWLockRelease(&gov_shared->created_lock);
	}
	return count < gov_created_entities_max;
}

/* An owner has so many more, or with a negative number fewer.  Cannot fail. */
void
gov_created_note_room(const GovOwnerKey *owner, int64 more)
{
	GovSharedCreated *entry;

	LWLockAcquire(&gov_shared->created_lock, LW_EXCLUSIVE);
	entry = find_entry(hash_of(owner));
	if (entry != NULL)
		entry->count = Max(0, entry->count + more);
	LWLockRelease(&gov_shared->created_lock);
}
