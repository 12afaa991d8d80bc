/*
 * ring.h
 *		The usage of a counter whose window slides, grain by grain.
 */
#ifndef GOV_RING_H
#define GOV_RING_H

#include "cache/node.h"
#include "pure/bounds.h"

/* What is counted: the grain of the present time, and those that have not left. */
#define GOV_RING_GRAINS		(GOV_SLIDING_GRAINS + 1)

/*
 * What was used in each grain that counts.  It stands behind the counters of its
 * array, and what protects them protects it.
 */
typedef struct GovSharedRing
{
	TimestampTz alerts_from;	/* since then alerts of the present window are
								 * raised; gov_ring_alert_start() */
	TimestampTz later;			/* the tables have usage from here on, if the
								 * counter has_later */
	GovAmount	queued;			/* what transactions under way give back */
	GovAmount	used[GOV_RING_GRAINS];	/* by number of the grain, modulo */
} GovSharedRing;

/* The ring of a counter; NULL if its window does not slide, or it has none. */
static inline GovSharedRing *
gov_ring_of(const GovSharedCounter *counter)
{
	return likely(counter->ring == 0) ? NULL :
		(GovSharedRing *) ((char *) counter + counter->ring * (Size) MAXIMUM_ALIGNOF);
}

static inline int64
gov_ring_grain(const GovSharedCounter *counter)
{
	return counter->window.end - counter->window.start;
}

/* Does usage of a grain count in the counter, as it is? */
static inline bool
gov_ring_has(const GovSharedCounter *counter, TimestampTz start)
{
	return start <= counter->window.start &&
		start >= counter->window.start - GOV_SLIDING_GRAINS * gov_ring_grain(counter);
}

/*
 * Alerts are raised once in each of the windows of a cadence that begin one after the
 * other: where that begins which a grain lies in.
 */
static inline TimestampTz
gov_ring_alert_start(const GovSharedCounter *counter, TimestampTz start)
{
	int64		span = GOV_SLIDING_GRAINS * gov_ring_grain(counter);

	return start - ((start % span) + span) % span;
}

/* Has the time come of usage that the tables had of later grains? */
static inline bool
gov_ring_must_load(const GovSharedCounter *counter, TimestampTz now)
{
	return unlikely(counter->has_later) && counter->ring != 0 && now >= gov_ring_of(counter)->later;
}

extern Size gov_ring_array_size(const GovEntity *entity);
extern void gov_ring_lay_out(const GovEntity *entity, GovSharedCounter *counters);
extern void gov_ring_copy(GovSharedCounter *counter, const GovSharedCounter *from);
extern void gov_ring_renew(GovSharedCounter *counter, const GovSharedCounter *anew);

extern TimestampTz gov_ring_grain_at(const GovSharedCounter *counter, TimestampTz at);
extern void gov_ring_add(GovSharedCounter *counter, TimestampTz start, GovAmount amount);
extern GovAmount gov_ring_usage(const GovSharedCounter *counter, TimestampTz now);
extern void gov_ring_turn(GovSharedCounter *counter, TimestampTz now);
extern void gov_ring_load(GovSharedCounter *counter, const GovWindow *window, GovAmount amount);
extern TimestampTz gov_ring_find_used(const GovSharedCounter *counter, GovAmount amount);
extern TimestampTz gov_ring_reach(const GovSharedCounter *counter, TimestampTz now, GovAmount usage,
								  GovAmount wanted, GovAmount limit, const GovBounds *bounds);

#endif							/* GOV_RING_H */
