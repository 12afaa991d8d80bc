/* What was drawn from grants */

create view @extschema@.gov_event_draws with (security_invoker = true) as
select
    e.id as event_id,
    g.id as grant_id,
    d.amount,
    e.owner_id,
    coalesce(g.assignment_id, p.id) as assignment_id
from @extschema@.gov_events e
cross join lateral
(
    select e.draws[i.n][1]::bigint as counter_id, e.draws[i.n][2] as amount
    from generate_subscripts(e.draws, 1) i (n)
) d
left join @extschema@.gov_grants g on g.counter_id = d.counter_id
left join @extschema@.gov_assignments p on p.debt_counter_id = d.counter_id
where e.draws is not null;

comment on view @extschema@.gov_event_draws is 'what each event has drawn from which grant: a fact that never changes (since 1.1.0)';
comment on column @extschema@.gov_event_draws.event_id is 'of gov_events';
comment on column @extschema@.gov_event_draws.grant_id is 'the grant; null: what no grant had, a debt, or below 0 what a grant has paid of one. An event has a row for what it pays of an earlier debt, and one for the grant that pays it';
comment on column @extschema@.gov_event_draws.amount is 'in the capability''s unit; below 0: given back';
comment on column @extschema@.gov_event_draws.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_event_draws.assignment_id is 'the pool; null where it is gone';

create function @extschema@._gov_balances_at(owner text, at timestamptz)
returns table (grant_id uuid, assignment_id uuid, granted numeric, drawn numeric, held numeric, expired numeric, remaining numeric)
language plpgsql
stable
rows 100
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    with credit as materialized
    (
        select g.*, case when g.is_live then greatest(g.amount - g.drawn, 0) else 0 end as has
        from @extschema@._gov_grants_at(owner, at) g
    ),
    hold as materialized
    (
        select h.assignment_id, h.amount
        from @extschema@._gov_held(owner, at, null) h
    )
    select
        c.grant_id,
        c.assignment_id,
        c.amount,
        trim_scale(c.drawn),
        trim_scale(k.amount),
        trim_scale(case when c.has_ended then greatest(c.amount - c.drawn, 0) else 0 end),
        trim_scale(case when c.has_ended then 0 else c.amount - c.drawn - k.amount end)
    from (
        select
            g.*,
            sum(g.has) over (partition by g.assignment_id order by g.place) - g.has as before
        from credit g
    ) c
    left join hold h on h.assignment_id = c.assignment_id
    cross join lateral
    (
        select greatest(least(c.has, coalesce(h.amount, 0) - c.before), 0) as amount
    ) k;
end
$$;

comment on function @extschema@._gov_balances_at(text, timestamptz) is 'internal: the rows of gov_grant_balances of one owner at a time';

create view @extschema@.gov_grant_balances with (security_invoker = true) as
select b.grant_id, b.granted, b.drawn, b.held, b.expired, b.remaining, o.owner_id, b.assignment_id
from (
    select distinct a.owner_id
    from @extschema@.gov_assignments a
    where a.is_pool
) o
cross join lateral @extschema@._gov_balances_at(o.owner_id, @extschema@.gov_now()) b;

comment on view @extschema@.gov_grant_balances is 'what is left of each grant just now: granted = drawn + held + expired + remaining (since 1.1.0)';
comment on column @extschema@.gov_grant_balances.grant_id is 'of gov_grants';
comment on column @extschema@.gov_grant_balances.granted is 'its amount';
comment on column @extschema@.gov_grant_balances.drawn is 'what uses have drawn from it, and what it has paid of a debt, whether a use has written that down yet or not';
comment on column @extschema@.gov_grant_balances.held is 'what open holds of its pool would draw from it';
comment on column @extschema@.gov_grant_balances.expired is 'what was left of it when it expired or was voided';
comment on column @extschema@.gov_grant_balances.remaining is 'what may still be drawn from it, now or when it takes effect';
comment on column @extschema@.gov_grant_balances.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_grant_balances.assignment_id is 'the pool';
