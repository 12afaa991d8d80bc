-- gov_move_entity: an entity moves with all that is below it, in one step; what was used stays where it was recorded.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
create function helper.tree(owner text) returns setof text
language sql
as $$ select repeat('  ', depth) || entity_id from gov_tree(owner) $$;
\set ECHO all
call helper.organisation('move');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
select 'move', id, 'tokens', 100, 'P100Y' from unnest('{acme,eng,ops,ann,bot}'::text[]) id;
select is_granted from gov_consume('move', 'tokens', 7, null, '{bot}');
select reservation_id as hold from gov_reserve('move', 'tokens', 3, null, '{bot}') \gset
-- plain SQL does not, and says what does
\set VERBOSITY default
update gov_entities set parent_id = 'ops' where owner_id = 'move' and id = 'ann';
\set VERBOSITY sqlstate
select gov_move_entity('move', 'ann', 'ops');
select * from helper.tree('move');
select helper.usage('move', 'tokens', '{bot}');
select helper.usage('move', 'tokens', '{eng}');
-- a hold goes off the budgets that it was made against, and what it came to is charged where the entity is now
select event_id is not null as settled from gov_settle(:'hold', 2);
select helper.usage('move', 'tokens', '{bot}');
select helper.usage('move', 'tokens', '{eng}');
select count(*) from gov_verify('move');
-- one move is allowed, not the next
begin;
select gov_move_entity('move', 'ann', 'eng');
update gov_entities set parent_id = 'ops' where owner_id = 'move' and id = 'ann';
rollback;
-- to be a root, and where it stands already
select gov_move_entity('move', 'ann', null);
select gov_move_entity('move', 'ann', null);
update gov_entities set parent_id = 'ops' where owner_id = 'move' and id = 'ann';
select * from helper.tree('move');
select gov_move_entity('move', 'eng', 'ann');
select * from helper.tree('move');

-- Not into itself, to nobody, or too deep.
select gov_move_entity('move', 'ann', 'ann');
select gov_move_entity('move', 'ann', 'bot');
select gov_move_entity('move', 'acme', 'cyd');
select gov_move_entity('move', 'ann', 'nobody');
select gov_move_entity('move', 'nobody', 'ann');
select gov_move_entity(null, 'ann', 'eng');
select gov_move_entity('move', null, 'eng');
insert into gov_entities (owner_id, id, type_id, parent_id) select 'move', 'deep' || n, 'team', case when n > 1 then 'deep' || n - 1 end from generate_series(1, 60) n;
insert into gov_entities (owner_id, id, type_id, parent_id) values ('move', 'a', 'team', null), ('move', 'b', 'team', 'a'), ('move', 'c', 'team', 'b'), ('move', 'd', 'team', 'c'), ('move', 'e', 'team', 'd');
\set VERBOSITY default
select gov_move_entity('move', 'a', 'deep60');
\set VERBOSITY sqlstate
select gov_move_entity('move', 'a', 'deep59');
select gov_move_entity('move', 'b', null);
select gov_move_entity('move', 'deep1', 'e');
select gov_move_entity('move', 'deep1', 'd');
-- nor past a strict budget
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, strict_allocation) values ('move', 'a', 'calls', 10, null, true), ('move', 'b', 'calls', 11, null, false);
select gov_move_entity('move', 'b', 'a');
select parent_id from gov_entities where owner_id = 'move' and id in ('a', 'b', 'ann', 'acme') order by id;
select gov_delete_owner('move');
