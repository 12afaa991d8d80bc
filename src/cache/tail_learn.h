/*
 * tail_learn.h
 *		Reads an owner's tail once, and brings all that it names into memory.
 */
#ifndef GOV_TAIL_LEARN_H
#define GOV_TAIL_LEARN_H

#include "cache/load_steps.h"

extern void gov_tail_learn(GovLoad *load);
extern void gov_tail_learn_abandon(void);

#endif							/* GOV_TAIL_LEARN_H */
