/*
 * allocation_rule.c
 *		The rule of strict budgets: what the children of an entity are given may
 *		not add up to more than the entity has.
 *
 * PURPOSE
 *		A node-wide budget with strict_allocation and a limit bounds the sum of
 *		the limits of the unnamed node-wide budgets of its entity's children for
 *		the same capability and cadence.  What is archived is suspended: an
 *		archived child does not count, and budgets of an archived entity bound
 *		nothing until it is taken back.
 *
 * COST
 *		A few look-ups by key for each change, and one for each child of an
 *		entity whose strict budget is concerned: the children are added up once
 *		in a statement, however many of them it has changed.
 *
 * SNAPSHOTS
 *		The active one, which sees what the statement wrote.
 *
 * FAILURE
 *		23514, with the numbers and the name of the budget.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_collation.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/uuid.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/lookup.h"
#include "rules/allocation_rule.h"

/* A budget that bounds the budgets of its entity's children. */
typedef struct GovStrictBudget
{
	pg_uuid_t	id;
	Datum		owner;
	text	   *entity;
	text	   *capability;
	text	   *name;
	text	   *cadence;
	Datum		limit;
} GovStrictBudget;

void
gov_allocation_begin(GovAllocation *allocation, Relation assignments)
{
	HASHCTL		ctl = {.keysize = sizeof(pg_uuid_t), .entrysize = sizeof(pg_uuid_t)};

	allocation->entities = table_open(gov_catalog()->entities, AccessShareLock);
	allocation->assignments = assignments;
	allocation->context = AllocSetContextCreate(CurrentMemoryContext, "governance allocation",
												ALLOCSET_DEFAULT_SIZES);
	allocation->row_context = AllocSetContextCreate(allocation->context, "governance allocation row",
													ALLOCSET_DEFAULT_SIZES);
	GOV_FAULT(GOV_FAULT_MEMORY);
	ctl.hcxt = allocation->context;
	allocation->judged = hash_create("governance strict budgets", 64, &ctl,
									 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	allocation->outgrown = NULL;
}

void
gov_allocation_end(GovAllocation *allocation)
{
	table_close(allocation->entities, NoLock);
	MemoryContextDelete(allocation->context);
}

/* ---------------------------------------------------------------- rows */

static text *
text_column(const GovLookup *lookup, HeapTuple row, const char *column)
{
	bool		isnull;
	Datum		value = gov_lookup_column(lookup, row, column, &isnull);

	return isnull ? NULL : DatumGetTextPCopy(value);
}

static bool
is_same(text *one, text *other)
{
	if (one == NULL || other == NULL)
		return one == other;
	return DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID,
												PointerGetDatum(one), PointerGetDatum(other)));
}

/*
 * Is a budget one of those that a strict budget of the parent bounds, with a
 * limit above 0?
 */
static bool
is_bounded(const GovLookup *lookup, HeapTuple row)
{
	bool		isnull;
	Datum		limit;
	Datum		scope = gov_lookup_column(lookup, row, "scope_entity_ids", &isnull);
	Datum		name = gov_lookup_column(lookup, row, "name", &isnull);

	if (ARR_NDIM(DatumGetArrayTypeP(scope)) != 0 || VARSIZE_ANY_EXHDR(DatumGetTextPP(name)) != 0)
		return false;
	limit = gov_lookup_column(lookup, row, "usage_limit", &isnull);
	return !isnull && DatumGetBool(DirectFunctionCall2(numeric_gt, limit,
													   NumericGetDatum(int64_to_numeric(0))));
}

static GovStrictBudget *
strict_budget(const GovLookup *lookup, HeapTuple row, Datum owner)
{
	GovStrictBudget *budget = palloc(sizeof(GovStrictBudget));
	bool		isnull;

	budget->id = *DatumGetUUIDP(gov_lookup_column(lookup, row, "id", &isnull));
	budget->owner = owner;
	budget->entity = text_column(lookup, row, "entity_id");
	budget->capability = text_column(lookup, row, "capability_id");
	budget->name = text_column(lookup, row, "name");
	budget->cadence = text_column(lookup, row, "cadence");
	budget->limit = gov_lookup_column(lookup, row, "usage_limit", &isnull);
	budget->limit = isnull ? (Datum) 0 : PointerGetDatum(DatumGetNumericCopy(budget->limit));
	return budget;
}

/* The strict budgets of an entity for a capability, or (NULL) for all. */
static List *
strict_budgets(GovAllocation *allocation, Datum owner, Datum entity, text *capability)
{
	GovLookupKey keys[] = {{"owner_id", owner}, {"entity_id", entity}};
	GovLookup	lookup;
	HeapTuple	row;
	List	   *budgets = NIL;

	gov_lookup_begin(&lookup, allocation->assignments, gov_catalog()->assignments_strict,
					 keys, lengthof(keys));
	while (HeapTupleIsValid(row = gov_lookup_next(&lookup)))
	{
		bool		isnull;
		GovStrictBudget *budget;

		if (!DatumGetBool(gov_lookup_column(&lookup, row, "strict_allocation", &isnull)))
			continue;
		budget = strict_budget(&lookup, row, owner);
		if (capability == NULL || is_same(budget->capability, capability))
			budgets = lappend(budgets, budget);
	}
	gov_lookup_end(&lookup);
	return budgets;
}

/*
 * Find the parent of an entity; false if the entity is not there, or is
 * archived.
 */
static bool
find_entity(GovAllocation *allocation, Datum owner, Datum id, text **parent)
{
	GovLookupKey keys[] = {{"owner_id", owner}, {"id", id}};
	GovLookup	lookup;
	HeapTuple	row;
	bool		is_active = false;

	*parent = NULL;
	gov_lookup_begin(&lookup, allocation->entities, gov_catalog()->entities_pkey,
					 keys, lengthof(keys));
	row = gov_lookup_next(&lookup);
	if (HeapTupleIsValid(row))
	{
		(void) gov_lookup_column(&lookup, row, "archived_at", &is_active);
		*parent = text_column(&lookup, row, "parent_id");
	}
	gov_lookup_end(&lookup);
	return is_active;
}

/* ---------------------------------------------------------------- the sum */

/* Add what one child is given of what a strict budget bounds. */
static void
add_child(GovAllocation *allocation, const GovStrictBudget *budget, Datum child, Numeric *sum)
{
	GovLookupKey keys[] = {
		{"owner_id", budget->owner}, {"entity_id", child},
		{"capability_id", PointerGetDatum(budget->capability)}
	};
	GovLookup	lookup;
	HeapTuple	row;

	gov_lookup_begin(&lookup, allocation->assignments, gov_catalog()->assignments_key,
					 keys, lengthof(keys));
	while (HeapTupleIsValid(row = gov_lookup_next(&lookup)))
	{
		bool		isnull;

		if (is_bounded(&lookup, row) &&
			is_same(text_column(&lookup, row, "cadence"), budget->cadence))
			*sum = DatumGetNumeric(DirectFunctionCall2(numeric_add, NumericGetDatum(*sum),
													   gov_lookup_column(&lookup, row, "usage_limit", &isnull)));
	}
	gov_lookup_end(&lookup);
}

/* What the children are given of what a strict budget bounds. */
static Numeric
add_up(GovAllocation *allocation, const GovStrictBudget *budget)
{
	GovLookupKey keys[] = {
		{"owner_id", budget->owner}, {"parent_id", PointerGetDatum(budget->entity)}
	};
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "governance allocation child",
												  ALLOCSET_SMALL_SIZES);
	Numeric		sum = int64_to_numeric(0);
	GovLookup	lookup;
	HeapTuple	row;

	gov_lookup_begin(&lookup, allocation->entities, gov_catalog()->entities_parent,
					 keys, lengthof(keys));
	while (HeapTupleIsValid(row = gov_lookup_next(&lookup)))
	{
		MemoryContext caller = MemoryContextSwitchTo(context);
		Numeric		with_child = sum;
		bool		is_active;
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		(void) gov_lookup_column(&lookup, row, "archived_at", &is_active);
		if (is_active)
			add_child(allocation, budget, gov_lookup_column(&lookup, row, "id", &isnull), &with_child);
		MemoryContextSwitchTo(caller);
		if (with_child != sum)
		{
			pfree(sum);
			sum = DatumGetNumericCopy(NumericGetDatum(with_child));
		}
		MemoryContextReset(context);
	}
	gov_lookup_end(&lookup);
	MemoryContextDelete(context);
	return sum;
}

/* ---------------------------------------------------------------- the rule */

static int
compare_texts(text *one, text *other)
{
	return DatumGetInt32(DirectFunctionCall2Coll(bttextcmp, C_COLLATION_OID,
												 PointerGetDatum(one), PointerGetDatum(other)));
}

/* Is a budget reported rather than another one, when both are outgrown? */
static bool
comes_before(const GovStrictBudget *budget, const GovStrictBudget *other)
{
	int			order = compare_texts(budget->entity, other->entity);

	if (order == 0)
		order = compare_texts(budget->capability, other->capability);
	if (order == 0)
		order = compare_texts(budget->name, other->name);
	return order < 0;
}

/*
 * Note a budget that children have outgrown.  The copy stays until the
 * statement has been judged.
 */
static void
note_outgrown(GovAllocation *allocation, const GovStrictBudget *budget, Numeric allocated)
{
	MemoryContext caller;

	if (allocation->outgrown != NULL && !comes_before(budget, allocation->outgrown))
		return;
	caller = MemoryContextSwitchTo(allocation->context);
	allocation->outgrown = palloc(sizeof(GovStrictBudget));
	*allocation->outgrown = *budget;
	allocation->outgrown->entity = DatumGetTextPCopy(PointerGetDatum(budget->entity));
	allocation->outgrown->capability = DatumGetTextPCopy(PointerGetDatum(budget->capability));
	allocation->outgrown->name = DatumGetTextPCopy(PointerGetDatum(budget->name));
	if (budget->cadence != NULL)
		allocation->outgrown->cadence = DatumGetTextPCopy(PointerGetDatum(budget->cadence));
	allocation->outgrown->limit = PointerGetDatum(DatumGetNumericCopy(budget->limit));
	allocation->allocated = PointerGetDatum(DatumGetNumericCopy(NumericGetDatum(allocated)));
	MemoryContextSwitchTo(caller);
}

/* Judge a strict budget, once in a statement. */
static void
judge_budget(GovAllocation *allocation, const GovStrictBudget *budget)
{
	bool		found;
	text	   *parent;
	Numeric		sum;

	(void) hash_search(allocation->judged, &budget->id, HASH_ENTER, &found);
	if (found || budget->limit == (Datum) 0 ||
		!find_entity(allocation, budget->owner, PointerGetDatum(budget->entity), &parent))
		return;
	sum = add_up(allocation, budget);
	if (DatumGetBool(DirectFunctionCall2(numeric_gt, NumericGetDatum(sum), budget->limit)))
		note_outgrown(allocation, budget, sum);
}

/*
 * Judge those strict budgets of an entity that bound what a child of it is
 * given.
 */
static void
judge_parent(GovAllocation *allocation, List *budgets, const GovAllocationChange *change)
{
	GovLookupKey keys[] = {
		{"owner_id", change->owner}, {"entity_id", change->entity},
		{"capability_id", change->capability}
	};
	GovLookup	lookup;
	HeapTuple	row;

	gov_lookup_begin(&lookup, allocation->assignments, gov_catalog()->assignments_key,
					 keys, change->every_capability ? 2 : 3);
	while (HeapTupleIsValid(row = gov_lookup_next(&lookup)))
	{
		ListCell   *cell;
		text	   *capability = text_column(&lookup, row, "capability_id");
		text	   *cadence = text_column(&lookup, row, "cadence");

		if (!is_bounded(&lookup, row))
			continue;
		foreach(cell, budgets)
		{
			GovStrictBudget *budget = lfirst(cell);

			if (is_same(budget->capability, capability) && is_same(budget->cadence, cadence))
				judge_budget(allocation, budget);
		}
	}
	gov_lookup_end(&lookup);
}

/* Judge the strict budgets that a change concerns. */
void
gov_allocation_judge(GovAllocation *allocation, const GovAllocationChange *change)
{
	MemoryContext caller = MemoryContextSwitchTo(allocation->row_context);
	text	   *capability = change->every_capability ? NULL : DatumGetTextPP(change->capability);
	text	   *parent;
	ListCell   *cell;

	GOV_FAULT(GOV_FAULT_STATEMENT);
	if (change->is_child)
	{
		(void) find_entity(allocation, change->owner, change->entity, &parent);
		if (parent != NULL)
		{
			List	   *budgets = strict_budgets(allocation, change->owner, PointerGetDatum(parent), capability);

			if (budgets != NIL)
				judge_parent(allocation, budgets, change);
		}
	}
	if (change->is_parent)
	{
		foreach(cell, strict_budgets(allocation, change->owner, change->entity, capability))
			judge_budget(allocation, lfirst(cell));
	}
	MemoryContextSwitchTo(caller);
	MemoryContextReset(allocation->row_context);
}

static char *
shown_amount(Datum amount)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out,
											   DirectFunctionCall1(numeric_trim_scale, amount)));
}

/* Raise an error if children have outgrown one of the budgets judged. */
void
gov_allocation_raise(GovAllocation *allocation, Relation written)
{
	const GovStrictBudget *budget = allocation->outgrown;
	const char *name;
	const char *cadence;

	if (budget == NULL)
		return;
	name = gov_error_shown(text_to_cstring(budget->name));
	cadence = budget->cadence ? text_to_cstring(budget->cadence) : NULL;
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("limits of the children of entity \"%s\" for \"%s\" add up to %s, past its strict limit of %s",
					gov_error_shown(text_to_cstring(budget->entity)), gov_error_shown(text_to_cstring(budget->capability)),
					shown_amount(allocation->allocated), shown_amount(budget->limit)),
			 cadence != NULL ?
			 errdetail("Its budget \"%s\" with cadence %s has strict_allocation: it bounds the unnamed node-wide budgets with the same cadence of the children that are not archived.",
					   name, cadence) :
			 errdetail("Its budget \"%s\" without cadence has strict_allocation: it bounds the unnamed node-wide budgets without cadence of the children that are not archived.",
					   name),
			 errhint("Lower limits of its children first, raise its limit, or turn strict_allocation off."),
			 errtableconstraint(written, "gov_assignments_allocation")));
}
