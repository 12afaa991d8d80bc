/*
 * api_shard.c
 *		SQL functions gov_shard and gov_shard_key.
 *
 * PURPOSE
 *		What a router, or an application that connects to an owner's shard itself,
 *		asks: where is the owner, or the hold with this id.  They read no table and
 *		no shared memory, and answer alike on every server.
 *
 * FAILURE
 *		22023 for a number of shards below 1.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

#include "base/compat.h"
#include "ledger/shard.h"

PG_FUNCTION_INFO_V1(gov_shard_owner_1_1);
PG_FUNCTION_INFO_V1(gov_shard_hold_1_1);
PG_FUNCTION_INFO_V1(gov_shard_key_owner_1_1);
PG_FUNCTION_INFO_V1(gov_shard_key_hold_1_1);

static int32
shards_argument(FunctionCallInfo fcinfo)
{
	int32		shards = PG_GETARG_INT32(1);

	if (shards < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"shards\": %d", shards),
				 errhint("Write how many shards there are, 1 or more.")));
	return shards;
}

static uint64
owner_key(FunctionCallInfo fcinfo)
{
	text	   *owner = PG_GETARG_TEXT_PP(0);

	return gov_shard_key(VARDATA_ANY(owner), VARSIZE_ANY_EXHDR(owner));
}

/* gov_shard(owner_id text, shards int) returns int */
Datum
gov_shard_owner_1_1(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(gov_shard_of(owner_key(fcinfo), shards_argument(fcinfo)));
}

/* gov_shard(reservation_id uuid, shards int) returns int */
Datum
gov_shard_hold_1_1(PG_FUNCTION_ARGS)
{
	int32		shards = shards_argument(fcinfo);
	uint64		key;

	if (!gov_shard_read_id(PG_GETARG_UUID_P(0), &key))
		PG_RETURN_NULL();
	PG_RETURN_INT32(gov_shard_of(key, shards));
}

/* gov_shard_key(owner_id text) returns bigint */
Datum
gov_shard_key_owner_1_1(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) owner_key(fcinfo));
}

/* gov_shard_key(reservation_id uuid) returns bigint */
Datum
gov_shard_key_hold_1_1(PG_FUNCTION_ARGS)
{
	uint64		key;

	if (!gov_shard_read_id(PG_GETARG_UUID_P(0), &key))
		PG_RETURN_NULL();
	PG_RETURN_INT64((int64) key);
}
