/*
 * api_import.c
 *		gov_import_owner: an owner that comes from another server.
 *
 * PURPOSE
 *		How a chunk is imported is said in SQL (sql/54-moving.sql).  Here that is
 *		run as the extension's owner, and as a replica applies changes: triggers of
 *		ours and of users do not judge the rows again, write no history and raise no
 *		alerts, as those of the tables that come along have; but those that tell
 *		the cache do fire.
 *
 * PROTOCOL
 *		The first chunk freezes the owner here: no call of it is in flight then, nor
 *		while there is an import.  The last chunk compares counts and ledger, and
 *		the owner stays frozen until it is thawed.  Each call is as a whole
 *		imported or not at all, and gov_imports says how far they have come.
 *
 * FAILURE
 *		22004 for a null, 42501 for an owner that the session may not change; what
 *		is wrong with a chunk is raised by the functions in SQL.  Nothing of the call
 *		is then imported.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "base/errors.h"
#include "base/owner.h"
#include "base/spi.h"
#include "call/request.h"
#include "call/write.h"

PG_FUNCTION_INFO_V1(gov_import_owner_1_1);

static GovQuery chunk_query = {
	.sql = "select @_gov_import_chunk($1, $2)",
	.nargs = 2,
	.argtypes = {TEXTOID, JSONBOID}
};

static GovQuery state_query = {
	.sql = "select i.chunks_done, i.completed_at is not null from @gov_imports i where i.owner_id = $1 for share",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

static text *
owner_argument(FunctionCallInfo fcinfo)
{
	text	   *owner;

	if (PG_ARGISNULL(0))
		gov_error_null_argument("owner_id");
	owner = PG_GETARG_TEXT_PP(0);
	gov_request_check_key("owner_id", owner);
	gov_owner_require(text_to_cstring(owner));
	return owner;
}

static int
chunks_argument(FunctionCallInfo fcinfo, Datum **chunks)
{
	ArrayType  *array;
	bool	   *nulls;
	int			count;

	if (PG_ARGISNULL(1))
		gov_error_null_argument("chunks");
	array = PG_GETARG_ARRAYTYPE_P(1);
	gov_error_unless_list(array, "chunks");
	deconstruct_array(array, JSONBOID, -1, false, TYPALIGN_INT, chunks, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"chunks\" must not contain nulls"),
					 errhint("Pass the chunks as gov_export_owner returns them.")));
	}
	return count;
}

/* To the end of the scope, which restores it: see above. */
static void
write_as_replica(void)
{
	(void) set_config_option("session_replication_role", "replica", PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/* How far the import is; before its first chunk, nothing of it is. */
static void
read_state(text *owner, Datum *values)
{
	Datum		args[1] = {PointerGetDatum(owner)};
	bool		isnull;

	values[0] = Int64GetDatum(0);
	values[1] = BoolGetDatum(false);
	if (gov_spi_modify(&state_query, args, NULL) == 0)
		return;
	values[0] = gov_spi_value(0, 1, &isnull);
	values[1] = gov_spi_value(0, 2, &isnull);
}

/* gov_import_owner(owner_id text, chunks jsonb[]) returns (chunks_done bigint, is_complete boolean) */
Datum
gov_import_owner_1_1(PG_FUNCTION_ARGS)
{
	text	   *owner = owner_argument(fcinfo);
	Datum	   *chunks;
	int			nchunks = chunks_argument(fcinfo, &chunks);
	TupleDesc	tupdesc;
	Datum		values[2];
	bool		nulls[2] = {false, false};
	GovSpi		spi;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	gov_write_begin("gov_import_owner()");
	gov_spi_begin(&spi);
	write_as_replica();
	for (int i = 0; i < nchunks; i++)
	{
		Datum		args[2] = {PointerGetDatum(owner), chunks[i]};

		gov_spi_modify(&chunk_query, args, NULL);
		SPI_freetuptable(SPI_tuptable);
	}
	read_state(owner, values);
	gov_spi_end(&spi);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls)));
}
