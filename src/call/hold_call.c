/*
 * hold_call.c
 *		Makes holds, releases them and extends them.
 *
 * PURPOSE
 *		A hold keeps an amount free on every budget of its set for a call whose
 *		true cost is known only later.  It is a row (hold_row.c) and a part of the
 *		counters; settling it records what the call came to (hold_settle.c).
 *
 * PROTOCOL
 *		A new hold is charged and then written, like a use (record.c).  To end a
 *		hold its row is locked first, so that one session of several ends it.
 *		Then the hold is taken off its budgets; if it is settled, they are
 *		charged in the same step.  Then the row is changed.
 *
 * FAILURE
 *		42704 for a hold that does not exist or is of another owner, 55000 for
 *		one in the wrong state, 22023 for a ttl that is not positive, 22003 for a
 *		row whose amount somebody has changed to one that cannot be.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/worker_slots.h"
#include "cache/types.h"
#include "call/answer.h"
#include "call/dimensions.h"
#include "call/creation.h"
#include "call/hold_call.h"
#include "call/hold_expire.h"
#include "call/hold_locked.h"
#include "call/priced.h"
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

/* What is held of each budget. */
static ArrayType *
make_budget_amounts(const GovResolution *resolution)
{
	Datum	   *amounts = palloc(sizeof(Datum) * Max(resolution->nbudgets, 1));

	for (int i = 0; i < resolution->nbudgets; i++)
		amounts[i] = NumericGetDatum(gov_amount_to_numeric(resolution->states[i].wanted));
	return construct_array(amounts, resolution->nbudgets, NUMERICOID, -1, false, TYPALIGN_INT);
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
	if (hold->amounts != NULL)
		hold->assignment_amounts = make_budget_amounts(resolution);
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
	reserved->state = gov_hold_present_state(&hold);
	reserved->expires_at = hold.expires_at;
	reserved->amounts = gov_amounts_json(gov_hold_amounts(&hold));
}

/* What the call says of the hold that it makes; its budgets and times are for later. */
static void
init_hold(GovHold *hold, const GovRequest *request, const GovArguments *arguments)
{
	const GovAmounts *amounts = arguments->amounts;

	memset(hold, 0, sizeof(*hold));
	hold->owner = unconstify(char *, request->owner.owner);
	hold->capability = amounts == NULL ? arguments->capability : amounts->items[0].capability;
	hold->entity_ids = arguments->entity_ids;
	hold->dimensions = gov_dimensions_stored(arguments->dimensions);
	hold->key = arguments->key;
}

/* How much the hold is of, at the prices of this moment. */
static void
set_amounts(GovHold *hold, GovRequest *request, const GovArguments *arguments)
{
	GovAmounts *amounts = arguments->amounts;

	gov_priced_request(request, amounts, arguments->dimensions, false);
	hold->amount = request->meters[0].amount;
	if (amounts == NULL)
		return;
	if (amounts->count > 1)
		hold->amounts = gov_amounts_json(amounts);
	hold->quantities = gov_amounts_quantities_json(amounts);
}

/* Make a hold, or find the one made under the same key. */
GovReserved
gov_hold_reserve(GovArguments *arguments, Interval *ttl, GovDecision *decision,
				 GovResolution **resolution)
{
	const char *call = arguments->amounts == NULL ? "gov_reserve()" : "gov_reserve_all()";
	GovReserved reserved = {0};
	GovRequest	request;
	GovHold		hold;
	GovKeyHolder holder;
	GovCreation creation = {0};

	gov_write_begin(call);
	gov_write_lock(gov_catalog()->reservations);
	require_ttl(ttl);
	gov_request_init(&request, arguments, false);
	gov_creation_lock(&request);
	init_hold(&hold, &request, arguments);
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
		set_amounts(&hold, &request, arguments);
	} while (!charge_and_write(&request, ttl, &hold, &creation, &reserved, decision, resolution));
	if (reserved.is_held)
		gov_worker_wanted();
	return reserved;
}

/* End a hold without usage; false if it is not open any more. */
bool
gov_hold_release(const pg_uuid_t *id)
{
	GovHold		hold;
	bool		is_open;

	gov_hold_lock("gov_release()", id, &hold);
	if (hold.state != GOV_HOLD_OPEN)
		return false;
	is_open = gov_hold_present_state(&hold) == GOV_HOLD_OPEN;
	if (!gov_hold_end(&hold, is_open ? GOV_HOLD_RELEASED : GOV_HOLD_EXPIRED))
		gov_error_cache_full();
	return is_open;
}

/* Nothing is held for longer while an entity of the resolved set is blocked. */
static void
refuse_blocked(const GovHold *hold)
{
	GovArguments arguments;
	GovAmounts *held;
	GovRequest	request;
	GovResolution *resolution;
	GovDecision decision;

	gov_hold_arguments(hold, &arguments);
	held = gov_hold_amounts(hold);
	for (int i = 0; i < held->count; i++)
		held->items[i].amount = 0;
	arguments.amounts = held;
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
	gov_hold_lock("gov_extend()", id, &hold);
	if (gov_hold_present_state(&hold) != GOV_HOLD_OPEN)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 gov_hold_errmsg_ended(&hold),
				 errhint("Make a new hold with gov_reserve.")));
	refuse_blocked(&hold);
	expires_at = add_ttl(gov_clock(), ttl);
	gov_hold_row_extend(&hold, expires_at);
	return expires_at;
}
