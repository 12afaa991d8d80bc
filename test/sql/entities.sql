-- not in SQL_ASCII: the lengths of text are its bytes there
-- Entities: gov_upsert_entities, gov_get_entity, gov_list_entities, gov_archive_entities, gov_unarchive_entities, gov_delete_owner, and plain DML.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/catalog_helpers.sql
\set ECHO all
select count(*) from jsonb_array_elements(gov_upsert_entity_types('{"types": [{"id": "org"}, {"id": "team"}, {"id": "user"}]}'));

-- The wrapping object; items refer to each other in any order; each of the three names of the type.
select pg_temp.items(gov_upsert_entities('acme', '{"entities": [
    {"id": "ann", "entityTypeId": "user", "parentId": "eng", "metadata": {"email": "ann@acme.example", "empty": ""}},
    {"id": "eng", "typeId": "team", "parentId": "acme", "displayName": "Engineering"},
    {"id": "acme", "typeRefId": "org"}
]}'));
select pg_temp.items(gov_upsert_entities('acme', '[{"id": "ops", "typeRefId": "team", "parentId": null, "displayName": ""}]'));

-- Owners never mix.
select pg_temp.items(gov_upsert_entities('other', '[{"id": "acme", "typeId": "org", "displayName": "Another"}]'));
select gov_get_entity('acme', 'acme') ->> 'displayName' as acme, gov_get_entity('other', 'acme') ->> 'displayName' as other;
select pg_temp.outcome($$select gov_upsert_entities('other', '[{"id": "bob", "typeId": "user", "parentId": "eng"}]')$$);

-- Omitted is not null.
select pg_temp.items(gov_upsert_entities('acme', '[{"id": "eng"}]'));
select pg_temp.items(gov_upsert_entities('acme', '[{"id": "eng", "displayName": null}]'));
select pg_temp.items(gov_upsert_entities('acme', '[{"id": "ops", "typeId": "org"}]'));

-- Metadata is merged, and "" takes a key away.
select item -> 'metadata' as metadata from pg_temp.items(gov_upsert_entities('acme', '[{"id": "ann", "metadata": {"phone": "1", "floor": "2"}}]')) item;
select item -> 'metadata' as metadata from pg_temp.items(gov_upsert_entities('acme', '[{"id": "ann", "metadata": {"phone": "", "floor": "3", "never": ""}}]')) item;
select item -> 'metadata' as metadata from pg_temp.items(gov_upsert_entities('acme', '[{"id": "ann", "metadata": {}}]')) item;
select item -> 'metadata' as metadata from pg_temp.items(gov_upsert_entities('acme', '[
    {"id": "ann", "metadata": {"a": "1", "b": "1", "floor": ""}},
    {"id": "ann", "metadata": {"b": "", "c": "2", "floor": "4"}}
]')) item;

-- A parent: omitted is unchanged, null detaches, an id places.
select item ->> 'parentId' as parent from pg_temp.items(gov_upsert_entities('acme', '[{"id": "ann", "displayName": "Ann"}]')) item;
select item ->> 'parentId' as parent from pg_temp.items(gov_upsert_entities('acme', '[{"id": "ann", "parentId": null}]')) item;
select item ->> 'parentId' as parent from pg_temp.items(gov_upsert_entities('acme', '[{"id": "ann", "parentId": "ops"}]')) item;

-- Whether an entity has children is judged before the call: it may move and get some in one.
select item ->> 'id' as id, item ->> 'parentId' as parent
from pg_temp.items(gov_upsert_entities('acme', '[
    {"id": "new", "typeId": "user", "parentId": "eng"},
    {"id": "eng", "parentId": "ops"}
]')) item;
select pg_temp.outcome($$select gov_upsert_entities('acme', '[{"id": "new", "parentId": null}, {"id": "eng", "parentId": "acme"}]')$$);
select pg_temp.outcome($$select gov_upsert_entities('acme', '[{"id": "eng", "parentId": null}]')$$);
select pg_temp.outcome($$select gov_upsert_entities('acme', '[{"id": "eng", "parentId": "ops", "displayName": "stays where it is"}]')$$);
select pg_temp.outcome($$select gov_upsert_entities('acme', '[{"id": "new", "parentId": "new"}]')$$);
select pg_temp.outcome($$select gov_upsert_entities('acme', '[{"id": "x", "typeId": "user", "parentId": "y"}, {"id": "y", "typeId": "user", "parentId": "x"}]')$$);

-- In order, and the last of two with one key wins.
select pg_temp.items(gov_upsert_entities('acme', '[
    {"id": "twice", "typeId": "user", "displayName": "First", "parentId": "ops"},
    {"id": "twice", "typeRefId": "team", "parentId": null}
]'));
select pg_temp.outcome($$select gov_upsert_entities('acme', '[{"id": "late"}, {"id": "late", "typeId": "user"}]')$$);

-- updated_at moves when a value changes, and not otherwise.
select pg_temp.updated($$select gov_upsert_entities('acme', '[{"id": "ann", "typeId": "user", "displayName": "Ann", "parentId": "ops", "metadata": {"a": "1", "gone": ""}}]')$$, $$gov_entities where owner_id = 'acme' and id = 'ann'$$);
select pg_temp.updated($$select gov_upsert_entities('acme', '[{"id": "ann", "metadata": {"a": "2"}}]')$$, $$gov_entities where owner_id = 'acme' and id = 'ann'$$);
select pg_temp.updated($$update gov_entities set metadata = '{"a": "2", "c": "2", "email": "ann@acme.example", "floor": "4"}' where owner_id = 'acme' and id = 'ann'$$, $$gov_entities where owner_id = 'acme' and id = 'ann'$$);
select pg_temp.updated($$select gov_archive_entities('acme', '{ann}')$$, $$gov_entities where owner_id = 'acme' and id = 'ann'$$);
select pg_temp.updated($$select gov_archive_entities('acme', '{ann}')$$, $$gov_entities where owner_id = 'acme' and id = 'ann'$$);

-- Archived: still got and changed, not restored by an upsert, left out of lists unless asked for.
select gov_get_entity('acme', 'ann') ->> 'archivedAt' = to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as archived;
select item ->> 'archivedAt' is not null as archived from pg_temp.items(gov_upsert_entities('acme', '[{"id": "ann", "displayName": "A."}]')) item;
select pg_temp.items(gov_list_entities('acme')) ->> 'id' as id;
select pg_temp.items(gov_list_entities('acme', include_archived => true)) ->> 'id' as id;
select pg_temp.outcome($$select gov_archive_entities('acme', '{eng,nobody,ops}')$$);
select pg_temp.outcome($$select gov_unarchive_entities('acme', '{ann,nobody}')$$);
select id, archived_at is not null as archived from gov_entities where owner_id = 'acme' and id in ('ann', 'eng', 'ops') order by id;
select gov_unarchive_entities('acme', '{ann,ann,eng}');
select id, archived_at from gov_entities where owner_id = 'acme' and id in ('ann', 'eng') order by id;

-- One entity, and pages of them.
select pg_temp.steady(gov_get_entity('acme', 'ann'));
select gov_get_entity('acme', 'nobody') as nobody, gov_get_entity('nobody', 'ann') as no_owner;
select pg_temp.items(gov_list_entities('acme', type_id => 'team')) ->> 'id' as id;
select pg_temp.items(gov_list_entities('acme', type_id => 'nothing'));
select gov_list_entities('nobody');
select count(*) from jsonb_array_elements(gov_upsert_entities('acme', '[{"id": "ANN", "typeId": "user"}, {"id": "Ämter", "typeId": "team"}]'));
select gov_archive_entities('acme', '{ops}');
select * from pg_temp.pages($$select gov_list_entities('acme', page_size => 2%s)$$, '{id}');
select * from pg_temp.pages($$select gov_list_entities('acme', page_size => 2, include_archived => true%s)$$, '{id}');
select * from pg_temp.pages($$select gov_list_entities('acme', page_size => 1, type_id => 'team'%s)$$, '{id}');

-- Plain SQL.
insert into gov_entities (owner_id, id, type_id) values ('plain', 'e', 'user')
returning parent_id, display_name, metadata, archived_at, created_at = now() as created_at, updated_at = now() as updated_at;
select n, pg_temp.outcome(statement)
from (values
    (1, $$insert into gov_entities (owner_id, id, type_id) values ('plain', '', 'user')$$),
    (2, $$insert into gov_entities (owner_id, id, type_id) values ('', 'x', 'user')$$),
    (3, $$insert into gov_entities (owner_id, id, type_id) values ('plain', e'a\rb', 'user')$$),
    (4, $$insert into gov_entities (owner_id, id) values ('plain', 'x')$$),
    (5, $$insert into gov_entities (owner_id, id, type_id) values ('plain', 'x', 'nothing')$$),
    (6, $$update gov_entities set metadata = '[]' where owner_id = 'plain'$$),
    (7, $$update gov_entities set metadata = '"x"' where owner_id = 'plain'$$),
    (8, $$update gov_entities set metadata = '{"n": 1}' where owner_id = 'plain'$$),
    (9, $$update gov_entities set metadata = '{"n": {"m": "x"}}' where owner_id = 'plain'$$),
    (10, $$update gov_entities set metadata = '{"n": ["x"]}' where owner_id = 'plain'$$),
    (11, $$update gov_entities set metadata = '{"n": null}' where owner_id = 'plain'$$),
    (12, $$update gov_entities set metadata = '{"": "x"}' where owner_id = 'plain'$$),
    (13, $$update gov_entities set metadata = '{"a\nb": "x"}' where owner_id = 'plain'$$),
    (14, $$update gov_entities set metadata = '{"a b": "x\ny", "c": ""}' where owner_id = 'plain'$$),
    (15, $$update gov_entities set metadata = null where owner_id = 'plain'$$),
    (16, $$update gov_entities set display_name = '' where owner_id = 'plain'$$),
    (17, $$update gov_entities set archived_at = 'infinity' where owner_id = 'plain'$$),
    (18, $$update gov_entities set parent_id = '' where owner_id = 'plain'$$),
    (19, $$update gov_entities set id = 'f' where owner_id = 'plain'$$),
    (20, $$update gov_entities set owner_id = 'other' where owner_id = 'plain'$$),
    (21, $$update gov_entities set type_id = 'nothing' where owner_id = 'plain'$$),
    (22, $$update gov_entities set type_id = 'org' where owner_id = 'plain'$$),
    (23, $$insert into gov_entities (owner_id, id, type_id) values ('plain', 'e', 'user')$$)
) t (n, statement)
order by n;

-- Everything of one owner, and nothing of another.
select count(*) from jsonb_array_elements(gov_upsert_capabilities('[{"id": "entities-tokens"}]'));
insert into gov_assignments (owner_id, entity_id, capability_id)
select owner_id, id, 'entities-tokens' from gov_entities where owner_id in ('acme', 'other');
insert into gov_usage (owner_id, assignment_id, counter_id, window_start, window_end, amount, event_count)
select owner_id, id, counter_id, '-infinity', 'infinity', 1, 1 from gov_assignments where owner_id in ('acme', 'other');
insert into gov_usage_by_time (owner_id, capability_id, entity_id, hour, amount, event_count)
select owner_id, 'entities-tokens', '', now(), 1, 1 from (values ('acme'), ('other')) o (owner_id);
insert into gov_events (owner_id, capability_id, amount, entity_ids, occurred_at, recorded_at)
select owner_id, 'entities-tokens', 1, '{}', now(), now() from (values ('acme'), ('other')) o (owner_id);
insert into gov_reservations (owner_id, capability_id, amount, entity_ids, expires_at)
select owner_id, 'entities-tokens', 1, '{}', now() from (values ('acme'), ('other')) o (owner_id);
insert into gov_alerts (owner_id, assignment_id, threshold, window_start, usage, usage_limit)
select owner_id, id, 50, '-infinity', 1, 1 from gov_assignments where owner_id in ('acme', 'other');
insert into gov_alert_policies (owner_id, thresholds) values ('acme', '{50}'), ('other', '{50}');
select gov_delete_owner('acme');
select owner_id, string_agg(t, ' ' order by t) as still_has_rows
from (select 'entities' as t, owner_id from gov_entities
      union select 'assignments', owner_id from gov_assignments
      union select 'usage', owner_id from gov_usage
      union select 'hourly', owner_id from gov_usage_hourly
      union select 'events', owner_id from gov_events
      union select 'reservations', owner_id from gov_reservations
      union select 'alerts', owner_id from gov_alerts
      union select 'policies', owner_id from gov_alert_policies) rows
where owner_id in ('acme', 'other')
group by owner_id
order by owner_id;
select gov_delete_owner('nobody');

rollback;
