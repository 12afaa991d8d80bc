/*
 * hold_amounts.c
 *		What a hold holds of each of its budgets.
 *
 * PURPOSE
 *		A hold of one capability holds one amount, of all its budgets.  One of
 *		several is one row too, with one state, so that it ends as a whole: beside
 *		the ids of its budgets it has what it holds of each.
 *
 * FAILURE
 *		None here.  Amounts that we have not written are reported, and counted as 0.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/numeric.h"

#include "ledger/hold_amounts.h"

static GovAmount
read_amount(Datum numeric, GovHoldAmounts *amounts)
{
	GovAmount	amount = 0;

	if (gov_amount_from_numeric(DatumGetNumeric(numeric), &amount) != GOV_AMOUNT_OK)
		amounts->are_bad = true;
	return amount;
}

/* The same of all. */
static void
read_one(const GovHoldColumns *columns, GovHoldAmounts *amounts)
{
	GovAmount	amount = read_amount(columns->amount, amounts);

	for (int i = 0; i < amounts->count; i++)
		amounts->amounts[i] = amount;
}

static void
read_each(const GovHoldColumns *columns, GovHoldAmounts *amounts)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	deconstruct_array(DatumGetArrayTypeP(columns->assignment_amounts), NUMERICOID, -1, false,
					  TYPALIGN_INT, &elements, &nulls, &count);
	for (int i = 0; i < amounts->count; i++)
	{
		bool		is_there = i < count && !nulls[i];

		amounts->amounts[i] = is_there ? read_amount(elements[i], amounts) : 0;
		amounts->are_bad |= !is_there;
	}
}

/* Read what a hold's row says; in the caller's memory. */
void
gov_hold_amounts_read(const GovHoldColumns *columns, GovHoldAmounts *amounts)
{
	amounts->are_bad = false;
	deconstruct_array(DatumGetArrayTypeP(columns->assignment_ids), UUIDOID, UUID_LEN, false,
					  TYPALIGN_CHAR, &amounts->ids, NULL, &amounts->count);
	amounts->amounts = palloc(sizeof(GovAmount) * (amounts->count + 1));
	if (columns->has_amounts)
		read_each(columns, amounts);
	else
		read_one(columns, amounts);
}
