/*
 * own_nodes.h
 *		Nodes that a transaction has loaded for itself alone.
 */
#ifndef GOV_OWN_NODES_H
#define GOV_OWN_NODES_H

#include "cache/node.h"

extern bool gov_own_nodes_begin(void);
extern uint64 gov_own_nodes_generation(void);
extern void gov_own_nodes_end(void);

/* Has a transaction loaded the node for itself? */
static inline bool
gov_node_is_own(const GovSharedNode *node)
{
	return (int64) node->generation < 0;
}

#endif							/* GOV_OWN_NODES_H */
