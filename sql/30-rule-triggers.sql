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
    'trigger: the parent is an entity of the same owner (23503), above it is no cycle (23514) and at most 64 entities in all (54000)';

create function @extschema@.gov_entity_removed()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_entity_removed_1_0';

comment on function @extschema@.gov_entity_removed() is
    'trigger: an entity that has children or is named by a scope is not deleted (23503)';

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

-- They judge whole statements, after all triggers for rows, and fire by name: gov_assignments_allocated takes its lock last.

create function @extschema@.gov_assignment_placed()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_assignment_placed_1_1';

comment on function @extschema@.gov_assignment_placed() is
    'trigger: a scope names entities of the same owner (23503), an entity has at most 256 budgets per capability (54000)';

create function @extschema@.gov_assignment_allocated()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_assignment_allocated_1_0';

comment on function @extschema@.gov_assignment_allocated() is
    'trigger: the limits of an entity''s children do not add up to more than its strict budget, after limits were set (23514)';

create function @extschema@.gov_entity_allocated()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_entity_allocated_1_0';

comment on function @extschema@.gov_entity_allocated() is
    'trigger: the same after entities were moved or taken back from the archive (23514)';

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
    'trigger: a tenant adds no more budgets, and sets no shorter windows and no more thresholds, than governance.tenant_... say (54000)';

create function @extschema@.gov_alert_policy_bounded()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_alert_policy_bounded_1_1';

comment on function @extschema@.gov_alert_policy_bounded() is 'trigger: a tenant sets no more thresholds than governance.tenant_thresholds says (54000)';

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

