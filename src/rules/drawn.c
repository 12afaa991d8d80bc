/*
 * drawn.c
 *		Ids that the extension draws for rows: UUIDs of version 7 (RFC 9562).
 *
 * PURPOSE
 *		They begin with the time, so that rows which are made together have
 *		neighbouring entries in an index.  With random ids each entry would be on
 *		another page.
 *
 * LAYOUT
 *		48 bits of milliseconds since 1970, the version, 12 bits of the fraction
 *		of the millisecond, the variant, 62 random bits.
 *
 * INVARIANTS
 *		A session draws them in ascending order: where the clock has not moved
 *		on, or is behind, the last time is counted up by one.
 *
 * FAILURE
 *		XX000 when there is no source of random numbers.
 */
#include "postgres.h"

#include "datatype/timestamp.h"
#include "port/pg_bswap.h"
#include "utils/timestamp.h"

#include "rules/drawn.h"

#define RANDOM_IDS		64		/* whose bits are fetched at a time */
#define RANDOM_BYTES	8
#define FRACTION_BITS	12
#define EPOCH_DISTANCE_US \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

static uint8 random_bytes[RANDOM_IDS * RANDOM_BYTES];
static int	nrandom = 0;		/* ids that there are still bits for */
static uint64 last_time = 0;

/*
 * The time of the next id: milliseconds, with their fraction in the low bits.
 */
static uint64
next_time(void)
{
	uint64		now_us = GetCurrentTimestamp() + EPOCH_DISTANCE_US;
	uint64		now = (now_us / 1000) << FRACTION_BITS |
	((now_us % 1000) << FRACTION_BITS) / 1000;

	last_time = Max(now, last_time + 1);
	return last_time;
}

static const uint8 *
next_random(void)
{
	if (nrandom == 0)
	{
		if (!pg_strong_random(random_bytes, sizeof(random_bytes)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate random values")));
		nrandom = RANDOM_IDS;
	}
	return &random_bytes[--nrandom * RANDOM_BYTES];
}

void
gov_drawn_id(pg_uuid_t *id)
{
	const uint8 *random = next_random();
	uint64		time = next_time();
	uint64		high = pg_hton64((time >> FRACTION_BITS) << 16 | UINT64CONST(0x7000) |
								 (time & ((1 << FRACTION_BITS) - 1)));

	StaticAssertStmt(UUID_LEN == sizeof(high) + RANDOM_BYTES, "an id is a time and random bytes");
	memcpy(id->data, &high, sizeof(high));
	memcpy(id->data + sizeof(high), random, RANDOM_BYTES);
	id->data[8] = (id->data[8] & 0x3f) | 0x80;
}
