/*
 * hold_overdue.c
 *		What holds past their time do to a decision.
 *
 * PURPOSE
 *		A hold stays in the counters until somebody expires it, which a worker
 *		does soon after its time.  Meanwhile a call that charges has it expired
 *		(write.c), and one that may change nothing leaves it out of what it
 *		has read of the counters.
 *
 * INVARIANTS
 *		Whatever is open in a snapshot taken now, past the time of the call, and
 *		has not been locked to be changed, was in the counters whole when the
 *		call read them: it is subtracted once.  What somebody is changing may be
 *		partly gone from them, or may get another time: it counts.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "base/row_header.h"
#include "gate/hold_overdue.h"
#include "ledger/columns.h"
#include "ledger/hold_amounts.h"
#include "ledger/hold_row.h"

/* Is something held on any of the budgets? */
bool
gov_hold_overdue_is_possible(const GovResolution *resolution)
{
	for (int i = 0; i < resolution->nbudgets; i++)
	{
		if (resolution->states[i].held > 0)
			return true;
	}
	return false;
}

/*
 * Is something held on a budget that does not allow the call?  Then the denial,
 * or the time that it says to come back at, may be because of that.
 */
bool
gov_hold_overdue_may_deny(const GovResolution *resolution, const GovDecision *decision)
{
	if (decision->is_granted)
		return false;
	for (int i = 0; i < resolution->nbudgets; i++)
	{
		if (!resolution->states[i].allows && resolution->states[i].held > 0)
			return true;
	}
	return false;
}

/* A scan over an owner's open holds past a time, as the latest snapshot has them. */
typedef struct GovOverdueScan
{
	Relation	rel;
	SysScanDesc scan;
	Snapshot	snapshot;
} GovOverdueScan;

static void
begin_scan(GovOverdueScan *scan, const char *owner, TimestampTz now)
{
	ScanKeyData keys[2];

	ScanKeyEntryInitialize(&keys[0], 0, GOV_HOLD_OWNER_ID + 1, BTEqualStrategyNumber,
						   InvalidOid, C_COLLATION_OID, F_TEXTEQ,
						   CStringGetTextDatum(owner));
	ScanKeyInit(&keys[1], GOV_HOLD_EXPIRES_AT + 1, BTLessEqualStrategyNumber,
				F_TIMESTAMPTZ_LE, TimestampTzGetDatum(now));
	scan->rel = try_table_open(gov_catalog()->reservations, AccessShareLock);
	if (scan->rel == NULL)
		gov_error_dropped();
	scan->snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan->scan = systable_beginscan(scan->rel, gov_catalog()->reservations_open, true,
									scan->snapshot, lengthof(keys), keys);
}

static void
end_scan(GovOverdueScan *scan)
{
	systable_endscan(scan->scan);
	UnregisterSnapshot(scan->snapshot);
	table_close(scan->rel, NoLock);
}

/* The next open hold; the index has no others, but it is not always used. */
static HeapTuple
next_row(GovOverdueScan *scan)
{
	HeapTuple	row;

	while (HeapTupleIsValid(row = systable_getnext(scan->scan)))
	{
		bool		isnull;
		Datum		state = heap_getattr(row, GOV_HOLD_STATE + 1,
										 RelationGetDescr(scan->rel), &isnull);

		if (strcmp(TextDatumGetCString(state), gov_hold_row_state_name(GOV_HOLD_OPEN)) == 0)
			break;
	}
	return row;
}

/* Is any of them another transaction that is still under way?  Subtransactions of this one are not. */
static bool
is_any_other_running(MultiXactId multi, bool is_locked_only)
{
	MultiXactMember *members;
	int			count = GetMultiXactIdMembers(multi, &members, false, is_locked_only);
	bool		is_running = false;

	for (int i = 0; i < count && !is_running; i++)
		is_running = !TransactionIdIsCurrentTransactionId(members[i].xid) &&
			TransactionIdIsInProgress(members[i].xid);
	if (count > 0)
		pfree(members);
	return is_running;
}

/* Has another transaction that is still under way locked the row, or changed it? */
static bool
is_being_changed(SysScanDesc scan, HeapTuple row)
{
	HeapTupleHeaderData header;
	uint16		infomask;
	TransactionId xmax;

	gov_row_header(scan, row, &header);
	infomask = header.t_infomask;
	xmax = HeapTupleHeaderGetRawXmax(&header);
	if (infomask & HEAP_XMAX_INVALID)
		return false;
	if (infomask & HEAP_XMAX_IS_MULTI)
		return is_any_other_running(xmax, HEAP_XMAX_IS_LOCKED_ONLY(infomask));
	return !TransactionIdIsCurrentTransactionId(xmax) && TransactionIdIsInProgress(xmax);
}

/* Has the owner an open hold past the time? */
bool
gov_hold_overdue_exists(const char *owner, TimestampTz now)
{
	GovOverdueScan scan;
	bool		found;

	begin_scan(&scan, owner, now);
	found = HeapTupleIsValid(next_row(&scan));
	end_scan(&scan);
	return found;
}

/* What a hold's row says that it holds. */
static void
read_amounts(HeapTuple row, TupleDesc desc, GovHoldAmounts *hold)
{
	AttrNumber	amounts = gov_catalog()->reservations_assignment_amounts;
	GovHoldColumns columns = {0};
	bool		isnull;

	columns.amount = heap_getattr(row, GOV_HOLD_AMOUNT + 1, desc, &isnull);
	columns.assignment_ids = heap_getattr(row, GOV_HOLD_ASSIGNMENT_IDS + 1, desc, &isnull);
	if (AttributeNumberIsValid(amounts))
	{
		columns.assignment_amounts = heap_getattr(row, amounts, desc, &isnull);
		columns.has_amounts = !isnull;
	}
	gov_hold_amounts_read(&columns, hold);
	if (hold->are_bad)
		gov_error_stored_amount();
}

/* Subtract one hold from the budgets that it is held against. */
static void
leave_out(GovResolution *resolution, const GovHoldAmounts *hold)
{
	for (int b = 0; b < resolution->nbudgets; b++)
	{
		for (int i = 0; i < hold->count; i++)
			if (gov_uuid_is(&resolution->budgets[b].id, DatumGetUUIDP(hold->ids[i])))
				resolution->states[b].held -= hold->amounts[i];
	}
}

/* Subtract what is held past its time; false if there is no such hold. */
bool
gov_hold_overdue_leave_out(const char *owner, GovResolution *resolution)
{
	GovOverdueScan scan;
	HeapTuple	row;
	bool		found = false;

	begin_scan(&scan, owner, resolution->now);
	while (HeapTupleIsValid(row = next_row(&scan)))
	{
		GovHoldAmounts hold;

		if (is_being_changed(scan.scan, row))
			continue;
		found = true;
		read_amounts(row, RelationGetDescr(scan.rel), &hold);
		leave_out(resolution, &hold);
	}
	end_scan(&scan);
	return found;
}
