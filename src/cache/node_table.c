/*
 * node_table.c
 *		The hash table of nodes that each stripe has.
 *
 * PURPOSE
 *		One owner with a million entities must cost no more per look-up than a
 *		million owners with one, and no insert may take long, because it runs
 *		under the stripe's lock.  Hence linear hashing: each insert splits at
 *		most one bucket.
 *
 * LAYOUT
 *		nbuckets buckets, each a list of nodes, in segments of
 *		GOV_SEGMENT_BUCKETS.  A directory is a segment with the numbers of
 *		others; the stripe has those of its directories.  Segments come from a
 *		store that is large enough for all nodes that fit into memory, whatever
 *		stripes they hang on: a table that has lost a quarter of its nodes gives
 *		buckets back.
 *
 * LOCKING
 *		The caller has the stripe's lock: exclusive to insert or to shrink.
 *		Who goes over the buckets and lets the lock go on the way counts as a
 *		walk: meanwhile a split moves nodes only to buckets that are still to
 *		come, and no bucket is given back.
 *
 * FAILURE
 *		Without a further segment the table stops splitting: lists grow longer
 *		and answers stay right.
 */
#include "postgres.h"

#include "port/pg_bitutils.h"

#include "cache/node_table.h"

#define DIRECTORY_BUCKETS	(GOV_SEGMENT_BUCKETS * GOV_SEGMENT_BUCKETS)

/* Where the directory has the number of a bucket's segment. */
static uint32 *
segment_of(const GovSharedStripe *stripe, uint32 bucket)
{
	uint32		directory = stripe->directories[bucket / DIRECTORY_BUCKETS];

	return &gov_segments[directory][bucket / GOV_SEGMENT_BUCKETS % GOV_SEGMENT_BUCKETS];
}

GovRef *
gov_node_table_bucket_number(const GovSharedStripe *stripe, uint32 number)
{
	Assert(number < stripe->nbuckets);
	return &gov_segments[*segment_of(stripe, number)][number % GOV_SEGMENT_BUCKETS];
}

static uint32
bucket_number(uint32 nbuckets, uint32 hash)
{
	uint32		mask = pg_nextpower2_32(nbuckets) - 1;
	uint32		number = hash & mask;

	return number < nbuckets ? number : number & (mask >> 1);
}

/* The head of the list that a hash belongs to. */
GovRef *
gov_node_table_bucket(const GovSharedStripe *stripe, uint32 hash)
{
	return gov_node_table_bucket_number(stripe, bucket_number(stripe->nbuckets, hash));
}

/* What points to a node of the table. */
GovRef *
gov_node_table_link(const GovSharedStripe *stripe, GovRef node)
{
	const GovSharedNode *wanted = gov_address(node);
	GovRef	   *link = gov_node_table_bucket(stripe, wanted->hash);

	while (*link != node)
	{
		Assert(*link != 0);
		link = &((GovSharedNode *) gov_address(*link))->next;
	}
	return link;
}

/* Add an empty bucket; false when there is no segment for it. */
static bool
add_bucket(GovSharedStripe *stripe)
{
	uint32		added = stripe->nbuckets;
	uint32	   *directory = &stripe->directories[added / DIRECTORY_BUCKETS];

	if (added % DIRECTORY_BUCKETS == 0 && *directory == 0)
		*directory = gov_shmem_take_segment();
	if (*directory == 0)
		return false;
	if (added % GOV_SEGMENT_BUCKETS == 0)
		*segment_of(stripe, added) = gov_shmem_take_segment();
	if (*segment_of(stripe, added) == 0)
		return false;
	stripe->nbuckets++;
	return true;
}

/* Which bucket was the last one split from? */
static uint32
partner_of(uint32 bucket)
{
	return bucket & ((pg_nextpower2_32(bucket + 1) >> 1) - 1);
}

/* Move what belongs there from the bucket being split into a new one. */
static void
split_bucket(GovSharedStripe *stripe)
{
	uint32		added = stripe->nbuckets;
	uint32		split = partner_of(added);
	GovRef	   *from;
	GovRef	   *to;

	if (!add_bucket(stripe))
		return;
	from = gov_node_table_bucket_number(stripe, split);
	to = gov_node_table_bucket_number(stripe, added);
	while (*from != 0)
	{
		GovRef		ref = *from;
		GovSharedNode *node = gov_address(ref);

		if (bucket_number(stripe->nbuckets, node->hash) == split)
		{
			from = &node->next;
			continue;
		}
		*from = node->next;
		node->next = *to;
		*to = ref;
	}
}

void
gov_node_table_insert(GovSharedStripe *stripe, GovRef ref)
{
	GovSharedNode *node = gov_address(ref);
	GovRef	   *bucket;

	if (stripe->nnodes >= stripe->nbuckets)
		split_bucket(stripe);
	bucket = gov_node_table_bucket(stripe, node->hash);
	node->next = *bucket;
	*bucket = ref;
	stripe->nnodes++;
}

/* Append the last bucket to the one that it was split from. */
static void
drop_bucket(GovSharedStripe *stripe)
{
	uint32		dropped = stripe->nbuckets - 1;
	GovRef	   *bucket = gov_node_table_bucket_number(stripe, dropped);
	GovRef	   *link = gov_node_table_bucket_number(stripe, partner_of(dropped));

	while (*link != 0)
		link = &((GovSharedNode *) gov_address(*link))->next;
	*link = *bucket;
	*bucket = 0;
	if (dropped % GOV_SEGMENT_BUCKETS == 0)
	{
		gov_shmem_give_segment(*segment_of(stripe, dropped));
		*segment_of(stripe, dropped) = 0;
	}
	if (dropped % DIRECTORY_BUCKETS == 0)
	{
		gov_shmem_give_segment(stripe->directories[dropped / DIRECTORY_BUCKETS]);
		stripe->directories[dropped / DIRECTORY_BUCKETS] = 0;
	}
	stripe->nbuckets--;
}

/* Give back a few buckets of a table that has lost nodes; are there more of them? */
bool
gov_node_table_shrink(GovSharedStripe *stripe)
{
	for (int i = 0; i < GOV_BUCKETS_PER_HOLD; i++)
	{
		if (stripe->nwalks > 0 || stripe->nbuckets <= GOV_SEGMENT_BUCKETS ||
			stripe->nnodes >= stripe->nbuckets / 4 * 3)
			return false;
		drop_bucket(stripe);
	}
	return true;
}
