-- At most so many at once: a capability of kind concurrency is taken by a hold, and given back when it ends.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('streamer');
select gov_upsert_capabilities('[{"id": "streams", "kind": "concurrency", "unit": "stream"}]') -> 0 ->> 'kind' as kind;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit)
values ('streamer', 'bot', 'streams', 2), ('streamer', 'acme', 'streams', 3);

-- Two at once, and no third; its end lets the next one in.
select is_granted, remaining, state from gov_reserve('streamer', 'streams', 1, null, '{bot}', 'first');
select is_granted, remaining, state from gov_reserve('streamer', 'streams', 1, null, '{bot}', 'second');
select is_granted, denied_reason, remaining, retry_at from gov_reserve('streamer', 'streams', 1, null, '{bot}');
select gov_allowed('streamer', 'streams', 1, null, '{bot}') as bot, gov_allowed('streamer', 'streams', 1, null, '{ben}') as others;
select is_granted, remaining, helper.show(chains) from gov_check('streamer', 'streams', 1, null, '{bot}');

select id as first from gov_reservations where idempotency_key = 'first' \gset
select id as second from gov_reservations where idempotency_key = 'second' \gset
select event_id, is_duplicate from gov_settle(:'first');
select event_id, is_duplicate from gov_settle(:'first', 7);
select gov_release(:'first');
select is_granted, remaining, state from gov_reserve('streamer', 'streams', 1, null, '{bot}', 'third');
select gov_release(:'second');
select event_id, is_duplicate from gov_settle(:'second');
select idempotency_key, state, trim_scale(amount) as amount, trim_scale(settled_amount) as settled_amount, event_id
from gov_reservations where owner_id = 'streamer' order by created_at;
-- whatever it is settled with, nothing is used
select s.event_id, s.is_duplicate from gov_reservations r, lateral (select * from gov_settle(r.id, 100)) s where r.idempotency_key = 'third';
select count(*) as events from gov_events where owner_id = 'streamer';
select entity_id, trim_scale(current_usage) as current_usage, trim_scale(reserved_usage) as reserved_usage, trim_scale(remaining) as remaining
from gov_headroom('streamer', 'streams', 0, null, '{bot}');

-- One that has expired frees its place; to settle it then records nothing either.
select reservation_id as late from gov_reserve('streamer', 'streams', 2, null, '{bot}', null, interval '1 microsecond') \gset
select is_granted, remaining from gov_reserve('streamer', 'streams', 2, null, '{bot}', 'full');
select event_id, is_duplicate from gov_settle(:'late');
select event_id, is_duplicate from gov_settle(:'late');
select is_granted, denied_reason from gov_check('streamer', 'streams', 1, null, '{bot}');
-- a rollback takes back what it did: the place stays taken
begin;
select s.event_id from gov_reservations r, gov_settle(r.id) s where r.idempotency_key = 'full';
select gov_allowed('streamer', 'streams', 2, null, '{bot}');
rollback;
select gov_allowed('streamer', 'streams', 1, null, '{bot}');
select gov_release(id) from gov_reservations where idempotency_key = 'full';

-- There is nothing in the ledger to count it from, whatever was recorded when it was of another kind.
select helper.outcome($$ select gov_recount(id) from gov_assignments where owner_id = 'streamer' and entity_id = 'bot' $$);
-- Nothing uses it up.
select helper.outcome($$ select gov_consume('streamer', 'streams', 1, null, '{bot}') $$);
select helper.outcome($$ select gov_require('streamer', 'streams', 1, null, '{bot}') $$);
select helper.outcome($$ select gov_ingest('streamer', 'streams', 1, null, '{bot}') $$);
select position, event_id is not null as is_recorded, error from gov_ingest_many('streamer', '[{"capabilityId": "streams", "amount": 1, "entityIds": ["bot"]}, {"capabilityId": "tokens", "amount": 1}]');

-- It does not begin afresh.
select helper.outcome($$ insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('streamer', 'ben', 'streams', 2, 'P1D') $$);
select helper.outcome($$ update gov_assignments set cadence = 'PT1H' where owner_id = 'streamer' and capability_id = 'streams' $$);
select helper.outcome($$ insert into gov_default_assignments (owner_id, type_id, capability_id, usage_limit, cadence) values ('streamer', 'user', 'streams', 2, 'P1D') $$);
select helper.outcome($$ select gov_upsert_assignments('streamer', '[{"entityId": "ben", "capabilityId": "streams", "usageLimit": 2, "cadence": "P1D"}]') $$);
insert into gov_default_assignments (owner_id, type_id, capability_id, usage_limit) values ('streamer', 'agent', 'streams', 1);
select helper.outcome($$ update gov_default_assignments set cadence = 'PT1H' where owner_id = 'streamer' $$);

-- What was recorded under a key while it was used up is answered again, and nothing else is.
insert into gov_capabilities (id, kind) values ('turns', 'feature');
select is_granted, is_duplicate from gov_consume('streamer', 'turns', 1, null, '{bot}', 'used');
select event_id is not null as is_recorded from gov_ingest('streamer', 'turns', 2, null, '{bot}', 'recorded');
select is_granted from gov_consume_all('streamer', '{"turns": 3, "tokens": 1}', null, '{bot}', 'several');
update gov_capabilities set kind = 'concurrency' where id = 'turns';
select is_granted, is_duplicate from gov_consume('streamer', 'turns', 1, null, '{bot}', 'used');
select event_id is not null as is_recorded, is_duplicate from gov_ingest('streamer', 'turns', 2, null, '{bot}', 'recorded');
select is_granted, is_duplicate from gov_consume_all('streamer', '{"turns": 3, "tokens": 1}', null, '{bot}', 'several');
select helper.outcome($$ select gov_consume('streamer', 'turns', 2, null, '{bot}', 'used') $$) as "another call",
    helper.outcome($$ select gov_consume('streamer', 'turns', 1, null, '{bot}', 'not used') $$) as "another key",
    helper.outcome($$ select gov_consume('streamer', 'turns', 1, null, '{bot}') $$) as "no key",
    helper.outcome($$ select gov_consume_all('streamer', '{"turns": 3, "tokens": 1}', null, '{bot}') $$) as several;
select position, event_id is not null as is_recorded, is_duplicate, error
from gov_ingest_many('streamer', '[{"capabilityId": "turns", "amount": 2, "entityIds": ["bot"], "idempotencyKey": "recorded"}, {"capabilityId": "turns", "amount": 2, "entityIds": ["bot"], "idempotencyKey": "new"}, {"capabilityId": "turns"}]');
select position, is_granted, is_duplicate, error
from gov_consume_many('[{"ownerId": "streamer", "capabilityId": "turns", "amount": 1, "entityIds": ["bot"], "idempotencyKey": "used"}, {"ownerId": "streamer", "capabilityId": "turns", "amount": 1, "entityIds": ["bot"]}]');
select capability_id, trim_scale(amount) as amount from gov_events where owner_id = 'streamer' order by id;
delete from gov_capabilities where id = 'turns';

-- The kind is as it is while there are budgets, or defaults.
select helper.outcome($$ update gov_capabilities set kind = 'feature' where id = 'streams' $$);
insert into gov_capabilities (id) values ('jobs');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('streamer', 'bot', 'jobs', 2, 'P1D');
select helper.outcome($$ update gov_capabilities set kind = 'concurrency' where id = 'jobs' $$);
update gov_capabilities set kind = 'credit' where id = 'jobs';
delete from gov_assignments where owner_id = 'streamer' and capability_id = 'streams';
select helper.outcome($$ select gov_upsert_capabilities('[{"id": "streams", "kind": "credit"}]') $$);
delete from gov_default_assignments where owner_id = 'streamer';
select gov_upsert_capabilities('[{"id": "streams", "kind": "credit"}]') -> 0 ->> 'kind' as kind;
select is_granted from gov_consume('streamer', 'streams', 1, null, '{bot}');
select * from gov_verify();
select gov_delete_owner('streamer');
