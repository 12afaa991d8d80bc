-- gov_consume_many and gov_ingest_each: up to ten thousand uses of any owners in one call, each decided alone and in order.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql

-- A request; null arguments are left out.
create function helper.request(owner text, amount numeric, entity text default 'bot', key text default null) returns jsonb
language sql
as $$
    select jsonb_strip_nulls(jsonb_build_object('ownerId', owner, 'capabilityId', 'tokens', 'amount', amount, 'entityIds', array[entity], 'idempotencyKey', key))
$$;

-- What became of some requests, the window's end left out; events are numbered by their ids.
create function helper.many(variadic requests jsonb[])
returns table (item int, granted boolean, reason text, remaining numeric, event bigint, duplicate boolean, error text)
language sql
as $$
    select m."position", m.is_granted, m.denied_reason, trim_scale(m.remaining), dense_rank() over (order by m.event_id nulls last) * case when m.event_id is not null then 1 end,
        m.is_duplicate, m.error
    from gov_consume_many(to_jsonb(requests)) m
    order by m."position"
$$;
\set ECHO all
call helper.organisation('one');
call helper.organisation('two');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
select owner, entity, 'tokens', usage_limit, 'P100Y'
from (values ('one'), ('two')) as o (owner), (values ('acme', 100), ('bot', 10), ('cyd', 50)) as b (entity, usage_limit);

-- Each sees what those before it have taken, of whichever owner; a denied one takes nothing.
select * from helper.many(helper.request('one', 6), helper.request('one', 5), helper.request('two', 9), helper.request('one', 4), helper.request('one', 0.5),
                          helper.request('one', 11), helper.request('two', 1.000000001), helper.request('one', 0), helper.request('two', 1));
select position, retry_at from gov_consume_many(jsonb_build_array(helper.request('one', 1), helper.request('one', 1, 'cyd'))) order by position;
select owner_id, amount, entity_ids from gov_events where owner_id in ('one', 'two') order by id;
select helper.usage('one', 'tokens', '{bot}'), helper.usage('two', 'tokens', '{bot}');

-- A bad request gets its error and changes nothing; the others are decided.
select "position", is_granted, event_id is not null as recorded, is_duplicate, error
from gov_consume_many('[
    {"ownerId": "one", "capabilityId": "tokens", "amount": 1, "entityIds": ["cyd"]},
    {"ownerId": "one", "capabilityId": "no-such", "amount": 1, "entityIds": ["cyd"]},
    {"capabilityId": "tokens", "entityIds": ["cyd"]},
    {"ownerId": null, "capabilityId": "tokens", "entityIds": ["cyd"]},
    {"ownerId": "", "capabilityId": "tokens", "entityIds": ["cyd"]},
    {"ownerId": "one", "capabilityId": "tokens", "amount": -1, "entityIds": ["cyd"]},
    {"ownerId": "one", "capabilityId": "tokens", "amount": 1e18, "entityIds": ["cyd"]},
    {"ownerId": "one", "capabilityId": "tokens", "amount": "1", "entityIds": ["cyd"]},
    {"ownerId": "one", "capabilityId": "tokens", "amount": null, "entityIds": ["cyd"]},
    {"ownerId": "one", "capabilityId": "tokens", "entityIds": ["cyd", null]},
    {"ownerId": "one", "capabilityId": "tokens", "entityIds": "cyd"},
    {"ownerId": "one", "capabilityId": "tokens", "dimensions": {"a": {"b": 1}}},
    {"ownerId": "one", "capabilityId": "tokens", "entityIds": ["cyd"], "occurredAt": "2020-01-01T00:00:00Z"},
    {"ownerId": "one", "capabilityId": "tokens", "entityIds": ["cyd"], "idempotencyKey": ""},
    {"ownerId": "one", "capabilityId": "tokens", "entityIds": ["cyd"], "colour": "green"},
    7,
    null,
    [],
    {"ownerId": "nobody", "capabilityId": "tokens", "entityIds": ["cyd"]},
    {"ownerId": "one", "capabilityId": "tokens", "dimensions": {"userId": "cyd", "model": null}, "entityIds": null, "idempotencyKey": null}
]')
order by "position";
select helper.usage('one', 'tokens', '{cyd}');

-- Keys: one name space with all other calls, within the call too. A denied request leaves its key to those behind it.
select event_id from gov_consume('one', 'tokens', 2, null, '{cyd}', 'before') \gset
select reservation_id is not null as held from gov_reserve('one', 'tokens', 1, null, '{cyd}', 'held');
select * from helper.many(helper.request('one', 2, 'cyd', 'before'), helper.request('one', 3, 'cyd', 'before'), helper.request('one', 1, 'cyd', 'held'),
                          helper.request('one', 60, 'cyd', 'late'), helper.request('one', 5, 'cyd', 'late'), helper.request('one', 5, 'cyd', 'late'), helper.request('one', 6, 'cyd', 'late'),
                          helper.request('two', 5, 'cyd', 'late'), helper.request('one', 1, 'cyd'), helper.request('one', 4, 'cyd', 'Ähre'));
select event_id = :event_id as same from gov_consume_many(jsonb_build_array(helper.request('one', 2, 'cyd', 'before')));
select is_duplicate from gov_consume('one', 'tokens', 5, null, '{cyd}', 'late');
select helper.outcome($$select gov_ingest('one', 'tokens', 5, null, '{cyd}', 'late')$$), helper.outcome($$select gov_reserve('one', 'tokens', 5, null, '{cyd}', 'late')$$);
-- the whole call again: all of them are duplicates, and nothing is charged
select helper.usage('one', 'tokens', '{cyd}');
select * from helper.many(helper.request('one', 5, 'cyd', 'late'), helper.request('two', 5, 'cyd', 'late'), helper.request('one', 4, 'cyd', 'Ähre'));
select helper.usage('one', 'tokens', '{cyd}');

-- It is the caller's transaction, and what is rolled back was never used, nor were its keys.
begin;
select * from helper.many(helper.request('two', 7, 'cyd', 'undone'), helper.request('two', 7, 'cyd'));
savepoint s;
select * from helper.many(helper.request('two', 7, 'cyd', 'undone'), helper.request('two', 30, 'cyd', 'more'));
rollback to s;
select * from helper.many(helper.request('two', 7, 'cyd', 'undone'), helper.request('two', 31, 'cyd', 'more'), helper.request('two', 1, 'cyd'));
rollback;
select helper.usage('two', 'tokens', '{cyd}');
select * from helper.many(helper.request('two', 8, 'cyd', 'undone'));

-- No subtransaction for an item: none at all without keys, one for a call with new ones.
begin;
select pg_current_xact_id()::text::bigint as xid \gset
select count(*) filter (where is_granted) as granted from gov_consume_many((select jsonb_agg(helper.request('two', 0.001, 'cyd')) from generate_series(1, 1000)));
select count(*) as rows, count(distinct xmin::text) as ids, bool_and(xmin::text::bigint = :xid) as of_the_transaction from gov_events where owner_id = 'two' and amount = 0.001;
select count(*) filter (where is_granted) as granted from gov_consume_many((select jsonb_agg(helper.request('two', 0.002, 'cyd', 'thousand ' || n)) from generate_series(1, 1000) n));
select count(*) as rows, count(distinct xmin::text) as ids from gov_events where owner_id = 'two' and amount = 0.002;
select count(*) filter (where is_duplicate) as duplicates from gov_consume_many((select jsonb_agg(helper.request('two', 0.002, 'cyd', 'thousand ' || n)) from generate_series(1, 1000) n));
select helper.usage('two', 'tokens', '{cyd}');
commit;
-- ids go up with the items, whatever order their keys are in
select array_agg(idempotency_key order by id) = array_agg(idempotency_key order by substr(idempotency_key, 10)::int) as in_order from gov_events where idempotency_key like 'thousand %';

-- Ten thousand in one call are exact.
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('two', 'gpt', 'tokens', 7500, 'P100Y');
select count(*) as items, count(*) filter (where is_granted) as granted, count(denied_reason) as denied, min(remaining), count(error) as wrong
from gov_consume_many((select jsonb_agg(helper.request('two', 1, 'gpt', case when n % 3 = 0 then 'ten thousand ' || n end)) from generate_series(1, 10000) n));
select trim_scale(current_usage) as used from gov_headroom('two', 'tokens', 0, null, '{gpt}');

-- In a transaction that has changed the catalog, which sees its own rows.
begin;
insert into gov_entities (owner_id, id, type_id, parent_id) values ('one', 'new', 'user', 'ops');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('one', 'new', 'tokens', 3, 'P100Y');
select * from helper.many(helper.request('one', 2, 'new', 'own'), helper.request('one', 2, 'new'), helper.request('one', 1, 'new'), helper.request('one', 2, 'new', 'own'));
savepoint s;
select * from helper.many(helper.request('one', 0, 'new', 'own 2'));
rollback to s;
select helper.usage('one', 'tokens', '{new}');
commit;
select helper.usage('one', 'tokens', '{new}');

-- Blocked, ungoverned, unknown: as one use.
select gov_block('one', 'bot');
select * from helper.many(helper.request('one', 0, 'bot'), helper.request('one', 1, 'cyd'));
select gov_unblock('one', 'bot');
set governance.on_ungoverned = 'deny';
select * from helper.many(helper.request('one', 1, 'opus'), helper.request('one', 1, 'cyd'));
set governance.on_ungoverned = 'error';
select * from helper.many(helper.request('one', 1, 'opus', 'ungoverned'), helper.request('one', 1, 'cyd'), helper.request('one', 1, 'cyd', 'ungoverned'));
reset governance.on_ungoverned;
update gov_entity_types set on_unknown = 'create', parent_key = 'teamId' where id = 'user';
select "position", is_granted, denied_reason, error from gov_consume_many('[
    {"ownerId": "one", "capabilityId": "tokens", "amount": 1, "dimensions": {"userId": "dot", "teamId": "ops"}},
    {"ownerId": "one", "capabilityId": "tokens", "amount": 1, "dimensions": {"userId": "eve", "teamId": "ops"}, "idempotencyKey": "eve"},
    {"ownerId": "one", "capabilityId": "tokens", "amount": 1000, "dimensions": {"userId": "fay", "teamId": "ops"}},
    {"ownerId": "one", "capabilityId": "tokens", "amount": 2, "dimensions": {"userId": "dot"}}]') order by "position";
select id, parent_id from gov_entities where owner_id = 'one' and created_by_use order by id;
update gov_entity_types set on_unknown = 'ignore', parent_key = null where id = 'user';

-- Who is pinned to an owner uses that one alone.
create role helper_app;
select gov_grant('helper_app', 'app');
grant usage on schema helper to helper_app;
set governance.owner = 'one';
set role helper_app;
select * from helper.many(helper.request('one', 1, 'cyd'), helper.request('two', 1, 'cyd'));
select "position", event_id is not null as recorded, error from gov_ingest_each(jsonb_build_array(helper.request('two', 1, 'cyd'), helper.request('one', 1, 'cyd'))) order by "position";
select helper.outcome($$select gov_ingest_many('two', '[{"capabilityId": "tokens"}]')$$);
reset role;
set governance.owner = '';
select gov_revoke('helper_app');
revoke usage on schema helper from helper_app;
drop role helper_app;

-- gov_ingest_each: each event names its owner, and none is denied.
select "position", event_id is not null as recorded, is_duplicate, error
from gov_ingest_each('[
    {"ownerId": "one", "capabilityId": "tokens", "amount": 40, "entityIds": ["bot"]},
    {"ownerId": "two", "capabilityId": "tokens", "amount": -3, "entityIds": ["bot"], "occurredAt": "2002-03-04T05:06:07Z", "idempotencyKey": "each"},
    {"capabilityId": "tokens", "amount": 1},
    {"ownerId": "one", "capabilityId": "tokens", "amount": 1, "entityIds": ["bot"], "idempotencyKey": "each"},
    {"ownerId": "two", "capabilityId": "tokens", "amount": -3, "entityIds": ["bot"], "idempotencyKey": "each"},
    {"ownerId": "two", "capabilityId": "tokens", "amount": 3, "entityIds": ["bot"], "idempotencyKey": "each"}]') order by "position";
select is_duplicate from gov_ingest('two', 'tokens', -3, null, '{bot}', 'each');
select helper.usage('one', 'tokens', '{bot}'), helper.usage('two', 'tokens', '{bot}');

-- What is no item's fault ends the call, and leaves nothing open behind it.
create table helper.after (n int);
set default_transaction_read_only = on;
select * from gov_consume_many(jsonb_build_array(helper.request('one', 1, 'cyd', 'never')));
set default_transaction_read_only = off;
begin;
insert into helper.after values (1);
commit;
select count(*) from helper.after;
-- nor does what a trigger refuses while rows with keys are written
create function helper.refuse() returns trigger language plpgsql as $$ begin raise 'refused'; end $$;
create trigger helper_refuse before insert on gov_events for each row when (new.amount = 13) execute function helper.refuse();
select * from gov_consume_many(jsonb_build_array(helper.request('one', 1, 'cyd', 'never'), helper.request('one', 13, 'cyd', 'never again')));
select * from gov_consume_many(jsonb_build_array(helper.request('one', 1, 'cyd', 'never'), helper.request('one', 13, 'cyd')));
select * from helper.many(helper.request('one', 1, 'cyd', 'never'));
drop trigger helper_refuse on gov_events;
call helper.roll_up();
select helper.usage('one', 'tokens', '{cyd}');
select count(*) as wrong from gov_verify();
select gov_delete_owner('one'), gov_delete_owner('two');
