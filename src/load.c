/*
 * load.c
 *		Reads entities, budgets and their counts from the tables.
 *
 * PURPOSE
 *		A cold cache, a restart, a crash, an eviction and a promotion are all
 *		the same case: the nodes that a call needs are not there, and are made
 *		from the catalog, the rolled-up usage, the ledger's tail behind the
 *		watermark and the open holds.
 *
 * PROTOCOL
 *		1. Lock the tables (AccessShareLock), so that nobody waits for a claim
 *		   of ours while we wait for a table of theirs.
 *		2. Look up which ancestors there are: a hint, so that a whole chain is
 *		   loaded at once.
 *		3. Claim the nodes.  From here on nobody charges their counters.
 *		4. Take a snapshot of what others have committed.  Whoever charged a
 *		   counter that is gone from memory has ended before it: pins prevent
 *		   anything else.
 *		5. Read, build, install.
 *		A private load has no claims and sees the transaction's own rows.
 *
 * CLOCK
 *		Usage in a window after the present one means that the clock is behind
 *		the one that recorded it (another machine's, before a promotion).  Then
 *		the clock of the stripe is moved to that window: it never runs
 *		backwards, whoever keeps it.
 *
 * FAILURE
 *		The claims of a load that raises are given up by gov_load_abandon(),
 *		which transaction.c calls when a (sub)transaction aborts.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "clock.h"
#include "errors.h"
#include "load.h"

/*
 * The statements say not only what they want but how to get it.  They are
 * planned once a session, perhaps when a table is still empty, and must be as
 * good when it has grown: each row is looked up in a lateral subquery that
 * "offset 0" keeps from being joined in any other way, and of the ledger an
 * owner's tail is read through the index on owner and id.
 */
static GovQuery ancestors_query = {
	.sql =
	"with recursive wanted(id) as ("
	" select u.id collate \"C\" from unnest($2) as u(id)"
	" union"
	" select e.parent_id"
	" from wanted w,"
	"  lateral (select g.parent_id from @gov_entities g"
	"           where g.owner_id = $1 and g.id = w.id offset 0) e"
	" where e.parent_id is not null)"
	"select w.id from wanted w",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTARRAYOID}
};

static GovQuery entities_query = {
	.sql =
	"select w.n, e.type_id, e.parent_id, e.archived_at is not null,"
	" a.counter_id, a.capability_id, a.scope_entity_ids, a.name, a.usage_limit,"
	" a.cadence, a.anchor_at, a.timezone, a.enforcement = 'soft'"
	" from unnest($2) with ordinality as w(id, n)"
	" left join lateral (select g.* from @gov_entities g"
	"  where g.owner_id = $1 and g.id = w.id offset 0) e on true"
	" left join lateral (select b.* from @gov_assignments b"
	"  where b.owner_id = $1 and b.entity_id = w.id offset 0) a on e.type_id is not null"
	" order by w.n",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTARRAYOID}
};

/* Which of these counters have a budget?  Asked of what others can see. */
static GovQuery visible_query = {
	.sql =
	"select c.n"
	" from unnest($1) with ordinality as c(id, n),"
	"  lateral (select from @gov_assignments a where a.counter_id = c.id offset 0) b"
	" order by c.n",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID}
};

static GovQuery counters_query = {
	.sql =
	"with wanted as materialized ("
	" select w.id, w.window_start, w.n"
	" from unnest($1, $2) with ordinality as w(id, window_start, n)),"
	" tail as materialized ("
	" select x.counter_id, x.window_start, sum(e.amount) as amount"
	" from (select v.amount, v.counter_ids, v.window_starts"
	"       from @gov_events v"
	"       where v.owner_id = $3"
	"        and v.id > coalesce((select r.watermark from @gov_rollup_state r), 0)"
	"       order by v.id offset 0) e,"
	"  lateral unnest(e.counter_ids, e.window_starts) as x(counter_id, window_start)"
	" where x.counter_id in (select w.id from wanted w)"
	" group by 1, 2),"
	" holds as materialized ("
	" select x.counter_id, sum(r.amount) as amount"
	" from @gov_reservations r, lateral unnest(r.counter_ids) as x(counter_id)"
	" where r.state = 'open' and r.counter_ids && $1"
	" group by 1)"
	"select c.n, coalesce(u.amount, 0) + coalesce(t.amount, 0), coalesce(h.amount, 0),"
	" greatest(l.window_start, k.window_start)"
	" from wanted c"
	" left join lateral (select g.owner_id, g.amount from @gov_usage g"
	"  where g.counter_id = c.id and g.window_start = c.window_start offset 0) u"
	"  on u.owner_id = $3"
	" left join lateral (select g.owner_id, g.window_start from @gov_usage g"
	"  where g.counter_id = c.id order by g.window_start desc limit 1) l"
	"  on l.owner_id = $3"
	" left join tail t on t.counter_id = c.id and t.window_start = c.window_start"
	" left join (select m.counter_id, max(m.window_start) as window_start from tail m"
	"            group by 1) k on k.counter_id = c.id"
	" left join holds h on h.counter_id = c.id",
	.nargs = 3,
	.argtypes = {INT8ARRAYOID, TIMESTAMPTZARRAYOID, TEXTOID}
};

/* What a load is about, shared by its steps. */
typedef struct GovLoad
{
	const GovOwnerKey *key;
	Datum		owner;			/* text */
	MemoryContext context;		/* what is loaded is built here */
	TimestampTz now;
	GovLoaded  *items;
	GovClaim   *claims;			/* parallel to items; NULL in a private load */
	int			count;
} GovLoad;

/* Claims outlive their load only if it raises. */
static GovClaim *claims = NULL;
static int	nclaims = 0;
static int	claims_capacity = 0;

void
gov_load_abandon(void)
{
	while (nclaims > 0)
		gov_claim_abandon(&claims[--nclaims]);
}

static Datum
text_datum(const char *bytes, uint32 length)
{
	return PointerGetDatum(cstring_to_text_with_len(bytes, length));
}

static Datum
id_array(const GovLoaded *ids, int nids)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(nids, 1));

	for (int i = 0; i < nids; i++)
		elements[i] = text_datum(ids[i].id, ids[i].id_length);
	return PointerGetDatum(construct_array(elements, nids, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

/* The ids and those of all their ancestors. */
static void
find_ancestors(GovLoad *load, const GovLoaded *ids, int nids)
{
	Datum		args[2] = {load->owner, id_array(ids, nids)};

	load->count = (int) gov_spi_select(&ancestors_query, args, NULL);
	load->items = MemoryContextAllocZero(load->context,
										 sizeof(GovLoaded) * Max(load->count, 1));
	for (int i = 0; i < load->count; i++)
	{
		char	   *id = MemoryContextStrdup(load->context, gov_spi_text(i, 1));

		load->items[i].id = id;
		load->items[i].id_length = strlen(id);
	}
	SPI_freetuptable(SPI_tuptable);
}

/* Append a string to the block being built. */
static GovString
add_string(StringInfo block, const char *bytes, uint32 length)
{
	GovString	string = {block->len, length};

	appendBinaryStringInfo(block, bytes, length);
	appendStringInfoChar(block, '\0');
	return string;
}

static GovString
add_column(StringInfo block, uint64 row, int column)
{
	char	   *value = gov_spi_text(row, column);
	GovString	null_string = {0, 0};

	return value ? add_string(block, value, strlen(value)) : null_string;
}

/* Append the scope's ids, then the array that points to them. */
static void
add_scope(StringInfo block, uint64 row, int column, GovBudget *budget)
{
	bool		isnull;
	ArrayType  *array = DatumGetArrayTypeP(gov_spi_value(row, column, &isnull));
	Datum	   *elements;
	int			nelements;
	GovString  *scope;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, NULL, &nelements);
	scope = palloc(sizeof(GovString) * Max(nelements, 1));
	for (int i = 0; i < nelements; i++)
	{
		text	   *id = DatumGetTextPP(elements[i]);

		scope[i] = add_string(block, VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id));
	}
	while (block->len % MAXIMUM_ALIGNOF != 0)
		appendStringInfoChar(block, '\0');
	budget->scope = block->len;
	budget->nscope = nelements;
	appendBinaryStringInfo(block, (char *) scope, sizeof(GovString) * nelements);
}

static GovAmount
read_amount(uint64 row, int column, bool *isnull)
{
	Datum		value = gov_spi_value(row, column, isnull);
	GovAmount	amount = 0;

	if (!*isnull &&
		gov_amount_from_sum(DatumGetNumeric(value), &amount) != GOV_AMOUNT_OK)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("stored amount is out of range")));
	return amount;
}

static void
add_budget(StringInfo block, uint64 row, uint32 number)
{
	GovBudget	budget = {0};
	bool		isnull;

	budget.counter_id = DatumGetInt64(gov_spi_value(row, 5, &isnull));
	budget.capability_id = add_column(block, row, 6);
	budget.capability_hash = gov_text_hash(block->data + budget.capability_id.offset,
										   budget.capability_id.length);
	add_scope(block, row, 7, &budget);
	budget.name = add_column(block, row, 8);
	budget.limit = read_amount(row, 9, &isnull);
	budget.has_limit = !isnull;
	budget.cadence_text = add_column(block, row, 10);
	if (budget.cadence_text.offset != 0 &&
		!gov_cadence_parse(block->data + budget.cadence_text.offset, &budget.cadence))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("stored cadence \"%s\" is malformed",
						block->data + budget.cadence_text.offset)));
	budget.anchor = DatumGetTimestampTz(gov_spi_value(row, 11, &isnull));
	budget.has_anchor = !isnull;
	budget.timezone = add_column(block, row, 12);
	budget.is_soft = DatumGetBool(gov_spi_value(row, 13, &isnull));
	memcpy(block->data + offsetof(GovEntity, budgets) + number * sizeof(GovBudget),
		   &budget, sizeof(GovBudget));
}

static int
compare_strings(const char *block, GovString a, GovString b)
{
	int			order = memcmp(block + a.offset, block + b.offset,
							   Min(a.length, b.length));

	return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
}

/* The order that entity.h promises. */
static int
compare_budgets(const void *left, const void *right, void *arg)
{
	const GovBudget *a = left;
	const GovBudget *b = right;
	const GovEntity *entity = arg;
	const char *block = arg;
	int			order = 0;

	if (a->capability_hash != b->capability_hash)
		return a->capability_hash < b->capability_hash ? -1 : 1;
	order = compare_strings(block, a->capability_id, b->capability_id);
	if (order == 0 && a->nscope != b->nscope)
		order = a->nscope < b->nscope ? -1 : 1;
	for (uint32 i = 0; order == 0 && i < a->nscope; i++)
		order = compare_strings(block, gov_budget_scope(entity, a)[i],
								gov_budget_scope(entity, b)[i]);
	return order != 0 ? order : compare_strings(block, a->name, b->name);
}

/* Build the entity that rows [first, end) tell of; NULL if there is none. */
static GovEntity *
build_entity(const GovLoad *load, const GovLoaded *item, uint64 first, uint64 end)
{
	StringInfoData block;
	GovEntity	head = {0};
	GovEntity  *entity;
	bool		isnull;

	gov_spi_value(first, 2, &isnull);
	if (isnull)
		return NULL;

	gov_spi_value(first, 5, &isnull);
	head.nbudgets = isnull ? 0 : end - first;
	initStringInfo(&block);
	enlargeStringInfo(&block, offsetof(GovEntity, budgets) +
					  head.nbudgets * sizeof(GovBudget));
	block.len = offsetof(GovEntity, budgets) + head.nbudgets * sizeof(GovBudget);

	for (uint32 i = 0; i < head.nbudgets; i++)
		add_budget(&block, first + i, i);
	head.id = add_string(&block, item->id, item->id_length);
	head.type_id = add_column(&block, first, 2);
	head.parent_id = add_column(&block, first, 3);
	head.is_archived = DatumGetBool(gov_spi_value(first, 4, &isnull));
	head.size = block.len;
	memcpy(block.data, &head, offsetof(GovEntity, budgets));

	entity = MemoryContextAlloc(load->context, block.len);
	memcpy(entity, block.data, block.len);
	qsort_arg(entity->budgets, entity->nbudgets, sizeof(GovBudget),
			  compare_budgets, entity);
	pfree(block.data);
	return entity;
}

/* Fill in the entity of each item. */
static void
read_entities(GovLoad *load)
{
	Datum		args[2] = {load->owner, id_array(load->items, load->count)};
	uint64		nrows = gov_spi_select(&entities_query, args, NULL);
	uint64		first = 0;

	for (int i = 0; i < load->count; i++)
	{
		uint64		end = first;
		bool		isnull;

		while (end < nrows && DatumGetInt64(gov_spi_value(end, 1, &isnull)) == i + 1)
			end++;
		Assert(end > first);
		load->items[i].entity = build_entity(load, &load->items[i], first, end);
		first = end;
	}
	SPI_freetuptable(SPI_tuptable);
}

/* Give a counter its window at the load's time. */
static void
set_window(const GovLoad *load, const GovEntity *entity, const GovBudget *budget,
		   GovSharedCounter *counter)
{
	if (!gov_budget_window(entity, budget, load->now, &counter->window))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("cannot compute the window of budget \"%s\" of entity \"%s\"",
						gov_entity_string(entity, budget->name),
						gov_entity_string(entity, entity->id)),
				 errdetail("Its time zone is \"%s\".",
						   gov_entity_string(entity, budget->timezone)),
				 errhint("Change the cadence, anchor_at or timezone of that budget.")));
}

/* Collect the counters that have to be read. */
static int
list_counters(GovLoad *load, GovSharedCounter ***list)
{
	int			count = 0;
	int			most = 0;

	for (int i = 0; i < load->count; i++)
		most += load->items[i].entity ? load->items[i].entity->nbudgets : 0;
	*list = palloc(sizeof(GovSharedCounter *) * Max(most, 1));

	for (int i = 0; i < load->count; i++)
	{
		GovLoaded  *item = &load->items[i];
		uint32		nbudgets = item->entity ? item->entity->nbudgets : 0;

		item->counters = MemoryContextAllocZero(load->context,
												sizeof(GovSharedCounter) * Max(nbudgets, 1));
		for (uint32 b = 0; b < nbudgets; b++)
		{
			const GovBudget *budget = &item->entity->budgets[b];
			GovSharedCounter *counter = &item->counters[b];

			counter->id = budget->counter_id;
			if (load->claims != NULL &&
				gov_claim_has_counter(&load->claims[i], counter->id))
				continue;
			set_window(load, item->entity, budget, counter);
			(*list)[count++] = counter;
		}
	}
	return count;
}

/* Read the counts; returns the latest window start that the tables know. */
static TimestampTz
read_counts(const GovLoad *load, GovSharedCounter **list, int count)
{
	Datum	   *ids = palloc(sizeof(Datum) * count);
	Datum	   *starts = palloc(sizeof(Datum) * count);
	Datum		args[3];
	TimestampTz latest = DT_NOBEGIN;
	uint64		nrows;

	for (int i = 0; i < count; i++)
	{
		ids[i] = Int64GetDatum(list[i]->id);
		starts[i] = TimestampTzGetDatum(list[i]->window.start);
	}
	args[0] = PointerGetDatum(construct_array(ids, count, INT8OID, 8,
											  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	args[1] = PointerGetDatum(construct_array(starts, count, TIMESTAMPTZOID, 8,
											  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	args[2] = load->owner;
	nrows = gov_spi_select(&counters_query, args, NULL);
	for (uint64 row = 0; row < nrows; row++)
	{
		bool		isnull;
		int64		n = DatumGetInt64(gov_spi_value(row, 1, &isnull));
		GovSharedCounter *counter = list[n - 1];
		TimestampTz start;

		counter->total = read_amount(row, 2, &isnull);
		counter->held = read_amount(row, 3, &isnull);
		start = DatumGetTimestampTz(gov_spi_value(row, 4, &isnull));
		if (!isnull)
			latest = Max(latest, start);
	}
	SPI_freetuptable(SPI_tuptable);
	return latest;
}

/* Fill in the counters of each item, moving the clock on if it is behind. */
static void
read_counters(GovLoad *load)
{
	for (;;)
	{
		GovSharedCounter **list;
		int			count = list_counters(load, &list);
		TimestampTz latest = count > 0 ? read_counts(load, list, count) : DT_NOBEGIN;

		if (latest <= load->now)
			return;
		load->now = latest;
		if (load->claims != NULL)
			load->now = gov_clock_at_stripe(gov_stripe(load->key->stripe), latest);
	}
}

static Datum
counter_id_array(const GovLoad *load)
{
	Datum	   *ids;
	int			count = 0;

	for (int i = 0; i < load->count; i++)
		count += load->items[i].entity ? load->items[i].entity->nbudgets : 0;
	ids = palloc(sizeof(Datum) * Max(count, 1));
	count = 0;
	for (int i = 0; i < load->count; i++)
	{
		const GovEntity *entity = load->items[i].entity;

		for (uint32 b = 0; b < (entity ? entity->nbudgets : 0); b++)
			ids[count++] = Int64GetDatum(entity->budgets[b].counter_id);
	}
	return PointerGetDatum(construct_array(ids, count, INT8OID, 8, FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

/*
 * Find the budgets that this transaction has made, or given a new counter: they
 * are invisible to the same snapshot without our own rows.
 */
static void
find_own_budgets(GovLoad *load)
{
	Datum		args[1] = {counter_id_array(load)};
	uint64		nvisible = gov_spi_select(&visible_query, args, NULL);
	int64		n = 0;
	uint64		row = 0;

	for (int i = 0; i < load->count; i++)
	{
		GovLoaded  *item = &load->items[i];
		uint32		nbudgets = item->entity ? item->entity->nbudgets : 0;

		item->is_own = MemoryContextAlloc(load->context, sizeof(bool) * Max(nbudgets, 1));
		for (uint32 b = 0; b < nbudgets; b++)
		{
			bool		isnull;

			n++;
			item->is_own[b] = row >= nvisible ||
				DatumGetInt64(gov_spi_value(row, 1, &isnull)) != n;
			row += item->is_own[b] ? 0 : 1;
		}
	}
	SPI_freetuptable(SPI_tuptable);
}

/* A private load sees our own rows too, and notes which those are. */
static void
read_tables(GovLoad *load)
{
	bool		is_private = load->claims == NULL;

	gov_spi_push_snapshot(is_private ? GOV_SNAPSHOT_LATEST : GOV_SNAPSHOT_COMMITTED);
	read_entities(load);
	if (is_private)
	{
		gov_spi_set_snapshot(GOV_SNAPSHOT_COMMITTED);
		find_own_budgets(load);
		gov_spi_set_snapshot(GOV_SNAPSHOT_LATEST);
	}
	read_counters(load);
	gov_spi_pop_snapshot();
}

/* Claim what is to be loaded; drops from the list what is not ours to load. */
static GovNodeStatus
claim_items(GovLoad *load, const GovFreshness *since)
{
	GovNodeStatus status = GOV_NODE_READY;
	int			kept = 0;

	if (claims_capacity < load->count)
	{
		int			wanted = pg_nextpower2_32(Max(load->count, 64));

		claims = claims ? repalloc(claims, sizeof(GovClaim) * wanted) :
			MemoryContextAlloc(TopMemoryContext, sizeof(GovClaim) * wanted);
		claims_capacity = wanted;
	}
	Assert(nclaims == 0);
	for (int i = 0; i < load->count && status != GOV_NODE_FULL; i++)
	{
		status = gov_node_claim(load->key, load->items[i].id,
								load->items[i].id_length, since, &claims[nclaims]);
		if (status != GOV_NODE_MISSING)
			continue;
		nclaims++;
		load->items[kept++] = load->items[i];
	}
	load->count = kept;
	load->claims = claims;
	return status == GOV_NODE_FULL ? GOV_NODE_FULL : GOV_NODE_READY;
}

/* Install what was read; what must be loaded once more stays on the list. */
static GovNodeStatus
install_items(GovLoad *load)
{
	int			kept = 0;

	for (int i = 0; i < load->count; i++)
	{
		GovInstall	result = gov_claim_install(&claims[i], load->items[i].entity,
											   load->items[i].counters);

		if (result == GOV_INSTALL_FULL)
			return GOV_NODE_FULL;
		if (result == GOV_INSTALL_DONE)
			continue;
		claims[kept] = claims[i];
		if (kept != i)
			claims[i].node = InvalidDsaPointer;
		load->items[kept++] = load->items[i];
	}
	load->count = kept;
	nclaims = kept;
	return GOV_NODE_READY;
}

static void
lock_table_and_indexes(Oid relid)
{
	Relation	rel = try_table_open(relid, AccessShareLock);
	ListCell   *cell;

	if (rel == NULL)
		gov_raise_dropped();
	foreach(cell, RelationGetIndexList(rel))
		LockRelationOid(lfirst_oid(cell), AccessShareLock);
	table_close(rel, NoLock);
}

/*
 * Whoever holds a claim must not wait: so wait for the tables first, and for
 * their indexes, which REINDEX locks harder than it does the table.
 */
static void
lock_tables(void)
{
	const GovCatalog *catalog = gov_catalog();

	lock_table_and_indexes(catalog->entities);
	lock_table_and_indexes(catalog->assignments);
	lock_table_and_indexes(catalog->events);
	lock_table_and_indexes(catalog->usage);
	lock_table_and_indexes(catalog->reservations);
	lock_table_and_indexes(catalog->rollup_state);
}

static void
begin(GovLoad *load, GovSpi *spi, const GovOwnerKey *key)
{
	lock_tables();
	memset(load, 0, sizeof(*load));
	load->key = key;
	load->context = CurrentMemoryContext;
	load->now = gov_clock();
	gov_spi_begin(spi);
	load->owner = text_datum(key->owner, key->owner_length);
}

/*
 * Load ids and their ancestors into shared memory.  GOV_NODE_FULL if they do
 * not fit; otherwise somebody has loaded or is loading each of them.
 */
GovNodeStatus
gov_load_shared(const GovOwnerKey *key, const GovLoaded *ids, int nids,
				const GovFreshness *since)
{
	GovLoad		load;
	GovSpi		spi;
	GovNodeStatus status;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "governance load",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);

	begin(&load, &spi, key);
	load.now = gov_clock_at_stripe(gov_stripe(key->stripe), load.now);

	gov_spi_push_snapshot(GOV_SNAPSHOT_COMMITTED);
	find_ancestors(&load, ids, nids);
	gov_spi_pop_snapshot();

	status = claim_items(&load, since);
	while (status == GOV_NODE_READY && load.count > 0)
	{
		read_tables(&load);
		status = install_items(&load);
	}
	gov_load_abandon();

	gov_spi_end(&spi);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return status;
}

/* Read ids and their ancestors for this backend alone, into its own memory. */
void
gov_load_private(const GovOwnerKey *key, const GovLoaded *ids, int nids,
				 TimestampTz *now, GovLoadedList *result)
{
	GovLoad		load;
	GovSpi		spi;

	begin(&load, &spi, key);
	load.now = *now;
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	find_ancestors(&load, ids, nids);
	gov_spi_pop_snapshot();
	read_tables(&load);
	gov_spi_end(&spi);

	*now = load.now;
	result->count = load.count;
	result->items = load.items;
}
