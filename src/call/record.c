/*
 * record.c
 *		Records one use: charge the budgets, write the ledger.
 *
 * PURPOSE
 *		What all calls that record have in common.  Order matters.  The key is
 *		looked up first, after waiting for whoever is writing it, because a
 *		duplicate charges nothing.  Then the budgets are charged in memory.  Then
 *		the row is written; if that raises, the abort takes the charge back.
 *		A call of several capabilities is one charge, and a row for each of them.
 *
 * FAILURE
 *		25006 in a read-only transaction or on a standby, 55000 when the
 *		library is not preloaded, 53400 when the cache is full, 23505 for a key
 *		that stands for another call, 22023 for a time too far ahead, and for a capability that
 *		counts what is under way.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "base/shmem.h"
#include "base/worker_slots.h"
#include "cache/tail.h"
#include "cache/types.h"
#include "call/dimensions.h"
#include "call/priced.h"
#include "call/record.h"
#include "call/write.h"
#include "gate/opening.h"
#include "ledger/ledger.h"
#include "rollup/alert.h"

static void
check_occurred_at(const GovArguments *arguments)
{
	if (arguments->has_occurred_at && TIMESTAMP_NOT_FINITE(arguments->occurred_at))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"occurred_at\" must be a finite time"),
				 errhint("Leave it out for an event of now.")));
}

/* Of what counts what is under way nothing is used up. */
void
gov_record_refuse_concurrency(const char *capability_id, uint32 length)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("capability \"%s\" counts what is under way, and is not used up",
					gov_error_shown_bytes(capability_id, length)),
			 errhint("Take it with gov_reserve, and give it back with gov_settle or gov_release.")));
}

/*
 * Refuse a request for what is not used up.  Not one whose key was used, while the
 * capability was of another kind: that is asked before.
 */
void
gov_record_require_used_up(const GovRequest *request)
{
	for (int i = 0; i < request->nmeters; i++)
	{
		const GovMeter *meter = &request->meters[i];

		if (meter->is_concurrency)
			gov_record_refuse_concurrency(meter->capability_id, meter->capability_length);
	}
}

/*
 * Make an array with room for so many bytes of elements, for the caller to
 * fill in.
 */
static ArrayType *
make_array(int count, Size bytes, Oid type)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + bytes;
	ArrayType  *array;

	if (count == 0)
		return construct_empty_array(type);
	array = palloc0(size);
	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->elemtype = type;
	ARR_DIMS(array)[0] = count;
	ARR_LBOUND(array)[0] = 1;
	return array;
}

static ArrayType *
make_ids(const GovResolution *resolution)
{
	Size		bytes = 0;
	ArrayType  *array;
	char	   *at;

	for (int i = 0; i < resolution->nentities; i++)
		bytes += INTALIGN(VARHDRSZ + gov_entity_id(resolution->entities[i].entity)->length);
	array = make_array(resolution->nentities, bytes, TEXTOID);
	at = ARR_DATA_PTR(array);
	for (int i = 0; i < resolution->nentities; i++)
	{
		const GovChars *id = gov_entity_id(resolution->entities[i].entity);

		SET_VARSIZE(at, VARHDRSZ + id->length);
		memcpy(VARDATA(at), id->bytes, id->length);
		at += INTALIGN(VARHDRSZ + id->length);
	}
	return array;
}

/*
 * The window of a late event.  One that would begin before the first time that
 * there is has all that came before: a tenant can make a budget with such a window
 * yesterday (P9999Y from today), and no use is refused for that.
 */
static GovWindow
late_window(const GovResolution *resolution, const GovResolvedBudget *budget)
{
	const GovEntity *entity = resolution->entities[budget->entity].entity;
	GovWindow	window;

	if (!gov_entity_budget_window(entity, budget->budget, resolution->occurred_at, &window))
	{
		TIMESTAMP_NOBEGIN(window.start);
		window.end = budget->window.start;
	}
	return window;
}

/*
 * The window that the event is charged to.  It is the counter's, even if that
 * is ahead of the clock; for a late event it is the window of its time.
 */
static inline GovWindow
event_window(const GovResolution *resolution, const GovResolvedBudget *budget)
{
	if (gov_budget_is_timed(budget->budget))
		return budget->charged_window;
	if (likely(resolution->is_of_now) || resolution->occurred_at >= budget->window.start)
		return budget->window;
	return late_window(resolution, budget);
}

/* Append what was drawn from a grant, or is owed: a counter and an amount. */
static void
add_draw(Datum *pairs, int *count, int64 counter_id, GovAmount amount)
{
	if (amount == 0)
		return;
	pairs[2 * *count] = NumericGetDatum(int64_to_numeric(counter_id));
	pairs[2 * *count + 1] = NumericGetDatum(gov_amount_to_numeric(amount));
	(*count)++;
}

/* The rows of a counter and an amount as an array; NULL for none. */
static ArrayType *
make_draws(Datum *pairs, int count)
{
	int			dims[2] = {count, 2};
	int			lower[2] = {1, 1};

	return count == 0 ? NULL :
		construct_md_array(pairs, NULL, 2, dims, lower, NUMERICOID, -1, false, TYPALIGN_INT);
}

/*
 * Set what the event of a meter draws from the grants of pools.  For each pool what it pays
 * comes first, then what it takes, in the order in which it does: what is
 * reversed later is taken from the end (event_row.c).
 */
static void
set_draws(GovEvent *event, const GovResolution *resolution, int meter)
{
	Datum	   *pairs = palloc(sizeof(Datum) * 4 * resolution->ndraws);
	int			count = 0;

	for (int i = 0; i < resolution->nbudgets; i++)
	{
		const GovResolvedBudget *budget = &resolution->budgets[i];
		const GovDraw *draws = &resolution->draws[budget->first_draw];

		if (budget->pool == NULL || resolution->states[i].meter != meter)
			continue;
		for (uint32 d = 0; d <= budget->ndraws; d++)
			add_draw(pairs, &count, draws[d].counter_id, draws[d].pays);
		for (uint32 d = 0; d <= budget->ndraws; d++)
			add_draw(pairs, &count, draws[d].counter_id, draws[d].takes);
	}
	event->draws = make_draws(pairs, count);
	gov_alert_note_drawn();
}

/* Is the event charged to a budget?  Not if no window was open for it (gate/opening.c). */
static inline bool
is_charged(const GovResolvedBudget *budget)
{
	return !gov_budget_is_timed(budget->budget) || budget->counts != GOV_COUNTS_NOWHERE;
}

/* How many budgets of a meter are charged? */
static int
count_budgets(const GovResolution *resolution, int meter)
{
	int			count = 0;

	for (int i = 0; i < resolution->nbudgets; i++)
		count += resolution->states[i].meter == meter && is_charged(&resolution->budgets[i]);
	return count;
}

/* Set what the event of a meter was charged to. */
static void
set_charges(GovEvent *event, const GovResolution *resolution, int meter)
{
	int			count = count_budgets(resolution, meter);
	int64	   *ids;
	TimestampTz *starts;
	TimestampTz *ends;

	event->counter_ids = make_array(count, count * sizeof(int64), INT8OID);
	event->window_starts = make_array(count, count * sizeof(int64), TIMESTAMPTZOID);
	event->window_ends = make_array(count, count * sizeof(int64), TIMESTAMPTZOID);
	ids = (int64 *) ARR_DATA_PTR(event->counter_ids);
	starts = (TimestampTz *) ARR_DATA_PTR(event->window_starts);
	ends = (TimestampTz *) ARR_DATA_PTR(event->window_ends);
	for (int i = 0; i < resolution->nbudgets; i++)
	{
		const GovResolvedBudget *budget = &resolution->budgets[i];
		GovWindow	window;

		if (resolution->states[i].meter != meter || unlikely(!is_charged(budget)))
			continue;
		window = event_window(resolution, budget);
		if (gov_budget_opens(budget->budget))
			gov_opening_note(budget);
		*ids++ = budget->budget->counter_id;
		*starts++ = window.start;
		*ends++ = window.end;
	}
	event->draws = NULL;		/* of an earlier attempt */
	if (unlikely(resolution->ndraws > 0))
		set_draws(event, resolution, meter);
}

/* Set what the event was resolved to. */
static void
set_entities(GovEvent *event, const GovResolution *resolution)
{
	event->entity_ids = make_ids(resolution);
	event->occurred_at = resolution->occurred_at;
	event->recorded_at = resolution->now;
}

/* Set how much was used, and by which quantities and prices, if by any. */
static void
set_amount(GovEvent *event, const GovMeter *meter, const GovAmountOf *item)
{
	event->amount = meter->amount;
	event->quantities = item == NULL ? NULL : item->quantities;
	event->prices = item == NULL ? NULL : item->prices;
}

/*
 * The events of a call of several capabilities, made from what they have in common.
 * The first has the key.
 */
static GovEvent *
make_events(GovEvent *common, const GovRequest *request, const GovAmounts *amounts,
			const GovResolution *resolution)
{
	GovEvent   *events = palloc(sizeof(GovEvent) * request->nmeters);

	set_entities(common, resolution);
	for (int m = 0; m < request->nmeters; m++)
	{
		const GovMeter *meter = &request->meters[m];

		events[m] = *common;
		events[m].capability = cstring_to_text_with_len(meter->capability_id, meter->capability_length);
		set_amount(&events[m], meter, &amounts->items[m]);
		if (m > 0)
		{
			events[m].key = NULL;
			events[m].request_hash = NULL;
		}
		set_charges(&events[m], resolution, m);
	}
	return events;
}

/* Set what a reversal gives back to; the event has the rest from what it reverses. */
static void
set_reversed(GovEvent *event, const GovRequest *request, const GovResolution *resolution)
{
	Datum	   *ids = palloc(sizeof(Datum) * (request->nreversed + 1));
	Datum	   *starts = palloc(sizeof(Datum) * (request->nreversed + 1));
	Datum	   *ends = palloc(sizeof(Datum) * (request->nreversed + 1));
	Datum	   *pairs = palloc(sizeof(Datum) * 2 * (request->nreversed + resolution->ndraws + 1));
	int			ndraws = 0;
	int			count = 0;

	for (int i = 0; i < resolution->ndraws; i++)
		add_draw(pairs, &ndraws, resolution->draws[i].counter_id, resolution->draws[i].pays);

	for (int i = 0; i < request->nreversed; i++)
	{
		const GovReversed *reversed = &request->reversed[i];

		if (reversed->counter == NULL)
			continue;
		if (reversed->is_drawn)
		{
			add_draw(pairs, &ndraws, reversed->counter_id, reversed->amount);
			continue;
		}
		ids[count] = Int64GetDatum(reversed->counter_id);
		starts[count] = TimestampTzGetDatum(reversed->window.start);
		ends[count++] = TimestampTzGetDatum(reversed->window.end);
	}
	event->counter_ids = construct_array(ids, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
										 TYPALIGN_DOUBLE);
	event->window_starts = construct_array(starts, count, TIMESTAMPTZOID, sizeof(TimestampTz),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
	event->window_ends = construct_array(ends, count, TIMESTAMPTZOID, sizeof(TimestampTz),
										 FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
	event->draws = make_draws(pairs, ndraws);
	event->recorded_at = resolution->now;
}

/* Was a budget not found that its entity had by a default before the call? */
static bool
has_lost(const GovRequest *request)
{
	for (int i = 0; i < request->nreversed; i++)
	{
		if (request->reversed[i].is_inherited && request->reversed[i].counter == NULL)
			return true;
	}
	return false;
}

/* Set what a use that was charged has charged, or a reversal given back. */
static void
set_event(GovEvent *event, const GovRequest *request, const GovResolution *resolution)
{
	if (event->reverses != 0)
	{
		set_reversed(event, request, resolution);
		return;
	}
	set_entities(event, resolution);
	set_charges(event, resolution, 0);
}

/* Write the rows of a call of several capabilities; false as of gov_ledger_insert(). */
static bool
write_events(GovEvent *events, int count, GovRecorded *recorded)
{
	recorded->event_ids = palloc(sizeof(int64) * count);
	if (!gov_ledger_insert_call(events, count, recorded->event_ids))
		return false;
	recorded->event_id = recorded->event_ids[0];
	return true;
}

/*
 * The events of a call have ids, and their rows are written or will be, with this
 * transaction.
 */
static void
note_recorded(GovRecorded *recorded, int count)
{
	gov_alert_note_event(recorded->event_id);
	gov_tail_note_event(recorded->event_id);
	if (count > 1)
	{
		gov_alert_note_event(recorded->event_ids[count - 1]);
		gov_tail_note_event(recorded->event_ids[count - 1]);
	}
	recorded->is_recorded = true;
	pg_atomic_fetch_add_u64(&gov_shared->events, count);
}

/*
 * Charge the budgets, create what is not there yet, and write the event; false
 * when another transaction has just taken the key, or created the same.
 */
static bool
charge_and_write(const GovRequest *request, GovUse use, const GovAmounts *amounts,
				 GovEvent *event, GovRecorded *recorded, GovDecision *decision,
				 GovResolution **resolution)
{
	GovEvent   *events = NULL;	/* of several capabilities */
	bool		is_written;

	gov_write_gate(request, use, resolution, decision);
	if (use == GOV_USE_CONSUME && !decision->is_granted)
		return true;
	if (event->reverses != 0 && has_lost(request))
	{
		gov_gate_take_back(request, use, *resolution);
		return true;
	}
	if (request->nmeters > 1)
		events = make_events(event, request, amounts, *resolution);
	else
		set_event(event, request, *resolution);
	if (!gov_creation_make(&recorded->creation, request, use, *resolution))
		return false;
	is_written = events != NULL ? write_events(events, request->nmeters, recorded) :
		gov_ledger_insert(event, &recorded->event_id);
	if (!is_written)
	{
		gov_gate_take_back(request, use, *resolution);
		return false;
	}
	note_recorded(recorded, Max(request->nmeters, 1));
	return true;
}

/*
 * Charge the budgets of one use of a batch, create what is not there yet, and draw
 * its id; the caller writes its row.  What is wrong with it is returned, as by
 * gov_write_try_gate(): then, or when it is denied, nothing was charged.
 */
GovGateStatus
gov_record_charge(GovPrepared *prepared, GovUse use, bool mends, GovRecorded *recorded,
				  GovDecision *decision)
{
	const GovRequest *request = &prepared->request;
	GovResolution *resolution;

	do
	{
		GovGateStatus status = gov_write_try_gate(request, use, mends, &resolution, decision);

		if (status != GOV_GATE_ANSWERED || (use == GOV_USE_CONSUME && !decision->is_granted))
			return status;
		set_event(&prepared->event, request, resolution);
	} while (!gov_creation_make(&recorded->creation, request, use, resolution));
	recorded->event_id = gov_ledger_draw_id();
	note_recorded(recorded, 1);
	return GOV_GATE_ANSWERED;
}

/* Begin an event with what its call says. */
void
gov_record_init_event(GovEvent *event, const GovRequest *request, const GovArguments *arguments)
{
	memset(event, 0, sizeof(*event));
	event->owner = request->owner.owner;
	event->capability = arguments->amounts == NULL ? arguments->capability :
		arguments->amounts->items[0].capability;
	set_amount(event, &request->meters[0], arguments->amounts == NULL ? NULL : &arguments->amounts->items[0]);
	event->dimensions = gov_dimensions_stored(arguments->dimensions);
}

/* Begin to record uses; the table is locked. */
void
gov_record_begin(const char *call)
{
	gov_write_begin(call);
	gov_write_lock(gov_catalog()->events);
	gov_types_refresh();
	gov_opening_forget();
}

/*
 * Read a use, and refuse what is malformed; the arguments must outlive it.  This only
 * computes, as gov_attempt_to_compute() wants it.
 */
void
gov_record_read(GovUse use, const GovArguments *arguments, GovPrepared *prepared)
{
	GovRequest *request = &prepared->request;

	check_occurred_at(arguments);
	gov_request_read(request, arguments, use == GOV_USE_RECORD);
	gov_record_init_event(&prepared->event, request, arguments);
	prepared->amounts = arguments->amounts;
	prepared->event.key = arguments->key;
	if (arguments->key != NULL)
		gov_request_check_key("idempotency_key", arguments->key);
}

/* A use with a key that was read: hash what the call says. */
void
gov_record_hash(const char *call, const GovArguments *arguments, GovPrepared *prepared)
{
	Assert(prepared->event.key != NULL);
	prepared->event.request_hash = gov_request_hash(call, &prepared->request, arguments);
}

/* Prepare a use: begin, read it, and lock what it may create. */
void
gov_record_prepare(const char *call, GovUse use, const GovArguments *arguments,
				   GovPrepared *prepared)
{
	gov_record_begin(call);
	gov_record_read(use, arguments, prepared);
	gov_creation_lock(&prepared->request);
	if (prepared->event.key != NULL)
		gov_record_hash(call, arguments, prepared);
}

/* Price what a use was given by, once it is known to be none that was recorded. */
static void
price_prepared(GovPrepared *prepared)
{
	GovAmounts *amounts = prepared->amounts;

	if (amounts == NULL || amounts->nquantities == 0)
		return;
	gov_priced_request(&prepared->request, amounts, prepared->event.dimensions, true);
	set_amount(&prepared->event, &prepared->request.meters[0], &amounts->items[0]);
}

/* Record a use, or find that it has been recorded under the same key. */
static GovRecorded
record_or_find(GovPrepared *prepared, GovUse use, GovDecision *decision,
			   GovResolution **resolution)
{
	GovRecorded recorded = {0};
	GovEvent   *event = &prepared->event;
	GovKeyHolder holder;

	do
	{
		if (gov_write_find_duplicate(event->owner, event->key, event->request_hash, false, &holder))
		{
			recorded.event_id = holder.event_id;
			recorded.is_duplicate = true;
			return recorded;
		}
		gov_record_require_used_up(&prepared->request);
		price_prepared(prepared);
	} while (!charge_and_write(&prepared->request, use, prepared->amounts, event, &recorded,
							   decision, resolution));
	if (recorded.is_recorded)
		gov_worker_wanted();
	return recorded;
}

/* Record one use, or find that it has been recorded under the same key. */
GovRecorded
gov_record(const char *call, GovUse use, const GovArguments *arguments,
		   GovDecision *decision, GovResolution **resolution)
{
	GovPrepared prepared;

	gov_record_prepare(call, use, arguments, &prepared);
	return record_or_find(&prepared, use, decision, resolution);
}

/*
 * Record a reversal, or find that it has been recorded under the same key.  Where
 * it has lost a budget it records nothing, and the caller looks again which there
 * are.
 */
GovRecorded
gov_record_reversal(GovPrepared *prepared)
{
	GovResolution *resolution;

	Assert(prepared->event.reverses != 0);
	return record_or_find(prepared, GOV_USE_RECORD, NULL, &resolution);
}

/* Record what a hold came to, and end it, in one step. */
GovRecorded
gov_record_settled(const GovRequest *request, const GovArguments *arguments)
{
	GovRecorded recorded = {0};
	GovResolution *resolution;
	GovEvent	event;

	gov_record_init_event(&event, request, arguments);
	charge_and_write(request, GOV_USE_RECORD, arguments->amounts, &event, &recorded, NULL, &resolution);
	gov_worker_wanted();
	return recorded;
}
