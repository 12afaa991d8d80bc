/*
 * hold_expire.c
 *		Ends holds, and those whose time has passed.
 *
 * PURPOSE
 *		To expire a hold is a change of its row like any other.  The worker does
 *		it, at most a second after the hold's time, or a call that would be denied
 *		because of such holds does it in its own transaction.  What that gives
 *		back is available to the transaction at once, and to others when it
 *		commits.
 *
 * PROTOCOL
 *		Lock the row, then pin the counters (the gate's charge does), then
 *		change the row: a load that counts the hold finds its counters pinned,
 *		so that nothing is subtracted twice.
 *
 * FAILURE
 *		A hold that cannot be expired stays open, and the others are expired.  The
 *		reason may be that its budgets do not fit into the cache, that a window
 *		cannot be computed, that somebody keeps its owner's calls out (barrier.c),
 *		for which nobody waits here, or that somebody has changed its amount by
 *		hand.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/attempt.h"
#include "base/catalog.h"
#include "base/errors.h"
#include "cache/barrier.h"
#include "cache/preload.h"
#include "call/hold_expire.h"
#include "gate/gate.h"

#define GOV_EXPIRE_BATCH		60	/* subtransactions that snapshots still
									 * list */
#define GOV_TELL_INTERVAL_MS	60000

/*
 * Have a request take a hold off its budgets.  The hold must outlive the
 * request.
 */
void
gov_hold_give_back(GovRequest *request, const GovHold *hold)
{
	request->held = palloc(sizeof(GovHeld) * Max(hold->nbudgets, 1));
	request->nheld = hold->nbudgets;
	for (int i = 0; i < hold->nbudgets; i++)
	{
		GovHeld    *held = &request->held[i];

		memset(held, 0, sizeof(*held));
		held->budget_id = hold->budgets[i].id;
		held->amount = hold->budgets[i].amount;
		held->entity.id = hold->budgets[i].entity_id;
		held->entity.id_length = strlen(held->entity.id);
	}
}

/*
 * Take a locked, open hold off its budgets, whose row is then changed; false if the
 * cache is full.  A caller who may not do that, because the owner is frozen, was
 * refused before.
 */
bool
gov_hold_take_off(const GovHold *hold)
{
	GovRequest	request = {.is_of_engine = true};
	GovResolution *resolution;

	if (hold->has_bad_amount)
		gov_error_stored_amount();
	gov_node_owner_key_init(&request.owner, MyDatabaseId, gov_catalog()->extension,
							hold->owner, strlen(hold->owner));
	gov_hold_give_back(&request, hold);
	return gov_gate(&request, GOV_USE_RECORD, false, &resolution, NULL) == GOV_GATE_ANSWERED;
}

/* End a locked, open hold without usage; false if the cache is full. */
bool
gov_hold_end(const GovHold *hold, GovHoldState state)
{
	if (!gov_hold_take_off(hold))
		return false;
	gov_hold_row_close(hold, state, 0, 0);
	return true;
}

/*
 * Lock the tables that expiring works on, without waiting, so that the worker
 * is in nobody's way; false if a lock cannot be had.
 */
bool
gov_hold_expire_try_lock(void)
{
	const GovCatalog *catalog = gov_catalog();

	return ConditionalLockRelationOid(catalog->reservations, RowExclusiveLock) &&
		ConditionalLockRelationOid(catalog->entities, AccessShareLock) &&
		ConditionalLockRelationOid(catalog->assignments, AccessShareLock) &&
		ConditionalLockRelationOid(catalog->alert_policies, AccessShareLock) &&
		ConditionalLockRelationOid(catalog->events, AccessShareLock) &&
		ConditionalLockRelationOid(catalog->usage, AccessShareLock) &&
		ConditionalLockRelationOid(catalog->rollup_state, AccessShareLock);
}

/* A batch of locked holds. */
typedef struct GovHolds
{
	const GovHold *items;
	int			count;
} GovHolds;

/* One hold, and whether it could be expired. */
typedef struct GovExpiry
{
	const GovHold *hold;
	bool		is_done;
} GovExpiry;

static void
expire_one(void *arg)
{
	GovExpiry  *expiry = arg;
	GovOwnerKey owner;

	gov_node_owner_key_init(&owner, MyDatabaseId, gov_catalog()->extension,
							expiry->hold->owner, strlen(expiry->hold->owner));
	expiry->is_done = gov_barrier_pass(&owner, false) &&
		gov_hold_end(expiry->hold, GOV_HOLD_EXPIRED);
}

/*
 * Is an error the server's or its administrator's doing, and not the hold's?
 */
static bool
is_no_holds_fault(int sqlerrcode)
{
	int			category = ERRCODE_TO_CATEGORY(sqlerrcode);

	return category == ERRCODE_OPERATOR_INTERVENTION ||
		category == ERRCODE_INSUFFICIENT_RESOURCES;
}

/* Log that a hold stays open, but not at every try. */
static void
tell_of_failure(const GovHold *hold, const char *message)
{
	static TimestampTz told_at = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (!TimestampDifferenceExceeds(told_at, now, GOV_TELL_INTERVAL_MS))
		return;
	told_at = now;
	ereport(LOG,
			(errmsg("could not expire hold \"%s\": %s",
					DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&hold->id))),
					message)));
}

/* Load at once the entities that one owner's holds are held against. */
static void
preload_held(const GovHold *holds, int count, const char *owner)
{
	GovOwnerKey key;
	GovLoaded  *ids;
	int			nids = 0;

	for (int i = 0; i < count; i++)
		nids += holds[i].nbudgets;
	ids = palloc0(sizeof(GovLoaded) * Max(nids, 1));
	nids = 0;
	for (int i = 0; i < count; i++)
	{
		for (int b = 0; b < holds[i].nbudgets && strcmp(holds[i].owner, owner) == 0; b++)
		{
			ids[nids].id = holds[i].budgets[b].entity_id;
			ids[nids].id_length = strlen(ids[nids].id);
			nids++;
		}
	}
	gov_node_owner_key_init(&key, MyDatabaseId, gov_catalog()->extension, owner, strlen(owner));
	gov_preload(&key, ids, nids);
	pfree(ids);
}

static void
preload_owners(void *arg)
{
	const GovHolds *holds = arg;

	for (int i = 0; i < holds->count; i++)
	{
		bool		is_first = true;

		for (int j = 0; j < i && is_first; j++)
			is_first = strcmp(holds->items[j].owner, holds->items[i].owner) != 0;
		if (is_first)
			preload_held(holds->items + i, holds->count - i, holds->items[i].owner);
	}
}

/*
 * Expire locked holds, each in its own subtransaction, so that one that fails
 * does not stop the others.
 */
static int
expire_each(const GovHold *holds, int count)
{
	GovHolds	batch = {holds, count};
	int			done = 0;

	/* what is wrong with one of them each finds for itself */
	(void) gov_attempt(preload_owners, &batch);
	for (int i = 0; i < count; i++)
	{
		GovExpiry	expiry = {.hold = &holds[i]};
		ErrorData  *error = gov_attempt(expire_one, &expiry);

		if (error != NULL && is_no_holds_fault(error->sqlerrcode))
			ReThrowError(error);
		if (error != NULL)
			tell_of_failure(&holds[i], error->message);
		done += error == NULL && expiry.is_done ? 1 : 0;
	}
	return done;
}

/*
 * Expire some open holds of an owner that are past their time; returns how
 * many.
 */
int
gov_hold_expire_owners(const char *owner, TimestampTz now)
{
	GovHold    *holds;
	int			count;

	/* the call has locks of this table's indexes by now: it must not wait */
	if (!ConditionalLockRelationOid(gov_catalog()->reservations, RowExclusiveLock))
		return 0;
	count = gov_hold_row_lock_owners_overdue(owner, now, GOV_EXPIRE_BATCH, &holds);
	return expire_each(holds, count);
}

/*
 * Expire the next open holds of any owner past their time, beginning after
 * *after, which is moved on: holds that cannot be expired do not stand in the
 * way of the others.  False after the last.
 */
bool
gov_hold_expire_next(TimestampTz *after, TimestampTz now, uint64 *ndone)
{
	GovHold    *holds;
	int			count = gov_hold_row_lock_overdue(*after, now, GOV_EXPIRE_BATCH, &holds);
	int			done = expire_each(holds, count);

	*ndone += done;
	if (count < GOV_EXPIRE_BATCH)
		return false;

	/* there may be more with the time of the last; but not for ever the same */
	*after = holds[count - 1].expires_at;
	if (done == count || holds[0].expires_at < *after)
		(*after)--;
	return true;
}
