/*
 * api_ingest.c
 *		gov_ingest, gov_ingest_all and gov_ingest_many: record what was used.
 *
 * FAILURE
 *		gov_ingest raises.  gov_ingest_many reports what is wrong with an item
 *		in the item's row and goes on (batch.c).  What is not the item's fault
 *		(no memory, a cancelled query, a serialization failure) is raised all
 *		the same.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "base/owner.h"
#include "cache/preload.h"
#include "cache/types.h"
#include "call/answer.h"
#include "call/batch.h"
#include "call/item.h"
#include "call/record.h"
#include "call/write.h"

#define GOV_ITEMS_MAX	1000

PG_FUNCTION_INFO_V1(gov_ingest_1_0);
PG_FUNCTION_INFO_V1(gov_ingest_all_1_1);
PG_FUNCTION_INFO_V1(gov_ingest_many_1_0);

Datum
gov_ingest_1_0(PG_FUNCTION_ARGS)
{
	static GovRowType type;
	GovArguments arguments;
	GovDecision decision;
	GovResolution *resolution;
	GovRecorded recorded;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	gov_request_arguments(fcinfo, &arguments);
	arguments.key = PG_ARGISNULL(5) ? NULL : PG_GETARG_TEXT_PP(5);
	arguments.has_occurred_at = !PG_ARGISNULL(6);
	if (arguments.has_occurred_at)
		arguments.occurred_at = PG_GETARG_TIMESTAMPTZ(6);

	recorded = gov_record("gov_ingest()", GOV_USE_RECORD, &arguments, &decision, &resolution);
	values[0] = Int64GetDatum(recorded.event_id);
	values[1] = BoolGetDatum(recorded.is_duplicate);
	return gov_answer_row(fcinfo, &type, values, nulls);
}

Datum
gov_ingest_all_1_1(PG_FUNCTION_ARGS)
{
	static GovRowType type;
	GovArguments arguments;
	GovDecision decision;
	GovResolution *resolution;
	GovRecorded recorded;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	gov_request_arguments_all(fcinfo, true, &arguments);
	arguments.key = PG_ARGISNULL(4) ? NULL : PG_GETARG_TEXT_PP(4);
	arguments.has_occurred_at = !PG_ARGISNULL(5);
	if (arguments.has_occurred_at)
		arguments.occurred_at = PG_GETARG_TIMESTAMPTZ(5);

	recorded = gov_record("gov_ingest_all()", GOV_USE_RECORD, &arguments, &decision, &resolution);
	values[0] = JsonbPGetDatum(gov_answer_event_ids(&recorded, arguments.amounts));
	values[1] = BoolGetDatum(recorded.is_duplicate);
	return gov_answer_row(fcinfo, &type, values, nulls);
}

static void
put_result(ReturnSetInfo *result, int position, const GovBatchItem *item)
{
	const char *error = item->error;
	Datum		values[4];
	bool		nulls[4] = {false};

	values[0] = Int32GetDatum(position);
	values[1] = Int64GetDatum(item->recorded.event_id);
	values[2] = BoolGetDatum(item->recorded.is_duplicate);
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

/*
 * Collect the names in a batch.  What is wrong with the items is reported for
 * each of them later.
 */
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
			is_named = gov_item_is_key(&value, "entityIds") ||
				gov_types_is_attribution_key(value.val.string.val, value.val.string.len);
		else if ((token == WJB_VALUE || token == WJB_ELEM) && is_named)
			add_name(names, &value);
	}
}

/* Load at once all that the events name, if the caller may record them. */
static void
preload_events(text *owner, Jsonb *events)
{
	const char *name = text_to_cstring(owner);
	GovNames	names = {.capacity = 1024};
	GovOwnerKey key;

	if (XactReadOnly || RecoveryInProgress() ||
		(gov_owner_pin() != NULL && !gov_owner_is_pinned_to(name, strlen(name))))
		return;
	names.ids = palloc(sizeof(GovLoaded) * names.capacity);
	gov_write_lock(gov_catalog()->events);
	gov_types_refresh();
	collect_names(events, &names);
	gov_node_owner_key_init(&key, MyDatabaseId, gov_catalog()->extension, name, strlen(name));
	gov_preload(&key, names.ids, names.count);
}

/* The items of a batch, in their order. */
static GovBatch *
collect_items(text *owner, Jsonb *events)
{
	JsonbIterator *iterator = JsonbIteratorInit(&events->root);
	GovBatch   *batch = gov_batch(owner, JB_ROOT_COUNT(events));
	JsonbIteratorToken token;
	JsonbValue	item;

	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		if (token == WJB_ELEM)
			batch->items[batch->nitems++].json = item;
	}
	return batch;
}

Datum
gov_ingest_many_1_0(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	text	   *owner;
	Jsonb	   *events;
	GovBatch   *batch;

	if (PG_ARGISNULL(0))
		gov_error_null_argument("owner_id");
	if (PG_ARGISNULL(1))
		gov_error_null_argument("events");
	owner = PG_GETARG_TEXT_PP(0);
	events = PG_GETARG_JSONB_P(1);
	gov_request_check_key("owner_id", owner);
	check_items(events);
	InitMaterializedSRF(fcinfo, 0);

	preload_events(owner, events);
	batch = collect_items(owner, events);
	gov_batch_record("gov_ingest()", batch);
	for (int i = 0; i < batch->nitems; i++)
		put_result(result, i + 1, &batch->items[i]);
	return (Datum) 0;
}
