-- not in SQL_ASCII: the tree is drawn with other characters
-- gov_tree and gov_report: an owner's tree, with and without budgets. gov_allocations: what is left to give to children.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
call helper.organisation('tree');
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence, enforcement)
values
    ('tree', 'acme', 'tokens', '{}', '', 1000, 'P100Y', 'hard'),
    ('tree', 'acme', 'tokens', '{}', 'life', 2500000, null, 'hard'),
    ('tree', 'acme', 'calls', '{}', '', 0, 'P100Y', 'hard'),
    ('tree', 'eng', 'tokens', '{}', '', 600, 'P100Y', 'hard'),
    ('tree', 'eng', 'tokens', '{gpt}', '', 300.5, 'P100Y', 'hard'),
    ('tree', 'eng', 'tokens', '{gpt,opus}', 'both', 30, 'P100Y', 'soft'),
    ('tree', 'ops', 'tokens', '{}', '', 450.25, 'P100Y', 'soft'),
    ('tree', 'ann', 'tokens', '{}', '', 700, 'P100Y', 'hard'),
    ('tree', 'ann', 'tokens', '{}', 'extra', 5000, 'P100Y', 'hard'),
    ('tree', 'ben', 'tokens', '{}', '', null, 'P100Y', 'hard'),
    ('tree', 'bot', 'tokens', '{}', '', 3, 'P100Y', 'hard'),
    ('tree', 'bot', 'calls', '{}', '', 8, 'P100Y', 'hard'),
    ('tree', 'gpt', 'tokens', '{}', '', 999999, null, 'hard');
update gov_entities set display_name = 'Engineering, Research & Développement' where owner_id = 'tree' and id = 'eng';
update gov_entities set display_name = repeat('långt namn ', 20) where owner_id = 'tree' and id = 'opus';
select count(gov_ingest('tree', 'tokens', e.amount, null, e.ids))
from (values (3.5, '{bot,gpt}'::text[]), (40, '{ann,gpt,opus}'), (500, '{cyd}'), (-1.25, '{ben}')) as e (amount, ids);
select count(gov_ingest('tree', 'calls', 2, null, '{bot}'));
select is_granted from gov_reserve('tree', 'tokens', 350, null, '{ann}', ttl => '1 day');

-- One row per entity, depth-first.
select entity_id, display_name, type_id, parent_id, capability_id, current_usage, locked, depth, path from gov_tree('tree');

-- One per budget.
select repeat('  ', depth) || entity_id as entity, capability_id, scope_entity_ids, name, current_usage, reserved_usage, usage_limit from gov_tree('tree', '{tokens}');
select entity_id, capability_id, depth from gov_tree('tree', '{calls,tokens,unknown}', 'ann');
select entity_id, capability_id, depth, path from gov_tree('tree', '{calls}');

-- Below an entity; unknown things have no rows.
select entity_id, parent_id, depth, path from gov_tree('tree', under_entity_id => 'eng');
select entity_id from gov_tree('tree', under_entity_id => 'bot');
select entity_id from gov_tree('tree', under_entity_id => 'nobody');
select entity_id from gov_tree('tree', '{}');
select entity_id from gov_tree('tree', '{unknown}');
select entity_id from gov_tree('nobody');
select gov_tree(null);
select gov_tree('tree', '{tokens,null}');

-- The rows are those of gov_budgets, to the value.
create function helper.differs_from_tree(owner text) returns setof text
language sql
as $$
    with budgets as (select to_jsonb(b) - 'owner_id' as row from gov_budgets b where b.owner_id = owner),
        rows as (select to_jsonb(t) - 'depth' - 'path' as row from gov_tree(owner, '{tokens,calls}') t)
    (select 'budget ' || b from (table budgets except all table rows) b)
    union all
    (select 'tree ' || t from (table rows except all table budgets) t)
$$;
select helper.differs_from_tree('tree');

-- What is left to allocate: a child's named and scoped budgets, other windows and no limit take nothing.
update gov_assignments set strict_allocation = true where owner_id = 'tree' and entity_id = 'ann' and capability_id = 'tokens' and name = '';
select entity_id, capability_id, name, cadence, usage_limit, allocated, unallocated, strict_allocation
from gov_allocations where owner_id = 'tree' order by entity_id, capability_id, name;

-- The picture.
select gov_report('tree');
select gov_report('tree', 'calls');
select gov_report('tree', under_entity_id => 'ann');
select gov_report('tree', 'tokens', 'eng', 1);
select gov_report('tree', max_depth => 0);
select gov_report('nobody');
select gov_report('tree', under_entity_id => 'nobody');
select gov_report(null);
select gov_report('tree', max_depth => -1);

-- For a client without the characters it is drawn with others.
set client_encoding = 'SQL_ASCII';
select gov_report('tree', under_entity_id => 'ops');
reset client_encoding;

-- Archived entities hand their place to their children.
select gov_archive_entities('tree', '{acme,ann}');
select entity_id, parent_id, depth, path from gov_tree('tree');
select entity_id, parent_id, depth, path from gov_tree('tree', under_entity_id => 'acme');
select entity_id, parent_id, depth, path from gov_tree('tree', '{tokens}', 'ann');
select helper.differs_from_tree('tree');
select entity_id, capability_id, name, allocated, unallocated from gov_allocations where owner_id = 'tree' and allocated <> 0 order by 1, 2, 3;
select gov_report('tree', 'tokens');
select gov_archive_entities('tree', '{eng}');
select entity_id, parent_id, depth, path from gov_tree('tree', under_entity_id => 'ann');
select helper.differs_from_tree('tree');

-- Ids are ordered by their bytes, and an id that begins another's is another's neighbour, not its parent.
insert into gov_entities (owner_id, id, type_id, parent_id)
values ('bytes', 'a', 'org', null), ('bytes', 'a b', 'org', null), ('bytes', 'a!', 'org', null), ('bytes', 'B', 'org', null), ('bytes', 'é', 'org', null), ('bytes', 'z', 'org', null),
    ('bytes', 'a/z', 'org', 'a'), ('bytes', 'A', 'org', 'a'), ('bytes', '!', 'org', 'a b');
select entity_id, path from gov_tree('bytes');

-- The longest chain, every second entity archived.
insert into gov_entities (owner_id, id, type_id, parent_id)
select 'deep', format('e%s', to_char(n, 'FM00')), 'team', case when n > 1 then format('e%s', to_char(n - 1, 'FM00')) end from generate_series(1, 64) n;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
select owner_id, id, 'tokens', 10, 'P100Y' from gov_entities where owner_id = 'deep';
select count(gov_consume('deep', 'tokens', 7, null, '{e64}'));
select entity_id, parent_id, depth, cardinality(path) from gov_tree('deep', '{tokens}') where depth in (0, 1, 62, 63);
select max(length(l)) as longest, count(*) from gov_report('deep') l;
select l from gov_report('deep') with ordinality r (l, n) where n <= 20 or n > 125;
update gov_entities set archived_at = now() where owner_id = 'deep' and substr(id, 2)::int % 2 = 1;
select entity_id, parent_id, depth, path[1:3] from gov_tree('deep', '{tokens}') where depth in (0, 1, 30, 31);
select helper.differs_from_tree('deep');

-- Numbers of any size fit.
select n, _gov_short(n), length(_gov_short(n)) <= 6 as fits
from unnest('{0, 1, -1, 0.27, 0.0004, 0.0005, 0.9999, -0.9996, 9.999, 9.994, 99.95, 123.45, 999.4, 999.5, 1000, 1234, 12345, 123456, 999499, 999500, -999500, 1000000, 999999999999999999.999999999, 12345678901234567890123}'::numeric[]) n;
select c, _gov_cadence_words(c) from unnest('{P1Y,P2Y,P1M,P3M,P1W,P2W,P1D,P30D,PT1H,PT6H,PT1M,PT5M,PT1S,PT10S,null}'::text[]) c;
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence)
values ('bytes', 'a', 'tokens', repeat('n', 200), 999999999999999999.999999999, 'P9999Y'), ('bytes', 'a', 'tokens', 'least', 0.000000001, 'P100Y'), ('bytes', 'a', 'tokens', 'none', 0, null);
select count(gov_ingest('bytes', 'tokens', 999999999999999999, null, '{a}'));
select l, length(l) <= 98 as fits from gov_report('bytes') l;
select count(gov_ingest('bytes', 'tokens', -999999999999999999, null, '{a}')), count(gov_ingest('bytes', 'tokens', -123456789, null, '{a}'));
select l, length(l) <= 98 as fits from gov_report('bytes', 'tokens', 'a', 0) l;
select gov_delete_owner(o) from unnest('{tree,bytes,deep}'::text[]) o;
