/*
 * ledger.h
 *		The ledger: one row of gov_events per recorded use.
 */
#ifndef GOV_LEDGER_H
#define GOV_LEDGER_H

#include "utils/array.h"
#include "utils/jsonb.h"

#include "pure/amount.h"

/* What is recorded, but for the id. */
typedef struct GovEvent
{
	const char *owner;
	text	   *capability;
	GovAmount	amount;
	Jsonb	   *quantities;		/* that the amount is the price of; NULL: none */
	Jsonb	   *prices;			/* of those */
	ArrayType  *entity_ids;
	Jsonb	   *dimensions;
	text	   *key;			/* NULL: none */
	bytea	   *request_hash;	/* NULL without a key */
	TimestampTz occurred_at;
	TimestampTz recorded_at;
	int64		reverses;		/* the event that it gives back of; 0: none */
	ArrayType  *call_event_ids; /* those of its call, if that has several */
	ArrayType  *counter_ids;
	ArrayType  *window_starts;
	ArrayType  *window_ends;
} GovEvent;

/* A row that is to be written with others. */
typedef struct GovLedgerRow
{
	const GovEvent *event;
	int64		id;
} GovLedgerRow;

extern int64 gov_ledger_draw_id(void);
extern void gov_ledger_insert_rows(const GovLedgerRow *rows, int count);
extern bool gov_ledger_insert_key_rows(const GovLedgerRow *rows, int count);
extern bool gov_ledger_insert(const GovEvent *event, int64 *id);
extern bool gov_ledger_insert_call(GovEvent *events, int count, int64 *ids);

#endif							/* GOV_LEDGER_H */
