/*
 * batch.h
 *		Records many uses in one call.
 */
#ifndef GOV_BATCH_H
#define GOV_BATCH_H

#include "utils/jsonb.h"

#include "call/item.h"
#include "call/record.h"

/* One use, and what became of it. */
typedef struct GovBatchItem
{
	JsonbValue	json;
	GovArguments arguments;
	GovPrepared prepared;
	struct GovBatchKey *key;	/* NULL: it has none */
	bool		is_refused;		/* it could not be read */
	char	   *error;			/* what is wrong with it, or NULL */
	GovRecorded recorded;
	GovDecision decision;		/* of a consume */
} GovBatchItem;

typedef struct GovBatch
{
	const char *call;
	const char *call_of_one;	/* whose keys it shares */
	GovUse		use;
	const GovItemKind *kind;
	text	   *owner;			/* of all items; NULL: each names its own */
	int			nitems;
	GovBatchItem *items;
	int			nkeys;
	struct GovBatchKey *keys;	/* in their order */
} GovBatch;

extern void gov_batch_record(GovBatch *batch);

#endif							/* GOV_BATCH_H */
