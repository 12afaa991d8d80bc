--
-- gov_shard: which of several servers an owner is at home on
--
-- What others have computed and stored stays what it is.
select n, gov_shard_key(owner_id) as key, gov_shard(owner_id, 1) as of_1, gov_shard(owner_id, 3) as of_3, gov_shard(owner_id, 64) as of_64,
    gov_shard(owner_id, 2147483647) as of_most
from unnest(array['', 'acme', 'globex', 'Łódź', '顧客', repeat('x', 255)]) with ordinality as o (owner_id, n);

-- The key is what SQL, and any other language, can compute.
select count(*) as different
from (select 'owner-' || n as owner_id from generate_series(1, 2000) as n) as o
where gov_shard_key(owner_id) <> ('x' || encode(substr(sha256(convert_to(owner_id, 'UTF8')), 1, 6), 'hex'))::bit(48)::bigint;

-- Each shard has its share. With one more, owners move to that one and to no other, and no more than its share.
select shards, min(owners) > 0.8 * 20000 / shards as has_enough, max(owners) < 1.2 * 20000 / shards as has_not_too_many, count(*) as used
from (
    select shards, gov_shard('owner-' || n, shards) as shard, count(*) as owners
    from generate_series(1, 20000) as n, unnest(array[2, 3, 7, 16]) as shards
    group by 1, 2
) as s
group by 1 order by 1;
select shards, count(*) filter (where was <> is_now and is_now <> shards) as moved_elsewhere,
    count(*) filter (where was <> is_now) between 0.8 * 20000 / (shards + 1) and 1.2 * 20000 / (shards + 1) as moved_a_share
from (
    select shards, gov_shard('owner-' || n, shards) as was, gov_shard('owner-' || n, shards + 1) as is_now
    from generate_series(1, 20000) as n, unnest(array[1, 2, 3, 7, 16]) as shards
) as s
group by 1 order by 1;

-- The id of a hold says where its owner is.
select gov_upsert_capabilities('[{"id": "shard-calls"}]') is not null as done;
select count(*) as holds, count(distinct reservation_id) as ids, count(*) filter (where gov_shard_key(reservation_id) = gov_shard_key(owner_id)) as keys,
    count(*) filter (where gov_shard(reservation_id, 5) = gov_shard(owner_id, 5)) as shards,
    count(*) filter (where reservation_id::text ~ '^.{8}-.{4}-8.{3}-[89ab].{3}-.{12}$') as of_version_8
from (
    select owner_id, (gov_reserve(owner_id, 'shard-calls', 1)).reservation_id
    from (select 'shard-' || n % 7 as owner_id from generate_series(1, 200) as n) as o
) as h;
select count(*) as others, count(distinct gov_shard_key(id)) as keys
from gov_reservations where owner_id in ('shard-0', 'shard-1') and gov_shard_key(id) not in (gov_shard_key('shard-0'), gov_shard_key('shard-1'));
select gov_shard_key(reservation_id) = gov_shard_key('shard-0') as one_of_several
from gov_reserve_all('shard-0', '{"shard-calls": 1}');

-- An older one says nothing.
select gov_shard(gen_random_uuid(), 3) as shard, gov_shard_key(gen_random_uuid()) as key, gov_shard_key('00000000-0000-8000-0000-000000000000'::uuid) as other_variant;
select gov_shard(null::text, 3), gov_shard(null::uuid, 3), gov_shard('acme', null), gov_shard_key(null::text), gov_shard_key(null::uuid);

-- Refused
create function pg_temp.error_of(call text)
returns text
language plpgsql
as $$
begin
    execute call;
    return null;
exception when others then
    return sqlstate || ': ' || sqlerrm;
end
$$;
select call, pg_temp.error_of(call)
from unnest(array[
    $$select gov_shard('acme', 0)$$,
    $$select gov_shard('acme', -1)$$,
    $$select gov_shard('00000000-0000-8000-8000-000000000000'::uuid, 0)$$
]) as call;

select count(gov_delete_owner('shard-' || n)) as deleted from generate_series(0, 6) as n;
delete from gov_capabilities where id = 'shard-calls';
