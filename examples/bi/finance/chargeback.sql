-- The last month's bill of each team, by your price list: every event is charged once, to the first team that it was resolved to.
with use as materialized (
    select
        owner_id,
        entity_ids,
        capability_id,
        dimensions ->> 'model' as model,
        price,
        currency,
        count(*) as events,
        sum(amount) as amount,
        sum(cost) as cost
    from ai_costs
    where occurred_at >= date_trunc('month', now()) - interval '1 month' - interval '1 day'
        and occurred_at::timestamp >= date_trunc('month', localtimestamp) - interval '1 month'
        and occurred_at::timestamp < date_trunc('month', localtimestamp)
    group by owner_id, entity_ids, capability_id, model, price, currency
),
first_team as materialized (
    select
        k.owner_id,
        k.entity_ids,
        (
            select n.id
            from unnest(k.entity_ids) with ordinality as u (id, place)
            join gov_entities n on n.owner_id = k.owner_id and n.id = u.id and n.type_id = 'team'
            order by u.place
            limit 1
        ) as team
    from (select distinct owner_id, entity_ids from use) k
)
select
    u.owner_id,
    coalesce(t.team, '(none)') as team,
    u.capability_id,
    u.model,
    sum(u.events) as events,
    sum(u.amount) as amount,
    u.price,
    sum(u.cost) as cost,
    u.currency
from use u
join first_team t on t.owner_id = u.owner_id and t.entity_ids = u.entity_ids
group by u.owner_id, t.team, u.capability_id, u.model, u.price, u.currency
order by u.owner_id, team, u.capability_id, u.model, u.price;
