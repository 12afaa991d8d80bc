-- The twenty users of each customer and capability that used most this month, with their share: for the entity type "user".
select r.owner_id, r.capability_id, r.place, r.entity_id, r.display_name, r.amount, r.percent
from (
    select
        h.owner_id,
        h.capability_id,
        row_number() over (partition by h.owner_id, h.capability_id order by sum(h.amount) desc, h.entity_id) as place,
        h.entity_id,
        e.display_name,
        sum(h.amount) as amount,
        round(100 * sum(h.amount) / nullif(sum(sum(h.amount)) over (partition by h.owner_id, h.capability_id), 0), 1) as percent
    from gov_usage_sums(date_trunc('month', now()) - interval '1 day', bucket => '1 month') h
    join gov_entities e on e.owner_id = h.owner_id and e.id = h.entity_id
    where e.type_id = 'user'
        and h.local_start = date_trunc('month', localtimestamp)
    group by h.owner_id, h.capability_id, h.entity_id, e.display_name
) r
where r.place <= 20
order by r.owner_id, r.capability_id, r.place;
