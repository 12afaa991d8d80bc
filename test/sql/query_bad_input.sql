-- What malformed calls of the reports get, what a search finds, and what a cursor is good for.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('rep');
call helper.organisation('other');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit)
select owner, entity, 'tokens', 10 from unnest('{rep,other}'::text[]) as owner, unnest('{acme,eng,ops,ann,ben,cyd,bot}'::text[]) as entity;
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, usage_limit) values ('rep', 'eng', 'tokens', '{gpt}', 5);
insert into gov_alert_policies (owner_id, thresholds) values ('rep', '{50}');
select count(gov_ingest('rep', 'tokens', 2, null, array[e, 'gpt'])) from unnest('{ann,ben,cyd}'::text[]) as e;

-- Everything that a call could have changed.
create function helper.state() returns text
language sql
as $$
    select md5(concat(
        (select string_agg(e::text, ' ' order by e.id) from gov_events as e),
        (select string_agg(a::text, ' ' order by a.id) from gov_assignments as a),
        (select string_agg(n::text, ' ' order by n.owner_id, n.id) from gov_entities as n),
        (select string_agg(p::text, ' ' order by p.owner_id) from gov_alert_policies as p)
    ))
$$;
create table helper.before as select helper.state() as state;

-- Runs a call in a subtransaction: its SQLSTATE, and whether there is a hint.
create function helper.tried(call text, out code text, out has_hint boolean)
language plpgsql
as $$
declare
    hint text;
begin
    execute call;
    code := '00000';
exception
    when others then
        get stacked diagnostics code = returned_sqlstate, hint = pg_exception_hint;
        has_hint := hint <> '';
end
$$;

-- A page of gov_query in one line: the entities, with the scope when there is one.
create function helper.page(query jsonb) returns text
language sql
as $$
    select string_agg((d.item ->> 'entityId') || coalesce('{' || nullif(d.item #>> '{scopeEntityIds,0}', '') || '}', ''), ' ' order by d.place)
    from jsonb_array_elements(query -> 'data') with ordinality as d (item, place)
$$;

-- NULL where there is none.
select t.code, t.has_hint, call
from (values
    ($$gov_query(null)$$),
    ($$gov_query(null, '{tokens}')$$),
    ($$gov_query('rep', '{tokens,null}')$$),
    ($$gov_query('rep', array[null]::text[])$$),
    ($$gov_query('rep', '{tokens}', sort_by => null)$$),
    ($$gov_query('rep', '{tokens}', sort_order => null)$$),
    ($$gov_query('rep', '{tokens}', scope => null)$$),
    ($$gov_query('rep', '{tokens}', page_size => null)$$),
    ($$gov_query('rep', '{tokens}', type_ids => '{null}')$$),
    ($$gov_query('rep', null, type_ids => '{team,null}')$$),
    ($$gov_tree(null)$$),
    ($$gov_tree(null, '{tokens}')$$),
    ($$gov_tree('rep', '{tokens,null}')$$),
    ($$gov_backtest(null, '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 1, "cadence": null}]', '-infinity', 'infinity')$$),
    ($$gov_backtest('rep', null, '-infinity', 'infinity')$$),
    ($$gov_backtest('rep', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 1, "cadence": null}]', null, 'infinity')$$),
    ($$gov_backtest('rep', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 1, "cadence": null}]', '-infinity', null)$$),
    ($$gov_attribution(null, 'tokens', '{}', '-infinity', 'infinity')$$),
    ($$gov_attribution('rep', 'tokens', '{null}', '-infinity', 'infinity')$$),
    ($$gov_set_alert_policy('rep', '{50,null}')$$),
    ($$gov_set_alert_policy(null, array[null]::numeric[])$$)) as c (call), helper.tried('select ' || call) as t;

-- Words that are none of those that there are, as they are written, and numbers out of range.
select t.code, t.has_hint, call
from (values
    ($$gov_query('rep', '{tokens}', 'name')$$),
    ($$gov_query('rep', '{tokens}', 'Utilization')$$),
    ($$gov_query('rep', '{tokens}', 'current_usage')$$),
    ($$gov_query('rep', '{tokens}', 'createdat')$$),
    ($$gov_query('rep', '{tokens}', '')$$),
    ($$gov_query('rep', '{tokens}', ' id')$$),
    ($$gov_query('rep', '{tokens}', 'id; drop table gov_events')$$),
    ($$gov_query('rep', null, 'name')$$),
    ($$gov_query('rep', '{tokens}', 'id', 'DESC')$$),
    ($$gov_query('rep', '{tokens}', 'id', 'down')$$),
    ($$gov_query('rep', '{tokens}', 'id', '')$$),
    ($$gov_query('rep', '{tokens}', scope => 'node-wide')$$),
    ($$gov_query('rep', '{tokens}', scope => 'nodewide')$$),
    ($$gov_query('rep', '{tokens}', scope => 'ALL')$$),
    ($$gov_query('rep', '{tokens}', scope => '')$$),
    ($$gov_query('no-one', '{no-such}', scope => 'some')$$),
    ($$gov_query('rep', '{tokens}', page_size => 0)$$),
    ($$gov_query('rep', '{tokens}', page_size => -1)$$),
    ($$gov_query('rep', '{tokens}', page_size => 101)$$),
    ($$gov_query('rep', page_size => 101)$$),
    ($$gov_set_alert_policy('rep', '{1,2,3,4,5,6,7,8,9,10,11}')$$),
    ($$gov_set_alert_policy('rep', '{0.99}')$$),
    ($$gov_set_alert_policy('rep', '{80,0}')$$),
    ($$gov_set_alert_policy('rep', '{-80}')$$),
    ($$gov_set_alert_policy('rep', '{NaN}')$$),
    ($$gov_set_alert_policy('rep', '{Infinity}')$$),
    ($$gov_set_alert_policy(null, '{0}')$$),
    ($$gov_set_alert_policy('', '{50}')$$),
    ($$gov_backtest('rep', '7', '-infinity', 'infinity')$$),
    ($$gov_backtest('rep', '{"assignment": []}', '-infinity', 'infinity')$$),
    ($$gov_backtest('rep', '[7]', '-infinity', 'infinity')$$),
    ($$gov_backtest('rep', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 1, "cadence": "P1M", "color": "red"}]', '-infinity', 'infinity')$$),
    ($$gov_backtest('rep', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 1, "cadence": "monthly"}]', '-infinity', 'infinity')$$),
    ($$gov_backtest('rep', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": -1, "cadence": null}]', '-infinity', 'infinity')$$),
    ($$gov_backtest('rep', '[{"capabilityId": "tokens", "usageLimit": 1, "cadence": null}]', '-infinity', 'infinity')$$),
    ($$gov_backtest('rep', '[{"entityId": "ann", "usageLimit": 1, "cadence": null}]', '-infinity', 'infinity')$$),
    ($$gov_upsert_assignments('rep', '[{"entityId": "ann", "capabilityId": "tokens", "alertThresholds": [0]}]')$$),
    ($$gov_upsert_assignments('rep', '[{"entityId": "ann", "capabilityId": "tokens", "alertThresholds": 50}]')$$),
    ($$gov_upsert_assignments('rep', '[{"entityId": "ann", "capabilityId": "tokens", "alertThresholds": ["high"]}]')$$),
    ($$gov_upsert_assignments('rep', '[{"entityId": "ann", "capabilityId": "tokens", "alertThresholds": [1,2,3,4,5,6,7,8,9,10,11]}]')$$)) as c (call), helper.tried('select ' || call) as t;

-- The rules of thresholds in plain DML.
select t.code, call
from (values
    ($$insert into gov_alert_policies (owner_id, thresholds) values ('rep-2', '{0}')$$),
    ($$insert into gov_alert_policies (owner_id, thresholds) values ('rep-2', '{1,2,3,4,5,6,7,8,9,10,11}')$$),
    ($$insert into gov_alert_policies (owner_id, thresholds) values ('rep-2', '{NaN}')$$),
    ($$insert into gov_alert_policies (owner_id, thresholds) values ('rep-2', '{50,null}')$$),
    ($$update gov_assignments set alert_thresholds = '{0.5}' where owner_id = 'rep'$$),
    ($$update gov_assignments set alert_thresholds = '{1,2,3,4,5,6,7,8,9,10,11}' where owner_id = 'rep'$$)) as c (call), helper.tried(call) as t;

-- Nothing changed.
select helper.state() = state as unchanged from helper.before;

-- Duplicates do not count, and what is stored is sorted.
select gov_set_alert_policy('rep', '{100,80,80,80,80,80,80,80,80,80,50.50,80}');
select owner_id, thresholds from gov_alert_policies where owner_id = 'rep';
select gov_set_alert_policy('rep', '{}');
select owner_id, thresholds from gov_alert_policies where owner_id = 'rep';

-- Who is not there has no rows, and no filter meets what is not there.
select call, answer ->> 'data' as data, answer #> '{pagination,next}' as next
from (values
    ('owner', gov_query('no-one', '{tokens}')),
    ('owner, tree', gov_query('no-one')),
    ('capability', gov_query('rep', '{no-such,TOKENS}')),
    ('none', gov_query('rep', '{}')),
    ('type', gov_query('rep', '{tokens}', type_ids => '{no-such,TEAM}')),
    ('no type', gov_query('rep', '{tokens}', type_ids => '{}')),
    ('under', gov_query('rep', '{tokens}', under_entity_id => 'no-such')),
    ('under, of another owner', gov_query('rep', '{tokens}', under_entity_id => 'ENG')),
    ('under, empty', gov_query('rep', '{tokens}', under_entity_id => '')),
    ('search', gov_query('rep', '{tokens}', search => 'no such')),
    ('long search', gov_query('rep', '{tokens}', search => repeat('a', 10000))),
    ('utilization', gov_query('rep', '{tokens}', min_utilization => 1e30))) as c (call, answer);
select count(*) from gov_tree('no-one');
select count(*) from gov_tree('rep', '{no-such}');
select count(*) from gov_tree('rep', '{tokens}', 'no-such');

-- A search is a substring of id or name, as it is written but for its case.
insert into gov_entities (owner_id, id, type_id, display_name)
values ('find', '10%', 'team', null),
       ('find', '100', 'team', 'a_b'),
       ('find', 'axb', 'team', null),
       ('find', 'back\slash', 'team', 'x'),
       ('find', 'Upper', 'team', 'lower'),
       ('find', 'quote', 'team', $$it's "so" $1 [a-z] .*$$);
select search, helper.page(gov_query('find', search => search)) as found, helper.page(gov_query('find', sort_by => 'id', sort_order => 'desc', search => search)) as backwards
from unnest(array['%', '_', '\', '\\', '10', '10%', 'A_B', 'a_', 'upper', 'UPPER', 'LOWER', 'wer', '''', '"so"', '$1', '[a-z]', '.*', 'axb', 'a%b', ' ', 'up%', 'x']) as search;
select helper.page(gov_query('find', search => '')) = helper.page(gov_query('find')) as empty_finds_all;

-- A cursor is good for its own query, with pages of any size.
select gov_query('rep', '{tokens}', 'id', 'asc', page_size => 3) #>> '{pagination,next}' as cursor,
       gov_query('rep', '{tokens}', page_size => 3) #>> '{pagination,next}' as usage_cursor,
       gov_query('rep', page_size => 3) #>> '{pagination,next}' as tree_cursor,
       gov_list_assignments('rep', page_size => 3) #>> '{pagination,next}' as list_cursor
\gset
select helper.page(gov_query('rep', '{tokens}', 'id', 'asc', page_size => 2, after => :'cursor')) as next_two,
       helper.page(gov_query('rep', '{tokens}', 'id', 'asc', page_size => 100, after => :'cursor')) as rest;
select helper.page(gov_query('rep', '{tokens}', page_size => 100, after => :'usage_cursor')) as rest, helper.page(gov_query('rep', after => :'tree_cursor')) as rest_of_tree;
create table helper.cursors as select :'cursor'::text as by_id, :'usage_cursor'::text as by_usage, :'tree_cursor'::text as of_tree, :'list_cursor'::text as of_list;
select t.code, t.has_hint, call
from helper.cursors, lateral (values
    ($$gov_query('other', '{tokens}', 'id', 'asc', after => %1$L)$$),
    ($$gov_query('rep', '{calls}', 'id', 'asc', after => %1$L)$$),
    ($$gov_query('rep', '{tokens,calls}', 'id', 'asc', after => %1$L)$$),
    ($$gov_query('rep', null, 'id', 'asc', after => %1$L)$$),
    ($$gov_query('rep', '{tokens}', 'createdAt', 'asc', after => %1$L)$$),
    ($$gov_query('rep', '{tokens}', 'utilization', 'asc', after => %1$L)$$),
    ($$gov_query('rep', '{tokens}', 'id', 'desc', after => %1$L)$$),
    ($$gov_query('rep', '{tokens}', 'id', 'asc', 'nodeWide', after => %1$L)$$),
    ($$gov_query('rep', '{tokens}', 'id', 'asc', min_utilization => 0, after => %1$L)$$),
    ($$gov_query('rep', '{tokens}', 'id', 'asc', type_ids => '{team}', after => %1$L)$$),
    ($$gov_query('rep', '{tokens}', 'id', 'asc', search => 'e', after => %1$L)$$),
    ($$gov_query('rep', '{tokens}', 'id', 'asc', under_entity_id => 'acme', after => %1$L)$$),
    ($$gov_query('other', '{tokens}', after => %2$L)$$),
    ($$gov_query('rep', '{tokens}', 'currentUsage', after => %2$L)$$),
    ($$gov_query('rep', '{tokens}', sort_order => 'asc', after => %2$L)$$),
    ($$gov_query('rep', '{tokens}', scope => 'scoped', after => %2$L)$$),
    ($$gov_query('rep', '{tokens}', after => %3$L)$$),
    ($$gov_query('other', after => %3$L)$$),
    ($$gov_query('rep', '{tokens}', 'id', 'asc', after => %4$L)$$),
    ($$gov_list_assignments('rep', after => %1$L)$$)) as c (call), helper.tried('select ' || format(call, by_id, by_usage, of_tree, of_list)) as t;

-- What is no cursor at all.
select t.code, t.has_hint, left(after, 20) as after
from unnest(array['', ' ', 'x', 'null', '0', '1', 'AAAA', '====', '{}', '[]', '"a"', 'e30=', E'\t', 'é', repeat('A', 100), repeat('A', 100000), '-1', $$'; drop table gov_events; --$$]) as after,
     helper.tried(format($$select gov_query('rep', '{tokens}', 'id', 'asc', after => %L)$$, after)) as t;

-- One that was damaged is refused or, where the damage means nothing, a page; never anything else.
select kind, count(*) filter (where t.code not in ('22023', '00000')) as other, count(*) filter (where t.code = '22023') > 10 as some_refused
from helper.cursors,
     lateral (values ('by id', by_id, $$'{tokens}', 'id', 'asc'$$), ('by usage', by_usage, $$'{tokens}'$$), ('tree', of_tree, 'null')) as c (kind, cursor, arguments),
     lateral generate_series(1, length(cursor)) as place,
     unnest(array[overlay(cursor placing 'A' from place), overlay(cursor placing '7' from place), overlay(cursor placing '' from place), left(cursor, place - 1)]) as damaged,
     helper.tried(format($$select gov_query('rep', %s, after => %L)$$, arguments, damaged)) as t
group by kind
order by kind;

-- In a session that is pinned, another owner is refused, whatever else is wrong or right; also one that is not there.
set governance.owner = 'rep';
select t.code, call
from (values
    ($$gov_query('other', '{tokens}')$$),
    ($$gov_query('other')$$),
    ($$gov_query('no-one', '{tokens}')$$),
    ($$gov_tree('other')$$),
    ($$gov_tree('other', '{tokens}', 'acme')$$),
    ($$gov_report('other')$$),
    ($$gov_attribution('other', 'tokens', '{}', '-infinity', 'infinity')$$),
    ($$gov_backtest('other', '[{"entityId": "ann", "capabilityId": "tokens", "usageLimit": 1, "cadence": null}]', '-infinity', 'infinity')$$),
    ($$gov_set_alert_policy('other', '{50}')$$),
    ($$gov_set_alert_policy(null, '{50}')$$),
    ($$gov_query('rep', '{tokens}')$$),
    ($$gov_tree('rep', '{tokens}')$$),
    ($$gov_set_alert_policy('rep', '{50}')$$)) as c (call), helper.tried('select ' || call) as t;
reset governance.owner;
select gov_delete_owner(owner) from unnest('{rep,other,find}'::text[]) as owner;
