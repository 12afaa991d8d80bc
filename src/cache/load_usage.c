/*
 * load_usage.c
 *		Reads the rolled-up usage of counters, for a load.
 *
 * CLOCK
 *		A counter gets the window of the present time.  Usage in a later one
 *		means that the clock was ahead when it was recorded, or another
 *		machine's was, before a promotion; it counts when that window comes, for
 *		which the counter notes that there is one (clock.c).
 *
 * OPENED WINDOWS
 *		A budget whose windows begin with a first use has the present one if some
 *		row says so; else it has none.
 *
 * SLIDING WINDOWS
 *		A budget whose window slides has the grains of the last cadence.  Those
 *		that have left are soon merged to a row of a day (usage_slide.c).  If the
 *		clock was set back since, such a row may cover what has not left; then all
 *		of it counts until the last of it leaves, as below.
 *
 * MERGED WINDOWS
 *		Short windows are merged into days long after they have ended
 *		(usage_merge.c).  If the clock was ahead by more than that and is set
 *		back, the present window may be one of a merged row, which only the
 *		whole is known of.  Then all of it counts in the window, and in the
 *		later ones that the row covers: too much rather than nothing, so that
 *		no limit is passed.
 *
 *		Such a row is looked for only where there can be one.  No merged row
 *		ends after the greatest end that the session has read once, or that
 *		whoever merges has told since (gov_shared).  A standby is told nothing,
 *		and reads it anew.
 *
 * FAILURE
 *		Where the schema's owner has dropped an index the table is read through.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/pg_collation.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/lookup.h"
#include "cache/load_steps.h"
#include "cache/ring.h"
#include "ledger/columns.h"

/* Windows that are longer stay as they are. */
#define GOV_MERGED_WINDOW_MAX	(12 * USECS_PER_HOUR)

/* A row of gov_usage. */
typedef struct GovUsageRow
{
	GovWindow	window;
	GovAmount	amount;
	bool		is_merged;		/* of several windows, or rows */
} GovUsageRow;

static void
add_amount(GovSharedCounter *counter, GovAmount amount)
{
	if (!gov_amount_add(counter->total, amount, &counter->total))
		gov_error_stored_amount();
}

/*
 * Count usage of a window that a first use has opened, if it is open still.  Of
 * several the last one counts.
 */
static void
count_opened(GovSharedCounter *counter, const GovWindow *window, GovAmount amount,
			 TimestampTz now)
{
	if (window->end <= now || window->start < counter->window.start ||
		window->start > now + GOV_OPENED_AHEAD)
		return;
	if (window->start > counter->window.start)
	{
		counter->window = *window;
		counter->stays = true;
		counter->total = 0;
	}
	add_amount(counter, amount);
}

/* Count usage that is of the counter's window; note whether there is a later one. */
void
gov_load_count_usage(const GovLoad *load, const GovWanted *wanted, const GovWindow *window,
					 GovAmount amount)
{
	GovSharedCounter *counter = wanted->counter;

	if (gov_budget_slides(wanted->budget))
	{
		gov_ring_load(counter, window, amount);
		return;
	}
	if (gov_budget_opens(wanted->budget))
	{
		count_opened(counter, window, amount, load->now);
		return;
	}
	if (window->start == counter->window.start)
		add_amount(counter, amount);
	if (window->start > counter->window.start)
		counter->has_later = true;
}

/* Take a row apart; false if it is another owner's. */
static bool
read_row(Relation rel, HeapTuple row, Datum owner, GovUsageRow *usage)
{
	TupleDesc	desc = RelationGetDescr(rel);
	AttrNumber	merged = gov_catalog()->usage_merged_windows;
	Datum		value = heap_getattr(row, GOV_USAGE_OWNER_ID + 1, desc, &usage->is_merged);

	if (!DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, value, owner)))
		return false;
	value = heap_getattr(row, GOV_USAGE_WINDOW_START + 1, desc, &usage->is_merged);
	usage->window.start = DatumGetTimestampTz(value);
	value = heap_getattr(row, GOV_USAGE_WINDOW_END + 1, desc, &usage->is_merged);
	usage->window.end = DatumGetTimestampTz(value);
	value = heap_getattr(row, GOV_USAGE_AMOUNT + 1, desc, &usage->is_merged);
	usage->amount = gov_load_sum(value);
	usage->is_merged = false;
	if (AttributeNumberIsValid(merged))
	{
		bool		isnull;

		value = heap_getattr(row, merged, desc, &isnull);
		usage->is_merged = !isnull && DatumGetInt64(value) > 1;
	}
	return true;
}

/* Count a row from the day of the counter's window on, if it is of that window or a later one. */
static void
count_row(const GovLoad *load, const GovWanted *wanted, const GovUsageRow *usage)
{
	GovSharedCounter *counter = wanted->counter;
	GovWindow	window = usage->window;
	bool		has_later = usage->is_merged && window.end > counter->window.end &&
	!gov_budget_is_timed(wanted->budget);

	if (gov_budget_slides(wanted->budget))
	{
		gov_ring_load(counter, &window, usage->amount);
		return;
	}
	if (window.start < counter->window.start)
	{
		if (!usage->is_merged || window.end <= counter->window.start)
			return;
		window.start = counter->window.start;	/* the row covers the window */
	}
	gov_load_count_usage(load, wanted, &window, usage->amount);
	counter->has_later |= has_later;
}

/* Read the usage of a counter from a time on, which is no later than its window. */
static void
read_from(Relation rel, const GovLoad *load, const GovWanted *wanted, TimestampTz from)
{
	Oid			index = gov_catalog()->usage_pkey;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	row;
	GovUsageRow usage;

	ScanKeyInit(&keys[0], GOV_USAGE_COUNTER_ID + 1, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(wanted->counter->id));
	ScanKeyInit(&keys[1], GOV_USAGE_WINDOW_START + 1, BTGreaterEqualStrategyNumber,
				F_TIMESTAMPTZ_GE, TimestampTzGetDatum(from));
	scan = systable_beginscan(rel, index, OidIsValid(index), GetActiveSnapshot(), 2, keys);
	while (HeapTupleIsValid(row = systable_getnext(scan)))
	{
		if (read_row(rel, row, load->owner, &usage))
			count_row(load, wanted, &usage);
	}
	systable_endscan(scan);
}

/* The greatest end of a row that was looked at to be merged. */
static TimestampTz
read_merged_until(Relation rel)
{
	Datum		end;
	bool		is_empty;

	if (!gov_lookup_last(rel, gov_catalog()->usage_merged, GOV_USAGE_WINDOW_END + 1,
						 &end, &is_empty))
		return DT_NOEND;
	return is_empty ? DT_NOBEGIN : DatumGetTimestampTz(end);
}

/*
 * The time after which no merged row ends.  Read once a session; after that,
 * whoever merges tells.
 */
static TimestampTz
merged_until(Relation rel)
{
	static TimestampTz known = DT_NOBEGIN;
	static uint64 generation = 0;
	TimestampTz told;

	if (!AttributeNumberIsValid(gov_catalog()->usage_merged_windows))
		return DT_NOBEGIN;
	if (!gov_shmem_is_available() || RecoveryInProgress())
		return read_merged_until(rel);
	if (generation != gov_catalog()->generation)
	{
		known = Max(known, read_merged_until(rel));
		generation = gov_catalog()->generation;
	}
	told = (TimestampTz) pg_atomic_read_u64(gov_shmem_merged_until(MyDatabaseId));
	return Max(known, told);
}

/*
 * From where on rows may count in the window: from its start, or, where a merged
 * row may cover it, from the start of the day that it starts in.
 */
static TimestampTz
first_start(Relation rel, const GovWindow *window)
{
	if (TIMESTAMP_NOT_FINITE(window->start) || TIMESTAMP_NOT_FINITE(window->end) ||
		window->end - window->start > GOV_MERGED_WINDOW_MAX ||
		window->start >= merged_until(rel))
		return window->start;
	return gov_clock_day(window->start);
}

/* Likewise, of a counter that is to be read. */
static TimestampTz
first_start_of(Relation rel, const GovLoad *load, const GovWanted *wanted)
{
	if (gov_budget_slides(wanted->budget))
		return gov_clock_day(wanted->counter->window.start - gov_window_span(&wanted->budget->cadence));
	if (gov_budget_opens(wanted->budget))
		return gov_clock_day(gov_window_reach(&wanted->budget->cadence, load->now));
	return first_start(rel, &wanted->counter->window);
}

/* Count what was drawn from a grant, or is owed. */
static void
read_drawn(Relation rel, const GovBudget *budget, GovSharedCounter *counter)
{
	Oid			index = gov_catalog()->grant_usage_pkey;
	TupleDesc	desc = RelationGetDescr(rel);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;
	bool		isnull;

	ScanKeyInit(&key, GOV_GRANT_USAGE_COUNTER_ID + 1, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(counter->id));
	scan = systable_beginscan(rel, index, OidIsValid(index), GetActiveSnapshot(), 1, &key);
	if (HeapTupleIsValid(row = systable_getnext(scan)))
	{
		counter->total = gov_load_sum(heap_getattr(row, GOV_GRANT_USAGE_AMOUNT + 1, desc, &isnull));
		if (budget->counts == GOV_COUNTS_DEBT)
			counter->window.end = Max(counter->window.end,
									  DatumGetTimestampTz(heap_getattr(row, GOV_GRANT_USAGE_LAST_AT + 1, desc, &isnull)));
	}
	systable_endscan(scan);
}

/* Count what was drawn from the grants among what is to be read. */
static void
read_grants(const GovReading *reading)
{
	Relation	rel = try_table_open(gov_catalog()->grant_usage, AccessShareLock);

	if (rel == NULL)
		gov_error_dropped();
	for (int i = 0; i < reading->count; i++)
	{
		if (reading->list[i].budget->counts != GOV_COUNTS_USAGE &&
			!gov_budget_is_before(reading->list[i].budget))
			read_drawn(rel, reading->list[i].budget, reading->list[i].counter);
	}
	table_close(rel, NoLock);
}

/* Count the rolled-up usage of what is to be read. */
void
gov_load_usage(const GovReading *reading)
{
	Relation	rel = try_table_open(gov_catalog()->usage, AccessShareLock);

	if (rel == NULL)
		gov_error_dropped();
	for (int i = 0; i < reading->count; i++)
	{
		const GovWanted *wanted = &reading->list[i];

		if (unlikely(wanted->budget->counts != GOV_COUNTS_USAGE))
			continue;
		read_from(rel, reading->load, wanted, first_start_of(rel, reading->load, wanted));
	}
	table_close(rel, NoLock);
	if (unlikely(reading->load->has_pools))
		read_grants(reading);
}
