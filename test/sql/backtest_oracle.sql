-- gov_backtest against a replay written down as the contract words it: the ledger in the order of occurred_at and id, each use
-- allowed if every budget of its set allows it, and counted only then. Budgets that are stored with the limit that is tried have the
-- boosts that they had at the time.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('replay');

-- A year's ledger, recorded late and in no order, with corrections, several capabilities and dimensions; all of it from a fixed seed.
select setseed(0.25);
create table helper.uses as
select n,
       case when random() < 0.8 then 'tokens' else 'calls' end as capability,
       (array[0, 1, 1, 2, 3, 5, 8, 0.5, 0.000000001, 20, -1, -4])[1 + floor(random() * 12)]::numeric as amount,
       array[(array['acme', 'eng', 'ops', 'ann', 'ben', 'cyd', 'bot', 'nobody'])[1 + floor(random() * 8)]] || case when random() < 0.2 then '{ops}'::text[] else '{}' end as ids,
       case when random() < 0.4 then jsonb_build_object('model', (array['gpt', 'opus', 'other'])[1 + floor(random() * 3)]) end as dims,
       timestamptz '2024-01-01 00:00Z' + interval '1 hour' * floor(random() * 24 * 366) as at
from generate_series(1, 1500) as n;
select count(gov_ingest('replay', capability, amount, dims, ids, null, at)) from (table helper.uses order by n) as u;

create table helper.proposed (id serial primary key, entity_id text, capability_id text, scope text[] default '{}', name text default '', usage_limit numeric, cadence text,
    anchor timestamptz, timezone text default 'UTC', enforcement text default 'hard', call_limit numeric);
create table helper.boosts (budget int, amount numeric, valid_from timestamptz, valid_until timestamptz);
insert into helper.proposed (entity_id, capability_id, scope, name, usage_limit, cadence, anchor, timezone, enforcement)
values ('acme', 'tokens', '{}', '', 200, 'P1M', null, 'UTC', 'hard'),
       ('acme', 'tokens', '{}', 'year', 1500, 'P1Y', null, 'UTC', 'hard'),
       ('acme', 'tokens', '{}', 'life', 2500, null, null, 'UTC', 'hard'),
       ('acme', 'tokens', '{}', 'soft', 10, 'P1M', null, 'UTC', 'soft'),
       ('acme', 'tokens', '{}', 'counted', null, 'P1M', null, 'UTC', 'hard'),
       ('eng', 'tokens', '{gpt}', '', 9, 'P1M', '2020-01-31 10:00Z', 'America/New_York', 'hard'),
       ('eng', 'tokens', '{gpt,ops}', '', 2, 'P1W', null, 'Europe/Berlin', 'hard'),
       ('ann', 'tokens', '{}', '', 7.5, 'P1D', null, 'Asia/Kolkata', 'hard'),
       ('ann', 'tokens', '{}', 'hour', 4, 'PT1H', null, 'UTC', 'hard'),
       ('bot', 'tokens', '{}', '', 0, 'P3M', null, 'UTC', 'hard'),
       ('ops', 'tokens', '{}', '', 12, 'P1W', '2024-01-03 12:00Z', 'UTC', 'hard'),
       ('gpt', 'tokens', '{}', '', 0.000000001, 'P1D', null, 'UTC', 'hard'),
       ('opus', 'calls', '{acme}', '', 3, 'P1M', null, 'UTC', 'hard'),
       ('ben', 'calls', '{}', '', 1, 'P1M', null, 'UTC', 'hard'),
       ('cyd', 'calls', '{}', '', 1000000, 'P1M', null, 'UTC', 'hard');

create function helper.replay(from_time timestamptz, to_time timestamptz)
returns table (entity_id text, capability_id text, scope_entity_ids text[], name text, denied_count bigint, denied_amount numeric, first_denied_at timestamptz)
language plpgsql
as $$
declare
    event record;
    budget record;
    used jsonb := '{}';     -- "budget window": amount
    failing int[];
    touched text[];
begin
    create temporary table denied (budget int, amount numeric, at timestamptz) on commit drop;
    for event in select * from gov_events as e where e.owner_id = 'replay' and occurred_at >= from_time and occurred_at < to_time order by occurred_at, id loop
        failing := '{}';
        touched := '{}';
        for budget in
            select p.*, concat(p.id, ' ', w.window_start) as key
            from helper.proposed as p
            cross join lateral gov_window(p.cadence, p.anchor, p.timezone, event.occurred_at) as w
            where p.capability_id = event.capability_id and p.entity_id = any (event.entity_ids) and p.scope <@ event.entity_ids
        loop
            touched := touched || budget.key;
            if event.amount >= 0 and budget.enforcement = 'hard'
                and (event.amount > budget.call_limit
                    or coalesce((used ->> budget.key)::numeric, 0) + event.amount > case when budget.usage_limit is not null then greatest(0, budget.usage_limit + coalesce((
                        select sum(b.amount)
                        from helper.boosts as b
                        where b.budget = budget.id and b.valid_from <= event.occurred_at and (b.valid_until is null or b.valid_until > event.occurred_at)), 0)) end)
            then
                failing := failing || budget.id;
            end if;
        end loop;
        if failing = '{}' then
            used := used || coalesce((select jsonb_object_agg(key, coalesce((used ->> key)::numeric, 0) + event.amount) from unnest(touched) as key), '{}');
        else
            insert into denied select f, event.amount, event.occurred_at from unnest(failing) as f;
        end if;
    end loop;
    return query
    select p.entity_id, p.capability_id, p.scope, p.name, count(d.budget), coalesce(sum(d.amount), 0), min(d.at)
    from helper.proposed as p
    left join denied as d on d.budget = p.id
    group by p.id;
    drop table denied;
end
$$;

create function helper.backtest(from_time timestamptz, to_time timestamptz)
returns table (entity_id text, capability_id text, scope_entity_ids text[], name text, denied_count bigint, denied_amount numeric, first_denied_at timestamptz)
language sql
as $$
    select b.*
    from gov_backtest('replay', (
        select jsonb_agg(jsonb_build_object('entityId', p.entity_id, 'capabilityId', p.capability_id, 'scopeEntityIds', p.scope, 'name', p.name, 'usageLimit', p.usage_limit,
            'cadence', p.cadence, 'anchorAt', p.anchor, 'timezone', p.timezone, 'enforcement', p.enforcement, 'callLimit', p.call_limit) order by p.id desc)
        from helper.proposed as p), from_time, to_time) as b
$$;

-- Rows that one has and the other has not: none. Over the year, and over a time that begins and ends within windows.
create table helper.wanted as
select 'year' as part, r.* from helper.replay('2024-01-01Z', '2025-01-01Z') as r
union all
select 'part', r.* from helper.replay('2024-03-10 15:00Z', '2024-06-01 03:00Z') as r;
create table helper.got as
select 'year' as part, b.* from helper.backtest('2024-01-01Z', '2025-01-01Z') as b
union all
select 'part', b.* from helper.backtest('2024-03-10 15:00Z', '2024-06-01 03:00Z') as b;
(select 'wanted' as side, * from (table helper.wanted except table helper.got) as w)
union all
(select 'got', * from (table helper.got except table helper.wanted) as g);

-- There was something to deny, and what a soft budget or one without a limit says is nothing.
select count(*) as budgets, count(*) filter (where denied_count > 0) > 8 as denying, sum(denied_count) > 100 as uses from helper.wanted where part = 'year';
select name, denied_count, denied_amount, first_denied_at from helper.backtest('2024-01-01Z', '2025-01-01Z') where name in ('soft', 'counted');

-- The same budgets with call limits, stored, and each with boosts and cuts that overlap, begin with a use, and outlast the year; the
-- soft one and the one without limit, too. Then other limits are tried than those that are stored, for some.
update helper.proposed set call_limit = (array[null, 5, 8, 1])[1 + id % 4];
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit)
select 'replay', entity_id, capability_id, scope, name, usage_limit from helper.proposed;
insert into helper.boosts
select p.id, round((random() * 40 - 15)::numeric, 1), b.at, case when n % 3 > 0 then b.at + floor(random() * 2000 + 1) * interval '1 hour' end
from helper.proposed as p
cross join generate_series(1, 15) as n
cross join lateral (select timestamptz '2023-11-01Z' + floor(random() * 24 * 400 + 0 * (n + p.id)) * interval '1 hour' as at) as b
where p.usage_limit is not null;
insert into gov_boosts (owner_id, entity_id, capability_id, scope_entity_ids, name, amount, valid_from, valid_until)
select 'replay', p.entity_id, p.capability_id, p.scope, p.name, b.amount, b.valid_from, b.valid_until
from helper.boosts as b
join helper.proposed as p on p.id = b.budget;
create table helper.boosted as
select 'stored' as part, r.* from helper.replay('2024-01-01Z', '2025-01-01Z') as r
union all
select 'part', r.* from helper.replay('2024-03-10 15:00Z', '2024-06-01 03:00Z') as r;
create table helper.boosted_got as
select 'stored' as part, b.* from helper.backtest('2024-01-01Z', '2025-01-01Z') as b
union all
select 'part', b.* from helper.backtest('2024-03-10 15:00Z', '2024-06-01 03:00Z') as b;
update helper.proposed set usage_limit = usage_limit + 5 where id % 2 = 0;
delete from helper.boosts where budget % 2 = 0;
insert into helper.boosted select 'other', r.* from helper.replay('2024-01-01Z', '2025-01-01Z') as r;
insert into helper.boosted_got select 'other', b.* from helper.backtest('2024-01-01Z', '2025-01-01Z') as b;
(select 'wanted' as side, * from (table helper.boosted except table helper.boosted_got) as w)
union all
(select 'got', * from (table helper.boosted_got except table helper.boosted) as g);
-- boosts made a difference to most that have a limit
select b.part, count(*) filter (where b.denied_count <> w.denied_count) > 4 as differ
from helper.boosted as b
join helper.wanted as w on w.part = 'year' and (w.entity_id, w.capability_id, w.scope_entity_ids, w.name) = (b.entity_id, b.capability_id, b.scope_entity_ids, b.name)
group by b.part
order by b.part;
delete from gov_assignments where owner_id = 'replay';

-- Whom would a default cap? Everybody of the type who has no assignment in its place, and ids that are no entity: visitorId and guest are attribution keys
-- of the type. The others in the ledger are of other types, and untouched.
select count(*) from jsonb_array_elements(gov_upsert_entity_types('[{"id": "visitor", "attributionKeys": ["visitorId", "guest"]}]'));
select count(*) from jsonb_array_elements(gov_upsert_entities('replay', '[{"id": "vera", "typeId": "visitor"}, {"id": "vito", "typeId": "visitor"}, {"id": "vic", "typeId": "visitor"}]'));
select count(gov_ingest('replay', 'tokens', (n * 7) % 5, jsonb_build_object((array['visitorId', 'guest', 'other'])[1 + n % 3], (array['vera', 'vito', 'vic', 'zoe', 'zack', 'eng'])[1 + n % 7], 'model', (array['gpt', 'opus', 'other', null])[1 + n % 4]),
    case when n % 4 = 0 then '{eng}'::text[] end, null, timestamptz '2024-01-01 00:00Z' + n * interval '3 hours'))
from generate_series(1, 400) as n;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('replay', 'vito', 'tokens', 1);
create table helper.defaults (type_id text, capability_id text, name text, usage_limit numeric, cadence text, call_limit numeric, scope_type text);
insert into helper.defaults values ('visitor', 'tokens', '', 5, 'P1W', null, null), ('visitor', 'tokens', 'call', null, 'P1W', 3, null), ('visitor', 'calls', '', 1, null, null, null),
    ('visitor', 'tokens', '', 4, 'P1W', null, 'model');

-- each event with the ids of its dimensions of that type that are no entities
create function helper.replay_defaults() returns table (entity_id text, capability_id text, scope_entity_ids text[], name text, denied_count bigint, denied_amount numeric, first_denied_at timestamptz)
language plpgsql
as $$
declare
    event record;
    budget record;
    used jsonb := '{}';
    failing text[];
    touched text[];
begin
    create temporary table denied (key text, id text, capability text, scope text[], name text, amount numeric, at timestamptz) on commit drop;
    for event in
        select e.*, e.entity_ids || array(
            select d.value from jsonb_each_text(e.dimensions) as d
            where d.key in ('visitorId', 'guest') and not exists (select from gov_entities as n where n.owner_id = 'replay' and n.id = d.value)) as ids
        from gov_events as e where e.owner_id = 'replay' order by e.occurred_at, e.id
    loop
        failing := '{}';
        touched := '{}';
        for budget in
            select i.id, d.*, s.scope, concat_ws(' ', i.id, s.scope, d.name, d.capability_id, w.window_start) as key
            from helper.defaults as d
            cross join (select distinct unnest(event.ids)) as i (id)
            cross join lateral (
                select '{}'::text[] where d.scope_type is null
                union all
                select array[n.id] from gov_entities as n where n.owner_id = 'replay' and n.type_id = d.scope_type and n.id = any (event.entity_ids)) as s (scope)
            cross join lateral gov_window(d.cadence, null, 'UTC', event.occurred_at) as w
            where d.capability_id = event.capability_id
                and coalesce((select n.type_id from gov_entities as n where n.owner_id = 'replay' and n.id = i.id), 'visitor') = d.type_id
                and not exists (select from gov_assignments as a where a.owner_id = 'replay' and a.entity_id = i.id and a.capability_id = d.capability_id and a.name = d.name and a.scope_entity_ids = s.scope)
        loop
            touched := touched || budget.key;
            if event.amount > budget.call_limit or coalesce((used ->> budget.key)::numeric, 0) + event.amount > budget.usage_limit then
                failing := failing || budget.key;
                insert into denied values (budget.key, budget.id, budget.capability_id, budget.scope, budget.name, event.amount, event.occurred_at);
            end if;
        end loop;
        if failing = '{}' then
            used := used || coalesce((select jsonb_object_agg(key, coalesce((used ->> key)::numeric, 0) + event.amount) from unnest(touched) as key), '{}');
        end if;
    end loop;
    return query select d.id, d.capability, d.scope, d.name, count(*), sum(d.amount), min(d.at) from denied as d group by d.id, d.capability, d.scope, d.name;
    drop table denied;
end
$$;
create table helper.capped as select * from helper.replay_defaults();
create table helper.capped_got as
select entity_id, capability_id, scope_entity_ids, name, denied_count, denied_amount, first_denied_at
from gov_backtest('replay', (select jsonb_agg(jsonb_build_object('typeId', d.type_id, 'scopeTypeIds', array_remove(array[d.scope_type], null), 'capabilityId', d.capability_id, 'name', d.name, 'usageLimit', d.usage_limit, 'cadence', d.cadence,
    'callLimit', d.call_limit)) from helper.defaults as d), '-infinity', 'infinity');
(select 'wanted' as side, * from (table helper.capped except table helper.capped_got) as w)
union all
(select 'got', * from (table helper.capped_got except table helper.capped) as g);
select entity_id, scope_entity_ids, name, denied_count > 0 as denied from helper.capped_got order by entity_id, scope_entity_ids, name;
-- with an assignment in the same call; rows of assignments are there whatever they denied
select entity_id, name, denied_count > 0 as denied
from gov_backtest('replay', '[{"entityId": "vic", "capabilityId": "tokens", "usageLimit": 1000000, "cadence": null}, {"typeId": "visitor", "capabilityId": "tokens", "usageLimit": 5, "cadence": "P1W"}]', '-infinity', 'infinity');
select count(*) from gov_backtest('replay', '{"defaults": [{"typeId": "visitor", "capabilityId": "tokens", "usageLimit": 1000000, "cadence": null}]}', '-infinity', 'infinity');
select helper.outcome($$select gov_backtest('replay', '[{"typeId": "visitor", "capabilityId": "tokens", "usageLimit": 9}]', '-infinity', 'infinity')$$);
select helper.outcome($$select gov_backtest('replay', '[{"typeId": "nobody", "capabilityId": "tokens", "usageLimit": 9, "cadence": null}]', '-infinity', 'infinity')$$);
select helper.outcome($$select gov_backtest('replay', '[{"typeId": "visitor", "capabilityId": "nothing", "usageLimit": 9, "cadence": null}]', '-infinity', 'infinity')$$);
select helper.outcome($$select gov_backtest('replay', '[{"typeId": "visitor", "capabilityId": "tokens", "usageLimit": -9, "cadence": null}]', '-infinity', 'infinity')$$);
select helper.outcome($$select gov_backtest('replay', '[{"typeId": "visitor", "capabilityId": "tokens", "usageLimit": 9, "cadence": null, "timezone": "Mars"}]', '-infinity', 'infinity')$$);
select helper.outcome($$select gov_backtest('replay', '[{"typeId": "visitor", "capabilityId": "tokens", "scopeTypeIds": ["nothing"], "usageLimit": 9, "cadence": null}]', '-infinity', 'infinity')$$);
select helper.outcome($$select gov_backtest('replay', '{"defaults": []}', '-infinity', 'infinity')$$);
delete from gov_assignments where owner_id = 'replay';

-- A time in which nothing was used denies nothing; nor does one that ends before it begins.
select count(*), sum(denied_count), count(first_denied_at) from helper.backtest('2023-01-01Z', '2024-01-01Z');
select count(*), sum(denied_count), count(first_denied_at) from helper.backtest('2025-01-01Z', '2024-01-01Z');

-- It changes nothing.
select count(*) from gov_assignments where owner_id = 'replay';
select count(*) from gov_events where owner_id = 'replay';
select gov_delete_owner('replay');
