-- Pools take what they may use from grants. Uses draw from grants in an order, what is left of one at its end is forfeited, and what
-- no grant had is owed, until the next one takes effect.
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
call helper.organisation('pool');
select r ->> 'isPool' as is_pool, r -> 'usageLimit' as usage_limit, r ->> 'debtLimit' as debt_limit
from jsonb_array_elements(gov_upsert_assignments('pool', '[{"entityId": "acme", "capabilityId": "tokens", "isPool": true},
    {"entityId": "ann", "capabilityId": "tokens", "usageLimit": 500, "cadence": "P100Y"}]')) r;

-- Nothing is granted yet.
select is_granted, denied_reason, remaining, retry_at from gov_consume('pool', 'tokens', 1, null, '{ann}');

-- What expires first is used first, but for what has a lower priority.
select gov_grant_credits('pool', 'acme', 'tokens', 100, category => 'bought') is not null as made;
select gov_grant_credits('pool', 'acme', 'tokens', 50, '2099-01-01', category => 'monthly') is not null as made;
select gov_grant_credits('pool', 'acme', 'tokens', 10, priority => 1, category => 'promotion') is not null as made;
select is_granted, remaining, helper.show(chains) from gov_consume('pool', 'tokens', 15, null, '{ann}');
select is_granted, remaining, helper.show(chains) from gov_consume('pool', 'tokens', 50, null, '{ann}');
select * from helper.draws('pool');
select * from helper.balances('pool');
select is_granted, denied_reason, remaining, retry_at from gov_consume('pool', 'tokens', 96, null, '{ann}');
select is_granted, denied_reason, remaining, retry_at from gov_consume('pool', 'tokens', 161, null, '{ann}');
-- all show it
select entity_id, usage_limit, trim_scale(current_usage) as current_usage, trim_scale(remaining) as remaining from gov_headroom('pool', 'tokens', 0, null, '{ann}');
select entity_id, usage_limit, base_limit, current_usage, remaining, utilization from gov_budgets where owner_id = 'pool' order by 1;
select entity_id, usage_limit, base_limit, current_usage, remaining from gov_budgets where owner_id = 'pool' and entity_id = 'acme';
select r ->> 'entityId' as entity, r ->> 'usageLimit' as usage_limit, r ->> 'baseLimit' as base_limit, r ->> 'currentUsage' as usage, r ->> 'remaining' as remaining, r ->> 'utilization' as utilization
from jsonb_path_query(gov_query('pool', '{tokens}'), '$.data[*]') r;
select entity_id, usage_limit, current_usage, remaining from gov_tree('pool', '{tokens}');
select entity_id, usage_limit from gov_allocations where owner_id = 'pool' order by 1;
select * from gov_verify('pool');
select count(*) from gov_maintain();
select * from gov_verify('pool');
select * from helper.balances('pool');
select gov_drop_cache();
select entity_id, usage_limit, trim_scale(current_usage) as current_usage, trim_scale(remaining) as remaining from gov_headroom('pool', 'tokens', 0, null, '{ann}');

-- Holds take what is left, of no grant in particular.
select reservation_id as hold, is_granted, remaining from gov_reserve('pool', 'tokens', 60, null, '{ann}') \gset
select :'is_granted' as is_granted, :'remaining' as remaining;
select * from helper.balances('pool');
select is_granted, denied_reason, remaining from gov_check('pool', 'tokens', 36, null, '{ann}');
-- settled for more than there is: what no grant has is owed
select event_id is not null as recorded from gov_settle(:'hold', 100);
select * from helper.draws('pool') where event = 3;
select * from helper.balances('pool');
select entity_id, usage_limit, current_usage, remaining from gov_budgets where owner_id = 'pool' order by 1;
select is_granted, denied_reason, remaining from gov_check('pool', 'tokens', 1, null, '{ann}');
-- the next grant pays it, from the moment at which it takes effect
select gov_grant_credits('pool', 'acme', 'tokens', 30, category => 'top-up', reference => 'payment 1') as top_up \gset
select gov_grant_credits('pool', 'acme', 'tokens', 30, category => 'top-up', reference => 'payment 1') = :'top_up' as same;
select gov_grant_credits('pool', 'acme', 'tokens', 31, category => 'top-up', reference => 'payment 1');
select * from helper.balances('pool');
select entity_id, usage_limit, current_usage, remaining from gov_budgets where owner_id = 'pool' order by 1;
select is_granted, remaining, helper.show(chains) from gov_consume('pool', 'tokens', 7, null, '{ann}');
select * from helper.draws('pool') where event = 4;
select * from gov_verify('pool');
select gov_drop_cache();
select is_granted, remaining, helper.show(chains) from gov_check('pool', 'tokens', 7, null, '{ann}');

-- A rollback gives back to the grants that were drawn from.
begin;
select is_granted, remaining from gov_consume('pool', 'tokens', 5, null, '{ann}');
select * from helper.balances('pool');
rollback;
select * from helper.balances('pool');
select is_granted, remaining from gov_check('pool', 'tokens', 7, null, '{ann}');

-- A reversal, too, the last one first.
select event_id as use from gov_ingest('pool', 'tokens', 20, null, '{ann}') \gset
select * from helper.draws('pool') where event = 5;
select event_id is not null as reversed from gov_reverse(:use, 4);
select event_id is not null as reversed from gov_reverse(:use, 6);
select * from helper.draws('pool') where event > 5;
select * from helper.balances('pool');
select is_granted, remaining from gov_check('pool', 'tokens', 7, null, '{ann}');
select event_id is not null as reversed from gov_reverse(:use);
select is_granted, remaining from gov_check('pool', 'tokens', 7, null, '{ann}');
select * from gov_verify('pool');

-- One that is voided is used no more; what it has paid is paid.
select gov_void_grant(:'top_up');
select * from helper.balances('pool');
select is_granted, denied_reason, remaining from gov_check('pool', 'tokens', 1, null, '{ann}');
update gov_grants set voided_at = null where id = :'top_up';
select gov_void_grant(:'top_up');

-- A debt limit.
update gov_assignments set debt_limit = 5 where owner_id = 'pool' and is_pool;
select is_granted, denied_reason, remaining from gov_consume('pool', 'tokens', 6, null, '{ann}');
select is_granted, denied_reason, remaining from gov_consume('pool', 'tokens', 4, null, '{ann}');
select is_granted, denied_reason, remaining from gov_consume('pool', 'tokens', 2, null, '{ann}');
-- a correction makes it smaller, and past it there is credit, which comes first
select event_id is not null as recorded from gov_ingest('pool', 'tokens', -6, null, '{ann}');
select is_granted, remaining, helper.show(chains) from gov_check('pool', 'tokens', 7, null, '{ann}');
select gov_grant_credits('pool', 'acme', 'tokens', 10, '2099-01-01', category => 'later', effective_at => '2098-01-01') is not null as made;
select is_granted, denied_reason, remaining, retry_at from gov_check('pool', 'tokens', 17, null, '{ann}');
select is_granted, denied_reason, remaining, retry_at from gov_check('pool', 'tokens', 18, null, '{ann}');
select is_granted, remaining from gov_consume('pool', 'tokens', 3, null, '{ann}');
select * from gov_verify('pool');
select gov_drop_cache();
select is_granted, remaining, helper.show(chains) from gov_check('pool', 'tokens', 4, null, '{ann}');

-- What cannot be.
update gov_assignments set usage_limit = 5 where owner_id = 'pool' and is_pool;
update gov_assignments set cadence = 'P1D' where owner_id = 'pool' and is_pool;
update gov_assignments set is_pool = false, debt_limit = 0 where owner_id = 'pool' and is_pool;
update gov_assignments set debt_limit = 5 where owner_id = 'pool' and entity_id = 'ann';
select gov_boost('pool', 'acme', 'tokens', 10);
select gov_grant_credits('pool', 'ann', 'tokens', 10);
select gov_grant_credits('pool', 'eng', 'tokens', 10);
select gov_grant_credits('pool', 'acme', 'tokens', 0);
select gov_grant_credits('pool', 'acme', 'tokens', null);
select gov_grant_credits('pool', 'acme', 'tokens', 1, '2020-01-01');
select gov_grant_credits('pool', 'acme', 'tokens', 1, reference => '');
select gov_grant_credits(null, 'acme', 'tokens', 1);
select gov_void_grant(null);
select gov_void_grant('00000000-0000-0000-0000-000000000000');
update gov_grants set amount = 31 where id = :'top_up';
delete from gov_grants where id = :'top_up';
select gov_recount(id) from gov_assignments where owner_id = 'pool' and is_pool;
insert into gov_grants (owner_id, assignment_id, amount) values ('pool', '00000000-0000-0000-0000-000000000000', 1);
insert into gov_grants (owner_id, assignment_id, amount) select 'pool', id, 1 from gov_assignments where owner_id = 'pool' and entity_id = 'ann';
insert into gov_grants (owner_id, assignment_id, amount) select 'pool', id, -1 from gov_assignments where owner_id = 'pool' and is_pool;
insert into gov_grants (owner_id, assignment_id, amount, effective_at) select 'pool', a.id, 1, '2097-01-01' from gov_assignments a, generate_series(1, 255) where owner_id = 'pool' and is_pool;
select gov_grant_credits('pool', 'acme', 'tokens', 2);

-- A transaction's own grants and pools.
begin;
insert into gov_assignments (owner_id, entity_id, capability_id, is_pool) values ('pool', 'eng', 'tokens', true);
select gov_grant_credits('pool', 'eng', 'tokens', 10, category => 'own') is not null as made;
select is_granted, remaining, helper.show(chains) from gov_consume('pool', 'tokens', 1, null, '{ann}');
savepoint s;
select is_granted, remaining, helper.show(chains) from gov_consume('pool', 'tokens', 2, null, '{ann}');
rollback to s;
select is_granted, remaining, helper.show(chains) from gov_consume('pool', 'tokens', 1, null, '{ann}');
commit;
select is_granted, remaining, helper.show(chains) from gov_check('pool', 'tokens', 1, null, '{ann}');
select * from gov_verify('pool');

-- They go with their pool.
delete from gov_assignments where owner_id = 'pool' and is_pool;
select count(*) from gov_grants where owner_id = 'pool';
select count(*) from gov_grant_usage where owner_id = 'pool';
select is_granted, remaining, helper.show(chains) from gov_consume('pool', 'tokens', 1, null, '{ann}');
select * from gov_verify('pool');
select gov_delete_owner('pool');
