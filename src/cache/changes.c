/*
 * changes.c
 *		What this transaction has changed in the catalog.
 *
 * PURPOSE
 *		Triggers (invalidate.c) note here which entities a transaction has
 *		touched.  Until its end the transaction itself works on a private view
 *		of the owners concerned (private_view.c); its commit makes the shared nodes
 *		stale, before COMMIT returns to the client.
 *
 * LAYOUT
 *		A hash table of owners and of (owner, id) keys.  An owner with more than
 *		GOV_CHANGES_IDS_MAX changed entities counts as changed as a whole, and
 *		so does every owner of which something is noted once the table has
 *		GOV_CHANGES_KEYS_MAX entries.  With GOV_CHANGES_OWNERS_MAX entries the
 *		next owner makes the whole database count as changed.  Owners
 *		that were deleted are listed besides: what the cache has of them is not
 *		only stale but dropped.  The notes of an aborted subtransaction stay: a
 *		node made stale, or dropped, for nothing is loaded once more.
 *
 * COST
 *		A note is a look-up by hash, or a comparison where the owner of the note
 *		before is known to have changed as a whole already.  The commit takes a
 *		look-up in shared memory for each key, and goes once through the nodes of
 *		the stripes that have such owners.
 *
 * FAILURE
 *		Noting may run out of memory and raise, inside the statement.  The
 *		functions for the end of the transaction cannot fail.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/memutils.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/fault.h"
#include "cache/changes.h"
#include "cache/node.h"
#include "cache/node_memory.h"
#include "pure/bytes.h"

#define GOV_CHANGES_IDS_MAX		1000	/* of one owner */
#define GOV_CHANGES_KEYS_MAX	10000	/* with more, owners only */
#define GOV_CHANGES_OWNERS_MAX	20000

/* An entity, or where id_length is 0 an owner: its name, and the id behind it. */
typedef struct GovChangeKey
{
	const char *bytes;
	uint32		owner_length;
	uint32		id_length;
} GovChangeKey;

typedef struct GovChange
{
	GovChangeKey key;
	uint32		nids;			/* of an owner: entities of it in the table */
	bool		is_of_all;		/* of an owner: whichever entities */
} GovChange;

static HTAB *changed = NULL;
static GovChange *last_owner = NULL;	/* that something was noted of */
static List *deleted = NIL;		/* owners, as text */
static Oid	extension = InvalidOid;
static bool everything = false;
static bool has_truncated = false;
static bool types = false;
static bool prices = false;
static bool frozen = false;		/* which owners are */
static bool is_committing_prices = false;	/* others are told that we do */
static uint64 count = 0;		/* of notes, ever: private views compare it */

static uint32
hash_key(const void *key, Size size)
{
	const GovChangeKey *of = key;

	return hash_combine(hash_bytes((const unsigned char *) of->bytes, of->owner_length + of->id_length),
						of->owner_length);
}

/* As memcmp(): 0 when they are the same. */
static int
compare_keys(const void *key1, const void *key2, Size size)
{
	const GovChangeKey *one = key1;
	const GovChangeKey *other = key2;

	return one->owner_length != other->owner_length || one->id_length != other->id_length ||
		memcmp(one->bytes, other->bytes, one->owner_length + one->id_length) != 0;
}

static void
make_table(void)
{
	HASHCTL		ctl = {0};

	GOV_FAULT(GOV_FAULT_MEMORY);
	ctl.keysize = sizeof(GovChangeKey);
	ctl.entrysize = sizeof(GovChange);
	ctl.hash = hash_key;
	ctl.match = compare_keys;
	ctl.hcxt = TopTransactionContext;
	changed = hash_create("governance catalog changes", 64, &ctl,
						  HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
}

/*
 * Look up what the commit needs to tell others: it can read no catalog.  And
 * count the note.
 */
static void
prepare_to_tell(void)
{
	extension = gov_catalog()->extension;
	count++;
}

/* Put a key into the table, which has none like it. */
static GovChange *
add_change(const GovChangeKey *key)
{
	GovChangeKey copy = *key;
	char	   *bytes;
	GovChange  *change;

	GOV_FAULT(GOV_FAULT_MEMORY);
	bytes = MemoryContextAlloc(TopTransactionContext, key->owner_length + key->id_length + 1);
	memcpy(bytes, key->bytes, key->owner_length + key->id_length);
	copy.bytes = bytes;
	change = hash_search(changed, &copy, HASH_ENTER, NULL);
	change->nids = 0;
	change->is_of_all = false;
	return change;
}

static bool
is_last_owner(const char *owner, uint32 owner_length)
{
	return last_owner != NULL &&
		gov_bytes_equal(last_owner->key.bytes, last_owner->key.owner_length, owner, owner_length);
}

/* The entry of an owner, made if need be; NULL when everything counts as changed. */
static GovChange *
note_owner(const char *owner, uint32 owner_length)
{
	GovChangeKey key = {.bytes = owner, .owner_length = owner_length};

	prepare_to_tell();
	if (everything || is_last_owner(owner, owner_length))
		return everything ? NULL : last_owner;
	if (changed == NULL)
		make_table();
	last_owner = hash_search(changed, &key, HASH_FIND, NULL);
	if (last_owner == NULL && hash_get_num_entries(changed) < GOV_CHANGES_OWNERS_MAX)
		last_owner = add_change(&key);
	everything = last_owner == NULL;
	Assert(everything || last_owner->key.id_length == 0);
	return last_owner;
}

void
gov_changes_note_entity(const char *owner, uint32 owner_length,
						const char *id, uint32 id_length)
{
	GovChange  *of = note_owner(owner, owner_length);
	StringInfoData buf;
	GovChangeKey key;

	if (of == NULL || of->is_of_all)
		return;
	if (of->nids >= GOV_CHANGES_IDS_MAX || hash_get_num_entries(changed) >= GOV_CHANGES_KEYS_MAX)
	{
		of->is_of_all = true;
		return;
	}
	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, owner, owner_length);
	appendBinaryStringInfo(&buf, id, id_length);
	key = (GovChangeKey) {.bytes = buf.data, .owner_length = owner_length, .id_length = id_length};
	if (hash_search(changed, &key, HASH_FIND, NULL) == NULL)
	{
		add_change(&key);
		of->nids++;
	}
	pfree(buf.data);
}

/* All entities of an owner have changed, or may have. */
void
gov_changes_note_owner(const char *owner, uint32 owner_length)
{
	GovChange  *of = note_owner(owner, owner_length);

	if (of != NULL)
		of->is_of_all = true;
}

void
gov_changes_note_types(void)
{
	prepare_to_tell();
	types = true;
}

void
gov_changes_note_prices(void)
{
	prepare_to_tell();
	prices = true;
}

void
gov_changes_note_frozen(void)
{
	prepare_to_tell();
	frozen = true;
}

/* What the cache has of an owner goes at the commit: it is deleted, or its counters move. */
void
gov_changes_note_deleted(const char *owner, uint32 owner_length)
{
	MemoryContext caller;

	prepare_to_tell();
	GOV_FAULT(GOV_FAULT_MEMORY);
	caller = MemoryContextSwitchTo(TopTransactionContext);
	deleted = lappend(deleted, cstring_to_text_with_len(owner, owner_length));
	MemoryContextSwitchTo(caller);
}

void
gov_changes_note_everything(void)
{
	prepare_to_tell();
	everything = true;
	types = true;
	prices = true;
	frozen = true;
}

/* A table was emptied, for this transaction under every snapshot; own_nodes.c. */
void
gov_changes_note_truncate(void)
{
	gov_changes_note_everything();
	has_truncated = true;
}

static GovChange *
find_owner(const char *owner, uint32 owner_length)
{
	GovChangeKey key = {.bytes = owner, .owner_length = owner_length};

	return changed ? hash_search(changed, &key, HASH_FIND, NULL) : NULL;
}

/* Does the transaction have to look at this owner through a view of its own? */
bool
gov_changes_has_owner(const char *owner, uint32 owner_length)
{
	return everything || find_owner(owner, owner_length) != NULL;
}

bool
gov_changes_has_types(void)
{
	return types;
}

bool
gov_changes_has_prices(void)
{
	return prices;
}

bool
gov_changes_has_frozen(void)
{
	return frozen;
}

bool
gov_changes_has_truncated(void)
{
	return has_truncated;
}

bool
gov_changes_is_empty(void)
{
	return changed == NULL && deleted == NIL && !everything && !types && !prices && !frozen;
}

uint64
gov_changes_count(void)
{
	return count;
}

static void
tell_everything(void)
{
	pg_atomic_fetch_add_u64(gov_shmem_generation(MyDatabaseId), 1);
}

static bool
is_of_all(const char *owner, uint32 owner_length)
{
	const GovChange *of = find_owner(owner, owner_length);

	return of != NULL && of->is_of_all;
}

static void
tell_one_by_one(void)
{
	bool		has_whole_owners[GOV_STRIPES] = {false};
	HASH_SEQ_STATUS status;
	GovChange  *change;

	Assert(OidIsValid(extension));
	hash_seq_init(&status, changed);
	while ((change = hash_seq_search(&status)) != NULL)
	{
		GovOwnerKey owner;

		gov_node_owner_key_init(&owner, MyDatabaseId, extension, change->key.bytes,
								change->key.owner_length);
		gov_node_invalidate(&owner, change->key.bytes + change->key.owner_length,
							change->key.id_length);
		has_whole_owners[owner.stripe] |= change->is_of_all;
	}
	for (int stripe = 0; stripe < GOV_STRIPES; stripe++)
	{
		if (has_whole_owners[stripe])
			gov_node_invalidate_owners(stripe, MyDatabaseId, extension, is_of_all);
	}
}

/*
 * Drop what the cache has of deleted owners.  Called when nothing of this
 * transaction is in flight any more, because pinned nodes stay.
 */
void
gov_changes_drop_deleted(void)
{
	ListCell   *cell;

	if (!gov_shmem_is_available())
		deleted = NIL;
	foreach(cell, deleted)
	{
		const text *name = lfirst(cell);
		GovOwnerKey owner;

		gov_node_owner_key_init(&owner, MyDatabaseId, extension, VARDATA_ANY(name),
								VARSIZE_ANY_EXHDR(name));
		gov_node_evict_owner(&owner);
	}
	deleted = NIL;
}

static void
forget_changes(void)
{
	changed = NULL;				/* its memory goes with the transaction */
	last_owner = NULL;
	everything = false;
	has_truncated = false;
	types = false;
	prices = false;
	frozen = false;
}

/*
 * From here on others may see our prices; prices.c.  Nothing else has to be
 * told before they can.
 */
void
gov_changes_before_commit(void)
{
	if (!prices || !gov_shmem_is_available())
		return;
	pg_atomic_fetch_add_u64(gov_shmem_price_commits(MyDatabaseId), 1);
	is_committing_prices = true;
}

/* Others see our prices, or never will. */
static void
end_commit_of_prices(void)
{
	if (is_committing_prices)
		pg_atomic_fetch_sub_u64(gov_shmem_price_commits(MyDatabaseId), 1);
	is_committing_prices = false;
}

void
gov_changes_commit(void)
{
	if (gov_shmem_is_available())
	{
		if (types)
			pg_atomic_fetch_add_u64(gov_shmem_type_generation(MyDatabaseId), 1);
		if (prices)
			pg_atomic_fetch_add_u64(gov_shmem_price_generation(MyDatabaseId), 1);
		if (frozen)
			pg_atomic_fetch_add_u64(gov_shmem_frozen_generation(MyDatabaseId), 1);
		if (everything)
			tell_everything();
		else if (changed != NULL)
			tell_one_by_one();
	}
	end_commit_of_prices();
	forget_changes();
}

void
gov_changes_abort(void)
{
	deleted = NIL;
	end_commit_of_prices();
	forget_changes();
}
