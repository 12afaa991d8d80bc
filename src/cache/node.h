/*
 * node.h
 *		Cached entities and the counters of their budgets.
 */
#ifndef GOV_NODE_H
#define GOV_NODE_H

#include "postgres.h"

#include "base/shmem.h"
#include "cache/entity.h"

/* What finds the nodes of an owner. */
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

/*
 * Where the counter of a budget is, as its place in the node's array says; see
 * node_block.c.
 */
typedef enum GovPlace
{
	GOV_PLACE_HERE,
	GOV_PLACE_ELSEWHERE,		/* in a block in the attic, because it was
								 * pinned */
	GOV_PLACE_MOVED				/* in a newer block; nothing is here any more */
} GovPlace;

/*
 * The counts of one budget.  The stripe's lock protects them; a pin is taken
 * under the lock, and given back without it.  Usage belongs to one id and one
 * window.  Holds count in every window, whichever the id.  Where windows slide,
 * window is the grain of the present time, and total what counts (ring.c).
 */
typedef struct GovSharedCounter
{
	GovAmount	total;			/* usage, committed and in flight */
	int64		id;				/* gov_assignments.counter_id */
	GovWindow	window;			/* of one id never moves back */
	pg_atomic_uint32 pins;		/* transactions that have changes in flight */
	uint32		ring:24;		/* where its window slides; ring.c */
	uint32		place:2;		/* GovPlace */
	bool		is_before:1;	/* it counts the window before the present one:
								 * then held is what that had of its own, and
								 * covered what was carried into it */
	bool		is_outdated:1;	/* what was carried into it has changed since it
								 * was loaded */
	bool		has_later:1;	/* the tables had usage of a later window */
	bool		wants_row:1;	/* whoever charges it says so in
								 * gov_default_counts; first_use.c */
	bool		stays:1;		/* somebody has used the window and committed;
								 * also where windows are not opened */
	GovAmount	held;			/* open holds, committed and in flight */
	GovAmount	covered;		/* of total: in the place of holds that are
								 * being settled, and are in held too */
	GovAmount	booked;			/* usage of transactions that have committed,
								 * or are about to */
	int64		last_event;		/* it was charged with none after this one;
								 * tail.c */
	union
	{
		double		alert_at;	/* usage that must be looked at; threshold.c */
		struct GovSharedCounter *elsewhere; /* if that is its place */
	};
} GovSharedCounter;

/* A query of all budgets of an owner reads the first 32 bytes of each (live.c). */
StaticAssertDecl(offsetof(GovSharedCounter, window) + offsetof(GovWindow, end) == 32,
				 "what a query reads stands first");

/*
 * What holds of a counter in shared memory whenever its stripe is not locked to
 * change it: what is covered is held, and what is booked is used.
 */
static inline bool
gov_counter_is_sound(const GovSharedCounter *counter)
{
	return counter->place == GOV_PLACE_HERE &&
		counter->window.start < counter->window.end &&
		(counter->is_before ||
		 (counter->covered >= 0 && counter->covered <= counter->held)) &&
		(counter->booked <= counter->total || counter->ring != 0);
}

/*
 * Is the counter's window over, and have the tables usage of a later one?
 * Then the next window does not begin with nothing used, so the counter must
 * be loaded and not turned.
 */
static inline bool
gov_counter_must_load(const GovSharedCounter *counter, TimestampTz now)
{
	return now >= counter->window.end && counter->has_later;
}

/*
 * A window that was opened later than this after the present time was so by a clock
 * that was ahead; before that, another machine's clock may have been, before a
 * promotion.
 */
#define GOV_OPENED_AHEAD	(300 * USECS_PER_SEC)

/*
 * What the counter of a budget has whose windows begin with a first use, when
 * nobody has opened one.  It is over at every time that there is.
 */
static inline GovWindow
gov_counter_no_window(void)
{
	return (GovWindow) {MIN_TIMESTAMP, MIN_TIMESTAMP + 1};
}

/*
 * Has somebody opened the counter's window, so that it is open still?  Whoever is in
 * flight has taken something, or shares it with others who have committed: where
 * nothing is used and nobody has, all who had used it have rolled back, and it never
 * was.
 */
static inline bool
gov_counter_is_open(const GovSharedCounter *counter, TimestampTz now)
{
	return now < counter->window.end && (counter->stays || counter->total > 0);
}

/*
 * The beginning of a node's block.  The stripe's lock protects it, but for
 * what never changes: hash, database, extension, owner, stripe and slot, and
 * the id, which is the entity's.
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
	bool		is_absent;		/* there is no such entity, or nothing is
								 * known yet */
	bool		is_stale;		/* changed since the snapshot of its load */
	bool		is_loading;		/* claimed by one backend; not evicted */
	bool		was_used;		/* since eviction last passed by */
	bool		was_spared:1;	/* by eviction, for its rows in the tail */
	bool		is_draining:1;	/* only transactions that have something in
								 * flight may charge it; reset.c */
	bool		is_needed:1;	/* a former block, while node_block.c decides
								 * which of them stay */
} GovSharedNode;

/*
 * How fresh the nodes must be that a call uses: they know every change told
 * before the call began.
 */
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

/* Is this owner concerned?  Called with a stripe locked. */
typedef bool (*GovOwnerTest) (const char *owner, uint32 owner_length);

typedef enum GovNodeStatus
{
	GOV_NODE_READY,
	GOV_NODE_MISSING,			/* absent or stale: somebody must load it */
	GOV_NODE_LOADING,			/* somebody else is */
	GOV_NODE_FULL				/* no memory, and nothing can be evicted */
} GovNodeStatus;

/*
 * The content of the block.  Of a node that is absent it says what was true
 * before.
 */
static inline GovEntity *
gov_node_content(const GovSharedNode *node)
{
	return (GovEntity *) ((char *) node + MAXALIGN(sizeof(GovSharedNode)));
}

/* The entity that the node says there is; NULL when the id is no entity. */
static inline GovEntity *
gov_node_entity(const GovSharedNode *node)
{
	return node->is_absent ? NULL : gov_node_content(node);
}

/*
 * The array of the content's counters; gov_node_counter() follows those that
 * are elsewhere.
 */
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
extern GovSharedCounter *gov_node_find_kept(GovSharedNode *node, const pg_uuid_t *id);
extern GovSharedCounter *gov_node_find_orphan(GovSharedNode *node, const pg_uuid_t *id);
extern bool gov_node_content_find_budget(const GovSharedNode *node, const pg_uuid_t *id,
										 uint32 guess, uint32 *budget);
extern bool gov_node_content_has_pins(const GovSharedNode *node);
extern bool gov_node_is_pinned(const GovSharedNode *node);

/* with no stripe locked */
extern void gov_node_invalidate(const GovOwnerKey *key, const char *id,
								uint32 id_length);
extern void gov_node_invalidate_owners(int stripe, Oid database, Oid extension,
									   GovOwnerTest are_concerned);
extern GovFreshness gov_node_freshness(const GovOwnerKey *key);
extern GovNodeStatus gov_node_look(const GovOwnerKey *key, const char *id,
								   uint32 id_length, const GovFreshness *since);
extern GovNodeStatus gov_node_climb(const GovOwnerKey *key, GovPlaceInChain *place,
									const GovFreshness *since);
extern bool gov_node_has_counter(const GovOwnerKey *key, const char *id,
								 uint32 id_length, int64 counter_id);
extern void gov_node_wait(const GovOwnerKey *key, const char *id, uint32 id_length);

#endif							/* GOV_NODE_H */
