-- The condition on the state is written as only the index on budgets has it, so that a few budgets are found by that index: see
-- load_holds.c. For roles subject to row-level security no index is searched for what arrays have in common, which the planner
-- takes for leaky.
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
        select x.assignment_id, sum(coalesce(x.amount, r.amount))
        from @extschema@.gov_reservations r
        cross join lateral unnest(r.assignment_ids, r.assignment_amounts) as x (assignment_id, amount)
        where r.owner_id <= owner
            and r.state = 'open'
            and (r.owner_id, r.expires_at) > (owner, at)
        group by x.assignment_id;
        return;
    end if;

    return query
    select x.assignment_id, sum(coalesce(x.amount, r.amount))
    from @extschema@.gov_reservations r
    cross join lateral unnest(r.assignment_ids, r.assignment_amounts) as x (assignment_id, amount)
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

-- The budgets of some entities of an owner at a point in time, each looked up by an index, so that a part costs what it has:
-- "offset 0" keeps the planner from joining whole tables. What is not rolled up yet is read once for all of them.
create function @extschema@._gov_budgets_at(owner text, at timestamptz, ids text[])
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
    strict_allocation boolean,
    base_limit numeric,
    blocked_at timestamptz,
    blocked_until timestamptz,
    blocked_reason text,
    source text,
    default_id uuid,
    carried numeric
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
    -- More than these are found by hashing what the events and holds have.
    max_few constant int := 8;
    counters bigint[];
    budgets uuid[];
    has_inherited constant boolean := ids is not null and exists (select from @extschema@.gov_default_counts n where n.owner_id = owner);
    has_boosts constant boolean := ids is not null and exists (select from @extschema@.gov_boosts b where b.owner_id = owner);
    carries constant boolean := ids is not null and @extschema@._gov_carries(owner);
begin
    if ids is null then
        return query
        select b.*
        from @extschema@._gov_budgets_at(owner, at) b;
        return;
    end if;

    select coalesce(array_agg(a.counter_id), '{}'), coalesce(array_agg(a.id), '{}')
    into counters, budgets
    from unnest(ids) i (id)
    cross join lateral
    (
        select x.counter_id, x.id
        from @extschema@.gov_used_assignments x
        where x.owner_id = owner
            and x.entity_id = i.id
            and (x.source = 'own' or has_inherited)
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
            case when (e.blocked_until > at) is not false then e.blocked_at end as blocked_at,
            case when e.blocked_until > at then e.blocked_until end as blocked_until,
            case when (e.blocked_until > at) is not false then e.blocked_reason end as blocked_reason,
            coalesce(w.window_start, s.window_start) as window_start,
            w.window_end,
            coalesce(w.window_start, s.window_start, '-infinity') as counted_from,
            s.last_start
        from unnest(ids) i (id)
        cross join lateral
        (
            select x.id, x.display_name, x.type_id, x.parent_id, x.blocked_at, x.blocked_until, x.blocked_reason
            from @extschema@.gov_entities x
            where x.owner_id = owner
                and x.id = i.id
                and x.archived_at is null
            offset 0
        ) e
        cross join lateral
        (
            select x.*
            from @extschema@.gov_used_assignments x
            where x.owner_id = owner
                and x.entity_id = e.id
                and (x.source = 'own' or has_inherited)
            offset 0
        ) a
        cross join lateral @extschema@.gov_window(case when a.window_kind = 'calendar' then a.cadence end, a.anchor_at, a.timezone, at) w
        cross join lateral @extschema@._gov_sliding_window(case when a.window_kind = 'sliding' then a.cadence end, at) s
    ),
    opened as materialized
    (
        select o.counter_id, o.window_start, o.window_end
        from @extschema@._gov_opened_windows(owner, at, array(select b.counter_id from budget b where b.window_kind = 'first_use')) o
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
    -- The same of windows that slide, which are made of several.
    slid as materialized
    (
        select
            b.counter_id,
            sum(c.amount) as amount
        from budget b
        join counted c on c.counter_id = b.counter_id
        where b.window_kind = 'sliding'
            and c.window_start >= b.counted_from
            and c.window_start <= b.last_start
        group by b.counter_id
    ),
    place as materialized
    (
        select d.parent_id, @extschema@._gov_shown_parent(owner, d.parent_id) as shown_id
        from (select distinct b.parent_id from budget b) d
    ),
    -- What children are given; a default gives nothing.
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
        s.in_force,
        trim_scale(s.used),
        trim_scale(s.held),
        trim_scale(s.in_force - s.used - s.held),
        case when b.scope_entity_ids = '{}' then trim_scale(coalesce(g.amount, 0)) end,
        case when s.in_force = 0 then 1 else trim_scale(s.used / s.in_force) end,
        b.cadence,
        coalesce(b.window_start, k.window_start),
        coalesce(b.window_end, k.window_end),
        b.enforcement,
        b.locked,
        b.strict_allocation,
        b.usage_limit,
        b.blocked_at,
        b.blocked_until,
        b.blocked_reason,
        b.source,
        b.default_id,
        y.carried
    from budget b
    left join place p on p.parent_id = b.parent_id
    left join opened k on k.counter_id = b.counter_id
    left join lateral
    (
        -- One row; of a window that slides, those of its later grains too.
        select sum(g.amount) as amount
        from (
            select n.amount
            from @extschema@.gov_usage n
            where n.counter_id = b.counter_id
                and n.window_start = case when b.window_kind = 'first_use' then k.window_start else b.counted_from end
            union all
            select n.amount
            from @extschema@.gov_usage n
            where b.window_kind = 'sliding'
                and n.counter_id = b.counter_id
                and n.window_start > b.counted_from
                and n.window_start <= b.last_start
        ) g
        offset 0
    ) u on true
    left join counted c
        on c.counter_id = b.counter_id
        and c.window_start = case b.window_kind when 'calendar' then b.counted_from when 'first_use' then k.window_start end
    left join slid d on d.counter_id = b.counter_id
    left join @extschema@._gov_held(owner, at, budgets) r on r.assignment_id = b.id
    left join lateral
    (
        -- Two conditions that the index serves: of those that have ended there may be many.
        select sum(k.amount) as amount
        from (
            select o.*
            from @extschema@.gov_boosts o
            where has_boosts
                and o.owner_id = owner
                and o.entity_id = b.entity_id
                and o.valid_until > at
            union all
            select o.*
            from @extschema@.gov_boosts o
            where has_boosts
                and o.owner_id = owner
                and o.entity_id = b.entity_id
                and o.valid_until is null
        ) k
        where k.capability_id = b.capability_id
            and k.scope_entity_ids = b.scope_entity_ids
            and k.name = b.name
            and k.valid_from <= at
        offset 0
    ) x on true
    left join @extschema@._gov_pools_at(owner, at) q on q.assignment_id = b.id
    left join @extschema@._gov_carried(owner, at, case when carries then ids else array[]::text[] end) y on y.assignment_id = b.id
    left join given g
        on g.parent_id = b.entity_id
        and g.capability_id = b.capability_id
        and g.cadence = coalesce(b.cadence, '')
    cross join lateral
    (
        select
            coalesce(q.used, coalesce(u.amount, 0) + coalesce(c.amount, 0) + coalesce(d.amount, 0)) as used,
            coalesce(r.amount, 0) as held,
            case
                when q.granted is not null then trim_scale(q.granted)
                when x.amount is null and y.carried is null or b.usage_limit is null then b.usage_limit
                else trim_scale(greatest(b.usage_limit + coalesce(x.amount, 0) + coalesce(y.carried, 0), 0))
            end as in_force
    ) s;
end
$$;

comment on function @extschema@._gov_budgets_at(text, timestamptz, text[]) is
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
    strict_allocation boolean,
    base_limit numeric,
    blocked_at timestamptz,
    blocked_until timestamptz,
    blocked_reason text,
    source text,
    default_id uuid,
    carried numeric
)
language c
stable
strict
rows 2
cost 1000
as 'MODULE_PATHNAME', 'gov_budgets_of_entity_1_1';

comment on function @extschema@._gov_budgets_of_entity(text, text, timestamptz) is
    'internal: the same of one entity, for a query that asks for one after another, owner by owner (src/api_budgets.c)';

