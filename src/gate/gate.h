/*
 * gate.h
 *		Check, and charge: the engine's two operations.
 */
#ifndef GOV_GATE_H
#define GOV_GATE_H

#include "gate/resolve.h"

typedef enum GovGateStatus
{
	GOV_GATE_ANSWERED,
	GOV_GATE_CACHE_FULL,
	GOV_GATE_TOO_FAR_AHEAD,		/* occurred_at */
	GOV_GATE_FROZEN,			/* the owner is, and would be charged */

	/* of gov_gate_try() alone */
	GOV_GATE_FULL,				/* an entity would have too many budgets */
	GOV_GATE_OVERFLOW,			/* a count would leave the range of amounts */
	GOV_GATE_UNGOVERNED,		/* governance.on_ungoverned makes that an
								 * error */
	GOV_GATE_UNREADY			/* something has to be loaded or computed
								 * first */
} GovGateStatus;

/* What a call does to the budgets that it resolves to. */
typedef enum GovUse
{
	GOV_USE_LOOK,				/* nothing, and its decision is nobody's */
	GOV_USE_CHECK,				/* nothing */
	GOV_USE_RECORD,				/* charges them, whatever their limits; ends a
								 * hold */
	GOV_USE_CONSUME,			/* charges them if all allow */
	GOV_USE_RESERVE				/* holds the amount against them if all allow */
} GovUse;

/* How far ahead of the clock an event may be: taken as now. */
#define GOV_AHEAD_MAX_S		300

extern GovGateStatus gov_gate(const GovRequest *request, GovUse use, bool want_details,
							  GovResolution **resolution, GovDecision *decision);
extern GovGateStatus gov_gate_try(const GovRequest *request, GovUse use, bool mends,
								  GovResolution **resolution, GovDecision *decision);
extern void gov_gate_raise(GovGateStatus status, const GovRequest *request,
						   const GovDecision *decision);
extern void gov_gate_take_back(const GovRequest *request, GovUse use,
							   GovResolution *resolution);

#endif							/* GOV_GATE_H */
