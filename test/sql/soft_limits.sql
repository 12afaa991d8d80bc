-- Soft limits: they count, never block, and say when they are passed; beside hard ones on one chain only the hard ones decide.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('soft');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, enforcement)
values ('soft', 'ann', 'tokens', 5, 'P100Y', 'soft');

-- Up to the limit it is not over; one billionth more, and it is. isGranted stays true, remaining goes below 0.
select amount, is_granted, denied_reason, remaining, retry_at, event_id is not null as recorded, helper.show(chains)
from unnest('{0,5,0,0.000000001,0,1000}'::numeric[]) as amount, gov_consume('soft', 'tokens', amount, null, '{ann}');
select chains #>> '{0,0,enforcement}' as enforcement, chains #>> '{0,0,isGranted}' as granted, chains #>> '{0,0,isOverLimit}' as over, chains #>> '{0,0,remaining}' as remaining
from gov_check('soft', 'tokens', 1, null, '{ann}');
-- check, allowed and headroom say the same of it
select is_granted, denied_reason, remaining, retry_at, gov_allowed('soft', 'tokens', 999999999999999999, null, '{ann}')
from gov_check('soft', 'tokens', 999999999999999999, null, '{ann}');
select entity_id, usage_limit, trim_scale(current_usage) as current_usage, trim_scale(remaining) as remaining, is_granted, is_over_limit, enforcement
from gov_headroom('soft', 'tokens', 1, null, '{ann}');
-- a correction brings it back under
select is_duplicate from gov_ingest('soft', 'tokens', -1000.000000001, null, '{ann}');
select helper.usage('soft', 'tokens', '{ann}');
select is_duplicate from gov_ingest('soft', 'tokens', -6, null, '{ann}');
select is_granted, remaining, helper.show(chains) from gov_consume('soft', 'tokens', 0, null, '{ann}');

-- A soft limit of 0 is over with the first use, and gov_require grants too.
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, enforcement)
values ('soft', 'ben', 'tokens', 0, null, 'soft');
select helper.usage('soft', 'tokens', '{ben}');
select gov_require('soft', 'tokens', 0.5, null, '{ben}') is not null as recorded;
select helper.usage('soft', 'tokens', '{ben}');

-- Without a limit there is nothing to be over, hard or soft.
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence, enforcement)
values ('soft', 'ops', 'tokens', 'hard', null, 'P100Y', 'hard'),
       ('soft', 'ops', 'tokens', 'soft', null, 'P100Y', 'soft');
select is_granted, remaining, helper.show(chains) from gov_consume('soft', 'tokens', 999999999999999999, null, '{ops}');

-- Mixed on one chain: soft below a hard root, hard below a soft root, both on one entity.
call helper.organisation('mixed');
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence, enforcement)
values ('mixed', 'bot', 'tokens', '', 2, 'P100Y', 'soft'),
       ('mixed', 'ann', 'tokens', 'hard', 6, 'P100Y', 'hard'),
       ('mixed', 'ann', 'tokens', 'soft', 3, 'P100Y', 'soft'),
       ('mixed', 'eng', 'tokens', '', 4, null, 'soft'),
       ('mixed', 'acme', 'tokens', '', 8, 'P50Y', 'hard');
-- remaining is the hard ones' least, however far the soft ones are over
select n, is_granted, denied_reason, remaining, retry_at, helper.show(chains)
from generate_series(1, 4) as n, gov_consume('mixed', 'tokens', 2 + 0 * n, null, '{bot}');
-- a soft one that the amount passes does not make the reason; a hard one does
select amount, is_granted, denied_reason, remaining, retry_at, helper.show(chains)
from unnest('{1,5,6,7,9}'::numeric[]) as amount, gov_check('mixed', 'tokens', amount, null, '{bot}');
-- the root alone denies: the soft ones below it do not
select is_granted, denied_reason, remaining, retry_at, helper.show(chains) from gov_consume('mixed', 'tokens', 3, null, '{cyd}');
select is_granted, remaining, helper.show(chains) from gov_consume('mixed', 'tokens', 2, null, '{cyd}');
select is_granted, denied_reason, remaining, retry_at, helper.show(chains) from gov_consume('mixed', 'tokens', 0.1, null, '{ben}');
-- nothing of a denial reached a soft one
select helper.usage('mixed', 'tokens', '{bot}');

-- Only the failing ones are a denial's: not a soft one in the error of gov_require, though it is over.
create function helper.failing(statement text) returns text
language plpgsql
as $$
declare
    detail text;
begin
    execute statement;
    return 'granted';
exception
    when sqlstate 'GV001' then
        get stacked diagnostics detail = pg_exception_detail;
        return (select string_agg(node ->> 'entityId' || coalesce(':' || nullif(node ->> 'name', ''), ''), ' ' order by place)
                from jsonb_array_elements(regexp_replace(detail, '^Failing budgets: ', '')::jsonb) with ordinality as n (node, place));
end
$$;
select helper.failing($$select gov_require('mixed', 'tokens', 1, null, '{bot}')$$);

-- Across chains: one with a soft budget only, one with a hard one; each chain says its own.
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, enforcement)
values ('mixed', 'gpt', 'tokens', 3, 'P100Y', 'soft'),
       ('mixed', 'opus', 'tokens', 3, 'P100Y', 'hard');
select n, is_granted, denied_reason, remaining, retry_at, helper.show(chains)
from generate_series(1, 3) as n, gov_consume('mixed', 'tokens', 2 + 0 * n, null, '{gpt,opus}');
select n, is_granted, remaining, helper.show(chains)
from generate_series(1, 3) as n, gov_consume('mixed', 'tokens', 2 + 0 * n, null, '{gpt}');

-- Hard to soft and back: what was used past the limit in between counts.
update gov_assignments set enforcement = 'soft' where owner_id = 'mixed' and entity_id = 'opus';
select is_granted, remaining, helper.show(chains) from gov_consume('mixed', 'tokens', 2, null, '{opus}');
update gov_assignments set enforcement = 'hard' where owner_id = 'mixed' and entity_id = 'opus';
select amount, is_granted, denied_reason, remaining, retry_at, helper.show(chains)
from unnest('{0,1,4}'::numeric[]) as amount, gov_consume('mixed', 'tokens', amount, null, '{opus}');
-- and inside a transaction, at once, and undone with it
begin;
update gov_assignments set enforcement = 'soft' where owner_id = 'mixed' and entity_id = 'opus';
select is_granted, remaining, helper.show(chains) from gov_consume('mixed', 'tokens', 1, null, '{opus}');
rollback;
select is_granted, remaining, helper.show(chains) from gov_consume('mixed', 'tokens', 1, null, '{opus}');

-- By the catalog function, in its patch rules: omitted keeps it soft.
select item ->> 'enforcement' as enforcement, item ->> 'usageLimit' as usage_limit
from jsonb_array_elements(gov_upsert_assignments('mixed', '{"assignments": [
    {"entityId": "cyd", "capabilityId": "tokens", "usageLimit": 1, "cadence": "P100Y", "enforcement": "soft"}]}')) as item;
select item ->> 'enforcement' as enforcement, item ->> 'usageLimit' as usage_limit
from jsonb_array_elements(gov_upsert_assignments('mixed', '[{"entityId": "cyd", "capabilityId": "tokens", "usageLimit": 2}]')) as item;
update gov_assignments set usage_limit = 100 where owner_id = 'mixed' and entity_id = 'acme';
select is_granted, remaining, helper.show(chains) from gov_consume('mixed', 'tokens', 3, null, '{cyd}');

-- An archived entity's soft budget does not appear; a scoped one does in its scope.
update gov_entities set archived_at = '2026-01-01' where owner_id = 'mixed' and id = 'cyd';
select is_granted, remaining, helper.show(chains) from gov_consume('mixed', 'tokens', 1, null, '{cyd}');
update gov_entities set archived_at = null where owner_id = 'mixed' and id = 'cyd';
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, usage_limit, cadence, enforcement)
values ('mixed', 'cyd', 'tokens', '{gpt}', 1, 'P100Y', 'soft');
select is_granted, remaining, helper.show(chains) from gov_consume('mixed', 'tokens', 2, '{"model": "gpt"}', '{cyd}');
select is_granted, remaining, helper.show(chains) from gov_consume('mixed', 'tokens', 2, null, '{cyd}');

-- Rolled up, or loaded anew, the same.
call helper.roll_up();
select helper.usage('mixed', 'tokens', '{bot,cyd,gpt,opus}');
select gov_refresh() \gset
select helper.usage('mixed', 'tokens', '{bot,cyd,gpt,opus}');
select count(*) as wrong from gov_verify();
select gov_delete_owner(id) from unnest('{soft,mixed}'::text[]) as owner (id);
