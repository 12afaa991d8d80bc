-- Usage belongs to the transaction that records it, savepoints and exception blocks included.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('trans');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('trans', 'bot', 'tokens', 100, 'P100Y'),
       ('trans', 'acme', 'tokens', 1000, null),
       ('trans', 'acme', 'calls', null, 'P100Y');
create function helper.ingest(amount numeric, entity text default 'bot') returns void
language sql
as $$ select gov_ingest('trans', 'tokens', amount, entity_ids => array[entity]) $$;
create view helper.usage as select helper.usage('trans', 'tokens', '{bot}');

-- A transaction sees what it used at once; a rollback takes it back.
begin;
select helper.ingest(30) \gset
table helper.usage;
select is_granted, remaining from gov_check('trans', 'tokens', 71, entity_ids => '{bot}');
rollback;
table helper.usage;
select count(*) from gov_events where owner_id = 'trans';
begin;
select helper.ingest(30) \gset
commit;
table helper.usage;

-- What gives headroom back counts in its own transaction at once, and goes with it.
begin;
select helper.ingest(-10) \gset
table helper.usage;
select gov_allowed('trans', 'tokens', 80, entity_ids => '{bot}');
rollback;
table helper.usage;
begin;
select helper.ingest(-10) \gset
select helper.ingest(5) \gset
select helper.ingest(-2) \gset
table helper.usage;
commit;
table helper.usage;

-- Savepoints: rolled back, released, nested, taken again under one name.
begin;
select helper.ingest(1) \gset
savepoint a;
select helper.ingest(2) \gset
savepoint b;
select helper.ingest(4) \gset
select helper.ingest(-3) \gset
table helper.usage;
rollback to b;
table helper.usage;
select helper.ingest(8) \gset
release b;
table helper.usage;
savepoint c;
select helper.ingest(16, 'cyd') \gset
release c;
table helper.usage;
rollback to a;
table helper.usage;
select helper.ingest(-4) \gset
savepoint a;
select helper.ingest(-8) \gset
rollback to a;
rollback to a;
table helper.usage;
commit;
table helper.usage;
-- relief in a released savepoint is kept until the end, and lost with an outer rollback
begin;
savepoint a;
savepoint b;
select helper.ingest(-20) \gset
release b;
table helper.usage;
rollback to a;
table helper.usage;
select helper.ingest(-1) \gset
release a;
table helper.usage;
rollback;
table helper.usage;

-- An error takes back what its statement, or its savepoint, had used.
select case when n < 3 then (select event_id from gov_ingest('trans', 'tokens', n, entity_ids => '{bot}')) else 1 / (n - 3) end from generate_series(1, 3) as n;
table helper.usage;
begin;
select helper.ingest(5) \gset
savepoint a;
select case when n < 3 then (select event_id from gov_ingest('trans', 'tokens', n, entity_ids => '{bot}')) else 1 / (n - 3) end from generate_series(1, 3) as n;
table helper.usage;
rollback to a;
table helper.usage;
commit;
table helper.usage;

-- Exception blocks in PL/pgSQL: every third amount fails after it was recorded.
do $$
begin
    for n in 1..30 loop
        begin
            perform helper.ingest(n);
            perform helper.ingest(-1);
            if n % 3 = 0 then
                raise exception 'no';
            end if;
        exception
            when raise_exception then
                null;
        end;
    end loop;
end
$$;
-- 1 + 2 + … + 30 is 465, the thirds of it 165: 300 less 20 corrections
table helper.usage;
do $$
begin
    begin
        perform helper.ingest(-250);
        begin
            perform helper.ingest(7);
            perform 1 / 0;
        exception
            when division_by_zero then
                if (table helper.usage) <> 'bot 55/100 (45) < acme 55/1000 (945)' then
                    raise exception 'usage is %', (table helper.usage);
                end if;
                perform helper.ingest(5);
        end;
        raise exception 'all of it';
    exception
        when raise_exception then
            if sqlerrm <> 'all of it' then
                raise;
            end if;
    end;
end
$$;
table helper.usage;

-- A procedure that commits and rolls back as it goes.
create procedure helper.batches()
language plpgsql
as $$
begin
    for n in 1..10 loop
        perform helper.ingest(-n);
        if n % 2 = 0 then
            commit;
        else
            rollback;
        end if;
    end loop;
end
$$;
call helper.batches();
table helper.usage;
begin;
select helper.ingest(25, 'cyd') \gset
commit and chain;
select helper.ingest(50, 'cyd') \gset
rollback and chain;
table helper.usage;
commit;

-- Many events in one transaction, taken back together and kept together.
begin;
select count(gov_ingest('trans', 'calls', 0.25, entity_ids => '{cyd}')) from generate_series(1, 5000) as n;
select helper.usage('trans', 'calls', '{bot}');
rollback;
select helper.usage('trans', 'calls', '{bot}');
begin;
do $$
begin
    for n in 1..500 loop
        begin
            perform gov_ingest('trans', 'calls', 0.25, entity_ids => '{cyd}');
            if n % 5 = 0 then
                raise exception 'no';
            end if;
        exception
            when raise_exception then
                null;
        end;
    end loop;
end
$$;
commit;
select helper.usage('trans', 'calls', '{bot}');

-- At every isolation level.
begin isolation level repeatable read;
select helper.ingest(-100) \gset
table helper.usage;
savepoint a;
select helper.ingest(-100) \gset
rollback to a;
table helper.usage;
commit;
begin isolation level serializable;
select helper.ingest(-100) \gset
table helper.usage;
commit;
table helper.usage;

-- Reading needs no right to write; writing in a read-only transaction is refused before anything is counted.
begin read only;
select is_granted, remaining from gov_check('trans', 'tokens', 25, entity_ids => '{bot}');
select count(*) from gov_headroom('trans', 'tokens', 25, entity_ids => '{bot}');
select event_id from gov_ingest('trans', 'tokens', 25, entity_ids => '{bot}');
rollback;
table helper.usage;

-- Two-phase commit is refused once usage is at stake, and the usage goes with the transaction.
begin;
select helper.ingest(20) \gset
prepare transaction 'trans';
table helper.usage;
begin;
update gov_assignments set usage_limit = 1 where owner_id = 'trans';
prepare transaction 'trans';
table helper.usage;

-- A cursor keeps recording while it is read, and only what is read.
begin;
declare uses cursor for select event_id from generate_series(1, 10) as n, gov_ingest('trans', 'tokens', 1, null, case when n > 0 then '{bot}'::text[] end);
move 3 in uses;
table helper.usage;
savepoint a;
move 2 in uses;
table helper.usage;
rollback to a;
table helper.usage;
rollback;

-- At the very end of a transaction: what deferred triggers and cursors record is counted, what a commit that fails had used is not.
create table helper.request (id int primary key, amount numeric, unique (amount) deferrable initially deferred);
create function helper.record_request() returns trigger
language plpgsql
as $$
begin
    perform helper.ingest(new.amount);
    return null;
end
$$;
create constraint trigger record after insert on helper.request deferrable initially deferred for each row execute function helper.record_request();
begin;
insert into helper.request values (1, 1), (2, 2);
table helper.usage;
commit;
table helper.usage;
begin;
select helper.ingest(5) \gset
select helper.ingest(-9) \gset
insert into helper.request values (3, 2);
table helper.usage;
commit;
table helper.usage;
begin;
select helper.ingest(-1) \gset
declare late cursor with hold for select (gov_ingest('trans', 'tokens', -n, entity_ids => '{bot}')).is_duplicate from generate_series(1, 2) as n;
table helper.usage;
commit;
table helper.usage;
close late;
-- a row trigger on the application's own table, in a statement that fails at its last row
create table helper.call (id int primary key);
create function helper.record_call() returns trigger
language plpgsql
as $$
begin
    perform helper.ingest(1);
    return new;
end
$$;
create trigger record before insert on helper.call for each row execute function helper.record_call();
insert into helper.call select n from generate_series(1, 4) as n;
table helper.usage;
insert into helper.call select n from generate_series(10, 5, -1) as n union all select 1;
table helper.usage;
insert into helper.call values (1), (5) on conflict do nothing;
table helper.usage;
copy helper.call from stdin;
6
7
\.
table helper.usage;
begin;
delete from helper.call;
select helper.ingest(-7) \gset
commit;

-- Deep in savepoints, more than are kept at hand.
do $$
begin
    execute 'create function helper.deep(n int) returns void language plpgsql as $f$
        begin
            perform helper.ingest(1);
            if n > 0 then
                perform helper.deep(n - 1);
            end if;
            if n % 2 = 0 then
                raise exception ''no'';
            end if;
        exception
            when raise_exception then
                null;
        end $f$';
end
$$;
select helper.deep(100) \gset
table helper.usage;
select helper.deep(99) \gset
table helper.usage;
select helper.ingest(-1) \gset

-- After all of it, the counts are what the ledger says, with and without a cache.
table helper.usage;
call helper.roll_up();
select gov_refresh() \gset
table helper.usage;
select helper.usage('trans', 'calls', '{bot}');
select sum(amount) from gov_events where owner_id = 'trans' and capability_id = 'tokens' and entity_ids @> '{bot}';
select count(*) as wrong from gov_verify('trans');
select gov_delete_owner('trans');
