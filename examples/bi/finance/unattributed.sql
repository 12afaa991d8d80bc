-- What no team can be charged for, per day of the last month: events without an entity, or with none of type "team".
with use as materialized (
    select
        owner_id,
        occurred_at::date as day,
        capability_id,
        entity_ids,
        caller,
        sum(amount) as amount
    from gov_events
    where occurred_at >= date_trunc('day', now()) - interval '1 month' - interval '1 day'
        and occurred_at::timestamp >= date_trunc('day', localtimestamp) - interval '1 month'
    group by owner_id, day, capability_id, entity_ids, caller
),
without_team as materialized (
    select k.owner_id, k.entity_ids
    from (select distinct owner_id, entity_ids from use) k
    where not exists (
        select
        from unnest(k.entity_ids) u (id)
        join gov_entities n on n.owner_id = k.owner_id and n.id = u.id
        where n.type_id = 'team'
    )
)
select
    u.owner_id,
    u.day,
    u.capability_id,
    coalesce(sum(u.amount) filter (where u.entity_ids = '{}'), 0) as without_entity,
    coalesce(sum(u.amount) filter (where u.entity_ids <> '{}'), 0) as without_team,
    string_agg(distinct u.caller, ', ' order by u.caller) as recorded_by
from use u
join without_team w on w.owner_id = u.owner_id and w.entity_ids = u.entity_ids
group by u.owner_id, u.day, u.capability_id
order by u.owner_id, u.day, u.capability_id;
