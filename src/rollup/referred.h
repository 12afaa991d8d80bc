/*
 * referred.h
 *		Which of our rows users' foreign keys refer to.
 */
#ifndef GOV_REFERRED_H
#define GOV_REFERRED_H

#include "base/spi.h"

/* The tables of ours whose rows are deleted when they are old. */
typedef enum GovReferredTable
{
	GOV_REFERRED_EVENTS,
	GOV_REFERRED_HOLDS,
	GOV_REFERRED_ALERTS
} GovReferredTable;

extern bool gov_referred_is_any(GovReferredTable table);
extern bool gov_referred_find_free(GovReferredTable table, GovQuery *due_query,
								   Datum *args, Datum *free_ids, int64 *nkept);
extern void gov_referred_note_kept(GovReferredTable table, bool is_new_pass, int64 nkept,
								   bool has_more);

#endif							/* GOV_REFERRED_H */
