-- The customer of the demo, made as a vendor's control plane would: with the catalog functions and their JSON.
--
--     acme ── 3 departments ── 12 teams ── 120 users ── 240 agents        and 3 models, roots of their own
--
-- Users need not be known before they appear: their first use creates them below their team. Models must be.
--
-- Limits are shares of the traffic that is about to come (:tokens and :requests in all), so that
-- any trace meets some budgets that hold and some that are too tight.

\set owner 'cus-acme'

select gov_upsert_entity_types('{"types": [
    {"displayName": "Organization", "id": "org", "attributionKeys": ["orgId"]},
    {"displayName": "Department",   "attributionKeys": ["departmentId"]},
    {"displayName": "Team",         "attributionKeys": ["teamId"]},
    {"displayName": "User",         "attributionKeys": ["userId"], "onUnknown": "create", "parentKey": "teamId"},
    {"displayName": "Agent",        "attributionKeys": ["agentId"]},
    {"displayName": "Model",        "attributionKeys": ["model"],  "onUnknown": "deny"}
]}');

select gov_upsert_capabilities('{"capabilities": [
    {"id": "ai-tokens",   "displayName": "LLM tokens",   "kind": "credit",  "unit": "token"},
    {"id": "ai-dollars",  "displayName": "LLM cost",     "kind": "credit",  "unit": "USD"},
    {"id": "ai-requests", "displayName": "LLM requests", "kind": "feature", "unit": "request"}
]}');

select gov_upsert_entities(:'owner', '{"entities": [
    {"id": "acme",               "typeRefId": "org",        "displayName": "Acme"},
    {"id": "dept-engineering",   "typeRefId": "department", "displayName": "Engineering", "parentId": "acme"},
    {"id": "dept-sales",         "typeRefId": "department", "displayName": "Sales",       "parentId": "acme"},
    {"id": "dept-support",       "typeRefId": "department", "displayName": "Support",     "parentId": "acme"},
    {"id": "team-platform",      "typeRefId": "team", "parentId": "dept-engineering"},
    {"id": "team-data",          "typeRefId": "team", "parentId": "dept-engineering"},
    {"id": "team-mobile",        "typeRefId": "team", "parentId": "dept-engineering"},
    {"id": "team-quality",       "typeRefId": "team", "parentId": "dept-engineering"},
    {"id": "team-americas",      "typeRefId": "team", "parentId": "dept-sales"},
    {"id": "team-asia",          "typeRefId": "team", "parentId": "dept-sales"},
    {"id": "team-europe",        "typeRefId": "team", "parentId": "dept-sales"},
    {"id": "team-partners",      "typeRefId": "team", "parentId": "dept-sales"},
    {"id": "team-documentation", "typeRefId": "team", "parentId": "dept-support"},
    {"id": "team-onboarding",    "typeRefId": "team", "parentId": "dept-support"},
    {"id": "team-tier-1",        "typeRefId": "team", "parentId": "dept-support"},
    {"id": "team-tier-2",        "typeRefId": "team", "parentId": "dept-support"},
    {"id": "large",              "typeRefId": "model"},
    {"id": "medium",             "typeRefId": "model"},
    {"id": "small",              "typeRefId": "model"}
]}');

-- ten users in every team, then two agents for every user; a call takes up to 100 items
create temp table teams as
select id, position
from unnest('{team-platform,team-data,team-mobile,team-quality,team-americas,team-asia,
              team-europe,team-partners,team-documentation,team-onboarding,team-tier-1,team-tier-2}'::text[])
     with ordinality as team (id, position);

select gov_upsert_entities(:'owner', jsonb_build_object('entities', jsonb_agg(jsonb_build_object(
           'id', format('user-%s', to_char(n, 'fm000')),
           'typeRefId', 'user',
           'parentId', teams.id))))
from generate_series(1, 120) as n
join teams on position = 1 + (n - 1) / 10
group by (n - 1) / 100;

select gov_upsert_entities(:'owner', jsonb_build_object('entities', jsonb_agg(jsonb_build_object(
           'id', format('agent-%s', to_char(n, 'fm000')),
           'typeRefId', 'agent',
           'parentId', format('user-%s', to_char(1 + (n - 1) / 2, 'fm000'))))))
from generate_series(1, 240) as n
group by (n - 1) / 100;

-- What tokens cost, per million, for everybody: those that go in, those that the model has in its cache, those that come out. The large model
-- had other prices until the middle of a month; its batches are half the price.
select gov_upsert_prices(null, jsonb_agg(jsonb_build_object(
           'capabilityId', 'ai-dollars', 'quantity', quantity, 'match', match, 'price', price, 'per', 1000000, 'validFrom', valid_from)))
from (values
    ('input',  '{"model": "large"}'::jsonb,                  3.00, '2025-01-01'),
    ('cached', '{"model": "large"}',                         0.30, '2025-01-01'),
    ('output', '{"model": "large"}',                        15.00, '2025-01-01'),
    ('input',  '{"model": "large"}',                         2.50, '2026-03-15'),
    ('cached', '{"model": "large"}',                         0.25, '2026-03-15'),
    ('output', '{"model": "large"}',                        10.00, '2026-03-15'),
    ('input',  '{"model": "large", "batch": true}',          1.25, '2026-03-15'),
    ('cached', '{"model": "large", "batch": true}',          0.125, '2026-03-15'),
    ('output', '{"model": "large", "batch": true}',          5.00, '2026-03-15'),
    ('input',  '{"model": "medium"}',                        0.40, '2025-01-01'),
    ('cached', '{"model": "medium"}',                        0.10, '2025-01-01'),
    ('output', '{"model": "medium"}',                        1.60, '2025-01-01'),
    ('input',  '{"model": "small"}',                         0.10, '2025-01-01'),
    ('cached', '{"model": "small"}',                         0.025, '2025-01-01'),
    ('output', '{"model": "small"}',                         0.40, '2025-01-01')
) as price (quantity, match, price, valid_from);

-- Whoever listens is told at 80 and at 100 per cent of each of them.
select gov_set_alert_policy(:'owner', '{80, 100}');

-- Budgets on every level, each a share of the traffic to come. Too tight on purpose: the support department,
-- engineering on the large model, the platform team, and below the busiest users and agents.
create temp table budgets (entity_id text, scope text[], capability_id text, cadence text, usage_limit numeric);

insert into budgets
select entity_id, scope, 'ai-tokens', 'P1M', round(:tokens * share)
from (values
    ('acme',             '{}'::text[],     1.200),
    ('dept-engineering', '{}',             0.500),
    ('dept-engineering', '{large}',        0.045),
    ('dept-sales',       '{}',             0.400),
    ('dept-sales',       '{large}',        0.080),
    ('dept-support',     '{}',             0.180),
    ('dept-support',     '{large}',        0.050),
    ('large',            '{}',             0.300),
    ('medium',           '{}',             0.600),
    ('small',            '{}',             0.800)
) as share (entity_id, scope, share)
union all
select id, '{}', 'ai-tokens', 'P1M', round(:tokens * case id when 'team-platform' then 0.150 else 0.120 end)
from teams
union all
-- the one user who has a budget of its own in the place of everybody's
values ('user-004', '{}'::text[], 'ai-tokens', 'P1M', round(:tokens * 0.040))
union all
select format('agent-%s', to_char(n, 'fm000')), '{}', 'ai-tokens', 'P1M', round(:tokens * 0.015)
from generate_series(1, 240) as n
union all
select format('agent-%s', to_char(n, 'fm000')), '{}', 'ai-requests', 'PT1M',
       greatest(1, round(:requests * case when n % 30 = 0 then 0.001 else 0.030 end))
from generate_series(1, 240) as n;

-- Every user has this one by default: no row for each, and none for whoever comes tomorrow.
select gov_upsert_default_assignments(:'owner', jsonb_build_array(jsonb_build_object(
           'typeId', 'user',
           'capabilityId', 'ai-tokens',
           'usageLimit', round(:tokens * 0.025),
           'cadence', 'P1M')));

select gov_upsert_assignments(:'owner', jsonb_build_object('assignments', jsonb_agg(jsonb_build_object(
           'entityId', entity_id,
           'scopeEntityIds', scope,
           'capabilityId', capability_id,
           'usageLimit', usage_limit,
           'cadence', cadence))))
from (select *, (row_number() over () - 1) / 100 as call from budgets) as budgets
group by call;
