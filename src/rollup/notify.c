/*
 * notify.c
 *		Tells whoever listens of the alerts that a transaction has raised.
 *
 * PURPOSE
 *		The rows of gov_alerts are the truth, and a notification is a courtesy.
 *		PostgreSQL fails the COMMIT of whoever notifies when the server's one
 *		queue is full, and any login can fill it: LISTEN, stay in a transaction,
 *		and let others NOTIFY.  No use may be lost to that.  So while the queue
 *		is nearly full alerts are not sent but counted, and gov_stats and the log
 *		say so.
 *
 * PROTOCOL
 *		Ids are noted while a transaction runs, and sent when it is about to
 *		commit.  First the lock is taken that NOTIFY itself takes at that point and
 *		keeps to the end: so nobody can fill the queue between our look at it and
 *		our commit.  It is the last thing that a transaction waits for, with or
 *		without us.  Whether the ids fit is judged as if each took the most bytes.
 *
 * MARGIN
 *		Past three quarters of the queue (8 GB; since PostgreSQL 17
 *		max_notify_queue_pages) the rest is left to others, and to what the same
 *		transaction notifies of itself, which comes after us.
 *
 * INVARIANTS
 *		The list is in order of nesting: an abort of a subtransaction cuts its
 *		tail off.
 *
 * FAILURE
 *		An error, such as a lock_timeout, fails the transaction, which was about
 *		to commit.  A dropped notification stays counted if it fails later.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/async.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "storage/lmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/fault.h"
#include "base/shmem.h"
#include "rollup/notify.h"

#define GOV_ALERT_CHANNEL		"governance_alerts"
#define GOV_PAYLOAD_MAX			7999	/* bytes that NOTIFY takes */
#define GOV_ALERT_ID_MAX		21	/* bytes of an id and what separates it */
#define GOV_IDS_PER_PAGE		(BLCKSZ / 2 / GOV_ALERT_ID_MAX)
#define GOV_QUEUE_SHARE			0.75
#define GOV_TELL_INTERVAL_MS	60000

typedef struct GovNotedAlert
{
	int64		id;
	int			level;			/* of the (sub)transaction */
} GovNotedAlert;

static GovNotedAlert *noted = NULL;
static int	nnoted = 0;
static int	capacity = 0;

/* Note alerts that are to be sent if the transaction commits. */
void
gov_notify_alerts(const int64 *ids, int nids)
{
	int			level = GetCurrentTransactionNestLevel();

	if (nnoted + nids > capacity)
	{
		int			wanted = Max(2 * capacity, nnoted + nids);

		GOV_FAULT(GOV_FAULT_MEMORY);
		noted = noted == NULL ?
			MemoryContextAllocHuge(TopMemoryContext, sizeof(GovNotedAlert) * wanted) :
			repalloc_huge(noted, sizeof(GovNotedAlert) * wanted);
		capacity = wanted;
	}
	for (int i = 0; i < nids; i++)
		noted[nnoted++] = (GovNotedAlert) {ids[i], level};
}

bool
gov_notify_is_pending(void)
{
	return nnoted > 0;
}

/* A subtransaction has committed: what it noted is now its parent's. */
void
gov_notify_merge(int level)
{
	for (int i = nnoted - 1; i >= 0 && noted[i].level >= level; i--)
		noted[i].level = level - 1;
}

/* A (sub)transaction has ended or aborted; level 0 is all of it. */
void
gov_notify_abort(int level)
{
	while (nnoted > 0 && noted[nnoted - 1].level >= level)
		nnoted--;
	if (level > 0 || noted == NULL)
		return;
	pfree(noted);
	noted = NULL;
	capacity = 0;
}

/* Do so many ids fit into the queue, with some room left for others? */
static bool
has_room(int nids)
{
	double		usage = DatumGetFloat8(DirectFunctionCall1(pg_notification_queue_usage, (Datum) 0));
	double		pages = nids / GOV_IDS_PER_PAGE + 2;

	return !GOV_FAULT_IS_DUE(GOV_FAULT_NOTIFY) &&
		usage + pages / max_notify_queue_pages < GOV_QUEUE_SHARE;
}

/*
 * Is the full queue to be logged now?  Once a minute, whichever session meets
 * it.
 */
static bool
is_to_be_logged(void)
{
	TimestampTz now = GetCurrentTimestamp();
	uint64		told_at = pg_atomic_read_u64(&gov_shared->untold_logged_at);

	/* the clock may have been set back */
	return ((TimestampTz) told_at > now ||
			TimestampDifferenceExceeds((TimestampTz) told_at, now, GOV_TELL_INTERVAL_MS)) &&
		pg_atomic_compare_exchange_u64(&gov_shared->untold_logged_at, &told_at, (uint64) now);
}

static void
count_untold(void)
{
	if (!gov_shmem_is_available())
		return;
	pg_atomic_fetch_add_u64(&gov_shared->alerts_untold, nnoted);
	if (is_to_be_logged())
		ereport(LOG,
				(errmsg("the NOTIFY queue is nearly full, and alerts of governance are not told"),
				 errdetail("They are in gov_alerts all the same."),
				 errhint("End the transaction of the session that listens and does not read: see pg_stat_activity.")));
}

/* Send the ids, in one notification unless that would be too long. */
static void
send_notification(void)
{
	StringInfoData payload;

	initStringInfo(&payload);
	for (int i = 0; i < nnoted; i++)
	{
		appendStringInfo(&payload, "%s" INT64_FORMAT,
						 payload.len == 0 ? "{\"alertIds\": [" : ", ", noted[i].id);
		if (i + 1 < nnoted && payload.len + GOV_ALERT_ID_MAX + 2 < GOV_PAYLOAD_MAX)
			continue;
		appendStringInfoString(&payload, "]}");
		Async_Notify(GOV_ALERT_CHANNEL, payload.data);
		resetStringInfo(&payload);
	}
	pfree(payload.data);
}

/* The transaction is about to commit: send its alerts, or count them. */
void
gov_notify_before_commit(void)
{
	if (nnoted == 0)
		return;
	GOV_FAULT(GOV_FAULT_MEMORY);
	LockSharedObject(DatabaseRelationId, InvalidOid, 0, AccessExclusiveLock);
	if (has_room(nnoted))
		send_notification();
	else
	{
		UnlockSharedObject(DatabaseRelationId, InvalidOid, 0, AccessExclusiveLock);
		count_untold();
	}
	nnoted = 0;
}
