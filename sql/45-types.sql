/* ---------------------------------------------------------------------------------------------------------------- */
/* Catalog functions                                                                                                */
/*                                                                                                                  */
/* An upsert joins the items of one key into one patch, in order, and writes them all in one statement: only so may */
/* they refer to each other in any order, and the rules see the trees as they were before the call. What a patch    */
/* makes of a row is said once, by _gov_patched(), and asked again of the locked row when another session was first. */
/* Keys are written in order, so that concurrent calls do not deadlock.                                             */
/* ---------------------------------------------------------------------------------------------------------------- */

/* Entity types */

create function @extschema@._gov_json(stored @extschema@.gov_entity_types)
returns jsonb
language sql
stable
return jsonb_build_object(
    'id', stored.id,
    'displayName', stored.display_name,
    'description', stored.description,
    'attributionKeys', stored.attribution_keys,
    'onUnknown', stored.on_unknown,
    'parentKey', stored.parent_key,
    'createdAt', @extschema@._gov_json(stored.created_at),
    'updatedAt', @extschema@._gov_json(stored.updated_at));

comment on function @extschema@._gov_json(@extschema@.gov_entity_types) is 'internal: an entity type as the catalog functions return it';

create function @extschema@._gov_refuse_made_id(id text, display_name text, stored_name text)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if display_name <> stored_name then
        raise exception using
            errcode = 'unique_violation',
            message = format('the id "%s" made from "%s" is taken by the entity type "%s"', left(id, 200), left(display_name, 200), left(stored_name, 200)),
            hint = 'Give the item an "id" of its own, or this id to change that type.',
            table = 'gov_entity_types',
            constraint = 'gov_entity_types_pkey';
    end if;
end
$$;

comment on function @extschema@._gov_refuse_made_id(text, text, text) is 'internal: refuses an id made from a display name other than the stored one (23505)';

create function @extschema@._gov_patched(stored @extschema@.gov_entity_types, item jsonb)
returns @extschema@.gov_entity_types
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if item ? 'madeFrom' then
        perform @extschema@._gov_refuse_made_id(stored.id, item ->> 'madeFrom', stored.display_name);
    end if;

    stored.id := item ->> 'id';
    if item ? 'displayName' then
        stored.display_name := nullif(item ->> 'displayName', '');
    end if;
    stored.display_name := coalesce(stored.display_name, stored.id);
    if item ? 'description' then
        stored.description := nullif(item ->> 'description', '');
    end if;
    if item ? 'attributionKeys' then
        stored.attribution_keys := @extschema@._gov_sorted(@extschema@._gov_texts(item -> 'attributionKeys'));
    end if;
    stored.attribution_keys := coalesce(stored.attribution_keys, '{}');
    stored.on_unknown := coalesce(item ->> 'onUnknown', stored.on_unknown, 'ignore');
    if item ? 'parentKey' then
        stored.parent_key := nullif(item ->> 'parentKey', '');
    end if;
    return stored;
end
$$;

comment on function @extschema@._gov_patched(@extschema@.gov_entity_types, jsonb) is 'internal: what an item makes of an entity type, stored or new (null)';

create function @extschema@._gov_made_id(item jsonb, n int)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    made text;
begin
    -- A longer display name is refused by the rule of its column, which gets a value that breaks it.
    if length(item ->> 'displayName') > 255 then
        return left(item ->> 'displayName', 256);
    end if;
    made := trim(both '-' from regexp_replace(lower(item ->> 'displayName' collate "C"), '[^a-z0-9]+', '-', 'g'));
    if made is null or made = '' then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('item %s has neither an "id" nor a "displayName" to make one from', n),
            hint = 'Give an "id", or a "displayName" with at least one of a-z and 0-9.';
    end if;
    return made;
end
$$;

comment on function @extschema@._gov_made_id(jsonb, int) is 'internal: the id made from the display name of an entity type (22023)';

create function @extschema@.gov_upsert_entity_types(types jsonb)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    forms constant jsonb := '{
        "id": "a string",
        "displayName": "a string or null",
        "description": "a string or null",
        "attributionKeys": "an array of strings",
        "onUnknown": "a string",
        "parentKey": "a string or null"}';
    wanted jsonb := '{}';
    ids text[] := '{}';
    item jsonb;
    earlier jsonb;
    n int;
    id text;
    broken text;
    failing_row text;
begin
    perform @extschema@._gov_require_unpinned('gov_upsert_entity_types()');

    for n, item in select i.n, i.item from @extschema@._gov_items($1, 'types', forms, 100) i loop
        id := coalesce(item ->> 'id', @extschema@._gov_made_id(item, n));
        earlier := coalesce(wanted -> id, '{}');

        -- An id that is made from a name must not rename another type: neither one of this call nor a stored one, which
        -- _gov_patched() sees to.
        if not item ? 'id' then
            if earlier ? 'displayName' then
                perform @extschema@._gov_refuse_made_id(id, item ->> 'displayName', coalesce(nullif(earlier ->> 'displayName', ''), id));
            else
                item := item || jsonb_build_object('madeFrom', item ->> 'displayName');
            end if;
        end if;

        wanted := wanted || jsonb_build_object(id, earlier || item || jsonb_build_object('id', id));
        ids := ids || id;
    end loop;

    insert into @extschema@.gov_entity_types as t (id, display_name, description, attribution_keys, on_unknown, parent_key)
    select p.id, p.display_name, p.description, p.attribution_keys, p.on_unknown, p.parent_key
    from jsonb_each(wanted) w
    left join @extschema@.gov_entity_types s on s.id = w.key
    cross join lateral @extschema@._gov_patched(s, w.value) p
    order by p.id collate "C"
    on conflict (id) do update
        set (display_name, description, attribution_keys, on_unknown, parent_key) = (
            select p.display_name, p.description, p.attribution_keys, p.on_unknown, p.parent_key
            from @extschema@._gov_patched(t, wanted -> t.id) p)
        where t is distinct from @extschema@._gov_patched(t, wanted -> t.id);

    return (
        select jsonb_agg(@extschema@._gov_json(t) order by i.n)
        from unnest(ids) with ordinality i (id, n)
        join @extschema@.gov_entity_types t on t.id = i.id);
exception
    when check_violation or foreign_key_violation then
        get stacked diagnostics broken = constraint_name, failing_row = pg_exception_detail;
        perform @extschema@._gov_raise_broken_rule('@extschema@.gov_entity_types'::regclass, broken, failing_row);
        raise;
    when cardinality_violation then
        perform @extschema@._gov_raise_seen_twice();
end
$$;

comment on function @extschema@.gov_upsert_entity_types(jsonb) is
$$Creates entity types and changes existing ones.

types: an array of 1 to 100 objects, or {"types": [...]}, with the keys
    id (absent: made from displayName, "AI agent" becomes "ai-agent"), displayName (null or "": the id),
    description (null or "": none), attributionKeys (an array of dimension keys), onUnknown ("ignore", the default, "create" or
    "deny": what a dimension does whose value is no entity of the type), parentKey (the dimension that names the parent of what a
    use creates; null or "": none); omitted keys keep their value
result: the stored types as an array in the order given, with createdAt and updatedAt
errors: 22004 null; 22023 malformed, unknown key, no item, no id to be made; 23505 made id of a type with another name,
    or an attribution key that another type has too, both with another onUnknown than "ignore"; 23514 a value that breaks a rule of
    its column; 42501 in a session pinned to an owner; 54000 more than 100 items$$;

create function @extschema@.gov_get_entity_type(id text)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select @extschema@._gov_json(t)
    from @extschema@.gov_entity_types t
    where t.id = $1
$$;

comment on function @extschema@.gov_get_entity_type(text) is
$$An entity type.

id: of the type
result: the type as an object, null when there is none$$;

create function @extschema@.gov_list_entity_types
(
    after text default null,
    before text default null,
    page_size int default 20
)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select @extschema@._gov_list(
        'entityTypes',
        '@extschema@.gov_entity_types r where true',
        '{r.id}'::text[],
        '{a string}'::text[],
        '@extschema@._gov_json(r)',
        null::text,
        '{}'::jsonb,
        after,
        before,
        page_size)
$$;

comment on function @extschema@.gov_list_entity_types(text, text, int) is
$$A page of the entity types, by id.

after: the "next" of an earlier page; before: the "prev" of one, for the page preceding it; page_size: 1 to 100
result: {"data": [...], "pagination": {"next": cursor or null, "prev": cursor or null}}
errors: 22023 page_size out of range, both cursors, not a cursor of this list$$;

/* Capabilities */

create function @extschema@._gov_json(stored @extschema@.gov_capabilities)
returns jsonb
language sql
stable
return jsonb_build_object(
    'id', stored.id,
    'type', stored.type,
    'kind', stored.kind,
    'displayName', stored.display_name,
    'unit', stored.unit,
    'createdAt', @extschema@._gov_json(stored.created_at),
    'updatedAt', @extschema@._gov_json(stored.updated_at));

comment on function @extschema@._gov_json(@extschema@.gov_capabilities) is 'internal: a capability as the catalog functions return it';

create function @extschema@._gov_patched(stored @extschema@.gov_capabilities, item jsonb)
returns @extschema@.gov_capabilities
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    stored.id := item ->> 'id';
    stored.type := coalesce(item ->> 'type', stored.type, 'METER');
    stored.kind := coalesce(item ->> 'kind', stored.kind, 'feature');
    if item ? 'displayName' then
        stored.display_name := nullif(item ->> 'displayName', '');
    end if;
    if item ? 'unit' then
        stored.unit := nullif(item ->> 'unit', '');
    end if;
    return stored;
end
$$;

comment on function @extschema@._gov_patched(@extschema@.gov_capabilities, jsonb) is 'internal: what an item makes of a capability, stored or new (null)';

create function @extschema@.gov_upsert_capabilities(capabilities jsonb)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    forms constant jsonb := '{
        "id": "a string",
        "type": "a string",
        "kind": "a string",
        "displayName": "a string or null",
        "unit": "a string or null"}';
    wanted jsonb := '{}';
    ids text[] := '{}';
    item jsonb;
    n int;
    id text;
    broken text;
    failing_row text;
begin
    perform @extschema@._gov_require_unpinned('gov_upsert_capabilities()');

    for n, item in select i.n, i.item from @extschema@._gov_items($1, 'capabilities', forms, 100) i loop
        id := @extschema@._gov_one_key(item, n, '{id}'::text[], true);
        wanted := wanted || jsonb_build_object(id, coalesce(wanted -> id, '{}') || item);
        ids := ids || id;
    end loop;

    insert into @extschema@.gov_capabilities as t (id, type, kind, display_name, unit)
    select p.id, p.type, p.kind, p.display_name, p.unit
    from jsonb_each(wanted) w
    left join @extschema@.gov_capabilities s on s.id = w.key
    cross join lateral @extschema@._gov_patched(s, w.value) p
    order by p.id collate "C"
    on conflict (id) do update
        set (type, kind, display_name, unit) = (
            select p.type, p.kind, p.display_name, p.unit
            from @extschema@._gov_patched(t, wanted -> t.id) p)
        where t is distinct from @extschema@._gov_patched(t, wanted -> t.id);

    return (
        select jsonb_agg(@extschema@._gov_json(t) order by i.n)
        from unnest(ids) with ordinality i (id, n)
        join @extschema@.gov_capabilities t on t.id = i.id);
exception
    when check_violation or foreign_key_violation then
        get stacked diagnostics broken = constraint_name, failing_row = pg_exception_detail;
        perform @extschema@._gov_raise_broken_rule('@extschema@.gov_capabilities'::regclass, broken, failing_row);
        raise;
    when cardinality_violation then
        perform @extschema@._gov_raise_seen_twice();
end
$$;

comment on function @extschema@.gov_upsert_capabilities(jsonb) is
$$Creates capabilities and changes existing ones.

capabilities: an array of 1 to 100 objects, or {"capabilities": [...]}, with the keys
    id (required), type ("METER"), kind ("feature", the default, "credit", or, since 1.1.0, "concurrency": what is under way),
    displayName (null or "": none), unit (null or "": none); omitted keys keep their value
result: the stored capabilities as an array in the order given, with createdAt and updatedAt
errors: 22004 null; 22023 malformed, unknown key, no item; 42501 in a session pinned to an owner; 54000 more
    than 100 items; 55000 a kind that was or becomes "concurrency", of a capability with budgets$$;

create function @extschema@.gov_get_capability(id text)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select @extschema@._gov_json(c)
    from @extschema@.gov_capabilities c
    where c.id = $1
$$;

comment on function @extschema@.gov_get_capability(text) is
$$A capability.

id: of the capability
result: the capability as an object, null when there is none$$;

create function @extschema@.gov_list_capabilities
(
    after text default null,
    before text default null,
    page_size int default 20
)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select @extschema@._gov_list(
        'capabilities',
        '@extschema@.gov_capabilities r where true',
        '{r.id}'::text[],
        '{a string}'::text[],
        '@extschema@._gov_json(r)',
        null::text,
        '{}'::jsonb,
        after,
        before,
        page_size)
$$;

comment on function @extschema@.gov_list_capabilities(text, text, int) is
$$A page of the capabilities, by id.

after: the "next" of an earlier page; before: the "prev" of one, for the page preceding it; page_size: 1 to 100
result: {"data": [...], "pagination": {"next": cursor or null, "prev": cursor or null}}
errors: 22023 page_size out of range, both cursors, not a cursor of this list$$;

