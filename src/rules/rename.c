/*
 * rename.c
 *		Gives an entity another id, wherever the catalog names it.
 *
 * PURPOSE
 *		Keys do not change, but for somebody who asks to be forgotten
 *		(api_forget.c).  Then the entity gets another id, with all that it is in:
 *		its children, its budgets and the scopes of others keep their rows, and so
 *		their counters and usage.  What people have written about it goes.
 *
 *		renamings is the list of what is rewritten at once; a further table that
 *		names entities is a line more there.  What grows with the use (the ledger,
 *		the usage by time) the worker rewrites (rollup/forget.c).
 *
 * LOCKING
 *		The caller keeps calls of the owner out (barrier.c), and has the lock on
 *		the shape of its trees (hierarchy.c).
 *
 * INVARIANTS
 *		The entity and its budgets change in one statement, because a foreign key
 *		ties them.  The triggers that refuse a change of keys, and moves, let the
 *		statements of this file pass and no others (gov_rename_is_on).
 *
 * FAILURE
 *		An error ends the (sub)transaction, and leaves everything as it was.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/rel.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/spi.h"
#include "rules/await.h"
#include "rules/rename.h"
#include "rules/trigger.h"

PG_FUNCTION_INFO_V1(gov_refuse_key_change_1_1);

static LocalTransactionId renaming_in = InvalidLocalTransactionId;

/* Is a statement of this file running? */
bool
gov_rename_is_on(void)
{
	return gov_spi_is_engine() && renaming_in != InvalidLocalTransactionId &&
		renaming_in == gov_local_transaction();
}

/* The parts of statements, of $1 the owner, $2 the id, $3 the one that takes its place. */
#define NEW_ID(column) \
	column " = case when v." column " = $2 then $3 else v." column " end"
#define NEW_IDS(column) \
	column " = array_replace(v." column ", $2, $3)"

/* The ids of the entity's budgets, and of those whose scope names it. */
#define BUDGETS_OF \
	"select a.id from @gov_assignments a where a.owner_id = $1 and a.entity_id = $2" \
	" union all" \
	" select s.id from @gov_assignments s where s.owner_id || s.scope_entity_ids @> array[$1, $2]" \
	"  and s.scope_entity_ids <> '{}' and s.owner_id || '' = $1 and s.scope_entity_ids @> array[$2]"

/* Open holds and those that have ended are in an index each. */
#define RENAME_HOLDS(condition) \
	"update @gov_reservations v set " NEW_IDS("entity_ids") "," \
	"  dimensions = @_gov_renamed_dimensions(v.dimensions, $4, $2, $3), request_hash = null" \
	" where v.owner_id = $1 and " condition \
	"  and (v.entity_ids @> array[$2] or exists (select from unnest($4) k(key) where v.dimensions ->> k.key = $2))"

/* The id as it stands in the text of a jsonb, without its quotes. */
#define IN_JSON \
	"substr(to_jsonb($2)::text, 2, length(to_jsonb($2)::text) - 2)"

/* $4: attribution keys */
static GovQuery renamings[] = {
	{.sql =
		"with entity as ("
		" update @gov_entities v set " NEW_ID("id") ", " NEW_ID("parent_id") ","
		"  display_name = case when v.id <> $2 then v.display_name end,"
		"  metadata = case when v.id <> $2 then v.metadata else '{}' end,"
		"  blocked_reason = case when v.id <> $2 then v.blocked_reason end"
		" where v.owner_id = $1 and v.id = any (array(select $2 union all"
		"  select c.id from @gov_entities c where c.owner_id = $1 and c.parent_id = $2))"
		" returning 1)"
		"update @gov_assignments v set " NEW_ID("entity_id") ", " NEW_IDS("scope_entity_ids")
		" where v.id = any (array(" BUDGETS_OF "))",
		.uses_bitmap = true
	},
	{.sql =
		"update @gov_boosts v set " NEW_ID("entity_id") ", " NEW_IDS("scope_entity_ids") ","
		"  reason = case when v.entity_id <> $2 then v.reason end"
		" where v.owner_id = $1 and (v.entity_id = $2 or v.scope_entity_ids @> array[$2])"
	},
	{.sql =
		"update @gov_grants v set " NEW_ID("entity_id") " where v.owner_id = $1 and v.entity_id = $2"
	},
	{.sql =
		"update @gov_increase_requests v set " NEW_ID("entity_id") ", " NEW_IDS("scope_entity_ids") ","
		"  reason = case when v.entity_id <> $2 then v.reason end,"
		"  note = case when v.entity_id <> $2 then v.note end"
		" where v.owner_id = $1 and (v.entity_id = $2 or v.scope_entity_ids @> array[$2])"
	},
	{.sql =
		"update @gov_prices v set match = @_gov_renamed_dimensions(v.match, $4, $2, $3)"
		" where v.owner_id = $1 and exists (select from unnest($4) k(key) where v.match ->> k.key = $2)"
	},
	{.sql = RENAME_HOLDS("v.state = 'open'")},
	{.sql = RENAME_HOLDS("v.state <> 'open'")},
	{.sql =
		"update @gov_denials v set " NEW_ID("entity_id") ", " NEW_ID("last_entity_id")
		" where v.owner_id = $1 and (v.entity_id = $2 or v.last_entity_id = $2)"
	},
	{.sql =
		"update @gov_default_counts v set " NEW_ID("entity_id") ", " NEW_IDS("scope_entity_ids")
		" where v.owner_id = $1 and (v.entity_id = $2 or v.scope_entity_ids @> array[$2])"
	},
	{.sql =
		/* events have the id until they are rewritten: both count meanwhile */
		"update @gov_recounts v set"
		"  member_sets = v.member_sets || array(select n.set from unnest(v.member_ids, v.member_sets) n(id, set) where n.id = $2),"
		"  member_ids = v.member_ids || array(select $3 from unnest(v.member_ids) n(id) where n.id = $2)"
		" where v.owner_id = $1 and v.member_ids @> array[$2]"
	},
	{.sql =
		"update @gov_changes v set key = @_gov_renamed_change(v.key, v.table_name, v.key, $2, $3),"
		"  old = @_gov_renamed_change(v.old, v.table_name, v.key, $2, $3),"
		"  new = @_gov_renamed_change(v.new, v.table_name, v.key, $2, $3)"
		" where v.owner_id = $1 and strpos(concat(v.key, v.old, v.new), " IN_JSON ") > 0"
	}
};

/*
 * Of these the rows that users change, too: who has one open is waited for before
 * calls are kept out.  The others only calls and the worker write.
 */
static GovAwaited awaited[] = {
	GOV_AWAITED("gov_entities",
				"v.owner_id = $1 and v.id = any (array(select $2 union all"
				" select c.id from @gov_entities c where c.owner_id = $1 and c.parent_id = $2))", false),
	GOV_AWAITED("gov_assignments", "v.id = any (array(" BUDGETS_OF "))", true),
	GOV_AWAITED("gov_boosts",
				"v.owner_id = $1 and (v.entity_id = $2 or v.scope_entity_ids @> array[$2])", false),
	GOV_AWAITED("gov_increase_requests",
				"v.owner_id = $1 and (v.entity_id = $2 or v.scope_entity_ids @> array[$2])", false),
	/* the row of a count is locked by who puts an assignment in its place (keep.c) */
	GOV_AWAITED("gov_default_counts",
				"v.owner_id = $1 and (v.entity_id = $2 or v.scope_entity_ids @> array[$2])", false),
	GOV_AWAITED("gov_prices",
				"v.owner_id = $1 and exists (select from jsonb_each_text(v.match) m(key, value) where m.value = $2)", false),
	GOV_AWAITED("gov_grants", "v.owner_id = $1 and v.entity_id = $2", false)
};

static GovQuery exists_query = {
	.sql = "select from @gov_entities e where e.owner_id = $1 and e.id = $2",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID}
};

/* Of somebody who is no entity any more nobody knows the type: any key may have named him. */
static GovQuery keys_query = {
	.sql =
	"select coalesce((select t.attribution_keys from @gov_entities e join @gov_entity_types t on t.id = e.type_id"
	"  where e.owner_id = $1 and e.id = $2),"
	" array(select distinct k.key from @gov_entity_types t, lateral unnest(t.attribution_keys) k(key)))",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID}
};

/* Is there such an entity? */
bool
gov_rename_exists(text *owner, text *id)
{
	Datum		args[2] = {PointerGetDatum(owner), PointerGetDatum(id)};

	return gov_spi_modify(&exists_query, args, NULL) > 0;
}

/* The keys of dimensions that may name the entity: a text[]. */
Datum
gov_rename_attribution_keys(text *owner, text *id)
{
	Datum		args[2] = {PointerGetDatum(owner), PointerGetDatum(id)};
	bool		isnull;

	gov_spi_modify(&keys_query, args, NULL);
	return PointerGetDatum(DatumGetArrayTypePCopy(gov_spi_value(0, 1, &isnull)));
}

/*
 * Lock the tables that will be written to the end of the transaction, so that this
 * waits for nobody while calls are kept out.
 */
void
gov_rename_lock_tables(void)
{
	const GovCatalog *catalog = gov_catalog();
	const Oid	tables[] = {
		catalog->entities, catalog->assignments, catalog->boosts, catalog->increase_requests,
		catalog->prices, catalog->grants, catalog->reservations, catalog->denials, catalog->default_counts, catalog->recounts,
		catalog->changes
	};

	for (int i = 0; i < lengthof(tables); i++)
		LockRelationOid(tables[i], RowExclusiveLock);
}

/* Wait until nobody else has any row of the entity that users change. */
void
gov_rename_await(const GovRename *rename)
{
	Datum		args[] = {PointerGetDatum(rename->owner), PointerGetDatum(rename->id)};

	gov_await_rows(awaited, lengthof(awaited), args, lengthof(args));
}

/* Has somebody else one of these rows? */
bool
gov_rename_is_taken(const GovRename *rename)
{
	Datum		args[] = {PointerGetDatum(rename->owner), PointerGetDatum(rename->id)};

	return gov_await_is_taken(awaited, lengthof(awaited), args, lengthof(args));
}

/* Give the entity its other id in all that is listed above. */
void
gov_rename_entity(const GovRename *rename)
{
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID};
	Datum		args[4] = {
		PointerGetDatum(rename->owner), PointerGetDatum(rename->id),
		PointerGetDatum(rename->replacement), rename->attribution_keys
	};

	renaming_in = gov_local_transaction();
	for (int i = 0; i < lengthof(renamings); i++)
	{
		renamings[i].nargs = lengthof(types);
		memcpy(renamings[i].argtypes, types, sizeof(types));
		gov_spi_modify(&renamings[i], args, NULL);
	}
	renaming_in = InvalidLocalTransactionId;
}

/* BEFORE UPDATE, for each row whose key changes; its argument names the key. */
Datum
gov_refuse_key_change_1_1(PG_FUNCTION_ARGS)
{
	TriggerData *trigger =
	gov_trigger_data(fcinfo, GOV_FIRES(TRIGGER_EVENT_UPDATE | TRIGGER_EVENT_ROW | TRIGGER_EVENT_BEFORE));
	const char *columns = trigger->tg_trigger->tgnargs > 0 ? trigger->tg_trigger->tgargs[0] : "";

	if (!gov_rename_is_on())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("key columns of \"%s\" do not change", RelationGetRelationName(trigger->tg_relation)),
				 errdetail("Key columns: %s.", columns),
				 errhint("Insert a row with the new key and delete the old one."),
				 errtable(trigger->tg_relation)));
	return PointerGetDatum(trigger->tg_newtuple);
}
