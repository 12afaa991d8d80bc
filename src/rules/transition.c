/*
 * transition.c
 *		The rows that a statement has written, for its AFTER trigger.
 *
 * INVARIANTS
 *		An UPDATE writes each row to both of its transition tables at once: they
 *		are read side by side, before and after.
 *
 * FAILURE
 *		39P01 when a function is called by another trigger than it was made for.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "rules/transition.h"

/* Begin to read a transition table, whoever else is reading it. */
static TupleTableSlot *
begin_table(const TriggerData *trigger, Tuplestorestate *table)
{
	tuplestore_select_read_pointer(table, tuplestore_alloc_read_pointer(table, EXEC_FLAG_REWIND));
	tuplestore_rescan(table);
	return MakeSingleTupleTableSlot(RelationGetDescr(trigger->tg_relation), &TTSOpsMinimalTuple);
}

void
gov_transition_begin(GovTransition *rows, const TriggerData *trigger,
					 const char *const *columns, int ncolumns)
{
	if (!TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) ||
		(trigger->tg_newtable == NULL) != TRIGGER_FIRED_BY_DELETE(trigger->tg_event) ||
		(trigger->tg_oldtable == NULL) != TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function was not called as a statement trigger with transition tables"),
				 errhint("It is for the triggers of the extension's own tables.")));

	Assert(ncolumns <= GOV_TRANSITION_COLUMNS);
	for (int i = 0; i < ncolumns; i++)
	{
		rows->numbers[i] = SPI_fnumber(RelationGetDescr(trigger->tg_relation), columns[i]);
		if (rows->numbers[i] <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of table \"%s\" does not exist", columns[i],
							RelationGetRelationName(trigger->tg_relation)),
					 errhint("Run ALTER EXTENSION governance UPDATE.")));
	}
	rows->trigger = trigger;
	rows->after = trigger->tg_newtable ? begin_table(trigger, trigger->tg_newtable) : NULL;
	rows->before = trigger->tg_oldtable ? begin_table(trigger, trigger->tg_oldtable) : NULL;
}

void
gov_transition_end(GovTransition *rows)
{
	if (rows->after != NULL)
		ExecDropSingleTupleTableSlot(rows->after);
	if (rows->before != NULL)
		ExecDropSingleTupleTableSlot(rows->before);
}

void
gov_transition_rewind(GovTransition *rows)
{
	if (rows->after != NULL)
		tuplestore_rescan(rows->trigger->tg_newtable);
	if (rows->before != NULL)
		tuplestore_rescan(rows->trigger->tg_oldtable);
}

/* Fetch the next row; false at the end. */
bool
gov_transition_next(GovTransition *rows)
{
	bool		has_after = rows->after != NULL &&
	tuplestore_gettupleslot(rows->trigger->tg_newtable, true, false, rows->after);
	bool		has_before = rows->before != NULL &&
	tuplestore_gettupleslot(rows->trigger->tg_oldtable, true, false, rows->before);

	CHECK_FOR_INTERRUPTS();
	if (rows->after != NULL && rows->before != NULL && has_after != has_before)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("the rows of table \"%s\" before and after a statement differ in number",
						RelationGetRelationName(rows->trigger->tg_relation)),
				 errhint("Please report this.")));
	return has_after || has_before;
}

Datum
gov_transition_value(const GovTransition *rows, TupleTableSlot *row, int column, bool *isnull)
{
	return slot_getattr(row, rows->numbers[column], isnull);
}

/* The value of a column that is NOT NULL. */
Datum
gov_transition_key(const GovTransition *rows, TupleTableSlot *row, int column)
{
	bool		isnull;
	Datum		value = gov_transition_value(rows, row, column, &isnull);

	Assert(!isnull);
	return value;
}

bool
gov_transition_is_null(const GovTransition *rows, TupleTableSlot *row, int column)
{
	bool		isnull;

	(void) gov_transition_value(rows, row, column, &isnull);
	return isnull;
}

/* Has an UPDATE changed a column of type text? */
bool
gov_transition_text_differs(const GovTransition *rows, int column)
{
	bool		was_null;
	bool		now_null;
	Datum		was = gov_transition_value(rows, rows->before, column, &was_null);
	Datum		now = gov_transition_value(rows, rows->after, column, &now_null);

	if (was_null || now_null)
		return was_null != now_null;
	return !DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, was, now));
}
