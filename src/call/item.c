/*
 * item.c
 *		Reads an event of a batch: its keys are the arguments of gov_ingest in
 *		camelCase.
 *
 * FAILURE
 *		22023 for what is no event, and what request.c raises of a value.
 */
#include "postgres.h"

#include <ctype.h>

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/errors.h"
#include "call/dimensions.h"
#include "call/item.h"
#include "pure/bytes.h"

/* Is this key the one with that name? */
bool
gov_item_is_key(const JsonbValue *key, const char *name)
{
	return gov_bytes_equal(key->val.string.val, key->val.string.len, name, strlen(name));
}

/* What the value of a key must be. */
typedef enum GovItemForm
{
	GOV_ITEM_TEXT,
	GOV_ITEM_NUMBER,
	GOV_ITEM_TIME,
	GOV_ITEM_LIST
} GovItemForm;

static int
errmsg_form(const char *key, GovItemForm form)
{
	switch (form)
	{
		case GOV_ITEM_TEXT:
			return errmsg("key \"%s\" of an event must be a string", key);
		case GOV_ITEM_NUMBER:
			return errmsg("key \"%s\" of an event must be a number", key);
		case GOV_ITEM_TIME:
			return errmsg("key \"%s\" of an event must be an ISO 8601 time such as \"2025-01-31T00:00:00Z\"", key);
		default:
			return errmsg("key \"%s\" of an event must be an array of strings", key);
	}
}

static void
bad_item(const JsonbValue *key, GovItemForm form)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg_form(gov_error_shown_bytes(key->val.string.val, key->val.string.len), form),
			 errhint("Write an event like {\"capabilityId\": \"ai-tokens\", \"amount\": 120, \"entityIds\": [\"agent-7\"]}.")));
}

static text *
item_text(const JsonbValue *key, const JsonbValue *value)
{
	if (value->type == jbvNull)
		return NULL;
	if (value->type != jbvString)
		bad_item(key, GOV_ITEM_TEXT);
	return cstring_to_text_with_len(value->val.string.val, value->val.string.len);
}

static Numeric
item_amount(const JsonbValue *key, const JsonbValue *value)
{
	if (value->type == jbvNull)
		return NULL;
	if (value->type != jbvNumeric)
		bad_item(key, GOV_ITEM_NUMBER);
	return value->val.numeric;
}

/*
 * Does the string match a pattern, in which 0 stands for a digit?  Returns what comes
 * after it, or NULL.
 */
static const char *
skip_pattern(const char *string, const char *pattern)
{
	for (; *pattern != '\0'; pattern++, string++)
	{
		if (*pattern == '0' ? !isdigit((unsigned char) *string) : *string != *pattern)
			return NULL;
	}
	return string;
}

/* Skip the time of day and the zone that may follow an ISO 8601 date. */
static const char *
skip_time_of_day(const char *string, bool *has_zone)
{
	const char *next;

	if (*string != 'T' && *string != ' ')
		return string;
	string = skip_pattern(string + 1, "00:00");
	if (string != NULL && (next = skip_pattern(string, ":00")) != NULL)
	{
		string = next;
		if ((next = skip_pattern(string, ".0")) != NULL)
			string = next + strspn(next, "0123456789");
	}
	if (string == NULL)
		return NULL;
	*has_zone = *string == 'Z' || *string == '+' || *string == '-';
	if (*string == 'Z')
		return string + 1;
	if (*has_zone)
	{
		string = skip_pattern(string + 1, "00");
		if (string != NULL && (next = skip_pattern(string + (*string == ':'), "00")) != NULL)
			string = next;
	}
	return string;
}

/* Is there such a day, and such a time of day, in a string of that form? */
static bool
is_calendar_time(const char *string)
{
	int			year = 0;
	int			month = 0;
	int			day = 0;
	int			hour = 0;
	int			minute = 0;
	int			second = 0;

	sscanf(string, "%4d-%2d-%2d%*c%2d:%2d:%2d", &year, &month, &day,
		   &hour, &minute, &second);
	return year >= 1 && month >= 1 && month <= MONTHS_PER_YEAR &&
		day >= 1 && day <= day_tab[isleap(year)][month - 1] &&
		hour <= 23 && minute <= 59 && second <= 59;
}

/* ISO 8601, whatever the session's DateStyle, and UTC when it names no zone. */
static void
item_time(const JsonbValue *key, const JsonbValue *value, GovArguments *arguments)
{
	text	   *time = item_text(key, value);
	bool		has_zone = false;
	char	   *string;
	const char *end;

	arguments->has_occurred_at = time != NULL;
	if (time == NULL)
		return;
	string = text_to_cstring(time);
	end = skip_pattern(string, "0000-00-00");
	if (end != NULL)
		end = skip_time_of_day(end, &has_zone);
	if (end == NULL || *end != '\0' || !is_calendar_time(string))
		bad_item(key, GOV_ITEM_TIME);
	if (!has_zone)
		string = psprintf("%s UTC", string);
	arguments->occurred_at =
		DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in,
												CStringGetDatum(string),
												ObjectIdGetDatum(InvalidOid),
												Int32GetDatum(-1)));
}

static ArrayType *
item_ids(const JsonbValue *key, const JsonbValue *value)
{
	ArrayBuildState *state = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	element;

	if (value->type == jbvNull)
		return NULL;
	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		bad_item(key, GOV_ITEM_LIST);
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (element.type != jbvString && element.type != jbvNull)
			bad_item(key, GOV_ITEM_LIST);
		accumArrayResult(state,
						 element.type == jbvNull ? (Datum) 0 :
						 PointerGetDatum(cstring_to_text_with_len(element.val.string.val,
																  element.val.string.len)),
						 element.type == jbvNull, TEXTOID, CurrentMemoryContext);
	}
	return DatumGetArrayTypeP(makeArrayResult(state, CurrentMemoryContext));
}

static void
set_argument(const JsonbValue *key, JsonbValue *value, GovArguments *arguments)
{
	if (gov_item_is_key(key, "capabilityId"))
		arguments->capability = item_text(key, value);
	else if (gov_item_is_key(key, "amount"))
		arguments->amount = item_amount(key, value);
	else if (gov_item_is_key(key, "dimensions"))
	{
		arguments->dimensions = value->type == jbvNull ? NULL : JsonbValueToJsonb(value);
		gov_dimensions_check_size(arguments->dimensions);
	}
	else if (gov_item_is_key(key, "entityIds"))
		arguments->entity_ids = item_ids(key, value);
	else if (gov_item_is_key(key, "idempotencyKey"))
		arguments->key = item_text(key, value);
	else if (gov_item_is_key(key, "occurredAt"))
		item_time(key, value, arguments);
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown key \"%s\" in an event",
						gov_error_shown_bytes(key->val.string.val, key->val.string.len)),
				 errhint("An event has capabilityId, amount, dimensions, entityIds, idempotencyKey and occurredAt.")));
}

/* Read an event. */
void
gov_item_read(text *owner, const JsonbValue *item, GovArguments *arguments)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	memset(arguments, 0, sizeof(*arguments));
	arguments->owner = owner;
	arguments->amount = int64_to_numeric(1);
	if (item->type != jbvBinary || !JsonContainerIsObject(item->val.binary.data))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("an event must be a JSON object"),
				 errhint("Write it like {\"capabilityId\": \"ai-tokens\", \"amount\": 120}.")));
	iterator = JsonbIteratorInit(item->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		JsonbIteratorNext(&iterator, &value, true);
		set_argument(&key, &value, arguments);
	}
}
