/*
 * write.c
 *		What the writing calls have in common.
 *
 * FAILURE
 *		25006 in a read-only transaction or on a standby, 55000 when the
 *		library is not preloaded, 53400 when the cache is full, 23505 for a key
 *		that stands for another call, 22023 for a time too far ahead.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lmgr.h"

#include "base/errors.h"
#include "base/shmem.h"
#include "base/worker_slots.h"
#include "cache/pending.h"
#include "call/hold_expire.h"
#include "call/write.h"
#include "gate/denied.h"
#include "gate/hold_overdue.h"
#include "pure/bytes.h"

/* Begin a writing call; raises where it may not write. */
void
gov_write_begin(const char *call)
{
	PreventCommandIfReadOnly(call);
	PreventCommandIfParallelMode(call);
	PreventCommandDuringRecovery(call);
	if (!gov_shmem_is_available())
		gov_error_not_preloaded();
	gov_pending_note_write();
}

/*
 * Lock a table that a row will be written to, before anything else.  A load
 * locks the table's indexes, so to lock the table after it could deadlock with
 * REINDEX; and what is charged should not stand in memory while a call waits.
 */
void
gov_write_lock(Oid table)
{
	LockRelationOid(table, RowExclusiveLock);
}

pg_noreturn static void
raise_another_call(text *key)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("idempotency key \"%s\" was used for another call",
					gov_error_shown_bytes(VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key))),
			 errdetail("The call, capability, amount, entities or dimensions differ."),
			 errhint("Use a new key for each use.")));
}

/*
 * Raise unless the call that has the key, which made an event or a hold, is the same
 * as this one.  Where nobody knows it any more, because somebody it named was
 * forgotten, it counts as the same.
 */
void
gov_write_require_same(text *key, bytea *hash, bool makes_hold, const GovKeyHolder *holder)
{
	if (holder->is_hold != makes_hold ||
		(holder->request_hash != NULL && !gov_bytes_same(holder->request_hash, hash)))
		raise_another_call(key);
}

/*
 * Has the same call been made before under this key?  Then the holder says what it
 * made.  Another call under the key is an error.  Null is no key.
 */
bool
gov_write_find_duplicate(const char *owner, text *key, bytea *hash, bool makes_hold,
						 GovKeyHolder *holder)
{
	GovKey		sought = {owner, key};

	if (key == NULL || !gov_key_find(&sought, holder))
		return false;
	gov_write_require_same(key, hash, makes_hold, holder);
	return true;
}

static void
raise_too_far_ahead(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"occurred_at\" is in the future"),
			 errdetail("It may be at most %d seconds ahead of the server's clock.",
					   GOV_AHEAD_MAX_S),
			 errhint("Leave it out for an event of now.")));
}

/* Raise what the gate cannot do, or has found wrong with the request. */
void
gov_write_raise(GovGateStatus status, const GovRequest *request, const GovDecision *decision)
{
	if (status == GOV_GATE_CACHE_FULL)
		gov_error_cache_full();
	if (status == GOV_GATE_TOO_FAR_AHEAD)
		raise_too_far_ahead();
	gov_gate_raise(status, request, decision);
}

/*
 * Resolve, decide and charge.  A call is not denied because of holds past their
 * time: these are expired first.  The worker does that best, because what it gives
 * back is everybody's at once.  But the worker does not see holds that this
 * transaction has made, and there may be no worker: then the call expires them
 * itself.
 */
GovGateStatus
gov_write_try_gate(const GovRequest *request, GovUse use, bool mends,
				   GovResolution **resolution, GovDecision *decision)
{
	const char *owner = request->owner.owner;
	bool		has_asked_worker = false;
	bool		has_expired_all = false;

	for (;;)
	{
		GovGateStatus status = gov_gate_try(request, use, mends, resolution, decision);
		TimestampTz now;

		if (status != GOV_GATE_ANSWERED || use == GOV_USE_RECORD || decision->is_granted)
			return status;
		now = (*resolution)->now;
		if (has_expired_all || !gov_hold_overdue_may_deny(*resolution, decision) ||
			!gov_hold_overdue_exists(owner, now))
			break;
		if (!has_asked_worker)
		{
			has_asked_worker = true;
			if (gov_worker_sweep())
				continue;
		}
		has_expired_all = gov_hold_expire_owners(owner, now) == 0;
	}
	gov_denied_note(request, false, *resolution, decision);
	return GOV_GATE_ANSWERED;
}

/* The same; what the gate cannot do is raised as an error. */
void
gov_write_gate(const GovRequest *request, GovUse use, GovResolution **resolution,
			   GovDecision *decision)
{
	gov_write_raise(gov_write_try_gate(request, use, true, resolution, decision), request, decision);
}

/*
 * Answer a call whose key was used before: it was granted then, and the
 * budgets are shown as they are now.
 */
void
gov_write_look_again(const GovArguments *arguments, GovResolution **resolution,
					 GovDecision *decision)
{
	GovRequest	request;

	gov_request_init(&request, arguments, false);
	for (int m = 0; m < request.nmeters; m++)
		request.meters[m].amount = 0;
	if (gov_gate(&request, GOV_USE_LOOK, true, resolution, decision) != GOV_GATE_ANSWERED)
		gov_error_cache_full();
	decision->is_granted = true;
	decision->denial = GOV_DENIAL_NONE;
	decision->denied = -1;
	decision->has_retry_at = false;
}
