/*
 * page_json.c
 *		A page of gov_query as jsonb.
 *
 * PURPOSE
 *		Prints what is shown of a row, numbers and times as in chains.
 *
 * HOLDS
 *		A hold past its time stays in the counters until a worker takes it out,
 *		within a second.  Where no worker is at work such holds are left out
 *		here, as a check leaves them out (gate.c).
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

#include "base/worker_slots.h"
#include "gate/hold_overdue.h"
#include "pure/json.h"
#include "query/page.h"

/* What a row usually takes in jsonb; a wrong guess costs a copy. */
#define GOV_ROW_EXPECTED_BYTES	640

/*
 * A row's keys, in the order that jsonb keeps them in: by length, then by bytes.  What
 * is carried over is only there where a budget does so.
 */
#define ROW_KEYS(carried) \
	"name", "locked", "source", "typeId", "cadence", carried \
	"entityId", "parentId", "allocated", \
	"baseLimit", "blockedAt", "defaultId", "remaining", "usageLimit", "displayName", \
	"enforcement", "utilization", "blockedUntil", "capabilityId", \
	"currentUsage", "blockedReason", "reservedUsage", "scopeEntityIds", \
	"usagePeriodEnd", "usagePeriodStart"
#define CARRIED		"carried",

static const char *const row_keys[] = {ROW_KEYS()};
static const char *const carrying_keys[] = {ROW_KEYS(CARRIED)};

static GovJsonKeys keys = {.names = row_keys, .count = lengthof(row_keys)};
static GovJsonKeys keys_of_carrying = {.names = carrying_keys, .count = lengthof(carrying_keys)};

static void
put_nulls(StringInfo json, GovJsonContainer *in, int count)
{
	while (count-- > 0)
		gov_json_put_null(json, in);
}

static void
put_string(StringInfo json, GovJsonContainer *in, const GovSheet *sheet, GovString string)
{
	if (string.offset == 0)
		gov_json_put_null(json, in);
	else
		gov_json_put_string(json, in, gov_sheet_text(sheet, string), string.length);
}

static void
put_parent(StringInfo json, GovJsonContainer *in, const GovSheet *sheet,
		   const GovSheetEntity *entity)
{
	if (entity->shown_parent < 0)
		gov_json_put_null(json, in);
	else
		put_string(json, in, sheet, sheet->entities[entity->shown_parent].id);
}

static void
put_scope(StringInfo json, GovJsonContainer *in, const GovSheet *sheet,
		  const GovPageBudget *budget)
{
	GovJsonContainer array;

	gov_json_begin_array(json, &array, budget->nscope);
	for (uint32 i = 0; i < budget->nscope; i++)
		put_string(json, &array, sheet, budget->scope[i]);
	gov_json_end(json, &array, in);
}

/* When a block began, or when it ends by itself; null for what it has not. */
static void
put_block_time(StringInfo json, GovJsonContainer *in, const GovSheetBlock *block, bool ends)
{
	static GovJsonTime last_at;
	static GovJsonTime last_until;

	if (block == NULL)
		gov_json_put_null(json, in);
	else if (ends)
		gov_json_put_time(json, in, &last_until, block->until);
	else
		gov_json_put_time(json, in, &last_at, block->at);
}

static void
put_block_reason(StringInfo json, GovJsonContainer *in, const GovSheet *sheet,
				 const GovSheetBlock *block)
{
	if (block == NULL)
		gov_json_put_null(json, in);
	else
		put_string(json, in, sheet, block->reason);
}

static void
put_source(StringInfo json, GovJsonContainer *in, const GovPageBudget *budget)
{
	const char *source = budget->by_default < 0 ? "own" : "default";

	gov_json_put_string(json, in, source, strlen(source));
}

static void
put_default(StringInfo json, GovJsonContainer *in, const GovSheet *sheet, const GovPageBudget *budget)
{
	char	   *id;

	if (budget->by_default < 0)
	{
		gov_json_put_null(json, in);
		return;
	}
	id = DatumGetCString(DirectFunctionCall1(uuid_out,
											 UUIDPGetDatum(&sheet->defaults[budget->by_default].id)));
	gov_json_put_string(json, in, id, strlen(id));
}

/* The limit in force.  What an unused budget carries over is known of the rows of a page. */
static GovAmount
limit_of(const GovSheet *sheet, const GovPageRow *row, const GovPageBudget *budget)
{
	return row->number < sheet->nrows || !budget->carries ? budget->limit :
		Max(budget->unbounded + row->carried, 0);
}

static void
put_budget(StringInfo json, GovJsonContainer *in, const GovSheet *sheet,
		   const GovPageRow *row, const GovPageBudget *budget)
{
	const GovSheetWindow *window = &sheet->windows[budget->window];
	const GovSheetEntity *entity = &sheet->entities[budget->entity];
	GovAmount	usage = row->amounts.usage;
	GovAmount	held = row->amounts.held;
	GovAmount	carried = row->number < sheet->nrows ? budget->carried : row->carried;
	GovAmount	limit = limit_of(sheet, row, budget);
	const GovSheetBlock *block = gov_sheet_block(sheet, entity);
	static GovJsonTime last_start;
	static GovJsonTime last_end;
	GovJsonContainer object;

	gov_json_begin_values(json, &object, budget->carries ? &keys_of_carrying : &keys);
	put_string(json, &object, sheet, budget->name);
	gov_json_put_bool(json, &object, budget->is_locked);
	put_source(json, &object, budget);
	put_string(json, &object, sheet, sheet->types[entity->type]);
	put_string(json, &object, sheet, window->cadence_text);
	if (budget->carries)
		gov_json_put_amount(json, &object, false, carried);
	put_string(json, &object, sheet, entity->id);
	put_parent(json, &object, sheet, entity);
	gov_json_put_amount(json, &object, budget->nscope > 0, budget->allocated);
	gov_json_put_amount(json, &object, !budget->has_limit || budget->is_pool, budget->base_limit);
	put_block_time(json, &object, block, false);
	put_default(json, &object, sheet, budget);
	gov_json_put_amount(json, &object, !budget->has_limit, limit - usage - held);
	gov_json_put_amount(json, &object, !budget->has_limit, limit);
	put_string(json, &object, sheet, entity->display_name);
	gov_json_put_string(json, &object, budget->is_soft ? "soft" : "hard", 4);
	if (budget->has_limit)
		gov_json_put_numeric(json, &object, gov_page_utilization(usage, limit));
	else
		gov_json_put_null(json, &object);
	put_block_time(json, &object, block, true);
	put_string(json, &object, sheet, budget->capability);
	gov_json_put_amount(json, &object, false, usage);
	put_block_reason(json, &object, sheet, block);
	gov_json_put_amount(json, &object, false, held);
	put_scope(json, &object, sheet, budget);
	gov_json_put_time(json, &object, &last_end, row->amounts.window.end);
	gov_json_put_time(json, &object, &last_start, row->amounts.window.start);
	gov_json_end(json, &object, in);
}

/* In tree mode a row is an entity, and what is of a budget is null. */
static void
put_entity(StringInfo json, GovJsonContainer *in, const GovSheet *sheet,
		   const GovSheetEntity *entity)
{
	const GovSheetBlock *block = gov_sheet_block(sheet, entity);
	GovJsonContainer object;

	gov_json_begin_values(json, &object, &keys);
	put_nulls(json, &object, 3);
	put_string(json, &object, sheet, sheet->types[entity->type]);
	put_nulls(json, &object, 1);
	put_string(json, &object, sheet, entity->id);
	put_parent(json, &object, sheet, entity);
	put_nulls(json, &object, 2);
	put_block_time(json, &object, block, false);
	put_nulls(json, &object, 3);
	put_string(json, &object, sheet, entity->display_name);
	put_nulls(json, &object, 2);
	put_block_time(json, &object, block, true);
	put_nulls(json, &object, 2);
	put_block_reason(json, &object, sheet, block);
	put_nulls(json, &object, 4);
	gov_json_end(json, &object, in);
}

/* Subtract what is held past its time from the rows that are shown. */
static void
leave_out_overdue(const GovSheet *sheet, GovPage *page, const GovPageBudget *described)
{
	GovResolvedBudget budgets[GOV_PAGE_MAX];
	GovBudgetState states[GOV_PAGE_MAX];
	GovResolution resolution = {
		.now = sheet->now,
		.nbudgets = page->nrows,
		.budgets = budgets,
		.states = states
	};

	for (int i = 0; i < page->nrows; i++)
	{
		budgets[i].id = described[i].id;
		states[i].held = page->rows[i].amounts.held;
	}
	if (!gov_hold_overdue_is_possible(&resolution) || gov_worker_is_at_work() ||
		!gov_hold_overdue_leave_out(sheet->owner.owner, &resolution))
		return;
	gov_worker_wanted();
	for (int i = 0; i < page->nrows; i++)
		page->rows[i].amounts.held = states[i].held;
}

/* {"data": [...], "pagination": {"next": cursor or null}} */
Datum
gov_page_json(const GovSheet *sheet, const GovPageRequest *request, GovPage *page)
{
	StringInfoData json;
	GovJsonContainer whole;
	GovJsonContainer data;
	GovJsonContainer pagination;
	GovPageBudget budgets[GOV_PAGE_MAX];
	int			length;
	char	   *next = gov_page_cursor_write(sheet, request, page, &length);

	for (int i = 0; i < page->nrows && !request->is_tree; i++)
		gov_page_describe(sheet, page->rows[i].number, &budgets[i]);
	if (sheet->is_live && !request->is_tree)
		leave_out_overdue(sheet, page, budgets);
	gov_json_init(&json, GOV_ROW_EXPECTED_BYTES * (Size) (page->nrows + 1));
	gov_json_begin_object(&json, &whole, 2);
	gov_json_put_string(&json, &whole, "data", 4);
	gov_json_put_string(&json, &whole, "pagination", 10);
	gov_json_begin_array(&json, &data, page->nrows);
	for (int i = 0; i < page->nrows; i++)
	{
		if (request->is_tree)
			put_entity(&json, &data, sheet, &sheet->entities[page->rows[i].number]);
		else
			put_budget(&json, &data, sheet, &page->rows[i], &budgets[i]);
	}
	gov_json_end(&json, &data, &whole);
	gov_json_begin_object(&json, &pagination, 1);
	gov_json_put_string(&json, &pagination, "next", 4);
	if (next != NULL)
		gov_json_put_string(&json, &pagination, next, length);
	else
		gov_json_put_null(&json, &pagination);
	gov_json_end(&json, &pagination, &whole);
	gov_json_end(&json, &whole, NULL);
	return gov_json_done(&json);
}
