/*
 * override.c
 *		Assignments that take the place of budgets by defaults, and their counts.
 *
 * PURPOSE
 *		An assignment with the same windows as the budget that the entity has by
 *		a default goes on with its count: keep_inherited.c gives it the id and the
 *		counter of that.  When it is deleted the entity has the budget by the default
 *		again, with that count.  Here is written that the count is used, and when
 *		it is given up: when the assignment is given other windows, and when the
 *		entity is deleted, or one of its scope.  A counter that was given up does not come back
 *		(inherited.c): the entity's next such budget has another one.  A recount
 *		gives both another counter (recount_write.c).
 *
 *		Where a default is locked a tenant makes no assignment in its place, and
 *		does not touch one that is there.
 *
 * LOCKING
 *		Who deletes an entity that has used budgets by defaults takes ShareLock on
 *		gov_rollup_state, as for a budget (usage.c).
 *
 * RACES ACCEPTED
 *		A use that is in flight while its entity is deleted leaves its row: its
 *		count is that of a later entity of the same id, unless others had used
 *		the budget before.  So it is with an entity of its scope.
 *
 * FAILURE
 *		42501.  The trigger on entities fires for logical apply too, because it
 *		deletes; the others do not.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "base/lookup.h"
#include "base/owner.h"
#include "base/spi.h"
#include "cache/inherited_find.h"
#include "cache/load_steps.h"
#include "ledger/columns.h"
#include "rules/transition.h"
#include "rules/trigger.h"

PG_FUNCTION_INFO_V1(gov_assignment_goes_on_1_1);
PG_FUNCTION_INFO_V1(gov_assignment_parts_1_1);
PG_FUNCTION_INFO_V1(gov_assignment_unlocked_1_1);
PG_FUNCTION_INFO_V1(gov_entity_gone_1_1);

static const char *const name_columns[] = {
	"owner_id", "entity_id", "capability_id", "scope_entity_ids", "name"
};

static GovQuery count_query = {
	.sql =
	"insert into @gov_default_counts"
	" (owner_id, entity_id, default_id, scope_entity_ids, seed, anchor, anchor_at, salt,"
	"  assignment_id, counter_id)"
	" values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
	.nargs = 10,
	.argtypes = {TEXTOID, TEXTOID, UUIDOID, TEXTARRAYOID, INT8OID, TEXTOID, TIMESTAMPTZOID, INT4OID,
	UUIDOID, INT8OID}
};

static GovQuery retire_query = {
	.sql = "update @gov_default_counts set retired = true where counter_id = $1 and not retired",
	.nargs = 1,
	.argtypes = {INT8OID}
};

/* What was recounted goes on under another counter. */
static GovQuery go_on_query = {
	.sql = "update @gov_default_counts set counter_id = $2 where counter_id = $1",
	.nargs = 2,
	.argtypes = {INT8OID, INT8OID}
};

/* Retire counts, and delete what was counted. */
#define GOV_RETIRE(those) \
	"with gone as (" \
	" update @gov_default_counts n set retired = true" \
	" where " those " and not n.retired returning n.owner_id, n.assignment_id)," \
	" usage as (" \
	" delete from @gov_usage u using (select distinct g.owner_id, g.assignment_id from gone g) g" \
	" where u.owner_id = g.owner_id and u.assignment_id = g.assignment_id)," \
	" recounts as (" \
	" delete from @gov_recounts r using (select distinct g.owner_id, g.assignment_id from gone g) g" \
	" where r.owner_id = g.owner_id and r.assignment_id = g.assignment_id)" \
	"delete from @gov_alerts a using (select distinct g.assignment_id from gone g) g" \
	" where a.assignment_id = g.assignment_id"

/* Those whose scope has an entity; hierarchy.c says why it is asked for like this. */
#define GOV_IS_IN_SCOPE \
	"n.owner_id || n.scope_entity_ids @> array[$1, $2] and n.scope_entity_ids <> '{}'" \
	" and n.owner_id || '' = $1 and n.scope_entity_ids @> array[$2]"

static GovQuery retire_entity_query = {
	.sql = GOV_RETIRE("n.owner_id = $1 and n.entity_id = $2"),
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID}
};

static GovQuery retire_scope_query = {
	.sql = GOV_RETIRE(GOV_IS_IN_SCOPE),
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID},
	.uses_bitmap = true
};

/* Of all that there are. */
static GovQuery retire_all_query = {.sql = GOV_RETIRE("true")};

static GovQuery used_query = {
	.sql =
	"select from @gov_default_counts n where n.owner_id = $1 and n.entity_id = $2 and not n.retired limit 1",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID}
};

static GovQuery used_scope_query = {
	.sql = "select from @gov_default_counts n where " GOV_IS_IN_SCOPE " and not n.retired limit 1",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID},
	.uses_bitmap = true
};

static GovQuery forget_boosts_query = {
	.sql = "delete from @gov_boosts b where b.owner_id = $1 and b.entity_id = $2",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID}
};

static bool
find_budget(const TriggerData *trigger, HeapTuple row, GovInheritedBudget *budget)
{
	GovBudgetName name = {
		.owner = gov_trigger_key(trigger, row, "owner_id"),
		.entity = gov_trigger_key(trigger, row, "entity_id"),
		.capability = gov_trigger_key(trigger, row, "capability_id"),
		.scope = gov_trigger_key(trigger, row, "scope_entity_ids"),
		.name = gov_trigger_key(trigger, row, "name")
	};
	bool		is_found;

	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	is_found = gov_inherited_find(&name, budget);
	gov_spi_pop_snapshot();
	return is_found;
}

/* Write that a budget by a default is used. */
static void
write_count(const GovInheritedBudget *budget)
{
	const GovInheritedRow *made_of = budget->made_of;
	Datum		args[10] = {
		budget->values[GOV_ASSIGNMENT_OWNER_ID],
		budget->values[GOV_ASSIGNMENT_ENTITY_ID],
		UUIDPGetDatum(&made_of->default_id),
		budget->values[GOV_ASSIGNMENT_SCOPE_ENTITY_IDS],
		Int64GetDatum(made_of->seed),
		PointerGetDatum(made_of->anchor),
		budget->values[GOV_ASSIGNMENT_ANCHOR_AT],
		Int32GetDatum(made_of->salt),
		budget->values[GOV_ASSIGNMENT_ID],
		budget->values[GOV_ASSIGNMENT_COUNTER_ID]
	};
	char		nulls[10];
	GovSpi		spi;

	memset(nulls, ' ', sizeof(nulls));
	nulls[5] = made_of->anchor == NULL ? 'n' : ' ';
	nulls[6] = budget->nulls[GOV_ASSIGNMENT_ANCHOR_AT] ? 'n' : ' ';
	gov_spi_begin(&spi);
	gov_spi_modify(&count_query, args, nulls);
	gov_spi_end(&spi);
}

/* AFTER INSERT of gov_assignments, for each row that goes on with a count. */
Datum
gov_assignment_goes_on_1_1(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger =
	gov_trigger_data_of(fcinfo, GOV_FIRES(TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW),
						gov_catalog()->assignments);
	HeapTuple	row = trigger->tg_trigtuple;
	GovInheritedBudget budget;

	if (find_budget(trigger, row, &budget) && budget.made_of->wants_row &&
		DatumGetInt64(budget.values[GOV_ASSIGNMENT_COUNTER_ID]) ==
		DatumGetInt64(gov_trigger_key(trigger, row, "counter_id")))
		write_count(&budget);
	return PointerGetDatum(NULL);
}

/*
 * AFTER UPDATE of gov_assignments, for each row that does not go on with a count
 * any more, or goes on with it under another counter, because it was recounted.
 */
Datum
gov_assignment_parts_1_1(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger =
	gov_trigger_data_of(fcinfo, GOV_FIRES(TRIGGER_EVENT_UPDATE | TRIGGER_EVENT_ROW),
						gov_catalog()->assignments);
	Datum		args[2] = {
		gov_trigger_key(trigger, trigger->tg_trigtuple, "counter_id"),
		gov_trigger_key(trigger, trigger->tg_newtuple, "counter_id")
	};
	GovSpi		spi;

	gov_spi_begin(&spi);
	gov_spi_modify(DatumGetInt64(args[1]) < 0 ? &go_on_query : &retire_query, args, NULL);
	gov_spi_end(&spi);
	return PointerGetDatum(NULL);
}

/* ---------------------------------------------------------------- entities that go */

/* Retire the counts that a query finds. */
static void
retire_used(GovQuery *used, GovQuery *retire, Datum *args)
{
	uint64		nused;

	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	nused = gov_spi_select(used, args, NULL);
	gov_spi_pop_snapshot();
	if (nused == 0)
		return;
	LockRelationOid(gov_catalog()->rollup_state, ShareLock);
	gov_spi_modify(retire, args, NULL);
}

static void
forget_entity(Datum *args)
{
	GovSpi		spi;

	gov_spi_begin(&spi);
	retire_used(&used_query, &retire_entity_query, args);
	retire_used(&used_scope_query, &retire_scope_query, args);
	if (gov_load_has_boosts())
		gov_spi_modify(&forget_boosts_query, args, NULL);
	gov_spi_end(&spi);
}

static void
forget_entities(void)
{
	GovSpi		spi;

	LockRelationOid(gov_catalog()->rollup_state, ShareLock);
	gov_spi_begin(&spi);
	gov_spi_modify(&retire_all_query, NULL, NULL);
	gov_spi_end(&spi);
}

/* AFTER DELETE of gov_entities, for each row, and AFTER TRUNCATE. */
Datum
gov_entity_gone_1_1(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger =
	gov_trigger_data_of(fcinfo,
						GOV_FIRES(TRIGGER_EVENT_DELETE | TRIGGER_EVENT_ROW) |
						GOV_FIRES(TRIGGER_EVENT_TRUNCATE), gov_catalog()->entities);
	Datum		args[2];

	/* gov_delete_owner deletes all of an owner's itself */
	if (gov_spi_is_engine() || (!gov_lookup_is_filled(gov_catalog()->default_assignments) &&
								!gov_lookup_is_filled(gov_catalog()->default_counts)))
		return PointerGetDatum(NULL);
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
	{
		forget_entities();
		return PointerGetDatum(NULL);
	}
	args[0] = gov_trigger_key(trigger, trigger->tg_trigtuple, "owner_id");
	args[1] = gov_trigger_key(trigger, trigger->tg_trigtuple, "id");
	forget_entity(args);
	return PointerGetDatum(NULL);
}

/* ---------------------------------------------------------------- locked defaults */

pg_noreturn static void
raise_locked(const GovTransition *rows, const GovBudgetName *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("the default budget of entity \"%s\" for capability \"%s\" is locked",
					gov_error_shown(TextDatumGetCString(name->entity)),
					gov_error_shown(TextDatumGetCString(name->capability))),
			 errdetail("Role \"%s\" may not put an assignment in its place, nor change or delete one that is there.",
					   GetUserNameFromId(GetUserId(), false)),
			 errhint("Ask for more with gov_request_increase."),
			 errtable(rows->trigger->tg_relation)));
}

static void
check_row(const GovTransition *rows)
{
	TupleTableSlot *row = rows->after != NULL ? rows->after : rows->before;
	GovBudgetName name = {
		.owner = gov_transition_key(rows, row, 0),
		.entity = gov_transition_key(rows, row, 1),
		.capability = gov_transition_key(rows, row, 2),
		.scope = gov_transition_key(rows, row, 3),
		.name = gov_transition_key(rows, row, 4)
	};
	GovInheritedBudget budget;

	if (gov_inherited_find(&name, &budget) && DatumGetBool(budget.values[GOV_ASSIGNMENT_LOCKED]))
		raise_locked(rows, &name);
}

/* AFTER INSERT, AFTER UPDATE, and AFTER DELETE, of gov_assignments, for each statement. */
Datum
gov_assignment_unlocked_1_1(PG_FUNCTION_ARGS)
{
	TriggerData *trigger =
	gov_trigger_data_of(fcinfo, GOV_FIRES(TRIGGER_EVENT_INSERT) | GOV_FIRES(TRIGGER_EVENT_UPDATE) |
						GOV_FIRES(TRIGGER_EVENT_DELETE), gov_catalog()->assignments);
	GovTransition rows;
	MemoryContext context;
	MemoryContext caller;

	if (gov_owner_changes_every() || !gov_load_has_defaults())
		return PointerGetDatum(NULL);
	gov_transition_begin(&rows, trigger, name_columns, lengthof(name_columns));
	context = AllocSetContextCreate(CurrentMemoryContext, "governance overrides", ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(context);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	gov_transition_rewind(&rows);
	while (gov_transition_next(&rows))
	{
		check_row(&rows);
		MemoryContextReset(context);
	}
	gov_spi_pop_snapshot();
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	gov_transition_end(&rows);
	return PointerGetDatum(NULL);
}
