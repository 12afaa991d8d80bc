/*
 * overdue.c
 *		What holds past their time do to a decision.
 *
 * PURPOSE
 *		A hold stays in the counters until somebody expires it, which a worker
 *		does soon after its time.  Meanwhile a call that charges expires it
 *		itself (writing.c), and one that may change nothing leaves it out of
 *		what it has read of the counters.
 *
 * INVARIANTS
 *		Whatever is open in a snapshot taken now, and past the time of the call,
 *		was in the counters when the call read them: it is subtracted once.
 */
#include "postgres.h"

#include "hold.h"
#include "overdue.h"

/* Is something held on any of the budgets? */
bool
gov_has_holds(const GovResolution *resolution)
{
	for (int i = 0; i < resolution->nbudgets; i++)
	{
		if (resolution->states[i].held > 0)
			return true;
	}
	return false;
}

/* Is something held on a budget that does not allow the call? */
bool
gov_is_denied_with_holds(const GovResolution *resolution, const GovDecision *decision)
{
	if (decision->is_granted)
		return false;
	for (int i = 0; i < resolution->nbudgets; i++)
	{
		if (!resolution->budgets[i].allows && resolution->states[i].held > 0)
			return true;
	}
	return false;
}

/* Subtract what is held past its time; false if there is no such hold. */
bool
gov_leave_out_overdue(const char *owner, GovResolution *resolution)
{
	GovOverdue *overdue;
	int			count = gov_hold_read_overdue(owner, resolution->now, &overdue);

	for (int i = 0; i < count; i++)
	{
		for (int b = 0; b < resolution->nbudgets; b++)
		{
			if (gov_uuid_is(&resolution->budgets[b].id, &overdue[i].budget_id))
				resolution->states[b].held -= overdue[i].amount;
		}
	}
	pfree(overdue);
	return count > 0;
}
