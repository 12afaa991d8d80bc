-- gov_backtest: what proposed budgets would have denied, worked out by hand.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('try');
call helper.organisation('try-other');

-- A day of uses: who, how much, when.
create procedure helper.uses(owner text, uses text[][])
language plpgsql
as $$
declare
    use text[];
begin
    foreach use slice 1 in array uses loop
        perform gov_ingest(owner, coalesce(use[4], 'tokens'), use[2]::numeric, null, ('{' || use[1] || '}')::text[], null, use[3]::timestamptz);
    end loop;
end
$$;

-- The rows as "entity{scope}:name count amount first".
create function helper.trial(owner text, assignments jsonb, from_time text default '-infinity', to_time text default 'infinity')
returns setof text
language sql
as $$
    select format('%s%s%s %s %s %s', entity_id, nullif(scope_entity_ids::text, '{}'), ':' || nullif(name, ''),
        denied_count, denied_amount, coalesce(to_char(first_denied_at, 'MM-DD HH24:MI:SS'), 'never'))
    from gov_backtest(owner, assignments, from_time::timestamptz, to_time::timestamptz)
$$;

call helper.uses('try', '{
    {ann, 10, "2025-03-01 10:00", tokens},
    {ann, 10, "2025-03-01 11:00", tokens},
    {ann, 5, "2025-03-01 12:00", tokens},
    {ben, 20, "2025-03-01 13:00", tokens},
    {ann, 10, "2025-03-02 00:00", tokens},
    {cyd, 7, "2025-03-02 09:00", tokens},
    {ann, 1000, "2025-03-02 09:00", calls}}');
call helper.uses('try-other', '{{ann, 1000, "2025-03-01 09:00", tokens}}');

-- A limit is reached and not passed; the use that does not fit is denied, a smaller one after it fits.
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 15, "cadence": null}]');
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 20, "cadence": null}]');
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 35, "cadence": null}]');
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 0, "cadence": null}]');

-- Windows: the days of UTC, those of a zone seven hours behind, twelve hours from an anchor.
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 15, "cadence": "P1D"}]');
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 30, "cadence": "P1D", "timezone": "America/Denver"}]');
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 10, "cadence": "PT12H", "anchorAt": "2025-01-01T11:00:00Z"}]');

-- Soft budgets and those without a limit deny nothing. A capability of its own is a budget of its own.
select helper.trial('try', '[
    {"entityId": "ann", "capabilityId": "tokens", "usageLimit": 1, "cadence": null, "enforcement": "soft"},
    {"entityId": "acme", "capabilityId": "tokens", "usageLimit": null, "cadence": "P1M"},
    {"entityId": "ann", "capabilityId": "calls", "usageLimit": 999, "cadence": null},
    {"entityId": "gpt", "capabilityId": "tokens", "usageLimit": 1, "cadence": null}]');
select helper.trial('try', '[
    {"entityId": "ann", "capabilityId": "tokens", "usageLimit": 35, "cadence": null},
    {"entityId": "ann", "capabilityId": "calls", "usageLimit": 1000, "cadence": null}]');

-- Stacked: what the user's budget denies does not use up the org's. Alone, the org's is used up on the first day.
select helper.trial('try', '[
    {"entityId": "acme", "capabilityId": "tokens", "usageLimit": 45, "cadence": null},
    {"entityId": "ann", "capabilityId": "tokens", "usageLimit": 15, "cadence": null}]');
select helper.trial('try', '[{"entityId": "acme", "capabilityId": "tokens", "usageLimit": 45, "cadence": null}]');

-- Both lack room: both say so.
select helper.trial('try', '[
    {"entityId": "acme", "capabilityId": "tokens", "usageLimit": 22, "cadence": null},
    {"entityId": "ann", "capabilityId": "tokens", "usageLimit": 20, "cadence": null}]');

-- Several on one entity, in natural order; the wrapping object, features by their other names; the last of two wins.
select helper.trial('try', '{"assignments": [
    {"entityId": "ann", "featureId": "tokens", "usageLimit": 10, "cadence": null, "name": "b"},
    {"entityId": "ann", "currencyId": "tokens", "usageLimit": 1, "cadence": null, "name": "a", "locked": true, "alertThresholds": [50], "parentId": "nowhere"},
    {"entityId": "ann", "capabilityId": "tokens", "usageLimit": 1000, "cadence": "P1D", "scopeEntityIds": ["eng", "acme"]},
    {"entityId": "ann", "capabilityId": "tokens", "usageLimit": 1000, "cadence": "P1D", "scopeEntityIds": ["ops"]},
    {"entityId": "acme", "capabilityId": "tokens", "usageLimit": 1000, "cadence": "P1D"},
    {"entityId": "ann", "capabilityId": "tokens", "name": "a", "usageLimit": 20}]}');

-- From is included, to is not; nothing is used at from_time.
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 9, "cadence": null}]', '2025-03-01 11:00', '2025-03-02 00:00');
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 9, "cadence": null}]', '2025-03-01 11:00', '2025-03-02 00:00:00.000001');
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 15, "cadence": "P1M"}]', '2025-03-01 11:00', 'infinity');
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 0, "cadence": null}]', '2025-03-02', '2025-03-01');
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 0, "cadence": null}]', 'infinity', 'infinity');

-- Scopes: only where all of it is in the set, as it was recorded.
call helper.uses('try', '{
    {"ben,gpt", 3, "2025-04-01 10:00", tokens},
    {"ben,opus", 3, "2025-04-01 11:00", tokens},
    {"gpt,ben", 3, "2025-04-01 12:00", tokens},
    {"gpt,cyd", 3, "2025-04-01 13:00", tokens},
    {"gpt,opus,ben", 3, "2025-04-01 14:00", tokens},
    {ben, 3, "2025-04-01 15:00", tokens}}');
select helper.trial('try', '[
    {"entityId": "ben", "capabilityId": "tokens", "usageLimit": 3, "cadence": null, "scopeEntityIds": ["gpt"]},
    {"entityId": "eng", "capabilityId": "tokens", "usageLimit": 3, "cadence": null, "scopeEntityIds": ["opus"]},
    {"entityId": "gpt", "capabilityId": "tokens", "usageLimit": 5, "cadence": null, "scopeEntityIds": ["acme"]},
    {"entityId": "ben", "capabilityId": "tokens", "usageLimit": 2, "cadence": null, "scopeEntityIds": ["gpt", "opus"]}]', '2025-04-01');

-- Corrections are counted and never denied. A use of nothing fits at the limit. Fractions are exact.
call helper.uses('try', '{
    {ann, 0, "2025-05-01 01:00", tokens},
    {ann, 10, "2025-05-01 02:00", tokens},
    {ann, 0, "2025-05-01 03:00", tokens},
    {ann, 0.000000001, "2025-05-01 04:00", tokens},
    {ann, -4, "2025-05-01 05:00", tokens},
    {ann, 4.000000001, "2025-05-01 06:00", tokens},
    {ann, 4, "2025-05-01 07:00", tokens},
    {ann, -100, "2025-05-02 07:00", tokens},
    {ann, 110, "2025-05-03 07:00", tokens},
    {ann, 0, "2025-05-03 08:00", tokens},
    {ann, 0.5, "2025-05-03 08:00", tokens}}');
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 10, "cadence": null}]', '2025-05-01');
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 0, "cadence": null}]', '2025-05-01', '2025-05-01 03:30');
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 9.999999999, "cadence": "P1D"}]', '2025-05-01');

-- The order is that of occurred_at, then of the ids: not that of recording.
call helper.uses('try', '{
    {ann, 6, "2025-06-02", tokens},
    {ann, 5, "2025-06-02", tokens},
    {ann, 9, "2025-06-01", tokens},
    {ann, 1, "2025-06-02", tokens}}');
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 10, "cadence": null}]', '2025-06-01');
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 10, "cadence": "P1D"}]', '2025-06-01');

-- An archived entity's own budgets have no say from its archiving on. What it was recorded under stays.
update gov_entities set archived_at = '2025-06-02' where owner_id = 'try' and id in ('ann', 'eng');
select helper.trial('try', '[
    {"entityId": "ann", "capabilityId": "tokens", "usageLimit": 1, "cadence": null},
    {"entityId": "acme", "capabilityId": "tokens", "usageLimit": 11, "cadence": null, "scopeEntityIds": ["eng"]}]', '2025-06-01');
update gov_entities set archived_at = null where owner_id = 'try';

-- What is left out is taken from the budget that is there, as an upsert takes it. Nothing is written.
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence, enforcement)
values ('try', 'ann', 'tokens', '', 5, 'P1D', 'hard'), ('try', 'acme', 'tokens', 'soft', 1, null, 'soft');
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens"}, {"entityId": "acme", "capabilityId": "tokens", "name": "soft"}]', '2025-03-01', '2025-04-01');
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 10}]', '2025-03-01', '2025-04-01');
select helper.trial('try', '[{"entityId": "acme", "capabilityId": "tokens", "name": "soft", "enforcement": "hard"}]', '2025-03-01', '2025-04-01');
select entity_id, usage_limit, cadence, enforcement, created_at = updated_at as is_untouched from gov_assignments where owner_id = 'try' order by 1;
begin transaction read only;
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens"}]', '2025-03-01', '2025-04-01');
rollback;

-- The boosts that a budget had are tried with the limit that it has, and not with another one.
insert into gov_boosts (owner_id, entity_id, capability_id, amount, valid_from, valid_until)
values ('try', 'ann', 'tokens', 8, '2025-03-01', '2025-03-01 12:00'), ('try', 'ann', 'tokens', -100, '2025-03-02', null);
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens"}]', '2025-03-01', '2025-04-01');
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 5.0}]', '2025-03-01', '2025-04-01');
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 6}]', '2025-03-01', '2025-04-01');
delete from gov_boosts where owner_id = 'try';

-- What the same transaction has recorded, is replayed.
begin;
call helper.uses('try', '{{ann, 6, "2025-07-01", tokens}}');
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens"}]', '2025-07-01');
rollback;
select helper.trial('try', '[{"entityId": "ann", "capabilityId": "tokens"}]', '2025-07-01');

-- More than gov_upsert_assignments takes: they have to be tried together.
insert into gov_entities (owner_id, id, type_id, parent_id) select 'try', 'many-' || n, 'agent', 'ben' from generate_series(1, 300) n;
select count(*), sum(denied_count), sum(denied_amount)
from gov_backtest('try', (select jsonb_agg(jsonb_build_object('entityId', 'many-' || n, 'capabilityId', 'tokens', 'usageLimit', 0, 'cadence', null)) from generate_series(1, 300) n)
    || '[{"entityId": "ben", "capabilityId": "tokens", "usageLimit": 19, "cadence": null}]', '2025-03-01', '2025-04-01');

-- Bad input.
select gov_backtest(null, '[]', '-infinity', 'infinity');
select gov_backtest('try', null, '-infinity', 'infinity');
select gov_backtest('try', '[{"entityId": "ann", "capabilityId": "tokens"}]', null, 'infinity');
select gov_backtest('try', '[{"entityId": "ann", "capabilityId": "tokens"}]', '-infinity', null);
select input, helper.outcome(format('select gov_backtest(%L, %L, %L, %L)', 'try', input, '-infinity', 'infinity'))
from (values (1, '[]'), (2, '{}'), (3, '1'), (4, '{"assignments": [{"entityId": "ann", "capabilityId": "tokens"}], "entities": []}'), (5, '[1]'),
    (6, '[{"capabilityId": "tokens", "usageLimit": 1, "cadence": null}]'),
    (7, '[{"entityId": "ann", "usageLimit": 1, "cadence": null}]'),
    (8, '[{"entityId": "ann", "capabilityId": "tokens", "featureId": "tokens"}]'),
    (9, '[{"entityId": "ann", "capabilityId": "tokens", "id": "x"}]'),
    (10, '[{"entityId": "ben", "capabilityId": "tokens", "usageLimit": 1}]'),
    (11, '[{"entityId": "ben", "capabilityId": "tokens", "cadence": null}]'),
    (12, '[{"entityId": "ben", "capabilityId": "tokens", "usageLimit": 1}, {"entityId": "ben", "capabilityId": "tokens", "cadence": null}]'),
    (13, '[{"entityId": "ben", "capabilityId": "tokens", "cadence": null, "usageLimit": -1}]'),
    (14, '[{"entityId": "ben", "capabilityId": "tokens", "cadence": null, "usageLimit": 1e18}]'),
    (15, '[{"entityId": "ben", "capabilityId": "tokens", "cadence": null, "usageLimit": "1"}]'),
    (16, '[{"entityId": "ben", "capabilityId": "tokens", "cadence": "P1M1D", "usageLimit": 1}]'),
    (17, '[{"entityId": "ben", "capabilityId": "tokens", "cadence": "P1M", "usageLimit": 1, "timezone": "Mars"}]'),
    (18, '[{"entityId": "ben", "capabilityId": "tokens", "cadence": "P1M", "usageLimit": 1, "enforcement": "firm"}]'),
    (19, '[{"entityId": "ben", "capabilityId": "tokens", "cadence": "P1M", "usageLimit": 1, "anchorAt": "soon"}]'),
    (20, '[{"entityId": "ben", "capabilityId": "tokens", "cadence": "P1M", "usageLimit": 1, "alertThresholds": [0.5]}]'),
    (21, '[{"entityId": "ben", "capabilityId": "tokens", "cadence": "P1M", "usageLimit": 1, "name": "\u0001"}]'),
    (22, '[{"entityId": "ben", "capabilityId": "tokens", "cadence": "P1M", "usageLimit": 1, "scopeEntityIds": [""]}]'),
    (23, '[{"entityId": "nobody", "capabilityId": "tokens", "cadence": "P1M", "usageLimit": 1}]'),
    (24, '[{"entityId": "ben", "capabilityId": "nothing", "cadence": "P1M", "usageLimit": 1}]'),
    (25, '[{"entityId": "ben", "capabilityId": "tokens", "cadence": "P1M", "usageLimit": 1, "scopeEntityIds": ["eng", "nobody"]}]'),
    (26, '[[{"entityId": "ben", "capabilityId": "tokens", "cadence": "P1M", "usageLimit": 1}]]'),
    (27, '[[{"typeId": "agent", "capabilityId": "tokens", "cadence": "P1M", "usageLimit": 1}]]'),
    (28, '[{"typeId": "agent", "capabilityId": "tokens", "cadence": "P1M", "usageLimit": 1}, [{"typeId": "agent", "capabilityId": "tokens", "cadence": "P1M", "usageLimit": 1}]]')) as bad (n, input)
order by n;
select helper.outcome($$select gov_backtest('try', (select jsonb_agg(jsonb_build_object('entityId', 'ann', 'capabilityId', 'tokens', 'name', n::text)) from generate_series(1, 10001) n), '-infinity', 'infinity')$$);
select gov_backtest('nobody', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 1, "cadence": null}]', '-infinity', 'infinity');

-- The words are those of an upsert.
\set VERBOSITY default
\set SHOW_CONTEXT never
select gov_backtest('try', '[{"entityId": "ben", "capabilityId": "tokens", "cadence": "P1M1D", "usageLimit": 1}]', '-infinity', 'infinity');
select gov_upsert_assignments('try', '[{"entityId": "ben", "capabilityId": "tokens", "cadence": null, "usageLimit": 1, "timezone": "Mars"}]');
select gov_backtest('try', '[{"entityId": "ben", "capabilityId": "tokens", "cadence": null, "usageLimit": 1, "timezone": "Mars"}]', '-infinity', 'infinity');
select gov_upsert_assignments('try', '[{"entityId": "nobody", "capabilityId": "tokens", "cadence": null, "usageLimit": 1}]');
select gov_backtest('try', '[{"entityId": "nobody", "capabilityId": "tokens", "cadence": null, "usageLimit": 1}]', '-infinity', 'infinity');
\set VERBOSITY sqlstate

-- The engine's part trusts nobody.
create function helper.replay(budget jsonb, suspended_from timestamptz[] default '{null}') returns text
language sql
as $$
    select helper.outcome(format('select _gov_replay(%L, array[%L::gov_assignments], %L, %L, %L, ''{}'', ''{}'', ''{}'', ''{}'', ''{}'')', 'try',
        jsonb_populate_record(null::gov_assignments, '{"entity_id": "ann", "capability_id": "tokens", "scope_entity_ids": [], "name": "", "timezone": "UTC", "enforcement": "hard"}'
            || budget), suspended_from, '-infinity', 'infinity'))
$$;
select bad, helper.replay(bad)
from (values ('{}'::jsonb), ('{"entity_id": null}'), ('{"capability_id": null}'), ('{"scope_entity_ids": null}'), ('{"scope_entity_ids": [null]}'),
    ('{"timezone": null}'), ('{"timezone": "Mars"}'), ('{"enforcement": null}'), ('{"cadence": "daily"}'), ('{"usage_limit": -1}'), ('{"usage_limit": "NaN"}'),
    ('{"usage_limit": 1e18}'), ('{"cadence": "P1D", "anchor_at": "infinity"}')) as b (bad);
select helper.replay('{}', '{}'), helper.replay('{}', '{null,null}');
select helper.outcome($$select _gov_replay('try', '{null}', '{null}', '-infinity', 'infinity', '{}', '{}', '{}', '{}', '{}')$$), helper.outcome($$select _gov_replay('try', '{}', '{}', '-infinity', 'infinity', '{}', '{}', '{}', '{}', '{}')$$),
    helper.outcome($$select _gov_replay('try', null, '{}', '-infinity', 'infinity', '{}', '{}', '{}', '{}', '{}')$$);
-- nor of the steps of its limit
create function helper.steps(budgets int[], times timestamptz[], limits numeric[])
returns text
language sql
as $$
    select helper.outcome(format('select _gov_replay(%L, array(select a from gov_assignments a where owner_id = ''try'' order by entity_id), ''{null,null}'', ''2025-01-01'', ''2025-02-01'', %L, %L, %L, ''{}'', ''{}'')', 'try',
        budgets, times, limits))
$$;
select helper.steps(b, t::timestamptz[], l)
from (values ('{1,1,2}'::int[], '{2025-01-01,2025-01-02,2025-01-01}', '{1,2,3}'::numeric[]), ('{1,1}', '{2025-01-01}', '{1}'), ('{1}', '{2025-01-01}', '{null}'), ('{null}', '{2025-01-01}', '{1}'),
    ('{1}', '{null}', '{1}'), ('{1}', '{2025-01-01}', '{-1}'), ('{1}', '{2025-01-01}', '{NaN}'), ('{1,1}', '{2025-01-02,2025-01-01}', '{1,1}'), ('{1}', '{-infinity}', '{1}'), ('{2,1}', '{2025-01-01,2025-01-01}', '{1,1}'),
    ('{3}', '{2025-01-01}', '{1}'), ('{0}', '{2025-01-01}', '{1}'), (null, '{}', '{}')) s (b, t, l);

-- A ledger that was written by hand may name an entity twice: it counts once.
insert into gov_events (id, owner_id, capability_id, amount, entity_ids, occurred_at, recorded_at)
select -n, 'try', 'tokens', 5, '{cyd,cyd}', '2024-02-01', '2024-02-01' from generate_series(31, 33) n;
select helper.trial('try', '[{"entityId": "cyd", "capabilityId": "tokens", "usageLimit": 10, "cadence": null}]', '2024-02-01', '2024-02-02');

-- Sums that 128 bits cannot hold are an error and wrap nowhere.
insert into gov_events (id, owner_id, capability_id, amount, entity_ids, occurred_at, recorded_at)
select -n, 'try', 'tokens', 9999999999999999999999999999::numeric, '{cyd}', '2024-01-01', '2024-01-01' from generate_series(1, 17) n;
select helper.trial('try', '[{"entityId": "cyd", "capabilityId": "tokens", "usageLimit": 0, "cadence": null}]', '2024-01-01', '2024-01-02');
insert into gov_events (id, owner_id, capability_id, amount, entity_ids, occurred_at, recorded_at)
values (-18, 'try', 'tokens', 9999999999999999999999999999::numeric, '{cyd}', '2024-01-01', '2024-01-01');
select helper.trial('try', '[{"entityId": "cyd", "capabilityId": "tokens", "usageLimit": 0, "cadence": null}]', '2024-01-01', '2024-01-02');
select helper.trial('try', '[{"entityId": "cyd", "capabilityId": "tokens", "usageLimit": null, "cadence": null}]', '2024-01-01', '2024-01-02');

select gov_delete_owner('try'), gov_delete_owner('try-other');
