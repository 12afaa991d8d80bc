/*
 * names.c
 *		Strings that many nodes have, each stored once.
 *
 * PURPOSE
 *		Owners, parents, types and capabilities are a few strings that stand in
 *		many nodes.  Each node that has one counts as a reference; a name without
 *		any is gone.
 *
 * LAYOUT
 *		A hash table with a fixed number of buckets, and an arena of their own
 *		that takes a fixed part of the memory: names are not evicted, and among
 *		the nodes they would be in the way of large ones.
 *
 * LOCKING
 *		names_lock, for the table and the references; under it the arena's.  It
 *		may be taken with the nodes' arena locked, and not with a stripe.
 *		Whoever has a reference reads the bytes without a lock.
 *
 * FAILURE
 *		Without room for a name the node has the string itself (node_block.c).
 */
#include "postgres.h"


#include "base/shmem.h"
#include "cache/names.h"

typedef struct GovSharedName
{
	GovRef		next;			/* in its bucket */
	uint32		hash;
	uint32		references;
	GovChars	chars;			/* no NUL at the end */
} GovSharedName;

StaticAssertDecl(offsetof(GovSharedName, chars) == GOV_NAME_CHARS_AT,
				 "entity.h knows where the bytes are");

/* What a name takes, altogether. */
Size
gov_name_size(Size length)
{
	return gov_arena_block_size(offsetof(GovSharedName, chars.bytes) + length);
}

static GovRef *
bucket_of(uint32 hash)
{
	GovRef	   *buckets = gov_address(gov_shared->name_buckets);

	Assert(LWLockHeldByMeInMode(&gov_shared->names_lock, LW_EXCLUSIVE));
	return &buckets[hash & (gov_shared->nname_buckets - 1)];
}

/* The link to a name; what it links to is 0 if there is none. */
static GovRef *
find_name_link(const char *bytes, uint32 length, uint32 hash)
{
	GovRef	   *link = bucket_of(hash);

	while (*link != 0)
	{
		GovSharedName *name = gov_address(*link);

		if (name->hash == hash && gov_chars_are(&name->chars, bytes, length))
			break;
		link = &name->next;
	}
	return link;
}

static void
add_name(GovRef *link, const char *bytes, uint32 length, uint32 hash)
{
	GovRef		ref = gov_arena_allocate(&gov_shared->names,
										 offsetof(GovSharedName, chars.bytes) + length);
	GovSharedName *name = gov_address(ref);

	if (ref == 0)
		return;
	name->next = 0;
	name->hash = hash;
	name->references = 0;
	name->chars.length = length;
	memcpy(name->chars.bytes, bytes, length);
	*link = ref;
}

/* A reference to the name of some bytes; 0 when there is no room for it. */
GovText
gov_name_take(const char *bytes, uint32 length)
{
	uint32		hash = gov_entity_text_hash(bytes, length);
	GovRef	   *link;
	GovText		name = 0;

	Assert(!gov_stripe_is_held());
	LWLockAcquire(&gov_shared->names_lock, LW_EXCLUSIVE);
	link = find_name_link(bytes, length, hash);
	if (*link == 0)
		add_name(link, bytes, length, hash);
	if (*link != 0)
	{
		((GovSharedName *) gov_address(*link))->references++;
		name = *link | GOV_TEXT_IS_NAME;
	}
	LWLockRelease(&gov_shared->names_lock);
	return name;
}

/* Give a reference back; of a string that is no name there is none. */
void
gov_name_give(GovText string)
{
	GovRef		ref = string & ~GOV_TEXT_IS_NAME;
	GovSharedName *name = gov_address(ref);
	GovRef	   *link;

	if ((string & GOV_TEXT_IS_NAME) == 0)
		return;
	Assert(!gov_stripe_is_held());
	LWLockAcquire(&gov_shared->names_lock, LW_EXCLUSIVE);
	Assert(name->references > 0);
	if (--name->references == 0)
	{
		link = bucket_of(name->hash);
		while (*link != ref)
			link = &((GovSharedName *) gov_address(*link))->next;
		*link = name->next;
		gov_arena_free(&gov_shared->names, ref);
	}
	LWLockRelease(&gov_shared->names_lock);
}
