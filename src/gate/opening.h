/*
 * opening.h
 *		Windows that begin with a first use.
 */
#ifndef GOV_OPENING_H
#define GOV_OPENING_H

#include "gate/resolve_walk.h"

extern void gov_opening_compute(const GovRequest *request, TimestampTz occurred_at, GovTurn *turn);
extern void gov_opening_choose(GovResolution *resolution, int number);
extern void gov_opening_note(const GovResolvedBudget *budget);
extern void gov_opening_forget(void);

#endif							/* GOV_OPENING_H */
