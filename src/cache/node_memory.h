/*
 * node_memory.h
 *		Memory for nodes and counters, made free by eviction when it is short.
 */
#ifndef GOV_NODE_MEMORY_H
#define GOV_NODE_MEMORY_H

#include "cache/node.h"

extern GovRef gov_node_allocate(Size size);
extern void gov_node_free(GovRef block);
extern void gov_node_evict_owner(const GovOwnerKey *key);
extern void gov_node_evict_everything(void);
extern int	gov_node_drain(const GovOwnerKey *key, TimestampTz now, bool is_first);
extern void gov_node_end_drain(const GovOwnerKey *key);
extern void gov_node_evict_absent(GovSharedStripe *stripe);

#endif							/* GOV_NODE_MEMORY_H */
