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
 *		row of the same id is no error.  If somebody else has it, the other
 *		entities of the call and its charge are taken back, whoever is inserting
 *		it is waited for with nothing in hand, and the call is decided again.  So
 *		nobody waits while its own charge stands in memory, who comes second finds
 *		the entity of the first, and a call that is denied then has created
 *		nothing.
 *
 * DEADLOCK
 *		The ids of one call never wait for each other, whichever order they are
 *		in.  But a transaction that has created a may wait for b while another
 *		has created b and waits for a.  The one that PostgreSQL chooses to end
 *		that does not fail: it waits in a subtransaction, which is undone, and
 *		leaves its entity to the other.  Its use is recorded under the id that
 *		the other creates, decided as if it were there; so is what would be
 *		created below.  But if one of these has
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
 * TRIGGERS
 *		A BEFORE trigger of a user's may make an entity another one than was
 *		charged, such as a blocked one.  Then the call is decided again with that,
 *		and if it is denied the entity stays.
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
#include "ledger/tentative.h"
#include "pure/bytes.h"

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
is_suspended(const TupleTableSlot *row)
{
	const bool *nulls = row->tts_isnull;

	return !nulls[GOV_ENTITY_ARCHIVED_AT] || !nulls[gov_catalog()->entities_blocked_at - 1];
}

/* Has it what the anchors of budgets come from as the call took them? */
static bool
has_same_anchors(const TupleTableSlot *row)
{
	const Datum *values = row->tts_values;

	return DatumGetTimestampTz(values[GOV_ENTITY_CREATED_AT]) == GetCurrentTransactionStartTimestamp() &&
		JB_ROOT_COUNT(DatumGetJsonbP(values[GOV_ENTITY_METADATA])) == 0;
}

/*
 * An entity was written.  Where the block in memory does not say all that there is
 * of it, the transaction reads the tables from now on; and where what is charged
 * is not what it has, the call is decided again.
 */
static void
note_written(GovInsertion *insertion, const TupleTableSlot *row, const GovRequest *request,
			 const GovUnknown *unknown)
{
	bool		is_bare = !has_budgets(unknown);
	bool		is_suspended_now = is_suspended(row);

	if (is_bare && !is_suspended_now)
		return;
	insertion->is_other |= !is_bare && (is_suspended_now || !has_same_anchors(row));
	gov_changes_note_entity(request->owner.owner, request->owner.owner_length,
							unknown->name->id, unknown->name->id_length);
}

static const GovUnknown *
find_unknown(const GovResolution *resolution, const GovName *name)
{
	for (int i = 0; name != NULL && i < resolution->nunknown; i++)
	{
		if (resolution->unknown[i].name == name)
			return &resolution->unknown[i];
	}
	return NULL;
}

/* Is this the entity of that name, or would it be created below it? */
static bool
is_at_or_below(const GovResolution *resolution, const GovUnknown *unknown, const GovName *name)
{
	while (unknown != NULL && unknown->name != name)
		unknown = find_unknown(resolution, unknown->parent);
	return unknown != NULL;
}

/* Is it left to others? */
static bool
is_given(const GovCreation *creation, const GovResolution *resolution, const GovUnknown *unknown)
{
	ListCell   *cell;

	foreach(cell, creation->given)
	{
		if (is_at_or_below(resolution, unknown, lfirst(cell)))
			return true;
	}
	return false;
}

/* What is created, in the order of the ids. */
static int
compare_unknown(const void *left, const void *right)
{
	const GovName *a = (*(const GovUnknown *const *) left)->name;
	const GovName *b = (*(const GovUnknown *const *) right)->name;

	return gov_bytes_compare(a->id, a->id_length, b->id, b->id_length);
}

static int
sort_created(const GovCreation *creation, const GovResolution *resolution,
			 const GovUnknown **created)
{
	int			count = 0;

	for (int i = 0; i < resolution->nunknown; i++)
	{
		const GovUnknown *unknown = &resolution->unknown[i];

		if (unknown->fate == GOV_UNKNOWN_CREATED && !is_given(creation, resolution, unknown))
			created[count++] = unknown;
	}
	qsort(created, count, sizeof(*created), compare_unknown);
	return count;
}

/* Insert an entity that may be taken back; false if somebody has one of that id. */
static bool
insert_entity(GovInsertion *insertion, GovTentative *rows, const GovRequest *request,
			  const GovResolution *resolution, const GovUnknown *unknown)
{
	gov_created_add(&request->owner, unknown->loaded->entity, &resolution->since);
	store_entity(&insertion->table, request, unknown);
	return gov_tentative_row(rows);
}

/* Keep what was inserted. */
static void
keep_entities(GovInsertion *insertion, GovTentative *rows, const GovRequest *request,
			  const GovUnknown **created)
{
	for (int i = 0; i < rows->nrows; i++)
		note_written(insertion, rows->slots[i], request, created[i]);
	gov_tentative_keep(rows);
}

/* Take all back, because somebody else has the last one. */
static void
undo_entities(GovInsertion *insertion, GovTentative *rows, const GovUnknown **created)
{
	insertion->contended = created[rows->nrows - 1];
	for (int i = 0; i < rows->nrows; i++)
		gov_created_remove_last();
	gov_tentative_undo(rows);
}

/* Insert what is to be created: all of it, or nothing if somebody else has one. */
static void
insert_entities(GovInsertion *insertion, const GovCreation *creation, const GovRequest *request,
				const GovResolution *resolution)
{
	const GovCatalog *catalog = gov_catalog();
	const GovUnknown **created = palloc(sizeof(GovUnknown *) * resolution->nunknown);
	int			count = sort_created(creation, resolution, created);
	bool		are_free = true;
	GovTentative rows;
	GovSpi		spi;

	if (count == 0)
		return;
	gov_spi_begin(&spi);
	gov_append_open_all(&insertion->table, catalog->entities, GOV_GIVEN_COLUMNS, catalog->entities_pkey, true);
	gov_tentative_begin(&rows, &insertion->table, count);
	for (int i = 0; i < count && are_free; i++)
		are_free = insert_entity(insertion, &rows, request, resolution, created[i]);
	if (are_free)
		keep_entities(insertion, &rows, request, created);
	else
		undo_entities(insertion, &rows, created);
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
 * May the entity of that name be left to somebody else, with what would be created
 * below it?
 */
static bool
may_be_given(const GovResolution *resolution, const GovName *name)
{
	for (int i = 0; i < resolution->nunknown; i++)
	{
		const GovUnknown *unknown = &resolution->unknown[i];

		if (is_at_or_below(resolution, unknown, name) && has_budgets(unknown))
			return false;
	}
	return true;
}

/*
 * Somebody else has an entity of that id, or is about to: wait, and have the call
 * look again.
 */
static void
settle_conflict(GovCreation *creation, const GovRequest *request,
				const GovResolution *resolution, const GovUnknown *unknown)
{
	const GovName *name = unknown->name;
	GovContended contended = {request, name};
	bool		may_give = may_be_given(resolution, name);
	ErrorData  *error = gov_attempt(wait_for_creator, &contended);

	if (error == NULL)
		creation->given = NIL;
	else if (error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED && may_give)
		creation->given = lappend(creation->given, unconstify(GovName *, name));
	else
		ReThrowError(error);
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
	insert_entities(&insertion, creation, request, resolution);
	if (insertion.contended == NULL && !insertion.is_other)
	{
		if (resolution->wants_rows)
			gov_first_use_write(request, resolution);
		return true;
	}
	gov_gate_take_back(request, use, resolution);
	if (insertion.contended != NULL)
		settle_conflict(creation, request, resolution, insertion.contended);
	return false;
}
