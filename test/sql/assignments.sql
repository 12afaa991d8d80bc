-- Budgets: gov_upsert_assignments, gov_list_assignments, and plain DML on gov_assignments.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/catalog_helpers.sql
\set ECHO all
select count(*) from jsonb_array_elements(gov_upsert_entity_types('{"types": [{"id": "org"}, {"id": "team"}, {"id": "model"}]}'));
select count(*) from jsonb_array_elements(gov_upsert_capabilities('{"capabilities": [{"id": "ai-tokens"}, {"id": "api-calls"}, {"id": "ai-credits", "kind": "credit"}]}'));
select count(*) from jsonb_array_elements(gov_upsert_entities('cus-acme', '{"entities": [
    {"id": "org-acme", "typeId": "org"},
    {"id": "team-eng", "typeId": "team"},
    {"id": "team-ops", "typeId": "team"},
    {"id": "gpt", "typeId": "model"},
    {"id": "opus", "typeId": "model"}
]}'));

-- The reference product's request body: it also places the entity.
select pg_temp.items(gov_upsert_assignments('cus-acme', '{"assignments":[{"entityId":"team-eng","capabilityId":"ai-tokens","parentId":"org-acme","usageLimit":200000,"cadence":"P1M"}]}'));
select gov_get_entity('cus-acme', 'team-eng') ->> 'parentId' as parent;

-- Every key; each of the three names of the capability; scopes and thresholds come back sorted.
select pg_temp.items(gov_upsert_assignments('cus-acme', '[
    {"entityId": "team-eng", "featureId": "api-calls", "usageLimit": null, "cadence": null},
    {"entityId": "team-eng", "currencyId": "ai-credits", "scopeEntityIds": ["opus", "gpt", "opus"], "name": "pilot", "usageLimit": 1.5000,
     "cadence": "PT5M", "anchorAt": "2025-01-31T10:30:00.5+02:00", "timezone": "Europe/Berlin", "enforcement": "soft", "locked": true,
     "alertThresholds": [100, 50.50, 50.5], "parentId": "org-acme"}
]'));

-- On create both usageLimit and cadence are there, either may be null; a plain INSERT gets the defaults.
select pg_temp.outcome($$select gov_upsert_assignments('cus-acme', '[{"entityId": "team-ops", "capabilityId": "ai-tokens"}]')$$);
select pg_temp.outcome($$select gov_upsert_assignments('cus-acme', '[{"entityId": "team-ops", "capabilityId": "ai-tokens", "usageLimit": 1}]')$$);
select pg_temp.outcome($$select gov_upsert_assignments('cus-acme', '[{"entityId": "team-ops", "capabilityId": "ai-tokens", "cadence": "P1D"}]')$$);
select pg_temp.outcome($$select gov_upsert_assignments('cus-acme', '[{"entityId": "team-ops", "capabilityId": "ai-tokens", "name": "x"}, {"entityId": "team-ops", "capabilityId": "ai-tokens", "name": "x", "usageLimit": 1, "cadence": null}]')$$);
insert into gov_assignments (owner_id, entity_id, capability_id) values ('cus-acme', 'team-ops', 'ai-tokens')
returning scope_entity_ids, name, usage_limit, cadence, anchor_at, timezone, enforcement, locked, alert_thresholds,
    created_at = now() as created_at, updated_at = now() as updated_at;

-- Omitted is not null.
select pg_temp.items(gov_upsert_assignments('cus-acme', '[{"entityId": "team-eng", "capabilityId": "ai-credits", "scopeEntityIds": ["gpt", "opus"], "name": "pilot"}]'));
select pg_temp.items(gov_upsert_assignments('cus-acme', '[{"entityId": "team-eng", "capabilityId": "ai-credits", "scopeEntityIds": ["gpt", "opus"], "name": "pilot",
    "usageLimit": null, "cadence": null, "anchorAt": null, "alertThresholds": null, "enforcement": "hard", "locked": false}]'));
select pg_temp.items(gov_upsert_assignments('cus-acme', '[{"entityId": "team-eng", "capabilityId": "ai-credits", "scopeEntityIds": ["gpt", "opus"], "name": "pilot",
    "usageLimit": 0, "cadence": "P1Y", "alertThresholds": [], "anchorAt": "2024-02-29"}]'));

-- Entity, capability, scope and name tell budgets apart; scope order does not.
select item ->> 'usageLimit' as usage_limit from pg_temp.items(gov_upsert_assignments('cus-acme', '[
    {"entityId": "team-eng", "capabilityId": "ai-tokens", "scopeEntityIds": ["opus", "gpt"], "usageLimit": 1, "cadence": null},
    {"entityId": "team-eng", "capabilityId": "ai-tokens", "scopeEntityIds": ["gpt", "opus"], "usageLimit": 2},
    {"entityId": "team-eng", "capabilityId": "ai-tokens", "scopeEntityIds": ["gpt"], "usageLimit": 3, "cadence": null},
    {"entityId": "team-eng", "capabilityId": "ai-tokens", "scopeEntityIds": ["gpt"], "name": "n", "usageLimit": 4, "cadence": null}
]')) item;

-- A parent given here: omitted is unchanged, null detaches, the last one wins; the same rules as for gov_upsert_entities.
select item ->> 'parentId' as parent from pg_temp.items(gov_upsert_assignments('cus-acme', '[
    {"entityId": "team-ops", "capabilityId": "ai-tokens", "parentId": null},
    {"entityId": "team-ops", "capabilityId": "api-calls", "parentId": "team-eng", "usageLimit": 1, "cadence": "P1D"},
    {"entityId": "team-ops", "capabilityId": "ai-credits", "usageLimit": 1, "cadence": "P1D"}
]')) item;
select pg_temp.outcome($$select gov_upsert_assignments('cus-acme', '[{"entityId": "team-eng", "capabilityId": "ai-tokens", "parentId": null}]')$$);
select pg_temp.outcome($$select gov_upsert_assignments('cus-acme', '[{"entityId": "team-ops", "capabilityId": "ai-tokens", "parentId": "nobody"}]')$$);
select pg_temp.outcome($$select gov_upsert_assignments('cus-acme', '[{"entityId": "team-ops", "capabilityId": "ai-tokens", "parentId": "team-ops"}]')$$);
select pg_temp.outcome($$select gov_upsert_assignments('cus-acme', '[{"entityId": "team-ops", "capabilityId": "ai-tokens", "parentId": ""}]')$$);
select pg_temp.outcome(format('select gov_upsert_assignments(%L, %L)', 'cus-acme', jsonb_build_array(jsonb_build_object('entityId', 'team-ops', 'capabilityId', 'ai-tokens', 'parentId', repeat('x', 256)))));
select gov_get_entity('cus-acme', 'team-ops') ->> 'parentId' as parent;

-- What is referred to exists.
select pg_temp.outcome($$select gov_upsert_assignments('cus-acme', '[{"entityId": "nobody", "capabilityId": "ai-tokens", "usageLimit": 1, "cadence": null}]')$$);
select pg_temp.outcome($$select gov_upsert_assignments('cus-acme', '[{"entityId": "team-ops", "capabilityId": "nothing", "usageLimit": 1, "cadence": null}]')$$);
select pg_temp.outcome($$select gov_upsert_assignments('cus-acme', '[{"entityId": "team-ops", "capabilityId": "ai-tokens", "scopeEntityIds": ["gpt", "nobody"], "usageLimit": 1, "cadence": null}]')$$);
select pg_temp.outcome($$select gov_upsert_assignments('cus-other', '[{"entityId": "team-ops", "capabilityId": "ai-tokens", "usageLimit": 1, "cadence": null}]')$$);

-- Every cadence of one unit, 1 to 9999.
select cadence, pg_temp.outcome(format('update gov_assignments set cadence = %L where owner_id = %L and entity_id = %L and capability_id = %L and name = %L',
    cadence, 'cus-acme', 'team-ops', 'ai-tokens', ''))
from unnest('{P1Y,P1M,P30D,P1W,P1D,PT1H,PT5M,PT1M,PT10S,P9999D,PT9999S,P0M,P10000D,P01M,P1,1M,P-1M,P1M1D,P1.5D,PT1D,P1H,PT,P,p1m,"P1M ",""}'::text[]) with ordinality c (cadence, n)
order by n;

-- Limits: 0 or more, exact to 9 decimals, up to 18 digits before the point.
create function pg_temp.limited(given text, out outcome text, out stored numeric)
language plpgsql
as $$
begin
    outcome := pg_temp.outcome(format('update gov_assignments set usage_limit = %L where owner_id = %L and entity_id = %L and capability_id = %L',
        given, 'cus-acme', 'team-ops', 'ai-tokens'));
    select usage_limit into stored from gov_assignments where owner_id = 'cus-acme' and entity_id = 'team-ops' and capability_id = 'ai-tokens';
end
$$;
select g.given, l.outcome, l.stored
from unnest('{0,0.000000001,0.0000000005,0.0000000004,1.10,1e3,999999999999999999.999999999,999999999999999999.9999999995,1000000000000000000,-0.000000001,-0.0000000004,NaN,Infinity,-Infinity}'::text[]) with ordinality g (given, n)
cross join lateral pg_temp.limited(g.given) l
order by g.n;

-- The other columns' rules.
select n, pg_temp.outcome(format('update gov_assignments set %s where owner_id = %L and entity_id = %L and capability_id = %L', change, 'cus-acme', 'team-ops', 'ai-tokens'))
from (values
    (1, $$timezone = 'Europe/Berlin'$$),
    (2, $$timezone = 'Mars/Olympus'$$),
    (3, $$timezone = 'CEST-1'$$),
    (4, $$timezone = ''$$),
    (5, $$timezone = null$$),
    (6, $$anchor_at = 'infinity'$$),
    (7, $$anchor_at = '2025-01-31 12:00+05:30'$$),
    (8, $$enforcement = 'firm'$$),
    (9, $$alert_thresholds = '{1,2,3,4,5,6,7,8,9,10}'$$),
    (10, $$alert_thresholds = '{1,2,3,4,5,6,7,8,9,10,11}'$$),
    (11, $$alert_thresholds = '{0.5}'$$),
    (12, $$alert_thresholds = '{NaN}'$$),
    (13, $$alert_thresholds = '{null}'$$),
    (14, $$alert_thresholds = '{120,80.00,80}'$$),
    (15, $$locked = null$$),
    (16, $$counter_id = 1$$),
    (17, $$id = gen_random_uuid()$$),
    (18, $$entity_id = 'team-eng'$$),
    (19, $$capability_id = 'api-calls'$$),
    (20, $$scope_entity_ids = '{gpt}'$$),
    (21, $$name = 'other'$$),
    (22, $$owner_id = 'other'$$)
) t (n, change)
order by n;
select timezone, anchor_at, alert_thresholds from gov_assignments where owner_id = 'cus-acme' and entity_id = 'team-ops' and capability_id = 'ai-tokens';
-- a budget that has no present window would fail every call below its entity
select pg_temp.outcome($$update gov_assignments set cadence = 'P9999Y', anchor_at = '4000-01-01' where owner_id = 'cus-acme' and entity_id = 'team-ops' and capability_id = 'ai-tokens'$$);
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, name, cadence, anchor_at) values ('cus-acme', 'team-ops', 'ai-tokens', 'far', 'P9999Y', '4000-01-01')$$);
select pg_temp.outcome($$select gov_upsert_assignments('cus-acme', '[{"entityId": "team-ops", "capabilityId": "ai-tokens", "cadence": "P9999Y", "anchorAt": "4000-01-01"}]')$$);
select pg_temp.outcome($$select gov_check('cus-acme', 'ai-tokens', 0, null, '{team-ops}')$$);
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, name) values ('cus-acme', 'team-ops', 'ai-tokens', e'\t')$$);
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, name) values ('cus-acme', 'team-ops', 'ai-tokens', repeat('x', 256))$$);
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id) values ('cus-acme', 'team-ops', 'ai-tokens')$$);

-- The counter is drawn anew by cadence, anchor and timezone where they make the present window another, back again too, and by nothing else.
create function pg_temp.counter_after(change text) returns text
language plpgsql
as $$
declare
    earlier bigint;
    later bigint;
begin
    select counter_id into strict earlier from gov_assignments
    where owner_id = 'cus-acme' and entity_id = 'team-eng' and capability_id = 'ai-tokens' and scope_entity_ids = '{}';
    execute format('update gov_assignments set %s where owner_id = %L and entity_id = %L and capability_id = %L and scope_entity_ids = %L returning counter_id',
        change, 'cus-acme', 'team-eng', 'ai-tokens', '{}') into strict later;
    return case when later = earlier then 'kept' when later > earlier then 'drawn anew' end;
end
$$;
select change, pg_temp.counter_after(change)
from unnest(array['usage_limit = 5', 'locked = true', 'enforcement = ''soft''', 'alert_thresholds = ''{50}''', 'cadence = ''P1M''', 'cadence = ''P1D''',
    'cadence = ''P1M''', 'anchor_at = ''2025-01-02''', 'anchor_at = null', 'timezone = ''Asia/Tokyo''', 'timezone = ''Europe/Berlin''', 'usage_limit = 6', 'cadence = null', 'cadence = ''P1M''']) with ordinality c (change, n)
order by n;
select count(distinct counter_id) = count(*) as distinct_counters from gov_assignments where owner_id = 'cus-acme';

-- A client that knows the types of columns must give those that have neither a default nor may be null; 0 draws a counter.
select a.attrelid::regclass as "table", string_agg(a.attname, ', ' order by a.attnum) as to_be_given
from pg_attribute a
where a.attrelid in ('gov_entity_types'::regclass, 'gov_capabilities'::regclass, 'gov_entities'::regclass, 'gov_assignments'::regclass,
        'gov_alert_policies'::regclass)
    and a.attnum > 0 and a.attnotnull and not a.atthasdef
group by 1
order by 1;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, name, counter_id)
values ('cus-acme', 'team-eng', 'ai-tokens', 1, 'typed 1', default), ('cus-acme', 'team-eng', 'ai-tokens', 1, 'typed 2', 0);
select count(distinct counter_id) as drawn, min(counter_id) > 0 as counts from gov_assignments where owner_id = 'cus-acme' and name ~ '^typed';
delete from gov_assignments where owner_id = 'cus-acme' and name ~ '^typed';
-- writing back what was read changes nothing: an anchor is printed as exactly as it is stored
update gov_assignments set anchor_at = '2024-11-01 10:00:00.123456Z' where owner_id = 'cus-acme' and entity_id = 'team-eng' and capability_id = 'ai-tokens' and scope_entity_ids = '{}'
returning anchor_at, counter_id as counter \gset
with stored (item) as (
    select item - '{id,createdAt,updatedAt}'::text[]
    from jsonb_array_elements(gov_list_assignments('cus-acme', page_size => 100) -> 'data') item
    where item ->> 'entityId' = 'team-eng' and item ->> 'capabilityId' = 'ai-tokens' and item ->> 'scopeEntityIds' = '[]'
)
select item ->> 'anchorAt' as printed, gov_upsert_assignments('cus-acme', jsonb_build_array(item)) -> 0 ->> 'anchorAt' as again from stored;
select anchor_at, counter_id = :counter as kept from gov_assignments where owner_id = 'cus-acme' and entity_id = 'team-eng' and capability_id = 'ai-tokens' and scope_entity_ids = '{}';
update gov_assignments set anchor_at = '2025-01-01' where owner_id = 'cus-acme' and entity_id = 'team-eng' and capability_id = 'ai-tokens' and scope_entity_ids = '{}';

-- updated_at moves when a value changes, and not otherwise.
select pg_temp.updated($$select gov_upsert_assignments('cus-acme', '[{"entityId": "team-eng", "capabilityId": "ai-tokens", "usageLimit": 6.0000000001, "cadence": "P1M", "anchorAt": "2025-01-01T01:00:00+01:00", "alertThresholds": [50.0]}]')$$,
    $$gov_assignments where owner_id = 'cus-acme' and entity_id = 'team-eng' and capability_id = 'ai-tokens' and scope_entity_ids = '{}'$$);
select pg_temp.updated($$select gov_upsert_assignments('cus-acme', '[{"entityId": "team-eng", "capabilityId": "ai-tokens", "usageLimit": 7}]')$$,
    $$gov_assignments where owner_id = 'cus-acme' and entity_id = 'team-eng' and capability_id = 'ai-tokens' and scope_entity_ids = '{}'$$);
select pg_temp.updated($$update gov_assignments set usage_limit = 7.000 where owner_id = 'cus-acme' and entity_id = 'team-eng' and capability_id = 'ai-tokens' and scope_entity_ids = '{}'$$,
    $$gov_assignments where owner_id = 'cus-acme' and entity_id = 'team-eng' and capability_id = 'ai-tokens' and scope_entity_ids = '{}'$$);

-- Pages, by entity, capability, scope and name.
select item ->> 'entityId' as entity, item ->> 'capabilityId' as capability, item ->> 'scopeEntityIds' as scope, item ->> 'name' as name
from pg_temp.items(gov_list_assignments('cus-acme', page_size => 100)) item;
select * from pg_temp.pages($$select gov_list_assignments('cus-acme', page_size => 1%s)$$, '{capabilityId}');
select forth = back as same from pg_temp.pages($$select gov_list_assignments('cus-acme', page_size => 2%s)$$, '{}');
select * from pg_temp.pages($$select gov_list_assignments('cus-acme', page_size => 2, entity_id => 'team-eng'%s)$$, '{scopeEntityIds}');
select * from pg_temp.pages($$select gov_list_assignments('cus-acme', page_size => 1, capability_id => 'api-calls'%s)$$, '{entityId}');
select gov_list_assignments('cus-acme', entity_id => 'nobody');

-- Deleting a budget deletes its usage and alerts; TRUNCATE too.
insert into gov_usage (owner_id, assignment_id, counter_id, window_start, window_end, amount, event_count)
select owner_id, id, counter_id, '-infinity', 'infinity', 1, 1 from gov_assignments where owner_id = 'cus-acme';
insert into gov_alerts (owner_id, assignment_id, threshold, window_start, usage, usage_limit)
select owner_id, id, 50, '-infinity', 1, 1 from gov_assignments where owner_id = 'cus-acme';
delete from gov_assignments where owner_id = 'cus-acme' and entity_id = 'team-eng';
select (select count(*) from gov_assignments where owner_id = 'cus-acme') as budgets,
    (select count(*) from gov_usage where owner_id = 'cus-acme') as usage,
    (select count(*) from gov_alerts where owner_id = 'cus-acme') as alerts;
truncate gov_assignments;
select (select count(*) from gov_usage) as usage, (select count(*) from gov_alerts) as alerts;

rollback;

-- No setting of the session changes what the functions take: one that reads backslashes otherwise, from the first call on.
\c -
set client_min_messages = warning;
set standard_conforming_strings = off;
begin;
select jsonb_array_length(gov_upsert_entity_types('[{"displayName": "Own org"}]')) as types,
    jsonb_array_length(gov_upsert_capabilities('[{"id": "ai-tokens"}]')) as capabilities,
    jsonb_array_length(gov_upsert_entities('cus-acme', '[{"id": "org-acme", "typeId": "own-org", "metadata": {"a": "b"}}]')) as entities;
select item ->> 'anchorAt' as anchor
from jsonb_array_elements(gov_upsert_assignments('cus-acme', '[
    {"entityId": "org-acme", "capabilityId": "ai-tokens", "name": "a", "usageLimit": 1, "cadence": "P1M", "anchorAt": "2025-01-31"},
    {"entityId": "org-acme", "capabilityId": "ai-tokens", "name": "b", "usageLimit": 1, "cadence": "P1M", "anchorAt": "2025-01-31T10:30:00.5+02:00"}
]')) item;
select jsonb_array_length(gov_list_assignments('cus-acme', after => gov_list_assignments('cus-acme', page_size => 1) #>> '{pagination,next}') -> 'data') as next_page;
rollback;

-- Ids are drawn, of version 7 and in the order in which rows come; one that is given stays.
begin;
insert into gov_capabilities (id) values ('drawn');
insert into gov_entities (owner_id, id, type_id) values ('cus-drawn', 'org', 'org');
with drawn as
(
    insert into gov_assignments (owner_id, entity_id, capability_id, name)
    select 'cus-drawn', 'org', 'drawn', 'drawn-' || n from generate_series(101, 300) n
    returning name, id
)
select count(distinct id),
    bool_and(id::text ~ '^.{14}7.{4}[89ab]') as are_of_version_7,
    array_agg(id order by id) = array_agg(id order by name) as are_in_order,
    bool_and(abs(extract(epoch from clock_timestamp()) - ('x0000' || left(replace(id::text, '-', ''), 12))::bit(64)::bigint / 1000.0) < 60) as are_of_now
from drawn;
insert into gov_assignments (id, owner_id, entity_id, capability_id, name) values ('5f8f1e0c-0000-4000-8000-000000000001', 'cus-drawn', 'org', 'drawn', 'given') returning id;
rollback;
