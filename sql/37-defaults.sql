/* ---------------------------------------------------------------------------------------------------------------- */
/* Budgets that entities have by a default                                                                          */
/*                                                                                                                  */
/* An inherited budget has no row of its own: its id and its counter are made of the default's and the entity's      */
/* (src/cache/load_defaults.c). Those that were used have a row of gov_default_counts.                              */
/* ---------------------------------------------------------------------------------------------------------------- */

create function @extschema@.gov_default_placed()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    missing text;
    budgets bigint;
begin
    -- They stay until this transaction has ended, as what a foreign key refers to does.
    select s.id
    into missing
    from unnest(new.scope_type_ids) s (id)
    cross join lateral (select (select true from @extschema@.gov_entity_types t where t.id = s.id for key share) as is_there) t
    where t.is_there is not true
    limit 1;
    if found then
        raise exception using
            errcode = 'foreign_key_violation',
            message = format('scope type "%s" does not exist', left(missing, 200)),
            hint = 'Create it with gov_upsert_entity_types.',
            schema = '@extschema@',
            table = tg_table_name,
            constraint = 'gov_default_assignments_scope_type_ids_fkey';
    end if;

    -- Everybody's, and one owner's: all that an entity can have by defaults.
    select sum(c.count)
    into budgets
    from
    (
        select count(*)
        from @extschema@.gov_default_assignments d
        where d.owner_id is null
            and d.type_id = new.type_id
            and d.capability_id = new.capability_id
        union all
        select max(o.count)
        from
        (
            select count(*)
            from @extschema@.gov_default_assignments d
            where d.type_id = new.type_id
                and d.capability_id = new.capability_id
                and (d.owner_id = new.owner_id or new.owner_id is null and d.owner_id is not null)
            group by d.owner_id
        ) o
    ) c;
    if budgets > 256 then
        raise exception using
            errcode = 'program_limit_exceeded',
            message = format('type "%s" has too many defaults for capability "%s"', left(new.type_id, 200), left(new.capability_id, 200)),
            detail = 'There may be at most 256, with those of every owner.',
            hint = 'Delete defaults that are not needed any more.',
            schema = '@extschema@',
            table = tg_table_name,
            constraint = 'gov_default_assignments_limit';
    end if;
    return null;
end
$$;

comment on function @extschema@.gov_default_placed() is
    'trigger: refuses a default whose scope names a type that does not exist (23503), and a 257th of a type and capability (54000)';

create function @extschema@.gov_entity_type_removed()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from @extschema@.gov_default_assignments d where old.id = any (d.scope_type_ids)) then
        raise exception using
            errcode = 'foreign_key_violation',
            message = format('entity type "%s" is in the scope of a default', left(old.id, 200)),
            hint = 'Delete the default first.',
            schema = '@extschema@',
            table = tg_table_name,
            constraint = 'gov_default_assignments_scope_type_ids_fkey';
    end if;
    return null;
end
$$;

comment on function @extschema@.gov_entity_type_removed() is 'trigger: refuses to delete a type that the scope of a default names (23503)';

create function @extschema@.gov_default_gone()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- The boosts of the budgets that entities had by it, unless they have such a budget otherwise.
    delete from @extschema@.gov_boosts b
    using @extschema@.gov_entities e
    where e.owner_id = b.owner_id
        and e.id = b.entity_id
        and e.type_id = old.type_id
        and b.owner_id = coalesce(old.owner_id, b.owner_id)
        and b.capability_id = old.capability_id
        and b.name = old.name
        and cardinality(b.scope_entity_ids) = cardinality(old.scope_type_ids)
        and not exists (
            select
            from @extschema@.gov_assignments a
            where a.owner_id = b.owner_id
                and a.entity_id = b.entity_id
                and a.capability_id = b.capability_id
                and a.scope_entity_ids = b.scope_entity_ids
                and a.name = b.name)
        and not exists (
            select
            from @extschema@.gov_default_assignments d
            where (d.owner_id is null or d.owner_id = b.owner_id)
                and d.type_id = old.type_id
                and d.capability_id = old.capability_id
                and d.scope_type_ids = old.scope_type_ids
                and d.name = old.name);
    return null;
end
$$;

comment on function @extschema@.gov_default_gone() is 'trigger: deletes the boosts of the budgets that entities had by a default that was deleted';

create trigger gov_default_assignments_gone
    after delete on @extschema@.gov_default_assignments
    for each row
    execute function @extschema@.gov_default_gone();

create trigger gov_default_assignments_placed
    after insert on @extschema@.gov_default_assignments
    for each row
    execute function @extschema@.gov_default_placed();

create trigger gov_entity_types_removed
    after delete on @extschema@.gov_entity_types
    for each row
    execute function @extschema@.gov_entity_type_removed();

-- Assignments in the place of budgets by defaults (src/rules/override.c).

create function @extschema@.gov_assignment_goes_on()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_assignment_goes_on_1_1';

comment on function @extschema@.gov_assignment_goes_on() is
    'trigger: writes to gov_default_counts that an assignment goes on with the count of a budget by a default';

create function @extschema@.gov_assignment_parts()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_assignment_parts_1_1';

comment on function @extschema@.gov_assignment_parts() is
    'trigger: retires the count of a budget by a default, with which an assignment does not go on any more';

create function @extschema@.gov_assignment_unlocked()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_assignment_unlocked_1_1';

comment on function @extschema@.gov_assignment_unlocked() is
    'trigger: refuses a tenant''s assignments in the place of a locked default (42501)';

create function @extschema@.gov_entity_gone()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_entity_gone_1_1';

comment on function @extschema@.gov_entity_gone() is
    'trigger: deletes the usage, alerts and boosts of the budgets that a deleted entity had by defaults, and retires their counts';

create trigger gov_assignments_goes_on
    after insert on @extschema@.gov_assignments
    for each row
    when (new.counter_id < 0)
    execute function @extschema@.gov_assignment_goes_on();

create trigger gov_assignments_parts
    after update on @extschema@.gov_assignments
    for each row
    when (old.counter_id < 0 and new.counter_id <> old.counter_id)
    execute function @extschema@.gov_assignment_parts();

create trigger gov_assignments_unlocked
    after insert on @extschema@.gov_assignments
    referencing new table as written
    for each statement
    execute function @extschema@.gov_assignment_unlocked();

create trigger gov_assignments_unlocked_anew
    after update on @extschema@.gov_assignments
    referencing old table as replaced new table as written
    for each statement
    execute function @extschema@.gov_assignment_unlocked();

create trigger gov_assignments_unlocked_gone
    after delete on @extschema@.gov_assignments
    referencing old table as replaced
    for each statement
    execute function @extschema@.gov_assignment_unlocked();

create trigger gov_entities_gone
    after delete on @extschema@.gov_entities
    for each row
    execute function @extschema@.gov_entity_gone();

create trigger gov_entities_gone_all
    after truncate on @extschema@.gov_entities
    for each statement
    execute function @extschema@.gov_entity_gone();

alter table @extschema@.gov_entities enable always trigger gov_entities_gone;
alter table @extschema@.gov_entities enable always trigger gov_entities_gone_all;

create function @extschema@._gov_inherited_name
(
    default_id uuid,
    seed bigint,
    owner text,
    entity text,
    scope text[],
    anchor text,
    salt integer,
    out assignment_id uuid,
    out counter_id bigint
)
returns record
language c
immutable
as 'MODULE_PATHNAME', 'gov_inherited_name_1_1';

comment on function @extschema@._gov_inherited_name(uuid, bigint, text, text, text[], text, integer) is
    'internal: the id and the counter of the budget that an entity has by a default; nulls for a null, but for the anchor';

create function @extschema@._gov_anchor(anchor text, cadence text, timezone text, at timestamptz)
returns timestamptz
language c
stable
parallel safe
as 'MODULE_PATHNAME', 'gov_anchor_1_1';

comment on function @extschema@._gov_anchor(text, text, text, timestamptz) is
    'internal: the anchor that a text in an entity''s metadata says; null for one that says none, or has no window at that time';

-- The row of an inherited budget counts while its entity has the anchor that it was made with. When its default got another seed, the
-- budget has another counter, which begins at nothing, and the holds that it had. What may be in its place is looked up for each row
-- (OFFSET 0): the planner takes thousands of rows for one, and would go through whole tables for each.
create view @extschema@.gov_used_assignments with (security_invoker = true) as
select
    a.id,
    a.owner_id,
    a.entity_id,
    a.capability_id,
    a.scope_entity_ids,
    a.name,
    a.usage_limit,
    a.cadence,
    a.anchor_at,
    a.timezone,
    a.enforcement,
    a.strict_allocation,
    a.locked,
    a.alert_thresholds,
    a.counter_id,
    a.created_at,
    a.updated_at,
    a.call_limit,
    'own' collate "C" as source,
    null::uuid as default_id,
    a.window_kind,
    a.carry_unused_max,
    a.carry_debt,
    a.carry_from
from @extschema@.gov_assignments a
union all
select
    n.assignment_id,
    n.owner_id,
    n.entity_id,
    d.capability_id,
    n.scope_entity_ids,
    d.name,
    d.usage_limit,
    d.cadence,
    case
        when d.seed = n.seed then n.anchor_at
        when d.anchor_from is null then d.anchor_at
        when d.anchor_from = 'created_at' then
            @extschema@._gov_anchor(to_char(e.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), d.cadence, d.timezone, statement_timestamp())
        else @extschema@._gov_anchor(n.anchor, d.cadence, d.timezone, statement_timestamp())
    end,
    d.timezone,
    d.enforcement,
    false,
    d.locked,
    d.alert_thresholds,
    case
        when d.seed = n.seed then n.counter_id
        else (@extschema@._gov_inherited_name(n.default_id, d.seed, n.owner_id, n.entity_id, n.scope_entity_ids, n.anchor, n.salt)).counter_id
    end,
    d.created_at,
    d.updated_at,
    d.call_limit,
    'default' collate "C",
    d.id,
    d.window_kind,
    d.carry_unused_max,
    d.carry_debt,
    d.carry_from
from @extschema@.gov_default_counts n
join @extschema@.gov_default_assignments d on d.id = n.default_id
join @extschema@.gov_entities e on e.owner_id = n.owner_id and e.id = n.entity_id and e.type_id = d.type_id
where not n.retired
    -- a CASE holds for half of the rows, as the planner has it, a comparison for a row or none
    and case
        when n.anchor is distinct from case
                when d.anchor_from = 'created_at' and isfinite(e.created_at) then ((extract(epoch from e.created_at) * 1000000)::bigint)::text
                when d.anchor_from <> 'created_at' then e.metadata ->> d.anchor_from
            end
            then false
        else true
    end
    -- all entities of its scope are there, and of its types
    and not exists (
        select
        from unnest(n.scope_entity_ids) as s (id)
        where not exists (
            select
            from @extschema@.gov_entities x
            where x.owner_id = n.owner_id
                and x.id = s.id
                and x.type_id = any (d.scope_type_ids)))
    -- an assignment in its place
    and not exists (
        select
        from @extschema@.gov_assignments a
        where a.owner_id = n.owner_id
            and a.entity_id = n.entity_id
            and a.capability_id = d.capability_id
            and a.scope_entity_ids = n.scope_entity_ids
            and a.name = d.name
        offset 0)
    -- the owner's default goes before everybody's
    and (d.owner_id is not null or not exists (
        select
        from @extschema@.gov_default_assignments o
        where o.owner_id = n.owner_id
            and o.type_id = d.type_id
            and o.capability_id = d.capability_id
            and o.scope_type_ids = d.scope_type_ids
            and o.name = d.name))
    -- one row of those of one budget, that with its seed if there is one, and none of an entity that was deleted
    and not exists (
        select
        from @extschema@.gov_default_counts o
        where o.owner_id = n.owner_id
            and o.entity_id = n.entity_id
            and o.default_id = n.default_id
            and o.scope_entity_ids = n.scope_entity_ids
            and (o.retired and o.salt >= n.salt
                or not o.retired
                    and o.assignment_id = n.assignment_id
                    and (o.seed = d.seed, o.counter_id, o.ctid) > (n.seed = d.seed, n.counter_id, n.ctid))
        offset 0);

comment on view @extschema@.gov_used_assignments is 'the assignments, and the budgets that entities have by a default and have used (since 1.1.0)';
comment on column @extschema@.gov_used_assignments.id is 'of the budget';
comment on column @extschema@.gov_used_assignments.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_used_assignments.entity_id is 'the entity whose budget it is';
comment on column @extschema@.gov_used_assignments.capability_id is 'the capability that it limits';
comment on column @extschema@.gov_used_assignments.scope_entity_ids is 'the budget holds only where all these entities are resolved too; {} = everywhere';
comment on column @extschema@.gov_used_assignments.name is 'tells budgets of one entity, capability and scope apart; may be empty';
comment on column @extschema@.gov_used_assignments.usage_limit is 'the most that may be used per window, in the capability''s unit; null = counted, never blocks';
comment on column @extschema@.gov_used_assignments.cadence is 'the length of a window, such as P1M; null = never resets';
comment on column @extschema@.gov_used_assignments.anchor_at is 'where windows are counted from; null = the calendar';
comment on column @extschema@.gov_used_assignments.timezone is 'years, months, weeks and days are local to it';
comment on column @extschema@.gov_used_assignments.enforcement is 'hard = denies what would pass the limit, soft = only counts it';
comment on column @extschema@.gov_used_assignments.strict_allocation is 'false for a budget by a default';
comment on column @extschema@.gov_used_assignments.locked is 'true = tenants may not change it, nor put an assignment in its place';
comment on column @extschema@.gov_used_assignments.alert_thresholds is 'percentages; null = the alert policy''s, {} = none';
comment on column @extschema@.gov_used_assignments.counter_id is 'names the counter; below 0 for a budget by a default, and for an assignment that goes on with its count';
comment on column @extschema@.gov_used_assignments.created_at is 'when the assignment, or the default, was made';
comment on column @extschema@.gov_used_assignments.updated_at is 'when a value of that last changed';
comment on column @extschema@.gov_used_assignments.call_limit is 'the most that one call may use, whatever is left; null = as much as is left';
comment on column @extschema@.gov_used_assignments.source is 'own = an assignment, default = by a default';
comment on column @extschema@.gov_used_assignments.default_id is 'the default that the budget comes from; null for an assignment';
comment on column @extschema@.gov_used_assignments.window_kind is 'where windows begin: calendar, first_use or sliding';
comment on column @extschema@.gov_used_assignments.carry_unused_max is 'how much at most a window gets of what the one before has left unused; null = nothing';
comment on column @extschema@.gov_used_assignments.carry_debt is 'true: what a window has used past its limit makes the limit of the next one smaller';
comment on column @extschema@.gov_used_assignments.carry_from is 'windows that had ended by then carry nothing over; null = none that ended after it was made';

create function @extschema@._gov_inherited_budgets(owner_id text, entity_id text)
returns setof @extschema@.gov_used_assignments
language c
stable
strict
parallel unsafe
rows 4
as 'MODULE_PATHNAME', 'gov_inherited_budgets_1_1';

comment on function @extschema@._gov_inherited_budgets(text, text) is
    'internal: the budgets that an entity has by defaults, whether they were used or not; refuses an owner that the session may not see (42501)';
