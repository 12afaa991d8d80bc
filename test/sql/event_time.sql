-- occurred_at: which window an event falls into.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('times');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, anchor_at, timezone)
values ('times', 'bot', 'tokens', 100, 'P1M', null, 'UTC'),
       ('times', 'ann', 'tokens', 200, 'P100Y', null, 'UTC'),
       ('times', 'eng', 'tokens', 300, 'P1D', null, 'America/New_York'),
       ('times', 'acme', 'tokens', 400, null, null, 'UTC');

-- Without it an event happens now; up to five minutes ahead of the clock it counts and is stored as now.
select is_duplicate from gov_ingest('times', 'tokens', 1, entity_ids => '{bot}');
select is_duplicate from gov_ingest('times', 'tokens', 2, entity_ids => '{bot}', occurred_at => clock_timestamp() + interval '4 minutes 50 seconds');
select amount, occurred_at = recorded_at as at_once, occurred_at <= clock_timestamp() as not_ahead from gov_events where owner_id = 'times' order by id;
select helper.outcome($$select gov_ingest('times', 'tokens', 4, entity_ids => '{bot}', occurred_at => clock_timestamp() + interval '5 minutes 10 seconds')$$) as too_far,
       helper.outcome($$select gov_ingest('times', 'tokens', 4, entity_ids => '{bot}', occurred_at => 'infinity')$$) as never,
       helper.outcome($$select gov_ingest('times', 'tokens', 4, entity_ids => '{bot}', occurred_at => '-infinity')$$) as always;
select helper.usage('times', 'tokens', '{bot}');

-- One of an earlier window goes to the history of that window; budgets whose window still runs count it now.
select event_id as late_id from gov_ingest('times', 'tokens', 10, entity_ids => '{bot}', occurred_at => '2005-07-01 03:00Z') \gset
select helper.usage('times', 'tokens', '{bot}');
select e.occurred_at, e.occurred_at < e.recorded_at as late from gov_events as e where e.id = :late_id;
-- 03:00 in UTC was still June in New York
select a.entity_id, c.window_start, c.window_end
from gov_events as e,
     unnest(e.counter_ids, e.window_starts, e.window_ends) as c (counter_id, window_start, window_end),
     gov_assignments as a
where e.id = :late_id
  and a.counter_id = c.counter_id
order by a.entity_id;
select is_duplicate from gov_ingest('times', 'tokens', 20, entity_ids => '{bot}', occurred_at => '2005-07-31 23:59:59.999999Z');
select is_duplicate from gov_ingest('times', 'tokens', 40, entity_ids => '{bot}', occurred_at => '2005-08-01 00:00Z');
-- the last microsecond before ann's window is history for her, the first of it is not
select is_duplicate from gov_ingest('times', 'tokens', 5, entity_ids => '{bot}', occurred_at => '2000-12-31 23:59:59.999999Z');
select is_duplicate from gov_ingest('times', 'tokens', 6, entity_ids => '{bot}', occurred_at => '2001-01-01 00:00Z');
select helper.usage('times', 'tokens', '{bot}');
-- a correction of what was late corrects its own window
select is_duplicate from gov_ingest('times', 'tokens', -4, entity_ids => '{bot}', occurred_at => '2005-07-15 12:00Z');
select helper.usage('times', 'tokens', '{bot}');
select is_granted, remaining from gov_check('times', 'tokens', 97, entity_ids => '{bot}');
-- more in an earlier window than its limit denies nothing now
select is_duplicate from gov_ingest('times', 'tokens', 101, entity_ids => '{bot}', occurred_at => '2010-02-28 12:00Z');
select is_granted, remaining, helper.show(chains) from gov_check('times', 'tokens', 24, entity_ids => '{bot}');

-- A budget counts late events that are recorded after its creation, in their window.
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence)
values ('times', 'bot', 'tokens', 'yearly', 500, 'P1Y');
select is_duplicate from gov_ingest('times', 'tokens', 7, entity_ids => '{bot}', occurred_at => '2010-12-31 23:00Z');
select helper.usage('times', 'tokens', '{bot}');

-- An earlier window stays in gov_usage, exact, before and after each round.
call helper.roll_up();
select a.entity_id, a.name, u.window_start, u.window_end, trim_scale(u.amount) as amount, u.event_count
from gov_usage as u
join gov_assignments as a on a.id = u.assignment_id
where u.owner_id = 'times'
  and u.window_end < now()
order by a.entity_id, a.name, u.window_start;
-- attribution is by the hour of the event
select entity_id, hour, trim_scale(amount) as amount, event_count from gov_usage_hourly where owner_id = 'times' and hour < '2006-01-01' and entity_id in ('bot', 'acme') order by entity_id, hour;
select is_duplicate from gov_ingest('times', 'tokens', 9, entity_ids => '{bot}', occurred_at => '2010-02-01 00:00Z');
call helper.roll_up();
select trim_scale(u.amount) as amount, u.event_count
from gov_usage as u
join gov_assignments as a on a.id = u.assignment_id
where u.owner_id = 'times' and a.entity_id = 'bot' and a.name = '' and u.window_start = '2010-02-01 00:00Z';
select helper.usage('times', 'tokens', '{bot}');

-- The windows of a call that is not late are those of gov_window.
select h.entity_id, h.usage_period_start is not distinct from w.window_start as starts, h.usage_period_end is not distinct from w.window_end as ends
from gov_headroom('times', 'tokens', 0, entity_ids => '{bot}') as h
join gov_assignments as a on a.owner_id = 'times' and a.entity_id = h.entity_id and a.capability_id = 'tokens' and a.name = h.name,
     gov_window(a.cadence, a.anchor_at, a.timezone, now()) as w
order by h.entity_id, h.name;

-- A rolled-back late event leaves its window as it was.
begin;
select is_duplicate from gov_ingest('times', 'tokens', 1000, entity_ids => '{bot}', occurred_at => '2010-02-02 00:00Z');
select helper.usage('times', 'tokens', '{bot}');
rollback;
select helper.usage('times', 'tokens', '{bot}');
select gov_refresh() \gset
select helper.usage('times', 'tokens', '{bot}');
select count(*) as wrong from gov_verify('times');
select gov_delete_owner('times');
