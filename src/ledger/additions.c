/*
 * additions.c
 *		What users have added to a table that rows are appended to.
 *
 * PURPOSE
 *		The ledger and the holds are tables, and users add columns with defaults,
 *		generated columns, constraints, foreign keys and triggers to them.  For
 *		such a table an appended row goes through what an INSERT would do with it
 *		(ExecInsert()), as a statement of the caller's: one for a row, or for all
 *		rows of a batch.  That a table has no such additions is found out once
 *		(shape.c); then this file is not used.
 *
 *		Our columns say what was charged and decided.  So a BEFORE trigger may
 *		refuse the row by an error, or fill in users' columns; it may not change
 *		our columns, nor leave the row out.
 *
 *		An entity that a use creates goes the same way, with all triggers and
 *		constraints of its table, ours too; only what is created is given
 *		(call/creation.c), and a BEFORE trigger may fill in the rest.
 *
 *		Rules are ignored, as by COPY.
 *
 * SECURITY
 *		Defaults, constraints and triggers run as the caller, with his settings
 *		and rights; those of an entity as the extension's owner.  They may not call the engine, because a row is being
 *		written (gate.c).  Deferred triggers run later, and may.
 *
 * FAILURE
 *		Raises what an INSERT would, and 39P01 for such a BEFORE trigger.  The
 *		abort takes the charge back.
 */
#include "postgres.h"

#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "ledger/additions.h"
#include "ledger/columns.h"

struct GovAdditions
{
	ResultRelInfo *result_rel;
	EState	   *estate;
	int			ncolumns;		/* of ours */
	ExprState **defaults;		/* of all columns; NULL: there is none */
	bool		must_check;		/* users have made constraints, or may have
								 * changed the row */
	TransitionCaptureState *transition;
};

/* ---------------------------------------------------------------- is there anything? */

/* Does a user's column concern a row that gives it no value? */
static bool
says_something(Form_pg_attribute column)
{
	return !column->attisdropped &&
		(column->atthasdef || column->attnotnull || column->attidentity != '\0' ||
		 column->attgenerated != '\0' || get_typtype(column->atttypid) == TYPTYPE_DOMAIN);
}

static bool
is_any_not_null(Relation rel, const int *columns, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (TupleDescAttr(RelationGetDescr(rel), columns[i])->attnotnull)
			return true;
	}
	return false;
}

/* Has a user made a column of ours NOT NULL that may be null? */
static bool
is_null_forbidden(Relation rel)
{
	static const int of_events[] = {GOV_EVENT_IDEMPOTENCY_KEY, GOV_EVENT_REQUEST_HASH};
	static const int of_holds[] = {GOV_HOLD_IDEMPOTENCY_KEY, GOV_HOLD_REQUEST_HASH,
	GOV_HOLD_SETTLED_AMOUNT, GOV_HOLD_EVENT_ID};
	static const int of_changes[] = {GOV_CHANGE_OWNER_ID, GOV_CHANGE_TABLE_NAME, GOV_CHANGE_OLD,
	GOV_CHANGE_NEW, GOV_CHANGE_REASON};
	static const int of_limits[] = {GOV_LIMIT_USAGE_LIMIT};
	static const int of_counts[] = {GOV_COUNT_ANCHOR, GOV_COUNT_ANCHOR_AT};

	if (RelationGetRelid(rel) == gov_catalog()->entities)
		return false;
	if (RelationGetRelid(rel) == gov_catalog()->events)
		return is_any_not_null(rel, of_events, lengthof(of_events));
	if (RelationGetRelid(rel) == gov_catalog()->changes)
		return is_any_not_null(rel, of_changes, lengthof(of_changes));
	if (RelationGetRelid(rel) == gov_catalog()->limit_history)
		return is_any_not_null(rel, of_limits, lengthof(of_limits));
	if (RelationGetRelid(rel) == gov_catalog()->default_counts)
		return is_any_not_null(rel, of_counts, lengthof(of_counts));
	Assert(RelationGetRelid(rel) == gov_catalog()->reservations);
	return is_any_not_null(rel, of_holds, lengthof(of_holds));
}

static bool
has_columns(Relation rel, int ncolumns)
{
	TupleDesc	columns = RelationGetDescr(rel);

	for (int i = ncolumns; i < columns->natts; i++)
	{
		if (says_something(TupleDescAttr(columns, i)))
			return true;
	}
	return is_null_forbidden(rel);
}

/*
 * Does a constraint of ours hold for each row that we make?  An entity that a use
 * creates has an id that could be one, and otherwise what the defaults say.
 */
static bool
is_own_check(const char *name)
{
	static const char *const own[] = {
		"gov_reservations_state_check",
		"gov_entities_owner_id_check", "gov_entities_id_check", "gov_entities_type_id_check",
		"gov_entities_parent_id_check", "gov_entities_display_name_check", "gov_entities_metadata_check",
		"gov_entities_archived_at_check", "gov_entities_blocked_at_check", "gov_entities_blocked_until_check",
		"gov_entities_blocked_reason_check"
	};

	for (int i = 0; i < lengthof(own); i++)
	{
		if (strcmp(name, own[i]) == 0)
			return true;
	}
	return false;
}

static bool
has_checks(Relation rel)
{
	const TupleConstr *constraints = RelationGetDescr(rel)->constr;

	for (int i = 0; constraints != NULL && i < constraints->num_check; i++)
	{
		if (!is_own_check(constraints->check[i].ccname))
			return true;
	}
	return false;
}

/* Is this a trigger of ours, which is only for rows that others write? */
static bool
is_own(const Trigger *trigger)
{
	char	   *name = get_func_name(trigger->tgfoid);

	return name != NULL && strcmp(name, "gov_note_ledger") == 0 &&
		get_func_namespace(trigger->tgfoid) == gov_catalog()->schema;
}

static bool
has_triggers(Relation rel)
{
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[i];

		if (TRIGGER_FOR_INSERT(trigger->tgtype) &&
			trigger->tgenabled != TRIGGER_DISABLED && !is_own(trigger))
			return true;
	}
	return false;
}

/* Have users added anything to a table of ours that concerns a row inserted into it? */
bool
gov_additions_are_any(Relation rel, int ncolumns)
{
	return has_columns(rel, ncolumns) || has_checks(rel) || has_triggers(rel);
}

/* ---------------------------------------------------------------- a statement */

/*
 * Is this column ours, of a table with so many of them in front?  Those that 1.1 has
 * added to the ledger and the holds may stand behind users' columns.
 */
static bool
is_ours(Relation rel, int column, int ncolumns)
{
	const GovCatalog *catalog = gov_catalog();
	AttrNumber	number = column + 1;

	if (column < ncolumns)
		return true;
	if (RelationGetRelid(rel) == catalog->events)
		return number == catalog->events_reverses || number == catalog->events_call_event_ids ||
			number == catalog->events_quantities || number == catalog->events_prices;
	return RelationGetRelid(rel) == catalog->reservations &&
		(number == catalog->reservations_amounts || number == catalog->reservations_assignment_amounts ||
		 number == catalog->reservations_quantities);
}

static ExprState **
make_defaults(Relation rel, EState *estate, int ncolumns)
{
	TupleDesc	columns = RelationGetDescr(rel);
	ExprState **result = palloc0(sizeof(ExprState *) * columns->natts);

	for (int i = ncolumns; i < columns->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(columns, i);
		Expr	   *expression;

		if (is_ours(rel, i, ncolumns) || column->attisdropped || column->attgenerated != '\0')
			continue;
		expression = (Expr *) build_column_default(rel, i + 1);
		if (expression != NULL)
			result[i] = ExecInitExpr(expression_planner(expression), NULL);
	}
	return result;
}

/* Begin the statement that inserts the rows. */
GovAdditions *
gov_additions_open(ResultRelInfo *result_rel, EState *estate, int ncolumns)
{
	MemoryContext caller = MemoryContextSwitchTo(estate->es_query_cxt);
	GovAdditions *additions = palloc0(sizeof(GovAdditions));
	Relation	rel = result_rel->ri_RelationDesc;

	additions->result_rel = result_rel;
	additions->estate = estate;
	additions->ncolumns = ncolumns;
	additions->must_check = has_checks(rel) ||
		(result_rel->ri_TrigDesc != NULL && result_rel->ri_TrigDesc->trig_insert_before_row);
	additions->defaults = make_defaults(rel, estate, ncolumns);
	estate->es_opened_result_relations = lappend(estate->es_opened_result_relations, result_rel);
	AfterTriggerBeginQuery();
	additions->transition = MakeTransitionCaptureState(result_rel->ri_TrigDesc,
													   RelationGetRelid(rel), CMD_INSERT);
	ExecBSInsertTriggers(estate, result_rel);
	MemoryContextSwitchTo(caller);
	return additions;
}

/* End the statement, and run its AFTER triggers, unless they are deferred. */
void
gov_additions_close(GovAdditions *additions)
{
	ExecASInsertTriggers(additions->estate, additions->result_rel, additions->transition);
	AfterTriggerEndQuery(additions->estate);
}

/* ---------------------------------------------------------------- a row */

static void
check_domain(Form_pg_attribute column)
{
	if (get_typtype(column->atttypid) == TYPTYPE_DOMAIN)
		domain_check((Datum) 0, true, column->atttypid, NULL, NULL);
}

/* Fill in the defaults of users' columns, and of ours that have no value. */
static void
fill_in(GovAdditions *additions, TupleTableSlot *slot)
{
	ExprContext *context = GetPerTupleExprContext(additions->estate);

	for (int i = additions->ncolumns; i < slot->tts_tupleDescriptor->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(slot->tts_tupleDescriptor, i);

		if (!slot->tts_isnull[i])
			continue;
		if (additions->defaults[i] != NULL)
			slot->tts_values[i] = ExecEvalExprSwitchContext(additions->defaults[i], context,
															&slot->tts_isnull[i]);
		else if (!column->attisdropped && column->attgenerated == '\0')
			check_domain(column);
	}
}

/*
 * Raise an error: a BEFORE trigger has left the row out (NULL), or has changed
 * this column of ours.
 */
pg_noreturn static void
refuse_change(const GovAdditions *additions, const char *column)
{
	const char *table = RelationGetRelationName(additions->result_rel->ri_RelationDesc);

	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 column == NULL ?
			 errmsg("a BEFORE trigger on table \"%s\" has left out a row", table) :
			 errmsg("a BEFORE trigger on table \"%s\" has changed column \"%s\"", table, column),
			 errdetail("The row says what was decided and charged."),
			 errhint("Raise an error to refuse the call, or set columns of your own only, and return NEW.")));
}

static void
run_before_triggers(GovAdditions *additions, TupleTableSlot *slot)
{
	int			ncolumns = slot->tts_tupleDescriptor->natts;
	Datum	   *values = palloc(sizeof(Datum) * ncolumns);
	bool	   *nulls = palloc(sizeof(bool) * ncolumns);

	memcpy(values, slot->tts_values, sizeof(Datum) * ncolumns);
	memcpy(nulls, slot->tts_isnull, sizeof(bool) * ncolumns);
	if (!ExecBRInsertTriggers(additions->estate, additions->result_rel, slot))
		refuse_change(additions, NULL);
	slot_getallattrs(slot);
	for (int i = 0; i < ncolumns; i++)
	{
		Form_pg_attribute column = TupleDescAttr(slot->tts_tupleDescriptor, i);

		if (!is_ours(additions->result_rel->ri_RelationDesc, i, additions->ncolumns))
			continue;
		if (slot->tts_isnull[i] != nulls[i] ||
			(!nulls[i] && !datum_image_eq(slot->tts_values[i], values[i],
										  column->attbyval, column->attlen)))
			refuse_change(additions, NameStr(column->attname));
	}
}

/* Lacks the row a value that it must have? */
static bool
lacks_value(TupleTableSlot *slot)
{
	for (int i = 0; i < slot->tts_tupleDescriptor->natts; i++)
	{
		if (slot->tts_isnull[i] && TupleDescAttr(slot->tts_tupleDescriptor, i)->attnotnull)
			return true;
	}
	return false;
}

/* Complete and check the slot's row, whose values of ours are given. */
void
gov_additions_before_row(GovAdditions *additions, TupleTableSlot *slot)
{
	ResultRelInfo *result_rel = additions->result_rel;
	const TupleConstr *constraints = slot->tts_tupleDescriptor->constr;

	ResetPerTupleExprContext(additions->estate);
	fill_in(additions, slot);
	if (result_rel->ri_TrigDesc != NULL && result_rel->ri_TrigDesc->trig_insert_before_row)
		run_before_triggers(additions, slot);
	slot->tts_tableOid = RelationGetRelid(result_rel->ri_RelationDesc);
	if (constraints == NULL)
		return;
	if (constraints->has_generated_stored)
		ExecComputeStoredGenerated(result_rel, additions->estate, slot, CMD_INSERT);
	if (additions->must_check || constraints->has_generated_stored || lacks_value(slot))
		ExecConstraints(result_rel, slot, additions->estate);
}

/* The row is inserted: queue its AFTER ROW triggers. */
void
gov_additions_after_row(GovAdditions *additions, TupleTableSlot *slot, List *recheck_indexes)
{
	ExecARInsertTriggers(additions->estate, additions->result_rel, slot, recheck_indexes,
						 additions->transition);
}
