/*
 * retention_imported.c
 *		Deletes events that came with an owner from another server and are older
 *		than their retention.
 *
 * PURPOSE
 *		Such events have ids below those of all others (sql/54-moving.sql), a span
 *		for each owner.  A pass over all events in the order of their ids would
 *		stop at the first that is not due, which may be an owner's that came
 *		yesterday, with all that was recorded here behind it.  So each span has a
 *		pass of its own, which begins at its start.
 *
 * PROTOCOL
 *		A pass goes over the spans in the order of their owners, once an hour
 *		(pass.c), in batches as those of other events (retention.c).
 *		gov_imports has for each span up to which id nothing is left: what was kept
 *		or locked is looked at again by the next pass.
 *
 * LOCKING
 *		That of retention.c.
 *
 * FAILURE
 *		A deletion that fails undoes the batch, and the pass goes on behind it; the
 *		next pass tries it again.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/lookup.h"
#include "base/spi.h"
#include "rollup/pass.h"
#include "rollup/retention.h"

/* Where the pass is: in the span of this owner, after events_pass.id. */
static GovPass pass;
static char *owner = NULL;		/* NULL: before the first, or done */
static int64 last_id;			/* of the span */
static int64 first_left_id;		/* PG_INT64_MAX: nothing was left in it */
static bool is_done = false;

static GovQuery next_query = {
	.sql =
	"select i.owner_id, i.events_deleted_until, i.last_event_id from @gov_imports i"
	" where i.owner_id > $1 and i.events_deleted_until < i.last_event_id"
	" order by i.owner_id limit 1",
	.nargs = 1,
	.argtypes = {TEXTOID}
};

/* Nothing is left up to $2; and nothing at all, if there is no event after $4. */
static GovQuery note_query = {
	.sql =
	"update @gov_imports i"
	" set events_deleted_until = greatest(i.events_deleted_until, case"
	"   when exists (select from @gov_events e where e.id > $2 and e.id <= i.last_event_id) then $2"
	"   else i.last_event_id end),"
	"  events_deleted_to = greatest(i.events_deleted_to, nullif($3, '-infinity'))"
	" where i.owner_id = $1",
	.nargs = 3,
	.argtypes = {TEXTOID, INT8OID, TIMESTAMPTZOID}
};

static void
set_owner(const char *name)
{
	if (owner != NULL)
		pfree(owner);
	owner = name == NULL ? NULL : MemoryContextStrdup(TopMemoryContext, name);
}

/* Go on to the span of the next owner; false if there is none. */
static bool
find_next_span(void)
{
	Datum		args[1] = {CStringGetTextDatum(owner == NULL ? "" : owner)};
	bool		isnull;

	if (gov_spi_modify(&next_query, args, NULL) == 0)
		return false;
	pass.id = DatumGetInt64(gov_spi_value(0, 2, &isnull));
	last_id = DatumGetInt64(gov_spi_value(0, 3, &isnull));
	first_left_id = PG_INT64_MAX;
	set_owner(gov_spi_text(0, 1));
	return true;
}

/* Note what a batch has done; true when the span may have more. */
static bool
note_batch(const GovRetentionBatch *batch)
{
	Datum		args[3];

	first_left_id = Min(first_left_id, batch->left_id);
	if (batch->nseen > 0)
		pass.id = batch->last_id;
	args[0] = CStringGetTextDatum(owner);
	args[1] = Int64GetDatum(Min(pass.id, first_left_id - 1));
	args[2] = TimestampTzGetDatum(batch->deleted_to);
	gov_spi_modify(&note_query, args, NULL);
	return gov_pass_note(&pass, batch->nseen, batch->nseen);
}

/* Is the pass, which may be a new one, in a span? */
static bool
is_in_span(bool is_within)
{
	if (gov_pass_continue(&pass))
	{
		set_owner(NULL);
		is_done = false;
		is_within = false;
	}
	if (!is_done && !is_within)
		is_done = !find_next_span();
	return !is_done;
}

/* Delete a batch; true when there may be more.  What a batch locks is locked already. */
bool
gov_retention_prune_imported(uint64 *ndeleted)
{
	static bool is_within = false;	/* a span, which may have more */
	GovRetentionBatch batch = {0};
	GovSpi		spi;
	bool		is_more;

	if (!OidIsValid(gov_catalog()->imports) || !gov_lookup_has_rows(gov_catalog()->imports))
		return false;
	gov_spi_begin(&spi);
	is_more = is_in_span(is_within);
	is_within = false;
	if (is_more)
	{
		batch.after = pass.id;
		batch.upto = last_id;
		batch.limit = pass.limit;
		if (gov_retention_delete(&batch))
			is_within = note_batch(&batch);
		*ndeleted += batch.ndeleted;
	}
	gov_spi_end(&spi);
	return is_more;
}
