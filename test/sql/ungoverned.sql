-- Calls that no budget governs.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('free');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('free', 'ann', 'tokens', 5, 'P100Y'),
       ('free', 'ben', 'tokens', null, null);
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, usage_limit, cadence)
values ('free', 'eng', 'tokens', '{gpt}', 3, 'P100Y');

-- No budget at all: granted, and there is nothing to show.
create table helper.call (n int primary key, what text, owner text, capability text, dims jsonb, ids text[]);
insert into helper.call
values (1, 'no entity', 'free', 'tokens', null, null),
       (2, 'entities without budgets', 'free', 'tokens', null, '{cyd,opus}'),
       (3, 'another capability', 'free', 'calls', null, '{ann}'),
       (4, 'a scope that is not met', 'free', 'tokens', null, '{eng}'),
       (5, 'ids that are no entity', 'free', 'tokens', '{"userId": "nobody"}', '{nobody}'),
       (6, 'an unknown owner', 'nobody', 'tokens', '{"userId": "ann"}', '{ann}'),
       (7, 'governed', 'free', 'tokens', null, '{ann}'),
       (8, 'governed without a limit', 'free', 'tokens', null, '{ben}'),
       (9, 'governed through a scope', 'free', 'tokens', '{"model": "gpt"}', '{eng}');
select c.n, c.what, r.is_granted, r.denied_reason, r.remaining, r.retry_at, coalesce(helper.show(r.chains), r.chains::text) as chains
from helper.call as c, gov_check(c.owner, c.capability, 4, c.dims, c.ids) as r
order by c.n;
select c.n, gov_allowed(c.owner, c.capability, 4, c.dims, c.ids), (select count(*) from gov_headroom(c.owner, c.capability, 4, c.dims, c.ids)) as nodes
from helper.call as c
order by c.n;

-- The setting can deny them.
set governance.on_ungoverned = 'deny';
select c.n, c.what, r.is_granted, r.denied_reason, r.remaining, r.retry_at, coalesce(helper.show(r.chains), r.chains::text) as chains
from helper.call as c, gov_check(c.owner, c.capability, 4, c.dims, c.ids) as r
order by c.n;
select c.n, gov_allowed(c.owner, c.capability, 0, c.dims, c.ids)
from helper.call as c
order by c.n;

-- Or make them an error.
set governance.on_ungoverned = 'error';
select c.n, helper.outcome(format('select gov_check(%L, %L, 4, %L, %L)', c.owner, c.capability, c.dims, c.ids)) as gov_check,
       helper.outcome(format('select gov_allowed(%L, %L, 4, %L, %L)', c.owner, c.capability, c.dims, c.ids)) as gov_allowed
from helper.call as c
order by c.n;
-- an archived entity's budgets govern nothing
begin;
update gov_entities set archived_at = now() where owner_id = 'free' and id = 'ann';
select helper.outcome($$select gov_check('free', 'tokens', 1, null, '{ann}')$$);
rollback;
select helper.outcome($$select gov_check('free', 'tokens', 1, null, '{ann}')$$);

-- Ingest never gates: it records them whatever the setting says.
select c.n, (select i.is_duplicate from gov_ingest(c.owner, c.capability, 4, c.dims, c.ids) as i) as is_duplicate
from helper.call as c
order by c.n;
reset governance.on_ungoverned;
select owner_id, capability_id, amount, entity_ids, dimensions, array_length(counter_ids, 1) as budgets
from gov_events
where owner_id in ('free', 'nobody')
order by id;
set governance.on_ungoverned = 'sometimes';

-- An unknown capability is an error in every call, whoever the owner is; unknown is judged before anything is governed or not.
select call, helper.outcome(call)
from unnest(array[
    $$select gov_check('free', 'no-such', 1, null, '{ann}')$$,
    $$select gov_allowed('free', 'no-such')$$,
    $$select gov_headroom('free', 'no-such')$$,
    $$select gov_ingest('free', 'no-such', 1, null, '{ann}')$$,
    $$select gov_check('nobody', 'no-such')$$,
    $$select gov_ingest('nobody', 'no-such')$$,
    $$select gov_allowed('free', 'Tokens')$$
]) as call;
-- what was once no entity and becomes one is governed from then on
select helper.usage('free', 'tokens', '{later}', '{"userId": "later"}');
insert into gov_entities (owner_id, id, type_id) values ('free', 'later', 'user');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('free', 'later', 'tokens', 8, null);
select helper.usage('free', 'tokens', '{later}'), helper.usage('free', 'tokens', null, '{"userId": "later"}');
-- and the other way round
delete from gov_assignments where owner_id = 'free' and entity_id = 'later';
delete from gov_entities where owner_id = 'free' and id = 'later';
select helper.usage('free', 'tokens', '{later}', '{"userId": "later"}');
select gov_delete_owner('free'), gov_delete_owner('nobody');
