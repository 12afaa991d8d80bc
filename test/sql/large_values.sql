-- Values past what is sensible: arrays of two dimensions, a megabyte where an id belongs, dimensions that no event should keep,
-- cursors and search words of hundreds of megabytes, a report by very many names. Each has its SQLSTATE, and no message shows
-- more than 200 characters of a value.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
call helper.organisation('acme');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('acme', 'ann', 'tokens', 1000000);

-- What a statement raises, and whether its messages are short.
create function helper.raised(statement text) returns text language plpgsql as $$
declare
    parts text[];
    m text;
    d text;
    h text;
begin
    execute statement;
    return 'ok';
exception when others then
    get stacked diagnostics m = message_text, d = pg_exception_detail, h = pg_exception_hint;
    return sqlstate || case when greatest(length(m), length(d), length(h)) > 1000 then ' and ' || greatest(length(m), length(d), length(h)) || ' characters' else '' end
        || case when m ~ 'x{201}' or d ~ 'x{201}' or h ~ 'x{201}' then ' and more than 200 of a value' else '' end;
end
$$;

create table helper.statements (n int generated always as identity, statement text);
create function helper.try() returns table (raised text, statement text) language plpgsql as $$
declare
    item record;
begin
    for item in select * from helper.statements order by n loop
        raised := helper.raised(item.statement);
        statement := replace(left(item.statement, 160), repeat('x', 40), '');
        return next;
    end loop;
    truncate helper.statements;
end
$$;
\set ECHO all

-- Arrays of two dimensions.
insert into helper.statements (statement)
select format('select * from %s', call)
from unnest(array[
    $$gov_check('acme', 'tokens', 1, null, '{{ann,bot},{gpt,opus}}')$$,
    $$gov_allowed('acme', 'tokens', 1, null, '{{ann,bot},{gpt,opus}}')$$,
    $$gov_headroom('acme', 'tokens', 1, null, '{{ann,bot},{gpt,opus}}')$$,
    $$gov_ingest('acme', 'tokens', 1, null, '{{ann,bot},{gpt,opus}}')$$,
    $$gov_consume('acme', 'tokens', 1, null, '{{ann,bot},{gpt,opus}}')$$,
    $$gov_require('acme', 'tokens', 1, null, '{{ann,bot},{gpt,opus}}')$$,
    $$gov_reserve('acme', 'tokens', 1, null, '{{ann,bot},{gpt,opus}}')$$,
    $$gov_query('acme', '{{tokens,calls},{a,b}}')$$,
    $$gov_query('acme', type_ids => '{{user,agent},{a,b}}')$$,
    $$gov_tree('acme', '{{tokens,calls},{a,b}}')$$,
    $$gov_attribution('acme', 'tokens', '{{user,agent},{a,b}}', '-infinity', 'infinity')$$,
    $$gov_attribution('acme', 'tokens', '{{user,agent},{a,b}}', '-infinity', 'infinity', '1 day', 'UTC')$$,
    $$gov_usage_sums('-infinity', owner_ids => '{{acme,acme},{a,b}}')$$,
    $$gov_usage_sums('-infinity', capability_ids => '{{tokens,calls},{a,b}}')$$,
    $$gov_grant_credits('acme', 'ann', 'tokens', 1, scope_entity_ids => '{{ann,bot},{gpt,opus}}')$$,
    $$gov_archive_entities('acme', '{{ann,ben},{cyd,bot}}')$$,
    $$gov_unarchive_entities('acme', '{{ann,ben},{cyd,bot}}')$$,
    $$gov_set_alert_policy('acme', '{{50,60},{80,100}}')$$,
    $$gov_set_alert_policy('acme', '{{50,null}}')$$,
    $$gov_import_owner('acme', '{{1,2},{3,4}}')$$
]) call;
select * from helper.try();

-- In a column they break its rule.
insert into helper.statements (statement)
values
    ($$insert into gov_entity_types (id, attribution_keys) values ('new', '{{a,b},{c,d}}')$$),
    ($$update gov_entity_types set attribution_keys = '{{a,b},{c,d}}' where id = 'user'$$),
    ($$insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids) values ('acme', 'ben', 'tokens', '{{ann,bot},{gpt,opus}}')$$),
    ($$insert into gov_assignments (owner_id, entity_id, capability_id, alert_thresholds) values ('acme', 'ben', 'tokens', '{{50,60},{80,100}}')$$),
    ($$update gov_assignments set alert_thresholds = '{{50,60},{80,100}}'$$),
    ($$insert into gov_alert_policies values ('acme', '{{50,60},{80,100}}')$$);
select * from helper.try();

-- Every function that takes an array is above.
select p.proname
from pg_depend d
join pg_proc p on p.oid = d.objid
where d.classid = 'pg_proc'::regclass
    and d.refobjid = (select oid from pg_extension where extname = 'governance')
    and p.proname !~ '^_'
    and p.prorettype <> 'trigger'::regtype
    and exists (select from unnest(p.proargtypes) a join pg_type t on t.oid = a where t.typelem <> 0 and t.typlen = -1)
order by p.proname collate "C";

-- A megabyte in place of each text.
insert into helper.statements (statement)
select replace(call, 'X', repeat('x', 1048576))
from unnest(array[
    $$select gov_ingest('X', 'tokens')$$,
    $$select gov_ingest('acme', 'X')$$,
    $$select gov_ingest('acme', 'tokens', idempotency_key => 'X')$$,
    $$select gov_check('acme', 'tokens', 1, null, '{X}')$$,
    $$select gov_ingest('acme', 'tokens', 1, null, '{X}')$$,
    $$select gov_consume('acme', 'X')$$,
    $$select gov_reserve('acme', 'X', 1)$$,
    $$select gov_ingest_many('acme', '[{"X": 1}]')$$,
    $$select gov_upsert_entity_types('[{"id": "X"}]')$$,
    $$select gov_upsert_entity_types('[{"displayName": "X"}]')$$,
    $$select gov_upsert_entity_types('[{"id": "a", "attributionKeys": ["X"]}]')$$,
    $$select gov_upsert_entity_types('[{"id": "a", "X": 1}]')$$,
    $$select gov_upsert_entity_types('{"X": []}')$$,
    $$select gov_upsert_entity_types('[{"id": {"a": "X"}}]')$$,
    $$select gov_upsert_capabilities('[{"id": "X"}]')$$,
    $$select gov_upsert_capabilities('[{"id": "a", "kind": "X"}]')$$,
    $$select gov_upsert_entities('X', '[{"id": "a", "typeId": "user"}]')$$,
    $$select gov_upsert_entities('acme', '[{"id": "X", "typeId": "user"}]')$$,
    $$select gov_upsert_entities('acme', '[{"id": "a", "typeId": "X"}]')$$,
    $$select gov_upsert_entities('acme', '[{"id": "a", "typeId": "user", "parentId": "X"}]')$$,
    $$select gov_upsert_entities('acme', '[{"id": "a", "typeId": "user", "displayName": "X"}]')$$,
    $$select gov_upsert_entities('acme', '[{"id": "a", "typeId": "user", "metadata": {"X": "1"}}]')$$,
    $$select gov_upsert_assignments('acme', '[{"entityId": "X", "capabilityId": "tokens", "usageLimit": 1, "cadence": null}]')$$,
    $$select gov_upsert_assignments('acme', '[{"entityId": "ben", "capabilityId": "X", "usageLimit": 1, "cadence": null}]')$$,
    $$select gov_upsert_assignments('acme', '[{"entityId": "ben", "capabilityId": "tokens", "usageLimit": 1, "cadence": "X"}]')$$,
    $$select gov_upsert_assignments('acme', '[{"entityId": "ben", "capabilityId": "tokens", "usageLimit": 1, "cadence": null, "timezone": "X"}]')$$,
    $$select gov_upsert_assignments('acme', '[{"entityId": "ben", "capabilityId": "tokens", "usageLimit": 1, "cadence": null, "name": "X"}]')$$,
    $$select gov_upsert_assignments('acme', '[{"entityId": "ben", "capabilityId": "tokens", "usageLimit": 1, "cadence": null, "anchorAt": "X"}]')$$,
    $$select gov_upsert_assignments('acme', '[{"entityId": "ben", "capabilityId": "tokens", "usageLimit": 1, "cadence": null, "enforcement": "X"}]')$$,
    $$select gov_upsert_assignments('acme', '[{"entityId": "ben", "capabilityId": "tokens", "usageLimit": 1, "cadence": null, "scopeEntityIds": ["X"]}]')$$,
    $$select gov_upsert_assignments('acme', '[{"entityId": "ben", "capabilityId": "tokens", "usageLimit": 1, "cadence": null, "parentId": "X"}]')$$,
    $$select * from gov_backtest('acme', '[{"entityId": "X", "capabilityId": "tokens", "usageLimit": 1, "cadence": null}]', '-infinity', 'infinity')$$,
    $$select * from gov_backtest('acme', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 1, "cadence": null, "scopeEntityIds": ["X"]}]', '-infinity', 'infinity')$$,
    $$select gov_archive_entities('acme', '{X}')$$,
    $$select gov_archive_entities('X', '{ann}')$$,
    $$select gov_get_entity('acme', 'X')$$,
    $$select gov_list_entities('acme', after => 'X')$$,
    $$select gov_list_entities('acme', type_id => 'X')$$,
    $$select gov_list_entities('X')$$,
    $$select gov_query('X')$$,
    $$select gov_query('acme', sort_by => 'X')$$,
    $$select gov_query('acme', scope => 'X')$$,
    $$select gov_query('acme', search => 'X')$$,
    $$select gov_query('acme', after => 'X')$$,
    $$select gov_query('acme', '{X}', under_entity_id => 'X', type_ids => '{X}')$$,
    $$select gov_tree('acme', '{X}', 'X')$$,
    $$select gov_report('acme', 'X', 'X')$$,
    $$select gov_attribution('acme', 'X', '{X}', '-infinity', 'infinity')$$,
    $$select gov_attribution('acme', 'X', '{X}', '-infinity', 'infinity', '1 day', 'X')$$,
    $$select gov_usage_sums('-infinity', owner_ids => '{X}', capability_ids => '{X}')$$,
    $$select gov_usage_sums('-infinity', timezone => 'X')$$,
    $$select gov_window('X')$$,
    $$select gov_window('P1D', timezone => 'X')$$,
    $$select gov_set_alert_policy('X', '{50}')$$,
    $$select gov_verify('X')$$,
    $$select gov_delete_owner('X')$$,
    $$select gov_grant('nobody', 'X')$$,
    $$insert into gov_entities (owner_id, id, type_id) values ('acme', 'X', 'user')$$,
    $$insert into gov_entities (owner_id, id, type_id, parent_id) values ('acme', 'a', 'user', 'X')$$,
    $$update gov_assignments set timezone = 'X'$$,
    $$update gov_assignments set cadence = 'X'$$
]) call;
select * from helper.try();

-- Who is pinned to another owner, or to a long one, is told no more.
begin;
set local governance.owner = 'other';
insert into helper.statements (statement)
select format('select %s(%L)', function, repeat('x', 1048576)) from unnest('{gov_query, gov_list_entities, gov_report, gov_tree}'::text[]) function;
select * from helper.try();
rollback;

-- The items of gov_ingest_many keep to it.
select position, event_id is null as is_refused, length(error) < 300 as is_short, left(error, 40) as error
from gov_ingest_many('acme', jsonb_build_array(
    jsonb_build_object('capabilityId', repeat('x', 1048576)),
    jsonb_build_object(repeat('x', 1048576), 1),
    jsonb_build_object('capabilityId', 'tokens', 'dimensions', jsonb_build_object('a', repeat('x', 1048576))),
    jsonb_build_object('capabilityId', 'tokens', 'idempotencyKey', repeat('x', 1048576))));

-- Dimensions have at most governance.dimensions_max, 64 kB, as jsonb.
select name, setting, unit, context from pg_settings where name = 'governance.dimensions_max';
create function helper.dims(size int) returns jsonb language sql as $$
    select jsonb_build_object('a', repeat('x', size - pg_column_size('{"a": ""}'::jsonb)))
$$;
select pg_column_size(helper.dims(65536));
insert into helper.statements (statement)
select format(call, size)
from unnest(array[
    $$select gov_check('acme', 'tokens', 1, helper.dims(%s), '{ann}')$$,
    $$select gov_allowed('acme', 'tokens', 1, helper.dims(%s), '{ann}')$$,
    $$select gov_headroom('acme', 'tokens', 1, helper.dims(%s), '{ann}')$$,
    $$select gov_ingest('acme', 'tokens', 1, helper.dims(%s), '{ann}')$$,
    $$select gov_consume('acme', 'tokens', 1, helper.dims(%s), '{ann}')$$,
    $$select gov_require('acme', 'tokens', 1, helper.dims(%s), '{ann}')$$,
    $$select gov_reserve('acme', 'tokens', 1, helper.dims(%s), '{ann}', 'hold')$$
]) call, unnest('{65536,65537}'::int[]) size;
select * from helper.try();
select max(pg_column_size(dimensions || '{}')) from gov_events;

-- A hold that has them already is settled and reported whatever the setting.
set governance.dimensions_max = '1kB';
select is_duplicate from gov_settle((select id from gov_reservations where idempotency_key = 'hold'), 2);
select sum(amount) from gov_attribution('acme', 'tokens', '{a}', '-infinity', 'infinity');
\set SHOW_CONTEXT never
\set VERBOSITY sqlstate
set governance.dimensions_max = 0;
\set VERBOSITY default
select gov_check('acme', 'tokens', 1, helper.dims(1025));
reset governance.dimensions_max;

-- By at most 32 names.
insert into helper.statements (statement)
select format('select gov_attribution(''acme'', ''tokens'', %L, ''-infinity'', ''infinity'')', (select array_agg('k' || n) from generate_series(1, size) n))
from unnest('{32,33,51,20000}'::int[]) size;
select * from helper.try();
select gov_attribution('acme', 'tokens', (select array_agg('k' || n) from generate_series(1, 51) n), '-infinity', 'infinity');
\set VERBOSITY sqlstate

-- Cursors and words of hundreds of megabytes.
select gov_query('acme', after => repeat(repeat('A', 1000000), 720));
select gov_query('acme', search => repeat(repeat('A', 1000000), 300));
select gov_list_entities('acme', after => repeat(repeat('A', 1000000), 720));

select gov_delete_owner('acme');
