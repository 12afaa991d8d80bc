/*
 * assignment.c
 *		Triggers that hold the rules for new budgets which no foreign key can
 *		hold.
 *
 * PURPOSE
 *		A scope names entities of the budget's owner, and an entity has a
 *		bounded number of budgets per capability.
 *
 * WHEN
 *		At the end of a statement, over the rows that it wrote: that costs a few
 *		microseconds a row, which the firing of a trigger for each row would cost
 *		by itself.  It fires before the trigger that judges strict budgets, whose
 *		lock comes after all locks on rows (allocation.c).  The keys of a budget
 *		do not change, so an UPDATE breaks no rule.  In a catalog of 1.0.0 that is
 *		not updated yet there is a trigger for each row.
 *
 * LOCKS
 *		Entities that a scope names are locked FOR KEY SHARE, as a foreign key
 *		does; the deletion of one waits, and then sees who came first.
 *
 *		Budgets are counted without a lock, after the new ones are in the table:
 *		of two sessions that add the last one at once, whoever counts later
 *		finds both.  So what an open transaction has added counts as there, and
 *		what it has deleted as well.
 *
 * COST
 *		Most entities have few budgets.  The index has at least as many entries
 *		for an entity and a capability, dead ones included, as there are budgets:
 *		only where it has too many are rows read.
 *
 *		Where there are defaults the entity's are counted too.  A default is not
 *		judged by the budgets of each entity that gets it, of which there may be a
 *		million: it is one of 256 of its type and capability (gov_default_placed).
 *		So an entity that had many budgets before may have more than 256.
 *
 * RACES ACCEPTED
 *		Two sessions that add the last budget at once may both be refused, and
 *		one is refused although the other then rolls back.
 *
 * FAILURE
 *		23503 and 54000.  The triggers do not fire for rows that replication
 *		applies or that are loaded with session_replication_role = replica.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/lookup.h"
#include "base/spi.h"
#include "cache/inherited_find.h"
#include "cache/load_steps.h"
#include "ledger/columns.h"
#include "pure/bytes.h"
#include "rules/hierarchy.h"
#include "rules/transition.h"
#include "rules/trigger.h"

#define BUDGETS_MAX		256		/* of one entity and capability */

PG_FUNCTION_INFO_V1(gov_assignment_placed_1_0);
PG_FUNCTION_INFO_V1(gov_assignment_placed_1_1);

enum
{
	OWNER,
	ENTITY,
	CAPABILITY,
	SCOPE
};

static const char *const columns[] = {
	"owner_id", "entity_id", "capability_id", "scope_entity_ids"
};

/* What the rules look at of a budget. */
typedef struct GovNewBudget
{
	Datum		owner;
	Datum		entity;
	Datum		capability;
	Datum		scope;
} GovNewBudget;

typedef struct GovPlacement
{
	Relation	assignments;
	Relation	entities;
	bool		has_defaults;
	GovEntries	entries;
	MemoryContext row_context;	/* what judging one row takes */
	Datum		owner;			/* whose scope was last seen to, or 0, */
	Datum		scope;			/* and that scope */
} GovPlacement;

/* ---------------------------------------------------------------- scopes */

static bool
is_last_scope(const GovPlacement *placement, const GovNewBudget *budget)
{
	return DatumGetPointer(placement->owner) != NULL &&
		datumIsEqual(placement->scope, budget->scope, false, -1) &&
		datumIsEqual(placement->owner, budget->owner, false, -1);
}

static void
remember_scope(GovPlacement *placement, const GovNewBudget *budget)
{
	if (DatumGetPointer(placement->owner) != NULL)
	{
		pfree(DatumGetPointer(placement->owner));
		pfree(DatumGetPointer(placement->scope));
	}
	placement->owner = datumCopy(budget->owner, false, -1);
	placement->scope = datumCopy(budget->scope, false, -1);
}

/* The entities of a scope must exist, and stay until we have committed. */
static void
keep_scope(const GovPlacement *placement, const GovNewBudget *budget)
{
	Datum	   *ids;
	int			nids;

	deconstruct_array(DatumGetArrayTypeP(budget->scope), TEXTOID, -1, false, TYPALIGN_INT,
					  &ids, NULL, &nids);
	for (int i = 0; i < nids; i++)
	{
		if (!gov_hierarchy_keep(placement->entities, budget->owner, ids[i]))
			ereport(ERROR,
					(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
					 errmsg("scope entity \"%s\" does not exist", gov_error_shown(TextDatumGetCString(ids[i]))),
					 errdetail("Owner \"%s\" has no such entity.", gov_error_shown(TextDatumGetCString(budget->owner))),
					 errhint("A scope names entities of the same owner."),
					 errtableconstraint(placement->assignments, "gov_assignments_scope_entity_ids_fkey")));
	}
}

/* ---------------------------------------------------------------- how many there are */

/* How many budgets an entity has for a capability, those of open transactions included. */
static int
count_budgets(Relation assignments, const GovNewBudget *budget)
{
	GovLookupKey keys[] = {
		{"owner_id", budget->owner}, {"entity_id", budget->entity}, {"capability_id", budget->capability}
	};
	SnapshotData dirty;
	GovLookup	lookup;
	HeapTuple	row;
	int			count = 0;

	InitDirtySnapshot(dirty);
	gov_lookup_begin_at(&lookup, assignments, gov_catalog()->assignments_key, keys,
						lengthof(keys), &dirty);
	while (HeapTupleIsValid(row = gov_lookup_next(&lookup)))
	{
		/*
		 * a version that an open transaction has replaced: the other one
		 * counts
		 */
		if (!TransactionIdIsValid(dirty.xmax) ||
			ItemPointerEquals(&row->t_data->t_ctid, &row->t_self))
			count++;
	}
	gov_lookup_end(&lookup);
	return count;
}

/* How many budgets an entity has for a capability by defaults. */
static int
count_inherited(const GovNewBudget *budget)
{
	GovInheritedBudget *budgets;
	int			nbudgets;
	int			count = 0;

	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	nbudgets = gov_inherited_find_all(budget->owner, budget->entity, &budgets);
	gov_spi_pop_snapshot();
	for (int i = 0; i < nbudgets; i++)
		count += gov_bytes_same(DatumGetTextPP(budgets[i].values[GOV_ASSIGNMENT_CAPABILITY_ID]),
								DatumGetTextPP(budget->capability));
	return count;
}

static void
check_budgets(GovPlacement *placement, const GovNewBudget *budget)
{
	Datum		keys[] = {budget->owner, budget->entity, budget->capability};
	int			most = BUDGETS_MAX - (placement->has_defaults ? count_inherited(budget) : 0);

	if (most >= 0 && (gov_lookup_entries_are_at_most(&placement->entries, keys, most) ||
					  count_budgets(placement->assignments, budget) <= most))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("entity \"%s\" has too many budgets for capability \"%s\"",
					gov_error_shown(TextDatumGetCString(budget->entity)),
					gov_error_shown(TextDatumGetCString(budget->capability))),
			 errdetail("There may be at most %d, with those by defaults.", BUDGETS_MAX),
			 errhint("Delete budgets that are not needed any more."),
			 errtableconstraint(placement->assignments, "gov_assignments_limit")));
}

/* ---------------------------------------------------------------- triggers */

static void
begin_placement(GovPlacement *placement, const TriggerData *trigger)
{
	GOV_FAULT(GOV_FAULT_STATEMENT);
	placement->assignments = trigger->tg_relation;
	placement->entities = table_open(gov_catalog()->entities, RowShareLock);
	placement->row_context = AllocSetContextCreate(CurrentMemoryContext, "governance budgets",
												   ALLOCSET_SMALL_SIZES);
	placement->owner = PointerGetDatum(NULL);
	placement->has_defaults = gov_load_has_defaults();
	gov_lookup_entries_begin(&placement->entries, trigger->tg_relation, gov_catalog()->assignments_key, 3);
}

static void
end_placement(GovPlacement *placement)
{
	gov_lookup_entries_end(&placement->entries);
	MemoryContextDelete(placement->row_context);
	table_close(placement->entities, NoLock);
}

static void
place_budget(GovPlacement *placement, const GovNewBudget *budget)
{
	MemoryContext caller;

	MemoryContextReset(placement->row_context);
	caller = MemoryContextSwitchTo(placement->row_context);
	if (!is_last_scope(placement, budget))
	{
		keep_scope(placement, budget);
		MemoryContextSwitchTo(caller);
		remember_scope(placement, budget);
		MemoryContextSwitchTo(placement->row_context);
	}
	check_budgets(placement, budget);
	MemoryContextSwitchTo(caller);
}

/* AFTER INSERT of gov_assignments, for each statement. */
Datum
gov_assignment_placed_1_1(PG_FUNCTION_ARGS)
{
	TriggerData *trigger =
	gov_trigger_data_of(fcinfo, GOV_FIRES(TRIGGER_EVENT_INSERT), gov_catalog()->assignments);
	GovTransition rows;
	GovPlacement placement;

	gov_transition_begin(&rows, trigger, columns, lengthof(columns));
	begin_placement(&placement, trigger);
	gov_transition_rewind(&rows);
	while (gov_transition_next(&rows))
	{
		GovNewBudget budget = {
			gov_transition_key(&rows, rows.after, OWNER),
			gov_transition_key(&rows, rows.after, ENTITY),
			gov_transition_key(&rows, rows.after, CAPABILITY),
			gov_transition_key(&rows, rows.after, SCOPE)
		};

		place_budget(&placement, &budget);
	}
	end_placement(&placement);
	gov_transition_end(&rows);
	return PointerGetDatum(NULL);
}

/* AFTER INSERT of gov_assignments, for each row, in a catalog of 1.0.0. */
Datum
gov_assignment_placed_1_0(PG_FUNCTION_ARGS)
{
	TriggerData *trigger =
	gov_trigger_data_of(fcinfo, GOV_FIRES(TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW),
						gov_catalog()->assignments);
	HeapTuple	row = trigger->tg_trigtuple;
	GovNewBudget budget = {
		gov_trigger_key(trigger, row, columns[OWNER]),
		gov_trigger_key(trigger, row, columns[ENTITY]),
		gov_trigger_key(trigger, row, columns[CAPABILITY]),
		gov_trigger_key(trigger, row, columns[SCOPE])
	};
	GovPlacement placement;

	begin_placement(&placement, trigger);
	place_budget(&placement, &budget);
	end_placement(&placement);
	return PointerGetDatum(NULL);
}
