-- "order by" keeps the query that reads the view from asking in another order, and lets its conditions on owner and entity pass.

create view @extschema@.gov_budgets with (security_invoker = true) as
select
    o.owner_id,
    o.entity_id,
    b.display_name collate "C" as display_name,
    b.type_id collate "C" as type_id,
    b.parent_id collate "C" as parent_id,
    b.capability_id collate "C" as capability_id,
    b.scope_entity_ids collate "C" as scope_entity_ids,
    b.name collate "C" as name,
    b.usage_limit,
    b.current_usage,
    b.reserved_usage,
    b.remaining,
    b.allocated,
    b.utilization,
    b.cadence collate "C" as cadence,
    b.usage_period_start,
    b.usage_period_end,
    b.enforcement collate "C" as enforcement,
    b.locked,
    b.base_limit,
    b.blocked_at,
    b.blocked_until,
    b.blocked_reason collate "C" as blocked_reason,
    b.source collate "C" as source,
    b.default_id,
    b.carried
from
(
    select a.owner_id, a.entity_id
    from
    (
        select x.owner_id, x.entity_id
        from @extschema@.gov_assignments x
        union all
        select x.owner_id, x.entity_id
        from @extschema@.gov_default_counts x
    ) a
    group by a.owner_id, a.entity_id
    order by a.owner_id, a.entity_id
) o
cross join lateral @extschema@._gov_budgets_of_entity(o.owner_id, o.entity_id, (select @extschema@.gov_now())) b
order by o.owner_id, o.entity_id;

comment on view @extschema@.gov_budgets is 'the budgets of entities that are not archived, by assignments and (since 1.1.0) by defaults if they were used, with what is used and held of them right now';
comment on column @extschema@.gov_budgets.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_budgets.entity_id is 'the entity whose budget it is';
comment on column @extschema@.gov_budgets.display_name is 'the display name of the entity';
comment on column @extschema@.gov_budgets.type_id is 'the type of the entity';
comment on column @extschema@.gov_budgets.parent_id is 'the nearest entity above that is not archived; null for a root';
comment on column @extschema@.gov_budgets.capability_id is 'the capability that it limits';
comment on column @extschema@.gov_budgets.scope_entity_ids is 'the budget holds only where all these entities are resolved too; {} = everywhere';
comment on column @extschema@.gov_budgets.name is 'tells budgets of one entity, capability and scope apart; may be empty';
comment on column @extschema@.gov_budgets.usage_limit is 'the limit in force, with its boosts and what is carried over; null = no limit';
comment on column @extschema@.gov_budgets.current_usage is 'used in the present window, committed or by this transaction';
comment on column @extschema@.gov_budgets.reserved_usage is 'held by open holds whose time has not passed';
comment on column @extschema@.gov_budgets.remaining is 'limit - usage - held, negative when over the limit; null without a limit';
comment on column @extschema@.gov_budgets.allocated is
    'the sum of the limits of the children''s unnamed node-wide budgets of this capability and cadence, archived children left out; null on scoped budgets';
comment on column @extschema@.gov_budgets.utilization is 'usage / limit, not capped; 1 for a limit of 0, null without a limit';
comment on column @extschema@.gov_budgets.cadence is 'the length of a window, such as P1M; null for a budget that never resets';
comment on column @extschema@.gov_budgets.usage_period_start is 'the start of the present window; null for a budget that never resets, and where a first use is to begin one';
comment on column @extschema@.gov_budgets.usage_period_end is 'its end, exclusive; null likewise, and for a window that slides, which starts with the first grain that counts';
comment on column @extschema@.gov_budgets.enforcement is 'hard = denies what would pass the limit, soft = only counts it';
comment on column @extschema@.gov_budgets.locked is 'true = tenants may not change it';
comment on column @extschema@.gov_budgets.base_limit is 'the limit without boosts, and without what is carried over (since 1.1.0)';
comment on column @extschema@.gov_budgets.carried is 'what is carried over into the present window, below 0 for a debt; null for a budget that carries nothing over (since 1.1.0)';
comment on column @extschema@.gov_budgets.blocked_at is 'since when its entity is blocked; null: it is not, though what is above it may be (since 1.1.0)';
comment on column @extschema@.gov_budgets.blocked_until is 'when that block ends by itself; null: not at all (since 1.1.0)';
comment on column @extschema@.gov_budgets.blocked_reason is 'why, for people to read (since 1.1.0)';
comment on column @extschema@.gov_budgets.source is 'own = an assignment, default = by a default; those that were never used are not here (since 1.1.0)';
comment on column @extschema@.gov_budgets.default_id is 'the default that the budget comes from; null for an assignment (since 1.1.0)';

create view @extschema@.gov_allocations with (security_invoker = true) as
select
    o.owner_id,
    o.entity_id,
    b.capability_id collate "C" as capability_id,
    b.name collate "C" as name,
    b.cadence collate "C" as cadence,
    b.base_limit as usage_limit,
    b.allocated,
    trim_scale(b.base_limit - b.allocated) as unallocated,
    b.strict_allocation
from
(
    select a.owner_id, a.entity_id
    from @extschema@.gov_assignments a
    group by a.owner_id, a.entity_id
    order by a.owner_id, a.entity_id
) o
cross join lateral @extschema@._gov_budgets_of_entity(o.owner_id, o.entity_id, (select @extschema@.gov_now())) b
where b.scope_entity_ids = '{}'
    and b.source = 'own'
order by o.owner_id, o.entity_id;

comment on view @extschema@.gov_allocations is 'the node-wide assignments of entities that are not archived, with what is left to allocate to children. Budgets by defaults neither allocate nor are allocated';
comment on column @extschema@.gov_allocations.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_allocations.entity_id is 'the entity whose budget it is';
comment on column @extschema@.gov_allocations.capability_id is 'the capability that it limits';
comment on column @extschema@.gov_allocations.name is 'tells budgets of one entity and capability apart; may be empty';
comment on column @extschema@.gov_allocations.cadence is 'the length of a window, such as P1M; null for a budget that never resets';
comment on column @extschema@.gov_allocations.usage_limit is 'the limit without boosts; null = no limit';
comment on column @extschema@.gov_allocations.allocated is
    'the sum of the limits of the children''s unnamed node-wide budgets of this capability and cadence, archived children left out';
comment on column @extschema@.gov_allocations.unallocated is 'limit - allocated, negative when more is allocated than there is; null without a limit';
comment on column @extschema@.gov_allocations.strict_allocation is 'true = no more may be allocated than the limit';

create view @extschema@.gov_exceptions with (security_invoker = true) as
select
    e.owner_id,
    e.id as entity_id,
    'blocked'::text collate "C" as exception,
    null::text collate "C" as capability_id,
    null::text[] collate "C" as scope_entity_ids,
    null::text collate "C" as name,
    null::numeric as amount,
    e.blocked_at as since,
    e.blocked_until as until,
    e.blocked_reason as reason,
    null::uuid as id
from @extschema@.gov_entities e
where e.blocked_at is not null
    and (e.blocked_until > @extschema@.gov_now()) is not false
union all
select
    f.owner_id,
    null,
    'frozen',
    null,
    null,
    null,
    null,
    f.frozen_at,
    null,
    'frozen by ' || f.frozen_by,
    null
from @extschema@.gov_frozen_owners f
union all
select
    b.owner_id,
    b.entity_id,
    'boosted',
    b.capability_id,
    b.scope_entity_ids,
    b.name,
    b.amount,
    b.valid_from,
    b.valid_until,
    b.reason,
    b.id
from @extschema@.gov_boosts b
where (b.valid_until > @extschema@.gov_now()) is not false
union all
select
    r.owner_id,
    r.entity_id,
    'asks for more',
    r.capability_id,
    r.scope_entity_ids,
    r.name,
    r.amount,
    r.created_at,
    r.valid_until,
    r.reason,
    r.id
from @extschema@.gov_increase_requests r
where r.state = 'open'
union all
select
    b.owner_id,
    b.entity_id,
    'over its limit',
    b.capability_id,
    b.scope_entity_ids,
    b.name,
    trim_scale(b.current_usage - b.usage_limit),
    b.usage_period_start,
    b.usage_period_end,
    null,
    null
from @extschema@.gov_budgets b
where b.current_usage > b.usage_limit;

comment on view @extschema@.gov_exceptions is 'who is blocked, boosted, frozen, over a limit, or waiting for an answer, just now or soon (since 1.1.0)';
comment on column @extschema@.gov_exceptions.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_exceptions.entity_id is 'the entity that it is about; null for a frozen owner';
comment on column @extschema@.gov_exceptions.exception is 'blocked, boosted, frozen, asks for more, or over its limit';
comment on column @extschema@.gov_exceptions.capability_id is 'the capability of the budget; null for a block and a frozen owner, which are for all';
comment on column @extschema@.gov_exceptions.scope_entity_ids is 'the scope of the budget; null where there is none';
comment on column @extschema@.gov_exceptions.name is 'the name of the budget; null where there is none';
comment on column @extschema@.gov_exceptions.amount is 'what is added to the limit, or asked for, or used over it; null otherwise';
comment on column @extschema@.gov_exceptions.since is 'when it began, or begins; of usage over the limit when the window did (null: it never resets)';
comment on column @extschema@.gov_exceptions.until is 'when it ends by itself; null: not at all';
comment on column @extschema@.gov_exceptions.reason is 'why, for people to read';
comment on column @extschema@.gov_exceptions.id is 'of the boost or the request';

-- What the views of 1.0.0 read.
drop function if exists @extschema@._gov_budgets_of(text, timestamptz);
