/*
 * attempt.h
 *		Runs something in a subtransaction that may fail.
 */
#ifndef GOV_ATTEMPT_H
#define GOV_ATTEMPT_H

#include "postgres.h"

extern ErrorData *gov_attempt(void (*body) (void *arg), void *arg);
extern void gov_attempt_undone(void (*body) (void *arg), void *arg);

#endif							/* GOV_ATTEMPT_H */
