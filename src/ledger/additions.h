/*
 * additions.h
 *		What users have added to a table that rows are appended to.
 */
#ifndef GOV_ADDITIONS_H
#define GOV_ADDITIONS_H

#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"

typedef struct GovAdditions GovAdditions;

extern bool gov_additions_are_any(Relation rel, int ncolumns);
extern GovAdditions *gov_additions_open(ResultRelInfo *result_rel, EState *estate, int ncolumns);
extern void gov_additions_before_row(GovAdditions *additions, TupleTableSlot *slot);
extern void gov_additions_after_row(GovAdditions *additions, TupleTableSlot *slot,
									List *recheck_indexes);
extern void gov_additions_close(GovAdditions *additions);

#endif							/* GOV_ADDITIONS_H */
