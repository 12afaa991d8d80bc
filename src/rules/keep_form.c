/*
 * keep_form.c
 *		Values of budgets and defaults in the form in which they are stored.
 *
 * PURPOSE
 *		Lists become sorted and distinct, and numbers are rounded to 9 decimals,
 *		by whatever way a row comes.  So equal values are equal bytes.
 *
 * FAILURE
 *		23514 for a list of more than one dimension that no check constraint
 *		refuses.  A null in a column that is NOT NULL is left to the constraint.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"

#include "rules/keep_columns.h"
#include "rules/keep_form.h"

#define DECIMALS	9

static Datum
round_number(Datum number)
{
	return DirectFunctionCall1(numeric_trim_scale,
							   DirectFunctionCall2(numeric_round, number, Int32GetDatum(DECIMALS)));
}

static int
compare_texts(const void *one, const void *other)
{
	return DatumGetInt32(DirectFunctionCall2Coll(bttextcmp, C_COLLATION_OID,
												 *(const Datum *) one, *(const Datum *) other));
}

static int
compare_numbers(const void *one, const void *other)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp,
											 *(const Datum *) one, *(const Datum *) other));
}

/*
 * The distinct items of a list, in order, null as the last.  A list of more
 * dimensions is left as it is, for the check constraint to refuse.
 */
static Datum
sort_list(Datum list, Oid type)
{
	ArrayType  *array = DatumGetArrayTypeP(list);
	int			(*compare) (const void *, const void *) =
	type == TEXTOID ? compare_texts : compare_numbers;
	Datum	   *items;
	bool	   *nulls;
	int			nitems;
	int			count = 0;
	int			lower = 1;
	bool		has_null = false;

	if (ARR_NDIM(array) != 1)
		return list;
	deconstruct_array(array, type, -1, false, TYPALIGN_INT, &items, &nulls, &nitems);
	for (int i = 0; i < nitems; i++)
	{
		has_null |= nulls[i];
		if (!nulls[i])
			items[count++] = type == TEXTOID ? items[i] : round_number(items[i]);
	}
	qsort(items, count, sizeof(Datum), compare);
	nitems = count;
	count = Min(nitems, 1);
	for (int i = 1; i < nitems; i++)
	{
		if (compare(&items[count - 1], &items[i]) != 0)
			items[count++] = items[i];
	}
	memset(nulls, false, count * sizeof(bool));
	if (has_null)
		nulls[count++] = true;
	return PointerGetDatum(construct_md_array(items, nulls, 1, &count, &lower, type, -1,
											  false, TYPALIGN_INT));
}

void
gov_keep_in_form(GovKeptRow *row, Relation table)
{
	if (!*gov_keep_row_null(row, GOV_KEEP_THRESHOLDS) &&
		ARR_NDIM(DatumGetArrayTypeP(*gov_keep_row_value(row, GOV_KEEP_THRESHOLDS))) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("column \"alert_thresholds\" of \"%s\" must be a one-dimensional array",
						RelationGetRelationName(table)),
				 errhint("Write it like {80,100}."),
				 errtablecol(table, row->places[GOV_KEEP_THRESHOLDS] + 1),
				 errtableconstraint(table, gov_keep_row_check(table, "alert_thresholds"))));
	if (!*gov_keep_row_null(row, GOV_KEEP_SCOPE))
		*gov_keep_row_value(row, GOV_KEEP_SCOPE) = sort_list(*gov_keep_row_value(row, GOV_KEEP_SCOPE), TEXTOID);
	if (!*gov_keep_row_null(row, GOV_KEEP_USAGE_LIMIT))
		*gov_keep_row_value(row, GOV_KEEP_USAGE_LIMIT) = round_number(*gov_keep_row_value(row, GOV_KEEP_USAGE_LIMIT));
	if (!*gov_keep_row_null(row, GOV_KEEP_CALL_LIMIT))
		*gov_keep_row_value(row, GOV_KEEP_CALL_LIMIT) = round_number(*gov_keep_row_value(row, GOV_KEEP_CALL_LIMIT));
	if (!*gov_keep_row_null(row, GOV_KEEP_CARRY_UNUSED_MAX))
		*gov_keep_row_value(row, GOV_KEEP_CARRY_UNUSED_MAX) = round_number(*gov_keep_row_value(row, GOV_KEEP_CARRY_UNUSED_MAX));
	if (!*gov_keep_row_null(row, GOV_KEEP_THRESHOLDS))
		*gov_keep_row_value(row, GOV_KEEP_THRESHOLDS) = sort_list(*gov_keep_row_value(row, GOV_KEEP_THRESHOLDS), NUMERICOID);
}
