/*
 * live.h
 *		What the budgets of a sheet have used, right now.
 */
#ifndef GOV_LIVE_H
#define GOV_LIVE_H

#include "sheet.h"

/* Rows that are read in one hold of the stripe's lock. */
#define GOV_LIVE_ROWS	256

typedef struct GovLiveAmounts
{
	GovAmount	usage;
	GovAmount	held;
} GovLiveAmounts;

extern void gov_live_marks(const GovOwnerKey *owner, GovSheetMarks *marks);
extern void gov_live_look_up(GovSheet *sheet);
extern bool gov_live_read(const GovSheet *sheet, const uint32 *rows, uint32 nrows,
						  GovLiveAmounts *amounts);

#endif							/* GOV_LIVE_H */
