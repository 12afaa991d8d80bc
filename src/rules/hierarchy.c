/*
 * hierarchy.c
 *		Triggers that hold the rules between entities which no foreign key can
 *		hold.
 *
 * PURPOSE
 *		A parent is of the same owner, chains have no cycle and a bounded
 *		length, an entity with children does not move, and an entity that a scope
 *		names is not deleted.  Foreign keys do not serve: one from a table to
 *		itself makes every dump warn, and none can look into an array.  Triggers
 *		in SQL do not serve either: their queries miss what was committed after a
 *		REPEATABLE READ transaction began.  So the rules are judged here, under
 *		the latest snapshot, at every isolation level.
 *
 * WHEN
 *		AFTER triggers judge what must be there, when the statement has written
 *		all its rows: these may come in any order, as COPY brings them.  A BEFORE
 *		trigger judges whether an entity that moves has children, by the rows as
 *		they were before the statement, so that one call may move an entity and
 *		put others below it.
 *
 * LOCKS
 *		README.md has them: rows that must stay, and the shape of an owner's trees
 *		(one of SHAPE_LOCKS, a sub-object of gov_entities).
 *
 * INVARIANTS
 *		A chain gets longer only with an entity that was written by the
 *		statement at its lower end, because what moves had no children; so it
 *		is enough that each entity written judges the chain above itself.  The
 *		exception is gov_move_entity, which moves what is below as well, and
 *		has judged how deep that is with the shape locked.
 *
 * FAILURE
 *		The triggers do not fire for rows that replication applies or that are
 *		loaded with session_replication_role = replica: the origin has judged
 *		them.  A cycle that came in that way is found by a bounded walk.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/lookup.h"
#include "base/owner.h"
#include "base/spi.h"
#include "cache/entity.h"
#include "rules/await.h"
#include "rules/hierarchy.h"
#include "rules/rename.h"
#include "rules/trigger.h"

#define SHAPE_LOCKS		1024
#define AWAITED_AT_MOST	20		/* times, before the lock is queued for */

PG_FUNCTION_INFO_V1(gov_entity_moves_1_0);
PG_FUNCTION_INFO_V1(gov_entity_placed_1_0);
PG_FUNCTION_INFO_V1(gov_entity_removed_1_0);
PG_FUNCTION_INFO_V1(gov_lock_hierarchy_1_0);
PG_FUNCTION_INFO_V1(gov_allow_move_1_1);

/*
 * A budget whose scope names an entity.  Only the index on scopes serves: an
 * owner may have many budgets, and each of many deletions would read them all
 * if it went by the owner.  That index has the owner and the ids of the scope
 * as its keys; the other conditions say which is which.
 */
static GovQuery scoped_query = {
	.sql =
	"select a.id::text, a.entity_id, a.capability_id"
	" from @gov_assignments a"
	" where a.owner_id || a.scope_entity_ids @> array[$1, $2]"
	"    and a.scope_entity_ids <> '{}'"
	"    and a.owner_id || '' = $1"
	"    and a.scope_entity_ids @> array[$2]"
	" limit 1",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID}
};

#define AFTER_INSERT	GOV_FIRES(TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW)
#define AFTER_UPDATE	GOV_FIRES(TRIGGER_EVENT_UPDATE | TRIGGER_EVENT_ROW)
#define AFTER_DELETE	GOV_FIRES(TRIGGER_EVENT_DELETE | TRIGGER_EVENT_ROW)
#define BEFORE_UPDATE \
	GOV_FIRES(TRIGGER_EVENT_UPDATE | TRIGGER_EVENT_ROW | TRIGGER_EVENT_BEFORE)

/* The row as it is now: the new one of an update. */
static HeapTuple
current_row(const TriggerData *trigger)
{
	return TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
		trigger->tg_newtuple : trigger->tg_trigtuple;
}

/*
 * Allow bitmap scans until gov_spi_end(), because an index on arrays can be
 * read in no other way.
 */
static void
allow_bitmap_scans(void)
{
	set_config_option("enable_bitmapscan", "on", PGC_USERSET, PGC_S_SESSION,
					  GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Lock an entity, so that it stays until we have committed; false if there is
 * none.
 */
bool
gov_hierarchy_keep(Relation entities, Datum owner, Datum id)
{
	GovLookupKey keys[] = {{"owner_id", owner}, {"id", id}};
	bool		found;

	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	found = gov_lookup_lock(entities, gov_catalog()->entities_pkey, keys, lengthof(keys),
							LockTupleKeyShare);
	gov_spi_pop_snapshot();
	return found;
}

static LOCKTAG
shape_tag(const text *owner)
{
	uint32		hash = hash_bytes((const unsigned char *) VARDATA_ANY(owner),
								  VARSIZE_ANY_EXHDR(owner));
	LOCKTAG		tag;

	/* sub-object 0 would be the table itself */
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId,
					   gov_catalog()->entities, 1 + hash % SHAPE_LOCKS);
	return tag;
}

/*
 * Take the lock on the shape of an owner's trees to the transaction's end, alone;
 * false if somebody has it.
 */
bool
gov_hierarchy_lock_free(const text *owner)
{
	LOCKTAG		tag = shape_tag(owner);

	return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

/* Wait for the transactions that have that lock, while others go on taking it. */
void
gov_hierarchy_await(const text *owner)
{
	LOCKTAG		tag = shape_tag(owner);

	gov_await_lockers(&tag, ExclusiveLock);
}

/*
 * Take the lock on the shape of an owner's trees to the transaction's end.  Whoever
 * wants it alone waits for those who share it without standing in the way of others
 * that want to, which are calls too: only if that does not end it does.
 */
void
gov_hierarchy_lock(const text *owner, LOCKMODE mode)
{
	LOCKTAG		tag = shape_tag(owner);

	for (int i = 0; mode == ExclusiveLock && i < AWAITED_AT_MOST; i++)
	{
		if (gov_hierarchy_lock_free(owner))
			return;
		gov_hierarchy_await(owner);
	}
	(void) LockAcquire(&tag, mode, false, false);
}

/* _gov_lock_hierarchy(owner_id text, is_move boolean) returns void */
Datum
gov_lock_hierarchy_1_0(PG_FUNCTION_ARGS)
{
	gov_owner_require_visible(PG_GETARG_TEXT_PP(0));
	PreventCommandIfReadOnly("a change of the hierarchy");
	gov_hierarchy_lock(PG_GETARG_TEXT_PP(0),
					   PG_GETARG_BOOL(1) ? ExclusiveLock : ShareLock);
	PG_RETURN_VOID();
}

/* Find a child of an entity in the active snapshot; NULL if it has none. */
static char *
find_child(Relation entities, Datum owner, Datum id)
{
	GovLookupKey keys[] = {{"owner_id", owner}, {"parent_id", id}};
	GovLookup	lookup;
	HeapTuple	row;
	char	   *child = NULL;

	gov_lookup_begin(&lookup, entities, gov_catalog()->entities_parent, keys, lengthof(keys));
	row = gov_lookup_next(&lookup);
	if (HeapTupleIsValid(row))
	{
		bool		isnull;

		child = TextDatumGetCString(gov_lookup_column(&lookup, row, "id", &isnull));
	}
	gov_lookup_end(&lookup);
	return child;
}

/*
 * Did the entity have children before the statement?  Rows that the running
 * statement has written carry the command of the snapshot that it runs under.
 * The current command may be a later one: a PL/pgSQL trigger that fired before
 * this one has incremented it.
 */
static bool
had_children(Relation entities, Datum owner, Datum id)
{
	CommandId	statement = GetActiveSnapshot()->curcid;
	char	   *child;

	gov_spi_push_snapshot(GOV_SNAPSHOT_STATEMENT);
	GetActiveSnapshot()->curcid = statement;
	child = find_child(entities, owner, id);
	gov_spi_pop_snapshot();
	return child != NULL;
}

/*
 * The entity that gov_move_entity is about to move with what is below it, and
 * where to: in this transaction that one change of its parent is allowed.
 */
static LocalTransactionId moving_in = InvalidLocalTransactionId;
static char moving_owner[GOV_ID_MAX_BYTES + 1];
static char moving_id[GOV_ID_MAX_BYTES + 1];
static char moving_to[GOV_ID_MAX_BYTES + 1];	/* empty: to be a root */

/*
 * How deep is what moves, and how long the chain that it is to stand below?  A
 * cycle ends both, and the row's own trigger finds it.
 */
static GovQuery depth_query = {
	.sql =
	"with recursive down(id, n) as ("
	" select $2 collate \"C\", 1"
	" union all"
	" select c.id, d.n + 1"
	" from down d, lateral (select x.id from @gov_entities x"
	"  where x.owner_id = $1 and x.parent_id = d.id offset 0) c"
	" where d.n <= $4),"
	" up(id, n) as ("
	" select $3 collate \"C\", 1 where $3 is not null"
	" union all"
	" select p.parent_id, u.n + 1"
	" from up u, lateral (select x.parent_id from @gov_entities x"
	"  where x.owner_id = $1 and x.id = u.id and x.parent_id is not null offset 0) p"
	" where u.n <= $4 and u.id <> $2)"
	" select d.n, u.n"
	" from (select max(n) as n from down) d,"
	"  (select case when bool_or(id = $2) then 0 else coalesce(max(n), 0) end as n from up) u",
	.nargs = 4,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, INT4OID}
};

static void
refuse_depth(text *owner, text *id, Datum parent, bool is_root)
{
	Datum		args[] = {
		PointerGetDatum(owner), PointerGetDatum(id), parent, Int32GetDatum(GOV_CHAIN_MAX)
	};
	char		nulls[] = {' ', ' ', is_root ? 'n' : ' ', ' '};
	GovSpi		spi;
	bool		isnull;
	int			height;
	int			above;

	gov_spi_begin(&spi);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	(void) gov_spi_select(&depth_query, args, nulls);
	height = DatumGetInt32(gov_spi_value(0, 1, &isnull));
	above = DatumGetInt32(gov_spi_value(0, 2, &isnull));
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
	if (above + height > GOV_CHAIN_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("entity \"%s\" cannot move there with all that is below it",
						gov_error_shown(text_to_cstring(id))),
				 errdetail("A chain would have more than %d entities: %d above, and %d that move.",
						   GOV_CHAIN_MAX, above, height),
				 errhint("Move it to a place that is nearer to the root.")));
}

/*
 * Lock the row that moves, before the shape of the trees: who has it open keeps
 * nobody waiting but us.
 */
static void
lock_moving(Datum owner, Datum id)
{
	GovLookupKey keys[] = {{"owner_id", owner}, {"id", id}};
	Relation	entities = table_open(gov_catalog()->entities, RowExclusiveLock);

	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	(void) gov_lookup_lock(entities, gov_catalog()->entities_pkey, keys, lengthof(keys),
						   LockTupleNoKeyExclusive);
	gov_spi_pop_snapshot();
	table_close(entities, NoLock);
}

/* _gov_allow_move(owner_id text, id text, parent_id text) returns void */
Datum
gov_allow_move_1_1(PG_FUNCTION_ARGS)
{
	text	   *owner;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		gov_error_null_argument(PG_ARGISNULL(0) ? "owner_id" : "id");
	owner = PG_GETARG_TEXT_PP(0);
	gov_owner_require_visible(owner);
	PreventCommandIfReadOnly("gov_move_entity()");
	lock_moving(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1));
	gov_hierarchy_lock(owner, ExclusiveLock);
	refuse_depth(owner, PG_GETARG_TEXT_PP(1), PG_GETARG_DATUM(2), PG_ARGISNULL(2));
	text_to_cstring_buffer(owner, moving_owner, sizeof(moving_owner));
	text_to_cstring_buffer(PG_GETARG_TEXT_PP(1), moving_id, sizeof(moving_id));
	moving_to[0] = '\0';
	if (!PG_ARGISNULL(2))
		text_to_cstring_buffer(PG_GETARG_TEXT_PP(2), moving_to, sizeof(moving_to));
	moving_in = gov_local_transaction();
	PG_RETURN_VOID();
}

/* Is it this move?  Then no other will be. */
static bool
is_allowed(const TriggerData *trigger, Datum owner, Datum id)
{
	bool		is_root;
	Datum		parent = gov_trigger_column(trigger, trigger->tg_newtuple, "parent_id", &is_root);

	if (moving_in != gov_local_transaction() ||
		strcmp(TextDatumGetCString(owner), moving_owner) != 0 ||
		strcmp(TextDatumGetCString(id), moving_id) != 0 ||
		strcmp(is_root ? "" : TextDatumGetCString(parent), moving_to) != 0)
		return false;
	moving_in = InvalidLocalTransactionId;
	return true;
}

/* BEFORE UPDATE of gov_entities, for each row whose parent changes. */
Datum
gov_entity_moves_1_0(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = gov_trigger_data_of(fcinfo, BEFORE_UPDATE, gov_catalog()->entities);
	HeapTuple	row = trigger->tg_trigtuple;
	Datum		owner = gov_trigger_key(trigger, row, "owner_id");
	Datum		id = gov_trigger_key(trigger, row, "id");

	gov_hierarchy_lock(DatumGetTextPP(owner), ExclusiveLock);
	if (!gov_rename_is_on() && !is_allowed(trigger, owner, id) && had_children(trigger->tg_relation, owner, id))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("entity \"%s\" has children and does not move",
						gov_error_shown(TextDatumGetCString(id))),
				 errdetail("Past usage stays with the ancestors that it was charged to."),
				 errhint("Use gov_move_entity, which moves it with all that is below it."),
				 errtable(trigger->tg_relation)));
	return PointerGetDatum(trigger->tg_newtuple);
}

/*
 * Raise unless the parent exists; lock it, so that it stays until we have
 * committed.
 */
static void
keep_parent(const TriggerData *trigger, Datum owner, Datum parent)
{
	if (!gov_hierarchy_keep(trigger->tg_relation, owner, parent))
		ereport(ERROR,
				(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
				 errmsg("parent \"%s\" does not exist", gov_error_shown(TextDatumGetCString(parent))),
				 errdetail("Owner \"%s\" has no such entity.", gov_error_shown(TextDatumGetCString(owner))),
				 errhint("Insert the parent first or in the same statement."),
				 errtableconstraint(trigger->tg_relation, "gov_entities_parent_id_fkey")));
}

/* Find the parent of an entity in the active snapshot; false at the top. */
static bool
find_parent(Relation entities, Datum owner, Datum id, Datum *parent)
{
	GovLookupKey keys[] = {{"owner_id", owner}, {"id", id}};
	GovLookup	lookup;
	HeapTuple	row;
	bool		is_root = true;

	gov_lookup_begin(&lookup, entities, gov_catalog()->entities_pkey, keys, lengthof(keys));
	row = gov_lookup_next(&lookup);
	if (HeapTupleIsValid(row))
	{
		*parent = gov_lookup_column(&lookup, row, "parent_id", &is_root);
		if (!is_root)
			*parent = PointerGetDatum(DatumGetTextPCopy(*parent));
	}
	gov_lookup_end(&lookup);
	return !is_root;
}

typedef enum GovChainState
{
	CHAIN_GOOD,
	CHAIN_CYCLE,				/* an entity comes twice */
	CHAIN_TOO_LONG
} GovChainState;

/* Walk up from an entity, one step further than is allowed at most. */
static GovChainState
judge_chain(Relation entities, Datum owner, Datum id)
{
	Datum		ids[GOV_CHAIN_MAX + 1];
	int			steps = 0;

	do
	{
		for (int i = 0; i < steps; i++)
		{
			if (DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, ids[i], id)))
				return CHAIN_CYCLE;
		}
		ids[steps++] = id;
	} while (steps <= GOV_CHAIN_MAX && find_parent(entities, owner, id, &id));
	return steps > GOV_CHAIN_MAX ? CHAIN_TOO_LONG : CHAIN_GOOD;
}

/* Raise if there is a cycle above the entity, or its chain is too long. */
static void
check_chain(const TriggerData *trigger, Datum owner, Datum id)
{
	GovChainState chain;

	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	chain = judge_chain(trigger->tg_relation, owner, id);
	gov_spi_pop_snapshot();
	if (chain == CHAIN_CYCLE)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("entity \"%s\" would be below itself or below a cycle",
						gov_error_shown(TextDatumGetCString(id))),
				 errhint("Choose a parent that is not below the entity."),
				 errtableconstraint(trigger->tg_relation, "gov_entities_parent_id_cycle")));
	if (chain == CHAIN_TOO_LONG)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("entity \"%s\" is too deep", gov_error_shown(TextDatumGetCString(id))),
				 errdetail("A chain has at most %d entities.", GOV_CHAIN_MAX),
				 errhint("Choose a parent nearer to the root."),
				 errtableconstraint(trigger->tg_relation, "gov_entities_chain_limit")));
}

/* AFTER INSERT OR UPDATE of gov_entities, for each row that has a new parent. */
Datum
gov_entity_placed_1_0(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = gov_trigger_data_of(fcinfo, AFTER_INSERT | AFTER_UPDATE, gov_catalog()->entities);
	HeapTuple	row = current_row(trigger);
	Datum		owner = gov_trigger_key(trigger, row, "owner_id");
	bool		is_root;
	Datum		parent = gov_trigger_column(trigger, row, "parent_id", &is_root);

	if (is_root)
		return PointerGetDatum(NULL);

	GOV_FAULT(GOV_FAULT_STATEMENT);
	gov_hierarchy_lock(DatumGetTextPP(owner), ShareLock);
	keep_parent(trigger, owner, parent);
	check_chain(trigger, owner, gov_trigger_key(trigger, row, "id"));
	return PointerGetDatum(NULL);
}

/* Raise if anything is left below an entity that was deleted. */
static void
check_no_child(const TriggerData *trigger, Datum owner, Datum id)
{
	char	   *child;

	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	child = find_child(trigger->tg_relation, owner, id);
	gov_spi_pop_snapshot();
	if (child != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
				 errmsg("entity \"%s\" has children", gov_error_shown(TextDatumGetCString(id))),
				 errdetail("One of them is \"%s\".", gov_error_shown(child)),
				 errhint("Delete or move them first, or archive the entity with gov_archive_entities()."),
				 errtableconstraint(trigger->tg_relation, "gov_entities_parent_id_fkey")));
}

/* Raise if the scope of a budget names an entity that was deleted. */
static void
check_no_scope(const TriggerData *trigger, Datum owner, Datum id)
{
	Datum		args[] = {owner, id};
	GovSpi		spi;

	gov_spi_begin(&spi);
	allow_bitmap_scans();
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	if (gov_spi_select(&scoped_query, args, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
				 errmsg("entity \"%s\" is in the scope of a budget", gov_error_shown(TextDatumGetCString(id))),
				 errdetail("It is budget %s of entity \"%s\" for capability \"%s\".",
						   gov_spi_text(0, 1), gov_error_shown(gov_spi_text(0, 2)), gov_error_shown(gov_spi_text(0, 3))),
				 errhint("Delete those budgets first, or archive the entity with gov_archive_entities()."),
				 errtableconstraint(trigger->tg_relation, "gov_assignments_scope_entity_ids_fkey")));
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
}

/*
 * AFTER DELETE of gov_entities, for each row.  The engine deletes whole owners
 * and nothing less, under their lock on the shape.
 */
Datum
gov_entity_removed_1_0(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = gov_trigger_data_of(fcinfo, AFTER_DELETE, gov_catalog()->entities);
	Datum		owner = gov_trigger_key(trigger, trigger->tg_trigtuple, "owner_id");
	Datum		id = gov_trigger_key(trigger, trigger->tg_trigtuple, "id");

	if (gov_spi_is_engine())
		return PointerGetDatum(NULL);

	check_no_child(trigger, owner, id);
	check_no_scope(trigger, owner, id);
	return PointerGetDatum(NULL);
}
