/*
 * referred.c
 *		Which of our rows users' foreign keys refer to.
 *
 * PURPOSE
 *		An invoice may refer to the events that it is made of.  Such an event
 *		stays, however old; deleting it would raise 23503 and take a batch of the
 *		retention with it.  Keys with ON DELETE CASCADE, SET NULL or SET DEFAULT
 *		say what is to be done with the rows that refer, and do not matter here.
 *
 *		Whether there is such a key is seen from the table's triggers in the
 *		relation cache, and where there is none nothing more is done.  They are
 *		the triggers that would refuse the deletion.
 *
 * SECURITY
 *		Who refers to a row is asked as the owner of the table that does, without
 *		the policies that FORCE ROW LEVEL SECURITY puts on him: as the trigger
 *		asks.  The values asked for go there as arguments.
 *
 * LOCKING
 *		RowShareLock on the tables that refer, without waiting; where it cannot be
 *		had, nobody can tell what is referred to.  Rows of ours that are free are
 *		locked.  Rows that somebody else has locked are skipped, because a new
 *		reference locks the row that it refers to.
 *
 * FAILURE
 *		If somebody refers to a row between the question and the lock, the
 *		deletion fails with 23503.  It is tried again, and finds the reference.
 *		A key on columns that are not plain (arrays) is not asked, so deletions
 *		that it refuses fail with 23503 each time.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/catalog.h"
#include "base/spi.h"
#include "rollup/referred.h"

#define GOV_LOCK_FREE(table) \
	"select array_agg(f.id), (select count(distinct k.id) from unnest($2) k(id)) from (" \
	" select t.id from " table " t" \
	" where t.id = any ($1) and t.id not in (select k.id from unnest($2) k(id))" \
	" for update skip locked) f"

static GovQuery lock_events_query = {
	.sql = GOV_LOCK_FREE("@gov_events"),
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, INT8ARRAYOID}
};

static GovQuery lock_holds_query = {
	.sql = GOV_LOCK_FREE("@gov_reservations"),
	.nargs = 2,
	.argtypes = {UUIDARRAYOID, UUIDARRAYOID}
};

static GovQuery lock_alerts_query = {
	.sql = GOV_LOCK_FREE("@gov_alerts"),
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, INT8ARRAYOID}
};

static GovQuery kept_holds_query = {
	.sql = "select r.holds_kept from @gov_rollup_state r"
};

static GovQuery kept_alerts_query = {
	.sql = "select r.alerts_kept from @gov_rollup_state r"
};

static GovQuery note_holds_query = {
	.sql = "update @gov_rollup_state r set holds_kept = $1",
	.nargs = 1,
	.argtypes = {INT8OID}
};

static GovQuery note_alerts_query = {
	.sql = "update @gov_rollup_state r set alerts_kept = $1",
	.nargs = 1,
	.argtypes = {INT8OID}
};

static const struct
{
	const char *name;
	Oid			id_type;
	GovQuery   *lock_query;
	GovQuery   *kept_query;		/* of those that gov_referred_note_kept()
								 * counts */
	GovQuery   *note_query;
}			tables[] = {
	[GOV_REFERRED_EVENTS] = {"@gov_events", INT8OID, &lock_events_query},
	[GOV_REFERRED_HOLDS] = {"@gov_reservations", UUIDOID, &lock_holds_query,
	&kept_holds_query, &note_holds_query},
	[GOV_REFERRED_ALERTS] = {"@gov_alerts", INT8OID, &lock_alerts_query,
	&kept_alerts_query, &note_alerts_query}
};

/* How many rows are kept. */
static struct
{
	int64		noted;			/* in gov_rollup_state */
	int64		so_far;			/* found by the present pass */
}			kept[lengthof(tables)];

/* A foreign key to one of our tables. */
typedef struct GovReferringKey
{
	Oid			table;			/* that refers */
	int			ncolumns;
	AttrNumber	theirs[INDEX_MAX_KEYS];
	AttrNumber	ours[INDEX_MAX_KEYS];
	Oid			operators[INDEX_MAX_KEYS];	/* ours = theirs */
	GovReferredTable referred;
	Oid			referred_id;
} GovReferringKey;

static Oid
table_oid(GovReferredTable table)
{
	const GovCatalog *catalog = gov_catalog();

	switch (table)
	{
		case GOV_REFERRED_EVENTS:
			return catalog->events;
		case GOV_REFERRED_HOLDS:
			return catalog->reservations;
		case GOV_REFERRED_ALERTS:
			return catalog->alerts;
	}
	pg_unreachable();
}

/*
 * Find the foreign keys that may refuse that rows of a table are deleted.  The
 * table is locked.
 */
static List *
find_keys(GovReferredTable table)
{
	Relation	rel = table_open(table_oid(table), NoLock);
	const TriggerDesc *triggers = rel->trigdesc;
	List	   *result = NIL;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if ((trigger->tgfoid == F_RI_FKEY_NOACTION_DEL ||
			 trigger->tgfoid == F_RI_FKEY_RESTRICT_DEL) &&
			trigger->tgenabled != TRIGGER_DISABLED)
			result = lappend_oid(result, trigger->tgconstraint);
	}
	table_close(rel, NoLock);
	return result;
}

/*
 * May any foreign key refuse that rows of a table are deleted?  The table is
 * locked.
 */
bool
gov_referred_is_any(GovReferredTable table)
{
	List	   *keys = find_keys(table);
	bool		result = keys != NIL;

	list_free(keys);
	return result;
}

/* Read a key; false when it is gone. */
static bool
read_key(Oid constraint, GovReferringKey *key)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
	Form_pg_constraint form;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_constraint) GETSTRUCT(tuple);
	key->table = form->conrelid;
	key->referred_id = form->confrelid;
	DeconstructFkConstraintRow(tuple, &key->ncolumns, key->theirs, key->ours,
							   key->operators, NULL, NULL, NULL, NULL);
	ReleaseSysCache(tuple);
	return true;
}

/* Can values of a type be passed in an array, and be unnested? */
static bool
is_plain(Oid type)
{
	return OidIsValid(get_array_type(type)) && !OidIsValid(get_element_type(type));
}

static bool
has_plain_columns(const GovReferringKey *key)
{
	for (int i = 0; i < key->ncolumns; i++)
	{
		if (!is_plain(get_atttype(key->referred_id, key->ours[i])))
			return false;
	}
	return true;
}

/*
 * A statement that returns arrays, side by side: ids of rows, and the columns
 * that the key refers to.
 */
static char *
values_sql(const GovReferringKey *key)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "select array_agg(t.id)");
	for (int i = 0; i < key->ncolumns; i++)
		appendStringInfo(&sql, ", array_agg(t.%s)",
						 quote_identifier(get_attname(key->referred_id, key->ours[i], false)));
	appendStringInfo(&sql, " from %s t where t.id = any ($1)", tables[key->referred].name);
	return sql.data;
}

static void
append_comparison(StringInfo sql, const GovReferringKey *key, int i)
{
	Oid			type;
	int32		typmod;
	Oid			collation;
	Oid			operator = key->operators[i];
	char	   *name = get_opname(operator);
	HeapTuple	tuple;

	get_atttypetypmodcoll(key->referred_id, key->ours[i], &type, &typmod, &collation);
	appendStringInfo(sql, "%s u.c%d", i > 0 ? " and" : "", i);
	tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_collation form = (Form_pg_collation) GETSTRUCT(tuple);

		appendStringInfo(sql, " collate %s",
						 quote_qualified_identifier(get_namespace_name(form->collnamespace),
													NameStr(form->collname)));
		ReleaseSysCache(tuple);
	}
	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	appendStringInfo(sql, " operator(%s.%s) x.%s",
					 quote_identifier(get_namespace_name(((Form_pg_operator) GETSTRUCT(tuple))->oprnamespace)),
					 name, quote_identifier(get_attname(key->table, key->theirs[i], false)));
	ReleaseSysCache(tuple);
}

/*
 * A statement that returns which of these values are referred to.  Rows of
 * child tables do not count, because a foreign key is not inherited.
 */
static char *
referred_sql(const GovReferringKey *key)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "select u.id from unnest($1");
	for (int i = 0; i < key->ncolumns; i++)
		appendStringInfo(&sql, ", $%d", i + 2);
	appendStringInfoString(&sql, ") u(id");
	for (int i = 0; i < key->ncolumns; i++)
		appendStringInfo(&sql, ", c%d", i);
	appendStringInfo(&sql, ") where exists (select from %s%s x where",
					 get_rel_relkind(key->table) == RELKIND_PARTITIONED_TABLE ? "" : "only ",
					 quote_qualified_identifier(get_namespace_name(get_rel_namespace(key->table)),
												get_rel_name(key->table)));
	for (int i = 0; i < key->ncolumns; i++)
		append_comparison(&sql, key, i);
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/* The values that a key refers to our rows by. */
typedef struct GovReferredValues
{
	MemoryContext context;
	int			ncolumns;
	Datum		arrays[1 + INDEX_MAX_KEYS]; /* the ids first; 0: there are no
											 * rows */
} GovReferredValues;

static void
take_values(TupleTableSlot *row, void *state)
{
	GovReferredValues *values = state;
	MemoryContext caller = MemoryContextSwitchTo(values->context);

	for (int i = 0; i < values->ncolumns; i++)
		values->arrays[i] = row->tts_isnull[i] ? (Datum) 0 :
			PointerGetDatum(DatumGetArrayTypePCopy(row->tts_values[i]));
	MemoryContextSwitchTo(caller);
}

static void
take_referred(TupleTableSlot *row, void *state)
{
	ArrayBuildState *referred = state;

	(void) accumArrayResult(referred, row->tts_values[0], false, referred->element_type,
							referred->mcontext);
}

/*
 * Read the values that a key refers to some rows by.  In a scope of its own,
 * because other statements must not be planned with the scans that are allowed
 * here.
 */
static void
read_values(const GovReferringKey *key, Datum ids, GovReferredValues *values)
{
	GovQuery	query = {.sql = values_sql(key), .nargs = 1};
	GovSpi		spi;

	query.argtypes[0] = get_array_type(tables[key->referred].id_type);
	gov_spi_begin(&spi);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	gov_spi_scan(&query, &ids, NULL, take_values, values);
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
}

/* Add the rows, of some, that a key refers to. */
static void
add_referred(const GovReferringKey *key, Datum ids, ArrayBuildState *referred)
{
	GovReferredValues values = {.context = CurrentMemoryContext, .ncolumns = key->ncolumns + 1};
	GovQuery	query = {.nargs = key->ncolumns + 1};
	GovSpi		spi;

	read_values(key, ids, &values);
	if (values.arrays[0] == (Datum) 0)
		return;
	query.sql = referred_sql(key);
	query.argtypes[0] = get_array_type(tables[key->referred].id_type);
	for (int i = 0; i < key->ncolumns; i++)
		query.argtypes[i + 1] = get_array_type(get_atttype(key->referred_id, key->ours[i]));
	gov_spi_begin_as_owner_of(&spi, key->table);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	gov_spi_scan(&query, values.arrays, NULL, take_referred, referred);
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
}

/*
 * Find which of some rows are referred to; false when it cannot be told now.
 */
static bool
find_referred(GovReferredTable table, Datum ids, ArrayBuildState *referred)
{
	List	   *keys = find_keys(table);
	ListCell   *cell;

	foreach(cell, keys)
	{
		GovReferringKey key = {.referred = table};

		if (!read_key(lfirst_oid(cell), &key))
			continue;
		if (!ConditionalLockRelationOid(key.table, RowShareLock))
			return false;
		if (key.ncolumns < GOV_QUERY_MAX_ARGS && has_plain_columns(&key))
			add_referred(&key, ids, referred);
	}
	return true;
}

/*
 * Lock those of some rows that no key refers to and nobody else has locked;
 * *nkept is how many are referred to.
 */
static Datum
lock_free(GovReferredTable table, Datum ids, Datum referred, int64 *nkept)
{
	Datum		args[2] = {ids, referred};
	bool		isnull;

	gov_spi_modify(tables[table].lock_query, args, NULL);
	*nkept = DatumGetInt64(gov_spi_value(0, 2, &isnull));
	ids = gov_spi_value(0, 1, &isnull);
	return isnull ? PointerGetDatum(construct_empty_array(tables[table].id_type)) : ids;
}

/*
 * Find which of the rows that a query returns as due may be deleted: an array
 * of their ids, or 0 for all of them; and how many are kept because something
 * refers to them.  The query's fifth argument, if it has one, is null.  False
 * when it cannot be told now.
 */
bool
gov_referred_find_free(GovReferredTable table, GovQuery *due_query, Datum *args,
					   Datum *free_ids, int64 *nkept)
{
	ArrayBuildState *referred;
	Datum		ids;
	bool		isnull;

	*free_ids = (Datum) 0;
	*nkept = 0;
	if (!gov_referred_is_any(table))
		return true;
	gov_spi_modify(due_query, args, "    n");
	ids = gov_spi_value(0, 1, &isnull);
	if (isnull)
		return true;
	referred = initArrayResult(tables[table].id_type, CurrentMemoryContext, false);
	if (!find_referred(table, ids, referred))
		return false;
	*free_ids = lock_free(table, ids, makeArrayResult(referred, CurrentMemoryContext), nkept);
	return true;
}

static int64
read_kept(GovReferredTable table)
{
	bool		isnull;

	if (gov_spi_modify(tables[table].kept_query, NULL, NULL) == 0)
		return 0;
	return DatumGetInt64(gov_spi_value(0, 1, &isnull));
}

/*
 * Lock the row of gov_rollup_state, which is the rollup's, without waiting;
 * false if that cannot be had.
 */
static bool
try_lock_state(void)
{
	Oid			state = gov_catalog()->rollup_state;

	return ConditionalLockRelationOid(state, ShareUpdateExclusiveLock) &&
		ConditionalLockRelationOid(state, RowExclusiveLock);
}

/*
 * After a batch of a pass over holds or alerts: note how many rows are kept, when
 * the pass has found more than were known, or is at its end.
 */
void
gov_referred_note_kept(GovReferredTable table, bool is_new_pass, int64 nkept, bool has_more)
{
	int64		found;
	Datum		args[1];

	if (!gov_catalog()->has_1_1_tables)
		return;
	if (is_new_pass)
	{
		kept[table].noted = read_kept(table);
		kept[table].so_far = 0;
	}
	found = kept[table].so_far += nkept;
	if (found == kept[table].noted || (has_more && found < kept[table].noted) ||
		!try_lock_state())
		return;
	args[0] = Int64GetDatum(found);
	gov_spi_modify(tables[table].note_query, args, NULL);
	kept[table].noted = found;
}
