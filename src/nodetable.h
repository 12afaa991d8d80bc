/*
 * nodetable.h
 *		The hash table of nodes that each stripe has.
 */
#ifndef GOV_NODETABLE_H
#define GOV_NODETABLE_H

#include "node.h"

#define GOV_BUCKETS_PER_HOLD	64	/* so many are gone through with the stripe locked */

extern bool gov_nodetable_wants_segment(const GovSharedStripe *stripe, Size *size);
extern void gov_nodetable_add_segment(GovSharedStripe *stripe, dsa_pointer segment);
extern dsa_pointer *gov_nodetable_bucket(const GovSharedStripe *stripe, uint32 hash);
extern dsa_pointer *gov_nodetable_bucket_number(const GovSharedStripe *stripe, uint32 number);
extern void gov_nodetable_insert(GovSharedStripe *stripe, dsa_pointer pointer);

#endif							/* GOV_NODETABLE_H */
