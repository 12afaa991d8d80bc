-- Soft budgets that are over their limit: nothing was denied, and somebody should know.
select
    owner_id,
    entity_id,
    capability_id,
    scope_entity_ids,
    name,
    usage_limit,
    current_usage,
    current_usage - usage_limit as overage,
    usage_period_start,
    usage_period_end
from gov_budgets
where enforcement = 'soft'
    and current_usage > usage_limit
order by overage desc, owner_id, entity_id, capability_id, scope_entity_ids, name;
