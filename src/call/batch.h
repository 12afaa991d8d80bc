/*
 * batch.h
 *		Records many uses in one call.
 */
#ifndef GOV_BATCH_H
#define GOV_BATCH_H

#include "utils/jsonb.h"

#include "call/record.h"

/* One event, and what became of it. */
typedef struct GovBatchItem
{
	JsonbValue	json;
	GovPrepared prepared;		/* once it is read */
	GovRecorded recorded;
	bool		is_read;
	char	   *error;			/* what is wrong with it, or NULL */
} GovBatchItem;

typedef struct GovBatch
{
	text	   *owner;
	int			nitems;
	GovBatchItem *items;
} GovBatch;

extern GovBatch *gov_batch(text *owner, int max_items);
extern void gov_batch_record(const char *call, GovBatch *batch);

#endif							/* GOV_BATCH_H */
