/*
 * node.c
 *		Cached entities and the counters of their budgets.
 *
 * PURPOSE
 *		A node says what the tables say about one id of one owner: the entity
 *		with its budgets, or that there is none.  Each budget has a counter.
 *		Nodes are loaded on demand (load.c, by way of node_claim.c), made stale by
 *		catalog changes, and evicted when memory is short (node_memory.c).
 *
 * LIFE OF A NODE
 *		claimed		is_loading; by one backend, which reads the tables, while
 *					others wait (gov_node_wait)
 *		loaded		is_loaded; anybody may use it while it is fresh
 *		stale		a change was committed after loaded_changes was read;
 *					whoever meets it claims it again.  Counters stay.
 *
 * LOCKING
 *		The stripe's lock protects nodes and counters.
 *
 * STALENESS
 *		Each stripe numbers the catalog changes to its owners.  A claim notes
 *		the number before the load's snapshot is taken; a node is fresh for a
 *		call if it was loaded at or after the last change to it, or at or after
 *		the changes that the call found when it began.  A change that concerns
 *		a whole database moves the database's generation, and nodes are compared
 *		with that in the same way.  Nodes that a transaction has loaded for itself
 *		alone have a generation of their own (own_nodes.c).
 *
 *		For the sheets that backends keep (live.c) each stripe also counts, per
 *		slot of a few owners, catalog changes, installs of nodes, and unlinks of
 *		counters.
 *
 * LOOK-UP
 *		By hash, at every call: backends keep no handles to nodes, so none can
 *		be left over after an eviction.  A call over a chain of five reaches
 *		0.9 of the throughput of SELECT 1 with it (make bench).
 *
 * INVARIANTS
 *		The whole key decides which node an id is, never the hash alone.  What
 *		a node says is replaced as a whole, under the exclusive lock.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/wait_event.h"

#include "base/fault.h"
#include "cache/node_table.h"
#include "cache/own_nodes.h"
#include "cache/threshold.h"

#define GOV_LOAD_WAIT_MS			100

void
gov_node_owner_key_init(GovOwnerKey *key, Oid database, Oid extension,
						const char *owner, uint32 owner_length)
{
	key->database = database;
	key->extension = extension;
	key->owner = owner;
	key->owner_length = owner_length;
	key->hash = hash_combine(murmurhash32(database),
							 gov_entity_text_hash(owner, owner_length));
	key->stripe = key->hash % GOV_STRIPES;
	key->slot = key->hash / GOV_STRIPES % GOV_OWNER_SLOTS;
}

/*
 * The numbers that tell what has happened to the owner, and to those that
 * share its slot.
 */
GovSharedOwners *
gov_node_owners(const GovOwnerKey *key)
{
	return &gov_stripe(key->stripe)->owners[key->slot];
}

uint32
gov_node_hash(const GovOwnerKey *key, const char *id, uint32 id_length)
{
	return hash_combine(key->hash, gov_entity_text_hash(id, id_length));
}

bool
gov_node_is_of_owner(const GovSharedNode *node, const GovOwnerKey *key)
{
	return node->database == key->database &&
		node->extension == key->extension &&
		gov_chars_are(gov_node_owner(node), key->owner, key->owner_length);
}

/* The whole key decides; the hash only finds the bucket. */
static bool
node_is(const GovSharedNode *node, const GovOwnerKey *key, uint32 hash,
		const char *id, uint32 id_length)
{
	return node->hash == hash &&
		gov_chars_are(gov_entity_id(gov_node_content(node)), id, id_length) &&
		gov_node_is_of_owner(node, key);
}

/* Find the node of an id; 0 when there is none.  The stripe is locked. */
GovRef
gov_node_find_ref(const GovOwnerKey *key, const char *id, uint32 id_length)
{
	uint32		hash = gov_node_hash(key, id, id_length);
	GovRef		ref = *gov_node_table_bucket(gov_stripe(key->stripe), hash);

	Assert(LWLockHeldByMe(&gov_stripe(key->stripe)->lock));
	while (ref != 0)
	{
		const GovSharedNode *node = gov_address(ref);

		if (node_is(node, key, hash, id, id_length))
			return ref;
		ref = node->next;
	}
	return 0;
}

/* Find the node of an id; NULL when there is none.  The stripe is locked. */
GovSharedNode *
gov_node_find(const GovOwnerKey *key, const char *id, uint32 id_length)
{
	GovRef		ref = gov_node_find_ref(key, id, id_length);

	Assert(ref == 0 || gov_node_is_of_owner(gov_address(ref), key));
	return ref == 0 ? NULL : gov_address(ref);
}

#ifdef USE_ASSERT_CHECKING
/*
 * No load is ahead of the changes that have been told.  The node of the owner
 * itself counts losses instead (tail.c).
 */
static bool
is_no_newer_than_told(const GovSharedNode *node)
{
	return gov_entity_id(gov_node_content(node))->length == 0 ||
		gov_node_is_own(node) ||
		(node->loaded_changes <= gov_stripe(node->stripe)->changes &&
		 node->generation <= pg_atomic_read_u64(gov_shmem_generation(node->database)));
}
#endif

/*
 * Does the node know all that was told to the whole database?  Others' own
 * nodes never do.
 */
static inline bool
is_of_generation(const GovSharedNode *node, uint64 generation)
{
	return likely((int64) node->generation >= (int64) generation) ||
		(node->generation == gov_own_nodes_generation() && gov_node_is_own(node));
}

/*
 * What can a call do with a node?  NULL: there is none.  The stripe is locked.
 */
GovNodeStatus
gov_node_status(const GovSharedNode *node, const GovFreshness *since)
{
	if (node == NULL)
		return GOV_NODE_MISSING;
	Assert(LWLockHeldByMe(&gov_stripe(node->stripe)->lock));
	Assert(is_no_newer_than_told(node));
	if (node->is_loading)
		return GOV_NODE_LOADING;
	if (node->is_loaded && is_of_generation(node, since->generation) &&
		(!node->is_stale || node->loaded_changes >= since->changes))
		return GOV_NODE_READY;
	return GOV_NODE_MISSING;
}

/*
 * The counter of a budget, given the number that the budget has in the node's
 * content.
 */
GovSharedCounter *
gov_node_counter(const GovSharedNode *node, uint32 budget)
{
	GovSharedCounter *counter = &gov_node_counters(node)[budget];

	Assert(LWLockHeldByMe(&gov_stripe(node->stripe)->lock));
	Assert(budget < gov_node_content(node)->nbudgets);
	Assert(counter->place != GOV_PLACE_MOVED);
	Assert(counter->place == GOV_PLACE_HERE || counter->elsewhere->place == GOV_PLACE_HERE);
	return unlikely(counter->place != GOV_PLACE_HERE) ? counter->elsewhere : counter;
}

/*
 * Find the number of a budget in the content; the search begins at a guess.
 */
bool
gov_node_content_find_budget(const GovSharedNode *node, const pg_uuid_t *id, uint32 guess,
							 uint32 *budget)
{
	const GovEntity *entity = gov_node_content(node);

	for (uint32 i = 0; i < entity->nbudgets; i++)
	{
		*budget = (guess + i) % entity->nbudgets;
		if (gov_uuid_is(&entity->budgets[*budget].id, id))
			return true;
	}
	return false;
}

/*
 * Find the number of a budget that the node's entity has.  An absent node has
 * none.
 */
bool
gov_node_find_budget(const GovSharedNode *node, const pg_uuid_t *id, uint32 guess,
					 uint32 *budget)
{
	return !node->is_absent && gov_node_content_find_budget(node, id, guess, budget);
}

/* Is a counter pinned that stands in this very block? */
bool
gov_node_content_has_pins(const GovSharedNode *node)
{
	GovSharedCounter *counters = gov_node_counters(node);

	for (uint32 i = 0; i < gov_node_content(node)->nbudgets; i++)
	{
		if (counters[i].place == GOV_PLACE_HERE &&
			pg_atomic_read_u32(&counters[i].pins) > 0)
			return true;
	}
	return false;
}

/*
 * Find the counter that a node has of a budget, or one that was left in its attic:
 * if the budget comes back, it has that.  NULL if there is none.
 */
GovSharedCounter *
gov_node_find_kept(GovSharedNode *node, const pg_uuid_t *id)
{
	uint32		budget;

	for (;;)
	{
		GovSharedCounter *counters = gov_node_counters(node);

		if (gov_node_content_find_budget(node, id, 0, &budget) &&
			counters[budget].place == GOV_PLACE_HERE)
			return &counters[budget];
		if (node->attic == 0)
			return NULL;
		node = gov_address(node->attic);
	}
}

/*
 * Find the pinned counter of a budget that the node's entity does not have any
 * more; NULL if there is none.
 */
GovSharedCounter *
gov_node_find_orphan(GovSharedNode *node, const pg_uuid_t *id)
{
	GovSharedCounter *counter = gov_node_find_kept(node, id);

	return counter != NULL && pg_atomic_read_u32(&counter->pins) > 0 ? counter : NULL;
}

/*
 * Is a counter of the node pinned, or one in its attic, whose budget may be
 * gone?
 */
bool
gov_node_is_pinned(const GovSharedNode *node)
{
	while (!gov_node_content_has_pins(node))
	{
		if (node->attic == 0)
			return false;
		node = gov_address(node->attic);
	}
	return true;
}

/*
 * Have the next usage of each counter looked at for alerts.  Thresholds may
 * have changed, and transactions that have charged the counters may commit
 * before anybody loads the node again.
 */
static void
forget_alerts(const GovSharedNode *node)
{
	const GovEntity *entity = gov_node_entity(node);

	for (uint32 i = 0; i < (entity ? entity->nbudgets : 0); i++)
		gov_node_counter(node, i)->alert_at = gov_alert_pack(GOV_ALERT_ANY);
}

static void
make_stale(GovSharedNode *node)
{
	Assert(LWLockHeldByMeInMode(&gov_stripe(node->stripe)->lock, LW_EXCLUSIVE));
	node->is_stale = true;
	forget_alerts(node);
}

/*
 * Make the node of an entity stale, because the entity or its budgets have
 * changed.  Called after commit: cannot fail.
 */
void
gov_node_invalidate(const GovOwnerKey *key, const char *id, uint32 id_length)
{
	GovSharedStripe *stripe = gov_stripe(key->stripe);
	GovSharedNode *node;

	gov_stripe_lock(stripe, LW_EXCLUSIVE);
	stripe->changes++;
	gov_node_owners(key)->changes++;
	node = gov_node_find(key, id, id_length);
	if (node != NULL)
		make_stale(node);
	gov_stripe_unlock(stripe);
}

/* Which owners something has changed of. */
typedef struct GovConcernedOwners
{
	Oid			database;
	Oid			extension;
	GovOwnerTest are_concerned;
} GovConcernedOwners;

/* Make the nodes in a bucket stale that are of owners concerned. */
static void
invalidate_bucket(GovSharedStripe *stripe, GovRef *bucket, void *arg)
{
	const GovConcernedOwners *concerned = arg;

	for (GovRef ref = *bucket; ref != 0;)
	{
		GovSharedNode *node = gov_address(ref);
		const GovChars *owner = gov_node_owner(node);

		if (node->database == concerned->database && node->extension == concerned->extension &&
			concerned->are_concerned(owner->bytes, owner->length))
			make_stale(node);
		ref = node->next;
	}
}

/*
 * Make all nodes of some owners of a stripe stale; gov_node_invalidate() has
 * counted the change of each.  The lock is released on the way.  No node escapes:
 * one that is loaded meanwhile knows of the change, and a bucket that is split
 * gives nodes only to a bucket that is still to come.  Called after commit: cannot
 * fail.
 */
void
gov_node_invalidate_owners(int stripe, Oid database, Oid extension,
						   GovOwnerTest are_concerned)
{
	GovConcernedOwners concerned = {database, extension, are_concerned};
	uint32		next = 0;

	while (gov_node_table_walk(gov_stripe(stripe), &next, invalidate_bucket, &concerned))
		;
}

/* How fresh nodes must be for a call that begins now. */
GovFreshness
gov_node_freshness(const GovOwnerKey *key)
{
	GovSharedStripe *stripe = gov_stripe(key->stripe);
	GovFreshness since;

	gov_stripe_lock(stripe, LW_SHARED);
	since.changes = stripe->changes;
	since.generation = pg_atomic_read_u64(gov_shmem_generation(key->database));
	gov_stripe_unlock(stripe);
	return since;
}

/* The status of an id's node.  It may change as soon as this has returned. */
GovNodeStatus
gov_node_look(const GovOwnerKey *key, const char *id, uint32 id_length,
			  const GovFreshness *since)
{
	GovSharedStripe *stripe = gov_stripe(key->stripe);
	GovNodeStatus status;

	gov_stripe_lock(stripe, LW_SHARED);
	status = gov_node_status(gov_node_find(key, id, id_length), since);
	gov_stripe_unlock(stripe);
	return status;
}

/*
 * Go on from a node to its entity's parent; false if it has none.  The id is
 * in the node, or a name that the node has: it stays while the stripe is
 * locked.
 */
static bool
go_up(const GovSharedNode *node, const char **id, uint32 *id_length)
{
	const GovEntity *entity = gov_node_entity(node);

	if (entity == NULL || entity->parent_id == 0)
		return false;
	*id = gov_entity_string(entity, entity->parent_id);
	*id_length = gov_entity_length(entity, entity->parent_id);
	return true;
}

/*
 * Climb from an id to the first one that cannot be used as it is, the id
 * itself or an ancestor, and say what its status is.  READY if all can be
 * used.  In a cycle that ends after a round.
 */
GovNodeStatus
gov_node_climb(const GovOwnerKey *key, GovPlaceInChain *place, const GovFreshness *since)
{
	GovSharedStripe *stripe = gov_stripe(key->stripe);
	const char *id = place->id;
	uint32		id_length = place->id_length;
	const GovSharedNode *mark = NULL;
	const GovSharedNode *node;
	GovNodeStatus status;

	gov_stripe_lock(stripe, LW_SHARED);
	for (uint32 step = 1;; step++)
	{
		node = gov_node_find(key, id, id_length);
		status = gov_node_status(node, since);
		if (status != GOV_NODE_READY || node == mark || !go_up(node, &id, &id_length))
			break;
		if ((step & (step - 1)) == 0)
			mark = node;		/* met again if this is a cycle that is no
								 * longer */
	}
	if (status == GOV_NODE_MISSING && id != place->id)
	{
		place->id_length = Min(id_length, GOV_ID_MAX_BYTES);
		place->id = memcpy(place->copy, id, place->id_length);
	}
	gov_stripe_unlock(stripe);
	return status;
}

/* Is somebody loading the node, or waiting for it to drain? */
static bool
is_loading(const GovOwnerKey *key, const char *id, uint32 id_length)
{
	GovSharedStripe *stripe = gov_stripe(key->stripe);
	GovSharedNode *node;
	bool		result;

	gov_stripe_lock(stripe, LW_SHARED);
	node = gov_node_find(key, id, id_length);
	result = node != NULL && (node->is_loading || node->is_draining);
	gov_stripe_unlock(stripe);
	return result;
}

/*
 * Wait until nobody loads or drains the node any more, for GOV_LOAD_WAIT_MS at
 * most.
 */
void
gov_node_wait(const GovOwnerKey *key, const char *id, uint32 id_length)
{
	GovSharedStripe *stripe = gov_stripe(key->stripe);

	ConditionVariablePrepareToSleep(&stripe->loaded);
	while (is_loading(key, id, id_length))
	{
		GOV_FAULT(GOV_FAULT_WAIT);
		if (ConditionVariableTimedSleep(&stripe->loaded, GOV_LOAD_WAIT_MS,
										PG_WAIT_EXTENSION))
			break;
	}
	ConditionVariableCancelSleep();
}

/* Has an id's entity, as it is in memory, a budget with this counter? */
bool
gov_node_has_counter(const GovOwnerKey *key, const char *id, uint32 id_length, int64 counter_id)
{
	const GovSharedNode *node;
	const GovEntity *entity;
	bool		result = false;

	gov_stripe_lock(gov_stripe(key->stripe), LW_SHARED);
	node = gov_node_find(key, id, id_length);
	entity = node != NULL ? gov_node_entity(node) : NULL;
	for (uint32 i = 0; i < (entity ? entity->nbudgets : 0) && !result; i++)
		result = entity->budgets[i].counter_id == counter_id;
	gov_stripe_unlock(gov_stripe(key->stripe));
	return result;
}
