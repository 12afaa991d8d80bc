/*
 * api_defaults.c
 *		The names of budgets by defaults, for those who prove them.
 *
 * FAILURE
 *		None: arguments in, answer out.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "cache/inherited.h"

PG_FUNCTION_INFO_V1(gov_inherited_name_1_1);

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
