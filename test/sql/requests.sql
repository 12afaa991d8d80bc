-- Requests for more: a tenant makes them, an administrator answers, and an approval is a boost.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
create function helper.requests() returns table (entity text, amount numeric, state text, reason text, note text, decided boolean, boosted boolean)
language sql
as $$
    select entity_id, amount, state, reason, note, decided_by = session_user and decided_at is not null, boost_id is not null
    from gov_increase_requests order by created_at, entity_id, amount
$$;
\set ECHO all
call helper.organisation('asks');
call helper.organisation('other');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('asks', 'ann', 'tokens', 10, 'P100Y'), ('asks', 'eng', 'tokens', null, null), ('other', 'ann', 'tokens', 10, null);
create role asks_portal;
create role asks_reader;
grant set on parameter governance.owner to asks_portal, asks_reader;
select gov_grant('asks_portal', 'tenant'), gov_grant('asks_reader', 'reader');
grant usage on schema helper to asks_portal;
insert into gov_increase_requests (owner_id, entity_id, capability_id, amount) select 'crowded', 'ann', 'tokens', 1 from generate_series(1, 100);

-- A tenant asks.
set governance.owner = 'asks';
set role asks_portal;
select gov_request_increase('asks', 'ann', 'tokens', 5.0000000001, '2099-12-31', 'the end of the year') as request \gset
select gov_request_increase('asks', 'ann', 'tokens', 1000) as greedy \gset
select gov_request_increase('asks', 'ann', 'tokens', 7) as regretted \gset
select gov_withdraw_increase(:'regretted'), gov_withdraw_increase(:'regretted');
select * from helper.requests();
-- of its own owner only, and it neither answers nor changes what was asked
select gov_request_increase('other', 'ann', 'tokens', 5);
insert into gov_increase_requests (owner_id, entity_id, capability_id, amount) values ('other', 'ann', 'tokens', 1);
insert into gov_increase_requests (owner_id, entity_id, capability_id, amount, state) values ('asks', 'ann', 'tokens', 1, 'approved');
select gov_decide_increase(:'request', true);
update gov_increase_requests set state = 'approved' where id = :'request';
update gov_increase_requests set amount = 1e9 where id = :'request';
delete from gov_increase_requests;
select gov_boost('asks', 'ann', 'tokens', 5);
insert into gov_boosts (owner_id, entity_id, capability_id, amount) values ('asks', 'ann', 'tokens', 1);
select exception, entity_id, amount, reason from gov_exceptions order by 1, 3;
-- nor does it ask in plain SQL for what no boost could be of, nor learn how many requests another owner has
insert into gov_increase_requests (owner_id, entity_id, capability_id, amount) values ('asks', 'nobody', 'tokens', 1);
insert into gov_increase_requests (owner_id, entity_id, capability_id, name, amount) values ('asks', 'ann', 'tokens', repeat('x', 100000), 1);
insert into gov_increase_requests (owner_id, entity_id, capability_id, scope_entity_ids, amount) values ('asks', 'ann', 'tokens', '{null}', 1);
insert into gov_increase_requests (owner_id, entity_id, capability_id, amount) values ('asks', 'eng', 'tokens', 1);
insert into gov_increase_requests (owner_id, entity_id, capability_id, amount) values ('crowded', 'ann', 'tokens', 1);
reset role;
set role asks_reader;
select count(*) from gov_increase_requests;
select gov_request_increase('asks', 'ann', 'tokens', 5);
reset role;
set governance.owner = '';
delete from gov_increase_requests where owner_id = 'crowded';

-- Answers: as asked, otherwise than asked, or not.
select is_granted from gov_consume('asks', 'tokens', 15, null, '{ann}');
select gov_decide_increase(:'request', true, note => 'you are welcome') is not null as boosted;
select amount, valid_until, reason from gov_boosts where owner_id = 'asks';
select is_granted, remaining from gov_consume('asks', 'tokens', 15, null, '{ann}');
select gov_decide_increase(:'greedy', false, note => 'ask your team first');
select gov_request_increase('asks', 'ann', 'tokens', 100) as less \gset
select gov_decide_increase(:'less', true, 2, '2098-01-01') is not null as boosted;
select amount, valid_until from gov_boosts where owner_id = 'asks' order by amount;
select * from helper.requests();
-- an approval that cannot be done leaves the request open
select gov_request_increase('asks', 'ann', 'tokens', 1) as bound \gset
update gov_assignments set usage_limit = null where owner_id = 'asks' and entity_id = 'ann';
select gov_decide_increase(:'bound', true);
select state, boost_id from gov_increase_requests where id = :'bound';
update gov_assignments set usage_limit = 10 where owner_id = 'asks' and entity_id = 'ann';

select gov_request_increase('asks', 'ann', 'tokens', 3) as told \gset

-- What is out of the ordinary, in one query.
select gov_block('asks', 'bot', '2099-12-31', 'a loop');
select exception, entity_id, capability_id, amount, until, reason, id is not null as has_id from gov_exceptions where owner_id = 'asks' order by 1, 4;

-- Bad input changes nothing.
select gov_request_increase(null, 'ann', 'tokens', 1);
select gov_request_increase('asks', 'ann', 'tokens', null);
select gov_request_increase('asks', 'ann', 'tokens', 0);
select gov_request_increase('asks', 'ann', 'tokens', -1);
select gov_request_increase('asks', 'ann', 'tokens', 'NaN');
select gov_request_increase('asks', 'ann', 'tokens', 1, now() - interval '1 second');
select gov_request_increase('asks', 'ann', 'tokens', 1, reason => '');
select gov_request_increase('asks', 'nobody', 'tokens', 1);
select gov_request_increase('asks', 'eng', 'tokens', 1);
select gov_decide_increase(null, true);
select gov_decide_increase(:'told', null);
select gov_decide_increase(:'told', true, 0);
select gov_decide_increase(:'told', true, -5);
select gov_decide_increase(:'told', true, note => '');
select gov_decide_increase(:'request', false);
select gov_decide_increase('00000000-0000-0000-0000-000000000000', true);
select gov_withdraw_increase(null);
select gov_withdraw_increase('00000000-0000-0000-0000-000000000000');
update gov_increase_requests set state = 'open' where id = :'request';
update gov_increase_requests set state = 'lost' where id = :'told';
select count(gov_request_increase('asks', 'ann', 'tokens', 1)) from generate_series(1, 98);
select gov_request_increase('asks', 'ann', 'tokens', 1);
select gov_delete_owner('asks'), gov_delete_owner('other');
select count(*) from gov_increase_requests;
select gov_revoke('asks_portal'), gov_revoke('asks_reader');
revoke set on parameter governance.owner from asks_portal, asks_reader;
drop schema helper cascade;
drop role asks_portal;
drop role asks_reader;
