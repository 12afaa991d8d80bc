/*
 * created.c
 *		The entities that this transaction's uses have created.
 *
 * PURPOSE
 *		Such an entity is a new row of gov_entities, which others see when the
 *		transaction has committed.  Until then this transaction alone must find
 *		it.  It could read the owner's entities into a view of its own, as after
 *		any change of the catalog, but the next use would create another one, and
 *		have all that read again.  Nothing needs to be read where no default of
 *		its type gives it budgets: what is known of it is its block.  So the shared
 *		nodes stay in use, and where they say that there is no such entity this is
 *		asked (resolve.c).  One that has budgets by defaults counts as a change of
 *		the catalog (call/creation.c).
 *
 * LAYOUT
 *		As in own_counts.c: an array of entries in the order made, each with the
 *		nesting level of its (sub)transaction, so that an abort cuts its tail off.
 *		Entries with the same hash are linked, newest first.  All of it is the
 *		transaction's memory.
 *
 * INVARIANTS
 *		What is here is a row that this transaction has written, unless it has
 *		changed or deleted that since, or it has budgets: then the owner counts as
 *		changed, and a private view is asked instead (private_view.c).
 *		A default that somebody else makes may give it budgets later: it is as fresh
 *		as the call that has created it.
 *
 * FAILURE
 *		gov_created_add() may run out of memory, before the row is written.  The
 *		functions for the end of a (sub)transaction cannot fail.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "base/fault.h"
#include "cache/created.h"
#include "pure/bytes.h"

typedef struct GovCreated
{
	GovOwnerKey owner;
	const GovEntity *entity;
	GovFreshness since;			/* of what its block was made of */
	int			level;			/* of the (sub)transaction */
	int			next;			/* older entry in the bucket, or -1 */
} GovCreated;

int			gov_created_count = 0;

static GovCreated *created = NULL;
static int *buckets = NULL;
static int	capacity = 0;		/* a power of two, also the number of buckets */

static int *
bucket_of(uint32 id_hash)
{
	return &buckets[id_hash & (capacity - 1)];
}

static void
link_entry(int number)
{
	int		   *bucket = bucket_of(created[number].entity->id_hash);

	created[number].next = *bucket;
	*bucket = number;
}

/* Take the last entries out of their buckets, which they stand first in. */
static void
cut_tail(int count)
{
	while (gov_created_count > count)
	{
		GovCreated *entry = &created[--gov_created_count];

		Assert(*bucket_of(entry->entity->id_hash) == gov_created_count);
		*bucket_of(entry->entity->id_hash) = entry->next;
	}
}

static void
make_room(void)
{
	int			wanted = Max(16, 2 * capacity);
	int		   *more_buckets;

	if (gov_created_count < capacity)
		return;
	GOV_FAULT(GOV_FAULT_MEMORY);
	more_buckets = MemoryContextAllocHuge(TopTransactionContext, wanted * sizeof(int));
	created = created == NULL ?
		MemoryContextAllocHuge(TopTransactionContext, wanted * sizeof(GovCreated)) :
		repalloc_huge(created, wanted * sizeof(GovCreated));
	buckets = more_buckets;
	capacity = wanted;			/* not before: allocating may raise */
	memset(buckets, -1, capacity * sizeof(int));
	for (int i = 0; i < gov_created_count; i++)
		link_entry(i);
}

/* An entity is about to be written; its block is copied. */
void
gov_created_add(const GovOwnerKey *owner, const GovEntity *entity, const GovFreshness *since)
{
	GovCreated *entry;
	char	   *name;
	char	   *block;

	make_room();
	GOV_FAULT(GOV_FAULT_MEMORY);
	name = MemoryContextAlloc(TopTransactionContext, owner->owner_length + 1);
	memcpy(name, owner->owner, owner->owner_length + 1);
	block = MemoryContextAlloc(TopTransactionContext, entity->size);
	memcpy(block, entity, entity->size);

	entry = &created[gov_created_count];
	entry->owner = *owner;
	entry->owner.owner = name;
	entry->entity = (const GovEntity *) block;
	entry->since = *since;
	entry->level = GetCurrentTransactionNestLevel();
	link_entry(gov_created_count++);
	gov_created_note_room(owner, 1);
}

/* The last one was not written. */
void
gov_created_remove_last(void)
{
	Assert(gov_created_count > 0);
	gov_created_note_room(&created[gov_created_count - 1].owner, -1);
	cut_tail(gov_created_count - 1);
}

/*
 * NULL if this transaction has not created it; since may be NULL.  May be called
 * under a stripe's lock.
 */
const GovEntity *
gov_created_find(const char *owner, uint32 owner_length, const char *id, uint32 id_length,
				 GovFreshness *since)
{
	int			number = gov_created_count == 0 ? -1 :
	*bucket_of(gov_entity_text_hash(id, id_length));

	for (; number >= 0; number = created[number].next)
	{
		const GovCreated *entry = &created[number];

		if (!gov_chars_are(gov_entity_id(entry->entity), id, id_length) ||
			!gov_bytes_equal(entry->owner.owner, entry->owner.owner_length, owner, owner_length))
			continue;
		if (since != NULL)
			*since = entry->since;
		return entry->entity;
	}
	return NULL;
}

/* A subtransaction has committed: what it has created is its parent's. */
void
gov_created_merge(int level)
{
	for (int i = gov_created_count - 1; i >= 0 && created[i].level >= level; i--)
		created[i].level = level - 1;
}

/* The memory goes with the transaction. */
static void
forget_all(void)
{
	gov_created_count = 0;
	created = NULL;
	buckets = NULL;
	capacity = 0;
}

/* A (sub)transaction has aborted: what it has created is not there. */
void
gov_created_abort(int level)
{
	int			count = gov_created_count;

	while (count > 0 && created[count - 1].level >= level)
		gov_created_note_room(&created[--count].owner, -1);
	cut_tail(count);
	if (level == 0)
		forget_all();
}

/* The transaction has committed: tell others what there is. */
void
gov_created_commit(void)
{
	for (int i = 0; i < gov_created_count; i++)
	{
		const GovChars *id = gov_entity_id(created[i].entity);

		gov_node_invalidate(&created[i].owner, id->bytes, id->length);
	}
	forget_all();
}
