/*
 * sheet_carried.c
 *		What the budgets of a sheet carry over from the window before.
 *
 * PURPOSE
 *		It is a part of their limits, and is read before them, as shared memory has it
 *		(cache/carry_over.c).  A late use of the window before changes it and leaves
 *		no mark; so a sheet with such budgets serves one query and is not kept.
 *
 *		A budget that nobody has used carries what its default says, as far as there
 *		was a window before: that is found for the rows that a page shows.  So by
 *		usageLimit such budgets stand where they would without it.
 *
 * FAILURE
 *		That of a load.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/spi.h"
#include "cache/carry_over.h"
#include "cache/load_steps.h"
#include "query/sheet_read.h"

static GovQuery limit_query = {
	.sql =
	"select @_gov_limit_before(coalesce(d.owner_id, ''), d.id, $2, d.usage_limit)"
	" from @gov_default_assignments d where d.id = $1",
	.nargs = 2,
	.argtypes = {UUIDOID, TIMESTAMPTZOID}
};

static int
compare_ids(const void *left, const void *right)
{
	return memcmp(((const GovSheetCarried *) left)->id.data,
				  ((const GovSheetCarried *) right)->id.data, UUID_LEN);
}

/* Read what the owner's budgets carry over, before they are read. */
void
gov_sheet_read_carried(GovSheet *sheet)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "governance carried",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	GovCarriedOver *found;

	sheet->ncarried = gov_carry_over_find(&sheet->owner, NULL, sheet->now, sheet->is_live, &found);
	if (sheet->ncarried > 0)
		sheet->carried = MemoryContextAllocHuge(sheet->context,
												sizeof(GovSheetCarried) * sheet->ncarried);
	for (uint32 i = 0; i < sheet->ncarried; i++)
		sheet->carried[i] = (GovSheetCarried) {found[i].id, found[i].carried};
	qsort(sheet->carried, sheet->ncarried, sizeof(GovSheetCarried), compare_ids);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

/* What a budget carries over; false if it carries nothing. */
bool
gov_sheet_find_carried(const GovSheet *sheet, const pg_uuid_t *id, GovAmount *carried)
{
	GovSheetCarried key = {*id, 0};
	const GovSheetCarried *found;

	*carried = 0;
	if (likely(sheet->ncarried == 0))
		return false;
	found = bsearch(&key, sheet->carried, sheet->ncarried, sizeof(GovSheetCarried), compare_ids);
	if (found == NULL)
		return false;
	*carried = found->carried;
	return true;
}

/* What an entity's budget by a default carries over that nobody has used, under the active snapshot. */
GovAmount
gov_sheet_carried_unused(const GovSheet *sheet, uint32 entity, const GovSheetDefault *by,
						 TimestampTz start)
{
	Datum		args[2] = {UUIDPGetDatum(&by->id), TimestampTzGetDatum(start)};
	GovAmount	limit = 0;
	bool		isnull;

	if (Max(by->carry_made_at, sheet->entities[entity].created_at) >= start)
		return 0;
	if (gov_spi_select(&limit_query, args, NULL) > 0)
		limit = gov_load_amount(0, 1, &isnull);
	SPI_freetuptable(SPI_tuptable);
	return Min(limit, by->carry_max);
}
