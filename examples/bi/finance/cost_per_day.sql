-- What each team, product and model cost per day, this month and the last: the product is the dimension "feature".
with use as materialized (
    select
        owner_id,
        entity_ids,
        capability_id,
        dimensions ->> 'feature' as product,
        dimensions ->> 'model' as model,
        occurred_at::date as day,
        sum(amount) as amount,
        sum(cost) as cost,
        currency
    from ai_costs
    where occurred_at >= date_trunc('month', now()) - interval '1 month' - interval '1 day'
        and occurred_at::timestamp >= date_trunc('month', localtimestamp) - interval '1 month'
    group by owner_id, entity_ids, capability_id, product, model, day, currency
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
    u.day,
    t.team,
    u.product,
    u.model,
    u.capability_id,
    sum(u.amount) as amount,
    round(sum(u.cost), 2) as cost,
    u.currency
from use u
join first_team t on t.owner_id = u.owner_id and t.entity_ids = u.entity_ids
group by u.owner_id, u.day, t.team, u.product, u.model, u.capability_id, u.currency
order by u.owner_id, u.day, cost desc nulls last, t.team, u.product, u.model, u.capability_id;
