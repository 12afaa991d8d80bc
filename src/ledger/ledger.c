/*
 * ledger.c
 *		The ledger: one row of gov_events per recorded use.
 *
 * PURPOSE
 *		Writes the row in the caller's transaction (append.c), by itself or, for a
 *		batch, with others.
 *
 * LOCKING
 *		RowExclusiveLock on the sequence, which is held to the end of the
 *		transaction: that is how the rollup knows which ids are still in flight
 *		(rollup.c).
 *
 * FAILURE
 *		Raises what an INSERT would; the abort undoes the charge.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/guc.h"
#include "ledger/append.h"
#include "ledger/columns.h"
#include "ledger/keys.h"
#include "ledger/ledger.h"

#define GOV_ROWS_AT_ONCE	1000	/* in memory, as the table takes them */

static void
store_event(GovAppend *ledger, const GovEvent *event, int64 id)
{
	Datum	   *values = ledger->slot->tts_values;
	bool	   *nulls = ledger->slot->tts_isnull;

	gov_append_clear(ledger);
	memset(nulls, false, sizeof(bool) * GOV_EVENT_COLUMNS);
	values[GOV_EVENT_ID] = Int64GetDatum(id);
	values[GOV_EVENT_OWNER_ID] = CStringGetTextDatum(event->owner);
	values[GOV_EVENT_CAPABILITY_ID] = PointerGetDatum(event->capability);
	values[GOV_EVENT_AMOUNT] = NumericGetDatum(gov_amount_to_numeric(event->amount));
	values[GOV_EVENT_ENTITY_IDS] = PointerGetDatum(event->entity_ids);
	values[GOV_EVENT_DIMENSIONS] = JsonbPGetDatum(event->dimensions);
	values[GOV_EVENT_IDEMPOTENCY_KEY] = PointerGetDatum(event->key);
	nulls[GOV_EVENT_IDEMPOTENCY_KEY] = event->key == NULL;
	values[GOV_EVENT_REQUEST_HASH] = PointerGetDatum(event->request_hash);
	nulls[GOV_EVENT_REQUEST_HASH] = event->request_hash == NULL;
	values[GOV_EVENT_CALLER] = CStringGetTextDatum(gov_guc_caller_name());
	values[GOV_EVENT_OCCURRED_AT] = TimestampTzGetDatum(event->occurred_at);
	values[GOV_EVENT_RECORDED_AT] = TimestampTzGetDatum(event->recorded_at);
	values[GOV_EVENT_COUNTER_IDS] = PointerGetDatum(event->counter_ids);
	values[GOV_EVENT_WINDOW_STARTS] = PointerGetDatum(event->window_starts);
	values[GOV_EVENT_WINDOW_ENDS] = PointerGetDatum(event->window_ends);
	if (event->reverses != 0)
	{
		AttrNumber	column = gov_catalog()->events_reverses;

		values[column - 1] = Int64GetDatum(event->reverses);
		nulls[column - 1] = false;
	}
	if (event->quantities != NULL)
	{
		AttrNumber	quantities = gov_catalog()->events_quantities;
		AttrNumber	prices = gov_catalog()->events_prices;

		values[quantities - 1] = JsonbPGetDatum(event->quantities);
		values[prices - 1] = JsonbPGetDatum(event->prices);
		nulls[quantities - 1] = nulls[prices - 1] = false;
	}
	if (event->call_event_ids != NULL)
	{
		AttrNumber	column = gov_catalog()->events_call_event_ids;

		values[column - 1] = PointerGetDatum(event->call_event_ids);
		nulls[column - 1] = false;
	}
}

/*
 * Draw the id of an event.  The lock on the sequence that this takes is known
 * to the rollup, whenever the row is written.
 */
int64
gov_ledger_draw_id(void)
{
	return nextval_internal(gov_catalog()->events_id_seq, false);
}

/* Open the ledger for rows of uses that all have a key or all have none. */
static void
open_ledger(GovAppend *ledger, bool has_key)
{
	gov_append_open(ledger, gov_catalog()->events, GOV_EVENT_COLUMNS,
					gov_catalog()->events_key, has_key);
}

/* Append events without a key, together. */
void
gov_ledger_insert_rows(const GovLedgerRow *rows, int count)
{
	GovAppend	ledger;

	if (count == 0)
		return;
	open_ledger(&ledger, false);
	for (int i = 0; i < count; i++)
	{
		Assert(rows[i].event->key == NULL && rows[i].event->reverses == 0);
		if (i > 0 && i % GOV_ROWS_AT_ONCE == 0)
			gov_append_flush(&ledger);
		store_event(&ledger, rows[i].event, rows[i].id);
		gov_append_later(&ledger, GOV_ROWS_AT_ONCE);
	}
	gov_append_flush(&ledger);
	gov_append_close(&ledger);
}

/*
 * Append events that have keys, one after the other.  False when one of the keys has
 * just been taken: then it and those behind it are not written, and those before it
 * are for the caller to undo.
 */
bool
gov_ledger_insert_key_rows(const GovLedgerRow *rows, int count)
{
	GovAppend	ledger;
	bool		is_done = true;

	if (count == 0)
		return true;
	open_ledger(&ledger, true);
	for (int i = 0; i < count && is_done; i++)
	{
		GovKey		key = {rows[i].event->owner, rows[i].event->key};

		Assert(rows[i].event->reverses == 0);
		CHECK_FOR_INTERRUPTS();
		store_event(&ledger, rows[i].event, rows[i].id);
		is_done = gov_append_key_row(&ledger, gov_key_has_hold, &key);
	}
	gov_append_close(&ledger);
	return is_done;
}

/*
 * Append an event.  False when its key has just been taken: then nothing was
 * written, and gov_key_find() waits for whoever has taken it.
 */
bool
gov_ledger_insert(const GovEvent *event, int64 *id)
{
	const GovCatalog *catalog = gov_catalog();
	GovAppend	ledger;
	GovKey		key = {event->owner, event->key};
	bool		is_done = true;

	if (event->reverses == 0)
		open_ledger(&ledger, event->key != NULL);
	else
		gov_append_open_all(&ledger, catalog->events, GOV_EVENT_COLUMNS,
							catalog->events_key, event->key != NULL);
	*id = gov_ledger_draw_id();
	store_event(&ledger, event, *id);
	if (event->key == NULL)
		gov_append_row(&ledger);
	else
		is_done = gov_append_key_row(&ledger, gov_key_has_hold, &key);
	gov_append_close(&ledger);
	return is_done;
}

/* Draw the ids of a call's events, and have each of them know all. */
static void
draw_call(GovEvent *events, int count, int64 *ids)
{
	Datum	   *elements = palloc(sizeof(Datum) * count);
	ArrayType  *all;

	for (int i = 0; i < count; i++)
	{
		ids[i] = gov_ledger_draw_id();
		elements[i] = Int64GetDatum(ids[i]);
	}
	all = construct_array(elements, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
	for (int i = 0; i < count; i++)
		events[i].call_event_ids = all;
}

/*
 * Append the events of one call, the first of which has its key.  False when that
 * has just been taken: as of gov_ledger_insert().
 */
bool
gov_ledger_insert_call(GovEvent *events, int count, int64 *ids)
{
	const GovCatalog *catalog = gov_catalog();
	bool		has_key = events[0].key != NULL;
	GovKey		key = {events[0].owner, events[0].key};
	GovAppend	ledger;
	bool		is_done = true;

	Assert(count > 1 && events[0].reverses == 0);
	gov_append_open(&ledger, catalog->events, GOV_EVENT_COLUMNS, catalog->events_key, has_key);
	draw_call(events, count, ids);
	if (has_key)
	{
		store_event(&ledger, &events[0], ids[0]);
		is_done = gov_append_key_row(&ledger, gov_key_has_hold, &key);
	}
	for (int i = has_key ? 1 : 0; i < count && is_done; i++)
	{
		Assert(i == 0 || events[i].key == NULL);
		store_event(&ledger, &events[i], ids[i]);
		gov_append_later(&ledger, count - i);
	}
	gov_append_flush(&ledger);
	gov_append_close(&ledger);
	return is_done;
}
