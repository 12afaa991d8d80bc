/*
 * sheet_defaults.c
 *		Reads into a sheet the defaults by which its entities have budgets.
 *
 * PURPOSE
 *		A budget by a default that was used is a row like others.  Of those that
 *		were not used a sheet has the defaults alone: that an entity has such a
 *		budget is found when it is to be shown.  So a type with a million entities
 *		takes no more memory because it has a default.
 *
 *		What some of these budgets have besides is kept of them, the extras: a
 *		boost, and what the limits of children take.
 *
 * READING
 *		Under the snapshot of the sheet's entities, before its budgets.
 *
 * FAILURE
 *		An error leaves a sheet that nobody has seen, which goes with the query.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/spi.h"
#include "cache/load_steps.h"
#include "pure/bytes.h"
#include "query/sheet_read.h"

#define GOV_EXTRAS_AT_FIRST		16

/*
 * The columns of budgets (sheet_select.c) where they have them.  Two conditions
 * that the index serves.
 */
#define DEFAULT_COLUMNS \
	"d.type_id, d.capability_id, d.scope_type_ids, d.name, d.usage_limit, d.cadence," \
	" d.anchor_at, d.timezone, d.enforcement = 'soft', d.locked, d.id, d.anchor_from"

#define CARRY_COLUMNS \
	", d.carry_unused_max, d.carry_debt, greatest(d.created_at, d.carry_from)"

static GovQuery defaults_query = {
	.sql =
	"select " DEFAULT_COLUMNS ", d.scope_type_ids = '{}', d.seed, d.window_kind" CARRY_COLUMNS
	" from @gov_default_assignments d where d.owner_id = $1"
	" union all"
	" select " DEFAULT_COLUMNS ", d.scope_type_ids = '{}' and not exists"
	"  (select from @gov_default_assignments o where o.owner_id = $1"
	"   and o.type_id = d.type_id and o.capability_id = d.capability_id"
	"   and o.scope_type_ids = d.scope_type_ids and o.name = d.name), d.seed, d.window_kind" CARRY_COLUMNS
	" from @gov_default_assignments d where d.owner_id is null"
	" order by 2, 4",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

/* The boosts of each budget that have not ended: what they add, and when that changes. */
static GovQuery boosts_query = {
	.sql =
	"select x.entity_id, x.capability_id, x.name,"
	" sum(x.amount) filter (where x.valid_from <= $2),"
	" least(min(x.valid_from) filter (where x.valid_from > $2), min(x.valid_until))"
	" from (select b.* from @gov_boosts b where b.owner_id = $1 and b.valid_until > $2"
	"  union all select b.* from @gov_boosts b where b.owner_id = $1 and b.valid_until is null) x"
	" where x.scope_entity_ids = '{}'"
	" group by x.entity_id, x.capability_id, x.name",
	.nargs = 2,
	.argtypes = {TEXTOID, TIMESTAMPTZOID}
};

static Datum
owner_of(const GovSheet *sheet)
{
	return PointerGetDatum(cstring_to_text_with_len(sheet->owner.owner,
													sheet->owner.owner_length));
}

/* ---------------------------------------------------------------- defaults */

/* The sheet's index of a row's type; ntypes if no entity is of that type. */
static uint32
find_type(const GovSheet *sheet, uint64 row)
{
	uint32		type = 0;

	while (type < sheet->ntypes && !gov_sheet_is_column(sheet, sheet->types[type], row, 1))
		type++;
	return type;
}

static void
read_default(GovSheetReading *reading, uint64 row, uint32 type, GovSheetDefault *to)
{
	bool		isnull;

	memset(to, 0, sizeof(*to));
	to->type = type;
	to->capability = gov_sheet_add_capability(reading, row, 2);
	to->name = gov_sheet_add_column(reading->sheet, row, 4);
	to->limit = gov_load_amount(row, 5, &isnull);
	to->has_limit = !isnull;
	to->window = gov_sheet_add_window(reading, row, 15);
	to->is_soft = DatumGetBool(gov_spi_value(row, 9, &isnull));
	to->is_locked = DatumGetBool(gov_spi_value(row, 10, &isnull));
	to->id = *DatumGetUUIDP(gov_spi_value(row, 11, &isnull));
	to->seed = DatumGetInt64(gov_spi_value(row, 14, &isnull));
	to->anchor_from = gov_sheet_add_column(reading->sheet, row, 12);
	to->is_listed = DatumGetBool(gov_spi_value(row, 13, &isnull));
	to->carry_max = gov_load_amount(row, 16, &isnull);
	to->carries = !isnull || DatumGetBool(gov_spi_value(row, 17, &isnull));
	to->carry_made_at = DatumGetTimestampTz(gov_spi_value(row, 18, &isnull));
	reading->sheet->has_listed |= to->is_listed;
}

/* Where the defaults of each type stand; types has the type of each row. */
static void
place_types(GovSheet *sheet, const uint32 *types, uint64 nrows)
{
	uint32	   *first = MemoryContextAllocZero(sheet->context,
											   sizeof(uint32) * (sheet->ntypes + 2));

	/* counted one type further on, so that the sums are where each begins */
	for (uint64 row = 0; row < nrows; row++)
	{
		if (types[row] < sheet->ntypes)
			first[types[row] + 1]++;
	}
	for (uint32 type = 1; type <= sheet->ntypes; type++)
		first[type] += first[type - 1];
	sheet->first_default = first;
	sheet->ndefaults = first[sheet->ntypes];
}

/* Read the defaults that apply to the sheet's entities. */
void
gov_sheet_read_defaults(GovSheetReading *reading)
{
	GovSheet   *sheet = reading->sheet;
	Datum		args[1];
	uint64		nrows;
	uint32	   *types;
	uint32	   *next;

	if (!gov_load_has_defaults())
		return;
	args[0] = owner_of(sheet);
	nrows = gov_spi_select(&defaults_query, args, NULL);
	types = palloc(sizeof(uint32) * (nrows + 1));
	for (uint64 row = 0; row < nrows; row++)
		types[row] = find_type(sheet, row);
	place_types(sheet, types, nrows);
	sheet->defaults = MemoryContextAlloc(sheet->context,
										 sizeof(GovSheetDefault) * (sheet->ndefaults + 1));
	next = palloc(sizeof(uint32) * (sheet->ntypes + 1));
	memcpy(next, sheet->first_default, sizeof(uint32) * (sheet->ntypes + 1));
	for (uint64 row = 0; row < nrows; row++)
	{
		if (types[row] < sheet->ntypes)
			read_default(reading, row, types[row], &sheet->defaults[next[types[row]]++]);
	}
	SPI_freetuptable(SPI_tuptable);
}

/* The index of a default, or -1. */
int
gov_sheet_find_default(const GovSheet *sheet, const pg_uuid_t *id)
{
	for (uint32 i = 0; i < sheet->ndefaults; i++)
	{
		if (memcmp(&sheet->defaults[i].id, id, UUID_LEN) == 0)
			return i;
	}
	return -1;
}

/* ---------------------------------------------------------------- unused budgets */

static bool
is_name(const GovSheet *sheet, GovString one, GovString other)
{
	return gov_bytes_equal(gov_sheet_text(sheet, one), one.length,
						   gov_sheet_text(sheet, other), other.length);
}

/*
 * Has an entity a budget by a default of its type that was not used?  Not if it
 * has a row in its place.
 */
bool
gov_sheet_has_unused(const GovSheet *sheet, uint32 entity, uint32 from)
{
	const GovSheetEntity *of = &sheet->entities[entity];
	const GovSheetDefault *by = &sheet->defaults[from];

	Assert(by->type == of->type);
	if (!by->is_listed || of->is_archived)
		return false;
	for (uint32 i = of->first_row; i < of->first_row + of->nrows; i++)
	{
		if (sheet->rows[i].capability == by->capability && !sheet->rows[i].is_scoped &&
			is_name(sheet, sheet->budgets[i].name, by->name))
			return false;
	}
	return true;
}

static int
compare_extras(const void *left, const void *right)
{
	uint64		a = ((const GovSheetExtra *) left)->unused;
	uint64		b = ((const GovSheetExtra *) right)->unused;

	return (a > b) - (a < b);
}

/* What an unused budget has besides; NULL for nearly all. */
const GovSheetExtra *
gov_sheet_extra(const GovSheet *sheet, uint64 unused)
{
	GovSheetExtra wanted = {.unused = unused};

	return sheet->nextras == 0 ? NULL :
		bsearch(&wanted, sheet->extras, sheet->nextras, sizeof(GovSheetExtra), compare_extras);
}

/* Add to what an unused budget has; gov_sheet_order_extras() follows. */
void
gov_sheet_add_extra(GovSheet *sheet, uint64 unused, GovAmount boost, GovAmount allocated)
{
	if (sheet->nextras >= sheet->extras_capacity)
	{
		sheet->extras_capacity = Max(2 * sheet->extras_capacity, GOV_EXTRAS_AT_FIRST);
		sheet->extras = sheet->extras == NULL ?
			MemoryContextAlloc(sheet->context, sizeof(GovSheetExtra) * sheet->extras_capacity) :
			repalloc_huge(sheet->extras, sizeof(GovSheetExtra) * sheet->extras_capacity);
	}
	sheet->extras[sheet->nextras++] = (GovSheetExtra) {.unused = unused, .boost = boost, .allocated = allocated};
}

/* Make one of those that are of the same budget, in order. */
void
gov_sheet_order_extras(GovSheet *sheet)
{
	uint32		count = 0;

	if (sheet->nextras == 0)
		return;
	qsort(sheet->extras, sheet->nextras, sizeof(GovSheetExtra), compare_extras);
	for (uint32 i = 1; i < sheet->nextras; i++)
	{
		if (sheet->extras[i].unused != sheet->extras[count].unused)
			sheet->extras[++count] = sheet->extras[i];
		else
		{
			sheet->extras[count].boost += sheet->extras[i].boost;
			sheet->extras[count].allocated += sheet->extras[i].allocated;
		}
	}
	sheet->nextras = count + 1;
}

/* Note what a row of SPI adds to an unused budget, if it is of one. */
static void
read_boost(GovSheet *sheet, uint64 row)
{
	bool		isnull;
	text	   *id = DatumGetTextPP(gov_spi_value(row, 1, &isnull));
	int			entity = gov_sheet_find_entity(sheet, VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id));
	uint32		type = entity < 0 ? 0 : sheet->entities[entity].type;
	Datum		moment = gov_spi_value(row, 5, &isnull);

	if (entity < 0)
		return;
	if (!isnull)
		sheet->next_boost = Min(sheet->next_boost, DatumGetTimestampTz(moment));
	for (uint32 i = sheet->first_default[type]; i < sheet->first_default[type + 1]; i++)
	{
		const GovSheetDefault *by = &sheet->defaults[i];

		if (gov_sheet_is_column(sheet, sheet->capabilities[by->capability], row, 2) &&
			gov_sheet_is_column(sheet, by->name, row, 3) &&
			gov_sheet_has_unused(sheet, entity, i))
			gov_sheet_add_extra(sheet, gov_sheet_unused(sheet, entity, i),
								gov_load_amount(row, 4, &isnull), 0);
	}
}

/* Read the boosts of unused budgets, after the budgets. */
void
gov_sheet_read_extras(GovSheet *sheet)
{
	Datum		args[2];
	uint64		nrows;

	if (!sheet->has_listed || !gov_load_has_boosts())
		return;
	args[0] = owner_of(sheet);
	args[1] = TimestampTzGetDatum(sheet->now);
	nrows = gov_spi_select(&boosts_query, args, NULL);
	for (uint64 row = 0; row < nrows; row++)
		read_boost(sheet, row);
	SPI_freetuptable(SPI_tuptable);
}
