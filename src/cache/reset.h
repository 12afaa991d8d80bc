/*
 * reset.h
 *		Ends what a jump of the clock has left of one owner.
 */
#ifndef GOV_RESET_H
#define GOV_RESET_H

#include "cache/node.h"

extern void gov_reset_owner(const GovOwnerKey *key);
extern void gov_reset_abandon(void);

#endif							/* GOV_RESET_H */
