/*
 * amounts.h
 *		What a call wants of several capabilities: its argument "amounts".
 */
#ifndef GOV_AMOUNTS_H
#define GOV_AMOUNTS_H

#include "utils/jsonb.h"

#include "pure/amount.h"
#include "pure/decide.h"
#include "pure/json.h"

/* A capability, and how much of it, or of what it is charged for. */
typedef struct GovAmountOf
{
	text	   *capability;
	GovAmount	amount;			/* of quantities 0 until they are priced */
	Jsonb	   *quantities;		/* NULL: the amount was given */
	Jsonb	   *prices;			/* of the quantities; NULL until they are priced */
} GovAmountOf;

/* Capabilities, each once, in byte order; they become the meters of a request. */
typedef struct GovAmounts
{
	int			count;
	int			nquantities;	/* so many of the items are given by quantities */
	bool		may_be_negative;
	GovAmountOf items[GOV_METERS_MAX];
} GovAmounts;

extern GovAmounts *gov_amounts_read(Jsonb *amounts, bool may_be_negative);
extern GovAmounts *gov_amounts_settled(const GovAmounts *held, const GovAmounts *used);

/* objects by capability */
typedef void (*GovAmountsPut) (StringInfo json, GovJsonContainer *in, int number, const void *arg);
extern Jsonb *gov_amounts_object(const GovAmounts *amounts, GovAmountsPut put, const void *arg);
extern Jsonb *gov_amounts_json(const GovAmounts *amounts);
extern Jsonb *gov_amounts_quantities_json(const GovAmounts *amounts);
extern void gov_amounts_set_quantities(GovAmounts *amounts, Jsonb *quantities);
extern Jsonb *gov_amounts_ids_json(const GovAmounts *amounts, const int64 *ids);

#endif							/* GOV_AMOUNTS_H */
