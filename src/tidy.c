/*
 * tidy.c
 *		The steps of the worker that make things small.
 *
 * PURPOSE
 *		One list for the worker and gov_maintain().
 */
#include "postgres.h"

#include "retention.h"
#include "tidy.h"

const GovTidying gov_tidyings[GOV_TIDYINGS] = {
	{GOV_STEP_EVENT_RETENTION, gov_retention_prune_events, true, "applying the retention of events"},
	{GOV_STEP_HOLD_RETENTION, gov_retention_prune_holds, true, "applying the retention of holds"}
};
