-- Budgets that are used by 80 per cent or more, or would be if all holds were settled as they are.
select
    owner_id,
    entity_id,
    capability_id,
    scope_entity_ids,
    name,
    usage_limit,
    current_usage,
    reserved_usage,
    remaining,
    round(100 * utilization, 1) as percent,
    enforcement,
    usage_period_end
from gov_budgets
where utilization >= 0.8
    or (usage_limit > 0 and current_usage + reserved_usage >= 0.8 * usage_limit)
order by utilization desc, owner_id, entity_id, capability_id, scope_entity_ids, name;
