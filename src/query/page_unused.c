/*
 * page_unused.c
 *		The rows of a page that no budget of the sheet is: those that entities
 *		have by defaults and have not used.
 *
 * PURPOSE
 *		A sheet has no rows of them, so they are found here, entity by entity,
 *		and no further than a page can have them.  Nothing has been used of them,
 *		so all that are by one default are equal, but for those that have a boost,
 *		and the first page_size + 1 of them are enough.  Sorted by id the first
 *		page_size + 1 of all are.
 *
 * USED MEANWHILE
 *		What transactions under way have used of them is shown and does not
 *		decide where they stand.  The commit of a first use makes a sheet outdated
 *		(marks), and then there is a row.  Both have one hash (page_cursor.c), and
 *		one place in natural order, so paging repeats and skips none.
 *
 * ANCHORS
 *		Where a default says that its windows are counted from something of the
 *		entity, that is read for the rows shown.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/errors.h"
#include "base/spi.h"
#include "query/page_pick.h"
#include "query/sheet_read.h"

/* As _gov_unused_budgets() finds it. */
static GovQuery anchor_query = {
	.sql =
	"select @_gov_anchor(case when $3 = 'created_at'"
	"  then to_char(e.created_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
	"  else e.metadata ->> $3 end, $4, $5, $6)"
	" from @gov_entities e where e.owner_id = $1 and e.id = $2",
	.nargs = 6,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID}
};

/* How many more of each default's can be on the page. */
typedef struct GovUnusedPicking
{
	GovPicking *picking;
	int		   *left;			/* by default */
	int			nopen;			/* defaults that have some left */
	int			nleft;			/* sorted by id: of all */
} GovUnusedPicking;

/* ---------------------------------------------------------------- what a row says */

static void
describe_unused(const GovSheet *sheet, uint64 number, GovPageBudget *budget)
{
	const GovSheetExtra *extra = gov_sheet_extra(sheet, number - sheet->nrows);
	const GovSheetDefault *by;
	uint32		from;

	gov_page_split_unused(sheet, number, &budget->entity, &from);
	by = &sheet->defaults[from];
	budget->by_default = from;
	budget->capability = sheet->capabilities[by->capability];
	budget->name = by->name;
	budget->window = by->window;
	budget->base_limit = by->limit;
	budget->unbounded = by->limit + (extra != NULL ? extra->boost : 0);
	budget->limit = Max(budget->unbounded, 0);
	budget->carries = by->carries;
	budget->allocated = extra != NULL ? extra->allocated : 0;
	budget->has_limit = by->has_limit;
	budget->is_pool = false;
	budget->is_soft = by->is_soft;
	budget->is_locked = by->is_locked;
}

/* What there is to show of a row that is a budget. */
void
gov_page_describe(const GovSheet *sheet, uint64 number, GovPageBudget *budget)
{
	const GovSheetBudget *known = &sheet->budgets[number];

	memset(budget, 0, sizeof(*budget));
	if (number >= sheet->nrows)
	{
		describe_unused(sheet, number, budget);
		return;
	}
	budget->entity = known->entity;
	budget->by_default = known->by_default;
	budget->id = known->id;
	budget->capability = sheet->capabilities[sheet->rows[number].capability];
	budget->name = known->name;
	budget->scope = gov_sheet_scope(sheet, known);
	budget->nscope = known->nscope;
	budget->window = sheet->rows[number].window;
	budget->limit = known->limit;
	budget->base_limit = known->base_limit;
	budget->allocated = known->allocated;
	budget->has_limit = known->has_limit;
	budget->is_pool = known->is_pool;
	budget->carries = gov_sheet_find_carried(sheet, &known->id, &budget->carried);
	budget->is_soft = known->is_soft;
	budget->is_locked = known->is_locked;
}

/* ---------------------------------------------------------------- picking */

/*
 * Offer an unused budget to the page; false if an earlier page has shown it, or
 * if it is not asked for.
 */
static bool
offer_unused(GovPicking *picking, uint32 entity, uint64 unused)
{
	const GovSheet *sheet = picking->sheet;
	GovPageRow	row = {.number = sheet->nrows + unused};
	GovPageBudget budget;

	row.primary = gov_page_fixed_primary(picking, entity, 0);
	if (gov_page_was_passed(picking, entity, &row))
		return false;
	gov_page_describe(sheet, row.number, &budget);
	return gov_page_judge(picking, &row, budget.has_limit, budget.limit,
						  budget.limit == 0 ? 1 : 0);
}

/* Does the budget stand among those that are equal by their default? */
static bool
is_like_others(const GovPicking *picking, uint64 unused)
{
	const GovSheetExtra *extra = gov_sheet_extra(picking->sheet, unused);

	return extra == NULL || extra->boost == 0 || !gov_page_cursor_has_shown(picking->request);
}

static void
pick_boosted(GovPicking *picking)
{
	const GovSheet *sheet = picking->sheet;

	for (uint32 i = 0; i < sheet->nextras; i++)
	{
		uint64		unused = sheet->extras[i].unused;
		uint32		entity;
		uint32		from;

		gov_page_split_unused(sheet, sheet->nrows + unused, &entity, &from);
		if (!is_like_others(picking, unused) &&
			picking->capabilities[sheet->defaults[from].capability] &&
			gov_page_passes_filters(picking, &sheet->entities[entity]))
			offer_unused(picking, entity, unused);
	}
}

/* Pick of an entity's unused budgets those that may be on the page. */
static void
pick_of_entity(GovUnusedPicking *unused, uint32 entity)
{
	GovPicking *picking = unused->picking;
	const GovSheet *sheet = picking->sheet;
	uint32		type = sheet->entities[entity].type;
	uint32		end = sheet->first_default[type + 1];

	if (sheet->first_default[type] == end ||
		!gov_page_passes_filters(picking, &sheet->entities[entity]))
		return;
	for (uint32 from = sheet->first_default[type]; from < end; from++)
	{
		uint64		number = gov_sheet_unused(sheet, entity, from);

		if (unused->left[from] == 0 || !gov_sheet_has_unused(sheet, entity, from) ||
			!is_like_others(picking, number) || !offer_unused(picking, entity, number))
			continue;
		unused->nleft--;
		if (picking->request->sort != GOV_SORT_CREATED_AT && --unused->left[from] == 0)
			unused->nopen--;
	}
}

/* From the first entity on that can have some; sorted by id, backward if that is asked for. */
static void
pick_of_entities(GovUnusedPicking *unused)
{
	const GovPicking *picking = unused->picking;
	const GovPageRequest *request = picking->request;
	bool		is_by_id = request->sort == GOV_SORT_ID;
	bool		is_placed = request->after != NULL && is_by_id;
	int64		nentities = picking->sheet->nentities;
	int64		at = is_placed ? picking->low_entity : 0;
	int			step = 1;

	if (is_by_id && request->is_descending)
	{
		step = -1;
		at = !is_placed ? nentities - 1 :
			picking->at_entity >= 0 ? picking->at_entity : (int64) picking->low_entity - 1;
	}
	for (; at >= 0 && at < nentities && unused->nopen > 0; at += step)
	{
		CHECK_FOR_INTERRUPTS();
		pick_of_entity(unused, (uint32) at);
		if (is_by_id && unused->nleft <= 0)
			break;
	}
}

/* Pick the rows of a page that are unused budgets. */
void
gov_page_pick_unused(GovPicking *picking)
{
	const GovSheet *sheet = picking->sheet;
	const GovPageRequest *request = picking->request;
	GovUnusedPicking unused = {.picking = picking, .nleft = request->size + 1};

	if (request->scope == GOV_SCOPE_SCOPED)
		return;
	unused.left = palloc0(sizeof(int) * sheet->ndefaults);
	for (uint32 i = 0; i < sheet->ndefaults; i++)
	{
		if (!sheet->defaults[i].is_listed ||
			!picking->capabilities[sheet->defaults[i].capability])
			continue;
		unused.left[i] = request->size + 1;
		unused.nopen++;
	}
	pick_boosted(picking);
	pick_of_entities(&unused);
	pfree(unused.left);
}

/* ---------------------------------------------------------------- windows and amounts */

/* The anchor of an entity's budgets by a default; false: the calendar. */
static bool
read_anchor(const GovSheet *sheet, uint32 entity, const GovSheetDefault *by, TimestampTz *anchor)
{
	const GovSheetWindow *window = &sheet->windows[by->window];
	char		nulls[6] = {' ', ' ', ' ', ' ', ' ', ' '};
	Datum		args[6];
	bool		isnull = true;

	args[0] = CStringGetTextDatum(sheet->owner.owner);
	args[1] = CStringGetTextDatum(gov_sheet_text(sheet, sheet->entities[entity].id));
	args[2] = CStringGetTextDatum(gov_sheet_text(sheet, by->anchor_from));
	args[3] = CStringGetTextDatum(gov_sheet_text(sheet, window->cadence_text));
	args[4] = CStringGetTextDatum(gov_sheet_text(sheet, window->timezone));
	args[5] = TimestampTzGetDatum(sheet->now);
	if (window->cadence_text.offset == 0)
		nulls[3] = 'n';
	if (gov_spi_select(&anchor_query, args, nulls) > 0)
		*anchor = DatumGetTimestampTz(gov_spi_value(0, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return !isnull;
}

static void
find_window(const GovSheet *sheet, uint32 entity, const GovSheetDefault *by, GovWindow *result)
{
	const GovSheetWindow *window = &sheet->windows[by->window];
	pg_tz	   *tz = gov_window_timezone(gov_sheet_text(sheet, window->timezone));
	TimestampTz anchor = 0;

	*result = gov_sheet_slides(window) ? gov_sheet_span(window, window->present.start) : window->present;
	if (by->anchor_from.offset == 0 || !read_anchor(sheet, entity, by, &anchor))
		return;
	if (tz == NULL ||
		!gov_window_at(&window->cadence, true, anchor, tz, sheet->now, result))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("cannot compute the present window of a budget by a default"),
				 errhint("Change anchor_from or timezone of the default.")));
}

static bool
has_unused(const GovSheet *sheet, const GovPage *page)
{
	for (int i = 0; i < page->nrows; i++)
	{
		if (page->rows[i].number >= sheet->nrows)
			return true;
	}
	return false;
}

/* Complete the rows of a page that are unused budgets. */
void
gov_page_read_unused(const GovSheet *sheet, GovPage *page)
{
	GovSpi		spi;

	if (!has_unused(sheet, page))
		return;
	gov_spi_begin(&spi);
	gov_spi_push_snapshot(sheet->sees_own ? GOV_SNAPSHOT_LATEST : GOV_SNAPSHOT_COMMITTED);
	for (int i = 0; i < page->nrows; i++)
	{
		GovPageRow *row = &page->rows[i];
		uint32		entity;
		uint32		from;

		if (row->number < sheet->nrows)
			continue;
		gov_page_split_unused(sheet, row->number, &entity, &from);
		find_window(sheet, entity, &sheet->defaults[from], &row->amounts.window);
		gov_live_read_unused(sheet, entity, from, &row->amounts);
		if (unlikely(sheet->defaults[from].carries))
			row->carried = gov_sheet_carried_unused(sheet, entity, &sheet->defaults[from],
													row->amounts.window.start);
	}
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
}
