/*
 * item.c
 *		Reads an item of a batch: its keys are the arguments of the call for one, in
 *		camelCase.
 *
 * PURPOSE
 *		Everything here only computes, as gov_attempt_to_compute() wants it: an item
 *		that is wrong costs no subtransaction.
 *
 * FAILURE
 *		22023 for what is no such item, 22004 for a null hold, 22P02 for what is no
 *		UUID, and what request.c raises of a value.
 */
#include "postgres.h"

#include <ctype.h>

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "base/errors.h"
#include "call/dimensions.h"
#include "call/item.h"
#include "pure/bytes.h"

const GovItemKind gov_item_event = {
	.noun = "an event",
	.example = "{\"capabilityId\": \"ai-tokens\", \"amount\": 120, \"entityIds\": [\"agent-7\"]}",
	.keys = "capabilityId, amount, dimensions, entityIds, idempotencyKey and occurredAt",
	.has_time = true
};

const GovItemKind gov_item_owners_event = {
	.noun = "an event",
	.example = "{\"ownerId\": \"cus-acme\", \"capabilityId\": \"ai-tokens\", \"amount\": 120, \"entityIds\": [\"agent-7\"]}",
	.keys = "ownerId, capabilityId, amount, dimensions, entityIds, idempotencyKey and occurredAt",
	.has_owner = true,
	.has_time = true
};

const GovItemKind gov_item_request = {
	.noun = "a request",
	.example = "{\"ownerId\": \"cus-acme\", \"capabilityId\": \"ai-tokens\", \"amount\": 120, \"entityIds\": [\"agent-7\"]}",
	.keys = "ownerId, capabilityId, amount, dimensions, entityIds and idempotencyKey",
	.has_owner = true
};

const GovItemKind gov_item_settlement = {
	.noun = "a settlement",
	.example = "{\"reservationId\": \"0b8f3c52-6f0e-4d0c-9d3e-2f5a0c7d1e44\", \"amount\": 90}",
	.keys = "reservationId and amount"
};

/* Is this key the one with that name? */
static bool
is_key(const JsonbValue *key, const char *name)
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
errmsg_form(const GovItemKind *kind, const char *key, GovItemForm form)
{
	switch (form)
	{
		case GOV_ITEM_TEXT:
			return errmsg("key \"%s\" of %s must be a string", key, kind->noun);
		case GOV_ITEM_NUMBER:
			return errmsg("key \"%s\" of %s must be a number", key, kind->noun);
		case GOV_ITEM_TIME:
			return errmsg("key \"%s\" of %s must be an ISO 8601 time such as \"2025-01-31T00:00:00Z\"",
						  key, kind->noun);
		default:
			return errmsg("key \"%s\" of %s must be an array of strings", key, kind->noun);
	}
}

pg_noreturn static void
bad_item(const GovItemKind *kind, const JsonbValue *key, GovItemForm form)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg_form(kind, gov_error_shown_bytes(key->val.string.val, key->val.string.len), form),
			 errhint("Write %s like %s.", kind->noun, kind->example)));
}

static text *
item_text(const GovItemKind *kind, const JsonbValue *key, const JsonbValue *value)
{
	if (value->type == jbvNull)
		return NULL;
	if (value->type != jbvString)
		bad_item(kind, key, GOV_ITEM_TEXT);
	return cstring_to_text_with_len(value->val.string.val, value->val.string.len);
}

static Numeric
item_amount(const GovItemKind *kind, const JsonbValue *key, const JsonbValue *value)
{
	if (value->type == jbvNull)
		return NULL;
	if (value->type != jbvNumeric)
		bad_item(kind, key, GOV_ITEM_NUMBER);
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
item_time(const GovItemKind *kind, const JsonbValue *key, const JsonbValue *value, GovArguments *arguments)
{
	text	   *time = item_text(kind, key, value);
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
		bad_item(kind, key, GOV_ITEM_TIME);
	if (!has_zone)
		string = psprintf("%s UTC", string);
	arguments->occurred_at =
		DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in,
												CStringGetDatum(string),
												ObjectIdGetDatum(InvalidOid),
												Int32GetDatum(-1)));
}

static ArrayType *
item_ids(const GovItemKind *kind, const JsonbValue *key, const JsonbValue *value)
{
	ArrayBuildState *state = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	element;

	if (value->type == jbvNull)
		return NULL;
	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		bad_item(kind, key, GOV_ITEM_LIST);
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (element.type != jbvString && element.type != jbvNull)
			bad_item(kind, key, GOV_ITEM_LIST);
		accumArrayResult(state,
						 element.type == jbvNull ? (Datum) 0 :
						 PointerGetDatum(cstring_to_text_with_len(element.val.string.val,
																  element.val.string.len)),
						 element.type == jbvNull, TEXTOID, CurrentMemoryContext);
	}
	return DatumGetArrayTypeP(makeArrayResult(state, CurrentMemoryContext));
}

pg_noreturn static void
unknown_key(const GovItemKind *kind, const JsonbValue *key)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown key \"%s\" in %s",
					gov_error_shown_bytes(key->val.string.val, key->val.string.len), kind->noun),
			 errhint("The keys of %s are %s.", kind->noun, kind->keys)));
}

static void
set_argument(const GovItemKind *kind, const JsonbValue *key, JsonbValue *value,
			 GovArguments *arguments)
{
	if (is_key(key, "capabilityId"))
		arguments->capability = item_text(kind, key, value);
	else if (is_key(key, "amount"))
		arguments->amount = item_amount(kind, key, value);
	else if (is_key(key, "dimensions"))
	{
		arguments->dimensions = value->type == jbvNull ? NULL : JsonbValueToJsonb(value);
		gov_dimensions_check_size(arguments->dimensions);
	}
	else if (is_key(key, "entityIds"))
		arguments->entity_ids = item_ids(kind, key, value);
	else if (is_key(key, "idempotencyKey"))
		arguments->key = item_text(kind, key, value);
	else if (kind->has_owner && is_key(key, "ownerId"))
		arguments->owner = item_text(kind, key, value);
	else if (kind->has_time && is_key(key, "occurredAt"))
		item_time(kind, key, value, arguments);
	else
		unknown_key(kind, key);
}

static JsonbIterator *
iterate_keys(const GovItemKind *kind, const JsonbValue *item)
{
	if (item->type != jbvBinary || !JsonContainerIsObject(item->val.binary.data))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a JSON object", kind->noun),
				 errhint("Write it like %s.", kind->example)));
	return JsonbIteratorInit(item->val.binary.data);
}

/* Read a use; the owner is that of all items, or NULL. */
void
gov_item_read(const GovItemKind *kind, text *owner, const JsonbValue *item,
			  GovArguments *arguments)
{
	JsonbIterator *iterator = iterate_keys(kind, item);
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	memset(arguments, 0, sizeof(*arguments));
	arguments->owner = owner;
	arguments->amount = int64_to_numeric(1);
	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		JsonbIteratorNext(&iterator, &value, true);
		set_argument(kind, &key, &value, arguments);
	}
}

/* Read a settlement: a hold, and what it came to; NULL is the amount held. */
void
gov_item_read_settlement(const JsonbValue *item, pg_uuid_t *hold, Numeric *amount)
{
	const GovItemKind *kind = &gov_item_settlement;
	JsonbIterator *iterator = iterate_keys(kind, item);
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;
	text	   *id = NULL;

	*amount = NULL;
	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		JsonbIteratorNext(&iterator, &value, true);
		if (is_key(&key, "reservationId"))
			id = item_text(kind, &key, &value);
		else if (is_key(&key, "amount"))
			*amount = item_amount(kind, &key, &value);
		else
			unknown_key(kind, &key);
	}
	if (id == NULL)
		gov_error_null_argument("reservation_id");
	*hold = *DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(text_to_cstring(id))));
}
