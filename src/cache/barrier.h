/*
 * barrier.h
 *		Keeps the calls of one owner out while something is done to all it has.
 */
#ifndef GOV_BARRIER_H
#define GOV_BARRIER_H

#include "cache/node.h"

/* for calls */
extern bool gov_barrier_enter(const GovOwnerKey *key);	/* with the stripe
														 * locked */
extern void gov_barrier_wait(const GovOwnerKey *key);
extern bool gov_barrier_pass(const GovOwnerKey *key, bool waits);
#ifdef USE_ASSERT_CHECKING
extern bool gov_barrier_has_entered(const GovOwnerKey *key);
#endif

/* for whoever keeps them out */
extern void gov_barrier_await_calls(const GovOwnerKey *key);
extern void gov_barrier_await_changes(const GovOwnerKey *key);
extern void gov_barrier_require_unused(const GovOwnerKey *key);
extern void gov_barrier_raise(const GovOwnerKey *key);
extern void gov_barrier_note_renamed(const GovOwnerKey *key);
extern bool gov_barrier_has_renamed(const GovOwnerKey *key);
extern bool gov_barrier_is_raised(void);

extern void gov_barrier_end(void);
extern void gov_barrier_abort(int level);
extern void gov_barrier_merge(int level);

#endif							/* GOV_BARRIER_H */
