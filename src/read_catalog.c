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

static void
align(StringInfo block, int alignment)
{
	while (block->len % alignment != 0)
		appendStringInfoChar(block, '\0');
}

/* Append a string to the block being built. */
static GovText
add_string(StringInfo block, const char *bytes, uint16 length)
{
	GovText		text;

	align(block, sizeof(uint16));
	text = block->len;
	appendBinaryStringInfo(block, (char *) &length, sizeof(length));
	appendBinaryStringInfo(block, bytes, length);
	appendStringInfoChar(block, '\0');
	return text;
}

static GovText
add_column(StringInfo block, uint64 row, int column)
{
	char	   *value = gov_spi_text(row, column);

	return value ? add_string(block, value, strlen(value)) : 0;
}

/* Append the scope's ids, then the array that points to them. */
static void
add_scope(StringInfo block, uint64 row, int column, GovBudgetMore *more)
{
	bool		isnull;
	ArrayType  *array = DatumGetArrayTypeP(gov_spi_value(row, column, &isnull));
	Datum	   *elements;
	int			nelements;
	GovText    *scope;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, NULL, &nelements);
	if (nelements == 0)
		return;
	scope = palloc(sizeof(GovText) * nelements);
	for (int i = 0; i < nelements; i++)
	{
		text	   *id = DatumGetTextPP(elements[i]);

		scope[i] = add_string(block, VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id));
	}
	align(block, sizeof(GovText));
	more->scope = block->len;
	more->nscope = nelements;
	appendBinaryStringInfo(block, (char *) scope, sizeof(GovText) * nelements);
}

/*
 * Append the amounts at which the budget raises alerts.  The statement leaves
 * out those that no sum of amounts can reach.
 */
static void
add_alerts(StringInfo block, uint64 row, int column, GovBudgetMore *more)
{
	GovAmount	amounts[GOV_THRESHOLDS_MAX];
	bool		isnull;
	ArrayType  *array = DatumGetArrayTypeP(gov_spi_value(row, column, &isnull));
	Datum	   *elements;
	int			nelements;

	deconstruct_array(array, NUMERICOID, -1, false, TYPALIGN_INT,
					  &elements, NULL, &nelements);
	nelements = Min(nelements, GOV_THRESHOLDS_MAX);
	if (nelements == 0)
		return;
	for (int i = 0; i < nelements; i++)
	{
		if (gov_amount_from_sum(DatumGetNumeric(elements[i]), &amounts[i]) != GOV_AMOUNT_OK)
			gov_raise_stored_amount();
	}
	align(block, MAXIMUM_ALIGNOF);
	more->alerts = block->len;
	more->nalerts = nelements;
	appendBinaryStringInfo(block, (char *) amounts, sizeof(GovAmount) * nelements);
}

/* Append what few budgets have; returns where it is, or 0 if this one has none of it. */
static uint32
add_more(StringInfo block, uint64 row)
{
	GovBudgetMore more = {0};
	char	   *timezone = gov_spi_text(row, 12);
	bool		isnull;
	uint32		offset;

	add_scope(block, row, 7, &more);
	more.anchor = DatumGetTimestampTz(gov_spi_value(row, 11, &isnull));
	more.has_anchor = !isnull;
	if (strcmp(timezone, "UTC") != 0)
		more.timezone = add_string(block, timezone, strlen(timezone));
	add_alerts(block, row, 15, &more);
	if (more.nscope == 0 && !more.has_anchor && more.timezone == 0 && more.nalerts == 0)
		return 0;
	align(block, MAXIMUM_ALIGNOF);
	offset = block->len;
	appendBinaryStringInfo(block, (char *) &more, sizeof(more));
	return offset;
}

static void
read_cadence(uint64 row, GovCadence *cadence)
{
	char	   *text = gov_spi_text(row, 10);

	if (text != NULL && !gov_cadence_parse(text, cadence))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("stored cadence \"%s\" is malformed", gov_shown(text))));
}

/* Read a budget, and append the inner part of what belongs to it. */
static void
add_budget(StringInfo block, uint64 row, uint32 number)
{
	GovBudget	budget = {0};
	char	   *name = gov_spi_text(row, 8);
	char	   *capability = gov_spi_text(row, 6);
	bool		isnull;

	budget.id = *DatumGetUUIDP(gov_spi_value(row, 14, &isnull));
	budget.counter_id = DatumGetInt64(gov_spi_value(row, 5, &isnull));
	budget.capability_hash = gov_text_hash(capability, strlen(capability));
	if (name[0] != '\0')
		budget.name = add_string(block, name, strlen(name));
	budget.limit = gov_read_amount(row, 9, &isnull);
	budget.has_limit = !isnull;
	read_cadence(row, &budget.cadence);
	budget.is_soft = DatumGetBool(gov_spi_value(row, 13, &isnull));
	budget.more = add_more(block, row);
	memcpy(block->data + offsetof(GovEntity, budgets) + number * sizeof(GovBudget),
		   &budget, sizeof(GovBudget));
}

/* Append the outer strings; budgets of one capability share its id. */
static void
add_outer(StringInfo block, GovEntity *head, uint64 first)
{
	Size		budgets = offsetof(GovEntity, budgets);
	GovText		last = 0;

	head->type_id = add_column(block, first, 2);
	head->parent_id = add_column(block, first, 3);
	for (uint32 i = 0; i < head->nbudgets; i++)
	{
		char	   *capability = gov_spi_text(first + i, 6);

		if (last == 0 || !gov_chars_are(gov_chars(block->data, last), capability,
										strlen(capability)))
			last = add_string(block, capability, strlen(capability));
		((GovBudget *) (block->data + budgets))[i].capability_id = last;
	}
}

static int
compare_strings(const GovChars *a, const GovChars *b)
{
	int			order = memcmp(a->bytes, b->bytes, Min(a->length, b->length));

	return order != 0 ? order : (a->length > b->length) - (a->length < b->length);
}

/* The order that entity.h promises. */
static int
compare_budgets(const void *left, const void *right, void *arg)
{
	const GovBudget *a = left;
	const GovBudget *b = right;
	const GovEntity *entity = arg;
	uint32		a_nscope = gov_budget_more(entity, a)->nscope;
	uint32		b_nscope = gov_budget_more(entity, b)->nscope;
	int			order = 0;

	if (a->capability_hash != b->capability_hash)
		return a->capability_hash < b->capability_hash ? -1 : 1;
	order = compare_strings(gov_chars(entity, a->capability_id),
							gov_chars(entity, b->capability_id));
	if (order == 0 && a_nscope != b_nscope)
		order = a_nscope < b_nscope ? -1 : 1;
	for (uint32 i = 0; order == 0 && i < a_nscope; i++)
		order = compare_strings(gov_chars(entity, gov_budget_scope(entity, a)[i]),
								gov_chars(entity, gov_budget_scope(entity, b)[i]));
	return order != 0 ? order : compare_strings(gov_chars(entity, a->name),
												gov_chars(entity, b->name));
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
	head.id_hash = gov_text_hash(item->id, item->id_length);
	head.is_archived = DatumGetBool(gov_spi_value(first, 4, &isnull));
	initStringInfo(&block);
	enlargeStringInfo(&block, offsetof(GovEntity, budgets) +
					  head.nbudgets * sizeof(GovBudget));
	block.len = offsetof(GovEntity, budgets) + head.nbudgets * sizeof(GovBudget);

	add_string(&block, item->id, item->id_length);
	for (uint32 i = 0; i < head.nbudgets; i++)
		add_budget(&block, first + i, i);
	align(&block, MAXIMUM_ALIGNOF);
	head.inner_size = block.len;
	add_outer(&block, &head, first);
	align(&block, MAXIMUM_ALIGNOF);
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
