-- Windows that begin with a first use: who opens one, who shares it, where late uses count, and what reports say.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql

-- The windows that an entity's budgets have been charged in, from the ledger and the rollup alike: when they began and ended as
-- hours from a moment on, and what they come to.
create function helper.windows(owner text, moment timestamptz, out name text, out windows text)
returns setof record
language sql
as $$
    select a.name, string_agg(format('[%s, %s) %s', round(extract(epoch from w.window_start - moment) / 3600, 3), round(extract(epoch from w.window_end - moment) / 3600, 3),
        trim_scale(w.amount)), ' ' order by w.window_start)
    from gov_assignments a
    cross join lateral
    (
        select x.window_start, max(x.window_end) as window_end, sum(x.amount) as amount
        from (
            select u.window_start, u.window_end, u.amount
            from gov_usage u
            where u.counter_id = a.counter_id
            union all
            select t.window_start, t.window_end, e.amount
            from gov_events e
            cross join lateral unnest(e.counter_ids, e.window_starts, e.window_ends) as t (counter_id, window_start, window_end)
            where t.counter_id = a.counter_id
                and e.id > (select coalesce(max(r.watermark), 0) from gov_rollup_state r)
        ) x
        group by x.window_start
    ) w
    where a.owner_id = owner
        and a.entity_id = 'ann'
        and a.window_kind = 'first_use'
    group by a.name
    order by a.name
$$;

-- Does a report show the same window and usage as the chains?  What each says.
create function helper.reports(owner text, entity text, capability text, out report text, out says text)
returns setof record
language sql
as $$
    select r.report, format('%s/%s %s', trim_scale(r.current_usage), r.usage_limit,
        case when r.start is null then 'no window' else (extract(epoch from r.finish - r.start) / 3600)::int || ' hours' end)
    from (
        select 1 as n, 'chains' as report, (n.node ->> 'currentUsage')::numeric as current_usage, (n.node ->> 'usageLimit')::numeric as usage_limit,
            (n.node ->> 'usagePeriodStart')::timestamptz as start, (n.node ->> 'usagePeriodEnd')::timestamptz as finish
        from gov_check(owner, capability, 0, null, array[entity]) c
        cross join lateral jsonb_array_elements(c.chains -> 0) n (node)
        where n.node ->> 'entityId' = entity
        union all
        select 2, 'gov_headroom', h.current_usage, h.usage_limit, h.usage_period_start, h.usage_period_end
        from gov_headroom(owner, capability, 0, null, array[entity]) h
        where h.entity_id = entity
        union all
        select 3, 'gov_query', (r.row ->> 'currentUsage')::numeric, (r.row ->> 'usageLimit')::numeric, (r.row ->> 'usagePeriodStart')::timestamptz,
            (r.row ->> 'usagePeriodEnd')::timestamptz
        from jsonb_array_elements(gov_query(owner, array[capability]) -> 'data') r (row)
        where r.row ->> 'entityId' = entity
        union all
        select 4, 'gov_budgets', b.current_usage, b.usage_limit, b.usage_period_start, b.usage_period_end
        from gov_budgets b
        where b.owner_id = owner
            and b.entity_id = entity
            and b.capability_id = capability
        union all
        select 5, 'gov_tree', t.current_usage, t.usage_limit, t.usage_period_start, t.usage_period_end
        from gov_tree(owner, array[capability]) t
        where t.entity_id = entity
    ) r
    order by r.n
$$;
\set ECHO all
call helper.organisation('win');

-- Such a budget has a cadence and no anchor.
select helper.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, window_kind) values ('win', 'ann', 'tokens', 'first_use')$$);
select helper.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, cadence, anchor_at, window_kind) values ('win', 'ann', 'tokens', 'PT5H', now(), 'first_use')$$);
select helper.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, cadence, window_kind) values ('win', 'ann', 'tokens', 'PT5H', 'often')$$);
select helper.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, cadence, window_kind) values ('win', 'ann', 'tokens', 'PT5H', null)$$);
select helper.outcome($$insert into gov_default_assignments (type_id, capability_id, cadence, anchor_from, window_kind) values ('user', 'tokens', 'PT5H', 'created_at', 'first_use')$$);
select helper.outcome($$select gov_upsert_assignments('win', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 10, "cadence": null, "windowKind": "first_use"}]')$$);
select helper.outcome($$select gov_upsert_assignments('win', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 10, "cadence": "PT5H", "windowKind": 5}]')$$);
select helper.outcome($$select gov_upsert_default_assignments('win', '[{"typeId": "user", "capabilityId": "tokens", "usageLimit": 10, "cadence": "PT5H", "windowKind": "often"}]')$$);

-- In any mix with others on one call.
select r ->> 'windowKind' as window_kind, r ->> 'cadence' as cadence
from jsonb_array_elements(gov_upsert_assignments('win', '[
    {"entityId": "ann", "capabilityId": "tokens", "usageLimit": 10, "cadence": "PT5H", "windowKind": "first_use"},
    {"entityId": "ann", "capabilityId": "tokens", "name": "century", "usageLimit": 100, "cadence": "P100Y"},
    {"entityId": "ann", "capabilityId": "tokens", "name": "ever", "usageLimit": 100, "cadence": null},
    {"entityId": "eng", "capabilityId": "tokens", "usageLimit": 50, "cadence": "P1D", "windowKind": "first_use"}]')) r;
-- what an item leaves out stays
select r ->> 'windowKind' as window_kind, r ->> 'usageLimit' as usage_limit
from jsonb_array_elements(gov_upsert_assignments('win', '[{"entityId": "eng", "capabilityId": "tokens", "usageLimit": 60}]')) r;

-- Nobody has used anything: there is no window. Neither a check nor a hold, a use of nothing, a correction or a denial opens one.
select * from helper.reports('win', 'eng', 'tokens');
select is_granted, remaining from gov_check('win', 'tokens', 3, null, '{ann}');
select reservation_id as hold from gov_reserve('win', 'tokens', 4, null, '{ann}') \gset
select is_granted from gov_consume('win', 'tokens', 0, null, '{ann}');
select is_duplicate from gov_ingest('win', 'tokens', -2, null, '{ann}');
select is_granted, denied_reason, retry_at from gov_consume('win', 'tokens', 7, null, '{ann}');
select is_granted, denied_reason, retry_at from gov_consume('win', 'tokens', 11, null, '{ann}');
select helper.usage('win', 'tokens', '{ann}');
select cardinality(counter_ids) as charged, amount from gov_events where owner_id = 'win' order by id;

-- The first use does, and it is as long as the cadence says.
begin;
select is_granted, remaining, helper.show(chains) from gov_consume('win', 'tokens', 6, null, '{ann}');
select h.entity_id, h.name, h.usage_period_start = now() or h.usage_period_start between now() and clock_timestamp() as begins_now,
    h.usage_period_end - h.usage_period_start as length
from gov_headroom('win', 'tokens', 0, null, '{ann}') h
where h.name = '';
-- rolled back, it never was
rollback;
select h.entity_id, h.name, h.usage_period_start, h.usage_period_end from gov_headroom('win', 'tokens', 0, null, '{ann}') h where h.name = '';
begin;
savepoint a;
select is_granted from gov_consume('win', 'tokens', 1, null, '{ann}');
rollback to a;
select pg_sleep(0.002);
select event_id as first from gov_consume('win', 'tokens', 2, null, '{ann}') \gset
commit;
select occurred_at as opened from gov_events where id = :first \gset
select count(*) from gov_headroom('win', 'tokens', 0, null, '{ann}') h where h.name = '' and h.usage_period_start = :'opened';
-- later uses share it: a correction, a settlement, and what is late but not before it
select event_id from gov_ingest('win', 'tokens', -1, null, '{ann}') \gset
select is_duplicate from gov_settle(:'hold', 3);
select event_id from gov_ingest('win', 'tokens', 1, null, '{ann}', occurred_at => :'opened') \gset
select helper.usage('win', 'tokens', '{ann}');
select * from helper.windows('win', :'opened');
select * from helper.reports('win', 'ann', 'tokens') where says not like '%/100%';
select * from helper.reports('win', 'eng', 'tokens');
-- the denial says when it ends
select is_granted, denied_reason, remaining, retry_at = :'opened'::timestamptz + interval '5 hours' as when_it_ends from gov_consume('win', 'tokens', 8, null, '{ann}');

-- The same windows from the tables, and when it is loaded anew, rolled up or not.
select gov_refresh() \gset
select helper.usage('win', 'tokens', '{ann}');
call helper.roll_up();
select gov_refresh() \gset
select helper.usage('win', 'tokens', '{ann}');
select * from helper.reports('win', 'ann', 'tokens') where says not like '%/100%';
set governance.use_cache = off;
select helper.usage('win', 'tokens', '{ann}');
select * from helper.reports('win', 'eng', 'tokens');
reset governance.use_cache;
select * from gov_verify('win');

-- Late uses: outside every window each gets one, which ends where the next one begins; inside one they share it.
select :'opened'::timestamptz - interval '1 hour' as before \gset
select event_id from gov_ingest('win', 'tokens', 20, null, '{ann}', occurred_at => :'before') \gset
select event_id from gov_ingest('win', 'tokens', 30, null, '{ann}', occurred_at => :'before'::timestamptz + interval '30 minutes') \gset
select event_id from gov_ingest('win', 'tokens', 40, null, '{ann}', occurred_at => :'before'::timestamptz - interval '16 hours') \gset
select event_id from gov_ingest('win', 'tokens', 1, null, '{ann}', occurred_at => :'before'::timestamptz - interval '18 hours') \gset
select event_id from gov_ingest('win', 'tokens', 2, null, '{ann}', occurred_at => :'before'::timestamptz - interval '12 hours') \gset
select * from helper.windows('win', :'opened') where name = '';
call helper.roll_up();
select event_id from gov_ingest('win', 'tokens', 3, null, '{ann}', occurred_at => :'before'::timestamptz - interval '12 hours') \gset
select event_id from gov_ingest('win', 'tokens', 4, null, '{ann}', occurred_at => :'before'::timestamptz - interval '10 hours') \gset
select * from helper.windows('win', :'opened') where name = '';
-- also those that one call brings along
select position, error from gov_ingest_many('win', (
    select jsonb_agg(jsonb_build_object('capabilityId', 'tokens', 'amount', n, 'entityIds', array['ann'], 'occurredAt', :'before'::timestamptz - interval '28 hours' + n * interval '1 hour') order by n)
    from generate_series(1, 7) n)) order by 1;
select * from helper.windows('win', :'opened') where name = '';
-- the present one has not changed, and a reversal goes where its event went
select helper.usage('win', 'tokens', '{ann}');
select amount, is_duplicate from gov_reverse(:first), lateral (select e.amount from gov_events e where e.id = event_id) x;
select helper.usage('win', 'tokens', '{ann}');
select * from gov_verify('win');

-- A use that is late by less than the window is long opens it, if there is none.
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, window_kind) values ('win', 'ops', 'tokens', 10, 'PT5H', 'first_use');
select clock_timestamp() - interval '2 hours' as late \gset
select event_id from gov_ingest('win', 'tokens', 3, null, '{cyd}', occurred_at => :'late') \gset
select usage_period_start = :'late', usage_period_end = :'late'::timestamptz + interval '5 hours', current_usage from gov_headroom('win', 'tokens', 0, null, '{ops}');
select is_granted, remaining from gov_consume('win', 'tokens', 4, null, '{ops}');
select event_id from gov_ingest('win', 'tokens', 1, null, '{cyd}', occurred_at => :'late'::timestamptz - interval '1 hour') \gset
-- a correction of then does not
select event_id from gov_ingest('win', 'tokens', -1, null, '{cyd}', occurred_at => :'late'::timestamptz - interval '30 hours') \gset
select gov_refresh() \gset
select usage_period_start = :'late', current_usage from gov_headroom('win', 'tokens', 0, null, '{ops}');

-- A window ends, and the next use begins another one; what is held counts in both.
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, window_kind) values ('win', 'ben', 'calls', 10, 'PT1S', 'first_use');
select is_granted, remaining from gov_consume('win', 'calls', 6, null, '{ben}');
select is_granted from gov_reserve('win', 'calls', 3, null, '{ben}');
select pg_sleep(1.1);
select helper.usage('win', 'calls', '{ben}');
select * from helper.reports('win', 'ben', 'calls');
select is_granted, remaining from gov_consume('win', 'calls', 7, null, '{ben}');
select helper.usage('win', 'calls', '{ben}');
select count(distinct s.start) from gov_events e cross join lateral unnest(e.window_starts) s (start) where e.owner_id = 'win' and e.capability_id = 'calls';

-- Another kind, cadence or time zone starts it afresh; another limit does not.
update gov_assignments set usage_limit = 20 where owner_id = 'win' and entity_id = 'ops';
select helper.usage('win', 'tokens', '{ops}');
update gov_assignments set cadence = 'PT6H' where owner_id = 'win' and entity_id = 'ops';
select helper.usage('win', 'tokens', '{ops}');
select is_granted from gov_consume('win', 'tokens', 5, null, '{ops}');
update gov_assignments set window_kind = 'calendar', cadence = 'P100Y' where owner_id = 'win' and entity_id = 'ops';
select helper.usage('win', 'tokens', '{ops}');
select is_granted from gov_consume('win', 'tokens', 5, null, '{ops}');
update gov_assignments set window_kind = 'first_use', cadence = 'P1M' where owner_id = 'win' and entity_id = 'ops';
select helper.usage('win', 'tokens', '{ops}');
begin;
update gov_assignments set timezone = 'Europe/Berlin' where owner_id = 'win' and entity_id = 'ops';
select is_granted, helper.show(chains) from gov_consume('win', 'tokens', 5, null, '{ops}');
select is_granted, helper.show(chains) from gov_consume('win', 'tokens', 2, null, '{ops}');
select usage_period_start between now() and clock_timestamp(), usage_period_start at time zone 'Europe/Berlin' + interval '1 month' = usage_period_end at time zone 'Europe/Berlin' from gov_headroom('win', 'tokens', 0, null, '{ops}');
update gov_assignments set usage_limit = 21 where owner_id = 'win' and entity_id = 'ops';
select helper.usage('win', 'tokens', '{ops}');
commit;
select helper.usage('win', 'tokens', '{ops}');
select * from gov_verify('win');

-- By a default, and an assignment in its place, which goes on with the window.
select r ->> 'windowKind' as window_kind from jsonb_array_elements(gov_upsert_default_assignments('win', '[{"typeId": "agent", "capabilityId": "calls", "usageLimit": 4, "cadence": "PT5H", "windowKind": "first_use"}]')) r;
select * from helper.reports('win', 'bot', 'calls');
select is_granted, helper.show(chains) from gov_consume('win', 'calls', 3, null, '{bot}');
select * from helper.reports('win', 'bot', 'calls');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, window_kind) values ('win', 'bot', 'calls', 9, 'PT5H', 'first_use');
select * from helper.reports('win', 'bot', 'calls');
delete from gov_assignments where owner_id = 'win' and entity_id = 'bot';
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('win', 'bot', 'calls', 9, 'PT5H');
select current_usage from gov_headroom('win', 'calls', 0, null, '{bot}');
delete from gov_assignments where owner_id = 'win' and entity_id = 'bot';
begin;
update gov_default_assignments set window_kind = 'calendar', cadence = null where owner_id = 'win';
select helper.usage('win', 'calls', '{bot}');
rollback;
select helper.usage('win', 'calls', '{bot}');

-- Alerts: once in a window.
-- (what was used before is rolled up, and raises none)
call helper.roll_up();
update gov_assignments set alert_thresholds = '{50, 100}' where owner_id = 'win' and entity_id = 'ben';
select pg_sleep(1.1);
select count(*) as both from generate_series(1, 2) n, lateral gov_ingest('win', 'calls', n * 0 + 5, null, '{ben}') \gset
select pg_sleep(1.1);
select event_id from gov_ingest('win', 'calls', 5, null, '{ben}') \gset
select threshold, count(*), count(distinct window_start) as windows from gov_alerts l join gov_assignments a on a.id = l.assignment_id where a.owner_id = 'win' group by 1 order by 1;

-- A late correction outside every window opens none either, and is charged to none: what comes after it opens its own.
insert into gov_entities (owner_id, id, type_id) values ('win-late', 'zoe', 'user');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, window_kind) values ('win-late', 'zoe', 'tokens', 10, 'PT1H', 'first_use');
select now() as now \gset
select event_id from gov_ingest('win-late', 'tokens', -1, null, '{zoe}', occurred_at => :'now'::timestamptz - interval '65 minutes') \gset
select event_id from gov_ingest('win-late', 'tokens', 9, null, '{zoe}', occurred_at => :'now'::timestamptz - interval '10 minutes') \gset
select amount, cardinality(counter_ids) as charged from gov_events where owner_id = 'win-late' order by id;
select current_usage, usage_period_start = :'now'::timestamptz - interval '10 minutes' as begins_with_the_use from gov_headroom('win-late', 'tokens', 0, null, '{zoe}');
-- one that falls into a window that is over is charged to that
select event_id from gov_ingest('win-late', 'tokens', 4, null, '{zoe}', occurred_at => :'now'::timestamptz - interval '200 minutes') \gset
select event_id from gov_ingest('win-late', 'tokens', -1, null, '{zoe}', occurred_at => :'now'::timestamptz - interval '190 minutes') \gset
select amount, cardinality(counter_ids) as charged from gov_events where owner_id = 'win-late' order by id;
select current_usage from gov_headroom('win-late', 'tokens', 0, null, '{zoe}');
call helper.roll_up();
select * from gov_verify('win-late');

-- A replay opens windows as the uses would have.
insert into gov_entities (owner_id, id, type_id) values ('replay', 'zoe', 'user');
select count(*) from generate_series(0, 11) n, lateral gov_ingest('replay', 'tokens', 1, null, '{zoe}', occurred_at => '2026-01-05 09:30:00Z'::timestamptz + n * interval '1 hour');
select denied_count, first_denied_at from gov_backtest('replay', '[{"entityId": "zoe", "capabilityId": "tokens", "usageLimit": 3, "cadence": "PT5H", "windowKind": "first_use"}]', '2026-01-05', '2026-01-06');
select denied_count, first_denied_at from gov_backtest('replay', '[{"entityId": "zoe", "capabilityId": "tokens", "usageLimit": 3, "cadence": "PT5H"}]', '2026-01-05', '2026-01-06');
select helper.outcome($$select gov_backtest('replay', '[{"entityId": "zoe", "capabilityId": "tokens", "usageLimit": 3, "cadence": null, "windowKind": "first_use"}]', '2026-01-05', '2026-01-06')$$);

-- They are facts, which no recount makes again.
select helper.outcome(format('select gov_recount(%L)', id)) from gov_assignments where owner_id = 'win' and entity_id = 'eng';

-- Who changed the kind is written down.
select action, old, new ->> 'window_kind' as kind from gov_changes where owner_id = 'win' and table_name = 'gov_assignments' and old ? 'window_kind' order by id;

call helper.roll_up();
select * from gov_verify('win');
select gov_refresh() \gset
select * from gov_verify('win');

delete from gov_default_assignments where owner_id = 'win';
select count(gov_delete_owner(o)) from unnest('{win, win-late, replay}'::text[]) o;
