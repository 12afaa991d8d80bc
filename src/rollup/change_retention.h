/*
 * change_retention.h
 *		Deletes changes that are older than their retention.
 */
#ifndef GOV_CHANGE_RETENTION_H
#define GOV_CHANGE_RETENTION_H

#include "postgres.h"

/* A batch: true when there may be more. */
extern bool gov_change_retention_prune(uint64 *ndeleted);

#endif							/* GOV_CHANGE_RETENTION_H */
