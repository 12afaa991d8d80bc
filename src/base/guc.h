/*
 * guc.h
 *		The settings of the extension.
 */
#ifndef GOV_GUC_H
#define GOV_GUC_H

#include "postgres.h"

typedef enum GovOnUnavailable
{
	GOV_ON_UNAVAILABLE_ERROR,
	GOV_ON_UNAVAILABLE_GRANT,
	GOV_ON_UNAVAILABLE_DENY
} GovOnUnavailable;

typedef enum GovOnUngoverned
{
	GOV_ON_UNGOVERNED_GRANT,
	GOV_ON_UNGOVERNED_DENY,
	GOV_ON_UNGOVERNED_ERROR
} GovOnUngoverned;

/* The values are minutes, and each divides the next: see hourly.c. */
typedef enum GovUsageGrain
{
	GOV_USAGE_GRAIN_QUARTER = 15,
	GOV_USAGE_GRAIN_HALF = 30,
	GOV_USAGE_GRAIN_HOUR = 60
} GovUsageGrain;

extern int	gov_cache_size_kb;
extern int	gov_rollup_interval_ms; /* -1: as the ledger grows */
extern int	gov_event_retention_s;
extern int	gov_usage_retention_s;
extern int	gov_usage_grain_minutes;	/* a GovUsageGrain */
extern int	gov_usage_merge_after_s;
extern int	gov_alert_retention_s;
extern int	gov_change_retention_s;
extern int	gov_denial_retention_s;
extern int	gov_log_rollup_waits_ms;
extern int	gov_on_unavailable;
extern int	gov_on_ungoverned;
extern int	gov_clock_offset_s;
extern int	gov_dimensions_max_kb;
extern int	gov_query_memory_kb;
extern int	gov_tenant_budgets;
extern int	gov_tenant_entity_budgets;
extern int	gov_tenant_cadence_s;
extern int	gov_tenant_thresholds;
extern int	gov_created_entities_max;
extern bool gov_use_cache;
extern char *gov_owner;
extern char *gov_caller;
extern char *gov_reason;
#ifdef GOV_FAULTS
extern int	gov_fault_point;
extern int	gov_fault_at;
extern int	gov_fault_action;
extern double gov_fault_clock;
#endif

extern const char *gov_guc_caller_name(void);
extern void gov_guc_plans_know_owner(void);
extern void gov_guc_init(void);

#endif							/* GOV_GUC_H */
