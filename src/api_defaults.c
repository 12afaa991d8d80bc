/*
 * api_defaults.c
 *		Budgets by defaults, for statements: which an entity has, and what they
 *		are named.
 *
 * FAILURE
 *		42501 for an owner that the session may not see.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "base/catalog.h"
#include "base/owner.h"
#include "base/spi.h"
#include "cache/inherited.h"
#include "cache/inherited_find.h"
#include "cache/load_steps.h"
#include "ledger/columns.h"

PG_FUNCTION_INFO_V1(gov_inherited_name_1_1);
PG_FUNCTION_INFO_V1(gov_inherited_budgets_1_1);

/*
 * _gov_inherited_name(default_id uuid, seed bigint, owner text, entity text, scope text[], anchor text, salt integer,
 *					   out assignment_id uuid, out counter_id bigint)
 *
 * Only the anchor may be null.
 */
Datum
gov_inherited_name_1_1(PG_FUNCTION_ARGS)
{
	GovInheritedKey key = {0};
	pg_uuid_t	id;
	int64		counter_id;
	Datum		values[2];
	bool		nulls[2] = {false, false};
	TupleDesc	desc;

	for (int i = 0; i < PG_NARGS(); i++)
	{
		if (i != 5 && PG_ARGISNULL(i))
			PG_RETURN_NULL();
	}
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	key.default_id = *PG_GETARG_UUID_P(0);
	key.seed = PG_GETARG_INT64(1);
	key.owner = PG_GETARG_DATUM(2);
	key.entity = PG_GETARG_DATUM(3);
	key.scope = PG_GETARG_DATUM(4);
	key.anchor = PG_ARGISNULL(5) ? NULL : PG_GETARG_TEXT_PP(5);
	key.salt = PG_GETARG_INT32(6);
	gov_inherited_name(&key, &id, &counter_id);
	values[0] = UUIDPGetDatum(&id);
	values[1] = Int64GetDatum(counter_id);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* What of it is carried over stands elsewhere in a row of gov_assignments. */
static void
put_carried(const GovInheritedBudget *budget, Datum *values, bool *nulls)
{
	AttrNumber	columns[] = {
		gov_catalog()->assignments_carry_unused_max,
		gov_catalog()->assignments_carry_debt,
		gov_catalog()->assignments_carry_from
	};

	for (int i = 0; i < lengthof(columns); i++)
	{
		values[GOV_USED_CARRY_UNUSED_MAX + i] = budget->values[columns[i] - 1];
		nulls[GOV_USED_CARRY_UNUSED_MAX + i] = budget->nulls[columns[i] - 1];
	}
}

/* Put a budget into the result, as gov_used_assignments would have it. */
static void
put_budget(ReturnSetInfo *result, const GovInheritedBudget *budget)
{
	Datum		values[GOV_USED_COLUMNS];
	bool		nulls[GOV_USED_COLUMNS];
	AttrNumber	call_limit = gov_catalog()->assignments_call_limit;

	memcpy(values, budget->values, sizeof(Datum) * GOV_USED_CALL_LIMIT);
	memcpy(nulls, budget->nulls, sizeof(bool) * GOV_USED_CALL_LIMIT);
	values[GOV_USED_CALL_LIMIT] = budget->values[call_limit - 1];
	nulls[GOV_USED_CALL_LIMIT] = budget->nulls[call_limit - 1];
	values[GOV_USED_SOURCE] = CStringGetTextDatum("default");
	values[GOV_USED_DEFAULT_ID] = UUIDPGetDatum(&budget->made_of->default_id);
	values[GOV_USED_WINDOW_KIND] = budget->values[gov_catalog()->assignments_window_kind - 1];
	nulls[GOV_USED_SOURCE] = nulls[GOV_USED_DEFAULT_ID] = nulls[GOV_USED_WINDOW_KIND] = false;
	put_carried(budget, values, nulls);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * _gov_inherited_budgets(owner_id text, entity_id text) returns setof gov_used_assignments
 *
 * Those that have an assignment in their place are left out.
 */
Datum
gov_inherited_budgets_1_1(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	GovInheritedBudget *budgets;
	int			count;

	InitMaterializedSRF(fcinfo, 0);
	if (!gov_spi_is_engine())
		gov_owner_require_visible(PG_GETARG_TEXT_PP(0));
	count = gov_inherited_find_all(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), &budgets);
	for (int i = 0; i < count; i++)
		put_budget(result, &budgets[i]);
	return (Datum) 0;
}
