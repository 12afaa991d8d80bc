-- All that the extension has in this database, one line of text for each fact: the same after an upgrade as after an install.
-- Names are looked up nowhere but in pg_catalog, and positions of columns do not count.
set search_path = pg_catalog;

with recursive member (classid, objid) as
(
    select d.classid, d.objid
    from pg_depend d
    join pg_extension e on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid
    where e.extname = 'governance'
        and d.deptype = 'e'
),
relation as
(
    select c.*
    from member m
    join pg_class c on m.classid = 'pg_class'::regclass and c.oid = m.objid
),
procedure as
(
    select p.*
    from member m
    join pg_proc p on m.classid = 'pg_proc'::regclass and p.oid = m.objid
),
fact (object, kind, value) as
(
    select e.extname, 'version', e.extversion
    from pg_extension e
    where e.extname = 'governance'
    union all
    select c.relname, 'dumped', format('%s', x.condition)
    from pg_extension e
    cross join lateral unnest(e.extconfig, e.extcondition) x (id, condition)
    join pg_class c on c.oid = x.id
    where e.extname = 'governance'
    union all
    select pg_describe_object(m.classid, m.objid, 0), 'comment', obj_description(m.objid, m.classid::regclass::name)
    from member m
    union all
    select r.relname, 'relation', concat_ws(' ', r.relkind, r.relpersistence, r.relrowsecurity, r.relforcerowsecurity, r.relreplident, r.reloptions,
        r.relacl, (select a.amname from pg_am a where a.oid = r.relam))
    from relation r
    union all
    select r.relname || '.' || a.attname, 'column', concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attcollation::regcollation, a.attacl,
        pg_get_expr(d.adbin, d.adrelid), col_description(r.oid, a.attnum))
    from relation r
    join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = r.oid and d.adnum = a.attnum
    union all
    select r.relname || '.' || c.conname, 'constraint', concat_ws(' ', pg_get_constraintdef(c.oid), c.convalidated, obj_description(c.oid, 'pg_constraint'))
    from relation r
    join pg_constraint c on c.conrelid = r.oid
    union all
    select i.indexrelid::regclass::text, 'index', concat_ws(' ', pg_get_indexdef(i.indexrelid), x.reloptions, i.indisvalid)
    from relation r
    join pg_index i on i.indrelid = r.oid
    join pg_class x on x.oid = i.indexrelid
    union all
    select r.relname || '.' || t.tgname, 'trigger', concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled)
    from relation r
    join pg_trigger t on t.tgrelid = r.oid and not t.tgisinternal
    union all
    select r.relname || '.' || p.polname, 'policy', concat_ws(' ', p.polcmd, p.polpermissive, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
    from relation r
    join pg_policy p on p.polrelid = r.oid
    union all
    select r.relname, 'view', pg_get_viewdef(r.oid)
    from relation r
    where r.relkind = 'v'
    union all
    select r.relname, 'sequence', concat_ws(' ', s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcache, s.seqcycle)
    from relation r
    join pg_sequence s on s.seqrelid = r.oid
    union all
    select p.oid::regprocedure::text, 'function', concat_ws(' ', pg_get_functiondef(p.oid), p.proacl)
    from procedure p
)
select f.object || ' ' || f.kind || ': ' || coalesce(f.value, '')
from fact f
order by f.object collate "C", f.kind collate "C", f.value collate "C";
