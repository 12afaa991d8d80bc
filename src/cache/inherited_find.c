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

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/array.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/lookup.h"
#include "cache/inherited_find.h"
#include "cache/load_steps.h"
#include "ledger/columns.h"

/* The type of an entity; NULL if there is no such entity. */
static text *
read_type(Relation entities, Datum owner, Datum id)
{
	GovLookupKey keys[] = {{"owner_id", owner}, {"id", id}};
	GovLookup	lookup;
	HeapTuple	row;
	text	   *type = NULL;
	bool		isnull;

	gov_lookup_begin(&lookup, entities, gov_catalog()->entities_pkey, keys, lengthof(keys));
	row = gov_lookup_next(&lookup);
	if (HeapTupleIsValid(row))
		type = DatumGetTextPCopy(gov_lookup_column(&lookup, row, "type_id", &isnull));
	gov_lookup_end(&lookup);
	return type;
}

/* The entities of a scope, as a call would meet them that is about it. */
static void
read_scope(Datum owner, Datum scope, GovMet *met)
{
	Relation	entities = table_open(gov_catalog()->entities, AccessShareLock);
	Datum	   *ids;
	int			nids;

	deconstruct_array(DatumGetArrayTypeP(scope), TEXTOID, -1, false, TYPALIGN_INT, &ids, NULL, &nids);
	met->items = palloc(sizeof(GovMetEntity) * (nids + 1));
	met->count = 0;
	for (int i = 0; i < nids; i++)
	{
		text	   *id = DatumGetTextPP(ids[i]);
		text	   *type = read_type(entities, owner, ids[i]);

		if (type != NULL)
			met->items[met->count++] = (GovMetEntity) {VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id), VARDATA_ANY(type), VARSIZE_ANY_EXHDR(type)};
	}
	table_close(entities, NoLock);
}

/* Those in the scope that was met, or, if met is NULL, all that were used. */
static int
find_met(Datum owner, Datum entity, const GovMet *met, GovInheritedBudget **budgets)
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
	load.is_by_name = met != NULL;
	load.met = met;
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

/*
 * All of an entity that were used, and those without a scope; returns how many
 * there are.
 */
int
gov_inherited_find_all(Datum owner, Datum entity, GovInheritedBudget **budgets)
{
	return find_met(owner, entity, NULL, budgets);
}

/* The one with a name; false if there is none.  It may have an assignment in its place. */
bool
gov_inherited_find(const GovBudgetName *name, GovInheritedBudget *budget)
{
	GovInheritedBudget *budgets;
	GovMet		met;
	int			count;

	if (!gov_load_has_defaults() || array_contains_nulls(DatumGetArrayTypeP(name->scope)))
		return false;
	read_scope(name->owner, name->scope, &met);
	count = find_met(name->owner, name->entity, &met, &budgets);
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
