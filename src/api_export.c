/*
 * api_export.c
 *		gov_export_owner: all of one owner, chunk by chunk.
 *
 * PURPOSE
 *		What is exported, and in what order, is said in SQL (sql/54-moving.sql).
 *		Here it is read a few rows at a time, and a chunk is returned a call, so
 *		that an owner with ten million events needs the memory of one chunk.
 *
 * SNAPSHOT
 *		That of the query that calls: all chunks are as of one moment.  The owner is
 *		frozen, so what calls have recorded is complete then.
 *
 * RIGHTS
 *		The tables are read with the engine's rights, of an owner that the
 *		session may see.
 *
 * FAILURE
 *		22004 and 22023 for arguments, 42501 for another owner than the session's,
 *		55000 for an owner that cannot be exported now.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "base/errors.h"
#include "base/owner.h"
#include "base/spi.h"
#include "base/spi_cursor.h"
#include "call/request.h"

PG_FUNCTION_INFO_V1(gov_export_owner_1_1);

#define GOV_CHUNK_ROWS		1000
#define GOV_CHUNK_BYTES		1000000
#define GOV_CHUNK_FETCH		100 /* rows at a time */

static GovQuery begin_query = {
	.sql = "select @_gov_export_begin($1)",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

static GovQuery queries_query = {
	.sql = "select q.relation, q.query from @_gov_export_queries() q"
};

static GovQuery chunk_query = {
	.sql = "select @_gov_chunk($1, $2, $3, $4, $5)",
	.nargs = 5,
	.argtypes = {TEXTOID, TEXTOID, INT8OID, TEXTOID, JSONBOID}
};

static GovQuery rows_query = {
	.sql = "select @_gov_chunk($1, $2, $3, $4, $5)",
	.nargs = 5,
	.argtypes = {TEXTOID, TEXTOID, INT8OID, TEXTOID, JSONBARRAYOID}
};

static GovQuery end_query = {
	.sql = "select jsonb_build_object('rows', $1)",
	.nargs = 1,
	.argtypes = {INT8OID}
};

/* An export that is under way, in the memory of the query that calls. */
typedef struct GovExport
{
	text	   *owner;
	text	   *id;
	char	  **relations;
	char	  **queries;
	int			nqueries;
	int			present;		/* query; nqueries: all are through */
	char	   *cursor;			/* NULL: the present query is not begun */
	int64		nchunks;
	int64		nrows;
	bool		has_ended;
	MemoryContext context;
} GovExport;

/* The rows of a chunk. */
typedef struct GovExportRows
{
	Datum		items[GOV_CHUNK_ROWS];
	int			count;
	Size		nbytes;
	MemoryContext context;
} GovExportRows;

static text *
owner_argument(FunctionCallInfo fcinfo)
{
	text	   *owner;

	if (PG_ARGISNULL(0))
		gov_error_null_argument("owner_id");
	owner = PG_GETARG_TEXT_PP(0);
	gov_request_check_key("owner_id", owner);
	gov_owner_require_visible(owner);
	return owner;
}

static void
read_queries(GovExport *export)
{
	MemoryContext caller;

	export->nqueries = gov_spi_select(&queries_query, NULL, NULL);
	caller = MemoryContextSwitchTo(export->context);
	export->relations = palloc(sizeof(char *) * export->nqueries);
	export->queries = palloc(sizeof(char *) * export->nqueries);
	for (int i = 0; i < export->nqueries; i++)
	{
		export->relations[i] = pstrdup(gov_spi_text(i, 1));
		export->queries[i] = pstrdup(gov_spi_text(i, 2));
	}
	MemoryContextSwitchTo(caller);
}

static GovExport *
begin_export(text *owner, MemoryContext context)
{
	MemoryContext caller = MemoryContextSwitchTo(context);
	GovExport  *export = palloc0(sizeof(GovExport));
	Datum		id = DirectFunctionCall1(gen_random_uuid, (Datum) 0);

	export->context = context;
	export->owner = DatumGetTextPCopy(PointerGetDatum(owner));
	export->id = cstring_to_text(DatumGetCString(DirectFunctionCall1(uuid_out, id)));
	MemoryContextSwitchTo(caller);
	return export;
}

/* Put what is in a chunk into one, in the memory of whoever called. */
static Datum
make_chunk(GovExport *export, GovQuery *query, const char *kind, Datum content, MemoryContext context)
{
	Datum		args[5] = {
		PointerGetDatum(export->owner),
		PointerGetDatum(export->id),
		Int64GetDatum(++export->nchunks),
		CStringGetTextDatum(kind),
		content
	};
	MemoryContext caller;
	Datum		chunk;
	bool		isnull;

	gov_spi_select(query, args, NULL);
	caller = MemoryContextSwitchTo(context);
	chunk = PointerGetDatum(PG_DETOAST_DATUM_COPY(gov_spi_value(0, 1, &isnull)));
	MemoryContextSwitchTo(caller);
	return chunk;
}

static Datum
make_first_chunk(GovExport *export, MemoryContext context)
{
	Datum		args[1] = {PointerGetDatum(export->owner)};
	bool		isnull;

	gov_spi_select(&begin_query, args, NULL);
	return make_chunk(export, &chunk_query, "begin", gov_spi_value(0, 1, &isnull), context);
}

static Datum
make_last_chunk(GovExport *export, MemoryContext context)
{
	Datum		args[1] = {Int64GetDatum(export->nrows)};
	bool		isnull;

	export->has_ended = true;
	gov_spi_select(&end_query, args, NULL);
	return make_chunk(export, &chunk_query, "end", gov_spi_value(0, 1, &isnull), context);
}

/* Add the rows that were fetched. */
static void
add_rows(GovExportRows *rows, uint64 nfetched)
{
	MemoryContext caller = MemoryContextSwitchTo(rows->context);
	bool		isnull;

	for (uint64 i = 0; i < nfetched; i++)
	{
		Datum		row = PointerGetDatum(PG_DETOAST_DATUM_COPY(gov_spi_value(i, 1, &isnull)));

		rows->nbytes += VARSIZE_ANY(DatumGetPointer(row));
		rows->items[rows->count++] = row;
	}
	MemoryContextSwitchTo(caller);
	SPI_freetuptable(SPI_tuptable);
}

static void
open_cursor(GovExport *export)
{
	const char *cursor = gov_spi_cursor_open(export->queries[export->present], export->owner);

	export->cursor = MemoryContextStrdup(export->context, cursor);
}

/* Read what the present query has left, as much as a chunk takes. */
static void
read_rows(GovExport *export, GovExportRows *rows)
{
	if (export->cursor == NULL)
		open_cursor(export);
	while (rows->count + GOV_CHUNK_FETCH <= GOV_CHUNK_ROWS && rows->nbytes < GOV_CHUNK_BYTES)
	{
		uint64		nfetched = gov_spi_cursor_fetch(export->cursor, GOV_CHUNK_FETCH);

		add_rows(rows, nfetched);
		if (nfetched == 0)
		{
			gov_spi_cursor_close(export->cursor);
			export->cursor = NULL;
			export->present++;
			return;
		}
	}
}

static Datum
make_rows(GovExport *export, GovExportRows *rows, const char *relation, MemoryContext context)
{
	ArrayType  *array = construct_array(rows->items, rows->count, JSONBOID, -1, false, TYPALIGN_INT);

	export->nrows += rows->count;
	return make_chunk(export, &rows_query, relation, PointerGetDatum(array), context);
}

/* The next chunk; there is one. */
static Datum
next_chunk(GovExport *export, MemoryContext context)
{
	GovExportRows *rows;

	if (export->nchunks == 0)
	{
		read_queries(export);
		return make_first_chunk(export, context);
	}
	rows = palloc(sizeof(GovExportRows));
	rows->context = CurrentMemoryContext;
	while (export->present < export->nqueries)
	{
		const char *relation = export->relations[export->present];

		rows->count = 0;
		rows->nbytes = 0;
		read_rows(export, rows);
		if (rows->count > 0)
			return make_rows(export, rows, relation, context);
	}
	return make_last_chunk(export, context);
}

/* gov_export_owner(owner_id text) returns setof jsonb */
Datum
gov_export_owner_1_1(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;
	GovExport  *export;
	MemoryContext context = CurrentMemoryContext;
	Datum		chunk;
	GovSpi		spi;

	if (SRF_IS_FIRSTCALL())
	{
		text	   *owner = owner_argument(fcinfo);

		call = SRF_FIRSTCALL_INIT();
		call->user_fctx = begin_export(owner, call->multi_call_memory_ctx);
	}
	call = SRF_PERCALL_SETUP();
	export = call->user_fctx;
	if (export->has_ended)
		SRF_RETURN_DONE(call);
	gov_spi_begin(&spi);
	chunk = next_chunk(export, context);
	gov_spi_end(&spi);
	SRF_RETURN_NEXT(call, chunk);
}
