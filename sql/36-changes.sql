/* ---------------------------------------------------------------------------------------------------------------- */
/* Who changed what (src/rules/history.c), and which limits budgets have had (src/rules/history_limit.c)            */
/*                                                                                                                  */
/* These triggers judge whole statements, after those of the rules, and fire neither for logical apply nor where    */
/* session_replication_role is replica: gov_changes comes along with the tables there.                              */
/* ---------------------------------------------------------------------------------------------------------------- */

create function @extschema@.gov_log_changes()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_log_changes_1_1';

comment on function @extschema@.gov_log_changes() is
    'trigger: writes a row of gov_changes for each row that a statement has changed; its arguments name the columns of the key';

create function @extschema@.gov_note_limits()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_note_limits_1_1';

comment on function @extschema@.gov_note_limits() is 'trigger: writes a row of gov_limit_history for each limit of a budget or a default that a statement has replaced, and deletes those of deleted ones';

create function @extschema@._gov_log_right(action text, role name, profile text)
returns void
language c
as 'MODULE_PATHNAME', 'gov_log_right_1_1';

comment on function @extschema@._gov_log_right(text, name, text) is 'internal: writes a row of gov_changes for gov_grant and gov_revoke; refuses whoever does not own the extension (42501)';

-- The tables whose changes are logged: one line each. owner_id has a column of its own in gov_changes.
create function @extschema@._gov_logged_tables()
returns table (relation name, key text)
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
values
    ('gov_entity_types', '''id'''),
    ('gov_capabilities', '''id'''),
    ('gov_entities', '''id'''),
    ('gov_assignments', '''id'', ''entity_id'', ''capability_id'', ''scope_entity_ids'', ''name'''),
    ('gov_default_assignments', '''id'', ''type_id'', ''capability_id'', ''scope_type_ids'', ''name'''),
    ('gov_boosts', '''id'', ''entity_id'', ''capability_id'', ''scope_entity_ids'', ''name'''),
    ('gov_increase_requests', '''id'', ''entity_id'', ''capability_id'', ''scope_entity_ids'', ''name'''),
    ('gov_prices', '''id'', ''capability_id'', ''quantity'', ''match'', ''valid_from'''),
    ('gov_alert_policies', '''owner_id''')
$$;

comment on function @extschema@._gov_logged_tables() is 'internal: the tables whose changes gov_changes has; key: the arguments of their triggers';

create function @extschema@._gov_log_triggers()
returns table (relation name, name name, definition text)
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select
        t.relation,
        format('%s_logged_%s', t.relation, e.event)::name,
        format('create or replace trigger %1$s_logged_%2$s after %2$s on %5$s.%1$s %3$s for each statement execute function %5$s.gov_log_changes(%4$s)',
            t.relation, e.event, e.referencing, t.key, '@extschema@')
    from @extschema@._gov_logged_tables() t
    cross join
    (
        values
            ('insert', 'referencing new table as written'),
            ('update', 'referencing old table as replaced new table as written'),
            ('delete', 'referencing old table as replaced'),
            ('truncate', '')
    ) e (event, referencing)
$$;

comment on function @extschema@._gov_log_triggers() is 'internal: the triggers of those tables, and the statements that make them';

do $$
declare
    item record;
begin
    for item in select t.definition from @extschema@._gov_log_triggers() t loop
        execute item.definition;
    end loop;
end
$$;

create trigger gov_assignments_limits
    after update on @extschema@.gov_assignments
    referencing old table as replaced new table as written
    for each statement
    execute function @extschema@.gov_note_limits();

create trigger gov_assignments_limits_gone
    after delete on @extschema@.gov_assignments
    referencing old table as replaced
    for each statement
    execute function @extschema@.gov_note_limits();

create trigger gov_default_assignments_limits
    after update on @extschema@.gov_default_assignments
    referencing old table as replaced new table as written
    for each statement
    execute function @extschema@.gov_note_limits();

create trigger gov_default_assignments_limits_gone
    after delete on @extschema@.gov_default_assignments
    referencing old table as replaced
    for each statement
    execute function @extschema@.gov_note_limits();

create trigger gov_default_assignments_limits_gone_all
    after truncate on @extschema@.gov_default_assignments
    for each statement
    execute function @extschema@.gov_note_limits();

create trigger gov_changes_guard
    before update or delete or truncate on @extschema@.gov_changes
    for each statement
    execute function @extschema@.gov_ledger_guard();

create trigger gov_limit_history_guard
    before update or delete or truncate on @extschema@.gov_limit_history
    for each statement
    execute function @extschema@.gov_ledger_guard();

create function @extschema@.gov_limit_at(assignment_id uuid, at timestamptz)
returns numeric
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    budget record;
    replaced record;
begin
    if gov_limit_at.assignment_id is null or gov_limit_at.at is null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = format('argument "%s" must not be null', case when gov_limit_at.assignment_id is null then 'assignment_id' else 'at' end),
            hint = 'Pass the id of a budget, and a time.';
    end if;

    -- An assignment, from when it was made; before, and without one, the default whose budget has this id.
    select b.id, b.owner_id, b.usage_limit, b.created_at
    into budget
    from
    (
        select a.id, a.owner_id, a.usage_limit, a.created_at
        from @extschema@.gov_assignments a
        where a.id = gov_limit_at.assignment_id
            and @extschema@.gov_owner_visible(a.owner_id)
        union all
        select d.id, coalesce(d.owner_id, ''), d.usage_limit, d.created_at
        from @extschema@.gov_default_assignments d
        where d.id in (
            select n.default_id
            from @extschema@.gov_default_counts n
            where n.assignment_id = gov_limit_at.assignment_id
                and not n.retired
                and @extschema@.gov_owner_visible(n.owner_id))
    ) b
    order by b.created_at <= gov_limit_at.at desc, b.id = gov_limit_at.assignment_id desc
    limit 1;
    if not found then
        raise exception using
            errcode = 'undefined_object',
            message = format('budget "%s" does not exist', gov_limit_at.assignment_id),
            hint = 'The ids of budgets are in gov_used_assignments.';
    end if;
    if gov_limit_at.at < budget.created_at then
        raise exception using
            errcode = 'undefined_object',
            message = format('budget "%s" did not exist at %s', gov_limit_at.assignment_id, gov_limit_at.at),
            detail = format('It was made at %s.', budget.created_at),
            hint = 'Ask for a later time.';
    end if;

    select h.usage_limit, h.is_known, h.replaced_at
    into replaced
    from @extschema@.gov_limit_history h
    where h.owner_id = budget.owner_id
        and h.assignment_id = budget.id
        and h.replaced_at > gov_limit_at.at
    order by h.replaced_at
    limit 1;
    if not found then
        return budget.usage_limit;
    end if;
    if not replaced.is_known then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = format('the limit of budget "%s" at %s is not recorded', gov_limit_at.assignment_id, gov_limit_at.at),
            detail = format('Version 1.0.0 kept no history; this budget has one from %s on.', replaced.replaced_at),
            hint = 'Ask for a later time.';
    end if;
    return replaced.usage_limit;
end
$$;

comment on function @extschema@.gov_limit_at(uuid, timestamptz) is
$$The limit that a budget had at a moment: usage_limit, without what adds to it for a time. A change counts from when it was made,
by the clock of the engine, however much later it was committed. The history has no retention; it goes with the budget. Of a budget by
a default it is that of the default, also for times when an assignment that is gone had its place; where an assignment goes on with its
count, that of the default until then.

assignment_id: of gov_used_assignments: an assignment, or a budget by a default that was used; at: a time since the budget, or the default,
    was made; one in the future gives the present limit
result: the limit, null for none
errors: 22004 null; 42704 no such budget, or not at that time; 55000 a time that version 1.0.0 has not recorded
since: 1.1.0$$;
