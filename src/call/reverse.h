/*
 * reverse.h
 *		Gives back what an event has used.
 */
#ifndef GOV_REVERSE_H
#define GOV_REVERSE_H

#include "call/record.h"

extern GovRecorded gov_reverse(int64 event_id, Numeric amount, text *key);

#endif							/* GOV_REVERSE_H */
