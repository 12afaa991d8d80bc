/*
 * page_cursor.c
 *		Where a next page goes on.
 *
 * PURPOSE
 *		No row that is there throughout may be repeated or skipped, whatever
 *		changes between two pages.  Ids, creation times and scopes never change:
 *		sorted by those, a cursor is the place of the last row shown, which need
 *		not be there any more.  Usage and limits do change, and with them the
 *		place of every row: sorted by those, a cursor is the set of all rows
 *		shown, and the next page has the best of the others as they are then.
 *
 * LAYOUT
 *		Base64 of: a byte for the kind; the hash of owner and arguments, so that
 *		a cursor is of one query only; then either the value sorted by and the
 *		natural key, each text after its length, or the hashes of the budgets'
 *		ids, ascending.  Numbers have the most significant byte first, so that
 *		a cursor goes from one server to another.
 *
 * FAILURE
 *		Whatever else is passed as a cursor is 22023.  Two budgets with one hash
 *		of 64 bits would be taken for each other: ids are random, so that among
 *		a million of them the chance is one in 30 million.
 */
#include "postgres.h"

#include "common/base64.h"
#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/compat.h"
#include "query/page.h"

#define KIND_PLACE	'p'
#define KIND_SHOWN	's'

/* Does the order of the query change, so that a cursor must have all rows shown? */
bool
gov_page_cursor_has_shown(const GovPageRequest *request)
{
	return !request->is_tree &&
		(request->sort == GOV_SORT_UTILIZATION || request->sort == GOV_SORT_CURRENT_USAGE ||
		 request->sort == GOV_SORT_USAGE_LIMIT);
}

/*
 * The hash that a cursor has of a row shown.  That of a budget by a default is
 * the same before its first use and after.
 */
uint64
gov_page_cursor_row_hash(const GovSheet *sheet, uint64 number)
{
	GovPageBudget budget;
	GovString	id;
	uint64		hash;

	if (likely(number < sheet->nrows && sheet->budgets[number].by_default < 0))
		return hash_bytes_extended(sheet->budgets[number].id.data, UUID_LEN, 0);
	gov_page_describe(sheet, number, &budget);
	id = sheet->entities[budget.entity].id;
	hash = hash_bytes_extended(sheet->defaults[budget.by_default].id.data, UUID_LEN, 1);
	hash = hash_bytes_extended((const unsigned char *) gov_sheet_text(sheet, id), id.length, hash);
	for (uint32 i = 0; i < budget.nscope; i++)
		hash = hash_bytes_extended((const unsigned char *) gov_sheet_text(sheet, budget.scope[i]),
								   budget.scope[i].length, hash);
	return hash;
}

int
gov_page_cursor_compare_hashes(const void *left, const void *right)
{
	uint64		a = *(const uint64 *) left;
	uint64		b = *(const uint64 *) right;

	return (a > b) - (a < b);
}

/* ---------------------------------------------------------------- reading */

pg_noreturn static void
raise_bad_cursor(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"after\" is not a cursor of this query"),
			 errhint("Give \"next\" of the \"pagination\" of the page before with the same arguments, or nothing for the first page.")));
}

static const char *
take_bytes(StringInfo bytes, int count)
{
	const char *place = bytes->data + bytes->cursor;

	if (count > bytes->len - bytes->cursor)
		raise_bad_cursor();
	bytes->cursor += count;
	return place;
}

static uint64
take_number(StringInfo bytes, int width)
{
	const unsigned char *place = (const unsigned char *) take_bytes(bytes, width);
	uint64		number = 0;

	for (int i = 0; i < width; i++)
		number = number << 8 | place[i];
	return number;
}

static text *
take_text(StringInfo bytes)
{
	int			length = take_number(bytes, 2);
	const char *place = take_bytes(bytes, length);

	if (!pg_verify_mbstr(GetDatabaseEncoding(), place, length, true))
		raise_bad_cursor();
	return cstring_to_text_with_len(place, length);
}

/* Decode the bytes of what may be a cursor; false if it is none. */
static void
decode_cursor(const text *after, StringInfo bytes)
{
	int			length = VARSIZE_ANY_EXHDR(after);
	int			capacity;

	/* a page is jsonb, which has no longer string */
	if (length > JENTRY_OFFLENMASK)
		raise_bad_cursor();
	capacity = pg_b64_dec_len(length);
	initStringInfo(bytes);
	enlargeStringInfo(bytes, capacity);
	bytes->len = pg_b64_decode((const void *) VARDATA_ANY(after), length,
							   (void *) bytes->data, capacity);
	if (bytes->len < 0)
		raise_bad_cursor();
}

static void
read_shown(StringInfo bytes, GovCursor *cursor)
{
	int			rest = bytes->len - bytes->cursor;

	cursor->has_shown = true;
	cursor->nshown = rest / sizeof(uint64);
	if (rest % sizeof(uint64) != 0)
		raise_bad_cursor();
	cursor->shown = palloc(Max(rest, 1));
	for (uint32 i = 0; i < cursor->nshown; i++)
	{
		cursor->shown[i] = take_number(bytes, sizeof(uint64));
		if (i > 0 && cursor->shown[i] <= cursor->shown[i - 1])
			raise_bad_cursor();
	}
}

static void
read_place(StringInfo bytes, bool is_tree, GovCursor *cursor)
{
	cursor->primary = (int64) take_number(bytes, sizeof(int64));
	cursor->entity_id = take_text(bytes);
	if (!is_tree)
	{
		cursor->capability_id = take_text(bytes);
		cursor->name = take_text(bytes);
		cursor->scope.count = take_number(bytes, 4);
		if (cursor->scope.count < 0 || cursor->scope.count > bytes->len)
			raise_bad_cursor();
		cursor->scope.items = palloc(sizeof(text *) * Max(cursor->scope.count, 1));
		for (int i = 0; i < cursor->scope.count; i++)
			cursor->scope.items[i] = take_text(bytes);
	}
	if (bytes->cursor != bytes->len)
		raise_bad_cursor();
}

/* Read a cursor of the query; 22023 if it is none. */
GovCursor *
gov_page_cursor_read(const GovPageRequest *request, const text *after)
{
	GovCursor  *cursor = palloc0(sizeof(GovCursor));
	bool		has_shown = gov_page_cursor_has_shown(request);
	StringInfoData bytes;

	decode_cursor(after, &bytes);
	if (*take_bytes(&bytes, 1) != (has_shown ? KIND_SHOWN : KIND_PLACE) ||
		take_number(&bytes, sizeof(uint64)) != request->hash)
		raise_bad_cursor();
	if (has_shown)
		read_shown(&bytes, cursor);
	else
		read_place(&bytes, request->is_tree, cursor);
	pfree(bytes.data);
	return cursor;
}

/* ---------------------------------------------------------------- finding the place */

static int
compare_text(const GovSheet *sheet, GovString string, const text *other)
{
	return gov_bytes_compare(gov_sheet_text(sheet, string), string.length,
							 VARDATA_ANY(other), VARSIZE_ANY_EXHDR(other));
}

/*
 * Compare a row of the cursor's entity with the cursor's row, in natural
 * order.
 */
static int
compare_row(const GovSheet *sheet, uint32 number, const GovCursor *cursor)
{
	const GovSheetBudget *budget = &sheet->budgets[number];
	const GovTexts *scope = &cursor->scope;
	int			order = compare_text(sheet,
									 sheet->capabilities[sheet->rows[number].capability],
									 cursor->capability_id);

	if (order == 0)
		order = (int) budget->nscope - scope->count;
	for (int i = 0; order == 0 && i < scope->count; i++)
		order = compare_text(sheet, gov_sheet_scope(sheet, budget)[i], scope->items[i]);
	return order != 0 ? order : compare_text(sheet, budget->name, cursor->name);
}

/*
 * Compare the unused budget that an entity has by a default, where the entity
 * is the cursor's, with the cursor's row.
 */
int
gov_page_cursor_compare_unused(const GovSheet *sheet, uint32 from, const GovCursor *cursor)
{
	const GovSheetDefault *by = &sheet->defaults[from];
	int			order = compare_text(sheet, sheet->capabilities[by->capability],
									 cursor->capability_id);

	if (order == 0)
		order = -cursor->scope.count;
	return order != 0 ? order : compare_text(sheet, by->name, cursor->name);
}

/*
 * Where the cursor's row is or was: how many entities come before its entity,
 * that entity's number (or -1), and the first row after it in natural order.
 */
void
gov_page_cursor_find(const GovSheet *sheet, const GovCursor *cursor,
					 uint32 *low_entity, int *at_entity, uint32 *next_number)
{
	uint32		low = 0;
	uint32		high = sheet->nentities;
	const GovSheetEntity *entity;

	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;

		if (compare_text(sheet, sheet->entities[middle].id, cursor->entity_id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	entity = &sheet->entities[low];
	*low_entity = low;
	*at_entity = low < sheet->nentities &&
		compare_text(sheet, entity->id, cursor->entity_id) == 0 ? (int) low : -1;
	if (cursor->capability_id == NULL)
	{
		*next_number = low + (*at_entity >= 0 ? 1 : 0);
		return;
	}
	*next_number = low < sheet->nentities ? entity->first_row : sheet->nrows;
	if (*at_entity < 0)
		return;
	while (*next_number < entity->first_row + entity->nrows &&
		   compare_row(sheet, *next_number, cursor) <= 0)
		(*next_number)++;
}

/* ---------------------------------------------------------------- writing */

static void
put_string(StringInfo bytes, const GovSheet *sheet, GovString string)
{
	pq_sendint16(bytes, string.length);
	appendBinaryStringInfo(bytes, gov_sheet_text(sheet, string), string.length);
}

static void
put_budget(StringInfo bytes, const GovSheet *sheet, const GovPageBudget *budget)
{
	put_string(bytes, sheet, budget->capability);
	put_string(bytes, sheet, budget->name);
	pq_sendint32(bytes, budget->nscope);
	for (uint32 i = 0; i < budget->nscope; i++)
		put_string(bytes, sheet, budget->scope[i]);
}

static void
write_place(StringInfo bytes, const GovSheet *sheet, const GovPageRequest *request,
			const GovPageRow *row)
{
	GovPageBudget budget = {.entity = (uint32) row->number};

	if (!request->is_tree)
		gov_page_describe(sheet, row->number, &budget);
	pq_sendint64(bytes, request->sort == GOV_SORT_ID ? 0 : (int64) row->primary);
	put_string(bytes, sheet, sheet->entities[budget.entity].id);
	if (!request->is_tree)
		put_budget(bytes, sheet, &budget);
}

/* Write the hashes of the rows that earlier pages and this one have shown. */
static void
write_shown(StringInfo bytes, const GovSheet *sheet, const GovPageRequest *request,
			const GovPage *page)
{
	uint32		nbefore = request->after ? request->after->nshown : 0;
	uint32		i = 0;
	uint64		hashes[GOV_PAGE_MAX];

	for (int n = 0; n < page->nrows; n++)
		hashes[n] = gov_page_cursor_row_hash(sheet, page->rows[n].number);
	qsort(hashes, page->nrows, sizeof(uint64), gov_page_cursor_compare_hashes);
	enlargeStringInfo(bytes, (nbefore + page->nrows) * sizeof(uint64));
	for (int n = 0; n < page->nrows; n++)
	{
		for (; i < nbefore && request->after->shown[i] < hashes[n]; i++)
			pq_sendint64(bytes, request->after->shown[i]);
		if (n == 0 || hashes[n] != hashes[n - 1])
			pq_sendint64(bytes, hashes[n]);
	}
	for (; i < nbefore; i++)
		pq_sendint64(bytes, request->after->shown[i]);
}

/* The cursor of the page after this one; NULL if there is none. */
char *
gov_page_cursor_write(const GovSheet *sheet, const GovPageRequest *request,
					  const GovPage *page, int *length)
{
	bool		has_shown = gov_page_cursor_has_shown(request);
	StringInfoData bytes;
	char	   *cursor;
	int			capacity;

	if (!page->has_more)
		return NULL;
	initStringInfo(&bytes);
	appendStringInfoCharMacro(&bytes, has_shown ? KIND_SHOWN : KIND_PLACE);
	pq_sendint64(&bytes, request->hash);
	if (has_shown)
		write_shown(&bytes, sheet, request, page);
	else
		write_place(&bytes, sheet, request, &page->rows[page->nrows - 1]);
	capacity = pg_b64_enc_len(bytes.len);
	cursor = palloc(capacity);
	*length = pg_b64_encode((const void *) bytes.data, bytes.len, cursor, capacity);
	Assert(*length > 0);
	return cursor;
}
