/*
 * own_nodes.c
 *		Nodes that a transaction has loaded for itself alone.
 *
 * PURPOSE
 *		TRUNCATE gives a table a new file.  To its own transaction the table is
 *		empty, under whatever snapshot it reads; to all others, who wait for its
 *		lock, it is not until that commits.  So what such a transaction loads is
 *		true for nobody else, and no longer for itself when it rolls back.
 *
 *		A table that is rewritten by ALTER TABLE has its rows as if the
 *		transaction had inserted them, so a load would miss them all.  Nothing is
 *		loaded then.
 *
 * INVARIANTS
 *		A node that was loaded from such tables is used by the transaction that
 *		has loaded it, until that ends or a subtransaction of it aborts.  To
 *		everybody else it is as if it had not been loaded, and its counters are
 *		loaded with it again.  Such a transaction learns no tail.
 *
 * LAYOUT
 *		Own nodes have a negative generation, which is less than every one that
 *		a call can want, and which no two transactions share.
 *
 * RACES ACCEPTED
 *		A counter that another transaction has something in flight on keeps what
 *		it has, and so do those of the same node.
 *
 * FAILURE
 *		55000 for a table that was rewritten.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/rel.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/errors.h"
#include "cache/changes.h"
#include "cache/own_nodes.h"

static uint64 own_generation = 0;	/* of nodes that are ours; 0: none is */
static uint64 told;				/* the database's, when that was drawn */

/*
 * Has this transaction given a table a new file?  One that it has made itself
 * nobody else has rows in.
 */
static bool
has_new_file(Oid relid)
{
	Relation	rel;
	bool		result;

	if (!OidIsValid(relid))
		return false;
	rel = try_table_open(relid, AccessShareLock);
	if (rel == NULL)
		gov_error_dropped();
	result = rel->rd_createSubid == InvalidSubTransactionId &&
		rel->rd_firstRelfilelocatorSubid != InvalidSubTransactionId;
	if (result && !gov_changes_has_truncated())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot load budgets in a transaction that has rewritten table \"%s\"",
						RelationGetRelationName(rel)),
				 errhint("Commit it first.")));
	table_close(rel, NoLock);
	return result;
}

/* Has this transaction given a table that loads read a new file? */
static bool
has_new_files(void)
{
	const GovCatalog *catalog = gov_catalog();

	return has_new_file(catalog->entities) || has_new_file(catalog->assignments) ||
		has_new_file(catalog->boosts) || has_new_file(catalog->alert_policies) ||
		has_new_file(catalog->default_assignments) || has_new_file(catalog->default_counts) ||
		has_new_file(catalog->events) || has_new_file(catalog->usage) ||
		has_new_file(catalog->reservations) || has_new_file(catalog->rollup_state);
}

/*
 * Does this transaction load nodes for itself alone?  Called with the tables
 * locked.  They have no new file before the transaction has an id.
 */
bool
gov_own_nodes_begin(void)
{
	uint64		present = pg_atomic_read_u64(gov_shmem_generation(MyDatabaseId));

	if (!TransactionIdIsValid(GetTopTransactionIdIfAny()) || !has_new_files())
		return false;
	if (own_generation == 0 || told != present)
		own_generation = -(pg_atomic_fetch_add_u64(&gov_shared->own_generations, 1) + 1);
	told = present;
	return true;
}

/* The generation of this transaction's own nodes; 0 if it has none. */
uint64
gov_own_nodes_generation(void)
{
	return own_generation;
}

/*
 * The transaction has ended, or a subtransaction of it has aborted: nobody
 * uses its nodes any more.
 */
void
gov_own_nodes_end(void)
{
	own_generation = 0;
}
