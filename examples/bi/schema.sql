-- What the queries of the finance team need beside the extension: a price list of your own.
--
--     psql -d yourdb -f schema.sql
--
-- as a superuser, where the extension is: create extension governance. The prices are examples.

-- What one unit of a capability costs. With a model it is the price of its use with that model (the dimension "model" of the
-- event), and goes before the price without.
create table ai_prices (
    capability_id text not null,
    model text not null default '',
    valid_from date not null default '2001-01-01',
    price numeric not null,
    currency text not null default 'USD',
    primary key (capability_id, model, valid_from)
);

insert into ai_prices (capability_id, model, price)
values
    ('ai-tokens', '', 0.000002),
    ('ai-tokens', 'gpt-large', 0.00001),
    ('ai-images', '', 0.04);

analyze ai_prices;

-- What each event costs. With the rights of who asks: a session that is pinned to an owner sees that owner's events.
create view ai_costs with (security_invoker = true) as
with prices as materialized (
    select
        capability_id,
        model,
        valid_from,
        lead(valid_from, 1, 'infinity') over (partition by capability_id, model order by valid_from) as valid_to,
        price,
        currency
    from ai_prices
)
select
    e.id,
    e.owner_id,
    e.capability_id,
    e.occurred_at,
    e.entity_ids,
    e.dimensions,
    e.amount,
    coalesce(m.price, p.price) as price,
    e.amount * coalesce(m.price, p.price) as cost,
    coalesce(m.currency, p.currency) as currency
from gov_events e
left join prices m on m.capability_id = e.capability_id
    and m.model = e.dimensions ->> 'model'
    and m.model <> ''
    and e.occurred_at::date >= m.valid_from
    and e.occurred_at::date < m.valid_to
left join prices p on p.capability_id = e.capability_id
    and p.model = ''
    and e.occurred_at::date >= p.valid_from
    and e.occurred_at::date < p.valid_to;

-- A role for the tools: it reads, every owner, and cannot keep the server busy for ever.
create role bi login;

alter role bi set statement_timeout = '60s';
alter role bi set work_mem = '64MB';
alter role bi set default_transaction_read_only = on;

select gov_grant('bi', 'reader');

grant select on ai_prices, ai_costs to bi;

-- To see what other sessions do, for oncall/holding_the_rollup.sql.
grant pg_read_all_stats to bi;
