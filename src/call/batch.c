/*
 * batch.c
 *		Records many uses in one call.
 *
 * PURPOSE
 *		Each item is judged alone, but a subtransaction costs as much as the use
 *		of one item.  So many items, a run, share one: all of them are read, then
 *		each is charged, and the rows of those without a key are written together
 *		(ledger.c).  A row with a key is written at once, so that a later item
 *		with the same key finds it.
 *
 * FAILURE
 *		When an error occurs while a run is read, nothing has been charged: the
 *		item at hand is marked, and the run is tried again without it.  A later
 *		error undoes the run.  Its items up to that one are then recorded one by
 *		one, each in a subtransaction of its own, so that the error is one item's
 *		and no item is tried more than twice.  What is not the item's fault is
 *		raised.
 *
 * INVARIANTS
 *		Items are charged in their order, and so are their ids.
 */
#include "postgres.h"

#include "access/xact.h"

#include "base/attempt.h"
#include "cache/types.h"
#include "call/batch.h"
#include "call/item.h"
#include "ledger/ledger.h"

#define GOV_ITEMS_AT_ONCE	100

/* Some items of a batch, one after the other. */
typedef struct GovRun
{
	const char *call;
	GovBatch   *batch;
	int			from;
	int			end;
	int			at;				/* the item at hand */
	bool		is_charging;	/* all are read */
} GovRun;

GovBatch *
gov_batch(text *owner, int max_items)
{
	GovBatch   *batch = palloc0(sizeof(GovBatch));

	batch->owner = owner;
	batch->items = palloc0(sizeof(GovBatchItem) * max_items);
	return batch;
}

/* Is an error about the item, rather than about the server or the session? */
static bool
is_items_fault(int sqlerrcode)
{
	return ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_DATA_EXCEPTION ||
		ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION ||
		sqlerrcode == ERRCODE_UNDEFINED_OBJECT ||
		sqlerrcode == ERRCODE_RAISE_EXCEPTION ||	/* a trigger refuses it */
		sqlerrcode == ERRCODE_PROGRAM_LIMIT_EXCEEDED;
}

static void
read_item(GovRun *run, GovBatchItem *item)
{
	GovArguments arguments;

	gov_item_read(run->batch->owner, &item->json, &arguments);
	gov_record_prepare(run->call, GOV_USE_RECORD, &arguments, &item->prepared);
	item->is_read = true;
}

/* Read the items of a run that are not read yet, and record those that are good. */
static void
record_run(void *arg)
{
	GovRun	   *run = arg;
	GovLedgerRows rows = {0};

	run->is_charging = false;
	for (run->at = run->from; run->at < run->end; run->at++)
	{
		GovBatchItem *item = &run->batch->items[run->at];

		if (!item->is_read)
			read_item(run, item);
	}
	run->is_charging = true;
	gov_types_refresh();		/* an attempt that failed may have dropped
								 * them */
	for (run->at = run->from; run->at < run->end; run->at++)
	{
		GovBatchItem *item = &run->batch->items[run->at];

		if (item->error == NULL)
			item->recorded = gov_record_prepared(run->call, &item->prepared, &rows);
	}
	gov_ledger_flush(&rows);
}

/*
 * What is wrong with the item at hand; raises the error again if it is not the
 * item's fault.
 */
static char *
items_error(ErrorData *error)
{
	if (!is_items_fault(error->sqlerrcode))
		ReThrowError(error);
	return error->message;
}

/* Record the items of a run that was undone, up to an end, each by itself. */
static void
record_each(const GovRun *failed, int end)
{
	for (int i = failed->from; i < end; i++)
	{
		GovRun		run = {failed->call, failed->batch, i, i + 1};
		GovBatchItem *item = &failed->batch->items[i];
		ErrorData  *error;

		if (item->error != NULL)
			continue;
		error = gov_attempt(record_run, &run);
		if (error != NULL)
			item->error = items_error(error);
	}
}

/* Record the items, or say of each what is wrong with it. */
void
gov_batch_record(const char *call, GovBatch *batch)
{
	GovRun		run = {.call = call, .batch = batch};

	while (run.from < batch->nitems)
	{
		ErrorData  *error;

		run.end = Min(run.from + GOV_ITEMS_AT_ONCE, batch->nitems);
		error = gov_attempt(record_run, &run);
		if (error == NULL)
			run.from = run.end;
		else if (!run.is_charging)
		{
			batch->items[run.at].error = items_error(error);
			batch->items[run.at].is_read = true;
		}
		else
		{
			int			end = Min(run.at + 1, run.end);

			(void) items_error(error);
			record_each(&run, end);
			run.from = end;
		}
	}
}
