-- gov_settle_many: up to ten thousand holds settled in one call, each judged alone.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql

-- The holds of an owner by what they were made for, and settlements of them: amounts by name, null for the amount held.
create table helper.holds (name text primary key, id uuid);
create function helper.hold(name text, amount numeric, entity text default 'bot', ttl interval default '1 hour') returns boolean
language sql
as $$
    insert into helper.holds select name, reservation_id from gov_reserve('many', 'tokens', amount, null, array[entity], null, ttl) returning id is not null
$$;
create function helper.settlement(name text, amount numeric default null) returns jsonb
language sql
as $$
    select jsonb_build_object('reservationId', (select h.id from helper.holds h where h.name = $1), 'amount', amount)
$$;
create function helper.many(variadic settlements jsonb[])
returns table (item int, event bigint, duplicate boolean, error text)
language sql
as $$
    select m."position", dense_rank() over (order by m.event_id nulls last) * case when m.event_id is not null then 1 end, m.is_duplicate,
        regexp_replace(m.error, '[0-9a-f]{8}-[0-9a-f-]{27}', 'ID')
    from gov_settle_many(to_jsonb(settlements)) m
    order by m."position"
$$;
\set ECHO all
call helper.organisation('many');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('many', 'acme', 'tokens', 1000, 'P100Y'), ('many', 'bot', 'tokens', 100, 'P100Y'), ('many', 'ann', 'tokens', 200, null);
select helper.hold('a', 10), helper.hold('b', 20), helper.hold('c', 30), helper.hold('d', 5, 'cyd');
select helper.usage('many', 'tokens', '{bot}');

-- For less, for more, for what was held, for nothing; one that two items name is settled by the first.
select * from helper.many(helper.settlement('c', 40), helper.settlement('a', 1.5), helper.settlement('b'), helper.settlement('c', 7), helper.settlement('d', 0));
select helper.usage('many', 'tokens', '{bot}');
select h.name, r.state, r.settled_amount, e.amount, e.entity_ids
from helper.holds h
join gov_reservations r using (id)
join gov_events e on e.id = r.event_id
order by e.id;
-- settled again, by whichever call
select * from helper.many(helper.settlement('a', 99), helper.settlement('b'));
select is_duplicate from helper.holds h, gov_settle(h.id) where h.name = 'c';

-- What is wrong with one is said of it, and the others are settled.
select helper.hold('released', 1), helper.hold('good', 2), helper.hold('better', 3), helper.hold('expired', 4, 'bot', '1 microsecond'), helper.hold('deleted', 6, 'ann');
select gov_release(id) from helper.holds where name = 'released';
select * from helper.many(helper.settlement('released'), helper.settlement('good'), helper.settlement('better', -1), helper.settlement('nobody'), helper.settlement('expired', 3),
    '{"reservationId": "0b8f3c52-6f0e-4d0c-9d3e-2f5a0c7d1e44"}', '{"reservationId": "not one"}', '{"reservationId": 7}', '{}', '7', '{"reservationId": null}',
    '{"reservationId": "0b8f3c52-6f0e-4d0c-9d3e-2f5a0c7d1e44", "amount": "1"}', '{"reservationId": "0b8f3c52-6f0e-4d0c-9d3e-2f5a0c7d1e44", "colour": "green"}',
    helper.settlement('better', 1e18), helper.settlement('better', 2));
select helper.usage('many', 'tokens', '{bot}');
-- a budget that a hold was held against is gone
delete from gov_assignments where owner_id = 'many' and entity_id = 'ann';
select * from helper.many(helper.settlement('deleted', 1));
select helper.usage('many', 'tokens', '{bot}');

-- What is rolled back was never settled. What a settlement gives back is there for the transaction itself.
select helper.hold('e', 20), helper.hold('f', 10);
begin;
select * from helper.many(helper.settlement('e', 1), helper.settlement('f', 2));
select helper.usage('many', 'tokens', '{bot}');
savepoint s;
select * from helper.many(helper.settlement('e', 3));
rollback to s;
rollback;
select helper.usage('many', 'tokens', '{bot}');
select * from helper.many(helper.settlement('f', 4), helper.settlement('e', 5));
-- made and settled in one transaction
begin;
select helper.hold('g', 2), helper.hold('h', 2);
select * from helper.many(helper.settlement('h', 1), helper.settlement('g', 1));
select count(distinct xmin::text) as transactions from gov_events where owner_id = 'many' and recorded_at > now() - interval '1 minute' and xmin::text = pg_current_xact_id()::text;
commit;

-- A thousand at once, in one transaction and none within it.
select count(*) from (select helper.hold('thousand ' || n, 0.01) from generate_series(1, 1000) n) s;
create table helper.answer as
select * from gov_settle_many((select jsonb_agg(helper.settlement('thousand ' || n, 0.002) order by n) from generate_series(1, 1000) n));
select count(*) as items, count(event_id) as settled, count(error) as failed from helper.answer;
select count(distinct e.xmin::text) as transactions, count(distinct r.xmin::text) as of_holds, sum(e.amount) as used
from helper.answer a join gov_events e on e.id = a.event_id join gov_reservations r on r.event_id = e.id;
select helper.usage('many', 'tokens', '{bot}');

-- Of another owner than the session's there is none.
call helper.organisation('other');
select helper.hold('mine', 1);
set governance.owner = 'other';
select * from helper.many(helper.settlement('mine'));
set governance.owner = 'many';
select * from helper.many(helper.settlement('mine'));
set governance.owner = '';

-- A hold of what is under way is given back, and has no event; one of several capabilities is settled by gov_settle_all.
insert into gov_capabilities (id, kind) values ('lanes', 'concurrency') on conflict do nothing;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('many', 'bot', 'lanes', 2);
insert into helper.holds select 'lane', reservation_id from gov_reserve('many', 'lanes', 1, null, '{bot}') where is_granted;
insert into helper.holds select 'several', reservation_id from gov_reserve_all('many', '{"tokens": 1, "calls": 1}', null, '{bot}') where is_granted;
select * from helper.many(helper.settlement('several'), helper.settlement('lane'), helper.settlement('mine'), helper.settlement('lane'));
select remaining from gov_check('many', 'lanes', 0, null, '{bot}');
select gov_release(id) from helper.holds where name = 'several';

-- What is raised while something is written ends the call.
create function helper.refuse() returns trigger language plpgsql as $$ begin raise 'refused'; end $$;
create trigger helper_refuse before update on gov_reservations for each row when (new.settled_amount = 13) execute function helper.refuse();
select helper.hold('i', 5), helper.hold('j', 13, 'cyd');
select * from helper.many(helper.settlement('i'), helper.settlement('j'));
drop trigger helper_refuse on gov_reservations;
create function helper.leave_out() returns trigger language plpgsql as $$ begin return null; end $$;
create trigger helper_leave_out before update on gov_reservations for each row when (new.settled_amount = 13) execute function helper.leave_out();
select * from helper.many(helper.settlement('i'), helper.settlement('j'));
drop trigger helper_leave_out on gov_reservations;
select * from helper.many(helper.settlement('i'), helper.settlement('j'));
call helper.roll_up();
select helper.usage('many', 'tokens', '{bot}');
select count(*) as wrong from gov_verify();
select gov_delete_owner('many'), gov_delete_owner('other');
delete from gov_capabilities where id = 'lanes';
