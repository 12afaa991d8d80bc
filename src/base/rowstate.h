/*
 * rowstate.h
 *		What the header of a row says of who is changing it.
 */
#ifndef GOV_ROWSTATE_H
#define GOV_ROWSTATE_H

#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relscan.h"

extern void gov_row_header(SysScanDesc scan, HeapTuple row, HeapTupleHeaderData *header);

#endif							/* GOV_ROWSTATE_H */
