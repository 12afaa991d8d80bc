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
 *		gov_node_table_walk() takes it itself, and releases it between buckets.
 *		While a walk is under way (nwalks) a split moves nodes only to a bucket
 *		that the walk has still to visit, and no bucket is given back: so a
 *		walk meets each node that was there when it began.
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
	Assert(LWLockHeldByMe(&unconstify(GovSharedStripe *, stripe)->lock));
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

/* The link in its bucket's list that points to a node of the table. */
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

/* The bucket that a bucket was split from. */
static uint32
partner_of(uint32 bucket)
{
	Assert(bucket >= GOV_SEGMENT_BUCKETS);
	return bucket & ((pg_nextpower2_32(bucket + 1) >> 1) - 1);
}

/*
 * Add a bucket, and move to it what belongs there from the bucket that is
 * split.
 */
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
		Assert(bucket_number(stripe->nbuckets, node->hash) == added);
		*from = node->next;
		node->next = *to;
		*to = ref;
	}
}

/* Add a node to the table, which then splits a bucket if it is full. */
void
gov_node_table_insert(GovSharedStripe *stripe, GovRef ref)
{
	GovSharedNode *node = gov_address(ref);
	GovRef	   *bucket;

	Assert(LWLockHeldByMeInMode(&stripe->lock, LW_EXCLUSIVE));
	Assert(stripe == gov_stripe(node->stripe));
	if (stripe->nnodes >= stripe->nbuckets)
		split_bucket(stripe);
	bucket = gov_node_table_bucket(stripe, node->hash);
	node->next = *bucket;
	*bucket = ref;
	stripe->nnodes++;
}

/*
 * Give the last bucket back; its nodes go to the one that it was split from.
 */
static void
drop_bucket(GovSharedStripe *stripe)
{
	uint32		dropped = stripe->nbuckets - 1;
	GovRef	   *bucket = gov_node_table_bucket_number(stripe, dropped);
	GovRef	   *link = gov_node_table_bucket_number(stripe, partner_of(dropped));

	Assert(stripe->nwalks == 0 && stripe->nbuckets > GOV_SEGMENT_BUCKETS);
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

/*
 * Visit the next few buckets of a stripe with its lock taken; true if there are
 * more.  *next is 0 at first.  Between two calls the lock is free, but the walk
 * counts as one until a call has returned false.
 */
bool
gov_node_table_walk(GovSharedStripe *stripe, uint32 *next, GovBucketVisit visit, void *arg)
{
	uint32		end;
	bool		has_more;

	gov_stripe_lock(stripe, LW_EXCLUSIVE);
	stripe->nwalks += *next == 0 ? 1 : 0;
	Assert(stripe->nwalks > 0);
	end = Min(*next + GOV_BUCKETS_PER_HOLD, stripe->nbuckets);
	while (*next < end)
		visit(stripe, gov_node_table_bucket_number(stripe, (*next)++), arg);
	has_more = end < stripe->nbuckets;
	stripe->nwalks -= has_more ? 0 : 1;
	gov_stripe_unlock(stripe);
	return has_more;
}

/*
 * Give back a few buckets of a table that has lost nodes; true if there are
 * more.
 */
bool
gov_node_table_shrink(GovSharedStripe *stripe)
{
	Assert(LWLockHeldByMeInMode(&stripe->lock, LW_EXCLUSIVE));
	for (int i = 0; i < GOV_BUCKETS_PER_HOLD; i++)
	{
		if (stripe->nwalks > 0 || stripe->nbuckets <= GOV_SEGMENT_BUCKETS ||
			stripe->nnodes >= stripe->nbuckets / 4 * 3)
			return false;
		drop_bucket(stripe);
	}
	return true;
}
