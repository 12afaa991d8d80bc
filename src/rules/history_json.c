/*
 * history_json.c
 *		Columns of a row as jsonb.
 *
 * PURPOSE
 *		What to_jsonb() makes of a row, for some of its columns.  A statement may
 *		have written a hundred thousand rows, and to_jsonb() looks up each type
 *		for each row; here that is done once for a statement, and the types that
 *		most columns have are converted in place.
 *
 * INVARIANTS
 *		A value is what to_jsonb() makes of it, in whatever column: also in one
 *		that users have added.  A column that is computed from others is left
 *		out.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/numeric.h"
#include "utils/rel.h"

#include "base/catalog.h"
#include "rules/history_json.h"

/* What the engine keeps of every row; the owner has a column of its own in gov_changes. */
static const char *const kept_columns[] = {
	"created_at", "updated_at", "counter_id", "owner_id"
};

#define GOV_KEPT_OF_DEFAULTS	"seed"	/* and this of every default */

static JsonbValue
json_string(char *value, int length)
{
	JsonbValue	result = {.type = jbvString};

	result.val.string.val = value;
	result.val.string.len = length;
	return result;
}

static bool
is_among(const char *name, const char *const *names, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

/* to_jsonb() takes any type, and learns from the expression of its call which. */
static FmgrInfo *
make_to_jsonb(Form_pg_attribute attribute)
{
	FmgrInfo   *result = palloc(sizeof(FmgrInfo));
	Node	   *argument = (Node *) makeNullConst(attribute->atttypid, attribute->atttypmod,
												  attribute->attcollation);

	fmgr_info(F_TO_JSONB, result);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(argument), InvalidOid,
											 InvalidOid, COERCE_EXPLICIT_CALL), result);
	return result;
}

static bool
is_kept(Relation table, const char *name)
{
	return is_among(name, kept_columns, lengthof(kept_columns)) ||
		(RelationGetRelid(table) == gov_catalog()->default_assignments &&
		 strcmp(name, GOV_KEPT_OF_DEFAULTS) == 0);
}

/* The columns of a table, whose description stays open; these are its key. */
GovHistoryColumns *
gov_history_json_columns(Relation table, char **keys, int nkeys)
{
	TupleDesc	desc = RelationGetDescr(table);
	GovHistoryColumns *result = palloc(sizeof(GovHistoryColumns));

	result->count = desc->natts;
	result->columns = palloc0(sizeof(GovHistoryColumn) * desc->natts);
	result->key = palloc0(sizeof(bool) * desc->natts);
	for (int i = 0; i < desc->natts; i++)
	{
		GovHistoryColumn *column = &result->columns[i];
		char	   *name = NameStr(TupleDescAttr(desc, i)->attname);

		column->attribute = TupleDescAttr(desc, i);
		column->name = json_string(name, strlen(name));
		if (column->attribute->attisdropped || column->attribute->attgenerated != '\0')
			column->is_kept = true;
		else
		{
			result->key[i] = column->is_key = is_among(name, (const char *const *) keys, nkeys);
			column->is_kept = !column->is_key && is_kept(table, name);
			column->to_jsonb = make_to_jsonb(column->attribute);
		}
	}
	return result;
}

static JsonbValue
convert_any(GovHistoryColumn *column, Datum value)
{
	Jsonb	   *json;
	JsonbValue	result;

	Assert(column->to_jsonb != NULL);
	json = DatumGetJsonbP(FunctionCall1(column->to_jsonb, value));
	if (JB_ROOT_IS_SCALAR(json) && JsonbExtractScalar(&json->root, &result))
		return result;
	result.type = jbvBinary;
	result.val.binary.data = &json->root;
	result.val.binary.len = VARSIZE(json) - VARHDRSZ;
	return result;
}

/* A column's value that is not null. */
static JsonbValue
convert_value(GovHistoryColumn *column, Datum value)
{
	JsonbValue	result;

	switch (column->attribute->atttypid)
	{
		case TEXTOID:
			{
				text	   *string = DatumGetTextPP(value);

				return json_string(VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));
			}
		case BOOLOID:
			result.type = jbvBool;
			result.val.boolean = DatumGetBool(value);
			return result;
		case UUIDOID:
			return json_string(DatumGetCString(DirectFunctionCall1(uuid_out, value)), 36);
		default:
			return convert_any(column, value);
	}
}

/* A set of a row's columns, all of whose values are there. */
Datum
gov_history_json(GovHistoryColumns *columns, TupleTableSlot *row, const bool *set)
{
	JsonbParseState *state = NULL;
	JsonbValue	null = {.type = jbvNull};

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < columns->count; i++)
	{
		JsonbValue	value;

		if (!set[i])
			continue;
		pushJsonbValue(&state, WJB_KEY, &columns->columns[i].name);
		value = row->tts_isnull[i] ? null : convert_value(&columns->columns[i], row->tts_values[i]);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/* An object of one key, whose value is text. */
Datum
gov_history_json_pair(const char *name, const char *value)
{
	JsonbParseState *state = NULL;
	JsonbValue	key = json_string(unconstify(char *, name), strlen(name));
	JsonbValue text = json_string(unconstify(char *, value), strlen(value));

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	pushJsonbValue(&state, WJB_KEY, &key);
	pushJsonbValue(&state, WJB_VALUE, &text);
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}
