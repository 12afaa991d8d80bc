-- What gov_check must answer, worked out again from the contract over the plain tables: slow, obvious, and sharing nothing
-- with the engine but the tables themselves. gov_entity_types, gov_entities and gov_assignments say what is governed,
-- gov_events what was used: a budget's usage is the sum of the events that were charged to its counter, or counted again, and whose window,
-- worked out here from occurred_at, is the present one.
--
-- What other transactions have in flight cannot be read from tables: a caller that knows it hands it in as an array of
--     {"assignment": "…", "counter": 7, "at": "…", "is_late": false, "amount": 5, "settles": "…"}
--                                                                        one element per event and budget charged; the hold if it settles one
--     {"hold": "…", "assignments": ["…"], "amount": 5}                   a hold that was made; nobody else sees its row, so that it counts past its time
--     {"hold": "…", "until": "…"}                                        a hold that was extended, or whose row was changed otherwise
-- of which only what takes headroom may be given: relief counts for others from its commit.
create schema oracle;

-- The engine's clock.
create function oracle.now() returns timestamptz
language sql volatile
as $$
    select clock_timestamp() + extract(epoch from current_setting('governance.clock_offset')::interval) * interval '1 second'
$$;

-- The boundary n cadences after the anchor (before it when n is negative).
create function oracle.boundary(anchor timestamptz, timezone text, unit text, n bigint) returns timestamptz
language sql stable
as $$
    select case
        when unit in ('Y', 'M', 'W', 'D') then
            ((anchor at time zone timezone)
             + case unit
                   when 'Y' then make_interval(years => n::int)
                   when 'M' then make_interval(months => n::int)
                   when 'W' then make_interval(weeks => n::int)
                   else make_interval(days => n::int)
               end) at time zone timezone
        else anchor + n * case unit when 'TH' then interval '3600 seconds' when 'TM' then interval '60 seconds' else interval '1 second' end
    end
$$;

-- The window of a cadence at a time: the last boundary that is not after it, and the first that is.
create function oracle.window_at(cadence text, anchor_at timestamptz, timezone text, at timestamptz, out window_start timestamptz, out window_end timestamptz)
language plpgsql stable
as $$
declare
    part text[] := regexp_match(cadence, '^P(T?)([0-9]+)([YMWDHS])$');
    unit text := part[1] || part[3];
    count bigint := part[2]::bigint;
    anchor timestamptz := coalesce(anchor_at, timestamp '2001-01-01 00:00' at time zone timezone);
    seconds numeric := extract(epoch from at) - extract(epoch from anchor);
    near bigint;
begin
    if cadence is null then
        window_start := '-infinity';
        window_end := 'infinity';
        return;
    end if;
    -- an estimate that is off by a window or two; the boundaries about it decide
    near := floor(seconds / (count * case unit when 'Y' then 31556952 when 'M' then 2629746 when 'W' then 604800 when 'D' then 86400 when 'TH' then 3600 when 'TM' then 60 else 1 end));
    select max(b.moment) filter (where b.moment <= at), min(b.moment) filter (where b.moment > at)
    into window_start, window_end
    from (select oracle.boundary(anchor, timezone, unit, n * count) as moment from generate_series(near - 3, near + 3) as n) as b;
end
$$;

-- The dimensions whose values are no entity of the type that speaks for their key.
create function oracle.unknown(owner text, dims jsonb) returns table (key text, id text, type_id text, creates boolean, parent_key text)
language sql stable
as $$
    select d.key, d.value, t.id, t.on_unknown = 'create' and length(d.value) between 1 and 255 and d.value !~ '[\u0001-\u001f\u007f]', t.parent_key
    from gov_entity_types as t, jsonb_each_text(dims) as d (key, value)
    where t.on_unknown <> 'ignore'
      and d.key = any (t.attribution_keys)
      and d.value is not null
      and not exists (select from gov_entities as e where e.owner_id = owner and e.id = d.value and (e.type_id = t.id or t.on_unknown = 'create'))
$$;

-- Does a dimension name an entity of this type, if there is one under its value?
create function oracle.fits(key text, type text) returns boolean
language sql stable
as $$
    select exists (select from gov_entity_types as t where t.id = type and key = any (t.attribution_keys))
$$;

-- What a use would create: for each id the first dimension that speaks for it, below what the dimension parent_key stands for, be that
-- there or created too. A parent that would be below its child is none.
create function oracle.would_be(owner text, dims jsonb) returns table (id text, type_id text, parent_id text)
language plpgsql stable
as $$
declare
    made jsonb := '{}';
    ids text[] := '{}';
    item record;
    below text;
begin
    for item in select u.* from oracle.unknown(owner, dims) as u where u.creates order by u.key collate "C" loop
        continue when made ? item.id;
        made := made || jsonb_build_object(item.id, jsonb_build_object('type', item.type_id, 'candidate', dims ->> item.parent_key, 'key', item.parent_key));
        ids := ids || item.id;
    end loop;
    foreach id in array ids loop
        type_id := made -> id ->> 'type';
        parent_id := made -> id ->> 'candidate';
        if not exists (select from gov_entities as e where e.owner_id = owner and e.id = would_be.parent_id and oracle.fits(made -> would_be.id ->> 'key', e.type_id)) then
            if not coalesce(oracle.fits(made -> id ->> 'key', made -> parent_id ->> 'type'), false) then
                parent_id := null;
            end if;
            below := parent_id;
            while below is not null loop
                if below = id then
                    parent_id := null;
                    exit;
                end if;
                below := made -> below ->> 'parent';
            end loop;
        end if;
        made := jsonb_set(made, array[id, 'parent'], coalesce(to_jsonb(parent_id), 'null'));
        return next;
    end loop;
end
$$;

-- The entities of an owner, as they are for a call with these dimensions: those that it would create are among them.
create function oracle.entities(owner text, dims jsonb) returns table (id text, type_id text, parent_id text, archived_at timestamptz, blocked_at timestamptz, blocked_until timestamptz)
language sql stable
as $$
    select e.id, e.type_id, e.parent_id, e.archived_at, e.blocked_at, e.blocked_until
    from gov_entities as e
    where e.owner_id = owner
    union all
    select w.id, w.type_id, w.parent_id, null, null, null
    from oracle.would_be(owner, dims) as w
    where dims is not null and exists (select from gov_entity_types as t where t.on_unknown = 'create')
$$;

-- An entity and its ancestors, with their distance.
create function oracle.chain(owner text, entity text, dims jsonb default null) returns table (distance int, id text)
language sql stable
as $$
    with recursive entity as materialized (
        select * from oracle.entities(owner, dims)
    ), up (distance, id, parent_id) as (
        select 0, e.id, e.parent_id
        from entity as e
        where e.id = $2
        union all
        select u.distance + 1, e.id, e.parent_id
        from up as u
        join entity as e on e.id = u.parent_id
    )
    select u.distance, u.id from up as u
$$;

-- The entities a call names or resolves to, each once, at its first place: entity_ids in their order, then dimensions by key. With
-- as_if those count that the call would create.
create function oracle.named(owner text, dims jsonb, ids text[], as_if boolean default true) returns table (place bigint, id text)
language sql stable
as $$
    with entity as materialized (
        select * from oracle.entities(owner, case when as_if then dims end)
    ), met (part, key, position, id) as (
        select 1, '', i.position, e.id
        from unnest(ids) with ordinality as i (id, position)
        join entity as e on e.id = i.id
        union all
        select 2, d.key, 0, e.id
        from jsonb_each_text(coalesce(dims, '{}')) as d (key, value)
        join entity as e on e.id = d.value
        join gov_entity_types as t on t.id = e.type_id and d.key = any (t.attribution_keys)
    ), first_met as (
        select distinct on (m.id) m.*
        from met as m
        order by m.id, m.part, m.key collate "C", m.position
    )
    select row_number() over (order by f.part, f.key collate "C", f.position), f.id
    from first_met as f
$$;

-- What recounts have counted: events of a capability up to an id, from a time on, that have an entity of each set; by the budget's rule of
-- then.
create table oracle.recounts (counter_id bigint, owner text, capability text, sets jsonb, since timestamptz, through_id bigint, cadence text, anchor_at timestamptz, timezone text);

-- By what the budgets by defaults are named that had been used when somebody of them was forgotten: the former ids. Who has such an id
-- next gets other names.
create table oracle.kept (owner_id text, default_id uuid, entity_id text, scope text[], named_entity text, named_scope text[], salt int);

-- Somebody is about to be forgotten.
create function oracle.forget(owner text, old text, new text) returns void
language sql
as $$
    insert into oracle.kept
    select distinct n.owner_id, n.default_id, n.entity_id, n.scope_entity_ids, n.entity_id, n.scope_entity_ids, n.salt
    from gov_default_counts as n
    where n.owner_id = owner and old = any (n.entity_id || n.scope_entity_ids) and not n.retired
        and not exists (
            select from oracle.kept as k
            where (k.owner_id, k.default_id, k.entity_id, k.scope, k.salt) = (n.owner_id, n.default_id, n.entity_id, n.scope_entity_ids, n.salt));
    update oracle.kept as k
    set entity_id = case when k.entity_id = old then new else k.entity_id end, scope = array_replace(k.scope, old, new)
    where k.owner_id = owner;
    update oracle.recounts as r
    set sets = (
        select jsonb_agg((select jsonb_agg(case when i.id = old then new else i.id end) from jsonb_array_elements_text(s.ids) as i (id)) order by s.place)
        from jsonb_array_elements(r.sets) with ordinality as s (ids, place))
    where r.owner = forget.owner
$$;

create function oracle.remember_nobody(owner text) returns void
language sql
as $$
    delete from oracle.kept as k where k.owner_id = owner
$$;

-- All budgets that there are: assignments, and those that entities have by defaults, where no assignment has taken their place. Of a
-- default with a scope (of one type) one for each entity of that type, whether anybody has met it or not. What they are named is the
-- engine's, and not asked here, but for who was forgotten. What a call of an owner with these dimensions would create has them too.
create function oracle.assignments(owner text default null, dims jsonb default null) returns setof gov_assignments
language sql stable
as $$
    with entity as materialized (
        select e.owner_id, e.id, e.type_id from gov_entities as e
        union all
        select owner, w.id, w.type_id
        from oracle.would_be(owner, dims) as w
        where dims is not null and exists (select from gov_entity_types as t where t.on_unknown = 'create')
    )
    select a.* from gov_assignments as a
    union all
    select i.assignment_id, e.owner_id, e.id, d.capability_id, s.scope, d.name, d.usage_limit, d.cadence, d.anchor_at, d.timezone, d.enforcement, false, d.locked,
        d.alert_thresholds, coalesce(c.counter_id, i.counter_id), d.created_at, d.updated_at, d.call_limit, d.window_kind, false, 0, null, d.carry_unused_max, d.carry_debt, d.carry_from
    from gov_default_assignments as d
    join entity as e on e.type_id = d.type_id and e.owner_id = coalesce(d.owner_id, e.owner_id)
    cross join lateral (
        select '{}'::text[] as scope where d.scope_type_ids = '{}'
        union all
        select array[x.id] from entity as x where x.owner_id = e.owner_id and array[x.type_id] = d.scope_type_ids
    ) as s
    cross join lateral (
        select coalesce(max(n.salt) + 1, 0) as salt
        from gov_default_counts as n
        where n.owner_id = e.owner_id and n.entity_id = e.id and n.default_id = d.id and n.scope_entity_ids = s.scope and n.retired
    ) as r
    cross join lateral (
        select coalesce(max(k.named_entity), e.id) as entity, coalesce(max(k.named_scope), s.scope) as scope, max(k.salt) as salt
        from oracle.kept as k
        where (k.owner_id, k.default_id, k.entity_id, k.scope) = (e.owner_id, d.id, e.id, s.scope) and k.salt >= r.salt
    ) as k
    cross join lateral (
        select g.salt
        from generate_series(r.salt, r.salt + 20) as g (salt)
        where k.salt is null
            and not exists (
                select from gov_default_counts as n
                where n.assignment_id = (_gov_inherited_name(d.id, d.seed, e.owner_id, e.id, s.scope, null, g.salt)).assignment_id
                    and (n.entity_id, n.scope_entity_ids) <> (e.id, s.scope))
        union all
        select k.salt where k.salt is not null
        order by 1
        limit 1
    ) as g
    cross join lateral _gov_inherited_name(d.id, d.seed, e.owner_id, k.entity, k.scope, null, g.salt) as i
    -- the counter that a recount has drawn
    left join lateral (
        select n.counter_id
        from gov_default_counts as n
        where n.assignment_id = i.assignment_id and n.seed = d.seed and not n.retired
        limit 1
    ) as c on true
    where not exists (
            select from gov_assignments as a
            where (a.owner_id, a.entity_id, a.capability_id, a.scope_entity_ids, a.name) = (e.owner_id, e.id, d.capability_id, s.scope, d.name))
        and (d.owner_id is not null or not exists (
            select from gov_default_assignments as o
            where (o.owner_id, o.type_id, o.capability_id, o.scope_type_ids, o.name) = (e.owner_id, d.type_id, d.capability_id, d.scope_type_ids, d.name)))
$$;

-- The budgets of a call: on an unarchived entity of the resolved set, with their whole scope in the set.
create function oracle.budgets(owner text, capability text, dims jsonb, ids text[], as_if boolean default true) returns setof gov_assignments
language sql stable
as $$
    with resolved as (
        select distinct c.id
        from oracle.named(owner, dims, ids, as_if) as n, oracle.chain(owner, n.id, case when as_if then dims end) as c
    )
    select a.*
    from oracle.assignments(owner, case when as_if then dims end) as a
    where a.owner_id = owner
      and a.capability_id = capability
      and not exists (select from gov_entities as e where e.owner_id = owner and e.id = a.entity_id and e.archived_at is not null)
      and a.entity_id in (select r.id from resolved as r)
      and not exists (select from unnest(a.scope_entity_ids) as s (id) where s.id not in (select r.id from resolved as r))
$$;

-- Until when an entity of the resolved set is blocked, the one for longest; null: none is.
create function oracle.blocked_until(owner text, dims jsonb, ids text[], at timestamptz) returns timestamptz
language sql stable
as $$
    select max(coalesce(e.blocked_until, 'infinity'))
    from oracle.named(owner, dims, ids) as n, oracle.chain(owner, n.id, dims) as c
    join gov_entities as e on e.owner_id = owner and e.id = c.id
    where e.blocked_at is not null and (e.blocked_until is null or e.blocked_until > at)
$$;

-- The limit of a budget that is in force at a time. That of a pool is what was granted: here grants last for ever, so that all that was
-- ever used of it has drawn from them, or is owed.
create function oracle.limit_at(budget gov_assignments, at timestamptz) returns numeric
language sql stable
as $$
    select case when budget.is_pool then (
            select coalesce(sum(g.amount), 0) from gov_grants as g where g.assignment_id = budget.id and g.effective_at <= at)
        when budget.usage_limit is not null then greatest(0, budget.usage_limit + coalesce(sum(b.amount), 0)) end
    from gov_boosts as b
    where (b.owner_id, b.entity_id, b.capability_id, b.scope_entity_ids, b.name)
        = (budget.owner_id, budget.entity_id, budget.capability_id, budget.scope_entity_ids, budget.name)
      and b.valid_from <= at
      and coalesce(b.valid_until, 'infinity') > at
$$;

-- The first time after another at which it is so much; infinity if it never is.
create function oracle.limit_reaches(budget gov_assignments, wanted numeric, at timestamptz) returns timestamptz
language sql stable
as $$
    select coalesce(min(m.moment), 'infinity')
    from gov_boosts as b, unnest(array[b.valid_from, b.valid_until]) as m (moment)
    where (b.owner_id, b.entity_id, b.capability_id, b.scope_entity_ids, b.name)
        = (budget.owner_id, budget.entity_id, budget.capability_id, budget.scope_entity_ids, budget.name)
      and m.moment > at
      and oracle.limit_at(budget, m.moment) >= wanted
      and not budget.is_pool
    union all
    select min(g.effective_at)
    from gov_grants as g
    where g.assignment_id = budget.id
      and g.effective_at > at
      and oracle.limit_at(budget, g.effective_at) >= wanted
    order by 1
    limit 1
$$;

-- The holds that count at a time: those in the tables, and those that others have in flight. Until somebody expires a hold past its
-- time, which nobody can as long as another transaction is at its row, it is in the engine's counters. Of such holds those that
-- are "overdue" count here as well: none of them, those that are "locked", or all.
create function oracle.holds(owner text, at timestamptz, in_flight jsonb, overdue text) returns table (id uuid, amount numeric, assignment_ids uuid[])
language sql stable
as $$
    with flight as (
        select f.hold, f.amount, f.assignments, f.until
        from jsonb_to_recordset(in_flight) as f (hold uuid, amount numeric, assignments uuid[], until timestamptz)
        where f.hold is not null
    )
    -- one of several capabilities holds of each budget what it says
    select r.id, coalesce(x.amount, r.amount), array[x.id]
    from gov_reservations as r
    cross join unnest(r.assignment_ids, r.assignment_amounts) as x (id, amount)
    where r.owner_id = owner
      and r.state = 'open'
      and (overdue = 'all'
           or r.expires_at > at
           or exists (select from flight as f where f.hold = r.id and (overdue = 'locked' or f.until > at)))
    union all
    select f.hold, f.amount, f.assignments
    from flight as f
    where f.amount is not null
$$;

-- The contract's moments in JSON.
create function oracle.moment(at timestamptz) returns text
language sql stable
as $$
    select case when isfinite(at) then to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') end
$$;

create function oracle.recounted(owner text) returns table (counter_id bigint, occurred_at timestamptz, amount numeric, cadence text, anchor_at timestamptz, timezone text)
language sql stable
as $$
    select r.counter_id, e.occurred_at, e.amount, r.cadence, r.anchor_at, r.timezone
    from oracle.recounts as r
    join gov_events as e on e.owner_id = r.owner and e.capability_id = r.capability and e.id <= r.through_id and e.occurred_at >= r.since
    where r.owner = recounted.owner
      and not exists (
          select
          from jsonb_array_elements(r.sets) as s (ids)
          where not exists (select from jsonb_array_elements_text(s.ids) as i (id) where i.id = any (e.entity_ids))
      )
$$;

-- What a check answers.
create type oracle.decision as (is_granted boolean, denied_reason text, remaining numeric, retry_at timestamptz, chains jsonb);

-- What gov_check must return (with on_ungoverned at its default). No budget at all: granted, and no chains.
-- A settlement in flight takes what was held or what was used, whichever is more: the usage, and what is left of the hold. What a
-- transaction has charged to a counter that it has itself given to a budget is held from others until it ends. What is in flight on budgets
-- of an entity that others have not committed yet is theirs alone.
create function oracle.check(owner text, capability text, amount numeric, dims jsonb, ids text[], at timestamptz, in_flight jsonb default '[]', overdue text default 'locked') returns oracle.decision
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
declare
    asked numeric := round(amount, 9);
    decision oracle.decision;
    blocked_until timestamptz := oracle.blocked_until(owner, dims, ids, at);
begin
    with hold as materialized (
        select h.*
        from oracle.holds(owner, at, in_flight, overdue) as h
    ), state as materialized (
        select b as budget, b.*, oracle.limit_at(b, at) as in_force, w.window_start, w.window_end, coalesce(e.used, 0) + coalesce(r.used, 0) + coalesce(f.used, 0) as usage, coalesce(h.held, 0) - coalesce(f.covered, 0) + coalesce(o.used, 0) as held
        from oracle.budgets(owner, capability, dims, ids) as b
        cross join oracle.window_at(b.cadence, b.anchor_at, b.timezone, at) as w
        cross join lateral (
            select exists (select from gov_entities as x where x.owner_id = owner and x.id = b.entity_id) as is_there
        ) as x
        cross join lateral (
            select sum(e.amount) as used
            from gov_events as e
            where e.owner_id = owner
              and e.counter_ids @> array[b.counter_id]
              and e.occurred_at >= w.window_start
              and e.occurred_at < w.window_end
        ) as e
        cross join lateral (
            select sum(r.amount) as used
            from oracle.recounted(owner) as r
            where r.counter_id = b.counter_id
              and r.occurred_at >= w.window_start
              and r.occurred_at < w.window_end
        ) as r
        cross join lateral (
            select sum(h.amount) as held
            from hold as h
            where b.id = any (h.assignment_ids)
              and x.is_there
        ) as h
        cross join lateral (
            select sum(f.amount) as used, sum(least(f.amount, h.amount)) filter (where h.id is not null) as covered
            from jsonb_to_recordset(in_flight) as f (counter bigint, at timestamptz, amount numeric, settles uuid)
            left join hold as h on h.id = f.settles and b.id = any (h.assignment_ids)
            where f.counter = b.counter_id
              and x.is_there
              and f.at >= w.window_start
              and f.at < w.window_end
        ) as f
        cross join lateral (
            select sum(greatest(f.amount - coalesce(h.amount, 0), 0)) as used
            from jsonb_to_recordset(in_flight) as f (assignment uuid, counter bigint, is_late boolean, amount numeric, settles uuid)
            left join hold as h on h.id = f.settles and b.id = any (h.assignment_ids)
            where f.assignment = b.id
              and x.is_there
              -- counters are drawn in order; below 0 the one that a recount has drawn is in no table yet
              and case
                  when f.counter > 0 then f.counter > b.counter_id
                  else f.counter <> b.counter_id
                      and not exists (select from gov_default_counts as n where n.counter_id = f.counter)
                      and not exists (select from oracle.recounts as n where n.counter_id = f.counter)
              end
              and not f.is_late
        ) as o
    ), budget as materialized (
        select s.*,
               s.enforcement = 'soft'
                   or (s.in_force is null or s.usage + s.held + asked <= s.in_force + s.debt_limit) and (s.call_limit is null or asked <= s.call_limit) as allows,
               s.enforcement = 'hard' and coalesce(asked > s.call_limit, false) as is_too_large,
               s.enforcement = 'hard' and s.in_force is not null as limits,
               case
                   when s.enforcement = 'hard' and asked > s.call_limit then 'infinity'
                   else least(s.window_end, oracle.limit_reaches(s.budget, s.usage + s.held + asked - s.debt_limit, at))
               end as retry_at
        from state as s
    ), node as materialized (
        select n.place, c.distance, b.*
        from oracle.named(owner, dims, ids) as n, oracle.chain(owner, n.id, dims) as c
        join budget as b on b.entity_id = c.id
    ), chain as (
        select n.place,
               jsonb_agg(
                   jsonb_build_object(
                       'entityId', n.entity_id,
                       'scopeEntityIds', to_jsonb(n.scope_entity_ids),
                       'name', n.name,
                       'source', case when exists (select from gov_assignments as a where a.id = n.id) then 'own' else 'default' end,
                       'usageLimit', trim_scale(n.in_force),
                       'currentUsage', trim_scale(n.usage),
                       'reservedUsage', trim_scale(n.held),
                       'remaining', trim_scale(n.in_force - n.usage - n.held),
                       'isGranted', n.allows,
                       'isOverLimit', coalesce(n.usage > n.in_force, false),
                       'enforcement', n.enforcement,
                       'cadence', n.cadence,
                       'usagePeriodStart', oracle.moment(n.window_start),
                       'usagePeriodEnd', oracle.moment(n.window_end)
                   )
                   order by n.distance, cardinality(n.scope_entity_ids), n.scope_entity_ids, n.name
               ) as nodes
        from node as n
        group by n.place
    )
    select coalesce(bool_and(b.allows), true),
           case
               when not bool_and(b.allows) then
                   case when bool_or(b.limits and asked > b.in_force + b.debt_limit or b.is_too_large) then 'RequestedUsageExceedingLimit' else 'BudgetExceeded' end
           end,
           min(b.in_force - b.usage - b.held) filter (where b.limits),
           case when bool_and(isfinite(b.retry_at)) filter (where not b.allows) then max(b.retry_at) filter (where not b.allows) end,
           (select coalesce(jsonb_agg(c.nodes order by c.place), '[]') from chain as c)
    into decision
    from budget as b;
    if exists (select from oracle.unknown(owner, dims) as u where not u.creates) then
        decision.is_granted := false;
        decision.denied_reason := 'UnknownEntity';
        decision.retry_at := null;
    end if;
    if blocked_until is not null then
        decision.retry_at := case
            when isfinite(blocked_until) and (decision.is_granted or decision.retry_at is not null) then greatest(blocked_until, decision.retry_at)
        end;
        decision.is_granted := false;
        decision.denied_reason := 'Blocked';
    end if;
    return decision;
end
$$;

-- What a call of several capabilities is answered: as each by itself would be; of several reasons the first, and the first capability that is
-- denied for it, unless it is one that denies all.
create type oracle.decision_all as (is_granted boolean, denied_reason text, denied_capability_id text, remaining jsonb, retry_at timestamptz, chains jsonb);

create function oracle.check_all(owner text, amounts jsonb, dims jsonb, ids text[], at timestamptz, in_flight jsonb default '[]', overdue text default 'locked') returns oracle.decision_all
language sql stable
as $$
    with each as materialized (
        select a.key as capability, d.*, array_position('{Blocked,UnknownEntity,Ungoverned,RequestedUsageExceedingLimit,BudgetExceeded}', d.denied_reason) as rank
        from jsonb_each_text(amounts) as a
        cross join oracle.check(owner, a.key, a.value::numeric, dims, ids, at, in_flight, overdue) as d
    ), reason as (
        select e.denied_reason, case when e.rank > 2 then e.capability end as capability
        from each as e
        where not e.is_granted
        order by e.rank, e.capability collate "C"
        limit 1
    )
    select bool_and(e.is_granted), (select r.denied_reason from reason as r), (select r.capability from reason as r), jsonb_object_agg(e.capability, trim_scale(e.remaining)),
           case when bool_and(e.is_granted or e.retry_at is not null) then max(e.retry_at) filter (where not e.is_granted) end,
           jsonb_object_agg(e.capability, e.chains::text)
    from each as e
$$;

-- The chains of several capabilities as those of each; null if on some entity they are not in byte order, or an entity comes back.
create function oracle.chains_of_each(chains jsonb, amounts jsonb) returns jsonb
language sql stable
as $$
    with node as materialized (
        select c.place as chain, n.place, n.node - 'capabilityId' as node, n.node ->> 'capabilityId' as capability, n.node ->> 'entityId' as entity
        from jsonb_array_elements(chains) with ordinality as c (nodes, place)
        cross join jsonb_array_elements(c.nodes) with ordinality as n (node, place)
    )
    select jsonb_object_agg(a.key, (
            select coalesce(jsonb_agg(c.nodes order by c.chain), '[]')::text
            from (select n.chain, jsonb_agg(n.node order by n.place) as nodes from node as n where n.capability = a.key group by n.chain) as c))
    from jsonb_object_keys(amounts) as a (key)
    where not exists (
        select
        from node as n
        join node as o on o.chain = n.chain and o.entity = n.entity and o.place > n.place
        where o.capability collate "C" < n.capability
            or exists (select from node as b where b.chain = n.chain and b.place between n.place and o.place and b.entity <> n.entity))
$$;

create function oracle.comparable_all(decision jsonb, amounts jsonb) returns jsonb
language sql stable
return decision || jsonb_build_object('chains', oracle.chains_of_each(decision -> 'chains', amounts));

-- As oracle.answers().
-- What amounts come to, of which some are given by quantities, by the prices of a time: everybody's, each per one or per three.
create function oracle.priced(amounts jsonb, at timestamptz) returns jsonb
language sql stable
as $$
    select jsonb_object_agg(a.key, case jsonb_typeof(a.value)
        when 'object' then to_jsonb((
            -- sign * integer part of (|sum| * 10^9 + 1/2), in billionths; sums are in thirds
            select trim_scale(sign(s.thirds) * div(abs(s.thirds) * 2000000000 + 3, 6) * 0.000000001)
            from (
                select sum(q.value::numeric * p.price * 3 / p.per) as thirds
                from jsonb_each_text(a.value) as q
                cross join lateral (
                    select c.price, c.per
                    from gov_prices as c
                    where c.owner_id is null and c.capability_id = a.key and c.quantity = q.key and c.valid_from <= at
                    order by c.valid_from desc
                    limit 1) as p) as s))
        else a.value
    end)
    from jsonb_each(amounts) as a
$$;

create function oracle.answers_all(owner text, amounts jsonb, dims jsonb, ids text[], in_flight jsonb, granted boolean default false) returns jsonb[]
language plpgsql stable
as $$
declare
    shown text[] := '{remaining,chains}';
    fixed jsonb := case when granted then '{"is_granted": true, "denied_reason": null, "denied_capability_id": null, "retry_at": null}' else '{}' end;
    at timestamptz := oracle.now();
    answers jsonb[] := array[to_jsonb(oracle.check_all(owner, amounts, dims, ids, at, in_flight, 'none')) || fixed];
    answer jsonb;
begin
    if exists (select from gov_reservations as r where r.owner_id = owner and r.state = 'open' and r.expires_at <= at) then
        answers := answers || (to_jsonb(oracle.check_all(owner, amounts, dims, ids, at, in_flight, 'locked')) || fixed);
        answer := to_jsonb(oracle.check_all(owner, amounts, dims, ids, at, in_flight, 'all')) || fixed;
        if answer - shown = any (array[answers[1] - shown, answers[2] - shown]) then
            answers := answers || answer;
        end if;
    end if;
    return answers;
end
$$;

-- gov_check_all against that, as oracle.difference().
create function oracle.difference_all(owner text, amounts jsonb, dims jsonb, ids text[], in_flight jsonb default '[]') returns text
language plpgsql
as $$
declare
    expected jsonb[];
    answer jsonb;
begin
    for attempt in 1..2 loop
        expected := oracle.answers_all(owner, oracle.priced(amounts, oracle.now()), dims, ids, in_flight);
        select oracle.comparable_all(to_jsonb(c), amounts) into answer from gov_check_all(owner, amounts, dims, ids) as c;
        if answer = any (expected) then
            return null;
        end if;
    end loop;
    return format(E'gov_check_all: %s\nexpected: %s', answer, array_to_string(expected, E'\nor: '));
end
$$;

-- What an event must have been charged to: its budgets' counters, each with the window of its time.
create function oracle.charges(owner text, capability text, dims jsonb, ids text[], at timestamptz, as_if boolean default false) returns table (counter_id bigint, window_start timestamptz, window_end timestamptz)
language sql stable
as $$
    select b.counter_id, w.window_start, w.window_end
    from oracle.budgets(owner, capability, dims, ids, as_if) as b, oracle.window_at(b.cadence, b.anchor_at, b.timezone, at) as w
$$;

-- A decision as it is compared: the text of the chains counts, with the digits of its numbers.
create function oracle.comparable(decision jsonb) returns jsonb
language sql immutable
return decision || jsonb_build_object('chains', decision ->> 'chains');

-- What may be answered to a call, of which perhaps it is known that it was granted. Holds past their time may be counted as long as
-- they are locked; beyond that they may be shown, where it makes no difference to the decision.
create function oracle.answers(owner text, capability text, asked numeric, dims jsonb, ids text[], in_flight jsonb, granted boolean default false) returns jsonb[]
language plpgsql stable
as $$
declare
    shown text[] := '{remaining,chains}';
    fixed jsonb := case when granted then '{"is_granted": true, "denied_reason": null, "retry_at": null}' else '{}' end;
    at timestamptz := oracle.now();
    answers jsonb[] := array[to_jsonb(oracle.check(owner, capability, asked, dims, ids, at, in_flight, 'none')) || fixed];
    answer jsonb;
begin
    if exists (select from gov_reservations as r where r.owner_id = owner and r.state = 'open' and r.expires_at <= at) then
        answers := answers || (to_jsonb(oracle.check(owner, capability, asked, dims, ids, at, in_flight, 'locked')) || fixed);
        answer := to_jsonb(oracle.check(owner, capability, asked, dims, ids, at, in_flight, 'all')) || fixed;
        if answer - shown = any (array[answers[1] - shown, answers[2] - shown]) then
            answers := answers || answer;
        end if;
    end if;
    return array(select oracle.comparable(a) from unnest(answers) as a);
end
$$;

-- What gov_headroom says, as chains.
create function oracle.headroom(owner text, capability text, asked numeric, dims jsonb, ids text[]) returns jsonb
language plpgsql
as $$
begin
    return (select coalesce(jsonb_agg(c.nodes order by c.chain), '[]')
    from (
        select r.chain,
               jsonb_agg(jsonb_build_object(
                   'entityId', r.entity_id, 'scopeEntityIds', to_jsonb(r.scope_entity_ids), 'name', r.name,
                   'usageLimit', trim_scale(r.usage_limit), 'currentUsage', trim_scale(r.current_usage), 'reservedUsage', trim_scale(r.reserved_usage),
                   'remaining', trim_scale(r.remaining), 'isGranted', r.is_granted, 'isOverLimit', r.is_over_limit,
                   'enforcement', r.enforcement, 'cadence', r.cadence, 'source', r.source,
                   'usagePeriodStart', oracle.moment(r.usage_period_start), 'usagePeriodEnd', oracle.moment(r.usage_period_end))
                   order by r.place) as nodes
        from gov_headroom(owner, capability, asked, dims, ids) with ordinality
             as r (chain, entity_id, scope_entity_ids, name, usage_limit, current_usage, reserved_usage, remaining, is_granted, is_over_limit,
                   enforcement, cadence, usage_period_start, usage_period_end, carried, source, place)
        group by r.chain
    ) as c);
end
$$;

-- Everything the engine says about one call, held against that: null when it agrees, or the difference. A window may turn
-- between the two answers, so a difference counts when it is there twice.
create function oracle.difference(owner text, capability text, asked numeric, dims jsonb, ids text[], in_flight jsonb default '[]') returns text
language plpgsql
as $$
declare
    expected jsonb[];
    answer jsonb;
    chains text;
    found text;
begin
    for attempt in 1..2 loop
        expected := oracle.answers(owner, capability, asked, dims, ids, in_flight);
        select oracle.comparable(to_jsonb(c)) into answer from gov_check(owner, capability, asked, dims, ids) as c;
        chains := oracle.headroom(owner, capability, asked, dims, ids);
        found := concat_ws(E'\n',
            case when answer <> all (expected) then format('gov_check: %s', answer) end,
            case when to_jsonb(gov_allowed(owner, capability, asked, dims, ids)) <> all (select e -> 'is_granted' from unnest(expected) as e) then 'gov_allowed says otherwise' end,
            case when chains <> all (select e ->> 'chains' from unnest(expected) as e) then format('gov_headroom: %s', chains) end);
        if found = '' then
            return null;
        end if;
    end loop;
    return format(E'%s\nexpected: %s', found, array_to_string(expected, E'\nor: '));
end
$$;

-- The resolved set as the ledger keeps it: each entity followed by its ancestors, in order of first appearance. What the call had
-- to create is there by then.
create function oracle.resolved(owner text, dims jsonb, ids text[]) returns text[]
language plpgsql stable
set plan_cache_mode = force_generic_plan
as $$
begin
    return (
        select coalesce(array_agg(f.id order by f.first), '{}')
        from (
            select c.id, min(array[n.place, c.distance]) as first
            from oracle.named(owner, dims, ids, false) as n, oracle.chain(owner, n.id) as c
            group by c.id
        ) as f
    );
end
$$;
