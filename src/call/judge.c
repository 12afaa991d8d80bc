/*
 * judge.c
 *		Judges one item of a batch: what is wrong with it is said, and not raised.
 *
 * PURPOSE
 *		Each item of a batch is judged alone, so an error in one must not end the
 *		others.  To run each in a subtransaction of its own would cost as much as
 *		the use itself, and more than 64 of them in a transaction overflow what
 *		snapshots list: then every session of the server looks transactions up on
 *		disk.  So there is none of an item's own:
 *
 *		- What an item says is read by code that only computes, and an error of that
 *		  is caught where it is raised (attempt.c).
 *		- What the gate finds wrong with it (too far ahead, a count out of range,
 *		  ungoverned) the gate returns before it has charged anything.
 *		- What the gate would have to read first, or to compute, may raise an error
 *		  about what the item names: more budgets than one entity may have, a chain
 *		  that comes back, a window that cannot be computed.  That is rare, because
 *		  all that the batch names was read before (gov_judge_preload()).  There the
 *		  gate stops, with nothing charged, and a look is made in a subtransaction,
 *		  which writes nothing, gets no transaction id, and so is in no snapshot.
 *		  Whatever is in the way the look reads, or says why not.
 *
 * LOCKING
 *		The caller has the ledger locked, and holds no stripe.
 *
 * RACES ACCEPTED
 *		If somebody else makes an entity unreadable between the look and the charge,
 *		the error is raised and ends the call, as does one while a row is written.
 *
 * FAILURE
 *		Raises what is not about the item: no memory, a full cache, a cancelled
 *		query, a serialization failure.
 */
#include "postgres.h"

#include "base/attempt.h"
#include "base/errors.h"
#include "cache/preload.h"
#include "cache/types.h"
#include "call/judge.h"
#include "call/write.h"

/* Is an error that computing has raised about the item, rather than about the server? */
static bool
is_of_the_item(int sqlerrcode)
{
	int			category = ERRCODE_TO_CATEGORY(sqlerrcode);

	return category == ERRCODE_DATA_EXCEPTION ||
		category == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION ||
		sqlerrcode == ERRCODE_UNDEFINED_OBJECT ||
		sqlerrcode == ERRCODE_PROGRAM_LIMIT_EXCEEDED ||
		sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE || /* for its owner */
		sqlerrcode == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE ||	/* its hold */
		sqlerrcode == GOV_ERRCODE_UNGOVERNED ||
		sqlerrcode == GOV_ERRCODE_FROZEN;
}

/* And one that reading what it names has raised, about that? */
static bool
is_of_what_it_names(int sqlerrcode)
{
	int			category = ERRCODE_TO_CATEGORY(sqlerrcode);

	return category == ERRCODE_DATA_EXCEPTION ||
		category == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION ||
		sqlerrcode == ERRCODE_PROGRAM_LIMIT_EXCEEDED;
}

/* What an error says of the item; NULL for none.  Any other error is raised again. */
static char *
message_of(ErrorData *error, bool (*is_ours) (int sqlerrcode))
{
	if (error == NULL)
		return NULL;
	if (!is_ours(error->sqlerrcode))
		ReThrowError(error);
	return error->message;
}

/* Run a body that only computes; NULL, or what is wrong with the item. */
char *
gov_judge_compute(void (*body) (void *arg), void *arg)
{
	return message_of(gov_attempt_to_compute(body, arg), is_of_the_item);
}

/* A request that the gate did not answer. */
typedef struct GovUnanswered
{
	GovGateStatus status;
	const GovRequest *request;
	const GovDecision *decision;
} GovUnanswered;

static void
raise_unanswered(void *arg)
{
	const GovUnanswered *unanswered = arg;

	gov_write_raise(unanswered->status, unanswered->request, unanswered->decision);
}

/* What the gate has found wrong with a request; NULL if it was answered. */
static char *
wrong_with(GovGateStatus status, const GovRequest *request, const GovDecision *decision)
{
	GovUnanswered unanswered = {status, request, decision};

	if (likely(status == GOV_GATE_ANSWERED))
		return NULL;
	return gov_judge_compute(raise_unanswered, &unanswered);
}

/*
 * The same request, for an amount of 0.  It sees what items before this one have
 * charged, whose rows are written at the end.  Should it be answered from the tables
 * all the same, the counters that a hold gives back to are not asked for.
 */
typedef struct GovLook
{
	GovRequest	request;
	GovMeter	meter;
} GovLook;

static void
init_look(GovLook *look, const GovRequest *request)
{
	Assert(request->nmeters == 1);
	look->request = *request;
	look->meter = request->meters[0];
	look->meter.amount = 0;
	look->request.meters = &look->meter;
	look->request.nheld = 0;
	look->request.has_unwritten = true;
}

static void
look(void *arg)
{
	GovResolution *resolution;
	GovDecision decision;

	(void) gov_gate(arg, GOV_USE_LOOK, true, &resolution, &decision);
}

/* Have read what a request needs; NULL, or what is wrong with that. */
static pg_noinline char *
make_ready(const GovRequest *request)
{
	GovLook		of_nothing;
	char	   *wrong;

	init_look(&of_nothing, request);
	wrong = message_of(gov_attempt(look, &of_nothing.request), is_of_what_it_names);
	gov_types_refresh();		/* an undone subtransaction forgets its own
								 * changes */
	return wrong;
}

/*
 * Decide on a use and charge it; the caller writes its row.  NULL, or what is wrong
 * with it: then nothing is charged.
 */
char *
gov_judge_use(GovPrepared *prepared, GovUse use, GovRecorded *recorded, GovDecision *decision)
{
	GovGateStatus status = gov_record_charge(prepared, use, false, recorded, decision);

	if (unlikely(status == GOV_GATE_UNREADY))
	{
		char	   *wrong = make_ready(&prepared->request);

		if (wrong != NULL)
			return wrong;
		status = gov_record_charge(prepared, use, true, recorded, decision);
	}
	return wrong_with(status, &prepared->request, decision);
}

/*
 * Answer a use whose key was used before: it was granted then, and the decision says
 * what is left now.  NULL, or what is wrong.
 */
char *
gov_judge_again(const GovRequest *request, GovDecision *decision)
{
	GovLook		of_nothing;
	GovResolution *resolution;
	GovGateStatus status;

	init_look(&of_nothing, request);
	status = gov_gate_try(&of_nothing.request, GOV_USE_LOOK, false, &resolution, decision);
	if (status == GOV_GATE_UNREADY)
	{
		char	   *wrong = make_ready(request);

		if (wrong != NULL)
			return wrong;
		status = gov_gate_try(&of_nothing.request, GOV_USE_LOOK, true, &resolution, decision);
	}
	decision->is_granted = true;
	decision->denial = GOV_DENIAL_NONE;
	decision->has_retry_at = false;
	return wrong_with(status, request, decision);
}

/* ---------------------------------------------------------------- what all of them need */

/* Ids of one owner. */
typedef struct GovIds
{
	const GovOwnerKey *owner;
	GovLoaded  *items;
	int			count;
} GovIds;

static void
load_ids(void *arg)
{
	const GovIds *ids = arg;

	gov_preload(ids->owner, ids->items, ids->count);
}

/*
 * Load those of some ids that are not in memory.  What is wrong with one of them is
 * found by the item that names it.
 */
static void
preload(GovIds *ids)
{
	ids->count = gov_preload_missing(ids->owner, ids->items, ids->count);
	if (ids->count <= 1)
		return;
	(void) message_of(gov_attempt(load_ids, ids), is_of_what_it_names);
	gov_types_refresh();
}

static int
compare_owners(const void *left, const void *right)
{
	const GovOwnerKey *a = &(*(const GovRequest *const *) left)->owner;
	const GovOwnerKey *b = &(*(const GovRequest *const *) right)->owner;

	return gov_bytes_compare(a->owner, a->owner_length, b->owner, b->owner_length);
}

static void
add_names(GovIds *ids, const GovRequest *request)
{
	for (int i = 0; i < request->nnames; i++)
	{
		const GovName *name = &request->names[i];

		if (name->id_length == 0 || name->id_length > GOV_ID_MAX_BYTES)
			continue;			/* it has a rule, and is no id */
		ids->items[ids->count++] = (GovLoaded) {.id = name->id, .id_length = name->id_length};
	}
	for (int i = 0; i < request->nheld; i++)
	{
		const GovName *name = &request->held[i].entity;

		ids->items[ids->count++] = (GovLoaded) {.id = name->id, .id_length = name->id_length};
	}
}

/*
 * Load at once what some requests name, owner by owner; they are put into order by
 * their owners.  A load costs its statements, whether of one entity or of a thousand.
 */
void
gov_judge_preload(const GovRequest **requests, int count)
{
	GovIds		ids = {0};
	Size		most = 0;

	qsort(requests, count, sizeof(*requests), compare_owners);
	for (int i = 0; i < count; i++)
		most += requests[i]->nnames + requests[i]->nheld;
	ids.items = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(GovLoaded) * (most + 1));
	for (int i = 0; i < count; i++)
	{
		ids.owner = &requests[i]->owner;
		add_names(&ids, requests[i]);
		if (i + 1 < count && compare_owners(&requests[i], &requests[i + 1]) == 0)
			continue;
		preload(&ids);
		ids.count = 0;
	}
	pfree(ids.items);
}
