/*
 * pass.h
 *		How far a step of the worker has gone through a table.
 */
#ifndef GOV_PASS_H
#define GOV_PASS_H

#include "postgres.h"

#include "datatype/timestamp.h"

typedef struct GovPass
{
	TimestampTz at;				/* after this time ... */
	int64		id;				/* ... and, of those at it, this id */
	int64		limit;			/* rows to look at next */
	/* the rest is pass.c's */
	uint64		generation;
	TimestampTz begun_at;
} GovPass;

extern void gov_pass_forget_all(void);
extern bool gov_pass_is_recent(TimestampTz begun_at, TimestampTz now);
extern bool gov_pass_continue(GovPass *pass);
extern bool gov_pass_note(GovPass *pass, int64 nread, int64 nworked);

#endif							/* GOV_PASS_H */
