-- gov_attribution against sums written down as the contract words them, for every mix of entity types and dimensions, and buckets in three time zones.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('sums');
call helper.organisation('others');
select setseed(0.5);
create table helper.uses as
select n,
       case when random() < 0.8 then 'tokens' else 'calls' end as capability,
       (array[0, 1, 2, 3.25, 0.000000001, 20, -1, -4.5])[1 + floor(random() * 8)]::numeric as amount,
       (array['acme', 'eng', 'ops', 'ann', 'ben', 'cyd', 'bot', 'gpt', 'nobody'])[1 + floor(random() * 9)] as one,
       (array['ann', 'cyd', 'opus', 'nobody'])[1 + floor(random() * 8)] as two,
       jsonb_strip_nulls(jsonb_build_object(
           'model', (array['gpt', 'opus', 'other'])[1 + floor(random() * 6)],
           'userId', (array['ben', 'eng'])[1 + floor(random() * 6)],
           'feature', (array['chat', 'code', '', 'team'])[1 + floor(random() * 6)],
           'retry', (array[true, false])[1 + floor(random() * 4)],
           'user', (array['someone', 'else'])[1 + floor(random() * 4)])) as dims,
       timestamptz '2024-02-20 00:00Z' + interval '1 minute' * floor(random() * 60 * 24 * 60) as at
from generate_series(1, 250) as n;
select count(gov_ingest('sums', capability, amount, dims, array_remove(array[one, two], null), null, at)) from (table helper.uses order by n) as u;
select count(gov_ingest('others', capability, amount, dims, array[one], null, at)) from (table helper.uses order by n limit 50) as u;

-- One row for each group and bucket: a name is an entity type, and then each entity of it that the use was resolved to counts, or else a dimension.
create function helper.sums(group_by text[], from_time timestamptz, to_time timestamptz, bucket text)
returns table (group_key jsonb, bucket_start timestamptz, amount numeric, event_count bigint)
language sql
as $$
    with recursive grouped as (
        select e.id, e.amount, e.dimensions, e.entity_ids, '{}'::jsonb as key, 0 as named,
               case when bucket is not null then date_trunc(bucket, e.occurred_at) end as start
        from gov_events as e
        where e.owner_id = 'sums' and e.capability_id = 'tokens' and e.occurred_at >= from_time and e.occurred_at < to_time
        union all
        select g.id, g.amount, g.dimensions, g.entity_ids, g.key || jsonb_build_object(group_by[named + 1], v.value), named + 1, g.start
        from grouped as g
        cross join lateral (
            select to_jsonb(n.id) as value
            from gov_entities as n
            where n.owner_id = 'sums' and n.id = any (g.entity_ids) and n.type_id = group_by[named + 1]
            union all
            select case when not exists (select from gov_entity_types as t where t.id = group_by[named + 1]) then g.dimensions -> group_by[named + 1] end
            where not exists (select from gov_entities as n where n.owner_id = 'sums' and n.id = any (g.entity_ids) and n.type_id = group_by[named + 1])
        ) as v
        where named < cardinality(group_by)
    )
    select key, start, sum(amount), count(*)
    from grouped
    where named = cardinality(group_by)
    group by key, start
$$;

-- Every mix of up to three names, with and without buckets, for all time and for a part: how many differ.
create table helper.mixes as
with names (name) as (values ('org'), ('team'), ('user'), ('agent'), ('model'), ('feature'), ('retry'), ('userId'), ('nothing'))
select '{}'::text[] as group_by
union all
select array[a.name] from names as a
union all
select array[a.name, b.name] from names as a, names as b where a.name < b.name or b.name in ('team', 'feature') and a.name <> b.name
union all
select array[a.name, b.name, 'feature'] from names as a, names as b where a.name < b.name and 'feature' not in (a.name, b.name) and 'team' in (a.name, b.name);

create function helper.differing(mix text[], bucket text, size interval, from_time timestamptz, to_time timestamptz) returns bigint
language sql
as $$
    with wanted as (select group_key, bucket_start, trim_scale(amount), event_count from helper.sums(mix, from_time, to_time, bucket)),
         got as (select group_key, bucket_start, trim_scale(amount), event_count from gov_attribution('sums', 'tokens', mix, from_time, to_time, size))
    select count(*)
    from ((table wanted except all table got) union all (table got except all table wanted)) as x
$$;

select count(*) as mixes, sum(helper.differing(group_by, null, null, '-infinity', 'infinity')) as differing from helper.mixes;
set timezone = 'America/New_York';
select sum(helper.differing(group_by, 'day', '1 day', '2024-03-01 12:00', '2024-03-20')) as differing from helper.mixes where cardinality(group_by) < 3;
set timezone = 'Asia/Kolkata';
select sum(helper.differing(group_by, 'week', '1 week', '-infinity', 'infinity')) as differing from helper.mixes where cardinality(group_by) < 3;
set timezone = 'UTC';
select sum(helper.differing(group_by, 'month', '1 month', '-infinity', 'infinity')) as differing from helper.mixes where cardinality(group_by) < 3;
select sum(helper.differing(group_by, 'hour', '1 hour', '2024-03-10', '2024-03-12')) as differing from helper.mixes where cardinality(group_by) < 3;

-- There was something to add up, and the same after the rollup.
select count(*) > 15 as groups, count(*) filter (where group_key ->> 'user' is null) > 3 as without, sum(event_count) > 150 as uses from gov_attribution('sums', 'tokens', '{user,feature}', '-infinity', 'infinity');
call helper.roll_up();
select sum(helper.differing(group_by, null, null, '-infinity', 'infinity')) as differing from helper.mixes;
select gov_delete_owner('sums'), gov_delete_owner('others');
