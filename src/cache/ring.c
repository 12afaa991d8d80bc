/*
 * ring.c
 *		The usage of a counter whose window slides, grain by grain.
 *
 * PURPOSE
 *		A window that slides has at every moment what was used in the last
 *		cadence.  That is counted in grains of 1/64 of it, which begin at multiples
 *		of their length since the epoch: the counter has the grain of the present
 *		time as its window, and behind the counters of its array stands a ring with
 *		what was used in that grain and in each of the 64 before it.  Their sum is
 *		the counter's total, so a decision costs what it costs elsewhere.
 *
 * LAYOUT
 *		A counter says how far behind it its ring is, in units of
 *		MAXIMUM_ALIGNOF.  Whose budget does not slide has none.
 *
 * TIME
 *		A use leaves when the whole of its grain is a cadence old: not sooner than a
 *		cadence after it, and not later than a grain after that.  So no span of
 *		a cadence has more in it than the counter had when the last of that was
 *		granted.  Nothing runs for usage to leave: whoever charges turns the
 *		counter on to the present grain (gov_ring_turn), and whoever only looks
 *		subtracts what has left (gov_ring_usage).  Both are bounded by the grains
 *		that there are.
 *
 * BOOKED
 *		Of what leaves nobody knows how much is in flight.  So all of it goes off
 *		what is booked too, and who ends what was in flight puts that right
 *		(pending.c).  Until then too little seems to be booked: an alert may be
 *		left to the rollup.
 *
 * WITHOUT A RING
 *		A counter that is pinned stays where it is when its budget begins to
 *		slide, and has no room for a ring.  Until its node is loaded once it is not
 *		pinned any more nothing leaves it: too much counts, and never too little.
 *
 * LOCKING
 *		That of the counter.  Nothing here allocates, raises or waits.
 */
#include "postgres.h"

#include "cache/ring.h"
#include "cache/threshold.h"

static int64
number_of(TimestampTz start, int64 grain)
{
	return start / grain;		/* without a rest, so it rounds nothing */
}

/* Where in the ring a grain is. */
static int
slot_of(TimestampTz start, int64 grain)
{
	int			slot = (int) (number_of(start, grain) % GOV_RING_GRAINS);

	return slot < 0 ? slot + GOV_RING_GRAINS : slot;
}

static Size
counters_size(const GovEntity *entity)
{
	return sizeof(GovSharedCounter) * entity->nbudgets;
}

/* The size of an array of counters for an entity's budgets, with their rings. */
Size
gov_ring_array_size(const GovEntity *entity)
{
	Size		size = counters_size(entity);

	for (uint32 i = 0; i < entity->nbudgets; i++)
		size += gov_budget_slides(&entity->budgets[i]) ? sizeof(GovSharedRing) : 0;
	return size;
}

/* Say of the counters of such an array where their rings are, and empty these. */
void
gov_ring_lay_out(const GovEntity *entity, GovSharedCounter *counters)
{
	char	   *place = (char *) counters + counters_size(entity);

	StaticAssertStmt(sizeof(GovSharedCounter) % MAXIMUM_ALIGNOF == 0 &&
					 sizeof(GovSharedRing) % MAXIMUM_ALIGNOF == 0, "rings are aligned");
	for (uint32 i = 0; i < entity->nbudgets; i++)
	{
		counters[i].ring = 0;
		if (!gov_budget_slides(&entity->budgets[i]))
			continue;
		counters[i].ring = (place - (char *) &counters[i]) / MAXIMUM_ALIGNOF;
		memset(place, 0, sizeof(GovSharedRing));
		gov_ring_of(&counters[i])->later = DT_NOEND;
		place += sizeof(GovSharedRing);
	}
}

/* Give a counter all that another one has, whose ring is elsewhere. */
void
gov_ring_copy(GovSharedCounter *counter, const GovSharedCounter *from)
{
	uint32		ring = counter->ring;
	const GovSharedRing *other = gov_ring_of(from);

	memcpy(counter, from, sizeof(*counter));
	counter->ring = ring;
	if (ring != 0 && other != NULL)
		*gov_ring_of(counter) = *other;
}

/*
 * Turn a counter on to the grain that it was loaded for, with what the tables have
 * of the grains after its own: of a time that has come now.  Nobody has any of these
 * in flight, because who comes first has the node loaded.
 */
void
gov_ring_renew(GovSharedCounter *counter, const GovSharedCounter *anew)
{
	GovSharedRing *ring = gov_ring_of(counter);
	const GovSharedRing *other = gov_ring_of(anew);
	int64		grain = gov_ring_grain(counter);
	TimestampTz first = Max(counter->window.end,
							anew->window.start - GOV_SLIDING_GRAINS * grain);

	if (ring == NULL || other == NULL)
		return;
	gov_ring_turn(counter, anew->window.start);
	for (TimestampTz start = first; start <= anew->window.start; start += grain)
	{
		GovAmount	amount = other->used[slot_of(start, grain)];

		gov_ring_add(counter, start, amount);
		counter->booked += amount;
	}
	counter->has_later = anew->has_later;
	ring->later = other->later;
}

/* The grain that a time falls into; not one after the counter's. */
TimestampTz
gov_ring_grain_at(const GovSharedCounter *counter, TimestampTz at)
{
	int64		grain = gov_ring_grain(counter);
	int64		back = counter->window.start - at;

	return back <= 0 ? counter->window.start :
		counter->window.start - (back + grain - 1) / grain * grain;
}

/* Add an amount to a grain that counts. */
void
gov_ring_add(GovSharedCounter *counter, TimestampTz start, GovAmount amount)
{
	GovSharedRing *ring = gov_ring_of(counter);

	Assert(ring == NULL || gov_ring_has(counter, start));
	counter->total += amount;
	if (ring != NULL)
		ring->used[slot_of(start, gov_ring_grain(counter))] += amount;
}

/* What has left by a time of what the counter has; *ngrains says how far that is on. */
static GovAmount
sum_left(const GovSharedCounter *counter, TimestampTz now, int64 *ngrains)
{
	const GovSharedRing *ring = gov_ring_of(counter);
	int64		grain = gov_ring_grain(counter);
	TimestampTz oldest = counter->window.start - GOV_SLIDING_GRAINS * grain;
	GovAmount	left = 0;

	*ngrains = now < counter->window.end ? 0 : (now - counter->window.start) / grain;
	if (*ngrains >= GOV_RING_GRAINS)
		return counter->total;
	for (int64 i = 0; i < *ngrains; i++)
		left += ring->used[slot_of(oldest + i * grain, grain)];
	return left;
}

/* What counts at a time, which is not before the counter's grain. */
GovAmount
gov_ring_usage(const GovSharedCounter *counter, TimestampTz now)
{
	int64		ngrains;

	if (gov_ring_of(counter) == NULL)
		return counter->total;
	return counter->total - sum_left(counter, now, &ngrains);
}

/* Forget what has left by a time, and make its grain the counter's. */
void
gov_ring_turn(GovSharedCounter *counter, TimestampTz now)
{
	GovSharedRing *ring = gov_ring_of(counter);
	int64		grain = gov_ring_grain(counter);
	TimestampTz oldest = counter->window.start - GOV_SLIDING_GRAINS * grain;
	GovAmount	left;
	int64		ngrains;

	if (ring == NULL || now < counter->window.end)
		return;
	left = sum_left(counter, now, &ngrains);
	for (int64 i = 0; i < Min(ngrains, GOV_RING_GRAINS); i++)
		ring->used[slot_of(oldest + i * grain, grain)] = 0;
	counter->total -= left;
	counter->booked -= left;
	counter->window.start += ngrains * grain;
	counter->window.end += ngrains * grain;
	if (left != 0)
		counter->alert_at = gov_alert_pack(GOV_ALERT_UNKNOWN);
}

/* Count usage that the tables have; of a later grain note that there is some. */
void
gov_ring_load(GovSharedCounter *counter, const GovWindow *window, GovAmount amount)
{
	GovSharedRing *ring = gov_ring_of(counter);
	int64		grain = gov_ring_grain(counter);
	TimestampTz start = window->start;

	if (start > counter->window.start)
	{
		counter->has_later = true;
		if (ring != NULL)
			ring->later = Min(ring->later, start);
		return;
	}

	/* a row of several grains counts as a whole until the last of them leaves */
	if (window->end - start > grain)
		start = gov_ring_grain_at(counter, window->end - 1);
	if (gov_ring_has(counter, start))
		gov_ring_add(counter, start, amount);
}

/*
 * The last grain from which on as much was used as an amount, and as others are about
 * to give back: what is given back there leaves no later than what it is taken off.
 * The first that was used where there is not as much; or the counter's own.
 */
TimestampTz
gov_ring_find_used(const GovSharedCounter *counter, GovAmount amount)
{
	const GovSharedRing *ring = gov_ring_of(counter);
	int64		grain = gov_ring_grain(counter);
	TimestampTz used = counter->window.start;
	GovAmount	sum = ring == NULL ? 0 : -ring->queued;

	for (int i = 0; ring != NULL && i < GOV_RING_GRAINS; i++)
	{
		TimestampTz start = counter->window.start - i * grain;
		GovAmount	of_grain = ring->used[slot_of(start, grain)];

		sum += of_grain;
		if (sum >= amount)
			return start;
		if (of_grain > 0)
			used = start;
	}
	return used;
}

/*
 * When may a budget allow something that it does not?  When so much has left, or the
 * limit has risen, that what is wanted (with what is held) fits; DT_NOEND: never.
 */
TimestampTz
gov_ring_reach(const GovSharedCounter *counter, TimestampTz now, GovAmount usage,
			   GovAmount wanted, GovAmount limit, const GovBounds *bounds)
{
	const GovSharedRing *ring = gov_ring_of(counter);
	int64		grain = gov_ring_grain(counter);
	bool		has_steps = bounds != NULL && bounds->nsteps > 0;
	GovAmount	left = usage;
	TimestampTz reached = DT_NOEND;

	for (int i = GOV_SLIDING_GRAINS; ring != NULL && i >= 0; i--)
	{
		TimestampTz start = counter->window.start - i * grain;
		TimestampTz leaves_at = start + GOV_RING_GRAINS * grain;

		if (leaves_at <= now)
			continue;
		left -= ring->used[slot_of(start, grain)];
		if (left + wanted > (has_steps ? gov_bounds_at(bounds, leaves_at) : limit))
			continue;
		reached = leaves_at;
		break;
	}
	for (uint32 i = 0; has_steps && i < bounds->nsteps; i++)
	{
		TimestampTz from = bounds->steps[i].from;

		if (from > now && from < reached &&
			usage - gov_ring_usage(counter, now) + gov_ring_usage(counter, from) + wanted <= bounds->steps[i].limit)
			return from;
	}
	return reached;
}
