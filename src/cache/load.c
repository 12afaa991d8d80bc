/*
 * load.c
 *		Loads entities, budgets and their counts from the tables.
 *
 * PURPOSE
 *		A cold cache, a restart, a crash, an eviction and a promotion are all
 *		the same case: the nodes that a call needs are not there, and are made
 *		from the catalog, the rolled-up usage, the ledger's tail behind the
 *		watermark and the open holds.
 *
 * PROTOCOL
 *		1. Lock the tables (AccessShareLock), so that nobody waits for a claim
 *		   of ours while we wait for a table of theirs.
 *		2. See to it that the owner's tail is known, if it can be (tail_learn.c).
 *		3. Claim the nodes of the ids.  From here on nobody charges their
 *		   counters.
 *		4. Take a snapshot of what others have committed.  Whoever charged a
 *		   counter that is gone from memory has ended before it: pins prevent
 *		   anything else.
 *		5. Read entities and budgets, and go on with 3 for those of their
 *		   ancestors that are not in memory, until there are none.
 *		6. Read the counts of all of them under the last snapshot, which was
 *		   taken after every claim.
 *		7. Install.
 *
 *		So each row is read once, and ancestors that are in memory cost nothing.
 *		To look the ancestors up first, and then claim all at once, would read
 *		every entity twice, for what it says before the claim may be over.  That
 *		the budgets of a chain are read under several snapshots does no harm: a
 *		node is as old as its claim, and by what has changed since then it is
 *		told to be stale.  A claim does not wait, so more can be made with some
 *		in hand; what somebody else is loading is left to him, with its
 *		ancestors, and the caller waits for it without claims.
 *
 *		A private load (load_private.c) has no claims and one snapshot.  A
 *		transaction that has truncated one of the tables skips 2, and installs for
 *		itself alone (own_nodes.c).
 *
 * LOCKING
 *		The locks of tables and indexes are kept to the end of the transaction,
 *		so they are taken once in it; again if a subtransaction has aborted,
 *		which may have had them, or if the catalog has moved.
 *
 * FAILURE
 *		The claims of a load that raises are given up by gov_load_abandon(),
 *		which transaction.c calls when a (sub)transaction aborts.
 */
#include "postgres.h"

#include "access/table.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/relcache.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/worker_slots.h"
#include "cache/own_nodes.h"
#include "cache/tail.h"
#include "cache/tail_learn.h"

#define GOV_CLAIMS_KEPT		1024	/* room for them, from one load to the
									 * next */
#define GOV_ITEMS_AT_FIRST	16

/* Claims outlive their load only if it raises. */
static GovClaim *claims = NULL;
static int	nclaims = 0;
static int	claims_capacity = 0;

/* The transaction that has locked the tables, and of which catalog; 0: none has. */
static LocalTransactionId locked_in = InvalidLocalTransactionId;
static uint64 locked_generation;

static void
give_claims_up(void)
{
	while (nclaims > 0)
		gov_node_claim_abandon(&claims[--nclaims]);
	if (claims_capacity <= GOV_CLAIMS_KEPT)
		return;
	pfree(claims);
	claims = NULL;
	claims_capacity = 0;
}

/* A (sub)transaction has aborted: give up the claims of its load. */
void
gov_load_abandon(void)
{
	locked_in = InvalidLocalTransactionId;
	give_claims_up();
}

#ifdef USE_ASSERT_CHECKING
/* Has this backend claims on nodes?  Then it must wait for nobody. */
bool
gov_load_has_claims(void)
{
	return nclaims > 0;
}
#endif

/* Make room for one more item. */
void
gov_load_make_room(GovLoad *load)
{
	int			wanted = load->capacity == 0 ? GOV_ITEMS_AT_FIRST : 2 * load->capacity;

	if (load->count < load->capacity)
		return;
	if (load->items == NULL)
		load->items = MemoryContextAllocHuge(load->context, sizeof(GovLoaded) * wanted);
	else
		load->items = repalloc_huge(load->items, sizeof(GovLoaded) * wanted);
	load->capacity = wanted;
}

/* Make room for one more claim. */
static void
reserve_claim(void)
{
	int			wanted = claims_capacity == 0 ? GOV_ITEMS_AT_FIRST : 2 * claims_capacity;

	if (nclaims < claims_capacity)
		return;
	GOV_FAULT(GOV_FAULT_MEMORY);
	if (claims == NULL)
		claims = MemoryContextAllocHuge(TopMemoryContext, sizeof(GovClaim) * wanted);
	else
		claims = repalloc_huge(claims, sizeof(GovClaim) * wanted);
	claims_capacity = wanted;
}

/* Add an item, for which there is room, and whose id outlives the load. */
void
gov_load_add(GovLoad *load, const char *id, uint32 id_length)
{
	GovLoaded  *item = &load->items[load->count++];

	Assert(load->count <= load->capacity);
	memset(item, 0, sizeof(*item));
	item->id = id;
	item->id_length = id_length;
}

/* Copy an id, so that it outlives the load. */
const char *
gov_load_copy(const GovLoad *load, const char *id, uint32 id_length)
{
	char	   *copy = MemoryContextAlloc(load->context, id_length + 1);

	memcpy(copy, id, id_length);
	copy[id_length] = '\0';
	return copy;
}

/*
 * Claim the first of an id and its ancestors that is not in memory.  Claim
 * nothing if all are, or if that one is claimed, by somebody else or by this
 * load.
 */
static GovNodeStatus
want_shared(GovLoad *load, const char *id, uint32 id_length)
{
	GovPlaceInChain place;
	GovNodeStatus status;
	const char *copy;

	place.id = id;
	place.id_length = id_length;
	if (gov_node_climb(load->key, &place, load->since) != GOV_NODE_MISSING)
		return GOV_NODE_READY;
	gov_load_make_room(load);
	reserve_claim();
	copy = gov_load_copy(load, place.id, place.id_length);
	status = gov_node_claim(load->key, copy, place.id_length, load->since, &claims[nclaims]);
	if (status == GOV_NODE_FULL)
		return GOV_NODE_FULL;
	if (status == GOV_NODE_MISSING)
	{
		if (unlikely(load->is_own))
			claims[nclaims].generation = gov_own_nodes_generation();
		nclaims++;
		gov_load_add(load, copy, place.id_length);
	}
	return GOV_NODE_READY;
}

/*
 * Claim what is not in memory of the parents of some items and their
 * ancestors.
 */
static GovNodeStatus
want_parents(GovLoad *load, int first)
{
	GovNodeStatus status = GOV_NODE_READY;
	int			end = load->count;

	for (int i = first; i < end && status != GOV_NODE_FULL; i++)
	{
		const GovEntity *entity = load->items[i].entity;

		if (entity != NULL && entity->parent_id != 0)
			status = want_shared(load, gov_entity_string(entity, entity->parent_id),
								 gov_entity_length(entity, entity->parent_id));
	}
	return status;
}

/*
 * Take the snapshot for items that have just been claimed.  A policy that was
 * read under the one before it serves if no change was told in between: one that
 * was not visible then is told later than the claims, and makes them stale.
 */
static void
take_snapshot(GovLoad *load, int first)
{
	const GovClaim *before = &claims[Max(first - 1, 0)];
	const GovClaim *last = &claims[load->count - 1];

	Assert(first < load->count && nclaims == load->count);
	if (first > 0)
		gov_spi_pop_snapshot();
	if (last->changes != before->changes || last->generation != before->generation)
		load->policy.is_read = load->defaults.is_read = false;
	load->rolled_up = gov_tail_rolled_up(gov_catalog()->extension);
	gov_spi_push_snapshot(GOV_SNAPSHOT_COMMITTED);
}

/* Claim what is not in memory of some ids and their ancestors, and read it. */
static GovNodeStatus
claim_and_read(GovLoad *load, const GovLoaded *ids, int nids)
{
	GovNodeStatus status = GOV_NODE_READY;
	int			first = 0;

	Assert(nclaims == 0);
	for (int i = 0; i < nids && status != GOV_NODE_FULL; i++)
		status = want_shared(load, ids[i].id, ids[i].id_length);
	GOV_FAULT(GOV_FAULT_LOAD);
	while (status != GOV_NODE_FULL && first < load->count)
	{
		int			end = load->count;

		take_snapshot(load, first);
		gov_load_entities(load, first);
		status = want_parents(load, first);
		first = end;
	}
	load->claims = claims;
	if (status != GOV_NODE_FULL && load->count > 0)
		gov_load_counters(load);
	if (first > 0)
		gov_spi_pop_snapshot();
	return status;
}

/* Install what was read. */
static GovNodeStatus
install_items(GovLoad *load)
{
	Assert(nclaims == load->count);
	for (int i = 0; i < load->count; i++)
	{
		GOV_FAULT(GOV_FAULT_LOAD);
		if (!gov_node_claim_install(&claims[i], load->items[i].entity, load->items[i].counters))
			return GOV_NODE_FULL;
	}
	nclaims = 0;
	return GOV_NODE_READY;
}

static void
lock_table(Oid relid)
{
	Relation	rel = try_table_open(relid, AccessShareLock);

	if (rel == NULL)
		gov_error_dropped();
	table_close(rel, NoLock);
}

/*
 * Lock an index, unless the schema's owner has dropped it; then the table is
 * read through.
 */
static void
lock_index(Oid index)
{
	if (OidIsValid(index))
		LockRelationOid(index, AccessShareLock);
}

/*
 * Lock a table with all its indexes, because a statement may use any of them.
 */
static void
lock_table_and_indexes(Oid relid)
{
	Relation	rel = try_table_open(relid, AccessShareLock);
	ListCell   *cell;

	if (rel == NULL)
		gov_error_dropped();
	foreach(cell, RelationGetIndexList(rel))
		LockRelationOid(lfirst_oid(cell), AccessShareLock);
	table_close(rel, NoLock);
}

/* The first default that there ever is may come between this and the load, which then locks them itself. */
static void
lock_defaults(void)
{
	lock_index(gov_catalog()->default_assignments_key);
	lock_table(gov_catalog()->default_counts);
	lock_index(gov_catalog()->default_counts_entity);
	lock_index(gov_catalog()->default_counts_counter);
}

static void
lock_what_is_read(void)
{
	const GovCatalog *catalog = gov_catalog();

	lock_table(catalog->entities);
	lock_index(catalog->entities_pkey);
	lock_table(catalog->assignments);
	lock_index(catalog->assignments_key);
	lock_index(catalog->assignments_counter);
	if (OidIsValid(catalog->boosts))
		lock_table(catalog->boosts);
	lock_index(catalog->boosts_budget);
	if (gov_load_has_defaults())
		lock_defaults();
	lock_table(catalog->alert_policies);
	lock_index(catalog->alert_policies_key);
	lock_table(catalog->events);
	lock_index(catalog->events_owner);
	lock_table(catalog->usage);
	lock_index(catalog->usage_pkey);
	lock_index(catalog->usage_merged);
	lock_table_and_indexes(catalog->reservations);
	if (OidIsValid(catalog->limit_history))
		lock_table(catalog->limit_history);
	lock_index(catalog->limit_history_pkey);
	lock_table(catalog->rollup_state);
	lock_index(catalog->rollup_state_pkey);
}

/*
 * Whoever has a claim must not wait: so wait for the tables first, and for
 * the indexes that are read, which REINDEX locks harder than it does the table.
 * While a lock is waited for the catalog may move, and there are others.
 */
static void
lock_tables(void)
{
	while (locked_in != gov_local_transaction() ||
		   locked_generation != gov_catalog()->generation)
	{
		locked_in = InvalidLocalTransactionId;
		locked_generation = gov_catalog()->generation;
		lock_what_is_read();
		locked_in = gov_local_transaction();
	}
}

/* Begin a load, in the current memory context. */
void
gov_load_begin(GovLoad *load, const GovOwnerKey *key)
{
	Assert(!gov_load_has_claims() && !gov_stripe_is_held());
	lock_tables();
	memset(load, 0, sizeof(*load));
	load->key = key;
	load->context = CurrentMemoryContext;
	load->now = gov_clock();
	load->owner = PointerGetDatum(cstring_to_text_with_len(key->owner,
														   key->owner_length));
}

/* What the node of an item says that is being loaded; see gov_node_claim_copy(). */
const GovEntity *
gov_load_former(const GovLoad *load, const GovLoaded *item, const bool **has_pins)
{
	int			number = item - load->items;

	if (load->since == NULL)
		return NULL;			/* a private load, or none */
	Assert(number >= 0 && number < nclaims);
	return gov_node_claim_copy(&claims[number], has_pins);
}

/* Claim, read and install what a load is about. */
static GovNodeStatus
load_items(GovLoad *load, const GovLoaded *ids, int nids, const GovFreshness *since)
{
	GovNodeStatus status;

	load->since = since;
	status = claim_and_read(load, ids, nids);
	GOV_FAULT(GOV_FAULT_LOAD);
	if (status != GOV_NODE_FULL)
		status = install_items(load);
	give_claims_up();
	if (load->holds_met)
		gov_worker_wanted();	/* to expire them, perhaps after a restart */
	return status;
}

/* Load more ids of an owner within a load that has no claims yet. */
GovNodeStatus
gov_load_more(const GovLoad *from, const GovLoaded *ids, int nids,
			  const GovFreshness *since)
{
	GovLoad		load = *from;
	GovNodeStatus status;
	MemoryContext caller;

	load.context = AllocSetContextCreate(from->context, "governance load",
										 ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(load.context);
	status = load_items(&load, ids, nids, since);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(load.context);
	return status;
}

/*
 * Load ids and their ancestors into shared memory.  GOV_NODE_FULL if they do
 * not fit; otherwise somebody has loaded or is loading each of them.
 */
GovNodeStatus
gov_load_shared(const GovOwnerKey *key, const GovLoaded *ids, int nids,
				const GovMet *met, const GovFreshness *since)
{
	GovLoad		load;
	GovNodeStatus status;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "governance load",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);

	gov_load_begin(&load, key);
	load.counts_overdue = true;
	load.met = met;
	load.is_own = gov_own_nodes_begin();
	if (!load.is_own)
		gov_tail_learn(&load);
	status = load_items(&load, ids, nids, since);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return status;
}
