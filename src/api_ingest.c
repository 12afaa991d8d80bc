/*
 * api_ingest.c
 *		gov_ingest and gov_ingest_many: record what was used.
 *
 * FAILURE
 *		gov_ingest raises.  gov_ingest_many reports what is wrong with an item
 *		in the item's row and goes on: each item is a subtransaction.  What is
 *		not the item's fault (no memory, a cancelled query, a serialization
 *		failure) is raised all the same.
 */
#include "postgres.h"

#include <ctype.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "answer.h"
#include "attempt.h"
#include "catalog.h"
#include "errors.h"
#include "owner.h"
#include "preload.h"
#include "record.h"
#include "types.h"
#include "writing.h"

#define GOV_ITEMS_MAX	1000

PG_FUNCTION_INFO_V1(gov_ingest_1_0);
PG_FUNCTION_INFO_V1(gov_ingest_many_1_0);

static GovRecorded
ingest(GovArguments *arguments)
{
	GovDecision decision;
	GovResolution *resolution;

	return gov_record("gov_ingest()", GOV_USE_RECORD, arguments, &decision, &resolution);
}

Datum
gov_ingest_1_0(PG_FUNCTION_ARGS)
{
	static GovRowType type;
	GovArguments arguments;
	GovRecorded recorded;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	gov_request_arguments(fcinfo, &arguments);
	arguments.key = PG_ARGISNULL(5) ? NULL : PG_GETARG_TEXT_PP(5);
	arguments.has_occurred_at = !PG_ARGISNULL(6);
	if (arguments.has_occurred_at)
		arguments.occurred_at = PG_GETARG_TIMESTAMPTZ(6);

	recorded = ingest(&arguments);
	values[0] = Int64GetDatum(recorded.event_id);
	values[1] = BoolGetDatum(recorded.is_duplicate);
	return gov_answer_row(fcinfo, &type, values, nulls);
}

static bool
is_key(const JsonbValue *key, const char *name)
{
	return key->val.string.len == strlen(name) &&
		memcmp(key->val.string.val, name, strlen(name)) == 0;
}

static void
bad_item(const JsonbValue *key, const char *expected)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("key \"%s\" of an event must be %s",
					gov_shown_bytes(key->val.string.val, key->val.string.len), expected),
			 errhint("Write an event like {\"capabilityId\": \"ai-tokens\", \"amount\": 120, \"entityIds\": [\"agent-7\"]}.")));
}

static text *
item_text(const JsonbValue *key, const JsonbValue *value)
{
	if (value->type == jbvNull)
		return NULL;
	if (value->type != jbvString)
		bad_item(key, "a string");
	return cstring_to_text_with_len(value->val.string.val, value->val.string.len);
}

static Numeric
item_amount(const JsonbValue *key, const JsonbValue *value)
{
	if (value->type == jbvNull)
		return NULL;
	if (value->type != jbvNumeric)
		bad_item(key, "a number");
	return value->val.numeric;
}

/*
 * Does text match a pattern, in which 0 stands for a digit?  Returns what comes
 * after it, or NULL.
 */
static const char *
skip_pattern(const char *text, const char *pattern)
{
	for (; *pattern != '\0'; pattern++, text++)
	{
		if (*pattern == '0' ? !isdigit((unsigned char) *text) : *text != *pattern)
			return NULL;
	}
	return text;
}

/* Skip the time of day and the zone that may follow an ISO 8601 date. */
static const char *
skip_time_of_day(const char *text, bool *has_zone)
{
	const char *next;

	if (*text != 'T' && *text != ' ')
		return text;
	text = skip_pattern(text + 1, "00:00");
	if (text != NULL && (next = skip_pattern(text, ":00")) != NULL)
	{
		text = next;
		if ((next = skip_pattern(text, ".0")) != NULL)
			text = next + strspn(next, "0123456789");
	}
	if (text == NULL)
		return NULL;
	*has_zone = *text == 'Z' || *text == '+' || *text == '-';
	if (*text == 'Z')
		return text + 1;
	if (*has_zone)
	{
		text = skip_pattern(text + 1, "00");
		if (text != NULL && (next = skip_pattern(text + (*text == ':'), "00")) != NULL)
			text = next;
	}
	return text;
}

/* Is there such a day, and such a time of day, in text of that form? */
static bool
is_calendar_time(const char *text)
{
	int			year = 0;
	int			month = 0;
	int			day = 0;
	int			hour = 0;
	int			minute = 0;
	int			second = 0;

	sscanf(text, "%4d-%2d-%2d%*c%2d:%2d:%2d", &year, &month, &day,
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
		bad_item(key, "an ISO 8601 time such as \"2025-01-31T00:00:00Z\"");
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
		bad_item(key, "an array of strings");
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (element.type != jbvString && element.type != jbvNull)
			bad_item(key, "an array of strings");
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
	if (is_key(key, "capabilityId"))
		arguments->capability = item_text(key, value);
	else if (is_key(key, "amount"))
		arguments->amount = item_amount(key, value);
	else if (is_key(key, "dimensions"))
	{
		arguments->dimensions = value->type == jbvNull ? NULL : JsonbValueToJsonb(value);
		gov_request_check_size(arguments->dimensions);
	}
	else if (is_key(key, "entityIds"))
		arguments->entity_ids = item_ids(key, value);
	else if (is_key(key, "idempotencyKey"))
		arguments->key = item_text(key, value);
	else if (is_key(key, "occurredAt"))
		item_time(key, value, arguments);
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown key \"%s\" in an event",
						gov_shown_bytes(key->val.string.val, key->val.string.len)),
				 errhint("An event has capabilityId, amount, dimensions, entityIds, idempotencyKey and occurredAt.")));
}

/* Read one item: its keys are the arguments of gov_ingest in camelCase. */
static void
read_item(text *owner, const JsonbValue *item, GovArguments *arguments)
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

/* Is an error about the item, rather than about the server or the session? */
static bool
is_items_fault(int sqlerrcode)
{
	return ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_DATA_EXCEPTION ||
		ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION ||
		sqlerrcode == ERRCODE_UNDEFINED_OBJECT ||
		sqlerrcode == ERRCODE_PROGRAM_LIMIT_EXCEEDED;
}

/* One item, and what became of it. */
typedef struct GovItem
{
	text	   *owner;
	const JsonbValue *json;
	GovRecorded recorded;
} GovItem;

static void
ingest_item(void *arg)
{
	GovItem    *item = arg;
	GovArguments arguments;

	read_item(item->owner, item->json, &arguments);
	item->recorded = ingest(&arguments);
}

/* Record one item; returns what is wrong with it, or NULL. */
static char *
attempt_item(GovItem *item)
{
	ErrorData  *error = gov_attempt(ingest_item, item);

	if (error == NULL)
		return NULL;
	if (!is_items_fault(error->sqlerrcode))
		ReThrowError(error);
	return error->message;
}

static void
put_result(ReturnSetInfo *result, int position, const GovRecorded *recorded,
		   const char *error)
{
	Datum		values[4];
	bool		nulls[4] = {false};

	values[0] = Int32GetDatum(position);
	values[1] = Int64GetDatum(recorded->event_id);
	values[2] = BoolGetDatum(recorded->is_duplicate);
	nulls[1] = nulls[2] = error != NULL;
	values[3] = error ? CStringGetTextDatum(error) : (Datum) 0;
	nulls[3] = error == NULL;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
check_items(Jsonb *events)
{
	if (!JB_ROOT_IS_ARRAY(events) || JB_ROOT_IS_SCALAR(events) ||
		JB_ROOT_COUNT(events) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"events\" must be an array of at least one event"),
				 errhint("Write it like [{\"capabilityId\": \"ai-tokens\", \"amount\": 120, \"entityIds\": [\"agent-7\"]}].")));
	if (JB_ROOT_COUNT(events) > GOV_ITEMS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many events in one call"),
				 errhint("Pass at most %d.", GOV_ITEMS_MAX)));
}

/* The ids that the events of a batch may name. */
typedef struct GovNames
{
	GovLoaded  *ids;
	int			count;
	int			capacity;
} GovNames;

static void
add_name(GovNames *names, const JsonbValue *value)
{
	if (value->type != jbvString || value->val.string.len == 0 ||
		value->val.string.len > GOV_ID_MAX_BYTES)
		return;
	if (names->count == names->capacity)
	{
		names->capacity *= 2;
		names->ids = repalloc(names->ids, sizeof(GovLoaded) * names->capacity);
	}
	memset(&names->ids[names->count], 0, sizeof(GovLoaded));
	names->ids[names->count].id = value->val.string.val;
	names->ids[names->count++].id_length = value->val.string.len;
}

/* Whatever else is wrong with the batch is said of its items. */
static void
collect_names(Jsonb *events, GovNames *names)
{
	JsonbIterator *iterator = JsonbIteratorInit(&events->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	bool		is_named = false;	/* by the key before: or a list of names */

	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			is_named = is_key(&value, "entityIds") ||
				gov_types_is_attribution_key(value.val.string.val, value.val.string.len);
		else if ((token == WJB_VALUE || token == WJB_ELEM) && is_named)
			add_name(names, &value);
	}
}

/* Load all that the events name at once, as far as the caller may record them. */
static void
preload(text *owner, Jsonb *events)
{
	const char *name = text_to_cstring(owner);
	GovNames	names = {.capacity = 1024};
	GovOwnerKey key;

	if (XactReadOnly || RecoveryInProgress() ||
		(gov_owner_pin() != NULL && !gov_owner_is_pinned_to(name, strlen(name))))
		return;
	names.ids = palloc(sizeof(GovLoaded) * names.capacity);
	gov_lock_to_write(gov_catalog()->events);
	gov_types_refresh();
	collect_names(events, &names);
	gov_owner_key_init(&key, MyDatabaseId, gov_catalog()->extension, name, strlen(name));
	gov_preload(&key, names.ids, names.count);
}

Datum
gov_ingest_many_1_0(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	text	   *owner;
	Jsonb	   *events;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	item;
	int			position = 0;

	if (PG_ARGISNULL(0))
		gov_raise_null_argument("owner_id");
	if (PG_ARGISNULL(1))
		gov_raise_null_argument("events");
	owner = PG_GETARG_TEXT_PP(0);
	events = PG_GETARG_JSONB_P(1);
	gov_request_check_key("owner_id", owner);
	check_items(events);
	InitMaterializedSRF(fcinfo, 0);

	preload(owner, events);
	iterator = JsonbIteratorInit(&events->root);
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		GovItem		attempted = {.owner = owner, .json = &item};
		char	   *error;

		if (token != WJB_ELEM)
			continue;
		error = attempt_item(&attempted);
		put_result(result, ++position, &attempted.recorded, error);
	}
	return (Datum) 0;
}
