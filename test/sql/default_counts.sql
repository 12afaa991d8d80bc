-- Budgets by defaults that are counted again, and that get something back: one count, whatever is in force meanwhile.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
create function helper.use(amount numeric, variadic ids text[]) returns text
language sql
as $$
    select concat_ws(' ', case when is_granted then 'granted' else denied_reason end, trim_scale(remaining)) from gov_consume('inh', 'tokens', amount, null, ids)
$$;
create function helper.look(variadic ids text[]) returns text
language sql
as $$
    select concat_ws(' ', case when is_granted then 'granted' else denied_reason end, trim_scale(remaining)) from gov_check('inh', 'tokens', 0, null, ids)
$$;
create function helper.budget(entity text, scope text[] default '{}') returns uuid
language sql
as $$
    select id from gov_used_assignments where owner_id = 'inh' and entity_id = entity and scope_entity_ids = scope
$$;
-- What was recounted, and what a call sees then.
create function helper.recount(entity text, since timestamptz default null, by text default 'recorded', scope text[] default '{}') returns text
language sql
as $$
    select format('%s, was %s; %s events in %s windows%s', trim_scale(r.usage), trim_scale(r.former_usage), r.counted_events, r.counted_windows, ' since ' || r.counted_since)
    from gov_recount(helper.budget(entity, scope), since, by) r
$$;
create view helper.counts as
select b.entity_id || coalesce('{' || nullif(array_to_string(b.scope_entity_ids, ','), '') || '}', '') as budget, b.source,
    trim_scale(b.current_usage) as usage, trim_scale(b.reserved_usage) as held
from gov_budgets b
where b.owner_id = 'inh'
order by 1;
\set ECHO all
call helper.organisation('inh');
set governance.caller = 'tester';

-- A default that is added in mid-window sees the window once it is counted again: rows that are rolled up, and rows that are not.
select helper.use(4, 'ann'), helper.use(5, 'bot'), helper.use(7, 'cyd');
call helper.roll_up();
select helper.use(1, 'ann');
insert into gov_default_assignments (type_id, capability_id, usage_limit, cadence) values ('user', 'tokens', 100, 'P100Y') returning id as default_id \gset
select helper.use(0, 'ann'), helper.use(2, 'cyd');
table helper.counts;
select helper.recount('ann'), helper.recount('cyd');
select helper.look('ann'), helper.look('cyd');
table helper.counts;
select chains #>> '{0,0,source}' as source from gov_check('inh', 'tokens', 0, null, '{ann}');
select helper.use(3, 'bot'), helper.use(88, 'ann');
call helper.roll_up();
select helper.look('ann');
select gov_refresh() \gset
select helper.look('ann'), helper.look('cyd');
select count(*) as wrong from gov_verify('inh');
-- again: the same, and nothing is counted twice
select helper.recount('ann'), helper.recount('ann', by => 'tree');
select trim_scale(u.amount) as amount, u.event_count, u.counter_id = a.counter_id as present, u.counter_id < 0 as below_0
from gov_usage u
join gov_used_assignments a on a.id = u.assignment_id
where u.owner_id = 'inh'
order by 1, 2, 3;
select counted_by, sets, member_ids from gov_recounts where owner_id = 'inh' order by 1, 3;
select count(*) as wrong from gov_verify('inh');
select table_name, key - 'id' - 'assignment_id' as key, new, key ->> 'id' = :'default_id' as is_of_default, (key ->> 'assignment_id')::uuid = helper.budget('cyd') as is_of_budget
from gov_changes where owner_id = 'inh' and action = 'RECOUNT' and key ->> 'entity_id' = 'cyd';
-- with what is below it now
insert into gov_entities (owner_id, id, type_id, parent_id) values ('inh', 'dot', 'agent', 'eng');
select helper.use(6, 'dot');
select gov_move_entity('inh', 'dot', 'cyd') is not null as moved;
select helper.recount('cyd'), helper.recount('cyd', by => 'tree');
select count(*) as wrong from gov_verify('inh');
-- from a time on
select helper.recount('cyd', since => '2001-01-01Z');

-- In one's own transaction; with a use behind it; rolled back.
begin;
select helper.recount('ann'), helper.look('ann');
select helper.use(50, 'ann'), helper.use(5, 'bot');
select amount from gov_usage where owner_id = 'inh' and assignment_id = helper.budget('ann') order by 1;
select helper.look('ann');
savepoint s;
update gov_entities set display_name = 'Ann' where owner_id = 'inh' and id = 'ann';
select is_granted, helper.show(chains) from gov_check('inh', 'tokens', 0, null, '{ann}');
rollback to s;
rollback;
select helper.look('ann');
begin;
savepoint s;
select helper.recount('ann');
rollback to s;
select helper.use(1, 'ann');
commit;
select helper.look('ann');
call helper.roll_up();
select count(*) as wrong from gov_verify('inh');

-- The count goes on in both directions: an assignment that takes the place, and is counted again.
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('inh', 'ann', 'tokens', 1000, 'P100Y');
table helper.counts;
select chains #>> '{0,0,source}' as source from gov_check('inh', 'tokens', 0, null, '{ann}');
select helper.recount('ann'), helper.use(10, 'ann');
select counter_id < 0 as goes_on from gov_assignments where owner_id = 'inh' and entity_id = 'ann';
select helper.recount('ann', by => 'tree');
delete from gov_assignments where owner_id = 'inh' and entity_id = 'ann';
table helper.counts;
select helper.use(1, 'ann');
select helper.recount('ann');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('inh', 'ann', 'tokens', 2000, 'P100Y');
select helper.look('ann');
call helper.roll_up();
select gov_refresh() \gset
select helper.look('ann');
delete from gov_assignments where owner_id = 'inh' and entity_id = 'ann';
select helper.look('ann');
select count(*) as wrong from gov_verify('inh');
-- all in one transaction
begin;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('inh', 'ann', 'tokens', 3000, 'P100Y');
select helper.recount('ann');
select helper.use(1, 'ann');
delete from gov_assignments where owner_id = 'inh' and entity_id = 'ann';
select helper.look('ann');
commit;
select helper.look('ann');
call helper.roll_up();
select count(*) as wrong from gov_verify('inh');
-- with windows of its own it has a count of its own
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('inh', 'ann', 'tokens', 3000, 'P50Y');
select helper.look('ann');
select helper.recount('ann'), helper.use(1, 'ann');
-- the id of the default's budget is nobody's meanwhile
select helper.outcome(format('select gov_recount(%L)', assignment_id)) from gov_default_counts where owner_id = 'inh' and entity_id = 'ann' and not retired limit 1;
delete from gov_assignments where owner_id = 'inh' and entity_id = 'ann';
select helper.look('ann');
-- other windows of the default: nobody has used it since
update gov_default_assignments set cadence = 'P200Y', anchor_at = '2001-01-01Z' where id = :'default_id';
select helper.look('ann'), helper.recount('ann'), helper.look('ann');
call helper.roll_up();
select count(*) as wrong from gov_verify('inh');
update gov_default_assignments set usage_limit = 1000 where id = :'default_id';
select helper.use(1, 'ann');

-- With a scope; holds stay held.
insert into gov_default_assignments (type_id, capability_id, scope_type_ids, usage_limit, cadence) values ('team', 'tokens', '{model}', 50, 'P100Y');
select helper.use(2, 'ops', 'gpt'), helper.use(3, 'cyd', 'gpt'), helper.use(4, 'cyd', 'opus');
select reservation_id as hold from gov_reserve('inh', 'tokens', 10, null, '{cyd,gpt}') \gset
select helper.recount('ops', scope => '{gpt}'), helper.recount('ops', by => 'tree', scope => '{gpt}');
table helper.counts;
begin;
select helper.recount('ops', scope => '{gpt}');
select helper.look('ops', 'gpt');
commit;
select helper.look('ops', 'gpt');
select gov_release(:'hold') is not null as released;
select helper.look('ops', 'gpt');
call helper.roll_up();
select count(*) as wrong from gov_verify('inh');

-- An entity of a scope that is deleted, and made again, is another one: what was used with the former does not count. With others it does.
select helper.look('ops', 'gpt'), helper.look('ops', 'opus'), helper.look('ops');
delete from gov_entities where owner_id = 'inh' and id = 'gpt';
table helper.counts;
insert into gov_entities (owner_id, id, type_id) values ('inh', 'gpt', 'model');
select helper.look('ops', 'gpt'), helper.look('ops', 'opus'), helper.look('ops');
select helper.use(1, 'ops', 'gpt');
select count(*) as left from gov_usage u join gov_default_counts n using (assignment_id) where n.owner_id = 'inh' and n.scope_entity_ids = '{gpt}' and n.retired;
begin;
delete from gov_entities where owner_id = 'inh' and id = 'gpt';
insert into gov_entities (owner_id, id, type_id) values ('inh', 'gpt', 'model');
select helper.look('ops', 'gpt'), helper.use(2, 'ops', 'gpt'), helper.look('ops', 'gpt');
rollback;
select helper.look('ops', 'gpt');
call helper.roll_up();
select scope_entity_ids, retired, count(*) from gov_default_counts where owner_id = 'inh' and entity_id = 'ops' group by 1, 2 order by 1, 2;
select count(*) as wrong from gov_verify('inh');

-- An assignment that was there before the default has a count of its own: when it is deleted, the default's begins. It can be counted again.
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('inh', 'acme', 'tokens', 1000, 'P100Y');
select helper.use(1, 'acme');
insert into gov_default_assignments (type_id, capability_id, usage_limit, cadence) values ('org', 'tokens', 500, 'P100Y');
select helper.look('acme');
delete from gov_assignments where owner_id = 'inh' and entity_id = 'acme';
select helper.look('acme'), helper.use(0, 'acme');
select helper.recount('acme') = format('%s, was 0; %s events in 1 windows', trim_scale(sum(amount)), count(*)) as again
from gov_events where owner_id = 'inh' and capability_id = 'tokens' and 'acme' = any (entity_ids);
delete from gov_default_assignments where type_id = 'org';

-- A reversal goes to the count that the event was charged to, whatever is in force.
create view helper.usage as
select n.entity_id, trim_scale(sum(u.amount)) as amount, sum(u.event_count) as events
from (select distinct n.owner_id, n.entity_id, n.counter_id from gov_default_counts n join gov_default_assignments d on d.id = n.default_id and d.seed = n.seed where not n.retired) n
join gov_usage u on u.counter_id = n.counter_id
where n.owner_id = 'inh' and n.entity_id = 'ben'
group by 1;
select event_id as first from gov_consume('inh', 'tokens', 30, null, '{ben}') \gset
select event_id as second from gov_consume('inh', 'tokens', 40, null, '{ben}') \gset
call helper.roll_up();
select helper.look('ben');
-- an assignment with other windows
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('inh', 'ben', 'tokens', 5000, 'P1000Y');
select helper.use(100, 'ben');
select gov_reverse(:first, 10) is not null as reversed;
select helper.look('ben');
delete from gov_assignments where owner_id = 'inh' and entity_id = 'ben';
select helper.look('ben');
call helper.roll_up();
table helper.usage;
select count(*) as wrong from gov_verify('inh');
-- rolled up before it comes back; in memory of nobody; and in several transactions
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('inh', 'ben', 'tokens', 5000, 'P1000Y');
select gov_reverse(:first, 5) is not null as reversed;
call helper.roll_up();
table helper.usage;
select gov_refresh() \gset
begin;
select gov_reverse(:first, 1) is not null as reversed;
savepoint s;
select gov_reverse(:second, 40) is not null as reversed;
rollback to s;
select gov_reverse(:second, 2) is not null as reversed;
commit;
select count(*) as wrong from gov_verify('inh');
delete from gov_assignments where owner_id = 'inh' and entity_id = 'ben';
select helper.look('ben');
call helper.roll_up();
table helper.usage;
-- the assignment is made, and deleted, in the transaction of the reversal
begin;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('inh', 'ben', 'tokens', 5000, 'P1000Y');
select gov_reverse(:first, 1) is not null as reversed;
delete from gov_assignments where owner_id = 'inh' and entity_id = 'ben';
select helper.look('ben');
commit;
select helper.look('ben');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('inh', 'ben', 'tokens', 5000, 'P1000Y');
begin;
select gov_reverse(:first, 1) is not null as reversed;
delete from gov_assignments where owner_id = 'inh' and entity_id = 'ben';
select helper.look('ben'), helper.use(1, 'ben');
commit;
select helper.look('ben');
call helper.roll_up();
table helper.usage;
select count(*) as wrong from gov_verify('inh');
-- under a key: once
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('inh', 'ben', 'tokens', 5000, 'P1000Y');
select is_duplicate from gov_reverse(:first, 1, 'once');
select is_duplicate from gov_reverse(:first, 1, 'once');
delete from gov_assignments where owner_id = 'inh' and entity_id = 'ben';
select helper.look('ben');
-- a default of the owner's in the place of everybody's
insert into gov_default_assignments (owner_id, type_id, capability_id, usage_limit, cadence) values ('inh', 'user', 'tokens', 7000, 'P100Y');
select helper.look('ben'), helper.use(1, 'ben');
select gov_reverse(:first, 1) is not null as reversed;
select helper.look('ben');
delete from gov_default_assignments where owner_id = 'inh';
select helper.look('ben');
select count(*) as wrong from gov_verify('inh');
-- counted again, and then hidden
select helper.recount('ben');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('inh', 'ben', 'tokens', 5000, 'P1000Y');
select gov_reverse(:first, 1) is not null as reversed;
delete from gov_assignments where owner_id = 'inh' and entity_id = 'ben';
select helper.look('ben');
call helper.roll_up();
table helper.usage;
select count(*) as wrong from gov_verify('inh');
-- other windows of the default: nothing to give back to
update gov_default_assignments set cadence = 'P300Y' where id = :'default_id';
select gov_reverse(:first, 1) is not null as reversed;
select counter_ids from gov_events where reverses = :first order by id desc limit 1;
select helper.look('ben');

-- Which limit a budget by a default had when.
select helper.use(1, 'ann'), helper.budget('ann') as ann \gset
select gov_now() as t1 \gset
update gov_default_assignments set usage_limit = 2000 where id = :'default_id';
select gov_now() as t2 \gset
update gov_default_assignments set usage_limit = null, locked = true where id = :'default_id';
update gov_default_assignments set locked = false where id = :'default_id';
select gov_now() as t3 \gset
update gov_default_assignments set usage_limit = 1000 where id = :'default_id';
select gov_limit_at(:'ann', :'t1'), gov_limit_at(:'ann', :'t2'), gov_limit_at(:'ann', :'t3'), gov_limit_at(:'ann', gov_now());
select owner_id, usage_limit, is_known from gov_limit_history where assignment_id = :'default_id' order by replaced_at;
select helper.outcome(format('select gov_limit_at(%L, %L)', :'ann', created_at - interval '1 second')) as "before the default" from gov_default_assignments where id = :'default_id';
-- an assignment that goes on with its count, from when it is made
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, anchor_at) select 'inh', 'ann', 'tokens', 77, cadence, anchor_at from gov_default_assignments where id = :'default_id' returning id = :'ann' as goes_on;
select gov_limit_at(:'ann', :'t2'), gov_limit_at(:'ann', gov_now());
update gov_assignments set usage_limit = 78 where owner_id = 'inh' and entity_id = 'ann';
select gov_limit_at(:'ann', :'t2'), gov_limit_at(:'ann', gov_now());
delete from gov_assignments where owner_id = 'inh' and entity_id = 'ann';
select gov_limit_at(:'ann', :'t2'), gov_limit_at(:'ann', gov_now());
-- an owner's default
insert into gov_default_assignments (owner_id, type_id, capability_id, usage_limit, cadence) values ('inh', 'agent', 'tokens', 5, null), ('inh', 'org', 'tokens', 6, null);
update gov_default_assignments set usage_limit = usage_limit + 1 where owner_id = 'inh';
select owner_id, usage_limit, is_known from gov_limit_history where owner_id = 'inh' order by 2;
delete from gov_default_assignments where type_id = 'org';
begin;
truncate gov_assignments;
select count(*) from gov_limit_history where owner_id in ('inh', '');
truncate gov_default_assignments;
select count(*) from gov_limit_history;
rollback;
delete from gov_default_assignments where owner_id = 'inh';
select count(*) from gov_limit_history where owner_id = 'inh';
select helper.outcome('delete from gov_limit_history');

-- Bad input.
select helper.outcome($$select gov_recount(helper.budget('nobody'))$$) as "null",
    helper.outcome(format('select gov_recount(%L)', (_gov_inherited_name(:'default_id', 1, 'inh', 'ann', '{}', null, 7)).assignment_id)) as "of nobody";
insert into gov_entities (owner_id, id, type_id) values ('inh', 'eve', 'user');
select helper.outcome(format('select gov_recount(%L)', id)) as "never used" from _gov_inherited_budgets('inh', 'eve');

-- Nothing is left of an entity, of a default, or of an owner.
select helper.use(1, 'ann');
select helper.recount('ann');
call helper.roll_up();
delete from gov_entities where owner_id = 'inh' and id in ('bot', 'ann');
select count(*) from gov_recounts r where r.owner_id = 'inh' and 'ann' = any (r.member_ids) and cardinality(member_ids) = 1;
insert into gov_entities (owner_id, id, type_id, parent_id) values ('inh', 'ann', 'user', 'eng');
select helper.look('ann');
select count(*) as wrong from gov_verify('inh');
delete from gov_default_assignments;
do $$
begin
    for round in 1..2000 loop
        perform gov_maintain();
        commit;
        exit when not exists (select from gov_default_counts);
        perform pg_sleep(0.005);
    end loop;
end
$$;
select count(*) from gov_recounts where owner_id = 'inh';
select count(*) as wrong from gov_verify('inh');
select gov_delete_owner('inh') is not null as gone;
drop schema helper cascade;
