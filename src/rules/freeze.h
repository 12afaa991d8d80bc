/*
 * freeze.h
 *		Keeps the catalog of a frozen owner as it is.
 */
#ifndef GOV_FREEZE_H
#define GOV_FREEZE_H

#include "postgres.h"

extern void gov_freeze_judge_change(const text *owner);
extern void gov_freeze_judge_truncate(void);

extern void gov_freeze_await_changes(const text *owner);
extern bool gov_freeze_lock(const text *owner, bool waits);

#endif							/* GOV_FREEZE_H */
