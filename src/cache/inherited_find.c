/*
 * inherited_find.c
 *		The budgets that an entity has by defaults, for those who need no node.
 *
 * PURPOSE
 *		Triggers and reports ask which budgets an entity inherits, also one that
 *		an assignment has taken the place of, or is about to.  They get what a
 *		load would read (load_defaults.c), under the active snapshot and in the
 *		current memory context.
 *
 * FAILURE
 *		An entity that does not exist has none.
 */
#include "postgres.h"

#include "base/clock.h"
#include "cache/inherited_find.h"
#include "cache/load_steps.h"
#include "ledger/columns.h"

/* All of an entity; returns how many there are. */
int
gov_inherited_find_all(Datum owner, Datum entity, bool has_replaced, GovInheritedBudget **budgets)
{
	text	   *id = DatumGetTextPP(entity);
	GovLoaded	item = {.id = VARDATA_ANY(id), .id_length = VARSIZE_ANY_EXHDR(id)};
	GovLoad		load = {0};
	GovEntityRows rows;
	int			count = 0;

	*budgets = NULL;
	if (!gov_load_has_defaults())
		return 0;
	load.owner = PointerGetDatum(DatumGetTextPP(owner));
	load.context = CurrentMemoryContext;
	load.now = gov_clock();
	load.has_replaced = has_replaced;
	if (!gov_load_rows(&load, &item, &rows))
		return 0;
	*budgets = palloc(sizeof(GovInheritedBudget) * (rows.nbudgets + 1));
	for (uint32 i = 0; i < rows.nbudgets; i++)
	{
		const GovRow *row = &rows.budgets[i];

		if (row->inherited != NULL)
			(*budgets)[count++] = (GovInheritedBudget) {row->values, row->nulls, row->inherited};
	}
	return count;
}

/* The one with a name; false if there is none.  It may have an assignment in its place. */
bool
gov_inherited_find(const GovBudgetName *name, GovInheritedBudget *budget)
{
	GovInheritedBudget *budgets;
	int			count = gov_inherited_find_all(name->owner, name->entity, true, &budgets);

	for (int i = 0; i < count; i++)
	{
		const Datum *values = budgets[i].values;

		if (gov_bytes_same(DatumGetTextPP(values[GOV_ASSIGNMENT_CAPABILITY_ID]), DatumGetTextPP(name->capability)) &&
			gov_bytes_same(DatumGetTextPP(values[GOV_ASSIGNMENT_NAME]), DatumGetTextPP(name->name)) &&
			gov_load_are_same_lists(values[GOV_ASSIGNMENT_SCOPE_ENTITY_IDS], name->scope))
		{
			*budget = budgets[i];
			return true;
		}
	}
	return false;
}
