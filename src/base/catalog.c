/*
 * catalog.c
 *		Where this database keeps the extension: OIDs, looked up once.
 *
 * PURPOSE
 *		The engine works on its tables by OID.  They are looked up at first
 *		use and kept until an invalidation says that they may have changed:
 *		DROP EXTENSION, a renamed schema.
 *
 * INVARIANTS
 *		The callbacks only set a flag: they run where no catalog may be read.
 *		A lookup never returns a half-filled GovCatalog: it is filled in a
 *		local variable and copied whole.
 *
 * FAILURE
 *		Without the extension gov_catalog() raises 42704, and
 *		gov_catalog_if_installed() returns NULL, for the worker to leave.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/index.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_proc.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/catalog.h"
#include "base/compat.h"

/* A table, index or sequence of ours, and where GovCatalog has its OID. */
typedef struct GovKnownRelation
{
	const char *name;
	Size		field;
	Size		table;			/* of an index: the field of its table; else 0 */
	bool		is_required;	/* nothing works without it */
} GovKnownRelation;

#define RELATION(field, name)		{name, offsetof(GovCatalog, field)}
#define REQUIRED(field, name)		{name, offsetof(GovCatalog, field), 0, true}
#define INDEX(field, name, table)	{name, offsetof(GovCatalog, field), offsetof(GovCatalog, table)}
#define REQUIRED_INDEX(field, name, table) \
	{name, offsetof(GovCatalog, field), offsetof(GovCatalog, table), true}

/* A table stands before its indexes. */
static const GovKnownRelation known[] = {
	RELATION(entity_types, "gov_entity_types"),
	RELATION(capabilities, "gov_capabilities"),
	RELATION(entities, "gov_entities"),
	INDEX(entities_pkey, "gov_entities_pkey", entities),
	INDEX(entities_parent, "gov_entities_parent_id_idx", entities),
	RELATION(assignments, "gov_assignments"),
	INDEX(assignments_key, "gov_assignments_key", assignments),
	INDEX(assignments_counter, "gov_assignments_counter_id_key", assignments),
	INDEX(assignments_strict, "gov_assignments_strict", assignments),
	RELATION(default_assignments, "gov_default_assignments"),
	INDEX(default_assignments_key, "gov_default_assignments_key", default_assignments),
	RELATION(default_counts, "gov_default_counts"),
	INDEX(default_counts_entity, "gov_default_counts_entity_idx", default_counts),
	INDEX(default_counts_assignment, "gov_default_counts_assignment_idx", default_counts),
	INDEX(default_counts_counter, "gov_default_counts_counter_idx", default_counts),
	RELATION(boosts, "gov_boosts"),
	INDEX(boosts_budget, "gov_boosts_budget_idx", boosts),
	RELATION(increase_requests, "gov_increase_requests"),
	RELATION(grants, "gov_grants"),
	INDEX(grants_open, "gov_grants_open", grants),
	RELATION(grant_usage, "gov_grant_usage"),
	INDEX(grant_usage_pkey, "gov_grant_usage_pkey", grant_usage),
	RELATION(prices, "gov_prices"),
	RELATION(counter_seq, "gov_counter_seq"),
	RELATION(events, "gov_events"),
	REQUIRED_INDEX(events_key, "gov_events_key", events),
	INDEX(events_owner, "gov_events_owner_id_idx", events),
	INDEX(events_pkey, "gov_events_pkey", events),
	RELATION(events_id_seq, "gov_events_id_seq"),
	RELATION(usage, "gov_usage"),
	INDEX(usage_pkey, "gov_usage_pkey", usage),
	INDEX(usage_merged, "gov_usage_merged", usage),
	RELATION(recounts, "gov_recounts"),
	RELATION(usage_by_time, "gov_usage_by_time"),
	REQUIRED(alerts, "gov_alerts"),
	RELATION(denials, "gov_denials"),
	REQUIRED(alert_policies, "gov_alert_policies"),
	INDEX(alert_policies_key, "gov_alert_policies_key", alert_policies),
	REQUIRED(reservations, "gov_reservations"),
	INDEX(reservations_pkey, "gov_reservations_pkey", reservations),
	REQUIRED_INDEX(reservations_key, "gov_reservations_key", reservations),
	REQUIRED_INDEX(reservations_open, "gov_reservations_open", reservations),
	RELATION(changes, "gov_changes"),
	RELATION(changes_id_seq, "gov_changes_id_seq"),
	RELATION(limit_history, "gov_limit_history"),
	INDEX(limit_history_pkey, "gov_limit_history_pkey", limit_history),
	RELATION(forgotten, "gov_forgotten"),
	RELATION(frozen_owners, "gov_frozen_owners"),
	RELATION(imports, "gov_imports"),
	REQUIRED(rollup_state, "gov_rollup_state"),
	INDEX(rollup_state_pkey, "gov_rollup_state_pkey", rollup_state)
};

static GovCatalog found_last;
const GovCatalog *gov_catalog_current = NULL;
static uint64 invalidations = 0;

static Oid *
field_of(GovCatalog *catalog, Size field)
{
	return (Oid *) ((char *) catalog + field);
}

static void
invalidate_catalog(void)
{
	gov_catalog_current = NULL;
	invalidations++;
}

static bool
is_known(Oid relid)
{
	for (int i = 0; i < lengthof(known); i++)
	{
		if (*field_of(&found_last, known[i].field) == relid)
			return true;
	}
	return false;
}

/* Has one of the relations that we know changed, or any of all? */
static void
relation_changed(Datum arg, Oid relid)
{
	/* while it is being looked up nobody knows which relation matters */
	if (gov_catalog_current == NULL || relid == InvalidOid || is_known(relid))
		invalidate_catalog();
}

static void
schema_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	invalidate_catalog();
}

void
gov_catalog_init(void)
{
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, schema_changed, (Datum) 0);
}

/* Fill in extension, owner and schema; false if it is not installed. */
static bool
find_extension(GovCatalog *catalog)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum("governance"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		Form_pg_extension form = (Form_pg_extension) GETSTRUCT(tuple);

		catalog->extension = form->oid;
		catalog->owner = form->extowner;
		catalog->schema = form->extnamespace;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/*
 * Find a relation by its name.  It may be absent while the extension is
 * created or dropped.
 */
static Oid
find_relation(const GovCatalog *catalog, const char *name)
{
	return get_relname_relid(name, catalog->schema);
}

/*
 * Find an index of one of our tables.  Whoever owns the schema may drop an
 * index, and give its name to an index of another table.
 */
static Oid
find_index(const GovCatalog *catalog, const char *name, Oid table)
{
	Oid			index = find_relation(catalog, name);

	return OidIsValid(index) && OidIsValid(table) && IndexGetRelation(index, true) == table ?
		index : InvalidOid;
}

/* A function without arguments. */
static Oid
find_function(const GovCatalog *catalog, const char *name)
{
	oidvector  *no_types = buildoidvector(NULL, 0);

	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
						   CStringGetDatum(name), PointerGetDatum(no_types),
						   ObjectIdGetDatum(catalog->schema));
}

/*
 * A column that 1.1 has added: behind those that users had added before.  Invalid
 * in an extension that is not updated yet.
 */
static AttrNumber
find_column(Oid table, const char *name)
{
	return OidIsValid(table) ? get_attnum(table, name) : InvalidAttrNumber;
}

/* Look the relations up; false if one is missing that nothing works without. */
static bool
find_relations(GovCatalog *catalog)
{
	bool		has_required = true;

	for (int i = 0; i < lengthof(known); i++)
	{
		Oid		   *oid = field_of(catalog, known[i].field);

		*oid = known[i].table == 0 ? find_relation(catalog, known[i].name) :
			find_index(catalog, known[i].name, *field_of(catalog, known[i].table));
		has_required &= OidIsValid(*oid) || !known[i].is_required;
	}
	return has_required;
}

static bool
look_up(GovCatalog *catalog)
{
	char	   *schema_name;
	bool		has_required;

	if (!find_extension(catalog))
		return false;
	schema_name = get_namespace_name(catalog->schema);
	if (schema_name == NULL)
		return false;
	strlcpy(catalog->schema_name, quote_identifier(schema_name),
			sizeof(catalog->schema_name));
	has_required = find_relations(catalog);
	catalog->entities_blocked_at = find_column(catalog->entities, "blocked_at");
	catalog->entities_blocked_until = find_column(catalog->entities, "blocked_until");
	catalog->entities_created_by_use = find_column(catalog->entities, "created_by_use");
	catalog->has_unknown_rules =
		find_column(catalog->entity_types, "on_unknown") != InvalidAttrNumber;
	catalog->assignments_call_limit = find_column(catalog->assignments, "call_limit");
	catalog->assignments_is_pool = find_column(catalog->assignments, "is_pool");
	catalog->assignments_debt_limit = find_column(catalog->assignments, "debt_limit");
	catalog->assignments_debt_counter_id = find_column(catalog->assignments, "debt_counter_id");
	catalog->assignments_window_kind = find_column(catalog->assignments, "window_kind");
	catalog->assignments_carry_unused_max = find_column(catalog->assignments, "carry_unused_max");
	catalog->assignments_carry_debt = find_column(catalog->assignments, "carry_debt");
	catalog->assignments_carry_from = find_column(catalog->assignments, "carry_from");
	catalog->events_reverses = find_column(catalog->events, "reverses");
	catalog->events_draws = find_column(catalog->events, "draws");
	catalog->events_call_event_ids = find_column(catalog->events, "call_event_ids");
	catalog->events_quantities = find_column(catalog->events, "quantities");
	catalog->events_prices = find_column(catalog->events, "prices");
	catalog->reservations_quantities = find_column(catalog->reservations, "quantities");
	catalog->reservations_amounts = find_column(catalog->reservations, "amounts");
	catalog->reservations_assignment_amounts =
		find_column(catalog->reservations, "assignment_amounts");
	catalog->usage_merged_windows = find_column(catalog->usage, "merged_windows");
	if (!OidIsValid(catalog->usage_by_time))
		catalog->usage_by_time = find_relation(catalog, "gov_usage_hourly");
	catalog->has_1_1_tables = OidIsValid(catalog->rollup_state) &&
		get_attnum(catalog->rollup_state, "events_deleted_until") != InvalidAttrNumber;
	catalog->read_every_owner = find_function(catalog, "_gov_read_every_owner");
	catalog->change_every_owner = find_function(catalog, "_gov_change_every_owner");
	return has_required;
}

/*
 * Is the extension in this schema?  The answer does not need our tables:
 * whoever owns the schema may have dropped some.
 */
bool
gov_catalog_is_schema(Oid schema)
{
	GovCatalog	found = {0};

	return find_extension(&found) && found.schema == schema;
}

const GovCatalog *
gov_catalog_if_installed(void)
{
	static uint64 last_generation = 0;

	/* looking up may itself process invalidations: repeat until it did not */
	while (gov_catalog_current == NULL)
	{
		uint64		seen = invalidations;
		GovCatalog	found = {0};

		if (!look_up(&found))
			return NULL;
		if (seen != invalidations)
			continue;
		found.generation = ++last_generation;
		found_last = found;
		gov_catalog_current = &found_last;
	}
	return gov_catalog_current;
}

pg_noreturn static void
raise_not_found(void)
{
	GovCatalog	found = {0};

	if (find_extension(&found))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("an index of extension \"governance\" is missing"),
				 errhint("See which one, and how to make it, with SELECT * FROM gov_setup_check().")));
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("extension \"governance\" is not installed in this database"),
			 errhint("Run CREATE EXTENSION governance.")));
}

const GovCatalog *
gov_catalog_find(void)
{
	const GovCatalog *catalog = gov_catalog_if_installed();

	if (catalog == NULL)
		raise_not_found();
	return catalog;
}
