--
-- gov_window: the window of a budget that a point in time falls into
--
-- Its arithmetic is tested at every edge in test/modules/test_pure; here is
-- what the SQL function makes of it.
--
set datestyle to iso;
set intervalstyle to postgres;
set timezone to 'UTC';
set client_min_messages to warning;
create extension if not exists governance;

-- Calendar windows: years, quarters, months, weeks from Monday, days, and so on.
select cadence, w.*
from unnest('{P1Y, P3M, P1M, P1W, P1D, P30D, PT1H, PT5M, PT1M, PT10S}'::text[]) with ordinality as c (cadence, n),
     gov_window(cadence, at => '2026-11-20 13:14:15.678901Z') as w
order by n;

-- The same in another time zone.
select cadence, timezone('Asia/Kolkata', window_start) as window_start, timezone('Asia/Kolkata', window_end) as window_end
from unnest('{P1Y, P3M, P1M, P1W, P1D, PT1H, PT5M}'::text[]) with ordinality as c (cadence, n),
     gov_window(cadence, null, 'Asia/Kolkata', '2026-11-30 20:14:15Z') as w
order by n;

-- The start belongs to a window, the end to the next.
select at, w.*
from unnest('{2026-11-01Z, 2026-11-30 23:59:59.999999Z, 2026-12-01Z}'::timestamptz[]) as at,
     gov_window('P1M', at => at) as w;

-- An anchor gives the day, the time of day, and the lattice before it.
select at, w.*
from unnest('{2027-01-31 18:00Z, 2027-02-28 17:59Z, 2027-02-28 18:00Z, 2027-03-31 18:00Z, 2026-11-29Z}'::timestamptz[]) as at,
     gov_window('P1M', '2027-01-31 18:00Z', 'UTC', at) as w;
select * from gov_window('P1Y', '2024-02-29Z', 'UTC', '2099-12-31Z');
select * from gov_window('P1Y', '2024-02-29Z', 'UTC', '2100-12-31Z');

-- Days and months are local time, hours are elapsed time.
select cadence, w.*, window_end - window_start as length
from unnest('{P1D, PT24H}'::text[]) as cadence,
     unnest('{2026-03-29 12:00Z, 2026-10-25 12:00Z}'::timestamptz[]) as at,
     gov_window(cadence, null, 'Europe/Berlin', at) as w;
select w.*, window_end - window_start as length
from gov_window('P1D', null, 'America/Sao_Paulo', '2018-11-04 12:00Z') as w;

-- Without a time: the current one.
select window_start = date_trunc('month', now()) and now() < window_end as is_current
from gov_window('P1M');
select w = gov_window('PT1H', null, 'UTC', now()) as same
from gov_window('PT1H') as w;

-- The name of a time zone in any case of letters.
select gov_window('P1M', null, 'europe/berlin', '2026-11-20Z') = gov_window('P1M', null, 'Europe/Berlin', '2026-11-20Z') as same;

-- A cadence that never resets has no window.
select * from gov_window(null);
select * from gov_window(null, '2026-01-01Z', 'Europe/Berlin', '2026-11-20Z');

-- Bad arguments, also beside a null cadence.
create function pg_temp.error_of(call text)
returns table (state text, message text, hint text)
language plpgsql
as $$
begin
    execute call;
    state := '00000';
    return next;
exception when others then
    get stacked diagnostics
        state = returned_sqlstate,
        message = message_text,
        hint = pg_exception_hint;
    return next;
end
$$;
select call, e.state, e.message
from unnest(array[
    $$select gov_window('')$$,
    $$select gov_window('monthly')$$,
    $$select gov_window('1 month')$$,
    $$select gov_window('p1m')$$,
    $$select gov_window('P0M')$$,
    $$select gov_window('P01M')$$,
    $$select gov_window('P10000M')$$,
    $$select gov_window('P1M1D')$$,
    $$select gov_window('P1H')$$,
    $$select gov_window('PT1D')$$,
    $$select gov_window('P1.5M')$$,
    $$select gov_window(' P1M')$$,
    $$select gov_window('P1M', 'infinity')$$,
    $$select gov_window('P1M', '-infinity')$$,
    $$select gov_window('PT1H', 'infinity')$$,
    $$select gov_window(null, 'infinity')$$,
    $$select gov_window('P1M', null, null)$$,
    $$select gov_window(null, null, null)$$,
    $$select gov_window('P1M', null, '')$$,
    $$select gov_window('P1M', null, 'Nowhere')$$,
    $$select gov_window('P1M', null, 'CEST')$$,
    $$select gov_window('P1M', null, '+02')$$,
    $$select gov_window('P1M', null, 'America/New_York5')$$,
    $$select gov_window(null, null, 'Nowhere')$$,
    $$select gov_window('P1M', null, 'UTC', null)$$,
    $$select gov_window(null, null, 'UTC', null)$$,
    $$select gov_window('P1M', at => 'infinity')$$,
    $$select gov_window('PT1H', at => '-infinity')$$,
    $$select gov_window(null, at => 'infinity')$$,
    $$select gov_window('P1Y', at => '294276-11-20Z')$$,
    $$select gov_window('P9999Y', '2027-01-01Z', 'UTC', '2026-11-20Z')$$,
    $$select gov_window('PT9999H', at => '4714-11-24Z BC')$$
]) as call, pg_temp.error_of(call) as e;

-- Each says what to write.
select distinct on (e.message) e.message, e.hint
from unnest(array[
    $$select gov_window('monthly')$$,
    $$select gov_window('P1M', 'infinity')$$,
    $$select gov_window('P1M', null, null)$$,
    $$select gov_window('P1M', null, 'Nowhere')$$,
    $$select gov_window('P1M', null, 'UTC', null)$$,
    $$select gov_window('P1M', at => 'infinity')$$,
    $$select gov_window('P1Y', at => '294276-11-20Z')$$
]) as call, pg_temp.error_of(call) as e;

-- Windows that other functions can rely on: stable, parallel safe, documented,
-- and not for everybody.
select provolatile, proparallel, obj_description(oid, 'pg_proc') is not null as is_documented,
       has_function_privilege('pg_monitor', oid, 'execute') as is_public
from pg_proc
where proname = 'gov_window';
