/*
 * api_many.c
 *		Many calls in one: gov_consume_many, gov_ingest_many, gov_ingest_each and
 *		gov_settle_many.
 *
 * FAILURE
 *		What is wrong with an item is in the item's row, and the others are recorded.
 *		What is raised while something is written, and what is not an item's fault (no
 *		memory, a cancelled query, a serialization failure), ends the call.
 */
#include "postgres.h"

#include "funcapi.h"
#include "utils/builtins.h"

#include "base/errors.h"
#include "call/answer.h"
#include "call/batch.h"
#include "call/batch_settle.h"

#define GOV_ITEMS_MAX	10000

PG_FUNCTION_INFO_V1(gov_consume_many_1_1);
PG_FUNCTION_INFO_V1(gov_ingest_many_1_0);
PG_FUNCTION_INFO_V1(gov_ingest_each_1_1);
PG_FUNCTION_INFO_V1(gov_settle_many_1_1);

/* ---------------------------------------------------------------- items */

/* The argument that has the items: an array of 1 to GOV_ITEMS_MAX. */
static Jsonb *
items_argument(FunctionCallInfo fcinfo, int number, const char *argument,
			   const GovItemKind *kind)
{
	Jsonb	   *items;

	if (PG_ARGISNULL(number))
		gov_error_null_argument(argument);
	items = PG_GETARG_JSONB_P(number);
	if (!JB_ROOT_IS_ARRAY(items) || JB_ROOT_IS_SCALAR(items) || JB_ROOT_COUNT(items) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be an array of at least one item", argument),
				 errhint("Write it like [%s].", kind->example)));
	if (JB_ROOT_COUNT(items) > GOV_ITEMS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many items in argument \"%s\"", argument),
				 errhint("Pass at most %d in one call.", GOV_ITEMS_MAX)));
	return items;
}

/* The next item; false after the last. */
static bool
next_item(JsonbIterator **iterator, JsonbValue *item)
{
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(iterator, item, true)) != WJB_DONE)
	{
		if (token == WJB_ELEM)
			return true;
	}
	return false;
}

/* ---------------------------------------------------------------- uses */

static void
record_items(GovBatch *batch, Jsonb *items)
{
	JsonbIterator *iterator = JsonbIteratorInit(&items->root);

	batch->items = MemoryContextAllocHuge(CurrentMemoryContext,
										  sizeof(GovBatchItem) * JB_ROOT_COUNT(items));
	memset(batch->items, 0, sizeof(GovBatchItem) * JB_ROOT_COUNT(items));
	while (batch->nitems < JB_ROOT_COUNT(items) &&
		   next_item(&iterator, &batch->items[batch->nitems].json))
		batch->nitems++;
	gov_batch_record(batch);
}

/*
 * Put the row of an item: its position, the event, if there is one, is it a duplicate,
 * what is wrong.
 */
static void
put_event(ReturnSetInfo *result, int position, const GovRecorded *recorded, const char *error)
{
	Datum		values[4];
	bool		nulls[4] = {false};

	values[0] = Int32GetDatum(position);
	values[1] = Int64GetDatum(recorded->event_id);
	values[2] = BoolGetDatum(recorded->is_duplicate);
	nulls[1] = error != NULL || recorded->event_id == 0;
	nulls[2] = error != NULL;
	values[3] = error ? CStringGetTextDatum(error) : (Datum) 0;
	nulls[3] = error == NULL;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Record events, whose kind says whether each names its owner. */
static Datum
ingest_items(FunctionCallInfo fcinfo, const char *call, text *owner, Jsonb *events,
			 const GovItemKind *kind)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	GovBatch	batch = {
		.call = call,
		.call_of_one = "gov_ingest()",
		.use = GOV_USE_RECORD,
		.kind = kind,
		.owner = owner
	};

	InitMaterializedSRF(fcinfo, 0);
	record_items(&batch, events);
	for (int i = 0; i < batch.nitems; i++)
		put_event(result, i + 1, &batch.items[i].recorded, batch.items[i].error);
	return (Datum) 0;
}

Datum
gov_ingest_many_1_0(PG_FUNCTION_ARGS)
{
	text	   *owner;
	Jsonb	   *events;

	if (PG_ARGISNULL(0))
		gov_error_null_argument("owner_id");
	owner = PG_GETARG_TEXT_PP(0);
	events = items_argument(fcinfo, 1, "events", &gov_item_event);
	(void) gov_request_owner(owner);	/* the fault of no item */
	return ingest_items(fcinfo, "gov_ingest_many()", owner, events, &gov_item_event);
}

Datum
gov_ingest_each_1_1(PG_FUNCTION_ARGS)
{
	Jsonb	   *events = items_argument(fcinfo, 0, "events", &gov_item_owners_event);

	return ingest_items(fcinfo, "gov_ingest_each()", NULL, events, &gov_item_owners_event);
}

/* Put the row of a request: its position, the columns of gov_consume, what is wrong. */
static void
put_request(ReturnSetInfo *result, int position, const GovBatchItem *item)
{
	Datum		values[8];
	bool		nulls[8];

	memset(nulls, true, sizeof(nulls));
	values[0] = Int32GetDatum(position);
	nulls[0] = false;
	if (item->error != NULL)
	{
		values[7] = CStringGetTextDatum(item->error);
		nulls[7] = false;
	}
	else
	{
		gov_answer_decision(&item->decision, &values[1], &nulls[1]);
		nulls[5] = !item->recorded.is_recorded && !item->recorded.is_duplicate;
		values[5] = Int64GetDatum(item->recorded.event_id);
		nulls[6] = false;
		values[6] = BoolGetDatum(item->recorded.is_duplicate);
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
gov_consume_many_1_1(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Jsonb	   *requests = items_argument(fcinfo, 0, "requests", &gov_item_request);
	GovBatch	batch = {
		.call = "gov_consume_many()",
		.call_of_one = "gov_consume()",
		.use = GOV_USE_CONSUME,
		.kind = &gov_item_request
	};

	InitMaterializedSRF(fcinfo, 0);
	record_items(&batch, requests);
	for (int i = 0; i < batch.nitems; i++)
		put_request(result, i + 1, &batch.items[i]);
	return (Datum) 0;
}

/* ---------------------------------------------------------------- holds */

Datum
gov_settle_many_1_1(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Jsonb	   *settlements = items_argument(fcinfo, 0, "settlements", &gov_item_settlement);
	int			count = JB_ROOT_COUNT(settlements);
	JsonbIterator *iterator = JsonbIteratorInit(&settlements->root);
	GovSettlement *items = MemoryContextAllocHuge(CurrentMemoryContext,
												  sizeof(GovSettlement) * count);
	int			nitems = 0;

	InitMaterializedSRF(fcinfo, 0);
	memset(items, 0, sizeof(GovSettlement) * count);
	while (nitems < count && next_item(&iterator, &items[nitems].json))
		nitems++;
	gov_batch_settle(items, nitems);
	for (int i = 0; i < nitems; i++)
		put_event(result, i + 1, &items[i].recorded, items[i].error);
	return (Datum) 0;
}
