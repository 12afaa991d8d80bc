/*
 * node.h
 *		Cached entities and the counters of their budgets.
 */
#ifndef GOV_NODE_H
#define GOV_NODE_H

#include "postgres.h"

#include "entity.h"
#include "shmem.h"

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
	dsa_pointer next;			/* among the stripe's orphans */
	Oid			database;
	Oid			extension;
	pg_uuid_t	budget_id;
	GovAmount	held;			/* open holds, committed and in flight */
	GovAmount	covered;		/* of total: by holds whose end is in flight */
	GovAmount	settled;		/* of usage: by transactions that commit or have */
	GovAmount	alert_at;		/* threshold.h */
	pg_atomic_uint32 pins;		/* transactions that have changes in flight */
	TimestampTz recorded_start; /* of the last later window with usage, when loaded */
	int64		last_event;		/* up to which it may have been charged; tail.h */
} GovSharedCounter;

/*
 * A query of all budgets of an owner reads the first 32 bytes of each (live.c);
 * allocated in units of 160 bytes, those are never on two cache lines.
 */
StaticAssertDecl(offsetof(GovSharedCounter, window) + offsetof(GovWindow, end) == 32,
				 "what a query reads stands first");
StaticAssertDecl(sizeof(GovSharedCounter) <= 160, "a unit of allocation");

/*
 * Is the counter's window over, and has a later one usage already?  Then what
 * its next window has used is not nothing: the tables must tell.
 */
static inline bool
gov_counter_must_load(const GovSharedCounter *counter, TimestampTz now)
{
	return now >= counter->window.end && counter->recorded_start >= counter->window.end;
}

/* Protected by the stripe's lock; the key never changes. */
typedef struct GovSharedNode
{
	dsa_pointer next;			/* in its bucket */
	dsa_pointer entity;			/* GovEntity; invalid: the id is no entity */
	dsa_pointer counters;		/* a dsa_pointer for each budget of entity */
	uint64		loaded_changes; /* stripe's changes before the load's snapshot */
	uint64		stale_changes;	/* stripe's changes when it was last touched */
	uint64		generation;		/* the database's, before the load's snapshot */
	uint32		hash;
	Oid			database;
	Oid			extension;
	uint16		owner_length;
	uint16		id_length;
	uint16		slot;			/* of its owner */
	bool		is_loaded;
	bool		is_loading;		/* claimed by one backend; not evicted */
	bool		was_used;		/* since eviction last passed by */
	bool		was_spared;		/* by eviction, for its rows in the tail */
	bool		is_draining;	/* only who has something in flight charges it; reset.c */
	char		key[FLEXIBLE_ARRAY_MEMBER]; /* owner and id, no terminator */
} GovSharedNode;

/* What a call demands of the nodes it uses: changes up to its start. */
typedef struct GovFreshness
{
	uint64		changes;
	uint64		generation;
} GovFreshness;

/* Is it one of those that are looked for?  Asked under a stripe's lock. */
typedef bool (*GovOwnerTest) (const char *owner, uint32 owner_length);

typedef enum GovNodeStatus
{
	GOV_NODE_READY,
	GOV_NODE_MISSING,			/* absent or stale: somebody must load it */
	GOV_NODE_LOADING,			/* somebody else is */
	GOV_NODE_FULL				/* no memory, and nothing can be evicted */
} GovNodeStatus;

extern void gov_owner_key_init(GovOwnerKey *key, Oid database, Oid extension,
							   const char *owner, uint32 owner_length);

/* with the stripe locked */
extern GovSharedNode *gov_node_find(const GovOwnerKey *key,
									const char *id, uint32 id_length);
extern GovSharedOwners *gov_node_owners(const GovOwnerKey *key);
extern uint32 gov_node_hash(const GovOwnerKey *key, const char *id, uint32 id_length);
extern dsa_pointer gov_node_find_pointer(const GovOwnerKey *key,
										 const char *id, uint32 id_length);
extern GovNodeStatus gov_node_status(const GovSharedNode *node,
									 const GovFreshness *since);
extern GovEntity *gov_node_entity(const GovSharedNode *node);
extern GovSharedCounter *gov_node_counter(const GovSharedNode *node, uint32 budget,
										  dsa_pointer *pointer);
extern bool gov_node_find_budget(const GovSharedNode *node, const pg_uuid_t *id,
								 uint32 guess, uint32 *budget);
extern bool gov_node_is_pinned(const GovSharedNode *node);

/* with no stripe locked */
extern void gov_node_invalidate(const GovOwnerKey *key, const char *id,
								uint32 id_length);
extern void gov_node_invalidate_owners(int stripe, Oid database, Oid extension,
									   GovOwnerTest is_concerned);
extern GovFreshness gov_node_freshness(const GovOwnerKey *key);
extern GovNodeStatus gov_node_look(const GovOwnerKey *key, const char *id,
								   uint32 id_length, const GovFreshness *since);
extern void gov_node_wait(const GovOwnerKey *key, const char *id, uint32 id_length);

#endif							/* GOV_NODE_H */
