-- What a budget carries over from one window to the next, with a clock that stands still.
set time zone 'UTC';
insert into gov_entity_types (id, attribution_keys) values ('cy-org', '{}'), ('cy-user', '{cyUser}');
insert into gov_capabilities (id) values ('cy-tokens');
insert into gov_entities (owner_id, id, type_id, parent_id, created_at) values ('cy', 'acme', 'cy-org', null, '2026-01-01Z'), ('cy', 'ann', 'cy-user', 'acme', '2026-01-01Z');

create function pg_temp.at(timestamptz) returns text language sql as
$$ select set_config('governance.fault_clock', (extract(epoch from $1 - timestamptz '2000-01-01 00:00Z') * 1000000)::bigint::text, false) $$;
create function pg_temp.everywhere() returns table (headroom text, query text, view text, tree text) language sql as
$$
    select
        (select string_agg(format('%s/%s/%s', h.usage_limit, h.current_usage, h.carried), ' ') from gov_headroom('cy', 'cy-tokens', 0, null, '{ann}') h),
        (select string_agg(format('%s/%s/%s', r ->> 'usageLimit', r ->> 'currentUsage', r ->> 'carried'), ' ') from jsonb_array_elements(gov_query('cy', '{cy-tokens}') -> 'data') r),
        (select string_agg(format('%s/%s/%s', b.usage_limit, b.current_usage, b.carried), ' ') from gov_budgets b where b.owner_id = 'cy'),
        (select string_agg(format('%s/%s/%s', t.usage_limit, t.current_usage, t.carried), ' ') from gov_tree('cy', '{cy-tokens}') t)
$$;

select pg_temp.at('2026-01-10Z') is not null;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, carry_unused_max, created_at) values ('cy', 'ann', 'cy-tokens', 100, 'P1M', 60, '2026-01-05Z');
select is_granted, remaining from gov_consume('cy', 'cy-tokens', 70, null, '{ann}');
select * from pg_temp.everywhere();
-- unused: 30
select pg_temp.at('2026-02-10Z') is not null;
select * from pg_temp.everywhere();
select is_granted, denied_reason, remaining from gov_consume('cy', 'cy-tokens', 131, null, '{ann}');
select is_granted, remaining from gov_consume('cy', 'cy-tokens', 40, null, '{ann}');
-- what was carried is used first: 90 of its own are left, of which 60 are carried
select pg_temp.at('2026-03-10Z') is not null;
select * from pg_temp.everywhere();
-- a late use of February, a correction, and one of January
select event_id is not null from gov_ingest('cy', 'cy-tokens', 50, null, '{ann}', null, '2026-02-20Z');
select * from pg_temp.everywhere();
select event_id is not null from gov_ingest('cy', 'cy-tokens', -20, null, '{ann}', null, '2026-02-20Z');
select * from pg_temp.everywhere();
select event_id is not null from gov_ingest('cy', 'cy-tokens', 25, null, '{ann}', null, '2026-01-20Z');
select * from pg_temp.everywhere();
select gov_refresh();
select * from pg_temp.everywhere();
-- nothing used in March and April
select pg_temp.at('2026-05-10Z') is not null;
select * from pg_temp.everywhere();
select gov_refresh();
select * from pg_temp.everywhere();
select count(*) from gov_verify('cy');

-- A debt: what went over takes from the next windows until it is made up for.
update gov_assignments set carry_debt = true where owner_id = 'cy';
select event_id is not null from gov_ingest('cy', 'cy-tokens', 390, null, '{ann}');
select * from pg_temp.everywhere();
select pg_temp.at('2026-06-10Z') is not null;
select * from pg_temp.everywhere();
select is_granted, denied_reason, retry_at from gov_consume('cy', 'cy-tokens', 1, null, '{ann}');
select pg_temp.at('2026-07-10Z') is not null;
select * from pg_temp.everywhere();
select pg_temp.at('2026-09-10Z') is not null;
select * from pg_temp.everywhere();

-- Boosts are of the window that they are in, and what is carried is without them.
select gov_boost('cy', 'ann', 'cy-tokens', 40, '2026-09-20Z', valid_from => '2026-09-01Z') is not null;
select * from pg_temp.everywhere();
select gov_boost('cy', 'ann', 'cy-tokens', -500, '2026-09-12Z', valid_from => '2026-09-01Z') is not null;
select * from pg_temp.everywhere();
delete from gov_boosts where owner_id = 'cy';

-- A limit that is changed after the turn: the former window had the former one.
select pg_temp.at('2026-09-29Z') is not null;
select is_granted, remaining from gov_consume('cy', 'cy-tokens', 110, null, '{ann}');
select pg_temp.at('2026-10-02Z') is not null;
update gov_assignments set usage_limit = 1000 where owner_id = 'cy';
select * from pg_temp.everywhere();
select gov_refresh();
select * from pg_temp.everywhere();
select pg_temp.at('2026-11-02Z') is not null;
select * from pg_temp.everywhere();

-- Thresholds are of the limit in force.
update gov_assignments set alert_thresholds = '{50}' where owner_id = 'cy';
select is_granted from gov_consume('cy', 'cy-tokens', 529, null, '{ann}');
select threshold, usage, usage_limit from gov_alerts where owner_id = 'cy';
select is_granted from gov_consume('cy', 'cy-tokens', 1, null, '{ann}');
select threshold, usage, usage_limit from gov_alerts where owner_id = 'cy';

-- A refund.
select pg_temp.at('2026-12-02Z') is not null;
select is_granted from gov_consume('cy', 'cy-tokens', 1060, null, '{ann}');
select pg_temp.at('2027-01-02Z') is not null;
select * from pg_temp.everywhere();
select event_id is not null from gov_reverse((select max(id) from gov_events where owner_id = 'cy'), 25);
select * from pg_temp.everywhere();
select count(*) from gov_verify('cy');

-- Counted again, it carries the same. With other windows it begins anew.
select count(*) from gov_assignments a cross join lateral gov_recount(a.id) r where a.owner_id = 'cy';
select * from pg_temp.everywhere();
update gov_assignments set cadence = 'P1D' where owner_id = 'cy';
select * from pg_temp.everywhere();
select count(*) from gov_verify('cy');

-- By a default, used or not.
delete from gov_assignments where owner_id = 'cy';
insert into gov_default_assignments (owner_id, type_id, capability_id, usage_limit, cadence, carry_unused_max, created_at) values ('cy', 'cy-user', 'cy-tokens', 20, 'P1M', 15, '2026-11-11Z');
insert into gov_entities (owner_id, id, type_id, parent_id, created_at) values ('cy', 'new', 'cy-user', 'acme', '2027-01-01 12:00Z');
select r ->> 'entityId' as entity, r ->> 'usageLimit' as usage_limit, r ->> 'carried' as carried from jsonb_array_elements(gov_query('cy', '{cy-tokens}', 'id', 'asc') -> 'data') r;
select entity_id, usage_limit, carried from gov_tree('cy', '{cy-tokens}');
select entity_id, usage_limit, carried from gov_headroom('cy', 'cy-tokens', 0, null, '{ann, new}');
select is_granted, remaining from gov_consume('cy', 'cy-tokens', 30, null, '{ann}');
select entity_id, usage_limit, carried from gov_tree('cy', '{cy-tokens}');
select pg_temp.at('2027-02-02Z') is not null;
select r ->> 'entityId' as entity, r ->> 'usageLimit' as usage_limit, r ->> 'carried' as carried from jsonb_array_elements(gov_query('cy', '{cy-tokens}', 'id', 'asc') -> 'data') r;
select entity_id, usage_limit, carried from gov_tree('cy', '{cy-tokens}');
select entity_id, usage_limit, carried from gov_headroom('cy', 'cy-tokens', 0, null, '{ann, new}');
select * from gov_report('cy', 'cy-tokens');
select chains -> 0 -> 0 -> 'carried' as carried from gov_check('cy', 'cy-tokens', 1, null, '{ann}');

-- What would have been denied: 30 are left of the first month, of which 20 are carried.
insert into gov_entities (owner_id, id, type_id, parent_id, created_at) values ('cy', 'tried', 'cy-org', 'acme', '2026-01-01Z');
select count(gov_ingest('cy', 'cy-tokens', amount, null, '{tried}', null, at)) from (values (70, timestamptz '2026-03-05Z'), (115, '2026-04-05Z'), (4, '2026-04-06Z'), (2, '2026-04-07Z'), (121, '2026-08-01Z'), (119, '2026-08-02Z')) u (amount, at);
select denied_count, denied_amount, first_denied_at from gov_backtest('cy', '[{"entityId": "tried", "capabilityId": "cy-tokens", "usageLimit": 100, "cadence": "P1M", "carryUnusedMax": 20}]', '2026-01-01Z', '2026-12-31Z');

-- What cannot carry over.
\set VERBOSITY terse
select pg_temp.at('2027-02-02Z') is not null;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, carry_unused_max) values ('cy', 'acme', 'cy-tokens', 10, null, 5);
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, carry_debt) values ('cy', 'acme', 'cy-tokens', null, 'P1D', true);
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, carry_unused_max, window_kind) values ('cy', 'acme', 'cy-tokens', 10, 'P1D', 5, 'first_use');
insert into gov_assignments (owner_id, entity_id, capability_id, is_pool, carry_debt) values ('cy', 'acme', 'cy-tokens', true, true);
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, carry_unused_max) values ('cy', 'acme', 'cy-tokens', 10, 'P1D', -1);
select gov_upsert_assignments('cy', '[{"entityId": "acme", "capabilityId": "cy-tokens", "usageLimit": 10, "cadence": "P1D", "carryUnusedMax": -1}]');
select gov_upsert_assignments('cy', '[{"entityId": "acme", "capabilityId": "cy-tokens", "usageLimit": 10, "cadence": "P1D", "carryUnusedMax": "x"}]');
select r ->> 'carryUnusedMax' as most, r ->> 'carryDebt' as debt from jsonb_array_elements(gov_upsert_assignments('cy', '[{"entityId": "acme", "capabilityId": "cy-tokens", "usageLimit": 10, "cadence": "P1D", "carryUnusedMax": 2.0000000005, "carryDebt": true}]')) r;
select r ->> 'carryUnusedMax' as most, r ->> 'carryDebt' as debt from jsonb_array_elements(gov_upsert_assignments('cy', '[{"entityId": "acme", "capabilityId": "cy-tokens", "usageLimit": 11}]')) r;
select gov_upsert_assignments('cy', '[{"entityId": "acme", "capabilityId": "cy-tokens", "usageLimit": null}]');
select r ->> 'carryUnusedMax' as most, r ->> 'carryDebt' as debt from jsonb_array_elements(gov_upsert_assignments('cy', '[{"entityId": "acme", "capabilityId": "cy-tokens", "carryUnusedMax": null, "carryDebt": false}]')) r;

\set VERBOSITY default

-- In the transaction that makes a budget carry over.
begin;
update gov_assignments set carry_unused_max = 4, created_at = '2027-01-20Z' where owner_id = 'cy' and entity_id = 'acme';
select usage_limit, carried from gov_headroom('cy', 'cy-tokens', 0, null, '{acme}');
select is_granted, remaining from gov_consume('cy', 'cy-tokens', 12, null, '{acme}');
select usage_limit, carried, current_usage from gov_tree('cy', '{cy-tokens}') where entity_id = 'acme';
rollback;
select usage_limit, carried from gov_headroom('cy', 'cy-tokens', 0, null, '{acme}');
select count(*) from gov_verify('cy');
-- no entity is none
select count(*) as none from _gov_carried('cy', now(), array[null]::text[]);
select gov_delete_owner('cy');
delete from gov_capabilities where id = 'cy-tokens';
delete from gov_entity_types where id in ('cy-org', 'cy-user');
