-- Alerts and denials of windows that slide: once in each of the windows of a cadence that follow one another, whether a commit finds them or
-- the rollup. The clock is stopped, in the future of the worker's.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql

-- Stop the clock at so many seconds after a moment.
create function helper.at(seconds numeric) returns void
language sql
as $$
    select set_config('governance.fault_clock', (extract(epoch from timestamptz '2036-03-28 00:00Z' - timestamptz '2000-01-01 00:00Z') * 1000000 + seconds * 1000000)::bigint::text, false)
$$;

-- The alerts that there are: of which window, as seconds after that moment, and of what.
create function helper.alerts(out name text, out window_start int, out threshold numeric, out usage numeric, out usage_limit numeric, out use numeric)
returns setof record
language sql
as $$
    select a.name, extract(epoch from l.window_start - timestamptz '2036-03-28 00:00Z')::int, l.threshold, l.usage, l.usage_limit, trim_scale(e.amount)
    from gov_alerts l
    join gov_assignments a on a.id = l.assignment_id
    left join gov_events e on e.id = l.event_id
    where l.owner_id = 'sla'
    order by 1, 2, 3
$$;

-- Wait until so many denials are written.
create procedure helper.await_denials(owner text, wanted bigint)
language plpgsql
as $$
begin
    loop
        exit when (select coalesce(sum(denied_count), 0) from gov_denials where owner_id = owner) >= wanted;
        perform pg_sleep(0.02);
        commit;
    end loop;
end
$$;
\set ECHO all
call helper.organisation('sla');
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence, window_kind, alert_thresholds)
values ('sla', 'ann', 'tokens', 'minute', 10, 'PT1M', 'sliding', '{50,100}'), ('sla', 'ann', 'tokens', 'hour', 1000, 'PT1H', 'sliding', '{1}');

select helper.at(0);
select is_granted from gov_consume('sla', 'tokens', 4, null, '{ann}');
select * from helper.alerts();
select is_granted from gov_consume('sla', 'tokens', 1.5, null, '{ann}');
select * from helper.alerts();
select helper.at(30);
select is_granted from gov_consume('sla', 'tokens', 4.5, null, '{ann}');
select * from helper.alerts();
-- what is rolled back raises none
select helper.at(45);
update gov_assignments set alert_thresholds = '{50,100,110}' where owner_id = 'sla' and name = 'minute';
begin;
select is_duplicate from gov_ingest('sla', 'tokens', 2, null, '{ann}');
rollback;
select * from helper.alerts() where threshold > 100;

-- The next minute begins with what is left of the one before: its first use raises what is reached, and the others nothing.
select helper.at(61);
select is_granted from gov_consume('sla', 'tokens', 1, null, '{ann}');
select is_granted from gov_consume('sla', 'tokens', 1, null, '{ann}');
select helper.at(95);
select current_usage from gov_headroom('sla', 'tokens', 0, null, '{ann}') where name = 'minute';
select is_granted from gov_consume('sla', 'tokens', 4, null, '{ann}');
select * from helper.alerts() where name = 'minute';
select helper.at(125);
select is_granted from gov_consume('sla', 'tokens', 1.25, null, '{ann}');
select * from helper.alerts() where name = 'minute';

-- What no commit has raised the rollup does, and nothing twice: a lowered limit, by the transaction that lowers it.
call helper.roll_up();
select count(*) from helper.alerts() where name = 'minute';
begin;
update gov_assignments set usage_limit = 6 where owner_id = 'sla' and name = 'minute';
select is_granted from gov_consume('sla', 'tokens', 0.75, null, '{ann}');
commit;
call helper.roll_up();
select * from helper.alerts() where name = 'minute' and window_start >= 120;
-- a late use
select helper.at(200);
select is_duplicate from gov_ingest('sla', 'tokens', 5, null, '{ann}', occurred_at => gov_now() - interval '10 seconds');
call helper.roll_up();
select * from helper.alerts() where name = 'minute' and window_start > 120;

-- Denials are counted by such windows too.
select is_granted, denied_reason from gov_consume('sla', 'tokens', 2, null, '{ann}');
select helper.at(220);
select is_granted, denied_reason from gov_consume('sla', 'tokens', 3, null, '{ann}');
call helper.await_denials('sla', 2);
select a.name, extract(epoch from d.window_start - timestamptz '2036-03-28 00:00Z')::int as window_start, d.window_end - d.window_start as length, d.denied_count, d.amount
from gov_denials d
join gov_assignments a on a.id = d.assignment_id
where d.owner_id = 'sla'
order by 1, 2;

reset governance.fault_clock;
select gov_delete_owner('sla') is not null as is_deleted;
