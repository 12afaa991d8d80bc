-- Capabilities: gov_upsert_capabilities, gov_get_capability, gov_list_capabilities, and plain DML on gov_capabilities.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/catalog_helpers.sql
\set ECHO all
delete from gov_assignments;
delete from gov_capabilities;

-- The wrapping object, and an array alone; the defaults.
select pg_temp.items(gov_upsert_capabilities('{"capabilities": [
    {"id": "api-calls", "displayName": "API calls", "unit": "call"},
    {"id": "ai-credits", "type": "METER", "kind": "credit"}
]}'));
select pg_temp.items(gov_upsert_capabilities('[{"id": "ai-tokens"}]'));

-- Omitted is not null.
select pg_temp.items(gov_upsert_capabilities('[{"id": "api-calls", "kind": "credit"}]'));
select pg_temp.items(gov_upsert_capabilities('[{"id": "api-calls", "displayName": null}]'));
select pg_temp.items(gov_upsert_capabilities('[{"id": "api-calls", "unit": ""}]'));

-- In order, and the last of two with one key wins; each item is answered at its place.
select pg_temp.items(gov_upsert_capabilities('[
    {"id": "b", "displayName": "First", "unit": "kept"},
    {"id": "a"},
    {"id": "b", "displayName": "Second"}
]'));

-- Atomic.
select pg_temp.outcome($$select gov_upsert_capabilities('[{"id": "good"}, {"id": "bad", "kind": "other"}]')$$);
select gov_get_capability('good');

-- updated_at moves when a value changes, and not otherwise.
select pg_temp.updated($$select gov_upsert_capabilities('[{"id": "b", "displayName": "Second", "kind": "feature"}]')$$, $$gov_capabilities where id = 'b'$$);
select pg_temp.updated($$select gov_upsert_capabilities('[{"id": "b", "unit": "page"}]')$$, $$gov_capabilities where id = 'b'$$);
select pg_temp.updated($$update gov_capabilities set unit = 'page' where id = 'b'$$, $$gov_capabilities where id = 'b'$$);
select pg_temp.updated($$update gov_capabilities set unit = null where id = 'b'$$, $$gov_capabilities where id = 'b'$$);

-- One, and pages of all.
select pg_temp.steady(gov_get_capability('ai-credits'));
select gov_get_capability('nothing') as nothing, gov_get_capability(null) as null_id;
select pg_temp.items(gov_list_capabilities());
select * from pg_temp.pages('select gov_list_capabilities(page_size => 2%s)', '{id}');
select count(*) from jsonb_array_elements(gov_upsert_entity_types('[{"id": "x"}, {"id": "y"}]'));
select gov_list_entity_types(page_size => 1) #>> '{pagination,next}' as next \gset
select pg_temp.outcome(format('select gov_list_capabilities(after => %L)', :'next'));

-- Plain SQL.
insert into gov_capabilities (id) values ('plain') returning type, kind, display_name, unit;
select n, pg_temp.outcome(statement)
from (values
    (1, $$insert into gov_capabilities (id) values ('')$$),
    (2, $$insert into gov_capabilities (id) values (e'a\u0001')$$),
    (3, format('insert into gov_capabilities (id) values (%L)', repeat('x', 256))),
    (4, $$update gov_capabilities set type = 'GAUGE' where id = 'plain'$$),
    (5, $$update gov_capabilities set kind = 'Credit' where id = 'plain'$$),
    (6, $$update gov_capabilities set kind = null where id = 'plain'$$),
    (7, $$update gov_capabilities set display_name = '' where id = 'plain'$$),
    (8, $$update gov_capabilities set unit = '' where id = 'plain'$$),
    (9, $$update gov_capabilities set id = 'other' where id = 'plain'$$),
    (10, $$insert into gov_capabilities (id) values ('plain')$$),
    (11, $$insert into gov_entities (owner_id, id, type_id) values ('capabilities', 'e', 'x')$$),
    (12, $$insert into gov_assignments (owner_id, entity_id, capability_id) values ('capabilities', 'e', 'plain')$$),
    (13, $$delete from gov_capabilities where id = 'plain'$$),
    (14, $$delete from gov_assignments where owner_id = 'capabilities'$$),
    (15, $$delete from gov_capabilities where id = 'plain'$$)
) t (n, statement)
order by n;

rollback;
