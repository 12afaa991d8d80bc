/*
 * hold_rows.c
 *		The rows of many holds, in one statement.
 *
 * LOCKING
 *		Rows are locked in the order of their ids, to the end of the transaction, and
 *		before anything is charged for them: two sessions that lock the same holds
 *		wait for each other in one order.
 *
 * FAILURE
 *		As for one hold (hold_row.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "ledger/hold_rows.h"

static GovQuery lock_queries[] =
GOV_HOLD_QUERIES(" where r.id = any ($1) and r.owner_id = coalesce($2, r.owner_id)"
				 " order by r.id for update",
				 2, UUIDARRAYOID, TEXTOID);

/* The ids are given twice so that they are looked up, however many there are said to be. */
static GovQuery settle_query = {
	.sql =
	"update @gov_reservations r"
	" set state = 'settled', settled_amount = u.amount, event_id = u.event_id, updated_at = $4"
	" from unnest($1, $2, $3) as u(id, amount, event_id)"
	" where r.id = any ($1) and r.id = u.id",
	.nargs = 4,
	.argtypes = {UUIDARRAYOID, NUMERICARRAYOID, INT8ARRAYOID, TIMESTAMPTZOID}
};

static Datum
uuid_array(Datum *ids, int count)
{
	return PointerGetDatum(construct_array(ids, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

/*
 * Lock those of some holds that there are, after waiting for whoever has one locked;
 * if an owner is given, those of that owner.  Returns how many, in the order of their
 * ids.
 */
int
gov_hold_rows_lock(const pg_uuid_t *ids, int count, const char *owner, GovHold **holds)
{
	Datum	   *elements = palloc(sizeof(Datum) * (count + 1));
	Datum		args[2] = {(Datum) 0, owner != NULL ? CStringGetTextDatum(owner) : (Datum) 0};
	char		nulls[2] = {' ', owner != NULL ? ' ' : 'n'};

	for (int i = 0; i < count; i++)
		elements[i] = UUIDPGetDatum(&ids[i]);
	args[0] = uuid_array(elements, count);
	return gov_hold_row_lock_selected(lock_queries, args, nulls, holds);
}

/* Settle locked holds, each once.  The counters that they are held against are pinned. */
void
gov_hold_rows_settle(const GovHoldSettled *settled, int count)
{
	Datum	   *ids = palloc(sizeof(Datum) * (count + 1));
	Datum	   *amounts = palloc(sizeof(Datum) * (count + 1));
	Datum	   *event_ids = palloc(sizeof(Datum) * (count + 1));
	Datum		args[4];
	GovSpi		spi;

	if (count == 0)
		return;
	for (int i = 0; i < count; i++)
	{
		ids[i] = UUIDPGetDatum(&settled[i].id);
		amounts[i] = NumericGetDatum(gov_amount_to_numeric(settled[i].amount));
		event_ids[i] = Int64GetDatum(settled[i].event_id);
	}
	args[0] = uuid_array(ids, count);
	args[1] = PointerGetDatum(construct_array(amounts, count, NUMERICOID, -1, false, TYPALIGN_INT));
	args[2] = PointerGetDatum(construct_array(event_ids, count, INT8OID, sizeof(int64),
											  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	args[3] = TimestampTzGetDatum(gov_clock());
	gov_spi_begin(&spi);
	gov_hold_row_require_changed(gov_spi_modify(&settle_query, args, NULL), count);
	gov_spi_end(&spi);
}
