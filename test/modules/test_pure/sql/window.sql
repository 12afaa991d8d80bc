--
-- Windows, case by case
--
set datestyle to iso;
set timezone to 'UTC';
set intervalstyle to postgres;

-- Consecutive windows from a point in time on, in local time.
create function windows_from(cadence text, anchor timestamptz, zone text,
                             at timestamptz, n integer)
returns table (window_start timestamp, window_end timestamp, length interval)
language sql
as $$
    with recursive chain as (
        select 1 as i, w.* from window_at(cadence, anchor, zone, at) as w
        union all
        select i + 1, w.*
        from chain, window_at(cadence, anchor, zone, chain.window_end) as w
        where i < n
    )
    select timezone(zone, window_start), timezone(zone, window_end), justify_hours(window_end - window_start)
    from chain
    order by i
$$;

-- Without an anchor: calendar months, quarters, years, weeks from Monday.
select cadence, zone, timezone(zone, window_start) as window_start, timezone(zone, window_end) as window_end,
       to_char(timezone(zone, window_start), 'Dy') as day
from unnest('{P1Y, P2Y, P1M, P3M, P6M, P1W, P2W, P1D, P30D, PT1H, PT5M, PT1M, PT10S}'::text[]) with ordinality as c (cadence, c),
     unnest('{UTC, Europe/Berlin, Asia/Kolkata}'::text[]) with ordinality as z (zone, z),
     window_at(cadence, null, zone, '2026-11-20 13:14:15.678901Z') as w
order by c, z;

-- A cadence that never resets.
select * from window_at(null, null, 'UTC', now());
select * from window_at(null, '2026-01-01Z', 'Europe/Berlin', '0001-01-01Z');
select * from window_at(null, null, 'UTC', 'infinity');

-- Both ends: the start is inside, the end is not.
select at, w.*
from unnest('{2026-11-01 00:00:00Z, 2026-11-30 23:59:59.999999Z, 2026-12-01 00:00:00Z, 2026-10-31 23:59:59.999999Z}'::timestamptz[]) as at,
     window_at('P1M', null, 'UTC', at) as w;

-- Months clamp from the anchor, not from the month before.
select * from windows_from('P1M', '2027-01-31Z', 'UTC', '2027-01-31Z', 14);
select * from windows_from('P1M', '2028-01-30 12:00Z', 'UTC', '2028-01-30 12:00Z', 4);
select * from windows_from('P1M', '2027-02-28Z', 'UTC', '2027-02-28Z', 3);
select * from windows_from('P3M', '2026-11-30Z', 'UTC', '2026-11-30Z', 6);
select * from windows_from('P3M', '2026-08-31 23:59:59.999999Z', 'UTC', '2026-08-31 23:59:59.999999Z', 5);
-- and at the edges of a clamped window
select at, w.*
from unnest('{2027-02-27 23:59:59.999999Z, 2027-02-28Z, 2027-03-30 23:59:59.999999Z, 2027-03-31Z}'::timestamptz[]) as at,
     window_at('P1M', '2027-01-31Z', 'UTC', at) as w;

-- 29 February; 2100 is not a leap year.
select * from windows_from('P1Y', '2024-02-29Z', 'UTC', '2024-02-29Z', 6);
select * from windows_from('P1Y', '2096-02-29Z', 'UTC', '2096-02-29Z', 9);
select * from windows_from('P4Y', '2024-02-29 06:00Z', 'UTC', '2092-02-29 06:00Z', 4);
select * from windows_from('P100Y', '2000-02-29Z', 'UTC', '1800-03-01Z', 7);
select * from windows_from('P1M', '2024-02-29Z', 'UTC', '2100-01-29Z', 3);
select * from windows_from('P1D', '2024-02-29Z', 'UTC', '2100-02-27Z', 3);
select * from windows_from('P1M', null, 'Europe/Berlin', '2100-02-01Z', 3);

-- Before the anchor it is the same lattice.
select * from windows_from('P1M', '2027-03-31Z', 'UTC', '2026-12-31Z', 4);
select * from windows_from('P7D', '2027-03-31 10:00Z', 'UTC', '2027-03-10 09:59:59.999999Z', 4);
select * from windows_from('P1Y', '2024-02-29Z', 'UTC', '2019-06-01Z', 6);
select * from windows_from('PT7M', '2027-03-31 10:03Z', 'UTC', '2027-03-31 09:50Z', 3);
select * from windows_from('PT1S', '2027-01-01 00:00:00.25Z', 'UTC', '2026-12-31 23:59:58.3Z', 3);

-- The anchor's own time of day, in the budget's zone and not in UTC.
select * from windows_from('P1D', '2026-11-20 22:30:00.000001Z', 'Asia/Kolkata', '2026-11-20 23:00Z', 2);
select * from windows_from('P1M', '2026-01-30 23:30Z', 'Europe/Berlin', '2026-02-10Z', 4);

-- Clocks forward and back: days of 23 and 25 hours, half an hour on Lord Howe.
select * from windows_from('P1D', null, 'Europe/Berlin', '2026-03-28 12:00Z', 3);
select * from windows_from('P1D', null, 'Europe/Berlin', '2026-10-24 12:00Z', 3);
select * from windows_from('P1D', null, 'America/New_York', '2026-03-07 12:00Z', 3);
select * from windows_from('P1D', null, 'America/New_York', '2026-10-31 12:00Z', 3);
select * from windows_from('P1D', null, 'Australia/Lord_Howe', '2026-04-04 00:00Z', 3);
select * from windows_from('P1D', null, 'Australia/Lord_Howe', '2026-10-03 00:00Z', 3);
select * from windows_from('P1W', null, 'Europe/Berlin', '2026-03-23 12:00Z', 2);
select * from windows_from('P1M', null, 'America/New_York', '2026-03-15 12:00Z', 2);

-- A midnight that the clocks skip: the day starts when they have.
select * from windows_from('P1D', null, 'America/Sao_Paulo', '2018-11-03 12:00Z', 3);
select * from windows_from('P1D', null, 'America/Sao_Paulo', '2018-02-17 12:00Z', 3);
select * from windows_from('P1D', null, 'Asia/Beirut', '2022-03-26 12:00Z', 3);
select * from windows_from('P1D', null, 'Asia/Beirut', '2022-10-29 12:00Z', 3);
select * from windows_from('P1M', '2017-10-15 03:00Z', 'America/Sao_Paulo', '2017-10-16Z', 2);

-- A midnight that comes twice: the second, as AT TIME ZONE says.
select * from windows_from('P1D', null, 'America/Havana', '2025-11-01 12:00Z', 3);
select window_start, '2025-11-02'::timestamp at time zone 'America/Havana' as midnight
from window_at('P1D', null, 'America/Havana', '2025-11-02 12:00Z');

-- An anchor whose time of day is skipped or comes twice on another day.
select * from windows_from('P1D', '2026-03-01 02:30+01', 'Europe/Berlin', '2026-03-27 12:00Z', 4);
select * from windows_from('P1D', '2026-10-01 02:30+02', 'Europe/Berlin', '2026-10-23 12:00Z', 4);
select * from windows_from('P1D', '2026-09-20 02:15+10:30', 'Australia/Lord_Howe', '2026-10-02 12:00Z', 4);
-- An anchor in the hour that comes twice: it starts its own window.
select anchor, w.*, before.window_start as before
from unnest('{2026-10-25 02:30+02, 2026-10-25 02:30+01}'::timestamptz[]) as anchor,
     window_at('P1D', anchor, 'Europe/Berlin', anchor) as w,
     window_at('P1D', anchor, 'Europe/Berlin', anchor - interval '1 us') as before;

-- The same where the clocks go back into the day before: Saturday returns
-- after Sunday has begun, and belongs to Sunday's window.
select at, timezone('America/St_Johns', at) as local, w.*
from unnest('{2010-11-07 00:00:29-02:30, 2010-11-07 00:00:30-02:30, 2010-11-06 23:30-03:30, 2010-11-07 00:00:30-03:30}'::timestamptz[]) as at,
     window_at('P1D', '2010-11-07 00:00:30-02:30', 'America/St_Johns', at) as w;

-- Hours are elapsed time, whatever the clocks do.
select * from windows_from('PT1H', null, 'Europe/Berlin', '2026-03-29 00:30Z', 3);
select * from windows_from('PT24H', null, 'Europe/Berlin', '2026-03-28 12:00Z', 3);
select * from windows_from('PT6H', null, 'Asia/Kathmandu', '2026-03-28 12:00Z', 2);
select * from windows_from('PT90M', '2026-03-28 23:00Z', 'America/New_York', '2026-03-28 23:00Z', 2);

-- A day that never happened has no window; one that happened twice has one.
select * from windows_from('P1D', null, 'Pacific/Apia', '2011-12-29 12:00Z', 3);
select * from windows_from('P1D', '2011-01-01 12:00-10', 'Pacific/Apia', '2011-12-29 12:00Z', 3);
select * from windows_from('P1W', '2011-12-23 00:00-10', 'Pacific/Apia', '2011-12-25 12:00Z', 3);
select * from windows_from('P1D', null, 'America/Juneau', '1867-10-17 12:00Z', 3);

-- Long cadences, and the ends of the calendar.
select * from windows_from('P9999Y', null, 'UTC', '2026-01-01Z', 2);
select * from windows_from('P9999Y', '2026-05-31Z', 'Europe/Berlin', '2026-01-01Z', 2);
select * from windows_from('P9999M', null, 'UTC', '2026-01-01Z', 2);
select * from windows_from('P9999W', null, 'UTC', '2026-01-01Z', 2);
select * from windows_from('P9999D', null, 'UTC', '2026-01-01Z', 2);
select * from windows_from('PT9999H', null, 'UTC', '2026-01-01Z', 2);
select * from windows_from('PT9999M', null, 'UTC', '2026-01-01Z', 2);
select * from windows_from('PT9999S', null, 'UTC', '2026-01-01Z', 2);
select cadence, at, w.*
from unnest('{P1Y, P1M, P1W, P1D, PT1H, PT1S}'::text[]) with ordinality as c (cadence, n),
     unnest('{0001-01-01 00:00Z, 0001-06-01 BC, 0044-03-15 BC, 4713-01-02Z BC, 294276-11-15Z}'::timestamptz[]) with ordinality as t (at, m),
     window_at(cadence, null, 'UTC', at) as w
order by n, m;
-- windows that reach past either end of timestamptz do not exist
select cadence, at, w.*
from unnest('{P9999Y, P1Y, P1M, P1W, P1D, PT1H, PT9999H}'::text[]) with ordinality as c (cadence, n),
     unnest('{4714-11-24Z BC, 294276-12-31 23:59:59.999999Z}'::timestamptz[]) with ordinality as t (at, m),
     unnest('{UTC, Pacific/Kiritimati, Pacific/Pago_Pago}'::text[]) as zone,
     window_at(cadence, '2001-01-01 12:34:56Z', zone, at) as w
order by n, m, zone;
-- anchors at either end are anchors like others
select cadence, anchor, w.*
from unnest('{P1Y, P1M, P1W, P1D, PT1H, PT7S}'::text[]) with ordinality as c (cadence, n),
     unnest('{4714-11-24Z BC, 294276-12-31 23:59:59.999999Z}'::timestamptz[]) as anchor,
     window_at(cadence, anchor, 'Europe/Berlin', '2026-11-20 13:14:15Z') as w
order by n, anchor;
-- neither an infinite time nor an infinite anchor is one
select *
from unnest('{P1M, PT1H, null}'::text[]) as cadence,
     unnest('{-infinity, infinity}'::timestamptz[]) as t,
     window_at(cadence, null, 'UTC', t) as at,
     window_at(cadence, t, 'UTC', '2026-01-01Z') as anchor;

--
-- Time zones: the names of pg_timezone_names, in any case of letters
--
select name, timezone_lookup(name)
from unnest('{UTC, utc, GMT, Europe/Berlin, europe/berlin, EUROPE/BERLIN,
              America/Argentina/Buenos_Aires, Etc/GMT+5, etc/gmt-14, Etc/UTC}'::text[]) as name;
-- no offsets, abbreviations, POSIX specifications or paths
select quote_literal(left(name, 30)) as name, timezone_lookup(name)
from unnest(array[
    '', ' ', 'Nowhere', 'Europe/Berlim', 'Europe', 'Europe/', '/Europe/Berlin',
    ' Europe/Berlin', 'Europe/Berlin ', 'Europe Berlin', 'Europe/Berlin5',
    'America/New_York5', 'FOO+3', 'foo-3', 'ABC5', 'UTC+2', 'UTC-2', 'GMT+5', '<+02>-2',
    'CET-1CEST', 'CET-1CEST,M3.5.0,M10.5.0/3', 'EST5EDT4,M3.2.0,M11.1.0',
    '+02', '-5', '2', '02:00', 'PDT', 'CEST', 'default', 'local', 'right/UTC',
    'right/Europe/Berlin', '../zoneinfo/UTC', 'Europe/../UTC', repeat('x', 1000),
    repeat('A', 300) || '5', U&'Europe/Berl\00EDn'
]) as name;
-- all that there are, and the few that look like specifications if they are there
select name from pg_timezone_names where timezone_lookup(name) is distinct from name;
select name from pg_timezone_names where timezone_lookup(lower(name)) is distinct from name;
select s.name
from unnest('{EST5EDT, CST6CDT, MST7MDT, PST8PDT, GMT0, GMT+0, GMT-0}'::text[]) as s (name)
where (timezone_lookup(s.name) is not null) <> exists (select from pg_timezone_names as z where z.name = s.name);
