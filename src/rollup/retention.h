/*
 * retention.h
 *		Deletes events and holds that are older than their retention.
 */
#ifndef GOV_RETENTION_H
#define GOV_RETENTION_H

#include "postgres.h"

#include "datatype/timestamp.h"

/* Some events to look at, and what became of them. */
typedef struct GovRetentionBatch
{
	int64		after;			/* this id */
	int64		upto;			/* this one */
	int64		limit;			/* so many */
	int64		ndeleted;
	int64		nkept;			/* because a foreign key refers to them */
	int64		nseen;			/* up to the first that is not due */
	int64		last_id;		/* of those */
	int64		left_id;		/* the first that stays; PG_INT64_MAX: none */
	TimestampTz left_at;		/* when the first of those that are not due was
								 * recorded; DT_NOEND: none */
	TimestampTz deleted_to;		/* the latest occurred_at that was deleted;
								 * DT_NOBEGIN: none */
} GovRetentionBatch;

extern TimestampTz gov_retention_begin(void);
extern bool gov_retention_try_lock(void);
extern bool gov_retention_delete(GovRetentionBatch *batch);

/* Each does a batch, and returns true when there may be more. */
extern bool gov_retention_prune_events(uint64 *ndeleted);
extern bool gov_retention_prune_imported(uint64 *ndeleted);
extern bool gov_retention_prune_holds(uint64 *ndeleted);

#endif							/* GOV_RETENTION_H */
