/*
 * recount_write.h
 *		Writes what a recount has counted.
 */
#ifndef GOV_RECOUNT_WRITE_H
#define GOV_RECOUNT_WRITE_H

#include "postgres.h"

#include "utils/uuid.h"

#include "cache/node.h"
#include "rules/recount_sum.h"

/* A budget that is recounted. */
typedef struct GovRecount
{
	pg_uuid_t	id;
	char	   *owner;
	text	   *entity;
	text	   *capability;
	ArrayType  *scope;
	Datum		key;			/* in gov_changes */
	GovRecountRule rule;
	Datum		cadence;		/* the rule as the row has it; 0: null */
	Datum		anchor;
	bool		has_anchor;
	Datum		timezone;
	bool		is_inherited;	/* it is one by a default, and has no row */
	int64		seed;			/* of that */
	int64		former_counter;
	bool		opens;			/* its windows begin with a first use */
	GovOwnerKey owner_key;
	bool		is_by_tree;
	TimestampTz asked_since;	/* DT_NOBEGIN: as far as the ledger goes */
	TimestampTz since;
	GovWindow	present;
	MemoryContext context;
	GovRecountSum *sum;
	int64		counted_until;	/* this id */
	int64		through_id;
} GovRecount;

extern void gov_recount_write(const GovRecount *recount);

#endif							/* GOV_RECOUNT_WRITE_H */
