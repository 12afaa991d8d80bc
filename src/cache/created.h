/*
 * created.h
 *		Entities that uses have created.
 */
#ifndef GOV_CREATED_H
#define GOV_CREATED_H

#include "cache/node.h"

extern int	gov_created_count;	/* what created.c has of this transaction */

/* Has this transaction created any?  Nearly none has. */
static inline bool
gov_created_is_any(void)
{
	return unlikely(gov_created_count > 0);
}

extern void gov_created_add(const GovOwnerKey *owner, const GovEntity *entity,
							const GovFreshness *since);
extern void gov_created_remove_last(void);
extern const GovEntity *gov_created_find(const char *owner, uint32 owner_length,
										 const char *id, uint32 id_length,
										 GovFreshness *since);
extern void gov_created_merge(int level);
extern void gov_created_abort(int level);
extern void gov_created_commit(void);

/* created_room.c */
extern bool gov_created_has_room(const GovOwnerKey *owner);
extern void gov_created_note_room(const GovOwnerKey *owner, int64 more);

#endif							/* GOV_CREATED_H */
