/*
 * inspect.h
 *		A look at the counters in shared memory.
 */
#ifndef GOV_INSPECT_H
#define GOV_INSPECT_H

#include "utils/snapshot.h"

#include "cache/node.h"

typedef struct GovCounterCopy
{
	int64		id;
	GovWindow	window;
	GovAmount	total;
	GovAmount	held;
	GovAmount	carried;		/* into the window, */
	bool		is_before;		/* if it is the one before the present: nothing is
								 * held of that */
	bool		is_pinned;		/* or it is to be loaded again */
} GovCounterCopy;

extern int	gov_inspect_counters(int stripe, Oid extension, const char *owner,
								 GovCounterCopy **copies, Snapshot *snapshot);

#endif							/* GOV_INSPECT_H */
