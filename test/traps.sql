-- Fills a schema with operators and functions that match better than pg_catalog's and the extension's own could: whatever looks
-- one up there calls it. Each says in the log that it was sprung, and as whom, and returns null.
--
-- Run by a role that may create in the schema, with the settings
--   traps.schema     the schema, quoted
--   traps.operators  names of operators, and
--   traps.functions  names of functions of pg_catalog, each list separated by spaces
-- It says how many there are. It can be run again when there is more to be overloaded.
set search_path = pg_catalog;
set check_function_bodies = off;
set client_min_messages = error;

do $$
declare
    home constant text := current_setting('traps.schema');
    -- What the extension's expressions are made of, and its rows.
    types constant text[] := array['text', 'numeric', 'integer', 'bigint', 'jsonb', 'text[]', 'timestamp with time zone', 'interval', 'name',
            'character varying', 'numeric[]', 'bigint[]', 'uuid', 'uuid[]', 'boolean', 'timestamp without time zone', 'regclass', 'oid',
            'bytea', 'timestamp with time zone[]', '"char"']
        || array(
            select format('%s%s', c.oid::regclass, a.suffix)
            from pg_class c
            cross join (values (''), ('[]')) a (suffix)
            where c.relname like 'gov\_%'
                and c.relkind in ('r', 'v')
            order by 1);
    -- Of these each is paired with each, of the others each with itself.
    mixed constant int := 8;
    it record;
begin
    create temp table trap (name text, arguments text[], result text, symbol text);

    -- Operators.
    insert into trap
    select format('%I.%I', home, 'trap ' || s.symbol), array[l.type, r.type],
        case
            when s.symbol in ('||', '+', '-', '*', '/', '%', '#-') then l.type
            when s.symbol in ('->', '#>') then 'jsonb'
            when s.symbol in ('->>', '#>>') then 'text'
            else 'boolean'
        end,
        s.symbol
    from unnest(string_to_array(current_setting('traps.operators'), ' ')) s (symbol)
    cross join unnest(types) with ordinality l (type, n)
    join unnest(types) with ordinality r (type, n) on r.n = l.n or l.n <= mixed and r.n <= mixed
    where exists (select from pg_operator o where o.oprname = s.symbol and o.oprnamespace = 'pg_catalog'::regnamespace);

    -- Functions of pg_catalog: of one and two arguments, of every type, and of as many as theirs with a row of ours for what is polymorphic.
    insert into trap
    select distinct on (1, 2) format('%I.%I', home, p.proname), a.arguments, case when t.typtype = 'p' then 'text' else p.prorettype::regtype::text end, null
    from pg_proc p
    join pg_type t on t.oid = p.prorettype
    cross join lateral (
        select array[x.type] from unnest(types) x (type) where p.pronargs = 1 or p.provariadic <> 0
        union
        select array[x.type, y.type]
        from unnest(types) with ordinality x (type, n)
        join unnest(types) with ordinality y (type, n) on x.n = y.n or x.n <= mixed and y.n <= mixed
        where p.pronargs = 2 or p.provariadic <> 0
        union
        select array(
            select case when u.type in ('"any"'::regtype, 'anyelement'::regtype, 'anyarray'::regtype, 'anycompatible'::regtype, 'anycompatiblearray'::regtype)
                then x.type else u.type::regtype::text end
            from unnest(p.proargtypes) with ordinality u (type, n)
            order by u.n
            limit k.n)
        from unnest(types) x (type)
        cross join generate_series(greatest(p.pronargs - p.pronargdefaults, 1), p.pronargs) k (n)
        where p.pronargs <= 5
    ) a (arguments)
    where p.pronamespace = 'pg_catalog'::regnamespace
        and p.prokind in ('f', 'a')
        and p.proname = any (string_to_array(current_setting('traps.functions'), ' '))
        and not exists (select from unnest(a.arguments) u (type) where u.type in ('internal', 'cstring', 'record', '"any"', 'anynonarray', 'anyenum', 'anyrange'));

    -- The extension's own: with fewer arguments where there are defaults, and with each argument of each other type.
    insert into trap
    select format('%I.%I', home, p.proname), a.arguments, case when t.typtype = 'p' then 'text' else p.prorettype::regtype::text end, null
    from pg_extension e
    join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
    join pg_proc p on p.oid = d.objid
    join pg_type t on t.oid = p.prorettype
    cross join lateral (
        select array(select u.type::regtype::text from unnest(p.proargtypes) with ordinality u (type, n) order by u.n limit k.n)
        from generate_series(p.pronargs - p.pronargdefaults, p.pronargs - 1) k (n)
        union
        select array(
            select case when w.n = u.n or w.n = 0 then x.type else u.type::regtype::text end
            from unnest(p.proargtypes) with ordinality u (type, n)
            order by u.n)
        from generate_series(0, p.pronargs) w (n)
        cross join unnest(types[1:mixed + 2] || 'regclass'::text) x (type)
    ) a (arguments)
    where e.extname = 'governance'
        and t.typname not in ('trigger', 'internal');

    for it in select * from trap loop
        begin
            execute format('create function %s(%s) returns %s language plpgsql immutable as %L', it.name, array_to_string(it.arguments, ', '), it.result,
                format('begin raise log %L, current_user; return null; end',
                    replace(format('trap sprung: %s(%s)', it.name, array_to_string(it.arguments, ', ')), '%', '%%') || ' as %'));
        exception
            when duplicate_function or invalid_function_definition or undefined_object or feature_not_supported then
                continue;
        end;
        if it.symbol is not null then
            execute format('create operator %I.%s (leftarg = %s, rightarg = %s, function = %s)', home, it.symbol, it.arguments[1], it.arguments[2], it.name);
        end if;
    end loop;
    drop table trap;
end
$$;

select count(*)
from pg_proc p
where p.pronamespace = current_setting('traps.schema')::regnamespace
    and p.proowner = current_user::regrole;
