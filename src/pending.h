/*
 * pending.h
 *		What this transaction has taken from counters and will give back.
 */
#ifndef GOV_PENDING_H
#define GOV_PENDING_H

#include "node.h"

extern void gov_pending_reserve(int ncharges);
extern void gov_pending_charge(GovSharedStripe *stripe, GovSharedCounter *counter,
							   GovAmount usage, GovAmount held);
extern void gov_pending_uncharge(GovSharedCounter *counter, GovWindow window,
								 GovAmount usage, GovAmount held);
extern void gov_pending_relief(const GovSharedCounter *counter,
							   GovAmount *usage, GovAmount *held);
extern bool gov_pending_has_written(void);

extern void gov_pending_commit(void);
extern void gov_pending_abort(int level);
extern void gov_pending_merge(int level);

#endif							/* GOV_PENDING_H */
