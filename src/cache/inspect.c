/*
 * inspect.c
 *		A look at the counters in shared memory, for gov_verify.
 *
 * LOCKING
 *		One stripe at a time, shared, for as long as it takes to go through its
 *		nodes: this is for the administrator, not for the gate.  Memory for the
 *		copies is allocated with no lock held; if there turn out to be more
 *		counters than fit, the stripe is gone through again.
 *
 * SNAPSHOT
 *		A counter and the rows that it sums can be compared only as of one
 *		moment, and neither tells whether it has changed and changed back.  So
 *		the snapshot for the rows is taken with the stripe still locked.
 *		Whoever changes a counter, or a row that it sums, pins the counter
 *		first, under this lock, and unpins it after its transaction has ended
 *		for everybody: a counter without pins has nothing in flight, and what it
 *		sums is what this snapshot sees.  Taking it waits for nothing but
 *		ProcArrayLock, with which nobody waits for a stripe.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/snapmgr.h"

#include "base/fault.h"
#include "cache/inspect.h"
#include "cache/node_table.h"
#include "cache/own_nodes.h"

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
		copy->is_before = counter->is_before;
		copy->held = copy->is_before ? 0 : counter->held;
		copy->carried = copy->is_before ? counter->covered : 0;
		copy->is_pinned = pg_atomic_read_u32(&counter->pins) > 0 || counter->is_outdated;
	}
}

/*
 * Is it a node of this database, of the owner if one is asked for, and for
 * everybody?
 */
static bool
is_asked_for(const GovSharedNode *node, Oid extension, const char *owner)
{
	return node->database == MyDatabaseId && node->extension == extension &&
		!gov_node_is_own(node) &&
		(owner == NULL || gov_chars_are(gov_node_owner(node), owner, strlen(owner)));
}

/* Copy what fits; and take the snapshot of that moment, if one is asked for. */
static void
copy_stripe_counters(GovSharedStripe *stripe, Oid extension, const char *owner,
					 GovCounterCopies *copies, Snapshot *snapshot)
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
	if (snapshot != NULL)
		*snapshot = GetLatestSnapshot();
	gov_stripe_unlock(stripe);
}

/*
 * The counters of this database on one stripe, of one owner or all; returns how
 * many.  The snapshot, if not NULL, gets what the rows are to be read with; it
 * is to be pushed before another is taken.
 */
int
gov_inspect_counters(int stripe, Oid extension, const char *owner,
					 GovCounterCopy **result, Snapshot *snapshot)
{
	GovCounterCopies copies = {NULL, 0, 0};

	GOV_FAULT(GOV_FAULT_WAIT);
	if (snapshot != NULL)
		GetLatestSnapshot();	/* the first one allocates */
	for (;;)
	{
		copies.items = palloc_extended(sizeof(GovCounterCopy) * Max(copies.capacity, 1),
									   MCXT_ALLOC_HUGE);
		copy_stripe_counters(gov_stripe(stripe), extension, owner, &copies, snapshot);
		if (copies.count <= copies.capacity)
			break;
		pfree(copies.items);
		copies.capacity = 2 * copies.count;
	}
	GOV_FAULT(GOV_FAULT_WAIT);
	*result = copies.items;
	return copies.count;
}
