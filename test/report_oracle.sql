-- What the reports must show, from the base tables alone and as the contract words it: no view, no counter, no rolled-up usage.
--
-- Calls go through truth.ingest and the like, which note right after each which budgets it was charged to, by the catalog as it was
-- then; whoever changes cadence, anchor or timezone of a budget calls truth.restart. truth.check_* walk the real thing and say what is
-- different, or null.
create schema truth;
create table truth.charged (event_id bigint, assignment_id uuid, primary key (event_id, assignment_id));
create table truth.held (reservation_id uuid, assignment_id uuid, primary key (reservation_id, assignment_id));

-- Assignments, and what entities have by defaults: an assignment with the same capability, scope and name takes the place of a default,
-- and an owner's default goes before everybody's. What has no id of its own gets one here.
create function truth.every_budget(owner text)
returns table (id uuid, entity_id text, capability_id text, scope_entity_ids text[], name text, usage_limit numeric, cadence text, anchor_at timestamptz, timezone text,
    enforcement text, locked boolean, source text, default_id uuid)
language sql
as $$
    select a.id, a.entity_id, a.capability_id, a.scope_entity_ids, a.name, a.usage_limit, a.cadence, a.anchor_at, a.timezone, a.enforcement, a.locked, 'own', null::uuid
    from gov_assignments as a
    where a.owner_id = owner
    union all
    select md5(d.id || e.id)::uuid, e.id, d.capability_id, '{}', d.name, d.usage_limit, d.cadence, d.anchor_at, d.timezone, d.enforcement, d.locked, 'default', d.id
    from gov_entities as e
    join gov_default_assignments as d on d.type_id = e.type_id
    where e.owner_id = owner
        and d.id = (
            select x.id
            from gov_default_assignments as x
            where x.type_id = d.type_id and x.capability_id = d.capability_id and x.name = d.name and (x.owner_id = owner or x.owner_id is null)
            order by x.owner_id nulls last
            limit 1)
        and not exists (
            select
            from gov_assignments as a
            where a.owner_id = owner and a.entity_id = e.id and a.capability_id = d.capability_id and a.name = d.name and a.scope_entity_ids = '{}')
$$;

-- ---------------------------------------------------------------- calls

-- The entities that a call names and their ancestors.
create function truth.resolve(owner text, ids text[], dims jsonb) returns text[]
language sql
as $$
    with recursive named as (
        select e.id
        from gov_entities as e
        where e.owner_id = owner and e.id = any (ids)
        union
        select e.id
        from jsonb_each_text(dims) as d
        join gov_entities as e on e.owner_id = owner and e.id = d.value
        join gov_entity_types as t on t.id = e.type_id and d.key = any (t.attribution_keys)
    ), line as (
        select id from named
        union
        select e.parent_id from line join gov_entities as e on e.owner_id = owner and e.id = line.id where e.parent_id is not null
    )
    select coalesce(array_agg(id), '{}') from line
$$;

create function truth.budgets_of(owner text, capability text, ids text[], dims jsonb) returns setof uuid
language sql
as $$
    select a.id
    from truth.resolve(owner, ids, dims) as r (resolved)
    join truth.every_budget(owner) as a on a.capability_id = capability and a.entity_id = any (resolved) and a.scope_entity_ids <@ resolved
    join gov_entities as e on e.owner_id = owner and e.id = a.entity_id and e.archived_at is null
$$;

create function truth.ingest(owner text, capability text, amount numeric, ids text[], dims jsonb, occurred_at timestamptz) returns bigint
language plpgsql
as $$
declare
    event bigint := (select event_id from gov_ingest(owner, capability, amount, dims, ids, null, occurred_at));
begin
    insert into truth.charged select event, b from truth.budgets_of(owner, capability, ids, dims) as b;
    return event;
end
$$;

create function truth.consume(owner text, capability text, amount numeric, ids text[], dims jsonb) returns bigint
language plpgsql
as $$
declare
    event bigint := (select event_id from gov_consume(owner, capability, amount, dims, ids));
begin
    insert into truth.charged select event, b from truth.budgets_of(owner, capability, ids, dims) as b where event is not null;
    return event;
end
$$;

create function truth.reserve(owner text, capability text, amount numeric, ids text[], dims jsonb, ttl interval) returns uuid
language plpgsql
as $$
declare
    hold uuid := (select reservation_id from gov_reserve(owner, capability, amount, dims, ids, null, ttl));
begin
    insert into truth.held select hold, b from truth.budgets_of(owner, capability, ids, dims) as b where hold is not null;
    return hold;
end
$$;

create function truth.settle(hold uuid, amount numeric) returns bigint
language plpgsql
as $$
declare
    event bigint := (select event_id from gov_settle(hold, amount) where not is_duplicate);
begin
    insert into truth.charged
    select event, b
    from gov_reservations as r, truth.budgets_of(r.owner_id, r.capability_id, r.entity_ids, r.dimensions) as b
    where r.id = hold and event is not null;
    return event;
end
$$;

create procedure truth.restart(budget uuid)
language sql
as $$
    delete from truth.charged where assignment_id = budget
$$;

-- A budget by a default is shown by gov_budgets from its first use on, whatever it is of now.
create table truth.used (budget uuid primary key);
create function truth.note_use() returns trigger
language plpgsql
as $$
begin
    insert into truth.used values (new.assignment_id) on conflict do nothing;
    return null;
end
$$;
create trigger note_use after insert on truth.charged for each row execute function truth.note_use();
create trigger note_use after insert on truth.held for each row execute function truth.note_use();

-- ---------------------------------------------------------------- rows

-- Entities that are shown, under the nearest shown one; line is all that stand above, archived ones too.
create function truth.entities(owner text)
returns table (entity_id text, display_name text, type_id text, parent_id text, created_at timestamptz, depth int, path text[], line text[])
language sql
as $$
    with recursive tree as (
        select e as entity, case when e.archived_at is null then array[e.id] else '{}' end as path, '{}'::text[] collate "C" as above, array[e.id] as line
        from gov_entities as e
        where e.owner_id = owner and e.parent_id is null
        union all
        select e, t.path || case when e.archived_at is null then array[e.id] else '{}' end, t.path, t.line || e.id
        from tree as t
        join gov_entities as e on e.owner_id = owner and e.parent_id = (t.entity).id
    )
    select (entity).id, (entity).display_name, (entity).type_id, above[cardinality(above)], (entity).created_at, cardinality(path) - 1, path, line
    from tree
    where (entity).archived_at is null
$$;

create function truth.budgets(owner text)
returns table (
    entity_id text, display_name text, type_id text, parent_id text, capability_id text, scope_entity_ids text[], name text,
    usage_limit numeric, current_usage numeric, reserved_usage numeric, remaining numeric, allocated numeric, utilization numeric,
    cadence text, usage_period_start timestamptz, usage_period_end timestamptz, enforcement text, locked boolean,
    created_at timestamptz, depth int, path text[], line text[], source text, default_id uuid, is_used boolean)
language sql
as $$
    select e.entity_id, e.display_name, e.type_id, e.parent_id, a.capability_id, a.scope_entity_ids, a.name,
           a.usage_limit, u.amount, h.amount, a.usage_limit - u.amount - h.amount,
           case when a.scope_entity_ids = '{}' then (
               select coalesce(sum(c.usage_limit), 0)
               from gov_entities as child
               join gov_assignments as c on c.owner_id = owner and c.entity_id = child.id
               where child.owner_id = owner and child.parent_id = a.entity_id and child.archived_at is null
                   and c.capability_id = a.capability_id and c.cadence is not distinct from a.cadence and c.name = '' and c.scope_entity_ids = '{}')
           end,
           case when a.usage_limit = 0 then 1 else u.amount / a.usage_limit end,
           a.cadence, w.window_start, w.window_end, a.enforcement, a.locked,
           e.created_at, e.depth, e.path, e.line, a.source, a.default_id, a.source = 'own' or a.id in (select budget from truth.used)
    from truth.entities(owner) as e
    join truth.every_budget(owner) as a on a.entity_id = e.entity_id
    cross join lateral gov_window(a.cadence, a.anchor_at, a.timezone, gov_now()) as w
    cross join lateral (
        select coalesce(sum(v.amount), 0)
        from truth.charged as c
        join gov_events as v on v.id = c.event_id
        where c.assignment_id = a.id and (a.cadence is null or v.occurred_at >= w.window_start and v.occurred_at < w.window_end)) as u (amount)
    cross join lateral (
        select coalesce(sum(r.amount), 0)
        from truth.held as d
        join gov_reservations as r on r.id = d.reservation_id
        where d.assignment_id = a.id and r.state = 'open' and r.expires_at > gov_now()) as h (amount)
$$;

-- The block of an entity that is in force.
create function truth.block(owner text, entity text) returns jsonb
language sql
as $$
    select jsonb_build_object('blockedAt', e.blocked_at, 'blockedUntil', e.blocked_until, 'blockedReason', e.blocked_reason)
    from (select) as one
    left join gov_entities as e on e.owner_id = owner and e.id = entity and e.blocked_at is not null and coalesce(e.blocked_until, 'infinity') > gov_now()
$$;

-- The rows of a query in order.
create function truth.query(
    owner text, capabilities text[], sort_by text, sort_order text, scope text, min_utilization numeric, types text[], search text, under text)
returns setof jsonb
language sql
as $$
    with candidate as (
        select * from truth.budgets(owner) where capability_id = any (capabilities)
        union all
        select entity_id, display_name, type_id, parent_id, null, null, null, null, null, null, null, null, null, null, null, null, null, null, created_at, depth, path, line, null, null, true
        from truth.entities(owner)
        where capabilities is null
    ), found as (
        select c.*,
               case sort_by
                   when 'utilization' then c.utilization
                   when 'currentUsage' then c.current_usage
                   when 'usageLimit' then c.usage_limit
                   when 'scopeSize' then cardinality(c.scope_entity_ids)
                   when 'createdAt' then extract(epoch from c.created_at)
               end as number,
               case sort_by when 'id' then c.entity_id end as word
        from candidate as c
        where case query.scope when 'all' then true when 'nodeWide' then c.scope_entity_ids = '{}' when 'scoped' then c.scope_entity_ids <> '{}' end
            and (query.min_utilization is null or c.utilization >= query.min_utilization)
            and (types is null or c.type_id = any (types))
            and (search is null or position(lower(search) in lower(c.entity_id)) > 0 or position(lower(search) in lower(c.display_name)) > 0)
            and (under is null or under = any (c.line))
    )
    select jsonb_build_object(
        'entityId', entity_id, 'displayName', display_name, 'typeId', type_id, 'parentId', parent_id,
        'capabilityId', capability_id, 'scopeEntityIds', scope_entity_ids, 'name', name,
        'usageLimit', trim_scale(usage_limit), 'baseLimit', trim_scale(usage_limit), 'currentUsage', trim_scale(current_usage), 'reservedUsage', trim_scale(reserved_usage),
        'remaining', trim_scale(remaining), 'allocated', trim_scale(allocated), 'utilization', trim_scale(utilization),
        'cadence', cadence, 'usagePeriodStart', usage_period_start, 'usagePeriodEnd', usage_period_end,
        'enforcement', enforcement, 'locked', locked, 'source', source, 'defaultId', default_id) || truth.block(owner, entity_id)
    from found
    order by coalesce(number::text, word) is null,
             case when sort_order = 'asc' then number end, case when sort_order = 'desc' then number end desc,
             case when sort_order = 'asc' then word end collate "C", case when sort_order = 'desc' then word end collate "C" desc,
             not is_used and sort_by in ('utilization', 'currentUsage', 'usageLimit'),
             entity_id collate "C", capability_id collate "C", cardinality(scope_entity_ids), scope_entity_ids collate "C", name collate "C"
$$;

-- ---------------------------------------------------------------- comparisons

-- A row in a form that compares: periods as seconds, utilization to 12 places; in tree mode only what the entity has and the usage.
create function truth.plain(item jsonb, is_tree boolean) returns jsonb
language plpgsql
as $$
declare
    number text;
begin
    foreach number in array '{usageLimit,currentUsage,reservedUsage,remaining,allocated,utilization}'::text[] loop
        if item ->> number ~ '\.[0-9]*0$' then
            raise exception '% has trailing zeros: %', number, item;
        end if;
    end loop;
    item := item || jsonb_build_object(
        'utilization', trim_scale(round((item ->> 'utilization')::numeric, 12)),
        'usagePeriodStart', extract(epoch from (item ->> 'usagePeriodStart')::timestamptz),
        'usagePeriodEnd', extract(epoch from (item ->> 'usagePeriodEnd')::timestamptz),
        'blockedAt', extract(epoch from (item ->> 'blockedAt')::timestamptz),
        'blockedUntil', extract(epoch from (item ->> 'blockedUntil')::timestamptz));
    return case when is_tree then item - '{scopeEntityIds,name,enforcement,locked}'::text[] else item end;
end
$$;

-- Walks a query by its cursors, pages of page_size or, when that is null, of another size each.
create function truth.check_query(
    owner text, capabilities text[], sort_by text, sort_order text, scope text, min_utilization numeric, types text[], search text, under text,
    size int)
returns text
language plpgsql
as $$
declare
    wanted jsonb[] := array(
        select truth.plain(q, capabilities is null)
        from truth.query(owner, capabilities, sort_by, sort_order, scope, min_utilization, types, search, under) as q);
    got jsonb[] := '{}';
    page jsonb;
    cursor text;
    this_size int;
begin
    loop
        this_size := coalesce(size, 1 + cardinality(got) % 7);
        page := gov_query(owner, capabilities, sort_by, sort_order, scope, min_utilization, types, search, under, this_size, cursor);
        if jsonb_typeof(page -> 'data') <> 'array' or page -> 'pagination' -> 'next' is null or jsonb_array_length(page -> 'data') > this_size then
            return format('a page of %s: %s', this_size, page);
        end if;
        got := got || array(select truth.plain(item, capabilities is null) from jsonb_array_elements(page -> 'data') with ordinality as i (item, n) order by n);
        cursor := page #>> '{pagination,next}';
        exit when cursor is null;
        if jsonb_array_length(page -> 'data') <> this_size or cardinality(got) >= cardinality(wanted) then
            return format('%s rows of %s, a page of %s with %s, and still a cursor', cardinality(got), cardinality(wanted), this_size, jsonb_array_length(page -> 'data'));
        end if;
    end loop;
    for n in 1 .. greatest(cardinality(got), cardinality(wanted)) loop
        if got[n] is distinct from wanted[n] or got[n]::text <> wanted[n]::text then
            return format(E'row %s of %s\ngot    %s\nwanted %s of %s', n, cardinality(got), got[n], wanted[n], cardinality(wanted));
        end if;
    end loop;
    return null;
end
$$;

create function truth.check_tree(owner text, capabilities text[], under text) returns text
language sql
as $$
    with got as (
        select row_number() over () as n, t.*
        from gov_tree(owner, capabilities, under) as t
    ), wanted as (
        select row_number() over (order by path collate "C", capability_id collate "C", cardinality(scope_entity_ids), scope_entity_ids collate "C", name collate "C") as n, c.*
        from (
            select * from truth.budgets(owner) where capability_id = any (capabilities)
            union all
            select entity_id, display_name, type_id, parent_id, null, null, null, null, null, null, null, null, null, null, null, null, null, null, created_at, depth, path, line, null, null, true
            from truth.entities(owner)
            where capabilities is null
        ) as c
        where under is null or under = any (line)
    )
    select format(E'row %s\ngot    %s\nwanted %s', coalesce(g.n, w.n), to_jsonb(g), to_jsonb(w))
    from got as g
    full join wanted as w on w.n = g.n
    where (g.entity_id, g.display_name, g.type_id, g.parent_id, g.depth, g.path) is distinct from (w.entity_id, w.display_name, w.type_id, w.parent_id, w.depth, w.path)
        or (g.capability_id, g.usage_limit, g.current_usage, g.reserved_usage, g.remaining, g.allocated, round(g.utilization, 12), g.cadence, g.usage_period_start, g.usage_period_end)
            is distinct from (w.capability_id, w.usage_limit, w.current_usage, w.reserved_usage, w.remaining, w.allocated, round(w.utilization, 12), w.cadence, w.usage_period_start, w.usage_period_end)
        or (g.source, g.default_id) is distinct from (w.source, w.default_id)
        or (g.base_limit, jsonb_build_object('blockedAt', g.blocked_at, 'blockedUntil', g.blocked_until, 'blockedReason', g.blocked_reason))
            is distinct from (w.usage_limit, truth.block(owner, w.entity_id))
        or capabilities is not null and (g.scope_entity_ids, g.name, g.enforcement, g.locked) is distinct from (w.scope_entity_ids, w.name, w.enforcement, w.locked)
    order by coalesce(g.n, w.n)
    limit 1
$$;

create function truth.check_budgets(owner text) returns text
language sql
as $$
    with got as (
        select entity_id, display_name, type_id, parent_id, capability_id, scope_entity_ids, name, usage_limit, current_usage, reserved_usage, remaining, allocated,
               round(utilization, 12) as utilization, cadence, usage_period_start, usage_period_end, enforcement, locked,
               jsonb_build_object('blockedAt', blocked_at, 'blockedUntil', blocked_until, 'blockedReason', blocked_reason) as block, source, default_id
        from gov_budgets
        where owner_id = owner
    ), wanted as (
        select entity_id, display_name, type_id, parent_id, capability_id, scope_entity_ids, name, usage_limit, current_usage, reserved_usage, remaining, allocated,
               round(utilization, 12), cadence, usage_period_start, usage_period_end, enforcement, locked, truth.block(owner, entity_id), source, default_id
        from truth.budgets(owner)
        where is_used
    )
    select string_agg(line, E'\n' order by line)
    from (
        (select 'got    ' || to_jsonb(g)::text from (table got except all table wanted) as g limit 1)
        union all
        (select 'wanted ' || to_jsonb(w)::text from (table wanted except all table got) as w limit 1)
    ) as difference (line)
$$;

-- The gate counts the same.
create function truth.check_gate(owner text) returns text
language sql
as $$
    select to_jsonb(b)::text
    from truth.budgets(owner) as b
    where not exists (
        select
        from gov_headroom(owner, b.capability_id, 0, null, b.entity_id || b.scope_entity_ids) as h
        where (h.entity_id, h.scope_entity_ids, h.name) = (b.entity_id, b.scope_entity_ids, b.name)
            and (h.usage_limit, h.current_usage, h.reserved_usage, h.remaining, h.cadence, h.usage_period_start, h.usage_period_end)
                is not distinct from (b.usage_limit, b.current_usage, b.reserved_usage, b.remaining, b.cadence, b.usage_period_start, b.usage_period_end))
    limit 1
$$;
