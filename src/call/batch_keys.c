/*
 * batch_keys.c
 *		The idempotency keys of a batch.
 *
 * PURPOSE
 *		A key that several items have is one key here.  All are looked up before
 *		anything is charged, and those that somebody is writing are waited for.
 *
 * DEADLOCK
 *		Keys are looked up, and later inserted, in one order: by owner and key, in
 *		byte order.  While one is waited for the call holds none and has charged
 *		nothing, so whoever it waits for does not wait for it; and of two batches that
 *		insert at once the one that is behind at the first key that both have gives way
 *		(batch.c).  What the transaction has done before the call it still holds: two
 *		transactions with two batches each may wait for each other, and one of them
 *		gets 40P01.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "call/batch_keys.h"
#include "pure/bytes.h"

static int
compare_keys(const GovBatchItem *a, const GovBatchItem *b)
{
	const GovOwnerKey *a_owner = &a->prepared.request.owner;
	const GovOwnerKey *b_owner = &b->prepared.request.owner;
	const text *a_key = a->prepared.event.key;
	const text *b_key = b->prepared.event.key;
	int			order = gov_bytes_compare(a_owner->owner, a_owner->owner_length,
										  b_owner->owner, b_owner->owner_length);

	return order != 0 ? order : gov_bytes_compare(VARDATA_ANY(a_key), VARSIZE_ANY_EXHDR(a_key),
												  VARDATA_ANY(b_key), VARSIZE_ANY_EXHDR(b_key));
}

static int
compare_items(const void *left, const void *right)
{
	return compare_keys(*(GovBatchItem *const *) left, *(GovBatchItem *const *) right);
}

/* Collect the keys of the items that were read, in their order, each once. */
void
gov_batch_keys_collect(GovBatch *batch)
{
	GovBatchItem **items = palloc(sizeof(GovBatchItem *) * batch->nitems);
	int			count = 0;

	for (int i = 0; i < batch->nitems; i++)
	{
		GovBatchItem *item = &batch->items[i];

		if (!item->is_refused && item->prepared.event.key != NULL)
			items[count++] = item;
	}
	qsort(items, count, sizeof(*items), compare_items);
	batch->keys = palloc0(sizeof(GovBatchKey) * (count + 1));
	for (int i = 0; i < count; i++)
	{
		if (i == 0 || compare_keys(items[i - 1], items[i]) != 0)
			batch->keys[batch->nkeys++].key = (GovKey) {items[i]->prepared.event.owner, items[i]->prepared.event.key};
		items[i]->key = &batch->keys[batch->nkeys - 1];
	}
	pfree(items);
}

/*
 * Look up the keys that were free so far, after waiting for whoever is writing them.
 * True if some are free.  Nothing is charged.
 */
bool
gov_batch_keys_find(GovBatch *batch)
{
	bool		is_any_free = false;

	for (int i = 0; i < batch->nkeys; i++)
	{
		GovBatchKey *key = &batch->keys[i];

		CHECK_FOR_INTERRUPTS();
		key->writer = NULL;
		if (!key->is_taken)
			key->is_taken = gov_key_find(&key->key, &key->holder);
		is_any_free |= !key->is_taken;
	}
	return is_any_free;
}

/* Has anything the key, before the call or by an item of it?  Then what has it. */
bool
gov_batch_keys_holder(const GovBatchKey *key, GovKeyHolder *holder)
{
	if (key->is_taken)
	{
		*holder = key->holder;
		return true;
	}
	if (key->writer == NULL)
		return false;
	memset(holder, 0, sizeof(*holder));
	holder->event_id = key->writer->recorded.event_id;
	holder->request_hash = key->writer->prepared.event.request_hash;
	return true;
}
