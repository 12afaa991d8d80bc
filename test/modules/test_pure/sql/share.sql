--
-- gov_amount_from_share: the least amount that reaches a percentage of a limit
--
select amount_from_share(usage_limit, percentage), usage_limit, percentage
from (values
    (0, 1),
    (1, 1),
    (0.000000001, 50),
    (100, 33.3333333333),
    (3, 100.0 / 3),
    (999999999999999999.999999999, 100),
    (999999999999999999, 99999999999),
    (999999999999999999, 999999999999999999),
    (1000000000000, 100000000000000000),
    (1000000000000, 99999999999999999.999999999)) as v (usage_limit, percentage);

-- as it is said in SQL, of random limits and percentages of any size and scale
with drawn as materialized (
    select trunc(random()::numeric * 10::numeric ^ (random() * 27)::int) / 10::numeric ^ (random() * 14)::int as usage_limit,
           1 + trunc(random()::numeric * 10::numeric ^ (random() * 24)::int) / 10::numeric ^ (random() * 16)::int as percentage
    from generate_series(1, 50000))
select usage_limit, percentage, amount_from_share(usage_limit, percentage)
from drawn
where usage_limit < 1e18 and percentage < 1e18
  and amount_from_share(usage_limit, percentage) is distinct from
      case
          when usage_limit * percentage < 1e29
          then trim_scale(greatest(ceil(usage_limit * percentage * 1e7) * 1e-9, 1e-9) * 1e9)
      end;
