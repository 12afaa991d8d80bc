/*
 * retention.h
 *		Deletes events and holds that are older than their retention.
 */
#ifndef GOV_RETENTION_H
#define GOV_RETENTION_H

#include "postgres.h"

#include "datatype/timestamp.h"

extern TimestampTz gov_retention_begin(void);

/* Each does a batch, and returns true when there may be more. */
extern bool gov_retention_prune_events(uint64 *ndeleted);
extern bool gov_retention_prune_holds(uint64 *ndeleted);

#endif							/* GOV_RETENTION_H */
