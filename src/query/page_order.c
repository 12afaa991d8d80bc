/*
 * page_order.c
 *		In which order rows stand, and which of them are the best so far.
 *
 * ORDER
 *		Rows are sorted by what is asked for, those without it last, and then by
 *		number, which is the natural order: of two that are equal a budget that
 *		was used stands before one that was not.  Sorted by what never changes,
 *		that makes no difference, because a budget may be used while somebody
 *		pages; then natural order alone decides.  Utilization is compared as the
 *		quotient that SQL computes from usage and limit.  Two doubles that are
 *		not near each other are in the order of these quotients; where they are
 *		near, the quotients are computed.
 *
 * LAYOUT
 *		A page that is being picked is a heap of the best page_size + 1 rows,
 *		the last of them on top.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "utils/builtins.h"

#include "pure/bytes.h"
#include "query/page.h"

typedef struct GovPageOrder
{
	const GovSheet *sheet;
	const GovPageRequest *request;
} GovPageOrder;

/* usage / limit as SQL computes it, without trailing zeros; 1 for a limit of 0. */
Numeric
gov_page_utilization(GovAmount usage, GovAmount limit)
{
	Datum		quotient;

	if (limit == 0)
		return int64_to_numeric(1);
	quotient = DirectFunctionCall2(numeric_div,
								   NumericGetDatum(gov_amount_to_numeric(usage)),
								   NumericGetDatum(gov_amount_to_numeric(limit)));
	return DatumGetNumeric(DirectFunctionCall1(numeric_trim_scale, quotient));
}

/* Is the quotient one that has few digits, so that SQL's is exact? */
static bool
is_short(GovAmount usage, GovAmount limit)
{
	GovAmount	scaled;

	return !__builtin_mul_overflow(usage, (GovAmount) 100000000, &scaled) &&
		scaled % limit == 0 && usage / limit < 100000000 && usage / limit > -100000000;
}

static GovAmount
limit_of(const GovSheet *sheet, const GovPageRow *row)
{
	GovPageBudget budget;

	if (likely(row->number < sheet->nrows))
		return sheet->budgets[row->number].limit;
	gov_page_describe(sheet, row->number, &budget);
	return budget.limit;
}

/* Compare two quotients that are near each other. */
static int
compare_near(const GovSheet *sheet, const GovPageRow *a, const GovPageRow *b)
{
	GovAmount	a_limit = limit_of(sheet, a);
	GovAmount	b_limit = limit_of(sheet, b);
	GovAmount	a_usage = a_limit == 0 ? 1 : a->amounts.usage;
	GovAmount	b_usage = b_limit == 0 ? 1 : b->amounts.usage;
	GovAmount	left;
	GovAmount	right;
	Datum		order;

	a_limit = a_limit == 0 ? 1 : a_limit;
	b_limit = b_limit == 0 ? 1 : b_limit;
	if ((a_usage == 0 && b_usage == 0) || (a_usage == b_usage && a_limit == b_limit))
		return 0;
	if (!__builtin_mul_overflow(a_usage, b_limit, &left) &&
		!__builtin_mul_overflow(b_usage, a_limit, &right) &&
		left == right && is_short(a_usage, a_limit))
		return 0;
	order = DirectFunctionCall2(numeric_cmp,
								NumericGetDatum(gov_page_utilization(a_usage, a_limit)),
								NumericGetDatum(gov_page_utilization(b_usage, b_limit)));
	return DatumGetInt32(order);
}

static inline int
compare_primary(const GovPageOrder *by, const GovPageRow *a, const GovPageRow *b)
{
	if (by->request->sort != GOV_SORT_UTILIZATION)
		return (a->primary > b->primary) - (a->primary < b->primary);
	if (fabs(a->utilization - b->utilization) >
		GOV_NEAR * Max(fabs(a->utilization), fabs(b->utilization)))
		return a->utilization < b->utilization ? -1 : 1;
	return compare_near(by->sheet, a, b);
}

static int
compare_strings(const GovSheet *sheet, GovString a, GovString b)
{
	return gov_bytes_compare(gov_sheet_text(sheet, a), a.length,
							 gov_sheet_text(sheet, b), b.length);
}

/*
 * Which budget stands before the other in natural order?  At least one of them
 * is an unused one, which have no scope.
 */
int
gov_page_compare_natural(const GovSheet *sheet, uint64 left, uint64 right)
{
	GovPageBudget a;
	GovPageBudget b;
	int			order;

	gov_page_describe(sheet, left, &a);
	gov_page_describe(sheet, right, &b);
	if (a.entity != b.entity)
		return a.entity < b.entity ? -1 : 1;
	order = compare_strings(sheet, a.capability, b.capability);
	if (order == 0)
		order = (int) a.nscope - (int) b.nscope;
	return order != 0 ? order : compare_strings(sheet, a.name, b.name);
}

static int
compare_numbers(const GovPageOrder *by, uint64 a, uint64 b)
{
	if (Max(a, b) >= by->sheet->nrows && a != b && !by->request->is_tree &&
		!gov_page_cursor_has_shown(by->request))
		return gov_page_compare_natural(by->sheet, a, b);
	return (a > b) - (a < b);
}

/* Which row stands before the other? */
static inline int
compare_rows(const GovPageOrder *by, const GovPageRow *a, const GovPageRow *b)
{
	int			order = 0;

	if (a->is_null != b->is_null)
		return a->is_null ? 1 : -1;
	if (!a->is_null)
		order = compare_primary(by, a, b);
	if (order != 0)
		return by->request->is_descending ? -order : order;
	return compare_numbers(by, a->number, b->number);
}

/* ---------------------------------------------------------------- heap */

/*
 * Put a row into its place in the heap, from i downward; the last row of all
 * is on top.
 */
static void
sift_down(const GovPageOrder *by, GovPageRow *rows, int nrows, int i, const GovPageRow *row)
{
	for (;;)
	{
		int			child = 2 * i + 1;

		if (child >= nrows)
			break;
		if (child + 1 < nrows && compare_rows(by, &rows[child], &rows[child + 1]) < 0)
			child++;
		if (compare_rows(by, row, &rows[child]) >= 0)
			break;
		rows[i] = rows[child];
		i = child;
	}
	rows[i] = *row;
}

static void
sift_up(const GovPageOrder *by, GovPageRow *rows, int i, const GovPageRow *row)
{
	while (i > 0)
	{
		int			parent = (i - 1) / 2;

		if (compare_rows(by, row, &rows[parent]) <= 0)
			break;
		rows[i] = rows[parent];
		i = parent;
	}
	rows[i] = *row;
}

/*
 * Put a row that passes the filters onto the page, if it is among the best so
 * far.
 */
void
gov_page_offer(const GovSheet *sheet, const GovPageRequest *request, GovPage *page,
			   const GovPageRow *row)
{
	GovPageOrder by = {sheet, request};

	if (page->nrows <= request->size)
		sift_up(&by, page->rows, page->nrows++, row);
	else if (compare_rows(&by, row, &page->rows[0]) < 0)
		sift_down(&by, page->rows, page->nrows, 0, row);
}

/* Put the heap in order, and drop the row that is past the page. */
void
gov_page_finish(const GovSheet *sheet, const GovPageRequest *request, GovPage *page)
{
	GovPageOrder by = {sheet, request};

	for (int n = page->nrows - 1; n > 0; n--)
	{
		GovPageRow	last = page->rows[n];
		GovPageRow	first = page->rows[0];

		sift_down(&by, page->rows, n, 0, &last);
		page->rows[n] = first;
	}
	page->has_more = page->nrows > request->size;
	page->nrows = Min(page->nrows, request->size);
}
