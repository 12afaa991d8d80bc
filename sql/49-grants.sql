/* Grants: what pools may use */

create function @extschema@.gov_grant_credits
(
    owner_id text,
    entity_id text,
    capability_id text,
    amount numeric,
    expires_at timestamptz default null,
    reference text default null,
    priority integer default 100,
    effective_at timestamptz default null,
    category text default null,
    name text default '',
    scope_entity_ids text[] default '{}'
)
returns uuid
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    budget constant @extschema@.gov_assignments := @extschema@._gov_require_budget($1, $2, $3, $10, $11);
    begins constant timestamptz := coalesce($8, @extschema@.gov_now());
    ends constant timestamptz := nullif($5, 'infinity');
    wrong text;
    made uuid;
    same boolean;
begin
    if amount is null or priority is null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = format('argument "%s" must not be null', case when amount is null then 'amount' else 'priority' end),
            hint = 'Leave priority out for one of 100.';
    end if;
    if budget.is_pool is not true then
        raise exception using
            errcode = 'check_violation',
            message = format('the budget of entity "%s" for capability "%s" is no pool', left($2, 200), left($3, 200)),
            hint = 'Make it one with gov_upsert_assignments: "isPool": true, without limit and cadence.';
    end if;
    if not isfinite(begins) then
        wrong := 'argument "effective_at" must be a finite time';
    elsif ends <= begins then
        wrong := 'argument "expires_at" must be after "effective_at"';
    elsif not (round(amount, 9) > 0 and amount < 1000000000000000000) then
        wrong := 'argument "amount" must be a number of more than 0 with at most 18 digits before the point';
    elsif reference = '' or length(reference) > 255 or reference ~ '[\u0001-\u001f\u007f]' then
        wrong := 'argument "reference" must have 1 to 255 characters, no control characters among them';
    elsif category = '' or length(category) > 255 or category ~ '[\u0001-\u001f\u007f]' then
        wrong := 'argument "category" must have 1 to 255 characters, no control characters among them';
    end if;
    if wrong is not null then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = wrong,
            hint = 'Without "expires_at" a grant does not expire; without "reference" a repeated call grants again.';
    end if;

    insert into @extschema@.gov_grants as g (owner_id, assignment_id, amount, priority, effective_at, expires_at, category, reference)
    values (budget.owner_id, budget.id, $4, $7, begins, ends, $9, $6)
    on conflict on constraint gov_grants_reference_key do nothing
    returning g.id into made;
    if made is not null then
        return made;
    end if;

    select g.id, g.assignment_id = budget.id and g.amount = round($4, 9)
    into made, same
    from @extschema@.gov_grants g
    where g.owner_id = budget.owner_id
        and g.reference = $6;
    if same is not true then
        raise exception using
            errcode = 'unique_violation',
            message = format('reference "%s" is that of another grant', left($6, 200)),
            detail = 'It is of another amount, or to another pool.',
            hint = 'Give each grant a reference of its own; a repeated call has the same arguments.';
    end if;
    return made;
end
$$;

comment on function @extschema@.gov_grant_credits(text, text, text, numeric, timestamptz, text, integer, timestamptz, text, text, text[]) is
$$Grants an amount to a pool. Uses draw from the grants that are live when they are recorded, by priority, expires_at (those without
last), effective_at and id. What is owed is paid first, from the moment at which the grant takes effect. What is left at its expiry is
forfeited. Nothing has to run for a grant to take effect, to pay or to expire.

owner_id, entity_id, capability_id, name, scope_entity_ids: of the pool; amount: in the capability's unit, exact to 9 decimals;
    expires_at: exclusive (null: never); reference: unique per owner, such as the id of a payment: repeated with it, the call
    answers the grant that it made; priority: lower ones are drawn from first; effective_at: null: now; category: for reports
result: the id of the grant in gov_grants
errors: GV003 the owner is frozen; 22004 null argument; 22023 an amount of 0 or less, expires_at not after effective_at, a reference or category too long; 23505 a
    reference of another grant; 23514 a budget that is no pool; 42501 an owner that the session may not see or change; 42704 no such
    budget; 54000 more than 256 grants that are not used up
since: 1.1.0$$;

create function @extschema@.gov_void_grant(grant_id uuid)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if grant_id is null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = 'argument "grant_id" must not be null',
            hint = 'The ids of grants are in gov_grants.';
    end if;
    update @extschema@.gov_grants g
    set voided_at = coalesce(g.voided_at, @extschema@.gov_now())
    where g.id = $1
        and @extschema@.gov_owner_visible(g.owner_id);
    if not found then
        raise exception using
            errcode = 'undefined_object',
            message = format('grant "%s" does not exist', $1),
            hint = 'The ids of grants are in gov_grants.';
    end if;
end
$$;

comment on function @extschema@.gov_void_grant(uuid) is
$$Takes back what is left of a grant: from the commit on nothing is drawn from it. What was drawn stays drawn. To void one that is
voided changes nothing.

grant_id: of gov_grants
errors: GV003 the owner is frozen; 22004 null argument; 42501 an owner that the session may not change; 42704 no such grant
since: 1.1.0$$;

-- What is not rolled up yet is read once. "owner_id <=" lets the scan of the index begin at the comparison of rows.
create function @extschema@._gov_drawn(owner text)
returns table (counter_id bigint, amount numeric, last_at timestamptz)
language plpgsql
stable
rows 100
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
begin
    return query
    select x.counter_id, sum(x.amount), max(x.last_at)
    from (
        select u.counter_id, u.amount, u.last_at
        from @extschema@.gov_grant_usage u
        where u.owner_id = owner
        union all
        select e.draws[i.n][1]::bigint, e.draws[i.n][2], case when e.draws[i.n][2] > 0 then e.recorded_at else '-infinity' end
        from @extschema@.gov_events e
        cross join lateral generate_subscripts(e.draws, 1) i (n)
        where e.owner_id <= owner
            and (e.owner_id, e.id) > (owner, (select coalesce(max(r.watermark), 0) from @extschema@.gov_rollup_state r))
            and e.draws is not null
    ) x
    group by x.counter_id;
end
$$;

comment on function @extschema@._gov_drawn(text) is
    'internal: what was drawn from the grants of an owner, and what its pools owe, by counter; last_at of a debt: when it last grew';

-- As src/pure/pool.c computes it. What a grant has paid of a debt, and no use has written down yet, is drawn.
create function @extschema@._gov_grants_at(owner text, at timestamptz, closed_too boolean default true)
returns table
(
    grant_id uuid,
    assignment_id uuid,
    amount numeric,
    drawn numeric,
    is_live boolean,
    has_ended boolean,
    place bigint
)
language plpgsql
stable
rows 100
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    with counted as materialized
    (
        select d.* from @extschema@._gov_drawn(owner) d
    ),
    debt as
    (
        select a.id, coalesce(c.amount, 0) as owed, coalesce(c.last_at, '-infinity') as owed_at
        from @extschema@.gov_assignments a
        left join counted c on c.counter_id = a.debt_counter_id
        where a.owner_id = owner
            and a.is_pool
    ),
    credit as
    (
        select
            g.id,
            g.assignment_id,
            g.amount,
            g.effective_at,
            coalesce(least(g.expires_at, g.voided_at), 'infinity') as ends_at,
            coalesce(c.amount, 0) as drawn,
            d.owed,
            d.owed_at,
            row_number() over (
                partition by g.assignment_id
                order by g.priority, coalesce(g.expires_at, 'infinity'), g.effective_at, g.id) as place
        from @extschema@.gov_grants g
        join debt d on d.id = g.assignment_id
        left join counted c on c.counter_id = g.counter_id
        where g.owner_id = owner
            and (closed_too or g.closed_at is null)
    ),
    payer as
    (
        select
            c.id,
            greatest(c.amount - c.drawn, 0) as has,
            c.owed - coalesce(sum(greatest(c.amount - c.drawn, 0)) over (
                partition by c.assignment_id
                order by c.effective_at, c.place
                rows between unbounded preceding and 1 preceding), 0) as still_owed
        from credit c
        where c.owed > 0
            and c.effective_at <= at
            and c.effective_at < c.ends_at
            and (c.ends_at > at or c.effective_at >= c.owed_at)
    )
    select
        c.id,
        c.assignment_id,
        c.amount,
        c.drawn + coalesce(greatest(least(p.has, p.still_owed), 0), 0),
        c.effective_at <= at and c.ends_at > at,
        c.ends_at <= at,
        c.place
    from credit c
    left join payer p on p.id = c.id;
end
$$;

comment on function @extschema@._gov_grants_at(text, timestamptz, boolean) is
    'internal: the grants of an owner at a time, and what was drawn from each; place: in the order in which uses draw';

create function @extschema@._gov_pools_at(owner text, at timestamptz)
returns table (assignment_id uuid, granted numeric, used numeric)
language plpgsql
stable
rows 10
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from @extschema@.gov_assignments a where a.owner_id = owner and a.is_pool) then
        return;
    end if;

    return query
    with credit as materialized
    (
        select g.* from @extschema@._gov_grants_at(owner, at, false) g
    ),
    counted as materialized
    (
        select d.* from @extschema@._gov_drawn(owner) d
    )
    select
        a.id,
        coalesce(s.granted, 0),
        -- What grants have paid stands in what was drawn from them: that of those that have ended is owed no longer.
        coalesce(s.used, 0) + coalesce(c.amount, 0) - coalesce(s.paid, 0)
    from @extschema@.gov_assignments a
    left join counted c on c.counter_id = a.debt_counter_id
    left join lateral
    (
        select
            sum(g.amount) filter (where g.is_live) as granted,
            sum(g.drawn) filter (where g.is_live) as used,
            sum(g.drawn - coalesce(d.amount, 0)) as paid
        from credit g
        join @extschema@.gov_grants x on x.id = g.grant_id
        left join counted d on d.counter_id = x.counter_id
        where g.assignment_id = a.id
    ) s on true
    where a.owner_id = owner
        and a.is_pool;
end
$$;

comment on function @extschema@._gov_pools_at(text, timestamptz) is
    'internal: what the live grants of each pool of an owner come to at a time, and what of that is used up or owed';
