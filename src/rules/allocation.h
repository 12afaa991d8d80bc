/*
 * allocation.h
 *		The lock on the budgets of an owner that rules over all of them take.
 */
#ifndef GOV_ALLOCATION_H
#define GOV_ALLOCATION_H

#include "postgres.h"

#include "storage/lockdefs.h"

extern void gov_allocation_lock(Datum owner, LOCKMODE mode);

#endif							/* GOV_ALLOCATION_H */
