/*
 * keys.c
 *		Idempotency keys: one name space over the ledger and the holds.
 *
 * PURPOSE
 *		A key is unique per owner, whichever of the two tables has it.  Each has
 *		a unique index, which rules out two events or two holds; this rules out
 *		an event and a hold.
 *
 * PROTOCOL
 *		README.md has the three steps, and who may wait for whom in the third.
 *
 * SNAPSHOTS
 *		A dirty snapshot sees what is being inserted.  But a hold keeps its key
 *		while its state is changed.  So what is committed is looked for first,
 *		and a transaction that merely updates the hold is not waited for.  A
 *		dirty scan that runs beside such an update can miss both versions of the
 *		row, so what is committed is looked for once more after it.  None of
 *		these is needed where the index has no entry at all under the key, which
 *		is so for nearly every new key.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/row_header.h"
#include "ledger/columns.h"
#include "ledger/keys.h"

/* Who inserts or deletes what was found. */
typedef struct GovKeyWriter
{
	TransactionId xid;			/* invalid: nobody */
	uint32		token;			/* of a speculative insertion; 0: none */
	ItemPointerData tid;
} GovKeyWriter;

/*
 * The transaction under way that is deleting a row; invalid if there is none,
 * or if the row is only being updated.
 */
static TransactionId
deleting_transaction(SysScanDesc scan, HeapTuple tuple)
{
	HeapTupleHeaderData header;
	TransactionId xmax;

	gov_row_header(scan, tuple, &header);
	if ((header.t_infomask & HEAP_XMAX_INVALID) ||
		HEAP_XMAX_IS_LOCKED_ONLY(header.t_infomask) ||
		!ItemPointerEquals(&tuple->t_self, &header.t_ctid))
		return InvalidTransactionId;	/* nobody deletes it, or it is only
										 * updated */
	xmax = HeapTupleHeaderGetUpdateXid(&header);
	return TransactionIdIsInProgress(xmax) && !TransactionIdIsCurrentTransactionId(xmax) ?
		xmax : InvalidTransactionId;
}

static void
read_holder(Relation rel, HeapTuple tuple, bool is_hold, GovKeyHolder *holder)
{
	TupleDesc	desc = RelationGetDescr(rel);
	bool		isnull;
	Datum		id = heap_getattr(tuple, (is_hold ? GOV_HOLD_ID : GOV_EVENT_ID) + 1,
								  desc, &isnull);
	Datum		hash;

	holder->is_hold = is_hold;
	if (is_hold)
		holder->hold_id = *DatumGetUUIDP(id);
	else
		holder->event_id = DatumGetInt64(id);
	hash = heap_getattr(tuple, (is_hold ? GOV_HOLD_REQUEST_HASH :
								GOV_EVENT_REQUEST_HASH) + 1, desc, &isnull);
	holder->request_hash = isnull ? NULL : DatumGetByteaPCopy(hash);
}

static SysScanDesc
begin_scan(Relation rel, const GovKey *key, bool is_hold, Snapshot snapshot)
{
	const GovCatalog *catalog = gov_catalog();
	ScanKeyData keys[2];

	ScanKeyEntryInitialize(&keys[0], 0,
						   (is_hold ? GOV_HOLD_OWNER_ID : GOV_EVENT_OWNER_ID) + 1,
						   BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID,
						   F_TEXTEQ, CStringGetTextDatum(key->owner));
	ScanKeyEntryInitialize(&keys[1], 0,
						   (is_hold ? GOV_HOLD_IDEMPOTENCY_KEY :
							GOV_EVENT_IDEMPOTENCY_KEY) + 1,
						   BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID,
						   F_TEXTEQ, PointerGetDatum(key->key));
	return systable_beginscan(rel, is_hold ? catalog->reservations_key :
							  catalog->events_key, true, snapshot, 2, keys);
}

/* Has the index any entry under the key, whatever became of its row? */
static bool
has_trace(Relation rel, const GovKey *key, bool is_hold)
{
	SysScanDesc scan = begin_scan(rel, key, is_hold, SnapshotAny);
	bool		found = HeapTupleIsValid(systable_getnext(scan));

	systable_endscan(scan);
	return found;
}

/* Look for a key in one of the tables, as a snapshot sees it. */
static bool
look_up(Relation rel, const GovKey *key, bool is_hold, Snapshot snapshot,
		GovKeyHolder *holder, GovKeyWriter *writer)
{
	SysScanDesc scan = begin_scan(rel, key, is_hold, snapshot);
	HeapTuple	tuple = systable_getnext(scan);
	bool		found;

	found = HeapTupleIsValid(tuple);
	if (found)
	{
		writer->tid = tuple->t_self;
		writer->xid = deleting_transaction(scan, tuple);
		read_holder(rel, tuple, is_hold, holder);
	}
	systable_endscan(scan);
	return found;
}

/*
 * Look for a key among committed rows, and rows of this transaction's earlier
 * commands.
 */
static bool
look_up_committed(Relation rel, const GovKey *key, GovKeyHolder *holder,
				  GovKeyWriter *writer)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	bool		found = look_up(rel, key, true, snapshot, holder, writer);

	UnregisterSnapshot(snapshot);
	return found;
}

/* Look for a key among all rows, committed or not. */
static bool
look_up_dirty(Relation rel, const GovKey *key, bool is_hold, GovKeyHolder *holder,
			  GovKeyWriter *writer)
{
	SnapshotData dirty;

	InitDirtySnapshot(dirty);
	if (!look_up(rel, key, is_hold, &dirty, holder, writer))
		return false;
	writer->xid = TransactionIdIsValid(dirty.xmin) ? dirty.xmin : dirty.xmax;
	writer->token = dirty.speculativeToken;
	return true;
}

/* Look for a key in one of the tables, whoever is writing it. */
static bool
look_up_any(Relation rel, const GovKey *key, bool is_hold, GovKeyHolder *holder,
			GovKeyWriter *writer)
{
	memset(writer, 0, sizeof(*writer));
	if (!is_hold)
		return look_up_dirty(rel, key, is_hold, holder, writer);
	return has_trace(rel, key, is_hold) &&
		(look_up_committed(rel, key, holder, writer) ||
		 look_up_dirty(rel, key, is_hold, holder, writer) ||
		 look_up_committed(rel, key, holder, writer));
}

static Relation
open_table(bool is_hold)
{
	const GovCatalog *catalog = gov_catalog();
	Relation	rel = try_table_open(is_hold ? catalog->reservations : catalog->events,
									 AccessShareLock);

	if (rel == NULL)
		gov_error_dropped();
	return rel;
}

/* Find a key in one of the tables, after waiting for whoever is writing it. */
static bool
find_settled(const GovKey *key, bool is_hold, GovKeyHolder *holder)
{
	Relation	rel = open_table(is_hold);
	GovKeyWriter writer;
	bool		found;

	while ((found = look_up_any(rel, key, is_hold, holder, &writer)) &&
		   TransactionIdIsValid(writer.xid))
	{
		GOV_FAULT(GOV_FAULT_WAIT);
		if (writer.token != 0)
			SpeculativeInsertionWait(writer.xid, writer.token);
		else
			XactLockTableWait(writer.xid, rel, &writer.tid, XLTW_InsertIndex);
	}
	table_close(rel, NoLock);
	return found;
}

/*
 * Find what has a key; waits for a transaction that is writing it.  False when
 * it is free.
 */
bool
gov_key_find(const GovKey *key, GovKeyHolder *holder)
{
	return find_settled(key, false, holder) || find_settled(key, true, holder);
}

/* Step 3 of the protocol, for a new event: has a hold the key? */
bool
gov_key_has_hold(const void *arg)
{
	Relation	rel = open_table(true);
	GovKeyHolder holder;
	GovKeyWriter writer;
	bool		found;

	while ((found = look_up_any(rel, arg, true, &holder, &writer)) &&
		   writer.token != 0)
		SpeculativeInsertionWait(writer.xid, writer.token);
	table_close(rel, NoLock);
	return found;
}

/* Step 3 of the protocol, for a new hold: has an event the key? */
bool
gov_key_has_event(const void *arg)
{
	Relation	rel = open_table(false);
	GovKeyHolder holder;
	GovKeyWriter writer;
	bool		found = look_up_any(rel, arg, false, &holder, &writer);

	table_close(rel, NoLock);
	return found;
}
