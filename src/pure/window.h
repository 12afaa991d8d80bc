/*
 * window.h
 *		The window of a budget that a point in time falls into.
 */
#ifndef GOV_WINDOW_H
#define GOV_WINDOW_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "pgtime.h"

#include "pure/cadence.h"

typedef struct GovWindow
{
	TimestampTz start;			/* DT_NOBEGIN for a cadence that never resets */
	TimestampTz end;			/* exclusive; DT_NOEND likewise */
} GovWindow;

/*
 * A window that slides is counted in so many grains, which are whole microseconds of
 * any second.
 */
#define GOV_SLIDING_GRAINS	64

extern bool gov_window_at(const GovCadence *cadence, bool has_anchor,
						  TimestampTz anchor, pg_tz *tz, TimestampTz at,
						  GovWindow *result);
extern bool gov_window_opened(const GovCadence *cadence, pg_tz *tz, TimestampTz at,
							  GovWindow *result);
extern int64 gov_window_span(const GovCadence *cadence);
extern TimestampTz gov_window_reach(const GovCadence *cadence, TimestampTz at);
extern pg_tz *gov_window_timezone(const char *name);

#endif							/* GOV_WINDOW_H */
