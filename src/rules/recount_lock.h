/*
 * recount_lock.h
 *		Locks the budget that is recounted, and reads it.
 */
#ifndef GOV_RECOUNT_LOCK_H
#define GOV_RECOUNT_LOCK_H

#include "rules/recount_write.h"

extern void gov_recount_lock(GovRecount *recount);

#endif							/* GOV_RECOUNT_LOCK_H */
