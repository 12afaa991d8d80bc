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

/* A table that says which entity a counter is of. */
typedef struct GovCounterTable
{
	Oid			id;
	Oid			index;			/* on the counter */
	AttrNumber	counter;
	AttrNumber	owner;
	AttrNumber	entity;
	Relation	rel;
} GovCounterTable;

/* An entity that the tail names, by a counter. */
typedef struct GovTailName
{
	text	   *entity;
	int64		counter_id;
} GovTailName;

/* What the tail names. */
typedef struct GovTailNames
{
	GovLoaded  *entities;		/* each once */
	int			nentities;
	GovTailName *inherited;		/* counters of budgets by defaults */
	int			ninherited;
} GovTailNames;

/* The entity of a counter, if a table has it for the owner; else NULL. */
static text *
read_entity_of(const GovCounterTable *table, int64 counter_id, Datum owner)
{
	TupleDesc	desc = RelationGetDescr(table->rel);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;
	text	   *result = NULL;
	bool		isnull;

	ScanKeyInit(&key, table->counter, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(counter_id));
	scan = systable_beginscan(table->rel, table->index, OidIsValid(table->index), GetActiveSnapshot(),
							  1, &key);
	row = systable_getnext(scan);
	if (HeapTupleIsValid(row) &&
		DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, owner,
											 heap_getattr(row, table->owner, desc, &isnull))))
		result = DatumGetTextPCopy(heap_getattr(row, table->entity, desc, &isnull));
	systable_endscan(scan);
	return result;
}

static GovCounterTable
assignments_table(void)
{
	return (GovCounterTable) {.id = gov_catalog()->assignments, .index = gov_catalog()->assignments_counter, .counter = GOV_ASSIGNMENT_COUNTER_ID + 1, .owner = GOV_ASSIGNMENT_OWNER_ID + 1, .entity = GOV_ASSIGNMENT_ENTITY_ID + 1};
}

static GovCounterTable
default_counts_table(void)
{
	return (GovCounterTable) {.id = gov_catalog()->default_counts, .index = gov_catalog()->default_counts_counter, .counter = GOV_COUNT_COUNTER_ID + 1, .owner = GOV_COUNT_OWNER_ID + 1, .entity = GOV_COUNT_ENTITY_ID + 1};
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

static void
add_name(GovTailNames *names, text *entity)
{
	names->entities[names->nentities].id = VARDATA(entity);
	names->entities[names->nentities++].id_length = VARSIZE(entity) - VARHDRSZ;
}

/* Read whose the counters are that a table has. */
static void
read_table(const GovLoad *load, const GovTally *tally, GovCounterTable table, bool is_inherited,
		   GovTailNames *names)
{
	uint32		position = 0;
	const GovTallied *entry;

	table.rel = try_table_open(table.id, AccessShareLock);
	if (table.rel == NULL)
		gov_error_dropped();
	while ((entry = gov_tally_next(tally, &position)) != NULL)
	{
		int64		counter_id = entry->key.counter_id;
		text	   *entity = is_inherited && counter_id > 0 ? NULL :
		read_entity_of(&table, counter_id, load->owner);

		CHECK_FOR_INTERRUPTS();
		if (entity == NULL)
			continue;
		add_name(names, entity);
		if (is_inherited)
			names->inherited[names->ninherited++] = (GovTailName) {entity, counter_id};
	}
	table_close(table.rel, NoLock);
}

/*
 * The entities that have the counters which the tail names.  Below SPI: nobody
 * whom we keep waiting may make us wait.
 */
static void
read_names(const GovLoad *load, const GovTally *tally, GovTailNames *names)
{
	Size		count = gov_tally_count(tally);

	names->entities = palloc_extended(sizeof(GovLoaded) * 2 * (count + 1),
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	names->inherited = palloc_extended(sizeof(GovTailName) * (count + 1), MCXT_ALLOC_HUGE);
	read_table(load, tally, assignments_table(), false, names);
	if (gov_lookup_is_filled(gov_catalog()->default_counts))
		read_table(load, tally, default_counts_table(), true, names);
	names->nentities = leave_distinct(names->entities, names->nentities);
}

/* Read the tail and whom it names; what was read may serve the load, too. */
static void
read_whole_tail(GovLoad *load, GovTailNames *names)
{
	GovTailRead *tail = MemoryContextAlloc(load->context, sizeof(GovTailRead));

	gov_spi_push_snapshot(GOV_SNAPSHOT_COMMITTED);
	tail->losses = claim.changes;
	tail->watermark = gov_load_watermark();
	tail->tally = gov_load_tail(load->key, tail->watermark, load->context);
	if (gov_tally_count(tail->tally) > 0)
		read_names(load, tail->tally, names);
	gov_spi_pop_snapshot();
	load->tail = tail;
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

/*
 * Are the counters of budgets by defaults in memory?  One that an assignment has
 * taken the place of is not, and comes back when that is deleted.
 */
static bool
are_shown(const GovOwnerKey *key, const GovTailNames *names)
{
	bool		result = true;

	for (int i = 0; i < names->ninherited && result; i++)
	{
		const GovTailName *name = &names->inherited[i];

		result = gov_node_has_counter(key, VARDATA(name->entity), VARSIZE(name->entity) - VARHDRSZ,
									  name->counter_id);
	}
	return result;
}

/* Load what a tail names; false if it did not fit, or something was lost. */
static bool
load_names(GovLoad *load, const GovTailNames *names)
{
	GovFreshness since = gov_node_freshness(load->key);
	int			count = names->nentities;

	Assert(has_claim);
	if (!fits_in_cache(load, count))
		return false;
	for (int done = 0; done < count; done += GOV_LEARN_BATCH)
	{
		if (gov_load_more(load, names->entities + done, Min(GOV_LEARN_BATCH, count - done),
						  &since) == GOV_NODE_FULL ||
			!gov_tail_is_unchanged(load->key, load->tail->losses))
			return false;
	}
	return are_loaded(load->key, names->entities, count, &since) && are_shown(load->key, names);
}

/* Learn the tail, with the owner's node claimed. */
static void
learn_claimed(GovLoad *load)
{
	TimestampTz begun = GetCurrentTimestamp();
	GovTailNames names = {0};
	bool		is_done;
	TimestampTz now;

	read_whole_tail(load, &names);
	is_done = load_names(load, &names);
	now = GetCurrentTimestamp();
	Assert(has_claim && !gov_load_has_claims());
	GOV_FAULT(GOV_FAULT_LOAD);
	is_done = is_done && gov_tail_note_learned(load->key, &claim,
											   now + Max(now - begun, 0));
	if (is_done)
		has_claim = false;
	else
		gov_tail_pause(&claim, now + GOV_LEARN_PAUSE * Max(now - begun, 0));
	gov_tail_learn_abandon();
	if (names.nentities > 0)
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
