/*
 * denied.c
 *		Counts denials under what denies.
 *
 * PURPOSE
 *		A call that is denied is counted once under each budget that does not
 *		allow it, in its present window, with what the call wanted of that.  Where an entity is blocked it is counted
 *		under that entity alone, where a name stands for no entity and must under
 *		the key of that dimension, and where nothing governs under each dimension key
 *		that could have named an entity; both by day, in UTC.  What a dimension
 *		says is not kept unless it is an entity: anybody may put anything there,
 *		and the counts stay as few as the catalog makes them.
 *
 * LOCKING
 *		The caller holds no stripe.  So entities cannot be read here; ids come from
 *		the request, and that of a blocked entity from the attempt, which has
 *		copied it.
 *
 * FAILURE
 *		Nothing is raised.  A standby, and an extension that is not updated yet,
 *		have no place for the counts, and say in gov_stats how many that were.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/guc.h"
#include "base/worker_slots.h"
#include "cache/denials.h"
#include "gate/denied.h"

static void
set_text(GovDenied *denied, GovDeniedText which, const char *bytes, uint32 length)
{
	denied->texts[which] = bytes;
	denied->lengths[which] = length;
}

/* What the call is counted with, whatever denies it. */
static void
init_denied(GovDenied *denied, const GovRequest *request, bool is_check,
			const GovResolution *resolution, GovDenial reason)
{
	const char *caller = gov_guc_caller_name();

	memset(denied, 0, sizeof(*denied));
	denied->extension = request->owner.extension;
	denied->owner_hash = request->owner.hash;
	denied->reason = reason;
	denied->is_check = is_check;
	denied->count = 1;
	denied->first_at = denied->last_at = resolution->now;
	set_text(denied, GOV_DENIED_OWNER, request->owner.owner, request->owner.owner_length);
	set_text(denied, GOV_DENIED_CALLER, caller, strlen(caller));
}

/* Which of its meters the call is counted for. */
static void
set_meter(GovDenied *denied, const GovMeter *meter)
{
	denied->amount = meter->amount;
	set_text(denied, GOV_DENIED_CAPABILITY, meter->capability_id, meter->capability_length);
}

/* No window of a budget: the day, in UTC. */
static void
set_day(GovDenied *denied)
{
	TimestampTz day = denied->last_at - denied->last_at % USECS_PER_DAY;

	if (day > denied->last_at)
		day -= USECS_PER_DAY;	/* before 2000 */
	denied->window.start = day;
	denied->window.end = day + USECS_PER_DAY;
}

/*
 * Who was involved: the entity itself if the call names it, or one below it that
 * it does; nobody for -1.
 */
static void
set_last_entity(GovDenied *denied, const GovResolution *resolution, int entity)
{
	const GovName *name;

	set_text(denied, GOV_DENIED_LAST_ENTITY, NULL, 0);
	if (entity < 0)
		return;

	/* each named one is followed by those above it that are not there yet */
	while ((name = resolution->entities[entity].name) == NULL)
		entity--;
	set_text(denied, GOV_DENIED_LAST_ENTITY, name->id, name->id_length);
}

/* Nobody could tell whose a budget is that no row has; see first_use.c. */
static void
set_unused_entity(GovDenied *denied, const GovResolution *resolution, const GovResolvedBudget *budget)
{
	const GovChars *id;

	set_text(denied, GOV_DENIED_ENTITY, NULL, 0);
	if (!budget->wants_row)
		return;
	id = gov_entity_id(resolution->entities[budget->entity].entity);
	set_text(denied, GOV_DENIED_ENTITY, id->bytes, id->length);
}

/* Which entity a name stands for, if nothing before it has named that; or -1. */
static int
named_entity(const GovResolution *resolution, const GovName *name)
{
	for (int i = 0; i < resolution->nchains; i++)
	{
		if (resolution->entities[resolution->chains[i]].name == name)
			return resolution->chains[i];
	}
	return -1;
}

/* Count it; a worker is called for once in a while, if there is none. */
static void
note_denied(const GovDenied *denied)
{
	if (gov_denials_note(denied))
		gov_worker_wanted();
}

/* The window that denials of a budget are counted in: one that slides would be another each time. */
static GovWindow
window_of(const GovResolvedBudget *budget)
{
	bool		slides = TIMESTAMP_IS_NOEND(budget->window.end) && !TIMESTAMP_IS_NOBEGIN(budget->window.start);

	return slides ? budget->charged_window : budget->window;
}

static void
note_budgets(GovDenied *denied, const GovRequest *request, const GovResolution *resolution)
{
	denied->has_budget = true;
	for (int i = 0; i < resolution->nbudgets; i++)
	{
		const GovResolvedBudget *budget = &resolution->budgets[i];

		if (budget->allows)
			continue;
		set_meter(denied, &request->meters[resolution->states[i].meter]);
		denied->budget_id = budget->id;
		denied->window = window_of(budget);
		set_unused_entity(denied, resolution, budget);
		set_last_entity(denied, resolution, budget->entity);
		note_denied(denied);
	}
}

static void
note_blocked(GovDenied *denied, const GovResolution *resolution)
{
	set_day(denied);
	set_text(denied, GOV_DENIED_ENTITY, resolution->other_id, resolution->other_id_length);
	set_last_entity(denied, resolution, resolution->blocked);
	note_denied(denied);
}

/* Under each dimension key; under none if there is none. */
static void
note_ungoverned(GovDenied *denied, const GovRequest *request, const GovResolution *resolution)
{
	bool		is_noted = false;

	set_day(denied);
	for (int i = 0; i < request->nnames; i++)
	{
		const GovName *name = &request->names[i];

		if (name->key == NULL)
			continue;
		set_text(denied, GOV_DENIED_DIMENSION, name->key, name->key_length);
		set_last_entity(denied, resolution, named_entity(resolution, name));
		note_denied(denied);
		is_noted = true;
	}
	if (is_noted)
		return;
	if (resolution->nchains > 0)
		set_last_entity(denied, resolution, resolution->chains[0]);
	note_denied(denied);
}

/* Under each dimension key whose value stands for no entity; not under the value. */
static void
note_unknown(GovDenied *denied, const GovResolution *resolution)
{
	set_day(denied);
	for (int i = 0; i < resolution->nunknown; i++)
	{
		const GovUnknown *unknown = &resolution->unknown[i];

		if (unknown->fate != GOV_UNKNOWN_DENIED)
			continue;
		set_text(denied, GOV_DENIED_DIMENSION, unknown->name->key, unknown->name->key_length);
		note_denied(denied);
	}
}

/* Every meter is denied alike, or those that no budget governs. */
static void
note_meters(GovDenied *denied, const GovRequest *request, const GovResolution *resolution,
			const GovDecision *decision)
{
	for (int m = 0; m < request->nmeters; m++)
	{
		set_meter(denied, &request->meters[m]);
		if (decision->denial == GOV_DENIAL_BLOCKED)
			note_blocked(denied, resolution);
		else if (decision->denial == GOV_DENIAL_UNKNOWN_ENTITY)
			note_unknown(denied, resolution);
		else if ((decision->governed & (UINT32_C(1) << m)) == 0)
			note_ungoverned(denied, request, resolution);
	}
}

/* A call is denied, for good. */
void
gov_denied_note(const GovRequest *request, bool is_check,
				const GovResolution *resolution, const GovDecision *decision)
{
	GovDenied	denied;

	Assert(!decision->is_granted);
	if (gov_shared == NULL)
		return;
	Assert(!LWLockHeldByMe(&gov_stripe(request->owner.stripe)->lock));
	pg_atomic_fetch_add_u64(&gov_stripe(request->owner.stripe)->denials, 1);
	if (RecoveryInProgress() || !OidIsValid(gov_catalog()->denials))
	{
		gov_denials_count_unkept(1);
		return;
	}
	if (decision->denial == GOV_DENIAL_FROZEN)
		return;					/* no budget and no entity denies it */
	init_denied(&denied, request, is_check, resolution, decision->denial);
	if (decision->denial == GOV_DENIAL_EXCEEDING_LIMIT || decision->denial == GOV_DENIAL_BUDGET_EXCEEDED)
		note_budgets(&denied, request, resolution);
	else
		note_meters(&denied, request, resolution, decision);
}
