-- gov_forget_entity: nothing has the old id, and all sums stay.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('gone');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, scope_entity_ids)
values ('gone', 'acme', 'tokens', 1000, null, '{}'),
       ('gone', 'ann', 'tokens', 100, 'P100Y', '{}'),
       ('gone', 'ann', 'tokens', 50, null, '{gpt}'),
       ('gone', 'gpt', 'tokens', 90, null, '{ann,eng}'),
       ('gone', 'bot', 'tokens', 60, null, '{}');
update gov_entities set display_name = 'Ann Ypsilon', metadata = '{"email": "ann@example.com"}' where owner_id = 'gone' and id = 'ann';
select gov_block('gone', 'ann', reason => 'asked Ann') is null as blocked;
select gov_unblock('gone', 'ann') is null as unblocked;
select gov_boost('gone', 'ann', 'tokens', 7, reason => 'for Ann') is not null as boosted;
select gov_request_increase('gone', 'ann', 'tokens', 5, reason => 'says Ann') is not null as requested;

-- All that says something of an entity, wherever it is.
create function helper.traces(owner text, word text) returns table (relation text, traces bigint)
language plpgsql
as $$
begin
    for relation in
        select c.oid::regclass
        from pg_depend d
        join pg_extension e on e.oid = d.refobjid and e.extname = 'governance'
        join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid and c.relkind = 'r'
        where d.refclassid = 'pg_extension'::regclass
        order by 1
    loop
        execute format('select count(*) from %s t where to_jsonb(t) ->> ''owner_id'' = $1 and t::text ~* $2', relation) into traces using owner, '\m' || word || '\M';
        if traces > 0 then
            return next;
        end if;
    end loop;
end
$$;
-- Until nobody is being forgotten any more.
create procedure helper.forget()
language plpgsql
as $$
begin
    for round in 1..4000 loop
        perform gov_maintain();
        commit;
        exit when not exists (select from gov_forgotten);
        perform pg_sleep(0.005);
    end loop;
end
$$;

select is_duplicate from gov_ingest('gone', 'tokens', 10, '{"userId": "ann", "requestId": "ann"}', '{gpt}', 'use-1');
select is_duplicate from gov_ingest('gone', 'tokens', 5, '{"modelId": "gpt"}', '{bot}', 'use-2');
call helper.roll_up();
select is_duplicate from gov_ingest('gone', 'tokens', 3, '{"userId": "ann", "n": 1, "teamId": "ann"}', null, 'use-3');
select is_granted from gov_reserve('gone', 'tokens', 4, '{"userId": "ann"}', '{ann,gpt}', 'hold-1');
select event_id as use from gov_ingest('gone', 'tokens', 2, null, '{ann}') \gset
select helper.usage('gone', 'tokens', '{bot,gpt}');
select relation from helper.traces('gone', 'ann') order by 1;

select gov_forget_entity('gone', 'ann', 'p-1');
-- at once: the catalog, the holds, the changes
select relation from helper.traces('gone', 'ann') where relation not in ('gov_events', 'gov_usage_by_time', 'gov_forgotten') order by 1;
select id, parent_id, display_name, metadata from gov_entities where owner_id = 'gone' and 'p-1' in (id, parent_id) order by id;
select entity_id, scope_entity_ids from gov_assignments where owner_id = 'gone' and ('p-1' = entity_id or 'p-1' = any (scope_entity_ids)) order by 1, 2;
select entity_id, reason from gov_boosts where owner_id = 'gone';
select entity_id, reason, state from gov_increase_requests where owner_id = 'gone';
select entity_ids, dimensions, request_hash from gov_reservations where owner_id = 'gone';
select action, key, old, new from gov_changes where owner_id = 'gone' order by id desc limit 1;
select helper.usage('gone', 'tokens', '{bot,gpt}');
select * from gov_verify('gone');
-- the old id is unknown, and a key is answered without comparison
select helper.usage('gone', 'tokens', '{ann}');
select is_duplicate from gov_reserve('gone', 'tokens', 5, null, '{p-1}', 'hold-1');
select gov_ingest('gone', 'tokens', 4, null, '{p-1}', 'hold-1');
-- reports show the new one already
select group_key, amount, event_count from gov_attribution('gone', 'tokens', '{user}', '-infinity', 'infinity');
select group_key, amount, event_count from gov_attribution('gone', 'tokens', '{userId}', '-infinity', 'infinity');
select denied_count, denied_amount from gov_backtest('gone', '[{"entityId": "p-1", "capabilityId": "tokens", "usageLimit": 14, "cadence": null}]', '-infinity', 'infinity');
select distinct entity_id from gov_usage_hourly where owner_id = 'gone' and entity_id in ('ann', 'p-1');
select distinct entity_id from gov_usage_sums('-infinity', owner_ids => '{gone}') where entity_id in ('ann', 'p-1');
-- what is given back of an event is under the new one
select event_id as back from gov_reverse(:use, 1) \gset
select entity_ids from gov_events where id = :back;

call helper.forget();
select * from helper.traces('gone', 'ann');
select amount, entity_ids, dimensions, request_hash is null as unknown_call from gov_events where owner_id = 'gone' order by id;
select helper.usage('gone', 'tokens', '{bot,gpt}');
call helper.roll_up();
select entity_id, trim_scale(sum(amount)) as amount, sum(event_count) as events from gov_usage_by_time where owner_id = 'gone' group by 1 order by 1;
select group_key, amount, event_count from gov_attribution('gone', 'tokens', '{user}', '-infinity', 'infinity');
select * from gov_verify('gone');
select is_duplicate from gov_ingest('gone', 'tokens', 99, null, '{bot}', 'use-3');

-- Somebody of that name later is somebody else, also while the first is being forgotten.
select gov_forget_entity('gone', 'ben', 'p-2');
insert into gov_entities (owner_id, id, type_id, parent_id) values ('gone', 'ben', 'user', 'ops');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('gone', 'ben', 'tokens', 10);
select is_duplicate from gov_ingest('gone', 'tokens', 6, '{"userId": "ben"}');
call helper.forget();
call helper.roll_up();
select helper.usage('gone', 'tokens', '{ben}');
select group_key, amount from gov_attribution('gone', 'tokens', '{user}', '-infinity', 'infinity') order by 1;
select entity_id, trim_scale(sum(amount)) from gov_usage_by_time where owner_id = 'gone' and entity_id in ('ben', 'p-2') group by 1;
-- the other one too is forgotten, and what took its place
select gov_forget_entity('gone', 'ben', 'p-3');
select gov_forget_entity('gone', 'p-3', 'p-4');
select group_key, amount from gov_attribution('gone', 'tokens', '{userId}', '-infinity', 'infinity') order by 1;
call helper.forget();
select group_key, amount from gov_attribution('gone', 'tokens', '{userId}', '-infinity', 'infinity') order by 1;
select * from helper.traces('gone', 'ben');
select * from helper.traces('gone', 'p-3');

-- Somebody who is only in the ledger; the new id is random unless it is given.
insert into gov_entities (owner_id, id, type_id) values ('gone', 'zoe', 'user');
select is_duplicate from gov_ingest('gone', 'tokens', 1, '{"userId": "zoe"}');
delete from gov_entities where owner_id = 'gone' and id = 'zoe';
select gov_forget_entity('gone', 'zoe') ~ '^forgotten-[0-9a-f-]{36}$' as random;
call helper.forget();
select * from helper.traces('gone', 'zoe');
select gov_forget_entity('gone', 'nobody') is not null as harmless;

-- What is refused.
select gov_forget_entity(null, 'ann');
select gov_forget_entity('gone', null);
select gov_forget_entity('gone', '');
select gov_forget_entity('', 'cyd');
select gov_forget_entity('gone', 'cyd', '');
select gov_forget_entity('gone', 'cyd', 'cyd');
select gov_forget_entity('gone', 'cyd', 'bot');
select gov_forget_entity('gone', 'cyd', repeat('x', 256));
begin read only;
select gov_forget_entity('gone', 'cyd');
rollback;
begin;
select is_duplicate from gov_ingest('gone', 'tokens', 1, null, '{cyd}');
select gov_forget_entity('gone', 'cyd');
rollback;
begin;
select gov_forget_entity('gone', 'cyd', 'p-5');
select gov_ingest('gone', 'tokens', 1, null, '{p-5}');
rollback;
update gov_entities set id = 'other' where owner_id = 'gone' and id = 'cyd';
update gov_events set entity_ids = '{}' where owner_id = 'gone';
select id from gov_entities where owner_id = 'gone' order by 1;
-- taken back
begin;
select gov_forget_entity('gone', 'cyd', 'p-5');
rollback;
select id from gov_entities where owner_id = 'gone' and id in ('cyd', 'p-5');
select * from gov_verify('gone');
select gov_delete_owner('gone');
drop schema helper cascade;

-- Budgets by defaults go on, with usage and holds, also those whose scope names the entity; who has the id next counts by himself.
insert into gov_default_assignments (type_id, capability_id, scope_type_ids, usage_limit, cadence) values ('user', 'tokens', '{}', 50, 'P100Y'), ('user', 'tokens', '{model}', 40, 'P100Y');
insert into gov_entities (owner_id, id, type_id) values ('kept', 'ann', 'user'), ('kept', 'gpt', 'model');
create function pg_temp.left(entities text[]) returns text
language sql
as $$
    select string_agg(n ->> 'entityId' || coalesce(nullif(n ->> 'scopeEntityIds', '[]'), '') || ' ' || coalesce(n ->> 'currentUsage', '') || '+' || (n ->> 'reservedUsage') || '/' || (n ->> 'usageLimit'), ' ' order by n ->> 'scopeEntityIds')
    from gov_headroom('kept', 'tokens', 0, null, entities) h,
        lateral (select jsonb_build_object('entityId', h.entity_id, 'scopeEntityIds', h.scope_entity_ids, 'currentUsage', trim_scale(h.current_usage), 'reservedUsage', trim_scale(h.reserved_usage), 'usageLimit', h.usage_limit)) as x (n)
$$;
select is_granted from gov_consume('kept', 'tokens', 10, null, '{ann,gpt}');
select reservation_id from gov_reserve('kept', 'tokens', 5, null, '{ann,gpt}') \gset
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('kept', 'ann', 'tokens', 60, 'P100Y');
select gov_forget_entity('kept', 'gpt', 'mx'), gov_forget_entity('kept', 'ann', 'x');
select pg_temp.left('{x,mx}');
insert into gov_entities (owner_id, id, type_id) values ('kept', 'ann', 'user'), ('kept', 'gpt', 'model');
select pg_temp.left('{ann,gpt}'), pg_temp.left('{x,gpt}'), pg_temp.left('{ann,mx}');
select is_granted from gov_consume('kept', 'tokens', 7, null, '{ann,gpt}');
select is_granted from gov_consume('kept', 'tokens', 3, null, '{x,gpt}');
select is_duplicate from gov_settle(:'reservation_id', 4);
select pg_temp.left('{x,mx}'), pg_temp.left('{ann,gpt}'), pg_temp.left('{x,gpt}');
delete from gov_assignments where owner_id = 'kept';
select pg_temp.left('{x,mx}');
update gov_default_assignments set cadence = 'P99Y';
select pg_temp.left('{x,mx}'), pg_temp.left('{ann,gpt}');
select is_granted from gov_consume('kept', 'tokens', 1, null, '{x,mx}'), gov_consume('kept', 'tokens', 2, null, '{ann,gpt}') as a (n);
select count(*) from gov_maintain();
select gov_drop_cache();
select pg_temp.left('{x,mx}'), pg_temp.left('{ann,gpt}');
set governance.use_cache = off;
select pg_temp.left('{x,mx}'), pg_temp.left('{ann,gpt}');
reset governance.use_cache;
select count(distinct assignment_id) from gov_default_counts where owner_id = 'kept';
select * from gov_verify('kept');
select gov_delete_owner('kept');
delete from gov_default_assignments;

-- What is rolled back to a savepoint has forgotten nobody; a transaction that has forgotten somebody uses other owners as ever.
insert into gov_entities (owner_id, id, type_id) values ('back', 'ann', 'user'), ('else', 'bob', 'user');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('back', 'ann', 'tokens', 9), ('else', 'bob', 'tokens', 9);
begin;
savepoint outer_one;
savepoint inner_one;
select gov_forget_entity('back', 'ann', 'x');
release inner_one;
update gov_assignments set usage_limit = 8 where owner_id = 'else';
select remaining from gov_consume('else', 'tokens', 1, null, '{bob}');
savepoint refused;
select remaining from gov_consume('back', 'tokens', 1, null, '{x}');
rollback to outer_one;
select remaining from gov_consume('back', 'tokens', 1, null, '{ann}');
commit;
select remaining from gov_check('back', 'tokens', 1, null, '{ann}');
select * from gov_verify('back');
select gov_delete_owner('back'), gov_delete_owner('else');
