/*
 * inspect.c
 *		A look at the counters in shared memory, for gov_verify.
 *
 * LOCKING
 *		One stripe at a time, shared, for as long as it takes to go through its
 *		nodes: this is for the administrator, not for the gate.  Memory for the
 *		copies is allocated with no lock held; if there turn out to be more
 *		counters than fit, the stripe is gone through again.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "cache/inspect.h"
#include "cache/node_table.h"

typedef struct GovCounterCopies
{
	GovCounterCopy *items;
	int			capacity;
	int			count;			/* of the counters that there are, copied or
								 * not */
} GovCounterCopies;

static void
copy_node_counters(const GovSharedNode *node, GovCounterCopies *copies)
{
	const GovEntity *entity = gov_node_entity(node);

	for (uint32 i = 0; i < (entity ? entity->nbudgets : 0); i++)
	{
		GovSharedCounter *counter = gov_node_counter(node, i);
		GovCounterCopy *copy;

		if (copies->count++ >= copies->capacity)
			continue;
		copy = &copies->items[copies->count - 1];
		copy->id = counter->id;
		copy->window = counter->window;
		copy->total = counter->total;
		copy->held = counter->held;
		copy->is_pinned = pg_atomic_read_u32(&counter->pins) > 0;
	}
}

/* Is it a node of this database, and of the owner if one is asked for? */
static bool
is_asked_for(const GovSharedNode *node, Oid extension, const char *owner)
{
	return node->database == MyDatabaseId && node->extension == extension &&
		(owner == NULL || gov_chars_are(gov_node_owner(node), owner, strlen(owner)));
}

/* Copy what fits. */
static void
copy_stripe_counters(GovSharedStripe *stripe, Oid extension, const char *owner,
					 GovCounterCopies *copies)
{
	copies->count = 0;
	gov_stripe_lock(stripe, LW_SHARED);
	for (uint32 b = 0; b < stripe->nbuckets; b++)
	{
		GovRef		ref = *gov_node_table_bucket_number(stripe, b);

		while (ref != 0)
		{
			const GovSharedNode *node = gov_address(ref);

			if (is_asked_for(node, extension, owner))
				copy_node_counters(node, copies);
			ref = node->next;
		}
	}
	gov_stripe_unlock(stripe);
}

/* The counters of this database on one stripe, of one owner or all; returns how many. */
int
gov_inspect_counters(int stripe, Oid extension, const char *owner,
					 GovCounterCopy **result)
{
	GovCounterCopies copies = {NULL, 0, 0};

	for (;;)
	{
		copies.items = palloc_extended(sizeof(GovCounterCopy) * Max(copies.capacity, 1),
									   MCXT_ALLOC_HUGE);
		copy_stripe_counters(gov_stripe(stripe), extension, owner, &copies);
		if (copies.count <= copies.capacity)
			break;
		pfree(copies.items);
		copies.capacity = 2 * copies.count;
	}
	*result = copies.items;
	return copies.count;
}
