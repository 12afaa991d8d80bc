-- What the fuzzer's calls meet (test/t/140_fuzz.pl): customers with an organisation, budgets of every kind, holds, events, grants and
-- requests. fuzz.customer() makes whole again what a call has deleted. The other functions name by its place what has a random id.
create schema fuzz;
grant usage on schema fuzz to public;

create procedure fuzz.customer(owner text)
language plpgsql
set search_path = public, pg_temp
as $$
begin
    perform gov_thaw_owner(owner);
    insert into gov_entity_types (id, attribution_keys)
    values ('org', '{orgId}'), ('team', '{teamId}'), ('user', '{userId}'), ('agent', '{agentId}'), ('model', '{model,modelId}'), ('guest', '{}'), ('pet', '{}')
    on conflict do nothing;
    update gov_entity_types set attribution_keys = '{guestId}', on_unknown = 'create', parent_key = 'teamId' where id = 'guest';
    update gov_entity_types set attribution_keys = '{petId}', on_unknown = 'deny' where id = 'pet';
    insert into gov_capabilities (id, kind)
    values ('tokens', 'credit'), ('calls', 'feature'), ('dollars', 'credit'), ('pooled', 'credit'), ('streams', 'concurrency')
    on conflict do nothing;
    insert into gov_entities (owner_id, id, type_id, parent_id)
    values (owner, 'acme', 'org', null), (owner, 'eng', 'team', 'acme'), (owner, 'ops', 'team', 'acme'), (owner, 'ann', 'user', 'eng'), (owner, 'ben', 'user', 'eng'),
        (owner, 'cyd', 'user', 'ops'), (owner, 'bot', 'agent', 'ann'), (owner, 'gpt', 'model', null), (owner, 'opus', 'model', null)
    on conflict do nothing;
    insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence, enforcement)
    values (owner, 'acme', 'tokens', '{}', '', 1e12, 'P1M', 'hard'), (owner, 'eng', 'tokens', '{}', '', 1e9, 'P1D', 'hard'), (owner, 'eng', 'tokens', '{gpt}', '', 1e6, 'PT1H', 'soft'),
        (owner, 'ann', 'tokens', '{}', '', 1000000, 'PT1M', 'hard'), (owner, 'ann', 'tokens', '{}', 'extra', null, null, 'hard'), (owner, 'ops', 'calls', '{}', '', 10, 'PT5M', 'hard'),
        (owner, 'acme', 'streams', '{}', '', 1000, null, 'hard'), (owner, 'eng', 'dollars', '{}', '', 100, 'P1W', 'hard')
    on conflict do nothing;
    insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence, window_kind)
    values (owner, 'ben', 'tokens', 'first', 5000, 'PT5H', 'first_use'), (owner, 'ben', 'tokens', 'rolling', 5000, 'PT1M', 'sliding')
    on conflict do nothing;
    insert into gov_assignments (owner_id, entity_id, capability_id, name, is_pool, debt_limit)
    values (owner, 'acme', 'pooled', 'pool', true, 100)
    on conflict do nothing;
    insert into gov_default_assignments (owner_id, type_id, capability_id, scope_type_ids, usage_limit, cadence)
    values (null, 'user', 'calls', '{}', 1000, 'P1D'), (owner, 'user', 'tokens', '{model}', 5000, 'P1W'), (owner, 'guest', 'tokens', '{}', 10, null)
    on conflict do nothing;
    insert into gov_prices (owner_id, capability_id, quantity, match, price, per, valid_from)
    values (null, 'dollars', 'input', '{}', 2.5, 1000000, '2020-01-01'), (null, 'dollars', 'output', '{}', 10, 1000000, '2020-01-01'), (null, 'dollars', 'cached', '{"model": "gpt"}', 0.25, 1000000, '2020-01-01'),
        (null, 'dollars', 'free', '{}', 0, 1, '2020-01-01'), (owner, 'dollars', 'input', '{"model": "gpt"}', 1.25, 1000000, '2021-01-01')
    on conflict do nothing;
    update gov_entities set blocked_at = null, blocked_until = null, archived_at = null where owner_id = owner and (blocked_at is not null or archived_at is not null);
    if (select count(*) < 3 from gov_grants where owner_id = owner and voided_at is null) then
        perform gov_grant_credits(owner, 'acme', 'pooled', 1000, name => 'pool');
        perform gov_grant_credits(owner, 'acme', 'pooled', 10, now() + interval '20 seconds', name => 'pool', priority => 1);
    end if;
    insert into gov_increase_requests (owner_id, entity_id, capability_id, name, amount) values (owner, 'ann', 'tokens', '', 5);
    perform gov_reserve(owner, 'tokens', 1, null, '{ann}', null, interval '1 minute' * n), gov_ingest(owner, 'tokens', n, '{"model": "gpt"}', '{ann}'), gov_reserve_all(owner, '{"tokens": 1, "streams": 1}', null, '{ben}')
    from generate_series(1, 5) n;
end
$$;

-- Rows by their place, the newest first; null where there is none.
create function fuzz.hold(n int) returns uuid language sql stable security definer
return (select id from public.gov_reservations order by created_at desc, id offset n limit 1);
create function fuzz.budget(n int) returns uuid language sql stable security definer
return (select id from public.gov_assignments order by owner_id, entity_id, capability_id, scope_entity_ids, name offset n limit 1);
create function fuzz.grant_of(n int) returns uuid language sql stable security definer
return (select id from public.gov_grants order by created_at desc, id offset n limit 1);
create function fuzz.request(n int) returns uuid language sql stable security definer
return (select id from public.gov_increase_requests order by created_at desc, id offset n limit 1);
create function fuzz.event(n int) returns bigint language sql stable security definer
return (select id from public.gov_events order by id desc offset n limit 1);

-- A cursor of a list that was left after its second row.
create function fuzz.cursor(owner text, n int) returns text language sql volatile security definer
return case n
    when 0 then public.gov_list_entities(owner, page_size => 2)
    when 1 then public.gov_list_capabilities(page_size => 2)
    when 2 then public.gov_list_assignments(owner, page_size => 2)
    when 3 then public.gov_list_entity_types(page_size => 2)
    when 4 then public.gov_list_default_assignments(owner, page_size => 2)
    else public.gov_list_prices(owner, page_size => 2)
end -> 'pagination' ->> 'next';
