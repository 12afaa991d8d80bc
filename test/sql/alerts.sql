-- Alerts: which thresholds hold, what crosses them and what does not, and what is written then.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('alert');

-- What is new: budget, threshold, usage, limit, and the amount of the event that crossed.
create sequence helper.alerts_seen minvalue 0;
select setval('helper.alerts_seen', coalesce((select max(id) from gov_alerts), 0)) is not null as ready;
create function helper.alerts() returns table (entity text, threshold numeric, usage numeric, usage_limit numeric, crossed_with numeric)
language sql volatile
as $$
    select a.entity_id || coalesce(':' || nullif(a.name, ''), ''), l.threshold, l.usage, l.usage_limit, trim_scale(e.amount)
    from gov_alerts as l
    join gov_assignments as a on a.id = l.assignment_id and a.owner_id = l.owner_id
    left join gov_events as e on e.id = l.event_id
    cross join (select last_value as seen from helper.alerts_seen) as s
    where l.id > s.seen
    order by l.event_id, a.entity_id, l.threshold;
$$;
create procedure helper.seen() language sql as $$ select setval('helper.alerts_seen', coalesce((select max(id) from gov_alerts), 0)) $$;
create function helper.use(entity text, variadic amounts numeric[]) returns bigint
language sql volatile
as $$
    select count(gov_ingest('alert', 'tokens', amount, null, array[entity])) from unnest(amounts) as amount
$$;

-- The budget's own thresholds, else its owner's, else every owner's; {} is none, and null inherits.
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, enforcement, alert_thresholds)
values ('alert', 'bot', 'tokens', 'own', 100, 'soft', '{60}'),
       ('alert', 'bot', 'tokens', 'none', 100, 'soft', '{}'),
       ('alert', 'bot', 'tokens', 'inherits', 100, 'soft', null),
       ('alert', 'bot', 'tokens', 'unlimited', null, 'soft', '{1}');
select helper.use('bot', 55);
select * from helper.alerts();
-- What is rolled up is touched by nobody but the next use.
call helper.roll_up();
select gov_set_alert_policy(null, '{30}');
select helper.use('bot', 1);
select * from helper.alerts();
call helper.seen();
call helper.roll_up();
select gov_set_alert_policy('alert', '{58, 50}');
select helper.use('bot', 1);
select * from helper.alerts();
select helper.use('bot', 1);
select * from helper.alerts();
call helper.seen();
select gov_set_alert_policy('alert', '{}');
select helper.use('bot', 1.999999999);
select * from helper.alerts();
select helper.use('bot', 0.000000001);
select * from helper.alerts();
call helper.seen();
select gov_set_alert_policy('alert', null);
select gov_set_alert_policy('other', '{1}');
select helper.use('bot', 1000);
select * from helper.alerts();
call helper.seen();
-- Deleting a budget deletes its alerts.
delete from gov_assignments where owner_id = 'alert';
select count(*) from gov_alerts where owner_id = 'alert';

-- A soft limit's overage: three thresholds at once are three rows, in order, of one event.
select gov_set_alert_policy('alert', '{50, 100, 120}');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, enforcement)
values ('alert', 'ann', 'tokens', 10, 'soft'), ('alert', 'eng', 'tokens', 13, 'hard');
select helper.use('ann', 12);
select * from helper.alerts();
select count(distinct event_id) as events, count(distinct raised_at) as times, min(window_start) as window_start from gov_alerts where owner_id = 'alert';
call helper.seen();
delete from gov_assignments where owner_id = 'alert' and entity_id = 'eng';

-- Not twice: after a correction, or with a raised limit. What a lowered limit has passed, the next use finds.
select helper.use('ann', -12, 12);
call helper.roll_up();
update gov_assignments set usage_limit = 20 where owner_id = 'alert' and entity_id = 'ann';
select helper.use('ann', 1);
select * from helper.alerts();
call helper.roll_up();
update gov_assignments set alert_thresholds = '{10,50,65,90}' where owner_id = 'alert' and entity_id = 'ann';
select * from helper.alerts();
select helper.use('ann', 0.5);
select * from helper.alerts();
call helper.seen();

-- Savepoints: what was rolled back did not cross. Of several events of a transaction the one that crossed is named.
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('alert', 'cyd', 'tokens', 100);
begin;
savepoint a;
select helper.use('cyd', 60);
rollback to a;
select helper.use('cyd', 10, 20);
savepoint b;
select helper.use('cyd', 21, 3);
release b;
savepoint c;
select helper.use('cyd', 500);
rollback to c;
select helper.use('cyd', 4);
select * from helper.alerts();
commit;
select * from helper.alerts();
call helper.seen();
begin;
select helper.use('cyd', 41);
rollback;
select * from helper.alerts();
begin;
select helper.use('cyd', 42, -50, 1);
commit;
select * from helper.alerts();
do $$
begin
    perform helper.use('cyd', 43);
    raise division_by_zero;
exception
    when division_by_zero then
        perform helper.use('cyd', 44);
end
$$;
select * from helper.alerts();
select helper.use('cyd', 5);
select * from helper.alerts();
call helper.seen();

-- Holds do not count, what they are settled for does. A batch names the item that crossed.
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('alert', 'ben', 'tokens', 100);
select reservation_id as hold from gov_reserve('alert', 'tokens', 90, null, '{ben}') \gset
select * from helper.alerts();
select is_duplicate from gov_settle(:'hold', 51);
select * from helper.alerts();
call helper.seen();
select position, error is null as ok
from gov_ingest_many('alert', '[{"capabilityId": "tokens", "amount": 48, "entityIds": ["ben"]}, {"capabilityId": "tokens", "amount": 3, "entityIds": ["ben"]},
                                {"capabilityId": "nonsense"}, {"capabilityId": "tokens", "amount": 7, "entityIds": ["ben"]}]');
select * from helper.alerts();
call helper.seen();

-- A limit of 0 is crossed by the first use, not by one of nothing.
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('alert', 'gpt', 'tokens', 0);
select helper.use('gpt', 0);
select * from helper.alerts();
select helper.use('gpt', 0.000000001);
select * from helper.alerts();
call helper.seen();

-- In a transaction that makes the budget, lowers its limit or sets its thresholds.
begin;
insert into gov_entities (owner_id, id, type_id, parent_id) values ('alert', 'new', 'user', null);
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('alert', 'new', 'tokens', 10);
select helper.use('new', 3, 3, 3);
commit;
select * from helper.alerts();
call helper.seen();
call helper.roll_up();
begin;
update gov_assignments set usage_limit = 5 where owner_id = 'alert' and entity_id = 'new';
select helper.use('new', 1);
commit;
select * from helper.alerts();
call helper.seen();
call helper.roll_up();
begin;
select gov_set_alert_policy('alert', '{190}');
select helper.use('new', 1);
set transaction read only;
commit;
select * from helper.alerts();
call helper.seen();
begin;
update gov_assignments set cadence = 'P100Y' where owner_id = 'alert' and entity_id = 'new';
select helper.use('new', 9, 1);
commit;
select * from helper.alerts();
call helper.seen();

-- Procedures that commit.
create procedure helper.used() language plpgsql
as $$
begin
    perform helper.use('opus', 6);
    commit;
    perform helper.use('opus', 6);
    rollback;
    perform helper.use('opus', 4);
end
$$;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, alert_thresholds) values ('alert', 'opus', 'tokens', 10, '{50,100,120}');
call helper.used();
select * from helper.alerts();
call helper.seen();

-- The rollup raises what no use has crossed: late events, in their own window. What was corrected in the same transaction was never used.
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, alert_thresholds) values ('alert', 'ops', 'tokens', 10, 'P1Y', '{50,100}');
select is_duplicate
from (values (1, 4), (2, 3), (3, 1)) as late (n, amount), gov_ingest('alert', 'tokens', amount, null, '{ops}', null, timestamptz '2020-06-01 00:00Z' + n * interval '1 hour');
select count(gov_ingest('alert', 'tokens', amount, null, '{ops}', null, '2021-06-01 00:00Z')) from unnest('{20,-19}'::numeric[]) as amount;
call helper.roll_up();
select * from helper.alerts();
select l.window_start from gov_alerts as l join gov_assignments as a on a.id = l.assignment_id where a.owner_id = 'alert' and a.entity_id = 'ops';
call helper.seen();
call helper.roll_up();
select * from helper.alerts();

-- Many events that cross much in one transaction: they are gone through once, not once for each crossing. So it is with late ones, and the rollup.
select count(gov_upsert_entities('alert', jsonb_build_object('entities', e)))
from (select jsonb_agg(jsonb_build_object('id', 'many-' || n, 'typeId', 'user')) as e from generate_series(1, 400) n group by n % 4) as batch;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, alert_thresholds)
select 'alert', 'many-' || n, 'tokens', 10, 'P1Y', '{10,20,30,40,50,60,70,80,90,100}' from generate_series(1, 400) n;
create function helper.crossed(out alerts bigint, out events bigint, out right_event bigint)
language sql volatile
as $$
    select count(*), count(distinct l.event_id), count(*) filter (where e.entity_ids = array[a.entity_id] and e.amount = case when l.threshold <= 10 then 1 when l.threshold <= 30 then 2 when l.threshold <= 60 then 3 else 4 end)
    from gov_alerts as l
    join gov_assignments as a on a.id = l.assignment_id
    join gov_events as e on e.id = l.event_id
    cross join (select last_value as seen from helper.alerts_seen) as s
    where l.id > s.seen and a.entity_id like 'many-%';
$$;
begin;
select count(helper.use('many-' || n, amount)) from unnest('{1,2,3,4}'::numeric[]) as amount, generate_series(1, 400) n;
commit;
select * from helper.crossed();
call helper.seen();
select count(gov_ingest('alert', 'tokens', amount, null, array['many-' || n], null, '2020-06-01 00:00Z')) from unnest('{1,2,3,4}'::numeric[]) as amount, generate_series(1, 400) n;
call helper.roll_up();
select * from helper.crossed();
call helper.seen();

-- The policy has rules; what changes nothing is no change.
select gov_set_alert_policy('alert', '{120, 80.50, 80.5}');
select owner_id, thresholds from gov_alert_policies where owner_id = 'alert';
select updated_at as changed from gov_alert_policies where owner_id = 'alert' \gset
select gov_set_alert_policy('alert', '{80.5,120}');
select updated_at = :'changed' as is_kept from gov_alert_policies where owner_id = 'alert';
select gov_set_alert_policy('alert', '{1,2,3,4,5,6,7,8,9,10}');
select gov_set_alert_policy('alert', '{1,2,3,4,5,6,7,8,9,10,11}');
select gov_set_alert_policy('alert', '{0.99}');
select gov_set_alert_policy('alert', '{NaN}');
select gov_set_alert_policy('alert', '{80,null}');
select gov_set_alert_policy('', '{80}');
select gov_set_alert_policy('al' || chr(10) || 'ert', '{80}');
select thresholds from gov_alert_policies where owner_id = 'alert';
truncate gov_alert_policies;
select helper.use('bot', 100);
select * from gov_verify('alert');
select gov_delete_owner('alert') is not null as deleted;
select count(*) from gov_alerts where owner_id = 'alert';
