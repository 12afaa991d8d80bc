/*
 * load_would_be.c
 *		What a load would find of an entity that no table has yet.
 *
 * PURPOSE
 *		A use that creates an entity (gate/resolve_unknown.c) is judged by the
 *		budgets that the defaults of its type give it.  They are those that a load
 *		will find once the row is there, because they are made of the same: here of
 *		the row that the use would write.  Rows of gov_default_counts that the id
 *		has left say which of its counters were retired.
 *
 * COUNTS
 *		Nobody has charged such a budget, or can, before the entity is there.  So
 *		its counter begins with what this transaction has charged to it, and
 *		nothing is read.
 *
 * READING
 *		As in load_private.c.  Where there is no default nothing is read.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "cache/load_steps.h"
#include "ledger/columns.h"

static Relation
open_table(Oid relid)
{
	Relation	rel = try_table_open(relid, AccessShareLock);

	if (rel == NULL)
		gov_error_dropped();
	return rel;
}

static Datum
text_of(const char *bytes, uint32 length)
{
	return PointerGetDatum(cstring_to_text_with_len(bytes, length));
}

/* The row of gov_entities that the use would write, before anybody's triggers. */
static GovRow
make_row(const GovLoad *load, const GovWouldBe *of)
{
	Relation	rel = open_table(gov_catalog()->entities);
	int			natts = RelationGetDescr(rel)->natts;
	Datum	   *values = palloc0((sizeof(Datum) + sizeof(bool)) * natts);
	bool	   *nulls = (bool *) (values + natts);

	table_close(rel, NoLock);
	memset(nulls, true, sizeof(bool) * natts);
	values[GOV_ENTITY_OWNER_ID] = load->owner;
	values[GOV_ENTITY_ID] = text_of(of->id, of->id_length);
	values[GOV_ENTITY_TYPE_ID] = CStringGetTextDatum(of->type);
	if (of->parent != NULL)
		values[GOV_ENTITY_PARENT_ID] = text_of(of->parent, of->parent_length);
	values[GOV_ENTITY_METADATA] = DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
	values[GOV_ENTITY_CREATED_AT] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	nulls[GOV_ENTITY_OWNER_ID] = nulls[GOV_ENTITY_ID] = nulls[GOV_ENTITY_TYPE_ID] = false;
	nulls[GOV_ENTITY_PARENT_ID] = of->parent == NULL;
	nulls[GOV_ENTITY_METADATA] = nulls[GOV_ENTITY_CREATED_AT] = false;
	return (GovRow) {.values = values, .nulls = nulls};
}

/* Find the budgets that the entity would have by defaults. */
static void
find_budgets(GovLoad *load, const GovLoaded *item, const GovWouldBe *of, GovEntityRows *rows)
{
	GovDefaultTables tables;
	Relation	assignments;

	memset(rows, 0, sizeof(*rows));
	if (!gov_load_open_defaults(&tables))
		return;
	assignments = open_table(gov_catalog()->assignments);
	tables.budget = RelationGetDescr(assignments);
	rows->entity = make_row(load, of);
	rows->capacity = GOV_BUDGETS_AT_FIRST;
	rows->budgets = palloc(sizeof(GovRow) * rows->capacity);
	gov_load_inherited(load, &tables, item, rows->entity.values[GOV_ENTITY_ID], rows);
	table_close(assignments, NoLock);
	gov_load_close_defaults(&tables);
}

/* Read what the defaults give the entity, and build its block. */
static GovEntity *
build_entity(const GovOwnerKey *key, const GovLoaded *item, const GovWouldBe *of, const GovMet *met,
			 GovLoad *load)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	GovEntityRows rows;
	GovEntity  *entity;

	gov_load_begin(load, key);
	load->met = met;
	context = AllocSetContextCreate(caller, "governance load rows", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	find_budgets(load, item, of, &rows);
	entity = rows.nbudgets == 0 && rows.ntemplates == 0 ? NULL :
		gov_load_build_entity(load, item, &rows);
	gov_spi_pop_snapshot();
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return entity;
}

/*
 * What there would be of an entity, in the current memory context; met is who the
 * call has met, or NULL.
 */
GovLoaded *
gov_load_would_be(const GovOwnerKey *key, const GovWouldBe *of, const GovMet *met)
{
	GovLoaded  *item = palloc0(sizeof(GovLoaded));
	GovLoad		load;

	item->id = of->id;
	item->id_length = of->id_length;
	if (gov_load_has_defaults())
		item->entity = build_entity(key, item, of, met, &load);
	if (item->entity != NULL)
		gov_load_own_counters(&load, item);
	else
		item->entity = gov_load_build_bare(of);
	return item;
}
