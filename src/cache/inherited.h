/*
 * inherited.h
 *		The names of the budgets that entities have by a default.
 */
#ifndef GOV_INHERITED_H
#define GOV_INHERITED_H

#include "postgres.h"

#include "utils/uuid.h"

/* What tells an inherited budget from all others. */
typedef struct GovInheritedKey
{
	pg_uuid_t	default_id;
	int64		seed;			/* of the default */
	Datum		owner;			/* text */
	Datum		entity;			/* text */
	Datum		scope;			/* text[] */
	text	   *anchor;			/* what the default's anchor_from found; NULL:
								 * nothing */
	int32		salt;			/* how many of them were retired before */
} GovInheritedKey;

extern int64 gov_inherited_counter(const pg_uuid_t *id, int64 seed);
extern void gov_inherited_name(const GovInheritedKey *key, pg_uuid_t *id, int64 *counter_id);

#endif							/* GOV_INHERITED_H */
