/*
 * price_list.h
 *		The prices of one capability, for one owner or for everybody.
 */
#ifndef GOV_PRICE_LIST_H
#define GOV_PRICE_LIST_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "pure/pricing.h"

typedef struct GovPriceText
{
	const char *bytes;			/* NULL: there is none */
	uint32		length;
} GovPriceText;

/* A row of gov_prices, as it is read. */
typedef struct GovPriceRow
{
	text	   *quantity;
	Jsonb	   *match;
	text	   *match_text;
	Numeric		price;
	int64		per;
	GovUnitPrice unit;			/* of those two */
	TimestampTz valid_from;
} GovPriceRow;

typedef struct GovPrice
{
	uint32		hash;			/* of what it is found by */
	uint32		set;			/* of the keys that its match has */
	GovPriceText quantity;
	GovPriceText *values;		/* of those keys */
	GovPriceText match;			/* as text, by whose bytes matches are ordered */
	TimestampTz valid_from;
	GovUnitPrice unit;
	Jsonb	   *shown;			/* as an event keeps it */
} GovPrice;

/* Keys that matches have. */
typedef struct GovPriceKeys
{
	uint32		count;
	uint32	   *keys;			/* indexes into the keys of the list */
} GovPriceKeys;

typedef struct GovPriceList
{
	GovPriceText *keys;			/* of dimensions, that matches have */
	uint32		nkeys;
	GovPriceKeys *sets;			/* that matches have */
	uint32		nsets;
	uint32	   *order;			/* of the sets: the largest first */
	GovPrice   *prices;			/* by hash, then the latest first */
	uint32		nprices;
} GovPriceList;

extern GovPriceList *gov_price_list_make(uint32 nrows);
extern void gov_price_list_add(GovPriceList *list, const GovPriceRow *row);
extern void gov_price_list_complete(GovPriceList *list);
extern const GovPrice *gov_price_list_find(const GovPriceList *list, GovPriceText quantity,
										   const GovPriceText *values, TimestampTz at);

#endif							/* GOV_PRICE_LIST_H */
