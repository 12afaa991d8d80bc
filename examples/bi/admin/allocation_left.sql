-- What of a budget is not given to the children of its entity yet; negative where they have more than it has.
select
    owner_id,
    entity_id,
    capability_id,
    name,
    cadence,
    usage_limit,
    allocated,
    usage_limit - allocated as unallocated
from gov_budgets
where usage_limit is not null
    and allocated > 0
order by owner_id, unallocated, entity_id, capability_id, cadence, name;
