/* Defaults */

create function @extschema@._gov_json(stored @extschema@.gov_default_assignments)
returns jsonb
language sql
stable
return jsonb_build_object(
    'id', stored.id,
    'ownerId', stored.owner_id,
    'typeId', stored.type_id,
    'capabilityId', stored.capability_id,
    'scopeTypeIds', stored.scope_type_ids,
    'name', stored.name,
    'usageLimit', stored.usage_limit,
    'callLimit', stored.call_limit,
    'cadence', stored.cadence,
    'windowKind', stored.window_kind,
    'anchorAt', @extschema@._gov_exact_json(stored.anchor_at),
    'anchorFrom', stored.anchor_from,
    'timezone', stored.timezone,
    'enforcement', stored.enforcement,
    'locked', stored.locked,
    'alertThresholds', stored.alert_thresholds,
    'carryUnusedMax', stored.carry_unused_max,
    'carryDebt', stored.carry_debt,
    'createdAt', @extschema@._gov_json(stored.created_at),
    'updatedAt', @extschema@._gov_json(stored.updated_at));

comment on function @extschema@._gov_json(@extschema@.gov_default_assignments) is 'internal: a default as the catalog functions return it';

create function @extschema@._gov_patched(stored @extschema@.gov_default_assignments, item jsonb)
returns @extschema@.gov_default_assignments
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    stored.type_id := item ->> 'typeId';
    stored.capability_id := item ->> 'capabilityId';
    stored.scope_type_ids := @extschema@._gov_texts(item -> 'scopeTypeIds');
    stored.name := item ->> 'name';
    if item ? 'usageLimit' then
        stored.usage_limit := round((item ->> 'usageLimit')::numeric, 9);
    end if;
    if item ? 'callLimit' then
        stored.call_limit := round((item ->> 'callLimit')::numeric, 9);
    end if;
    if item ? 'cadence' then
        stored.cadence := item ->> 'cadence';
    end if;
    stored.window_kind := coalesce(item ->> 'windowKind', stored.window_kind, 'calendar');
    if item ? 'anchorAt' then
        stored.anchor_at := (item ->> 'anchorAt')::timestamptz;
    end if;
    if item ? 'anchorFrom' then
        stored.anchor_from := item ->> 'anchorFrom';
    end if;
    stored.timezone := coalesce(item ->> 'timezone', stored.timezone, 'UTC');
    stored.enforcement := coalesce(item ->> 'enforcement', stored.enforcement, 'hard');
    stored.locked := coalesce((item ->> 'locked')::boolean, stored.locked, false);
    if item ? 'alertThresholds' then
        stored.alert_thresholds := case
            when jsonb_typeof(item -> 'alertThresholds') = 'array'
            then @extschema@._gov_sorted(@extschema@._gov_texts(item -> 'alertThresholds')::numeric[])
        end;
    end if;
    if item ? 'carryUnusedMax' then
        stored.carry_unused_max := round((item ->> 'carryUnusedMax')::numeric, 9);
    end if;
    stored.carry_debt := coalesce((item ->> 'carryDebt')::boolean, stored.carry_debt, false);
    return stored;
end
$$;

comment on function @extschema@._gov_patched(@extschema@.gov_default_assignments, jsonb) is 'internal: what an item makes of a default, stored or new (null)';

create function @extschema@._gov_default_items(payload jsonb, max_items int)
returns table (n int, key text, item jsonb)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    forms constant jsonb := '{
        "typeId": "a string",
        "capabilityId": "a string",
        "featureId": "a string",
        "currencyId": "a string",
        "scopeTypeIds": "an array of strings",
        "name": "a string",
        "usageLimit": "a number or null",
        "callLimit": "a number or null",
        "cadence": "a string or null",
        "windowKind": "a string",
        "anchorAt": "a string or null",
        "anchorFrom": "a string or null",
        "timezone": "a string",
        "enforcement": "a string",
        "locked": "true or false",
        "alertThresholds": "an array of numbers or null",
        "carryUnusedMax": "a number or null",
        "carryDebt": "true or false"}';
begin
    for n, item in select i.n, i.item from @extschema@._gov_items(payload, 'defaults', forms, max_items) i loop
        item := item || jsonb_build_object(
            'typeId', @extschema@._gov_one_key(item, n, '{typeId}'::text[], true),
            'capabilityId', @extschema@._gov_one_key(item, n, '{capabilityId, featureId, currencyId}'::text[], true),
            'scopeTypeIds', @extschema@._gov_sorted(@extschema@._gov_texts(coalesce(item -> 'scopeTypeIds', '[]'))),
            'name', coalesce(item ->> 'name', ''));
        if item ? 'anchorAt' then
            item := item || jsonb_build_object('anchorAt', @extschema@._gov_time(item, n, 'anchorAt'));
        end if;
        key := @extschema@._gov_assignment_key(item ->> 'typeId', item ->> 'capabilityId', @extschema@._gov_texts(item -> 'scopeTypeIds'), item ->> 'name');
        return next;
    end loop;
end
$$;

comment on function @extschema@._gov_default_items(jsonb, int) is
    'internal: the numbered items of a payload of defaults, each with its natural key and with the parts of that in one form (22004, 22023, 54000)';

create function @extschema@._gov_default(owner text, item jsonb)
returns @extschema@.gov_default_assignments
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- Two conditions that the index serves, of which one never holds.
    select x
    from @extschema@.gov_default_assignments x
    where x.owner_id = owner
        and x.type_id = item ->> 'typeId'
        and x.capability_id = item ->> 'capabilityId'
        and x.scope_type_ids = @extschema@._gov_texts(item -> 'scopeTypeIds')
        and x.name = item ->> 'name'
    union all
    select x
    from @extschema@.gov_default_assignments x
    where owner is null
        and x.owner_id is null
        and x.type_id = item ->> 'typeId'
        and x.capability_id = item ->> 'capabilityId'
        and x.scope_type_ids = @extschema@._gov_texts(item -> 'scopeTypeIds')
        and x.name = item ->> 'name'
$$;

comment on function @extschema@._gov_default(text, jsonb) is 'internal: the stored default that an item names, of an owner or of everybody (null)';

create function @extschema@._gov_wanted_defaults(owner text, payload jsonb, max_items int, out wanted jsonb, out keys text[])
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    item jsonb;
    n int;
    key text;
begin
    wanted := '{}';
    keys := '{}';
    for n, key, item in select i.n, i.key, i.item from @extschema@._gov_default_items(payload, max_items) i loop
        if not wanted ? key and not item ?& '{usageLimit, cadence}' and (@extschema@._gov_default(owner, item)).id is null then
            raise exception using
                errcode = 'invalid_parameter_value',
                message = format('"%s" is missing in item %s, a new default', case when item ? 'usageLimit' then 'cadence' else 'usageLimit' end, n),
                hint = 'Give both; null means no limit, and never resets.';
        end if;
        wanted := wanted || jsonb_build_object(key, coalesce(wanted -> key, '{}') || item);
        keys := keys || key;
    end loop;
end
$$;

comment on function @extschema@._gov_wanted_defaults(text, jsonb, int) is
    'internal: what a payload says of each default, later items of one added to earlier ones, and the natural key of each item (22004, 22023, 54000)';

create function @extschema@.gov_upsert_default_assignments(owner_id text, defaults jsonb)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    owner constant text := $1;
    wanted jsonb;
    keys text[];
    broken text;
    failing_row text;
begin
    if owner is null then
        perform @extschema@._gov_require_unpinned('gov_upsert_default_assignments() for every owner');
    else
        perform @extschema@._gov_require_owner(owner);
    end if;

    select w.wanted, w.keys
    into wanted, keys
    from @extschema@._gov_wanted_defaults(owner, $2, 100) w;

    insert into @extschema@.gov_default_assignments as t
        (owner_id, type_id, capability_id, scope_type_ids, name, usage_limit, call_limit, cadence, anchor_at, anchor_from, timezone,
         enforcement, locked, alert_thresholds, window_kind, carry_unused_max, carry_debt)
    select owner, p.type_id, p.capability_id, p.scope_type_ids, p.name, p.usage_limit, p.call_limit, p.cadence, p.anchor_at,
        p.anchor_from, p.timezone, p.enforcement, p.locked, p.alert_thresholds, p.window_kind, p.carry_unused_max, p.carry_debt
    from jsonb_each(wanted) w
    cross join lateral @extschema@._gov_patched(@extschema@._gov_default(owner, w.value), w.value) p
    order by w.key collate "C"
    on conflict (owner_id, type_id, capability_id, scope_type_ids, name) do update
        set (usage_limit, call_limit, cadence, anchor_at, anchor_from, timezone, enforcement, locked, alert_thresholds, window_kind,
             carry_unused_max, carry_debt) = (
            select p.usage_limit, p.call_limit, p.cadence, p.anchor_at, p.anchor_from, p.timezone, p.enforcement, p.locked, p.alert_thresholds,
                p.window_kind, p.carry_unused_max, p.carry_debt
            from @extschema@._gov_patched(t, wanted -> @extschema@._gov_assignment_key(t.type_id, t.capability_id, t.scope_type_ids, t.name)) p)
        where t is distinct from
            @extschema@._gov_patched(t, wanted -> @extschema@._gov_assignment_key(t.type_id, t.capability_id, t.scope_type_ids, t.name));

    return (
        select jsonb_agg(@extschema@._gov_json(@extschema@._gov_default(owner, wanted -> k.key)) order by k.n)
        from unnest(keys) with ordinality k (key, n));
exception
    when check_violation or foreign_key_violation then
        get stacked diagnostics broken = constraint_name, failing_row = pg_exception_detail;
        perform @extschema@._gov_raise_broken_rule('@extschema@.gov_default_assignments'::regclass, broken, coalesce(nullif(failing_row, ''), sqlerrm));
        raise;
    when cardinality_violation then
        perform @extschema@._gov_raise_seen_twice();
end
$$;

comment on function @extschema@.gov_upsert_default_assignments(text, jsonb) is
$$Creates defaults, which give every entity of a type a budget with a count of its own, and changes existing ones, which owner, type,
capability, scope types and name identify. They are in force for all these entities when the transaction commits.

owner_id: one of the vendor's customers; null: everybody. An owner's default goes before everybody's, and an assignment of the entity
    with the same capability, scope and name before both
defaults: an array of 1 to 100 objects, or {"defaults": [...]}, with the keys
    typeId (required), capabilityId or featureId or currencyId (required), scopeTypeIds (default []: one count per entity), name
    (default ""), usageLimit (of each entity per window, in the capability's unit; null: no limit), callLimit (for one call; null, the
    default: as much as is left), cadence (such as "P1M"; null: never resets), windowKind ("calendar", the default, "first_use" or "sliding"), anchorAt (ISO 8601; null: the calendar), anchorFrom
    ("created_at" or a key of the entity's metadata, where its windows are counted from; null: anchorAt says it), timezone (default
    "UTC"), enforcement ("hard", the default, or "soft"), locked (default false; true: tenants may not put an assignment in its
    place), alertThresholds (per cent; null: the alert policy's), carryUnusedMax and carryDebt (what is carried over from one window
    to the next, as for gov_upsert_assignments); usageLimit and cadence are required on create; omitted keys keep
    their value
result: the stored defaults as an array in the order given, with id, ownerId, createdAt and updatedAt
errors: GV003 the owner is frozen; 22004 null; 22023 malformed, unknown key, no item, a required key missing; 23503 unknown type, capability or scope type; 23514
    a cadence for what is under way at once; 42501 an owner that the session may not see or change; 54000 more than 100 items, more than 256 defaults for a type and capability
since: 1.1.0$$;

create function @extschema@.gov_list_default_assignments
(
    owner_id text,
    after text default null,
    before text default null,
    page_size int default 20,
    type_id text default null,
    capability_id text default null
)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if owner_id is not null then
        perform @extschema@._gov_require_owner(owner_id);
    end if;
    return @extschema@._gov_list(
        'defaults',
        case when owner_id is null then '@extschema@.gov_default_assignments r where r.owner_id is null and $1 is null'
            else '@extschema@.gov_default_assignments r where r.owner_id = $1' end
        || $source$
                and ($2 ->> 'typeId' is null or r.type_id = $2 ->> 'typeId')
                and ($2 ->> 'capabilityId' is null or r.capability_id = $2 ->> 'capabilityId')
        $source$,
        '{r.type_id, r.capability_id, r.scope_type_ids, r.name}'::text[],
        '{a string, a string, an array of strings, a string}'::text[],
        '@extschema@._gov_json(r)',
        owner_id,
        jsonb_build_object('typeId', type_id, 'capabilityId', capability_id),
        after,
        before,
        page_size);
end
$$;

comment on function @extschema@.gov_list_default_assignments(text, text, text, int, text, text) is
$$A page of the defaults of an owner, by type, capability, scope types and name.

owner_id: one of the vendor's customers; null: those of everybody
after: the "next" of an earlier page; before: the "prev" of one, for the page preceding it; page_size: 1 to 100;
type_id: only those for entities of this type; capability_id: only those of this capability
result: {"data": [...], "pagination": {"next": cursor or null, "prev": cursor or null}}
errors: 42501 an owner that the session may not see; 22023 page_size out of range, both cursors, not a cursor of this list
since: 1.1.0$$;
