-- A trigger of somebody's own with a trigger function of the extension: on one of its tables but fired in another way, or on
-- another table. Each is refused (39P01); none reads a row that is not there.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
call helper.organisation('acme');
\set ECHO all

begin;

-- A table that has the columns and keeps other things in them.
create table lookalike (
    owner_id integer,
    id integer,
    entity_id integer,
    parent_id integer,
    capability_id integer,
    scope_entity_ids integer
);

create view all_functions as
select p.proname::text as function, p.prolang = (select oid from pg_language where lanname = 'c') as is_c
from pg_depend d
join pg_proc p on p.oid = d.objid
where d.classid = 'pg_proc'::regclass
    and d.refobjid = (select oid from pg_extension where extname = 'governance')
    and d.deptype = 'e'
    and p.prorettype = 'trigger'::regtype;

-- Makes a trigger, fires it and says what came of it.
create function fired(function text, tbl text, event text, level text, referencing text default '') returns text language plpgsql as $$
begin
    execute format('create trigger misused %s on %s %s for each %s execute function %I()', event, tbl, referencing, level, function);
    execute case
        when event like '%insert' and tbl = 'lookalike' then 'insert into lookalike values (1, 1, 1, 1, 1, 1)'
        when event like '%insert' then 'insert into gov_entities (owner_id, id, type_id) values (''acme'', ''new'', ''user'')'
        when event like '%update' then format('update %s set id = id', tbl)
        when event like '%truncate' then format('truncate %s cascade', tbl)
        else format('delete from %s where id = (select min(id::text) from %1$s)::%s', tbl,
            (select atttypid::regtype from pg_attribute where attrelid = tbl::regclass and attname = 'id'))
    end;
    raise exception 'went through' using errcode = 'ZZ000';
exception when others then
    return sqlstate;
end
$$;

insert into lookalike values (1, 1, 1, 1, 1, 1);
insert into gov_entities (owner_id, id, type_id) values ('acme', '0', 'user');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('acme', 'ann', 'tokens', 1);
insert into gov_boosts (owner_id, entity_id, capability_id, amount) values ('acme', 'ann', 'tokens', 1);

-- On another table, whatever it fires for.
select function, string_agg(distinct fired(function, 'lookalike', timing || ' ' || event, level), ' ') as outcome
from all_functions,
    (values ('before'), ('after')) t (timing),
    (values ('insert'), ('update'), ('delete'), ('truncate')) e (event),
    (values ('row'), ('statement')) l (level)
where is_c
    and not (event = 'truncate' and level = 'row')
group by function
order by function collate "C";

-- For a statement on a table of ours, where the function is for rows.
select function, event, fired(function, tbl, event, 'statement') as outcome
from (values
    ('gov_note_change', 'gov_entities', 'after insert'),
    ('gov_note_change', 'gov_entities', 'after update'),
    ('gov_note_change', 'gov_assignments', 'after delete'),
    ('gov_note_change', 'gov_alert_policies', 'after truncate'),
    ('gov_forget_budget', 'gov_assignments', 'after delete'),
    ('gov_forget_budget', 'gov_assignments', 'after update'),
    ('gov_entity_moves', 'gov_entities', 'before update'),
    ('gov_entity_placed', 'gov_entities', 'after insert'),
    ('gov_entity_removed', 'gov_entities', 'after delete'),
    ('gov_assignment_placed', 'gov_assignments', 'after update')
) t (function, tbl, event)
order by function collate "C", event collate "C";

-- At another time, or for another event.
select function, event, level, fired(function, tbl, event, level) as outcome
from (values
    ('gov_note_change', 'gov_entities', 'before insert', 'row'),
    ('gov_note_change', 'gov_usage', 'after truncate', 'statement'),
    ('gov_note_truncate', 'gov_alerts', 'after truncate', 'statement'),
    ('gov_note_truncate', 'gov_entities', 'after delete', 'statement'),
    ('gov_note_truncate', 'gov_entities', 'after update', 'row'),
    ('gov_forget_budget', 'gov_assignments', 'before delete', 'row'),
    ('gov_forget_budget', 'gov_assignments', 'after update', 'row'),
    ('gov_forget_budget', 'gov_entities', 'after delete', 'row'),
    ('gov_entity_moves', 'gov_entities', 'before delete', 'row'),
    ('gov_entity_moves', 'gov_entities', 'after update', 'row'),
    ('gov_entity_placed', 'gov_entities', 'before insert', 'row'),
    ('gov_entity_removed', 'gov_entities', 'before delete', 'row'),
    ('gov_entity_removed', 'gov_entities', 'after insert', 'row'),
    ('gov_assignment_placed', 'gov_assignments', 'after update', 'row'),
    ('gov_keep_assignment', 'gov_assignments', 'before delete', 'row'),
    ('gov_keep_row', 'gov_entities', 'after update', 'row'),
    ('gov_keep_row', 'gov_assignments', 'before update', 'row'),
    ('gov_log_changes', 'gov_entities', 'after update', 'row'),
    ('gov_log_changes', 'gov_entities', 'after update', 'statement'),
    ('gov_log_changes', 'gov_entities', 'before delete', 'statement'),
    ('gov_note_limits', 'gov_assignments', 'after delete', 'statement'),
    ('gov_note_limits', 'gov_entities', 'after update', 'statement'),
    ('gov_ledger_guard', 'gov_entities', 'before update', 'statement'),
    ('gov_ledger_guard', 'gov_entities', 'before update', 'row'),
    ('gov_entity_allocated', 'gov_entities', 'after update', 'row'),
    ('gov_entity_allocated', 'gov_entities', 'after update', 'statement'),
    ('gov_assignment_allocated', 'gov_assignments', 'after delete', 'statement'),
    ('gov_assignment_bounded', 'gov_assignments', 'after delete', 'statement'),
    ('gov_assignment_bounded', 'gov_entities', 'after update', 'statement'),
    ('gov_alert_policy_bounded', 'gov_assignments', 'after update', 'statement'),
    ('gov_boost_bounded', 'gov_assignments', 'after update', 'row'),
    ('gov_boost_bounded', 'gov_boosts', 'after delete', 'row'),
    ('gov_request_bounded', 'gov_boosts', 'after update', 'row'),
    ('gov_end_boosts', 'gov_boosts', 'after update', 'row'),
    ('gov_end_boosts', 'gov_assignments', 'after delete', 'row')
) t (function, tbl, event, level)
order by function collate "C", event collate "C", level;

select fired('gov_entity_allocated', 'gov_entities', 'after update', 'statement', 'referencing new table as n') as one_table;

-- Those in PL/pgSQL: for a table that does not have their columns there is an error of its own.
select function, string_agg(distinct fired(function, 'lookalike', timing || ' ' || event, level), ' ') as outcome
from all_functions,
    (values ('before')) t (timing),
    (values ('insert'), ('update')) e (event),
    (values ('row'), ('statement')) l (level)
where not is_c
group by function
order by function collate "C";

-- Called as no trigger at all, and what it says.
select helper.outcome('select gov_note_change()');
create trigger misused after update on gov_assignments for each statement execute function gov_note_change();
\set VERBOSITY default
update gov_assignments set name = name;
rollback;
