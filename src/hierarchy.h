/*
 * hierarchy.h
 *		The lock on the shape of an owner's trees.
 */
#ifndef GOV_HIERARCHY_H
#define GOV_HIERARCHY_H

#include "postgres.h"

#include "storage/lockdefs.h"

#define GOV_CHAIN_MAX		64	/* entities from a leaf up to its root */
#define GOV_BUDGETS_MAX		256 /* of one entity and capability */

extern void gov_hierarchy_lock(const text *owner, LOCKMODE mode);

#endif							/* GOV_HIERARCHY_H */
