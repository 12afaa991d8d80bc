-- What the demo prints at the end. Usage is live, from the gate's own counts.

\pset footer off
\pset border 0
\set owner 'cus-acme'

-- one call answers for everybody; a budget that several chains reach counts once
create temp table budgets as
select distinct on (capability.id, entity_id, scope_entity_ids, name)
       capability.id as capability_id,
       budget.*,
       case when usage_limit > 0 then current_usage / usage_limit else 1 end as utilization
from gov_capabilities as capability,
     gov_headroom(:'owner', capability.id, 0, null,
                  (select array_agg(id order by id) from gov_entities where owner_id = :'owner')) as budget
order by capability.id, entity_id, scope_entity_ids, name;

create function pg_temp.bar(utilization numeric) returns text
language sql
return rpad(repeat('#', least(20, round(utilization * 20))::int), 20, '.');

create temp table tree as
with recursive tree as (
    select id, parent_id, type_id, 0 as depth, array[id] as path
    from gov_entities
    where owner_id = :'owner' and parent_id is null
    union all
    select child.id, child.parent_id, child.type_id, tree.depth + 1, tree.path || child.id
    from gov_entities as child
    join tree on child.parent_id = tree.id
    where child.owner_id = :'owner'
)
select tree.*, budgets.scope_entity_ids, budgets.current_usage, budgets.usage_limit, budgets.utilization,
       row_number() over (partition by parent_id, type_id, scope_entity_ids order by utilization desc, id) as place
from tree
join budgets on budgets.entity_id = tree.id and budgets.capability_id = 'ai-tokens';

\echo
\echo 'Tokens this month, and under each team its fullest user with the fullest agent:'
\echo
select rpad(repeat('  ', depth) || id || coalesce(' on ' || nullif(array_to_string(scope_entity_ids, ', '), ''), ''), 36) as budget,
       to_char(current_usage, '999,999,999') as used,
       to_char(usage_limit, '999,999,999') as "limit",
       to_char(100 * utilization, '990.0') || ' %' as full,
       pg_temp.bar(utilization) as bar
from tree
where type_id not in ('user', 'agent')
      or place = 1 and (type_id = 'user' or exists (select from tree as parent
                                                    where parent.id = tree.parent_id and parent.place = 1))
order by path, scope_entity_ids;

\echo
\echo 'Closest to their limit:'
\echo
select rpad(entity_id || coalesce(' on ' || nullif(array_to_string(scope_entity_ids, ', '), ''), ''), 36) as budget,
       rpad(case capability_id when 'ai-tokens' then 'tokens' else 'requests' end
            || case cadence when 'P1M' then ' a month' else ' a minute' end, 17) as counts,
       to_char(remaining, '99,999,999') as remaining,
       to_char(100 * utilization, '990.0') || ' %' as full,
       pg_temp.bar(utilization) as bar
from budgets
order by utilization desc, remaining, entity_id, scope_entity_ids
limit 10;

\echo
\echo '(A check and an ingest are two steps: requests in flight together can carry a budget a little past its limit.)'

-- the counts against the ledger: no row is the right answer
\echo
\pset tuples_only on
\pset format unaligned
select case count(*)
           when 0 then format('gov_verify() returns no rows: every one of %s budgets equals the ledger of %s events.',
                              (select count(*) from gov_assignments), (select count(*) from gov_events))
           else format('gov_verify() returns %s rows: counts differ from the ledger!', count(*))
       end
from gov_verify();

do $$
begin
    if exists (select from gov_verify()) then
        raise exception 'the counts differ from the ledger';
    end if;
end
$$;
