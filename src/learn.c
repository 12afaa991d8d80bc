/*
 * learn.c
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
 *		for some time.  A claim whose load raises is given up by
 *		gov_learn_abandon().
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "fault.h"
#include "launch.h"
#include "learn.h"
#include "tail.h"

#define GOV_LEARN_TRIES		100
#define GOV_LEARN_BATCH		2000	/* entities loaded at a time */
#define GOV_LEARN_BYTES		1024	/* that one of them may take, with its budgets */
#define GOV_LEARN_PART		4		/* of the cache may be taken */
#define GOV_LEARN_PAUSE		10		/* times as long as learning in vain took */

static GovClaim claim;
static bool has_claim = false;

static GovQuery positions_query = {
	.sql = "select coalesce((select r.watermark from @gov_rollup_state r where r.id = 1), 0),"
	" (select greatest(case when s.is_called then s.last_value else 0 end,"
	"   (select max(e.id) from @gov_events e)) from @gov_events_id_seq s)"
};

static GovQuery names_query = {
	.sql =
	"select distinct a.entity_id"
	" from unnest($1) as c(id),"
	"  lateral (select g.owner_id, g.entity_id from @gov_assignments g"
	"   where g.counter_id = c.id offset 0) a"
	" where a.owner_id = $2",
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, TEXTOID}
};

/* Nobody waits for us any more.  Called at the end of transactions: cannot fail. */
void
gov_learn_abandon(void)
{
	if (!has_claim)
		return;
	has_claim = false;
	gov_claim_abandon(&claim);
}

/* The first to ask in this database notes how far the ledger is. */
static void
begin_database(void)
{
	Oid			extension = gov_catalog()->extension;
	int64		watermark;
	int64		last_id;
	bool		isnull;

	if (gov_tail_has_begun(extension))
		return;
	gov_spi_push_snapshot(GOV_SNAPSHOT_COMMITTED);
	gov_spi_select(&positions_query, NULL, NULL);
	watermark = DatumGetInt64(gov_spi_value(0, 1, &isnull));
	last_id = DatumGetInt64(gov_spi_value(0, 2, &isnull));
	gov_spi_pop_snapshot();
	gov_tail_begin(extension, watermark, last_id);
}

static bool
is_known(const GovOwnerKey *key)
{
	return gov_tail_is_known(key, gov_tail_rolled_up(gov_catalog()->extension));
}

/* The entities that have the counters which the tail names. */
static int
read_names(GovLoad *load, const GovTally *tally, GovLoaded **names)
{
	Datum	   *ids = palloc_extended(sizeof(Datum) * ((Size) gov_tally_count(tally) + 1),
									  MCXT_ALLOC_HUGE);
	Datum		args[2] = {(Datum) 0, load->owner};
	uint32		position = 0;
	int			count = 0;
	const GovTallied *entry;

	while ((entry = gov_tally_next(tally, &position)) != NULL)
		ids[count++] = Int64GetDatum(entry->key.counter_id);
	args[0] = PointerGetDatum(construct_array(ids, count, INT8OID, 8, FLOAT8PASSBYVAL,
											  TYPALIGN_DOUBLE));
	count = (int) gov_spi_select(&names_query, args, NULL);
	*names = MemoryContextAllocZero(load->context, sizeof(GovLoaded) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		char	   *id = MemoryContextStrdup(load->context, gov_spi_text(i, 1));

		(*names)[i].id = id;
		(*names)[i].id_length = strlen(id);
	}
	SPI_freetuptable(SPI_tuptable);
	return count;
}

/* Read the tail and whom it names; what was read may serve the load, too. */
static int
read_whole_tail(GovLoad *load, GovLoaded **names)
{
	GovTailRead *tail = MemoryContextAlloc(load->context, sizeof(GovTailRead));
	int			count;

	gov_spi_push_snapshot(GOV_SNAPSHOT_COMMITTED);
	tail->losses = claim.changes;
	tail->watermark = gov_read_watermark();
	tail->tally = gov_read_tail(load->key, tail->watermark, load->context);
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
			gov_node_wait(key, names[i].id, names[i].id_length);
			status = gov_node_look(key, names[i].id, names[i].id_length, since);
		}
		if (status != GOV_NODE_READY)
			return false;
	}
	return true;
}

/* Load what a tail names; false if it did not fit, or something was lost. */
static bool
load_names(GovLoad *load, const GovLoaded *names, int count)
{
	GovFreshness since = gov_node_freshness(load->key);

	if ((Size) count * GOV_LEARN_BYTES > gov_shared->memory_size / GOV_LEARN_PART)
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
learn(GovLoad *load)
{
	TimestampTz begun = GetCurrentTimestamp();
	GovLoaded  *names = NULL;
	int			count = read_whole_tail(load, &names);
	bool		is_done = load_names(load, names, count);
	TimestampTz now = GetCurrentTimestamp();

	GOV_FAULT(GOV_FAULT_LOAD);
	is_done = is_done && gov_tail_learned(load->key, &claim,
										  now + Max(now - begun, 0));
	if (is_done)
		has_claim = false;
	else
		gov_tail_pause(&claim, now + GOV_LEARN_PAUSE * Max(now - begun, 0));
	gov_learn_abandon();
	if (count > 0)
		gov_worker_wanted();
}

/* See to it, if that can be, that the tail of the load's owner is known. */
void
gov_learn_tail(GovLoad *load)
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
				learn(load);
				return;
			case GOV_NODE_LOADING:
				gov_node_wait(load->key, "", 0);
				break;
			case GOV_NODE_READY:
				break;
			case GOV_NODE_FULL:
				return;
		}
	}
}
