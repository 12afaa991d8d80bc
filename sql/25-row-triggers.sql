/* ---------------------------------------------------------------------------------------------------------------- */
/* Triggers that keep rows in form                                                                                  */
/*                                                                                                                  */
/* They and the rules of the hierarchy below do not fire for logical apply: the publisher has applied them already. */
/* ---------------------------------------------------------------------------------------------------------------- */

create function @extschema@._gov_sorted(items text[])
returns text[]
language sql
immutable
parallel safe
strict
return case
    when array_ndims(items) > 1 then items
    else array(select distinct item collate "C" from unnest(items) item order by 1)
end;

comment on function @extschema@._gov_sorted(text[]) is
    'internal: the distinct items in byte order; an array of more dimensions as it is, for the check constraint to refuse';

create function @extschema@._gov_sorted(items numeric[])
returns numeric[]
language sql
immutable
parallel safe
strict
return array(select distinct trim_scale(round(item, 9)) from unnest(items) item order by 1);

comment on function @extschema@._gov_sorted(numeric[]) is 'internal: the distinct items in order, rounded to 9 decimals and without trailing zeros';

-- The check constraints on thresholds would raise 0A000.
create function @extschema@._gov_refuse_dimensions(relation name, column_name name)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using
        errcode = 'check_violation',
        message = format('column "%s" of "%s" must be a one-dimensional array', column_name, relation),
        hint = 'Write it like {80,100}.',
        schema = '@extschema@',
        table = relation,
        column = column_name,
        constraint = relation || '_' || column_name || '_check';
end
$$;

comment on function @extschema@._gov_refuse_dimensions(name, name) is 'internal: refuses an array of two and more dimensions (23514)';

create function @extschema@.gov_is_timezone(name text)
returns boolean
language c
stable
strict
parallel safe
as 'MODULE_PATHNAME', 'gov_is_timezone_1_0';

comment on function @extschema@.gov_is_timezone(text) is
$$Whether a name is a time zone that a budget can have.

name: compared with the names of pg_timezone_names; abbreviations and POSIX specifications are none
result: boolean; null for null$$;

create function @extschema@.gov_refuse_key_change()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using
        errcode = 'object_not_in_prerequisite_state',
        message = format('key columns of "%s" do not change', tg_table_name),
        detail = format('Key columns: %s.', tg_argv[0]),
        hint = 'Insert a row with the new key and delete the old one.',
        schema = tg_table_schema,
        table = tg_table_name;
end
$$;

comment on function @extschema@.gov_refuse_key_change() is 'trigger: refuses a change of key columns (55000); its argument names them';

-- updated_at takes the clock's time, not the transaction's, so that it moves with every change.

create function @extschema@.gov_keep_entity_type()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    new.display_name := coalesce(new.display_name, new.id);
    new.attribution_keys := @extschema@._gov_sorted(new.attribution_keys);

    if tg_op = 'UPDATE' then
        new.created_at := old.created_at;
        new.updated_at := old.updated_at;
        if new is distinct from old then
            new.updated_at := clock_timestamp();
        end if;
    end if;
    return new;
end
$$;

comment on function @extschema@.gov_keep_entity_type() is 'trigger: fills in the display name, sorts attribution keys, keeps the times';

create function @extschema@.gov_keep_row()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    new.created_at := old.created_at;
    new.updated_at := old.updated_at;
    if new is distinct from old then
        new.updated_at := clock_timestamp();
    end if;
    return new;
end
$$;

comment on function @extschema@.gov_keep_row() is 'trigger: keeps the times of a row that is updated';

create function @extschema@._gov_require_window(budget @extschema@.gov_assignments)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.gov_window(budget.cadence, budget.anchor_at, budget.timezone, now());
exception
    when invalid_parameter_value then
        raise exception using
            errcode = 'check_violation',
            message = 'the present window is out of range',
            detail = format('No window of cadence %s that is counted from %s holds the present time.',
                budget.cadence, budget.anchor_at),
            hint = 'Choose an anchor_at nearer to now, or a shorter cadence.',
            schema = '@extschema@',
            table = 'gov_assignments',
            column = 'anchor_at',
            constraint = 'gov_assignments_anchor_at_check';
end
$$;

comment on function @extschema@._gov_require_window(@extschema@.gov_assignments) is 'internal: refuses a budget that has no present window (23514)';

create function @extschema@.gov_keep_assignment()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if array_ndims(new.alert_thresholds) > 1 then
        perform @extschema@._gov_refuse_dimensions(tg_table_name, 'alert_thresholds'::name);
    end if;
    new.scope_entity_ids := @extschema@._gov_sorted(new.scope_entity_ids);
    new.usage_limit := trim_scale(round(new.usage_limit, 9));
    new.alert_thresholds := @extschema@._gov_sorted(new.alert_thresholds);

    if tg_op = 'INSERT' or new.timezone is distinct from old.timezone then
        if not @extschema@.gov_is_timezone(new.timezone) then
            raise exception using
                errcode = 'check_violation',
                message = format('time zone "%s" is not recognized', left(new.timezone, 200)),
                hint = 'A time zone is a name of pg_timezone_names, such as UTC or Europe/Berlin.',
                schema = tg_table_schema,
                table = tg_table_name,
                column = 'timezone',
                constraint = 'gov_assignments_timezone_check';
        end if;
    end if;

    if new.cadence is not null
        and isfinite(new.anchor_at)
        and (tg_op = 'INSERT'
            or (new.cadence, new.anchor_at, new.timezone) is distinct from (old.cadence, old.anchor_at, old.timezone))
    then
        perform @extschema@._gov_require_window(new);
    end if;

    if tg_op = 'INSERT' then
        if new.counter_id is null then
            new.counter_id := nextval('@extschema@.gov_counter_seq');
        elsif @extschema@.gov_pinned_owner() is not null then
            -- A number that is still to be drawn would be taken from another owner's budget.
            raise exception using
                errcode = 'insufficient_privilege',
                message = 'permission denied for column "counter_id"',
                detail = 'The session is pinned to one owner by governance.owner, and counters are numbered over all.',
                hint = 'Leave counter_id out: the extension draws it.',
                schema = tg_table_schema,
                table = tg_table_name,
                column = 'counter_id';
        elsif exists (select from @extschema@.gov_counter_seq q where q.is_called and q.last_value >= new.counter_id) then
            -- A restore gives a budget the counter that it had. One that was drawn here has counted for another budget, or
            -- for one that is gone, and its usage with it.
            raise exception using
                errcode = 'object_not_in_prerequisite_state',
                message = format('counter_id %s has been drawn before', new.counter_id),
                hint = 'Leave counter_id out: the extension draws it. To restore rows, set session_replication_role to replica.',
                schema = tg_table_schema,
                table = tg_table_name,
                column = 'counter_id';
        end if;
        return new;
    end if;

    if new.counter_id is distinct from old.counter_id then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = 'column "counter_id" of "gov_assignments" is kept by the extension',
            hint = 'Change cadence, anchor_at or timezone to start the usage of a budget afresh.',
            schema = tg_table_schema,
            table = tg_table_name,
            column = 'counter_id';
    end if;
    if (new.cadence, new.anchor_at, new.timezone) is distinct from (old.cadence, old.anchor_at, old.timezone) then
        new.counter_id := nextval('@extschema@.gov_counter_seq');
    end if;
    new.created_at := old.created_at;
    new.updated_at := old.updated_at;
    if new is distinct from old then
        new.updated_at := clock_timestamp();
    end if;
    return new;
end
$$;

comment on function @extschema@.gov_keep_assignment() is
    'trigger: sorts scope and thresholds, rounds numbers to 9 decimals, judges the time zone, draws the counter, keeps the times';

create function @extschema@.gov_keep_alert_policy()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if array_ndims(new.thresholds) > 1 then
        perform @extschema@._gov_refuse_dimensions(tg_table_name, 'thresholds'::name);
    end if;
    new.thresholds := @extschema@._gov_sorted(new.thresholds);

    if tg_op = 'UPDATE' then
        new.created_at := old.created_at;
        new.updated_at := old.updated_at;
        if new is distinct from old then
            new.updated_at := clock_timestamp();
        end if;
    end if;
    return new;
end
$$;

comment on function @extschema@.gov_keep_alert_policy() is 'trigger: sorts the thresholds, rounds them to 9 decimals, keeps the times';

create function @extschema@.gov_forget_budget()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_forget_budget_1_0';

comment on function @extschema@.gov_forget_budget() is 'trigger: deletes the usage and alerts of a budget that was deleted';

-- BEFORE triggers fire by name: …_keep puts a row in form before …_key compares it.

create trigger gov_entity_types_keep
    before insert or update on @extschema@.gov_entity_types
    for each row
    execute function @extschema@.gov_keep_entity_type();

create trigger gov_entity_types_key
    before update on @extschema@.gov_entity_types
    for each row
    when (new.id is distinct from old.id)
    execute function @extschema@.gov_refuse_key_change('id');

create trigger gov_capabilities_keep
    before update on @extschema@.gov_capabilities
    for each row
    execute function @extschema@.gov_keep_row();

create trigger gov_capabilities_key
    before update on @extschema@.gov_capabilities
    for each row
    when (new.id is distinct from old.id)
    execute function @extschema@.gov_refuse_key_change('id');

create trigger gov_entities_keep
    before update on @extschema@.gov_entities
    for each row
    execute function @extschema@.gov_keep_row();

create trigger gov_entities_key
    before update on @extschema@.gov_entities
    for each row
    when ((new.owner_id, new.id) is distinct from (old.owner_id, old.id))
    execute function @extschema@.gov_refuse_key_change('owner_id, id');

create trigger gov_assignments_keep
    before insert or update on @extschema@.gov_assignments
    for each row
    execute function @extschema@.gov_keep_assignment();

create trigger gov_assignments_key
    before update on @extschema@.gov_assignments
    for each row
    when ((new.id, new.owner_id, new.entity_id, new.capability_id, new.scope_entity_ids, new.name)
        is distinct from (old.id, old.owner_id, old.entity_id, old.capability_id, old.scope_entity_ids, old.name))
    execute function @extschema@.gov_refuse_key_change('id, owner_id, entity_id, capability_id, scope_entity_ids, name');

create trigger gov_assignments_forget
    after delete on @extschema@.gov_assignments
    for each row
    execute function @extschema@.gov_forget_budget();

create trigger gov_assignments_forget_all
    after truncate on @extschema@.gov_assignments
    for each statement
    execute function @extschema@.gov_forget_budget();

create trigger gov_alert_policies_keep
    before insert or update on @extschema@.gov_alert_policies
    for each row
    execute function @extschema@.gov_keep_alert_policy();

create trigger gov_alert_policies_key
    before update on @extschema@.gov_alert_policies
    for each row
    when (new.owner_id is distinct from old.owner_id)
    execute function @extschema@.gov_refuse_key_change('owner_id');

