-- What both examples need: the application's role and tables, and a customer with budgets.
--
--     psql -d yourdb -f schema.sql
--
-- as a superuser, where the extension is: create extension governance.

-- The application calls functions and has no right on the budgets' tables. What no budget governs, such as an
-- agent that is misspelt, is denied rather than free. An open transaction keeps its usage counted: it must not idle.
create role gateway login;

alter role gateway set governance.on_ungoverned = 'deny';
alter role gateway set statement_timeout = '5s';
alter role gateway set idle_in_transaction_session_timeout = '10s';

select gov_grant('gateway', 'app');

-- The application's own rows. Each belongs to what was charged for it.
create table chats (
    reservation_id uuid primary key,
    owner_id text not null,
    prompt text not null,
    answer text not null,
    tokens integer not null,
    created_at timestamptz not null default now()
);

create table images (
    event_id bigint primary key,
    owner_id text not null,
    name text not null,
    created_at timestamptz not null default now(),
    unique (owner_id, name)
);

grant select, insert on chats, images to gateway;

-- A team with 100,000 tokens and 20 dollars a month, an agent of it with 1,000 tokens a day and 60 requests a minute, three images for good
-- and 10,000 calls of tools a day.
insert into gov_entity_types (id, attribution_keys)
values
    ('team', '{teamId}'),
    ('agent', '{agentId}'),
    ('model', '{model}');

insert into gov_capabilities (id, kind, unit)
values
    ('ai-tokens', 'credit', 'token'),
    ('ai-dollars', 'credit', 'USD'),
    ('ai-requests', 'feature', 'request'),
    ('ai-images', 'feature', 'image'),
    ('ai-tools', 'feature', 'call');

insert into gov_entities (owner_id, id, type_id, parent_id)
values
    ('cus-acme', 'team-eng', 'team', null),
    ('cus-acme', 'agent-7', 'agent', 'team-eng');

insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values
    ('cus-acme', 'team-eng', 'ai-tokens', 100000, 'P1M'),
    ('cus-acme', 'team-eng', 'ai-dollars', 20, 'P1M'),
    ('cus-acme', 'agent-7', 'ai-requests', 60, 'PT1M'),
    ('cus-acme', 'agent-7', 'ai-tokens', 1000, 'P1D'),
    ('cus-acme', 'agent-7', 'ai-images', 3, null),
    ('cus-acme', 'agent-7', 'ai-tools', 10000, 'P1D');

-- What a million tokens cost, of all models that may be called: one without prices is refused.
insert into gov_prices (capability_id, quantity, match, price, per, valid_from)
select 'ai-dollars', quantity, jsonb_build_object('model', model), price, 1000000, '2025-01-01'
from unnest('{stand-in,stand-in-failing,stand-in-hanging,stand-in-waiting}'::text[]) as model
cross join (values ('input', 2.50), ('cached', 0.25), ('output', 10)) as list (quantity, price);
