/* Entities */

create function @extschema@._gov_json(stored @extschema@.gov_entities)
returns jsonb
language sql
stable
return jsonb_build_object(
    'id', stored.id,
    'typeId', stored.type_id,
    'displayName', stored.display_name,
    'metadata', stored.metadata,
    'parentId', stored.parent_id,
    'archivedAt', @extschema@._gov_json(stored.archived_at),
    'blockedAt', @extschema@._gov_json(stored.blocked_at),
    'blockedUntil', @extschema@._gov_json(stored.blocked_until),
    'blockedReason', stored.blocked_reason,
    'createdByUse', stored.created_by_use,
    'createdAt', @extschema@._gov_json(stored.created_at),
    'updatedAt', @extschema@._gov_json(stored.updated_at));

comment on function @extschema@._gov_json(@extschema@.gov_entities) is 'internal: an entity as the catalog functions return it';

create function @extschema@._gov_patched(stored @extschema@.gov_entities, item jsonb)
returns @extschema@.gov_entities
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    stored.id := item ->> 'id';
    stored.type_id := coalesce(item ->> 'typeId', stored.type_id);
    if item ? 'displayName' then
        stored.display_name := nullif(item ->> 'displayName', '');
    end if;
    if item ? 'parentId' then
        stored.parent_id := item ->> 'parentId';
    end if;

    -- Metadata is merged; an empty value takes its key away.
    stored.metadata := coalesce(stored.metadata, '{}');
    if item ? 'metadata' then
        stored.metadata := (stored.metadata || (item -> 'metadata'))
            - array(select m.key from jsonb_each_text(item -> 'metadata') m where m.value = '');
    end if;
    return stored;
end
$$;

comment on function @extschema@._gov_patched(@extschema@.gov_entities, jsonb) is 'internal: what an item makes of an entity, stored or new (null)';

create function @extschema@.gov_upsert_entities(owner_id text, entities jsonb)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    forms constant jsonb := '{
        "id": "a string",
        "typeRefId": "a string",
        "typeId": "a string",
        "entityTypeId": "a string",
        "displayName": "a string or null",
        "metadata": "an object of strings",
        "parentId": "a string or null"}';
    owner constant text := $1;
    wanted jsonb := '{}';
    ids text[] := '{}';
    item jsonb;
    earlier jsonb;
    n int;
    entity text;
    type text;
    broken text;
    failing_row text;
begin
    perform @extschema@._gov_require_owner(owner);

    for n, item in select i.n, i.item from @extschema@._gov_items($2, 'entities', forms, 100) i loop
        entity := @extschema@._gov_one_key(item, n, '{id}'::text[], true);
        earlier := wanted -> entity;
        type := @extschema@._gov_one_key(
            item,
            n,
            '{typeRefId, typeId, entityTypeId}'::text[],
            is_required => earlier is null
                and not exists (select from @extschema@.gov_entities e where e.owner_id = owner and e.id = entity));
        -- An id this long fits into no index, so no such type exists.
        if length(type) > 255 then
            perform @extschema@._gov_raise_broken_rule('@extschema@.gov_entities'::regclass, 'gov_entities_type_id_fkey', format('It has %s characters.', length(type)));
        end if;
        item := item - '{typeRefId, entityTypeId}'::text[];
        if type is not null then
            item := item || jsonb_build_object('typeId', type);
        end if;
        if item ? 'metadata' and earlier ? 'metadata' then
            item := item || jsonb_build_object('metadata', (earlier -> 'metadata') || (item -> 'metadata'));
        end if;

        wanted := wanted || jsonb_build_object(entity, coalesce(earlier, '{}') || item);
        ids := ids || entity;
    end loop;

    -- The strongest lock that the rows will need comes first: taken row by row, two calls would deadlock.
    if exists (select from jsonb_each(wanted) w where w.value ? 'parentId') then
        perform @extschema@._gov_lock_hierarchy(
            owner,
            is_move => exists (
                select
                from jsonb_each(wanted) w
                cross join lateral
                (
                    select x.parent_id
                    from @extschema@.gov_entities x
                    where x.owner_id = owner
                        and x.id = w.key
                    offset 0
                ) e
                where w.value ? 'parentId'
                    and e.parent_id is distinct from w.value ->> 'parentId'));
    end if;

    -- "offset 0" has each looked up; without it the planner might read all that the owner has, to join them.
    insert into @extschema@.gov_entities as t (owner_id, id, type_id, parent_id, display_name, metadata)
    select owner, p.id, p.type_id, p.parent_id, p.display_name, p.metadata
    from jsonb_each(wanted) w
    left join lateral
    (
        select x as entity
        from @extschema@.gov_entities x
        where x.owner_id = owner
            and x.id = w.key
        offset 0
    ) s on true
    cross join lateral @extschema@._gov_patched(s.entity, w.value) p
    order by p.id collate "C"
    on conflict (owner_id, id) do update
        set (type_id, parent_id, display_name, metadata) = (
            select p.type_id, p.parent_id, p.display_name, p.metadata
            from @extschema@._gov_patched(t, wanted -> t.id) p)
        where t is distinct from @extschema@._gov_patched(t, wanted -> t.id);

    return (
        select jsonb_agg(@extschema@._gov_json(t.entity) order by i.n)
        from unnest(ids) with ordinality i (id, n)
        cross join lateral
        (
            select x as entity
            from @extschema@.gov_entities x
            where x.owner_id = owner
                and x.id = i.id
            offset 0
        ) t);
exception
    when check_violation or foreign_key_violation then
        get stacked diagnostics broken = constraint_name, failing_row = pg_exception_detail;
        perform @extschema@._gov_raise_broken_rule('@extschema@.gov_entities'::regclass, broken, failing_row);
        raise;
    when cardinality_violation then
        perform @extschema@._gov_raise_seen_twice();
end
$$;

comment on function @extschema@.gov_upsert_entities(text, jsonb) is
$$Creates entities of an owner and changes existing ones.

owner_id: one of the vendor's customers
entities: an array of 1 to 100 objects, or {"entities": [...]}, with the keys
    id (required), typeRefId or typeId or entityTypeId (required on create), displayName (null or "": none),
    metadata (an object of strings, merged; "" takes a key away), parentId (null: a root); omitted keys keep their value
result: the stored entities as an array in the order given: id, typeId, displayName, metadata, parentId, archivedAt, blockedAt,
    blockedUntil, blockedReason, createdAt, updatedAt
errors: GV003 the owner is frozen; 22004 null; 22023 malformed, unknown key, no item, no type; 23503 unknown type or parent; 23514 a cycle, limits past a strict budget;
    42501 an owner that the session may not see or change; 54000 more than 100 items, more than 64 entities in a chain; 55000 an entity with children would move$$;

create function @extschema@.gov_get_entity(owner_id text, id text)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select @extschema@._gov_json(e)
    from @extschema@.gov_entities e
    where ($1 is null or @extschema@._gov_require_owner($1))
        and e.owner_id = $1
        and e.id = $2
$$;

comment on function @extschema@.gov_get_entity(text, text) is
$$An entity of an owner, archived or not.

owner_id, id: of the entity
result: the entity as an object, null when there is none
errors: 42501 an owner that the session may not see$$;

create function @extschema@.gov_list_entities
(
    owner_id text,
    after text default null,
    before text default null,
    page_size int default 20,
    type_id text default null,
    include_archived boolean default false
)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@._gov_require_owner(owner_id);
    return @extschema@._gov_list(
        'entities',
        $source$
            @extschema@.gov_entities r
            where r.owner_id = $1
                and ($2 ->> 'typeId' is null or r.type_id = $2 ->> 'typeId')
                and (r.archived_at is null or ($2 ->> 'includeArchived')::boolean)
        $source$,
        '{r.id}'::text[],
        '{a string}'::text[],
        '@extschema@._gov_json(r)',
        owner_id,
        jsonb_build_object('typeId', type_id, 'includeArchived', coalesce(include_archived, false)),
        after,
        before,
        page_size);
end
$$;

comment on function @extschema@.gov_list_entities(text, text, text, int, text, boolean) is
$$A page of the entities of an owner, by id.

owner_id: one of the vendor's customers
after: the "next" of an earlier page; before: the "prev" of one, for the page preceding it; page_size: 1 to 100;
type_id: only those of this type; include_archived: whether to include archived ones
result: {"data": [...], "pagination": {"next": cursor or null, "prev": cursor or null}}
errors: 22004 null owner; 42501 an owner that the session may not see; 22023 page_size out of range, both cursors, not a cursor of this list$$;

create function @extschema@._gov_set_archived(owner text, ids text[], is_archived boolean)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    max_items constant int := 100;
    unknown text;
begin
    perform @extschema@._gov_require_owner(owner);
    perform @extschema@._gov_require_list('ids', array_ndims(ids));
    if ids is null or array_position(ids, null) is not null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = '"ids" must not be or contain null',
            hint = format('Give 1 to %s ids of entities.', max_items);
    end if;
    if cardinality(ids) = 0 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = '"ids" must not be empty',
            hint = format('Give 1 to %s ids.', max_items);
    end if;
    if cardinality(ids) > max_items then
        raise exception using
            errcode = 'program_limit_exceeded',
            message = '"ids" has too many items',
            detail = format('There are %s, at most %s are allowed.', cardinality(ids), max_items),
            hint = 'Split them over several calls.';
    end if;

    -- Locked in order, so that concurrent calls do not deadlock.
    perform
    from @extschema@.gov_entities e
    where e.owner_id = owner
        and e.id = any (ids)
    order by e.id
    for no key update;

    select i.id
    into unknown
    from unnest(ids) with ordinality i (id, n)
    where not exists (select from @extschema@.gov_entities e where e.owner_id = owner and e.id = i.id)
    order by i.n
    limit 1;
    if found then
        raise exception using
            errcode = 'undefined_object',
            message = format('entity "%s" of owner "%s" does not exist', left(unknown, 200), left(owner, 200)),
            hint = 'Nothing was changed; gov_list_entities() shows what there is.';
    end if;

    update @extschema@.gov_entities e
    set archived_at = case when is_archived then now() end
    where e.owner_id = owner
        and e.id = any (ids)
        and (e.archived_at is null) = is_archived;
end
$$;

comment on function @extschema@._gov_set_archived(text, text[], boolean) is 'internal: archives entities or takes them back';

create function @extschema@.gov_archive_entities(owner_id text, ids text[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@._gov_set_archived(owner_id, ids, true);
end
$$;

comment on function @extschema@.gov_archive_entities(text, text[]) is
$$Archives entities: their own budgets are suspended until they are unarchived. Archived ones stay as they are.

owner_id: one of the vendor's customers; ids: of 1 to 100 of its entities
errors: GV003 the owner is frozen; 22004 null; 22023 no id, ids of two dimensions; 42501 an owner that the session may not see or change; 42704 unknown entity, nothing is changed; 54000 more than 100 ids$$;

create function @extschema@.gov_unarchive_entities(owner_id text, ids text[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@._gov_set_archived(owner_id, ids, false);
end
$$;

comment on function @extschema@.gov_unarchive_entities(text, text[]) is
$$Takes archived entities back: their own budgets hold again. Others stay as they are.

owner_id: one of the vendor's customers; ids: of 1 to 100 of its entities
errors: GV003 the owner is frozen; 22004 null; 22023 no id, ids of two dimensions; 23514 limits past a strict budget; 42501 an owner that the session may not see or change; 42704 unknown entity, nothing is changed; 54000 more than 100 ids$$;

