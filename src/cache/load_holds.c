/*
 * load_holds.c
 *		Reads the open holds of budgets, for a load.
 *
 * WHICH COUNT
 *		The counters in shared memory have every open hold, whatever its time:
 *		only the change of its state takes it out, for everybody at once.  A
 *		check that answers from the tables leaves out those past their time.
 *
 * READING
 *		Most owners have no open hold, or a few: they are found by the index of
 *		an owner's open holds, below SPI.  Where there are more those of the
 *		wanted budgets are asked for, by an index of budgets whose condition is
 *		written as no other index has it, so that no other can serve the
 *		statement.  Many budgets are asked for in parts: what an index of arrays
 *		does with a list of keys grows with its square.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "storage/bufmgr.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/errors.h"
#include "cache/load_steps.h"
#include "ledger/columns.h"
#include "ledger/hold_amounts.h"

#define GOV_HOLDS_FEW		16	/* entries of the index, dead ones included */
#define GOV_HOLDS_BUDGETS	64	/* that are asked for at once */

#define HOLDS_QUERY(assignment_amounts) \
	{ \
		.sql = \
		"select v.amount, v.assignment_ids, " assignment_amounts " from @gov_reservations v" \
		" where v.assignment_ids && $1 and v.state >= 'open' and v.state <= 'open'" \
		"  and v.owner_id = $2 and v.expires_at > $3", \
		.uses_bitmap = true, \
		.nargs = 3, \
		.argtypes = {UUIDARRAYOID, TEXTOID, TIMESTAMPTZOID} \
	}

static GovQuery holds_query = HOLDS_QUERY("v.assignment_amounts");
static GovQuery holds_1_0_query = HOLDS_QUERY("null::numeric[]");

/* A part of what is to be read, sorted by budget. */
typedef struct GovHoldsPart
{
	GovLoad    *load;
	GovWanted  *list;
	int			count;
} GovHoldsPart;

static int
compare_budgets(const void *left, const void *right)
{
	return memcmp(((const GovWanted *) left)->budget->id.data,
				  ((const GovWanted *) right)->budget->id.data, UUID_LEN);
}

/* Count a hold on those of its budgets that are in the part. */
static void
count_hold(const GovHoldsPart *part, const GovHoldColumns *columns)
{
	GovHoldAmounts hold;

	gov_hold_amounts_read(columns, &hold);
	if (hold.are_bad)
		gov_error_stored_amount();
	for (int i = 0; i < hold.count; i++)
	{
		GovBudget	key = {.id = *DatumGetUUIDP(hold.ids[i])};
		GovWanted	sought = {.budget = &key};
		GovWanted  *found = bsearch(&sought, part->list, part->count, sizeof(GovWanted),
									compare_budgets);

		if (found == NULL)
			continue;
		if (!gov_amount_add(found->counter->held, hold.amounts[i], &found->counter->held))
			gov_error_stored_amount();
		part->load->holds_met = true;
	}
}

/*
 * Find where the owner's open holds are that count; false if they are not few.
 */
static bool
find_few(Relation rel, Datum owner, TimestampTz after, ItemPointerData *tids, int *ntids)
{
	Relation	index = index_open(gov_catalog()->reservations_open, AccessShareLock);
	IndexScanDesc scan = gov_index_beginscan(rel, index, GetActiveSnapshot(), 2);
	ScanKeyData keys[2];
	ItemPointer tid;
	bool		are_few = true;

	ScanKeyEntryInitialize(&keys[0], 0, 1, BTEqualStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_TEXTEQ, owner);
	ScanKeyInit(&keys[1], 2, BTGreaterStrategyNumber, F_TIMESTAMPTZ_GT,
				TimestampTzGetDatum(after));
	index_rescan(scan, keys, 2, NULL, 0);
	*ntids = 0;
	while (are_few && (tid = index_getnext_tid(scan, ForwardScanDirection)) != NULL)
	{
		are_few = *ntids < GOV_HOLDS_FEW;
		if (are_few)
			tids[(*ntids)++] = *tid;
	}
	index_endscan(scan);
	index_close(index, NoLock);
	return are_few;
}

/* Count the holds at some places, as far as the snapshot has them. */
static void
count_at(Relation rel, const GovHoldsPart *part, ItemPointerData *tids, int ntids)
{
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	IndexFetchTableData *fetch = table_index_fetch_begin(rel);
	AttrNumber	amounts = gov_catalog()->reservations_assignment_amounts;

	for (int i = 0; i < ntids; i++)
	{
		GovHoldColumns columns = {0};
		bool		call_again = false;
		bool		all_dead = false;

		if (!table_index_fetch_tuple(fetch, &tids[i], GetActiveSnapshot(), slot,
									 &call_again, &all_dead))
			continue;
		slot_getallattrs(slot);
		columns.amount = slot->tts_values[GOV_HOLD_AMOUNT];
		columns.assignment_ids = slot->tts_values[GOV_HOLD_ASSIGNMENT_IDS];
		columns.has_amounts = AttributeNumberIsValid(amounts) && !slot->tts_isnull[amounts - 1];
		if (columns.has_amounts)
			columns.assignment_amounts = slot->tts_values[amounts - 1];
		count_hold(part, &columns);
	}
	table_index_fetch_end(fetch);
	ExecDropSingleTupleTableSlot(slot);
}

/* Count the owner's open holds if they are few. */
static bool
read_few(const GovHoldsPart *part, TimestampTz after)
{
	Relation	rel = try_table_open(gov_catalog()->reservations, AccessShareLock);
	ItemPointerData tids[GOV_HOLDS_FEW];
	int			ntids = 0;
	bool		are_few;

	if (rel == NULL)
		gov_error_dropped();
	are_few = RelationGetNumberOfBlocks(rel) == 0 ||
		find_few(rel, part->load->owner, after, tids, &ntids);
	if (are_few && ntids > 0)
		count_at(rel, part, tids, ntids);
	table_close(rel, NoLock);
	return are_few;
}

static void
count_row(TupleTableSlot *row, void *state)
{
	GovHoldColumns columns = {
		row->tts_values[0], row->tts_values[1], !row->tts_isnull[2], row->tts_values[2]
	};

	count_hold(state, &columns);
}

static Datum
budget_array(const GovHoldsPart *part)
{
	Datum		elements[GOV_HOLDS_BUDGETS];

	for (int i = 0; i < part->count; i++)
		elements[i] = UUIDPGetDatum(&part->list[i].budget->id);
	return PointerGetDatum(construct_array(elements, part->count, UUIDOID, UUID_LEN, false,
										   TYPALIGN_CHAR));
}

/* Count the holds of a part's budgets. */
static void
read_part(GovHoldsPart *part, TimestampTz after)
{
	Datum		args[3] = {
		budget_array(part), part->load->owner, TimestampTzGetDatum(after)
	};

	gov_spi_each(AttributeNumberIsValid(gov_catalog()->reservations_assignment_amounts) ?
				 &holds_query : &holds_1_0_query, args, NULL, count_row, part);
}

/* Count the open holds of what is to be read.  The list is sorted by budget afterwards. */
void
gov_load_holds(GovReading *reading)
{
	GovLoad    *load = reading->load;
	TimestampTz after = load->counts_overdue ? DT_NOBEGIN : load->now;
	GovHoldsPart part = {load, reading->list, reading->count};
	GovSpi		spi;

	qsort(reading->list, reading->count, sizeof(GovWanted), compare_budgets);
	if (read_few(&part, after))
		return;
	gov_spi_begin(&spi);
	for (int done = 0; done < reading->count; done += GOV_HOLDS_BUDGETS)
	{
		part.list = reading->list + done;
		part.count = Min(GOV_HOLDS_BUDGETS, reading->count - done);
		read_part(&part, after);
	}
	gov_spi_end(&spi);
}
