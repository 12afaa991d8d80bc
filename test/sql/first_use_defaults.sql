-- First uses of entities whose type has defaults: they govern from the first call on, whoever asks and from wherever, and what is denied creates nothing.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
create function helper.dims(who text, team text default 'eng', model text default null) returns jsonb
language sql
as $$ select jsonb_strip_nulls(jsonb_build_object('userId', who, 'teamId', team, 'model', model)) $$;
create function helper.ask(owner text, amount numeric, dims jsonb) returns text
language sql
as $$ select concat_ws(' ', case when is_granted then 'granted' else denied_reason end, helper.show(chains)) from gov_check(owner, 'tokens', amount, dims) $$;
create function helper.use(owner text, amount numeric, dims jsonb, key text default null) returns text
language sql
as $$ select concat_ws(' ', case when is_granted then 'granted' else denied_reason end, case when is_duplicate then 'again' end, helper.show(chains)) from gov_consume(owner, 'tokens', amount, dims, null, key) $$;
create function helper.hold(owner text, amount numeric, dims jsonb) returns text
language sql
as $$ select concat_ws(' ', case when is_granted then 'granted' else denied_reason end, helper.show(chains)) from gov_reserve(owner, 'tokens', amount, dims) $$;
-- what there is: entities by use, events, which budgets by defaults are said to be used, and what is wrong
create function helper.left(owner text) returns text
language sql
as $$
    select format('%s; %s events; %s used; %s wrong',
        coalesce((select string_agg(concat_ws('<', e.id, e.parent_id), ' ' order by e.id collate "C") from gov_entities e where owner_id = owner and created_by_use), 'nobody'),
        (select count(*) from gov_events where owner_id = owner),
        (select count(distinct counter_id) from gov_default_counts where owner_id = owner and not retired),
        (select count(*) from gov_verify(owner)))
$$;
-- until the worker has nothing left of defaults that are gone
create procedure helper.tidy_up()
language plpgsql
as $$
begin
    for round in 1..2000 loop
        perform gov_maintain();
        commit;
        exit when not exists (select from gov_default_counts);
        perform pg_sleep(0.005);
    end loop;
end
$$;
\set ECHO all
call helper.organisation('first');
update gov_entity_types set on_unknown = 'create', parent_key = 'teamId' where id = 'user';
update gov_entity_types set on_unknown = 'create', parent_key = 'orgId' where id = 'team';
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('first', 'eng', 'tokens', 100, null);
insert into gov_default_assignments (type_id, capability_id, usage_limit, cadence) values ('user', 'tokens', 5, 'P100Y');

-- Checks answer as if the entity were there, in whichever way they are answered.
select helper.ask('first', 10, helper.dims('new-hire'));
select helper.ask('first', 5, helper.dims('new-hire'));
select gov_allowed('first', 'tokens', 6, helper.dims('new-hire')), gov_allowed('first', 'tokens', 5, helper.dims('new-hire'));
select entity_id, trim_scale(usage_limit) as usage_limit, trim_scale(remaining) as remaining from gov_headroom('first', 'tokens', 1, helper.dims('new-hire')) order by 1;
set governance.use_cache = off;
select helper.ask('first', 10, helper.dims('new-hire'));
select helper.ask('first', 5, helper.dims('new-hire'));
reset governance.use_cache;
begin read only;
select helper.ask('first', 10, helper.dims('new-hire'));
rollback;
begin isolation level repeatable read read only;
select helper.ask('first', 4, helper.dims('new-hire'));
rollback;

-- What is denied creates nothing; what is granted creates, and counts.
select helper.use('first', 10, helper.dims('new-hire')), helper.hold('first', 10, helper.dims('new-hire'));
select helper.left('first');
begin;
select helper.use('first', 3, helper.dims('new-hire'));
select helper.use('first', 3, helper.dims('new-hire'));
select helper.ask('first', 2, helper.dims('new-hire')), helper.ask('first', 3, helper.dims('new-hire'));
select helper.left('first');
rollback;
select helper.left('first');
select helper.ask('first', 0, helper.dims('new-hire'));
begin;
select helper.use('first', 3, helper.dims('new-hire'));
select helper.use('first', 3, helper.dims('new-hire'));
commit;
select helper.use('first', 3, helper.dims('new-hire'));
select helper.use('first', 2, helper.dims('new-hire'));
select helper.left('first');
select entity_id, source, trim_scale(usage_limit) as usage_limit from gov_used_assignments where owner_id = 'first' order by 1;
set governance.use_cache = off;
select helper.ask('first', 1, helper.dims('new-hire'));
reset governance.use_cache;

-- Savepoints, also around the creation.
begin;
savepoint a;
select helper.use('first', 4, helper.dims('sam'));
rollback to a;
select helper.ask('first', 5, helper.dims('sam'));
select helper.use('first', 2, helper.dims('sam'));
savepoint b;
select helper.use('first', 3, helper.dims('sam'));
rollback to b;
select helper.use('first', 3, helper.dims('sam'));
release b;
select helper.use('first', 1, helper.dims('sam'));
commit;
select helper.ask('first', 1, helper.dims('sam'));
select helper.left('first');

-- Holds: made by the first call, in the same transaction and behind it.
begin;
select reservation_id as hold from gov_reserve('first', 'tokens', 3, helper.dims('hal')) \gset
select helper.use('first', 3, helper.dims('hal'));
select event_id is not null as settled from gov_settle(:'hold', 1);
select helper.use('first', 4, helper.dims('hal'));
commit;
select helper.ask('first', 1, helper.dims('hal'));
select reservation_id as hold from gov_reserve('first', 'tokens', 3, helper.dims('ida')) \gset
select helper.use('first', 3, helper.dims('ida'));
select event_id is not null as settled from gov_settle(:'hold', 6);
select helper.ask('first', 1, helper.dims('ida'));
select reservation_id as hold from gov_reserve('first', 'tokens', 3, helper.dims('jo')) \gset
select gov_release(:'hold');
select helper.use('first', 5, helper.dims('jo'));

-- What has happened is recorded, whatever the limits.
select event_id is not null as recorded from gov_ingest('first', 'tokens', 7, helper.dims('kim'));
select helper.ask('first', 1, helper.dims('kim'));
select position, error from gov_ingest_many('first', '[
    {"capabilityId": "tokens", "amount": 2, "dimensions": {"userId": "lea", "teamId": "eng"}},
    {"capabilityId": "tokens", "amount": 2, "dimensions": {"userId": "lea"}},
    {"capabilityId": "nonsense"},
    {"capabilityId": "tokens", "amount": 1, "dimensions": {"userId": "max", "teamId": "eng"}},
    {"capabilityId": "tokens", "amount": 4, "dimensions": {"userId": "lea"}, "idempotencyKey": "many-1"}]') order by position;
select helper.ask('first', 1, helper.dims('lea')), helper.ask('first', 1, helper.dims('max'));
-- a row that is refused ends the call, and takes what it has created with it
alter table gov_events add constraint helper_unlucky check (amount <> 13) not valid;
select helper.outcome($$select gov_ingest_many('first', '[
    {"capabilityId": "tokens", "amount": 2, "dimensions": {"userId": "mia", "teamId": "eng"}},
    {"capabilityId": "tokens", "amount": 13, "dimensions": {"userId": "mo", "teamId": "eng"}}]')$$) as refused;
select id from gov_entities where owner_id = 'first' and id in ('mia', 'mo');
select position, error is null as recorded from gov_ingest_many('first', '[
    {"capabilityId": "tokens", "amount": 2, "dimensions": {"userId": "mia", "teamId": "eng"}},
    {"capabilityId": "tokens", "amount": 1, "dimensions": {"userId": "mia"}, "idempotencyKey": "many-2"}]') order by position;
begin;
update gov_default_assignments set usage_limit = 20 where owner_id is null;
savepoint s;
select gov_consume('first', 'tokens', 13, helper.dims('mo'));
rollback to s;
select helper.ask('first', 5, helper.dims('mo'));
rollback;
select helper.ask('first', 5, helper.dims('mia')), helper.ask('first', 5, helper.dims('mo'));
alter table gov_events drop constraint helper_unlucky;
-- a late one counts in the window of its time
select event_id is not null as recorded from gov_ingest('first', 'tokens', 4, helper.dims('nat'), occurred_at => '1999-05-05');
select helper.ask('first', 5, helper.dims('nat'));

-- Keys: a repeated call counts once.
select helper.use('first', 3, helper.dims('otto'), 'key-1');
select helper.use('first', 3, helper.dims('otto'), 'key-1');
select helper.use('first', 3, helper.dims('otto'), 'key-2');
begin;
select helper.use('first', 2, helper.dims('pia'), 'key-3'), helper.use('first', 2, helper.dims('pia'), 'key-3');
commit;
select helper.ask('first', 1, helper.dims('pia'));

-- Several in one call: each has the defaults of its type, and what is above is charged too.
insert into gov_default_assignments (type_id, capability_id, usage_limit) values ('team', 'tokens', 8);
select helper.ask('first', 6, '{"userId": "quin", "teamId": "red", "orgId": "acme"}');
select helper.use('first', 5, '{"userId": "quin", "teamId": "red", "orgId": "acme"}');
select helper.use('first', 4, '{"userId": "ray", "teamId": "red"}');
select helper.use('first', 3, '{"userId": "ray", "teamId": "red"}');
select id, parent_id from gov_entities where owner_id = 'first' and id in ('quin', 'red', 'ray') order by 1;
delete from gov_default_assignments where type_id = 'team';

-- An owner's default goes before everybody's; another one is one more; a use of another capability creates, and has no budget.
insert into gov_default_assignments (owner_id, type_id, capability_id, usage_limit, cadence) values ('first', 'user', 'tokens', 7, 'P100Y');
insert into gov_default_assignments (type_id, capability_id, name, usage_limit, enforcement) values ('user', 'tokens', 'seen', 2, 'soft');
select helper.ask('first', 8, helper.dims('sue')), helper.ask('first', 7, helper.dims('sue'));
select helper.use('first', 7, helper.dims('sue'));
delete from gov_default_assignments where owner_id = 'first' or name = 'seen';
select helper.ask('first', 1, helper.dims('sue'));
begin;
select is_granted, helper.show(chains) from gov_consume('first', 'calls', 1, helper.dims('tom'));
select helper.use('first', 6, helper.dims('tom'));
select helper.use('first', 5, helper.dims('tom'));
commit;
select helper.ask('first', 1, helper.dims('tom'));

-- A largest use, and the reason that says so.
insert into gov_default_assignments (owner_id, type_id, capability_id, name, call_limit) values ('first', 'user', 'tokens', 'each', 2);
select is_granted, denied_reason from gov_consume('first', 'tokens', 3, helper.dims('uma'));
select is_granted, denied_reason from gov_consume('first', 'tokens', 2, helper.dims('uma'));
delete from gov_default_assignments where name = 'each';

-- A default with a scope: the combination with what is known, and with what is created by the same call.
insert into gov_default_assignments (owner_id, type_id, capability_id, scope_type_ids, usage_limit) values ('first', 'user', 'tokens', '{model}', 3);
select helper.ask('first', 4, helper.dims('vic', 'eng', 'gpt'));
set governance.use_cache = off;
select helper.ask('first', 4, helper.dims('vic', 'eng', 'gpt'));
reset governance.use_cache;
begin;
select helper.use('first', 2, helper.dims('vic', 'eng', 'gpt'));
select helper.use('first', 2, helper.dims('vic', 'eng', 'gpt'));
select helper.use('first', 2, helper.dims('vic', 'eng', 'opus'));
commit;
select helper.use('first', 1, helper.dims('vic', 'eng', 'gpt'));
delete from gov_default_assignments where owner_id = 'first';
insert into gov_default_assignments (owner_id, type_id, capability_id, scope_type_ids, usage_limit) values ('first', 'user', 'tokens', '{team}', 3);
select helper.use('first', 4, '{"userId": "wes", "teamId": "blue", "orgId": "acme"}');
select helper.use('first', 2, '{"userId": "wes", "teamId": "blue", "orgId": "acme"}');
select helper.use('first', 2, '{"userId": "wes", "teamId": "blue"}');
delete from gov_default_assignments where owner_id = 'first';

-- Windows from the entity: it is made by the call.
insert into gov_default_assignments (owner_id, type_id, capability_id, name, usage_limit, cadence, anchor_from) values ('first', 'user', 'tokens', 'from', 4, 'P10Y', 'created_at');
select c.is_granted, n.node -> 'isGranted' as this_one
from gov_check('first', 'tokens', 5, helper.dims('xia')) c, jsonb_array_elements(c.chains -> 1) n (node) where n.node ->> 'name' = 'from';
select helper.use('first', 3, helper.dims('xia'));
select helper.use('first', 2, helper.dims('xia')), helper.use('first', 1, helper.dims('xia'));
select count(*), bool_and(n.anchor_at = e.created_at) as from_creation from gov_default_counts n join gov_entities e on (e.owner_id, e.id) = (n.owner_id, n.entity_id) where e.id = 'xia' and n.anchor_at is not null;
-- a BEFORE trigger of a user's gives another time, or a day: the use is charged to what there is
create function helper.dated() returns trigger language plpgsql as $$ begin new.created_at := '2020-02-29 12:00Z'; new.metadata := '{"day": "15"}'; return new; end $$;
grant usage on schema helper to public;
create trigger helper_dated before insert on gov_entities for each row execute function helper.dated();
select helper.use('first', 3, helper.dims('yan'));
select helper.use('first', 2, helper.dims('yan'));
update gov_default_assignments set anchor_from = 'day' where owner_id = 'first';
select helper.use('first', 3, helper.dims('zoe'));
select helper.use('first', 2, helper.dims('zoe'));
select entity_id, anchor, anchor_at from gov_default_counts where entity_id in ('yan', 'zoe') and anchor_at is not null order by 1;
drop trigger helper_dated on gov_entities;
select count(*) from gov_verify('first');
call helper.roll_up();
delete from gov_default_assignments where owner_id = 'first';
select count(*) from gov_verify('first');

-- Deleted and made again by a use, its count is another one: nothing of the former comes back, in whichever transaction.
call helper.organisation('again');
select helper.use('again', 4, helper.dims('ann-2'));
delete from gov_entities where owner_id = 'again' and id = 'ann-2';
select helper.ask('again', 5, helper.dims('ann-2'));
select helper.use('again', 3, helper.dims('ann-2'));
begin;
delete from gov_entities where owner_id = 'again' and id = 'ann-2';
select helper.use('again', 5, helper.dims('ann-2'));
select helper.use('again', 1, helper.dims('ann-2'));
delete from gov_entities where owner_id = 'again' and id = 'ann-2';
select helper.use('again', 2, helper.dims('ann-2'));
commit;
select helper.ask('again', 4, helper.dims('ann-2')), helper.use('again', 3, helper.dims('ann-2'));
select helper.left('again');
call helper.roll_up();
select helper.left('again');
select helper.ask('again', 1, helper.dims('ann-2'));

-- A transaction that has changed the defaults itself.
begin;
update gov_default_assignments set usage_limit = 2;
select helper.use('again', 3, helper.dims('bea'));
select helper.use('again', 2, helper.dims('bea'));
rollback;
select helper.left('again');

-- Past the bound nobody is created; the denial is that, and what has happened is recorded.
set governance.created_entities_max = 1;
select helper.use('again', 1, helper.dims('cleo'));
reset governance.created_entities_max;
-- where the use creates more than the bound leaves room for
select helper.use('again', 6, helper.dims('cleo')), helper.use('again', 5, helper.dims('cleo'));

-- Alerts of a budget whose first use passes them.
insert into gov_default_assignments (owner_id, type_id, capability_id, usage_limit, cadence, alert_thresholds) values ('again', 'user', 'tokens', 10, 'P100Y', '{50,90}');
select helper.use('again', 6, helper.dims('dan'));
select helper.use('again', 4, helper.dims('dan'));
call helper.roll_up();
select b.entity_id, threshold, trim_scale(usage) as usage from gov_alerts a join gov_used_assignments b on b.id = a.assignment_id where a.owner_id = 'again' order by 2;

-- Denials are counted under the budget, and under nothing that does not exist.
select count(*) from gov_maintain();
select entity_id, dimension_key, reason, is_check, sum(denied_count) as n from gov_denials where owner_id = 'again' group by 1, 2, 3, 4 order by 1, 2, 3, 4;

delete from gov_default_assignments;
update gov_entity_types set on_unknown = 'ignore', parent_key = null where id in ('user', 'team');
select gov_delete_owner(o) is not null from unnest('{first,again}'::text[]) o;
call helper.tidy_up();
