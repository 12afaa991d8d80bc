/*
 * types.h
 *		The vendor's entity types and capabilities.
 */
#ifndef GOV_TYPES_H
#define GOV_TYPES_H

#include "postgres.h"

/* What a dimension key does whose value is no entity of a type. */
typedef struct GovUnknownRule
{
	const char *key;
	const char *type_id;
	const char *parent_key;		/* names the parent of what is created; NULL:
								 * it is a root */
	bool		creates;		/* what is not there; else it denies */
} GovUnknownRule;

extern void gov_types_refresh(void);
extern bool gov_types_is_capability(const char *id, uint32 length);
extern bool gov_types_is_concurrency(const char *id, uint32 length);
extern bool gov_types_is_attribution_key(const char *key, uint32 key_length);
extern bool gov_types_has_attribution_key(const char *type_id, uint32 type_length,
										  const char *key, uint32 key_length);
extern bool gov_types_have_unknown_rules(void);
extern const GovUnknownRule *gov_types_unknown_rule(const char *key, uint32 length);
extern void gov_types_forget_own_changes(void);

#endif							/* GOV_TYPES_H */
