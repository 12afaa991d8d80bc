/*
 * first_use.c
 *		Writes which budgets by a default are used.
 *
 * PURPOSE
 *		An inherited budget has no row, and its counter is known to whoever loads
 *		its entity.  But the rollup, alerts and reports come from the counter, or
 *		from the budget's id, and must learn whose it is.  So the transaction that
 *		charges such a budget writes a row of gov_default_counts besides its own,
 *		until one that has done so has committed.  Where the call creates the
 *		entity, the row is written behind that one (call/creation.c).
 *
 * NOBODY WAITS
 *		The rows have no unique key: of two sessions that use a budget first each
 *		writes one, and neither waits for the other.  Their counts are one in
 *		shared memory all the same, because the counter's id is.  If one of them
 *		rolls back, its row goes with its use.  The worker leaves one row of a
 *		counter (default_rows.c).
 *
 * LOCKING
 *		RowExclusiveLock on the table, taken before anything is charged: what is
 *		charged does not stand in memory while a call waits for a table.
 *
 * INVARIANTS
 *		A counter's wants_row is false only if there is a committed row.  It is
 *		cleared by the commit of a transaction that has written one.  Until then
 *		the transaction knows its own rows by its pending entries, which go with
 *		the (sub)transaction as the rows do.
 *
 * FAILURE
 *		Raises what an INSERT would, and the abort takes the charge back.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "cache/pending.h"
#include "gate/first_use.h"
#include "ledger/append.h"
#include "ledger/columns.h"

void
gov_first_use_lock(void)
{
	LockRelationOid(gov_catalog()->default_counts, RowExclusiveLock);
}

static Datum
make_scope(const GovEntity *entity, const GovBudget *budget)
{
	const GovText *scope = gov_budget_scope(entity, budget);
	uint32		nscope = gov_budget_more(entity, budget)->nscope;
	Datum	   *ids = palloc(sizeof(Datum) * (nscope + 1));

	for (uint32 i = 0; i < nscope; i++)
		ids[i] = CStringGetTextDatum(gov_entity_string(entity, scope[i]));
	return PointerGetDatum(construct_array(ids, nscope, TEXTOID, -1, false, TYPALIGN_INT));
}

static void
store_row(TupleTableSlot *slot, const GovRequest *request, const GovResolution *resolution,
		  const GovResolvedBudget *resolved)
{
	const GovEntity *entity = resolution->entities[resolved->entity].entity;
	const GovBudget *budget = resolved->budget;
	const GovBudgetMore *more = gov_budget_more(entity, budget);
	const GovInherited *inherited = gov_budget_inherited(entity, budget);
	Datum	   *values = slot->tts_values;
	bool	   *nulls = slot->tts_isnull;

	Assert(inherited != NULL);
	memset(nulls, false, sizeof(bool) * GOV_COUNT_COLUMNS);
	values[GOV_COUNT_OWNER_ID] = PointerGetDatum(cstring_to_text_with_len(request->owner.owner,
																		  request->owner.owner_length));
	values[GOV_COUNT_ENTITY_ID] = CStringGetTextDatum(gov_entity_id(entity)->bytes);
	values[GOV_COUNT_DEFAULT_ID] = UUIDPGetDatum(&inherited->default_id);
	values[GOV_COUNT_SCOPE_ENTITY_IDS] = make_scope(entity, budget);
	values[GOV_COUNT_SEED] = Int64GetDatum(inherited->seed);
	nulls[GOV_COUNT_ANCHOR] = inherited->anchor == 0;
	if (inherited->anchor != 0)
		values[GOV_COUNT_ANCHOR] = CStringGetTextDatum(gov_entity_string(entity, inherited->anchor));
	nulls[GOV_COUNT_ANCHOR_AT] = !more->has_anchor;
	values[GOV_COUNT_ANCHOR_AT] = TimestampTzGetDatum(more->anchor);
	values[GOV_COUNT_SALT] = Int32GetDatum(inherited->salt);
	values[GOV_COUNT_ASSIGNMENT_ID] = UUIDPGetDatum(&budget->id);
	values[GOV_COUNT_COUNTER_ID] = Int64GetDatum(budget->counter_id);
	values[GOV_COUNT_RETIRED] = BoolGetDatum(false);
	values[GOV_COUNT_IS_NEW] = BoolGetDatum(true);
	values[GOV_COUNT_CREATED_AT] = TimestampTzGetDatum(resolution->now);
}

/* The transaction has written the row of a budget, and need not do so again. */
static void
note_row(const GovResolvedBudget *budget, const GovOwnerKey *owner)
{
	if (budget->is_shared)
		gov_pending_note_row(budget->charged, owner->slot);
	else
		budget->counter->wants_row = false; /* it is this transaction's alone */
}

/* Write the rows that the budgets of a call want, which has charged them. */
void
gov_first_use_write(const GovRequest *request, const GovResolution *resolution)
{
	GovAppend	append;

	gov_append_open(&append, gov_catalog()->default_counts, GOV_COUNT_COLUMNS, InvalidOid, false);
	for (int i = 0; i < resolution->nbudgets; i++)
	{
		const GovResolvedBudget *budget = &resolution->budgets[i];

		if (!budget->wants_row)
			continue;
		gov_append_clear(&append);
		store_row(append.slot, request, resolution, budget);
		gov_append_row(&append);
		note_row(budget, &request->owner);
	}
	gov_append_close(&append);
}
