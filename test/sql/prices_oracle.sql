-- gov_price against the contract written down in SQL: for each quantity the owner's own price first, then most keys in its match, then the
-- first by the bytes of its match, then the latest; quantities times prices added up exactly and rounded once.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('one');
select setseed(0.25);
create function helper.one_of(variadic list text[]) returns text language sql volatile as $$ select list[1 + floor(random() * cardinality(list))] $$;
create function helper.some_dimensions(skip double precision) returns jsonb language sql volatile as $$
    select jsonb_strip_nulls(jsonb_build_object(
        'model', case when random() > skip then helper.one_of('large', 'small', 'Large', 'LARGE') end,
        'batch', case when random() > skip then helper.one_of('true', 'false')::boolean end,
        'zone', case when random() > skip then helper.one_of('1', '1.0', '2')::numeric end,
        'a', case when random() > skip then helper.one_of('x', 'y') end))
$$;
insert into gov_prices (owner_id, capability_id, quantity, match, price, per, valid_from)
select nullif(helper.one_of('', '', 'one', 'two'), ''), helper.one_of('tokens', 'calls'), helper.one_of('input', 'output', 'cached'), helper.some_dimensions(0.6),
    round((random() * 100)::numeric, (random() * 18)::int), helper.one_of('1', '1000', '1000000', '3', '7', '640', '999983')::bigint,
    timestamptz '2024-01-01 00:00Z' + interval '1 hour' * floor(random() * 20)
from generate_series(1, 1200)
on conflict do nothing;
insert into gov_prices (capability_id, quantity, price, valid_from)
select c, q, 0, '2000-01-01' from unnest('{tokens,calls}'::text[]) c, unnest('{input,output,cached}'::text[]) q;
select count(*) > 800 as many, count(distinct match) > 60 as different, count(distinct (owner_id, quantity, match)) < count(*) as several from gov_prices;

create function helper.priced(owner text, capability text, quantities jsonb, dimensions jsonb, at timestamptz) returns numeric language sql as $$
    with chosen as
    (
        select q.value::numeric as quantity, p.price, p.per
        from jsonb_each_text(quantities) q
        left join lateral (
            select p.price, p.per
            from gov_prices p
            where (p.owner_id = owner or p.owner_id is null)
                and p.capability_id = capability
                and p.quantity = q.key
                and p.valid_from <= at
                and not exists (select from jsonb_each_text(p.match) m where (dimensions ->> m.key) is distinct from m.value)
            order by p.owner_id is null, (select count(*) from jsonb_object_keys(p.match)) desc, p.match::text collate "C", p.valid_from desc
            limit 1) p on true
    ),
    -- 640 = 2^7 * 5, so this is a multiple of all of them, and the sum times it has an end
    common (denominator) as (values (1000000::numeric * 128 * 3 * 7 * 999983)),
    total as (select sum(quantity * price * div(denominator, per)) as numerator, min(denominator) as denominator from chosen, common)
    -- sign * integer part of (|sum| * 10^9 + 1/2), in billionths
    select sign(numerator) * div(abs(numerator) * 2000000000 + denominator, denominator * 2) * 0.000000001 from total
$$;
create table helper.calls as
select n, helper.one_of('one', 'two', 'three') as owner, helper.one_of('tokens', 'calls') as capability,
    jsonb_strip_nulls(jsonb_build_object(
        'input', round((random() * 10 ^ (random() * 12))::numeric, (random() * 3)::int),
        'output', case when random() < 0.7 then round((random() * 1000 - 200)::numeric, (random() * 12)::int) end,
        'cached', case when random() < 0.4 then floor(random() * 1e6) end)) as quantities,
    helper.some_dimensions(0.3) as dimensions,
    timestamptz '2024-01-01 00:00Z' + interval '1 hour' * floor(random() * 22 - 1) as at
from generate_series(1, 1500) n;
select count(*) as calls, count(*) filter (where gov_price(owner, capability, quantities, dimensions, at) is distinct from helper.priced(owner, capability, quantities, dimensions, at)) as wrong from helper.calls;
select count(distinct gov_price(owner, capability, quantities, dimensions, at)) > 1000 as different, bool_and(scale(gov_price(owner, capability, quantities, dimensions, at)) <= 9) as rounded from helper.calls;

-- What is charged is that, whether for one capability or for several; and what an event keeps says how it came about.
select count(gov_ingest_all(owner, jsonb_build_object(capability, quantities), dimensions, null, 'use-' || n, at)) from helper.calls where n % 2 = 0;
select count(gov_ingest_all(owner, jsonb_build_object(capability, quantities, case capability when 'calls' then 'tokens' else 'calls' end, n), dimensions, null, 'use-' || n, at)) from helper.calls where n % 2 = 1;
create view helper.charged as
select e.owner_id, e.capability_id, e.amount, e.quantities, e.dimensions, e.occurred_at,
    -- to be rounded at the end only: one denominator for all
    (select sum(q.value::numeric * (e.prices -> q.key ->> 'price')::numeric * div(1000000::numeric * 128 * 3 * 7 * 999983, (e.prices -> q.key ->> 'per')::numeric)) from jsonb_each_text(e.quantities) q) as numerator
from gov_events e
where e.quantities is not null;
select count(*) as charged, count(*) filter (where amount is distinct from helper.priced(owner_id, capability_id, quantities, dimensions, occurred_at)) as wrong,
    count(*) filter (where abs(numerator - amount * 1000000 * 128 * 3 * 7 * 999983) * 2000000000 > 1000000::numeric * 128 * 3 * 7 * 999983) as otherwise_than_kept,
    sum(amount) = sum(helper.priced(owner_id, capability_id, quantities, dimensions, occurred_at)) as same_sum from helper.charged;
-- Another list, and what is owed by it.
update gov_prices set price = round(price * 1.07, 18) where quantity <> 'cached';
update gov_prices set per = 7 where per = 1000 and owner_id is not null;
select owner, capability, count(*), count(*) filter (where r.repriced is distinct from helper.priced(owner, capability, r.quantities, r.dimensions, r.occurred_at)) as wrong,
    count(*) filter (where r.difference is distinct from r.repriced - r.amount) as not_the_difference, count(*) filter (where r.difference <> 0) > 10 as some
from unnest('{one,two,three}'::text[]) owner, unnest('{tokens,calls}'::text[]) capability, gov_reprice(owner, capability, '2024-01-01', '2024-01-31') r
group by owner, capability order by owner, capability;
select count(i.event_id) > 500 as booked, bool_or(i.is_duplicate) as again
from unnest('{one,two,three}'::text[]) owner, unnest('{tokens,calls}'::text[]) capability, gov_reprice(owner, capability, '2024-01-01', '2024-01-31') r,
    gov_ingest(owner, capability, r.difference, r.dimensions, r.entity_ids, r.idempotency_key, r.occurred_at) i
where r.difference <> 0;
select sum(amount) filter (where quantities is not null or idempotency_key ~ 'reprice') = (select sum(helper.priced(owner_id, capability_id, quantities, dimensions, occurred_at)) from helper.charged) as same_sum from gov_events;
select * from gov_verify();

-- The same while the list changes, in this transaction.
create procedure helper.changes() language plpgsql as $$
begin
    for round in 1..60 loop
        case round % 3
            when 0 then delete from gov_prices where valid_from > '2010-01-01' and ctid = (select ctid from gov_prices where valid_from > '2010-01-01' order by random() limit 1);
            when 1 then update gov_prices set price = round(price + 0.000001, 9), per = per + 0 where id in (select id from gov_prices where valid_from > '2010-01-01' order by random() limit 30);
            else insert into gov_prices (owner_id, capability_id, quantity, match, price, valid_from)
                values (nullif(helper.one_of('', 'one'), ''), 'tokens', helper.one_of('input', 'output'), helper.some_dimensions(0.5), round, '2024-01-01 12:00Z') on conflict do nothing;
        end case;
        if exists (
            select from (select * from helper.calls order by random() limit 15) c
            where gov_price(owner, capability, quantities, dimensions, at) is distinct from helper.priced(owner, capability, quantities, dimensions, at)) then
            raise 'wrong in round %', round;
        end if;
    end loop;
end
$$;
call helper.changes();
