/*
 * retention.h
 *		Deletes what is older than its retention.
 */
#ifndef GOV_RETENTION_H
#define GOV_RETENTION_H

#include "postgres.h"

extern uint64 gov_retention_prune_events(void);
extern uint64 gov_retention_prune_holds(void);

#endif							/* GOV_RETENTION_H */
