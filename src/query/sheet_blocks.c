/*
 * sheet_blocks.c
 *		Reads into a sheet which entities are blocked.
 *
 * PURPOSE
 *		Few are, so an index finds them, and an entity that never was takes no
 *		memory for it.  Whether a block is still in force is asked when its
 *		entity is shown: nothing runs when one ends.
 *
 * READING
 *		Under the snapshot of the sheet's entities.
 *
 * FAILURE
 *		An error leaves a sheet that nobody has seen, which goes with the query.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/spi.h"
#include "query/sheet_read.h"

static GovQuery blocks_query = {
	.sql =
	"select e.id, e.blocked_at, e.blocked_until, e.blocked_reason"
	" from @gov_entities e where e.owner_id = $1 and e.blocked_at is not null",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

/* Those that are no part of the sheet are left out. */
static void
read_block(GovSheet *sheet, uint64 row)
{
	bool		isnull;
	text	   *id = DatumGetTextPP(gov_spi_value(row, 1, &isnull));
	int			entity = gov_sheet_find_entity(sheet, VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id));
	GovSheetBlock *block;

	if (entity < 0)
		return;
	block = &sheet->blocks[sheet->nblocks++];
	block->at = DatumGetTimestampTz(gov_spi_value(row, 2, &isnull));
	block->until = DatumGetTimestampTz(gov_spi_value(row, 3, &isnull));
	if (isnull)
		block->until = DT_NOEND;
	block->reason = gov_sheet_add_column(sheet, row, 4);
	sheet->entities[entity].block = sheet->nblocks;
}

/* Read the blocks of a sheet's entities; an extension of 1.0 has none. */
void
gov_sheet_read_blocks(GovSheet *sheet)
{
	Datum		args[1];
	uint64		nrows;

	if (gov_catalog()->entities_blocked_at == InvalidAttrNumber)
		return;
	args[0] = PointerGetDatum(cstring_to_text_with_len(sheet->owner.owner,
													   sheet->owner.owner_length));
	nrows = gov_spi_select(&blocks_query, args, NULL);
	if (nrows > 0)
		sheet->blocks = MemoryContextAllocHuge(sheet->context, sizeof(GovSheetBlock) * nrows);
	for (uint64 row = 0; row < nrows; row++)
		read_block(sheet, row);
	SPI_freetuptable(SPI_tuptable);
}
