/*
 * priced.h
 *		What the quantities of a call cost.
 */
#ifndef GOV_PRICED_H
#define GOV_PRICED_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

#include "cache/price_list.h"
#include "pure/amount.h"

/* What is to be priced. */
typedef struct GovPricedCall
{
	GovPriceText owner;
	GovPriceText capability;
	Jsonb	   *quantities;
	Jsonb	   *dimensions;		/* NULL: none */
	TimestampTz at;
} GovPricedCall;

extern GovAmount gov_priced_amount(const GovPricedCall *call, Jsonb **prices);

#endif							/* GOV_PRICED_H */
