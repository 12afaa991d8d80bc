-- Thresholds of pools: percentages of what is granted and live, raised once for each newest grant that is live.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
create function helper.pool_alerts(owner text) returns table (threshold numeric, usage numeric, usage_limit numeric, newest text, event int)
language sql
as $$
    select a.threshold, a.usage, a.usage_limit, coalesce((select max(g.category) from gov_grants g where g.assignment_id = a.assignment_id and g.effective_at = a.window_start), 'none'),
        (select count(*)::int from gov_events e where e.owner_id = owner and e.id <= a.event_id)
    from gov_alerts a
    where a.owner_id = owner
    order by a.id
$$;
\set ECHO all
call helper.organisation('pool-alert');
insert into gov_assignments (owner_id, entity_id, capability_id, is_pool, alert_thresholds) values ('pool-alert', 'acme', 'tokens', true, '{50,80,100}');

-- What is granted is 100.
select gov_grant_credits('pool-alert', 'acme', 'tokens', 60, '2099-01-01', category => 'a') is not null as made;
select gov_grant_credits('pool-alert', 'acme', 'tokens', 40, category => 'b') is not null as made;
select is_granted from gov_consume('pool-alert', 'tokens', 49.999999999, null, '{ann}');
select * from helper.pool_alerts('pool-alert');
select is_granted from gov_consume('pool-alert', 'tokens', 0.000000001, null, '{ann}');
select * from helper.pool_alerts('pool-alert');
-- several in one transaction: the event that crossed it; two thresholds at once
begin;
select is_granted from gov_consume('pool-alert', 'tokens', 10, null, '{ann}');
select is_granted from gov_consume('pool-alert', 'tokens', 30, null, '{ann}');
savepoint s;
select is_granted from gov_consume('pool-alert', 'tokens', 10, null, '{ann}');
rollback to s;
select is_granted from gov_consume('pool-alert', 'tokens', 10, null, '{ann}');
select * from helper.pool_alerts('pool-alert');
commit;
select * from helper.pool_alerts('pool-alert');
-- debt crosses nothing twice
select event_id is not null as recorded from gov_ingest('pool-alert', 'tokens', 10, null, '{ann}');
select count(*) from gov_alerts where owner_id = 'pool-alert';

-- The next grant arms them again; what it has paid is used of it. A denied use and a hold raise nothing.
select gov_grant_credits('pool-alert', 'acme', 'tokens', 100, category => 'c') is not null as made;
select is_granted from gov_consume('pool-alert', 'tokens', 100, null, '{ann}');
select reservation_id as hold from gov_reserve('pool-alert', 'tokens', 90, null, '{ann}') \gset
select count(*) from gov_alerts where owner_id = 'pool-alert';
select event_id is not null as settled from gov_settle(:'hold', 0);
-- 110 of 200 are used
select * from helper.pool_alerts('pool-alert') where newest = 'c';
select is_granted from gov_consume('pool-alert', 'tokens', 50, null, '{ann}');
select * from helper.pool_alerts('pool-alert') where newest = 'c';
-- one with the cache dropped, and a reversal and what is used again
select gov_drop_cache();
select event_id as use from gov_consume('pool-alert', 'tokens', 40, null, '{ann}') \gset
select event_id is not null as reversed from gov_reverse(:use);
select is_granted from gov_consume('pool-alert', 'tokens', 39, null, '{ann}');
select * from helper.pool_alerts('pool-alert') where newest = 'c';

-- Voiding leaves less granted: what that has reached the next use raises, and it does so once.
select gov_grant_credits('pool-alert', 'acme', 'tokens', 1000, category => 'd') is not null as made;
select is_granted from gov_consume('pool-alert', 'tokens', 1, null, '{ann}');
select gov_grant_credits('pool-alert', 'acme', 'tokens', 100, category => 'e') is not null as made;
select is_granted from gov_consume('pool-alert', 'tokens', 4, null, '{ann}');
select gov_void_grant(id) from gov_grants where owner_id = 'pool-alert' and category = 'd';
select * from helper.pool_alerts('pool-alert') where newest > 'c';
select is_granted from gov_consume('pool-alert', 'tokens', 1, null, '{ann}');
select is_granted from gov_consume('pool-alert', 'tokens', 1, null, '{ann}');
select * from helper.pool_alerts('pool-alert') where newest > 'c';
-- changed thresholds, in the transaction that uses, and of the policy
begin;
update gov_assignments set alert_thresholds = '{60,90}' where owner_id = 'pool-alert' and is_pool;
select is_granted from gov_consume('pool-alert', 'tokens', 1, null, '{ann}');
commit;
select * from helper.pool_alerts('pool-alert') where newest > 'c';
update gov_assignments set alert_thresholds = null where owner_id = 'pool-alert' and is_pool;
select gov_set_alert_policy('pool-alert', '{65}'), gov_set_alert_policy('pool-alert-other', '{1}');
select is_granted from gov_consume('pool-alert', 'tokens', 1, null, '{ann}');
update gov_assignments set alert_thresholds = '{}' where owner_id = 'pool-alert' and is_pool;
select is_granted from gov_consume('pool-alert', 'tokens', 1, null, '{ann}');
select * from helper.pool_alerts('pool-alert') where newest > 'c';

-- Where nothing is granted any use reaches all.
insert into gov_assignments (owner_id, entity_id, capability_id, is_pool, alert_thresholds) values ('pool-alert', 'ben', 'tokens', true, '{50,100}');
select event_id is not null as recorded from gov_ingest('pool-alert', 'tokens', 1, null, '{ben}');
select * from helper.pool_alerts('pool-alert') where newest = 'none';

-- They go with the pool.
select count(*) from gov_verify('pool-alert');
delete from gov_assignments where owner_id = 'pool-alert' and is_pool;
select count(*) from gov_alerts where owner_id = 'pool-alert';
select gov_delete_owner('pool-alert'), gov_delete_owner('pool-alert-other');
