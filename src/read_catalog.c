/*
 * read_catalog.c
 *		Reads entities and budgets, and builds what nodes hold of them.
 *
 * PURPOSE
 *		Runs inside a load (load.c), under its snapshot and as the extension's
 *		owner, and fills in the entity of each item.
 *
 * STATEMENTS
 *		They say not only what they want but how to get it.  They are planned
 *		once a session, perhaps when a table is still empty, and must be as good
 *		when it has grown: each row is looked up in a lateral subquery that
 *		"offset 0" keeps from being joined in any other way.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "read.h"

#define GOV_THRESHOLDS_MAX	10	/* of a budget, as the tables say */

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
	" a.cadence, a.anchor_at, a.timezone, a.enforcement = 'soft', a.id,"
	" array(select greatest(ceil(a.usage_limit * t.threshold * 1e7) * 1e-9, 1e-9)"
	"  from unnest(coalesce(a.alert_thresholds, d.thresholds)) as t(threshold)"
	"  where a.usage_limit * t.threshold < 1e29 order by 1)"
	" from (select coalesce("
	"   (select p.thresholds from @gov_alert_policies p where p.owner_id = $1),"
	"   (select p.thresholds from @gov_alert_policies p where p.owner_id is null))"
	"   as thresholds offset 0) d,"
	"  unnest($2) with ordinality as w(id, n)"
	" left join lateral (select g.* from @gov_entities g"
	"  where g.owner_id = $1 and g.id = w.id offset 0) e on true"
	" left join lateral (select b.* from @gov_assignments b"
	"  where b.owner_id = $1 and b.entity_id = w.id offset 0) a on e.type_id is not null"
	" order by w.n",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTARRAYOID}
};

static Datum
id_array(const GovLoaded *ids, int nids)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(nids, 1));

	for (int i = 0; i < nids; i++)
		elements[i] = PointerGetDatum(cstring_to_text_with_len(ids[i].id,
															   ids[i].id_length));
	return PointerGetDatum(construct_array(elements, nids, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

/* The ids and those of all their ancestors. */
void
gov_read_ancestors(GovLoad *load, const GovLoaded *ids, int nids)
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

static void
align(StringInfo block)
{
	while (block->len % MAXIMUM_ALIGNOF != 0)
		appendStringInfoChar(block, '\0');
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
	align(block);
	budget->scope = block->len;
	budget->nscope = nelements;
	appendBinaryStringInfo(block, (char *) scope, sizeof(GovString) * nelements);
}

/*
 * Append the amounts at which the budget raises alerts.  The statement leaves
 * out those that no sum of amounts can reach.
 */
static void
add_alerts(StringInfo block, uint64 row, int column, GovBudget *budget)
{
	GovAmount	amounts[GOV_THRESHOLDS_MAX];
	bool		isnull;
	ArrayType  *array = DatumGetArrayTypeP(gov_spi_value(row, column, &isnull));
	Datum	   *elements;
	int			nelements;

	deconstruct_array(array, NUMERICOID, -1, false, TYPALIGN_INT,
					  &elements, NULL, &nelements);
	nelements = Min(nelements, GOV_THRESHOLDS_MAX);
	for (int i = 0; i < nelements; i++)
	{
		if (gov_amount_from_sum(DatumGetNumeric(elements[i]), &amounts[i]) != GOV_AMOUNT_OK)
			gov_raise_stored_amount();
	}
	align(block);
	budget->alerts = block->len;
	budget->nalerts = nelements;
	appendBinaryStringInfo(block, (char *) amounts, sizeof(GovAmount) * nelements);
}

static void
add_budget(StringInfo block, uint64 row, uint32 number)
{
	GovBudget	budget = {0};
	bool		isnull;

	budget.id = *DatumGetUUIDP(gov_spi_value(row, 14, &isnull));
	budget.counter_id = DatumGetInt64(gov_spi_value(row, 5, &isnull));
	budget.capability_id = add_column(block, row, 6);
	budget.capability_hash = gov_text_hash(block->data + budget.capability_id.offset,
										   budget.capability_id.length);
	add_scope(block, row, 7, &budget);
	budget.name = add_column(block, row, 8);
	budget.limit = gov_read_amount(row, 9, &isnull);
	budget.has_limit = !isnull;
	budget.cadence_text = add_column(block, row, 10);
	if (budget.cadence_text.offset != 0 &&
		!gov_cadence_parse(block->data + budget.cadence_text.offset, &budget.cadence))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("stored cadence \"%s\" is malformed",
						gov_shown(block->data + budget.cadence_text.offset))));
	budget.anchor = DatumGetTimestampTz(gov_spi_value(row, 11, &isnull));
	budget.has_anchor = !isnull;
	budget.timezone = add_column(block, row, 12);
	budget.is_soft = DatumGetBool(gov_spi_value(row, 13, &isnull));
	add_alerts(block, row, 15, &budget);
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
	head.id_hash = gov_text_hash(item->id, item->id_length);
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
void
gov_read_entities(GovLoad *load)
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
