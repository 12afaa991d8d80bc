/*
 * hold_locked.c
 *		A hold that a call ends or extends, and what its row says.
 *
 * PURPOSE
 *		Whoever ends or extends a hold enters its owner and locks its row first, so
 *		that one session of several does.  What the row says is then the call's to
 *		go by.
 *
 * TIME
 *		A hold past its time counts as expired, whether or not its row says so
 *		yet.
 *
 * FAILURE
 *		42704 for a hold that does not exist or is of another owner.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/owner.h"
#include "cache/barrier.h"
#include "cache/frozen.h"
#include "call/hold_locked.h"
#include "call/write.h"

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

/* Lock a hold that this session may see. */
void
gov_hold_lock(const char *call, const pg_uuid_t *id, GovHold *hold)
{
	gov_write_begin(call);
	if (id == NULL)
		gov_error_null_argument("reservation_id");
	gov_write_lock(gov_catalog()->reservations);
	gov_hold_enter_owners(id, 1);
	if (!gov_hold_row_lock(id, gov_owner_pin(), hold))
		gov_hold_raise_unknown(id);
	gov_frozen_require_open(hold->owner, strlen(hold->owner));
}

/*
 * The state of a hold: an open one past its time has expired, even if its row
 * does not say so yet.
 */
GovHoldState
gov_hold_present_state(const GovHold *hold)
{
	if (hold->state == GOV_HOLD_OPEN && hold->expires_at <= gov_clock())
		return GOV_HOLD_EXPIRED;
	return hold->state;
}

/* The hold has ended, in whichever way. */
int
gov_hold_errmsg_ended(const GovHold *hold)
{
	const char *id = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&hold->id)));

	switch (gov_hold_present_state(hold))
	{
		case GOV_HOLD_SETTLED:
			return errmsg("hold \"%s\" was settled", id);
		case GOV_HOLD_RELEASED:
			return errmsg("hold \"%s\" was released", id);
		default:
			return errmsg("hold \"%s\" has expired", id);
	}
}

/* The arguments that a hold was made with; amounts are for the caller. */
void
gov_hold_arguments(const GovHold *hold, GovArguments *arguments)
{
	memset(arguments, 0, sizeof(*arguments));
	arguments->owner = cstring_to_text(hold->owner);
	arguments->capability = hold->capability;
	arguments->dimensions = hold->dimensions;
	arguments->entity_ids = hold->entity_ids;
}

/* What a hold holds of each of its capabilities. */
GovAmounts *
gov_hold_amounts(const GovHold *hold)
{
	GovAmounts *held;

	if (hold->amounts != NULL)
		return gov_amounts_read(hold->amounts, false);
	held = palloc0(sizeof(GovAmounts));
	held->count = 1;
	held->items[0] = (GovAmountOf) {.capability = hold->capability, .amount = hold->amount};
	return held;
}
