/*
 * hold_call.c
 *		Makes holds and ends them.
 *
 * PURPOSE
 *		A hold keeps an amount free on every budget of its set for a call whose
 *		true cost is known only later.  It is a row (hold_row.c) and a part of the
 *		counters; settling it records what the call came to.
 *
 * PROTOCOL
 *		A new hold is charged and then written, like a use (record.c).  To end a
 *		hold its owner is entered (cache/barrier.c), and its row is locked, so that
 *		one session of several ends it.
 *		Then the hold is taken off its budgets; if it is settled, they are
 *		charged in the same step.  Then the row is changed.
 *
 * TIME
 *		A hold past its time counts as expired, whether or not its row says so
 *		yet.
 *
 * FAILURE
 *		42704 for a hold that does not exist or is of another owner, 55000 for
 *		one in the wrong state, 22023 for a ttl that is not positive, 22003 for a
 *		row whose amount somebody has changed to one that cannot be.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/owner.h"
#include "base/worker_slots.h"
#include "cache/barrier.h"
#include "cache/types.h"
#include "call/answer.h"
#include "call/dimensions.h"
#include "call/creation.h"
#include "call/hold_call.h"
#include "call/hold_expire.h"
#include "call/write.h"
#include "gate/denied.h"

#define GOV_TTL_MAX_YEARS	100000
#define GOV_TTL_MIN_YEARS	(-5000) /* timestamps begin some 6,700 years ago */

static void
raise_bad_ttl(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"ttl\" must be a positive interval"),
			 errdetail("%s", detail),
			 errhint("Write it like interval '5 minutes'.")));
}

/* The end of a hold that begins now. */
static TimestampTz
add_ttl(TimestampTz now, Interval *ttl)
{
	double		years = ttl->month / 12.0 + ttl->day / 365.0 +
	ttl->time / (365.0 * USECS_PER_DAY);
	TimestampTz end;

	if (years > GOV_TTL_MAX_YEARS)
		raise_bad_ttl(psprintf("It is longer than %d years.", GOV_TTL_MAX_YEARS));
	if (years < GOV_TTL_MIN_YEARS)
		raise_bad_ttl("It is negative.");
	end = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												  TimestampTzGetDatum(now),
												  IntervalPGetDatum(ttl)));
	if (end <= now)
		raise_bad_ttl("It ends before it begins.");
	return end;
}

static void
require_ttl(Interval *ttl)
{
	if (ttl == NULL)
		gov_error_null_argument("ttl");
	add_ttl(gov_clock(), ttl);
}

/* Set the hold's budgets and times, from what was resolved. */
static void
set_budgets(GovHold *hold, const GovResolution *resolution, Interval *ttl)
{
	Datum	   *ids = palloc(sizeof(Datum) * Max(resolution->nbudgets, 1));

	for (int i = 0; i < resolution->nbudgets; i++)
		ids[i] = UUIDPGetDatum(&resolution->budgets[i].id);
	hold->assignment_ids = construct_array(ids, resolution->nbudgets, UUIDOID, UUID_LEN,
										   false, TYPALIGN_CHAR);
	hold->created_at = resolution->now;
	hold->expires_at = add_ttl(resolution->now, ttl);
}

/*
 * Charge the budgets, create what is not there yet, and write the hold; false
 * when another transaction has just taken the key, or created the same.
 */
static bool
charge_and_write(const GovRequest *request, Interval *ttl, GovHold *hold,
				 GovCreation *creation, GovReserved *reserved, GovDecision *decision,
				 GovResolution **resolution)
{
	gov_write_gate(request, GOV_USE_RESERVE, resolution, decision);
	if (!decision->is_granted)
		return true;
	set_budgets(hold, *resolution, ttl);
	if (!gov_creation_make(creation, request, GOV_USE_RESERVE, *resolution))
		return false;
	if (!gov_hold_row_insert(hold))
	{
		gov_gate_take_back(request, GOV_USE_RESERVE, *resolution);
		return false;
	}
	reserved->is_held = true;
	reserved->id = hold->id;
	reserved->state = GOV_HOLD_OPEN;
	reserved->expires_at = hold->expires_at;
	return true;
}

/*
 * The state of a hold: an open one past its time has expired, even if its row
 * does not say so yet.
 */
static GovHoldState
present_state(const GovHold *hold)
{
	if (hold->state == GOV_HOLD_OPEN && hold->expires_at <= gov_clock())
		return GOV_HOLD_EXPIRED;
	return hold->state;
}

/* Answer with the hold that an earlier call made under the same key. */
static void
answer_duplicate(const pg_uuid_t *id, GovReserved *reserved)
{
	GovHold		hold;

	if (!gov_hold_row_find(id, &hold))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("hold with the same idempotency key was deleted concurrently"),
				 errhint("Retry the transaction.")));
	reserved->is_duplicate = true;
	reserved->id = hold.id;
	reserved->state = present_state(&hold);
	reserved->expires_at = hold.expires_at;
}

/* Make a hold, or find the one made under the same key. */
GovReserved
gov_hold_reserve(GovArguments *arguments, Interval *ttl, GovDecision *decision,
				 GovResolution **resolution)
{
	static const char *const call = "gov_reserve()";
	GovReserved reserved = {0};
	GovRequest	request;
	GovHold		hold = {0};
	GovKeyHolder holder;
	GovCreation creation = {0};

	gov_write_begin(call);
	gov_write_lock(gov_catalog()->reservations);
	require_ttl(ttl);
	gov_request_init(&request, arguments, false);
	gov_creation_lock(&request);
	hold.owner = unconstify(char *, request.owner.owner);
	hold.capability = arguments->capability;
	hold.amount = request.meters[0].amount;
	hold.entity_ids = arguments->entity_ids;
	hold.dimensions = gov_dimensions_stored(arguments->dimensions);
	hold.key = arguments->key;
	if (hold.key != NULL)
	{
		gov_request_check_key("idempotency_key", hold.key);
		hold.request_hash = gov_request_hash(call, &request, arguments);
	}

	do
	{
		if (gov_write_find_duplicate(hold.owner, hold.key, hold.request_hash, true, &holder))
		{
			answer_duplicate(&holder.hold_id, &reserved);
			return reserved;
		}
	} while (!charge_and_write(&request, ttl, &hold, &creation, &reserved, decision, resolution));
	if (reserved.is_held)
		gov_worker_wanted();
	return reserved;
}

/* The call changes rows of the owner's, whether or not it charges anything. */
static void
enter_owner(const char *owner)
{
	GovOwnerKey key;

	gov_node_owner_key_init(&key, MyDatabaseId, gov_catalog()->extension, owner, strlen(owner));
	(void) gov_barrier_pass(&key, true);
}

/*
 * Enter the owners of holds, as far as there are such, before their rows are locked:
 * who keeps an owner's calls out must not meet a row that we have (api_forget.c).
 */
void
gov_hold_enter_owners(const pg_uuid_t *ids, int count)
{
	const char *pin = gov_owner_pin();

	if (pin != NULL)
		enter_owner(pin);
	for (int i = 0; pin == NULL && i < count; i++)
	{
		char	   *owner = gov_hold_row_owner(&ids[i]);

		if (owner == NULL)
			continue;
		enter_owner(owner);
		pfree(owner);
	}
}

/* Raise: there is no such hold, or none that this session may see. */
void
gov_hold_raise_unknown(const pg_uuid_t *id)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("hold \"%s\" does not exist",
					DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)))),
			 errhint("Pass the reservation_id that gov_reserve returned.")));
}

/* Lock a hold that this session may see. */
static void
lock_hold(const char *call, const pg_uuid_t *id, GovHold *hold)
{
	gov_write_begin(call);
	if (id == NULL)
		gov_error_null_argument("reservation_id");
	gov_write_lock(gov_catalog()->reservations);
	gov_hold_enter_owners(id, 1);
	if (!gov_hold_row_lock(id, gov_owner_pin(), hold))
		gov_hold_raise_unknown(id);
}

/* The hold has ended, in whichever way. */
static int
errmsg_ended(const GovHold *hold)
{
	const char *id = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&hold->id)));

	switch (present_state(hold))
	{
		case GOV_HOLD_SETTLED:
			return errmsg("hold \"%s\" was settled", id);
		case GOV_HOLD_RELEASED:
			return errmsg("hold \"%s\" was released", id);
		default:
			return errmsg("hold \"%s\" has expired", id);
	}
}

/* The arguments that a hold was made with; the amount is its own. */
static void
hold_arguments(const GovHold *hold, GovArguments *arguments)
{
	memset(arguments, 0, sizeof(*arguments));
	arguments->owner = cstring_to_text(hold->owner);
	arguments->capability = hold->capability;
	arguments->dimensions = hold->dimensions;
	arguments->entity_ids = hold->entity_ids;
}

/*
 * Read what a locked hold, which is not settled yet, came to, and raise if it cannot
 * be settled; null: the amount held.  The hold must outlive the request.
 * gov_types_refresh() was called.  This only computes, as gov_attempt_to_compute()
 * wants it.
 */
void
gov_hold_read_settlement(const GovHold *hold, Numeric amount, GovArguments *arguments,
						 GovRequest *request)
{
	if (hold->state == GOV_HOLD_RELEASED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg_ended(hold),
				 errhint("Record the use with gov_ingest.")));
	if (hold->has_bad_amount)
		gov_error_stored_amount();
	hold_arguments(hold, arguments);
	arguments->amount = amount != NULL ? amount : gov_amount_to_numeric(hold->amount);
	gov_request_read(request, arguments, false);
	gov_request_ignore_unknown(request);
	if (hold->state == GOV_HOLD_OPEN)
		gov_hold_give_back(request, hold);
}

/* End a hold of what is under way: settling gives it back, and nothing was used. */
void
gov_hold_settle_concurrency(const GovHold *hold)
{
	if (hold->state != GOV_HOLD_OPEN)
		gov_hold_row_close(hold, GOV_HOLD_SETTLED, 0, 0);
	else if (!gov_hold_end(hold, GOV_HOLD_SETTLED))
		gov_error_cache_full();
}

/* Record what a hold came to; null: the amount held.  There is no event of what was under way. */
GovRecorded
gov_hold_settle(const pg_uuid_t *id, Numeric amount)
{
	GovRecorded recorded = {0};
	GovArguments arguments;
	GovRequest	request;
	GovHold		hold;

	lock_hold("gov_settle()", id, &hold);
	gov_write_lock(gov_catalog()->events);
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
	recorded.event_id = gov_record_settled(&request, &arguments);
	recorded.is_recorded = true;
	gov_hold_row_close(&hold, GOV_HOLD_SETTLED, request.meters[0].amount, recorded.event_id);
	return recorded;
}

/* End a hold without usage; false if it is not open any more. */
bool
gov_hold_release(const pg_uuid_t *id)
{
	GovHold		hold;
	bool		is_open;

	lock_hold("gov_release()", id, &hold);
	if (hold.state != GOV_HOLD_OPEN)
		return false;
	is_open = present_state(&hold) == GOV_HOLD_OPEN;
	if (!gov_hold_end(&hold, is_open ? GOV_HOLD_RELEASED : GOV_HOLD_EXPIRED))
		gov_error_cache_full();
	return is_open;
}

/* Nothing is held for longer while an entity of the resolved set is blocked. */
static void
refuse_blocked(const GovHold *hold)
{
	GovArguments arguments;
	GovRequest	request;
	GovResolution *resolution;
	GovDecision decision;

	hold_arguments(hold, &arguments);
	arguments.amount = gov_amount_to_numeric(0);
	gov_request_init(&request, &arguments, false);
	if (gov_gate(&request, GOV_USE_LOOK, true, &resolution, &decision) != GOV_GATE_ANSWERED)
		gov_error_cache_full();
	if (decision.denial != GOV_DENIAL_BLOCKED)
		return;
	gov_denied_note(&request, false, resolution, &decision);
	ereport(ERROR,
			(errcode(GOV_ERRCODE_DENIED),
			 errmsg("extension of hold \"%s\" denied: %s",
					DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&hold->id))),
					gov_decide_reason(decision.denial)),
			 errdetail("%s", gov_answer_block(resolution)),
			 errhint("Settle or release the hold, or end the block with gov_unblock.")));
}

/* Give an open hold another time, from now on. */
TimestampTz
gov_hold_extend(const pg_uuid_t *id, Interval *ttl)
{
	GovHold		hold;
	TimestampTz expires_at;

	require_ttl(ttl);
	lock_hold("gov_extend()", id, &hold);
	if (present_state(&hold) != GOV_HOLD_OPEN)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg_ended(&hold),
				 errhint("Make a new hold with gov_reserve.")));
	refuse_blocked(&hold);
	expires_at = add_ttl(gov_clock(), ttl);
	gov_hold_row_extend(&hold, expires_at);
	return expires_at;
}
