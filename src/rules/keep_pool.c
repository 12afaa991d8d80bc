/*
 * keep_pool.c
 *		Keeps what a pool has besides other budgets.
 *
 * PURPOSE
 *		What names the count of a pool's debt is drawn when a budget becomes one,
 *		from the sequence of counters, and a restored row brings it with it.
 *
 * FAILURE
 *		55000 for a pool that would be one no longer: its uses have drawn from
 *		grants, and others would have to stand for them.  23514 for one of a
 *		capability of kind "concurrency".
 */
#include "postgres.h"

#include "commands/sequence.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "cache/types.h"
#include "rules/keep_columns.h"
#include "rules/keep_counter.h"
#include "rules/keep_pool.h"

#define DECIMALS	9

static bool
is_pool(const GovKeptRow *row)
{
	return !*gov_keep_row_null(row, GOV_KEEP_IS_POOL) && DatumGetBool(*gov_keep_row_value(row, GOV_KEEP_IS_POOL));
}

static void
require_pool(const GovKeptRow *row, const GovKeptRow *before, Relation table)
{
	if (before == NULL || !is_pool(before) || is_pool(row))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("a pool stays a pool"),
			 errhint("Delete the budget, and make another one."),
			 errtablecol(table, row->places[GOV_KEEP_IS_POOL] + 1)));
}

/* What is under way is given back, and grants are used up. */
static void
refuse_concurrency(const GovKeptRow *row, Relation table)
{
	text	   *capability;

	if (!is_pool(row) || *gov_keep_row_null(row, GOV_KEEP_CAPABILITY))
		return;
	gov_types_refresh();
	capability = DatumGetTextPP(*gov_keep_row_value(row, GOV_KEEP_CAPABILITY));
	if (!gov_types_is_concurrency(VARDATA_ANY(capability), VARSIZE_ANY_EXHDR(capability)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("a budget for what is under way at once is no pool"),
			 errdetail("Capability \"%s\" is of kind \"concurrency\".",
					   gov_error_shown(TextDatumGetCString(*gov_keep_row_value(row, GOV_KEEP_CAPABILITY)))),
			 errhint("Give it a limit: holds take from such a budget, and give back when they end."),
			 errtablecol(table, row->places[GOV_KEEP_IS_POOL] + 1),
			 errtableconstraint(table, psprintf("%s_concurrency", RelationGetRelationName(table)))));
}

/* Has the row brought a counter that may be its own? */
static bool
has_counter(const GovKeptRow *row, const GovKeptRow *before)
{
	return !*gov_keep_row_null(row, GOV_KEEP_DEBT_COUNTER_ID) &&
		(before != NULL || !gov_keep_was_drawn(*gov_keep_row_value(row, GOV_KEEP_DEBT_COUNTER_ID)));
}

/* Complete a row that is about to be written; before is NULL for a new one. */
void
gov_keep_pool(GovKeptRow *row, const GovKeptRow *before, Relation table)
{
	Datum	   *counter = gov_keep_row_value(row, GOV_KEEP_DEBT_COUNTER_ID);
	bool	   *is_null = gov_keep_row_null(row, GOV_KEEP_DEBT_COUNTER_ID);
	Datum	   *limit = gov_keep_row_value(row, GOV_KEEP_DEBT_LIMIT);

	require_pool(row, before, table);
	refuse_concurrency(row, table);
	if (!*gov_keep_row_null(row, GOV_KEEP_DEBT_LIMIT))
		*limit = DirectFunctionCall1(numeric_trim_scale,
									 DirectFunctionCall2(numeric_round, *limit, Int32GetDatum(DECIMALS)));
	if (before != NULL)
	{
		*counter = *gov_keep_row_value(before, GOV_KEEP_DEBT_COUNTER_ID);
		*is_null = *gov_keep_row_null(before, GOV_KEEP_DEBT_COUNTER_ID);
	}
	if (is_pool(row) && !has_counter(row, before))
	{
		*counter = Int64GetDatum(nextval_internal(gov_catalog()->counter_seq, false));
		*is_null = false;
	}
	else if (!is_pool(row))
		*is_null = true;
}
