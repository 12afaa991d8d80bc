/*
 * keep_inherited.c
 *		Budgets that go on with the count that their entity has by a default.
 *
 * PURPOSE
 *		A budget that takes the place of one by a default, and has the same
 *		windows, gets its id and its counter, before it is written.  That the count
 *		is used, and when it is given up, is in override.c.
 *
 * LOCKING
 *		A row that goes on with the count of a default locks the rows that say
 *		so (gov_default_counts) FOR SHARE: a recount may be about to give the
 *		budget another counter.  Before them the entity and those of the scope FOR
 *		KEY SHARE, as their foreign keys and rules will: whoever deletes one of these has it, and
 *		comes for the counts then (override.c).
 *
 * FAILURE
 *		55000 for the id of a budget by a default with other windows.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "base/catalog.h"
#include "base/spi.h"
#include "cache/inherited_find.h"
#include "cache/load_steps.h"
#include "ledger/columns.h"
#include "rules/keep_columns.h"
#include "rules/keep_counter.h"
#include "rules/keep_inherited.h"
#include "rules/trigger.h"

static GovQuery entities_query = {
	.sql =
	"select from @gov_entities e where e.owner_id = $1 and e.id = any ($2 || $3)"
	" order by e.id for key share",
	.nargs = 3,
	.argtypes = {TEXTOID, TEXTOID, TEXTARRAYOID}
};

/* The rows of a budget by a default that was used, which a recount changes. */
static GovQuery stay_query = {
	.sql = "select from @gov_default_counts n where n.assignment_id = $1 and not n.retired for share",
	.nargs = 1,
	.argtypes = {UUIDOID}
};

/* Has a row the same windows as the budget that its entity has by a default? */
static bool
has_same_windows(const GovKeptRow *row, const GovInheritedBudget *budget, TupleDesc desc)
{
	const int	windows[][2] = {
		{GOV_KEEP_CADENCE, GOV_ASSIGNMENT_CADENCE},
		{GOV_KEEP_ANCHOR_AT, GOV_ASSIGNMENT_ANCHOR_AT},
		{GOV_KEEP_TIMEZONE, GOV_ASSIGNMENT_TIMEZONE},
		{GOV_KEEP_WINDOW_KIND, gov_catalog()->assignments_window_kind - 1}
	};

	for (int i = 0; i < lengthof(windows); i++)
	{
		int			place = row->places[windows[i][0]];
		int			column = windows[i][1];

		if (gov_trigger_value_differs(TupleDescAttr(desc, place), row->values[place], row->nulls[place],
									  budget->values[column], budget->nulls[column]))
			return false;
	}
	return true;
}

static bool
find_inherited(const GovKeptRow *row, GovInheritedBudget *budget)
{
	GovBudgetName name = {
		.owner = *gov_keep_row_value(row, GOV_KEEP_OWNER),
		.entity = *gov_keep_row_value(row, GOV_KEEP_ENTITY),
		.capability = *gov_keep_row_value(row, GOV_KEEP_CAPABILITY),
		.scope = *gov_keep_row_value(row, GOV_KEEP_SCOPE),
		.name = *gov_keep_row_value(row, GOV_KEEP_NAME)
	};
	const int	columns[] = {GOV_KEEP_OWNER, GOV_KEEP_ENTITY, GOV_KEEP_CAPABILITY, GOV_KEEP_SCOPE, GOV_KEEP_NAME};
	bool		is_found;

	/* a row that a constraint will refuse may have no capability, say */
	for (int i = 0; i < lengthof(columns); i++)
	{
		if (*gov_keep_row_null(row, columns[i]))
			return false;
	}
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	is_found = gov_inherited_find(&name, budget);
	gov_spi_pop_snapshot();
	return is_found;
}

/*
 * Keep who recounts the budget away, and find which counter it has then.  Who
 * recounts an assignment locks the same first.
 */
static bool
find_inherited_to_stay(const GovKeptRow *row, GovInheritedBudget *budget)
{
	Datum		entities[3] = {
		*gov_keep_row_value(row, GOV_KEEP_OWNER), *gov_keep_row_value(row, GOV_KEEP_ENTITY),
		*gov_keep_row_value(row, GOV_KEEP_SCOPE)
	};
	GovSpi		spi;
	Datum		id;

	if (!find_inherited(row, budget))
		return false;
	if (budget->made_of->wants_row)
		return true;			/* nobody recounts what has no row */
	id = budget->values[GOV_ASSIGNMENT_ID];
	gov_spi_begin(&spi);
	gov_spi_modify(&entities_query, entities, NULL);
	gov_spi_modify(&stay_query, &id, NULL);
	gov_spi_end(&spi);
	return find_inherited(row, budget);
}

pg_noreturn static void
raise_other_windows(const GovKeptRow *row, Relation table)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("id \"%s\" is that of a budget by a default with other windows",
					DatumGetCString(DirectFunctionCall1(uuid_out, *gov_keep_row_value(row, GOV_KEEP_ID)))),
			 errhint("Leave id out: the extension draws it."),
			 errtablecol(table, row->places[GOV_KEEP_ID] + 1)));
}

/*
 * A budget that takes the place of one by a default goes on with its count, if
 * it has the same windows and no id or counter of its own.
 */
bool
gov_keep_goes_on(GovKeptRow *row, Relation table)
{
	GovInheritedBudget budget;
	Datum		id;

	if (!gov_keep_wants_counter(row) || !gov_load_has_defaults() || !find_inherited_to_stay(row, &budget))
		return false;
	id = budget.values[GOV_ASSIGNMENT_ID];
	if (!gov_keep_wants_id(row) &&
		!gov_uuid_is(DatumGetUUIDP(*gov_keep_row_value(row, GOV_KEEP_ID)), DatumGetUUIDP(id)))
		return false;
	if (!has_same_windows(row, &budget, RelationGetDescr(table)))
	{
		if (!gov_keep_wants_id(row))
			raise_other_windows(row, table);
		return false;
	}
	*gov_keep_row_value(row, GOV_KEEP_ID) = id;
	*gov_keep_row_value(row, GOV_KEEP_COUNTER_ID) = budget.values[GOV_ASSIGNMENT_COUNTER_ID];
	*gov_keep_row_null(row, GOV_KEEP_ID) = *gov_keep_row_null(row, GOV_KEEP_COUNTER_ID) = false;
	return true;
}
