/*
 * backtest.c
 *		What would budgets have denied?  A replay of uses against them.
 *
 * PURPOSE
 *		Takes the budgets to be tried, then one call after another in the order
 *		of time, each with its uses, and decides about each call as the engine
 *		would have: by the rule of decide.c, over the budgets for the capability
 *		of a use on an entity of its set whose whole scope lies in the set.  A call
 *		that one of them denies is counted nowhere, with all of its uses.  A
 *		correction (a negative amount) is never denied.  What comes after a use
 *		that was denied, and gives back of it or corrects it, the caller leaves out.
 *		A pool draws from its grants (pool.c).
 *
 * COST
 *		The names of entities and capabilities are numbered once, so that a use
 *		costs a look-up for each entity of its set, and no comparison of strings
 *		for each budget.  Memory is allocated when the replay is made and not
 *		later, so any number of uses fits.
 *
 * CARRYING OVER
 *		Nothing is carried into the first window that a budget meets.  From there on
 *		it is the replay's own: what was denied has left something unused.
 *
 * INVARIANTS
 *		Times never run backwards, so a budget has one window at a time and its
 *		usage begins anew with the next; and of the steps of its limit those that
 *		it has passed do not come back.  A budget stands once among those of a
 *		call, with the sum of what is wanted of it.
 *
 * FAILURE
 *		Functions return that something failed, and the caller raises.  The replay
 *		is of no use after that.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "port/pg_bitutils.h"

#include "pure/backtest.h"
#include "pure/bytes.h"
#include "pure/window.h"

typedef struct GovNumberedName
{
	const char *string;
	uint32		length;
	uint32		hash;
	int			first_trial;	/* of the entity of this name, or -1 */
	uint64		seen_in;		/* the last use whose set has the entity */
} GovNumberedName;

struct GovBacktest
{
	GovNumberedName *names;
	int			nnames;
	int			max_names;
	uint32	   *slots;			/* open addressing; a number + 1, 0 = empty */
	uint32		nslots;			/* a power of two, more than max_names */

	GovTrial   *trials;
	int			ntrials;
	int			max_trials;

	uint64		use;			/* numbers the uses, from 1 */
	int		   *present;		/* entities of the use that have a trial */
	int			npresent;

	uint64		call;			/* numbers the calls, from 1 */
	TimestampTz at;				/* of the call */
	bool		gives_back;		/* of the call before */
	GovTrial  **concerned;		/* the budgets of the call */
	int			nconcerned;
};

GovBacktest *
gov_backtest_create(int max_trials, int max_names)
{
	GovBacktest *backtest = palloc0(sizeof(GovBacktest));

	Assert(max_trials > 0 && max_names > 0);
	backtest->max_trials = max_trials;
	backtest->trials = palloc0(sizeof(GovTrial) * max_trials);
	backtest->concerned = palloc0(sizeof(GovTrial *) * max_trials);
	backtest->max_names = max_names;
	backtest->names = palloc0(sizeof(GovNumberedName) * max_names);
	backtest->present = palloc0(sizeof(int) * max_names);
	backtest->nslots = pg_nextpower2_32(2 * (uint32) max_names);
	backtest->slots = palloc0(sizeof(uint32) * backtest->nslots);
	backtest->at = DT_NOBEGIN;
	return backtest;
}

/* The slot that a name is in, or the empty one that it would go to. */
static uint32
slot_of(const GovBacktest *backtest, const char *string, uint32 length, uint32 hash)
{
	uint32		slot = hash & (backtest->nslots - 1);

	while (backtest->slots[slot] != 0)
	{
		const GovNumberedName *name = &backtest->names[backtest->slots[slot] - 1];

		if (name->hash == hash && gov_bytes_equal(name->string, name->length, string, length))
			break;
		slot = (slot + 1) & (backtest->nslots - 1);
	}
	return slot;
}

static inline uint32
hash_of(const char *string, uint32 length)
{
	return hash_bytes((const unsigned char *) string, length);
}

/* The number of a name, or -1 if no trial has it. */
static int
find_name(const GovBacktest *backtest, const char *string, uint32 length)
{
	return (int) backtest->slots[slot_of(backtest, string, length, hash_of(string, length))] - 1;
}

/* The number of a name, given to it if need be.  The string must stay. */
int
gov_backtest_name(GovBacktest *backtest, const char *string, uint32 length)
{
	uint32		hash = hash_of(string, length);
	uint32		slot = slot_of(backtest, string, length, hash);
	GovNumberedName *name;

	if (backtest->slots[slot] == 0)
	{
		Assert(backtest->nnames < backtest->max_names);
		name = &backtest->names[backtest->nnames];
		name->string = string;
		name->length = length;
		name->hash = hash;
		name->first_trial = -1;
		backtest->slots[slot] = ++backtest->nnames;
	}
	return backtest->slots[slot] - 1;
}

/* Add a budget; it keeps its number, counted from 0. */
void
gov_backtest_add(GovBacktest *backtest, const GovTrial *given)
{
	GovTrial   *trial = &backtest->trials[backtest->ntrials];
	GovNumberedName *name = &backtest->names[given->entity];

	Assert(backtest->ntrials < backtest->max_trials);
	Assert(backtest->call == 0);
	*trial = *given;
	trial->state.usage = 0;
	trial->state.held = 0;
	trial->state.window_end = DT_NOBEGIN;
	trial->denied_count = 0;
	trial->denied_amount = 0;
	trial->step = 0;
	trial->ring = NULL;
	if (trial->cadence.kind == GOV_WINDOW_SLIDING)
	{
		trial->ring = palloc0(sizeof(GovTrialRing));
		trial->ring->grain = gov_window_span(&trial->cadence) / GOV_SLIDING_GRAINS;
		trial->ring->number = PG_INT64_MIN / 2;
		trial->state.window_end = DT_NOEND;
	}
	trial->call = 0;
	trial->next = name->first_trial;
	name->first_trial = backtest->ntrials++;
}

const GovTrial *
gov_backtest_trial(const GovBacktest *backtest, int number)
{
	Assert(number >= 0 && number < backtest->ntrials);
	return &backtest->trials[number];
}

/* Begin a call of a time; its uses follow. */
void
gov_backtest_begin_call(GovBacktest *backtest, TimestampTz occurred_at)
{
	Assert(occurred_at >= backtest->at);
	backtest->call++;
	backtest->at = occurred_at;
	backtest->nconcerned = 0;
	backtest->gives_back = false;
}

/* The call that has begun gives back of the one before: to the grants that it drew from. */
void
gov_backtest_gives_back(GovBacktest *backtest)
{
	backtest->gives_back = true;
}

/* Begin a use of the call; the entities of its set follow. */
void
gov_backtest_begin_use(GovBacktest *backtest)
{
	backtest->use++;
	backtest->npresent = 0;
}

void
gov_backtest_entity(GovBacktest *backtest, const char *id, uint32 length)
{
	int			number = find_name(backtest, id, length);
	GovNumberedName *name;

	if (number < 0)
		return;
	name = &backtest->names[number];
	if (name->seen_in != backtest->use && name->first_trial >= 0)
		backtest->present[backtest->npresent++] = number;
	name->seen_in = backtest->use;
}

static bool
scope_holds(const GovBacktest *backtest, const GovTrial *trial)
{
	for (int i = 0; i < trial->nscope; i++)
	{
		if (backtest->names[trial->scope[i]].seen_in != backtest->use)
			return false;
	}
	return true;
}

static GovAmount *
grain_of(GovTrialRing *ring, int64 number)
{
	int64		slot = number % lengthof(ring->used);

	return &ring->used[slot < 0 ? slot + lengthof(ring->used) : slot];
}

/* Let what has left by a time leave a window that slides. */
static void
slide_window(GovTrial *trial, TimestampTz at)
{
	GovTrialRing *ring = trial->ring;
	int64		number = at / ring->grain - (at % ring->grain < 0 ? 1 : 0);
	int64		nleft = Min(number - ring->number, (int64) lengthof(ring->used));

	for (int64 i = 1; i <= nleft; i++)
	{
		GovAmount  *used = grain_of(ring, number - nleft + i);

		trial->state.usage -= *used;
		*used = 0;
	}
	ring->number = Max(ring->number, number);
}

/* Count an amount in a window that slides; where, gate/sliding.c says. */
static GovBacktestStatus
count_grain(GovTrial *trial, GovAmount amount)
{
	GovTrialRing *ring = trial->ring;
	GovAmount  *used = grain_of(ring, ring->number);
	GovAmount	sum = 0;

	for (int64 i = 0; amount < 0 && i < lengthof(ring->used); i++)
	{
		GovAmount  *earlier = grain_of(ring, ring->number - i);

		sum += *earlier;
		if (*earlier > 0 || sum >= -amount)
			used = earlier;
		if (sum >= -amount)
			break;
	}
	*used += amount;
	return gov_amount_add(trial->state.usage, amount, &trial->state.usage) ?
		GOV_BACKTEST_OK : GOV_BACKTEST_OVERFLOW;
}

/*
 * Carry over what the window of a budget that is over has left, up to one that starts
 * then; false if one in between is out of range.
 */
static bool
carry_over(GovTrial *trial, TimestampTz start)
{
	GovWindow	window = {.end = trial->state.window_end};

	trial->state.carried = gov_carry_next(&trial->carry, trial->own, trial->state.carried,
										  trial->state.usage);
	while (window.end < start)
	{
		bool		was_debt = trial->state.carried < 0;

		trial->state.carried = gov_carry_next(&trial->carry, trial->own, trial->state.carried, 0);
		/* without a debt one carries what the next does; without a limit none is paid */
		if (!was_debt || trial->own == 0)
			break;
		if (!gov_window_at(&trial->cadence, trial->has_anchor, trial->anchor, trial->tz,
						   window.end, &window))
			return false;
	}
	return true;
}

/*
 * Give a budget the window of a time, and no usage if that is another one; none where
 * windows begin with a first use.
 */
static bool
turn_window(GovTrial *trial, TimestampTz at)
{
	GovWindow	window;

	if (trial->ring != NULL)
		slide_window(trial, at);
	if (at < trial->state.window_end)
		return true;
	if (trial->cadence.kind == GOV_WINDOW_FIRST_USE)
	{
		trial->state.usage = 0;
		return true;
	}
	if (!gov_window_at(&trial->cadence, trial->has_anchor, trial->anchor,
					   trial->tz, at, &window))
		return false;
	if (unlikely(trial->carries) && !TIMESTAMP_IS_NOBEGIN(trial->state.window_end) &&
		!carry_over(trial, window.start))
		return false;
	trial->state.window_end = window.end;
	trial->state.usage = 0;
	return true;
}

/* What a pool has granted at a time, and what is used of that; what the last call took is drawn. */
static void
read_pool(GovTrial *trial, TimestampTz at)
{
	for (uint32 i = 0; i <= trial->pool->ngrants; i++)
	{
		trial->draws[i].drawn += trial->draws[i].takes;
		trial->draws[i].takes = 0;
	}
	gov_pool_at(trial->pool, trial->draws, trial->owed_at, at, &trial->state.limit, &trial->state.usage);
}

/* Have a call draw from a pool's grants, or give back what the one before drew. */
static void
draw_call(GovTrial *trial, GovAmount amount, TimestampTz at, bool gives_back)
{
	GovDraw    *debt = &trial->draws[trial->pool->ngrants];

	if (gives_back)
	{
		gov_pool_give_back(trial->pool, trial->draws, -amount);
		return;
	}
	gov_pool_choose(trial->pool, trial->draws, trial->owed_at, debt->drawn, amount, at);
	for (uint32 i = 0; i <= trial->pool->ngrants; i++)
	{
		trial->draws[i].drawn += trial->draws[i].pays;
		trial->draws[i].pays = 0;
	}
	if (debt->takes > 0)
		trial->owed_at = at;
}

/*
 * Count a use that was granted, or a correction.  A use opens a window where they
 * begin so; a correction without one counts nowhere.
 */
static GovBacktestStatus
count_use(GovTrial *trial, GovAmount amount, TimestampTz at)
{
	GovWindow	window;

	if (trial->ring != NULL)
		return count_grain(trial, amount);
	if (at >= trial->state.window_end)
	{
		Assert(trial->cadence.kind == GOV_WINDOW_FIRST_USE);
		if (amount <= 0)
			return GOV_BACKTEST_OK;
		if (!gov_window_opened(&trial->cadence, trial->tz, at, &window))
			return GOV_BACKTEST_NO_WINDOW;
		trial->state.window_end = window.end;
	}
	return gov_amount_add(trial->state.usage, amount, &trial->state.usage) ?
		GOV_BACKTEST_OK : GOV_BACKTEST_OVERFLOW;
}

/* The limit of a budget at a time, where boosts change it. */
static void
step_limit(GovTrial *trial, TimestampTz at)
{
	const GovBounds *bounds = trial->state.bounds;

	if (unlikely(trial->carries))
		trial->state.limit = Max(trial->own + trial->state.carried, 0);
	if (bounds == NULL || bounds->nsteps == 0)
		return;
	while (trial->step + 1 < bounds->nsteps && bounds->steps[trial->step + 1].from <= at)
		trial->step++;
	trial->state.limit = bounds->steps[trial->step].limit;
	if (unlikely(trial->carries))
		trial->state.limit = Max(trial->state.limit + trial->state.carried, 0);
}

/* Have the call want so much of a budget. */
static GovBacktestStatus
want(GovBacktest *backtest, GovTrial *trial, GovAmount amount)
{
	if (trial->call == backtest->call)
		return gov_amount_add(trial->wanted, amount, &trial->wanted) ?
			GOV_BACKTEST_OK : GOV_BACKTEST_OVERFLOW;
	if (!turn_window(trial, backtest->at))
		return GOV_BACKTEST_NO_WINDOW;
	step_limit(trial, backtest->at);
	if (trial->pool != NULL && !backtest->gives_back)
		read_pool(trial, backtest->at);
	trial->call = backtest->call;
	trial->wanted = amount;
	Assert(backtest->nconcerned < backtest->ntrials);
	backtest->concerned[backtest->nconcerned++] = trial;
	return GOV_BACKTEST_OK;
}

/* The set of the use is complete now: have it want its amount of the budgets. */
GovBacktestStatus
gov_backtest_end_use(GovBacktest *backtest, const char *capability, uint32 length,
					 GovAmount amount)
{
	int			capability_number = find_name(backtest, capability, length);

	for (int i = 0; i < backtest->npresent; i++)
	{
		int			number = backtest->names[backtest->present[i]].first_trial;

		for (; number >= 0; number = backtest->trials[number].next)
		{
			GovTrial   *trial = &backtest->trials[number];
			GovBacktestStatus status;

			if (trial->capability != capability_number ||
				backtest->at >= trial->suspended_from || !scope_holds(backtest, trial))
				continue;
			status = want(backtest, trial, amount);
			if (status != GOV_BACKTEST_OK)
				return status;
		}
	}
	return GOV_BACKTEST_OK;
}

/* Note the call on each budget that does not allow it; *is_granted says whether all do. */
static GovBacktestStatus
judge_call(GovBacktest *backtest, bool *is_granted)
{
	for (int i = 0; i < backtest->nconcerned; i++)
	{
		GovTrial   *trial = backtest->concerned[i];

		if (trial->wanted < 0 || gov_decide_allows(&trial->state, trial->wanted))
			continue;
		*is_granted = false;
		if (trial->denied_count++ == 0)
			trial->first_denied_at = backtest->at;
		if (!gov_amount_add(trial->denied_amount, trial->wanted, &trial->denied_amount))
			return GOV_BACKTEST_OVERFLOW;
	}
	return GOV_BACKTEST_OK;
}

/*
 * Decide about the call, unless it is granted whatever it wants, and count it if it
 * is granted.
 */
GovBacktestStatus
gov_backtest_end_call(GovBacktest *backtest, bool is_judged, bool *is_granted)
{
	*is_granted = true;
	if (is_judged && judge_call(backtest, is_granted) != GOV_BACKTEST_OK)
		return GOV_BACKTEST_OVERFLOW;
	for (int i = 0; *is_granted && i < backtest->nconcerned; i++)
	{
		GovTrial   *trial = backtest->concerned[i];
		GovBacktestStatus status = GOV_BACKTEST_OK;

		if (trial->pool != NULL)
			draw_call(trial, trial->wanted, backtest->at, backtest->gives_back);
		else
			status = count_use(trial, trial->wanted, backtest->at);
		if (status != GOV_BACKTEST_OK)
			return status;
	}
	return GOV_BACKTEST_OK;
}
