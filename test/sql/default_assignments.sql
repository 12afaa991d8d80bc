-- Defaults: gov_upsert_default_assignments, gov_list_default_assignments, and plain DML on gov_default_assignments.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/catalog_helpers.sql
\set ECHO all
select count(*) from jsonb_array_elements(gov_upsert_entity_types('[{"id": "org"}, {"id": "user"}, {"id": "model"}]'));
select count(*) from jsonb_array_elements(gov_upsert_capabilities('[{"id": "ai-tokens"}, {"id": "api-calls"}, {"id": "ai-credits", "kind": "credit"}]'));

-- An owner's, and everybody's.
select pg_temp.items(gov_upsert_default_assignments('cus-acme', '{"defaults": [{"typeId": "user", "capabilityId": "ai-tokens", "usageLimit": 1000, "cadence": "P1M"}]}'));
select pg_temp.items(gov_upsert_default_assignments(null, '[{"typeId": "user", "capabilityId": "ai-tokens", "usageLimit": 500.50, "cadence": "P1D"}]'));

-- Every key; each of the three names of the capability; thresholds come back sorted.
select pg_temp.items(gov_upsert_default_assignments('cus-acme', '[
    {"typeId": "user", "featureId": "api-calls", "usageLimit": null, "cadence": null},
    {"typeId": "user", "currencyId": "ai-credits", "name": "pilot", "usageLimit": 1.5000, "callLimit": 0.50, "cadence": "PT5M",
     "anchorAt": "2025-01-31T10:30:00.5+02:00", "timezone": "Europe/Berlin", "enforcement": "soft", "locked": true, "alertThresholds": [100, 50.50, 50.5]},
    {"typeId": "org", "capabilityId": "ai-tokens", "usageLimit": 7, "cadence": "P1M", "anchorFrom": "created_at"}
]'));

-- Both usageLimit and cadence are there on create, either may be null. Omitted is not null.
select pg_temp.outcome($$select gov_upsert_default_assignments('cus-acme', '[{"typeId": "org", "capabilityId": "api-calls"}]')$$);
select pg_temp.outcome($$select gov_upsert_default_assignments('cus-acme', '[{"typeId": "org", "capabilityId": "api-calls", "usageLimit": 1}]')$$);
select pg_temp.outcome($$select gov_upsert_default_assignments(null, '[{"typeId": "org", "capabilityId": "ai-tokens"}]')$$);
select pg_temp.items(gov_upsert_default_assignments('cus-acme', '[{"typeId": "user", "capabilityId": "ai-credits", "name": "pilot"}]'));
select pg_temp.items(gov_upsert_default_assignments('cus-acme', '[{"typeId": "user", "capabilityId": "ai-credits", "name": "pilot", "usageLimit": null, "callLimit": null,
    "cadence": null, "anchorAt": null, "anchorFrom": "billingDay", "alertThresholds": null, "enforcement": "hard", "locked": false}]'));
select pg_temp.items(gov_upsert_default_assignments(null, '[
    {"typeId": "user", "capabilityId": "ai-tokens", "usageLimit": 1},
    {"typeId": "user", "capabilityId": "ai-tokens", "usageLimit": 2, "locked": true}]'));
select owner_id, type_id, capability_id, name, usage_limit, cadence, locked from gov_default_assignments order by 1 nulls first, 2, 3, 4;

-- Nothing that changes nothing.
update gov_default_assignments set updated_at = '2020-01-01' where true;
select pg_temp.updated($$select gov_upsert_default_assignments('cus-acme', '[{"typeId": "user", "capabilityId": "ai-tokens", "usageLimit": 1000.0}]')$$,
    $$gov_default_assignments where owner_id = 'cus-acme' and type_id = 'user' and capability_id = 'ai-tokens'$$);
select pg_temp.updated($$select gov_upsert_default_assignments('cus-acme', '[{"typeId": "user", "capabilityId": "ai-tokens", "usageLimit": 1001}]')$$,
    $$gov_default_assignments where owner_id = 'cus-acme' and type_id = 'user' and capability_id = 'ai-tokens'$$);

-- Pages, of an owner and of everybody.
select * from pg_temp.pages($$select gov_list_default_assignments('cus-acme', page_size => 2 %s)$$, '{capabilityId}');
select * from pg_temp.pages($$select gov_list_default_assignments(null, page_size => 1 %s)$$, '{typeId}');
select item ->> 'capabilityId' as capability from pg_temp.items(gov_list_default_assignments('cus-acme', type_id => 'org')) item;
select item ->> 'typeId' as type from pg_temp.items(gov_list_default_assignments('cus-acme', capability_id => 'ai-tokens')) item;
select gov_list_default_assignments('cus-globex');

-- Bad input.
select pg_temp.outcome($$select gov_upsert_default_assignments('cus-acme', null)$$);
select pg_temp.outcome($$select gov_upsert_default_assignments('cus-acme', '[]')$$);
select pg_temp.outcome($$select gov_upsert_default_assignments('cus-acme', '[{"capabilityId": "ai-tokens", "usageLimit": 1, "cadence": null}]')$$);
select pg_temp.outcome($$select gov_upsert_default_assignments('cus-acme', '[{"typeId": "user", "usageLimit": 1, "cadence": null}]')$$);
select pg_temp.outcome($$select gov_upsert_default_assignments('cus-acme', '[{"typeId": "robot", "capabilityId": "ai-tokens", "usageLimit": 1, "cadence": null}]')$$);
select pg_temp.outcome($$select gov_upsert_default_assignments('cus-acme', '[{"typeId": "user", "capabilityId": "ai-time", "usageLimit": 1, "cadence": null}]')$$);
select pg_temp.outcome($$select gov_upsert_default_assignments('cus-acme', '[{"typeId": "user", "capabilityId": "ai-tokens", "usageLimit": -1, "cadence": null}]')$$);
select pg_temp.outcome($$select gov_upsert_default_assignments('cus-acme', '[{"typeId": "user", "capabilityId": "ai-tokens", "cadence": "P1Q"}]')$$);
select pg_temp.outcome($$select gov_upsert_default_assignments('cus-acme', '[{"typeId": "user", "capabilityId": "ai-tokens", "timezone": "Mars"}]')$$);
select pg_temp.outcome($$select gov_upsert_default_assignments('cus-acme', '[{"typeId": "user", "capabilityId": "ai-tokens", "anchorAt": "2026-01-01", "anchorFrom": "created_at"}]')$$);
select pg_temp.outcome($$select gov_upsert_default_assignments('cus-acme', '[{"typeId": "user", "capabilityId": "ai-tokens", "anchorFrom": ""}]')$$);
select pg_temp.outcome($$select gov_upsert_default_assignments('cus-acme', '[{"typeId": "user", "capabilityId": "ai-tokens", "scopeTypeIds": ["user"], "usageLimit": 1, "cadence": null}]')$$);
select pg_temp.outcome($$select gov_upsert_default_assignments('cus-acme', '[{"typeId": "user", "capabilityId": "ai-tokens", "strictAllocation": true}]')$$);
select pg_temp.outcome($$select gov_upsert_default_assignments('cus-acme', '[{"typeId": "user", "capabilityId": "ai-tokens", "entityId": "alice"}]')$$);
select pg_temp.outcome($$select gov_list_default_assignments('cus-acme', page_size => 0)$$);
select pg_temp.outcome($$select gov_list_default_assignments('cus-acme', after => 'x')$$);
set governance.owner = 'cus-globex';
select pg_temp.outcome($$select gov_upsert_default_assignments('cus-acme', '[{"typeId": "user", "capabilityId": "ai-tokens", "usageLimit": 1}]')$$);
select pg_temp.outcome($$select gov_upsert_default_assignments(null, '[{"typeId": "user", "capabilityId": "ai-tokens", "usageLimit": 1}]')$$);
select pg_temp.outcome($$select gov_list_default_assignments('cus-acme')$$);
reset governance.owner;

-- Deleting one is plain SQL.
delete from gov_default_assignments where owner_id = 'cus-acme' and type_id = 'org';
select count(*) from jsonb_array_elements(gov_list_default_assignments('cus-acme') -> 'data');
rollback;
