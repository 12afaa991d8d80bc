/*
 * nodetable.c
 *		The hash table of nodes that each stripe has.
 *
 * PURPOSE
 *		One owner with a million entities must cost no more per look-up than a
 *		million owners with one, and no insert may take long, because it runs
 *		under the stripe's lock.  Hence linear hashing: each insert splits at
 *		most one bucket.
 *
 * LAYOUT
 *		nbuckets buckets, each a chain of nodes.  They live in segments that
 *		are never moved: segment 0 has the first GOV_FIRST_SEGMENT_BUCKETS,
 *		each further one as many as all before it.
 *
 * LOCKING
 *		The caller holds the stripe's lock: exclusive to insert or to add a
 *		segment.  Segments are allocated beforehand, without it.
 *
 * FAILURE
 *		Without memory for the next segment the table stops splitting: chains
 *		grow longer and answers stay right.
 */
#include "postgres.h"

#include "port/pg_bitutils.h"

#include "nodetable.h"

/* Which segment is bucket number in, and where? */
static int
segment_of(uint32 number, uint32 *offset)
{
	int			power;

	if (number < GOV_FIRST_SEGMENT_BUCKETS)
	{
		*offset = number;
		return 0;
	}
	power = pg_leftmost_one_pos32(number);
	*offset = number - (1U << power);
	return power - pg_leftmost_one_pos32(GOV_FIRST_SEGMENT_BUCKETS) + 1;
}

dsa_pointer *
gov_nodetable_bucket_number(const GovSharedStripe *stripe, uint32 number)
{
	uint32		offset;
	int			segment = segment_of(number, &offset);
	dsa_pointer *buckets;

	Assert(number < stripe->nbuckets);
	buckets = dsa_get_address(gov_shmem_memory(), stripe->segments[segment]);
	return &buckets[offset];
}

static uint32
bucket_number(uint32 nbuckets, uint32 hash)
{
	uint32		mask = pg_nextpower2_32(nbuckets) - 1;
	uint32		number = hash & mask;

	return number < nbuckets ? number : number & (mask >> 1);
}

/* The head of the chain that a hash belongs to; NULL in an empty table. */
dsa_pointer *
gov_nodetable_bucket(const GovSharedStripe *stripe, uint32 hash)
{
	if (stripe->nbuckets == 0)
		return NULL;
	return gov_nodetable_bucket_number(stripe,
									   bucket_number(stripe->nbuckets, hash));
}

/* Would the next insert split into a segment that is not there yet? */
bool
gov_nodetable_wants_segment(const GovSharedStripe *stripe, Size *size)
{
	uint32		offset;
	int			segment = segment_of(stripe->nbuckets, &offset);

	if (stripe->nnodes < stripe->nbuckets || segment >= GOV_SEGMENTS ||
		DsaPointerIsValid(stripe->segments[segment]))
		return false;
	*size = sizeof(dsa_pointer) *
		(segment == 0 ? GOV_FIRST_SEGMENT_BUCKETS : stripe->nbuckets);
	return true;
}

/* Take a zeroed segment that gov_nodetable_wants_segment() asked for. */
void
gov_nodetable_add_segment(GovSharedStripe *stripe, dsa_pointer segment)
{
	uint32		offset;
	int			number = segment_of(stripe->nbuckets, &offset);

	Assert(offset == 0 && !DsaPointerIsValid(stripe->segments[number]));
	stripe->segments[number] = segment;
	if (number == 0)
		stripe->nbuckets = GOV_FIRST_SEGMENT_BUCKETS;
}

/* Move what belongs there from the bucket being split into a new one. */
static void
split_bucket(GovSharedStripe *stripe)
{
	uint32		added = stripe->nbuckets;
	uint32		split = added & ((pg_nextpower2_32(added + 1) >> 1) - 1);
	uint32		offset;
	dsa_pointer *from;
	dsa_pointer *to;

	if (!DsaPointerIsValid(stripe->segments[segment_of(added, &offset)]))
		return;
	stripe->nbuckets++;
	from = gov_nodetable_bucket_number(stripe, split);
	to = gov_nodetable_bucket_number(stripe, added);
	while (DsaPointerIsValid(*from))
	{
		dsa_pointer pointer = *from;
		GovSharedNode *node = dsa_get_address(gov_shmem_memory(), pointer);

		if (bucket_number(stripe->nbuckets, node->hash) == split)
		{
			from = &node->next;
			continue;
		}
		*from = node->next;
		node->next = *to;
		*to = pointer;
	}
}

void
gov_nodetable_insert(GovSharedStripe *stripe, dsa_pointer pointer)
{
	GovSharedNode *node = dsa_get_address(gov_shmem_memory(), pointer);
	dsa_pointer *bucket;

	Assert(stripe->nbuckets > 0);
	if (stripe->nnodes >= stripe->nbuckets)
		split_bucket(stripe);
	bucket = gov_nodetable_bucket(stripe, node->hash);
	node->next = *bucket;
	*bucket = pointer;
	stripe->nnodes++;
}
