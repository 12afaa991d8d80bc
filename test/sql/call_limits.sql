-- A limit of one call: a larger amount is denied, however much is left.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('calls');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, call_limit, cadence)
values ('calls', 'ann', 'tokens', 100, 10, 'P100Y');
select amount, is_granted, denied_reason, remaining, retry_at, helper.show(chains)
from unnest('{10,10.000000001,11,1000,0}'::numeric[]) as amount, gov_consume('calls', 'tokens', amount, null, '{bot}');
select is_granted, denied_reason, remaining, retry_at from gov_reserve('calls', 'tokens', 11, null, '{ann}');
select is_granted, denied_reason, remaining, retry_at from gov_check('calls', 'tokens', 11, null, '{ann}');
select gov_allowed('calls', 'tokens', 11, null, '{ann}'), gov_allowed('calls', 'tokens', 10, null, '{ann}');
select gov_require('calls', 'tokens', 11, null, '{ann}');
-- what is recorded counts
select event_id is not null as recorded from gov_ingest('calls', 'tokens', 80, null, '{ann}');
-- what is left is less than a call may use: the reason is the budget's, and there is a time
select is_granted, denied_reason, remaining, retry_at from gov_consume('calls', 'tokens', 10.5, null, '{ann}');
select is_granted, denied_reason, remaining, retry_at from gov_consume('calls', 'tokens', 10, null, '{ann}');
select is_granted, denied_reason, remaining, retry_at from gov_consume('calls', 'tokens', 1, null, '{ann}');

-- Without a limit of usage, and soft, which never denies.
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, call_limit, cadence, enforcement)
values ('calls', 'cyd', 'tokens', 'one', null, 5, null, 'hard'), ('calls', 'ops', 'tokens', 'soft', null, 1, null, 'soft');
select amount, is_granted, denied_reason, remaining, retry_at from unnest('{5,6}'::numeric[]) as amount, gov_consume('calls', 'tokens', amount, null, '{cyd}');
-- 0: nothing at a time but nothing
update gov_assignments set call_limit = 0 where owner_id = 'calls' and entity_id = 'cyd';
select amount, is_granted, denied_reason from unnest('{0,0.000000001}'::numeric[]) as amount, gov_consume('calls', 'tokens', amount, null, '{cyd}');

-- By the function: omitted keeps it, null takes it away, and it is rounded as limits are.
select a ->> 'callLimit' as call_limit from jsonb_array_elements(gov_upsert_assignments('calls', '[{"entityId": "ben", "capabilityId": "tokens", "usageLimit": 9, "callLimit": 2.0000000004, "cadence": null}, {"entityId": "ben", "capabilityId": "calls", "usageLimit": 9, "cadence": null}]')) a;
select a ->> 'callLimit' as call_limit, a ->> 'usageLimit' as usage_limit from jsonb_array_elements(gov_upsert_assignments('calls', '[{"entityId": "ben", "capabilityId": "tokens", "usageLimit": 8}]')) a;
select is_granted from unnest('{2,2.1}'::numeric[]) as amount, gov_consume('calls', 'tokens', amount, null, '{ben}');
select a ->> 'callLimit' as call_limit from jsonb_array_elements(gov_upsert_assignments('calls', '[{"entityId": "ben", "capabilityId": "tokens", "callLimit": null}]')) a;
select is_granted from gov_consume('calls', 'tokens', 2.1, null, '{ben}');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, call_limit) values ('calls', 'acme', 'tokens', 1000, 7.0000000006) returning call_limit;
-- from the view of a transaction that changed it
begin;
update gov_assignments set call_limit = 3 where owner_id = 'calls' and entity_id = 'acme';
select is_granted, denied_reason from gov_consume('calls', 'tokens', 4, null, '{acme}');
rollback;
select is_granted, denied_reason from gov_consume('calls', 'tokens', 4, null, '{acme}');

-- Tried on the past.
select denied_count, denied_amount from gov_backtest('calls', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": null, "callLimit": 9, "cadence": null}]', '-infinity', 'infinity');

-- Bad input changes nothing.
update gov_assignments set call_limit = -1 where owner_id = 'calls' and entity_id = 'acme';
update gov_assignments set call_limit = 'NaN' where owner_id = 'calls' and entity_id = 'acme';
select gov_upsert_assignments('calls', '[{"entityId": "acme", "capabilityId": "tokens", "callLimit": -1}]');
select gov_upsert_assignments('calls', '[{"entityId": "acme", "capabilityId": "tokens", "callLimit": "5"}]');
select call_limit from gov_assignments where owner_id = 'calls' and entity_id = 'acme';
select gov_delete_owner('calls');
