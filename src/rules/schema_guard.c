/*
 * schema_guard.c
 *		Keeps the extension's schema under its name.
 *
 * PURPOSE
 *		Functions in SQL find ours by the name that the schema had when the
 *		extension was created.  Whoever owns the schema, as the owner of a
 *		database owns "public", need not own the extension.  He could rename the
 *		schema, and put another one in its place whose functions would then be run
 *		as the owner of the extension.  And to rename it without malice would
 *		break every call.  So the schema cannot be renamed, as an extension that
 *		is not relocatable cannot be moved.
 *
 * FAILURE
 *		An error ends ALTER SCHEMA.  Where the library is not preloaded, nothing
 *		prevents it.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_namespace.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "rules/schema_guard.h"

static object_access_hook_type next_hook = NULL;

/* The name that the running command has given a schema; false if it has dropped it. */
static bool
read_new_name(Oid schema, NameData *name)
{
	Relation	rel = table_open(NamespaceRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_namespace_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(schema));
	scan = systable_beginscan(rel, NamespaceOidIndexId, true, SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		*name = ((Form_pg_namespace) GETSTRUCT(tuple))->nspname;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return HeapTupleIsValid(tuple);
}

static void
refuse_rename(Oid schema)
{
	NameData	new_name;
	char	   *name;

	if (!gov_catalog_is_schema(schema) || !read_new_name(schema, &new_name))
		return;
	/* the system cache has the row from before the command */
	name = get_namespace_name(schema);
	if (name != NULL && strcmp(name, NameStr(new_name)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot rename schema \"%s\" because extension \"governance\" is in it", name),
				 errdetail("The extension's functions name the schema."),
				 errhint("Dump the data, drop the extension, and restore into an extension created in a schema of the other name.")));
}

static void
object_accessed(ObjectAccessType access, Oid class, Oid object, int subobject, void *arg)
{
	if (next_hook != NULL)
		next_hook(access, class, object, subobject, arg);
	if (access == OAT_POST_ALTER && class == NamespaceRelationId)
		refuse_rename(object);
}

void
gov_schema_guard_init(void)
{
	next_hook = object_access_hook;
	object_access_hook = object_accessed;
}
