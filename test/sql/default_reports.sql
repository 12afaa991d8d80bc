-- What reports show of budgets that entities have by defaults: used ones and unused ones.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/catalog_helpers.sql
\i :dir/query_oracle.sql
\set ECHO all
select count(*) from jsonb_array_elements(gov_upsert_entity_types('[{"id": "team", "attributionKeys": ["teamId"]}, {"id": "user", "attributionKeys": ["userId"]}, {"id": "model"}]'));
select count(*) from jsonb_array_elements(gov_upsert_capabilities('[{"id": "tokens"}, {"id": "calls"}]'));
select count(*) from jsonb_array_elements(gov_upsert_entities('acme', '[
    {"id": "eng", "typeId": "team"}, {"id": "ops", "typeId": "team"},
    {"id": "alice", "typeId": "user", "parentId": "eng"}, {"id": "bob", "typeId": "user", "parentId": "eng"},
    {"id": "carol", "typeId": "user", "parentId": "eng"}, {"id": "dave", "typeId": "user", "parentId": "ops"}, {"id": "gpt", "typeId": "model"}]'));
select count(*) from jsonb_array_elements(gov_upsert_default_assignments('acme', '[
    {"typeId": "user", "capabilityId": "tokens", "usageLimit": 100, "cadence": "P1M"},
    {"typeId": "team", "capabilityId": "tokens", "usageLimit": 1000, "cadence": "P1M"}]'));
select count(*) from jsonb_array_elements(gov_upsert_default_assignments(null, '[
    {"typeId": "user", "capabilityId": "tokens", "usageLimit": 7, "cadence": "P1D"},
    {"typeId": "user", "capabilityId": "tokens", "name": "daily", "usageLimit": null, "cadence": "P1D", "enforcement": "soft"},
    {"typeId": "user", "capabilityId": "calls", "usageLimit": 0, "cadence": null, "locked": true, "anchorFrom": "created_at"}]'));
select count(*) from jsonb_array_elements(gov_upsert_assignments('acme', '[
    {"entityId": "bob", "capabilityId": "tokens", "usageLimit": 500, "cadence": "P1M"},
    {"entityId": "bob", "capabilityId": "tokens", "scopeEntityIds": ["gpt"], "usageLimit": 50, "cadence": "P1M"}]'));

create function pg_temp.shown() returns table (entity text, cap text, name text, "limit" numeric, used numeric, remaining numeric, allocated numeric, util numeric, source text)
language sql
as $$
    select r ->> 'entityId', r ->> 'capabilityId', r ->> 'name', (r ->> 'usageLimit')::numeric, (r ->> 'currentUsage')::numeric, (r ->> 'remaining')::numeric,
        (r ->> 'allocated')::numeric, (r ->> 'utilization')::numeric, r ->> 'source'
    from jsonb_array_elements(gov_query('acme', '{tokens,calls}', page_size => 100) -> 'data') r
$$;

-- Nothing is used: gov_budgets shows assignments, gov_query and gov_tree what everybody has.
select entity_id, capability_id, scope_entity_ids, name, usage_limit, source from gov_budgets where owner_id = 'acme' order by entity_id, capability_id, scope_entity_ids, name;
select * from pg_temp.shown();
select repeat('  ', depth) || entity_id as entity, capability_id, scope_entity_ids, name, usage_limit, current_usage, remaining, allocated, utilization, source from gov_tree('acme', '{tokens}');
select left(r, 67) as report from gov_report('acme', 'tokens') r;

-- Used ones.
select is_granted from gov_consume('acme', 'tokens', 30, '{"userId": "alice"}');
select is_granted from gov_consume('acme', 'tokens', 5, '{"userId": "dave"}');
select denied_reason from gov_consume('acme', 'calls', 1, '{"userId": "carol"}');
select entity_id, capability_id, scope_entity_ids, name, usage_limit, current_usage, remaining, allocated, source,
    default_id = (select d.id from gov_default_assignments d where d.owner_id = 'acme' and d.type_id = b.type_id) as is_the_owners from gov_budgets b where owner_id = 'acme' order by entity_id, capability_id, scope_entity_ids, name;
select * from pg_temp.shown();
select left(r, 67) as report from gov_report('acme', 'tokens') r;
select left(r, 67) as report from gov_report('acme', 'tokens', 'ops') r;
select entity_id, capability_id, usage_limit, allocated, unallocated from gov_allocations where owner_id = 'acme';

-- The oracle, before and after more changes; every sort, by pages.
create function pg_temp.differing() returns setof text
language sql
as $$
    select format('%s %s %s %s %s %s %s', c, s, o, p, m, y, v)
    from (values ('{tokens}'::text[]), ('{calls,tokens}')) t (c)
    cross join unnest('{utilization,currentUsage,usageLimit,scopeSize,id,createdAt}'::text[]) s
    cross join unnest('{asc,desc}'::text[]) o
    cross join (values ('all', null::numeric, null::text, null::text), ('nodeWide', 0, null, null), ('scoped', null, 'user', null), ('all', 1, 'user', 'eng'), ('all', null, null, 'eng')) f (p, m, y, v)
    where oracle.pages('acme', c, s, o, p, m, case when y is not null then array[y] end, null, v, 3) is distinct from oracle.rows('acme', c, s, o, p, m, case when y is not null then array[y] end, null, v)
$$;
select * from pg_temp.differing();
insert into gov_boosts (owner_id, entity_id, capability_id, amount) values ('acme', 'bob', 'tokens', 1);
select * from pg_temp.differing();

-- Boosts of inherited budgets, used (alice) and not (carol), and one to come; requests; exceptions.
select gov_boost('acme', 'alice', 'tokens', 50) is not null as boosted, gov_boost('acme', 'carol', 'tokens', 900, now() + interval '1 day') is not null as boosted,
    gov_boost('acme', 'carol', 'calls', 3) is not null as boosted, gov_boost('acme', 'bob', 'calls', 3, valid_from => now() + interval '1 hour') is not null as boosted;
select pg_temp.outcome($$select gov_boost('acme', 'carol', 'tokens', 1, name => 'daily')$$);
select gov_request_increase('acme', 'dave', 'tokens', 10) is not null as asked;
select entity, cap, "limit", used, remaining, util, source from pg_temp.shown() where name = '';
select entity_id, usage_limit, base_limit, remaining from gov_tree('acme', '{tokens}') where usage_limit <> base_limit;
select exception, entity_id, capability_id, amount from gov_exceptions where owner_id = 'acme' order by 1, 2, 3;
select * from pg_temp.differing();

-- A changed default is shown at once; an override takes the place, and gives it back.
update gov_default_assignments set usage_limit = 120 where owner_id = 'acme' and type_id = 'user';
select entity, cap, "limit", used, source from pg_temp.shown() where name = '' and cap = 'tokens';
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('acme', 'alice', 'tokens', 1000, 'P1M');
select entity_id, usage_limit, current_usage, source from gov_budgets where owner_id = 'acme' and entity_id = 'alice' and name = '';
select * from pg_temp.differing();
delete from gov_assignments where owner_id = 'acme' and entity_id = 'alice';
select entity_id, usage_limit, current_usage, source from gov_budgets where owner_id = 'acme' and entity_id = 'alice' and name = '';
select is_granted from gov_consume('acme', 'tokens', 85, '{"userId": "alice"}');
select entity_id, usage_limit, current_usage, source from gov_budgets where owner_id = 'acme' and entity_id = 'alice' and name = '';
select * from pg_temp.differing();

-- With a scope: those combinations that were used, as there is no end to the others.
select count(*) from jsonb_array_elements(gov_upsert_default_assignments('acme', '[{"typeId": "user", "capabilityId": "tokens", "scopeTypeIds": ["model"], "usageLimit": 10, "cadence": "P1M"}]'));
update gov_entity_types set attribution_keys = '{model}' where id = 'model';
select is_granted, remaining from gov_consume('acme', 'tokens', 4, '{"userId": "alice", "model": "gpt"}');
select denied_reason from gov_consume('acme', 'tokens', 11, '{"userId": "carol", "model": "gpt"}');
select entity_id, scope_entity_ids, usage_limit, current_usage, remaining, source from gov_budgets where owner_id = 'acme' and scope_entity_ids <> '{}' order by entity_id, scope_entity_ids;
select entity_id, scope_entity_ids, usage_limit, current_usage, allocated, source from gov_tree('acme', '{tokens}') where scope_entity_ids <> '{}';
select r ->> 'entityId' as entity, r ->> 'scopeEntityIds' as scope, r ->> 'currentUsage' as used, r ->> 'source' as source
from jsonb_array_elements(gov_query('acme', '{tokens}', scope => 'scoped') -> 'data') r;
select * from pg_temp.differing();

-- A tenant and a reader see what there is: everybody's defaults too.
create table pg_temp.seen as
select 'tree' as report, to_jsonb(t) as line from gov_tree('acme', '{calls,tokens}') t
union all
select 'budgets', to_jsonb(b) from gov_budgets b where b.owner_id = 'acme'
union all
select 'query', r from jsonb_array_elements(gov_query('acme', '{calls,tokens}', page_size => 100) -> 'data') r;
create role regress_default_tenant;
create role regress_default_reader;
select count(gov_grant(r, p)) from (values ('regress_default_tenant', 'tenant'), ('regress_default_reader', 'reader')) g (r, p);
grant select on pg_temp.seen to regress_default_tenant, regress_default_reader;
create function pg_temp.not_seen() returns setof text
language sql
as $$
    select s.report
    from pg_temp.seen s
    where s.line not in (
        select to_jsonb(t) from gov_tree('acme', '{calls,tokens}') t
        union all
        select to_jsonb(b) from gov_budgets b where b.owner_id = 'acme'
        union all
        select r from jsonb_array_elements(gov_query('acme', '{calls,tokens}', page_size => 100) -> 'data') r)
$$;
select count(*) > 20 from pg_temp.seen;
set local role regress_default_reader;
select * from pg_temp.not_seen();
reset role;
set local governance.owner = 'acme';
set local role regress_default_tenant;
select * from pg_temp.not_seen();
select count(*) from gov_backtest('acme', '[{"typeId": "user", "capabilityId": "tokens", "usageLimit": 4, "cadence": null}]', '-infinity', 'infinity');
reset role;
set local governance.owner = 'globex';
set local role regress_default_tenant;
select pg_temp.outcome($q$select gov_tree('acme', '{tokens}')$q$), (select count(*) from gov_budgets), (select count(*) from gov_used_assignments), (select count(*) from gov_default_assignments where owner_id is not null);
reset role;
reset governance.owner;

-- Archived ones have none; a deleted default is gone.
select gov_archive_entities('acme', '{dave}') is not null;
select count(*) from pg_temp.shown() where entity = 'dave';
delete from gov_default_assignments where owner_id = 'acme' and type_id = 'user';
select entity, cap, name, "limit", used, source from pg_temp.shown() where entity = 'alice';
select * from pg_temp.differing();
rollback;
