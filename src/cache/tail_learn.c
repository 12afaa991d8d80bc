/*
 * tail_learn.c
 *		Reads an owner's tail once, and brings all that it names into memory.
 *
 * PURPOSE
 *		Before a load takes its claims it sees to it that the owner's tail is
 *		known (tail.c), so that it need not read it, nor any load after it.
 *
 * PROTOCOL
 *		1. Claim the owner's own node.  Others who need it wait; they have no
 *		   claims yet, as we had none.
 *		2. Take a snapshot and add the tail up.
 *		3. Load the entities of the counters that it names, as any load does,
 *		   with the sums at hand.  Those that others are loading are waited
 *		   for: they have claims, and wait for nobody.
 *		4. If all are there and nothing was lost meanwhile, the tail is known.
 *
 * FAILURE
 *		A tail that names more than fits into a part of the cache is not
 *		learned, nor one that is lost again at once: each load reads it then,
 *		for some time.  Nor does a transaction learn one that sees a table empty
 *		which is not (own_nodes.c).  A claim whose load raises is given up by
 *		gov_tail_learn_abandon().
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/lookup.h"
#include "base/worker_slots.h"
#include "cache/tail.h"
#include "cache/tail_learn.h"
#include "ledger/columns.h"

#define GOV_LEARN_TRIES		100
#define GOV_LEARN_BATCH		2000	/* entities loaded at a time */
#define GOV_LEARN_ENTITY_BYTES	256 /* that one of them may take */
#define GOV_LEARN_COUNTER_BYTES	256 /* and each counter that the tail names,
									 * with its budget */
#define GOV_LEARN_PART		4	/* of the cache may be taken */
#define GOV_LEARN_PAUSE		10	/* times as long as learning in vain took */

static GovClaim claim;
static bool has_claim = false;

/* Nobody waits for us any more.  Called at the end of transactions: cannot fail. */
void
gov_tail_learn_abandon(void)
{
	if (!has_claim)
		return;
	has_claim = false;
	gov_node_claim_abandon(&claim);
}

/* The last id that was drawn from the ledger's sequence. */
static int64
read_last_drawn(void)
{
	Relation	rel = try_table_open(gov_catalog()->events_id_seq, AccessShareLock);
	SysScanDesc scan;
	HeapTuple	row;
	int64		result = 0;

	if (rel == NULL)
		gov_error_dropped();
	scan = systable_beginscan(rel, InvalidOid, false, GetActiveSnapshot(), 0, NULL);
	row = systable_getnext(scan);
	if (HeapTupleIsValid(row))
	{
		Form_pg_sequence_data form = (Form_pg_sequence_data) GETSTRUCT(row);

		result = form->is_called ? form->last_value : 0;
	}
	systable_endscan(scan);
	table_close(rel, NoLock);
	return result;
}

/*
 * The last id in the ledger.  A restored one was never drawn here.  Without
 * the index that tells, every id may be there.
 */
static int64
read_last_recorded(void)
{
	Relation	rel = try_table_open(gov_catalog()->events, AccessShareLock);
	int64		result = PG_INT64_MAX;
	Datum		id;
	bool		is_empty;

	if (rel == NULL)
		gov_error_dropped();
	if (gov_lookup_last(rel, gov_catalog()->events_pkey, GOV_EVENT_ID + 1, &id, &is_empty))
		result = is_empty ? 0 : DatumGetInt64(id);
	table_close(rel, NoLock);
	return result;
}

/* The first to ask in this database notes how far the ledger is. */
static void
begin_database(void)
{
	Oid			extension = gov_catalog()->extension;
	int64		watermark;
	int64		last_id;

	if (gov_tail_has_begun(extension))
		return;
	gov_spi_push_snapshot(GOV_SNAPSHOT_COMMITTED);
	watermark = gov_load_watermark();
	last_id = Max(read_last_drawn(), read_last_recorded());
	gov_spi_pop_snapshot();
	gov_tail_begin(extension, watermark, last_id);
}

static bool
is_known(const GovOwnerKey *key)
{
	return gov_tail_is_known(key, gov_tail_rolled_up(gov_catalog()->extension));
}

/* The entity of a counter, if that is still a budget's of the owner; else NULL. */
static text *
read_entity_of(Relation rel, int64 counter_id, Datum owner)
{
	Oid			index = gov_catalog()->assignments_counter;
	TupleDesc	desc = RelationGetDescr(rel);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;
	text	   *result = NULL;
	bool		isnull;

	ScanKeyInit(&key, GOV_ASSIGNMENT_COUNTER_ID + 1, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(counter_id));
	scan = systable_beginscan(rel, index, OidIsValid(index), GetActiveSnapshot(), 1, &key);
	row = systable_getnext(scan);
	if (HeapTupleIsValid(row) &&
		DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, owner,
											 heap_getattr(row, GOV_ASSIGNMENT_OWNER_ID + 1,
														  desc, &isnull))))
		result = DatumGetTextPCopy(heap_getattr(row, GOV_ASSIGNMENT_ENTITY_ID + 1,
												desc, &isnull));
	systable_endscan(scan);
	return result;
}

static int
compare_ids(const void *left, const void *right)
{
	const GovLoaded *a = left;
	const GovLoaded *b = right;

	return gov_bytes_compare(a->id, a->id_length, b->id, b->id_length);
}

/* Leave each id once; returns how many are left. */
static int
leave_distinct(GovLoaded *names, int count)
{
	int			kept = 0;

	qsort(names, count, sizeof(GovLoaded), compare_ids);
	for (int i = 0; i < count; i++)
	{
		if (kept == 0 || compare_ids(&names[kept - 1], &names[i]) != 0)
			names[kept++] = names[i];
	}
	return kept;
}

/*
 * The entities that have the counters which the tail names.  Below SPI: nobody
 * whom we keep waiting may make us wait.
 */
static int
read_names(GovLoad *load, const GovTally *tally, GovLoaded **names)
{
	Relation	rel = try_table_open(gov_catalog()->assignments, AccessShareLock);
	uint32		position = 0;
	int			count = 0;
	const GovTallied *entry;

	if (rel == NULL)
		gov_error_dropped();
	*names = palloc_extended(sizeof(GovLoaded) * ((Size) gov_tally_count(tally) + 1),
							 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	while ((entry = gov_tally_next(tally, &position)) != NULL)
	{
		text	   *id = read_entity_of(rel, entry->key.counter_id, load->owner);

		CHECK_FOR_INTERRUPTS();
		if (id == NULL)
			continue;
		(*names)[count].id = VARDATA(id);
		(*names)[count++].id_length = VARSIZE(id) - VARHDRSZ;
	}
	table_close(rel, NoLock);
	return leave_distinct(*names, count);
}

/* Read the tail and whom it names; what was read may serve the load, too. */
static int
read_whole_tail(GovLoad *load, GovLoaded **names)
{
	GovTailRead *tail = MemoryContextAlloc(load->context, sizeof(GovTailRead));
	int			count;

	gov_spi_push_snapshot(GOV_SNAPSHOT_COMMITTED);
	tail->losses = claim.changes;
	tail->watermark = gov_load_watermark();
	tail->tally = gov_load_tail(load->key, tail->watermark, load->context);
	count = gov_tally_count(tail->tally) > 0 ? read_names(load, tail->tally, names) : 0;
	gov_spi_pop_snapshot();
	load->tail = tail;
	return count;
}

/* Are these in memory?  Whoever is loading one is waited for. */
static bool
are_loaded(const GovOwnerKey *key, const GovLoaded *names, int count,
		   const GovFreshness *since)
{
	for (int i = 0; i < count; i++)
	{
		GovNodeStatus status = gov_node_look(key, names[i].id, names[i].id_length, since);

		for (int try = 0; status == GOV_NODE_LOADING && try < GOV_LEARN_TRIES; try++)
		{
			CHECK_FOR_INTERRUPTS();
			Assert(!gov_load_has_claims());
			gov_node_wait(key, names[i].id, names[i].id_length);
			status = gov_node_look(key, names[i].id, names[i].id_length, since);
		}
		if (status != GOV_NODE_READY)
			return false;
	}
	return true;
}

/* Does what a tail names take no more than its part of the cache? */
static bool
fits_in_cache(const GovLoad *load, int count)
{
	Size		size = (Size) count * GOV_LEARN_ENTITY_BYTES +
	(Size) gov_tally_count(load->tail->tally) * GOV_LEARN_COUNTER_BYTES;

	return size <= gov_shared->memory_size / GOV_LEARN_PART;
}

/* Load what a tail names; false if it did not fit, or something was lost. */
static bool
load_names(GovLoad *load, const GovLoaded *names, int count)
{
	GovFreshness since = gov_node_freshness(load->key);

	Assert(has_claim);
	if (!fits_in_cache(load, count))
		return false;
	for (int done = 0; done < count; done += GOV_LEARN_BATCH)
	{
		if (gov_load_more(load, names + done, Min(GOV_LEARN_BATCH, count - done),
						  &since) == GOV_NODE_FULL ||
			!gov_tail_is_unchanged(load->key, load->tail->losses))
			return false;
	}
	return are_loaded(load->key, names, count, &since);
}

/* Learn the tail, with the owner's node claimed. */
static void
learn_claimed(GovLoad *load)
{
	TimestampTz begun = GetCurrentTimestamp();
	GovLoaded  *names = NULL;
	int			count = read_whole_tail(load, &names);
	bool		is_done = load_names(load, names, count);
	TimestampTz now = GetCurrentTimestamp();

	Assert(has_claim && !gov_load_has_claims());
	GOV_FAULT(GOV_FAULT_LOAD);
	is_done = is_done && gov_tail_note_learned(load->key, &claim,
											   now + Max(now - begun, 0));
	if (is_done)
		has_claim = false;
	else
		gov_tail_pause(&claim, now + GOV_LEARN_PAUSE * Max(now - begun, 0));
	gov_tail_learn_abandon();
	if (count > 0)
		gov_worker_wanted();
}

/* Make the tail of the load's owner known, if that can be. */
void
gov_tail_learn(GovLoad *load)
{
	begin_database();
	for (int try = 0; try < GOV_LEARN_TRIES; try++)
	{
		CHECK_FOR_INTERRUPTS();
		if (is_known(load->key) || !gov_tail_may_learn(load->key, GetCurrentTimestamp()))
			return;
		Assert(!has_claim);
		switch (gov_tail_claim(load->key, &claim))
		{
			case GOV_NODE_MISSING:
				has_claim = true;
				learn_claimed(load);
				return;
			case GOV_NODE_LOADING:
				Assert(!gov_load_has_claims());
				gov_node_wait(load->key, "", 0);
				break;
			case GOV_NODE_READY:
				break;
			case GOV_NODE_FULL:
				return;
		}
	}
}
