-- What gov_check must answer, worked out again from the contract over the plain tables: slow, obvious, and sharing nothing
-- with the engine but the tables themselves. gov_entity_types, gov_entities and gov_assignments say what is governed,
-- gov_events what was used: a budget's usage is the sum of the events that were charged to its counter and whose window,
-- worked out here from occurred_at, is the present one.
--
-- What other transactions have in flight cannot be read from tables: a caller that knows it hands it in, as
--     [{"counter": 7, "at": "…", "amount": 5}, …]     one element per event and budget charged
-- of which only what takes headroom may be given: relief counts for others from its commit.
create schema oracle;

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

-- An entity and its ancestors, with their distance.
create function oracle.chain(owner text, entity text) returns table (distance int, id text)
language sql stable
as $$
    with recursive up (distance, id, parent_id) as (
        select 0, e.id, e.parent_id
        from gov_entities as e
        where e.owner_id = owner and e.id = entity
        union all
        select u.distance + 1, e.id, e.parent_id
        from up as u
        join gov_entities as e on e.owner_id = owner and e.id = u.parent_id
    )
    select u.distance, u.id from up as u
$$;

-- The entities a call names or resolves to, each once, at its first place: entity_ids in their order, then dimensions by key.
create function oracle.named(owner text, dims jsonb, ids text[]) returns table (place bigint, id text)
language sql stable
as $$
    with met (part, key, position, id) as (
        select 1, '', i.position, e.id
        from unnest(ids) with ordinality as i (id, position)
        join gov_entities as e on e.owner_id = owner and e.id = i.id
        union all
        select 2, d.key, 0, e.id
        from jsonb_each_text(coalesce(dims, '{}')) as d (key, value)
        join gov_entities as e on e.owner_id = owner and e.id = d.value
        join gov_entity_types as t on t.id = e.type_id and d.key = any (t.attribution_keys)
    ), first_met as (
        select distinct on (m.id) m.*
        from met as m
        order by m.id, m.part, m.key collate "C", m.position
    )
    select row_number() over (order by f.part, f.key collate "C", f.position), f.id
    from first_met as f
$$;

-- The budgets of a call: on an unarchived entity of the resolved set, with their whole scope in the set.
create function oracle.budgets(owner text, capability text, dims jsonb, ids text[]) returns setof gov_assignments
language sql stable
as $$
    with resolved as (
        select distinct c.id
        from oracle.named(owner, dims, ids) as n, oracle.chain(owner, n.id) as c
    )
    select a.*
    from gov_assignments as a
    join gov_entities as e on e.owner_id = a.owner_id and e.id = a.entity_id
    where a.owner_id = owner
      and a.capability_id = capability
      and e.archived_at is null
      and a.entity_id in (select r.id from resolved as r)
      and not exists (select from unnest(a.scope_entity_ids) as s (id) where s.id not in (select r.id from resolved as r))
$$;

-- A budget's state at a time: its window, what was used in it, what is held.
create function oracle.state(budget gov_assignments, at timestamptz, in_flight jsonb, out window_start timestamptz, out window_end timestamptz, out usage numeric, out held numeric)
language plpgsql stable
as $$
begin
    select w.window_start, w.window_end
    into window_start, window_end
    from oracle.window_at(budget.cadence, budget.anchor_at, budget.timezone, at) as w;

    select coalesce(sum(e.amount), 0)
    into usage
    from gov_events as e
    where e.owner_id = budget.owner_id
      and e.counter_ids @> array[budget.counter_id]
      and e.occurred_at >= window_start
      and e.occurred_at < window_end;

    select usage + coalesce(sum(f.amount), 0)
    into usage
    from jsonb_to_recordset(in_flight) as f (counter bigint, at timestamptz, amount numeric)
    where f.counter = budget.counter_id
      and f.at >= window_start
      and f.at < window_end;

    select coalesce(sum(r.amount), 0)
    into held
    from gov_reservations as r
    where r.owner_id = budget.owner_id
      and r.state = 'open'
      and r.expires_at > at
      and r.assignment_ids @> array[budget.id];
end
$$;

-- The contract's moments in JSON.
create function oracle.moment(at timestamptz) returns text
language sql stable
as $$
    select case when isfinite(at) then to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') end
$$;

-- What gov_check must return (with on_ungoverned at its default). No budget at all: granted, and no chains.
create function oracle.check(owner text, capability text, amount numeric, dims jsonb, ids text[], at timestamptz, in_flight jsonb default '[]',
                             out is_granted boolean, out denied_reason text, out remaining numeric, out retry_at timestamptz, out chains jsonb)
language plpgsql stable
as $$
declare
    asked numeric := round(amount, 9);
begin
    with budget as materialized (
        select b.*, s.window_start, s.window_end, s.usage, s.held,
               b.enforcement = 'soft' or b.usage_limit is null or s.usage + s.held + asked <= b.usage_limit as allows,
               b.enforcement = 'hard' and b.usage_limit is not null as limits
        from oracle.budgets(owner, capability, dims, ids) as b, oracle.state(b, at, in_flight) as s
    ), node as materialized (
        select n.place, c.distance, b.*
        from oracle.named(owner, dims, ids) as n, oracle.chain(owner, n.id) as c
        join budget as b on b.entity_id = c.id
    ), chain as (
        select n.place,
               jsonb_agg(
                   jsonb_build_object(
                       'entityId', n.entity_id,
                       'scopeEntityIds', to_jsonb(n.scope_entity_ids),
                       'name', n.name,
                       'usageLimit', trim_scale(n.usage_limit),
                       'currentUsage', trim_scale(n.usage),
                       'reservedUsage', trim_scale(n.held),
                       'remaining', trim_scale(n.usage_limit - n.usage - n.held),
                       'isGranted', n.allows,
                       'isOverLimit', coalesce(n.usage > n.usage_limit, false),
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
                   case when bool_or(b.limits and asked > b.usage_limit) then 'RequestedUsageExceedingLimit' else 'BudgetExceeded' end
           end,
           min(b.usage_limit - b.usage - b.held) filter (where b.limits),
           case when bool_and(isfinite(b.window_end)) filter (where not b.allows) then max(b.window_end) filter (where not b.allows) end,
           (select coalesce(jsonb_agg(c.nodes order by c.place), '[]') from chain as c)
    into is_granted, denied_reason, remaining, retry_at, chains
    from budget as b;
end
$$;

-- What an event must have been charged to: its budgets' counters, each with the window of its time.
create function oracle.charges(owner text, capability text, dims jsonb, ids text[], at timestamptz) returns table (counter_id bigint, window_start timestamptz, window_end timestamptz)
language sql stable
as $$
    select b.counter_id, w.window_start, w.window_end
    from oracle.budgets(owner, capability, dims, ids) as b, oracle.window_at(b.cadence, b.anchor_at, b.timezone, at) as w
$$;

-- Everything the engine says about one call, held against that: null when it agrees, or the difference. A window may turn
-- between the two answers, so a difference counts when it is there twice.
create function oracle.difference(owner text, capability text, asked numeric, dims jsonb, ids text[], in_flight jsonb default '[]') returns text
language plpgsql
as $$
declare
    found text;
begin
    for attempt in 1..2 loop
        select concat_ws(E'\n',
                   case when row (e.*) is distinct from row (o.*) then format(E'gov_check: %s\nexpected:  %s', e, o) end,
                   case when gov_allowed(owner, capability, asked, dims, ids) <> o.is_granted then format('gov_allowed: %s', not o.is_granted) end,
                   case when h.nodes is distinct from o.chains then format(E'gov_headroom: %s\nexpected:  %s', h.nodes, o.chains) end)
        into found
        from gov_check(owner, capability, asked, dims, ids) as e,
             oracle.check(owner, capability, asked, dims, ids, clock_timestamp(), in_flight) as o,
             lateral (
                 select coalesce(jsonb_agg(c.nodes order by c.chain), '[]') as nodes
                 from (
                     select r.chain,
                            jsonb_agg(jsonb_build_object(
                                'entityId', r.entity_id, 'scopeEntityIds', to_jsonb(r.scope_entity_ids), 'name', r.name,
                                'usageLimit', r.usage_limit, 'currentUsage', r.current_usage, 'reservedUsage', r.reserved_usage,
                                'remaining', r.remaining, 'isGranted', r.is_granted, 'isOverLimit', r.is_over_limit,
                                'enforcement', r.enforcement, 'cadence', r.cadence,
                                'usagePeriodStart', oracle.moment(r.usage_period_start), 'usagePeriodEnd', oracle.moment(r.usage_period_end))
                                order by r.place) as nodes
                     from gov_headroom(owner, capability, asked, dims, ids) with ordinality
                          as r (chain, entity_id, scope_entity_ids, name, usage_limit, current_usage, reserved_usage, remaining, is_granted, is_over_limit,
                                enforcement, cadence, usage_period_start, usage_period_end, place)
                     group by r.chain
                 ) as c
             ) as h;
        exit when found = '';
    end loop;
    return nullif(found, '');
end
$$;

-- The resolved set as the ledger keeps it: each entity followed by its ancestors, in order of first appearance.
create function oracle.resolved(owner text, dims jsonb, ids text[]) returns text[]
language sql stable
as $$
    select coalesce(array_agg(f.id order by f.first), '{}')
    from (
        select s.id, min(s.first) as first
        from (
            select c.id, row_number() over (order by n.place, c.distance) as first
            from oracle.named(owner, dims, ids) as n, oracle.chain(owner, n.id) as c
        ) as s
        group by s.id
    ) as f
$$;
