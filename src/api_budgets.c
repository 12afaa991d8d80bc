/*
 * api_budgets.c
 *		The budgets of one entity after another, as the views gov_budgets and
 *		gov_allocations ask for them.
 *
 * PURPOSE
 *		A view cannot know how much of an owner its query will ask for.  So
 *		entities are read one by one, until that has cost about as much as to
 *		read the whole owner.  Then the owner is read whole, and further entities
 *		are answered from memory.  A query costs at most twice what the better of
 *		the two ways would have cost.
 *
 *		What is read is decided by the two functions in SQL that this calls with
 *		the rights of its caller: _gov_budgets_at, of a whole owner and of some
 *		entities.  How many budgets an owner has is asked with the engine's
 *		rights, but not of an owner whom the caller may not see, because the cost
 *		of the query would tell.
 *
 * MEMORY
 *		The whole of one owner, in the memory of the query.  The views ask owner
 *		by owner.
 *
 * INVARIANTS
 *		A query has one snapshot and asks for one time, so what was read answers
 *		to its end.
 *
 * FAILURE
 *		That of the functions called.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/instrument.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "base/owner.h"
#include "base/spi.h"
#include "cache/entity.h"
#include "pure/bytes.h"

#define GOV_WHOLE_AT_ONCE	50	/* budgets of an owner that is always read
								 * whole */
#define GOV_ENTITY_PRICE	200 /* budgets of a whole owner, for planning and
								 * starting a query */

PG_FUNCTION_INFO_V1(gov_budgets_of_entity_1_1);

/* the arguments, by position */
enum
{
	ARG_OWNER,
	ARG_ENTITY,
	ARG_AT
};

static GovQuery size_query = {
	.sql =
	"select count(*) from (select from @gov_assignments a where a.owner_id = $1"
	" union all select from @gov_default_counts n where n.owner_id = $1 limit $2) b",
	.nargs = 2,
	.argtypes = {TEXTOID, INT8OID}
};

/* A row of the owner that is read whole. */
typedef struct GovBudgetsRow
{
	text	   *entity;
	int64		number;			/* as it was read */
	MinimalTuple tuple;
} GovBudgetsRow;

/* What a query has asked for. */
typedef struct GovBudgetsReader
{
	MemoryContext context;		/* of the query */
	MemoryContext owner_context;	/* of what follows */
	FmgrInfo	whole;
	FmgrInfo	part;
	text	   *owner;			/* NULL: none yet */
	TimestampTz at;
	int64		asked;			/* entities of this owner */
	int64		spent;			/* on them, in budgets of a whole owner */
	int64		limit;			/* the owner has at least so many budgets */
	bool		is_whole;		/* rows are all that it has */
	bool		wants_whole;	/* as most of the last owner was asked for */
	int64		nrows;
	int64		next;			/* after the row that was answered last */
	GovBudgetsRow *rows;		/* by entity */
	TupleTableSlot *slot;
} GovBudgetsReader;

/* ---------------------------------------------------------------- the functions called */

static void
find_function(GovBudgetsReader *reader, FmgrInfo *function, Oid namespace, int nargs)
{
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID, TEXTARRAYOID};
	List	   *name = list_make2(makeString(get_namespace_name(namespace)),
								  makeString(pstrdup("_gov_budgets_at")));

	fmgr_info_cxt(LookupFuncName(name, nargs, types, false), function, reader->context);
}

/* The reader of the query that runs. */
static GovBudgetsReader *
get_reader(FunctionCallInfo fcinfo)
{
	FmgrInfo   *self = fcinfo->flinfo;
	GovBudgetsReader *reader = self->fn_extra;

	if (reader == NULL)
	{
		Oid			namespace = get_func_namespace(self->fn_oid);

		reader = MemoryContextAllocZero(self->fn_mcxt, sizeof(GovBudgetsReader));
		reader->context = self->fn_mcxt;
		reader->owner_context = AllocSetContextCreate(self->fn_mcxt, "governance budgets",
													  ALLOCSET_DEFAULT_SIZES);
		find_function(reader, &reader->whole, namespace, 2);
		find_function(reader, &reader->part, namespace, 3);
		self->fn_extra = reader;
	}
	return reader;
}

/* ---------------------------------------------------------------- owners */

/*
 * Begin with another owner.  Of the one before it is remembered whether most
 * of it was asked for.
 */
static void
begin_owner(GovBudgetsReader *reader, const text *owner, TimestampTz at)
{
	if (reader->is_whole && reader->nrows > GOV_WHOLE_AT_ONCE)
		reader->wants_whole = reader->asked * GOV_ENTITY_PRICE >= reader->nrows;
	MemoryContextReset(reader->owner_context);
	reader->owner = (text *) MemoryContextAlloc(reader->owner_context, VARSIZE_ANY(owner));
	memcpy(reader->owner, owner, VARSIZE_ANY(owner));
	reader->at = at;
	reader->asked = 0;
	reader->spent = 0;
	reader->limit = 0;
	reader->is_whole = false;
	reader->nrows = 0;
	reader->next = 0;
}

/*
 * Has the owner at most so many budgets?  Counting goes on to twice as many at
 * least, so that it is seldom done again.
 */
static bool
has_at_most(GovBudgetsReader *reader, int64 count)
{
	GovSpi		spi;
	Datum		args[2];
	bool		isnull;

	if (count < 2 * reader->limit)
		return false;
	reader->limit = count + 1;
	args[0] = PointerGetDatum(reader->owner);
	args[1] = Int64GetDatum(reader->limit);
	gov_spi_begin(&spi);
	gov_spi_push_snapshot(GOV_SNAPSHOT_STATEMENT);
	gov_spi_select(&size_query, args, NULL);
	count = DatumGetInt64(gov_spi_value(0, 1, &isnull));
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
	return count < reader->limit;
}

/* May the caller see an owner, by the policies of the tables (policy.c)? */
static bool
may_see(const text *owner)
{
	return gov_owner_pin() == NULL ? gov_owner_reads_every() :
		gov_owner_is_pinned_to(VARDATA_ANY(owner), VARSIZE_ANY_EXHDR(owner));
}

static bool
is_whole_cheaper(GovBudgetsReader *reader)
{
	return may_see(reader->owner) &&
		(reader->wants_whole ||
		 has_at_most(reader, Max(reader->spent, GOV_WHOLE_AT_ONCE)));
}

static int
compare_rows(const void *a, const void *b)
{
	const GovBudgetsRow *left = a;
	const GovBudgetsRow *right = b;
	int			order = gov_bytes_compare(VARDATA_ANY(left->entity),
										  VARSIZE_ANY_EXHDR(left->entity),
										  VARDATA_ANY(right->entity),
										  VARSIZE_ANY_EXHDR(right->entity));

	return order != 0 ? order : (left->number > right->number) - (left->number < right->number);
}

/* Keep the rows that were read, by entity. */
static void
keep_rows(GovBudgetsReader *reader, Tuplestorestate *store)
{
	MemoryContext caller = MemoryContextSwitchTo(reader->owner_context);
	int64		capacity = Max(tuplestore_tuple_count(store), 1);

	reader->rows = MemoryContextAllocHuge(reader->owner_context, sizeof(GovBudgetsRow) * capacity);
	while (tuplestore_gettupleslot(store, true, false, reader->slot))
	{
		GovBudgetsRow *row = &reader->rows[reader->nrows];
		bool		isnull;

		Assert(reader->nrows < capacity);
		row->entity = DatumGetTextPCopy(slot_getattr(reader->slot, 1, &isnull));
		row->number = reader->nrows++;
		row->tuple = ExecCopySlotMinimalTuple(reader->slot);
	}
	ExecClearTuple(reader->slot);
	qsort(reader->rows, reader->nrows, sizeof(GovBudgetsRow), compare_rows);
	MemoryContextSwitchTo(caller);
}

static void
read_whole(GovBudgetsReader *reader, FunctionCallInfo fcinfo)
{
	LOCAL_FCINFO(call, 2);
	ReturnSetInfo result = *(ReturnSetInfo *) fcinfo->resultinfo;

	InitFunctionCallInfoData(*call, &reader->whole, 2, PG_GET_COLLATION(), NULL,
							 (Node *) &result);
	call->args[0].value = PointerGetDatum(reader->owner);
	call->args[0].isnull = false;
	call->args[1].value = TimestampTzGetDatum(reader->at);
	call->args[1].isnull = false;
	FunctionCallInvoke(call);
	reader->is_whole = true;
	if (result.setResult == NULL)
		return;
	keep_rows(reader, result.setResult);
	tuplestore_end(result.setResult);
	if (result.setDesc != NULL && result.setDesc->tdrefcount == -1)
		FreeTupleDesc(result.setDesc);
}

/* ---------------------------------------------------------------- entities */

/* The first row of an entity in the owner that is read whole, or where it would be. */
static int64
find_row(const GovBudgetsReader *reader, text *entity)
{
	GovBudgetsRow wanted = {.entity = entity, .number = -1};
	int64		low = 0;
	int64		high = reader->nrows;

	/* entities are asked for in order, as a rule */
	if (reader->next < high && gov_bytes_same(reader->rows[reader->next].entity, entity) &&
		(reader->next == 0 || !gov_bytes_same(reader->rows[reader->next - 1].entity, entity)))
		return reader->next;
	while (low < high)
	{
		int64		middle = low + (high - low) / 2;

		if (compare_rows(&reader->rows[middle], &wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
put_rows(GovBudgetsReader *reader, text *entity, ReturnSetInfo *result)
{
	MemoryContext caller = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
	int64		at = find_row(reader, entity);

	result->returnMode = SFRM_Materialize;
	result->setResult = tuplestore_begin_heap(false, false, work_mem);
	result->setDesc = NULL;		/* as expected */
	MemoryContextSwitchTo(caller);
	for (; at < reader->nrows && gov_bytes_same(reader->rows[at].entity, entity); at++)
	{
		ExecStoreMinimalTuple(reader->rows[at].tuple, reader->slot, false);
		tuplestore_puttupleslot(result->setResult, reader->slot);
	}
	ExecClearTuple(reader->slot);
	reader->next = at;
}

/* Read one entity, and count what that has cost. */
static Datum
read_part(GovBudgetsReader *reader, FunctionCallInfo fcinfo)
{
	LOCAL_FCINFO(call, 3);
	Datum		entity = PG_GETARG_DATUM(ARG_ENTITY);
	int64		before = pgBufferUsage.shared_blks_hit + pgBufferUsage.shared_blks_read;
	Datum		result;

	InitFunctionCallInfoData(*call, &reader->part, 3, PG_GET_COLLATION(), NULL,
							 fcinfo->resultinfo);
	call->args[0].value = PointerGetDatum(reader->owner);
	call->args[0].isnull = false;
	call->args[1].value = TimestampTzGetDatum(reader->at);
	call->args[1].isnull = false;
	call->args[2].value = PointerGetDatum(construct_array(&entity, 1, TEXTOID, -1, false,
														  TYPALIGN_INT));
	call->args[2].isnull = false;
	result = FunctionCallInvoke(call);
	reader->spent += GOV_ENTITY_PRICE +
		pgBufferUsage.shared_blks_hit + pgBufferUsage.shared_blks_read - before;
	return result;
}

static void
require_materialize(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	if (result == NULL || !IsA(result, ReturnSetInfo) || result->expectedDesc == NULL ||
		(result->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the budgets of an entity are returned as a table only"),
				 errhint("Query gov_budgets.")));
}

/* _gov_budgets_of_entity(owner text, entity text, at timestamptz) returns the columns of _gov_budgets_at */
Datum
gov_budgets_of_entity_1_1(PG_FUNCTION_ARGS)
{
	text	   *owner = PG_GETARG_TEXT_PP(ARG_OWNER);
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(ARG_AT);
	GovBudgetsReader *reader;

	require_materialize(fcinfo);
	reader = get_reader(fcinfo);
	if (reader->slot == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(reader->context);

		reader->slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(((ReturnSetInfo *) fcinfo->resultinfo)->expectedDesc),
												&TTSOpsMinimalTuple);
		MemoryContextSwitchTo(caller);
	}
	if (reader->owner == NULL || reader->at != at || !gov_bytes_same(reader->owner, owner))
		begin_owner(reader, owner, at);
	reader->asked++;
	if (!reader->is_whole && is_whole_cheaper(reader))
		read_whole(reader, fcinfo);
	if (!reader->is_whole)
		return read_part(reader, fcinfo);
	put_rows(reader, PG_GETARG_TEXT_PP(ARG_ENTITY), (ReturnSetInfo *) fcinfo->resultinfo);
	return (Datum) 0;
}
