/*
 * tenant.c
 *		Triggers that bound what a tenant may make.
 *
 * PURPOSE
 *		A tenant manages budgets of its own owner, and each budget costs
 *		something: a part of the ledger's row at every call, alerts in every
 *		window.  So settings that a tenant cannot change bound how many budgets it
 *		may make, how short their windows may be, and how many thresholds they may
 *		have.  These bounds are no rules of the catalog: the vendor may exceed
 *		them, and what is there may stay.
 *
 * WHO
 *		A tenant is a role that may not change every owner (owner.c).
 *
 * WHEN
 *		At the end of a statement, over the rows that it wrote.  An UPDATE is
 *		refused only where it makes something worse: a window shorter, thresholds
 *		more.  Budgets are counted for the owners and entities that a statement
 *		has added to, GOV_TENANT_BATCH rows at a time.
 *
 * LOCKS
 *		Rows are counted with the lock on the owner's allocation (allocation.c)
 *		in a mode that one transaction has at a time, to its end; so two
 *		sessions of a tenant cannot both add the last budget.
 *
 * RACES ACCEPTED
 *		What a vendor's transaction adds at the same moment does not count until
 *		it is committed: the bound may then be passed by the vendor's budgets.
 *
 * FAILURE
 *		54000, and the hint names the setting.  The triggers do not fire for
 *		rows that replication applies.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "base/errors.h"

#include "base/catalog.h"
#include "base/guc.h"
#include "base/owner.h"
#include "base/spi.h"
#include "pure/cadence.h"
#include "rules/allocation.h"
#include "rules/transition.h"
#include "rules/trigger.h"

#define GOV_TENANT_BATCH	5000

PG_FUNCTION_INFO_V1(gov_assignment_bounded_1_1);
PG_FUNCTION_INFO_V1(gov_alert_policy_bounded_1_1);

enum
{
	ASSIGNMENT_THRESHOLDS,
	ASSIGNMENT_CADENCE,
	ASSIGNMENT_OWNER,
	ASSIGNMENT_ENTITY,
	ASSIGNMENT_CAPABILITY
};

static const char *const assignment_columns[] = {
	"alert_thresholds", "cadence", "owner_id", "entity_id", "capability_id"
};

enum
{
	POLICY_THRESHOLDS
};

static const char *const policy_columns[] = {"thresholds"};

/* The first owner that has at least so many budgets. */
static GovQuery crowded_owner_query = {
	.sql =
	"select w.owner_id"
	" from (select distinct o.owner_id collate \"C\" as owner_id"
	"      from unnest($1) as o (owner_id)) w,"
	" lateral (select count(*) as n"
	"         from (select from @gov_assignments a where a.owner_id = w.owner_id limit $2) b"
	"         offset 0) c"
	" where c.n >= $2"
	" limit 1",
	.nargs = 2,
	.argtypes = {TEXTARRAYOID, INT8OID}
};

/*
 * The first entity that has at least so many budgets for one capability;
 * planned as in hierarchy.c.
 */
static GovQuery crowded_entity_query = {
	.sql =
	"select w.entity_id, w.capability_id"
	" from (select distinct o.owner_id collate \"C\" as owner_id,"
	"       o.entity_id collate \"C\" as entity_id, o.capability_id collate \"C\" as capability_id"
	"      from unnest($1, $2, $3) as o (owner_id, entity_id, capability_id)) w,"
	" lateral (select count(*) as n"
	"         from (select from @gov_assignments a"
	"               where a.owner_id = w.owner_id and a.entity_id = w.entity_id"
	"                and a.capability_id || '' = w.capability_id"
	"               limit $4) b"
	"         offset 0) c"
	" where c.n >= $4"
	" limit 1",
	.nargs = 4,
	.argtypes = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT8OID}
};

/* ---------------------------------------------------------------- one row */

/*
 * How many thresholds a row has of its own: none where there is no row, or
 * null.
 */
static int
count_thresholds(const GovTransition *rows, TupleTableSlot *row, int column)
{
	ArrayType  *thresholds;

	if (row == NULL || gov_transition_is_null(rows, row, column))
		return 0;
	thresholds = DatumGetArrayTypeP(gov_transition_key(rows, row, column));
	return ArrayGetNItems(ARR_NDIM(thresholds), ARR_DIMS(thresholds));
}

static void
check_thresholds(const GovTransition *rows, int column)
{
	int			count = count_thresholds(rows, rows->after, column);

	if (count > gov_tenant_thresholds &&
		count > count_thresholds(rows, rows->before, column))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many alert thresholds: %d", count),
				 errdetail("Role \"%s\" may set %d.", GetUserNameFromId(GetUserId(), false),
						   gov_tenant_thresholds),
				 errhint("Set fewer, or have governance.tenant_thresholds raised for the role."),
				 errtable(rows->trigger->tg_relation)));
}

/*
 * The least length of a row's windows; a budget without a cadence has the
 * longest.
 */
static int64
window_length_s(const GovTransition *rows, TupleTableSlot *row)
{
	static const int64 lengths[] = {
		[GOV_CADENCE_YEAR] = 365 * SECS_PER_DAY,
		[GOV_CADENCE_MONTH] = 28 * SECS_PER_DAY,
		[GOV_CADENCE_WEEK] = 7 * SECS_PER_DAY,
		[GOV_CADENCE_DAY] = SECS_PER_DAY,
		[GOV_CADENCE_HOUR] = SECS_PER_HOUR,
		[GOV_CADENCE_MINUTE] = SECS_PER_MINUTE,
		[GOV_CADENCE_SECOND] = 1
	};
	GovCadence	cadence;

	if (row == NULL || gov_transition_is_null(rows, row, ASSIGNMENT_CADENCE) ||
		!gov_cadence_parse(TextDatumGetCString(gov_transition_key(rows, row, ASSIGNMENT_CADENCE)),
						   &cadence))
		return PG_INT64_MAX;
	return lengths[cadence.unit] * cadence.count;
}

static void
check_cadence(const GovTransition *rows)
{
	int64		length = window_length_s(rows, rows->after);

	if (length < gov_tenant_cadence_s && length < window_length_s(rows, rows->before))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("cadence %s is too short",
						TextDatumGetCString(gov_transition_key(rows, rows->after, ASSIGNMENT_CADENCE))),
				 errdetail("Role \"%s\" may set windows of %d seconds or more.",
						   GetUserNameFromId(GetUserId(), false), gov_tenant_cadence_s),
				 errhint("Choose a longer one, or have governance.tenant_cadence lowered for the role."),
				 errtable(rows->trigger->tg_relation)));
}

/* ---------------------------------------------------------------- how many there are */

/*
 * Rows that were added, whose owners and entities have their budgets counted.
 */
typedef struct GovTenantBatch
{
	int			count;
	Datum		owners[GOV_TENANT_BATCH];
	Datum		entities[GOV_TENANT_BATCH];
	Datum		capabilities[GOV_TENANT_BATCH];
} GovTenantBatch;

static void
check_owners(Datum owners, const char *role, Relation table)
{
	Datum		args[] = {owners, Int64GetDatum((int64) gov_tenant_budgets + 1)};

	if (gov_spi_select(&crowded_owner_query, args, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("owner \"%s\" would have too many budgets", gov_error_shown(gov_spi_text(0, 1))),
				 errdetail("Role \"%s\" may add to them up to %d.", role, gov_tenant_budgets),
				 errhint("Delete budgets that are not needed any more, or have governance.tenant_budgets raised for the role."),
				 errtable(table)));
}

static void
check_entities(Datum owners, Datum entities, Datum capabilities, const char *role,
			   Relation table)
{
	Datum		args[] = {
		owners, entities, capabilities, Int64GetDatum((int64) gov_tenant_entity_budgets + 1)
	};

	if (gov_spi_select(&crowded_entity_query, args, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("entity \"%s\" would have too many budgets for capability \"%s\"",
						gov_error_shown(gov_spi_text(0, 1)), gov_error_shown(gov_spi_text(0, 2))),
				 errdetail("Role \"%s\" may add to them up to %d.", role, gov_tenant_entity_budgets),
				 errhint("Delete budgets that are not needed any more, or have governance.tenant_entity_budgets raised for the role."),
				 errtable(table)));
}

static Datum
text_array(Datum *values, int count)
{
	return PointerGetDatum(construct_array(values, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Count the budgets of the owners and entities of a batch, and begin the next
 * batch.
 */
static void
check_counts(GovTenantBatch *batch, Relation table)
{
	Datum		owners = text_array(batch->owners, batch->count);
	char	   *role = GetUserNameFromId(GetUserId(), false);
	GovSpi		spi;

	/* a pinned session has one owner, and others seldom more */
	for (int i = 0; i < batch->count; i++)
	{
		if (i == 0 || strcmp(TextDatumGetCString(batch->owners[i]),
							 TextDatumGetCString(batch->owners[i - 1])) != 0)
			gov_allocation_lock(batch->owners[i], ShareUpdateExclusiveLock);
	}
	gov_spi_begin(&spi);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	check_owners(owners, role, table);
	check_entities(owners, text_array(batch->entities, batch->count),
				   text_array(batch->capabilities, batch->count), role, table);
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
	batch->count = 0;
}

static Datum
copy_key(const GovTransition *rows, int column)
{
	return datumCopy(gov_transition_key(rows, rows->after, column), false, -1);
}

/* Count the budgets of the owners and entities that got new ones. */
static void
check_added(GovTransition *rows)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "governance tenant",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	GovTenantBatch *batch = MemoryContextAllocZero(caller, sizeof(GovTenantBatch));

	gov_transition_rewind(rows);
	while (gov_transition_next(rows))
	{
		int			i = batch->count++;

		batch->owners[i] = copy_key(rows, ASSIGNMENT_OWNER);
		batch->entities[i] = copy_key(rows, ASSIGNMENT_ENTITY);
		batch->capabilities[i] = copy_key(rows, ASSIGNMENT_CAPABILITY);
		if (batch->count == GOV_TENANT_BATCH)
		{
			check_counts(batch, rows->trigger->tg_relation);
			MemoryContextReset(context);
		}
	}
	if (batch->count > 0)
		check_counts(batch, rows->trigger->tg_relation);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	pfree(batch);
}

/* ---------------------------------------------------------------- triggers */

/* Judge each row by itself. */
static void
check_rows(GovTransition *rows, bool has_cadence)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "governance tenant",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);

	gov_transition_rewind(rows);
	while (gov_transition_next(rows))
	{
		MemoryContextReset(context);
		check_thresholds(rows, has_cadence ? ASSIGNMENT_THRESHOLDS : POLICY_THRESHOLDS);
		if (has_cadence)
			check_cadence(rows);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

/* AFTER INSERT, and AFTER UPDATE, of gov_assignments, for each statement. */
Datum
gov_assignment_bounded_1_1(PG_FUNCTION_ARGS)
{
	GovTransition rows;

	gov_transition_begin(&rows,
						 gov_trigger_data_of(fcinfo, GOV_FIRES(TRIGGER_EVENT_INSERT) | GOV_FIRES(TRIGGER_EVENT_UPDATE),
											 gov_catalog()->assignments),
						 assignment_columns, lengthof(assignment_columns));
	if (!gov_owner_changes_every())
	{
		check_rows(&rows, true);
		if (rows.before == NULL)
			check_added(&rows);
	}
	gov_transition_end(&rows);
	return PointerGetDatum(NULL);
}

/* AFTER INSERT, and AFTER UPDATE, of gov_alert_policies, for each statement. */
Datum
gov_alert_policy_bounded_1_1(PG_FUNCTION_ARGS)
{
	GovTransition rows;

	gov_transition_begin(&rows,
						 gov_trigger_data_of(fcinfo, GOV_FIRES(TRIGGER_EVENT_INSERT) | GOV_FIRES(TRIGGER_EVENT_UPDATE),
											 gov_catalog()->alert_policies),
						 policy_columns, lengthof(policy_columns));
	if (!gov_owner_changes_every())
		check_rows(&rows, false);
	gov_transition_end(&rows);
	return PointerGetDatum(NULL);
}
