/*
 * recount.h
 *		Counts a budget again from the ledger.
 */
#ifndef GOV_RECOUNT_H
#define GOV_RECOUNT_H

#include "postgres.h"

#include "utils/uuid.h"

#include "pure/amount.h"
#include "pure/window.h"

typedef struct GovRecountResult
{
	GovWindow	present;		/* window */
	GovAmount	usage;			/* in it */
	GovAmount	former_usage;
	TimestampTz since;			/* DT_NOBEGIN: from the first event on */
	int64		nwindows;		/* that have usage */
	int64		nevents;
} GovRecountResult;

extern void gov_recount(const pg_uuid_t *assignment_id, TimestampTz since, bool is_by_tree,
						GovRecountResult *result);

#endif							/* GOV_RECOUNT_H */
