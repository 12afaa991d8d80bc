/*
 * usage_merge.h
 *		Merges the short windows of a day into one row of gov_usage.
 */
#ifndef GOV_USAGE_MERGE_H
#define GOV_USAGE_MERGE_H

#include "postgres.h"

/* Merges a batch, and returns true when there may be more. */
extern bool gov_usage_merge(uint64 *nmerged);

#endif							/* GOV_USAGE_MERGE_H */
