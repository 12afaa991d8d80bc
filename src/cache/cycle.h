/*
 * cycle.h
 *		Entities that are below themselves.
 */
#ifndef GOV_CYCLE_H
#define GOV_CYCLE_H

#include "postgres.h"

#include "base/compat.h"

pg_noreturn extern void gov_cycle_raise(const char *const *ids, int count);
extern void gov_cycle_refuse(const char *owner, const char *id, uint32 id_length);

#endif							/* GOV_CYCLE_H */
