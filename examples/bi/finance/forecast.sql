-- Where each team will be at the end of the month if it goes on as in the last seven days: for the entity type "team".
select
    h.owner_id,
    h.capability_id,
    h.entity_id,
    coalesce(sum(h.amount) filter (where h.hour >= m.this_month), 0) as this_month,
    round(coalesce(sum(h.amount) filter (where h.hour >= m.now - interval '7 days'), 0) / 7, 2) as per_day,
    round(
        coalesce(sum(h.amount) filter (where h.hour >= m.this_month), 0)
        + coalesce(sum(h.amount) filter (where h.hour >= m.now - interval '7 days'), 0)
            * (extract(epoch from m.next_month - m.now) / extract(epoch from interval '7 days'))::numeric,
        2) as forecast
from (
    select
        now() as now,
        date_trunc('month', now()) as this_month,
        date_trunc('month', now()) + interval '1 month' as next_month
) m
join gov_usage_hourly h on h.hour >= least(m.this_month, m.now - interval '7 days')
join gov_entities e on e.owner_id = h.owner_id and e.id = h.entity_id
where e.type_id = 'team'
group by h.owner_id, h.capability_id, h.entity_id, m.now, m.this_month, m.next_month
order by h.owner_id, h.capability_id, forecast desc, h.entity_id;
