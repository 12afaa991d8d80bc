/*
 * opening.c
 *		Windows that begin with a first use.
 *
 * PURPOSE
 *		A budget of the kind first_use has a window from the first use after the
 *		last one ended.  So nobody computes which window a time falls into: the
 *		rows of the ledger say it, which store the windows that they were charged
 *		to.
 *
 * WHO OPENS ONE
 *		The first charge of usage to the budget's counter that finds none open
 *		gives it a window from the time of the call on.  Others who come while it is
 *		in flight count in the same window.  It stays when one of them has committed;
 *		if all roll back it never was (gov_counter_is_open).  Holds, uses of
 *		nothing, and corrections open nothing, and where no window is open the last
 *		two are charged to none.
 *
 * LATE USES
 *		A use of an earlier time counts in the window that holds the time, if the
 *		counter has it, or a row.  Else it is the first of a window: from its time on,
 *		for the budget's cadence, or to where the next one begins.  If that reaches
 *		to the present, and no other window is open, it is the present window.  A late
 *		correction opens none.
 *
 * LOCKING
 *		gov_opening_choose() runs with the stripe locked, in the critical section
 *		of the charge.  What takes a time zone, or the tables, was computed before
 *		without it, as for a turn (resolve_budgets.c).
 *
 * RACES ACCEPTED
 *		The rows of others that are not committed are not seen.  Two late uses at
 *		once, in no window, get one each, and these may overlap; both are over.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/errors.h"
#include "base/fault.h"
#include "base/spi.h"
#include "cache/threshold.h"
#include "gate/opening.h"
#include "ledger/statements.h"

#define GOV_LATE_KEPT	64		/* room for them, from one call to the next */

/* A window that a late use begins. */
typedef struct GovLateWindow
{
	int64		counter_id;
	GovWindow	window;
} GovLateWindow;

/* Those of the call at hand: a batch writes its rows when all are decided. */
static GovLateWindow *late = NULL;
static int	nlate = 0;
static int	late_capacity = 0;

/*
 * The window of a counter that holds a time, and where the next one begins.
 * Of the tail, rows of other counters are passed over before their arrays are
 * taken apart, which takes ten times as long.
 */
static GovQuery windows_query = {
	.sql =
	"select"
	" (array_agg(w.window_start order by w.window_start desc) filter (where w.holds))[1],"
	" (array_agg(w.window_end order by w.window_start desc) filter (where w.holds))[1],"
	" min(w.window_start) filter (where w.window_start > $2)"
	" from (select x.window_start, x.window_end, x.window_start <= $2 and x.window_end > $2 as holds"
	"  from ((select u.window_start, u.window_end from @gov_usage u"
	"   where u.counter_id = $1 and u.window_start <= $2 order by u.window_start desc limit 1)"
	"   union all"
	"   (select u.window_start, u.window_end from @gov_usage u"
	"   where u.counter_id = $1 and u.window_start > $2 order by u.window_start limit 1)"
	"   union all"
	"   select t.window_start, t.window_end"
	"   from (select v.counter_ids, v.window_starts, v.window_ends from @gov_events v"
	"    where " GOV_SQL_PAST("v", "$3", "id", GOV_SQL_WATERMARK)
	"     and $1 = any (v.counter_ids) offset 0) e,"
	"    lateral unnest(e.counter_ids, e.window_starts, e.window_ends)"
	"     as t(counter_id, window_start, window_end)"
	"   where t.counter_id = $1) x) w",
	.nargs = 3,
	.argtypes = {INT8OID, TIMESTAMPTZOID, TEXTOID}
};

/* A late use was charged to a window that it begins; its row is not written yet. */
void
gov_opening_note(const GovResolvedBudget *budget)
{
	if (budget->counts != GOV_COUNTS_EARLIER || budget->is_known)
		return;
	if (nlate == late_capacity)
	{
		int			wanted = Max(16, 2 * late_capacity);

		late = late ? repalloc(late, wanted * sizeof(*late)) :
			MemoryContextAlloc(TopMemoryContext, wanted * sizeof(*late));
		late_capacity = wanted;
	}
	late[nlate++] = (GovLateWindow) {budget->budget->counter_id, budget->charged_window};
}

/* A call begins: the rows of those before are written, or never will be. */
void
gov_opening_forget(void)
{
	nlate = 0;
	if (late_capacity <= GOV_LATE_KEPT)
		return;
	pfree(late);
	late = NULL;
	late_capacity = 0;
}

/* Look among the windows of late uses whose rows are not written. */
static bool
look_among_late(int64 counter_id, TimestampTz at, bool is_found, GovWindow *window, TimestampTz *next)
{
	for (int i = 0; i < nlate; i++)
	{
		const GovWindow *other = &late[i].window;

		if (late[i].counter_id != counter_id)
			continue;
		if (other->start > at)
			*next = Min(*next, other->start);
		else if (at < other->end && (!is_found || other->start > window->start))
		{
			*window = *other;
			is_found = true;
		}
	}
	return is_found;
}

/*
 * Look up the window of a counter that holds a time, in the rows that there are and in
 * those that this call will write; false if none does.  Either way *next is where the
 * next one begins; DT_NOEND if none does.
 */
static bool
look_up(const GovRequest *request, int64 counter_id, TimestampTz at, GovWindow *window,
		TimestampTz *next)
{
	Datum		args[3] = {
		Int64GetDatum(counter_id), TimestampTzGetDatum(at),
		PointerGetDatum(cstring_to_text_with_len(request->owner.owner, request->owner.owner_length))
	};
	GovSpi		spi;
	bool		is_none;
	bool		isnull;

	gov_spi_begin(&spi);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	gov_spi_select(&windows_query, args, NULL);
	window->start = DatumGetTimestampTz(gov_spi_value(0, 1, &is_none));
	window->end = DatumGetTimestampTz(gov_spi_value(0, 2, &is_none));
	*next = DatumGetTimestampTz(gov_spi_value(0, 3, &isnull));
	if (isnull)
		*next = DT_NOEND;
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
	return look_among_late(counter_id, at, !is_none, window, next);
}

/*
 * Compute what a charge has to know of a counter that has no window for it: the one
 * that a use at that time would open, or of a late use the one that it belongs to.  No
 * lock is held.
 */
void
gov_opening_compute(const GovRequest *request, TimestampTz occurred_at, GovTurn *turn)
{
	TimestampTz next = DT_NOEND;

	GOV_FAULT(GOV_FAULT_MEMORY);
	turn->tz = gov_window_timezone(turn->timezone);
	turn->is_known = turn->is_late &&
		look_up(request, turn->counter_id, occurred_at, &turn->window, &next);
	if (turn->is_known)
		return;
	if (turn->tz == NULL ||
		!gov_window_opened(&turn->cadence, turn->tz, occurred_at, &turn->window))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("cannot compute the window that a use opens"),
				 errdetail("The time zone of the budget is \"%s\".", gov_error_shown(turn->timezone)),
				 errhint("Change the cadence or timezone of that budget.")));
	turn->window.end = Min(turn->window.end, next);
}

static void
open_window(GovResolvedBudget *budget)
{
	GovSharedCounter *counter = budget->counter;

	counter->window = budget->opening;
	counter->stays = false;
	counter->total = 0;
	counter->covered = 0;
	counter->booked = 0;
	counter->alert_at = gov_alert_pack(GOV_ALERT_UNKNOWN);
	budget->is_open = true;
	budget->window = counter->window;
}

/* The amount counts in the window that the counter has. */
static void
count_here(GovResolvedBudget *budget)
{
	budget->counts = GOV_COUNTS_HERE;
	budget->charged_window = budget->counter->window;
}

/* Where a use of an earlier time counts. */
static void
choose_late(const GovResolution *resolution, GovResolvedBudget *budget, GovAmount amount)
{
	const GovSharedCounter *counter = budget->counter;
	TimestampTz at = resolution->occurred_at;

	if (at >= counter->window.start && at < counter->window.end &&
		(counter->stays || counter->total > 0))
	{
		count_here(budget);
		return;
	}
	if (!budget->is_open && !budget->is_known && amount > 0 &&
		resolution->now < budget->opening.end)
	{
		open_window(budget);
		count_here(budget);
		return;
	}
	if (!budget->is_known && amount < 0)
		return;					/* a correction opens none, and there is none for it */
	budget->counts = GOV_COUNTS_EARLIER;
	budget->charged_window = budget->opening;
	if (!budget->is_known)
		budget->charged_window.end = Min(budget->opening.end,
										 budget->is_open ? counter->window.start : resolution->now);
}

/*
 * Choose where usage counts that is charged to a budget of this kind, and open a
 * window if that is what it does.
 */
void
gov_opening_choose(GovResolution *resolution, int number)
{
	GovResolvedBudget *budget = &resolution->budgets[number];
	GovAmount	amount = resolution->states[number].wanted;

	budget->counts = GOV_COUNTS_NOWHERE;
	if (!resolution->opens || amount == 0)
		return;
	if (!resolution->is_of_now)
	{
		choose_late(resolution, budget, amount);
		return;
	}
	if (!budget->is_open && amount < 0)
		return;
	if (!budget->is_open)
		open_window(budget);
	count_here(budget);
}
