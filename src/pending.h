/*
 * pending.h
 *		What this transaction has taken from counters and will give back.
 */
#ifndef GOV_PENDING_H
#define GOV_PENDING_H

#include "node.h"

/* What a call does to a counter. */
typedef struct GovCharge
{
	GovAmount	usage;
	GovAmount	held;
	GovAmount	covered;		/* of usage > 0, by a hold that ends: held < 0 */
	GovAmount	withheld;		/* held for others only, and only meanwhile */
} GovCharge;

extern void gov_pending_note_write(void);
extern void gov_pending_reserve(int ncharges);
extern int	gov_pending_charge(GovSharedStripe *stripe, GovSharedCounter *counter,
							   const GovCharge *charge);
extern void gov_pending_uncharge(int entry, const GovCharge *charge);
extern GovCharge gov_pending_relief(const GovSharedCounter *counter);
extern bool gov_pending_has_written(void);

extern void gov_pending_commit(void);
extern void gov_pending_abort(int level);
extern void gov_pending_merge(int level);

#endif							/* GOV_PENDING_H */
