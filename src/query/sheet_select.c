/*
 * sheet_select.c
 *		The entities and budgets that a sheet is made of.
 *
 * PURPOSE
 *		All of one owner, in two scans over indexes that start with the owner:
 *		what other owners have costs nothing.  Or a part: an entity, those below
 *		it, and those above it, which say where it is shown.  Each of them is
 *		looked up, so that what is beside them costs nothing.  Below a root there
 *		is as a rule everything, and to look that up takes three times as long as
 *		to scan it: so that part is read as the whole.
 *
 * FAILURE
 *		A part that is on a cycle, or below one, contains the cycle, which is
 *		found when its entities are placed (sheet_tree.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/spi.h"
#include "cache/load_steps.h"
#include "query/sheet_read.h"

static GovQuery entities_query = {
	.sql =
	"select e.id, e.type_id, e.parent_id, e.display_name, e.created_at,"
	" e.archived_at is not null"
	" from @gov_entities e where e.owner_id = $1 order by e.owner_id, e.id",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

static GovQuery root_query = {
	.sql =
	"select from @gov_entities e where e.owner_id = $1 and e.id = $2 and e.parent_id is null",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID}
};

/* An entity, those below it and those above it. "union" ends at a cycle. */
static GovQuery part_entities_query = {
	.sql =
	"with recursive below(id) as (select $2 collate \"C\" union"
	"  select c.id from below b, lateral (select x.id from @gov_entities x"
	"   where x.owner_id = $1 and x.parent_id = b.id offset 0) c),"
	" above(id) as (select $2 collate \"C\" union"
	"  select p.parent_id from above a, lateral (select x.parent_id from @gov_entities x"
	"   where x.owner_id = $1 and x.id = a.id and x.parent_id is not null offset 0) p)"
	" select e.* from (select b.id from below b union select a.id from above a) i,"
	"  lateral (select x.id, x.type_id, x.parent_id, x.display_name, x.created_at,"
	"   x.archived_at is not null from @gov_entities x"
	"   where x.owner_id = $1 and x.id = i.id offset 0) e order by e.id",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID}
};

#define BUDGET_COLUMNS \
	"a.entity_id, a.capability_id, a.scope_entity_ids, a.name, a.usage_limit, a.cadence," \
	" a.anchor_at, a.timezone, a.enforcement = 'soft', a.locked, a.id, a.counter_id"
#define WINDOW_KIND		", a.window_kind"

/*
 * What is added to each just now, and when that will change; where there are
 * boosts.  Those that have not ended are found by two conditions on the index.
 * They are read of an entity, and of no entity that has none: which have some
 * is asked once, and hashed.
 */
#define NO_BOOSTS	"null::numeric, null::timestamptz"
#define OPEN_BOOSTS(columns, condition) \
	"(select " columns " from @gov_boosts b" \
	"  where b.owner_id = $1 and b.valid_until > $2" condition \
	"  union all" \
	"  select " columns " from @gov_boosts b" \
	"  where b.owner_id = $1 and b.valid_until is null" condition ")"
#define ADDED \
	"(select sum(x.amount) from " \
	OPEN_BOOSTS("b.amount", " and b.entity_id = a.entity_id and b.capability_id = a.capability_id" \
				" and b.scope_entity_ids = a.scope_entity_ids and b.name = a.name" \
				" and b.valid_from <= $2") " x)"
#define NEXT_CHANGE(condition) \
	"(select min(m.moment) from " OPEN_BOOSTS("b.valid_from, b.valid_until", condition) " x," \
	"  unnest(array[x.valid_from, x.valid_until]) m (moment) where m.moment > $2)"
#define BOOSTS \
	"case when a.entity_id in " OPEN_BOOSTS("b.entity_id", "") " then " ADDED " end, " NEXT_CHANGE("")
#define PART_BOOSTS ADDED ", " NEXT_CHANGE(" and b.entity_id = a.entity_id")

/* The budgets of a table: assignments, or these and the budgets by defaults that were used. */
#define OWN		"@gov_assignments a"
#define USED	"@gov_used_assignments a"
#define FROM_DEFAULT	", a.default_id"

#define BUDGETS_SQL(more, table) \
	"select " BUDGET_COLUMNS ", " more \
	" from " table " where a.owner_id = $1 order by a.owner_id, a.entity_id"

#define PART_BUDGETS_SQL(more, table) \
	"select b.* from unnest($3) with ordinality e(id, n)," \
	" lateral (select " BUDGET_COLUMNS ", " more " from " table \
	"  where a.owner_id = $1 and a.entity_id = e.id offset 0) b order by e.n"

#define ARGTYPES		{TEXTOID, TIMESTAMPTZOID}
#define PART_ARGTYPES	{TEXTOID, TIMESTAMPTZOID, TEXTARRAYOID}

/* by whether there are boosts, and defaults */
static GovQuery budgets_queries[2][2] = {
	{
		{.sql = BUDGETS_SQL(NO_BOOSTS WINDOW_KIND, OWN), .nargs = 2, .argtypes = ARGTYPES},
		{.sql = BUDGETS_SQL(NO_BOOSTS WINDOW_KIND FROM_DEFAULT, USED), .nargs = 2, .argtypes = ARGTYPES}
	},
	{
		{.sql = BUDGETS_SQL(BOOSTS WINDOW_KIND, OWN), .nargs = 2, .argtypes = ARGTYPES},
		{.sql = BUDGETS_SQL(BOOSTS WINDOW_KIND FROM_DEFAULT, USED), .nargs = 2, .argtypes = ARGTYPES}
	}
};

static GovQuery part_queries[2][2] = {
	{
		{.sql = PART_BUDGETS_SQL(NO_BOOSTS WINDOW_KIND, OWN), .nargs = 3, .argtypes = PART_ARGTYPES},
		{.sql = PART_BUDGETS_SQL(NO_BOOSTS WINDOW_KIND FROM_DEFAULT, USED), .nargs = 3, .argtypes = PART_ARGTYPES}
	},
	{
		{.sql = PART_BUDGETS_SQL(PART_BOOSTS WINDOW_KIND, OWN), .nargs = 3, .argtypes = PART_ARGTYPES},
		{.sql = PART_BUDGETS_SQL(PART_BOOSTS WINDOW_KIND FROM_DEFAULT, USED), .nargs = 3, .argtypes = PART_ARGTYPES}
	}
};

/* for an extension that is not updated yet */
#define CALENDAR		", 'calendar'::text"

static GovQuery budgets_1_0_query = {
	.sql = BUDGETS_SQL(NO_BOOSTS CALENDAR, OWN),
	.nargs = 2,
	.argtypes = ARGTYPES
};

static GovQuery part_1_0_query = {
	.sql = PART_BUDGETS_SQL(NO_BOOSTS CALENDAR, OWN),
	.nargs = 3,
	.argtypes = PART_ARGTYPES
};

static Datum
owner_of(const GovSheet *sheet)
{
	return PointerGetDatum(cstring_to_text_with_len(sheet->owner.owner,
													sheet->owner.owner_length));
}

/*
 * Select the entities of a sheet, in the order of their ids; returns how many.
 * The part below a root becomes the whole.
 */
uint64
gov_sheet_select_entities(GovSheet *sheet)
{
	Datum		args[2];

	args[0] = owner_of(sheet);
	if (sheet->part != NULL)
	{
		args[1] = CStringGetTextDatum(sheet->part);
		if (gov_spi_select(&root_query, args, NULL) > 0)
			sheet->part = NULL;
	}
	if (sheet->part == NULL)
		return gov_spi_select(&entities_query, args, NULL);
	return gov_spi_select(&part_entities_query, args, NULL);
}

/*
 * Select the budgets of a sheet, in the order of their entities; returns how
 * many.
 */
uint64
gov_sheet_select_budgets(const GovSheet *sheet)
{
	bool		has_boosts = gov_load_has_boosts();
	bool		has_defaults = sheet->ndefaults > 0;
	bool		is_1_0 = !AttributeNumberIsValid(gov_catalog()->assignments_window_kind);
	Datum		args[3];
	Datum	   *ids;

	args[0] = owner_of(sheet);
	args[1] = TimestampTzGetDatum(sheet->now);
	if (sheet->part == NULL)
		return gov_spi_select(is_1_0 ? &budgets_1_0_query :
							  &budgets_queries[has_boosts][has_defaults], args, NULL);
	ids = palloc_extended(sizeof(Datum) * ((Size) sheet->nentities + 1), MCXT_ALLOC_HUGE);
	for (uint32 e = 0; e < sheet->nentities; e++)
		ids[e] = CStringGetTextDatum(gov_sheet_text(sheet, sheet->entities[e].id));
	args[2] = PointerGetDatum(construct_array(ids, sheet->nentities, TEXTOID, -1, false,
											  TYPALIGN_INT));
	return gov_spi_select(is_1_0 ? &part_1_0_query :
						  &part_queries[has_boosts][has_defaults], args, NULL);
}
