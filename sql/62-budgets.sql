/* ---------------------------------------------------------------------------------------------------------------- */
/* Budgets as they are now                                                                                          */
/* ---------------------------------------------------------------------------------------------------------------- */

-- The windows that first uses have opened and that are open at a time. The last one of a counter counts, but not one that begins later
-- than five minutes from then: a clock was ahead. As in load_usage.c.
create function @extschema@._gov_opened_windows(owner text, at timestamptz, counters bigint[])
returns table (counter_id bigint, window_start timestamptz, window_end timestamptz)
language plpgsql
stable
rows 10
cost 1000
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
declare
    latest constant timestamptz := at + interval '5 minutes';
begin
    if cardinality(counters) is null or cardinality(counters) = 0 then
        return;
    end if;

    return query
    select distinct on (x.counter_id) x.counter_id, x.window_start, x.window_end
    from (
        select u.counter_id, u.window_start, u.window_end
        from unnest(counters) k (id)
        cross join lateral
        (
            select n.counter_id, n.window_start, n.window_end
            from @extschema@.gov_usage n
            where n.counter_id = k.id
                and n.window_start <= latest
            order by n.window_start desc
            limit 1
        ) u
        union all
        select t.counter_id, t.window_start, t.window_end
        from @extschema@.gov_events e
        cross join lateral unnest(e.counter_ids, e.window_starts, e.window_ends) as t (counter_id, window_start, window_end)
        where e.owner_id <= owner
            and (e.owner_id, e.id) > (owner, (select coalesce(max(r.watermark), 0) from @extschema@.gov_rollup_state r))
            and t.counter_id = any (counters)
            and t.window_start <= latest
    ) x
    where x.window_end > at
    order by x.counter_id, x.window_start desc;
end
$$;

comment on function @extschema@._gov_opened_windows(text, timestamptz, bigint[]) is
    'internal: which of these counters of an owner, whose windows begin with a first use, have one at a time';

-- What counts of a window that slides: the grains that start from one time up to another.
create function @extschema@._gov_sliding_window(cadence text, at timestamptz, out window_start timestamptz, out last_start timestamptz)
language c
immutable
strict
parallel safe
as 'MODULE_PATHNAME', 'gov_sliding_window_1_1';

comment on function @extschema@._gov_sliding_window(text, timestamptz) is
    'internal: where the first and the last grain start that count in a window of this cadence that slides, at a time';

-- One owner's budgets at a point in time. An owner may have one budget or a hundred thousand, and a planner would take it for the
-- average: to join many row by row, as suits a few, takes minutes. So they are joined here, by hashing, and what belongs to the
-- owner is found by an index whatever the tables' statistics say. For roles subject to row-level security no index is searched
-- for an expression such as coalesce(), which the planner takes for leaky: such expressions are computed beforehand.
create function @extschema@._gov_budgets_at(owner text, at timestamptz)
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
    has_inherited constant boolean := exists (select from @extschema@.gov_default_counts n where n.owner_id = owner);
begin
    return query
    with recursive entity as materialized
    (
        select
            e.id,
            e.type_id,
            e.parent_id,
            e.display_name,
            e.archived_at is not null as is_archived,
            case when (e.blocked_until > at) is not false then e.blocked_at end as blocked_at,
            case when e.blocked_until > at then e.blocked_until end as blocked_until,
            case when (e.blocked_until > at) is not false then e.blocked_reason end as blocked_reason
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
            d.window_kind,
            coalesce(w.window_start, s.window_start) as window_start,
            w.window_end,
            coalesce(w.window_start, s.window_start, '-infinity') as counted_from,
            s.last_start
        from (
            select
                coalesce(a.cadence, '') as cadence,
                coalesce(a.anchor_at, '-infinity') as anchor_at,
                a.timezone,
                a.window_kind
            from @extschema@.gov_used_assignments a
            where a.owner_id = owner
                and (a.source = 'own' or has_inherited)
            group by 1, 2, 3, 4
        ) d
        cross join lateral @extschema@.gov_window(
            case when d.window_kind = 'calendar' then nullif(d.cadence, '') end, nullif(d.anchor_at, '-infinity'), d.timezone, at) w
        cross join lateral @extschema@._gov_sliding_window(case when d.window_kind = 'sliding' then d.cadence end, at) s
    ),
    -- The others have one each.
    opened as materialized
    (
        select o.counter_id, o.window_start, o.window_end
        from @extschema@._gov_opened_windows(owner, at, (
            select case
                when exists (select from turn t where t.window_kind = 'first_use') then array(
                    select a.counter_id
                    from @extschema@.gov_used_assignments a
                    where a.owner_id = owner
                        and a.window_kind = 'first_use'
                        and (a.source = 'own' or has_inherited))
            end)) o
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
    -- The same of windows that slide, which are made of several.
    slid as
    (
        select
            a.counter_id,
            sum(c.amount) as amount
        from @extschema@.gov_used_assignments a
        join turn w on w.cadence = a.cadence and w.window_kind = 'sliding'
        join counted c on c.counter_id = a.counter_id
        where a.owner_id = owner
            and a.window_kind = 'sliding'
            and (a.source = 'own' or has_inherited)
            and a.timezone = w.timezone
            and c.window_start >= w.counted_from
            and c.window_start <= w.last_start
        group by a.counter_id
    ),
    held as
    (
        select
            x.assignment_id,
            sum(coalesce(x.amount, r.amount)) as amount
        from @extschema@.gov_reservations r
        cross join lateral unnest(r.assignment_ids, r.assignment_amounts) as x (assignment_id, amount)
        where r.owner_id <= owner
            and r.state = 'open'
            and (r.owner_id, r.expires_at) > (owner, at)
        group by x.assignment_id
    ),
    -- What is added to limits just now.
    boosted as
    (
        select
            x.entity_id,
            x.capability_id,
            x.scope_entity_ids,
            x.name,
            sum(x.amount) as amount
        from @extschema@.gov_boosts x
        where x.owner_id = owner
            and x.valid_from <= at
            and (x.valid_until > at) is not false
        group by x.entity_id, x.capability_id, x.scope_entity_ids, x.name
    ),
    -- What children are given; a default gives nothing.
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
        s.in_force,
        trim_scale(s.used),
        trim_scale(s.held),
        trim_scale(s.in_force - s.used - s.held),
        case when b.scope_entity_ids = '{}' then trim_scale(coalesce(g.amount, 0)) end,
        case when s.in_force = 0 then 1 else trim_scale(s.used / s.in_force) end,
        b.cadence,
        coalesce(w.window_start, k.window_start),
        coalesce(w.window_end, k.window_end),
        b.enforcement,
        b.locked,
        b.strict_allocation,
        b.usage_limit,
        e.blocked_at,
        e.blocked_until,
        e.blocked_reason,
        b.source,
        b.default_id,
        y.carried
    from @extschema@.gov_used_assignments b
    join entity e on e.id = b.entity_id and not e.is_archived
    join turn w
        on w.cadence = coalesce(b.cadence, '')
        and w.anchor_at = coalesce(b.anchor_at, '-infinity')
        and w.timezone = b.timezone
        and w.window_kind = b.window_kind
    left join opened k on k.counter_id = b.counter_id + 0
    left join hidden h on h.id = e.parent_id
    left join lateral
    (
        -- One row; of a window that slides, those of its later grains too.
        select sum(g.amount) as amount
        from (
            select n.amount
            from @extschema@.gov_usage n
            where n.counter_id = b.counter_id
                and n.window_start = case when b.window_kind = 'first_use' then k.window_start else w.counted_from end
            union all
            select n.amount
            from @extschema@.gov_usage n
            where b.window_kind = 'sliding'
                and n.counter_id = b.counter_id
                and n.window_start > w.counted_from
                and n.window_start <= w.last_start
        ) g
        offset 0
    ) u on true
    -- An expression, not the column itself: with that, a scan of all budgets by the index on it, in an order that suits a merge
    -- join, could look cheaper than one of the owner's.
    left join counted c
        on c.counter_id = b.counter_id + 0
        and c.window_start = case b.window_kind when 'calendar' then w.counted_from when 'first_use' then k.window_start end
    left join slid d on d.counter_id = b.counter_id + 0
    left join held r on r.assignment_id = b.id
    left join boosted x
        on x.entity_id = b.entity_id
        and x.capability_id = b.capability_id
        and x.scope_entity_ids = b.scope_entity_ids
        and x.name = b.name
    left join @extschema@._gov_pools_at(owner, at) q on q.assignment_id = b.id
    left join @extschema@._gov_carried(owner, at, null) y on y.assignment_id = b.id
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
    ) s
    where b.owner_id = owner
        and (b.source = 'own' or has_inherited)
        -- An archived entity that passes no place on to its children is below a cycle of archived ones. Checked once, before the
        -- first row.
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

comment on function @extschema@._gov_budgets_at(text, timestamptz) is 'internal: the rows of gov_budgets and gov_allocations of one owner, as far as the caller may see them';

