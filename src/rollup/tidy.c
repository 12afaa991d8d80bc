/*
 * tidy.c
 *		The steps of the worker that tidy up.
 *
 * PURPOSE
 *		One list for the worker and gov_maintain().  The order matters: usage is
 *		deleted once its events are gone and its windows are merged.  What was
 *		denied comes first, because the worker writes that between its rounds too.
 */
#include "postgres.h"

#include "base/guc.h"
#include "rollup/change_retention.h"
#include "rollup/default_rows.h"
#include "rollup/denial_rows.h"
#include "rollup/forget.h"
#include "rollup/retention.h"
#include "rollup/tidy.h"
#include "rollup/usage_merge.h"
#include "rollup/usage_retention.h"

const GovTidying gov_tidyings[GOV_TIDYINGS] = {
	{GOV_STEP_DENIALS, gov_denial_rows_write, false, "writing what was denied"},
	{GOV_STEP_DEFAULTS, gov_default_rows_tidy, false, "tidying up budgets by defaults"},
	{GOV_STEP_FORGETTING, gov_forget_rewrite, false, "rewriting what is recorded of forgotten entities"},
	{GOV_STEP_EVENT_RETENTION, gov_retention_prune_events, true, "applying the retention of events",
	&gov_event_retention_s},
	{GOV_STEP_HOLD_RETENTION, gov_retention_prune_holds, true, "applying the retention of holds",
	&gov_event_retention_s},
	{GOV_STEP_USAGE_MERGE, gov_usage_merge, false, "merging windows"},
	{GOV_STEP_USAGE_RETENTION, gov_usage_retention_prune_usage, true, "applying the retention of usage",
	&gov_usage_retention_s},
	{GOV_STEP_ALERT_RETENTION, gov_usage_retention_prune_alerts, true, "applying the retention of alerts",
	&gov_alert_retention_s},
	{GOV_STEP_CHANGE_RETENTION, gov_change_retention_prune, true, "applying the retention of changes",
	&gov_change_retention_s},
	{GOV_STEP_DENIAL_RETENTION, gov_denial_rows_prune, true, "applying the retention of denials",
	&gov_denial_retention_s}
};
