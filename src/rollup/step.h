/*
 * step.h
 *		Runs the steps of the worker, each of which may fail without the others.
 */
#ifndef GOV_STEP_H
#define GOV_STEP_H

#include "base/shmem.h"

extern bool gov_step_run(GovStep step, void (*body) (void *arg), void *arg);
extern bool gov_step_is_failing(GovStep step);
extern bool gov_step_is_any_failing(void);

/* of others */
extern const char *gov_step_name(GovStep step);
extern GovSharedFailure gov_step_failure(GovStep step);

#endif							/* GOV_STEP_H */
