--
-- The decision: usage + held + amount <= limit, for every hard budget
--
set datestyle to iso;
set timezone to 'UTC';

-- One budget of 10, in every constellation around its limit.
select usage, held, amount, d.*
from (values (0, 0), (6, 0), (0, 6), (6, 4), (0, 10), (11, 0), (-5, 0), (-5, 15)) as s (usage, held),
     unnest('{0, 1, 4, 5, 10, 11, 15, 16}'::numeric[]) as amount,
     decide(array[usage], array[held], '{10}', '{f}', '{2027-01-01}', amount) as d
order by usage, held, amount;

-- A limit of 0 blocks all but nothing.
select usage, held, amount, d.*
from (values (0, 0), (1, 0), (0, 1), (-5, 0), (-5, 5)) as s (usage, held),
     unnest('{0, 1, 5, 6}'::numeric[]) as amount,
     decide(array[usage], array[held], '{0}', '{f}', '{2027-01-01}', amount) as d
order by usage, held, amount;

-- Without a limit, and with a soft one, everything is granted.
select usage_limit, soft, d.*, count(*)
from generate_series(-5, 15) as usage,
     generate_series(0, 15, 5) as held,
     unnest('{0, 1, 10, 11, 999999999999999999999999999}'::numeric[]) as amount,
     (values (null, false), (null, true), (0, true), (10, true)) as l (usage_limit, soft),
     decide(array[usage], array[held], array[usage_limit], array[soft], '{2027-01-01}', amount) as d
group by l.usage_limit, l.soft, d.is_granted, d.denied_reason, d.remaining, d.retry_at
order by usage_limit, soft;

-- No budget at all: granted, nothing to tell.
select * from decide('{}', '{}', '{}', '{}', '{}', 0);
select * from decide('{}', '{}', '{}', '{}', '{}', 170141183460469231731687303715884105727);

-- Two budgets: which denies, and why.
select label, d.*
from (values
    ('both allow', '{1,2}', '{0,0}', '{10,5}', '{f,f}', 3),
    ('second denies', '{1,3}', '{0,0}', '{10,5}', '{f,f}', 3),
    ('first denies', '{8,2}', '{0,0}', '{10,50}', '{f,f}', 3),
    ('both deny', '{8,3}', '{0,0}', '{10,5}', '{f,f}', 3),
    ('the amount alone is more than the second limit', '{0,0}', '{0,0}', '{10,5}', '{f,f}', 6),
    ('the amount alone is more than a soft limit', '{8,0}', '{0,0}', '{10,5}', '{f,t}', 6),
    ('one denies; the amount is more than the limit of the other, which allows', '{-9,10}', '{0,0}', '{5,10}', '{f,f}', 6),
    ('soft and over', '{99,0}', '{0,0}', '{10,50}', '{t,f}', 1),
    ('soft only', '{99,99}', '{0,0}', '{10,50}', '{t,t}', 1),
    ('no limit and hard', '{99,0}', '{0,0}', '{null,5}', '{f,f}', 5),
    ('no limit, soft, and hard', '{99,0,3}', '{9,9,1}', '{null,1,5}', '{f,t,f}', 1),
    ('over its limit, amount 0', '{6,0}', '{0,0}', '{5,10}', '{f,f}', 0),
    ('at its limit, amount 0', '{5,0}', '{0,0}', '{5,10}', '{f,f}', 0),
    ('held counts', '{0,0}', '{5,0}', '{5,10}', '{f,f}', 1)
) as v (label, usage, held, usage_limit, soft, amount),
decide(usage::numeric[], held::numeric[], usage_limit::numeric[], soft::boolean[],
       array_fill('2027-01-01'::timestamptz, array[cardinality(soft::boolean[])]), amount) as d;

-- When to try again: after the last window of those that deny.
select label, d.is_granted, d.retry_at
from (values
    ('granted', '{0,0}', '{10,10}', '{f,f}', '{2027-01-01,2027-02-01}'),
    ('first denies', '{10,0}', '{10,10}', '{f,f}', '{2027-01-01,2027-02-01}'),
    ('second denies', '{0,10}', '{10,10}', '{f,f}', '{2027-01-01,2027-02-01}'),
    ('both deny', '{10,10}', '{10,10}', '{f,f}', '{2027-01-01,2027-02-01}'),
    ('both deny, the other way round', '{10,10}', '{10,10}', '{f,f}', '{2027-02-01,2027-01-01}'),
    ('one that never resets denies', '{10,10}', '{10,10}', '{f,f}', '{infinity,2027-01-01}'),
    ('the same, last', '{10,10}', '{10,10}', '{f,f}', '{2027-01-01,infinity}'),
    ('one that never resets allows', '{0,10}', '{10,10}', '{f,f}', '{infinity,2027-01-01}'),
    ('a soft one over its limit is not waited for', '{10,99}', '{10,10}', '{f,t}', '{2027-01-01,2027-02-01}'),
    ('windows before 2000', '{10,10}', '{10,10}', '{f,f}', '{1970-01-01,1960-01-01}')
) as v (label, usage, usage_limit, soft, window_end),
decide(usage::numeric[], '{0,0}', usage_limit::numeric[], soft::boolean[],
       window_end::timestamptz[], 1) as d;

-- Sums that leave 128 bits saturate; they never turn into a grant.
\set max 170141183460469231731687303715884105727
\set min -170141183460469231731687303715884105728
select usage, held, usage_limit, amount, d.is_granted, d.remaining,
       budget_allows(array[usage], array[held], array[usage_limit], '{f}', '{infinity}', amount)
from (values
    (:max, 0, 1000, 1),
    (:max, :max, 1000, :max),
    (:max, :max, 999999999999999999999999999, 0),
    (0, :max, 0, :max),
    (0, 0, 0, :max),
    (:min, 0, 0, 0),
    (:min, 0, 999999999999999999999999999, 999999999999999999999999999),
    (:min, :max, 0, 1),
    (:min, :max, 0, 2),
    (:max - 1, 1, 0, 0)
) as v (usage, held, usage_limit, amount),
decide(array[usage], array[held], array[usage_limit], '{f}', '{infinity}', amount) as d;

-- Random sets against the contract's own words in SQL.
select setseed(0.5);
create temp table budget as
select call, i as n,
       floor(random() * 20 - 3)::numeric as usage,
       floor(random() * 5)::numeric as held,
       case when random() < 0.85 then floor(random() * 25)::numeric end as usage_limit,
       random() < 0.2 as soft,
       case when random() < 0.1 then 'infinity'::timestamptz
            else '2027-01-01'::timestamptz + floor(random() * 5) * interval '1 day'
       end as window_end
from generate_series(1, 20000) as call, generate_series(1, call % 7) as i;
create temp table call as
select call, floor(random() * random() * 25)::numeric as amount
from generate_series(1, 20000) as call;

create temp table answer as
select call, amount, d.*
from (
    select call, amount,
           coalesce(array_agg(usage order by n) filter (where n is not null), '{}') as usage,
           coalesce(array_agg(held order by n) filter (where n is not null), '{}') as held,
           coalesce(array_agg(usage_limit order by n) filter (where n is not null), '{}') as usage_limit,
           coalesce(array_agg(soft order by n) filter (where n is not null), '{}') as soft,
           coalesce(array_agg(window_end order by n) filter (where n is not null), '{}') as window_end
    from call
    left join budget using (call)
    group by call, amount
) as c,
decide(usage, held, usage_limit, soft, window_end, amount) as d;

create temp table wanted as
select call, amount,
       coalesce(bool_and(allows), true) as is_granted,
       case
           when coalesce(bool_and(allows), true) then null
           when bool_or(not soft and amount > usage_limit) then 'RequestedUsageExceedingLimit'
           else 'BudgetExceeded'
       end as denied_reason,
       min(usage_limit - usage - held) filter (where not soft) as remaining,
       nullif(max(window_end) filter (where not allows), 'infinity') as retry_at
from call
left join (
    select *, usage_limit is null or soft or usage + held + amount <= usage_limit as allows
    from budget
    join call using (call)
) as b using (call, amount)
group by call, amount;

select is_granted, denied_reason, remaining is null as no_hard, retry_at is null as no_retry, count(*) > 50 as often
from wanted
group by 1, 2, 3, 4
order by 1, 2, 3, 4;
(table answer except table wanted) union all (table wanted except table answer);

select call, n
from budget
join call using (call)
where budget_allows(array[usage], array[held], array[usage_limit], array[soft], array[window_end], amount)
      is distinct from (usage_limit is null or soft or usage + held + amount <= usage_limit);

-- The words for a denial.
select denial, denial_reason(denial) from generate_series(0, 7) as denial;
