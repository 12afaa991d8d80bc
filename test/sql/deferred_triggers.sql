-- Foreign keys and constraint triggers of a user on our tables that are deferred: they apply to what calls write as to plain SQL, at the commit.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('later');
update gov_entity_types set on_unknown = 'create', parent_key = 'teamId' where id = 'user';
insert into gov_default_assignments (type_id, capability_id, usage_limit, cadence) values ('user', 'tokens', 20, 'P100Y');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('later', 'acme', 'tokens', 100, 'P100Y'),
       ('later', 'ann', 'calls', 100, 'P100Y');

create table helper.customer (id text collate "C" primary key);
create table helper.desk (
    owner_id text collate "C", entity_id text collate "C", place text,
    foreign key (owner_id, entity_id) references gov_entities on update cascade on delete cascade deferrable initially deferred
);
create table helper.badge (
    owner_id text collate "C", entity_id text collate "C", number int,
    foreign key (owner_id, entity_id) references gov_entities deferrable initially deferred
);
create table helper.plan (assignment_id uuid references gov_assignments on delete cascade deferrable initially deferred);
create table helper.seen (number serial, action text, id text, was text);
create function helper.see() returns trigger
language plpgsql
as $$
begin
    insert into helper.seen (action, id, was)
    values (tg_op, to_jsonb(new) ->> tg_argv[0], to_jsonb(old) ->> tg_argv[0]);
    return null;
end
$$;
grant usage on schema helper to public;
grant insert, select on helper.seen to public;
grant usage on sequence helper.seen_number_seq to public;
create function helper.seen() returns setof text
language sql
as $$
    with gone as (delete from helper.seen returning *)
    select concat_ws(' ', action, id, '<- ' || was) from gone order by number
$$;
insert into helper.customer values ('later');
alter table gov_entities add constraint customer foreign key (owner_id) references helper.customer deferrable initially deferred not valid;
create constraint trigger see after insert or update or delete on gov_entities deferrable initially deferred for each row execute function helper.see('id');
create constraint trigger see after insert or update or delete on gov_assignments deferrable initially deferred for each row execute function helper.see('entity_id');

-- Creating by use, by a role that has no right on the table.
create role governance_regress_later;
select gov_grant('governance_regress_later', 'app');
set role governance_regress_later;
begin;
select is_granted from gov_consume('later', 'tokens', 5, '{"userId": "dan", "teamId": "eng"}');
reset role;
select * from helper.seen();
set role governance_regress_later;
commit;
reset role;
select * from helper.seen();
select is_granted, denied_reason from gov_consume('later', 'tokens', 16, '{"userId": "dan"}');
-- what the commit refuses leaves nothing
set role governance_regress_later;
begin;
select is_granted from gov_consume('defers', 'tokens', 5, '{"userId": "eve"}');
commit;
select is_granted from gov_consume('defers', 'tokens', 5, '{"userId": "eve"}');
select event_id is not null as recorded from gov_ingest('defers', 'tokens', 5, '{"userId": "eve"}');
select is_granted from gov_reserve('defers', 'tokens', 5, '{"userId": "eve"}');
reset role;
select count(*) from gov_entities where owner_id = 'defers';
select count(*) from gov_events where owner_id = 'defers';
begin;
select is_granted from gov_consume('defers', 'tokens', 5, '{"userId": "eve"}');
insert into helper.customer values ('defers');
commit;
-- set so by the transaction
alter table gov_entities alter constraint customer deferrable initially immediate;
select is_granted from gov_consume('nothing', 'tokens', 5, '{"userId": "eve"}');
begin;
set constraints customer deferred;
select is_granted from gov_consume('nothing', 'tokens', 5, '{"userId": "eve"}');
set constraints customer immediate;
rollback;
alter table gov_entities alter constraint customer deferrable initially deferred;
select * from helper.seen();

-- Moving and recounting.
select gov_move_entity('later', 'ann', 'ops');
select gov_recount(id) is not null as recounted from gov_assignments where owner_id = 'later' and entity_id = 'ann';
select * from helper.seen();

-- Forgetting.
insert into helper.desk values ('later', 'ann', 'window');
insert into helper.badge values ('later', 'ann', 7);
select gov_forget_entity('later', 'ann', 'p-1');
select entity_id from helper.desk;
select * from helper.seen();
begin;
select gov_forget_entity('later', 'ann', 'p-1');
update helper.badge set entity_id = 'p-1';
commit;
select entity_id from helper.desk;
select * from helper.seen() order by 1;

-- An owner's end.
insert into helper.plan select id from gov_assignments where owner_id = 'later';
select gov_delete_owner('later');
select count(*) from gov_entities where owner_id = 'later';
select * from helper.seen();
begin;
select gov_delete_owner('later');
delete from helper.badge;
commit;
select count(*) from gov_entities where owner_id = 'later';
select (select count(*) from helper.desk) as desks, (select count(*) from helper.plan) as plans;
select * from helper.seen() order by 1;
select gov_delete_owner('defers');

-- What retention deletes, and alerts.
create table helper.invoice (event_id bigint references gov_events deferrable initially deferred);
create table helper.ticket (hold_id uuid references gov_reservations deferrable initially deferred);
create table helper.page (alert_id bigint references gov_alerts deferrable initially deferred);
create constraint trigger see after insert or delete on gov_events deferrable initially deferred for each row execute function helper.see('id');
create constraint trigger see after insert or update or delete on gov_reservations deferrable initially deferred for each row execute function helper.see('state');
insert into helper.customer values ('kept');
call helper.organisation('kept');
select is_granted, reservation_id as hold from gov_reserve('kept', 'tokens', 5, '{"userId": "ann"}') \gset
select gov_settle(:'hold', 4) is not null as settled;
select gov_release(reservation_id) from gov_reserve('kept', 'tokens', 5, '{"userId": "ann"}');
select regexp_replace(line, '\d+', 'N') from helper.seen() line;
call helper.roll_up();
select gov_delete_owner('kept');
select count(*) from gov_events where owner_id = 'kept';

-- An alert is written when the transaction's deferred triggers have fired: one that would be deferred still is refused, and the use with it.
create constraint trigger see after insert on gov_alerts deferrable initially deferred for each row execute function helper.see('threshold');
insert into gov_entities (owner_id, id, type_id) values ('kept', 'acme', 'org');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, alert_thresholds) values ('kept', 'acme', 'tokens', 10, 'P100Y', '{50}');
select is_granted from gov_consume('kept', 'tokens', 6, entity_ids => '{acme}');
select count(*) from gov_events where owner_id = 'kept';
alter table gov_alerts disable trigger see;
create trigger see_now after insert on gov_alerts for each row execute function helper.see('threshold');
select is_granted from gov_consume('kept', 'tokens', 6, entity_ids => '{acme}');
select line from helper.seen() line where line ~ '50$';
select gov_delete_owner('kept');

delete from gov_default_assignments;
drop trigger see on gov_alerts;
drop trigger see_now on gov_alerts;
drop trigger see on gov_entities;
drop trigger see on gov_assignments;
drop trigger see on gov_events;
drop trigger see on gov_reservations;
alter table gov_entities drop constraint customer;
select gov_revoke('governance_regress_later');
reset role;
drop role governance_regress_later;
drop table helper.invoice, helper.ticket, helper.page, helper.plan, helper.badge, helper.desk;
update gov_entity_types set on_unknown = 'ignore', parent_key = null where id = 'user';
select * from gov_verify();
