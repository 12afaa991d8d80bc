-- gov_verify: a row per budget whose count differs from what the ledger says.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('verify');
call helper.organisation('verify-2');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
select o.id, b.entity_id, b.capability_id, b.usage_limit, b.cadence
from (values ('verify'), ('verify-2')) as o (id),
     (values ('bot', 'tokens', 100, 'P100Y'), ('eng', 'tokens', 200, 'P1M'), ('acme', 'tokens', 300, null), ('acme', 'calls', null, 'P1D')) as b (entity_id, capability_id, usage_limit, cadence);
create function helper.ingest(owner text, amount numeric, at timestamptz default null) returns void
language sql
as $$ select gov_ingest(owner, 'tokens', amount, null, '{bot,cyd}', null, at) $$;

-- Nothing used, nothing wrong; an unknown owner has nothing wrong either.
select count(*) as wrong from gov_verify('verify');
select count(*) as wrong from gov_verify('nobody');

-- Clean before, between and after rounds of the rollup.
select helper.ingest('verify', n * 0.5) from generate_series(1, 20) as n \g /dev/null
select helper.ingest('verify', n, timestamptz '2005-01-15 00:00Z' + n * interval '1 month') from generate_series(1, 20) as n \g /dev/null
select helper.ingest('verify-2', 3) \g /dev/null
select count(*) as wrong from gov_verify();
call helper.roll_up();
select count(*) as wrong from gov_verify();
select helper.ingest('verify', -2) \g /dev/null
select helper.ingest('verify', -2, '2005-03-01 00:00Z') \g /dev/null
select count(*) as wrong from gov_verify();
call helper.roll_up();
select count(*) as wrong from gov_verify();
-- 105 now, 210 late, less 4
select helper.usage('verify', 'tokens', '{bot}');

-- In a transaction, with what it has used itself, and with its rollback.
begin;
select helper.ingest('verify', 7) \g /dev/null
select helper.ingest('verify', -9) \g /dev/null
select count(*) as wrong from gov_verify('verify');
rollback;
select count(*) as wrong from gov_verify('verify');

-- A budget that began afresh is held against what it was charged since.
update gov_assignments set cadence = 'P1Y' where owner_id = 'verify' and entity_id = 'eng';
select helper.ingest('verify', 1) \g /dev/null
select count(*) as wrong from gov_verify('verify');
call helper.roll_up();
select count(*) as wrong from gov_verify('verify');

-- What is wrong is found, in the present window and in history, for its owner alone.
update gov_usage as u
set amount = u.amount + 1
from gov_assignments as a
where a.id = u.assignment_id
  and a.owner_id = 'verify'
  and a.entity_id = 'bot';
select gov_refresh() \gset
select count(*) as wrong from gov_verify('verify');
select count(*) as wrong from gov_verify('verify-2');
update gov_usage as u
set amount = u.amount - 1
from gov_assignments as a
where a.id = u.assignment_id
  and a.owner_id = 'verify'
  and a.entity_id = 'bot';
select gov_refresh() \gset
select count(*) as wrong from gov_verify('verify');
update gov_usage as u
set event_count = u.event_count + 1
from gov_assignments as a
where a.id = u.assignment_id
  and a.owner_id = 'verify-2'
  and a.entity_id = 'eng';
select (select count(*) from gov_verify('verify')) as verify, (select count(*) from gov_verify('verify-2')) as verify_2, (select count(*) > 0 from gov_verify()) as found;
update gov_usage as u
set event_count = u.event_count - 1
from gov_assignments as a
where a.id = u.assignment_id
  and a.owner_id = 'verify-2'
  and a.entity_id = 'eng';
select count(*) as wrong from gov_verify();
select gov_delete_owner('verify'), gov_delete_owner('verify-2');
select count(*) as wrong from gov_verify();
