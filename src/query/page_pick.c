/*
 * page_pick.c
 *		The rows of a page: which of a sheet's pass the filters, in which order.
 *
 * PURPOSE
 *		One pass over the sheet that keeps the best page_size + 1 rows
 *		(page_order.c).
 *		Usage is read of those rows that pass every other filter, and only where
 *		it decides; else of the rows shown.
 *
 * PAGING
 *		What never changes (id, createdAt, scopeSize) has a place to go on from.
 *		By usage, limit or utilization a page has the best of the rows that no
 *		page before it has shown.  See page_cursor.c.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "catalog/pg_collation.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/formatting.h"

#include "base/compat.h"
#include "pure/bytes.h"
#include "query/page_pick.h"
#include "query/sheet_read.h"

/* ---------------------------------------------------------------- rows */

/* What a row of an entity is sorted by, if that never changes; else 0. */
int64
gov_page_fixed_primary(const GovPicking *picking, uint32 entity, uint32 nscope)
{
	switch (picking->request->sort)
	{
		case GOV_SORT_ID:
			return entity;
		case GOV_SORT_CREATED_AT:
			return picking->sheet->entities[entity].created_at;
		case GOV_SORT_SCOPE_SIZE:
			return nscope;
		default:
			return 0;
	}
}

/* Is the row the cursor's, or before it in natural order? */
static bool
is_behind(const GovPicking *picking, uint32 entity, const GovPageRow *row)
{
	uint32		from;

	if (picking->request->is_tree || row->number < picking->sheet->nrows)
		return row->number < picking->next_number;
	if ((int) entity != picking->at_entity)
		return entity < picking->low_entity;
	gov_page_split_unused(picking->sheet, row->number, &entity, &from);
	return gov_page_cursor_compare_unused(picking->sheet, from, picking->request->after) <= 0;
}

/* Has an earlier page shown the row of an entity, or passed its place? */
bool
gov_page_was_passed(const GovPicking *picking, uint32 entity, const GovPageRow *row)
{
	const GovPageRequest *request = picking->request;
	const GovCursor *after = request->after;

	if (after == NULL)
		return false;
	if (after->has_shown)
	{
		uint64		hash = gov_page_cursor_row_hash(picking->sheet, row->number);

		return bsearch(&hash, after->shown, after->nshown, sizeof(uint64),
					   gov_page_cursor_compare_hashes) != NULL;
	}
	if (request->sort == GOV_SORT_ID && request->is_descending)
		return entity >= picking->low_entity &&
			((int) entity != picking->at_entity || is_behind(picking, entity, row));
	if (request->sort != GOV_SORT_ID && row->primary != after->primary)
		return (row->primary < after->primary) != request->is_descending;
	return is_behind(picking, entity, row);
}

/*
 * Does the row reach the utilization that is asked for?  One without a limit
 * does not.
 */
static bool
is_utilized(const GovPicking *picking, const GovPageRow *row, bool has_limit,
			GovAmount limit, double utilization)
{
	Datum		quotient;

	if (!has_limit)
		return false;
	if (fabs(utilization - picking->min_utilization) >
		GOV_NEAR * Max(fabs(utilization), fabs(picking->min_utilization)))
		return utilization > picking->min_utilization;
	quotient = NumericGetDatum(gov_page_utilization(row->amounts.usage, limit));
	return DatumGetBool(DirectFunctionCall2(numeric_ge, quotient,
											NumericGetDatum(picking->request->min_utilization)));
}

/*
 * Judge a row whose usage is known, where it is needed, and offer it to the
 * page; false if it is not utilized enough.
 */
pg_attribute_always_inline bool
gov_page_judge(const GovPicking *picking, GovPageRow *row, bool has_limit,
			   GovAmount limit, double utilization)
{
	if (picking->request->min_utilization != NULL &&
		!is_utilized(picking, row, has_limit, limit, utilization))
		return false;
	row->is_null = false;
	switch (picking->request->sort)
	{
		case GOV_SORT_UTILIZATION:
			row->is_null = !has_limit;
			row->utilization = utilization;
			break;
		case GOV_SORT_CURRENT_USAGE:
			row->primary = row->amounts.usage;
			break;
		case GOV_SORT_USAGE_LIMIT:
			row->is_null = !has_limit;
			row->primary = limit;
			break;
		default:
			break;
	}
	gov_page_offer(picking->sheet, picking->request, picking->page, row);
	return true;
}

static inline void
judge_row(const GovPicking *picking, GovPageRow *row)
{
	const GovSheetRow *known = &picking->sheet->rows[row->number];
	const GovSheetBudget *budget = &picking->sheet->budgets[row->number];
	double		utilization = 0;

	if (picking->needs_usage)
		utilization = known->per_unit == 0 ? 1 :
			gov_amount_to_double(row->amounts.usage) * known->per_unit;
	row->primary = gov_page_fixed_primary(picking, budget->entity, budget->nscope);
	gov_page_judge(picking, row, budget->has_limit, budget->limit, utilization);
}

/*
 * Set the bound of a full page: rows that would come after its last row are
 * ruled out.
 */
static void
set_bound(GovPicking *picking)
{
	const GovPage *page = picking->page;
	GovPageSort sort = picking->request->sort;
	GovLiveScan *scan = &picking->scan;
	double		last;

	if ((sort != GOV_SORT_UTILIZATION && sort != GOV_SORT_CURRENT_USAGE) ||
		page->nrows <= picking->request->size || page->rows[0].is_null)
		return;
	scan->key = sort == GOV_SORT_UTILIZATION ? GOV_LIVE_BY_UTILIZATION : GOV_LIVE_BY_USAGE;
	scan->sign = picking->request->is_descending ? 1 : -1;
	last = sort == GOV_SORT_UTILIZATION ? page->rows[0].utilization :
		gov_amount_to_double(page->rows[0].primary);
	scan->bound = scan->sign * last - GOV_NEAR * fabs(last);

	/* a later row that has used nothing comes after one that has not */
	if (last == 0)
		scan->bound = DBL_MIN;
}

/*
 * Read the usage of the rows that wait for it, and judge them; false if the
 * sheet must be opened again.
 */
static bool
judge_waiting(GovPicking *picking)
{
	GovPageRow	row = {0};

	CHECK_FOR_INTERRUPTS();
	if (picking->needs_usage && picking->nwaiting > 0 &&
		!gov_live_scan(picking->sheet, &picking->scan, picking->waiting, &picking->nwaiting,
					   picking->amounts))
		return false;
	for (uint32 i = 0; i < picking->nwaiting; i++)
	{
		row.number = picking->waiting[i];
		if (picking->needs_usage)
			row.amounts = picking->amounts[i];
		judge_row(picking, &row);
	}
	picking->nwaiting = 0;
	picking->most_waiting = Min(2 * picking->most_waiting, GOV_LIVE_ROWS);
	set_bound(picking);
	return true;
}

static inline bool
is_asked_for(const GovPicking *picking, const GovSheetRow *row)
{
	GovPageScope scope = picking->request->scope;

	return picking->capabilities[row->capability] &&
		(scope == GOV_SCOPE_ALL || row->is_scoped == (scope == GOV_SCOPE_SCOPED));
}

/* Pick from rows that need not be looked at one by one. */
static bool
pick_every_row(GovPicking *picking, uint32 first, uint32 end)
{
	while (first < end)
	{
		uint32		count = Min(end - first, picking->most_waiting - picking->nwaiting);
		uint32	   *waiting = picking->waiting + picking->nwaiting;

		for (uint32 i = 0; i < count; i++)
			waiting[i] = first + i;
		picking->nwaiting += count;
		first += count;
		if (picking->nwaiting == picking->most_waiting && !judge_waiting(picking))
			return false;
	}
	return true;
}

/* Pick from rows whose entities pass. */
static bool
pick_rows(GovPicking *picking, uint32 first, uint32 end)
{
	const GovSheet *sheet = picking->sheet;
	bool		has_cursor = picking->request->after != NULL;

	if (picking->wants_every_row)
		return pick_every_row(picking, first, end);
	for (uint32 i = first; i < end; i++)
	{
		if (!is_asked_for(picking, &sheet->rows[i]))
			continue;
		if (has_cursor)
		{
			const GovSheetBudget *budget = &sheet->budgets[i];
			GovPageRow	row = {.number = i};

			row.primary = gov_page_fixed_primary(picking, budget->entity, budget->nscope);
			if (gov_page_was_passed(picking, budget->entity, &row))
				continue;
		}
		picking->waiting[picking->nwaiting++] = i;
		if (picking->nwaiting == picking->most_waiting && !judge_waiting(picking))
			return false;
	}
	return true;
}

/* Pick an entity, in tree mode.  It has no utilization. */
static void
pick_entity(GovPicking *picking, const GovSheetEntity *entity)
{
	GovPageRow	row = {.number = entity - picking->sheet->entities};

	if (picking->request->min_utilization != NULL ||
		picking->request->scope == GOV_SCOPE_SCOPED)
		return;
	row.is_null = picking->request->sort != GOV_SORT_ID &&
		picking->request->sort != GOV_SORT_CREATED_AT;
	row.primary = gov_page_fixed_primary(picking, row.number, 0);
	if (!gov_page_was_passed(picking, row.number, &row))
		gov_page_offer(picking->sheet, picking->request, picking->page, &row);
}

/* ---------------------------------------------------------------- filters */

static bool
contains_text(const GovPicking *picking, GovString string)
{
	char	   *lower;
	bool		found;

	if (string.offset == 0)
		return false;
	lower = str_tolower(gov_sheet_text(picking->sheet, string), string.length,
						DEFAULT_COLLATION_OID);
	found = strstr(lower, picking->search) != NULL;
	pfree(lower);
	return found;
}

/* Is an entity asked for? */
bool
gov_page_passes_filters(const GovPicking *picking, const GovSheetEntity *entity)
{
	if (entity->is_archived ||
		entity->place < picking->first_place || entity->place > picking->last_place ||
		(picking->types != NULL && !picking->types[entity->type]))
		return false;
	return picking->search == NULL || contains_text(picking, entity->id) ||
		contains_text(picking, entity->display_name);
}

/* Which of a sheet's list of texts are asked for? */
static bool *
mark_texts(const GovSheet *sheet, const GovString *list, uint32 count, const GovTexts *wanted)
{
	bool	   *marks = palloc0(Max(count, 1));

	for (uint32 i = 0; i < count; i++)
	{
		for (int j = 0; j < wanted->count && !marks[i]; j++)
			marks[i] = gov_bytes_are(wanted->items[j], gov_sheet_text(sheet, list[i]), list[i].length);
	}
	return marks;
}

/*
 * Set the range of places that is asked for: that of the entities below one;
 * none, if it is not there.
 */
static void
set_places(GovPicking *picking, const text *id)
{
	int			at;

	picking->first_place = 0;
	picking->last_place = PG_UINT32_MAX;
	if (id == NULL)
		return;
	at = gov_sheet_find_entity(picking->sheet, VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id));
	picking->first_place = at < 0 ? 1 : picking->sheet->entities[at].place;
	picking->last_place = at < 0 ? 0 : picking->sheet->entities[at].last_place;
}

static void
begin_picking(GovPicking *picking)
{
	const GovSheet *sheet = picking->sheet;
	const GovPageRequest *request = picking->request;

	picking->needs_usage = request->sort == GOV_SORT_UTILIZATION ||
		request->sort == GOV_SORT_CURRENT_USAGE || request->min_utilization != NULL;
	if (request->min_utilization != NULL)
		picking->min_utilization =
			DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
											   NumericGetDatum(request->min_utilization)));
	if (request->has_types)
		picking->types = mark_texts(sheet, sheet->types, sheet->ntypes, &request->type_ids);
	picking->capabilities = mark_texts(sheet, sheet->capabilities, sheet->ncapabilities,
									   &request->capability_ids);
	picking->wants_every_row = request->scope == GOV_SCOPE_ALL && request->after == NULL &&
		memchr(picking->capabilities, false, sheet->ncapabilities) == NULL;
	if (request->search != NULL)
		picking->search = str_tolower(VARDATA_ANY(request->search),
									  VARSIZE_ANY_EXHDR(request->search),
									  DEFAULT_COLLATION_OID);
	set_places(picking, request->under_entity_id);
	if (request->after != NULL && !request->after->has_shown)
		gov_page_cursor_find(sheet, request->after, &picking->low_entity, &picking->at_entity,
							 &picking->next_number);
}

/* Read the usage of the page's rows, if they were not chosen by it. */
static bool
read_usage(GovPicking *picking)
{
	GovPage    *page = picking->page;
	uint32		numbers[GOV_PAGE_MAX];
	int			places[GOV_PAGE_MAX];
	uint32		count = 0;
	uint32		wanted PG_USED_FOR_ASSERTS_ONLY;

	if (picking->needs_usage || picking->request->is_tree)
		return true;
	for (int i = 0; i < page->nrows; i++)
	{
		if (page->rows[i].number >= picking->sheet->nrows)
			continue;
		places[count] = i;
		numbers[count++] = (uint32) page->rows[i].number;
	}
	wanted = count;
	if (!gov_live_scan(picking->sheet, &picking->scan, numbers, &count, picking->amounts))
		return false;
	Assert(count == wanted);
	for (uint32 i = 0; i < count; i++)
		page->rows[places[i]].amounts = picking->amounts[i];
	return true;
}

/* Go through the entities that pass the filters of entities. */
static bool
pick_passing(GovPicking *picking)
{
	const GovSheet *sheet = picking->sheet;
	const GovPageRequest *request = picking->request;

	/* archived entities have no rows */
	if (!request->is_tree && picking->types == NULL && picking->search == NULL &&
		request->under_entity_id == NULL)
		return pick_rows(picking, 0, sheet->nrows);
	for (uint32 e = 0; e < sheet->nentities; e++)
	{
		const GovSheetEntity *entity = &sheet->entities[e];

		CHECK_FOR_INTERRUPTS();
		if (!gov_page_passes_filters(picking, entity))
			continue;
		if (request->is_tree)
			pick_entity(picking, entity);
		else if (!pick_rows(picking, entity->first_row, entity->first_row + entity->nrows))
			return false;
	}
	return true;
}

/* Find the rows of a page; false if the sheet must be opened again. */
bool
gov_page_pick(const GovSheet *sheet, const GovPageRequest *request, GovPage *page)
{
	GovPicking	picking;

	memset(&picking, 0, offsetof(GovPicking, waiting));
	picking.sheet = sheet;
	picking.request = request;
	picking.page = page;
	page->nrows = 0;
	picking.most_waiting = 32;
	begin_picking(&picking);
	if (!pick_passing(&picking) || !judge_waiting(&picking))
		return false;
	if (sheet->has_listed && !request->is_tree)
		gov_page_pick_unused(&picking);
	gov_page_finish(sheet, request, page);
	if (!read_usage(&picking))
		return false;
	if (sheet->has_listed && !request->is_tree)
		gov_page_read_unused(sheet, page);
	return true;
}
