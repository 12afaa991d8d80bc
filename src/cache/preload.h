/*
 * preload.h
 *		Loads at once what a batch of calls will need.
 */
#ifndef GOV_PRELOAD_H
#define GOV_PRELOAD_H

#include "cache/load.h"

extern int	gov_preload_missing(const GovOwnerKey *owner, GovLoaded *ids, int nids);
extern void gov_preload(const GovOwnerKey *owner, GovLoaded *ids, int nids);

#endif							/* GOV_PRELOAD_H */
