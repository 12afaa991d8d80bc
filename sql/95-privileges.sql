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
