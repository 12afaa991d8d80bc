/*
 * pricing.h
 *		What quantities cost: exact sums of quantities times prices.
 */
#ifndef GOV_PRICING_H
#define GOV_PRICING_H

#include "postgres.h"

#include "utils/numeric.h"

#include "pure/amount.h"

/* A price per so many of a quantity: decimal divided by rest. */
typedef struct GovUnitPrice
{
	Numeric		decimal;
	int64		rest;			/* has no divisor 2 or 5; nearly always 1 */
	bool		is_small;		/* nearly always */
	int64		small;			/* the same, counting 10^-18 */
} GovUnitPrice;

/* A sum: total divided by divisor. */
typedef struct GovPriceSum
{
	GovAmount	small;			/* counting 10^-27, while total is NULL */
	Numeric		total;
	Numeric		divisor;		/* NULL: 1 */
} GovPriceSum;

extern void gov_pricing_unit(Numeric price, int64 per, GovUnitPrice *result);
extern void gov_pricing_begin(GovPriceSum *sum);
extern void gov_pricing_add(GovPriceSum *sum, Numeric quantity, const GovUnitPrice *price);
extern GovAmountStatus gov_pricing_amount(const GovPriceSum *sum, GovAmount *result);

#endif							/* GOV_PRICING_H */
