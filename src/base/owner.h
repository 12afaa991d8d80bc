/*
 * owner.h
 *		Which owners a session may see and change.
 */
#ifndef GOV_OWNER_H
#define GOV_OWNER_H

#include "postgres.h"

extern const char *gov_owner_pin(void);
extern bool gov_owner_is_pinned_to(const char *owner, uint32 length);

extern bool gov_owner_reads_every(void);
extern bool gov_owner_changes_every(void);

extern void gov_owner_require(const char *owner);
extern void gov_owner_require_visible(const text *owner);
extern void gov_owner_require_unpinned(const char *call);

#endif							/* GOV_OWNER_H */
