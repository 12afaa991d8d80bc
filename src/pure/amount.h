/*
 * amount.h
 *		Exact amounts: 128-bit fixed point with nine decimals.
 */
#ifndef GOV_AMOUNT_H
#define GOV_AMOUNT_H

#include "postgres.h"

#include "utils/numeric.h"

typedef int128 GovAmount;

#define GOV_AMOUNT_DECIMALS	9
#define GOV_AMOUNT_UNIT		((GovAmount) 1000000000)

typedef enum GovAmountStatus
{
	GOV_AMOUNT_OK,
	GOV_AMOUNT_NOT_FINITE,
	GOV_AMOUNT_TOO_LARGE
} GovAmountStatus;

extern bool gov_amount_read(Numeric num, GovAmount *result);
extern GovAmountStatus gov_amount_from_numeric(Numeric num, GovAmount *result);
extern GovAmountStatus gov_amount_from_sum(Numeric num, GovAmount *result);
extern GovAmountStatus gov_amount_from_share(Numeric limit, Numeric percentage, GovAmount *result);
extern Numeric gov_amount_to_numeric(GovAmount amount);
extern bool gov_amount_add(GovAmount a, GovAmount b, GovAmount *sum);

#endif							/* GOV_AMOUNT_H */
