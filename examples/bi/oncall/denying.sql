-- What denies right now: hard budgets with nothing left, and when they have something again (null: when the limit is raised).
select
    owner_id,
    entity_id,
    capability_id,
    scope_entity_ids,
    name,
    usage_limit,
    current_usage,
    reserved_usage,
    case when current_usage >= usage_limit then 'used' else 'held' end as because,
    usage_period_end
from gov_budgets
where enforcement = 'hard'
    and remaining <= 0
order by usage_period_end nulls first, owner_id, entity_id, capability_id, scope_entity_ids, name;
