/* ---------------------------------------------------------------------------------------------------------------- */
/* Usage by time: gov_usage_by_time in hours, and in buckets of any time zone                                       */
/*                                                                                                                  */
/* A row of gov_usage_by_time is a sum over a grain: an hour of UTC, or a half or a quarter of one. A report of     */
/* days adds up whole rows. That is right where each day begins with a grain, and can only be wrong where a         */
/* boundary lies within one: days of India begin at half past an hour of UTC. So the sums are asked for through     */
/* gov_usage_sums, which refuses what the grains cannot serve.                                                      */
/* ---------------------------------------------------------------------------------------------------------------- */

create view @extschema@.gov_usage_hourly with (security_invoker = true) as
select
    u.owner_id,
    u.capability_id,
    case when exists (select from @extschema@.gov_forgotten) then @extschema@._gov_shown_id(u.owner_id, u.entity_id) else u.entity_id end as entity_id,
    u.hour,
    trim_scale(sum(u.amount)) as amount,
    sum(u.event_count)::bigint as event_count
from @extschema@.gov_usage_by_time u
group by u.owner_id, u.capability_id, 3, u.hour;

comment on view @extschema@.gov_usage_hourly is 'what each entity and its descendants used per hour, up to the rollup''s watermark: gov_usage_by_time with whole hours. It was the table until 1.1.0';
comment on column @extschema@.gov_usage_hourly.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_usage_hourly.capability_id is 'the capability that was used';
comment on column @extschema@.gov_usage_hourly.entity_id is 'empty for events that resolved to nothing';
comment on column @extschema@.gov_usage_hourly.hour is 'the start of the hour of occurred_at, in UTC';
comment on column @extschema@.gov_usage_hourly.amount is 'what was used in the hour, in the capability''s unit';
comment on column @extschema@.gov_usage_hourly.event_count is 'how many events that were';

-- The times of these functions are of the time zone that is set, as those of 60-attribution.sql.

-- A grain in which the clocks are set forward or back is taken for all of the local time that either side could make it: one that
-- might have a boundary in it is refused, and none that has one is missed.
create function @extschema@._gov_is_within_bucket(bucket interval, starts_at timestamptz, ends_at timestamptz)
returns boolean
language sql
stable
return case
    when bucket is null then true
    when @extschema@._gov_is_calendar(bucket) then
        @extschema@._gov_bucket_of(
            bucket,
            least(starts_at::timestamp, (ends_at - interval '1 microsecond')::timestamp - (ends_at - starts_at) + interval '1 microsecond'))
        = @extschema@._gov_bucket_of(
            bucket,
            greatest(starts_at::timestamp + (ends_at - starts_at) - interval '1 microsecond', (ends_at - interval '1 microsecond')::timestamp))
    else
        @extschema@._gov_bucket_start(bucket, starts_at) = @extschema@._gov_bucket_start(bucket, ends_at - interval '1 microsecond')
end;

comment on function @extschema@._gov_is_within_bucket(interval, timestamptz, timestamptz) is
    'internal: whether a grain from one time up to another, an hour at most, lies within one bucket';

create function @extschema@._gov_is_grain_start(at timestamptz, grain interval)
returns boolean
language sql
immutable
parallel safe
return not isfinite(at) or date_bin(grain, at, timestamptz '2001-01-01 00:00:00+00') = at;

comment on function @extschema@._gov_is_grain_start(timestamptz, interval) is 'internal: whether a grain begins at a time, or the time is infinite';

-- Calendar buckets begin at a local midnight, and clocks are set by two hours at most.
create function @extschema@._gov_grain_serves
(
    grain interval,
    bucket interval,
    from_time timestamptz,
    to_time timestamptz,
    judged_from timestamptz,
    judged_to timestamptz
)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select @extschema@._gov_is_grain_start(from_time, grain)
        and @extschema@._gov_is_grain_start(to_time, grain)
        and case
            when bucket is null then true
            when @extschema@._gov_is_calendar(bucket) then not exists (
                select
                from generate_series(
                    @extschema@._gov_bucket_of(bucket, judged_from::timestamp),
                    judged_to::timestamp + interval '1 day',
                    bucket) m (midnight)
                cross join lateral generate_series(
                    date_bin(grain, m.midnight::timestamptz - interval '2 hours', timestamptz '2001-01-01 00:00:00+00'),
                    m.midnight::timestamptz + interval '2 hours',
                    grain) g (starts_at)
                where g.starts_at >= from_time
                    and g.starts_at < to_time
                    and not @extschema@._gov_is_within_bucket(bucket, g.starts_at, g.starts_at + grain))
            else extract(epoch from bucket) % extract(epoch from grain) = 0
                and @extschema@._gov_is_grain_start(timestamp '2001-01-01'::timestamptz, grain)
        end
$$;

comment on function @extschema@._gov_grain_serves(interval, interval, timestamptz, timestamptz, timestamptz, timestamptz) is
    'internal: whether every grain of such a length, in a part of a range of time, lies within one bucket, and the range begins and ends with one';

create function @extschema@._gov_refuse_grain
(
    grain interval,
    finer interval,
    bucket interval,
    from_time timestamptz,
    to_time timestamptz
)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using
        errcode = 'invalid_parameter_value',
        message = format('sums of %s minutes do not add up to what is asked for', extract(epoch from grain)::int / 60),
        detail = case
            when not @extschema@._gov_is_grain_start(from_time, grain) then format('None of them begins at "from_time", %s.', from_time)
            when not @extschema@._gov_is_grain_start(to_time, grain) then format('None of them ends at "to_time", %s.', to_time)
            else format('In time zone "%s" some of them lie in two buckets of %s.', current_setting('timezone'), bucket)
        end,
        hint = case
            when finer is null then 'No value of governance.usage_grain helps. Ask gov_attribution, which adds up the events.'
            else format(
                'Set governance.usage_grain to %smin. It holds for what is rolled up from then on; of the time before ask gov_attribution, which adds up the events.',
                extract(epoch from finer)::int / 60)
        end;
end
$$;

comment on function @extschema@._gov_refuse_grain(interval, interval, interval, timestamptz, timestamptz) is
    'internal: refuses what sums of the length of governance.usage_grain cannot serve (22023), and says which length can';

create function @extschema@._gov_refuse_sum(starts_at timestamptz, grain_minutes int)
returns timestamptz
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using
        errcode = 'invalid_parameter_value',
        message = format('a sum of %s minutes does not add up to what is asked for', grain_minutes),
        detail = format('It is of the time from %s on, and lies in two buckets of time zone "%s".', starts_at, current_setting('timezone')),
        hint = case
            when make_interval(mins => grain_minutes) > coalesce(current_setting('governance.usage_grain', true), '1h')::interval
            then 'It was rolled up when governance.usage_grain was longer, and stays as it is. Ask for a later time, or ask gov_attribution, which adds up the events.'
            else 'No value of governance.usage_grain helps. Ask for a later time, or ask gov_attribution, which adds up the events.'
        end;
end
$$;

comment on function @extschema@._gov_refuse_sum(timestamptz, int) is 'internal: refuses a row of gov_usage_by_time that lies in two buckets (22023)';

create function @extschema@._gov_usage_sums
(
    from_time timestamptz,
    to_time timestamptz,
    bucket interval,
    timezone text,
    owner_ids text[],
    capability_ids text[]
)
returns table
(
    owner_id text,
    capability_id text,
    entity_id text,
    bucket_start timestamptz,
    local_start timestamp,
    amount numeric,
    event_count bigint
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
-- So that the one that is set below ends with the call.
set timezone = 'UTC'
as $$
declare
    grain interval := coalesce(current_setting('governance.usage_grain', true), '1h');
    -- What is judged before any row is looked at; a row of another time is judged by itself.
    judged_to timestamptz := least(to_time, @extschema@.gov_now() + interval '1 day');
    judged_from timestamptz := greatest(from_time, judged_to - interval '2 years');
    lengths constant interval[] := '{1 hour, 30 minutes, 15 minutes}';
    length interval;
    longest interval;
    missing text := case when from_time is null then 'from_time' when to_time is null then 'to_time' end;
    chosen text;
begin
    if missing is not null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = format('argument "%s" must not be null', missing),
            hint = 'Pass a time, -infinity for the beginning, or infinity for no end.';
    end if;
    perform @extschema@._gov_require_bucket(bucket);
    perform @extschema@._gov_require_list('owner_ids', array_ndims(owner_ids));
    perform @extschema@._gov_require_list('capability_ids', array_ndims(capability_ids));
    foreach chosen in array coalesce(owner_ids, '{}') loop
        perform @extschema@._gov_require_owner(chosen);
    end loop;
    if from_time >= to_time then
        return;
    end if;

    perform set_config('timezone', timezone, true);
    foreach length in array lengths loop
        if @extschema@._gov_grain_serves(length, bucket, from_time, to_time, judged_from, judged_to) then
            longest := length;
            exit;
        end if;
    end loop;
    if longest is null or longest < grain then
        perform @extschema@._gov_refuse_grain(grain, longest, bucket, from_time, to_time);
    end if;

    -- A row lies within one bucket and within the range, as was judged for all of that length, or as it is judged now.
    return query execute format($query$
        select s.owner_id, s.capability_id, s.entity_id, s.start,
            case when %1$s._gov_is_calendar($3) then %1$s._gov_bucket_of($3, s.start::timestamp) else s.start::timestamp end,
            trim_scale(sum(s.amount)), sum(s.event_count)::bigint
        from
        (
            select u.owner_id, u.capability_id,
                case when exists (select from %1$s.gov_forgotten) then %1$s._gov_shown_id(u.owner_id, u.entity_id) else u.entity_id end as entity_id,
                u.amount, u.event_count,
                case
                    when g.minutes <= $6 and u.hour >= $7 and u.hour < $8
                        or g.starts_at >= $1 and g.ends_at <= $2 and %1$s._gov_is_within_bucket($3, g.starts_at, g.ends_at)
                    then case when $3 is not null then %1$s._gov_bucket_start($3, g.starts_at) end
                    else %1$s._gov_refuse_sum(g.starts_at, g.minutes)
                end as start
            from %1$s.gov_usage_by_time u
            cross join lateral
            (
                select coalesce(u.grain_minutes, 60) as minutes, u.hour + make_interval(mins => coalesce(u.minute, 0)) as starts_at,
                    u.hour + make_interval(mins => coalesce(u.minute + u.grain_minutes, 60)) as ends_at
            ) g
            where u.hour > $1 - interval '1 hour'
                and u.hour < $2
                and g.ends_at > $1
                and g.starts_at < $2
                and ($4 is null or u.owner_id = any ($4))
                and ($5 is null or u.capability_id = any ($5))
        ) s
        group by s.owner_id, s.capability_id, s.entity_id, s.start
        order by s.start, s.owner_id, s.capability_id, s.entity_id
        $query$,
        '@extschema@')
    using from_time, to_time, bucket, owner_ids, capability_ids, extract(epoch from longest)::int / 60, judged_from, judged_to;
end
$$;

comment on function @extschema@._gov_usage_sums(timestamptz, timestamptz, interval, text, text[], text[]) is 'internal: gov_usage_sums, in a time zone that is there';

create function @extschema@.gov_usage_sums
(
    from_time timestamptz,
    to_time timestamptz default 'infinity',
    bucket interval default null,
    timezone text default null,
    owner_ids text[] default null,
    capability_ids text[] default null
)
returns table
(
    owner_id text,
    capability_id text,
    entity_id text,
    bucket_start timestamptz,
    local_start timestamp,
    amount numeric,
    event_count bigint
)
language sql
stable
begin atomic
    select *
    from @extschema@._gov_usage_sums(
        from_time, to_time, bucket, @extschema@._gov_require_timezone(timezone), owner_ids, capability_ids);
end;

comment on function @extschema@.gov_usage_sums(timestamptz, timestamptz, interval, text, text[], text[]) is
$$What each entity and its descendants used, by days, months or hours of a time zone: the sums of gov_usage_by_time, added up.
It refuses buckets and times that these sums do not add up to. They go up to the last rollup, some seconds ago, and back as far
as governance.usage_retention keeps them.

from_time, to_time: by occurred_at, from_time included, to_time not; each a time at which a sum begins, such as a full hour of
    UTC, or infinite; bucket: months, days or time, such as interval '1 day', weeks on Monday; null for no buckets; timezone: where
    the buckets begin, a name of pg_timezone_names; null for the session's; owner_ids, capability_ids: of which; null for all that
    the session may see
result: a row per owner, capability, entity and bucket, by bucket; entity_id: empty for events that resolved to nothing; bucket_start:
    null without buckets, else as date_trunc has it; local_start: the same in local time, whose date is that of the day; amount,
    event_count: the sum of the events, and how many they are
errors: 22004 null time or owner; 22023 buckets or times that sums as long as governance.usage_grain do not add up to, or that older
    ones do not; 22023 unknown time zone, bucket not positive or of more than one unit, list of two dimensions; 22008 a bucket that
    lies outside the calendar; 42501 an owner that the session may not see
since: 1.1.0$$;
