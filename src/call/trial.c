/*
 * trial.c
 *		Proposed budgets, as they come from SQL, made trials of.
 *
 * PURPOSE
 *		gov_backtest hands over rows of gov_assignments that are not stored,
 *		when each lost its say, and how the limits of some changed with time
 *		because they had boosts.
 *
 * RIGHTS
 *		Whoever has EXECUTE may call _gov_replay with anything: no value is
 *		trusted.
 *
 * FAILURE
 *		22023 for what cannot be a budget.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/catalog.h"
#include "call/trial.h"
#include "pure/window.h"

pg_noreturn static void
raise_bad_budget(const char *column)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for \"%s\" in a proposed budget", column),
			 errhint("Call gov_backtest, which says what is wrong.")));
}

/* Read a text[] that has no nulls. */
int
gov_trial_texts(Datum array, const char *column, Datum **texts)
{
	ArrayType  *value = DatumGetArrayTypeP(array);
	bool	   *nulls;
	int			count;

	deconstruct_array(value, TEXTOID, -1, false, TYPALIGN_INT, texts, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			raise_bad_budget(column);
	}
	return count;
}

/* A column of a budget, which must not be null. */
Datum
gov_trial_column(HeapTupleHeader row, const char *column)
{
	bool		isnull;
	Datum		value = GetAttributeByName(row, column, &isnull);

	if (isnull)
		raise_bad_budget(column);
	return value;
}

/* The number of a text of a budget, which stays as long as the call. */
static int
name_of(GovBacktest *backtest, Datum value)
{
	text	   *name = DatumGetTextPP(value);

	return gov_backtest_name(backtest, VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
}

static void
read_amount(Datum value, const char *column, GovAmount *amount)
{
	if (gov_amount_from_numeric(DatumGetNumeric(value), amount) != GOV_AMOUNT_OK || *amount < 0)
		raise_bad_budget(column);
}

static void
read_limit(HeapTupleHeader row, GovTrial *trial)
{
	bool		isnull;
	Datum		limit = GetAttributeByName(row, "usage_limit", &isnull);
	char	   *enforcement = TextDatumGetCString(gov_trial_column(row, "enforcement"));

	trial->state.has_limit = !isnull;
	trial->state.is_soft = strcmp(enforcement, "soft") == 0;
	if (!isnull)
		read_amount(limit, "usage_limit", &trial->state.limit);
}

/* Take the next steps, which are those of a budget. */
static void
take_steps(GovTrialSteps *steps, int nsteps, GovAmount base_limit, GovBounds *bounds)
{
	bounds->nsteps = nsteps + 1;
	bounds->steps[0].from = DT_NOBEGIN;
	bounds->steps[0].limit = base_limit;
	for (int i = 1; i <= nsteps; i++, steps->next++)
	{
		bounds->steps[i].from = DatumGetTimestampTz(steps->times[steps->next]);
		read_amount(steps->limits[steps->next], "usage_limit", &bounds->steps[i].limit);
		if (bounds->steps[i].from <= bounds->steps[i - 1].from)
			raise_bad_budget("usage_limit");
	}
}

/* Make the pool of the next grants, which are those of a budget. */
static void
take_grants(GovTrialGrants *grants, int place, GovTrial *trial)
{
	int			count = 0;
	GovPool    *pool;

	while (grants->next + count < grants->count &&
		   DatumGetInt32(grants->budgets[grants->next + count]) == place)
		count++;
	pool = MemoryContextAllocExtended(CurrentMemoryContext,
									  offsetof(GovPool, grants) + count * sizeof(GovGrant),
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	pool->ngrants = count;
	for (int i = 0; i < count; i++, grants->next++)
	{
		read_amount(grants->amounts[grants->next], "grants", &pool->grants[i].amount);
		pool->grants[i].from = DatumGetTimestampTz(grants->times[grants->next]);
		pool->grants[i].until = DatumGetTimestampTz(grants->ends[grants->next]);
	}
	gov_pool_set_payers(pool);
	trial->pool = pool;
	trial->owed_at = DT_NOBEGIN;
	trial->draws = MemoryContextAllocExtended(CurrentMemoryContext, (count + 1) * sizeof(GovDraw),
											  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	trial->state.has_limit = true;
}

/* Is the budget a pool?  Then that is one of its bounds. */
static bool
read_pool(HeapTupleHeader row, GovTrialGrants *grants, int place, GovTrial *trial, GovBounds *bounds)
{
	bool		isnull;
	bool		is_pool;

	if (gov_catalog()->assignments_is_pool == InvalidAttrNumber)
		return false;
	is_pool = DatumGetBool(GetAttributeByName(row, "is_pool", &isnull)) && !isnull;
	if (is_pool)
	{
		take_grants(grants, place, trial);
		bounds->is_pool = true;
		read_amount(gov_trial_column(row, "debt_limit"), "debt_limit", &bounds->debt_limit);
	}
	return is_pool;
}

/* What else bounds a budget than its limit: a largest use, steps of the limit, a pool's debt. */
static void
read_bounds(HeapTupleHeader row, int place, GovTrialSteps *steps, GovTrialGrants *grants, GovTrial *trial)
{
	GovBounds	of_pool = {0};
	bool		isnull;
	Datum		limit = GetAttributeByName(row, "call_limit", &isnull);
	bool		is_pool = read_pool(row, grants, place, trial, &of_pool);
	int			nsteps = 0;
	GovBounds  *bounds;

	while (steps->next + nsteps < steps->count &&
		   DatumGetInt32(steps->budgets[steps->next + nsteps]) == place)
		nsteps++;
	if (isnull && nsteps == 0 && !is_pool)
		return;
	bounds = MemoryContextAllocExtended(CurrentMemoryContext,
										offsetof(GovBounds, steps) +
										(nsteps + 1) * sizeof(GovLimitStep),
										MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	*bounds = of_pool;
	bounds->has_call_limit = !isnull;
	if (!isnull)
		read_amount(limit, "call_limit", &bounds->call_limit);
	if (nsteps > 0)
		take_steps(steps, nsteps, trial->state.limit, bounds);
	trial->state.bounds = bounds;
}

static void
read_window_kind(HeapTupleHeader row, GovTrial *trial)
{
	Datum		kind;
	bool		isnull;

	if (gov_catalog()->assignments_window_kind == InvalidAttrNumber)
		return;
	kind = GetAttributeByName(row, "window_kind", &isnull);
	if (!isnull && !gov_cadence_kind_parse(TextDatumGetCString(kind), &trial->cadence.kind))
		raise_bad_budget("window_kind");
	if (trial->cadence.kind != GOV_WINDOW_CALENDAR && trial->cadence.unit == GOV_CADENCE_NONE)
		raise_bad_budget("window_kind");
}

static void
read_windows(HeapTupleHeader row, GovTrial *trial)
{
	bool		isnull;
	Datum		cadence = GetAttributeByName(row, "cadence", &isnull);
	Datum		anchor;

	if (!isnull && !gov_cadence_parse(TextDatumGetCString(cadence), &trial->cadence))
		raise_bad_budget("cadence");
	anchor = GetAttributeByName(row, "anchor_at", &isnull);
	trial->has_anchor = !isnull;
	trial->anchor = isnull ? 0 : DatumGetTimestampTz(anchor);
	trial->tz = gov_window_timezone(TextDatumGetCString(gov_trial_column(row, "timezone")));
	if (trial->tz == NULL)
		raise_bad_budget("timezone");
	read_window_kind(row, trial);
}

/* What the budget carries over, which has a limit and a cadence then. */
static void
read_carry(HeapTupleHeader row, GovTrial *trial)
{
	bool		isnull;
	Datum		value;

	if (!AttributeNumberIsValid(gov_catalog()->assignments_carry_unused_max))
		return;
	value = GetAttributeByName(row, "carry_unused_max", &isnull);
	trial->carries = !isnull;
	if (!isnull)
		read_amount(value, "carry_unused_max", &trial->carry.unused_max);
	value = GetAttributeByName(row, "carry_debt", &isnull);
	trial->carry.carries_debt = !isnull && DatumGetBool(value);
	trial->carries |= trial->carry.carries_debt;
	trial->own = trial->state.limit;
	if (trial->carries && (!trial->state.has_limit || trial->cadence.unit == GOV_CADENCE_NONE ||
						   trial->cadence.kind != GOV_WINDOW_CALENDAR))
		raise_bad_budget("carry_unused_max");
}

static void
add_trial(GovBacktest *backtest, HeapTupleHeader row, int place, TimestampTz suspended_from,
		  GovTrialSteps *steps, GovTrialGrants *grants)
{
	GovTrial	trial = {0};
	Datum	   *scope;

	trial.suspended_from = suspended_from;
	trial.entity = name_of(backtest, gov_trial_column(row, "entity_id"));
	trial.capability = name_of(backtest, gov_trial_column(row, "capability_id"));
	trial.nscope = gov_trial_texts(gov_trial_column(row, "scope_entity_ids"), "scope_entity_ids", &scope);
	trial.scope = palloc(sizeof(int) * Max(trial.nscope, 1));
	for (int i = 0; i < trial.nscope; i++)
		trial.scope[i] = name_of(backtest, scope[i]);
	read_limit(row, &trial);
	read_bounds(row, place, steps, grants, &trial);
	read_windows(row, &trial);
	read_carry(row, &trial);
	gov_backtest_add(backtest, &trial);
}

/* How many names the budgets can have between them. */
static int
count_names(Datum *budgets, int count)
{
	int			nnames = 0;

	for (int i = 0; i < count; i++)
	{
		Datum		scope = gov_trial_column(DatumGetHeapTupleHeader(budgets[i]), "scope_entity_ids");
		ArrayType  *ids = DatumGetArrayTypeP(scope);

		nnames += 2 + ArrayGetNItems(ARR_NDIM(ids), ARR_DIMS(ids));
	}
	return nnames;
}

/* Read an array as long as another one, or (-1) as it is; no element may be null. */
static Datum *
read_column(Datum array, Oid type, int16 length, bool by_value, char align, int *count)
{
	Datum	   *values;
	bool	   *nulls;
	int			nvalues;

	deconstruct_array(DatumGetArrayTypeP(array), type, length, by_value, align,
					  &values, &nulls, &nvalues);
	if (*count >= 0 && nvalues != *count)
		raise_bad_budget("usage_limit");
	for (int i = 0; i < nvalues; i++)
	{
		if (nulls[i])
			raise_bad_budget("usage_limit");
	}
	*count = nvalues;
	return values;
}

/*
 * Read how the limits of budgets change with time, from three arrays of equal
 * length: the places of budgets, from 1 on; times; limits from then on.
 */
void
gov_trial_read_steps(Datum budgets, Datum times, Datum limits, GovTrialSteps *steps)
{
	steps->next = 0;
	steps->count = -1;
	steps->budgets = read_column(budgets, INT4OID, sizeof(int32), true, TYPALIGN_INT,
								 &steps->count);
	steps->times = read_column(times, TIMESTAMPTZOID, sizeof(TimestampTz), FLOAT8PASSBYVAL,
							   TYPALIGN_DOUBLE, &steps->count);
	steps->limits = read_column(limits, NUMERICOID, -1, false, TYPALIGN_INT, &steps->count);
}

/*
 * Read the grants of pools, from four arrays of equal length: the places of budgets,
 * from 1 on; amounts; when they take effect, and end.
 */
void
gov_trial_read_grants(Datum budgets, Datum amounts, Datum times, Datum ends, GovTrialGrants *grants)
{
	grants->next = 0;
	grants->count = -1;
	grants->budgets = read_column(budgets, INT4OID, sizeof(int32), true, TYPALIGN_INT, &grants->count);
	grants->amounts = read_column(amounts, NUMERICOID, -1, false, TYPALIGN_INT, &grants->count);
	grants->times = read_column(times, TIMESTAMPTZOID, sizeof(TimestampTz), FLOAT8PASSBYVAL,
								TYPALIGN_DOUBLE, &grants->count);
	grants->ends = read_column(ends, TIMESTAMPTZOID, sizeof(TimestampTz), FLOAT8PASSBYVAL,
							   TYPALIGN_DOUBLE, &grants->count);
}

/*
 * Make trials of an array of gov_assignments; each keeps its place.  From the
 * times on that are given, one for each or null, they have no say.
 */
GovBacktest *
gov_trial_read(ArrayType *rows, ArrayType *times, GovTrialSteps *steps, GovTrialGrants *grants,
			   Datum **budgets, int *count)
{
	GovBacktest *backtest;
	Datum	   *suspended_from;
	bool	   *nulls;
	bool	   *is_never;
	int			ntimes;

	deconstruct_array(rows, ARR_ELEMTYPE(rows), -1, false, TYPALIGN_DOUBLE,
					  budgets, &nulls, count);
	deconstruct_array(times, TIMESTAMPTZOID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &suspended_from, &is_never, &ntimes);
	if (ntimes != *count)
		raise_bad_budget("archived_at");
	for (int i = 0; i < *count; i++)
	{
		if (nulls[i])
			raise_bad_budget("entity_id");
	}
	if (*count == 0)
		return NULL;

	backtest = gov_backtest_create(*count, count_names(*budgets, *count));
	for (int i = 0; i < *count; i++)
		add_trial(backtest, DatumGetHeapTupleHeader((*budgets)[i]), i + 1,
				  is_never[i] ? DT_NOEND : DatumGetTimestampTz(suspended_from[i]), steps, grants);
	if (steps->next < steps->count)
		raise_bad_budget("usage_limit");
	if (grants->next < grants->count)
		raise_bad_budget("grants");
	return backtest;
}
