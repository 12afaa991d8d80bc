/*
 * node_block.h
 *		The block of shared memory that a node is.
 */
#ifndef GOV_NODE_BLOCK_H
#define GOV_NODE_BLOCK_H

#include "cache/node_claim.h"

extern GovRef gov_node_block_make(const GovOwnerKey *key, const GovEntity *entity,
								  const GovSharedCounter *counters);
extern GovRef gov_node_block_make_empty(const GovOwnerKey *key, const char *id, uint32 id_length);
extern Size gov_node_block_size(Size inner_size, uint32 nbudgets);
extern void gov_node_block_give_names(const GovSharedNode *node);
extern void gov_node_block_free(GovRef block);

/* with the stripe locked */
extern GovRef gov_node_block_carry_over(const GovClaim *claim, GovSharedNode *node);

#endif							/* GOV_NODE_BLOCK_H */
