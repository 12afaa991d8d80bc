/*
 * resolve_walk.h
 *		What the two halves of resolving share.
 */
#ifndef GOV_RESOLVE_WALK_H
#define GOV_RESOLVE_WALK_H

#include "gate/resolve.h"

/* One walk. */
typedef struct GovWalk
{
	const GovRequest *request;
	const GovSource *source;
	const GovName *name;		/* being resolved */
	const char *load_id;		/* what is loaded if something of its chain is
								 * missing */
	uint32		load_length;
	bool		has_would_be;	/* what is unknown stands for what would be
								 * created */
	bool		is_exclusive;
	bool		has_pending;	/* this transaction has something in flight */
	bool		is_full;		/* some array was too small */
	bool		must_wait;
	bool		is_outdated;
	bool		is_cyclic;
	GovResolution *out;
} GovWalk;

/* The budget by whose rule a counter turns. */
typedef struct GovRuled
{
	const GovEntity *entity;
	const GovBudget *budget;
} GovRuled;

/* What is in the way of a walk over the entities. */
static inline GovOutcome
gov_resolve_walk_outcome(const GovWalk *walk)
{
	if (walk->is_full)
		return GOV_OUTCOME_GROW;
	if (walk->must_wait)
		return GOV_OUTCOME_WAIT;
	if (walk->out->nmissing > 0)
		return GOV_OUTCOME_LOAD;
	if (walk->is_cyclic)
		return GOV_OUTCOME_CYCLE;
	return walk->is_outdated ? GOV_OUTCOME_OUTDATED : GOV_OUTCOME_DONE;
}

/* From now on a name is resolved. */
static inline void
gov_resolve_begin_name(GovWalk *walk, const GovName *name)
{
	walk->name = name;
	walk->load_id = name->id;
	walk->load_length = name->id_length;
}

/* A dimension names an entity only if its key is one of the type's. */
static inline bool
gov_resolve_key_fits(const GovName *name, const GovEntity *entity)
{
	return name->key == NULL ||
		gov_types_has_attribution_key(gov_entity_string(entity, entity->type_id),
									  gov_entity_length(entity, entity->type_id),
									  name->key, name->key_length);
}

/* resolve_set.c */
extern void gov_resolve_set_clear(GovResolution *out);
extern int	gov_resolve_set_find(const GovResolution *out, const char *id,
								 uint32 id_length, uint32 hash);
extern int	gov_resolve_set_add(GovResolution *out, const GovEntity *entity);

/* resolve.c */
extern GovSharedNode *gov_resolve_find_node(GovWalk *walk, const char *id, uint32 id_length);
extern void gov_resolve_entities(GovWalk *walk);
extern void gov_resolve_grow_built(GovResolution *resolution);
extern void gov_resolve_note_missing(GovWalk *walk, const char *id, uint32 id_length);

/* resolve_unknown.c */
extern void gov_resolve_note_unknown(GovWalk *walk, const GovEntity *found);
extern GovLoaded *gov_resolve_would_be(const GovWalk *walk, const char *id, uint32 id_length);
extern GovOutcome gov_resolve_unknown(GovWalk *walk);

/* resolve_held.c */
extern void gov_resolve_held(GovWalk *walk);
extern void gov_resolve_reversed(GovWalk *walk);

/* resolve_budgets.c */
extern void gov_resolve_note_other(GovWalk *walk, const char *id, uint32 id_length);
extern bool gov_resolve_counter(GovWalk *walk, const GovResolvedEntity *resolved, uint32 number,
								GovSharedCounter **counter, bool *is_shared);
extern bool gov_resolve_budgets(GovWalk *walk);

#endif							/* GOV_RESOLVE_WALK_H */
