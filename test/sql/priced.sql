-- Uses that are given by their quantities, in the calls of several capabilities, and gov_reprice.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('priced');
insert into gov_capabilities (id, kind, unit) values ('dollars', 'credit', 'USD');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('priced', 'ann', 'dollars', 1, 'P100Y'), ('priced', 'ann', 'calls', 100, 'P100Y');
insert into gov_prices (capability_id, quantity, match, price, per, valid_from) values
    ('dollars', 'input', '{"modelId": "gpt"}', 2.50, 1000000, '2020-01-01'), ('dollars', 'cached', '{"modelId": "gpt"}', 0.25, 1000000, '2020-01-01'),
    ('dollars', 'output', '{"modelId": "gpt"}', 10, 1000000, '2020-01-01'), ('dollars', 'input', '{"modelId": "gpt", "batch": true}', 1.25, 1000000, '2020-01-01'),
    ('dollars', 'output', '{"modelId": "gpt", "batch": true}', 5, 1000000, '2020-01-01'), ('dollars', 'image', '{}', 1, 3, '2020-01-01'), ('dollars', 'free', '{}', 0, 1, '2020-01-01');
\set ann '{"userId": "ann", "modelId": "gpt"}'
\set use '{"calls": 1, "dollars": {"input": 900, "output": 300, "cached": 4000}}'

-- Decided, charged and kept by the price.
select is_granted, remaining from gov_check_all('priced', :'use', :'ann');
select is_granted, remaining, is_duplicate from gov_consume_all('priced', :'use', :'ann', null, 'use-1');
select capability_id, amount, quantities, prices, idempotency_key from gov_events where owner_id = 'priced' order by id;
select capability_id, quantities is null as none from gov_event_log where owner_id = 'priced' order by id;
select entity_id, capability_id, current_usage from gov_budgets where owner_id = 'priced' and entity_id = 'ann' order by 2;
-- A batch at half the price; one capability alone.
select remaining from gov_consume_all('priced', '{"dollars": {"input": 900, "output": 300}}', '{"userId": "ann", "modelId": "gpt", "batch": true}');
select amount, prices, call_event_ids from gov_events where owner_id = 'priced' order by id desc limit 1;
-- What is too dear is denied, and says for what.
select is_granted, denied_reason, denied_capability_id, remaining from gov_consume_all('priced', '{"calls": 1, "dollars": {"output": 100001}}', :'ann');
select is_granted, denied_reason from gov_consume_all('priced', '{"calls": 1, "dollars": {"output": 99200}}', :'ann');
-- Nothing, and fractions.
select remaining from gov_consume_all('priced', '{"dollars": {"free": 1000000, "image": 0.1}}', '{"userId": "ann"}');
select amount, quantities, prices from gov_events where owner_id = 'priced' order by id desc limit 1;

-- The same key with the same quantities is the same call, whatever their prices and however they are written; with others it is another.
update gov_prices set price = price * 2 where quantity = 'input';
select is_duplicate from gov_consume_all('priced', '{"dollars": {"cached": 4000.0, "output": 3e2, "input": 900}, "calls": 1.000}', :'ann', null, 'use-1');
delete from gov_prices where quantity = 'cached';
select is_duplicate from gov_consume_all('priced', :'use', :'ann', null, 'use-1');
select is_duplicate from gov_consume_all('priced', '{"calls": 1, "dollars": {"input": 901, "output": 300, "cached": 4000}}', :'ann', null, 'use-1');
select is_duplicate from gov_consume_all('priced', '{"calls": 1, "dollars": 0.00625}', :'ann', null, 'use-1');
-- No price: nothing is charged.
select is_granted from gov_consume_all('priced', :'use', :'ann');
select is_granted from gov_check_all('priced', :'use', :'ann');
select event_ids from gov_ingest_all('priced', :'use', :'ann');
select is_granted from gov_reserve_all('priced', :'use', :'ann');
update gov_prices set price = price / 2 where quantity = 'input';
insert into gov_prices (capability_id, quantity, match, price, per, valid_from) values ('dollars', 'cached', '{"modelId": "gpt"}', 0.25, 1000000, '2020-01-01');

-- Malformed.
select is_granted from gov_check_all('priced', '{"dollars": {}}', :'ann');
select is_granted from gov_check_all('priced', '{"dollars": []}', :'ann');
select is_granted from gov_check_all('priced', '{"dollars": {"input": "1"}}', :'ann');
select is_granted from gov_check_all('priced', '{"dollars": {"input": {"input": 1}}}', :'ann');
select is_granted from gov_check_all('priced', '{"dollars": {"input": null}}', :'ann');
select is_granted from gov_check_all('priced', '{"nothing": {"input": 1}}', :'ann');
select is_granted from gov_check_all('priced', '{"dollars": {"input": -1}}', :'ann');
select is_granted from gov_consume_all('priced', '{"dollars": {"input": -1}}', :'ann');

-- Recorded whatever the limit, for a time of the past at the price of then; corrections.
insert into gov_prices (capability_id, quantity, match, price, per, valid_from) values ('dollars', 'output', '{"modelId": "gpt"}', 8, 1000000, '2025-03-15');
select is_duplicate from gov_ingest_all('priced', '{"dollars": {"output": 1000000}}', :'ann', null, 'late-1', '2025-03-14 23:59:59Z');
select is_duplicate from gov_ingest_all('priced', '{"dollars": {"output": 1000000}}', :'ann', null, 'late-2', '2025-03-15 00:00:00Z');
select is_duplicate from gov_ingest_all('priced', '{"dollars": {"output": -500000}}', :'ann', null, 'late-3', '2025-03-15 00:00:01Z');
select idempotency_key, amount, prices from gov_events where owner_id = 'priced' and idempotency_key ~ 'late' order by id;

-- A hold is of what its quantities cost when it is made, and settled at the prices of then.
select is_granted, amounts, is_duplicate from gov_reserve_all('priced', '{"calls": 1, "dollars": {"input": 1000, "output": 4000}}', '{"userId": "ben", "modelId": "gpt"}', null, 'hold-1');
select reservation_id as hold from gov_reserve_all('priced', '{"dollars": {"input": 1000, "output": 4000}, "calls": 1}', '{"userId": "ben", "modelId": "gpt"}', null, 'hold-1') \gset
select capability_id, amount, amounts, quantities, state from gov_reservations where id = :'hold';
update gov_prices set price = 4 where quantity = 'output' and valid_from = '2025-03-15' and match = '{"modelId": "gpt"}';
select is_duplicate from gov_settle_all(:'hold', '{"calls": 1, "dollars": {"input": 1000, "output": 250}}');
select is_duplicate from gov_settle_all(:'hold', '{"calls": 1, "dollars": {"input": 1}}');
select state, settled_amounts from gov_reservations where id = :'hold';
-- Without amounts it is settled for its quantities, at the prices of now; gov_settle, which knows no quantities, for the amount held.
select reservation_id as hold from gov_reserve_all('priced', '{"calls": 1, "dollars": {"output": 1000}}', '{"userId": "ben", "modelId": "gpt"}') \gset
select reservation_id as hold_of_one from gov_reserve_all('priced', '{"dollars": {"output": 1000}}', '{"userId": "ben", "modelId": "gpt"}') \gset
select reservation_id as hold_of_one_more from gov_reserve_all('priced', '{"dollars": {"output": 1000}}', '{"userId": "ben", "modelId": "gpt"}') \gset
update gov_prices set price = 2 where quantity = 'output' and valid_from = '2025-03-15' and match = '{"modelId": "gpt"}';
select is_duplicate from gov_settle_all(:'hold');
select is_duplicate from gov_settle_all(:'hold_of_one');
select is_duplicate from gov_settle(:'hold_of_one_more');
select settled_amount, settled_amounts from gov_reservations where id in (:'hold', :'hold_of_one', :'hold_of_one_more') order by created_at;
select capability_id, amount, quantities from gov_events where owner_id = 'priced' order by id desc limit 4;
update gov_prices set price = 8 where quantity = 'output' and valid_from = '2025-03-15' and match = '{"modelId": "gpt"}';

-- What the present list would make of the past, booked, and harmless to repeat.
select quantities, amount, repriced, corrected, difference, idempotency_key ~ '^gov_reprice/[0-9]+/1$' as key from gov_reprice('priced', 'dollars', '2000-01-01', 'infinity');
create view helper.booked as
select count(*) as corrections, sum(r.difference) as booked, bool_or(i.is_duplicate) as any_duplicate
from gov_reprice('priced', 'dollars', '2000-01-01', 'infinity') r
cross join lateral gov_ingest('priced', 'dollars', r.difference, r.dimensions, r.entity_ids, r.idempotency_key, r.occurred_at) i
where r.difference <> 0;
select * from helper.booked;
select * from helper.booked;
select bool_and(difference = 0) as settled, sum(amount + corrected) = sum(repriced) as as_repriced from gov_reprice('priced', 'dollars', '2000-01-01', 'infinity');
-- Another list, another difference: back to what was charged.
insert into gov_prices (owner_id, capability_id, quantity, match, price, per, valid_from) values ('priced', 'dollars', 'output', '{}', 3, 1000000, '2020-01-01');
select amount, repriced, corrected, difference from gov_reprice('priced', 'dollars', '2025-03-01', '2025-04-01');
select * from helper.booked;
delete from gov_prices where owner_id = 'priced';
select amount, repriced, corrected, difference, idempotency_key ~ '/2$' as second from gov_reprice('priced', 'dollars', '2025-03-01', '2025-04-01');
select * from helper.booked;
select * from helper.booked;
-- An event that was reversed owes nothing any more, one that was reversed in part that part; corrections can be reversed too.
select amount from gov_events where owner_id = 'priced' and idempotency_key = 'late-2';
select count(gov_reverse(id)) from gov_events where owner_id = 'priced' and idempotency_key = 'late-1';
select count(gov_reverse(id, 2)) from gov_events where owner_id = 'priced' and idempotency_key = 'late-2';
update gov_prices set price = 12 where quantity = 'output';
select amount, repriced, corrected, difference from gov_reprice('priced', 'dollars', '2025-03-01', '2025-04-01');
select * from helper.booked;
select amount, repriced, corrected, difference from gov_reprice('priced', 'dollars', '2025-03-01', '2025-04-01');
-- A list that lacks a price is refused.
delete from gov_prices where quantity = 'image';
select count(*) from gov_reprice('priced', 'dollars', '2000-01-01', 'infinity');
select count(*) from gov_reprice('priced', null, '2000-01-01', 'infinity');
select count(*) from gov_reprice('priced', 'nothing', '2000-01-01', 'infinity');
select count(*) from gov_reprice('nobody', 'dollars', '2000-01-01', 'infinity');
select * from gov_verify('priced');
select gov_delete_owner('priced');
delete from gov_prices where capability_id = 'dollars';
delete from gov_capabilities where id = 'dollars';
