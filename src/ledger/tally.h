/*
 * tally.h
 *		Adds up what ledger rows charge to counters.
 */
#ifndef GOV_TALLY_H
#define GOV_TALLY_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/snapshot.h"

#include "pure/amount.h"

typedef struct GovTallyKey
{
	int64		counter_id;
	TimestampTz window_start;
	const void *owner;			/* whose rows, as a GovTallyRow said; without
								 * one NULL */
} GovTallyKey;

/* The charges of some rows to one counter in one window. */
typedef struct GovTallied
{
	GovTallyKey key;
	GovAmount	amount;
	int64		event_count;
	TimestampTz window_end;		/* the last that a row names; of draws, when
								 * the last of them was recorded that is more
								 * than 0 */
	uint32		hash;			/* the table's */
	bool		is_drawn;		/* from a grant, or owed by a pool */
	char		status;			/* the table's */
} GovTallied;

/* Which rows: after one id, up to another, of one owner or of all. */
typedef struct GovTallyRange
{
	const char *owner;			/* NULL: all */
	uint32		owner_length;
	int64		after;
	int64		upto;
	Snapshot	snapshot;		/* registered or active */
} GovTallyRange;

/* Is shown each row: columns as in columns.h, valid until it returns; false ends the scan. */
typedef bool (*GovTallyVisit) (const Datum *values, const bool *nulls, void *state);

/*
 * Is shown each row before it is added, as a GovTallyVisit is.  It says whose the row
 * is, by one pointer for each owner; NULL ends the scan before this row.
 */
typedef const void *(*GovTallyRow) (const Datum *values, const bool *nulls, void *state);

typedef struct GovTally GovTally;

extern void gov_tally_scan(const GovTallyRange *range, GovTallyVisit visit, void *state);
extern GovTally *gov_tally_create(MemoryContext context);
extern void gov_tally_add(GovTally *tally, const GovTallyRange *range, GovTallyRow row,
						  void *state);
extern uint32 gov_tally_count(const GovTally *tally);
extern int64 gov_tally_last_id(const GovTally *tally);
extern const GovTallied *gov_tally_find(const GovTally *tally, int64 counter_id,
										TimestampTz window_start);
extern const GovTallied *gov_tally_next(const GovTally *tally, uint32 *position);

#endif							/* GOV_TALLY_H */
