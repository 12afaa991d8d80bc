/*
 * creation.c
 *		Creates the entities that a use names and that are not there yet.
 *
 * PURPOSE
 *		A use that is granted, or recorded whatever the limits, creates what the
 *		gate has taken as if it were there (gate/resolve_unknown.c), in the
 *		caller's transaction.  The rows are inserted below SPI as the extension's
 *		owner, with all rules and triggers of the table; the caller needs no right
 *		on it.
 *
 * PROTOCOL
 *		Charge, create, write: as a key, an id is inserted speculatively, and a
 *		row of the same id is no error.  If somebody else has it, the charge is
 *		taken back, whoever is inserting it is waited for with nothing in hand,
 *		and the call is decided again.  So nobody waits while its own charge
 *		stands in memory, and who comes second finds the entity of the first.
 *
 * DEADLOCK
 *		The ids of one call never wait for each other, whichever order they are
 *		in.  But a transaction that has created a may wait for b while another
 *		has created b and waits for a.  The one that PostgreSQL chooses to end
 *		that does not fail: it waits in a subtransaction, which is undone, and
 *		leaves its entity to the other.  Its use is recorded under the id that
 *		the other creates, decided as if it were there.  But if the entity has
 *		budgets by defaults the deadlock is an error as any: what the other counts
 *		on them is not known yet, so nothing may be granted beside it.
 *
 * BUDGETS
 *		What is created has the budgets that the defaults of its type give it, and
 *		the use is charged to them: in counters that only this transaction has
 *		(own_counts.c).  From then on the owner counts as changed, and the
 *		transaction finds them in a private view; others load them after the
 *		commit.  What says that such a budget is used is written when it is certain
 *		that the entity is ours.
 *
 * RACES ACCEPTED
 *		Of several entities of one call the first may be created when another
 *		session is faster with the second; and a call that waited may then be
 *		denied.  The first stays all the same.
 *
 * FAILURE
 *		Raises what an INSERT into gov_entities would, such as an error of a
 *		user's trigger; the abort takes the charge back.  55P03 if others
 *		create and undo the same entity all the time.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"

#include "base/attempt.h"
#include "base/catalog.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/lookup.h"
#include "base/spi.h"
#include "cache/changes.h"
#include "cache/created.h"
#include "cache/types.h"
#include "call/creation.h"
#include "call/write.h"
#include "gate/first_use.h"
#include "ledger/append.h"
#include "ledger/columns.h"

#define GOV_CONFLICTS_MAX	100
#define GOV_GIVEN_COLUMNS	(GOV_ENTITY_PARENT_ID + 1)	/* those that say what
														 * is created */

/* What is created for a call. */
typedef struct GovInsertion
{
	GovAppend	table;
	const GovUnknown *contended;	/* that somebody else has; or NULL */
	bool		is_other;		/* a trigger has made it another one than was
								 * charged */
} GovInsertion;

/* An id that somebody else may be creating. */
typedef struct GovContended
{
	const GovRequest *request;
	const GovName *name;
} GovContended;

/*
 * Lock the table if the call may create something, before it loads anything; see
 * gov_write_lock().
 */
void
gov_creation_lock(const GovRequest *request)
{
	for (int i = 0; i < request->nnames; i++)
	{
		const GovNameRule *rule = request->names[i].rule;

		if (unlikely(rule != NULL) && rule->of_key.creates)
		{
			gov_write_lock(gov_catalog()->entities);
			return;
		}
	}
}

/* ---------------------------------------------------------------- rows */

static Datum
text_of(const char *bytes, uint32 length)
{
	return PointerGetDatum(cstring_to_text_with_len(bytes, length));
}

static void
store_entity(GovAppend *table, const GovRequest *request, const GovUnknown *unknown)
{
	Datum	   *values = table->slot->tts_values;
	bool	   *nulls = table->slot->tts_isnull;
	const GovName *name = unknown->name;
	const GovName *parent = unknown->parent;
	int			by_use = gov_catalog()->entities_created_by_use - 1;

	gov_append_clear(table);
	memset(nulls, false, sizeof(bool) * GOV_GIVEN_COLUMNS);
	values[GOV_ENTITY_OWNER_ID] = text_of(request->owner.owner, request->owner.owner_length);
	values[GOV_ENTITY_ID] = text_of(name->id, name->id_length);
	values[GOV_ENTITY_TYPE_ID] = CStringGetTextDatum(name->rule->of_key.type_id);
	nulls[GOV_ENTITY_PARENT_ID] = parent == NULL;
	values[GOV_ENTITY_PARENT_ID] = parent == NULL ? (Datum) 0 : text_of(parent->id, parent->id_length);
	nulls[by_use] = false;
	values[by_use] = BoolGetDatum(true);
}

/* Has what would be created budgets, or would it for some combination? */
static bool
has_budgets(const GovUnknown *unknown)
{
	return unknown->loaded->entity->nbudgets > 0 || unknown->loaded->entity->has_templates;
}

/* Has a BEFORE trigger of a user's blocked or archived what was written? */
static bool
is_suspended(const GovAppend *table)
{
	const bool *nulls = table->slot->tts_isnull;

	return !nulls[GOV_ENTITY_ARCHIVED_AT] || !nulls[gov_catalog()->entities_blocked_at - 1];
}

/* Has it what the anchors of budgets come from as the call took them? */
static bool
has_same_anchors(const GovAppend *table)
{
	const Datum *values = table->slot->tts_values;

	return DatumGetTimestampTz(values[GOV_ENTITY_CREATED_AT]) == GetCurrentTransactionStartTimestamp() &&
		JB_ROOT_COUNT(DatumGetJsonbP(values[GOV_ENTITY_METADATA])) == 0;
}

/*
 * An entity was written.  Where the block in memory does not say all that there is
 * of it, the transaction reads the tables from now on; and where what is charged
 * is not what it has, the call is decided again.
 */
static void
note_written(GovInsertion *insertion, const GovRequest *request, const GovUnknown *unknown)
{
	bool		is_bare = !has_budgets(unknown);
	bool		is_suspended_now = is_suspended(&insertion->table);

	if (is_bare && !is_suspended_now)
		return;
	insertion->is_other |= !is_bare && (is_suspended_now || !has_same_anchors(&insertion->table));
	gov_changes_note_entity(request->owner.owner, request->owner.owner_length,
							unknown->name->id, unknown->name->id_length);
}

static bool
is_never_taken(const void *key)
{
	return false;
}

/* Insert an entity; false if somebody has one of that id. */
static bool
insert_entity(GovInsertion *insertion, const GovRequest *request, const GovResolution *resolution,
			  const GovUnknown *unknown)
{
	gov_created_add(&request->owner, unknown->loaded->entity, &resolution->since);
	store_entity(&insertion->table, request, unknown);
	if (gov_append_key_row(&insertion->table, is_never_taken, NULL))
	{
		note_written(insertion, request, unknown);
		return true;
	}
	gov_created_remove_last();
	return false;
}

/* Insert what is to be created, up to what somebody else has. */
static void
insert_entities(GovInsertion *insertion, const GovRequest *request, const GovResolution *resolution)
{
	const GovCatalog *catalog = gov_catalog();
	GovSpi		spi;

	gov_spi_begin(&spi);
	gov_append_open(&insertion->table, catalog->entities, GOV_GIVEN_COLUMNS, catalog->entities_pkey, true);
	for (int i = 0; i < resolution->nunknown && insertion->contended == NULL; i++)
	{
		const GovUnknown *unknown = &resolution->unknown[i];

		if (unknown->fate == GOV_UNKNOWN_CREATED && !insert_entity(insertion, request, resolution, unknown))
			insertion->contended = unknown;
	}
	gov_append_close(&insertion->table);
	gov_spi_end(&spi);
}

/* ---------------------------------------------------------------- others */

/*
 * The transaction that is inserting an entity with this id, and its speculative
 * token or 0; invalid if there is none.
 */
static TransactionId
find_creator(Relation entities, const GovContended *contended, uint32 *token)
{
	const GovOwnerKey *owner = &contended->request->owner;
	GovLookupKey keys[] = {
		{"owner_id", text_of(owner->owner, owner->owner_length)},
		{"id", text_of(contended->name->id, contended->name->id_length)}
	};
	TransactionId xid = InvalidTransactionId;
	SnapshotData dirty;
	GovLookup	lookup;

	InitDirtySnapshot(dirty);
	gov_lookup_begin_at(&lookup, entities, gov_catalog()->entities_pkey, keys, lengthof(keys), &dirty);
	if (HeapTupleIsValid(gov_lookup_next(&lookup)))
		xid = dirty.xmin;
	*token = dirty.speculativeToken;
	gov_lookup_end(&lookup);
	return xid;
}

/* Wait for whoever is inserting the entity, until nobody is. */
static void
wait_for_creator(void *arg)
{
	const GovContended *contended = arg;
	Relation	entities = table_open(gov_catalog()->entities, RowExclusiveLock);
	TransactionId xid;
	uint32		token;

	while (TransactionIdIsValid(xid = find_creator(entities, contended, &token)))
	{
		GOV_FAULT(GOV_FAULT_WAIT);
		if (token != 0)
			SpeculativeInsertionWait(xid, token);
		else
			XactLockTableWait(xid, entities, NULL, XLTW_None);
	}
	table_close(entities, NoLock);
}

/*
 * Somebody else has an entity of that id, or is about to: wait, and have the call
 * look again.
 */
static void
settle_conflict(GovCreation *creation, const GovRequest *request, const GovUnknown *unknown)
{
	const GovName *name = unknown->name;
	GovContended contended = {request, name};
	ErrorData  *error = gov_attempt(wait_for_creator, &contended);

	if (error != NULL &&
		(error->sqlerrcode != ERRCODE_T_R_DEADLOCK_DETECTED || has_budgets(unknown)))
		ReThrowError(error);
	creation->gives_way = error != NULL;
	if (++creation->conflicts > GOV_CONFLICTS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("could not create entity \"%s\" in time",
						gov_error_shown_bytes(name->id, name->id_length)),
				 errdetail("Other sessions were creating it all the time."),
				 errhint("Retry the call.")));
	gov_node_invalidate(&request->owner, name->id, name->id_length);
	gov_types_refresh();		/* an undone subtransaction forgets its own
								 * changes */
}

/*
 * Create what a use that was charged takes as if it were there, and then write which
 * budgets by defaults are used.  False if it must be decided again: then it is not
 * charged any more.
 */
bool
gov_creation_make(GovCreation *creation, const GovRequest *request, GovUse use,
				  GovResolution *resolution)
{
	GovInsertion insertion = {0};

	if (likely(resolution->nunknown == 0))
		return true;
	if (!creation->gives_way)
		insert_entities(&insertion, request, resolution);
	if (insertion.contended == NULL && !insertion.is_other)
	{
		if (resolution->wants_rows)
			gov_first_use_write(request, resolution);
		return true;
	}
	gov_gate_take_back(request, use, resolution);
	if (insertion.contended != NULL)
		settle_conflict(creation, request, insertion.contended);
	return false;
}
