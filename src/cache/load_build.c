/*
 * load_build.c
 *		Builds what nodes contain of an entity and its budgets.
 *
 * PURPOSE
 *		Takes the rows of an entity and its budgets (load_catalog.c) and puts
 *		them together to the one block that entity.h describes.
 *
 * FAILURE
 *		XX001 for a value that the tables would not have taken.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "cache/load_steps.h"
#include "cache/threshold.h"
#include "ledger/columns.h"
#include "pure/bytes.h"

#define GOV_THRESHOLDS_MAX	10	/* of a budget, as the tables say */

static void
align_block(StringInfo block, int alignment)
{
	while (block->len % alignment != 0)
		appendStringInfoChar(block, '\0');
}

/* Append a string to the block being built. */
static GovText
add_string(StringInfo block, const char *bytes, uint16 length)
{
	GovText		string;

	align_block(block, sizeof(uint16));
	string = block->len;
	appendBinaryStringInfo(block, (char *) &length, sizeof(length));
	appendBinaryStringInfo(block, bytes, length);
	appendStringInfoChar(block, '\0');
	return string;
}

static GovText
add_column(StringInfo block, const GovRow *row, int column)
{
	text	   *value = row->nulls[column] ? NULL : DatumGetTextPP(row->values[column]);

	return value ? add_string(block, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)) : 0;
}

/* Append the scope's ids, then the array that points to them. */
static void
add_scope(StringInfo block, const GovRow *row, GovBudgetMore *more)
{
	ArrayType  *array = DatumGetArrayTypeP(row->values[GOV_ASSIGNMENT_SCOPE_ENTITY_IDS]);
	Datum	   *elements;
	int			nelements;
	GovText    *scope;

	if (ARR_NDIM(array) == 0)
		return;
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, NULL, &nelements);
	scope = palloc(sizeof(GovText) * nelements);
	for (int i = 0; i < nelements; i++)
	{
		text	   *id = DatumGetTextPP(elements[i]);

		scope[i] = add_string(block, VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id));
	}
	align_block(block, sizeof(GovText));
	more->scope = block->len;
	more->nscope = nelements;
	appendBinaryStringInfo(block, (char *) scope, sizeof(GovText) * nelements);
}

static int
compare_amounts(const void *left, const void *right)
{
	GovAmount	a = *(const GovAmount *) left;
	GovAmount	b = *(const GovAmount *) right;

	return (a > b) - (a < b);
}

/* The thresholds of a budget, its own or the policy's; 0 for none. */
static Datum
thresholds_of(const GovLoad *load, const GovRow *row)
{
	return row->nulls[GOV_ASSIGNMENT_ALERT_THRESHOLDS] ? load->policy.thresholds :
		row->values[GOV_ASSIGNMENT_ALERT_THRESHOLDS];
}

/* The limit that thresholds are percentages of; NULL for none. */
static Numeric
alert_limit(const GovRow *row)
{
	if (row->pool != NULL)
		return int64_to_numeric(GOV_THRESHOLD_OF_POOL);
	return row->nulls[GOV_ASSIGNMENT_USAGE_LIMIT] ? NULL :
		DatumGetNumeric(row->values[GOV_ASSIGNMENT_USAGE_LIMIT]);
}

/*
 * Append the amounts at which the budget raises alerts, without those that no
 * sum of amounts can reach.
 */
static void
add_alerts(const GovLoad *load, StringInfo block, const GovRow *row, GovBudgetMore *more)
{
	GovAmount	amounts[GOV_THRESHOLDS_MAX];
	Datum		thresholds = thresholds_of(load, row);
	Numeric		limit = alert_limit(row);
	Datum	   *elements;
	int			nelements;
	int			count = 0;

	if (thresholds == (Datum) 0 || limit == NULL)
		return;
	deconstruct_array(DatumGetArrayTypeP(thresholds), NUMERICOID, -1, false, TYPALIGN_INT,
					  &elements, NULL, &nelements);
	for (int i = 0; i < Min(nelements, GOV_THRESHOLDS_MAX); i++)
	{
		if (gov_amount_from_share(limit, DatumGetNumeric(elements[i]), &amounts[count]) == GOV_AMOUNT_OK)
			count++;
	}
	if (count == 0)
		return;
	qsort(amounts, count, sizeof(GovAmount), compare_amounts);
	align_block(block, MAXIMUM_ALIGNOF);
	more->alerts = block->len;
	more->nalerts = count;
	appendBinaryStringInfo(block, (char *) amounts, sizeof(GovAmount) * count);
}

static bool
is_text(Datum value, const char *expected)
{
	return gov_bytes_are(DatumGetTextPP(value), expected, strlen(expected));
}

/* Append what hardly any budget has. */
static void
add_bounds(const GovLoad *load, StringInfo block, const GovRow *row, const GovBoosts *boosts,
		   GovBudgetMore *more)
{
	AttrNumber	call_limit = gov_catalog()->assignments_call_limit;
	GovBounds	bounds = {0};
	GovLimitStep *steps = NULL;

	if (row->counts != GOV_COUNTS_USAGE)
		return;
	bounds.has_call_limit = call_limit != InvalidAttrNumber && !row->nulls[call_limit - 1];
	if (bounds.has_call_limit)
		bounds.call_limit = gov_load_sum(row->values[call_limit - 1]);
	bounds.is_pool = row->pool != NULL;
	if (bounds.is_pool)
		bounds.debt_limit = gov_load_debt_limit(row);
	bounds.carries = row->carry != NULL;
	if (boosts->count > 0)
		bounds.nsteps = gov_load_limit_steps(load, boosts, row, &steps);
	if (!bounds.has_call_limit && bounds.nsteps == 0 && !bounds.is_pool && !bounds.carries)
		return;
	align_block(block, MAXIMUM_ALIGNOF);
	more->bounds = block->len;
	appendBinaryStringInfo(block, (char *) &bounds, offsetof(GovBounds, steps));
	if (bounds.nsteps > 0)
		appendBinaryStringInfo(block, (char *) steps, sizeof(GovLimitStep) * bounds.nsteps);
}

/* Append the grants of a pool.  Where their counts are is found when all budgets are in order. */
static void
add_pool(StringInfo block, const GovRow *row, GovBudgetMore *more)
{
	if (row->pool == NULL)
		return;
	align_block(block, MAXIMUM_ALIGNOF);
	more->pool = block->len;
	appendBinaryStringInfo(block, (char *) row->pool,
						   offsetof(GovPool, grants) + sizeof(GovGrant) * row->pool->ngrants);
}

/* Append what a budget carries over.  Where the count of the window before is is found likewise. */
static void
add_carry(StringInfo block, const GovRow *row, GovBudgetMore *more)
{
	if (row->carry == NULL)
		return;
	align_block(block, MAXIMUM_ALIGNOF);
	more->carry = block->len;
	appendBinaryStringInfo(block, (char *) row->carry, sizeof(GovCarry));
}

/* Append what an inherited budget is made of, right behind what few budgets have. */
static void
append_inherited(StringInfo block, const GovInheritedRow *row, GovText anchor)
{
	GovInherited inherited = {
		.default_id = row->default_id,
		.seed = row->seed,
		.anchor = anchor,
		.salt = row->salt,
		.wants_row = row->wants_row
	};

	appendBinaryStringInfo(block, (char *) &inherited, sizeof(inherited));
}

/* Append what few budgets have; returns where it is, or 0 if this one has none of it. */
static uint32
add_more(const GovLoad *load, StringInfo block, const GovRow *row, const GovBoosts *boosts)
{
	GovBudgetMore more = {0};
	GovText		inherited_anchor = 0;
	uint32		offset;

	add_scope(block, row, &more);
	more.has_anchor = !row->nulls[GOV_ASSIGNMENT_ANCHOR_AT];
	if (more.has_anchor)
		more.anchor = DatumGetTimestampTz(row->values[GOV_ASSIGNMENT_ANCHOR_AT]);
	if (!is_text(row->values[GOV_ASSIGNMENT_TIMEZONE], "UTC"))
		more.timezone = add_column(block, row, GOV_ASSIGNMENT_TIMEZONE);
	add_alerts(load, block, row, &more);
	add_bounds(load, block, row, boosts, &more);
	add_pool(block, row, &more);
	add_carry(block, row, &more);
	more.is_inherited = row->inherited != NULL;
	if (more.nscope == 0 && !more.has_anchor && more.timezone == 0 && more.nalerts == 0 &&
		more.bounds == 0 && !more.is_inherited)
		return 0;
	if (more.is_inherited && row->inherited->anchor != NULL)
		inherited_anchor = add_string(block, VARDATA_ANY(row->inherited->anchor),
									  VARSIZE_ANY_EXHDR(row->inherited->anchor));
	align_block(block, MAXIMUM_ALIGNOF);
	offset = block->len;
	appendBinaryStringInfo(block, (char *) &more, sizeof(more));
	if (more.is_inherited)
		append_inherited(block, row->inherited, inherited_anchor);
	return offset;
}

static void
read_window_kind(const GovRow *row, GovCadence *cadence)
{
	AttrNumber	column = gov_catalog()->assignments_window_kind;
	char	   *stored;

	if (column == InvalidAttrNumber || is_text(row->values[column - 1], "calendar"))
		return;
	stored = TextDatumGetCString(row->values[column - 1]);
	if (!gov_cadence_kind_parse(stored, &cadence->kind))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("stored window_kind \"%s\" is unknown", gov_error_shown(stored))));
}

static void
read_cadence(const GovRow *row, GovCadence *cadence)
{
	char	   *stored;

	if (row->nulls[GOV_ASSIGNMENT_CADENCE])
		return;
	stored = TextDatumGetCString(row->values[GOV_ASSIGNMENT_CADENCE]);
	if (!gov_cadence_parse(stored, cadence))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("stored cadence \"%s\" is malformed", gov_error_shown(stored))));
	read_window_kind(row, cadence);
}

/* Which it has of what few budgets have. */
static uint8
special_of(const GovBudgetMore *more, const GovCadence *cadence)
{
	return (more->nscope > 0 ? GOV_BUDGET_SCOPED : 0) |
		(more->is_inherited ? GOV_BUDGET_INHERITED : 0) |
		(more->bounds != 0 ? GOV_BUDGET_BOUNDED : 0) |
		(cadence->kind == GOV_WINDOW_FIRST_USE ? GOV_BUDGET_OPENS : 0) |
		(cadence->kind == GOV_WINDOW_SLIDING ? GOV_BUDGET_SLIDES : 0);
}

/* Read a budget, and append the inner part of what belongs to it. */
static void
add_budget(const GovLoad *load, StringInfo block, const GovEntityRows *rows, uint32 number)
{
	const GovRow *row = &rows->budgets[number];
	GovBudget	budget = {0};
	text	   *name = DatumGetTextPP(row->values[GOV_ASSIGNMENT_NAME]);
	text	   *capability = DatumGetTextPP(row->values[GOV_ASSIGNMENT_CAPABILITY_ID]);

	budget.id = *DatumGetUUIDP(row->values[GOV_ASSIGNMENT_ID]);
	budget.counter_id = DatumGetInt64(row->values[GOV_ASSIGNMENT_COUNTER_ID]);
	budget.capability_hash = gov_entity_text_hash(VARDATA_ANY(capability),
												  VARSIZE_ANY_EXHDR(capability));
	if (VARSIZE_ANY_EXHDR(name) > 0)
		budget.name = add_string(block, VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	budget.has_limit = !row->nulls[GOV_ASSIGNMENT_USAGE_LIMIT];
	if (budget.has_limit)
		budget.limit = gov_load_sum(row->values[GOV_ASSIGNMENT_USAGE_LIMIT]);
	budget.has_limit |= row->pool != NULL;
	budget.counts = row->counts;
	read_cadence(row, &budget.cadence);
	budget.is_soft = is_text(row->values[GOV_ASSIGNMENT_ENFORCEMENT], "soft");
	budget.more = add_more(load, block, row, &rows->boosts);
	budget.special = special_of(budget.more == 0 ? &gov_no_more :
								(const GovBudgetMore *) (block->data + budget.more), &budget.cadence);
	memcpy(block->data + offsetof(GovEntity, budgets) + number * sizeof(GovBudget),
		   &budget, sizeof(GovBudget));
}

/* The types of a template, which the array that points to them follows. */
static void
add_types(StringInfo block, const GovDefault *from, GovTemplate *template)
{
	Datum	   *types;
	int			ntypes;
	GovText		texts[GOV_TEMPLATE_TYPES_MAX];

	deconstruct_array(DatumGetArrayTypeP(from->values[GOV_DEFAULT_SCOPE_TYPE_IDS]), TEXTOID, -1, false,
					  TYPALIGN_INT, &types, NULL, &ntypes);
	ntypes = Min(ntypes, GOV_TEMPLATE_TYPES_MAX);
	for (int i = 0; i < ntypes; i++)
	{
		text	   *type = DatumGetTextPP(types[i]);

		texts[i] = add_string(block, VARDATA_ANY(type), VARSIZE_ANY_EXHDR(type));
	}
	align_block(block, sizeof(GovText));
	template->types = block->len;
	template->ntypes = ntypes;
	appendBinaryStringInfo(block, (char *) texts, sizeof(GovText) * ntypes);
}

/* Append the entity's templates behind its id, and then what they point to. */
static void
add_templates(StringInfo block, const GovEntityRows *rows)
{
	uint32		count = rows->ntemplates;
	Size		at;

	align_block(block, sizeof(uint32));
	appendBinaryStringInfo(block, (char *) &count, sizeof(count));
	at = block->len;
	appendStringInfoSpaces(block, count * sizeof(GovTemplate));
	for (uint32 i = 0; i < count; i++)
	{
		const GovDefault *from = rows->templates[i];
		text	   *capability = DatumGetTextPP(from->values[GOV_DEFAULT_CAPABILITY_ID]);
		text	   *name = DatumGetTextPP(from->values[GOV_DEFAULT_NAME]);
		GovTemplate template = {.default_id = *DatumGetUUIDP(from->values[GOV_DEFAULT_ID])};

		template.capability_hash = gov_entity_text_hash(VARDATA_ANY(capability),
														VARSIZE_ANY_EXHDR(capability));
		template.capability_id = add_string(block, VARDATA_ANY(capability), VARSIZE_ANY_EXHDR(capability));
		if (VARSIZE_ANY_EXHDR(name) > 0)
			template.name = add_string(block, VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
		add_types(block, from, &template);
		memcpy(block->data + at + i * sizeof(GovTemplate), &template, sizeof(template));
	}
}

/* Append until when the entity is blocked; returns where it is, or 0 if it is not. */
static uint32
add_block(StringInfo block, const GovRow *row)
{
	AttrNumber	at = gov_catalog()->entities_blocked_at;
	AttrNumber	until = gov_catalog()->entities_blocked_until;
	TimestampTz end = DT_NOEND;
	uint32		offset;

	if (at == InvalidAttrNumber || until == InvalidAttrNumber || row->nulls[at - 1])
		return 0;
	if (!row->nulls[until - 1])
		end = DatumGetTimestampTz(row->values[until - 1]);
	align_block(block, MAXIMUM_ALIGNOF);
	offset = block->len;
	appendBinaryStringInfo(block, (char *) &end, sizeof(end));
	return offset;
}

/* Append the outer strings; budgets of one capability share its id. */
static void
add_outer(StringInfo block, GovEntity *head, const GovRow *row, const GovRow *budgets)
{
	Size		at = offsetof(GovEntity, budgets);
	GovText		last = 0;

	head->type_id = add_column(block, row, GOV_ENTITY_TYPE_ID);
	head->parent_id = add_column(block, row, GOV_ENTITY_PARENT_ID);
	for (uint32 i = 0; i < head->nbudgets; i++)
	{
		text	   *capability = DatumGetTextPP(budgets[i].values[GOV_ASSIGNMENT_CAPABILITY_ID]);

		if (last == 0 || !gov_chars_are(gov_chars(block->data, last), VARDATA_ANY(capability),
										VARSIZE_ANY_EXHDR(capability)))
			last = add_column(block, &budgets[i], GOV_ASSIGNMENT_CAPABILITY_ID);
		((GovBudget *) (block->data + at))[i].capability_id = last;
	}
}

static int
compare_strings(const GovChars *a, const GovChars *b)
{
	return gov_bytes_compare(a->bytes, a->length, b->bytes, b->length);
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

/* Put budgets in order; those of one capability have the same string then, whichever way they were read. */
static void
sort_budgets(GovEntity *entity)
{
	GovBudget  *budgets = entity->budgets;

	qsort_arg(budgets, entity->nbudgets, sizeof(GovBudget), compare_budgets, entity);
	for (uint32 i = 1; i < entity->nbudgets; i++)
	{
		if (compare_strings(gov_chars(entity, budgets[i].capability_id),
							gov_chars(entity, budgets[i - 1].capability_id)) == 0)
			budgets[i].capability_id = budgets[i - 1].capability_id;
	}
}

/* The number that the count with some counter has, now that budgets are in order. */
static uint32
find_count(const GovEntity *entity, int64 counter_id)
{
	uint32		number = 0;

	while (entity->budgets[number].counts == GOV_COUNTS_USAGE ||
		   entity->budgets[number].counter_id != counter_id)
		number++;
	Assert(number < entity->nbudgets);
	return number;
}

/* The number that the count of the window before has which a budget carries something over from. */
static uint32
find_before(const GovEntity *entity, int64 counter_id)
{
	uint32		number = 0;

	while (!gov_budget_is_before(&entity->budgets[number]) ||
		   entity->budgets[number].counter_id != counter_id)
		number++;
	Assert(number < entity->nbudgets);
	return number;
}

/* Say of each pool where its counts are, and of what carries over. */
static void
find_counts(GovEntity *entity)
{
	for (uint32 i = 0; i < entity->nbudgets; i++)
	{
		const GovBudgetMore *more = gov_budget_more(entity, &entity->budgets[i]);
		GovPool    *pool = (GovPool *) ((char *) entity + more->pool);
		GovCarry   *carry = (GovCarry *) ((char *) entity + more->carry);

		if (more->carry != 0)
			carry->before = find_before(entity, entity->budgets[i].counter_id);
		if (more->pool == 0)
			continue;
		pool->debt = find_count(entity, pool->debt_counter_id);
		for (uint32 g = 0; g < pool->ngrants; g++)
			pool->grants[g].count = find_count(entity, pool->grants[g].counter_id);
	}
}

/* Build an entity from its row and those of its budgets. */
GovEntity *
gov_load_build_entity(const GovLoad *load, const GovLoaded *item, const GovEntityRows *rows)
{
	StringInfoData block;
	GovEntity	head = {0};
	Size		start = offsetof(GovEntity, budgets) + rows->nbudgets * sizeof(GovBudget);
	GovEntity  *entity;

	head.nbudgets = rows->nbudgets;
	head.id_hash = gov_entity_text_hash(item->id, item->id_length);
	head.is_archived = !rows->entity.nulls[GOV_ENTITY_ARCHIVED_AT];
	initStringInfo(&block);
	enlargeStringInfo(&block, start);
	block.len = start;

	add_string(&block, item->id, item->id_length);
	head.has_templates = rows->ntemplates > 0;
	if (head.has_templates)
		add_templates(&block, rows);
	for (uint32 i = 0; i < rows->nbudgets; i++)
		add_budget(load, &block, rows, i);
	head.block = add_block(&block, &rows->entity);
	align_block(&block, MAXIMUM_ALIGNOF);
	head.inner_size = block.len;
	add_outer(&block, &head, &rows->entity, rows->budgets);
	align_block(&block, MAXIMUM_ALIGNOF);
	head.size = block.len;
	memcpy(block.data, &head, offsetof(GovEntity, budgets));

	entity = MemoryContextAlloc(load->context, block.len);
	memcpy(entity, block.data, block.len);
	sort_budgets(entity);
	find_counts(entity);
	Assert(gov_entity_is_sound(entity));
	pfree(block.data);
	return entity;
}

/* Build an entity that no table has yet, and that would have no budgets. */
GovEntity *
gov_load_build_bare(const GovWouldBe *of)
{
	StringInfoData block;
	GovEntity	head = {.id_hash = gov_entity_text_hash(of->id, of->id_length)};

	initStringInfo(&block);
	enlargeStringInfo(&block, offsetof(GovEntity, budgets));
	block.len = offsetof(GovEntity, budgets);
	add_string(&block, of->id, of->id_length);
	align_block(&block, MAXIMUM_ALIGNOF);
	head.inner_size = block.len;
	head.type_id = add_string(&block, of->type, strlen(of->type));
	if (of->parent != NULL)
		head.parent_id = add_string(&block, of->parent, of->parent_length);
	align_block(&block, MAXIMUM_ALIGNOF);
	head.size = block.len;
	memcpy(block.data, &head, offsetof(GovEntity, budgets));
	Assert(gov_entity_is_sound((GovEntity *) block.data));
	return (GovEntity *) block.data;
}
