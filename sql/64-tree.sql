/* ---------------------------------------------------------------------------------------------------------------- */
/* Trees of entities                                                                                                */
/* ---------------------------------------------------------------------------------------------------------------- */

-- An archived entity passes its own place on to its children. Ids contain no control characters, so keys in which each id follows
-- a chr(1) sort depth-first. A part of the tree is found by indexes, from its top upwards and then down; the whole tree by
-- hashing.
create function @extschema@._gov_places(owner text, under text)
returns table
(
    id text,
    display_name text,
    type_id text,
    shown_id text,
    path text[],
    sort_key text,
    blocked_at timestamptz,
    blocked_until timestamptz,
    blocked_reason text
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
                case when e.archived_at is not null then s.path else s.path || e.id end as path,
                e.blocked_at,
                e.blocked_until,
                e.blocked_reason
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
                case when e.is_archived then p.path else p.path || e.id end,
                e.blocked_at,
                e.blocked_until,
                e.blocked_reason
            from place p
            cross join lateral
            (
                select
                    x.id,
                    x.display_name,
                    x.type_id,
                    x.archived_at is not null as is_archived,
                    x.blocked_at,
                    x.blocked_until,
                    x.blocked_reason
                from @extschema@.gov_entities x
                where x.owner_id = owner
                    and x.parent_id = p.id
                offset 0
            ) e
        )
        select
            p.id,
            p.display_name,
            p.type_id,
            p.shown_id,
            p.path,
            chr(1) || array_to_string(p.path, chr(1)),
            p.blocked_at,
            p.blocked_until,
            p.blocked_reason
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
            e.archived_at is not null as is_archived,
            e.blocked_at,
            e.blocked_until,
            e.blocked_reason
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
            case when e.is_archived then '' else chr(1) || e.id end as sort_key,
            e.blocked_at,
            e.blocked_until,
            e.blocked_reason
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
            case when e.is_archived then p.sort_key else p.sort_key || chr(1) || e.id end,
            e.blocked_at,
            e.blocked_until,
            e.blocked_reason
        from place p
        join entity e on e.parent_id = p.id
    )
    select p.id, p.display_name, p.type_id, p.shown_id, p.path, p.sort_key, p.blocked_at, p.blocked_until, p.blocked_reason
    from place p
    -- An entity that no root leads to is below a cycle. Checked once, before the first row.
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
    path text[],
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
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_hashjoin = on
set enable_hashagg = on
set enable_nestloop = off
set enable_mergejoin = off
set enable_seqscan = off
set jit = off
as $$
declare
    at constant timestamptz := @extschema@.gov_now();
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
        p.path,
        b.base_limit,
        case when (p.blocked_until > at) is not false then p.blocked_at end,
        case when p.blocked_until > at then p.blocked_until end,
        case when (p.blocked_until > at) is not false then p.blocked_reason end,
        b.source,
        b.default_id,
        b.carried
    from place p
    left join
    (
        select x.*
        from @extschema@._gov_shown_budgets(
            owner_id,
            at,
            case when under_entity_id is not null then array(select w.id from place w) end,
            capability_ids) x
        where capability_ids is not null
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
    budget, an entity's by capability, scope size, scope and name; unknown ids: no rows. Budgets by defaults are shown whether they were used or not.
    base_limit, what is blocked, source, default_id and carried: since 1.1.0
errors: 22004 null owner_id or element of capability_ids; 22023 capability_ids of two dimensions; 23514 an entity below itself, written
    with triggers disabled; 42501 an owner that the session may not see$$;

