/*
 * tail.h
 *		Which counters can have ledger rows that are not rolled up.
 */
#ifndef GOV_TAIL_H
#define GOV_TAIL_H

#include "cache/node_claim.h"

/* what is rolled up */
extern bool gov_tail_has_begun(Oid extension);
extern void gov_tail_begin(Oid extension, int64 watermark, int64 last_id);
extern int64 gov_tail_rolled_up(Oid extension);
extern void gov_tail_note_rolled_up(int64 watermark);
extern void gov_tail_note_event(int64 id);
extern void gov_tail_note_writer(void);
extern void gov_tail_prepare(void);
extern int64 gov_tail_recorded(void);
extern void gov_tail_commit(void);
extern void gov_tail_abort(int level);

/* what is known of an owner's tail */
extern uint64 gov_tail_losses(const GovOwnerKey *key);
extern bool gov_tail_is_unchanged(const GovOwnerKey *key, uint64 losses);
extern bool gov_tail_is_known(const GovOwnerKey *key, int64 rolled_up);
extern GovNodeStatus gov_tail_claim(const GovOwnerKey *key, GovClaim *claim);
extern bool gov_tail_may_learn(const GovOwnerKey *key, TimestampTz now);
extern void gov_tail_pause(const GovClaim *claim, TimestampTz until);
extern bool gov_tail_note_learned(const GovOwnerKey *key, GovClaim *claim, TimestampTz until);

/* what is lost */
extern bool gov_tail_has_rows(const GovSharedNode *node);
extern void gov_tail_lose(GovSharedStripe *stripe, int slot, int64 event);
extern void gov_tail_lose_node(GovSharedStripe *stripe, const GovSharedNode *node);
extern void gov_tail_lose_all(void);
extern void gov_tail_announce(GovSharedStripe *stripe, int slot);
extern void gov_tail_withdraw(GovSharedStripe *stripe, int slot, int64 event);

#endif							/* GOV_TAIL_H */
