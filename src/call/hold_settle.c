/*
 * hold_settle.c
 *		Settles holds.
 *
 * PURPOSE
 *		Settling records what the call came to that a hold was made for, and ends the
 *		hold, in one step: the hold goes off its budgets as the use is charged.  Of a
 *		capability that counts what is under way nothing is recorded.
 *
 * FAILURE
 *		55000 for a hold that was released, and for one of several capabilities that
 *		is settled as if it were of one; 22003 for a row whose amounts somebody has
 *		changed to ones that cannot be; and what a recording call raises.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/uuid.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "cache/types.h"
#include "call/hold_expire.h"
#include "call/hold_locked.h"
#include "call/hold_settle.h"
#include "call/priced.h"
#include "call/write.h"
#include "pure/bytes.h"

static void
refuse_released(const GovHold *hold)
{
	if (hold->state == GOV_HOLD_RELEASED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 gov_hold_errmsg_ended(hold),
				 errhint("Record the use with %s.", hold->amounts == NULL ? "gov_ingest" : "gov_ingest_all")));
}

/* One of several capabilities must be settled as such, even if it is settled by now. */
static void
refuse_several(const GovHold *hold)
{
	if (hold->amounts != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("hold \"%s\" is of several capabilities",
						DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&hold->id)))),
				 errhint("Settle it with gov_settle_all.")));
}

/*
 * Read what a locked hold comes to, as its arguments say.  The hold must outlive the
 * request.  gov_types_refresh() was called, and this only computes.
 */
static void
read_request(const GovHold *hold, const GovArguments *arguments, GovRequest *request)
{
	if (hold->has_bad_amount)
		gov_error_stored_amount();
	gov_request_read(request, arguments, false);
	gov_request_ignore_unknown(request);
	if (hold->state == GOV_HOLD_OPEN)
		gov_hold_give_back(request, hold);
}

/*
 * Read what a locked hold of one capability, which is not settled yet, came to, and
 * raise if it cannot be settled; null: the amount held.  The hold must outlive the
 * request.  gov_types_refresh() was called.  This only computes, as
 * gov_attempt_to_compute() wants it.
 */
void
gov_hold_read_settlement(const GovHold *hold, Numeric amount, GovArguments *arguments,
						 GovRequest *request)
{
	refuse_released(hold);
	refuse_several(hold);
	gov_hold_arguments(hold, arguments);
	arguments->amount = amount != NULL ? amount : gov_amount_to_numeric(hold->amount);
	read_request(hold, arguments, request);
}

/* Take a locked hold, if it is open still, off its budgets. */
static void
take_off(const GovHold *hold)
{
	if (hold->state == GOV_HOLD_OPEN && !gov_hold_take_off(hold))
		gov_error_cache_full();
}

/* End a hold of what is under way: settling gives it back, and nothing was used. */
void
gov_hold_settle_concurrency(const GovHold *hold)
{
	take_off(hold);
	gov_hold_row_close(hold, GOV_HOLD_SETTLED, 0, 0);
}

/* Lock a hold that is to be settled. */
static void
lock_to_settle(const char *call, const pg_uuid_t *id, GovHold *hold)
{
	gov_hold_lock(call, id, hold);
	gov_write_lock(gov_catalog()->events);
}

/* Record what a hold came to; null: the amount held.  There is no event of what was under way. */
GovRecorded
gov_hold_settle(const pg_uuid_t *id, Numeric amount)
{
	GovRecorded recorded = {0};
	GovArguments arguments;
	GovRequest	request;
	GovHold		hold;

	lock_to_settle("gov_settle()", id, &hold);
	refuse_several(&hold);
	if (hold.state == GOV_HOLD_SETTLED)
	{
		recorded.event_id = hold.event_id;
		recorded.is_duplicate = true;
		return recorded;
	}
	gov_types_refresh();
	gov_hold_read_settlement(&hold, amount, &arguments, &request);
	if (request.meters[0].is_concurrency)
	{
		gov_hold_settle_concurrency(&hold);
		return recorded;
	}
	recorded = gov_record_settled(&request, &arguments);
	gov_hold_row_close(&hold, GOV_HOLD_SETTLED, request.meters[0].amount, recorded.event_id);
	return recorded;
}

/* Does a capability count what is under way? */
static bool
is_concurrency(const text *capability)
{
	return gov_types_is_concurrency(VARDATA_ANY(capability), VARSIZE_ANY_EXHDR(capability));
}

/* The place of a capability; -1 if it is not among them. */
static int
place_of(const GovAmounts *amounts, const text *capability)
{
	for (int i = 0; i < amounts->count; i++)
	{
		if (gov_bytes_same(amounts->items[i].capability, capability))
			return i;
	}
	return -1;
}

/*
 * What is recorded of what a hold is settled for: not what was under way, of which
 * nothing is used, and which cannot be settled unless it was held.
 */
static GovAmounts *
recorded_amounts(const GovAmounts *held, GovAmounts *settled)
{
	GovAmounts *recorded = palloc0(sizeof(GovAmounts));

	for (int i = 0; i < settled->count; i++)
	{
		GovAmountOf *item = &settled->items[i];

		if (!is_concurrency(item->capability))
		{
			recorded->items[recorded->count++] = *item;
			recorded->nquantities += item->quantities != NULL;
			continue;
		}
		if (place_of(held, item->capability) < 0)
			gov_record_refuse_concurrency(VARDATA_ANY(item->capability),
										  VARSIZE_ANY_EXHDR(item->capability));
		item->amount = 0;
	}
	return recorded;
}

/* Record what a locked hold came to; ids gets those of the events, 0 where there is none. */
static void
record_all(const GovHold *hold, const GovAmounts *held, GovAmounts *settled, int64 *ids)
{
	GovAmounts *amounts = recorded_amounts(held, settled);
	GovArguments arguments;
	GovRequest	request;
	GovRecorded recorded = {0};

	if (amounts->count == 0)
		take_off(hold);
	else
	{
		gov_hold_arguments(hold, &arguments);
		arguments.amounts = amounts;
		read_request(hold, &arguments, &request);
		gov_priced_request(&request, amounts, hold->dimensions, true);
		recorded = gov_record_settled(&request, &arguments);
	}
	for (int i = 0; i < settled->count; i++)
	{
		int			place = place_of(amounts, settled->items[i].capability);

		ids[i] = place < 0 ? 0 : recorded.event_ids != NULL ? recorded.event_ids[place] :
			recorded.event_id;
		if (place >= 0)
			settled->items[i].amount = amounts->items[place].amount;
	}
}

/*
 * Record what a hold came to, of each capability; null: the amounts held, and where
 * those were given by quantities, what these cost now.
 */
GovSettled
gov_hold_settle_all(const pg_uuid_t *id, Jsonb *amounts)
{
	const GovAmounts *used = amounts == NULL ? NULL : gov_amounts_read(amounts, false);
	GovSettled	result = {0};
	int64		ids[GOV_METERS_MAX];
	GovAmounts *held;
	GovAmounts *settled;
	GovHold		hold;
	int			place;

	lock_to_settle("gov_settle_all()", id, &hold);
	refuse_released(&hold);
	held = gov_hold_amounts(&hold);
	if (hold.state == GOV_HOLD_SETTLED)
	{
		result.is_duplicate = true;
		result.event_ids = hold.event_ids != NULL ? hold.event_ids :
			gov_amounts_ids_json(held, &hold.event_id);
		return result;
	}
	gov_types_refresh();
	if (hold.quantities != NULL)
		gov_amounts_set_quantities(held, hold.quantities);
	settled = gov_amounts_settled(held, used == NULL ? held : used);
	record_all(&hold, held, settled, ids);
	result.event_ids = gov_amounts_ids_json(settled, ids);
	place = place_of(settled, hold.capability);
	gov_hold_row_settle_all(&hold, settled->items[place].amount, ids[place],
							gov_amounts_json(settled), result.event_ids);
	return result;
}
