/* Assignments */

create function @extschema@._gov_json(stored @extschema@.gov_assignments, parent_id text)
returns jsonb
language sql
stable
return jsonb_build_object(
    'id', stored.id,
    'entityId', stored.entity_id,
    'capabilityId', stored.capability_id,
    'scopeEntityIds', stored.scope_entity_ids,
    'name', stored.name,
    'usageLimit', stored.usage_limit,
    'callLimit', stored.call_limit,
    'cadence', stored.cadence,
    'windowKind', stored.window_kind,
    'anchorAt', @extschema@._gov_exact_json(stored.anchor_at),
    'timezone', stored.timezone,
    'enforcement', stored.enforcement,
    'strictAllocation', stored.strict_allocation,
    'locked', stored.locked,
    'alertThresholds', stored.alert_thresholds,
    'isPool', stored.is_pool,
    'debtLimit', stored.debt_limit,
    'carryUnusedMax', stored.carry_unused_max,
    'carryDebt', stored.carry_debt,
    'parentId', parent_id,
    'createdAt', @extschema@._gov_json(stored.created_at),
    'updatedAt', @extschema@._gov_json(stored.updated_at));

comment on function @extschema@._gov_json(@extschema@.gov_assignments, text) is 'internal: an assignment as the catalog functions return it';

create function @extschema@._gov_assignment_key(entity_id text, capability_id text, scope_entity_ids text[], name text)
returns text
language sql
immutable
parallel safe
return jsonb_build_array(entity_id, capability_id, scope_entity_ids, name)::text;

comment on function @extschema@._gov_assignment_key(text, text, text[], text) is 'internal: the natural key of an assignment of an owner as one text';

create function @extschema@._gov_patched(stored @extschema@.gov_assignments, item jsonb)
returns @extschema@.gov_assignments
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    stored.entity_id := item ->> 'entityId';
    stored.capability_id := item ->> 'capabilityId';
    stored.scope_entity_ids := @extschema@._gov_texts(item -> 'scopeEntityIds');
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
    stored.timezone := coalesce(item ->> 'timezone', stored.timezone, 'UTC');
    stored.enforcement := coalesce(item ->> 'enforcement', stored.enforcement, 'hard');
    stored.strict_allocation := coalesce((item ->> 'strictAllocation')::boolean, stored.strict_allocation, false);
    stored.locked := coalesce((item ->> 'locked')::boolean, stored.locked, false);
    if item ? 'alertThresholds' then
        stored.alert_thresholds := case
            when jsonb_typeof(item -> 'alertThresholds') = 'array'
            then @extschema@._gov_sorted(@extschema@._gov_texts(item -> 'alertThresholds')::numeric[])
        end;
    end if;
    stored.is_pool := coalesce((item ->> 'isPool')::boolean, stored.is_pool, false);
    stored.debt_limit := coalesce(round((item ->> 'debtLimit')::numeric, 9), stored.debt_limit, 0);
    if item ? 'carryUnusedMax' then
        stored.carry_unused_max := round((item ->> 'carryUnusedMax')::numeric, 9);
    end if;
    stored.carry_debt := coalesce((item ->> 'carryDebt')::boolean, stored.carry_debt, false);
    return stored;
end
$$;

comment on function @extschema@._gov_patched(@extschema@.gov_assignments, jsonb) is 'internal: what an item makes of an assignment, stored or new (null)';

create function @extschema@._gov_require_unlocked(owner text, wanted jsonb)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    entity text;
    capability text;
begin
    select w.value ->> 'entityId', w.value ->> 'capabilityId'
    into entity, capability
    from jsonb_each(wanted) w
    where (w.value ->> 'locked')::boolean
        or exists (
            select
            from @extschema@.gov_assignments a
            where a.owner_id = owner
                and a.entity_id = w.value ->> 'entityId'
                and a.capability_id = w.value ->> 'capabilityId'
                and a.scope_entity_ids = @extschema@._gov_texts(w.value -> 'scopeEntityIds')
                and a.name = w.value ->> 'name'
                and a.locked)
    order by w.key collate "C"
    limit 1;
    if found then
        raise exception using
            errcode = 'insufficient_privilege',
            message = format('permission denied for a locked budget of entity "%s" for capability "%s"', left(entity, 200), left(capability, 200)),
            detail = format('Role "%s" may neither change nor lock it.', current_user),
            hint = 'Leave it out, or ask whoever locks budgets.',
            table = 'gov_assignments';
    end if;
end
$$;

comment on function @extschema@._gov_require_unlocked(text, jsonb) is 'internal: refuses items that change or make a locked budget (42501)';

create function @extschema@._gov_assignment_items(payload jsonb, max_items int)
returns table (n int, key text, item jsonb)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    forms constant jsonb := '{
        "entityId": "a string",
        "capabilityId": "a string",
        "featureId": "a string",
        "currencyId": "a string",
        "scopeEntityIds": "an array of strings",
        "name": "a string",
        "usageLimit": "a number or null",
        "callLimit": "a number or null",
        "cadence": "a string or null",
        "windowKind": "a string",
        "anchorAt": "a string or null",
        "timezone": "a string",
        "enforcement": "a string",
        "strictAllocation": "true or false",
        "locked": "true or false",
        "alertThresholds": "an array of numbers or null",
        "isPool": "true or false",
        "debtLimit": "a number",
        "carryUnusedMax": "a number or null",
        "carryDebt": "true or false",
        "parentId": "a string or null"}';
    entity text;
    capability text;
    scope text[];
    label text;
begin
    for n, item in select i.n, i.item from @extschema@._gov_items(payload, 'assignments', forms, max_items) i loop
        entity := @extschema@._gov_one_key(item, n, '{entityId}'::text[], true);
        capability := @extschema@._gov_one_key(item, n, '{capabilityId, featureId, currencyId}'::text[], true);
        scope := @extschema@._gov_sorted(@extschema@._gov_texts(coalesce(item -> 'scopeEntityIds', '[]')));
        label := coalesce(item ->> 'name', '');
        key := @extschema@._gov_assignment_key(entity, capability, scope, label);
        if item ? 'anchorAt' then
            item := item || jsonb_build_object('anchorAt', @extschema@._gov_time(item, n, 'anchorAt'));
        end if;
        item := item || jsonb_build_object('capabilityId', capability, 'scopeEntityIds', scope, 'name', label);
        return next;
    end loop;
end
$$;

comment on function @extschema@._gov_assignment_items(jsonb, int) is
    'internal: the numbered items of a payload of assignments, each with its natural key and with the parts of that in one form (22004, 22023, 54000)';

create function @extschema@._gov_refuse_incomplete(item jsonb, n int)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using
        errcode = 'invalid_parameter_value',
        message = format('"%s" is missing in item %s, a new assignment', case when item ? 'usageLimit' then 'cadence' else 'usageLimit' end, n),
        hint = 'Give both; null means no limit, and never resets.';
end
$$;

comment on function @extschema@._gov_refuse_incomplete(jsonb, int) is 'internal: refuses an item that lacks what a new assignment needs (22023)';

create function @extschema@.gov_upsert_assignments(owner_id text, assignments jsonb)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    owner constant text := $1;
    wanted jsonb := '{}';
    parents jsonb := '{}';
    keys text[] := '{}';
    has_call_limit boolean := false;
    has_window_kind boolean := false;
    has_pool boolean := false;
    carries boolean := false;
    more_columns text := '';
    more_values text := '';
    item jsonb;
    n int;
    key text;
    broken text;
    failing_row text;
begin
    perform @extschema@._gov_require_owner(owner);

    for n, key, item in select i.n, i.key, i.item from @extschema@._gov_assignment_items($2, 100) i loop
        if not wanted ? key and not item ?& '{usageLimit, cadence}' and (item ->> 'isPool')::boolean is not true
            and not exists (
                select
                from @extschema@.gov_assignments a
                where a.owner_id = owner
                    and a.entity_id = item ->> 'entityId'
                    and a.capability_id = item ->> 'capabilityId'
                    and a.scope_entity_ids = @extschema@._gov_texts(item -> 'scopeEntityIds')
                    and a.name = item ->> 'name')
        then
            perform @extschema@._gov_refuse_incomplete(item, n);
        end if;

        if item ? 'parentId' then
            parents := parents || jsonb_build_object(item ->> 'entityId', item -> 'parentId');
        end if;
        has_call_limit := has_call_limit or item ? 'callLimit';
        has_window_kind := has_window_kind or item ? 'windowKind';
        has_pool := has_pool or item ?| '{isPool, debtLimit}';
        carries := carries or item ?| '{carryUnusedMax, carryDebt}';
        wanted := wanted || jsonb_build_object(key, coalesce(wanted -> key, '{}') || item);
        keys := keys || key;
    end loop;

    -- Not everybody has the right to these.
    if has_call_limit then
        more_columns := ', call_limit';
        more_values := ', p.call_limit';
    end if;
    if has_window_kind then
        more_columns := more_columns || ', window_kind';
        more_values := more_values || ', p.window_kind';
    end if;
    if has_pool then
        more_columns := more_columns || ', is_pool, debt_limit';
        more_values := more_values || ', p.is_pool, p.debt_limit';
    end if;
    if carries then
        more_columns := more_columns || ', carry_unused_max, carry_debt';
        more_values := more_values || ', p.carry_unused_max, p.carry_debt';
    end if;

    -- The policies would refuse the rows, but not say why.
    if parents <> '{}' and not has_column_privilege('@extschema@.gov_entities'::regclass, 'parent_id', 'update') then
        raise exception using
            errcode = 'insufficient_privilege',
            message = 'permission denied for "parentId"',
            detail = format('Role "%s" may change budgets, and not where entities stand.', current_user),
            hint = 'Leave "parentId" out.';
    end if;
    if not has_function_privilege('@extschema@._gov_change_every_owner()'::regprocedure, 'execute') then
        perform @extschema@._gov_require_unlocked(owner, wanted);
    end if;

    if parents <> '{}' then
        perform @extschema@._gov_lock_hierarchy(
            owner,
            is_move => exists (
                select
                from jsonb_each_text(parents) p
                cross join lateral
                (
                    select x.parent_id
                    from @extschema@.gov_entities x
                    where x.owner_id = owner
                        and x.id = p.key
                    offset 0
                ) e
                where e.parent_id is distinct from p.value));
    end if;

    -- One statement, so that strict budgets are judged when entities have moved and limits are set. It names the table of
    -- entities only if something is to be moved, so that other callers need no right to change it. "offset 0" has each budget
    -- looked up; without it the planner might read all that the owner has, to join them.
    execute case when parents <> '{}' then $moved$
        with moved as
        (
            update @extschema@.gov_entities e
            set parent_id = p.value
            from jsonb_each_text($3) p
            where e.owner_id = $1
                and e.id = p.key
                and e.parent_id is distinct from p.value
        )
        $moved$ else '' end || $written$
        insert into @extschema@.gov_assignments as t
            (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence, anchor_at, timezone,
             enforcement, strict_allocation, locked, alert_thresholds$written$ || more_columns || $written$)
        select $1, p.entity_id, p.capability_id, p.scope_entity_ids, p.name, p.usage_limit, p.cadence, p.anchor_at, p.timezone,
            p.enforcement, p.strict_allocation, p.locked, p.alert_thresholds$written$ || more_values || $written$
        from jsonb_each($2) w
        left join lateral
        (
            select x as budget
            from @extschema@.gov_assignments x
            where x.owner_id = $1
                and x.entity_id = w.value ->> 'entityId'
                and x.capability_id = w.value ->> 'capabilityId'
                and x.scope_entity_ids = @extschema@._gov_texts(w.value -> 'scopeEntityIds')
                and x.name = w.value ->> 'name'
            offset 0
        ) s on true
        cross join lateral @extschema@._gov_patched(s.budget, w.value) p
        order by w.key collate "C"
        on conflict (owner_id, entity_id, capability_id, scope_entity_ids, name) do update
            set (usage_limit, cadence, anchor_at, timezone, enforcement, strict_allocation, locked, alert_thresholds$written$ || more_columns || $written$) = (
                select p.usage_limit, p.cadence, p.anchor_at, p.timezone, p.enforcement, p.strict_allocation, p.locked,
                    p.alert_thresholds$written$ || more_values || $written$
                from @extschema@._gov_patched(t, $2 -> @extschema@._gov_assignment_key(t.entity_id, t.capability_id, t.scope_entity_ids, t.name)) p)
            where t is distinct from
                @extschema@._gov_patched(t, $2 -> @extschema@._gov_assignment_key(t.entity_id, t.capability_id, t.scope_entity_ids, t.name))
        $written$
    using owner, wanted, parents;

    return (
        select jsonb_agg(@extschema@._gov_json(t.budget, t.parent_id) order by k.n)
        from unnest(keys) with ordinality k (key, n)
        cross join lateral (select wanted -> k.key as item) w
        cross join lateral
        (
            select x as budget, (
                    select e.parent_id
                    from @extschema@.gov_entities e
                    where e.owner_id = owner
                        and e.id = x.entity_id) as parent_id
            from @extschema@.gov_assignments x
            where x.owner_id = owner
                and x.entity_id = w.item ->> 'entityId'
                and x.capability_id = w.item ->> 'capabilityId'
                and x.scope_entity_ids = @extschema@._gov_texts(w.item -> 'scopeEntityIds')
                and x.name = w.item ->> 'name'
            offset 0
        ) t);
exception
    when check_violation or foreign_key_violation then
        get stacked diagnostics broken = constraint_name, failing_row = pg_exception_detail;
        perform @extschema@._gov_raise_broken_rule('@extschema@.gov_assignments'::regclass, broken, coalesce(nullif(failing_row, ''), sqlerrm));
        perform @extschema@._gov_raise_broken_rule('@extschema@.gov_entities'::regclass, broken, failing_row);
        raise;
    when cardinality_violation then
        perform @extschema@._gov_raise_seen_twice();
end
$$;

comment on function @extschema@.gov_upsert_assignments(text, jsonb) is
$$Creates budgets of an owner's entities and changes existing ones, which entity, capability, scope and name identify.

owner_id: one of the vendor's customers
assignments: an array of 1 to 100 objects, or {"assignments": [...]}, with the keys
    entityId (required), capabilityId or featureId or currencyId (required), scopeEntityIds (default []: everywhere),
    name (default ""), usageLimit (per window, in the capability's unit; null: no limit), callLimit (for one call, since 1.1.0; null,
    the default: as much as is left), cadence (such as "P1M"; null: never
    resets), windowKind ("calendar", the default, "first_use" or "sliding", since 1.1.0), anchorAt (ISO 8601; null: the calendar), timezone (default "UTC"), enforcement ("hard", the default, or "soft"),
    strictAllocation (default false; true: the children's limits may not add up to more), locked (default false),
    alertThresholds (per cent; null: the alert policy's), isPool (default false; true: what it may use is what gov_grant_credits
    grants; it has neither usageLimit nor cadence, and stays a pool; since 1.1.0), debtLimit (of a pool: how far consume and reserve
    may go past what is granted, default 0; since 1.1.0), carryUnusedMax (how much at most a window gets of what the one before has
    left unused of its own limit; null, the default: nothing; since 1.1.0), carryDebt (default false; true: what a window has used
    past its limit makes the next one's smaller; since 1.1.0), parentId (of the entity; null: a root); usageLimit and cadence are required on create; omitted keys keep their value
result: the stored budgets as an array in the order given, with id, parentId, createdAt and updatedAt
errors: GV003 the owner is frozen; 22004 null; 22023 malformed, unknown key, no item, a required key missing; 23503 unknown entity, capability, scope
    entity or parent; 42501 an owner that the session may not see or change, a locked budget or a parentId from a tenant; 23514 a cycle, limits past a strict budget; 54000 more than 100 items, more than 256 budgets per entity and capability, more than
    64 entities in a chain, more than a tenant may make; 55000 an entity with children would move$$;

create function @extschema@.gov_list_assignments
(
    owner_id text,
    after text default null,
    before text default null,
    page_size int default 20,
    entity_id text default null,
    capability_id text default null
)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@._gov_require_owner(owner_id);
    return @extschema@._gov_list(
        'assignments',
        $source$
            @extschema@.gov_assignments r
            where r.owner_id = $1
                and ($2 ->> 'entityId' is null or r.entity_id = $2 ->> 'entityId')
                and ($2 ->> 'capabilityId' is null or r.capability_id = $2 ->> 'capabilityId')
        $source$,
        '{r.entity_id, r.capability_id, r.scope_entity_ids, r.name}'::text[],
        '{a string, a string, an array of strings, a string}'::text[],
        '@extschema@._gov_json(r, (select e.parent_id from @extschema@.gov_entities e where e.owner_id = r.owner_id and e.id = r.entity_id))',
        owner_id,
        jsonb_build_object('entityId', entity_id, 'capabilityId', capability_id),
        after,
        before,
        page_size);
end
$$;

comment on function @extschema@.gov_list_assignments(text, text, text, int, text, text) is
$$A page of the budgets of an owner, by entity, capability, scope and name.

owner_id: one of the vendor's customers
after: the "next" of an earlier page; before: the "prev" of one, for the page preceding it; page_size: 1 to 100;
entity_id: only those of this entity; capability_id: only those of this capability
result: {"data": [...], "pagination": {"next": cursor or null, "prev": cursor or null}}
errors: 22004 null owner; 42501 an owner that the session may not see; 22023 page_size out of range, both cursors, not a cursor of this list$$;

/* Owners */

create function @extschema@.gov_delete_owner(owner_id text)
returns void
language c
as 'MODULE_PATHNAME', 'gov_delete_owner_1_0';

comment on function @extschema@.gov_delete_owner(text) is
$$Deletes everything of one owner, the ledger and the holds included. An owner without rows is no error. A row of gov_changes says
that it was deleted.

owner_id: one of the vendor's customers. A use or a hold whose transaction is still open at the call is not seen and
    stays: stop the owner's traffic first, or call again. A frozen owner stays frozen.
errors: 22004 null; 42501 another owner than governance.owner$$;

