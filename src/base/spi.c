/*
 * spi.c
 *		Statements that the engine runs on its own tables.
 *
 * PURPOSE
 *		The one place that uses SPI and switches the user.  Between
 *		gov_spi_begin() and gov_spi_end() statements run as the owner of the
 *		extension, with a search path on which nobody else can put an operator;
 *		so a caller needs EXECUTE on our functions and no right on our tables.
 *		Row-level security does not apply to the owner: which rows a call may
 *		touch is judged before (owner.c).
 *
 *		Users may have foreign keys and triggers on our tables.  Their deferred
 *		ones wait for the commit as after any statement, which a
 *		security-restricted operation would refuse.  It would keep nothing else
 *		from them: they run as whoever writes, so who may make them is trusted by
 *		all who do.  Two scopes are restricted all the same: on a user's table,
 *		whose indexes call functions of his, and where the transaction has
 *		fired its deferred triggers already.
 *
 * SNAPSHOTS
 *		The caller pushes the snapshot that its SELECTs see and pops it; it
 *		thereby says what they must see at every isolation level, and several
 *		statements can share one.  gov_spi_modify() takes the latest one
 *		itself.
 *
 * INVARIANTS
 *		Plans are made and run under the same search path, so each statement is
 *		planned once.  A plan belongs to a generation of the catalog; one of an
 *		earlier generation names tables that may be gone, and is made again.
 *		The generation is read before the plan is prepared, because preparing
 *		may process an invalidation; then the plan is made once more.  A plan is
 *		not freed while a scope further out may be running it.  A scan of very
 *		many rows is planned each time, for its arguments.
 *
 * FAILURE
 *		On an error the (sub)transaction's abort restores user, security
 *		context, settings, SPI stack and snapshot stack, and transaction.c calls
 *		gov_spi_abort(); nothing here catches.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/fault.h"
#include "base/spi.h"

#define GOV_SCOPES_MAX	32		/* of gov_spi_begin() inside one another */

/* The nesting level of the (sub)transaction that each open scope began in. */
static int	scope_levels[GOV_SCOPES_MAX];
static bool scope_writes_row[GOV_SCOPES_MAX];
static int	nscopes = 0;

static List *discarded = NIL;	/* plans to be freed when none is running */

static void
set_setting(const char *setting, const char *value)
{
	set_config_option(setting, value, PGC_USERSET, PGC_S_SESSION,
					  GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Have the planner use indexes.  Our statements look up a few rows in tables
 * that may be huge, and fresh from a restore without statistics.  They must
 * use their indexes all the same, and the same plan serves all arguments.
 */
static void
forbid_scans(void)
{
	set_setting("enable_seqscan", "off");
	set_setting("enable_bitmapscan", "off");
	set_setting("jit", "off");
}

static void
enter_level(bool writes_row)
{
	if (nscopes >= GOV_SCOPES_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
				 errmsg("statements of governance are nested too deeply")));
	scope_levels[nscopes] = GetCurrentTransactionNestLevel();
	scope_writes_row[nscopes++] = writes_row;
}

static void
leave_level(void)
{
	Assert(nscopes > 0);
	nscopes--;
}

/* What follows, up to gov_spi_leave_row(), writes a row of ours below SPI. */
void
gov_spi_enter_row(void)
{
	enter_level(true);
}

void
gov_spi_leave_row(void)
{
	leave_level();
}

/* Is such a row being written? */
bool
gov_spi_is_writing_row(void)
{
	for (int i = 0; i < nscopes; i++)
	{
		if (scope_writes_row[i])
			return true;
	}
	return false;
}

static void
begin_as(GovSpi *spi, Oid role, int sec_context)
{
	enter_level(false);
	GetUserIdAndSecContext(&spi->user, &spi->sec_context);
	SetUserIdAndSecContext(role,
						   spi->sec_context | SECURITY_LOCAL_USERID_CHANGE | sec_context);
	spi->guc_level = NewGUCNestLevel();
	RestrictSearchPath();
	forbid_scans();
	if (SPI_connect() != SPI_OK_CONNECT)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not connect to the SPI manager")));
	GOV_FAULT(GOV_FAULT_STATEMENT);
}

void
gov_spi_begin(GovSpi *spi)
{
	begin_as(spi, gov_catalog()->owner, 0);
}

/*
 * Begin the last statements of a transaction, which is about to commit: a trigger
 * that they would defer would never fire, so that is refused.
 */
void
gov_spi_begin_before_commit(GovSpi *spi)
{
	begin_as(spi, gov_catalog()->owner, SECURITY_RESTRICTED_OPERATION);
}

/*
 * Begin statements on a user's table, which is locked.  They run as its owner
 * and see all its rows, like the look-ups of a foreign key.
 */
void
gov_spi_begin_as_owner_of(GovSpi *spi, Oid table)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table with OID %u does not exist", table)));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	begin_as(spi, owner, SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS);
}

void
gov_spi_end(GovSpi *spi)
{
	if (SPI_finish() != SPI_OK_FINISH)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not disconnect from the SPI manager")));
	AtEOXact_GUC(false, spi->guc_level);
	SetUserIdAndSecContext(spi->user, spi->sec_context);
	leave_level();
}

/*
 * A (sub)transaction has aborted: forget the scopes that it began, because
 * nobody will end them.
 */
void
gov_spi_abort(int level)
{
	while (nscopes > 0 && scope_levels[nscopes - 1] >= level)
		nscopes--;
}

/* Is the running statement one of the engine's own? */
bool
gov_spi_is_engine(void)
{
	return nscopes > 0;
}

/* Put the schema's name before every "@gov_" and "@_gov_". */
static char *
qualify_names(const char *sql, const char *schema_name)
{
	StringInfoData buf;
	const char *from = sql;
	const char *at;

	initStringInfo(&buf);
	while ((at = strchr(from, '@')) != NULL)
	{
		appendBinaryStringInfo(&buf, from, at - from);
		if (strncmp(at, "@gov_", 5) == 0 || strncmp(at, "@_gov_", 6) == 0)
			appendStringInfo(&buf, "%s.", schema_name);
		else
			appendStringInfoChar(&buf, '@');
		from = at + 1;
	}
	appendStringInfoString(&buf, from);
	return buf.data;
}

pg_noreturn static void
raise_not_prepared(const char *sql)
{
	ereport(ERROR,
			(errcode(ERRCODE_INTERNAL_ERROR),
			 errmsg("could not prepare statement: %s", SPI_result_code_string(SPI_result)),
			 errcontext("SQL statement \"%s\"", sql)));
}

/*
 * Free the plan of an earlier generation.  It may be running, if a trigger has
 * called us in the midst of it: so it is freed once no statement is.
 */
static void
discard_plan(GovQuery *query)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

	if (query->plan != NULL)
		discarded = lappend(discarded, query->plan);
	query->plan = NULL;
	MemoryContextSwitchTo(caller);
	while (nscopes == 1 && discarded != NIL)
	{
		SPIPlanPtr	plan = llast(discarded);

		discarded = list_delete_last(discarded);
		SPI_freeplan(plan);
	}
}

/* Make the plan, or make it again if the catalog has moved. */
static void
prepare_query(GovQuery *query)
{
	const GovCatalog *catalog = gov_catalog();
	uint64		generation = catalog->generation;
	char	   *sql;

	if (query->plan != NULL && query->generation == generation)
		return;
	discard_plan(query);
	sql = qualify_names(query->sql, catalog->schema_name);
	query->plan = SPI_prepare_cursor(sql, query->nargs, query->argtypes,
									 CURSOR_OPT_GENERIC_PLAN);
	if (query->plan == NULL || SPI_keepplan(query->plan) != 0)
		raise_not_prepared(sql);
	query->generation = generation;
	pfree(sql);
}

static void
check_result(const GovQuery *query, int result)
{
	if (result < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not execute statement: %s", SPI_result_code_string(result)),
				 errcontext("SQL statement \"%s\"", query->sql)));
}

static void
begin_statement(const GovQuery *query)
{
	if (query->uses_bitmap)
		set_setting("enable_bitmapscan", "on");
}

static void
end_statement(const GovQuery *query)
{
	if (query->uses_bitmap)
		set_setting("enable_bitmapscan", "off");
}

/* Run a SELECT under the active snapshot; rows are in SPI_tuptable. */
uint64
gov_spi_select(GovQuery *query, Datum *args, const char *nulls)
{
	GOV_FAULT(GOV_FAULT_STATEMENT);
	begin_statement(query);
	prepare_query(query);
	check_result(query, SPI_execute_plan(query->plan, args, nulls, true, 0));
	end_statement(query);
	return SPI_processed;
}

/* Run a statement that writes or locks, under the latest snapshot. */
uint64
gov_spi_modify(GovQuery *query, Datum *args, const char *nulls)
{
	GOV_FAULT(GOV_FAULT_STATEMENT);
	begin_statement(query);
	prepare_query(query);
	check_result(query,
				 SPI_execute_snapshot(query->plan, args, nulls,
									  GetLatestSnapshot(), InvalidSnapshot,
									  false, true, 0));
	end_statement(query);
	GOV_FAULT(GOV_FAULT_STATEMENT);
	return SPI_processed;
}

/* A receiver that passes each row of a scan to a callback. */
typedef struct GovRowReceiver
{
	DestReceiver receiver;
	GovRowCallback callback;
	void	   *state;
} GovRowReceiver;

static void
begin_rows(DestReceiver *self, int operation, TupleDesc tupdesc)
{
}

static bool
receive_row(TupleTableSlot *row, DestReceiver *self)
{
	GovRowReceiver *rows = (GovRowReceiver *) self;

	slot_getallattrs(row);
	rows->callback(row, rows->state);
	return true;
}

static void
end_rows(DestReceiver *self)
{
}

static ParamListInfo
scan_arguments(const GovQuery *query, Datum *args, const char *nulls)
{
	ParamListInfo list = makeParamList(query->nargs);

	for (int i = 0; i < query->nargs; i++)
	{
		list->params[i].value = args[i];
		list->params[i].isnull = nulls != NULL && nulls[i] == 'n';
		list->params[i].pflags = PARAM_FLAG_CONST;
		list->params[i].ptype = query->argtypes[i];
	}
	return list;
}

static void
hand_over_rows(const GovQuery *query, SPIPlanPtr plan, ParamListInfo params,
			   GovRowCallback callback, void *state)
{
	GovRowReceiver rows = {.callback = callback, .state = state};
	SPIExecuteOptions options = {.read_only = true, .params = params};

	rows.receiver.receiveSlot = receive_row;
	rows.receiver.rStartup = begin_rows;
	rows.receiver.rShutdown = end_rows;
	rows.receiver.rDestroy = end_rows;
	rows.receiver.mydest = DestTuplestore;
	options.dest = &rows.receiver;
	check_result(query, SPI_execute_plan_extended(plan, &options));
}

/*
 * Run a SELECT under the active snapshot and pass each row to a callback; none
 * is kept.  The callback must not run statements.
 */
void
gov_spi_each(GovQuery *query, Datum *args, const char *nulls,
			 GovRowCallback callback, void *state)
{
	GOV_FAULT(GOV_FAULT_STATEMENT);
	begin_statement(query);
	prepare_query(query);
	hand_over_rows(query, query->plan, scan_arguments(query, args, nulls), callback, state);
	end_statement(query);
}

/*
 * Run a SELECT of very many rows under the active snapshot and pass each row
 * to a callback; none is kept.  It is planned for these arguments, and may use
 * any scan.  The callback must not run statements.  Its memory context lives
 * as long as the scan.
 */
void
gov_spi_scan(const GovQuery *query, Datum *args, const char *nulls,
			 GovRowCallback callback, void *state)
{
	char	   *sql = qualify_names(query->sql, gov_catalog()->schema_name);
	SPIPlanPtr	plan;

	GOV_FAULT(GOV_FAULT_STATEMENT);
	set_setting("enable_seqscan", "on");
	set_setting("enable_bitmapscan", "on");
	plan = SPI_prepare_cursor(sql, query->nargs, (Oid *) query->argtypes,
							  CURSOR_OPT_CUSTOM_PLAN | CURSOR_OPT_PARALLEL_OK);
	if (plan == NULL)
		raise_not_prepared(sql);

	hand_over_rows(query, plan, scan_arguments(query, args, nulls), callback, state);
	SPI_freeplan(plan);
}

/*
 * Have the active snapshot, which we have pushed, see our own rows or not.  A
 * tuple of our own is visible when its command came before the snapshot's
 * curcid, and none came before FirstCommandId.
 */
void
gov_spi_set_snapshot(GovSnapshot kind)
{
	Snapshot	snapshot = GetActiveSnapshot();

	/*
	 * as UpdateActiveSnapshotCommandId(), which knows only the present
	 * command
	 */
	Assert(snapshot->copied && snapshot->active_count == 1 && snapshot->regd_count == 0);
	Assert(!IsInParallelMode());
	snapshot->curcid = kind == GOV_SNAPSHOT_COMMITTED ?
		FirstCommandId : GetCurrentCommandId(false);
}

/* Push a snapshot that is fresh at every isolation level. */
void
gov_spi_push_snapshot(GovSnapshot kind)
{
	if (kind == GOV_SNAPSHOT_LATEST)
		CommandCounterIncrement();
	PushCopiedSnapshot(GetLatestSnapshot());
	gov_spi_set_snapshot(kind);
}

void
gov_spi_pop_snapshot(void)
{
	PopActiveSnapshot();
}

Datum
gov_spi_value(uint64 row, int column, bool *isnull)
{
	Assert(row < SPI_processed);
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						 column, isnull);
}

/* A text column as a C string, NULL when null. */
char *
gov_spi_text(uint64 row, int column)
{
	bool		isnull;
	Datum		value = gov_spi_value(row, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}
