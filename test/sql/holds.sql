-- Holds: gov_reserve, gov_settle, gov_release, gov_extend, and the view of those that are open.
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

-- The holds of an owner, in the order they were made, one line each.
create function helper.holds(owner text) returns table (hold text)
language sql
as $$
    select concat_ws(' ', r.state, trim_scale(r.amount), 'settled ' || trim_scale(r.settled_amount), 'key ' || r.idempotency_key)
    from gov_reservations as r
    where r.owner_id = owner
    order by r.created_at, r.amount
$$;
\set ECHO all
call helper.organisation('hold');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('hold', 'bot', 'tokens', 10, 'P100Y'),
       ('hold', 'eng', 'tokens', 25, 'P50Y'),
       ('hold', 'acme', 'tokens', null, null);

-- Reserved: held against every budget of the set at once; remaining and chains are those after it. Nothing is used yet.
select is_granted, denied_reason, remaining, retry_at, reservation_id is not null as held, is_duplicate, state, helper.show(chains),
       expires_at between clock_timestamp() + interval '4 minutes' and clock_timestamp() + interval '5 minutes' as five_minutes
from gov_reserve('hold', 'tokens', 4, '{"requestId": "r-1", "modelId": "gpt"}', '{bot}');
select id as hold from gov_reservations where owner_id = 'hold' \gset
select owner_id, capability_id, amount, entity_ids, dimensions, idempotency_key, state, settled_amount, event_id, cardinality(assignment_ids) as budgets from gov_reservations where id = :'hold';
select count(*) as events from gov_events where owner_id = 'hold';
select helper.usage('hold', 'tokens', '{bot}');
-- what is held is not there for others: check, allowed, consume and another reserve deny alike
select is_granted, denied_reason, remaining, retry_at, helper.show(chains) from gov_check('hold', 'tokens', 7, null, '{bot}');
select gov_allowed('hold', 'tokens', 6, null, '{bot}') as six, gov_allowed('hold', 'tokens', 6.000000001, null, '{bot}') as more;
select entity_id, trim_scale(current_usage) as current_usage, trim_scale(reserved_usage) as reserved_usage, trim_scale(remaining) as remaining from gov_headroom('hold', 'tokens', 0, null, '{bot}');
select is_granted, denied_reason, remaining, event_id from gov_consume('hold', 'tokens', 7, null, '{bot}');
create table helper.denied as select helper.state('hold') as state;
select is_granted, denied_reason, remaining, retry_at, reservation_id, expires_at, is_duplicate, state, helper.show(chains)
from gov_reserve('hold', 'tokens', 7, null, '{bot}', 'denied');
select is_granted, denied_reason, remaining, retry_at, reservation_id, expires_at, is_duplicate, state
from gov_reserve('hold', 'tokens', 10.000000001, null, '{bot}', 'denied');
select helper.state('hold') = state as same from helper.denied;
-- the ancestors hold it too: another of the team has what the team has left
select is_granted, remaining, helper.show(chains) from gov_check('hold', 'tokens', 22, null, '{ben}');

-- Settled exactly: by default what was held. It is used now, and held no more.
select event_id as settled_event, is_duplicate from gov_settle(:'hold') \gset
select :'is_duplicate' as is_duplicate;
select helper.usage('hold', 'tokens', '{bot}');
select owner_id, capability_id, amount, entity_ids, dimensions, idempotency_key, occurred_at = recorded_at as at_once from gov_events where id = :settled_event;
select state, amount, settled_amount, event_id = :settled_event as same from gov_reservations where id = :'hold';
-- again, whatever the amount: a duplicate of the first
select event_id = :settled_event as same, is_duplicate from gov_settle(:'hold');
select event_id = :settled_event as same, is_duplicate from gov_settle(:'hold', 1);
select event_id = :settled_event as same, is_duplicate from gov_settle(:'hold', 0);
select helper.usage('hold', 'tokens', '{bot}');
-- a settled one is neither released nor extended
select gov_release(:'hold'), helper.outcome(format('select gov_extend(%L, ''1 minute'')', :'hold')) as extend;

-- Settled for less: the rest comes back.
select reservation_id as hold, remaining from gov_reserve('hold', 'tokens', 5, null, '{bot}') \gset
select :'remaining' as remaining;
select is_duplicate from gov_settle(:'hold', 1.5);
select helper.usage('hold', 'tokens', '{bot}');
-- Settled for nothing: an event of 0, and all of it comes back.
select reservation_id as hold, remaining from gov_reserve('hold', 'tokens', 4.5, null, '{bot}') \gset
select :'remaining' as remaining;
select is_granted, denied_reason, remaining from gov_consume('hold', 'tokens', 0.000000001, null, '{bot}');
select is_duplicate, event_id is not null as recorded from gov_settle(:'hold', 0);
select helper.usage('hold', 'tokens', '{bot}');
-- Settled for more: recorded in full, past the limit if need be; from then on all is denied.
select reservation_id as hold, remaining from gov_reserve('hold', 'tokens', 4, null, '{bot}') \gset
select :'remaining' as remaining;
select is_duplicate from gov_settle(:'hold', 7.25);
select helper.usage('hold', 'tokens', '{bot}');
select is_granted, denied_reason, remaining, reservation_id, state from gov_reserve('hold', 'tokens', 0, null, '{bot}');
select is_granted, denied_reason, remaining from gov_consume('hold', 'tokens', 0, null, '{bot}');
select is_duplicate from gov_ingest('hold', 'tokens', -12.75, null, '{bot}');
select helper.usage('hold', 'tokens', '{bot}');

-- Released: all of it comes back, once. A released one is not settled.
select reservation_id as hold from gov_reserve('hold', 'tokens', 10, null, '{bot}') \gset
select helper.usage('hold', 'tokens', '{bot}');
select gov_release(:'hold') as first, gov_release(:'hold') as again;
select helper.usage('hold', 'tokens', '{bot}');
select state, settled_amount, event_id from gov_reservations where id = :'hold';
create table helper.released as select helper.state('hold') as state;
select helper.outcome(format('select gov_settle(%L)', :'hold')) as settle,
       helper.outcome(format('select gov_settle(%L, 0)', :'hold')) as settle_zero,
       helper.outcome(format('select gov_extend(%L, ''1 minute'')', :'hold')) as extend;
select helper.state('hold') = state as same from helper.released;

-- Extended: to now + ttl, sooner or later than it was; the amount stays.
select reservation_id as hold from gov_reserve('hold', 'tokens', 3, null, '{bot}', ttl => '1 minute') \gset
select gov_extend(:'hold', '2 hours') as extended \gset
select :'extended'::timestamptz between clock_timestamp() + interval '119 minutes' and clock_timestamp() + interval '2 hours' as two_hours,
       expires_at = :'extended' as stored, state
from gov_reservations where id = :'hold';
select gov_extend(:'hold', '10 minutes') between clock_timestamp() + interval '9 minutes' and clock_timestamp() + interval '10 minutes' as ten_minutes;
select helper.usage('hold', 'tokens', '{bot}');
select gov_release(:'hold');

-- The amount 0: granted at the limit, denied over it, and held for nothing.
select is_granted, remaining from gov_consume('hold', 'tokens', 10, null, '{bot}');
select reservation_id as hold, is_granted, remaining from gov_reserve('hold', 'tokens', 0, null, '{bot}') \gset
select :'is_granted' as is_granted, :'remaining' as remaining;
select is_duplicate from gov_settle(:'hold', 0.5);
select helper.usage('hold', 'tokens', '{bot}');
-- to the last billionth
select is_duplicate from gov_ingest('hold', 'tokens', -0.500000002, null, '{bot}');
select is_granted, remaining from gov_reserve('hold', 'tokens', 0.0000000014, null, '{bot}');
select is_granted, remaining from gov_reserve('hold', 'tokens', 0.0000000015, null, '{bot}');
select is_granted, remaining, helper.show(chains) from gov_reserve('hold', 'tokens', 0.000000001, null, '{bot}');
select count(*) as wrong from gov_verify('hold');

-- Several at once, and a use beside them: remaining and retry_at as after gov_consume.
call helper.organisation('many');
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence)
values ('many', 'ann', 'tokens', 'year', 10, 'P100Y'),
       ('many', 'ann', 'tokens', 'era', 14, 'P200Y'),
       ('many', 'ann', 'tokens', 'ever', 20, null);
select amount, is_granted, denied_reason, remaining, retry_at, state, helper.show(chains)
from unnest('{5,3,4,2,1,11,15,21}'::numeric[]) as amount, gov_reserve('many', 'tokens', amount, null, '{ann}', 'many-' || amount);
select hold from helper.holds('many');
select is_granted, denied_reason, remaining from gov_consume('many', 'tokens', 1, null, '{ann}');
select is_duplicate from gov_reservations as r, gov_settle(r.id, 4) where r.owner_id = 'many' and r.idempotency_key = 'many-5';
select is_granted, denied_reason, remaining, helper.show(chains) from gov_consume('many', 'tokens', 1, null, '{ann}');
-- the limit of one raised, and lowered below what is held
update gov_assignments set usage_limit = 13 where owner_id = 'many' and name = 'year';
select is_granted, remaining, helper.show(chains) from gov_reserve('many', 'tokens', 3, null, '{ann}', 'last');
update gov_assignments set usage_limit = 7 where owner_id = 'many' and name = 'year';
select is_granted, denied_reason, remaining, retry_at, helper.show(chains) from gov_reserve('many', 'tokens', 0, null, '{ann}');
-- held past the limit is not usage over it
select name, trim_scale(current_usage) as current_usage, trim_scale(reserved_usage) as reserved_usage, trim_scale(remaining) as remaining, is_granted, is_over_limit
from gov_headroom('many', 'tokens', 0, null, '{ann}');
select gov_release(id) from gov_reservations where owner_id = 'many' and state = 'open' order by amount;
select helper.usage('many', 'tokens', '{ann}');
select count(*) as wrong from gov_verify('many');

-- Soft and unlimited budgets hold too, and never deny.
call helper.organisation('softly');
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence, enforcement)
values ('softly', 'cyd', 'tokens', 'soft', 3, 'P50Y', 'soft'),
       ('softly', 'ops', 'tokens', 'counted', null, 'P100Y', 'hard'),
       ('softly', 'acme', 'tokens', 'hard', 9, 'P100Y', 'hard');
select reservation_id as hold, is_granted, remaining, helper.show(chains) as show from gov_reserve('softly', 'tokens', 5, null, '{cyd}') \gset
select :'is_granted' as is_granted, :'remaining' as remaining, :'show' as show;
select is_granted, remaining, helper.show(chains) from gov_consume('softly', 'tokens', 4, null, '{cyd}');
select is_granted, denied_reason, remaining, helper.show(chains) from gov_reserve('softly', 'tokens', 0.5, null, '{cyd}');
select cardinality(assignment_ids) as budgets from gov_reservations where id = :'hold';
select is_duplicate from gov_settle(:'hold', 6);
select helper.usage('softly', 'tokens', '{cyd}');
-- without a hard one everything is granted and nothing remains to be told
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, enforcement)
values ('softly', 'gpt', 'tokens', 1, null, 'soft');
select is_granted, remaining, state, helper.show(chains) from gov_reserve('softly', 'tokens', 999999999999999999, null, '{gpt}');

-- Entities by dimensions, by id, by both; a scope; each budget once, however many chains reach it.
call helper.organisation('scoped');
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, usage_limit, cadence)
values ('scoped', 'acme', 'tokens', '{}', 100, 'P100Y'),
       ('scoped', 'eng', 'tokens', '{gpt}', 7, 'P100Y'),
       ('scoped', 'gpt', 'tokens', '{}', 40, 'P100Y');
select is_granted, remaining, helper.show(chains) from gov_reserve('scoped', 'tokens', 2, '{"model": "gpt", "requestId": 7}', '{ann,ben,cyd,ann}', 's');
select is_granted, denied_reason, remaining, helper.show(chains) from gov_reserve('scoped', 'tokens', 6, '{"model": "gpt"}', '{ben}');
select is_granted, remaining, helper.show(chains) from gov_reserve('scoped', 'tokens', 6, '{"model": "opus"}', '{ben}');
select entity_ids, dimensions, amount, cardinality(assignment_ids) as budgets from gov_reservations where owner_id = 'scoped' order by amount;
select is_duplicate from gov_reservations as r, gov_settle(r.id, 3) where r.owner_id = 'scoped' and r.idempotency_key = 's';
select entity_ids, dimensions, amount from gov_events where owner_id = 'scoped';
select helper.usage('scoped', 'tokens', '{ann,cyd}', '{"model": "gpt"}');
-- nothing governs it: a hold all the same, on no budget
select is_granted, denied_reason, remaining, reservation_id is not null as held, state, chains from gov_reserve('scoped', 'calls', 5, null, '{ann}', 'free');
select cardinality(assignment_ids) as budgets from gov_reservations where owner_id = 'scoped' and idempotency_key = 'free';
select is_duplicate from gov_reservations as r, gov_settle(r.id) where r.owner_id = 'scoped' and r.idempotency_key = 'free';
set governance.on_ungoverned = 'deny';
select is_granted, denied_reason, remaining, retry_at, reservation_id, state, chains from gov_reserve('scoped', 'calls', 5, null, '{ann}');
set governance.on_ungoverned = 'error';
select helper.outcome($$select gov_reserve('scoped', 'calls', 5, null, '{ann}')$$);
reset governance.on_ungoverned;
-- an owner that is none: nothing is governed
select is_granted, remaining, state, chains from gov_reserve('nobody', 'tokens', 5, '{"userId": "ann"}', '{ann}');
select count(*) as wrong from gov_verify();

-- The same key with the same call: the same hold, its state and end as they are now, the chains of now; nothing more is held.
call helper.organisation('keyed');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('keyed', 'acme', 'tokens', 10, 'P100Y');
select reservation_id as first, expires_at as first_end from gov_reserve('keyed', 'tokens', 6, '{"requestId": "r"}', '{ann}', 'k-1') \gset
select is_granted, denied_reason, remaining, retry_at, reservation_id = :'first' as same, expires_at = :'first_end' as same_end, is_duplicate, state, helper.show(chains)
from gov_reserve('keyed', 'tokens', 6.0, '{"requestId": "r"}', '{ann}', 'k-1');
-- the ttl is no part of the call, and a repeated one extends nothing
select reservation_id = :'first' as same, expires_at = :'first_end' as same_end, is_duplicate, state from gov_reserve('keyed', 'tokens', 6, '{"requestId": "r"}', '{ann}', 'k-1', '2 hours');
select gov_extend(:'first', '1 hour') as extended \gset
select reservation_id = :'first' as same, expires_at = :'extended' as extended, is_duplicate, state from gov_reserve('keyed', 'tokens', 6, '{"requestId": "r"}', '{ann}', 'k-1');
-- anything else under it is an error, and a use too
create table helper.keyed as select helper.state('keyed') as state;
select call, helper.outcome(call)
from unnest(array[
    $$select gov_reserve('keyed', 'tokens', 5, '{"requestId": "r"}', '{ann}', 'k-1')$$,
    $$select gov_reserve('keyed', 'tokens', 0, '{"requestId": "r"}', '{ann}', 'k-1')$$,
    $$select gov_reserve('keyed', 'calls', 6, '{"requestId": "r"}', '{ann}', 'k-1')$$,
    $$select gov_reserve('keyed', 'tokens', 6, '{"requestId": "s"}', '{ann}', 'k-1')$$,
    $$select gov_reserve('keyed', 'tokens', 6, null, '{ann}', 'k-1')$$,
    $$select gov_reserve('keyed', 'tokens', 6, '{"requestId": "r"}', '{ben}', 'k-1')$$,
    $$select gov_ingest('keyed', 'tokens', 6, '{"requestId": "r"}', '{ann}', 'k-1')$$,
    $$select gov_consume('keyed', 'tokens', 6, '{"requestId": "r"}', '{ann}', 'k-1')$$,
    $$select gov_consume('keyed', 'tokens', 99, '{"requestId": "r"}', '{ann}', 'k-1')$$,
    $$select gov_require('keyed', 'tokens', 6, '{"requestId": "r"}', '{ann}', 'k-1')$$,
    $$select gov_reserve('keyed', 'tokens', 6, '{"requestId": "r"}', '{ann}', 'k-1')$$
]) as call;
select error is not null as refused
from gov_ingest_many('keyed', '[{"capabilityId": "tokens", "amount": 6, "dimensions": {"requestId": "r"}, "entityIds": ["ann"], "idempotencyKey": "k-1"}]');
select helper.state('keyed') = state as same from helper.keyed;
-- a key of another owner is another key
select is_granted, is_duplicate from gov_reserve('nobody', 'tokens', 1, null, null, 'k-1');
-- keys of uses are none for holds
select is_duplicate from gov_ingest('keyed', 'tokens', 1, null, '{ann}', 'k-ingest');
select is_granted, is_duplicate from gov_consume('keyed', 'tokens', 1, null, '{ann}', 'k-consume');
select helper.outcome($$select gov_reserve('keyed', 'tokens', 1, null, '{ann}', 'k-ingest')$$) as ingest,
       helper.outcome($$select gov_reserve('keyed', 'tokens', 1, null, '{ann}', 'k-consume')$$) as consume,
       helper.outcome($$select gov_reserve('keyed', 'tokens', 99, null, '{ann}', 'k-consume')$$) as denied;
-- a denied call uses no key: it may come again, as it was or otherwise
select is_granted, is_duplicate from gov_reserve('keyed', 'tokens', 5, null, '{ann}', 'k-2');
select is_granted, is_duplicate from gov_reserve('keyed', 'tokens', 99, null, '{ann}', 'k-2');
select is_granted, is_duplicate from gov_reserve('keyed', 'tokens', 2, null, '{ann}', 'k-2');
select is_granted, is_duplicate, remaining from gov_reserve('keyed', 'tokens', 2, null, '{ann}', 'k-2');
select helper.outcome($$select gov_reserve('keyed', 'tokens', 5, null, '{ann}', 'k-2')$$);
-- a settled and a released hold keep their key: the same call gets the same hold, as it is now
select is_duplicate from gov_settle(:'first', 3);
select is_granted, denied_reason, reservation_id = :'first' as same, is_duplicate, state, helper.show(chains) from gov_reserve('keyed', 'tokens', 6, '{"requestId": "r"}', '{ann}', 'k-1');
select gov_release(id) from gov_reservations where owner_id = 'keyed' and idempotency_key = 'k-2';
select is_granted, is_duplicate, state, helper.show(chains) from gov_reserve('keyed', 'tokens', 2, null, '{ann}', 'k-2');
-- the event that settling wrote has none
select amount, idempotency_key from gov_events where owner_id = 'keyed' order by id;
select hold from helper.holds('keyed');
-- the budget and the entity go; the first result stays
call helper.roll_up();
delete from gov_assignments where owner_id = 'keyed';
delete from gov_entities where owner_id = 'keyed' and id = 'bot';
delete from gov_entities where owner_id = 'keyed' and id = 'ann';
set governance.on_ungoverned = 'error';
select is_granted, reservation_id = :'first' as same, is_duplicate, state, chains from gov_reserve('keyed', 'tokens', 6, '{"requestId": "r"}', '{ann}', 'k-1');
reset governance.on_ungoverned;

-- A rollback takes it back, also to a savepoint: the hold, its end, its key.
call helper.organisation('undone');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('undone', 'acme', 'tokens', 10, 'P100Y'),
       ('undone', 'ann', 'tokens', 6, null);
begin;
select is_granted, remaining from gov_reserve('undone', 'tokens', 4, null, '{ann}', 'u-1');
savepoint s;
select is_granted, remaining from gov_reserve('undone', 'tokens', 2, null, '{ann}', 'u-2');
select is_granted, denied_reason, remaining from gov_reserve('undone', 'tokens', 1, null, '{ann}');
rollback to s;
select is_granted, is_duplicate, remaining from gov_reserve('undone', 'tokens', 1.5, null, '{ann}', 'u-2');
rollback to s;
select is_granted, is_duplicate, remaining from gov_reserve('undone', 'tokens', 4, null, '{ann}', 'u-1');
rollback;
select helper.usage('undone', 'tokens', '{ann}'), (select count(*) from gov_reservations where owner_id = 'undone') as holds;
select reservation_id as hold from gov_reserve('undone', 'tokens', 4, null, '{ann}', 'u-1') \gset
-- settled for less, and its rest used, in one transaction
begin;
select is_duplicate from gov_settle(:'hold', 1);
select helper.usage('undone', 'tokens', '{ann}');
select is_granted, remaining from gov_consume('undone', 'tokens', 5, null, '{ann}');
select is_duplicate from gov_settle(:'hold', 2);
rollback;
select helper.usage('undone', 'tokens', '{ann}');
select hold from helper.holds('undone');
-- settled for more
begin;
select is_duplicate from gov_settle(:'hold', 5.5);
select helper.usage('undone', 'tokens', '{ann}');
rollback;
select helper.usage('undone', 'tokens', '{ann}');
-- released and used; released to a savepoint; settled to a savepoint, then otherwise
begin;
select gov_release(:'hold');
select is_granted, remaining from gov_reserve('undone', 'tokens', 6, null, '{ann}');
select helper.outcome(format('select gov_settle(%L)', :'hold')) as settle;
rollback;
select helper.usage('undone', 'tokens', '{ann}');
begin;
savepoint s;
select gov_release(:'hold');
select helper.usage('undone', 'tokens', '{ann}');
rollback to s;
select helper.usage('undone', 'tokens', '{ann}');
select gov_extend(:'hold', '3 hours') > clock_timestamp() + interval '2 hours' as extended;
rollback to s;
select is_duplicate from gov_settle(:'hold', 6);
rollback to s;
select helper.usage('undone', 'tokens', '{ann}');
select is_duplicate from gov_settle(:'hold', 2);
release s;
select helper.usage('undone', 'tokens', '{ann}');
commit;
select helper.usage('undone', 'tokens', '{ann}');
select hold from helper.holds('undone');
select expires_at < clock_timestamp() + interval '10 minutes' as not_extended from gov_reservations where id = :'hold';
-- taken and settled, and taken and released, in one transaction
begin;
select r.reservation_id as hold, s.is_duplicate from gov_reserve('undone', 'tokens', 3, null, '{ann}') as r, gov_settle(r.reservation_id, 1) as s \gset
select :'is_duplicate' as is_duplicate;
select gov_release(reservation_id) from gov_reserve('undone', 'tokens', 3, null, '{ann}');
select helper.usage('undone', 'tokens', '{ann}');
commit;
select helper.usage('undone', 'tokens', '{ann}');
-- many in one transaction, half of them in blocks that fail
do $$
declare
    hold uuid;
begin
    for i in 1..12 loop
        begin
            select reservation_id into hold from gov_reserve('undone', 'tokens', 1, null, '{cyd}');
            if i % 3 = 0 then
                perform gov_settle(hold, 0.5);
            end if;
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
select helper.usage('undone', 'tokens', '{cyd}');
select state, count(*), trim_scale(sum(settled_amount)) as settled from gov_reservations where owner_id = 'undone' group by state order by state;
select count(*) as wrong from gov_verify('undone');

-- A transaction's own changes of the catalog hold for it at once.
begin;
update gov_assignments set usage_limit = 12 where owner_id = 'undone' and entity_id = 'acme';
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('undone', 'bot', 'tokens', 2, 'P100Y');
select is_granted, denied_reason, remaining, helper.show(chains) from gov_reserve('undone', 'tokens', 2.5, null, '{bot}');
select reservation_id as hold, is_granted, remaining, helper.show(chains) as show from gov_reserve('undone', 'tokens', 2, null, '{bot}') \gset
select :'is_granted' as is_granted, :'remaining' as remaining, :'show' as show;
savepoint s;
select is_duplicate from gov_settle(:'hold', 1);
select helper.usage('undone', 'tokens', '{bot}');
rollback to s;
commit;
select helper.usage('undone', 'tokens', '{bot}');
select is_duplicate from gov_settle(:'hold', 1);
select helper.usage('undone', 'tokens', '{bot}');

-- What becomes of the catalog does not touch an open hold: it stays on its budgets, and settling is judged anew.
call helper.organisation('moved');
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence)
values ('moved', 'acme', 'tokens', '', 100, 'P100Y'),
       ('moved', 'eng', 'tokens', '', 20, 'P100Y'),
       ('moved', 'ops', 'tokens', '', 20, 'P100Y'),
       ('moved', 'bot', 'tokens', '', 9, 'P100Y');
select reservation_id as a from gov_reserve('moved', 'tokens', 1, null, '{bot}') \gset
select reservation_id as b from gov_reserve('moved', 'tokens', 2, null, '{bot}') \gset
select reservation_id as c from gov_reserve('moved', 'tokens', 4, null, '{bot}') \gset
-- archived: its budget is suspended, and its holds with it; they are there again when it is
update gov_entities set archived_at = '2026-01-01' where owner_id = 'moved' and id = 'bot';
select helper.usage('moved', 'tokens', '{bot}');
select is_duplicate from gov_settle(:'a');
update gov_entities set archived_at = null where owner_id = 'moved' and id = 'bot';
select helper.usage('moved', 'tokens', '{bot}');
-- moved: charged where it is now, off the budgets it was held on
update gov_entities set parent_id = 'ops' where owner_id = 'moved' and id = 'bot';
select helper.usage('moved', 'tokens', '{bot,eng}');
select is_duplicate from gov_settle(:'b', 3);
select helper.usage('moved', 'tokens', '{bot,eng}');
-- a budget that came later is charged, one that is gone is not
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence) values ('moved', 'bot', 'tokens', 'new', 9, 'P100Y');
delete from gov_assignments where owner_id = 'moved' and entity_id = 'eng';
select helper.usage('moved', 'tokens', '{bot,eng}');
-- usage starts afresh with another cadence, holds count on
update gov_assignments set cadence = 'P200Y' where owner_id = 'moved' and entity_id = 'bot' and name = '';
select helper.usage('moved', 'tokens', '{bot}');
select is_granted, denied_reason, remaining from gov_check('moved', 'tokens', 6, null, '{bot}');
update gov_assignments set anchor_at = '2001-02-01', timezone = 'Asia/Kolkata' where owner_id = 'moved' and entity_id = 'bot' and name = '';
select helper.usage('moved', 'tokens', '{bot}');
select gov_refresh() \gset
select helper.usage('moved', 'tokens', '{bot}');
select is_duplicate from gov_settle(:'c', 5);
select helper.usage('moved', 'tokens', '{bot,eng}');
select count(*) as wrong from gov_verify('moved');
-- the entity itself is gone: the use is recorded, and governed by nothing of it
select reservation_id as d from gov_reserve('moved', 'tokens', 1, null, '{ben}') \gset
delete from gov_entities where owner_id = 'moved' and id = 'ben';
select is_duplicate from gov_settle(:'d');
select helper.usage('moved', 'tokens', '{acme}');
select amount, entity_ids from gov_events where owner_id = 'moved' order by id;
select count(*) as wrong from gov_verify('moved');

-- The view: what is open, on which budgets, how old, and for how long.
call helper.organisation('seen');
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence)
values ('seen', 'acme', 'tokens', '{}', '', 100, 'P100Y'),
       ('seen', 'eng', 'tokens', '{gpt}', 'scoped', 20, null);
set governance.caller = 'gateway';
select reservation_id as seen from gov_reserve('seen', 'tokens', 2, '{"model": "gpt"}', '{ann}', 'seen', '10 minutes') \gset
reset governance.caller;
select gov_release(reservation_id) from gov_reserve('seen', 'tokens', 3, null, '{ann}');
select s.is_duplicate from gov_reserve('seen', 'tokens', 4, null, '{ann}') as r, gov_settle(r.reservation_id) as s;
select id = :'seen' as same, owner_id, capability_id, amount, entity_ids, dimensions, caller, idempotency_key, cardinality(assignment_ids) as budgets,
       age between interval '0' and interval '1 minute' as is_new, time_left between interval '9 minutes' and interval '10 minutes' as ten_minutes_left,
       expires_at - created_at between interval '9 minutes' and interval '11 minutes' as lives
from gov_holds
where owner_id = 'seen';
select budget ->> 'entityId' as entity, budget ->> 'scopeEntityIds' as scope, budget ->> 'name' as name, (budget ->> 'assignmentId')::uuid = any (h.assignment_ids) as is_one
from gov_holds as h, jsonb_array_elements(h.budgets) as budget
where h.owner_id = 'seen'
order by 1;
select gov_release(:'seen');
select count(*) as open from gov_holds where owner_id = 'seen';
-- nobody changes the table under it by hand
select helper.outcome($$update gov_reservations set amount = 0$$) as update,
       helper.outcome($$delete from gov_reservations$$) as delete,
       helper.outcome($$truncate gov_reservations$$) as truncate;
select caller from gov_reservations where owner_id = 'seen' and idempotency_key = 'seen';

-- Malformed calls change nothing.
call helper.organisation('bad');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('bad', 'ann', 'tokens', 100, 'P100Y');
select reservation_id as bad from gov_reserve('bad', 'tokens', 5, null, '{ann}') \gset
create table helper.bad as select helper.state('bad') as state;
select a.args, helper.outcome(format('select * from gov_reserve(%s)', a.args)) as reserve
from (values (1, $$null, 'tokens', 1$$),
             (2, $$'bad', null, 1$$),
             (3, $$'bad', 'tokens', null$$),
             (4, $$'bad', 'tokens', 1, null, '{ann,NULL}'$$),
             (5, $$'bad', 'tokens', 1, null, '{ann}', 'k', null$$),
             (6, $$'bad', 'no-such', 1$$),
             (7, $$'bad', 'tokens', -1, null, '{ann}'$$),
             (8, $$'bad', 'tokens', -0.000000001$$),
             (9, $$'bad', 'tokens', 'NaN'$$),
             (10, $$'bad', 'tokens', 'Infinity'$$),
             (11, $$'bad', 'tokens', 1e18$$),
             (12, $$'bad', 'tokens', 999999999999999999.9999999995$$),
             (13, $$'bad', 'tokens', 1, '[]'$$),
             (14, $$'bad', 'tokens', 1, '{"userId": {}}'$$),
             (15, $$'bad', 'tokens', 1, null, '{{ann,ben},{cyd,bot}}'$$),
             (16, $$'bad', 'tokens', 1, null, '{ann}', ''$$),
             (17, $$'bad', 'tokens', 1, null, '{ann}', repeat('k', 256)$$),
             (18, $$'bad', 'tokens', 1, null, '{ann}', e'k\n'$$),
             (19, $$'bad', 'tokens', 1, null, '{ann}', 'k', '0'$$),
             (20, $$'bad', 'tokens', 1, null, '{ann}', 'k', '-1 second'$$),
             (21, $$'bad', 'tokens', 1, null, '{ann}', 'k', '-1 day 1 hour'$$),
             (22, $$'bad', 'tokens', 1, null, '{ann}', 'k', '290000 years'$$),
             (23, $$'bad', 'tokens', 101, null, '{ann}', 'k', '-1 second'$$)) as a (n, args)
order by a.n;
select a.args, helper.outcome(format('select * from gov_settle(%s)', replace(a.args, 'HOLD', :'bad'))) as settle
from (values (1, $$null$$),
             (2, $$null, 1$$),
             (3, $$'00000000-0000-0000-0000-000000000000'$$),
             (4, $$'HOLD', -1$$),
             (5, $$'HOLD', -0.000000001$$),
             (6, $$'HOLD', 'NaN'$$),
             (7, $$'HOLD', '-Infinity'$$),
             (8, $$'HOLD', 1e18$$),
             (9, $$'HOLD', 999999999999999999.9999999995$$)) as a (n, args)
order by a.n;
select a.args, helper.outcome(format('select * from gov_extend(%s)', replace(a.args, 'HOLD', :'bad'))) as extend
from (values (1, $$null, '1 minute'$$),
             (2, $$'HOLD', null$$),
             (3, $$'00000000-0000-0000-0000-000000000000', '1 minute'$$),
             (4, $$'HOLD', '0'$$),
             (5, $$'HOLD', '-1 minute'$$),
             (6, $$'HOLD', '290000 years'$$)) as a (n, args)
order by a.n;
select helper.outcome('select gov_release(null)') as no_hold, helper.outcome($$select gov_release('00000000-0000-0000-0000-000000000000')$$) as unknown;
-- nothing is written where nothing may be
begin read only;
select helper.outcome($$select gov_reserve('bad', 'tokens', 1, null, '{ann}')$$) as reserve,
       helper.outcome($$select gov_reserve('bad', 'tokens', 101, null, '{ann}')$$) as denied,
       helper.outcome(format('select gov_settle(%L)', :'bad')) as settle,
       helper.outcome(format('select gov_release(%L)', :'bad')) as release,
       helper.outcome(format('select gov_extend(%L, ''1 minute'')', :'bad')) as extend;
rollback;
-- another owner's
set governance.owner = 'other';
select helper.outcome($$select gov_reserve('bad', 'tokens', 1, null, '{ann}')$$) as reserve,
       helper.outcome(format('select gov_settle(%L)', :'bad')) as settle,
       helper.outcome(format('select gov_release(%L)', :'bad')) as release,
       helper.outcome(format('select gov_extend(%L, ''1 minute'')', :'bad')) as extend;
reset governance.owner;
select helper.state('bad') = state as same from helper.bad;
-- its own may
set governance.owner = 'bad';
select gov_extend(:'bad', '1 minute') > clock_timestamp() as extended;
select is_duplicate from gov_settle(:'bad');
reset governance.owner;

-- At the ends of the numbers: what is held adds up, and overflows into nothing.
call helper.organisation('huge');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('huge', 'ann', 'tokens', null, null);
select n, is_granted, helper.show(chains) from generate_series(1, 3) as n, gov_reserve('huge', 'tokens', 999999999999999999.999999999, null, '{ann}', n::text);
select gov_release(id) from gov_reservations where owner_id = 'huge' order by idempotency_key limit 2;
select is_duplicate from gov_reservations as r, gov_settle(r.id, 999999999999999999.999999999) where r.owner_id = 'huge' and r.state = 'open';
select helper.usage('huge', 'tokens', '{ann}');

-- A hold past its time counts for nobody, also where the same transaction has locked it twice, in a part of its own.
call helper.organisation('locked');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('locked', 'ann', 'tokens', 20, null);
begin;
select is_granted from gov_reserve('locked', 'tokens', 12, null, '{ann}', null, '1 microsecond');
select count(*) from (select from gov_reservations where owner_id = 'locked' for share) as l;
savepoint s;
select count(*) from (select from gov_reservations where owner_id = 'locked' for update) as l;
select is_granted, remaining from gov_check('locked', 'tokens', 10, null, '{ann}');
rollback;

-- Rolled up, or with nothing cached, the answers are the same.
select is_granted, helper.show(chains) from gov_reserve('huge', 'tokens', 1, null, '{ann}');
call helper.roll_up();
select helper.usage('huge', 'tokens', '{ann}');
select gov_refresh() \gset
select helper.usage('huge', 'tokens', '{ann}'), helper.usage('softly', 'tokens', '{cyd,gpt}'), helper.usage('undone', 'tokens', '{bot}');
select count(*) as wrong from gov_verify();
-- an owner goes with its holds
select gov_delete_owner(id) from unnest('{hold,many,softly,scoped,nobody,keyed,undone,moved,seen,bad,huge,locked}'::text[]) as owner (id);
select count(*) as holds from gov_reservations;
