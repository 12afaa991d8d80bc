/* ---------------------------------------------------------------------------------------------------------------- */
/* Who may do what: rows                                                                                            */
/*                                                                                                                  */
/* The policies hold for whoever is neither a superuser, nor has BYPASSRLS, nor owns the tables. They say which     */
/* rows; the privileges of a role say what it may do with them. What has no policy for a command is not to be done: */
/* the ledger, the usage, the holds, the alerts, the denials and the changes are written by the engine, as their      */
/* owner.                                                                                                           */
/* ---------------------------------------------------------------------------------------------------------------- */

alter table @extschema@.gov_entity_types enable row level security;
alter table @extschema@.gov_capabilities enable row level security;
alter table @extschema@.gov_entities enable row level security;
alter table @extschema@.gov_assignments enable row level security;
alter table @extschema@.gov_default_assignments enable row level security;
alter table @extschema@.gov_boosts enable row level security;
alter table @extschema@.gov_increase_requests enable row level security;
alter table @extschema@.gov_grants enable row level security;
alter table @extschema@.gov_grant_usage enable row level security;
alter table @extschema@.gov_prices enable row level security;
alter table @extschema@.gov_frozen_owners enable row level security;
alter table @extschema@.gov_events enable row level security;
alter table @extschema@.gov_usage enable row level security;
alter table @extschema@.gov_recounts enable row level security;
alter table @extschema@.gov_usage_by_time enable row level security;
alter table @extschema@.gov_default_counts enable row level security;
alter table @extschema@.gov_reservations enable row level security;
alter table @extschema@.gov_alerts enable row level security;
alter table @extschema@.gov_denials enable row level security;
alter table @extschema@.gov_alert_policies enable row level security;
alter table @extschema@.gov_changes enable row level security;
alter table @extschema@.gov_limit_history enable row level security;
alter table @extschema@.gov_forgotten enable row level security;
alter table @extschema@.gov_imports enable row level security;

create policy gov_entities_select on @extschema@.gov_entities for select using (@extschema@.gov_owner_visible(owner_id));
create policy gov_assignments_select on @extschema@.gov_assignments for select using (@extschema@.gov_owner_visible(owner_id));
create policy gov_frozen_owners_select on @extschema@.gov_frozen_owners for select using (@extschema@.gov_owner_visible(owner_id));
create policy gov_boosts_select on @extschema@.gov_boosts for select using (@extschema@.gov_owner_visible(owner_id));
create policy gov_increase_requests_select on @extschema@.gov_increase_requests for select using (@extschema@.gov_owner_visible(owner_id));
create policy gov_grants_select on @extschema@.gov_grants for select using (@extschema@.gov_owner_visible(owner_id));
create policy gov_grant_usage_select on @extschema@.gov_grant_usage for select using (@extschema@.gov_owner_visible(owner_id));
create policy gov_events_select on @extschema@.gov_events for select using (@extschema@.gov_owner_visible(owner_id));
create policy gov_usage_select on @extschema@.gov_usage for select using (@extschema@.gov_owner_visible(owner_id));
create policy gov_recounts_select on @extschema@.gov_recounts for select using (@extschema@.gov_owner_visible(owner_id));
create policy gov_usage_by_time_select on @extschema@.gov_usage_by_time for select using (@extschema@.gov_owner_visible(owner_id));
create policy gov_default_counts_select on @extschema@.gov_default_counts for select using (@extschema@.gov_owner_visible(owner_id));
create policy gov_reservations_select on @extschema@.gov_reservations for select using (@extschema@.gov_owner_visible(owner_id));
create policy gov_alerts_select on @extschema@.gov_alerts for select using (@extschema@.gov_owner_visible(owner_id));
create policy gov_changes_select on @extschema@.gov_changes for select using (@extschema@.gov_owner_visible(owner_id));
-- As of the defaults, below.
create policy gov_limit_history_select on @extschema@.gov_limit_history for select
    using (@extschema@.gov_owner_visible(nullif(owner_id, '')) or owner_id = '' and @extschema@.gov_pinned_owner() is not null);
create policy gov_forgotten_select on @extschema@.gov_forgotten for select using (@extschema@.gov_owner_visible(owner_id));
create policy gov_imports_select on @extschema@.gov_imports for select using (@extschema@.gov_owner_visible(owner_id));
create policy gov_denials_select on @extschema@.gov_denials for select using (@extschema@.gov_owner_visible(owner_id));

create policy gov_entities_insert on @extschema@.gov_entities for insert with check (@extschema@.gov_owner_changeable(owner_id));
create policy gov_entities_update on @extschema@.gov_entities for update using (@extschema@.gov_owner_changeable(owner_id));
create policy gov_entities_delete on @extschema@.gov_entities for delete using (@extschema@.gov_owner_changeable(owner_id));

create policy gov_boosts_insert on @extschema@.gov_boosts for insert with check (@extschema@.gov_owner_changeable(owner_id));
create policy gov_boosts_update on @extschema@.gov_boosts for update using (@extschema@.gov_owner_changeable(owner_id));
create policy gov_boosts_delete on @extschema@.gov_boosts for delete using (@extschema@.gov_owner_changeable(owner_id));

create policy gov_grants_insert on @extschema@.gov_grants for insert with check (@extschema@.gov_owner_changeable(owner_id));
create policy gov_grants_update on @extschema@.gov_grants for update using (@extschema@.gov_owner_changeable(owner_id));

create policy gov_increase_requests_delete on @extschema@.gov_increase_requests for delete using (@extschema@.gov_owner_changeable(owner_id));

-- The functions' OIDs are constants here: no search_path puts another in their place.

-- Whoever may not answer a request may make one, and withdraw it.

create policy gov_increase_requests_insert on @extschema@.gov_increase_requests for insert
    with check (@extschema@.gov_owner_changeable(owner_id)
        and (state = 'open' or has_function_privilege('@extschema@._gov_change_every_owner()'::regprocedure, 'execute')));

create policy gov_increase_requests_update on @extschema@.gov_increase_requests for update
    using (@extschema@.gov_owner_changeable(owner_id))
    with check (@extschema@.gov_owner_changeable(owner_id)
        and (state = 'withdrawn' or has_function_privilege('@extschema@._gov_change_every_owner()'::regprocedure, 'execute')));

create policy gov_assignments_insert on @extschema@.gov_assignments for insert
    with check (@extschema@.gov_owner_changeable(owner_id)
        and (not locked or has_function_privilege('@extschema@._gov_change_every_owner()'::regprocedure, 'execute')));

create policy gov_assignments_update on @extschema@.gov_assignments for update
    using (@extschema@.gov_owner_changeable(owner_id)
        and (not locked or has_function_privilege('@extschema@._gov_change_every_owner()'::regprocedure, 'execute')));

create policy gov_assignments_delete on @extschema@.gov_assignments for delete
    using (@extschema@.gov_owner_changeable(owner_id)
        and (not locked or has_function_privilege('@extschema@._gov_change_every_owner()'::regprocedure, 'execute')));

-- What all owners share can be seen by every role that may see an owner, and changed only in sessions that are not pinned.

create policy gov_entity_types_select on @extschema@.gov_entity_types for select
    using (@extschema@.gov_pinned_owner() is not null or @extschema@.gov_owner_visible(null::text));

create policy gov_entity_types_insert on @extschema@.gov_entity_types for insert with check (@extschema@.gov_owner_changeable(null::text));
create policy gov_entity_types_update on @extschema@.gov_entity_types for update using (@extschema@.gov_owner_changeable(null::text));
create policy gov_entity_types_delete on @extschema@.gov_entity_types for delete using (@extschema@.gov_owner_changeable(null::text));

create policy gov_capabilities_select on @extschema@.gov_capabilities for select
    using (@extschema@.gov_pinned_owner() is not null or @extschema@.gov_owner_visible(null::text));

create policy gov_capabilities_insert on @extschema@.gov_capabilities for insert with check (@extschema@.gov_owner_changeable(null::text));
create policy gov_capabilities_update on @extschema@.gov_capabilities for update using (@extschema@.gov_owner_changeable(null::text));
create policy gov_capabilities_delete on @extschema@.gov_capabilities for delete using (@extschema@.gov_owner_changeable(null::text));

create policy gov_alert_policies_select on @extschema@.gov_alert_policies for select
    using (@extschema@.gov_owner_visible(owner_id) or owner_id is null and @extschema@.gov_pinned_owner() is not null);

create policy gov_alert_policies_insert on @extschema@.gov_alert_policies for insert with check (@extschema@.gov_owner_changeable(owner_id));
create policy gov_alert_policies_update on @extschema@.gov_alert_policies for update using (@extschema@.gov_owner_changeable(owner_id));
create policy gov_alert_policies_delete on @extschema@.gov_alert_policies for delete using (@extschema@.gov_owner_changeable(owner_id));

create policy gov_prices_select on @extschema@.gov_prices for select
    using (@extschema@.gov_owner_visible(owner_id) or owner_id is null and @extschema@.gov_pinned_owner() is not null);

create policy gov_prices_insert on @extschema@.gov_prices for insert with check (@extschema@.gov_owner_changeable(owner_id));
create policy gov_prices_update on @extschema@.gov_prices for update using (@extschema@.gov_owner_changeable(owner_id));
create policy gov_prices_delete on @extschema@.gov_prices for delete using (@extschema@.gov_owner_changeable(owner_id));

create policy gov_default_assignments_select on @extschema@.gov_default_assignments for select
    using (@extschema@.gov_owner_visible(owner_id) or owner_id is null and @extschema@.gov_pinned_owner() is not null);

create policy gov_default_assignments_insert on @extschema@.gov_default_assignments for insert with check (@extschema@.gov_owner_changeable(owner_id));
create policy gov_default_assignments_update on @extschema@.gov_default_assignments for update using (@extschema@.gov_owner_changeable(owner_id));
create policy gov_default_assignments_delete on @extschema@.gov_default_assignments for delete using (@extschema@.gov_owner_changeable(owner_id));
