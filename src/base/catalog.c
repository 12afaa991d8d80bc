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
#include "catalog/indexing.h"
#include "catalog/index.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_proc.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/catalog.h"
#include "base/compat.h"

static GovCatalog current;
static bool is_valid = false;
static uint64 invalidations = 0;

static void
invalidate_catalog(void)
{
	is_valid = false;
	invalidations++;
}

/* Is this one of the relations that we know, or all of them? */
static void
relation_changed(Datum arg, Oid relid)
{
	/* while it is being looked up nobody knows which relation matters */
	if (!is_valid || relid == InvalidOid ||
		relid == current.entity_types || relid == current.capabilities ||
		relid == current.entities || relid == current.entities_pkey ||
		relid == current.entities_parent ||
		relid == current.assignments || relid == current.assignments_key ||
		relid == current.assignments_counter ||
		relid == current.counter_seq || relid == current.assignments_strict ||
		relid == current.events || relid == current.events_key ||
		relid == current.events_owner || relid == current.events_pkey ||
		relid == current.events_id_seq || relid == current.usage ||
		relid == current.usage_pkey || relid == current.usage_merged ||
		relid == current.usage_hourly || relid == current.alerts ||
		relid == current.denials ||
		relid == current.alert_policies || relid == current.alert_policies_key ||
		relid == current.reservations || relid == current.reservations_key ||
		relid == current.reservations_open ||
		relid == current.rollup_state || relid == current.rollup_state_pkey)
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

/* While the extension is being created or dropped a relation may be absent. */
static Oid
find_relation(const GovCatalog *catalog, const char *name)
{
	return get_relname_relid(name, catalog->schema);
}

/*
 * An index of one of our tables.  Whoever owns the schema may drop an index,
 * and give its name to one of a table of his own.
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

static bool
look_up(GovCatalog *catalog)
{
	char	   *schema_name;

	if (!find_extension(catalog))
		return false;
	schema_name = get_namespace_name(catalog->schema);
	if (schema_name == NULL)
		return false;
	strlcpy(catalog->schema_name, quote_identifier(schema_name),
			sizeof(catalog->schema_name));
	catalog->entity_types = find_relation(catalog, "gov_entity_types");
	catalog->capabilities = find_relation(catalog, "gov_capabilities");
	catalog->entities = find_relation(catalog, "gov_entities");
	catalog->entities_blocked_at = find_column(catalog->entities, "blocked_at");
	catalog->entities_blocked_until = find_column(catalog->entities, "blocked_until");
	catalog->entities_pkey = find_index(catalog, "gov_entities_pkey", catalog->entities);
	catalog->entities_parent = find_index(catalog, "gov_entities_parent_id_idx", catalog->entities);
	catalog->assignments = find_relation(catalog, "gov_assignments");
	catalog->assignments_call_limit = find_column(catalog->assignments, "call_limit");
	catalog->assignments_key = find_index(catalog, "gov_assignments_key", catalog->assignments);
	catalog->assignments_counter = find_index(catalog, "gov_assignments_counter_id_key",
											  catalog->assignments);
	catalog->counter_seq = find_relation(catalog, "gov_counter_seq");
	catalog->assignments_strict = find_index(catalog, "gov_assignments_strict", catalog->assignments);
	catalog->events = find_relation(catalog, "gov_events");
	catalog->events_key = find_index(catalog, "gov_events_key", catalog->events);
	catalog->events_owner = find_index(catalog, "gov_events_owner_id_idx", catalog->events);
	catalog->events_pkey = find_index(catalog, "gov_events_pkey", catalog->events);
	catalog->events_id_seq = find_relation(catalog, "gov_events_id_seq");
	catalog->usage = find_relation(catalog, "gov_usage");
	catalog->usage_pkey = find_index(catalog, "gov_usage_pkey", catalog->usage);
	catalog->usage_merged = find_index(catalog, "gov_usage_merged", catalog->usage);
	catalog->usage_merged_windows = find_column(catalog->usage, "merged_windows");
	catalog->usage_hourly = find_relation(catalog, "gov_usage_hourly");
	catalog->alerts = find_relation(catalog, "gov_alerts");
	catalog->denials = find_relation(catalog, "gov_denials");
	catalog->alert_policies = find_relation(catalog, "gov_alert_policies");
	catalog->alert_policies_key = find_index(catalog, "gov_alert_policies_key",
											 catalog->alert_policies);
	catalog->reservations = find_relation(catalog, "gov_reservations");
	catalog->reservations_key = find_index(catalog, "gov_reservations_key", catalog->reservations);
	catalog->reservations_open = find_index(catalog, "gov_reservations_open", catalog->reservations);
	catalog->rollup_state = find_relation(catalog, "gov_rollup_state");
	catalog->rollup_state_pkey = find_index(catalog, "gov_rollup_state_pkey",
											catalog->rollup_state);
	catalog->has_1_1_tables = OidIsValid(catalog->rollup_state) &&
		get_attnum(catalog->rollup_state, "events_deleted_until") != InvalidAttrNumber;
	catalog->read_every_owner = find_function(catalog, "_gov_read_every_owner");
	catalog->change_every_owner = find_function(catalog, "_gov_change_every_owner");
	return OidIsValid(catalog->rollup_state) &&
		OidIsValid(catalog->reservations) && OidIsValid(catalog->reservations_key) &&
		OidIsValid(catalog->reservations_open) &&
		OidIsValid(catalog->alerts) && OidIsValid(catalog->alert_policies) &&
		OidIsValid(catalog->events_key);
}

/*
 * Is the extension in this schema?  Also while something is missing that we
 * need: whoever owns the schema may have dropped it.
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
	while (!is_valid)
	{
		uint64		seen = invalidations;
		GovCatalog	found = {0};

		if (!look_up(&found))
			return NULL;
		if (seen != invalidations)
			continue;
		found.generation = ++last_generation;
		current = found;
		is_valid = true;
	}
	return &current;
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
gov_catalog(void)
{
	const GovCatalog *catalog = gov_catalog_if_installed();

	if (catalog == NULL)
		raise_not_found();
	return catalog;
}
