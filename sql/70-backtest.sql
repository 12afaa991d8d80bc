/* ---------------------------------------------------------------------------------------------------------------- */
/* Backtest (src/pure/backtest.c, src/api_backtest.c)                                                               */
/* ---------------------------------------------------------------------------------------------------------------- */

-- Only the constraints of the table say what a column may hold; here they judge rows that are not stored.
create function @extschema@._gov_require_storable(owner text, budgets @extschema@.gov_assignments[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    broken text;
    expression text;
    failing text;
    missing text;
begin
    select b.timezone
    into failing
    from unnest(budgets) b
    where not @extschema@.gov_is_timezone(b.timezone)
    limit 1;
    if found then
        perform @extschema@._gov_raise_broken_rule('@extschema@.gov_assignments'::regclass, 'gov_assignments_timezone_check', format('time zone "%s" is not recognized', left(failing, 200)));
    end if;

    for broken, expression in
        select c.conname, pg_get_expr(c.conbin, c.conrelid)
        from pg_constraint c
        where c.conrelid = '@extschema@.gov_assignments'::regclass and c.contype = 'c'
        order by c.conname collate "C"
    loop
        execute format('select b::text from unnest($1) b where not (%s) limit 1', expression)
        into failing
        using budgets;
        if failing is not null then
            perform @extschema@._gov_raise_broken_rule('@extschema@.gov_assignments'::regclass, broken, format('Failing row contains %s.', left(failing, 200)));
        end if;
    end loop;

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
            (array_agg(i.item ?& '{usageLimit, cadence}' order by i.n))[1] as is_complete
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

comment on function @extschema@._gov_replay(text, @extschema@.gov_assignments[], timestamptz[], timestamptz, timestamptz, int[], timestamptz[], numeric[]) is
    'internal: what budgets would have denied of an owner''s ledger between two times; n is a budget''s place, suspended_from from when on each has no say, steps are the limits that some had from a time on (22003, 22008, 22023, 42501)';

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
    budgets @extschema@.gov_assignments[];
    suspended_from timestamptz[];
    step_budgets int[];
    step_times timestamptz[];
    step_limits numeric[];
begin
    perform @extschema@._gov_require_owner(owner);
    if missing is not null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = format('argument "%s" must not be null', missing),
            hint = 'Write a point in time, or -infinity and infinity for the whole ledger.';
    end if;

    budgets := @extschema@._gov_proposed(owner, $2);
    suspended_from := array(
        select e.archived_at
        from unnest(budgets) with ordinality b
        join @extschema@.gov_entities e on e.owner_id = owner and e.id = b.entity_id
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

    return query
    select b.entity_id, b.capability_id, b.scope_entity_ids, b.name, r.denied_count, r.denied_amount, r.first_denied_at
    from @extschema@._gov_replay(owner, budgets, suspended_from, $3, $4, step_budgets, step_times, step_limits) r
    join unnest(budgets) with ordinality b on b.ordinality = r.n
    order by r.n;
end
$$;

comment on function @extschema@.gov_backtest(text, jsonb, timestamptz, timestamptz) is
$$What budgets would have denied: replays an owner's ledger, by occurred_at and id, against proposed budgets. Changes nothing.

owner_id: one of the vendor's customers; assignments: what one would give gov_upsert_assignments, but up to 10,000 objects: the
    budgets that it would store are tried, and no others; locked, alertThresholds, strictAllocation and parentId make no difference;
    from_time, to_time: by occurred_at, from_time included, to_time not
result: a row per budget, by entity, capability, scope size, scope and name; denied_count, denied_amount: the uses that it would
    have denied, and their sum in the capability's unit; first_denied_at: the occurred_at of the first, null without any. A use that
    any budget denies is counted by none, and denied by each that lacks room for it; a correction (a negative amount) is counted and
    never denied; a reversal gives back right after its use, which is judged by its whole amount, and nothing if that was denied. A
    budget that is stored with the same limit has the boosts that it had at the time of a use; blocks make no difference. Usage
    starts at 0 at from_time; an archived entity's budgets do not count from its archiving on
errors: 22004 null argument; 22023 and 23503 as of gov_upsert_assignments; 54000 more than 10,000 objects; 42501 an owner that the
    session may not see; 22003 a sum out of range; 22008 a window out of range$$;

