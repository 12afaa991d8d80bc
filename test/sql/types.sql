-- not in SQL_ASCII: the lengths of text are its bytes there
-- Entity types: gov_upsert_entity_types, gov_get_entity_type, gov_list_entity_types, and plain DML on gov_entity_types.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/catalog_helpers.sql
\set ECHO all
delete from gov_default_assignments;
delete from gov_assignments;
delete from gov_entities;
delete from gov_entity_types;

-- The reference product's request body, and an array alone.
select pg_temp.items(gov_upsert_entity_types('{"types": [
    {"id": "org", "displayName": "Organization", "attributionKeys": ["orgId"]},
    {"id": "team", "displayName": "Team", "attributionKeys": ["teamId", "squad", "teamId"]},
    {"id": "user"}
]}'));
select pg_temp.items(gov_upsert_entity_types('[{"id": "model", "description": "A large language model"}]'));

-- Times are ISO 8601 in UTC with milliseconds, whatever the session's settings.
set local timezone = 'America/New_York';
set local datestyle = 'SQL, DMY';
select count(*) as documents,
    bool_and(item ->> 'createdAt' = to_char(t.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) as created_at,
    bool_and(item ->> 'updatedAt' ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$') as updated_at
from jsonb_array_elements(gov_list_entity_types() -> 'data') item
join gov_entity_types t on t.id = item ->> 'id';
set local timezone = 'UTC';
set local datestyle = 'ISO';

-- Without an id one is made from the display name.
select item ->> 'id' as id, item ->> 'displayName' as display_name
from pg_temp.items(gov_upsert_entity_types('[
    {"displayName": "AI agent"},
    {"displayName": "  --Cost Centre (EU) 2--  "},
    {"displayName": "Abteilung für Züge"}
]')) item;
select pg_temp.items(gov_upsert_entity_types('[{"displayName": "AI agent", "description": "again"}]'));
select pg_temp.outcome($$select gov_upsert_entity_types('[{"displayName": "AI Agent"}]')$$);
select pg_temp.outcome($$select gov_upsert_entity_types('[{"displayName": "User"}]')$$);
select pg_temp.outcome($$select gov_upsert_entity_types('[{"displayName": "New Thing"}, {"displayName": "new thing"}]')$$);
select pg_temp.outcome($$select gov_upsert_entity_types('[{"displayName": "New Thing"}, {"displayName": "New Thing"}]')$$);
select pg_temp.outcome($$select gov_upsert_entity_types('[{"displayName": "日本"}]')$$);
select pg_temp.outcome($$select gov_upsert_entity_types('[{"displayName": ""}]')$$);
select pg_temp.outcome($$select gov_upsert_entity_types('[{"description": "nameless"}]')$$);

-- Omitted is not null: an omitted key keeps its value, null and "" clear one.
select pg_temp.items(gov_upsert_entity_types('[{"id": "org", "description": "The customer"}]'));
select pg_temp.items(gov_upsert_entity_types('[{"id": "org", "attributionKeys": []}]'));
select pg_temp.items(gov_upsert_entity_types('[{"id": "org", "displayName": null}]'));
select pg_temp.items(gov_upsert_entity_types('[{"id": "org", "displayName": "Org"}]'));
select pg_temp.items(gov_upsert_entity_types('[{"id": "org", "displayName": "", "description": ""}]'));
select pg_temp.items(gov_upsert_entity_types('[{"id": "model", "description": null}]'));

-- In order, and the last of two with one key wins; each item is answered at its place.
select pg_temp.items(gov_upsert_entity_types('[
    {"id": "b", "displayName": "First", "description": "kept"},
    {"id": "a"},
    {"id": "b", "displayName": "Second"}
]'));

-- Atomic: a bad item takes the good ones along.
select pg_temp.outcome($$select gov_upsert_entity_types('[{"id": "good"}, {"id": "bad", "attributionKeys": [""]}]')$$);
select gov_get_entity_type('good');

-- updated_at moves when a value changes, and not otherwise.
select pg_temp.updated($$select gov_upsert_entity_types('[{"id": "team", "displayName": "Team", "attributionKeys": ["squad", "teamId", "squad"]}]')$$, $$gov_entity_types where id = 'team'$$);
select pg_temp.updated($$select gov_upsert_entity_types('[{"id": "team", "displayName": "Crew"}]')$$, $$gov_entity_types where id = 'team'$$);
select pg_temp.updated($$update gov_entity_types set display_name = 'Crew' where id = 'team'$$, $$gov_entity_types where id = 'team'$$);
select pg_temp.updated($$update gov_entity_types set updated_at = '2001-01-01', created_at = '2001-01-01' where id = 'team'$$, $$gov_entity_types where id = 'team'$$);
select pg_temp.updated($$update gov_entity_types set description = 'x' where id = 'team'$$, $$gov_entity_types where id = 'team'$$);
select created_at = now() as created_at_kept from gov_entity_types where id = 'team';

-- An upsert that changes nothing writes nothing.
select ctid from gov_entity_types where id = 'team' \gset
select count(*) from jsonb_array_elements(gov_upsert_entity_types('[{"id": "team", "description": "x"}]'));
select ctid = :'ctid' as same_row from gov_entity_types where id = 'team';

-- One type.
select pg_temp.steady(gov_get_entity_type('team'));
select gov_get_entity_type('nothing') as nothing, gov_get_entity_type(null) as null_id;

-- Lists are in byte order; a page knows both its neighbours.
select count(*) from jsonb_array_elements(gov_upsert_entity_types('[{"id": "B"}, {"id": "é"}, {"id": "Z z"}, {"id": "\"q\""}]'));
select pg_temp.items(gov_list_entity_types(page_size => 2)) ->> 'id' as id;
select * from pg_temp.pages('select gov_list_entity_types(page_size => 100%s)', '{id}');
select * from pg_temp.pages('select gov_list_entity_types(page_size => 5%s)', '{id}');
select * from pg_temp.pages('select gov_list_entity_types(page_size => 1%s)', '{id}');
select count(*)
from jsonb_array_elements(gov_upsert_entity_types((select jsonb_agg(jsonb_build_object('id', 'many-' || n)) from generate_series(1, 30) n)));
select count(*) as default_page_size from jsonb_array_elements(gov_list_entity_types() -> 'data');

-- A row that comes or goes while paging neither repeats nor hides another.
select gov_list_entity_types(page_size => 3) #>> '{pagination,next}' as next \gset
delete from gov_entity_types where id in ('"q"', 'Z z', 'a');
insert into gov_entity_types (id) values ('A new one');
select pg_temp.items(gov_list_entity_types(after => :'next', page_size => 3)) ->> 'id' as id;
select gov_list_entity_types(after => :'next', page_size => 3) #>> '{pagination,prev}' as prev \gset
select pg_temp.items(gov_list_entity_types(before => :'prev', page_size => 3)) ->> 'id' as id;

-- Plain SQL: defaults, sorted and distinct keys, times that are given.
insert into gov_entity_types (id, attribution_keys, created_at, updated_at)
values ('plain', '{z,a,z}', '2020-02-29', '2021-01-01')
returning display_name, description, attribution_keys, created_at, updated_at;
insert into gov_entity_types (id) values ('bare')
returning display_name, description, attribution_keys, created_at = now() as created_at, updated_at = now() as updated_at;
insert into gov_entity_types (id, display_name) values ('typed', default), ('nameless', '') returning id, display_name;
delete from gov_entity_types where id in ('typed', 'nameless');
update gov_entity_types set attribution_keys = '{é,b,B,b}' where id = 'bare' returning attribution_keys;

-- Its rules: 1 to 255 characters without control characters.
select pg_temp.outcome(format('insert into gov_entity_types (id) values (%L)', repeat('é', 255)));
select n, pg_temp.outcome(statement)
from (values
    (1, $$insert into gov_entity_types (id) values ('')$$),
    (2, format('insert into gov_entity_types (id) values (%L)', repeat('x', 256))),
    (3, $$insert into gov_entity_types (id) values (e'a\tb')$$),
    (4, $$insert into gov_entity_types (id) values (null)$$),
    (5, $$update gov_entity_types set display_name = '' where id = 'bare'$$),
    (6, format('update gov_entity_types set display_name = %L where id = %L', repeat('x', 256), 'bare')),
    (7, $$update gov_entity_types set attribution_keys = '{""}' where id = 'bare'$$),
    (8, $$update gov_entity_types set attribution_keys = '{null}' where id = 'bare'$$),
    (9, $$update gov_entity_types set attribution_keys = array[e'a\nb'] where id = 'bare'$$),
    (10, format('update gov_entity_types set attribution_keys = array[%L] where id = %L', repeat('x', 256), 'bare')),
    (11, format('update gov_entity_types set attribution_keys = array[%L] where id = %L', repeat('x', 255), 'bare')),
    (12, $$update gov_entity_types set id = 'other' where id = 'bare'$$),
    (13, $$insert into gov_entity_types (id) values ('bare')$$),
    (14, $$insert into gov_entities (owner_id, id, type_id) values ('types', 'e', 'bare')$$),
    (15, $$delete from gov_entity_types where id = 'bare'$$),
    (16, $$delete from gov_entities where owner_id = 'types'$$),
    (17, $$delete from gov_entity_types where id = 'bare'$$)
) t (n, statement)
order by n;

rollback;
