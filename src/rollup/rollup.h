/*
 * rollup.h
 *		Moves the ledger's sums into gov_usage and gov_usage_by_time.
 */
#ifndef GOV_ROLLUP_H
#define GOV_ROLLUP_H

#include "postgres.h"

#include "datatype/timestamp.h"

typedef enum GovRollupResult
{
	GOV_ROLLUP_MOVED,			/* moved the watermark; there may be more */
	GOV_ROLLUP_NOTHING,			/* all that was recorded is rolled up */
	GOV_ROLLUP_BLOCKED			/* a transaction is in the way; try later */
} GovRollupResult;

extern GovRollupResult gov_rollup_round(uint64 *nevents);
extern TimestampTz gov_rollup_complete_until(void);

#endif							/* GOV_ROLLUP_H */
