/*
 * waits.h
 *		Names who the rollup waits for.
 */
#ifndef GOV_WAITS_H
#define GOV_WAITS_H

#include "postgres.h"

extern void gov_waits_note(bool is_blocked);

#endif							/* GOV_WAITS_H */
