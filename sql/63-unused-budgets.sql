-- What has been used of the budgets that entities have by defaults is in gov_used_assignments. These are the others: nobody has made a
-- row for them, so they are put together from the default and the entity, as load_defaults.c does it.

-- Each is looked up where some entities are asked for, and all are joined by hashing where all are, as in _gov_budgets_at().
create function @extschema@._gov_unused_budgets(owner text, at timestamptz, ids text[], capability_ids text[])
returns table
(
    entity_id text,
    capability_id text,
    scope_entity_ids text[],
    name text,
    usage_limit numeric,
    allocated numeric,
    cadence text,
    usage_period_start timestamptz,
    usage_period_end timestamptz,
    enforcement text,
    locked boolean,
    base_limit numeric,
    default_id uuid,
    carried numeric
)
language plpgsql
stable
rows 100
cost 1000
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_hashjoin = on
set enable_hashagg = on
set enable_nestloop = off
set enable_mergejoin = off
set enable_sort = off
set enable_seqscan = off
set jit = off
as $$
declare
    has_inherited constant boolean := exists (select from @extschema@.gov_default_counts n where n.owner_id = owner);
    has_boosts constant boolean := exists (select from @extschema@.gov_boosts b where b.owner_id = owner);
begin
    if not exists (
        select
        from @extschema@.gov_default_assignments d
        where (d.owner_id = owner or d.owner_id is null)
            and d.scope_type_ids = '{}'
            and (capability_ids is null or d.capability_id = any (capability_ids)))
    then
        return;
    end if;

    return query
    with inherited as materialized
    (
        select d.*
        from @extschema@.gov_default_assignments d
        where (d.owner_id = owner or d.owner_id is null)
            and d.scope_type_ids = '{}'
            and (capability_ids is null or d.capability_id = any (capability_ids))
            -- the owner's goes before everybody's
            and (d.owner_id is not null or not exists (
                select
                from @extschema@.gov_default_assignments o
                where o.owner_id = owner
                    and o.type_id = d.type_id
                    and o.capability_id = d.capability_id
                    and o.scope_type_ids = d.scope_type_ids
                    and o.name = d.name))
    ),
    entity as materialized
    (
        select e.id, e.type_id, e.metadata, e.created_at
        from @extschema@.gov_entities e
        where ids is null
            and e.owner_id = owner
            and e.archived_at is null
            and exists (select from inherited d where d.type_id = e.type_id)
        union all
        select e.*
        from unnest(ids) i (id)
        cross join lateral
        (
            select x.id, x.type_id, x.metadata, x.created_at
            from @extschema@.gov_entities x
            where x.owner_id = owner
                and x.id = i.id
                and x.archived_at is null
            offset 0
        ) e
        where exists (select from inherited d where d.type_id = e.type_id)
    ),
    -- Assignments in the place of inherited budgets, and those that are used.
    taken as
    (
        select a.entity_id, a.capability_id, a.name
        from @extschema@.gov_used_assignments a
        where ids is null
            and a.owner_id = owner
            and a.scope_entity_ids = '{}'
            and (a.source = 'own' or has_inherited)
        union all
        select a.*
        from unnest(ids) i (id)
        cross join lateral
        (
            select x.entity_id, x.capability_id, x.name
            from @extschema@.gov_used_assignments x
            where x.owner_id = owner
                and x.entity_id = i.id
                and x.scope_entity_ids = '{}'
                and (x.source = 'own' or has_inherited)
            offset 0
        ) a
    ),
    budget as materialized
    (
        select
            e.id as entity_id,
            greatest(e.created_at, d.created_at, d.carry_from) as made_at,
            d.*,
            coalesce(case
                when d.anchor_from is null then d.anchor_at
                when d.anchor_from = 'created_at' then
                    @extschema@._gov_anchor(to_char(e.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), d.cadence, d.timezone, at)
                else @extschema@._gov_anchor(e.metadata ->> d.anchor_from, d.cadence, d.timezone, at)
            end, '-infinity') as anchor
        from entity e
        join inherited d on d.type_id = e.type_id
        where not exists (
            select
            from taken t
            where t.entity_id = e.id
                and t.capability_id = d.capability_id
                and t.name = d.name)
    ),
    turn as materialized
    (
        select x.default_id, x.anchor, coalesce(w.window_start, s.window_start) as window_start, w.window_end
        from (select b.id as default_id, b.cadence, b.anchor, b.timezone, b.window_kind from budget b group by 1, 2, 3, 4, 5) x
        cross join lateral @extschema@.gov_window(case when x.window_kind = 'calendar' then x.cadence end, nullif(x.anchor, '-infinity'), x.timezone, at) w
        cross join lateral @extschema@._gov_sliding_window(case when x.window_kind = 'sliding' then x.cadence end, at) s
    ),
    boosted as
    (
        select
            x.entity_id,
            x.capability_id,
            x.name,
            sum(x.amount) as amount
        from @extschema@.gov_boosts x
        where has_boosts
            and x.owner_id = owner
            and x.scope_entity_ids = '{}'
            and x.valid_from <= at
            and (x.valid_until > at) is not false
        group by x.entity_id, x.capability_id, x.name
    ),
    -- What children are given; a default gives nothing.
    given as
    (
        select
            e.parent_id,
            b.capability_id,
            coalesce(b.cadence, '') as cadence,
            sum(b.usage_limit) as amount
        from @extschema@.gov_assignments b
        join @extschema@.gov_entities e on e.owner_id = owner and e.id = b.entity_id
        where ids is null
            and b.owner_id = owner
            and b.scope_entity_ids = '{}'
            and b.name = ''
            and e.archived_at is null
        group by e.parent_id, b.capability_id, coalesce(b.cadence, '')
        union all
        select
            i.id as parent_id,
            b.capability_id,
            coalesce(b.cadence, '') as cadence,
            sum(b.usage_limit) as amount
        from entity i
        cross join lateral
        (
            select x.id
            from @extschema@.gov_entities x
            where x.owner_id = owner
                and x.parent_id = i.id
                and x.archived_at is null
            offset 0
        ) e
        cross join lateral
        (
            select x.capability_id, x.cadence, x.usage_limit
            from @extschema@.gov_assignments x
            where x.owner_id = owner
                and x.entity_id = e.id
                and x.scope_entity_ids = '{}'
                and x.name = ''
            offset 0
        ) b
        where ids is not null
        group by i.id, b.capability_id, coalesce(b.cadence, '')
    )
    select
        b.entity_id,
        b.capability_id,
        '{}'::text[],
        b.name,
        case
            when x.amount is null and y.carried is null or b.usage_limit is null then b.usage_limit
            else trim_scale(greatest(b.usage_limit + coalesce(x.amount, 0) + coalesce(y.carried, 0), 0))
        end,
        trim_scale(coalesce(g.amount, 0)),
        b.cadence,
        w.window_start,
        w.window_end,
        b.enforcement,
        b.locked,
        b.usage_limit,
        b.id,
        y.carried
    from budget b
    join turn w on w.default_id = b.id and w.anchor = b.anchor
    cross join lateral
    (
        -- Nothing was used of any window, so the one before carries its whole limit, as far as it may.
        select case
            when b.carry_unused_max is null and not b.carry_debt then null
            when b.made_at >= w.window_start then 0
            else trim_scale(coalesce(least(
                coalesce(b.carry_unused_max, 0),
                @extschema@._gov_limit_before(coalesce(b.owner_id, ''), b.id, w.window_start, b.usage_limit)), 0))
        end as carried
    ) y
    left join boosted x
        on x.entity_id = b.entity_id
        and x.capability_id = b.capability_id
        and x.name = b.name
    left join given g
        on g.parent_id = b.entity_id
        and g.capability_id = b.capability_id
        and g.cadence = coalesce(b.cadence, '');
end
$$;

comment on function @extschema@._gov_unused_budgets(text, timestamptz, text[], text[]) is
    'internal: the budgets that entities of an owner, all (null) or some, have by defaults and have not used; of some capabilities, or all (null)';

create function @extschema@._gov_shown_budgets(owner text, at timestamptz, ids text[], capability_ids text[])
returns table
(
    entity_id text,
    capability_id text,
    scope_entity_ids text[],
    name text,
    usage_limit numeric,
    current_usage numeric,
    reserved_usage numeric,
    remaining numeric,
    allocated numeric,
    utilization numeric,
    cadence text,
    usage_period_start timestamptz,
    usage_period_end timestamptz,
    enforcement text,
    locked boolean,
    base_limit numeric,
    source text,
    default_id uuid,
    carried numeric
)
language plpgsql
stable
rows 100
cost 1000
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select
        b.entity_id,
        b.capability_id,
        b.scope_entity_ids,
        b.name,
        b.usage_limit,
        b.current_usage,
        b.reserved_usage,
        b.remaining,
        b.allocated,
        b.utilization,
        b.cadence,
        b.usage_period_start,
        b.usage_period_end,
        b.enforcement,
        b.locked,
        b.base_limit,
        b.source,
        b.default_id,
        b.carried
    from @extschema@._gov_budgets_at(owner, at, ids) b
    where capability_ids is null
        or b.capability_id = any (capability_ids);

    return query
    select
        b.entity_id,
        b.capability_id,
        b.scope_entity_ids,
        b.name,
        b.usage_limit,
        0::numeric,
        0::numeric,
        b.usage_limit,
        b.allocated,
        case b.usage_limit when 0 then 1::numeric else 0 * b.usage_limit end,
        b.cadence,
        b.usage_period_start,
        b.usage_period_end,
        b.enforcement,
        b.locked,
        b.base_limit,
        'default',
        b.default_id,
        b.carried
    from @extschema@._gov_unused_budgets(owner, at, ids, capability_ids) b;
end
$$;

comment on function @extschema@._gov_shown_budgets(text, timestamptz, text[], text[]) is
    'internal: what gov_tree and gov_report show: the budgets of an owner or of some of its entities, with those by defaults that were not used';
