/*
 * batch_settle.c
 *		Settles many holds in one call.
 *
 * PURPOSE
 *		As gov_settle() does with one, in the order of the items; but the holds are
 *		locked by one statement, their events written together, and their rows changed
 *		by one statement.  What is wrong with an item is said of it (judge.c), and
 *		there is no subtransaction.
 *
 * PROTOCOL
 *		1. Read all items.
 *		2. Enter the owners of their holds (cache/barrier.c), and lock the rows in one
 *		   order, with nothing charged.
 *		3. Read what each comes to, as the locked row says; one that two items name
 *		   is settled by the first, and the second is its duplicate.
 *		4. Load what the holds name.
 *		5. Take each hold off its budgets and charge what it came to, which pins the
 *		   counters.
 *		6. Write the events, and then the rows of the holds.
 *
 * DEADLOCK
 *		Two batches lock the holds that both have in one order.
 *
 * FAILURE
 *		What is raised while something is written ends the call, and the abort takes
 *		the charges back.
 */
#include "postgres.h"

#include "base/catalog.h"
#include "base/owner.h"
#include "base/worker_slots.h"
#include "cache/types.h"
#include "cache/frozen.h"
#include "call/batch_settle.h"
#include "call/hold_locked.h"
#include "call/hold_settle.h"
#include "call/judge.h"
#include "call/write.h"
#include "ledger/hold_rows.h"

/* ---------------------------------------------------------------- the holds */

static void
read_item(void *arg)
{
	GovSettlement *item = arg;

	gov_item_read_settlement(&item->json, &item->id, &item->amount);
}

static int
compare_holds(const void *left, const void *right)
{
	return memcmp(&((const GovHold *) left)->id, &((const GovHold *) right)->id, UUID_LEN);
}

/* Read the items, and lock their holds. */
static void
lock_holds(GovSettlement *items, int nitems)
{
	pg_uuid_t  *ids = palloc(sizeof(pg_uuid_t) * nitems);
	GovHold    *holds;
	int			count = 0;

	for (int i = 0; i < nitems; i++)
	{
		items[i].error = gov_judge_compute(read_item, &items[i]);
		if (items[i].error == NULL)
			ids[count++] = items[i].id;
	}
	gov_hold_enter_owners(ids, count);
	gov_frozen_refresh(NULL);
	count = gov_hold_rows_lock(ids, count, gov_owner_pin(), &holds);
	for (int i = 0; i < nitems; i++)
	{
		GovHold		sought = {.id = items[i].id};

		if (items[i].error == NULL)
			items[i].hold = bsearch(&sought, holds, count, sizeof(GovHold), compare_holds);
	}
	pfree(ids);
}

/* ---------------------------------------------------------------- what they come to */

static void
read_settlement(void *arg)
{
	GovSettlement *item = arg;
	GovRequest *request = &item->prepared.request;

	if (item->hold == NULL)
		gov_hold_raise_unknown(&item->id);
	if (gov_frozen_has(item->hold->owner, strlen(item->hold->owner)))
		gov_frozen_raise(item->hold->owner);
	gov_hold_read_settlement(item->hold, item->amount, &item->arguments, request);
	gov_record_init_event(&item->prepared.event, request, &item->arguments);
}

/* Was the hold settled before?  One of several capabilities is refused whatever its state. */
static bool
is_settled(const GovHold *hold)
{
	return hold != NULL && hold->state == GOV_HOLD_SETTLED && hold->amounts == NULL;
}

/* Read what the holds that are not settled come to, and load what they name. */
static void
read_settlements(GovSettlement *items, int nitems)
{
	const GovRequest **requests = palloc(sizeof(GovRequest *) * nitems);
	int			count = 0;

	for (int i = 0; i < nitems; i++)
	{
		GovSettlement *item = &items[i];

		if (item->error != NULL || is_settled(item->hold))
			continue;
		item->error = gov_judge_compute(read_settlement, item);
		item->is_read = item->error == NULL;
		if (item->is_read)
			requests[count++] = &item->prepared.request;
	}
	gov_judge_preload(requests, count);
	pfree(requests);
}

/* Charge what an item comes to, unless its hold is settled. */
static void
settle_item(GovSettlement *item)
{
	GovHold    *hold = item->hold;

	if (hold->state == GOV_HOLD_SETTLED)
	{
		item->recorded.event_id = hold->event_id;
		item->recorded.is_duplicate = true;
		return;
	}
	Assert(item->is_read);
	if (item->prepared.request.meters[0].is_concurrency)
		gov_hold_settle_concurrency(hold);	/* there is no event of it */
	else
		item->error = gov_judge_use(&item->prepared, GOV_USE_RECORD, &item->recorded, NULL);
	if (item->error != NULL)
		return;
	hold->state = GOV_HOLD_SETTLED;
	hold->event_id = item->recorded.event_id;
}

/* ---------------------------------------------------------------- writing */

static void
write_rows(const GovSettlement *items, int nitems)
{
	GovLedgerRow *rows = palloc(sizeof(GovLedgerRow) * nitems);
	GovHoldSettled *settled = palloc(sizeof(GovHoldSettled) * nitems);
	int			count = 0;

	for (int i = 0; i < nitems; i++)
	{
		const GovSettlement *item = &items[i];
		int64		event_id = item->recorded.event_id;

		if (!item->recorded.is_recorded)
			continue;
		rows[count] = (GovLedgerRow) {&item->prepared.event, event_id};
		settled[count++] = (GovHoldSettled) {item->id, item->prepared.request.meters[0].amount, event_id};
	}
	gov_ledger_insert_rows(rows, count);
	gov_hold_rows_settle(settled, count);
	if (count > 0)
		gov_worker_wanted();
}

/* Settle the holds, or say of each item what is wrong with it. */
void
gov_batch_settle(GovSettlement *items, int nitems)
{
	gov_write_begin("gov_settle_many()");
	gov_write_lock(gov_catalog()->reservations);
	gov_record_begin("gov_settle_many()");
	lock_holds(items, nitems);
	gov_types_refresh();		/* what follows only computes */
	read_settlements(items, nitems);
	for (int i = 0; i < nitems; i++)
	{
		if (items[i].error == NULL)
			settle_item(&items[i]);
	}
	write_rows(items, nitems);
}
