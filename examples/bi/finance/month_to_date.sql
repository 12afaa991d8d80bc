-- This month so far against the same part of the last month, and all of it, per customer and capability.
select
    c.owner_id,
    c.capability_id,
    coalesce(sum(c.amount) filter (where c.occurred_at::timestamp >= m.this_month), 0) as this_month,
    coalesce(
        sum(c.amount) filter (
            where c.occurred_at::timestamp < m.last_month + (localtimestamp - m.this_month)
                and c.occurred_at::timestamp < m.this_month),
        0) as last_month_so_far,
    coalesce(sum(c.amount) filter (where c.occurred_at::timestamp < m.this_month), 0) as last_month,
    round(sum(c.cost) filter (where c.occurred_at::timestamp >= m.this_month), 2) as cost_this_month,
    round(sum(c.cost) filter (where c.occurred_at::timestamp < m.this_month), 2) as cost_last_month
from (select date_trunc('month', localtimestamp) as this_month, date_trunc('month', localtimestamp) - interval '1 month' as last_month) m
join ai_costs c on c.occurred_at >= date_trunc('month', now()) - interval '1 month' - interval '1 day'
    and c.occurred_at::timestamp >= m.last_month
group by c.owner_id, c.capability_id
order by c.owner_id, c.capability_id;
