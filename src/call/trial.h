/*
 * trial.h
 *		Proposed budgets, as they come from SQL, made trials of.
 */
#ifndef GOV_TRIAL_H
#define GOV_TRIAL_H

#include "postgres.h"

#include "access/htup.h"
#include "utils/array.h"

#include "pure/backtest.h"

/* How the limits of budgets change with time: by budget, and by time. */
typedef struct GovTrialSteps
{
	int			count;
	int			next;			/* the first of the next budget */
	Datum	   *budgets;		/* their places, from 1 on */
	Datum	   *times;
	Datum	   *limits;
} GovTrialSteps;

/* The grants of pools: by budget, and in the order in which uses draw. */
typedef struct GovTrialGrants
{
	int			count;
	int			next;			/* the first of the next budget */
	Datum	   *budgets;		/* their places, from 1 on */
	Datum	   *amounts;
	Datum	   *times;			/* when they take effect */
	Datum	   *ends;			/* and end, or infinity */
} GovTrialGrants;

extern int	gov_trial_texts(Datum array, const char *column, Datum **texts);
extern Datum gov_trial_column(HeapTupleHeader row, const char *column);
extern void gov_trial_read_steps(Datum budgets, Datum times, Datum limits, GovTrialSteps *steps);
extern void gov_trial_read_grants(Datum budgets, Datum amounts, Datum times, Datum ends,
								  GovTrialGrants *grants);
extern GovBacktest *gov_trial_read(ArrayType *rows, ArrayType *times, GovTrialSteps *steps,
								   GovTrialGrants *grants, Datum **budgets, int *count);

#endif							/* GOV_TRIAL_H */
