-- What of a budget is not given to the children of its entity yet; negative where they have more than it has.
select
    owner_id,
    entity_id,
    capability_id,
    name,
    cadence,
    usage_limit,
    allocated,
    unallocated,
    strict_allocation
from gov_allocations
where usage_limit is not null
    and allocated > 0
order by owner_id, unallocated, entity_id, capability_id, cadence, name;
