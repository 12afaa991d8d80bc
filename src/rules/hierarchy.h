/*
 * hierarchy.h
 *		The locks on the shape of an owner's trees, and on an entity that must stay.
 */
#ifndef GOV_HIERARCHY_H
#define GOV_HIERARCHY_H

#include "postgres.h"

#include "storage/lockdefs.h"
#include "utils/rel.h"


extern void gov_hierarchy_lock(const text *owner, LOCKMODE mode);
extern bool gov_hierarchy_lock_free(const text *owner);
extern void gov_hierarchy_await(const text *owner);
extern bool gov_hierarchy_keep(Relation entities, Datum owner, Datum id);

#endif							/* GOV_HIERARCHY_H */
