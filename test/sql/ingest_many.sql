-- gov_ingest_many: up to ten thousand events in one call, each judged alone.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('many');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('many', 'acme', 'tokens', 1000, 'P100Y'),
       ('many', 'bot', 'tokens', 100, 'P100Y'),
       ('many', 'eng', 'calls', 10, 'P100Y');

-- The items have the arguments of gov_ingest as keys.
select position, event_id is not null as recorded, is_duplicate, error
from gov_ingest_many('many', '[
    {"capabilityId": "tokens", "amount": 4.5, "entityIds": ["bot"]},
    {"capabilityId": "tokens", "amount": 2, "dimensions": {"userId": "cyd", "requestId": "r-1"}, "idempotencyKey": "k-1"},
    {"capabilityId": "calls", "entityIds": ["ann"], "dimensions": null, "idempotencyKey": null, "occurredAt": null},
    {"capabilityId": "tokens", "amount": -1, "entityIds": ["bot"], "occurredAt": "2002-03-04T05:06:07.89Z"}
]')
order by position;
select capability_id, amount, entity_ids, dimensions, idempotency_key, case when occurred_at <> recorded_at then occurred_at end as occurred_at
from gov_events
where owner_id = 'many'
order by id;
select helper.usage('many', 'tokens', '{bot}'), helper.usage('many', 'calls', '{eng}');

-- A bad item gets its error and the rest are recorded; a duplicate is one within the call too.
create table helper.answer as
select *
from gov_ingest_many('many', '[
    {"capabilityId": "tokens", "amount": 1, "entityIds": ["bot"], "idempotencyKey": "k-2"},
    {"capabilityId": "no-such", "amount": 1, "entityIds": ["bot"]},
    {"capabilityId": "tokens", "amount": 1, "entityIds": ["bot"], "idempotencyKey": "k-2"},
    {"capabilityId": "tokens", "amount": 2, "entityIds": ["bot"], "idempotencyKey": "k-2"},
    {"capabilityId": "tokens", "amount": 2, "dimensions": {"requestId": "r-1", "userId": "cyd"}, "idempotencyKey": "k-1"},
    {"capabilityId": "tokens", "amount": "NaN"},
    {"capabilityId": "tokens", "amount": 1000000000000000000},
    {"capabilityId": "tokens", "amount": null},
    {"capabilityId": null},
    {"amount": 1},
    {"capabilityId": "tokens", "entityIds": ["bot", null]},
    {"capabilityId": "tokens", "entityIds": "bot"},
    {"capabilityId": "tokens", "dimensions": {"a": {"b": 1}}},
    {"capabilityId": "tokens", "dimensions": ["a"]},
    {"capabilityId": "tokens", "occurredAt": "2999-01-01T00:00:00Z"},
    {"capabilityId": "tokens", "occurredAt": "yesterday-ish"},
    {"capabilityId": "tokens", "idempotencyKey": ""},
    {"capabilityId": "tokens", "colour": "green"},
    7,
    null,
    {"capabilityId": "tokens", "amount": 0.000000001, "entityIds": ["bot"]}
]');
select position, event_id is not null as recorded, is_duplicate is true as duplicate, error is not null as failed
from helper.answer
order by position;
select (select event_id from helper.answer where position = 3) = (select event_id from helper.answer where position = 1) as same_in_call,
       (select event_id from helper.answer where position = 5) = (select id from gov_events where owner_id = 'many' and idempotency_key = 'k-1') as same_as_before;
select count(*) from gov_events where owner_id = 'many';
select helper.usage('many', 'tokens', '{bot}');
-- the message names what is wrong
select position, error from helper.answer where position in (2, 18) order by position;

-- All of it is one statement: an error around it takes all of it back.
begin;
select count(*) as recorded from gov_ingest_many('many', '[{"capabilityId": "tokens", "entityIds": ["bot"]}, {"capabilityId": "tokens", "entityIds": ["bot"], "idempotencyKey": "k-3"}]') where event_id is not null;
select helper.usage('many', 'tokens', '{bot}');
rollback;
select helper.usage('many', 'tokens', '{bot}');

-- One item is enough, ten thousand are allowed, and they are exact.
select position, is_duplicate from gov_ingest_many('many', '[{"capabilityId": "tokens", "entityIds": ["bot"], "idempotencyKey": "k-3"}]');
select max(id) as last from gov_events \gset
select count(*) as items, count(event_id) as recorded, count(error) as failed, min(position), max(position)
from gov_ingest_many('many', (
    select jsonb_agg(jsonb_build_object('capabilityId', 'tokens', 'amount', n * 0.001, 'entityIds', jsonb_build_array(case when n % 2 = 0 then 'bot' else 'cyd' end)) order by n)
    from generate_series(1, 1000) as n
));
-- their rows are written together, and in no subtransaction
select count(*) as rows, count(distinct xmin::text) as transactions
from gov_events where owner_id = 'many' and id > :last;
-- 0.001 × (2 + 4 + … + 1000) = 250.5 on bot, 0.001 × (1 + 2 + … + 1000) = 500.5 in all
select helper.usage('many', 'tokens', '{bot}');
select helper.outcome($$select * from gov_ingest_many('many', (select jsonb_agg('{"capabilityId": "tokens"}'::jsonb) from generate_series(1, 10001)))$$);
select helper.outcome($$select * from gov_ingest_many('many', '[]')$$) as empty,
       helper.outcome($$select * from gov_ingest_many('many', '{"capabilityId": "tokens"}')$$) as no_array,
       helper.outcome($$select * from gov_ingest_many('many', null)$$) as no_events,
       helper.outcome($$select * from gov_ingest_many(null, '[{"capabilityId": "tokens"}]')$$) as no_owner;
select helper.usage('many', 'tokens', '{bot}');
-- What is no item's fault ends the call, and leaves nothing open behind it: what comes after is committed.
create table helper.after (n int);
set default_transaction_read_only = on;
do $$
begin
    begin
        perform gov_ingest_many('many', '[{"capabilityId": "tokens", "entityIds": ["bot"]}]');
        raise exception 'recorded';
    exception
        when read_only_sql_transaction then
            null;
    end;
end
$$;
set default_transaction_read_only = off;
insert into helper.after values (1);
\c -
set client_min_messages = warning;
select count(*) from helper.after;
-- nor without an exception block around it: the session is not left in a transaction that nobody has begun
set default_transaction_read_only = on;
select * from gov_ingest_many('many', '[{"capabilityId": "tokens", "entityIds": ["bot"]}]');
set default_transaction_read_only = off;
begin;
insert into helper.after values (2);
commit;
select count(*) from helper.after;

-- A bad item after good ones, in a transaction that has changed the types: those are known to all of them.
begin;
update gov_entity_types set attribution_keys = '{userId,who}' where id = 'user';
select position, error from gov_ingest_many('many', '[{"capabilityId": "calls", "dimensions": {"who": "ann"}}, {"capabilityId": "calls", "dimensions": {"who": "ben"}}, {"capabilityId": "nonsense"}]');
select entity_ids from gov_events where owner_id = 'many' order by id desc limit 2;
rollback;

-- The time of an item is ISO 8601, and in UTC unless it says otherwise, whatever the session's settings make of a time.
set timezone = 'America/New_York';
set datestyle = 'German';
create table helper.times as
select *
from gov_ingest_many('many', (
    select jsonb_agg(jsonb_build_object('capabilityId', 'calls', 'amount', n, 'occurredAt', i.text) order by n)
    from unnest(array['2010-11-01', '2010-11-01 10:00', '2010-11-01T10:00:00.123456', '2010-11-01T10:00:00Z', '2010-11-01T10:00+05:30', '2010-11-01T10:00:00-0330', '2010-11-01T10:00:00+02',
        '01.10.2010 00:00', '2010-02-30', '2010-11-01T25:00', '2010-11', '2010-11-01T10', '2010-11-01T10:00 CET', '2010-11-01T10:00:00Z ', 'now', 'yesterday', 'epoch', '']) with ordinality as i (text, n)
));
reset datestyle;
set timezone = 'UTC';
set datestyle = 'ISO';
select t.position, e.occurred_at, t.error
from helper.times as t
left join gov_events as e on e.id = t.event_id
order by t.position;
-- In a transaction that has changed the types itself, a bad item leaves those before it as they were read.
begin;
update gov_entity_types set attribution_keys = attribution_keys || '{agentRef}' where id = 'agent';
select position, event_id is not null as recorded, error
from gov_ingest_many('many', '[{"capabilityId": "tokens", "dimensions": {"agentRef": "bot"}}, {"capabilityId": "nonsense"}]');
select entity_ids from gov_events where owner_id = 'many' order by id desc limit 1;
rollback;
call helper.roll_up();
select helper.usage('many', 'tokens', '{bot}');
select count(*) as wrong from gov_verify('many');
select gov_delete_owner('many');
