/* ---------------------------------------------------------------------------------------------------------------- */
/* Budgets as they are now                                                                                          */
/* ---------------------------------------------------------------------------------------------------------------- */

-- One owner's budgets at a point in time. An owner has one or a hundred thousand, and the planner of a query, or of one for all
-- owners, would take it for the average: joined row by row, as few are, many take minutes. So they are joined here, by hashing,
-- and what belongs to the owner is found by an index whatever the tables' statistics say. For whom policies hold, no index is
-- asked for an expression such as coalesce(), which the planner takes for leaky: they are computed beforehand.
create function @extschema@._gov_budgets_of(owner text, at timestamptz)
returns table
(
    entity_id text,
    display_name text,
    type_id text,
    parent_id text,
    capability_id text,
    scope_entity_ids text[],
    name text,
    usage_limit numeric,
    current_usage numeric,
    reserved_usage numeric,
    remaining numeric,
    allocated numeric,
    utilization numeric,
    cadence text,
    usage_period_start timestamptz,
    usage_period_end timestamptz,
    enforcement text,
    locked boolean,
    strict_allocation boolean
)
language plpgsql
stable
rows 100
cost 1000
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_hashjoin = on
set enable_hashagg = on
set enable_nestloop = off
set enable_mergejoin = off
set enable_sort = off
set enable_seqscan = off
set jit = off
as $$
begin
    return query
    with recursive entity as materialized
    (
        select
            e.id,
            e.type_id,
            e.parent_id,
            e.display_name,
            e.archived_at is not null as is_archived
        from @extschema@.gov_entities e
        where e.owner_id = owner
    ),
    -- The archived entities, with the nearest above that is not.
    hidden (id, shown_id) as
    (
        select e.id, e.parent_id
        from entity e
        left join entity p on p.id = e.parent_id
        where e.is_archived
            and p.is_archived is not true
        union all
        select e.id, h.shown_id
        from hidden h
        join entity e on e.parent_id = h.id
        where e.is_archived
    ),
    -- The present windows: most budgets of an owner have one of a few.
    turn as materialized
    (
        select
            d.cadence,
            d.anchor_at,
            d.timezone,
            w.window_start,
            w.window_end,
            coalesce(w.window_start, '-infinity') as counted_from
        from (
            select
                coalesce(a.cadence, '') as cadence,
                coalesce(a.anchor_at, '-infinity') as anchor_at,
                a.timezone
            from @extschema@.gov_assignments a
            where a.owner_id = owner
            group by 1, 2, 3
        ) d
        cross join lateral @extschema@.gov_window(nullif(d.cadence, ''), nullif(d.anchor_at, '-infinity'), d.timezone, at) w
    ),
    -- What is not rolled up yet. "owner_id <=" lets a scan of the index begin at the comparison of rows, where "=" would let it begin
    -- at the owner's first entry; likewise below, and in the engine's statements.
    counted as
    (
        select
            c.counter_id,
            c.window_start,
            sum(c.amount) as amount
        from (
            select x.counter_id, x.window_start, e.amount
            from @extschema@.gov_events e
            cross join lateral unnest(e.counter_ids, e.window_starts) as x (counter_id, window_start)
            where e.owner_id <= owner
                and (e.owner_id, e.id) > (owner, (select coalesce(max(r.watermark), 0) from @extschema@.gov_rollup_state r))
        ) c
        group by c.counter_id, c.window_start
    ),
    held as
    (
        select
            x.assignment_id,
            sum(r.amount) as amount
        from @extschema@.gov_reservations r
        cross join lateral unnest(r.assignment_ids) as x (assignment_id)
        where r.owner_id <= owner
            and r.state = 'open'
            and (r.owner_id, r.expires_at) > (owner, at)
        group by x.assignment_id
    ),
    -- What children are given.
    given as
    (
        select
            e.parent_id,
            b.capability_id,
            coalesce(b.cadence, '') as cadence,
            sum(b.usage_limit) as amount
        from @extschema@.gov_assignments b
        join entity e on e.id = b.entity_id
        where b.owner_id = owner
            and b.scope_entity_ids = '{}'
            and b.name = ''
            and not e.is_archived
        group by e.parent_id, b.capability_id, coalesce(b.cadence, '')
    )
    select
        b.entity_id,
        e.display_name,
        e.type_id,
        case when h.id is null then e.parent_id else h.shown_id end,
        b.capability_id,
        b.scope_entity_ids,
        b.name,
        b.usage_limit,
        trim_scale(s.used),
        trim_scale(s.held),
        trim_scale(b.usage_limit - s.used - s.held),
        case when b.scope_entity_ids = '{}' then trim_scale(coalesce(g.amount, 0)) end,
        case when b.usage_limit = 0 then 1 else trim_scale(s.used / b.usage_limit) end,
        b.cadence,
        w.window_start,
        w.window_end,
        b.enforcement,
        b.locked,
        b.strict_allocation
    from @extschema@.gov_assignments b
    join entity e on e.id = b.entity_id and not e.is_archived
    join turn w
        on w.cadence = coalesce(b.cadence, '')
        and w.anchor_at = coalesce(b.anchor_at, '-infinity')
        and w.timezone = b.timezone
    left join hidden h on h.id = e.parent_id
    left join lateral
    (
        select n.amount
        from @extschema@.gov_usage n
        where n.counter_id = b.counter_id
            and n.window_start = w.counted_from
        offset 0
    ) u on true
    -- Were it the column itself, all budgets by the index on it, in an order that a merge would want, could look cheaper than the owner's.
    left join counted c on c.counter_id = b.counter_id + 0 and c.window_start = w.counted_from
    left join held r on r.assignment_id = b.id
    left join given g
        on g.parent_id = b.entity_id
        and g.capability_id = b.capability_id
        and g.cadence = coalesce(b.cadence, '')
    cross join lateral
    (
        select coalesce(u.amount, 0) + coalesce(c.amount, 0) as used, coalesce(r.amount, 0) as held
    ) s
    where b.owner_id = owner
        -- An archived entity that hands on no place is below a cycle of archived ones. Asked once, and before the first row.
        and (
            select case
                when (select count(*) from hidden) = (select count(*) from entity x where x.is_archived) then true
                else (
                    select bool_and(@extschema@._gov_refuse_cycle(owner, x.id))
                    from entity x
                    where x.is_archived
                        and not exists (select from hidden y where y.id = x.id)) is not null
            end);
end
$$;

comment on function @extschema@._gov_budgets_of(text, timestamptz) is 'internal: the rows of gov_budgets and gov_allocations of one owner, as far as the caller may see them';

-- No other index has the condition on the state that finds a few budgets by the index on them: see read_counts.c. For whom policies
-- hold, none is asked for what arrays have in common, which the planner takes for leaky.
create function @extschema@._gov_held(owner text, at timestamptz, budgets uuid[])
returns table (assignment_id uuid, amount numeric)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_hashagg = on
set enable_bitmapscan = on
set enable_sort = off
set enable_seqscan = off
set jit = off
as $$
begin
    if budgets is null or row_security_active('@extschema@.gov_reservations'::regclass) then
        return query
        select x.assignment_id, sum(r.amount)
        from @extschema@.gov_reservations r
        cross join lateral unnest(r.assignment_ids) as x (assignment_id)
        where r.owner_id <= owner
            and r.state = 'open'
            and (r.owner_id, r.expires_at) > (owner, at)
        group by x.assignment_id;
        return;
    end if;

    return query
    select x.assignment_id, sum(r.amount)
    from @extschema@.gov_reservations r
    cross join lateral unnest(r.assignment_ids) as x (assignment_id)
    where r.state >= 'open'
        and r.state <= 'open'
        and r.assignment_ids && budgets
        and r.owner_id = owner
        and r.expires_at > at
    group by x.assignment_id;
end
$$;

comment on function @extschema@._gov_held(text, timestamptz, uuid[]) is
    'internal: what the open holds of an owner come to at a time, of all budgets (null) or at least of some';

create function @extschema@._gov_shown_parent(owner text, parent text)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    most_above constant int := 64;
    steps int := 0;
    above record;
begin
    loop
        select e.parent_id, e.archived_at is not null as is_archived
        into above
        from @extschema@.gov_entities e
        where e.owner_id = owner
            and e.id = parent;
        if above.is_archived is not true then
            return parent;
        end if;
        parent := above.parent_id;
        steps := steps + 1;
        if steps % most_above = 0 then
            perform @extschema@._gov_refuse_cycle(owner, parent);
        end if;
    end loop;
end
$$;

comment on function @extschema@._gov_shown_parent(text, text) is
    'internal: the nearest of an entity and those above it that is not archived; null if there is none (23514 for a cycle)';

-- The same of some entities, each looked up by an index, so that a part costs what it has: "offset 0" keeps the planner from joining
-- whole tables. What is not rolled up yet is read once for all of them.
create function @extschema@._gov_budgets_of(owner text, at timestamptz, ids text[])
returns table
(
    entity_id text,
    display_name text,
    type_id text,
    parent_id text,
    capability_id text,
    scope_entity_ids text[],
    name text,
    usage_limit numeric,
    current_usage numeric,
    reserved_usage numeric,
    remaining numeric,
    allocated numeric,
    utilization numeric,
    cadence text,
    usage_period_start timestamptz,
    usage_period_end timestamptz,
    enforcement text,
    locked boolean,
    strict_allocation boolean
)
language plpgsql
stable
rows 100
cost 1000
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_hashjoin = on
set enable_hashagg = on
set enable_nestloop = off
set enable_mergejoin = off
set enable_sort = off
set enable_seqscan = off
set jit = off
as $$
declare
    -- More are looked for by hashing what the events and holds have.
    max_few constant int := 8;
    counters bigint[];
    budgets uuid[];
begin
    if ids is null then
        return query
        select b.*
        from @extschema@._gov_budgets_of(owner, at) b;
        return;
    end if;

    select coalesce(array_agg(a.counter_id), '{}'), coalesce(array_agg(a.id), '{}')
    into counters, budgets
    from unnest(ids) i (id)
    cross join lateral
    (
        select x.counter_id, x.id
        from @extschema@.gov_assignments x
        where x.owner_id = owner
            and x.entity_id = i.id
        offset 0
    ) a;
    if cardinality(counters) > max_few then
        counters := null;
        budgets := null;
    end if;

    return query
    with budget as materialized
    (
        select
            a.*,
            e.display_name,
            e.type_id,
            e.parent_id,
            w.window_start,
            w.window_end,
            coalesce(w.window_start, '-infinity') as counted_from
        from unnest(ids) i (id)
        cross join lateral
        (
            select x.id, x.display_name, x.type_id, x.parent_id
            from @extschema@.gov_entities x
            where x.owner_id = owner
                and x.id = i.id
                and x.archived_at is null
            offset 0
        ) e
        cross join lateral
        (
            select x.*
            from @extschema@.gov_assignments x
            where x.owner_id = owner
                and x.entity_id = e.id
            offset 0
        ) a
        cross join lateral @extschema@.gov_window(a.cadence, a.anchor_at, a.timezone, at) w
    ),
    counted as materialized
    (
        select
            x.counter_id,
            x.window_start,
            sum(e.amount) as amount
        from @extschema@.gov_events e
        cross join lateral unnest(e.counter_ids, e.window_starts) as x (counter_id, window_start)
        where e.owner_id <= owner
            and (e.owner_id, e.id) > (owner, (select coalesce(max(r.watermark), 0) from @extschema@.gov_rollup_state r))
            and (counters is null or e.counter_ids && counters)
        group by x.counter_id, x.window_start
    ),
    place as materialized
    (
        select d.parent_id, @extschema@._gov_shown_parent(owner, d.parent_id) as shown_id
        from (select distinct b.parent_id from budget b) d
    ),
    -- What children are given.
    given as materialized
    (
        select
            i.id as parent_id,
            b.capability_id,
            coalesce(b.cadence, '') as cadence,
            sum(b.usage_limit) as amount
        from unnest(ids) i (id)
        cross join lateral
        (
            select x.id
            from @extschema@.gov_entities x
            where x.owner_id = owner
                and x.parent_id = i.id
                and x.archived_at is null
            offset 0
        ) e
        cross join lateral
        (
            select x.capability_id, x.cadence, x.usage_limit
            from @extschema@.gov_assignments x
            where x.owner_id = owner
                and x.entity_id = e.id
                and x.scope_entity_ids = '{}'
                and x.name = ''
            offset 0
        ) b
        group by i.id, b.capability_id, coalesce(b.cadence, '')
    )
    select
        b.entity_id,
        b.display_name,
        b.type_id,
        p.shown_id,
        b.capability_id,
        b.scope_entity_ids,
        b.name,
        b.usage_limit,
        trim_scale(s.used),
        trim_scale(s.held),
        trim_scale(b.usage_limit - s.used - s.held),
        case when b.scope_entity_ids = '{}' then trim_scale(coalesce(g.amount, 0)) end,
        case when b.usage_limit = 0 then 1 else trim_scale(s.used / b.usage_limit) end,
        b.cadence,
        b.window_start,
        b.window_end,
        b.enforcement,
        b.locked,
        b.strict_allocation
    from budget b
    left join place p on p.parent_id = b.parent_id
    left join lateral
    (
        select n.amount
        from @extschema@.gov_usage n
        where n.counter_id = b.counter_id
            and n.window_start = b.counted_from
        offset 0
    ) u on true
    left join counted c on c.counter_id = b.counter_id and c.window_start = b.counted_from
    left join @extschema@._gov_held(owner, at, budgets) r on r.assignment_id = b.id
    left join given g
        on g.parent_id = b.entity_id
        and g.capability_id = b.capability_id
        and g.cadence = coalesce(b.cadence, '')
    cross join lateral
    (
        select coalesce(u.amount, 0) + coalesce(c.amount, 0) as used, coalesce(r.amount, 0) as held
    ) s;
end
$$;

comment on function @extschema@._gov_budgets_of(text, timestamptz, text[]) is
    'internal: the same of some entities, null for all of the owner';

create function @extschema@._gov_budgets_of_entity(owner text, entity text, at timestamptz)
returns table
(
    entity_id text,
    display_name text,
    type_id text,
    parent_id text,
    capability_id text,
    scope_entity_ids text[],
    name text,
    usage_limit numeric,
    current_usage numeric,
    reserved_usage numeric,
    remaining numeric,
    allocated numeric,
    utilization numeric,
    cadence text,
    usage_period_start timestamptz,
    usage_period_end timestamptz,
    enforcement text,
    locked boolean,
    strict_allocation boolean
)
language c
stable
strict
rows 2
cost 1000
as 'MODULE_PATHNAME', 'gov_budgets_of_entity_1_1';

comment on function @extschema@._gov_budgets_of_entity(text, text, timestamptz) is
    'internal: the same of one entity, for a query that asks for one after another, owner by owner (src/api_budgets.c)';

-- "order by" keeps the query that reads the view from asking in another order, and lets its conditions on owner and entity pass.

create view @extschema@.gov_budgets with (security_invoker = true) as
select
    o.owner_id,
    o.entity_id,
    b.display_name collate "C" as display_name,
    b.type_id collate "C" as type_id,
    b.parent_id collate "C" as parent_id,
    b.capability_id collate "C" as capability_id,
    b.scope_entity_ids collate "C" as scope_entity_ids,
    b.name collate "C" as name,
    b.usage_limit,
    b.current_usage,
    b.reserved_usage,
    b.remaining,
    b.allocated,
    b.utilization,
    b.cadence collate "C" as cadence,
    b.usage_period_start,
    b.usage_period_end,
    b.enforcement collate "C" as enforcement,
    b.locked
from
(
    select a.owner_id, a.entity_id
    from @extschema@.gov_assignments a
    group by a.owner_id, a.entity_id
    order by a.owner_id, a.entity_id
) o
cross join lateral @extschema@._gov_budgets_of_entity(o.owner_id, o.entity_id, (select @extschema@.gov_now())) b
order by o.owner_id, o.entity_id;

comment on view @extschema@.gov_budgets is 'the budgets of entities that are not archived, with what is used and held of them right now';
comment on column @extschema@.gov_budgets.display_name is 'the entity''s';
comment on column @extschema@.gov_budgets.type_id is 'the entity''s';
comment on column @extschema@.gov_budgets.parent_id is 'the nearest entity above that is not archived; null for a root';
comment on column @extschema@.gov_budgets.usage_limit is 'null = no limit';
comment on column @extschema@.gov_budgets.current_usage is 'used in the present window, committed or by this transaction';
comment on column @extschema@.gov_budgets.reserved_usage is 'held by open holds whose time has not passed';
comment on column @extschema@.gov_budgets.remaining is 'limit - usage - held, negative when over the limit; null without a limit';
comment on column @extschema@.gov_budgets.allocated is
    'the sum of the limits of the children''s unnamed node-wide budgets of this capability and cadence, archived children left out; null on scoped budgets';
comment on column @extschema@.gov_budgets.utilization is 'usage / limit, not capped; 1 for a limit of 0, null without a limit';
comment on column @extschema@.gov_budgets.usage_period_start is 'the start of the present window; null for a budget that never resets';
comment on column @extschema@.gov_budgets.usage_period_end is 'its end, exclusive; null for a budget that never resets';

create view @extschema@.gov_allocations with (security_invoker = true) as
select
    o.owner_id,
    o.entity_id,
    b.capability_id collate "C" as capability_id,
    b.name collate "C" as name,
    b.cadence collate "C" as cadence,
    b.usage_limit,
    b.allocated,
    trim_scale(b.usage_limit - b.allocated) as unallocated,
    b.strict_allocation
from
(
    select a.owner_id, a.entity_id
    from @extschema@.gov_assignments a
    group by a.owner_id, a.entity_id
    order by a.owner_id, a.entity_id
) o
cross join lateral @extschema@._gov_budgets_of_entity(o.owner_id, o.entity_id, (select @extschema@.gov_now())) b
where b.scope_entity_ids = '{}'
order by o.owner_id, o.entity_id;

comment on view @extschema@.gov_allocations is 'the node-wide budgets of entities that are not archived, with what is left to allocate to children';
comment on column @extschema@.gov_allocations.usage_limit is 'null = no limit';
comment on column @extschema@.gov_allocations.allocated is
    'the sum of the limits of the children''s unnamed node-wide budgets of this capability and cadence, archived children left out';
comment on column @extschema@.gov_allocations.unallocated is 'limit - allocated, negative when more is allocated than there is; null without a limit';
comment on column @extschema@.gov_allocations.strict_allocation is 'true = no more may be allocated than the limit';

