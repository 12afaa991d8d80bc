-- The alerts of the last day, the latest first.
select
    l.owner_id,
    l.raised_at,
    a.entity_id,
    a.capability_id,
    a.scope_entity_ids,
    a.name,
    l.threshold,
    l.usage,
    l.usage_limit,
    a.enforcement,
    l.window_start
from gov_alert_log l
join gov_assignments a on a.id = l.assignment_id
where l.raised_at >= now() - interval '1 day'
order by l.raised_at desc, l.id desc;
