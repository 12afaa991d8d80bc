--
-- Amounts: 18 digits before the point, 9 after, half away from zero
--

-- What is exact stays exact, and comes back without trailing zeros.
select value, amount_status(value) as status, amount_from_numeric(value) as raw,
       amount_to_numeric(amount_from_numeric(value)) as back
from unnest('{0, 0.0, 0e-20, -0, 1, 1.000, -1, 10, 100, 12345, 1e3, 1.5e1,
              0.1, 0.10, -0.1, 0.000000001, -0.000000001, 0.123456789,
              9.999999999, 12.5, 2147483647, 2147483648, -2147483649,
              9223372036, 9223372036.854775807, 9223372036.854775808,
              -9223372036.854775808, -9223372036.854775809, 9223372037,
              999999999999999999, -999999999999999999, 1e17,
              999999999999999999.999999999, -999999999999999999.999999999,
              100000000000000000.000000001,
              123456789012345678.123456789}'::numeric[]) as value;

-- Rounding is half away from zero, on both sides, at every length.
select value, amount_from_numeric(value) as raw,
       amount_to_numeric(amount_from_numeric(value)) as rounded
from unnest('{0.0000000001, 0.0000000004, 0.00000000049999999999,
              0.0000000005, 0.00000000050000000001, 0.0000000009,
              0.0000000014, 0.0000000015, 0.0000000025,
              -0.0000000001, -0.00000000049999999999, -0.0000000005,
              -0.0000000015, -0.0000000025,
              0.9999999994, 0.9999999995, -0.9999999995,
              9.9999999995, 99.9999999995, -99.9999999995,
              1.00000000049, 1.0000000005, 1.00000000000000000001,
              3.141592653589793238462643, 1e-9, 5e-10, 4.9e-10, 5e-11,
              123456789012345678.1234567894,
              123456789012345678.1234567895}'::numeric[]) as value;

-- Limits: a nineteenth digit, also one that only rounding makes.
select value, amount_status(value) as status, amount_from_numeric(value) as raw
from unnest('{999999999999999999.9999999994, 999999999999999999.9999999995,
              -999999999999999999.9999999994, -999999999999999999.9999999995,
              999999999999999999.99999999999999999999,
              1000000000000000000, -1000000000000000000, 1e18, 1e19,
              9223372036854775807, 9223372036854775808,
              170141183460469231731687303715884105727,
              18446744073709551617, -1e30,
              NaN, Infinity, -Infinity}'::numeric[]) as value;
select amount_status(('1e' || e)::numeric) as status, count(*), min(e), max(e)
from generate_series(0, 1000) as e
group by 1
order by 3;
select amount_status(1e131071), amount_status(-1e131071),
       amount_from_numeric(1e-16383), amount_from_numeric(-1e-1000);

-- Any 128-bit integer goes out, whatever may come in.
select raw, amount_to_numeric(raw)
from unnest('{170141183460469231731687303715884105727,
              -170141183460469231731687303715884105728,
              170141183460469231731687303715884000000,
              170141183460469231731687303000000000000,
              -170141183460469231731687303000000000000,
              9223372036854775807, 9223372036854775808,
              -9223372036854775808, -9223372036854775809,
              9223372036854775807000000000, 9223372036854775808000000000,
              -9223372036854775808000000000, -9223372036854775809000000000,
              9223372036854775807100000000, 9223372036854775808100000000,
              10, -10, 1, -1, 999999999, 1000000000, 1000000001}'::numeric[]) as raw;

-- Sums: exact up to the last 128-bit integer, then refused.
select a, b, amount_add(a, b) as sum
from (values
    (0::numeric, 0::numeric),
    (1, -1),
    (999999999999999999999999999, 1),
    (9223372036854775807, 9223372036854775807),
    (-9223372036854775808, -9223372036854775808),
    (170141183460469231731687303715884105726, 1),
    (170141183460469231731687303715884105727, 0),
    (170141183460469231731687303715884105727, 1),
    (170141183460469231731687303715884105727, 170141183460469231731687303715884105727),
    (170141183460469231731687303715884105727, -170141183460469231731687303715884105728),
    (-170141183460469231731687303715884105727, -1),
    (-170141183460469231731687303715884105728, -1),
    (-170141183460469231731687303715884105728, -170141183460469231731687303715884105728)
) as v (a, b);

-- Random values of every length against numeric's own arithmetic.
select setseed(0.25);
create temp table random_raw as
select sign(random() - 0.5)::numeric * (digits::numeric % 170141183460469231731687303715884105727) as raw
from (
    select string_agg(floor(random() * 10)::int::text, '') as digits
    from generate_series(1, 20000) as i, generate_series(0, i % 39) as d
    group by i
) as r;
select count(*) > 10000 as enough, min(raw) < -1e37 as low, max(raw) > 1e37 as high
from random_raw;

select raw, amount_to_numeric(raw)
from random_raw
where amount_to_numeric(raw) is distinct from raw * 0.000000001
   or amount_to_numeric(raw)::text <> trim_scale(raw * 0.000000001)::text;

-- byte by byte what the server makes, also where digits in the middle or at an end are zeros
select raw, amount_to_numeric(raw)
from (select raw from random_raw
      union all
      select sign * (10::numeric ^ a + b * 10::numeric ^ c)
      from unnest('{1,-1}'::int[]) as sign, generate_series(0, 36) as a, generate_series(0, 2) as b, generate_series(0, 36) as c
      union all
      values (0::numeric), (170141183460469231731687303715884105727), (-170141183460469231731687303715884105728)) as v (raw)
where numeric_send(amount_to_numeric(trunc(raw))) <> numeric_send(trim_scale(trunc(raw) * 0.000000001))
   or pg_column_size(amount_to_numeric(trunc(raw))) <> pg_column_size(trim_scale(trunc(raw) * 0.000000001))
   or hash_numeric(amount_to_numeric(trunc(raw))) <> hash_numeric(trim_scale(trunc(raw) * 0.000000001));

-- there and back
select raw
from random_raw
where abs(raw) < 1e27
  and amount_from_numeric(amount_to_numeric(raw)) is distinct from raw;
select raw
from random_raw
where abs(raw) >= 1e27
  and amount_status(amount_to_numeric(raw)) <> 'too large';

-- rounding: round() is half away from zero, too
select value
from (select raw / 10 ^ (10 + (random() * 25)::int)::numeric as value from random_raw) as r
where case
          when abs(round(value, 9)) < 1e18
          then amount_from_numeric(value) is distinct from trunc(round(value, 9) * 1000000000)
          else amount_status(value) <> 'too large'
      end;

-- sums
select a.raw, b.raw
from (select raw, row_number() over () as n from random_raw) as a
join (select raw, row_number() over (order by raw) as n from random_raw) as b using (n)
where amount_add(a.raw, b.raw) is distinct from
      case
          when a.raw + b.raw between -170141183460469231731687303715884105728
                                 and 170141183460469231731687303715884105727
          then a.raw + b.raw
      end;

-- Of any length, as the server rounds: read from its digits, or from its string where that has to be rounded or is long.
select setseed(0.5);
select count(*) as amounts, count(*) filter (where amount_to_numeric(amount_from_numeric(value)) is distinct from trim_scale(round(value, 9))) as wrong,
       count(*) filter (where value <> round(value, 9)) > 1000 as are_rounded
from (
    select case when random() < 0.5 then -1 else 1 end * div((random()::numeric * 1e18 + random()::numeric * 1000), ('1e' || floor(random() * 18)::int)::numeric)
        * ('1e-' || floor(random() * 14)::int)::numeric as value
    from generate_series(1, 20000)) as v;
