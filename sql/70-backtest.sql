/* ---------------------------------------------------------------------------------------------------------------- */
/* Backtest (src/pure/backtest.c, src/api_backtest.c)                                                               */
/* ---------------------------------------------------------------------------------------------------------------- */

-- Only the constraints of a table say what a column may hold; here they judge rows that are not stored.
create function @extschema@._gov_require_checked(relation regclass, proposed anyarray)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    broken text;
    expression text;
    failing text;
begin
    select b ->> 'timezone'
    into failing
    from jsonb_array_elements(to_jsonb(proposed)) b
    where not @extschema@.gov_is_timezone(b ->> 'timezone')
    limit 1;
    if found then
        perform @extschema@._gov_raise_broken_rule(
            relation,
            (select r.relname || '_timezone_check' from pg_class r where r.oid = relation),
            format('time zone "%s" is not recognized', left(failing, 200)));
    end if;

    for broken, expression in
        select c.conname, pg_get_expr(c.conbin, c.conrelid)
        from pg_constraint c
        where c.conrelid = relation and c.contype = 'c'
        order by c.conname collate "C"
    loop
        execute format('select b::text from unnest($1) b where not (%s) limit 1', expression)
        into failing
        using proposed;
        if failing is not null then
            perform @extschema@._gov_raise_broken_rule(relation, broken, format('Failing row contains %s.', left(failing, 200)));
        end if;
    end loop;
end
$$;

comment on function @extschema@._gov_require_checked(regclass, anyarray) is
    'internal: refuses rows that a table would refuse for what they hold (22023)';

create function @extschema@._gov_require_storable(owner text, budgets @extschema@.gov_assignments[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    missing text;
begin
    perform @extschema@._gov_require_checked('@extschema@.gov_assignments'::regclass, budgets);

    select b.entity_id
    into missing
    from unnest(budgets) b
    where not exists (select from @extschema@.gov_entities e where e.owner_id = owner and e.id = b.entity_id)
    limit 1;
    if found then
        perform @extschema@._gov_raise_broken_rule('@extschema@.gov_assignments'::regclass, 'gov_assignments_entity_id_fkey',
            format('Key (owner_id, entity_id)=(%s, %s) is not present in table "gov_entities".', left(owner, 200), left(missing, 200)));
    end if;

    select b.capability_id
    into missing
    from unnest(budgets) b
    where not exists (select from @extschema@.gov_capabilities c where c.id = b.capability_id)
    limit 1;
    if found then
        perform @extschema@._gov_raise_broken_rule('@extschema@.gov_assignments'::regclass, 'gov_assignments_capability_id_fkey',
            format('Key (capability_id)=(%s) is not present in table "gov_capabilities".', left(missing, 200)));
    end if;

    select s.id
    into missing
    from unnest(budgets) b
    cross join lateral unnest(b.scope_entity_ids) s (id)
    where not exists (select from @extschema@.gov_entities e where e.owner_id = owner and e.id = s.id)
    limit 1;
    if found then
        raise exception using
            errcode = 'foreign_key_violation',
            message = format('scope entity "%s" does not exist', left(missing, 200)),
            detail = format('Owner "%s" has no such entity.', left(owner, 200)),
            hint = 'A scope names entities of the same owner.',
            table = 'gov_assignments',
            constraint = 'gov_assignments_scope_entity_ids_fkey';
    end if;
end
$$;

comment on function @extschema@._gov_require_storable(text, @extschema@.gov_assignments[]) is
    'internal: refuses budgets that an upsert would refuse for what they hold (22023) or refer to (23503)';

create function @extschema@._gov_proposed(owner text, payload jsonb)
returns @extschema@.gov_assignments[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    -- Budgets that stack must be tried together, so all that a large customer has fit into one call.
    max_items constant int := 10000;
    budgets @extschema@.gov_assignments[];
    incomplete int;
begin
    -- Apart, so that the context of an error is short.
    perform i.n from @extschema@._gov_assignment_items(payload, max_items) i;

    with wanted as
    (
        select
            i.key,
            min(i.n) as n,
            jsonb_object_agg(v.key, v.value order by i.n) as item,
            (array_agg(i.item ?& '{usageLimit, cadence}' or (i.item ->> 'isPool')::boolean is true order by i.n))[1] as is_complete
        from @extschema@._gov_assignment_items(payload, max_items) i
        cross join lateral jsonb_each(i.item) v
        group by i.key
    )
    select
        array_agg(p order by p.entity_id, p.capability_id, cardinality(p.scope_entity_ids), p.scope_entity_ids, p.name),
        min(w.n) filter (where s.id is null and not w.is_complete)
    into budgets, incomplete
    from wanted w
    left join @extschema@.gov_assignments s
        on s.owner_id = owner
        and s.entity_id = w.item ->> 'entityId'
        and s.capability_id = w.item ->> 'capabilityId'
        and s.scope_entity_ids = @extschema@._gov_texts(w.item -> 'scopeEntityIds')
        and s.name = w.item ->> 'name'
    cross join lateral @extschema@._gov_patched(s, w.item) p;

    if incomplete is not null then
        perform @extschema@._gov_refuse_incomplete(i.item, i.n)
        from @extschema@._gov_assignment_items(payload, max_items) i
        where i.n = incomplete;
    end if;
    perform @extschema@._gov_require_storable(owner, budgets);
    return budgets;
end
$$;

comment on function @extschema@._gov_proposed(text, jsonb) is
    'internal: the budgets that gov_upsert_assignments would store, in natural order, without storing them (22004, 22023, 23503, 54000)';

-- An upsert knows no grants.
create function @extschema@._gov_without_grants(payload jsonb)
returns jsonb
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select case jsonb_typeof(payload)
        when 'array' then (
            select coalesce(jsonb_agg(case when jsonb_typeof(i.item) = 'object' then i.item - 'grants' else i.item end order by i.n), '[]')
            from jsonb_array_elements(payload) with ordinality i (item, n))
        when 'object' then case
            when jsonb_typeof(payload -> 'assignments') = 'array'
            then payload || jsonb_build_object('assignments', @extschema@._gov_without_grants(payload -> 'assignments'))
            else payload
        end
        else payload
    end
$$;

comment on function @extschema@._gov_without_grants(jsonb) is 'internal: what is proposed to gov_backtest, as gov_upsert_assignments takes it';

create function @extschema@._gov_given_grants(payload jsonb)
returns table (key text, grants jsonb)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select distinct on (i.key) i.key, o.item -> 'grants'
    from jsonb_array_elements(case jsonb_typeof(payload) when 'array' then payload else payload -> 'assignments' end) with ordinality o (item, n)
    join @extschema@._gov_assignment_items(@extschema@._gov_without_grants(payload), 10000) i on i.n = o.n
    where o.item ? 'grants'
    order by i.key, o.n desc
$$;

comment on function @extschema@._gov_given_grants(jsonb) is 'internal: the grants that are proposed to gov_backtest, by the natural key of their pool';

create function @extschema@._gov_read_grants(owner text, given jsonb)
returns @extschema@.gov_grants[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    forms constant jsonb := '{
        "amount": "a number",
        "priority": "a number",
        "effectiveAt": "a string or null",
        "expiresAt": "a string or null",
        "category": "a string or null",
        "reference": "a string or null"}';
    grants @extschema@.gov_grants[];
begin
    if given = '[]' then
        return '{}';
    end if;
    select array_agg(jsonb_populate_record(null::@extschema@.gov_grants, jsonb_build_object(
        'owner_id', owner,
        'amount', round((i.item ->> 'amount')::numeric, 9),
        'priority', coalesce(round((i.item ->> 'priority')::numeric), 100),
        'effective_at', @extschema@._gov_time(i.item, i.n, 'effectiveAt'),
        'expires_at', @extschema@._gov_time(i.item, i.n, 'expiresAt'),
        'category', i.item -> 'category',
        'reference', i.item -> 'reference')) order by i.n)
    into grants
    from @extschema@._gov_items(given, 'grants', forms, 10000) i;
    if exists (select from unnest(grants) g where g.amount is null) then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = '"amount" is missing in a proposed grant',
            hint = 'Write "grants": [{"amount": 100}].';
    end if;
    perform @extschema@._gov_require_checked('@extschema@.gov_grants'::regclass, grants);
    return grants;
end
$$;

comment on function @extschema@._gov_read_grants(text, jsonb) is 'internal: the grants of one pool that are proposed to gov_backtest (22023)';

create function @extschema@._gov_proposed_grants(owner text, payload jsonb, budgets @extschema@.gov_assignments[], from_time timestamptz)
returns table (n int, place bigint, amount numeric, effective_at timestamptz, ends_at timestamptz)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if payload is null or payload in ('[]', '{}') then
        return;
    end if;
    perform
    from @extschema@._gov_given_grants(payload) g
    join unnest(budgets) b on g.key = @extschema@._gov_assignment_key(b.entity_id, b.capability_id, b.scope_entity_ids, b.name)
    where not b.is_pool;
    if found then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = '"grants" are for pools',
            hint = 'Give the budget "isPool": true, without "usageLimit" and "cadence".';
    end if;

    return query
    select
        b.ordinality::int,
        row_number() over (partition by b.ordinality order by g.priority, coalesce(g.expires_at, 'infinity'), coalesce(g.effective_at, from_time), g.last),
        g.amount,
        coalesce(g.effective_at, from_time),
        coalesce(least(g.expires_at, g.voided_at), 'infinity')
    from unnest(budgets) with ordinality b
    left join @extschema@._gov_given_grants(payload) p
        on p.key = @extschema@._gov_assignment_key(b.entity_id, b.capability_id, b.scope_entity_ids, b.name)
    cross join lateral
    (
        select i.amount, i.priority, i.effective_at, i.expires_at, i.voided_at, lpad(i.ordinality::text, 10, '0') as last
        from unnest(@extschema@._gov_read_grants(owner, p.grants)) with ordinality i
        where p.grants is not null
        union all
        select s.amount, s.priority, s.effective_at, s.expires_at, s.voided_at, s.id::text
        from @extschema@.gov_grants s
        where p.grants is null
            and s.owner_id = owner
            and s.assignment_id = b.id
    ) g
    where b.is_pool;
end
$$;

comment on function @extschema@._gov_proposed_grants(text, jsonb, @extschema@.gov_assignments[], timestamptz) is
    'internal: the grants of the pools among proposed budgets, those proposed or else those stored; n is a budget''s place, place that of the grant in the order in which uses draw (22023)';

-- The defaults that gov_upsert_default_assignments would store.
create function @extschema@._gov_proposed_defaults(owner text, payload jsonb)
returns @extschema@.gov_default_assignments[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    max_items constant int := 100;
    proposed @extschema@.gov_default_assignments[];
    missing text;
begin
    select array_agg(p order by p.type_id, p.capability_id, p.scope_type_ids, p.name)
    into proposed
    from @extschema@._gov_wanted_defaults(owner, payload, max_items) w
    cross join lateral jsonb_each(w.wanted) i
    cross join lateral @extschema@._gov_patched(@extschema@._gov_default(owner, i.value), i.value) p;
    perform @extschema@._gov_require_checked('@extschema@.gov_default_assignments'::regclass, proposed);

    select d.type_id
    into missing
    from unnest(proposed) d
    where not exists (select from @extschema@.gov_entity_types t where t.id = d.type_id)
    limit 1;
    if found then
        perform @extschema@._gov_raise_broken_rule('@extschema@.gov_default_assignments'::regclass, 'gov_default_assignments_type_id_fkey',
            format('Key (type_id)=(%s) is not present in table "gov_entity_types".', left(missing, 200)));
    end if;

    select s.id
    into missing
    from unnest(proposed) d
    cross join lateral unnest(d.scope_type_ids) s (id)
    where not exists (select from @extschema@.gov_entity_types t where t.id = s.id)
    limit 1;
    if found then
        raise exception using
            errcode = 'foreign_key_violation',
            message = format('scope type "%s" does not exist', left(missing, 200)),
            hint = 'Create it with gov_upsert_entity_types.',
            table = 'gov_default_assignments',
            constraint = 'gov_default_assignments_scope_type_ids_fkey';
    end if;

    select d.capability_id
    into missing
    from unnest(proposed) d
    where not exists (select from @extschema@.gov_capabilities c where c.id = d.capability_id)
    limit 1;
    if found then
        perform @extschema@._gov_raise_broken_rule('@extschema@.gov_default_assignments'::regclass, 'gov_default_assignments_capability_id_fkey',
            format('Key (capability_id)=(%s) is not present in table "gov_capabilities".', left(missing, 200)));
    end if;
    return proposed;
end
$$;

comment on function @extschema@._gov_proposed_defaults(text, jsonb) is
    'internal: the defaults that gov_upsert_default_assignments would store, without storing them (22004, 22023, 23503, 54000)';

-- An id that is no entity is told from one that is by what comes before it: ids contain no control characters.
create function @extschema@._gov_unknown_entity(type_id text, id text)
returns text
language sql
immutable
parallel safe
return chr(1) || type_id || chr(1) || id;

comment on function @extschema@._gov_unknown_entity(text, text) is 'internal: how the replay names an id that a dimension of a type had and that is no entity';

-- The budgets that proposed defaults give to whoever is in the ledger between two times; of those who are not there is nothing to say.
create function @extschema@._gov_proposed_by_defaults
(
    owner text,
    defaults @extschema@.gov_default_assignments[],
    assignments @extschema@.gov_assignments[],
    from_time timestamptz,
    to_time timestamptz
)
returns @extschema@.gov_assignments[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive proposal as materialized
    (
        select d.*, d.ordinality as n
        from unnest(defaults) with ordinality d
    ),
    dimension as materialized
    (
        select t.id as type_id, k.key
        from @extschema@.gov_entity_types t
        cross join lateral unnest(t.attribution_keys) k (key)
        where t.id = any (array(select p.type_id from proposal p))
    ),
    -- What the uses named: their entities, and ids that dimensions say and that are none.
    named as materialized
    (
        select row_number() over () as n, x.*
        from (
            select e.capability_id, e.entity_ids, u.ids as unknown
            from @extschema@.gov_events e
            cross join lateral
            (
                select array_agg(array[k.type_id, v.value] order by k.type_id, v.value) as ids
                from jsonb_each_text(e.dimensions) v
                join dimension k on k.key = v.key
                where length(v.value) between 1 and 255
                    and v.value !~ '[\u0001-\u001f\u007f]'
            ) u
            where e.owner_id = owner
                and e.capability_id = any (array(select p.capability_id from proposal p))
                and e.occurred_at >= from_time
                and e.occurred_at < to_time
            group by e.capability_id, e.entity_ids, u.ids
        ) x
    ),
    entity as materialized
    (
        select m.n, m.capability_id, e.type_id, e.id, e.id as key, e.metadata, e.created_at
        from named m
        cross join lateral unnest(m.entity_ids) u (id)
        join @extschema@.gov_entities e on e.owner_id = owner and e.id = u.id
        union all
        select m.n, m.capability_id, m.unknown[i][1] collate "C", m.unknown[i][2] collate "C",
            @extschema@._gov_unknown_entity(m.unknown[i][1], m.unknown[i][2]) collate "C", null, null
        from named m
        cross join lateral generate_subscripts(m.unknown, 1) i
        where not exists (
            select
            from @extschema@.gov_entities e
            where e.owner_id = owner
                and e.id = m.unknown[i][2])
    ),
    -- Each with the entities of the scope's types that it was named with, one of each.
    met (use_n, n, id, key, metadata, created_at, scope) as
    (
        select e.n, p.n, e.id, e.key, e.metadata, e.created_at, '{}'::text[] collate "C"
        from proposal p
        join entity e on e.type_id = p.type_id and e.capability_id = p.capability_id
        union all
        select m.use_n, m.n, m.id, m.key, m.metadata, m.created_at, m.scope || e.id
        from met m
        join proposal p on p.n = m.n
        join entity e on e.n = m.use_n and e.type_id = p.scope_type_ids[cardinality(m.scope) + 1] and e.key = e.id and e.id <> m.id
    ),
    budget as
    (
        select p.n, m.id, m.key, @extschema@._gov_sorted(m.scope) as scope, m.metadata, m.created_at
        from met m
        join proposal p on p.n = m.n and cardinality(p.scope_type_ids) = cardinality(m.scope)
        group by 1, 2, 3, 4, 5, 6
    )
    select array_agg(jsonb_populate_record(null::@extschema@.gov_assignments, to_jsonb(p) || jsonb_build_object(
        'entity_id', b.key,
        'scope_entity_ids', b.scope,
        'anchor_at', case
            when p.anchor_from is null then p.anchor_at
            when p.anchor_from = 'created_at' then b.created_at
            else @extschema@._gov_anchor(b.metadata ->> p.anchor_from, p.cadence, p.timezone, from_time)
        end)))
    from budget b
    join proposal p on p.n = b.n
    where not exists (
            select
            from @extschema@.gov_assignments a
            where a.owner_id = owner
                and a.entity_id = b.id
                and a.capability_id = p.capability_id
                and a.scope_entity_ids = b.scope
                and a.name = p.name)
        and not exists (
            select
            from unnest(assignments) a
            where a.entity_id = b.id
                and a.capability_id = p.capability_id
                and a.scope_entity_ids = b.scope
                and a.name = p.name)
$$;

comment on function @extschema@._gov_proposed_by_defaults(text, @extschema@.gov_default_assignments[], @extschema@.gov_assignments[], timestamptz, timestamptz) is
    'internal: the budgets that proposed defaults give to entities in a part of the ledger, and to ids that are no entities, where no assignment, stored or proposed, is in their place';

create function @extschema@._gov_replay
(
    owner_id text,
    budgets @extschema@.gov_assignments[],
    suspended_from timestamptz[],
    from_time timestamptz,
    to_time timestamptz,
    step_budgets int[],
    step_times timestamptz[],
    step_limits numeric[],
    dimension_keys text[],
    type_ids text[],
    grant_budgets int[] default '{}',
    grant_amounts numeric[] default '{}',
    grant_times timestamptz[] default '{}',
    grant_ends timestamptz[] default '{}',
    out n int,
    out denied_count bigint,
    out denied_amount numeric,
    out first_denied_at timestamptz
)
returns setof record
language c
stable
strict
as 'MODULE_PATHNAME', 'gov_replay_1_1';

comment on function @extschema@._gov_replay(text, @extschema@.gov_assignments[], timestamptz[], timestamptz, timestamptz, int[], timestamptz[], numeric[], text[], text[], int[], numeric[], timestamptz[], timestamptz[]) is
    'internal: what budgets would have denied of an owner''s ledger between two times; n is a budget''s place, suspended_from from when on each has no say, steps are the limits that some had from a time on, a value of a dimension that is one of the keys counts as an unknown entity of the type as well, grants are those of pools in the order in which uses draw (22003, 22008, 22023, 42501)';

create function @extschema@.gov_backtest
(
    owner_id text,
    assignments jsonb,
    from_time timestamptz,
    to_time timestamptz
)
returns table
(
    entity_id text,
    capability_id text,
    scope_entity_ids text[],
    name text,
    denied_count bigint,
    denied_amount numeric,
    first_denied_at timestamptz
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    owner constant text := $1;
    missing constant text := case when $3 is null then 'from_time' when $4 is null then 'to_time' end;
    -- An object of an array that has a type is a default.
    proposed_defaults constant jsonb := case jsonb_typeof($2)
        when 'array' then (
            select coalesce(jsonb_agg(i.item order by i.n), '[]')
            from jsonb_array_elements($2) with ordinality i (item, n)
            where jsonb_typeof(i.item) = 'object' and i.item ? 'typeId')
        when 'object' then $2 -> 'defaults'
    end;
    proposed_assignments constant jsonb := case jsonb_typeof($2)
        when 'array' then (
            select coalesce(jsonb_agg(i.item order by i.n), '[]')
            from jsonb_array_elements($2) with ordinality i (item, n)
            where jsonb_typeof(i.item) <> 'object' or not i.item ? 'typeId')
        when 'object' then $2 - 'defaults'
        else $2
    end;
    budgets @extschema@.gov_assignments[];
    defaults @extschema@.gov_default_assignments[];
    by_default @extschema@.gov_assignments[] := '{}';
    dimension_keys text[];
    dimension_types text[];
    suspended_from timestamptz[];
    step_budgets int[];
    step_times timestamptz[];
    step_limits numeric[];
    grant_budgets int[];
    grant_amounts numeric[];
    grant_times timestamptz[];
    grant_ends timestamptz[];
begin
    perform @extschema@._gov_require_owner(owner);
    if missing is not null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = format('argument "%s" must not be null', missing),
            hint = 'Write a point in time, or -infinity and infinity for the whole ledger.';
    end if;

    if proposed_defaults is null or proposed_defaults = '[]' or proposed_assignments not in ('[]', '{}') then
        budgets := @extschema@._gov_proposed(owner, @extschema@._gov_without_grants(proposed_assignments));
    end if;
    if proposed_defaults <> '[]' or jsonb_typeof($2) = 'object' and proposed_defaults is not null then
        defaults := @extschema@._gov_proposed_defaults(owner, proposed_defaults);
        by_default := coalesce(@extschema@._gov_proposed_by_defaults(owner, defaults, budgets, $3, $4), '{}');
        budgets := array(
            select b
            from unnest(budgets || by_default) b
            order by b.entity_id, b.capability_id, cardinality(b.scope_entity_ids), b.scope_entity_ids, b.name);
    end if;
    select coalesce(array_agg(k.key), '{}'), coalesce(array_agg(t.id), '{}')
    into dimension_keys, dimension_types
    from @extschema@.gov_entity_types t
    cross join lateral unnest(t.attribution_keys) k (key)
    where t.id = any (array(select d.type_id from unnest(defaults) d));
    suspended_from := array(
        select e.archived_at
        from unnest(budgets) with ordinality b
        left join @extschema@.gov_entities e on e.owner_id = owner and e.id = b.entity_id
        order by b.ordinality);

    -- The boosts that a budget has had are tried with it where its limit is the one that it has now.
    select coalesce(array_agg(s.n order by s.n, s.moment), '{}'),
        coalesce(array_agg(s.moment order by s.n, s.moment), '{}'),
        coalesce(array_agg(greatest(s.usage_limit + s.added, 0) order by s.n, s.moment), '{}')
    into step_budgets, step_times, step_limits
    from (
        select b.ordinality::int as n, m.moment, b.usage_limit, sum(sum(m.added)) over (partition by b.ordinality order by m.moment) as added
        from unnest(budgets) with ordinality b
        join @extschema@.gov_assignments a
            on a.owner_id = owner
            and a.entity_id = b.entity_id
            and a.capability_id = b.capability_id
            and a.scope_entity_ids = b.scope_entity_ids
            and a.name = b.name
            and a.usage_limit = b.usage_limit
        join @extschema@.gov_boosts x
            on x.owner_id = owner
            and x.entity_id = b.entity_id
            and x.capability_id = b.capability_id
            and x.scope_entity_ids = b.scope_entity_ids
            and x.name = b.name
        cross join lateral (values (x.valid_from, x.amount), (x.valid_until, - x.amount)) m (moment, added)
        where m.moment is not null
        group by b.ordinality, b.usage_limit, m.moment) s;

    select coalesce(array_agg(g.n order by g.n, g.place), '{}'),
        coalesce(array_agg(g.amount order by g.n, g.place), '{}'),
        coalesce(array_agg(g.effective_at order by g.n, g.place), '{}'),
        coalesce(array_agg(g.ends_at order by g.n, g.place), '{}')
    into grant_budgets, grant_amounts, grant_times, grant_ends
    from @extschema@._gov_proposed_grants(owner, proposed_assignments, budgets, $3) g;

    return query
    select e.id, b.capability_id, b.scope_entity_ids, b.name, r.denied_count, r.denied_amount, r.first_denied_at
    from @extschema@._gov_replay(
        owner, coalesce(budgets, '{}'), suspended_from, $3, $4, step_budgets, step_times, step_limits, dimension_keys, dimension_types,
        grant_budgets, grant_amounts, grant_times, grant_ends) r
    join unnest(budgets) with ordinality b on b.ordinality = r.n
    cross join lateral (select case when b.entity_id like chr(1) || '%' then split_part(b.entity_id, chr(1), 3) else b.entity_id end as id) e
    -- of a default those whom it would have denied something
    where r.denied_count > 0
        or (b.entity_id, b.capability_id, b.scope_entity_ids, b.name) not in (
            select d.entity_id, d.capability_id, d.scope_entity_ids, d.name
            from unnest(by_default) d)
    order by e.id collate "C", b.capability_id collate "C", cardinality(b.scope_entity_ids), b.scope_entity_ids collate "C", b.name collate "C";
end
$$;

comment on function @extschema@.gov_backtest(text, jsonb, timestamptz, timestamptz) is
$$What budgets would have denied: replays an owner's ledger, by occurred_at and id, against proposed budgets. Changes nothing.

owner_id: one of the vendor's customers; assignments: what one would give gov_upsert_assignments, but up to 10,000 objects: the
    budgets that it would store are tried, and no others; a pool with what was granted to it, or with the "grants" that its object has,
    [{"amount", "priority", "effectiveAt" (default from_time), "expiresAt"}]; locked, alertThresholds, strictAllocation and parentId make no difference.
    Since 1.1.0 an object with typeId in the place of entityId is a default, as one would give gov_upsert_default_assignments (at most
    100; {"defaults": [...]} is taken too): it is tried on every entity of the type that has no assignment in its place, stored or
    proposed, and on every id that a dimension with an attribution key of the type had and that is no entity;
    from_time, to_time: by occurred_at, from_time included, to_time not
result: a row per budget, of defaults only for those whom they would have denied something; by entity, capability, scope size, scope
    and name; denied_count, denied_amount: the uses that it would
    have denied, and their sum in the capability's unit; first_denied_at: the occurred_at of the first, null without any. A use that
    any budget denies is counted by none, and denied by each that lacks room for it; so are, since 1.1.0, the uses that one call
    has recorded of several capabilities: all of them are one decision, of those capabilities that budgets are proposed for. A
    correction (a negative amount) is counted and never denied, unless it is a part of such a call; a reversal, and a correction
    that gov_reprice has named, come right after their use, which is judged by what it was first charged, and count nothing if that was denied. A
    pool draws by occurred_at, from the grants that are live then, and goes into debt as far as its debtLimit says. An
    assignment that is stored with the same limit has the boosts that it had at the time of a use; blocks make no difference. Usage
    starts at 0 at from_time; an archived entity's budgets do not count from its archiving on
errors: 22004 null argument; 22023 and 23503 as of the functions that would store them; 54000 more than 10,000 objects; 42501 an owner that the
    session may not see; 22003 a sum out of range; 22008 a window out of range$$;

