/*
 * dimensions.c
 *		The dimensions of a call: a flat JSON object.
 *
 * FAILURE
 *		22023 for what is no such object, 54000 for more than one call may have.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "base/guc.h"
#include "call/dimensions.h"

/*
 * Refuse dimensions that are larger than governance.dimensions_max.  The
 * caller chooses them, and each event keeps them.  Those of a hold are not
 * judged again when it is settled.
 */
void
gov_dimensions_check_size(const Jsonb *dimensions)
{
	if (dimensions != NULL && VARSIZE(dimensions) > (Size) gov_dimensions_max_kb * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("argument \"dimensions\" is too large"),
				 errdetail("It takes %zu bytes as jsonb, and governance.dimensions_max allows %d kB.",
						   (Size) VARSIZE(dimensions), gov_dimensions_max_kb),
				 errhint("Pass what is charged and reported by, and keep the rest in a table of your own.")));
}

/* Raise an error: this is no flat object. */
void
gov_dimensions_refuse(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"dimensions\" must be a flat JSON object"),
			 errdetail("%s", detail),
			 errhint("Write it like {\"agentId\": \"agent-7\", \"feature\": \"chat\"}.")));
}

/* The text of a scalar; false for null, which stands for absent. */
bool
gov_dimensions_text(const JsonbValue *value, const char **bytes, uint32 *length)
{
	switch (value->type)
	{
		case jbvNull:
			return false;
		case jbvString:
			*bytes = value->val.string.val;
			*length = value->val.string.len;
			return true;
		case jbvNumeric:
			*bytes = DatumGetCString(DirectFunctionCall1(numeric_out,
														 NumericGetDatum(value->val.numeric)));
			*length = strlen(*bytes);
			return true;
		case jbvBool:
			*bytes = value->val.boolean ? "true" : "false";
			*length = strlen(*bytes);
			return true;
		default:
			gov_dimensions_refuse("Values must be strings, numbers or booleans.");
			return false;
	}
}

/* The next dimension; false after the last. */
bool
gov_dimensions_next(JsonbIterator **iterator, JsonbValue *key, JsonbValue *value)
{
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(iterator, key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		JsonbIteratorNext(iterator, value, true);
		return true;
	}
	return false;
}

/* Has an object a null among its values?  Their JEntries stand behind those of the keys. */
static bool
has_null(const Jsonb *object)
{
	uint32		count = JB_ROOT_COUNT(object);

	for (uint32 i = count; i < 2 * count; i++)
	{
		if (JBE_ISNULL(object->root.children[i]))
			return true;
	}
	return false;
}

static Jsonb *
without_nulls(Jsonb *dimensions)
{
	JsonbParseState *state = NULL;
	JsonbIterator *iterator = JsonbIteratorInit(&dimensions->root);
	JsonbValue	key;
	JsonbValue	value;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	while (gov_dimensions_next(&iterator, &key, &value))
	{
		if (value.type == jbvNull)
			continue;
		pushJsonbValue(&state, WJB_KEY, &key);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/*
 * The dimensions as a row stores them: an object without nulls, because null
 * stands for absent.  They were checked when the request was read.
 */
Jsonb *
gov_dimensions_stored(Jsonb *dimensions)
{
	Jsonb	   *none;

	if (dimensions != NULL)
		return has_null(dimensions) ? without_nulls(dimensions) : dimensions;
	none = palloc(VARHDRSZ + sizeof(uint32));
	SET_VARSIZE(none, VARHDRSZ + sizeof(uint32));
	none->root.header = JB_FOBJECT;
	return none;
}
