-- Defaults with a scope: a count for each combination of the entity with resolved entities of those types that a call meets.
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
    select helper.show(chains) from gov_check(owner, 'tokens', 0, null, ids)
$$;
create function helper.used(owner text) returns table (entity text, scope text[], name text, usage_limit numeric, source text)
language sql
as $$
    select entity_id, scope_entity_ids, name, usage_limit, source from gov_used_assignments u where u.owner_id = owner order by 1, 2, 3
$$;
\set ECHO all
call helper.organisation('combined');
insert into gov_default_assignments (type_id, capability_id, scope_type_ids, usage_limit, cadence) values ('user', 'tokens', '{model}', 10, 'P100Y');
-- no model, no budget
select helper.look('combined', 'ann');
select helper.use('combined', 4, 'ann', 'gpt'), helper.use('combined', 3, 'ann', 'opus'), helper.use('combined', 1, 'ben', 'gpt');
select helper.look('combined', 'ann', 'gpt'), helper.look('combined', 'ann', 'opus'), helper.look('combined', 'ben', 'opus'), helper.look('combined', 'ann', 'gpt', 'opus');
select * from helper.used('combined');
-- a denial writes nothing, nor does a check
select helper.use('combined', 11, 'cyd', 'gpt'), helper.look('combined', 'cyd', 'opus');
select count(*) from gov_default_counts where entity_id = 'cyd';
-- from below
select helper.use('combined', 7, 'bot', 'gpt'), helper.use('combined', 6, 'bot', 'gpt'), helper.look('combined', 'bot', 'gpt');
-- both at once
select helper.use('combined', 1, 'ben', 'gpt', 'opus'), helper.look('combined', 'ben', 'gpt', 'opus');
call helper.roll_up();
select gov_drop_cache();
select helper.look('combined', 'ann', 'gpt'), helper.look('combined', 'ben', 'gpt', 'opus'), helper.look('combined', 'cyd', 'gpt', 'opus');
select * from gov_verify();

-- Two types: each pair.
insert into gov_default_assignments (type_id, capability_id, scope_type_ids, name, usage_limit) values ('org', 'tokens', '{user,model,user}', 'pair', 5) returning scope_type_ids;
select helper.use('combined', 2, 'ben', 'opus'), helper.use('combined', 1, 'cyd', 'opus', 'gpt');
select helper.look('combined', 'ben', 'opus'), helper.look('combined', 'cyd', 'gpt'), helper.look('combined', 'ann', 'gpt');
select * from helper.used('combined') where name = 'pair';
delete from gov_default_assignments where name = 'pair';

-- Assignments in their place.
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, usage_limit, cadence) values ('combined', 'ann', 'tokens', '{gpt}', 100, 'P100Y'), ('combined', 'cyd', 'tokens', '{opus}', 50, 'P1Y') returning entity_id, counter_id < 0 as goes_on;
select helper.look('combined', 'ann', 'gpt'), helper.look('combined', 'cyd', 'opus'), helper.look('combined', 'cyd', 'gpt');
select helper.use('combined', 50, 'ann', 'gpt');
delete from gov_assignments where owner_id = 'combined';
select helper.look('combined', 'ann', 'gpt'), helper.look('combined', 'cyd', 'opus');
select * from gov_verify();

-- Changes reach all.
update gov_default_assignments set usage_limit = 100;
select helper.look('combined', 'ann', 'gpt'), helper.look('combined', 'cyd', 'opus');
update gov_default_assignments set cadence = 'P99Y';
select helper.look('combined', 'ann', 'gpt'), helper.look('combined', 'cyd', 'opus');

-- Holds, alerts, boosts, own changes.
select reservation_id from gov_reserve('combined', 'tokens', 3, null, '{ann,gpt}') \gset
select helper.look('combined', 'ann', 'gpt'), (select is_duplicate from gov_settle(:'reservation_id', 2));
select helper.look('combined', 'ann', 'gpt'), gov_boost('combined', 'ann', 'tokens', 11, scope_entity_ids => '{gpt}') is not null;
select helper.look('combined', 'ann', 'gpt');
begin;
insert into gov_entities (owner_id, id, type_id) values ('combined', 'gem', 'model'), ('combined', 'dee', 'user');
select helper.use('combined', 60, 'ann', 'gem'), helper.use('combined', 60, 'dee', 'gem'), helper.use('combined', 60, 'ann', 'gem'), helper.use('combined', 1, 'ann', 'opus');
savepoint s;
select helper.use('combined', 5, 'dee', 'opus');
rollback to s;
select helper.use('combined', 6, 'dee', 'opus'), helper.use('combined', 41, 'dee', 'gem'), helper.use('combined', 40, 'dee', 'gem');
commit;
select helper.look('combined', 'dee', 'opus', 'gem');
begin;
insert into gov_default_assignments (owner_id, type_id, capability_id, scope_type_ids, usage_limit) values ('combined', 'user', 'tokens', '{model}', 1);
select helper.use('combined', 1, 'dee', 'opus'), helper.use('combined', 1, 'dee', 'opus');
rollback;
select helper.look('combined', 'dee', 'opus', 'gem');
select * from gov_verify();

-- A scope counts while its entities are of the types that the default names: not for what was met as one type and created as another,
insert into gov_default_assignments (type_id, capability_id, scope_type_ids, usage_limit) values ('user', 'tokens', '{team}', 30);
update gov_entity_types set on_unknown = 'create' where id in ('model', 'team');
select helper.show(chains) from gov_check('combined', 'tokens', 1, '{"userId": "ben", "model": "zed"}');
select helper.show(chains) from gov_consume('combined', 'tokens', 1, '{"userId": "ben", "teamId": "zed"}');
select helper.look('combined', 'ben', 'zed');
begin;
insert into gov_entities (owner_id, id, type_id) values ('combined', 'fay', 'user');
select helper.look('combined', 'ben', 'zed'), helper.look('combined', 'fay', 'zed');
rollback;
-- nor for what has got another type since; it goes on where it was with the former type.
insert into gov_entities (owner_id, id, type_id) values ('combined', 'yak', 'model');
select helper.use('combined', 2, 'ben', 'yak'), helper.look('combined', 'ben', 'yak');
update gov_entities set type_id = 'team' where owner_id = 'combined' and id = 'yak';
select helper.look('combined', 'ben', 'yak');
select * from helper.used('combined') where scope = '{yak}';
begin;
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, usage_limit, cadence) values ('combined', 'ben', 'tokens', '{yak}', 70, 'P99Y') returning counter_id < 0 as goes_on;
select helper.look('combined', 'ben', 'yak');
rollback;
select helper.use('combined', 3, 'ben', 'yak'), helper.look('combined', 'ben', 'yak');
select * from helper.used('combined') where scope = '{yak}';
call helper.roll_up();
select gov_drop_cache();
select helper.look('combined', 'ben', 'yak');
update gov_entities set type_id = 'org' where owner_id = 'combined' and id = 'yak';
select helper.look('combined', 'ben', 'yak');
update gov_entities set type_id = 'model' where owner_id = 'combined' and id = 'yak';
select helper.look('combined', 'ben', 'yak');
select * from gov_verify();
update gov_entity_types set on_unknown = 'ignore' where id in ('model', 'team');
delete from gov_default_assignments where scope_type_ids = '{team}';

-- No more than 256 of an entity and a capability; what is only looked at does not stay.
insert into gov_entities (owner_id, id, type_id) select 'combined', 'm' || n, 'model' from generate_series(1, 300) n;
select count(helper.look('combined', 'cyd', 'm' || n)) from generate_series(1, 300) n;
select count(helper.use('combined', 1, 'cyd', 'm' || n)) from generate_series(1, 256) n;
select helper.use('combined', 1, 'cyd', 'm257');
select helper.look('combined', 'cyd', 'm257');
select helper.use('combined', 1, 'cyd', 'm256');
select is_granted from gov_check('combined', 'tokens', 1, null, (select array_agg('m' || n) || '{ann}' from generate_series(1, 300) n));
select count(*) from helper.used('combined') where entity = 'cyd';

-- Bad input.
insert into gov_default_assignments (type_id, capability_id, scope_type_ids) values ('user', 'tokens', '{user}');
insert into gov_default_assignments (type_id, capability_id, scope_type_ids) values ('user', 'tokens', '{nothing}');
insert into gov_default_assignments (type_id, capability_id, scope_type_ids) values ('user', 'tokens', '{NULL}');
insert into gov_default_assignments (type_id, capability_id, scope_type_ids) values ('user', 'tokens', '{{model},{org}}');
insert into gov_default_assignments (type_id, capability_id, scope_type_ids) values ('user', 'tokens', '{a,b,c,d,e,f,g,h,i}');
insert into gov_entity_types (id) values ('tool');
update gov_default_assignments set scope_type_ids = '{tool}';
insert into gov_default_assignments (type_id, capability_id, scope_type_ids, name) values ('user', 'tokens', '{tool}', 'tool');
delete from gov_entity_types where id = 'tool';
delete from gov_default_assignments;
delete from gov_entity_types where id = 'tool';
select helper.look('combined', 'ann', 'gpt');
select gov_delete_owner('combined');
select (select count(*) from gov_default_counts where owner_id = 'combined') as counts;
