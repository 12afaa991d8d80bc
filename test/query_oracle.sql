-- What gov_query must answer, from the view and the tables: included by test/sql/query.sql and by TAP tests.
create schema if not exists oracle;

create function oracle.json(moment timestamptz) returns text
language sql
as $$
    select to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;

-- The budgets that are shown: those of gov_budgets, and of the defaults' those that are not there.
create function oracle.budgets(owner text)
returns table (
    entity_id text, capability_id text, scope_entity_ids text[], name text, usage_limit numeric, base_limit numeric, current_usage numeric, reserved_usage numeric,
    remaining numeric, allocated numeric, utilization numeric, cadence text, usage_period_start timestamptz, usage_period_end timestamptz, enforcement text,
    locked boolean, source text, default_id uuid, is_unused boolean)
language sql
as $$
    select b.entity_id, b.capability_id, b.scope_entity_ids, b.name, b.usage_limit, b.base_limit, b.current_usage, b.reserved_usage,
           b.remaining, b.allocated, b.utilization, b.cadence, b.usage_period_start, b.usage_period_end, b.enforcement, b.locked, b.source, b.default_id, false
    from gov_budgets b
    where b.owner_id = owner
    union all
    select e.id, d.capability_id, '{}', d.name, l.in_force, d.usage_limit, 0, 0, l.in_force,
           (select coalesce(trim_scale(sum(a.usage_limit)), 0)
            from gov_entities c
            join gov_assignments a on a.owner_id = owner and a.entity_id = c.id
            where c.owner_id = owner and c.parent_id = e.id and c.archived_at is null and a.capability_id = d.capability_id
                and a.cadence is not distinct from d.cadence and a.name = '' and a.scope_entity_ids = '{}'),
           case when l.in_force = 0 then 1 when l.in_force is not null then 0 end,
           d.cadence, w.window_start, w.window_end, d.enforcement, d.locked, 'default', d.id, true
    from gov_entities e
    join gov_default_assignments d on d.type_id = e.type_id and coalesce(d.owner_id, owner) = owner and d.scope_type_ids = '{}'
    cross join lateral (
        select case when d.usage_limit is not null then trim_scale(greatest(d.usage_limit + coalesce(sum(b.amount), 0), 0)) end
        from gov_boosts b
        where (b.owner_id, b.entity_id, b.capability_id, b.name) = (owner, e.id, d.capability_id, d.name) and b.scope_entity_ids = '{}'
            and b.valid_from <= gov_now() and coalesce(b.valid_until, 'infinity') > gov_now()) l (in_force)
    cross join lateral gov_window(d.cadence, case when d.anchor_from = 'created_at' then e.created_at else d.anchor_at end, d.timezone, gov_now()) w
    where e.owner_id = owner
        and e.archived_at is null
        and not exists (select from gov_default_assignments o
            where d.owner_id is null and o.owner_id = owner
                and (o.type_id, o.capability_id, o.scope_type_ids, o.name) = (d.type_id, d.capability_id, d.scope_type_ids, d.name))
        and not exists (select from gov_budgets b
            where (b.owner_id, b.entity_id, b.capability_id, b.name) = (owner, e.id, d.capability_id, d.name) and b.scope_entity_ids = '{}')
$$;

-- All rows of a query, in order.
create function oracle.rows(owner text, capabilities text[], sort_by text, sort_order text, scope text, min_utilization numeric,
                            types text[], search text, under text) returns jsonb
language sql
as $$
    with recursive below as (
        select e.id from gov_entities e where e.owner_id = owner and e.id = under
        union all
        select e.id from gov_entities e join below b on e.parent_id = b.id where e.owner_id = owner
    ),
    ancestor as (
        select e.id, e.parent_id from gov_entities e where e.owner_id = owner and e.archived_at is null
        union all
        select a.id, p.parent_id
        from ancestor a
        join gov_entities p on p.owner_id = owner and p.id = a.parent_id and p.archived_at is not null
    ),
    shown as (
        select e.id, e.type_id, e.display_name, e.created_at, k.blocked_at, k.blocked_until, k.blocked_reason,
               (select p.id from ancestor a join gov_entities p on p.owner_id = owner and p.id = a.parent_id and p.archived_at is null
                where a.id = e.id) as parent_id
        from gov_entities e
        left join gov_entities k on k.owner_id = owner and k.id = e.id and coalesce(k.blocked_until, 'infinity') > gov_now()
        where e.owner_id = owner
            and e.archived_at is null
            and (types is null or e.type_id = any (types))
            and (under is null or e.id in (select b.id from below b))
            and (search is null
                 or position(lower(search) in lower(e.id collate "default")) > 0
                 or position(lower(search) in lower(e.display_name collate "default")) > 0)
    ),
    line as (
        select s.id, s.created_at, coalesce(b.is_unused, false) and rows.sort_by in ('utilization', 'currentUsage', 'usageLimit') as is_last, b.capability_id, b.scope_entity_ids, b.name, b.usage_limit, b.current_usage, b.utilization,
               jsonb_build_object(
                   'entityId', s.id, 'displayName', s.display_name, 'typeId', s.type_id, 'parentId', s.parent_id,
                   'capabilityId', b.capability_id, 'scopeEntityIds', b.scope_entity_ids, 'name', b.name, 'usageLimit', b.usage_limit, 'baseLimit', b.base_limit,
                   'currentUsage', b.current_usage, 'reservedUsage', b.reserved_usage, 'remaining', b.remaining,
                   'allocated', b.allocated, 'utilization', b.utilization, 'cadence', b.cadence,
                   'usagePeriodStart', oracle.json(b.usage_period_start), 'usagePeriodEnd', oracle.json(b.usage_period_end),
                   'enforcement', b.enforcement, 'locked', b.locked, 'source', b.source, 'defaultId', b.default_id,
                   'blockedAt', oracle.json(s.blocked_at), 'blockedUntil', oracle.json(s.blocked_until), 'blockedReason', s.blocked_reason) as document
        from shown s
        left join oracle.budgets(owner) b on capabilities is not null and b.entity_id = s.id
        where case
                when capabilities is null then rows.scope <> 'scoped' and rows.min_utilization is null
                else b.capability_id = any (capabilities)
                     and (rows.scope = 'all' or (rows.scope = 'scoped') = (b.scope_entity_ids <> '{}'))
                     and (rows.min_utilization is null or b.utilization >= rows.min_utilization)
            end
    ),
    valued as (
        select l.*,
               case rows.sort_by
                   when 'utilization' then l.utilization
                   when 'currentUsage' then l.current_usage
                   when 'usageLimit' then l.usage_limit
                   when 'scopeSize' then cardinality(l.scope_entity_ids)
                   when 'id' then dense_rank() over (order by l.id)
                   when 'createdAt' then extract(epoch from l.created_at)
               end as value
        from line l
    )
    select coalesce(
        jsonb_agg(v.document order by case rows.sort_order when 'asc' then v.value else - v.value end nulls last,
                  v.is_last, v.id, v.capability_id, cardinality(v.scope_entity_ids), v.scope_entity_ids, v.name),
        '[]')
    from valued v
$$;

-- All pages of gov_query, one after the other.
create function oracle.pages(owner text, capabilities text[], sort_by text, sort_order text, scope text, min_utilization numeric,
                             types text[], search text, under text, page_size int) returns jsonb
language plpgsql
as $$
declare
    collected jsonb := '[]';
    page jsonb;
    next text;
begin
    loop
        page := gov_query(owner, capabilities, sort_by, sort_order, scope, min_utilization, types, search, under, page_size, next);
        collected := collected || (page -> 'data');
        next := page -> 'pagination' ->> 'next';
        if jsonb_array_length(page -> 'data') < page_size and next is not null then
            raise exception 'a short page has a next one';
        end if;
        exit when next is null;
    end loop;
    return collected;
end
$$;
