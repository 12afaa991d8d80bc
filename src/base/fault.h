/*
 * fault.h
 *		Points at which a test makes the engine fail.
 *
 * A build without -DGOV_FAULTS has none of this.
 */
#ifndef GOV_FAULT_H
#define GOV_FAULT_H

#ifdef GOV_FAULTS

#include "postgres.h"

/* What can fail at a point. */
typedef enum GovFaultPoint
{
	GOV_FAULT_ALL,				/* of governance.fault_point: any of them */
	GOV_FAULT_STATEMENT,		/* a statement of the engine's own */
	GOV_FAULT_LOAD,				/* a step of a load */
	GOV_FAULT_ROW,				/* a row of the ledger, or of a hold */
	GOV_FAULT_CACHE,			/* an allocation in shared memory */
	GOV_FAULT_MEMORY,			/* an allocation of the backend's own */
	GOV_FAULT_WAIT,				/* waiting for another session */
	GOV_FAULT_NOTIFY			/* the queue of NOTIFY, which then reads as
								 * full */
} GovFaultPoint;

typedef enum GovFaultAction
{
	GOV_FAULT_ERROR,			/* what the real failure would raise */
	GOV_FAULT_FATAL,			/* the session is terminated there */
	GOV_FAULT_CRASH,			/* the process is killed there, as by kill -9 */
	GOV_FAULT_PAUSE,			/* it stays there until it is cancelled or
								 * terminated */
	GOV_FAULT_QUEUE				/* it waits there for an advisory lock, and
								 * goes on */
} GovFaultAction;

extern bool gov_fault_is_due(GovFaultPoint point);
extern void gov_fault(GovFaultPoint point);

#define GOV_FAULT(point)		gov_fault(point)
#define GOV_FAULT_IS_DUE(point)	gov_fault_is_due(point)

#else

#define GOV_FAULT(point)		((void) 0)
#define GOV_FAULT_IS_DUE(point)	false

#endif

#endif							/* GOV_FAULT_H */
