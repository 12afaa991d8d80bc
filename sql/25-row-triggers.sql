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
language c
as 'MODULE_PATHNAME', 'gov_refuse_key_change_1_1';

comment on function @extschema@.gov_refuse_key_change() is 'trigger: refuses a change of key columns (55000); its argument names them';

-- updated_at takes the clock's time, not the transaction's, so that it moves with every change.

create function @extschema@.gov_keep_entity_type()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if new.display_name is null or (tg_op = 'INSERT' and new.display_name = '') then
        new.display_name := new.id;
    end if;
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
language c
as 'MODULE_PATHNAME', 'gov_keep_row_1_1';

comment on function @extschema@.gov_keep_row() is 'trigger: keeps the times of a row that is updated';

create function @extschema@.gov_keep_assignment()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_keep_assignment_1_1';

comment on function @extschema@.gov_keep_assignment() is
    'trigger: sorts scope and thresholds, rounds numbers to 9 decimals, judges the time zone, draws the id and the counter, keeps the times';

create function @extschema@.gov_keep_default()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_keep_default_1_1';

comment on function @extschema@.gov_keep_default() is
    'trigger: sorts scope and thresholds, rounds numbers to 9 decimals, judges the time zone, draws the id and the seed, keeps the times';

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

create function @extschema@.gov_keep_boost()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if array_ndims(new.scope_entity_ids) > 1 then
        perform @extschema@._gov_refuse_dimensions(tg_table_name, 'scope_entity_ids'::name);
    end if;
    new.amount := trim_scale(round(new.amount, 9));
    new.scope_entity_ids := @extschema@._gov_sorted(new.scope_entity_ids);
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

comment on function @extschema@.gov_keep_boost() is
    'trigger: sorts the scope, rounds the amount to 9 decimals, keeps the times';

create function @extschema@._gov_match(dimensions jsonb)
returns jsonb
language sql
immutable
parallel safe
strict
return case
    when jsonb_typeof(dimensions) <> 'object' then dimensions
    else (
        select coalesce(jsonb_object_agg(d.key, case when jsonb_typeof(d.value) in ('number', 'boolean') then to_jsonb(d.value #>> '{}') else d.value end), '{}')
        from jsonb_each(dimensions) d)
end;

comment on function @extschema@._gov_match(jsonb) is
    'internal: dimensions with strings as values, as calls are compared by them; what is none stays, for the check constraint to refuse';

create function @extschema@.gov_keep_price()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    new.price := trim_scale(new.price);
    new.match := @extschema@._gov_match(new.match);
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

comment on function @extschema@.gov_keep_price() is 'trigger: makes strings of what a price matches, keeps the times';

create function @extschema@.gov_keep_request()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if array_ndims(new.scope_entity_ids) > 1 then
        perform @extschema@._gov_refuse_dimensions(tg_table_name, 'scope_entity_ids'::name);
    end if;
    new.amount := trim_scale(round(new.amount, 9));
    new.scope_entity_ids := @extschema@._gov_sorted(new.scope_entity_ids);
    if tg_op = 'UPDATE' then
        new.created_at := old.created_at;
        new.updated_at := old.updated_at;
        if new is distinct from old then
            new.updated_at := clock_timestamp();
        end if;
        if old.state <> 'open' and new.state <> old.state then
            raise exception using
                errcode = 'object_not_in_prerequisite_state',
                message = format('request "%s" is not open any more', old.id),
                detail = format('Its state is "%s".', old.state),
                hint = 'Make a new request.',
                table = tg_table_name;
        end if;
        if new.state <> old.state then
            new.decided_by := session_user;
            new.decided_at := clock_timestamp();
        end if;
    end if;
    return new;
end
$$;

comment on function @extschema@.gov_keep_request() is
    'trigger: sorts the scope, rounds the amount to 9 decimals, notes who decided, keeps the times, and refuses a second decision (55000)';

create function @extschema@.gov_boost_bounded()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_boost_bounded_1_1';

comment on function @extschema@.gov_boost_bounded() is
    'trigger: refuses a boost of no budget (23503), of one without limit (23514), and a 17th that has not ended (54000)';

create function @extschema@.gov_request_bounded()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_request_bounded_1_1';

comment on function @extschema@.gov_request_bounded() is
    'trigger: refuses a request of a tenant for no budget (23503) or for one without limit (23514), and a 101st open request of an owner (54000)';

create function @extschema@.gov_end_boosts()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_end_boosts_1_1';

comment on function @extschema@.gov_end_boosts() is 'trigger: ends the boosts of a budget whose limit was taken away';

create function @extschema@.gov_forget_budget()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_forget_budget_1_0';

comment on function @extschema@.gov_forget_budget() is 'trigger: deletes the usage, alerts and boosts of a budget that was deleted';

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

create trigger gov_assignments_unlimited
    after update on @extschema@.gov_assignments
    for each row
    when (new.usage_limit is null and old.usage_limit is not null)
    execute function @extschema@.gov_end_boosts();

create trigger gov_assignments_forget
    after delete on @extschema@.gov_assignments
    for each row
    execute function @extschema@.gov_forget_budget();

create trigger gov_assignments_forget_all
    after truncate on @extschema@.gov_assignments
    for each statement
    execute function @extschema@.gov_forget_budget();

create trigger gov_default_assignments_keep
    before insert or update on @extschema@.gov_default_assignments
    for each row
    execute function @extschema@.gov_keep_default();

create trigger gov_default_assignments_key
    before update on @extschema@.gov_default_assignments
    for each row
    when ((new.id, new.owner_id, new.type_id, new.capability_id, new.scope_type_ids, new.name)
        is distinct from (old.id, old.owner_id, old.type_id, old.capability_id, old.scope_type_ids, old.name))
    execute function @extschema@.gov_refuse_key_change('id, owner_id, type_id, capability_id, scope_type_ids, name');

create trigger gov_boosts_keep
    before insert or update on @extschema@.gov_boosts
    for each row
    execute function @extschema@.gov_keep_boost();

create trigger gov_boosts_key
    before update on @extschema@.gov_boosts
    for each row
    when ((new.id, new.owner_id, new.entity_id, new.capability_id, new.scope_entity_ids, new.name)
        is distinct from (old.id, old.owner_id, old.entity_id, old.capability_id, old.scope_entity_ids, old.name))
    execute function @extschema@.gov_refuse_key_change('id, owner_id, entity_id, capability_id, scope_entity_ids, name');

create trigger gov_boosts_bounded
    after insert or update on @extschema@.gov_boosts
    for each row
    execute function @extschema@.gov_boost_bounded();

create trigger gov_prices_keep
    before insert or update on @extschema@.gov_prices
    for each row
    execute function @extschema@.gov_keep_price();

create trigger gov_prices_key
    before update on @extschema@.gov_prices
    for each row
    when ((new.id, new.owner_id, new.capability_id, new.quantity, new.match, new.valid_from)
        is distinct from (old.id, old.owner_id, old.capability_id, old.quantity, old.match, old.valid_from))
    execute function @extschema@.gov_refuse_key_change('id, owner_id, capability_id, quantity, match, valid_from');

create trigger gov_increase_requests_keep
    before insert or update on @extschema@.gov_increase_requests
    for each row
    execute function @extschema@.gov_keep_request();

create trigger gov_increase_requests_key
    before update on @extschema@.gov_increase_requests
    for each row
    when ((new.id, new.owner_id, new.entity_id, new.capability_id, new.scope_entity_ids, new.name, new.amount, new.valid_until, new.reason, new.requested_by)
        is distinct from (old.id, old.owner_id, old.entity_id, old.capability_id, old.scope_entity_ids, old.name, old.amount, old.valid_until, old.reason, old.requested_by))
    execute function @extschema@.gov_refuse_key_change('id, owner_id, entity_id, capability_id, scope_entity_ids, name, amount, valid_until, reason, requested_by');

create trigger gov_increase_requests_bounded
    after insert on @extschema@.gov_increase_requests
    for each row
    execute function @extschema@.gov_request_bounded();

create trigger gov_alert_policies_keep
    before insert or update on @extschema@.gov_alert_policies
    for each row
    execute function @extschema@.gov_keep_alert_policy();

create trigger gov_alert_policies_key
    before update on @extschema@.gov_alert_policies
    for each row
    when (new.owner_id is distinct from old.owner_id)
    execute function @extschema@.gov_refuse_key_change('owner_id');

