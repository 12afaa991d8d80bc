/* ---------------------------------------------------------------------------------------------------------------- */
/* Reporting                                                                                                        */
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
    left join counted c on c.counter_id = b.counter_id and c.window_start = w.counted_from
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

-- The same of some entities, each looked up by an index, so that a part costs what it has: "offset 0" keeps the planner from joining
-- whole tables. What is not rolled up yet is read once for all of them. Planned for the arguments: a few counters are looked for in
-- each event before it is taken apart, and in the holds by an index on their budgets.
create function @extschema@._gov_budgets_of(owner text, at timestamptz, ids text[])
returns table
(
    entity_id text,
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
    locked boolean
)
language plpgsql
stable
rows 100
cost 1000
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set enable_hashjoin = on
set enable_hashagg = on
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
        select b.entity_id, b.capability_id, b.scope_entity_ids, b.name, b.usage_limit, b.current_usage, b.reserved_usage, b.remaining,
            b.allocated, b.utilization, b.cadence, b.usage_period_start, b.usage_period_end, b.enforcement, b.locked
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

    return query
    with budget as materialized
    (
        select a.*, w.window_start, w.window_end, coalesce(w.window_start, '-infinity') as counted_from
        from unnest(ids) i (id)
        cross join lateral
        (
            select x.id
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
            b.id,
            sum(c.amount) as amount
        from (
            select x.counter_id, x.window_start, e.amount
            from @extschema@.gov_events e
            cross join lateral unnest(e.counter_ids, e.window_starts) as x (counter_id, window_start)
            where e.owner_id <= owner
                and (e.owner_id, e.id) > (owner, (select coalesce(max(r.watermark), 0) from @extschema@.gov_rollup_state r))
                and (cardinality(counters) > max_few or e.counter_ids && counters)
        ) c
        join budget b on b.counter_id = c.counter_id and b.counted_from = c.window_start
        group by b.id
    ),
    held as materialized
    (
        select
            x.assignment_id,
            sum(r.amount) as amount
        from @extschema@.gov_reservations r
        cross join lateral unnest(r.assignment_ids) as x (assignment_id)
        where r.owner_id <= owner
            and r.state = 'open'
            and (r.owner_id, r.expires_at) > (owner, at)
            and (cardinality(budgets) > max_few or r.assignment_ids && budgets)
        group by x.assignment_id
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
        b.locked
    from budget b
    left join lateral
    (
        select n.amount
        from @extschema@.gov_usage n
        where n.counter_id = b.counter_id
            and n.window_start = b.counted_from
        offset 0
    ) u on true
    left join counted c on c.id = b.id
    left join held r on r.assignment_id = b.id
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
    'internal: of the budgets of some entities, null for all of the owner, what gov_tree and gov_report show';

create view @extschema@.gov_budgets with (security_invoker = true) as
select
    o.owner_id,
    b.entity_id collate "C" as entity_id,
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
from (select @extschema@.gov_now() as now offset 0) c
cross join (select distinct a.owner_id from @extschema@.gov_assignments a) o
cross join lateral @extschema@._gov_budgets_of(o.owner_id, c.now) b;

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
    b.entity_id collate "C" as entity_id,
    b.capability_id collate "C" as capability_id,
    b.name collate "C" as name,
    b.cadence collate "C" as cadence,
    b.usage_limit,
    b.allocated,
    trim_scale(b.usage_limit - b.allocated) as unallocated,
    b.strict_allocation
from (select @extschema@.gov_now() as now offset 0) c
cross join (select distinct a.owner_id from @extschema@.gov_assignments a) o
cross join lateral @extschema@._gov_budgets_of(o.owner_id, c.now) b
where b.scope_entity_ids = '{}';

comment on view @extschema@.gov_allocations is 'the node-wide budgets of entities that are not archived, with what is left to allocate to children';
comment on column @extschema@.gov_allocations.usage_limit is 'null = no limit';
comment on column @extschema@.gov_allocations.allocated is
    'the sum of the limits of the children''s unnamed node-wide budgets of this capability and cadence, archived children left out';
comment on column @extschema@.gov_allocations.unallocated is 'limit - allocated, negative when more is allocated than there is; null without a limit';
comment on column @extschema@.gov_allocations.strict_allocation is 'true = no more may be allocated than the limit';

-- An archived entity hands its own place on to its children. Ids contain no control characters, so that keys of ids that each follow
-- a chr(1) sort depth-first. A part is found by indexes, from its top upwards and then down; all by hashing.
create function @extschema@._gov_places(owner text, under text)
returns table
(
    id text,
    display_name text,
    type_id text,
    shown_id text,
    path text[],
    sort_key text
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_hashjoin = on
set enable_hashagg = on
set enable_nestloop = off
set enable_mergejoin = off
set enable_seqscan = off
set jit = off
as $$
begin
    if under is not null then
        perform @extschema@._gov_refuse_cycle(owner, under);

        return query
        with recursive above (id, parent_id, is_archived, distance) as
        (
            select e.id, e.parent_id, e.archived_at is not null, 0
            from @extschema@.gov_entities e
            where e.owner_id = owner
                and e.id = under
            union all
            select p.id, p.parent_id, p.is_archived, a.distance + 1
            from above a
            cross join lateral
            (
                select e.id, e.parent_id, e.archived_at is not null as is_archived
                from @extschema@.gov_entities e
                where e.owner_id = owner
                    and e.id = a.parent_id
                offset 0
            ) p
        ),
        shown as
        (
            select coalesce(array_agg(a.id order by a.distance desc) filter (where not a.is_archived and a.distance > 0), '{}') as path
            from above a
        ),
        place as
        (
            select
                e.id,
                e.display_name,
                e.type_id,
                e.archived_at is not null as is_archived,
                s.path[cardinality(s.path)] as shown_id,
                case when e.archived_at is not null then s.path else s.path || e.id end as path
            from shown s
            cross join @extschema@.gov_entities e
            where e.owner_id = owner
                and e.id = under
            union all
            select
                e.id,
                e.display_name,
                e.type_id,
                e.is_archived,
                case when p.is_archived then p.shown_id else p.id end,
                case when e.is_archived then p.path else p.path || e.id end
            from place p
            cross join lateral
            (
                select x.id, x.display_name, x.type_id, x.archived_at is not null as is_archived
                from @extschema@.gov_entities x
                where x.owner_id = owner
                    and x.parent_id = p.id
                offset 0
            ) e
        )
        select p.id, p.display_name, p.type_id, p.shown_id, p.path, chr(1) || array_to_string(p.path, chr(1))
        from place p
        where not p.is_archived;
        return;
    end if;

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
    place as
    (
        select
            e.id,
            e.display_name,
            e.type_id,
            e.is_archived,
            null::text collate "C" as shown_id,
            case when e.is_archived then '{}' else array[e.id] end as path,
            case when e.is_archived then '' else chr(1) || e.id end as sort_key
        from entity e
        where e.parent_id is null
        union all
        select
            e.id,
            e.display_name,
            e.type_id,
            e.is_archived,
            case when p.is_archived then p.shown_id else p.id end,
            case when e.is_archived then p.path else p.path || e.id end,
            case when e.is_archived then p.sort_key else p.sort_key || chr(1) || e.id end
        from place p
        join entity e on e.parent_id = p.id
    )
    select p.id, p.display_name, p.type_id, p.shown_id, p.path, p.sort_key
    from place p
    -- Whom no root leads to is below a cycle. Asked once, and before the first row.
    where (
            select case
                when (select count(*) from place) = (select count(*) from entity) then true
                else (
                    select bool_and(@extschema@._gov_refuse_cycle(owner, e.id))
                    from entity e
                    where not exists (select from place x where x.id = e.id)) is not null
            end)
        and not p.is_archived;
end
$$;

comment on function @extschema@._gov_places(text, text) is
    'internal: the entities of an owner that are not archived, all or those below one, and where they stand in the trees (23514)';

create function @extschema@.gov_tree
(
    owner_id text,
    capability_ids text[] default null,
    under_entity_id text default null
)
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
    depth integer,
    path text[]
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_hashjoin = on
set enable_hashagg = on
set enable_nestloop = off
set enable_mergejoin = off
set enable_seqscan = off
set jit = off
as $$
begin
    perform @extschema@._gov_require_owner(owner_id);
    perform @extschema@._gov_require_list('capability_ids', array_ndims(capability_ids));
    if array_position(capability_ids, null) is not null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = 'argument "capability_ids" must not contain null',
            hint = 'Leave it out for one row per entity.';
    end if;

    return query
    with place as materialized
    (
        select p.*
        from @extschema@._gov_places(owner_id, under_entity_id) p
    )
    select
        p.id,
        p.display_name,
        p.type_id,
        p.shown_id,
        b.capability_id,
        b.scope_entity_ids,
        b.name,
        b.usage_limit,
        b.current_usage,
        b.reserved_usage,
        b.remaining,
        b.allocated,
        b.utilization,
        b.cadence,
        b.usage_period_start,
        b.usage_period_end,
        b.enforcement,
        b.locked,
        cardinality(p.path) - 1,
        p.path
    from place p
    left join
    (
        select x.*
        from @extschema@._gov_budgets_of(
            owner_id,
            @extschema@.gov_now(),
            case when under_entity_id is not null then array(select w.id from place w) end) x
        where capability_ids is not null
            and x.capability_id = any (capability_ids)
    ) b on b.entity_id = p.id
    where capability_ids is null
        or b.entity_id is not null
    order by p.sort_key, b.capability_id collate "C", cardinality(b.scope_entity_ids), b.scope_entity_ids collate "C", b.name collate "C";
end
$$;

comment on function @extschema@.gov_tree(text, text[], text) is
$$An owner's entities, and their budgets, as a tree: depth-first, children by id. Archived entities are left out; their children
stand below the nearest entity above that is not archived.

owner_id: one of the vendor's customers; capability_ids: whose budgets to show; null for one row per entity, without budgets;
    under_entity_id: only this entity and what is below it
result: the columns of gov_budgets but for owner_id; depth: 0 for a root; path: the ids from the root down to the entity. One row per
    budget, an entity's by capability, scope size, scope and name; unknown ids: no rows
errors: 22004 null owner_id or element of capability_ids; 22023 capability_ids of two dimensions; 23514 an entity below itself, written
    with triggers disabled; 42501 an owner that the session may not see$$;

create function @extschema@._gov_short(n numeric)
returns text
language plpgsql
immutable
parallel safe
strict
set search_path = pg_catalog, pg_temp
as $$
declare
    digits int := length(trunc(abs(n))::text);
    thousands int := (digits - 1) / 3;
    short numeric := round(n / 1000::numeric ^ thousands, 2 - (digits - 1) % 3);
begin
    if abs(n) < 1 then
        short := round(n, 3);
        return case when short = 0 and n <> 0 then '~0' else trim_scale(short)::text end;
    end if;
    if abs(short) >= 1000 then
        thousands := thousands + 1;
        short := short / 1000;
    end if;
    return trim_scale(short)::text || substr('kMGTPEZY', thousands, (thousands > 0)::int);
end
$$;

comment on function @extschema@._gov_short(numeric) is 'internal: a number in at most 6 characters and 3 digits, such as 412k or -1.25M; ~0 for one that is nearly nothing';

create function @extschema@._gov_cut(line text, width int, ellipsis text)
returns text
language sql
immutable
parallel safe
return case when length(line) > width then left(line, width - length(ellipsis)) || ellipsis else line end;

comment on function @extschema@._gov_cut(text, int, text) is 'internal: a text in at most so many characters';

create function @extschema@._gov_bar(used numeric, held numeric, usage_limit numeric, marks text[])
returns text
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    width int := 20 - length(marks[1]) - length(marks[5]);
    used_cells int := case
        when usage_limit is null then 0
        when used >= usage_limit then width
        when used > 0 then greatest(floor(width * used / usage_limit), 1)
        else 0
    end;
    held_cells int := case
        when held > 0 and used_cells < width then
            least(greatest(floor(width * (used + held) / usage_limit) - used_cells, 1), width - used_cells)
        else 0
    end;
begin
    if usage_limit is null then
        return rpad('no limit', 20);
    end if;
    return marks[1] || repeat(marks[2], used_cells) || repeat(marks[3], held_cells) || repeat(marks[4], width - used_cells - held_cells)
        || marks[5];
end
$$;

comment on function @extschema@._gov_bar(numeric, numeric, numeric, text[]) is
    'internal: 20 characters that show how much of a limit is used and held; what is used or held shows, however little it is';

create function @extschema@._gov_cadence_words(cadence text)
returns text
language sql
immutable
parallel safe
return case
    when cadence is null then ''
    when cadence ~ '^PT?1[A-Z]$' then
        case cadence
            when 'P1Y' then '/year'
            when 'P1M' then '/month'
            when 'P1W' then '/week'
            when 'P1D' then '/day'
            when 'PT1H' then '/hour'
            when 'PT1M' then '/minute'
            else '/second'
        end
    else
        '/' || substring(cadence from '[0-9]+')
            || case when cadence ~ '^PT.*M$' then 'min' when cadence ~ 'M$' then 'mo' else lower(right(cadence, 1)) end
end;

comment on function @extschema@._gov_cadence_words(text) is 'internal: a cadence in the words of a label, such as /month or /30d; nothing for a budget that never resets';

create function @extschema@.gov_report
(
    owner_id text,
    capability_id text default null,
    under_entity_id text default null,
    max_depth integer default null
)
returns setof text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    -- psql adds one character.
    width constant int := 98;
    label_width constant int := 30;
    deepest constant int := 5;
    is_utf8 boolean := getdatabaseencoding() = 'UTF8' and pg_client_encoding() = 'UTF8';
    marks text[] := case when is_utf8 then '{"",█,▒,·,""}' else '{[,#,=,.,]}' end;
    ellipsis text := case when is_utf8 then '…' else '...' end;
    through text := case when is_utf8 then '│  ' else '|  ' end;
    branch text := case when is_utf8 then '├─ ' else '|- ' end;
    corner text := case when is_utf8 then '└─ ' else '`- ' end;
    now timestamptz := @extschema@.gov_now();
    stems text[] := '{""}';
    stem text;
    place bigint := 0;
    item record;
begin
    perform @extschema@._gov_require_owner(owner_id);
    if max_depth < 0 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'argument "max_depth" must not be negative',
            hint = 'Pass 0 for the roots alone, 1 for their children too, and so on; null for all.';
    end if;
    for item in
        with placed as
        (
            select t.*, t.depth - min(t.depth) over () as level
            from @extschema@.gov_tree(gov_report.owner_id, null::text[], gov_report.under_entity_id) with ordinality
                t (entity_id, display_name, type_id, parent_id, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, depth, path, n)
        ),
        shown as
        (
            select
                t.n,
                t.entity_id,
                coalesce(t.display_name, t.entity_id) as title,
                t.type_id,
                t.level as depth,
                coalesce(lead(t.depth) over (order by t.n) > t.depth, false) as has_children,
                row_number() over (partition by t.parent_id order by t.n desc) = 1 as is_last
            from placed t
            where max_depth is null
                or t.level <= max_depth
        )
        select
            s.*,
            b.capability_id is not null as has_budget,
            b.capability_id || @extschema@._gov_cadence_words(b.cadence) || coalesce(' ' || nullif(b.name, ''), '')
                || coalesce(' on ' || nullif(array_to_string(b.scope_entity_ids, ', '), ''), '') as label,
            b.usage_limit,
            b.current_usage,
            b.reserved_usage,
            b.utilization,
            b.usage_limit - b.allocated as unallocated,
            b.allocated > 0 as has_allocated,
            b.usage_period_end,
            b.enforcement
        from shown s
        left join
        (
            select x.*
            from @extschema@._gov_budgets_of(
                gov_report.owner_id,
                now,
                case when under_entity_id is not null or max_depth is not null then array(select w.entity_id from shown w) end) x
            where gov_report.capability_id is null
                or x.capability_id = gov_report.capability_id
        ) b on b.entity_id = s.entity_id
        order by s.n, b.capability_id collate "C", cardinality(b.scope_entity_ids), b.scope_entity_ids collate "C", b.name collate "C"
    loop
        if place = 0 then
            return next rtrim(rpad(@extschema@._gov_cut(owner_id, label_width, ellipsis), label_width + 1)
                || format('used %s held %s left %s', marks[2], marks[3], marks[4])
                || '       %    used of limit   resets unalloc');
        end if;

        -- A new entity. Below the deepest level its depth is written out.
        if item.n <> place then
            place := item.n;
            if item.depth > deepest then
                return next @extschema@._gov_cut(format('%s%s: %s (%s)', stems[deepest + 2], item.depth, item.title, item.type_id), width, ellipsis);
            else
                stem := stems[item.depth + 1];
                return next @extschema@._gov_cut(stem || case when item.depth = 0 then '' when item.is_last then corner else branch end
                    || format('%s (%s)', item.title, item.type_id), width, ellipsis);
                stems[item.depth + 2] := stem || case when item.depth = 0 then '' when item.is_last then '   ' else through end;
            end if;
        end if;

        if item.has_budget then
            stem := stems[least(item.depth, deepest) + 2]
                || case when item.has_children and item.depth <= deepest then through else '   ' end;
            return next rtrim(rpad(@extschema@._gov_cut(stem || item.label, label_width, ellipsis), label_width + 1)
                || @extschema@._gov_bar(item.current_usage, item.reserved_usage, item.usage_limit, marks)
                || lpad(case
                    when item.utilization is null then ''
                    when item.utilization > 99.99 then '>9999%'
                    when item.utilization < -9.99 then '<-999%'
                    else floor(100 * item.utilization) || '%'
                end, 7)
                || case when item.current_usage > item.usage_limit then '! ' else '  ' end
                || lpad(@extschema@._gov_short(item.current_usage), 6)
                || rpad(coalesce(' of ' || @extschema@._gov_short(item.usage_limit), ''), 11)
                || rpad(case
                    when item.usage_period_end is null then 'never'
                    when item.usage_period_end < now + interval '1 day' then to_char(item.usage_period_end, 'HH24:MI')
                    when item.usage_period_end < now + interval '1 year' then to_char(item.usage_period_end, 'FMDD Mon')
                    when item.usage_period_end < '10000-01-01' then to_char(item.usage_period_end, 'Mon YYYY')
                    else to_char(item.usage_period_end, 'YYYY')
                end, 8)
                || lpad(case when item.has_allocated then coalesce(@extschema@._gov_short(item.unallocated), '') else '' end, 7)
                || case item.enforcement when 'soft' then ' soft' else '' end);
        end if;
    end loop;
    if place = 0 then
        return next @extschema@._gov_cut(owner_id, width - 16, ellipsis) || ': no entities';
    end if;
end
$$;

comment on function @extschema@.gov_report(text, text, text, integer) is
$$An owner's budgets as a picture, for a terminal of 100 columns: the tree of its entities, below each its budgets with bars.

owner_id: one of the vendor's customers; capability_id: only budgets of this capability; under_entity_id: only this entity and what
    is below it; max_depth: only so many levels below the topmost, null for all
result: lines of at most 98 characters, a heading first. A budget's line: the capability, the length of its window, name and scope;
    a bar of what is used and held, drawn in ASCII unless database and client use UTF8; the share that is used, ! when the limit
    is passed; amounts of 3 digits; when the window ends, in the session's time zone; what is left to allocate when children
    have budgets; soft
errors: 22004 null owner_id; 22023 negative max_depth; 23514 an entity below itself, written with triggers disabled; 42501 an owner that the session may not see$$;

create function @extschema@.gov_query
(
    owner_id text,
    capability_ids text[] default null,
    sort_by text default 'utilization',
    sort_order text default 'desc',
    scope text default 'all',
    min_utilization numeric default null,
    type_ids text[] default null,
    search text default null,
    under_entity_id text default null,
    page_size int default 20,
    after text default null
)
returns jsonb
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_query_1_0';

comment on function @extschema@.gov_query(text, text[], text, text, text, numeric, text[], text, text, int, text) is
$$A page of an owner's entities and budgets with their usage, as it is now. Archived entities are left out, and their children
shown under the nearest that is not.

owner_id: one of the vendor's customers; capability_ids: the budgets of these, a row for each; null: a row for each entity,
    with null for all that is a budget's; sort_by: utilization, currentUsage, usageLimit, scopeSize, id or createdAt (the
    entity's); sort_order: asc or desc; rows without the value come last, equal ones by entity, capability, scope size, scope
    and name; scope: all, nodeWide or scoped budgets; an entity counts as node-wide; min_utilization: 0.8 for 80 % and more;
    type_ids: entities of these types; search: part of the entity's id or display name, upper case or lower;
    under_entity_id: that entity and all below it; page_size: 1 to 100; after: "next" of the page before, with the same
    arguments
result: {"data": [...], "pagination": {"next": cursor or null}}, each row with entityId, displayName, typeId, parentId,
    capabilityId, scopeEntityIds, name, usageLimit, currentUsage, reservedUsage, remaining, allocated, utilization, cadence,
    usagePeriodStart, usagePeriodEnd, enforcement and locked. utilization = usage / limit, 1 for a limit of 0; allocated: the
    limits of the children's unnamed node-wide budgets of the same capability and cadence, null for scoped budgets
errors: 22004 null owner_id, sort_by, sort_order, scope, page_size or element of an array; 22023 unknown sort_by, sort_order or
    scope, an array of two dimensions, page_size out of range, after not a cursor of this query; 23514 an entity below itself, written
    with triggers disabled; 42501 not the session's owner$$;

