/*
 * guc.c
 *		The settings of the extension.
 *
 * PURPOSE
 *		Every setting is defined here and nowhere else; the rest of the code
 *		reads the variables and never writes them (but for fault.c, which counts).
 *
 * WHO MAY SET WHAT
 *		Only a superuser sets what decides over a grant (on_unavailable,
 *		on_ungoverned, owner), because a session must not be able to get past its
 *		budgets; what bounds a tenant (tenant.c); and dimensions_max, because
 *		dimensions are kept for all to read.  caller is a label that anybody may
 *		set.  owner survives RESET ALL, because a connection pool that resets its
 *		sessions must not unpin a tenant.
 *
 *		Plans may be made for the pin (policy.c).  When it changes, they are
 *		dropped if there can be any.
 *
 * TRUST
 *		Where the library is not preloaded, governance.owner is a placeholder
 *		until a call loads the library, and anybody may set a placeholder.  So a
 *		client can replace the pin of its role, even by an empty value.
 *		PostgreSQL drops such a value when the library is loaded, because the
 *		client had no right to set it, and that would leave no pin at all.
 *		Therefore a session whose placeholder did not become the setting's value
 *		is pinned to an owner that cannot exist.
 *
 * FAILURE
 *		cache_size sizes shared memory, so it exists only where the library is
 *		preloaded; elsewhere defining it would be FATAL.
 */
#include "postgres.h"

#include <limits.h>

#include "datatype/timestamp.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/plancache.h"

#include "base/fault.h"
#include "base/guc.h"

/*
 * The least cache that serves well: below it the fixed parts leave little for
 * nodes.
 */
#define GOV_CACHE_SIZE_MIN_KB		(4 * 1024)
#define GOV_CACHE_SIZE_DEFAULT_KB	(64 * 1024)
#define GOV_CACHE_SIZE_MAX_KB		(64 * 1024 * 1024)

/*
 * Short windows stay over a weekend, while somebody may ask what happened on
 * Friday.
 */
#define GOV_USAGE_MERGE_AFTER_DEFAULT_S	(3 * SECS_PER_DAY)

/* Who was denied is asked for a quarter back. */
#define GOV_DENIAL_RETENTION_DEFAULT_S	(90 * SECS_PER_DAY)

/* What gov_query keeps of owners: about 250 bytes a budget. */
#define GOV_QUERY_MEMORY_DEFAULT_KB	(32 * 1024)

/*
 * The most that any setting may allow; see assignment.c and the check
 * constraint of alert_thresholds.
 */
#define GOV_ENTITY_BUDGETS_MAX		256
#define GOV_THRESHOLDS_MAX			10
#define GOV_DIMENSIONS_MAX_DEFAULT_KB	64
#define GOV_CALLER_MAX_CHARS	255
#define GOV_REASON_MAX_CHARS	1000
#define GOV_ROLLUP_INTERVAL_MIN_MS	10

/*
 * The owner that a session is pinned to whose pin is in doubt.  No owner has
 * it, because ids have no control characters.
 */
#define GOV_NO_OWNER	"refused\001"

int			gov_cache_size_kb = GOV_CACHE_SIZE_DEFAULT_KB;
int			gov_rollup_interval_ms = -1;
int			gov_event_retention_s = 0;
int			gov_usage_retention_s = 0;
int			gov_usage_grain_minutes = GOV_USAGE_GRAIN_HOUR;
int			gov_usage_merge_after_s = GOV_USAGE_MERGE_AFTER_DEFAULT_S;
int			gov_alert_retention_s = 0;
int			gov_change_retention_s = 0;
int			gov_denial_retention_s = GOV_DENIAL_RETENTION_DEFAULT_S;
int			gov_log_rollup_waits_ms = 60000;
int			gov_on_unavailable = GOV_ON_UNAVAILABLE_ERROR;
int			gov_on_ungoverned = GOV_ON_UNGOVERNED_GRANT;
int			gov_clock_offset_s = 0;
int			gov_tenant_budgets = 10000;
int			gov_tenant_entity_budgets = 16;
int			gov_tenant_cadence_s = 60;
int			gov_tenant_thresholds = 5;
int			gov_dimensions_max_kb = GOV_DIMENSIONS_MAX_DEFAULT_KB;
int			gov_query_memory_kb = GOV_QUERY_MEMORY_DEFAULT_KB;
int			gov_created_entities_max = 100000;
bool		gov_use_cache = true;
char	   *gov_owner = NULL;
char	   *gov_caller = NULL;
char	   *gov_reason = NULL;

static const struct config_enum_entry on_unavailable_options[] = {
	{"error", GOV_ON_UNAVAILABLE_ERROR, false},
	{"grant", GOV_ON_UNAVAILABLE_GRANT, false},
	{"deny", GOV_ON_UNAVAILABLE_DENY, false},
	{NULL, 0, false}
};

static const struct config_enum_entry on_ungoverned_options[] = {
	{"grant", GOV_ON_UNGOVERNED_GRANT, false},
	{"deny", GOV_ON_UNGOVERNED_DENY, false},
	{"error", GOV_ON_UNGOVERNED_ERROR, false},
	{NULL, 0, false}
};

static const struct config_enum_entry usage_grain_options[] = {
	{"15min", GOV_USAGE_GRAIN_QUARTER, false},
	{"30min", GOV_USAGE_GRAIN_HALF, false},
	{"1h", GOV_USAGE_GRAIN_HOUR, false},
	{NULL, 0, false}
};

/* The name of the caller, as rows record it. */
const char *
gov_guc_caller_name(void)
{
	if (gov_caller != NULL && gov_caller[0] != '\0')
		return gov_caller;
	return application_name ? application_name : "";
}

/*
 * May a value of governance.caller or governance.reason be kept with each row?
 * The server does not check what comes with the start of a session, and bytes that
 * are no text of this database's encoding could be neither read nor restored.
 */
static bool
can_be_kept(const char *value, int max_chars)
{
	int			length = value ? strlen(value) : 0;

	return pg_verify_mbstr(GetDatabaseEncoding(), value ? value : "", length, true) &&
		pg_mbstrlen_with_len(value ? value : "", length) <= max_chars;
}

static bool
caller_can_be_kept(char **value, void **extra, GucSource source)
{
	if (can_be_kept(*value, GOV_CALLER_MAX_CHARS))
		return true;
	GUC_check_errdetail("A caller is at most %d characters in the encoding of the database.",
						GOV_CALLER_MAX_CHARS);
	return false;
}

static bool
reason_can_be_kept(char **value, void **extra, GucSource source)
{
	if (can_be_kept(*value, GOV_REASON_MAX_CHARS))
		return true;
	GUC_check_errdetail("A reason is at most %d characters in the encoding of the database.",
						GOV_REASON_MAX_CHARS);
	return false;
}

static bool has_plans_for_owner = false;

/*
 * Note that a plan is being made which is right for the present value of owner
 * only.
 */
void
gov_guc_plans_know_owner(void)
{
	has_plans_for_owner = true;
}

static void
owner_changes(const char *value, void *extra)
{
	const char *present = gov_owner ? gov_owner : "";

	if (!has_plans_for_owner || strcmp(present, value ? value : "") == 0)
		return;
	ResetPlanCache();
	has_plans_for_owner = false;
}

/* What governance.owner was before it was defined; NULL when it was not set. */
static char *
claimed_owner(void)
{
	const char *claim = process_shared_preload_libraries_in_progress ? NULL :
	GetConfigOption("governance.owner", true, false);

	return claim ? pstrdup(claim) : NULL;
}

static void
judge_claim(const char *claim)
{
	if (claim == NULL || (claim[0] != '\0' && strcmp(claim, gov_owner) == 0))
		return;
	SetConfigOption("governance.owner", GOV_NO_OWNER, PGC_SUSET, PGC_S_OVERRIDE);
}

/* Define the settings that decide what a call answers. */
static void
define_decision_settings(void)
{
	DefineCustomEnumVariable("governance.on_unavailable",
							 "What checks answer when the engine cannot.",
							 "It cannot when it is not preloaded, or when the cache is full of what may not be evicted. "
							 "Calls that write raise an error then, whatever this says.",
							 &gov_on_unavailable,
							 GOV_ON_UNAVAILABLE_ERROR, on_unavailable_options,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("governance.on_ungoverned",
							 "What a use that no budget governs gets.",
							 "That is for checks, gov_consume, gov_require and gov_reserve; error is GV002.",
							 &gov_on_ungoverned,
							 GOV_ON_UNGOVERNED_GRANT, on_ungoverned_options,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("governance.owner",
							   "Pins the session to one owner; empty does not pin.",
							   "Tables, views and functions show and accept no other owner. RESET ALL does not unpin.",
							   &gov_owner, "",
							   PGC_SUSET, GUC_NO_RESET_ALL, NULL, owner_changes, NULL);
	DefineCustomStringVariable("governance.caller",
							   "Name recorded with each event and hold; empty means application_name.",
							   "At most 255 characters in the encoding of the database.",
							   &gov_caller, "",
							   PGC_USERSET, 0, caller_can_be_kept, NULL, NULL);
	DefineCustomStringVariable("governance.reason",
							   "Why the tables are changed, recorded with each row of gov_changes.",
							   "At most 1000 characters in the encoding of the database.",
							   &gov_reason, "",
							   PGC_USERSET, 0, reason_can_be_kept, NULL, NULL);
	DefineCustomIntVariable("governance.clock_offset",
							"Shifts the engine's clock, for testing.",
							"Windows that have turned do not turn back when it is lowered: see gov_reset_clock.",
							&gov_clock_offset_s, 0, INT_MIN, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
}

/* Define the settings that bound what calls keep and what queries remember. */
static void
define_call_settings(void)
{
	DefineCustomIntVariable("governance.dimensions_max",
							"Largest dimensions that a call may pass.",
							"Their size as jsonb (pg_column_size); each event and hold keeps them.",
							&gov_dimensions_max_kb, GOV_DIMENSIONS_MAX_DEFAULT_KB, 1, MAX_KILOBYTES,
							PGC_SUSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("governance.query_memory",
							"Memory that each session keeps for gov_query.",
							"What it has read of the owners it queried last, about 250 bytes a budget. "
							"An owner that does not fit is read from the tables at each query.",
							&gov_query_memory_kb, GOV_QUERY_MEMORY_DEFAULT_KB, 0, MAX_KILOBYTES,
							PGC_USERSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("governance.created_entities_max",
							"How many entities of an owner uses may have created for another use to create one.",
							"About. Past it consume and reserve are denied UnknownEntity where on_unknown says create, "
							"and ingest records without creating.",
							&gov_created_entities_max, 100000, 0, INT_MAX,
							PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("governance.use_cache",
							 "Lets checks answer from shared memory; off reads the tables, for testing.",
							 NULL, &gov_use_cache, true,
							 PGC_SUSET, GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
}

/* Define the settings that bound what a tenant may make. */
static void
define_tenant_settings(void)
{
	DefineCustomIntVariable("governance.tenant_budgets",
							"How many budgets an owner may have for a tenant to add another one.",
							"Budgets that the vendor has made count.",
							&gov_tenant_budgets, 10000, 0, INT_MAX,
							PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("governance.tenant_entity_budgets",
							"How many budgets an entity may have of one capability for a tenant to add another one.",
							"Budgets that the vendor has made count.",
							&gov_tenant_entity_budgets, 16, 0, GOV_ENTITY_BUDGETS_MAX,
							PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("governance.tenant_cadence",
							"The shortest window that a tenant may set.",
							"A budget of the vendor may have a shorter one, and keeps it.",
							&gov_tenant_cadence_s, 60, 1, INT_MAX,
							PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("governance.tenant_thresholds",
							"How many alert thresholds a tenant may set on a budget, and in its policy.",
							"A budget of the vendor may have more, and keeps them.",
							&gov_tenant_thresholds, 5, 0, GOV_THRESHOLDS_MAX,
							PGC_SUSET, 0, NULL, NULL, NULL);
}

/* Is the interval -1, or long enough for the worker to sleep? */
static bool
interval_is_sane(int *value, void **extra, GucSource source)
{
	if (*value != -1 && *value < GOV_ROLLUP_INTERVAL_MIN_MS)
	{
		GUC_check_errdetail("It is -1, or at least %d ms.", GOV_ROLLUP_INTERVAL_MIN_MS);
		return false;
	}
	return true;
}

/* Define the settings of the background work. */
static void
define_worker_settings(void)
{
	DefineCustomIntVariable("governance.rollup_interval",
							"Time between two rollups of the ledger; -1 rolls up as the ledger grows.",
							"10 ms at least. With -1 a rollup begins after 50000 events, and at latest five seconds "
							"after the last one, which costs least. Budgets, alerts at the commit and holds do not wait for it.",
							&gov_rollup_interval_ms, -1, -1, 3600000,
							PGC_SIGHUP, GUC_UNIT_MS, interval_is_sane, NULL, NULL);
	DefineCustomEnumVariable("governance.usage_grain",
							 "Span of time that one row of gov_usage_by_time covers.",
							 "It holds for what is rolled up from then on. Days that begin at half past an hour of UTC, as in India, "
							 "need 30min, and those of Nepal 15min; that makes up to two and four times as many rows.",
							 &gov_usage_grain_minutes, GOV_USAGE_GRAIN_HOUR, usage_grain_options,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("governance.event_retention",
							"Age at which rolled-up events and ended holds are deleted; 0 keeps them.",
							"Their sums in gov_usage and gov_usage_by_time stay; idempotency keys go with their event or hold.",
							&gov_event_retention_s, 0, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("governance.usage_retention",
							"Age at which usage is deleted of which the ledger has no events left; 0 keeps it.",
							"Usage is windows of gov_usage and hours of gov_usage_by_time. "
							"Without governance.event_retention the ledger keeps its events, so nothing is deleted.",
							&gov_usage_retention_s, 0, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("governance.usage_merge_after",
							"Age at which the short windows of a day become one row of usage; 0 keeps them.",
							"All windows of up to 12 hours that started on one day of UTC become one row of gov_usage.",
							&gov_usage_merge_after_s,
							GOV_USAGE_MERGE_AFTER_DEFAULT_S, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("governance.alert_retention",
							"Age at which alerts of earlier windows are deleted; 0 keeps them.",
							"Alerts of a budget's present window are never deleted.",
							&gov_alert_retention_s, 0, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("governance.change_retention",
							"Age at which rows of gov_changes are deleted; 0 keeps them.",
							"So are requests for more that were answered or withdrawn that long ago. What gov_limit_at() reads has no retention.",
							&gov_change_retention_s, 0, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("governance.denial_retention",
							"Age at which rows of gov_denials are deleted; 0 keeps them.",
							"Their age is that of the last denial that they count.",
							&gov_denial_retention_s,
							GOV_DENIAL_RETENTION_DEFAULT_S, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("governance.log_rollup_waits",
							"Time after which the log names the open transactions that the rollup waits for; -1 never.",
							"It names them once; gov_stats names them at once.",
							&gov_log_rollup_waits_ms, 60000, -1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
}

#ifdef GOV_FAULTS
int			gov_fault_point = GOV_FAULT_ALL;
int			gov_fault_at = 0;
int			gov_fault_action = GOV_FAULT_ERROR;
double		gov_fault_clock = 0;

static const struct config_enum_entry fault_point_options[] = {
	{"all", GOV_FAULT_ALL, false},
	{"statement", GOV_FAULT_STATEMENT, false},
	{"load", GOV_FAULT_LOAD, false},
	{"row", GOV_FAULT_ROW, false},
	{"cache", GOV_FAULT_CACHE, false},
	{"memory", GOV_FAULT_MEMORY, false},
	{"wait", GOV_FAULT_WAIT, false},
	{"notify", GOV_FAULT_NOTIFY, false},
	{NULL, 0, false}
};

static const struct config_enum_entry fault_action_options[] = {
	{"error", GOV_FAULT_ERROR, false},
	{"fatal", GOV_FAULT_FATAL, false},
	{"crash", GOV_FAULT_CRASH, false},
	{"pause", GOV_FAULT_PAUSE, false},
	{"queue", GOV_FAULT_QUEUE, false},
	{NULL, 0, false}
};

/* Define the settings of a build that can be made to fail; see fault.c. */
static void
define_fault_settings(void)
{
	DefineCustomEnumVariable("governance.fault_point",
							 "Which points count.",
							 NULL, &gov_fault_point,
							 GOV_FAULT_ALL, fault_point_options,
							 PGC_SUSET, GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("governance.fault_at",
							"Fail at the n-th of them.",
							NULL, &gov_fault_at, 0, 0, INT_MAX,
							PGC_SUSET, GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE,
							NULL, NULL, NULL);
	DefineCustomEnumVariable("governance.fault_action",
							 "How to fail.",
							 NULL, &gov_fault_action,
							 GOV_FAULT_ERROR, fault_action_options,
							 PGC_SUSET, GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);
	DefineCustomRealVariable("governance.fault_clock",
							 "Stops the clock of the session at so many microseconds after 2000-01-01 UTC; 0 lets it go.",
							 NULL, &gov_fault_clock, 0, 0, 1e18,
							 PGC_SUSET, GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);
}
#endif

void
gov_guc_init(void)
{
	char	   *claim = claimed_owner();

	if (process_shared_preload_libraries_in_progress)
		DefineCustomIntVariable("governance.cache_size",
								"Shared memory for cached entities and budgets.",
								"When it is full, what has not been used lately is evicted. "
								"gov_cache_needed() says how much the catalog takes.",
								&gov_cache_size_kb,
								GOV_CACHE_SIZE_DEFAULT_KB,
								GOV_CACHE_SIZE_MIN_KB, GOV_CACHE_SIZE_MAX_KB,
								PGC_POSTMASTER, GUC_UNIT_KB, NULL, NULL, NULL);
	define_decision_settings();
	define_call_settings();
	define_tenant_settings();
	define_worker_settings();
#ifdef GOV_FAULTS
	define_fault_settings();
#endif
	judge_claim(claim);
	MarkGUCPrefixReserved("governance");
}
