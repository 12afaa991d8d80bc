/* What the present prices would make of the past */

create function @extschema@._gov_repriced
(
    owner_id text,
    capability_id text,
    quantities jsonb,
    dimensions jsonb,
    at timestamptz,
    event_id bigint,
    out amount numeric,
    out prices jsonb
)
returns record
language c
strict
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_repriced_1_1';

comment on function @extschema@._gov_repriced(text, text, jsonb, jsonb, timestamptz, bigint) is
    'internal: what the quantities of an event cost by the present prices, and those; refuses an owner that the session may not see (42501), and a quantity without a price (22023)';

-- The correction of an event is found by its key: gov_reprice/EVENT/NUMBER. '0' is what comes after '/'.
create function @extschema@.gov_reprice
(
    owner_id text,
    capability_id text,
    from_time timestamptz,
    to_time timestamptz
)
returns table
(
    event_id bigint,
    occurred_at timestamptz,
    quantities jsonb,
    amount numeric,
    repriced numeric,
    corrected numeric,
    difference numeric,
    prices jsonb,
    dimensions jsonb,
    entity_ids text[],
    idempotency_key text
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    missing text := case
        when $1 is null then 'owner_id'
        when $2 is null then 'capability_id'
        when $3 is null then 'from_time'
        when $4 is null then 'to_time'
    end;
begin
    if missing is not null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = format('argument "%s" must not be null', missing),
            hint = format('Pass a value for "%s".', missing);
    end if;
    perform @extschema@._gov_require_owner($1);

    return query
    select
        e.id,
        e.occurred_at,
        e.quantities,
        e.amount,
        n.amount,
        trim_scale(c.amount),
        trim_scale(case
            when r.amount = 0 or e.amount = 0 then n.amount - e.amount
            else round((n.amount - e.amount) * (e.amount + r.amount) / e.amount, 9)
        end - c.amount),
        n.prices,
        d.dimensions,
        @extschema@._gov_shown_ids($1, e.id, e.entity_ids),
        format('gov_reprice/%s/%s', e.id, c.count + 1)
    from @extschema@.gov_events e
    cross join lateral (select @extschema@._gov_shown_dimensions($1, e.id, e.dimensions) as dimensions) d
    cross join lateral @extschema@._gov_repriced($1, $2, e.quantities, d.dimensions, e.occurred_at, e.id) n
    cross join lateral
    (
        select coalesce(sum(v.amount), 0) as amount
        from @extschema@.gov_events v
        where v.reverses = e.id
    ) r
    cross join lateral
    (
        select
            coalesce(sum(v.amount + (select coalesce(sum(b.amount), 0) from @extschema@.gov_events b where b.reverses = v.id)), 0) as amount,
            count(*) as count
        from @extschema@.gov_events v
        where v.owner_id = $1
            and v.idempotency_key >= format('gov_reprice/%s/', e.id)
            and v.idempotency_key < format('gov_reprice/%s0', e.id)
    ) c
    where e.owner_id = $1
        and e.capability_id = $2
        and e.occurred_at >= $3
        and e.occurred_at < $4
        and e.quantities is not null
        and e.reverses is null
    order by e.occurred_at, e.id;
end
$$;

comment on function @extschema@.gov_reprice(text, text, timestamptz, timestamptz) is
$$What the present prices would make of the past: for each use that was given by its quantities what it was charged, and what these cost by the
prices that are now in gov_prices for its time. It books nothing; the guide has the statement that books the differences as corrections,
and may be repeated.

owner_id: one of the vendor's customers; capability_id: what was charged; from_time, to_time: uses that occurred in [from_time, to_time)
result: a row per event of gov_events, in the order of their times: event_id, occurred_at, quantities, amount (what was charged then), repriced
    (what it would be), corrected (the sum of the corrections that were booked for it, less what of them was reversed), difference (what
    is left to be booked: repriced less amount, of an event that was reversed in part the same part of that, less corrected),
    prices (those of repriced), and for the correction dimensions, entity_ids and idempotency_key, which is another one once a
    correction was booked
errors: 22004 null; 22023 a quantity had no price at the time of an event, which the context names; 42501 an owner that the session
    may not see
since: 1.1.0$$;
