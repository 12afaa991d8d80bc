/*
 * changes.c
 *		What this transaction has changed in the catalog.
 *
 * PURPOSE
 *		Triggers (invalidate.c) note here which entities a transaction has
 *		touched.  Until its end the transaction itself works on a private view
 *		of the owners concerned (private.c); its commit makes the shared nodes
 *		stale, before COMMIT returns to the client.
 *
 * LAYOUT
 *		A hash table of (owner, id) keys; beyond GOV_CHANGES_MAX of them the
 *		whole database counts as changed.  Owners that were deleted are listed
 *		besides: what the cache has of them is not only stale but dropped.  The
 *		notes of an aborted subtransaction stay: a node made stale, or dropped,
 *		for nothing is loaded once more.
 *
 * FAILURE
 *		Noting may run out of memory and raise, inside the statement.  The
 *		functions for the end of the transaction cannot fail.  TRUNCATE is seen
 *		by snapshots that are older than it, so it is told on abort too.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "catalog.h"
#include "changes.h"
#include "compat.h"
#include "evict.h"
#include "fault.h"
#include "node.h"

#define GOV_CHANGES_MAX		1000
#define GOV_KEY_MAX_BYTES	(255 * 4)	/* a key has at most 255 characters */

typedef struct GovChangeKey
{
	uint32		owner_length;
	uint32		id_length;		/* 0: the owner as such */
	char		bytes[2 * GOV_KEY_MAX_BYTES];
} GovChangeKey;

typedef struct GovChange
{
	GovChangeKey key;
	bool		is_of_all;		/* entities of the owner */
} GovChange;

static HTAB *changed = NULL;
static List *deleted = NIL;		/* owners, as text */
static Oid	extension = InvalidOid;
static bool everything = false;
static bool everything_on_abort = false;
static bool types = false;
static uint64 count = 0;		/* of notes, ever: private views compare it */

static void
make_table(void)
{
	HASHCTL		ctl = {0};

	GOV_FAULT(GOV_FAULT_MEMORY);
	ctl.keysize = sizeof(GovChangeKey);
	ctl.entrysize = sizeof(GovChange);
	ctl.hcxt = TopTransactionContext;
	changed = hash_create("governance catalog changes", 64, &ctl,
						  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* The engine must be able to tell others at commit without allocating. */
static void
prepare_to_tell(void)
{
	extension = gov_catalog()->extension;
	if (gov_shmem_is_available())
		gov_shmem_memory();
	count++;
}

static void
note(const char *owner, uint32 owner_length, const char *id, uint32 id_length,
	 bool is_of_all)
{
	GovChangeKey key = {0};
	GovChange  *change;
	bool		found;

	key.owner_length = owner_length;
	key.id_length = id_length;
	memcpy(key.bytes, owner, owner_length);
	memcpy(key.bytes + owner_length, id, id_length);
	GOV_FAULT(GOV_FAULT_MEMORY);
	change = hash_search(changed, &key, HASH_ENTER, &found);
	change->is_of_all = is_of_all || (found && change->is_of_all);
}

/* Is there room for one more?  If not, everything counts as changed. */
static bool
begin_note(uint32 owner_length, uint32 id_length)
{
	prepare_to_tell();
	if (everything)
		return false;
	if (changed == NULL)
		make_table();
	everything = owner_length > GOV_KEY_MAX_BYTES || id_length > GOV_KEY_MAX_BYTES ||
		hash_get_num_entries(changed) >= GOV_CHANGES_MAX;
	return !everything;
}

void
gov_changes_note_entity(const char *owner, uint32 owner_length,
						const char *id, uint32 id_length)
{
	if (!begin_note(owner_length, id_length))
		return;
	note(owner, owner_length, "", 0, false);
	note(owner, owner_length, id, id_length, false);
}

/* All entities of an owner. */
void
gov_changes_note_owner(const char *owner, uint32 owner_length)
{
	if (begin_note(owner_length, 0))
		note(owner, owner_length, "", 0, true);
}

void
gov_changes_note_types(void)
{
	prepare_to_tell();
	types = true;
}

/* All of an owner goes. */
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
gov_changes_note_everything(bool also_on_abort)
{
	prepare_to_tell();
	everything = true;
	everything_on_abort |= also_on_abort;
	types = true;
}

/* Does the transaction have to look at this owner through a view of its own? */
bool
gov_changes_has_owner(const char *owner, uint32 owner_length)
{
	GovChangeKey key;

	if (everything)
		return true;
	if (changed == NULL || owner_length > GOV_KEY_MAX_BYTES)
		return false;
	memset(&key, 0, sizeof(key));
	key.owner_length = owner_length;
	memcpy(key.bytes, owner, owner_length);
	return hash_search(changed, &key, HASH_FIND, NULL) != NULL;
}

bool
gov_changes_has_types(void)
{
	return types;
}

bool
gov_changes_is_empty(void)
{
	return changed == NULL && deleted == NIL && !everything && !types;
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

static void
tell_one_by_one(void)
{
	HASH_SEQ_STATUS status;
	GovChange  *change;

	hash_seq_init(&status, changed);
	while ((change = hash_seq_search(&status)) != NULL)
	{
		GovOwnerKey owner;

		gov_owner_key_init(&owner, MyDatabaseId, extension, change->key.bytes,
						   change->key.owner_length);
		if (change->is_of_all)
			gov_node_invalidate_owner(&owner);
		else
			gov_node_invalidate(&owner, change->key.bytes + change->key.owner_length,
								change->key.id_length);
	}
}

/* When nothing of this transaction is in flight any more. */
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

		gov_owner_key_init(&owner, MyDatabaseId, extension, VARDATA_ANY(name),
						   VARSIZE_ANY_EXHDR(name));
		gov_node_evict_owner(&owner);
	}
	deleted = NIL;
}

static void
reset(void)
{
	changed = NULL;				/* its memory goes with the transaction */
	everything = false;
	everything_on_abort = false;
	types = false;
}

void
gov_changes_commit(void)
{
	if (gov_shmem_is_available())
	{
		if (types)
			pg_atomic_fetch_add_u64(gov_shmem_type_generation(MyDatabaseId), 1);
		if (everything)
			tell_everything();
		else if (changed != NULL)
			tell_one_by_one();
	}
	reset();
}

/*
 * A subtransaction aborts, and with it goes the lock of a TRUNCATE in it: what
 * has been loaded since then saw an empty table.
 */
void
gov_changes_abort_sub(void)
{
	if (gov_shmem_is_available() && everything_on_abort)
		tell_everything();
}

void
gov_changes_abort(void)
{
	if (gov_shmem_is_available() && everything_on_abort)
		tell_everything();
	deleted = NIL;
	reset();
}
