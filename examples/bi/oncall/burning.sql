-- Who burns fastest: use in the last 15 minutes per entity, and when its tightest budget is spent at this rate.
select
    r.owner_id,
    r.entity_id,
    r.capability_id,
    r.events,
    r.amount,
    round(r.amount / 15, 2) as per_minute,
    b.remaining,
    case when r.amount > 0 then now() + greatest(b.remaining, 0) / r.amount * interval '15 minutes' end as spent_at
from (
    select e.owner_id, u.id as entity_id, e.capability_id, count(*) as events, sum(e.amount) as amount
    from gov_events e
    cross join unnest(e.entity_ids) u (id)
    where e.occurred_at >= now() - interval '15 minutes'
    group by e.owner_id, u.id, e.capability_id
) r
left join (
    select owner_id, entity_id, capability_id, min(remaining) as remaining
    from gov_budgets
    where enforcement = 'hard'
        and scope_entity_ids = '{}'
    group by owner_id, entity_id, capability_id
) b using (owner_id, entity_id, capability_id)
order by r.amount desc, r.owner_id, r.entity_id, r.capability_id
limit 50;
