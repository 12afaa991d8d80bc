-- gov_backtest of pools: what grants would have denied, worked out by hand.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
-- The rows as "entity count amount first".
create function helper.pool_trial(owner text, assignments jsonb, from_time text default '-infinity', to_time text default 'infinity')
returns setof text
language sql
as $$
    select format('%s %s %s %s', entity_id, denied_count, denied_amount, coalesce(to_char(first_denied_at, 'MM-DD HH24:MI'), 'never'))
    from gov_backtest(owner, assignments, from_time::timestamptz, to_time::timestamptz)
$$;
create function helper.pool_outcome(assignments jsonb) returns text
language plpgsql
as $$
declare
    hint text;
begin
    perform gov_backtest('pool-try', assignments, '-infinity', 'infinity');
    return 'ok';
exception
    when others then
        get stacked diagnostics hint = pg_exception_hint;
        return concat_ws(' | ', sqlstate, sqlerrm, hint);
end
$$;
\set ECHO all
call helper.organisation('pool-try');
select count(gov_ingest('pool-try', 'tokens', amount, null, array[who], null, at::timestamptz))
from (values ('ann', 10, '2025-03-01 10:00'), ('ann', 10, '2025-03-01 11:00'), ('ben', 10, '2025-03-02 10:00'), ('ann', 30, '2025-03-03 10:00'),
    ('ben', 5, '2025-03-03 11:00'), ('ann', -4, '2025-03-03 12:00'), ('ann', 4, '2025-03-03 13:00'), ('ann', 8, '2025-03-04 10:00')) u (who, amount, at);

-- Nothing is granted, and the correction makes a credit of 4; 25, which the third use does not fit into; just too little; 73 for all.
select helper.pool_trial('pool-try', '[{"entityId": "acme", "capabilityId": "tokens", "isPool": true}]');
select helper.pool_trial('pool-try', '[{"entityId": "acme", "capabilityId": "tokens", "isPool": true, "grants": []}]');
select helper.pool_trial('pool-try', '[{"entityId": "acme", "capabilityId": "tokens", "isPool": true, "grants": [{"amount": 25}]}]');
select helper.pool_trial('pool-try', '[{"entityId": "acme", "capabilityId": "tokens", "isPool": true, "grants": [{"amount": 5}, {"amount": 60}]}]');
select helper.pool_trial('pool-try', '[{"entityId": "acme", "capabilityId": "tokens", "isPool": true, "grants": [{"amount": 73}]}]');
select helper.pool_trial('pool-try', '{"assignments": [{"entityId": "acme", "featureId": "tokens", "isPool": true, "grants": [{"amount": 72.999999999}]}]}');

-- Grants take effect and expire: on the 2nd 5 are forfeited; the one of the 3rd comes too late for the use of the 2nd.
select helper.pool_trial('pool-try', '[{"entityId": "acme", "capabilityId": "tokens", "isPool": true, "grants": [
    {"amount": 25, "expiresAt": "2025-03-02T00:00:00Z"}, {"amount": 39, "effectiveAt": "2025-03-02T12:00:00Z", "priority": 1}]}]');
-- drawn by priority and expiry: the brief one first, so that the others last to the end; or the lasting ones first
select helper.pool_trial('pool-try', '[{"entityId": "acme", "capabilityId": "tokens", "isPool": true, "grants": [{"amount": 53}, {"amount": 20, "expiresAt": "2025-03-02T00:00:00Z"}]}]');
select helper.pool_trial('pool-try', '[{"entityId": "acme", "capabilityId": "tokens", "isPool": true, "grants": [{"amount": 53, "priority": 1}, {"amount": 20, "expiresAt": "2025-03-02T00:00:00Z"}]}]');

-- A debt, which the next grant pays, and one that comes and goes in between pays before it is gone.
select helper.pool_trial('pool-try', '[{"entityId": "acme", "capabilityId": "tokens", "isPool": true, "debtLimit": 10, "grants": [{"amount": 15}]}]');
select helper.pool_trial('pool-try', '[{"entityId": "acme", "capabilityId": "tokens", "isPool": true, "debtLimit": 10, "grants": [{"amount": 10}, {"amount": 30, "effectiveAt": "2025-03-02T12:00:00Z"}]}]');
select helper.pool_trial('pool-try', '[{"entityId": "acme", "capabilityId": "tokens", "isPool": true, "debtLimit": 10, "grants": [{"amount": 10},
    {"amount": 30, "effectiveAt": "2025-03-01T12:00:00Z", "expiresAt": "2025-03-01T13:00:00Z"}]}]');

-- With budgets below: what they deny draws nothing. Only a part of the time.
select helper.pool_trial('pool-try', '[{"entityId": "acme", "capabilityId": "tokens", "isPool": true, "grants": [{"amount": 43}]}, {"entityId": "ann", "capabilityId": "tokens", "usageLimit": 29, "cadence": null}]');
select helper.pool_trial('pool-try', '[{"entityId": "acme", "capabilityId": "tokens", "isPool": true, "grants": [{"amount": 40, "expiresAt": "2025-03-04T00:00:00Z"}]}]', '2025-03-02', '2025-03-05');

-- A reversal gives back what its use has drawn, the last first.
select gov_reverse(id, 6) is not null as reversed from gov_events where owner_id = 'pool-try' and occurred_at = '2025-03-01 10:00';
select helper.pool_trial('pool-try', '[{"entityId": "acme", "capabilityId": "tokens", "isPool": true, "grants": [{"amount": 67}]}]');
select helper.pool_trial('pool-try', '[{"entityId": "acme", "capabilityId": "tokens", "isPool": true, "grants": [{"amount": 66}]}]');
-- 4 of the first, and 6 of the brief one, of which 6 come back and expire
select helper.pool_trial('pool-try', '[{"entityId": "acme", "capabilityId": "tokens", "isPool": true, "grants": [{"amount": 4, "priority": 1}, {"amount": 16, "expiresAt": "2025-03-02T00:00:00Z"}, {"amount": 53}]}]');
select helper.pool_trial('pool-try', '[{"entityId": "acme", "capabilityId": "tokens", "isPool": true, "grants": [{"amount": 4, "priority": 1}, {"amount": 16, "expiresAt": "2025-03-02T00:00:00Z"}, {"amount": 52}]}]');

-- What was granted, where nothing else is proposed; a proposal changes nothing.
insert into gov_assignments (owner_id, entity_id, capability_id, is_pool, debt_limit) values ('pool-try', 'acme', 'tokens', true, 1);
insert into gov_grants (owner_id, assignment_id, amount, effective_at, expires_at, voided_at)
select 'pool-try', id, amount, effective_at::timestamptz, expires_at::timestamptz, voided_at::timestamptz
from gov_assignments, (values (25, '2025-01-01', null, '2025-03-02 00:00'), (39, '2025-03-02 12:00', null, null), (100, '2025-03-03', '2025-03-05', '2025-03-02')) v (amount, effective_at, expires_at, voided_at)
where owner_id = 'pool-try' and is_pool;
select helper.pool_trial('pool-try', '[{"entityId": "acme", "capabilityId": "tokens"}]');
select helper.pool_trial('pool-try', '[{"entityId": "acme", "capabilityId": "tokens", "debtLimit": 0}]');
select helper.pool_trial('pool-try', '[{"entityId": "acme", "capabilityId": "tokens", "grants": [{"amount": 25}]}, {"entityId": "acme", "capabilityId": "tokens", "grants": [{"amount": 67}]}]');
select count(*), sum(amount) from gov_grants where owner_id = 'pool-try';

-- What cannot be.
select helper.pool_outcome('[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 1, "cadence": null, "grants": [{"amount": 1}]}]');
select helper.pool_outcome(format('[{"entityId": "ann", "capabilityId": "tokens", "isPool": true, "grants": %s}]', grants)::jsonb)
from unnest(array['1', '{}', '[1]', '[{}]', '[{"amount": 0}]', '[{"amount": -1}]', '[{"amount": null}]', '[{"amount": "1"}]', '[{"amount": 1000000000000000000}]',
    '[{"amount": 1, "priority": "x"}]', '[{"amount": 1, "effectiveAt": "soon"}]', '[{"amount": 1, "effectiveAt": "2025-01-02T00:00:00Z", "expiresAt": "2025-01-01T00:00:00Z"}]', '[{"amount": 1, "colour": 1}]']) grants;
select helper.pool_outcome('[{"entityId": "ann", "capabilityId": "tokens", "isPool": true, "usageLimit": 1}]');

-- The replay trusts nobody.
create function helper.replay_grants(budgets int[], amounts numeric[], times timestamptz[], ends timestamptz[]) returns text
language plpgsql
as $$
begin
    perform _gov_replay('pool-try', array(select a from gov_assignments a where a.owner_id = 'pool-try' and a.is_pool), '{null}', '-infinity', 'infinity', '{}', '{}', '{}', '{}', '{}', budgets, amounts, times, ends);
    return 'ok';
exception
    when others then return sqlstate;
end
$$;
select helper.replay_grants(b, a, t, e)
from (values ('{1}'::int[], '{1}'::numeric[], '{2025-01-01}'::timestamptz[], '{infinity}'::timestamptz[]), ('{}', '{}', '{}', '{}'), ('{1}', '{1}', '{2025-01-01}', '{}'), ('{1,1}', '{1}', '{2025-01-01}', '{infinity}'),
    ('{2}', '{1}', '{2025-01-01}', '{infinity}'), ('{0}', '{1}', '{2025-01-01}', '{infinity}'), ('{1}', '{-1}', '{2025-01-01}', '{infinity}'), ('{1}', '{NaN}', '{2025-01-01}', '{infinity}'), ('{null}', '{1}', '{2025-01-01}', '{infinity}'),
    ('{1}', '{1}', '{null}', '{infinity}'), ('{1}', '{1}', '{infinity}', '{-infinity}')) v (b, a, t, e);
select gov_delete_owner('pool-try');
