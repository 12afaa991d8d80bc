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

-- A time in which nothing was used denies nothing; nor does one that ends before it begins.
select count(*), sum(denied_count), count(first_denied_at) from helper.backtest('2023-01-01Z', '2024-01-01Z');
select count(*), sum(denied_count), count(first_denied_at) from helper.backtest('2025-01-01Z', '2024-01-01Z');

-- It changes nothing.
select count(*) from gov_assignments where owner_id = 'replay';
select count(*) from gov_events where owner_id = 'replay';
select gov_delete_owner('replay');
