/*
 * frozen.h
 *		Which owners are frozen.
 */
#ifndef GOV_FROZEN_H
#define GOV_FROZEN_H

#include "postgres.h"

extern int	gov_nfrozen;		/* owners; nearly always 0 */

extern void gov_frozen_refresh(const char *owner);
extern bool gov_frozen_is_outdated(void);
extern bool gov_frozen_find(const char *owner, uint32 length);
extern void gov_frozen_require_open(const char *owner, uint32 length);
extern void gov_frozen_raise(const char *owner);
extern void gov_frozen_forget_own_changes(void);

/* Is the owner frozen?  After gov_frozen_refresh(). */
static inline bool
gov_frozen_has(const char *owner, uint32 length)
{
	return unlikely(gov_nfrozen > 0) && gov_frozen_find(owner, length);
}

#endif							/* GOV_FROZEN_H */
