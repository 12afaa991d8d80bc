-- Prices: gov_upsert_prices, gov_list_prices, plain DML on gov_prices, and what gov_price makes of them.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/catalog_helpers.sql
\set ECHO all
select count(*) from jsonb_array_elements(gov_upsert_capabilities('[{"id": "ai-dollars", "kind": "credit", "unit": "USD"}, {"id": "ai-tokens"}]'));

-- A list as those that are published: input, cached input and output, per million tokens; a change in mid-month; batches at half price.
select pg_temp.items(gov_upsert_prices(null, '{"prices": [
    {"capabilityId": "ai-dollars", "quantity": "input", "match": {"model": "large"}, "price": 2.50, "per": 1000000, "validFrom": "2025-01-01"},
    {"capabilityId": "ai-dollars", "quantity": "cached", "match": {"model": "large"}, "price": 0.25, "per": 1000000, "validFrom": "2025-01-01"},
    {"capabilityId": "ai-dollars", "quantity": "output", "match": {"model": "large"}, "price": 10, "per": 1000000, "validFrom": "2025-01-01"},
    {"capabilityId": "ai-dollars", "quantity": "input", "match": {"model": "small"}, "price": 0.15, "per": 1000000, "validFrom": "2025-01-01"},
    {"capabilityId": "ai-dollars", "quantity": "output", "match": {"model": "small"}, "price": 0.6, "per": 1000000, "validFrom": "2025-01-01"},
    {"currencyId": "ai-dollars", "quantity": "input", "match": {"model": "large", "batch": true}, "price": 1.25, "per": 1000000, "validFrom": "2025-01-01"},
    {"featureId": "ai-dollars", "quantity": "output", "match": {"model": "large", "batch": true}, "price": 5, "per": 1000000, "validFrom": "2025-01-01"},
    {"capabilityId": "ai-dollars", "quantity": "input", "match": {"model": "large"}, "price": 2, "per": 1000000, "validFrom": "2025-03-15T00:00:00Z"},
    {"capabilityId": "ai-dollars", "quantity": "search", "price": 0.01, "validFrom": "2025-01-01"}]}'));

\set use '{"input": 900, "output": 300, "cached": 4000}'
select gov_price('acme', 'ai-dollars', :'use', '{"model": "large"}', '2025-02-01') as february;
-- To the microsecond.
select gov_price('acme', 'ai-dollars', :'use', '{"model": "large"}', '2025-03-14 23:59:59.999999Z') as before,
    gov_price('acme', 'ai-dollars', :'use', '{"model": "large"}', '2025-03-15 00:00:00Z') as after;
-- The price of a batch has more keys. It is not in the list for what is cached, and its change of March is not one of batches.
select gov_price('acme', 'ai-dollars', :'use', '{"model": "large", "batch": true}', '2025-04-01') as batch,
    gov_price('acme', 'ai-dollars', :'use', '{"model": "large", "batch": "true"}', '2025-04-01') as batch_as_text,
    gov_price('acme', 'ai-dollars', :'use', '{"model": "large", "batch": false}', '2025-04-01') as no_batch,
    gov_price('acme', 'ai-dollars', :'use', '{"model": "large", "batch": null, "userId": "ann"}', '2025-04-01') as null_is_absent;
-- Any call.
select gov_price('acme', 'ai-dollars', '{"search": 3}', null, '2025-02-01') as searches,
    gov_price('acme', 'ai-dollars', '{"search": 3}', '{"model": "small"}', '2025-02-01') as with_a_model;
-- Corrections, and what is too small to be billed.
select gov_price('acme', 'ai-dollars', '{"input": -900, "output": 0}', '{"model": "small"}', '2025-02-01') as correction,
    gov_price('acme', 'ai-dollars', '{"cached": 0.001}', '{"model": "large"}', '2025-02-01') as nothing;

-- No price, or none yet.
select pg_temp.outcome($$select gov_price('acme', 'ai-dollars', '{"input": 1, "images": 2}', '{"model": "large"}', '2025-02-01')$$);
select pg_temp.outcome($$select gov_price('acme', 'ai-dollars', '{"cached": 1}', '{"model": "small"}', '2025-02-01')$$);
select pg_temp.outcome($$select gov_price('acme', 'ai-dollars', '{"input": 1}', null, '2025-02-01')$$);
select pg_temp.outcome($$select gov_price('acme', 'ai-dollars', '{"input": 1}', '{"model": "large"}', '2024-12-31 23:00Z')$$);
select pg_temp.outcome($$select gov_price('acme', 'ai-tokens', '{"input": 1}', '{"model": "large"}', '2025-02-01')$$);

-- An owner's own go before everybody's, even where theirs have more keys in their match; nobody else has them.
select pg_temp.items(gov_upsert_prices('acme', '[{"capabilityId": "ai-dollars", "quantity": "input", "price": 1, "per": 1000000, "validFrom": "2025-02-01"}]'));
select gov_price('acme', 'ai-dollars', '{"input": 1000000}', '{"model": "large", "batch": true}', '2025-01-31') as before,
    gov_price('acme', 'ai-dollars', '{"input": 1000000}', '{"model": "large", "batch": true}', '2025-02-01') as own,
    gov_price('acme', 'ai-dollars', '{"input": 1000000, "output": 1000000}', '{"model": "large"}', '2025-02-01') as own_and_theirs,
    gov_price('globex', 'ai-dollars', '{"input": 1000000}', '{"model": "large", "batch": true}', '2025-02-01') as another;

-- Of those with as many keys the first by its bytes, whatever its time: {"batch": …} before {"model": …}.
insert into gov_prices (capability_id, quantity, match, price, valid_from) values
    ('ai-dollars', 'tool', '{"model": "large"}', 1, '2025-02-01'), ('ai-dollars', 'tool', '{"batch": true}', 2, '2025-01-01'),
    ('ai-dollars', 'tool', '{}', 3, '2025-01-01'), ('ai-dollars', 'tool', '{"batch": "true", "model": "large", "region": 1.50}', 4, '2025-03-01');
select gov_price('acme', 'ai-dollars', '{"tool": 1}', '{"model": "large", "batch": true}', '2025-02-02') as by_bytes,
    gov_price('acme', 'ai-dollars', '{"tool": 1}', '{"model": "large", "batch": 1}', '2025-02-02') as other_value,
    gov_price('acme', 'ai-dollars', '{"tool": 1}', '{"model": "Large"}', '2025-02-02') as no_key,
    gov_price('acme', 'ai-dollars', '{"tool": 1}', '{"model": "large", "batch": true, "region": 1.50}', '2025-02-02') as not_yet,
    gov_price('acme', 'ai-dollars', '{"tool": 1}', '{"model": "large", "batch": true, "region": 1.50}', '2025-03-02') as most_keys,
    gov_price('acme', 'ai-dollars', '{"tool": 1}', '{"model": "large", "batch": true, "region": 1.5}', '2025-03-02') as another_text;
select match, price from gov_prices where quantity = 'tool' order by price;

-- Rounded once, half away from zero, and exact before that: thirds, and what is left of them.
insert into gov_prices (capability_id, quantity, price, per, valid_from) values
    ('ai-dollars', 'third', 1, 3, '2025-01-01'), ('ai-dollars', 'seventh', 1, 7, '2025-01-01'), ('ai-dollars', 'sixth', 1, 6, '2025-01-01'),
    ('ai-dollars', 'half', 0.000000001, 2, '2025-01-01'), ('ai-dollars', 'binary', 1, 4611686018427387904, '2025-01-01'),
    ('ai-dollars', 'most', 0.000000000000000001, 9223372036854775807, '2025-01-01'), ('ai-dollars', 'dear', 999999999999999999.999999999999999999, 1, '2025-01-01'),
    ('ai-dollars', 'fives', 3, 625, '2025-01-01'), ('ai-dollars', 'free', 0, 1, '2025-01-01');
select gov_price('acme', 'ai-dollars', '{"third": 1}') as third, gov_price('acme', 'ai-dollars', '{"third": 3}') as one,
    gov_price('acme', 'ai-dollars', '{"third": 1, "sixth": 4}') as one_again, gov_price('acme', 'ai-dollars', '{"seventh": 3, "third": -2}') as both,
    gov_price('acme', 'ai-dollars', '{"half": 1}') as half, gov_price('acme', 'ai-dollars', '{"half": -1}') as minus_half,
    gov_price('acme', 'ai-dollars', '{"half": 0.999999999999999999999}') as less, gov_price('acme', 'ai-dollars', '{"half": 1, "third": 3}') as half_up,
    gov_price('acme', 'ai-dollars', '{"half": 1, "third": -3}') as towards_zero, gov_price('acme', 'ai-dollars', '{"binary": 4611686018427387904}') as binary,
    gov_price('acme', 'ai-dollars', '{"most": 9223372036854775807000000000000000000}') as most, gov_price('acme', 'ai-dollars', '{"fives": 1}') as fives,
    gov_price('acme', 'ai-dollars', '{"free": 1e30, "third": 1}') as free
\gx
select pg_temp.outcome($$select gov_price('acme', 'ai-dollars', '{"dear": 1}')$$);
select gov_price('acme', 'ai-dollars', '{"dear": 0.999999999999}') as dear;
select pg_temp.outcome($$select gov_price('acme', 'ai-dollars', '{"third": 1e19, "free": 1}')$$);

-- Malformed.
select pg_temp.outcome(format($$select gov_price('acme', 'ai-dollars', %L)$$, q)) from unnest('{"{}","[]","1","{\"third\": \"1\"}","{\"third\": null}","{\"third\": {\"third\": 1}}"}'::text[]) q;
select pg_temp.outcome($$select gov_price('acme', 'ai-dollars', null)$$);
select pg_temp.outcome($$select gov_price(null, 'ai-dollars', '{"third": 1}')$$);
select pg_temp.outcome($$select gov_price('acme', null, '{"third": 1}')$$);
select pg_temp.outcome($$select gov_price('acme', 'unknown', '{"third": 1}')$$);
select pg_temp.outcome($$select gov_price('acme', 'ai-dollars', '{"third": 1}', '[]')$$);
select pg_temp.outcome($$select gov_price('acme', 'ai-dollars', '{"third": 1}', '{"a": {"b": 1}}')$$);
select pg_temp.outcome($$select gov_price('acme', 'ai-dollars', '{"third": 1}', null, 'infinity')$$);
select pg_temp.outcome($$select gov_price('acme', 'ai-dollars', (select jsonb_object_agg('q' || n, n) from generate_series(1, 33) n))$$);
set governance.owner = 'acme';
select gov_price('acme', 'ai-dollars', '{"third": 3}') as own;
select pg_temp.outcome($$select gov_price('globex', 'ai-dollars', '{"third": 3}')$$);
select pg_temp.outcome($$select gov_upsert_prices(null, '[{"capabilityId": "ai-dollars", "quantity": "third", "price": 1}]')$$);
select pg_temp.outcome($$select gov_upsert_prices('globex', '[{"capabilityId": "ai-dollars", "quantity": "third", "price": 1}]')$$);
set governance.owner = '';

select pg_temp.outcome($$select gov_upsert_prices(null, null)$$);
select pg_temp.outcome(format($$select gov_upsert_prices('acme', '[%s]')$$, i)) from (values
    (''), ('{"capabilityId": "ai-dollars", "price": 1}'), ('{"quantity": "x", "price": 1}'), ('{"capabilityId": "ai-dollars", "quantity": "x"}'),
    ('{"capabilityId": "ai-dollars", "quantity": "x", "price": "1"}'), ('{"capabilityId": "ai-dollars", "quantity": "x", "price": -1}'),
    ('{"capabilityId": "ai-dollars", "quantity": "x", "price": 1e18}'), ('{"capabilityId": "ai-dollars", "quantity": "x", "price": 1e-19}'),
    ('{"capabilityId": "ai-dollars", "quantity": "x", "price": 1, "per": 0}'), ('{"capabilityId": "ai-dollars", "quantity": "x", "price": 1, "per": 1.5}'),
    ('{"capabilityId": "ai-dollars", "quantity": "", "price": 1}'), ('{"capabilityId": "nothing", "quantity": "x", "price": 1}'),
    ('{"capabilityId": "ai-dollars", "quantity": "x", "price": 1, "match": {"a": null}}'), ('{"capabilityId": "ai-dollars", "quantity": "x", "price": 1, "match": {"a": []}}'),
    ('{"capabilityId": "ai-dollars", "quantity": "x", "price": 1, "match": "a"}'), ('{"capabilityId": "ai-dollars", "quantity": "x", "price": 1, "validFrom": "now"}'),
    ('{"capabilityId": "ai-dollars", "quantity": "x", "price": 1, "until": "2025-01-01"}')) v (i);
select pg_temp.outcome(format($$insert into gov_prices (owner_id, capability_id, quantity, match, price, per, valid_from) values ('acme', 'ai-dollars', %L, %L, %s, %s, %L)$$, q, m, p, n, t))
from (values ('', '{}', '1', 1, 'now'), ('x', '[]', '1', 1, 'now'), ('x', '{"a": null}', '1', 1, 'now'), ('x', '{"a": {"b": 1}}', '1', 1, 'now'), ('x', '{}', '-1', 1, 'now'),
    ('x', '{}', $$'NaN'$$, 1, 'now'), ('x', '{}', $$'Infinity'$$, 1, 'now'), ('x', '{}', '1', 0, 'now'), ('x', '{}', '1', 1, 'infinity')) v (q, m, p, n, t);
select pg_temp.outcome($$update gov_prices set quantity = 'other' where quantity = 'third'$$);
select pg_temp.outcome($$update gov_prices set valid_from = '2026-01-01' where quantity = 'third'$$);

-- Without validFrom it is from now on, and once: the same again changes nothing, another price is another row. An omitted per is that in force.
select item - 'validFrom' from pg_temp.items(gov_upsert_prices('globex', '[{"capabilityId": "ai-tokens", "quantity": "word", "price": 4.00, "per": 3}]')) item;
select pg_temp.updated($$select gov_upsert_prices('globex', '[{"capabilityId": "ai-tokens", "quantity": "word", "price": 4, "per": 3}]')$$, $$gov_prices where owner_id = 'globex'$$);
select pg_temp.updated($$select gov_upsert_prices('globex', '[{"capabilityId": "ai-tokens", "quantity": "word"}]')$$, $$gov_prices where owner_id = 'globex'$$);
select gov_price('globex', 'ai-tokens', '{"word": 3}') as now;
select pg_temp.outcome($$select gov_price('globex', 'ai-tokens', '{"word": 3}', null, '2020-01-01')$$) ~ '22023' as not_before;
select item - 'validFrom' from pg_temp.items(gov_upsert_prices('globex', '[{"capabilityId": "ai-tokens", "quantity": "word", "price": 8}, {"capabilityId": "ai-tokens", "quantity": "word", "price": 9}]')) item;
select price, per, row_number() over (order by valid_from) as n from gov_prices where owner_id = 'globex' order by valid_from;
select gov_price('globex', 'ai-tokens', '{"word": 3}') as now;
-- A price of a time to come is not in force, and can be changed.
select pg_temp.items(gov_upsert_prices('globex', '[{"capabilityId": "ai-tokens", "quantity": "word", "price": 12, "validFrom": "2099-01-01"}]'));
select pg_temp.items(gov_upsert_prices('globex', '[{"capabilityId": "ai-tokens", "quantity": "word", "per": 6, "validFrom": "2099-01-01"}]'));
select gov_price('globex', 'ai-tokens', '{"word": 3}') as now, gov_price('globex', 'ai-tokens', '{"word": 3}', null, '2099-01-01') as then;

-- Pages, of an owner and of everybody.
select jsonb_agg(p -> 'price' order by n) as prices from jsonb_array_elements(gov_list_prices('globex') -> 'data') with ordinality d (p, n);
create function pg_temp.pages(owner text, size int, capability text default null, quantity text default null) returns setof text language plpgsql as $$
declare
    page jsonb;
    cursor text;
begin
    loop
        page := gov_list_prices(owner, after => cursor, page_size => size, capability_id => capability, quantity => quantity);
        return next (select string_agg(concat_ws(' ', p ->> 'quantity', p ->> 'match', p ->> 'price', left(p ->> 'validFrom', 10)), ' | ' order by n) from jsonb_array_elements(page -> 'data') with ordinality d (p, n));
        cursor := page #>> '{pagination,next}';
        exit when cursor is null;
    end loop;
end
$$;
select pg_temp.pages(null, 4);
select pg_temp.pages(null, 2, 'ai-dollars', 'input');
select pg_temp.pages('acme', 2);
select pg_temp.outcome($$select gov_list_prices(null, after => 'x')$$);

-- One's own changes, and what is taken back.
savepoint outer_one;
update gov_prices set price = 5 where owner_id = 'globex' and price = 9;
select gov_price('globex', 'ai-tokens', '{"word": 3}') as changed;
savepoint s;
delete from gov_prices where owner_id = 'globex';
select pg_temp.outcome($$select gov_price('globex', 'ai-tokens', '{"word": 3}')$$) ~ '22023' as gone;
rollback to s;
select gov_price('globex', 'ai-tokens', '{"word": 3}') as changed;
savepoint s;
truncate gov_prices;
select pg_temp.outcome($$select gov_price('globex', 'ai-tokens', '{"word": 3}')$$) ~ '22023' as gone;
rollback to s;
select gov_price('globex', 'ai-tokens', '{"word": 3}') as changed;
rollback to outer_one;
select gov_price('globex', 'ai-tokens', '{"word": 3}') as as_it_was;

-- Many owners, and lists without a price.
select count(gov_price('owner-' || n, 'ai-dollars', '{"search": 2}')), sum(gov_price('owner-' || n, 'ai-dollars', '{"search": 2}')) from generate_series(1, 500) n;

-- Who changed what.
select action, owner_id, key - 'id' - 'valid_from' as key, old, new from gov_changes where table_name = 'gov_prices' and owner_id = 'globex' order by id;

-- A person in a list is forgotten too.
select count(*) from jsonb_array_elements(gov_upsert_entity_types('[{"id": "user", "attributionKeys": ["userId"]}]'));
select count(*) from jsonb_array_elements(gov_upsert_entities('acme', '[{"id": "ann", "typeId": "user"}]'));
insert into gov_prices (owner_id, capability_id, quantity, match, price) values ('acme', 'ai-dollars', 'hour', '{"userId": "ann", "shift": "ann"}', 40), ('acme', 'ai-dollars', 'hour', '{}', 50);
select gov_price('acme', 'ai-dollars', '{"hour": 1}', '{"userId": "ann", "shift": "ann"}') as ann;
select gov_forget_entity('acme', 'ann', 'someone');
select match, price from gov_prices where owner_id = 'acme' and quantity = 'hour' order by price;
select key - 'id' - 'valid_from' as key from gov_changes where table_name = 'gov_prices' and owner_id = 'acme' and key ->> 'quantity' = 'hour' and action = 'INSERT' order by id;
select gov_price('acme', 'ai-dollars', '{"hour": 1}', '{"userId": "someone", "shift": "ann"}') as someone, gov_price('acme', 'ai-dollars', '{"hour": 1}', '{"userId": "ann", "shift": "ann"}') as ann;

select gov_delete_owner('acme'), gov_delete_owner('globex');
select count(*) from gov_prices where owner_id is not null;
delete from gov_prices;
select pg_temp.outcome($$select gov_price('acme', 'ai-dollars', '{"search": 1}')$$) ~ '22023' as gone;
