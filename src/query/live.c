/*
 * live.c
 *		What the budgets of a sheet have used, right now.
 *
 * PURPOSE
 *		A sheet remembers where the counter of each budget is in shared memory,
 *		so that a query over all budgets of an owner looks none of them up.  Of
 *		a budget that has no counter there it remembers what the tables said.
 *		What is read here is what a check of the same session would show.
 *
 * LOCKING
 *		The stripe's lock, shared, for GOV_LIVE_ROWS budgets at a time: a charge
 *		waits for some microseconds at most, whatever the size of the owner.
 *		Between two times that it is taken anything may happen; see MARKS.
 *
 * MARKS
 *		What tells whether a sheet is still right: see README.md.
 *
 * INVARIANTS
 *		Numbers are taken before what they stand for: what moves meanwhile
 *		costs another look and hides nothing.
 *
 * WINDOWS
 *		Where windows begin with a first use, each row has its own, as the counter or
 *		the tables say; without one it is that of the sheet, which is for ever, and
 *		nothing is used.
 *
 *		Where they slide, what has left by the sheet's time is subtracted.  Stored
 *		usage makes the sheet useless when some of it leaves (next_recorded).
 *
 *		A counter whose window is over shows nothing used, as if it had been
 *		turned.  If the tables have usage of later windows they are asked
 *		(gov_counter_must_load).  A counter that is ahead, because a call turned
 *		it after the sheet's time or because the clock was ahead, is shown with
 *		its own window, as a check shows it.  Stored usage of a window that is
 *		over shows nothing used either: whoever used the next window has
 *		installed the node first, and usage that was there before makes the sheet
 *		useless (serves_at in sheet_open.c).
 *
 * OWN TRANSACTION
 *		What this transaction has taken is in the counters; what it gives back is
 *		added here (gov_pending_relief), as for a check.  A budget that it has
 *		charged has a pinned counter in memory.  So no stored amount lacks its
 *		rows, although the snapshot of a kept sheet does not see them.
 *
 * RACES ACCEPTED
 *		The lock is taken several times, so a page is no snapshot: each row is as
 *		it was at some moment of the call.  If a budget is deleted and made again
 *		under its old id while a transaction has usage of the former one in
 *		flight, its count lacks that usage until the budget is loaded.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "cache/own_nodes.h"
#include "cache/pending.h"
#include "cache/ring.h"
#include "query/live.h"

/* Entities and budgets looked up with the lock taken once; rows prefetched. */
#define LOOK_UP_ROWS		64
#define ROWS_AHEAD			16

/* Read the numbers that tell what has happened to the owner so far. */
void
gov_live_marks(const GovOwnerKey *owner, GovSheetMarks *marks)
{
	GovSharedStripe *stripe = gov_stripe(owner->stripe);
	const GovSharedOwners *owners = gov_node_owners(owner);

	gov_stripe_lock(stripe, LW_SHARED);
	marks->changes = owners->changes;
	marks->generation = pg_atomic_read_u64(gov_shmem_generation(MyDatabaseId));
	marks->installs = owners->installs;
	marks->unlinks = owners->unlinks;
	marks->first_uses = owners->first_uses;
	gov_stripe_unlock(stripe);
}

/* The counter of a budget, or NULL.  One that is a transaction's own is none. */
static GovSharedCounter *
find_counter(const GovSharedNode *node, const GovSheetBudget *budget, uint32 guess)
{
	uint32		number;

	if (node == NULL || gov_node_is_own(node) || !gov_node_find_budget(node, &budget->id, guess, &number))
		return NULL;
	return gov_node_counter(node, number);
}

static void
look_up_entity(GovSheet *sheet, const GovSheetEntity *entity, bool has_lost)
{
	const GovSharedNode *node = gov_node_find(&sheet->owner,
											  gov_sheet_text(sheet, entity->id),
											  entity->id.length);

	for (uint32 i = 0; i < entity->nrows; i++)
	{
		GovSheetRow *row = &sheet->rows[entity->first_row + i];
		bool		had_counter = row->counter != NULL;

		row->counter = row->is_pool ? NULL :
			find_counter(node, &sheet->budgets[entity->first_row + i], i);
		if (has_lost || (had_counter && row->counter == NULL))
			row->is_read = false;
		row->needs_read = !row->is_read &&
			(row->counter == NULL || row->counter->id != row->counter_id ||
			 gov_counter_must_load(row->counter, sheet->now));
	}
}

/*
 * Find the counters of all rows again, and note of each row whether it must be
 * read from the tables.
 */
void
gov_live_look_up(GovSheet *sheet)
{
	GovSharedStripe *stripe = gov_stripe(sheet->owner.stripe);
	GovSheetMarks marks;
	bool		has_lost;

	gov_live_marks(&sheet->owner, &marks);
	has_lost = marks.unlinks != sheet->marks.unlinks;
	for (uint32 i = 0; i < sheet->nentities;)
	{
		uint32		nrows = 0;

		CHECK_FOR_INTERRUPTS();
		gov_stripe_lock(stripe, LW_SHARED);
		for (; i < sheet->nentities && nrows < LOOK_UP_ROWS; i++)
		{
			nrows += 1 + sheet->entities[i].nrows;
			if (sheet->entities[i].nrows > 0)
				look_up_entity(sheet, &sheet->entities[i], has_lost);
		}
		gov_stripe_unlock(stripe);
	}
	sheet->marks.installs = marks.installs;
	sheet->marks.unlinks = marks.unlinks;
}

/* Usage that the tables told, if it is of the present window. */
static GovAmount
stored_usage(const GovSheet *sheet, uint32 number)
{
	const GovSheetStored *stored = &sheet->stored[number];
	const GovSheetWindow *window = &sheet->windows[sheet->rows[number].window];

	if (gov_sheet_slides(window))
		return stored->usage;
	if (gov_sheet_opens(window))
		return sheet->now < stored->end ? stored->usage : 0;
	return stored->start == window->present.start ? stored->usage : 0;
}

/*
 * The node of a pool and which of its budgets that is, if they say what the tables
 * do of its grants; else NULL.  Whoever has changed grants itself reads the tables.
 */
static const GovSharedNode *
find_pool_node(const GovSheet *sheet, uint32 number, uint32 *budget)
{
	const GovSheetBudget *row = &sheet->budgets[number];
	GovString	id = sheet->entities[row->entity].id;
	const GovSharedNode *node;

	if (!sheet->is_live || sheet->sees_own)
		return NULL;
	node = gov_node_find(&sheet->owner, gov_sheet_text(sheet, id), id.length);
	if (node == NULL || node->is_absent || node->is_stale || gov_node_is_own(node) ||
		!gov_node_find_budget(node, &row->id, 0, budget) ||
		!gov_budget_is_pool(gov_node_content(node), &gov_node_content(node)->budgets[*budget]))
		return NULL;
	return node;
}

/* Read the counter of a grant, or of what a pool owes. */
static void
read_draw(const GovSharedNode *node, uint32 count, GovDraw *draw)
{
	draw->counter = gov_node_counter(node, count);
	draw->drawn = draw->counter->total + gov_pending_relief(draw->counter).usage;
	draw->pays = draw->takes = 0;
}

/*
 * Read what is used up of a pool, as a check does (gate/draw.c), or what the tables
 * told, which is right as long as its node is not in memory.
 */
static pg_noinline GovAmount
read_pool(const GovSheet *sheet, uint32 number)
{
	uint32		budget;
	const GovSharedNode *node = find_pool_node(sheet, number, &budget);
	const GovPool *pool;
	GovAmount	granted;
	GovAmount	used;

	if (node == NULL)
		return stored_usage(sheet, number);
	pool = gov_budget_pool(gov_node_content(node), &gov_node_content(node)->budgets[budget]);
	if (pool->ngrants > sheet->most_grants)
		return stored_usage(sheet, number);
	for (uint32 i = 0; i < pool->ngrants; i++)
		read_draw(node, pool->grants[i].count, &sheet->draws[i]);
	read_draw(node, pool->debt, &sheet->draws[pool->ngrants]);
	gov_pool_at(pool, sheet->draws, sheet->draws[pool->ngrants].counter->window.end, sheet->now,
				&granted, &used);
	return used;
}

/* What is held of a pool. */
static GovAmount
read_pool_held(const GovSheet *sheet, uint32 number)
{
	uint32		budget;
	const GovSharedNode *node = find_pool_node(sheet, number, &budget);
	const GovSharedCounter *counter;
	GovCharge	relief;

	if (node == NULL)
		return sheet->stored[number].held;
	counter = gov_node_counter(node, budget);
	relief = gov_pending_relief(counter);
	return counter->held + relief.held - (counter->covered - relief.covered);
}

/* The window whose usage read_usage() reads. */
static GovWindow
read_window(const GovSheet *sheet, uint32 number)
{
	const GovSheetRow *row = &sheet->rows[number];
	const GovSheetStored *stored = &sheet->stored[number];
	const GovSharedCounter *counter = row->counter;
	const GovWindow *present = &sheet->windows[row->window].present;

	if (gov_sheet_slides(&sheet->windows[row->window]))
	{
		bool		is_ahead = counter != NULL && counter->id == row->counter_id &&
		counter->window.start > present->start;

		return gov_sheet_span(&sheet->windows[row->window],
							  is_ahead ? counter->window.start : present->start);
	}
	if (gov_sheet_opens(&sheet->windows[row->window]))
	{
		if (counter == NULL || counter->id != row->counter_id)
			return sheet->now < stored->end ? (GovWindow) {stored->start, stored->end} : *present;
		return gov_counter_is_open(counter, sheet->now) ? counter->window : *present;
	}

	if (counter == NULL || counter->id != row->counter_id ||
		counter->window.start < present->start)
		return *present;
	return counter->window;
}

/* Read what counts of a row whose window slides; false if the tables must be asked and have not been. */
static pg_noinline bool
read_sliding(const GovSheet *sheet, uint32 number, GovAmount *usage)
{
	const GovSharedCounter *counter = sheet->rows[number].counter;

	if (gov_ring_must_load(counter, sheet->now))
	{
		*usage = stored_usage(sheet, number);
		return sheet->rows[number].is_read;
	}
	*usage = gov_ring_usage(counter, sheet->now) + gov_pending_relief(counter).usage;
	if (sheet->now >= counter->window.end)
		*usage -= gov_pending_left(counter, read_window(sheet, number).start);
	return true;
}

/*
 * Read the usage of a row, as a check does (read_state in resolve_budgets.c).
 * False if the counter is ahead of the sheet's catalog, or if the tables must
 * be asked and have not been.
 */
static pg_attribute_always_inline bool
read_usage(const GovSheet *sheet, uint32 number, bool has_pending, GovAmount *usage)
{
	const GovSheetRow *row = &sheet->rows[number];
	const GovSharedCounter *counter = row->counter;
	const GovWindow *window = &sheet->windows[row->window].present;

	if (unlikely(counter == NULL))
	{
		*usage = row->is_pool ? read_pool(sheet, number) : stored_usage(sheet, number);
		return true;
	}
	if (unlikely(counter->id != row->counter_id))
	{
		*usage = stored_usage(sheet, number);
		return row->is_read;
	}
	if (gov_sheet_slides(&sheet->windows[row->window]))
		return read_sliding(sheet, number, usage);
	*usage = 0;
	if (gov_sheet_opens(&sheet->windows[row->window]) &&
		!gov_counter_is_open(counter, sheet->now))
		return true;
	if (counter->window.start < window->start)
	{
		if (likely(!gov_counter_must_load(counter, sheet->now)))
			return true;
		*usage = stored_usage(sheet, number);
		return row->is_read;
	}
	*usage = counter->total;
	if (has_pending)
		*usage += gov_pending_relief(counter).usage;
	return true;
}

static GovAmount
read_held(const GovSheet *sheet, uint32 number)
{
	const GovSheetRow *row = &sheet->rows[number];
	const GovSharedCounter *counter = row->counter;
	GovCharge	relief;

	if (counter == NULL)
		return row->is_pool ? read_pool_held(sheet, number) : sheet->stored[number].held;
	relief = gov_pending_relief(counter);
	if (counter->id != row->counter_id ||
		counter->window.start < sheet->windows[row->window].present.start ||
		(gov_sheet_opens(&sheet->windows[row->window]) &&
		 !gov_counter_is_open(counter, sheet->now)))
		return counter->held + relief.held;
	return counter->held + relief.held - (counter->covered - relief.covered);
}

/*
 * Can a row be among those that the scan is for?  A row without a limit has no
 * utilization, and cannot if that is asked for.
 */
static pg_attribute_always_inline bool
is_wanted(const GovLiveScan *scan, GovAmount usage, double per_unit)
{
	double		key = gov_amount_to_double(usage);

	if (scan->key == GOV_LIVE_ANY)
		return true;
	if (scan->key == GOV_LIVE_BY_UTILIZATION)
		key = unlikely(per_unit == 0) ? 1 : key * per_unit;
	return scan->sign * key >= scan->bound;
}

/* Fetch what is read of a counter, which may lie on two cache lines. */
static inline void
prefetch_counter(const GovSharedCounter *counter)
{
	__builtin_prefetch(counter);
	__builtin_prefetch((const char *) counter + offsetof(GovSharedCounter, window.end) - 1);
}

/* The loop over the rows, made once for each kind of scan. */
static pg_attribute_always_inline bool
scan_rows(const GovSheet *sheet, const GovLiveScan scan, bool has_pending,
		  uint32 *rows, uint32 *nrows, GovLiveAmounts *amounts)
{
	const GovSheetRow *known = sheet->rows;
	uint32		count = *nrows;
	uint32		nfound = 0;

	for (uint32 i = 0; i < count; i++)
	{
		uint32		number = rows[i];
		GovAmount	usage;

		if (i + ROWS_AHEAD < count)
			prefetch_counter(known[rows[i + ROWS_AHEAD]].counter);
		if (unlikely(!read_usage(sheet, number, has_pending, &usage)))
			return false;
		if (likely(!is_wanted(&scan, usage, known[number].per_unit)))
			continue;
		rows[nfound] = number;
		amounts[nfound].usage = usage;
		amounts[nfound].held = read_held(sheet, number);
		amounts[nfound].window = read_window(sheet, number);
		nfound++;
	}
	*nrows = nfound;
	return true;
}

/*
 * Read what some rows have used, and keep those that may be wanted.  False if
 * the sheet no longer says where their counters are: then it must be opened
 * again.
 */
bool
gov_live_scan(const GovSheet *sheet, const GovLiveScan *scan,
			  uint32 *rows, uint32 *nrows, GovLiveAmounts *amounts)
{
	GovSharedStripe *stripe = gov_stripe(sheet->owner.stripe);
	GovLiveScan kind = *scan;
	bool		has_pending = gov_pending_has_written();
	bool		is_valid;

	Assert(*nrows <= GOV_LIVE_ROWS);
	if (!sheet->is_live)
		return scan_rows(sheet, kind, false, rows, nrows, amounts);
	gov_stripe_lock(stripe, LW_SHARED);
	is_valid = gov_node_owners(&sheet->owner)->unlinks == sheet->marks.unlinks;
	if (is_valid && kind.key == GOV_LIVE_BY_UTILIZATION && !has_pending)
	{
		/* nearly always: the compiler is told so */
		kind.key = GOV_LIVE_BY_UTILIZATION;
		is_valid = scan_rows(sheet, kind, false, rows, nrows, amounts);
	}
	else if (is_valid)
		is_valid = scan_rows(sheet, kind, has_pending, rows, nrows, amounts);
	gov_stripe_unlock(stripe);
	return is_valid;
}

/* ---------------------------------------------------------------- unused budgets */

/*
 * The counter that a node has of a budget by a default, without scope; or NULL.
 * If the default has got another seed since, the usage is that of another
 * counter, and holds stay.
 */
static GovSharedCounter *
find_unused_counter(const GovSharedNode *node, const GovSheetDefault *by, bool *is_present)
{
	const GovEntity *content;

	if (node == NULL || node->is_absent || (node->is_stale && by->anchor_from.offset != 0))
		return NULL;
	content = gov_node_content(node);
	for (uint32 i = 0; i < content->nbudgets; i++)
	{
		const GovBudget *budget = &content->budgets[i];
		const GovInherited *inherited = gov_budget_inherited(content, budget);

		if (inherited != NULL && gov_budget_more(content, budget)->nscope == 0 &&
			gov_uuid_is(&inherited->default_id, &by->id))
		{
			*is_present = inherited->seed == by->seed;
			return gov_node_counter(node, i);
		}
	}
	return NULL;
}

/*
 * Read what has been used of a budget that nobody has used and committed: what
 * transactions under way have in flight.  The present window is in amounts.
 */
void
gov_live_read_unused(const GovSheet *sheet, uint32 entity, uint32 from, GovLiveAmounts *amounts)
{
	GovSharedStripe *stripe = gov_stripe(sheet->owner.stripe);
	const GovSharedCounter *counter;
	bool		is_present = false;
	GovString	id = sheet->entities[entity].id;

	amounts->usage = 0;
	amounts->held = 0;
	if (!sheet->is_live)
		return;
	gov_stripe_lock(stripe, LW_SHARED);
	counter = find_unused_counter(gov_node_find(&sheet->owner, gov_sheet_text(sheet, id), id.length),
								  &sheet->defaults[from], &is_present);
	if (counter != NULL)
	{
		GovCharge	relief = gov_pending_relief(counter);

		amounts->held = counter->held + relief.held;
		if (gov_sheet_opens(&sheet->windows[sheet->defaults[from].window]))
			is_present &= gov_counter_is_open(counter, sheet->now);
		if (is_present && gov_sheet_slides(&sheet->windows[sheet->defaults[from].window]))
			amounts->usage = gov_ring_usage(counter, sheet->now) + relief.usage;
		else if (is_present && counter->window.start >= amounts->window.start)
		{
			amounts->usage = counter->total + relief.usage;
			amounts->held -= counter->covered - relief.covered;
			amounts->window = counter->window;
		}
	}
	gov_stripe_unlock(stripe);
}
