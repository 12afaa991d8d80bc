/*
 * opening.h
 *		Windows that begin with a first use.
 */
#ifndef GOV_OPENING_H
#define GOV_OPENING_H

#include "gate/resolve_walk.h"

extern void gov_opening_compute(const GovRequest *request, TimestampTz occurred_at, GovTurn *turn);
extern void gov_opening_choose(GovResolution *resolution, int number);
extern bool gov_opening_look_up(const GovRequest *request, int64 counter_id, TimestampTz at,
								GovWindow *window, TimestampTz *next);

#endif							/* GOV_OPENING_H */
