/*
 * history.c
 *		Triggers that write down who changed what.
 *
 * PURPOSE
 *		"Who changed this limit, when, from what?"  However a row comes, by a
 *		function, in plain SQL or by COPY, gov_changes has a row of it.  Which
 *		tables these are, and what their keys are, is in _gov_logged_tables() of
 *		sql/36-changes.sql, which makes the triggers; nothing here knows a table
 *		by name.
 *
 * WHAT IS LEFT OUT
 *		What the engine keeps (updated_at, counter_id and the like), so that an
 *		UPDATE which changes nothing else is none.  What the engine does
 *		itself, such as to delete all that an owner has: gov_delete_owner writes
 *		one row for it.  What users' triggers do in the midst of the engine's
 *		statements counts as the engine's too.
 *
 *		Of a row that is new or deleted, the columns that have their defaults: a
 *		statement may write a hundred thousand, of which few columns say anything.
 *
 *		Rows that a dump brings back.  pg_restore copies rows into our tables as
 *		anybody would, and gov_changes of the dump has what is to be said of
 *		them.  They have created_at of another time than now, which is the
 *		column's default; so an INSERT of such a row is not logged.  Whoever
 *		row-level security holds cannot hide a change that way: of them it is.
 *
 * WHEN
 *		At the end of a statement, over the rows that it wrote, after the rules
 *		have been judged.  So each owner whose rows a statement has changed is met
 *		here, and it is here that a frozen one is refused (freeze.c).  The triggers do not fire for rows that replication
 *		applies, nor where session_replication_role is replica.
 *
 * FAILURE
 *		39P01 for a trigger on a table that is not ours.  What is raised here
 *		fails the statement.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/owner.h"
#include "base/spi.h"
#include "pure/bytes.h"
#include "rules/freeze.h"
#include "rules/history_json.h"
#include "rules/history_row.h"
#include "rules/transition.h"
#include "rules/trigger.h"

PG_FUNCTION_INFO_V1(gov_log_changes_1_1);
PG_FUNCTION_INFO_V1(gov_log_right_1_1);

/* A statement whose rows are logged. */
typedef struct GovHistoryStatement
{
	GovTransition rows;
	GovHistoryRows history;
	GovHistoryColumns *columns;
	bool	   *set;			/* of columns, of the present row */
	int			owner;			/* where owner_id is, or -1 */
	text	   *judged;			/* the last owner that may be changed; NULL: none was */
	int			created_at;		/* where that is, or -1 where nothing may be
								 * left out */
} GovHistoryStatement;

/* ---------------------------------------------------------------- which rows */

/* Where a column is; -1 if there is none of that name. */
static int
place_of(const GovHistoryColumns *columns, const char *name)
{
	for (int i = 0; i < columns->count; i++)
	{
		if (!columns->columns[i].attribute->attisdropped &&
			strcmp(NameStr(columns->columns[i].attribute->attname), name) == 0)
			return i;
	}
	return -1;
}

/* Is it a row that a dump brings back?  Only of an INSERT. */
static bool
is_restored(const GovHistoryStatement *statement)
{
	int			place = statement->created_at;
	TupleTableSlot *row = statement->rows.after;

	return place >= 0 && !row->tts_isnull[place] &&
		DatumGetTimestampTz(row->tts_values[place]) != GetCurrentTransactionStartTimestamp();
}

/* ---------------------------------------------------------------- which columns */

/* All that a new or deleted row says, other than what any row says where nothing is said. */
static void
choose_said(GovHistoryStatement *statement, TupleTableSlot *row)
{
	for (int i = 0; i < statement->columns->count; i++)
	{
		const GovHistoryColumn *column = &statement->columns->columns[i];

		statement->set[i] = !column->is_key && !column->is_kept &&
			gov_trigger_value_differs(column->attribute, column->default_value,
									  !column->has_default, row->tts_values[i], row->tts_isnull[i]);
	}
}

/* What an UPDATE has changed; false if that is nothing. */
static bool
choose_changed(GovHistoryStatement *statement)
{
	TupleTableSlot *before = statement->rows.before;
	TupleTableSlot *after = statement->rows.after;
	bool		is_any = false;

	for (int i = 0; i < statement->columns->count; i++)
	{
		const GovHistoryColumn *column = &statement->columns->columns[i];

		statement->set[i] = !column->is_kept &&
			gov_trigger_value_differs(column->attribute, before->tts_values[i],
									  before->tts_isnull[i], after->tts_values[i],
									  after->tts_isnull[i]);
		is_any |= statement->set[i];
	}
	return is_any;
}

/* ---------------------------------------------------------------- a statement */

static void
begin_statement(GovHistoryStatement *statement, const TriggerData *trigger, const char *action)
{
	Relation	table = trigger->tg_relation;
	Trigger    *made = trigger->tg_trigger;

	gov_transition_begin(&statement->rows, trigger, NULL, 0);
	gov_history_row_begin(&statement->history, RelationGetRelationName(table), action);
	statement->columns = gov_history_json_columns(table, made->tgargs, made->tgnargs);
	if (!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		gov_history_json_read_defaults(table, statement->columns);
	statement->set = palloc(sizeof(bool) * statement->columns->count);
	statement->judged = NULL;
	statement->owner = place_of(statement->columns, "owner_id");
	statement->created_at = -1;
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event) &&
		check_enable_rls(RelationGetRelid(table), InvalidOid, true) != RLS_ENABLED)
		statement->created_at = place_of(statement->columns, "created_at");
}

/* Make what is to be said of the present row; false if that is nothing. */
static bool
describe_row(GovHistoryStatement *statement, GovHistoryRow *result)
{
	TupleTableSlot *before = statement->rows.before;
	TupleTableSlot *after = statement->rows.after;
	TupleTableSlot *row = before ? before : after;

	if (before != NULL)
		slot_getallattrs(before);
	if (after != NULL)
		slot_getallattrs(after);
	if (is_restored(statement))
		return false;
	if (before == NULL || after == NULL)
		choose_said(statement, row);
	else if (!choose_changed(statement))
		return false;
	memset(result, 0, sizeof(*result));
	if (statement->owner >= 0 && !row->tts_isnull[statement->owner])
		result->owner = row->tts_values[statement->owner];
	result->key = gov_history_json(statement->columns, row, statement->columns->key);
	if (before != NULL)
		result->old = gov_history_json(statement->columns, before, statement->set);
	if (after != NULL)
		result->new = gov_history_json(statement->columns, after, statement->set);
	return true;
}

/* Raise if the owner of a row that was changed is frozen; once for each run of its rows. */
static void
judge_owner(GovHistoryStatement *statement, const GovHistoryRow *row)
{
	text	   *owner;

	if (row->owner == 0)
		return;					/* it is of all */
	owner = DatumGetTextPP(row->owner);
	if (statement->judged != NULL && gov_bytes_same((struct varlena *) owner, (struct varlena *) statement->judged))
		return;
	gov_freeze_judge_change(owner);
	statement->judged = DatumGetTextPCopy(row->owner);
}

static void
log_rows(const TriggerData *trigger, const char *action)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext row_context = AllocSetContextCreate(caller, "governance history",
													  ALLOCSET_DEFAULT_SIZES);
	GovHistoryStatement statement;
	GovHistoryRow row;

	begin_statement(&statement, trigger, action);
	gov_transition_rewind(&statement.rows);
	while (gov_transition_next(&statement.rows))
	{
		bool		is_change;

		MemoryContextReset(row_context);
		MemoryContextSwitchTo(row_context);
		is_change = describe_row(&statement, &row);
		MemoryContextSwitchTo(caller);
		if (!is_change)
			continue;
		judge_owner(&statement, &row);
		gov_history_row_add(&statement.history, &row);
	}
	gov_history_row_end(&statement.history);
	gov_transition_end(&statement.rows);
	MemoryContextDelete(row_context);
}

/* All rows are gone: one row says so.  Those of frozen owners may not go. */
static void
log_truncate(const TriggerData *trigger)
{
	GovHistoryRows rows;
	GovHistoryColumns none = {0};
	GovHistoryRow row = {.key = gov_history_json(&none, NULL, NULL)};

	gov_freeze_judge_truncate();
	gov_history_row_begin(&rows, RelationGetRelationName(trigger->tg_relation), "TRUNCATE");
	gov_history_row_add(&rows, &row);
	gov_history_row_end(&rows);
}

/* AFTER INSERT, UPDATE, DELETE or TRUNCATE of a logged table, for each statement. */
Datum
gov_log_changes_1_1(PG_FUNCTION_ARGS)
{
	TriggerData *trigger =
	gov_trigger_data(fcinfo, GOV_FIRES(TRIGGER_EVENT_INSERT) | GOV_FIRES(TRIGGER_EVENT_UPDATE) |
					 GOV_FIRES(TRIGGER_EVENT_DELETE) | GOV_FIRES(TRIGGER_EVENT_TRUNCATE));

	if (getExtensionOfObject(RelationRelationId, RelationGetRelid(trigger->tg_relation)) !=
		gov_catalog()->extension)
		gov_trigger_refuse(fcinfo);
	if (gov_spi_is_engine())
		return PointerGetDatum(NULL);

	GOV_FAULT(GOV_FAULT_STATEMENT);
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		log_truncate(trigger);
	else
		log_rows(trigger, TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ? "INSERT" :
				 TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? "UPDATE" : "DELETE");
	return PointerGetDatum(NULL);
}

/* ---------------------------------------------------------------- rights */

/* _gov_log_right(action text, role name, profile text) returns void; profile may be null */
Datum
gov_log_right_1_1(PG_FUNCTION_ARGS)
{
	gov_owner_require_unpinned("_gov_log_right()");
	if (!has_privs_of_role(GetUserId(), gov_catalog()->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for function _gov_log_right"),
				 errhint("It is for gov_grant and gov_revoke.")));
	if (PG_ARGISNULL(0))
		gov_error_null_argument("action");
	if (PG_ARGISNULL(1))
		gov_error_null_argument("role");
	gov_history_row_write(text_to_cstring(PG_GETARG_TEXT_PP(0)), "role", NameStr(*PG_GETARG_NAME(1)),
						  PG_ARGISNULL(2) ? NULL : "profile",
						  PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2)));
	PG_RETURN_VOID();
}
