-- The trees of entities, in plain SQL: parents, cycles, depth, who may move, what may be deleted.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/catalog_helpers.sql
\set ECHO all
insert into gov_entity_types (id) values ('node') on conflict do nothing;
insert into gov_capabilities (id) values ('hierarchy') on conflict do nothing;

-- Rows of one statement come in any order, COPY's too.
insert into gov_entities (owner_id, id, type_id, parent_id)
values ('tree', 'leaf', 'node', 'branch'), ('tree', 'branch', 'node', 'root'), ('tree', 'root', 'node', null);
copy gov_entities (owner_id, id, type_id, parent_id) from stdin;
tree	twig	node	bough
tree	bough	node	root
\.
select id, parent_id from gov_entities where owner_id = 'tree' order by id;

-- A parent is an entity of the same owner.
select pg_temp.outcome($$insert into gov_entities (owner_id, id, type_id, parent_id) values ('tree', 'x', 'node', 'nobody')$$);
select pg_temp.outcome($$insert into gov_entities (owner_id, id, type_id, parent_id) values ('wood', 'x', 'node', 'root')$$);
select pg_temp.outcome($$update gov_entities set parent_id = 'nobody' where owner_id = 'tree' and id = 'leaf'$$);

-- No cycle.
select pg_temp.outcome($$insert into gov_entities (owner_id, id, type_id, parent_id) values ('tree', 'x', 'node', 'x')$$);
select pg_temp.outcome($$insert into gov_entities (owner_id, id, type_id, parent_id) values ('tree', 'x', 'node', 'y'), ('tree', 'y', 'node', 'z'), ('tree', 'z', 'node', 'x')$$);
select pg_temp.outcome($$insert into gov_entities (owner_id, id, type_id, parent_id) values ('tree', 'w', 'node', 'x'), ('tree', 'x', 'node', 'y'), ('tree', 'y', 'node', 'x')$$);
select pg_temp.outcome($$update gov_entities set parent_id = 'leaf' where owner_id = 'tree' and id = 'leaf'$$);
-- Which of the two is named depends on the order in which the rows are met.
select split_part(pg_temp.outcome($$update gov_entities set parent_id = case id when 'leaf' then 'twig' else 'leaf' end where owner_id = 'tree' and id in ('leaf', 'twig')$$), ' ', 1) as outcome;

-- Only leaves move, also to the root and back.
select pg_temp.outcome($$update gov_entities set parent_id = 'bough' where owner_id = 'tree' and id = 'branch'$$);
select pg_temp.outcome($$update gov_entities set parent_id = null where owner_id = 'tree' and id = 'branch'$$);
select pg_temp.outcome($$update gov_entities set parent_id = 'leaf' where owner_id = 'tree' and id = 'root'$$);
select pg_temp.outcome($$update gov_entities set parent_id = parent_id, display_name = 'Branch' where owner_id = 'tree' and id = 'branch'$$);
select pg_temp.outcome($$update gov_entities set parent_id = 'bough' where owner_id = 'tree' and id = 'leaf'$$);
select pg_temp.outcome($$update gov_entities set parent_id = null where owner_id = 'tree' and id = 'leaf'$$);
select pg_temp.outcome($$update gov_entities set parent_id = 'branch' where owner_id = 'tree' and id = 'leaf'$$);

-- Judged before the statement: one statement takes the children away and does not free the parent to move,
select pg_temp.outcome($$update gov_entities set parent_id = case id when 'leaf' then null else 'bough' end where owner_id = 'tree' and id in ('leaf', 'branch')$$);
-- and one statement moves an entity and puts another below it.
insert into gov_entities (owner_id, id, type_id) values ('tree', 'a', 'node'), ('tree', 'b', 'node');
select pg_temp.outcome($$update gov_entities set parent_id = case id when 'a' then 'root' else 'a' end where owner_id = 'tree' and id in ('a', 'b')$$);
select id, parent_id from gov_entities where owner_id = 'tree' and id in ('a', 'b') order by id;
-- So may an upsert in SQL.
insert into gov_entities (owner_id, id, type_id, parent_id) values ('tree', 'c', 'node', 'b'), ('tree', 'b', 'node', 'twig')
on conflict (owner_id, id) do update set parent_id = excluded.parent_id;
select id, parent_id from gov_entities where owner_id = 'tree' and id in ('b', 'c') order by id;
-- Earlier statements of the transaction count.
select pg_temp.outcome($$update gov_entities set parent_id = 'root' where owner_id = 'tree' and id = 'b'$$);
select pg_temp.outcome($$delete from gov_entities where owner_id = 'tree' and id = 'c'$$);
select pg_temp.outcome($$update gov_entities set parent_id = 'root' where owner_id = 'tree' and id = 'b'$$);

-- A chain has at most 64 entities.
insert into gov_entities (owner_id, id, type_id, parent_id)
select 'deep', 'd' || n, 'node', nullif('d' || n - 1, 'd0') from generate_series(64, 1, -1) n;
select pg_temp.outcome($$insert into gov_entities (owner_id, id, type_id, parent_id) values ('deep', 'd65', 'node', 'd64')$$);
select pg_temp.outcome($$insert into gov_entities (owner_id, id, type_id, parent_id) values ('deep', 'e64', 'node', 'd63')$$);
select pg_temp.outcome($$update gov_entities set parent_id = 'd64' where owner_id = 'deep' and id = 'e64'$$);
select pg_temp.outcome($$insert into gov_entities (owner_id, id, type_id, parent_id) select 'deeper', 'd' || n, 'node', nullif('d' || n - 1, 'd0') from generate_series(1, 65) n$$);

-- What has children, budgets, or a scope that names it stays.
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids) values ('tree', 'twig', 'hierarchy', '{leaf}');
select pg_temp.outcome($$delete from gov_entities where owner_id = 'tree' and id = 'branch'$$);
select pg_temp.outcome($$delete from gov_entities where owner_id = 'tree' and id = 'twig'$$);
select pg_temp.outcome($$delete from gov_entities where owner_id = 'tree' and id = 'leaf'$$);
select pg_temp.outcome($$delete from gov_entities where owner_id = 'deep' and id in ('d64', 'd63')$$);
select pg_temp.outcome($$delete from gov_entities where owner_id = 'deep' and id in ('d64', 'd63', 'e64')$$);
select pg_temp.outcome($$delete from gov_assignments where owner_id = 'tree'$$);
select pg_temp.outcome($$delete from gov_entities where owner_id = 'tree'$$);
select count(*) from gov_entities where owner_id = 'tree';

-- Errors name table and constraint, as those of foreign keys do.
create function pg_temp.constraint_of(statement text) returns text
language plpgsql
as $$
declare
    table_of text;
    constraint_of text;
begin
    execute statement;
    return null;
exception
    when others then
        get stacked diagnostics table_of = table_name, constraint_of = constraint_name;
        return concat_ws(' ', sqlstate, table_of, constraint_of);
end
$$;
select n, pg_temp.constraint_of(statement)
from (values
    (1, $$insert into gov_entities (owner_id, id, type_id, parent_id) values ('tree', 'x', 'node', 'nobody')$$),
    (2, $$insert into gov_entities (owner_id, id, type_id, parent_id) values ('tree', 'x', 'node', 'x')$$),
    (3, $$insert into gov_entities (owner_id, id, type_id, parent_id) select 'tree', 'd' || n, 'node', nullif('d' || n - 1, 'd0') from generate_series(1, 65) n$$),
    (4, $$delete from gov_entities where owner_id = 'deep' and id = 'd1'$$),
    (5, $$update gov_entities set parent_id = 'd9' where owner_id = 'deep' and id = 'd1'$$),
    (6, $$insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids) values ('deep', 'd1', 'hierarchy', '{x}')$$),
    (7, $$insert into gov_assignments (owner_id, entity_id, capability_id, name) select 'deep', 'd1', 'hierarchy', n::text from generate_series(1, 257) n$$)
) t (n, statement)
order by n;

-- A role with rights on the tables alone keeps all of it.
create role governance_regress_writer;
grant select, insert, update, delete on gov_entity_types, gov_capabilities, gov_entities, gov_assignments to governance_regress_writer;
grant execute on function gov_owner_visible, gov_owner_changeable, gov_pinned_owner, _gov_read_every_owner, _gov_change_every_owner
to governance_regress_writer;
set local role governance_regress_writer;
insert into gov_entity_types (id, attribution_keys) values ('by-writer', '{b,a}') returning display_name, attribution_keys;
insert into gov_capabilities (id) values ('by-writer');
insert into gov_entities (owner_id, id, type_id, parent_id) values ('writer', 'child', 'by-writer', 'root'), ('writer', 'root', 'by-writer', null);
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, usage_limit, timezone)
values ('writer', 'child', 'by-writer', '{root,child}', 1.50, 'Asia/Kolkata')
returning scope_entity_ids, usage_limit, counter_id is not null as counter;
update gov_assignments set cadence = 'P1D' where owner_id = 'writer';
select n, pg_temp.constraint_of(statement)
from (values
    (1, $$update gov_entities set parent_id = 'child' where owner_id = 'writer' and id = 'root'$$),
    (2, $$update gov_entities set parent_id = 'child' where owner_id = 'writer' and id = 'child'$$),
    (3, $$update gov_assignments set timezone = 'Nowhere' where owner_id = 'writer'$$),
    (4, $$delete from gov_entities where owner_id = 'writer'$$),
    (5, $$delete from gov_assignments where owner_id = 'writer'$$),
    (6, $$delete from gov_entities where owner_id = 'writer'$$)
) t (n, statement)
order by n;
reset role;

rollback;
