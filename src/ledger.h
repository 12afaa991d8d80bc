/*
 * ledger.h
 *		The ledger: one row of gov_events per recorded use.
 */
#ifndef GOV_LEDGER_H
#define GOV_LEDGER_H

#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/rel.h"

#include "amount.h"

/* What is recorded, but for the id. */
typedef struct GovEvent
{
	const char *owner;
	text	   *capability;
	GovAmount	amount;
	ArrayType  *entity_ids;
	Jsonb	   *dimensions;		/* NULL: none */
	text	   *key;			/* NULL: none */
	bytea	   *request_hash;	/* NULL without a key */
	TimestampTz occurred_at;
	TimestampTz recorded_at;
	ArrayType  *counter_ids;
	ArrayType  *window_starts;
	ArrayType  *window_ends;
} GovEvent;

/* The ledger, open for one call. */
typedef struct GovLedger
{
	Relation	rel;
	EState	   *estate;
	ResultRelInfo *result_rel;
	TupleTableSlot *slot;
	List	   *key_index;
	bool		has_key;
} GovLedger;

extern void gov_ledger_open(GovLedger *ledger, bool has_key);
extern bool gov_ledger_find(GovLedger *ledger, const char *owner, text *key,
							int64 *id, bytea **request_hash);
extern bool gov_ledger_insert(GovLedger *ledger, const GovEvent *event, int64 *id);
extern void gov_ledger_close(GovLedger *ledger);

#endif							/* GOV_LEDGER_H */
