-- gov_ingest: what it records and what it counts.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('ingest');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('ingest', 'acme', 'tokens', 100, 'P100Y'),
       ('ingest', 'eng', 'tokens', 50, 'P50Y'),
       ('ingest', 'bot', 'tokens', 10, null),
       ('ingest', 'ops', 'tokens', 40, 'P100Y');

-- One event, one row, every budget of its set at once.
select event_id, is_duplicate from gov_ingest('ingest', 'tokens', 4, '{"requestId": "r-1", "modelId": "gpt", "cost": 0.10, "cached": false}', '{bot}') \gset
select :'is_duplicate' as is_duplicate;
select owner_id, capability_id, amount, entity_ids, dimensions, idempotency_key
from gov_events
where id = :event_id;
select helper.usage('ingest', 'tokens', '{bot}');
-- it says what it was charged to: three counters with their windows
select a.entity_id, c.window_start, c.window_end
from gov_events as e,
     unnest(e.counter_ids, e.window_starts, e.window_ends) as c (counter_id, window_start, window_end),
     gov_assignments as a
where e.id = :event_id
  and a.counter_id = c.counter_id
order by a.entity_id;
-- without occurred_at it happened at the call, by the server's clock
select occurred_at = recorded_at as at_once, recorded_at between now() - interval '1 minute' and clock_timestamp() as just_now
from gov_events
where id = :event_id;

-- The amount is 1 unless it is given; ids rise.
select event_id as next_event_id from gov_ingest('ingest', 'tokens', entity_ids => '{bot}') \gset
select :next_event_id > :event_id as later, amount, dimensions from gov_events where id = :next_event_id;
select helper.usage('ingest', 'tokens', '{bot}');

-- It never gates: use past a limit is recorded and counted.
select is_duplicate from gov_ingest('ingest', 'tokens', 46, entity_ids => '{bot}');
select helper.usage('ingest', 'tokens', '{bot}');
select is_granted, denied_reason, remaining from gov_check('ingest', 'tokens', 1, entity_ids => '{bot}');

-- A negative amount corrects, below zero too.
select is_duplicate from gov_ingest('ingest', 'tokens', -1, entity_ids => '{ann}');
select helper.usage('ingest', 'tokens', '{bot}');
select is_duplicate from gov_ingest('ingest', 'tokens', -60.5, entity_ids => '{bot}');
select is_granted, remaining, helper.show(chains) from gov_check('ingest', 'tokens', 19.5, entity_ids => '{bot}');

-- An amount of 0 is recorded and moves nothing.
select is_duplicate from gov_ingest('ingest', 'tokens', 0, entity_ids => '{bot}');
select amount from gov_events where owner_id = 'ingest' order by id desc limit 1;
select helper.usage('ingest', 'tokens', '{bot}');

-- Two chains to one budget: it counts once.
select is_duplicate from gov_ingest('ingest', 'tokens', 10.5, entity_ids => '{cyd,ben,cyd,eng}');
select entity_ids, array_length(counter_ids, 1) as budgets from gov_events where owner_id = 'ingest' order by id desc limit 1;
select helper.usage('ingest', 'tokens', '{bot,ops}');

-- What resolves to nothing is recorded, for attribution; ids that are no entity are not.
select is_duplicate from gov_ingest('ingest', 'tokens', 3, '{"requestId": "r-2", "userId": "nobody", "teamId": null}', '{nobody,gpt}');
select entity_ids, dimensions, counter_ids, window_starts, window_ends from gov_events where owner_id = 'ingest' order by id desc limit 1;
select is_duplicate from gov_ingest('ingest', 'tokens', 3);
select entity_ids, dimensions, counter_ids from gov_events where owner_id = 'ingest' order by id desc limit 1;

-- Who called: the setting, or else the application's name.
select caller = current_setting('application_name') as same from gov_events where owner_id = 'ingest' order by id desc limit 1;
set governance.caller = 'billing';
select is_duplicate from gov_ingest('ingest', 'calls', 1);
select caller from gov_events where owner_id = 'ingest' order by id desc limit 1;
reset governance.caller;
set application_name = 'gateway-7';
select is_duplicate from gov_ingest('ingest', 'calls', 1);
select caller from gov_events where owner_id = 'ingest' order by id desc limit 1;
reset application_name;

-- A budget counts what is recorded after its creation: nothing of what the same entity used before, though its window had begun.
select is_duplicate from gov_ingest('ingest', 'calls', 5, entity_ids => '{bot}');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('ingest', 'bot', 'calls', 10, 'P100Y');
select helper.usage('ingest', 'calls', '{bot}');
select is_duplicate from gov_ingest('ingest', 'calls', 2, entity_ids => '{bot}');
select helper.usage('ingest', 'calls', '{bot}');
-- capabilities are counted apart
select helper.usage('ingest', 'tokens', '{bot}');

-- An archived entity stays in the event; its own budgets do not count it.
update gov_entities set archived_at = '2026-01-01' where owner_id = 'ingest' and id = 'eng';
select is_duplicate from gov_ingest('ingest', 'tokens', 6, entity_ids => '{ben}');
select e.entity_ids, (select array_agg(a.entity_id) from gov_assignments as a where a.counter_id = any (e.counter_ids)) as charged
from gov_events as e
where e.owner_id = 'ingest'
order by e.id desc
limit 1;
update gov_entities set archived_at = null where owner_id = 'ingest' and id = 'eng';
select helper.usage('ingest', 'tokens', '{ben}');

-- The ledger is append-only for everyone.
select helper.outcome($$update gov_events set amount = 0 where owner_id = 'ingest'$$) as change,
       helper.outcome($$delete from gov_events where owner_id = 'ingest'$$) as remove,
       helper.outcome('truncate gov_events') as clear;

-- A column that somebody has added stays null; one that was dropped again is no hindrance.
begin;
alter table gov_events add column note text;
select is_duplicate from gov_ingest('ingest', 'tokens', 1, entity_ids => '{gpt}', idempotency_key => 'wider');
select amount, note from gov_events where owner_id = 'ingest' order by id desc limit 1;
alter table gov_events drop column note;
select is_duplicate from gov_ingest('ingest', 'tokens', 1, entity_ids => '{gpt}');
select is_duplicate from gov_ingest('ingest', 'tokens', 1, entity_ids => '{gpt}', idempotency_key => 'wider');
rollback;

-- Rolled up, the counts are the same, and the tables say what the engine says.
call helper.roll_up();
select helper.usage('ingest', 'tokens', '{bot,ops}');
select a.entity_id, a.capability_id, u.window_start, u.window_end, trim_scale(u.amount) as amount, u.event_count
from gov_usage as u
join gov_assignments as a on a.id = u.assignment_id
where u.owner_id = 'ingest'
order by a.capability_id, a.entity_id;
-- an event counts once for every entity it resolved to and every ancestor of those, and under '' when it resolved to nothing
select h.entity_id, h.capability_id, trim_scale(sum(h.amount)) as amount, sum(h.event_count) as events, bool_and(h.hour = date_trunc('hour', h.hour)) as hourly
from gov_usage_hourly as h
where h.owner_id = 'ingest'
group by h.entity_id, h.capability_id
order by h.capability_id, h.entity_id;
-- with nothing cached it is the same again
select gov_refresh() \gset
select helper.usage('ingest', 'tokens', '{bot,ops}');
select is_duplicate from gov_ingest('ingest', 'tokens', 1, entity_ids => '{bot}');
select helper.usage('ingest', 'tokens', '{bot}');
select count(*) as wrong from gov_verify('ingest');
select gov_delete_owner('ingest');
select (select count(*) from gov_events where owner_id = 'ingest')
     + (select count(*) from gov_usage where owner_id = 'ingest')
     + (select count(*) from gov_usage_hourly where owner_id = 'ingest') as left_over;

-- The longest ids: 255 characters of four bytes that do not compress, more than an index can hold of three together. They are
-- recorded, and what is recorded can be rolled up.
create function helper.long_id(seed text) returns text
language sql
as $$
    select string_agg(chr(65536 + ('x' || left(md5(seed || n), 5))::bit(20)::int), '' order by n)
    from generate_series(1, 255) as n
$$;
select helper.long_id('owner') as owner, helper.long_id('capability') as capability, helper.long_id('entity') as entity \gset
select length(:'owner') as characters, octet_length(:'owner') as bytes;
insert into gov_capabilities (id) values (:'capability');
insert into gov_entities (owner_id, id, type_id, parent_id) values (:'owner', 'root', 'org', null), (:'owner', :'entity', 'user', 'root');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values (:'owner', 'root', :'capability', 10, 'P100Y');
select is_duplicate from gov_ingest(:'owner', :'capability', 2, null, array[:'entity'], :'entity');
select is_duplicate from gov_ingest(:'owner', :'capability', 2, null, array[:'entity'], :'entity');
select is_duplicate from gov_ingest(:'owner', :'capability', 3, jsonb_build_object('userId', :'entity'));
call helper.roll_up();
select is_duplicate from gov_ingest(:'owner', :'capability', 1, null, array[:'entity']);
call helper.roll_up();
select gov_refresh() \gset
select is_granted, remaining from gov_check(:'owner', :'capability', 4, null, array[:'entity']);
select h.entity_id = :'entity' as is_longest, trim_scale(sum(h.amount)) as amount, sum(h.event_count) as events from gov_usage_hourly as h where h.owner_id = :'owner' group by 1 order by 1;
select count(*) as wrong from gov_verify();
select gov_delete_owner(:'owner');
delete from gov_capabilities where id = :'capability';
