-- What the run-time tests share: included by each of them, so that each can run alone.
--
-- Answers are printed unaligned: a longer value then changes one line of the expected output and not the whole table.
-- Errors are printed as their SQLSTATE, which is what the contract fixes. Windows are made with cadences of many years
-- (P100Y is 2001 to 2101), so that no test can straddle the end of one.
\a
\pset footer off
\pset null NULL
\set VERBOSITY sqlstate
set timezone = 'UTC';
set datestyle = 'ISO';
set client_min_messages = warning;
drop schema if exists helper cascade;
create schema helper;

-- The vendor's side, and one customer:
--
--     acme (org) ── eng (team) ── ann (user) ── bot (agent)        gpt, opus (models, roots)
--                │            └── ben (user)
--                └─ ops (team) ── cyd (user)
create procedure helper.organisation(owner text)
language plpgsql
as $$
begin
    insert into gov_entity_types (id, attribution_keys)
    values ('org', '{orgId}'), ('team', '{teamId}'), ('user', '{userId}'), ('agent', '{agentId}'), ('model', '{model,modelId}')
    on conflict (id) do update set attribution_keys = excluded.attribution_keys;

    insert into gov_capabilities (id, kind)
    values ('tokens', 'credit'), ('calls', 'feature')
    on conflict (id) do nothing;

    insert into gov_entities (owner_id, id, type_id, parent_id)
    values (owner, 'acme', 'org', null),
           (owner, 'eng', 'team', 'acme'),
           (owner, 'ops', 'team', 'acme'),
           (owner, 'ann', 'user', 'eng'),
           (owner, 'ben', 'user', 'eng'),
           (owner, 'cyd', 'user', 'ops'),
           (owner, 'bot', 'agent', 'ann'),
           (owner, 'gpt', 'model', null),
           (owner, 'opus', 'model', null);
end
$$;

-- A chains document in one line: nodes by ' < ' towards the root, chains by ' | '. A node is
--     entity{scope}:name usage+held/limit (remaining)
-- followed by 'denied' and 'over' when it says so; parts that are empty or zero are left out.
create function helper.show(chains jsonb) returns text
language sql
as $$
    select string_agg(chain.line, ' | ' order by chain.place)
    from (
        select c.place,
               string_agg(
                   (n.node ->> 'entityId')
                   || coalesce('{' || (select string_agg(s.id, ',' order by s.place)
                                       from jsonb_array_elements_text(n.node -> 'scopeEntityIds') with ordinality as s (id, place)) || '}', '')
                   || coalesce(':' || nullif(n.node ->> 'name', ''), '')
                   || ' ' || (n.node ->> 'currentUsage')
                   || coalesce('+' || nullif(n.node ->> 'reservedUsage', '0'), '')
                   || '/' || coalesce(n.node ->> 'usageLimit', 'none')
                   || coalesce(' (' || (n.node ->> 'remaining') || ')', '')
                   || case when (n.node ->> 'isGranted')::boolean then '' else ' denied' end
                   || case when (n.node ->> 'isOverLimit')::boolean then ' over' else '' end,
                   ' < ' order by n.place) as line
        from jsonb_array_elements(chains) with ordinality as c (chain, place),
             jsonb_array_elements(c.chain) with ordinality as n (node, place)
        group by c.place
    ) as chain
$$;

-- The chains of one call, in that form.
create function helper.usage(owner text, capability text, entities text[], dims jsonb default null) returns text
language sql
as $$
    select coalesce(helper.show(chains), 'nothing')
    from gov_check(owner, capability, 0, dims, entities)
$$;

-- Everything in the ledger, rolled up: rounds until the watermark has passed the last event. A round waits for nobody, so several may be needed.
create procedure helper.roll_up()
language plpgsql
as $$
declare
    target bigint := (select max(id) from gov_events);
begin
    for round in 1..2000 loop
        perform gov_maintain();
        commit;
        exit when target is null or exists (select from gov_rollup_state where watermark >= target);
        perform pg_sleep(0.005);
    end loop;
    if not exists (select from gov_rollup_state where watermark >= target) and target is not null then
        raise exception 'the rollup did not reach event %', target;
    end if;
end
$$;

-- A statement's outcome: 'ok', or the SQLSTATE. What it did is kept when it succeeds.
create function helper.outcome(statement text) returns text
language plpgsql
as $$
begin
    execute statement;
    return 'ok';
exception
    when others then
        return sqlstate;
end
$$;
