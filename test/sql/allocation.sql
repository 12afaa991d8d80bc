-- Strict budgets: what the children of an entity are given does not add up to more than the entity has.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/catalog_helpers.sql
\set ECHO all
insert into gov_entity_types (id) values ('node') on conflict do nothing;
insert into gov_capabilities (id) values ('credits'), ('other') on conflict do nothing;

--     org ── eng ── ann, ben, cid        sales ── dan
insert into gov_entities (owner_id, id, type_id, parent_id)
values ('al', 'org', 'node', null), ('al', 'eng', 'node', 'org'), ('al', 'sales', 'node', 'org'),
    ('al', 'ann', 'node', 'eng'), ('al', 'ben', 'node', 'eng'), ('al', 'cid', 'node', 'eng'), ('al', 'dan', 'node', 'sales');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('al', 'eng', 'credits', 100, 'P1M'), ('al', 'ann', 'credits', 70, 'P1M'), ('al', 'ben', 'credits', 50, 'P1M');

-- Off by default: nothing is bounded.
select strict_allocation, count(*) from gov_assignments where owner_id = 'al' group by 1;

-- The limits of an entity's children, in order.
create function pg_temp.limits(parent text, unit text default 'credits') returns text
language sql
as $$
    select string_agg(a.entity_id || coalesce(':' || nullif(a.name, ''), '') || ' ' || coalesce(a.usage_limit::text, 'none'), ', ' order by a.entity_id, a.name)
    from gov_entities e
    join gov_assignments a on a.owner_id = e.owner_id and a.entity_id = e.id and a.capability_id = unit
    where e.owner_id = 'al'
        and e.parent_id = parent
$$;

-- What a statement raises, whole.
create function pg_temp.raised(statement text) returns table (state text, message text, detail text, hint text, about text)
language plpgsql
as $$
begin
    execute statement;
exception
    when others then
        get stacked diagnostics state = returned_sqlstate, message = message_text, detail = pg_exception_detail, hint = pg_exception_hint, about = constraint_name;
        return next;
end
$$;

-- Strict is refused while the children have more.
\x
select * from pg_temp.raised($$update gov_assignments set strict_allocation = true where owner_id = 'al' and entity_id = 'eng'$$);
\x
select pg_temp.outcome($$update gov_assignments set usage_limit = 50 where owner_id = 'al' and entity_id = 'ann'$$);
select pg_temp.outcome($$update gov_assignments set strict_allocation = true where owner_id = 'al' and entity_id = 'eng'$$);

-- A child's limit: raised, given, taken away, made anew.
select pg_temp.outcome($$update gov_assignments set usage_limit = 50.000000001 where owner_id = 'al' and entity_id = 'ann'$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = null where owner_id = 'al' and entity_id = 'ann'$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = 50.1 where owner_id = 'al' and entity_id = 'ann'$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = 0 where owner_id = 'al' and entity_id = 'ann'$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = 49.999999999 where owner_id = 'al' and entity_id = 'ann'$$);
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('al', 'cid', 'credits', 0.000000002, 'P1M')$$);
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('al', 'cid', 'credits', 0.000000001, 'P1M')$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = 0.0000000014 where owner_id = 'al' and entity_id = 'cid'$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = 0.0000000015 where owner_id = 'al' and entity_id = 'cid'$$);
select pg_temp.outcome($$delete from gov_assignments where owner_id = 'al' and entity_id = 'cid'$$);
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('al', 'cid', 'credits', 1, 'P1M')$$);
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, cadence) values ('al', 'cid', 'credits', 'P1M')$$);
select pg_temp.limits('eng');

-- Not counted: named and scoped budgets, those for another capability or with another cadence. Soft ones count.
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence) values ('al', 'cid', 'credits', 'rate', 1000, 'P1M')$$);
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, usage_limit, cadence) values ('al', 'cid', 'credits', '{dan}', 1000, 'P1M')$$);
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('al', 'cid', 'other', 1000, 'P1M')$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = 1, enforcement = 'soft' where owner_id = 'al' and entity_id = 'cid' and capability_id = 'credits' and name = '' and scope_entity_ids = '{}'$$);
select pg_temp.outcome($$update gov_assignments set cadence = 'P30D', usage_limit = 1000 where owner_id = 'al' and entity_id = 'cid' and capability_id = 'credits' and name = '' and scope_entity_ids = '{}'$$);
select pg_temp.outcome($$update gov_assignments set cadence = 'P1M' where owner_id = 'al' and entity_id = 'cid' and capability_id = 'credits' and name = '' and scope_entity_ids = '{}'$$);
-- Nor do grandchildren, and the own limit of an entity is no child's.
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, strict_allocation) values ('al', 'org', 'credits', 100, 'P1M', true)$$);
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('al', 'sales', 'credits', 0.5, 'P1M')$$);
select pg_temp.outcome($$update gov_assignments set strict_allocation = false where owner_id = 'al' and entity_id = 'org'$$);
delete from gov_assignments where owner_id = 'al' and entity_id in ('cid', 'org');

-- The parent's limit and cadence.
select pg_temp.outcome($$update gov_assignments set usage_limit = 99 where owner_id = 'al' and entity_id = 'eng'$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = 99.999999999 where owner_id = 'al' and entity_id = 'eng'$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = null where owner_id = 'al' and entity_id = 'eng'$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = 1000 where owner_id = 'al' and entity_id = 'ann'$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = 1049 where owner_id = 'al' and entity_id = 'eng'$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = 1049, cadence = null where owner_id = 'al' and entity_id = 'eng'$$);
select pg_temp.outcome($$update gov_assignments set cadence = 'P1M' where owner_id = 'al' and entity_id = 'eng'$$);
-- Without a cadence it bounds those without one.
select pg_temp.outcome($$update gov_assignments set cadence = null, usage_limit = 1000 where owner_id = 'al' and entity_id = 'ben'$$);
\x
select * from pg_temp.raised($$update gov_assignments set usage_limit = 1049.5 where owner_id = 'al' and entity_id = 'ben'$$);
\x
select pg_temp.outcome($$update gov_assignments set cadence = null where owner_id = 'al' and entity_id = 'ann'$$);
select pg_temp.outcome($$update gov_assignments set cadence = null, usage_limit = 49 where owner_id = 'al' and entity_id = 'ann'$$);

-- A statement is judged at its end: limits are exchanged, parent and children grow and shrink together, in any order of rows.
select pg_temp.outcome($$update gov_assignments set usage_limit = case entity_id when 'ann' then 1000 else 49 end where owner_id = 'al' and entity_id in ('ann', 'ben')$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = usage_limit * 2 where owner_id = 'al' and capability_id = 'credits' and cadence is null$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = usage_limit / 3 where owner_id = 'al' and capability_id = 'credits' and cadence is null$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = 100 where owner_id = 'al' and capability_id = 'credits' and cadence is null$$);
select pg_temp.limits('eng'), pg_temp.limits('org');
-- What is untouched, lowered or changed otherwise is not judged again: a rule that was broken behind its back can be mended in steps.
set local session_replication_role = replica;
update gov_assignments set usage_limit = 5000 where owner_id = 'al' and entity_id in ('ann', 'ben');
set local session_replication_role = origin;
select pg_temp.outcome($$update gov_assignments set usage_limit = 4000, enforcement = 'soft' where owner_id = 'al' and entity_id = 'ann'$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = 3000, locked = true, alert_thresholds = '{80}' where owner_id = 'al' and entity_id = 'eng'$$);
select pg_temp.outcome($$update gov_entities set metadata = '{"a": "b"}' where owner_id = 'al'$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = 2999 where owner_id = 'al' and entity_id = 'eng'$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = 4001 where owner_id = 'al' and entity_id = 'ann'$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = 50, cadence = 'P1M' where owner_id = 'al' and entity_id in ('ann', 'ben')$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = 100, cadence = 'P1M' where owner_id = 'al' and entity_id = 'eng'$$);

-- COPY and multi-row INSERT, a parent after its children.
delete from gov_assignments where owner_id = 'al' and capability_id = 'credits';
copy gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, strict_allocation) from stdin;
al	ann	credits	60	P1M	f
al	eng	credits	100	P1M	t
al	ben	credits	40	P1M	f
\.
savepoint refused;
copy gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) from stdin;
al	cid	credits	1	P1M
al	dan	credits	1	P1M
\.
rollback to refused;
select pg_temp.limits('eng'), pg_temp.limits('sales');
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('al', 'ann', 'other', 60), ('al', 'ben', 'other', 41)$$);
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, strict_allocation) values ('al', 'eng', 'other', 100, true)$$);
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, strict_allocation) values ('al', 'eng', 'other', 101, true)$$);
-- Upserts in SQL insert and update.
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('al', 'cid', 'other', 20), ('al', 'ann', 'other', 40)
    on conflict (owner_id, entity_id, capability_id, scope_entity_ids, name) do update set usage_limit = excluded.usage_limit$$);
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('al', 'cid', 'other', 21)
    on conflict (owner_id, entity_id, capability_id, scope_entity_ids, name) do update set usage_limit = excluded.usage_limit$$);
select pg_temp.outcome($$merge into gov_assignments a using (values ('cid', 21)) v (id, n) on a.owner_id = 'al' and a.entity_id = v.id and a.capability_id = 'other' when matched then update set usage_limit = v.n$$);
select pg_temp.limits('eng', 'other');

-- Archived children do not count; taking one back is judged, in plain SQL and by the function.
select gov_archive_entities('al', '{ann}');
select pg_temp.outcome($$update gov_assignments set usage_limit = 41 where owner_id = 'al' and entity_id = 'ben' and capability_id = 'credits'$$);
\x
select * from pg_temp.raised($$select gov_unarchive_entities('al', '{ann}')$$);
\x
select pg_temp.outcome($$update gov_entities set archived_at = null where owner_id = 'al'$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = 1000 where owner_id = 'al' and entity_id = 'ann' and capability_id = 'credits'$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = 60 where owner_id = 'al' and entity_id = 'ann' and capability_id = 'credits'$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = 40 where owner_id = 'al' and entity_id = 'ben' and capability_id = 'credits'$$);
select pg_temp.outcome($$select gov_unarchive_entities('al', '{ann}')$$);
-- A strict budget of an archived entity is suspended, and judged when it is taken back.
select gov_archive_entities('al', '{eng}');
select pg_temp.outcome($$update gov_assignments set usage_limit = 61 where owner_id = 'al' and entity_id = 'ann' and capability_id = 'credits'$$);
select pg_temp.outcome($$select gov_unarchive_entities('al', '{eng}')$$);
select pg_temp.outcome($$update gov_entities set archived_at = '2020-01-01' where owner_id = 'al' and id in ('ben', 'eng')$$);
select pg_temp.outcome($$update gov_entities set archived_at = null where owner_id = 'al' and id = 'eng'$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = 60 where owner_id = 'al' and entity_id = 'ann' and capability_id = 'credits'$$);
select pg_temp.outcome($$update gov_entities set archived_at = null where owner_id = 'al'$$);

-- An entity that moves takes its budgets along.
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('al', 'dan', 'credits', 1, 'P1M');
select pg_temp.outcome($$update gov_entities set parent_id = 'eng' where owner_id = 'al' and id = 'dan'$$);
select pg_temp.outcome($$select gov_upsert_entities('al', '[{"id": "dan", "parentId": "eng"}]')$$);
select pg_temp.outcome($$update gov_entities set parent_id = case id when 'dan' then 'eng' else 'sales' end where owner_id = 'al' and id in ('ben', 'dan')$$);
select pg_temp.outcome($$update gov_entities set parent_id = case id when 'ben' then 'eng' else 'sales' end where owner_id = 'al' and id in ('ben', 'dan')$$);
-- Archived it may come, and stays archived.
select pg_temp.outcome($$update gov_entities set parent_id = 'eng', archived_at = '2020-01-01' where owner_id = 'al' and id = 'dan'$$);
select pg_temp.outcome($$update gov_entities set archived_at = null where owner_id = 'al' and id = 'dan'$$);
select pg_temp.outcome($$update gov_entities set parent_id = null, archived_at = null where owner_id = 'al' and id = 'dan'$$);
select pg_temp.limits('eng');

-- Functions: one call is judged at its end, whatever it moves, makes and changes.
select item ->> 'entityId' as entity, item ->> 'usageLimit' as "limit", item ->> 'strictAllocation' as strict
from pg_temp.items(gov_upsert_assignments('al', '[
    {"entityId": "dan", "capabilityId": "credits", "usageLimit": 10, "parentId": "eng"},
    {"entityId": "ann", "capabilityId": "credits", "usageLimit": 55},
    {"entityId": "ben", "capabilityId": "credits", "usageLimit": 35}]')) item;
select item ->> 'entityId' as entity, item ->> 'usageLimit' as "limit", item ->> 'strictAllocation' as strict
from pg_temp.items(gov_upsert_assignments('al', '[
    {"entityId": "ann", "capabilityId": "credits", "usageLimit": 120},
    {"entityId": "dan", "capabilityId": "credits", "usageLimit": 500, "parentId": "sales"},
    {"entityId": "eng", "capabilityId": "credits", "usageLimit": 155, "locked": true}]')) item;
\x
select * from pg_temp.raised($$select gov_upsert_assignments('al', '[{"entityId": "dan", "capabilityId": "credits", "usageLimit": 0.5, "parentId": "eng"}]')$$);
select * from pg_temp.raised($$select gov_upsert_assignments('al', '[{"entityId": "sales", "capabilityId": "credits", "usageLimit": 499, "cadence": "P1M", "strictAllocation": true}]')$$);
\x
select pg_temp.limits('eng'), pg_temp.limits('sales'), pg_temp.limits('org');
-- Omitted keeps, false turns off, an unchanged upsert changes nothing.
select item ->> 'strictAllocation' as strict from pg_temp.items(gov_upsert_assignments('al', '[{"entityId": "eng", "capabilityId": "credits", "usageLimit": 155}]')) item;
select pg_temp.updated($$select gov_upsert_assignments('al', '[{"entityId": "eng", "capabilityId": "credits", "strictAllocation": true}]')$$,
    $$gov_assignments where owner_id = 'al' and entity_id = 'eng' and capability_id = 'credits'$$);
select item ->> 'entityId' as entity, item ->> 'strictAllocation' as strict from pg_temp.items(gov_list_assignments('al', capability_id => 'credits')) item;
select item ->> 'strictAllocation' as strict from pg_temp.items(gov_upsert_assignments('al', '[{"entityId": "eng", "capabilityId": "credits", "strictAllocation": false}]')) item;
select pg_temp.outcome($$update gov_assignments set usage_limit = 1000 where owner_id = 'al' and entity_id = 'ann' and capability_id = 'credits'$$);

-- A named budget can be strict, and several can be; a scoped one cannot.
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence, strict_allocation)
    values ('al', 'sales', 'credits', 'pool', 500, 'P1M', true), ('al', 'sales', 'credits', 'less', 600, 'P1M', true), ('al', 'sales', 'credits', 'year', 1, 'P1Y', true)$$);
select message, detail from pg_temp.raised($$update gov_assignments set usage_limit = 501 where owner_id = 'al' and entity_id = 'dan'$$);
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, strict_allocation) values ('al', 'sales', 'credits', '{ann}', true)$$);
select pg_temp.outcome($$update gov_assignments set strict_allocation = null where owner_id = 'al' and entity_id = 'dan'$$);
select state, message, hint, about from pg_temp.raised($$select gov_upsert_assignments('al', '[{"entityId": "sales", "capabilityId": "credits", "scopeEntityIds": ["ann"], "usageLimit": 1, "cadence": null, "strictAllocation": true}]')$$);
select message, hint from pg_temp.raised($$select gov_upsert_assignments('al', '[{"entityId": "sales", "capabilityId": "credits", "strictAllocation": null}]')$$);

-- Other owners are others.
insert into gov_entities (owner_id, id, type_id, parent_id) values ('al2', 'eng', 'node', null), ('al2', 'ann', 'node', 'eng');
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, strict_allocation) values ('al2', 'eng', 'credits', 10, 'P1M', true), ('al2', 'ann', 'credits', 10, 'P1M', false)$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = usage_limit + 1 where owner_id in ('al', 'al2') and entity_id = 'ann' and capability_id = 'credits'$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = usage_limit + 1 where owner_id in ('al', 'al2') and entity_id in ('ann', 'eng') and capability_id = 'credits'$$);

-- Undone with its savepoint.
savepoint before_strict;
update gov_assignments set strict_allocation = false where owner_id = 'al2';
select pg_temp.outcome($$update gov_assignments set usage_limit = 12 where owner_id = 'al2' and entity_id = 'ann'$$);
rollback to before_strict;
select pg_temp.outcome($$update gov_assignments set usage_limit = 12 where owner_id = 'al2' and entity_id = 'ann'$$);
-- Gone with the owner; the name again begins from nothing.
select gov_delete_owner('al2');
insert into gov_entities (owner_id, id, type_id, parent_id) values ('al2', 'eng', 'node', null), ('al2', 'ann', 'node', 'eng');
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('al2', 'eng', 'credits', 10, 'P1M'), ('al2', 'ann', 'credits', 12, 'P1M')$$);

-- Two thousand children in one statement, under each of two parents.
insert into gov_entities (owner_id, id, type_id, parent_id) select 'al3', p, 'node', null from unnest('{p1,p2}'::text[]) p;
insert into gov_entities (owner_id, id, type_id, parent_id) select 'al3', 'c' || n, 'node', 'p' || 1 + n % 2 from generate_series(1, 4000) n;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, strict_allocation) values ('al3', 'p1', 'credits', 2000, true), ('al3', 'p2', 'credits', 2000, true);
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) select 'al3', 'c' || n, 'credits', case when n = 3999 then 1.000000001 else 1 end from generate_series(1, 4000) n$$);
select pg_temp.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) select 'al3', 'c' || n, 'credits', 1 from generate_series(1, 4000) n$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = usage_limit * 2 where owner_id = 'al3' and entity_id like 'c%'$$);
select pg_temp.outcome($$update gov_assignments set usage_limit = usage_limit * 2 where owner_id = 'al3'$$);

-- The triggers are the extension's own, and for nobody else.
create table pg_temp.mine (owner_id text);
create trigger mine after insert on pg_temp.mine for each statement execute function gov_assignment_allocated();
select pg_temp.outcome($$insert into pg_temp.mine values ('al')$$);
create trigger mine after delete on gov_entities for each statement execute function gov_entity_allocated();
select pg_temp.outcome($$delete from gov_entities where owner_id = 'nobody'$$);
rollback;
