/*
 * allocation.c
 *		Triggers that have the rule of strict budgets judged, by one transaction
 *		at a time.
 *
 * PURPOSE
 *		allocation_rule.c has the rule itself.  This file decides which rows can
 *		break it, and who waits for whom.
 *
 * WHEN
 *		At the end of a statement, over the rows that it wrote: they may come in
 *		any order, exchange their limits, or move an entity together with its
 *		budgets.  Only rows that can break the rule are looked at: to lower,
 *		archive or delete is never refused, so that a rule which was broken with
 *		the triggers disabled can be mended in steps.
 *
 * LOCKS
 *		The lock on the allocation of an owner is one of STRIPES, chosen by hash,
 *		each a sub-object of gov_assignments, and is held to the end of the
 *		transaction.  README.md has its three modes, why it comes last, and
 *		which deadlocks are accepted.  A change that only gives room back takes no
 *		lock: until it is committed, others count as before.
 *
 * INVARIANTS
 *		Whoever adds to what a strict budget bounds has the owner's lock until
 *		that is committed or undone.  ROLLBACK TO a savepoint undoes changes and
 *		releases their locks; what it comes back to was judged before.
 *
 * FAILURE
 *		As with the rules of the hierarchy, the triggers do not fire for rows
 *		that replication applies or that are loaded with
 *		session_replication_role = replica.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "base/catalog.h"
#include "base/lookup.h"
#include "base/spi.h"
#include "rules/allocation.h"
#include "rules/allocation_rule.h"
#include "rules/rename.h"
#include "rules/transition.h"
#include "rules/trigger.h"

#define STRIPES			1024
#define JUDGED_AT_ONCE	1000	/* changes, before what they have broken is
								 * raised */

PG_FUNCTION_INFO_V1(gov_assignment_allocated_1_0);
PG_FUNCTION_INFO_V1(gov_entity_allocated_1_0);

typedef struct GovAllocationChanges
{
	GovTransition rows;
	void		(*examine) (const GovTransition *rows, GovAllocationChange *change);
	MemoryContext row_context;	/* what examining one row takes */
	Relation	assignments;
	text	   *asked;			/* the owner last asked for, and the answer */
	bool		has_strict;
} GovAllocationChanges;

/* ---------------------------------------------------------------- which rows */

enum
{
	ASSIGNMENT_OWNER,
	ASSIGNMENT_ENTITY,
	ASSIGNMENT_CAPABILITY,
	ASSIGNMENT_SCOPE,
	ASSIGNMENT_NAME,
	ASSIGNMENT_LIMIT,
	ASSIGNMENT_CADENCE,
	ASSIGNMENT_STRICT
};

static const char *const assignment_columns[] = {
	"owner_id", "entity_id", "capability_id", "scope_entity_ids", "name",
	"usage_limit", "cadence", "strict_allocation"
};

enum
{
	ENTITY_OWNER,
	ENTITY_ID,
	ENTITY_PARENT,
	ENTITY_ARCHIVED
};

static const char *const entity_columns[] = {
	"owner_id", "id", "parent_id", "archived_at"
};

/* A limit as it counts: where there is no row, or no limit, it is nothing. */
static Datum
counted_limit(const GovTransition *rows, TupleTableSlot *row)
{
	bool		isnull = true;
	Datum		limit = (Datum) 0;

	if (row != NULL)
		limit = gov_transition_value(rows, row, ASSIGNMENT_LIMIT, &isnull);
	return isnull ? NumericGetDatum(int64_to_numeric(0)) : limit;
}

/*
 * Is the budget of a row one of those that the parent's strict budgets bound?
 */
static bool
is_bounded(const GovTransition *rows)
{
	Datum		scope = gov_transition_key(rows, rows->after, ASSIGNMENT_SCOPE);
	Datum		name = gov_transition_key(rows, rows->after, ASSIGNMENT_NAME);

	return ARR_NDIM(DatumGetArrayTypeP(scope)) == 0 &&
		VARSIZE_ANY_EXHDR(DatumGetTextPP(name)) == 0;
}

static void
examine_assignment(const GovTransition *rows, GovAllocationChange *change)
{
	TupleTableSlot *before = rows->before;
	bool		is_strict = DatumGetBool(gov_transition_key(rows, rows->after, ASSIGNMENT_STRICT));
	bool		was_strict = before && DatumGetBool(gov_transition_key(rows, before, ASSIGNMENT_STRICT));
	bool		is_afresh = !before || gov_transition_text_differs(rows, ASSIGNMENT_CADENCE);
	bool		had_limit = before && !gov_transition_is_null(rows, before, ASSIGNMENT_LIMIT);
	int			raised = DatumGetInt32(DirectFunctionCall2(numeric_cmp,
														   counted_limit(rows, rows->after),
														   counted_limit(rows, is_afresh ? NULL : before)));

	change->owner = gov_transition_key(rows, rows->after, ASSIGNMENT_OWNER);
	change->entity = gov_transition_key(rows, rows->after, ASSIGNMENT_ENTITY);
	change->capability = gov_transition_key(rows, rows->after, ASSIGNMENT_CAPABILITY);
	change->is_child = raised > 0 && is_bounded(rows);
	change->is_parent = is_strict && (!was_strict || is_afresh || !had_limit || raised < 0);
	change->is_newly_strict = is_strict && !was_strict;
}

static void
examine_entity(const GovTransition *rows, GovAllocationChange *change)
{
	bool		is_active = gov_transition_is_null(rows, rows->after, ENTITY_ARCHIVED);
	bool		is_back = is_active && !gov_transition_is_null(rows, rows->before, ENTITY_ARCHIVED);
	bool		is_root = gov_transition_is_null(rows, rows->after, ENTITY_PARENT);

	change->owner = gov_transition_key(rows, rows->after, ENTITY_OWNER);
	change->entity = gov_transition_key(rows, rows->after, ENTITY_ID);
	change->every_capability = true;
	change->is_child = is_active && !is_root &&
		(is_back || gov_transition_text_differs(rows, ENTITY_PARENT));
	change->is_parent = is_back;
}

static void
begin_changes(GovAllocationChanges *changes)
{
	gov_transition_rewind(&changes->rows);
	changes->asked = NULL;
}

/*
 * The next row that may have broken the rule.  What it points to is valid
 * until the next call.
 */
static bool
next_change(GovAllocationChanges *changes, GovAllocationChange *change)
{
	while (gov_transition_next(&changes->rows))
	{
		MemoryContext caller;

		MemoryContextReset(changes->row_context);
		memset(change, 0, sizeof(*change));
		caller = MemoryContextSwitchTo(changes->row_context);
		changes->examine(&changes->rows, change);
		MemoryContextSwitchTo(caller);
		if (change->is_child || change->is_parent)
			return true;
	}
	return false;
}

/* Has the owner a strict budget, in the active snapshot? */
static bool
has_strict(GovAllocationChanges *changes, Datum owner)
{
	text	   *name = DatumGetTextPP(owner);
	GovLookupKey key = {"owner_id", PointerGetDatum(name)};
	GovLookup	lookup;

	if (changes->asked != NULL &&
		datumIsEqual(PointerGetDatum(changes->asked), PointerGetDatum(name), false, -1))
		return changes->has_strict;

	gov_lookup_begin(&lookup, changes->assignments, gov_catalog()->assignments_strict, &key, 1);
	changes->has_strict = HeapTupleIsValid(gov_lookup_next(&lookup));
	gov_lookup_end(&lookup);
	if (changes->asked != NULL)
		pfree(changes->asked);
	changes->asked = (text *) DatumGetPointer(datumCopy(PointerGetDatum(name), false, -1));
	return changes->has_strict;
}

/* ---------------------------------------------------------------- locks */

static int
stripe_of(Datum owner)
{
	text	   *name = DatumGetTextPP(owner);

	return hash_bytes((const unsigned char *) VARDATA_ANY(name),
					  VARSIZE_ANY_EXHDR(name)) % STRIPES;
}

static LOCKTAG
tag_of(int stripe)
{
	LOCKTAG		tag;

	/* sub-object 0 would be the table itself */
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId,
					   gov_catalog()->assignments, 1 + stripe);
	return tag;
}

/*
 * Lock the allocation of an owner to the end of the transaction, for triggers
 * that judge all its budgets.
 */
void
gov_allocation_lock(Datum owner, LOCKMODE mode)
{
	LOCKTAG		tag = tag_of(stripe_of(owner));

	(void) LockAcquire(&tag, mode, false, false);
}

/* Lock the owners of all changes, in one order; false if there are none. */
static bool
lock_owners(GovAllocationChanges *changes, LOCKMODE *modes)
{
	bool		found = false;
	GovAllocationChange change;

	begin_changes(changes);
	while (next_change(changes, &change))
	{
		LOCKMODE   *mode = &modes[stripe_of(change.owner)];

		*mode = Max(*mode, change.is_newly_strict ? ExclusiveLock : RowShareLock);
		found = true;
	}
	for (int stripe = 0; found && stripe < STRIPES; stripe++)
	{
		LOCKTAG		tag = tag_of(stripe);

		if (modes[stripe] != NoLock)
			(void) LockAcquire(&tag, modes[stripe], false, false);
	}
	return found;
}

/*
 * Lock those owners exclusively that have strict budgets; false if none has.
 * The weaker lock is released before: a transaction that has the stronger one,
 * and goes on to make another budget strict, must not wait for us while we
 * wait for it.
 */
static bool
lock_strict_owners(GovAllocationChanges *changes, const LOCKMODE *modes)
{
	bool		is_strict[STRIPES] = {false};
	bool		found = false;
	GovAllocationChange change;

	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	begin_changes(changes);
	while (next_change(changes, &change))
	{
		if (has_strict(changes, change.owner))
			is_strict[stripe_of(change.owner)] = found = true;
	}
	gov_spi_pop_snapshot();

	for (int stripe = 0; found && stripe < STRIPES; stripe++)
	{
		LOCKTAG		tag = tag_of(stripe);

		if (!is_strict[stripe] || modes[stripe] == ExclusiveLock)
			continue;
		LockRelease(&tag, RowShareLock, false);
		(void) LockAcquire(&tag, ShareUpdateExclusiveLock, false, false);
	}
	return found;
}

/* ---------------------------------------------------------------- triggers */

/* Have the changes of owners with strict budgets judged. */
static void
judge_changes(GovAllocationChanges *changes)
{
	GovAllocation allocation;
	GovAllocationChange change;
	uint64		count = 0;

	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	gov_allocation_begin(&allocation, changes->assignments);
	begin_changes(changes);
	while (next_change(changes, &change))
	{
		if (!has_strict(changes, change.owner))
			continue;
		gov_allocation_judge(&allocation, &change);
		if (++count % JUDGED_AT_ONCE == 0)
			gov_allocation_raise(&allocation, changes->rows.trigger->tg_relation);
	}
	gov_allocation_raise(&allocation, changes->rows.trigger->tg_relation);
	gov_allocation_end(&allocation);
	gov_spi_pop_snapshot();
}

static Datum
judge_statement(GovAllocationChanges *changes)
{
	LOCKMODE	modes[STRIPES] = {NoLock};

	changes->row_context = AllocSetContextCreate(CurrentMemoryContext, "governance allocation",
												 ALLOCSET_SMALL_SIZES);
	changes->assignments = table_open(gov_catalog()->assignments, AccessShareLock);
	if (lock_owners(changes, modes) && lock_strict_owners(changes, modes))
		judge_changes(changes);
	table_close(changes->assignments, NoLock);
	MemoryContextDelete(changes->row_context);
	gov_transition_end(&changes->rows);
	return PointerGetDatum(NULL);
}

/* AFTER INSERT, and AFTER UPDATE, of gov_assignments, for each statement. */
Datum
gov_assignment_allocated_1_0(PG_FUNCTION_ARGS)
{
	GovAllocationChanges changes = {.examine = examine_assignment};

	if (gov_rename_is_on())
		return PointerGetDatum(NULL);
	gov_transition_begin(&changes.rows,
						 gov_trigger_data_of(fcinfo, GOV_FIRES(TRIGGER_EVENT_INSERT) | GOV_FIRES(TRIGGER_EVENT_UPDATE),
											 gov_catalog()->assignments),
						 assignment_columns, lengthof(assignment_columns));
	return judge_statement(&changes);
}

/* AFTER UPDATE of gov_entities, for each statement; a new entity has no budgets. */
Datum
gov_entity_allocated_1_0(PG_FUNCTION_ARGS)
{
	GovAllocationChanges changes = {.examine = examine_entity};

	if (gov_rename_is_on())
		return PointerGetDatum(NULL);
	gov_transition_begin(&changes.rows,
						 gov_trigger_data_of(fcinfo, GOV_FIRES(TRIGGER_EVENT_UPDATE), gov_catalog()->entities),
						 entity_columns, lengthof(entity_columns));
	return judge_statement(&changes);
}
