-- What the demo prints at the end. Usage is live.

\pset footer off
\pset border 0
\set owner 'cus-acme'

\echo
\echo 'Closest to their limit, from the view gov_budgets:'
\echo
select rpad(entity_id || coalesce(' on ' || nullif(array_to_string(scope_entity_ids, ', '), ''), ''), 36) as budget,
       rpad(case capability_id when 'ai-tokens' then 'tokens' else 'requests' end
            || case cadence when 'P1M' then ' a month' else ' a minute' end, 17) as counts,
       to_char(remaining, '99,999,999') as remaining,
       to_char(100 * utilization, '990.0') || ' %' as full
from gov_budgets
where owner_id = :'owner'
order by utilization desc, remaining, entity_id, scope_entity_ids
limit 10;

\echo
\echo '(A check and an ingest are two steps: requests in flight together can carry a budget a little past its limit.)'

\pset tuples_only on
\pset format unaligned

\echo
\echo 'The customer down to its teams, and its fullest user, from gov_report():'
\echo
select gov_report(:'owner', 'ai-tokens', max_depth => 2);
\echo
select gov_report(:'owner', under_entity_id => (
    select entity_id
    from gov_budgets
    where owner_id = :'owner'
        and type_id = 'user'
    order by utilization desc, entity_id
    limit 1));

-- the counts against the ledger: no row is the right answer
\echo
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
