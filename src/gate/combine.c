/*
 * combine.c
 *		Budgets for the combinations that a call meets.
 *
 * PURPOSE
 *		A default whose scope names types gives an entity a budget for each
 *		combination with resolved entities of those types.  Nobody makes them
 *		beforehand: a node has those that somebody has used or met.  A call that
 *		meets one which the node does not have says so, and the node is loaded
 *		again with all that the call has met (load_scopes.c).  So a check of a
 *		combination that was never used is answered as any other.
 *
 * LOCKING
 *		As in resolve.c: what looks and copies has the stripe locked, and neither
 *		allocates nor raises.
 *
 * BOUNDS
 *		An entity has at most GOV_BUDGETS_MAX budgets for a capability.  A load
 *		counts those that somebody has committed a use of (load_inherited.c).
 *		Whoever is about to be the first to use one counts those too that others
 *		are using first and have not committed: their counters are pinned.  A
 *		rollback makes room again.  A transaction that has changed the owner's
 *		catalog is judged by its load alone: beside others it may pass the bound
 *		by what it uses first.  That does no harm, because what is used is always
 *		loaded.
 *
 * INVARIANTS
 *		A call is decided only if each entity of its set, unless it is archived,
 *		has a budget for each combination of each of its templates: one by the
 *		default, or an assignment in its place.  A budget by a default with a
 *		scope counts only where its scope is such a combination still.
 */
#include "postgres.h"

#include "cache/load.h"
#include "gate/combine.h"
#include "gate/resolve_walk.h"

/* A combination that is looked for: an entity for each type of a template. */
typedef struct GovSought
{
	GovResolution *resolution;
	const GovEntity *entity;
	const GovTemplate *template;
	const GovText *types;
	uint32		first;			/* budgets for the capability */
	uint32		count;
	const GovChars *ids[GOV_TEMPLATE_TYPES_MAX];
} GovSought;

static bool
is_among(const GovSought *sought, const GovChars *id)
{
	for (uint32 i = 0; i < sought->template->ntypes; i++)
	{
		if (gov_chars_are(sought->ids[i], id->bytes, id->length))
			return true;
	}
	return false;
}

/* Is a budget of the template's name, and its scope the combination?  One by another default is not. */
static bool
is_sought(const GovSought *sought, const GovBudget *budget)
{
	const GovEntity *entity = sought->entity;
	const GovText *scope = gov_budget_scope(entity, budget);
	const GovChars *name = gov_chars(entity, sought->template->name);
	const GovInherited *inherited = gov_budget_inherited(entity, budget);

	if (inherited != NULL && !gov_uuid_is(&inherited->default_id, &sought->template->default_id))
		return false;
	if (gov_budget_more(entity, budget)->nscope != sought->template->ntypes ||
		!gov_chars_are(gov_chars(entity, budget->name), name->bytes, name->length))
		return false;
	for (uint32 i = 0; i < sought->template->ntypes; i++)
	{
		if (!is_among(sought, gov_chars(entity, scope[i])))
			return false;
	}
	return true;
}

static bool
has_budget(const GovSought *sought)
{
	for (uint32 b = sought->first; b < sought->first + sought->count; b++)
	{
		if (is_sought(sought, &sought->entity->budgets[b]))
			return true;
	}
	return false;
}

/* Go through the entities of one type, and for each through those of the types behind it; true if a budget is lacking. */
static bool
lacks_any(GovSought *sought, uint32 type)
{
	const GovResolution *resolution = sought->resolution;
	const GovChars *wanted;

	if (type == sought->template->ntypes)
		return !has_budget(sought);
	wanted = gov_chars(sought->entity, sought->types[type]);
	for (int i = 0; i < resolution->nentities; i++)
	{
		const GovEntity *entity = resolution->entities[i].entity;

		if (!gov_chars_are(gov_chars(entity, entity->type_id), wanted->bytes, wanted->length))
			continue;
		sought->ids[type] = gov_entity_id(entity);
		if (lacks_any(sought, type + 1))
			return true;
	}
	return false;
}

static bool
is_for(const GovEntity *entity, const GovTemplate *template, const GovMeter *meter)
{
	return template->capability_hash == meter->capability_hash &&
		gov_chars_are(gov_chars(entity, template->capability_id), meter->capability_id,
					  meter->capability_length);
}

/*
 * Note whether an entity lacks a budget for a meter that the call meets; these are
 * those that it has.
 */
void
gov_combine_look(GovResolution *resolution, int number, const GovMeter *meter,
				 uint32 first, uint32 count)
{
	GovResolvedEntity *resolved = &resolution->entities[number];
	const GovTemplates *templates = gov_entity_templates(resolved->entity);
	GovSought	sought = {resolution, resolved->entity, .first = first, .count = count};

	for (uint32 i = 0; i < templates->count && !resolved->lacks_scope; i++)
	{
		sought.template = &templates->items[i];
		sought.types = (const GovText *) ((const char *) resolved->entity + sought.template->types);
		resolved->lacks_scope = is_for(resolved->entity, sought.template, meter) && lacks_any(&sought, 0);
	}
	resolution->lacks_scopes |= resolved->lacks_scope;
}

/*
 * Is a budget used, or will it be by this call?  One by a default without scope
 * always counts.
 */
static bool
is_counted(const GovResolution *resolution, int number, uint32 b)
{
	const GovResolvedEntity *resolved = &resolution->entities[number];
	const GovBudget *budget = &resolved->entity->budgets[b];
	const GovSharedCounter *counter = gov_node_counter(resolved->node, b);

	if (!counter->wants_row || gov_budget_more(resolved->entity, budget)->nscope == 0 ||
		pg_atomic_read_u32(&unconstify(GovSharedCounter *, counter)->pins) > 0)
		return true;
	for (int i = 0; i < resolution->nbudgets; i++)
	{
		if (resolution->budgets[i].budget == budget)
			return true;
	}
	return false;
}

/* Does the call use a budget of this entity that nobody has used, and that has a scope? */
static bool
uses_anew(const GovResolution *resolution, int number)
{
	for (int i = 0; i < resolution->nbudgets; i++)
	{
		const GovResolvedBudget *budget = &resolution->budgets[i];

		if (budget->entity == number && budget->wants_row && budget->is_shared &&
			gov_budget_more(resolution->entities[number].entity, budget->budget)->nscope > 0 &&
			pg_atomic_read_u32(&budget->counter->pins) == 0)
			return true;
	}
	return false;
}

/* Would an entity have too many budgets for a meter? */
static bool
is_full(const GovResolution *resolution, int number, const GovMeter *meter)
{
	uint32		first;
	uint32		count;
	int			ncounted = 0;

	gov_entity_budgets_of(resolution->entities[number].entity, meter->capability_id,
						  meter->capability_length, meter->capability_hash, &first, &count);
	for (uint32 b = first; b < first + count && count > GOV_BUDGETS_MAX; b++)
		ncounted += is_counted(resolution, number, b);
	return ncounted > GOV_BUDGETS_MAX;
}

/*
 * The meter for which an entity would have too many budgets by the first uses that
 * the call is about to make, with those that others are making; NULL if there is
 * none.  The entity's id is noted.
 */
const GovMeter *
gov_combine_full_meter(GovResolution *resolution, const GovRequest *request)
{
	for (int number = 0; number < resolution->nentities; number++)
	{
		const GovResolvedEntity *resolved = &resolution->entities[number];

		if (resolved->loaded != NULL || !uses_anew(resolution, number))
			continue;
		for (int m = 0; m < request->nmeters; m++)
		{
			const GovChars *id = gov_entity_id(resolved->entity);

			if (!is_full(resolution, number, &request->meters[m]))
				continue;
			memcpy(resolution->other_id, id->bytes, id->length);
			resolution->other_id_length = id->length;
			return &request->meters[m];
		}
	}
	return NULL;
}

/* Is one of the entities of a scope, all of which were resolved, of this type? */
static bool
scope_has_type(const GovResolution *resolution, const GovEntity *entity, const GovBudget *budget,
			   const GovChars *type)
{
	const GovText *scope = gov_budget_scope(entity, budget);

	for (uint32 i = 0; i < gov_budget_more(entity, budget)->nscope; i++)
	{
		const GovChars *id = gov_chars(entity, scope[i]);
		int			number = gov_resolve_set_find(resolution, id->bytes, id->length,
												  gov_entity_text_hash(id->bytes, id->length));
		const GovEntity *found;

		Assert(number >= 0);
		found = resolution->entities[number].entity;
		if (gov_chars_are(gov_chars(found, found->type_id), type->bytes, type->length))
			return true;
	}
	return false;
}

/*
 * Are the entities in the scope of a budget of the types that its default names?
 * They were when the budget was made, but an entity may be given another type, and
 * what was met as one that a call would create may be created as another one.  An
 * assignment has the scope that its row says.
 */
bool
gov_combine_fits(const GovResolution *resolution, const GovEntity *entity, const GovBudget *budget)
{
	const GovInherited *inherited = gov_budget_inherited(entity, budget);
	const GovTemplates *templates = gov_entity_templates(entity);

	if (inherited == NULL)
		return true;
	for (uint32 i = 0; i < (templates ? templates->count : 0); i++)
	{
		const GovTemplate *template = &templates->items[i];
		const GovText *types = (const GovText *) ((const char *) entity + template->types);
		uint32		nfound = 0;

		if (!gov_uuid_is(&template->default_id, &inherited->default_id))
			continue;
		while (nfound < template->ntypes &&
			   scope_has_type(resolution, entity, budget, gov_chars(entity, types[nfound])))
			nfound++;
		return nfound == template->ntypes;
	}
	return false;
}

/* A string in the copy: its length, its bytes, and a NUL. */
static Size
string_size(const GovChars *chars)
{
	return sizeof(uint16) + chars->length + 1;
}

/* What the copy takes of who was met: id and type of each. */
Size
gov_combine_size(const GovResolution *resolution)
{
	Size		size = 0;

	for (int i = 0; i < resolution->nentities; i++)
	{
		const GovEntity *entity = resolution->entities[i].entity;

		size += string_size(gov_entity_id(entity)) + string_size(gov_chars(entity, entity->type_id));
	}
	return size;
}

static char *
put_string(char *place, const GovChars *chars)
{
	memcpy(place, &chars->length, sizeof(uint16));
	memcpy(place + sizeof(uint16), chars->bytes, chars->length);
	place[sizeof(uint16) + chars->length] = '\0';
	return place + string_size(chars);
}

/* Copy who was met, because others may replace what says so. */
void
gov_combine_copy(GovResolution *resolution)
{
	char	   *place = resolution->copy;

	Assert(gov_combine_size(resolution) <= resolution->copy_capacity);
	for (int i = 0; i < resolution->nentities; i++)
	{
		const GovEntity *entity = resolution->entities[i].entity;

		place = put_string(place, gov_entity_id(entity));
		place = put_string(place, gov_chars(entity, entity->type_id));
	}
}

static const char *
take_string(const char *place, const char **string, uint32 *length)
{
	uint16		taken;

	memcpy(&taken, place, sizeof(uint16));
	*length = taken;
	*string = pnstrdup(place + sizeof(uint16), taken);
	return place + sizeof(uint16) + taken + 1;
}

/* Who was met, from the copy, in the caller's memory. */
GovMet *
gov_combine_met(const GovResolution *resolution)
{
	GovMet	   *met = palloc(sizeof(GovMet));
	const char *place = resolution->copy;

	met->count = resolution->nentities;
	met->items = palloc(sizeof(GovMetEntity) * met->count);
	for (int i = 0; i < met->count; i++)
	{
		GovMetEntity *entity = &met->items[i];

		place = take_string(place, &entity->id, &entity->id_length);
		place = take_string(place, &entity->type, &entity->type_length);
	}
	return met;
}
