/*
 * shard.c
 *		Which of several servers an owner is at home on.
 *
 * PURPOSE
 *		An owner is on one shard with all it has, so that nothing that is decided
 *		or counted spans two.  Whoever routes a call knows the owner, or for a
 *		hold only the id that reserving it has returned.  So an owner has a key,
 *		the ids of its holds carry that key, and from the key follows the shard.
 *
 * KEY
 *		The first 48 bits of the SHA-256 of the owner's id in UTF-8, the most
 *		significant first.  Whoever routes can compute it anywhere, and it does
 *		not depend on the encoding of the database.  In one of encoding
 *		SQL_ASCII the id's bytes are taken as they are.
 *
 * SHARD
 *		Lamping and Veach's jump consistent hash of the key: with one shard more,
 *		one owner in so many moves, to the new shard, and nobody else.  Its
 *		arithmetic is exact in IEEE 754 double precision, so that every platform
 *		has the same answer.
 *
 * ID OF A HOLD
 *		A UUID of version 8 (RFC 9562): 48 bits of the key, the version, 12 random
 *		bits, the variant, 62 random bits.  The ids of before 1.1 are of version 4
 *		and say nothing of their owner.
 *
 * INVARIANTS
 *		All of this is for ever: others have computed it, and stored it.
 *
 * FAILURE
 *		XX000 when there is no source of random numbers, 22021 or 22P05 when an
 *		owner's id has no form in UTF-8.
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "mb/pg_wchar.h"

#include "ledger/shard.h"

#define KEY_BYTES		6

/* Of Knuth's linear congruential generator that the authors use. */
#define JUMP_MULTIPLIER	UINT64CONST(2862933555777941757)

static uint64
read_key(const uint8 *bytes)
{
	uint64		key = 0;

	for (int i = 0; i < KEY_BYTES; i++)
		key = key << 8 | bytes[i];
	return key;
}

uint64
gov_shard_key(const char *owner, uint32 length)
{
	bool		has_any_bytes = GetDatabaseEncoding() == PG_SQL_ASCII;
	const char *utf8 = has_any_bytes ? owner : pg_server_to_any(owner, length, PG_UTF8);
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);

	if (context == NULL ||
		pg_cryptohash_init(context) < 0 ||
		pg_cryptohash_update(context, (const uint8 *) utf8, utf8 == owner ? length : strlen(utf8)) < 0 ||
		pg_cryptohash_final(context, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute a SHA-256 hash");
	pg_cryptohash_free(context);
	return read_key(digest);
}

/* 0 to shards - 1, of one shard or more. */
int32
gov_shard_of(uint64 key, int32 shards)
{
	int64		shard;
	int64		next = 0;

	do
	{
		shard = next;
		key = key * JUMP_MULTIPLIER + 1;
		next = (int64) ((double) (shard + 1) * ((double) (INT64CONST(1) << 31) / (double) ((key >> 33) + 1)));
	} while (next < shards);
	return (int32) shard;
}

/* Draw an id for a hold of the owner with this key. */
void
gov_shard_draw_id(uint64 key, pg_uuid_t *id)
{
	if (!pg_strong_random(id->data + KEY_BYTES, UUID_LEN - KEY_BYTES))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
	for (int i = 0; i < KEY_BYTES; i++)
		id->data[i] = (uint8) (key >> (8 * (KEY_BYTES - 1 - i)));
	id->data[6] = (id->data[6] & 0x0f) | 0x80;
	id->data[8] = (id->data[8] & 0x3f) | 0x80;
}

/* The key that an id carries; false when it carries none. */
bool
gov_shard_read_id(const pg_uuid_t *id, uint64 *key)
{
	*key = read_key(id->data);
	return id->data[6] >> 4 == 8 && id->data[8] >> 6 == 2;
}
