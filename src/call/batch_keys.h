/*
 * batch_keys.h
 *		The idempotency keys of a batch.
 */
#ifndef GOV_BATCH_KEYS_H
#define GOV_BATCH_KEYS_H

#include "call/batch.h"
#include "ledger/keys.h"

/* A key, however many items have it. */
typedef struct GovBatchKey
{
	GovKey		key;
	bool		is_taken;		/* by another call */
	GovKeyHolder holder;		/* if it is */
	const struct GovBatchItem *writer;	/* that has recorded under it in the
										 * attempt at hand; NULL: none has */
} GovBatchKey;

extern void gov_batch_keys_collect(GovBatch *batch);
extern bool gov_batch_keys_find(GovBatch *batch);
extern bool gov_batch_keys_holder(const GovBatchKey *key, GovKeyHolder *holder);

#endif							/* GOV_BATCH_KEYS_H */
