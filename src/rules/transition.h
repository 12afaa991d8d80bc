/*
 * transition.h
 *		The rows that a statement has written, for its AFTER trigger.
 */
#ifndef GOV_TRANSITION_H
#define GOV_TRANSITION_H

#include "postgres.h"

#include "commands/trigger.h"
#include "executor/tuptable.h"

#define GOV_TRANSITION_COLUMNS	8

/* In the row that was fetched last, columns are numbered as they were named. */
typedef struct GovTransition
{
	const TriggerData *trigger;
	TupleTableSlot *before;		/* NULL for an INSERT */
	TupleTableSlot *after;		/* NULL for a DELETE */
	int			numbers[GOV_TRANSITION_COLUMNS];
} GovTransition;

extern void gov_transition_begin(GovTransition *rows, const TriggerData *trigger,
								 const char *const *columns, int ncolumns);
extern void gov_transition_rewind(GovTransition *rows);
extern bool gov_transition_next(GovTransition *rows);
extern void gov_transition_end(GovTransition *rows);
extern Datum gov_transition_key(const GovTransition *rows, TupleTableSlot *row, int column);
extern bool gov_transition_is_null(const GovTransition *rows, TupleTableSlot *row, int column);
extern bool gov_transition_text_differs(const GovTransition *rows, int column);
extern Datum gov_transition_value(const GovTransition *rows, TupleTableSlot *row, int column, bool *isnull);

#endif							/* GOV_TRANSITION_H */
