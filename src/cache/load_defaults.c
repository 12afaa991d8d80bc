/*
 * load_defaults.c
 *		Reads the budgets that an entity has by defaults, for a load.
 *
 * PURPOSE
 *		A default gives every entity of its type a budget that nobody makes a row
 *		for.  Its columns are put together here as gov_assignments would have
 *		them, from the default's row and the entity's, so that everything behind
 *		a load treats it as any other budget.  Where there is no default nothing
 *		is read.
 *
 * WHICH
 *		An owner's default goes before everybody's of the same type, capability,
 *		scope and name, and an assignment of the entity before both.
 *
 * READING
 *		As in load_catalog.c.  The defaults of a type are read once for a round of
 *		a load.  The rows of gov_default_counts say which of the entity's inherited
 *		budgets were used, so that who charges one need not say so again, and
 *		which were retired, whose counters must not come back.
 *
 * INVARIANTS
 *		A default that is made or changed makes all nodes of its owner stale, or
 *		all there are, so the budgets of a fresh node are those of the defaults.
 *
 * FAILURE
 *		Where the schema's owner has dropped an index the table is read through.
 *		An anchor that cannot be read, or that has no present window, is none: no
 *		call fails for what somebody has written into metadata.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "base/lookup.h"
#include "cache/inherited.h"
#include "cache/load_steps.h"
#include "ledger/columns.h"
#include "pure/anchor.h"
#include "pure/bytes.h"

#define GOV_DEFAULTS_AT_FIRST	8
#define GOV_BUDGETS_MAX			256 /* of one entity and capability */
#define GOV_ANCHOR_CREATED_AT	"created_at"
#define GOV_EPOCH_DISTANCE_US \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/* What gov_default_counts says of an entity. */
typedef struct GovCountRow
{
	pg_uuid_t	default_id;
	Datum		scope;
	int64		counter_id;
	int32		salt;
	bool		is_retired;
} GovCountRow;

typedef struct GovCountRows
{
	int			count;
	int			capacity;
	GovCountRow *items;
} GovCountRows;

/* Has any entity a budget by a default? */
bool
gov_load_has_defaults(void)
{
	return gov_lookup_is_filled(gov_catalog()->default_assignments);
}

/* Open the tables; false if there is no default. */
bool
gov_load_open_defaults(GovDefaultTables *tables)
{
	tables->counts = NULL;
	tables->defaults = gov_lookup_open_filled(gov_catalog()->default_assignments);
	if (tables->defaults == NULL)
		return false;
	tables->counts = gov_lookup_open_filled(gov_catalog()->default_counts);
	return true;
}

void
gov_load_close_defaults(GovDefaultTables *tables)
{
	if (tables->counts != NULL)
		table_close(tables->counts, NoLock);
	if (tables->defaults != NULL)
		table_close(tables->defaults, NoLock);
}

static bool
are_same_texts(Datum left, Datum right)
{
	return gov_bytes_same(DatumGetTextPP(left), DatumGetTextPP(right));
}

/* ---------------------------------------------------------------- defaults */

static void
keep_default(GovLoad *load, Relation rel, HeapTuple tuple)
{
	GovDefaultsRead *read = &load->defaults;
	TupleDesc	desc = RelationGetDescr(rel);
	MemoryContext caller = MemoryContextSwitchTo(load->context);
	Datum	   *values = palloc((sizeof(Datum) + sizeof(bool)) * desc->natts);
	bool	   *nulls = (bool *) (values + desc->natts);

	heap_deform_tuple(heap_copytuple(tuple), desc, values, nulls);
	if (read->count >= read->capacity)
	{
		read->capacity = Max(2 * read->capacity, GOV_DEFAULTS_AT_FIRST);
		read->items = read->items == NULL ? palloc(sizeof(GovDefault) * read->capacity) :
			repalloc_huge(read->items, sizeof(GovDefault) * read->capacity);
	}
	read->items[read->count++] = (GovDefault) {.values = values, .nulls = nulls};
	MemoryContextSwitchTo(caller);
}

/* Is a row of this owner, or of everybody where that is asked for? */
static bool
is_whose(Relation rel, HeapTuple tuple, Datum owner, bool is_everybodys)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, GOV_DEFAULT_OWNER_ID + 1, RelationGetDescr(rel), &isnull);

	return isnull ? is_everybodys : !is_everybodys && are_same_texts(value, owner);
}

/* Read the defaults of a type that are the owner's, or everybody's. */
static void
scan_defaults(GovLoad *load, Relation rel, Datum type, bool is_everybodys)
{
	Oid			index = gov_catalog()->default_assignments_key;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	if (is_everybodys)
		ScanKeyEntryInitialize(&keys[0], SK_ISNULL | SK_SEARCHNULL, GOV_DEFAULT_OWNER_ID + 1,
							   InvalidStrategy, InvalidOid, InvalidOid, InvalidOid, (Datum) 0);
	else
		ScanKeyEntryInitialize(&keys[0], 0, GOV_DEFAULT_OWNER_ID + 1, BTEqualStrategyNumber,
							   InvalidOid, C_COLLATION_OID, F_TEXTEQ, load->owner);
	ScanKeyEntryInitialize(&keys[1], 0, GOV_DEFAULT_TYPE_ID + 1, BTEqualStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_TEXTEQ, type);
	/* a scan of the table cannot ask for nulls: there the owner is compared below */
	if (OidIsValid(index))
		scan = systable_beginscan(rel, index, true, GetActiveSnapshot(), 2, keys);
	else
		scan = systable_beginscan(rel, InvalidOid, false, GetActiveSnapshot(), 1, &keys[1]);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (is_whose(rel, tuple, load->owner, is_everybodys))
			keep_default(load, rel, tuple);
	}
	systable_endscan(scan);
}

static bool
are_for_the_same(const GovDefault *one, const GovDefault *other)
{
	return are_same_texts(one->values[GOV_DEFAULT_CAPABILITY_ID], other->values[GOV_DEFAULT_CAPABILITY_ID]) &&
		are_same_texts(one->values[GOV_DEFAULT_NAME], other->values[GOV_DEFAULT_NAME]) &&
		gov_load_are_same_lists(one->values[GOV_DEFAULT_SCOPE_TYPE_IDS], other->values[GOV_DEFAULT_SCOPE_TYPE_IDS]);
}

/* Read the defaults of a type, unless they were read last. */
static void
read_defaults(GovLoad *load, Relation rel, Datum type)
{
	GovDefaultsRead *read = &load->defaults;
	int			nowners;
	MemoryContext caller;

	if (read->is_read && are_same_texts(PointerGetDatum(read->type), type))
		return;
	caller = MemoryContextSwitchTo(load->context);
	read->type = DatumGetTextPCopy(type);
	MemoryContextSwitchTo(caller);
	read->count = 0;
	scan_defaults(load, rel, type, false);
	nowners = read->count;
	scan_defaults(load, rel, type, true);
	for (int i = nowners; i < read->count; i++)
	{
		for (int o = 0; o < nowners && !read->items[i].is_shadowed; o++)
			read->items[i].is_shadowed = are_for_the_same(&read->items[i], &read->items[o]);
	}
	read->is_read = true;
}

/* ---------------------------------------------------------------- what was used, and what was retired */

static void
keep_count(GovCountRows *counts, Relation rel, HeapTuple tuple)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);

	heap_deform_tuple(heap_copytuple(tuple), desc, values, nulls);
	if (counts->count >= counts->capacity)
	{
		counts->capacity = Max(2 * counts->capacity, GOV_DEFAULTS_AT_FIRST);
		counts->items = counts->items == NULL ? palloc(sizeof(GovCountRow) * counts->capacity) :
			repalloc_huge(counts->items, sizeof(GovCountRow) * counts->capacity);
	}
	counts->items[counts->count++] = (GovCountRow) {
		.default_id = *DatumGetUUIDP(values[GOV_COUNT_DEFAULT_ID]),
		.scope = PointerGetDatum(DatumGetArrayTypeP(values[GOV_COUNT_SCOPE_ENTITY_IDS])),
		.counter_id = DatumGetInt64(values[GOV_COUNT_COUNTER_ID]),
		.salt = DatumGetInt32(values[GOV_COUNT_SALT]),
		.is_retired = DatumGetBool(values[GOV_COUNT_RETIRED])
	};
}

/* Read the rows of an entity; rel may be NULL. */
static void
read_counts(const GovLoad *load, Relation rel, Datum id, GovCountRows *counts)
{
	Oid			index = gov_catalog()->default_counts_entity;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	memset(counts, 0, sizeof(*counts));
	if (rel == NULL)
		return;
	ScanKeyEntryInitialize(&keys[0], 0, GOV_COUNT_OWNER_ID + 1, BTEqualStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_TEXTEQ, load->owner);
	ScanKeyEntryInitialize(&keys[1], 0, GOV_COUNT_ENTITY_ID + 1, BTEqualStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_TEXTEQ, id);
	scan = systable_beginscan(rel, index, OidIsValid(index), GetActiveSnapshot(), 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		keep_count(counts, rel, tuple);
	systable_endscan(scan);
}

/* How many budgets of this kind the entity has had that were retired. */
static int32
find_salt(const GovCountRows *counts, const GovInheritedKey *key)
{
	int32		salt = 0;

	for (int i = 0; i < counts->count; i++)
	{
		const GovCountRow *row = &counts->items[i];

		if (row->is_retired && row->salt >= salt && gov_uuid_is(&row->default_id, &key->default_id) &&
			gov_load_are_same_lists(row->scope, key->scope))
			salt = row->salt + 1;
	}
	return salt;
}

static bool
has_count(const GovCountRows *counts, int64 counter_id)
{
	for (int i = 0; i < counts->count; i++)
	{
		if (!counts->items[i].is_retired && counts->items[i].counter_id == counter_id)
			return true;
	}
	return false;
}

/* ---------------------------------------------------------------- anchors */

/* What an entity's metadata has under a key; NULL for nothing. */
static text *
find_metadata(const GovRow *entity, text *key)
{
	Jsonb	   *metadata = DatumGetJsonbP(entity->values[GOV_ENTITY_METADATA]);
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(&metadata->root, VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key), &value) == NULL ||
		value.type != jbvString)
		return NULL;
	return cstring_to_text_with_len(value.val.string.val, value.val.string.len);
}

/* What a default's anchor_from finds of an entity; NULL for nothing. */
static text *
find_anchor(const GovDefault *from, const GovRow *entity)
{
	text	   *source;
	TimestampTz created_at;

	if (from->nulls[GOV_DEFAULT_ANCHOR_FROM])
		return NULL;
	source = DatumGetTextPP(from->values[GOV_DEFAULT_ANCHOR_FROM]);
	if (!gov_bytes_are(source, GOV_ANCHOR_CREATED_AT, strlen(GOV_ANCHOR_CREATED_AT)))
		return find_metadata(entity, source);
	created_at = DatumGetTimestampTz(entity->values[GOV_ENTITY_CREATED_AT]);
	return TIMESTAMP_NOT_FINITE(created_at) ? NULL :
		cstring_to_text(psprintf(INT64_FORMAT, created_at + GOV_EPOCH_DISTANCE_US));
}

/* The anchor that the text says; false if it says none. */
static bool
read_anchor(const GovDefault *from, const GovRow *entity, text *anchor, pg_tz *tz, TimestampTz *result)
{
	text	   *source = DatumGetTextPP(from->values[GOV_DEFAULT_ANCHOR_FROM]);

	if (anchor == NULL)
		return false;
	if (!gov_bytes_are(source, GOV_ANCHOR_CREATED_AT, strlen(GOV_ANCHOR_CREATED_AT)))
		return gov_anchor_read(VARDATA_ANY(anchor), VARSIZE_ANY_EXHDR(anchor), tz, result);
	*result = DatumGetTimestampTz(entity->values[GOV_ENTITY_CREATED_AT]);
	return true;
}

/* Where the windows of an inherited budget are counted from; false: the calendar. */
static bool
find_anchor_at(const GovLoad *load, const GovDefault *from, const GovRow *entity, text *anchor,
			   TimestampTz *result)
{
	pg_tz	   *tz;
	GovCadence	cadence;
	GovWindow	window;

	if (from->nulls[GOV_DEFAULT_ANCHOR_FROM])
	{
		*result = DatumGetTimestampTz(from->values[GOV_DEFAULT_ANCHOR_AT]);
		return !from->nulls[GOV_DEFAULT_ANCHOR_AT];
	}
	tz = gov_window_timezone(TextDatumGetCString(from->values[GOV_DEFAULT_TIMEZONE]));
	return tz != NULL && read_anchor(from, entity, anchor, tz, result) &&
		(from->nulls[GOV_DEFAULT_CADENCE] ||
		 (gov_cadence_parse(TextDatumGetCString(from->values[GOV_DEFAULT_CADENCE]), &cadence) &&
		  gov_window_at(&cadence, true, *result, tz, load->now, &window)));
}

/* ---------------------------------------------------------------- budgets */

/* The columns that a budget has of its default. */
static const struct
{
	int			budget;
	int			from;
}			copied[] = {
	{GOV_ASSIGNMENT_CAPABILITY_ID, GOV_DEFAULT_CAPABILITY_ID},
	{GOV_ASSIGNMENT_NAME, GOV_DEFAULT_NAME},
	{GOV_ASSIGNMENT_USAGE_LIMIT, GOV_DEFAULT_USAGE_LIMIT},
	{GOV_ASSIGNMENT_CADENCE, GOV_DEFAULT_CADENCE},
	{GOV_ASSIGNMENT_TIMEZONE, GOV_DEFAULT_TIMEZONE},
	{GOV_ASSIGNMENT_ENFORCEMENT, GOV_DEFAULT_ENFORCEMENT},
	{GOV_ASSIGNMENT_LOCKED, GOV_DEFAULT_LOCKED},
	{GOV_ASSIGNMENT_ALERT_THRESHOLDS, GOV_DEFAULT_ALERT_THRESHOLDS},
	{GOV_ASSIGNMENT_CREATED_AT, GOV_DEFAULT_CREATED_AT},
	{GOV_ASSIGNMENT_UPDATED_AT, GOV_DEFAULT_UPDATED_AT}
};

/* What the budget is, and is named. */
static void
name_budget(const GovLoad *load, const GovDefault *from, const GovRow *entity, const GovCountRows *counts,
			Datum id, Datum scope, GovInheritedRow *inherited, Datum *values)
{
	GovInheritedKey key = {
		.default_id = *DatumGetUUIDP(from->values[GOV_DEFAULT_ID]),
		.seed = DatumGetInt64(from->values[GOV_DEFAULT_SEED]),
		.owner = load->owner,
		.entity = id,
		.scope = scope,
		.anchor = find_anchor(from, entity)
	};
	pg_uuid_t  *budget_id = palloc(sizeof(pg_uuid_t));
	int64		counter_id;

	key.salt = find_salt(counts, &key);
	gov_inherited_name(&key, budget_id, &counter_id);
	values[GOV_ASSIGNMENT_ID] = UUIDPGetDatum(budget_id);
	values[GOV_ASSIGNMENT_COUNTER_ID] = Int64GetDatum(counter_id);
	*inherited = (GovInheritedRow) {
		.default_id = key.default_id,
		.seed = key.seed,
		.anchor = key.anchor,
		.salt = key.salt,
		.wants_row = !has_count(counts, counter_id)
	};
}

/* The budget that an entity has by a default, as gov_assignments would have it. */
static GovRow
make_budget(const GovLoad *load, TupleDesc desc, const GovDefault *from, const GovRow *entity,
			const GovCountRows *counts, Datum id, Datum scope)
{
	Datum	   *values = palloc0((sizeof(Datum) + sizeof(bool)) * desc->natts);
	bool	   *nulls = (bool *) (values + desc->natts);
	GovInheritedRow *inherited = palloc(sizeof(GovInheritedRow));
	AttrNumber	call_limit = gov_catalog()->assignments_call_limit;
	TimestampTz anchor_at = 0;

	memset(nulls, true, sizeof(bool) * desc->natts);
	memset(nulls, false, sizeof(bool) * (GOV_ASSIGNMENT_COUNTER_ID + 1));
	for (int i = 0; i < lengthof(copied); i++)
	{
		values[copied[i].budget] = from->values[copied[i].from];
		nulls[copied[i].budget] = from->nulls[copied[i].from];
	}
	name_budget(load, from, entity, counts, id, scope, inherited, values);
	values[GOV_ASSIGNMENT_OWNER_ID] = load->owner;
	values[GOV_ASSIGNMENT_ENTITY_ID] = id;
	values[GOV_ASSIGNMENT_SCOPE_ENTITY_IDS] = scope;
	values[GOV_ASSIGNMENT_STRICT_ALLOCATION] = BoolGetDatum(false);
	nulls[GOV_ASSIGNMENT_ANCHOR_AT] = !find_anchor_at(load, from, entity, inherited->anchor, &anchor_at);
	values[GOV_ASSIGNMENT_ANCHOR_AT] = TimestampTzGetDatum(anchor_at);
	if (call_limit != InvalidAttrNumber)
	{
		values[call_limit - 1] = from->values[GOV_DEFAULT_CALL_LIMIT];
		nulls[call_limit - 1] = from->nulls[GOV_DEFAULT_CALL_LIMIT];
	}
	return (GovRow) {.values = values, .nulls = nulls, .inherited = inherited};
}

/* Has the entity an assignment in the place of the budget? */
static bool
is_overridden(const GovEntityRows *rows, const GovDefault *from, Datum scope)
{
	for (uint32 i = 0; i < rows->nown; i++)
	{
		const Datum *own = rows->budgets[i].values;

		if (are_same_texts(own[GOV_ASSIGNMENT_CAPABILITY_ID], from->values[GOV_DEFAULT_CAPABILITY_ID]) &&
			are_same_texts(own[GOV_ASSIGNMENT_NAME], from->values[GOV_DEFAULT_NAME]) &&
			gov_load_are_same_lists(own[GOV_ASSIGNMENT_SCOPE_ENTITY_IDS], scope))
			return true;
	}
	return false;
}

/* Add the budget that an entity has by a default in a scope, unless it has one of its own. */
static bool
add_budget(GovLoad *load, const GovDefaultTables *tables, GovEntityRows *rows, const GovDefault *from,
		   const GovCountRows *counts, Datum id, Datum scope)
{
	GovRow		budget;

	if (!load->has_replaced && is_overridden(rows, from, scope))
		return false;
	budget = make_budget(load, tables->budget, from, &rows->entity, counts, id, scope);
	gov_load_add_budget(load, rows, &budget);
	return budget.inherited->wants_row;
}

/* How many budgets an entity has for a capability, but for those whose scope nobody has used yet. */
static int
count_used(const GovEntityRows *rows, Datum capability)
{
	int			count = 0;

	for (uint32 i = 0; i < rows->nbudgets; i++)
	{
		const GovRow *row = &rows->budgets[i];
		ArrayType  *scope = DatumGetArrayTypeP(row->values[GOV_ASSIGNMENT_SCOPE_ENTITY_IDS]);

		if (are_same_texts(row->values[GOV_ASSIGNMENT_CAPABILITY_ID], capability) &&
			(row->inherited == NULL || !row->inherited->wants_row || ARR_NDIM(scope) == 0))
			count++;
	}
	return count;
}

static void
check_count(const GovLoad *load, const GovEntityRows *rows, const GovDefault *from, Datum id, int nadded)
{
	Datum		capability = from->values[GOV_DEFAULT_CAPABILITY_ID];

	if (nadded == 0 || load->has_replaced || count_used(rows, capability) + nadded <= GOV_BUDGETS_MAX)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("entity \"%s\" has too many budgets for capability \"%s\"",
					gov_error_shown(TextDatumGetCString(id)),
					gov_error_shown(TextDatumGetCString(capability))),
			 errdetail("There may be at most %d, with those by defaults: one for each combination that its default with a scope has met.",
					   GOV_BUDGETS_MAX),
			 errhint("Let the default's scope_type_ids name types of which there are fewer.")));
}

/* Add the budgets that an entity has by a default with a scope. */
static void
add_scoped(GovLoad *load, const GovDefaultTables *tables, GovEntityRows *rows, const GovDefault *from,
		   const GovCountRows *counts, Datum id, const GovEntity *former)
{
	GovScopes	scopes = {0};
	int			nadded = 0;

	rows->templates[rows->ntemplates++] = from;
	gov_load_scopes_met(load, from, &scopes);
	for (int i = 0; i < counts->count; i++)
	{
		const GovCountRow *row = &counts->items[i];

		if (!row->is_retired &&
			gov_uuid_is(&row->default_id, DatumGetUUIDP(from->values[GOV_DEFAULT_ID])))
			gov_load_scopes_add(&scopes, row->scope);
	}
	gov_load_scopes_kept(former, from, &scopes);
	for (int i = 0; i < scopes.count; i++)
	{
		if (add_budget(load, tables, rows, from, counts, id, scopes.items[i]) && i < scopes.nmet)
			nadded++;
	}
	check_count(load, rows, from, id, nadded);
}

static bool
has_scope(const GovDefault *from)
{
	return ARR_NDIM(DatumGetArrayTypeP(from->values[GOV_DEFAULT_SCOPE_TYPE_IDS])) > 0;
}

/* Add the budgets that an entity has by defaults to its own. */
void
gov_load_inherited(GovLoad *load, const GovDefaultTables *tables, const GovLoaded *item, Datum id,
				   GovEntityRows *rows)
{
	Datum		no_scope = PointerGetDatum(construct_empty_array(TEXTOID));
	const GovEntity *former = NULL;
	GovCountRows counts;

	rows->nown = rows->nbudgets;
	read_defaults(load, tables->defaults, rows->entity.values[GOV_ENTITY_TYPE_ID]);
	if (load->defaults.count == 0)
		return;
	read_counts(load, tables->counts, id, &counts);
	rows->templates = palloc(sizeof(GovDefault *) * load->defaults.count);
	for (int i = 0; i < load->defaults.count; i++)
	{
		const GovDefault *from = &load->defaults.items[i];

		if (from->is_shadowed)
			continue;
		if (!has_scope(from))
		{
			add_budget(load, tables, rows, from, &counts, id, no_scope);
			continue;
		}
		if (rows->ntemplates == 0)
			former = gov_load_former(load, item);
		add_scoped(load, tables, rows, from, &counts, id, former);
	}
}
