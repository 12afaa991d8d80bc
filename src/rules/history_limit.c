/*
 * history_limit.c
 *		Keeps the limits that budgets have had.
 *
 * PURPOSE
 *		gov_limit_at() answers for any moment since a budget was made, whatever
 *		governance.change_retention deletes.  The present limit is in the
 *		budget's own row; so gov_limit_history has a row for each limit that
 *		another one has replaced, and a new budget costs nothing.  So it is with
 *		defaults, whose limit all have that inherit: their rows have the id of
 *		the default, and an empty owner where that is everybody's.
 *
 * INVARIANTS
 *		The rows of a budget, in the order of replaced_at, are its limits in the
 *		order in which they were in force.  A clock that was set back, or stood
 *		still, cannot change that: each is replaced a microsecond after the one
 *		before it, at the earliest.
 *
 *		Whoever changes a budget, or a default, holds its row, so no two sessions
 *		write of one at a time.
 *
 * COST
 *		A statement may change a hundred thousand limits.  Each row goes below
 *		SPI (append.c) once the index has no entry of its budget from the present
 *		time on, which it hardly ever has.  Where it has one, or is gone, a
 *		statement finds out when the last limit was replaced; so it is with
 *		deleted budgets, a batch of them at a time.
 *
 * WHEN
 *		At the end of a statement, over the rows that it wrote or deleted.  Not for
 *		rows that replication applies: the table is replicated like the budgets.
 *		TRUNCATE of the budgets is usage.c's.
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/lookup.h"
#include "base/spi.h"
#include "ledger/append.h"
#include "ledger/columns.h"
#include "pure/bytes.h"
#include "rules/transition.h"
#include "rules/trigger.h"

#define GOV_LIMITS_BATCH	1000
#define GOV_ROWS_AT_ONCE	200
#define GOV_LATER_KEYS		3

PG_FUNCTION_INFO_V1(gov_note_limits_1_1);

enum
{
	ID,
	OWNER,
	USAGE_LIMIT
};

static const char *const columns[] = {"id", "owner_id", "usage_limit"};

/* After what is there, whatever the clock says. */
static GovQuery note_query = {
	.sql =
	"insert into @gov_limit_history (assignment_id, owner_id, replaced_at, usage_limit)"
	" select w.id, w.owner_id, greatest($4, ("
	"   select h.replaced_at + interval '1 microsecond' from @gov_limit_history h"
	"   where h.owner_id = w.owner_id and h.assignment_id = w.id order by h.replaced_at desc limit 1)), w.usage_limit"
	" from unnest($1, $2, $3) as w(id, owner_id, usage_limit)",
	.nargs = 4,
	.argtypes = {UUIDARRAYOID, TEXTARRAYOID, NUMERICARRAYOID, TIMESTAMPTZOID}
};

static GovQuery forget_query = {
	.sql =
	"delete from @gov_limit_history h using unnest($1, $2) as w(id, owner_id)"
	" where h.owner_id = w.owner_id and h.assignment_id = w.id",
	.nargs = 2,
	.argtypes = {UUIDARRAYOID, TEXTARRAYOID}
};

/* The same of one owner, without a join. */
static GovQuery forget_owners_query = {
	.sql =
	"delete from @gov_limit_history h where h.owner_id = $2 and h.assignment_id = any ($1)",
	.nargs = 2,
	.argtypes = {UUIDARRAYOID, TEXTOID}
};

/* After TRUNCATE of the defaults. */
static GovQuery forget_defaults_query = {
	.sql =
	"delete from @gov_limit_history h"
	" where not exists (select from @gov_assignments a where a.id = h.assignment_id)"
	"  and not exists (select from @gov_default_assignments d where d.id = h.assignment_id)"
};

/* Budgets, and the limits that they had. */
typedef struct GovHistoryBatch
{
	TimestampTz at;
	MemoryContext context;		/* of the values below */
	int			count;
	Datum		ids[GOV_LIMITS_BATCH];
	Datum		owners[GOV_LIMITS_BATCH];
	Datum		limits[GOV_LIMITS_BATCH];
	bool		has_none[GOV_LIMITS_BATCH];
} GovHistoryBatch;

/* What writes most of them. */
typedef struct GovLimitRows
{
	bool		is_open;
	GovAppend	append;
	GovEntries	entries;		/* of the primary key */
	ScanKeyData keys[GOV_LATER_KEYS];
} GovLimitRows;

/* ---------------------------------------------------------------- by a statement */

/* The arguments of both statements: which budgets. */
static void
make_ids(GovHistoryBatch *batch, Datum *args)
{
	args[0] = PointerGetDatum(construct_array(batch->ids, batch->count,
											  UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	args[1] = PointerGetDatum(construct_array(batch->owners, batch->count,
											  TEXTOID, -1, false, TYPALIGN_INT));
}

static void
note_limits(GovHistoryBatch *batch)
{
	int			lower = 1;
	Datum		args[4];

	make_ids(batch, args);
	args[2] = PointerGetDatum(construct_md_array(batch->limits, batch->has_none, 1, &batch->count,
												 &lower, NUMERICOID, -1, false, TYPALIGN_INT));
	args[3] = TimestampTzGetDatum(batch->at);
	gov_spi_modify(&note_query, args, NULL);
}

static bool
is_of_one_owner(const GovHistoryBatch *batch)
{
	for (int i = 1; i < batch->count; i++)
	{
		if (!gov_bytes_same(DatumGetTextPP(batch->owners[0]), DatumGetTextPP(batch->owners[i])))
			return false;
	}
	return true;
}

static void
forget_limits(GovHistoryBatch *batch)
{
	bool		is_simple = is_of_one_owner(batch);
	Datum		args[2];

	make_ids(batch, args);
	if (is_simple)
		args[1] = batch->owners[0];
	gov_spi_modify(is_simple ? &forget_owners_query : &forget_query, args, NULL);
}

/* Do for all budgets of a batch what is to be done, and begin anew. */
static void
flush_batch(GovHistoryBatch *batch, void (*body) (GovHistoryBatch *batch))
{
	GovSpi		spi;

	if (batch->count == 0)
		return;
	gov_spi_begin(&spi);
	body(batch);
	gov_spi_end(&spi);
	batch->count = 0;
	MemoryContextReset(batch->context);
}

/* Whose the budget is; empty: a default of everybody's. */
static Datum
owner_of(const GovTransition *rows)
{
	if (gov_transition_is_null(rows, rows->before, OWNER))
		return PointerGetDatum(cstring_to_text(""));
	return gov_transition_key(rows, rows->before, OWNER);
}

static bool
limit_differs(const GovTransition *rows)
{
	int			number = rows->numbers[USAGE_LIMIT];
	bool		was_null;
	bool		is_null;
	Datum		was = slot_getattr(rows->before, number, &was_null);
	Datum		is = slot_getattr(rows->after, number, &is_null);

	return gov_trigger_value_differs(TupleDescAttr(RelationGetDescr(rows->trigger->tg_relation),
												   number - 1), was, was_null, is, is_null);
}

static void
add_budget(GovHistoryBatch *batch, const GovTransition *rows)
{
	int			i = batch->count++;
	Datum		limit = gov_transition_value(rows, rows->before, USAGE_LIMIT, &batch->has_none[i]);
	MemoryContext caller = MemoryContextSwitchTo(batch->context);

	batch->ids[i] = datumCopy(gov_transition_key(rows, rows->before, ID), false, UUID_LEN);
	batch->owners[i] = datumCopy(owner_of(rows), false, -1);
	batch->limits[i] = batch->has_none[i] ? (Datum) 0 : datumCopy(limit, false, -1);
	MemoryContextSwitchTo(caller);
}

static GovHistoryBatch *
begin_batch(void)
{
	GovHistoryBatch *batch = palloc(sizeof(GovHistoryBatch));

	batch->at = gov_clock();
	batch->count = 0;
	batch->context = AllocSetContextCreate(CurrentMemoryContext, "governance limits",
										   ALLOCSET_DEFAULT_SIZES);
	return batch;
}

/* ---------------------------------------------------------------- a row at a time */

/* The entries of a budget from a time on. */
static void
open_rows(GovLimitRows *limits, TimestampTz from)
{
	gov_append_open(&limits->append, gov_catalog()->limit_history, GOV_LIMIT_COLUMNS, InvalidOid,
					false);
	gov_lookup_entries_begin(&limits->entries, limits->append.rel,
							 gov_catalog()->limit_history_pkey, GOV_LATER_KEYS);
	ScanKeyEntryInitialize(&limits->keys[0], 0, 1, BTEqualStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_TEXTEQ, (Datum) 0);
	ScanKeyEntryInitialize(&limits->keys[1], 0, 2, BTEqualStrategyNumber, InvalidOid,
						   InvalidOid, F_UUID_EQ, (Datum) 0);
	ScanKeyEntryInitialize(&limits->keys[2], 0, 3, BTGreaterEqualStrategyNumber, InvalidOid,
						   InvalidOid, F_TIMESTAMPTZ_GE, TimestampTzGetDatum(from));
	limits->is_open = true;
}

static void
close_rows(GovLimitRows *limits)
{
	if (!limits->is_open)
		return;
	gov_lookup_entries_end(&limits->entries);
	gov_append_flush(&limits->append);
	gov_append_close(&limits->append);
	limits->is_open = false;
}

/* Write the limit that the present row's budget had; false if it may have one from now on. */
static bool
write_limit(GovLimitRows *limits, const GovTransition *rows, TimestampTz at)
{
	GovAppend  *append = &limits->append;
	Datum	   *values;
	bool		is_null;

	if (!limits->is_open)
		open_rows(limits, at);
	limits->keys[0].sk_argument = owner_of(rows);
	limits->keys[1].sk_argument = gov_transition_key(rows, rows->before, ID);
	if (!gov_lookup_entries_are_none(&limits->entries, limits->keys))
		return false;
	if (append->nrows == GOV_ROWS_AT_ONCE)
		gov_append_flush(append);
	gov_append_clear(append);
	values = append->slot->tts_values;
	values[GOV_LIMIT_OWNER_ID] = limits->keys[0].sk_argument;
	values[GOV_LIMIT_ASSIGNMENT_ID] = limits->keys[1].sk_argument;
	values[GOV_LIMIT_REPLACED_AT] = TimestampTzGetDatum(at);
	values[GOV_LIMIT_USAGE_LIMIT] = gov_transition_value(rows, rows->before, USAGE_LIMIT, &is_null);
	values[GOV_LIMIT_IS_KNOWN] = BoolGetDatum(true);
	memset(append->slot->tts_isnull, false, sizeof(bool) * GOV_LIMIT_COLUMNS);
	append->slot->tts_isnull[GOV_LIMIT_USAGE_LIMIT] = is_null;
	gov_append_later(append, GOV_ROWS_AT_ONCE);
	return true;
}

/* ---------------------------------------------------------------- statements */

/* Note the limits that an UPDATE has replaced. */
static void
pass_updated(GovTransition *rows)
{
	GovLimitRows limits = {0};
	GovHistoryBatch *batch = begin_batch();

	gov_transition_rewind(rows);
	while (gov_transition_next(rows))
	{
		if (!limit_differs(rows) || write_limit(&limits, rows, batch->at))
			continue;
		add_budget(batch, rows);
		if (batch->count == GOV_LIMITS_BATCH)
		{
			close_rows(&limits);
			flush_batch(batch, note_limits);
		}
	}
	close_rows(&limits);
	flush_batch(batch, note_limits);
}

/* Forget those of deleted budgets. */
static void
pass_deleted(GovTransition *rows)
{
	GovHistoryBatch *batch = begin_batch();

	gov_transition_rewind(rows);
	while (gov_transition_next(rows))
	{
		add_budget(batch, rows);
		if (batch->count == GOV_LIMITS_BATCH)
			flush_batch(batch, forget_limits);
	}
	flush_batch(batch, forget_limits);
}

static void
forget_defaults(void)
{
	GovSpi		spi;

	gov_spi_begin(&spi);
	gov_spi_modify(&forget_defaults_query, NULL, NULL);
	gov_spi_end(&spi);
}

/*
 * AFTER UPDATE, and AFTER DELETE, of gov_assignments and gov_default_assignments,
 * for each statement, and AFTER TRUNCATE of the latter.
 */
Datum
gov_note_limits_1_1(PG_FUNCTION_ARGS)
{
	TriggerData *trigger =
	gov_trigger_data(fcinfo, GOV_FIRES(TRIGGER_EVENT_UPDATE) | GOV_FIRES(TRIGGER_EVENT_DELETE) |
					 GOV_FIRES(TRIGGER_EVENT_TRUNCATE));
	Oid			relid = RelationGetRelid(trigger->tg_relation);
	GovTransition rows;

	if (relid != gov_catalog()->default_assignments &&
		(relid != gov_catalog()->assignments || TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event)))
		gov_trigger_refuse(fcinfo);
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
	{
		forget_defaults();
		return PointerGetDatum(NULL);
	}

	/* gov_delete_owner deletes all of an owner's itself */
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event) && gov_spi_is_engine())
		return PointerGetDatum(NULL);

	gov_transition_begin(&rows, trigger, columns, lengthof(columns));
	if (rows.after == NULL)
		pass_deleted(&rows);
	else
		pass_updated(&rows);
	gov_transition_end(&rows);
	return PointerGetDatum(NULL);
}
