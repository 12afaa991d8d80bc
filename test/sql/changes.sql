-- Who changed what: a row of gov_changes for each row that plain DML or a function has changed, and none for what the engine does
-- by itself; and gov_limit_at, which limit a budget had when.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
call helper.organisation('log');
call helper.organisation('log-limits');
set application_name = 'console';
-- What is new since the last call. The ids of budgets are drawn, and times are left out.
create sequence helper.changes_seen minvalue 0;
select setval('helper.changes_seen', coalesce((select max(id) from gov_changes), 0)) is not null as ready;
create function helper.changes() returns table (owner_id text, table_name text, action text, key jsonb, old jsonb, new jsonb)
language plpgsql volatile
as $$
#variable_conflict use_column
declare
    seen bigint := (select last_value from helper.changes_seen);
begin
    perform setval('helper.changes_seen', coalesce((select max(id) from gov_changes), 0));
    return query
    select c.owner_id, c.table_name, c.action, case when c.table_name = 'gov_assignments' then c.key - 'id' else c.key end, c.old, c.new
    from gov_changes c
    where c.id > seen
    order by c.at, c.table_name, c.key::text collate "C", c.action;
end
$$;
\set ECHO all

-- Plain DML: of an INSERT what is not null, of an UPDATE what has changed, of a DELETE what was not null; nothing that the engine keeps.
insert into gov_entity_types (id, attribution_keys) values ('bench', '{b,a}');
insert into gov_capabilities (id, unit) values ('seats', 'seat');
insert into gov_entities (owner_id, id, type_id, metadata) values ('log', 'one', 'bench', '{"cost": "low"}'), ('log', 'two', 'bench', '{}');
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence, anchor_at, alert_thresholds)
values ('log', 'one', 'seats', '{two}', 'named', 12.50, 'P1M', '2026-01-31', '{80,50}');
insert into gov_alert_policies (owner_id, thresholds) values ('log', '{90}'), (null, '{95}');
select * from helper.changes();
update gov_entity_types set description = 'to sit on' where id = 'bench';
update gov_entities set metadata = '{"cost": "high"}', archived_at = '2026-02-01' where owner_id = 'log' and id = 'one';
update gov_assignments set usage_limit = null, alert_thresholds = null where owner_id = 'log';
update gov_alert_policies set thresholds = '{91}' where owner_id is null;
select * from helper.changes();

-- Only rows of a statement that have changed. A counter that is drawn again, and updated_at, are no changes of their own.
update gov_assignments set usage_limit = usage_limit where owner_id = 'log';
update gov_entities set display_name = 'Two' where owner_id = 'log' and id in ('two', 'nobody');
update gov_entities set display_name = 'Two' where owner_id = 'log' and id in ('one', 'two');
update gov_assignments set cadence = 'P1D' where owner_id = 'log';
select * from helper.changes();

-- One statement that inserts and updates.
insert into gov_entities (owner_id, id, type_id) values ('log', 'two', 'bench'), ('log', 'three', 'bench')
on conflict (owner_id, id) do update set display_name = 'Zwei';
select * from helper.changes();

delete from gov_assignments where owner_id = 'log';
delete from gov_entities where owner_id = 'log' and type_id = 'bench';
delete from gov_entity_types where id = 'bench';
delete from gov_capabilities where id = 'seats';
delete from gov_alert_policies where owner_id is null;
select * from helper.changes();

-- Functions, the same. What changes nothing is none.
select count(gov_upsert_entities('log', '[{"id": "ann", "displayName": "Ann"}, {"id": "ben", "parentId": "ops"}]'));
select count(gov_upsert_entities('log', '[{"id": "ann", "displayName": "Ann"}, {"id": "ben", "parentId": "ops"}]'));
select count(gov_upsert_assignments('log', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 5, "cadence": "P1D"}]'));
select count(gov_upsert_assignments('log', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 7}]'));
select count(gov_upsert_assignments('log', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 7}]'));
select gov_archive_entities('log', '{bot}');
select gov_set_alert_policy('log', '{50}');
select gov_set_alert_policy('log', null);
select owner_id, table_name, action, key, old, new - 'archived_at' as new from helper.changes();

-- Blocks and boosts. That boosts go with their budget is not logged.
select gov_block('log', 'cyd', null, 'a loop');
select gov_unblock('log', 'cyd');
select gov_boost('log', 'ann', 'tokens', 3, '2999-01-01', 'a demo') is not null as boosted;
update gov_boosts set amount = 4 where owner_id = 'log';
select table_name, action, key - 'id' as key, old - 'blocked_at' as old, new - '{blocked_at,valid_from,created_by}'::text[] as new from helper.changes();
begin;
delete from gov_assignments where owner_id = 'log';
select table_name, action, key from helper.changes();
rollback;
select setval('helper.changes_seen', max(id)) > 0 from gov_changes;

-- Use changes nothing that is logged.
select is_granted from gov_consume('log', 'tokens', 1, null, '{ann}');
select * from helper.changes();

-- A rollback takes the rows along, also to a savepoint.
begin;
update gov_entities set display_name = 'gone' where owner_id = 'log' and id = 'ann';
rollback;
begin;
savepoint s;
update gov_entities set display_name = 'gone' where owner_id = 'log' and id = 'ann';
rollback to s;
update gov_entities set display_name = 'there' where owner_id = 'log' and id = 'ann';
commit;
select * from helper.changes();

-- Columns that users have added are logged too, of whatever type.
create type helper.pair as (x int, y text);
alter table gov_entities add column cost helper.pair, add column many int[];
update gov_entities set cost = (1, 'eins'), many = '{{1,2},{3,4}}' where owner_id = 'log' and id = 'ann';
select * from helper.changes();
alter table gov_entities drop column cost, drop column many;
update gov_entities set display_name = 'Ann' where owner_id = 'log' and id = 'ann';
select * from helper.changes();

-- Who, by what, and why. A function with other rights does not hide who has called it.
create role changes_clerk;
select gov_grant('changes_clerk', 'admin');
grant usage on schema helper to changes_clerk;
create function helper.raise_limit(entity text) returns void language sql security definer
as $$ update gov_assignments set usage_limit = usage_limit + 1 where owner_id = 'log' and entity_id = entity $$;
set role changes_clerk;
set governance.reason = 'ticket 4711';
set governance.caller = 'billing';
select helper.raise_limit('ann');
reset governance.reason;
reset governance.caller;
select helper.raise_limit('ann');
reset role;
select changed_by = session_user as by_session, changed_as, caller, reason, old, new from gov_changes where action = 'UPDATE' order by id desc limit 2;
select helper.outcome(format('set governance.reason = %L', repeat('x', 1001)));
select helper.outcome(format('set governance.reason = %L', repeat('x', 1000)));
reset governance.reason;

-- Rights.
select gov_revoke('changes_clerk');
select table_name, action, key, new, owner_id from gov_changes where action in ('GRANT', 'REVOKE') and key ->> 'role' = 'changes_clerk' order by id;
select helper.outcome('select _gov_log_right(null, null, null)');
select helper.outcome('select _gov_log_right(''GRANT'', null, null)');

-- Nobody writes it directly.
select helper.outcome('update gov_changes set reason = null');
select helper.outcome('delete from gov_changes');
select helper.outcome('truncate gov_changes');
select helper.outcome('update gov_limit_history set usage_limit = 1');
select helper.outcome('delete from gov_limit_history');
select helper.outcome('truncate gov_limit_history');

-- Rows that are brought back by a dump: they have created_at of another time.
select setval('helper.changes_seen', max(id)) > 0 from gov_changes;
insert into gov_entities (owner_id, id, type_id, created_at) values ('log', 'restored', 'user', '2026-01-01');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, created_at) values ('log', 'restored', 'tokens', 9, '2026-01-01');
select * from helper.changes();
set session_replication_role = replica;
insert into gov_entities (owner_id, id, type_id) values ('log', 'applied', 'user');
reset session_replication_role;
select * from helper.changes();
-- Whoever row-level security holds hides nothing that way.
select gov_grant('changes_clerk', 'admin');
set role changes_clerk;
insert into gov_entities (owner_id, id, type_id, created_at) values ('log', 'hidden', 'user', '2026-01-01');
reset role;
select * from helper.changes();

-- TRUNCATE is one row for each table; an owner that is deleted is one, and keeps no other.
begin;
truncate gov_alert_policies;
truncate gov_entities, gov_assignments;
select * from helper.changes();
rollback;
select setval('helper.changes_seen', max(id)) > 0 from gov_changes;
select gov_delete_owner('log');
select * from helper.changes();
select count(*) from gov_changes where owner_id = 'log';
select count(*) from gov_limit_history where owner_id = 'log';
select gov_delete_owner('log');
select * from helper.changes();

-- The limit of a moment. A limit counts from when it was set; the clock's time is kept for each.
create table helper.moments (name text, at timestamptz);
create procedure helper.moment(name text) language plpgsql as $$
begin
    insert into helper.moments values (name, gov_now());
end
$$;
call helper.moment('before');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('log-limits', 'ann', 'tokens', 10);
select id as ann from gov_assignments where owner_id = 'log-limits' and entity_id = 'ann' \gset
call helper.moment('made');
update gov_assignments set usage_limit = 20 where id = :'ann';
call helper.moment('twenty');
update gov_assignments set usage_limit = null where id = :'ann';
call helper.moment('none');
update gov_assignments set name = name, locked = true where id = :'ann';
call helper.moment('locked');
select count(gov_upsert_assignments('log-limits', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 30.5}]'));
call helper.moment('thirty');
insert into helper.moments values ('later', 'infinity');
select name, gov_limit_at(:'ann', at) from helper.moments where name <> 'before' order by at;
-- A row for each limit that was replaced, and none for a budget whose limit never was.
select usage_limit, is_known from gov_limit_history where assignment_id = :'ann' order by replaced_at;
-- Twice in one transaction.
begin;
update gov_assignments set usage_limit = 1 where id = :'ann';
update gov_assignments set usage_limit = 2 where id = :'ann';
commit;
select gov_limit_at(:'ann', now());
select usage_limit from gov_limit_history where assignment_id = :'ann' order by replaced_at;
select helper.outcome(format('select gov_limit_at(%L, %L)', :'ann', at)) from helper.moments where name = 'before';
select helper.outcome(format('select gov_limit_at(%L, %L)', :'ann', '-infinity'));
select helper.outcome(format('select gov_limit_at(null, now())'));
select helper.outcome(format('select gov_limit_at(%L, null)', :'ann'));
select helper.outcome(format('select gov_limit_at(%L, now())', gen_random_uuid()));
-- What 1.0.0 has not recorded.
insert into gov_limit_history (assignment_id, replaced_at, owner_id, is_known) select id, created_at + interval '1 microsecond', owner_id, false from gov_assignments where id = :'ann';
select helper.outcome(format('select gov_limit_at(%L, %L)', :'ann', created_at)) from gov_assignments where id = :'ann';
select gov_limit_at(:'ann', created_at + interval '1 microsecond') from gov_assignments where id = :'ann';
-- It goes with the budget.
delete from gov_assignments where id = :'ann';
select count(*) from gov_limit_history where assignment_id = :'ann';
select helper.outcome(format('select gov_limit_at(%L, now())', :'ann'));
drop owned by changes_clerk;
drop role changes_clerk;

-- What users add to the table holds for its rows, as it does for those of the ledger. What their triggers change in turn is not logged.
create table helper.told (action text, entity text, noted date);
create function helper.tell() returns trigger language plpgsql as $$
begin
    insert into helper.told values (new.action, new.key ->> 'id', new.noted);
    update gov_capabilities set display_name = new.key ->> 'id' where id = 'tokens';
    return null;
end
$$;
create function helper.refuse() returns trigger language plpgsql as $$
begin
    if new.reason is null then
        raise exception 'say why' using errcode = 'GR001';
    end if;
    return new;
end
$$;
begin;
alter table gov_changes add column noted date not null default '2026-01-01';
create trigger tell after insert on gov_changes for each row execute function helper.tell();
create trigger refuse before insert on gov_changes for each row execute function helper.refuse();
select setval('helper.changes_seen', max(id)) > 0 from gov_changes;
select helper.outcome('insert into gov_entities (owner_id, id, type_id) values (''log-limits'', ''new-1'', ''user'')');
set local governance.reason = 'because';
insert into gov_entities (owner_id, id, type_id) select 'log-limits', 'new-' || n, 'user' from generate_series(1, 2) n;
select * from helper.told order by entity;
select * from helper.changes();
select display_name is not null from gov_capabilities where id = 'tokens';
rollback;
select gov_delete_owner('log-limits');
