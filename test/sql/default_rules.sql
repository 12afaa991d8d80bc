-- Rules for defaults, and bad input.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('rules');
insert into gov_entity_types (id) values ('rover');
insert into gov_capabilities (id) values ('ruled');

-- What a row refers to exists; it is well-formed.
insert into gov_default_assignments (type_id, capability_id) values ('nothing', 'ruled');
insert into gov_default_assignments (type_id, capability_id) values ('rover', 'nothing');
insert into gov_default_assignments (type_id, capability_id, owner_id) values ('rover', 'ruled', '');
insert into gov_default_assignments (type_id, capability_id, name) values ('rover', 'ruled', repeat('n', 256));
insert into gov_default_assignments (type_id, capability_id, usage_limit) values ('rover', 'ruled', -1);
insert into gov_default_assignments (type_id, capability_id, usage_limit) values ('rover', 'ruled', 'NaN');
insert into gov_default_assignments (type_id, capability_id, call_limit) values ('rover', 'ruled', 1e18);
insert into gov_default_assignments (type_id, capability_id, cadence) values ('rover', 'ruled', 'P1M1D');
insert into gov_default_assignments (type_id, capability_id, anchor_at) values ('rover', 'ruled', 'infinity');
insert into gov_default_assignments (type_id, capability_id, cadence, anchor_at) values ('rover', 'ruled', 'P9999Y', '2100-01-01');
insert into gov_default_assignments (type_id, capability_id, anchor_at, anchor_from) values ('rover', 'ruled', '2020-01-01', 'created_at');
insert into gov_default_assignments (type_id, capability_id, anchor_from) values ('rover', 'ruled', '');
insert into gov_default_assignments (type_id, capability_id, timezone) values ('rover', 'ruled', 'Mars/Olympus');
insert into gov_default_assignments (type_id, capability_id, enforcement) values ('rover', 'ruled', 'maybe');
insert into gov_default_assignments (type_id, capability_id, alert_thresholds) values ('rover', 'ruled', '{0}');
insert into gov_default_assignments (type_id, capability_id, alert_thresholds) values ('rover', 'ruled', '{{1},{2}}');

-- In form.
insert into gov_default_assignments (type_id, capability_id, usage_limit, alert_thresholds) values ('rover', 'ruled', 1.00000000049, '{90,50,90.0}') returning id is not null, seed > 0, usage_limit, alert_thresholds, created_at = updated_at;
insert into gov_default_assignments (type_id, capability_id) values ('rover', 'ruled');
insert into gov_default_assignments (owner_id, type_id, capability_id) values ('rules', 'rover', 'ruled');
insert into gov_default_assignments (owner_id, type_id, capability_id) values ('rules', 'rover', 'ruled');
delete from gov_default_assignments where owner_id = 'rules';

-- Keys do not change; other windows start the counts afresh.
update gov_default_assignments set type_id = 'user' where capability_id = 'ruled';
update gov_default_assignments set name = 'other' where capability_id = 'ruled';
select seed from gov_default_assignments where capability_id = 'ruled' \gset
update gov_default_assignments set usage_limit = 3, enforcement = 'soft' where capability_id = 'ruled' returning seed = :seed as same;
update gov_default_assignments set seed = seed + 1 where capability_id = 'ruled' returning seed = :seed as same;
update gov_default_assignments set cadence = 'P1D' where capability_id = 'ruled' returning seed = :seed as same;
select seed from gov_default_assignments where capability_id = 'ruled' \gset
update gov_default_assignments set anchor_from = 'created_at' where capability_id = 'ruled' returning seed = :seed as same;
select seed from gov_default_assignments where capability_id = 'ruled' \gset
update gov_default_assignments set timezone = 'Asia/Kolkata' where capability_id = 'ruled' returning seed = :seed as same;

-- What it refers to stays.
delete from gov_entity_types where id = 'rover';
delete from gov_capabilities where id = 'ruled';

-- Who changed what.
select action, key - 'id' as key, old, new from gov_changes where table_name = 'gov_default_assignments' and key ->> 'capability_id' = 'ruled' order by id;

-- The engine's own table takes no changes.
update gov_default_counts set retired = true;
delete from gov_default_counts;
truncate gov_default_counts;

-- No more than 256 of a type and a capability, and of an entity and a capability.
insert into gov_default_assignments (type_id, capability_id, name) select 'rover', 'ruled', n::text from generate_series(1, 200) n;
insert into gov_default_assignments (owner_id, type_id, capability_id, name) select 'rules', 'rover', 'ruled', n::text from generate_series(201, 255) n;
insert into gov_default_assignments (owner_id, type_id, capability_id, name) values ('rules', 'rover', 'ruled', 'one more');
insert into gov_default_assignments (type_id, capability_id, name) values ('rover', 'ruled', 'one more');
insert into gov_entities (owner_id, id, type_id) values ('rules', 'opportunity', 'rover');
select is_granted, jsonb_array_length(chains -> 0) as budgets from gov_check('rules', 'ruled', 1, null, '{opportunity}');
-- one in the place of a default is no more
insert into gov_assignments (owner_id, entity_id, capability_id, name) values ('rules', 'opportunity', 'ruled', '255');
insert into gov_assignments (owner_id, entity_id, capability_id, name) values ('rules', 'opportunity', 'ruled', 'one more');
delete from gov_default_assignments where capability_id = 'ruled' and name <> '';
insert into gov_assignments (owner_id, entity_id, capability_id, name) values ('rules', 'opportunity', 'ruled', 'one more');

-- An id of one's own is an own count; that of the budget by the default is its.
delete from gov_assignments where owner_id = 'rules';
select is_granted from gov_consume('rules', 'ruled', 1, null, '{opportunity}');
select id from gov_used_assignments where owner_id = 'rules' \gset
insert into gov_assignments (id, owner_id, entity_id, capability_id) values (:'id', 'rules', 'opportunity', 'ruled');
insert into gov_assignments (id, owner_id, entity_id, capability_id, cadence, timezone) values ('00000000-0000-0000-0000-00000000000a', 'rules', 'opportunity', 'ruled', 'P1D', 'Asia/Kolkata') returning counter_id > 0 as own;
delete from gov_assignments where owner_id = 'rules';

-- A column that must have a value and has none is an error of the row, also where a default would be looked for.
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name) values (null, 'opportunity', 'ruled', '{}', '');
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name) values ('rules', null, 'ruled', '{}', '');
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name) values ('rules', 'opportunity', null, '{}', '');
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name) values ('rules', 'opportunity', 'ruled', null, '');
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name) values ('rules', 'opportunity', 'ruled', '{}', null);

-- TRUNCATE of the assignments leaves the counts of defaults, that of the defaults none.
truncate gov_assignments;
select trim_scale((chains #>> '{0,0,currentUsage}')::numeric) as used from gov_check('rules', 'ruled', 1, null, '{opportunity}');
-- that of the entities gives them up
begin;
truncate gov_entities cascade;
insert into gov_entities (owner_id, id, type_id) values ('rules', 'opportunity', 'rover');
select trim_scale((chains #>> '{0,0,currentUsage}')::numeric) as used from gov_consume('rules', 'ruled', 2, null, '{opportunity}');
rollback;
select trim_scale((chains #>> '{0,0,currentUsage}')::numeric) as used from gov_check('rules', 'ruled', 1, null, '{opportunity}');
-- a deleted default takes boosts along
update gov_default_assignments set usage_limit = 10, enforcement = 'hard' where capability_id = 'ruled';
insert into gov_boosts (owner_id, entity_id, capability_id, amount) values ('rules', 'opportunity', 'ruled', 5);
delete from gov_default_assignments where capability_id = 'ruled';
select count(*) from gov_boosts where owner_id = 'rules';
insert into gov_default_assignments (type_id, capability_id) values ('rover', 'ruled');
truncate gov_default_assignments;
select chains from gov_check('rules', 'ruled', 1, null, '{opportunity}');
