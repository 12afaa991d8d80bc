-- Windows that slide: what counts, when it leaves, where late uses and corrections count, and what reports say. The clock is stopped, at a time
-- that the worker, which has its own, takes for the future: it merges nothing.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql

-- Stop the clock at so many seconds after a moment.
create function helper.at(seconds numeric) returns void
language sql
as $$
    select set_config('governance.fault_clock', (extract(epoch from timestamptz '2036-03-28 00:00Z' - timestamptz '2000-01-01 00:00Z') * 1000000 + seconds * 1000000)::bigint::text, false)
$$;

-- What each report says of a budget.
create function helper.reports(owner text, entity text, capability text, out report text, out says text)
returns setof record
language sql
as $$
    select r.report, format('%s+%s/%s from %s to %s', trim_scale(r.current_usage), trim_scale(r.held), r.usage_limit,
        extract(epoch from r.start - timestamptz '2036-03-28 00:00Z')::numeric(20, 6)::double precision, coalesce(r.finish::text, 'now'))
    from (
        select 1 as n, 'chains' as report, (n.node ->> 'currentUsage')::numeric as current_usage, (n.node ->> 'reservedUsage')::numeric as held,
            (n.node ->> 'usageLimit')::numeric as usage_limit, (n.node ->> 'usagePeriodStart')::timestamptz as start, n.node ->> 'usagePeriodEnd' as finish
        from gov_check(owner, capability, 0, null, array[entity]) c
        cross join lateral jsonb_array_elements(c.chains -> 0) n (node)
        where n.node ->> 'entityId' = entity
        union all
        select 2, 'gov_headroom', h.current_usage, h.reserved_usage, h.usage_limit, h.usage_period_start, h.usage_period_end::text
        from gov_headroom(owner, capability, 0, null, array[entity]) h
        where h.entity_id = entity
        union all
        select 3, 'gov_query', (r.row ->> 'currentUsage')::numeric, (r.row ->> 'reservedUsage')::numeric, (r.row ->> 'usageLimit')::numeric,
            (r.row ->> 'usagePeriodStart')::timestamptz, r.row ->> 'usagePeriodEnd'
        from jsonb_array_elements(gov_query(owner, array[capability]) -> 'data') r (row)
        where r.row ->> 'entityId' = entity
        union all
        select 4, 'gov_budgets', b.current_usage, b.reserved_usage, b.usage_limit, b.usage_period_start, b.usage_period_end::text
        from gov_budgets b
        where b.owner_id = owner
            and b.entity_id = entity
            and b.capability_id = capability
        union all
        select 5, 'gov_tree', t.current_usage, t.reserved_usage, t.usage_limit, t.usage_period_start, t.usage_period_end::text
        from gov_tree(owner, array[capability]) t
        where t.entity_id = entity
    ) r
    order by r.n
$$;
\set ECHO all
call helper.organisation('sli');
select helper.at(0);

-- Such a budget has a cadence of weeks, days, hours, minutes or seconds, and no anchor.
select helper.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, window_kind) values ('sli', 'ann', 'tokens', 'sliding')$$);
select helper.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, cadence, window_kind) values ('sli', 'ann', 'tokens', 'P1M', 'sliding')$$);
select helper.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, cadence, window_kind) values ('sli', 'ann', 'tokens', 'P1Y', 'sliding')$$);
select helper.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, cadence, anchor_at, window_kind) values ('sli', 'ann', 'tokens', 'PT1M', now(), 'sliding')$$);
select helper.outcome($$insert into gov_default_assignments (type_id, capability_id, cadence, window_kind) values ('user', 'tokens', 'P2M', 'sliding')$$);
select helper.outcome($$insert into gov_default_assignments (type_id, capability_id, cadence, anchor_from, window_kind) values ('user', 'tokens', 'PT5H', 'created_at', 'sliding')$$);
select helper.outcome($$select gov_upsert_assignments('sli', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 10, "cadence": "P1Y", "windowKind": "sliding"}]')$$);

-- In any mix with others on one call. A minute has 64 grains of 0.9375 seconds.
select r ->> 'name' as name, r ->> 'windowKind' as window_kind, r ->> 'cadence' as cadence
from jsonb_array_elements(gov_upsert_assignments('sli', '[
    {"entityId": "ann", "capabilityId": "tokens", "usageLimit": 10, "cadence": "PT1M", "windowKind": "sliding"},
    {"entityId": "ann", "capabilityId": "tokens", "name": "week", "usageLimit": 1000, "cadence": "P1W", "windowKind": "sliding"},
    {"entityId": "ann", "capabilityId": "tokens", "name": "opened", "usageLimit": 1000, "cadence": "PT5H", "windowKind": "first_use"},
    {"entityId": "ann", "capabilityId": "tokens", "name": "calendar", "usageLimit": 1000, "cadence": "PT1M"},
    {"entityId": "eng", "capabilityId": "tokens", "usageLimit": 500, "cadence": "P1D", "windowKind": "sliding"}]')) r;

-- A use counts for a minute, and until the whole of its grain is as old.
select helper.at(0.5);
select is_granted, remaining, retry_at from gov_consume('sli', 'tokens', 6, null, '{ann}');
select * from helper.reports('sli', 'ann', 'tokens') where report <> 'gov_query' or says like '%/10 %';
select helper.at(30);
select is_granted, remaining from gov_consume('sli', 'tokens', 4, null, '{ann}');
select is_granted, denied_reason, remaining, retry_at from gov_check('sli', 'tokens', 1, null, '{ann}');
select is_granted, denied_reason, retry_at from gov_consume('sli', 'tokens', 7, null, '{ann}');
select is_granted, denied_reason, retry_at from gov_consume('sli', 'tokens', 11, null, '{ann}');
-- a tumbling minute turns at 60, and lets as much through again
select helper.at(60.5);
select is_granted, retry_at from gov_consume('sli', 'tokens', 1, null, '{ann}');
select helper.at(60.937499);
select is_granted, retry_at from gov_check('sli', 'tokens', 1, null, '{ann}');
select helper.at(60.9375);
select is_granted, remaining from gov_check('sli', 'tokens', 6, null, '{ann}');
select is_granted, retry_at from gov_check('sli', 'tokens', 7, null, '{ann}');
select name, current_usage, usage_period_start, usage_period_end from gov_headroom('sli', 'tokens', 0, null, '{ann}') order by entity_id, name;
-- nothing was used since: all has left
select helper.at(1000);
select is_granted, remaining from gov_check('sli', 'tokens', 10, null, '{ann}');
select * from helper.reports('sli', 'ann', 'tokens') where says like '%/10 %';

-- What is rolled back was never used; holds count while they are open, and what is settled counts from then on.
begin;
select is_granted, remaining from gov_consume('sli', 'tokens', 6, null, '{ann}');
savepoint a;
select is_granted, remaining from gov_consume('sli', 'tokens', 4, null, '{ann}');
rollback to a;
select is_granted, remaining from gov_check('sli', 'tokens', 4, null, '{ann}');
rollback;
select is_granted, remaining from gov_check('sli', 'tokens', 10, null, '{ann}');
select reservation_id as hold from gov_reserve('sli', 'tokens', 8, null, '{ann}', ttl => '100 years') \gset
select helper.at(2000);
select * from helper.reports('sli', 'ann', 'tokens') where says like '%/10 %';
select is_granted, retry_at from gov_check('sli', 'tokens', 3, null, '{ann}');
begin;
select gov_settle(:'hold', 9) is not null as is_settled;
select is_granted, remaining from gov_check('sli', 'tokens', 1, null, '{ann}');
select is_granted, retry_at from gov_check('sli', 'tokens', 2, null, '{ann}');
rollback;
select * from helper.reports('sli', 'ann', 'tokens') where says like '%/10 %';
select gov_settle(:'hold', 9) is not null as is_settled;
select * from helper.reports('sli', 'ann', 'tokens') where says like '%/10 %';
select helper.at(2061);
select is_granted, remaining from gov_check('sli', 'tokens', 10, null, '{ann}');

-- A late use counts in the grain of its time, if that has not left; a use of the future counts now.
select helper.at(3000);
select is_duplicate from gov_ingest('sli', 'tokens', 5, null, '{ann}', occurred_at => gov_now() - interval '30 seconds');
select is_duplicate from gov_ingest('sli', 'tokens', 50, null, '{ann}', occurred_at => gov_now() - interval '62 seconds');
select is_duplicate from gov_ingest('sli', 'tokens', 2, null, '{ann}', occurred_at => gov_now() + interval '20 seconds');
select is_granted, remaining, retry_at from gov_check('sli', 'tokens', 4, null, '{ann}');
select helper.at(3031);
select is_granted, remaining from gov_check('sli', 'tokens', 8, null, '{ann}');
select count(*) from gov_verify('sli');

-- What is given back leaves with what it is taken off: there is no room left over when that has left.
select helper.at(4000);
select is_granted from gov_consume('sli', 'tokens', 10, null, '{ann}');
select helper.at(4030);
select is_duplicate from gov_ingest('sli', 'tokens', -10, null, '{ann}');
select is_granted, remaining from gov_consume('sli', 'tokens', 10, null, '{ann}');
select helper.at(4062);
select is_granted, remaining, retry_at from gov_check('sli', 'tokens', 10, null, '{ann}');
select helper.at(4092);
select is_granted, remaining from gov_check('sli', 'tokens', 10, null, '{ann}');
-- a reversal gives back in the grain that was charged
select event_id as use from gov_consume('sli', 'tokens', 8, null, '{ann}') \gset
select helper.at(4110);
select is_granted from gov_consume('sli', 'tokens', 2, null, '{ann}');
select gov_reverse(:use, 3) is not null as is_reversed;
select is_granted, remaining, retry_at from gov_check('sli', 'tokens', 4, null, '{ann}');
select helper.at(4154);
select is_granted, remaining from gov_check('sli', 'tokens', 8, null, '{ann}');
select is_granted, remaining from gov_check('sli', 'tokens', 9, null, '{ann}');

-- The same from the tables, when it is loaded anew, and when all is rolled up.
select * from helper.reports('sli', 'ann', 'tokens') where says like '%/10 %';
select gov_refresh();
select * from helper.reports('sli', 'ann', 'tokens') where says like '%/10 %';
set governance.use_cache = off;
select * from helper.reports('sli', 'ann', 'tokens') where says like '%/10 %';
reset governance.use_cache;
call helper.roll_up();
select gov_refresh();
select * from helper.reports('sli', 'ann', 'tokens') where says like '%/10 %';
select * from gov_verify('sli');

-- A cadence of the same length keeps the count; another one, or another kind, begins afresh.
select helper.at(4160);
select is_granted, remaining from gov_consume('sli', 'tokens', 5, null, '{ann}');
update gov_assignments set cadence = 'PT60S', timezone = 'Europe/Berlin' where owner_id = 'sli' and entity_id = 'ann' and name = '';
select is_granted, remaining from gov_check('sli', 'tokens', 3, null, '{ann}');
update gov_assignments set cadence = 'PT61S' where owner_id = 'sli' and entity_id = 'ann' and name = '';
select is_granted, remaining from gov_check('sli', 'tokens', 10, null, '{ann}');
update gov_assignments set cadence = 'PT1M', window_kind = 'calendar' where owner_id = 'sli' and entity_id = 'ann' and name = '';
select is_granted, remaining from gov_consume('sli', 'tokens', 9, null, '{ann}');
update gov_assignments set window_kind = 'sliding' where owner_id = 'sli' and entity_id = 'ann' and name = '';
select is_granted, remaining from gov_check('sli', 'tokens', 10, null, '{ann}');
select helper.outcome($$select gov_recount(id) from gov_assignments where owner_id = 'sli' and entity_id = 'ann' and name = ''$$);

-- With boosts and call limits: when a boost begins, or enough has left.
select gov_boost('sli', 'ann', 'tokens', 5, gov_now() + interval '40 seconds', valid_from => gov_now() + interval '20 seconds') is not null as is_boosted;
update gov_assignments set call_limit = 12 where owner_id = 'sli' and entity_id = 'ann' and name = '';
select is_granted, remaining from gov_consume('sli', 'tokens', 10, null, '{ann}');
select is_granted, denied_reason, retry_at from gov_check('sli', 'tokens', 4, null, '{ann}');
select is_granted, denied_reason, retry_at from gov_check('sli', 'tokens', 6, null, '{ann}');
select is_granted, denied_reason, retry_at from gov_check('sli', 'tokens', 13, null, '{ann}');

-- A default gives each its own.
insert into gov_default_assignments (owner_id, type_id, capability_id, usage_limit, cadence, window_kind) values ('sli', 'user', 'calls', 3, 'PT1M', 'sliding');
select helper.at(5000);
select * from helper.reports('sli', 'ann', 'calls');
select is_granted, remaining from gov_consume('sli', 'calls', 2, null, '{ann}');
select is_granted, remaining, retry_at from gov_consume('sli', 'calls', 2, null, '{ann}');
select * from helper.reports('sli', 'ann', 'calls');
select helper.at(5030);
select is_granted, remaining from gov_consume('sli', 'calls', 1, null, '{ann}');
select gov_refresh();
select helper.at(5061);
select * from helper.reports('sli', 'ann', 'calls');
-- an assignment in its place goes on with the count
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, window_kind) values ('sli', 'ann', 'calls', 9, 'PT1M', 'sliding');
select * from helper.reports('sli', 'ann', 'calls');

-- In the transaction that makes it.
begin;
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence, window_kind) values ('sli', 'ann', 'calls', 'new', 4, 'PT1M', 'sliding');
select is_granted, remaining from gov_consume('sli', 'calls', 3, null, '{ann}');
savepoint a;
select is_granted, remaining from gov_consume('sli', 'calls', 1, null, '{ann}');
rollback to a;
select helper.at(5090);
select is_granted, remaining from gov_consume('sli', 'calls', 1, null, '{ann}');
select is_granted, remaining, retry_at from gov_check('sli', 'calls', 1, null, '{ann}');
select helper.at(5122);
select is_granted, remaining from gov_check('sli', 'calls', 3, null, '{ann}');
commit;
select name, current_usage from gov_headroom('sli', 'calls', 0, null, '{ann}') where entity_id = 'ann' order by name;
select * from gov_verify('sli');

-- What grains come to is kept by the day when they have left.
call helper.roll_up();
select helper.at(9000);
do $$ begin perform gov_maintain(); end $$;
select a.name, a.cadence, count(*), sum(u.amount), count(*) filter (where u.leaves_at > '-infinity') as counts_still
from gov_assignments a
join gov_usage u on u.counter_id = a.counter_id
where a.owner_id = 'sli'
    and a.window_kind = 'sliding'
    and a.entity_id = 'ann'
    and a.capability_id = 'calls'
group by a.name, a.cadence
order by a.name;
select * from gov_verify('sli');

-- What would budgets have denied?
select helper.at(9030);
select is_granted, remaining from gov_consume('sli', 'calls', 2, null, '{bot}');
select helper.at(9070);
select is_granted, remaining from gov_consume('sli', 'calls', 1, null, '{bot}');
select helper.at(9085);
select is_duplicate from gov_ingest('sli', 'calls', 1, null, '{bot}');
select helper.at(9100);
select name, denied_count, denied_amount
from gov_backtest('sli', '[{"entityId": "bot", "capabilityId": "calls", "name": "calendar", "usageLimit": 3, "cadence": "PT1M"},
    {"entityId": "bot", "capabilityId": "calls", "name": "slides", "usageLimit": 3, "cadence": "PT1M", "windowKind": "sliding"}]', timestamptz '2036-03-28 02:29:00Z', timestamptz '2036-03-28 03:00Z');

reset governance.fault_clock;
select gov_delete_owner('sli') is not null as is_deleted;
