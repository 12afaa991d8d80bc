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
	bool		is_exclusive;
	bool		is_full;		/* some array was too small */
	bool		must_wait;
	bool		is_outdated;
	bool		is_cyclic;
	GovResolution *out;
} GovWalk;

/* resolve_set.c */
extern void gov_resolve_set_clear(GovResolution *out);
extern int	gov_resolve_set_find(const GovResolution *out, const char *id,
								 uint32 id_length, uint32 hash);
extern int	gov_resolve_set_add(GovResolution *out, const GovEntity *entity);

/* resolve.c */
extern GovSharedNode *gov_resolve_find_node(GovWalk *walk, const char *id, uint32 id_length);
extern void gov_resolve_note_missing(GovWalk *walk, const char *id, uint32 id_length);

/* resolve_held.c */
extern void gov_resolve_held(GovWalk *walk);
extern void gov_resolve_reversed(GovWalk *walk);

/* resolve_budgets.c */
extern void gov_resolve_note_other(GovWalk *walk, const char *id, uint32 id_length);
extern bool gov_resolve_budgets(GovWalk *walk);

#endif							/* GOV_RESOLVE_WALK_H */
