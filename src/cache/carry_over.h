/*
 * carry_over.h
 *		What budgets carry over, for who reads it without a call.
 */
#ifndef GOV_CARRY_OVER_H
#define GOV_CARRY_OVER_H

#include "utils/array.h"

#include "cache/node.h"

/* A budget that carries over. */
typedef struct GovCarriedOver
{
	pg_uuid_t	id;
	int64		counter_id;
	const GovEntity *entity;
	const GovBudget *budget;
	GovWindow	window;			/* that something is carried into */
	GovAmount	carried;
	GovWindow	before;			/* the window before, */
	GovAmount	own;			/* its limit, or GOV_CARRIES_NOTHING, */
	GovAmount	into;			/* and what was carried into it */
} GovCarriedOver;

extern int	gov_carry_over_find(const GovOwnerKey *owner, ArrayType *entity_ids, TimestampTz at,
								bool is_live, GovCarriedOver **result);

#endif							/* GOV_CARRY_OVER_H */
