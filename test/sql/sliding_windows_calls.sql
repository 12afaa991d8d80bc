-- Windows that slide beside others, in calls of several capabilities, in batches, and with uses given by their quantities.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql

-- What is used and held of Ann's budgets, and where a window ends.
create function helper.used(owner text) returns table (capability text, name text, used text, ends text)
language sql
as $$
    select h.capability_id, h.name, trim_scale(h.current_usage) || '+' || trim_scale(h.reserved_usage) || '/' || h.usage_limit, case when h.usage_period_end is null then 'slides' when isfinite(h.usage_period_end) then 'ends' end
    from unnest('{calls,tokens}'::text[]) as c, lateral (select c as capability_id, x.* from gov_headroom(owner, c, 0, null, '{ann}') as x) as h
    where h.entity_id = 'ann'
    order by h.capability_id, h.name
$$;
\set ECHO all
call helper.organisation('wsc');
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence, window_kind)
values ('wsc', 'ann', 'tokens', 'slides', 100, 'PT10H', 'sliding'),
       ('wsc', 'ann', 'tokens', 'opened', 200, 'PT20H', 'first_use'),
       ('wsc', 'ann', 'calls', 'slides', 5, 'PT5H', 'sliding'),
       ('wsc', 'ann', 'calls', 'century', 50, 'P100Y', 'calendar');
insert into gov_prices (owner_id, capability_id, quantity, price, per, valid_from) values ('wsc', 'tokens', 'input', 1, 3, '2020-01-01');

-- All or none: what one window has no room for takes nothing of the others.
select is_granted, denied_reason, denied_capability_id, retry_at from gov_consume_all('wsc', '{"tokens": {"input": 301}, "calls": 1}', null, '{ann}');
select is_granted, remaining from gov_consume_all('wsc', '{"tokens": {"input": 91}, "calls": 4}', null, '{ann}');
select is_granted, denied_capability_id, remaining, retry_at between now() + interval '5 hours' and now() + interval '5 hours 6 minutes' as when_enough_has_left
from gov_consume_all('wsc', '{"tokens": 1, "calls": 2}', null, '{ann}');
select is_granted, denied_capability_id, retry_at between now() + interval '10 hours' and now() + interval '10 hours 11 minutes' as when_enough_has_left
from gov_consume_all('wsc', '{"tokens": 70, "calls": 2}', null, '{ann}');
select * from helper.used('wsc');

-- Late uses are in the span, or are not; a rollback takes back what it took.
begin;
select count(*) from gov_ingest_all('wsc', '{"tokens": {"input": 30}, "calls": 1}', null, '{ann}', 'late', now() - interval '7 hours') as i, jsonb_each(i.event_ids);
select * from helper.used('wsc');
rollback;
select count(*) from gov_ingest_all('wsc', '{"tokens": {"input": 30}, "calls": 1}', null, '{ann}', 'late', now() - interval '7 hours') as i, jsonb_each(i.event_ids);
select is_duplicate from gov_ingest_all('wsc', '{"calls": 1, "tokens": {"input": 30}}', null, '{ann}', 'late', now() - interval '7 hours');
select * from helper.used('wsc');

-- A batch: each item sees those before it.
select position, is_granted, denied_reason, trim_scale(remaining) as remaining, is_duplicate
from gov_consume_many('[
    {"ownerId": "wsc", "capabilityId": "calls", "amount": 2, "entityIds": ["ann"]},
    {"ownerId": "wsc", "capabilityId": "tokens", "amount": 9, "entityIds": ["ann"], "idempotencyKey": "many"},
    {"ownerId": "wsc", "capabilityId": "calls", "amount": 1, "entityIds": ["ann"]},
    {"ownerId": "wsc", "capabilityId": "tokens", "amount": 9, "entityIds": ["ann"], "idempotencyKey": "many"},
    {"ownerId": "wsc", "capabilityId": "calls", "amount": 1, "entityIds": ["ann"]}]');
select * from helper.used('wsc');

-- A hold counts while it is open, and is settled for what was used; what was given back of a call leaves the span that it was in.
select is_granted, remaining, reservation_id as hold from gov_reserve_all('wsc', '{"tokens": {"input": 60}, "calls": 0}', null, '{ann}') \gset
select * from helper.used('wsc');
select is_granted, denied_capability_id, retry_at between now() + interval '3 hours' and now() + interval '3 hours 10 minutes' as when_enough_has_left
from gov_check_all('wsc', '{"tokens": {"input": 120}, "calls": 0}', null, '{ann}');
select count(*) from gov_settle_all(:'hold', '{"tokens": {"input": 31}}') as s, jsonb_each(s.event_ids);
select * from helper.used('wsc');
select is_duplicate from gov_reverse((select id from gov_events where owner_id = 'wsc' and capability_id = 'calls' and amount = 4), 3);
select * from helper.used('wsc');
select is_granted, remaining from gov_consume_all('wsc', '{"calls": 3, "tokens": 0}', null, '{ann}');

-- The same when it is read anew.
select gov_drop_cache();
select * from helper.used('wsc');
select * from gov_verify('wsc');
select gov_delete_owner('wsc');
