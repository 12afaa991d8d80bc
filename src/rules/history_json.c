/*
 * history_json.c
 *		Columns of a row as jsonb.
 *
 * PURPOSE
 *		What to_jsonb() makes of a row, for some of its columns.  A statement may
 *		have written a hundred thousand rows, and to_jsonb() looks up each type
 *		for each row; here that is done once for a statement, and the types that
 *		most columns have are written in place (pure/json.c).
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
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "base/catalog.h"
#include "pure/json.h"
#include "rules/history_json.h"

#define GOV_EXPECTED_BYTES	256

/* What the engine keeps of every row; the owner has a column of its own in gov_changes. */
static const char *const kept_columns[] = {
	"created_at", "updated_at", "counter_id", "debt_counter_id", "carry_from", "closed_at", "owner_id", "created_by_use"
};

#define GOV_KEPT_OF_DEFAULTS	"seed"	/* and this of every default */

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

static int
compare_names(const void *left, const void *right, void *arg)
{
	const GovHistoryColumn *a = (const GovHistoryColumn *) arg + *(const int *) left;
	const GovHistoryColumn *b = (const GovHistoryColumn *) arg + *(const int *) right;

	if (a->name_length != b->name_length)
		return a->name_length < b->name_length ? -1 : 1;
	return memcmp(NameStr(a->attribute->attname), NameStr(b->attribute->attname), a->name_length);
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
	result->order = palloc(sizeof(int) * desc->natts);
	result->key = palloc0(sizeof(bool) * desc->natts);
	for (int i = 0; i < desc->natts; i++)
	{
		GovHistoryColumn *column = &result->columns[i];
		char	   *name = NameStr(TupleDescAttr(desc, i)->attname);

		column->attribute = TupleDescAttr(desc, i);
		column->name_length = strlen(name);
		result->order[i] = i;
		if (column->attribute->attisdropped || column->attribute->attgenerated != '\0')
			column->is_kept = true;
		else
		{
			result->key[i] = column->is_key = is_among(name, (const char *const *) keys, nkeys);
			column->is_kept = !column->is_key && is_kept(table, name);
			column->to_jsonb = make_to_jsonb(column->attribute);
		}
	}
	qsort_arg(result->order, desc->natts, sizeof(int), compare_names, result->columns);
	return result;
}

/*
 * Read which constants columns have where nobody says anything.  What is computed for
 * each row, such as a time, is none.
 */
void
gov_history_json_read_defaults(Relation table, GovHistoryColumns *columns)
{
	for (int i = 0; i < columns->count; i++)
	{
		GovHistoryColumn *column = &columns->columns[i];
		Node	   *expression;

		if (!column->attribute->atthasdef || column->is_key || column->is_kept)
			continue;
		expression = eval_const_expressions(NULL, build_column_default(table, i + 1));
		column->has_default = IsA(expression, Const) && !((Const *) expression)->constisnull;
		if (column->has_default)
			column->default_value = ((Const *) expression)->constvalue;
	}
}

static void
put_text(StringInfo json, GovJsonContainer *in, Datum value)
{
	text	   *string = DatumGetTextPP(value);

	gov_json_put_string(json, in, VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));
}

/* As uuid_out() writes it, which does so a character at a time. */
static void
put_uuid(StringInfo json, GovJsonContainer *in, const pg_uuid_t *uuid)
{
	static const char digits[] = "0123456789abcdef";
	char		string[2 * UUID_LEN + 4];
	char	   *end = string;

	for (int i = 0; i < UUID_LEN; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*end++ = '-';
		*end++ = digits[uuid->data[i] >> 4];
		*end++ = digits[uuid->data[i] & 0x0f];
	}
	gov_json_put_string(json, in, string, end - string);
}

/* A list of texts, of which none is null; false for any other array. */
static bool
put_texts(StringInfo json, GovJsonContainer *in, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	GovJsonContainer list;
	Datum	   *texts;
	int			count;

	if (ARR_NDIM(array) > 1 || array_contains_nulls(array))
		return false;
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &texts, NULL, &count);
	gov_json_begin_array(json, &list, count);
	for (int i = 0; i < count; i++)
		put_text(json, &list, texts[i]);
	gov_json_end(json, &list, in);
	return true;
}

/* A number; false for one that JSON does not have. */
static bool
put_number(StringInfo json, GovJsonContainer *in, Datum value)
{
	Numeric		number = DatumGetNumeric(value);

	if (numeric_is_nan(number) || numeric_is_inf(number))
		return false;
	gov_json_put_numeric(json, in, number);
	return true;
}

/* Put a column's value that is not null. */
static void
put_value(StringInfo json, GovJsonContainer *in, GovHistoryColumn *column, Datum value)
{
	Oid			type = column->attribute->atttypid;

	Assert(column->to_jsonb != NULL);
	if (type == TEXTOID)
		put_text(json, in, value);
	else if (type == BOOLOID)
		gov_json_put_bool(json, in, DatumGetBool(value));
	else if (type == UUIDOID)
		put_uuid(json, in, DatumGetUUIDP(value));
	else if ((type == NUMERICOID && put_number(json, in, value)) ||
			 (type == TEXTARRAYOID && put_texts(json, in, value)))
		return;
	else
		gov_json_put_jsonb(json, in, DatumGetJsonbP(FunctionCall1(column->to_jsonb, value)));
}

/* A set of a row's columns, all of whose values are there. */
Datum
gov_history_json(GovHistoryColumns *columns, TupleTableSlot *row, const bool *set)
{
	StringInfoData json;
	GovJsonContainer object;
	uint32		npairs = 0;

	for (int i = 0; i < columns->count; i++)
		npairs += set[i] ? 1 : 0;
	gov_json_init(&json, GOV_EXPECTED_BYTES);
	gov_json_begin_object(&json, &object, npairs);
	for (int i = 0; i < columns->count; i++)
	{
		const GovHistoryColumn *column = &columns->columns[columns->order[i]];

		if (set[columns->order[i]])
			gov_json_put_string(&json, &object, NameStr(column->attribute->attname),
								column->name_length);
	}
	for (int i = 0; i < columns->count; i++)
	{
		int			place = columns->order[i];

		if (!set[place])
			continue;
		if (row->tts_isnull[place])
			gov_json_put_null(&json, &object);
		else
			put_value(&json, &object, &columns->columns[place], row->tts_values[place]);
	}
	gov_json_end(&json, &object, NULL);
	return gov_json_done(&json);
}

/* An object of one key, whose value is text. */
Datum
gov_history_json_pair(const char *name, const char *value)
{
	StringInfoData json;
	GovJsonContainer object;

	gov_json_init(&json, GOV_EXPECTED_BYTES);
	gov_json_begin_object(&json, &object, 1);
	gov_json_put_string(&json, &object, name, strlen(name));
	gov_json_put_string(&json, &object, value, strlen(value));
	gov_json_end(&json, &object, NULL);
	return gov_json_done(&json);
}
