/*
 * inherited.c
 *		The names of the budgets that entities have by a default.
 *
 * PURPOSE
 *		An inherited budget has no row, and nobody draws an id or a counter for
 *		it: two sessions that use it first would have to agree on those, and one
 *		would wait for the other.  Both are hashes of what makes the budget what
 *		it is, so every session knows the same ones.
 *
 * LAYOUT
 *		The id is a UUID of version 8 (RFC 9562).  The counter is below 0, where
 *		none is drawn.  Each text is preceded by its length.
 *
 * INVARIANTS
 *		An id has one counter at a time, and a counter that an id had does not
 *		come back to it after another: what is in flight on it could not be told
 *		from what is not.  So all that can change and change back is in the id:
 *		the anchor, which an entity's metadata may hold.  The seed is not, so that
 *		open holds go on when a default is given another cadence: a seed is
 *		drawn, and never comes back.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "port/pg_bswap.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "cache/inherited.h"

#define GOV_COUNTER_SIGN	(UINT64CONST(1) << 63)

static void
hash_bytes_of(pg_cryptohash_ctx *hash, const void *bytes, uint32 length)
{
	uint32		prefix = pg_hton32(length);

	if (pg_cryptohash_update(hash, (const uint8 *) &prefix, sizeof(prefix)) < 0 ||
		pg_cryptohash_update(hash, (const uint8 *) bytes, length) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute SHA-256 of a budget: %s", pg_cryptohash_error(hash))));
}

static void
hash_text(pg_cryptohash_ctx *hash, const text *value)
{
	hash_bytes_of(hash, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

static pg_cryptohash_ctx *
begin_hash(void)
{
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);

	if (hash == NULL || pg_cryptohash_init(hash) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute SHA-256 of a budget")));
	return hash;
}

static void
end_hash(pg_cryptohash_ctx *hash, uint8 *result)
{
	if (pg_cryptohash_final(hash, result, PG_SHA256_DIGEST_LENGTH) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute SHA-256 of a budget: %s", pg_cryptohash_error(hash))));
	pg_cryptohash_free(hash);
}

static void
hash_scope(pg_cryptohash_ctx *hash, Datum scope)
{
	Datum	   *ids;
	int			nids;

	deconstruct_array(DatumGetArrayTypeP(scope), TEXTOID, -1, false, TYPALIGN_INT,
					  &ids, NULL, &nids);
	for (int i = 0; i < nids; i++)
		hash_text(hash, DatumGetTextPP(ids[i]));
}

static void
name_budget(const GovInheritedKey *key, pg_uuid_t *id)
{
	pg_cryptohash_ctx *hash = begin_hash();
	uint32		salt = pg_hton32(key->salt);
	uint8		has_anchor = key->anchor != NULL;
	uint8		digest[PG_SHA256_DIGEST_LENGTH];

	hash_bytes_of(hash, key->default_id.data, UUID_LEN);
	hash_bytes_of(hash, &salt, sizeof(salt));
	hash_bytes_of(hash, &has_anchor, sizeof(has_anchor));
	if (has_anchor)
		hash_text(hash, key->anchor);
	hash_text(hash, DatumGetTextPP(key->owner));
	hash_text(hash, DatumGetTextPP(key->entity));
	hash_scope(hash, key->scope);
	end_hash(hash, digest);
	memcpy(id->data, digest, UUID_LEN);
	id->data[6] = (id->data[6] & 0x0f) | 0x80;
	id->data[8] = (id->data[8] & 0x3f) | 0x80;
}

/* The counter of an inherited budget while its default has this seed. */
int64
gov_inherited_counter(const pg_uuid_t *id, int64 seed)
{
	pg_cryptohash_ctx *hash = begin_hash();
	uint64		prefix = pg_hton64((uint64) seed);
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	uint64		result;

	hash_bytes_of(hash, id->data, UUID_LEN);
	hash_bytes_of(hash, &prefix, sizeof(prefix));
	end_hash(hash, digest);
	memcpy(&result, digest, sizeof(result));
	return (int64) (pg_ntoh64(result) | GOV_COUNTER_SIGN);
}

/* The id of an inherited budget, and its counter. */
void
gov_inherited_name(const GovInheritedKey *key, pg_uuid_t *id, int64 *counter_id)
{
	name_budget(key, id);
	*counter_id = gov_inherited_counter(id, key->seed);
	Assert(*counter_id < 0);
}
