-- gov_backtest of calls of several capabilities, of uses by quantities, and of what amends a use later: by hand, and against a replay
-- written down as the contract words it.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('trycall');
insert into gov_prices (owner_id, capability_id, quantity, price, per, valid_from) values ('trycall', 'tokens', 'input', 1, 3, '2020-01-01'), ('trycall', 'tokens', 'output', 2, 1, '2020-01-01');

-- The rows as "entity:name capability count amount first".
create function helper.trial(assignments jsonb, from_time text default '-infinity', to_time text default 'infinity')
returns setof text
language sql
as $$
    select format('%s%s %s %s %s %s', entity_id, ':' || nullif(name, ''), capability_id,
        denied_count, trim_scale(denied_amount), coalesce(to_char(first_denied_at, 'MM-DD HH24:MI'), 'never'))
    from gov_backtest('trycall', assignments, from_time::timestamptz, to_time::timestamptz)
$$;
create function helper.both(tokens numeric, calls numeric, name text default '') returns jsonb
language sql
as $$
    select jsonb_build_array(
        jsonb_build_object('entityId', 'ann', 'capabilityId', 'tokens', 'usageLimit', tokens, 'cadence', null, 'name', name),
        jsonb_build_object('entityId', 'ann', 'capabilityId', 'calls', 'usageLimit', calls, 'cadence', null, 'name', name))
$$;

-- One decision: what one capability lacks denies the call, and takes nothing of the other; only what lacks room says so.
select count(gov_ingest_all('trycall', a, null, '{ann}', null, at))
from (values ('{"tokens": 10, "calls": 1}'::jsonb, timestamptz '2025-03-01'), ('{"calls": 1, "tokens": 20}', '2025-03-02'), ('{"tokens": 5, "calls": 1}', '2025-03-03')) as u (a, at);
select helper.trial(helper.both(15, 9));
select helper.trial(helper.both(99, 2));
select helper.trial(helper.both(35, 3));
-- both lack room
select helper.trial(helper.both(9, 0));
-- of the capabilities that budgets are proposed for
select helper.trial(helper.both(15, 2) - 1);
select helper.trial(helper.both(15, 2) - 0);
-- a part of the ledger; uses of one capability between them
select count(gov_ingest('trycall', 'calls', 1, null, '{ann}', null, '2025-03-02'));
select helper.trial(helper.both(15, 2));
select helper.trial(helper.both(15, 2), '2025-03-02', '2025-03-03');

-- A correction that is a part of a call goes with it.
select count(gov_ingest_all('trycall', '{"tokens": 30, "calls": -2}', null, '{ann}', null, '2025-04-01'));
select count(gov_ingest_all('trycall', '{"tokens": 1, "calls": 3}', null, '{ann}', null, '2025-04-02'));
select helper.trial(helper.both(40, 1), '2025-04-01');
select helper.trial(helper.both(29, 1), '2025-04-01');
select helper.trial(helper.both(29, 3), '2025-04-01');

-- What is given back of a call comes right after it, and is nothing if that was denied, for whichever of its capabilities.
select event_ids ->> 'tokens' as event from gov_ingest_all('trycall', '{"tokens": 10, "calls": 1}', null, '{ann}', null, '2025-05-01') \gset
select count(gov_ingest('trycall', 'tokens', 6, null, '{ann}', null, '2025-05-01'));
select event_id from gov_reverse(:event, 4) \gset
select helper.trial(helper.both(12, 1), '2025-05-01');
select helper.trial(helper.both(11, 1), '2025-05-01');
select helper.trial(helper.both(12, 0), '2025-05-01');
select helper.trial(helper.both(6, 0), '2025-05-01');

-- Quantities are tried with what they were charged; what gov_reprice has corrected comes right after the use, and is not judged.
select event_ids ->> 'tokens' as event from gov_ingest_all('trycall', '{"tokens": {"input": 10, "output": 2}, "calls": 1}', null, '{ann}', null, '2025-06-01') \gset
select amount, quantities from gov_events where id = :event;
select count(gov_ingest('trycall', 'tokens', 2, null, '{ann}', null, '2025-06-01'));
select helper.trial(helper.both(9.333333333, 1), '2025-06-01');
select helper.trial(helper.both(9.333333332, 1), '2025-06-01');
update gov_prices set price = price * 2 where owner_id = 'trycall' and quantity = 'output';
select sum(difference), count(i.event_id)
from gov_reprice('trycall', 'tokens', '2025-06-01', 'infinity') as r, gov_ingest('trycall', 'tokens', difference, dimensions, entity_ids, r.idempotency_key, r.occurred_at) as i
where difference <> 0;
select helper.trial(helper.both(13.333333333, 1), '2025-06-01');
select helper.trial(helper.both(13.333333332, 1), '2025-06-01');
-- of a use that was denied it is nothing
select helper.trial(helper.both(7.333333332, 1), '2025-06-01');
select helper.trial(helper.both(7.333333332, 0), '2025-06-01');
select helper.trial(helper.both(1.999999999, 0), '2025-06-01');
-- nor is what was given back of the correction
select count(gov_reverse(e.id, 1)) from gov_events as e where e.idempotency_key = 'gov_reprice/' || :event || '/1';
select helper.trial(helper.both(12.333333333, 1), '2025-06-01');
select helper.trial(helper.both(12.333333332, 1), '2025-06-01');
select helper.trial(helper.both(2, 0), '2025-06-01');
select helper.trial(helper.both(1.999999999, 0), '2025-06-01');
-- a key that only looks like one is a key
select count(gov_ingest('trycall', 'tokens', 5, null, '{ben}', key, '2025-07-01')) from unnest('{gov_reprice/, gov_reprice/x/1, gov_reprice/99999999999999999999/1, gov_reprice/1}'::text[]) as key;
select helper.trial('[{"entityId": "ben", "capabilityId": "tokens", "usageLimit": 15, "cadence": null}]', '2025-07-01');
-- where the use names none of the entities that are asked about, its correction counts: moved meanwhile, it is charged to others
select event_ids ->> 'tokens' as event from gov_ingest_all('trycall', '{"tokens": {"output": 2}, "calls": 1}', null, '{cyd}', null, '2025-07-02') \gset
update gov_prices set price = 6 where owner_id = 'trycall' and quantity = 'output';
update gov_entities set parent_id = 'eng' where owner_id = 'trycall' and id = 'cyd';
select sum(difference), count(i.event_id)
from gov_reprice('trycall', 'tokens', '2025-07-02', 'infinity') as r, gov_ingest('trycall', 'tokens', difference, dimensions, entity_ids, r.idempotency_key, r.occurred_at) as i
where difference <> 0;
select entity_ids from gov_events where owner_id = 'trycall' and occurred_at = '2025-07-02' order by id;
select count(gov_ingest('trycall', 'tokens', 10, null, '{eng}', null, '2025-07-03'));
select helper.trial('[{"entityId": "eng", "capabilityId": "tokens", "usageLimit": 13, "cadence": null}]', '2025-07-01 12:00');
select helper.trial('[{"entityId": "eng", "capabilityId": "tokens", "usageLimit": 13, "cadence": null}, {"entityId": "ops", "capabilityId": "calls", "usageLimit": 9, "cadence": null},
    {"entityId": "ann", "capabilityId": "calls", "usageLimit": 9, "cadence": null}, {"entityId": "ben", "capabilityId": "calls", "usageLimit": 9, "cadence": null},
    {"entityId": "bot", "capabilityId": "calls", "usageLimit": 9, "cadence": null}, {"entityId": "acme", "capabilityId": "calls", "usageLimit": 9, "cadence": null}]', '2025-07-01 12:00');
select gov_delete_owner('trycall');

-- A random year: calls of one and of several capabilities, by amounts and by quantities, recorded in no order, given back in part, and corrected.
call helper.organisation('trycall');
insert into gov_prices (owner_id, capability_id, quantity, price, per, valid_from) values ('trycall', 'tokens', 'input', 1, 3, '2020-01-01'), ('trycall', 'tokens', 'output', 2, 1, '2020-01-01');
select setseed(0.375);
create table helper.uses as
select n, amounts, ids, at
from (
    select n,
           jsonb_strip_nulls(jsonb_build_object(
               'tokens', case when random() < 0.3 then jsonb_build_object('input', floor(random() * 9), 'output', floor(random() * 3)) when random() < 0.9 then to_jsonb((array[0, 1, 2, 5, -2])[1 + floor(random() * 5)]) end,
               'calls', case when random() < 0.8 then (array[0, 1, 1, 2, -1])[1 + floor(random() * 5)] end)) as amounts,
           array[(array['acme', 'eng', 'ops', 'ann', 'ben', 'cyd', 'bot', 'nobody'])[1 + floor(random() * 8)]] || case when random() < 0.2 then '{ops}'::text[] else '{}' end as ids,
           timestamptz '2024-01-01 00:00Z' + interval '1 hour' * floor(random() * 24 * 60) as at
    from generate_series(1, 600) as n) as u
where amounts <> '{}';
select count(gov_ingest_all('trycall', amounts, null, ids, null, at)) > 500 as are_many from (table helper.uses order by n) as u;
select count(gov_reverse(id, amount / 2)) > 50 as are_given_back from gov_events where owner_id = 'trycall' and amount > 0 and id % 5 = 0;
update gov_prices set price = 1.25 where owner_id = 'trycall' and quantity = 'output';
select count(i.event_id) > 50 as are_corrected
from gov_reprice('trycall', 'tokens', '-infinity', '2024-02-01') as r, gov_ingest('trycall', 'tokens', difference, dimensions, entity_ids, r.idempotency_key, r.occurred_at) as i
where difference <> 0;
update gov_prices set price = 3 where owner_id = 'trycall' and quantity = 'output';
select count(i.event_id) > 50 as are_corrected_up
from gov_reprice('trycall', 'tokens', '2024-01-15', 'infinity') as r, gov_ingest('trycall', 'tokens', difference, dimensions, entity_ids, r.idempotency_key, r.occurred_at) as i
where difference <> 0;
select count(gov_reverse(id, amount / 4)) > 5 as are_taken_back from gov_events where owner_id = 'trycall' and amount > 0 and idempotency_key like 'gov_reprice/%' and id % 3 = 0;

create table helper.proposed (id serial primary key, entity_id text, capability_id text, scope text[] default '{}', usage_limit numeric, cadence text, call_limit numeric, window_kind text default 'calendar');
insert into helper.proposed (entity_id, capability_id, scope, usage_limit, cadence, call_limit, window_kind)
values ('acme', 'tokens', '{}', 60, 'P1W', null, 'calendar'),
       ('acme', 'calls', '{}', 20, 'P1W', null, 'calendar'),
       ('eng', 'tokens', '{}', 200, 'P1M', 6, 'calendar'),
       ('eng', 'calls', '{ops}', 3, 'P1W', null, 'calendar'),
       ('ann', 'tokens', '{}', 9, 'P1D', null, 'first_use'),
       ('ann', 'calls', '{}', 2, 'P1D', null, 'calendar'),
       ('ops', 'calls', '{}', 60, null, 1, 'calendar'),
       ('bot', 'tokens', '{}', 5.333333333, 'P1W', null, 'first_use');

-- What belongs to which call: its uses, and then what amends these.
create function helper.uses_of(from_time timestamptz, to_time timestamptz)
returns table (at timestamptz, call bigint, is_amendment boolean, ids bigint[])
language sql
as $$
    with event as (
        select e.*, coalesce(
            (select split_part(c.idempotency_key, '/', 2)::bigint from gov_events as c where c.id = coalesce(e.reverses, e.id) and c.idempotency_key like 'gov_reprice/%'),
            e.reverses) as amends
        from gov_events as e
        where e.owner_id = 'trycall' and e.occurred_at >= from_time and e.occurred_at < to_time
    )
    select e.occurred_at, coalesce(u.call_event_ids[1], u.id), e.amends is not null, array_agg(e.id)
    from event as e
    join gov_events as u on u.id = coalesce(e.amends, e.id)
    group by 1, 2, 3, case when e.amends is not null then e.id end
    order by 1, 2, 3, min(e.id)
$$;

create function helper.replay(from_time timestamptz, to_time timestamptz)
returns table (entity_id text, capability_id text, scope_entity_ids text[], denied_count bigint, denied_amount numeric, first_denied_at timestamptz)
language plpgsql
as $$
declare
    part record;
    budget record;
    used jsonb := '{}';     -- budget: amount
    ends jsonb := '{}';     -- budget: when its window ends
    granted bigint;         -- the last call that was
    failing int[];
    wanted jsonb;
begin
    create temporary table denied (budget int, amount numeric, at timestamptz) on commit drop;
    for part in select * from helper.uses_of(from_time, to_time) loop
        failing := '{}';
        wanted := '{}';
        continue when part.is_amendment and part.call is distinct from granted;
        for budget in
            select p.*, p.id::text as key, sum(e.amount) as amount
            from gov_events as e
            join helper.proposed as p on p.capability_id = e.capability_id and p.entity_id = any (e.entity_ids) and p.scope <@ e.entity_ids
            where e.id = any (part.ids)
            group by p.id
        loop
            if (ends ->> budget.key)::timestamptz <= part.at then
                used := used - budget.key;
                ends := ends - budget.key;
            end if;
            if budget.window_kind = 'calendar' and not ends ? budget.key then
                ends := ends || jsonb_build_object(budget.key, (gov_window(budget.cadence, null, 'UTC', part.at)).window_end);
            end if;
            wanted := wanted || jsonb_build_object(budget.key, budget.amount);
            if not part.is_amendment and budget.amount >= 0
                and (budget.amount > budget.call_limit or coalesce((used ->> budget.key)::numeric, 0) + budget.amount > budget.usage_limit)
            then
                failing := failing || budget.id;
                insert into denied values (budget.id, budget.amount, part.at);
            end if;
        end loop;
        if not part.is_amendment then
            granted := case when failing = '{}' then part.call end;
        end if;
        continue when failing <> '{}';
        for budget in select w.key, w.value::numeric as amount, p.cadence from jsonb_each_text(wanted) as w join helper.proposed as p on p.id::text = w.key loop
            if not ends ? budget.key then
                -- a correction opens no window
                continue when budget.amount <= 0;
                ends := ends || jsonb_build_object(budget.key, (part.at at time zone 'UTC' + budget.cadence::interval) at time zone 'UTC');
            end if;
            used := used || jsonb_build_object(budget.key, coalesce((used ->> budget.key)::numeric, 0) + budget.amount);
        end loop;
    end loop;
    return query
    select p.entity_id, p.capability_id, p.scope, count(d.budget), coalesce(sum(d.amount), 0), min(d.at)
    from helper.proposed as p
    left join denied as d on d.budget = p.id
    group by p.id;
    drop table denied;
end
$$;

-- Rows that one has and the other has not: none.
create table helper.wanted as
select 'all' as part, r.* from helper.replay('2024-01-01Z', '2025-01-01Z') as r
union all
select 'part', r.* from helper.replay('2024-01-10 15:00Z', '2024-02-01 03:00Z') as r;
create table helper.got as
select t.part, b.entity_id, b.capability_id, b.scope_entity_ids, b.denied_count, b.denied_amount, b.first_denied_at
from (values ('all', '2024-01-01Z'::timestamptz, '2025-01-01Z'::timestamptz), ('part', '2024-01-10 15:00Z', '2024-02-01 03:00Z')) as t (part, from_time, to_time)
cross join lateral gov_backtest('trycall', (
    select jsonb_agg(jsonb_build_object('entityId', p.entity_id, 'capabilityId', p.capability_id, 'scopeEntityIds', p.scope, 'usageLimit', p.usage_limit, 'cadence', p.cadence,
        'callLimit', p.call_limit, 'windowKind', p.window_kind))
    from helper.proposed as p), t.from_time, t.to_time) as b;
(select 'wanted' as side, * from (table helper.wanted except table helper.got) as w)
union all
(select 'got', * from (table helper.got except table helper.wanted) as g);
select count(*) filter (where denied_count > 0) as denying, sum(denied_count) > 100 as are_many from helper.wanted where part = 'all';
select gov_delete_owner('trycall');
