/*
 * resolve_unknown.c
 *		Names that stand for no entity of the type that their keys speak of.
 *
 * PURPOSE
 *		An entity type may say of its attribution keys that a value which is no
 *		entity of the type is created or denied (types.c).  This finds what a call
 *		would create, and below what, so that the rest of the walk takes it as if
 *		it were there: a check answers so, and a call that is granted creates it
 *		(call/creation.c).  What such an entity has of budgets, by defaults of its
 *		type, is what its block says (gov_load_would_be()), and nothing else asks
 *		whether it is there.  Their counters are this backend's: nobody else can
 *		have charged them.
 *
 * RULES
 *		The parent is the entity that the dimension parent_key resolves to, known
 *		or created too; without one it is a root.  Where types name each other as
 *		parents the first one, in the order of the names, is below the other.
 *		An id that another type has is ignored by a type that creates, and
 *		unknown to one that denies.  What cannot be created is denied: an id that
 *		no entity can have, a place too deep, and all where the owner has no room.
 *
 * LOCKING
 *		As in resolve.c.  Blocks are built without the lock, by
 *		gov_resolve_build_unknown(), and the attempt is made again; it takes those
 *		that still fit.
 */
#include "postgres.h"

#include "base/fault.h"
#include "cache/created.h"
#include "gate/resolve_walk.h"

/* Is it the same id? */
static bool
is_id_of(const GovName *name, const char *id, uint32 id_length)
{
	return gov_bytes_equal(name->id, name->id_length, id, id_length);
}

/* Note that the name at hand is unknown; found is what else has its id. */
void
gov_resolve_note_unknown(GovWalk *walk, const GovEntity *found)
{
	GovResolution *out = walk->out;
	const GovName *name = walk->name;
	bool		creates = name->rule->of_key.creates;

	if (walk->has_would_be || (creates && found != NULL))
		return;
	if (out->nunknown >= out->unknown_capacity)
	{
		out->wants_unknown = true;
		walk->is_full = true;
		return;
	}
	out->unknown[out->nunknown++] = (GovUnknown) {.name = name, .fate = creates && !name->rule->is_no_id ? GOV_UNKNOWN_CREATED : GOV_UNKNOWN_DENIED};
}

/* The name under whose id something would be created; NULL if there is none. */
static GovUnknown *
find_created(const GovResolution *out, const char *id, uint32 id_length)
{
	for (int i = 0; i < out->nunknown; i++)
	{
		if (out->unknown[i].fate == GOV_UNKNOWN_CREATED &&
			is_id_of(out->unknown[i].name, id, id_length))
			return &out->unknown[i];
	}
	return NULL;
}

/* What would be created under an id; NULL if nothing would. */
GovLoaded *
gov_resolve_would_be(const GovWalk *walk, const char *id, uint32 id_length)
{
	const GovUnknown *unknown = find_created(walk->out, id, id_length);

	return unknown == NULL ? NULL : unknown->loaded;
}

/* Two names of one id are one entity: that of the first. */
static void
merge_same(GovResolution *out)
{
	for (int i = 0; i < out->nunknown; i++)
	{
		GovUnknown *unknown = &out->unknown[i];

		if (unknown->fate == GOV_UNKNOWN_CREATED &&
			find_created(out, unknown->name->id, unknown->name->id_length) != unknown)
			unknown->fate = GOV_UNKNOWN_IGNORED;
	}
}

/* Is what would be created under a name below what would be under another? */
static bool
is_below(const GovResolution *out, const GovName *name, const GovName *other)
{
	for (; name != NULL; name = find_created(out, name->id, name->id_length)->parent)
	{
		if (is_id_of(name, other->id, other->id_length))
			return true;
		if (find_created(out, name->id, name->id_length) == NULL)
			return false;
	}
	return false;
}

/* Would a name stand for what is created under its id? */
static bool
stands_for_created(const GovResolution *out, const GovName *name)
{
	const GovUnknown *created = find_created(out, name->id, name->id_length);
	const char *type = created == NULL ? NULL : created->name->rule->of_key.type_id;

	return type != NULL && gov_types_has_attribution_key(type, strlen(type), name->key, name->key_length);
}

/* The entity of the set that a name stands for, or -1. */
static int
known_entity(const GovResolution *out, const GovName *name)
{
	int			entity = gov_resolve_set_find(out, name->id, name->id_length,
											  gov_entity_text_hash(name->id, name->id_length));

	return entity >= 0 && gov_resolve_key_fits(name, out->entities[entity].entity) ? entity : -1;
}

static void
choose_parents(GovResolution *out)
{
	for (int i = 0; i < out->nunknown; i++)
	{
		GovUnknown *unknown = &out->unknown[i];
		const GovName *parent = unknown->name->rule->parent;

		if (unknown->fate != GOV_UNKNOWN_CREATED || parent == NULL)
			continue;
		if (known_entity(out, parent) >= 0 ||
			(stands_for_created(out, parent) && !is_below(out, parent, unknown->name)))
			unknown->parent = parent;
	}
}

/* How many entities the chain would have that begins with what would be created. */
static int
chain_length(const GovResolution *out, const GovUnknown *unknown)
{
	int			length = 1;

	while (unknown->parent != NULL)
	{
		const GovName *parent = unknown->parent;

		unknown = find_created(out, parent->id, parent->id_length);
		if (unknown == NULL)
		{
			for (int i = known_entity(out, parent); i >= 0; i = out->entities[i].parent)
				length++;
			break;
		}
		length++;
	}
	return length;
}

/* Deny what would be too deep. */
static void
deny_deep(GovResolution *out)
{
	for (int i = 0; i < out->nunknown; i++)
	{
		GovUnknown *unknown = &out->unknown[i];

		unknown->is_deep = unknown->fate == GOV_UNKNOWN_CREATED &&
			chain_length(out, unknown) > GOV_CHAIN_MAX;
	}
	for (int i = 0; i < out->nunknown; i++)
	{
		if (out->unknown[i].is_deep)
			out->unknown[i].fate = GOV_UNKNOWN_DENIED;
	}
}

/* The block that was built for what would be created; NULL if none fits. */
static GovLoaded *
find_built(const GovResolution *out, const GovUnknown *unknown)
{
	for (int i = 0; i < out->nbuilt; i++)
	{
		if (out->built[i].name == unknown->name && out->built[i].parent == unknown->parent)
			return out->built[i].loaded;
	}
	return NULL;
}

/*
 * What becomes of each unknown name?  Count those that would be created, and tell
 * whether all of them have their blocks.
 */
static int
judge_unknown(GovResolution *out, bool *are_built)
{
	int			ncreated = 0;

	*are_built = true;
	for (int i = 0; i < out->nunknown; i++)
	{
		GovUnknown *unknown = &out->unknown[i];

		if (unknown->fate == GOV_UNKNOWN_CREATED && out->knows_room && !out->has_room)
			unknown->fate = GOV_UNKNOWN_DENIED;
		if (unknown->fate == GOV_UNKNOWN_CREATED)
		{
			ncreated++;
			unknown->loaded = find_built(out, unknown);
			*are_built &= unknown->loaded != NULL;
		}
		out->denies_unknown |= unknown->fate == GOV_UNKNOWN_DENIED;
	}
	return ncreated;
}

/*
 * A walk has found unknown names.  If some of them would be created, walk again as
 * if they were there.
 */
GovOutcome
gov_resolve_unknown(GovWalk *walk)
{
	GovResolution *out = walk->out;
	bool		are_built;

	Assert(!walk->has_would_be);
	merge_same(out);
	choose_parents(out);
	deny_deep(out);
	if (judge_unknown(out, &are_built) == 0)
		return GOV_OUTCOME_DONE;
	if (!out->knows_room || !are_built)
		return GOV_OUTCOME_UNKNOWN;

	walk->has_would_be = true;
	out->since = walk->source->since;
	gov_resolve_set_clear(out);
	out->nchains = 0;
	gov_resolve_entities(walk);
	return gov_resolve_walk_outcome(walk);
}

static GovLoaded *
build_unknown(const GovOwnerKey *owner, const GovMet *met, const GovUnknown *unknown)
{
	const GovName *name = unknown->name;
	const GovName *parent = unknown->parent;
	GovWouldBe	of = {.id = name->id, .id_length = name->id_length, .type = name->rule->of_key.type_id};

	if (parent != NULL)
	{
		of.parent = parent->id;
		of.parent_length = parent->id_length;
	}
	return gov_load_would_be(owner, &of, met);
}

/*
 * Build the blocks of what would be created, with budgets for the combinations
 * that were met; met may be NULL.  No lock is held.
 */
void
gov_resolve_build_unknown(const GovOwnerKey *owner, const GovMet *met, GovResolution *resolution)
{
	Assert(!gov_stripe_is_held());
	if (!resolution->knows_room)
		resolution->has_room = gov_created_has_room(owner);
	resolution->knows_room = true;
	gov_resolve_grow_built(resolution);
	resolution->nbuilt = 0;
	for (int i = 0; i < resolution->nunknown && resolution->has_room; i++)
	{
		GovUnknown *unknown = &resolution->unknown[i];

		if (unknown->fate != GOV_UNKNOWN_CREATED)
			continue;
		unknown->loaded = build_unknown(owner, met, unknown);
		resolution->built[resolution->nbuilt++] = *unknown;
	}
}
