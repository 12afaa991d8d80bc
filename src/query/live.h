/*
 * live.h
 *		What the budgets of a sheet have used, right now.
 */
#ifndef GOV_LIVE_H
#define GOV_LIVE_H

#include "query/sheet.h"

/* Rows that are read with the stripe's lock taken once. */
#define GOV_LIVE_ROWS	256

/* Which rows a scan is for: those that a full page does not rule out. */
typedef struct GovLiveScan
{
	enum
	{
		GOV_LIVE_ANY,
		GOV_LIVE_BY_USAGE,
		GOV_LIVE_BY_UTILIZATION
	}			key;
	double		sign;			/* -1: the smallest first */
	double		bound;			/* the key by the sign must reach it */
} GovLiveScan;

typedef struct GovLiveAmounts
{
	GovAmount	usage;
	GovAmount	held;
	GovWindow	window;			/* that usage is of */
} GovLiveAmounts;

/* Amounts nearly always fit 64 bits, which convert much faster. */
static inline double
gov_amount_to_double(GovAmount amount)
{
	int64		small = (int64) amount;

	return likely(small == amount) ? (double) small : (double) amount;
}

extern void gov_live_marks(const GovOwnerKey *owner, GovSheetMarks *marks);
extern void gov_live_look_up(GovSheet *sheet);
extern void gov_live_read_unused(const GovSheet *sheet, uint32 entity, uint32 from,
								 GovLiveAmounts *amounts);
extern bool gov_live_scan(const GovSheet *sheet, const GovLiveScan *scan,
						  uint32 *rows, uint32 *nrows, GovLiveAmounts *amounts);

#endif							/* GOV_LIVE_H */
