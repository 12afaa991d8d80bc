/*
 * carry.h
 *		What a budget carries over from one window to the next.
 */
#ifndef GOV_CARRY_H
#define GOV_CARRY_H

#include "postgres.h"

#include "utils/uuid.h"

#include "pure/amount.h"

/* How a budget carries over. */
typedef struct GovCarryRule
{
	GovAmount	unused_max;		/* at most so much of what was left; 0: nothing */
	bool		carries_debt;
} GovCarryRule;

#define GOV_CARRIES_NOTHING		((GovAmount) -1)	/* in the place of a window's own limit:
													 * it had none, or was not there */

extern GovAmount gov_carry_next(const GovCarryRule *rule, GovAmount own, GovAmount carried,
								GovAmount used);
extern GovAmount gov_carry_silent(const GovCarryRule *rule, GovAmount own, GovAmount carried,
								  int64 nwindows);
extern pg_uuid_t gov_carry_before_id(const pg_uuid_t *budget);

#endif							/* GOV_CARRY_H */
