/*
 * clock.h
 *		The engine's clock.
 */
#ifndef GOV_CLOCK_H
#define GOV_CLOCK_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "shmem.h"

extern TimestampTz gov_clock(void);
extern TimestampTz gov_clock_at_stripe(GovSharedStripe *stripe, TimestampTz now);

#endif							/* GOV_CLOCK_H */
