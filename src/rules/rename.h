/*
 * rename.h
 *		Gives an entity another id, wherever the catalog names it.
 */
#ifndef GOV_RENAME_H
#define GOV_RENAME_H

#include "postgres.h"

/* Whom to rename, and which of the dimensions of calls may name it. */
typedef struct GovRename
{
	text	   *owner;
	text	   *id;
	text	   *replacement;
	Datum		attribution_keys;	/* text[] */
} GovRename;

extern bool gov_rename_is_on(void);
extern void gov_rename_lock_tables(void);
extern void gov_rename_await(const GovRename *rename);
extern bool gov_rename_is_taken(const GovRename *rename);
extern bool gov_rename_exists(text *owner, text *id);
extern Datum gov_rename_attribution_keys(text *owner, text *id);
extern void gov_rename_entity(const GovRename *rename);

#endif							/* GOV_RENAME_H */
