-- What a grant has paid of a debt from the moment at which it took effect is paid when something is given back, whether a use has written it
-- down by then or not.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
create function helper.draws(owner text) returns table (event int, grantee text, amount numeric)
language sql
as $$
    select dense_rank() over (order by d.event_id)::int, coalesce(g.category, 'debt'), trim_scale(d.amount)
    from gov_event_draws d
    left join gov_grants g on g.id = d.grant_id
    where d.owner_id = owner
    order by d.event_id, d.amount < 0 desc, 2, 3
$$;
create function helper.balances(owner text) returns table (grantee text, granted numeric, drawn numeric, held numeric, expired numeric, remaining numeric)
language sql
as $$
    select g.category, b.granted, b.drawn, b.held, b.expired, b.remaining
    from gov_grant_balances b
    join gov_grants g on g.id = b.grant_id
    where b.owner_id = owner
    order by 1
$$;
\set ECHO all
call helper.organisation('pool-back');
insert into gov_assignments (owner_id, entity_id, capability_id, is_pool) values ('pool-back', 'acme', 'tokens', true);

-- The second grant pays 7: the first gets all 10 back.
select gov_grant_credits('pool-back', 'acme', 'tokens', 10, category => '1st') is not null as made;
select event_id as first_use from gov_ingest('pool-back', 'tokens', 10, null, '{ann}') \gset
select event_id as owed from gov_ingest('pool-back', 'tokens', 7, null, '{ann}') \gset
select gov_grant_credits('pool-back', 'acme', 'tokens', 100, category => '2nd') as second \gset
begin;
select event_id is not null as reversed from gov_reverse(:first_use);
select * from helper.draws('pool-back') where event = 3;
select * from helper.balances('pool-back');
savepoint more;
select event_id is not null as reversed from gov_reverse(:owed, 1);
select * from helper.balances('pool-back');
rollback to more;
select remaining from gov_check('pool-back', 'tokens', 0, null, '{ann}');
rollback;
select * from helper.balances('pool-back');
select * from gov_verify('pool-back');

-- And has paid them when it is no more.
select gov_void_grant(:'second');
select * from helper.balances('pool-back');
select event_id is not null as reversed from gov_reverse(:first_use);
select * from helper.draws('pool-back') where event = 3;
select * from helper.balances('pool-back');
select remaining from gov_check('pool-back', 'tokens', 0, null, '{ann}');
-- What was owed and is paid comes back as credit, as a correction does.
select event_id is not null as reversed from gov_reverse(:owed, 2);
select remaining from gov_check('pool-back', 'tokens', 0, null, '{ann}');
select * from helper.balances('pool-back');
select * from gov_verify('pool-back');
select gov_drop_cache();
select remaining from gov_check('pool-back', 'tokens', 0, null, '{ann}');
select count(*) from gov_maintain();
select * from gov_verify('pool-back');

-- In the transaction that makes the pool.
begin;
insert into gov_assignments (owner_id, entity_id, capability_id, name, is_pool) values ('pool-back', 'acme', 'tokens', 'new', true);
select gov_grant_credits('pool-back', 'acme', 'tokens', 10, name => 'new', category => '3rd') is not null as made;
select event_id as use from gov_ingest('pool-back', 'tokens', 17, null, '{ann}') \gset
select gov_grant_credits('pool-back', 'acme', 'tokens', 100, name => 'new', category => '4th') is not null as made;
select event_id is not null as reversed from gov_reverse(:use, 8);
select name, remaining from gov_headroom('pool-back', 'tokens', 0, null, '{ann}') where name = 'new';
commit;
select name, remaining from gov_headroom('pool-back', 'tokens', 0, null, '{ann}') where name = 'new';
select * from gov_verify('pool-back');
