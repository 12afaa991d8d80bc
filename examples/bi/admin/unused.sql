-- Budgets with a limit of which nothing was used in any window of the last 90 days: what could be given to others, or is misspelt.
select
    a.owner_id,
    a.entity_id,
    a.capability_id,
    a.scope_entity_ids,
    a.name,
    a.usage_limit,
    a.cadence,
    a.created_at
from gov_assignments a
join gov_entities e on e.owner_id = a.owner_id and e.id = a.entity_id
where a.usage_limit > 0
    and e.archived_at is null
    and not exists (
        select
        from gov_usage u
        where u.counter_id = a.counter_id
            and u.window_end > now() - interval '90 days'
            and u.amount <> 0
    )
order by a.owner_id, a.entity_id, a.capability_id, a.scope_entity_ids, a.name;
