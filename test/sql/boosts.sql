-- Boosts: what is added to a limit for a time, or taken off it.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
create function helper.boosts(owner text) returns table (entity text, amount numeric, reason text, state text)
language sql
as $$
    select entity_id, amount, reason, case when valid_from > gov_now() then 'to come' when valid_until <= gov_now() then 'over' else 'in force' end
    from gov_boosts where owner_id = owner order by entity_id, amount, valid_from
$$;
\set ECHO all
call helper.organisation('boosts');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('boosts', 'acme', 'tokens', 1000, 'P100Y'), ('boosts', 'ann', 'tokens', 10, 'P100Y'), ('boosts', 'eng', 'tokens', null, 'P100Y');
select is_granted, remaining from gov_consume('boosts', 'tokens', 8, null, '{ann}');
select is_granted, denied_reason, remaining, retry_at from gov_consume('boosts', 'tokens', 3, null, '{ann}');

-- Until Friday, twice as much.
select gov_boost('boosts', 'ann', 'tokens', 10, '2099-12-31', 'a launch') as boost \gset
select is_granted, remaining, helper.show(chains) from gov_consume('boosts', 'tokens', 3, null, '{ann}');
select is_granted, denied_reason, remaining, retry_at from gov_consume('boosts', 'tokens', 21, null, '{ann}');
select is_granted, denied_reason, remaining, retry_at from gov_consume('boosts', 'tokens', 10, null, '{ann}');
-- all show it
select entity_id, usage_limit, trim_scale(current_usage) as current_usage, trim_scale(remaining) as remaining from gov_headroom('boosts', 'tokens', 0, null, '{ann}');
select entity_id, usage_limit, base_limit, remaining, utilization from gov_budgets where owner_id = 'boosts' order by 1;
select entity_id, usage_limit, base_limit, remaining from gov_budgets where owner_id = 'boosts' and entity_id = 'ann';
select r ->> 'entityId' as entity, r ->> 'usageLimit' as usage_limit, r ->> 'baseLimit' as base_limit, r ->> 'remaining' as remaining, r ->> 'utilization' as utilization
from jsonb_path_query(gov_query('boosts', '{tokens}'), '$.data[*]') r;
select r ->> 'entityId' as entity, r ->> 'usageLimit' as usage_limit, r ->> 'baseLimit' as base_limit from jsonb_path_query(gov_query('boosts', '{tokens}', under_entity_id => 'ann'), '$.data[*]') r;
select entity_id, usage_limit, remaining from gov_tree('boosts', '{tokens}');
select entity_id, usage_limit, allocated from gov_allocations where owner_id = 'boosts' order by 1;
-- the budget itself is as it was
select usage_limit from gov_assignments where owner_id = 'boosts' and entity_id = 'ann';
select created_by = session_user as created_by_me, reason, valid_until from gov_boosts where id = :'boost';

-- Boosts add up; a cut takes off, to no less than 0; one that begins later does nothing yet, but says when to come back.
select gov_boost('boosts', 'ann', 'tokens', -5, reason => 'a cut') as cut \gset
select gov_boost('boosts', 'ann', 'tokens', 100, '2098-01-01', 'in a far year', valid_from => '2097-01-01') as later \gset
select * from helper.boosts('boosts');
select is_granted, denied_reason, remaining, retry_at from gov_check('boosts', 'tokens', 5, null, '{ann}');
select is_granted, denied_reason, remaining, retry_at from gov_check('boosts', 'tokens', 105, null, '{ann}');
select is_granted, denied_reason, remaining, retry_at from gov_check('boosts', 'tokens', 200, null, '{ann}');
update gov_boosts set amount = -50 where id = :'cut';
select is_granted, denied_reason, remaining, helper.show(chains) from gov_check('boosts', 'tokens', 0, null, '{ann}');
select usage_limit, base_limit, remaining, utilization from gov_budgets where owner_id = 'boosts' and entity_id = 'ann';
delete from gov_boosts where id in (:'cut', :'later');
select is_granted, remaining from gov_check('boosts', 'tokens', 5, null, '{ann}');
-- one is ended early
update gov_boosts set valid_until = now() - interval '1 second', valid_from = '2020-01-01' where id = :'boost';
select is_granted, denied_reason, remaining from gov_check('boosts', 'tokens', 1, null, '{ann}');
-- in the transaction that makes it at once, and a rollback takes it back
begin;
select gov_boost('boosts', 'ann', 'tokens', 7) is not null as made;
select is_granted, remaining from gov_consume('boosts', 'tokens', 5, null, '{ann}');
rollback;
select is_granted, remaining from gov_check('boosts', 'tokens', 5, null, '{ann}');

-- Scoped and named budgets have theirs.
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit) values ('boosts', 'ann', 'tokens', '{gpt,opus}', 'both', 1), ('boosts', 'ann', 'tokens', '{gpt}', '', 2);
select gov_boost('boosts', 'ann', 'tokens', 4, name => 'both', scope_entity_ids => '{opus,gpt,gpt}') is not null as made;
select entity_id, scope_entity_ids, name, usage_limit from gov_headroom('boosts', 'tokens', 0, null, '{ann,gpt,opus}');

-- Thresholds are of the limit in force: a boundary raises no alert, the next use does.
call helper.organisation('alerted');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, alert_thresholds) values ('alerted', 'ann', 'tokens', 100, '{50,90}');
select gov_boost('alerted', 'ann', 'tokens', 100) as boost \gset
select count(gov_ingest('alerted', 'tokens', 60, null, '{ann}'));
select threshold, usage, usage_limit from gov_alerts where owner_id = 'alerted' order by id;
select count(gov_ingest('alerted', 'tokens', 45, null, '{ann}'));
select threshold, usage, usage_limit from gov_alerts where owner_id = 'alerted' order by id;
delete from gov_boosts where id = :'boost';
select threshold, usage, usage_limit from gov_alerts where owner_id = 'alerted' order by id;
select count(gov_ingest('alerted', 'tokens', 1, null, '{ann}'));
select threshold, usage, usage_limit from gov_alerts where owner_id = 'alerted' order by id;
select gov_delete_owner('alerted');

-- They go with the budget, or with its limit.
update gov_assignments set usage_limit = null where owner_id = 'boosts' and name = 'both';
select * from helper.boosts('boosts');
select gov_boost('boosts', 'ann', 'tokens', 4) is not null, gov_boost('boosts', 'ann', 'tokens', 4, valid_from => '2090-01-01') is not null;
update gov_assignments set usage_limit = null where owner_id = 'boosts' and entity_id = 'ann' and scope_entity_ids = '{}';
select * from helper.boosts('boosts');
delete from gov_assignments where owner_id = 'boosts' and entity_id = 'ann' and scope_entity_ids = '{}';
select * from helper.boosts('boosts');

-- At most 16 that have not ended.
select count(gov_boost('boosts', 'acme', 'tokens', 1)) from generate_series(1, 16);
select gov_boost('boosts', 'acme', 'tokens', 1);
select usage_limit from gov_headroom('boosts', 'tokens', 0, null, '{acme}');
update gov_boosts set valid_from = '2020-01-01', valid_until = '2020-02-01' where id = (select id from gov_boosts where owner_id = 'boosts' and entity_id = 'acme' limit 1);
select gov_boost('boosts', 'acme', 'tokens', 1) is not null as made;

-- Bad input changes nothing.
select gov_boost(null, 'acme', 'tokens', 1);
select gov_boost('boosts', null, 'tokens', 1);
select gov_boost('boosts', 'acme', null, 1);
select gov_boost('boosts', 'acme', 'tokens', null);
select gov_boost('boosts', 'acme', 'tokens', 1, name => null);
select gov_boost('boosts', 'acme', 'tokens', 1, scope_entity_ids => '{null}');
select gov_boost('boosts', 'acme', 'tokens', 1, scope_entity_ids => '{{a},{b}}');
select gov_boost('boosts', 'acme', 'tokens', 1, valid_from => null);
select gov_boost('boosts', 'nobody', 'tokens', 1);
select gov_boost('boosts', 'acme', 'calls', 1);
select gov_boost('boosts', 'acme', 'tokens', 0);
select gov_boost('boosts', 'acme', 'tokens', 'NaN');
select gov_boost('boosts', 'acme', 'tokens', 1e18);
select gov_boost('boosts', 'acme', 'tokens', 1, now() - interval '1 second');
select gov_boost('boosts', 'acme', 'tokens', 1, '2090-01-01', valid_from => '2090-01-01');
select gov_boost('boosts', 'acme', 'tokens', 1, valid_from => '-infinity');
select gov_boost('boosts', 'acme', 'tokens', 1, reason => '');
select gov_boost('boosts', 'eng', 'tokens', 1);
insert into gov_boosts (owner_id, entity_id, capability_id, amount) values ('boosts', 'eng', 'tokens', 1);
insert into gov_boosts (owner_id, entity_id, capability_id, amount) values ('boosts', 'ops', 'tokens', 1);
delete from gov_boosts where owner_id = 'boosts' and entity_id = 'acme' and valid_until is null;
insert into gov_boosts (owner_id, entity_id, capability_id, amount) values ('boosts', 'acme', 'tokens', 0);
insert into gov_boosts (owner_id, entity_id, capability_id, amount, valid_until) values ('boosts', 'acme', 'tokens', 1, 'infinity');
update gov_boosts set entity_id = 'eng' where owner_id = 'boosts';
select count(*), sum(amount) from gov_boosts where owner_id = 'boosts' and entity_id = 'acme';
begin;
truncate gov_assignments;
select count(*) from gov_boosts;
rollback;
select gov_delete_owner('boosts');
select count(*) from gov_boosts where owner_id = 'boosts';
