/*
 * api_recount.c
 *		_gov_raise_barrier.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "base/owner.h"
#include "cache/barrier.h"
#include "call/request.h"
#include "call/write.h"

PG_FUNCTION_INFO_V1(gov_raise_barrier_1_1);

/* Keep calls of an owner out to the end of the transaction. */
Datum
gov_raise_barrier_1_1(PG_FUNCTION_ARGS)
{
	GovOwnerKey key;
	text	   *owner;
	char	   *name;

	gov_owner_require_unpinned("_gov_raise_barrier()");
	gov_write_begin("_gov_raise_barrier()");
	if (PG_ARGISNULL(0))
		gov_error_null_argument("owner_id");
	owner = PG_GETARG_TEXT_PP(0);
	gov_request_check_key("owner_id", owner);
	name = text_to_cstring(owner);
	gov_node_owner_key_init(&key, MyDatabaseId, gov_catalog()->extension, name, strlen(name));
	gov_barrier_raise(&key);
	PG_RETURN_VOID();
}
