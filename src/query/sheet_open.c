/*
 * sheet_open.c
 *		The sheets that a backend keeps.
 *
 * PURPOSE
 *		A query is answered from a sheet.  The backend keeps those of the owners
 *		it queried last, as far as governance.query_memory goes, and reads a
 *		sheet anew when the owner's catalog has changed.
 *
 * WHEN IT IS RIGHT
 *		Each query begins by comparing the marks of the sheet with the present
 *		ones (live.c).  So it shows every catalog change that was committed
 *		before it began, and the counts of some moment since.  When something
 *		has moved, counters are looked up first, then a snapshot is taken, and
 *		then what was not found is read.  When all is read anew, marks are taken
 *		first, then the snapshot, and then it is read.
 *
 *		A transaction that has changed the owner's catalog reads a sheet for
 *		each query, which sees its own rows; counters that others see too count
 *		in it as they do in a check (find_counters in resolve_budgets.c).  A query
 *		that shared memory cannot serve reads a sheet too, and uses no counters:
 *		on a standby, where the library is not preloaded, with
 *		governance.use_cache = off, and where counters were unlinked again and
 *		again while it read.
 *
 * FAILURE
 *		A kept sheet that could not be brought up to date is dropped by the next
 *		query.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/guc.h"
#include "base/spi.h"
#include "cache/changes.h"
#include "cache/pending.h"
#include "pure/bytes.h"
#include "query/live.h"
#include "query/sheet_read.h"

#define GOV_ATTEMPTS_LIVE	10

static GovSheet *kept = NULL;
static int	trimmed_to_kb = 0;	/* governance.query_memory when sheets were
								 * last dropped */

static GovSnapshot
snapshot_kind(const GovSheet *sheet)
{
	return sheet->sees_own ? GOV_SNAPSHOT_LATEST : GOV_SNAPSHOT_COMMITTED;
}

/* ---------------------------------------------------------------- windows */

static void
compute_window(GovSheet *sheet, GovSheetWindow *window)
{
	const char *name = gov_sheet_text(sheet, window->timezone);
	pg_tz	   *tz = gov_window_timezone(name);

	if (gov_sheet_opens(window))
	{
		TIMESTAMP_NOBEGIN(window->present.start);
		TIMESTAMP_NOEND(window->present.end);
		return;
	}
	if (tz == NULL ||
		!gov_window_at(&window->cadence, window->has_anchor, window->anchor, tz,
					   sheet->now, &window->present))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("cannot compute the present window of a budget"),
				 errdetail("Its time zone is \"%s\".", gov_error_shown(name)),
				 errhint("Change the cadence, anchor_at or timezone of that budget.")));
}

/*
 * Can the stored counts of the sheet serve at a time?  Not in windows before
 * theirs, not in later ones that have usage already, and not under other
 * limits.
 */
static bool
serves_at(const GovSheet *sheet, TimestampTz now)
{
	return now >= sheet->last_turn && now < sheet->next_recorded && now < sheet->next_boost;
}

/*
 * Move a sheet on to a time.  Only the windows that are over by then are
 * computed.
 */
static void
move_to(GovSheet *sheet, TimestampTz now, bool is_first)
{
	TimestampTz last_turn = DT_NOBEGIN;
	TimestampTz next_turn = DT_NOEND;

	sheet->now = now;
	if (!is_first && now < sheet->next_turn)
		return;
	for (uint32 i = 0; i < sheet->nwindows; i++)
	{
		GovSheetWindow *window = &sheet->windows[i];

		if (is_first || now >= window->present.end)
			compute_window(sheet, window);
		last_turn = Max(last_turn, window->present.start);
		next_turn = Min(next_turn, window->present.end);
	}
	sheet->last_turn = last_turn;
	sheet->next_turn = next_turn;
}

/* ---------------------------------------------------------------- counts */

static bool
needs_read(const GovSheet *sheet)
{
	for (uint32 i = 0; i < sheet->nrows; i++)
	{
		if (sheet->rows[i].needs_read)
			return true;
	}
	return false;
}

/* Read the counts that are needed, under a snapshot of its own. */
static void
read_counts(GovSheet *sheet)
{
	GovSpi		spi;

	gov_spi_begin(&spi);
	gov_spi_push_snapshot(snapshot_kind(sheet));
	gov_sheet_read_counts(sheet);
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
	for (uint32 i = 0; i < sheet->nrows; i++)
	{
		sheet->rows[i].is_read |= sheet->rows[i].needs_read;
		sheet->rows[i].needs_read = false;
	}
}

/*
 * Look the counters up again, because some have moved or they were never
 * looked up, and read the counts of budgets that have none.
 */
static void
refresh_counts(GovSheet *sheet)
{
	if (sheet->is_live)
		gov_live_look_up(sheet);
	else
	{
		for (uint32 i = 0; i < sheet->nrows; i++)
			sheet->rows[i].needs_read = true;
	}
	if (needs_read(sheet))
		read_counts(sheet);
}

/* ---------------------------------------------------------------- sheets */

static void
drop_sheet(GovSheet **link)
{
	GovSheet   *sheet = *link;

	*link = sheet->next;
	MemoryContextDelete(sheet->context);
}

static bool
is_current(const GovSheet *sheet, const GovSheetMarks *marks, TimestampTz now)
{
	return sheet->is_whole && serves_at(sheet, now) &&
		sheet->catalog == gov_catalog()->generation &&
		sheet->marks.changes == marks->changes &&
		sheet->marks.first_uses == marks->first_uses &&
		sheet->marks.generation == marks->generation;
}

/*
 * Has a sheet of this owner all that is asked for?  The sheet of the whole
 * owner has.
 */
static bool
sheet_covers(const GovSheet *sheet, const GovOwnerKey *owner, const char *part)
{
	return gov_bytes_equal(sheet->owner.owner, sheet->owner.owner_length,
						   owner->owner, owner->owner_length) &&
		(sheet->part == NULL || (part != NULL && strcmp(sheet->part, part) == 0));
}

/*
 * Find a kept sheet that is right, and make it the first; NULL if there is
 * none.
 */
static GovSheet *
find_kept(const GovOwnerKey *owner, const char *part, const GovSheetMarks *marks,
		  TimestampTz now)
{
	GovSheet  **link = &kept;

	while (*link != NULL)
	{
		GovSheet   *sheet = *link;

		if (!sheet_covers(sheet, owner, part))
		{
			link = &sheet->next;
			continue;
		}
		if (!is_current(sheet, marks, now))
		{
			drop_sheet(link);
			continue;
		}
		*link = sheet->next;
		sheet->next = kept;
		kept = sheet;
		return sheet;
	}
	return NULL;
}

/* Make an empty sheet, in memory that goes with the query. */
static GovSheet *
make_sheet(const GovOwnerKey *owner, const char *part, TimestampTz now)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "governance sheet",
												  ALLOCSET_DEFAULT_SIZES);
	GovSheet   *sheet = MemoryContextAllocZero(context, sizeof(GovSheet));
	char	   *name = MemoryContextAlloc(context, owner->owner_length + 1);

	memcpy(name, owner->owner, owner->owner_length);
	name[owner->owner_length] = '\0';
	sheet->context = context;
	sheet->owner = *owner;
	sheet->owner.owner = name;
	sheet->part = part != NULL ? MemoryContextStrdup(context, part) : NULL;
	sheet->catalog = gov_catalog()->generation;
	sheet->now = now;
	sheet->next_boost = DT_NOEND;
	sheet->next_recorded = DT_NOEND;
	return sheet;
}

static void
read_catalog(GovSheet *sheet)
{
	GovSpi		spi;

	gov_spi_begin(&spi);
	/* what this transaction has used of windows that are over stands in no counter */
	gov_spi_push_snapshot(gov_pending_has_written() ? GOV_SNAPSHOT_LATEST : snapshot_kind(sheet));
	gov_sheet_read_carried(sheet);
	gov_spi_set_snapshot(snapshot_kind(sheet));
	gov_sheet_read_catalog(sheet);
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
}

/* Can shared memory serve the query? */
static bool
is_served(int attempt)
{
	return gov_shmem_is_available() && gov_use_cache && !RecoveryInProgress() &&
		attempt < GOV_ATTEMPTS_LIVE;
}

/*
 * Open a sheet that is right as of now, and has all that is below an entity
 * (part), or all of the owner (NULL).  If gov_live_scan() finds later that it
 * is not right any more, it is closed and opened again, which is another
 * attempt.
 */
GovSheet *
gov_sheet_open(const char *owner, uint32 owner_length, const char *part, int attempt)
{
	bool		is_live = is_served(attempt);
	bool		sees_own = !is_live || gov_changes_has_owner(owner, owner_length) ||
	gov_pending_has_rows();
	GovOwnerKey key;
	GovSheetMarks marks = {0};
	TimestampTz now = gov_clock();
	GovSheet   *sheet = NULL;
	bool		is_new;

	gov_node_owner_key_init(&key, MyDatabaseId, gov_catalog()->extension, owner, owner_length);
	if (is_live)
		gov_live_marks(&key, &marks);
	if (!sees_own)
		sheet = find_kept(&key, part, &marks, now);
	is_new = sheet == NULL;
	if (is_new)
	{
		sheet = make_sheet(&key, part, now);
		sheet->is_live = is_live;
		sheet->sees_own = sees_own;
		sheet->marks = marks;
		read_catalog(sheet);
	}
	else if (attempt == 0 && sheet->marks.installs == marks.installs &&
			 sheet->marks.unlinks == marks.unlinks)
	{
		move_to(sheet, now, false);
		return sheet;
	}
	sheet->is_whole = false;
	move_to(sheet, now, is_new);
	refresh_counts(sheet);
	sheet->is_whole = true;
	return sheet;
}

/*
 * Drop kept sheets until the others fit into governance.query_memory; those
 * used last stay.
 */
static void
trim_sheets(void)
{
	Size		most = (Size) gov_query_memory_kb * 1024;
	Size		total = 0;
	GovSheet  **link = &kept;

	while (*link != NULL)
	{
		if (total + (*link)->size > most || (*link)->catalog != gov_catalog()->generation)
			drop_sheet(link);
		else
		{
			total += (*link)->size;
			link = &(*link)->next;
		}
	}
	trimmed_to_kb = gov_query_memory_kb;
}

/* Drop the parts of an owner whose whole is about to be kept. */
static void
drop_parts(const GovSheet *whole)
{
	GovSheet  **link = &kept;

	while (*link != NULL)
	{
		if (sheet_covers(whole, &(*link)->owner, (*link)->part))
			drop_sheet(link);
		else
			link = &(*link)->next;
	}
}

static void
keep_sheet(GovSheet *sheet)
{
	sheet->size = MemoryContextMemAllocated(sheet->context, true);
	GOV_FAULT(GOV_FAULT_MEMORY);
	if (sheet->part == NULL)
		drop_parts(sheet);
	MemoryContextSetParent(sheet->context, TopMemoryContext);
	sheet->is_kept = true;
	sheet->next = kept;
	kept = sheet;
	trim_sheets();
}

/* The query is done with a sheet. */
void
gov_sheet_close(GovSheet *sheet)
{
	if (sheet->is_kept || sheet->sees_own || sheet->ncarried > 0)
	{
		if (!sheet->is_kept)
			MemoryContextDelete(sheet->context);
		if (gov_query_memory_kb < trimmed_to_kb)
			trim_sheets();
	}
	else
		keep_sheet(sheet);
}
