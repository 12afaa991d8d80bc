/*
 * tidy.h
 *		The steps of the worker that tidy up.
 */
#ifndef GOV_TIDY_H
#define GOV_TIDY_H

#include "base/shmem.h"

/*
 * A step that works in batches, each in a transaction of the caller's; a batch
 * adds how many rows it has done, and returns true when there may be more.
 */
typedef struct GovTidying
{
	GovStep		step;
	bool		(*batch) (uint64 *ndone);
	bool		deletes;
	const char *activity;
	const int  *setting;		/* there is nothing to do while it is 0; NULL:
								 * there may always be */
} GovTidying;

#define GOV_TIDYINGS			10
#define GOV_TIDYING_DENIALS		0	/* writes what was denied */
#define GOV_TIDYING_DEFAULTS	1	/* tidies up which budgets by defaults
									 * were used */

extern const GovTidying gov_tidyings[GOV_TIDYINGS];

#endif							/* GOV_TIDY_H */
