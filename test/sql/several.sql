-- Several capabilities in one call: gov_check_all, gov_consume_all, gov_require_all, gov_ingest_all, gov_reserve_all, gov_settle_all.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql

-- Everything that a refused or denied call must leave as it was.
create function helper.state(owner text) returns text
language sql
as $$
    select md5(concat(
        (select string_agg(e::text, ' ' order by e.id) from gov_events as e where e.owner_id = owner),
        (select string_agg(r::text, ' ' order by r.id) from gov_reservations as r where r.owner_id = owner),
        (select string_agg(h::text, ' ' order by n.id, c.id, h.entity_id, h.scope_entity_ids, h.name)
         from gov_entities as n, gov_capabilities as c, gov_headroom(owner, c.id, 0, null, array[n.id]) as h
         where n.owner_id = owner)
    ))
$$;

-- The chains, each node with its capability before it.
create function helper.show_all(chains jsonb) returns text
language sql
as $$
    select helper.show(jsonb_agg(
        (select jsonb_agg(n.node || jsonb_build_object('entityId', concat(n.node ->> 'capabilityId', '@', n.node ->> 'entityId')) order by n.place)
         from jsonb_array_elements(c.chain) with ordinality as n (node, place)) order by c.place))
    from jsonb_array_elements(chains) with ordinality as c (chain, place)
$$;

-- What the events of a call say of themselves.
create function helper.events(ids jsonb) returns table (event text)
language sql
as $$
    select concat_ws(' ', e.capability_id, trim_scale(e.amount), 'budgets', cardinality(e.counter_ids), e.entity_ids, e.dimensions, 'key ' || e.idempotency_key,
                     case when e.request_hash is not null then 'hash' end,
                     case when e.call_event_ids = (select array_agg(i.value::bigint order by i.key collate "C") from jsonb_each_text(ids) as i) then 'knows all' end)
    from gov_events as e
    where e.id in (select i.value::bigint from jsonb_each_text(ids) as i)
    order by e.id
$$;
-- What was denied to an owner is written, so many.
create procedure helper.await_denials(owner text, wanted bigint)
language plpgsql
as $$
begin
    for round in 1..2000 loop
        perform gov_maintain();
        commit;
        exit when (select coalesce(sum(denied_count), 0) from gov_denials where owner_id = owner) >= wanted;
        perform pg_sleep(0.005);
    end loop;
end
$$;
\set ECHO all
insert into gov_capabilities (id) values ('requests'), ('ai-tokens'), ('z') on conflict do nothing;
call helper.organisation('sev');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('sev', 'bot', 'ai-tokens', 1000, 'P100Y'),
       ('sev', 'bot', 'requests', 3, 'P50Y'),
       ('sev', 'eng', 'ai-tokens', 1500, null),
       ('sev', 'acme', 'ai-tokens', null, null);
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, usage_limit, cadence)
values ('sev', 'eng', 'requests', '{gpt}', 2, 'P100Y');

-- One decision over all; a node says of which capability it is, on one entity in byte order of those.
select is_granted, denied_reason, denied_capability_id, remaining, retry_at, helper.show_all(chains)
from gov_check_all('sev', '{"requests": 1, "ai-tokens": 900}', '{"model": "gpt"}', '{bot}');
select jsonb_pretty(chains -> 0 -> 1) from gov_check_all('sev', '{"requests": 1, "ai-tokens": 900}', null, '{bot}');
-- one capability is a call of its own, and one without a budget has nothing that remains
select is_granted, remaining, helper.show_all(chains) from gov_check_all('sev', '{"calls": 1e3}', null, '{bot}');
select is_granted, remaining from gov_check_all('sev', '{"z": 0, "requests": 1}', null, '{bot}');
-- the same as each by itself
select a.is_granted = (c.is_granted and d.is_granted) as is_same, a.remaining = jsonb_build_object('requests', c.remaining, 'ai-tokens', d.remaining) as remains_same
from gov_check_all('sev', '{"requests": 1, "ai-tokens": 900}', '{"model": "gpt"}', '{bot}') as a,
     gov_check('sev', 'requests', 1, '{"model": "gpt"}', '{bot}') as c,
     gov_check('sev', 'ai-tokens', 900, '{"model": "gpt"}', '{bot}') as d;

-- Taken: an event for each, which know each other; the first in byte order has the key.
select is_granted, remaining, helper.show_all(chains), event_ids, is_duplicate
from gov_consume_all('sev', '{"requests": 1, "ai-tokens": 900.123456789}', '{"model": "gpt", "requestId": 7}', '{bot}', 'call-1') \gset one_
\echo :one_is_granted :one_remaining :one_show_all :one_is_duplicate
select * from helper.events(:'one_event_ids');
select capability_id from gov_events where owner_id = 'sev' order by id;
-- the same call in another order, and of other ways to write it
select is_granted, denied_capability_id, remaining, event_ids = :'one_event_ids' as is_same, is_duplicate
from gov_consume_all('sev', '{"ai-tokens": 900.1234567891, "requests": 1.0}', '{"requestId": 7, "model": "gpt"}', '{bot}', 'call-1');
-- another one under the key
select helper.outcome($$select gov_consume_all('sev', '{"requests": 1, "ai-tokens": 900}', '{"model": "gpt", "requestId": 7}', '{bot}', 'call-1')$$) as amount,
       helper.outcome($$select gov_consume_all('sev', '{"requests": 1}', '{"model": "gpt", "requestId": 7}', '{bot}', 'call-1')$$) as fewer,
       helper.outcome($$select gov_require_all('sev', '{"requests": 1, "ai-tokens": 900.123456789}', '{"model": "gpt", "requestId": 7}', '{bot}', 'call-1')$$) as call,
       helper.outcome($$select gov_consume('sev', 'ai-tokens', 900.123456789, '{"model": "gpt", "requestId": 7}', '{bot}', 'call-1')$$) as single,
       helper.outcome($$select gov_reserve_all('sev', '{"requests": 1, "ai-tokens": 900.123456789}', '{"model": "gpt", "requestId": 7}', '{bot}', 'call-1')$$) as hold;

-- All or nothing: what one of them lacks denies both, and nothing is used, not even a key.
create table helper.before as select helper.state('sev') as state;
select is_granted, denied_reason, denied_capability_id, remaining, retry_at, helper.show_all(chains), event_ids, is_duplicate
from gov_consume_all('sev', '{"requests": 1, "ai-tokens": 100}', null, '{bot}', 'call-2');
select is_granted, denied_reason, denied_capability_id, retry_at from gov_consume_all('sev', '{"requests": 3, "ai-tokens": 1}', null, '{bot}', 'call-2');
-- the reason that comes first, whichever capability has it; then the first capability with that
select is_granted, denied_reason, denied_capability_id, retry_at from gov_consume_all('sev', '{"requests": 4, "ai-tokens": 100}', null, '{bot}', 'call-2');
select is_granted, denied_reason, denied_capability_id, retry_at from gov_consume_all('sev', '{"requests": 4, "ai-tokens": 1001}', null, '{bot}', 'call-2');
-- a budget that never resets: nobody knows when to come back
select is_granted, denied_reason, denied_capability_id, retry_at from gov_consume_all('sev', '{"requests": 3, "ai-tokens": 600}', null, '{eng,bot}', 'call-2');
select is_granted, denied_reason, reservation_id, expires_at, is_duplicate, state, amounts from gov_reserve_all('sev', '{"requests": 1, "ai-tokens": 100}', null, '{bot}', 'call-2');
\set VERBOSITY default
select gov_require_all('sev', '{"requests": 1, "ai-tokens": 100}', null, '{bot}', 'call-2');
select gov_require_all('sev', '{"requests": 9, "z": 100}', null, '{bot}', 'call-2');
\set VERBOSITY sqlstate
select helper.state('sev') = state as same from helper.before;
select helper.events(gov_require_all('sev', '{"z": 1, "ai-tokens": 0.5}', null, '{bot}', 'call-2'));

-- What nothing governs, as the setting says: of each of them.
set governance.on_ungoverned = 'deny';
select is_granted, denied_reason, denied_capability_id, retry_at from gov_check_all('sev', '{"z": 1, "requests": 1}', null, '{bot}');
select is_granted, denied_reason, denied_capability_id, retry_at from gov_consume_all('sev', '{"z": 1, "ai-tokens": 5000, "calls": 1}', null, '{bot}');
set governance.on_ungoverned = 'error';
\set VERBOSITY default
select * from gov_consume_all('sev', '{"z": 1, "requests": 1}', null, '{bot}');
\set VERBOSITY sqlstate
reset governance.on_ungoverned;
select helper.usage('sev', 'requests', '{bot}');
-- A block comes before all that, and denies all of them.
select gov_block('sev', 'ann', '2100-01-01', 'a loop');
set governance.on_ungoverned = 'deny';
select is_granted, denied_reason, denied_capability_id, remaining, retry_at from gov_consume_all('sev', '{"z": 1, "requests": 1}', null, '{bot}');
reset governance.on_ungoverned;
select gov_unblock('sev', 'ann');

-- Recorded whatever the limits; a correction is negative; late ones go to their windows.
select event_ids as late, is_duplicate from gov_ingest_all('sev', '{"requests": 2, "ai-tokens": -100}', null, '{bot}', 'call-3', '2000-06-01') \gset
select * from helper.events(:'late');
select array_agg(distinct occurred_at) as occurred from gov_events where id in (select value::bigint from jsonb_each_text(:'late'));
select event_ids = :'late' as is_same, is_duplicate from gov_ingest_all('sev', '{"ai-tokens": -100, "requests": 2}', null, '{bot}', 'call-3', '2000-06-01');
select helper.usage('sev', 'requests', '{bot}') as requests, helper.usage('sev', 'ai-tokens', '{bot}') as tokens;
select helper.outcome($$select gov_ingest_all('sev', '{"requests": 1, "z": 1}', null, '{bot}', null, now() + interval '1 hour')$$) as ahead;

-- A hold of several is one row with one id.
call helper.organisation('sevh');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('sevh', 'bot', 'ai-tokens', 1000, 'P100Y'), ('sevh', 'bot', 'requests', 3, 'P50Y'), ('sevh', 'eng', 'ai-tokens', 1500, null);
select is_granted, remaining, reservation_id as hold, is_duplicate, state, helper.show_all(chains), amounts
from gov_reserve_all('sevh', '{"requests": 1, "ai-tokens": 900}', '{"requestId": 8}', '{bot}', 'hold-1') \gset
\echo :is_granted :remaining :is_duplicate :state :show_all :amounts
select capability_id, amount, amounts, assignment_amounts, cardinality(assignment_ids) as budgets, idempotency_key from gov_reservations where owner_id = 'sevh';
select capability_id, amount, amounts, jsonb_array_length(budgets) as budgets from gov_holds where owner_id = 'sevh';
select reservation_id = :'hold' as is_same, is_duplicate, state, amounts from gov_reserve_all('sevh', '{"ai-tokens": 900, "requests": 1}', '{"requestId": 8}', '{bot}', 'hold-1', '1 hour');
-- everywhere it is what it is
select entity_id, capability_id, trim_scale(current_usage) as used, trim_scale(reserved_usage) as held from gov_budgets where owner_id = 'sevh' order by 1, 2;
select row ->> 'entityId' as entity, row ->> 'capabilityId' as capability, row ->> 'reservedUsage' as held
from jsonb_array_elements(gov_query('sevh', '{requests,ai-tokens}', sort_by => 'id', sort_order => 'asc') -> 'data') as row;
select entity_id, capability_id, trim_scale(reserved_usage) as held from gov_tree('sevh', '{requests,ai-tokens}') where reserved_usage is not null;
select * from gov_verify('sevh');
select gov_refresh();
select helper.usage('sevh', 'ai-tokens', '{bot}') as tokens, helper.usage('sevh', 'requests', '{bot}') as requests;
-- all or nothing: there are tokens for this, and no more requests
select is_granted, denied_capability_id from gov_reserve_all('sevh', '{"requests": 2.5, "ai-tokens": 10}', null, '{bot}');
-- it takes gov_settle_all
set client_min_messages = notice;
do $$
begin
    perform gov_settle(id, 5) from gov_reservations where owner_id = 'sevh' and state = 'open';
exception
    when object_not_in_prerequisite_state then
        raise notice '%', regexp_replace(sqlerrm, '[0-9a-f-]{36}', 'ID');
end
$$;
set client_min_messages = warning;
select gov_extend(:'hold', '1 day') > now() + interval '23 hours' as extended;
-- settled exactly: less than held, nothing of what is not named, and what was not held too
select event_ids as settled, is_duplicate from gov_settle_all(:'hold', '{"ai-tokens": 400, "z": 3}') \gset
\echo :is_duplicate
select * from helper.events(:'settled');
select state, settled_amount, settled_amounts, event_ids = :'settled' as has_ids, event_id = (:'settled'::jsonb ->> 'ai-tokens')::bigint as has_first from gov_reservations where id = :'hold';
select helper.usage('sevh', 'ai-tokens', '{bot}') as tokens, helper.usage('sevh', 'requests', '{bot}') as requests;
select event_ids = :'settled' as is_same, is_duplicate from gov_settle_all(:'hold', '{"requests": 3}');
select helper.outcome(format('select gov_settle(%L)', :'hold')) as single;
-- for what was held, which is what a hold is settled for without amounts; more than held
select reservation_id as hold from gov_reserve_all('sevh', '{"requests": 1, "ai-tokens": 50}', null, '{bot}') \gset
select helper.events(event_ids) from gov_settle_all(:'hold');
select reservation_id as hold from gov_reserve_all('sevh', '{"requests": 1, "ai-tokens": 50}', null, '{bot}') \gset
select is_duplicate from gov_settle_all(:'hold', '{"requests": 9, "ai-tokens": 2000}');
select helper.usage('sevh', 'ai-tokens', '{bot}') as tokens, helper.usage('sevh', 'requests', '{bot}') as requests;
-- a hold of one is settled either way, with something that it did not hold too
select reservation_id as hold from gov_reserve('sevh', 'z', 5, null, '{bot}') \gset
select event_ids as settled, is_duplicate from gov_settle_all(:'hold', '{"calls": 1}') \gset
select * from helper.events(:'settled');
select event_id = (:'settled'::jsonb ->> 'z')::bigint as has_its_own, settled_amount, settled_amounts from gov_reservations where id = :'hold';
select event_id = (:'settled'::jsonb ->> 'z')::bigint as is_same, is_duplicate from gov_settle(:'hold');
select reservation_id as hold from gov_reserve_all('sevh', '{"z": 5}', null, '{bot}') \gset
select event_id is not null as settled, is_duplicate from gov_settle(:'hold', 4);
select event_ids ? 'z' as has_it, is_duplicate from gov_settle_all(:'hold');
-- released, and past its time
select reservation_id as hold from gov_reserve_all('sevh', '{"z": 5, "calls": 2}', null, '{bot}') \gset
select gov_release(:'hold') as released, gov_release(:'hold') as again, helper.outcome(format('select gov_settle_all(%L)', :'hold')) as settled;
select helper.outcome(format('select gov_extend(%L, %L)', :'hold', '1 hour')) as extended;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('sevh', 'cyd', 'ai-tokens', 10, null), ('sevh', 'cyd', 'requests', 10, null);
begin;
select reservation_id as hold from gov_reserve_all('sevh', '{"requests": 6, "ai-tokens": 7}', null, '{cyd}', null, '1 millisecond') \gset
select pg_sleep(0.01);
-- what is past its time denies nobody
select is_granted, remaining from gov_check_all('sevh', '{"requests": 9, "ai-tokens": 9}', null, '{cyd}');
select is_granted, remaining from gov_consume_all('sevh', '{"requests": 8, "ai-tokens": 8}', null, '{cyd}');
select state from gov_reservations where id = :'hold';
select event_ids ? 'requests' and event_ids ? 'ai-tokens' as settled, is_duplicate from gov_settle_all(:'hold');
select helper.usage('sevh', 'ai-tokens', '{cyd}') as tokens, helper.usage('sevh', 'requests', '{cyd}') as requests;
commit;
-- a rollback takes all of it back
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('sevh', 'ben', 'ai-tokens', 10, null), ('sevh', 'ben', 'requests', 10, null);
update gov_assignments set usage_limit = 5000 where owner_id = 'sevh' and entity_id = 'eng';
begin;
savepoint s;
select is_granted from gov_consume_all('sevh', '{"requests": 1, "ai-tokens": 1}', null, '{ben}', 'undone');
select reservation_id as hold from gov_reserve_all('sevh', '{"requests": 2, "ai-tokens": 2}', null, '{ben}', 'undone-too') \gset
rollback to s;
select is_granted, is_duplicate, remaining from gov_consume_all('sevh', '{"requests": 1, "ai-tokens": 1}', null, '{ben}', 'undone');
rollback;
select helper.outcome(format('select gov_settle_all(%L)', :'hold')) as unknown;
select helper.usage('sevh', 'ai-tokens', '{ben}') as tokens, helper.usage('sevh', 'requests', '{ben}') as requests;

-- What counts what is under way is held with the others, and nothing of it is recorded.
insert into gov_capabilities (id, kind) values ('lanes', 'concurrency');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('sevh', 'ben', 'lanes', 2);
select is_granted, remaining, reservation_id as hold, amounts from gov_reserve_all('sevh', '{"lanes": 2, "requests": 1, "ai-tokens": 1}', null, '{ben}') \gset
\echo :is_granted :remaining :amounts
select is_granted, denied_capability_id from gov_reserve_all('sevh', '{"lanes": 1, "requests": 1}', null, '{ben}');
select helper.outcome($$select gov_consume_all('sevh', '{"lanes": 1, "requests": 1}', null, '{ben}')$$) as consume, helper.outcome($$select gov_ingest_all('sevh', '{"lanes": 1, "requests": 1}', null, '{ben}')$$) as ingest;
select jsonb_object_agg(i.key, i.value <> 'null') as recorded, is_duplicate from gov_settle_all(:'hold', '{"requests": 0.5, "lanes": 1}') as s, jsonb_each(s.event_ids) as i group by is_duplicate;
select state, capability_id, settled_amount, settled_amounts, event_id is not null as has_event from gov_reservations where id = :'hold';
select is_granted, remaining from gov_check_all('sevh', '{"lanes": 2, "requests": 1, "ai-tokens": 1}', null, '{ben}');
select reservation_id as hold from gov_reserve_all('sevh', '{"lanes": 1}', null, '{ben}') \gset
select event_ids, is_duplicate from gov_settle_all(:'hold');
select event_id, is_duplicate from gov_settle(:'hold');
select reservation_id as hold from gov_reserve_all('sevh', '{"requests": 1, "z": 1}', null, '{ben}') \gset
select helper.outcome(format('select gov_settle_all(%L, %L)', :'hold', '{"lanes": 1}')) as not_held, gov_release(:'hold') as released;

-- One of the events reversed: the others stay.
select is_granted, event_ids from gov_consume_all('sevh', '{"requests": 0.5, "ai-tokens": 1}', null, '{ben}', 'rev') \gset
select event_id as reversal from gov_reverse((:'event_ids'::jsonb ->> 'requests')::bigint, 0.25) \gset
select capability_id, amount, reverses = (:'event_ids'::jsonb ->> 'requests')::bigint as names_it, call_event_ids from gov_events where id = :reversal;
select helper.usage('sevh', 'ai-tokens', '{ben}') as tokens, helper.usage('sevh', 'requests', '{ben}') as requests;
select event_ids = :'event_ids' as is_same, is_duplicate from gov_consume_all('sevh', '{"requests": 0.5, "ai-tokens": 1}', null, '{ben}', 'rev');

-- In the transaction that changes the catalog, by a default, and creating who is not there.
insert into gov_entity_types (id, attribution_keys, on_unknown, parent_key) values ('seat', '{seatId}', 'create', 'teamId');
insert into gov_default_assignments (owner_id, type_id, capability_id, usage_limit, cadence) values ('sevh', 'seat', 'requests', 2, null), ('sevh', 'seat', 'ai-tokens', 100, null);
begin;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('sevh', 'ops', 'requests', 5, null);
select is_granted, helper.show_all(chains) from gov_consume_all('sevh', '{"requests": 1, "ai-tokens": 60}', '{"seatId": "s1", "teamId": "ops"}');
select is_granted, denied_capability_id, helper.show_all(chains) from gov_consume_all('sevh', '{"requests": 1, "ai-tokens": 60}', '{"seatId": "s1", "teamId": "ops"}');
commit;
select is_granted, helper.show_all(chains) from gov_consume_all('sevh', '{"requests": 1, "ai-tokens": 40}', '{"seatId": "s1", "teamId": "ops"}');
select reservation_id is not null as held, helper.show_all(chains) from gov_reserve_all('sevh', '{"requests": 1, "ai-tokens": 40}', '{"seatId": "s2", "teamId": "ops"}');
select is_granted, denied_capability_id, helper.show_all(chains) from gov_consume_all('sevh', '{"requests": 9, "ai-tokens": 40}', '{"seatId": "s3", "teamId": "ops"}');
select id, parent_id from gov_entities where owner_id = 'sevh' and type_id = 'seat' order by id;
select assignment_id is not null as used, count(*) from gov_default_counts where owner_id = 'sevh' and entity_id like 's_' group by 1;

-- Attribution has each under its capability.
select capability_id, a.* from unnest('{requests,ai-tokens}'::text[]) as capability_id, gov_attribution('sevh', capability_id, '{seat}', '-infinity', 'infinity') as a
where group_key ->> 'seat' is not null order by 1, group_key ->> 'seat';
select * from gov_verify('sevh');

-- Who was denied: under each budget that does not allow it, and where all are denied or nothing governs once for each capability.
call helper.organisation('sevd');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, alert_thresholds)
values ('sevd', 'bot', 'ai-tokens', 10, 'P100Y', '{50,100}'), ('sevd', 'bot', 'requests', 2, 'P100Y', '{50}'), ('sevd', 'eng', 'ai-tokens', 100, null, null);
select is_granted, denied_reason from gov_consume_all('sevd', '{"requests": 3, "ai-tokens": 20}', null, '{bot}');
select gov_block('sevd', 'bot');
select is_granted, denied_reason from gov_reserve_all('sevd', '{"requests": 1, "ai-tokens": 2}', null, '{bot}');
select gov_unblock('sevd', 'bot');
set governance.on_ungoverned = 'deny';
select is_granted, denied_reason from gov_check_all('sevd', '{"requests": 1, "z": 4, "calls": 3}', '{"agentId": "bot"}');
reset governance.on_ungoverned;
call helper.await_denials('sevd', 6);
select d.capability_id, d.reason, a.entity_id as budget_of, d.entity_id, d.dimension_key, d.is_check, d.denied_count, trim_scale(d.amount) as amount, d.last_entity_id
from gov_denials as d left join gov_assignments as a on a.id = d.assignment_id
where d.owner_id = 'sevd' order by d.reason, d.capability_id collate "C", d.is_check;
-- Alerts, from the call that crosses.
select event_ids as crossing from gov_consume_all('sevd', '{"requests": 1, "ai-tokens": 10}', null, '{bot}') \gset
select e.capability_id, a.threshold, trim_scale(a.usage) as usage, a.event_id = (:'crossing'::jsonb ->> e.capability_id)::bigint as by_its_event
from gov_alerts as a join gov_assignments as e on e.id = a.assignment_id where a.owner_id = 'sevd' order by 1, 2;

-- What is malformed: nothing is taken.
create table helper.bad (n int primary key, amounts jsonb, entities text[] default '{bot}', key text);
insert into helper.bad (n, amounts)
values (1, null), (2, '{}'), (3, '[]'), (4, '"requests"'), (5, 'null'), (6, '{"requests": null}'), (7, '{"requests": "1"}'), (8, '{"requests": true}'),
       (9, '{"requests": [1]}'), (10, '{"requests": -1}'), (11, '{"requests": 1e18}'), (12, '{"requests": 1, "nothing": 1}'), (13, '{"": 1}'),
       (14, (select jsonb_object_agg('c' || g, 1) from generate_series(1, 17) as g)),
       (15, (select jsonb_object_agg('c' || g, 1) from generate_series(1, 16) as g));
insert into helper.bad values (16, '{"requests": 1}', '{null}', null), (17, '{"requests": 1}', '{bot}', '');
delete from helper.before;
insert into helper.before select helper.state('sevh');
select b.n, helper.outcome(format('select gov_check_all(%L, %L, null, %L)', 'sevh', b.amounts, b.entities)) as check,
       helper.outcome(format('select gov_consume_all(%L, %L, null, %L, %L)', 'sevh', b.amounts, b.entities, b.key)) as consume,
       helper.outcome(format('select gov_require_all(%L, %L, null, %L, %L)', 'sevh', b.amounts, b.entities, b.key)) as require,
       helper.outcome(format('select gov_ingest_all(%L, %L, null, %L, %L)', 'sevh', nullif(b.amounts, '{"requests": -1}'), b.entities, b.key)) as ingest,
       helper.outcome(format('select gov_reserve_all(%L, %L, null, %L, %L)', 'sevh', b.amounts, b.entities, b.key)) as reserve
from helper.bad as b order by b.n;
select helper.state('sevh') = state as same from helper.before;
select reservation_id as hold from gov_reserve_all('sevh', '{"requests": 0, "z": 0}', null, '{ben}') \gset
select b.n, helper.outcome(format('select gov_settle_all(%L, %L)', :'hold', b.amounts)) as settle from helper.bad as b where b.n between 2 and 15 order by b.n;
select gov_release(:'hold');
select helper.outcome('select gov_settle_all(null)') as no_id, helper.outcome($$select gov_settle_all(gen_random_uuid(), '{"z": 1}')$$) as unknown,
       helper.outcome($$select gov_reserve_all('sevh', '{"z": 1}', ttl => '0 seconds')$$) as ttl, helper.outcome($$select gov_reserve_all('sevh', '{"z": 1}', ttl => null)$$) as no_ttl,
       helper.outcome($$select gov_check_all(null, '{"z": 1}')$$) as no_owner;
\set VERBOSITY default
select gov_check_all('sevh', '{"requests": "1"}');
select gov_check_all('sevh', '{"requests": null}');
select gov_check_all('sevh', '[1]');
select gov_check_all('sevh', '{"requests": -0.5}');
select gov_check_all('sevh', '{"requests": 1e18}');
\set VERBOSITY sqlstate

-- Sixteen at once, and the cache emptied between.
insert into gov_capabilities (id) select 'c' || g from generate_series(1, 16) as g;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) select 'sevh', 'bot', 'c' || g, 2 * g, null from generate_series(1, 16) as g;
select is_granted, (select bool_and(value::numeric = substr(key, 2)::int) and count(*) = 16 from jsonb_each_text(remaining)) as halved
from gov_consume_all('sevh', (select jsonb_object_agg('c' || g, g) from generate_series(1, 16) as g), null, '{bot}');
select gov_refresh();
select is_granted, denied_capability_id from gov_consume_all('sevh', (select jsonb_object_agg('c' || g, case when g in (10, 2) then g + 1 else g end) from generate_series(1, 16) as g), null, '{bot}');
select is_granted from gov_consume_all('sevh', (select jsonb_object_agg('c' || g, g) from generate_series(1, 16) as g), null, '{bot}');
select * from gov_verify();
