/*
 * private_view.h
 *		A view of one owner's entities that only this transaction has.
 */
#ifndef GOV_PRIVATE_VIEW_H
#define GOV_PRIVATE_VIEW_H

#include "cache/load.h"

typedef enum GovPrivateKind
{
	GOV_PRIVATE_OWN_CHANGES,	/* the catalog as this transaction has changed
								 * it */
	GOV_PRIVATE_TABLES			/* everything from the tables, for one call */
} GovPrivateKind;

extern void gov_private_begin(const GovOwnerKey *key, GovPrivateKind kind,
							  const GovFreshness *since);
extern GovLoaded *gov_private_find(const char *id, uint32 id_length);
extern void gov_private_load(const GovOwnerKey *key, const GovLoaded *ids,
							 int nids, const GovMet *met, TimestampTz now);
extern void gov_private_drop(void);

#endif							/* GOV_PRIVATE_VIEW_H */
