/*
 * node_claim.h
 *		One backend loads a node; the others wait for it.
 */
#ifndef GOV_NODE_CLAIM_H
#define GOV_NODE_CLAIM_H

#include "cache/node.h"

/* Is the count of a budget in memory already? */
typedef enum GovKept
{
	GOV_KEPT_NOT,
	GOV_KEPT,					/* it need not be loaded */
	GOV_KEPT_TO_RENEW			/* the tables know more of the present window,
								 * or that window may be another */
} GovKept;

/* A node that this backend is loading. */
typedef struct GovClaim
{
	GovRef		node;
	const GovOwnerKey *key;		/* the caller's */
	GovSharedStripe *stripe;
	uint64		changes;
	uint64		generation;
	bool		was_pinned;		/* some counter of the node was */
	bool		is_void;		/* its counters are another's own, and not
								 * pinned: they are loaded again */
} GovClaim;

extern GovNodeStatus gov_node_claim(const GovOwnerKey *key, const char *id,
									uint32 id_length, const GovFreshness *since,
									GovClaim *claim);
extern GovKept gov_node_claim_has_counter(const GovClaim *claim, const GovEntity *entity,
										  uint32 budget, TimestampTz now, TimestampTz last_end,
										  TimestampTz *start);
extern GovEntity *gov_node_claim_copy(const GovClaim *claim, const bool **has_pins);
extern bool gov_node_claim_install(GovClaim *claim, const GovEntity *entity,
								   const GovSharedCounter *loaded);
extern void gov_node_claim_abandon(GovClaim *claim);

#endif							/* GOV_NODE_CLAIM_H */
