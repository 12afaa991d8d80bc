-- Scopes and the number of budgets: what gov_assignments may name, and how much of it there may be.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/catalog_helpers.sql
\set ECHO all
insert into gov_entity_types (id) values ('node') on conflict do nothing;
insert into gov_capabilities (id) values ('scopes'), ('scopes-2') on conflict do nothing;
insert into gov_entities (owner_id, id, type_id)
values ('scopes', 'a', 'node'), ('scopes', 'b', 'node'), ('scopes', 'B', 'node'), ('scopes', 'é', 'node'), ('elsewhere', 'c', 'node');

-- Stored sorted in byte order, and distinct; so their order does not make another budget.
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids) values ('scopes', 'a', 'scopes', '{é,b,B,a,b}') returning scope_entity_ids;
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids) values ('scopes', 'a', 'scopes', '{B,a,b,é}')$$);
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids) values ('scopes', 'a', 'scopes', '{{b,a},{a,b}}')$$);
insert into gov_assignments (owner_id, entity_id, capability_id) values ('scopes', 'a', 'scopes') returning scope_entity_ids;

-- Every entity of a scope is one of the same owner.
select n, pg_temp.outcome(format('insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids) values (%L, %L, %L, %L)', 'scopes', 'b', 'scopes', scope))
from unnest(array['{nobody}', '{a,nobody}', '{c}', '{""}', '{null}', e'{"a\tb"}', format('{%s}', repeat('x', 256)), '{b}', null]) with ordinality s (scope, n)
order by n;
select pg_temp.items(gov_upsert_assignments('scopes', '[{"entityId": "b", "capabilityId": "scopes-2", "scopeEntityIds": ["é", "a", "é"], "usageLimit": 1, "cadence": null}]')) -> 'scopeEntityIds' as scope;
select pg_temp.outcome($$select gov_upsert_assignments('scopes', '[{"entityId": "b", "capabilityId": "scopes-2", "scopeEntityIds": ["c"], "usageLimit": 1, "cadence": null}]')$$);

-- An entity that a scope names is not deleted; one of another owner with the same id is.
insert into gov_entities (owner_id, id, type_id) values ('elsewhere', 'é', 'node');
select pg_temp.outcome($$delete from gov_entities where owner_id = 'scopes' and id = 'é'$$);
select pg_temp.outcome($$delete from gov_entities where owner_id = 'elsewhere' and id = 'é'$$);
select pg_temp.outcome($$delete from gov_assignments where owner_id = 'scopes' and 'é' = any (scope_entity_ids)$$);
select pg_temp.outcome($$delete from gov_entities where owner_id = 'scopes' and id = 'é'$$);

-- An entity has at most 256 budgets per capability, however they are told apart.
delete from gov_assignments where owner_id = 'scopes';
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, name) select 'scopes', 'a', 'scopes', n::text from generate_series(1, 257) n$$);
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, name) select 'scopes', 'a', 'scopes', n::text from generate_series(1, 256) n$$);
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids) values ('scopes', 'a', 'scopes', '{b}')$$);
select pg_temp.outcome($$select gov_upsert_assignments('scopes', '[{"entityId": "a", "capabilityId": "scopes", "usageLimit": 1, "cadence": null}]')$$);
select pg_temp.outcome($$select gov_upsert_assignments('scopes', '[{"entityId": "a", "capabilityId": "scopes", "name": "256", "usageLimit": 1}]')$$);
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id) values ('scopes', 'a', 'scopes-2')$$);
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id) values ('scopes', 'b', 'scopes')$$);
select pg_temp.outcome($$delete from gov_assignments where owner_id = 'scopes' and name = '1'$$);
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids) values ('scopes', 'a', 'scopes', '{b}')$$);

rollback;
