-- Where each team will be at the end of the month if it goes on as in the last seven whole days: for the entity type "team".
select
    h.owner_id,
    h.capability_id,
    h.entity_id,
    coalesce(sum(h.amount) filter (where h.local_start >= m.this_month), 0) as this_month,
    round(coalesce(sum(h.amount) filter (where h.local_start >= m.week_ago and h.local_start < m.today), 0) / 7, 2) as per_day,
    round(
        coalesce(sum(h.amount) filter (where h.local_start >= m.this_month), 0)
        + coalesce(sum(h.amount) filter (where h.local_start >= m.week_ago and h.local_start < m.today), 0)
            * (extract(epoch from m.next_month - m.now) / extract(epoch from interval '7 days'))::numeric,
        2) as forecast
from (
    select
        localtimestamp as now,
        date_trunc('day', localtimestamp) as today,
        date_trunc('day', localtimestamp) - interval '7 days' as week_ago,
        date_trunc('month', localtimestamp) as this_month,
        date_trunc('month', localtimestamp) + interval '1 month' as next_month
) m
join gov_usage_sums(least(date_trunc('month', now()), date_trunc('day', now()) - interval '7 days') - interval '1 day', bucket => '1 day') h
    on h.local_start >= least(m.this_month, m.week_ago)
join gov_entities e on e.owner_id = h.owner_id and e.id = h.entity_id
where e.type_id = 'team'
group by h.owner_id, h.capability_id, h.entity_id, m.now, m.next_month
order by h.owner_id, h.capability_id, forecast desc, h.entity_id;
