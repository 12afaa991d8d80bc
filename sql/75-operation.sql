/* ---------------------------------------------------------------------------------------------------------------- */
/* Operation                                                                                                        */
/* ---------------------------------------------------------------------------------------------------------------- */

create function @extschema@.gov_cached_counters
(
    out counter_id bigint,
    out window_start timestamptz,
    out window_end timestamptz,
    out amount numeric,
    out held numeric,
    out is_pinned boolean
)
returns setof record
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_cached_counters_1_0';

comment on function @extschema@.gov_cached_counters() is
$$The counters of this database that are in shared memory, in a pinned session those of its owner.

result: counter_id: of gov_assignments; window_start, window_end: the present window; amount: usage, committed and in flight; held: open holds; is_pinned:
    a transaction has changes in flight$$;

create function @extschema@._gov_cached_counters
(
    owner_id text,
    out counter_id bigint,
    out window_start timestamptz,
    out window_end timestamptz,
    out amount numeric,
    out held numeric,
    out is_pinned boolean,
    out carried numeric
)
returns setof record
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_cached_counters_1_1';

comment on function @extschema@._gov_cached_counters(text) is
    'internal: gov_cached_counters of one owner, for the price of that owner''s part of shared memory; null for all (42501)';
create function @extschema@._gov_budget_bytes
(
    name_bytes integer,
    scope_bytes integer,
    scope_ids integer,
    timezone_bytes integer,
    has_anchor boolean,
    thresholds integer,
    has_call_limit boolean,
    limit_steps integer,
    is_inherited boolean,
    slides boolean
)
returns bigint
language c
immutable
strict
as 'MODULE_PATHNAME', 'gov_budget_bytes_1_1';

comment on function @extschema@._gov_budget_bytes(integer, integer, integer, integer, boolean, integer, boolean, integer, boolean, boolean) is
    'internal: what a budget adds to the entity in the cache; timezone_bytes: 0 for UTC; limit_steps: 0 without boosts; is_inherited: the entity has it by a default; slides: its window does';

create function @extschema@._gov_pool_bytes(grants bigint)
returns bigint
language c
immutable
strict
as 'MODULE_PATHNAME', 'gov_pool_bytes_1_1';

comment on function @extschema@._gov_pool_bytes(bigint) is
    'internal: what a pool adds to the entity in the cache besides what a budget with a largest use does; its grants and its debt have counters, too';

create function @extschema@._gov_node_bytes(id_bytes integer, budgets bigint, budget_bytes bigint, is_blocked boolean)
returns bigint
language c
immutable
strict
as 'MODULE_PATHNAME', 'gov_node_bytes_1_1';

comment on function @extschema@._gov_node_bytes(integer, bigint, bigint, boolean) is 'internal: what an entity takes in the cache; budget_bytes: those of its budgets';

create function @extschema@._gov_name_bytes(bytes integer)
returns bigint
language c
immutable
strict
as 'MODULE_PATHNAME', 'gov_name_bytes_1_1';

comment on function @extschema@._gov_name_bytes(integer) is 'internal: what a string takes in the cache that many entities have, once';

create function @extschema@.gov_cache_needed(owner_id text default null)
returns bigint
language sql
stable
parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
    with entity as materialized
    (
        select e.owner_id, e.id, e.type_id, e.parent_id, e.blocked_at
        from @extschema@.gov_entities e
        where gov_cache_needed.owner_id is null
            and @extschema@.gov_owner_visible(e.owner_id)
            and e.archived_at is null
        union all
        select e.owner_id, e.id, e.type_id, e.parent_id, e.blocked_at
        from @extschema@.gov_entities e
        where e.owner_id = gov_cache_needed.owner_id
            and case when gov_cache_needed.owner_id is null then false else @extschema@._gov_require_owner(gov_cache_needed.owner_id) end
            and e.archived_at is null
    ),
    own as materialized
    (
        select a.*
        from @extschema@.gov_assignments a
        where gov_cache_needed.owner_id is null
            and @extschema@.gov_owner_visible(a.owner_id)
        union all
        select a.*
        from @extschema@.gov_assignments a
        where a.owner_id = gov_cache_needed.owner_id
    ),
    -- A limit has a step to begin with, and one for each moment to come at which a boost begins or ends.
    boosted as materialized
    (
        select
            x.owner_id,
            x.entity_id,
            x.capability_id,
            x.scope_entity_ids,
            x.name,
            1 + count(distinct m.moment) as steps
        from @extschema@.gov_boosts x
        left join lateral unnest(array[x.valid_from, x.valid_until]) m (moment) on m.moment > @extschema@.gov_now()
        where (gov_cache_needed.owner_id is null or x.owner_id = gov_cache_needed.owner_id)
            and (x.valid_until > @extschema@.gov_now()) is not false
        group by 1, 2, 3, 4, 5
    ),
    -- An entity in memory has its budgets by defaults there, used or not.
    budget as materialized
    (
        select
            a.owner_id,
            a.entity_id,
            a.capability_id,
            a.scope_entity_ids,
            a.name,
            a.usage_limit,
            a.timezone,
            a.anchor_at is not null as has_anchor,
            a.alert_thresholds,
            a.call_limit is not null or a.is_pool as has_bounds,
            a.usage_limit is not null or a.is_pool as has_limit,
            false as is_inherited,
            a.window_kind = 'sliding' as slides
        from own a
        union all
        select
            e.owner_id,
            e.id,
            d.capability_id,
            '{}',
            d.name,
            d.usage_limit,
            d.timezone,
            d.anchor_at is not null or d.anchor_from is not null,
            d.alert_thresholds,
            d.call_limit is not null,
            d.usage_limit is not null,
            true,
            d.window_kind = 'sliding'
        from entity e
        join @extschema@.gov_default_assignments d
            on d.type_id = e.type_id
            and (d.owner_id = e.owner_id or d.owner_id is null)
            and d.scope_type_ids = '{}'
        where not exists (
                select
                from own a
                where a.owner_id = e.owner_id
                    and a.entity_id = e.id
                    and a.capability_id = d.capability_id
                    and a.scope_entity_ids = '{}'
                    and a.name = d.name)
            and (d.owner_id is not null or not exists (
                select
                from @extschema@.gov_default_assignments o
                where o.owner_id = e.owner_id
                    and o.type_id = d.type_id
                    and o.capability_id = d.capability_id
                    and o.scope_type_ids = d.scope_type_ids
                    and o.name = d.name))
    ),
    of_entity as materialized
    (
        select
            b.owner_id,
            b.entity_id,
            count(*) as budgets,
            sum(@extschema@._gov_budget_bytes(
                octet_length(b.name),
                octet_length(array_to_string(b.scope_entity_ids, '')),
                cardinality(b.scope_entity_ids),
                case b.timezone when 'UTC' then 0 else octet_length(b.timezone) end,
                b.has_anchor,
                case when not b.has_limit then 0
                    else coalesce(cardinality(coalesce(b.alert_thresholds, p.thresholds, d.thresholds)), 0)
                end,
                b.has_bounds,
                case when b.usage_limit is null then 0 else coalesce(x.steps, 0) end::integer,
                b.is_inherited,
                b.slides))::bigint as bytes
        from budget b
        left join boosted x
            on x.owner_id = b.owner_id
            and x.entity_id = b.entity_id
            and x.capability_id = b.capability_id
            and x.scope_entity_ids = b.scope_entity_ids
            and x.name = b.name
        left join @extschema@.gov_alert_policies p on p.owner_id = b.owner_id
        left join @extschema@.gov_alert_policies d on d.owner_id is null
        group by 1, 2
    ),
    pool as materialized
    (
        select p.owner_id, p.entity_id, sum(p.grants + 1)::bigint as counters, sum(@extschema@._gov_pool_bytes(p.grants))::bigint as bytes
        from (
            select a.owner_id, a.entity_id, count(g.id) as grants
            from own a
            left join @extschema@.gov_grants g on g.assignment_id = a.id and g.closed_at is null
            where a.is_pool
            group by a.owner_id, a.entity_id, a.id
        ) p
        group by p.owner_id, p.entity_id
    ),
    name as
    (
        select distinct u.name
        from (
            select e.owner_id from entity e
            union all select e.parent_id from entity e
            union all select e.type_id from entity e
            union all select b.capability_id from budget b
        ) u (name)
        where u.name is not null
    )
    select
        coalesce((select sum(@extschema@._gov_name_bytes(octet_length(n.name))) from name n), 0)::bigint
        + coalesce(sum(@extschema@._gov_node_bytes(
            octet_length(e.id),
            coalesce(o.budgets, 0) + coalesce(p.counters, 0),
            coalesce(o.bytes, 0) + coalesce(p.bytes, 0),
            e.blocked_at is not null)), 0)::bigint
    from entity e
    left join of_entity o on o.owner_id = e.owner_id and o.entity_id = e.id
    left join pool p on p.owner_id = e.owner_id and p.entity_id = e.id
$$;

comment on function @extschema@.gov_cache_needed(text) is
$$How much of the cache the catalog takes when all of it is loaded, but for archived entities: what cache_used_bytes of gov_stats
comes to then, with the budgets that entities have by defaults. Reads all entities and budgets. Set governance.cache_size to that and a quarter more; less if few of them are
in use at a time.

owner_id: only the entities of this owner; null for all that the session may see
result: bytes
errors: 42501 an owner that the session may not see
since: 1.1.0$$;

create function @extschema@.gov_engine_facts(out name text, out value numeric)
returns setof record
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_engine_facts_1_0';

comment on function @extschema@.gov_engine_facts() is
$$What the engine counts in shared memory: gov_stats has it.

result: name: the fact; value: its count, for all databases of the server since its start; that of worker_pid is this database's
errors: 42501 in a session pinned to an owner$$;

create function @extschema@.gov_worker_failures
(
    out step text,
    out failures bigint,
    out sqlstate text,
    out since timestamptz,
    out last_at timestamptz,
    out message text
)
returns setof record
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_worker_failures_1_1';

comment on function @extschema@.gov_worker_failures() is
$$What stops the background worker of this database at present: gov_stats has it.

result: a row for each step; step: expiry (of holds), rollup (and the alerts that it raises), denials (writing them),
    defaults (which budgets by them were used), forgetting, event_retention, hold_retention, usage_merge, usage_retention,
    alert_retention, change_retention or denial_retention; failures: how often it has failed in a row, 0 when all is well; sqlstate,
    message: of the last error; since: when it first had that SQLSTATE; last_at: when it was tried last
errors: 42501 in a session pinned to an owner
since: 1.1.0$$;

-- A transaction that has drawn an id of the ledger holds the first lock until it ends, one that has deleted a budget the second.
-- The other locks are those of LOCK TABLE, maintenance and migrations.
create view @extschema@.gov_rollup_waits with (security_invoker = true) as
select
    w.pid,
    a.usename as role_name,
    a.application_name,
    a.state,
    a.xact_start as since,
    format(
        'process %s%s',
        w.pid,
        ' (' || concat_ws(
            ', ',
            'role ' || a.usename,
            nullif(a.application_name, ''),
            a.state || coalesce(', in its transaction since ' || date_trunc('second', a.xact_start), '')) || ')') as who
from
(
    select distinct
        l.pid
    from pg_locks l
    where l.locktype = 'relation'
        and l.database = (select d.oid from pg_database d where d.datname = current_database())
        and l.granted
        and l.pid <> pg_backend_pid()
        and (
            (l.relation, l.mode) in (
                ('@extschema@.gov_events_id_seq'::regclass, 'RowExclusiveLock'),
                ('@extschema@.gov_rollup_state'::regclass, 'ShareLock'))
            or l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock')
                and l.relation in ('@extschema@.gov_events'::regclass, '@extschema@.gov_usage'::regclass, '@extschema@.gov_usage_by_time'::regclass, '@extschema@.gov_alerts'::regclass)
            or l.mode = 'AccessExclusiveLock'
                and l.relation in (
                    '@extschema@.gov_events'::regclass, '@extschema@.gov_usage'::regclass, '@extschema@.gov_usage_by_time'::regclass, '@extschema@.gov_alerts'::regclass,
                    '@extschema@.gov_assignments'::regclass, '@extschema@.gov_alert_policies'::regclass, '@extschema@.gov_rollup_state'::regclass))
) w
left join pg_stat_activity a on a.pid = w.pid;

comment on view @extschema@.gov_rollup_waits is
    'the processes whose open transactions the rollup of the ledger waits for; since and state are null without the rights of pg_read_all_stats';
comment on column @extschema@.gov_rollup_waits.pid is 'the process';
comment on column @extschema@.gov_rollup_waits.role_name is 'the role of its session';
comment on column @extschema@.gov_rollup_waits.application_name is 'the application_name of its session';
comment on column @extschema@.gov_rollup_waits.state is 'active, idle in transaction and so on, as in pg_stat_activity; null without the rights of pg_read_all_stats';
comment on column @extschema@.gov_rollup_waits.since is 'when its transaction began; null without the rights of pg_read_all_stats';
comment on column @extschema@.gov_rollup_waits.who is 'all of that as one text, as gov_stats has it';

create view @extschema@.gov_stats with (security_invoker = true) as
with state as
(
    select (select coalesce(max(r.watermark), 0) from @extschema@.gov_rollup_state r) as watermark
),
-- The two ends of what is not rolled up. To count the events between them would take longer the more there are.
tail as
(
    select
        (
            select e.recorded_at
            from @extschema@.gov_events e
            where e.id > s.watermark
            order by e.id
            limit 1
        ) as oldest,
        (
            select 1 + max(e.id) - min(e.id)
            from @extschema@.gov_events e
            where e.id > s.watermark
        ) as ids
    from state s
)
select
    f.name,
    f.value,
    case
        when f.name = 'alerts_not_told' and pg_notification_queue_usage() >= 0.5
        then format('the NOTIFY queue is %s%% full', round(100 * pg_notification_queue_usage()))
    end as detail
from @extschema@.gov_engine_facts() f
union all
select 'rollup_watermark', s.watermark, 'the last ledger id that is rolled up'
from state s
union all
select 'rollup_lag_events', coalesce(t.ids, 0), null
from tail t
union all
select 'rollup_lag_seconds', coalesce(greatest(round(extract(epoch from @extschema@.gov_now() - t.oldest), 3), 0), 0), null
from tail t
union all
select 'rollup_waits_for', count(*), string_agg(w.who, ', ' order by w.since, w.pid) collate "default"
from @extschema@.gov_rollup_waits w
union all
select k.name, coalesce(k.value, 0), 'due, but a foreign key refers to them'
from (select) one
left join @extschema@.gov_rollup_state r on true
cross join lateral (values ('events_kept', r.events_kept), ('holds_kept', r.holds_kept), ('alerts_kept', r.alerts_kept)) k (name, value)
union all
select 'forgetting', count(*), case when count(*) > 0 then format('%s ids of events are left to look at', sum(f.last_event_id - least(f.events_done_until, f.last_event_id))) end
from @extschema@.gov_forgotten f
union all
select f.step || '_failures', f.failures, case when f.failures > 0 then format('%s since %s: %s', f.sqlstate, date_trunc('second', f.since), f.message) end
from @extschema@.gov_worker_failures() f;

comment on view @extschema@.gov_stats is
    'how the engine is doing, one row per fact; cache and event counts are the server''s since its start, the rollup''s this database''s';
comment on column @extschema@.gov_stats.name is 'what is counted';
comment on column @extschema@.gov_stats.value is 'how much: events, bytes (…_bytes), seconds (…_seconds) or a number of processes';
comment on column @extschema@.gov_stats.detail is 'more about the value, such as the processes that are waited for';

create function @extschema@.gov_maintain
(
    out expired bigint,
    out rolled_up bigint,
    out pruned bigint,
    out events_left bigint,
    out waits_for text
)
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_maintain_1_0';

comment on function @extschema@.gov_maintain() is
$$Does what the background worker does, as far as it can without waiting. Call it in a transaction of its own: until that ends,
no budget can be deleted.

result: expired: holds whose time had passed; rolled_up: events moved into gov_usage and gov_usage_by_time; pruned: rows deleted
    because of governance.event_retention, usage_retention, alert_retention, change_retention and denial_retention; events_left: how many ids there are
    from the first committed event that is not rolled up yet to the last, at least as many as there are such events; 0 without any;
    waits_for: what they wait for, null when nothing is left. A step that fails is undone, named there with its SQLSTATE, and told as a
    warning; the others' work stays
errors: 42501 in a session pinned to an owner; 25006 in a read-only transaction and on a standby; 40001 under REPEATABLE READ and SERIALIZABLE: retry$$;

create function @extschema@.gov_drop_cache()
returns void
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_drop_cache_1_0';

comment on function @extschema@.gov_drop_cache() is
$$Drops what may be dropped from the shared cache, and makes every session read the rest of the catalog again. gov_refresh calls it.

errors: 42501 in a session pinned to an owner$$;

create function @extschema@.gov_reset_clock(owner_id text)
returns void
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_reset_clock_1_1';

comment on function @extschema@.gov_reset_clock(text) is
$$Ends for one owner what a jump of the clock has left, once the clock is right again: budgets that were used while it was ahead
count in the window of the present time again, with all that was recorded in that; what was recorded in later windows counts when
those come. A restart of the server does the same for every owner. Waits for open transactions that have used such a budget, five
seconds at most; calls that would use one wait meanwhile.

owner_id: one of the vendor's customers
errors: 22004 null owner_id; 22023 one that cannot be an id; 25001 in a transaction that has used a budget itself; 42501 an owner that
    the session may not see; 55P03 a transaction stays open: end it and call again
since: 1.1.0$$;

create function @extschema@.gov_refresh()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    broken record;
begin
    perform @extschema@._gov_require_unpinned('gov_refresh()');

    for broken in
        select t.tgrelid::regclass as relation, t.tgname, w.enabled
        from pg_trigger t
        join pg_proc p on p.oid = t.tgfoid
        cross join lateral (select case when t.tgname = 'gov_events_note_applied' then 'replica' else 'always' end) w (enabled)
        where p.pronamespace = '@extschema@'::regnamespace
            and p.proname in ('gov_note_change', 'gov_note_truncate', 'gov_note_ledger', 'gov_forget_budget', 'gov_entity_gone')
            and t.tgenabled <> upper(left(w.enabled, 1))::"char"
    loop
        execute format('alter table %s enable %s trigger %I', broken.relation, broken.enabled, broken.tgname);
    end loop;
    perform @extschema@.gov_drop_cache();
end
$$;

comment on function @extschema@.gov_refresh() is
$$Drops the cache and repairs the triggers that keep it current. Needed only after DML on the tables with triggers disabled, or
after ALTER TABLE ... ENABLE TRIGGER ALL.

errors: 42501 when a trigger needs repair and the caller does not own the table, and in a session pinned to an owner$$;

-- Asked for each owner, so it is planned once.
create function @extschema@._gov_has_pools(owner text)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
begin
    if owner is null then
        return exists (select from @extschema@.gov_assignments a where a.is_pool);
    end if;
    return exists (select from @extschema@.gov_assignments a where a.is_pool and a.owner_id = owner);
end
$$;

comment on function @extschema@._gov_has_pools(text) is 'internal: has an owner pools, or, for null, anybody?';

-- The counters are those of shared memory that have nothing in flight. STABLE, so that the ledger is read with the snapshot of the
-- caller's statement, which goes with them.
create function @extschema@._gov_differences
(
    owner text,
    cached_ids bigint[],
    cached_starts timestamptz[],
    cached_ends timestamptz[],
    cached_amounts numeric[],
    cached_held numeric[],
    cached_carried numeric[]
)
returns table
(
    owner_id text,
    assignment_id uuid,
    entity_id text,
    capability_id text,
    scope_entity_ids text[],
    name text,
    window_start timestamptz,
    counted_by text,
    counted numeric,
    recorded numeric
)
language plpgsql
stable
parallel unsafe
set search_path = pg_catalog, pg_temp
-- Planned for the owner that is asked for, or for all: "is null or =" in a plan for both would read every table whole. Counters, budgets
-- and sums are joined by hashing or sorting, as in _gov_budgets_at(): tables without statistics look as if they had a row or none, and
-- three thousand budgets that are compared with three thousand counters one by one take ten seconds.
set plan_cache_mode = force_custom_plan
set enable_nestloop = off
set jit = off
as $$
#variable_conflict use_column
begin
    perform @extschema@._gov_require_owner(owner)
    where owner is not null;

    return query
    with state as
    (
        select (select coalesce(max(r.watermark), 0) from @extschema@.gov_rollup_state r) as watermark
    ),
    -- Budgets by defaults that were used, also those that an assignment has taken the place of.
    inherited as
    (
        select n.*, d.capability_id, d.name, d.window_kind
        from @extschema@.gov_default_counts n
        join @extschema@.gov_default_assignments d on d.id = n.default_id and d.seed = n.seed
        where @extschema@.gov_owner_visible(n.owner_id)
            and (owner is null or n.owner_id = owner)
            and (owner is null or d.owner_id = owner or d.owner_id is null)
            and not n.retired
    ),
    own as materialized
    (
        select a.id, a.owner_id, a.entity_id, a.capability_id, a.scope_entity_ids, a.name, a.counter_id, a.window_kind = 'sliding' as slides
        from @extschema@.gov_assignments a
        where @extschema@.gov_owner_visible(a.owner_id)
            and (owner is null or a.owner_id = owner)
    ),
    budget as
    (
        table own
        union
        select n.assignment_id, n.owner_id, n.entity_id, n.capability_id, n.scope_entity_ids, n.name, n.counter_id, n.window_kind = 'sliding'
        from inherited n
        where not exists (select from own a where a.id = n.assignment_id)
    ),
    recount as materialized
    (
        select r.*
        from @extschema@.gov_recounts r
        join budget b on b.counter_id = r.counter_id and b.owner_id = r.owner_id
        where owner is null
            or r.owner_id = owner
    ),
    ledger as materialized
    (
        select
            c.counter_id,
            c.window_start,
            sum(c.amount) as amount,
            coalesce(sum(c.amount) filter (where c.is_rolled), 0) as rolled_amount,
            coalesce(sum(c.events) filter (where c.is_rolled), 0) as rolled_count
        from
        (
            select
                unnest(e.counter_ids) as counter_id,
                unnest(e.window_starts) as window_start,
                e.amount,
                1 as events,
                e.id <= (select s.watermark from state s) as is_rolled
            from @extschema@.gov_events e
            where owner is null
                or e.owner_id = owner
            union all
            -- What gov_recount has counted, counted again.
            select r.counter_id, x.window_start, x.amount, x.event_count, true
            from recount r
            cross join lateral @extschema@._gov_recounted(r.owner_id, r.capability_id, r.since, r.through_id, r.cadence, r.anchor_at, r.timezone,
                r.member_ids, r.member_sets, r.sets) x
        ) c
        group by c.counter_id, c.window_start
    ),
    rolled_up as
    (
        select u.*
        from @extschema@.gov_usage u
        where owner is null
            or u.owner_id = owner
    ),
    open_hold as materialized
    (
        select
            x.assignment_id,
            sum(coalesce(x.amount_of, x.amount)) as amount
        from
        (
            select unnest(r.assignment_ids) as assignment_id, unnest(r.assignment_amounts) as amount_of, r.amount
            from @extschema@.gov_reservations r
            where r.state = 'open'
                and (owner is null or r.owner_id = owner)
        ) x
        group by x.assignment_id
    ),
    -- Of the window before the present one, from which something is carried over, held is null; of the others carried is.
    cached (counter_id, window_start, window_end, amount, held, carried) as materialized
    (
        select *
        from unnest(cached_ids, cached_starts, cached_ends, cached_amounts, cached_held, cached_carried)
    ),
    -- Rows of gov_usage and of the ledger side by side; the spans of merged rows do not overlap, so that the last one to begin
    -- before a window is the only one that can have it.
    counted as
    (
        select
            c.*,
            max(c.window_start) filter (where c.merged_until is not null) over earlier as merged_from,
            max(c.merged_until) over earlier as merged_to
        from
        (
            select
                u.counter_id,
                u.window_start,
                case when u.merged_windows > 1 or u.leaves_at = '-infinity' then u.window_end end as merged_until,
                u.amount as counted,
                u.event_count as counted_events,
                u.pruned_amount as recorded,
                u.pruned_count as recorded_events
            from rolled_up u
            union all
            select
                l.counter_id,
                l.window_start,
                null,
                0,
                0,
                l.rolled_amount,
                l.rolled_count
            from ledger l
        ) c
        window earlier as (partition by c.counter_id order by c.window_start)
    ),
    rolled as
    (
        select
            c.counter_id,
            w.window_start,
            sum(c.counted) as counted,
            sum(c.counted_events) as counted_events,
            sum(c.recorded) as recorded,
            sum(c.recorded_events) as recorded_events
        from counted c
        cross join lateral
        (
            select case when c.window_start < c.merged_to then c.merged_from else c.window_start end as window_start
        ) w
        group by c.counter_id, w.window_start
    ),
    difference as
    (
        select
            b.id,
            r.window_start,
            'rollup' as counted_by,
            r.counted,
            r.recorded
        from budget b
        join rolled r on r.counter_id = b.counter_id
        where r.counted <> r.recorded
            or r.counted_events <> r.recorded_events
        union all
        select
            b.id,
            c.window_start,
            'cache',
            c.amount,
            coalesce(l.amount, 0) + coalesce(u.pruned_amount, 0)
        from budget b
        join cached c on c.counter_id = b.counter_id
        left join ledger l on l.counter_id = c.counter_id and l.window_start = c.window_start
        left join rolled_up u on u.counter_id = c.counter_id and u.window_start = c.window_start and u.owner_id = b.owner_id
        where not b.slides
            and c.amount <> coalesce(l.amount, 0) + coalesce(u.pruned_amount, 0)
            -- A window that is merged although it is present, after a jump of the clock, counts as the whole row.
            and not exists (
                select
                from @extschema@.gov_usage m
                where m.counter_id = c.counter_id
                    and m.merged_windows > 1
                    and m.window_start <= c.window_start
                    and m.window_end > c.window_start
                offset 0)
            -- The counter was not used since its window ended, and the usage of that window may have been merged or deleted.
            and (c.window_end > @extschema@.gov_now()
                or u.merged_windows is null
                    and u.counter_id is not null
                    and not exists (
                        select
                        from @extschema@.gov_usage m
                        where m.counter_id = c.counter_id
                            and m.merged_windows > 1
                            and date_trunc('day', m.window_start, 'UTC') = date_trunc('day', c.window_start, 'UTC')))
        union all
        -- A window that slides has the grain that the counter has as its window, and those of a cadence before it; but if the counter was
        -- not used since some of them have left, they may be merged with others.
        select
            s.id,
            s.window_start,
            'cache',
            s.counted,
            s.recorded
        from
        (
            select b.id, c.counter_id, c.window_start, f.start, c.amount as counted, coalesce(sum(p.amount), 0) as recorded
            from budget b
            join cached c on c.counter_id = b.counter_id
            cross join lateral
            (
                select c.window_start - make_interval(secs => 64 * extract(epoch from c.window_end - c.window_start)::double precision) as start
            ) f
            left join
            (
                select l.counter_id, null as owner_id, l.window_start, l.amount
                from ledger l
                union all
                select u.counter_id, u.owner_id, u.window_start, u.pruned_amount
                from rolled_up u
            ) p on p.counter_id = c.counter_id
                and p.window_start >= f.start
                and p.window_start <= c.window_start
                and (p.owner_id is null or p.owner_id = b.owner_id)
            where b.slides
            group by b.id, c.counter_id, c.window_start, f.start, c.amount
        ) s
        where s.counted <> s.recorded
            and not exists (
                select
                from rolled_up m
                where m.counter_id = s.counter_id
                    and m.leaves_at = '-infinity'
                    and m.window_start <= s.window_start
                    and m.window_end > s.start
                offset 0)
        union all
        select
            b.id,
            c.window_start,
            'holds',
            c.held,
            coalesce(h.amount, 0)
        from budget b
        join cached c on c.counter_id = b.counter_id
        left join open_hold h on h.assignment_id = b.id
        where c.held <> coalesce(h.amount, 0)
        union all
        select
            b.id,
            c.window_start,
            'carried',
            c.carried,
            y.carried
        from budget b
        join cached c on c.counter_id = b.counter_id
        cross join lateral @extschema@._gov_carried(b.owner_id, c.window_start, array[b.entity_id]) y
        where c.carried is not null
            and y.assignment_id = b.id
            and y.carried <> c.carried
        union all
        -- no two of them have one id
        select
            n.assignment_id,
            null,
            'default',
            count(distinct (n.owner_id, n.entity_id, n.default_id, n.scope_entity_ids)),
            1
        from inherited n
        group by n.assignment_id
        having count(distinct (n.owner_id, n.entity_id, n.default_id, n.scope_entity_ids)) > 1
    )
    select
        b.owner_id,
        b.id,
        b.entity_id,
        b.capability_id,
        b.scope_entity_ids,
        b.name,
        d.window_start,
        d.counted_by,
        d.counted,
        d.recorded
    from difference d
    join budget b on b.id = d.id
    order by b.owner_id, b.entity_id, b.capability_id, b.scope_entity_ids, b.name, d.window_start, d.counted_by;

    -- Pools; few owners have one, and to plan for what is not there reads more than it.
    if not @extschema@._gov_has_pools(owner) then
        return;
    end if;
    return query
    with state as
    (
        select (select coalesce(max(r.watermark), 0) from @extschema@.gov_rollup_state r) as watermark
    ),
    -- What is counted of them: what was drawn from each grant, and what is owed.
    pot as materialized
    (
        select g.owner_id, g.assignment_id, g.counter_id
        from @extschema@.gov_grants g
        where @extschema@.gov_owner_visible(g.owner_id)
            and (owner is null or g.owner_id = owner)
        union all
        select a.owner_id, a.id, a.debt_counter_id
        from @extschema@.gov_assignments a
        where a.is_pool
            and @extschema@.gov_owner_visible(a.owner_id)
            and (owner is null or a.owner_id = owner)
    ),
    drawn as materialized
    (
        select
            x.counter_id,
            sum(x.amount) as amount,
            coalesce(sum(x.amount) filter (where e.id <= s.watermark), 0) as rolled_amount
        from state s
        cross join @extschema@.gov_events e
        cross join lateral
        (
            select e.draws[i.n][1]::bigint as counter_id, e.draws[i.n][2] as amount
            from generate_subscripts(e.draws, 1) i (n)
        ) x
        where e.draws is not null
            and (owner is null or e.owner_id = owner)
        group by x.counter_id
    ),
    difference as
    (
        -- what was drawn from grants, and what pools owe
        select
            p.assignment_id as id,
            c.counted_by,
            c.counted,
            c.recorded
        from pot p
        left join drawn l on l.counter_id = p.counter_id
        left join @extschema@.gov_grant_usage u on u.counter_id = p.counter_id and u.owner_id = p.owner_id
        left join unnest(cached_ids, cached_amounts) k (counter_id, amount) on k.counter_id = p.counter_id
        cross join lateral
        (
            values
                ('rollup', coalesce(u.amount, 0), coalesce(u.pruned_amount, 0) + coalesce(l.rolled_amount, 0)),
                ('cache', k.amount, coalesce(u.pruned_amount, 0) + coalesce(l.amount, 0))
        ) c (counted_by, counted, recorded)
        where c.counted <> c.recorded
        union all
        -- what an event has drawn from the grants of a pool is its amount
        select
            d.assignment_id,
            'draws',
            sum(d.amount),
            sum(d.used)
        from
        (
            select e.id, p.assignment_id, sum(x.amount) as amount, max(e.amount) as used
            from @extschema@.gov_events e
            cross join lateral
            (
                select e.draws[i.n][1]::bigint as counter_id, e.draws[i.n][2] as amount
                from generate_subscripts(e.draws, 1) i (n)
            ) x
            join pot p on p.counter_id = x.counter_id
            where e.draws is not null
                and e.reverses is null
                and (owner is null or e.owner_id = owner)
            group by e.id, p.assignment_id
        ) d
        where d.amount <> d.used
        group by d.assignment_id
    )
    select
        a.owner_id,
        a.id,
        a.entity_id,
        a.capability_id,
        a.scope_entity_ids,
        a.name,
        null::timestamptz,
        d.counted_by,
        d.counted,
        d.recorded
    from difference d
    join @extschema@.gov_assignments a on a.id = d.id
    where owner is null
        or a.owner_id = owner
    order by a.owner_id, a.entity_id, a.capability_id, a.scope_entity_ids, a.name, d.counted_by;
end
$$;

comment on function @extschema@._gov_differences(text, bigint[], timestamptz[], timestamptz[], numeric[], numeric[], numeric[]) is
    'internal: what gov_verify returns, of one owner, with these counters of shared memory; null for all owners';

create function @extschema@._gov_verify_owner
(
    owner text,
    out owner_id text,
    out assignment_id uuid,
    out entity_id text,
    out capability_id text,
    out scope_entity_ids text[],
    out name text,
    out window_start timestamptz,
    out counted_by text,
    out counted numeric,
    out recorded numeric
)
returns setof record
language c
volatile
strict
parallel unsafe
as 'MODULE_PATHNAME', 'gov_verify_owner_1_1';

comment on function @extschema@._gov_verify_owner(text) is
    'internal: gov_verify of one owner: the counters and the ledger as of one moment';

-- All at once, as of one moment only while nobody commits: those that differ are suspect, and looked at one by one.
create function @extschema@._gov_suspect_owners()
returns setof text
language sql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
    select distinct d.owner_id
    from
    (
        select
            array_agg(c.counter_id) as ids,
            array_agg(c.window_start) as starts,
            array_agg(c.window_end) as ends,
            array_agg(c.amount) as amounts,
            array_agg(c.held) as held,
            array_agg(c.carried) as carried
        from @extschema@._gov_cached_counters(null) c
        where not c.is_pinned
    ) c
    cross join lateral @extschema@._gov_differences(null, c.ids, c.starts, c.ends, c.amounts, c.held, c.carried) d
    order by 1
$$;

comment on function @extschema@._gov_suspect_owners() is
    'internal: the owners whose counts differ from the ledger, or were changed meanwhile';

create function @extschema@.gov_verify(owner_id text default null)
returns table
(
    owner_id text,
    assignment_id uuid,
    entity_id text,
    capability_id text,
    scope_entity_ids text[],
    name text,
    window_start timestamptz,
    counted_by text,
    counted numeric,
    recorded numeric
)
language sql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
    select v.*
    from
    (
        select gov_verify.owner_id as id
        where gov_verify.owner_id is not null
        union all
        select s.id
        from @extschema@._gov_suspect_owners() s (id)
        where gov_verify.owner_id is null
    ) o
    cross join lateral @extschema@._gov_verify_owner(o.id) v
$$;

comment on function @extschema@.gov_verify(text) is
$$Compares every count with the ledger. What others commit meanwhile makes no difference: the counts of an owner are compared as of
one moment, the latest at every isolation level. Counters with changes in flight are left out.

owner_id: only the budgets of this owner; null for all that the session may see
result: a row per budget, window (or day of merged ones) and count that differs, none when all is well; counted_by: rollup (gov_usage), cache (shared
    memory) or holds; counted: the count; recorded: what the ledger, or gov_reservations, says. Or counted_by: carried; counted: what
    shared memory says was carried into the window; recorded: what follows from the windows before it. Or counted_by: default; counted: the
    counter that gov_default_counts has for a budget by a default; recorded: the one that it must have
errors: 42501 an owner that the session may not see$$;

