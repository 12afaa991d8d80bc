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
#include "call/request.h"
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

extern void gov_priced_check(const Jsonb *quantities);
extern void gov_priced_request(GovRequest *request, GovAmounts *amounts, Jsonb *dimensions,
							   bool keeps_prices);
extern GovAmount gov_priced_amount(const GovPricedCall *call, Jsonb **prices);

#endif							/* GOV_PRICED_H */
