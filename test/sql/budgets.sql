-- gov_budgets: every budget with its usage, compared with what the gate says.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql

call helper.organisation('rows');

-- The budgets whose row and whose node in the chains of a check of nothing differ, in either.
create function helper.differing(owner text) returns setof text
language sql
as $$
    with shown as
    (
        select b.entity_id, b.capability_id, b.scope_entity_ids, b.name, b.usage_limit, b.current_usage, b.reserved_usage, b.remaining,
            b.enforcement, b.cadence, b.usage_period_start, b.usage_period_end
        from gov_budgets b
        where b.owner_id = owner
    ),
    checked as
    (
        select distinct h.entity_id, c.id, h.scope_entity_ids, h.name, h.usage_limit, h.current_usage, h.reserved_usage, h.remaining,
            h.enforcement, h.cadence, h.usage_period_start, h.usage_period_end
        from gov_capabilities c
        cross join lateral gov_headroom(owner, c.id, 0, null, (select array_agg(e.id) from gov_entities e where e.owner_id = owner)) h
    )
    select format('shown %s', d) from (table shown except table checked) d
    union all
    select format('checked %s', d) from (table checked except table shown) d
$$;

-- The rows of an owner in one line each: entity{scope}:name usage+held/limit (remaining), allocated, utilization.
create function helper.rows(owner text) returns table (line text)
language sql
as $$
    select b.entity_id || ' ' || b.capability_id
        || coalesce('{' || nullif(array_to_string(b.scope_entity_ids, ','), '') || '}', '')
        || coalesce(':' || nullif(b.name, ''), '')
        || format(' %s+%s/%s (%s) allocated %s utilization %s', b.current_usage, b.reserved_usage,
            coalesce(b.usage_limit::text, 'none'), coalesce(b.remaining::text, 'none'), coalesce(b.allocated::text, 'none'),
            coalesce(round(b.utilization, 4)::text, 'none'))
        || coalesce(' below ' || b.parent_id, '')
    from gov_budgets b
    where b.owner_id = owner
    order by b.entity_id, b.capability_id, cardinality(b.scope_entity_ids), b.scope_entity_ids, b.name
$$;

insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence, enforcement, locked)
values
    ('rows', 'acme', 'tokens', '{}', '', 1000, 'P100Y', 'hard', true),
    ('rows', 'acme', 'tokens', '{}', 'life', null, null, 'hard', false),
    ('rows', 'acme', 'calls', '{}', '', 0, 'P100Y', 'hard', false),
    ('rows', 'eng', 'tokens', '{}', '', 600, 'P100Y', 'hard', false),
    ('rows', 'eng', 'tokens', '{}', 'decades', 600, 'P200Y', 'hard', false),
    ('rows', 'eng', 'tokens', '{gpt}', '', 300.5, 'P100Y', 'hard', false),
    ('rows', 'eng', 'tokens', '{gpt,opus}', 'both', 30, 'P100Y', 'soft', false),
    ('rows', 'ops', 'tokens', '{}', '', 150.25, 'P100Y', 'soft', false),
    ('rows', 'ann', 'tokens', '{}', '', 100, 'P100Y', 'hard', false),
    ('rows', 'ann', 'tokens', '{}', 'extra', 5000, 'P100Y', 'hard', false),
    ('rows', 'ben', 'tokens', '{}', '', null, 'P100Y', 'hard', false),
    ('rows', 'bot', 'tokens', '{}', '', 3, 'P100Y', 'hard', false),
    ('rows', 'gpt', 'tokens', '{}', '', 7, null, 'hard', false);

-- Nothing is used.
select * from helper.rows('rows');
select helper.differing('rows');

-- Used, corrected below zero, over a soft limit, held; in the tail and rolled up.
select count(gov_ingest('rows', 'tokens', e.amount, null, e.ids))
from (values (1, '{bot}'::text[]), (2.5, '{bot,gpt}'), (40, '{ann,gpt,opus}'), (200, '{cyd}'), (-1.25, '{cyd}'), (0.000000001, '{ben}')) as e (amount, ids);
select count(gov_ingest('rows', 'calls', 2, null, '{eng}'));
select is_granted from gov_reserve('rows', 'tokens', 0.5, null, '{ann,opus}', 'hold-1', '1 day');
select is_granted from gov_reserve('rows', 'tokens', 50, null, '{ben}', 'hold-2', '1 day');
select * from helper.rows('rows');
select helper.differing('rows');
call helper.roll_up();
select count(*) from gov_usage where owner_id = 'rows';
select helper.differing('rows');
select count(gov_ingest('rows', 'tokens', -45, null, '{gpt}'));
select count(gov_ingest('rows', 'tokens', 7, null, '{ann}'));
select * from helper.rows('rows');
select helper.differing('rows');

-- All columns of one row.
\x
select * from gov_budgets where owner_id = 'rows' and entity_id = 'eng' and scope_entity_ids = '{gpt}';
select * from gov_budgets where owner_id = 'rows' and name = 'life';
\x

-- A transaction sees what it has written itself, to a savepoint too; nobody sees what was rolled back.
begin;
select count(gov_ingest('rows', 'tokens', 10, null, '{ann}'));
select is_granted from gov_reserve('rows', 'tokens', 4, null, '{ann}', 'hold-3', '1 day');
select helper.differing('rows');
savepoint s;
update gov_assignments set usage_limit = 90 where owner_id = 'rows' and entity_id = 'ann' and name = '';
select count(gov_ingest('rows', 'tokens', -20, null, '{ann}'));
select gov_release(id) from gov_reservations where owner_id = 'rows' and idempotency_key = 'hold-3';
select * from helper.rows('rows') where line like 'ann %';
select helper.differing('rows');
rollback to s;
select * from helper.rows('rows') where line like 'ann %';
select helper.differing('rows');
rollback;
select * from helper.rows('rows') where line like 'ann %';
select helper.differing('rows');

-- A hold past its time does not count, and for the gate no longer within a second; settled ones are used; a budget's holds go on when its usage starts afresh.
select count(gov_reserve('rows', 'tokens', 5, null, '{ben}', 'hold-4', '1 microsecond'));
select gov_settle(id, 0.75) is not null from gov_reservations where owner_id = 'rows' and idempotency_key = 'hold-1';
update gov_assignments set cadence = 'P50Y' where owner_id = 'rows' and entity_id = 'eng' and scope_entity_ids = '{}' and name = '';
select * from helper.rows('rows') where line ~ '^(eng|ben|bot) ';
do $$
begin
    for round in 1..2000 loop
        exit when not exists (select helper.differing('rows'));
        perform pg_sleep(0.005);
    end loop;
end
$$;
select helper.differing('rows');
select count(gov_ingest('rows', 'tokens', 3, null, '{ann}'));
select helper.differing('rows');
call helper.roll_up();
select helper.differing('rows');
update gov_assignments set cadence = 'P100Y' where owner_id = 'rows' and entity_id = 'eng' and scope_entity_ids = '{}' and name = '';
select * from helper.rows('rows') where line ~ '^eng ';
select helper.differing('rows');

-- Late events belong to windows that are over.
select count(gov_ingest('rows', 'tokens', 1000, null, '{ann}', null, '1990-01-01'));
select helper.differing('rows');
call helper.roll_up();
select helper.differing('rows');

-- An archived entity's budgets are not shown, its children show below the nearest that is; it is given nothing.
select gov_archive_entities('rows', '{ann}');
select * from helper.rows('rows');
select helper.differing('rows');
select gov_archive_entities('rows', '{eng,acme}');
select * from helper.rows('rows');
select helper.differing('rows');
select gov_unarchive_entities('rows', '{acme}');
select * from helper.rows('rows');
select gov_unarchive_entities('rows', '{eng,ann}');
select helper.differing('rows');

-- An owner without budgets, or unknown, has no rows; the others' rows are theirs.
select count(*) from gov_budgets where owner_id = 'nobody';
call helper.organisation('rows-2');
select count(*) from gov_budgets where owner_id = 'rows-2';
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit)
select 'rows-2', id, 'tokens', 5 from gov_entities where owner_id = 'rows-2';
select count(gov_consume('rows-2', 'tokens', 2, null, '{bot}'));
select * from helper.rows('rows-2');
select owner_id, count(*), sum(current_usage) from gov_budgets where owner_id like 'rows%' group by owner_id order by owner_id;
select helper.differing('rows-2');

select gov_delete_owner('rows'), gov_delete_owner('rows-2');
select count(*) from gov_budgets where owner_id like 'rows%';
