/*
 * private_view.c
 *		A view of one owner's entities that only this transaction has.
 *
 * PURPOSE
 *		A transaction that has changed the catalog works in what it has
 *		changed, which nobody else may see before it commits; and a standby, or
 *		a check that shared memory cannot serve, answers from the tables.  Both
 *		use the same structures as the shared nodes, in the backend's memory,
 *		so that one implementation resolves and decides.
 *
 * INVARIANTS
 *		There is at most one view.  One of own changes is kept until the
 *		transaction changes the catalog again, somebody else does, or a
 *		subtransaction aborts; it is then read anew.  A counter in the view is
 *		charged only for a budget that this transaction has made, or given a new
 *		counter: all events charged to it are its own, and reading the ledger
 *		anew gives the same count.  Every other budget is charged in shared
 *		memory, and so are the holds of one with a new counter (find_counters in
 *		resolve_budgets.c).
 *
 * FAILURE
 *		The view lives in the transaction's memory and goes with it.
 */
#include "postgres.h"

#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "base/fault.h"
#include "cache/changes.h"
#include "cache/private_view.h"
#include "pure/bytes.h"

typedef struct GovPrivateView
{
	MemoryContext context;		/* NULL: there is no view */
	GovPrivateKind kind;
	char	   *owner;
	uint32		owner_length;
	uint64		changes_count;	/* our own, when it was read */
	GovFreshness since;			/* others', before it was read */
	int			count;
	uint32		nslots;			/* a power of two, more than count */
	GovLoaded **slots;			/* open addressing by hash of the id */
} GovPrivateView;

static GovPrivateView view;

void
gov_private_drop(void)
{
	MemoryContext context = view.context;

	memset(&view, 0, sizeof(view));
	if (context != NULL)
		MemoryContextDelete(context);
}

/* Can the view that we have serve one more call? */
static bool
is_current(const GovOwnerKey *key, GovPrivateKind kind, const GovFreshness *since)
{
	return view.context != NULL &&
		kind == GOV_PRIVATE_OWN_CHANGES && view.kind == kind &&
		gov_bytes_equal(view.owner, view.owner_length, key->owner, key->owner_length) &&
		view.changes_count == gov_changes_count() &&
		view.since.changes == since->changes &&
		view.since.generation == since->generation;
}

/* Make ready for a call: keep the view that there is, or start an empty one. */
void
gov_private_begin(const GovOwnerKey *key, GovPrivateKind kind,
				  const GovFreshness *since)
{
	MemoryContext context;

	if (is_current(key, kind, since))
		return;
	gov_private_drop();
	context = AllocSetContextCreate(TopTransactionContext,
									"governance private view",
									ALLOCSET_DEFAULT_SIZES);
	GOV_FAULT(GOV_FAULT_MEMORY);
	view.kind = kind;
	view.owner = MemoryContextAlloc(context, Max(key->owner_length, 1));
	memcpy(view.owner, key->owner, key->owner_length);
	view.owner_length = key->owner_length;
	view.changes_count = gov_changes_count();
	view.since = *since;
	view.context = context;
}

/* The slot that an id is in, or the empty one that it would go to. */
static GovLoaded **
slot_of(const char *id, uint32 id_length)
{
	uint32		slot = gov_entity_text_hash(id, id_length);

	Assert((uint32) view.count < view.nslots);
	for (;; slot++)
	{
		GovLoaded **place = &view.slots[slot & (view.nslots - 1)];

		if (*place == NULL ||
			gov_bytes_equal((*place)->id, (*place)->id_length, id, id_length))
			return place;
	}
}

/* NULL when the id has not been loaded.  May be called under a stripe's lock. */
GovLoaded *
gov_private_find(const char *id, uint32 id_length)
{
	return view.nslots == 0 ? NULL : *slot_of(id, id_length);
}

/* Make room for so many more ids: slots stay at most half full. */
static void
make_room(int count)
{
	GovLoaded **old = view.slots;
	uint32		nold = view.nslots;
	uint32		wanted = pg_nextpower2_32(2 * (view.count + count) + 16);

	if (wanted <= nold)
		return;
	GOV_FAULT(GOV_FAULT_MEMORY);
	view.slots = MemoryContextAllocExtended(view.context, wanted * sizeof(GovLoaded *),
											MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	view.nslots = wanted;
	for (uint32 i = 0; i < nold; i++)
	{
		if (old[i] != NULL)
			*slot_of(old[i]->id, old[i]->id_length) = old[i];
	}
}

static bool
knows_id(const char *id, uint32 id_length)
{
	return gov_private_find(id, id_length) != NULL;
}

/* Load ids with their ancestors, and counters with their windows of a time. */
void
gov_private_load(const GovOwnerKey *key, const GovLoaded *ids, int nids, const GovMet *met,
				 TimestampTz now)
{
	MemoryContext caller = MemoryContextSwitchTo(view.context);
	GovLoadedList list;

	Assert(view.context != NULL);
	gov_load_private(key, ids, nids, met, view.kind == GOV_PRIVATE_OWN_CHANGES, now, knows_id, &list);
	make_room(list.count);
	for (int i = 0; i < list.count; i++)
	{
		GovLoaded **place = slot_of(list.items[i].id, list.items[i].id_length);

		/* what is there already may have been charged: it stays */
		if (*place == NULL)
		{
			*place = &list.items[i];
			view.count++;
		}
	}
	MemoryContextSwitchTo(caller);
}
