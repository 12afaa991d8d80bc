/*
 * invalidate.c
 *		Triggers that tell the engine what DML has changed.
 *
 * PURPOSE
 *		The catalog is plain tables, and plain SQL is a first-class way to
 *		manage them.  Row triggers note what each row concerned, so it does not
 *		matter whether a row comes by COPY, logical replication or a catalog
 *		function.  They are ENABLE ALWAYS, and not statement triggers, because
 *		those do not fire when replication applies changes.  Another trigger
 *		notes TRUNCATE.  A third one keeps the ledger append-only.  A fourth
 *		notes rows that the engine has not written: for each statement, which
 *		costs COPY nothing, and for each row that replication applies.
 *
 * FAILURE
 *		Triggers disabled by an administrator, or turned into ordinary ones by
 *		ENABLE TRIGGER ALL, tell nothing: gov_refresh() repairs both.
 */
#include "postgres.h"

#include "utils/rel.h"

#include "base/catalog.h"
#include "base/spi.h"
#include "cache/changes.h"
#include "cache/created.h"
#include "cache/tail.h"
#include "pure/bytes.h"
#include "rules/trigger.h"

PG_FUNCTION_INFO_V1(gov_note_change_1_0);
PG_FUNCTION_INFO_V1(gov_note_truncate_1_0);
PG_FUNCTION_INFO_V1(gov_ledger_guard_1_0);
PG_FUNCTION_INFO_V1(gov_note_ledger_1_1);

static void
note_row(const TriggerData *trigger, HeapTuple row, const char *id_column)
{
	text	   *owner = DatumGetTextPP(gov_trigger_key(trigger, row, "owner_id"));
	text	   *id = DatumGetTextPP(gov_trigger_key(trigger, row, id_column));

	gov_changes_note_entity(VARDATA_ANY(owner), VARSIZE_ANY_EXHDR(owner),
							VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id));
}

/*
 * Note that a budget comes to another entity, because that one is forgotten, here
 * (api_forget.c) or where replication takes it from.  Its counter comes to
 * another node, and its counts are to be read anew.
 */
static void
note_counter_moves(const TriggerData *trigger)
{
	text	   *owner = DatumGetTextPP(gov_trigger_key(trigger, trigger->tg_newtuple, "owner_id"));
	text	   *before = DatumGetTextPP(gov_trigger_key(trigger, trigger->tg_trigtuple, "entity_id"));
	text	   *after = DatumGetTextPP(gov_trigger_key(trigger, trigger->tg_newtuple, "entity_id"));

	if (gov_bytes_equal(VARDATA_ANY(before), VARSIZE_ANY_EXHDR(before),
						VARDATA_ANY(after), VARSIZE_ANY_EXHDR(after)))
		return;
	gov_tail_note_writer();
	gov_changes_note_deleted(VARDATA_ANY(owner), VARSIZE_ANY_EXHDR(owner));
}

/*
 * Note a change of what many budgets of an owner have in common, or of every
 * owner: their thresholds, or a default.
 */
static void
note_policy(const TriggerData *trigger)
{
	bool		isnull;
	Datum		owner = gov_trigger_column(trigger, trigger->tg_trigtuple, "owner_id", &isnull);

	if (isnull)
		gov_changes_note_everything();
	else
		gov_changes_note_owner(VARDATA_ANY(DatumGetTextPP(owner)),
							   VARSIZE_ANY_EXHDR(DatumGetTextPP(owner)));
}

/*
 * Is a use creating this entity?  Then this transaction finds it by itself, and
 * tells others at its commit (created.c), unless it reads the catalog into a
 * private view already.
 */
static bool
is_created(const TriggerData *trigger)
{
	text	   *owner;
	text	   *id;

	if (!gov_created_is_any() || !TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		return false;
	owner = DatumGetTextPP(gov_trigger_key(trigger, trigger->tg_trigtuple, "owner_id"));
	id = DatumGetTextPP(gov_trigger_key(trigger, trigger->tg_trigtuple, "id"));
	return !gov_changes_has_owner(VARDATA_ANY(owner), VARSIZE_ANY_EXHDR(owner)) &&
		gov_created_find(VARDATA_ANY(owner), VARSIZE_ANY_EXHDR(owner),
						 VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id), NULL) != NULL;
}

/* AFTER INSERT OR UPDATE OR DELETE, for each row of a catalog table. */
Datum
gov_note_change_1_0(PG_FUNCTION_ARGS)
{
	TriggerData *trigger =
	gov_trigger_data(fcinfo, GOV_FIRES(TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW) |
					 GOV_FIRES(TRIGGER_EVENT_UPDATE | TRIGGER_EVENT_ROW) |
					 GOV_FIRES(TRIGGER_EVENT_DELETE | TRIGGER_EVENT_ROW));
	const GovCatalog *catalog = gov_catalog();
	Oid			relid = RelationGetRelid(trigger->tg_relation);
	const char *id_column;

	if (relid == catalog->alert_policies || relid == catalog->default_assignments)
	{
		note_policy(trigger);
		return PointerGetDatum(NULL);
	}
	if (relid == catalog->prices)
	{
		gov_changes_note_prices();
		return PointerGetDatum(NULL);
	}
	if (relid == catalog->frozen_owners)
	{
		gov_changes_note_frozen();
		return PointerGetDatum(NULL);
	}
	if (relid == catalog->entities)
		id_column = "id";
	else if (relid == catalog->assignments || relid == catalog->boosts || relid == catalog->default_counts ||
			 relid == catalog->grants)
		id_column = "entity_id";
	else if (relid == catalog->entity_types || relid == catalog->capabilities)
	{
		gov_changes_note_types();
		return PointerGetDatum(NULL);
	}
	else
		gov_trigger_refuse(fcinfo);

	if (relid == catalog->entities && is_created(trigger))
		return PointerGetDatum(NULL);
	note_row(trigger, trigger->tg_trigtuple, id_column);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		note_row(trigger, trigger->tg_newtuple, id_column);
		if (relid == catalog->assignments)
			note_counter_moves(trigger);
	}
	return PointerGetDatum(NULL);
}

/* Is this the table that uses are recorded in? */
static bool
is_ledger(Oid relid)
{
	const GovCatalog *catalog = gov_catalog();

	return relid == catalog->events || relid == catalog->reservations;
}

/* Which budgets by a default were used. */
static bool
is_registry(Oid relid)
{
	return relid == gov_catalog()->default_counts;
}

/* What says how the catalog came to be as it is. */
static bool
is_history(Oid relid)
{
	const GovCatalog *catalog = gov_catalog();

	return relid == catalog->changes || relid == catalog->limit_history;
}

static bool
is_loaded_from(Oid relid)
{
	const GovCatalog *catalog = gov_catalog();

	return is_ledger(relid) || relid == catalog->usage ||
		relid == catalog->entity_types || relid == catalog->capabilities ||
		relid == catalog->entities || relid == catalog->assignments || relid == catalog->boosts || relid == catalog->grants ||
		relid == catalog->grant_usage || relid == catalog->default_assignments || relid == catalog->alert_policies;
}

/*
 * AFTER TRUNCATE of a table that nodes are loaded from, of the prices, or of who is frozen.  All
 * nodes are loaded again; counters that are in memory stay as they are.
 */
Datum
gov_note_truncate_1_0(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = gov_trigger_data(fcinfo, GOV_FIRES(TRIGGER_EVENT_TRUNCATE));

	if (RelationGetRelid(trigger->tg_relation) == gov_catalog()->prices)
	{
		gov_changes_note_prices();
		return PointerGetDatum(NULL);
	}
	if (RelationGetRelid(trigger->tg_relation) == gov_catalog()->frozen_owners)
	{
		gov_changes_note_frozen();
		return PointerGetDatum(NULL);
	}
	if (!is_loaded_from(RelationGetRelid(trigger->tg_relation)))
		gov_trigger_refuse(fcinfo);
	gov_changes_note_truncate();
	return PointerGetDatum(NULL);
}

/* What to do instead of changing a table that only the engine changes. */
static int
hint_at_other_way(const TriggerData *trigger)
{
	Oid			relid = RelationGetRelid(trigger->tg_relation);

	if (relid == gov_catalog()->changes)
		return errhint("Set governance.change_retention to have old rows deleted.");
	if (relid == gov_catalog()->grants)
		return errhint("Take back what is left of a grant with gov_void_grant; grants go with their pool.");
	if (relid == gov_catalog()->limit_history)
		return errhint("Its rows go with their budget.");
	if (is_registry(relid))
		return errhint("Its rows go with their entity, or their default.");
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		return errhint("Set governance.event_retention to have old rows deleted, or delete those of one owner with gov_delete_owner.");
	if (relid == gov_catalog()->events)
		return errhint("Record a correction with gov_ingest and a negative amount.");
	return errhint("Use gov_settle, gov_release or gov_extend.");
}

/* BEFORE UPDATE, DELETE or TRUNCATE of the ledger, the holds, the registry and the history. */
Datum
gov_ledger_guard_1_0(PG_FUNCTION_ARGS)
{
	TriggerData *trigger =
	gov_trigger_data(fcinfo, GOV_FIRES(TRIGGER_EVENT_UPDATE | TRIGGER_EVENT_BEFORE) |
					 GOV_FIRES(TRIGGER_EVENT_DELETE | TRIGGER_EVENT_BEFORE) |
					 GOV_FIRES(TRIGGER_EVENT_TRUNCATE | TRIGGER_EVENT_BEFORE));

	if (!is_ledger(RelationGetRelid(trigger->tg_relation)) &&
		!is_registry(RelationGetRelid(trigger->tg_relation)) &&
		!is_history(RelationGetRelid(trigger->tg_relation)) &&
		RelationGetRelid(trigger->tg_relation) != gov_catalog()->grants)
		gov_trigger_refuse(fcinfo);
	if (!gov_spi_is_engine())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("table \"%s\" is changed by the functions of governance only",
						RelationGetRelationName(trigger->tg_relation)),
				 hint_at_other_way(trigger)));
	return PointerGetDatum(NULL);
}

/* BEFORE INSERT into the ledger, which the engine does without triggers. */
Datum
gov_note_ledger_1_1(PG_FUNCTION_ARGS)
{
	TriggerData *trigger =
	gov_trigger_data_of(fcinfo, GOV_FIRES(TRIGGER_EVENT_INSERT | TRIGGER_EVENT_BEFORE) |
						GOV_FIRES(TRIGGER_EVENT_INSERT | TRIGGER_EVENT_BEFORE | TRIGGER_EVENT_ROW),
						gov_catalog()->events);

	gov_tail_note_writer();
	return PointerGetDatum(TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ? trigger->tg_trigtuple : NULL);
}
