/* ---------------------------------------------------------------------------------------------------------------- */
/* Reports                                                                                                          */
/* ---------------------------------------------------------------------------------------------------------------- */

-- The start of the bucket of a report that a time falls into. Buckets are counted from Monday 2001-01-01 00:00 local time, as
-- windows are; months, weeks and days by the local calendar, shorter ones by elapsed time.
create function @extschema@._gov_bucket_start(bucket interval, at timestamptz)
returns timestamptz
language sql
stable
return case
    when extract(epoch from bucket - date_trunc('day', bucket)) > 0 or bucket < interval '1 day' then
        date_bin(bucket, at, timestamp '2001-01-01'::timestamptz)
    when extract(day from bucket) > 0 then
        date_bin(bucket, at::timestamp, timestamp '2001-01-01')::timestamptz
    else
        (
            select (timestamp '2001-01-01' + make_interval(months => (floor(m.since / m.wanted) * m.wanted)::int))::timestamptz
            from (
                select
                    (extract(year from at::timestamp) - 2001) * 12 + extract(month from at::timestamp) - 1 as since,
                    extract(year from bucket) * 12 + extract(month from bucket) as wanted
            ) m
        )
end;

comment on function @extschema@._gov_bucket_start(interval, timestamptz) is 'internal: the start of the bucket of gov_attribution that a time falls into';

create function @extschema@.gov_attribution
(
    owner_id text,
    capability_id text,
    group_by text[],
    from_time timestamptz,
    to_time timestamptz,
    bucket interval default null
)
returns table
(
    group_key jsonb,
    bucket_start timestamptz,
    amount numeric,
    event_count bigint
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
-- Groups are found by hashing, however many the planner expects: sorting arrays and jsonb costs more than all the rest.
set enable_sort = off
set jit = off
as $$
declare
    max_names constant int := 32;
    missing text := case
        when owner_id is null then 'owner_id'
        when capability_id is null then 'capability_id'
        when group_by is null or exists (select from unnest(group_by) g (name) where g.name is null) then 'group_by'
        when from_time is null then 'from_time'
        when to_time is null then 'to_time'
    end;
    units int := (extract(year from bucket) * 12 + extract(month from bucket) <> 0)::int
        + (extract(day from bucket) <> 0)::int
        + (extract(epoch from bucket - date_trunc('day', bucket)) <> 0)::int;
    name text;
    number int := 0;
    pairs text := '';
    dimensions text := '';
    types text[] := '{}';
    members text := '';
    entities text := '';
begin
    if missing is not null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = format('argument "%s" must not be null', missing),
            hint = format('Pass a value for "%s".', missing);
    end if;
    if bucket is not null and (bucket <= interval '0' or units <> 1) then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'argument "bucket" must be a positive interval of months, of days, or of time',
            hint = 'Write it like interval ''1 day'', ''1 month'' or ''6 hours''.';
    end if;
    perform @extschema@._gov_require_list('group_by', array_ndims(group_by));
    if cardinality(group_by) > max_names then
        raise exception using
            errcode = 'program_limit_exceeded',
            message = '"group_by" has too many names',
            detail = format('There are %s, at most %s are allowed.', cardinality(group_by), max_names),
            hint = 'Group by fewer, or query gov_events.';
    end if;
    perform @extschema@._gov_require_owner(owner_id);

    -- Events of the same entities and dimensions are added up first: there are few kinds of them, and each one's arrays are taken
    -- apart once. Then one column for each name: the entities of that type, each in a row of its own, or the value of the dimension.
    foreach name in array (select coalesce(array_agg(distinct g.name), '{}') from unnest(group_by) g (name)) loop
        number := number + 1;
        if exists (select from @extschema@.gov_entity_types t where t.id = name) then
            types := types || name;
            members := members || format(', array_agg(m.id) filter (where m.type_id = %L) as ids%s', name, number);
            entities := entities || format(' cross join lateral unnest(coalesce(c.ids%s, array[null])) k%1$s (value)', number);
            pairs := pairs || format(', %L, k%s.value', name, number);
        else
            dimensions := dimensions || format(', e.dimensions -> %L as value%s', name, number);
            pairs := pairs || format(', %L, u.value%s', name, number);
        end if;
    end loop;

    return query execute format($query$
        with used as materialized
        (
            select %1$s as entity_ids, case when $5 is not null then %7$s._gov_bucket_start($5, e.occurred_at) end as start %2$s,
                sum(e.amount) as amount, count(*) as event_count
            from %7$s.gov_events e
            where e.owner_id = $1
                and e.capability_id = $2
                and e.occurred_at >= $3
                and e.occurred_at < $4
            group by %3$s
        ),
        named as
        (
            select x.entity_ids, x.id
            from (select distinct u.entity_ids from used u) d
            cross join lateral (select d.entity_ids, i.id from unnest(d.entity_ids) i (id)) x
        ),
        entity as materialized
        (
            select m.id, m.type_id
            from (select distinct n.id from named n) n
            join %7$s.gov_entities m on m.owner_id = $1 and m.id = n.id and m.type_id = any ($6)
        ),
        chain as materialized
        (
            select n.entity_ids %4$s
            from named n
            join entity m on m.id = n.id
            group by n.entity_ids
        ),
        summed as materialized
        (
            select jsonb_build_object(%5$s) as group_key, u.start, trim_scale(sum(u.amount)) as amount, sum(u.event_count)::bigint as event_count
            from used u
            left join chain c on c.entity_ids = u.entity_ids
            %6$s
            group by 1, 2
        )
        select s.group_key, s.start, s.amount, s.event_count
        from summed s
        order by s.start, s.group_key
        $query$,
        case when types = '{}' then 'null::text[]' else 'e.entity_ids' end,
        dimensions,
        (select string_agg(n::text, ', ') from generate_series(1, 2 + number - cardinality(types)) n),
        members,
        substr(pairs, 3),
        entities,
        '@extschema@')
    using owner_id, capability_id, from_time, to_time, bucket, types;
end
$$;

comment on function @extschema@.gov_attribution(text, text, text[], timestamptz, timestamptz, interval) is
$$Who and what used how much: the ledger's sums by any mix of entity types and dimensions, and by time.

owner_id, capability_id: what is summed; group_by: at most 32 names, each an entity type or else the key of a dimension, {} for one
    sum;
    from_time, to_time: by occurred_at, from_time included, to_time not; bucket: months, days or time, such as interval '1 day', begun
    in the session's time zone, weeks on Monday; null for no buckets
result: a row per group and bucket, by bucket; group_key: an object with a key for each name, null for what an event lacks; an event
    with two entities of one type counts under each; bucket_start: null without buckets; amount, event_count: the sum of the events, and how many they are
errors: 22004 null argument or name; 22023 bucket not positive or of more than one unit, group_by of two dimensions; 42501 an owner
    that the session may not see; 54000 more than 32 names$$;

