/*
 * load_carry.c
 *		Reads what budgets carry over from the window before, for a load.
 *
 * PURPOSE
 *		What is carried into a window depends on the one before it: on its limit, its
 *		usage, and on what was carried into that, which is used first (pure/carry.c).
 *		So a load follows the windows of a budget from the first that matters up to
 *		the one before the present, and has of that one a count of its own, which
 *		later uses of that window change (gate/carried.c).
 *
 * WHICH WINDOWS MATTER
 *		None that had ended when the budget was made, or got other windows
 *		(carry_from).  Of a budget without debts none before a window of which nothing
 *		was used: such a one carries the same, whatever was carried into it.  Where
 *		windows have been merged (usage_merge.c), none up to the end of the last of
 *		these; and nothing of a window whose limit is not known, or that had none.
 *
 * LIMITS
 *		That of a window is the one that the budget had when it ended, without
 *		boosts: from gov_limit_history, of a budget by a default that of the default.
 *
 * READING
 *		As in load_catalog.c.  The usage of a counter is read backwards, as far as it
 *		matters, and the owner's tail once, whatever is known of it: what is known
 *		says nothing of windows that are over.
 *
 * FAILURE
 *		Where the schema's owner has dropped an index the table is read through.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "base/spi.h"
#include "cache/load_steps.h"
#include "ledger/columns.h"

#define GOV_ROOM_AT_FIRST	16

/* A limit that a budget had up to a time. */
typedef struct GovPastLimit
{
	TimestampTz until;
	GovAmount	limit;
	bool		has_limit;
} GovPastLimit;

/* Usage of a window that is over. */
typedef struct GovPastUse
{
	TimestampTz start;
	GovAmount	amount;
} GovPastUse;

/* What is read of one budget, to follow its windows. */
typedef struct GovPast
{
	const GovLoad *load;
	const GovEntity *entity;
	const GovBudget *budget;
	const GovCarry *carry;
	TimestampTz from;			/* windows that had ended then do not matter */
	TimestampTz end;			/* of the window before the present one */
	GovWindow	before;			/* that */
	bool		is_first_silent;	/* of the one before those that matter nothing was
									 * used */
	int			nlimits;
	int			limits_capacity;
	GovPastLimit *limits;		/* by their times */
	int			nuses;
	int			uses_capacity;
	GovPastUse *uses;
} GovPast;

/* ---------------------------------------------------------------- rules */

/* Does a budget carry over, and how? */
static bool
read_rule(const GovRow *row, GovCarryRule *rule)
{
	AttrNumber	unused_max = gov_catalog()->assignments_carry_unused_max;
	AttrNumber	debt = gov_catalog()->assignments_carry_debt;

	if (row->counts != GOV_COUNTS_USAGE || !AttributeNumberIsValid(unused_max) ||
		!AttributeNumberIsValid(debt))
		return false;
	rule->carries_debt = !row->nulls[debt - 1] && DatumGetBool(row->values[debt - 1]);
	rule->unused_max = row->nulls[unused_max - 1] ? 0 : gov_load_sum(row->values[unused_max - 1]);
	return rule->carries_debt || !row->nulls[unused_max - 1];
}

/* When the present window of a row begins; never if that is out of range, which is raised later. */
static TimestampTz
present_start(const GovLoad *load, const GovRow *row)
{
	pg_tz	   *tz = gov_window_timezone(TextDatumGetCString(row->values[GOV_ASSIGNMENT_TIMEZONE]));
	bool		has_anchor = !row->nulls[GOV_ASSIGNMENT_ANCHOR_AT];
	TimestampTz anchor = has_anchor ? DatumGetTimestampTz(row->values[GOV_ASSIGNMENT_ANCHOR_AT]) : 0;
	GovCadence	cadence;
	GovWindow	window;

	if (tz == NULL || row->nulls[GOV_ASSIGNMENT_CADENCE] ||
		!gov_cadence_parse(TextDatumGetCString(row->values[GOV_ASSIGNMENT_CADENCE]), &cadence) ||
		!gov_window_at(&cadence, has_anchor, anchor, tz, load->now, &window))
		return DT_NOBEGIN;
	return window.start;
}

/*
 * Up to when the windows of a row carry nothing: it was made then, or its default, or
 * its entity, or was given other windows.
 */
static TimestampTz
made_at(const GovEntityRows *rows, const GovRow *row)
{
	AttrNumber	from = gov_catalog()->assignments_carry_from;
	TimestampTz at = DatumGetTimestampTz(row->values[GOV_ASSIGNMENT_CREATED_AT]);

	if (AttributeNumberIsValid(from) && !row->nulls[from - 1])
		at = Max(at, DatumGetTimestampTz(row->values[from - 1]));
	if (row->inherited != NULL)
		at = Max(at, DatumGetTimestampTz(rows->entity.values[GOV_ENTITY_CREATED_AT]));
	return at;
}

/* Find those of an entity's budgets that carry over, and add the counts of their windows before. */
void
gov_load_carries(GovLoad *load, TupleDesc desc, GovEntityRows *rows)
{
	uint32		nbudgets = rows->nbudgets;

	for (uint32 i = 0; i < nbudgets; i++)
	{
		GovRow		row = rows->budgets[i];
		GovCarryRule rule;
		GovCarry   *carry;
		pg_uuid_t  *id;

		if (likely(!read_rule(&row, &rule)))
			continue;
		load->carries = true;
		carry = palloc0(sizeof(GovCarry));
		carry->rule = rule;
		carry->since = present_start(load, &row);
		carry->made_at = made_at(rows, &row);
		id = palloc(sizeof(pg_uuid_t));
		*id = gov_carry_before_id(DatumGetUUIDP(row.values[GOV_ASSIGNMENT_ID]));
		gov_load_add_count(rows, desc, id, DatumGetInt64(row.values[GOV_ASSIGNMENT_COUNTER_ID]),
						   GOV_COUNTS_BEFORE);
		rows->budgets[i].carry = carry; /* the array may have moved */
	}
}

/*
 * What limits in force may be made of, for statements that read them: 0 of nothing but
 * their column, 1 of boosts too, 2 also of what is carried over.
 */
int
gov_load_limit_kind(void)
{
	if (AttributeNumberIsValid(gov_catalog()->assignments_carry_unused_max))
		return 2;
	return gov_load_has_boosts() ? 1 : 0;
}

/* ---------------------------------------------------------------- limits */

static void
keep_limit(GovPast *past, Relation rel, HeapTuple tuple)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Datum		values[GOV_LIMIT_COLUMNS];
	bool		nulls[GOV_LIMIT_COLUMNS];
	GovPastLimit *limit;

	for (int i = 0; i < GOV_LIMIT_COLUMNS; i++)
		values[i] = heap_getattr(tuple, i + 1, desc, &nulls[i]);
	if (past->nlimits >= past->limits_capacity)
	{
		past->limits_capacity = Max(2 * past->limits_capacity, GOV_ROOM_AT_FIRST);
		past->limits = past->limits == NULL ? palloc(sizeof(GovPastLimit) * past->limits_capacity) :
			repalloc_huge(past->limits, sizeof(GovPastLimit) * past->limits_capacity);
	}
	limit = &past->limits[past->nlimits++];
	limit->until = DatumGetTimestampTz(values[GOV_LIMIT_REPLACED_AT]);
	limit->has_limit = DatumGetBool(values[GOV_LIMIT_IS_KNOWN]) && !nulls[GOV_LIMIT_USAGE_LIMIT];
	limit->limit = limit->has_limit ? gov_load_sum(values[GOV_LIMIT_USAGE_LIMIT]) : 0;
}

/* Read the limits of a budget, or of a default, that others have replaced since a time. */
static void
scan_limits(GovPast *past, Datum owner, const pg_uuid_t *id)
{
	Oid			index = gov_catalog()->limit_history_pkey;
	Relation	rel = try_table_open(gov_catalog()->limit_history, AccessShareLock);
	ScanKeyData keys[3];
	SysScanDesc scan;
	HeapTuple	tuple;

	if (rel == NULL)
		return;
	ScanKeyEntryInitialize(&keys[0], 0, GOV_LIMIT_OWNER_ID + 1, BTEqualStrategyNumber,
						   InvalidOid, C_COLLATION_OID, F_TEXTEQ, owner);
	ScanKeyInit(&keys[1], GOV_LIMIT_ASSIGNMENT_ID + 1, BTEqualStrategyNumber, F_UUID_EQ,
				UUIDPGetDatum(id));
	ScanKeyInit(&keys[2], GOV_LIMIT_REPLACED_AT + 1, BTGreaterEqualStrategyNumber,
				F_TIMESTAMPTZ_GE, TimestampTzGetDatum(past->from));
	scan = systable_beginscan(rel, index, OidIsValid(index), GetActiveSnapshot(), 3, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		keep_limit(past, rel, tuple);
	systable_endscan(scan);
	table_close(rel, NoLock);
}

static int
compare_limits(const void *left, const void *right)
{
	TimestampTz a = ((const GovPastLimit *) left)->until;
	TimestampTz b = ((const GovPastLimit *) right)->until;

	return (a > b) - (a < b);
}

static void
read_limits(GovPast *past)
{
	const GovInherited *inherited = gov_budget_inherited(past->entity, past->budget);

	if (!OidIsValid(gov_catalog()->limit_history))
		return;
	scan_limits(past, past->load->owner,
				inherited == NULL ? &past->budget->id : &inherited->default_id);
	if (inherited != NULL)
		scan_limits(past, PointerGetDatum(cstring_to_text("")), &inherited->default_id);
	if (past->nlimits > 1)
		qsort(past->limits, past->nlimits, sizeof(GovPastLimit), compare_limits);
}

/* The limit that a window had that ended at a time; false if it had none. */
static bool
limit_at_end(const GovPast *past, TimestampTz end, GovAmount *limit)
{
	*limit = past->budget->limit;
	for (int i = 0; i < past->nlimits; i++)
	{
		if (past->limits[i].until < end)
			continue;
		*limit = past->limits[i].limit;
		return past->limits[i].has_limit;
	}
	return past->budget->has_limit;
}

/* ---------------------------------------------------------------- usage */

static void
keep_use(GovPast *past, TimestampTz start, GovAmount amount)
{
	if (past->nuses >= past->uses_capacity)
	{
		past->uses_capacity = Max(2 * past->uses_capacity, GOV_ROOM_AT_FIRST);
		past->uses = past->uses == NULL ? palloc(sizeof(GovPastUse) * past->uses_capacity) :
			repalloc_huge(past->uses, sizeof(GovPastUse) * past->uses_capacity);
	}
	past->uses[past->nuses++] = (GovPastUse) {start, amount};
}

/* Keep what the tail has of windows that matter, and of the one before the present in any case. */
static void
keep_tail(GovPast *past, const GovTally *tail)
{
	uint32		position = 0;
	const GovTallied *entry;

	while ((entry = gov_tally_next(tail, &position)) != NULL)
	{
		if (entry->key.counter_id == past->budget->counter_id && !entry->is_drawn &&
			entry->key.window_start < past->end &&
			(entry->window_end > past->from || entry->key.window_start >= past->before.start))
			keep_use(past, entry->key.window_start, entry->amount);
	}
}

/* Is something in the tail, which has the first so many uses, of windows in a span? */
static bool
has_tail_in(const GovPast *past, int ntail, TimestampTz from, TimestampTz until)
{
	for (int i = 0; i < ntail; i++)
	{
		if (past->uses[i].start >= from && past->uses[i].start < until)
			return true;
	}
	return false;
}

static bool
is_merged(HeapTuple tuple, TupleDesc desc)
{
	AttrNumber	merged = gov_catalog()->usage_merged_windows;
	bool		isnull;
	Datum		value;

	if (!AttributeNumberIsValid(merged))
		return false;
	value = heap_getattr(tuple, merged, desc, &isnull);
	return !isnull && DatumGetInt64(value) > 1;
}

/*
 * Keep a row of gov_usage, those of later windows having been kept; false if neither
 * that nor earlier ones matter.
 */
static bool
keep_row(GovPast *past, HeapTuple tuple, TupleDesc desc, int ntail, TimestampTz *next_start)
{
	bool		isnull;
	TimestampTz start = DatumGetTimestampTz(heap_getattr(tuple, GOV_USAGE_WINDOW_START + 1, desc, &isnull));
	TimestampTz end = DatumGetTimestampTz(heap_getattr(tuple, GOV_USAGE_WINDOW_END + 1, desc, &isnull));

	if (end <= past->from && start < past->before.start)
		return false;
	if (is_merged(tuple, desc))
	{
		past->from = Max(past->from, end);
		return false;
	}
	if (start < past->before.start)
	{
		if (!past->carry->rule.carries_debt && end < *next_start &&
			!has_tail_in(past, ntail, end, *next_start) && *next_start > past->from)
		{
			past->is_first_silent = true;
			past->from = Max(past->from, *next_start);
			return false;
		}
		*next_start = Min(*next_start, start);
	}
	keep_use(past, start, gov_load_sum(heap_getattr(tuple, GOV_USAGE_AMOUNT + 1, desc, &isnull)));
	return true;
}

/* Keep what is rolled up, the last first; what does not matter is told apart without the index too. */
static void
keep_usage(GovPast *past)
{
	Relation	rel = try_table_open(gov_catalog()->usage, AccessShareLock);
	Oid			index_id = gov_catalog()->usage_pkey;
	Relation	index = OidIsValid(index_id) ? try_relation_open(index_id, AccessShareLock) : NULL;
	int			ntail = past->nuses;
	TimestampTz next_start = past->before.start;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	if (rel == NULL || index == NULL)
		gov_error_dropped();
	ScanKeyInit(&keys[0], GOV_USAGE_COUNTER_ID + 1, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(past->budget->counter_id));
	ScanKeyInit(&keys[1], GOV_USAGE_WINDOW_START + 1, BTLessStrategyNumber, F_TIMESTAMPTZ_LT,
				TimestampTzGetDatum(past->end));
	scan = systable_beginscan_ordered(rel, index, GetActiveSnapshot(), 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, BackwardScanDirection)))
	{
		CHECK_FOR_INTERRUPTS();
		if (!keep_row(past, tuple, RelationGetDescr(rel), ntail, &next_start))
			break;
	}
	systable_endscan_ordered(scan);
	relation_close(index, NoLock);
	table_close(rel, NoLock);
}

static int
compare_uses(const void *left, const void *right)
{
	TimestampTz a = ((const GovPastUse *) left)->start;
	TimestampTz b = ((const GovPastUse *) right)->start;

	return (a > b) - (a < b);
}

/* ---------------------------------------------------------------- windows */

/* The window of the budget that holds a time. */
static GovWindow
window_at(const GovPast *past, TimestampTz at)
{
	GovWindow	window;

	if (!gov_entity_budget_window(past->entity, past->budget, at, &window))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("cannot compute an earlier window of budget \"%s\" of entity \"%s\"",
						gov_error_shown(gov_entity_string(past->entity, past->budget->name)),
						gov_error_shown(gov_entity_id(past->entity)->bytes)),
				 errhint("Change the cadence, anchor_at or timezone of that budget.")));
	return window;
}

/* What is carried on by a window that had so much carried into it. */
static GovAmount
carry_on(const GovPast *past, TimestampTz end, GovAmount carried, GovAmount used)
{
	GovAmount	limit;

	if (!limit_at_end(past, end, &limit))
		return 0;
	return gov_carry_next(&past->carry->rule, limit, carried, used);
}

/* Has the budget had one limit all the time between two? */
static bool
has_one_limit(const GovPast *past, TimestampTz from, TimestampTz until)
{
	for (int i = 0; i < past->nlimits; i++)
	{
		if (past->limits[i].until >= from && past->limits[i].until < until)
			return false;
	}
	return true;
}

/* How long each window is, if all are equally long; else 0. */
static int64
window_length(const GovCadence *cadence)
{
	switch (cadence->unit)
	{
		case GOV_CADENCE_HOUR:
			return cadence->count * USECS_PER_HOUR;
		case GOV_CADENCE_MINUTE:
			return cadence->count * USECS_PER_MINUTE;
		case GOV_CADENCE_SECOND:
			return cadence->count * USECS_PER_SEC;
		default:
			return 0;
	}
}

/*
 * What is carried past windows of which nothing was used.  Without a debt each carries
 * the same, so the last one decides; a debt is paid window by window.
 */
static GovAmount
carry_past_silent(const GovPast *past, GovWindow window, TimestampTz until, GovAmount carried)
{
	int64		length = window_length(&past->budget->cadence);
	GovAmount	limit;

	while (window.start < until && carried < 0)
	{
		CHECK_FOR_INTERRUPTS();
		if (length > 0 && has_one_limit(past, window.end, until) &&
			limit_at_end(past, window.end, &limit))
			return gov_carry_silent(&past->carry->rule, limit, carried, (until - window.start) / length);
		carried = carry_on(past, window.end, carried, 0);
		window = window_at(past, window.end);
	}
	return window.start < until ? carry_on(past, until, 0, 0) : carried;
}

/* Follow the windows up to the one before the present: what is carried into it. */
static GovAmount
follow_windows(GovPast *past)
{
	GovWindow	window = window_at(past, past->from);
	GovAmount	carried = past->is_first_silent ? carry_on(past, window.start, 0, 0) : 0;
	int			i = 0;

	while (i < past->nuses && past->uses[i].start < window.start)
		i++;
	while (window.start < past->before.start)
	{
		GovAmount	used = 0;
		TimestampTz next;

		CHECK_FOR_INTERRUPTS();
		for (; i < past->nuses && past->uses[i].start < window.end; i++)
			used += past->uses[i].amount;
		carried = carry_on(past, window.end, carried, used);
		next = i < past->nuses ? Min(past->uses[i].start, past->before.start) : past->before.start;
		window = window_at(past, window.end);
		if (next < window.end)
			continue;
		next = window_at(past, next).start;
		carried = carry_past_silent(past, window, next, carried);
		window = window_at(past, next);
	}
	return carried;
}

/* ---------------------------------------------------------------- counts */

/* Make the count of the window before the one that ends the past. */
static void
make_before(GovPast *past, const GovTally *tail, GovSharedCounter *before)
{
	GovAmount	limit;

	past->before = window_at(past, past->end - 1);
	past->from = Max(past->from, DT_NOBEGIN + 1);
	before->id = past->budget->counter_id;
	before->is_before = true;
	before->stays = true;
	before->window = past->before;
	before->held = GOV_CARRIES_NOTHING;
	keep_tail(past, tail);
	keep_usage(past);
	qsort(past->uses, past->nuses, sizeof(GovPastUse), compare_uses);
	for (int i = past->nuses; i > 0 && past->uses[i - 1].start >= past->before.start; i--)
		before->total += past->uses[i - 1].amount;
	before->booked = before->total;
	if (past->from >= past->end)
		return;
	if (limit_at_end(past, past->end, &limit))
		before->held = limit;
	before->covered = follow_windows(past);
}

/* Load what a budget carries over. */
static void
load_carried(GovLoad *load, GovLoaded *item, uint32 b, const GovTally *tail)
{
	GovEntity  *entity = item->entity;
	GovCarry   *carry = unconstify(GovCarry *, gov_budget_carry(entity, &entity->budgets[b]));
	GovSharedCounter *before = &item->counters[carry->before];
	GovPast		past = {
		.load = load,
		.entity = entity,
		.budget = &entity->budgets[b],
		.carry = carry,
		.from = carry->made_at,
		.end = before->is_before ? before->window.end : carry->since
	};

	past.uses = NULL;
	past.limits = NULL;
	read_limits(&past);
	carry->had_limit = limit_at_end(&past, carry->since, &carry->limit_before);
	make_before(&past, tail, before);
}

/* Fill in what the budgets of each item carry over, and the counts of their windows before. */
void
gov_load_carried(GovLoad *load)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "governance load carried",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	GovTally   *tail;

	if (load->has_own)
		gov_spi_set_snapshot(GOV_SNAPSHOT_LATEST);
	tail = gov_load_tail(load->key, gov_load_watermark(), context);
	for (int i = 0; i < load->count; i++)
	{
		GovLoaded  *item = &load->items[i];

		for (uint32 b = 0; b < (item->entity ? item->entity->nbudgets : 0); b++)
		{
			if (unlikely(gov_budget_carry(item->entity, &item->entity->budgets[b]) != NULL))
				load_carried(load, item, b, tail);
		}
	}
	if (load->has_own)
		gov_spi_set_snapshot(GOV_SNAPSHOT_COMMITTED);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}
