-- gov_reverse: what is given back of an event, to whom and where, and what is refused.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('rev');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('rev', 'acme', 'tokens', 1000, 'P100Y'),
       ('rev', 'eng', 'tokens', 100, 'P50Y'),
       ('rev', 'ops', 'tokens', 100, 'P50Y'),
       ('rev', 'bot', 'tokens', 50, null);
create function helper.event(id bigint) returns table (amount numeric, entity_ids text[], dimensions jsonb, counters int, reverses_it boolean, same_time boolean)
language sql
as $$
    select trim_scale(r.amount), r.entity_ids, r.dimensions, cardinality(r.counter_ids), r.reverses = e.id, r.occurred_at = e.occurred_at
    from gov_events r
    left join gov_events e on e.id = r.reverses
    where r.id = $1
$$;

-- What a statement raises, without ids.
create function helper.refusal(statement text, out message text, out detail text, out hint text)
language plpgsql
as $$
begin
    execute statement;
exception
    when others then
        get stacked diagnostics message = message_text, detail = pg_exception_detail, hint = pg_exception_hint;
        message := regexp_replace(message, 'event -?[0-9]+', 'event N');
        hint := regexp_replace(hint, 'reverses = [0-9]+', 'reverses = N');
end
$$;

-- A refund after the user moved to another team goes to the team that was charged.
select event_id as use from gov_ingest('rev', 'tokens', 30, '{"requestId": "r-1"}', '{bot}') \gset
select helper.usage('rev', 'tokens', '{bot,ops}');
select gov_move_entity('rev', 'ann', 'ops');
select event_id as part, is_duplicate from gov_reverse(:use, 10) \gset
select :'is_duplicate' as is_duplicate;
select * from helper.event(:part);
select helper.usage('rev', 'tokens', '{bot,eng}');
-- the windows that the event was charged to
select r.counter_ids = e.counter_ids and r.window_starts = e.window_starts and r.window_ends = e.window_ends as same_windows,
       r.recorded_at > e.recorded_at as later, r.caller = current_setting('application_name') as by_me
from gov_events r join gov_events e on e.id = r.reverses
where r.id = :part;
select id = :part as is_it, reverses = :use as names_it from gov_event_log where reverses is not null and owner_id = 'rev';

-- Never more than is left; without an amount it is what is left.
select gov_reverse(:use, 20.000000001);
select helper.refusal(format('select gov_reverse(%s, 21)', :use));
select event_id as rest from gov_reverse(:use) \gset
select * from helper.event(:rest);
select helper.usage('rev', 'tokens', '{bot,eng}');
select helper.refusal(format('select gov_reverse(%s)', :use));
select gov_reverse(:use, 0.000000001);

-- A budget that has counted the use again gets it back as well, though it was never charged.
select event_id as use from gov_ingest('rev', 'tokens', 8, null, '{bot}') \gset
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence)
values ('rev', 'ann', 'tokens', 'again', 100, 'P50Y'),
       ('rev', 'acme', 'tokens', 'of all', 100, null);
select usage from gov_recount((select id from gov_assignments where owner_id = 'rev' and name = 'again'));
select usage from gov_recount((select id from gov_assignments where owner_id = 'rev' and name = 'of all'), by => 'tree');
select count(gov_reverse(:use, 5));
select name, trim_scale(current_usage) as used from gov_budgets where owner_id = 'rev' and name <> '' order by name;
select * from gov_verify('rev');
select usage from gov_recount((select id from gov_assignments where owner_id = 'rev' and name = 'again'));
select count(gov_reverse(:use));
select name, trim_scale(current_usage) as used from gov_budgets where owner_id = 'rev' and name <> '' order by name;
select * from gov_verify('rev');
delete from gov_assignments where owner_id = 'rev' and name <> '';

-- What cannot be reversed.
select helper.refusal(format('select gov_reverse(%s)', :rest));
select event_id as correction from gov_ingest('rev', 'tokens', -5, null, '{bot}') \gset
select helper.refusal(format('select gov_reverse(%s)', :correction));
select event_id as nothing from gov_ingest('rev', 'tokens', 0, null, '{bot}') \gset
select gov_reverse(:nothing);
select gov_reverse(null);
select helper.refusal('select gov_reverse(0)');
select gov_reverse(-1);
select gov_reverse(9223372036854775807);
select event_id as use from gov_ingest('rev', 'tokens', 30, null, '{bot}') \gset
select gov_reverse(:use, 0);
select gov_reverse(:use, -1);
select gov_reverse(:use, 1e-10);
select gov_reverse(:use, 'NaN');
select gov_reverse(:use, 'Infinity');
select gov_reverse(:use, 1e18);
select gov_reverse(:use, 1, '');
select gov_reverse(:use, 1, e'a\nb');
select gov_reverse(:use, 1, repeat('x', 256));
begin read only;
select gov_reverse(:use);
rollback;

-- A refund that was recorded twice under one key counts once; the key is one of the owner's.
select event_id as first, is_duplicate from gov_reverse(:use, 10, 'refund-1') \gset
select :'is_duplicate' as is_duplicate;
select event_id = :first as same, is_duplicate from gov_reverse(:use, 10, 'refund-1');
select event_id = :first as same, is_duplicate from gov_reverse(:use, 10.0, 'refund-1');
select gov_reverse(:use, 11, 'refund-1');
select gov_reverse(:use, null, 'refund-1');
select gov_reverse(:use, 9, 'refund-1');
select gov_ingest('rev', 'tokens', 10, null, '{bot}', 'refund-1');
select gov_reserve('rev', 'tokens', 10, null, '{bot}', 'refund-1');
select event_id > :first as other, is_duplicate from gov_reverse(:use, null, 'refund-2');
select is_duplicate from gov_reverse(:use, null, 'refund-2');
select gov_reverse(:use, null, 'refund-3');
select event_id as keyed from gov_ingest('rev', 'tokens', 10, null, '{bot}', 'use-1') \gset
select gov_reverse(:keyed, null, 'use-1');
select helper.usage('rev', 'tokens', '{bot}');
select is_duplicate from gov_reverse(:keyed);

-- A use that was denied has no event; one that was consumed, required or settled has.
select event_id as use from gov_consume('rev', 'tokens', 7, null, '{bot}') \gset
select is_duplicate from gov_reverse(:use);
select is_duplicate from gov_reverse(gov_require('rev', 'tokens', 7, null, '{bot}'));
select reservation_id as hold from gov_reserve('rev', 'tokens', 7, null, '{bot}') \gset
select event_id as settled from gov_settle(:'hold', 9) \gset
select is_duplicate from gov_reverse(:settled, 4);
select gov_reverse(:settled, 6);
select helper.usage('rev', 'tokens', '{bot}');
select is_duplicate from gov_reverse(:settled);

-- At the limit: what is given back can be used again, in the same transaction too.
select event_id as use from gov_consume('rev', 'tokens', 55, null, '{bot}') \gset
select is_granted, remaining from gov_consume('rev', 'tokens', 1, null, '{bot}');
begin;
select is_duplicate from gov_reverse(:use, 5);
select is_granted, remaining from gov_consume('rev', 'tokens', 5, null, '{bot}');
savepoint s;
select is_duplicate from gov_reverse(:use, 5);
select is_granted, remaining from gov_check('rev', 'tokens', 5, null, '{bot}');
rollback to s;
select is_granted, remaining from gov_check('rev', 'tokens', 5, null, '{bot}');
rollback;
select is_granted, remaining from gov_consume('rev', 'tokens', 1, null, '{bot}');
select is_duplicate from gov_reverse(:use, 50);
select helper.usage('rev', 'tokens', '{bot}');

-- An event of an earlier window gives back there; the present one stays as it is. It is as old as the event.
update gov_assignments set cadence = 'P1D' where owner_id = 'rev' and entity_id = 'ops';
select event_id as late from gov_ingest('rev', 'tokens', 12, null, '{cyd}', null, gov_now() - interval '40 days') \gset
select is_duplicate from gov_ingest('rev', 'tokens', 20, null, '{cyd}');
select is_duplicate from gov_reverse(:late, 5);
select entity_id, current_usage from gov_headroom('rev', 'tokens', 0, null, '{cyd}');
select group_key, amount, event_count
from gov_attribution('rev', 'tokens', '{user}', gov_now() - interval '41 days', gov_now() - interval '39 days');

-- Budgets that are gone or count afresh get nothing back; those that are there do. A budget that is made again is another one.
select event_id as use from gov_ingest('rev', 'tokens', 8, null, '{bot}') \gset
select helper.usage('rev', 'tokens', '{bot}');
update gov_assignments set cadence = 'P1Y' where owner_id = 'rev' and entity_id = 'acme';
delete from gov_assignments where owner_id = 'rev' and entity_id = 'ops';
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('rev', 'ops', 'tokens', 100);
select event_id as back from gov_reverse(:use, 3) \gset
select * from helper.event(:back);
select helper.usage('rev', 'tokens', '{bot}');
-- also where the same transaction has changed them
begin;
select event_id as use from gov_ingest('rev', 'tokens', 5, null, '{bot}') \gset
update gov_assignments set cadence = 'P1M' where owner_id = 'rev' and entity_id = 'ops';
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('rev', 'ann', 'tokens', 77);
select event_id as second from gov_ingest('rev', 'tokens', 6, null, '{bot}') \gset
select event_id as back from gov_reverse(:use, 2) \gset
select * from helper.event(:back);
select event_id as back from gov_reverse(:second, 4) \gset
select * from helper.event(:back);
select helper.usage('rev', 'tokens', '{bot}');
commit;
select helper.usage('rev', 'tokens', '{bot}');
-- an archived entity's budgets get it back
select event_id as use from gov_ingest('rev', 'tokens', 5, null, '{bot}') \gset
select gov_archive_entities('rev', '{ann}');
select is_duplicate from gov_reverse(:use);
select gov_unarchive_entities('rev', '{ann}');
select helper.usage('rev', 'tokens', '{bot}');
-- entities that are gone: the event keeps their ids
insert into gov_entities (owner_id, id, type_id, parent_id) values ('rev', 'tmp', 'agent', 'ben');
select event_id as use from gov_ingest('rev', 'tokens', 5, null, '{tmp}') \gset
delete from gov_entities where owner_id = 'rev' and id = 'tmp';
select event_id as back from gov_reverse(:use) \gset
select * from helper.event(:back);
select helper.usage('rev', 'tokens', '{ben}');
-- a use that nothing governed
select event_id as use from gov_ingest('rev', 'calls', 5, '{"requestId": "r-9"}') \gset
select event_id as back from gov_reverse(:use) \gset
select * from helper.event(:back);

-- No alert is raised by what is given back, and none is raised again.
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, alert_thresholds) values ('rev', 'ben', 'calls', 10, '{50,100}');
select event_id as use from gov_ingest('rev', 'calls', 10, null, '{ben}') \gset
select threshold, usage from gov_alerts where owner_id = 'rev' order by threshold;
select is_duplicate from gov_reverse(:use, 8);
select is_duplicate from gov_ingest('rev', 'calls', 8, null, '{ben}');
select count(*) from gov_alerts where owner_id = 'rev';

-- A session that is pinned to another owner does not find the event.
select is_duplicate from gov_reverse(:use);
set governance.owner = 'other';
select gov_reverse(:use);
reset governance.owner;
set governance.owner = '';

-- Counts equal the ledger, before and after it is rolled up.
select * from gov_verify('rev');
call helper.roll_up();
select trim_scale(sum(amount)) as of_that_day, sum(event_count) as events
from gov_usage_sums(date_trunc('day', gov_now()) - interval '41 days', date_trunc('day', gov_now()) - interval '38 days', owner_ids => '{rev}')
where entity_id = 'cyd';
select * from gov_verify('rev');
select helper.usage('rev', 'tokens', '{bot}');
select is_duplicate from gov_reverse(:late, 1);
select * from gov_verify('rev');

-- A replay: what is given back of a use that would have been denied was never used.
call helper.organisation('revback');
select event_id as use from gov_ingest('revback', 'tokens', 50, null, '{eng}') \gset
select event_id as large from gov_ingest('revback', 'tokens', 80, null, '{eng}') \gset
select is_duplicate from gov_ingest('revback', 'tokens', 40, null, '{eng}');
select is_duplicate from gov_ingest('revback', 'tokens', 15, null, '{eng}');
select denied_count, denied_amount from gov_backtest('revback', '[{"entityId": "eng", "capabilityId": "tokens", "usageLimit": 100, "cadence": null}]', '-infinity', 'infinity');
select is_duplicate from gov_reverse(:large);
select denied_count, denied_amount from gov_backtest('revback', '[{"entityId": "eng", "capabilityId": "tokens", "usageLimit": 100, "cadence": null}]', '-infinity', 'infinity');
select is_duplicate from gov_reverse(:use, 10);
select denied_count, denied_amount from gov_backtest('revback', '[{"entityId": "eng", "capabilityId": "tokens", "usageLimit": 100, "cadence": null}]', '-infinity', 'infinity');

select gov_delete_owner('rev'), gov_delete_owner('revback');
select count(*) from gov_events where owner_id in ('rev', 'revback');
drop schema helper cascade;
