/* ---------------------------------------------------------------------------------------------------------------- */
/* Windows                                                                                                          */
/* ---------------------------------------------------------------------------------------------------------------- */

create function @extschema@.gov_window
(
    cadence text,
    anchor_at timestamptz default null,
    timezone text default 'UTC',
    at timestamptz default now(),
    out window_start timestamptz,
    out window_end timestamptz
)
language c
stable
parallel safe
as 'MODULE_PATHNAME', 'gov_window_1_0';

comment on function @extschema@.gov_window(text, timestamptz, text, timestamptz) is
$$The window of a budget that a point in time falls into.

cadence: how often the budget starts afresh, one ISO 8601 duration of one unit, 1 to 9999, such as P1M, P1W or PT1H; null
    never resets; anchor_at: where a window starts, with its local time of day; null for Monday 2001-01-01 00:00 local
    time, so that P1M is the calendar month; timezone: a name of pg_timezone_names; at: the point in time
result: window_start; window_end: exclusive; both null for a null cadence
errors: 22023 malformed cadence, unknown time zone, infinite anchor_at or at, at too near the ends of the calendar;
    22004 null timezone or at$$;

/* ---------------------------------------------------------------------------------------------------------------- */
/* Run time                                                                                                         */
/*                                                                                                                  */
/* Volatile and parallel unsafe, in C, without a SET clause: a setting alone would cost a fifth of the throughput.  */
/* ---------------------------------------------------------------------------------------------------------------- */

create function @extschema@.gov_check
(
    owner_id text,
    capability_id text,
    amount numeric default 1,
    dimensions jsonb default null,
    entity_ids text[] default null,
    out is_granted boolean,
    out denied_reason text,
    out remaining numeric,
    out retry_at timestamptz,
    out chains jsonb
)
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_check_1_0';

comment on function @extschema@.gov_check(text, text, numeric, jsonb, text[]) is
$$Whether so much may be used. Changes nothing.

owner_id: one of the vendor's customers; capability_id: what is used; amount: how much, in the capability's unit, 0 or more,
    rounded to 9 decimals; dimensions: a flat object of strings, numbers and booleans; a value names an entity when its key is
    an attribution key of the entity's type, and what it does otherwise on_unknown of that type says: an entity that a use would
    create counts as if it were there; entity_ids: entities by id. At most 1,000 entities may be named
result: is_granted: whether every hard budget allows it; denied_reason: null, Frozen, Blocked, UnknownEntity, Ungoverned,
    RequestedUsageExceedingLimit, BudgetExceeded or Unavailable; remaining: the least headroom of the hard budgets, null without any; retry_at: the latest window end
    of the budgets that deny, null when granted or when one never resets; chains: per entity named an array of budgets up to the
    root, each an object with entityId, scopeEntityIds, name, source (own, or default), usageLimit, currentUsage, reservedUsage,
    remaining, isGranted, isOverLimit, enforcement, cadence, usagePeriodStart and usagePeriodEnd, and carried (over from the window
    before, below 0 for a debt; since 1.1.0) of a budget that carries something over
errors: 22004 null owner_id, capability_id, amount or element of entity_ids; 22023 negative or infinite amount, malformed
    dimensions, entity_ids of two dimensions, malformed owner_id; 22003 amount out of range; 23514 an entity below itself, written with
    triggers disabled; 42704 unknown capability; 42501 not the session's owner; 54000 too many entities, dimensions too large; GV002 ungoverned, if governance.on_ungoverned says so; 53400 cache full and 55000 library not preloaded,
    unless governance.on_unavailable says otherwise$$;

create function @extschema@.gov_allowed
(
    owner_id text,
    capability_id text,
    amount numeric default 1,
    dimensions jsonb default null,
    entity_ids text[] default null
)
returns boolean
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_allowed_1_0';

comment on function @extschema@.gov_allowed(text, text, numeric, jsonb, text[]) is
$$Whether so much may be used: is_granted of gov_check alone, the fastest gate.

arguments and errors: those of gov_check
result: boolean$$;

create function @extschema@.gov_headroom
(
    owner_id text,
    capability_id text,
    amount numeric default 1,
    dimensions jsonb default null,
    entity_ids text[] default null,
    out chain integer,
    out entity_id text,
    out scope_entity_ids text[],
    out name text,
    out usage_limit numeric,
    out current_usage numeric,
    out reserved_usage numeric,
    out remaining numeric,
    out is_granted boolean,
    out is_over_limit boolean,
    out enforcement text,
    out cadence text,
    out usage_period_start timestamptz,
    out usage_period_end timestamptz,
    out carried numeric,
    out source text
)
returns setof record
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_headroom_1_1';

comment on function @extschema@.gov_headroom(text, text, numeric, jsonb, text[]) is
$$The chains of gov_check as rows, one per budget and chain.

arguments and errors: those of gov_check
result: chain: its number from 1; the other columns are those of a budget in chains: remaining is null without a limit, the usage
    period null for a budget that never resets, and where a first use is to begin a window; carried (what is carried over from the
    window before, below 0 for a debt; since 1.1.0) null for a budget that carries nothing over; source: own, or
    default (since 1.1.0)$$;

create function @extschema@.gov_ingest
(
    owner_id text,
    capability_id text,
    amount numeric default 1,
    dimensions jsonb default null,
    entity_ids text[] default null,
    idempotency_key text default null,
    occurred_at timestamptz default null,
    out event_id bigint,
    out is_duplicate boolean
)
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_ingest_1_0';

comment on function @extschema@.gov_ingest(text, text, numeric, jsonb, text[], text, timestamptz) is
$$Records what was used, whatever the limits, and counts it on every budget of its set at once. It creates entities as gov_consume
does, and where it cannot, or must not, it records without them.

owner_id, capability_id, dimensions, entity_ids: those of gov_check; amount: how much, in the capability's unit, negative for a
    correction; idempotency_key: 1 to 255 characters, unique per owner over events and holds; occurred_at: decides the window;
    null for now, at most five minutes ahead (stored as now)
result: event_id: the id in gov_events; is_duplicate: true when the key had been used for the same call, which is then not
    recorded again
errors: those of gov_check but for negative amounts and GV002; GV003 the owner is frozen; 23505 the key was used for another call; 22023 occurred_at too
    far ahead or infinite, malformed idempotency_key; 25006 in a read-only transaction and on a standby; 55P03 budgets could not
    be loaded in time; 55000 library not preloaded and 53400 cache full, whatever governance.on_unavailable says$$;

create function @extschema@.gov_reverse
(
    event_id bigint,
    amount numeric default null,
    idempotency_key text default null,
    out event_id bigint,
    out is_duplicate boolean
)
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_reverse_1_1';

comment on function @extschema@.gov_reverse(bigint, numeric, text) is
$$Gives back all or part of what an event has used: a refund. It goes to exactly the budgets and windows that the event was charged
to, wherever its entities have moved since, and is an event of its own, with a negative amount and the old one in its column
reverses. It has the entities, the dimensions and occurred_at of the old one, so reports by time and window show both at one place;
recorded_at says when it was made. Budgets that were deleted or count afresh since (another cadence, anchor_at or timezone) get
nothing back; one that has counted the event again (gov_recount) does, and so does a budget by a default that is not in force now,
because something else has its place: it has that when it comes back, and the entity is not changed before the transaction ends. In its own transaction the headroom is there at once, for others from the commit on. No alert is
withdrawn, and none raised.

event_id: of gov_ingest, gov_consume, gov_require or gov_settle; amount: how much, in the capability's unit, more than 0; null for
    what is left after earlier reversals of the event; idempotency_key: that of gov_ingest, in the same name space
result: event_id: the id of the reversal in gov_events; is_duplicate: true when the key had been used for the same call, which then
    gives nothing back again
errors: 22004 null event_id; GV003 the owner is frozen; 42704 unknown event, one past governance.event_retention, or another owner's than governance.owner;
    22023 the amount is not positive, or more than is left of the event; nothing is left; the event is a reversal or a correction
    (a negative amount); malformed idempotency_key; 22003 amount out of range; 23505 the key was used for another call; 25006, 55P03, 55000, 53400 as of
    gov_ingest; 40001 under REPEATABLE READ and SERIALIZABLE, if the event was rewritten: retry
since: 1.1.0$$;

create function @extschema@.gov_consume
(
    owner_id text,
    capability_id text,
    amount numeric default 1,
    dimensions jsonb default null,
    entity_ids text[] default null,
    idempotency_key text default null,
    out is_granted boolean,
    out denied_reason text,
    out remaining numeric,
    out retry_at timestamptz,
    out event_id bigint,
    out is_duplicate boolean,
    out chains jsonb
)
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_consume_1_0';

comment on function @extschema@.gov_consume(text, text, numeric, jsonb, text[], text) is
$$Checks and records in one atomic step: no two calls ever pass on the same headroom. A denied one records nothing; a granted one
creates the entities that it names and that their types' on_unknown says to create, as the extension's owner.

owner_id, capability_id, amount, dimensions, entity_ids: those of gov_check; idempotency_key: that of gov_ingest; a denied call
    uses no key
result: is_granted, denied_reason, remaining, retry_at, chains: as of gov_check, after the use if it was granted; event_id: the
    id in gov_events, null when denied; is_duplicate: true when the key had been used for the same call, which is then granted and
    not recorded again
errors: those of gov_check; GV003 the owner is frozen; 23505 the key was used for another call; 22023 malformed idempotency_key; 25006 in a read-only
    transaction and on a standby; 55P03 budgets could not be loaded in time; 55000 library not preloaded and 53400 cache full,
    whatever governance.on_unavailable says$$;

create function @extschema@.gov_require
(
    owner_id text,
    capability_id text,
    amount numeric default 1,
    dimensions jsonb default null,
    entity_ids text[] default null,
    idempotency_key text default null
)
returns bigint
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_require_1_0';

comment on function @extschema@.gov_require(text, text, numeric, jsonb, text[], text) is
$$gov_consume for those who want a denial to be an error.

arguments: those of gov_consume
result: the id in gov_events
errors: those of gov_consume; GV001 denied: the message has the reason, the detail the failing budgets as in chains of gov_check$$;

create function @extschema@.gov_reserve
(
    owner_id text,
    capability_id text,
    amount numeric,
    dimensions jsonb default null,
    entity_ids text[] default null,
    idempotency_key text default null,
    ttl interval default '5 minutes',
    out is_granted boolean,
    out denied_reason text,
    out remaining numeric,
    out retry_at timestamptz,
    out reservation_id uuid,
    out expires_at timestamptz,
    out is_duplicate boolean,
    out state text,
    out chains jsonb
)
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_reserve_1_0';

comment on function @extschema@.gov_reserve(text, text, numeric, jsonb, text[], text, interval) is
$$Holds an amount against every budget of its set, for a call whose true cost is known only later, until gov_settle, gov_release or
the end of its ttl. A denied one holds nothing; a granted one creates entities as gov_consume does.

owner_id, capability_id, amount, dimensions, entity_ids: those of gov_check; idempotency_key: that of gov_ingest, in the same name
    space; a denied call uses no key; ttl: how long from now on, more than nothing; not part of what makes a call
    the same
result: is_granted, denied_reason, remaining, retry_at, chains: as of gov_check, after the hold if it was granted;
    reservation_id, expires_at, state: of the hold, null when denied; is_duplicate: true when the key had been used for the same
    call, which is then granted, and whose hold is returned as it is now (open, settled, released or expired)
errors: those of gov_consume; 22004 null ttl; 22023 ttl not positive or longer than 100,000 years$$;

create function @extschema@.gov_settle
(
    reservation_id uuid,
    amount numeric default null,
    out event_id bigint,
    out is_duplicate boolean
)
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_settle_1_0';

comment on function @extschema@.gov_settle(uuid, numeric) is
$$Ends a hold and records what it came to, whatever the limits, in one step: what gov_ingest would record now with the hold's
capability, dimensions and entity_ids. A hold that has expired is recorded all the same.

reservation_id: of gov_reserve; amount: the true amount, 0 or more, less or more than held; null for the amount held
result: event_id: the id in gov_events, null for a capability of kind concurrency, of which nothing is used up; is_duplicate: true
    when the hold had been settled before, which is then left as it is, whatever the amount
errors: 22004 null reservation_id; GV003 the owner is frozen; 42704 unknown hold, or another owner's than governance.owner; 55000 the hold was released, is of
    several capabilities (gov_settle_all), or library not preloaded; 22003, 22023 bad amount; 42704 the capability does not exist any more; 25006, 55P03, 53400 as of gov_ingest;
    40001 under REPEATABLE READ and SERIALIZABLE: retry$$;

create function @extschema@.gov_release(reservation_id uuid)
returns boolean
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_release_1_0';

comment on function @extschema@.gov_release(uuid) is
$$Ends a hold of which nothing was used.

reservation_id: of gov_reserve
result: true if the hold was open; false if it was settled, released or expired before
errors: 22004 null reservation_id; GV003 the owner is frozen; 42704 unknown hold, or another owner's than governance.owner; 25006, 55P03, 55000, 53400 as of
    gov_ingest; 40001 under REPEATABLE READ and SERIALIZABLE: retry$$;

create function @extschema@.gov_extend(reservation_id uuid, ttl interval)
returns timestamptz
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_extend_1_0';

comment on function @extschema@.gov_extend(uuid, interval) is
$$Gives an open hold another time, later or earlier.

reservation_id: of gov_reserve; ttl: how long from now on, more than nothing
result: when the hold now expires
errors: 22004 null argument; GV003 the owner is frozen; 22023 ttl not positive or longer than 100,000 years; 42704 unknown hold, or another owner's than
    governance.owner; 55000 the hold is not open, or past its time, or library not preloaded; GV001 an entity that it counts for is
    blocked; 53400 cache full; 25006 in a read-only transaction and on a standby; 40001 under REPEATABLE READ and SERIALIZABLE: retry$$;

create function @extschema@.gov_now()
returns timestamptz
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_now_1_0';

comment on function @extschema@.gov_now() is
$$The engine's clock: the server's, shifted by governance.clock_offset.

result: the time that windows, holds and events go by$$;

create view @extschema@.gov_holds with (security_invoker = true) as
select
    r.id,
    r.owner_id,
    r.capability_id,
    r.amount,
    r.entity_ids,
    r.dimensions,
    r.caller,
    r.idempotency_key,
    r.created_at,
    r.expires_at,
    c.now - r.created_at as age,
    r.expires_at - c.now as time_left,
    r.assignment_ids,
    (
        select coalesce(jsonb_agg(jsonb_build_object(
            'assignmentId', a.id,
            'entityId', a.entity_id,
            'scopeEntityIds', a.scope_entity_ids,
            'name', a.name) order by u.n), '[]')
        from unnest(r.assignment_ids) with ordinality as u (id, n)
        join @extschema@.gov_used_assignments a on a.id = u.id
    ) as budgets,
    coalesce(r.amounts, jsonb_build_object(r.capability_id, r.amount)) as amounts,
    r.quantities
from (select @extschema@.gov_now() as now offset 0) c
join @extschema@.gov_reservations r on r.expires_at > c.now
where r.state = 'open';

comment on view @extschema@.gov_holds is 'the holds that count: open ones whose time has not passed, with the budgets that they are held against';
comment on column @extschema@.gov_holds.id is 'the reservation_id of the calls';
comment on column @extschema@.gov_holds.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_holds.capability_id is 'the capability of which it holds an amount; of several the first in byte order';
comment on column @extschema@.gov_holds.amount is 'the amount held of that, in its unit';
comment on column @extschema@.gov_holds.entity_ids is 'as the call named them; settling resolves them anew';
comment on column @extschema@.gov_holds.dimensions is 'the dimensions of the call';
comment on column @extschema@.gov_holds.caller is 'governance.caller, or else application_name, of the session that made it';
comment on column @extschema@.gov_holds.idempotency_key is 'unique per owner over events and holds; null without one';
comment on column @extschema@.gov_holds.created_at is 'when it was made';
comment on column @extschema@.gov_holds.expires_at is 'when it stops counting, unless it is extended';
comment on column @extschema@.gov_holds.age is 'since it was made';
comment on column @extschema@.gov_holds.time_left is 'until it expires';
comment on column @extschema@.gov_holds.assignment_ids is 'the budgets that it is held against, including those deleted since';
comment on column @extschema@.gov_holds.budgets is 'those of them that still exist: assignmentId, entityId, scopeEntityIds, name';
comment on column @extschema@.gov_holds.amounts is 'the amount held of each capability (since 1.1.0)';
comment on column @extschema@.gov_holds.quantities is 'of a hold by quantities: by capability how much of each; null for all others (since 1.1.0)';
