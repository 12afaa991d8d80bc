--
-- Cadences: one ISO 8601 duration of one unit, 1 to 9999, one spelling
--

select text, cadence_parse(text)
from unnest('{P1Y, P1M, P3M, P30D, P1W, P1D, PT1H, PT5M, PT1M, PT10S,
              P9999Y, P9999M, P9999W, P9999D, PT9999H, PT9999M, PT9999S,
              P10Y, P100Y, P1000Y, P2W, PT60S, PT24H}'::text[]) as text;

-- Everything else is refused.
select quote_literal(text) as text, cadence_parse(text)
from unnest(array[
    '', ' ', 'P', 'PT', 'T', 'T1H', '1M', 'M', 'P1', 'PT1', 'PM', 'PTM', 'P1MM',
    -- numbers
    'P0M', 'P01M', 'P00001M', 'PT0S', 'P10000M', 'P99999M', 'PT10000S',
    'P4294967297M', 'P18446744073709551617M', 'P99999999999999999999999M',
    'P-1M', 'P+1M', 'P1.5M', 'P1,5M', 'P1e1M', 'P 1M', 'P1 M', 'P0x1M',
    -- a unit on the wrong side of the T
    'P1H', 'P1S', 'PT1D', 'PT1W', 'PT1Y', 'PT1T', 'P1T', 'P1MT', 'PTT1M',
    -- more than one unit
    'P1Y2M', 'P1M2D', 'P1DT1H', 'PT1H30M', 'P1W1D', 'P1M1M',
    -- case and surroundings
    'p1m', 'P1m', 'Pt1M', 'pT1M', ' P1M', 'P1M ', 'P1M' || chr(10), chr(9) || 'P1M',
    '-P1M', '+P1M', 'P1M;', 'R/P1M', 'P1Q', 'P1DD',
    -- what PostgreSQL's intervals take
    '1 month', 'month', '@ 1 month', '01:00:00', 'P0001-00-00T00:00:00',
    -- characters that are digits or letters only elsewhere
    U&'P\0661M', U&'P\FF11M', U&'P1\FF2D', U&'\FF301M'
]) as text;

-- Every number of every unit, and one on either side.
select unit, count(cadence_parse) as valid,
       min(n) filter (where cadence_parse is not null) as lowest,
       max(n) filter (where cadence_parse is not null) as highest,
       count(*) filter (where cadence_parse <> name || ' ' || n) as wrong
from (values ('P', 'Y', 'year'), ('P', 'M', 'month'), ('P', 'W', 'week'),
             ('P', 'D', 'day'), ('PT', 'H', 'hour'), ('PT', 'M', 'minute'),
             ('PT', 'S', 'second')) as u (prefix, unit, name),
     generate_series(0, 12000) as n,
     cadence_parse(prefix || n || unit)
group by prefix, unit
order by prefix, unit;
