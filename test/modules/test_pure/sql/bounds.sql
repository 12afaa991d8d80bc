--
-- Limits that change with time
--
set timezone = 'UTC';

-- 10, from noon on 15, from one on 5, from two on 10 again: each step holds from its microsecond on.
create temp table steps as
select '{-infinity, 2030-01-01 12:00, 2030-01-01 13:00, 2030-01-01 14:00}'::timestamptz[] as since, '{10, 15, 5, 10}'::numeric[] as usage_limit;
select at, bounds_at(since, usage_limit, at)
from steps, unnest('{-infinity, 2000-01-01, 2030-01-01 11:59:59.999999, 2030-01-01 12:00, 2030-01-01 12:59:59.999999, 2030-01-01 13:00, 2030-01-01 14:00, infinity}'::timestamptz[]) at;

-- When it rises to so much: not now, but at a step that comes after; infinity where it never does.
select after, wanted, bounds_reach(since, usage_limit, wanted, after)
from steps, unnest('{2000-01-01, 2030-01-01 12:00, 2030-01-01 13:00, 2030-01-01 14:00}'::timestamptz[]) after, unnest('{5, 10, 11, 15, 16}'::numeric[]) wanted;

-- One step is for ever.
select bounds_at('{-infinity}', '{7}', '2030-01-01'), bounds_reach('{-infinity}', '{7}', 7, '2030-01-01');
