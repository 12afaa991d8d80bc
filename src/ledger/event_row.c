/*
 * event_row.c
 *		The row of an event, read to be reversed.
 *
 * PURPOSE
 *		A reversal gives back what an event has charged, on the counters and
 *		windows that its row names, and on those of recounts that have counted it.
 *		So the row says what there is to know, and the reversals of it how much is
 *		left.
 *
 * LOCKING
 *		Whoever reverses an event locks its row first, FOR NO KEY UPDATE and to
 *		the end of the transaction: so of two that do, the second sees what the
 *		first has left.  Users' foreign keys to the ledger are not kept waiting.
 *		The retention passes over what is locked (retention.c).
 *
 *		A count of a budget by a default is kept while something else is in its
 *		place: an assignment with other windows, a default of the owner, or
 *		another anchor of the entity.  Who gives back to one locks what is there
 *		instead, and the entity, so that the budget does not come back to shared
 *		memory before what it was given can be seen.
 *
 * SNAPSHOTS
 *		The latest one at every isolation level, because what is left must be
 *		what is left now.
 *
 * FAILURE
 *		A deadlock with who changes several of what is locked; 40001 when the row was rewritten since a REPEATABLE READ or SERIALIZABLE
 *		transaction began, 22003 for an amount that we have not written.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/spi.h"
#include "ledger/event_row.h"
#include "pure/pool.h"

/*
 * Where the event is gone, a reversal of it may still be there, and answer for
 * its key.
 */
static GovQuery owner_query = {
	.sql =
	"select e.owner_id from @gov_events e where e.id = $1"
	" union all"
	" select r.owner_id from @gov_events r where r.reverses = $1"
	" limit 1",
	.nargs = 1,
	.argtypes = {INT8OID}
};

static GovQuery lock_query = {
	.sql =
	"select e.owner_id, e.capability_id, e.amount, @_gov_shown_ids(e.owner_id, e.id, e.entity_ids),"
	" @_gov_shown_dimensions(e.owner_id, e.id, e.dimensions),"
	" e.occurred_at, e.reverses is not null, e.counter_ids, e.window_starts, e.window_ends, e.draws is not null"
	" from @gov_events e"
	" where e.id = $1 and e.recorded_at >= $2"
	" for no key update",
	.nargs = 2,
	.argtypes = {INT8OID, TIMESTAMPTZOID}
};

static GovQuery reversed_query = {
	.sql = "select coalesce(sum(r.amount), 0) from @gov_events r where r.reverses = $1",
	.nargs = 1,
	.argtypes = {INT8OID}
};

/*
 * The budgets that the event was charged to, as far as they have that counter, and
 * those that have counted it again, which is as good (rules/recount.c).
 */
static GovQuery budgets_query = {
	.sql =
	"(select a.id, a.entity_id, x.counter_id, x.window_start, x.window_end"
	" from unnest($1, $2, $3) with ordinality as x(counter_id, window_start, window_end, n),"
	"  lateral (select g.id, g.entity_id from @gov_assignments g"
	"           where g.counter_id = x.counter_id and g.owner_id = $4"
	"           union"
	"           select c.assignment_id, c.entity_id from @gov_default_counts c"
	"            join @gov_default_assignments d on d.id = c.default_id and d.seed = c.seed"
	"           where c.counter_id = x.counter_id and c.owner_id = $4 and not c.retired) a"
	" order by x.n)"
	" union all"
	" select a.id, a.entity_id, r.counter_id, coalesce(w.window_start, '-infinity'), coalesce(w.window_end, 'infinity')"
	" from @gov_recounts r,"
	"  lateral (select g.id, g.entity_id from @gov_assignments g"
	"           where g.owner_id = r.owner_id and g.id = r.assignment_id and g.counter_id = r.counter_id"
	"           union"
	"           select c.assignment_id, c.entity_id from @gov_default_counts c"
	"            join @gov_default_assignments d on d.id = c.default_id and d.seed = c.seed"
	"           where c.counter_id = r.counter_id and c.owner_id = r.owner_id and not c.retired) a,"
	"  lateral @gov_window(r.cadence, r.anchor_at, r.timezone, $8) w"
	" where r.owner_id = $4 and r.capability_id = $6 and r.through_id >= $5 and r.since <= $8"
	"  and (select count(distinct m.set) from unnest(r.member_ids, r.member_sets) m(id, set)"
	"       where m.id = any ($7)) = r.sets",
	.nargs = 8,
	.argtypes = {
		INT8ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TEXTOID, INT8OID, TEXTOID, TEXTARRAYOID,
		TIMESTAMPTZOID
	}
};

/*
 * What an event has drawn from grants that there are.  What is given back to one
 * that was used up, and that nothing can be drawn from any more, is its pool's.
 */
static GovQuery draws_query = {
	.sql =
	"select a.id, t.grant_id, a.entity_id, coalesce(t.counter_id, a.debt_counter_id), d.amount, a.debt_counter_id"
	" from @gov_events e,"
	"  lateral (select i.n, e.draws[i.n][1]::bigint as counter_id, e.draws[i.n][2] as amount"
	"           from generate_subscripts(e.draws, 1) i(n)) d,"
	"  lateral (select g.assignment_id, case when u.is_open then g.id end, case when u.is_open then g.counter_id end"
	"           from @gov_grants g,"
	"            lateral (select g.closed_at is null or least(g.expires_at, g.voided_at) <= $3) u(is_open)"
	"           where g.counter_id = d.counter_id and g.owner_id = $2"
	"           union all"
	"           select p.id, null, null from @gov_assignments p"
	"           where p.debt_counter_id = d.counter_id and p.owner_id = $2) t(assignment_id, grant_id, counter_id),"
	"  @gov_assignments a"
	" where e.id = $1 and a.id = t.assignment_id"
	" order by d.n desc",
	.nargs = 3,
	.argtypes = {INT8OID, TEXTOID, TIMESTAMPTZOID}
};

/*
 * Whoever closes grants leaves those alone that are locked.  So what is given back
 * to one is known to whoever closes it.
 */
static GovQuery lock_grants_query = {
	.sql =
	"select from @gov_grants g where g.owner_id = $2 and g.counter_id = any (array("
	" select e.draws[i.n][1]::bigint from @gov_events e, lateral generate_subscripts(e.draws, 1) i(n) where e.id = $1))"
	" order by g.counter_id for share",
	.nargs = 2,
	.argtypes = {INT8OID, TEXTOID}
};

/* By capability the events of the call that has recorded this one. */
static GovQuery call_query = {
	.sql =
	"select jsonb_object_agg(v.capability_id, v.id)"
	" from @gov_events e, @gov_events v"
	" where e.id = $1 and v.id = any (coalesce(e.call_event_ids, array[e.id]))",
	.nargs = 1,
	.argtypes = {INT8OID}
};

/*
 * By capability the ids of all events that were recorded by the call which has
 * recorded this one, an object; NULL if it is gone.
 */
Jsonb *
gov_event_row_call(int64 id)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		args[1] = {Int64GetDatum(id)};
	Jsonb	   *ids = NULL;
	GovSpi		spi;
	Datum		value;
	bool		isnull;

	gov_spi_begin(&spi);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	gov_spi_select(&call_query, args, NULL);
	value = gov_spi_value(0, 1, &isnull);
	if (!isnull)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		ids = DatumGetJsonbPCopy(value);
		MemoryContextSwitchTo(old);
	}
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
	return ids;
}

/* Has the entity the budget now, which may be an assignment that goes on with the count? */
static GovQuery shown_query = {
	.sql =
	"select from @gov_used_assignments u"
	" where u.owner_id = $1 and u.entity_id = $2 and u.id = $3 and u.counter_id = $4",
	.nargs = 4,
	.argtypes = {TEXTOID, TEXTOID, UUIDOID, INT8OID}
};

/* Keep what is in the place of a budget by a default. */
static GovQuery keep_entity_query = {
	.sql = "select from @gov_entities e where e.owner_id = $1 and e.id = $2 for share",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID}
};

#define GOV_DEFAULT_OF(columns) \
	"(select " columns " from @gov_default_assignments d" \
	" where d.id = (select c.default_id from @gov_default_counts c where c.counter_id = $3 limit 1))"

static GovQuery keep_assignment_query = {
	.sql =
	"select from @gov_assignments a where a.owner_id = $1 and a.entity_id = $2"
	" and (a.capability_id, a.name) = " GOV_DEFAULT_OF("d.capability_id, d.name") " for key share",
	.nargs = 3,
	.argtypes = {TEXTOID, TEXTOID, INT8OID}
};

static GovQuery keep_default_query = {
	.sql =
	"select from @gov_default_assignments o where o.owner_id = $1"
	" and (o.type_id, o.capability_id, o.scope_type_ids, o.name) = "
	GOV_DEFAULT_OF("d.type_id, d.capability_id, d.scope_type_ids, d.name") " for key share",
	.nargs = 3,
	.argtypes = {TEXTOID, TEXTOID, INT8OID}
};

/* The owner of an event, or of its reversals where it is gone; NULL: unknown. */
char *
gov_event_row_owner(int64 id)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		args[1] = {Int64GetDatum(id)};
	char	   *owner = NULL;
	GovSpi		spi;

	gov_spi_begin(&spi);
	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	if (gov_spi_select(&owner_query, args, NULL) > 0)
		owner = MemoryContextStrdup(context, gov_spi_text(0, 1));
	gov_spi_pop_snapshot();
	gov_spi_end(&spi);
	return owner;
}

static GovAmount
stored_amount(Datum value)
{
	GovAmount	amount;

	if (gov_amount_from_sum(DatumGetNumeric(value), &amount) != GOV_AMOUNT_OK)
		gov_error_stored_amount();
	return amount;
}

/* Copy the row that SPI has, in the caller's memory; has it drawn from grants? */
static bool
read_event(int64 id, MemoryContext context, GovEventRow *event, Datum *charged)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	bool		isnull;

	memset(event, 0, sizeof(*event));
	event->id = id;
	event->owner = gov_spi_text(0, 1);
	event->capability = DatumGetTextPCopy(gov_spi_value(0, 2, &isnull));
	event->amount = stored_amount(gov_spi_value(0, 3, &isnull));
	event->entity_ids = DatumGetArrayTypePCopy(gov_spi_value(0, 4, &isnull));
	event->dimensions = DatumGetJsonbPCopy(gov_spi_value(0, 5, &isnull));
	event->occurred_at = DatumGetTimestampTz(gov_spi_value(0, 6, &isnull));
	event->is_reversal = DatumGetBool(gov_spi_value(0, 7, &isnull));
	for (int i = 0; i < 3; i++)
		charged[i] = PointerGetDatum(DatumGetArrayTypePCopy(gov_spi_value(0, 8 + i, &isnull)));
	MemoryContextSwitchTo(old);
	return DatumGetBool(gov_spi_value(0, 11, &isnull));
}

static bool
is_shown(Datum *args)
{
	bool		result;

	gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
	result = gov_spi_select(&shown_query, args, NULL) > 0;
	gov_spi_pop_snapshot();
	return result;
}

/* See to it that a budget by a default that its entity does not have now stays so. */
static void
find_hidden(const GovEventRow *event, GovEventBudget *budget)
{
	Datum		shown[4] = {
		CStringGetTextDatum(event->owner), CStringGetTextDatum(budget->entity_id),
		UUIDPGetDatum(&budget->id), Int64GetDatum(budget->counter_id)
	};
	Datum		kept[3] = {shown[0], shown[1], shown[3]};

	budget->is_inherited = budget->counter_id < 0;
	budget->is_hidden = false;
	if (!budget->is_inherited || is_shown(shown))
		return;
	gov_spi_modify(&keep_entity_query, kept, NULL);
	gov_spi_modify(&keep_assignment_query, kept, NULL);
	gov_spi_modify(&keep_default_query, kept, NULL);
	budget->is_hidden = !is_shown(shown);
}

/* Read which budgets there are that count the event. */
static void
read_budgets(MemoryContext context, GovEventRow *event, Datum *charged)
{
	Datum		args[8] = {
		charged[0], charged[1], charged[2], CStringGetTextDatum(event->owner),
		Int64GetDatum(event->id), PointerGetDatum(event->capability),
		PointerGetDatum(event->entity_ids), TimestampTzGetDatum(event->occurred_at)
	};
	int			count = (int) gov_spi_select(&budgets_query, args, NULL);

	event->nbudgets = count;
	event->budgets = MemoryContextAlloc(context, sizeof(GovEventBudget) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		GovEventBudget *budget = &event->budgets[i];
		bool		isnull;

		budget->id = *DatumGetUUIDP(gov_spi_value(i, 1, &isnull));
		budget->entity_id = MemoryContextStrdup(context, gov_spi_text(i, 2));
		budget->counter_id = DatumGetInt64(gov_spi_value(i, 3, &isnull));
		budget->window.start = DatumGetTimestampTz(gov_spi_value(i, 4, &isnull));
		budget->window.end = DatumGetTimestampTz(gov_spi_value(i, 5, &isnull));
	}
}

/* Read what it has drawn from grants. */
static void
read_draws(MemoryContext context, GovEventRow *event)
{
	Datum		args[3] = {
		Int64GetDatum(event->id), CStringGetTextDatum(event->owner), TimestampTzGetDatum(gov_clock())
	};
	int			count = (int) gov_spi_select(&draws_query, args, NULL);

	event->ndraws = count;
	event->draws = MemoryContextAlloc(context, sizeof(GovEventDraw) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		GovEventDraw *draw = &event->draws[i];
		Datum		grant;
		bool		isnull;

		draw->pool_id = *DatumGetUUIDP(gov_spi_value(i, 1, &isnull));
		grant = gov_spi_value(i, 2, &isnull);
		draw->id = isnull ? gov_pool_debt_id(&draw->pool_id) : *DatumGetUUIDP(grant);
		draw->entity_id = MemoryContextStrdup(context, gov_spi_text(i, 3));
		draw->counter_id = DatumGetInt64(gov_spi_value(i, 4, &isnull));
		draw->amount = stored_amount(gov_spi_value(i, 5, &isnull));
		draw->debt_counter_id = DatumGetInt64(gov_spi_value(i, 6, &isnull));
	}
}

/* Lock the grants that the event has drawn from. */
static void
lock_grants(const GovEventRow *event)
{
	Datum		args[2] = {Int64GetDatum(event->id), CStringGetTextDatum(event->owner)};

	gov_spi_modify(&lock_grants_query, args, NULL);
}

/*
 * Lock an event's row, after waiting for whoever has it locked, and read it
 * with what is left of it.  False if there is no such event that was recorded
 * since then.
 */
bool
gov_event_row_lock(int64 id, TimestampTz since, GovEventRow *event)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		args[2] = {Int64GetDatum(id), TimestampTzGetDatum(since)};
	Datum		charged[3];
	GovSpi		spi;
	bool		found;
	bool		has_drawn;
	bool		isnull;

	gov_spi_begin(&spi);
	CommandCounterIncrement();	/* the running command may have recorded it */
	found = gov_spi_modify(&lock_query, args, NULL) > 0;
	if (found)
	{
		has_drawn = read_event(id, context, event, charged);
		if (has_drawn)
			lock_grants(event);
		gov_spi_push_snapshot(GOV_SNAPSHOT_LATEST);
		gov_spi_select(&reversed_query, args, NULL);
		event->left = event->amount + stored_amount(gov_spi_value(0, 1, &isnull));
		read_budgets(context, event, charged);
		if (has_drawn)
			read_draws(context, event);
		gov_spi_pop_snapshot();
		for (int i = 0; i < event->nbudgets; i++)
			find_hidden(event, &event->budgets[i]);
	}
	gov_spi_end(&spi);
	return found;
}
