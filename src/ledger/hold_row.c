/*
 * hold_row.c
 *		The rows of holds.
 *
 * PURPOSE
 *		Writes, locks, reads and closes rows of gov_reservations.  A hold is
 *		open until it is settled, released, or expired; a load counts every
 *		open one, whatever its time, so only the change of its state ends it.
 *
 * LOCKING
 *		Whoever changes a hold locks its row first, to the end of the
 *		transaction, so only one transaction at a time settles, releases, extends
 *		or expires it.  Expiring skips rows that are locked.  Whoever waits to
 *		enter the owner does so before (call/hold_call.c): who keeps calls out may
 *		have to change the row.
 *
 * FAILURE
 *		40001 when the row was changed since a REPEATABLE READ or SERIALIZABLE
 *		transaction began.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/guc.h"
#include "base/lookup.h"
#include "base/spi.h"
#include "ledger/append.h"
#include "ledger/columns.h"
#include "ledger/hold_amounts.h"
#include "ledger/hold_row.h"
#include "ledger/keys.h"
#include "ledger/shard.h"

static GovQuery find_queries[] = GOV_HOLD_QUERIES(" where r.id = $1", 1, UUIDOID);

static GovQuery lock_queries[] =
GOV_HOLD_QUERIES(" where r.id = $1 and r.owner_id = coalesce($2, r.owner_id) for update",
				 2, UUIDOID, TEXTOID);

static GovQuery lock_overdue_queries[] =
GOV_HOLD_QUERIES(" where r.state = 'open' and r.expires_at > $3 and r.expires_at <= $1"
				 " order by r.expires_at limit $2 for update skip locked",
				 3, TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID);

static GovQuery lock_owners_overdue_queries[] =
GOV_HOLD_QUERIES(" where r.state = 'open' and r.owner_id = $3 and (r.owner_id, r.expires_at) <= ($3, $1)"
				 " order by r.owner_id, r.expires_at limit $2 for update skip locked",
				 3, TIMESTAMPTZOID, INT8OID, TEXTOID);

#define BUDGETS_QUERY(others) \
	{ \
		.sql = \
		"select u.n, a.id, a.entity_id from unnest($1) with ordinality as u(id, n)," \
		"  lateral (select g.id, g.entity_id from @gov_assignments g" \
		"           where g.id = u.id" others " offset 0) a" \
		" order by u.n", \
		.nargs = 1, \
		.argtypes = {UUIDARRAYOID} \
	}

static GovQuery budgets_query = BUDGETS_QUERY("");

/* Where budgets by defaults have been used; each may have several rows. */
static GovQuery used_budgets_query =
BUDGETS_QUERY(" union select n.assignment_id, n.entity_id from @gov_default_counts n where n.assignment_id = u.id");

static GovQuery close_query = {
	.sql =
	"update @gov_reservations"
	" set state = $2, settled_amount = $3, event_id = $4, updated_at = $5"
	" where id = $1",
	.nargs = 5,
	.argtypes = {UUIDOID, TEXTOID, NUMERICOID, INT8OID, TIMESTAMPTZOID}
};

static GovQuery close_all_query = {
	.sql =
	"update @gov_reservations"
	" set state = $2, settled_amount = $3, event_id = $4, updated_at = $5, settled_amounts = $6, event_ids = $7"
	" where id = $1",
	.nargs = 7,
	.argtypes = {UUIDOID, TEXTOID, NUMERICOID, INT8OID, TIMESTAMPTZOID, JSONBOID, JSONBOID}
};

static GovQuery extend_query = {
	.sql =
	"update @gov_reservations set expires_at = $2, updated_at = $3"
	" where id = $1",
	.nargs = 3,
	.argtypes = {UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID}
};

static GovQuery next_expiry_query = {
	.sql =
	"select r.expires_at from @gov_reservations r"
	" where r.state = 'open' and r.expires_at > $1 order by r.expires_at limit 1",
	.nargs = 1,
	.argtypes = {TIMESTAMPTZOID}
};

static const char *const state_names[] = {
	[GOV_HOLD_OPEN] = "open",
	[GOV_HOLD_SETTLED] = "settled",
	[GOV_HOLD_RELEASED] = "released",
	[GOV_HOLD_EXPIRED] = "expired"
};

const char *
gov_hold_row_state_name(GovHoldState state)
{
	return state_names[state];
}

static GovHoldState
state_named(const char *name)
{
	for (int state = 0; state < lengthof(state_names); state++)
	{
		if (strcmp(state_names[state], name) == 0)
			return (GovHoldState) state;
	}
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("stored state \"%s\" of a hold is unknown", gov_error_shown(name)),
			 errhint("Run ALTER EXTENSION governance UPDATE.")));
}

static void
store_hold(GovAppend *append, const GovHold *hold)
{
	Datum	   *values = append->slot->tts_values;
	bool	   *nulls = append->slot->tts_isnull;

	gov_append_clear(append);
	memset(nulls, false, sizeof(bool) * GOV_HOLD_COLUMNS);
	values[GOV_HOLD_ID] = UUIDPGetDatum(&hold->id);
	values[GOV_HOLD_OWNER_ID] = CStringGetTextDatum(hold->owner);
	values[GOV_HOLD_CAPABILITY_ID] = PointerGetDatum(hold->capability);
	values[GOV_HOLD_AMOUNT] = NumericGetDatum(gov_amount_to_numeric(hold->amount));
	values[GOV_HOLD_ENTITY_IDS] = PointerGetDatum(hold->entity_ids ? hold->entity_ids :
												  construct_empty_array(TEXTOID));
	values[GOV_HOLD_DIMENSIONS] = JsonbPGetDatum(hold->dimensions);
	values[GOV_HOLD_IDEMPOTENCY_KEY] = PointerGetDatum(hold->key);
	nulls[GOV_HOLD_IDEMPOTENCY_KEY] = hold->key == NULL;
	values[GOV_HOLD_REQUEST_HASH] = PointerGetDatum(hold->request_hash);
	nulls[GOV_HOLD_REQUEST_HASH] = hold->request_hash == NULL;
	values[GOV_HOLD_CALLER] = CStringGetTextDatum(gov_guc_caller_name());
	values[GOV_HOLD_STATE] = CStringGetTextDatum(state_names[GOV_HOLD_OPEN]);
	values[GOV_HOLD_EXPIRES_AT] = TimestampTzGetDatum(hold->expires_at);
	nulls[GOV_HOLD_SETTLED_AMOUNT] = true;
	nulls[GOV_HOLD_EVENT_ID] = true;
	values[GOV_HOLD_ASSIGNMENT_IDS] = PointerGetDatum(hold->assignment_ids);
	values[GOV_HOLD_CREATED_AT] = TimestampTzGetDatum(hold->created_at);
	values[GOV_HOLD_UPDATED_AT] = values[GOV_HOLD_CREATED_AT];
	if (hold->amounts != NULL)
	{
		const GovCatalog *catalog = gov_catalog();
		int			amounts = catalog->reservations_amounts - 1;
		int			assignment_amounts = catalog->reservations_assignment_amounts - 1;

		values[amounts] = JsonbPGetDatum(hold->amounts);
		values[assignment_amounts] = PointerGetDatum(hold->assignment_amounts);
		nulls[amounts] = nulls[assignment_amounts] = false;
	}
	if (hold->quantities != NULL)
	{
		int			quantities = gov_catalog()->reservations_quantities - 1;

		values[quantities] = JsonbPGetDatum(hold->quantities);
		nulls[quantities] = false;
	}
}

/*
 * Append an open hold under a new id.  False when its key has just been taken:
 * nothing was written then.
 */
bool
gov_hold_row_insert(GovHold *hold)
{
	const GovCatalog *catalog = gov_catalog();
	GovAppend	append;
	GovKey		key = {hold->owner, hold->key};
	bool		is_done = true;

	gov_shard_draw_id(gov_shard_key(hold->owner, strlen(hold->owner)), &hold->id);
	gov_append_open(&append, catalog->reservations, GOV_HOLD_COLUMNS,
					catalog->reservations_key, hold->key != NULL);
	store_hold(&append, hold);
	if (hold->key == NULL)
		gov_append_row(&append);
	else
		is_done = gov_append_key_row(&append, gov_key_has_event, &key);
	gov_append_close(&append);
	return is_done;
}

/* Copy a row that SPI has into a hold, in the caller's memory. */
static void
read_hold(uint64 row, MemoryContext context, GovHold *hold)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	Numeric		amount;
	Datum		value;
	bool		isnull;

	memset(hold, 0, sizeof(*hold));
	hold->id = *DatumGetUUIDP(gov_spi_value(row, 1, &isnull));
	hold->owner = gov_spi_text(row, 2);
	hold->capability = DatumGetTextPCopy(gov_spi_value(row, 3, &isnull));
	amount = DatumGetNumeric(gov_spi_value(row, 4, &isnull));
	hold->has_bad_amount = gov_amount_from_numeric(amount, &hold->amount) != GOV_AMOUNT_OK;
	hold->entity_ids = DatumGetArrayTypePCopy(gov_spi_value(row, 5, &isnull));
	hold->dimensions = DatumGetJsonbPCopy(gov_spi_value(row, 6, &isnull));
	hold->state = state_named(gov_spi_text(row, 7));
	hold->expires_at = DatumGetTimestampTz(gov_spi_value(row, 8, &isnull));
	hold->event_id = DatumGetInt64(gov_spi_value(row, 9, &isnull));
	value = gov_spi_value(row, 11, &isnull);
	hold->amounts = isnull ? NULL : DatumGetJsonbPCopy(value);
	value = gov_spi_value(row, 13, &isnull);
	hold->event_ids = isnull ? NULL : DatumGetJsonbPCopy(value);
	value = gov_spi_value(row, 14, &isnull);
	hold->quantities = isnull ? NULL : DatumGetJsonbPCopy(value);
	MemoryContextSwitchTo(old);
}

/* What the hold in a row that SPI has is held against, in the caller's memory. */
static void
read_amounts(uint64 row, MemoryContext context, GovHold *hold, GovHoldAmounts *amounts)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	GovHoldColumns columns;
	bool		isnull;

	columns.amount = gov_spi_value(row, 4, &isnull);
	columns.assignment_ids = datumCopy(gov_spi_value(row, 10, &isnull), false, -1);
	columns.assignment_amounts = gov_spi_value(row, 12, &isnull);
	columns.has_amounts = !isnull;
	gov_hold_amounts_read(&columns, amounts);
	hold->has_bad_amount |= amounts->are_bad;
	MemoryContextSwitchTo(old);
}

/*
 * The budgets of all these holds in one array; ends[i] is where those of hold
 * i end.
 */
static Datum
all_budgets(const GovHoldAmounts *amounts, int count, int64 *ends)
{
	ArrayBuildState *all = initArrayResult(UUIDOID, CurrentMemoryContext, false);

	for (int i = 0; i < count; i++)
	{
		for (int j = 0; j < amounts[i].count; j++)
			accumArrayResult(all, amounts[i].ids[j], false, UUIDOID, CurrentMemoryContext);
		ends[i] = (i > 0 ? ends[i - 1] : 0) + amounts[i].count;
	}
	return makeArrayResult(all, CurrentMemoryContext);
}

/* Read which of the holds' budgets still exist, and on which entities. */
static void
read_budgets(GovHold *holds, const GovHoldAmounts *amounts, int count, MemoryContext context)
{
	int64	   *ends = palloc(sizeof(int64) * Max(count, 1));
	Datum		args[1] = {all_budgets(amounts, count, ends)};
	uint64		nrows;
	uint64		row = 0;

	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	nrows = gov_spi_select(gov_lookup_is_filled(gov_catalog()->default_counts) ?
						   &used_budgets_query : &budgets_query, args, NULL);
	for (int i = 0; i < count; i++)
	{
		GovHold    *hold = &holds[i];
		int			most = amounts[i].count;
		int64		begin = ends[i] - most;
		int64		number;
		bool		isnull;

		hold->nbudgets = 0;
		hold->budgets = MemoryContextAlloc(context, sizeof(GovHoldBudget) * Max(most, 1));
		for (; row < nrows && (number = DatumGetInt64(gov_spi_value(row, 1, &isnull))) <= ends[i]; row++)
		{
			GovHoldBudget *budget;

			Assert(hold->nbudgets < most);	/* an id is that of one budget */
			if (hold->nbudgets >= most)
				continue;
			budget = &hold->budgets[hold->nbudgets++];
			budget->id = *DatumGetUUIDP(gov_spi_value(row, 2, &isnull));
			budget->amount = amounts[i].amounts[number - begin - 1];
			budget->entity_id = MemoryContextStrdup(context, gov_spi_text(row, 3));
		}
	}
	SPI_freetuptable(SPI_tuptable);
	gov_spi_pop_snapshot();
}

/* Of such queries, the one for the extension as it is. */
static GovQuery *
for_extension(GovQuery *queries)
{
	return &queries[AttributeNumberIsValid(gov_catalog()->reservations_amounts) ? 1 : 0];
}

/* Run a query that locks rows, and copy the holds that it returns. */
static int
lock_holds(GovQuery *queries, Datum *args, const char *nulls, MemoryContext context,
		   GovHold **holds)
{
	GovHoldAmounts *amounts;
	int			count;

	CommandCounterIncrement();	/* the running command may have made them */
	count = (int) gov_spi_modify(for_extension(queries), args, nulls);
	*holds = MemoryContextAlloc(context, sizeof(GovHold) * Max(count, 1));
	amounts = palloc(sizeof(GovHoldAmounts) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		read_hold(i, context, &(*holds)[i]);
		read_amounts(i, context, &(*holds)[i], &amounts[i]);
	}
	SPI_freetuptable(SPI_tuptable);
	if (count > 0)
		read_budgets(*holds, amounts, count, context);
	return count;
}

/* Find a hold, as this transaction sees it; false if there is none. */
bool
gov_hold_row_find(const pg_uuid_t *id, GovHold *hold)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		args[1] = {UUIDPGetDatum(id)};
	GovSpi		spi;
	bool		found;

	gov_spi_begin(&spi);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	found = gov_spi_select(for_extension(find_queries), args, NULL) > 0;
	if (found)
		read_hold(0, context, hold);
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
	return found;
}

/* Lock the holds that such queries select. */
int
gov_hold_row_lock_selected(GovQuery *queries, Datum *args, const char *nulls, GovHold **holds)
{
	MemoryContext context = CurrentMemoryContext;
	GovSpi		spi;
	int			count;

	gov_spi_begin(&spi);
	count = lock_holds(queries, args, nulls, context, holds);
	gov_spi_end(&spi);
	return count;
}

/*
 * The owner of a hold; NULL: there is none of that id.  No hold has another owner in
 * another version of its row, so whichever is found first will do.  The caller has
 * locked the table.
 */
char *
gov_hold_row_owner(const pg_uuid_t *id)
{
	Relation	table = table_open(gov_catalog()->reservations, NoLock);
	Oid			index = gov_catalog()->reservations_pkey;
	char	   *owner = NULL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;
	bool		isnull;

	ScanKeyInit(&key, GOV_HOLD_ID + 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(id));
	scan = systable_beginscan(table, index, OidIsValid(index), SnapshotAny, 1, &key);
	row = systable_getnext(scan);
	if (HeapTupleIsValid(row))
		owner = TextDatumGetCString(heap_getattr(row, GOV_HOLD_OWNER_ID + 1,
												 RelationGetDescr(table), &isnull));
	systable_endscan(scan);
	table_close(table, NoLock);
	return owner;
}

/*
 * Lock a hold's row, after waiting for whoever has it locked.  False if there
 * is no such row, or if an owner is given and the hold is not of that owner.
 */
bool
gov_hold_row_lock(const pg_uuid_t *id, const char *owner, GovHold *hold)
{
	Datum		args[2] = {UUIDPGetDatum(id), owner != NULL ? CStringGetTextDatum(owner) : (Datum) 0};
	char		nulls[2] = {' ', owner != NULL ? ' ' : 'n'};
	GovHold    *holds;
	int			count = gov_hold_row_lock_selected(lock_queries, args, nulls, &holds);

	if (count > 0)
		*hold = holds[0];
	return count > 0;
}

/* Lock an owner's open holds past their time that nobody else has locked. */
int
gov_hold_row_lock_owners_overdue(const char *owner, TimestampTz now, int most,
								 GovHold **holds)
{
	Datum		args[3] = {TimestampTzGetDatum(now), Int64GetDatum(most), CStringGetTextDatum(owner)};

	return gov_hold_row_lock_selected(lock_owners_overdue_queries, args, NULL, holds);
}

/*
 * Lock open holds of any owner past their time that nobody else has locked,
 * beginning after a time.
 */
int
gov_hold_row_lock_overdue(TimestampTz after, TimestampTz now, int most, GovHold **holds)
{
	Datum		args[3] = {
		TimestampTzGetDatum(now), Int64GetDatum(most), TimestampTzGetDatum(after)
	};

	return gov_hold_row_lock_selected(lock_overdue_queries, args, NULL, holds);
}

/* Raise unless so many rows were changed: the counters are changed for them. */
void
gov_hold_row_require_changed(uint64 nrows, uint64 wanted)
{
	if (nrows != wanted)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("hold was not changed"),
				 errdetail("A trigger or rule on \"gov_reservations\" has prevented it."),
				 errhint("Drop that trigger or rule.")));
}

/* End a locked hold.  The counters that it is held against are pinned. */
void
gov_hold_row_close(const GovHold *hold, GovHoldState state, GovAmount settled_amount,
				   int64 event_id)
{
	bool		is_settled = state == GOV_HOLD_SETTLED;
	char		nulls[5] = {' ', ' ', is_settled ? ' ' : 'n', event_id != 0 ? ' ' : 'n', ' '};
	Datum		args[5];
	GovSpi		spi;

	gov_spi_begin(&spi);
	args[0] = UUIDPGetDatum(&hold->id);
	args[1] = CStringGetTextDatum(state_names[state]);
	args[2] = NumericGetDatum(gov_amount_to_numeric(settled_amount));
	args[3] = Int64GetDatum(event_id);
	args[4] = TimestampTzGetDatum(gov_clock());
	gov_hold_row_require_changed(gov_spi_modify(&close_query, args, nulls), 1);
	gov_spi_end(&spi);
}

/* Settle a locked hold, of one capability or several, and say what each came to. */
void
gov_hold_row_settle_all(const GovHold *hold, GovAmount settled_amount, int64 event_id,
						Jsonb *settled_amounts, Jsonb *event_ids)
{
	char		nulls[] = "       ";
	Datum		args[7];
	GovSpi		spi;

	gov_spi_begin(&spi);
	args[0] = UUIDPGetDatum(&hold->id);
	args[1] = CStringGetTextDatum(state_names[GOV_HOLD_SETTLED]);
	args[2] = NumericGetDatum(gov_amount_to_numeric(settled_amount));
	args[3] = Int64GetDatum(event_id);
	args[4] = TimestampTzGetDatum(gov_clock());
	args[5] = JsonbPGetDatum(settled_amounts);
	args[6] = JsonbPGetDatum(event_ids);
	nulls[3] = event_id != 0 ? ' ' : 'n';
	gov_hold_row_require_changed(gov_spi_modify(&close_all_query, args, nulls), 1);
	gov_spi_end(&spi);
}

/* Give a locked hold another time. */
void
gov_hold_row_extend(const GovHold *hold, TimestampTz expires_at)
{
	Datum		args[3] = {
		UUIDPGetDatum(&hold->id), TimestampTzGetDatum(expires_at),
		TimestampTzGetDatum(gov_clock())
	};
	GovSpi		spi;

	gov_spi_begin(&spi);
	gov_hold_row_require_changed(gov_spi_modify(&extend_query, args, NULL), 1);
	gov_spi_end(&spi);
}

/*
 * The first time after another time at which an open hold expires; false if
 * there is none.
 */
bool
gov_hold_row_next_expiry(TimestampTz after, TimestampTz *expires_at)
{
	Datum		args[1] = {TimestampTzGetDatum(after)};
	GovSpi		spi;
	bool		found;
	bool		isnull;

	gov_spi_begin(&spi);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	found = gov_spi_select(&next_expiry_query, args, NULL) > 0;
	if (found)
		*expires_at = DatumGetTimestampTz(gov_spi_value(0, 1, &isnull));
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
	return found;
}

/* Is a transaction under way that has written holds? */
bool
gov_hold_row_is_in_flight(void)
{
	LOCKTAG		tag;
	int			count;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, gov_catalog()->reservations);
	(void) GetLockConflicts(&tag, ShareLock, &count);
	return count > 0;
}
