/*
 * expire.c
 *		Ends holds, and those whose time has passed.
 *
 * PURPOSE
 *		Expiring is a change of a row like any other, in whoever's transaction
 *		it happens: the worker's, a second at most after the time, or that of a
 *		call which would be denied because of such holds.  What it gives back
 *		is this transaction's at once and others' from its commit.
 *
 * PROTOCOL
 *		Lock the row, then pin the counters (the gate's charge does), then
 *		change the row: a load that counts the hold finds its counters pinned,
 *		so that nothing is subtracted twice.
 *
 * FAILURE
 *		A hold whose budgets do not fit into the cache stays open.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lmgr.h"

#include "catalog.h"
#include "expire.h"
#include "gate.h"

/* Let a request take a hold off its budgets.  The hold must outlive it. */
void
gov_request_end_hold(GovRequest *request, const GovHold *hold)
{
	request->held = palloc(sizeof(GovHeld) * Max(hold->nbudgets, 1));
	request->nheld = hold->nbudgets;
	request->held_amount = hold->amount;
	for (int i = 0; i < hold->nbudgets; i++)
	{
		GovHeld    *held = &request->held[i];

		memset(held, 0, sizeof(*held));
		held->budget_id = hold->budgets[i].id;
		held->entity.id = hold->budgets[i].entity_id;
		held->entity.id_length = strlen(held->entity.id);
	}
}

/* End a locked, open hold without usage; false if the cache is full. */
bool
gov_hold_end(const GovHold *hold, GovHoldState state)
{
	GovRequest	request = {0};
	GovResolution *resolution;

	gov_owner_key_init(&request.owner, MyDatabaseId, gov_catalog()->extension,
					   hold->owner, strlen(hold->owner));
	gov_request_end_hold(&request, hold);
	if (gov_gate(&request, GOV_USE_RECORD, false, &resolution, NULL) != GOV_GATE_ANSWERED)
		return false;
	gov_hold_close(hold, state, 0, 0);
	return true;
}

/*
 * Lock the tables that expiring works on, without waiting: for the worker, who
 * is to be in nobody's way.
 */
bool
gov_expire_try_lock(void)
{
	const GovCatalog *catalog = gov_catalog();

	return ConditionalLockRelationOid(catalog->reservations, RowExclusiveLock) &&
		ConditionalLockRelationOid(catalog->entities, AccessShareLock) &&
		ConditionalLockRelationOid(catalog->assignments, AccessShareLock) &&
		ConditionalLockRelationOid(catalog->events, AccessShareLock) &&
		ConditionalLockRelationOid(catalog->usage, AccessShareLock) &&
		ConditionalLockRelationOid(catalog->rollup_state, AccessShareLock);
}

/* Expire open holds past their time, of one owner or of all; how many? */
int
gov_expire(const char *owner, TimestampTz now, int most)
{
	GovHold    *holds;
	int			count = gov_hold_lock_overdue(owner, now, most, &holds);
	int			done = 0;

	while (done < count && gov_hold_end(&holds[done], GOV_HOLD_EXPIRED))
		done++;
	return done;
}
