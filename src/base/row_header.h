/*
 * row_header.h
 *		What the header of a row says of who is changing it.
 */
#ifndef GOV_ROW_HEADER_H
#define GOV_ROW_HEADER_H

#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relscan.h"

extern void gov_row_header(SysScanDesc scan, HeapTuple row, HeapTupleHeaderData *header);

#endif							/* GOV_ROW_HEADER_H */
