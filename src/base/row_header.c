/*
 * row_header.c
 *		What the header of a row says of who is changing it.
 *
 * PURPOSE
 *		xmin, xmax and what they mean are no columns.  To look at them below SPI
 *		(keys.c, hold_overdue.c) one reads the tuple's header in its buffer, where
 *		others may be changing it.  A pin keeps the tuple in place; but only
 *		under a lock of the buffer does all that is read belong to one moment.
 *
 * LOCKING
 *		A share lock of the buffer, for as long as the header is copied.  What
 *		the copy means is found out afterwards, because the members of a
 *		multixact may have to be read from disk.
 *
 * FAILURE
 *		0A000 where the table is not of heap tuples in buffers.  It was made with
 *		"using heap", so somebody has given it another access method since.
 */
#include "postgres.h"

#include "executor/tuptable.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"

#include "base/row_header.h"

/* Copy the header of the row that a scan has just returned. */
void
gov_row_header(SysScanDesc scan, HeapTuple row, HeapTupleHeaderData *header)
{
	BufferHeapTupleTableSlot *slot = (BufferHeapTupleTableSlot *) scan->slot;

	if (!TTS_IS_BUFFERTUPLE(scan->slot) || !BufferIsValid(slot->buffer))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" has an access method that governance cannot work with",
						RelationGetRelationName(scan->heap_rel)),
				 errhint("Run ALTER TABLE ... SET ACCESS METHOD heap.")));
	LockBuffer(slot->buffer, BUFFER_LOCK_SHARE);
	memcpy(header, row->t_data, SizeofHeapTupleHeader);
	LockBuffer(slot->buffer, BUFFER_LOCK_UNLOCK);
}
