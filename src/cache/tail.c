/*
 * tail.c
 *		Which counters can have ledger rows that are not rolled up.
 *
 * PURPOSE
 *		A load adds to the rolled-up usage what the ledger's tail has.  But the
 *		tail is an owner's, and may be long; a load need not read it if the
 *		counters that it loads cannot have rows there.  While every counter that
 *		has some is in memory, one that is not has none.
 *
 *		A counter that is charged is in memory and pinned, and afterwards notes
 *		how far the ledger was (last_event).  Until the rollup has passed that
 *		it has rows in the tail.  If it is taken out of memory before, it is
 *		lost, which the slot of its owner counts.
 *
 * WHEN A TAIL IS KNOWN
 *		Either the rollup has passed all that was in the ledger when this server
 *		was first asked (begin), and all that was lost since.  Or somebody has
 *		read the owner's tail and loaded all that it names (tail_learn.c), and
 *		nothing has been lost since: the owner has a node with the empty id,
 *		which no entity has.  It has the number of losses when that was begun in
 *		loaded_changes, and in generation the time when the tail may be learned
 *		again, so that where it is lost again and again loads read it instead.
 *
 *		A load asks with its claims in hand and its snapshot taken, but with
 *		what was rolled up before the snapshot: whoever has lost a counter that
 *		the load reads did so before the claim.
 *
 * OWN BUDGETS
 *		What a transaction charges to a budget that only it has is in nobody's
 *		memory when its rows become visible.  So it announces before its commit
 *		that the tail is not known (owners' announced), and loses the counter
 *		after it.
 *
 * LOCKING
 *		The stripe's lock for what is the owners'.  Each database's entry of
 *		what is rolled up has a spinlock; one may be taken under the other.
 *
 * FAILURE
 *		Where nothing is known a load reads the tail itself.  Two databases
 *		that would share an entry: the second never knows what is rolled up, and
 *		must learn each tail.  While a transaction writes the ledger without the
 *		engine (a restore, logical apply, an INSERT by hand: triggers tell)
 *		nothing is known in its database, and nothing of what was known before
 *		it afterwards; one that is prepared leaves it so.  Whoever moves the
 *		watermark calls gov_refresh().
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/spin.h"

#include "cache/tail.h"

#define GOV_NOTHING_ROLLED_UP	(-1)

/* What this transaction has rolled up to, and tells when it has committed. */
static int64 noted = GOV_NOTHING_ROLLED_UP;
static int64 recorded = 0;		/* the last event of this transaction */
static bool is_writer = false;	/* it writes the ledger without the engine */

static GovSharedTail *
tail_of(Oid database)
{
	return &gov_shared->tails[murmurhash32(database) % GOV_GENERATIONS];
}

static bool
is_of(const GovSharedTail *tail, Oid database, Oid extension)
{
	return tail->database == database && tail->extension == extension;
}

/* Is it known how far the ledger of this database was? */
bool
gov_tail_has_begun(Oid extension)
{
	GovSharedTail *tail = tail_of(MyDatabaseId);
	bool		result;

	SpinLockAcquire(&tail->lock);
	result = is_of(tail, MyDatabaseId, extension) ||
		(OidIsValid(tail->database) && tail->database != MyDatabaseId);
	SpinLockRelease(&tail->lock);
	return result;
}

/*
 * Note how far the ledger of this database is: the last id that was drawn, and
 * the watermark that others see.  Called before any counter with rows behind
 * the watermark is in memory.
 */
void
gov_tail_begin(Oid extension, int64 watermark, int64 last_id)
{
	GovSharedTail *tail = tail_of(MyDatabaseId);

	SpinLockAcquire(&tail->lock);
	if (!OidIsValid(tail->database) ||
		(tail->database == MyDatabaseId && tail->extension != extension))
	{
		tail->database = MyDatabaseId;
		tail->extension = extension;
		tail->first_id = last_id;
		tail->rolled_up = watermark;
	}
	SpinLockRelease(&tail->lock);
}

/*
 * The id up to which everything is rolled up, as far as is known, and the last
 * one that was drawn before anything was known.
 */
static int64
rolled_up(Oid database, Oid extension, int64 *first_id)
{
	GovSharedTail *tail = tail_of(database);
	int64		result = GOV_NOTHING_ROLLED_UP;

	SpinLockAcquire(&tail->lock);
	if (is_of(tail, database, extension))
	{
		result = tail->rolled_up;
		*first_id = tail->first_id;
	}
	SpinLockRelease(&tail->lock);
	return result;
}

/*
 * The id up to which everything is rolled up; GOV_NOTHING_ROLLED_UP if that
 * has not passed what was there at the beginning.
 */
int64
gov_tail_rolled_up(Oid extension)
{
	int64		first_id = 0;
	int64		result = rolled_up(MyDatabaseId, extension, &first_id);

	return result < first_id ? GOV_NOTHING_ROLLED_UP : result;
}

/*
 * This transaction has moved the watermark, or has read it.  Told when it
 * commits.
 */
void
gov_tail_note_rolled_up(int64 watermark)
{
	noted = watermark;
}

/* This transaction has recorded an event. */
void
gov_tail_note_event(int64 id)
{
	Assert(id > 0);
	recorded = Max(recorded, id);
}

/* This transaction writes the ledger without the engine. */
void
gov_tail_note_writer(void)
{
	GovSharedTail *tail;

	if (is_writer || gov_shared == NULL)
		return;
	tail = tail_of(MyDatabaseId);
	SpinLockAcquire(&tail->lock);
	tail->writers++;
	SpinLockRelease(&tail->lock);
	is_writer = true;
}

/* This transaction does not write the ledger without the engine any more. */
static void
forget_writer(void)
{
	GovSharedTail *tail = tail_of(MyDatabaseId);

	SpinLockAcquire(&tail->lock);
	Assert(tail->writers > 0);
	tail->writers--;
	SpinLockRelease(&tail->lock);
	is_writer = false;
}

/* Is anybody writing the ledger of this database, or of one that shares its entry? */
static bool
has_writers(Oid database)
{
	GovSharedTail *tail = tail_of(database);
	bool		result;

	SpinLockAcquire(&tail->lock);
	result = tail->writers > 0;
	SpinLockRelease(&tail->lock);
	return result;
}

/* The last event that this transaction has recorded; 0 if it has not. */
int64
gov_tail_recorded(void)
{
	return recorded;
}

/* The transaction has committed: tell how far it has rolled up. */
void
gov_tail_commit(void)
{
	GovSharedTail *tail;

	recorded = 0;
	if (is_writer)
	{
		gov_tail_lose_all();
		forget_writer();
	}
	if (noted == GOV_NOTHING_ROLLED_UP || gov_shared == NULL)
		return;
	tail = tail_of(MyDatabaseId);
	SpinLockAcquire(&tail->lock);
	if (tail->database == MyDatabaseId)
		tail->rolled_up = Max(tail->rolled_up, noted);
	SpinLockRelease(&tail->lock);
	noted = GOV_NOTHING_ROLLED_UP;
}

/*
 * The transaction has aborted, or a subtransaction of it, which may have been
 * the one that moved the watermark.
 */
void
gov_tail_abort(int level)
{
	noted = GOV_NOTHING_ROLLED_UP;
	if (level > 0)
		return;
	recorded = 0;
	if (is_writer)
		forget_writer();
}

/*
 * The transaction is prepared.  This session will not learn of its commit, so
 * it counts as a writer until the server restarts.
 */
void
gov_tail_prepare(void)
{
	is_writer = false;
}

/* How often has a counter of the owner been lost? */
uint64
gov_tail_losses(const GovOwnerKey *key)
{
	GovSharedStripe *stripe = gov_stripe(key->stripe);
	uint64		result;

	gov_stripe_lock(stripe, LW_SHARED);
	result = gov_node_owners(key)->losses;
	gov_stripe_unlock(stripe);
	return result;
}

/*
 * Has no counter of the owner been lost since there were so many losses, and
 * is nobody about to commit who will lose one?
 */
bool
gov_tail_is_unchanged(const GovOwnerKey *key, uint64 losses)
{
	GovSharedStripe *stripe = gov_stripe(key->stripe);
	bool		result;

	gov_stripe_lock(stripe, LW_SHARED);
	result = gov_node_owners(key)->losses == losses && gov_node_owners(key)->announced == 0;
	gov_stripe_unlock(stripe);
	return result;
}

/* Under the lock: has the owner's tail been learned, and nothing lost since? */
static bool
is_learned(const GovOwnerKey *key)
{
	GovSharedNode *node = gov_node_find(key, "", 0);

	if (node == NULL || !node->is_loaded ||
		node->loaded_changes != gov_node_owners(key)->losses)
		return false;
	node->was_used = true;		/* a hint: who writes it last does not matter */
	return true;
}

/* Is every counter of the owner that has rows after rolled_up in memory? */
bool
gov_tail_is_known(const GovOwnerKey *key, int64 rolled_up)
{
	GovSharedStripe *stripe = gov_stripe(key->stripe);
	const GovSharedOwners *owners = gov_node_owners(key);
	bool		result;

	gov_stripe_lock(stripe, LW_SHARED);
	result = owners->announced == 0 && !has_writers(key->database) &&
		((rolled_up != GOV_NOTHING_ROLLED_UP && rolled_up >= owners->lost_event) ||
		 is_learned(key));
	gov_stripe_unlock(stripe);
	return result;
}

/*
 * Claim the owner's own node, to learn the tail.  GOV_NODE_MISSING says that
 * the claim is ours.
 */
GovNodeStatus
gov_tail_claim(const GovOwnerKey *key, GovClaim *claim)
{
	/*
	 * a node of no entity is as old as its losses, and never stale for
	 * another reason
	 */
	GovFreshness since = {.changes = gov_tail_losses(key)};
	GovNodeStatus status = gov_node_claim(key, "", 0, &since, claim);

	if (status == GOV_NODE_MISSING)
		claim->changes = gov_tail_losses(key);
	return status;
}

/* May the tail be learned now?  Not shortly after that was in vain. */
bool
gov_tail_may_learn(const GovOwnerKey *key, TimestampTz now)
{
	GovSharedStripe *stripe = gov_stripe(key->stripe);
	const GovSharedNode *node;
	bool		result;

	gov_stripe_lock(stripe, LW_SHARED);
	node = gov_node_find(key, "", 0);
	result = node == NULL || now >= (TimestampTz) node->generation;
	gov_stripe_unlock(stripe);
	return result;
}

/*
 * Learning the tail was in vain: nobody tries again until a time.  Ends no
 * claim.
 */
void
gov_tail_pause(const GovClaim *claim, TimestampTz until)
{
	GovSharedNode *node = gov_address(claim->node);

	gov_stripe_lock(claim->stripe, LW_EXCLUSIVE);
	Assert(node->is_loading);
	node->generation = (uint64) until;
	gov_stripe_unlock(claim->stripe);
}

/*
 * All that the tail names was loaded.  If nothing was lost since the claim,
 * the tail is known and the claim ends; otherwise false.  Should something be
 * lost soon, nobody learns the tail again before a time.
 */
bool
gov_tail_note_learned(const GovOwnerKey *key, GovClaim *claim, TimestampTz until)
{
	GovSharedStripe *stripe = claim->stripe;
	GovSharedNode *node = gov_address(claim->node);
	const GovSharedOwners *owners = gov_node_owners(key);
	bool		result;

	gov_stripe_lock(stripe, LW_EXCLUSIVE);
	Assert(node->is_loading && gov_node_is_of_owner(node, key));
	Assert(claim->changes <= owners->losses);
	result = owners->losses == claim->changes && owners->announced == 0;
	if (result)
	{
		stripe->nabsent += node->is_loaded ? 0 : 1;
		node->loaded_changes = claim->changes;
		node->generation = (uint64) until;
		node->is_stale = true;	/* only losses count */
		node->is_loaded = true;
		node->is_loading = false;
		node->was_used = true;
		claim->node = 0;
	}
	gov_stripe_unlock(stripe);
	if (result)
		ConditionVariableBroadcast(&stripe->loaded);
	return result;
}

/* The last event that a counter which stands in a block may have been charged with. */
static int64
last_event_of_block(const GovSharedNode *node)
{
	const GovSharedCounter *counters = gov_node_counters(node);
	int64		result = 0;

	for (uint32 i = 0; i < gov_node_content(node)->nbudgets; i++)
	{
		if (counters[i].place == GOV_PLACE_HERE)
			result = Max(result, counters[i].last_event);
	}
	return result;
}

/*
 * The last event that a counter of the node may have been charged with,
 * including those in its attic, and those of an entity that is gone.
 */
static int64
last_event(const GovSharedNode *node)
{
	int64		result = last_event_of_block(node);

	while (node->attic != 0)
	{
		node = gov_address(node->attic);
		result = Max(result, last_event_of_block(node));
	}
	return result;
}

static bool
has_rows(int64 event, Oid database, Oid extension)
{
	int64		first_id;

	return event > 0 && event > rolled_up(database, extension, &first_id);
}

/* Can the node have rows that are not rolled up?  The stripe is locked. */
bool
gov_tail_has_rows(const GovSharedNode *node)
{
	Assert(LWLockHeldByMe(&gov_stripe(node->stripe)->lock));
	return has_rows(last_event(node), node->database, node->extension);
}

/*
 * Note that a counter leaves memory that may have rows up to an event.  The
 * stripe is locked.
 */
void
gov_tail_lose(GovSharedStripe *stripe, int slot, int64 event)
{
	GovSharedOwners *owners = &stripe->owners[slot];

	Assert(LWLockHeldByMeInMode(&stripe->lock, LW_EXCLUSIVE));
	owners->losses++;
	owners->lost_event = Max(owners->lost_event, event);
}

/* Note that a node leaves memory, with its attic.  The stripe is locked. */
void
gov_tail_lose_node(GovSharedStripe *stripe, const GovSharedNode *node)
{
	if (gov_tail_has_rows(node))
		gov_tail_lose(stripe, node->slot, last_event(node));
}

/*
 * Forget what is known of the tails of this database, as gov_refresh() asks.
 */
void
gov_tail_lose_all(void)
{
	GovSharedTail *tail = tail_of(MyDatabaseId);

	SpinLockAcquire(&tail->lock);
	if (tail->database == MyDatabaseId)
		tail->database = tail->extension = InvalidOid;
	SpinLockRelease(&tail->lock);
	for (int i = 0; i < GOV_STRIPES; i++)
	{
		gov_stripe_lock(gov_stripe(i), LW_EXCLUSIVE);
		for (int slot = 0; slot < GOV_OWNER_SLOTS; slot++)
			gov_tail_lose(gov_stripe(i), slot, 0);
		gov_stripe_unlock(gov_stripe(i));
	}
}

/*
 * Announce a loss: this transaction is about to commit rows of a counter that
 * is in no shared memory.
 */
void
gov_tail_announce(GovSharedStripe *stripe, int slot)
{
	gov_stripe_lock(stripe, LW_EXCLUSIVE);
	stripe->owners[slot].announced++;
	gov_stripe_unlock(stripe);
}

/*
 * The transaction that announced a loss has ended.  The counter, which has
 * rows up to an event, is lost now.
 */
void
gov_tail_withdraw(GovSharedStripe *stripe, int slot, int64 event)
{
	gov_stripe_lock(stripe, LW_EXCLUSIVE);
	Assert(stripe->owners[slot].announced > 0);
	gov_tail_lose(stripe, slot, event);
	stripe->owners[slot].announced--;
	gov_stripe_unlock(stripe);
}
