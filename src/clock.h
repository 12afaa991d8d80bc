/*
 * clock.h
 *		The engine's clock.
 */
#ifndef GOV_CLOCK_H
#define GOV_CLOCK_H

#include "postgres.h"

#include "datatype/timestamp.h"

extern TimestampTz gov_clock(void);

#endif							/* GOV_CLOCK_H */
