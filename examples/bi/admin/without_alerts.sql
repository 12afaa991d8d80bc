-- Budgets with a limit that alert nobody: no thresholds of their own, of their customer, or of every customer.
select
    a.owner_id,
    a.entity_id,
    a.capability_id,
    a.scope_entity_ids,
    a.name,
    a.usage_limit,
    a.enforcement
from gov_assignments a
join gov_entities e on e.owner_id = a.owner_id and e.id = a.entity_id
left join gov_alert_policies o on o.owner_id = a.owner_id
left join gov_alert_policies d on d.owner_id is null
where a.usage_limit is not null
    and e.archived_at is null
    and coalesce(a.alert_thresholds, o.thresholds, d.thresholds, '{}') = '{}'
order by a.owner_id, a.entity_id, a.capability_id, a.scope_entity_ids, a.name;
