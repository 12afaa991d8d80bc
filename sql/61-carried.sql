/* What budgets carry over from the window before */

create function @extschema@._gov_carried(owner text, at timestamptz, entity_ids text[])
returns table
(
    assignment_id uuid,
    counter_id bigint,
    window_start timestamptz,
    carried numeric
)
language c
stable
rows 10
cost 1000
as 'MODULE_PATHNAME', 'gov_carried_1_1';

comment on function @extschema@._gov_carried(text, timestamptz, text[]) is
    'internal: what is carried into the window that holds a time, of the budgets of some entities, or null of all that have used one (src/cache/carry_over.c)';

create function @extschema@._gov_carries(owner text)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select
        exists (
            select
            from @extschema@.gov_assignments a
            where a.owner_id = owner
                and (a.carry_unused_max is not null or a.carry_debt))
        or exists (
            select
            from @extschema@.gov_default_assignments d
            where (d.owner_id = owner or d.owner_id is null)
                and (d.carry_unused_max is not null or d.carry_debt))
$$;

comment on function @extschema@._gov_carries(text) is 'internal: may a budget of an owner carry something over?';

create function @extschema@._gov_limit_before(owner text, id uuid, at timestamptz, present numeric)
returns numeric
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case when h.is_known is null then present when h.is_known then h.usage_limit end
    from (select) o
    left join lateral
    (
        select x.is_known, x.usage_limit
        from @extschema@.gov_limit_history x
        where x.owner_id = owner
            and x.assignment_id = id
            and x.replaced_at >= at
        order by x.replaced_at
        limit 1
    ) h on true
$$;

comment on function @extschema@._gov_limit_before(text, uuid, timestamptz, numeric) is
    'internal: the limit that a budget or a default had just before a time, given its present one; null: none, or it is not known';
