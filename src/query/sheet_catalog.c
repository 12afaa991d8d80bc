/*
 * sheet_catalog.c
 *		Reads an owner's entities and budgets into a sheet.
 *
 * PURPOSE
 *		The rows are those of sheet_select.c.  What follows from them alone is
 *		worked out here, once, so that queries find it: who is shown below whom,
 *		what has been allocated, the order of everything (sheet_tree.c).
 *
 * ORDER
 *		Entities in byte order of their ids; the budgets of one by capability,
 *		scope size, scope and name.  A row's number is its place in that order,
 *		by which every query breaks ties.
 *
 * FAILURE
 *		An error leaves a sheet that nobody has seen, which goes with the query.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/errors.h"
#include "cache/load_steps.h"
#include "pure/bytes.h"
#include "query/sheet_read.h"

/* A budget as it is read, before the budgets of its entity are in order. */
typedef struct GovSheetDraft
{
	GovSheetBudget budget;
	GovSheetRow row;
} GovSheetDraft;

static GovString
add_bytes(GovSheet *sheet, const char *bytes, uint32 length)
{
	GovString	string = {sheet->texts.len, length};

	appendBinaryStringInfo(&sheet->texts, bytes, length);
	appendStringInfoChar(&sheet->texts, '\0');
	return string;
}

/* Keep a text of a row of SPI. */
GovString
gov_sheet_add_column(GovSheet *sheet, uint64 row, int column)
{
	bool		isnull;
	Datum		value = gov_spi_value(row, column, &isnull);
	GovString	null_string = {0, 0};
	text	   *bytes;

	if (isnull)
		return null_string;
	bytes = DatumGetTextPP(value);
	return add_bytes(sheet, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
}

/* Is a text what a column of a row of SPI has? */
bool
gov_sheet_is_column(const GovSheet *sheet, GovString string, uint64 row, int column)
{
	bool		isnull;
	Datum		value = gov_spi_value(row, column, &isnull);

	if (isnull || string.offset == 0)
		return isnull && string.offset == 0;
	return gov_bytes_are(DatumGetTextPP(value), gov_sheet_text(sheet, string), string.length);
}

/* The index of a text in a short list of them, added if it is new. */
static uint32
intern_text(GovSheet *sheet, GovString **list, uint32 *count, uint32 *capacity, uint64 row,
			int column)
{
	for (uint32 i = *count; i > 0; i--)
	{
		if (gov_sheet_is_column(sheet, (*list)[i - 1], row, column))
			return i - 1;
	}
	if (*count >= *capacity)
	{
		*capacity = Max(*capacity * 2, 16);
		*list = *list ? repalloc_huge(*list, sizeof(GovString) * *capacity) :
			MemoryContextAlloc(sheet->context, sizeof(GovString) * *capacity);
	}
	(*list)[*count] = gov_sheet_add_column(sheet, row, column);
	return (*count)++;
}

/* The index of a row's capability. */
uint32
gov_sheet_add_capability(GovSheetReading *reading, uint64 row, int column)
{
	return intern_text(reading->sheet, &reading->sheet->capabilities,
					   &reading->sheet->ncapabilities, &reading->capabilities_capacity,
					   row, column);
}

/* ---------------------------------------------------------------- entities */

static void
read_entity(GovSheetReading *reading, uint64 row)
{
	GovSheet   *sheet = reading->sheet;
	GovSheetEntity *entity = &sheet->entities[row];
	bool		isnull;

	entity->id = gov_sheet_add_column(sheet, row, 1);
	entity->type = intern_text(sheet, &sheet->types, &sheet->ntypes,
							   &reading->types_capacity, row, 2);
	entity->display_name = gov_sheet_add_column(sheet, row, 4);
	entity->created_at = DatumGetTimestampTz(gov_spi_value(row, 5, &isnull));
	entity->is_archived = DatumGetBool(gov_spi_value(row, 6, &isnull));
	Assert(row == 0 || gov_bytes_compare(gov_sheet_text(sheet, entity[-1].id),
										 entity[-1].id.length,
										 gov_sheet_text(sheet, entity->id),
										 entity->id.length) < 0);
}

static void
read_parent(GovSheet *sheet, uint64 row)
{
	bool		isnull;
	Datum		value = gov_spi_value(row, 3, &isnull);

	sheet->entities[row].parent = isnull ? -1 :
		gov_sheet_find_entity(sheet, VARDATA_ANY(DatumGetTextPP(value)),
							  VARSIZE_ANY_EXHDR(DatumGetTextPP(value)));
}

static void
read_entities(GovSheetReading *reading)
{
	GovSheet   *sheet = reading->sheet;
	uint64		nrows = gov_sheet_select_entities(sheet);

	sheet->nentities = (uint32) nrows;
	sheet->entities = MemoryContextAllocHuge(sheet->context,
											 sizeof(GovSheetEntity) * Max(nrows, 1));
	memset(sheet->entities, 0, sizeof(GovSheetEntity) * nrows);
	for (uint64 row = 0; row < nrows; row++)
	{
		CHECK_FOR_INTERRUPTS();
		read_entity(reading, row);
	}
	for (uint64 row = 0; row < nrows; row++)
		read_parent(sheet, row);
	SPI_freetuptable(SPI_tuptable);
	gov_sheet_place_entities(sheet);
	gov_sheet_read_blocks(sheet);
}

/* ---------------------------------------------------------------- budgets */

/* Where the windows of a row begin, which a column says. */
static uint8
read_kind(uint64 row, int column)
{
	bool		isnull;
	text	   *value = DatumGetTextPP(gov_spi_value(row, column, &isnull));
	char	   *stored;
	uint8		kind;

	if (gov_bytes_are(value, "calendar", strlen("calendar")))
		return GOV_WINDOW_CALENDAR;
	stored = text_to_cstring(value);
	if (!gov_cadence_kind_parse(stored, &kind))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("stored window_kind \"%s\" is unknown", gov_error_shown(stored))));
	return kind;
}

static bool
is_window(const GovSheet *sheet, const GovSheetWindow *window, bool has_anchor,
		  TimestampTz anchor, uint8 kind, uint64 row)
{
	return window->has_anchor == has_anchor && window->anchor == anchor &&
		window->cadence.kind == kind &&
		gov_sheet_is_column(sheet, window->cadence_text, row, 6) &&
		gov_sheet_is_column(sheet, window->timezone, row, 8);
}

static void
add_window(GovSheetReading *reading, bool has_anchor, TimestampTz anchor, uint8 kind, uint64 row)
{
	GovSheet   *sheet = reading->sheet;
	GovSheetWindow *window;

	if (sheet->nwindows >= reading->windows_capacity)
	{
		reading->windows_capacity = Max(reading->windows_capacity * 2, 16);
		sheet->windows = sheet->windows ?
			repalloc_huge(sheet->windows,
						  sizeof(GovSheetWindow) * reading->windows_capacity) :
			MemoryContextAlloc(sheet->context,
							   sizeof(GovSheetWindow) * reading->windows_capacity);
	}
	window = &sheet->windows[sheet->nwindows++];
	memset(window, 0, sizeof(*window));
	window->has_anchor = has_anchor;
	window->anchor = anchor;
	window->cadence_text = gov_sheet_add_column(sheet, row, 6);
	window->timezone = gov_sheet_add_column(sheet, row, 8);
	if (window->cadence_text.offset != 0 &&
		!gov_cadence_parse(gov_sheet_text(sheet, window->cadence_text), &window->cadence))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("stored cadence \"%s\" is malformed",
						gov_error_shown(gov_sheet_text(sheet, window->cadence_text))),
				 errhint("Change the cadence of that budget.")));
	window->cadence.kind = kind;
}

/*
 * Add the window that a row says, whether it is new or not; where it begins is in the
 * given column.  Returns its index.
 */
uint32
gov_sheet_add_window(GovSheetReading *reading, uint64 row, int kind_column)
{
	bool		has_no_anchor;
	TimestampTz anchor = DatumGetTimestampTz(gov_spi_value(row, 7, &has_no_anchor));

	add_window(reading, !has_no_anchor, has_no_anchor ? 0 : anchor, read_kind(row, kind_column), row);
	return reading->sheet->nwindows - 1;
}

static uint32
hash_column(uint64 row, int column)
{
	bool		isnull;
	Datum		value = gov_spi_value(row, column, &isnull);
	text	   *bytes;

	if (isnull)
		return 0;
	bytes = DatumGetTextPP(value);
	return gov_entity_text_hash(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
}

/* Budgets may have a cadence, anchor or time zone each: windows are found by hash. */
static uint32
intern_window(GovSheetReading *reading, uint64 row)
{
	GovSheet   *sheet = reading->sheet;
	bool		has_no_anchor;
	TimestampTz anchor = DatumGetTimestampTz(gov_spi_value(row, 7, &has_no_anchor));
	uint32		hash = hash_combine(hash_column(row, 6), hash_column(row, 8));
	uint8		kind = read_kind(row, 15);
	uint32		slot;

	if (has_no_anchor)
		anchor = 0;
	for (slot = hash_combine(hash, murmurhash32((uint32) (anchor >> 20)));; slot++)
	{
		uint32		number = reading->slots[slot & (reading->nslots - 1)];

		if (number == 0)
			break;
		if (is_window(sheet, &sheet->windows[number - 1], !has_no_anchor, anchor, kind, row))
			return number - 1;
	}
	add_window(reading, !has_no_anchor, anchor, kind, row);
	reading->slots[slot & (reading->nslots - 1)] = sheet->nwindows;
	return sheet->nwindows - 1;
}

/* Append the scope's ids, then the array that points to them. */
static void
read_scope(GovSheet *sheet, uint64 row, GovSheetBudget *budget)
{
	bool		isnull;
	ArrayType  *array = DatumGetArrayTypeP(gov_spi_value(row, 3, &isnull));
	Datum	   *ids;
	int			nids;
	GovString  *scope;

	if (ARR_NDIM(array) == 0)
		return;
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &ids, NULL, &nids);
	scope = palloc(sizeof(GovString) * Max(nids, 1));
	for (int i = 0; i < nids; i++)
	{
		text	   *id = DatumGetTextPP(ids[i]);

		scope[i] = add_bytes(sheet, VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id));
	}
	while (sheet->texts.len % MAXIMUM_ALIGNOF != 0)
		appendStringInfoChar(&sheet->texts, '\0');
	budget->scope = sheet->texts.len;
	budget->nscope = nids;
	appendBinaryStringInfo(&sheet->texts, (char *) scope, sizeof(GovString) * nids);
	pfree(scope);
	pfree(ids);
}

/* The sheet is right until a boost begins or ends. */
static void
read_next_boost(GovSheet *sheet, uint64 row)
{
	bool		isnull;
	Datum		moment = gov_spi_value(row, 14, &isnull);

	if (!isnull)
		sheet->next_boost = Min(sheet->next_boost, DatumGetTimestampTz(moment));
}

/* The default that a budget comes from, or -1. */
static int32
read_by_default(const GovSheet *sheet, uint64 row)
{
	bool		isnull = true;
	Datum		id = sheet->ndefaults > 0 ? gov_spi_value(row, 16, &isnull) : (Datum) 0;

	return isnull ? -1 : gov_sheet_find_default(sheet, DatumGetUUIDP(id));
}

static void
read_budget(GovSheetReading *reading, uint64 row, uint32 entity, GovSheetDraft *draft)
{
	GovSheet   *sheet = reading->sheet;
	GovSheetBudget *budget = &draft->budget;
	GovAmount	carried;
	bool		isnull;

	memset(draft, 0, sizeof(*draft));
	budget->id = *DatumGetUUIDP(gov_spi_value(row, 11, &isnull));
	read_scope(sheet, row, budget);
	budget->name = gov_sheet_add_column(sheet, row, 4);
	budget->base_limit = gov_load_amount(row, 5, &isnull);
	budget->has_limit = !isnull;
	gov_sheet_find_carried(sheet, &budget->id, &carried);
	budget->limit = Max(budget->base_limit + gov_load_amount(row, 13, &isnull) + carried, 0);
	read_next_boost(sheet, row);
	budget->is_soft = DatumGetBool(gov_spi_value(row, 9, &isnull));
	budget->is_locked = DatumGetBool(gov_spi_value(row, 10, &isnull));
	budget->by_default = read_by_default(sheet, row);
	budget->entity = entity;
	draft->row.counter_id = DatumGetInt64(gov_spi_value(row, 12, &isnull));
	draft->row.capability = gov_sheet_add_capability(reading, row, 2);
	draft->row.window = intern_window(reading, row);
	draft->row.is_scoped = budget->nscope > 0;
	draft->row.per_unit = !budget->has_limit ? NAN :
		budget->limit == 0 ? 0 : 1.0 / (double) budget->limit;
}

static int
compare_strings(const GovSheet *sheet, GovString a, GovString b)
{
	return gov_bytes_compare(gov_sheet_text(sheet, a), a.length,
							 gov_sheet_text(sheet, b), b.length);
}

static int
compare_drafts(const void *left, const void *right, void *arg)
{
	const GovSheet *sheet = arg;
	const GovSheetBudget *a = &((const GovSheetDraft *) left)->budget;
	const GovSheetBudget *b = &((const GovSheetDraft *) right)->budget;
	int			order = 0;

	if (((const GovSheetDraft *) left)->row.capability != ((const GovSheetDraft *) right)->row.capability)
		return compare_strings(sheet,
							   sheet->capabilities[((const GovSheetDraft *) left)->row.capability],
							   sheet->capabilities[((const GovSheetDraft *) right)->row.capability]);
	if (a->nscope != b->nscope)
		return a->nscope < b->nscope ? -1 : 1;
	for (uint32 i = 0; order == 0 && i < a->nscope; i++)
		order = compare_strings(sheet, gov_sheet_scope(sheet, a)[i],
								gov_sheet_scope(sheet, b)[i]);
	return order != 0 ? order : compare_strings(sheet, a->name, b->name);
}

/*
 * Read the budgets of one entity, which are in the rows [first, end) of SPI.
 */
static void
read_budgets_of(GovSheetReading *reading, uint32 entity, uint64 first, uint64 end)
{
	GovSheet   *sheet = reading->sheet;
	uint32		count = (uint32) (end - first);

	if (count > reading->drafts_capacity)
	{
		reading->drafts_capacity = Max(2 * count, 64);
		if (reading->drafts != NULL)
			pfree(reading->drafts);
		reading->drafts = palloc_extended(sizeof(GovSheetDraft) * (Size) reading->drafts_capacity,
										  MCXT_ALLOC_HUGE);
	}
	for (uint32 i = 0; i < count; i++)
		read_budget(reading, first + i, entity, &reading->drafts[i]);
	qsort_arg(reading->drafts, count, sizeof(GovSheetDraft), compare_drafts, sheet);
	for (uint32 i = 0; i < count; i++)
	{
		sheet->rows[sheet->nrows + i] = reading->drafts[i].row;
		sheet->budgets[sheet->nrows + i] = reading->drafts[i].budget;
	}
	sheet->entities[entity].nrows = count;
	sheet->nrows += count;
}

/* Skip the budgets of an entity that is archived. */
static void
read_budgets(GovSheetReading *reading)
{
	GovSheet   *sheet = reading->sheet;
	uint64		nrows = gov_sheet_select_budgets(sheet);
	uint64		first = 0;

	reading->nslots = 64;
	while (reading->nslots < 2 * nrows)
		reading->nslots *= 2;
	reading->slots = palloc_extended(sizeof(uint32) * (Size) reading->nslots,
									 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	sheet->rows = MemoryContextAllocHuge(sheet->context, sizeof(GovSheetRow) * Max(nrows, 1));
	sheet->budgets = MemoryContextAllocHuge(sheet->context,
											sizeof(GovSheetBudget) * Max(nrows, 1));
	sheet->stored = MemoryContextAllocHuge(sheet->context,
										   sizeof(GovSheetStored) * Max(nrows, 1));
	memset(sheet->stored, 0, sizeof(GovSheetStored) * nrows);
	for (uint32 e = 0; e < sheet->nentities; e++)
	{
		uint64		end = first;

		CHECK_FOR_INTERRUPTS();
		sheet->entities[e].first_row = sheet->nrows;
		while (end < nrows && gov_sheet_is_column(sheet, sheet->entities[e].id, end, 1))
			end++;
		if (end > first && !sheet->entities[e].is_archived)
			read_budgets_of(reading, e, first, end);
		first = end;
	}
	Assert(first == nrows);
	SPI_freetuptable(SPI_tuptable);
}

/* Read all but the counts, under the active snapshot. */
void
gov_sheet_read_catalog(GovSheet *sheet)
{
	GovSheetReading reading = {.sheet = sheet};
	MemoryContext caller = MemoryContextSwitchTo(sheet->context);

	initStringInfo(&sheet->texts);
	appendStringInfoChar(&sheet->texts, '\0');	/* at offset 0 is no string */
	MemoryContextSwitchTo(caller);
	read_entities(&reading);
	gov_sheet_read_defaults(&reading);
	read_budgets(&reading);
	gov_sheet_read_pools(sheet);
	gov_sheet_read_extras(sheet);
	gov_sheet_allocate(sheet);
}
