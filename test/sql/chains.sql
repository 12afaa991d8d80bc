-- not in SQL_ASCII: the lengths of text are its bytes there
-- Which entities and which budgets a call concerns, and how the chains show them.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('chains');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('chains', 'acme', 'tokens', 1000, 'P100Y'),
       ('chains', 'eng', 'tokens', 100, 'P100Y'),
       ('chains', 'ops', 'tokens', 90, 'P100Y'),
       ('chains', 'ann', 'tokens', 50, 'P100Y'),
       ('chains', 'bot', 'tokens', 10, 'P100Y'),
       ('chains', 'gpt', 'tokens', 500, 'P100Y');

-- A chain runs from the entity to the root, whatever level it begins at.
select e.id, helper.usage('chains', 'tokens', array[e.id])
from gov_entities as e
where e.owner_id = 'chains'
order by e.id;

-- One chain per entity, in the order they are named; one named twice stands at its first place; a chain without budgets is left out.
select helper.usage('chains', 'tokens', '{cyd,gpt,ann}');
select helper.usage('chains', 'tokens', '{gpt,ann,opus,gpt,ann}');
-- an ancestor that is named has its own chain as well
select helper.usage('chains', 'tokens', '{acme,eng}'), helper.usage('chains', 'tokens', '{eng,acme}');
select helper.usage('chains', 'tokens', '{}'), helper.usage('chains', 'tokens', null);

-- Dimensions name entities through the attribution keys of their type: the key and the type must fit, and the id exactly.
select d.dims, helper.usage('chains', 'tokens', null, d.dims)
from (values
    ('{"teamId": "ops"}'::jsonb),
    ('{"model": "gpt"}'),
    ('{"modelId": "gpt"}'),
    ('{"teamId": "gpt"}'),
    ('{"modelid": "gpt"}'),
    ('{"teamId": "Ops"}'),
    ('{"teamId": " ops"}'),
    ('{"teamId": "nobody"}'),
    ('{"teamId": ""}'),
    ('{"teamId": null}'),
    ('{"requestId": "ops"}'),
    ('{}')
) as d (dims);
-- entity_ids first, then dimensions by key in byte order, upper case before lower; what was named already keeps its place
update gov_entity_types set attribution_keys = '{teamId,ZonedTeam}' where id = 'team';
select helper.usage('chains', 'tokens', '{gpt}', '{"teamId": "ops", "ZonedTeam": "eng", "model": "gpt"}');
select helper.usage('chains', 'tokens', '{opus}', '{"teamId": "ops", "userId": "ann", "model": "gpt", "modelId": "gpt"}');
update gov_entity_types set attribution_keys = '{teamId}' where id = 'team';
select helper.usage('chains', 'tokens', null, '{"ZonedTeam": "eng"}');

-- The JSON text of numbers and booleans counts.
insert into gov_entity_types (id, attribution_keys) values ('cell', '{cellNo}') on conflict (id) do nothing;
insert into gov_entities (owner_id, id, type_id)
values ('chains', '7', 'cell'), ('chains', '7.0', 'cell'), ('chains', 'true', 'cell'), ('chains', '-1.5', 'cell'), ('chains', 'null', 'cell');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
select 'chains', e.id, 'tokens', 1, null from gov_entities as e where e.owner_id = 'chains' and e.type_id = 'cell';
select d.dims, helper.usage('chains', 'tokens', null, d.dims)
from (values
    ('{"cellNo": 7}'::jsonb),
    ('{"cellNo": "7"}'),
    ('{"cellNo": 7.0}'),
    ('{"cellNo": -1.5}'),
    ('{"cellNo": true}'),
    ('{"cellNo": "true"}'),
    ('{"cellNo": false}'),
    ('{"cellNo": null}'),
    ('{"cellNo": "null"}')
) as d (dims);

-- An id that is no entity of the owner is ungoverned; another owner's entity is none of one's own.
call helper.organisation('chains-2');
insert into gov_entities (owner_id, id, type_id) values ('chains-2', 'theirs', 'team');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('chains-2', 'theirs', 'tokens', 0, null);
select helper.usage('chains', 'tokens', '{nobody,gpt,theirs}', '{"teamId": "theirs"}');
select helper.usage('chains-2', 'tokens', '{nobody,gpt,theirs}', '{"teamId": "theirs"}');

-- A budget that two chains reach counts once: 7 for the organisation, not 14.
select is_duplicate from gov_ingest('chains', 'tokens', 7, entity_ids => '{ann,cyd,ann}');
select helper.usage('chains', 'tokens', '{ann,cyd}');
select is_granted, remaining from gov_check('chains', 'tokens', 43, entity_ids => '{ann,cyd,ann,eng}');
-- the organisation's limit stands even when every chain would pass alone
update gov_assignments set usage_limit = 17 where owner_id = 'chains' and entity_id = 'acme';
select is_granted, denied_reason, remaining from gov_check('chains', 'tokens', 10, entity_ids => '{ann,cyd}');
select is_granted, denied_reason, remaining, helper.show(chains) from gov_check('chains', 'tokens', 11, entity_ids => '{ann,cyd}');
update gov_assignments set usage_limit = 1000 where owner_id = 'chains' and entity_id = 'acme';

-- Scopes: a budget holds when its whole scope is in the resolved set, wherever in it.
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, usage_limit, cadence)
values ('chains', 'eng', 'tokens', '{gpt}', 30, 'P100Y'),
       ('chains', 'eng', 'tokens', '{opus}', 20, 'P100Y'),
       ('chains', 'eng', 'tokens', '{gpt,cyd}', 5, 'P100Y'),
       ('chains', 'acme', 'tokens', '{eng}', 400, 'P100Y'),
       ('chains', 'gpt', 'tokens', '{acme}', 300, 'P100Y');
select helper.usage('chains', 'tokens', '{ben}');
select helper.usage('chains', 'tokens', '{ben,gpt}');
select helper.usage('chains', 'tokens', '{gpt,cyd}');
-- opus has no budget of its own and no chain, but it is in the resolved set
select helper.usage('chains', 'tokens', '{ben,opus}');
-- across three chains: cyd and gpt meet on a budget of eng, which ben brings
select helper.usage('chains', 'tokens', '{ben,gpt,cyd}');
select is_granted, denied_reason, remaining from gov_check('chains', 'tokens', 6, entity_ids => '{ben,gpt,cyd}');
select is_granted, denied_reason, remaining from gov_check('chains', 'tokens', 6, entity_ids => '{ben,gpt}');
-- through dimensions all the same
select is_granted, denied_reason, remaining from gov_check('chains', 'tokens', 6, '{"userId": "ben", "modelId": "gpt", "seat": 4}', '{cyd}');
-- an event counts in the budgets whose scope it meets
select is_duplicate from gov_ingest('chains', 'tokens', 2, '{"modelId": "gpt"}', '{ben}');
select is_duplicate from gov_ingest('chains', 'tokens', 1, '{"modelId": "opus"}', '{ben}');
select helper.usage('chains', 'tokens', '{ben,gpt,opus,cyd}');
-- an archived entity is still in the resolved set for others' scopes
update gov_entities set archived_at = '2026-01-01' where owner_id = 'chains' and id in ('gpt', 'eng');
select helper.usage('chains', 'tokens', '{ben,gpt}');
update gov_entities set archived_at = null where owner_id = 'chains' and id = 'eng';
select helper.usage('chains', 'tokens', '{ben,gpt}');
update gov_entities set archived_at = null where owner_id = 'chains';

-- On one entity: node-wide first, then by scope size, scope and name, in byte order.
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence)
values ('chains', 'cyd', 'calls', '{opus}', '', 1, null),
       ('chains', 'cyd', 'calls', '{gpt,opus}', '', 2, null),
       ('chains', 'cyd', 'calls', '{gpt}', 'b', 3, null),
       ('chains', 'cyd', 'calls', '{gpt}', 'B', 4, null),
       ('chains', 'cyd', 'calls', '{gpt}', '', 5, null),
       ('chains', 'cyd', 'calls', '{}', 'z', 6, null),
       ('chains', 'cyd', 'calls', '{}', 'Z', 7, null),
       ('chains', 'cyd', 'calls', '{}', '', 8, null),
       ('chains', 'cyd', 'calls', '{7,gpt}', '', 9, null);
select helper.usage('chains', 'calls', '{cyd,gpt,opus,7}');

-- The document itself.
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, enforcement)
values ('chains', 'acme', 'calls', 12.50, 'P100Y', 'soft');
select is_duplicate from gov_ingest('chains', 'calls', 20.250, entity_ids => '{acme}');
select jsonb_pretty(chains) from gov_check('chains', 'calls', 9, entity_ids => '{cyd,opus}');
-- nothing reached: an empty array
select is_granted, denied_reason, remaining, retry_at, chains from gov_check('chains', 'calls', 9, entity_ids => '{gpt}');
-- without a limit: null where there is nothing to say
update gov_assignments set usage_limit = null where owner_id = 'chains' and entity_id = 'acme' and capability_id = 'calls';
select chains #> '{0,0}' -> 'usageLimit' as usage_limit, chains #> '{0,0}' -> 'remaining' as remaining, chains #> '{0,0}' -> 'isOverLimit' as is_over_limit
from gov_check('chains', 'calls', 9, entity_ids => '{acme}');

-- gov_headroom numbers the chains as the document orders them.
select h.chain, h.entity_id, h.scope_entity_ids, h.name, h.current_usage
from gov_headroom('chains', 'tokens', 0, '{"modelId": "gpt"}', '{opus,ben}') as h;

-- The longest chain there may be: 64 entities, each with a budget.
insert into gov_entities (owner_id, id, type_id, parent_id)
select 'chains', 'deep-' || n, 'team', case when n > 1 then 'deep-' || n - 1 end
from generate_series(1, 64) as n;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
select 'chains', 'deep-' || n, 'tokens', 1000 + n, 'P100Y'
from generate_series(1, 64) as n;
select is_duplicate from gov_ingest('chains', 'tokens', 3, entity_ids => '{deep-64}');
select is_granted, remaining, jsonb_array_length(chains -> 0) as nodes,
       chains #>> '{0,0,entityId}' as first, chains #>> '{0,63,entityId}' as last,
       (select bool_and((n.node ->> 'currentUsage')::numeric = 3) from jsonb_array_elements(chains -> 0) as n (node)) as all_counted
from gov_check('chains', 'tokens', 998, entity_ids => '{deep-64}');
select is_granted from gov_check('chains', 'tokens', 998.000000001, entity_ids => '{deep-64}');
-- Ids and names that JSON, arrays and chains could stumble over, and the longest there are.
insert into gov_entities (owner_id, id, type_id, parent_id)
values ('chains', 'a "quoted" \id', 'team', null),
       ('chains', '{x,y}', 'user', 'a "quoted" \id'),
       ('chains', 'NULL', 'model', null),
       ('chains', ' ', 'model', null),
       ('chains', 'größe🙂', 'model', null),
       ('chains', repeat('é', 255), 'agent', '{x,y}');
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence)
values ('chains', 'a "quoted" \id', 'tokens', array['{x,y}', 'NULL', ' '], 'tab "and" \slash/', 10, null),
       ('chains', '{x,y}', 'tokens', array['größe🙂'], 'größe🙂', 20, null),
       ('chains', 'NULL', 'tokens', '{}', '{}', 30, null),
       ('chains', repeat('é', 255), 'tokens', '{}', repeat('🙂', 255), 40, null);
select is_duplicate from gov_ingest('chains', 'tokens', 4, jsonb_build_object('agentId', repeat('é', 255), 'note', 'a "quoted" \id'), array['NULL', ' ', 'größe🙂']);
select n.node ->> 'entityId' = repeat('é', 255) as is_longest, replace(n.node ->> 'entityId', repeat('é', 255), '…') as entity_id, n.node -> 'scopeEntityIds' as scope,
       replace(n.node ->> 'name', repeat('🙂', 255), '…') as name, n.node -> 'currentUsage' as usage
from gov_check('chains', 'tokens', 6, null, array['NULL', repeat('é', 255), ' ', 'größe🙂']) as r,
     jsonb_array_elements(r.chains) with ordinality as c (chain, place),
     jsonb_array_elements(c.chain) with ordinality as n (node, place)
order by c.place, n.place;
select h.entity_id, h.scope_entity_ids, h.name, h.current_usage
from gov_headroom('chains', 'tokens', 6, null, array['{x,y}', 'NULL', ' ']) as h;
select gov_allowed('chains', 'tokens', 7, jsonb_build_object('model', 'NULL', 'modelId', ' '), array['{x,y}']) as above, gov_allowed('chains', 'tokens', 6, jsonb_build_object('model', 'NULL', 'modelId', ' '), array['{x,y}']) as at_limit;

-- As many budgets as one entity may have for a capability, and as many names as one call may bring.
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence)
select 'chains', 'opus', 'tokens', 'n' || lpad(n::text, 3, '0'), 1000 + n, case n % 3 when 0 then null when 1 then 'P100Y' else 'P50Y' end
from generate_series(1, 256) as n;
select is_duplicate from gov_ingest('chains', 'tokens', 3, null, (select array_agg(case when n % 2 = 0 then 'opus' else 'nobody-' || n end) from generate_series(1, 1000) as n));
select helper.outcome($$select gov_ingest('chains', 'tokens', 3, null, (select array_agg('opus'::text) from generate_series(1, 1001)))$$);
select r.is_granted, r.remaining, count(*) as nodes, bool_and((n.node ->> 'currentUsage')::numeric = 3) as all_counted, min(n.node ->> 'name') as first, max(n.node ->> 'name') as last
from gov_check('chains', 'tokens', 998, (select jsonb_object_agg('k' || n, 'opus') || jsonb_build_object('model', 'opus') from generate_series(1, 1000) as n)) as r,
     jsonb_array_elements(r.chains -> 0) as n (node)
group by 1, 2;
select array_length(counter_ids, 1) as budgets from gov_events where owner_id = 'chains' order by id desc limit 1;
-- names that are no entity are recorded as nothing, also when there are more of them than the cache likes to keep
select is_duplicate from gov_ingest('chains', 'tokens', 3, null, (select array_agg('no-one-' || n) from generate_series(1, 200) as n));
select entity_ids, counter_ids from gov_events where owner_id = 'chains' order by id desc limit 1;
call helper.roll_up();
select gov_refresh() \gset
select is_granted, remaining from gov_check('chains', 'tokens', 998, entity_ids => '{opus}');
select count(*) as wrong from gov_verify();

-- Chains are written without the server's builder of jsonb, and are the same bytes: with padding of every size, more
-- elements than one stride of offsets, fractions, numbers beyond 64 bits, nulls and times far off.
insert into gov_entities (owner_id, id, type_id)
select 'chains', repeat('m', n), 'model'
from generate_series(1, 70) as n;
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence, anchor_at, enforcement)
select 'chains', repeat('m', n), 'tokens',
       case when n % 7 = 0 then (select array_agg(repeat('m', s)) from generate_series(1, n - 1) as s) else '{}' end,
       repeat('x', n % 5), case when n % 4 > 0 then 10::numeric ^ n % 100000000000000003 * n / 1000 end,
       case when n % 3 > 0 then 'P9000Y' end, case when n % 3 > 1 then '4001-02-29 12:34:56.789 BC'::timestamptz end,
       case when n % 6 > 0 then 'hard' else 'soft' end
from generate_series(1, 70) as n;
select is_duplicate
from generate_series(1, 12) as n,
     gov_ingest('chains', 'tokens', 999999999999999999.123456789, entity_ids => array[repeat('m', 65 + 4 * (n % 2))]);
select count(*) as calls, max(jsonb_array_length(r.chains)) as most_chains, bool_and(record_image_eq(row(r.chains), row(r.chains::text::jsonb))) as are_same_bytes
from (
    select (select array_agg(repeat('m', m)) from generate_series(least(n, 70), n / 4, -1) as m) from generate_series(1, 75) as n
    union all
    values ('{}'), ('{opus}'), ('{bot,cyd,gpt,opus}'), (array['NULL', repeat('é', 255), ' ', '{x,y}', 'größe🙂', 'a "quoted" \id'])
) as given (ids),
     gov_check('chains', 'tokens', 1.5, null, given.ids) as r;
select r.chains -> 0 -> 0 ->> 'currentUsage' as usage, r.chains -> 0 -> 0 ->> 'remaining' as remaining,
       r.chains -> 0 -> 0 ->> 'usagePeriodStart' as starts, r.chains -> 0 -> 0 ->> 'usagePeriodEnd' as ends
from gov_check('chains', 'tokens', 0, entity_ids => array[repeat('m', 65)]) as r;
select gov_delete_owner('chains'), gov_delete_owner('chains-2');
