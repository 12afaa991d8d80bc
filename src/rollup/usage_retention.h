/*
 * usage_retention.h
 *		Deletes usage and alerts that are older than their retention.
 */
#ifndef GOV_USAGE_RETENTION_H
#define GOV_USAGE_RETENTION_H

#include "postgres.h"

/* Each deletes a batch, and returns true when there may be more. */
extern bool gov_usage_retention_prune_usage(uint64 *ndeleted);
extern bool gov_usage_retention_prune_alerts(uint64 *ndeleted);

#endif							/* GOV_USAGE_RETENTION_H */
