-- Defaults: budgets that every entity of a type has, each with a count of its own.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
create function helper.use(owner text, amount numeric, variadic ids text[]) returns text
language sql
as $$
    select concat_ws(' ', case when is_granted then 'granted' else denied_reason end, trim_scale(remaining)) from gov_consume(owner, 'tokens', amount, null, ids)
$$;
create function helper.look(owner text, variadic ids text[]) returns text
language sql
as $$
    select concat_ws(' ', case when is_granted then 'granted' else denied_reason end, trim_scale(remaining)) from gov_check(owner, 'tokens', 0, null, ids)
$$;
create procedure helper.tidy_up()
language plpgsql
as $$
begin
    for round in 1..2000 loop
        perform gov_maintain();
        commit;
        exit when not exists (select from gov_default_counts);
        perform pg_sleep(0.005);
    end loop;
end
$$;
\set ECHO all
call helper.organisation('defaults');
call helper.organisation('others');
select string_agg(id || ':' || type_id, ' ' order by id) from gov_entities where owner_id = 'defaults';

-- In force when it is committed, for every owner; nothing is written before somebody uses it.
insert into gov_default_assignments (type_id, capability_id, usage_limit, cadence) values ('user', 'tokens', 10, 'P100Y');
select helper.look('defaults', 'ann'), helper.look('others', 'ann');
select helper.use('defaults', 11, 'ann'), helper.use('defaults', 4, 'ann'), helper.use('others', 1, 'ann'), helper.use('defaults', 7, 'ann');
select helper.look('defaults', 'ann'), helper.look('defaults', 'ben'), helper.look('others', 'ann');
select owner_id, entity_id, usage_limit, cadence, source, counter_id < 0 as is_computed from gov_used_assignments where owner_id in ('defaults', 'others') order by 1, 2;
select count(*) from gov_assignments where owner_id in ('defaults', 'others');
select count(*), count(distinct counter_id) from gov_default_counts where owner_id in ('defaults', 'others');
select helper.show(chains) from gov_check('defaults', 'tokens', 1, null, '{ann}');
-- those of other types have none
select helper.look('defaults', 'gpt');

-- A change reaches all that inherit, at once; a rollback takes it back.
begin;
update gov_default_assignments set usage_limit = 5;
select helper.look('defaults', 'ann'), helper.use('defaults', 2, 'ann'), helper.use('defaults', 1, 'ann');
rollback;
select helper.look('defaults', 'ann');
update gov_default_assignments set usage_limit = 20;
select helper.look('defaults', 'ann'), helper.look('others', 'ann');

-- An owner's default goes before everybody's; deleting it gives that back, with its count.
insert into gov_default_assignments (owner_id, type_id, capability_id, usage_limit) values ('others', 'user', 'tokens', 3);
select helper.look('defaults', 'ann'), helper.use('others', 2, 'ann'), helper.use('others', 2, 'ann');
delete from gov_default_assignments where owner_id = 'others';
select helper.look('others', 'ann');
-- a second one with another name is one more
insert into gov_default_assignments (type_id, capability_id, name, usage_limit, enforcement) values ('user', 'tokens', 'seen', 2, 'soft');
select helper.use('defaults', 1, 'ann'), helper.use('defaults', 3, 'ann');
select name, usage_limit, trim_scale(remaining) as remaining from gov_headroom('defaults', 'tokens', 0, null, '{ann}') order by 1;
delete from gov_default_assignments where name = 'seen';

-- An assignment takes its place, and the count goes on under it; without it the default is back.
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('defaults', 'ann', 'tokens', 100, 'P100Y');
select helper.use('defaults', 12, 'ann');
select source, usage_limit, counter_id < 0 as goes_on from gov_used_assignments where owner_id = 'defaults' and entity_id = 'ann';
delete from gov_assignments where owner_id = 'defaults' and entity_id = 'ann';
select helper.look('defaults', 'ann');
-- one that was not used before
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('defaults', 'ben', 'tokens', 100, 'P100Y');
select helper.use('defaults', 9, 'ben');
call helper.roll_up();
delete from gov_assignments where owner_id = 'defaults' and entity_id = 'ben';
select helper.use('defaults', 1, 'ben');
-- with other windows it has a count of its own, and the default keeps its
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('defaults', 'ben', 'tokens', 50, 'P1Y');
select helper.use('defaults', 1, 'ben');
delete from gov_assignments where owner_id = 'defaults' and entity_id = 'ben';
select helper.look('defaults', 'ben');
-- one with the same windows that is given others leaves it for good
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('defaults', 'ben', 'tokens', 50, 'P100Y');
select helper.look('defaults', 'ben');
update gov_assignments set cadence = 'P1Y' where owner_id = 'defaults' and entity_id = 'ben';
select helper.use('defaults', 5, 'ben');
delete from gov_assignments where owner_id = 'defaults' and entity_id = 'ben';
select helper.look('defaults', 'ben');
-- within one transaction
begin;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('defaults', 'ann', 'tokens', 30, 'P100Y');
select helper.use('defaults', 1, 'ann');
delete from gov_assignments where owner_id = 'defaults' and entity_id = 'ann';
select helper.use('defaults', 1, 'ann'), helper.use('defaults', 100, 'ann');
rollback;
select helper.look('defaults', 'ann');
select * from gov_verify();

-- Holds.
select reservation_id from gov_reserve('defaults', 'tokens', 3, null, '{cyd}') \gset
select helper.look('defaults', 'cyd');
select helper.show(chains) from gov_check('defaults', 'tokens', 0, null, '{cyd}');
select is_duplicate from gov_settle(:'reservation_id', 2);
select helper.look('defaults', 'cyd');
select reservation_id from gov_reserve('defaults', 'tokens', 3, null, '{cyd}') \gset
select gov_release(:'reservation_id'), helper.look('defaults', 'cyd');
-- goes on when the default starts afresh, as an assignment's
select reservation_id from gov_reserve('defaults', 'tokens', 3, null, '{cyd}') \gset
update gov_default_assignments set cadence = 'P99Y';
select helper.look('defaults', 'cyd'), helper.look('defaults', 'ann');
select gov_release(:'reservation_id'), helper.look('defaults', 'cyd');

-- Alerts and boosts.
update gov_default_assignments set alert_thresholds = '{50,90}';
select helper.use('defaults', 12, 'ann');
select a.threshold, trim_scale(a.usage) as usage, a.usage_limit, u.entity_id from gov_alerts a join gov_used_assignments u on u.id = a.assignment_id where a.owner_id = 'defaults' order by a.id;
select gov_boost('defaults', 'ann', 'tokens', 30) is not null, helper.look('defaults', 'ann');
select gov_boost('defaults', 'ann', 'tokens', 30, name => 'no such');
select helper.use('defaults', 13, 'ann'), helper.use('defaults', 21, 'ann');
select a.threshold, trim_scale(a.usage) as usage, a.usage_limit from gov_alerts a join gov_used_assignments u on u.id = a.assignment_id where a.owner_id = 'defaults' order by a.id;

-- A deleted entity takes its counts along.
call helper.organisation('gone');
delete from gov_entities where owner_id = 'gone' and id = 'bot';
select helper.use('gone', 4, 'ann');
call helper.roll_up();
delete from gov_entities where owner_id = 'gone' and id = 'ann';
insert into gov_entities (owner_id, id, type_id, parent_id) values ('gone', 'ann', 'user', 'eng');
select helper.use('gone', 1, 'ann');
begin;
delete from gov_entities where owner_id = 'gone' and id = 'ann';
insert into gov_entities (owner_id, id, type_id, parent_id) values ('gone', 'ann', 'user', 'eng');
select helper.use('gone', 2, 'ann');
rollback;
select helper.look('gone', 'ann');
-- an archived one has none
update gov_entities set archived_at = now() where owner_id = 'gone' and id = 'ann';
select helper.look('gone', 'ann');
update gov_entities set archived_at = null where owner_id = 'gone' and id = 'ann';
select helper.look('gone', 'ann');
select * from gov_verify();

-- Anchors that come from the entity.
insert into gov_entities (owner_id, id, type_id, created_at) values ('gone', 'dan', 'user', '2020-02-29 10:00+00');
update gov_default_assignments set cadence = 'P1Y', anchor_from = 'created_at';
select (chains #>> '{0,0,usagePeriodStart}') ~ '-02-2[89]T10:00:00' as from_its_making from gov_consume('gone', 'tokens', 1, null, '{dan}');
update gov_default_assignments set cadence = 'P1M', anchor_from = 'billing', timezone = 'Asia/Kolkata';
create function helper.starts(billing text) returns text
language plpgsql
as $$
begin
    update gov_entities set metadata = jsonb_build_object('billing', billing) where owner_id = 'gone' and id = 'dan';
    return (select to_char((chains #>> '{0,0,usagePeriodStart}')::timestamptz at time zone 'Asia/Kolkata', 'DD HH24:MI:SS.MS') from gov_consume('gone', 'tokens', 1, null, '{dan}'));
end
$$;
select b, helper.starts(b) from unnest('{15,1,2020-01-20,2020-01-20 10:00,2020-01-20T10:00:30.5Z,2020-01-20T10:00+0200,0,32,31.,"",soon,2020-02-30,2020-01-20 25:00,20-01-20}'::text[]) b;
select count(*) from gov_default_counts where owner_id = 'gone' and entity_id = 'dan';
select anchor_at from gov_used_assignments where owner_id = 'gone' and entity_id = 'dan';
-- what comes back has its count
select helper.starts('15'), helper.look('gone', 'dan');
update gov_default_assignments set anchor_at = '2020-01-01', anchor_from = 'created_at';

-- Who is denied is known although nothing was written.
update gov_default_assignments set anchor_from = null, usage_limit = 0;
select helper.use('gone', 1, 'ben');
call helper.roll_up();
select entity_id, denied_count from gov_denials where owner_id = 'gone' and entity_id = 'ben';
select count(*) from gov_default_counts where owner_id = 'gone' and entity_id = 'ben';

-- A deleted default takes all along.
update gov_default_assignments set usage_limit = 100;
select helper.use('gone', 1, 'ann');
delete from gov_default_assignments;
select helper.look('gone', 'ann');
call helper.roll_up();
call helper.tidy_up();
select (select count(*) from gov_default_counts) as counts, (select count(*) from gov_used_assignments where source = 'default') as budgets, (select count(*) from gov_usage where counter_id < 0) as usage,
    (select count(*) from gov_alerts where owner_id in ('defaults', 'others', 'gone')) as alerts;
select * from gov_verify();
select gov_delete_owner(o) from unnest('{defaults,others,gone}'::text[]) o;
