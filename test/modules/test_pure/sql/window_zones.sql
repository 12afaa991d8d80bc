--
-- Windows, by their properties: every zone, every kind of cadence, any time
--
set datestyle to iso;
set timezone to 'UTC';

-- What must hold of the window of any point in time.
create function window_fault(cadence text, anchor timestamptz, zone text, at timestamptz)
returns text
language plpgsql
as $$
declare
    w record;
begin
    w := window_at(cadence, anchor, zone, at);
    return case
        when w.window_start is null then 'there is none'
        when not (w.window_start <= at and at < w.window_end) then 'it does not contain the time'
        when window_at(cadence, anchor, zone, w.window_start) is distinct from w then 'its start is in another'
        when window_at(cadence, anchor, zone, w.window_end - interval '1 us') is distinct from w then 'its last microsecond is in another'
        when (window_at(cadence, anchor, zone, w.window_end)).window_start <> w.window_end then 'the next one does not start at its end'
        when (window_at(cadence, anchor, zone, w.window_start - interval '1 us')).window_end <> w.window_start then 'the one before does not end at its start'
        when anchor is not null and (window_at(cadence, anchor, zone, anchor)).window_start <> anchor then 'the anchor does not start one'
    end;
end
$$;

-- The same boundaries by PostgreSQL's own arithmetic: the local times
-- anchor + n * cadence, read in the zone, nearest to the point in time.
create function window_wanted(cadence text, anchor timestamptz, zone text, at timestamptz,
                              out window_start timestamptz, out window_end timestamptz)
language plpgsql
as $$
declare
    step interval := cadence::interval;
    origin timestamptz := coalesce(anchor, timezone(zone, timestamp '2001-01-01'));
    guess integer;
begin
    if cadence like 'PT%' then
        window_start := date_bin(step, at, origin);
        window_end := window_start + step;
        return;
    end if;

    guess := floor(extract(epoch from at - origin) / extract(epoch from step));
    if cadence like '%Y' or cadence like '%M' then
        -- intervals have 30 days a month, and the Gregorian ones are longer
        guess := floor(extract(epoch from at - origin) / 86400 / 30.436875
                       / (extract(year from step) * 12 + extract(month from step)));
    end if;
    select max(boundary) filter (where boundary <= at), min(boundary) filter (where boundary > at)
    into window_start, window_end
    from (
        select case
                   when n = 0 then origin
                   else timezone(zone, timezone(zone, origin) + n * step)
               end as boundary
        from generate_series(guess - 4, guess + 5) as n
    ) as b;
end
$$;

create temp table cadence (cadence text);
insert into cadence
values ('P1Y'), ('P4Y'), ('P1M'), ('P3M'), ('P5M'), ('P1W'), ('P2W'), ('P1D'),
       ('P30D'), ('P45D'), ('PT1H'), ('PT6H'), ('PT24H'), ('PT90M'), ('PT1M'),
       ('PT10S'), ('PT9999H');

-- Anywhere from 1850 to 2150, in every zone that has a name.
select setseed(0.125);
create temp table probe as
select name as zone, cadence,
       case when random() < 0.7
            then date_trunc(case when random() < 0.5 then 'day' else 'microseconds' end,
                            '1900-01-01Z'::timestamptz + random() * interval '200 years')
       end as anchor,
       '1850-01-01Z'::timestamptz + random() * interval '300 years' as at
from pg_timezone_names, cadence
where name not like 'posix%' and name <> 'localtime';
select count(*) > 5000 as enough from probe;

select * from probe, window_fault(cadence, anchor, zone, at) as fault
where fault is not null;

-- (AT TIME ZONE 'CET' means the abbreviation, a fixed offset, and not the zone)
select zone, cadence, anchor, at, got, wanted
from probe, window_at(cadence, anchor, zone, at) as got, window_wanted(cadence, anchor, zone, at) as wanted
where got is distinct from wanted
  and zone not in (select abbrev from pg_timezone_abbrevs);

-- Around clock changes, minute by odd minute: forward and back, at midnight,
-- by half an hour, by a day in either direction, and of standard time itself.
create temp table change (zone text, at timestamptz);
insert into change
values ('Europe/Berlin', '2026-03-29Z'),
       ('Europe/Berlin', '2026-10-25Z'),
       ('Europe/Dublin', '2026-10-25Z'),
       ('America/St_Johns', '2010-11-07Z'),
       ('America/New_York', '2026-03-08Z'),
       ('America/New_York', '2026-11-01Z'),
       ('Australia/Lord_Howe', '2026-04-04Z'),
       ('Australia/Lord_Howe', '2026-10-03Z'),
       ('America/Sao_Paulo', '2018-11-04Z'),
       ('America/Sao_Paulo', '2018-02-18Z'),
       ('Asia/Beirut', '2022-03-27Z'),
       ('Asia/Beirut', '2022-10-30Z'),
       ('America/Havana', '2025-03-09Z'),
       ('America/Havana', '2025-11-02Z'),
       ('Asia/Gaza', '2011-08-01Z'),
       ('Africa/Casablanca', '2026-02-15Z'),
       ('Africa/Monrovia', '1972-01-07Z'),
       ('Antarctica/Troll', '2026-03-29Z'),
       ('Asia/Kathmandu', '1985-12-31Z'),
       ('America/Caracas', '2016-05-01Z'),
       ('Europe/Moscow', '2014-10-26Z'),
       ('Pacific/Apia', '2011-12-30Z'),
       ('Pacific/Kwajalein', '1993-08-21Z'),
       ('Pacific/Kwajalein', '1969-10-01Z'),
       ('Pacific/Kiritimati', '1994-12-31Z'),
       ('Asia/Manila', '1844-12-31Z'),
       ('America/Juneau', '1867-10-18Z'),
       ('America/Juneau', '1867-10-19Z');
create temp table near as
select zone, cadence, change.at + minutes * interval '7 min 13.000001 s' as at,
       case when h >= 0 then timezone(zone, timezone(zone, change.at)::date - 40 + h * interval '30 min') end as anchor
from change, generate_series(-410, 410, 11) as minutes,
     unnest('{P1D, P2D, P1W, P1M, P1Y, PT24H}'::text[]) as cadence,
     generate_series(-1, 47, 8) as h;
select count(*) > 50000 as enough from near;

select zone, cadence, anchor, at, fault
from near, window_fault(cadence, anchor, zone, at) as fault
where fault is not null;

select zone, cadence, anchor, at, got, wanted
from near, window_at(cadence, anchor, zone, at) as got, window_wanted(cadence, anchor, zone, at) as wanted
where got is distinct from wanted;

-- From the year 1 to the last: the windows that exist are right.
select setseed(0.75);
create temp table far as
select zone, cadence,
       case when random() < 0.5 then '0001-01-01Z'::timestamptz + floor(random() * 290000 * 31556952) * interval '1 s' end as anchor,
       '0001-01-01Z'::timestamptz + floor(random() * 290000 * 31556952) * interval '1 s' as at
from unnest('{UTC, Europe/Berlin, America/New_York, Asia/Kathmandu, Australia/Lord_Howe}'::text[]) as zone,
     cadence, generate_series(1, 40);
select zone, cadence, anchor, at, fault
from far, window_fault(cadence, anchor, zone, at) as fault
where fault is not null;
