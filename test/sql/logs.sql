-- gov_event_log, gov_usage_log, gov_alert_log: the tables as clients can read them, without infinite times.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql

call helper.organisation('logs');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, name, alert_thresholds)
values
    ('logs', 'ann', 'tokens', 10, null, 'ever', '{50}'),
    ('logs', 'ann', 'tokens', 10, 'P100Y', 'century', '{50}'),
    ('logs', 'ben', 'tokens', 10, 'P100Y', '', '{50}');
select is_granted from gov_consume('logs', 'tokens', 6, null, '{ann}');
select is_granted from gov_consume('logs', 'tokens', 7, null, '{ben}');
select is_granted from gov_consume('logs', 'tokens', 1, null, '{gpt}');
call helper.roll_up();

select l.amount, l.window_starts, l.window_ends
from gov_event_log l
where l.owner_id = 'logs'
order by l.id;
select a.entity_id, a.name, l.window_start, l.window_end, l.amount, l.event_count
from gov_usage_log l
join gov_assignments a on a.id = l.assignment_id
where l.owner_id = 'logs'
order by 1, 2;
select a.entity_id, a.name, l.threshold, l.window_start, l.usage
from gov_alert_log l
join gov_assignments a on a.id = l.assignment_id
where l.owner_id = 'logs'
order by 1, 2;

-- All columns of the tables, in their order and of their types, and every row.
select t.relname, t.columns = v.columns as has_the_same_columns
from (
    select c.relname, array_agg((a.attname, a.atttypid, a.attcollation)::text order by a.attnum) as columns
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.oid in ('gov_events'::regclass, 'gov_usage'::regclass, 'gov_alerts'::regclass)
    group by 1
) t
join (
    select c.relname, array_agg((a.attname, a.atttypid, a.attcollation)::text order by a.attnum) as columns
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.oid in ('gov_event_log'::regclass, 'gov_usage_log'::regclass, 'gov_alert_log'::regclass)
    group by 1
) v on left(v.relname, 8) = left(t.relname, 8)
order by 1;
select
    (select count(*) from gov_events) - (select count(*) from gov_event_log) as events,
    (select count(*) from gov_usage) - (select count(*) from gov_usage_log) as usage,
    (select count(*) from gov_alerts) - (select count(*) from gov_alert_log) as alerts;
