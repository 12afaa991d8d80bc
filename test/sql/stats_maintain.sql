-- gov_stats, gov_maintain and gov_refresh.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
set governance.use_cache = on;
call helper.organisation('stats');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('stats', 'bot', 'tokens', 10, 'P100Y'),
       ('stats', 'eng', 'tokens', 20, 'P100Y');

-- One row per fact.
select count(*) > 5 as several, count(*) = count(distinct name) as once from gov_stats;

-- On the warm path no table is read, and nothing is loaded.
select gov_allowed('stats', 'tokens', 1, entity_ids => '{bot}');
create table helper.before as select name, value from gov_stats;
select bool_and(gov_allowed('stats', 'tokens', 1, '{"requestId": "x"}', '{bot}')) from generate_series(1, 100);
select a.name, a.value::numeric - b.value::numeric as more
from gov_stats as a
join helper.before as b using (name)
where name in ('cache_loads', 'cache_evictions')
order by name;
select a.value::numeric - b.value::numeric >= 100 as hits
from gov_stats as a
join helper.before as b using (name)
where name = 'cache_hits';

-- A call that names many ids that are no entity loads them once.
drop table helper.before;
select gov_allowed('stats', 'tokens', 1, entity_ids => (select array_agg('no-one-' || n) from generate_series(1, 200) as n));
create table helper.before as select name, value from gov_stats;
select gov_allowed('stats', 'tokens', 1, entity_ids => (select array_agg('no-one-' || n) from generate_series(1, 200) as n));
select a.value::numeric - b.value::numeric as loads
from gov_stats as a
join helper.before as b using (name)
where name = 'cache_loads';

-- A load reads its own owner's part of the ledger's tail, however long the others' is.
call helper.organisation('stats-2');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('stats-2', 'bot', 'tokens', 10, 'P100Y');
create function helper.ledger_reads() returns bigint
language sql
as $$
    select pg_stat_get_xact_tuples_returned('gov_events'::regclass) + sum(pg_stat_get_xact_tuples_returned(i.indexrelid))::bigint
    from pg_index as i
    where i.indrelid = 'gov_events'::regclass
$$;
begin;
select count(event_id) from gov_ingest_many('stats', (select jsonb_agg('{"capabilityId": "calls"}'::jsonb) from generate_series(1, 1000)));
select helper.ledger_reads() as before \gset
select is_duplicate from gov_ingest('stats-2', 'tokens', 1, entity_ids => '{bot}');
select helper.ledger_reads() - :before < 100 as few;
rollback;

-- Events and denials are counted.
drop table helper.before;
create table helper.before as select name, value from gov_stats;
select count(gov_ingest('stats', 'tokens', n, entity_ids => '{bot}')) from generate_series(1, 7) as n;
select count(*) filter (where gov_allowed('stats', 'tokens', 1, entity_ids => '{bot}')) as granted from generate_series(1, 3);
select a.name, a.value::numeric - b.value::numeric as more
from gov_stats as a
join helper.before as b using (name)
where name in ('events', 'denials')
order by name;

-- A round waits for nobody; when all is rolled up there is no lag, and the counts are the same.
call helper.roll_up();
select value::numeric as lag from gov_stats where name = 'rollup_lag_events';
select helper.usage('stats', 'tokens', '{bot}');
select watermark >= (select max(id) from gov_events) as all_of_it from gov_rollup_state;
select count(*) as rounds from (select gov_maintain() from generate_series(1, 5)) as again;
select count(*) as rows, trim_scale(sum(u.amount)) as amount, sum(u.event_count) as events from gov_usage as u where u.owner_id = 'stats';

-- Without the cache the answers are the same; the next calls load it again.
select gov_refresh() \gset
drop table helper.before;
create table helper.before as select name, value from gov_stats;
select helper.usage('stats', 'tokens', '{bot}');
select a.value::numeric > b.value::numeric as loaded
from gov_stats as a
join helper.before as b using (name)
where name = 'cache_loads';
set governance.use_cache = off;
select helper.usage('stats', 'tokens', '{bot}'), gov_allowed('stats', 'tokens', 1, entity_ids => '{bot}'), gov_allowed('stats', 'tokens', 1, entity_ids => '{acme}');
begin;
select is_duplicate from gov_ingest('stats', 'tokens', -20, entity_ids => '{bot}');
select helper.usage('stats', 'tokens', '{bot}');
rollback;
select helper.usage('stats', 'tokens', '{bot}');
reset governance.use_cache;

-- Settings and their defaults.
select name, boot_val, unit, context
from pg_settings
where name like 'governance.%' and name <> 'governance.use_cache'
order by name;
select gov_delete_owner('stats'), gov_delete_owner('stats-2');
