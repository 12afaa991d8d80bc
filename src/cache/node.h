/*
 * node.h
 *		Cached entities and the counters of their budgets.
 */
#ifndef GOV_NODE_H
#define GOV_NODE_H

#include "postgres.h"

#include "base/shmem.h"
#include "cache/entity.h"

/* An owner of this database, as the nodes are keyed. */
typedef struct GovOwnerKey
{
	Oid			database;
	Oid			extension;
	const char *owner;
	uint32		owner_length;
	uint32		hash;
	int			stripe;
	int			slot;			/* of the stripe's owners */
} GovOwnerKey;

/* Where the counter is that stands in a node's array; see node_block.c. */
typedef enum GovPlace
{
	GOV_PLACE_HERE,
	GOV_PLACE_ELSEWHERE,		/* in a block in the attic, for it was pinned */
	GOV_PLACE_MOVED				/* to a newer block; this one is dead */
} GovPlace;

/*
 * What one budget counts.  Protected by the stripe's lock, but for pins: those
 * are taken under the lock, and given back without.  Usage belongs to an id
 * and a window; holds count in whichever is current.
 */
typedef struct GovSharedCounter
{
	GovAmount	total;			/* usage, committed and in flight */
	int64		id;				/* gov_assignments.counter_id */
	GovWindow	window;			/* of one id never moves back */
	pg_atomic_uint32 pins;		/* transactions that have changes in flight */
	uint8		place;			/* GovPlace */
	bool		has_later;		/* the tables had usage of a later window */
	GovAmount	held;			/* open holds, committed and in flight */
	GovAmount	covered;		/* of total: by holds whose end is in flight */
	GovAmount	booked;			/* of usage: by transactions that commit or
								 * have */
	int64		last_event;		/* up to which it may have been charged;
								 * tail.h */
	union
	{
		double		alert_at;	/* threshold.h */
		struct GovSharedCounter *elsewhere; /* if that is its place */
	};
} GovSharedCounter;

/* A query of all budgets of an owner reads the first 32 bytes of each (live.c). */
StaticAssertDecl(offsetof(GovSharedCounter, window) + offsetof(GovWindow, end) == 32,
				 "what a query reads stands first");

/*
 * Is the counter's window over, and has a later one usage already?  Then what
 * its next window has used is not nothing: the tables must tell.
 */
static inline bool
gov_counter_must_load(const GovSharedCounter *counter, TimestampTz now)
{
	return now >= counter->window.end && counter->has_later;
}

/*
 * The beginning of a node's block.  Protected by the stripe's lock, but for what
 * never changes: hash to slot, the owner, and the id, which is the entity's.
 */
typedef struct GovSharedNode
{
	GovRef		next;			/* in its bucket */
	uint32		hash;
	Oid			database;
	Oid			extension;
	uint64		loaded_changes; /* stripe's changes before the load's snapshot */
	uint64		generation;		/* the database's, before the load's snapshot */
	GovRef		attic;			/* former blocks that have pinned counters */
	GovText		owner;			/* a name, or at an offset from here */
	uint8		stripe;
	uint8		slot;			/* of its owner */
	bool		is_loaded;
	bool		is_absent;		/* no entity, or not known yet; what the block
								 * says of it is over */
	bool		is_stale;		/* touched since the snapshot of its load */
	bool		is_loading;		/* claimed by one backend; not evicted */
	bool		was_used;		/* since eviction last passed by */
	bool		was_spared:1;	/* by eviction, for its rows in the tail */
	bool		is_draining:1;	/* only who has something in flight charges
								 * it; reset.c */
	bool		is_needed:1;	/* a former block, while it is judged; see
								 * node_block.c */
} GovSharedNode;

/* What a call demands of the nodes it uses: changes up to its start. */
typedef struct GovFreshness
{
	uint64		changes;
	uint64		generation;
} GovFreshness;

/* An id on the way up a chain: the caller's, or a copy of an ancestor's. */
typedef struct GovPlaceInChain
{
	const char *id;
	uint32		id_length;
	char		copy[GOV_ID_MAX_BYTES];
} GovPlaceInChain;

/* Is it one of those that are looked for?  Asked under a stripe's lock. */
typedef bool (*GovOwnerTest) (const char *owner, uint32 owner_length);

typedef enum GovNodeStatus
{
	GOV_NODE_READY,
	GOV_NODE_MISSING,			/* absent or stale: somebody must load it */
	GOV_NODE_LOADING,			/* somebody else is */
	GOV_NODE_FULL				/* no memory, and nothing can be evicted */
} GovNodeStatus;

/* What the block says, which holds if it is not absent. */
static inline GovEntity *
gov_node_content(const GovSharedNode *node)
{
	return (GovEntity *) ((char *) node + MAXALIGN(sizeof(GovSharedNode)));
}

/* NULL when the id is no entity. */
static inline GovEntity *
gov_node_entity(const GovSharedNode *node)
{
	return node->is_absent ? NULL : gov_node_content(node);
}

/* The counters of the content's budgets, where they are here. */
static inline GovSharedCounter *
gov_node_counters(const GovSharedNode *node)
{
	GovEntity  *entity = gov_node_content(node);

	return (GovSharedCounter *) ((char *) entity + MAXALIGN(entity->size));
}

static inline const GovChars *
gov_node_owner(const GovSharedNode *node)
{
	return gov_chars(node, node->owner);
}

extern void gov_node_owner_key_init(GovOwnerKey *key, Oid database, Oid extension,
									const char *owner, uint32 owner_length);

/* with the stripe locked */
extern GovSharedNode *gov_node_find(const GovOwnerKey *key,
									const char *id, uint32 id_length);
extern GovSharedOwners *gov_node_owners(const GovOwnerKey *key);
extern uint32 gov_node_hash(const GovOwnerKey *key, const char *id, uint32 id_length);
extern GovRef gov_node_find_ref(const GovOwnerKey *key,
								const char *id, uint32 id_length);
extern bool gov_node_is_of_owner(const GovSharedNode *node, const GovOwnerKey *key);
extern GovNodeStatus gov_node_status(const GovSharedNode *node,
									 const GovFreshness *since);
extern GovSharedCounter *gov_node_counter(const GovSharedNode *node, uint32 budget);
extern bool gov_node_find_budget(const GovSharedNode *node, const pg_uuid_t *id,
								 uint32 guess, uint32 *budget);
extern bool gov_node_content_find_budget(const GovSharedNode *node, const pg_uuid_t *id,
										 uint32 guess, uint32 *budget);
extern bool gov_node_content_has_pins(const GovSharedNode *node);
extern bool gov_node_is_pinned(const GovSharedNode *node);

/* with no stripe locked */
extern void gov_node_invalidate(const GovOwnerKey *key, const char *id,
								uint32 id_length);
extern void gov_node_invalidate_owners(int stripe, Oid database, Oid extension,
									   GovOwnerTest is_concerned);
extern GovFreshness gov_node_freshness(const GovOwnerKey *key);
extern GovNodeStatus gov_node_look(const GovOwnerKey *key, const char *id,
								   uint32 id_length, const GovFreshness *since);
extern GovNodeStatus gov_node_climb(const GovOwnerKey *key, GovPlaceInChain *place,
									const GovFreshness *since);
extern void gov_node_wait(const GovOwnerKey *key, const char *id, uint32 id_length);

#endif							/* GOV_NODE_H */
