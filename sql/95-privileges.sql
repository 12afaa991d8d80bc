/* ---------------------------------------------------------------------------------------------------------------- */
/* Privileges                                                                                                       */
/* ---------------------------------------------------------------------------------------------------------------- */

-- What an update gives to roles of users' is no part of the extension, and is dumped.
create function @extschema@._gov_keep_initial_privileges(is_kept boolean)
returns void
language c
strict
as 'MODULE_PATHNAME', 'gov_keep_initial_privileges_1_1';

comment on function @extschema@._gov_keep_initial_privileges(boolean) is
    'internal: true lets the running script of the extension grant what is no initial privilege, until false; refuses a call outside of one (55000)';

-- Nothing is for everybody. The loop goes over what the extension has, so that nothing can be forgotten here. It passes over what
-- PUBLIC has no right to: a REVOKE in an update makes all rights that users have given initial ones, which pg_dump leaves out.
do $$
declare
    object record;
begin
    for object in
        select
            case d.classid when 'pg_proc'::regclass then 'routine' else case c.relkind when 'S' then 'sequence' else 'table' end end as kind,
            case d.classid when 'pg_proc'::regclass then d.objid::regprocedure::text else d.objid::regclass::text end as name
        from pg_depend d
        join pg_extension e on e.oid = d.refobjid
        left join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid
        left join pg_proc p on d.classid = 'pg_proc'::regclass and p.oid = d.objid
        where d.refclassid = 'pg_extension'::regclass
            and d.deptype = 'e'
            and e.extname = 'governance'
            and (d.classid = 'pg_proc'::regclass or c.relkind in ('r', 'v', 'S'))
            and coalesce((select bool_or(a.grantee = 0) from aclexplode(coalesce(p.proacl, c.relacl)) a), true)
    loop
        execute format('revoke all on %s %s from public', object.kind, object.name);
    end loop;
end
$$;

select @extschema@._gov_keep_initial_privileges(true);

-- gov_stats and gov_verify call functions that 1.0 did not have, with their reader's rights: whoever could read them before an
-- upgrade still can.
do $$
declare
    item record;
begin
    for item in
        select a.grantee::regrole as grantee, f.added
        from (
            values
                ('@extschema@.gov_engine_facts()'::regprocedure, '@extschema@.gov_worker_failures()'::regprocedure),
                ('@extschema@.gov_cached_counters()', '@extschema@._gov_cached_counters(text)'),
                ('@extschema@.gov_cached_counters()', '@extschema@._gov_verify_owner(text)')
        ) f (had, added)
        join pg_proc p on p.oid = f.had
        cross join lateral aclexplode(p.proacl) a
        where a.grantee not in (0, p.proowner)
            and a.privilege_type = 'EXECUTE'
    loop
        execute format('grant execute on function %s to %s', item.added, item.grantee);
    end loop;
end
$$;

-- gov_verify also reads which budgets by defaults were used.
do $$
declare
    item record;
begin
    for item in
        select distinct a.grantee::regrole as grantee, t.name
        from pg_class c
        cross join lateral aclexplode(c.relacl) a
        cross join (values ('gov_default_assignments'), ('gov_default_counts'), ('gov_used_assignments')) t (name)
        where c.oid = '@extschema@.gov_assignments'::regclass
            and a.grantee not in (0, c.relowner)
            and a.privilege_type = 'SELECT'
    loop
        execute format('grant select on %s.%s to %s', '@extschema@', item.name, item.grantee);
    end loop;
end
$$;

-- So do gov_attribution and others; and who may ask that may ask gov_usage_sums, which reports do that read hours before.
do $$
declare
    item record;
begin
    for item in
        select a.grantee::regrole as grantee, r.object
        from pg_proc p
        cross join lateral aclexplode(p.proacl) a
        cross join @extschema@._gov_profile_rights() r
        where p.oid = '@extschema@.gov_attribution(text, text, text[], timestamptz, timestamptz, interval)'::regprocedure
            and a.grantee not in (0, p.proowner)
            and a.privilege_type = 'EXECUTE'
            and r.kind = 'function'
            and r.object ~ '\m(_gov_\w+|gov_attribution|gov_usage_sums)\('
        group by a.grantee, r.object
        having array_agg(r.profile) @> '{reader, tenant}'
    loop
        execute format('grant execute on function %s to %s', item.object, item.grantee);
    end loop;
end
$$;

-- gov_usage_hourly was a table, and is a view of it: who could read the one reads the other.
do $$
declare
    item record;
begin
    for item in
        select distinct on (a.grantee) a.grantee::regrole as grantee, a.is_grantable
        from pg_class c
        cross join lateral aclexplode(c.relacl) a
        where c.oid = '@extschema@.gov_usage_by_time'::regclass
            and a.grantee not in (0, c.relowner)
            and a.privilege_type = 'SELECT'
        order by a.grantee, a.is_grantable desc
    loop
        execute format('grant select on %s.gov_usage_hourly to %s%s', '@extschema@', item.grantee, case when item.is_grantable then ' with grant option' else '' end);
    end loop;
end
$$;

select @extschema@._gov_keep_initial_privileges(false);

-- Whoever can create objects beside ours cannot get ours to call them. But callers may call them by mistake, if they call ours by
-- an unqualified name or leave out an argument.
do $$
declare
    others text;
begin
    select string_agg(distinct case when a.grantee = 0 then 'PUBLIC' else r.rolname end, ', ')
    into others
    from pg_namespace n
    cross join lateral aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
    left join pg_roles r on r.oid = case when pg_get_userbyid(a.grantee) = 'pg_database_owner'
        then (select d.datdba from pg_database d where d.datname = current_database()) else a.grantee end
    where n.oid = '@extschema@'::regnamespace
        and a.privilege_type = 'CREATE'
        and r.rolsuper is not true
        and r.rolname is distinct from current_user;
    if others is not null then
        raise warning using
            message = format('others may create objects in schema %s of extension "governance"', '@extschema@'::regnamespace),
            detail = format('CREATE on it is granted to %s.', others),
            hint = 'Install it into a schema of its own, or revoke CREATE on this one.';
    end if;
end
$$;
