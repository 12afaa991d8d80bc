/*
 * page.h
 *		A page of gov_query: what is asked for, and the rows that it has.
 */
#ifndef GOV_PAGE_H
#define GOV_PAGE_H

#include "utils/numeric.h"

#include "query/live.h"

#define GOV_PAGE_MAX	100		/* rows of a page */

/*
 * Doubles that differ by more than this, relative to the larger, are in the
 * same order as the quotients that SQL computes: those have 16 digits or more,
 * and ours come from four roundings.
 */
#define GOV_NEAR	1e-13

typedef enum GovPageSort
{
	GOV_SORT_UTILIZATION,
	GOV_SORT_CURRENT_USAGE,
	GOV_SORT_USAGE_LIMIT,
	GOV_SORT_SCOPE_SIZE,
	GOV_SORT_ID,
	GOV_SORT_CREATED_AT
} GovPageSort;

typedef enum GovPageScope
{
	GOV_SCOPE_ALL,
	GOV_SCOPE_NODE_WIDE,
	GOV_SCOPE_SCOPED
} GovPageScope;

/* Some texts, none of them null. */
typedef struct GovTexts
{
	int			count;
	text	  **items;
} GovTexts;

/* The last row of a page, or every row that was shown; see page_cursor.c. */
typedef struct GovCursor
{
	bool		has_shown;
	uint32		nshown;
	uint64	   *shown;			/* ascending */
	int64		primary;
	text	   *entity_id;
	text	   *capability_id;	/* NULL in tree mode, and what follows means
								 * nothing */
	text	   *name;
	GovTexts	scope;
} GovCursor;

typedef struct GovPageRequest
{
	text	   *owner;
	bool		is_tree;
	bool		has_types;
	GovTexts	capability_ids;
	GovTexts	type_ids;
	GovPageSort sort;
	bool		is_descending;
	GovPageScope scope;
	Numeric		min_utilization;	/* NULL: any */
	text	   *search;			/* NULL: anything */
	text	   *under_entity_id;	/* NULL: anywhere */
	int			size;
	uint64		hash;			/* of all of the above but size */
	GovCursor  *after;			/* NULL: the first page */
} GovPageRequest;

/*
 * A row: in tree mode an entity; else one of the sheet's, or behind those an
 * unused budget (gov_sheet_unused()).
 */
typedef struct GovPageRow
{
	uint64		number;
	bool		is_null;		/* what it is sorted by */
	double		utilization;	/* nearly, if it is sorted by that */
	GovAmount	primary;		/* what it is sorted by, if that is anything
								 * else */
	GovLiveAmounts amounts;
	GovAmount	carried;		/* of an unused budget: over from the window
								 * before */
} GovPageRow;

typedef struct GovPage
{
	int			nrows;
	bool		has_more;
	GovPageRow	rows[GOV_PAGE_MAX + 1];
} GovPage;

/* What is shown of a budget, but for amounts. */
typedef struct GovPageBudget
{
	uint32		entity;			/* index */
	int			by_default;		/* index, or -1 */
	pg_uuid_t	id;				/* nil for an unused one */
	GovString	capability;
	GovString	name;
	const GovString *scope;
	uint32		nscope;
	uint32		window;			/* index */
	GovAmount	limit;
	GovAmount	base_limit;
	GovAmount	allocated;
	GovAmount	unbounded;		/* of an unused one: the limit, below 0 too */
	GovAmount	carried;		/* of one that is used */
	bool		carries;
	bool		has_limit;
	bool		is_pool;
	bool		is_soft;
	bool		is_locked;
} GovPageBudget;

/* Which budget is an unused one? */
static inline void
gov_page_split_unused(const GovSheet *sheet, uint64 number, uint32 *entity, uint32 *from)
{
	Assert(number >= sheet->nrows);
	*entity = (uint32) ((number - sheet->nrows) / sheet->ndefaults);
	*from = (uint32) ((number - sheet->nrows) % sheet->ndefaults);
}

/* page_unused.c */
extern void gov_page_describe(const GovSheet *sheet, uint64 number, GovPageBudget *budget);
extern void gov_page_read_unused(const GovSheet *sheet, GovPage *page);

/* page_order.c */
extern int	gov_page_compare_natural(const GovSheet *sheet, uint64 left, uint64 right);
extern Numeric gov_page_utilization(GovAmount usage, GovAmount limit);
extern void gov_page_offer(const GovSheet *sheet, const GovPageRequest *request,
						   GovPage *page, const GovPageRow *row);
extern void gov_page_finish(const GovSheet *sheet, const GovPageRequest *request,
							GovPage *page);

/* page_pick.c */
extern bool gov_page_pick(const GovSheet *sheet, const GovPageRequest *request,
						  GovPage *page);

/* page_cursor.c */
extern bool gov_page_cursor_has_shown(const GovPageRequest *request);
extern GovCursor *gov_page_cursor_read(const GovPageRequest *request, const text *after);
extern char *gov_page_cursor_write(const GovSheet *sheet, const GovPageRequest *request,
								   const GovPage *page, int *length);
extern void gov_page_cursor_find(const GovSheet *sheet, const GovCursor *cursor,
								 uint32 *low_entity, int *at_entity, uint32 *next_number);
extern uint64 gov_page_cursor_row_hash(const GovSheet *sheet, uint64 number);
extern int	gov_page_cursor_compare_unused(const GovSheet *sheet, uint32 from,
										   const GovCursor *cursor);
extern int	gov_page_cursor_compare_hashes(const void *left, const void *right);

/* page_json.c */
extern Datum gov_page_json(const GovSheet *sheet, const GovPageRequest *request,
						   GovPage *page);

#endif							/* GOV_PAGE_H */
