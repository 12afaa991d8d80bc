/*
 * keep_pool.h
 *		Keeps what a pool has besides other budgets.
 */
#ifndef GOV_KEEP_POOL_H
#define GOV_KEEP_POOL_H

#include "rules/keep_row.h"

extern void gov_keep_pool(GovKeptRow *row, const GovKeptRow *before, Relation table);

#endif							/* GOV_KEEP_POOL_H */
