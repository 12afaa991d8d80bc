/*
 * prices.h
 *		What prices there are, as a backend remembers them.
 */
#ifndef GOV_PRICES_H
#define GOV_PRICES_H

#include "postgres.h"

#include "cache/price_list.h"

/* Where the prices of a call stand: its owner's before everybody's. */
typedef enum GovPriceShelf
{
	GOV_PRICES_OWN,
	GOV_PRICES_OF_ALL
} GovPriceShelf;

#define GOV_PRICE_SHELVES	(GOV_PRICES_OF_ALL + 1)

/* The prices of a capability that an owner may be charged by. */
typedef struct GovPriceBook
{
	const GovPriceList *lists[GOV_PRICE_SHELVES];
} GovPriceBook;

extern void gov_prices_open(GovPriceBook *book, GovPriceText owner, GovPriceText capability);
extern void gov_prices_forget_own_changes(void);

#endif							/* GOV_PRICES_H */
