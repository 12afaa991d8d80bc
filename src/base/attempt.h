/*
 * attempt.h
 *		Runs something that may fail, in a subtransaction or without one.
 */
#ifndef GOV_ATTEMPT_H
#define GOV_ATTEMPT_H

#include "postgres.h"

extern ErrorData *gov_attempt(void (*body) (void *arg), void *arg);
extern bool gov_attempt_or_undo(bool (*body) (void *arg), void *arg);
extern ErrorData *gov_attempt_to_compute(void (*body) (void *arg), void *arg);
extern void gov_attempt_undone(void (*body) (void *arg), void *arg);

#endif							/* GOV_ATTEMPT_H */
