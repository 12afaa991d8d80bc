-- Pools in the calls of several capabilities, in many calls in one, and with what else budgets may be.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
create function helper.draws(owner text) returns table (event int, capability text, grantee text, amount numeric)
language sql
as $$
    select dense_rank() over (order by d.event_id)::int, e.capability_id, coalesce(g.category, 'debt'), trim_scale(d.amount)
    from gov_event_draws d
    join gov_events e on e.id = d.event_id
    left join gov_grants g on g.id = d.grant_id
    where d.owner_id = owner
    order by d.event_id, d.amount < 0 desc, 3, 4
$$;
create function helper.balances(owner text) returns table (grantee text, granted numeric, drawn numeric, held numeric, remaining numeric)
language sql
as $$
    select g.category, b.granted, b.drawn, b.held, b.remaining
    from gov_grant_balances b
    join gov_grants g on g.id = b.grant_id
    where b.owner_id = owner
    order by 1
$$;
\set ECHO all
call helper.organisation('pc');
insert into gov_capabilities (id, kind, unit) values ('dollars', 'credit', 'USD'), ('slots', 'concurrency', 'request');
insert into gov_prices (capability_id, quantity, price, per, valid_from) values ('dollars', 'input', 2, 1000, '2020-01-01');
select jsonb_array_length(gov_upsert_assignments('pc', '[{"entityId": "acme", "capabilityId": "tokens", "isPool": true},
    {"entityId": "acme", "capabilityId": "dollars", "isPool": true},
    {"entityId": "ann", "capabilityId": "calls", "usageLimit": 20, "cadence": "P100Y"}]')) as made;
select gov_grant_credits('pc', 'acme', 'tokens', 30, '2099-01-01', category => 'monthly') is not null as made;
select gov_grant_credits('pc', 'acme', 'tokens', 70, category => 'bought') is not null as made;
select gov_grant_credits('pc', 'acme', 'dollars', 10, category => 'money') is not null as made;

-- Each event draws from the pools of its own capability.
select is_granted, remaining from gov_consume_all('pc', '{"tokens": 40, "dollars": {"input": 1500}, "calls": 1}', null, '{ann}', 'key');
select is_granted, is_duplicate from gov_consume_all('pc', '{"tokens": 40, "dollars": {"input": 1500}, "calls": 1}', null, '{ann}', 'key');
select * from helper.draws('pc');
select * from helper.balances('pc');
-- All or nothing.
select is_granted, denied_reason, denied_capability_id, remaining from gov_consume_all('pc', '{"tokens": 61, "dollars": 1, "calls": 1}', null, '{ann}');
select is_granted, denied_reason, denied_capability_id, remaining from gov_check_all('pc', '{"tokens": 60, "dollars": 7.1}', null, '{ann}');
select * from helper.balances('pc');

-- A hold of several takes what is left of each pool, and is settled as it turns out.
select reservation_id as hold, is_granted, remaining from gov_reserve_all('pc', '{"tokens": 20, "dollars": {"input": 500}, "calls": 1}', null, '{ann}') \gset
select :'is_granted' as is_granted, :'remaining' as remaining;
select * from helper.balances('pc');
select is_granted, denied_capability_id, remaining from gov_check_all('pc', '{"tokens": 41, "dollars": 1}', null, '{ann}');
select event_ids is not null as settled, is_duplicate from gov_settle_all(:'hold', '{"tokens": 65, "dollars": {"input": 100}, "calls": 1}');
select * from helper.draws('pc') where event > 2;
select * from helper.balances('pc');
select entity_id, capability_id, usage_limit, current_usage, remaining from gov_budgets where owner_id = 'pc' and entity_id = 'acme' order by 2;
select reservation_id as hold, is_granted from gov_reserve_all('pc', '{"dollars": 2, "calls": 1}', null, '{ann}') \gset
select gov_release(:'hold');
select * from helper.balances('pc');
select * from gov_verify('pc');

-- Each of many sees what those before it have drawn; the first grant pays what is owed.
select gov_grant_credits('pc', 'acme', 'tokens', 25, category => 'top-up') is not null as made;
select "position", is_granted, denied_reason, remaining, error
from gov_consume_many('[{"ownerId": "pc", "capabilityId": "tokens", "amount": 12, "entityIds": ["ann"]},
    {"ownerId": "pc", "capabilityId": "tokens", "amount": 9, "entityIds": ["ann"]},
    {"ownerId": "pc", "capabilityId": "tokens", "amount": 8, "entityIds": ["ann"]},
    {"ownerId": "pc", "capabilityId": "dollars", "amount": 0.8, "entityIds": ["ann"]},
    {"ownerId": "pc", "capabilityId": "tokens", "amount": -1, "entityIds": ["ann"]}]')
order by 1;
select * from helper.draws('pc') where event > 4;
select * from helper.balances('pc');
select count(*) from gov_ingest_each('[{"ownerId": "pc", "capabilityId": "tokens", "amount": 2, "entityIds": ["ann"]},
    {"ownerId": "pc", "capabilityId": "tokens", "amount": 3, "entityIds": ["ann"]}]');
select * from helper.draws('pc') where event > 7;
begin;
select count(*) filter (where is_granted) as granted
from gov_consume_many('[{"ownerId": "pc", "capabilityId": "dollars", "amount": 1, "entityIds": ["ann"]}, {"ownerId": "pc", "capabilityId": "dollars", "amount": 2, "entityIds": ["ann"]}]');
select * from helper.balances('pc') where grantee = 'money';
rollback;
select * from helper.balances('pc');
select * from gov_verify('pc');
select count(*) from gov_maintain();
select * from gov_verify('pc');
select gov_drop_cache();
select * from helper.balances('pc');
select is_granted, denied_capability_id, remaining from gov_check_all('pc', '{"tokens": 1, "dollars": 1}', null, '{ann}');

-- What a pool is not.
insert into gov_assignments (owner_id, entity_id, capability_id, is_pool) values ('pc', 'acme', 'slots', true);
insert into gov_assignments (owner_id, entity_id, capability_id, is_pool, cadence, window_kind) values ('pc', 'eng', 'tokens', true, 'P1D', 'first_use');
insert into gov_assignments (owner_id, entity_id, capability_id) values ('pc', 'acme', 'slots');
update gov_assignments set is_pool = true where owner_id = 'pc' and entity_id = 'acme' and capability_id = 'slots';
update gov_capabilities set kind = 'concurrency' where id = 'dollars';
select gov_delete_owner('pc');
delete from gov_prices where capability_id = 'dollars';
delete from gov_capabilities where id in ('dollars', 'slots');
