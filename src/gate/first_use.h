/*
 * first_use.h
 *		Writes which budgets by a default are used.
 */
#ifndef GOV_FIRST_USE_H
#define GOV_FIRST_USE_H

#include "gate/resolve.h"

extern void gov_first_use_lock(void);
extern void gov_first_use_write(const GovRequest *request, const GovResolution *resolution);

#endif							/* GOV_FIRST_USE_H */
