-- Chains are made only for a query that reads them (src/call/wanted.c): however it does, it has them.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('read');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('read', 'acme', 'tokens', 1000, 'P100Y'),
       ('read', 'bot', 'tokens', 10, 'P100Y');
create table helper.amounts (amount numeric);
insert into helper.amounts values (1), (2), (50);
create view helper.asked as
select a.amount, c.*
from helper.amounts as a, gov_check('read', 'tokens', a.amount, entity_ids => '{bot}') as c;
create function helper.in_plpgsql() returns setof text
language plpgsql
as $$
declare
    answer record;
    chains jsonb;
begin
    select * into answer from gov_check('read', 'tokens', 1, entity_ids => '{bot}');
    return next answer.chains;
    select c.chains into chains from gov_check('read', 'tokens', 1, entity_ids => '{bot}') as c;
    return next chains;
    answer := gov_check('read', 'tokens', 1, entity_ids => '{bot}');
    return next answer.chains;
    for answer in select c.* from gov_check('read', 'tokens', 1, entity_ids => '{bot}') as c loop
        return next answer.chains;
    end loop;
end
$$;
select helper.show(chains), (chains)::text as expected from gov_check('read', 'tokens', 1, entity_ids => '{bot}') \gset

-- As a column, in a condition, as part of the row, by the row's name, sorted by, grouped by, through a join of either side.
select chains::text = :'expected' as right from gov_check('read', 'tokens', 1, entity_ids => '{bot}');
select is_granted from gov_check('read', 'tokens', 1, entity_ids => '{bot}') where chains::text = :'expected';
select (c).chains::text = :'expected' as right from gov_check('read', 'tokens', 1, entity_ids => '{bot}') as c;
select c::text like '%' || replace(:'expected', '"', '""') || '%' as right from gov_check('read', 'tokens', 1, entity_ids => '{bot}') as c;
select to_jsonb(c) -> 'chains' = (:'expected')::jsonb as right from gov_check('read', 'tokens', 1, entity_ids => '{bot}') as c;
select max(chains::text) = :'expected' as right from gov_check('read', 'tokens', 1, entity_ids => '{bot}') group by chains;
select (gov_check('read', 'tokens', 1, entity_ids => '{bot}')).chains::text = :'expected' as right;
select c.chains::text = :'expected' as right, c.n from rows from (gov_check('read', 'tokens', 1, entity_ids => '{bot}')) with ordinality as c (is_granted, denied_reason, remaining, retry_at, chains, n);
select a.amount, c.is_granted, jsonb_array_length(c.chains)
from helper.amounts as a, lateral gov_check('read', 'tokens', a.amount, entity_ids => '{bot}') as c order by 1;
select a.amount, c.is_granted
from helper.amounts as a left join lateral gov_check('read', 'tokens', a.amount, entity_ids => '{bot}') as c on c.chains is not null order by 1;
select a.amount, c.is_granted
from helper.amounts as a, lateral gov_check('read', 'tokens', a.amount, entity_ids => '{bot}') as c where jsonb_array_length(c.chains) = 1 order by 1;
select c.is_granted, n.node ->> 'entityId' as entity
from gov_check('read', 'tokens', 1, entity_ids => '{bot}') as c,
     lateral jsonb_array_elements(c.chains -> 0) as n (node);
select a.amount, c.chains::text = :'expected' as right
from gov_check('read', 'tokens', 1, entity_ids => '{bot}') as c join helper.amounts as a on a.amount < jsonb_array_length(c.chains -> 0) order by 1;

-- In a subquery, a common table expression, a view, a union, a cursor, a row that is locked with others, an INSERT, plpgsql.
select (select c.chains::text = :'expected' from gov_check('read', 'tokens', a.amount * 0 + 1, entity_ids => '{bot}') as c) as right from helper.amounts as a;
with c as materialized (select * from gov_check('read', 'tokens', 1, entity_ids => '{bot}')) select is_granted, chains::text = :'expected' as right from c;
select amount, is_granted, jsonb_array_length(chains) from helper.asked order by amount;
select amount, is_granted from helper.asked where chains is null order by amount;
select chains::text = :'expected' as right from gov_check('read', 'tokens', 1, entity_ids => '{bot}')
union all
select chains is null from gov_check('read', 'tokens', 1, entity_ids => '{bot}');
begin;
declare c cursor for select chains::text = :'expected' as right from gov_check('read', 'tokens', 1, entity_ids => '{bot}');
fetch c;
commit;
select a.amount, c.chains::text = :'expected' as right
from helper.amounts as a, gov_check('read', 'tokens', 1, entity_ids => '{bot}') as c where a.amount = 1 for update of a;
create table helper.kept as select * from gov_check('read', 'tokens', 1, entity_ids => '{bot}');
insert into helper.kept select * from gov_check('read', 'tokens', 1, entity_ids => '{bot}');
select chains::text = :'expected' as right from helper.kept;
select c = :'expected' as right from helper.in_plpgsql() as c;
prepare read_chains as select is_granted, chains::text = $1 as right from gov_check('read', 'tokens', 1, entity_ids => '{bot}');
set plan_cache_mode = force_generic_plan;
execute read_chains (:'expected');
execute read_chains (:'expected');
reset plan_cache_mode;

-- The calls that charge, too; and what does not read them answers the same otherwise.
select is_granted, jsonb_array_length(chains -> 0) as nodes from gov_consume('read', 'tokens', 1, entity_ids => '{bot}');
select is_granted, remaining, is_duplicate from gov_consume('read', 'tokens', 1, entity_ids => '{bot}');
select is_granted, denied_reason, remaining from gov_consume('read', 'tokens', 100, entity_ids => '{bot}');
select is_granted, jsonb_array_length(chains -> 0) as nodes from gov_reserve('read', 'tokens', 1, entity_ids => '{bot}');
select is_granted, remaining from gov_reserve('read', 'tokens', 1, entity_ids => '{bot}');
select is_granted, remaining from gov_check('read', 'tokens', 1, entity_ids => '{bot}');
select is_granted, remaining, chains #>> '{0,0,reservedUsage}' as held from gov_check('read', 'tokens', 1, entity_ids => '{bot}');
select count(*) as wrong from gov_verify('read');
select gov_delete_owner('read');
