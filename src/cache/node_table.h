/*
 * node_table.h
 *		The hash table of nodes that each stripe has.
 */
#ifndef GOV_NODE_TABLE_H
#define GOV_NODE_TABLE_H

#include "cache/node.h"

#define GOV_BUCKETS_PER_HOLD	64	/* visited with the stripe locked once */

/* Does something to the nodes of a bucket, with the stripe locked exclusively. */
typedef void (*GovBucketVisit) (GovSharedStripe *stripe, GovRef *bucket, void *arg);

extern GovRef *gov_node_table_bucket(const GovSharedStripe *stripe, uint32 hash);
extern GovRef *gov_node_table_bucket_number(const GovSharedStripe *stripe, uint32 number);
extern GovRef *gov_node_table_link(const GovSharedStripe *stripe, GovRef node);
extern void gov_node_table_insert(GovSharedStripe *stripe, GovRef node);
extern bool gov_node_table_shrink(GovSharedStripe *stripe);
extern bool gov_node_table_walk(GovSharedStripe *stripe, uint32 *next,
								GovBucketVisit visit, void *arg);

#endif							/* GOV_NODE_TABLE_H */
