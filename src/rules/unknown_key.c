/*
 * unknown_key.c
 *		A trigger that gives each dimension key one type at most that does not
 *		ignore what it does not know.
 *
 * PURPOSE
 *		A dimension whose value is no entity is created, or denied, as an entity
 *		of one type.  So no two types whose on_unknown is not ignore may share an
 *		attribution key.  A unique index cannot look into an array.
 *
 * WHEN
 *		AFTER triggers for each row fire when the statement has written all its
 *		rows, so one UPDATE may hand a key over from one type to another.
 *
 * LOCKS
 *		One lock for all types, a sub-object of gov_entity_types, to the end of
 *		the transaction: of two sessions whose types would share a key the second
 *		waits, and finds the first one's.
 *
 * FAILURE
 *		23505, which names key and types.  It does not fire for rows that
 *		replication applies.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "base/spi.h"
#include "rules/trigger.h"

PG_FUNCTION_INFO_V1(gov_unknown_key_unique_1_1);

/* Another type that does not ignore what one of these keys does not know. */
static GovQuery other_type_query = {
	.sql =
	"select t.id, k.key"
	" from @gov_entity_types t, lateral unnest(t.attribution_keys) as k(key)"
	" where t.id <> $1 and t.on_unknown <> 'ignore' and k.key = any ($2)"
	" order by k.key collate \"C\", t.id"
	" limit 1",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTARRAYOID}
};

static void
lock_keys(void)
{
	LOCKTAG		tag;

	/* sub-object 0 would be the table itself */
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId, gov_catalog()->entity_types, 1);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

pg_noreturn static void
raise_shared(Relation table, Datum id)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("attribution key \"%s\" is one of entity type \"%s\" already",
					gov_error_shown(gov_spi_text(0, 2)), gov_error_shown(gov_spi_text(0, 1))),
			 errdetail("Type \"%s\" would be the second one that says what it does with an unknown id.",
					   gov_error_shown(TextDatumGetCString(id))),
			 errhint("Set on_unknown of one of them to 'ignore', or take the key away from it."),
			 errtableconstraint(table, "gov_entity_types_unknown_key")));
}

/* AFTER INSERT OR UPDATE of gov_entity_types, for each row that does not ignore. */
Datum
gov_unknown_key_unique_1_1(PG_FUNCTION_ARGS)
{
	TriggerData *trigger =
	gov_trigger_data_of(fcinfo, GOV_FIRES(TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW) |
						GOV_FIRES(TRIGGER_EVENT_UPDATE | TRIGGER_EVENT_ROW),
						gov_catalog()->entity_types);
	HeapTuple	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
	trigger->tg_newtuple : trigger->tg_trigtuple;
	Datum		args[2];
	bool		isnull;
	GovSpi		spi;

	args[0] = gov_trigger_key(trigger, row, "id");
	args[1] = gov_trigger_column(trigger, row, "attribution_keys", &isnull);
	lock_keys();
	gov_spi_begin(&spi);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	if (gov_spi_select(&other_type_query, args, NULL) > 0)
		raise_shared(trigger->tg_relation, args[0]);
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
	return PointerGetDatum(NULL);
}
