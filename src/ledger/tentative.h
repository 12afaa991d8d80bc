/*
 * tentative.h
 *		Inserts rows that have a key, all or none.
 */
#ifndef GOV_TENTATIVE_H
#define GOV_TENTATIVE_H

#include "ledger/append.h"

/* Rows that are in the table and not kept yet. */
typedef struct GovTentative
{
	GovAppend  *append;
	TupleTableSlot **slots;
	List	  **rechecks;		/* what deferred unique indexes check later */
	int			nrows;
} GovTentative;

extern void gov_tentative_begin(GovTentative *tentative, GovAppend *append, int nrows);
extern bool gov_tentative_row(GovTentative *tentative);
extern void gov_tentative_keep(GovTentative *tentative);
extern void gov_tentative_undo(GovTentative *tentative);

#endif							/* GOV_TENTATIVE_H */
