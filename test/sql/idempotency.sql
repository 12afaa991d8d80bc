-- not in SQL_ASCII: the lengths of text are its bytes there
-- Idempotency keys of gov_ingest.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('keys');
call helper.organisation('keys-2');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
select o.id, 'acme', c.id, 1000, 'P100Y'
from (values ('keys'), ('keys-2')) as o (id), (values ('tokens'), ('calls')) as c (id);

-- The same call again gives the first result and charges nothing.
select event_id as first_id, is_duplicate from gov_ingest('keys', 'tokens', 5, '{"modelId": "gpt", "requestId": "r"}', '{ann,cyd}', 'k-1') \gset
select :'is_duplicate' as is_duplicate;
select event_id = :first_id as same, is_duplicate from gov_ingest('keys', 'tokens', 5, '{"modelId": "gpt", "requestId": "r"}', '{ann,cyd}', 'k-1');
-- written otherwise, it is still the same: the number's digits, the order and spacing of the JSON keys, what is not part of the call
select event_id = :first_id as same, is_duplicate from gov_ingest('keys', 'tokens', 5.000, '{"requestId":"r","modelId":"gpt"}', '{ann,cyd}', 'k-1');
select event_id = :first_id as same, is_duplicate
from gov_ingest('keys', 'tokens', 5, '{"modelId": "gpt", "requestId": "r"}', '{ann,cyd}', 'k-1', '2020-01-01 00:00Z');
select count(*) from gov_events where owner_id = 'keys';
select helper.usage('keys', 'tokens', '{ann}');

-- What a key stands for is stored, so it is the same on every machine and in every version: a retry may come long after, or to a replica.
select encode(request_hash, 'hex') as request_hash from gov_events where owner_id = 'keys' and idempotency_key = 'k-1';

-- The same key with anything else is an error, and charges nothing either.
select call, helper.outcome(call)
from unnest(array[
    $$select gov_ingest('keys', 'tokens', 6, '{"modelId": "gpt", "requestId": "r"}', '{ann,cyd}', 'k-1')$$,
    $$select gov_ingest('keys', 'tokens', 5.000000001, '{"modelId": "gpt", "requestId": "r"}', '{ann,cyd}', 'k-1')$$,
    $$select gov_ingest('keys', 'tokens', -5, '{"modelId": "gpt", "requestId": "r"}', '{ann,cyd}', 'k-1')$$,
    $$select gov_ingest('keys', 'calls', 5, '{"modelId": "gpt", "requestId": "r"}', '{ann,cyd}', 'k-1')$$,
    $$select gov_ingest('keys', 'tokens', 5, '{"modelId": "gpt", "requestId": "s"}', '{ann,cyd}', 'k-1')$$,
    $$select gov_ingest('keys', 'tokens', 5, '{"modelId": "gpt"}', '{ann,cyd}', 'k-1')$$,
    $$select gov_ingest('keys', 'tokens', 5, null, '{ann,cyd}', 'k-1')$$,
    $$select gov_ingest('keys', 'tokens', 5, '{"modelId": "gpt", "requestId": "r"}', '{ann}', 'k-1')$$,
    $$select gov_ingest('keys', 'tokens', 5, '{"modelId": "gpt", "requestId": "r"}', '{ann,cyd,ben}', 'k-1')$$,
    $$select gov_ingest('keys', 'tokens', 5, '{"modelId": "gpt", "requestId": "r"}', null, 'k-1')$$,
    $$select gov_ingest('keys', 'tokens', 5, '{"modelId": "gpt", "requestId": "r"}', '{ann,cyd}', 'k-1')$$
]) as call;
select helper.usage('keys', 'tokens', '{ann}'), helper.usage('keys', 'calls', '{ann}');
select count(*) from gov_events where owner_id = 'keys';

-- A key is the owner's own; without a key every call is a new one; keys are compared byte by byte.
select is_duplicate from gov_ingest('keys-2', 'tokens', 7, null, '{ann}', 'k-1');
select is_duplicate from gov_ingest('keys', 'tokens', 1, null, '{ann}', null);
select is_duplicate from gov_ingest('keys', 'tokens', 1, null, '{ann}', null);
select is_duplicate from gov_ingest('keys', 'tokens', 1, null, '{ann}', 'K-1');
select is_duplicate from gov_ingest('keys', 'tokens', 1, null, '{ann}', 'k-1 ');
select is_duplicate from gov_ingest('keys', 'tokens', 1, null, '{ann}', repeat('é', 255));
select is_duplicate from gov_ingest('keys', 'tokens', 1, null, '{ann}', repeat('é', 255));
select helper.usage('keys', 'tokens', '{ann}'), helper.usage('keys-2', 'tokens', '{ann}');

-- A key whose transaction rolled back was never used, nor one whose savepoint did.
begin;
select is_duplicate from gov_ingest('keys', 'tokens', 100, null, '{ann}', 'k-2');
select is_duplicate from gov_ingest('keys', 'tokens', 100, null, '{ann}', 'k-2');
select helper.outcome($$select gov_ingest('keys', 'tokens', 101, null, '{ann}', 'k-2')$$);
select helper.usage('keys', 'tokens', '{ann}');
rollback;
select helper.usage('keys', 'tokens', '{ann}');
begin;
savepoint s;
select is_duplicate from gov_ingest('keys', 'tokens', 200, null, '{ann}', 'k-2');
rollback to s;
select is_duplicate from gov_ingest('keys', 'tokens', 3, null, '{ann}', 'k-2');
savepoint s;
select is_duplicate from gov_ingest('keys', 'tokens', 3, null, '{ann}', 'k-2');
rollback to s;
select is_duplicate from gov_ingest('keys', 'tokens', 3, null, '{ann}', 'k-2');
commit;
select is_duplicate from gov_ingest('keys', 'tokens', 3, null, '{ann}', 'k-2');
select helper.usage('keys', 'tokens', '{ann}');

-- The first result stays the first result, whatever becomes of budgets and entities; the rollup does not forget keys.
update gov_assignments set usage_limit = 0 where owner_id = 'keys' and capability_id = 'tokens';
update gov_entities set archived_at = '2026-01-01' where owner_id = 'keys' and id = 'ann';
call helper.roll_up();
select event_id = :first_id as same, is_duplicate from gov_ingest('keys', 'tokens', 5, '{"modelId": "gpt", "requestId": "r"}', '{ann,cyd}', 'k-1');
select gov_refresh() \gset
select event_id = :first_id as same, is_duplicate from gov_ingest('keys', 'tokens', 5, '{"modelId": "gpt", "requestId": "r"}', '{ann,cyd}', 'k-1');
select helper.usage('keys', 'tokens', '{ann}');

-- Many keys in one transaction, each twice.
begin;
select count(*) filter (where i.is_duplicate) as duplicates, count(*) as calls
from generate_series(0, 3999) as n, gov_ingest('keys', 'calls', 0.5, null, '{ben}', 'bulk-' || n / 2) as i;
commit;
select helper.usage('keys', 'calls', '{ben}');

-- When the owner goes, the keys go.
select gov_delete_owner('keys');
call helper.organisation('keys');
select is_duplicate from gov_ingest('keys', 'tokens', 99, null, '{ben}', 'k-1');
select count(*) as wrong from gov_verify();
select gov_delete_owner('keys'), gov_delete_owner('keys-2');
