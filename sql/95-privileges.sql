/* ---------------------------------------------------------------------------------------------------------------- */
/* Privileges                                                                                                       */
/* ---------------------------------------------------------------------------------------------------------------- */

-- Nothing is for everybody. The loop goes over what the extension has, so that nothing can be forgotten here.
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
        where d.refclassid = 'pg_extension'::regclass
            and d.deptype = 'e'
            and e.extname = 'governance'
            and (d.classid = 'pg_proc'::regclass or c.relkind in ('r', 'v', 'S'))
    loop
        execute format('revoke all on %s %s from public', object.kind, object.name);
    end loop;
end
$$;

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
