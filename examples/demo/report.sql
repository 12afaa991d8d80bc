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

\echo
\echo 'Users have their budget by a default, and one has its own in its place. Some of them, from gov_tree():'
\echo
select rpad(entity_id, 36) as user,
       to_char(usage_limit, '99,999,999') as of_limit,
       to_char(current_usage, '99,999,999') as used,
       source
from gov_tree(:'owner', '{ai-tokens}', 'team-platform')
where type_id = 'user'
order by source desc, current_usage desc, entity_id
limit 4;

\echo
\echo 'What it cost, by the prices in gov_prices; and what it would have, had the large model 20 % less, from gov_reprice():'
\echo
begin;
\o /dev/null
select gov_upsert_prices(:'owner', jsonb_agg(jsonb_build_object('capabilityId', capability_id, 'quantity', quantity, 'match', match,
           'price', price * 0.8, 'per', per, 'validFrom', valid_from)))
from gov_prices
where match ->> 'model' = 'large';
\o
select rpad(concat(dimensions ->> 'model', case when dimensions ? 'batch' then ', batches' end), 16) as model,
       to_char(sum((quantities ->> 'input')::numeric), '999,999,999') as tokens_in,
       to_char(sum((quantities ->> 'cached')::numeric), '999,999,999') as from_cache,
       to_char(sum((quantities ->> 'output')::numeric), '999,999,999') as tokens_out,
       to_char(sum(amount), '999,990.000000') as dollars,
       to_char(sum(repriced), '999,990.000000') as would_be
from gov_reprice(:'owner', 'ai-dollars', '-infinity', 'infinity')
group by dimensions ->> 'model', dimensions ? 'batch'
order by sum(amount) desc;
rollback;

\echo
\echo 'What was charged is what the quantities cost at the prices that the events keep, rounded once for each:'
\echo
select sum(amount) as charged,
       sum(round(cost, 9)) as quantities_times_prices,
       count(*) filter (where amount <> round(cost, 9)) as events_that_differ
from gov_events
cross join lateral (
    select sum(quantity.value::numeric * (prices -> key ->> 'price')::numeric / (prices -> key ->> 'per')::numeric) as cost
    from jsonb_each_text(quantities) as quantity) as of_event
where owner_id = :'owner'
    and quantities is not null;

\echo
\echo 'Alerts on the way, of departments and teams (the table gov_alerts, and LISTEN governance_alerts):'
\echo
select to_char(raised_at, 'HH24:MI:SS') as at,
       to_char(threshold, '999') || ' %' as crossed,
       rpad(entity_id || coalesce(' on ' || nullif(array_to_string(scope_entity_ids, ', '), ''), ''), 36) as budget,
       to_char(usage, '99,999,999') as used,
       to_char(gov_alerts.usage_limit, '99,999,999') as of_limit,
       dimensions ->> 'agentId' as by
from gov_alerts
join gov_assignments on gov_assignments.id = assignment_id
join gov_entities on gov_entities.owner_id = gov_alerts.owner_id and gov_entities.id = entity_id
join gov_events on gov_events.id = event_id
where gov_alerts.owner_id = :'owner'
    and type_id in ('department', 'team')
order by gov_alerts.id
limit 10;

\echo
\echo 'What if each department had half of its limit? gov_backtest replays the hour:'
\echo
select rpad(entity_id, 36) as budget,
       to_char(usage_limit / 2, '99,999,999') as proposed,
       to_char(denied_count, '9,999,999') as denied,
       to_char(denied_amount, '99,999,999') as tokens,
       to_char(first_denied_at, 'HH24:MI:SS') as first
from gov_budgets
join gov_backtest(:'owner', (
        select jsonb_agg(jsonb_build_object('entityId', entity_id, 'capabilityId', capability_id, 'usageLimit', usage_limit / 2))
        from gov_budgets
        where owner_id = :'owner'
            and type_id = 'department'
            and scope_entity_ids = '{}'
    ), '-infinity', 'infinity') using (entity_id, capability_id, scope_entity_ids, name)
where owner_id = :'owner'
order by entity_id;

\echo
\echo 'A user whom nobody has entered is governed by the team from the first call on; a model that nobody knows is denied:'
\echo
create temp table first_calls as
select n, dimensions, c.is_granted, c.denied_reason, c.remaining
from (values
        (1, '{"userId": "new-hire", "teamId": "team-europe", "model": "small"}'::jsonb),
        (2, '{"userId": "new-hire", "model": "small"}'),
        (3, '{"userId": "new-hire", "model": "brand-new"}')) call (n, dimensions)
cross join lateral gov_consume(:'owner', 'ai-tokens', 1000, dimensions) c
order by n;
select rpad(dimensions::text, 72) as dimensions,
       is_granted as granted,
       rpad(coalesce(denied_reason, ''), 16) as reason,
       to_char(remaining, '99,999,999') as remaining
from first_calls
order by n;
select rpad(id, 36) as created, rpad(type_id, 12) as type, parent_id as below
from gov_entities
where owner_id = :'owner'
    and created_by_use;

\echo
\echo 'Support has used its month. A boost until the end of the week, and an agent in a loop that is stopped:'
\echo
create temp table asked (n int, step text, agent text, is_granted boolean, reason text, remaining numeric);
create function pg_temp.ask(n int, step text, agent text) returns void
language sql
begin atomic
    insert into asked
    select $1, $2, $3, c.is_granted, c.denied_reason, c.remaining
    from gov_check('cus-acme', 'ai-tokens', 50000, jsonb_build_object('agentId', $3)) c;
end;
\o /dev/null
select pg_temp.ask(1, 'as it is', 'agent-168');
select gov_boost(:'owner', 'dept-support', 'ai-tokens', 1000000, until => now() + interval '4 days', reason => 'an outage, many tickets');
select pg_temp.ask(2, 'boosted', 'agent-168');
select gov_block(:'owner', 'agent-170', until => now() + interval '1 hour', reason => 'retries without end');
select pg_temp.ask(3, 'blocked', 'agent-170');
\o
select rpad(step, 10) as step,
       rpad(agent, 10) as asks,
       case when is_granted then 'granted' else 'denied: ' || reason end as answer,
       to_char(remaining, '99,999,999') as remaining
from asked
order by n;
\echo
\echo 'What is out of the ordinary, from the view gov_exceptions:'
\echo
select rpad(entity_id, 36) as entity,
       rpad(exception, 14) as exception,
       to_char(amount, '99,999,999') as amount,
       reason
from gov_exceptions
where owner_id = :'owner'
    and exception <> 'over its limit'
order by exception, entity_id;

\echo
\echo 'Who was denied most, checks of the hour by what denied them, from the table gov_denials:'
\echo
\o /dev/null
select gov_maintain();
\o
select rpad(coalesce(entity_id, ''), 36) as denied_by,
       rpad(reason, 30) as reason,
       to_char(sum(denied_count), '99,999') as times,
       to_char(sum(amount), '99,999,999') as asked_for
from gov_denials
where owner_id = :'owner'
    and capability_id = 'ai-tokens'
group by entity_id, reason
order by sum(denied_count) desc, entity_id
limit 6;

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
                              (select count(*) from gov_used_assignments), (select count(*) from gov_events))
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
