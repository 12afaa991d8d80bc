/* ---------------------------------------------------------------------------------------------------------------- */
/* Who may do what: profiles                                                                                        */
/*                                                                                                                  */
/* A profile is a list of privileges, nothing else: what a role may do is what its grants say. A function that no   */
/* list names is for the admin alone. A helper in SQL that runs with its caller's rights can do nothing that its    */
/* caller could not do without it, and goes with whatever functions call it.                                        */
/*                                                                                                                  */
/* A tenant gets columns, not tables, to insert into and to update: it draws no counter and chooses no id, so that  */
/* it can neither take nor find those of others.                                                                    */
/* ---------------------------------------------------------------------------------------------------------------- */

create function @extschema@._gov_profile_rights()
returns table (profile text, kind text, object text, privileges text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with member as
    (
        select d.classid, d.objid
        from pg_extension e
        join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e'
        where e.extname = 'governance'
    ),
    listed_function (name, profiles) as
    (
        values
            ('gov_check', '{app, reader}'::text[]),
            ('gov_check_all', '{app, reader}'),
            ('gov_allowed', '{app, reader}'),
            ('gov_headroom', '{app, reader}'),
            ('gov_price', '{app, reader}'),
            ('gov_consume', '{app}'),
            ('gov_consume_all', '{app}'),
            ('gov_require', '{app}'),
            ('gov_require_all', '{app}'),
            ('gov_ingest', '{app}'),
            ('gov_ingest_all', '{app}'),
            ('gov_consume_many', '{app}'),
            ('gov_ingest_many', '{app}'),
            ('gov_ingest_each', '{app}'),
            ('gov_settle_many', '{app}'),
            ('gov_reverse', '{app}'),
            ('gov_reserve', '{app}'),
            ('gov_reserve_all', '{app}'),
            ('gov_settle', '{app}'),
            ('gov_settle_all', '{app}'),
            ('gov_release', '{app}'),
            ('gov_extend', '{app}'),
            ('gov_window', '{app, reader, tenant}'),
            ('gov_shard', '{app, reader, tenant}'),
            ('gov_shard_key', '{app, reader, tenant}'),
            ('gov_is_timezone', '{app, reader, tenant}'),
            ('gov_now', '{app, reader, tenant}'),
            ('gov_pinned_owner', '{app, reader, tenant}'),
            ('gov_owner_visible', '{reader, tenant}'),
            ('gov_owner_changeable', '{tenant}'),
            ('gov_get_entity_type', '{reader, tenant}'),
            ('gov_get_capability', '{reader, tenant}'),
            ('gov_get_entity', '{reader, tenant}'),
            ('gov_list_entity_types', '{reader, tenant}'),
            ('gov_list_capabilities', '{reader, tenant}'),
            ('gov_list_entities', '{reader, tenant}'),
            ('gov_list_assignments', '{reader, tenant}'),
            ('gov_list_default_assignments', '{reader, tenant}'),
            ('gov_list_prices', '{reader, tenant}'),
            ('gov_query', '{reader, tenant}'),
            ('gov_tree', '{reader, tenant}'),
            ('gov_report', '{reader, tenant}'),
            ('gov_attribution', '{reader, tenant}'),
            ('gov_reprice', '{reader, tenant}'),
            ('_gov_repriced', '{reader, tenant}'),
            ('gov_usage_sums', '{reader, tenant}'),
            ('gov_backtest', '{reader, tenant}'),
            ('gov_limit_at', '{reader, tenant}'),
            ('_gov_replay', '{reader, tenant}'),
            ('gov_upsert_assignments', '{tenant}'),
            ('gov_set_alert_policy', '{tenant}'),
            ('gov_request_increase', '{tenant}'),
            ('gov_withdraw_increase', '{tenant}'),
            ('gov_verify', '{reader}'),
            ('gov_setup_check', '{reader}'),
            ('_gov_library_version', '{reader}'),
            ('gov_cached_counters', '{reader}'),
            ('_gov_cached_counters', '{reader}'),
            ('_gov_verify_owner', '{reader}'),
            ('_gov_recounted', '{reader}'),
            ('_gov_inherited_name', '{reader, tenant}'),
            ('_gov_inherited_budgets', '{reader, tenant}'),
            ('gov_engine_facts', '{reader}'),
            ('gov_cache_needed', '{reader}'),
            ('_gov_budget_bytes', '{reader}'),
            ('_gov_node_bytes', '{reader}'),
            ('_gov_name_bytes', '{reader}'),
            ('_gov_pool_bytes', '{reader}'),
            ('gov_worker_failures', '{reader}'),
            ('_gov_require_owner', '{reader, tenant}'),
            ('_gov_require_unpinned', '{reader, tenant}'),
            ('_gov_refuse_cycle', '{reader, tenant}'),
            ('_gov_budgets_of_entity', '{reader, tenant}'),
            ('_gov_carried', '{reader, tenant}'),
            ('_gov_anchor', '{reader, tenant}'),
            ('_gov_sliding_window', '{reader, tenant}'),
            ('_gov_read_every_owner', '{reader}'),
            ('_gov_change_every_owner', '{}')
    ),
    function_profiles as
    (
        select
            p.oid::regprocedure::text as object,
            case
                when l.name is not null then l.profiles
                when p.proname ~ '^_gov_' and g.lanname in ('sql', 'plpgsql') and not p.prosecdef then '{reader, tenant}'
                else '{}'
            end || '{admin}'::text[] as profiles
        from member m
        join pg_proc p on m.classid = 'pg_proc'::regclass and p.oid = m.objid
        join pg_language g on g.oid = p.prolang
        left join listed_function l on l.name = p.proname
        where p.prorettype not in ('trigger'::regtype, 'internal'::regtype)
    ),
    listed_table (name, profiles, privileges) as
    (
        values
            ('gov_entity_types', '{reader, tenant}'::text[], 'select'),
            ('gov_entity_types', '{admin}', 'select, insert, update, delete'),
            ('gov_capabilities', '{reader, tenant}', 'select'),
            ('gov_capabilities', '{admin}', 'select, insert, update, delete'),
            ('gov_entities', '{reader, tenant}', 'select'),
            ('gov_entities', '{admin}', 'select, insert, update, delete'),
            ('gov_assignments', '{reader, tenant}', 'select'),
            ('gov_assignments', '{tenant}', 'insert (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence, '
                'anchor_at, timezone, enforcement, strict_allocation, locked, alert_thresholds)'),
            ('gov_assignments', '{tenant}', 'update (usage_limit, cadence, anchor_at, timezone, enforcement, strict_allocation, '
                'locked, alert_thresholds)'),
            ('gov_assignments', '{tenant}', 'delete'),
            ('gov_assignments', '{admin}', 'select, insert, update, delete'),
            ('gov_default_assignments', '{reader, tenant}', 'select'),
            ('gov_default_assignments', '{admin}', 'select, insert, update, delete'),
            ('gov_default_counts', '{reader, tenant, admin}', 'select'),
            ('gov_used_assignments', '{reader, tenant, admin}', 'select'),
            ('gov_boosts', '{reader, tenant}', 'select'),
            ('gov_boosts', '{admin}', 'select, insert, update, delete'),
            ('gov_increase_requests', '{reader, tenant}', 'select'),
            ('gov_increase_requests', '{tenant}', 'insert (owner_id, entity_id, capability_id, scope_entity_ids, name, amount, valid_until, reason)'),
            ('gov_increase_requests', '{tenant}', 'update (state)'),
            ('gov_increase_requests', '{admin}', 'select, insert, update, delete'),
            ('gov_prices', '{reader, tenant}', 'select'),
            ('gov_frozen_owners', '{reader, tenant, admin}', 'select'),
            ('gov_prices', '{admin}', 'select, insert, update, delete'),
            ('gov_grants', '{reader, tenant}', 'select'),
            ('gov_grants', '{admin}', 'select, insert (id, owner_id, assignment_id, amount, priority, effective_at, expires_at, category, reference, voided_at), '
                'update (priority, expires_at, category, voided_at)'),
            ('gov_grant_usage', '{reader, tenant, admin}', 'select'),
            ('gov_event_draws', '{reader, tenant, admin}', 'select'),
            ('gov_grant_balances', '{reader, tenant, admin}', 'select'),
            ('gov_exceptions', '{reader, tenant, admin}', 'select'),
            ('gov_alert_policies', '{reader, tenant}', 'select'),
            ('gov_alert_policies', '{tenant}', 'insert (owner_id, thresholds)'),
            ('gov_alert_policies', '{tenant}', 'update (thresholds)'),
            ('gov_alert_policies', '{tenant}', 'delete'),
            ('gov_alert_policies', '{admin}', 'select, insert, update, delete'),
            ('gov_events', '{reader, tenant, admin}', 'select'),
            ('gov_usage', '{reader, tenant, admin}', 'select'),
            ('gov_recounts', '{reader, tenant, admin}', 'select'),
            ('gov_usage_by_time', '{reader, tenant, admin}', 'select'),
            ('gov_usage_hourly', '{reader, tenant, admin}', 'select'),
            ('gov_reservations', '{reader, tenant, admin}', 'select'),
            ('gov_alerts', '{reader, tenant, admin}', 'select'),
            ('gov_changes', '{reader, tenant, admin}', 'select'),
            ('gov_limit_history', '{reader, tenant, admin}', 'select'),
            ('gov_denials', '{reader, tenant, admin}', 'select'),
            ('gov_forgotten', '{reader, tenant, admin}', 'select'),
            ('gov_imports', '{reader, tenant, admin}', 'select'),
            ('gov_holds', '{reader, tenant, admin}', 'select'),
            ('gov_event_log', '{reader, tenant, admin}', 'select'),
            ('gov_usage_log', '{reader, tenant, admin}', 'select'),
            ('gov_alert_log', '{reader, tenant, admin}', 'select'),
            ('gov_budgets', '{reader, tenant, admin}', 'select'),
            ('gov_allocations', '{reader, tenant, admin}', 'select'),
            ('gov_rollup_state', '{reader, tenant, admin}', 'select'),
            ('gov_rollup_waits', '{reader, admin}', 'select'),
            ('gov_stats', '{reader, admin}', 'select')
    )
    select u.profile, 'function', f.object, 'execute'
    from function_profiles f
    cross join lateral unnest(f.profiles) u (profile)
    union all
    select u.profile, 'table', c.oid::regclass::text, l.privileges
    from member m
    join pg_class c on m.classid = 'pg_class'::regclass and c.oid = m.objid
    join listed_table l on l.name = c.relname
    cross join lateral unnest(l.profiles) u (profile)
$$;

comment on function @extschema@._gov_profile_rights() is 'internal: what gov_grant grants for each profile';

create function @extschema@._gov_begin_grant(call text, role name)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    is_owner boolean;
begin
    perform @extschema@._gov_require_unpinned(call);
    if role is null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = 'argument "role" must not be null',
            hint = 'Pass a value for "role".';
    end if;
    if not exists (select from pg_roles r where r.rolname = role) then
        raise exception using
            errcode = 'undefined_object',
            message = format('role "%s" does not exist', role),
            hint = 'Create it with CREATE ROLE.';
    end if;

    -- Whoever has a privilege and may not grant it gets a warning from GRANT, and no error.
    select pg_has_role(e.extowner, 'usage')
    into is_owner
    from pg_extension e
    where e.extname = 'governance';
    if not is_owner then
        raise exception using
            errcode = 'insufficient_privilege',
            message = format('permission denied for %s', call),
            detail = format('Role "%s" does not own the extension.', current_user),
            hint = 'Run it as the owner of the extension or a superuser.';
    end if;

    -- Two calls at a time would update the same rows of the catalogs. No role that is granted something can take this lock.
    lock table @extschema@.gov_entity_types in share update exclusive mode;
end
$$;

comment on function @extschema@._gov_begin_grant(text, name) is
    'internal: refuses who may not grant (42501) and a role that is null (22004) or does not exist (42704), and waits for others who grant';

create function @extschema@.gov_grant(role name, profile text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
begin
    perform @extschema@._gov_begin_grant('gov_grant()', role);
    if profile is null or profile not in ('app', 'reader', 'admin', 'tenant') then
        raise exception using
            errcode = case when profile is null then 'null_value_not_allowed' else 'invalid_parameter_value' end,
            message = case when profile is null then 'argument "profile" must not be null' else format('unknown profile "%s"', left(profile, 200)) end,
            hint = 'The profiles are app, reader, admin and tenant.';
    end if;
    if profile = 'tenant' and exists (select from pg_roles r where r.rolname = role and (r.rolsuper or r.rolbypassrls or r.rolreplication)) then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('role "%s" cannot be a tenant', role),
            detail = 'It is a superuser or has BYPASSRLS or REPLICATION, and sees every owner whatever it is granted.',
            hint = format('Run ALTER ROLE %I NOSUPERUSER NOBYPASSRLS NOREPLICATION.', role);
    end if;

    if not has_schema_privilege(role, '@extschema@'::regnamespace, 'usage') then
        execute format('grant usage on schema %s to %I', '@extschema@'::regnamespace, role);
    end if;
    for item in select r.kind, r.object, r.privileges from @extschema@._gov_profile_rights() r where r.profile = gov_grant.profile loop
        execute format('grant %s on %s %s to %I', item.privileges, item.kind, item.object, role);
    end loop;
    perform @extschema@._gov_log_right('GRANT'::text, role, profile);

    if profile = 'tenant' and not exists (
        select
        from pg_roles r
        join pg_db_role_setting s on s.setrole = r.oid
        cross join lateral unnest(s.setconfig) c (setting)
        where r.rolname = role
            and s.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database()))
            and c.setting ~ '^governance\.owner=.')
    then
        raise notice using
            message = format('role "%s" is not pinned to an owner and sees nothing yet', role),
            hint = format('Run ALTER ROLE %I SET governance.owner = ''...''.', role);
    end if;
end
$$;

comment on function @extschema@.gov_grant(name, text) is
$$Gives a role the privileges of a profile; those of several add up.

role: as in pg_roles; profile: app (the run-time calls), reader (checks, queries, views), admin (everything) or tenant (queries, and
    the unlocked budgets and the alert policy of the owner that the role is pinned to)
errors: 22004 null; 22023 unknown profile, or profile tenant for a role that row-level security does not apply to; 42501 not the extension's owner, or
    in a session pinned to an owner; 42704 unknown role$$;

create function @extschema@.gov_revoke(role name)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
begin
    perform @extschema@._gov_begin_grant('gov_revoke()', role);

    for item in
        select
            case when d.classid = 'pg_proc'::regclass then 'function' else 'table' end as kind,
            case when d.classid = 'pg_proc'::regclass then d.objid::regprocedure::text else d.objid::regclass::text end as object
        from pg_extension e
        join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e'
        left join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid
        where e.extname = 'governance'
            and (d.classid = 'pg_proc'::regclass or c.relkind in ('r', 'v', 'S'))
    loop
        execute format('revoke all on %s %s from %I', item.kind, item.object, role);
    end loop;
    if '@extschema@'::regnamespace is distinct from to_regnamespace('public') then
        execute format('revoke usage on schema %s from %I', '@extschema@'::regnamespace, role);
    end if;
    perform @extschema@._gov_log_right('REVOKE'::text, role, null::text);
end
$$;

comment on function @extschema@.gov_revoke(name) is
$$Takes every privilege on what belongs to the extension away from a role, whatever gave it. What the role has as a member of
others stays.

role: as in pg_roles
errors: 22004 null; 42501 not the extension's owner, or in a session pinned to an owner; 42704 unknown role$$;

