/*
 * pending.h
 *		What this transaction has taken from counters and will give back.
 */
#ifndef GOV_PENDING_H
#define GOV_PENDING_H

#include "cache/node.h"

/* What a call does to a counter. */
typedef struct GovCharge
{
	GovAmount	usage;
	GovAmount	held;
	GovAmount	covered;		/* of usage: in the place of a hold that ends
								 * (held < 0) */
	GovAmount	withheld;		/* held against others, not against this
								 * transaction, until it ends */
	GovAmount	moved;			/* between counters, whose sum stays; seen by
								 * others at once, in both directions */
	TimestampTz owed_at;		/* a debt grows, and this is when; else 0 */
	GovSharedCounter *before;	/* of the window before that of the counter, if
								 * something is carried over; or NULL */
	bool		is_older;		/* there is usage of a window before that */
	TimestampTz grain;			/* where usage counts if the counter's window
								 * slides; any other time: in its own grain */
} GovCharge;

/* Usage that has to be looked at, because it may have crossed a threshold. */
typedef struct GovCrossing
{
	int64		counter_id;
	TimestampTz window_start;
	TimestampTz alert_start;	/* of the window that has an alert once: where
								 * window_start is a grain's, a longer one */
	GovAmount	before;			/* without this transaction's */
	GovAmount	after;			/* with it */
	GovAmount	above;			/* thresholds up to here have been dealt with */
} GovCrossing;

extern void gov_pending_note_write(void);
extern void gov_pending_make_room(int ncharges);
extern int	gov_pending_charge(GovSharedStripe *stripe, GovSharedCounter *counter,
							   const GovCharge *charge);
extern void gov_pending_uncharge(int entry, const GovCharge *charge);
extern bool gov_pending_has_row(const GovSharedCounter *counter);
extern bool gov_pending_has_rows(void);
extern void gov_pending_note_row(int entry, uint8 slot);
extern GovCharge gov_pending_relief(const GovSharedCounter *counter);
extern GovAmount gov_pending_left(const GovSharedCounter *counter, TimestampTz oldest);
extern GovAmount gov_pending_unbooked(const GovSharedCounter *counter);
extern bool gov_pending_has_written(void);
extern bool gov_pending_is_empty(void);

extern int	gov_pending_book(void);
extern int	gov_pending_crossings(GovCrossing *crossings, int max);

extern void gov_pending_commit(void);
extern void gov_pending_abort(int level);
extern void gov_pending_merge(int level);

#endif							/* GOV_PENDING_H */
