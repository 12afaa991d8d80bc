/*
 * own_counts.h
 *		What a transaction has charged to budgets that only it has.
 */
#ifndef GOV_OWN_COUNTS_H
#define GOV_OWN_COUNTS_H

#include "cache/node.h"

extern bool gov_own_last_window(int64 counter_id, TimestampTz *start);
extern void gov_own_make_room(int ncharges);
extern void gov_own_charge(const GovOwnerKey *owner, GovSharedCounter *counter,
						   const pg_uuid_t *budget_id, TimestampTz start,
						   GovAmount usage, GovAmount held);
extern void gov_own_counts(GovSharedCounter *counter, const pg_uuid_t *budget_id);

extern void gov_own_note_recount(int64 counter_id);
extern bool gov_own_has_recounted(void);
extern bool gov_own_was_recounted(int64 counter_id);
extern void gov_own_announce(void);
extern void gov_own_end(void);
extern void gov_own_abort(int level);
extern void gov_own_merge(int level);

#endif							/* GOV_OWN_COUNTS_H */
