-- Windows that begin with a first use, in calls of several capabilities, in batches, and with uses given by their quantities.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql

-- The windows of Ann's budgets: what is used in the present one, and how long that is; and what was charged, as far as it was another one.
create function helper.opened(owner text) returns table (capability text, name text, used text, opened text)
language sql
as $$
    select h.capability_id, h.name, trim_scale(h.current_usage) || '+' || trim_scale(h.reserved_usage) || '/' || h.usage_limit,
        coalesce((h.usage_period_end - h.usage_period_start)::text, 'not')
    from gov_capabilities as c, lateral (select c.id as capability_id, x.* from gov_headroom(owner, c.id, 0, null, '{ann}') as x) as h
    where h.entity_id = 'ann'
    order by h.capability_id, h.name
$$;
-- Do all budgets of some capabilities that begin with a first use have windows that begin at one moment?
create function helper.begins(owner text) returns table (starts bigint, budgets bigint)
language sql
as $$
    select count(distinct h.usage_period_start), count(h.usage_period_start)
    from gov_capabilities as c, lateral gov_headroom(owner, c.id, 0, null, '{ann}') as h
    where h.name <> 'calendar'
$$;
\set ECHO all
insert into gov_capabilities (id) values ('wic-money') on conflict do nothing;
call helper.organisation('wic');
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence, window_kind)
values ('wic', 'ann', 'tokens', '', 100, 'PT5H', 'first_use'),
       ('wic', 'ann', 'calls', '', 3, 'PT1H', 'first_use'),
       ('wic', 'ann', 'wic-money', '', 10, 'P1D', 'first_use'),
       ('wic', 'ann', 'tokens', 'calendar', 1000, 'P100Y', 'calendar'),
       ('wic', 'eng', 'calls', '', 5, 'P1D', 'first_use');
insert into gov_prices (owner_id, capability_id, quantity, price, per, valid_from) values ('wic', 'wic-money', 'input', 1, 3, '2020-01-01'), ('wic', 'wic-money', 'free', 0, 1, '2020-01-01');

-- What is denied for one capability opens a window of none; neither does a check, a hold, or what is nothing.
select is_granted, denied_capability_id, retry_at from gov_consume_all('wic', '{"tokens": 5, "calls": 4, "wic-money": {"input": 3}}', null, '{ann}');
select is_granted, denied_capability_id, retry_at from gov_consume_all('wic', '{"tokens": 5, "calls": 1, "wic-money": {"input": 31}}', null, '{ann}');
select is_granted, remaining from gov_check_all('wic', '{"tokens": 5, "calls": 1, "wic-money": {"input": 3}}', null, '{ann}');
select is_granted from gov_consume_all('wic', '{"tokens": 0, "calls": 0, "wic-money": {"free": 7}}', null, '{ann}');
select is_granted, reservation_id as hold from gov_reserve_all('wic', '{"tokens": 50, "calls": 1, "wic-money": {"input": 15}}', null, '{ann}') \gset
select * from helper.opened('wic');
-- what is held counts all the same
select is_granted, denied_capability_id, remaining, retry_at from gov_consume_all('wic', '{"tokens": 51, "calls": 1}', null, '{ann}');

-- A use opens the windows of those that it has something of, at one moment.
begin;
select is_granted, remaining from gov_consume_all('wic', '{"tokens": 10, "calls": 0, "wic-money": {"input": 3}}', null, '{ann}');
select * from helper.opened('wic');
select * from helper.begins('wic');
-- one that is open stays, and the others open later
select is_granted, remaining from gov_consume_all('wic', '{"tokens": 1, "calls": 1, "wic-money": {"free": 1}}', null, '{ann}');
select * from helper.opened('wic');
select starts > 1 as apart, budgets from helper.begins('wic');
rollback;
select * from helper.opened('wic');
select * from helper.begins('wic');
-- nor does what a savepoint takes back
begin;
savepoint a;
select is_granted from gov_consume_all('wic', '{"tokens": 10, "calls": 1}', null, '{ann}');
rollback to a;
select * from helper.begins('wic');
commit;

-- Settling opens them, with what was really used, at its own time; a capability that was not held, too; what is settled for nothing does not.
select state from gov_reservations where id = :'hold';
select count(*) as events from gov_settle_all(:'hold', '{"tokens": 20, "wic-money": {"input": 4}}') as s, jsonb_each(s.event_ids);
select * from helper.opened('wic');
select * from helper.begins('wic');
select amount, quantities from gov_events where owner_id = 'wic' and quantities is not null and amount <> 0;
-- the denial now knows when to come back: at the end of the latest of the windows that deny
select c.is_granted, c.denied_capability_id, c.retry_at = h.usage_period_end as is_that_end
from gov_consume_all('wic', '{"tokens": 81, "wic-money": {"input": 1}}', null, '{ann}') as c, gov_headroom('wic', 'tokens', 0, null, '{ann}') as h
where h.entity_id = 'ann' and h.name = '';
select c.is_granted, c.denied_capability_id, c.retry_at = h.usage_period_end as is_that_end
from gov_consume_all('wic', '{"tokens": 81, "wic-money": {"input": 27}}', null, '{ann}') as c, gov_headroom('wic', 'wic-money', 0, null, '{ann}') as h
where h.entity_id = 'ann' and h.name = '';

-- Late uses get their windows; of all capabilities the same start.
select count(*) as events
from gov_ingest_all('wic', '{"tokens": 7, "calls": 2, "wic-money": {"input": 1}}', null, '{ann}', 'late', now() - interval '3 days') as i, jsonb_each(i.event_ids);
select e.capability_id, trim_scale(e.amount) as amount, a.entity_id, a.name, w.window_start = e.occurred_at as begins_then, w.window_end - w.window_start as length
from gov_events as e
cross join lateral unnest(e.counter_ids, e.window_starts, e.window_ends) as w (counter_id, window_start, window_end)
join gov_assignments as a on a.counter_id = w.counter_id
where e.owner_id = 'wic' and e.occurred_at < now() - interval '1 day' and a.window_kind = 'first_use'
order by e.capability_id, a.entity_id, a.name;
select is_duplicate from gov_ingest_all('wic', '{"tokens": 7, "calls": 2, "wic-money": {"input": 1}}', null, '{ann}', 'late', now() - interval '2 days');
select helper.outcome($$select gov_ingest_all('wic', '{"tokens": 7, "calls": 3, "wic-money": {"input": 1}}', null, '{ann}', 'late', now() - interval '3 days')$$);
-- an amendment of that window goes to it
select is_duplicate from gov_reverse((select id from gov_events where owner_id = 'wic' and capability_id = 'calls' and amount = 2), 1);
select a.entity_id, count(distinct w.window_start) as windows, trim_scale(sum(e.amount)) as amount
from gov_events as e
cross join lateral unnest(e.counter_ids, e.window_starts) as w (counter_id, window_start)
join gov_assignments as a on a.counter_id = w.counter_id
where e.owner_id = 'wic' and e.occurred_at < now() - interval '1 day' and a.window_kind = 'first_use' and a.capability_id = 'calls'
group by a.entity_id
order by a.entity_id;

-- A batch: the first item that is granted opens, those behind it share that; a denied one opens nothing. Neither do all of them once it is rolled back.
begin;
select position, is_granted, denied_reason, trim_scale(remaining) as remaining, retry_at is not null as can_wait, error
from gov_consume_many('[
    {"ownerId": "wic", "capabilityId": "calls", "amount": 4, "entityIds": ["ann"]},
    {"ownerId": "wic", "capabilityId": "calls", "amount": 0, "entityIds": ["ann"]},
    {"ownerId": "wic", "capabilityId": "calls", "amount": 2, "entityIds": ["ann"]},
    {"ownerId": "wic", "capabilityId": "calls", "amount": 2, "entityIds": ["ann"]},
    {"ownerId": "wic", "capabilityId": "calls", "amount": 1, "entityIds": ["ann"], "idempotencyKey": "batch"},
    {"ownerId": "wic", "capabilityId": "calls", "amount": 1, "entityIds": ["ann"], "idempotencyKey": "batch"},
    {"ownerId": "wic", "capabilityId": "none", "amount": 1, "entityIds": ["ann"]},
    {"ownerId": "wic", "capabilityId": "calls", "amount": 3, "entityIds": ["eng"]},
    {"ownerId": "wic", "capabilityId": "calls", "amount": 2, "entityIds": ["eng"]}]');
select * from helper.opened('wic') where capability = 'calls';
select h.entity_id, h.current_usage, h.usage_period_end - h.usage_period_start as length from gov_headroom('wic', 'calls', 0, null, '{ann}') as h;
select count(distinct w.window_start) as starts, count(*) as charges
from gov_events as e
cross join lateral unnest(e.counter_ids, e.window_starts) as w (counter_id, window_start)
where e.owner_id = 'wic' and e.capability_id = 'calls' and e.occurred_at > now() - interval '1 day' and e.amount > 0;
select * from gov_verify('wic');
rollback;
select * from helper.opened('wic') where capability = 'calls';
-- ingested ones too, in their order: late ones before and behind those of now
select position, is_duplicate, error
from gov_ingest_each(jsonb_build_array(
    jsonb_build_object('ownerId', 'wic', 'capabilityId', 'calls', 'amount', 1, 'entityIds', array['ann'], 'occurredAt', now() - interval '90 minutes'),
    jsonb_build_object('ownerId', 'wic', 'capabilityId', 'calls', 'amount', 1, 'entityIds', array['ann'], 'occurredAt', now() - interval '45 minutes'),
    jsonb_build_object('ownerId', 'wic', 'capabilityId', 'calls', 'amount', 1, 'entityIds', array['ann'], 'occurredAt', now() - interval '15 minutes'),
    jsonb_build_object('ownerId', 'wic', 'capabilityId', 'calls', 'amount', 9, 'entityIds', array['ann'])));
select round(extract(epoch from now() - w.window_start) / 60) as minutes_ago, w.window_end - w.window_start as length, trim_scale(sum(e.amount)) as amount
from gov_events as e
cross join lateral unnest(e.counter_ids, e.window_starts, e.window_ends) as w (counter_id, window_start, window_end)
join gov_assignments as a on a.counter_id = w.counter_id
where e.owner_id = 'wic' and a.entity_id = 'ann' and a.capability_id = 'calls' and e.occurred_at between now() - interval '2 hours' and now()
group by w.window_start, w.window_end
order by w.window_start;
-- settled together
select reservation_id as first from gov_reserve('wic', 'wic-money', 1, null, '{ann}') \gset
select reservation_id as second from gov_reserve_all('wic', '{"wic-money": {"input": 3}, "tokens": 1}', null, '{ann}') \gset
select position, is_duplicate, regexp_replace(error, '".*"', 'X') as error from gov_settle_many(jsonb_build_array(jsonb_build_object('reservationId', :'first'), jsonb_build_object('reservationId', :'second')));
select is_duplicate from gov_settle_all(:'second');
select * from helper.opened('wic');

-- The same when it is read anew, and rolled up.
select gov_drop_cache();
select * from helper.opened('wic');
select * from gov_verify('wic');
select gov_delete_owner('wic');
delete from gov_capabilities where id = 'wic-money';
