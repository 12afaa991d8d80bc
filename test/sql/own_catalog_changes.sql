-- Catalog rows that the caller's own transaction has written, and what other ways of writing them do.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('own');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('own', 'bot', 'tokens', 100, 'P100Y'),
       ('own', 'eng', 'tokens', 500, 'P100Y');
create function helper.ingest(amount numeric, entity text default 'bot', dims jsonb default null) returns void
language sql
as $$ select gov_ingest('own', 'tokens', amount, dims, array[entity]) $$;
create view helper.usage as select helper.usage('own', 'tokens', '{bot}');
select helper.ingest(10) \gset
table helper.usage;

-- Everything made, used and rolled back in one transaction, as a test suite does it.
begin;
insert into gov_entity_types (id, attribution_keys) values ('robot', '{robotId}');
insert into gov_capabilities (id) values ('own-steps');
insert into gov_entities (owner_id, id, type_id, parent_id) values ('own', 'r2', 'robot', 'bot'), ('own-2', 'r2', 'robot', null);
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('own', 'r2', 'own-steps', 5, 'P100Y'), ('own', 'acme', 'own-steps', 7, null), ('own-2', 'r2', 'own-steps', 1, null);
select helper.usage('own', 'own-steps', '{r2}'), helper.usage('own-2', 'own-steps', null, '{"robotId": "r2"}');
select is_duplicate from gov_ingest('own', 'own-steps', 3, '{"robotId": "r2"}', null, 'own-key');
select is_duplicate from gov_ingest('own', 'own-steps', 3, '{"robotId": "r2"}', null, 'own-key');
select is_granted, denied_reason, remaining, helper.show(chains) from gov_check('own', 'own-steps', 3, entity_ids => '{r2}');
select is_granted, remaining from gov_check('own', 'own-steps', 3, entity_ids => '{bot}');
savepoint a;
select is_duplicate from gov_ingest('own', 'own-steps', 2, entity_ids => '{r2}');
rollback to a;
select gov_allowed('own', 'own-steps', 2, entity_ids => '{r2}'), gov_allowed('own', 'own-steps', 2.1, entity_ids => '{r2}');
select helper.ingest(1, 'r2') \gset
select helper.usage('own', 'tokens', '{r2}');
rollback;
select helper.usage('own', 'tokens', '{r2}'), helper.usage('own', 'tokens', null, '{"robotId": "bot"}');
select gov_allowed('own', 'own-steps', 2, entity_ids => '{bot}');
table helper.usage;

-- The same, committed: what was used in the transaction is used after it.
begin;
insert into gov_entities (owner_id, id, type_id, parent_id) values ('own', 'r3', 'agent', 'bot');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('own', 'r3', 'tokens', 20, null);
select helper.ingest(4, 'r3') \gset
select helper.usage('own', 'tokens', '{r3}');
commit;
select helper.usage('own', 'tokens', '{r3}');
select helper.ingest(1, 'r3') \gset
select gov_refresh() \gset
select helper.usage('own', 'tokens', '{r3}');

-- A limit: in force at once, back with the rollback, and the usage stays either way.
begin;
update gov_assignments set usage_limit = 15 where owner_id = 'own' and entity_id = 'bot';
select is_granted, remaining from gov_check('own', 'tokens', 1, entity_ids => '{bot}');
select helper.ingest(2) \gset
table helper.usage;
savepoint a;
update gov_assignments set usage_limit = null where owner_id = 'own' and entity_id = 'bot';
select is_granted, remaining, helper.show(chains) from gov_check('own', 'tokens', 450, entity_ids => '{bot}');
rollback to a;
select is_granted, remaining from gov_check('own', 'tokens', 1, entity_ids => '{bot}');
rollback;
select is_granted, remaining, helper.show(chains) from gov_check('own', 'tokens', 85, entity_ids => '{bot}');
begin;
update gov_assignments set usage_limit = 40, enforcement = 'soft' where owner_id = 'own' and entity_id = 'bot';
select helper.ingest(30) \gset
commit;
table helper.usage;
update gov_assignments set usage_limit = 100, enforcement = 'hard' where owner_id = 'own' and entity_id = 'bot';
table helper.usage;

-- A cadence starts the usage afresh; a rollback brings back what was never gone.
begin;
update gov_assignments set cadence = 'P200Y' where owner_id = 'own' and entity_id = 'bot';
table helper.usage;
select helper.ingest(1) \gset
table helper.usage;
savepoint a;
update gov_assignments set cadence = null where owner_id = 'own' and entity_id = 'bot';
select helper.ingest(2) \gset
table helper.usage;
rollback to a;
table helper.usage;
rollback;
table helper.usage;
-- committed: afresh, with what its own transaction used after the change; and back again does not restore it
begin;
select helper.ingest(7) \gset
update gov_assignments set cadence = 'P200Y' where owner_id = 'own' and entity_id = 'bot';
select helper.ingest(1) \gset
commit;
table helper.usage;
update gov_assignments set cadence = 'P100Y' where owner_id = 'own' and entity_id = 'bot';
table helper.usage;
select helper.ingest(3) \gset
update gov_assignments set timezone = 'Asia/Tokyo' where owner_id = 'own' and entity_id = 'bot';
table helper.usage;
select helper.ingest(3) \gset
update gov_assignments set anchor_at = '2000-01-01 00:00Z' where owner_id = 'own' and entity_id = 'bot';
table helper.usage;
select helper.ingest(3) \gset
-- writing the same again is no change, and neither is any other column
update gov_assignments set cadence = 'P100Y', anchor_at = '2000-01-01 00:00Z', locked = true, alert_thresholds = '{50}' where owner_id = 'own' and entity_id = 'bot';
table helper.usage;
call helper.roll_up();
select gov_refresh() \gset
table helper.usage;

-- A restore gives the counter too; one that is or was another budget's is refused.
call helper.organisation('own-2');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('own-2', 'bot', 'tokens', 100, 'P100Y')
returning counter_id as retired \gset
select is_duplicate from gov_ingest('own-2', 'tokens', 42, null, '{bot}');
call helper.roll_up();
update gov_assignments set cadence = 'P200Y' where owner_id = 'own-2';
insert into gov_entities (owner_id, id, type_id) values ('own-3', 'r2', 'agent');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, counter_id) values ('own-3', 'r2', 'tokens', 100, 'P100Y', :retired);
select gov_delete_owner('own-2'), gov_delete_owner('own-3');

-- Archived in one's own transaction, and restored by a savepoint.
begin;
savepoint a;
update gov_entities set archived_at = now() where owner_id = 'own' and id = 'bot';
table helper.usage;
select helper.ingest(4) \gset
table helper.usage;
rollback to a;
table helper.usage;
update gov_entities set archived_at = now() where owner_id = 'own' and id = 'eng';
select helper.ingest(4) \gset
update gov_entities set archived_at = null where owner_id = 'own' and id = 'eng';
table helper.usage;
commit;
table helper.usage;

-- A leaf that moves: from then on it counts there, and past usage stays with the old ancestors.
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('own', 'ops', 'tokens', 300, null);
begin;
update gov_entities set parent_id = 'cyd' where owner_id = 'own' and id = 'r3';
select helper.usage('own', 'tokens', '{r3}');
select helper.ingest(2, 'r3') \gset
select helper.usage('own', 'tokens', '{r3}');
rollback;
select helper.usage('own', 'tokens', '{r3}');
update gov_entities set parent_id = 'cyd' where owner_id = 'own' and id = 'r3';
select helper.ingest(2, 'r3') \gset
select helper.usage('own', 'tokens', '{r3,bot}');

-- Attribution keys.
begin;
update gov_entity_types set attribution_keys = '{agentId,botId}' where id = 'agent';
select helper.usage('own', 'tokens', null, '{"botId": "r3"}');
savepoint a;
update gov_entity_types set attribution_keys = '{botId}' where id = 'agent';
select helper.usage('own', 'tokens', null, '{"agentId": "r3"}'), helper.usage('own', 'tokens', null, '{"botId": "r3"}');
rollback to a;
select helper.usage('own', 'tokens', null, '{"agentId": "r3"}');
rollback;
select helper.usage('own', 'tokens', null, '{"agentId": "r3"}'), helper.usage('own', 'tokens', null, '{"botId": "r3"}');

-- A budget that is deleted takes its usage with it; one made again begins at nothing.
begin;
delete from gov_assignments where owner_id = 'own' and entity_id = 'r3';
select helper.usage('own', 'tokens', '{r3}');
select helper.ingest(1, 'r3') \gset
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('own', 'r3', 'tokens', 20, null);
select helper.ingest(2, 'r3') \gset
select helper.usage('own', 'tokens', '{r3}');
rollback;
select helper.usage('own', 'tokens', '{r3}');
delete from gov_assignments where owner_id = 'own' and entity_id = 'r3';
select helper.usage('own', 'tokens', '{r3}');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('own', 'r3', 'tokens', 20, null);
select helper.usage('own', 'tokens', '{r3}');

-- An exception block that changes the catalog and uses it.
do $$
begin
    update gov_assignments set usage_limit = 1000 where owner_id = 'own' and entity_id = 'ops';
    begin
        update gov_assignments set usage_limit = 1 where owner_id = 'own' and entity_id = 'ops';
        insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence) values ('own', 'ops', 'tokens', 'extra', 2, null);
        perform helper.ingest(8, 'r3');
        if gov_allowed('own', 'tokens', 0, entity_ids => '{ops}') then
            raise exception 'allowed';
        end if;
        perform 1 / 0;
    exception
        when division_by_zero then
            perform helper.ingest(16, 'r3');
    end;
end
$$;
select helper.usage('own', 'tokens', '{r3}');

-- Functions of section 2 are no different.
begin;
select jsonb_array_length(gov_upsert_entities('own', '[{"id": "r4", "typeRefId": "agent", "parentId": "r3"}]')) as entities,
       jsonb_array_length(gov_upsert_assignments('own', '[{"entityId": "r4", "capabilityId": "tokens", "usageLimit": 6, "cadence": "P100Y"}]')) as assignments;
select helper.ingest(5, 'r4') \gset
select helper.usage('own', 'tokens', '{r4}');
select gov_archive_entities('own', '{r3,ops}') \gset
select helper.usage('own', 'tokens', '{r4}');
rollback;
select helper.usage('own', 'tokens', '{r4}'), helper.usage('own', 'tokens', '{r3}');

-- COPY: rows in any order, seen at once and in force after the commit.
begin;
copy gov_entities (owner_id, id, type_id, parent_id) from stdin;
own	leaf	agent	twig
own	twig	user	bough
own	bough	team	acme
\.
copy gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence) from stdin;
own	leaf	tokens	{}	copied	11	P100Y
own	bough	tokens	{gpt}	copied	12	\N
\.
select helper.usage('own', 'tokens', '{leaf,gpt}');
select helper.ingest(2, 'leaf', '{"model": "gpt"}') \gset
commit;
select helper.usage('own', 'tokens', '{leaf,gpt}');

-- MERGE and INSERT ... ON CONFLICT.
merge into gov_assignments as a
using (values ('own', 'leaf', 21::numeric), ('own', 'twig', 22)) as v (owner_id, entity_id, usage_limit)
on a.owner_id = v.owner_id and a.entity_id = v.entity_id and a.capability_id = 'tokens' and a.name = 'copied'
when matched then update set usage_limit = v.usage_limit
when not matched then insert (owner_id, entity_id, capability_id, name, usage_limit, cadence) values (v.owner_id, v.entity_id, 'tokens', 'copied', v.usage_limit, null);
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence)
values ('own', 'bough', 'tokens', '{gpt}', 'copied', 23, null)
on conflict (owner_id, entity_id, capability_id, scope_entity_ids, name) do update set usage_limit = excluded.usage_limit;
select helper.usage('own', 'tokens', '{leaf,gpt}');

-- TRUNCATE: nothing governs while it lasts, everything does after its rollback, and usage recorded meanwhile is gone.
begin;
truncate gov_assignments;
select helper.usage('own', 'tokens', '{leaf,gpt}'), helper.usage('own', 'tokens', '{bot}');
select helper.ingest(100, 'leaf', '{"model": "gpt"}') \gset
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('own', 'leaf', 'tokens', 31, null);
select helper.ingest(1, 'leaf') \gset
select helper.usage('own', 'tokens', '{leaf,gpt}');
rollback;
select helper.usage('own', 'tokens', '{leaf,gpt}');
-- triggers that were off: gov_refresh puts it right
set session_replication_role = replica;
update gov_assignments set usage_limit = 41 where owner_id = 'own' and name = 'copied';
reset session_replication_role;
select helper.usage('own', 'tokens', '{leaf,gpt}');
begin;
alter table gov_assignments disable trigger all;
update gov_assignments set usage_limit = 51 where owner_id = 'own' and name = 'copied';
alter table gov_assignments enable trigger all;
commit;
select gov_refresh() \gset
select helper.usage('own', 'tokens', '{leaf,gpt}');
set session_replication_role = replica;
update gov_assignments set usage_limit = 61 where owner_id = 'own' and name = 'copied';
reset session_replication_role;
select helper.usage('own', 'tokens', '{leaf,gpt}');

select count(*) as wrong from gov_verify('own');
call helper.roll_up();
select gov_refresh() \gset
table helper.usage;
select helper.usage('own', 'tokens', '{r3}'), helper.usage('own', 'tokens', '{leaf,gpt}');
select count(*) as wrong from gov_verify('own');
-- TRUNCATE, committed
truncate gov_assignments;
table helper.usage;
select gov_delete_owner('own');
