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
 *		2. See to it that the owner's tail is known, if it can be (learn.c).
 *		3. Look up which ancestors there are: a hint, so that a whole chain is
 *		   loaded at once.
 *		4. Claim the nodes.  From here on nobody charges their counters.
 *		5. Take a snapshot of what others have committed.  Whoever charged a
 *		   counter that is gone from memory has ended before it: pins prevent
 *		   anything else.
 *		6. Read, build, install.
 *		A private load has no claims and sees the transaction's own rows.
 *
 * FAILURE
 *		The claims of a load that raises are given up by gov_load_abandon(),
 *		which transaction.c calls when a (sub)transaction aborts.
 */
#include "postgres.h"

#include "access/table.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "catalog.h"
#include "clock.h"
#include "errors.h"
#include "fault.h"
#include "launch.h"
#include "learn.h"
#include "tail.h"

#define GOV_CLAIMS_KEPT		1024	/* room for them, from one load to the next */

/* Claims outlive their load only if it raises. */
static GovClaim *claims = NULL;
static int	nclaims = 0;
static int	claims_capacity = 0;

void
gov_load_abandon(void)
{
	while (nclaims > 0)
		gov_claim_abandon(&claims[--nclaims]);
	if (claims_capacity <= GOV_CLAIMS_KEPT)
		return;
	pfree(claims);
	claims = NULL;
	claims_capacity = 0;
}

/* A private load sees our own rows too, and notes which those are. */
static void
read_tables(GovLoad *load)
{
	bool		is_private = load->claims == NULL;

	load->rolled_up = gov_tail_rolled_up(gov_catalog()->extension);
	gov_spi_push_snapshot(is_private ? GOV_SNAPSHOT_LATEST : GOV_SNAPSHOT_COMMITTED);
	gov_read_entities(load);
	if (load->has_own)
	{
		gov_spi_set_snapshot(GOV_SNAPSHOT_COMMITTED);
		gov_read_own_budgets(load);
		gov_spi_set_snapshot(GOV_SNAPSHOT_LATEST);
	}
	gov_read_counters(load);
	gov_spi_pop_snapshot();
}

/* Claim what is to be loaded; drops from the list what is not ours to load. */
static GovNodeStatus
claim_items(GovLoad *load, const GovFreshness *since)
{
	GovNodeStatus status = GOV_NODE_READY;
	int			kept = 0;

	if (claims_capacity < load->count)
	{
		int			wanted = pg_nextpower2_32(Max(load->count, 64));

		GOV_FAULT(GOV_FAULT_MEMORY);
		claims = claims ? repalloc(claims, sizeof(GovClaim) * wanted) :
			MemoryContextAlloc(TopMemoryContext, sizeof(GovClaim) * wanted);
		claims_capacity = wanted;
	}
	Assert(nclaims == 0);
	for (int i = 0; i < load->count && status != GOV_NODE_FULL; i++)
	{
		status = gov_node_claim(load->key, load->items[i].id,
								load->items[i].id_length, since, &claims[nclaims]);
		if (status != GOV_NODE_MISSING)
			continue;
		nclaims++;
		load->items[kept++] = load->items[i];
	}
	load->count = kept;
	load->claims = claims;
	return status == GOV_NODE_FULL ? GOV_NODE_FULL : GOV_NODE_READY;
}

/* Install what was read. */
static GovNodeStatus
install_items(GovLoad *load)
{
	for (int i = 0; i < load->count; i++)
	{
		GOV_FAULT(GOV_FAULT_LOAD);
		if (!gov_claim_install(&claims[i], load->items[i].entity, load->items[i].counters))
			return GOV_NODE_FULL;
	}
	nclaims = 0;
	return GOV_NODE_READY;
}

static void
lock_table_and_indexes(Oid relid)
{
	Relation	rel = try_table_open(relid, AccessShareLock);
	ListCell   *cell;

	if (rel == NULL)
		gov_raise_dropped();
	foreach(cell, RelationGetIndexList(rel))
		LockRelationOid(lfirst_oid(cell), AccessShareLock);
	table_close(rel, NoLock);
}

/*
 * Whoever holds a claim must not wait: so wait for the tables first, and for
 * their indexes, which REINDEX locks harder than it does the table.
 */
static void
lock_tables(void)
{
	const GovCatalog *catalog = gov_catalog();

	lock_table_and_indexes(catalog->entities);
	lock_table_and_indexes(catalog->assignments);
	lock_table_and_indexes(catalog->alert_policies);
	lock_table_and_indexes(catalog->events);
	lock_table_and_indexes(catalog->usage);
	lock_table_and_indexes(catalog->reservations);
	lock_table_and_indexes(catalog->rollup_state);
}

static void
begin(GovLoad *load, GovSpi *spi, const GovOwnerKey *key)
{
	lock_tables();
	memset(load, 0, sizeof(*load));
	load->key = key;
	load->context = CurrentMemoryContext;
	load->now = gov_clock();
	gov_spi_begin(spi);
	load->owner = PointerGetDatum(cstring_to_text_with_len(key->owner,
															  key->owner_length));
}

/* Claim, read and install what a load is about. */
static GovNodeStatus
load_items(GovLoad *load, const GovLoaded *ids, int nids, const GovFreshness *since)
{
	GovNodeStatus status;

	gov_spi_push_snapshot(GOV_SNAPSHOT_COMMITTED);
	gov_read_ancestors(load, ids, nids);
	gov_spi_pop_snapshot();

	status = claim_items(load, since);
	GOV_FAULT(GOV_FAULT_LOAD);
	if (status == GOV_NODE_READY && load->count > 0)
	{
		read_tables(load);
		status = install_items(load);
	}
	gov_load_abandon();
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
				const GovFreshness *since)
{
	GovLoad		load;
	GovSpi		spi;
	GovNodeStatus status;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "governance load",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);

	begin(&load, &spi, key);
	load.counts_overdue = true;
	gov_learn_tail(&load);
	status = load_items(&load, ids, nids, since);
	gov_spi_end(&spi);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return status;
}

/*
 * Read ids and their ancestors for this backend alone, into its own memory: as a
 * transaction has that has changed some of them, beside shared memory, or all
 * that the tables say.
 */
void
gov_load_private(const GovOwnerKey *key, const GovLoaded *ids, int nids,
				 bool has_own, TimestampTz now, GovLoadedList *result)
{
	GovLoad		load;
	GovSpi		spi;

	begin(&load, &spi, key);
	load.now = now;
	load.counts_overdue = has_own;
	load.has_own = has_own;
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	gov_read_ancestors(&load, ids, nids);
	gov_spi_pop_snapshot();
	read_tables(&load);
	gov_spi_end(&spi);

	result->count = load.count;
	result->items = load.items;
}
