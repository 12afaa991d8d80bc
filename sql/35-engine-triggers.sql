/* ---------------------------------------------------------------------------------------------------------------- */
/* Triggers of the engine (src/rules/invalidate.c)                                                                  */
/*                                                                                                                  */
/* They fire for logical apply too: the cache of this server must follow whatever changes its tables.               */
/* ---------------------------------------------------------------------------------------------------------------- */

create function @extschema@.gov_note_change()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_note_change_1_0';

comment on function @extschema@.gov_note_change() is 'trigger: notes a changed catalog row, so that the commit drops it from the cache';

create function @extschema@.gov_note_truncate()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_note_truncate_1_0';

comment on function @extschema@.gov_note_truncate() is 'trigger: notes a truncated table, so that the end of the transaction drops the cache';

create function @extschema@.gov_ledger_guard()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_ledger_guard_1_0';

comment on function @extschema@.gov_ledger_guard() is 'trigger: refuses what would rewrite the ledger (42501)';

create function @extschema@.gov_note_ledger()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_note_ledger_1_1';

comment on function @extschema@.gov_note_ledger() is 'trigger: notes that ledger rows are written without the engine, so that loads look for them';

create trigger gov_entity_types_note
    after insert or update or delete on @extschema@.gov_entity_types
    for each row
    execute function @extschema@.gov_note_change();

create trigger gov_entity_types_note_truncate
    after truncate on @extschema@.gov_entity_types
    for each statement
    execute function @extschema@.gov_note_truncate();

create trigger gov_capabilities_note
    after insert or update or delete on @extschema@.gov_capabilities
    for each row
    execute function @extschema@.gov_note_change();

create trigger gov_capabilities_note_truncate
    after truncate on @extschema@.gov_capabilities
    for each statement
    execute function @extschema@.gov_note_truncate();

create trigger gov_entities_note
    after insert or update or delete on @extschema@.gov_entities
    for each row
    execute function @extschema@.gov_note_change();

create trigger gov_entities_note_truncate
    after truncate on @extschema@.gov_entities
    for each statement
    execute function @extschema@.gov_note_truncate();

create trigger gov_assignments_note
    after insert or update or delete on @extschema@.gov_assignments
    for each row
    execute function @extschema@.gov_note_change();

create trigger gov_default_assignments_note
    after insert or update or delete on @extschema@.gov_default_assignments
    for each row
    execute function @extschema@.gov_note_change();

create trigger gov_default_assignments_note_truncate
    after truncate on @extschema@.gov_default_assignments
    for each statement
    execute function @extschema@.gov_note_truncate();

create trigger gov_boosts_note
    after insert or update or delete on @extschema@.gov_boosts
    for each row
    execute function @extschema@.gov_note_change();

create trigger gov_boosts_note_truncate
    after truncate on @extschema@.gov_boosts
    for each statement
    execute function @extschema@.gov_note_truncate();

-- A budget by a default that was recounted has another counter, and one whose count was retired too.
create trigger gov_default_counts_note
    after update on @extschema@.gov_default_counts
    for each row
    when (new.counter_id <> old.counter_id or new.retired <> old.retired)
    execute function @extschema@.gov_note_change();

create trigger gov_prices_note
    after insert or update or delete on @extschema@.gov_prices
    for each row
    execute function @extschema@.gov_note_change();

create trigger gov_prices_note_truncate
    after truncate on @extschema@.gov_prices
    for each statement
    execute function @extschema@.gov_note_truncate();

create trigger gov_frozen_owners_note
    after insert or update or delete on @extschema@.gov_frozen_owners
    for each row
    execute function @extschema@.gov_note_change();

create trigger gov_frozen_owners_note_truncate
    after truncate on @extschema@.gov_frozen_owners
    for each statement
    execute function @extschema@.gov_note_truncate();

create trigger gov_grants_note
    after insert or update or delete on @extschema@.gov_grants
    for each row
    execute function @extschema@.gov_note_change();

create trigger gov_grants_note_truncate
    after truncate on @extschema@.gov_grants
    for each statement
    execute function @extschema@.gov_note_truncate();

create trigger gov_grants_guard
    before delete or truncate on @extschema@.gov_grants
    for each statement
    execute function @extschema@.gov_ledger_guard();

create trigger gov_grant_usage_note_truncate
    after truncate on @extschema@.gov_grant_usage
    for each statement
    execute function @extschema@.gov_note_truncate();

create trigger gov_alert_policies_note
    after insert or update or delete on @extschema@.gov_alert_policies
    for each row
    execute function @extschema@.gov_note_change();

create trigger gov_alert_policies_note_truncate
    after truncate on @extschema@.gov_alert_policies
    for each statement
    execute function @extschema@.gov_note_truncate();

create trigger gov_assignments_note_truncate
    after truncate on @extschema@.gov_assignments
    for each statement
    execute function @extschema@.gov_note_truncate();

create trigger gov_events_note_truncate
    after truncate on @extschema@.gov_events
    for each statement
    execute function @extschema@.gov_note_truncate();

create trigger gov_usage_note_truncate
    after truncate on @extschema@.gov_usage
    for each statement
    execute function @extschema@.gov_note_truncate();

create trigger gov_reservations_note_truncate
    after truncate on @extschema@.gov_reservations
    for each statement
    execute function @extschema@.gov_note_truncate();

create trigger gov_events_note
    before insert on @extschema@.gov_events
    for each statement
    execute function @extschema@.gov_note_ledger();

-- Only for changes that replication applies, for which no statement trigger fires. For other rows a trigger for each row would
-- slow COPY.
create trigger gov_events_note_applied
    before insert on @extschema@.gov_events
    for each row
    execute function @extschema@.gov_note_ledger();

create trigger gov_events_guard
    before update or delete or truncate on @extschema@.gov_events
    for each statement
    execute function @extschema@.gov_ledger_guard();

create trigger gov_default_counts_guard
    before update or delete or truncate on @extschema@.gov_default_counts
    for each statement
    execute function @extschema@.gov_ledger_guard();

create trigger gov_reservations_guard
    before update or delete or truncate on @extschema@.gov_reservations
    for each statement
    execute function @extschema@.gov_ledger_guard();

alter table @extschema@.gov_entity_types enable always trigger gov_entity_types_note;
alter table @extschema@.gov_entity_types enable always trigger gov_entity_types_note_truncate;
alter table @extschema@.gov_capabilities enable always trigger gov_capabilities_note;
alter table @extschema@.gov_capabilities enable always trigger gov_capabilities_note_truncate;
alter table @extschema@.gov_entities enable always trigger gov_entities_note;
alter table @extschema@.gov_entities enable always trigger gov_entities_note_truncate;
alter table @extschema@.gov_assignments enable always trigger gov_assignments_forget;
alter table @extschema@.gov_assignments enable always trigger gov_assignments_forget_all;
alter table @extschema@.gov_assignments enable always trigger gov_assignments_note;
alter table @extschema@.gov_default_assignments enable always trigger gov_default_assignments_note;
alter table @extschema@.gov_default_assignments enable always trigger gov_default_assignments_note_truncate;
alter table @extschema@.gov_default_counts enable always trigger gov_default_counts_note;
alter table @extschema@.gov_boosts enable always trigger gov_boosts_note;
alter table @extschema@.gov_boosts enable always trigger gov_boosts_note_truncate;
alter table @extschema@.gov_prices enable always trigger gov_prices_note;
alter table @extschema@.gov_prices enable always trigger gov_prices_note_truncate;
alter table @extschema@.gov_frozen_owners enable always trigger gov_frozen_owners_note;
alter table @extschema@.gov_frozen_owners enable always trigger gov_frozen_owners_note_truncate;
alter table @extschema@.gov_grants enable always trigger gov_grants_note;
alter table @extschema@.gov_grants enable always trigger gov_grants_note_truncate;
alter table @extschema@.gov_grant_usage enable always trigger gov_grant_usage_note_truncate;
alter table @extschema@.gov_alert_policies enable always trigger gov_alert_policies_note;
alter table @extschema@.gov_alert_policies enable always trigger gov_alert_policies_note_truncate;
alter table @extschema@.gov_assignments enable always trigger gov_assignments_note_truncate;
alter table @extschema@.gov_events enable always trigger gov_events_note_truncate;
alter table @extschema@.gov_events enable always trigger gov_events_note;
alter table @extschema@.gov_events enable replica trigger gov_events_note_applied;
alter table @extschema@.gov_usage enable always trigger gov_usage_note_truncate;
alter table @extschema@.gov_reservations enable always trigger gov_reservations_note_truncate;

