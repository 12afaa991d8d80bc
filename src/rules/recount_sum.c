/*
 * recount_sum.c
 *		Adds the ledger up again for one budget.
 *
 * PURPOSE
 *		An event counts if it is of the budget's capability, occurred late enough,
 *		and has an entity of each of some sets among those that it was resolved
 *		to.  It counts in the window that the budget's present rule has for the
 *		time when it occurred.  Half a million rows are read in less than half a
 *		second, so this is below SQL.
 *
 * LAYOUT
 *		Two hash tables: of ids, with a bit for each set that has them, and of
 *		windows.
 *
 * FAILURE
 *		XX001 for a row that the engine cannot have written.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/errors.h"
#include "ledger/columns.h"
#include "pure/bytes.h"
#include "rules/recount_sum.h"

typedef struct GovIdKey
{
	const char *bytes;
	uint32		length;
} GovIdKey;

typedef struct GovMember
{
	GovIdKey	id;
	uint64		sets;			/* a bit for each that it is in */
	bool		was_met;		/* in an event that counts */
	char		status;			/* the table's */
} GovMember;

#define SH_PREFIX member
#define SH_ELEMENT_TYPE GovMember
#define SH_KEY_TYPE GovIdKey
#define SH_KEY id
#define SH_HASH_KEY(tb, key) hash_bytes((const unsigned char *) (key).bytes, (key).length)
#define SH_EQUAL(tb, a, b) gov_bytes_equal((a).bytes, (a).length, (b).bytes, (b).length)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

#define SH_PREFIX recounted
#define SH_ELEMENT_TYPE GovRecounted
#define SH_KEY_TYPE TimestampTz
#define SH_KEY start
#define SH_HASH_KEY(tb, key) (murmurhash32((uint32) (key)) ^ murmurhash32((uint32) ((uint64) (key) >> 32)))
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct GovRecountSum
{
	MemoryContext context;
	GovRecountRule rule;
	text	   *capability;
	TimestampTz since;
	member_hash *members;
	uint64		all_sets;
	recounted_hash *windows;
	GovWindow	last;			/* the window of the event before */
	int64		nevents;
	int64		watched_counter;	/* 0: none is */
	TimestampTz watched_start;
	GovAmount	watched_amount; /* that rows have charged to it */
};

/* The rule that the columns of a budget make; a null cadence is 0. */
void
gov_recount_rule(GovRecountRule *rule, Datum cadence, bool has_anchor, Datum anchor,
				 Datum timezone)
{
	rule->cadence.unit = GOV_CADENCE_NONE;
	rule->cadence.count = 0;
	if (cadence != (Datum) 0 && !gov_cadence_parse(TextDatumGetCString(cadence), &rule->cadence))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("stored cadence \"%s\" is malformed",
						gov_error_shown(TextDatumGetCString(cadence)))));
	rule->has_anchor = has_anchor;
	rule->anchor = has_anchor ? DatumGetTimestampTz(anchor) : 0;
	rule->tz = gov_window_timezone(TextDatumGetCString(timezone));
}

/*
 * The window of a time.  One that cannot be computed would begin before the first
 * time that there is: it has all that came before, as for a late event
 * (call/record.c).
 */
GovWindow
gov_recount_window(const GovRecountRule *rule, TimestampTz at)
{
	GovWindow	window;

	if (rule->tz != NULL && !TIMESTAMP_NOT_FINITE(at) &&
		gov_window_at(&rule->cadence, rule->has_anchor, rule->anchor, rule->tz, at, &window))
		return window;
	TIMESTAMP_NOBEGIN(window.start);
	window.end = at + 1;
	return window;
}

/* Begin, in the current memory context: nothing is counted before a time. */
GovRecountSum *
gov_recount_sum_begin(const GovRecountRule *rule, text *capability, TimestampTz since)
{
	GovRecountSum *sum = palloc0(sizeof(GovRecountSum));

	sum->context = CurrentMemoryContext;
	sum->rule = *rule;
	sum->capability = capability;
	sum->since = since;
	sum->members = member_create(sum->context, 16, NULL);
	sum->windows = recounted_create(sum->context, 16, NULL);
	return sum;
}

/* An entity is in a set, of which there are 64 at most. */
void
gov_recount_sum_add_member(GovRecountSum *sum, const char *id, uint32 length, int set)
{
	MemoryContext caller = MemoryContextSwitchTo(sum->context);
	GovIdKey	key = {id, length};
	bool		found;
	GovMember  *member = member_lookup(sum->members, key);

	Assert(set >= 0 && set < 64);
	if (member == NULL)
	{
		key.bytes = pnstrdup(id, length);
		member = member_insert(sum->members, key, &found);
		member->sets = 0;
		member->was_met = false;
	}
	member->sets |= UINT64CONST(1) << set;
	sum->all_sets |= UINT64CONST(1) << set;
	MemoryContextSwitchTo(caller);
}

/* An event counts that has a member of each of so many sets, whether these have any or not. */
void
gov_recount_sum_require_sets(GovRecountSum *sum, int nsets)
{
	Assert(nsets > 0 && nsets <= 64);
	sum->all_sets = PG_UINT64_MAX >> (64 - nsets);
}

/* Look the entities of an event up; returns the sets that they are in. */
static uint64
find_sets(GovRecountSum *sum, Datum list, bool notes_met)
{
	Datum	   *ids;
	bool	   *nulls;
	int			nids;
	uint64		sets = 0;

	deconstruct_array(DatumGetArrayTypeP(list), TEXTOID, -1, false, TYPALIGN_INT,
					  &ids, &nulls, &nids);
	for (int i = 0; i < nids; i++)
	{
		text	   *id = nulls[i] ? NULL : DatumGetTextPP(ids[i]);
		GovIdKey	key;
		GovMember  *member;

		if (id == NULL)
			continue;
		key.bytes = VARDATA_ANY(id);
		key.length = VARSIZE_ANY_EXHDR(id);
		member = member_lookup(sum->members, key);
		if (member == NULL)
			continue;
		sets |= member->sets;
		member->was_met |= notes_met;
	}
	return sets;
}

/* Does an event count? */
static bool
is_counted(GovRecountSum *sum, const Datum *values, const bool *nulls)
{
	if (nulls[GOV_EVENT_OCCURRED_AT] || nulls[GOV_EVENT_CAPABILITY_ID] ||
		nulls[GOV_EVENT_ENTITY_IDS] || nulls[GOV_EVENT_AMOUNT])
		return false;
	return DatumGetTimestampTz(values[GOV_EVENT_OCCURRED_AT]) >= sum->since &&
		gov_bytes_same(DatumGetTextPP(values[GOV_EVENT_CAPABILITY_ID]), sum->capability) &&
		find_sets(sum, values[GOV_EVENT_ENTITY_IDS], false) == sum->all_sets;
}

/* The sum of the window that a time falls into. */
static GovRecounted *
window_of(GovRecountSum *sum, TimestampTz at)
{
	MemoryContext caller = MemoryContextSwitchTo(sum->context);
	GovRecounted *window;
	bool		found;

	if (at < sum->last.start || at >= sum->last.end)
		sum->last = gov_recount_window(&sum->rule, at);
	window = recounted_insert(sum->windows, sum->last.start, &found);
	if (!found)
	{
		window->end = sum->last.end;
		window->amount = 0;
		window->event_count = 0;
	}
	window->end = Max(window->end, sum->last.end);
	MemoryContextSwitchTo(caller);
	return window;
}

/* One column of a row's charges: bigint, or as large. */
static const int64 *
charges_of(const Datum *values, const bool *nulls, int column, int *count)
{
	ArrayType  *array = nulls[column] ? NULL : DatumGetArrayTypeP(values[column]);

	*count = array == NULL || ARR_HASNULL(array) ? 0 :
		ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	return *count == 0 ? NULL : (const int64 *) ARR_DATA_PTR(array);
}

/* Add what a row has charged to the watched counter in its window. */
static void
watch_row(GovRecountSum *sum, const Datum *values, const bool *nulls)
{
	int			nids;
	int			nstarts;
	const int64 *ids = charges_of(values, nulls, GOV_EVENT_COUNTER_IDS, &nids);
	const int64 *starts = charges_of(values, nulls, GOV_EVENT_WINDOW_STARTS, &nstarts);
	GovAmount	amount;

	for (int i = 0; i < Min(nids, nstarts); i++)
	{
		if (ids[i] == sum->watched_counter && starts[i] == sum->watched_start &&
			(gov_amount_from_numeric(DatumGetNumeric(values[GOV_EVENT_AMOUNT]), &amount) != GOV_AMOUNT_OK ||
			 !gov_amount_add(sum->watched_amount, amount, &sum->watched_amount)))
			gov_error_stored_amount();
	}
}

static bool
add_event(const Datum *values, const bool *nulls, void *state)
{
	GovRecountSum *sum = state;
	GovRecounted *window;
	GovAmount	amount;

	if (sum->watched_counter != 0)
		watch_row(sum, values, nulls);
	if (!is_counted(sum, values, nulls))
		return true;
	(void) find_sets(sum, values[GOV_EVENT_ENTITY_IDS], true);
	window = window_of(sum, DatumGetTimestampTz(values[GOV_EVENT_OCCURRED_AT]));
	if (gov_amount_from_numeric(DatumGetNumeric(values[GOV_EVENT_AMOUNT]), &amount) != GOV_AMOUNT_OK ||
		!gov_amount_add(window->amount, amount, &window->amount))
		gov_error_stored_amount();
	window->event_count++;
	sum->nevents++;
	return true;
}

/* From here on, add up what rows have charged to a counter in a window. */
void
gov_recount_sum_watch(GovRecountSum *sum, int64 counter_id, TimestampTz start)
{
	sum->watched_counter = counter_id;
	sum->watched_start = start;
	sum->watched_amount = 0;
}

GovAmount
gov_recount_sum_watched(const GovRecountSum *sum)
{
	return sum->watched_amount;
}

/* Add a range of the ledger. */
void
gov_recount_sum_add(GovRecountSum *sum, const GovTallyRange *range)
{
	gov_tally_scan(range, add_event, sum);
}

/*
 * The members that events which count have, each with the number of a set that
 * has it; one that is in several sets stands once for each.
 */
void
gov_recount_sum_members(const GovRecountSum *sum, ArrayType **ids, ArrayType **sets)
{
	ArrayBuildState *id_state = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	ArrayBuildState *set_state = initArrayResult(INT4OID, CurrentMemoryContext, false);
	member_iterator iterator;
	GovMember  *member;

	member_start_iterate(sum->members, &iterator);
	while ((member = member_iterate(sum->members, &iterator)) != NULL)
	{
		for (int set = 0; set < 64 && member->was_met; set++)
		{
			if ((member->sets & (UINT64CONST(1) << set)) == 0)
				continue;
			accumArrayResult(id_state,
							 PointerGetDatum(cstring_to_text_with_len(member->id.bytes,
																	  member->id.length)),
							 false, TEXTOID, CurrentMemoryContext);
			accumArrayResult(set_state, Int32GetDatum(set + 1), false, INT4OID,
							 CurrentMemoryContext);
		}
	}
	*ids = DatumGetArrayTypeP(makeArrayResult(id_state, CurrentMemoryContext));
	*sets = DatumGetArrayTypeP(makeArrayResult(set_state, CurrentMemoryContext));
}

/* How many windows have been used? */
uint32
gov_recount_sum_count(const GovRecountSum *sum)
{
	return sum->windows->members;
}

/* How many events count? */
int64
gov_recount_sum_events(const GovRecountSum *sum)
{
	return sum->nevents;
}

/* The next window from a position on, which is 0 at first; NULL after the last. */
const GovRecounted *
gov_recount_sum_next(const GovRecountSum *sum, uint32 *position)
{
	while (*position < sum->windows->size)
	{
		const GovRecounted *window = &sum->windows->data[(*position)++];

		if (window->status == recounted_SH_IN_USE)
			return window;
	}
	return NULL;
}

/* The window that starts at a time; NULL if it was not used. */
const GovRecounted *
gov_recount_sum_find(const GovRecountSum *sum, TimestampTz start)
{
	return recounted_lookup(sum->windows, start);
}
