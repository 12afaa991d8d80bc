-- Nothing is granted to PUBLIC: of every function, table and sequence that the extension has.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/catalog_helpers.sql
\set ECHO all
create temporary view members as
select 'function' as kind, p.oid::regprocedure::text as name, coalesce(p.proacl, acldefault('f', p.proowner)) as acl
from pg_extension e
join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e'
join pg_proc p on d.classid = 'pg_proc'::regclass and p.oid = d.objid
where e.extname = 'governance'
union all
select case c.relkind when 'r' then 'table' when 'v' then 'view' when 'S' then 'sequence' else c.relkind::text end,
    c.oid::regclass::text,
    coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's'::"char" else 'r'::"char" end, c.relowner))
from pg_extension e
join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e'
join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid
where e.extname = 'governance';

-- The tables and sequences, by name.
select kind, name from members where kind <> 'function' order by kind, name collate "C";

-- What PUBLIC may do with any of them: nothing.
select m.kind, m.name, a.privilege_type
from members m
cross join lateral aclexplode(m.acl) a
where a.grantee = 0
order by m.kind, m.name collate "C";

-- The same asked of a role that nobody has granted anything.
create role governance_regress_nobody;
select kind, count(*) > 0 as some,
    count(*) filter (where case kind
        when 'function' then has_function_privilege('governance_regress_nobody', name, 'execute')
        when 'sequence' then has_sequence_privilege('governance_regress_nobody', name, 'usage, select, update')
        else has_table_privilege('governance_regress_nobody', name, 'select, insert, update, delete, truncate, references, trigger')
            or has_any_column_privilege('governance_regress_nobody', name, 'select, insert, update, references') end) as allowed
from members
group by kind
order by kind;
set local role governance_regress_nobody;
select n, pg_temp.outcome(statement)
from (values
    (1, 'select * from gov_entities'),
    (2, $$insert into gov_entity_types (id) values ('x')$$),
    (3, $$select gov_upsert_entity_types('[{"id": "x"}]')$$),
    (4, $$select gov_get_entity('o', 'e')$$),
    (5, $$select gov_delete_owner('o')$$),
    (6, $$select _gov_lock_hierarchy('o', true)$$),
    (7, $$select nextval('gov_counter_seq')$$)
) t (n, statement)
order by n;
reset role;

-- Every member says what it is.
select m.kind, m.name
from members m
where case m.kind when 'function' then obj_description(m.name::regprocedure, 'pg_proc') else obj_description(m.name::regclass, 'pg_class') end is null;

-- Every function with a body in SQL was parsed when it was made, has a search path of its own, or is a helper that only those call.
select m.name
from members m
join pg_proc p on p.oid = case when m.kind = 'function' then m.name::regprocedure end
join pg_language l on l.oid = p.prolang
where l.lanname in ('sql', 'plpgsql')
    and p.proname !~ '^_gov_'
    and p.prosqlbody is null
    and not coalesce(p.proconfig::text, '') ~ 'search_path=pg_catalog, ';

-- Every table and sequence is dumped with its rows.
select m.kind, m.name
from members m
where m.kind in ('table', 'sequence')
    and not exists (select from pg_extension e where e.extname = 'governance' and m.name::regclass = any (e.extconfig));

-- No profile may have code of its own run by what the engine writes: neither by a trigger, nor by one on a table that refers to ours.
create role governance_regress_profile;
select gov_grant('governance_regress_profile', 'admin');
select m.name
from members m
where m.kind = 'table'
    and (has_table_privilege('governance_regress_profile', m.name, 'references, trigger, truncate')
        or has_any_column_privilege('governance_regress_profile', m.name, 'references'));

-- The ledger and the holds take no UPDATE, DELETE or TRUNCATE, from their owner neither.
select n, pg_temp.outcome(statement)
from (values
    (1, 'update gov_events set amount = 0'),
    (2, 'delete from gov_events'),
    (3, 'truncate gov_events'),
    (4, 'update gov_reservations set amount = 0'),
    (5, 'delete from gov_reservations'),
    (6, 'truncate gov_reservations')
) t (n, statement)
order by n;
\set VERBOSITY default
savepoint emptied;
truncate gov_events;
rollback to emptied;
\set VERBOSITY sqlstate

rollback;
