/* ---------------------------------------------------------------------------------------------------------------- */
/* Reports                                                                                                          */
/* ---------------------------------------------------------------------------------------------------------------- */

-- Buckets are counted from Monday 2001-01-01 00:00 local, as windows are; months, days and weeks are local calendar arithmetic, what
-- is shorter is elapsed time. None of these functions has a subquery or a setting, so that they become part of the query.

create function @extschema@._gov_is_calendar(bucket interval)
returns boolean
language sql
immutable
parallel safe
return bucket >= interval '1 day' and extract(epoch from bucket - date_trunc('day', bucket)) = 0;

comment on function @extschema@._gov_is_calendar(interval) is 'internal: whether buckets are of local days or months, and not of elapsed time';

create function @extschema@._gov_bucket_of(bucket interval, local_time timestamp)
returns timestamp
language sql
immutable
parallel safe
return case
    when extract(day from bucket) > 0 then date_bin(bucket, local_time, timestamp '2001-01-01')
    else timestamp '2001-01-01' + make_interval(months => (
        floor(((extract(year from local_time) - 2001) * 12 + extract(month from local_time) - 1)
            / (extract(year from bucket) * 12 + extract(month from bucket)))
        * (extract(year from bucket) * 12 + extract(month from bucket)))::int)
end;

comment on function @extschema@._gov_bucket_of(interval, timestamp) is 'internal: the start of the bucket of days or months that a local time falls into';

create function @extschema@._gov_bucket_start(bucket interval, at timestamptz)
returns timestamptz
language sql
stable
return case
    when @extschema@._gov_is_calendar(bucket) then @extschema@._gov_bucket_of(bucket, at::timestamp)::timestamptz
    else date_bin(bucket, at, timestamp '2001-01-01'::timestamptz)
end;

comment on function @extschema@._gov_bucket_start(interval, timestamptz) is 'internal: the start of the bucket of a report that a time falls into, in the time zone that is set';

create function @extschema@._gov_require_bucket(bucket interval)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    units int := (extract(year from bucket) * 12 + extract(month from bucket) <> 0)::int
        + (extract(day from bucket) <> 0)::int
        + (extract(epoch from bucket - date_trunc('day', bucket)) <> 0)::int;
begin
    if bucket is not null and (bucket <= interval '0' or units <> 1) then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'argument "bucket" must be a positive interval of months, of days, or of time',
            hint = 'Write it like interval ''1 day'', ''1 month'' or ''6 hours''.';
    end if;
end
$$;

comment on function @extschema@._gov_require_bucket(interval) is 'internal: refuses a bucket that is not positive or of more than one unit (22023)';

create function @extschema@._gov_require_timezone(timezone text)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if timezone is null then
        return current_setting('timezone');
    end if;
    if not @extschema@.gov_is_timezone(timezone) then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('invalid value for "timezone": "%s"', left(timezone, 200)),
            hint = 'Write a name of pg_timezone_names, such as UTC or Europe/Berlin.';
    end if;
    return timezone;
end
$$;

comment on function @extschema@._gov_require_timezone(text) is 'internal: the time zone of a report, that of the session for null; refuses a name that is none (22023)';

create function @extschema@._gov_attribution
(
    owner_id text,
    capability_id text,
    group_by text[],
    from_time timestamptz,
    to_time timestamptz,
    bucket interval,
    timezone text
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
-- And sums and entities are joined by hashing: without statistics there seem to be a few, and each would be compared with each.
set enable_nestloop = off
set jit = off
-- So that the one that is set below ends with the call. AT TIME ZONE is no way: it takes CET, MET, EET and WET for abbreviations.
set timezone = 'UTC'
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
    perform @extschema@._gov_require_bucket(bucket);
    perform @extschema@._gov_require_list('group_by', array_ndims(group_by));
    if cardinality(group_by) > max_names then
        raise exception using
            errcode = 'program_limit_exceeded',
            message = '"group_by" has too many names',
            detail = format('There are %s, at most %s are allowed.', cardinality(group_by), max_names),
            hint = 'Group by fewer, or query gov_events.';
    end if;
    perform @extschema@._gov_require_owner(owner_id);
    perform set_config('timezone', timezone, true);

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
            from %8$s e
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
            cross join lateral
            (
                select x.id, x.type_id
                from %7$s.gov_entities x
                where x.owner_id = $1
                    and x.id = n.id
                    and x.type_id = any ($6)
                offset 0
            ) m
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
        '@extschema@',
        -- While somebody is being forgotten, the log has the new id already.
        case when exists (select from @extschema@.gov_forgotten f where f.owner_id = _gov_attribution.owner_id) then '@extschema@.gov_event_log' else '@extschema@.gov_events' end)
    using owner_id, capability_id, from_time, to_time, bucket, types;
end
$$;

comment on function @extschema@._gov_attribution(text, text, text[], timestamptz, timestamptz, interval, text) is 'internal: gov_attribution, in a time zone that is there';

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
language sql
stable
begin atomic
    select *
    from @extschema@._gov_attribution(owner_id, capability_id, group_by, from_time, to_time, bucket, current_setting('timezone'));
end;

-- A function of its own, not an argument more with a default: what users' views call is not to be dropped in an upgrade.
create function @extschema@.gov_attribution
(
    owner_id text,
    capability_id text,
    group_by text[],
    from_time timestamptz,
    to_time timestamptz,
    bucket interval,
    timezone text
)
returns table
(
    group_key jsonb,
    bucket_start timestamptz,
    amount numeric,
    event_count bigint
)
language sql
stable
begin atomic
    select *
    from @extschema@._gov_attribution(
        owner_id, capability_id, group_by, from_time, to_time, bucket, @extschema@._gov_require_timezone(timezone));
end;

comment on function @extschema@.gov_attribution(text, text, text[], timestamptz, timestamptz, interval) is
$$Who and what used how much: the ledger's sums by any mix of entity types and dimensions, and by time.

owner_id, capability_id: what is summed; group_by: at most 32 names, each an entity type or else the key of a dimension, {} for one
    sum;
    from_time, to_time: by occurred_at, from_time included, to_time not; bucket: months, days or time, such as interval '1 day', begun
    in the session's time zone, weeks on Monday; null for no buckets
result: a row per group and bucket, by bucket; group_key: an object with a key for each name, null for what an event lacks; an event
    with two entities of one type counts under each; bucket_start: null without buckets, else as date_trunc has it; amount,
    event_count: the sum of the events, and how many they are
errors: 22004 null argument or name; 22023 bucket not positive or of more than one unit, group_by of two dimensions; 22008 a bucket
    that lies outside the calendar; 42501 an owner that the session may not see; 54000 more than 32 names$$;

comment on function @extschema@.gov_attribution(text, text, text[], timestamptz, timestamptz, interval, text) is
$$The same, with buckets that begin in another time zone than the session's.

timezone: a name of pg_timezone_names, such as Asia/Kolkata; null for the session's
errors: 22023 unknown time zone
since: 1.1.0$$;
