/*
 * reverse.c
 *		Gives back what an event has used.
 *
 * PURPOSE
 *		A refund belongs to those who were charged, in the windows in which they
 *		were: whoever recorded a negative amount instead would credit those who
 *		would be charged today.  So a reversal resolves nothing.  Its row takes
 *		over what the event says of itself, and goes to the counters and windows
 *		that the event names, as far as they are still there.
 *
 * PROTOCOL
 *		Order matters.  The event's row is locked first (event_row.c), so that of
 *		two reversals at once the second knows the first.  Then the key is looked
 *		up: a repeated call is answered, even if the event is gone by now or
 *		nothing is left of it.  Then the amount is judged.  Then the budgets get
 *		it back, which others see from the commit on, and the row is written
 *		(record.c).  If a budget by a default was hidden meanwhile, because its
 *		entity got an assignment in its place, all this is done again, which then
 *		keeps it so (event_row.c).
 *
 * TIME
 *		occurred_at is the event's, so that reports by time show the refund where
 *		the use is, and each window shows both; recorded_at says when it was
 *		made.  An event past governance.event_retention counts as deleted, even
 *		if the worker has not come by yet: so nobody locks what it deletes.
 *
 * FAILURE
 *		42704 for an event that is not there or of another owner; 22023 for one
 *		that gives nothing back, and for more than is left; and what a recording
 *		call raises.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/guc.h"
#include "base/owner.h"
#include "cache/barrier.h"
#include "cache/frozen.h"
#include "call/reverse.h"
#include "call/write.h"
#include "ledger/event_row.h"

static const char *const call = "gov_reverse()";

#define GOV_TRIES	100			/* to find what is hidden and found again at once */

pg_noreturn static void
raise_unknown(int64 event_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("event " INT64_FORMAT " does not exist", event_id),
			 gov_event_retention_s == 0 ? 0 :
			 errdetail("Events past governance.event_retention count as deleted."),
			 errhint("Pass the event_id that recorded the use; what was deleted is corrected by gov_ingest with a negative amount.")));
}

static char *
shown_amount(GovAmount amount)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out,
											   NumericGetDatum(gov_amount_to_numeric(amount))));
}

/* The owner of the event, if the session may act for that owner. */
static char *
find_owner(int64 event_id)
{
	char	   *owner = gov_event_row_owner(event_id);
	const char *pin = gov_owner_pin();

	if (owner == NULL || (pin != NULL && strcmp(pin, owner) != 0))
		raise_unknown(event_id);
	return owner;
}

/* The events recorded since then may be there. */
static TimestampTz
retention_begin(void)
{
	return gov_event_retention_s == 0 ? DT_NOBEGIN :
		gov_clock() - gov_event_retention_s * USECS_PER_SEC;
}

/* What the event's row names must stay what others are told of it (api_forget.c). */
static void
enter_owner(const char *owner)
{
	GovOwnerKey key;

	gov_node_owner_key_init(&key, MyDatabaseId, gov_catalog()->extension, owner, strlen(owner));
	(void) gov_barrier_pass(&key, true);
	gov_frozen_require_open(owner, strlen(owner));
}

/* Only a use can be reversed. */
static void
require_use(const GovEventRow *event)
{
	if (event->is_reversal)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("event " INT64_FORMAT " is a reversal", event->id),
				 errhint("Record the use again with gov_ingest.")));
	if (event->amount < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("event " INT64_FORMAT " is a correction", event->id),
				 errdetail("Its amount is negative: there is nothing to give back."),
				 errhint("Record what was used with gov_ingest.")));
}

/* How much is given back; NULL: what is left. */
static GovAmount
require_left(const GovEventRow *event, const GovAmount *amount)
{
	require_use(event);
	if (event->left <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("nothing is left of event " INT64_FORMAT, event->id),
				 errdetail("Its amount is %s, and its reversals have given back %s.",
						   shown_amount(event->amount),
						   shown_amount(event->amount - event->left)),
				 errhint("See its reversals with SELECT * FROM gov_events WHERE reverses = " INT64_FORMAT ".", event->id)));
	if (amount == NULL)
		return event->left;
	if (*amount > event->left)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"amount\" is more than is left of event " INT64_FORMAT, event->id),
				 errdetail("Its amount is %s, and its reversals have given back %s.",
						   shown_amount(event->amount),
						   shown_amount(event->amount - event->left)),
				 errhint("Pass at most %s, or leave it out for what is left.",
						 shown_amount(event->left))));
	return *amount;
}

/* Add what counts a draw to what a request reverses. */
static GovReversed *
add_drawn(GovRequest *request, const GovEventDraw *draw, const pg_uuid_t *id, int64 counter_id)
{
	GovReversed *reversed = &request->reversed[request->nreversed++];

	reversed->entity.id = draw->entity_id;
	reversed->entity.id_length = strlen(draw->entity_id);
	reversed->budget_id = *id;
	reversed->counter_id = counter_id;
	reversed->window = (GovWindow) {DT_NOBEGIN, DT_NOEND};
	reversed->is_drawn = true;
	reversed->pool_id = draw->pool_id;
	return reversed;
}

/*
 * Have a request give an amount back to the grants that the event has drawn from:
 * of what is left of it the last that each pool has taken.  What it has paid of an
 * earlier debt stands before that, and is never reached.
 */
static void
add_draws(GovRequest *request, const GovEventRow *event, GovAmount amount)
{
	const pg_uuid_t *pool = NULL;
	GovAmount	given = 0;		/* by earlier reversals */
	GovAmount	left = 0;		/* to give */
	int			debt = 0;

	for (int i = 0; i < event->ndraws; i++)
	{
		const GovEventDraw *draw = &event->draws[i];
		GovAmount	skipped;
		GovAmount	gives;

		if (pool == NULL || !gov_uuid_is(pool, &draw->pool_id))
		{
			pg_uuid_t	id = gov_pool_debt_id(&draw->pool_id);

			given = event->amount - event->left;
			left = amount;
			debt = request->nreversed;
			add_drawn(request, draw, &id, draw->debt_counter_id)->debt = debt;
		}
		pool = &draw->pool_id;
		if (draw->amount <= 0 || left == 0)
			continue;
		skipped = Min(given, draw->amount);
		gives = Min(left, draw->amount - skipped);
		given -= skipped;
		left -= gives;
		if (draw->counter_id == draw->debt_counter_id)
			request->reversed[debt].wanted -= gives;
		else if (gives > 0)
		{
			GovReversed *reversed = add_drawn(request, draw, &draw->id, draw->counter_id);

			reversed->wanted = -gives;
			reversed->debt = debt;
		}
	}
}

/* Have a request give an amount back to what the event was charged to. */
static void
init_request(GovRequest *request, const GovEventRow *event, GovAmount amount, bool may_lose)
{
	memset(request, 0, sizeof(*request));
	gov_node_owner_key_init(&request->owner, MyDatabaseId, gov_catalog()->extension,
							event->owner, strlen(event->owner));
	request->reversed_amount = -amount;
	request->nreversed = event->nbudgets;
	request->reversed = palloc0(sizeof(GovReversed) * Max(event->nbudgets + 2 * event->ndraws, 1));
	for (int i = 0; i < event->nbudgets; i++)
	{
		const GovEventBudget *budget = &event->budgets[i];
		GovReversed *reversed = &request->reversed[i];

		reversed->entity.id = budget->entity_id;
		reversed->entity.id_length = strlen(budget->entity_id);
		reversed->budget_id = budget->id;
		reversed->counter_id = budget->counter_id;
		reversed->window = budget->window;
		reversed->wanted = -amount;
		reversed->is_inherited = budget->is_inherited && !may_lose;
		reversed->is_hidden = budget->is_hidden;
	}
	add_draws(request, event, amount);
}

static void
init_event(GovEvent *event, const GovEventRow *reversed, GovAmount amount)
{
	event->owner = reversed->owner;
	event->capability = reversed->capability;
	event->amount = -amount;
	event->entity_ids = reversed->entity_ids;
	event->dimensions = reversed->dimensions;
	event->occurred_at = reversed->occurred_at;
	event->reverses = reversed->id;
}

/* Read the arguments, and refuse what is malformed whatever the event. */
static const GovAmount *
read_arguments(Numeric amount, text *key, GovAmount *read)
{
	if (key != NULL)
		gov_request_check_key("idempotency_key", key);
	if (amount == NULL)
		return NULL;
	*read = gov_request_amount(amount, true);
	if (*read <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"amount\" must be more than 0"),
				 errhint("Pass how much is given back, or leave it out for what is left.")));
	return read;
}

/*
 * Give back an amount of an event, or what is left of it, unless that was done
 * before under the same key.  NULL is no amount, and no key.
 */
GovRecorded
gov_reverse(int64 event_id, Numeric amount_argument, text *key)
{
	GovRecorded recorded = {0};
	GovPrepared prepared = {0};
	GovAmount	read;
	const GovAmount *amount = read_arguments(amount_argument, key, &read);
	GovAmount	given;
	GovEventRow event;
	GovKeyHolder holder;
	char	   *owner;
	bool		is_there;

	gov_write_begin(call);
	gov_write_lock(gov_catalog()->events);
	owner = find_owner(event_id);
	if (key != NULL)
	{
		prepared.event.key = key;
		prepared.event.request_hash = gov_request_hash_reversal(call, event_id, amount);
	}
	enter_owner(owner);
	for (int tries = 0; !recorded.is_recorded; tries++)
	{
		CHECK_FOR_INTERRUPTS();
		is_there = gov_event_row_lock(event_id, retention_begin(), &event);
		if (gov_write_find_duplicate(owner, key, prepared.event.request_hash, false, &holder))
		{
			recorded.event_id = holder.event_id;
			recorded.is_duplicate = true;
			return recorded;
		}
		if (!is_there)
			raise_unknown(event_id);
		given = require_left(&event, amount);
		init_request(&prepared.request, &event, given, tries == GOV_TRIES);
		init_event(&prepared.event, &event, given);
		recorded = gov_record_reversal(&prepared);
		if (recorded.is_duplicate)
			break;
	}
	return recorded;
}
