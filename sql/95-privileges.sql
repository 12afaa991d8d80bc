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
                ('@extschema@.gov_cached_counters()', '@extschema@._gov_verify_owner(text)'),
                ('@extschema@.gov_cached_counters()', '@extschema@._gov_recounted(text, text, timestamptz, bigint, text, timestamptz, text, text[], int[], int)')
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

-- gov_verify reads by what usage was recounted: who could read the usage reads that.
do $$
declare
    item record;
begin
    for item in
        select distinct on (a.grantee) a.grantee::regrole as grantee, a.is_grantable
        from pg_class c
        cross join lateral aclexplode(c.relacl) a
        where c.oid = '@extschema@.gov_usage'::regclass
            and a.grantee not in (0, c.relowner)
            and a.privilege_type = 'SELECT'
        order by a.grantee, a.is_grantable desc
    loop
        execute format('grant select on %s.gov_recounts to %s%s', '@extschema@', item.grantee, case when item.is_grantable then ' with grant option' else '' end);
    end loop;
end
$$;

-- gov_usage_hourly was a table, and is a view of it and of gov_forgotten, which gov_stats shows too: who could read the one reads the
-- others.
do $$
declare
    item record;
begin
    for item in
        select distinct on (a.grantee, n.relation) a.grantee::regrole as grantee, a.is_grantable, n.relation
        from pg_class c
        cross join lateral aclexplode(c.relacl) a
        cross join (values ('gov_usage_hourly'), ('gov_forgotten')) n (relation)
        where c.oid = '@extschema@.gov_usage_by_time'::regclass
            and a.grantee not in (0, c.relowner)
            and a.privilege_type = 'SELECT'
        order by a.grantee, n.relation, a.is_grantable desc
    loop
        execute format('grant select on %s.%s to %s%s', '@extschema@', item.relation, item.grantee, case when item.is_grantable then ' with grant option' else '' end);
    end loop;
end
$$;

-- The former gov_tree has the columns that it had, of what the present one answers.
do $$
begin
    if to_regprocedure('@extschema@.gov_tree_1_0(text, text[], text)') is not null then
        create or replace function @extschema@.gov_tree_1_0
        (
            owner_id text,
            capability_ids text[] default null,
            under_entity_id text default null
        )
        returns table
        (
            entity_id text,
            display_name text,
            type_id text,
            parent_id text,
            capability_id text,
            scope_entity_ids text[],
            name text,
            usage_limit numeric,
            current_usage numeric,
            reserved_usage numeric,
            remaining numeric,
            allocated numeric,
            utilization numeric,
            cadence text,
            usage_period_start timestamptz,
            usage_period_end timestamptz,
            enforcement text,
            locked boolean,
            depth integer,
            path text[]
        )
        language sql
        stable
        as $tree$
            select
                t.entity_id,
                t.display_name,
                t.type_id,
                t.parent_id,
                t.capability_id,
                t.scope_entity_ids,
                t.name,
                t.usage_limit,
                t.current_usage,
                t.reserved_usage,
                t.remaining,
                t.allocated,
                t.utilization,
                t.cadence,
                t.usage_period_start,
                t.usage_period_end,
                t.enforcement,
                t.locked,
                t.depth,
                t.path
            from @extschema@.gov_tree(gov_tree_1_0.owner_id, gov_tree_1_0.capability_ids, gov_tree_1_0.under_entity_id) t
        $tree$;
    end if;
end
$$;

-- An update renames functions whose columns or arguments are others now. Who could call a former one may call the present one. What
-- of users' depends on a former one keeps it, under its new name and no longer as a part of the extension: anybody can make a view,
-- and none may stop an update.
do $$
declare
    item record;
    grantee record;
begin
    for item in
        select f.former, f.present::regprocedure as present, to_regprocedure(f.former) as oid
        from (
            values
                ('@extschema@.gov_tree_1_0(text, text[], text)', '@extschema@.gov_tree(text, text[], text)'),
                ('@extschema@.gov_headroom_1_0(text, text, numeric, jsonb, text[])', '@extschema@.gov_headroom(text, text, numeric, jsonb, text[])'),
                ('@extschema@._gov_replay_1_0(text, @extschema@.gov_assignments[], timestamptz[], timestamptz, timestamptz)',
                    '@extschema@._gov_replay(text, @extschema@.gov_assignments[], timestamptz[], timestamptz, timestamptz, int[], timestamptz[], numeric[], text[], text[], int[], numeric[], timestamptz[], timestamptz[])')
        ) f (former, present)
        where to_regprocedure(f.former) is not null
    loop
        for grantee in
            select a.grantee::regrole as name, bool_or(a.is_grantable) as may_grant
            from pg_proc p
            cross join lateral aclexplode(p.proacl) a
            where p.oid = item.oid
                and a.grantee not in (0, p.proowner)
                and a.privilege_type = 'EXECUTE'
            group by a.grantee
        loop
            execute format('grant execute on function %s to %s%s', item.present, grantee.name,
                case when grantee.may_grant then ' with grant option' else '' end);
        end loop;
        execute format('alter extension governance drop function %s', item.oid);
        if exists (select from pg_depend d where d.refclassid = 'pg_proc'::regclass and d.refobjid = item.oid) then
            raise notice using
                message = format('function %s is kept, because something of yours depends on it', item.oid),
                hint = format('Let it call %s, and drop the former one.', item.present);
        else
            execute format('drop function %s', item.oid);
        end if;
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
