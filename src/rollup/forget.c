/*
 * forget.c
 *		Rewrites what is recorded of somebody who is to be forgotten.
 *
 * PURPOSE
 *		gov_forget_entity() gives an entity another id in the catalog, and leaves
 *		a row in gov_forgotten: what was recorded up to last_event_id is still to
 *		be rewritten.  Here the ledger and the usage by time are, a batch in each
 *		transaction.  Amounts, counters and windows stay as they are, so no sum
 *		changes, and no load needs to know.
 *
 * PROTOCOL
 *		One entity after the other, in the order in which they were forgotten:
 *		first the events, by their ids; then the hours; then the row goes.  What
 *		is rolled up after its events were rewritten is rolled up under the new
 *		id.
 *
 *		The id may be used again meanwhile.  An event after last_event_id that
 *		names it is another's: the rollup ends a batch before it
 *		(gov_forget_is_later) until the hours have been rewritten, so that no row
 *		has something of both.
 *
 *		An event that somebody has locked, to reverse it, ends the batch.
 *
 * LOCKING
 *		ShareUpdateExclusiveLock on gov_rollup_state, as a round of the rollup
 *		(rollup.c); a lock that is not to be had at once ends the batch.
 *
 * INVARIANTS
 *		Events after last_event_id are not touched.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/spi.h"
#include "ledger/columns.h"
#include "ledger/statements.h"
#include "pure/bytes.h"
#include "rollup/forget.h"

#define GOV_EVENTS_AT_ONCE	2000
#define GOV_HOURS_AT_ONCE	5000

/* Somebody who is being forgotten, as the statements below take it. */
enum
{
	JOB_OWNER,
	JOB_ID,
	JOB_REPLACEMENT,
	JOB_KEYS,
	JOB_LAST_EVENT,
	JOB_FORGOTTEN_AT,
	JOB_EVENTS_DONE,
	JOB_HOURS_DONE,
	JOB_COLUMNS
};

#define JOB_SELECT \
	"select f.owner_id, f.entity_id, f.replacement, f.attribution_keys, f.last_event_id, f.forgotten_at," \
	" f.events_done_until, f.hours_done_until from @gov_forgotten f" \
	" order by f.last_event_id, f.forgotten_at"

#define JOB_TYPES \
	{TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, INT8OID, TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID}

#define THIS_JOB \
	" where owner_id = $1 and entity_id = $2 and forgotten_at = $6"

static GovQuery first_query = {
	.sql = JOB_SELECT " limit 1"
};

static GovQuery list_query = {
	.sql = JOB_SELECT
};

/* Rewrite a batch of events; how many that were, and up to where. */
static GovQuery events_query = {
	.sql =
	"with batch as materialized ("
	" select e.id, e.xmax <> 0 as was_locked,"
	"  (e.entity_ids @> array[$2] or exists (select from unnest($4) k(key) where e.dimensions ->> k.key = $2))"
	"   as is_his"
	" from @gov_events e"
	" where " GOV_SQL_PAST("e", "$1", "id", "$7") " and (e.owner_id, e.id) <= ($1, $5)"
	" order by e.owner_id, e.id limit $9),"
	" locked as materialized ("
	" select e.id from @gov_events e"
	" where e.id = any (array(select b.id from batch b where b.is_his and b.was_locked))"
	" for update skip locked),"
	" busy as materialized ("
	" select min(b.id) as id from batch b"
	" where b.is_his and b.was_locked and b.id not in (select l.id from locked l)),"
	" renamed as ("
	" update @gov_events e set entity_ids = array_replace(e.entity_ids, $2, $3),"
	"  dimensions = @_gov_renamed_dimensions(e.dimensions, $4, $2, $3), request_hash = null"
	" where e.id = any (array(select b.id from batch b, busy u where b.is_his and (b.id < u.id) is not false))"
	" returning 1),"
	" noted as ("
	" update @gov_forgotten f set events_done_until ="
	"  coalesce((select u.id - 1 from busy u), (select max(b.id) from batch b), $5)"
	THIS_JOB
	" returning 1)"
	"select (select count(*) from renamed), (select u.id is not null from busy u), (select count(*) from noted)",
	.nargs = 9,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, INT8OID, TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID, INT8OID}
};

/* The same for hours, whole ones. */
static GovQuery hours_query = {
	.sql =
	"with batch as materialized ("
	" select u.hour from @gov_usage_by_time u"
	" where " GOV_SQL_PAST("u", "$1", "hour", "$8") " and u.owner_id = $1"
	" order by u.owner_id, u.hour limit $9),"
	" ended as materialized ("
	" select max(b.hour) as hour, count(*) as count from batch b),"
	" moved as ("
	" delete from @gov_usage_by_time u using ended x"
	" where u.owner_id = $1 and u.hour > $8 and u.hour <= x.hour and u.entity_id = $2"
	" returning u.*),"
	" added as ("
	" insert into @gov_usage_by_time as t"
	"  (owner_id, capability_id, entity_id, hour, amount, event_count, minute, grain_minutes)"
	" select m.owner_id, m.capability_id, $3, m.hour, m.amount, m.event_count, m.minute, m.grain_minutes"
	" from moved m"
	" on conflict (owner_id, hour, md5(capability_id || chr(1) || entity_id), coalesce(minute, '0'::smallint))"
	" do update set amount = trim_scale(t.amount + excluded.amount), event_count = t.event_count + excluded.event_count"
	" returning 1),"
	" noted as ("
	" update @gov_forgotten f set hours_done_until = coalesce((select x.hour from ended x), 'infinity')"
	THIS_JOB
	" returning 1)"
	"select (select count(*) from added), (select x.count from ended x), (select count(*) from noted)",
	.nargs = 9,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, INT8OID, TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID, INT8OID}
};

/* What was denied before and written since. */
static GovQuery denials_query = {
	.sql =
	"update @gov_denials v set last_entity_id = $3"
	" where v.owner_id = $1 and v.last_entity_id = $2 and v.last_at <= $6",
	.nargs = 8,
	.argtypes = JOB_TYPES
};

/* Of recounts, which count the events of both ids meanwhile; no other one begins before the row is gone. */
static GovQuery recounts_query = {
	.sql =
	"update @gov_recounts v set"
	"  member_sets = array(select n.set from unnest(v.member_ids, v.member_sets) with ordinality n(id, set, place)"
	"   where n.id <> $2 order by n.place),"
	"  member_ids = array(select n.id from unnest(v.member_ids) with ordinality n(id, place) where n.id <> $2 order by n.place)"
	" where v.owner_id = $1 and v.member_ids @> array[$2]",
	.nargs = 8,
	.argtypes = JOB_TYPES
};

static GovQuery end_query = {
	.sql = "delete from @gov_forgotten" THIS_JOB,
	.nargs = 8,
	.argtypes = JOB_TYPES
};

static bool
try_lock(void)
{
	const GovCatalog *catalog = gov_catalog();

	return ConditionalLockRelationOid(catalog->rollup_state, ShareUpdateExclusiveLock) &&
		ConditionalLockRelationOid(catalog->forgotten, RowExclusiveLock) &&
		ConditionalLockRelationOid(catalog->events, RowExclusiveLock) &&
		ConditionalLockRelationOid(catalog->usage_by_time, RowExclusiveLock) &&
		ConditionalLockRelationOid(catalog->denials, RowExclusiveLock);
}

/* Copy the first row, as arguments of the statements; false if there is none. */
static bool
read_first(Datum *job)
{
	static const bool is_by_value[JOB_COLUMNS] = {
		[JOB_LAST_EVENT] = true, [JOB_FORGOTTEN_AT] = true, [JOB_EVENTS_DONE] = true, [JOB_HOURS_DONE] = true
	};

	if (gov_spi_modify(&first_query, NULL, NULL) == 0)
		return false;
	for (int i = 0; i < JOB_COLUMNS; i++)
	{
		bool		isnull;
		Datum		value = gov_spi_value(0, i + 1, &isnull);

		job[i] = is_by_value[i] ? value : PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	}
	return true;
}

/* Rewrite a batch of what the job is about; false if that must wait. */
static bool
rewrite_batch(Datum *job, uint64 *nrewritten)
{
	bool		isnull;
	Datum		args[JOB_COLUMNS + 1];

	memcpy(args, job, sizeof(Datum) * JOB_COLUMNS);
	if (DatumGetInt64(job[JOB_EVENTS_DONE]) < DatumGetInt64(job[JOB_LAST_EVENT]))
	{
		args[JOB_COLUMNS] = Int64GetDatum(GOV_EVENTS_AT_ONCE);
		gov_spi_modify(&events_query, args, NULL);
		*nrewritten += DatumGetInt64(gov_spi_value(0, 1, &isnull));
		return !DatumGetBool(gov_spi_value(0, 2, &isnull));
	}
	if (!TIMESTAMP_IS_NOEND(DatumGetTimestampTz(job[JOB_HOURS_DONE])))
	{
		args[JOB_COLUMNS] = Int64GetDatum(GOV_HOURS_AT_ONCE);
		gov_spi_modify(&hours_query, args, NULL);
		*nrewritten += DatumGetInt64(gov_spi_value(0, 1, &isnull));
		return true;
	}
	gov_spi_modify(&denials_query, job, NULL);
	gov_spi_modify(&recounts_query, job, NULL);
	gov_spi_modify(&end_query, job, NULL);
	return true;
}

/* Rewrite a batch; true when there may be more. */
bool
gov_forget_rewrite(uint64 *nrewritten)
{
	Datum		job[JOB_COLUMNS];
	GovSpi		spi;
	bool		has_more = false;

	if (!OidIsValid(gov_catalog()->forgotten) || !try_lock())
		return false;
	gov_spi_begin(&spi);
	if (read_first(job))
		has_more = rewrite_batch(job, nrewritten);
	gov_spi_end(&spi);
	return has_more;
}

/* ---------------------------------------------------------------- for the rollup */

typedef struct GovForgottenId
{
	text	   *owner;
	text	   *id;
	int64		last_event_id;
} GovForgottenId;

struct GovForgetting
{
	int			count;
	GovForgottenId ids[FLEXIBLE_ARRAY_MEMBER];
};

/* Who is being forgotten; NULL if nobody is. */
GovForgetting *
gov_forget_list(void)
{
	MemoryContext context = CurrentMemoryContext;
	GovForgetting *list;
	int			count;

	if (!OidIsValid(gov_catalog()->forgotten) ||
		(count = (int) gov_spi_modify(&list_query, NULL, NULL)) == 0)
		return NULL;
	list = MemoryContextAlloc(context, offsetof(GovForgetting, ids) + sizeof(GovForgottenId) * count);
	list->count = count;
	for (int i = 0; i < count; i++)
	{
		bool		isnull;

		list->ids[i].owner = DatumGetTextPCopy(gov_spi_value(i, JOB_OWNER + 1, &isnull));
		list->ids[i].id = DatumGetTextPCopy(gov_spi_value(i, JOB_ID + 1, &isnull));
		list->ids[i].last_event_id = DatumGetInt64(gov_spi_value(i, JOB_LAST_EVENT + 1, &isnull));
	}
	return list;
}

static bool
is_text(const text *a, const text *b)
{
	return gov_bytes_equal(VARDATA_ANY(a), VARSIZE_ANY_EXHDR(a),
						   VARDATA_ANY(b), VARSIZE_ANY_EXHDR(b));
}

static bool
names_entity(Datum entity_ids, const text *id)
{
	Datum	   *ids;
	int			count;

	deconstruct_array(DatumGetArrayTypeP(entity_ids), TEXTOID, -1, false, TYPALIGN_INT,
					  &ids, NULL, &count);
	for (int i = 0; i < count; i++)
	{
		if (is_text(DatumGetTextPP(ids[i]), id))
			return true;
	}
	return false;
}

/*
 * Is this row of the ledger, columns as in columns.h, of one who has taken an id
 * that is still to be rewritten?
 */
bool
gov_forget_is_later(const GovForgetting *list, const Datum *values)
{
	for (int i = 0; i < list->count; i++)
	{
		const GovForgottenId *forgotten = &list->ids[i];

		if (DatumGetInt64(values[GOV_EVENT_ID]) > forgotten->last_event_id &&
			is_text(DatumGetTextPP(values[GOV_EVENT_OWNER_ID]), forgotten->owner) &&
			names_entity(values[GOV_EVENT_ENTITY_IDS], forgotten->id))
			return true;
	}
	return false;
}
