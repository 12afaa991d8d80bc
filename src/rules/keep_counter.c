/*
 * keep_counter.c
 *		Ids and counters of budgets.
 *
 * PURPOSE
 *		An id is drawn where none is given, and a counter here and nowhere else.
 *		Their defaults are the nil UUID and 0, so that clients that know types
 *		need not give them.  No budget has either.
 *
 * INVARIANTS
 *		A counter counts for one budget only: one that was drawn here is refused
 *		in a new row, and a session that is pinned to an owner brings none.
 *
 * FAILURE
 *		55000 and 42501 for a counter that is not the row's.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "base/catalog.h"
#include "base/owner.h"
#include "base/spi.h"
#include "cache/inherited.h"
#include "rules/drawn.h"
#include "rules/keep_columns.h"
#include "rules/keep_counter.h"

#define GOV_COUNTER_TO_DRAW	0	/* the sequence starts at 1 */

static bool may_draw = false;	/* for an UPDATE to 0 */

/* A counter that has been drawn. */
static GovQuery drawn_query = {
	.sql = "select from @gov_counter_seq q where q.is_called and q.last_value >= $1",
	.nargs = 1,
	.argtypes = {INT8OID}
};

/* Let an UPDATE to 0 draw another counter, or no longer. */
void
gov_keep_allow_drawing(bool is_allowed)
{
	may_draw = is_allowed;
}

bool
gov_keep_may_draw(void)
{
	return may_draw;
}

bool
gov_keep_wants_id(const GovKeptRow *row)
{
	static const pg_uuid_t nil = {0};

	return *gov_keep_row_null(row, GOV_KEEP_ID) ||
		memcmp(DatumGetUUIDP(*gov_keep_row_value(row, GOV_KEEP_ID)), &nil, UUID_LEN) == 0;
}

bool
gov_keep_wants_counter(const GovKeptRow *row)
{
	return *gov_keep_row_null(row, GOV_KEEP_COUNTER_ID) ||
		DatumGetInt64(*gov_keep_row_value(row, GOV_KEEP_COUNTER_ID)) == GOV_COUNTER_TO_DRAW;
}

void
gov_keep_draw_id(GovKeptRow *row)
{
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));

	gov_drawn_id(id);
	*gov_keep_row_value(row, GOV_KEEP_ID) = UUIDPGetDatum(id);
	*gov_keep_row_null(row, GOV_KEEP_ID) = false;
}

void
gov_keep_draw_counter(GovKeptRow *row)
{
	*gov_keep_row_value(row, GOV_KEEP_COUNTER_ID) = Int64GetDatum(nextval_internal(gov_catalog()->counter_seq, false));
	*gov_keep_row_null(row, GOV_KEEP_COUNTER_ID) = false;
}

/*
 * Another counter for a budget that goes on with the count of a default, or has
 * it by one.  It is below 0, as all of those, and comes from a number that is
 * drawn, as a default's seed does: so it never was a counter before.
 */
int64
gov_keep_draw_inherited(const pg_uuid_t *id)
{
	return gov_inherited_counter(id, nextval_internal(gov_catalog()->counter_seq, false));
}

static bool
was_drawn(Datum counter)
{
	GovSpi		spi;
	bool		found;

	gov_spi_begin(&spi);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	found = gov_spi_select(&drawn_query, &counter, NULL) > 0;
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
	return found;
}

/*
 * Judge a counter that a new budget brings with it.  A restore gives a budget
 * the counter that it had.  A counter that was drawn here has counted for
 * another budget, or for one that is gone together with its usage.
 */
void
gov_keep_check_counter(const GovKeptRow *row, Relation table)
{
	/*
	 * a number that is still to be drawn would be taken from another owner's
	 * budget
	 */
	if (gov_owner_pin() != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for column \"counter_id\""),
				 errdetail("The session is pinned to one owner by governance.owner, and counters are numbered over all."),
				 errhint("Leave counter_id out: the extension draws it."),
				 errtablecol(table, row->places[GOV_KEEP_COUNTER_ID] + 1)));
	if (was_drawn(*gov_keep_row_value(row, GOV_KEEP_COUNTER_ID)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("counter_id " INT64_FORMAT " has been drawn before",
						DatumGetInt64(*gov_keep_row_value(row, GOV_KEEP_COUNTER_ID))),
				 errhint("Leave counter_id out: the extension draws it. To restore rows, set session_replication_role to replica."),
				 errtablecol(table, row->places[GOV_KEEP_COUNTER_ID] + 1)));
}
