/* ---------------------------------------------------------------------------------------------------------------- */
/* Moving an owner to another server (src/api_export.c, src/api_import.c)                                           */
/*                                                                                                                  */
/* Rows come as they are: nothing is computed again from them, so that what retention has deleted or merged stays   */
/* so. What is numbered gets other numbers, by adding one and the same to each. Events are below the watermark      */
/* there, because what they have added to the usage comes along; the last chunk compares the two.                   */
/* ---------------------------------------------------------------------------------------------------------------- */

-- The tables of an owner, in the order in which they come. What makes budgets visible comes last: whoever asks before finds no entity,
-- and loads no count that is not complete. part: what else an index wants to know to find the owner's rows.
create function @extschema@._gov_moved_tables()
returns table (place int, relation name, part text, sorting text)
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
values
    (1, 'gov_prices', null, null),
    (2, 'gov_alert_policies', null, null),
    (3, 'gov_default_assignments', null, null),
    (4, 'gov_limit_history', null, null),
    (5, 'gov_recounts', null, null),
    (6, 'gov_events', null, 'id'),
    (7, 'gov_usage', null, null),
    (8, 'gov_usage_by_time', null, null),
    (9, 'gov_grants', null, null),
    (10, 'gov_grant_usage', null, null),
    (11, 'gov_default_counts', null, null),
    (12, 'gov_reservations', 'state = ''open''', null),
    (13, 'gov_reservations', 'state <> ''open''', null),
    (14, 'gov_alerts', null, 'id'),
    (15, 'gov_denials', null, null),
    (16, 'gov_changes', null, 'id'),
    (17, 'gov_boosts', null, null),
    (18, 'gov_increase_requests', null, null),
    (19, 'gov_assignments', null, null),
    (20, 'gov_entities', null, null)
$$;

comment on function @extschema@._gov_moved_tables() is 'internal: the tables that gov_export_owner reads, in that order';

create function @extschema@._gov_moved_columns()
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_object_agg(r.relation, r.columns)
    from
    (
        select t.relation, jsonb_agg(a.attname order by a.attnum) as columns
        from (select distinct m.relation from @extschema@._gov_moved_tables() m) t
        join pg_attribute a on a.attrelid = format('%s.%I', '@extschema@', t.relation)::regclass
        where a.attnum > 0
            and not a.attisdropped
            and a.attgenerated = ''
        group by t.relation
    ) r
$$;

comment on function @extschema@._gov_moved_columns() is 'internal: the columns of these tables, with those that users have added';

create function @extschema@._gov_extension_version()
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select e.extversion
    from pg_extension e
    where e.extname = 'governance'
$$;

comment on function @extschema@._gov_extension_version() is 'internal: the version of the extension in this database';

create function @extschema@._gov_export_queries()
returns table (relation text, query text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select
        m.relation::text,
        concat(
            format('select to_jsonb(r) from %s.%I r where r.owner_id = $1', '@extschema@', m.relation),
            ' and r.' || m.part,
            ' order by r.' || m.sorting)
    from @extschema@._gov_moved_tables() m
    order by m.place
$$;

comment on function @extschema@._gov_export_queries() is 'internal: what gov_export_owner reads, in that order';

-- STABLE, so that all of an export is as of one moment.
create function @extschema@._gov_export_begin(owner text)
returns jsonb
language plpgsql
stable
parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    state record;
    import record;
begin
    if not exists (select from @extschema@.gov_frozen_owners f where f.owner_id = owner) then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = format('owner "%s" is not frozen', left(owner, 200)),
            detail = 'What is recorded while it is exported would be lost.',
            hint = 'Call gov_freeze_owner first, in a transaction of its own.';
    end if;
    if exists (select from @extschema@.gov_forgotten f where f.owner_id = owner) then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = format('owner "%s" has entities that are being forgotten', left(owner, 200)),
            hint = 'Call gov_maintain, or wait for the background worker, until gov_forgotten has no row of the owner.';
    end if;
    select i.*
    into import
    from @extschema@.gov_imports i
    where i.owner_id = owner;
    if found and import.completed_at is null then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = format('owner "%s" has not been imported to the end', left(owner, 200)),
            hint = 'Pass the rest of its chunks to gov_import_owner.';
    end if;

    select coalesce(max(r.watermark), 0) as watermark, max(r.events_deleted_to) as events_deleted_to
    into state
    from @extschema@.gov_rollup_state r;
    if exists (select from @extschema@.gov_events e where e.owner_id = owner and e.id > state.watermark) then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = format('owner "%s" has events that are not rolled up', left(owner, 200)),
            hint = 'Call gov_maintain, or wait for the background worker; gov_stats says what they wait for.';
    end if;

    return jsonb_build_object(
        'version', @extschema@._gov_extension_version(),
        'exported_at', @extschema@.gov_now(),
        'relations', @extschema@._gov_moved_columns(),
        'first_event_id', coalesce(import.first_event_id, 1),
        'last_event_id', greatest(
            state.watermark,
            (select max(c.through_id) from @extschema@.gov_recounts c where c.owner_id = owner)),
        'last_counter_id', (select q.last_value from @extschema@.gov_counter_seq q),
        'imported_counter_ids', (
            select jsonb_build_array(min(x.counter_id), max(x.counter_id))
            from
            (
                select a.counter_id from @extschema@.gov_assignments a where a.owner_id = owner
                union all
                select a.debt_counter_id from @extschema@.gov_assignments a where a.owner_id = owner
                union all
                select g.counter_id from @extschema@.gov_grants g where g.owner_id = owner
                union all
                select g.counter_id from @extschema@.gov_grant_usage g where g.owner_id = owner
                union all
                select u.counter_id from @extschema@.gov_usage u where u.owner_id = owner
                union all
                select c.counter_id from @extschema@.gov_recounts c where c.owner_id = owner
                union all
                select i.counter_id from @extschema@.gov_events e cross join unnest(e.counter_ids) i (counter_id)
                where e.owner_id = owner
                    and import.owner_id is not null
                union all
                select e.draws[i.n][1]::bigint from @extschema@.gov_events e cross join generate_subscripts(e.draws, 1) i (n)
                where e.owner_id = owner
                    and import.owner_id is not null
            ) x
            where x.counter_id >= 4611686018427387904
            having count(*) > 0),
        'last_seed', (
            select max(x.seed)
            from
            (
                select d.seed from @extschema@.gov_default_assignments d where d.owner_id = owner
                union all
                select n.seed from @extschema@.gov_default_counts n where n.owner_id = owner
            ) x),
        'events_deleted_to', greatest(state.events_deleted_to, import.events_deleted_to),
        'entity_types', (
            select coalesce(jsonb_agg(x.id order by x.id), '[]')
            from
            (
                select e.type_id as id from @extschema@.gov_entities e where e.owner_id = owner
                union
                select d.type_id from @extschema@.gov_default_assignments d where d.owner_id = owner
            ) x),
        'capabilities', (
            select coalesce(jsonb_agg(jsonb_build_object('id', c.id, 'kind', c.kind) order by c.id), '[]')
            from @extschema@.gov_capabilities c
            where exists (select from @extschema@.gov_assignments a where a.owner_id = owner and a.capability_id = c.id)
                or exists (select from @extschema@.gov_default_assignments d where d.owner_id = owner and d.capability_id = c.id)
                or exists (select from @extschema@.gov_prices p where p.owner_id = owner and p.capability_id = c.id)
                or exists (select from @extschema@.gov_reservations v where v.owner_id = owner and v.state = 'open' and v.capability_id = c.id)
                or exists (select from @extschema@.gov_usage_by_time u where u.owner_id = owner and u.capability_id = c.id)),
        'defaults', (
            select coalesce(jsonb_agg(jsonb_build_object('id', d.id, 'seed', d.seed) order by d.id), '[]')
            from @extschema@.gov_default_assignments d
            where d.owner_id is null
                and exists (
                    select
                    from @extschema@.gov_default_counts n
                    where n.owner_id = owner
                        and n.default_id = d.id
                        and n.seed = d.seed
                        and not n.retired)));
end
$$;

comment on function @extschema@._gov_export_begin(text) is 'internal: what gov_export_owner says of an owner first; 55000 for one that cannot be exported now';

create function @extschema@._gov_chunk(owner text, export_id text, number bigint, kind text, content jsonb)
returns jsonb
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object('format', 1, 'owner', owner, 'export', export_id, 'chunk', number, 'kind', kind, 'content', content)
$$;

comment on function @extschema@._gov_chunk(text, text, bigint, text, jsonb) is 'internal: a chunk of gov_export_owner';

create function @extschema@._gov_chunk(owner text, export_id text, number bigint, kind text, content jsonb[])
returns jsonb
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select @extschema@._gov_chunk(owner, export_id, number, kind, to_jsonb(content))
$$;

comment on function @extschema@._gov_chunk(text, text, bigint, text, jsonb[]) is 'internal: a chunk of gov_export_owner';

create function @extschema@.gov_export_owner(owner_id text)
returns setof jsonb
language c
volatile
parallel unsafe
rows 100
as 'MODULE_PATHNAME', 'gov_export_owner_1_1';

comment on function @extschema@.gov_export_owner(text) is
$$All of one owner, for gov_import_owner() on another server: entities, budgets, defaults, grants, boosts, requests, prices and policies,
the ledger, usage, holds with their keys, alerts, denials, changes and the history of limits. The owner is frozen before, and its events
are rolled up. Types, capabilities and what is everybody's stay behind. Call it in the select list, and fetch by a cursor: then no more
than a chunk is in memory, and nothing on disk.

owner_id: one of the vendor's customers
result: chunks, in an order in which they are to be imported: at most 1,000 rows or about a megabyte each; docs/operations.md has their
    format. What happens to the tables while they are read is not in them
errors: 22004 null owner_id; 22023 one that cannot be an id; 42501 an owner that the session may not see; 55000 an owner that is not
    frozen, has events that are not rolled up or entities that are being forgotten, or is being imported itself
since: 1.1.0$$;

-- Counters by defaults are hashes, below 0; those that came from another server are above all that are drawn.
create function @extschema@._gov_moved_counter(counter_id bigint, shift bigint, imported_shift bigint)
returns bigint
language sql
immutable
return case when counter_id <= 0 then counter_id when counter_id < 4611686018427387904 then counter_id + shift else counter_id + imported_shift end;

comment on function @extschema@._gov_moved_counter(bigint, bigint, bigint) is 'internal: the number of a counter that came from another server';

-- $1 is the owner, $2 the rows, $3 what is added to the ids of events, $4 and $5 to those of counters. Alerts and changes are numbered
-- anew, in their order. The owner is that of the call, whatever a row says.
create function @extschema@._gov_moved_value(relation name, column_name name)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when column_name = 'owner_id' then '$1'
        when relation in ('gov_alerts', 'gov_changes') and column_name = 'id' then null
        when column_name in ('counter_id', 'debt_counter_id') then format('@extschema@._gov_moved_counter(r.%I, $4, $5)', column_name)
        when relation = 'gov_events' and column_name in ('id', 'reverses')
            or relation in ('gov_reservations', 'gov_alerts') and column_name = 'event_id'
            or relation = 'gov_recounts' and column_name = 'through_id'
            then format('r.%I + $3', column_name)
        when relation = 'gov_events' and column_name = 'call_event_ids'
            then 'case when r.call_event_ids is not null then array(select i.id + $3 from unnest(r.call_event_ids) with ordinality i (id, place) order by i.place) end'
        when relation = 'gov_events' and column_name = 'counter_ids'
            then 'array(select @extschema@._gov_moved_counter(i.id, $4, $5) from unnest(r.counter_ids) with ordinality i (id, place) order by i.place)'
        when relation = 'gov_events' and column_name = 'draws'
            then 'case when r.draws is not null then (select array_agg(array[@extschema@._gov_moved_counter(r.draws[i.n][1]::bigint, $4, $5)::numeric, r.draws[i.n][2]] order by i.n)'
                ' from generate_subscripts(r.draws, 1) i (n)) end'
        when relation = 'gov_reservations' and column_name = 'event_ids'
            then 'case when r.event_ids is not null then (select jsonb_object_agg(i.key, i.value::bigint + $3) from jsonb_each_text(r.event_ids) i) end'
        else format('r.%I', column_name)
    end

$$;

comment on function @extschema@._gov_moved_value(name, name) is 'internal: an expression for what a column of an imported row has here; null for the default';

create function @extschema@._gov_refuse_chunk(problem text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using
        errcode = 'invalid_parameter_value',
        message = format('argument "chunks" has an invalid chunk: %s', problem),
        hint = 'Pass the chunks as gov_export_owner returns them.';
end
$$;

comment on function @extschema@._gov_refuse_chunk(text) is 'internal: refuses a chunk (22023)';

create function @extschema@._gov_import_check(owner text, facts jsonb)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    missing text;
    table_name name;
    is_there boolean;
begin
    if facts ->> 'version' is distinct from @extschema@._gov_extension_version() then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = format('the chunks are of version %s of governance, and this is version %s', facts ->> 'version', @extschema@._gov_extension_version()),
            hint = 'Update both servers to one version.';
    end if;

    -- What the engine has logged of an owner that has nothing here stays.
    for table_name in
        select distinct m.relation
        from @extschema@._gov_moved_tables() m
        where m.relation not in ('gov_changes', 'gov_denials')
    loop
        execute format('select exists (select from %s.%I r where r.owner_id = $1)', '@extschema@', table_name)
        into is_there
        using owner;
        if is_there then
            raise exception using
                errcode = 'duplicate_object',
                message = format('owner "%s" exists already', left(owner, 200)),
                detail = format('It has rows in %s.', table_name),
                hint = 'Delete what is here with gov_delete_owner, if nobody needs it.';
        end if;
    end loop;

    select string_agg(format('"%s"', t.id), ', ' order by t.id)
    into missing
    from (select jsonb_array_elements_text(facts -> 'entity_types') collate "C" as id limit 10000) t
    where not exists (select from @extschema@.gov_entity_types e where e.id = t.id);
    if missing is not null then
        raise exception using
            errcode = 'foreign_key_violation',
            message = format('entity types that owner "%s" has do not exist here: %s', left(owner, 200), left(missing, 1000)),
            hint = 'Create them with gov_upsert_entity_types, as they are where the owner comes from.';
    end if;

    select string_agg(format('"%s"', w.id), ', ' order by w.id)
    into missing
    from (select x ->> 'id' collate "C" as id, x ->> 'kind' as kind from jsonb_array_elements(facts -> 'capabilities') x) w
    where not exists (
        select
        from @extschema@.gov_capabilities c
        where c.id = w.id
            and (c.kind = 'concurrency') = (w.kind = 'concurrency'));
    if missing is not null then
        raise exception using
            errcode = 'foreign_key_violation',
            message = format('capabilities that owner "%s" has used do not exist here, or are of another kind: %s', left(owner, 200), left(missing, 1000)),
            hint = 'Create them with gov_upsert_capabilities, as they are where the owner comes from.';
    end if;

    -- What has counted by everybody's defaults is found by their id and their seed.
    select string_agg(w.id, ', ' order by w.id)
    into missing
    from (select x ->> 'id' as id, (x ->> 'seed')::bigint as seed from jsonb_array_elements(facts -> 'defaults') x) w
    where not exists (
        select
        from @extschema@.gov_default_assignments d
        where d.id = w.id::uuid
            and d.owner_id is null
            and d.seed = w.seed);
    if missing is not null then
        raise exception using
            errcode = 'foreign_key_violation',
            message = format('default assignments of everybody by which owner "%s" has counts do not exist here: %s', left(owner, 200), left(missing, 1000)),
            hint = 'Let the rows of gov_default_assignments that have no owner come from one server to all, by logical replication or a dump.';
    end if;

    select string_agg(format('%s.%s', w.relation, w.column_name), ', ' order by w.relation, w.column_name)
    into missing
    from
    (
        select t.key collate "C" as relation, jsonb_array_elements_text(t.value) collate "C" as column_name
        from jsonb_each(facts -> 'relations') t
    ) w
    where not exists (
        select
        from jsonb_array_elements_text(@extschema@._gov_moved_columns() -> w.relation) c (name)
        where c.name = w.column_name);
    if missing is not null then
        raise exception using
            errcode = 'undefined_column',
            message = format('columns that the chunks have do not exist here: %s', left(missing, 1000)),
            hint = 'Add the columns here too, or drop them there.';
    end if;
end
$$;

comment on function @extschema@._gov_import_check(text, jsonb) is 'internal: refuses an owner that cannot be imported: 42710 it exists; 23503 something of everybody is missing; 42703 a column is; 55000 another version';

-- A span of numbers is drawn under the lock of the table: nobody else draws from these two sequences.
create function @extschema@._gov_import_begin(owner text, export_id uuid, facts jsonb)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    most constant numeric := 1000000000000000;
    spare constant bigint := 1000000;
    events bigint := (facts ->> 'last_event_id')::bigint - (facts ->> 'first_event_id')::bigint + 1;
    counters bigint := (facts ->> 'last_counter_id')::bigint;
    first_imported bigint := (facts -> 'imported_counter_ids' ->> 0)::bigint;
    imported bigint := coalesce((facts -> 'imported_counter_ids' ->> 1)::bigint - first_imported + 1, 0);
    last_seed bigint := (facts ->> 'last_seed')::bigint;
    last_event_id bigint;
    first_counter_id bigint;
begin
    if events is null or counters is null or events not between 0 and most or counters not between 0 and most
        or imported not between 0 and most or last_seed not between 0 and most then
        perform @extschema@._gov_refuse_chunk('its numbers are out of range'::text);
    end if;
    perform @extschema@._gov_import_check(owner, facts);

    last_event_id := nextval('@extschema@.gov_imported_events_id_seq');
    perform setval('@extschema@.gov_imported_events_id_seq', last_event_id - events);
    first_counter_id := nextval('@extschema@.gov_imported_counter_seq');
    perform setval('@extschema@.gov_imported_counter_seq', first_counter_id + counters + imported);
    -- A default never gets a seed again that it has had.
    if last_seed >= (select q.last_value from @extschema@.gov_counter_seq q) then
        perform setval('@extschema@.gov_counter_seq', last_seed + spare);
    end if;

    insert into @extschema@.gov_imports (
        owner_id,
        export_id,
        chunks_done,
        rows_done,
        begun_at,
        first_event_id,
        last_event_id,
        event_id_shift,
        counter_id_shift,
        imported_counter_id_shift,
        events_deleted_until,
        events_deleted_to,
        relations)
    values (
        owner,
        export_id,
        1,
        0,
        @extschema@.gov_now(),
        last_event_id - events + 1,
        last_event_id,
        last_event_id - (facts ->> 'last_event_id')::bigint,
        first_counter_id,
        coalesce(first_counter_id + counters + 1 - first_imported, 0),
        last_event_id - events,
        (facts ->> 'events_deleted_to')::timestamptz,
        facts -> 'relations');
end
$$;

comment on function @extschema@._gov_import_begin(text, uuid, jsonb) is 'internal: imports the first chunk';

create function @extschema@._gov_import_rows(owner text, table_name name, content jsonb)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    state record;
    columns text;
    expressions text;
    count bigint;
begin
    select i.*
    into state
    from @extschema@.gov_imports i
    where i.owner_id = owner;

    select
        string_agg(quote_ident(w.name), ', ' order by w.place),
        string_agg(w.expression, ', ' order by w.place)
    into columns, expressions
    from
    (
        select c.name, c.place, @extschema@._gov_moved_value(table_name, c.name::name) as expression
        from jsonb_array_elements_text(state.relations -> table_name::text) with ordinality c (name, place)
    ) w
    where w.expression is not null;

    execute format(
        'insert into %1$s.%2$I (%3$s) select %4$s from jsonb_populate_recordset(null::%1$s.%2$I, $2) r%5$s',
        '@extschema@',
        table_name,
        columns,
        expressions,
        -- What was denied here, because the owner is frozen.
        case table_name when 'gov_denials' then ' on conflict do nothing' else '' end)
    using owner, content, state.event_id_shift, state.counter_id_shift, state.imported_counter_id_shift;
end
$$;

comment on function @extschema@._gov_import_rows(text, name, jsonb) is 'internal: imports a chunk of rows';

-- Foreign keys are not checked row by row (src/api_import.c), neither ours nor those that users have made.
create function @extschema@._gov_import_check_keys(owner text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
    is_missing boolean;
begin
    for item in
        select
            c.conname,
            c.conrelid::regclass as relation,
            c.confrelid::regclass as referred,
            string_agg(format('f.%I operator(%I.%s) r.%I', f.attname, s.nspname, o.oprname, r.attname), ' and ' order by k.n) as matches,
            string_agg(format('r.%I is not null', r.attname), ' and ' order by k.n) as is_set
        from pg_constraint c
        join (select distinct m.relation from @extschema@._gov_moved_tables() m) m on format('%s.%I', '@extschema@', m.relation)::regclass = c.conrelid
        cross join lateral unnest(c.conkey, c.confkey, c.conpfeqop) with ordinality k (attnum, referred_attnum, operator, n)
        join pg_attribute r on r.attrelid = c.conrelid and r.attnum = k.attnum
        join pg_attribute f on f.attrelid = c.confrelid and f.attnum = k.referred_attnum
        join pg_operator o on o.oid = k.operator
        join pg_namespace s on s.oid = o.oprnamespace
        where c.contype = 'f'
        group by c.oid, c.conname, c.conrelid, c.confrelid
    loop
        execute format(
            'select exists (select from %s r where r.owner_id = $1 and %s and not exists (select from %s f where %s))',
            item.relation,
            item.is_set,
            item.referred,
            item.matches)
        into is_missing
        using owner;
        if is_missing then
            raise exception using
                errcode = 'foreign_key_violation',
                message = format('what owner "%s" has in %s violates foreign key constraint "%s"', left(owner, 200), item.relation, item.conname),
                hint = format('Insert into %s what it refers to, and pass the last chunk again.', item.referred);
        end if;
    end loop;
end
$$;

comment on function @extschema@._gov_import_check_keys(text) is 'internal: refuses imported rows that refer to what does not exist (23503)';

create function @extschema@._gov_import_end(owner text, content jsonb)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    difference record;
begin
    if (content ->> 'rows')::bigint is distinct from (select i.rows_done from @extschema@.gov_imports i where i.owner_id = owner) then
        perform @extschema@._gov_refuse_chunk('the chunks before it have other rows'::text);
    end if;
    perform @extschema@._gov_import_check_keys(owner);
    select d.*
    into difference
    from @extschema@.gov_verify(owner) d
    limit 1;
    if found then
        raise exception using
            errcode = 'data_corrupted',
            message = format('what was imported of owner "%s" does not add up', left(owner, 200)),
            detail = format('Budget "%s", window from %s: %s %s counted, %s recorded.', difference.assignment_id, difference.window_start, difference.counted_by,
                difference.counted, difference.recorded),
            hint = 'See what gov_verify says where it comes from; then delete it here with gov_delete_owner, and import another export.';
    end if;
    update @extschema@.gov_imports i
    set completed_at = @extschema@.gov_now()
    where i.owner_id = owner;
end
$$;

comment on function @extschema@._gov_import_end(text, jsonb) is 'internal: imports the last chunk: what came is complete, and adds up';

create function @extschema@._gov_import_chunk(owner text, chunk jsonb)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    state record;
    number bigint;
    export uuid;
    kind text := chunk ->> 'kind';
begin
    if jsonb_typeof(chunk) is distinct from 'object' then
        perform @extschema@._gov_refuse_chunk('it is no object'::text);
    elsif chunk -> 'format' is distinct from to_jsonb(1) then
        perform @extschema@._gov_refuse_chunk('its format is unknown'::text);
    elsif chunk ->> 'owner' is distinct from owner then
        perform @extschema@._gov_refuse_chunk('it is of another owner'::text);
    elsif coalesce(chunk ->> 'chunk', '') !~ '^[1-9][0-9]{0,17}$'
        or coalesce(chunk ->> 'export', '') !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
        perform @extschema@._gov_refuse_chunk('it has no number, or is of no export'::text);
    end if;
    number := (chunk ->> 'chunk')::bigint;
    export := (chunk ->> 'export')::uuid;
    if (kind = 'begin') is distinct from (number = 1) or jsonb_typeof(chunk -> 'content') is distinct from (case when kind in ('begin', 'end') then 'object' else 'array' end) then
        perform @extschema@._gov_refuse_chunk('its content is not that of its kind'::text);
    end if;

    if kind = 'begin' then
        lock table @extschema@.gov_imports in share row exclusive mode;
    end if;
    select i.*
    into state
    from @extschema@.gov_imports i
    where i.owner_id = owner
    for update;
    if not found and kind = 'begin' then
        perform @extschema@.gov_freeze_owner(owner);
        perform @extschema@._gov_import_begin(owner, export, chunk -> 'content');
        return;
    end if;
    if not found then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = format('the import of owner "%s" has not begun', left(owner, 200)),
            hint = 'Pass the chunks in the order in which gov_export_owner returns them.';
    end if;
    if state.export_id <> export and state.completed_at is null then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = format('another export of owner "%s" is being imported', left(owner, 200)),
            detail = format('Its chunks up to number %s have been.', state.chunks_done),
            hint = 'Go on with that, or delete what there is of it with gov_delete_owner and begin anew.';
    end if;
    if state.export_id <> export then
        raise exception using
            errcode = 'duplicate_object',
            message = format('owner "%s" exists already', left(owner, 200)),
            detail = format('It was imported at %s.', state.completed_at),
            hint = 'Delete what is here with gov_delete_owner, if nobody needs it.';
    end if;
    if number <= state.chunks_done then
        return;
    end if;
    if number > state.chunks_done + 1 or state.completed_at is not null then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = format('chunk %s of owner "%s" is not next', number, left(owner, 200)),
            detail = format('Chunks up to number %s have been imported.', state.chunks_done),
            hint = 'Pass the chunks in the order in which gov_export_owner returns them.';
    end if;

    if kind = 'end' then
        perform @extschema@._gov_import_end(owner, chunk -> 'content');
    elsif exists (select from @extschema@._gov_moved_tables() m where m.relation = kind) then
        perform @extschema@._gov_import_rows(owner, kind::name, chunk -> 'content');
    else
        perform @extschema@._gov_refuse_chunk('its kind is unknown'::text);
    end if;
    update @extschema@.gov_imports i
    set
        chunks_done = number,
        rows_done = i.rows_done + case when kind = 'end' then 0 else jsonb_array_length(chunk -> 'content') end
    where i.owner_id = owner;
end
$$;

comment on function @extschema@._gov_import_chunk(text, jsonb) is 'internal: imports a chunk, unless it was imported before';

create function @extschema@.gov_import_owner
(
    owner_id text,
    chunks jsonb[],
    out chunks_done bigint,
    out is_complete boolean
)
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_import_owner_1_1';

comment on function @extschema@.gov_import_owner(text, jsonb[]) is
$$Imports an owner from another server, in as many calls as you like. Counts, headroom, keys and open holds are then as they were there.
The ids of its events are others, below 0: gov_imports.event_id_shift is what was added to each. The owner is frozen from the first chunk
on, and stays so when the last one is in: gov_thaw_owner() opens it, and only then. Alerts are not raised again, and gov_changes has no row
of what is imported. To leave off, call gov_delete_owner().

owner_id: the owner, which has nothing here yet; chunks: what gov_export_owner() has returned, in that order; those that have been imported
    before change nothing
result: chunks_done: the number of the last chunk that is in; is_complete: whether that was the last: the counts were compared with the
    ledger then, as gov_verify() does it
errors: 22004 null; 22023 no chunk, or one that is of another owner; 23503 an entity type, a capability or a default of everybody that the
    owner needs is missing, or what a foreign key of yours refers to; 42501 an owner that the session may not change; 42703 your column of
    our table is missing; 42710 the owner exists; 55000 chunks are missing, are of another export, or of another version of the extension;
    XX001 they do not add up. Whatever is raised, nothing of that call was imported
since: 1.1.0$$;
