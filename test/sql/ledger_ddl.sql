-- The ledger's shape changes between two calls of a transaction: what is remembered of the table (src/ledger/shape.c) follows.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('ddl');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('ddl', 'bot', 'tokens', 100000, 'P100Y');
create function helper.use() returns boolean
language sql
as $$ select is_granted from gov_consume('ddl', 'tokens', 1, entity_ids => '{bot}') $$;
-- The owner's rows as each index has them, and as the table has them.
create function helper.by(index_only boolean) returns bigint
language plpgsql
as $$
declare
    n bigint;
begin
    perform set_config('enable_seqscan', (not index_only)::text, true), set_config('enable_indexscan', index_only::text, true),
            set_config('enable_bitmapscan', 'off', true), set_config('enable_indexonlyscan', 'off', true);
    execute $q$select count(*) from gov_events where caller <> '' and capability_id = 'tokens' and owner_id || '' = 'ddl'$q$ into n;
    return n;
end
$$;
select helper.use();

-- An index is made, used, dropped, made again: each row is in it that came while it was there or before.
begin;
select helper.use();
create index ledger_by_capability on gov_events (capability_id);
select helper.use();
select helper.by(false) as rows, helper.by(true) as indexed;
drop index ledger_by_capability;
select helper.use();
create index ledger_by_capability on gov_events (capability_id);
select helper.use();
select helper.by(false) as rows, helper.by(true) as indexed;
commit;
select helper.use();
select helper.by(false) as rows, helper.by(true) as indexed;

-- Rolled back to a savepoint: the index is gone, then it is there again.
begin;
savepoint a;
drop index ledger_by_capability;
select helper.use();
rollback to a;
select helper.use();
select helper.by(false) as rows, helper.by(true) as indexed;
savepoint b;
create index ledger_by_amount on gov_events (amount);
select helper.use();
rollback to b;
select helper.use();
release b;
savepoint c;
select helper.use();
release c;
select helper.use();
commit;
select helper.by(false) as rows, helper.by(true) as indexed;

-- A whole transaction is rolled back in which the table had an index, and one in which it had none.
begin;
create index ledger_by_amount on gov_events (amount);
select helper.use();
rollback;
select helper.use();
begin;
drop index ledger_by_capability;
select helper.use();
rollback;
select helper.use();
select helper.by(false) as rows, helper.by(true) as indexed;
reindex index ledger_by_capability;
begin;
select helper.use();
reindex table gov_events;
select helper.use();
commit;
select helper.by(false) as rows, helper.by(true) as indexed;
drop index ledger_by_capability;

-- An index with a predicate, an expression, a unique one, one that is not checked at once.
begin;
select helper.use();
create index ledger_partial on gov_events (capability_id) where amount = 1;
create index ledger_expression on gov_events ((amount * 2), owner_id) include (id);
select helper.use();
select helper.by(false) as rows;
select count(*) as twice from gov_events where amount * 2 = 2 and owner_id = 'ddl';
drop index ledger_partial, ledger_expression;
alter table gov_events add constraint ledger_unique unique (owner_id, id, amount) deferrable initially deferred;
select helper.use();
commit;
alter table gov_events drop constraint ledger_unique;
create unique index ledger_one_amount on gov_events (owner_id, amount) where owner_id = 'ddl' and amount = 77;
select is_granted from gov_consume('ddl', 'tokens', 77, entity_ids => '{bot}');
select helper.outcome($$select gov_consume('ddl', 'tokens', 77, null, '{bot}')$$);
drop index ledger_one_amount;
create unique index ledger_one_amount on gov_events (owner_id, amount, recorded_at);
begin;
select helper.use();
drop index ledger_one_amount;
select helper.use();
commit;

-- A column is added with a default, another without, one is dropped, between two calls.
begin;
select helper.use();
alter table gov_events add column note text default 'before';
select helper.use();
alter table gov_events add column other int;
select helper.use();
alter table gov_events drop column note;
select helper.use();
savepoint a;
alter table gov_events drop column other;
select helper.use();
rollback to a;
select helper.use();
commit;
select count(*) as rows, count(other) as others, sum(amount) as used from gov_events where owner_id = 'ddl';
alter table gov_events drop column other;
select helper.use();

-- An index whose expression calls us is refused, and the call's charge with it; without it calls go on.
create function helper.calls_us(bigint) returns boolean immutable
language sql
as $$ select is_granted from public.gov_consume('ddl', 'tokens', 1, null, '{bot}') $$;
create index ledger_calls_us on gov_events (helper.calls_us(id)) where owner_id = 'ddl' and amount = 55;
begin;
select helper.use();
select helper.outcome($$select gov_consume('ddl', 'tokens', 55, null, '{bot}')$$);
select helper.use();
commit;
drop index ledger_calls_us;
select is_granted from gov_consume('ddl', 'tokens', 55, entity_ids => '{bot}');
select helper.use();

-- A row that one index refuses is in none, and what the others kept for it is not used again.
begin;
create unique index ledger_once on gov_events (occurred_at);
select helper.outcome($$select gov_ingest('ddl', 'tokens', 1, null, '{bot}', null, '2020-01-01 00:00+00')$$);
select helper.outcome($$select gov_ingest('ddl', 'tokens', 1, null, '{bot}', null, '2020-01-01 00:00+00')$$);
select helper.use();
commit;
drop index ledger_once;
select helper.use();

-- A batch writes its rows together; an index that refuses one of them, or has to be evaluated for them, refuses the call.
create function helper.batch(last text) returns table (item int, is_recorded boolean, error_text text)
language sql
as $$
    select position, event_id is not null, error
    from gov_ingest_many('ddl', jsonb_build_array(
        jsonb_build_object('capabilityId', 'tokens', 'entityIds', array['bot'], 'occurredAt', '2021-01-01'),
        jsonb_build_object('capabilityId', 'tokens', 'entityIds', array['bot'], 'occurredAt', '2021-01-02'),
        jsonb_build_object('capabilityId', 'tokens', 'entityIds', array['bot'], 'occurredAt', '2021-01-03', 'idempotencyKey', 'once'),
        jsonb_build_object('capabilityId', 'tokens', 'entityIds', array['bot'], 'occurredAt', last)))
    order by position
$$;
begin;
create unique index ledger_once on gov_events (occurred_at);
select helper.outcome($$select * from helper.batch('2021-01-01')$$), helper.outcome($$select * from helper.batch('2021-01-03')$$);
select * from helper.batch('2021-01-04');
select count(*) as rows from gov_events where owner_id = 'ddl' and extract(year from occurred_at) = 2021;
rollback;
begin;
create unique index ledger_once on gov_events (occurred_at, (amount * 2));
select helper.outcome($$select * from helper.batch('2021-01-01')$$), helper.outcome($$select * from helper.batch('2021-01-03')$$);
select * from helper.batch('2021-01-04');
select count(*) as rows from gov_events where owner_id = 'ddl' and extract(year from occurred_at) = 2021;
rollback;
select * from helper.batch('2021-01-01');
select count(*) as rows from gov_events where owner_id = 'ddl' and extract(year from occurred_at) = 2021;

-- The index of the keys is rebuilt, and one of another form takes its place: a key is used once.
begin;
reindex index gov_events_key;
select is_duplicate from gov_ingest('ddl', 'tokens', 5, null, '{bot}', 'rebuilt');
select is_duplicate from gov_ingest('ddl', 'tokens', 5, null, '{bot}', 'rebuilt');
commit;
begin;
alter index gov_events_key rename to gov_events_former_key;
create unique index gov_events_key on gov_events (owner_id, idempotency_key) include (id) where idempotency_key is not null and owner_id is not null;
select is_duplicate from gov_ingest('ddl', 'tokens', 5, null, '{bot}', 'rebuilt');
select is_duplicate from gov_ingest('ddl', 'tokens', 5, null, '{bot}', 'other form');
select is_duplicate from gov_ingest('ddl', 'tokens', 5, null, '{bot}', 'other form');
rollback;
select is_duplicate from gov_ingest('ddl', 'tokens', 5, null, '{bot}', 'other form');

-- Holds go the same way.
begin;
select is_granted from gov_reserve('ddl', 'tokens', 1, entity_ids => '{bot}');
create index holds_by_amount on gov_reservations (amount);
select is_granted from gov_reserve('ddl', 'tokens', 1, entity_ids => '{bot}');
drop index holds_by_amount;
select is_granted from gov_reserve('ddl', 'tokens', 1, entity_ids => '{bot}');
commit;

-- What is counted is what is written.
select (select sum(amount) from gov_events where owner_id = 'ddl') = (chains #>> '{0,0,currentUsage}')::numeric as same
from gov_check('ddl', 'tokens', 0, entity_ids => '{bot}');
select count(*) as wrong from gov_verify('ddl');
select gov_delete_owner('ddl');
