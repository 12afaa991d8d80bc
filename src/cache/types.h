/*
 * types.h
 *		The vendor's entity types and capabilities.
 */
#ifndef GOV_TYPES_H
#define GOV_TYPES_H

#include "postgres.h"

extern void gov_types_refresh(void);
extern bool gov_types_is_capability(const char *id, uint32 length);
extern bool gov_types_is_attribution_key(const char *key, uint32 key_length);
extern bool gov_types_has_attribution_key(const char *type_id, uint32 type_length,
										  const char *key, uint32 key_length);
extern void gov_types_forget_own_changes(void);

#endif							/* GOV_TYPES_H */
