/* ---------------------------------------------------------------------------------------------------------------- */
/* Triggers for the rules of the hierarchy (src/rules/hierarchy.c), of new budgets (src/rules/assignment.c) and of strict ones */
/* (src/rules/allocation.c)                                                                                         */
/* ---------------------------------------------------------------------------------------------------------------- */

create function @extschema@.gov_entity_moves()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_entity_moves_1_0';

comment on function @extschema@.gov_entity_moves() is
    'trigger: refuses a change of the parent of an entity that had children before the statement (55000)';

create function @extschema@.gov_entity_placed()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_entity_placed_1_0';

comment on function @extschema@.gov_entity_placed() is
    'trigger: refuses a parent that is no entity of the same owner (23503), a cycle (23514), and more than 64 entities in a chain (54000)';

create function @extschema@.gov_entity_removed()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_entity_removed_1_0';

comment on function @extschema@.gov_entity_removed() is
    'trigger: refuses to delete an entity that has children, or that a scope names (23503)';

create trigger gov_entities_moves
    before update on @extschema@.gov_entities
    for each row
    when (new.parent_id is distinct from old.parent_id)
    execute function @extschema@.gov_entity_moves();

create trigger gov_entities_placed
    after insert on @extschema@.gov_entities
    for each row
    when (new.parent_id is not null)
    execute function @extschema@.gov_entity_placed();

create trigger gov_entities_placed_anew
    after update on @extschema@.gov_entities
    for each row
    when (new.parent_id is distinct from old.parent_id)
    execute function @extschema@.gov_entity_placed();

create trigger gov_entities_removed
    after delete on @extschema@.gov_entities
    for each row
    execute function @extschema@.gov_entity_removed();

-- A dimension key says what one type does with unknown ids (src/rules/unknown_key.c).

create function @extschema@.gov_unknown_key_unique()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_unknown_key_unique_1_1';

comment on function @extschema@.gov_unknown_key_unique() is
    'trigger: refuses an attribution key of two types whose on_unknown is not ignore (23505)';

create trigger gov_entity_types_unknown_key
    after insert on @extschema@.gov_entity_types
    for each row
    when (new.on_unknown <> 'ignore')
    execute function @extschema@.gov_unknown_key_unique();

create trigger gov_entity_types_unknown_key_anew
    after update on @extschema@.gov_entity_types
    for each row
    when (new.on_unknown <> 'ignore'
        and (old.on_unknown = 'ignore' or new.attribution_keys is distinct from old.attribution_keys))
    execute function @extschema@.gov_unknown_key_unique();

-- A capability with budgets counts what is used up, or what is under way, and does not turn into the other (src/rules/kind.c).

create function @extschema@.gov_kind_kept()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_kind_kept_1_1';

comment on function @extschema@.gov_kind_kept() is
    'trigger: refuses to change the kind of a capability to or from concurrency while it has budgets (55000)';

create trigger gov_capabilities_kind
    after update on @extschema@.gov_capabilities
    for each row
    when ((new.kind = 'concurrency') <> (old.kind = 'concurrency'))
    execute function @extschema@.gov_kind_kept();

-- They judge whole statements, after all triggers for rows, and fire by name: gov_assignments_allocated takes its lock last.

create function @extschema@.gov_assignment_placed()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_assignment_placed_1_1';

comment on function @extschema@.gov_assignment_placed() is
    'trigger: refuses a scope that names no entity of the same owner (23503), and more than 256 budgets per entity and capability (54000)';

create function @extschema@.gov_assignment_allocated()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_assignment_allocated_1_0';

comment on function @extschema@.gov_assignment_allocated() is
    'trigger: refuses limits of an entity''s children that add up to more than its strict budget (23514)';

create function @extschema@.gov_entity_allocated()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_entity_allocated_1_0';

comment on function @extschema@.gov_entity_allocated() is
    'trigger: refuses to move or unarchive entities where limits of children would add up to more than a strict budget (23514)';

create trigger gov_assignments_added
    after insert on @extschema@.gov_assignments
    referencing new table as written
    for each statement
    execute function @extschema@.gov_assignment_placed();

create trigger gov_assignments_allocated
    after insert on @extschema@.gov_assignments
    referencing new table as written
    for each statement
    execute function @extschema@.gov_assignment_allocated();

create trigger gov_assignments_allocated_anew
    after update on @extschema@.gov_assignments
    referencing old table as replaced new table as written
    for each statement
    execute function @extschema@.gov_assignment_allocated();

-- What a tenant may make (src/rules/tenant.c). They judge whole statements too, after the strict budgets.

create function @extschema@.gov_assignment_bounded()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_assignment_bounded_1_1';

comment on function @extschema@.gov_assignment_bounded() is
    'trigger: refuses more budgets, shorter windows and more thresholds of a tenant than governance.tenant_... allow (54000)';

create function @extschema@.gov_alert_policy_bounded()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_alert_policy_bounded_1_1';

comment on function @extschema@.gov_alert_policy_bounded() is 'trigger: refuses more thresholds of a tenant than governance.tenant_thresholds allows (54000)';

create trigger gov_assignments_bounded
    after insert on @extschema@.gov_assignments
    referencing new table as written
    for each statement
    execute function @extschema@.gov_assignment_bounded();

create trigger gov_assignments_bounded_anew
    after update on @extschema@.gov_assignments
    referencing old table as replaced new table as written
    for each statement
    execute function @extschema@.gov_assignment_bounded();

create trigger gov_alert_policies_bounded
    after insert on @extschema@.gov_alert_policies
    referencing new table as written
    for each statement
    execute function @extschema@.gov_alert_policy_bounded();

create trigger gov_alert_policies_bounded_anew
    after update on @extschema@.gov_alert_policies
    referencing old table as replaced new table as written
    for each statement
    execute function @extschema@.gov_alert_policy_bounded();

create trigger gov_entities_allocated_anew
    after update on @extschema@.gov_entities
    referencing old table as replaced new table as written
    for each statement
    execute function @extschema@.gov_entity_allocated();

