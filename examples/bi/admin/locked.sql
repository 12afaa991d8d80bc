-- Budgets that the customers cannot change themselves.
select
    owner_id,
    entity_id,
    capability_id,
    scope_entity_ids,
    name,
    usage_limit,
    cadence,
    enforcement,
    updated_at
from gov_assignments
where locked
order by owner_id, entity_id, capability_id, scope_entity_ids, name;
