/*
 * names.h
 *		Strings that many nodes have, each stored once.
 */
#ifndef GOV_NAMES_H
#define GOV_NAMES_H

#include "cache/entity.h"

extern GovText gov_name_take(const char *bytes, uint32 length);
extern void gov_name_give(GovText name);
extern Size gov_name_size(Size length);

#endif							/* GOV_NAMES_H */
