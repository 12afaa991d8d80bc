/*
 * batch.c
 *		Records many uses in one call.
 *
 * PURPOSE
 *		Each item is judged alone and in order, and sees what those before it have
 *		taken.  What costs most of a use is shared: the statement, the commit, the
 *		loads of what is not in memory, and the rows, which are written together.
 *
 * PROTOCOL
 *		1. Read all items.  One that is wrong gets its error (judge.c).
 *		2. Load what the others name.
 *		3. Look up their keys, and wait for whoever is writing one, in one order and
 *		   with nothing in hand (batch_keys.c).
 *		4. Decide on the items in their order: charge, create what they name, draw
 *		   their ids.  One whose key is taken, before the call or by an item before
 *		   it, is a duplicate of that, and charges nothing; one that is denied leaves
 *		   its key to those behind it.
 *		5. Write the rows: those with keys speculatively, in the order of the keys,
 *		   and then the others together, a page at a time.
 *		6. If somebody has taken one of the keys since 3, undo 4 and 5, and go on
 *		   with 3.
 *
 * SUBTRANSACTIONS
 *		None for an item.  Where a key is free, 4 and 5 are one subtransaction for
 *		all of them, because 6 must undo rows that are in the table.  They could not
 *		all be kept speculative until the last of them is in: logical decoding knows
 *		of one speculative row at a time, and would drop the others.  Nor could those
 *		that are in be deleted again: whoever follows the ledger by its inserts would
 *		have seen them.  A batch without keys is no subtransaction at all.
 *
 * DEADLOCK
 *		Nobody waits for a key while its own rows are written.  But entities that
 *		the items create are created in the order of the items, and waited for with
 *		the charges of items before in hand: creation.c says who gives way.
 *
 * RACES ACCEPTED
 *		If 6 begins again, items are decided again, and what was denied is counted
 *		as denied again.
 *
 * FAILURE
 *		What is wrong with an item is in the item.  What is raised while something
 *		is written, be it by a trigger or a constraint of users, ends the call, and
 *		the abort takes the charges back.  55P03 if others take keys all the time.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/attempt.h"
#include "base/fault.h"
#include "base/worker_slots.h"
#include "cache/types.h"
#include "call/batch.h"
#include "call/batch_keys.h"
#include "call/judge.h"
#include "call/write.h"
#include "gate/opening.h"
#include "ledger/ledger.h"

#define GOV_CONFLICTS_MAX	100

/* ---------------------------------------------------------------- reading */

/* An item of a batch that is being read, or that is a duplicate. */
typedef struct GovItemAtHand
{
	const GovBatch *batch;
	GovBatchItem *item;
	const GovKeyHolder *holder; /* of the item's key */
} GovItemAtHand;

static void
read_item(void *arg)
{
	const GovItemAtHand *at = arg;
	GovBatchItem *item = at->item;

	gov_item_read(at->batch->kind, at->batch->owner, &item->json, &item->arguments);
	gov_record_read(at->batch->use, &item->arguments, &item->prepared);
}

/* Read the items, and hash those with keys. */
static void
read_items(GovBatch *batch)
{
	for (int i = 0; i < batch->nitems; i++)
	{
		GovBatchItem *item = &batch->items[i];
		GovItemAtHand at = {.batch = batch, .item = item};

		item->error = gov_judge_compute(read_item, &at);
		item->is_refused = item->error != NULL;
		if (!item->is_refused && item->prepared.event.key != NULL)
			gov_record_hash(batch->call_of_one, &item->arguments, &item->prepared);
	}
}

/* Lock what they may create, and load what they name. */
static void
prepare_items(const GovBatch *batch)
{
	const GovRequest **requests = palloc(sizeof(GovRequest *) * batch->nitems);
	int			count = 0;

	for (int i = 0; i < batch->nitems; i++)
	{
		if (!batch->items[i].is_refused)
			requests[count++] = &batch->items[i].prepared.request;
	}
	for (int i = 0; i < count; i++)
		gov_creation_lock(requests[i]);
	gov_judge_preload(requests, count);
	pfree(requests);
}

/* ---------------------------------------------------------------- deciding */

static void
require_same(void *arg)
{
	const GovItemAtHand *at = arg;
	const GovEvent *event = &at->item->prepared.event;

	gov_write_require_same(event->key, event->request_hash, false, at->holder);
}

/* Answer an item whose key is taken. */
static void
answer_duplicate(const GovBatch *batch, GovBatchItem *item, const GovKeyHolder *holder)
{
	GovItemAtHand at = {batch, item, holder};

	item->error = gov_judge_compute(require_same, &at);
	if (item->error == NULL && batch->use == GOV_USE_CONSUME)
		item->error = gov_judge_again(&item->prepared.request, &item->decision);
	if (item->error != NULL)
		return;
	item->recorded.event_id = holder->event_id;
	item->recorded.is_duplicate = true;
}

static void
require_used_up(void *arg)
{
	gov_record_require_used_up(arg);
}

static void
decide_item(const GovBatch *batch, GovBatchItem *item)
{
	GovKeyHolder holder;

	memset(&item->recorded, 0, sizeof(item->recorded));
	if (item->key != NULL && gov_batch_keys_holder(item->key, &holder))
	{
		answer_duplicate(batch, item, &holder);
		return;
	}
	if (item->prepared.request.meters[0].is_concurrency)
		item->error = gov_judge_compute(require_used_up, &item->prepared.request);
	else
		item->error = gov_judge_use(&item->prepared, batch->use, &item->recorded, &item->decision);
	if (item->key != NULL && item->recorded.is_recorded)
		item->key->writer = item;
}

/* ---------------------------------------------------------------- writing */

static GovLedgerRow
row_of(const GovBatchItem *item)
{
	return (GovLedgerRow) {&item->prepared.event, item->recorded.event_id};
}

/* Write the rows of the items with keys, in the keys' order; false if one is taken. */
static bool
write_key_rows(const GovBatch *batch)
{
	GovLedgerRow *rows = palloc(sizeof(GovLedgerRow) * (batch->nkeys + 1));
	int			count = 0;

	for (int i = 0; i < batch->nkeys; i++)
	{
		if (batch->keys[i].writer != NULL)
			rows[count++] = row_of(batch->keys[i].writer);
	}
	return gov_ledger_insert_key_rows(rows, count);
}

static void
write_other_rows(const GovBatch *batch)
{
	GovLedgerRow *rows = palloc(sizeof(GovLedgerRow) * batch->nitems);
	int			count = 0;

	for (int i = 0; i < batch->nitems; i++)
	{
		const GovBatchItem *item = &batch->items[i];

		if (item->key == NULL && item->recorded.is_recorded)
			rows[count++] = row_of(item);
	}
	gov_ledger_insert_rows(rows, count);
}

/* Decide on the items and write them; false if a key has just been taken. */
static bool
record_items(void *arg)
{
	GovBatch   *batch = arg;

	gov_opening_forget();		/* what an attempt before this one has decided */
	for (int i = 0; i < batch->nitems; i++)
	{
		if (!batch->items[i].is_refused)
			decide_item(batch, &batch->items[i]);
	}
	if (!write_key_rows(batch))
		return false;
	write_other_rows(batch);
	return true;
}

/*
 * Look up the keys, and record the items; false if a key has been taken meanwhile.
 * What that allocates goes to a memory context of its own.
 */
static bool
try_to_record(GovBatch *batch, MemoryContext attempt)
{
	bool		is_any_free = gov_batch_keys_find(batch);
	MemoryContext caller = MemoryContextSwitchTo(attempt);
	bool		is_done = is_any_free ? gov_attempt_or_undo(record_items, batch) : record_items(batch);

	MemoryContextSwitchTo(caller);
	return is_done;
}

pg_noreturn static void
give_up(const GovBatch *batch)
{
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("could not record the items of %s in time", batch->call),
			 errdetail("Other sessions were taking their idempotency keys all the time."),
			 errhint("Retry the call.")));
}

/* Record the items, or say of each what is wrong with it. */
void
gov_batch_record(GovBatch *batch)
{
	MemoryContext attempt = AllocSetContextCreate(CurrentMemoryContext, "governance batch",
												  ALLOCSET_DEFAULT_SIZES);

	gov_record_begin(batch->call);
	read_items(batch);
	prepare_items(batch);
	gov_batch_keys_collect(batch);
	for (int conflicts = 0; !try_to_record(batch, attempt); conflicts++)
	{
		if (conflicts >= GOV_CONFLICTS_MAX)
			give_up(batch);
		MemoryContextReset(attempt);
		gov_types_refresh();	/* an undone subtransaction forgets its own
								 * changes */
	}
	gov_worker_wanted();
}
