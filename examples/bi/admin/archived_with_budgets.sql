-- Archived entities that still have budgets: suspended, and back in force when the entity is unarchived.
select
    e.owner_id,
    e.id as entity_id,
    e.type_id,
    e.archived_at,
    count(*) as budgets,
    array_agg(distinct a.capability_id order by a.capability_id) as capabilities
from gov_entities e
join gov_assignments a on a.owner_id = e.owner_id and a.entity_id = e.id
where e.archived_at is not null
group by e.owner_id, e.id, e.type_id, e.archived_at
order by e.archived_at desc, e.owner_id, e.id;
