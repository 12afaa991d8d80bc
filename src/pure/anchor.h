/*
 * anchor.h
 *		Where windows are counted from, as text that says when somebody is billed.
 */
#ifndef GOV_ANCHOR_H
#define GOV_ANCHOR_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "pgtime.h"

extern bool gov_anchor_read(const char *string, uint32 length, pg_tz *tz, TimestampTz *anchor);

#endif							/* GOV_ANCHOR_H */
