/*
 * hold_amounts.h
 *		What a hold holds of each of its budgets.
 */
#ifndef GOV_HOLD_AMOUNTS_H
#define GOV_HOLD_AMOUNTS_H

#include "postgres.h"

#include "utils/uuid.h"

#include "pure/amount.h"

/* The columns of a hold's row that say so. */
typedef struct GovHoldColumns
{
	Datum		amount;
	Datum		assignment_ids;
	bool		has_amounts;	/* it is of several capabilities */
	Datum		assignment_amounts;
} GovHoldColumns;

typedef struct GovHoldAmounts
{
	int			count;
	Datum	   *ids;			/* of budgets, those deleted since included */
	GovAmount  *amounts;
	bool		are_bad;		/* some of them we did not write */
} GovHoldAmounts;

extern void gov_hold_amounts_read(const GovHoldColumns *columns, GovHoldAmounts *amounts);

#endif							/* GOV_HOLD_AMOUNTS_H */
