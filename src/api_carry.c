/*
 * api_carry.c
 *		_gov_carried: what budgets carry over from the window before, for reports,
 *		alerts and gov_verify.
 *
 * RIGHTS
 *		The tables are read with the engine's rights, of an owner that the session may
 *		see.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/owner.h"
#include "base/spi.h"
#include "cache/carry_over.h"

PG_FUNCTION_INFO_V1(gov_carried_1_1);

/* the columns of the result */
enum
{
	ASSIGNMENT_ID,
	COUNTER_ID,
	WINDOW_START,
	CARRIED,
	COLUMNS
};

/* Put a budget that carries something over into the result. */
static void
put_carried(ReturnSetInfo *result, const GovCarriedOver *over)
{
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS] = {false};

	values[ASSIGNMENT_ID] = UUIDPGetDatum(&over->id);
	values[COUNTER_ID] = Int64GetDatum(over->counter_id);
	values[WINDOW_START] = TimestampTzGetDatum(over->window.start);
	values[CARRIED] = NumericGetDatum(gov_amount_to_numeric(over->carried));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * _gov_carried(owner text, at timestamptz, entity_ids text[])
 *		returns table (assignment_id uuid, counter_id bigint, window_start timestamptz, carried numeric)
 *
 * Of all entities where entity_ids is null.
 */
Datum
gov_carried_1_1(PG_FUNCTION_ARGS)
{
	GovOwnerKey key = {0};
	GovCarriedOver *found;
	char	   *owner;
	int			count;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	if (!gov_spi_is_engine())
		gov_owner_require_visible(PG_GETARG_TEXT_PP(0));
	owner = text_to_cstring(PG_GETARG_TEXT_PP(0));
	gov_node_owner_key_init(&key, MyDatabaseId, gov_catalog()->extension, owner, strlen(owner));
	count = gov_carry_over_find(&key, PG_ARGISNULL(2) ? NULL : PG_GETARG_ARRAYTYPE_P(2),
								PG_GETARG_TIMESTAMPTZ(1), false, &found);
	for (int i = 0; i < count; i++)
		put_carried((ReturnSetInfo *) fcinfo->resultinfo, &found[i]);
	return (Datum) 0;
}
