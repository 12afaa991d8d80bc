-- What malformed calls of the catalog functions get: a table of call and SQLSTATE. The message says which argument, and nothing changes.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/catalog_helpers.sql
\set ECHO all
select count(*) from jsonb_array_elements(gov_upsert_entity_types('[{"id": "bad"}]'));
select count(*) from jsonb_array_elements(gov_upsert_capabilities('[{"id": "bad"}]'));
select count(*) from jsonb_array_elements(gov_upsert_entities('bad', '[{"id": "root", "typeId": "bad"}, {"id": "leaf", "typeId": "bad", "parentId": "root"}]'));
select count(*) from jsonb_array_elements(gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "usageLimit": 1, "cadence": "P1D"}]'));

create temporary view state as
select md5(concat(
    (select string_agg(t::text, ' ' order by t.id) from gov_entity_types t),
    (select string_agg(c::text, ' ' order by c.id) from gov_capabilities c),
    (select string_agg(e::text, ' ' order by e.owner_id, e.id) from gov_entities e),
    (select string_agg(a::text, ' ' order by a.id) from gov_assignments a))) as state;
select state from state \gset

create function pg_temp.refusal(call text, out code text, out message text, out hint text)
language plpgsql
as $$
begin
    execute 'select ' || call;
    code := 'ok';
exception
    when others then
        get stacked diagnostics code = returned_sqlstate, message = message_text, hint = pg_exception_hint;
end
$$;

select c.n, c.call, r.code as sqlstate, r.message, r.hint
from unnest(array[
    -- the payload
    $$gov_upsert_entity_types(null)$$,
    $$gov_upsert_entity_types('null')$$,
    $$gov_upsert_entity_types('"types"')$$,
    $$gov_upsert_entity_types('{}')$$,
    $$gov_upsert_entity_types('{"types": {"id": "x"}}')$$,
    $$gov_upsert_entity_types('{"types": null}')$$,
    $$gov_upsert_entity_types('{"types": [], "more": 1}')$$,
    $$gov_upsert_entity_types('{"capabilities": [{"id": "x"}]}')$$,
    $$gov_upsert_entity_types('[]')$$,
    $$gov_upsert_entity_types('{"types": []}')$$,
    $$gov_upsert_entity_types((select jsonb_agg(jsonb_build_object('id', n::text)) from generate_series(1, 101) n))$$,
    $$gov_upsert_entity_types('[{"id": "x"}, "y"]')$$,
    $$gov_upsert_entity_types('[{"id": "x"}, null]')$$,
    -- entity types
    $$gov_upsert_entity_types('[{"id": "x"}, {"id": "y", "colour": "red"}]')$$,
    $$gov_upsert_entity_types('[{"id": 1}]')$$,
    $$gov_upsert_entity_types('[{"id": null}]')$$,
    $$gov_upsert_entity_types('[{"id": ""}]')$$,
    $$gov_upsert_entity_types('[{"id": "a\u0007b"}]')$$,
    $$gov_upsert_entity_types(jsonb_build_array(jsonb_build_object('id', repeat('x', 256))))$$,
    $$gov_upsert_entity_types('[{}]')$$,
    $$gov_upsert_entity_types('[{"displayName": "???"}]')$$,
    $$gov_upsert_entity_types('[{"displayName": "BAD"}]')$$,
    $$gov_upsert_entity_types('[{"id": "bad", "displayName": ["x"]}]')$$,
    $$gov_upsert_entity_types('[{"id": "bad", "displayName": "a\nb"}]')$$,
    $$gov_upsert_entity_types('[{"id": "bad", "description": 7}]')$$,
    $$gov_upsert_entity_types('[{"id": "bad", "attributionKeys": null}]')$$,
    $$gov_upsert_entity_types('[{"id": "bad", "attributionKeys": "x"}]')$$,
    $$gov_upsert_entity_types('[{"id": "bad", "attributionKeys": ["x", null]}]')$$,
    $$gov_upsert_entity_types('[{"id": "bad", "attributionKeys": ["x", ["y"]]}]')$$,
    $$gov_upsert_entity_types('[{"id": "bad", "attributionKeys": ["x", ""]}]')$$,
    -- capabilities
    $$gov_upsert_capabilities(null)$$,
    $$gov_upsert_capabilities('{"types": []}')$$,
    $$gov_upsert_capabilities('[{"kind": "credit"}]')$$,
    $$gov_upsert_capabilities('[{"id": "bad", "type": "GAUGE"}]')$$,
    $$gov_upsert_capabilities('[{"id": "bad", "type": null}]')$$,
    $$gov_upsert_capabilities('[{"id": "bad", "kind": "thing"}]')$$,
    $$gov_upsert_capabilities('[{"id": "bad", "unit": {}}]')$$,
    $$gov_upsert_capabilities('[{"id": "bad", "limit": 5}]')$$,
    -- entities
    $$gov_upsert_entities(null, '[{"id": "x", "typeId": "bad"}]')$$,
    $$gov_upsert_entities('bad', null)$$,
    $$gov_upsert_entities('', '[{"id": "x", "typeId": "bad"}]')$$,
    $$gov_upsert_entities('bad', '[{"typeId": "bad"}]')$$,
    $$gov_upsert_entities('bad', '[{"id": "x"}]')$$,
    $$gov_upsert_entities('bad', '[{"id": "x", "typeId": "bad", "typeRefId": "bad"}]')$$,
    $$gov_upsert_entities('bad', '[{"id": "x", "typeId": "nothing"}]')$$,
    $$gov_upsert_entities('bad', '[{"id": "x", "typeId": null}]')$$,
    $$gov_upsert_entities('bad', '[{"id": "", "typeId": "bad"}]')$$,
    $$gov_upsert_entities('bad', '[{"id": "leaf", "metadata": null}]')$$,
    $$gov_upsert_entities('bad', '[{"id": "leaf", "metadata": ["x"]}]')$$,
    $$gov_upsert_entities('bad', '[{"id": "leaf", "metadata": {"a": 1}}]')$$,
    $$gov_upsert_entities('bad', '[{"id": "leaf", "metadata": {"": "x"}}]')$$,
    $$gov_upsert_entities('bad', '[{"id": "leaf", "parentId": 5}]')$$,
    $$gov_upsert_entities('bad', '[{"id": "leaf", "parentId": ""}]')$$,
    $$gov_upsert_entities('bad', '[{"id": "leaf", "parentId": "nobody"}]')$$,
    $$gov_upsert_entities('bad', '[{"id": "leaf", "parentId": "leaf"}]')$$,
    $$gov_upsert_entities('bad', '[{"id": "root", "parentId": "leaf"}]')$$,
    $$gov_upsert_entities('bad', '[{"id": "leaf", "archivedAt": null}]')$$,
    $$gov_archive_entities(null, '{leaf}')$$,
    $$gov_archive_entities('bad', null)$$,
    $$gov_archive_entities('bad', '{leaf,null}')$$,
    $$gov_archive_entities('bad', '{}')$$,
    $$gov_archive_entities('bad', array(select n::text from generate_series(1, 101) n))$$,
    $$gov_archive_entities('bad', '{leaf,nobody}')$$,
    $$gov_unarchive_entities('bad', '{nobody}')$$,
    -- assignments
    $$gov_upsert_assignments(null, '[{"entityId": "leaf", "capabilityId": "bad"}]')$$,
    $$gov_upsert_assignments('bad', null)$$,
    $$gov_upsert_assignments('bad', '[{"capabilityId": "bad"}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf"}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "featureId": "bad"}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "root", "capabilityId": "bad", "usageLimit": 1}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "root", "capabilityId": "bad", "cadence": null}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "usageLimit": "1000"}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "usageLimit": -1}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "usageLimit": 1e18}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "cadence": "monthly"}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "cadence": "P0D"}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "cadence": ""}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "anchorAt": "yesterday"}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "anchorAt": "2025-02-30"}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "anchorAt": "infinity"}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "anchorAt": 1735689600}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "timezone": "Mars"}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "timezone": null}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "enforcement": "firm"}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "locked": "yes"}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "alertThresholds": 50}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "alertThresholds": ["50"]}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "alertThresholds": [0]}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "alertThresholds": [1,2,3,4,5,6,7,8,9,10,11]}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "scopeEntityIds": null}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "scopeEntityIds": [1], "usageLimit": 1, "cadence": null}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "scopeEntityIds": [""], "usageLimit": 1, "cadence": null}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "scopeEntityIds": ["nobody"], "usageLimit": 1, "cadence": null}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "name": null}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "name": "a\tb", "usageLimit": 1, "cadence": null}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "usage_limit": 5}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "nobody", "capabilityId": "bad", "usageLimit": 1, "cadence": null}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "nothing", "usageLimit": 1, "cadence": null}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "root", "capabilityId": "bad", "usageLimit": 1, "cadence": null, "parentId": "leaf"}]')$$,
    $$gov_upsert_assignments('bad', '[{"entityId": "leaf", "capabilityId": "bad", "usageLimit": 2}, {"entityId": "leaf", "capabilityId": "bad", "cadence": "never"}]')$$,
    -- lists
    $$gov_list_entity_types(page_size => 0)$$,
    $$gov_list_entity_types(page_size => 101)$$,
    $$gov_list_entity_types(page_size => null)$$,
    $$gov_list_entity_types(after => 'x')$$,
    $$gov_list_entity_types(after => '')$$,
    $$gov_list_entity_types(after => encode('["entityTypes"]', 'base64'))$$,
    $$gov_list_entity_types(after => encode('["entityTypes", null]', 'base64'))$$,
    $$gov_list_entity_types(after => encode('["entities", "x"]', 'base64'))$$,
    $$gov_list_entity_types(before => encode('{"entityTypes": 1}', 'base64'))$$,
    $$gov_list_entity_types(before => encode('\xff00', 'base64'))$$,
    $$gov_list_capabilities(after => encode('["capabilities", "x"]', 'base64'), before => encode('["capabilities", "x"]', 'base64'))$$,
    $$gov_list_entities(null)$$,
    $$gov_list_entities('bad', page_size => -1)$$,
    $$gov_list_entities('bad', before => 'AAAA')$$,
    $$gov_list_assignments(null)$$,
    $$gov_list_assignments('bad', after => encode('["assignments", "x", "y", "z", "n"]', 'base64'))$$,
    $$gov_list_assignments('bad', after => encode('["assignments", "x", "y", ["z", 1], "n"]', 'base64'))$$,
    -- owners
    $$gov_delete_owner(null)$$
]) with ordinality c (call, n)
cross join lateral pg_temp.refusal(c.call) r
order by c.n;

select state = :'state' as unchanged from state;

rollback;
