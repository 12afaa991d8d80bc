-- gov_consume and gov_require: check and record in one step.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql

-- Everything that a denied call must leave as it was: the ledger, the holds, the counts of every entity.
create function helper.state(owner text) returns text
language sql
as $$
    select md5(concat(
        (select string_agg(e::text, ' ' order by e.id) from gov_events as e where e.owner_id = owner),
        (select string_agg(r::text, ' ') from gov_reservations as r where r.owner_id = owner),
        (select string_agg(h::text, ' ' order by n.id, c.id, h.entity_id, h.scope_entity_ids, h.name)
         from gov_entities as n, gov_capabilities as c, gov_headroom(owner, c.id, 0, null, array[n.id]) as h
         where n.owner_id = owner)
    ))
$$;

-- A call that raises: its SQLSTATE, message, detail and hint.
create function helper.raised(statement text, out code text, out message text, out detail text, out hint text)
language plpgsql
as $$
begin
    execute statement;
    code := '00000';
exception
    when others then
        get stacked diagnostics code = returned_sqlstate, message = message_text,
            detail = pg_exception_detail, hint = pg_exception_hint;
end
$$;
\set ECHO all
call helper.organisation('consume');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('consume', 'bot', 'tokens', 10, 'P100Y'),
       ('consume', 'eng', 'tokens', 25, 'P50Y'),
       ('consume', 'acme', 'tokens', null, null);

-- Granted: one row in the ledger, every budget of the set at once; remaining and chains are those after it.
select is_granted, denied_reason, remaining, retry_at, event_id is not null as recorded, is_duplicate, helper.show(chains)
from gov_consume('consume', 'tokens', 4, '{"requestId": "r-1", "modelId": "gpt"}', '{bot}');
select owner_id, capability_id, amount, entity_ids, dimensions, idempotency_key, array_length(counter_ids, 1) as budgets, occurred_at = recorded_at as at_once
from gov_events
where owner_id = 'consume';
-- what the answer says is what a check says next
select helper.usage('consume', 'tokens', '{bot}');
select c.remaining = k.remaining as remaining, c.chains = k.chains as chains
from gov_consume('consume', 'tokens', 0.5, null, '{bot}') as c
cross join lateral gov_check('consume', 'tokens', 0 * c.remaining, null, '{bot}') as k;
-- the amount is 1 unless it is given
select is_granted, remaining, helper.show(chains) from gov_consume('consume', 'tokens', entity_ids => '{bot}');
-- its event id is the ledger's
select event_id as consumed_id from gov_consume('consume', 'tokens', 1.25, null, '{bot}') \gset
select id = :consumed_id as same, amount from gov_events where owner_id = 'consume' order by id desc limit 1;

-- Denied: a result, with why, what is left, when to come back, and the state as it is. Nothing is recorded at any level.
create table helper.before as select helper.state('consume') as state;
select is_granted, denied_reason, remaining, retry_at, event_id, is_duplicate, helper.show(chains)
from gov_consume('consume', 'tokens', 3.250000001, null, '{bot}');
-- more than a limit: no waiting would help, and the reason says so
select is_granted, denied_reason, remaining, retry_at, event_id, is_duplicate, helper.show(chains)
from gov_consume('consume', 'tokens', 10.000000001, null, '{bot}');
-- both of them fail: the latest end
select is_granted, denied_reason, remaining, retry_at from gov_consume('consume', 'tokens', 25.5, null, '{bot}');
select helper.state('consume') = state as same from helper.before;
-- it denies what gov_check denies, and answers alike
select amount, (c.is_granted, c.denied_reason, c.remaining, c.retry_at, c.chains) = (k.is_granted, k.denied_reason, k.remaining, k.retry_at, k.chains) as same
from unnest('{3.5,10,11,30,999999999999999999}'::numeric[]) as amount,
     gov_consume('consume', 'tokens', amount, null, '{bot}') as c,
     gov_check('consume', 'tokens', amount, null, '{bot}') as k;
select helper.state('consume') = state as same from helper.before;
-- to the last billionth
select is_granted, remaining, helper.show(chains) from gov_consume('consume', 'tokens', 3.249999999, null, '{bot}');
select is_granted, remaining, helper.show(chains) from gov_consume('consume', 'tokens', 0.000000002, null, '{bot}');
select is_granted, remaining, helper.show(chains) from gov_consume('consume', 'tokens', 0.000000001, null, '{bot}');
select is_granted, remaining, helper.show(chains) from gov_consume('consume', 'tokens', 0.000000001, null, '{bot}');
-- less than half a billionth is 0, which is granted at the limit
select is_granted, remaining from gov_consume('consume', 'tokens', 0.0000000004, null, '{bot}');
select is_granted, remaining from gov_consume('consume', 'tokens', 0.0000000005, null, '{bot}');

-- The amount 0: granted at the limit and recorded, denied over it.
select is_granted, remaining, event_id is not null as recorded, helper.show(chains) from gov_consume('consume', 'tokens', 0, null, '{bot}');
select is_duplicate from gov_ingest('consume', 'tokens', 0.5, null, '{bot}');
select is_granted, denied_reason, remaining, retry_at, event_id, helper.show(chains) from gov_consume('consume', 'tokens', 0, null, '{bot}');
-- a correction makes room at once
select is_duplicate from gov_ingest('consume', 'tokens', -5.5, null, '{bot}');
select is_granted, remaining, helper.show(chains) from gov_consume('consume', 'tokens', 5, null, '{bot}');
-- a denial of one level leaves the others alone: the agent is full, its team is not
select is_granted, remaining, helper.show(chains) from gov_consume('consume', 'tokens', 1, null, '{bot}');
select is_granted, remaining, helper.show(chains) from gov_consume('consume', 'tokens', 15, null, '{ben}');
-- and the other way round: the team is full
select is_duplicate from gov_ingest('consume', 'tokens', -4, null, '{bot}');
select is_granted, remaining from gov_consume('consume', 'tokens', 4, null, '{ann}');
select is_granted, denied_reason, remaining, retry_at, helper.show(chains) from gov_consume('consume', 'tokens', 1, null, '{bot}');
select count(*) as wrong from gov_verify('consume');

-- Soft budgets and those without a limit count and never deny; beside a hard one they go only as far as it does.
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence, enforcement)
values ('consume', 'cyd', 'calls', 'hard', 6, 'P100Y', 'hard'),
       ('consume', 'cyd', 'calls', 'soft', 3, 'P50Y', 'soft'),
       ('consume', 'ops', 'calls', 'counted', null, 'P100Y', 'hard'),
       ('consume', 'acme', 'calls', 'soft', 1, null, 'soft');
select amount, is_granted, denied_reason, remaining, retry_at, helper.show(chains)
from unnest('{2,2,3,2,1}'::numeric[]) as amount, gov_consume('consume', 'calls', amount, null, '{cyd}');
-- without a hard one everything is granted and nothing remains to be told
select is_granted, remaining, helper.show(chains) from gov_consume('consume', 'calls', 1000, null, '{ops}');

-- Several budgets by name on one entity: all must allow.
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence)
values ('consume', 'ben', 'calls', 'minute', 5, 'P30Y'),
       ('consume', 'ben', 'calls', 'month', 8, 'P100Y'),
       ('consume', 'ben', 'calls', 'lifetime', 12, null);
select i, is_granted, denied_reason, remaining, helper.show(chains)
from generate_series(1, 3) as i, gov_consume('consume', 'calls', 2 + 0 * i, null, '{ben}');
update gov_assignments set usage_limit = 1000 where owner_id = 'consume' and entity_id = 'ben' and name = 'minute';
select i, is_granted, denied_reason, remaining, retry_at, helper.show(chains)
from generate_series(1, 3) as i, gov_consume('consume', 'calls', 2 + 0 * i, null, '{ben}');
-- a failing budget that never resets leaves no time to try again
update gov_assignments set usage_limit = 13 where owner_id = 'consume' and entity_id = 'ben' and name = 'month';
select i, is_granted, denied_reason, remaining, retry_at, helper.show(chains)
from generate_series(1, 3) as i, gov_consume('consume', 'calls', 2 + 0 * i, null, '{ben}');

-- Entities by dimensions, by id, by both; a scope; each budget once, however many chains reach it.
call helper.organisation('sets');
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, usage_limit, cadence)
values ('sets', 'acme', 'tokens', '{}', 100, 'P100Y'),
       ('sets', 'eng', 'tokens', '{}', 50, 'P100Y'),
       ('sets', 'eng', 'tokens', '{gpt}', 7, 'P100Y'),
       ('sets', 'gpt', 'tokens', '{}', 40, 'P100Y'),
       ('sets', 'cyd', 'tokens', '{}', 30, 'P100Y');
select is_granted, remaining, helper.show(chains) from gov_consume('sets', 'tokens', 1, '{"userId": "ann", "model": "opus"}');
select is_granted, remaining, helper.show(chains) from gov_consume('sets', 'tokens', 2, '{"userId": "ann", "model": "gpt", "requestId": 7}');
select is_granted, remaining, helper.show(chains) from gov_consume('sets', 'tokens', 3, '{"model": "gpt"}', '{ann,ben,cyd,ann}');
-- the scope alone denies
select is_granted, denied_reason, remaining, helper.show(chains) from gov_consume('sets', 'tokens', 3, '{"model": "gpt"}', '{ben}');
select is_granted, denied_reason, remaining, helper.show(chains) from gov_consume('sets', 'tokens', 3, '{"model": "opus"}', '{ben}');
select entity_ids, dimensions, amount, array_length(counter_ids, 1) as budgets from gov_events where owner_id = 'sets' order by id;

-- An archived entity's budgets neither gate nor count; it stays in the set.
update gov_entities set archived_at = '2026-01-01' where owner_id = 'sets' and id = 'eng';
select is_granted, remaining, helper.show(chains) from gov_consume('sets', 'tokens', 20, '{"model": "gpt"}', '{ann}');
update gov_entities set archived_at = null where owner_id = 'sets' and id = 'eng';
select helper.usage('sets', 'tokens', '{ann,gpt}');

-- Without a budget the use is granted and recorded, unless governance.on_ungoverned says otherwise.
call helper.organisation('free');
select is_granted, denied_reason, remaining, retry_at, event_id is not null as recorded, is_duplicate, chains from gov_consume('free', 'tokens', 5, '{"userId": "ann"}', null, 'free');
select is_granted, event_id is not null as recorded, chains from gov_consume('nobody', 'tokens', 5, null, '{x}');
select gov_require('free', 'tokens', 5) is not null as recorded;
create table helper.free as select helper.state('free') as state;
set governance.on_ungoverned = 'deny';
select is_granted, denied_reason, remaining, retry_at, event_id, is_duplicate, chains from gov_consume('free', 'tokens', 5, null, '{ann}', 'new');
select (helper.raised($$select gov_require('free', 'tokens', 5, null, '{ann}', 'new')$$)).*;
-- a call that was granted then stays granted
select is_granted, denied_reason, event_id is not null as recorded, is_duplicate, chains from gov_consume('free', 'tokens', 5, '{"userId": "ann"}', null, 'free');
set governance.on_ungoverned = 'error';
select helper.outcome($$select gov_consume('free', 'tokens', 5, null, '{ann}', 'new')$$) as consume,
       helper.outcome($$select gov_require('free', 'tokens', 5, null, '{ann}', 'new')$$) as require;
select is_granted, denied_reason, event_id is not null as recorded, is_duplicate, chains from gov_consume('free', 'tokens', 5, '{"userId": "ann"}', null, 'free');
reset governance.on_ungoverned;
select helper.state('free') = state as same from helper.free;
select is_granted, is_duplicate from gov_consume('free', 'tokens', 5, null, '{ann}', 'new');

-- The same key with the same call: the first result, the chains of now, and no charge.
call helper.organisation('keys');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('keys', 'acme', 'tokens', 10, 'P100Y'),
       ('keys', 'acme', 'calls', 10, 'P100Y');
select event_id as first_id, is_granted, is_duplicate from gov_consume('keys', 'tokens', 6, '{"requestId": "r"}', '{ann}', 'k-1') \gset
select :'is_granted' as is_granted, :'is_duplicate' as is_duplicate;
-- 6 more would not fit: a duplicate takes nothing
select is_granted, denied_reason, remaining, retry_at, event_id = :first_id as same, is_duplicate, helper.show(chains)
from gov_consume('keys', 'tokens', 6.0, '{"requestId": "r"}', '{ann}', 'k-1');
-- full, then over
select is_granted, remaining from gov_consume('keys', 'tokens', 4, null, '{ann}');
select is_granted, denied_reason, remaining, retry_at, event_id = :first_id as same, is_duplicate, helper.show(chains)
from gov_consume('keys', 'tokens', 6, '{"requestId": "r"}', '{ann}', 'k-1');
update gov_assignments set usage_limit = 3 where owner_id = 'keys' and capability_id = 'tokens';
select is_granted, denied_reason, remaining, retry_at, event_id = :first_id as same, is_duplicate
from gov_consume('keys', 'tokens', 6, '{"requestId": "r"}', '{ann}', 'k-1');
-- anything else under it is an error, and another call too
select call, helper.outcome(call)
from unnest(array[
    $$select gov_consume('keys', 'tokens', 5, '{"requestId": "r"}', '{ann}', 'k-1')$$,
    $$select gov_consume('keys', 'tokens', 0, '{"requestId": "r"}', '{ann}', 'k-1')$$,
    $$select gov_consume('keys', 'calls', 6, '{"requestId": "r"}', '{ann}', 'k-1')$$,
    $$select gov_consume('keys', 'tokens', 6, '{"requestId": "s"}', '{ann}', 'k-1')$$,
    $$select gov_consume('keys', 'tokens', 6, null, '{ann}', 'k-1')$$,
    $$select gov_consume('keys', 'tokens', 6, '{"requestId": "r"}', '{ben}', 'k-1')$$,
    $$select gov_ingest('keys', 'tokens', 6, '{"requestId": "r"}', '{ann}', 'k-1')$$,
    $$select gov_require('keys', 'tokens', 6, '{"requestId": "r"}', '{ann}', 'k-1')$$,
    $$select gov_consume('keys', 'tokens', 6, '{"requestId": "r"}', '{ann}', 'k-1')$$
]) as call;
select error is not null as refused
from gov_ingest_many('keys', '[{"capabilityId": "tokens", "amount": 6, "dimensions": {"requestId": "r"}, "entityIds": ["ann"], "idempotencyKey": "k-1"}]');
-- keys of the others under this one
update gov_assignments set usage_limit = 100 where owner_id = 'keys' and capability_id = 'tokens';
select is_duplicate from gov_ingest('keys', 'tokens', 1, null, '{ann}', 'k-ingest');
select gov_require('keys', 'tokens', 1, null, '{ann}', 'k-require') as required_id \gset
select gov_require('keys', 'tokens', 1, null, '{ann}', 'k-require') = :required_id as same;
select call, helper.outcome(call)
from unnest(array[
    $$select gov_consume('keys', 'tokens', 1, null, '{ann}', 'k-ingest')$$,
    $$select gov_consume('keys', 'tokens', 1, null, '{ann}', 'k-require')$$,
    $$select gov_require('keys', 'tokens', 1, null, '{ann}', 'k-ingest')$$,
    $$select gov_require('keys', 'tokens', 2, null, '{ann}', 'k-require')$$,
    $$select gov_ingest('keys', 'tokens', 1, null, '{ann}', 'k-require')$$
]) as call;
-- a denied call uses no key: it may come again, as it was or otherwise
select is_granted, is_duplicate from gov_consume('keys', 'tokens', 99, null, '{ann}', 'k-2');
select helper.outcome($$select gov_require('keys', 'tokens', 99, null, '{ann}', 'k-2')$$);
select is_granted, is_duplicate from gov_consume('keys', 'tokens', 98, null, '{ann}', 'k-2');
select is_granted, is_duplicate from gov_consume('keys', 'tokens', 8, null, '{ann}', 'k-2');
select is_granted, is_duplicate from gov_consume('keys', 'tokens', 8, null, '{ann}', 'k-2');
select helper.outcome($$select gov_consume('keys', 'tokens', 99, null, '{ann}', 'k-2')$$);
-- the budget and the entity go; the first result stays
call helper.roll_up();
delete from gov_assignments where owner_id = 'keys' and capability_id = 'tokens';
delete from gov_entities where owner_id = 'keys' and id = 'bot';
delete from gov_entities where owner_id = 'keys' and id = 'ann';
select is_granted, denied_reason, remaining, retry_at, event_id = :first_id as same, is_duplicate, chains
from gov_consume('keys', 'tokens', 6, '{"requestId": "r"}', '{ann}', 'k-1');
set governance.on_ungoverned = 'error';
select is_granted, event_id = :first_id as same, is_duplicate, chains from gov_consume('keys', 'tokens', 6, '{"requestId": "r"}', '{ann}', 'k-1');
select gov_require('keys', 'tokens', 1, null, '{ann}', 'k-require') = :required_id as same;
reset governance.on_ungoverned;
select amount, idempotency_key from gov_events where owner_id = 'keys' order by id;
select count(*) as wrong from gov_verify('keys');

-- What a transaction takes, it gives back when it rolls back, also to a savepoint; a denial in it changes nothing.
call helper.organisation('undo');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('undo', 'acme', 'tokens', 10, 'P100Y'),
       ('undo', 'ann', 'tokens', 6, null);
begin;
select is_granted, remaining from gov_consume('undo', 'tokens', 4, null, '{ann}', 'u-1');
savepoint s;
select is_granted, remaining from gov_consume('undo', 'tokens', 2, null, '{ann}', 'u-2');
select is_granted, denied_reason, remaining from gov_consume('undo', 'tokens', 1, null, '{ann}');
rollback to s;
select is_granted, remaining, is_duplicate from gov_consume('undo', 'tokens', 2, null, '{ann}', 'u-2');
rollback to s;
select is_granted, remaining, helper.show(chains) from gov_consume('undo', 'tokens', 1, null, '{ann}');
release s;
select is_granted, is_duplicate, helper.show(chains) from gov_consume('undo', 'tokens', 4, null, '{ann}', 'u-1');
rollback;
select helper.usage('undo', 'tokens', '{ann}');
begin;
savepoint s;
select is_granted, remaining from gov_consume('undo', 'tokens', 5, null, '{ann}', 'u-1');
rollback to s;
select is_granted, remaining, is_duplicate from gov_consume('undo', 'tokens', 3, null, '{ann}', 'u-1');
commit;
select helper.usage('undo', 'tokens', '{ann}');
-- many in one transaction, half of them in blocks that fail
do $$
begin
    for i in 1..20 loop
        begin
            perform gov_consume('undo', 'tokens', 1, null, '{cyd}');
            if i % 2 = 0 then
                raise 'not this one';
            end if;
        exception
            when raise_exception then
                null;
        end;
    end loop;
end
$$;
select helper.usage('undo', 'tokens', '{cyd}');
select is_granted, remaining, event_id from gov_consume('undo', 'tokens', 1, null, '{cyd}');
select count(*) as events, trim_scale(sum(amount)) as amount from gov_events where owner_id = 'undo';

-- A transaction's own changes of the catalog hold for it at once.
begin;
update gov_assignments set usage_limit = 12 where owner_id = 'undo' and entity_id = 'acme';
select is_granted, remaining, helper.show(chains) from gov_consume('undo', 'tokens', 2, null, '{cyd}');
select is_granted, denied_reason, remaining from gov_consume('undo', 'tokens', 0.5, null, '{cyd}');
insert into gov_entities (owner_id, id, type_id, parent_id) values ('undo', 'dot', 'agent', 'cyd');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('undo', 'dot', 'tokens', 1, 'P100Y'),
       ('undo', 'dot', 'calls', 3, 'P100Y');
update gov_assignments set usage_limit = 20 where owner_id = 'undo' and entity_id = 'acme';
select is_granted, denied_reason, remaining, helper.show(chains) from gov_consume('undo', 'tokens', 2, null, '{dot}');
select is_granted, remaining, helper.show(chains) from gov_consume('undo', 'tokens', 1, null, '{dot}');
select is_granted, remaining, helper.show(chains) from gov_consume('undo', 'calls', 3, null, '{dot}');
savepoint s;
delete from gov_assignments where owner_id = 'undo' and entity_id = 'acme';
select is_granted, denied_reason, remaining, helper.show(chains) from gov_consume('undo', 'tokens', 100, null, '{cyd}');
rollback to s;
select is_granted, denied_reason, remaining, helper.show(chains) from gov_consume('undo', 'tokens', 100, null, '{cyd}');
rollback;
select helper.usage('undo', 'tokens', '{cyd}'), helper.usage('undo', 'calls', '{dot}');
begin;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('undo', 'ops', 'calls', 3, 'P100Y');
select is_granted, remaining from gov_consume('undo', 'calls', 2, null, '{cyd}');
commit;
select is_granted, remaining, helper.show(chains) from gov_consume('undo', 'calls', 2, null, '{cyd}');
select is_granted, remaining, helper.show(chains) from gov_consume('undo', 'calls', 1, null, '{cyd}');
select count(*) as wrong from gov_verify('undo');

-- gov_require: the event's id, or GV001 with the budgets that fail.
call helper.organisation('require');
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence)
values ('require', 'acme', 'tokens', '', 100, null),
       ('require', 'eng', 'tokens', 'year', 10, 'P100Y'),
       ('require', 'eng', 'tokens', 'era', 20, 'P50Y'),
       ('require', 'ops', 'tokens', '', 1000, null);
select gov_require('require', 'tokens', 7, '{"model": "gpt"}', '{ann}') as required_id \gset
select amount, entity_ids, dimensions from gov_events where id = :required_id;
create table helper.require as select helper.state('require') as state;
select code, message, hint from helper.raised($$select gov_require('require', 'tokens', 4, null, '{ann}')$$);
select code, message, hint from helper.raised($$select gov_require('require', 'tokens', 14, null, '{ann}')$$);
-- never again by itself
select code, message, hint from helper.raised($$select gov_require('require', 'tokens', 99, null, '{cyd}')$$);
-- the detail is the nodes that fail, those and no others
select regexp_replace(detail, '^Failing budgets: ', '') as nodes
from helper.raised($$select gov_require('require', 'tokens', 4, null, '{ann}')$$);
select string_agg(node ->> 'name', ' ' order by place) as failing
from helper.raised($$select gov_require('require', 'tokens', 14, null, '{ann}')$$) as r,
     jsonb_array_elements(regexp_replace(r.detail, '^Failing budgets: ', '')::jsonb) with ordinality as n (node, place);
-- nothing was recorded; a granted one is
select helper.state('require') = state as same from helper.require;
select gov_require('require', 'tokens', 3, null, '{ann}') is not null as recorded;
select helper.usage('require', 'tokens', '{ann}');
-- it takes the application's own rows with it
create table helper.orders (id int primary key);
begin;
insert into helper.orders values (1);
select gov_require('require', 'tokens', 1, null, '{ann}');
commit;
select count(*) from helper.orders;
begin;
insert into helper.orders values (1);
select gov_require('require', 'tokens', 1, null, '{cyd}') is not null as recorded;
commit;
select count(*), helper.usage('require', 'tokens', '{cyd}') from helper.orders;

-- Malformed calls: what gov_check refuses they refuse, and keys besides. Nothing changes.
create table helper.malformed as select helper.state('require') as state;
select a.args, helper.outcome(format('select * from gov_consume(%s)', a.args)) as consume, helper.outcome(format('select gov_require(%s)', a.args)) as require
from (values (1, $$null, 'tokens'$$),
             (2, $$'require', null$$),
             (3, $$'require', 'tokens', null$$),
             (4, $$'require', 'tokens', 1, null, '{ann,NULL}'$$),
             (5, $$'require', 'no-such'$$),
             (6, $$'require', 'tokens', -1, null, '{ann}'$$),
             (7, $$'require', 'tokens', -0.000000001$$),
             (8, $$'require', 'tokens', 'NaN'$$),
             (9, $$'require', 'tokens', 'Infinity'$$),
             (10, $$'require', 'tokens', 1e18$$),
             (11, $$'require', 'tokens', 999999999999999999.9999999995$$),
             (12, $$'require', 'tokens', 1, '[]'$$),
             (13, $$'require', 'tokens', 1, '"ann"'$$),
             (14, $$'require', 'tokens', 1, '{"userId": {}}'$$),
             (15, $$'require', 'tokens', 1, '{"userId": ["ann"]}'$$),
             (16, $$'require', 'tokens', 1, null, '{{ann,ben},{cyd,bot}}'$$),
             (17, $$'require', 'tokens', 1, null, '{ann}', ''$$),
             (18, $$'require', 'tokens', 1, null, '{ann}', repeat('k', 256)$$),
             (19, $$'require', 'tokens', 1, null, '{ann}', e'k\n'$$),
             (20, $$'require', 'no-such', 1, null, '{ann}', 'k'$$),
             (21, $$'nobody', 'no-such'$$)) as a (n, args)
order by a.n;
select helper.state('require') = state as same from helper.malformed;
-- -0.0000000004 is 0
select is_granted, remaining from gov_consume('require', 'tokens', -0.0000000004, null, '{ann}');
-- nothing is written where nothing may be
begin read only;
select helper.outcome($$select gov_consume('require', 'tokens', 1, null, '{cyd}')$$) as consume,
       helper.outcome($$select gov_consume('require', 'tokens', 99, null, '{ann}')$$) as denied,
       helper.outcome($$select gov_require('require', 'tokens', 1, null, '{cyd}')$$) as require;
rollback;
set governance.owner = 'other';
select helper.outcome($$select gov_consume('require', 'tokens', 1, null, '{cyd}')$$) as consume,
       helper.outcome($$select gov_require('require', 'tokens', 1, null, '{cyd}')$$) as require;
reset governance.owner;

-- Who called is recorded as with gov_ingest.
set governance.caller = 'gateway';
select gov_require('require', 'tokens', 1, null, '{cyd}') as required_id \gset
reset governance.caller;
select caller from gov_events where id = :required_id;

-- Rolled up, or with nothing cached, the answers are the same.
call helper.roll_up();
select helper.usage('require', 'tokens', '{ann,cyd}');
select gov_refresh() \gset
select is_granted, denied_reason, remaining, helper.show(chains) from gov_consume('require', 'tokens', 1, null, '{ann}');
select is_granted, remaining, helper.show(chains) from gov_consume('require', 'tokens', 80, null, '{cyd}');
select count(*) as wrong from gov_verify();
select gov_delete_owner(id) from unnest('{consume,sets,free,nobody,keys,undo,require}'::text[]) as owner (id);
