/*
 * retention.c
 *		Deletes events that are older than their retention.
 *
 * PURPOSE
 *		governance.event_retention bounds the ledger, and the holds that have
 *		ended (retention_holds.c).  What a deleted event has added to a row of gov_usage stays there,
 *		and is noted in that row, so that gov_verify still adds up; so is what
 *		a recount has counted of it (rules/recount.c).  What a user's
 *		foreign key refers to is kept (referred.c).
 *
 * PROTOCOL
 *		A batch in each transaction, going on where the last one stopped
 *		(pass.c).  Events go in the order of their ids, in which they were
 *		recorded, up to the first that is not due.  An event that was recorded
 *		in the future, because the clock was ahead, is passed over, and looked
 *		at again when its time has come.  An event that is referred to is passed
 *		over too, and looked at again by each pass: once an hour, and when the
 *		last foreign key to the ledger is gone.  So is one that somebody has
 *		locked who reverses it (event_row.c): nobody is waited for.
 *
 *		The events of one call are one: all go, or all stay while one of them
 *		does.  So its key is known as long as any of them is there, and a repeated
 *		call gets all of their ids.  A batch looks at all of a call whose first
 *		event it meets, also at those that are past its own end.
 *
 *		gov_rollup_state has an id up to which no event is left, so that a pass
 *		does not walk over what was deleted; and how far the present pass has
 *		come, so that a new process does not walk over what was kept.
 *		Events that came with an owner from another server are below all others,
 *		and have passes of their own (retention_imported.c).
 *
 * LOCKING
 *		ShareUpdateExclusiveLock on gov_rollup_state, like a round of the rollup
 *		(rollup.c): the watermark stands still, nobody else changes gov_usage,
 *		and no budget is being deleted.  A lock that cannot be had at once ends
 *		the batch.
 *
 * INVARIANTS
 *		An event that is not rolled up stays, however old.  No event is left up
 *		to gov_rollup_state.events_deleted_until.
 *
 * FAILURE
 *		A deletion that a foreign key refuses after all (23503) undoes the batch,
 *		which is tried again.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/guc.h"
#include "base/lookup.h"
#include "base/spi.h"
#include "ledger/statements.h"
#include "rollup/pass.h"
#include "rollup/referred.h"
#include "rollup/retention.h"

static GovPass events_pass;

/* What this pass knows of the events that it has passed over. */
static int64 first_left_id;		/* PG_INT64_MAX: it has left none */
static TimestampTz left_until = DT_NOEND;	/* when the first of them was
											 * recorded */

/* The pass, as gov_rollup_state has it for every process. */
typedef struct GovEventsState
{
	int64		deleted_until;
	int64		looked_until;
	TimestampTz begun_at;		/* by our clock */
	int64		kept;			/* by the last pass, or by this one if it is
								 * more */
	int64		kept_so_far;	/* by this one */
	TimestampTz deleted_to;		/* DT_NOBEGIN: nothing was, in this batch */
} GovEventsState;

static GovEventsState events_state;

static GovQuery state_query = {
	.sql =
	"select r.events_deleted_until, r.events_looked_until, coalesce(r.events_pass_at, '-infinity'), r.events_kept,"
	" r.events_kept_so_far from @gov_rollup_state r"
};

static GovQuery note_state_query = {
	.sql =
	"update @gov_rollup_state r set events_deleted_until = $1, events_looked_until = $2,"
	" events_pass_at = nullif($3, '-infinity'), events_kept = $4, events_kept_so_far = $5,"
	" events_deleted_to = greatest(r.events_deleted_to, nullif($6, '-infinity'))",
	.nargs = 6,
	.argtypes = {INT8OID, INT8OID, TIMESTAMPTZOID, INT8OID, INT8OID, TIMESTAMPTZOID}
};

/*
 * What a batch looks at: those that are due, up to the first that is not; and
 * what is past its end of the calls that have begun in it.  What is left of a
 * call that has begun before the batch was kept with it.
 */
#define GOV_SEEN_EVENTS(call) \
	"with batch as materialized (" \
	" select e.id, e.recorded_at, e.recorded_at < $2 as is_due, " call " as call," \
	"  e.recorded_at between $2 and $3 as ends, e.xmax <> 0 as was_locked" \
	" from @gov_events e" \
	" where e.id > $1 and e.id <= least($6, " GOV_SQL_WATERMARK ")" \
	" order by e.id limit $4)," \
	" begun as materialized (" \
	" select b.id, b.recorded_at, b.is_due, b.call, b.was_locked, b.call[1] <= $1" \
	"  and exists (select from @gov_events f where f.id = b.call[1]) as is_left" \
	" from batch b" \
	" where b.id < coalesce((select min(s.id) from batch s where s.ends), b.id + 1))," \
	" past_end as materialized (" \
	" select e.id, e.recorded_at, e.recorded_at < $2 and e.id <= " GOV_SQL_WATERMARK " as is_due," \
	"  " call " as call, e.xmax <> 0 as was_locked" \
	" from @gov_events e" \
	" where e.id = any (array(" \
	"  select c.id from begun b, lateral unnest(b.call) c(id)" \
	"  where not b.is_left and c.id > (select max(l.id) from begun l)))" \
	" )," \
	" seen as materialized (" \
	" select a.*, a.is_due and a.is_left is not true" \
	"  and ($5 is null or a.id in (select f.id from unnest($5) f(id))) as goes" \
	" from (" \
	"  select b.id, b.recorded_at, b.is_due, b.call, b.was_locked, b.is_left, true as is_in_batch from begun b" \
	"  union all" \
	"  select p.id, p.recorded_at, p.is_due, p.call, p.was_locked, false, false from past_end p) a)"

#define GOV_DUE_EVENTS_QUERY(call) \
	{ \
		.sql = GOV_SEEN_EVENTS(call) \
		" select array_agg(s.id) from seen s where s.is_due and s.is_left is not true", \
		.nargs = 6, \
		.argtypes = {INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, INT8ARRAYOID, INT8OID} \
	}

static GovQuery due_events_query = GOV_DUE_EVENTS_QUERY("e.call_event_ids");

/*
 * Of those that would go, whoever has been locked goes if that lock is gone; and
 * of a call all or none.
 */
#define GOV_FREE_EVENTS \
	" locked as materialized (" \
	" select e.id from @gov_events e" \
	" where e.id = any (array(select s.id from seen s where s.goes and s.was_locked))" \
	" for update skip locked)," \
	" alone as materialized (" \
	" select s.id, s.recorded_at, s.is_due, s.is_in_batch, s.call," \
	"  s.goes and (not s.was_locked or s.id in (select l.id from locked l)) as goes" \
	" from seen s)," \
	" kept_call as materialized (select a.call from alone a where not a.goes and a.call is not null)," \
	" free as materialized (" \
	" select a.id, a.recorded_at, a.is_due, a.is_in_batch, a.goes" \
	"  and (a.call is null or a.call not in (select k.call from kept_call k)) as goes" \
	" from alone a)"

/*
 * Delete events, and note them in gov_usage.  An event whose window was merged
 * (usage_merge.c) is noted in the row that covers its window: the last row
 * that starts no later.  If its window has a row of its own, that is the one.
 */
#define GOV_PRUNE_SQL(call, recounted, draws, noted_draws) \
	GOV_SEEN_EVENTS(call) "," GOV_FREE_EVENTS "," \
	" deleted as materialized (" \
	" delete from @gov_events e" \
	" where e.id = any (array(select f.id from free f where f.goes))" \
	" returning e.id, e.owner_id, e.capability_id, e.amount, e.entity_ids, e.occurred_at," \
	"  e.counter_ids, e.window_starts" draws ")," \
	" pruned as (" \
	" select x.counter_id, x.window_start, sum(x.amount) as amount, count(*) as event_count" \
	" from (select c.counter_id, c.window_start, d.amount from deleted d," \
	"        lateral unnest(d.counter_ids, d.window_starts) as c(counter_id, window_start)" \
	recounted ") x" \
	" group by x.counter_id, x.window_start)," \
	" found as materialized (" \
	" select u.row_id, sum(p.amount) as amount, sum(p.event_count) as event_count" \
	" from pruned p," \
	"  lateral (select g.ctid as row_id, g.window_end from @gov_usage g" \
	"           where g.counter_id = p.counter_id and g.window_start <= p.window_start" \
	"            and g.window_end > p.window_start" \
	"           order by g.window_start desc limit 1) u" \
	" group by u.row_id)," \
	" noted as (" \
	" update @gov_usage u" \
	" set pruned_amount = trim_scale(u.pruned_amount + f.amount)," \
	"  pruned_count = u.pruned_count + f.event_count" \
	" from found f" \
	" where u.ctid = f.row_id)" \
	noted_draws \
	"select (select count(*) from deleted), count(*), max(s.id)," \
	" min(s.id) filter (where not s.goes), min(s.recorded_at) filter (where not s.is_due)," \
	" (select max(d.occurred_at) from deleted d)" \
	" from free s" \
	" where s.is_in_batch"

/* Where there are pools, note what is deleted of what was drawn from grants. */
#define GOV_NOTED_DRAWS \
	", noted_draws as (" \
	" update @gov_grant_usage u set pruned_amount = trim_scale(u.pruned_amount + p.amount)" \
	" from (select d.draws[i.n][1]::bigint as counter_id, sum(d.draws[i.n][2]) as amount" \
	"       from deleted d, lateral generate_subscripts(d.draws, 1) i(n)" \
	"       group by 1) p" \
	" where u.counter_id = p.counter_id)"

/* Add the counters of recounts that have counted what is deleted (recount.c). */
#define GOV_RECOUNTED \
	" union all" \
	" select r.counter_id, @_gov_recount_window_start(r.cadence, r.anchor_at, r.timezone, d.occurred_at), d.amount" \
	" from (select m.owner_id, m.counter_id, v.id, count(distinct m.set) as sets" \
	"       from deleted v," \
	"        lateral unnest(v.entity_ids) as i(id)," \
	"        (select k.owner_id, k.counter_id, n.id, n.set from @gov_recounts k," \
	"          lateral unnest(k.member_ids, k.member_sets) as n(id, set)" \
	"         where k.owner_id in (select w.owner_id from deleted w)" \
	"          and n.id in (select unnest(w.entity_ids) from deleted w) offset 0) m" \
	"       where m.owner_id = v.owner_id and m.id = i.id" \
	"       group by m.owner_id, m.counter_id, v.id) t" \
	" join @gov_recounts r on r.owner_id = t.owner_id and r.counter_id = t.counter_id and r.sets = t.sets" \
	" join deleted d on d.id = t.id" \
	" where d.id <= r.through_id and d.capability_id = r.capability_id and d.occurred_at >= r.since"

#define GOV_PRUNE_QUERY(call, recounted, draws, noted_draws) \
	{ \
		.sql = GOV_PRUNE_SQL(call, recounted, draws, noted_draws), \
		.nargs = 6, \
		.argtypes = {INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, INT8ARRAYOID, INT8OID} \
	}

/* Where there are recounts, and where there are pools. */
static GovQuery prune_queries[2][2] = {
	{
		GOV_PRUNE_QUERY("e.call_event_ids", "", "", ""),
		GOV_PRUNE_QUERY("e.call_event_ids", "", ", e.draws", GOV_NOTED_DRAWS)
	},
	{
		GOV_PRUNE_QUERY("e.call_event_ids", GOV_RECOUNTED, "", ""),
		GOV_PRUNE_QUERY("e.call_event_ids", GOV_RECOUNTED, ", e.draws", GOV_NOTED_DRAWS)
	}
};

/* for an extension that is not updated yet */
static GovQuery due_events_1_0_query = GOV_DUE_EVENTS_QUERY("null::bigint[]");
static GovQuery prune_1_0_query = GOV_PRUNE_QUERY("null::bigint[]", "", "", "");

/* Lock what a batch of events works on, without waiting. */
bool
gov_retention_try_lock(void)
{
	const GovCatalog *catalog = gov_catalog();

	return ConditionalLockRelationOid(catalog->rollup_state, ShareUpdateExclusiveLock) &&
		ConditionalLockRelationOid(catalog->rollup_state, RowExclusiveLock) &&
		ConditionalLockRelationOid(catalog->events, RowExclusiveLock) &&
		ConditionalLockRelationOid(catalog->usage, RowExclusiveLock);
}

/* What was recorded, or has ended, before then is past its retention. */
TimestampTz
gov_retention_begin(void)
{
	return gov_clock() - gov_event_retention_s * USECS_PER_SEC;
}

/*
 * Read the state of the pass as others have left it, whatever our snapshot is.
 */
static void
read_state(GovEventsState *state)
{
	bool		isnull;

	memset(state, 0, sizeof(*state));
	state->deleted_until = state->looked_until = PG_INT64_MIN;
	if (!gov_catalog()->has_1_1_tables || gov_spi_modify(&state_query, NULL, NULL) == 0)
		return;
	state->deleted_until = DatumGetInt64(gov_spi_value(0, 1, &isnull));
	state->looked_until = DatumGetInt64(gov_spi_value(0, 2, &isnull));
	state->begun_at = DatumGetTimestampTz(gov_spi_value(0, 3, &isnull));
	state->kept = DatumGetInt64(gov_spi_value(0, 4, &isnull));
	state->kept_so_far = DatumGetInt64(gov_spi_value(0, 5, &isnull));
}

/*
 * Write the state of the pass, unless an older extension has no columns for
 * it.
 */
static void
note_state(const GovEventsState *state)
{
	Datum		args[6] = {Int64GetDatum(state->deleted_until), Int64GetDatum(state->looked_until),
		TimestampTzGetDatum(state->begun_at), Int64GetDatum(state->kept),
	Int64GetDatum(state->kept_so_far), TimestampTzGetDatum(state->deleted_to)};

	if (gov_catalog()->has_1_1_tables)
		gov_spi_modify(&note_state_query, args, NULL);
}

static void
begin_events(TimestampTz now)
{
	GovEventsState *state = &events_state;

	first_left_id = PG_INT64_MAX;
	left_until = DT_NOEND;
	events_pass.id = state->looked_until = state->deleted_until;
	state->begun_at = now;
	state->kept_so_far = 0;
}

/* Go on with the pass of another process, which may have kept some events. */
static void
adopt_events(void)
{
	GovEventsState *state = &events_state;

	first_left_id = state->deleted_until < state->looked_until ?
		state->deleted_until + 1 : PG_INT64_MAX;
	events_pass.id = state->looked_until;
}

/*
 * Go on where the last batch stopped, or begin at what the tables say is there.
 * What was kept is looked at anew when no key is left that could refer to it.
 */
static void
continue_events(TimestampTz due_before, bool has_keys)
{
	TimestampTz now = gov_clock();
	bool		is_new = gov_pass_continue(&events_pass);
	bool		has_come = left_until < due_before;
	GovEventsState *state = &events_state;

	if (!is_new && !has_come && (state->kept == 0 || has_keys))
		return;
	read_state(state);
	if (has_come || (state->kept > 0 && !has_keys) ||
		!gov_pass_is_recent(state->begun_at, now))
		begin_events(now);
	else
		adopt_events();
	if (!has_keys)
		state->kept = 0;
}

/*
 * Move the pass over events on past what a batch has seen; true when there may
 * be more.
 */
static bool
note_events(const GovRetentionBatch *batch)
{
	GovEventsState *state = &events_state;
	GovEventsState before = *state;
	bool		has_more;

	first_left_id = Min(first_left_id, batch->left_id);
	left_until = Min(left_until, batch->left_at);
	if (batch->nseen > 0)
	{
		events_pass.id = state->looked_until = batch->last_id;
		state->deleted_until = Min(batch->last_id, first_left_id - 1);
	}
	state->deleted_to = batch->deleted_to;
	has_more = gov_pass_note(&events_pass, batch->nseen, batch->nseen);
	state->kept_so_far += batch->nkept;
	state->kept = has_more ? Max(state->kept, state->kept_so_far) : state->kept_so_far;
	if (batch->nseen > 0 || state->kept != before.kept)
		note_state(state);
	return has_more;
}

/* The statements of a batch, for what there is. */
static void
choose_queries(GovQuery **due, GovQuery **prune)
{
	const GovCatalog *catalog = gov_catalog();

	if (!AttributeNumberIsValid(catalog->events_call_event_ids))
	{
		*due = &due_events_1_0_query;
		*prune = &prune_1_0_query;
		return;
	}
	*due = &due_events_query;
	*prune = &prune_queries[gov_lookup_has_rows(catalog->recounts)]
		[gov_lookup_has_rows(catalog->grant_usage)];
}

static int64
number_or(int column, int64 otherwise)
{
	bool		isnull;
	Datum		value = gov_spi_value(0, column, &isnull);

	return isnull ? otherwise : DatumGetInt64(value);
}

static TimestampTz
time_or(int column, TimestampTz otherwise)
{
	bool		isnull;
	Datum		value = gov_spi_value(0, column, &isnull);

	return isnull ? otherwise : DatumGetTimestampTz(value);
}

/*
 * Delete what is past its retention of a number of events, after one id and up to
 * another; false if foreign keys cannot be asked now.
 */
bool
gov_retention_delete(GovRetentionBatch *batch)
{
	Datum		args[6] = {
		Int64GetDatum(batch->after),
		TimestampTzGetDatum(gov_retention_begin()),
		TimestampTzGetDatum(gov_clock()),
		Int64GetDatum(batch->limit),
		(Datum) 0,
		Int64GetDatum(batch->upto)
	};
	GovQuery   *due;
	GovQuery   *prune;

	choose_queries(&due, &prune);
	if (!gov_referred_find_free(GOV_REFERRED_EVENTS, due, args, &args[4], &batch->nkept))
		return false;
	gov_spi_modify(prune, args, args[4] == (Datum) 0 ? "    n " : NULL);
	batch->ndeleted = number_or(1, 0);
	batch->nseen = number_or(2, 0);
	batch->last_id = number_or(3, PG_INT64_MIN);
	batch->left_id = number_or(4, PG_INT64_MAX);
	batch->left_at = time_or(5, DT_NOEND);
	batch->deleted_to = time_or(6, DT_NOBEGIN);
	return true;
}

/* Delete a batch of rolled-up events past governance.event_retention. */
static bool
prune_recorded(uint64 *ndeleted)
{
	GovRetentionBatch batch = {.upto = PG_INT64_MAX};
	GovSpi		spi;
	bool		has_more = false;

	gov_spi_begin(&spi);
	continue_events(gov_retention_begin(), gov_referred_is_any(GOV_REFERRED_EVENTS));
	batch.after = events_pass.id;
	batch.limit = events_pass.limit;
	if (gov_retention_delete(&batch))
	{
		*ndeleted += batch.ndeleted;
		has_more = note_events(&batch);
	}
	gov_spi_end(&spi);
	return has_more;
}

/* The same of those that came from another server, once no others are left to delete. */
bool
gov_retention_prune_events(uint64 *ndeleted)
{
	if (gov_event_retention_s == 0 || !gov_retention_try_lock())
		return false;
	return prune_recorded(ndeleted) || gov_retention_prune_imported(ndeleted);
}
